"""The historical value-at-risk family: each choice of reducer and combiner by hand, each shipped calibration whole."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass
from crossmargin.combining import anticyclical_options
from crossmargin.errors import InputError, NotInForce, ParameterMissing
from crossmargin.historical_var import Combiner, combiner, legs, reducer, requirement, scenarios
from crossmargin.io.market_files import read_tidy_par_yields
from crossmargin.margin import margin
from crossmargin.market import Market
from crossmargin.methodology import Inputs
from crossmargin.parameters import DatedValue, Parameter, Rules, Source
from crossmargin.pnl import PnL, revalue
from crossmargin.portfolio import Pool, Position
from crossmargin.prisma import correlation_break, robust_factor
from crossmargin.products import TreasuryFuture, TreasuryNote
from crossmargin.regimes import SILOED
from crossmargin.registry import module, rules
from crossmargin.results import Line
from crossmargin.rulesets import cme_rates_futures
from crossmargin.scenarios import ScenarioSet, scenario_set
from tests.properties.strategies import AS_OF, NOTE_7, OPTION, SR3, STRESS, TIPS_8, UB, ZN, ZT, book, market
from tests.reference import historical_var_twin as twin

FAMILY = ("cme_irs_like", "cme_span2_like", "eurex_prisma_like", "ice_irm2_like", "lch_pairs_like")
YIELDS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "market" / "ust_par_yields_daily.csv"
START = date(2020, 1, 1)
PLAIN = {
    "scenarios": "historical",
    "reducer": "quantile",
    "combiner": "historical",
    "confidence": 0.75,
    "quantile_type": 1,
    "horizon_days": 1,
    "lookback_years": 10,
}


def toy(**parameters):
    """A reader of a rule that exists here alone; None takes a parameter away."""
    values = {name: value for name, value in {**PLAIN, **parameters}.items() if value is not None}
    held = {
        name: Parameter(name, "1", "", (DatedValue(START, value, "here", "assumed"),)) for name, value in values.items()
    }
    return Rules("toy", parameters=held, sources={"here": Source("these tests")}).at(AS_OF)


def pool(*lines) -> Pool:
    held = tuple(Position(f"p{i}", "ALPHA-FUT", *line) for i, line in enumerate(lines))
    return Pool("ALPHA", "DUAL", AccountClass.CFTC_4D_AB, "CME", "toy", "", held)


def inputs(p, *gains: dict) -> Inputs:
    """A book whose P&L in USD per contract is written down for each scenario set of a rule."""
    found = {}
    for spec, each in zip(scenarios(p), gains, strict=True):
        values, nothing = np.array(list(each.values()), dtype=float), np.zeros(len(each))
        found[spec] = PnL(
            tuple(each), values, nothing, nothing, ScenarioSet(spec, [5.0], np.zeros((1, len(values[0]))))
        )
    return Inputs(book(), market(), found)


def answer(p, held, *gains):
    return requirement(held, inputs(p, *gains), p)


CALM, STORM = [-500.0, -800.0, 300.0, 100.0], [-2_000.0, 900.0]
STRESSED = {"combiner": "larger", "stress_weight": 0.7, "stress_period": STRESS}


# ----------------------------------------------------------------------------------------------------------- reducers


@pytest.mark.parametrize(
    ("parameters", "loss"),
    [
        ({}, 500.0),
        ({"confidence": 0.99}, 800.0),
        ({"quantile_type": 5}, 650.0),  # midway between the two worst: 75 % lies between the points 62.5 and 87.5
        ({"reducer": "mean_of_k_worst", "worst_scenarios": 2}, 650.0),
        ({"reducer": "mean_of_k_worst", "worst_scenarios": 4}, 225.0),
        ({"reducer": "sub_sample_mean", "horizon_days": 2}, (500.0 + 800.0) / 2),  # [-500, 300] and [-800, 100]
        ({"reducer": "sub_sample_mean", "horizon_days": 4}, (500.0 + 800.0) / 4),
        (
            {"reducer": "robust_quantile", "base_confidence": 0.75, "confidence": 0.99, "degrees_of_freedom": 3},
            500.0 * robust_factor(0.75, 0.99, 3),
        ),
        (
            {
                "reducer": "robust_sub_sample_mean",
                "horizon_days": 2,
                "base_confidence": 0.75,
                "confidence": 0.99,
                "degrees_of_freedom": 3,
            },
            650.0 * robust_factor(0.75, 0.99, 3),
        ),
    ],
)
def test_each_reducer_by_hand(parameters, loss):
    p = toy(**parameters)
    line = answer(p, pool((ZN, 10.0)), {ZN: CALM})
    assert line.part("historical_var").value == pytest.approx(10 * loss)
    assert line.value == pytest.approx(10 * loss)
    assert reducer(p).of_pnl([CALM, [2 * each for each in CALM]]) == pytest.approx([loss, 2 * loss])
    assert answer(p, pool((ZN, 1.0)), {ZN: [10.0, 20.0, 30.0, 40.0]}).value == 0.0  # a gain whatever happens


def test_the_tree_shows_every_sub_sample():
    line = answer(toy(reducer="sub_sample_mean", horizon_days=2), pool((ZN, 1.0)), {ZN: CALM}).part("historical_var")
    assert [part.value for part in line.part("sub-samples").parts] == [500.0, 800.0]
    assert line.how == "scaled"


def test_the_stressed_leg_reads_its_own_parameters_where_there_are_some():
    p = toy(**STRESSED, stress_confidence=0.25, stress_reducer="quantile")
    assert reducer(p).measure.confidence == 0.75
    assert reducer(p, stressed=True).measure.confidence == 0.25
    assert reducer(toy(**STRESSED), stressed=True) == reducer(toy(**STRESSED))


def test_too_few_scenarios_for_the_reducer_are_refused():
    for parameters in (
        {"reducer": "mean_of_k_worst", "worst_scenarios": 5},
        {"reducer": "sub_sample_mean", "horizon_days": 5},
    ):
        with pytest.raises(InputError):
            answer(toy(**parameters), pool((ZN, 1.0)), {ZN: CALM})


# -------------------------------------------------------------------------------------------------- correlation break

BREAKS = {"window": 2, "confidence": 0.75, "kappa": 1.0, "lower_bound_fraction": 0.0, "upper_bound_fraction": 0.8}


def test_a_correlation_break_is_added_to_each_sub_sample():
    p = toy(correlation_break=BREAKS)
    settings = {name: BREAKS[name] for name in ("kappa", "lower_bound_fraction", "upper_bound_fraction")}
    added = correlation_break(CALM, 2, 0.75, pure_market_risk=500.0, **settings).adjustment
    line = answer(p, pool((ZN, 1.0)), {ZN: CALM})
    assert added > 0.0
    assert line.part("correlation break").value == pytest.approx(added)
    assert line.value == pytest.approx(500.0 + added)


def test_a_sample_shorter_than_a_window_is_a_visible_gap():
    line = answer(toy(correlation_break={**BREAKS, "window": 9}), pool((ZN, 1.0)), {ZN: CALM})
    assert (line.value, line.partial) == (500.0, True)
    assert "window of 9" in line.part("correlation break").note


# ---------------------------------------------------------------------------------------------------------- combiners


@pytest.mark.parametrize(
    ("parameters", "charge"),
    [
        ({**STRESSED}, 1_400.0),
        ({**STRESSED, "stress_weight": 0.1}, 500.0),
        ({**STRESSED, "combiner": "weighted", "historical_weight": 0.75}, 0.75 * 500 + 0.25 * 2_000),
        ({**STRESSED, "combiner": "weighted", "historical_weight": 1.0}, 500.0),
        ({"combiner": "long_run", "long_run_years": 20}, 2_000.0),
    ],
)
def test_each_combiner_of_two_losses_by_hand(parameters, charge):
    line = answer(toy(**parameters), pool((ZN, 10.0)), {ZN: CALM}, {ZN: STORM})
    assert line.part("base_charge").value == pytest.approx(10 * charge)


@pytest.mark.parametrize(("used", "charge"), [(0.0, 625.0), (0.5, 562.5), (1.0, 500.0)])
def test_a_buffer_is_used_up(used, charge):
    p = toy(combiner="buffered", buffer_fraction=0.25, buffer_used_fraction=used)
    assert answer(p, pool((ZN, 1.0)), {ZN: CALM}).value == pytest.approx(charge)


def test_where_margin_follows_volatility_the_combiners_are_the_options_of_article_28():
    per_unit, current, stressed, ten_years = 1e4, 0.016, 0.031, 0.02
    options = anticyclical_options(
        per_unit * current,
        buffer_fraction=0.25,
        buffer_used_fraction=0.4,
        current_volatility=current,
        stress_volatility=stressed,
        stress_weight=0.25,
        ten_year_volatility=ten_years,
        margin_per_unit_volatility=per_unit,
    )
    now, storm, long_run = (
        Line(name, per_unit * vol) for name, vol in zip("abc", (current, stressed, ten_years), strict=True)
    )
    buffered = combiner(toy(combiner="buffered", buffer_fraction=0.25, buffer_used_fraction=0.4))
    assert buffered.line("a", now).amount == pytest.approx(options.option_a)
    assert Combiner("weighted", 0.75).line("b", now, storm).amount == pytest.approx(options.option_b)
    assert Combiner("long_run").line("c", now, long_run).amount == pytest.approx(options.option_c)


RATES = (
    {"kinds": ("treasury_future",), "contracts": ("ZN",), "rate": 700.0},
    {"kinds": ("treasury_note",), "from_years": 2.0, "to_years": 10.0, "rate": 0.01},
)


def test_a_floor_counts_gross_what_the_loss_nets():
    p = toy(combiner="floored", floor_rates=RATES)
    line = answer(p, pool((ZN, 1.0), (NOTE_7, -1e5)), {ZN: CALM, NOTE_7: [each / 1e5 for each in CALM]})
    assert line.part("historical_var").value == pytest.approx(0.0, abs=1e-9)
    assert line.part("floor").value == pytest.approx(700 + 1_000)
    assert line.value == pytest.approx(1_700)
    bought_back = answer(p, pool((ZN, 1.0), (ZN, -1.0)), {ZN: CALM})
    assert bought_back.value == 0.0  # one instrument nets before any table is read


def test_a_product_without_a_floor_rate_is_a_visible_gap():
    line = answer(toy(combiner="floored", floor_rates=RATES), pool((UB, 1.0)), {UB: CALM})
    assert (line.value, line.partial) == (500.0, True)


def test_a_stress_period_that_no_leg_measures_is_appended_to_the_look_back():
    assert scenarios(toy(stress_period=STRESS))[0].stress_period == STRESS
    historical, stress = scenarios(toy(**STRESSED))
    assert (historical.stress_period, stress.kind, stress.stress_period) == (None, "stress", STRESS)


# ------------------------------------------------------------------------------------------------------ size charges

DEPTH = (
    {"kinds": ("treasury_future",), "contracts": ("ZN",), "half_spread": 8.0, "daily_volume": 1_000},
    {
        "kinds": ("treasury_future", "short_rate_future"),
        "contracts": ("ZT", "SR3"),
        "half_spread": 4.0,
        "daily_volume": 100,
    },
)
IMPACT = (
    {"from_pct": 0.0, "to_pct": 10.0, "factor_from": 0.0, "factor_to": 0.2},
    {"from_pct": 10.0, "to_pct": 100.0, "factor_from": 0.2, "factor_to": 2.0},
)
STEP = (
    {"from_pct": 0.0, "to_pct": 10.0, "factor_from": 0.0, "factor_to": 0.0},
    {"from_pct": 10.0, "to_pct": 100.0, "factor_from": 0.0, "factor_to": 0.9},
)
SIZED = {"market_depth": DEPTH, "impact_factors": IMPACT, "concentration_factors": STEP}


def test_size_charges_by_hand():
    line = answer(toy(**SIZED), pool((ZN, 50.0), (ZT, -20.0)), {ZN: CALM, ZT: [-100.0, 400.0, 300.0, 200.0]})
    own_zn, own_zt = 50 * 500.0, 20 * 300.0  # the worst quarter of four: the second loss
    assert line.part("ZN 2026-09").parts[0].value == 400.0
    liquidity = 50 * 8 + own_zn * 0.1 + 20 * 4 + own_zt * 0.4  # 5 % and 20 % of a day's volume
    assert line.part("liquidity_charge").value == pytest.approx(liquidity)
    assert line.part("concentration_charge").value == pytest.approx(own_zt * 0.1)
    assert line.value == pytest.approx(line.part("base_charge").value + liquidity + own_zt * 0.1)


@pytest.mark.parametrize(("floor", "alpha"), [(0.1, 2 / 3), (0.9, 0.9)])
def test_diversification_takes_its_share_of_the_close_out_cost(floor, alpha):
    gains = {ZN: [-500.0, -500.0, 0.0, 0.0], ZT: [100.0, 100.0, -100.0, -100.0]}
    line = answer(toy(**SIZED, alpha_floor=floor), pool((ZN, 1.0), (ZT, 1.0)), gains)
    assert line.part("historical_var").value == 400.0
    assert line.part("liquidity_charge").factor == pytest.approx(400 / 600 if floor < 0.5 else alpha)


def test_size_is_net_and_what_nets_to_nothing_costs_nothing():
    once = answer(toy(**SIZED), pool((ZN, 30.0)), {ZN: CALM})
    split = answer(toy(**SIZED), pool((ZN, 50.0), (ZN, -20.0)), {ZN: CALM})
    assert split == once
    assert answer(toy(**SIZED), pool((ZN, 5.0), (ZN, -5.0)), {ZN: CALM}).value == 0.0


def test_a_product_without_market_depth_is_a_visible_gap():
    line = answer(toy(**SIZED), pool((ZN, 1.0), (UB, 1.0)), {ZN: CALM, UB: CALM})
    gaps = [each.name for each in line.walk() if each.how == "not_modelled"]
    assert gaps == ["UB 2026-09", "UB 2026-09"]  # once in each charge
    assert line.value > line.part("base_charge").value


def test_a_size_beyond_the_table_is_a_visible_gap_and_its_spread_is_still_charged():
    line = answer(toy(**SIZED), pool((ZN, 2_000.0)), {ZN: CALM})
    assert line.part("market impact").how == "not_modelled"
    assert "200 %" in line.part("market impact").note
    assert line.part("liquidity_charge").value == 16_000.0
    assert line.part("concentration_charge").amount is None
    assert line.partial


def test_without_tables_there_are_no_lines_of_size():
    names = {each.name for each in answer(toy(market_depth=DEPTH), pool((ZN, 1.0)), {ZN: CALM}).walk()}
    assert not names & {"liquidity_charge", "concentration_charge"}


def test_a_volume_of_nothing_is_refused():
    with pytest.raises(InputError, match="daily_volume"):
        answer(toy(**{**SIZED, "market_depth": ({**DEPTH[0], "daily_volume": 0},)}), pool((ZN, 1.0)), {ZN: CALM})


# --------------------------------------------------------------------------------------------------- what is left out


def test_a_position_that_was_not_revalued_is_a_visible_gap():
    line = answer(toy(), pool((ZN, 1.0), (OPTION, 5.0), (TIPS_8, 1e6)), {ZN: CALM})
    gaps = [each.name for each in line.walk() if each.how == "not_modelled"]
    assert gaps == [f"p1: {OPTION.symbol}", f"p2: {TIPS_8.symbol}"]
    assert line.value == 500.0


def test_a_position_known_to_one_scenario_set_only_is_one_too():
    line = answer(toy(**STRESSED), pool((ZN, 1.0), (ZT, 1.0)), {ZN: CALM, ZT: CALM}, {ZN: STORM})
    assert [each.name for each in line.walk() if each.how == "not_modelled"] == [f"p1: {ZT.symbol}"]
    assert line.part("historical_var").value == 500.0


def test_what_a_rule_lists_as_not_modelled_is_a_line_with_its_reason():
    p = toy(not_modelled=({"name": "event_add_on", "why": "case by case"},))
    line = answer(p, pool((ZN, 1.0)), {ZN: CALM})
    assert line.part("event_add_on").note == "case by case"
    assert line.part("event_add_on").reads[0].name == "not_modelled"
    assert line.partial


def test_an_empty_pool_owes_nothing():
    line = requirement(pool(), Inputs(book(), market(), {}), toy(**STRESSED, **SIZED))
    assert (line.value, line.name) == (0.0, "toy requirement")


# ---------------------------------------------------------------------------------------------------- rules gone wrong


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"reducer": "quantle"}, "Did you mean 'quantile'"),
        ({"combiner": "wieghted"}, "Did you mean 'weighted'"),
        ({"scenarios": "filterd"}, "Did you mean 'filtered'"),
        ({"confidence": 1.0}, "confidence"),
        ({"quantile_type": 10}, "quantile_type"),
        ({"reducer": "mean_of_k_worst", "worst_scenarios": 0}, "k"),
        ({**STRESSED, "combiner": "weighted", "historical_weight": 1.1}, "weight of combiner"),
        ({**STRESSED, "stress_weight": -0.1}, "weight of combiner"),
        ({**STRESSED, "stress_weight": math.nan}, "weight of combiner"),
        ({"combiner": "buffered", "buffer_fraction": 2.0, "buffer_used_fraction": -1.0}, "buffer_used_fraction"),
        ({"scenarios": "filtered", "decay_factor": 1.0}, "decay"),
        ({"horizon_days": 0}, "horizon_days"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused_before_anything_is_drawn(parameters, said):
    with pytest.raises(InputError, match=said):
        scenarios(toy(**parameters))


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"combiner": "larger"}, "stress_weight"),
        ({"combiner": "weighted", "historical_weight": 0.5}, "stress_period"),
        ({"combiner": "long_run"}, "long_run_years"),
        ({"scenarios": "filtered"}, "decay_factor"),
        ({"reducer": "mean_of_k_worst"}, "worst_scenarios"),
        ({"reducer": "robust_quantile"}, "base_confidence"),
        ({"confidence": None}, "confidence"),
    ],
)
def test_a_choice_that_lacks_its_parameter_says_which(parameters, name):
    with pytest.raises(ParameterMissing, match=name):
        scenarios(toy(**parameters))
    with pytest.raises(InputError, match="stress_var"):
        Combiner("larger", 0.7).line("x", Line("historical_var", 1.0))


# --------------------------------------------------------------------------------------------- the shipped calibrations


def regime_of(id: str):
    silos = tuple(evolve(silo, ruleset=id) if silo.pot == "CME" else silo for silo in SILOED.silos)
    return evolve(SILOED, name=id, title=id, silos=silos)


HELD = book(Position("a", "ALPHA-FUT", ZN, 100.0), Position("b", "ALPHA-FUT", ZT, -150.0))


@pytest.mark.parametrize("id", FAMILY)
def test_a_rule_names_the_engine_and_nothing_else(id):
    assert (module(id).requirement, module(id).scenarios) == (requirement, scenarios)
    assert "like" in rules(id).title


@pytest.mark.parametrize("id", FAMILY)
def test_every_parameter_read_is_on_the_figure(id):
    report = margin(HELD, market(), regime_of(id))
    assert {read.name for read in report.reads() if read.rule == id} == set(rules(id).parameters)
    assert report.partial  # each of them knows a charge that is not public
    assert {line.note != "" for _, line in report.not_modelled()} == {True}


@pytest.mark.parametrize("id", FAMILY)
def test_each_calibration_against_a_recomputation_from_the_history(id):
    """Scenarios drawn and products repriced by the library; tails, scaling and combination by the twin."""
    p, held = rules(id).at(AS_OF), {ZN: 100.0, ZT: -150.0}
    losses = []
    for leg in legs(p):
        drawn = revalue(list(held), market(), scenario_set(leg.spec, market().history, AS_OF))
        pnl = sum(quantity * drawn.row(product) for product, quantity in held.items()).tolist()
        stressed = leg.name == "stress_var"
        read = {
            name: getattr(p, name)
            for name in ("confidence", "horizon_days", "quantile_type", "worst_scenarios", "degrees_of_freedom")
            if name in rules(id).parameters
        }
        if "base_confidence" in rules(id).parameters:
            read["base_confidence"] = p.stress_base_confidence if stressed else p.base_confidence
        losses.append(twin.reduced(pnl, p.reducer, **read))
    weight = {"larger": "stress_weight", "weighted": "historical_weight"}.get(p.combiner)
    factor = getattr(p, weight) if weight else 1 + p.buffer_fraction if p.combiner == "buffered" else 1.0
    line = margin(HELD, market(), regime_of(id)).requirements[0].line
    broken = sum(each.value for each in line.walk() if each.name == "correlation break")
    if broken:
        losses[0] += broken / p.horizon_days
    by_hand = twin.combined(p.combiner, losses[0], losses[-1], factor)
    assert line.part("historical_var").value == pytest.approx(losses[0], rel=1e-9)
    assert line.part("base_charge").value == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize("id", FAMILY)
def test_before_its_first_date_a_rule_does_not_answer(id):
    first = rules(id).first_date
    scenarios(rules(id).at(first))
    with pytest.raises(NotInForce):
        scenarios(rules(id).at(date.fromordinal(first.toordinal() - 1)))


def test_no_calibration_claims_to_be_the_published_figure():
    for id in FAMILY:
        rule = rules(id)
        assert any(value.grade == "assumed" for each in rule.parameters.values() for value in each.values), id
    prisma = rules("eurex_prisma_like")
    assert all(value.grade == "assumed" for each in prisma.parameters.values() for value in each.values)


def test_the_choice_of_model_is_an_overlay():
    """A study swaps reducer and combiner of a shipped rule for others that its parameters allow."""
    study = rules("cme_span2_like").with_values(combiner="historical", because="what the stressed share adds")
    alone, blended = (margin(HELD, market(), regime_of("cme_span2_like"), rules=each) for each in ([study], []))
    line = blended.requirements[0].line
    assert alone.requirements[0].line.part("base_charge").value != line.part("base_charge").value
    assert any(read.because for read in alone.reads())


def test_the_rates_futures_of_today_are_a_case_of_the_family():
    """With reducer and combiner named, the engine gives the base charge that the rule-set calculates itself."""
    named = {"scenarios": "filtered", "reducer": "quantile", "combiner": "weighted"}
    base = rules("cme_rates_futures")
    added = {
        name: Parameter(name, "text", "", (DatedValue(START, value, "span2", "assumed"),))
        for name, value in named.items()
    }
    family = evolve(base, parameters={**base.parameters, **added})
    report = margin(HELD, market())
    specs = scenarios(family.at(AS_OF))
    assert specs == cme_rates_futures.scenarios(base.at(AS_OF))
    pnl = {spec: revalue([ZN, ZT, SR3], market(), scenario_set(spec, market().history, AS_OF)) for spec in specs}
    line = requirement(pool((ZN, 100.0), (ZT, -150.0)), Inputs(HELD, market(), pnl), family.at(AS_OF))
    assert line.value == report.requirements[0].line.part("base_charge").value


# --------------------------------------------------------------------------------------------------- on real history


@pytest.mark.slow_interpreted
def test_every_calibration_answers_on_real_history_without_a_gap():
    """Once a quarter from the end of the crisis to 2026, read with the parameters of today: one ten-year future."""
    if not YIELDS.is_file():
        pytest.skip("the shared history of yields is not beside this checkout")
    past = read_tidy_par_yields(YIELDS)
    days = [
        day
        for earlier, day in zip(past.dates, past.dates[1:], strict=False)
        if day.month % 6 == 0 and day.month != earlier.month
    ]
    series = {id: [] for id in FAMILY}
    for day in (day for day in days if day >= date(2009, 12, 1)):
        note = TreasuryNote(0.04, date(day.year + 7, 11, 15))
        held, on = pool((TreasuryFuture("ZN", day.year * 100 + 12, (note,)), 1.0)), Market.from_history(past, day)
        for id in FAMILY:
            p = rules(id).at(AS_OF)
            pnl = {spec: revalue([held.products[0]], on, scenario_set(spec, past, day)) for spec in scenarios(p)}
            series[id].append(requirement(held, Inputs(book(), on, pnl), p).part("base_charge").value)
    for id, charges in series.items():
        assert len(charges) == 34, id
        assert 300 < min(charges) < max(charges) < 9_000, (id, min(charges), max(charges))  # USD a contract of 100,000
