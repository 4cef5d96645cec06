"""Spreads: priorities, both passes, overlapping tiers, deltas used once, between commodities, scanning-based."""

from __future__ import annotations

import math

import pytest

from crossmargin.errors import InputError
from crossmargin.span.portfolio import CalendarSpread, InterSpread, Leg, ScanSpread, Tier
from crossmargin.span.spreads import DeltaLedger, form_calendar_spreads, form_inter_spreads, merged_losses

MAR, JUN, SEP, DEC = 202603, 202606, 202609, 202612


def formed(ledger, spreads, tiers=None) -> list[float]:
    return [each.count for each in form_calendar_spreads(ledger, spreads, tiers)]


def pair(first, second, *, priority: int = 1, charge: float = 100.0) -> CalendarSpread:
    return CalendarSpread(priority, charge, [Leg(first, 1, "A"), Leg(second, 1, "B")])


# --------------------------------------------------------------------------------------------------------- by month


def test_the_lowest_priority_number_comes_first_whatever_the_order_given():
    ledger = DeltaLedger({MAR: 10.0, JUN: -6.0, SEP: -7.0})
    late, early = pair(MAR, SEP, priority=2), pair(MAR, JUN, priority=1)
    found = form_calendar_spreads(ledger, [late, early])
    assert [(each.spread.priority, each.count) for each in found] == [(1, 6), (2, 4)]
    assert ledger.remaining == {MAR: 0, JUN: 0, SEP: -3}


def test_either_side_may_be_the_long_one():
    for sign in (1, -1):
        assert formed(DeltaLedger({MAR: sign * 2.0, JUN: sign * -5.0}), [pair(MAR, JUN)]) == [2]


@pytest.mark.parametrize("deltas", [{}, {MAR: 0.0, JUN: 0.0}, {MAR: 3.0, JUN: 3.0}, {MAR: 3.0}])
def test_nothing_forms_of_one_side(deltas):
    assert formed(DeltaLedger(deltas), [pair(MAR, JUN)]) == [0]


def test_two_legs_on_one_month_share_its_delta():
    spread = CalendarSpread(1, 1.0, [Leg(MAR, 1, "A"), Leg(MAR, 2, "A"), Leg(JUN, 1, "B")])
    ledger = DeltaLedger({MAR: 6.0, JUN: -9.0})
    assert formed(ledger, [spread]) == [2]
    assert ledger.remaining == {MAR: 0, JUN: -7}


def test_thirds_leave_no_crumbs():
    ledger = DeltaLedger({MAR: 0.1 + 0.2, JUN: -0.3})
    assert formed(ledger, [pair(MAR, JUN), pair(MAR, JUN, priority=2)]) == [pytest.approx(0.3), 0]


def test_a_delta_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="202603"):
        DeltaLedger({MAR: math.nan})


# ---------------------------------------------------------------------------------------------------------- by tier


def test_longs_and_shorts_of_a_tier_are_not_netted():
    ledger = DeltaLedger({MAR: 5.0, JUN: -4.0})
    inside = CalendarSpread(1, 60, [Leg(1, 1, "A"), Leg(1, 1, "B")])
    assert formed(ledger, [inside], [Tier(1, MAR, JUN)]) == [4]
    assert ledger.remaining == {MAR: 1, JUN: 0}


def test_a_tier_is_used_in_the_order_of_the_calendar():
    ledger = DeltaLedger({SEP: 3.0, MAR: 2.0, JUN: 1.0, DEC: -4.0})
    assert formed(ledger, [pair(1, 2)], [Tier(1, MAR, SEP), Tier(2, DEC, DEC)]) == [4]
    assert ledger.remaining == {MAR: 0, JUN: 0, SEP: 2, DEC: 0}


def test_what_one_tier_uses_every_tier_that_holds_the_month_has_lost():
    tiers = [Tier(1, MAR, JUN), Tier(2, JUN, SEP), Tier(3, DEC, DEC)]
    ledger = DeltaLedger({JUN: 4.0, DEC: -10.0})
    assert formed(ledger, [pair(1, 3), pair(2, 3, priority=2)], tiers) == [4, 0]


def test_overlapping_tiers_on_one_side_never_use_a_delta_twice():
    tiers = [Tier(1, MAR, SEP), Tier(2, MAR, JUN), Tier(3, DEC, DEC)]
    spread = CalendarSpread(1, 1, [Leg(1, 1, "A"), Leg(2, 1, "A"), Leg(3, 2, "B")])
    ledger = DeltaLedger({MAR: 3.0, SEP: 3.0, DEC: -20.0})
    assert formed(ledger, [spread], tiers) == [3]  # the narrow tier takes March, the wide one September
    assert ledger.remaining == {MAR: 0, SEP: 0, DEC: -14}


def test_months_in_no_tier_stay():
    ledger = DeltaLedger({MAR: 3.0, JUN: -3.0})
    assert formed(ledger, [pair(1, 2)], [Tier(1, SEP, SEP), Tier(2, DEC, DEC)]) == [0]


def test_a_leg_on_a_tier_that_is_not_there_forms_nothing():
    ledger = DeltaLedger({MAR: 3.0, JUN: -3.0})
    assert formed(ledger, [pair(1, 2)], [Tier(1, MAR, MAR)]) == formed(ledger, [pair(1, 2)], []) == [0]


# --------------------------------------------------------------------------------------------- between commodities


def inter(ledger, spreads, risks, **more) -> list[float]:
    keyed = {(code, None): risk for code, risk in risks.items()}
    return [each.count for each in form_inter_spreads(ledger, spreads, {**keyed, **more.pop("tiered", {})}, **more)]


def crush(priority: int = 1, **more) -> InterSpread:
    return InterSpread(priority, 80, [Leg("S", 1, "A"), Leg("O", 1, "B", **more)])


def test_months_of_a_commodity_net_before_they_spread():
    ledger = DeltaLedger({("S", MAR): 10.0, ("S", JUN): -7.0, ("O", MAR): -9.0})
    assert inter(ledger, [crush()], {"S": 1.0, "O": 1.0}) == [3]
    assert ledger.remaining == {("S", MAR): 7, ("S", JUN): -7, ("O", MAR): -6}


def test_a_delta_is_used_once():
    ledger = DeltaLedger({("S", MAR): 3.0, ("O", MAR): -9.0, ("M", MAR): -9.0})
    other = InterSpread(2, 50, [Leg("S", 1, "A"), Leg("M", 1, "B")])
    assert inter(ledger, [other, crush()], {"S": 1.0, "O": 1.0, "M": 1.0}) == [3, 0]


@pytest.mark.parametrize("risk", [None, 0.0, -4.0])
def test_a_leg_without_price_risk_spreads_nothing(risk):
    ledger = DeltaLedger({("S", MAR): 3.0, ("O", MAR): -9.0})
    assert inter(ledger, [crush()], {"S": 1.0, "O": risk}) == [0]
    assert ledger.remaining == ledger.held


@pytest.mark.parametrize("risk", [math.nan, math.inf, "2"])
def test_a_price_risk_that_is_no_number_is_refused(risk):
    with pytest.raises(InputError, match="price risk"):
        inter(DeltaLedger({("S", MAR): 1.0, ("O", MAR): -1.0}), [crush()], {"S": 1.0, "O": risk})


def test_a_commodity_that_is_not_held_spreads_nothing():
    assert inter(DeltaLedger({("S", MAR): 3.0}), [crush()], {"S": 1.0}) == [0]


def test_no_more_is_spread_than_was_net_at_the_start():
    """A calendar spread of unlike legs can leave more net delta than there was; the price risk is of the first."""
    ledger = DeltaLedger(
        {("S", MAR): 10.0, ("S", JUN): -9.0, ("O", MAR): -50.0}, {("S", MAR): 7.0, ("S", JUN): 0.0, ("O", MAR): -50.0}
    )
    assert inter(ledger, [crush(1), crush(2)], {"S": 1.0, "O": 1.0}) == [1, 0]


def test_a_leg_may_be_on_one_tier():
    ledger = DeltaLedger({("S", MAR): 10.0, ("O", MAR): -2.0, ("O", DEC): -5.0})
    tiers = {"O": [Tier(1, MAR, JUN), Tier(2, SEP, DEC)]}
    found = inter(ledger, [crush(tier=2)], {"S": 1.0}, tiered={("O", 2): 1.0}, tiers=tiers)
    assert found == [5]
    assert ledger.remaining["O", MAR] == -2
    unknown = inter(ledger, [crush(tier=9)], {"S": 1.0}, tiered={("O", 9): 1.0}, tiers=tiers)
    assert unknown == [0]


# --------------------------------------------------------------------------------------------------- scanning-based


def test_half_of_every_gain_counts():
    assert merged_losses([[-100, 100], [60, -60]], 50) == (10, 70)
    assert merged_losses([[-100, 100], [60, -60]], 0) == (60, 100)
    assert merged_losses([], 50) == ()


@pytest.mark.parametrize("rate", [-1, 100.5, math.nan])
def test_a_share_that_is_none_is_refused(rate):
    with pytest.raises(InputError, match="credit_rate_pct"):
        merged_losses([[1.0]], rate)


def test_arrays_of_unlike_length_are_refused():
    with pytest.raises(InputError, match="unlike length"):
        merged_losses([[1.0, 2.0], [1.0]], 50)


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "make",
    [
        lambda: Leg(MAR, 0),
        lambda: Leg(MAR, math.inf),
        lambda: Leg(MAR, 1, "C"),
        lambda: CalendarSpread(1, 10, [Leg(MAR, 1)]),
        lambda: CalendarSpread(1, -10, [Leg(MAR, 1), Leg(JUN, 1, "B")]),
        lambda: CalendarSpread(1, 10, [Leg(MAR, 1), Leg(JUN, 1, "B")], method="weekly"),
        lambda: CalendarSpread("first", 10, [Leg(MAR, 1), Leg(JUN, 1, "B")]),
        lambda: InterSpread(math.nan, 10, [Leg("S", 1), Leg("O", 1, "B")]),
        lambda: ScanSpread(None, 50, [Leg("S", 1), Leg("O", 1)], "T"),
        lambda: InterSpread(1, math.nan, [Leg("S", 1), Leg("O", 1, "B")]),
        lambda: ScanSpread(1, 101, [Leg("S", 1), Leg("O", 1)], "T"),
        lambda: ScanSpread(1, 50, [Leg("S", 1), Leg("S", 1)], "T"),
        lambda: ScanSpread(1, 50, [Leg("S", 1), Leg("O", 1)], "T", minimum_legs=0),
        lambda: Tier(1, 202613, JUN),
        lambda: Tier(1, JUN, MAR),
        lambda: Tier(1, MAR, JUN, -5.0),
    ],
)
def test_spreads_that_are_none_are_refused(make):
    with pytest.raises(InputError):
        make()
