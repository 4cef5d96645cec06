"""The lattice of Cox, Ross and Rubinstein: European and American options, continuous and cash dividends.

The one entry is `lattice_values`. Eight options go side by side, four steps to a pass (`sweep`). What is left over, and
options with cash dividends, go one by one, vectors running across the nodes of a step; an option has the same bits
either way. Nodes are numbered from the deepest in the money, for calls as for puts, so that both kinds are one loop.
Two regions are known without computing: nodes from which every path ends worthless and, of single options, nodes at
which both successors are exercised and holding on costs something (Kim and Byun, Optimal exercise boundary in a
binomial option pricing model, 1994). `crossmargin.pricing.american` prepares the arrays and keeps probabilities between
0 and 1.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._jit import kernel
from crossmargin.kernels._sweep import OPTIONS, ROOM, STEPS, sweep
from crossmargin.kernels.discounting import exponential

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LANES = 8  # nodes in the widest vector register; loops run over whole vectors, the surplus is never read
SEEDS = 8  # prices of a ladder that are computed on their own; the rest are multiples of these
CHUNK = 12  # steps between two looks at how far exercise reaches
NEVER = -1e300  # an exercise value that no option has
ONE, TWO = np.uint64(1), np.uint64(2)

# What a lattice keeps.
NEAR, FAR, STRIKE, LIMIT, NEXT, AFTER = range(6)  # scalars
BASE, WORTHLESS = range(2)  # nodes


@kernel("void(f8[::1], f8[:, ::1], f8[::1], i8, i8, i8)", inline=True)
def _one_step(values: Floats, ladder: Floats, scalars: Floats, back: int, base: int, count: int) -> None:
    """Go from `back` steps before expiry to one more, for nodes base .. base + count."""
    near, far, add = scalars[NEAR], scalars[FAR], scalars[NEXT]
    row, shift, start = (back + 1) & 1, np.uint64((back + 1) >> 1), np.uint64(base)
    for n in range(count):
        node = start + np.uint64(n)
        held = near * values[node] + far * values[node + ONE]
        paid = ladder[row, node + shift] + add
        values[node] = max(paid, held)


@kernel("void(f8[::1], f8[:, ::1], f8[::1], i8, i8, i8)", inline=True)
def _two_steps(values: Floats, ladder: Floats, scalars: Floats, back: int, base: int, count: int) -> None:
    """Go two steps at once: one load and one store of the values for both."""
    near, far, add, again = scalars[NEAR], scalars[FAR], scalars[NEXT], scalars[AFTER]
    row, shift, start = (back + 1) & 1, np.uint64((back + 1) >> 1), np.uint64(base)
    other, further = back & 1, np.uint64((back + 2) >> 1)
    for n in range(count):
        node = start + np.uint64(n)
        low = near * values[node] + far * values[node + ONE]
        high = near * values[node + ONE] + far * values[node + TWO]
        paid = ladder[row, node + shift] + add
        low = max(paid, low)
        paid = ladder[row, node + shift + ONE] + add
        high = max(paid, high)
        held = near * low + far * high
        paid = ladder[other, node + further] + again
        values[node] = max(paid, held)


@kernel("void(f8[:, ::1], f8, f8, i8)")
def _fill_ladder(ladder: Floats, signed_spot: float, rung: float, steps: int) -> None:
    """Set ladder[k % 2, k // 2] to the signed price k rungs from the deepest in the money."""
    growth = exponential(2.0 * SEEDS * rung)
    for row in range(2):
        start = float(row - steps)
        for n in range(SEEDS):
            ladder[row, n] = signed_spot * exponential((2.0 * n + start) * rung)
        for n in range(ladder.shape[1] - SEEDS):
            ladder[row, n + SEEDS] = ladder[row, n] * growth


@kernel("void(f8[::1], f8[:, ::1], f8[::1], i8[::1], f8, i8)")
def _expire(values: Floats, ladder: Floats, scalars: Floats, nodes: Integers, cash: float, steps: int) -> None:
    """Set the values at expiry and count the nodes from which outwards all are worthless."""
    owed = scalars[STRIKE] - cash
    for node in range(len(values)):
        paid = ladder[0, node] - owed
        values[node] = max(0.0, paid)
    worthless = 0
    while worthless <= steps and values[worthless] > 0.0:
        worthless += 1
    nodes[BASE], nodes[WORTHLESS] = 0, worthless


@kernel("void(f8[::1], f8[:, ::1], f8[::1], i8[::1], i8, i8, i8)")
def _skip_exercised(
    values: Floats, ladder: Floats, scalars: Floats, nodes: Integers, back: int, run: int, steps: int
) -> None:
    """Move BASE to a node inwards of which all are exercised at each of the next `run` steps."""
    row, shift, strike, known = back & 1, back >> 1, scalars[STRIKE], nodes[BASE]
    exercised = nodes[WORTHLESS] if back == 0 else known
    while exercised <= steps - back and 0.0 < values[exercised] <= ladder[row, exercised + shift] - strike:
        exercised += 1
    while exercised > 0 and not ladder[row, exercised - 1 + shift] >= scalars[LIMIT]:
        exercised -= 1
    base = max(exercised - run, 0)
    for node in range(base, known):
        values[node] = ladder[row, node + shift] - strike
    nodes[BASE] = base


@kernel("void(f8[:, ::1], f8[:, ::1], i8)")
def _fill_payments(paid: Floats, terms: Floats, steps: int) -> None:
    """Set paid[ROOM + k] to what exercise pays at the price k rungs from the deepest in the money, of eight options."""
    wide = 2 * SEEDS * OPTIONS  # loops are this long, over prices of all eight: the compiler makes no vectors of eight
    power, spots, strikes, growth = np.empty(wide), np.empty(wide), np.empty(wide), np.empty(wide)
    further = np.empty(OPTIONS)
    for lane in range(OPTIONS):
        further[lane] = exponential(2.0 * SEEDS * terms[2, lane])
    for k in range(2 * SEEDS):
        for lane in range(OPTIONS):
            at = k * OPTIONS + lane
            power[at] = np.float64(k - steps) * terms[2, lane]
            spots[at], strikes[at], growth[at] = terms[0, lane], terms[1, lane], further[lane]
    flat = paid.reshape(paid.size)[ROOM * OPTIONS :]
    first = flat[:wide]
    for at in range(wide):
        first[at] = spots[at] * exponential(power[at])
    for begin in range(wide, (2 * steps + 1) * OPTIONS, wide):
        here, before = flat[begin : begin + wide], flat[begin - wide : begin]
        for at in range(wide):
            here[at] = before[at] * growth[at]
    for begin in range(0, (2 * steps + 1) * OPTIONS, wide):
        here = flat[begin : begin + wide]
        for at in range(wide):
            here[at] -= strikes[at]


@kernel("i8(f8[:, ::1], f8[:, ::1], i8)")
def _expire_eight(values: Floats, paid: Floats, steps: int) -> int:
    """Set the values at expiry; return the node from which outwards all eight are worthless."""
    worthless = 0
    for node in range(steps + 1):
        above = 0
        for lane in range(OPTIONS):
            value = max(0.0, paid[ROOM + 2 * node, lane])
            values[ROOM + node, lane] = value
            above += 1 if value > 0.0 else 0
        worthless = node + 1 if above > 0 else worthless
    values[ROOM + steps + 1 :] = 0.0
    return worthless


@kernel("void(f8[:, ::1], f8[:, ::1], f8[:, ::1], i8, b1, f8[::1])")
def _value_eight(values: Floats, paid: Floats, terms: Floats, steps: int, american: bool, out: Floats) -> None:
    """Write the values of eight options, whose terms stand in columns."""
    _fill_payments(paid, terms, steps)
    worthless = _expire_eight(values, paid, steps)
    if not american:
        paid[:] = NEVER
    odds, back = terms[3:5], 0
    while back + STEPS <= steps:
        sweep(values, paid, odds, back, min(steps - back - STEPS + 1, worthless))
        back += STEPS
    for now in range(back, steps):
        for node in range(steps - now):
            for lane in range(OPTIONS):
                held = odds[0, lane] * values[ROOM + node, lane] + odds[1, lane] * values[ROOM + node + 1, lane]
                values[ROOM + node, lane] = max(paid[ROOM + 2 * node + now + 1, lane], held)
    for lane in range(OPTIONS):
        out[lane] = values[ROOM, lane]


@kernel("i8(f8[:, ::1], i8, b1, f8[::1])")
def _value_eights(options: Floats, steps: int, american: bool, out: Floats) -> int:
    """Write the values of options eight by eight; return how many are done."""
    n_values, n_paid = steps + 2 * ROOM + STEPS, (2 * steps // (2 * SEEDS) + 1) * 2 * SEEDS + 2 * ROOM
    room = np.zeros((n_values + n_paid + 1) * OPTIONS)
    skipped = -(room.ctypes.data // room.itemsize) % OPTIONS
    rows = room[skipped : skipped + (n_values + n_paid) * OPTIONS].reshape((n_values + n_paid, OPTIONS))
    done = len(options) // OPTIONS * OPTIONS
    for first in range(0, done, OPTIONS):
        terms = np.ascontiguousarray(options[first : first + OPTIONS].T)
        _value_eight(rows[:n_values], rows[n_values:], terms, steps, american, out[first : first + OPTIONS])
    return done


@kernel("void(f8[:, ::1], f8[:, ::1], i8, b1, f8[::1])")
def lattice_values(options: Floats, cash: Floats, steps: int, american: bool, out: Floats) -> None:
    """Write the value of each option at the root of its lattice.

    Parameters
    ----------
    options : float64 [n_options, 6]
        Spot and strike, both negative for a put; log of the ratio of neighbouring prices, from deep in the
        money outwards (positive for a put, negative for a call); discounted probabilities of the successor of
        the same number (the one deeper in the money) and of the next; signed spot from which inwards holding
        on to an exercised option for a step gains nothing, infinite when no such statement holds.
    cash : float64 [n_options, steps + 1] or [0, steps + 1]
        Signed value at each step of cash dividends still to come, part of the price an exercise delivers. No
        rows: none are paid.
    steps : int
        Time steps, at least 1.
    american : bool
        Whether exercise is possible before expiry.
    out : float64 [n_options]
        Written, in the unit of the strike. Options that end worthless at similar nodes are best side by side.
    """
    width = max(steps + 1, SEEDS) + 4 * LANES
    values, ladder = np.zeros(width), np.zeros((2, width))
    scalars, nodes = np.zeros(6), np.zeros(2, dtype=np.int64)
    paying = len(cash) > 0
    done = 0 if paying else _value_eights(options, steps, american, out)
    for n in range(done, len(options)):
        scalars[STRIKE], scalars[NEAR], scalars[FAR] = options[n, 1], options[n, 3], options[n, 4]
        scalars[LIMIT] = options[n, 5]
        _fill_ladder(ladder, options[n, 0], options[n, 2], steps)
        _expire(values, ladder, scalars, nodes, cash[n, steps] if paying else 0.0, steps)
        if paying:
            nodes[WORTHLESS] = steps + 1
        back = 0
        while back < steps:
            run = min(CHUNK, steps - back)
            if american and not paying:
                _skip_exercised(values, ladder, scalars, nodes, back, run, steps)
            base, stop = nodes[BASE], back + run
            while back < stop:
                pair = 2 if stop - back >= 2 else 1
                for ahead in range(pair):
                    held = cash[n, steps - back - 1 - ahead] if paying else 0.0
                    scalars[NEXT + ahead] = held - scalars[STRIKE] if american else NEVER
                count = min(steps + 1 - back - pair, nodes[WORTHLESS]) - base
                count = max((count + LANES - 1) // LANES, 2) * LANES  # the compiled loop wants two vectors or more
                if pair == 2:
                    _two_steps(values, ladder, scalars, back, base, count)
                else:
                    _one_step(values, ladder, scalars, back, base, count)
                back += pair
        # a base above the root means that exercise has reached it
        out[n] = values[0] if nodes[BASE] == 0 else ladder[steps & 1, steps >> 1] - scalars[STRIKE]
