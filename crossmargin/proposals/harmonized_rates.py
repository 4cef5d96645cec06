"""A harmonized pool for rates products: one model, one horizon, every account of one owner at one firm together.

Nobody has put this in force: it is the counterfactual that the joint request for comment of June 2026 invites. The
model is historical VaR over a common horizon, plus haircuts where nothing can be repriced. Two guardrails, each a
switch: the reduction against the siloed requirement is capped, and a share of the siloed requirement is a floor.
Offset gates, add-ons and anti-procyclicality are not modelled yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from crossmargin.eligibility import Test
from crossmargin.methodology import (
    Inputs,
    haircut_charge,
    historical_scenarios,
    security_exposures,
    tail_charge,
    unmodelled,
)
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.programmes import dual_registration, product_list, unsettled
from crossmargin.results import Line, largest, scaled, total
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSpec

TESTS: Mapping[str, Test] = {
    "rates_product": product_list,
    "customer_scope": lambda case, p: case.customer is None or case.customer.kind in p.customer_scope,
    "unsettled": unsettled,
    "dual_registration": dual_registration,
}


def scenarios(p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return the historical scenarios of the common model."""
    return (historical_scenarios(p),)


def requirement(pool: Pool, siloed: Line, inputs: Inputs, p: Reader) -> Line:
    """Return the pool's requirement: the common model, but not less than the guardrails leave of `siloed`.

    Parameters
    ----------
    siloed : Line
        What the same positions ask under today's rule-sets, USD.
    """
    model = _model(pool, inputs, p)
    capped = scaled("cap on the reduction", 1 - p.reduction_cap, siloed, reads=p.taken())
    floor = scaled("floor of the siloed requirement", p.floor_share, siloed, reads=p.taken())
    return largest("harmonized_rates requirement", [model, capped, floor])


def _model(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    (spec,) = scenarios(p)
    measure = TailMeasure("quantile", confidence=p.confidence, quantile_type=p.quantile_type)
    simulated = tail_charge("historical_var", inputs.pooled(pool.positions, spec), measure, p.taken())
    others = [position for position in pool.positions if not inputs.revalued(position, spec)]
    table = p.haircuts
    exposures = security_exposures(others, inputs.as_of)
    haircuts = haircut_charge("haircut_charge", exposures, table, as_of=inputs.as_of, reads=p.taken())
    options = [position for position in others if not security_exposures([position], inputs.as_of)]
    return total("model", [simulated, haircuts, *unmodelled(options, "the common model has no pricing for it yet")])
