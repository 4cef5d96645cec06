"""Positions in the order in which accounts are margined, and one trade added to pools that are known.

`sort_positions` sorts by account, silo and instrument in two counting passes and nets what stands twice; the result
does not depend on the order of the rows. `trade_tails` answers a what-if: pooled rows plus a multiple of one row.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._jit import kernel
from crossmargin.kernels.tails import ROOM, SPARE, weigh, worst_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]


@kernel("void(i4[::1], i4[::1], i4[::1], i8[::1])")
def _counting_pass(keys: Places, order: Places, out: Places, starts: Integers) -> None:
    """Set `out` to `order` sorted by key, those of one key as they stood; starts[key] becomes where a key begins."""
    starts[:] = 0
    for n in range(len(keys)):
        starts[keys[n] + 1] += 1
    for key in range(1, len(starts)):
        starts[key] += starts[key - 1]
    for n in range(len(order)):
        key = keys[order[n]]
        out[starts[key]] = order[n]
        starts[key] += 1
    for key in range(len(starts) - 1, 0, -1):
        starts[key] = starts[key - 1]
    starts[0] = 0


@kernel("f8(f8[::1])")
def _ordered_sum(parts: Floats) -> Any:
    """Return the sum of a few numbers, smallest first, so that their order changes no bit."""
    total = 0.0
    if len(parts) == 1:
        return parts[0]
    for part in np.sort(parts):
        total += part
    return total


@kernel("i8(i4[::1], i4[::1], f8[::1], i8, i8[::1], i4[::1], f8[::1])")
def sort_positions(
    cells: Places,
    instruments: Places,
    quantities: Floats,
    n_instruments: int,
    starts: Integers,
    row_ids: Places,
    held: Floats,
) -> int:
    """Write the net positions of every cell, an account's silo, by instrument; return how many there are.

    Parameters
    ----------
    cells, instruments, quantities : int32, int32, float64 [n_positions]
        Cell, instrument and signed quantity of each row, in any order.
    n_instruments : int
        Instruments there are.
    starts : int64 [n_cells + 1]
        Set so that the net positions of cell c are starts[c] .. starts[c + 1].
    row_ids, held : int32, float64 [n_positions or more]
        Set to the instrument and the net quantity of each.
    """
    count = len(cells)
    first, second = np.empty(count, dtype=np.int32), np.empty(count, dtype=np.int32)
    for n in range(count):
        second[n] = n
    _counting_pass(instruments, second, first, np.empty(n_instruments + 1, dtype=np.int64))
    _counting_pass(cells, first, second, starts)
    parts, done, cell = np.empty(count), 0, 0
    position = 0
    for cell in range(len(starts) - 1):
        end, begun = starts[cell + 1], done
        while position < end:
            row, many = instruments[second[position]], 0
            while position < end and instruments[second[position]] == row:
                parts[many] = quantities[second[position]]
                many, position = many + 1, position + 1
            row_ids[done], held[done] = row, _ordered_sum(parts[:many])
            done += 1
        starts[cell] = begun
    starts[len(starts) - 1] = done
    return done


@kernel("void(Array(f8, 2, 'C', True), Array(f8, 1, 'C', True), f8[::1], Array(f8, 2, 'C', True), f8[:, ::1])")
def trade_tails(pools: Floats, trade: Floats, sizes: Floats, weights: Floats, out: Floats) -> None:
    """Write out[pool, m] = measure m of pools[pool] + sizes[pool] * trade.

    Parameters
    ----------
    pools : float64 [n_pools, n_scenarios]
        P&L of each pool without the trade, gain > 0.
    trade, sizes : float64 [n_scenarios], [n_pools]
        P&L of one unit, and how many units each pool gets; 0 where it does not take the trade.
    weights, out : float64 [n_measures, k], [n_pools, n_measures]
        As of `row_tails`.
    """
    count, k = pools.shape[1], weights.shape[1]
    room = np.empty(3 * (count + SPARE) + ROOM + k)
    pooled, kept = room[: count + SPARE], room[count + SPARE : 2 * (count + SPARE)]
    spare = room[2 * (count + SPARE) : 3 * (count + SPARE)]
    minima, worst = room[3 * (count + SPARE) :], room[len(room) - k :]
    for pool in range(len(pools)):
        size, row = sizes[pool], pools[pool]
        for s in range(count):
            pooled[s] = row[s] + size * trade[s]
        worst_of(pooled, count, k, minima, kept, spare, worst)
        weigh(worst, weights, k, out[pool])
