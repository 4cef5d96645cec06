"""Values of dated cash flows under many discount curves, the cheapest of several claims included.

The one entry is `value_rows`. A *leg* is a sum of cash flows discounted to today, divided by the discount
factor of one date, plus a constant; a *row* is the smallest of its legs. That covers a bond (one leg, divided
by the discount factor of today, which is 1), a Treasury future (one leg per deliverable) and a short-rate
future (one cash flow, divided by the other end of the period).

Scenarios are innermost. Discount factors of one block of scenarios are computed once per date and stay in the
second-level cache while all rows read them. Serial; no allocation except the two scratch arrays.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._jit import kernel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BLOCK_VALUES = 49_152  # discount factors of one block: 384 KiB, well inside a usual second-level cache
WIDEST, NARROWEST = 256, 32  # scenarios in a block
LANES = 8  # numbers in the widest vector register there is; a whole number of vectors leaves no slow remainder

# exp(x) = 2^n exp(r) with r = x - n ln 2. ln 2 comes in two parts (Cody and Waite 1980): the first ends in
# zero bits, so that n times it is exact. Adding 1.5 * 2^52 rounds to the nearest integer and leaves that
# integer in the low bits.
LOG2_E = 1.4426950408889634
LN2_HIGH = 0.6931471803691238
LN2_LOW = 1.9082149292705877e-10
ROUNDER = 6755399441055744.0
BIAS = np.int64(1023)
MANTISSA = np.int64(52)
SMALLEST, LARGEST = -708.0, 709.0  # beyond, the result is no normal number; exp is held at these ends


@kernel("f8(f8)", inline=True)
def exponential(x: float) -> float:
    """Return exp(x) to a relative 5e-16 for x in [-708, 709], held at the ends outside; NaN stays NaN.

    A polynomial in place of the library's: a call would keep the compiler from vectorising the loop. The
    coefficients are 1/k!; the first term left out is below 4e-18 on |r| <= ln(2)/2.
    """
    x = SMALLEST if x < SMALLEST else x  # noqa: FURB136 - the order of comparison lets NaN through
    x = LARGEST if x > LARGEST else x  # noqa: FURB136
    shifted = x * LOG2_E + ROUNDER
    n = shifted - ROUNDER
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    bits = (np.float64(shifted).view(np.int64) << MANTISSA) + (BIAS << MANTISSA)
    power = np.int64(bits).view(np.float64)
    return p * power


@kernel("void(f8[:, ::1], f8[:, ::1], i8[:, ::1], f8[:, ::1], i8, i8)")
def _discount_block(
    factors: Floats, exponents: Floats, nodes: Integers, weights: Floats, begin: int, count: int
) -> None:
    """Fill `factors` [n_dates, block] for scenarios begin .. begin + count."""
    for day in range(nodes.shape[1]):
        # slices, so that the compiler sees indices that cannot be negative: it would not vectorise otherwise
        left = exponents[nodes[0, day], begin : begin + count]
        right = exponents[nodes[1, day], begin : begin + count]
        on_left, on_right = weights[0, day], weights[1, day]
        for s in range(count):
            factors[day, s] = exponential(-(on_left * left[s] + on_right * right[s]))


@kernel("void(f8[::1], f8[:, ::1], i8[::1], f8[::1], i8, i8, i8)")
def _sum_flows(
    total: Floats,
    factors: Floats,
    flow_date: Integers,
    flow_amount: Floats,
    first: int,
    last: int,
    count: int,
) -> None:
    """Set `total` [block] to the discounted flows first .. last, added in their order, four to a pass."""
    for s in range(count):
        total[s] = 0.0
    flow = first
    while flow + 4 <= last:
        a, b, c, d = flow_date[flow], flow_date[flow + 1], flow_date[flow + 2], flow_date[flow + 3]
        w, x, y, z = flow_amount[flow], flow_amount[flow + 1], flow_amount[flow + 2], flow_amount[flow + 3]
        for s in range(count):
            total[s] = total[s] + w * factors[a, s] + x * factors[b, s] + y * factors[c, s] + z * factors[d, s]
        flow += 4
    while flow < last:
        a, w = flow_date[flow], flow_amount[flow]
        for s in range(count):
            total[s] = total[s] + w * factors[a, s]
        flow += 1


@kernel(
    "void(f8[:, ::1], i8[:, ::1], f8[:, ::1], i8[::1], i8[::1], f8[::1], i8[::1], f8[::1], i8[::1], f8[:, ::1], i8, i8)"
)
def value_rows(
    exponents: Floats,
    nodes: Integers,
    weights: Floats,
    flow_start: Integers,
    flow_date: Integers,
    flow_amount: Floats,
    leg_divisor: Integers,
    leg_offset: Floats,
    row_start: Integers,
    out: Floats,
    begin: int,
    end: int,
) -> None:
    """Write out[row, s] = min over legs of (sum of amount * DF(date, s)) / DF(divisor, s) + offset.

    Parameters
    ----------
    exponents : float64 [n_knots, n_scenarios]
        Zero rate times time at each knot.
    nodes, weights : int64, float64 [2, n_dates]
        Which two knots make the exponent at each date, and how much of each.
    flow_start : int64 [n_legs + 1]
        Flows of leg i are flow_start[i] .. flow_start[i + 1].
    flow_date, flow_amount : int64, float64 [n_flows]
        Index of the date and amount of each flow.
    leg_divisor, leg_offset : int64, float64 [n_legs]
        Index of the date whose discount factor divides, and the constant added.
    row_start : int64 [n_rows + 1]
        Legs of row i are row_start[i] .. row_start[i + 1]; a row without legs is worth 0.
    out : float64 [n_rows, n_scenarios]
        Written in columns begin .. end; nothing else is touched.
    begin, end : int
        The scenarios to value. Cutting them into pieces changes no bit of the result.
    """
    widest = min(max(BLOCK_VALUES // max(nodes.shape[1], 1), NARROWEST), WIDEST)
    blocks = max(-(-(end - begin) // widest), 1)
    width = -(-(end - begin) // (blocks * LANES)) * LANES  # blocks of one size, whole vectors
    factors = np.empty((nodes.shape[1], width))
    total = np.empty(width)
    for block in range(begin, end, max(width, LANES)):
        count = min(width, end - block)
        _discount_block(factors, exponents, nodes, weights, block, count)
        for row in range(len(row_start) - 1):
            first_leg = row_start[row]
            best = out[row, block : block + count]
            if first_leg == row_start[row + 1]:
                best[:] = 0.0
            for leg in range(first_leg, row_start[row + 1]):
                first, last = flow_start[leg], flow_start[leg + 1]
                _sum_flows(total, factors, flow_date, flow_amount, first, last, count)
                divisor, offset = leg_divisor[leg], leg_offset[leg]
                if leg == first_leg:
                    for s in range(count):
                        best[s] = total[s] / factors[divisor, s] + offset
                else:
                    for s in range(count):
                        best[s] = min(best[s], total[s] / factors[divisor, s] + offset)
