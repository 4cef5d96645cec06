"""Slow, obvious twins of the kernels for American options: NumPy and SciPy, one put or one lattice at a time."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

ROOT_TWO_PI = np.sqrt(2.0 * np.pi)


def lattice(call, strike, time, vol, **numbers):
    """Cox, Ross and Rubinstein (1979), every node, exercise tested everywhere; `cash` [steps + 1] is delivered too."""
    spot, r, q, steps = numbers["spot"], numbers["rate"], numbers["dividend_yield"], numbers["steps"]
    cash = numbers.get("cash", np.zeros(steps + 1))
    dt, sign = time / steps, 1.0 if call else -1.0
    u = np.exp(vol * np.sqrt(dt))
    p = (np.exp((r - q) * dt) - 1.0 / u) / (u - 1.0 / u)
    values = np.maximum(sign * (spot * u ** (2.0 * np.arange(steps + 1) - steps) + cash[steps] - strike), 0.0)
    for step in range(steps - 1, -1, -1):
        values = np.exp(-r * dt) * (p * values[1:] + (1.0 - p) * values[:-1])
        if numbers.get("american", True):
            prices = spot * u ** (2.0 * np.arange(step + 1) - step) + cash[step]
            values = np.maximum(values, sign * (prices - strike))
    return values[0]


def density(x):
    return np.exp(-0.5 * x * x) / ROOT_TWO_PI


def qd_plus(tau, r, q, vol, y, cap):
    """Four Newton steps of Li's (2010) equation for the log boundary, from `y`."""
    variance, spread, discount, carried = vol * vol, vol * np.sqrt(tau), np.exp(-r * tau), np.exp(-q * tau)
    rt = r * tau
    pull = r / (1 - discount) if abs(rt) > 1e-5 else 1 / (tau * (1 - 0.5 * rt * (1 - rt / 3)))
    drift = 2 * (r - q) / variance - 1
    root = np.sqrt(drift**2 + 8 * pull / variance)
    exponent, slope = 0.5 * (-drift - root), 2 * pull**2 / (variance * root)
    alpha = -2 * discount / (variance * root)
    beta = alpha * (pull - slope / root) - exponent
    for _ in range(4):
        spot = np.exp(y)
        up = (y + (r - q) * tau) / spread + 0.5 * spread
        above, held = carried * ndtr(-up), carried * density(up)
        below, fade = discount * ndtr(spread - up), 0.5 * vol / np.sqrt(tau)
        put, decay = below - spot * above, r * below - q * spot * above - fade * spot * held
        value = spot * (1 - above) - beta * (1 - spot - put) + alpha / discount * decay
        decay_slope = (q - r) * held / spread - q * above - fade * held * (1 - up / spread)
        whole = (1 - above) * (1 + beta) + held / spread + alpha / discount * decay_slope
        y = min(y + max(-value / (spot * whole), -1.6), cap)
    return y


def sums(rule, squares, node, by_value, put):
    """Numerator, denominator and their slopes of FP-A or FP-B at one node."""
    r, q, vol, time, cap = put
    share, here = rule.shares[node], np.sqrt(squares[node])
    root = np.sqrt(time) * share
    tau, spread = root**2, vol * root
    down = (cap - here + (r - q) * tau) / spread - 0.5 * spread
    up = down + spread
    low, high, discount, carried = density(down) / spread, density(up) / spread, np.exp(-r * tau), np.exp(-q * tau)
    if by_value:
        out = np.array([discount * ndtr(down), carried * ndtr(up), -discount * low, -carried * high])
    else:
        slopes = discount * low * down / spread, carried * high * (up / spread - 1)
        out = np.array([discount * low, carried * (high + ndtr(up)), *slopes])
    for (sine, cosine, weight), weights in zip(rule.angles, rule.spread[node], strict=True):
        past = np.sqrt(max(weights @ squares, 0.0))
        lapse, area = (root * sine) ** 2, 2 * tau * sine * cosine * weight
        spread = vol * root * sine
        down = (past - here + (r - q) * lapse) / spread - 0.5 * spread
        up = down + spread
        paid, lost = r * np.exp(-r * lapse) * area, q * np.exp(-q * lapse) * area
        moved = (1 - weights[node] * here / max(past, 1e-12)) / spread
        if by_value:
            slopes = -paid * moved * density(down), -lost * moved * density(up)
            out += np.array([paid * ndtr(down), lost * ndtr(up), *slopes])
        else:
            edge = density(up) / spread
            out += np.array([paid * density(down) / spread, lost * (edge + ndtr(up)), 0.0, 0.0])
    return out


def boundary(rule, put, by_value, sweeps):
    """Squared log distances [n_nodes] of one put's boundary to its cap."""
    r, q, vol, time, cap = put
    squares, y = np.zeros(len(rule.shares)), cap
    for node in range(len(squares) - 2, -1, -1):
        y = qd_plus(time * rule.shares[node] ** 2, r, q, vol, y, cap)
        squares[node] = (cap - y) ** 2
    for _ in range(sweeps):
        for node in range(len(squares) - 2, -1, -1):
            top, bottom, top_slope, bottom_slope = sums(rule, squares, node, by_value, put)
            here = np.sqrt(squares[node])
            spot, quotient = np.exp(cap - here), top / bottom
            slope = min((quotient * bottom_slope - top_slope) / (bottom * spot), 0.9)
            change = np.clip((quotient / spot - 1) / (1 - slope), -0.7, 3.0)
            squares[node] = max(here - change * (6 + change) / (6 + 4 * change), 0.0) ** 2
    return squares


def premium(rule, put, squares, x):
    """Early-exercise premium over strike of one put at log spot `x` (Kim 1990)."""
    r, q, vol, time, cap = put
    total = 0.0
    for (sine, cosine, weight), weights in zip(rule.price_angles, rule.price_spread, strict=True):
        past = np.sqrt(max(weights @ squares, 0.0))
        lapse = time * sine**2
        spread = vol * np.sqrt(lapse)
        down = (x - cap + past + (r - q) * lapse) / spread - 0.5 * spread
        flow = r * np.exp(-r * lapse) * ndtr(-down) - q * np.exp(x - q * lapse) * ndtr(-down - spread)
        total += 2 * time * sine * cosine * weight * flow
    return max(total, 0.0)


def table_price(table, strike, spot, vol):
    """One price from a table: a cubic between rows of a cubic between columns, European value added."""
    from crossmargin.kernels.premium_table import WARP

    r, q, time, _, low, high, first, per_row = table.term
    if not low <= vol <= high:
        return np.nan
    k, s = (spot, strike) if table.is_call else (strike, spot)
    x, place = np.log(s / k), (vol / (vol + WARP) - first) * per_row
    row = min(int(place), len(table.edges) - 1)
    between = (place - row) ** np.arange(4)
    edge, slope, *_ = between @ table.edges[row].reshape(4, 4)
    u = (x - edge) * slope
    if u < 0:
        return max(k - s, 0.0)
    n_columns = len(table.cells) // len(table.edges)
    along = min(u, n_columns - 0.001)
    cubic = between @ table.cells[row * n_columns + int(along)].reshape(4, 4)
    premium = cubic @ (along - int(along)) ** np.arange(4)
    spread = vol * np.sqrt(time)
    up = (x + (r - q) * time) / spread + 0.5 * spread
    european = k * np.exp(-r * time) * ndtr(spread - up) - s * np.exp(-q * time) * ndtr(-up)
    return max(max(european, 0.0) + k * max(premium, 0.0), k - s)
