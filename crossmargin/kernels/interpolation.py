"""Pools of European options through surfaces: a few prices make a polynomial, which is read under every scenario.

The entry is `interpolated_pooled`. Options of one slice and one row of volatilities are a *group*: a scenario reaches
all of them through two numbers, the logarithm x of the forward and a number y in which every deviation is linear. Over
(x, y) their pooled value is a smooth surface. A *box*, a parallelogram along the cloud of scenarios, holds Chebyshev
points; `black_pooled` prices the options there, and a polynomial through these values serves the scenarios inside.
Those outside are priced one by one, and so are whole groups without a box.

Serial; scratch arrays only. Which box, and how many points suffice, is decided and proved in
`crossmargin.pricing.boxes`; nothing is checked here.

References: L. N. Trefethen (2013), Approximation Theory and Approximation Practice; C. W. Clenshaw (1955), A note on
the summation of Chebyshev series, Mathematics of Computation 9, 118-120.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._fma import fma
from crossmargin.kernels._jit import kernel
from crossmargin.kernels.black import black_pooled, block_width

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Coefficients = tuple[float, ...]

SLICE, BY, ACROSS, ALONG, BY_SCALE = range(5)  # columns of `groups`
MIDDLE, HALF, CENTRE, SLOPE, WIDTH, STILL = range(6)  # columns of `box`
POWERS = 8  # of eta in one pass: two rows of so many coefficients stay in the registers
XI, ETA, LATER, AFTER, FIRST, SECOND, INSIDE, VALUE = range(8)  # rows of scratch, a number per scenario of a block


@kernel("f8[:, ::1](i8)")
def _chebyshev(n: int) -> Floats:
    """Return table[i, k] such that sum_k table[i, k] value[k] is coefficient i of the polynomial through n points."""
    table, cosine = np.empty((n, n)), np.empty(4 * n)
    for m in range(4 * n):
        cosine[m] = math.cos(math.pi * m / (2 * n))
    for i in range(n):
        share, at = (1.0 if i == 0 else 2.0) / n, i
        for k in range(n):
            table[i, k] = share * cosine[at]
            at += 2 * i - (4 * n if at + 2 * i >= 4 * n else 0)
    return table


@kernel("f8[:, ::1](i8)")
def _powers(n: int) -> Floats:
    """Return table[j, p], the factor of eta^p in the Chebyshev polynomial of degree j."""
    table = np.zeros((n, n))
    table[0, 0] = 1.0
    for j in range(1, n):
        table[j, 0] = -table[j - 2, 0] if j > 1 else 0.0
        for p in range(1, j + 1):
            table[j, p] = table[j - 1, p - 1] if j == 1 else 2.0 * table[j - 1, p - 1] - table[j - 2, p]
    return table


@kernel("void(f8[:, ::1], f8[::1], i8, i8, b1)")
def _set_points(rows: Floats, box: Floats, n_across: int, n_along: int, by_scale: bool) -> None:
    """Set the first columns of the scenarios to be priced to the points, those of one xi side by side."""
    for k in range(n_across):
        x = box[HALF] * math.cos(math.pi * (2 * k + 1) / (2 * n_across))
        forward, centre = math.exp(box[MIDDLE] + x), fma(box[SLOPE], x, box[CENTRE])
        for j in range(n_along):
            y = fma(box[WIDTH], math.cos(math.pi * (2 * j + 1) / (2 * n_along)), centre)
            at = k * n_along + j
            rows[0, at], rows[1, at], rows[2, at], rows[3, at] = forward, box[MIDDLE] + x, 1.0, 1.0
            rows[4, at], rows[5, at] = (y, box[STILL]) if by_scale else (box[STILL], y)


@kernel("void(f8[:, ::1], f8[::1], f8[:, ::1], f8[:, ::1], f8[:, ::1])")
def _fit(surface: Floats, value: Floats, across: Floats, along: Floats, powers: Floats) -> None:
    """Set surface[i, p], the factor of T_i(xi) eta^p, from the values at the points.

    In eta first a Chebyshev series, whose coefficients fall fast, then powers: rounding grows as the last of them.
    """
    n_across, n_along = len(across), len(along)
    turned = np.zeros((n_across, n_along))
    for k in range(n_across):
        for j in range(n_along):
            c = 0.0
            for m in range(n_along):
                c += along[j, m] * value[k * n_along + m]
            for p in range(j + 1):
                turned[k, p] += c * powers[j, p]
    for i in range(n_across):
        for k in range(n_across):
            for p in range(n_along):
                surface[i, p] += across[i, k] * turned[k, p]


@kernel("f8(f8, f8, UniTuple(f8, 8))", inline=True)
def _horner(p: float, y: float, c: Coefficients) -> float:
    """Return p y^8 + c[7] y^7 + .. + c[0]."""
    upper = fma(fma(fma(fma(p, y, c[7]), y, c[6]), y, c[5]), y, c[4])
    return fma(fma(fma(fma(upper, y, c[3]), y, c[2]), y, c[1]), y, c[0])


@kernel("UniTuple(f8, 8)(f8[::1], i8)", inline=True)
def _eight(c: Floats, at: int) -> Coefficients:
    return c[at], c[at + 1], c[at + 2], c[at + 3], c[at + 4], c[at + 5], c[at + 6], c[at + 7]


@kernel("void(f8[:, ::1], f8[:, ::1], i8)")
def _read(w: Floats, surface: Floats, count: int) -> None:
    """Set w[VALUE] to the surface at (w[XI], w[ETA]): Clenshaw's sum, two of its rows to a pass, the highest first."""
    xi, eta, later, after = w[XI, :count], w[ETA, :count], w[LATER, :count], w[AFTER, :count]
    first, second, value = w[FIRST, :count], w[SECOND, :count], w[VALUE, :count]
    for s in range(count):
        later[s], after[s], first[s], second[s] = 0.0, 0.0, 0.0, 0.0
    for pair in range(len(surface) // 2 - 1, -1, -1):
        for part in range(surface.shape[1] // POWERS - 1, 0, -1):
            c, d = _eight(surface[2 * pair], part * POWERS), _eight(surface[2 * pair + 1], part * POWERS)
            kept = 0.0 if (part + 1) * POWERS == surface.shape[1] else 1.0
            for s in range(count):
                first[s], second[s] = _horner(kept * first[s], eta[s], c), _horner(kept * second[s], eta[s], d)
        c, d = _eight(surface[2 * pair], 0), _eight(surface[2 * pair + 1], 0)
        for s in range(count):
            twice = 2.0 * xi[s]
            one = fma(twice, later[s], _horner(second[s], eta[s], d) - after[s])
            later[s], after[s] = fma(twice, one, _horner(first[s], eta[s], c) - later[s]), one
    for s in range(count):
        value[s] = fma(-xi[s], after[s], later[s])


@kernel("void(f8[:, ::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1])")
def _place(w: Floats, log_forward: Floats, root: Floats, moved: Floats, rest: Floats, box: Floats) -> None:
    """Set where scenarios stand in the box and whether inside it; those that do not are put in its middle."""
    count = len(root)
    xi, eta, inside = w[XI, :count], w[ETA, :count], w[INSIDE, :count]
    middle, centre, slope, still = box[MIDDLE], box[CENTRE], box[SLOPE], box[STILL]
    by_half, by_width = 1.0 / box[HALF], 1.0 / box[WIDTH]
    for s in range(count):
        x = log_forward[s] - middle
        a, b = x * by_half, fma(-slope, x, moved[s] * root[s] - centre) * by_width
        good = (abs(a) <= 1.0) & (abs(b) <= 1.0) & (rest[s] * root[s] == still)
        inside[s], xi[s], eta[s] = 1.0 if good else 0.0, a if good else 0.0, b if good else 0.0


@kernel("f8[:, :, ::1](f8[:, ::1], i8, i8, i8[::1])")
def _surfaces(value: Floats, n_across: int, n_along: int, start: Integers) -> Floats:
    """Return the coefficients [n_pools, even, multiple of POWERS] of the pools' surfaces; zeros for the empty ones."""
    shape = -(-n_across // 2) * 2, -(-n_along // POWERS) * POWERS
    surfaces = np.zeros((len(value), shape[0], shape[1]))
    across, along, powers = _chebyshev(n_across), _chebyshev(n_along), _powers(n_along)
    for pool in range(len(value)):
        if start[pool] < start[pool + 1]:
            _fit(surfaces[pool], value[pool], across, along, powers)
    return surfaces


@kernel("i8[::1](f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], i8, i8)")
def _outside(
    log_forward: Floats, root: Floats, moved: Floats, rest: Floats, box: Floats, begin: int, end: int
) -> Integers:
    """Return the scenarios begin .. end that are not inside the box."""
    found, count, width = np.empty(end - begin, np.int64), 0, block_width(begin, end)
    w = np.empty((8, width))
    for block in range(begin, end, width):
        last = min(block + width, end)
        _place(w, log_forward[block:last], root[block:last], moved[block:last], rest[block:last], box)
        for s in range(last - block):
            if w[INSIDE, s] == 0.0:
                found[count] = block + s
                count += 1
    return found[:count]


@kernel("void(f8[::1], f8[:, ::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], f8, i8, i8)")
def _add_inside(
    total: Floats,
    surface: Floats,
    log_forward: Floats,
    discount: Floats,
    root: Floats,
    moved: Floats,
    rest: Floats,
    box: Floats,
    today: float,
    begin: int,
    end: int,
) -> None:
    """Add the profit and loss of one pool in one group where a scenario is inside the box."""
    width = block_width(begin, end)
    w = np.empty((8, width))
    for block in range(begin, end, width):
        last = min(block + width, end)
        _place(w, log_forward[block:last], root[block:last], moved[block:last], rest[block:last], box)
        _read(w, surface, last - block)
        df, inside, value, out = discount[block:last], w[INSIDE], w[VALUE], total[block:last]
        for s in range(last - block):
            out[s] = fma(inside[s], fma(df[s], value[s], -today), out[s])


@kernel(
    "void(f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], i8[::1], i8[::1], f8[::1],"
    " f8[::1], f8[::1], f8[::1], i8[:, ::1], f8[:, ::1], i8[:, ::1], i8[::1], f8[::1], f8[:, ::1], i8, i8)"
)
def interpolated_pooled(
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
    groups: Integers,
    box: Floats,
    start: Integers,
    pool_option: Integers,
    pool_quantity: Floats,
    out: Floats,
    begin: int,
    end: int,
) -> None:
    """Add what `black_pooled` adds, group after group, to within the error of the surfaces.

    Parameters
    ----------
    forward .. base_value
        As in `black_pooled`.
    groups : int64 [n_groups, 5]
        Slice, row of volatilities, points across and along the box, and whether scenarios move the scale: 1, or the
        shift: 0. No points across: every option of the group is priced under every scenario.
    box : float64 [n_groups, 6]
        Middle, half, centre, slope and width: x = middle + half xi and y = centre + slope half xi + width eta, with xi
        and eta from -1 to 1. Last the other of scale and shift, times the root of time: the same all over the box.
    start : int64 [n_groups, n_pools + 1]
        Holdings of pool i in group g are start[g, i] .. start[g, i + 1].
    pool_option, pool_quantity : int64, float64 [n_holdings]
        Which option, and how many units of the underlying, long > 0.
    out : float64 [n_pools, n_scenarios]
        Profit and loss is added to columns begin .. end; gain > 0.
    begin, end : int
        The scenarios to value. Cutting them into pieces changes no bit of the result.
    """
    zero, worthless, terms = np.zeros_like(slice_row), np.zeros_like(strike), (strike, sign, volatility)
    for g in range(len(groups)):
        on, by, n_across, n_along, by_scale = groups[g]
        holdings, n_points = (start[g], pool_option, pool_quantity), n_across * n_along
        if n_points == 0:
            black_pooled(
                forward, log_forward, discount, sqrt_time, scale, shift, slice_row, volatility_row, *terms,
                base_value, *holdings, out, begin, end,
            )  # fmt: skip
            continue
        moved, rest = (scale[by], shift[by]) if by_scale == 1 else (shift[by], scale[by])
        outside = _outside(log_forward[on], sqrt_time[on], moved, rest, box[g], begin, end)
        n_priced = n_points + len(outside)
        rows, value = np.empty((6, n_priced)), np.zeros((len(out), n_priced))
        _set_points(rows, box[g], n_across, n_along, by_scale == 1)
        for at, s in enumerate(outside):
            to = n_points + at
            rows[0, to], rows[1, to], rows[2, to] = forward[on, s], log_forward[on, s], discount[on, s]
            rows[3, to], rows[4, to], rows[5, to] = sqrt_time[on, s], scale[by, s], shift[by, s]
        black_pooled(
            rows[0:1], rows[1:2], rows[2:3], rows[3:4], rows[4:5], rows[5:6], zero, zero, *terms,
            worthless, *holdings, value, 0, n_priced,
        )  # fmt: skip
        surfaces = _surfaces(value, n_across, n_along, start[g])
        for pool in range(len(out)):
            first, last = start[g, pool], start[g, pool + 1]
            if first < last:
                today = 0.0
                for holding in range(first, last):
                    today += pool_quantity[holding] * base_value[pool_option[holding]]
                _add_inside(
                    out[pool], surfaces[pool], log_forward[on], discount[on], sqrt_time[on], moved, rest, box[g],
                    today, begin, end,
                )  # fmt: skip
                for at, s in enumerate(outside):
                    out[pool, s] += value[pool, n_points + at] - today
