"""Calls and returns: threshold, minimum transfer amount, rounding and the day they are due, by hand and for all."""

from __future__ import annotations

from datetime import date

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.collateral import balances, collateral_rules, margin_calls
from crossmargin.errors import InputError
from crossmargin.results import Line, not_modelled, total
from tests.collateral.pots import AS_OF, EUR, NOTE_H, SECURITIES, USD, A, box, market, need, place, posted

CSA = "carrying firm"


def called(asked, held, **more):
    return margin_calls(balances(asked, [], held, market()), **more)


def test_a_deficit_is_called_in_whole_dollars_by_the_next_morning():
    [call] = called([need(100.4, "FICC")], [posted("c", USD, 60.0, "FICC")])
    assert (call.kind, call.amount.amount, call.place) == ("call", 41.0, place("FICC"))
    assert (call.due, call.time, call.positions) == (date(2026, 7, 1), "09:30", "end of day")


def test_an_intraday_call_is_due_the_same_day():
    [call] = called([need(100.0, "FICC")], [], cycle="intraday")
    assert (call.due, call.time, call.positions) == (AS_OF, "14:45", "noon")


def test_over_a_holiday_the_next_business_day_counts():
    report = balances([need(100.0, "FICC")], [], [], market())
    friday = evolve(report, as_of=date(2026, 7, 2))  # 3 July 2026 is the holiday of Independence Day
    assert margin_calls(friday)[0].due == date(2026, 7, 6)


@pytest.mark.parametrize(
    ("day", "due"),
    [
        (date(2017, 9, 1), date(2017, 9, 11)),  # trades settled in three days, and 4 September 2017 was Labor Day
        (date(2022, 6, 27), date(2022, 7, 1)),
        (date(2024, 5, 28), date(2024, 5, 31)),
    ],
)
def test_a_broker_waits_for_settlement_and_two_days_more(day, due):
    report = balances([need(100.0, CSA, level="customer", account_class=SECURITIES)], [], [], market())
    assert margin_calls(evolve(report, as_of=day))[0].due == due


def test_a_taker_without_the_cycle_waits_for_its_own():
    asked = [need(100.0, "ICC"), need(100.0, "FICC")]
    assert [call.place.pot for call in called(asked, [], cycle="intraday")] == ["FICC"]
    assert [call.place.pot for call in called(asked, [])] == ["ICC", "FICC"]
    with pytest.raises(InputError, match="Did you mean 'end_of_day'"):
        called(asked, [], cycle="end-of-day")


def test_excess_may_be_asked_back_rounded_down():
    [call] = called([need(60.0)], [posted("c", USD, 100.7)])
    assert (call.kind, call.amount.amount, call.due, call.time) == ("return", 40.0, None, "")


def test_what_is_even_is_neither_called_nor_returned():
    assert called([need(60.0)], [posted("c", USD, 60.0)]) == ()
    assert called([], []) == ()


def test_what_a_limit_keeps_from_counting_may_come_back_while_more_is_called():
    """ICC's house: 2,000 in euro after the haircut, of 1,000 no more than 350 count."""
    held = [posted("e", EUR, 2_000.0 / 1.1 / 0.9525, "ICC")]
    found = {call.kind: call.amount.amount for call in called([need(1_000.0, "ICC")], held)}
    assert found == {"call": 650.0, "return": 1_650.0}


@pytest.mark.parametrize(
    ("required", "posted_", "expected"),
    [
        (50e6, 0.0, {}),  # all of it below the threshold
        (50.4e6, 0.0, {}),  # 400,000 beyond, below the minimum transfer amount
        (50.5e6, 0.0, {"call": 500_000.0}),
        (52_345_678.0, 0.0, {"call": 2_350_000.0}),  # rounded up to 10,000
        (60e6, 4e6, {"call": 6e6}),
        (60e6, 12_345_678.0, {"return": 2_340_000.0}),  # beyond 10 mm, rounded down
        (40e6, 3e6, {"return": 3e6}),
    ],
)
def test_threshold_and_minimum_of_an_uncleared_annex(required, posted_, expected):
    found = called([need(required, CSA)], [box("c", USD, posted_)])
    assert {call.kind: call.amount.amount for call in found} == expected


def test_an_annex_of_ones_own_is_an_overlay():
    annex = collateral_rules()["uncleared_collateral"].with_values(threshold=0, minimum_transfer=100_000, because="CSA")
    report = balances([need(150_000.0, CSA)], [], [], market(), rules=[annex])
    [call] = margin_calls(report, rules=[annex])
    assert call.amount.amount == 150_000.0
    assert any(read.because == "CSA" for read in call.amount.all_reads())
    assert margin_calls(report) == ()


def test_what_must_stay_is_not_returned():
    [call] = called([need(4e5, "FICC", A, NOTE_H)], [posted("c", USD, 1.5e6, "FICC", A, NOTE_H)])
    assert (call.kind, call.amount.amount) == ("return", 5e5)
    assert called([need(0, line=not_modelled("requirement", "no model"))], [posted("c", USD, 100.0)]) == ()
    partly = total("requirement", [Line("known", 40.0), not_modelled("the rest", "no model")])
    [call] = called([need(0, line=partly)], [posted("c", USD, 100.0)])
    assert (call.amount.amount, call.amount.partial) == (60.0, True)


def test_a_wall_does_not_keep_excess_from_its_owner():
    asked = [need(10.0, "OCC", A, SECURITIES), need(10.0, owner=A)]
    found = called(asked, [posted("c", USD, 30.0, "OCC", A, SECURITIES)])
    assert {call.kind: call.amount.amount for call in found} == {"return": 20.0, "call": 10.0}


def test_a_pot_without_a_schedule_is_called_without_a_time():
    [call] = called([need(10.5, "MOON")], [])
    assert (call.amount.amount, call.due, call.time) == (10.5, None, "")


AMOUNTS = st.floats(0.0, 1e9, allow_subnormal=False)


@given(AMOUNTS, AMOUNTS, st.sampled_from(["FICC", "CME", CSA]))
def test_nothing_is_called_and_returned_at_once_without_a_limit(required, held, pot):
    found = called([need(required, pot)], [posted("c", USD, held, pot)])
    assert len(found) <= 1
    assert all(call.amount.value > 0.0 for call in found)


@given(AMOUNTS, AMOUNTS)
def test_a_call_met_leaves_nothing_to_call(required, held):
    asked = [need(required)]
    for call in called(asked, [posted("c", USD, held)]):
        sign = 1.0 if call.kind == "call" else -1.0
        after = called(asked, [posted("c", USD, held + sign * call.amount.value)])
        assert all(each.kind == "return" and each.amount.value <= 1.0 for each in after)


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_more_posted_is_never_called_for_more(required, held, more):
    def calls(quantity):
        return sum(c.amount.value for c in called([need(required)], [posted("c", USD, quantity)]) if c.kind == "call")

    assert calls(held + more) <= calls(held)
