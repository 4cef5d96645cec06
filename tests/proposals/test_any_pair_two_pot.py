"""Two pots for any pair: the percentage by hand, its limits, which pots pair, and CME-FICC as the special case."""

from __future__ import annotations

import numpy as np
import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass, ClearingHouse
from crossmargin.eligibility import case_of, decide
from crossmargin.errors import InputError
from crossmargin.margin import compare
from crossmargin.methodology import Inputs
from crossmargin.pnl import PnL
from crossmargin.portfolio import Pool, Position
from crossmargin.products import SecurityFuture
from crossmargin.products.equities import Stock
from crossmargin.proposals import any_pair_two_pot
from crossmargin.proposals.any_pair_two_pot import TESTS
from crossmargin.regimes import CROSS_MARGIN, SILOED, regime
from crossmargin.registry import rules
from crossmargin.results import Line, total
from crossmargin.scenarios import ScenarioSet
from crossmargin.underlyings import Underlying
from tests.properties.strategies import (
    ACCOUNTS,
    AS_OF,
    DUAL,
    ETF_OPTION,
    NOTE_7,
    TIPS_8,
    TWIN,
    ZN,
    basis,
    book,
    market,
)

RULES = rules("any_pair_two_pot")
REGIME = regime("any_pair_two_pot")
SHARE = SecurityFuture("XYZ", 202609, multiplier=1.0)
GAINS = {NOTE_7: [-10.0, 6.0], ZN: [8.0, -5.0], SHARE: [4.0, -4.0]}
OFF = {"pot_minimum": 0}


def silo(ruleset: str, component: str, amount: float, other: float = 0.0) -> Line:
    return total(f"{ruleset} requirement", [Line(component, amount), Line("other charges", other)])


FICC, CME = silo("ficc_gsd", "var_charge", 1_000.0, 50.0), silo("cme_rates_futures", "base_charge", 800.0, 10.0)
OCC = silo("occ_stans_like", "base_expected_shortfall", 400.0)


def ask(lines, silos, **overlaid) -> Line:
    p = RULES.with_values(because="test", **{**OFF, **overlaid}).at(AS_OF)
    held = tuple(Position(f"p{i}", "ALPHA-XM", *line) for i, line in enumerate(lines))
    pnl = {}
    for spec in any_pair_two_pot.scenarios(p):
        values, nothing = np.array(list(GAINS.values())), np.zeros(3)
        pnl[spec] = PnL(tuple(GAINS), values, nothing, nothing, ScenarioSet(spec, [5.0], np.zeros((1, 2))))
    spot = Underlying("XYZ", spot=100.0, security=Stock("XYZ"))
    made = evolve(market(), underlyings={"XYZ": spot})
    pool = Pool("ALPHA", "DUAL", AccountClass.XM_FUTURES_4D_AB, "common pool", "any_pair_two_pot", "", held)
    return any_pair_two_pot.requirement(pool, total("siloed", silos), Inputs(book(*held), made, pnl), p)


# -------------------------------------------------------------------------------------------------------- by hand

# alone 10 and 5, together max(10 - 8, 5 - 6) = 2: both houses save 1 - 2/15
SAVED = 1 - 2 / 15


@pytest.mark.parametrize(
    ("overlaid", "by_hand"),
    [
        ({}, 1_860.0 - 0.8 * 1_800.0),  # the cap binds
        ({"reduction_cap": 1.0}, 1_860.0 - SAVED * 1_800.0),
        ({"reduction_cap": 0.3}, 1_860.0 - 0.3 * 1_800.0),
        ({"reduction_cap": 0.0}, 1_860.0),
        ({"reduction_minimum": 0.9}, 1_860.0),
        ({"pot_minimum": 400}, 400.0 + 400.0),  # 250 and 170 would stay
        ({"pot_minimum": 900}, 900.0 + 810.0),
    ],
)
def test_one_percentage_scales_the_components_of_both_pots(overlaid, by_hand):
    assert ask([(NOTE_7, 1.0), (ZN, 1.0)], [FICC, CME], **overlaid).value == pytest.approx(by_hand)


def test_the_lower_saving_governs():
    houses = [dict(row) for row in RULES.at(AS_OF).houses]
    houses[1]["estimator"], houses[1]["confidence"] = "tail_mean", 0.5
    houses[0]["confidence"] = 0.4  # the milder of two: 6 becomes the loss of neither leg
    found = ask([(NOTE_7, 1.0), (ZN, 1.0)], [FICC, CME], reduction_cap=1.0, houses=houses)
    factor = found.part("percentage")
    assert factor.value == min(part.value for part in factor.part("lower saving").parts)


def test_a_leg_alone_and_a_position_without_a_price_earn_nothing():
    assert ask([(NOTE_7, 1.0)], [FICC]).value == FICC.value
    assert ask([(NOTE_7, 1.0), (TIPS_8, 5.0)], [FICC]).value == FICC.value
    with_gap = ask([(NOTE_7, 1.0), (ZN, 1.0), (TIPS_8, 5.0)], [FICC, CME])
    assert with_gap.value == ask([(NOTE_7, 1.0), (ZN, 1.0)], [FICC, CME]).value


def test_a_pot_joins_one_pair_and_the_table_has_the_order():
    held, silos = [(NOTE_7, 1.0), (ZN, 1.0), (SHARE, 1.0)], [FICC, CME, OCC]
    found = ask(held, silos, reduction_cap=1.0)
    assert found.part("OCC").value == 400.0
    assert found.part("percentage").note == "FICC with CME"
    turned = ask(held, silos, reduction_cap=1.0, eligible_pairs=[{"agency": "OCC", "dco": "CME"}])
    assert turned.part("FICC").value == FICC.value
    assert turned.part("OCC").value < 400.0 or turned.part("percentage").value == 0.0
    assert ask(held, silos, eligible_pairs=[]).value == pytest.approx(2_260.0)


def test_what_no_house_margins_stays_as_it_is():
    other = Line("requirement at the carrying firm", 70.0)
    assert ask([(NOTE_7, 1.0)], [FICC, other]).value == FICC.value + 70.0
    assert ask([], []).value == 0.0


def test_limits_say_what_would_be_asked_without_them():
    found = ask([(NOTE_7, 1.0), (ZN, 1.0)], [FICC, CME], pot_minimum=400)
    beside = {memo.name: memo.value for line in found.walk() for memo in line.memo}
    assert beside["requirement without pot_minimum"] == pytest.approx(1_860.0 - 0.8 * 1_800.0)
    assert beside["requirement without reduction_cap"] == pytest.approx(800.0)


@pytest.mark.parametrize(
    ("overlaid", "said"),
    [
        ({"reduction_cap": 1.5}, "1.5 is out of range"),
        ({"reduction_minimum": -0.1}, "-0.1 is out of range"),
        ({"pot_minimum": -1}, "Give 0 or more"),
        ({"eligible_pairs": [{"agency": "FICC", "dco": "EUREX"}]}, "unknown house 'EUREX'"),
        ({"eligible_pairs": [{"agency": "CME", "dco": "CME"}]}, "paired with itself"),
    ],
)
def test_what_makes_no_sense_is_refused(overlaid, said):
    with pytest.raises(InputError, match=said):
        ask([(NOTE_7, 1.0), (ZN, 1.0)], [FICC, CME], **overlaid)


# ---------------------------------------------------------------------------------------------------- in the spine


def test_without_a_minimum_it_is_about_what_the_approved_pair_gives():
    free = RULES.with_values(because="test", **OFF)
    today, crossed, any_pair = compare(book(*basis()), market(), (SILOED, CROSS_MARGIN, REGIME), rules=[free]).reports
    assert any_pair.total() < today.total()
    assert any_pair.total() == pytest.approx(crossed.total(), rel=0.05)  # both at or near the cap


def test_no_account_need_be_directed():
    held = [evolve(p, account=f"ALPHA-{'FUT' if p.product == ZN else 'GOV'}") for p in basis()]
    today, crossed, any_pair = compare(book(*held), market(), (SILOED, CROSS_MARGIN, REGIME)).reports
    assert crossed.total() == today.total()
    assert any_pair.total() < today.total()


def failed(position: Position, **book_with) -> set[str]:
    portfolio = book(position, **book_with)
    decision = decide(case_of(portfolio, position, AS_OF), RULES, TESTS)
    assert decision.allowed is not bool(decision.because)
    return {reason.condition for reason in decision.because}


def test_each_condition_has_a_failing_case():
    assert failed(Position("p", "ALPHA-XM", NOTE_7, 1.0)) == set()
    assert failed(Position("p", "ALPHA-XM", ETF_OPTION, 1.0)) == {"member"}  # the firm is no member of OCC
    assert failed(Position("p", "ALPHA-XM", Stock("XYZ"), 1.0)) == {"product_list"}
    assert failed(Position("p", "RETAIL-GOV", NOTE_7, 1.0)) == {"customer_scope"}
    assert failed(Position("p", "ALPHA-XM", NOTE_7, 1.0, settles=AS_OF)) == {"unsettled"}
    firm = evolve(DUAL, registrations=(), memberships=(ClearingHouse.CME,))
    assert failed(Position("p", "ALPHA-XM", NOTE_7, 1.0), firms=(firm, TWIN), accounts=ACCOUNTS) == {
        "dual_registration",
        "member",
    }
    assert set(TESTS) == {condition.id for condition in RULES.conditions}
