"""Worked cases of clearing-house models and of back-tests, answered by the library's formulas.

`FAMILIES` names the function for each family: from a case's `inputs` to the figures that it expects. The functions only
translate; the formulas are in `prisma`, `ficc_charges` and `analysis.backtest`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from crossmargin.errors import InputError, Problem

Case = Mapping[str, Any]
Answer = dict[str, Any]

THIRD_LARGEST = 3  # the family of backtesting charges states the rank; its cases do not repeat it


def _prisma_quantile(inputs: Case) -> Answer:
    from crossmargin.prisma import value_at_risk

    return {"value_at_risk": value_at_risk(inputs["pnl"], inputs["confidence"])}


def _prisma_scaling(inputs: Case) -> Answer:
    from crossmargin.prisma import robust_factor

    base, target = inputs["base_confidence"], inputs["target_confidence"]
    return {"factor": robust_factor(base, target, inputs["degrees_of_freedom"])}


def _prisma_correlation_break(inputs: Case) -> Answer:
    from crossmargin.prisma import correlation_break

    found = correlation_break(**inputs)
    return {
        "full_sample_var": found.full_sample_var,
        "window_vars": found.window_vars,
        "mean_excess_risk": found.mean_excess_risk,
        "adjustment": found.adjustment,
    }


def _prisma_market_risk(inputs: Case) -> Answer:
    from crossmargin.prisma import RiskMeasureSet, SubSample, market_risk

    sets = [
        RiskMeasureSet(each["weight"], tuple(SubSample(**sample) for sample in each["sub_samples"]))
        for each in inputs["risk_measure_sets"]
    ]
    found = market_risk(sets, inputs["aggregation"])
    return {"set_values": found.set_values, "market_risk": found.market_risk}


def _prisma_liquidity(inputs: Case) -> Answer:
    from crossmargin.prisma import LiquidityPosition, liquidity_addon

    positions = [LiquidityPosition(**position) for position in inputs["positions"]]
    table, floor = inputs["factor_table"], inputs["alpha_floor"]
    found = liquidity_addon(positions, table, inputs["portfolio_var"], alpha_floor=floor)
    return {
        "liquidity_factors": found.liquidity_factors,
        "position_components": found.position_components,
        "alpha": found.alpha,
        "liquidity_addon": found.liquidity_addon,
    }


def _sensitivity_pnl(inputs: Case) -> Answer:
    from crossmargin.ficc_charges import sensitivity_pnl
    from crossmargin.risk import TailMeasure

    pnl = sensitivity_pnl(inputs["kr01_usd_per_bp"], inputs["convexity_usd_per_bp2"], inputs["shocks_bp"])
    return {"pnl": pnl, "worst_loss": TailMeasure("kth_worst", k=1).of_pnl(pnl, floor_at_zero=True)}


def _haircut_charge(inputs: Case) -> Answer:
    from crossmargin.ficc_charges import correlated_haircut_charge

    return {"charge_usd": correlated_haircut_charge(inputs["signed_haircut_amounts_usd"], inputs["correlation"])}


def _var_charge(inputs: Case) -> Answer:
    from crossmargin.ficc_charges import var_charge

    line = var_charge(
        inputs["model_var_usd_mm"],
        inputs["margin_proxy_usd_mm"],
        floor_percentage_amount=inputs["floor_percentage_amount_usd_mm"],
        minimum_margin_amount=inputs["minimum_margin_amount_usd_mm"],
    )
    return {"var_floor_usd_mm": line.part("var_floor").amount, "var_charge_usd_mm": line.amount}


def _portfolio_differential(inputs: Case) -> Answer:
    from crossmargin.ficc_charges import portfolio_differential

    increases = inputs["var_increases_usd_mm"]
    line = portfolio_differential(increases, inputs["decay_factor"], inputs["multiplier"])
    return {"charge_usd_mm": line.amount}


def _backtesting_charge(inputs: Case) -> Answer:
    from crossmargin.ficc_charges import backtesting_charge, coverage

    deficiencies, days = inputs["deficiencies_usd_mm"], inputs["observations"]
    line = backtesting_charge(deficiencies, days, coverage_target=inputs["coverage_target"], rank=THIRD_LARGEST)
    return {"coverage": coverage(len(deficiencies), days), "charge_usd_mm": line.amount}


def _kupiec(inputs: Case) -> Answer:
    from crossmargin.analysis.backtest import kupiec

    test = kupiec(inputs["observations"], inputs["exceptions"], inputs["probability"])
    return {"likelihood_ratio": test.likelihood_ratio, "p_value": test.p_value}


def _kupiec_range(inputs: Case) -> Answer:
    from crossmargin.analysis.backtest import kupiec_range

    found = kupiec_range(inputs["observations"], inputs["probability"], inputs["confidence"])
    return {"minimum_exceptions": found.minimum, "maximum_exceptions": found.maximum}


def _christoffersen(inputs: Case) -> Answer:
    from crossmargin.analysis.backtest import christoffersen

    on, days = set(inputs["exception_indices"]), range(inputs["observations"])
    if not on.issubset(days):
        raise InputError([Problem(f"days outside the {len(days)} observed.", "exception_indices", "Count from 0.")])
    test = christoffersen([day in on for day in days], inputs["probability"])
    return {
        "transitions": test.transitions,
        "lr_unconditional": test.unconditional.likelihood_ratio,
        "lr_independence": test.independence.likelihood_ratio,
        "lr_conditional": test.conditional.likelihood_ratio,
        "p_independence": test.independence.p_value,
        "p_conditional": test.conditional.p_value,
    }


def _traffic_light(inputs: Case) -> Answer:
    from crossmargin.analysis.backtest import traffic_light

    found = traffic_light(inputs["observations"], inputs["exceptions"], inputs["probability"])
    return {
        "zone": found.zone,
        "probability_at_least": found.probability_at_least,
        "cumulative_probability": found.cumulative_probability,
    }


def _procyclicality(inputs: Case) -> Answer:
    from crossmargin.analysis.backtest import procyclicality

    found = procyclicality(inputs["margins"], inputs["horizon_days"])
    return {"peak_to_trough": found.peak_to_trough, "largest_increase_ratio": found.largest_increase_ratio}


FAMILIES: Mapping[str, Callable[[Case], Answer]] = MappingProxyType(
    {
        "backtest.christoffersen": _christoffersen,
        "backtest.kupiec": _kupiec,
        "backtest.kupiec_range": _kupiec_range,
        "backtest.procyclicality": _procyclicality,
        "backtest.traffic_light": _traffic_light,
        "ficc.backtesting_charge": _backtesting_charge,
        "ficc.haircut_charge": _haircut_charge,
        "ficc.portfolio_differential": _portfolio_differential,
        "ficc.sensitivity_pnl": _sensitivity_pnl,
        "ficc.var_charge": _var_charge,
        "var.prisma_correlation_break": _prisma_correlation_break,
        "var.prisma_liquidity": _prisma_liquidity,
        "var.prisma_market_risk": _prisma_market_risk,
        "var.prisma_quantile": _prisma_quantile,
        "var.prisma_scaling": _prisma_scaling,
    }
)
