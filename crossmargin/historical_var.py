"""One engine for the historical value-at-risk models of clearing houses; a rule's parameters say which of them it is.

A rule-set of this family is a `.toml` and a module that names `scenarios` and `requirement` of this one. Its parameter
`reducer` says how a sample of profit and loss becomes one loss, `combiner` how the historical loss is joined with
stress, a floor or a buffer; the functions of those names say what each choice reads. Charges for size come from tables.
The engine holds no parameter; what a rule knows of and cannot calculate it lists in `not_modelled`, a line for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np
from attrs import evolve, field, fields, frozen
from numpy.typing import ArrayLike

from crossmargin import prisma
from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.filtering import CorrelationScaling
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Read, Reader
from crossmargin.pnl import PnL
from crossmargin.portfolio import Pool, Position
from crossmargin.pricing.shares import spot_of
from crossmargin.products.options import FutureOption
from crossmargin.results import Line, largest, not_modelled, scaled, total
from crossmargin.risk import TailMeasure, TailValue
from crossmargin.scenarios import ScenarioSpec
from crossmargin.size_charges import Holding, net_holdings, rate_floor, size_charges
from crossmargin.underlyings import ticker_held

WORST = "mean_of_k_worst"
REDUCERS: Mapping[str, tuple[bool, bool]] = MappingProxyType(  # name -> (scaled robustly, split in sub-samples)
    {
        "quantile": (False, False),
        "sub_sample_mean": (False, True),
        "robust_quantile": (True, False),
        "robust_sub_sample_mean": (True, True),
        WORST: (False, False),
    }
)
COMBINERS: Mapping[str, str] = MappingProxyType(  # name -> what the historical loss is combined with
    {
        "historical": "",
        "larger": "stress_var",
        "weighted": "stress_var",
        "long_run": "long_run_var",
        "floored": "floor",
        "buffered": "",
    }
)
_BLOCK = 128  # positions whose losses are found together: a few MB
_GROUPS = 64  # of a row, at least: fewer are too narrow for the processor's vectors
_SHALLOW = 8  # where a tail is at most an eighth of its sample it pays to cut it out first


@frozen
class Reducer:
    """One loss from a sample of profit and loss: `factor` times the mean of `measure` over `samples` sub-samples.

    Scenario s belongs to sub-sample s mod `samples`, so that changes over several days do not overlap within one.
    """

    measure: TailMeasure
    factor: float = 1.0
    samples: int = 1

    def of_pnl(self, pnl: ArrayLike) -> TailValue:
        """Return the loss, never negative, of `pnl` [..., n_scenarios] (gain > 0, USD): a float or an array [...].

        Raises
        ------
        InputError
            No scenario, fewer than `samples` or the measure need, or one that is not finite.

        Examples
        --------
        >>> Reducer(TailMeasure("mean_of_k_worst", k=1), samples=2).of_pnl([-8.0, -1.0, 2.0, -4.0])
        6.0
        """
        parts = prisma.sub_samples(pnl, self.samples)
        losses = [np.asarray(_tail(part, self.measure)) for part in parts]
        result = self.factor * np.mean(np.stack(losses, axis=-1), axis=-1)
        return float(result) if np.ndim(result) == 0 else result


@frozen
class Combiner:
    """How the historical loss becomes the base charge; `weight` is the only number each kind needs.

    ==============  =======================================  ====================================================
    kind            base charge                              weight
    ==============  =======================================  ====================================================
    `historical`    historical                               none (1)
    `larger`        max(historical, weight x stressed)       of the stressed loss, >= 0
    `weighted`      w x historical + (1 - w) x stressed      of the historical loss, in [0, 1]; EMIR 28(1)(b)
    `long_run`      max(historical, long run)                none (1); EMIR 28(1)(c)
    `floored`       max(historical, floor)                   none (1)
    `buffered`      weight x historical                      1 + what is left of the buffer; EMIR 28(1)(a)
    ==============  =======================================  ====================================================

    References
    ----------
    Article 28(1) of Commission Delegated Regulation (EU) 153/2013, where margin is proportional to volatility:
    `combining.anticyclical_options`. CME Group, SPAN 2 methodology, for `weighted`.
    """

    kind: str
    weight: float = 1.0

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        if self.kind not in COMBINERS:
            fix = suggestion(str(self.kind), COMBINERS)
            problems.add(f"unknown combiner {self.kind!r}.", where="combiner", fix=fix)
        if not math.isfinite(self.weight) or self.weight < 0.0 or (self.kind == "weighted" and self.weight > 1.0):
            problems.add(f"{self.weight!r} is out of range.", where=f"weight of combiner {self.kind!r}")
        problems.raise_if_any()

    @property
    def needs(self) -> str:
        """Name of the line that the historical one is combined with; empty for none."""
        return COMBINERS[self.kind]

    def line(self, name: str, historical: Line, second: Line | None = None, **more: Any) -> Line:
        """Return the base charge as a line over the historical and, where one is needed, the second loss.

        Examples
        --------
        >>> Combiner("larger", 0.5).line("base_charge", Line("historical_var", 80.0), Line("stress_var", 200.0)).amount
        100.0
        """
        if self.needs and second is None:
            raise InputError([Problem(f"needs {self.needs!r}.", f"combiner {self.kind!r}", "Give it as second.")])
        if second is None or not self.needs:
            return scaled(name, self.weight, historical, **more)
        if self.kind == "weighted":
            shares = (scaled("historical share", self.weight, historical),)
            return total(name, [*shares, scaled("stressed share", 1.0 - self.weight, second)], **more)
        if self.kind == "larger":
            second = scaled("weighted stress", self.weight, second)
        return largest(name, [historical, second], **more)


@frozen
class Leg:
    """A loss that a rule measures: on which scenarios, by which reducer, and the parameters read for it."""

    name: str
    spec: ScenarioSpec
    reducer: Reducer
    breaks: Mapping[str, Any] | None = None
    reads: tuple[Read, ...] = field(default=(), eq=False)

    def line(self, pnl: ArrayLike) -> Line:
        """Return the loss of a pooled `pnl` [n_scenarios], sub-sample by sub-sample; 0 where nothing moves."""
        if not np.size(pnl) or not np.any(pnl):
            return Line(self.name, 0.0, reads=self.reads)
        samples = prisma.sub_samples(pnl, self.reducer.samples)
        parts = [self._of_sample(f"sub-sample {number}", sample) for number, sample in enumerate(samples, 1)]
        if len(parts) == 1:
            return evolve(parts[0], name=self.name, reads=self.reads)
        return scaled(self.name, 1.0 / len(parts), total("sub-samples", parts), reads=self.reads)

    def _of_sample(self, name: str, sample: ArrayLike) -> Line:
        tail = Line(name, float(self.reducer.measure.of_pnl(sample, floor_at_zero=True)))
        if self.reducer.factor != 1.0:
            tail = scaled(name, self.reducer.factor, evolve(tail, name="value at risk at base confidence"))
        if self.breaks is None:
            return tail
        return total(name, [evolve(tail, name="value at risk"), _correlation_break(sample, tail.value, self.breaks)])

    def own_losses(self, pnl: PnL | None, held: Sequence[Holding]) -> list[float]:
        """Return what each net position loses on its own, USD."""
        found: list[float] = []
        if pnl is None:
            return found
        for start in range(0, len(held), _BLOCK):
            block = held[start : start + _BLOCK]
            gains = np.empty((len(block), pnl.values.shape[1]))
            for row, each in zip(gains, block, strict=True):
                np.multiply(each.net, pnl.row(each.product), out=row)
            found += np.asarray(self.reducer.of_pnl(gains)).tolist()
        return found


def scenarios(p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return the scenario sets of a rule: the historical one, then the one that its combiner asks for, if any."""
    return tuple(leg.spec for leg in legs(p))


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return what a pool owes under a rule of this family, USD.

    Parameters
    ----------
    pool : Pool
        Positions margined together. What some scenario set of the rule cannot revalue becomes a line of its own that
        is not modelled.
    inputs : Inputs
        With the P&L of `scenarios(p)`.
    p : Reader
        The rule's parameters on the date of the calculation.

    Returns
    -------
    Line
        Sum of `base_charge`, `liquidity_charge` and `concentration_charge` (where the rule has tables for them) and
        of what the rule lists as not modelled.

    Raises
    ------
    InputError
        An unknown reducer or combiner, parameters that make no sense, a sample too small for the reducer.
    ParameterMissing
        The reducer or combiner needs a parameter that the rule has not.

    Notes
    -----
    A row of `market_depth` (`half_spread`, USD a unit; `daily_volume`, units) or `floor_rates` (`rate`, USD a unit) is
    for its `kinds` of product and, where it names them, `contracts` and the remaining years above `from_years` up to
    `to_years`; the first row that fits counts. Closing out a net position costs half the spread and, by
    `impact_factors`, a share of its own loss that grows with its size in per cent of daily volume; `alpha_floor` lets
    diversification reduce the sum. `concentration_factors` charge a share in the same way. See
    `prisma.liquidity_factor` and `prisma.diversification_share`.

    References
    ----------
    CME Group, SPAN 2 methodology; Eurex Clearing, Prisma; LCH, PAIRS; ICE Clear Europe, risk management.
    """
    found = legs(p)
    held, refused = _split(pool.positions, inputs, found)
    pooled = [leg.line(_pooled(held, inputs, leg)) for leg in found]
    holdings = net_holdings(held)
    own_losses = partial(found[0].own_losses, inputs.pnl.get(found[0].spec))
    charges = [
        _base_charge(pooled, lambda: rate_floor(holdings, inputs.as_of, p), p),
        *size_charges(holdings, own_losses, p, portfolio_loss=pooled[0].value, as_of=inputs.as_of),
    ]
    gaps = [line for each in refused for line in unmodelled([each], _why_refused(each, inputs))]
    parts = [*(charges if held or not refused else []), *_known_gaps(p), *gaps]
    return total(f"{found[0].reads[0].rule} requirement", parts)


def legs(p: Reader) -> tuple[Leg, ...]:
    """Return the losses that a rule measures on scenarios.

    Notes
    -----
    `historical_var` reads `scenarios` (`historical` or `filtered`), `horizon_days`, `lookback_years` and, filtered,
    `decay_factor`; if the rule has them `scaling`, `volatility_floor`, `volatility_ratio_cap`, `filter_seed_days` and
    the tables `correlation_scaling` (fields of `filtering.CorrelationScaling`) and `correlation_break`. A
    `stress_period` that the combiner does not measure by itself is appended to the look-back.
    `stress_var` is measured over `stress_period`, with `stress_<name>` in place of a parameter `<name>` of the reducer
    where the rule has it; `long_run_var` unfiltered over `long_run_years`.
    """
    second = combiner(p).needs
    p.taken()  # what the combiner reads is shown on the line that it makes
    kind, days, years = p.scenarios, p.horizon_days, p.lookback_years
    appended = None if second == "stress_var" else p.optional("stress_period")
    spec = ScenarioSpec(kind, days, years, appended, **(_filter(p) if kind == "filtered" else {}))
    found = [Leg("historical_var", spec, reducer(p), p.optional("correlation_break") or None, p.taken())]
    if second == "stress_var":
        spec = ScenarioSpec("stress", p.horizon_days, p.lookback_years, p.stress_period)
        found.append(Leg(second, spec, reducer(p, stressed=True), reads=p.taken()))
    elif second == "long_run_var":
        spec = ScenarioSpec("historical", p.horizon_days, p.long_run_years)
        found.append(Leg(second, spec, reducer(p), reads=p.taken()))
    return tuple(found)


def reducer(p: Reader, *, stressed: bool = False) -> Reducer:
    """Return the reducer that a rule's parameters name.

    ========================  =========================================================================
    `reducer`                 reads
    ========================  =========================================================================
    `quantile`                `confidence`, `quantile_type`
    `sub_sample_mean`         the same; the mean over `horizon_days` sub-samples
    `robust_quantile`         the same at `base_confidence`, scaled to `confidence` by the quantiles of Student's t with
                              `degrees_of_freedom`
    `robust_sub_sample_mean`  both
    `mean_of_k_worst`         `worst_scenarios`
    ========================  =========================================================================

    Raises
    ------
    InputError
        An unknown name, or parameters out of range.
    """

    def read(name: str) -> Any:
        own = p.optional(f"stress_{name}") if stressed else None
        return getattr(p, name) if own is None else own

    name = read("reducer")
    if name not in REDUCERS:
        raise InputError([Problem(f"unknown reducer {name!r}.", "reducer", suggestion(str(name), REDUCERS))])
    if name == WORST:
        return Reducer(TailMeasure(WORST, k=read("worst_scenarios")))
    robust, split = REDUCERS[name]
    confidence, factor = read("confidence"), 1.0
    if robust:
        target, confidence = confidence, read("base_confidence")
        factor = prisma.robust_factor(confidence, target, read("degrees_of_freedom"))
    measure = TailMeasure("quantile", confidence=confidence, quantile_type=read("quantile_type"))
    return Reducer(measure, factor, p.horizon_days if split else 1)


def combiner(p: Reader) -> Combiner:
    """Return the combiner that a rule's parameters name.

    `larger` reads `stress_weight`, `weighted` `historical_weight`, `buffered` `buffer_fraction` and
    `buffer_used_fraction`; `floored` takes its floor from the table `floor_rates`.

    Raises
    ------
    InputError
        An unknown name, or a weight out of range.
    """
    kind = p.combiner
    if kind == "buffered":
        fraction, used = p.buffer_fraction, p.buffer_used_fraction
        problems = Problems()
        for name, share in (("buffer_fraction", fraction), ("buffer_used_fraction", used)):
            if not 0.0 <= share <= 1.0:
                problems.add(f"{share!r} is not a fraction from 0 to 1.", where=name)
        problems.raise_if_any()
        return Combiner(kind, 1.0 + fraction * (1.0 - used))
    weights = {"larger": "stress_weight", "weighted": "historical_weight"}
    return Combiner(kind, getattr(p, weights[kind]) if kind in weights else 1.0)


def _base_charge(pooled: list[Line], floor: Callable[[], Line], p: Reader) -> Line:
    combined = combiner(p)
    reads = p.taken()
    second = floor() if combined.needs == "floor" else next(iter(pooled[1:]), None)
    return combined.line("base_charge", pooled[0], second, reads=reads)


def _pooled(held: Sequence[Position], inputs: Inputs, leg: Leg) -> FloatArray:
    """Return the P&L [n_scenarios] of positions that the scenarios of a leg revalue, USD; [0] of none."""
    if not held:
        return np.zeros(0)
    return inputs.pnl[leg.spec].pooled([each.product for each in held], [each.quantity for each in held])


def _tail(pnl: FloatArray, measure: TailMeasure) -> TailValue:
    """Return `measure` of P&L [..., n_scenarios], never negative; of many rows it sees the worst results only."""
    if pnl.ndim == 2 and pnl.size and np.isfinite(pnl).all():
        count, of_worst = _tail_measure(measure, pnl.shape[1])
        if count:
            return of_worst.of_pnl(_worst(pnl, count), floor_at_zero=True)
    return measure.of_pnl(pnl, floor_at_zero=True)


@lru_cache(maxsize=64)
def _tail_measure(measure: TailMeasure, n: int) -> tuple[int, TailMeasure]:
    """Return how many of the worst of n results are enough, and the same measure of these; 0 where all are needed."""
    used = np.flatnonzero(measure.scenario_weights(np.arange(n)))  # by rank, from the worst on
    count, one = int(used[-1]) + 1, used.size == 1
    if count * _SHALLOW > n or not (one or measure.estimator == WORST):
        return 0, measure
    return count, TailMeasure("kth_worst", k=count) if one else measure


def _worst(pnl: FloatArray, count: int) -> FloatArray:
    """Return rows that hold the `count` smallest results of each row of `pnl` and few others.

    The smallest of each of some strided groups are taken: `count` of these lie at or below a bound, so that no result
    above it is among those wanted. Rows with fewer results up to theirs are filled with the bound itself.
    """
    rows, n = pnl.shape
    groups = min(max(2 * count, _GROUPS), n // 2)
    length = n // groups * groups
    least = pnl[:, :length].reshape(rows, -1, groups).min(axis=1)
    np.minimum(least[:, : n - length], pnl[:, length:], out=least[:, : n - length])
    bound = np.partition(least, count - 1, axis=1)[:, count - 1 : count]
    within = np.flatnonzero(pnl <= bound)
    held = np.bincount(within // n, minlength=rows)[:, None]
    found = np.repeat(bound, held.max(), axis=1)
    found[np.arange(found.shape[1]) < held] = pnl.ravel()[within]
    return found


def _split(
    positions: Iterable[Position], inputs: Inputs, found: tuple[Leg, ...]
) -> tuple[list[Position], list[Position]]:
    """Return the positions that every scenario set revalues, and the others."""
    held: list[Position] = []
    refused: list[Position] = []
    sets = [inputs.pnl.get(leg.spec, ()) for leg in found]
    for position in positions:
        known = all(position.product in pnl for pnl in sets)
        (held if known else refused).append(position)
    return held, refused


def _why_refused(position: Position, inputs: Inputs) -> str:
    """Return what the market lacks for a product to be revalued under the scenarios, as far as it can be told."""
    market, ticker = inputs.market, ticker_held(position.product)
    if ticker and spot_of(ticker, market) is None and position.product.symbol not in market.prices:
        return f"the market has no price of {ticker}"
    if ticker and (market.price_history is None or ticker not in market.price_history.prices):
        return f"the market has no price history of {ticker}"
    if isinstance(position.product, FutureOption):
        future = position.product.underlying.symbol
        if future not in market.underlyings or market.underlyings[future].volatility is None:
            return f"the market has no volatility of {future}"
    return "its profit and loss under the scenarios of this rule-set is not known"


def _correlation_break(sample: ArrayLike, pure: float, breaks: Mapping[str, Any]) -> Line:
    settings = dict(breaks)
    window, confidence = settings.pop("window"), settings.pop("confidence")
    if np.size(sample) < window:
        return not_modelled("correlation break", f"the sub-sample is shorter than a window of {window}")
    found = prisma.correlation_break(sample, window, confidence, pure_market_risk=pure, **settings)
    return Line("correlation break", found.adjustment)


def _known_gaps(p: Reader) -> list[Line]:
    gaps, reads = p.optional("not_modelled") or (), p.taken()
    return [not_modelled(row["name"], row["why"], reads=reads) for row in gaps]


def _filter(p: Reader) -> dict[str, Any]:
    """Return how the look-back is rescaled to the volatility of today."""
    given = {
        "scaling": p.optional("scaling"),
        "volatility_floor": p.optional("volatility_floor"),
        "ratio_cap": p.optional("volatility_ratio_cap"),
        "seed_days": p.optional("filter_seed_days"),
    }
    if (table := p.optional("correlation_scaling")) is not None:
        given["correlation"] = _correlation_scaling(table)
    return {"decay": p.decay_factor, **{name: value for name, value in given.items() if value is not None}}


def _correlation_scaling(table: Mapping[str, Any]) -> CorrelationScaling:
    known = [field.name for field in fields(CorrelationScaling)]
    if unknown := sorted(set(table) - set(known)):
        raise InputError(
            [Problem(f"has no use for {unknown[0]!r}.", "correlation_scaling", suggestion(unknown[0], known))]
        )
    return CorrelationScaling(**table)
