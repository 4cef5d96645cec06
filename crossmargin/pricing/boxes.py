r"""Where the value of a pool of European options may be interpolated over scenarios, and how far off it then can be.

Call `groups_of`, then `boxes_for`; `pooled` does, and the kernel `interpolated_pooled` reads the result.

Options of one slice and one row of volatilities are a *group*. A scenario reaches all of them through the logarithm x
of the forward and one number y more, in which every deviation is s = r y + constant: r is the volatility of the
option where scenarios scale it, and 1 where they shift it. A *box* is a parallelogram along the cloud of scenarios,
x = middle + half xi and y = centre + slope half xi + width eta, with xi and eta from -1 to 1. The undiscounted value V
of a group is interpolated from Chebyshev points of a box. Its error is proved to be small, not estimated:

Across, in xi, with eta real. Write k = ln K, and n for the normal density; d1 and d2 are as usual, so that
K n(d2) = sqrt(K F) exp(-(x - k)^2 / (2 s^2) - s^2 / 8) / sqrt(2 pi). On the Bernstein ellipse with parameter exp(l) let
e and g be the imaginary parts of x and of s over the real part of s. Whatever the strike and the real part of x,
exp(-(x - k)^2 / (2 s^2)) is at most exp(e^2 / (2 - 2 g^2)) in size. At the point of the ellipse where e is largest

    e^2 / (1 - g^2) = (half sinh(l) / r)^2 / ((least - width)^2 - (slope half)^2 cosh(2 l)) = 2 I,

`least` being the smallest s / r at the centre. As N(a + ib) is at most 1 + exp((b^2 - a^2) / 2) / 2 in size, dV/dxi,
which is half (F N(d1) + slope r K n(d2)), is at most half (F + sqrt(K F) exp(I) (1/2 + slope r / sqrt(2 pi))). Its
Chebyshev coefficients fall like exp(-l n), and those of V like exp(-l n) / n; interpolation at n points is off by
twice the sum of those from the n-th on: by 4 half cosh(l) exp(-l n) / (n (1 - exp(-l))) times the bracket.

Along, in eta, with xi real. dV/deta = width r K n(d2) is, for complex eta too, at most sqrt(K F) width r / sqrt(2 pi)
while the real part of s exceeds the imaginary one: while cosh(2 l) <= ((least - slope half) / width)^2. The error
follows as above, and grows by the Lebesgue constant across, at most 1 + 2 / pi ln(n).

References: L. N. Trefethen (2013), Approximation Theory and Approximation Practice, chapters 4, 8 and 15; M. Gaß,
K. Glau, M. Mahlstedt and M. Mair (2018), Chebyshev interpolation for parametric option pricing, Finance and
Stochastics 22, 701-731, who interpolate single prices in the parameters of a model.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from crossmargin.pricing.european import EuropeanBook

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

SAMPLE = 128  # scenarios, or up to twice as many, by which a box is chosen
REACH = np.array([1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 7.0])  # of boxes to choose from, in standard deviations
ELLIPSES = np.linspace(0.15, 3.5, 16)  # l, for across
ROUNDEST = 0.9  # least l along: above ln(1 + sqrt 2), so that powers of eta can stand for Chebyshev polynomials
MOST_ACROSS, MOST_ALONG = 128, 32  # points
PASS = 8  # powers of eta that the kernel takes at once
PER_COEFFICIENT = 0.02  # time to read one coefficient under one scenario, in prices
PAYS = 0.8  # share of the time of pricing every option that interpolation may take
NARROWEST = 1e-9  # half sides, so that a factor that does not move divides nothing by zero
EPS = float(np.finfo(np.float64).eps)
DENSITY = float(1 / np.sqrt(2 * np.pi))


@frozen(kw_only=True, eq=False)
class Groups:
    """Holdings in the order of groups and, inside, of pools.

    `slice_row`, `volatility_row` [n_groups]; the holdings of pool p in group g are `start[g, p] .. start[g, p + 1]`.
    """

    slice_row: IntArray
    volatility_row: IntArray
    start: IntArray
    option: IntArray
    quantity: FloatArray

    @property
    def held(self) -> IntArray:
        """How many holdings each group has [n_groups, 1]."""
        return np.diff(self.start[:, [0, -1]])


@frozen(kw_only=True, eq=False)
class Boxes:
    """What the kernel needs to know of each group, and how far its values can be off.

    Attributes
    ----------
    counts : int64 [n_groups, 5]
        Slice, row of volatilities, points across and along (0 where the group is priced), whether y is the scale.
    box : float64 [n_groups, 6]
        Middle, half, centre, slope, width, and the deviation of the other kind (scale or shift), which stands still.
    error : float64 [3, n_groups]
        For each unit of quantity a value is off by error[0] + error[1] * root of strike + error[2] * strike at most,
        on the day of payment, rounding included.
    """

    counts: IntArray
    box: FloatArray
    error: FloatArray


@frozen(kw_only=True, eq=False)
class _Cloud:
    """Scenarios of each group, [n_groups, 1]; half sides of boxes, and share of scenarios beyond, [n_groups, n_boxes].

    `moves` is false where scale and shift both move: no box then.
    """

    middle: FloatArray
    centre: FloatArray
    slope: FloatArray
    still: FloatArray
    by_scale: BoolArray
    moves: BoolArray
    half: FloatArray
    width: FloatArray
    beyond: FloatArray


@frozen(kw_only=True, eq=False)
class _Options:
    """Of each group, [n_groups, 1]: smallest and largest r, and the smallest s / r at the centre of the cloud."""

    low: FloatArray
    high: FloatArray
    least: FloatArray


@frozen(kw_only=True, eq=False)
class _Points:
    """How many points a box needs [n_groups, n_boxes], and the error for each unit of forward and of sqrt(K F)."""

    count: FloatArray
    by_forward: FloatArray
    by_root: FloatArray


def groups_of(book: EuropeanBook, start: IntArray, option: IntArray, quantity: FloatArray) -> Groups:
    """Return the holdings of pools by group: those of pool i are start[i] .. start[i + 1]."""
    n_pools, n_rows = len(start) - 1, len(book.scale)
    kind = book.slice_row[option] * n_rows + book.volatility_row[option]
    cell = kind * n_pools + np.repeat(np.arange(n_pools), np.diff(start))
    order = np.argsort(cell, kind="stable")
    kinds = np.unique(kind)
    return Groups(
        slice_row=kinds // n_rows,
        volatility_row=kinds % n_rows,
        start=np.searchsorted(cell[order], kinds[:, None] * n_pools + np.arange(n_pools + 1)),
        option=option[order],
        quantity=quantity[order],
    )


def boxes_for(arguments: tuple[Any, ...], groups: Groups, accuracy: float) -> Boxes:
    """Return for each group the box that takes the least time, or none where to price every option takes less.

    Parameters
    ----------
    arguments : tuple
        Those of `EuropeanBook.kernel_arguments`.
    groups : Groups
        With a holding at least.
    accuracy : float
        Largest error of a surface beside quantity times forward and strike, > 0.
    """
    with np.errstate(all="ignore"):  # what comes out as no number is no box
        cloud = _cloud(arguments, groups)
        options = _options(arguments[10], groups, cloud)
        across = _across(cloud, options, accuracy / 2)
        along = _along(cloud, options, across.count, accuracy / 2)
        time = _time(cloud, across.count, along.count, groups=groups, n_scenarios=arguments[0].shape[1])
        best = np.argmin(time, axis=1)[:, None]
        boxed = _at(time, best) < PAYS
        n_across, n_along = (np.where(boxed, _at(each.count, best), 0) for each in (across, along))
        forward = np.exp(cloud.middle)
        by_forward = _at(across.by_forward, best) * forward
        by_root = (_at(across.by_root, best) + _at(along.by_root, best)) * np.sqrt(forward)
    highest = arguments[0].max(axis=1)[groups.slice_row][:, None]
    rounding = EPS * (2000 + n_across**2 + len(groups.option) + 20 * abs(np.log(highest)))
    error = np.where(boxed, by_forward, 0.0) + rounding * highest, np.where(boxed, by_root, 0.0), rounding
    counts = (groups.slice_row[:, None], groups.volatility_row[:, None], n_across, n_along, cloud.by_scale)
    box = (cloud.middle, _at(cloud.half, best), cloud.centre, cloud.slope, _at(cloud.width, best), cloud.still)
    return Boxes(counts=np.hstack(counts).astype(np.int64), box=np.hstack(box), error=np.hstack(error).T)


def _cloud(arguments: tuple[Any, ...], groups: Groups) -> _Cloud:
    """Return where a sample of the scenarios is; it decides which box is chosen and no figure."""
    every = slice(None, None, max(arguments[0].shape[1] // SAMPLE, 1))
    x, root = (arguments[n][:, every][groups.slice_row] for n in (1, 3))
    by_scale, by_shift = (arguments[n][:, every][groups.volatility_row] * root for n in (4, 5))
    scaled, shifted = ((other == other[:, :1]).all(axis=1, keepdims=True) for other in (by_shift, by_scale))
    y, still = np.where(scaled, by_scale, by_shift), np.where(scaled, by_shift, by_scale)[:, :1]
    middle, centre = x.mean(axis=1, keepdims=True), y.mean(axis=1, keepdims=True)
    x, y = x - middle, y - centre
    spread = np.sqrt((x * x).mean(axis=1, keepdims=True))
    slope = np.where(spread > NARROWEST, (x * y).mean(axis=1, keepdims=True) / spread**2, 0.0)
    y -= slope * x
    thick = np.sqrt((y * y).mean(axis=1, keepdims=True))
    half, width = np.maximum(spread * REACH, NARROWEST), np.maximum(thick * REACH, NARROWEST)
    away = np.maximum(abs(x) / half[:, :1], abs(y) / width[:, :1])
    beyond = (away[:, None, :] > (REACH / REACH[0])[:, None]).mean(axis=2)
    return _Cloud(
        middle=middle,
        centre=centre,
        slope=slope,
        still=still,
        by_scale=scaled,
        moves=scaled | shifted,
        half=half,
        width=width,
        beyond=beyond,
    )


def _options(volatility: FloatArray, groups: Groups, cloud: _Cloud) -> _Options:
    held, first = volatility[groups.option], groups.start[:, 0]
    low, high = (end.reduceat(held, first)[:, None] for end in (np.minimum, np.maximum))
    scaled = np.minimum(cloud.still / low, cloud.still / high)
    shifted = np.minimum(cloud.still * low, cloud.still * high)
    least = cloud.centre + np.where(cloud.by_scale, scaled, shifted)
    return _Options(low=np.where(cloud.by_scale, low, 1.0), high=np.where(cloud.by_scale, high, 1.0), least=least)


def _across(cloud: _Cloud, options: _Options, accuracy: float) -> _Points:
    """Return the points in xi, on the ellipse that needs the fewest; the last axis here is that of the ellipses."""
    half, room = cloud.half[:, :, None], (options.least - cloud.width)[:, :, None]
    slope, low, high = (each[:, :, None] for each in (abs(cloud.slope), options.low, options.high))
    free = room**2 - (slope * half) ** 2 * np.cosh(2 * ELLIPSES)
    bend = np.where((room > 0.0) & (free > 0.0), (half * np.sinh(ELLIPSES) / low) ** 2 / (2 * free), np.inf)
    far = half * np.cosh(ELLIPSES)  # F is at most exp(far) times that in the middle
    size = np.log(4 * far / -np.expm1(-ELLIPSES))
    by_forward, by_root = size + far, size + far / 2 + bend + np.log(0.5 + DENSITY * slope * high)
    count = _count(np.logaddexp(by_forward, by_root) - np.log(accuracy), ELLIPSES)
    best = np.argmin(count, axis=2)[:, :, None]
    count = 2 * np.ceil(_at(count, best) / 2)
    falls = count * ELLIPSES[best] + np.log(count)
    by_forward, by_root = (np.exp(_at(each, best) - falls)[:, :, 0] for each in (by_forward, by_root))
    return _Points(count=count[:, :, 0], by_forward=by_forward, by_root=by_root)


def _along(cloud: _Cloud, options: _Options, across: FloatArray, accuracy: float) -> _Points:
    """Return the points in eta, on the largest ellipse there is; none where it is too flat."""
    room = np.maximum((options.least - abs(cloud.slope) * cloud.half) / cloud.width, 0.0)
    ellipse = np.arccosh(np.maximum(room**2, 1.0)) / 2
    lebesgue = 1 + 2 / np.pi * np.log(across)
    size = np.log(4 * np.cosh(ellipse) / -np.expm1(-ellipse) * DENSITY * options.high * cloud.width * lebesgue)
    size += cloud.half / 2
    count = np.where(ellipse > ROUNDEST, np.ceil(_count(size - np.log(accuracy), ellipse)), np.inf)
    return _Points(count=count, by_forward=np.zeros_like(count), by_root=np.exp(size - count * ellipse - np.log(count)))


def _count(size: FloatArray, ellipse: FloatArray) -> FloatArray:
    """Return n with exp(size - n ellipse) / n about 1: at least 1, and no more than a little too small."""
    count = np.maximum(size / ellipse, 1.0)
    for _ in range(3):
        count = np.maximum((size - np.log(count)) / ellipse, 1.0)
    return np.where(np.isfinite(size), count, np.inf)


def _time(cloud: _Cloud, across: FloatArray, along: FloatArray, *, groups: Groups, n_scenarios: int) -> FloatArray:
    """Return the time that each box takes, that of pricing every option being 1; no box, infinite."""
    pools = (np.diff(groups.start) > 0).sum(axis=1, keepdims=True)
    read = PER_COEFFICIENT * pools * across * (np.ceil(along / PASS) * PASS)
    time = across * along / n_scenarios + cloud.beyond + read / groups.held
    return np.where(cloud.moves & (across <= MOST_ACROSS) & (along <= MOST_ALONG), time, np.inf)


def _at(values: FloatArray, best: IntArray) -> FloatArray:
    return np.take_along_axis(values, best, axis=-1)
