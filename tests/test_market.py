from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.columns import readonly
from crossmargin.errors import InputError
from crossmargin.market import (
    LARGEST_PAR,
    STALE_DAYS,
    TENORS,
    History,
    Market,
    ParCurve,
    age_notes,
    raise_capped,
    tenor_name,
    tenor_problems,
)
from crossmargin.underlyings import Underlying

DAY = date(2026, 6, 30)
FIVE = [0.25, 2, 5, 10, 30]
YIELDS = [0.0387, 0.0414, 0.0419, 0.0444, 0.0491]


def a_history(rows: int = 3, tenors=(1, 2), start: date = date(2024, 2, 27)) -> History:
    dates = [start + timedelta(days=row) for row in range(rows)]
    par = 0.01 + 0.0001 * np.arange(rows * len(tenors)).reshape(rows, len(tenors))
    return History(dates, tenors, par, "made up")


def problems_of(call) -> list[str]:
    with pytest.raises(InputError) as caught:
        call()
    return [str(problem) for problem in caught.value.problems]


def test_tenors_are_the_treasurys_own() -> None:
    assert " ".join(TENORS) == "1M 1.5M 2M 3M 4M 6M 1Y 2Y 3Y 5Y 7Y 10Y 20Y 30Y"
    assert all(tenor_name(years) == label for label, years in TENORS.items())
    assert tenor_name(8.5) == "8.5Y"
    assert tenor_name(4) == "4Y"


def test_a_curve_keeps_read_only_copies() -> None:
    par = np.array(YIELDS)
    curve = ParCurve(DAY, FIVE, par)
    par[0] = 9.0
    assert curve.par[0] == 0.0387
    with pytest.raises(ValueError, match="read-only"):
        curve.par[0] = 0.0


@pytest.mark.parametrize(
    ("tenors", "names"),
    [
        (FIVE, None),
        ([1], None),
        ([1, 3, 9, 27], None),
        ([0.25, 2, 10, 30], ("2Y", "10Y")),
        ([0.25, 2, 5, 30], ("5Y", "30Y")),
        ([0.25, 3], ("3M", "3Y")),
        ([1, 3.001], ("1Y", "3.001Y")),
        ([2, 5], ("2Y", "1Y")),
    ],
)
def test_a_hole_is_named_with_both_ends(tenors, names) -> None:
    par = np.full(len(tenors), 0.04)
    if names is None:
        assert ParCurve(DAY, tenors, par).tenors.tolist() == tenors
        return
    (problem,) = problems_of(lambda: ParCurve(DAY, tenors, par))
    assert all(name in problem for name in names)
    assert "Add a yield" in problem


def test_two_holes_are_two_problems() -> None:
    assert len(problems_of(lambda: ParCurve(DAY, [2, 7, 30], [0.04] * 3))) == 3


def test_every_problem_of_a_curve_at_once() -> None:
    found = problems_of(lambda: ParCurve(DAY, [0.25, 2, 10], [np.nan, 4.14, np.inf]))
    assert len(found) == 4
    assert "3M" in found[0]
    assert "percentage" in found[1]
    assert "10Y" in found[2]
    assert "hole" in found[3]


@pytest.mark.parametrize(
    ("tenors", "par"),
    [
        ([], []),
        ([1, 1], [0.04, 0.04]),
        ([2, 1], [0.04, 0.04]),
        ([0, 1], [0.04, 0.04]),
        ([-1, 1], [0.04, 0.04]),
        ([np.nan, 1], [0.04, 0.04]),
        ([1, np.inf], [0.04, 0.04]),
        ([1, 2], [0.04]),
        ([[1, 2]], [[0.04, 0.04]]),
        (1.0, 0.04),
        (["a"], [0.04]),
        ([1, 2], [[0.04], [0.04, 0.04]]),
        ([1], [None]),
    ],
)
def test_malformed_curves_are_refused(tenors, par) -> None:
    with pytest.raises(InputError):
        ParCurve(DAY, tenors, par)


@given(st.lists(st.floats(0.01, 40), min_size=1, max_size=8))
def test_tenor_problems_agree_with_sortedness(tenors) -> None:
    increasing = all(left < right for left, right in pairwise(tenors))
    assert (not tenor_problems(readonly(tenors))) == increasing


def test_a_datetime_is_its_date_and_text_is_no_date() -> None:
    assert ParCurve(datetime(2026, 6, 30, 17, 0), FIVE, YIELDS).as_of == DAY  # noqa: DTZ001
    with pytest.raises(InputError, match="is not a date"):
        ParCurve("2026-06-30", FIVE, YIELDS)


def test_every_problem_of_a_history_at_once() -> None:
    days = [date(2024, 2, 28), date(2024, 2, 29), date(2024, 2, 29), date(2024, 2, 27)]
    par = [[0.01, np.nan], [np.nan, np.nan], [np.inf, 0.02], [0.01, 4.2]]
    found = problems_of(lambda: History(days, [1, 2], par))
    assert len(found) == 5
    assert "stands twice" in found[0]
    assert "earlier than" in found[1]
    assert "nothing is quoted" in found[2]
    assert "tenor 1Y" in found[3]
    assert "tenor 2Y" in found[4]


@pytest.mark.parametrize(
    ("dates", "tenors", "par"),
    [
        ([], [1], np.empty((0, 1))),
        ([DAY], [1, 2], [[0.01]]),
        ([DAY], [1], [0.01]),
        ([DAY], [2, 1], [[0.01, 0.01]]),
        (["2026-06-30"], [1], [[0.01]]),
    ],
)
def test_malformed_histories_are_refused(dates, tenors, par) -> None:
    with pytest.raises(InputError):
        History(dates, tenors, par)


def test_row_at_is_the_last_row_on_or_before() -> None:
    history = a_history(3)
    assert history.row_at(date(2024, 2, 26)) is None
    assert history.row_at(date(2024, 2, 27)) == 0
    assert history.row_at(date(2024, 2, 29)) == 2
    assert history.row_at(date(2030, 1, 1)) == 2


def test_extending_adds_rows_and_tenors_and_fills_blanks() -> None:
    first = History([date(2024, 1, 2), date(2024, 1, 3)], [1, 2], [[0.01, 0.02], [0.011, np.nan]], "a")
    second = History([date(2024, 1, 3), date(2024, 1, 4)], [2, 5], [[0.021, 0.03], [0.022, 0.031]], "b")
    joined = first.extended(second)
    assert joined.tenors.tolist() == [1, 2, 5]
    expected = [[0.01, 0.02, np.nan], [0.011, 0.021, 0.03], [np.nan, 0.022, 0.031]]
    np.testing.assert_array_equal(joined.par, expected)
    assert joined.source == "a + b"
    np.testing.assert_array_equal(second.extended(first).par, expected)


def test_extending_by_itself_changes_nothing() -> None:
    history = a_history(4)
    again = history.extended(history)
    assert again.dates == history.dates
    assert again.source == history.source
    np.testing.assert_array_equal(again.par, history.par)


def test_a_conflict_is_refused_unless_told_to_replace() -> None:
    first = History([DAY], [1, 2], [[0.01, 0.02]])
    second = History([DAY], [1, 2], [[0.01, 0.03]])
    (problem,) = problems_of(lambda: first.extended(second))
    assert "2026-06-30, tenor 2Y" in problem
    assert "replace=True" in problem
    assert first.extended(second, replace=True).par.tolist() == [[0.01, 0.03]]
    blank = History([DAY], [1, 2], [[0.015, np.nan]])
    assert first.extended(blank, replace=True).par.tolist() == [[0.015, 0.02]]


def test_a_long_list_of_conflicts_is_cut_and_counted() -> None:
    history = a_history(60, tenors=(1,))
    other = History(history.dates, [1], history.par + 0.01)
    with pytest.raises(InputError, match="60 problems") as caught:
        history.extended(other)
    assert len(caught.value.problems) == 51
    assert "10 further" in str(caught.value)


def test_nothing_to_raise_is_nothing() -> None:
    raise_capped([], "nothing")


def test_a_market_from_history_takes_the_very_date_and_names_what_is_blank() -> None:
    history = History([date(2024, 2, 28), date(2024, 2, 29)], [1, 2], [[0.01, 0.02], [0.011, np.nan]], "h")
    market = Market.from_history(history, date(2024, 2, 29), money_market={"SOFR": 0.05}, notes=["n"])
    assert market.curve.tenors.tolist() == [1]
    assert market.notes == ("not quoted on 2024-02-29 and left out of the curve: 2Y", "n")
    assert market.money_market == {"SOFR": 0.05}
    assert Market.from_history(history, date(2024, 2, 28)).notes == ()


def test_an_older_row_is_never_taken_for_as_of() -> None:
    (late,) = problems_of(lambda: Market.from_history(a_history(3), date(2024, 3, 31)))
    assert "market is older than as-of" in late
    assert "2024-02-29, 31 days" in late
    assert "--as-of 2024-02-29" in late
    (early,) = problems_of(lambda: Market.from_history(a_history(3), date(2000, 1, 1)))
    assert "begins 2024-02-27" in early


def test_a_row_with_a_hole_is_refused() -> None:
    history = History([DAY], [1, 2, 10], [[0.04, 0.04, 0.04]])
    with pytest.raises(InputError, match="hole"):
        Market.from_history(history, DAY)


def test_check_as_of() -> None:
    market = Market(DAY, ParCurve(DAY, FIVE, YIELDS), a_history())
    market.check_as_of(DAY)
    with pytest.raises(InputError, match="1 day older than as-of"):
        market.check_as_of(date(2026, 7, 1))
    with pytest.raises(InputError, match="30 days later than as-of"):
        market.check_as_of(date(2026, 5, 31))


def test_every_problem_of_a_market_at_once() -> None:
    curve = ParCurve(DAY, FIVE, YIELDS)
    day = date(2026, 7, 1)
    rates = {"SOFR": np.nan, "EFFR": "high", "IORB": 0.04}
    found = problems_of(lambda: Market(day, curve, a_history(), money_market=rates, prices={"ZN": np.inf}))
    assert len(found) == 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prices": [1.0]}, "prices: a list was given"),
        ({"underlyings": None}, "underlyings: None was given"),
        ({"underlyings": {"IBM": 280.0}}, "is no Underlying"),
        ({"prices": {7: 1.0}}, "is no text"),
        ({"money_market": {"SOFR": 3.65}}, "3.65 is no decimal"),
    ],
)
def test_tables_of_a_wrong_kind_and_percentages_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        Market(DAY, ParCurve(DAY, FIVE, YIELDS), a_history(), **given)


def test_a_volatility_in_percent_is_refused():
    with pytest.raises(InputError, match=r"0\.2 for 20 %"):
        Underlying("IBM", 26.0, 280.0)


def test_a_market_keeps_its_own_mappings() -> None:
    rates = {"SOFR": 0.04}
    market = Market(DAY, ParCurve(DAY, FIVE, YIELDS), a_history(), money_market=rates)
    rates["SOFR"] = 9.0
    assert market.money_market["SOFR"] == 0.04


def test_age_notes() -> None:
    history = a_history(3)
    end = history.dates[-1]
    assert age_notes(history, end + timedelta(days=STALE_DAYS)) == ()
    assert "11 days before" in age_notes(history, end + timedelta(days=STALE_DAYS + 1))[0]
    assert "2.0 years before" in age_notes(history, end + timedelta(days=730))[0]
    assert "begins" in age_notes(history, date(2000, 1, 1))[0]


def test_the_limit_of_a_decimal_yield() -> None:
    ParCurve(DAY, [1], [LARGEST_PAR])
    ParCurve(DAY, [1], [-LARGEST_PAR])
    with pytest.raises(InputError, match="percentage"):
        ParCurve(DAY, [1], [-4.0])
