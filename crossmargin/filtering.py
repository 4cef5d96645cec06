"""Filtered historical simulation: past returns rescaled to the volatility of today, and to its correlations.

Call `filtered_returns`, and on its result `correlation_scaled`; `ewma_volatility` and `ewma_correlation` are the
exponentially weighted figures that they scale to. Which decay, floor and cap to use are parameters of a rule-set.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from math import isfinite

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike

from crossmargin.columns import FloatArray, as_texts, readonly
from crossmargin.errors import InputError, NumericalError, Problem, Problems, is_count, suggestion

SCALINGS = ("full", "half")
_LOST = 1e-150  # the root of a weight that double precision cannot square


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
    variance = _recursion(squares[:seed_days].mean(axis=0), (1.0 - decay) * squares, decay)
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


@frozen
class CorrelationScaling:
    """How past changes take on the correlations of today: see `correlation_scaled`.

    Parameters
    ----------
    decay
        In (0, 1): weight of yesterday in the correlations of today.
    shrinkage
        In [0, 1]: share of the look-back's own correlations in those of today. At 1 nothing changes.
    floor
        In (0, 1): share of no correlation at all in both, and so the least eigenvalue of either. It keeps them positive
        definite when factors move together, or are more than the changes.
    tickers
        Whose prices and volatilities are scaled together with the yields. A list, and not what happens to be held: the
        scenarios of one book must not depend on what stands in another.

    Raises
    ------
    InputError
        Listing every parameter out of range.
    """

    decay: float
    shrinkage: float = 0.0
    floor: float = 1e-6
    tickers: tuple[str, ...] = field(default=(), converter=as_texts)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        problems.extend(decay_problems(self.decay))
        if self.shrinkage != 0 and not (is_positive(self.shrinkage) and self.shrinkage <= 1):
            problems.add(f"{self.shrinkage!r} lies outside [0, 1].", where="shrinkage", fix="Give a share.")
        if not is_positive(self.floor) or self.floor >= 1:
            problems.add(f"{self.floor!r} lies outside (0, 1).", where="floor", fix="Give a small share.")
        problems.raise_if_any("Correlations cannot be scaled")


def ewma_correlation(changes: ArrayLike, decay: float) -> FloatArray:
    """Return the exponentially weighted correlations [n_series, n_series] of `changes` [n_changes, n_series].

    `decay` in (0, 1) is the weight of the day before, and the last change weighs most. Means are taken as zero, as
    volatilities take them. A series that never moves, or has not for so long that its weight is lost, has no
    correlation with any other. Symmetric, of unit diagonal, and no eigenvalue below zero but for rounding.

    Raises
    ------
    InputError
        When there is no change, one is not finite, or `decay` is out of range.

    References
    ----------
    J.P. Morgan/Reuters, RiskMetrics Technical Document, 4th edition (1996), section 5.2.

    Examples
    --------
    >>> ewma_correlation([[2.0, 2.0], [1.0, -1.0]], 0.5).round(6).tolist()  # 2 * 2 at a half, 1 * -1 in full
    [[1.0, 0.333333], [0.333333, 1.0]]
    """
    array = _checked_matrix(changes)
    problems = Problems()
    problems.extend(decay_problems(decay))
    problems.raise_if_any()
    unit, _ = _in_units(array)
    return _correlation(unit, decay)


def correlation_scaled(changes: ArrayLike, scaling: CorrelationScaling, *, leading: int = 0) -> FloatArray:
    """Return past changes with the correlations of today; the size of each series stays what it was.

    Parameters
    ----------
    changes
        Shape [n_changes, n_series], finite, oldest first, already at the volatility of today (`filtered_returns`).
    scaling
        Decay, shrinkage and floor.
    leading
        The first so many series are scaled among themselves, as if they stood alone, and the others given them: which
        others there are changes nothing of the leading ones.

    Returns
    -------
    array [n_changes, n_series]
        In the unit of `changes`. The root mean square of every series is unchanged.

    Raises
    ------
    InputError
        When there is no change, one is not finite, or `leading` is out of range.

    Notes
    -----
    In units of its root mean square let z[t] be the changes of one date, C the mean of z z' over the look-back and D
    their exponentially weighted correlations, with (1 - shrinkage) D + shrinkage C in place of D and then
    (1 - floor) X + floor I in place of either. The result is D^(1/2) C^(-1/2) z[t], in the old units; roots are the
    symmetric ones, which do not depend on the order of the series and stay closest to them. With `leading` series y
    and others x, the part of x that C explains by y is replaced by what D explains by the new y, and the residuals are
    scaled among themselves in the same way: a block of Cholesky's root.

    Where the correlations of today are those of the look-back nothing changes.

    References
    ----------
    Duffie and Pan, "An overview of value at risk", Journal of Derivatives 4 (1997), on updating past returns for the
    covariances of today (recalled, not read again). Kessy, Lewin and Strimmer, "Optimal whitening and decorrelation",
    The American Statistician 72 (2018), on the symmetric root. CME Group, SPAN 2 methodology, names volatility and
    correlation scaling, without a formula.

    Examples
    --------
    Uncorrelated over four days; of late the two moved apart, so that moving together shrinks and moving apart grows:

    >>> past = [[1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [1.0, -1.0]]
    >>> correlation_scaled(past, CorrelationScaling(0.5, floor=0.25)).round(4).tolist()
    [[0.866, 0.866], [1.118, -1.118], [0.866, 0.866], [1.118, -1.118]]
    """
    array = _checked_matrix(changes)
    if not 0 <= leading <= array.shape[1]:
        fix = f"Give a number from 0 to {array.shape[1]}."
        raise InputError([Problem(f"{leading!r} of {array.shape[1]} series.", "leading", fix)])
    units, size = _in_units(array)
    then, now = units.T @ units / len(units), _correlation(units, scaling.decay)
    now = (1.0 - scaling.shrinkage) * now + scaling.shrinkage * then
    alone = scaling.floor * np.eye(len(now))
    scaled = _recorrelated(units, *((1.0 - scaling.floor) * each + alone for each in (then, now)), leading=leading)
    grown = np.sqrt(np.mean(scaled**2, axis=0))
    result: FloatArray = np.divide(scaled, grown, out=units, where=grown > 0.0) * size
    return result


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
    if not is_count(seed_days):
        yield Problem(f"{seed_days!r} is no count of days.", "seed_days", "Give 1 or more.")


def _recursion(seed: FloatArray, steps: FloatArray, decay: float) -> FloatArray:
    """Return seed, then x -> decay x + step for each of `steps` [n, ...]: shape [n + 1, ...]."""
    if steps.ndim == 1:  # numbers of Python's own take a tenth of the time, and the same bits
        return np.array(list(accumulate(steps.tolist(), lambda x, step: decay * x + step, initial=float(seed))))
    found = np.empty((len(steps) + 1, *steps.shape[1:]))
    found[0] = seed
    for day, step in enumerate(steps):
        np.multiply(found[day], decay, out=found[day + 1])
        found[day + 1] += step
    return found


def _in_units(array: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return series in units of their root mean square, and that; a series of zeros stays one."""
    largest = np.abs(array).max(axis=0)
    units = np.divide(array, largest, out=np.zeros_like(array), where=largest > 0.0)  # squares keep in range
    mean = np.sqrt(np.mean(units**2, axis=0))
    return np.divide(units, mean, out=units, where=mean > 0.0), mean * largest


def _correlation(units: FloatArray, decay: float) -> FloatArray:
    weights = decay ** np.arange(len(units) - 1.0, -1.0, -1.0)
    weighted = units * np.sqrt(weights / weights.sum())[:, None]
    size = np.sqrt(np.sum(weighted**2, axis=0))
    weighted = np.divide(weighted, size, out=np.zeros_like(weighted), where=size > _LOST)
    found: FloatArray = np.clip(weighted.T @ weighted, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def _recorrelated(units: FloatArray, then: FloatArray, now: FloatArray, *, leading: int) -> FloatArray:
    """Return `units` [n, m], of correlations `then`, with the correlations `now`: the leading ones, the others."""
    first, rest = slice(0, leading), slice(leading, None)
    if not leading:
        result: FloatArray = units @ _root(then, inverse=True) @ _root(now)
        return result
    ahead = _recorrelated(units[:, first], then[first, first], now[first, first], leading=0)
    (was, left), (becomes, remains) = (_explained(each, leading) for each in (then, now))
    residual = _recorrelated(units[:, rest] - units[:, first] @ was, left, remains, leading=0)
    return np.hstack([ahead, ahead @ becomes + residual])


def _explained(matrix: FloatArray, leading: int) -> tuple[FloatArray, FloatArray]:
    """Return the weights [leading, others] by which the leading series explain the others, and what they leave."""
    first, rest = slice(0, leading), slice(leading, None)
    by = np.asarray(np.linalg.solve(matrix[first, first], matrix[first, rest]), dtype=np.float64)
    return by, matrix[rest, rest] - matrix[rest, first] @ by


def _root(matrix: FloatArray, *, inverse: bool = False) -> FloatArray:
    """Return the symmetric square root of a positive definite matrix, or of its inverse."""
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, np.finfo(np.float64).eps)  # what rounding leaves of a small one
    root: FloatArray = (vectors * values ** (-0.5 if inverse else 0.5)) @ vectors.T
    return root


def _checked_matrix(changes: ArrayLike) -> FloatArray:
    array = readonly(changes)
    problems = Problems()
    if array.ndim != 2 or not array.size:
        problems.add(f"have shape {array.shape}.", where="changes", fix="Give [n_changes, n_series], one at least.")
    elif bad := int((~np.isfinite(array)).sum()):
        problems.add(f"{bad} are not finite.", where="changes", fix="Fill or drop them first.")
    problems.raise_if_any()
    return array


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
