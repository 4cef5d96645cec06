"""Pools of P&L, many at once: arrays prepared for the kernels, work shared among threads.

`store_of` lays P&L out in blocks, `sorted_positions` sorts holdings, `pool_tails` measures every pool of every account,
`row_tails` the rows of a matrix, `trade_tails` a trade on top of known pools. Nothing here knows a product or a rule;
callers check that P&L and quantities are finite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from math import exp
from types import SimpleNamespace
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray

IntArray = NDArray[np.int64]

CHUNK = 256  # bytes of a block of scenarios of one instrument, as the kernels read it
AHEAD = 16  # entries that the kernels look ahead
MOST_WORST = 256  # worst results that a measure may need
MISSED = 0.003  # chance, were scenarios exchangeable, that a list turns out too short and an account is done again
SWEPT_BYTES = 2**20  # a smaller store stays in the second-level cache whole
POOLS = 300_000  # pools that a thread sweeps at a time, at most; some 70 MB of what they keep in single precision
REVIEW = 4  # bounds are lowered after this part of the scenarios
ROOM = 1.5  # times what the pools of a sweep keep on average, and SPARE more
SPARE = 4096


@frozen(eq=False)
class Store:
    """P&L of instruments under the scenarios of one or more segments, in blocks.

    Attributes
    ----------
    values : array [n_blocks * n_instruments, width]
        float32 or float64, gain > 0, USD per unit; scenarios beyond those of a segment are 0.
    segments : tuple of int
        Scenarios of each segment.
    largest : array [n_instruments]
        Largest absolute P&L of each instrument, USD.
    made_of : object
        What the P&L follows from, for who wants to know.
    sent : dict
        What engines keep of it, for as long as it lives; no part of it, and left behind where it is sent.
    """

    values: Any
    segments: tuple[int, ...]
    n_instruments: int
    largest: FloatArray
    made_of: Any = None
    sent: dict[Any, Any] = field(factory=dict, init=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.values, self.segments, self.n_instruments, self.largest, self.made_of)


@frozen(eq=False)
class Holdings:
    """Net positions by account, silo and instrument; those of cell account * n_silos + silo begin at starts[cell]."""

    starts: IntArray
    row_ids: NDArray[np.int32]
    quantities: FloatArray
    n_accounts: int
    n_silos: int

    def gross(self, largest: FloatArray) -> FloatArray:
        """Return the sum of absolute quantity times `largest` [n_instruments] of each account, USD."""
        held = len(self.quantities)
        weights = np.abs(self.quantities) * largest[self.row_ids[:held]]
        counts = np.diff(self.starts[:: self.n_silos])
        found: FloatArray = np.zeros(self.n_accounts)
        np.add.at(found, np.repeat(np.arange(self.n_accounts), counts), weights)
        return found


@frozen(eq=False)
class Tails:
    """Pools as sets of silos, each measured on one segment, and what the worst results of a segment count for."""

    pools: tuple[tuple[int, ...], ...]
    segments: tuple[int, ...]
    weights: tuple[FloatArray, ...]


def store_of(matrices: Sequence[FloatArray], *, single: bool = False) -> Store:
    """Return P&L matrices [n_instruments, n_scenarios] of the same instruments, one per segment, as a store.

    Scenarios are dealt out to the blocks in turn, so that days in a row do not lie in one block.
    """
    number = np.dtype(np.float32 if single else np.float64)
    width, n_instruments = CHUNK // number.itemsize, len(matrices[0])
    counts = [-(-matrix.shape[1] // width) for matrix in matrices]
    values = np.zeros((sum(counts), n_instruments, width), dtype=number)
    largest = np.zeros(n_instruments)
    first = 0
    for matrix, count in zip(matrices, counts, strict=True):
        for block, dealt in enumerate(_dealt(matrix.shape[1], count)):
            values[first + block, :, : len(dealt)] = matrix[:, dealt]
        first += count
        np.maximum(largest, np.maximum(matrix.max(axis=1, initial=0.0), -matrix.min(axis=1, initial=0.0)), out=largest)
    segments = tuple(matrix.shape[1] for matrix in matrices)
    return Store(values.reshape(-1, width), segments, n_instruments, largest)


def sorted_positions(
    cells: NDArray[np.int32], instruments: NDArray[np.int32], quantities: FloatArray, *, shape: tuple[int, int, int]
) -> Holdings:
    """Return positions sorted and netted; `shape` is n_accounts, n_silos, n_instruments."""
    from crossmargin.kernels.holdings import sort_positions

    n_accounts, n_silos, n_instruments = shape
    starts = np.zeros(n_accounts * n_silos + 1, dtype=np.int64)
    row_ids, held = np.zeros(len(cells) + AHEAD, dtype=np.int32), np.zeros(len(cells))
    count = sort_positions(cells, instruments, quantities, n_instruments, starts, row_ids, held)
    row_ids[count:] = 0
    return Holdings(starts, row_ids, held[:count], n_accounts, n_silos)


def pool_tails(store: Store, held: Holdings, tails: Tails, *, threads: int = 1) -> FloatArray:
    """Return the measures [n_accounts, n_pools, n_measures] of every pool, loss > 0, USD.

    The same bits for any number of threads; nothing of accounts times scenarios is ever stored.
    """
    out = np.zeros((held.n_accounts, len(tails.pools), tails.weights[0].shape[0]))
    if not out.size:
        return out
    arguments = _arguments(store, held, tails, out)
    swept = store.values.nbytes > SWEPT_BYTES and min(store.segments) >= CHUNK
    most = max(1, POOLS // len(tails.pools)) if swept else held.n_accounts
    tiles = threads * -(-held.n_accounts // (threads * most))
    tile = -(-held.n_accounts // tiles)
    work = partial(_sweep if swept else _whole, arguments, out)
    _shared(work, held.n_accounts, tile, threads)
    return out


def row_tails(pnl: Any, weights: FloatArray) -> FloatArray:
    """Return the measures [n_rows, n_measures] of the rows of P&L, float32 or float64, loss > 0."""
    out = np.empty((len(pnl), len(weights)))
    _kernels().row_tails(pnl, weights, out, 0, len(pnl))
    return out


def trade_tails(pools: FloatArray, trade: FloatArray, sizes: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the measures [n_pools, n_measures] of pools [n_pools, n_scenarios] plus sizes [n_pools] of a trade."""
    out = np.empty((len(pools), len(weights)))
    _kernels().trade_tails(pools, trade, sizes, weights, out)
    return out


@cache
def _kernels() -> Any:
    """Return the kernels of single calls; an import statement would cost as much as the tail of a pool."""
    from crossmargin.kernels.holdings import trade_tails
    from crossmargin.kernels.tails import row_tails

    return SimpleNamespace(row_tails=row_tails, trade_tails=trade_tails)


def _dealt(n_scenarios: int, count: int) -> list[IntArray]:
    return [np.arange(block, n_scenarios, count) for block in range(count)]


def _arguments(store: Store, held: Holdings, tails: Tails, out: FloatArray) -> tuple[Any, ...]:
    """Return what both kernels take before their accounts."""
    worst = [weights.shape[1] for weights in tails.weights]
    weights = np.zeros((len(worst), out.shape[2], max(worst)))
    for segment, each in enumerate(tails.weights):
        weights[segment, :, : each.shape[1]] = each
    width = store.values.shape[1]
    blocks = [row for n, count in enumerate(store.segments) for row in _blocks(n, count, width, worst[n])]
    return (
        store.values,
        np.array(blocks, dtype=np.int64),
        held.starts,
        held.row_ids,
        held.quantities,
        np.cumsum([0, *(len(pool) for pool in tails.pools)]),
        np.array([silo for pool in tails.pools for silo in pool], dtype=np.int64),
        np.array(tails.segments, dtype=np.int64),
        np.array(worst, dtype=np.int64),
        weights,
        out,
    )


def _blocks(segment: int, n_scenarios: int, width: int, k: int) -> list[tuple[int, ...]]:
    dealt = _dealt(n_scenarios, -(-n_scenarios // width))
    review, seen = max(0, len(dealt) // REVIEW - 1), 0
    rows: list[tuple[int, ...]] = []
    for number, each in enumerate(dealt):
        seen += len(each)
        rank = min(k, _safe_rank(k * seen / n_scenarios))
        rows.append((segment, len(each), number == 0, number == review > 0, rank))
    return rows


def _safe_rank(mean: float) -> int:
    """Return the rank that a Poisson number of this mean reaches with a chance below `MISSED` only."""
    rank, term = 0, exp(-mean)
    reached = 1.0
    while reached > MISSED and rank < MOST_WORST:
        reached -= term
        rank += 1
        term *= mean / rank
    return rank


def _sweep(arguments: tuple[Any, ...], out: FloatArray, begin: int, end: int) -> None:
    from crossmargin.kernels.accounts import sweep_accounts, whole_accounts

    sweep: Any = sweep_accounts
    whole: Any = whole_accounts
    number, pools, blocks = arguments[0].dtype, (end - begin) * out.shape[1], arguments[1]
    kept = np.empty(int(pools * ROOM * _kept_on_average(blocks)) + SPARE, number)
    counts, bounds = np.empty((len(blocks), pools), np.uint8), np.empty(pools, number)
    again = np.zeros(end, dtype=np.int32)
    redone = sweep(*arguments, again, begin, end, kept, counts, bounds)
    whole(*arguments, again, begin, begin + redone)


def _kept_on_average(blocks: IntArray) -> float:
    """Return how many results a pool keeps if its scenarios are exchangeable, of its costliest segment."""
    share, seen, found = 0.0, 0, np.zeros(blocks[-1, 0] + 1)
    for segment, valid, is_first, is_review, rank in blocks.tolist():
        seen = valid if is_first else seen + valid
        share = rank / seen if is_first or is_review else share
        found[segment] += share * valid
    return float(found.max())


def _whole(arguments: tuple[Any, ...], _: FloatArray, begin: int, end: int) -> None:
    from crossmargin.kernels.accounts import whole_accounts

    whole: Any = whole_accounts
    whole(*arguments, np.arange(end, dtype=np.int32), begin, end)


def _shared(work: Callable[[int, int], None], count: int, tile: int, threads: int) -> None:
    """Do accounts 0 .. count in tiles, each wholly by one thread."""
    tiles = list(pairwise([*range(0, count, tile), count]))
    if threads == 1:
        for begin, end in tiles:
            work(begin, end)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, begin, end) for begin, end in tiles]:
            done.result()
