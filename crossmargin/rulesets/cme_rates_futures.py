"""CME interest-rate futures: historical VaR with a stressed share, at the clearing level.

Models the composition `weight * filtered VaR + (1 - weight) * stressed VaR` over one day, with a volatility floor in
the filter. The liquidity and concentration charges need bid-ask and volume tables that are not public: they stand as
lines that are not modelled, as do options on futures. Rates futures are margined by SPAN today and move to this
family; CME's calibration is not public, so weight, decay and floor are assumed.
"""

from __future__ import annotations

from crossmargin.methodology import Inputs, tail_charge, unmodelled
from crossmargin.parameters import Reader
from crossmargin.pnl import can_revalue
from crossmargin.portfolio import Pool
from crossmargin.results import Line, not_modelled, scaled, total
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSpec

OTHER_CHARGES = {
    "liquidity_charge": "needs bid-ask close-out costs by contract, not public",
    "concentration_charge": "needs the thresholds and average daily volumes that CME applies, not public",
}


def scenarios(p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return the filtered look-back and the stressed period, in that order."""
    filtered = ScenarioSpec(
        "filtered",
        horizon_days=p.horizon_days,
        lookback_years=p.lookback_years,
        decay=p.decay_factor,
        volatility_floor=p.volatility_floor,
        ratio_cap=p.volatility_ratio_cap,
    )
    stress = ScenarioSpec(
        "stress", horizon_days=p.horizon_days, lookback_years=p.lookback_years, stress_period=p.stress_period
    )
    return filtered, stress


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the maintenance performance bond of one portfolio of rates futures (or of what offsets them)."""
    others = [not_modelled(name, why) for name, why in OTHER_CHARGES.items()]
    refused = [position for position in pool.positions if not can_revalue(position.product)]
    options = unmodelled(refused, "options on futures are not modelled by this rule-set")
    return total("cme_rates_futures requirement", [base_charge(pool, inputs, p), *others, *options])


def base_charge(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return weight * historical VaR + (1 - weight) * stressed VaR.

    References
    ----------
    CME Group, SPAN 2 methodology: composition of the margin requirement.
    """
    filtered, stress = scenarios(p)
    measure = TailMeasure("quantile", confidence=p.confidence, quantile_type=p.quantile_type)
    weight, reads = p.historical_weight, p.taken()
    historical = tail_charge("historical_var", inputs.pooled(pool.positions, filtered), measure, reads)
    stressed = tail_charge("stress_var", inputs.pooled(pool.positions, stress), measure, reads)
    parts = [scaled("historical share", weight, historical), scaled("stressed share", 1 - weight, stressed)]
    return total("base_charge", parts)
