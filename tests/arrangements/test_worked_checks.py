"""Checks that follow from published figures, as data: the arithmetic stands beside each."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from crossmargin.accounts import AccountClass
from crossmargin.arrangements import cme_swaps_futures
from crossmargin.arrangements.cme_ficc import ModelAmounts, two_pot
from crossmargin.portfolio import Pool, Position
from crossmargin.registry import rules
from crossmargin.results import Line, reduction, total
from tests.properties.strategies import AS_OF, SR3

CHECKS = tomllib.loads(Path(__file__).with_name("worked_checks.toml").read_text(encoding="utf-8"))
TERMS = {"cap": rules("cme_ficc").at(AS_OF).reduction_cap, "minimum": rules("cme_ficc").at(AS_OF).reduction_minimum}


def outcome(check):
    return two_pot(ModelAmounts(*check["ficc"]), ModelAmounts(*check["cme"]), **TERMS)


@pytest.mark.parametrize("check", CHECKS["two_pot"], ids=lambda check: check["id"])
def test_two_pot(check):
    found = outcome(check)
    assert found.standalone_total == pytest.approx(check["standalone"]), check["note"]
    assert found.applied_factor == pytest.approx(check["factor"])
    assert found.total_requirement == pytest.approx(check["total"])
    assert found.total_requirement >= (1 - TERMS["cap"]) * found.standalone_total * (1 - 1e-12)
    ficc, cme = (credit.value / leg.value if leg.value else 0.0 for credit, leg in pots(found))
    assert ficc == pytest.approx(cme) or not found.cme_leg.value


def pots(found):
    return (found.ficc_credit, found.ficc_leg), (found.cme_credit, found.cme_leg)


@pytest.mark.parametrize("check", CHECKS["customers"], ids=lambda check: check["id"])
def test_customers_are_added_up(check):
    assert sum(outcome(unit).total_requirement for unit in check["units"]) == pytest.approx(check["total"]), check[
        "note"
    ]


@pytest.mark.parametrize("check", CHECKS["one_pot"], ids=lambda check: check["id"])
def test_one_pot(check):
    """The published figures hang together, and a pot whose model answers them asks for the figure of both."""
    lots = sum(count * rate for count, rate in zip(check["lots"], check["per_lot"], strict=True))
    assert lots == check["futures"], check["note"]
    assert check["swap"] + check["futures"] == check["apart"]
    swap, futures = Position("swap", "A", SR3, 1.0), Position("futures", "A", SR3, -779.0)
    asked = {("swap",): check["swap"], ("futures",): check["futures"], ("swap", "futures"): check["together"]}
    p = rules("cme_swaps_futures").at(AS_OF)

    def requirement(*held):
        pool = Pool("PRO", "JOINT", AccountClass.CFTC_4D_F, "CME", "cme_swaps_futures", "cme_swaps_futures", held)
        model = lambda _, pool: Line("margin", asked[tuple(position.id for position in pool.positions)])  # noqa: E731
        return cme_swaps_futures.requirement(pool, model, p)

    apart = total("apart", [requirement(swap), requirement(futures)])
    saved = reduction("reduction", requirement(swap, futures), apart)
    assert saved.value == pytest.approx(check["share"], abs=5e-5)
    assert saved.value > TERMS["cap"]  # one pot may save more than two pots ever grant
