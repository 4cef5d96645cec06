"""The model like SPAN 2: correlations of today in its look-back, and what it costs to leave index futures."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass
from crossmargin.errors import InputError
from crossmargin.filtering import CorrelationScaling
from crossmargin.historical_var import requirement, scenarios
from crossmargin.margin import margin
from crossmargin.market import History, Market
from crossmargin.methodology import Inputs
from crossmargin.pnl import PnL, revalue
from crossmargin.portfolio import Pool, Position
from crossmargin.products import IndexFuture
from crossmargin.products.contracts import contract_specs
from crossmargin.regimes import SILOED
from crossmargin.registry import rules
from crossmargin.scenarios import ScenarioSet, scenario_set
from tests.properties.strategies import AS_OF, ZN, ZT, book, market

RULES = rules("cme_span2_like")
OTHERS = ("cme_irs_like", "cme_rates_futures", "eurex_prisma_like", "ficc_gsd", "ice_irm2_like", "lch_pairs_like")


def pool(*lines) -> Pool:
    held = tuple(Position(f"p{i}", "ALPHA-FUT", *line) for i, line in enumerate(lines))
    return Pool("ALPHA", "DUAL", AccountClass.CFTC_4D_AB, "CME", "toy", "", held)


def test_it_scales_correlations_and_says_by_what():
    spec = scenarios(RULES.at(AS_OF))[0]
    assert spec.correlation == CorrelationScaling(0.99, 0.1, 1e-4, ("SPX", "NDX", "RUT", "DJI", "VIX"))
    silos = tuple(evolve(silo, ruleset=RULES.id) if silo.pot == "CME" else silo for silo in SILOED.silos)
    held = book(Position("a", "ALPHA-FUT", ZN, 100.0), Position("b", "ALPHA-FUT", ZT, -150.0))
    report = margin(held, market(), evolve(SILOED, name="span2", title="span2", silos=silos))
    line = report.requirements[0].line
    (read,) = [each for each in line.part("historical_var").reads if each.name == "correlation_scaling"]
    assert read.grade == "assumed"
    assert "correlation_scaling" not in {each.name for each in line.walk()}
    assert any("correlations of the look-back" in note for note in report.notes)


def test_it_is_the_only_rule_that_does():
    for id in OTHERS:
        assert "correlation_scaling" not in rules(id).parameters


def spread_margined(parting: float) -> tuple[float, float]:
    """Return the margin of a spread, without and with scaling: its two ends move alike, but for a last quarter."""
    days = [day for n in range(1500, -1, -1) if (day := AS_OF - timedelta(n)).weekday() < 5]
    level, slope = np.random.default_rng(11).normal(0, 5e-4, (2, len(days)))
    share = np.where(np.arange(len(days)) > len(days) - 90, parting, 0.3)
    ends = ((level + sign * share * slope) / np.hypot(1.0, share) for sign in (1.0, 1.0, 0.5, -0.5, -1.0))
    history = History(days, [0.25, 2, 5, 10, 30], 0.05 + np.cumsum(list(ends), axis=1).T, "made up")
    on, held, found = Market.from_history(history, AS_OF), pool((ZT, 200.0), (ZN, -100.0)), []
    alone = RULES.with_values(combiner="historical", volatility_floor=0.0, because="nothing but the look-back")
    scaling = {**alone.in_force("correlation_scaling", AS_OF).value, "shrinkage": 1.0}
    for each in (alone.with_values(correlation_scaling=scaling, because="as in the look-back"), alone):
        p = each.at(AS_OF)
        pnl = {spec: revalue([ZN, ZT], on, scenario_set(spec, history, AS_OF)) for spec in scenarios(p)}
        found.append(requirement(held, Inputs(book(), on, pnl), p).part("base_charge").value)
    return found[0], found[1]


def test_a_hedge_that_has_failed_of_late_asks_for_more_and_one_that_holds_for_less():
    without, with_scaling = spread_margined(parting=1.0)
    assert with_scaling > 1.1 * without
    without, with_scaling = spread_margined(parting=0.05)
    assert with_scaling < 0.9 * without


def test_an_unknown_field_of_the_scaling_is_refused():
    wrong = RULES.with_values(correlation_scaling={"decai": 0.97}, because="a slip of the pen")
    with pytest.raises(InputError, match=r"decai.*Did you mean 'decay'\?"):
        scenarios(wrong.at(AS_OF))


@pytest.mark.parametrize("id", ["cme_span2_like", "ice_irm2_like", "eurex_prisma_like"])
@pytest.mark.parametrize("contract", ["ES", "MES", "NQ", "RTY", "YM", "VX"])
def test_the_market_depth_of_index_futures_is_half_a_tick_and_leaves_no_gap(id, contract):
    p, future = rules(id).at(AS_OF), IndexFuture(contract, 202609)
    terms = contract_specs()[contract]
    (row,) = [row for row in p.market_depth if contract in row["contracts"]]
    assert row["half_spread"] == pytest.approx(terms.tick * terms.point_value / 2)
    gains, nothing = np.random.default_rng(3).normal(0.0, 1e3, (1, 800)), np.zeros(1)
    pnl = {
        spec: PnL((future,), gains, nothing, nothing, ScenarioSet(spec, [5.0], np.zeros((1, 800))))
        for spec in scenarios(p)
    }
    line = requirement(pool((future, -10.0)), Inputs(book(), market(), pnl), p)
    known = {each["name"] for each in p.not_modelled}
    assert {each.name for each in line.walk() if each.how == "not_modelled"} <= known
    assert line.part("bid-ask").amount == pytest.approx(10 * row["half_spread"])
    assert line.part("market impact").value > 0.0
