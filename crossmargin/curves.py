"""Par yields to discount factors: the exact bootstrap, its inverse, and interpolation between knots.

Call `zero_rates` with quoted par yields of one curve or of thousands; `discount_factors` reads the result
at any time. Every operation is elementwise along the curves, so a curve gives the same bits alone as in a
crowd. Times are years by Act/365 (fixed) from the market's date (`year_fractions`).

Not here: fitting or smoothing, day counts of products, shifts (`scenarios.py`), revaluation (`pnl.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import numpy.typing as npt

from crossmargin.errors import NumericalError, Problems, counted

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DAYS_PER_YEAR = 365.0  # Act/365 (fixed)
HALF_YEAR = 0.5  # a Treasury pays twice a year; up to here a yield is simple


def zero_rates(tenors: FloatArray, par: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return knots and zero rates that reprice par bonds at par, curve by curve.

    Parameters
    ----------
    tenors : array [n_tenors]
        Quoted maturities in years, above zero and increasing.
    par : array [n_tenors, n_curves]
        Par yields as decimals, semiannual bond-equivalent.

    Returns
    -------
    knots : array [n_knots]
        The quoted tenors below half a year, then every half-year up to the last tenor.
    zeros : array [n_knots, n_curves]
        Zero rates as decimals, continuously compounded.

    Raises
    ------
    InputError
        Tenors out of order, shapes that disagree, yields that are not finite.
    NumericalError
        A discount factor is not positive: the curve index and the time are named.

    Notes
    -----
    Between quotes the par yield is linear in maturity; before the first quote it is flat. Up to half a year
    the yield is simple, DF = 1 / (1 + y t); beyond, DF_n = (1 - c/2 (DF_1 + .. + DF_{n-1})) / (1 + c/2).

    References
    ----------
    US Department of the Treasury, "Treasury Yield Curve Methodology": par yields are semiannual
    bond-equivalent. Hull, "Options, Futures, and Other Derivatives", chapter "Interest rates": the bootstrap.

    Examples
    --------
    >>> knots, zeros = zero_rates(np.array([0.5, 10.0]), np.array([[0.04], [0.04]]))
    >>> len(knots), round(float(zeros[-1, 0]), 6)  # 2 ln(1.02) at every knot
    (20, 0.039605)
    """
    tenors, par = np.asarray(tenors, dtype=np.float64), np.asarray(par, dtype=np.float64)
    _check_quotes(tenors, par)
    knots = knot_times(tenors)
    factors = _bootstrap(knots, interpolate(tenors, par, knots))
    _check_factors(knots, factors)
    return knots, -np.log(factors) / knots[:, None]


def knot_times(tenors: FloatArray) -> FloatArray:
    """Return the times [n_knots] in years at which `zero_rates` places its knots.

    Examples
    --------
    >>> knot_times(np.array([0.25, 2.0]))
    array([0.25, 0.5 , 1.  , 1.5 , 2.  ])
    """
    half_years = np.arange(1, np.floor(2.0 * tenors[-1]) + 1.0) / 2.0
    return np.concatenate([tenors[tenors < HALF_YEAR], half_years])


def interpolate(tenors: FloatArray, values: FloatArray, at: FloatArray) -> FloatArray:
    """Return `values` [n_tenors, n_curves] read linearly at `at` [n_at], flat outside: [n_at, n_curves].

    Examples
    --------
    >>> interpolate(np.array([1.0, 3.0]), np.array([[0.02], [0.04]]), np.array([0.5, 2.0, 9.0])).ravel()
    array([0.02, 0.03, 0.04])
    """
    left = np.clip(np.searchsorted(tenors, at, side="right") - 1, 0, len(tenors) - 1)
    right = np.minimum(left + 1, len(tenors) - 1)
    span = np.where(right > left, tenors[right] - tenors[left], 1.0)
    weight = np.clip((at - tenors[left]) / span, 0.0, 1.0)
    # this form returns a quote untouched at its own tenor and keeps a flat curve flat to the last bit
    return values[left] + weight[:, None] * (values[right] - values[left])


def exponent_weights(knots: FloatArray, times: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return which two knots, and how much of each one's `zero * time`, make the exponent at each time.

    -ln DF is linear between knots; before the first and beyond the last the zero rate is that knot's.

    Returns
    -------
    nodes : array [2, n_times]
        Index of the knot on the left and on the right.
    weights : array [2, n_times]
        Their weights; both zero at time zero, where the discount factor is 1.

    Raises
    ------
    InputError
        A time is negative or not finite.
    """
    _check_times(times)
    left = np.clip(np.searchsorted(knots, times, side="right") - 1, 0, len(knots) - 1)
    right = np.minimum(left + 1, len(knots) - 1)
    span = np.where(right > left, knots[right] - knots[left], 1.0)
    share = np.where(right > left, (times - knots[left]) / span, 0.0)
    outside = (times < knots[0]) | (times > knots[-1])
    weights = np.where(outside, np.stack([times / knots[left], 0.0 * times]), np.stack([1.0 - share, share]))
    return np.stack([left, right]).astype(np.int64), weights


def discount_factors(knots: FloatArray, zeros: FloatArray, times: FloatArray) -> FloatArray:
    """Return discount factors [n_times, n_curves]: log-linear between knots, flat zero rate outside them.

    Parameters
    ----------
    knots : array [n_knots]
        Years, increasing and above zero.
    zeros : array [n_knots, n_curves]
        Continuously compounded zero rates as decimals.
    times : array [n_times]
        Years from today, zero or more.

    Examples
    --------
    >>> knots, zeros = np.array([1.0, 2.0]), np.array([[0.05], [0.05]])
    >>> discount_factors(knots, zeros, np.array([0.0, 1.0])).ravel().round(6)
    array([1.      , 0.951229])
    """
    nodes, weights = exponent_weights(knots, np.asarray(times, dtype=np.float64))
    exponents = zeros * knots[:, None]
    left, right = exponents[nodes[0]], exponents[nodes[1]]
    factors: FloatArray = np.exp(-(weights[0][:, None] * left + weights[1][:, None] * right))
    return factors


def par_yield(knots: FloatArray, zeros: FloatArray, maturity: float) -> FloatArray:
    """Return the par yield [n_curves] of a bond of that maturity in years.

    A decimal, semiannual bond-equivalent. The inverse of `zero_rates` at its knots. Off the half-year grid
    the first period is short and the seller's share of its coupon, linear in time, is paid on top of par.

    Examples
    --------
    >>> par_yield(*zero_rates(np.array([1.0, 5.0]), np.array([[0.03], [0.04]])), 5.0).round(12)
    array([0.04])
    """
    if maturity <= HALF_YEAR:
        simple: FloatArray = 1.0 / discount_factors(knots, zeros, np.array([maturity]))[0] - 1.0
        return simple / maturity
    count = int(np.ceil(2.0 * maturity))
    times = maturity - np.arange(count - 1, -1, -1) / 2.0
    factors = discount_factors(knots, zeros, times)
    accrued_share = 1.0 - 2.0 * times[0]
    coupon: FloatArray = 2.0 * (1.0 - factors[-1]) / (factors.sum(axis=0) - accrued_share)
    return coupon


def year_fractions(as_of: date, dates: Sequence[date]) -> FloatArray:
    """Return years [n_dates] from `as_of` by Act/365 (fixed); negative for dates before it.

    Examples
    --------
    >>> year_fractions(date(2026, 6, 30), [date(2027, 6, 30)])
    array([1.])
    """
    start = as_of.toordinal()
    return np.array([day.toordinal() - start for day in dates], dtype=np.float64) / DAYS_PER_YEAR


def _bootstrap(knots: FloatArray, par: FloatArray) -> FloatArray:
    """Return discount factors [n_knots, n_curves]; the caller looks for what is no number."""
    factors = np.empty_like(par)
    annuity = np.zeros(par.shape[1])
    with np.errstate(all="ignore"):
        for n, knot in enumerate(knots):
            if knot < HALF_YEAR:
                factors[n] = 1.0 / (1.0 + par[n] * knot)
                continue
            half_coupon = 0.5 * par[n]
            factors[n] = (1.0 - half_coupon * annuity) / (1.0 + half_coupon)
            annuity = annuity + factors[n]
    return factors


def _check_factors(knots: FloatArray, factors: FloatArray) -> None:
    wrong = ~(np.isfinite(factors) & (factors > 0.0))
    if not wrong.any():
        return
    curve = int(np.argmax(wrong.any(axis=0)))
    knot = int(np.argmax(wrong[:, curve]))
    count = int(wrong.any(axis=0).sum())
    raise NumericalError(
        f"curve {curve}: the discount factor at {knots[knot]:g} years is {factors[knot, curve]:g}, not a "
        f"positive number ({count} of {factors.shape[1]} curves fail). Look at the par yields up to that "
        "tenor: they must be decimals (0.0425) and not so high that no bond can be at par."
    )


def _check_quotes(tenors: FloatArray, par: FloatArray) -> None:
    problems = Problems()
    if tenors.ndim != 1 or not tenors.size or not np.isfinite(tenors).all() or not (tenors > 0).all():
        problems.add("tenors are not a list of years above zero", where="tenors", fix="Give at least one.")
    elif (np.diff(tenors) <= 0).any():
        problems.add("tenors do not increase", where="tenors", fix="Sort them and drop duplicates.")
    if par.ndim != 2 or par.shape[0] != tenors.size:
        problems.add(f"shape {par.shape} is not [{tenors.size} tenors, n_curves]", where="par")
    elif not np.isfinite(par).all():
        tenor, curve = (int(index[0]) for index in np.nonzero(~np.isfinite(par)))
        where = f"par, tenor index {tenor}, curve {curve}"
        what = f"{counted((~np.isfinite(par)).sum(), 'yield')} not finite"
        problems.add(what, where=where, fix="Fill or drop them.")
    problems.raise_if_any("cannot build zero curves")


def _check_times(times: FloatArray) -> None:
    if (np.isfinite(times) & (times >= 0.0)).all():
        return
    problems = Problems()
    first = int(np.argmax(~(np.isfinite(times) & (times >= 0.0))))
    problems.add(f"time {times[first]} is not zero or more", where=f"times[{first}]", fix="Drop past dates.")
    problems.raise_if_any("cannot discount")
