"""The rows of the programme behind a pairing, entry by entry: largest losses, cover, straddles, counts.

The one entry is `fill`. `crossmargin.pairing.programme` says what the rows mean and why they are enough; it gives the
series as arrays and where each kind of variable begins.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._jit import kernel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

COUNTS, ALONE, SPARED, LOSSES, HEDGES, END = range(6)  # where each kind of variable begins
ENTRY, ROW = range(2)  # the next place to write to


@kernel("void(i8[:, ::1], f8[::1], i8[::1], i8, f8)", inline=True)
def _put(places: Integers, entries: Floats, at: Integers, column: int, value: float) -> None:
    """Write one entry of the row under construction."""
    places[0, at[ENTRY]], places[1, at[ENTRY]], entries[at[ENTRY]] = at[ROW], column, value
    at[ENTRY] += 1


@kernel("void(f8[::1], i8[::1], f8)", inline=True)
def _end(limits: Floats, at: Integers, limit: float) -> None:
    """Close the row under construction."""
    limits[at[ROW]] = limit
    at[ROW] += 1


@kernel("void(f8[::1], b1[::1], f8[::1], i8[::1], i8[::1], i8, f8, i8[:, ::1], f8[::1], f8[::1], i8[::1])")
def _spread_rows(
    quantity: Floats,
    is_call: Flags,
    strike: Floats,
    series: Integers,
    columns: Integers,
    loss: int,
    unit: float,
    places: Integers,
    entries: Floats,
    limits: Floats,
    at: Integers,
) -> None:
    """Loss of one group at every price that can be worst, and cover by right."""
    held = series[columns]
    for price in np.unique(np.append(strike[held[quantity[held] > 0.0]], 0.0)):
        for column in columns:
            one = series[column]
            value = price - strike[one] if is_call[one] else strike[one] - price
            if value > 0.0:
                _put(places, entries, at, column, -value if quantity[one] > 0.0 else value)
        _put(places, entries, at, loss, -unit)
        _end(limits, at, 0.0)
    for right in (True, False):
        before = at[ENTRY]
        for column in columns:
            if is_call[series[column]] == right:
                _put(places, entries, at, column, -1.0 if quantity[series[column]] > 0.0 else 1.0)
        if at[ENTRY] > before:
            _end(limits, at, 0.0)


@kernel("void(b1[::1], f8[::1], i8[::1], i8[::1], i8[::1], i8[:, ::1], f8[::1], f8[::1], i8[::1])")
def _straddle_rows(
    is_call: Flags,
    alone: Floats,
    shorts: Integers,
    paired: Integers,
    starts: Integers,
    places: Integers,
    entries: Floats,
    limits: Floats,
    at: Integers,
) -> None:
    """Only what is left alone stands in straddles, and as many spare as are spared, at every cost and above it."""
    n_paired, spared = len(paired), starts[SPARED]
    for n in range(n_paired):
        _put(places, entries, at, spared + n, 1.0)
        _put(places, entries, at, spared + n_paired + n, 1.0)
        _put(places, entries, at, starts[ALONE] + np.searchsorted(shorts, paired[n]), -1.0)
        _end(limits, at, 0.0)
    cost, calls = alone[paired], is_call[paired]
    for right in (True, False):
        for lowest in np.unique(cost[calls == right]):
            for n in range(n_paired):
                if cost[n] >= lowest:
                    taken = calls[n] == right
                    _put(places, entries, at, spared + n if taken else spared + n_paired + n, 1.0 if taken else -1.0)
            _end(limits, at, 0.0)


@kernel("void(f8[::1], i8[::1], i8[:, ::1], i8[::1], i8, i8[:, ::1], f8[::1], f8[::1], i8[::1])")
def _count_rows(
    quantity: Floats,
    series: Integers,
    hedges: Integers,
    starts: Integers,
    lots: int,
    places: Integers,
    entries: Floats,
    limits: Floats,
    at: Integers,
) -> None:
    """No long contract or lot is used twice; then, equal to the limit, every short contract is somewhere."""
    alone = starts[ALONE]
    for side in (1.0, -1.0):
        for one in range(len(quantity)):
            if side * quantity[one] <= 0.0:
                continue
            before = at[ENTRY]
            for column in range(np.searchsorted(series, one), np.searchsorted(series, one + 1)):
                _put(places, entries, at, column, 1.0)
            for place in range(hedges.shape[1]):
                if hedges[0, place] == one:
                    _put(places, entries, at, hedges[1, place], 1.0)
            if side < 0.0:
                _put(places, entries, at, alone, 1.0)
                alone += 1
            if at[ENTRY] > before:
                _end(limits, at, abs(quantity[one]))
        if side > 0.0 and starts[END] > starts[HEDGES]:
            for column in range(starts[HEDGES], starts[END]):
                _put(places, entries, at, column, 1.0)
            _end(limits, at, float(lots))


@kernel(
    "UniTuple(i8, 2)(f8[::1], b1[::1], f8[::1], f8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[:, ::1], i8[::1], i8,"
    "f8, i8[:, ::1], f8[::1], f8[::1])"
)
def fill(
    quantity: Floats,
    is_call: Flags,
    strike: Floats,
    alone: Floats,
    series: Integers,
    group: Integers,
    shorts: Integers,
    paired: Integers,
    hedges: Integers,
    starts: Integers,
    lots: int,
    unit: float,
    places: Integers,
    entries: Floats,
    limits: Floats,
) -> tuple[int, int]:
    """Write the rows, equalities last, and return how many entries and rows there are.

    Parameters
    ----------
    quantity, is_call, strike, alone : array [n_series]
        Contracts, right, USD per unit, and what one short contract costs alone.
    series, group : array [n_counts]
        Of each spread count, in the order of series.
    shorts, paired : array [n_shorts], [n_paired]
        Series of the uncovered counts, and of the spared ones, in order.
    hedges : array [2, n_hedge_legs]
        Series and variable of each leg of each hedge.
    starts : array [6]
        Where each kind of variable begins, and the end.
    lots : int
        Round lots of stock.
    unit : float
        In which losses are counted, USD per unit of the underlying.
    places, entries, limits : array [2, n_entries], [n_entries], [n_rows]
        Written here; must be long enough.
    """
    at = np.zeros(2, dtype=np.int64)
    for each in range(starts[HEDGES] - starts[LOSSES]):
        columns, loss = np.flatnonzero(group == each), starts[LOSSES] + each
        _spread_rows(quantity, is_call, strike, series, columns, loss, unit, places, entries, limits, at)
    _straddle_rows(is_call, alone, shorts, paired, starts, places, entries, limits, at)
    _count_rows(quantity, series, hedges, starts, lots, places, entries, limits, at)
    return at[ENTRY], at[ROW]
