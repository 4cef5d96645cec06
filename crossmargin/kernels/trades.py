"""Losses of known pools with one trade more, from results that are sorted beforehand.

`sorted_trade_tails` reads the results of each pool from the worst on, in blocks, and passes over every block in which
none can count, however badly the trade does there: a small trade looks at few more scenarios than the tail has.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._jit import kernel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]

BLOCK = 32  # results

_READ_ONLY = "Array(f8, 1, 'C', True)"


@kernel(
    f"void({_READ_ONLY}, Array(i4, 1, 'C', True), Array(i8, 2, 'C', True), {_READ_ONLY}, Array(f8, 2, 'C', True), "
    "Array(f8, 2, 'C', True), f8, f8[::1])"
)
def sorted_trade_tails(
    results: Floats,
    scenarios: Places,
    rows: Integers,
    unit: Floats,
    reach: Floats,
    weights: Floats,
    size: float,
    out: Floats,
) -> None:
    """Write out[row] = the weighted sum of the worst results of a row plus `size` times the trade, as a loss.

    Parameters
    ----------
    results, scenarios : float64, int32 [n_results]
        P&L of every row in turn, gain > 0, each row ascending; and where in `unit` the trade's result for it stands.
    rows : int64 [n_rows, 3]
        Where each row begins and ends, and how many of its worst results count, at most k and at most those there are.
    unit : float64 [n]
        P&L of one unit of the trade, of all scenario sets in turn.
    reach : float64 [n_blocks, 2]
        Least and greatest result of one unit in each block of `BLOCK` results, of all rows in turn; a row's last block
        may be shorter.
    weights : float64 [n_rows, k]
        What the worst results count for, the worst first.
    out : float64 [n_rows]
        Set to the measures, loss > 0.
    """
    worst, block = np.empty(weights.shape[1]), 0
    for row in range(len(rows)):
        first, last, k, held = rows[row, 0], rows[row, 1], rows[row, 2], 0
        for begin in range(first, last, BLOCK):
            least = results[begin] + min(size * reach[block, 0], size * reach[block, 1])
            block += 1
            if held == k and least >= worst[k - 1]:
                continue
            for n in range(begin, min(begin + BLOCK, last)):
                result = results[n] + size * unit[scenarios[n]]
                if held == k and result >= worst[k - 1]:
                    continue
                place = min(held, k - 1)
                held = min(held + 1, k)
                while place > 0 and worst[place - 1] > result:
                    worst[place] = worst[place - 1]
                    place -= 1
                worst[place] = result
        loss = 0.0
        for n in range(held):
            loss -= weights[row, n] * worst[n]
        out[row] = loss
