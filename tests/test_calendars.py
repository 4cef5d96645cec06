"""Business days and month arithmetic."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.products.calendars import (
    add_business_days,
    add_months,
    easter_sunday,
    holidays,
    is_business_day,
    is_month_end,
    last_business_day_of_month,
    next_business_day,
    nth_weekday,
    previous_business_day,
    third_wednesday,
)

PAR_YIELDS = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "market" / "ust_par_yields_daily.csv"
DAYS = st.dates(date(1960, 1, 1), date(2120, 12, 31))


@pytest.mark.parametrize(
    ("day", "open_"),
    [
        (date(2026, 1, 1), False),
        (date(2026, 1, 19), False),  # Martin Luther King
        (date(1985, 1, 21), True),  # a year before it was first observed
        (date(2026, 2, 16), False),
        (date(2026, 4, 3), True),  # Good Friday in the first week of April: employment report
        (date(2024, 3, 29), False),  # Good Friday
        (date(2027, 5, 31), False),  # Memorial Day on the last day of May
        (date(2026, 5, 25), False),
        (date(2021, 6, 18), True),  # Juneteenth was law the day before, too late
        (date(2022, 6, 20), False),  # Sunday moves to Monday
        (date(2026, 6, 19), False),
        (date(2020, 7, 3), False),  # Saturday moves to Friday
        (date(2026, 7, 3), False),
        (date(2026, 10, 12), False),
        (date(2018, 11, 12), False),  # Veterans Day, Sunday moves to Monday
        (date(2017, 11, 10), True),  # Veterans Day on a Saturday does not move
        (date(2026, 11, 26), False),
        (date(2021, 12, 24), False),
        (date(2021, 12, 31), True),  # New Year on a Saturday does not move
        (date(2023, 1, 2), False),
        (date(2001, 9, 11), False),
        (date(2012, 10, 30), False),
        (date(2026, 8, 1), False),  # Saturday
        (date(2026, 8, 2), False),  # Sunday
        (date(2024, 2, 29), True),
    ],
)
def test_known_days(day, open_):
    assert is_business_day(day) is open_


@pytest.mark.skipif(not PAR_YIELDS.exists(), reason="the shared Treasury par-yield history is absent")
def test_business_days_are_the_days_on_which_the_treasury_published_yields():
    with PAR_YIELDS.open() as lines:
        published = {date.fromisoformat(row["date"]) for row in csv.DictReader(lines)}
    first, last = date(1990, 1, 2), date(2026, 6, 30)
    span = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    assert [day for day in span if is_business_day(day) != (day in published)] == []


def test_agrees_with_quantlib_but_for_days_it_does_not_know():
    ql = pytest.importorskip("QuantLib")
    calendar = ql.UnitedStates(ql.UnitedStates.GovernmentBond)
    first = date(1990, 1, 1)
    span = [first + timedelta(days=n) for n in range(365 * 36)]
    theirs = {day: calendar.isBusinessDay(ql.Date(day.day, day.month, day.year)) for day in span}
    differences = {day for day in span if is_business_day(day) != theirs[day]}
    assert differences == {date(1994, 4, 27), date(2001, 9, 11), date(2001, 9, 12)}


@pytest.mark.parametrize(
    ("year", "easter"),
    [
        (1818, date(1818, 3, 22)),  # the earliest date possible
        (1943, date(1943, 4, 25)),  # the latest
        (2000, date(2000, 4, 23)),
        (2024, date(2024, 3, 31)),
        (2038, date(2038, 4, 25)),
    ],
)
def test_easter(year, easter):
    assert easter_sunday(year) == easter


@given(st.integers(1700, 2400))
def test_easter_is_a_sunday_between_its_bounds(year):
    day = easter_sunday(year)
    assert day.weekday() == 6
    assert date(year, 3, 22) <= day <= date(year, 4, 25)


@pytest.mark.parametrize("year", [1900, 1960, 1994, 2000, 2026, 2100, 2200])
def test_no_year_has_too_few_or_too_many_holidays(year):
    assert all(7 <= sum(day.weekday() < 5 for day in holidays(y)) <= 13 for y in range(year, year + 40))


@given(DAYS)
def test_next_and_previous_are_inverse_on_business_days(day):
    after = next_business_day(day)
    before = previous_business_day(day)
    assert before < day < after
    assert is_business_day(after)
    assert is_business_day(before)
    assert (after - before).days <= 10
    if is_business_day(day):
        assert previous_business_day(after) == day == next_business_day(before)


@given(DAYS, st.integers(-30, 30), st.integers(0, 30))
def test_business_days_add_up(day, start, count):
    day = next_business_day(day)
    once = add_business_days(day, start)
    assert add_business_days(once, count) == add_business_days(day, start + count)


def test_adding_no_business_day_leaves_even_a_sunday():
    assert add_business_days(date(2026, 8, 2), 0) == date(2026, 8, 2)


@given(DAYS)
def test_last_business_day_has_no_business_day_after_it_in_its_month(day):
    last = last_business_day_of_month(day.year, day.month)
    assert is_business_day(last)
    assert (last.year, last.month) == (day.year, day.month)
    assert next_business_day(last).month != day.month


def test_last_business_day_when_the_month_ends_on_a_holiday():
    assert last_business_day_of_month(2027, 5) == date(2027, 5, 28)
    assert last_business_day_of_month(2026, 12) == date(2026, 12, 31)


@pytest.mark.parametrize(
    ("day", "months", "month_end", "expected"),
    [
        (date(2026, 8, 31), 6, False, date(2027, 2, 28)),
        (date(2027, 8, 31), 6, False, date(2028, 2, 29)),
        (date(2026, 2, 28), 6, False, date(2026, 8, 28)),
        (date(2026, 2, 28), 6, True, date(2026, 8, 31)),
        (date(2024, 2, 29), -12, False, date(2023, 2, 28)),
        (date(2024, 2, 29), 48, False, date(2028, 2, 29)),
        (date(2026, 1, 15), -1, False, date(2025, 12, 15)),
        (date(2026, 12, 15), 1, False, date(2027, 1, 15)),
        (date(2026, 5, 15), 0, False, date(2026, 5, 15)),
        (date(2000, 1, 31), 1, False, date(2000, 2, 29)),
        (date(1900, 1, 31), 1, False, date(1900, 2, 28)),
    ],
)
def test_add_months(day, months, month_end, expected):
    assert add_months(day, months, month_end=month_end) == expected


@given(DAYS, st.integers(-600, 600))
def test_months_move_by_exactly_their_number(day, months):
    moved = add_months(day, months)
    assert moved.year * 12 + moved.month == day.year * 12 + day.month + months
    assert moved.day <= day.day
    assert moved.day == day.day or is_month_end(moved)
    assert is_month_end(add_months(day, months, month_end=True))


@pytest.mark.parametrize(("year", "month", "day"), [(2026, 9, 16), (2026, 7, 15), (2028, 2, 16), (2025, 10, 15)])
def test_third_wednesday(year, month, day):
    assert third_wednesday(year, month) == date(year, month, day)


@given(st.integers(1950, 2150), st.integers(1, 12), st.integers(0, 6), st.integers(1, 4))
def test_nth_weekday(year, month, weekday, nth):
    day = nth_weekday(year, month, weekday, nth)
    assert (day.year, day.month, day.weekday()) == (year, month, weekday)
    assert (day.day - 1) // 7 == nth - 1
