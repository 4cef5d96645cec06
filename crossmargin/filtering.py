"""Filtered historical simulation: past returns rescaled to the volatility of today.

Call `filtered_returns`; `ewma_volatility` is the exponentially weighted volatility that it scales by. Which decay,
floor and cap to use are parameters of a rule-set.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike

from crossmargin.columns import FloatArray, readonly
from crossmargin.errors import NumericalError, Problem, Problems, suggestion

SCALINGS = ("full", "half")


@frozen(eq=False)
class FilteredReturns:
    """Rescaled returns and the volatilities used, shaped as in `ewma_volatility`; the forecast unfloored."""

    volatility: FloatArray
    forecast_volatility: FloatArray
    scaled: FloatArray


def ewma_volatility(returns: ArrayLike, decay: float, *, seed_days: int = 1) -> tuple[FloatArray, FloatArray]:
    """Return exponentially weighted volatilities and the one beyond the last return.

    `returns` [n_returns] or [n_returns, n_series] are finite, oldest first; each series is filtered alone.
    `decay` in (0, 1) is the weight of yesterday's variance. The volatilities before each return have the
    shape of `returns`, the forecast the shape [] or [n_series]; both are in the unit of the returns.

    Raises
    ------
    InputError
        When there is no return, one is not finite, or `decay` is out of range.

    Notes
    -----
    The variance is seeded with the mean of the first `seed_days` squared returns (fewer where there are fewer), the
    first alone unless given: s2[0] = r[0]**2. Then it runs s2[t] = decay s2[t-1] + (1 - decay) r[t-1]**2, so that but
    for the seed it never sees the return that it is about to scale. One return is a poor seed: where it is next to
    nothing, the returns after it are scaled out of all proportion.

    References
    ----------
    J.P. Morgan/Reuters, RiskMetrics Technical Document, 4th edition (1996), section 5.2.

    Examples
    --------
    >>> volatility, forecast = ewma_volatility([0.01, -0.01, 0.01], 0.97)
    >>> volatility.round(12).tolist(), round(float(forecast), 12)
    ([0.01, 0.01, 0.01], 0.01)
    """
    array = _checked_returns(returns, decay, seed_days)
    # A power of two changes no bit of the result and keeps the squares of tiny or huge returns in range.
    unit = 2.0 ** np.clip(np.frexp(np.abs(array).max(axis=0))[1], -1000, 1000)
    squares = (array / unit) ** 2
    variance = np.empty((array.shape[0] + 1, *array.shape[1:]))
    variance[0] = squares[:seed_days].mean(axis=0)
    for day, square in enumerate(squares):
        variance[day + 1] = decay * variance[day] + (1.0 - decay) * square
    volatility = np.sqrt(variance) * unit
    return volatility[:-1], np.asarray(volatility[-1])


def filtered_returns(
    returns: ArrayLike,
    decay: float,
    *,
    scaling: str = "full",
    volatility_floor: float | None = None,
    ratio_cap: float | None = None,
    seed_days: int = 1,
) -> FilteredReturns:
    """Return past returns rescaled to the volatility of today (filtered historical simulation).

    Parameters
    ----------
    returns, decay, seed_days
        As in `ewma_volatility`. For overlapping h-day changes the volatility filtered is that of the h-day
        change itself: nothing is scaled by the root of time.
    scaling
        `full`: r[t] top / s[t]; `half`: r[t] (1 + top / s[t]) / 2, with top = max(forecast, floor).
    volatility_floor
        Least volatility to scale to, in the unit of the returns.
    ratio_cap
        Largest top / s[t] that is applied.

    Raises
    ------
    InputError
        When there is no return, one is not finite, or a parameter is out of range.
    NumericalError
        When a rescaled return leaves the range of floating-point numbers.

    Notes
    -----
    Where s[t] is zero (nothing but zero returns before) there is nothing to divide by: the ratio is one and
    the return stays as it was.

    References
    ----------
    Hull and White, "Incorporating volatility updating into the historical simulation method for
    value-at-risk", Journal of Risk 1 (1998). Barone-Adesi, Giannopoulos and Vosper, "VaR without
    correlations for portfolios of derivative securities", Journal of Futures Markets 19 (1999).

    Examples
    --------
    >>> result = filtered_returns([0.01, -0.02, 0.01], 0.9, volatility_floor=0.02)
    >>> result.scaled.round(6).tolist()
    [0.02, -0.04, 0.017541]
    """
    problems = Problems()
    problems.extend(filter_problems(scaling, volatility_floor, ratio_cap))
    problems.raise_if_any()
    array = _checked_returns(returns, decay, seed_days)
    volatility, forecast = ewma_volatility(array, decay, seed_days=seed_days)
    top = forecast if volatility_floor is None else np.maximum(forecast, volatility_floor)
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = np.divide(top, volatility, out=np.ones_like(array), where=volatility > 0.0)
        ratio = ratio if ratio_cap is None else np.minimum(ratio, ratio_cap)
        scaled = array * ratio if scaling == "full" else array * (1.0 + ratio) / 2.0
    if not np.isfinite(scaled).all():
        raise NumericalError("A rescaled return is beyond the range of numbers: set ratio_cap.")
    return FilteredReturns(volatility, forecast, scaled)


def decay_problems(decay: float | None) -> Iterable[Problem]:
    """Yield what is wrong with a decay factor."""
    if decay is None or not is_positive(decay) or decay >= 1:
        yield Problem(f"{decay!r} lies outside (0, 1).", "decay", "Give a number such as 0.97.")


def filter_problems(scaling: str, volatility_floor: float | None, ratio_cap: float | None) -> Iterable[Problem]:
    """Yield what is wrong with the other parameters of the filter."""
    if scaling not in SCALINGS:
        yield Problem(f"unknown scaling {scaling!r}.", "scaling", suggestion(str(scaling), SCALINGS))
    if not (volatility_floor is None or volatility_floor == 0 or is_positive(volatility_floor)):
        yield Problem(f"{volatility_floor!r} is no volatility.", "volatility_floor", "Give 0 or more, or None.")
    if not (ratio_cap is None or is_positive(ratio_cap)):
        yield Problem(f"{ratio_cap!r} is no ratio.", "ratio_cap", "Give a number above 0, or None.")


def is_positive(value: object) -> bool:
    """Return whether a value is a finite number above zero."""
    return isinstance(value, int | float) and isfinite(value) and value > 0


def seed_problems(seed_days: int) -> Iterable[Problem]:
    """Yield what is wrong with the number of returns that seed the variance."""
    count: object = seed_days
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        yield Problem(f"{seed_days!r} is no count of days.", "seed_days", "Give 1 or more.")


def _checked_returns(returns: ArrayLike, decay: float, seed_days: int) -> FloatArray:
    problems = Problems()
    problems.extend(decay_problems(decay))
    problems.extend(seed_problems(seed_days))
    array = readonly(returns)
    if array.ndim not in (1, 2) or not array.size:
        problems.add(f"have shape {array.shape}.", where="returns", fix="Give at least one return.")
    elif bad := int((~np.isfinite(array)).sum()):
        problems.add(f"{bad} are not finite.", where="returns", fix="Fill or drop them first.")
    problems.raise_if_any()
    return array
