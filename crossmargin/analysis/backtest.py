"""Back-tests of a margin model: too many exceptions, exceptions in clusters, margin that moves with the market.

Mark the days with `exceptions(pnl, margin)`, then call `kupiec`, `kupiec_range`, `traffic_light` or
`christoffersen`; `procyclicality` looks at the margin series alone. Nothing here revalues a portfolio or
decides that a model is good: an accepted test says that the data do not speak against it.
"""

from __future__ import annotations

from bisect import bisect_left
from math import erfc, exp, isfinite, log, log1p, sqrt
from numbers import Integral, Real
from typing import Literal

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.errors import InputError, NumericalError, Problem, Problems, counted

Zone = Literal["green", "yellow", "red"]


@frozen
class CoverageTest:
    """Likelihood ratio of the proportion of failures, chi-square with one degree of freedom, and its p-value."""

    likelihood_ratio: float
    p_value: float


@frozen
class AcceptedRange:
    """Smallest and largest count of exceptions that the coverage test accepts; None when it accepts none."""

    minimum: int | None
    maximum: int | None


@frozen
class ClusterTest:
    """Ratios and p-values; `transitions[a][b]` counts days of state a before days of state b, 1 = exception."""

    transitions: tuple[tuple[int, int], tuple[int, int]]
    unconditional: CoverageTest
    independence: CoverageTest
    conditional: CoverageTest


@frozen
class TrafficLight:
    """Zone of a count of exceptions x, with P(X <= x) and P(X >= x) if the model covers as it claims."""

    zone: Zone
    cumulative_probability: float
    probability_at_least: float


@frozen
class Procyclicality:
    """Largest over smallest margin, and the largest ratio of margin to that `horizon_days` earlier."""

    peak_to_trough: float
    largest_increase_ratio: float


def exceptions(pnl: ArrayLike, margin: ArrayLike) -> NDArray[np.bool_]:
    """Return on which days the loss went beyond the margin.

    Parameters
    ----------
    pnl : array [n_days]
        Realised over the horizon of the model, USD, gain > 0.
    margin : array [n_days] or float
        Requirement that stood against it, USD, >= 0. A loss of exactly the margin is covered.

    Raises
    ------
    InputError
        Other shapes, a value that is not finite, a negative margin.

    Examples
    --------
    >>> exceptions([-3.0, 1.0, -7.0], 5.0).tolist()
    [False, False, True]
    """
    problems = Problems()
    gains, posted = _series(pnl, "pnl", problems), _numbers(margin, "margin", problems)
    if posted.shape not in ((), gains.shape):
        problems.add(f"has shape {posted.shape}, pnl {gains.shape}.", where="margin", fix="Give one for each day.")
    if not np.isfinite(posted).all() or (posted < 0.0).any():
        problems.add("holds a value that is negative or not finite.", where="margin", fix="Give USD, >= 0.")
    problems.raise_if_any()
    return np.asarray(-gains > posted)


def kupiec(observations: int, exceptions: int, probability: float) -> CoverageTest:
    """Return the likelihood ratio of `exceptions` in `observations` days, each of `probability`, and its p-value.

    A low p-value speaks against the model, whether it covers too little or too much.

    Raises
    ------
    InputError
        No day, more exceptions than days, counts that are not whole, a probability outside (0, 1).

    References
    ----------
    Kupiec (1995), Techniques for verifying the accuracy of risk measurement models, Journal of Derivatives 3(2).

    Examples
    --------
    >>> test = kupiec(250, 1, 0.01)
    >>> round(test.likelihood_ratio, 6), round(test.p_value, 6)
    (1.176491, 0.278071)
    """
    _check(probability=probability, observations=observations, exceptions=exceptions)
    return _chi_square(_coverage_ratio(observations, exceptions, probability))


def kupiec_range(observations: int, probability: float, confidence: float) -> AcceptedRange:
    """Return the counts of exceptions that `kupiec` accepts: those whose p-value exceeds `1 - confidence`.

    Raises
    ------
    InputError
        As `kupiec`; a confidence outside (0, 1).

    Examples
    --------
    >>> kupiec_range(250, 0.01, 0.95)
    AcceptedRange(minimum=1, maximum=6)
    """
    from scipy.special import chdtri

    _check(probability=probability, observations=observations, confidence=confidence)
    limit = float(chdtri(1, 1.0 - confidence))
    # The ratio falls up to the expected count and rises from there: each side is searched by halving.
    middle = int(observations * probability)
    below, above = range(middle + 1), range(middle, observations + 1)

    def accepted(count: int) -> bool:
        return _coverage_ratio(observations, count, probability) < limit

    nearest = next((count for count in (middle, min(middle + 1, observations)) if accepted(count)), None)
    if nearest is None:
        return AcceptedRange(None, None)
    least = bisect_left(below, x=True, key=accepted) if accepted(middle) else nearest
    beyond = bisect_left(above, x=True, lo=nearest - middle, key=lambda count: not accepted(count))
    return AcceptedRange(least, middle + beyond - 1)


def kupiec_power(observations: int, probability: float, actual: float, *, confidence: float = 0.95) -> float:
    """Return the chance that `kupiec` speaks against a model whose exceptions have probability `actual`.

    Far below 1 there are too few days: that nothing speaks against the model says little.

    Parameters
    ----------
    probability : float
        Of an exception, as the model claims.
    actual : float
        Of an exception, in truth.
    confidence : float
        The test speaks against the model when its p-value does not exceed one less this.

    Raises
    ------
    InputError
        As `kupiec_range`; an actual probability outside (0, 1).

    References
    ----------
    Kupiec (1995), who shows how little power the test has.

    Examples
    --------
    >>> [round(kupiec_power(days, 0.01, 0.03), 2) for days in (60, 250, 1000)]
    [0.27, 0.63, 1.0]
    """
    from scipy.special import bdtr

    _check(observations=observations, actual=actual)
    accepted = kupiec_range(observations, probability, confidence)
    if accepted.minimum is None or accepted.maximum is None:
        return 1.0
    below = float(bdtr(accepted.minimum - 1, observations, actual)) if accepted.minimum else 0.0
    return below + 1.0 - float(bdtr(accepted.maximum, observations, actual))


def christoffersen(hits: ArrayLike, probability: float) -> ClusterTest:
    """Return the tests of coverage, of independence from day to day, and of both together.

    Parameters
    ----------
    hits : array of bool [n_days]
        Whether each day was an exception, oldest first (see `exceptions`).
    probability : float
        Of an exception, as the model claims: 1 - confidence.

    Raises
    ------
    InputError
        No day, values other than true and false, a probability outside (0, 1).

    Notes
    -----
    Coverage is tested on all days, independence on the steps between them; their ratios add up to the conditional
    one, chi-square with two degrees of freedom. Where one state never occurs, nothing speaks against independence.

    References
    ----------
    Christoffersen (1998), Evaluating interval forecasts, International Economic Review 39.

    Examples
    --------
    >>> christoffersen([False, True, True, False], 0.25).transitions
    ((0, 1), (1, 1))
    """
    days = _days(hits)
    _check(probability=probability, observations=days.size)
    before, after = days[:-1], days[1:]
    (n00, n01), (n10, n11) = counts = _pairs(before, after)
    pooled, hit = n00 + n01 + n10 + n11, n01 + n11
    ratio = _fit(n00 + n01, n01) + _fit(n10 + n11, n11) - _fit(pooled, hit)
    coverage = _coverage_ratio(days.size, int(days.sum()), probability)
    independence = max(0.0, 2.0 * ratio)
    both = coverage + independence
    return ClusterTest(counts, _chi_square(coverage), _chi_square(independence), CoverageTest(both, exp(-both / 2.0)))


def traffic_light(
    observations: int,
    exceptions: int,
    probability: float,
    *,
    yellow_from: float = 0.95,
    red_from: float = 0.9999,
) -> TrafficLight:
    """Return the zone in which a count of exceptions puts a model.

    Green while the probability of that many exceptions or fewer is below `yellow_from`, red from `red_from` on.

    Raises
    ------
    InputError
        As `kupiec`; boundaries that are not increasing within (0, 1).

    References
    ----------
    Basel Committee on Banking Supervision (1996), Supervisory framework for the use of "backtesting" in conjunction
    with the internal models approach, which gives both boundaries.

    Examples
    --------
    >>> [traffic_light(250, count, 0.01).zone for count in (4, 5, 10)]
    ['green', 'yellow', 'red']
    """
    from scipy.special import betainc

    _check(
        probability=probability,
        observations=observations,
        exceptions=exceptions,
        yellow_from=yellow_from,
        red_from=red_from,
    )
    if yellow_from >= red_from:
        fix = "Give increasing boundaries."
        raise InputError([Problem(f"{yellow_from!r} is not below red_from {red_from!r}.", "yellow_from", fix)])
    n, x = observations, exceptions
    at_most = float(betainc(n - x, x + 1, 1.0 - probability)) if x < n else 1.0
    at_least = float(betainc(x, n - x + 1, probability)) if x else 1.0
    zone: Zone = "green" if at_most < yellow_from else "yellow" if at_most < red_from else "red"
    return TrafficLight(zone, at_most, at_least)


def procyclicality(margins: ArrayLike, horizon_days: int) -> Procyclicality:
    """Return how far margin of an unchanged portfolio swings, over the series and within `horizon_days`.

    Parameters
    ----------
    margins : array [n_days]
        Daily requirement of one unchanged portfolio, USD, > 0, oldest first.
    horizon_days : int
        Days over which an increase is measured; a ratio below 1 means that margin only ever fell.

    Raises
    ------
    InputError
        Margins that are not positive and finite (a ratio to nothing says nothing), or no more days than the horizon.
    NumericalError
        A ratio beyond the range of numbers.

    References
    ----------
    Murphy, Vasios and Vause (2014), An investigation into the procyclicality of risk-based initial margin models,
    Bank of England Financial Stability Paper 29.

    Examples
    --------
    >>> procyclicality([100.0, 150.0, 120.0], 1)
    Procyclicality(peak_to_trough=1.5, largest_increase_ratio=1.5)
    """
    problems = Problems()
    series = _series(margins, "margins", problems)
    if not len(problems) and (series <= 0.0).any():
        problems.add(f"{int((series <= 0.0).sum())} are not above 0.", where="margins", fix="Leave out days without.")
    if _whole(horizon_days) is None or not 1 <= horizon_days < max(series.size, 2):
        fix = f"Give a whole number from 1 to {max(series.size - 1, 1)}; one day more than the horizon is needed."
        problems.add(f"{horizon_days!r} does not fit {counted(series.size, 'day')}.", where="horizon_days", fix=fix)
    elif series.size == 1:
        problems.add("one day shows no increase.", where="margins", fix="Give two days or more.")
    problems.raise_if_any()
    with np.errstate(over="ignore"):
        swing, increase = series.max() / series.min(), (series[horizon_days:] / series[:-horizon_days]).max()
    if not (isfinite(swing) and isfinite(increase)):
        raise NumericalError("A ratio of margins is beyond the range of numbers.")
    return Procyclicality(float(swing), float(increase))


def _coverage_ratio(observations: int, exceptions: int, probability: float) -> float:
    """Return -2 log of the likelihood at `probability` over that at the observed share, never below 0."""
    cells = ((exceptions, log(probability)), (observations - exceptions, log1p(-probability)))
    return max(0.0, 2.0 * sum(count * (log(count / observations) - expected) for count, expected in cells if count))


def _fit(trials: int, hits: int) -> float:
    """Return the log-likelihood of `hits` in `trials` at their own share, with 0 log 0 = 0."""
    return sum(count * log(count / trials) for count in (hits, trials - hits) if count)


def _chi_square(ratio: float) -> CoverageTest:
    """Return a ratio with its p-value at one degree of freedom."""
    return CoverageTest(ratio, erfc(sqrt(ratio / 2.0)))


def _pairs(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[int, int]]:
    n11 = int((before & after).sum())
    n10, n01 = int(before.sum()) - n11, int(after.sum()) - n11
    return (before.size - n11 - n10 - n01, n01), (n10, n11)


def _days(hits: ArrayLike) -> NDArray[np.bool_]:
    problems, days = Problems(), np.asarray(hits)
    if days.ndim != 1 or not days.size:
        problems.add(f"have shape {days.shape}.", where="hits", fix="Give one flag for each day.")
    elif days.dtype != bool and not np.isin(days, (0, 1)).all():
        problems.add("are not all true or false.", where="hits", fix="Mark each day, do not list the days' numbers.")
    problems.raise_if_any()
    return days.astype(bool)


def _series(values: ArrayLike, where: str, problems: Problems) -> NDArray[np.float64]:
    array = _numbers(values, where, problems)
    if array.ndim != 1 or not array.size:
        problems.add(f"have shape {array.shape}.", where=where, fix="Give one number for each day.")
    elif bad := int((~np.isfinite(array)).sum()):
        problems.add(f"{bad} are not finite.", where=where, fix="Fill or drop these days by a stated rule.")
    return array.reshape(-1)


def _numbers(values: ArrayLike, where: str, problems: Problems) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        problems.add(f"not an array of numbers ({error}).", where=where)
        return np.empty(0)


def _whole(value: object) -> int | None:
    return int(value) if not isinstance(value, bool) and isinstance(value, Integral) else None


def _is_share(value: object) -> bool:
    return isinstance(value, Real) and 0.0 < float(value) < 1.0


def _check(*, observations: object, exceptions: object = 0, **shares: object) -> None:
    """Raise for counts that are no counts and for shares that do not lie strictly between 0 and 1."""
    problems = Problems()
    days, count = _whole(observations), _whole(exceptions)
    if days is None or days < 1:
        problems.add(f"{observations!r} is no number of days.", where="observations", fix="Give 1 or more.")
    elif count is None or not 0 <= count <= days:
        fix = f"Give a whole number from 0 to {days}."
        problems.add(f"{exceptions!r} is no count of exceptions.", where="exceptions", fix=fix)
    for name, value in shares.items():
        if not _is_share(value):
            problems.add(f"{value!r} is out of range.", where=name, fix="Give a number strictly between 0 and 1.")
    problems.raise_if_any()
