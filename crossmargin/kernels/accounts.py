"""Many accounts, many pools: the tail of every pool of every account in one pass over the P&L of instruments.

A position lies in an account and a silo; a *pool* is a set of silos of one account, measured on one *segment* of the
scenarios (the scenario set of one model). `sweep_accounts` goes through the scenarios block by block, so that the block
of every instrument stays in the last-level cache while all accounts read it, and keeps of each pool no more than a
short list of its worst results: those up to a bound that its first scenarios suggest. The list is exact if it ends
with k results or more. Where it does not, the account is done again by `whole_accounts`, which makes the pooled rows of
one account at a time and is exact always. Both give the same bits: neither the choice nor the number of threads shows.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._jit import kernel
from crossmargin.kernels._vectors import VECTOR, add_rows, bound_by_rank, gather_below
from crossmargin.kernels.tails import ROOM, SPARE, rank, weigh, worst_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]
Values: Any = npt.NDArray[Any]

SEGMENT, VALID, IS_FIRST, IS_LAST, RANK = range(5)  # columns of `blocks`
LIST = 64  # results kept of a pool, and SLACK more that a vector may touch
SLACK = 16


@kernel(
    "void(f8[::1], i8[::1], i8[::1], i8, i8, i8, f4[::1], i8)",
    "void(f8[::1], i8[::1], i8[::1], i8, i8, i8, f8[::1], i8)",
)
def _pool(
    sums: Floats,
    pool_start: Integers,
    pool_silo: Integers,
    pool: int,
    width: int,
    valid: int,
    pooled: Values,
    at: int,
) -> None:
    """Set `pooled` from `at` on to the sum of the silos of a pool, in their order; what does not count to infinity."""
    first, last = pool_start[pool], pool_start[pool + 1]
    here = pooled[at : at + width]
    if first == last:
        here[:] = 0.0
        here[valid:] = np.inf
        return
    one = sums[pool_silo[first] * width : (pool_silo[first] + 1) * width]
    if last - first == 1:
        for s in range(width):
            here[s] = one[s]
    else:
        two = sums[pool_silo[first + 1] * width : (pool_silo[first + 1] + 1) * width]
        if last - first == 2:
            for s in range(width):
                here[s] = one[s] + two[s]
        else:
            whole = sums[len(sums) - width :]
            for s in range(width):
                whole[s] = one[s] + two[s]
            for n in range(first + 2, last - 1):
                more = sums[pool_silo[n] * width : (pool_silo[n] + 1) * width]
                for s in range(width):
                    whole[s] += more[s]
            final = sums[pool_silo[last - 1] * width : (pool_silo[last - 1] + 1) * width]
            for s in range(width):
                here[s] = whole[s] + final[s]
    for s in range(valid, width):
        here[s] = np.inf


@kernel(
    "i8(f4[::1], i8, i8, i8, f4[::1], i8, f4[::1], i8)",
    "i8(f8[::1], i8, i8, i8, f8[::1], i8, f8[::1], i8)",
)
def _tighten(
    kept: Values, at: int, held: int, wanted: int, bounds: Values, list_: int, room: Values, behind: int
) -> int:
    """Lower the bound of a list to its result of rank `wanted` and keep those up to it; return how many."""
    lanes = VECTOR // kept.itemsize
    whole = -(-held // (2 * lanes)) * 2 * lanes
    if held < wanted:
        return held
    copy = room[behind:]
    for n in range(held):
        copy[n] = kept[at + n]
    for n in range(held, whole):
        copy[n] = np.inf
    bounds[list_] = bound_by_rank(copy, whole, wanted)
    return gather_below(copy, 0, whole, bounds[list_], kept, at) - at


@kernel(
    "void(f4[::1], i8, i8[:, ::1], i8, i8, f4[::1], i4[::1], f4[::1], i8, f4[::1])",
    "void(f8[::1], i8, i8[:, ::1], i8, i8, f8[::1], i4[::1], f8[::1], i8, f8[::1])",
)
def _keep(
    pooled: Values,
    width: int,
    blocks: Integers,
    number: int,
    k: int,
    kept: Values,
    held: Places,
    bounds: Values,
    list_: int,
    room: Values,
) -> None:
    """Keep of a block of one pool what is up to the bound of its list; `held` is -1 once the list has overflowed."""
    at = list_ * (LIST + SLACK)
    if blocks[number, IS_FIRST]:
        half = width // 2
        for n in range(half):
            value = pooled[n + half]
            room[n] = value if value < pooled[n] else pooled[n]  # noqa: FURB136 - one instruction
        bounds[list_] = bound_by_rank(room, half, min(blocks[number, RANK], half))
        held[list_] = 0
    before: Any = np.int64(held[list_])
    if before < 0:
        return
    many = gather_below(pooled, 0, width, bounds[list_], room, 0)
    if before + many > LIST:
        before = _tighten(kept, at, before, min(blocks[number, RANK], k), bounds, list_, room, width + SPARE)
        many = gather_below(pooled, 0, width, bounds[list_], room, 0)
        if before + many > LIST:
            held[list_] = -1
            return
    to = kept[at + before : at + before + SLACK]
    for n in range(SLACK):
        to[n] = room[n]
    for n in range(SLACK, many):
        kept[at + before + n] = room[n]
    held[list_] = before + many


@kernel(
    "i8(f4[:, ::1], i8[:, ::1], i8[::1], i4[::1], f8[::1], i8[::1], i8[::1], i8[::1], i8[::1], f8[:, :, ::1],"
    " f8[:, :, ::1], i4[::1], i8, i8, f4[::1], i4[::1], f4[::1])",
    "i8(f8[:, ::1], i8[:, ::1], i8[::1], i4[::1], f8[::1], i8[::1], i8[::1], i8[::1], i8[::1], f8[:, :, ::1],"
    " f8[:, :, ::1], i4[::1], i8, i8, f8[::1], i4[::1], f8[::1])",
)
def sweep_accounts(
    store: Values,
    blocks: Integers,
    starts: Integers,
    row_ids: Places,
    quantities: Floats,
    pool_start: Integers,
    pool_silo: Integers,
    pool_segment: Integers,
    worst_counts: Integers,
    weights: Floats,
    out: Floats,
    again: Places,
    begin: int,
    end: int,
    kept: Values,
    held: Places,
    bounds: Values,
) -> int:
    """Write the measures of every pool of accounts begin .. end; return how many accounts `again` lists to be redone.

    Parameters
    ----------
    store : float32 or float64 [n_blocks * n_rows, width]
        P&L of a unit of each instrument, gain > 0, one block of `width` scenarios after another (`_vectors.CHUNK`).
    blocks : int64 [n_blocks, 5]
        Segment; how many scenarios count; 1 for the first and 1 for the last block of its segment; the rank from below,
        among the results seen up to here, of one that very likely bounds the k worst of the segment.
    starts : int64 [n_accounts * n_silos + 1]
        Positions of silo i of account a are starts[a * n_silos + i] .. the next one.
    row_ids, quantities : int32, float64
        Instrument and signed quantity of each position; `row_ids` has AHEAD more.
    pool_start, pool_silo, pool_segment : int64
        Silos of each pool, [n_pools + 1] and [n_members]; the segment each pool is measured on, [n_pools].
    worst_counts : int64 [n_segments]
        How many worst results the measures of a segment need.
    weights : float64 [n_segments, n_measures, k]
        What they count for, the worst first (`row_tails`).
    out : float64 [n_accounts, n_pools, n_measures]
        Loss > 0.
    again : int32 [n_accounts]
        From place begin on: the accounts whose lists do not tell.
    begin, end : int
        Accounts to do.
    kept, held, bounds : of the store [n_lists * (LIST + SLACK)], int32 and of the store [n_lists]
        Room for the lists of (end - begin) * n_pools pools.
    """
    n_pools, width, n_rows = len(pool_segment), store.shape[1], len(store) // len(blocks)
    n_silos = (len(starts) - 1) // len(out)
    sums = np.zeros((n_silos + 1) * width)
    pooled = np.empty(width, dtype=store.dtype)
    room = np.empty(4 * width + 4 * SPARE, dtype=store.dtype)
    for number in range(len(blocks)):
        segment, base = blocks[number, SEGMENT], number * n_rows
        k, valid = worst_counts[segment], blocks[number, VALID]
        for account in range(begin, end):
            place = account * n_silos
            for silo in range(n_silos):
                first, last = starts[place + silo], starts[place + silo + 1]
                add_rows(store, base, row_ids, quantities, first, last, sums, silo * width)
            for pool in range(n_pools):
                if pool_segment[pool] == segment:
                    list_ = (account - begin) * n_pools + pool
                    _pool(sums, pool_start, pool_silo, pool, width, valid, pooled, 0)
                    _keep(pooled, width, blocks, number, k, kept, held, bounds, list_, room)
    worst, redone = np.empty(weights.shape[2]), 0
    for account in range(begin, end):
        told = True
        for pool in range(n_pools):
            list_ = (account - begin) * n_pools + pool
            segment = pool_segment[pool]
            count: Any = np.int64(held[list_])
            if count < worst_counts[segment]:
                told = False
                break
            rank(kept[list_ * (LIST + SLACK) :], count, worst_counts[segment], worst)
            weigh(worst, weights[segment], worst_counts[segment], out[account, pool])
        if not told:
            again[begin + redone] = account
            redone += 1
    return redone


@kernel(
    "void(f4[:, ::1], i8[:, ::1], i8[::1], i4[::1], f8[::1], i8[::1], i8[::1], i8[::1], i8[::1], f8[:, :, ::1],"
    " f8[:, :, ::1], i4[::1], i8, i8)",
    "void(f8[:, ::1], i8[:, ::1], i8[::1], i4[::1], f8[::1], i8[::1], i8[::1], i8[::1], i8[::1], f8[:, :, ::1],"
    " f8[:, :, ::1], i4[::1], i8, i8)",
)
def whole_accounts(
    store: Values,
    blocks: Integers,
    starts: Integers,
    row_ids: Places,
    quantities: Floats,
    pool_start: Integers,
    pool_silo: Integers,
    pool_segment: Integers,
    worst_counts: Integers,
    weights: Floats,
    out: Floats,
    accounts: Places,
    begin: int,
    end: int,
) -> None:
    """Write the measures of every pool of accounts[begin .. end]; parameters as of `sweep_accounts`."""
    n_pools, width, n_rows = len(pool_segment), store.shape[1], len(store) // len(blocks)
    n_silos, length = (len(starts) - 1) // len(out), len(blocks) * width
    sums = np.zeros((n_silos + 1) * width)
    pooled = np.empty(n_pools * length, dtype=store.dtype)
    counts = np.zeros(n_pools, dtype=np.int64)
    minima = np.empty(ROOM, dtype=store.dtype)
    kept = np.empty(length + SPARE, dtype=store.dtype)
    spare = np.empty(length + SPARE, dtype=store.dtype)
    worst = np.empty(weights.shape[2])
    for turn in range(begin, end):
        place = np.int64(accounts[turn]) * n_silos
        counts[:] = 0
        for number in range(len(blocks)):
            segment, base = blocks[number, SEGMENT], number * n_rows
            valid = blocks[number, VALID]
            for silo in range(n_silos):
                first, last = starts[place + silo], starts[place + silo + 1]
                add_rows(store, base, row_ids, quantities, first, last, sums, silo * width)
            for pool in range(n_pools):
                if pool_segment[pool] == segment:
                    _pool(sums, pool_start, pool_silo, pool, width, valid, pooled, pool * length + counts[pool])
                    counts[pool] += valid
        for pool in range(n_pools):
            k = worst_counts[pool_segment[pool]]
            worst_of(pooled[pool * length :], counts[pool], k, minima, kept, spare, worst)
            weigh(worst, weights[pool_segment[pool]], k, out[accounts[turn], pool])
