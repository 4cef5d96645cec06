"""Worked cases of SPAN: arrays, scanning, spreads and the requirement, answered by `crossmargin.span`.

`FAMILIES` names the function for each family. The functions only rename fields; exchange files have their own families
elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from crossmargin.errors import Problems
from crossmargin.results import Line, scaled
from crossmargin.span import requirement, scanning, spreads
from crossmargin.span.arrays import (
    OptionTerms,
    ScanRanges,
    ScenarioGrid,
    futures_array,
    option_array,
    scenario_grid,
)
from crossmargin.span.commodity import calendar_charges, short_option_minimum, spot_charge
from crossmargin.span.portfolio import (
    CalendarSpread,
    CombinedCommodity,
    Contract,
    Holding,
    InterSpread,
    Leg,
    SpanPortfolio,
    SpotMonth,
    Tier,
    check_name,
)

Case = Mapping[str, Any]
Answer = dict[str, Any]

_STEPS = 3  # the fixed order of the cases: thirds of the price scan range
_SCENARIOS = 16
_TO_MEMBER = "member"  # the cases give one ratio, not one for each type of account


def _grid(inputs: Case) -> ScenarioGrid:
    return scenario_grid(_STEPS, inputs["extreme_move_multiplier"], inputs["extreme_move_cover_fraction"])


def _futures_array(inputs: Case) -> Answer:
    more = {name: inputs[name] for name in ("carry_loss", "rounding_increment")}
    return {"loss_array": futures_array(inputs["price_scan_range"], _grid(inputs), **more)}


def _option_array(inputs: Case) -> Answer:
    problems = Problems()
    check_name(problems, inputs["model"], "model", ["black76"])
    problems.raise_if_any()
    names = ("futures_price", "strike", "right", "volatility", "time_to_expiry_years", "interest_rate")
    option = OptionTerms(
        **{name: inputs[name] for name in names}, contract_value_factor=inputs["contract_value_factor"]
    )
    ranges = ScanRanges(
        price_points=inputs["price_scan_range_points"],
        volatility=inputs["volatility_scan_range"],
        volatility_type=inputs["volatility_scan_type"],
        look_ahead_years=inputs["look_ahead_years"],
    )
    found = option_array(option, ranges, _grid(inputs), delta_weights=inputs["delta_weights"])
    return {
        "option_value_points": found.value_points,
        "loss_array": found.loss_array,
        "composite_delta": found.composite_delta,
    }


def _scan(inputs: Case) -> Answer:
    held = inputs["positions"]
    quantities = [position["quantity"] for position in held]
    found = scanning.scan(_pooled([position["loss_array"] for position in held], quantities))
    net = scanning.net_delta(p["quantity"] * p["composite_delta"] * p["delta_scaling_factor"] for p in held)
    return {
        "loss_array": list(found.losses),
        "active_scenario": found.active_scenario,
        "paired_scenario": found.paired_scenario,
        "scan_risk": found.risk.scan_risk,
        **_parts(found.risk),
        "net_delta": net,
        "weighted_futures_price_risk": scanning.weighted_price_risk(found.risk.futures_price_risk, net),
    }


def _pooled(arrays: Sequence[Sequence[float]], quantities: Sequence[float]) -> tuple[float, ...]:
    """Return the losses of the holdings in the cases' scenarios; where nothing is held, nothing in each."""
    return scanning.pooled_losses(arrays, quantities) or (0.0,) * _SCENARIOS


def _parts(risk: scanning.ScanRisk) -> Answer:
    names = ("time_risk", "volatility_adjusted_scan_risk", "volatility_risk", "futures_price_risk")
    return {name: getattr(risk, name) for name in names}


def _weighted_price_risk(inputs: Case) -> Answer:
    losses = [inputs[f"{name}_loss"] for name in ("active_scenario", "paired_scenario", "scenario_1", "scenario_2")]
    risk = scanning.split_risk(*losses)
    weighted = scanning.weighted_price_risk(
        risk.futures_price_risk,
        inputs["net_delta"],
        method=inputs["method"],
        price_scan_range=inputs["nearest_month_price_scan_range"],
        delta_scaling_factor=inputs["delta_scaling_factor"],
    )
    return {**_parts(risk), "weighted_futures_price_risk": weighted}


def _intra(inputs: Case) -> Answer:
    held: dict[int, float] = {}
    for each in inputs["months"]:
        held[each["month"]] = held.get(each["month"], 0.0) + each["net_delta"]
    ledger = spreads.DeltaLedger(held)
    tiers = _tiers(inputs["tiers"]) if "tiers" in inputs else None
    formed = spreads.form_calendar_spreads(ledger, _calendar_spreads(inputs["spreads"]), tiers)
    left = ledger.remaining
    return {
        "spreads_formed": [each.count for each in formed],
        "charge": math.fsum(line.value for line in calendar_charges(formed)),
        "remaining": [{"month": month, "net_delta": left[month]} for month in held],
    }


def _spot_charge(inputs: Case) -> Answer:
    charges = [
        spot_charge(_spot_month(month), month["delta_consumed_by_spreads"], month["delta_remaining"]).value
        for month in inputs["months"]
    ]
    return {"month_charges": charges, "charge": math.fsum(charges)}


def _inter_delta(inputs: Case) -> Answer:
    held = {each["combined_commodity"]: each for each in inputs["commodities"]}
    risks = {code: each["weighted_futures_price_risk"] for code, each in held.items()}
    ledger = spreads.DeltaLedger({(code, 0): float(each["net_delta"]) for code, each in held.items()})
    between = _inter_spreads(inputs["spreads"])
    formed = spreads.form_inter_spreads(ledger, between, {(code, None): risk for code, risk in risks.items()})
    credits = dict.fromkeys(held, 0.0)
    for each in (each for each in formed if each.count):
        for leg in each.spread.legs:
            credits[str(leg.on)] -= requirement.credit_line(leg, each, risks[str(leg.on)]).value
    credited = math.fsum(credits.values())
    return {
        "spreads_formed": [each.count for each in formed],
        "credits": [{"combined_commodity": code, "credit": credit} for code, credit in credits.items()],
        "total_credit": credited,
        "remaining": [{"combined_commodity": code, "net_delta": ledger.remaining[code, 0]} for code in held],
        "risk_after_credit": math.fsum(each["scan_risk"] for each in held.values()) - credited,
    }


def _inter_scan(inputs: Case) -> Answer:
    arrays = [leg["loss_array"] for leg in inputs["legs"]]
    together = spreads.merged_losses(arrays, inputs["credit_rate_pct"]) or (0.0,) * _SCENARIOS
    return {
        "combined_array": list(together),
        "scan_risk": scanning.scan(together).risk.scan_risk,
        "standalone_scan_risk": math.fsum(scanning.scan(array).risk.scan_risk for array in arrays),
    }


def _short_option_minimum(inputs: Case) -> Answer:
    counts = inputs["short_calls"], inputs["short_puts"], inputs["rate"]
    return {"short_option_minimum": short_option_minimum(*counts, method=inputs["method"]).value}


def _gross_scan(inputs: Case) -> Answer:
    held = inputs["contracts"]
    arrays = [each["loss_array"] for each in held]
    long, short = ([each[f"{side}_quantity"] for each in held] for side in ("long", "short"))
    net = [bought - sold for bought, sold in zip(long, short, strict=True)]
    return {
        "gross_scan_risk": scanning.gross_scan_risk(arrays, long, short),
        "net_scan_risk": scanning.scan(_pooled(arrays, net)).risk.scan_risk,
    }


def _requirement(inputs: Case) -> Answer:
    charges = requirement.Charges(
        scan_risk=Line("scan risk", inputs["scan_risk"]),
        intra_commodity_charge=Line("intra-commodity charge", inputs["intra_commodity_charge"]),
        spot_charge=Line("spot charge", inputs["spot_charge"]),
        inter_commodity_credit=Line("inter-commodity credit", -inputs["inter_commodity_credit"]),
        inter_exchange_credit=Line("inter-exchange credit", -inputs["inter_exchange_credit"]),
        short_option_minimum=Line("short option minimum", inputs["short_option_minimum"]),
    )
    risk = requirement.risk_line("risk", charges)
    values = Line("net option value", inputs["long_option_value"] + inputs["short_option_value"])
    factors = {"maintenance": inputs["adjustment_factor"], "initial": inputs["initial_to_maintenance_ratio"]}
    risks = {name: scaled(name, factor, risk) for name, factor in factors.items()}
    owed = {name: requirement.requirement_line(name, [line], values).value for name, line in risks.items()}
    return {
        "commodity_risk": risk.parts[0].value,
        "risk_maintenance": risks["maintenance"].value,
        "risk_initial": risks["initial"].value,
        "net_option_value": values.value,
        "maintenance_requirement": owed["maintenance"],
        "initial_requirement": owed["initial"],
        "excess_net_option_value": max(0.0, values.value - risks["maintenance"].value),
    }


def _portfolio(inputs: Case) -> Answer:
    limited = inputs["net_option_value_scope"] == "commodity"
    ratios = {_TO_MEMBER: inputs["initial_to_maintenance_ratio"]}
    commodities = [_commodity(each, ratios, limited=limited) for each in inputs["combined_commodities"]]
    between = _inter_spreads(inputs["inter_spreads"])
    found = requirement.span_requirement(SpanPortfolio(commodities=commodities, inter_spreads=between))
    return {
        "commodities": [_commodity_figures(each) for each in found.commodities],
        "spreads_formed": [each.count for each in found.spreads_formed],
        "maintenance_requirement": found.maintenance.value,
        "initial_requirement": found.initial.value,
    }


def _commodity(each: Case, ratios: Mapping[str, float], *, limited: bool) -> CombinedCommodity:
    return CombinedCommodity(
        code=each["combined_commodity"],
        holdings=[Holding(_contract(contract), contract["quantity"]) for contract in each["contracts"]],
        tiers=_tiers(each["tiers"]),
        series_spreads=_calendar_spreads(each["series_spreads"]),
        tier_spreads=_calendar_spreads(each["tier_spreads"]),
        spot_months=[_spot_month(month) for month in each["spot_months"]],
        short_option_rate=each["short_option_minimum_rate"],
        short_option_method=each["short_option_minimum_method"],
        initial_ratios=ratios,
        limit_option_value=limited,
    )


def _commodity_figures(found: requirement.CommodityRisk) -> Answer:
    charges = found.charges
    return {
        "combined_commodity": found.code,
        "scan_risk": found.scan.scan_risk,
        "net_delta": found.net_delta,
        "weighted_futures_price_risk": found.weighted_futures_price_risk,
        "intra_commodity_charge": charges.intra_commodity_charge.value,
        "spot_charge": charges.spot_charge.value,
        "inter_commodity_credit": -charges.inter_commodity_credit.value,
        "short_option_minimum": charges.short_option_minimum.value,
        "risk": found.risk.value,
        "net_option_value": found.net_option_value.value,
    }


def _contract(given: Case) -> Contract:
    return Contract(
        given["contract"],
        given["month"],
        given["loss_array"],
        given["composite_delta"],
        delta_scaling_factor=given["delta_scaling_factor"],
        right=given["right"],
        option_value=given["option_value"],
    )


def _tiers(given: Iterable[Case]) -> list[Tier]:
    return [Tier(tier["tier"], tier["start_month"], tier["end_month"]) for tier in given]


def _calendar_spreads(given: Iterable[Case]) -> list[CalendarSpread]:
    return [CalendarSpread(each["priority"], each["charge"], _legs(each["legs"])) for each in given]


def _inter_spreads(given: Iterable[Case]) -> list[InterSpread]:
    return [InterSpread(each["priority"], each["credit_rate_pct"], _legs(each["legs"])) for each in given]


def _legs(given: Iterable[Case]) -> list[Leg]:
    """Return legs on whatever they name: a month, a tier or a combined commodity."""
    return [Leg(next(leg[on] for on in _ON if on in leg), leg["ratio"], leg["side"]) for leg in given]


_ON = ("month", "tier", "combined_commodity")


def _spot_month(given: Case) -> SpotMonth:
    return SpotMonth(given["month"], given["charge_per_delta_consumed"], given["charge_per_delta_remaining"])


FAMILIES: Mapping[str, Callable[[Case], Answer]] = MappingProxyType(
    {
        "span.futures_array": _futures_array,
        "span.gross_scan": _gross_scan,
        "span.inter_delta": _inter_delta,
        "span.inter_scan": _inter_scan,
        "span.intra_series": _intra,
        "span.intra_tier": _intra,
        "span.option_array": _option_array,
        "span.portfolio": _portfolio,
        "span.requirement": _requirement,
        "span.scan": _scan,
        "span.short_option_minimum": _short_option_minimum,
        "span.spot_charge": _spot_charge,
        "span.weighted_price_risk": _weighted_price_risk,
    }
)
