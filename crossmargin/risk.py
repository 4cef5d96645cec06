"""Tail measures of simulated profit and loss, what each position adds to them, and how sure they are.

Call `value_at_risk` or `expected_shortfall` on profit and loss [..., n_scenarios], or build a `TailMeasure`,
which names its estimator as data so that a rule-set can choose one. `TailMeasure.contributions` and
`euler_contributions` divide a measure among instruments. The formulas that combine such figures (`blend` and
its neighbours) live in `combining`. Nothing here reprices, reads a rule or holds a regulatory number.

Signs: `pnl` counts gains > 0, `losses` count losses > 0, and every measure is a loss in the unit of its input
(USD). A measure is negative when even the tail gains: a floor at zero is the caller's decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor, sqrt
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.errors import InputError, NumericalError, Problem, Problems, counted, suggestion

FloatArray: TypeAlias = NDArray[np.float64]
TailValue: TypeAlias = float | FloatArray

# Accumulated weights are sums of rounded numbers: a weight that is reached to within this counts as reached.
_WEIGHT_REACHED = Fraction(1, 10**9)

# Decimals of up to six places, and simple fractions such as 2/3, are recovered exactly from their float.
_LARGEST_DENOMINATOR = 10**9

_NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "kth_worst": ("k",),
        "mean_of_k_worst": ("k",),
        "quantile": ("confidence", "quantile_type"),
        "weighted_quantile": ("confidence",),
        "tail_mean": ("confidence",),
    }
)
_RANGES: Mapping[str, str] = MappingProxyType(
    {
        "confidence": "a number strictly between 0 and 1, such as 0.99",
        "k": "a whole number of at least 1",
        "quantile_type": "a whole number from 1 to 9",
    }
)
ESTIMATORS: tuple[str, ...] = tuple(_NEEDS)
_WEIGHTED = ("weighted_quantile", "tail_mean")


@frozen
class _Ranks:
    """The order statistics, from the worst loss on, that a measure averages: `multiples / total`."""

    first: int
    multiples: tuple[float, ...]
    total: float

    @property
    def last(self) -> int:
        """The mildest rank used."""
        return self.first + len(self.multiples) - 1


@frozen
class TailMeasure:
    """One number from the tail of a distribution of losses, chosen as data.

    Parameters
    ----------
    estimator
        `kth_worst`, `mean_of_k_worst`, `quantile`, `weighted_quantile` (from the worst on, the first loss at
        which `1 - confidence` of weight is reached, to within 1e-9) or `tail_mean` (the mean of that weight).
    confidence
        Probability strictly between 0 and 1, as in 0.99; for the last three estimators. A float stands for
        the simple fraction next to it, so that 250 scenarios at 0.98 have exactly five in the tail.
    k
        Number of worst losses, for the first two estimators.
    quantile_type
        1 to 9 as numbered by Hyndman and Fan, for `quantile`: 1 inverse of the distribution function, 2 the
        same with averaging at jumps, 3 nearest even, 4 to 9 interpolated.

    Raises
    ------
    InputError
        If the estimator is unknown, or a parameter is missing, out of range or of no use to the estimator.

    References
    ----------
    Hyndman and Fan (1996), Sample quantiles in statistical packages, The American Statistician 50, 361-365;
    Acerbi and Tasche (2002), On the coherence of expected shortfall, Journal of Banking and Finance 26,
    1487-1503, definition 2.6 (`tail_mean`).

    Examples
    --------
    >>> TailMeasure("mean_of_k_worst", k=2).of_losses([3.0, -1.0, 8.0, 4.0])
    6.0
    >>> TailMeasure("quantile", confidence=0.75, quantile_type=1).of_pnl([-3.0, 1.0, -8.0, -4.0])
    4.0
    """

    estimator: str
    confidence: float | None = None
    k: int | None = None
    quantile_type: int | None = None

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        _check_parameters(self, problems)
        problems.raise_if_any("This tail measure cannot be used")

    @property
    def tail_share(self) -> Fraction:
        """`1 - confidence`, exactly, of the simple fraction that a float stands for: 0.99 is 99/100."""
        written = Fraction(str(self.confidence))
        simple = written.limit_denominator(_LARGEST_DENOMINATOR)
        return 1 - (simple if 0 < simple < 1 else written)

    def of_losses(
        self, losses: ArrayLike, weights: ArrayLike | None = None, *, floor_at_zero: bool = False
    ) -> TailValue:
        """Return the measure of `losses` [..., n_scenarios] (loss > 0, USD): a float, or an array [...].

        `weights` [n_scenarios] are the scenarios' probabilities up to a factor; None means equal. Only
        `weighted_quantile` and `tail_mean` take unequal ones.

        Raises
        ------
        InputError
            If there are no scenarios, a loss is not finite, k exceeds n_scenarios, or the weights do not fit.
        NumericalError
            If the losses are so large that their sum overflows.
        """
        return self._of(losses, weights, floor_at_zero=floor_at_zero, sign=-1.0, where="losses")

    def of_pnl(self, pnl: ArrayLike, weights: ArrayLike | None = None, *, floor_at_zero: bool = False) -> TailValue:
        """Return the measure, a loss, of `pnl` [..., n_scenarios] (gain > 0, USD); else as `of_losses`."""
        return self._of(pnl, weights, floor_at_zero=floor_at_zero, sign=1.0, where="pnl")

    def scenario_weights(self, pnl: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
        """Return the weights [..., n_scenarios] with which scenarios enter: measure = -sum(weights * pnl).

        Weights are >= 0 and sum to 1; equal results are taken in the order of their scenarios. They are the
        derivative of the measure with respect to each scenario's loss, so `-trade_pnl @ weights` is what a
        small trade would add.

        Examples
        --------
        >>> TailMeasure("mean_of_k_worst", k=2).scenario_weights([5.0, -7.0, 0.0, -2.0])
        array([0. , 0.5, 0. , 0.5])
        """
        gains, shares = _checked(self, pnl, weights, where="pnl")
        return _scenario_weights(self, gains, shares)

    def contributions(self, pnl: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
        """Return what each row of `pnl` [n_instruments, n_scenarios] adds to the measure of their sum (USD).

        The result [n_instruments] sums to `of_pnl(pnl.sum(axis=0), weights)`; a hedge contributes < 0.

        Raises
        ------
        InputError
            If `pnl` is not a matrix of finite numbers with one scenario or more, or k or the weights misfit.

        References
        ----------
        Tasche (1999), Risk contributions and performance measurement (Euler allocation).
        """
        rows = _instrument_rows(pnl)
        with np.errstate(over="ignore"):  # an infinite sum is refused, with its scenario, by the next line
            pooled = rows.sum(axis=0)
        shares = self.scenario_weights(pooled, weights)
        return np.asarray(0.0 - np.sum(rows * shares, axis=-1))

    def _of(
        self, values: ArrayLike, weights: ArrayLike | None, *, floor_at_zero: bool, sign: float, where: str
    ) -> TailValue:
        series, shares = _checked(self, values, weights, where=where)
        gains = series if sign > 0.0 else 0.0 - series
        if shares is None:
            tail = _average(gains, _ranks(self, gains.shape[-1]))
        else:
            tail = np.sum(_scenario_weights(self, gains, shares) * (0.0 - gains), axis=-1)
        result = np.maximum(tail, 0.0) if floor_at_zero else tail
        return float(result) if result.ndim == 0 else result


def kth_worst(losses: ArrayLike, k: int) -> TailValue:
    """Return the k-th largest of `losses` [..., n_scenarios] (loss > 0, USD); errors as `TailMeasure`."""
    return TailMeasure("kth_worst", k=k).of_losses(losses)


def mean_of_k_worst(losses: ArrayLike, k: int) -> TailValue:
    """Return the mean of the k largest of `losses` [..., n_scenarios]; errors as `TailMeasure`."""
    return TailMeasure("mean_of_k_worst", k=k).of_losses(losses)


def quantile(losses: ArrayLike, confidence: float, quantile_type: int) -> TailValue:
    """Return the sample quantile of `losses` [..., n_scenarios]; types and errors as `TailMeasure`."""
    return TailMeasure("quantile", confidence=confidence, quantile_type=quantile_type).of_losses(losses)


def weighted_quantile(losses: ArrayLike, confidence: float, weights: ArrayLike | None = None) -> TailValue:
    """Return the first of `losses` [..., n_scenarios], worst first, at which `1 - confidence` is reached."""
    return TailMeasure("weighted_quantile", confidence=confidence).of_losses(losses, weights)


def tail_mean(losses: ArrayLike, confidence: float, weights: ArrayLike | None = None) -> TailValue:
    """Return the mean of the worst `1 - confidence` of `losses` [..., n_scenarios], the last in part.

    Examples
    --------
    >>> tail_mean([10.0, -2.0, 6.0], 0.75, weights=[0.125, 0.5, 0.375])
    8.0
    """
    return TailMeasure("tail_mean", confidence=confidence).of_losses(losses, weights)


def value_at_risk(pnl: ArrayLike, confidence: float, *, quantile_type: int = 1) -> TailValue:
    """Return the loss not exceeded with probability `confidence` on `pnl` [..., n_scenarios] (gain > 0, USD).

    The default type 1 is the least simulated loss that suffices: never interpolated. Value at risk is not
    sub-additive: a pool can need more than its parts. Errors and reference: `TailMeasure`.

    Examples
    --------
    >>> value_at_risk([4.0, -9.0, -6.0, 2.0, 1.0], 0.8)
    6.0
    """
    return TailMeasure("quantile", confidence=confidence, quantile_type=quantile_type).of_pnl(pnl)


def expected_shortfall(pnl: ArrayLike, confidence: float) -> TailValue:
    """Return the mean loss in the worst `1 - confidence` of `pnl` [..., n_scenarios] (gain > 0, USD).

    Coherent: merging books never raises it above the sum of its parts. Errors and reference: `TailMeasure`.

    Examples
    --------
    >>> expected_shortfall([4.0, -9.0, -6.0, 2.0, 1.0], 0.6)
    7.5
    """
    return TailMeasure("tail_mean", confidence=confidence).of_pnl(pnl)


def euler_contributions(pnl: ArrayLike, confidence: float) -> FloatArray:
    """Return what each row of `pnl` [n_instruments, n_scenarios] adds to the expected shortfall of their sum.

    Rows are the profit and loss of whole positions (gain > 0, USD). The result [n_instruments] sums to the
    expected shortfall; a hedge contributes < 0. Where scenarios of the sum tie, the lowest index is taken.
    Errors and reference: `TailMeasure.contributions`.

    Examples
    --------
    >>> euler_contributions([[-5.0, 1.0, 2.0, 0.0], [3.0, -4.0, 1.0, 2.0]], 0.5)
    array([2. , 0.5])
    """
    return TailMeasure("tail_mean", confidence=confidence).contributions(pnl)


def value_at_risk_standard_error(pnl: ArrayLike, confidence: float) -> TailValue:
    """Return the sampling standard error (USD) of `value_at_risk(pnl, confidence)` of type 1.

    The exact variance of the bootstrap of one order statistic: no density estimate and no random numbers.
    Scenarios count as independent; overlapping windows hold less, so their true error is larger. Fewer than
    two scenarios are refused; other errors as `TailMeasure`.

    References
    ----------
    Maritz and Jarrett (1978), A note on estimating the variance of the sample median, Journal of the American
    Statistical Association 73, 194-196, with the median replaced by the order statistic of the quantile.

    Examples
    --------
    >>> round(value_at_risk_standard_error([0.0, -1.0], 0.5), 6)  # the bootstrap is 0, 0, 0 or 1
    0.433013
    """
    from scipy.special import betainc  # costs more than the rest of the module together

    losses, measure = _independent(pnl, confidence)
    n = losses.shape[-1]
    from_best = n + 1 - _ranks(measure, n).first
    steps = np.diff(betainc(from_best, n + 1 - from_best, np.arange(n + 1) / n))
    return _spread(np.sort(losses, axis=-1), steps)


def expected_shortfall_standard_error(pnl: ArrayLike, confidence: float) -> TailValue:
    """Return the asymptotic sampling standard error (USD) of `expected_shortfall(pnl, confidence)`.

    The standard deviation of `max(loss - VaR, 0)` over `(1 - confidence) * sqrt(n_scenarios)`. Scenarios
    count as independent; overlapping windows hold less, so their true error is larger. Fewer than two
    scenarios are refused; other errors as `TailMeasure`.

    References
    ----------
    Manistre and Hancock (2005), Variance of the CTE estimator, North American Actuarial Journal 9(2),
    129-156: `(variance in the tail + confidence * (ES - VaR)^2) / (n_scenarios * (1 - confidence))`.

    Examples
    --------
    >>> expected_shortfall_standard_error([0.0, -2.0, 0.0, 0.0], 0.75)
    1.7320508075688772
    """
    losses, measure = _independent(pnl, confidence)
    n = losses.shape[-1]
    at_risk = np.asarray(measure.of_losses(losses))
    with np.errstate(over="ignore"):
        excess = np.sort(np.maximum(losses - at_risk[..., np.newaxis], 0.0), axis=-1)
    return _spread(excess, np.full(n, 1.0 / n)) / (float(measure.tail_share) * sqrt(n))


def _ranks(measure: TailMeasure, n: int) -> _Ranks:
    """Return the order statistics that `measure` averages when `n` scenarios weigh the same."""
    if measure.estimator == "kth_worst":
        return _Ranks(int(measure.k or 0), (1.0,), 1.0)
    if measure.estimator == "mean_of_k_worst":
        return _tail_ranks(Fraction(int(measure.k or 0)))
    if measure.estimator == "tail_mean":
        return _tail_ranks(n * measure.tail_share)
    if measure.estimator == "weighted_quantile":
        return _Ranks(max(1, ceil(n * (measure.tail_share - _WEIGHT_REACHED))), (1.0,), 1.0)
    return _quantile_ranks(n, 1 - measure.tail_share, int(measure.quantile_type or 0))


def _tail_ranks(mass: Fraction) -> _Ranks:
    """Return the worst `mass` observations, the last of them in part."""
    whole = floor(mass)
    part = (float(mass - whole),) if mass > whole else ()
    return _Ranks(1, (1.0,) * whole + part, float(mass))


def _quantile_ranks(n: int, p: Fraction, quantile_type: int) -> _Ranks:
    """Return the order statistics of Hyndman and Fan's quantile: their notation, but from the worst down."""
    half = Fraction(1, 2)
    m = (0, 0, -half, 0, half, p, 1 - p, (p + 1) / 3, p / 4 + 3 * half / 4)[quantile_type - 1]
    j = floor(n * p + m)
    g = n * p + m - j
    at_jump = {1: Fraction(0), 2: half, 3: Fraction(j % 2)}
    gamma = g if quantile_type > 3 else at_jump[quantile_type] if g == 0 else Fraction(1)
    low, high = min(max(j, 1), n), min(max(j + 1, 1), n)
    if low == high or gamma in (0, 1):
        return _Ranks(n + 1 - (high if gamma == 1 else low), (1.0,), 1.0)
    return _Ranks(n + 1 - high, (float(gamma), float(1 - gamma)), 1.0)


def _average(gains: FloatArray, ranks: _Ranks) -> FloatArray:
    """Return the losses at `ranks`, averaged.

    The few losses selected are sorted before they are added, so that the result depends neither on the order
    of scenarios nor on how the machine partitions; and it is kept within them, so that ties give themselves.
    """
    first, last = ranks.first - 1, ranks.last - 1
    tail = 0.0 - np.sort(np.partition(gains, (first, last), axis=-1)[..., first : last + 1], axis=-1)
    if len(ranks.multiples) == 1:
        return np.asarray(tail[..., 0])
    with np.errstate(over="ignore"):
        mean = _within_range(np.sum(tail * np.array(ranks.multiples), axis=-1) / ranks.total)
    return np.asarray(np.clip(mean, tail[..., -1], tail[..., 0]))


def _within_range(result: FloatArray) -> FloatArray:
    """Return `result`, or raise where finite input has led out of the range of floating-point numbers."""
    if not np.isfinite(result).all():
        raise NumericalError("The losses are so large that their sum or their square overflows.")
    return result


def _scenario_weights(measure: TailMeasure, gains: FloatArray, weights: FloatArray | None) -> FloatArray:
    """Return the weight of each scenario in `measure`, in the order of `gains` [..., n_scenarios]."""
    order = np.argsort(gains, axis=-1, kind="stable")
    ranked = np.zeros(gains.shape)
    if weights is None:
        ranks = _ranks(measure, gains.shape[-1])
        ranked[..., ranks.first - 1 : ranks.last] = np.array(ranks.multiples) / ranks.total
    else:
        ranked = _ranked_weights(measure, weights[order])
    result = np.empty(gains.shape)
    np.put_along_axis(result, order, ranked, axis=-1)
    return result


def _ranked_weights(measure: TailMeasure, weights: FloatArray) -> FloatArray:
    """Return how much of each observation enters, from its share of all `weights` [..., n], worst first."""
    reached = np.cumsum(weights, axis=-1)
    if measure.estimator == "weighted_quantile":
        # A scenario without weight is not part of the distribution, even where it is the worst.
        enough = (reached >= float(measure.tail_share - _WEIGHT_REACHED)) & (weights > 0.0)
        chosen = np.argmax(enough, axis=-1)
        return np.asarray(np.arange(weights.shape[-1]) == chosen[..., np.newaxis], dtype=np.float64)
    taken = np.clip(float(measure.tail_share) - (reached - weights), 0.0, weights)
    return np.asarray(taken / np.sum(taken, axis=-1, keepdims=True))


def _independent(pnl: ArrayLike, confidence: float) -> tuple[FloatArray, TailMeasure]:
    """Return losses [..., n_scenarios], at least two of them, and the measure of their type-1 quantile."""
    measure = TailMeasure("quantile", confidence=confidence, quantile_type=1)
    gains, _ = _checked(measure, pnl, None, where="pnl")
    if gains.shape[-1] < 2:
        problem = Problem("one scenario has no sampling error.", "pnl", "Give at least two scenarios.")
        raise InputError([problem])
    return 0.0 - gains, measure


def _spread(values: FloatArray, probabilities: FloatArray) -> TailValue:
    """Return the standard deviation of `values` [..., n] that occur with `probabilities` [n]."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.sum(values * probabilities, axis=-1, keepdims=True)
        result = _within_range(np.sqrt(np.sum((values - mean) ** 2 * probabilities, axis=-1)))
    return float(result) if result.ndim == 0 else result


def _check_parameters(measure: TailMeasure, problems: Problems) -> None:
    """Note an unknown estimator, and parameters that are missing, wrong or of no use to it."""
    if measure.estimator not in ESTIMATORS:
        fix = suggestion(str(measure.estimator), ESTIMATORS)
        problems.add(f"unknown estimator {measure.estimator!r}.", where="estimator", fix=fix)
        return
    for name, what in _RANGES.items():
        value = getattr(measure, name)
        if name not in _NEEDS[measure.estimator]:
            if value is not None:
                problems.add(f"{measure.estimator!r} does not use it.", where=name, fix="Leave it out.")
        elif not _in_range(name, value):
            problems.add(f"{value!r} is not {what}.", where=name, fix=f"{measure.estimator!r} needs it.")


def _in_range(name: str, value: Any) -> bool:
    if name == "confidence":
        return isinstance(value, (float, np.floating, Fraction)) and bool(0 < value < 1)
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return whole and bool(1 <= value <= (9 if name == "quantile_type" else value))


def _checked(
    measure: TailMeasure, values: ArrayLike, weights: ArrayLike | None, *, where: str
) -> tuple[FloatArray, FloatArray | None]:
    """Return `values` as floats and `weights` as shares of 1 (None if equal), or raise all that is wrong."""
    problems = Problems()
    series = _finite_array(values, where, problems)
    n = series.shape[-1] if series.ndim else 0
    if n == 0 and not len(problems):
        problems.add("there are no scenarios.", where=where, fix="Give at least one, on the last axis.")
    if measure.k is not None and measure.k > n > 0:
        problems.add(f"k = {measure.k} of only {counted(n, 'scenario')}.", where="k", fix=f"Choose k from 1 to {n}.")
    shares = None if weights is None else _shares(measure, weights, n, problems)
    problems.raise_if_any("The tail cannot be measured")
    return series, shares


def _finite_array(values: ArrayLike, where: str, problems: Problems) -> FloatArray:
    """Return `values` as a C-ordered float array and note what is not a finite number."""
    try:
        array = np.asarray(values, dtype=np.float64, order="C")
    except (TypeError, ValueError, OverflowError) as error:
        problems.add(f"not an array of numbers ({error}).", where=where, fix="Give numbers of one shape.")
        return np.empty(0)
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.argwhere(~finite)
        first = ", ".join(str(index) for index in bad[0].tolist())
        what = f"{len(bad)} of {array.size} values are NaN or infinite, the first at [{first}]."
        problems.add(what, where=where, fix="Fill or drop these scenarios by a stated rule.")
    return array


def _shares(measure: TailMeasure, weights: ArrayLike, n: int, problems: Problems) -> FloatArray | None:
    """Return `weights` as shares of 1, or None when they are equal and nothing needs weighting."""
    before = len(problems)
    array = _finite_array(weights, "weights", problems)
    if len(problems) == before and array.shape != (n,):
        problems.add(f"shape {array.shape} for {counted(n, 'scenario')}.", where="weights", fix="Give one weight each.")
    if (array < 0.0).any():
        problems.add("some weights are negative.", where="weights", fix="A weight is a probability, >= 0.")
    if len(problems) == before and n and not array.any():
        problems.add("all weights are zero.", where="weights", fix="Leave them out for equal weights.")
    if len(problems) > before or n == 0 or (array == array[0]).all():
        return None
    if measure.estimator not in _WEIGHTED:
        what = f"{measure.estimator!r} is not defined for unequal weights."
        problems.add(what, where="weights", fix=f"Use one of {', '.join(_WEIGHTED)}.")
    scaled = array / array.max()
    return np.asarray(scaled / scaled.sum())


def _instrument_rows(pnl: ArrayLike) -> FloatArray:
    """Return `pnl` as a matrix [n_instruments, n_scenarios] of finite numbers, or raise."""
    problems = Problems()
    rows = _finite_array(pnl, "pnl", problems)
    if not len(problems) and rows.ndim != 2:
        what = f"an array of {rows.ndim} dimensions is not a matrix."
        problems.add(what, where="pnl", fix="Give [n_instruments, n_scenarios].")
    problems.raise_if_any()
    return rows
