"""Slow, obvious twin of `crossmargin.kernels.implied`: the price as an integral of vega, its zero by bisection.

Vega is positive, so the integral loses nothing to cancellation and is good to 1e-13 however small the price:

    b(x, s) = 1 / sqrt(2 pi) * integral from 0 to s of exp(-(x / u)^2 / 2 - u^2 / 8) du,   x = ln(F / K).

Good for s up to about 15; deeper prices than 1e-300 are not its business.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq

NODES, WEIGHTS = np.polynomial.legendre.leggauss(60)


def log_ratio(forward, strike):
    """ln(forward / strike), exact also where they nearly agree."""
    if abs(forward - strike) < 0.1 * strike:
        return math.log1p((forward - strike) / strike)
    return math.log(forward / strike)


def time_value(forward, strike, s):
    """Undiscounted price less intrinsic value at total volatility s: 60-point Gauss rules over pieces."""
    h, t = abs(log_ratio(forward, strike)) / s, 0.5 * s
    # vega rises from nothing where u is about h, and for large h nearly all of it lies close to u = 1
    rise = [h / 40.0 * 4.0**n for n in range(40)]
    narrow = 1.0 / (1.0 + h * h)
    cuts = sorted({0.0, 1.0, *(u for u in [*rise, 1.0 - 60.0 * narrow, 1.0 - 5.0 * narrow] if 0.0 < u < 1.0)})
    total = 0.0
    for a, b in pairwise(cuts):
        u = 0.5 * (a + b) + 0.5 * (b - a) * NODES
        # vega at u * s over vega at s
        vega = np.exp(0.5 * h * h * (1.0 - u) * (-1.0 - u) / (u * u) + 0.5 * t * t * (1.0 - u) * (1.0 + u))
        total += 0.5 * (b - a) * float(WEIGHTS @ vega)
    scale = math.sqrt(forward) * math.sqrt(strike) * math.exp(-0.5 * (h * h + t * t)) / math.sqrt(2.0 * math.pi)
    return scale * s * total


def elasticity(forward, strike, s):
    """d ln(time value) / d ln(s): how many digits of s a digit of the price gives."""
    h, t = log_ratio(forward, strike) / s, 0.5 * s
    vega = math.exp(-0.5 * (h * h + t * t)) / math.sqrt(2.0 * math.pi) * math.sqrt(forward) * math.sqrt(strike)
    return s * vega / time_value(forward, strike, s)


def implied_total(forward, strike, value):
    """The total volatility with this time value, by bisection and secants in ln(s)."""

    def excess(log_s):
        found = time_value(forward, strike, math.exp(log_s))
        return math.log(found / value) if found > 0.0 else -1e3

    x = abs(log_ratio(forward, strike))
    least = max(x / 38.0, 2.0 * value / math.sqrt(forward * strike))
    return math.exp(brentq(excess, math.log(least), math.log(20.0), xtol=1e-15, rtol=1e-15, maxiter=300))
