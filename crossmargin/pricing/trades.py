"""Losses of known pools with one trade more, in a few microseconds: pools are sorted once, trades are asked often.

`sorted_pools(rows, weights)` prepares pools, `SortedPools.of(units)` a product, `UnitTrade.losses(size)` answers.
Nothing here knows a product or a rule; callers check that P&L and sizes are finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray


@frozen(eq=False)
class SortedPools:
    """Rows of results in ascending order, one after another, as the kernel reads them; `places` are their scenarios."""

    results: FloatArray
    places: NDArray[np.int32]
    rows: NDArray[np.int64]
    weights: FloatArray

    def of(self, units: Sequence[FloatArray]) -> UnitTrade:
        """Return a trade: the P&L [n_scenarios] of one unit of it under each scenario set, USD, gain > 0."""
        kernel, block = _kernel()
        unit = np.concatenate(units)
        gains = unit[self.places]
        begins = np.concatenate([np.arange(first, last, block) for first, last, _ in self.rows.tolist()])
        reach = np.stack([fold.reduceat(gains, begins) for fold in (np.minimum, np.maximum)], axis=1)
        return UnitTrade(self, unit, np.ascontiguousarray(reach), kernel)


@frozen(eq=False)
class UnitTrade:
    """One unit of a trade on top of sorted pools."""

    pools: SortedPools
    unit: FloatArray
    reach: FloatArray
    _kernel: Any

    def losses(self, size: float) -> list[float]:
        """Return the measure of each row with `size` units of the trade, USD, loss > 0."""
        pools = self.pools
        out = np.empty(len(pools.rows))
        self._kernel(pools.results, pools.places, pools.rows, self.unit, self.reach, pools.weights, size, out)
        found: list[float] = out.tolist()
        return found


def sorted_pools(rows: Sequence[tuple[int, FloatArray]], weights: Sequence[FloatArray]) -> SortedPools:
    """Return pools prepared for trades.

    Parameters
    ----------
    rows : sequence of (int, array [n_scenarios])
        The scenario set of each row, by number, and its P&L, USD, gain > 0. Rows of one set have one length.
    weights : sequence of array [k]
        What the worst results of each row count for, the worst first.
    """
    lengths = {number: len(row) for number, row in rows}
    begins = dict(zip(sorted(lengths), np.cumsum([0, *(lengths[n] for n in sorted(lengths))]).tolist(), strict=False))
    orders = [np.argsort(row, kind="stable") for _, row in rows]
    ends = np.cumsum([0, *(len(row) for _, row in rows)])
    padded = np.zeros((len(rows), max(map(len, weights))))
    for row, each in zip(padded, weights, strict=True):
        row[: len(each)] = each
    return SortedPools(
        np.concatenate([row[order] for (_, row), order in zip(rows, orders, strict=True)]),
        np.concatenate([order + begins[n] for (n, _), order in zip(rows, orders, strict=True)]).astype(np.int32),
        np.stack([ends[:-1], ends[1:], [len(each) for each in weights]], axis=1).astype(np.int64),
        padded,
    )


def _kernel() -> tuple[Any, int]:
    from crossmargin.kernels.trades import BLOCK, sorted_trade_tails

    return sorted_trade_tails, BLOCK
