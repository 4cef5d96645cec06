"""Building blocks of a margin model in the manner of Eurex Prisma, on plain numbers.

Call `value_at_risk`, `robust_factor`, `correlation_break`, `market_risk` and `liquidity_addon`, in the order in which
the model does; `sub_samples` splits a sample by the phase of the holding period. Every parameter is an argument:
Eurex Clearing's own are not public in full. What a whole pool owes is `historical_var.requirement`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike

from crossmargin.errors import InputError, NumericalError, Problem, Problems, counted, is_count, is_number, suggestion
from crossmargin.risk import FloatArray, TailMeasure, TailValue

MIDPOINTS = 5  # Hyndman and Fan's number for plotting positions (i - 1/2) / n: the quantile that Prisma publishes
_ROUNDING = 1e-12  # a window whose value at risk differs from the sample's by less, relative to its results, equals it
_ROUND_TRIP = 1e-6  # beyond about 1e150 the search for a quantile stops early, and going back shows it
_TABLE_FIELDS = frozenset({"from_pct", "to_pct", "factor_from", "factor_to"})

AGGREGATIONS: Mapping[str, Callable[[Sequence[float]], Any]] = MappingProxyType(
    {"mean": np.mean, "median": np.median, "max": np.max}
)


@frozen(eq=False)
class CorrelationBreak:
    """What the worst windows lose beyond the whole sample, and the adjustment made of it (USD)."""

    full_sample_var: float
    window_vars: FloatArray
    mean_excess_risk: float
    adjustment: float


@frozen
class SubSample:
    """Value at risk of one sub-sample, and what is added to it (USD)."""

    var: float
    correlation_break: float = 0.0
    compression_error: float = 0.0

    @property
    def value(self) -> float:
        """The three together."""
        return self.var + self.correlation_break + self.compression_error


@frozen
class RiskMeasureSet:
    """The sub-samples of one set of scenarios (filtered, stressed, event) and the weight of their aggregate."""

    weight: float
    sub_samples: tuple[SubSample, ...]


@frozen
class MarketRisk:
    """The aggregate of each set, unweighted, and the largest weighted one (USD)."""

    set_values: tuple[float, ...]
    market_risk: float


@frozen
class LiquidityPosition:
    """A net position: its own value at risk (USD), its size in per cent of market capacity, quotes and value (USD)."""

    position_var: float
    relative_size_pct: float
    bid: float
    ask: float
    position_value: float


@frozen
class LiquidityAddon:
    """Factor and cost of closing out each position, the share charged of their sum, and the add-on (USD)."""

    liquidity_factors: tuple[float, ...]
    position_components: tuple[float, ...]
    alpha: float
    liquidity_addon: float


def value_at_risk(pnl: ArrayLike, confidence: float) -> TailValue:
    """Return value at risk of `pnl` [..., n_scenarios] (gain > 0, USD), never negative.

    The quantile lies on the line through the sorted results placed at `(i - 1/2) / n`; beyond the first and the last
    point it is the end value. Errors as `risk.TailMeasure`.

    References
    ----------
    Eurex Clearing, Prisma methodology; Hyndman and Fan (1996), definition 5.

    Examples
    --------
    >>> value_at_risk([-8.0, -4.0, 0.0, 4.0], 0.75)
    6.0
    """
    measure = TailMeasure("quantile", confidence=confidence, quantile_type=MIDPOINTS)
    return measure.of_pnl(pnl, floor_at_zero=True)


def robust_factor(base_confidence: float, target_confidence: float, degrees_of_freedom: float) -> float:
    """Return what value at risk at the base confidence is multiplied by to stand for the target confidence.

    The ratio of the quantiles of Student's t: a far quantile is inferred from a nearer one that rests on more data.

    Raises
    ------
    InputError
        Confidences outside (0, 1), a base of one half (whose quantile is zero), degrees of freedom not above zero.
    NumericalError
        Tails so heavy that a quantile is beyond the range in which it can be found.

    References
    ----------
    Eurex Clearing, Prisma methodology (robust scaling).

    Examples
    --------
    >>> round(robust_factor(0.95, 0.99, 3), 5)
    1.92945
    """
    from scipy.special import stdtr, stdtrit

    problems = Problems()
    for name, value in (("base_confidence", base_confidence), ("target_confidence", target_confidence)):
        if not is_number(value) or not 0.0 < value < 1.0:
            problems.add(f"{value!r} is out of range.", where=name, fix="Give a number strictly between 0 and 1.")
    if base_confidence == 1.0 / 2.0:
        problems.add("0.5 has no tail to scale from.", where="base_confidence", fix="Give one above 0.5.")
    if not is_number(degrees_of_freedom) or degrees_of_freedom <= 0.0:
        problems.add(f"{degrees_of_freedom!r} is not above 0.", where="degrees_of_freedom")
    problems.raise_if_any()
    tails = np.array([1.0 - base_confidence, 1.0 - target_confidence])
    quantiles = stdtrit(degrees_of_freedom, tails)
    if not np.allclose(stdtr(degrees_of_freedom, quantiles), tails, rtol=_ROUND_TRIP, atol=0.0):
        raise NumericalError(f"Quantiles of Student's t with {degrees_of_freedom} degrees of freedom are out of range.")
    return float(abs(quantiles[1] / quantiles[0]))


def sub_samples(pnl: ArrayLike, count: int) -> tuple[FloatArray, ...]:
    """Return `count` sub-samples [..., about n_scenarios / count] of `pnl` [..., n_scenarios]: s goes to s mod count.

    With `count` the holding period in days, changes that overlap in the whole sample do not in a sub-sample.

    Raises
    ------
    InputError
        A count that is not whole, below 1 or above n_scenarios.

    Examples
    --------
    >>> [sample.tolist() for sample in sub_samples([1.0, 2.0, 3.0], 2)]
    [[1.0, 3.0], [2.0]]
    """
    array = _numbers(pnl)
    n = array.shape[-1] if array.ndim else 0
    if not is_count(count, most=n):
        fix = f"Give a whole number from 1 to {n}."
        raise InputError([Problem(f"{count!r} sub-samples of {counted(n, 'scenario')}.", "count", fix)])
    return tuple(array[..., phase::count] for phase in range(count))


def correlation_break(
    pnl: ArrayLike,
    window: int,
    confidence: float,
    *,
    kappa: float,
    pure_market_risk: float,
    lower_bound_fraction: float,
    upper_bound_fraction: float,
) -> CorrelationBreak:
    """Return the adjustment for windows in which positions that offset over the whole sample did not.

    Parameters
    ----------
    pnl : array [n_scenarios]
        One sub-sample in the order of its dates, USD, gain > 0.
    window : int
        Consecutive results in a window, 1 to n_scenarios.
    confidence : float
        Of the value at risk of window and sample.
    kappa : float
        Weight of the mean excess risk, >= 0.
    pure_market_risk : float
        USD, >= 0, of which the bounds are fractions.
    lower_bound_fraction, upper_bound_fraction : float
        Bounds of the adjustment, 0 <= lower <= upper.

    Returns
    -------
    CorrelationBreak
        `mean_excess_risk` is the root mean square of (window - sample) over windows above the sample, 0 if none.

    Raises
    ------
    InputError
        Listing every argument out of range; results that are not finite.

    References
    ----------
    Eurex Clearing, Prisma methodology (correlation break adjustment).

    Examples
    --------
    >>> results = [3.0, -1.0, 2.0, -4.0, -6.0, -5.0, -7.0, 1.0, 4.0, 2.0, -1.0, 0.0]
    >>> bounds = {"lower_bound_fraction": 0.0, "upper_bound_fraction": 0.8}
    >>> found = correlation_break(results, 4, 0.75, kappa=1.0, pure_market_risk=10.0, **bounds)
    >>> found.full_sample_var, round(found.adjustment, 6)
    (4.5, 1.516575)
    """
    array = _numbers(pnl)
    problems = Problems()
    _check_window(array, window, problems)
    _check_amounts(
        problems,
        kappa=kappa,
        pure_market_risk=pure_market_risk,
        lower_bound_fraction=lower_bound_fraction,
        upper_bound_fraction=upper_bound_fraction,
    )
    if lower_bound_fraction > upper_bound_fraction:
        problems.add(f"{lower_bound_fraction!r} is above the upper bound.", where="lower_bound_fraction")
    problems.raise_if_any()
    whole = float(value_at_risk(array, confidence))
    windows = np.asarray(value_at_risk(np.lib.stride_tricks.sliding_window_view(array, window), confidence))
    excess = (windows - whole)[windows - whole > _ROUNDING * np.abs(array).max()]
    mean_excess = float(np.linalg.norm(excess) / np.sqrt(excess.size)) if excess.size else 0.0
    lower, upper = lower_bound_fraction * pure_market_risk, upper_bound_fraction * pure_market_risk
    return CorrelationBreak(whole, windows, mean_excess, min(max(kappa * mean_excess, lower), upper))


def market_risk(sets: Iterable[RiskMeasureSet], aggregation: str) -> MarketRisk:
    """Return the aggregate of each risk-measure set over its sub-samples, and the largest of them, weighted (USD).

    `aggregation` is `mean`, `median` or `max`, of `SubSample.value`.

    Raises
    ------
    InputError
        No set, a set without sub-samples, an unknown aggregation, a weight or amount that is negative or not finite.

    References
    ----------
    Eurex Clearing, Prisma methodology (aggregation of risk-measure sets).

    Examples
    --------
    >>> filtered = RiskMeasureSet(1.0, (SubSample(100.0, 10.0), SubSample(120.0)))
    >>> market_risk([filtered, RiskMeasureSet(0.7, (SubSample(200.0),))], "mean")
    MarketRisk(set_values=(115.0, 200.0), market_risk=140.0)
    """
    sets, problems = tuple(sets), Problems()
    if not sets:
        problems.add("there is none.", where="risk-measure sets", fix="Give one at least.")
    for number, each in enumerate(sets, 1):
        _check_set(each, f"risk-measure set {number}", problems)
    if aggregation not in AGGREGATIONS:
        fix = suggestion(str(aggregation), AGGREGATIONS)
        problems.add(f"unknown aggregation {aggregation!r}.", where="aggregation", fix=fix)
    problems.raise_if_any()
    aggregate = AGGREGATIONS[aggregation]
    values = tuple(float(aggregate([sample.value for sample in each.sub_samples])) for each in sets)
    weighted = (each.weight * value for each, value in zip(sets, values, strict=True))
    return MarketRisk(values, max(weighted))


def liquidity_factor(relative_size_pct: float, table: Iterable[Mapping[str, float]]) -> float:
    """Return the liquidity factor of a position by its size in per cent of market capacity.

    Parameters
    ----------
    relative_size_pct : float
        Per cent, >= 0.
    table
        Rows `from_pct, to_pct, factor_from, factor_to`, joined and ascending from 0; linear inside a row, and on the
        border of two rows the lower one speaks. The last row is not extended.

    Raises
    ------
    InputError
        Rows that leave a gap or overlap, a size below the table or beyond it.

    Examples
    --------
    >>> rows = [{"from_pct": 0, "to_pct": 5, "factor_from": 0, "factor_to": 0.05}]
    >>> rows += [{"from_pct": 5, "to_pct": 10, "factor_from": 0.05, "factor_to": 0.25}]
    >>> round(liquidity_factor(7.5, rows), 12)
    0.15
    """
    rows = _checked_table(table)
    if not is_number(relative_size_pct) or not rows[0]["from_pct"] <= relative_size_pct <= rows[-1]["to_pct"]:
        fix = f"The table runs from {rows[0]['from_pct']} to {rows[-1]['to_pct']} per cent: extend it."
        raise InputError([Problem(f"{relative_size_pct!r} is off the table.", "relative_size_pct", fix)])
    row = next(row for row in rows if relative_size_pct <= row["to_pct"])
    share = (relative_size_pct - row["from_pct"]) / (row["to_pct"] - row["from_pct"])
    return float((1.0 - share) * row["factor_from"] + share * row["factor_to"])


def diversification_share(portfolio_var: float, position_vars: Iterable[float], floor: float) -> float:
    """Return `alpha`, portfolio over summed position value at risk, not below `floor` nor above 1.

    Where no position has any risk of its own, nothing diversifies: 1.

    Raises
    ------
    InputError
        Amounts that are negative or not finite, a floor above 1.

    Examples
    --------
    >>> diversification_share(60.0, [80.0, 40.0], 0.1)
    0.5
    """
    problems, found = Problems(), tuple(position_vars)
    _check_amounts(problems, portfolio_var=portfolio_var, alpha_floor=floor)
    for number, value in enumerate(found, 1):
        _check_amounts(problems, **{f"position_var {number}": value})
    if is_number(floor) and floor > 1.0:
        problems.add(f"{floor!r} is above 1.", where="alpha_floor", fix="Give a share.")
    problems.raise_if_any()
    standalone = float(np.sum(found))
    return min(1.0, max(floor, portfolio_var / standalone)) if standalone else 1.0


def liquidity_addon(
    positions: Iterable[LiquidityPosition],
    factor_table: Iterable[Mapping[str, float]],
    portfolio_var: float,
    *,
    alpha_floor: float,
) -> LiquidityAddon:
    """Return the cost of closing out every position, of which diversification leaves the share `alpha` (USD).

    A position costs its value at risk times the liquidity factor of its size, and the relative half spread
    `(ask - bid) / (ask + bid)` of its value.

    Raises
    ------
    InputError
        Listing every amount out of range, quotes that are crossed or whose middle is not above zero (a relative
        spread then says nothing), and sizes off the table.

    References
    ----------
    Eurex Clearing, Prisma methodology (liquidity adjustment).

    Examples
    --------
    >>> rows = [{"from_pct": 0, "to_pct": 10, "factor_from": 0, "factor_to": 0.2}]
    >>> liquidity_addon([LiquidityPosition(100.0, 5.0, 99.0, 101.0, -1e4)], rows, 60.0, alpha_floor=0.1)
    LiquidityAddon(liquidity_factors=(0.1,), position_components=(110.0,), alpha=0.6, liquidity_addon=66.0)
    """
    held, table, problems = tuple(positions), tuple(factor_table), Problems()
    factors, alpha = [], 1.0
    for number, position in enumerate(held, 1):
        _check_quotes(position, f"position {number}", problems)
        with problems.collecting():
            factors.append(liquidity_factor(position.relative_size_pct, table))
    with problems.collecting():
        alpha = diversification_share(portfolio_var, (each.position_var for each in held), alpha_floor)
    problems.raise_if_any()
    components = tuple(
        each.position_var * factor + (each.ask - each.bid) / (each.ask + each.bid) * abs(each.position_value)
        for each, factor in zip(held, factors, strict=True)
    )
    return LiquidityAddon(tuple(factors), components, alpha, alpha * float(np.sum(components)))


def _checked_table(table: Iterable[Mapping[str, float]]) -> tuple[Mapping[str, float], ...]:
    rows, problems = tuple(table), Problems()
    if not rows:
        problems.add("has no row.", where="factor table")
    for number, row in enumerate(rows, 1):
        where = f"factor table row {number}"
        if set(row) != _TABLE_FIELDS:
            problems.add(f"has fields {sorted(row)}.", where=where, fix=f"Give {', '.join(sorted(_TABLE_FIELDS))}.")
    problems.raise_if_any()
    for number, row in enumerate(rows, 1):
        where = f"factor table row {number}"
        if row["from_pct"] >= row["to_pct"] or (number > 1 and row["from_pct"] != rows[number - 2]["to_pct"]):
            problems.add("does not follow on the row before it.", where=where, fix="Join the rows, sizes ascending.")
        if not all(is_number(value) and value >= 0.0 for value in row.values()):
            problems.add("holds a value that is negative or not finite.", where=where)
    problems.raise_if_any()
    return rows


def _check_window(array: FloatArray, window: int, problems: Problems) -> None:
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        problems.add(f"of shape {array.shape} is no row of finite numbers.", where="pnl")
    elif not is_count(window, most=array.size):
        fix = f"Give a whole number from 1 to {array.size}."
        problems.add(f"{window!r} of {counted(array.size, 'result')}.", where="window", fix=fix)


def _check_set(each: RiskMeasureSet, where: str, problems: Problems) -> None:
    if not each.sub_samples:
        problems.add("has no sub-sample.", where=where, fix="Give one at least: the whole sample.")
    amounts = {f"{where}, weight": each.weight}
    for number, sample in enumerate(each.sub_samples, 1):
        for name in ("var", "correlation_break", "compression_error"):
            amounts[f"{where}, {name} of sub-sample {number}"] = getattr(sample, name)
    _check_amounts(problems, **amounts)


def _check_quotes(position: LiquidityPosition, where: str, problems: Problems) -> None:
    quotes = (position.bid, position.ask, position.position_value)
    if not all(is_number(value) for value in quotes):
        problems.add(f"{quotes} are not all finite numbers.", where=f"{where}: bid, ask, value")
    elif position.bid > position.ask or position.bid + position.ask <= 0.0:
        fix = "Give bid <= ask around a positive middle."
        problems.add(f"bid {position.bid} and ask {position.ask} have no relative spread.", where=where, fix=fix)


def _check_amounts(problems: Problems, **amounts: float) -> None:
    for name, value in amounts.items():
        if not is_number(value) or value < 0.0:
            problems.add(f"{value!r} is negative or not finite.", where=name, fix="Give a number, >= 0.")


def _numbers(pnl: ArrayLike) -> FloatArray:
    try:
        return np.asarray(pnl, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            [Problem(f"not an array of numbers ({error}).", "pnl", "Give numbers of one shape.")]
        ) from error
