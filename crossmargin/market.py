"""The market on one date: a par yield curve, its daily history, overnight rates, prices, and what swaps need.

Start from `Market.from_history(history, as_of)`, or build a `Market` from your own `ParCurve` and `History`.
The objects are immutable and check themselves: every problem of an input is reported at once. Nothing here
reads a file (see `crossmargin.io.market_files`), builds a zero curve (`crossmargin.curves`) or draws a
scenario (`crossmargin.scenarios`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from math import inf, isfinite
from types import MappingProxyType
from typing import Any

import numpy as np
from attrs import field, frozen

from crossmargin.columns import FloatArray, as_date, as_dates, as_texts, readonly
from crossmargin.errors import InputError, Problem, Problems, check_kinds, counted, is_number
from crossmargin.price_history import PriceHistory
from crossmargin.swap_market import CreditSpreads, Fixings, ZeroCurve, swap_market_problems
from crossmargin.underlyings import Underlying

TENORS: Mapping[str, float] = MappingProxyType(
    {
        **{f"{months:g}M": months / 12 for months in (1, 1.5, 2, 3, 4, 6)},
        **{f"{years}Y": float(years) for years in (1, 2, 3, 5, 7, 10, 20, 30)},
    }
)
"""Label of each tenor that the Treasury publishes -> years."""

# The next five are this library's conventions of data quality, not regulation. Between two quoted tenors a
# curve is interpolated linearly; that is harmless for the sets that are published (the thinnest is 3M, 2Y,
# 5Y, 10Y, 30Y) and misleading beyond: hence a hole where the next tenor lies beyond both limits.
HOLE_YEARS = 2.0
HOLE_RATIO = 3.0
FIRST_TENOR_YEARS = 1.0  # financing and short cash flows hang on the front of the curve
LARGEST_PAR = 0.5  # no US par yield came near 50 %; a larger figure is a percentage that was not divided
STALE_DAYS = 10  # calendar days; longer than any run of holidays in the government bond market

_SAME = 1e-9  # two copies of one published yield agree to this, whatever their unit was
_LISTED = 50  # problems written out one by one


_TABLES = ("money_market", "prices", "underlyings", "fixings", "projections", "credit")


def _named(values: Any) -> Any:
    return dict(values) if isinstance(values, Mapping) else values  # what is no mapping is told with its name


def _plain_fixings(fixings: Any) -> Any:
    return {index: _named(rates) for index, rates in fixings.items()} if isinstance(fixings, Mapping) else fixings


@frozen(eq=False)
class ParCurve:
    """Par yields on one date, the tenors that are not quoted left out.

    Parameters
    ----------
    as_of
        Date of the curve.
    tenors
        Shape [n_tenors], years, strictly increasing.
    par
        Shape [n_tenors], decimal par yields, semiannual bond-equivalent.
    source
        Where the figures come from.
    real
        Yields of inflation-protected securities: none is published below five years, so the first tenor is free.

    Raises
    ------
    InputError
        Listing every tenor out of order, every yield that is not a finite decimal and every hole: two
        neighbouring tenors t1 < t2 with t2 > max(2 years, 3 t1), or a first nominal tenor beyond one year.

    Examples
    --------
    >>> from datetime import date
    >>> ParCurve(date(2026, 6, 30), [0.25, 2, 5, 10, 30], [0.0387, 0.0414, 0.0419, 0.0444, 0.0491]).par[0]
    np.float64(0.0387)
    >>> ParCurve(date(2026, 6, 30), [0.25, 2, 10], [0.0387, 0.0414, 0.0444])
    Traceback (most recent call last):
    crossmargin.errors.InputError: 1 problem in the par curve of 2026-06-30:
      - tenors 2Y and 10Y: the curve has a hole between them. Add a yield for a tenor of 2Y to 6Y.
    """

    as_of: date = field(converter=as_date)
    tenors: FloatArray = field(converter=readonly)
    par: FloatArray = field(converter=readonly)
    source: str = ""
    real: bool = field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Check the curve and raise every problem at once."""
        problems = Problems()
        problems.extend(tenor_problems(self.tenors))
        if self.par.shape != self.tenors.shape:
            problems.add(
                f"{_shape(self.par)} par yields for {_shape(self.tenors)} tenors.",
                where="par",
                fix="Give one yield for each tenor.",
            )
        elif not len(problems):
            problems.extend(_yield_problems(self.tenors, self.par))
            problems.extend(_hole_problems(self.tenors, real=self.real))
        count = len(problems)
        problems.raise_if_any(f"{counted(count, 'problem')} in the par curve of {self.as_of}")


@frozen(eq=False, repr=False)
class History:
    """Daily par yields: one row for each business day, oldest first.

    Parameters
    ----------
    dates
        Shape [n_dates], strictly increasing. A date with nothing quoted is no business day: leave it out.
    tenors
        Shape [n_tenors], years, strictly increasing.
    par
        Shape [n_dates, n_tenors], decimal par yields, semiannual bond-equivalent; NaN = not quoted.
    source
        Where the figures come from.

    Raises
    ------
    InputError
        Listing dates out of order or twice, tenors out of order, rows without a quote, yields that are
        infinite or plainly percentages, and shapes that do not fit.
    """

    dates: tuple[date, ...] = field(converter=as_dates)
    tenors: FloatArray = field(converter=readonly)
    par: FloatArray = field(converter=readonly)
    source: str = ""

    def __attrs_post_init__(self) -> None:
        """Check the table and raise every problem at once."""
        problems = [*tenor_problems(self.tenors), *_date_problems(self.dates)]
        shape = (len(self.dates), self.tenors.size)
        if self.par.shape != shape:
            problems.append(Problem(f"par has shape {self.par.shape}.", "par", f"Give one row for each date: {shape}."))
        else:
            problems.extend(_table_problems(self.dates, self.tenors, self.par))
        raise_capped(problems, "the history")

    def __repr__(self) -> str:
        """Return how much there is, in one line."""
        span = f"{self.dates[0]} to {self.dates[-1]}"
        return f"<History: {counted(len(self.dates), 'day')}, {span}; {counted(self.tenors.size, 'tenor')}>"

    def row_at(self, as_of: date) -> int | None:
        """Return the number of the last row dated `as_of` or earlier, None when there is none."""
        position = bisect_right(self.dates, as_of)
        return position - 1 if position else None

    def extended(self, other: History, *, replace: bool = False) -> History:
        """Return this history with the dates and tenors of `other` added.

        Blanks are filled from either table. Where both quote a yield they must agree; with `replace` the
        figure of `other` is taken instead.

        Raises
        ------
        InputError
            Listing date and tenor of every yield on which the two differ (unless `replace`).

        Examples
        --------
        >>> from datetime import date
        >>> old = History([date(2017, 3, 28), date(2017, 3, 29)], [1, 2], [[0.0103, 0.013], [0.0104, 0.0126]])
        >>> new = History([date(2017, 3, 30)], [1, 2], [[0.0103, 0.0128]])
        >>> old.extended(new).dates[-1]
        datetime.date(2017, 3, 30)
        """
        dates = tuple(sorted({*self.dates, *other.dates}))
        tenors = np.unique(np.concatenate([self.tenors, other.tenors]))
        mine, theirs = (_spread(table, dates, tenors) for table in (self, other))
        if not replace:
            raise_capped(_conflicts(dates, tenors, mine, theirs), "the histories to be joined")
        par = np.where(np.isnan(theirs), mine, theirs)
        sources = dict.fromkeys(text for text in (self.source, other.source) if text)
        return History(dates, tenors, par, " + ".join(sources))


@frozen(eq=False, repr=False)
class Market:
    """Everything that revaluation and scenarios read, for one date.

    Parameters
    ----------
    as_of
        The date that the market is of; the curve bears the same date.
    curve
        Par yields on `as_of`.
    history
        Daily par yields. Rows after `as_of` are never read.
    money_market
        Name -> decimal rate, e.g. `{"SOFR": 0.0368}`.
    prices
        Symbol of a product -> its observed price.
    real_curve
        Real par yields on `as_of`, a `ParCurve` made with `real=True`; TIPS are valued only with it.
    underlyings
        Symbol -> what options on it are priced from (`crossmargin.underlyings.Underlying`); for an option on a
        future the symbol of the future.
    price_history
        Daily prices and volatilities by ticker; scenarios of shares and options on them are drawn from it.
    fixings
        Index -> day -> rate of the past, a decimal; periods of swaps that have begun need them.
    projections
        Index -> the zero curve that projects it. That of SOFR discounts swaps too; what has none is read off the
        curve that discounts.
    credit
        Reference -> par spreads of protection on it.
    simm
        A calibration from `crossmargin.simm.load_calibration`, with which portfolios of sensitivities are margined; the
        library holds none.
    notes
        What a reader must know: tenors left out, a history that ends early.

    Raises
    ------
    InputError
        When the dates differ, or a rate or price is not finite.
    """

    as_of: date = field(converter=as_date)
    curve: ParCurve
    history: History
    money_market: Mapping[str, float] = field(factory=dict, kw_only=True, converter=_named)
    prices: Mapping[str, float] = field(factory=dict, kw_only=True, converter=_named)
    underlyings: Mapping[str, Underlying] = field(factory=dict, kw_only=True, converter=_named)
    real_curve: ParCurve | None = field(default=None, kw_only=True)
    price_history: PriceHistory | None = field(default=None, kw_only=True)
    fixings: Fixings = field(factory=dict, kw_only=True, converter=_plain_fixings)
    projections: Mapping[str, ZeroCurve] = field(factory=dict, kw_only=True, converter=_named)
    credit: Mapping[str, CreditSpreads] = field(factory=dict, kw_only=True, converter=_named)
    simm: Any = field(default=None, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True, converter=as_texts)

    def __attrs_post_init__(self) -> None:
        """Check the parts against one another and raise every problem at once."""
        check_kinds(
            curve=(self.curve, ParCurve, "Give a ParCurve: the order is as_of, curve, history."),
            history=(self.history, History, "Give a History of par yields."),
            **{name: (getattr(self, name), Mapping, "Give a dict, what it is of by name.") for name in _TABLES},
        )
        problems = Problems()
        if self.curve.as_of != self.as_of:
            fix = "Give the curve of that date, or the market the date of the curve."
            problems.add(f"the curve is of {self.curve.as_of}.", where=f"market of {self.as_of}", fix=fix)
        if self.real_curve is not None and (self.real_curve.as_of != self.as_of or not self.real_curve.real):
            what = f"is of {self.real_curve.as_of}, {'real' if self.real_curve.real else 'nominal'}."
            problems.add(what, where="real_curve", fix=f"Give ParCurve({self.as_of}, ..., real=True).")
        problems.extend(_number_problems(self.money_market, "money_market", "a decimal rate", LARGEST_PAR))
        problems.extend(_number_problems(self.prices, "prices", "a price"))
        underlyings: Mapping[str, object] = self.underlyings
        for name in (name for name, each in underlyings.items() if not isinstance(each, Underlying)):
            problems.add("is no Underlying.", where=f"underlyings[{name!r}]", fix="Give Underlying(symbol, ...).")
        problems.extend(swap_market_problems(self.as_of, self.fixings, self.projections, self.credit))
        if self.simm is not None and not getattr(self.simm, "horizons", None):
            what = f"a {type(self.simm).__name__} is no calibration."
            problems.add(what, where="simm", fix="Give crossmargin.simm.load_calibration(path).")
        problems.raise_if_any()

    def __repr__(self) -> str:
        """Return how much there is, in one line."""
        held = [f"{len(getattr(self, name)):,} {name}" for name in _TABLES[1:] if getattr(self, name)]
        held += [name for name in ("real_curve", "price_history", "simm") if getattr(self, name) is not None]
        return f"<Market: {'; '.join([str(self.as_of), repr(self.history).strip('<>'), *held])}>"

    @classmethod
    def from_history(
        cls,
        history: History,
        as_of: date,
        *,
        money_market: Mapping[str, float] | None = None,
        prices: Mapping[str, float] | None = None,
        notes: Iterable[str] = (),
    ) -> Market:
        """Return the market of `as_of`, its curve the row of the history that bears this very date.

        Tenors not quoted that day are left out of the curve and named in `notes`.

        Raises
        ------
        InputError
            When no row bears the date (an older row is never taken for it), or the row has a hole.

        Examples
        --------
        >>> from datetime import date
        >>> history = History([date(2017, 3, 29)], [1, 2], [[0.0104, 0.0126]])
        >>> Market.from_history(history, date(2017, 3, 31))
        Traceback (most recent call last):
        crossmargin.errors.InputError: 1 problem in the input:
          - market of 2017-03-31: the market is older than as-of: its last row on or before is 2017-03-29, ...
        """
        as_of = as_date(as_of, "as_of")
        row = history.row_at(as_of)
        if row is None or history.dates[row] != as_of:
            raise InputError([_no_such_row(history, as_of, row), *_holes_on(history, row)])
        quoted = np.isfinite(history.par[row])
        curve = ParCurve(as_of, history.tenors[quoted], history.par[row, quoted], history.source)
        missing = ", ".join(tenor_name(tenor) for tenor in history.tenors[~quoted])
        left_out = (f"not quoted on {as_of} and left out of the curve: {missing}",) if missing else ()
        return cls(
            as_of,
            curve,
            history,
            money_market=money_market or {},
            prices=prices or {},
            notes=(*left_out, *notes),
        )

    def check_as_of(self, as_of: date) -> None:
        """Return when the market is of `as_of`; raise `InputError` saying how far off it is otherwise."""
        days = (as_date(as_of, "as_of") - self.as_of).days
        if days:
            off = f"{_days(abs(days))} {'older' if days > 0 else 'later'} than as-of"
            what = f"the market is of {self.as_of}, {off}."
            raise InputError([Problem(what, f"market for {as_of}", _as_of_fix(self.as_of, as_of))])


def tenor_name(years: float) -> str:
    """Return the label of a tenor: "6M", "10Y", or the years when it has no label.

    Examples
    --------
    >>> tenor_name(0.125), tenor_name(30), tenor_name(8.5)
    ('1.5M', '30Y', '8.5Y')
    """
    labels = (label for label, length in TENORS.items() if abs(length - years) < _SAME)
    return next(labels, f"{years:.6g}Y")


def age_notes(history: History, as_of: date) -> tuple[str, ...]:
    """Return a note when the history up to `as_of` ends more than ten calendar days before it."""
    row = history.row_at(as_of)
    if row is None:
        return (f"history begins {history.dates[0]}, after as-of {as_of}",)
    end = history.dates[row]
    days = (as_of - end).days
    if days <= STALE_DAYS:
        return ()
    age = f"{days / 365.25:.1f} years" if days > 365 else _days(days)
    return (f"history ends {end}, {age} before as-of {as_of}; look-back anchored at its end",)


def raise_capped(problems: Sequence[Problem], title: str) -> None:
    """Raise `InputError` with the first fifty problems and the count of the rest, if there are any."""
    if not problems:
        return
    listed = list(problems[:_LISTED])
    if rest := len(problems) - len(listed):
        listed.append(Problem(f"{rest} further problems of the same input are not listed.", title))
    raise InputError(listed, f"{counted(len(problems), 'problem')} in {title}")


def _shape(array: FloatArray) -> str:
    return " x ".join(str(length) for length in array.shape) or "one"


def tenor_problems(tenors: FloatArray) -> list[Problem]:
    """Return what is wrong with a list of tenors: shape, sign, order."""
    if tenors.ndim != 1 or not tenors.size:
        return [Problem(f"tenors have shape {tenors.shape}.", "tenors", "Give a list of at least one tenor.")]
    bad = [
        Problem(f"{years!r} is no positive number of years.", f"tenor {position + 1}", "Give 0.25 for 3M.")
        for position, years in enumerate(tenors.tolist())
        if not (isfinite(years) and years > 0)
    ]
    if bad:
        return bad
    return [
        Problem("not longer than the tenor before it.", f"tenor {tenor_name(right)}", "Sort the tenors.")
        for left, right in pairwise(tenors.tolist())
        if right <= left
    ]


def _yield_problems(tenors: FloatArray, par: FloatArray) -> list[Problem]:
    found = []
    for tenor, value in zip(tenors.tolist(), par.tolist(), strict=True):
        where = f"par yield at {tenor_name(tenor)}"
        if not isfinite(value):
            found.append(Problem(f"{value} is not a number.", where, "Leave the tenor out."))
        elif abs(value) > LARGEST_PAR:
            found.append(Problem(f"{value:g} looks like a percentage.", where, "Give 0.0425 for 4.25 %."))
    return found


def _hole_problems(tenors: FloatArray, *, real: bool = False) -> list[Problem]:
    found = []
    if not real and tenors[0] > FIRST_TENOR_YEARS + _SAME:
        what = f"the shortest tenor is beyond {tenor_name(FIRST_TENOR_YEARS)}."
        fix = f"Add a yield for a tenor up to {tenor_name(FIRST_TENOR_YEARS)}."
        found.append(Problem(what, f"tenor {tenor_name(tenors[0])}", fix))
    for left, right in pairwise(tenors.tolist()):
        reach = max(HOLE_YEARS, HOLE_RATIO * left)
        if right > reach + _SAME:
            names = f"tenors {tenor_name(left)} and {tenor_name(right)}"
            fix = f"Add a yield for a tenor of {tenor_name(left)} to {tenor_name(reach)}."
            found.append(Problem("the curve has a hole between them.", names, fix))
    return found


def _date_problems(dates: tuple[date, ...]) -> list[Problem]:
    if not dates:
        return [Problem("the history has no rows.", "dates", "Give at least one date.")]
    found = []
    for row, (left, right) in enumerate(pairwise(dates), start=2):
        if right == left:
            found.append(Problem("the date stands twice.", f"row {row}, {right}", "Keep one of the rows."))
        elif right < left:
            found.append(Problem(f"earlier than {left} before it.", f"row {row}, {right}", "Sort by date."))
    return found


def _table_problems(dates: tuple[date, ...], tenors: FloatArray, par: FloatArray) -> list[Problem]:
    blank = "nothing is quoted."
    found = [
        Problem(blank, f"row {row + 1}, {dates[row]}", "Leave the row out: rows are business days.")
        for row in np.flatnonzero(np.isnan(par).all(axis=1)).tolist()
    ]
    with np.errstate(invalid="ignore"):
        wrong = np.abs(par) > LARGEST_PAR  # infinities included; NaN means not quoted and passes
    for row, column in np.argwhere(wrong).tolist():
        where = f"row {row + 1}, {dates[row]}, tenor {tenor_name(tenors[column])}"
        found.append(Problem(f"{par[row, column]:g} is no decimal yield.", where, "Give 0.0425 for 4.25 %."))
    return found


def _number_problems(values: Mapping[Any, Any], where: str, kind: str, largest: float = inf) -> Iterator[Problem]:
    for name, value in values.items():
        if not isinstance(name, str):
            yield Problem("is no text.", f"{where}[{name!r}]", "Give a name or a symbol, such as product.symbol.")
        if not is_number(value):
            yield Problem(f"{value!r} is not a finite number.", f"{where}[{name!r}]", f"Give {kind} or leave it out.")
        elif abs(value) > largest:
            yield Problem(f"{value:g} is no decimal.", f"{where}[{name!r}]", "Give 0.0425 for 4.25 %.")


def _days(count: int) -> str:
    return counted(count, "day")


def _no_such_row(history: History, as_of: date, row: int | None) -> Problem:
    where = f"market of {as_of}"
    if row is None:
        what = f"the history begins {history.dates[0]}, after as-of."
        return Problem(what, where, _as_of_fix(history.dates[0], as_of))
    last = history.dates[row]
    days = (as_of - last).days
    what = f"the market is older than as-of: its last row on or before is {last}, {_days(days)} earlier."
    return Problem(what, where, _as_of_fix(last, as_of))


def _holes_on(history: History, row: int | None) -> list[Problem]:
    """Return the holes of one row, so that who uses its date instead need not come back with them."""
    quoted = history.tenors[np.isfinite(history.par[row])] if row is not None else history.tenors[:0]
    return _hole_problems(quoted) if quoted.size else []


def _as_of_fix(available: date, wanted: date) -> str:
    return f"Use --as-of {available}, or add the market file that holds {wanted}."


def _spread(history: History, dates: tuple[date, ...], tenors: FloatArray) -> FloatArray:
    """Return the table laid out on more dates and tenors, NaN where it has nothing."""
    wide = np.full((len(dates), tenors.size), np.nan)
    place = {day: row for row, day in enumerate(dates)}
    rows = np.array([place[day] for day in history.dates])
    wide[np.ix_(rows, np.searchsorted(tenors, history.tenors))] = history.par
    return wide


def _conflicts(dates: tuple[date, ...], tenors: FloatArray, mine: FloatArray, theirs: FloatArray) -> list[Problem]:
    with np.errstate(invalid="ignore"):
        differ = np.abs(mine - theirs) > _SAME
    fix = "Correct one of the two, or take the added one with replace=True."
    return [
        Problem(
            f"quoted {100 * mine[row, column]:.4g} % and {100 * theirs[row, column]:.4g} %.",
            f"{dates[row]}, tenor {tenor_name(tenors[column])}",
            fix,
        )
        for row, column in np.argwhere(differ).tolist()
    ]
