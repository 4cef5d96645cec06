"""Many accounts, many pools: the tail of every pool of every account in one pass over the P&L of instruments.

A position lies in an account and a silo; a *pool* is a set of silos of one account, measured on one *segment* of the
scenarios (the scenario set of one model). `sweep_accounts` goes through the scenarios block by block, so that the block
of every instrument stays in the last-level cache while all accounts read it. Of each pool it keeps only the results up
to a bound that the scenarios seen so far suggest: the values themselves one after another as they come, in the order of
blocks and accounts, and how many each pool has in each block, so that memory is written and read from end to end. What
was kept is exact if k results or more are up to the last bound. Where not, the account is done again by
`whole_accounts`, which makes the pooled rows of one account at a time and is exact always. Both give the same bits:
neither the choice nor the number of threads shows.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._jit import kernel
from crossmargin.kernels._ranks import SHORT
from crossmargin.kernels._vectors import add_rows, copy_few, gather_below, pool_below
from crossmargin.kernels.tails import ROOM, SPARE, bound_of, bound_of_few, rank, weigh, worst_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Values: Any = npt.NDArray[Any]

SEGMENT, VALID, IS_FIRST, IS_REVIEW, RANK = range(5)  # columns of `blocks`
_POOLS = "i8[::1], i8[::1], i8[::1]"  # where the silos of each begin, the silos, the segment of each


def _both(signature: str) -> tuple[str, str]:
    """Return the signatures for a store in single and in double precision, `number` being its data type."""
    return signature.replace("number", "f4"), signature.replace("number", "f8")


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


@kernel(*_both("number(f8[::1], i8[::1], i8, i8, i8, i8, number[::1], number[::1])"))
def _first_bound(
    sums: Floats, silos: Integers, first: int, last: int, valid: int, wanted: int, room: Values, minima: Values
) -> Any:
    """Return a bound of rank `wanted`, or a little above it, of the first results of a pool."""
    room[0] = np.inf
    seen = pool_below(sums, silos, first, last, valid, room[0], room, 0)
    return bound_of(room, seen, min(wanted, seen), minima)


@kernel(
    *_both(
        f"i8(number[:, ::1], i8[:, ::1], i8[::1], i4[::1], f8[::1], {_POOLS}, i8, i8, i8, i8, number[::1], i8,"
        " u1[:, ::1], number[::1])"
    )
)
def _one_block(
    store: Values,
    blocks: Integers,
    starts: Integers,
    row_ids: Places,
    quantities: Floats,
    pool_start: Integers,
    pool_silo: Integers,
    pool_segment: Integers,
    n_silos: int,
    number: int,
    begin: int,
    end: int,
    kept: Values,
    held: int,
    counts: Bytes,
    bounds: Values,
) -> int:
    """Append to `kept` what a block brings up to the bounds; return the next place.

    A pool that would keep half a block or more is flat: nothing is kept of it, nor of any once there is no more room.
    """
    n_pools, width, base = len(pool_segment), store.shape[1], number * (len(store) // len(blocks))
    most, full, valid, wanted = width // 2, len(kept) - 2 * width, blocks[number, VALID], blocks[number, RANK]
    sums, minima = np.empty(n_silos * width), np.empty(ROOM, dtype=store.dtype)
    room = np.empty(2 * width, dtype=store.dtype)
    for account in range(begin, end):
        place = account * n_silos
        for silo in range(n_silos):
            first, last = starts[place + silo], starts[place + silo + 1]
            add_rows(store, base, row_ids, quantities, first, last, sums, silo * width)
        for pool in range(n_pools):
            if pool_segment[pool] == blocks[number, SEGMENT]:
                first, last, list_ = pool_start[pool], pool_start[pool + 1], (account - begin) * n_pools + pool
                if blocks[number, IS_FIRST]:
                    bounds[list_] = _first_bound(sums, pool_silo, first, last, valid, wanted, room, minima)
                many = pool_below(sums, pool_silo, first, last, valid, bounds[list_], kept, held) - held
                if many >= most or held + many > full:
                    bounds[list_], many = -np.inf, 0
                counts[number, list_] = many
                held += many
    return held


@kernel(*_both("i8(number[::1], u1[:, ::1], i8[::1], i8, i8, i8, number[::1])"), inline=True)
def _collect(kept: Values, counts: Bytes, places: Integers, first: int, last: int, list_: int, room: Values) -> int:
    """Set `room` to what blocks first .. last kept of a list; return how many. Move `places` on."""
    held = 0
    for number in range(first, last):
        many: Any = np.int64(counts[number, list_])
        held = copy_few(kept, places[number], many, room, held)
        places[number] += many
    return held


@kernel(*_both("void(i8[:, ::1], i8[::1], i8, i8, number[::1], i8[::1], u1[:, ::1], number[::1], number[::1])"))
def _review(
    blocks: Integers,
    pool_segment: Integers,
    first: int,
    last: int,
    kept: Values,
    places: Integers,
    counts: Bytes,
    bounds: Values,
    room: Values,
) -> None:
    """Lower the bounds of a segment to what blocks first .. last suggest."""
    segment, wanted = blocks[last - 1, SEGMENT], blocks[last - 1, RANK]
    minima = np.empty(ROOM, dtype=kept.dtype)
    for list_ in range(len(bounds)):
        if pool_segment[list_ % len(pool_segment)] == segment:
            held = _collect(kept, counts, places, first, last, list_, room)
            if held >= wanted and bounds[list_] > -np.inf:
                bounds[list_] = bound_of_few(room, held, wanted, minima)


@kernel("i8(i8[::1], i8[::1], i8, i8, i8)")
def _positions_of(starts: Integers, silos: Integers, first: int, last: int, place: int) -> Any:
    """Return how many positions a pool has, the silos of its account beginning at `place`."""
    found = 0
    for n in range(first, last):
        found += starts[place + silos[n] + 1] - starts[place + silos[n]]
    return found


@kernel(
    *_both(
        f"i8(i8[:, ::1], i8[::1], {_POOLS}, i8[::1], f8[:, :, ::1], f8[:, :, ::1], i4[::1], i8, i8, number[::1],"
        " i8[::1], u1[:, ::1], number[::1], number[::1])"
    )
)
def _measure(
    blocks: Integers,
    starts: Integers,
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
    places: Integers,
    counts: Bytes,
    bounds: Values,
    room: Values,
) -> int:
    """Write the measures of every pool from what was kept; return how many accounts `again` lists."""
    n_pools, n_silos, redone = len(pool_segment), (len(starts) - 1) // len(out), 0
    ends = np.zeros(len(worst_counts) + 1, dtype=np.int64)
    for number in range(len(blocks)):
        ends[blocks[number, SEGMENT] + 1] = number + 1
    worst = np.empty(weights.shape[2])
    for account in range(begin, end):
        told = True
        for pool in range(n_pools):
            list_, segment = (account - begin) * n_pools + pool, pool_segment[pool]
            k = worst_counts[segment]
            held = _collect(kept, counts, places, ends[segment], ends[segment + 1], list_, room)
            if held > SHORT:
                held = gather_below(room, 0, held, bounds[list_], room, 0)
            if held >= k:
                rank(room, held, k, worst)
            if held >= k and worst[k - 1] <= bounds[list_]:
                weigh(worst, weights[segment], k, out[account, pool])
            elif _positions_of(starts, pool_silo, pool_start[pool], pool_start[pool + 1], account * n_silos):
                told = False
            else:
                out[account, pool] = 0.0
        if not told:
            again[begin + redone] = account
            redone += 1
    return redone


@kernel(
    *_both(
        f"i8(number[:, ::1], i8[:, ::1], i8[::1], i4[::1], f8[::1], {_POOLS}, i8[::1], f8[:, :, ::1],"
        " f8[:, :, ::1], i4[::1], i8, i8, number[::1], u1[:, ::1], number[::1])"
    )
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
    counts: Bytes,
    bounds: Values,
) -> int:
    """Write the measures of every pool of accounts begin .. end; return how many accounts `again` lists to be redone.

    Parameters
    ----------
    store : float32 or float64 [n_blocks * n_rows, width]
        P&L of a unit of each instrument, gain > 0, one block of `width` scenarios after another (`_vectors.CHUNK`).
    blocks : int64 [n_blocks, 5]
        Segment; how many scenarios there are; 1 for the first block of its segment; 1 where bounds are lowered after
        it; the rank from below, among the results up to here, of one that very likely bounds the k worst of them all.
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
    kept, counts, bounds : of the store [any], uint8 [n_blocks, n_lists], of the store [n_lists]
        Room for what is kept, how many of each block, and the bounds, of (end - begin) * n_pools pools.
    """
    n_silos, held, opened = (len(starts) - 1) // len(out), 0, 0
    places, at = np.zeros(len(blocks), dtype=np.int64), np.zeros(len(blocks), dtype=np.int64)
    room = np.empty(len(blocks) * store.shape[1] + SPARE, dtype=store.dtype)
    for number in range(len(blocks)):
        if blocks[number, IS_FIRST]:
            opened = number
        places[number] = held
        held = _one_block(
            store, blocks, starts, row_ids, quantities, pool_start, pool_silo, pool_segment,
            n_silos, number, begin, end, kept, held, counts, bounds,
        )  # fmt: skip
        if blocks[number, IS_REVIEW]:
            at[:] = places
            _review(blocks, pool_segment, opened, number + 1, kept, at, counts, bounds, room)
    return _measure(
        blocks, starts, pool_start, pool_silo, pool_segment, worst_counts, weights, out, again,
        begin, end, kept, places, counts, bounds, room,
    )  # fmt: skip


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
        if starts[place] == starts[place + n_silos]:
            out[accounts[turn]] = 0.0
            continue
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
