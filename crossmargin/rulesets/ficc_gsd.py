"""FICC Government Securities Division: margin of unsettled Treasuries and repo, at the clearing level.

Models the VaR Charge: 99 % three-day historical simulation by full repricing of every cash flow, the haircut method
for securities within a year of maturity and those the library has no pricing for (TIPS, FRN), and the percentage
floor. Every other charge of the public list stands as a line that is not modelled, with the reason: none of them has
both its formula and its figures in public. A repo on a security of the haircut method takes that method too, and its
interest is then not at risk here. FICC's own calibration is confidential: see the grades
in `ficc_gsd.toml`. Official margin comes from vendor sensitivities, not from repricing.
"""

from __future__ import annotations

from datetime import date

from crossmargin.methodology import (
    Inputs,
    haircut_charge,
    historical_scenarios,
    row_of,
    security_exposures,
    tail_charge,
    unmodelled,
)
from crossmargin.parameters import Reader
from crossmargin.pnl import can_revalue
from crossmargin.portfolio import Pool, Position
from crossmargin.products.treasuries import TREASURY_SECURITIES, Repo, ReverseRepo, TreasurySecurity, years_between
from crossmargin.results import Line, largest, not_modelled, scaled, total
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSpec

HAIRCUT_KINDS = frozenset({"tips", "treasury_frn"})  # no pricing model here, as no vendor analytics at FICC
OTHER_CHARGES = {
    "blackout_period_exposure": "applies to GCF and mortgage pools only; pool factors are not modelled",
    "backtesting_charge": "needs the member's own record of backtesting deficiencies",
    "excess_capital_premium": "looks at the member's VaR Charge over all its portfolios; its formula was not read",
    "holiday_charge": "the number of extra days and its calendar are not public in figures",
    "intraday_supplemental": "needs the intraday positions of the noon cycle",
    "intraday_mark_to_market": "needs intraday prices; triggers of this division are not public",
    "margin_liquidity_adjustment": "asset-group tables and market-impact parameters are confidential",
    "portfolio_differential": "needs the member's record of VaR Charges between cycles",
    "volatility_event_charge": "set by FICC case by case",
    "special_charge": "set by FICC case by case",
}


def scenarios(p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return the historical scenarios of the VaR Charge."""
    return (historical_scenarios(p),)


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the Required Fund Deposit, or the Segregated Customer Margin Requirement, of one margin portfolio."""
    others = total("other charges", [not_modelled(name, why) for name, why in OTHER_CHARGES.items()])
    return total("ficc_gsd requirement", [var_charge(pool, inputs, p), others])


def var_charge(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the VaR Charge: the model amount, but not less than the VaR Floor."""
    by_haircut = {position.id for position in pool.positions if _takes_haircut(position, inputs.as_of, p)}
    priced = [position for position in pool.positions if position.id not in by_haircut]
    others = [position for position in pool.positions if position.id in by_haircut]
    model = total("model", [*_simulated(priced, inputs, p), _haircuts(others, inputs, p)])
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
    measure = TailMeasure("quantile", confidence=p.confidence, quantile_type=p.quantile_type)
    (spec,) = scenarios(p)
    charge = tail_charge("simulated_var", inputs.pooled(positions, spec), measure, p.taken())
    unpriced = [position for position in positions if not can_revalue(position.product)]
    return [charge, *unmodelled(unpriced, "this rule-set has no model for the product")]


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
