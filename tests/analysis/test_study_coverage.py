"""Back-tests of a study: outcomes by hand, verdicts that never pass too few days, and switches off what mitigates."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from math import comb

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.analysis.backtest import kupiec, kupiec_power, procyclicality
from crossmargin.analysis.coverage import gains, held_at, horizons_read
from crossmargin.analysis.margin_series import MarketHistory
from crossmargin.analysis.study_coverage import (
    ENOUGH,
    NOT_TESTED,
    OVERSTATED,
    PASSED,
    TOO_FEW,
    UNDERSTATED,
    back_tested,
    by_year,
    outcomes,
    spaced_days,
    swings,
    without_tools,
)
from crossmargin.margin import compare, margin
from crossmargin.market import Market
from crossmargin.regimes import CROSS_MARGIN, SILOED, regime
from crossmargin.registry import rulebook
from tests.properties.strategies import AS_OF, basis, book, history, market

PAST = MarketHistory(history())
DAY = next(day for day in reversed(history().dates) if day < AS_OF - timedelta(days=20))
RULES = tuple(held_at(each, AS_OF) for each in rulebook(()).values())
rarely = settings(max_examples=40, deadline=None)


def row(number, required=100.0, pnl=0.0, **more):
    """One outcome: a regime, an owner and a firm on the day of a number."""
    named = {"book": "b", "level": "clearing", "regime": "siloed", "status": "in_force", "owner": "A", "firm": "F"}
    spans = {"shortest_days": 1, "shortest_pnl": pnl, "longest_days": 1, "longest_pnl": pnl}
    day = (date(2000, 1, 3) + timedelta(days=number)).isoformat()
    asked = {"required": required, "unmitigated": required, "own_horizons": ["1"], "partial": False}
    return {**named, "day": day, "row": number, **asked, **spans, **more}


# -------------------------------------------------------------------------------------------------------- one day


@pytest.fixture(scope="module")
def found():
    past = PAST.market(DAY)
    return past, outcomes(book(*basis()), past, PAST, [SILOED, CROSS_MARGIN], rules=RULES)


def test_a_requirement_is_that_of_margin_and_its_gain_that_of_the_days_after(found):
    past, rows = found
    portfolio = book(*basis())
    compared = compare(portfolio, past, [SILOED, CROSS_MARGIN], rules=RULES)
    for report in compared.reports:
        (mine,) = (each for each in rows if (each["regime"], each["level"]) == (report.regime, "clearing"))
        assert mine["required"] == pytest.approx(report.total())
        for name in ("shortest", "longest"):
            gained, _ = gains(portfolio.positions, past, PAST, mine[f"{name}_days"])
            assert mine[f"{name}_pnl"] == pytest.approx(sum(gained.values()))
        assert mine["own_horizons"] == [str(days) for days in horizons_read(report, portfolio)]


def test_without_tools_is_what_margin_asks_under_these_rules(found):
    past, rows = found
    bare = margin(book(*basis()), past, SILOED, rules=without_tools(RULES, past.as_of))
    mine = next(each for each in rows if (each["regime"], each["level"]) == ("siloed", "clearing"))
    assert mine["unmitigated"] == pytest.approx(bare.total())
    assert mine["unmitigated"] != mine["required"]


def test_the_last_days_have_no_outcome_and_are_not_tested():
    last = history().dates[-1]
    rows = outcomes(book(*basis()), PAST.market(last), PAST, [SILOED], rules=RULES)
    assert rows[0]["required"] > 0.0
    assert (rows[0]["shortest_pnl"], rows[0]["longest_pnl"]) == (None, None)
    test = next(back_tested({"book": "b", "day": str(last), **each} for each in rows))
    assert test["verdict"] == f"{NOT_TESTED}: no profit and loss"
    assert "kupiec_p" not in test


def test_what_is_off_is_overlaid_and_nothing_else_changes():
    for before, after in zip(RULES, without_tools(RULES, DAY), strict=True):
        off = set(after.overlays) - set(before.overlays)
        assert off <= {*before.parameters}
        assert all(after.overlays[name].because for name in off)
    named = {each.id: each for each in without_tools(RULES, DAY)}
    assert named["cme_span2_like"].overlays["historical_weight"].value == 1.0
    assert "stress_weight" not in named["harmonized_with_guardrails"].overlays["guardrails"].value
    assert "offset_gate" in named["harmonized_with_guardrails"].overlays["guardrails"].value
    assert named["reg_t"] is next(each for each in RULES if each.id == "reg_t")


def test_a_horizon_by_kind_is_that_of_what_is_held():
    portfolio = book(*basis())
    report = margin(portfolio, market(), regime("one_pot_futures_account"))
    table = next(read.value for read in report.reads() if read.name == "horizons")
    kinds = {product.kind for product in portfolio.products}
    wanted = max(row["days"] for row in table if kinds & set(row["kinds"]))
    assert wanted in horizons_read(report, portfolio)
    assert horizons_read(margin(book(), market()), book()) == (1,)


# ------------------------------------------------------------------------------------------------------- all days


def only(rows):
    (found,) = back_tested(rows)
    return found


def test_exceptions_are_counted_and_judged():
    days = [row(number, pnl=-101.0 if number % 50 == 0 else 5.0) for number in range(600)]
    found = only(days)
    assert (found["observations"], found["exceptions"], found["expected"]) == (600, 12, pytest.approx(6.0))
    assert found["uncovered"] == pytest.approx(1.0)
    assert found["kupiec_p"] == kupiec(600, 12, 0.01).p_value
    assert found["verdict"] == UNDERSTATED
    assert only([row(number) for number in range(600)])["verdict"] == OVERSTATED
    good = [row(number, pnl=-101.0 if number % 100 == 0 else 5.0) for number in range(600)]
    assert only(good)["verdict"] == PASSED
    crowded = [row(number, pnl=-101.0 if number < 6 else 5.0) for number in range(600)]
    assert only(crowded)["verdict"] == f"{PASSED}, exceptions in clusters"


def test_too_few_days_never_pass_nor_fail():
    for count in (1, 2, 30, 100):
        for pnl in (5.0, -101.0):
            assert only([row(number, pnl=pnl) for number in range(count)])["verdict"] == TOO_FEW


def test_what_has_no_figure_is_not_tested():
    assert only([row(1, required=None)])["verdict"] == f"{NOT_TESTED}: no requirement"
    assert only([row(1, pnl=None)])["verdict"] == f"{NOT_TESTED}: no profit and loss"
    assert list(back_tested([])) == list(swings([])) == []


@rarely
@given(st.lists(st.tuples(st.integers(1, 9), st.floats(-300, 300)), min_size=1, max_size=60), st.integers(1, 7))
def test_changes_that_are_tested_do_not_overlap(steps, days):
    numbers = [sum(step for step, _ in steps[: at + 1]) for at in range(len(steps))]
    rows = [
        row(number, pnl=pnl, shortest_days=days, longest_days=days)
        for number, (_, pnl) in zip(numbers, steps, strict=True)
    ]
    found = only(rows)
    apart = [numbers[0]]
    for number in numbers:
        if number - apart[-1] >= days:
            apart.append(number)
    assert found["observations"] == len(apart)
    assert all(later - earlier >= days for earlier, later in pairwise(apart))


@rarely
@given(st.lists(st.floats(-300, 300), min_size=1, max_size=80), st.floats(0, 200), st.floats(0, 200))
def test_more_margin_never_has_more_exceptions(gained, asked, more):
    less = only([row(number, asked, pnl) for number, pnl in enumerate(gained)])
    safer = only([row(number, asked + more, pnl) for number, pnl in enumerate(gained)])
    assert safer["exceptions"] <= less["exceptions"]
    assert safer["uncovered"] <= less["uncovered"]
    for found in (less, safer):
        assert (found["verdict"] == TOO_FEW) == (found["power"] < ENOUGH)


def test_both_horizons_are_tested_where_they_differ():
    two = [row(number, longest_days=5, longest_pnl=-101.0) for number in range(400)]
    short, long = back_tested(two)
    assert (short["horizon_days"], short["observations"], short["exceptions"]) == (1, 400, 0)
    assert (long["horizon_days"], long["observations"], long["exceptions"]) == (5, 80, 80)


def test_swings_are_those_of_the_series():
    asked = [100.0, 150.0, 120.0, 90.0]
    rows = [row(10 * number, amount, unmitigated=amount / (1 + number)) for number, amount in enumerate(asked)]
    (found,) = swings(rows)
    assert found["peak_to_trough"] == procyclicality(asked, 1).peak_to_trough
    assert found["largest_increase"] == 1.5
    assert found["unmitigated_largest_increase"] == 0.75
    assert found["cost"] == pytest.approx(sum(asked) / (100 + 75 + 40 + 22.5))
    assert (found["peak_day"], found["trough_day"]) == (rows[1]["day"], rows[3]["day"])
    assert (found["days"], found["rows_between"]) == (4, 10)


def test_a_day_without_requirement_leaves_ratios_unsaid():
    (found,) = swings([row(1, 0.0), row(2, 5.0), row(3, None)])
    assert (found["peak_to_trough"], found["largest_increase"], found["cost"]) == (None, None, 1.0)
    assert found["days"] == 2
    assert list(swings([row(1)])) == []


# ---------------------------------------------------------------------------------------------------- the power


@given(st.integers(1, 400), st.sampled_from([0.005, 0.01, 0.03, 0.2]))
@settings(max_examples=30, deadline=None)
def test_power_is_the_sum_of_what_the_test_rejects(days, actual):
    rejected = [count for count in range(days + 1) if kupiec(days, count, 0.01).p_value <= 0.05]
    wanted = sum(comb(days, count) * actual**count * (1 - actual) ** (days - count) for count in rejected)
    assert kupiec_power(days, 0.01, actual) == pytest.approx(wanted, abs=1e-9)


def test_days_are_spaced_and_grouped():
    first, last = history().dates[0], history().dates[-1]
    days = spaced_days(history(), first, last, 20)
    rows = [history().row_at(day) for day in days]
    assert {later - earlier for earlier, later in pairwise(rows)} == {20}
    assert spaced_days(history(), first, last, 0) == ()
    assert [group[0].year for group in by_year(days)] == sorted({day.year for day in days})
    assert sum(by_year(days), ()) == days


def test_a_market_ahead_of_the_days_is_no_part_of_a_requirement():
    later = evolve(history(), par=history().par.copy())
    later.par.setflags(write=True)
    later.par[(history().row_at(DAY) or 0) + 1 :] += 0.03
    other = MarketHistory(later)
    rows = [outcomes(book(*basis()), past.market(DAY), past, [SILOED], rules=RULES)[0] for past in (PAST, other)]
    assert isinstance(PAST.market(DAY), Market)
    assert rows[0]["required"] == rows[1]["required"]
    assert rows[0]["longest_pnl"] != rows[1]["longest_pnl"]
