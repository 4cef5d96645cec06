"""Losses and switches of a study: every setting is named and has its status, and caps trade savings for protection."""

from __future__ import annotations

from datetime import date

import pytest

from crossmargin.analysis.coverage import held_at
from crossmargin.analysis.study_protection import CAPS, own_rules, switches, traded_off, uncovered
from crossmargin.portfolio import Position
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, REGIMES, SILOED
from crossmargin.registry import rulebook
from tests.properties.strategies import AS_OF, FRN, SETTLES, basis, book, market

RULES = (*(held_at(each, AS_OF) for each in rulebook(()).values()), *own_rules(AS_OF))
BOOK_OF_RULES = {each.id: each for each in RULES}
HELD = book(*basis())


@pytest.fixture(scope="module")
def found():
    return traded_off(HELD, market(), [SILOED, CROSS_MARGIN, HARMONIZED], rules=RULES)["frontier"]


def test_every_regime_stands_as_it_is_and_with_every_setting_of_its_programme():
    tried = switches(REGIMES, BOOK_OF_RULES)
    names = [switch.name for switch in tried]
    assert len(set(names)) == len(names)
    assert names[: len(REGIMES)] == [each.name for each in REGIMES]
    assert not any(switch.rules for switch in tried[: len(REGIMES)])
    assert all(switch.rules for switch in tried[len(REGIMES) :])
    for said in ("harmonized_with_guardrails, no guardrail", "harmonized_with_guardrails, stress_floor alone"):
        assert said in names
    assert sum("cme_ficc capped" in name for name in names) == len(CAPS)
    assert switches([SILOED], {})[0].name == "siloed"


def test_a_setting_that_is_the_rule_s_own_is_no_switch():
    names = [switch.name for switch in switches(REGIMES, BOOK_OF_RULES)]
    assert "full_harmonized, no guardrail" not in names


def test_the_higher_the_cap_the_more_is_saved_and_left_uncovered(found):
    capped = [row for row in found if "cme_ficc capped" in row["name"]]
    assert {row["status"] for row in capped} == {"study"}
    for name in ("saving", "residual"):
        assert [row[name] for row in capped] == sorted(row[name] for row in capped)
    efficient = sorted((row["saving"], row["residual"]) for row in found if row["efficient"])
    assert [residual for _, residual in efficient] == sorted(residual for _, residual in efficient)


def test_savings_are_those_of_margin_at_clearing_houses(found):
    first = found[0]
    assert (first["name"], first["saving"]) == ("siloed", 0.0)
    assert all(row["saving"] == pytest.approx(first["margin"] - row["margin"]) for row in found)


def test_losses_of_every_regime_have_status_and_bearer():
    told = uncovered(HELD, market(), [SILOED, HARMONIZED], rules=RULES)
    for row in told["protection"]:
        assert row["status"] == ("proposed" if row["regime"] == "harmonized" else "in_force")
        borne = sum(row[name] for name in row if name.startswith("borne_by_"))
        assert borne == pytest.approx(row["expected"])
    assert all(note["note"].startswith("losses beyond margin: ") for note in told["notes"])


def test_what_has_no_profit_and_loss_loses_an_unknown_amount_not_zero():
    left_out = book(Position("f", "ALPHA-GOV", FRN, 10e6, SETTLES))
    told = uncovered(left_out, market(), [SILOED], rules=RULES)["protection"]
    assert told
    assert {(row["expected"], row["worst"], row["borne_by_clearing_house"]) for row in told} == {(None, None, None)}
    points = traded_off(left_out, market(), [SILOED], rules=RULES)["frontier"]
    assert all(point["partial"] for point in points)


def test_the_study_s_own_rules_hold_on_days_before_they_begin():
    for rules in own_rules(AS_OF):
        assert rules.at(date(2001, 1, 2)) is not None
    assert own_rules(AS_OF)[0].at(date(2001, 1, 2)).horizon_days == own_rules(AS_OF)[0].at(AS_OF).horizon_days
