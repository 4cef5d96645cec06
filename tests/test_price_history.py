"""Histories of prices: what is read on a day, and what is refused."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.price_history import CARRIED_DAYS, PriceHistory

FRIDAY, MONDAY = date(2020, 3, 13), date(2020, 3, 16)
NAN = math.nan


def problems(make) -> list[tuple[str, str]]:
    with pytest.raises(InputError) as caught:
        make()
    return [(problem.where, problem.what) for problem in caught.value.problems]


def test_a_price_stands_for_the_days_that_follow():
    history = PriceHistory([FRIDAY, MONDAY], {"SPX": [2711.02, 2386.13]})
    found = history.read(
        history.prices["SPX"], [FRIDAY, FRIDAY + timedelta(2), MONDAY, MONDAY + timedelta(CARRIED_DAYS)]
    )
    assert found.tolist() == [2711.02, 2711.02, 2386.13, 2386.13]


def test_not_for_long_and_never_backwards():
    history = PriceHistory([FRIDAY], {"SPX": [2711.02]})
    assert math.isnan(history.at("SPX", FRIDAY - timedelta(1)))
    assert history.at("SPX", FRIDAY + timedelta(CARRIED_DAYS)) == 2711.02
    assert math.isnan(history.at("SPX", FRIDAY + timedelta(CARRIED_DAYS + 1)))


def test_days_without_a_quote_are_looked_past():
    days = [FRIDAY + timedelta(n) for n in range(8)]
    history = PriceHistory(days, {"X": [1.0, *[NAN] * 7], "Y": [NAN] * 7 + [2.0]})
    assert [history.at("X", day) for day in days[:6]] == [1.0] * 6
    assert math.isnan(history.at("X", days[6]))
    assert math.isnan(history.at("Y", days[6]))
    assert history.at("Y", days[7]) == 2.0


def test_an_unknown_ticker_gets_a_suggestion():
    history = PriceHistory([FRIDAY], {"SPX": [1.0]})
    with pytest.raises(InputError, match="Did you mean 'SPX'"):
        history.at("SPXX", FRIDAY)
    with pytest.raises(InputError, match="has no column 'SPX'"):
        PriceHistory([FRIDAY], {}).at("SPX", FRIDAY)


def test_columns_cannot_be_written_to_and_are_copies():
    mine = np.array([1.0])
    history = PriceHistory([datetime(2020, 3, 13, 16)], {"X": mine}, volatilities={"X": (0.2,)})  # noqa: DTZ001
    mine[0] = 5.0
    assert history.dates == (FRIDAY,)
    assert history.at("X", FRIDAY) == 1.0
    with pytest.raises(ValueError, match="read-only"):
        history.prices["X"][0] = 2.0


def test_everything_wrong_is_said_at_once():
    days = [MONDAY, FRIDAY, FRIDAY]
    found = problems(
        lambda: PriceHistory(days, {"A": [1.0], "B": [1.0, 0.0, 2.0]}, volatilities={"C": [0.1, math.inf, NAN]})
    )
    assert [where for where, _ in found] == ["price history", "prices of A", "prices of B", "volatilities of C"]
    assert str(FRIDAY) in found[0][1]


@pytest.mark.parametrize("price", [0.0, -1.0, math.inf, -math.inf])
def test_a_price_is_above_zero(price):
    assert problems(lambda: PriceHistory([FRIDAY], {"X": [price]}))[0][0] == "prices of X"
    assert problems(lambda: PriceHistory([FRIDAY], {}, volatilities={"X": [price]}))[0][0] == "volatilities of X"


def test_volatilities_in_percent_are_refused():
    with pytest.raises(InputError, match=r"0\.16 for 16 %"):
        PriceHistory([FRIDAY], {}, volatilities={"SPX": [16.0]})
    assert PriceHistory([FRIDAY], {"SPX": [16.0]}, volatilities={"SPX": [9.9]}).dates == (FRIDAY,)


@pytest.mark.parametrize("column", [["a"], 5.0, [[1.0], [2.0, 3.0]], "text"])
def test_what_is_no_list_of_numbers_is_named(column):
    assert problems(lambda: PriceHistory([FRIDAY], {"X": column, "Y": [1.0]}))[0][0] == "column of X"


@pytest.mark.parametrize("column", [[], [1.0, 2.0], np.ones((1, 1))])
def test_a_column_has_one_figure_for_each_date(column):
    assert problems(lambda: PriceHistory([FRIDAY], {"X": column}))[0][0] == "prices of X"


def test_without_dates_there_is_no_history():
    assert problems(lambda: PriceHistory([], {})) == [("price history", "has no rows.")]
    with pytest.raises(InputError, match="not a date"):
        PriceHistory(["2020-03-13"], {})


@given(st.lists(st.one_of(st.just(NAN), st.floats(0.01, 1e9)), min_size=1, max_size=25), st.integers(-3, 30))
def test_what_is_read_is_the_obvious_search(figures, step):
    days = [FRIDAY + timedelta(n) for n in range(len(figures))]
    day = FRIDAY + timedelta(step)
    quoted = [(d, f) for d, f in zip(days, figures, strict=True) if 0 <= (day - d).days <= CARRIED_DAYS]
    quoted = [(d, f) for d, f in quoted if not math.isnan(f)]
    found = PriceHistory(days, {"X": figures}).at("X", day)
    assert found == quoted[-1][1] if quoted else math.isnan(found)
