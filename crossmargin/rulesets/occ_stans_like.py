"""OCC, STANS-like: two-day expected shortfall of listed options, security and index futures, at the clearing level.

Models the public outline of STANS on scenarios of its own: filtered historical changes of prices, volatilities and
yields on the same dates, in place of OCC's Monte Carlo, whose description is filed confidentially. The requirement is
the expected shortfall of a customer's positions pooled, plus a share of the excess of a stressed shortfall over it;
both stresses are assumptions of this library. Long options count by their profit and loss alone. Index futures and
options on them, which programmes bring in, are of the class of their index.
OCC nets a broker's customers within an omnibus account; here every customer is a pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, frozen

from crossmargin.class_groups import class_of
from crossmargin.columns import FloatArray
from crossmargin.methodology import Inputs, tail_charge, unmodelled
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool, Position
from crossmargin.pricing.shares import share_price
from crossmargin.products.futures import IndexFuture
from crossmargin.products.options import FutureOption, ListedOption
from crossmargin.results import Line, largest, not_modelled, scaled, total
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSet, ScenarioSpec
from crossmargin.spot_scenarios import has_history, why_unmoved
from crossmargin.underlyings import ticker_held

OTHER_CHARGES = {
    "collateral_in_margins": "deposits are not simulated together with the positions",
    "high_volatility_control_settings": "their values stand in filings that were not read",
}


def scenarios(p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return the filtered look-back over the horizon."""
    filtered = ScenarioSpec(
        "filtered",
        horizon_days=p.horizon_days,
        lookback_years=p.lookback_years,
        decay=p.decay_factor,
        ratio_cap=p.volatility_ratio_cap,
        seed_days=p.filter_seed_days,
    )
    return (filtered,)


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return what one customer's, or the firm's own, options and futures ask for, USD.

    References
    ----------
    OCC, margin methodology: an account is not to be negative at a two-day horizon.
    """
    (spec,) = scenarios(p)
    gaps = _gaps(pool, inputs, spec)
    priced = [position for position in pool.positions if _ticker(position) not in gaps]
    lacking = [line for each in pool.positions if (why := gaps.get(_ticker(each))) for line in unmodelled([each], why)]
    others = [not_modelled(name, why) for name, why in OTHER_CHARGES.items()]
    if not priced:
        return total("occ_stans_like requirement", [*lacking, *others])
    asked = _charges(priced, inputs, spec, p)
    still = _unshocked(priced, inputs.pnl[spec].scenarios)
    beside = (_option_value(priced, inputs),)
    return total("occ_stans_like requirement", [*asked, *still, *lacking, *others], memo=beside)


@frozen
class _Tails:
    """What shortfalls of a pool are taken from: its P&L by class, and how."""

    classes: Mapping[str, FloatArray]
    measure: TailMeasure

    def shortfall(self, name: str, pnl: FloatArray) -> Line:
        return tail_charge(name, pnl, self.measure, ())


def _charges(positions: Sequence[Position], inputs: Inputs, spec: ScenarioSpec, p: Reader) -> list[Line]:
    """Return the base shortfall and the stress add-on: a share of the larger of two excesses over it."""
    by_class: dict[str, list[Position]] = {}
    for position in positions:
        by_class.setdefault(class_of(_ticker(position), inputs.securities)[0], []).append(position)
    classes = {name: inputs.pooled(held, spec) for name, held in sorted(by_class.items())}
    tails = _Tails(classes, TailMeasure("tail_mean", confidence=p.confidence))
    base = evolve(tails.shortfall("base_expected_shortfall", inputs.pooled(positions, spec)), reads=p.taken())
    named = _most_concentrated(tails, int(p.concentration_names))
    rest = [position for name, held in by_class.items() if name not in named for position in held]
    stressed = (_dependence_stress(tails), _concentration_stress(tails, named, inputs.pooled(rest, spec)))
    less = scaled("less base", -1, evolve(base, reads=()))
    excess = [total(f"excess of {line.name}", [line, less]) for line in stressed]
    reads = p.taken()
    most = largest("larger excess", [*excess, Line("no excess", 0.0)], reads=reads)
    return [base, scaled("dependence_and_concentration_add_on", p.stress_share, most, reads=p.taken())]


def _dependence_stress(tails: _Tails) -> Line:
    """Return the shortfall if every class had its worst days on the same dates: the sum of theirs."""
    alone = [tails.shortfall(name, pnl) for name, pnl in tails.classes.items()]
    return total("dependence_stressed_shortfall", alone, note="assumed: no offset between classes")


def _concentration_stress(tails: _Tails, named: Sequence[str], rest: FloatArray) -> Line:
    """Return the shortfall if the classes named had their worst simulated days together: theirs plus the rest's."""
    worst = [_worst(name, tails.classes[name]) for name in named]
    parts = [*worst, tails.shortfall("shortfall of the rest", rest)]
    return total("concentration_stressed_shortfall", parts, note="assumed: the largest classes lose most at once")


def _most_concentrated(tails: _Tails, count: int) -> list[str]:
    worst = {name: _worst(name, pnl).value for name, pnl in tails.classes.items()}
    return sorted(worst, key=lambda name: (-worst[name], name))[:count]


def _worst(name: str, pnl: FloatArray) -> Line:
    return tail_charge(f"worst loss of {name}", pnl, TailMeasure("kth_worst", k=1), ())


def _gaps(pool: Pool, inputs: Inputs, spec: ScenarioSpec) -> dict[str, str]:
    """Return ticker -> why it is not modelled; a ticker is margined whole or not at all."""
    gaps: dict[str, str] = {}
    for position in pool.positions:
        if not inputs.revalued(position, spec):
            gaps.setdefault(_ticker(position), _why(position, inputs, spec))
    return gaps


def _why(position: Position, inputs: Inputs, spec: ScenarioSpec) -> str:
    ticker, history, product = _hangs_on(position), inputs.market.price_history, position.product
    if not ticker:
        return "this rule-set has no model for the product"
    security = inputs.securities[ticker]
    drawn = inputs.pnl[spec].scenarios if spec in inputs.pnl else None
    if not has_history(ticker, security, history) or (drawn and ticker not in drawn.spot_moves):
        return why_unmoved(ticker, security, history, drawn)
    future = product.underlying if isinstance(product, FutureOption) else product
    if isinstance(future, IndexFuture) and share_price(future, inputs.market) is None:
        return f"the market has no price of {future.symbol}"
    name = future.symbol if isinstance(product, FutureOption) else ticker
    known = inputs.market.underlyings.get(name)
    if isinstance(product, ListedOption | FutureOption) and (known is None or known.volatility is None):
        return f"the market has no volatility of {name}"
    return f"the price history of {ticker} does not reach over the look-back of {spec.lookback_years:g} years"


def _unshocked(positions: Iterable[Position], drawn: ScenarioSet) -> list[Line]:
    """Return a visible line for each ticker whose options keep their volatility in every scenario."""
    options = (each for each in positions if isinstance(each.product, ListedOption | FutureOption))
    still = {_hangs_on(position) for position in options} - set(drawn.volatility_moves)
    why = "no history of volatility: its options keep theirs in every scenario"
    return [not_modelled(f"volatility of {ticker}", why) for ticker in sorted(still)]


def _option_value(positions: Iterable[Position], inputs: Inputs) -> Line:
    """Return what the options are worth, longs less shorts: shown, and credited or charged nowhere."""
    options = [position for position in positions if isinstance(position.product, ListedOption)]
    held = [
        Line(each.id, each.quantity * each.product.units * inputs.prices[each.product])
        for each in options
        if isinstance(each.product, ListedOption) and each.product in inputs.prices
    ]
    return total("net option value", held)


def _ticker(position: Position) -> str:
    return _hangs_on(position) or position.product.symbol


def _hangs_on(position: Position) -> str:
    """Return the ticker on whose price a position hangs, options on index futures too, or ""."""
    product = position.product
    return ticker_held(product.underlying if isinstance(product, FutureOption) else product)
