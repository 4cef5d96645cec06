"""When the legs of a swap pay: conventions, day counts, business-day adjustment and schedules.

Call `schedule(convention, start, maturity)`. Schedules are rolled back from maturity, so that an odd period is the
first and short. Business days are those of the US government-bond market (`calendars`). Treasuries have their own
schedules, in `treasuries`.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import Any

from attrs import field, frozen

from crossmargin.errors import Problems
from crossmargin.products import _fields as fields
from crossmargin.products.calendars import (
    add_business_days,
    add_months,
    is_business_day,
    next_business_day,
    previous_business_day,
    third_wednesday,
)

DAY_COUNTS = ("act/360", "act/365f", "act/act", "30/360")
ADJUSTMENTS = ("modified_following", "following", "modified_preceding", "preceding", "unadjusted")
ROLLS = ("day", "month_end", "third_wednesday")

_MONTHS = (0, 1, 2, 3, 4, 6, 12)  # between payments; 0 is one payment at the end
_LONGEST_LAG = 30  # business days between the end of a period and its payment


def check_days(problems: Problems, value: Any, where: str) -> None:
    """Note what is no small count of business days."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LONGEST_LAG:
        problems.add(f"{value!r} is no count of business days, 0 to {_LONGEST_LAG}.", where=where)


@frozen
class Period:
    """One period of a leg: unadjusted start `rolls`, adjusted `start`, `end` and `payment`, `fraction` in years."""

    rolls: date
    start: date
    end: date
    payment: date
    fraction: float


@frozen(cache_hash=True)
class Convention:
    """When a leg pays, and how it counts days.

    Parameters
    ----------
    months : int
        Between payments: 1, 2, 3, 4, 6 or 12; 0 for one payment at the end.
    day_count : str
        `act/360`, `act/365f`, `act/act` (ISDA) or `30/360` (bond basis).
    payment_lag : int
        Business days from the end of a period to its payment.
    adjustment : str
        What happens to the ends of periods that are no business days: `modified_following`, `following`,
        `modified_preceding`, `preceding`, or `unadjusted` (payments then follow).
    roll : str
        `day` as in the maturity, `month_end`, or `third_wednesday` of the month (IMM dates).

    Raises
    ------
    InputError
        With every field that is wrong.
    """

    months: int
    day_count: str
    payment_lag: int = 0
    adjustment: str = field(default=ADJUSTMENTS[0], kw_only=True)
    roll: str = field(default=ROLLS[0], kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        if self.months not in _MONTHS or isinstance(self.months, bool):
            fix = f"Give one of {', '.join(map(str, _MONTHS))}."
            problems.add(f"{self.months!r} months between payments.", where="months", fix=fix)
        fields.is_one_of(problems, self.day_count, "day_count", DAY_COUNTS)
        fields.is_one_of(problems, self.adjustment, "adjustment", ADJUSTMENTS)
        fields.is_one_of(problems, self.roll, "roll", ROLLS)
        check_days(problems, self.payment_lag, "payment_lag")
        problems.raise_if_any()

    @property
    def text(self) -> str:
        """The convention in words, what is usual left out; book files write it so.

        Examples
        --------
        >>> Convention(12, "act/360", 2, roll="third_wednesday").text
        '12M act/360 2d third_wednesday'
        """
        lag = f"{self.payment_lag}d" if self.payment_lag else ""
        words = (f"{self.months}M", self.day_count, lag, *self._unusual())
        return " ".join(word for word in words if word)

    def _unusual(self) -> tuple[str, str]:
        return (
            "" if self.adjustment == ADJUSTMENTS[0] else self.adjustment,
            "" if self.roll == ROLLS[0] else self.roll,
        )


OVERNIGHT = Convention(12, "act/360", 2)
"""Both legs of a USD SOFR overnight swap: yearly, Act/360, paid two business days after the period."""
SEMIANNUAL = Convention(6, "30/360")
"""The fixed leg of a USD swap against a three-month rate."""
QUARTERLY = Convention(3, "act/360")
"""The floating leg of a USD swap against a three-month rate."""


@lru_cache(maxsize=8192)  # payer and receiver, par rates and values ask for the same schedule
def schedule(convention: Convention, start: date, maturity: date) -> tuple[Period, ...]:
    """Return the periods of a leg; those that adjustment leaves without a day are dropped.

    Examples
    --------
    >>> found = schedule(OVERNIGHT, date(2026, 7, 2), date(2028, 1, 2))
    >>> [(p.start.isoformat(), p.end.isoformat(), p.payment.isoformat()) for p in found]
    [('2026-07-02', '2027-01-04', '2027-01-06'), ('2027-01-04', '2028-01-03', '2028-01-05')]
    """
    rolls = [start, *_ends(convention, start, maturity)]
    days = [adjusted(day, convention.adjustment) for day in rolls]
    return tuple(
        Period(rolled, begin, end, _payment(end, convention), year_fraction(begin, end, convention.day_count))
        for rolled, (begin, end) in zip(rolls, pairwise(days), strict=False)
        if begin < end
    )


def _payment(end: date, convention: Convention) -> date:
    return add_business_days(end, convention.payment_lag) if convention.payment_lag else adjusted(end, "following")


def year_fraction(start: date, end: date, day_count: str) -> float:
    """Return the time from `start` to `end` in years by one of `DAY_COUNTS`.

    References
    ----------
    2006 ISDA Definitions, section 4.16: (b) Actual/Actual, (d) Actual/365 (Fixed), (e) Actual/360, (f) 30/360.

    Examples
    --------
    >>> year_fraction(date(2026, 1, 31), date(2026, 7, 31), "30/360")
    0.5
    """
    if day_count == "30/360":
        first = min(start.day, 30)
        last = 30 if end.day == 31 and first == 30 else end.day
        return (360 * (end.year - start.year) + 30 * (end.month - start.month) + last - first) / 360
    if day_count == "act/act":
        whole = end.year - start.year
        return whole + _share_of_year(end) - _share_of_year(start)
    return (end - start).days / (360 if day_count == "act/360" else 365)


def adjusted(day: date, adjustment: str) -> date:
    """Return `day`, moved to a business day by one of `ADJUSTMENTS`.

    Examples
    --------
    >>> adjusted(date(2026, 5, 31), "modified_following").isoformat()  # a Sunday, and June would follow
    '2026-05-29'
    """
    if adjustment == "unadjusted" or is_business_day(day):
        return day
    after, before = next_business_day, previous_business_day
    there, back = (before, after) if adjustment.endswith("preceding") else (after, before)
    moved = there(day)
    return back(day) if adjustment.startswith("modified") and moved.month != day.month else moved


def _ends(convention: Convention, start: date, maturity: date) -> list[date]:
    """Return the unadjusted ends of periods, rolled back from maturity."""
    found = [maturity]
    while convention.months:
        day = add_months(maturity, -convention.months * len(found), month_end=convention.roll == "month_end")
        if convention.roll == "third_wednesday":
            day = third_wednesday(day.year, day.month)
        if day <= start:
            break
        found.append(day)
    return found[::-1]


def _share_of_year(day: date) -> float:
    first = date(day.year, 1, 1)
    return (day - first).days / (date(day.year + 1, 1, 1) - first).days
