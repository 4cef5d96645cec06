"""The harmonized rates pool: one model over everything in scope, and guardrails that are switches."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass, ClearingHouse, CustomerKind, Registration
from crossmargin.eligibility import case_of, decide
from crossmargin.margin import compare, margin
from crossmargin.methodology import Inputs
from crossmargin.pnl import PnL
from crossmargin.portfolio import Pool, Position
from crossmargin.proposals import harmonized_rates
from crossmargin.proposals.harmonized_rates import TESTS
from crossmargin.regimes import HARMONIZED, SILOED
from crossmargin.registry import rules
from crossmargin.results import Line
from crossmargin.scenarios import ScenarioSet
from tests.properties.strategies import (
    ACCOUNTS,
    AS_OF,
    BILL,
    DUAL,
    ETF_OPTION,
    FRN,
    INELIGIBLE,
    NOTE_7,
    OPTION,
    SETTLES,
    TIPS_8,
    TWIN,
    ZN,
    basis,
    book,
    market,
)

RULES = rules("harmonized_rates")


def pool(*lines) -> Pool:
    held = tuple(Position(f"p{i}", "ALPHA-XM", *line) for i, line in enumerate(lines))
    return Pool("ALPHA", "DUAL", AccountClass.XM_FUTURES_4D_AB, "common pool", "harmonized_rates", "", held)


def inputs(gains: dict) -> Inputs:
    (spec,) = harmonized_rates.scenarios(RULES.at(AS_OF))
    values = np.array(list(gains.values()), dtype=float)
    nothing = np.zeros(len(gains))
    drawn = ScenarioSet(spec, [5.0], np.zeros((1, values.shape[1])))
    return Inputs(book(), market(), {spec: PnL(tuple(gains), values, nothing, nothing, drawn)})


GAINS = {NOTE_7: [-0.02, 0.01, -0.01], ZN: [-1_500.0, 900.0, -1_200.0]}


def ask(siloed: float | None, *lines, **overlaid) -> Line:
    how = "input" if siloed is not None else "not_modelled"
    reader = (RULES.with_values(because="test", **overlaid) if overlaid else RULES).at(AS_OF)
    return harmonized_rates.requirement(pool(*lines), Line("siloed", siloed, how), inputs(GAINS), reader)


# ------------------------------------------------------------------------------------------------ figures, by hand


@pytest.mark.parametrize(
    ("siloed", "overlaid", "by_hand", "binds"),
    [
        (10_000.0, {}, 5_000.0, "model"),
        (25_000.0, {}, 5_000.0, "model"),  # exactly at the guardrails
        (100_000.0, {}, 20_000.0, "cap on the reduction"),
        (100_000.0, {"reduction_cap": 0.5}, 50_000.0, "cap on the reduction"),
        (100_000.0, {"floor_share": 0.7}, 70_000.0, "floor of the siloed requirement"),
        (100_000.0, {"reduction_cap": 1.0}, 20_000.0, "floor of the siloed requirement"),
        (100_000.0, {"reduction_cap": 1.0, "floor_share": 0.0}, 5_000.0, "model"),
        (0.0, {}, 5_000.0, "model"),  # a proposal may ask for more than today
        (None, {}, 5_000.0, "model"),
    ],
)
def test_the_largest_of_model_and_guardrails(siloed, overlaid, by_hand, binds):
    # 1m of the note against ten futures: -20,000 + 15,000; 10,000 - 9,000; -10,000 + 12,000
    found = ask(siloed, (NOTE_7, 1e6), (ZN, -10.0), **overlaid)
    assert found.value == pytest.approx(by_hand)
    assert found.part(binds).value == pytest.approx(found.value, rel=1e-12)


def test_haircuts_where_nothing_can_be_repriced():
    found = ask(0.0, (NOTE_7, 1e6), (TIPS_8, 2e6), (FRN, -40e6))
    assert found.part("historical_var").value == pytest.approx(20_000)
    assert found.part("haircut_charge").value == pytest.approx((60_000**2 + 60_000**2) ** 0.5)
    assert found.part("model").value == pytest.approx(20_000 + 60_000 * 2**0.5)


def test_an_option_is_a_gap_and_not_nothing():
    found = ask(0.0, (NOTE_7, 1e6), (OPTION, 3.0))
    assert found.partial
    assert any(OPTION.symbol in line.name for line in found.walk() if line.how == "not_modelled")


def test_everything_read_is_proposed_and_on_the_figure():
    report = margin(book(*basis(), Position("t", "ALPHA-GOV", TIPS_8, 1e6)), market(), HARMONIZED)
    reads = [read for read in report.reads() if read.rule == "harmonized_rates"]
    assert {read.grade for read in reads} == {"proposed"}
    elsewhere = {"products", "customer_scope", "collateral"}  # behind decisions, and behind collateral reports
    assert {read.name for read in reads} == set(RULES.parameters) - elsewhere
    assert report.assumed_share() == 1.0


# --------------------------------------------------------------------------------------------------- pools and scope


def test_one_pool_for_an_owner_at_a_firm_over_all_accounts_eligible_today_or_not():
    held = (*basis(), Position("b", "ALPHA-GOV", BILL, 5e6), Position("f", "ALPHA-FUT", ZN, 40.0))
    report = margin(book(*held), market(), HARMONIZED)
    (entry,) = [entry for entry in report.requirements if entry.level == "clearing"]
    assert set(entry.positions) == {position.id for position in held}
    assert entry.pot == "common pool"


def test_guardrails_look_at_what_the_same_positions_ask_siloed():
    held = (*basis(), *basis("DUAL"), Position("f", "ALPHA-FUT2", ZN, 40.0))
    comparison = compare(book(*held), market(), (SILOED, HARMONIZED))
    for entry in comparison["harmonized"].requirements:
        if entry.level == "clearing":
            alone = [e for e in comparison["siloed"].requirements if set(e.positions) <= set(entry.positions)]
            siloed = sum(e.line.value for e in alone if e.level == "clearing")
            assert entry.line.part("siloed requirement").value == pytest.approx(siloed)


def test_the_account_host_is_a_switch():
    hosted = evolve(HARMONIZED, account_host=AccountClass.SEC_NOTE_H)
    ids = [entry.pool for entry in margin(book(*basis()), market(), hosted).requirements]
    assert all("SEC_NOTE_H" in id for id in ids)
    assert all("PROPRIETARY" in e.pool for e in margin(book(*basis("DUAL")), market(), hosted).requirements)


def failed(position: Position, **book_with) -> set[str]:
    portfolio = book(position, **book_with)
    decision = decide(case_of(portfolio, position, AS_OF), RULES, TESTS)
    assert decision.allowed is not bool(decision.because)
    return {reason.condition for reason in decision.because}


@pytest.mark.parametrize("product", [p for p in INELIGIBLE if p is not ETF_OPTION], ids=lambda product: product.symbol)
def test_every_rates_product_is_in_scope(product):
    assert failed(Position("p", "ALPHA-GOV", product, 1.0)) == set()


def test_each_condition_has_a_failing_case():
    assert failed(Position("p", "ALPHA-FUT", ETF_OPTION, 1.0)) == {"rates_product"}
    assert failed(Position("p", "RETAIL-GOV", NOTE_7, 1.0)) == {"customer_scope"}
    assert failed(Position("p", "ALPHA-XM", NOTE_7, 1.0, settles=AS_OF)) == {"unsettled"}
    for registrations in ((), (Registration.BD,), (Registration.FCM,)):
        firm = evolve(DUAL, registrations=registrations)
        assert failed(Position("p", "ALPHA-XM", NOTE_7, 1.0), firms=(firm, TWIN)) == {"dual_registration"}
    assert set(TESTS) == {c.id for c in RULES.conditions}


def test_it_asks_for_neither_membership_nor_papers():
    firm = evolve(DUAL, memberships=(ClearingHouse.OCC,), compliant=False)
    accounts = [evolve(account, agreements=(), arrangement="") for account in ACCOUNTS]
    assert failed(Position("p", "ALPHA-XM", NOTE_7, 1.0), firms=(firm, TWIN), accounts=accounts) == set()


@pytest.mark.parametrize("kind", [kind for kind in CustomerKind if kind is not CustomerKind.RETAIL])
def test_institutional_customers_are_in_scope(kind):
    customers = [evolve(c, kind=kind) if c.id == "ALPHA" else c for c in book().customers]
    assert failed(Position("p", "ALPHA-XM", NOTE_7, 1.0), customers=customers) == set()


def test_what_is_out_of_scope_stays_in_its_silo():
    held = (Position("t", "RETAIL-GOV", TIPS_8, 1e6), Position("o", "ALPHA-FUT", ETF_OPTION, 5.0))
    comparison = compare(book(*held, *basis()), market(), (SILOED, HARMONIZED))
    silos = [e for e in comparison["siloed"].requirements if set(e.positions) <= {"t", "o"}]
    kept = [e for e in comparison["harmonized"].requirements if set(e.positions) <= {"t", "o"}]
    assert kept == silos


def test_a_counterfactual_may_be_studied_before_the_request_was_made():
    assert RULES.status == "proposed"
    assert RULES.at(date(2018, 6, 1)).confidence == 0.99


def test_a_settled_trade_is_treated_alike_in_its_silo_and_in_the_pool():
    settled = Position("s", "ALPHA-GOV", NOTE_7, 100e6, AS_OF)
    short = Position("f", "ALPHA-XM", ZN, -900.0)
    comparison = compare(book(settled, short), market(), (SILOED, HARMONIZED))
    (silo,) = [e for e in comparison["siloed"].requirements if "s" in e.positions]
    assert silo.ruleset == ""
    assert SETTLES > AS_OF
    assert comparison["harmonized"].total() == pytest.approx(comparison["siloed"].total(), rel=0.9)
    pooled = [e for e in comparison["harmonized"].requirements if "s" in e.positions and e.pot == "common pool"]
    assert not pooled
