"""What swaps are priced from beside the par curve: projection curves, credit spreads and past fixings. Data only.

Parts of a `Market`. Curves are given as zero rates; `pricing.swap_curve.bootstrap` builds them from quoted swaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, TypeAlias

import numpy as np
from attrs import field, frozen

from crossmargin.columns import FloatArray, as_date, readonly
from crossmargin.errors import Problem, Problems, check_kinds, counted, is_number
from crossmargin.products.security_based import STANDARD_RECOVERY

Fixings: TypeAlias = Mapping[str, Mapping[date, float]]
"""Index -> day of the fixing -> rate, a decimal. An overnight rate bears the day from which it accrues."""

HALF_YEARS = 2  # tenors of standard credit default swaps are multiples of a half-year


@frozen(eq=False)
class ZeroCurve:
    """Zero rates on one date: of the index that the curve projects.

    Parameters
    ----------
    as_of : date
    knots : array [n_knots]
        Years by Act/365, increasing and above zero.
    zeros : array [n_knots]
        Continuously compounded decimals; log discount factors are linear between knots.
    source : str

    Raises
    ------
    InputError
        Knots that do not increase, rates that are no finite decimals.
    """

    as_of: date = field(converter=as_date)
    knots: FloatArray = field(converter=readonly)
    zeros: FloatArray = field(converter=readonly)
    source: str = ""

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"zero curve of {self.as_of}"
        if self.knots.ndim != 1 or not self.knots.size or not (np.diff(self.knots, prepend=0.0) > 0.0).all():
            problems.add("knots do not increase from zero.", where=where, fix="Give years above 0, sorted.")
        if self.zeros.shape != self.knots.shape:
            problems.add(
                f"{counted(self.zeros.size, 'zero rate')} for {counted(self.knots.size, 'knot')}.", where=where
            )
        elif not (np.abs(self.zeros) < 1.0).all():
            problems.add("some zero rates are no decimals.", where=where, fix="Write 4.25 % as 0.0425.")
        problems.raise_if_any()


@frozen(eq=False)
class CreditSpreads:
    """Par spreads of protection on one name or index, by tenor.

    Parameters
    ----------
    reference : str
        As in `CreditDefaultSwap`.
    spreads : mapping of years to decimal
        Tenors in multiples of a half-year, which mean standard maturities.
    recovery : float
        With which they are quoted, in [0, 1).

    Raises
    ------
    InputError
        With every tenor and spread that is wrong.

    Examples
    --------
    >>> CreditSpreads("ACME", {5: 0.0110, 1: 0.0060}).spreads
    {1.0: 0.006, 5.0: 0.011}
    """

    reference: str
    spreads: Mapping[float, float]
    recovery: float = STANDARD_RECOVERY

    def __attrs_post_init__(self) -> None:
        check_kinds(spreads=(self.spreads, Mapping, "Give a spread for each tenor in years: {5: 0.011}."))
        problems, where = Problems(), f"credit spreads of {self.reference!r}"
        reference: object = self.reference
        if not isinstance(reference, str) or not reference.strip():
            problems.add("the reference is no name.", where=where)
        if not self.spreads:
            problems.add("there is none.", where=where, fix="Give one tenor at least.")
        for years, spread in self.spreads.items():
            if not (_is_decimal(years, below=100.0) and years > 0 and HALF_YEARS * years == int(HALF_YEARS * years)):
                fix = "Give 0.5, 1, 5 or 10."
                problems.add(f"{years!r} years is no multiple of a half-year.", where=where, fix=fix)
            if not (_is_decimal(spread) and spread >= 0.0):
                problems.add(f"{spread!r} is no spread.", where=where, fix="Write 110 bp as 0.011.")
        if not (_is_decimal(self.recovery) and self.recovery >= 0.0):
            problems.add(f"recovery {self.recovery!r} is not in [0, 1).", where=where, fix="Write 40 % as 0.4.")
        problems.raise_if_any()
        ordered = {float(years): float(self.spreads[years]) for years in sorted(self.spreads)}
        object.__setattr__(self, "spreads", ordered)


def swap_market_problems(
    as_of: date, fixings: Fixings, projections: Mapping[str, ZeroCurve], credit: Mapping[str, CreditSpreads]
) -> Iterable[Problem]:
    """Yield what is wrong with the parts of a market that swaps read: rates, dates, names that disagree."""
    for index, rates in fixings.items():
        days: Mapping[Any, Any] = rates
        for day, rate in days.items():
            where = f"fixings[{index!r}], {day}"
            if not isinstance(day, date) or isinstance(day, datetime):
                yield Problem("is no date.", where, "Give a datetime.date.")
            if not _is_decimal(rate):
                yield Problem(f"{rate!r} is no decimal rate.", where, "Write 4.25 % as 0.0425.")
    for index, curve in projections.items():
        if curve.as_of != as_of:
            yield Problem(f"the curve is of {curve.as_of}.", f"projections[{index!r}]", f"Give that of {as_of}.")
    for reference, spreads in credit.items():
        if spreads.reference != reference:
            fix = "Keep each under its own name."
            yield Problem(f"holds the spreads of {spreads.reference!r}.", f"credit[{reference!r}]", fix)


def _is_decimal(value: Any, *, below: float = 1.0) -> bool:
    return is_number(value) and abs(float(value)) < below
