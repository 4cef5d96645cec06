"""Scenarios that come and go: options priced a block at a time, and the worst few results of every pool so far.

Call, in this order, `black_block`, which writes the P&L of every option under one block of scenarios; `stream_block`,
which adds that block up by account and writes those results that can still be among the k worst of their pool one
behind the other into a *log*; now and then `merge`, which takes the log into the k worst so far and lowers the *bound*
that later results have to beat; and `finish`, which weighs them. What is dropped is never wanted again: the k worst
are exact, ties included, however the scenarios are cut into blocks. A log is written and read front to back, which
memory does many times sooner than lists here and there. `accounts.py` says what silos and pools are.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._fma import fma
from crossmargin.kernels._jit import kernel
from crossmargin.kernels._vectors import add_rows, copy_few, pool_below
from crossmargin.kernels.black import distances, forward_value, loaded
from crossmargin.kernels.tails import SPARE, rank, weigh

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]
Values: Any = npt.NDArray[Any]

LANES = 8  # running maxima of a row


@kernel("void(f8[::1], f8[::1])")
def log_strikes(strike: Floats, out: Floats) -> None:
    """Write the logarithms that `black.black_rows` takes, to the last bit."""
    for option in range(len(strike)):
        out[option] = math.log(strike[option]) if strike[option] > 0.0 else -math.inf


@kernel(
    "void(f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], i8[::1], i8[::1], f8[::1], f8[::1],"
    " f8[::1], f8[::1], f8[::1], f8[::1], i8[::1], f4[:, ::1], f8[::1], i8, i8)",
    "void(f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], i8[::1], i8[::1], f8[::1], f8[::1],"
    " f8[::1], f8[::1], f8[::1], f8[::1], i8[::1], f8[:, ::1], f8[::1], i8, i8)",
)
def black_block(
    forward: Floats,
    log_forward: Floats,
    discount: Floats,
    sqrt_time: Floats,
    scale: Floats,
    shift: Floats,
    slice_row: Integers,
    volatility_row: Integers,
    strike: Floats,
    sign: Floats,
    volatility: Floats,
    log_strike: Floats,
    units: Floats,
    base: Floats,
    places: Integers,
    out: Values,
    largest: Floats,
    begin: int,
    end: int,
) -> None:
    """Write units * value - base of options begin .. end under every scenario of a block.

    Parameters
    ----------
    forward .. volatility
        As in `black.black_rows`, of one block of scenarios: as many columns as `out` has, a multiple of LANES.
    log_strike : float64 [n_options]
        Made by `log_strikes`.
    units, base : float64 [n_options]
        Units of the underlying, and what the option is worth today, USD.
    places : int64 [n_options]
        Row of each option in `out` and `largest`.
    out : float32 or float64 [n_rows, width]
        Gain > 0, USD per contract.
    largest : float64 [n_rows]
        Raised to the largest absolute P&L of each option; empty where nobody asks.
    begin, end : int
        Options to do.
    """
    width = out.shape[1]
    w, c, top, asked = np.empty((2, width)), loaded(min(begin, 0)), np.empty(LANES), len(largest) > 0
    for option in range(begin, end):
        on, by = slice_row[option], volatility_row[option]
        f, lf, df, t, up, more = forward[on], log_forward[on], discount[on], sqrt_time[on], scale[by], shift[by]
        k, lk, sign_of, v = strike[option], log_strike[option], sign[option], volatility[option]
        many, today, place = units[option], base[option], places[option]
        h, b, row = w[0], w[1], out[place]
        for s in range(width):
            h[s], b[s] = distances(lf[s] - lk, fma(v, up[s], more[s]) * t[s])
        for s in range(width):
            row[s] = many * (df[s] * forward_value(h[s], b[s], f[s], k, sign_of, c)) - today
        if asked:
            top[:] = largest[place]
            for start in range(0, width, LANES):
                for s in range(LANES):
                    size = abs(row[start + s])
                    top[s] = size if size > top[s] else top[s]  # noqa: FURB136 - one instruction
            largest[place] = top.max()


@kernel(
    "i8(f4[:, ::1], i8, i8[::1], i4[::1], f8[::1], i8, i8[::1], i8[::1], i8[::1], f4[::1], f4[::1], i8, i4[::1], i8,"
    " i8)",
    "i8(f8[:, ::1], i8, i8[::1], i4[::1], f8[::1], i8, i8[::1], i8[::1], i8[::1], f8[::1], f8[::1], i8, i4[::1], i8,"
    " i8)",
)
def stream_block(
    rows: Values,
    valid: int,
    starts: Integers,
    row_ids: Places,
    quantities: Floats,
    n_silos: int,
    silos: Integers,
    pool_start: Integers,
    pool_silo: Integers,
    bounds: Values,
    log: Values,
    used: int,
    counts: Places,
    begin: int,
    end: int,
) -> int:
    """Add one block of scenarios up by account and log what can be among the worst of each pool.

    Parameters
    ----------
    rows : float32 or float64 [n_instruments, width]
        P&L of a unit of each instrument, gain > 0, finite; `width` is `_vectors.CHUNK` bytes.
    valid : int
        Scenarios that count, from the first on.
    starts : int64 [n_accounts * n_silos + 1]
        Positions of silo i of account a are starts[a * n_silos + i] .. the next one.
    row_ids, quantities : int32, float64
        Instrument and signed quantity of each position; `row_ids` has `_vectors.AHEAD` more.
    silos : int64
        Those that some pool has.
    pool_start, pool_silo : int64
        Silos of each pool as places in `silos`, [n_pools + 1] and [n_members].
    bounds : of the rows [n_lists]
        For each pool of accounts begin .. end what a result must not exceed; the largest number there is at first.
    log : of the rows
        From `used` on there is room for the whole block and CHUNK bytes.
    counts : int32 [n_lists]
        Set to how many results of each pool were logged.
    begin, end : int
        Accounts to do.

    Returns
    -------
    int
        Where the log ends now.
    """
    n_pools, width = len(pool_start) - 1, rows.shape[1]
    sums = np.empty(len(silos) * width)
    for account in range(begin, end):
        for n in range(len(silos)):
            cell = account * n_silos + silos[n]
            add_rows(rows, 0, row_ids, quantities, starts[cell], starts[cell + 1], sums, n * width)
        for pool in range(n_pools):
            list_, before = (account - begin) * n_pools + pool, used
            first, last = pool_start[pool], pool_start[pool + 1]
            used = pool_below(sums, pool_silo, first, last, valid, bounds[list_], log, used)
            counts[list_] = used - before
    return used


@kernel(
    "void(f4[::1], i8[::1], i4[:, ::1], i8, f4[:, ::1], f4[::1])",
    "void(f8[::1], i8[::1], i4[:, ::1], i8, f8[:, ::1], f8[::1])",
)
def merge(log: Values, places: Integers, counts: Places, k: int, kept: Values, bounds: Values) -> None:
    """Keep the k smallest of what each list holds and what blocks have logged for it.

    Parameters
    ----------
    log : float32 or float64
        What was logged, block after block, each list after list; VECTOR bytes to spare.
    places : int64 [n_blocks]
        Where each block begins in the log; changed.
    counts : int32 [n_blocks, n_lists]
        Results logged.
    k : int
        Worst results wanted.
    kept : of the log [n_lists, k]
        The smallest so far, in order, infinity where there were fewer.
    bounds : of the log [n_lists]
        Set to the largest of them.
    """
    most = counts.sum(axis=0).max() if counts.size else 0
    room, worst = np.empty(k + most + SPARE, dtype=kept.dtype), np.empty(k)
    for list_ in range(len(kept)):
        held = 0
        for block in range(len(places)):
            many: Any = np.int64(counts[block, list_])
            held = copy_few(log, places[block], many, room, held)
            places[block] += many
        if held:
            known = 0 if held >= k and kept[list_, 0] == np.inf else k
            for n in range(known):
                room[held + n] = kept[list_, n]
            rank(room, held + known, k, worst)
            for n in range(k):
                kept[list_, n] = worst[n]
            bounds[list_] = worst[k - 1]


@kernel(
    "void(f4[:, ::1], i8, f8[:, ::1], i8[::1], f8[:, :, ::1], i8)",
    "void(f8[:, ::1], i8, f8[:, ::1], i8[::1], f8[:, :, ::1], i8)",
)
def finish(kept: Values, k: int, weights: Floats, pools: Integers, out: Floats, begin: int) -> None:
    """Write the measures of the lists into out [n_accounts, all pools, n_measures], account after account from `begin`.

    `pools` are the places of an account's lists in `out`.
    """
    worst, room = np.empty(k), np.empty(k + SPARE, dtype=kept.dtype)
    for list_ in range(len(kept)):
        for n in range(k):
            room[n] = kept[list_, n]
        rank(room, k, k, worst)
        weigh(worst, weights, k, out[begin + list_ // len(pools), pools[list_ % len(pools)]])
