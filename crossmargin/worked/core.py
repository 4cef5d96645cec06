"""Which function of the library answers which family of worked cases.

`FAMILIES` maps the name of a family to a function from a case's `inputs` to its results; `conformance.run` calls
them. A function here only renames fields: the rule itself stands where a user would look for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Any, TypeAlias

Family: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def _tail(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.risk import TailMeasure

    measure = TailMeasure(
        inputs["estimator"],
        confidence=inputs["confidence"],
        k=inputs["k"],
        quantile_type=inputs["quantile_type"],
    )
    floored = inputs["floor_at_zero"]
    return {"value": measure.of_losses(inputs["losses"], inputs["weights"], floor_at_zero=floored)}


def _filtered_returns(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.filtering import filtered_returns

    result = filtered_returns(
        inputs["returns"],
        inputs["decay_factor"],
        scaling=inputs["scaling"],
        volatility_floor=inputs["volatility_floor"],
    )
    return {
        "volatility": result.volatility,
        "forecast_volatility": result.forecast_volatility,
        "scaled_returns": result.scaled,
    }


def _blend(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.combining import blend

    margin = blend(
        inputs["historical_var"],
        inputs["stress_var"],
        inputs["historical_weight"],
        liquidity_charge=inputs["liquidity_charge"],
        concentration_charge=inputs["concentration_charge"],
    )
    return {"margin": margin}


def _stressed_volatility_mix(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.combining import stressed_volatility_mix

    current, stress = inputs["current_volatility"], inputs["stress_volatility"]
    return {"volatility": stressed_volatility_mix(current, stress, inputs["stress_weight"])}


def _anticyclical_options(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.combining import anticyclical_options

    result = anticyclical_options(**inputs)
    return {
        "option_a_margin": result.option_a,
        "option_b_margin": result.option_b,
        "option_c_margin": result.option_c,
    }


def _offset_cap(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.combining import offset_cap

    standalone, combined = inputs["standalone_margin"], inputs["combined_margin"]
    return {"margin": offset_cap(standalone, combined, inputs["reduction_cap"])}


def _conversion_factor(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.products.futures import conversion_factor

    coupon = inputs["coupon_pct"] / 100
    maturity = date.fromisoformat(inputs["maturity_date"])
    factor = conversion_factor(inputs["contract"], inputs["delivery_month"], coupon, maturity)
    return {"conversion_factor": factor}


def _two_pot(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.arrangements.cme_ficc import ModelAmounts, two_pot

    result = two_pot(
        ModelAmounts(**inputs["ficc_model_usd"]),
        ModelAmounts(**inputs["cme_model_usd"]),
        cap=inputs["reduction_cap"],
        minimum=inputs["reduction_minimum"],
    )
    return {
        "ficc_factor": result.ficc_factor,
        "cme_factor": result.cme_factor,
        "applied_factor": result.applied_factor,
        "binding_side": result.binding_side,
        "binding_limit": result.binding_limit,
        "ficc_requirement_usd": result.ficc_requirement,
        "cme_requirement_usd": result.cme_requirement,
        "standalone_total_usd": result.standalone_total,
        "total_requirement_usd": result.total_requirement,
        "saving_usd": result.saving,
    }


def _spread_credit(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.arrangements.two_pot_spread_credit import Spread, spread_credits

    reductions = spread_credits([Spread(**spread) for spread in inputs["spreads"]])
    return {"reductions": reductions, "total_reduction": sum(reductions)}


def _grid_positions(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.pricing.portfolio_grid import GridModel, OptionSeries, floored_requirement, grid_moves, grid_pnl

    spot, stock, legs = inputs["underlying"]["price"], inputs["stock"], inputs["legs"]
    model, multiplier = inputs["model"], inputs["multiplier"]
    contracts = [leg["quantity"] for leg in legs]
    stock_value = stock["quantity"] * stock["price"] if stock["quantity"] else 0.0  # no price when none is held
    pnl = grid_pnl(
        OptionSeries(
            is_call=[leg["right"] == "call" for leg in legs],
            strike=[leg["strike"] for leg in legs],
            expiry_time=[leg["days_to_expiry"] / model["days_in_year"] for leg in legs],
            price=[leg["price"] for leg in legs],
        ),
        [multiplier * count for count in contracts],
        spot=spot,
        moves=grid_moves(**inputs["scan"]),
        model=GridModel(
            rate=model["rate"],
            dividend_yield=model["dividend_yield"],
            american=model["exercise"] == "american",
            steps=model["steps"],
        ),
        stock_value=stock_value,
    )
    held = sum(abs(count) for count in contracts)
    result = floored_requirement(pnl, held * multiplier, inputs["minimum_per_unit"])
    return {"minimum": result.minimum, "requirement": result.requirement}


def _grid_floor(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.pricing.portfolio_grid import floored_requirement

    units = inputs["option_contracts"] * inputs["multiplier"]
    result = floored_requirement(inputs["scenario_pnl"], units, inputs["minimum_per_unit"])
    return {"minimum": result.minimum, "requirement": result.requirement}


def _concentration_shock(inputs: Mapping[str, Any]) -> dict[str, Any]:
    from crossmargin.pricing.portfolio_grid import concentration_shock

    ranges = (inputs[name] for name in ("point_of_no_return", "expected_price_range", "standard_range"))
    return {"shock": concentration_shock(*ranges)}


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "cross_margin.spread_credit": _spread_credit,
        "cross_margin.two_pot": _two_pot,
        "portfolio_margin.concentration_shock": _concentration_shock,
        "portfolio_margin.floor": _grid_floor,
        "portfolio_margin.positions": _grid_positions,
        "risk.tail": _tail,
        "treasury_futures.conversion_factor": _conversion_factor,
        "var.anticyclical_options": _anticyclical_options,
        "var.blend": _blend,
        "var.filtered_returns": _filtered_returns,
        "var.offset_cap": _offset_cap,
        "var.stressed_volatility_mix": _stressed_volatility_mix,
    }
)
