"""FICC Government Securities Division: margin of unsettled Treasuries and repo, at the clearing level.

Models the VaR Charge: 99 % three-day historical simulation by full repricing of every cash flow, the haircut method
for securities within a year of maturity and those the library has no pricing for (TIPS, FRN), and the percentage
floor. Beside the simulation stands what a model of key-rate sensitivities would say. Charges that look at a member's
own record (backtesting deficiencies, earlier VaR Charges, capital) are calculated for the members whose record is
overlaid as `member_records`, and stand as lines that are not modelled for all others. A repo on a security of the
haircut method takes that method too, and its interest is then not at risk here. FICC's own calibration is confidential:
see the grades in `ficc_gsd.toml`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
from attrs import evolve

from crossmargin.columns import FloatArray
from crossmargin.ficc_charges import (
    backtesting_charge,
    charge_increases,
    portfolio_differential,
    sensitivity_pnl,
)
from crossmargin.historical_var import combiner, legs
from crossmargin.key_rates import BASIS_POINT, key_rates
from crossmargin.methodology import (
    Inputs,
    haircut_charge,
    row_of,
    security_exposures,
    unmodelled,
)
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool, Position
from crossmargin.products.calendars import holidays, next_business_day
from crossmargin.products.treasuries import TREASURY_SECURITIES, Repo, ReverseRepo, TreasurySecurity, years_between
from crossmargin.results import Line, largest, not_modelled, scaled, total
from crossmargin.scenarios import ScenarioSpec

HAIRCUT_KINDS = frozenset({"tips", "treasury_frn"})  # no pricing model here, as no vendor analytics at FICC
OTHER_CHARGES = {
    "blackout_period_exposure": "applies to GCF and mortgage pools only; pool factors are not modelled",
    "intraday_mark_to_market": "needs intraday prices; triggers of this division are not public",
    "margin_liquidity_adjustment": "asset-group tables and market-impact parameters are confidential: overlay them",
    "volatility_event_charge": "set by FICC case by case",
    "special_charge": "set by FICC case by case",
}
_NO_RECORD = "needs the member's own record: overlay member_records"


def scenarios(p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return the historical scenarios of the VaR Charge, the stress period appended to the look-back."""
    return tuple(leg.spec for leg in legs(p))


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the Required Fund Deposit, or the Segregated Customer Margin Requirement, of one margin portfolio."""
    charge = var_charge(pool, inputs, p)
    liquidity = _liquidity_adjustment(pool, inputs, p)
    unknown = [not_modelled(name, why) for name, why in OTHER_CHARGES.items() if name != liquidity.name]
    charges = [_holiday_charge(charge, inputs.as_of, p), liquidity, *_of_record(pool, charge, p), *unknown]
    return total("ficc_gsd requirement", [charge, total("other charges", charges)])


def var_charge(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the VaR Charge: the model amount, or the Margin Proxy in its place, but not less than the VaR Floor."""
    by_haircut = {position.id for position in pool.positions if _takes_haircut(position, inputs.as_of, p)}
    priced = [position for position in pool.positions if position.id not in by_haircut]
    others = [position for position in pool.positions if position.id in by_haircut]
    proxy = _record(pool, p).get("margin_proxy")
    reads = p.taken()
    if proxy is None:
        model = total("model", [*_simulated(priced, inputs, p), _haircuts(others, inputs, p)], reads=reads)
    else:
        model = Line("margin_proxy", proxy, reads=reads)
    minimum = not_modelled("minimum_margin_amount", "its formula stands in a confidential exhibit (89 FR 18981)")
    floor = largest("var_floor", [percentage_floor(pool, inputs, p), minimum])
    return largest("var_charge", [model, floor])


def percentage_floor(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the VaR Floor Percentage Amount: gross net-unsettled positions by maturity times the bond floor rate."""
    exposures = security_exposures(pool.positions, inputs.as_of)
    gross = [_gross_haircut(security, face, inputs.as_of, p) for security, face in exposures.items()]
    base = total("index haircut on gross positions", gross)
    return scaled("percentage_floor", p.floor_share, base, reads=p.taken())


def _simulated(positions: list[Position], inputs: Inputs, p: Reader) -> list[Line]:
    (leg,) = legs(p)
    charge = leg.line(inputs.pooled(positions, leg.spec))
    held = [position for position in positions if inputs.revalued(position, leg.spec)]
    beside = leg.line(_by_sensitivities(held, inputs, leg.spec))
    unpriced = [position for position in positions if position not in held]
    memo = [evolve(beside, name="var by key-rate sensitivities")]
    simulated = combiner(p).line("simulated_var", charge, reads=p.taken(), memo=memo)
    return [simulated, *unmodelled(unpriced, "this rule-set has no model for the product")]


def _by_sensitivities(held: list[Position], inputs: Inputs, spec: ScenarioSpec) -> FloatArray:
    """Return the pooled P&L [n_scenarios] that KR01 and convexity of the positions see, USD."""
    if not held:
        return np.zeros(0)
    drawn = inputs.pnl[spec].scenarios
    products = sorted({position.product for position in held}, key=lambda product: product.symbol)
    quantities = [math.fsum(each.quantity for each in held if each.product == product) for product in products]
    sensitivities = key_rates(products, inputs.market, drawn.tenors).pooled(quantities)
    return sensitivity_pnl(*sensitivities, drawn.shifts.T / BASIS_POINT)


def _haircuts(positions: list[Position], inputs: Inputs, p: Reader) -> Line:
    exposures = security_exposures(positions, inputs.as_of)
    table = p.haircuts
    return haircut_charge("haircut_charge", exposures, table, as_of=inputs.as_of, reads=p.taken())


def _takes_haircut(position: Position, as_of: date, p: Reader) -> bool:
    """Whether a security, or a repo by its collateral, takes the haircut method: one security, one method."""
    product = position.product
    security = product.collateral if isinstance(product, Repo | ReverseRepo) else product
    if not isinstance(security, TREASURY_SECURITIES):
        return False
    within: bool = years_between(as_of, security.maturity) <= p.haircut_method_years
    return within or security.kind in HAIRCUT_KINDS


def _gross_haircut(security: TreasurySecurity, face: float, as_of: date, p: Reader) -> Line:
    row = row_of(security, p.index_haircuts, as_of)
    if row is None:
        return not_modelled(security.symbol, "no index haircut in the table for this maturity")
    return scaled(security.symbol, row["haircut"], Line("gross position", abs(face)))


# --------------------------------------------------------------------------------------------- charges beyond the VaR


def _record(pool: Pool, p: Reader) -> Mapping[str, Any]:
    """Return what is overlaid of the member's own record for this margin portfolio, {} when nothing."""
    for row in p.member_records:
        same_class = row.get("account_class", pool.account_class) == pool.account_class
        if row["owner"] == pool.owner and row.get("firm", pool.firm) == pool.firm and same_class:
            return dict(row)
    return {}


def _of_record(pool: Pool, charge: Line, p: Reader) -> list[Line]:
    """Return the charges that look at the member's own record, each as a gap where it does not say enough.

    References
    ----------
    SR-FICC-2026-002 and -003 (list of charges); Release 34-98160 (portfolio differential); the Excess Capital Premium
    and the intraday supplement as recalled: (VaR Charge - capital) times their ratio up to a cap, and what the noon
    portfolio asks beyond the morning's.
    """
    record = _record(pool, p)
    return [
        evolve(made(record, charge, p), reads=p.taken()) if needed in record else not_modelled(name, _NO_RECORD)
        for name, needed, made in _OF_RECORD
    ]


def _differential(record: Mapping[str, Any], _: Line, p: Reader) -> Line:
    increases = charge_increases(record["cycle_var_charges"])
    return portfolio_differential(increases, p.differential_decay, p.differential_multiplier)


def _backtesting(record: Mapping[str, Any], _: Line, p: Reader) -> Line:
    target, rank = p.backtest_coverage_target, p.backtest_deficiency_rank
    return backtesting_charge(record["deficiencies"], record["backtest_days"], coverage_target=target, rank=rank)


def _capital_premium(record: Mapping[str, Any], charge: Line, p: Reader) -> Line:
    capital = Line("capital", record["capital"])
    ratio = min(p.capital_premium_cap, charge.value / capital.value) if capital.value > 0 else p.capital_premium_cap
    return scaled("excess_capital_premium", ratio, _beyond("VaR Charge beyond capital", charge, capital))


def _supplemental(record: Mapping[str, Any], charge: Line, _: Reader) -> Line:
    return _beyond("intraday_supplemental", Line("VaR Charge at noon", record["noon_var_charge"]), charge)


_OF_RECORD = (
    ("portfolio_differential", "cycle_var_charges", _differential),
    ("backtesting_charge", "deficiencies", _backtesting),
    ("excess_capital_premium", "capital", _capital_premium),
    ("intraday_supplemental", "noon_var_charge", _supplemental),
)


def _beyond(name: str, over: Line, under: Line) -> Line:
    """Return what one line has over another, never negative."""
    less = scaled(f"less {under.name}", -1.0, _again(under))
    return largest(name, [total("difference", [_again(over), less]), Line("nothing", 0.0)])


def _again(line: Line) -> Line:
    """Return the figure of a line whose parts already stand in the tree."""
    return Line(f"{line.name}, as above", line.value)


def _holiday_charge(charge: Line, as_of: date, p: Reader) -> Line:
    """Return the extra days of a close-out that runs into a holiday, by the root of time; 0 on any other day."""
    next_day = next_business_day(as_of)
    ahead = (as_of + timedelta(days=count) for count in range(1, (next_day - as_of).days))
    extra = p.holiday_extra_days * any(day in holidays(day.year) for day in ahead)
    factor = math.sqrt((p.horizon_days + extra) / p.horizon_days) - 1.0
    return scaled("holiday_charge", factor, _again(charge), reads=p.taken())


def _liquidity_adjustment(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the Margin Liquidity Adjustment by the overlaid impact table; a gap where there is none.

    References
    ----------
    DTCC's market risk page; mechanics as recalled: market impact by maturity group against the VaR of one day, nothing
    below a ratio of the two.
    """
    name, table = "margin_liquidity_adjustment", p.impact_table
    if not table:
        return not_modelled(name, OTHER_CHARGES[name])
    impact = total("market impact", [_impact(row, pool, inputs) for row in table], reads=p.taken())
    (leg,) = legs(p)
    var = evolve(leg.line(inputs.pooled(pool.positions, leg.spec)), name="VaR")
    one_day = scaled("VaR of one day", 1.0 / math.sqrt(p.horizon_days), var)
    counts = impact.value >= p.impact_threshold * one_day.value
    return scaled(name, 1.0 if counts else 0.0, impact, reads=p.taken(), memo=[one_day])


def _impact(row: Mapping[str, Any], pool: Pool, inputs: Inputs) -> Line:
    """Return `impact` times the net face of a maturity group to the power that the row states, USD."""
    exposures = security_exposures(pool.positions, inputs.as_of)
    net = math.fsum(face for security, face in exposures.items() if row_of(security, [row], inputs.as_of))
    return Line(row["bucket"], row["impact"] * abs(net) ** row["power"], note=f"net face {net:,.0f}")
