"""American options: exercise boundaries and early-exercise premiums.

Everything is a put with strike 1: `x` is the logarithm of spot over strike, a price is a share of the strike; a
call on (spot, strike, rate, yield) is a put on (strike, spot, yield, rate). `boundaries` solves many puts for
where they are exercised, `premiums` integrates along it; `premium_table.price_rows` reads prices over scenarios
from a table of them. `crossmargin.pricing.american` prepares the arrays, keeps to the domain and builds the tables.

Vectors run across puts or scenarios, never along a sum: a result does not depend on its neighbours. What a loop
writes lies in one scratch array at fixed offsets: the compiler gives up when many arrays might overlap.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position, and is one long loop

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._jit import kernel
from crossmargin.kernels.discounting import exponential

Floats = npt.NDArray[np.float64]

LANES = 64  # puts solved side by side; the scratch of a block stays in the first-level cache
ROOT_TWO_PI = 2.5066282746310002
STARTS = 4  # Newton steps from one node's boundary to the next in the QD+ starting guess
CLOSEST = 1e-12  # of the boundary to its cap, in logarithms, below which slopes are not asked for


@kernel("f8(f8)", inline=True)
def tail_ratio(x: float) -> float:
    """Return N(-x) exp(x^2 / 2) for x >= 0 to a relative 1e-15 up to 7, with the right limit 0.4 / x beyond.

    Hart et al., Computer Approximations (1968), function 5666, in the form of West (Wilmott, 2005).
    """
    p = 3.52624965998911e-02
    p = p * x + 0.700383064443688
    p = p * x + 6.37396220353165
    p = p * x + 33.912866078383
    p = p * x + 112.079291497871
    p = p * x + 221.213596169931
    p = p * x + 220.206867912376
    q = 8.83883476483184e-02
    q = q * x + 1.75566716318264
    q = q * x + 16.064177579207
    q = q * x + 86.7807322029461
    q = q * x + 296.564248779674
    q = q * x + 637.333633378831
    q = q * x + 793.826512519948
    q = q * x + 440.413735824752
    return p / q


# Rows of the scratch, each LANES wide: the put, the node being solved, the sums and their slopes.
RATE, YIELD, VOL, ROOT, CAP, PER_SPREAD, LOG, HERE = (LANES * n for n in range(8))
ALPHA, BETA, SHORT, LESS, TOP, BOTTOM, TOP_SLOPE, BOTTOM_SLOPE, PAST = (LANES * n for n in range(8, 17))
SCRATCH = LANES * 17


@kernel("void(f8[::1], f8[:, ::1], i8, i8)")
def _load(w: Floats, puts: Floats, begin: int, count: int) -> None:
    """Bring puts begin .. begin + count into the scratch."""
    for s in range(count):
        r, q, v, root = puts[0, begin + s], puts[1, begin + s], puts[2, begin + s], np.sqrt(puts[3, begin + s])
        w[RATE + s], w[YIELD + s], w[VOL + s], w[ROOT + s] = r, q, v, root
        w[CAP + s] = w[LOG + s] = puts[4, begin + s]
        w[PER_SPREAD + s] = 1.0 / (v * root)


@kernel("void(f8[::1], f8, i8)")
def _start_node(w: Floats, share: float, count: int) -> None:
    """Set the coefficients of the QD+ equation at the time `share`^2 of each put's own (Li 2010)."""
    for s in range(count):
        r, q, v, root = w[RATE + s], w[YIELD + s], w[VOL + s], w[ROOT + s] * share
        tau, variance = root * root, v * v
        discount, carried = exponential(-r * tau), exponential(-q * tau)
        rt = r * tau
        exact = r / (1.0 - discount)
        series = 1.0 / (tau * (1.0 - 0.5 * rt * (1.0 - rt / 3.0)))
        pull = exact if abs(rt) > 1e-5 else series
        drift = 2.0 * (r - q) / variance - 1.0
        spread = np.sqrt(drift * drift + 8.0 * pull / variance)
        exponent = 0.5 * (-drift - spread)
        slope = 2.0 * pull * pull / (variance * spread)
        alpha = -2.0 * discount / (variance * spread)
        w[ALPHA + s] = alpha / discount
        w[BETA + s] = alpha * (pull - slope / spread) - exponent
        w[SHORT + s] = discount
        w[LESS + s] = carried


@kernel("void(f8[::1], f8, i8)")
def _start_step(w: Floats, share: float, count: int) -> None:
    """Take one Newton step of the QD+ equation in the logarithm of the boundary."""
    for s in range(count):
        r, q, v, root, y = w[RATE + s], w[YIELD + s], w[VOL + s], w[ROOT + s] * share, w[LOG + s]
        discount, carried = w[SHORT + s], w[LESS + s]
        spread, spot = v * root, exponential(y)
        up = (y + (r - q) * root * root) / spread + 0.5 * spread
        down = up - spread
        density = exponential(-0.5 * up * up)
        far = density * tail_ratio(abs(up))
        above = carried * (far if up > 0.0 else 1.0 - far)
        held = carried * density / ROOT_TWO_PI
        far = exponential(-0.5 * down * down) * tail_ratio(abs(down))
        below = discount * (far if down > 0.0 else 1.0 - far)
        fade = 0.5 * v / root
        put = below - spot * above
        decay = r * below - q * spot * above - fade * spot * held
        alpha, beta = w[ALPHA + s], w[BETA + s]
        value = spot * (1.0 - above) - beta * (1.0 - spot - put) + alpha * decay
        decay_slope = (q - r) * held / spread - q * above - fade * held * (1.0 - up / spread)
        slope = (1.0 - above) * (1.0 + beta) + held / spread + alpha * decay_slope
        step = -value / (spot * slope)
        step = max(step, -1.6)
        y += step
        w[LOG + s] = min(y, w[CAP + s])


@kernel("void(f8[::1], f8[::1], f8, i8)")
def _decay(decays: Floats, w: Floats, share: float, count: int) -> None:
    """Set the discount factors of rate and yield over `share`^2 of the time to expiry."""
    for s in range(count):
        since = w[ROOT + s] * share
        decays[s] = exponential(-w[RATE + s] * since * since)
        decays[LANES + s] = exponential(-w[YIELD + s] * since * since)


@kernel("void(f8[::1], f8[:, ::1], f8[::1], i8)")
def _interpolate(w: Floats, squares: Floats, weights: Floats, count: int) -> None:
    """Set PAST to the log distance of the boundary to its cap, its square interpolated between the nodes."""
    first = weights[0]
    for s in range(count):
        w[PAST + s] = first * squares[0, s]
    for node in range(1, len(weights) - 2, 3):
        a, b, c = weights[node], weights[node + 1], weights[node + 2]
        for s in range(count):
            w[PAST + s] += a * squares[node, s] + b * squares[node + 1, s] + c * squares[node + 2, s]
    for node in range(len(weights) - (len(weights) - 1) % 3, len(weights)):
        a = weights[node]
        for s in range(count):
            w[PAST + s] += a * squares[node, s]
    for s in range(count):
        w[PAST + s] = np.sqrt(max(w[PAST + s], 0.0))


@kernel("void(f8[::1], f8[::1], f8, i8)")
def _open_slope(w: Floats, decays: Floats, share: float, count: int) -> None:
    """Set numerator and denominator of FP-A to their terms outside the integrals, and their slopes."""
    for s in range(count):
        r, q, root, per_spread = w[RATE + s], w[YIELD + s], w[ROOT + s] * share, w[PER_SPREAD + s] / share
        tau = root * root
        up = (w[CAP + s] - w[HERE + s] + (r - q) * tau) * per_spread + 0.5 * w[VOL + s] * root
        down = up - w[VOL + s] * root
        low, high = exponential(-0.5 * down * down), exponential(-0.5 * up * up)
        far = high * tail_ratio(abs(up))
        low, high = low * per_spread / ROOT_TWO_PI, high * per_spread / ROOT_TWO_PI
        discount, carried = decays[s], decays[LANES + s]
        w[TOP + s] = discount * low
        w[BOTTOM + s] = carried * (high + (1.0 - far if up > 0.0 else far))
        w[TOP_SLOPE + s] = discount * low * down * per_spread
        w[BOTTOM_SLOPE + s] = carried * high * (up * per_spread - 1.0)


@kernel("void(f8[::1], f8[::1], f8, f8[::1], i8)")
def _add_slope(w: Floats, decays: Floats, share: float, angle: Floats, count: int) -> None:
    """Add one quadrature point to FP-A: the boundary `angle[0]`^2 of the node's time earlier is in PAST."""
    since, per, length = share * angle[0], 1.0 / (share * angle[0]), 2.0 * share * angle[1] * angle[2]
    for s in range(count):
        r, q, v, lapse = w[RATE + s], w[YIELD + s], w[VOL + s], w[ROOT + s] * since
        half = 0.5 * v * lapse
        middle = (w[PAST + s] - w[HERE + s] + (r - q) * lapse * lapse) * w[PER_SPREAD + s] * per
        down, up = middle - half, middle + half
        low, high = exponential(-0.5 * down * down), exponential(-0.5 * up * up)
        far = high * tail_ratio(abs(up))
        over = 1.0 - far if up > 0.0 else far
        area = w[ROOT + s] * length
        edge = area * w[ROOT + s] * w[PER_SPREAD + s] * (1.0 / ROOT_TWO_PI)
        w[TOP + s] += r * decays[s] * low * edge
        w[BOTTOM + s] += q * decays[LANES + s] * (high * edge + over * area * lapse)


@kernel("void(f8[::1], f8[::1], f8, i8)")
def _open_value(w: Floats, decays: Floats, share: float, count: int) -> None:
    """Set numerator and denominator of FP-B to their terms outside the integrals, and their slopes."""
    for s in range(count):
        r, q, root, per_spread = w[RATE + s], w[YIELD + s], w[ROOT + s] * share, w[PER_SPREAD + s] / share
        tau = root * root
        up = (w[CAP + s] - w[HERE + s] + (r - q) * tau) * per_spread + 0.5 * w[VOL + s] * root
        down = up - w[VOL + s] * root
        low, high = exponential(-0.5 * down * down), exponential(-0.5 * up * up)
        far_down, far_up = low * tail_ratio(abs(down)), high * tail_ratio(abs(up))
        discount, carried = decays[s], decays[LANES + s]
        w[TOP + s] = discount * (1.0 - far_down if down > 0.0 else far_down)
        w[BOTTOM + s] = carried * (1.0 - far_up if up > 0.0 else far_up)
        w[TOP_SLOPE + s] = -discount * low * per_spread / ROOT_TWO_PI
        w[BOTTOM_SLOPE + s] = -carried * high * per_spread / ROOT_TWO_PI


@kernel("void(f8[::1], f8[::1], f8, f8[::1], f8, i8)")
def _add_value(w: Floats, decays: Floats, share: float, angle: Floats, own: float, count: int) -> None:
    """Add one quadrature point to FP-B; `own` is the weight of the node itself in the boundary in PAST."""
    since, per, length = share * angle[0], 1.0 / (share * angle[0]), 2.0 * share * angle[1] * angle[2]
    for s in range(count):
        r, q, v, lapse = w[RATE + s], w[YIELD + s], w[VOL + s], w[ROOT + s] * since
        half, here, past = 0.5 * v * lapse, w[HERE + s], w[PAST + s]
        middle = (past - here + (r - q) * lapse * lapse) * w[PER_SPREAD + s] * per
        down, up = middle - half, middle + half
        low, high = exponential(-0.5 * down * down), exponential(-0.5 * up * up)
        far_down, far_up = low * tail_ratio(abs(down)), high * tail_ratio(abs(up))
        area = w[ROOT + s] * length
        paid, lost = r * decays[s] * area, q * decays[LANES + s] * area
        edge = w[ROOT + s] * w[PER_SPREAD + s] * (1.0 / ROOT_TWO_PI)
        moved = (1.0 - own * here / max(past, CLOSEST)) * edge
        w[TOP + s] += paid * lapse * (1.0 - far_down if down > 0.0 else far_down)
        w[BOTTOM + s] += lost * lapse * (1.0 - far_up if up > 0.0 else far_up)
        w[TOP_SLOPE + s] -= paid * moved * low
        w[BOTTOM_SLOPE + s] -= lost * moved * high


@kernel("void(f8[::1], f8[:, ::1], i8, i8)")
def _close_node(w: Floats, squares: Floats, node: int, count: int) -> None:
    """Take the Newton step of the node from the quotient of the two sums."""
    for s in range(count):
        here = w[HERE + s]
        spot = exponential(w[CAP + s] - here)
        quotient = w[TOP + s] / w[BOTTOM + s]
        slope = (quotient * w[BOTTOM_SLOPE + s] - w[TOP_SLOPE + s]) / (w[BOTTOM + s] * spot)
        slope = 0.9 if slope > 0.9 else slope  # noqa: FURB136 - the order of comparison lets NaN through
        change = (quotient / spot - 1.0) / (1.0 - slope)
        change = max(change, -0.7)
        change = min(change, 3.0)
        here -= change * (6.0 + change) / (6.0 + 4.0 * change)  # Padé: ln(1 + change), exact where it ends
        here = max(here, 0.0)
        squares[node, s] = here * here


@kernel("void(f8[:, ::1], f8[::1], f8[:, ::1], f8[:, :, ::1], i8, b1, f8[:, ::1])")
def boundaries(
    puts: Floats, shares: Floats, angles: Floats, spread: Floats, sweeps: int, by_value: bool, out: Floats
) -> None:
    """Write the squared log distance of the exercise boundary to its cap, at the nodes in time.

    Parameters
    ----------
    puts : float64 [5, n_puts]
        Rate, yield, volatility, years to expiry, log of the boundary at expiry (the cap) over strike. Rate
        positive, or zero with a negative yield; volatility and time positive.
    shares : float64 [n_nodes]
        Square root of each node's share of the time to expiry, from 1 down to 0.
    angles : float64 [n_points, 3]
        Sine and cosine of the quadrature points in (0, pi / 2), and their weights.
    spread : float64 [n_nodes, n_points, n_nodes]
        Weights that interpolate from the nodes to the square root of time shares[i] * cos(angle[j]).
    sweeps : int
        How often every node is improved, from expiry backwards, each from those before it.
    by_value : bool
        Solve for the value at the boundary (equation FP-B of Andersen, Lake and Offengenden, whole slope of
        the node) in place of its slope (FP-A, slope outside the integrals). FP-A is closer after a few
        sweeps, but does not converge where drift overwhelms volatility; there FP-B does, and elsewhere not.
    out : float64 [n_nodes, n_puts], written
    """
    w = np.zeros(SCRATCH)
    n_points, last = len(angles), len(shares) - 1
    squares = np.zeros((len(shares), LANES))
    decays = np.zeros((last, n_points + 1, 2 * LANES))
    for begin in range(0, puts.shape[1], LANES):
        count = min(LANES, puts.shape[1] - begin)
        _load(w, puts, begin, count)
        for s in range(count):
            squares[last, s] = 0.0
        for node in range(last - 1, -1, -1):
            _start_node(w, shares[node], count)
            for _ in range(STARTS):
                _start_step(w, shares[node], count)
            for s in range(count):
                squares[node, s] = (w[CAP + s] - w[LOG + s]) ** 2
            for point in range(n_points):
                _decay(decays[node, point], w, shares[node] * angles[point, 0], count)
            _decay(decays[node, n_points], w, shares[node], count)
        for sweep in range(sweeps * last):
            node = last - 1 - sweep % last
            for s in range(count):
                w[HERE + s] = np.sqrt(squares[node, s])
            if by_value:
                _open_value(w, decays[node, n_points], shares[node], count)
            else:
                _open_slope(w, decays[node, n_points], shares[node], count)
            for point in range(n_points):
                weights = spread[node, point]
                _interpolate(w, squares, weights, count)
                if by_value:
                    _add_value(w, decays[node, point], shares[node], angles[point], weights[node], count)
                else:
                    _add_slope(w, decays[node, point], shares[node], angles[point], count)
            _close_node(w, squares, node, count)
        for node in range(last + 1):
            for s in range(count):
                out[node, begin + s] = squares[node, s]


# Rows of the scratch of `premiums`: five for each quadrature point, and those of the spots asked for.
OFFSET, SPREAD, PAID, LOST, SHARED = (LANES * n for n in range(5))
TERMS = LANES * 5
LOG_SPOT, SPOT, SUM = LOG, HERE, TOP


@kernel("void(f8[::1], f8[::1], f8[::1], i8)")
def _weigh_point(terms: Floats, w: Floats, angle: Floats, count: int) -> None:
    """Set what one quadrature point contributes, up to the spot: five numbers for each put."""
    sine, cosine, weight = angle[0], angle[1], angle[2]
    for s in range(count):
        r, q, v, root = w[RATE + s], w[YIELD + s], w[VOL + s], w[ROOT + s]
        boundary = w[CAP + s] - w[PAST + s]
        since = root * sine
        lapse, spread = since * since, v * since
        area = 2.0 * since * root * cosine * weight
        discount = area * exponential(-r * lapse)
        terms[OFFSET + s] = ((r - q) * lapse - boundary) / spread - 0.5 * spread
        terms[SPREAD + s] = 1.0 / spread
        terms[PAID + s] = r * discount
        terms[LOST + s] = q * area * exponential(-q * lapse)
        terms[SHARED + s] = q * discount * exponential(boundary)


@kernel("void(f8[::1], f8[::1], f8, i8)")
def _add_premium(w: Floats, terms: Floats, sine: float, count: int) -> None:
    """Add one quadrature point: r K e^-ru N(-d2) - q S e^-qu N(-d1), one exponential for both."""
    for s in range(count):
        down = w[LOG_SPOT + s] * terms[SPREAD + s] + terms[OFFSET + s]
        up = down + w[VOL + s] * w[ROOT + s] * sine
        density = exponential(-0.5 * down * down)
        lost = terms[LOST + s] * w[SPOT + s]
        far_down = terms[PAID + s] * density * tail_ratio(abs(down))
        far_up = terms[SHARED + s] * density * tail_ratio(abs(up))
        gained = far_down if down > 0.0 else terms[PAID + s] - far_down
        w[SUM + s] += gained - (far_up if up > 0.0 else lost - far_up)


@kernel("void(f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1])")
def premiums(puts: Floats, squares: Floats, angles: Floats, spread: Floats, log_spots: Floats, out: Floats) -> None:
    """Write what early exercise adds to a European put, as a share of the strike: the integral of Kim (1990).

    `puts` and `squares` as in `boundaries` (`squares` is its `out`); `angles` [n_points, 3] (sine, cosine,
    weight) and `spread` [n_points, n_nodes] likewise, for times from today. `log_spots` and `out` are
    [n_spots, n_puts]: many spots for each put. Right for spots above the boundary; below it a put is worth
    its intrinsic value.
    """
    w = np.zeros(SCRATCH)
    terms = np.zeros((len(angles), TERMS))
    block = np.zeros((len(squares), LANES))
    for begin in range(0, puts.shape[1], LANES):
        count = min(LANES, puts.shape[1] - begin)
        _load(w, puts, begin, count)
        for node in range(len(squares)):
            for s in range(count):
                block[node, s] = squares[node, begin + s]
        for point in range(len(angles)):
            _interpolate(w, block, spread[point], count)
            _weigh_point(terms[point], w, angles[point], count)
        for row in range(len(log_spots)):
            for s in range(count):
                w[LOG_SPOT + s] = log_spots[row, begin + s]
                w[SPOT + s] = exponential(log_spots[row, begin + s])
                w[SUM + s] = 0.0
            for point in range(len(angles)):
                _add_premium(w, terms[point], angles[point, 0], count)
            for s in range(count):
                out[row, begin + s] = max(w[SUM + s], 0.0)
