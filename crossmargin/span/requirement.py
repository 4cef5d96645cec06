"""The SPAN requirement of one account, as a tree of lines that a clerk could follow with the exchange's file at hand.

Call `span_requirement(portfolio)`. Order of the steps: scan each combined commodity; series spreads; tier spreads on
what is left; spot charge; scanning-based spreads; inter-commodity and then inter-exchange credits; short option
minimum; net option value; ratios of the account type. How CME orders scanning-based spreads against calendar charges
is not public: here the legs' own calendar and spot charges stay. The records it takes are in `portfolio.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from attrs import frozen

from crossmargin.results import Line, largest, not_modelled, product, scaled, total
from crossmargin.span.commodity import COUNT, NO_MONTHS, Unit, leg_tiers, unit, with_merged
from crossmargin.span.portfolio import InterSpread, Leg, SpanPortfolio
from crossmargin.span.scanning import ScanRisk
from crossmargin.span.spreads import DeltaLedger, Formed, Part, form_inter_spreads, part_of

_Shares: TypeAlias = Callable[[InterSpread, Leg], float | None]


@frozen(kw_only=True)
class Charges:
    """What the risk of a combined commodity is made of; credits are zero or negative."""

    scan_risk: Line
    intra_commodity_charge: Line
    spot_charge: Line
    inter_commodity_credit: Line
    inter_exchange_credit: Line
    short_option_minimum: Line
    gaps: tuple[Line, ...] = ()


@frozen(kw_only=True)
class CommodityRisk:
    """The risk of one combined commodity, or of the target of a scanning-based spread with its `members`.

    `weighted_futures_price_risk` is None where there is no net delta. `risk` is before the factors of the account type.
    """

    code: str
    members: tuple[str, ...]
    scan: ScanRisk
    net_delta: float
    weighted_futures_price_risk: float | None
    charges: Charges
    risk: Line
    net_option_value: Line


@frozen(kw_only=True)
class SpanResult:
    """The requirement of an account, maintenance and initial, with what led to it; money, requirements >= 0.

    `spreads_formed` are the inter-commodity, then the inter-exchange spreads, each by priority;
    `excess_net_option_value` is option value beyond the maintenance risk it pays for.
    """

    maintenance: Line
    initial: Line
    commodities: tuple[CommodityRisk, ...]
    spreads_formed: tuple[Formed[InterSpread], ...]
    excess_net_option_value: float


def span_requirement(portfolio: SpanPortfolio) -> SpanResult:
    """Return what an account must post under SPAN.

    Parameters
    ----------
    portfolio : SpanPortfolio
        Holdings with the exchange's arrays and tables, or arrays of our own.

    Returns
    -------
    SpanResult
        Requirements in the portfolio's currency; what cannot be computed is a line that is not modelled.

    Raises
    ------
    InputError
        Legs of a scanning-based spread in different currencies.

    References
    ----------
    CME Group, public SPAN documentation; formulas as KDPW_CCP and open implementations publish them.

    Examples
    --------
    >>> from crossmargin.span.portfolio import CombinedCommodity, Contract, Holding
    >>> array = [0, 0, -350, -350, 350, 350, -700, -700, 700, 700, -1050, -1050, 1050, 1050, -1040, 1040]
    >>> notes = CombinedCommodity(code="21", holdings=[Holding(Contract("21-202609", 202609, array, 1.0), 10)])
    >>> span_requirement(SpanPortfolio(commodities=[notes])).maintenance.amount
    10500.0
    """
    units = [unit(commodity, gross=portfolio.gross) for commodity in portfolio.commodities]
    if not portfolio.gross:
        for spread in sorted(portfolio.scan_spreads, key=lambda spread: spread.priority):
            units = with_merged(units, spread)
    inter, exchange = _spreads_between(units, portfolio)
    shares = partial(_share, price_risks(units), {each.code: each.currency for each in units})
    risks = [_commodity_risk(each, inter, exchange, shares) for each in units]
    owed = [(each, risk) for each, risk in zip(units, risks, strict=True) if not each.members[0].away]
    return SpanResult(
        maintenance=_owed("maintenance", "adjustment_factors", owed, portfolio=portfolio),
        initial=_owed("initial", "initial_ratios", owed, portfolio=portfolio),
        commodities=tuple(risks),
        spreads_formed=(*inter, *exchange),
        excess_net_option_value=_excess(owed, portfolio),
    )


def risk_line(name: str, charges: Charges) -> Line:
    """Return scan risk and charges less credits, but at least the short option minimum.

    References
    ----------
    CME Group, public SPAN documentation, the risk of a combined commodity.
    """
    parts = (
        charges.scan_risk,
        charges.intra_commodity_charge,
        charges.spot_charge,
        charges.inter_commodity_credit,
        charges.inter_exchange_credit,
    )
    currency = charges.scan_risk.unit
    before = total("combined commodity risk", [*parts, *charges.gaps], unit=currency)
    return largest(name, [before, charges.short_option_minimum], unit=currency)


def requirement_line(name: str, risks: Sequence[Line], net_option_value: Line) -> Line:
    """Return the risks less the net option value that may pay for them, never below zero."""
    currency = net_option_value.unit
    less = scaled("less net option value", -1.0, net_option_value, unit=currency)
    net = total("risk less net option value", [*risks, less], unit=currency)
    return largest(name, [net, Line("nothing below zero", 0.0, unit=currency)], unit=currency)


def credit_line(
    leg: Leg, formed: Formed[InterSpread], price_risk: float, *, share: float | None = None, unit: str = "USD"
) -> Line:
    """Return what a delta-based spread credits to one of its legs: never positive.

    Parameters
    ----------
    leg : Leg
    formed : Formed
    price_risk : float
        Weighted futures price risk of the leg, money per delta.
    share : float, optional
        Part of a flat credit that this leg takes; None where the legs are in different currencies: a gap.

    References
    ----------
    CME Group, public SPAN documentation, inter-commodity spread credits by weighted futures price risk, flat, and per
    month per spread.
    """
    spread, count = formed.spread, formed.count
    spreads = Line("spreads formed", count, unit=COUNT)
    if spread.method != "price_risk":
        return _flat_credit(spread, spreads, share, unit)
    parts = [
        spreads,
        Line("deltas a spread", leg.ratio, unit=COUNT),
        Line("weighted futures price risk", price_risk, unit=unit),
    ]
    name = f"spread {spread.priority} at {spread.credit_rate_pct:g} per cent"
    return product(name, parts, factor=-spread.credit_rate_pct / 100, unit=unit)


def _flat_credit(spread: InterSpread, spreads: Line, share: float | None, unit: str) -> Line:
    name = f"spread {spread.priority} at {spread.credit_rate_pct:g} each"
    if spread.method == "per_month" and spread.months is None:
        return not_modelled(name, NO_MONTHS.format(spreads.value), unit=unit)
    if share is None:
        return not_modelled(name, "its legs are in different currencies, and an amount has but one", unit=unit)
    months = [] if spread.method == "flat" else [Line("months of one", spread.months, unit=COUNT)]
    parts = [spreads, *months, Line("share of this leg", share, unit=COUNT)]
    return product(name, parts, factor=-spread.credit_rate_pct, unit=unit)


def _spreads_between(
    units: Sequence[Unit], portfolio: SpanPortfolio
) -> tuple[tuple[Formed[InterSpread], ...], tuple[Formed[InterSpread], ...]]:
    """Return the spreads between commodities that came about, inside the complex and with other exchanges."""
    if portfolio.gross:
        return (), ()
    ledger = DeltaLedger(
        {(each.code, month): delta for each in units for month, delta in each.held.items()},
        {(each.code, month): delta for each in units for month, delta in each.remaining.items()},
    )
    risks = price_risks(units)
    tiers = {each.code: leg_tiers(each.members[0]) for each in units if len(each.members) == 1}
    away = {each.code for each in units if each.members[0].away}
    inside = [each for each in portfolio.inter_spreads if not any(leg.on in away for leg in each.legs)]
    inter = form_inter_spreads(ledger, inside, risks, tiers=tiers)
    return inter, form_inter_spreads(ledger, portfolio.exchange_spreads, risks, tiers=tiers)


def price_risks(units: Iterable[Unit]) -> dict[Part, float | None]:
    """Return the weighted futures price risk of every commodity and of its tiers for spreads."""
    found: dict[Part, float | None] = {}
    for each in units:
        found[each.code, None] = each.price_risk
        found.update({(each.code, number): risk for number, risk in each.tier_price_risk.items()})
    return found


def _share(
    risks: Mapping[Part, float | None], currencies: Mapping[str, str], spread: InterSpread, leg: Leg
) -> float | None:
    """Return the part of a flat credit that a leg takes: its part of the price risk that the spread uses up.

    So are credits by price risk shared out; how an exchange shares an amount is not published.
    """
    if len({currencies[str(each.on)] for each in spread.legs}) > 1:
        return None
    weights = [each.ratio * (risks[part_of(each)] or 0.0) for each in spread.legs]
    return weights[spread.legs.index(leg)] / math.fsum(weights)


def _commodity_risk(
    each: Unit, inter: Iterable[Formed[InterSpread]], exchange: Iterable[Formed[InterSpread]], shares: _Shares
) -> CommodityRisk:
    gaps = [f"{commodity.code}: {gap}" for commodity in each.members for gap in commodity.gaps]
    charges = Charges(
        scan_risk=each.scan_line,
        intra_commodity_charge=each.calendar_line,
        spot_charge=each.spot_line,
        inter_commodity_credit=_credits("inter-commodity credit", each, inter, shares),
        inter_exchange_credit=_credits("inter-exchange credit", each, exchange, shares),
        short_option_minimum=each.minimum_line,
        gaps=tuple(not_modelled(gap, "the exchange asks for it; it is not modelled") for gap in gaps),
    )
    return CommodityRisk(
        code=each.code,
        members=tuple(commodity.code for commodity in each.members),
        scan=each.scan,
        net_delta=each.net_delta,
        weighted_futures_price_risk=each.price_risk,
        charges=charges,
        risk=risk_line(each.code, charges),
        net_option_value=each.value_line,
    )


def _credits(name: str, each: Unit, formed: Iterable[Formed[InterSpread]], shares: _Shares) -> Line:
    risks = price_risks([each])
    lines = [
        credit_line(leg, spread, risks[part_of(leg)] or 0.0, share=shares(spread.spread, leg), unit=each.currency)
        for spread in formed
        if spread.count
        for leg in spread.spread.legs
        if leg.on == each.code
    ]
    return total(name, lines, unit=each.currency)


# ------------------------------------------------------------------------------------------------- what is owed at last


def _owed(name: str, factors: str, owed: Sequence[tuple[Unit, CommodityRisk]], *, portfolio: SpanPortfolio) -> Line:
    """Return the requirement of every node: the commodities whose option value may pay for one another."""
    lines = []
    for node, members in _nodes(owed).items():
        risks = [
            scaled(f"{name} risk of {risk.code}", _factor(each, factors, portfolio), risk.risk, unit=each.currency)
            for each, risk in members
        ]
        title = f"{name} requirement" + (f" of {node[0]}" if node[0] else "")
        lines.append(_converted(requirement_line(title, risks, _value(members)), portfolio))
    return lines[0] if len(lines) == 1 else total(f"{name} requirement", lines, unit=portfolio.currency)


def _nodes(owed: Iterable[tuple[Unit, CommodityRisk]]) -> dict[tuple[str, str, bool], list[tuple[Unit, CommodityRisk]]]:
    nodes: dict[tuple[str, str, bool], list[tuple[Unit, CommodityRisk]]] = {}
    for each, risk in owed:
        limited = any(commodity.limit_option_value for commodity in each.members)
        node = each.code if limited else each.members[0].value_node
        nodes.setdefault((node, each.currency, limited), []).append((each, risk))
    return nodes


def _value(members: Iterable[tuple[Unit, CommodityRisk]]) -> Line:
    lines = [risk.net_option_value for _, risk in members]
    return lines[0] if len(lines) == 1 else total("net option value", lines, unit=lines[0].unit)


def _factor(each: Unit, name: str, portfolio: SpanPortfolio) -> float:
    """Return the factor of the account type, the largest among merged commodities; 1 where none is published."""
    published: Iterable[Mapping[str, float]] = (getattr(commodity, name) for commodity in each.members)
    return max(factors.get(portfolio.account_type, 1.0) for factors in published)


def _converted(line: Line, portfolio: SpanPortfolio) -> Line:
    if line.unit == portfolio.currency:
        return line
    rate = portfolio.exchange_rates[line.unit]
    return scaled(f"{line.name}, in {portfolio.currency}", rate, line, unit=portfolio.currency)


def _excess(owed: Iterable[tuple[Unit, CommodityRisk]], portfolio: SpanPortfolio) -> float:
    """Return the option value beyond the maintenance risk of its node, in the portfolio's currency."""
    found = []
    for (_, currency, _), members in _nodes(owed).items():
        risk = math.fsum(_factor(each, "adjustment_factors", portfolio) * risk.risk.value for each, risk in members)
        rate: Mapping[str, float] = {**portfolio.exchange_rates, portfolio.currency: 1.0}
        found.append(rate[currency] * max(0.0, _value(members).value - risk))
    return math.fsum(found)
