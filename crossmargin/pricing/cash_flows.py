"""Books of dated cash flows and what they are worth under many curves.

Call `cash_flow_book` and `present_values` for a value per instrument and curve; `netted_book` and `netted_values`
for the value of a whole book, whose flows are added up by date first. What each product pays is `legs.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
from attrs import field, frozen

from crossmargin.curves import FloatArray, IntArray, year_fractions
from crossmargin.errors import Problems, is_count, is_number
from crossmargin.pricing.legs import Leg, PriceGrowth, legs_of_all
from crossmargin.pricing.pieces import dated_pieces, netted_pieces
from crossmargin.pricing.plans import plan
from crossmargin.products import Product

CHUNK = 256  # curves that a thread takes at a time, whatever the number of threads
LINE = 8  # numbers in a cache line


@frozen(eq=False)
class CashFlowBook:
    """Instruments as arrays, ready for any number of curves. Made by `cash_flow_book`.

    `times` [n_dates] are years from the market's date, the first of them zero. A *line* is a date or, after the
    dates, a running sum: line n_dates + i is line `sum_before[i]` plus the discount factor of date `sum_date[i]`, so
    that equal coupons on one schedule are one product. Flows of leg i stand in `flow_start[i] .. flow_start[i + 1]`
    (index of the line, USD per unit of quantity), legs of instrument i in `row_start[i] .. row_start[i + 1]`.
    """

    times: FloatArray
    sum_before: IntArray
    sum_date: IntArray
    flow_start: IntArray
    flow_line: IntArray
    flow_amount: FloatArray
    leg_divisor: IntArray
    leg_offset: FloatArray
    row_start: IntArray

    @cached_property
    def plan(self) -> tuple[Any, ...]:
        """The same as the kernel `value_rows` walks through it, date by date; made when first needed."""
        lines = (self.sum_before, self.sum_date, self.flow_line)
        return plan(self.times, *lines, flow_start=self.flow_start, divisor=self.leg_divisor, row_start=self.row_start)


@frozen(eq=False)
class NettedBook:
    """A whole book: cash flows added up by date, and what cannot be added up. Made by `netted_book`.

    Attributes
    ----------
    times, amounts : array [n_dates]
        Years from the market's date, increasing, and USD on that date, received > 0.
    knots : array [n_knots]
        Years, increasing: where the curves to come have their zero rates.
    grid : tuple of arrays
        The same flows as `kernels.value_netted` takes them.
    rest : CashFlowBook
        Futures: their value is no sum of discounted flows.
    quantities : array [n_rest]
        Of each instrument of `rest`.
    """

    times: FloatArray
    amounts: FloatArray
    knots: FloatArray
    grid: tuple[Any, ...]
    rest: CashFlowBook
    quantities: FloatArray


@frozen
class _Lines:
    """Where dates and running sums stand; a sum is known by the line before it and the date that it adds."""

    place: dict[date, int]
    sums: dict[tuple[int, int], int] = field(factory=dict)

    def flows(self, leg: Leg) -> list[tuple[int, float]]:
        """Return lines and amounts of a leg."""
        flows = [(self.place[day], amount) for day, amount in leg.flows]
        if not leg.schedule or leg.coupon == 0.0:
            return flows
        line, *days = (self.place[day] for day in leg.schedule)
        for day in days:
            line = self.sums.setdefault((line, day), len(self.place) + len(self.sums))
        return [(line, leg.coupon), *flows]


def cash_flow_book(products: Sequence[Product], as_of: date, *, growth: PriceGrowth | None = None) -> CashFlowBook:
    """Return the instruments as arrays: one row for each product given, in that order.

    Parameters
    ----------
    products : sequence
    as_of : date
    growth : PriceGrowth, optional
        Needed for inflation-protected securities; see `legs.price_growth`.

    Raises
    ------
    InputError
        Every product that cannot be valued on that date, with the reason.
    """
    return _assembled(legs_of_all(products, as_of, growth=growth), as_of)


def netted_book(
    products: Sequence[Product],
    quantities: Sequence[float],
    as_of: date,
    *,
    knots: FloatArray,
    growth: PriceGrowth | None = None,
) -> NettedBook:
    """Return a whole book with its cash flows added up by date.

    Amounts of one date are added correctly rounded, so neither the order of positions nor a position and its
    opposite leave a trace.

    Parameters
    ----------
    products, quantities : sequence
        One quantity for each product, long > 0.
    as_of : date
    knots : array [n_knots]
        Years, increasing: where the curves to come have their zero rates, see `curves.knot_times`.
    growth : PriceGrowth, optional
        Needed for inflation-protected securities; see `legs.price_growth`.

    Raises
    ------
    InputError
        Products that cannot be valued on that date, quantities that are not finite, lists of different length,
        knots that do not increase.

    Examples
    --------
    >>> from crossmargin.products import TreasuryNote
    >>> notes = [TreasuryNote(0.04, date(2027, 8, 15)), TreasuryNote(0.02, date(2027, 8, 15))]
    >>> netted_book(notes, [100.0, -200.0], date(2026, 9, 1), knots=np.array([1.0])).amounts
    array([   0., -100.])
    """
    check_quantities(products, quantities)
    _check_knots(knots)
    by_day: dict[date, list[float]] = {}
    rest, held = [], []
    for legs, quantity in zip(legs_of_all(products, as_of, growth=growth), quantities, strict=True):
        if len(legs) == 1 and legs[0].divisor == as_of:  # such a leg has no offset: what is fixed is a flow today
            for day, amount in legs[0].dated():
                by_day.setdefault(day, []).append(quantity * amount)
        else:
            rest.append(legs)
            held.append(float(quantity))
    days = sorted(by_day)
    times = year_fractions(as_of, days)
    amounts = np.array([math.fsum(by_day[day]) for day in days], dtype=np.float64)
    grid = netted_pieces(knots, times, amounts)
    return NettedBook(times, amounts, knots, grid, _assembled(rest, as_of), np.array(held, dtype=np.float64))


def present_values(book: CashFlowBook, knots: FloatArray, zeros: FloatArray, *, threads: int = 1) -> FloatArray:
    """Return values [n_instruments, n_curves] in USD per unit of quantity.

    Parameters
    ----------
    book : CashFlowBook
    knots : array [n_knots]
        Years, increasing.
    zeros : array [n_knots, n_curves]
        Continuously compounded zero rates, decimals; see `curves.discount_factors` for what lies between.
    threads : int
        Threads that share the curves; the result is the same to the last bit.

    Raises
    ------
    InputError
        Zero rates that are not finite, shapes that disagree, fewer than one thread.
    """
    _check_curves(knots, zeros, threads)
    from crossmargin.kernels import value_rows  # numba is imported here and nowhere sooner

    kernel: Any = value_rows  # what it takes are tuples of arrays of two types
    rates, flows = np.ascontiguousarray(zeros), (book.flow_amount, book.leg_offset)
    pieces, out = dated_pieces(knots, book.times), _aligned(len(book.row_start) - 1, rates.shape[1])
    _shared(lambda begin, end: kernel(rates, *pieces, *book.plan, *flows, out, begin, end), rates.shape[1], threads)
    return out[:, : zeros.shape[1]]


def _aligned(n_rows: int, n_columns: int) -> FloatArray:
    """Return room for so many columns or a few more, rows aligned: no vector that is stored crosses a cache line."""
    stride = -(-n_columns // LINE) * LINE
    room = np.empty(n_rows * stride + LINE)
    skipped = -(room.ctypes.data // room.itemsize) % LINE
    return room[skipped : skipped + n_rows * stride].reshape(n_rows, stride)


def netted_values(book: NettedBook, zeros: FloatArray, *, threads: int = 1) -> FloatArray:
    """Return the value of a whole book [n_curves] in USD.

    Parameters
    ----------
    book : NettedBook
    zeros : array [n_knots, n_curves]
        Continuously compounded zero rates at the knots of the book, decimals.
    threads : int
        Threads that share the curves; the result is the same to the last bit.

    Raises
    ------
    InputError
        Zero rates that are not finite, shapes that disagree, fewer than one thread.

    Notes
    -----
    Log discount factors are linear in time between knots, so all flows of one half-year between two knots are worth
    the discount factor of its middle times a power series whose coefficients are moments of the flows. Where forward
    rates stay between -2 and 10 per cent a short series will do, and discount factors are products of short series
    too: within 3e-14 of the gross value of the flows. Other curves take longer series and exponentials, up to 140 per
    cent, and the steepest are summed date by date.
    """
    _check_shapes(book.knots, zeros, threads)
    from crossmargin.kernels import value_netted

    rates = np.ascontiguousarray(zeros)
    values = np.empty(rates.shape[1])
    kernel: Any = value_netted  # its grid is a tuple of arrays of two types
    not_finite = _shared(lambda begin, end: kernel(rates, *book.grid, values, begin, end), len(values), threads)
    unread = rates[1 + book.grid[0][1, -1] :]  # what is not finite among the others shows in the values
    if any(not_finite) or (unread.size and not np.isfinite(unread).all()):
        _check_curves(book.knots, zeros, threads)
    if book.quantities.size:
        rest = present_values(book.rest, book.knots, zeros, threads=threads)
        for quantity, row in zip(book.quantities, rest, strict=True):
            values = values + quantity * row
    return values


def check_quantities(products: Sequence[Product], quantities: Sequence[float]) -> None:
    """Raise `InputError` unless there is one finite quantity for each product."""
    problems = Problems()
    if len(products) != len(quantities):
        problems.add(f"{len(products)} products and {len(quantities)} quantities", where="pooled positions")
    for product, quantity in zip(products, quantities, strict=False):
        if not is_number(quantity):
            problems.add(f"quantity {quantity!r} is not finite", where=product.symbol)
    problems.raise_if_any("cannot pool")


def _assembled(rows: Sequence[Sequence[Leg]], as_of: date) -> CashFlowBook:
    legs = [leg for row in rows for leg in row]
    days = {as_of, *(leg.divisor for leg in legs)}
    for leg in legs:
        days.update(leg.schedule, (day for day, _ in leg.flows))
    dates = sorted(days)
    lines = _Lines({day: index for index, day in enumerate(dates)})
    flows = [lines.flows(leg) for leg in legs]
    return CashFlowBook(
        times=year_fractions(as_of, dates),
        sum_before=np.array([before for before, _ in lines.sums], dtype=np.int64),
        sum_date=np.array([day for _, day in lines.sums], dtype=np.int64),
        flow_start=_starts(len(each) for each in flows),
        flow_line=np.array([line for each in flows for line, _ in each], dtype=np.int64),
        flow_amount=np.array([amount for each in flows for _, amount in each], dtype=np.float64),
        leg_divisor=np.array([lines.place[leg.divisor] for leg in legs], dtype=np.int64),
        leg_offset=np.array([leg.offset for leg in legs], dtype=np.float64),
        row_start=_starts(len(row) for row in rows),
    )


def _shared(value: Callable[[int, int], int | None], n_curves: int, threads: int) -> list[int | None]:
    """Value curves 0 .. n_curves, in pieces where threads share them; return what the pieces return."""
    if threads == 1:
        return [value(0, n_curves)]
    begins = range(0, n_curves, CHUNK)
    with ThreadPoolExecutor(threads) as pool:
        ends = [min(begin + CHUNK, n_curves) for begin in begins]
        return list(pool.map(value, begins, ends))  # a list: raises what a thread raised


def _starts(lengths: Iterable[int]) -> IntArray:
    return np.cumsum([0, *lengths], dtype=np.int64)


def _check_knots(knots: FloatArray) -> None:
    problems = Problems()
    if knots.ndim != 1 or not knots.size or not (np.diff(knots, prepend=0.0) > 0.0).all():
        problems.add("are not increasing years above zero", where="knots", fix="Give those of curves.zero_rates.")
    problems.raise_if_any("cannot net")


def _check_curves(knots: FloatArray, zeros: FloatArray, threads: int) -> None:
    _check_shapes(knots, zeros, threads)
    problems = Problems()
    if not np.isfinite(zeros).all():
        problems.add(f"{(~np.isfinite(zeros)).sum()} zero rates are not finite", where="zeros")
    problems.raise_if_any("cannot value")


def _check_shapes(knots: FloatArray, zeros: FloatArray, threads: int) -> None:
    if zeros.ndim == 2 and knots.shape == zeros.shape[:1] and knots.size and is_count(threads):
        return
    problems = Problems()
    if zeros.ndim != 2 or knots.shape != zeros.shape[:1] or not knots.size:
        problems.add(f"shapes {knots.shape} and {zeros.shape} do not fit", where="knots and zeros")
    if not is_count(threads):
        problems.add(f"{threads!r} is no number of threads", where="threads", fix="Give 1 or more.")
    problems.raise_if_any("cannot value")
