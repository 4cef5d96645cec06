"""CME rates futures: the blend of historical and stressed value at risk by hand, the filter and its floor."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass
from crossmargin.errors import InputError, NotInForce
from crossmargin.margin import margin
from crossmargin.market import History, Market
from crossmargin.methodology import Inputs
from crossmargin.pnl import PnL, revalue
from crossmargin.portfolio import Pool, Position
from crossmargin.regimes import HARMONIZED, SILOED
from crossmargin.registry import rules
from crossmargin.rulesets import cme_rates_futures as cme
from crossmargin.scenarios import ScenarioSet
from crossmargin.underlyings import Underlying
from tests.properties.strategies import AS_OF, NOTE_7, OPTION, SR3, STRESS, ZN, ZQ, ZT, book, history, market

RULES = rules("cme_rates_futures")


def pool(*lines) -> Pool:
    held = tuple(Position(f"p{i}", "ALPHA-FUT", *line) for i, line in enumerate(lines))
    return Pool("ALPHA", "DUAL", AccountClass.CFTC_4D_AB, "CME", "cme_rates_futures", "", held)


def inputs(filtered: dict, stressed: dict) -> Inputs:
    """A book whose P&L in USD per contract is written down for both scenario sets."""
    found = {}
    for spec, gains in zip(cme.scenarios(RULES.at(AS_OF)), (filtered, stressed), strict=True):
        values = np.array(list(gains.values()), dtype=float)
        nothing = np.zeros(len(gains))
        drawn = ScenarioSet(spec, [5.0], np.zeros((1, values.shape[1])))
        found[spec] = PnL(tuple(gains), values, nothing, nothing, drawn)
    return Inputs(book(), market(), found)


def with_weight(weight: float):
    return RULES.with_values(historical_weight=weight, because="test").at(AS_OF)


# --------------------------------------------------------------------------------------------------- blend, by hand

CALM, STORM = [-500.0, -800.0, 300.0, 100.0], [-2_000.0, 900.0]


@pytest.mark.parametrize(("weight", "by_hand"), [(0.75, 1_100.0), (1.0, 800.0), (0.0, 2_000.0), (0.5, 1_400.0)])
def test_the_blend_by_hand(weight, by_hand):
    found = cme.requirement(pool((ZN, 10.0)), inputs({ZN: CALM}, {ZN: STORM}), with_weight(weight))
    assert found.part("historical_var").value == pytest.approx(8_000)  # ten contracts at the worst of four
    assert found.part("stress_var").value == pytest.approx(20_000)
    assert found.part("base_charge").value == pytest.approx(10 * by_hand)
    assert found.value == pytest.approx(10 * by_hand)


def test_the_weight_shipped_is_three_quarters():
    found = cme.requirement(pool((ZN, 1.0)), inputs({ZN: CALM}, {ZN: STORM}), RULES.at(AS_OF))
    assert found.part("base_charge").value == pytest.approx(0.75 * 800 + 0.25 * 2_000)


def test_each_tail_is_taken_on_its_own_scenarios_and_of_the_netted_pool():
    of = inputs({ZN: [-500.0, -800.0], ZT: [-300.0, -200.0]}, {ZN: [-2_000.0, 0.0], ZT: [-900.0, -100.0]})
    found = cme.requirement(pool((ZN, 1.0), (ZT, -2.0)), of, RULES.at(AS_OF))
    assert found.part("historical_var").value == pytest.approx(400)  # -500 + 600, -800 + 400
    assert found.part("stress_var").value == pytest.approx(200)  # -2000 + 1800, +200


def test_a_gain_on_one_side_never_pays_for_the_other():
    found = cme.requirement(pool((ZN, 1.0)), inputs({ZN: [10.0, 20.0]}, {ZN: STORM}), RULES.at(AS_OF))
    assert found.part("historical_var").value == 0.0
    assert found.value == pytest.approx(0.25 * 2_000)


@pytest.mark.parametrize("contracts", [0.0, 1e-9, 1e9])
def test_size_runs_through(contracts):
    found = cme.requirement(pool((ZN, contracts)), inputs({ZN: CALM}, {ZN: STORM}), RULES.at(AS_OF))
    assert found.value == pytest.approx(1_100 * contracts)


# -------------------------------------------------------------------------------------------------- filter and floor


SEED = 60  # changes whose mean square begins the variance


def by_hand(past: History, future, *, floor: float, cap: float, decay: float) -> tuple[float, float]:
    """Both tails of one contract from the history with a plain recursion, pricing excepted."""
    pairs = [
        (past.dates[row], past.par[row] - past.par[row - 1])
        for row in range(1, len(past.dates))
        if (past.dates[row] - past.dates[row - 1]).days <= 7
    ]
    recent = [change for day, change in pairs if day > date(2016, 6, 30)]
    stressed = [change for day, change in pairs if STRESS[0] <= day <= STRESS[1]]
    scaled = np.zeros((len(recent), 5))
    for tenor in range(5):
        series = [change[tenor] for change in recent]
        variances = [sum(change**2 for change in series[:SEED]) / SEED]
        for change in series:
            variances.append(decay * variances[-1] + (1 - decay) * change**2)
        top = max(math.sqrt(variances[-1]), floor)
        ratios = [min(top / math.sqrt(variance), cap) for variance in variances[:-1]]
        scaled[:, tenor] = [change * ratio for change, ratio in zip(series, ratios, strict=True)]
    tails = []
    spec = cme.scenarios(RULES.at(AS_OF))[0]
    for shifts in (scaled, np.array(stressed)):
        drawn = ScenarioSet(spec, past.tenors, shifts.T)
        gains = revalue([future], Market.from_history(past, AS_OF), drawn).row(future)
        tails.append(-sorted(gains)[len(gains) - math.ceil(0.99 * len(gains))])
    return tails[0], tails[1]


@pytest.mark.parametrize("future", [ZN, SR3], ids=lambda future: future.symbol)
def test_both_tails_against_a_recomputation_from_the_history(future):
    historical, stressed = by_hand(history(), future, floor=0.0003, cap=4.0, decay=0.97)
    report = margin(book(Position("p", "ALPHA-FUT", future, 100.0)), market())
    line = report.requirements[0].line
    assert line.part("historical_var").value == pytest.approx(100 * historical, rel=1e-9)
    assert line.part("stress_var").value == pytest.approx(100 * stressed, rel=1e-9)


def calm_market(factor: float) -> Market:
    """The made-up history with the last year's moves made small, so that the forecast falls below the floor."""
    past, recent = history(), [day >= date(2025, 1, 1) for day in history().dates]
    par = past.par.copy()
    par[recent] = par[-1] + factor * (par[recent] - par[-1])
    return Market.from_history(History(past.dates, past.tenors, par), AS_OF)


def test_in_a_calm_market_the_volatility_floor_binds():
    calm = calm_market(0.3)
    held = book(Position("p", "ALPHA-FUT", ZN, 100.0))
    overlaid = [RULES.with_values(volatility_floor=floor, because="test") for floor in (0.0, 0.0003, 0.0006)]
    bare, floored, higher = (
        margin(held, calm, rules=[each]).requirements[0].line.part("historical_var").value for each in overlaid
    )
    historical, _ = by_hand(calm.history, ZN, floor=0.0003, cap=4.0, decay=0.97)
    assert floored == pytest.approx(100 * historical, rel=1e-9)
    assert bare < floored < higher
    assert higher == pytest.approx(2 * floored, rel=0.05)  # proportional where it binds, but for convexity


def test_in_a_lively_market_it_does_not():
    held = book(Position("p", "ALPHA-FUT", ZN, 100.0))
    overlaid = [RULES.with_values(volatility_floor=floor, because="test") for floor in (0.0, 0.0001)]
    bare, floored = (margin(held, market(), rules=[each]).total() for each in overlaid)
    assert bare == floored


def test_the_stressed_share_is_never_rescaled():
    held = book(Position("p", "ALPHA-FUT", ZN, 100.0))
    calm, lively = (
        margin(held, of).requirements[0].line.part("stress_var").value for of in (calm_market(0.1), market())
    )
    assert calm == pytest.approx(lively, rel=1e-6)


# --------------------------------------------------------------------------------------------------- what is left out


def test_an_option_is_a_visible_gap_and_the_figure_partial():
    with_option = margin(book(*pool((ZN, 10.0), (OPTION, 5.0)).positions), market())
    without = margin(book(*pool((ZN, 10.0)).positions), market())
    assert with_option.total() == without.total()
    gaps = [line for _, line in with_option.not_modelled() if OPTION.symbol in line.name]
    assert gaps
    assert all("the market has no volatility of ZN 2026-09" in line.note for line in gaps)
    assert with_option.partial


def test_options_alone_of_which_nothing_is_known_ask_visibly_nothing():
    for regime in (SILOED, HARMONIZED):
        (asked,) = margin(book(*pool((OPTION, 5.0)).positions), market(), regime).requirements[:1]
        assert asked.line.amount is None


@pytest.mark.slow_interpreted
def test_an_option_with_a_volatility_is_margined_with_its_future():
    told = evolve(market(), underlyings={ZN.symbol: Underlying(ZN.symbol, 0.06)})
    covered = margin(book(*pool((ZN, 10.0), (OPTION, -10.0)).positions), told)
    outright = margin(book(*pool((ZN, 10.0)).positions), told)
    assert 0.0 < covered.total() < outright.total()
    assert not [line for _, line in covered.not_modelled() if OPTION.symbol in line.name]


def test_the_charges_with_no_public_table_are_lines():
    found = cme.requirement(pool((ZN, 1.0)), inputs({ZN: CALM}, {ZN: STORM}), RULES.at(AS_OF))
    assert {line.name for line in found.walk() if line.how == "not_modelled"} == {
        "liquidity_charge",
        "concentration_charge",
    }


def test_it_margins_treasuries_too_for_the_both_legs_calculation():
    of = inputs({ZN: [-800.0, 0.0], NOTE_7: [0.008, 0.0]}, {ZN: [-2_000.0, 0.0], NOTE_7: [0.019, 0.0]})
    found = cme.requirement(pool((ZN, 1.0), (NOTE_7, 100_000.0)), of, RULES.at(AS_OF))
    assert found.value == pytest.approx(0.25 * 100)


def test_before_the_first_value_the_rules_are_not_in_force():
    with pytest.raises(NotInForce, match="2018-01-01"):
        cme.scenarios(RULES.at(date(2017, 12, 31)))


@pytest.mark.parametrize(
    ("name", "value"), [("confidence", 1.0), ("confidence", 0.0), ("quantile_type", 10), ("decay_factor", 1.0)]
)
def test_an_overlay_that_makes_no_sense_is_refused(name, value):
    overlaid = RULES.with_values(because="test", **{name: value})
    with pytest.raises(InputError):
        margin(book(Position("p", "ALPHA-FUT", ZQ, 10.0)), market(), rules=[overlaid])


def test_every_parameter_read_is_on_the_figure():
    report = margin(book(Position("p", "ALPHA-FUT", ZN, 10.0)), market())
    read = {read.name for read in report.reads() if read.rule == "cme_rates_futures"}
    assert read == set(RULES.parameters)
