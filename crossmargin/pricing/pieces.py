"""Pieces of time within which dates share an exponential: the numbers that the discounting kernels take.

Log discount factors are linear in time between knots. Within a piece the exponent is centre + u * slope, u from -1 to
1, so that a discount factor is that of the middle times a power series in the slope, which is short because a piece is.
`netted_pieces` is for amounts added up by date, `dated_pieces` for discount factors of each date.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from crossmargin.curves import FloatArray, IntArray, exponent_weights

PIECE_YEARS = 0.5  # longest piece; the kernels check that a series is near enough


def netted_pieces(knots: FloatArray, times: FloatArray, amounts: FloatArray) -> tuple[Any, ...]:
    """Return what `value_netted` takes between rates and result; the weights are those of zero rates."""
    from crossmargin.kernels.discounting import FADE_TERMS, MIDDLE, NARROW, SHORT_TERMS, TERMS

    bounds = _piece_bounds(knots, float(times.max(initial=0.0)))
    middle, half = (bounds[1:] + bounds[:-1]) / 2, np.diff(bounds) / 2
    nodes, centres, slopes = _exponents(knots, middle, half)
    piece = np.minimum(np.searchsorted(bounds, times, side="right"), len(half)) - 1
    moments = np.zeros((len(half), TERMS))
    np.add.at(moments, piece, amounts[:, None] * _signed_powers((times - middle[piece]) / half[piece], TERMS))
    about = _about(MIDDLE, TERMS)
    short = moments @ about @ _economised(SHORT_TERMS, TERMS, NARROW)
    fade = (_signed_powers(np.ones(1), TERMS) @ about @ _economised(FADE_TERMS, TERMS, NARROW))[0]
    day_nodes, day_weights = exponent_weights(knots, times)
    return nodes, centres, slopes, moments, short, fade, day_nodes, day_weights * knots[day_nodes], amounts


def dated_pieces(knots: FloatArray, times: FloatArray) -> tuple[Any, ...]:
    """Return what `value_rows` takes between rates and plan, for increasing times; each is discounted as if alone."""
    return _dated_pieces(np.asarray(knots, dtype=np.float64).tobytes(), times.tobytes())


@lru_cache(maxsize=8)
def _dated_pieces(knot_bytes: bytes, time_bytes: bytes) -> tuple[Any, ...]:
    """Return the pieces, kept for the next curves on the same knots."""
    from crossmargin.kernels.discounting import TERMS
    from crossmargin.kernels.rows import GENTLE, SERIES_TERMS

    knots, times = np.frombuffer(knot_bytes), np.frombuffer(time_bytes)
    reach = max(float(times[-1]) - float(knots[-1]) if len(times) else 0.0, 0.0)
    beyond = knots[-1] + PIECE_YEARS * np.arange(1.0, reach // PIECE_YEARS + 2.0)
    bounds = _piece_bounds(np.concatenate([knots, beyond]), float(beyond[-1]))
    bounds = np.concatenate([[0.0], bounds])  # today is a piece of its own, in which nothing is discounted
    within = np.where(times > 0.0, np.searchsorted(bounds, times, side="right") - 1, 0)
    held, start = np.unique(within, return_index=True)
    lengths = np.diff(start, append=len(times))
    middle, half = (bounds[held + 1] + bounds[held]) / 2, (bounds[held + 1] - bounds[held]) / 2
    nodes, centres, slopes = _exponents(knots, middle, half)
    places = (times - np.repeat(middle, lengths)) / np.repeat(np.where(half > 0.0, half, 1.0), lengths)
    series = _signed_powers(places, TERMS) @ _economised(SERIES_TERMS, TERMS, GENTLE)
    day_nodes, day_weights = exponent_weights(knots, times)
    starts = np.append(start, len(times)).astype(np.int64)
    return nodes, centres, slopes, starts, series, day_nodes, day_weights * knots[day_nodes]


def _exponents(knots: FloatArray, middle: FloatArray, half: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return two knots for each piece, weights of their rates in the exponent in its middle, and in the slope."""
    nodes, weights = exponent_weights(knots, middle)
    ends = knots[nodes]
    inside = weights[1] != 0.0
    span = np.where(inside, ends[1] - ends[0], 1.0)
    return nodes, weights * ends, np.where(inside, ends * [[-1.0], [1.0]] / span, [[1.0], [0.0]]) * half


def _piece_bounds(knots: FloatArray, last: float) -> FloatArray:
    """Return where pieces begin and end: today, at knots, at the last date and between, half a year apart at most."""
    last = last or float(knots[0])
    points = np.concatenate([[0.0], knots[knots < last], [last]])
    parts = np.maximum(np.ceil(np.diff(points) / PIECE_YEARS - 1e-9), 1.0).astype(np.int64)
    step = np.diff(points) / parts
    inner = np.concatenate([np.arange(count) for count in parts])
    return np.append(np.repeat(points[:-1], parts) + inner * np.repeat(step, parts), last)


def _signed_powers(places: FloatArray, count: int) -> FloatArray:
    """Return (-1)^k / k! place^k, k below `count`: the series of exp(-place * slope) in the slope."""
    out = np.ones((len(places), count))
    np.multiply(places[:, None], -1.0 / np.arange(1, count), out=out[:, 1:])
    return np.multiply.accumulate(out, axis=1, out=out)


@lru_cache
def _about(middle: float, count: int) -> FloatArray:
    """Return the matrix [count, count] that turns powers of a slope into powers of its distance from `middle`."""
    return np.array(
        [[comb(k, j) * middle ** max(k - j, 0) for j in range(count)] for k in range(count)], dtype=np.float64
    )


@lru_cache
def _economised(short: int, count: int, limit: float) -> FloatArray:
    """Return the matrix [count, short] that shortens a series with the least error for slopes up to `limit`.

    Each power is developed into Chebyshev polynomials, of which the first few are kept (Lanczos, Applied Analysis,
    1956, chapter 7).
    """
    out = np.zeros((count, short))
    for power in range(count):
        kept = chebyshev.poly2cheb(np.eye(count)[power])[:short]
        polynomial = chebyshev.cheb2poly(kept)
        out[power, : len(polynomial)] = polynomial * limit ** (power - np.arange(len(polynomial), dtype=np.float64))
    return out
