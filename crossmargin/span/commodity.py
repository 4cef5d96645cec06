"""One combined commodity by itself: scanned, its calendar spreads and delivery charged, its options counted.

`unit(commodity)` does it, `with_merged(units, spread)` joins the legs of a scanning-based spread. What commodities
credit one another, and what the account owes, is `requirement.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from attrs import field, frozen

from crossmargin.errors import InputError, Problem, Problems
from crossmargin.results import Line, largest, not_modelled, product, scaled, total
from crossmargin.span.portfolio import (
    CalendarSpread,
    CombinedCommodity,
    Holding,
    ScanSpread,
    ShortOptionMethod,
    SpotMonth,
    Tier,
    check_name,
    check_number,
)
from crossmargin.span.scanning import ScanRisk, merged, net_delta, pooled_losses, scan, weighted_price_risk
from crossmargin.span.spreads import DeltaLedger, Formed, form_calendar_spreads, merged_losses

COUNT = "1"  # unit of deltas, contracts and numbers of spreads
NO_MONTHS = "{:g} spreads are counted by the month, and how many months one counts is not said: give its `months`"


@frozen(kw_only=True, eq=False)
class Unit:
    """Commodities scanned together: one, or the legs of a scanning-based spread; amounts in its currency.

    `held` and `remaining` are net deltas by contract month before and after calendar spreads; `price_risk` is the
    weighted futures price risk, `tier_price_risk` that of each of `leg_tiers`; `losses` is empty when nothing is held.
    """

    code: str
    members: tuple[CombinedCommodity, ...]
    losses: tuple[float, ...] = field(repr=False)
    scan: ScanRisk
    net_delta: float
    price_risk: float | None
    tier_price_risk: Mapping[int, float | None] = field(factory=dict)
    held: Mapping[int, float]
    remaining: Mapping[int, float]
    scan_line: Line
    calendar_line: Line
    spot_line: Line
    minimum_line: Line
    value_line: Line

    @property
    def currency(self) -> str:
        """Currency of every amount."""
        return self.members[0].currency


def unit(commodity: CombinedCommodity, *, gross: bool = False) -> Unit:
    """Return a combined commodity scanned and charged by itself; `gross` margins every holding one by one."""
    holdings = _counted(commodity, gross=gross)
    risk, line = _gross_scan(commodity, holdings) if gross else _scan(commodity, holdings)
    net = _net_delta(holdings)
    price_risk = None if gross else _price_risk(commodity, risk, net)
    ledger = DeltaLedger(_months(holdings, gross=gross))
    calendar = [] if gross else _calendar_lines(commodity, ledger, price_risk)
    spots = [_spot_line(spot, ledger, commodity.currency) for spot in commodity.spot_months]
    return Unit(
        code=commodity.code,
        members=(commodity,),
        losses=_losses(holdings),
        scan=risk,
        net_delta=net,
        price_risk=price_risk,
        tier_price_risk={} if gross else _tier_price_risks(commodity, holdings, price_risk),
        held=ledger.held,
        remaining=ledger.remaining,
        scan_line=line,
        calendar_line=total("intra-commodity charge", calendar, unit=commodity.currency),
        spot_line=total("spot charge", spots, unit=commodity.currency),
        minimum_line=_minimum_line(commodity, holdings),
        value_line=_value_line(commodity, holdings),
    )


def with_merged(units: Sequence[Unit], spread: ScanSpread) -> list[Unit]:
    """Return the units with the legs of a scanning-based spread joined, where enough of them are held.

    The legs' gains are cut to the spread's share and their arrays, of all months, added to the target's own; their
    deltas become the target's; their calendar and spot charges, short option minimum and option value are added.

    Raises
    ------
    InputError
        Legs in different currencies.
    """
    known = {each.code: each for each in units if not any(commodity.away for commodity in each.members)}
    legs = {str(leg.on): leg for leg in spread.legs if leg.on in known and known[str(leg.on)].losses}
    needed = all(leg.on in legs for leg in spread.legs if leg.required)
    if not needed or len(legs) < spread.minimum_legs:
        return list(units)
    joined = [each for code, each in known.items() if code in legs or code == spread.target]
    if len({each.currency for each in joined}) > 1:
        raise InputError([Problem("has legs in different currencies.", f"scanning-based spread {spread.priority}")])
    factors = {code: spread.target_ratio / leg.ratio for code, leg in legs.items()}
    place = units.index(joined[0])
    rest = [each for each in units if each not in joined]
    return [*rest[:place], _joined(joined, spread, factors), *rest[place:]]


def short_option_minimum(
    short_calls: float, short_puts: float, rate: float, *, method: ShortOptionMethod = "sum", unit: str = "USD"
) -> Line:
    """Return the least risk of short options: the rate for each, or for each of the larger of calls and puts.

    Raises
    ------
    InputError
        A count or rate that is no finite number of at least 0, an unknown method.

    References
    ----------
    CME Group, public SPAN documentation, short option minimum; the two ways of counting as open implementations do.

    Examples
    --------
    >>> short_option_minimum(12, 7, 170).amount, short_option_minimum(12, 7, 170, method="max").amount
    (3230.0, 2040.0)
    """
    problems = Problems()
    check_name(problems, method, "method", get_args(ShortOptionMethod))
    for name, value in (("short_calls", short_calls), ("short_puts", short_puts), ("rate", rate)):
        check_number(problems, value, name, least=0.0)
    problems.raise_if_any()
    counts = [Line("short calls", float(short_calls), unit=COUNT), Line("short puts", float(short_puts), unit=COUNT)]
    counted = (total if method == "sum" else largest)("short options counted", counts, unit=COUNT)
    return scaled("short option minimum", rate, counted, unit=unit)


def spot_charge(month: SpotMonth, consumed: float, remaining: float, *, unit: str = "USD") -> Line:
    """Return the delivery charge of one month on the delta that spreads consumed and on what they left.

    References
    ----------
    CME Group, public SPAN documentation, spot charge, method 10.

    Examples
    --------
    >>> spot_charge(SpotMonth(202503, 150, 400), 6, -4).amount
    2500.0
    """
    used, left = Line("delta in spreads", abs(consumed), unit=COUNT), Line("delta left", abs(remaining), unit=COUNT)
    parts = [
        scaled("on delta in spreads", month.charge_consumed, used, unit=unit),
        scaled("on delta left", month.charge_remaining, left, unit=unit),
    ]
    return total(f"spot month {month.month}", parts, unit=unit)


def calendar_charges(
    formed: Iterable[Formed[CalendarSpread]], *, price_risk: float | None = None, unit: str = "USD"
) -> list[Line]:
    """Return a line for each calendar spread that came about.

    Parameters
    ----------
    formed : iterable of Formed
    price_risk : float, optional
        Weighted futures price risk of the commodity, money per delta; None where no net delta is left to spread it
        over, which leaves charges by price risk without a basis: a gap.

    References
    ----------
    CME Group, public SPAN documentation, charge methods flat, per month per spread, and weighted price risk. That the
    last is taken on every leg is inferred from the credits between commodities.

    Examples
    --------
    >>> from crossmargin.span.portfolio import CalendarSpread, Leg
    >>> pair = CalendarSpread(1, 20.0, [Leg(202609, 1, "A"), Leg(202612, 1, "B")], method="price_risk")
    >>> calendar_charges([Formed(pair, 3.0)], price_risk=1000.0)[0].amount
    1200.0
    """
    return [_calendar_charge(each.spread, each.count, price_risk, unit) for each in formed if each.count]


def _calendar_charge(spread: CalendarSpread, count: float, price_risk: float | None, unit: str) -> Line:
    legs = ", ".join(f"{leg.side} {leg.ratio:g} x {leg.on}" for leg in spread.legs)
    name, spreads = f"calendar spread {spread.priority} ({legs})", Line("spreads formed", count, unit=COUNT)
    if spread.method == "flat":
        return scaled(name, spread.charge, spreads, unit=unit)
    if spread.method == "per_month":
        if spread.months is None:
            return not_modelled(name, NO_MONTHS.format(count), unit=unit)
        return product(
            name, [spreads, Line("months of one", spread.months, unit=COUNT)], factor=spread.charge, unit=unit
        )
    if price_risk is None:
        return not_modelled(name, f"no net delta gives {count:g} calendar spreads a price risk of one delta", unit=unit)
    deltas = Line("deltas of one", math.fsum(leg.ratio for leg in spread.legs), unit=COUNT)
    risk = Line("weighted futures price risk", max(0.0, price_risk), unit=unit)
    return product(name, [spreads, deltas, risk], factor=spread.charge / 100, unit=unit)


# ----------------------------------------------------------------------------------------------- holdings and deltas


def _counted(commodity: CombinedCommodity, *, gross: bool) -> list[Holding]:
    """Return the holdings that count, netted by contract unless the account is gross."""
    held = commodity.holdings
    if not gross:
        parts: dict[str, list[Holding]] = {}
        for holding in held:
            parts.setdefault(holding.contract.code, []).append(holding)
        held = tuple(Holding(some[0].contract, math.fsum(each.quantity for each in some)) for some in parts.values())
    return [holding for holding in held if holding.quantity]


def _months(holdings: Iterable[Holding], *, gross: bool) -> dict[int, float]:
    months: dict[int, list[float]] = {}
    for holding in holdings:
        delta = holding.quantity * holding.contract.delta
        months.setdefault(holding.contract.month, []).append(abs(delta) if gross else delta)
    return {month: net_delta(deltas) for month, deltas in months.items()}


def _net_delta(holdings: Iterable[Holding]) -> float:
    return net_delta(holding.quantity * holding.contract.delta for holding in holdings)


def _losses(holdings: Sequence[Holding]) -> tuple[float, ...]:
    arrays = [holding.contract.loss_array for holding in holdings]
    return pooled_losses(arrays, [holding.quantity for holding in holdings])


# --------------------------------------------------------------------------------------------------------- scan risk


def _scan(commodity: CombinedCommodity, holdings: Sequence[Holding]) -> tuple[ScanRisk, Line]:
    """Return the scan of a commodity, the sum over its scanning tiers where it has any."""
    groups: dict[str, list[Holding]] = {}
    for holding in holdings:
        groups.setdefault(_scanned_in(commodity, holding), []).append(holding)
    found = [_scan_line(name, some, commodity.currency) for name, some in groups.items()]
    if len(found) == 1:
        return found[0]
    lines = [line for _, line in found]
    return merged(risk for risk, _ in found), total("scan risk", lines, unit=commodity.currency)


def _scanned_in(commodity: CombinedCommodity, holding: Holding) -> str:
    if not commodity.scan_tiers:
        return "scan risk"
    tier = _tier_of(commodity, holding)
    return f"scan risk of tier {tier.number}" if tier else "scan risk outside the tiers"


def _tier_of(commodity: CombinedCommodity, holding: Holding) -> Tier | None:
    return next((tier for tier in commodity.scan_tiers if tier.contains(holding.contract.month)), None)


def _scan_line(name: str, holdings: Sequence[Holding], currency: str) -> tuple[ScanRisk, Line]:
    found = scan(_losses(holdings))
    number = found.active_scenario
    parts = [_of_one("loss of one", each, each.contract.loss_array[number - 1], currency) for each in holdings]
    return found.risk, _worst_line(name, found.losses, number, parts=parts, risk=found.risk, currency=currency)


def _of_one(name: str, holding: Holding, amount: float, currency: str) -> Line:
    return scaled(holding.contract.code, holding.quantity, Line(name, amount, unit=currency), unit=currency)


def _worst_line(
    name: str, losses: Sequence[float], active: int, *, parts: Sequence[Line], risk: ScanRisk, currency: str
) -> Line:
    """Return the largest scenario as a line that shows the active one in full."""
    lines = [Line(f"scenario {number}", loss, unit=currency) for number, loss in enumerate(losses, start=1)]
    lines[active - 1] = total(f"scenario {active}, active", parts, unit=currency)
    note = f"time risk {risk.time_risk:,.2f}, volatility risk {risk.volatility_risk:,.2f}"
    return largest(name, [*lines, Line("no scenario loses", 0.0, unit=currency)], unit=currency, note=note)


def _gross_scan(commodity: CombinedCommodity, holdings: Iterable[Holding]) -> tuple[ScanRisk, Line]:
    lines = []
    for holding in holdings:
        side = 1.0 if holding.quantity > 0 else -1.0
        worst = max(0.0, *(side * loss for loss in holding.contract.loss_array))
        name = f"{holding.contract.code}, {'long' if side > 0 else 'short'}"
        of_one = Line("worst loss of one", worst, unit=commodity.currency)
        lines.append(scaled(name, abs(holding.quantity), of_one, unit=commodity.currency))
    line = total("scan risk", lines, unit=commodity.currency, note="gross account: nothing is netted")
    return ScanRisk(line.value, 0.0, line.value), line


def _price_risk(commodity: CombinedCommodity, risk: ScanRisk, net: float, tier: Tier | None = None) -> float | None:
    nearest = commodity.nearest(tier)
    return weighted_price_risk(
        risk.futures_price_risk,
        net,
        method=commodity.price_risk_method,
        price_scan_range=nearest.price_scan_range if nearest else None,
        delta_scaling_factor=nearest.delta_scaling_factor if nearest else 1.0,
    )


def leg_tiers(commodity: CombinedCommodity) -> tuple[Tier, ...]:
    """Return the tiers that legs of spreads between commodities may name."""
    return commodity.inter_tiers or commodity.scan_tiers


def _tier_price_risks(
    commodity: CombinedCommodity, holdings: Sequence[Holding], whole: float | None
) -> dict[int, float | None]:
    """Return the price risk of each tier for spreads: that of the whole commodity where nothing is scanned apart."""
    found: dict[int, float | None] = {}
    for tier in leg_tiers(commodity):
        mine = [holding for holding in holdings if tier.contains(holding.contract.month)]
        if mine and commodity.scan_tiers:
            found[tier.number] = _price_risk(commodity, scan(_losses(mine)).risk, _net_delta(mine), tier)
        elif mine:
            found[tier.number] = whole
    return found


# -------------------------------------------------------------------------------------------- charges, minimum, value


def _calendar_lines(commodity: CombinedCommodity, ledger: DeltaLedger[int], price_risk: float | None) -> list[Line]:
    series = form_calendar_spreads(ledger, commodity.series_spreads)
    tiers = form_calendar_spreads(ledger, commodity.tier_spreads, commodity.tiers)
    return calendar_charges([*series, *tiers], price_risk=price_risk, unit=commodity.currency)


def _spot_line(spot: SpotMonth, ledger: DeltaLedger[int], currency: str) -> Line:
    return spot_charge(spot, ledger.consumed(spot.month), ledger.remaining.get(spot.month, 0.0), unit=currency)


def _minimum_line(commodity: CombinedCommodity, holdings: Iterable[Holding]) -> Line:
    """Return the short option minimum, tier by tier where scanning tiers have rates of their own."""
    tiered = any(tier.short_option_rate is not None for tier in commodity.scan_tiers)
    groups: dict[Tier | None, list[Holding]] = {}
    for holding in (each for each in holdings if each.quantity < 0 and each.contract.right):
        groups.setdefault(_tier_of(commodity, holding) if tiered else None, []).append(holding)
    lines = [_counted_minimum(commodity, some, tier) for tier, some in groups.items()]
    return lines[0] if len(lines) == 1 else total("short option minimum", lines, unit=commodity.currency)


def _counted_minimum(commodity: CombinedCommodity, shorts: Iterable[Holding], tier: Tier | None) -> Line:
    counts = {"call": 0.0, "put": 0.0}
    for holding in shorts:
        counts[holding.contract.right or ""] -= holding.quantity
    own = tier.short_option_rate if tier else None
    rate, method = commodity.short_option_rate if own is None else own, commodity.short_option_method
    return short_option_minimum(counts["call"], counts["put"], rate, method=method, unit=commodity.currency)


def _value_line(commodity: CombinedCommodity, holdings: Iterable[Holding]) -> Line:
    lines = [
        _of_one("value of one", each, value, commodity.currency)
        for each in holdings
        if (value := each.contract.option_value) is not None
    ]
    return total("net option value", lines, unit=commodity.currency)


# --------------------------------------------------------------------------------------------- scanning-based spreads


def _joined(units: Sequence[Unit], spread: ScanSpread, factors: Mapping[str, float]) -> Unit:
    legs = [each for each in units if each.code in factors]
    whole = [each.losses for each in units if each.code not in factors and each.losses]  # the target's own
    cut = merged_losses([each.losses for each in legs], spread.credit_rate_pct)
    losses = pooled_losses([cut, *whole], [1.0] * (1 + len(whole)))
    found = scan(losses)
    net = net_delta(factors.get(each.code, 1.0) * each.net_delta for each in units)
    parts = [_leg_line(each, spread, found.active_scenario, factors) for each in units if each.losses]
    scan_line = _worst_line(
        "scan risk", losses, found.active_scenario, parts=parts, risk=found.risk, currency=units[0].currency
    )
    return Unit(
        code=spread.target,
        members=tuple(commodity for each in units for commodity in each.members),
        losses=losses,
        scan=found.risk,
        net_delta=net,
        price_risk=weighted_price_risk(found.risk.futures_price_risk, net),
        held=_added(units, "held", factors),
        remaining=_added(units, "remaining", factors),
        scan_line=scan_line,
        calendar_line=_together("intra-commodity charge", [each.calendar_line for each in units]),
        spot_line=_together("spot charge", [each.spot_line for each in units]),
        minimum_line=_together("short option minimum", [each.minimum_line for each in units]),
        value_line=_together("net option value", [each.value_line for each in units]),
    )


def _together(name: str, lines: Sequence[Line]) -> Line:
    return total(name, lines, unit=lines[0].unit)


def _leg_line(each: Unit, spread: ScanSpread, scenario: int, factors: Mapping[str, float]) -> Line:
    loss = Line(each.code, each.losses[scenario - 1], unit=each.currency)
    if each.code not in factors or loss.value > 0:
        return loss
    return scaled(f"{each.code}, share of its gain", spread.credit_rate_pct / 100, loss, unit=each.currency)


def _added(units: Iterable[Unit], name: str, factors: Mapping[str, float]) -> dict[int, float]:
    months: dict[int, list[float]] = {}
    for each in units:
        for month, delta in getattr(each, name).items():
            months.setdefault(month, []).append(factors.get(each.code, 1.0) * delta)
    return {month: net_delta(deltas) for month, deltas in months.items()}
