"""Business days of the US government-bond market, and the month arithmetic that schedules need.

Call `is_business_day`. The holidays follow by rule; the few closures that no rule foretells are listed.
Early closes are business days here, and no futures-exchange calendar is kept: contract dates that the
exchange counts in its own business days are counted in these.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta
from functools import cache, lru_cache

_ONE_DAY = timedelta(days=1)
_MONDAY, _WEDNESDAY, _THURSDAY, _FRIDAY, _SATURDAY, _SUNDAY = 0, 2, 3, 4, 5, 6

# Days without Treasury par yields that no rule foretells: a Good Friday closed in spite of the employment
# report (1994), presidential funerals (1994, 2004, 2018), the attacks of 2001 and hurricane Sandy
# (Treasury daily par-yield archive, dates without a row).
_UNFORESEEN = frozenset(
    {
        date(1994, 4, 1),
        date(1994, 4, 27),
        date(2001, 9, 11),
        date(2001, 9, 12),
        date(2004, 6, 11),
        date(2012, 10, 30),
        date(2018, 12, 5),
    }
)
_MARTIN_LUTHER_KING_SINCE = 1986  # first observed on the third Monday of January 1986, Public Law 98-144
_JUNETEENTH_SINCE = 2022  # a law of June 2021 (Public Law 117-17), too late for that year's recommendation


@cache
def days_in_month(year: int, month: int) -> int:
    """Return the number of days of a month."""
    return monthrange(year, month)[1]


def is_month_end(day: date) -> bool:
    """Return whether `day` is the last calendar day of its month."""
    return day.day == days_in_month(day.year, day.month)


def add_months(day: date, months: int, *, month_end: bool = False) -> date:
    """Return the same day `months` later, cut to the length of the month.

    Parameters
    ----------
    day : date
    months : int
        May be negative.
    month_end : bool
        Return the last day of the month reached, whatever `day` is.

    Examples
    --------
    >>> (
    ...     add_months(date(2027, 8, 30), 6).isoformat(),
    ...     add_months(date(2026, 2, 28), 6, month_end=True).isoformat(),
    ... )
    ('2028-02-29', '2026-08-31')
    """
    year, month0 = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = days_in_month(year, month0 + 1)
    return date(year, month0 + 1, last if month_end else min(day.day, last))


def nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    """Return the nth (1 = first) given weekday (Monday = 0) of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def third_wednesday(year: int, month: int) -> date:
    """Return the third Wednesday of a month, the IMM date of quarterly rate futures.

    Examples
    --------
    >>> third_wednesday(2026, 9).isoformat()
    '2026-09-16'
    """
    return nth_weekday(year, month, _WEDNESDAY, 3)


def third_friday(year: int, month: int) -> date:
    """Return the day on which most listed options and index futures of a month settle: Thursday on a holiday.

    Examples
    --------
    >>> third_friday(2026, 9).isoformat(), third_friday(2025, 4).isoformat()  # the latter is Good Friday
    ('2026-09-18', '2025-04-17')
    """
    friday = nth_weekday(year, month, _FRIDAY, 3)
    return friday if is_business_day(friday) else previous_business_day(friday)


@lru_cache(maxsize=512)
def holidays(year: int) -> frozenset[date]:
    """Return the weekdays of `year` on which the US government-bond market is closed.

    Notes
    -----
    A holiday on a Sunday moves to Monday. On a Saturday, Independence Day, Juneteenth and Christmas move to
    Friday; New Year's Day and Veterans Day do not. Good Friday is a holiday unless it falls in the first week
    of April, when the employment report makes it a trading day with an early close.

    References
    ----------
    SIFMA holiday recommendations for US dollar fixed income, checked against the days on which the Treasury
    published par yields, 1990 to June 2026. Years before 1990 are by the same rules, unchecked.
    """
    good_friday = easter_sunday(year) - timedelta(days=2)
    days = {
        _sunday_to_monday(date(year, 1, 1)),
        nth_weekday(year, 2, _MONDAY, 3),  # Washington's Birthday
        date(year, 5, 31) - timedelta(days=date(year, 5, 31).weekday()),  # Memorial Day
        _to_weekday(date(year, 7, 4)),
        nth_weekday(year, 9, _MONDAY, 1),  # Labor Day
        nth_weekday(year, 10, _MONDAY, 2),  # Columbus Day
        _sunday_to_monday(date(year, 11, 11)),
        nth_weekday(year, 11, _THURSDAY, 4),  # Thanksgiving
        _to_weekday(date(year, 12, 25)),
    }
    if year >= _MARTIN_LUTHER_KING_SINCE:
        days.add(nth_weekday(year, 1, _MONDAY, 3))
    if year >= _JUNETEENTH_SINCE:
        days.add(_to_weekday(date(year, 6, 19)))
    if not (good_friday.month == 4 and good_friday.day <= 7):
        days.add(good_friday)
    return frozenset(days | {day for day in _UNFORESEEN if day.year == year})


def easter_sunday(year: int) -> date:
    """Return Easter Sunday of a Gregorian year.

    References
    ----------
    The anonymous Gregorian algorithm, as given by J. Meeus, *Astronomical Algorithms*, chapter 8.

    Examples
    --------
    >>> easter_sunday(2026).isoformat()
    '2026-04-05'
    """
    century, rest = divmod(year, 100)
    golden = year % 19
    epact = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (rest // 4) - epact - rest % 4) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day0 = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day0 + 1)


def is_business_day(day: date) -> bool:
    """Return whether the US government-bond market is open on `day`.

    Examples
    --------
    >>> is_business_day(date(2026, 7, 3)), is_business_day(date(2026, 7, 6))
    (False, True)
    """
    return day.weekday() < _SATURDAY and day not in holidays(day.year)


def next_business_day(day: date) -> date:
    """Return the first business day strictly after `day`."""
    day += _ONE_DAY
    while not is_business_day(day):
        day += _ONE_DAY
    return day


def previous_business_day(day: date) -> date:
    """Return the last business day strictly before `day`."""
    day -= _ONE_DAY
    while not is_business_day(day):
        day -= _ONE_DAY
    return day


def add_business_days(day: date, count: int) -> date:
    """Return the business day `count` business days after `day`, or before it when `count` is negative.

    Zero returns `day` itself, business day or not.

    Examples
    --------
    >>> (
    ...     add_business_days(date(2026, 7, 2), 1).isoformat(),
    ...     add_business_days(date(2026, 7, 6), -1).isoformat(),
    ... )
    ('2026-07-06', '2026-07-02')
    """
    step = next_business_day if count > 0 else previous_business_day
    for _ in range(abs(count)):
        day = step(day)
    return day


def last_business_day_of_month(year: int, month: int) -> date:
    """Return the last business day of a month.

    Examples
    --------
    >>> last_business_day_of_month(2024, 3).isoformat()
    '2024-03-28'
    """
    return previous_business_day(date(year, month, days_in_month(year, month)) + _ONE_DAY)


def _sunday_to_monday(day: date) -> date:
    return day + _ONE_DAY if day.weekday() == _SUNDAY else day


def _to_weekday(day: date) -> date:
    return day - _ONE_DAY if day.weekday() == _SATURDAY else _sunday_to_monday(day)
