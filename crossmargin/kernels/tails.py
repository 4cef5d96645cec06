"""The worst few of many scenarios: value at risk and expected shortfall of each row in one pass.

The one entry is `row_tails`. A row's worst k are found without sorting it: the minima of strided groups of scenarios
are ranked, the k-th of them bounds the k-th worst of all from above, and only the few values up to that bound are
ranked in turn. Exact, ties included; the k worst are added worst first, so that the order of scenarios changes no bit.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._jit import kernel
from crossmargin.kernels._ranks import SHORT, SHORTER, bound_by_rank, count_below, group_minima, sort_least
from crossmargin.kernels._vectors import VECTOR, gather_below

Floats = npt.NDArray[np.float64]
Values: Any = npt.NDArray[Any]

MOST = 256  # of the worst values that can be asked for
ROOM = 4 * MOST  # for the minima of groups
SPARE = 64  # places behind a list that vectors may touch


@kernel("void(f4[::1], i8)", "void(f8[::1], i8)")
def order(values: Values, held: int) -> None:
    """Set values[:SHORTER] to the smallest of values[:held], up to SHORT, in order; a kernel, to be compiled once."""
    sort_least(values, held)


@kernel("f4(f4[::1], i8, i8, f4[::1])", "f8(f8[::1], i8, i8, f8[::1])")
def bound_of(values: Values, count: int, k: int, minima: Values) -> Any:
    """Return a number that k or more of values[:count] do not exceed, close to the k-th smallest.

    Each of `width` minima is of values of its own, so that k minima are k values. `minima` has ROOM places.
    """
    lanes = VECTOR // values.itemsize
    if k <= SHORTER:
        width = SHORTER if 2 * k <= SHORTER else SHORT
        group_minima(values, count, minima, width)
        order(minima, width)
        return minima[k - 1]
    width = 8 * lanes
    sections = -(-2 * k // width)
    length = -(-count // sections)
    for n in range(sections):
        first = min(n * length, count)
        group_minima(values[first:], min(length, count - first), minima[n * width :], width)
    return bound_by_rank(minima, sections * width, k)


@kernel("f4(f4[::1], i8, i8, f4[::1])", "f8(f8[::1], i8, i8, f8[::1])", inline=True)
def bound_of_few(values: Values, count: int, k: int, minima: Values) -> Any:
    """Return the same as `bound_of`, exact where there are few; `values` are lost and have SPARE places more."""
    if k <= SHORTER and count <= SHORT:
        order(values, count)
        return values[k - 1]
    return bound_of(values, count, k, minima)


@kernel("i8(f4[::1], i8, f4, f4[::1])", "i8(f8[::1], i8, f8, f8[::1])")
def gather(values: Values, count: int, bound: Any, kept: Values) -> int:
    """Set `kept` to those of values[:count] that are at most `bound`; return how many. `kept` holds count + SPARE."""
    return gather_below(values, 0, count, bound, kept, 0)


@kernel("void(f4[::1], i8, i8, f8[::1])", "void(f8[::1], i8, i8, f8[::1])", inline=True)
def rank(kept: Values, held: int, k: int, worst: Floats) -> None:
    """Set worst[:k] to the smallest of kept[:held], in order; `kept` has SPARE places more."""
    if k <= SHORTER and held <= SHORT:
        order(kept, held)
        for n in range(k):
            worst[n] = kept[n]
        return
    lanes = VECTOR // kept.itemsize
    whole = -(-held // lanes) * lanes
    for n in range(held, whole):
        kept[n] = np.inf
    for n in range(k):
        worst[n] = -np.inf
    for n in range(held):
        place = count_below(kept, whole, kept[n])
        if place < k:
            worst[place] = kept[n]
    for n in range(1, k):  # what ties with the one before has left its place empty
        worst[n] = max(worst[n], worst[n - 1])


@kernel(
    "void(f4[::1], i8, i8, f4[::1], f4[::1], f4[::1], f8[::1])",
    "void(f8[::1], i8, i8, f8[::1], f8[::1], f8[::1], f8[::1])",
)
def worst_of(values: Values, count: int, k: int, minima: Values, kept: Values, spare: Values, worst: Floats) -> None:
    """Set worst[:k] to the k smallest of values[:count], in order; `kept` and `spare` hold count + SPARE each."""
    bound = bound_of(values, count, k, minima)
    held = gather(values, count, bound, kept)
    while held > 4 * k + SPARE:  # ties: what is below the bound settles it, or is what is left to look at
        for s in range(held):
            spare[s] = kept[s]
        less = 0
        for s in range(held):
            kept[less] = spare[s]
            less += 1 if spare[s] < bound else 0
        if less < k:
            for n in range(less, k):
                kept[n] = bound
            held = k
        else:
            for s in range(less):
                spare[s] = kept[s]
            bound = bound_of(spare, less, k, minima)
            held = gather(spare, less, bound, kept)
    rank(kept, held, k, worst)


@kernel("void(f8[::1], Array(f8, 2, 'C', True), i8, f8[::1])", inline=True)
def weigh(worst: Floats, weights: Floats, k: int, out: Floats) -> None:
    """Set each of `out` to the loss that its row of `weights` makes of the k worst results, the worst first."""
    for measure in range(weights.shape[0]):
        total = 0.0
        for n in range(k):
            total += weights[measure, n] * worst[n]
        out[measure] = 0.0 - total


@kernel(
    "void(f4[:, ::1], Array(f8, 2, 'C', True), f8[:, ::1], i8, i8)",
    "void(f8[:, ::1], Array(f8, 2, 'C', True), f8[:, ::1], i8, i8)",
)
def row_tails(pnl: Values, weights: Floats, out: Floats, begin: int, end: int) -> None:
    """Write out[row, m] = -sum over n of weights[m, n] times the n-th worst of the row, rows begin .. end.

    Parameters
    ----------
    pnl : float32 or float64 [n_rows, n_scenarios]
        Gain > 0; finite.
    weights : float64 [n_measures, k]
        What the worst k results count for in each measure, the worst first; k up to MOST and n_scenarios. A last one of
        1 is value at risk, 1 / k everywhere expected shortfall.
    out : float64 [n_rows, n_measures]
        Loss > 0.
    begin, end : int
        Rows to do.
    """
    count, k = pnl.shape[1], weights.shape[1]
    minima = np.empty(ROOM, dtype=pnl.dtype)
    kept, spare = np.empty(count + SPARE, dtype=pnl.dtype), np.empty(count + SPARE, dtype=pnl.dtype)
    worst = np.empty(k)
    for row in range(begin, end):
        worst_of(pnl[row], count, k, minima, kept, spare, worst)
        weigh(worst, weights, k, out[row])
