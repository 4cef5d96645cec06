"""Implied total volatility of European quotes, eight to a vector, with a bracketed search for the rest.

The one entry is `implied_total_volatility`. A quote comes as forward, strike and undiscounted time value, which
is the price of the out-of-the-money option of the pair; it is scaled by sqrt(forward * strike), so that only
x = -|ln(F/K)| and the scaled price b are left, and the unknown is s = volatility * sqrt(time).

With h = |x| / s, t = s / 2, z = (h -+ t) / sqrt(2) and Y(z) = exp(z^2) erfc(z):

    ln b             = -(h^2 + t^2) / 2 + ln((Y(z-) - Y(z+)) / 2)        used below half of the largest price
    ln(b_max - b)    = -(h^2 + t^2) / 2 + ln((Y(-z-) + Y(z+)) / 2)       used above it

No exponential is needed: one logarithm and two polynomials a step. In the first line the difference is formed
from the divided difference of the polynomial itself, which loses nothing however close the two points are: that
is what keeps twelve digits at a volatility of 0.001 on the last day. The step is Householder's of fourth order.

Three loops without a branch (start, steps) do every quote of a block; what has not settled after them goes to
the scalar search, which halves a bracket whenever Newton's step would leave it. Serial; no allocation but one
scratch block.

References
----------
Black (1976), "The pricing of commodity contracts": the price. Jäckel (2015), "Let's be rational": that scaled
price, split at its middle, and Householder steps on its logarithm reach machine accuracy. Shepherd and Laframboise
(1981), "Chebyshev approximation of (1 + 2x) exp(x^2) erfc(x)": the form of the fit; the coefficients are ours.
Abramowitz and Stegun (1964), 26.2.23: the normal quantile in the starting point.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._jit import kernel

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BLOCK = 256  # quotes in a block: the scratch rows stay in the first-level cache
STEPS = 3  # Householder steps of the vector loop; a start that is 25 % off settles in three
SETTLED = 1e-5  # a last step smaller than this, relative: fourth order leaves 1e-20 of it
NEWTON_SETTLED = 1e-12  # second order: a step of this size, relative, is the last that changes anything
SEARCHES = 200  # Newton steps and halvings at most; a few dozen are the most seen

SQRT_HALF = 0.7071067811865476
SQRT_2_PI = 2.5066282746310002  # sqrt(2 pi)
SQRT_2_OVER_PI = 0.7978845608028654
LN2_HIGH = 0.6931471803691238  # ends in zero bits, so that a whole number times it is exact
LN2_LOW = 1.9082149292705877e-10
TINY = 1e-290  # below, a number may have lost bits to its exponent; it is scaled up first
SCALE, SCALE_BITS = 2.0**200, 200.0
MANTISSA_BITS = np.int64(52)
MANTISSA_MASK = np.int64(0x000FFFFFFFFFFFFF)
ONE_BITS = np.int64(0x3FF0000000000000)
BIAS = np.int64(1023)
LEAST_Z = -0.75  # where the fit of Y begins


@kernel("f8(f8, f8, f8)", inline=True)
def _logarithm(value: float, numerator: float, denominator: float) -> float:
    """Return ln(value); for `value` in [0.7, 1.4] as the series in numerator / denominator, else in its bits.

    The caller hands (a - b, a + b) for value = a / b: the difference of near numbers is exact, their quotient
    is not.
    """
    small = value < TINY
    scaled = value * SCALE if small else value
    bits = np.float64(scaled).view(np.int64)
    mantissa = np.int64((bits & MANTISSA_MASK) | ONE_BITS).view(np.float64)
    exponent = np.float64((bits >> MANTISSA_BITS) - BIAS)
    upper = mantissa > 1.4142135623730951
    mantissa = 0.5 * mantissa if upper else mantissa
    exponent = exponent + 1.0 if upper else exponent
    exponent = exponent - SCALE_BITS if small else exponent
    near = exponent == 0.0
    up = numerator if near else mantissa - 1.0
    down = denominator if near else mantissa + 1.0
    r = up / down
    q = r * r
    # 2 artanh(r) = 2 r (1 + q/3 + q^2/5 + ..), |r| <= 0.1716: the first term left out is below 1e-18
    p = 2.0 / 23.0
    p = p * q + 2.0 / 21.0
    p = p * q + 2.0 / 19.0
    p = p * q + 2.0 / 17.0
    p = p * q + 2.0 / 15.0
    p = p * q + 2.0 / 13.0
    p = p * q + 2.0 / 11.0
    p = p * q + 2.0 / 9.0
    p = p * q + 2.0 / 7.0
    p = p * q + 2.0 / 5.0
    p = p * q + 2.0 / 3.0
    return exponent * LN2_HIGH + (exponent * LN2_LOW + (r * q * p + 2.0 * r))


@kernel("f8(f8)", inline=True)
def _log(value: float) -> float:
    return _logarithm(value, value - 1.0, value + 1.0)


@kernel("UniTuple(f8, 2)(f8, f8, f8)", inline=True)
def _scaled_tails(first: float, second: float, gap: float) -> tuple[float, float]:
    """Return Y(first) - Y(second) and Y(first) + Y(second); `gap` is second - first, known more exactly.

    (y + 1.5) Y(y) is a polynomial of degree 26 in u = (y - 3) / (y + 4.5), to 4e-16 for y >= -0.75. Beside its
    value p at u, Horner's rule carries the divided difference d between u and v.
    """
    u = (first - 3.0) / (first + 4.5)
    v = (second - 3.0) / (second + 4.5)
    d = 0.0
    p = 6.254271797190916e-10
    d, p = d * v + p, p * u + 6.7968398760159385e-09
    d, p = d * v + p, p * u - 8.936435565191422e-09
    d, p = d * v + p, p * u - 8.005299236215466e-08
    d, p = d * v + p, p * u + 8.580761308596769e-08
    d, p = d * v + p, p * u + 5.34209333108329e-07
    d, p = d * v + p, p * u - 7.645265363048163e-07
    d, p = d * v + p, p * u - 2.6955199738117707e-06
    d, p = d * v + p, p * u + 6.552995216720755e-06
    d, p = d * v + p, p * u + 9.140000293537147e-06
    d, p = d * v + p, p * u - 5.028415022547584e-05
    d, p = d * v + p, p * u + 1.993520243978518e-05
    d, p = d * v + p, p * u + 0.0002812650286430475
    d, p = d * v + p, p * u - 0.0007366142659495444
    d, p = d * v + p, p * u - 2.246846527362541e-05
    d, p = d * v + p, p * u + 0.005257033417490276
    d, p = d * v + p, p * u - 0.018749739222904533
    d, p = d * v + p, p * u + 0.04039708049696422
    d, p = d * v + p, p * u - 0.06075910228617093
    d, p = d * v + p, p * u + 0.059823496580130364
    d, p = d * v + p, p * u - 0.014655644836038581
    d, p = d * v + p, p * u - 0.08563504419468695
    d, p = d * v + p, p * u + 0.22699241022730512
    d, p = d * v + p, p * u - 0.37067223337464467
    d, p = d * v + p, p * u + 0.4697366830572978
    d, p = d * v + p, p * u - 0.4925551413816603
    d, p = d * v + p, p * u + 0.8055051803162547
    below, beyond = first + 1.5, second + 1.5
    both = below * beyond
    change = 7.5 * d / ((first + 4.5) * (second + 4.5))
    difference = gap * (p - change * below) / both
    total = (p * beyond + (p + (v - u) * d) * below) / both
    return difference, total


@kernel("UniTuple(f8, 2)(f8, f8, f8, b1)", inline=True)
def _level_and_slope(x: float, s: float, target: float, upper: bool) -> tuple[float, float]:
    """Return f = ln b(s) - target and df/ds; in the upper half of b_max - b, whose slope is negative."""
    h, t = x / s, 0.5 * s
    near, far = (h - t) * SQRT_HALF, (h + t) * SQRT_HALF
    first = -near if upper else near
    first = first if first > LEAST_Z else LEAST_Z  # noqa: FURB136 - written for a select, not a call
    difference, total = _scaled_tails(first, far, s * SQRT_HALF)
    q = total if upper else difference
    slope = (-SQRT_2_OVER_PI if upper else SQRT_2_OVER_PI) / q
    level = _log(0.5 * q) - 0.5 * (h * h + t * t) - target
    return level, slope


@kernel("f8(f8, f8, f8, b1)", inline=True)
def _step(x: float, s: float, target: float, upper: bool) -> float:
    """Return the step of Householder's fourth-order method relative to s, held between -3/4 and 3.

    Derivatives are taken times the same power of s, so that no power of a tiny s underflows.
    """
    level, slope = _level_and_slope(x, s, target, upper)
    elasticity = slope * s
    newton = -level / elasticity
    h, quarter = x / s, 0.25 * s * s
    bend = h * h - quarter  # s times the second derivative of b over the first
    curve = bend * bend - 3.0 * h * h - quarter  # s^2 times the third over the first
    second = bend - elasticity
    third = curve - 3.0 * bend * elasticity + 2.0 * elasticity * elasticity
    step = newton * (1.0 + 0.5 * second * newton) / (1.0 + newton * (second + third * newton / 6.0))
    step = 3.0 if step > 3.0 else step  # noqa: FURB136 - a select, which vectorises; so does the next
    return -0.75 if step < -0.75 else step  # noqa: FURB136


@kernel("f8(f8, f8, f8)", inline=True)
def _start_below(x: float, distance: float, b: float) -> float:
    """Return a first s for a price below half of the largest one.

    Bachelier's model first, where h is a function of distance / b alone (a rational fit, 0.1 %), then the
    factor x / distance, exact as s goes to 0, and the next term of the expansion.
    """
    even = b * SQRT_2_PI  # s when forward and strike agree
    k = distance / even
    k = k if k < 1e308 else 1e308  # noqa: FURB136
    depth = _log(1.0 + k)
    top = 1.0 + depth * (1.8119417 + depth * (0.31359579 + depth * (0.034489678 + depth * 0.00069085202)))
    bottom = 1.0 + depth * (0.31488588 + depth * (0.056019697 + depth * 0.0013772726))
    stretch = 1.0 + 0.5 * k if k < 1e-4 else k / depth
    s = even * stretch * math.sqrt(top / bottom)
    s = s * (x / distance) if distance > 0.0 else s
    q = s * s / (24.0 + x)
    return s * (1.0 + q + q * q)


@kernel("f8(f8, f8)", inline=True)
def _start_above(x: float, missing: float) -> float:
    """Return a first s when `missing` = 1 - b / b_max is at most a half: the quantile of its larger tail."""
    share = 1.0 + 1.0 / (1.0 + 1.2 * math.sqrt(x))
    n = math.sqrt(-2.0 * _log(missing / share))
    top = 2.515517 + n * (0.802853 + n * 0.010328)
    bottom = 1.0 + n * (1.432788 + n * (0.189269 + n * 0.001308))
    q = n - top / bottom
    return q + math.sqrt(q * q + 2.0 * x)


@kernel("void(f8[::1], f8[::1], f8[::1], f8[:, ::1], b1[::1], f8[::1])")
def _prepare(forward: Floats, strike: Floats, value: Floats, scratch: Floats, upper: Flags, out: Floats) -> None:
    """Fill scratch rows 0 (x) and 1 (target), `upper`, and the first s in `out`, for the quotes of one block."""
    x, target = scratch[0], scratch[1]
    for i in range(len(forward)):
        f, k, v = forward[i], strike[i], value[i]
        low = f if f < k else k  # noqa: FURB136
        high = k if f < k else f  # noqa: FURB136
        root = math.sqrt(f) * math.sqrt(k)
        above = v > 0.5 * low
        distance = -_logarithm(low / high, low - high, low + high)
        below_start = _start_below(distance, (high - low) / root, v / root)
        above_start = _start_above(distance, (low - v) / low if above else 0.5)
        x[i] = distance
        target[i] = _log((low - v) / root if above else v / root)
        out[i] = above_start if above else below_start
        upper[i] = above


@kernel("void(f8[:, ::1], b1[::1], f8[::1])")
def _iterate(scratch: Floats, upper: Flags, out: Floats) -> None:
    """Take one step in every quote of a block; row 2 of `scratch` keeps its size relative to s."""
    x, target, moved = scratch[0], scratch[1], scratch[2]
    for i in range(len(out)):
        s = out[i]
        step = _step(x[i], s, target[i], upper[i])
        moved[i] = math.fabs(step)
        out[i] = s + s * step


@kernel("f8(f8, f8, f8, b1)")
def _search(x: float, target: float, b: float, upper: bool) -> float:
    """Return s by Newton's steps inside a bracket that is halved when they leave it; NaN when none is found."""
    # b <= s / sqrt(2 pi); beyond h = 40 b is below the least double; no price is so near its limit that s > 400
    low, high = max(b * 2.5, x / 40.0), 400.0
    s = math.sqrt(low) * math.sqrt(high)
    for _ in range(SEARCHES):
        h, t = x / s, 0.5 * s
        outside = ((h - t) if upper else (t - h)) * SQRT_HALF > -LEAST_Z
        level, slope = _level_and_slope(x, s, target, upper)
        if (not upper) if outside else level * slope > 0.0:
            high = s
        else:
            low = s
        newton = s - level / slope
        if not outside and math.fabs(newton - s) <= NEWTON_SETTLED * s:
            return newton
        s = newton if not outside and low < newton < high else math.sqrt(low) * math.sqrt(high)
    return math.nan


@kernel("void(f8[::1], f8[::1], f8[::1], f8[::1])")
def implied_total_volatility(forward: Floats, strike: Floats, value: Floats, out: Floats) -> None:
    """Write out[i] = volatility * sqrt(time) that gives the time value; NaN where the search finds none.

    Parameters
    ----------
    forward, strike : float64 [n_quotes]
        Above zero and finite.
    value : float64 [n_quotes]
        Undiscounted price less intrinsic value, above zero and below min(forward, strike).
    out : float64 [n_quotes]
        Written whole. Where a quote stands changes no bit of its result. NaN also where the scaled price is
        below the least double.
    """
    scratch, flags = np.empty((3, BLOCK)), np.empty(BLOCK, dtype=np.bool_)
    for begin in range(0, len(forward), BLOCK):
        end = min(begin + BLOCK, len(forward))
        part = out[begin:end]
        _prepare(forward[begin:end], strike[begin:end], value[begin:end], scratch, flags, part)
        for _ in range(STEPS):
            _iterate(scratch, flags, part)
        for i in range(end - begin):
            if not scratch[2, i] < SETTLED:
                b = value[begin + i] / (math.sqrt(forward[begin + i]) * math.sqrt(strike[begin + i]))
                part[i] = _search(scratch[0, i], scratch[1, i], b, flags[i])
