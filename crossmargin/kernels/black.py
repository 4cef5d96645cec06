"""European options (Black 1976, and Black, Scholes and Merton through forwards) under many scenarios.

The two entries are `black_rows`, which stores a value per option and scenario, and `black_pooled`, which adds
quantity times profit and loss into rows of pools and stores nothing of that size. Options stand on *slices*, one
per underlying and expiry, which hold forward, discount factor and time under every scenario. The scenario's
volatility is `volatility * scale + shift`, with the two taken from a row of volatility scenarios.

Values are per unit of the underlying, today. Serial; no allocation; scenarios innermost, cut into blocks that stay
in the first-level cache while the options of a slice read them. No number is checked here: `crossmargin.pricing.greeks`
holds `EuropeanBook`, which refuses what has no value (a forward that is not positive, a NaN) and names its row.

How one exponential is enough. With F φ(d1) = K φ(d2), φ the normal density, and w(z) = N(-z) exp(z²/2), the option
that is out of the money is worth

    small * [1 if h > 0] - small * exp(-h²/2) * (± w(|h|) + w(b)),   h = s/2 - |m|/s,   b = s/2 + |m|/s,

small = min(F, K), m = ln(F/K), s = volatility * sqrt(time), and the sign that of h. Both w share one division. The
option in the money adds its intrinsic value, so that put-call parity holds to rounding, and limits are exact: no
time, no volatility or no strike give the intrinsic value itself.

References: F. Black (1976), The pricing of commodity contracts, Journal of Financial Economics 3, 167-179;
R. Merton (1973), Theory of rational option pricing, Bell Journal of Economics 4, 141-183. The shape of the tail, a
ratio of polynomials with the right behaviour for large z, is that of J. F. Hart (1968), Computer Approximations;
the coefficients are this project's own (tests/generation/black_constants.py makes them again).
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

BLOCK = 512  # scenarios in a block: six rows of them fill 24 KiB, most of a usual first-level cache
LANES = 8  # numbers in the widest vector register there is

TINY = 1e-300  # stands for a deviation of zero or below: the option is worth its intrinsic value
HUGE = 1e5  # deviations and distances beyond change nothing; held here so that no power of them overflows
NEAR = 1e-17  # h up to here counts as zero, so that a deviation of zero at the money is worth exactly zero
FAR = 1416.0  # h² beyond: exp(-h²/2) is no normal number and counts as zero

# exp(-y/2) = 2^n exp(-r/2), r = y + 2 n ln 2. Twice ln 2 comes in two parts (Cody and Waite 1980) and adding
# 1.5 * 2^52 rounds, as in `discounting.exponential`.
HALF_LOG2_E = 0.7213475204444817
TWO_LN2_HIGH = 1.3862943607382476
TWO_LN2_LOW = 3.8164298580551754e-10
ROUNDER = 6755399441055744.0
MANTISSA = np.int64(52)

# w(z) = N(-z) exp(z²/2) = (P0 + .. + P6 z^6) / (Q0 + .. + Q6 z^6 + z^7) for 0 <= z <= 39. The error is at most
# 1.8e-15 of N(-z), and never above 4e-9 of w itself: values are right to 1e-14 of the larger of forward and strike.
# The polynomial in r, E0 .. E10, is the best of its degree, 3e-16 relative.
P: Coefficients = (1599.1224722968063, 1737.2336557531785, 934.3379695499127, 301.3774077057883)
P += (60.68219267184423, 7.214386395749359, 0.3989424278340113)
Q: Coefficients = (3198.2449445936013, 6026.297574465703, 5077.8432601989125, 2491.748856240363)
Q += (773.553337550834, 153.1063663394121, 18.08381989581528)
E: Coefficients = (1.0, -0.5000000000000046, 0.12500000000000208, -0.020833333333154923)
E += (0.0026041666665994317, -0.00026041666862209874, 2.1701389464759167e-05)
E += (-1.5500904558903434e-06, 9.687935220710514e-08, -5.39943845012827e-09, 2.7129080311089207e-10)
COEFFICIENTS = np.array((*P, *Q, *E))
COEFFICIENTS.flags.writeable = False


@kernel("UniTuple(f8, 25)(i8)", inline=True)
def loaded(zero: int) -> Coefficients:
    """Return the coefficients; `zero` is a zero that the compiler cannot know to be one.

    Of constants that it sees the compiler makes instructions that fetch each of them anew for each vector; what
    comes out of memory it keeps at hand.
    """
    c = COEFFICIENTS[zero:]
    p = c[0], c[1], c[2], c[3], c[4], c[5], c[6]
    q = c[7], c[8], c[9], c[10], c[11], c[12], c[13]
    e = c[14], c[15], c[16], c[17], c[18], c[19], c[20], c[21], c[22], c[23], c[24]
    return p + q + e


@kernel("f8(f8, UniTuple(f8, 25))", inline=True)
def bell(square: float, c: Coefficients) -> float:
    """Return exp(-square / 2) for 0 <= square <= 1416 to a relative 5e-16; 0 beyond; NaN stays NaN.

    Not `discounting.exponential`: an argument of one sign, with its cut-off, needs neither of the two clamps.
    """
    shifted = fma(square, -HALF_LOG2_E, ROUNDER)
    n = shifted - ROUNDER
    r = fma(n, TWO_LN2_LOW, fma(n, TWO_LN2_HIGH, square))
    t = r * r
    even = fma(fma(fma(fma(fma(c[24], t, c[22]), t, c[20]), t, c[18]), t, c[16]), t, c[14])
    odd = fma(fma(fma(fma(c[23], t, c[21]), t, c[19]), t, c[17]), t, c[15])
    power = np.float64(fma(odd, r, even)).view(np.int64) + (np.float64(shifted).view(np.int64) << MANTISSA)
    return 0.0 if square > FAR else np.int64(power).view(np.float64)


@kernel("f8(f8, UniTuple(f8, 25))", inline=True)
def tail_above(z: float, c: Coefficients) -> float:
    """Return the numerator of w."""
    return fma(fma(fma(fma(fma(fma(c[6], z, c[5]), z, c[4]), z, c[3]), z, c[2]), z, c[1]), z, c[0])


@kernel("f8(f8, UniTuple(f8, 25))", inline=True)
def tail_below(z: float, c: Coefficients) -> float:
    """Return the denominator of w."""
    return fma(fma(fma(fma(fma(fma(z + c[13], z, c[12]), z, c[11]), z, c[10]), z, c[9]), z, c[8]), z, c[7])


@kernel("UniTuple(f8, 2)(f8, f8)", inline=True)
def distances(moneyness: float, deviation: float) -> tuple[float, float]:
    """Return h and b; every comparison is written so that a NaN goes through and so that it is one instruction."""
    s = TINY if deviation < TINY else deviation  # noqa: FURB136
    s = HUGE if s > HUGE else s  # noqa: FURB136
    x = abs(moneyness) / s
    x = HUGE if x > HUGE else x  # noqa: FURB136
    return fma(0.5, s, -x), fma(0.5, s, x)


@kernel("f8(f8, f8, f8, f8, f8, UniTuple(f8, 25))", inline=True)
def forward_value(h: float, b: float, forward: float, strike: float, sign: float, c: Coefficients) -> float:
    """Return the undiscounted value of one option; `sign` is 1 for a call and -1 for a put."""
    a = abs(h)
    small = strike if strike < forward else forward  # noqa: FURB136
    above, below, beyond = tail_above(a, c), tail_below(a, c), tail_below(b, c)
    above = above if h > NEAR else -above
    # two products rounded alike, not a fused one: they must cancel exactly where |h| = b
    tails = (above * beyond + tail_above(b, c) * below) / (below * beyond)
    outside = fma(-small * bell(h * h, c), tails, small if h > NEAR else 0.0)
    intrinsic = fma(sign, forward, -sign * strike)
    return (0.0 if intrinsic < 0.0 else intrinsic) + outside  # noqa: FURB136


@kernel("void(f8[:, ::1], f8[::1], f8[::1], f8[::1], f8[::1], f8, f8)", inline=True)
def _set_distances(
    w: Floats, log_forward: Floats, root: Floats, scale: Floats, shift: Floats, volatility: float, log_strike: float
) -> None:
    """Set h and b of one option in a loop of their own: the division is long, and others can overlap it."""
    for s in range(len(log_forward)):
        w[0, s], w[1, s] = distances(log_forward[s] - log_strike, fma(volatility, scale[s], shift[s]) * root[s])


@kernel("i8(i8, i8)", inline=True)
def block_width(begin: int, end: int) -> int:
    """Return the width of blocks of one size, in whole vectors, that cover the scenarios."""
    blocks = max(-(-(end - begin) // BLOCK), 1)
    return max(-(-(end - begin) // (blocks * LANES)) * LANES, LANES)


@kernel(
    "void(f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], i8[::1], i8[::1], f8[::1],"
    " f8[::1], f8[::1], f8[:, ::1], i8, i8)"
)
def black_rows(
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
    out: Floats,
    begin: int,
    end: int,
) -> None:
    """Write the value of every option under scenarios begin .. end, per unit of the underlying.

    Parameters
    ----------
    forward, log_forward, discount, sqrt_time : float64 [n_slices, n_scenarios]
        Forward > 0 and its logarithm, discount factor to the day of payment, root of the years to expiry >= 0.
    scale, shift : float64 [n_volatility_rows, n_scenarios]
        The volatility of a scenario is `volatility * scale + shift`; below zero it counts as zero.
    slice_row, volatility_row : int64 [n_options]
        The rows that each option reads. Options of one slice side by side read it from the nearest cache.
    strike, sign, volatility : float64 [n_options]
        Strike >= 0; 1 for a call and -1 for a put; volatility per square root of a year, as in 0.2.
    out : float64 [n_options, n_scenarios]
        Written in columns begin .. end; nothing else is touched.
    begin, end : int
        The scenarios to value. Cutting them into pieces changes no bit of the result.
    """
    width = block_width(begin, end)
    w, c = np.empty((2, width)), loaded(min(begin, 0))
    for block in range(begin, end, width):
        last = min(block + width, end)
        for option in range(len(strike)):
            on, by = slice_row[option], volatility_row[option]
            f, lf, df = forward[on, block:last], log_forward[on, block:last], discount[on, block:last]
            t, up, by_more = sqrt_time[on, block:last], scale[by, block:last], shift[by, block:last]
            k, sign_of, v = strike[option], sign[option], volatility[option]
            _set_distances(w, lf, t, up, by_more, v, math.log(k) if k > 0.0 else -math.inf)
            h, b, value = w[0, : last - block], w[1, : last - block], out[option, block:last]
            for s in range(last - block):
                value[s] = df[s] * forward_value(h[s], b[s], f[s], k, sign_of, c)


@kernel(
    "void(f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], i8[::1], i8[::1], f8[::1],"
    " f8[::1], f8[::1], f8[::1], i8[::1], i8[::1], f8[::1], f8[:, ::1], i8, i8)"
)
def black_pooled(
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
    base_value: Floats,
    pool_start: Integers,
    pool_option: Integers,
    pool_quantity: Floats,
    out: Floats,
    begin: int,
    end: int,
) -> None:
    """Add quantity * (value - base value) of every holding to its pool's row, scenarios begin .. end.

    Parameters
    ----------
    forward .. volatility
        As in `black_rows`.
    base_value : float64 [n_options]
        The value today, per unit of the underlying.
    pool_start : int64 [n_pools + 1]
        Holdings of pool i are pool_start[i] .. pool_start[i + 1].
    pool_option, pool_quantity : int64, float64 [n_holdings]
        Which option, and how many units of the underlying, long > 0. An option is valued once per holding: where
        many pools hold the same ones, store its row with `black_rows` instead.
    out : float64 [n_pools, n_scenarios]
        Profit and loss is added to columns begin .. end, holding after holding; gain > 0.
    begin, end : int
        The scenarios to value. Cutting them into pieces changes no bit of the result.
    """
    width = block_width(begin, end)
    w, c = np.empty((2, width)), loaded(min(begin, 0))
    for block in range(begin, end, width):
        last = min(block + width, end)
        for pool in range(len(pool_start) - 1):
            total = out[pool, block:last]
            for holding in range(pool_start[pool], pool_start[pool + 1]):
                option, quantity = pool_option[holding], pool_quantity[holding]
                on, by = slice_row[option], volatility_row[option]
                f, lf, df = forward[on, block:last], log_forward[on, block:last], discount[on, block:last]
                t, up, by_more = sqrt_time[on, block:last], scale[by, block:last], shift[by, block:last]
                k, sign_of, v, base = strike[option], sign[option], volatility[option], base_value[option]
                _set_distances(w, lf, t, up, by_more, v, math.log(k) if k > 0.0 else -math.inf)
                h, b = w[0, : last - block], w[1, : last - block]
                for s in range(last - block):
                    value = df[s] * forward_value(h[s], b[s], f[s], k, sign_of, c)
                    total[s] = fma(quantity, value - base, total[s])
