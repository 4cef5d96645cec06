"""SPAN on futures and options on futures, with risk arrays built from the market: no exchange file needed.

Price and volatility scan ranges, calendar charges and credits are our calibration, dated in `span.toml`; the algorithm
is `crossmargin.span`. Options are European in Black's model, valued at their observed price where the market has one.
A position whose contract has no scan range, or whose option has no price or volatility, is a line that is not modelled.
The figure is what the clearing house asks, of members and hedgers; the initial level of speculators is a house term.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen

from crossmargin.curves import discount_factors, year_fractions, zero_rates
from crossmargin.errors import InputError, Problem
from crossmargin.market import Market
from crossmargin.methodology import Inputs
from crossmargin.parameters import Reader
from crossmargin.pnl import revalue
from crossmargin.portfolio import Pool, Position
from crossmargin.pricing.shares import share_price
from crossmargin.products.futures import IndexFuture, ShortRateFuture, TreasuryFuture, contract_spec
from crossmargin.products.options import FutureOption
from crossmargin.results import Line, not_modelled, total
from crossmargin.scenarios import ScenarioSpec, grid_scenarios
from crossmargin.span.arrays import (
    OptionTerms,
    ScanRanges,
    ScenarioGrid,
    VolatilityScanType,
    futures_array,
    option_array,
    scenario_grid,
)
from crossmargin.span.portfolio import (
    CalendarSpread,
    CombinedCommodity,
    Contract,
    Holding,
    InterSpread,
    Leg,
    MonthRange,
    SpanPortfolio,
    Tier,
)
from crossmargin.span.requirement import span_requirement

Future: TypeAlias = TreasuryFuture | ShortRateFuture | IndexFuture
Row: TypeAlias = Mapping[str, Any]

_DAYS_A_YEAR = 365  # literal: the day count of times to expiry, Act/365
_FIRST_MONTH, _LAST_MONTH = 190001, 299912  # literal: one tier holds every contract month


@frozen(eq=False)
class _Arrays:
    """What the risk arrays of one pool are built from."""

    market: Market
    grid: ScenarioGrid
    rows: Mapping[str, Row]
    delta_weights: tuple[float, ...]
    rounding_increment: float
    volatility_scan_type: VolatilityScanType
    look_ahead_years: float


@frozen
class Gap:
    """A position that has no risk array, and why."""

    position: Position
    why: str


def scenarios(p: Reader) -> tuple[ScenarioSpec, ...]:  # noqa: ARG001 - the signature that rule-sets share
    """Return no scenario set: SPAN moves each contract by its own scan ranges."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the requirement of one pool of futures and options on futures, USD.

    References
    ----------
    CME Group, public SPAN documentation. In the exchange's files initial and maintenance level are one for members and
    hedgers.
    """
    portfolio, gaps = span_portfolio(pool, inputs, p)
    asked = span_requirement(portfolio).maintenance
    lines = [not_modelled(f"{gap.position.id}: {gap.position.product.symbol}", gap.why) for gap in gaps]
    return total("span requirement", [asked, *lines], reads=p.taken())


def span_portfolio(pool: Pool, inputs: Inputs, p: Reader) -> tuple[SpanPortfolio, tuple[Gap, ...]]:
    """Return the pool as SPAN sees it, and the positions left out with the reason.

    All amounts are USD, arrays are of our own calibration.

    Raises
    ------
    InputError
        A contract is put under a combined commodity that has no row of its own.
    """
    arrays = _arrays(inputs.market, p)
    holdings: dict[str, list[Holding]] = {}
    gaps: list[Gap] = []
    known: dict[object, Contract | str] = {}
    for position in pool.positions:
        product = position.product
        if product not in known:
            known[product] = _contract(product, arrays)
        contract = known[product]
        if isinstance(contract, str):
            gaps.append(Gap(position, contract))
        else:
            code = _row(product, arrays)["combined_commodity"]
            holdings.setdefault(code, []).append(Holding(contract, position.quantity))
    commodities = [_commodity(code, held, arrays, p) for code, held in holdings.items()]
    spreads = [_spread(row) for row in p.inter_spreads]
    return SpanPortfolio(commodities=commodities, inter_spreads=spreads), tuple(gaps)


def _arrays(market: Market, p: Reader) -> _Arrays:
    grid = scenario_grid(p.price_scan_steps, p.extreme_move_multiplier, p.extreme_move_cover_fraction)
    return _Arrays(
        market,
        grid,
        {row["contract"]: row for row in p.contracts},
        p.delta_weights,
        p.rounding_increment,
        p.volatility_scan_type,
        p.look_ahead_days / _DAYS_A_YEAR,
    )


def _contract(product: object, arrays: _Arrays) -> Contract | str:
    """Return the contract with its array, or why there is none."""
    if not isinstance(product, Future | FutureOption):
        return "SPAN margins futures and options on futures only"
    row = _row(product, arrays)
    if not row:
        return f"our calibration has no scan range for {_future(product).contract}"
    if isinstance(product, FutureOption):
        try:
            return _option(product, row, arrays)
        except InputError as error:
            return f"no risk array: {'; '.join(str(problem) for problem in error.problems)}"
    array = futures_array(row["price_scan_range"], arrays.grid, rounding_increment=arrays.rounding_increment)
    scaling = row["delta_scaling_factor"]
    return Contract(product.symbol, _month(product), array, 1.0, delta_scaling_factor=scaling)


def _option(option: FutureOption, row: Row, arrays: _Arrays) -> Contract | str:
    terms = _terms(option, arrays.market)
    if isinstance(terms, str):
        return terms
    ranges = ScanRanges(
        price_points=row["price_scan_range"] / option.units,
        volatility=row["volatility_scan_range"],
        volatility_type=arrays.volatility_scan_type,
        look_ahead_years=arrays.look_ahead_years,
    )
    weights, step = arrays.delta_weights, arrays.rounding_increment
    array = option_array(terms, ranges, arrays.grid, delta_weights=weights, rounding_increment=step)
    price = arrays.market.prices.get(option.symbol, array.value_points)
    return Contract(
        option.symbol,
        _month(option.underlying),
        array.loss_array,
        array.composite_delta,
        delta_scaling_factor=row["delta_scaling_factor"],
        right=option.right,
        option_value=price * option.units,
    )


def _terms(option: FutureOption, market: Market) -> OptionTerms | str:
    """Return what an option is priced from, or what of it the market lacks."""
    symbol = option.underlying.symbol
    known, price = market.underlyings.get(symbol), _futures_price(option.underlying, market)
    volatility = known.volatility if known else None
    if price is None:
        return f"the market has no price of {symbol}"
    if volatility is None:
        return f"the market has no volatility of {symbol}"
    if not isinstance(volatility, int | float):
        volatility = float(volatility.volatility([option.strike], option.expiry)[0])
    time = float(year_fractions(market.as_of, [option.expiry])[0])
    return OptionTerms(
        futures_price=price,
        strike=option.strike,
        right=option.right,
        volatility=volatility,
        time_to_expiry_years=time,
        interest_rate=_rate(market, time),
        contract_value_factor=option.units,
    )


def _futures_price(future: Future, market: Market) -> float | None:
    """Return the price of a future in points: observed, or else the model's; None where there is neither."""
    if isinstance(future, IndexFuture):
        return share_price(future, market)
    if future.symbol in market.prices:
        return market.prices[future.symbol]
    if isinstance(future, TreasuryFuture) and not future.basket:
        return None
    still = grid_scenarios((), [0.0])
    return float(revalue([future], market, still).base[0]) / contract_spec(future).point_value


def _rate(market: Market, time: float) -> float:
    """Return the continuous rate to a time in years, read from today's curve; 0 at once."""
    curve = market.curve
    discount = discount_factors(*zero_rates(curve.tenors, curve.par[:, None]), np.array([time]))[0, 0]
    return -float(np.log(discount)) / time if time else 0.0


def _commodity(code: str, held: Iterable[Holding], arrays: _Arrays, p: Reader) -> CombinedCommodity:
    """Return a combined commodity, all months in one tier; its charge is that of the contract it is named for."""
    if code not in arrays.rows:
        raise InputError([Problem("has no row of its own.", f"combined commodity {code!r}", "Add it to `contracts`.")])
    row = arrays.rows[code]
    across = CalendarSpread(1, row["calendar_charge"], [Leg(1, 1.0, "A"), Leg(1, 1.0, "B")])
    return CombinedCommodity(
        code=code,
        holdings=held,
        tiers=[Tier(1, _FIRST_MONTH, _LAST_MONTH)],
        tier_spreads=[across],
        short_option_rate=p.short_option_minimum_rate,
        short_option_method=p.short_option_minimum_method,
        price_risk_method=p.price_risk_method,
        month_ranges=[MonthRange(_FIRST_MONTH, row["price_scan_range"], row["delta_scaling_factor"])],
    )


def _spread(row: Row) -> InterSpread:
    legs = [Leg(leg["on"], leg["ratio"], leg["side"]) for leg in row["legs"]]
    return InterSpread(row["priority"], row["credit_rate_pct"], legs)


def _row(product: Any, arrays: _Arrays) -> Row:
    return arrays.rows.get(_future(product).contract, {})


def _future(product: Future | FutureOption) -> Future:
    return product.underlying if isinstance(product, FutureOption) else product


def _month(future: Future) -> int:
    return future.delivery_month if isinstance(future, TreasuryFuture) else future.month
