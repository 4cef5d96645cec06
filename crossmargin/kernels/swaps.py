"""Values of cash flows that two curves decide: discounted by one, grown by a ratio of factors of another.

The entry is `value_swaps`. A *line* is a discount factor of some curve at some date, or the inverse of one: the curves'
knots stand below one another and the weights of an inverse are negative. A *plain* flow is an amount times one line, a
*ratio* an amount times three: discount factor at payment, factor at the start and inverse factor at the end.

Scenarios are innermost and lines of one block are computed once, as in `discounting`. Serial; no allocation except
scratch arrays.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import numpy as np

from crossmargin.kernels._fma import fma
from crossmargin.kernels._jit import kernel
from crossmargin.kernels.discounting import (
    BLOCK_VALUES,
    LANES,
    NARROWEST,
    WIDEST,
    Floats,
    Integers,
    _discount_block,
    _sum_flows,
)


@kernel("void(f8[::1], f8[:, ::1], i8[:, ::1], f8[::1], i8, i8, i8)")
def _add_ratios(
    total: Floats, factors: Floats, ratio_lines: Integers, ratio_amount: Floats, first: int, last: int, count: int
) -> None:
    """Add the ratios first .. last to `total` [block], in their order, two to a pass."""
    ratio = first
    while ratio + 2 <= last:
        after = ratio + 1
        pay, up, down = ratio_lines[0, ratio], ratio_lines[1, ratio], ratio_lines[2, ratio]
        then, high, low = ratio_lines[0, after], ratio_lines[1, after], ratio_lines[2, after]
        w, x = ratio_amount[ratio], ratio_amount[after]
        for s in range(count):
            near = fma(w * factors[pay, s], factors[up, s] * factors[down, s], total[s])
            total[s] = fma(x * factors[then, s], factors[high, s] * factors[low, s], near)
        ratio += 2
    if ratio < last:
        pay, up, down = ratio_lines[0, ratio], ratio_lines[1, ratio], ratio_lines[2, ratio]
        w = ratio_amount[ratio]
        for s in range(count):
            total[s] = fma(w * factors[pay, s], factors[up, s] * factors[down, s], total[s])


@kernel(
    "void(f8[:, ::1], i8[:, ::1], f8[:, ::1], i8[::1], i8[::1], f8[::1], i8[::1], i8[:, ::1], f8[::1],"
    " f8[:, ::1], i8, i8)"
)
def value_swaps(
    exponents: Floats,
    nodes: Integers,
    weights: Floats,
    plain_start: Integers,
    plain_line: Integers,
    plain_amount: Floats,
    ratio_start: Integers,
    ratio_lines: Integers,
    ratio_amount: Floats,
    out: Floats,
    begin: int,
    end: int,
) -> None:
    """Write out[row, s] = sum of amount * line(s) + sum of amount * line(s) * line(s) * line(s).

    Parameters
    ----------
    exponents : float64 [n_knots, n_scenarios]
        Zero rate times time at the knots of all curves, one curve below the other.
    nodes, weights : int64, float64 [2, n_lines]
        Which two knots make the exponent of each line, and how much of each.
    plain_start : int64 [n_rows + 1]
        Plain flows of row i are plain_start[i] .. plain_start[i + 1].
    plain_line, plain_amount : int64, float64 [n_plain]
    ratio_start : int64 [n_rows + 1]
    ratio_lines : int64 [3, n_ratios]
    ratio_amount : float64 [n_ratios]
    out : float64 [n_rows, n_scenarios]
        Written in columns begin .. end; nothing else is touched.
    begin, end : int
        The scenarios to value. Cutting them into pieces changes no bit of the result.
    """
    n_lines = nodes.shape[1]
    widest = min(max(BLOCK_VALUES // max(n_lines, 1), NARROWEST), WIDEST)
    blocks = max(-(-(end - begin) // widest), 1)
    width = -(-(end - begin) // (blocks * LANES)) * LANES  # blocks of one size, whole vectors
    factors = np.empty((n_lines, width))
    for block in range(begin, end, max(width, LANES)):
        count = min(width, end - block)
        _discount_block(factors, exponents, nodes, weights, block, count)
        for row in range(len(plain_start) - 1):
            total = out[row, block : block + count]
            _sum_flows(total, factors, plain_line, plain_amount, plain_start[row], plain_start[row + 1], count)
            _add_ratios(total, factors, ratio_lines, ratio_amount, ratio_start[row], ratio_start[row + 1], count)
