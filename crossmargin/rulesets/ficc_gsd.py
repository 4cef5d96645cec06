"""FICC Government Securities Division: margin of unsettled Treasuries and repo, at the clearing level.

Models the VaR Charge: 99 % three-day historical simulation by full repricing of every cash flow, the haircut method
for securities within a year of maturity and those the library has no pricing for (TIPS, FRN), and the percentage
floor. Beside the simulation stands what a model of key-rate sensitivities would say. Charges that look at a member's
own record (backtesting deficiencies, earlier VaR Charges, capital, the intraday mark, pledged mortgage pools) are
calculated for the members whose record is overlaid as `member_records`, what FICC sets case by case as
`set_charges`, and stand as lines that are not modelled for all others; `intraday_pnl` gives the mark. A repo on a
security of the haircut method takes that method too, and its interest is then not at risk here; before it has started
it moves no face, and a line says so. FICC's own calibration is confidential: see the grades in `ficc_gsd.toml`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
from attrs import evolve

from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.ficc_charges import (
    backtesting_charge,
    blackout_adjustment,
    charge_increases,
    covers,
    intraday_mark_charge,
    portfolio_differential,
    sensitivity_pnl,
    set_charge,
)
from crossmargin.historical_var import combiner, legs
from crossmargin.key_rates import BASIS_POINT, key_rates
from crossmargin.market import Market
from crossmargin.methodology import (
    Inputs,
    haircut_charge,
    row_of,
    security_exposures,
    unmodelled,
)
from crossmargin.parameters import Reader
from crossmargin.pnl import revalue
from crossmargin.portfolio import Pool, Position
from crossmargin.products import Product
from crossmargin.products.calendars import holidays, is_business_day, next_business_day
from crossmargin.products.treasuries import TREASURY_SECURITIES, Repo, ReverseRepo, TreasurySecurity, years_between
from crossmargin.results import Line, largest, not_modelled, scaled, total
from crossmargin.scenarios import ScenarioSpec, grid_scenarios

HAIRCUT_KINDS = frozenset({"tips", "treasury_frn"})  # no pricing model here, as no vendor analytics at FICC
OTHER_CHARGES = {
    "blackout_period_exposure": "for mortgage pools pledged in repo: overlay member_records with blackout_pools",
    "intraday_mark_to_market": "needs intraday prices: overlay member_records with intraday_pnl",
    "margin_liquidity_adjustment": "asset-group tables and market-impact parameters are confidential: overlay them",
    "volatility_event_charge": "set by FICC case by case: overlay set_charges",
    "special_charge": "set by FICC case by case: overlay set_charges",
}
SET_CHARGES = ("volatility_event_charge", "special_charge")
_NO_RECORD = "needs the member's own record: overlay member_records with {}"
_OWN = ("cycle_var_charges", "deficiencies", "backtest_days", "capital", "noon_var_charge", "margin_proxy")
_RECORD = frozenset({"owner", "firm", "account_class", *_OWN, "intraday_pnl", "blackout_pools"})
_NO_FACE = "a repo that has not started moves no face, and its interest is not at risk under the haircut method"


def scenarios(p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return the historical scenarios of the VaR Charge, the stress period appended to the look-back."""
    return tuple(leg.spec for leg in legs(p))


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the Required Fund Deposit, or the Segregated Customer Margin Requirement, of one margin portfolio."""
    charge = var_charge(pool, inputs, p)
    charges = [
        _holiday_charge(charge, inputs.as_of, p),
        _liquidity_adjustment(pool, inputs, p),
        *_of_record(pool, charge, p),
        _blackout(pool, inputs.as_of, p),
        *_as_set(pool, charge, p),
    ]
    return total("ficc_gsd requirement", [charge, total("other charges", charges)])


def intraday_pnl(positions: Iterable[Position], *, last: Market, now: Market) -> float:
    """Return what positions gained from the last mark to now, USD, gain > 0: the `intraday_pnl` of a member's record.

    Parameters
    ----------
    positions : iterable of Position
        Of one margin portfolio.
    last, now : Market
        The market of the last mark and the intraday one, of one date: curves, and observed prices where they have any.

    Raises
    ------
    InputError
        Markets of different dates; products that a market cannot price.
    """
    if last.as_of != now.as_of:
        fix = "Give the market of the last mark the date of the intraday one."
        raise InputError([Problem(f"{last.as_of} and {now.as_of} are two dates.", "intraday_pnl", fix)])
    held = tuple(positions)
    products, still = [position.product for position in held], grid_scenarios((), [0.0])
    before, after = (revalue(products, market, still) for market in (last, now)) if held else (None, None)
    if before is None or after is None:
        return 0.0
    gains = dict(zip(after.products, after.base + after.basis - before.base - before.basis, strict=True))
    return math.fsum(position.quantity * float(gains[position.product]) for position in held)


def var_charge(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the VaR Charge: the model amount, or the Margin Proxy in its place, but not less than the VaR Floor."""
    by_haircut = {position.id for position in pool.positions if _takes_haircut(position, inputs.as_of, p)}
    priced = [position for position in pool.positions if position.id not in by_haircut]
    others = [position for position in pool.positions if position.id in by_haircut]
    proxy = _record(pool, p).get("margin_proxy")
    reads = p.taken()
    if proxy is None:
        haircuts = [_haircuts(others, inputs, p), *unmodelled(_without_face(others, inputs.as_of), _NO_FACE)]
        model = total("model", [*_simulated(priced, inputs, p), *haircuts], reads=reads)
    else:
        model = Line("margin_proxy", proxy, reads=reads)
    percentage, why = percentage_floor(pool, inputs, p), p.minimum_margin_amount
    minimum = [not_modelled("minimum_margin_amount", why)] if why else []  # there is none before its first day
    return largest("var_charge", [model, largest("var_floor", [percentage, *minimum], reads=p.taken())])


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
    unpriced = [position for position in positions if not inputs.revalued(position, leg.spec)]
    memo = [evolve(beside, name="var by key-rate sensitivities")]
    simulated = combiner(p).line("simulated_var", charge, reads=p.taken(), memo=memo)
    return [simulated, *unmodelled(unpriced, "this rule-set has no model for the product")]


def _by_sensitivities(held: list[Position], inputs: Inputs, spec: ScenarioSpec) -> FloatArray:
    """Return the pooled P&L [n_scenarios] that KR01 and convexity of the positions see, USD."""
    if not held:
        return np.zeros(0)
    drawn = inputs.pnl[spec].scenarios
    quantities: dict[Product, list[float]] = {}
    for position in sorted(held, key=lambda position: position.product.symbol):
        quantities.setdefault(position.product, []).append(position.quantity)
    known: dict[Product, tuple[FloatArray, FloatArray]] = inputs.once(("key rates", spec), dict)
    missing = [product for product in quantities if product not in known]
    if missing:
        found = key_rates(missing, inputs.market, drawn.tenors)
        known |= dict(zip(missing, zip(found.kr01, found.convexity, strict=True), strict=True))
    net = np.array([math.fsum(each) for each in quantities.values()])
    kr01, convexity = (net @ np.vstack(rows) for rows in zip(*(known[each] for each in quantities), strict=True))
    return sensitivity_pnl(kr01, convexity, drawn.shifts.T / BASIS_POINT)


def _haircuts(positions: list[Position], inputs: Inputs, p: Reader) -> Line:
    exposures = security_exposures(positions, inputs.as_of)
    table = p.haircuts
    return haircut_charge("haircut_charge", exposures, table, as_of=inputs.as_of, reads=p.taken())


def _without_face(positions: Iterable[Position], as_of: date) -> list[Position]:
    """Return the repos both of whose legs are still to come: they net to no face, and to no haircut."""
    return [
        position
        for position in positions
        if isinstance(position.product, Repo | ReverseRepo) and position.quantity and position.product.start > as_of
    ]


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
    problems = Problems()
    for number, row in enumerate(p.member_records, 1):
        where = f"ficc_gsd, member_records, row {number}"
        if "owner" not in row:
            problems.add("has no owner.", where=where, fix="Say whose record it is.")
        for name in sorted(set(row) - _RECORD):
            problems.add(f"has {name!r}.", where=where, fix=suggestion(name, _RECORD))
    problems.raise_if_any()
    return next((row for row in p.member_records if row["owner"] == pool.owner and _is_of(row, pool)), {})


def _is_of(row: Mapping[str, Any], pool: Pool) -> bool:
    """Whether an overlaid row is about a margin portfolio: where it names no owner, firm or class it is for all."""
    return all(row.get(name, getattr(pool, name)) == getattr(pool, name) for name in ("owner", "firm", "account_class"))


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
        evolve(made(record, charge, p), reads=p.taken())
        if needed in record
        else not_modelled(name, OTHER_CHARGES.get(name, _NO_RECORD.format(needed)))
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


def _intraday_mark(record: Mapping[str, Any], charge: Line, p: Reader) -> Line:
    covered = None
    if {"deficiencies", "backtest_days"} <= set(record):
        covered = covers(len(record["deficiencies"]), record["backtest_days"], p.backtest_coverage_target)
    least, share = p.intraday_mark_minimum, p.intraday_mark_share
    return intraday_mark_charge(record["intraday_pnl"], charge.value, least=least, share=share, covered=covered)


def _blackout(pool: Pool, as_of: date, p: Reader) -> Line:
    """Return the Blackout Period Exposure Adjustment of the pools told, which counts early in the month only."""
    name, pools = "blackout_period_exposure", _record(pool, p).get("blackout_pools")
    if pools is None:
        return not_modelled(name, OTHER_CHARGES[name])
    day = sum(is_business_day(as_of.replace(day=day)) for day in range(1, as_of.day + 1))
    counts = p.blackout_first_business_day <= day <= p.blackout_last_business_day
    exposure = evolve(blackout_adjustment(pools), name="expected paydowns")
    return scaled(name, float(counts), exposure, reads=p.taken(), note=f"business day {day} of the month")


def _as_set(pool: Pool, charge: Line, p: Reader) -> list[Line]:
    """Return the charges that FICC sets case by case, each as a gap until it is told."""
    rows, problems = p.set_charges, Problems()
    for row in rows:
        if row.get("charge") not in SET_CHARGES:
            fix = suggestion(str(row.get("charge")), SET_CHARGES)
            problems.add(f"unknown charge {row.get('charge')!r}.", where="set_charges", fix=fix)
    problems.raise_if_any()
    reads, lines = p.taken(), []
    for name in SET_CHARGES:
        told = [row for row in rows if row["charge"] == name and _is_of(row, pool)]
        made = evolve(set_charge(name, told, _again(charge)), reads=reads)
        lines.append(made if told else not_modelled(name, OTHER_CHARGES[name]))
    return lines


_OF_RECORD = (
    ("portfolio_differential", "cycle_var_charges", _differential),
    ("backtesting_charge", "deficiencies", _backtesting),
    ("excess_capital_premium", "capital", _capital_premium),
    ("intraday_supplemental", "noon_var_charge", _supplemental),
    ("intraday_mark_to_market", "intraday_pnl", _intraday_mark),
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


def simulates(product: Product, as_of: date, p: Reader) -> bool:
    """Return whether a product enters the simulation; the haircut method takes the others."""
    return not _takes_haircut(Position("", "", product, 0.0), as_of, p)
