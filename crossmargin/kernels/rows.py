"""The value of each instrument under many discount curves, the cheapest of several claims included.

The entry is `value_rows`. A *leg* is a sum of cash flows discounted to today, divided by the discount factor of one
date, plus a constant; a *row* is the smallest of its legs. That covers a bond (one leg, divided by the discount factor
of today, which is 1), a Treasury future (one leg per deliverable) and a short-rate future (one cash flow, divided by
the other end of the period).

The kernel walks through the dates once. A *line* is the discount factor of a date or a *running sum*, an earlier line
plus the factor of one more date: equal coupons on one schedule are one product. A line lives in a *slot* from its date
until the last leg that reads it, so that a block of scenarios stays in the first-level cache however many dates there
are. Dates between two knots share one exponential, that of their middle, and differ by a short series; a scenario too
steep for the series takes an exponential for each date. Serial; no allocation except scratch arrays.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._fma import fma
from crossmargin.kernels._jit import kernel
from crossmargin.kernels.discounting import exponential

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

WIDEST = 256  # scenarios in a block: a book of monthly schedules then needs some 30 KiB
LINE = 8  # numbers in a cache line; a vector that crosses none is faster
LANES = 32  # four of the widest vectors there are: what the compiler makes of a loop, without a slow remainder
SERIES_TERMS, GENTLE = 7, 0.04  # exp(-u x) for |u| <= 1 and x up to GENTLE: 2e-16 or 0.04^7 / 7! / 2^6

SLOT, INVERSE, SUMS, LEGS = range(4)  # columns of `steps`
ROW, FLOWS, FLOWS_END, DIVISOR, IS_FIRST = range(5)  # columns of `legs`


@kernel("i8(f8[::1], f8[::1], f8[:, ::1], i8[:, ::1], f8[:, ::1], f8[:, ::1], i8, i8, i8)")
def _set_middle(
    middle: Floats,
    slope: Floats,
    zeros: Floats,
    nodes: Integers,
    centres: Floats,
    slopes: Floats,
    piece: int,
    begin: int,
    count: int,
) -> int:
    """Set the discount factor in the middle of a piece and the slope to its end; return how many are too steep."""
    left, right = zeros[nodes[0, piece], begin : begin + count], zeros[nodes[1, piece], begin : begin + count]
    on_left, on_right, up_left, up_right = centres[0, piece], centres[1, piece], slopes[0, piece], slopes[1, piece]
    steep = 0
    for s in range(count):
        x = fma(up_left, left[s], up_right * right[s])
        middle[s] = exponential(-fma(on_left, left[s], on_right * right[s]))
        slope[s] = x
        steep += 1 if abs(x) > GENTLE else 0
    return steep


@kernel("f8(f8, f8, UniTuple(f8, 7))", inline=True)
def _near(middle: float, x: float, c: tuple[float, ...]) -> float:
    """Return a discount factor by its series."""
    return middle * fma(fma(fma(fma(fma(fma(c[6], x, c[5]), x, c[4]), x, c[3]), x, c[2]), x, c[1]), x, c[0])


@kernel("void(f8[:, ::1], f8[::1], f8[::1], f8[:, ::1], i8[:, ::1], f8[::1], i8, i8)")
def _discount(
    lines: Floats, middle: Floats, slope: Floats, series: Floats, steps: Integers, spare: Floats, day: int, last: int
) -> None:
    """Fill the slots of two dates, which share what they load, or of one and `spare` where the next is the last."""
    width = len(middle)
    other = day + 1 if day + 1 < last else day
    here, there = lines[steps[day, SLOT]], lines[steps[other, SLOT]] if other > day else spare
    c, d = series[day], series[other]
    a = c[0], c[1], c[2], c[3], c[4], c[5], c[6]
    b = d[0], d[1], d[2], d[3], d[4], d[5], d[6]
    for s in range(width):
        m, x = middle[s], slope[s]
        here[s], there[s] = _near(m, x, a), _near(m, x, b)


@kernel("void(f8[::1], f8[::1], f8[:, ::1], i8[:, ::1], f8[:, ::1], i8, i8, i8)", inline=True)
def _mend(
    line: Floats,
    slope: Floats,
    zeros: Floats,
    nodes: Integers,
    weights: Floats,
    day: int,
    begin: int,
    count: int,
) -> None:
    """Set the discount factors of one date anew where the curve is too steep for a series."""
    left, right = zeros[nodes[0, day], begin : begin + count], zeros[nodes[1, day], begin : begin + count]
    on_left, on_right = weights[0, day], weights[1, day]
    for s in range(count):
        exact = exponential(fma(-on_left, left[s], -on_right * right[s]))
        line[s] = exact if abs(slope[s]) > GENTLE else line[s]


@kernel("void(f8[:, ::1], i8[:, ::1], i8, i8)", inline=True)
def _add_running(lines: Floats, sums: Integers, first: int, last: int) -> None:
    """Add the factor of one date to running sums: columns are the line before, the date, and where the sum goes."""
    width = lines.shape[1]
    for n in range(first, last):
        before, factor, to = lines[sums[n, 0]], lines[sums[n, 1]], lines[sums[n, 2]]
        if sums[n, 0] == sums[n, 2]:  # told apart, or what the compiler takes for an overlap would stay scalar
            for s in range(width):
                to[s] += factor[s]
        else:
            for s in range(width):
                to[s] = before[s] + factor[s]


@kernel("void(f8[::1], f8[:, ::1], i8[::1], f8[::1], i8, i8)")
def _sum_flows(total: Floats, lines: Floats, flow_slot: Integers, flow_amount: Floats, first: int, last: int) -> None:
    """Set `total` to the discounted flows first .. last, added in their order."""
    count = len(total)
    for s in range(count):
        total[s] = 0.0
    for flow in range(first, last):
        line, amount = lines[flow_slot[flow]], flow_amount[flow]
        for s in range(count):
            total[s] = fma(amount, line[s], total[s])


@kernel("void(f8[::1], f8[::1], f8[:, ::1], i8[:, ::1], f8, i8[::1], f8[::1], i8)", inline=True)
def _value_leg(
    best: Floats,
    total: Floats,
    lines: Floats,
    legs: Integers,
    offset: float,
    flow_slot: Integers,
    flow_amount: Floats,
    leg: int,
) -> None:
    """Write the value of one leg into its row, or lower the row to it; two flows, a bond's, in one pass."""
    first, last, divisor = legs[leg, FLOWS], legs[leg, FLOWS_END], legs[leg, DIVISOR]
    is_first, count = legs[leg, IS_FIRST] != 0, len(best)
    if last - first != 2:
        _sum_flows(total[:count], lines, flow_slot, flow_amount, first, last)
    else:
        a, b, w, x = lines[flow_slot[first]], lines[flow_slot[first + 1]], flow_amount[first], flow_amount[first + 1]
        if divisor < 0 and offset == 0.0 and is_first:
            for s in range(count):
                best[s] = fma(x, b[s], w * a[s])
            return
        if divisor >= 0 and not is_first:
            inverse = lines[divisor]
            for s in range(count):
                value = fma(fma(x, b[s], w * a[s]), inverse[s], offset)
                best[s] = value if value < best[s] else best[s]  # noqa: FURB136 - one instruction
            return
        for s in range(count):
            total[s] = fma(x, b[s], w * a[s])
    for s in range(count):
        value = fma(total[s], lines[divisor, s], offset) if divisor >= 0 else total[s] + offset
        best[s] = value if is_first or value < best[s] else best[s]


@kernel(
    "void(f8[:, ::1], i8[:, ::1], f8[:, ::1], f8[:, ::1], i8[::1], f8[:, ::1], i8[:, ::1], f8[:, ::1], i8[:, ::1],"
    " i8[:, ::1], i8[:, ::1], i8[::1], i8[::1], i8, f8[::1], f8[::1], f8[:, ::1], i8, i8)"
)
def value_rows(
    zeros: Floats,
    nodes: Integers,
    centres: Floats,
    slopes: Floats,
    piece_start: Integers,
    series: Floats,
    day_nodes: Integers,
    day_weights: Floats,
    steps: Integers,
    sums: Integers,
    legs: Integers,
    order: Integers,
    flow_slot: Integers,
    n_slots: int,
    flow_amount: Floats,
    leg_offset: Floats,
    out: Floats,
    begin: int,
    end: int,
) -> None:
    """Write out[row, s] = min over legs of (sum of amount * DF(date, s)) / DF(divisor, s) + offset.

    Parameters
    ----------
    zeros : float64 [n_knots, n_scenarios]
        Zero rate at each knot.
    nodes : int64 [2, n_pieces]
        Which two knots make the exponents of a piece of time.
    centres, slopes : float64 [2, n_pieces]
        Weights of the two: of the exponent in the middle of the piece, and of its change to the end of the piece.
    piece_start : int64 [n_pieces + 1]
        Dates of piece i are piece_start[i] .. piece_start[i + 1]. Dates increase.
    series : float64 [n_dates, SERIES_TERMS]
        Discount factor over that of the middle of the piece, as a power series in the slope.
    day_nodes, day_weights : int64, float64 [2, n_dates]
        The same date by date: knots, and weights of the zero rates in the exponent.
    steps : int64 [n_dates + 1, 4]
        For each date: the slot of its discount factor, the slot of one over it or -1, and where its running sums and
        the legs that end with it begin.
    sums : int64 [n_sums, 3]
        Slots of the earlier line, of the discount factor and of the running sum, in order of dates.
    legs : int64 [n_legs, 5]
        In order of dates: row; flows from and until; slot of one over the divisor, -1 for none; 1 for the first leg of
        its row. A row without legs is worth 0.
    order : int64 [n_legs]
        Which of `leg_offset` is whose.
    flow_slot : int64 [n_flows]
        Slot of the line of each flow.
    n_slots : int
        Slots there are.
    flow_amount, leg_offset : float64 [n_flows], float64 [n_legs]
        Amount of each flow, and the constant added to each leg.
    out : float64 [n_rows, n_scenarios]
        Written in columns begin .. end; nothing else is touched.
    begin, end : int
        The scenarios to value. Cutting them into pieces changes no bit of the result.
    """
    width = min(-(-(end - begin) // LANES) * LANES, WIDEST)
    room = np.zeros((n_slots + 3) * width + LINE)
    skipped = -(room.ctypes.data // room.itemsize) % LINE
    scratch = room[skipped : skipped + (n_slots + 3) * width].reshape((n_slots + 3, width))
    lines, total, middle, slope = scratch[3:], scratch[0], scratch[1], scratch[2]
    held = np.zeros(len(out), dtype=np.bool_)
    for leg in range(len(legs)):
        held[legs[leg, ROW]] = True
    for row in range(len(out)):
        if not held[row]:
            out[row, begin:end] = 0.0
    for block in range(begin, end, max(width, LANES)):
        count = min(width, end - block)
        for piece in range(len(piece_start) - 1):
            steep = _set_middle(middle, slope, zeros, nodes, centres, slopes, piece, block, count)
            from_day, to_day = piece_start[piece], piece_start[piece + 1]
            for day in range(from_day, to_day):
                if (day - from_day) % 2 == 0:
                    _discount(lines, middle, slope, series, steps, total, day, to_day)
                if steep > 0:
                    _mend(lines[steps[day, SLOT]], slope, zeros, day_nodes, day_weights, day, block, count)
                if steps[day, INVERSE] >= 0:
                    factor, inverse = lines[steps[day, SLOT]], lines[steps[day, INVERSE]]
                    for s in range(count):
                        inverse[s] = 1.0 / factor[s]
                _add_running(lines, sums, steps[day, SUMS], steps[day + 1, SUMS])
                for leg in range(steps[day, LEGS], steps[day + 1, LEGS]):
                    best = out[legs[leg, ROW], block : block + count]
                    _value_leg(best, total, lines, legs, leg_offset[order[leg]], flow_slot, flow_amount, leg)
