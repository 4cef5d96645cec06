"""Bettering a whole solution that a search cut short has left: a few spread groups at a time, everything else kept.

Call `bettered`. Blocks of spread counts are set free, the rest stays, and the small programme that is left is solved
exactly; then the next blocks, until none can better it or the time is up. First blocks alone and only the counts that
the relaxed solution uses, then two blocks at a time. Nothing is proven here: the bound is that of the search.

References
----------
Shaw, Using constraint programming and local search methods to solve vehicle routing problems, CP 1998 (large
neighbourhood search).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from crossmargin.pairing.model import BoolArray, FloatArray, IntArray

BLOCK = 300  # spread counts in a block; two blocks are solved in about a second
RUN_SECONDS = 3.0  # blocks that take longer are left with the best found

Solve = Callable[[FloatArray, FloatArray, float], FloatArray | None]


def bettered(
    values: FloatArray,
    group: IntArray,
    bounds: FloatArray,
    *,
    likely: BoolArray,
    cost: FloatArray,
    solve: Solve,
    deadline: float,
) -> FloatArray:
    """Return values that cost no more than the given ones.

    Parameters
    ----------
    values : array [n_variables]
        A whole solution.
    group : array [n_variables]
        Spread group of each spread count, which come first, and of each group's loss; -1 for what is always free.
    bounds : array [n_variables]
        Largest value of each variable.
    likely : array [n_counts]
        The spread counts to try first.
    cost : array [n_variables]
        USD of one of each.
    solve : callable
        From least and largest value of each variable and seconds to the best whole solution found, or None.
    deadline : float
        On the clock of `time.monotonic`.
    """
    for sweep in _sweeps(group[: len(likely)], likely):
        better = True
        while better:
            better = False
            for counts in sweep:
                left = deadline - time.monotonic()
                if left <= 0.0:
                    return values
                free = _free(counts, group)
                low, high = np.where(free, 0.0, values), np.where(free, bounds, values)
                found = solve(low, high, min(left, RUN_SECONDS))
                if found is not None and _saves(cost, values, found):
                    values, better = found, len(sweep) > 1
    return values


def _free(counts: BoolArray, group: IntArray) -> BoolArray:
    """Return the variables that go with free spread counts: what no group owns, and the losses of their groups."""
    n_counts = len(counts)
    others = (group[n_counts:] < 0) | np.isin(group[n_counts:], np.unique(group[:n_counts][counts]))
    return np.append(counts, others)


def _saves(cost: FloatArray, values: FloatArray, found: FloatArray) -> bool:
    now = float(cost @ values)
    return float(cost @ found) < now - 1e-9 * max(1.0, abs(now))


def _sweeps(group: IntArray, likely: BoolArray) -> Iterator[list[BoolArray]]:
    """Yield the lists of what is free together [n_counts], each list swept until it betters nothing."""
    blocks = list(_blocks(group))
    pairs = [one | other for one, other in combinations(blocks, 2)] or blocks
    for block in blocks:
        yield [block & likely]
    yield pairs


def _blocks(group: IntArray) -> Iterator[BoolArray]:
    for each in np.unique(group):
        columns = np.flatnonzero(group == each)
        for part in np.array_split(columns, -(-len(columns) // BLOCK)):
            free = np.zeros(len(group), dtype=np.bool_)
            free[part] = True
            yield free
