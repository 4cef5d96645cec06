"""The value of netted cash flows under many discount curves, and the exponential that vector code can take.

The entry is `value_netted`: one value per scenario for cash flows already added up by date; `rows` has a value for each
instrument. Scenarios are innermost, in blocks that stay in the first-level cache. Serial; no allocation except scratch
arrays.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._fma import fma
from crossmargin.kernels._jit import kernel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Coefficients = tuple[float, ...]

WIDEST = 256  # scenarios in a block; narrower ones cost more in loops than they save in the cache

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

# exp(r) = 1 + r + r² (C0 + .. + C9 r^9), the bracket interpolated at the ten Chebyshev points of |r| <= ln(2)/2: 2e-17.
C0, C1, C2, C3 = 0.5000000000000001, 0.16666666666666669, 0.041666666666624164, 0.008333333333330065
C4, C5, C6 = 0.0013888888917196719, 0.00019841269863040545, 2.4801521322368692e-05
C7, C8, C9 = 2.7557268480310024e-06, 2.7620075879983367e-07, 2.5100375832561234e-08

# Half the change of the exponent within a piece decides how `value_netted` values a scenario. Within NARROW of MIDDLE,
# which are forward rates of -2 to 10 % over half a year, by a chain of short series about MIDDLE, 5e-16 of the flows of
# a piece; up to WIDE by a series of TERMS terms, 0.35^13 / 13! is 2e-16.
MIDDLE, NARROW, SHORT_TERMS, FADE_TERMS = 0.01, 0.015, 6, 6
WIDE, TERMS = 0.35, 13


@kernel("f8(f8)", inline=True)
def exponential(x: float) -> float:
    """Return exp(x) to a relative 5e-16 for x in [-708, 709], held at the ends outside; NaN stays NaN.

    A polynomial in place of the library's: a call would keep the compiler from vectorising the loop.
    """
    x = SMALLEST if x < SMALLEST else x  # noqa: FURB136 - the order of comparison lets NaN through
    x = LARGEST if x > LARGEST else x  # noqa: FURB136
    shifted = fma(x, LOG2_E, ROUNDER)
    n = shifted - ROUNDER
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    t = r * r
    even = fma(fma(fma(fma(C8, t, C6), t, C4), t, C2), t, C0)
    odd = fma(fma(fma(fma(C9, t, C7), t, C5), t, C3), t, C1)
    p = 1.0 + fma(fma(odd, r, even), t, r)
    bits = (np.float64(shifted).view(np.int64) << MANTISSA) + (BIAS << MANTISSA)
    power = np.int64(bits).view(np.float64)
    return p * power


@kernel("f8(f8, f8, UniTuple(f8, 6), UniTuple(f8, 6))", inline=True)
def _link(x: float, later: float, c: Coefficients, g: Coefficients) -> float:
    """Return the value at the beginning of a piece of its flows, series `c`, and of all later ones."""
    flows = fma(fma(fma(fma(fma(c[5], x, c[4]), x, c[3]), x, c[2]), x, c[1]), x, c[0])
    half = fma(fma(fma(fma(fma(g[5], x, g[4]), x, g[3]), x, g[2]), x, g[1]), x, g[0])
    return half * fma(half, later, flows)


@kernel("i8(f8)", inline=True)
def _narrow(x: float) -> np.int64:
    """Return a number below zero where a slope is within NARROW of MIDDLE, told by its distance from there.

    Such numbers are joined by `&`, which any unit of the processor does; a maximum takes one of those that multiply.
    """
    return np.float64(abs(x) - NARROW).view(np.int64)


@kernel("void(f8[::1], i8[::1], f8[:, ::1], i8[:, ::1], f8[:, ::1], f8[:, ::1], f8[::1], i8, i8)")
def _chain_pieces(
    total: Floats,
    narrow: Integers,
    rates: Floats,
    nodes: Integers,
    slopes: Floats,
    series: Floats,
    fade: Floats,
    begin: int,
    count: int,
) -> None:
    """Set `total` [block] to the value of all pieces, the last first; `narrow` < 0 where every slope is near MIDDLE.

    What a piece and all later ones are worth at its beginning is fade * (series + fade * later), where fade, a series
    of its own, discounts over half the piece: no exponential is taken.
    """
    for s in range(count):
        total[s] = 0.0
        narrow[s] = -1
    g = fade[0], fade[1], fade[2], fade[3], fade[4], fade[5]
    piece = nodes.shape[1] - 1
    while piece > 0:  # two to a pass: half the loads and stores of what they add to
        before = piece - 1
        left, right = rates[nodes[0, piece], begin : begin + count], rates[nodes[1, piece], begin : begin + count]
        low, high = rates[nodes[0, before], begin : begin + count], rates[nodes[1, before], begin : begin + count]
        up_left, up_right, up_low, up_high = slopes[0, piece], slopes[1, piece], slopes[0, before], slopes[1, before]
        c = series[piece, 0], series[piece, 1], series[piece, 2], series[piece, 3], series[piece, 4], series[piece, 5]
        d = (
            series[before, 0], series[before, 1], series[before, 2],
            series[before, 3], series[before, 4], series[before, 5],
        )  # fmt: skip
        for s in range(count):
            x = fma(up_left, left[s], fma(up_right, right[s], -MIDDLE))
            y = fma(up_low, low[s], fma(up_high, high[s], -MIDDLE))
            total[s] = _link(y, _link(x, total[s], c, g), d, g)
            narrow[s] &= _narrow(x) & _narrow(y)
        piece -= 2
    if piece == 0:
        left, right = rates[nodes[0, 0], begin : begin + count], rates[nodes[1, 0], begin : begin + count]
        up_left, up_right = slopes[0, 0], slopes[1, 0]
        c = series[0, 0], series[0, 1], series[0, 2], series[0, 3], series[0, 4], series[0, 5]
        for s in range(count):
            x = fma(up_left, left[s], fma(up_right, right[s], -MIDDLE))
            total[s] = _link(x, total[s], c, g)
            narrow[s] &= _narrow(x)


@kernel("f8(f8[:, ::1], i8[:, ::1], f8[:, ::1], i8)")
def _steepest(rates: Floats, nodes: Integers, slopes: Floats, scenario: int) -> float:
    """Return how far the slopes of one scenario are from MIDDLE."""
    most = 0.0
    for piece in range(nodes.shape[1]):
        left, right = rates[nodes[0, piece], scenario], rates[nodes[1, piece], scenario]
        most = max(most, abs(fma(slopes[0, piece], left, fma(slopes[1, piece], right, -MIDDLE))))
    return most


@kernel("void(f8[::1], f8[:, ::1], i8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], i8, i8)")
def _add_pieces(
    total: Floats,
    rates: Floats,
    nodes: Integers,
    centres: Floats,
    slopes: Floats,
    series: Floats,
    begin: int,
    count: int,
) -> None:
    """Set `total` [block] to the sum over pieces of exp(-centre) * series(slope)."""
    for s in range(count):
        total[s] = 0.0
    for piece in range(nodes.shape[1]):
        left = rates[nodes[0, piece], begin : begin + count]
        right = rates[nodes[1, piece], begin : begin + count]
        on_left, on_right = centres[0, piece], centres[1, piece]
        up_left, up_right = slopes[0, piece], slopes[1, piece]
        c0, c1, c2, c3 = series[piece, 0], series[piece, 1], series[piece, 2], series[piece, 3]
        c4, c5, c6, c7 = series[piece, 4], series[piece, 5], series[piece, 6], series[piece, 7]
        c8, c9, c10, c11 = series[piece, 8], series[piece, 9], series[piece, 10], series[piece, 11]
        c12 = series[piece, 12]
        for s in range(count):
            x = fma(up_left, left[s], up_right * right[s])
            t = x * x
            even = fma(fma(fma(fma(fma(fma(c12, t, c10), t, c8), t, c6), t, c4), t, c2), t, c0)
            odd = fma(fma(fma(fma(fma(c11, t, c9), t, c7), t, c5), t, c3), t, c1)
            centre = exponential(-fma(on_left, left[s], on_right * right[s]))
            total[s] = fma(fma(odd, x, even), centre, total[s])


@kernel("f8(f8[:, ::1], i8[:, ::1], f8[:, ::1], f8[::1], i8)")
def _sum_days(rates: Floats, nodes: Integers, weights: Floats, amount: Floats, scenario: int) -> float:
    """Return the value of one scenario, date by date; NaN where a rate is no finite number."""
    total = 0.0
    for day in range(nodes.shape[1]):
        left, right = rates[nodes[0, day], scenario], rates[nodes[1, day], scenario]
        exponent = fma(weights[0, day], left, weights[1, day] * right)
        total = fma(amount[day], exponential(-exponent), fma(exponent, 0.0, total))
    return total


@kernel(
    "i8(f8[:, ::1], i8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[::1], i8[:, ::1], f8[:, ::1],"
    " f8[::1], f8[::1], i8, i8)"
)
def value_netted(
    rates: Floats,
    nodes: Integers,
    centres: Floats,
    slopes: Floats,
    series: Floats,
    short: Floats,
    fade: Floats,
    day_nodes: Integers,
    day_weights: Floats,
    day_amount: Floats,
    out: Floats,
    begin: int,
    end: int,
) -> int:
    """Write out[s] = sum over dates of amount * DF(date, s); return how many of these are no finite number.

    Within a piece the exponent is linear in time: centre + u * slope, -1 <= u <= 1, so that its flows are worth
    exp(-centre) times a power series in the slope whose coefficients are moments of the flows, (-1)^k sum(a u^k) / k!.
    Where every slope is small the series is short, and the factors exp(-centre) are products of short series too.
    Which way a scenario is valued, by chain, series or date by date, depends on its own slopes only.

    Parameters
    ----------
    rates : float64 [n_knots, n_scenarios]
        Zero rate at each knot.
    nodes : int64 [2, n_pieces]
        Which two knots make the exponents of a piece. Pieces follow on one another from today.
    centres, slopes : float64 [2, n_pieces]
        Weights of the two: of the exponent in the middle of the piece, and of its change to the end of the piece.
    series, short : float64 [n_pieces, TERMS], float64 [n_pieces, SHORT_TERMS]
        Coefficients of the power series, and of the best one about `MIDDLE` that is good within `NARROW` of it.
    fade : float64 [FADE_TERMS]
        Of the best such series for exp(-slope).
    day_nodes, day_weights, day_amount : int64, float64 [2, n_dates], float64 [n_dates]
        The same flows date by date.
    out : float64 [n_scenarios]
        Written in begin .. end; nothing else is touched. NaN where a rate that is read is no finite number.
    begin, end : int
        The scenarios to value. Cutting them into pieces changes no bit of the result.
    """
    total, narrow, longer = np.empty(WIDEST), np.empty(WIDEST, np.int64), np.empty(WIDEST)
    not_finite = 0
    for block in range(begin, end, WIDEST):
        count = min(WIDEST, end - block)
        _chain_pieces(total, narrow, rates, nodes, slopes, short, fade, block, count)
        all_narrow = np.int64(-1)
        for s in range(count):
            all_narrow &= narrow[s]
        if all_narrow >= 0:
            _add_pieces(longer, rates, nodes, centres, slopes, series, block, count)
            for s in range(count):
                if narrow[s] < 0:
                    continue
                if _steepest(rates, nodes, slopes, block + s) > WIDE - MIDDLE:
                    total[s] = _sum_days(rates, day_nodes, day_weights, day_amount, block + s)
                else:
                    total[s] = longer[s]
        for s in range(count):
            out[block + s] = total[s]
            not_finite += 0 if abs(total[s]) < math.inf else 1
    return not_finite
