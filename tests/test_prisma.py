"""Building blocks of a Prisma-like model: worked values, twins written out, borders of tables, nonsense refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crossmargin.conformance import run
from crossmargin.errors import CrossMarginError, InputError, NumericalError
from crossmargin.prisma import (
    LiquidityPosition,
    RiskMeasureSet,
    SubSample,
    correlation_break,
    diversification_share,
    liquidity_addon,
    liquidity_factor,
    market_risk,
    robust_factor,
    sub_samples,
    value_at_risk,
)
from crossmargin.worked import clearing

CASES = Path(__file__).resolve().parents[1] / ".." / "shared" / "cases" / "var_models.jsonl"
TABLE = (
    {"from_pct": 0, "to_pct": 5, "factor_from": 0, "factor_to": 0.05},
    {"from_pct": 5, "to_pct": 10, "factor_from": 0.05, "factor_to": 0.25},
)
BOUNDS = {"kappa": 1.0, "pure_market_risk": 100.0, "lower_bound_fraction": 0.0, "upper_bound_fraction": 0.8}

amounts = st.floats(-1e6, 1e6, allow_subnormal=False)
samples = st.lists(amounts, min_size=1, max_size=40)
confidences = st.sampled_from([0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999])


def test_shared_cases():
    if not CASES.is_file():
        pytest.skip("the shared worked cases are not beside this checkout")
    outcome = run(CASES, families=clearing.FAMILIES, builtin=False)
    assert outcome.ok, outcome.text()
    prisma = {name: tally for name, tally in outcome.families.items() if name.startswith("var.prisma_")}
    assert len(prisma) == 5
    assert not any(tally.not_implemented for tally in prisma.values())


# ----------------------------------------------------------------------------------------------------------- quantile


@given(samples, confidences)
def test_the_quantile_lies_on_the_line_through_the_midpoints(pnl, confidence):
    n, ordered = len(pnl), sorted(pnl)
    points = [100 * (i - 0.5) / n for i in range(1, n + 1)]
    by_hand = max(0.0, -np.interp(100 * (1 - confidence), points, ordered))
    assert value_at_risk(pnl, confidence) == pytest.approx(by_hand, rel=1e-9, abs=1e-6)


@given(samples, st.floats(0.001, 0.999))
def test_numpy_names_it_hazen(pnl, confidence):
    assert value_at_risk(pnl, confidence) == pytest.approx(
        max(0.0, -np.quantile(pnl, 1 - confidence, method="hazen")), rel=1e-9, abs=1e-6
    )


def test_beyond_the_end_points_it_is_the_end_value_and_gains_are_no_loss():
    assert value_at_risk([-7.0, 1.0], 0.999) == 7.0
    assert value_at_risk([-7.0], 0.5) == 7.0
    assert value_at_risk([5.0, 6.0], 0.99) == 0.0
    assert value_at_risk([[-1.0, -3.0], [2.0, -8.0]], 0.5).tolist() == [2.0, 3.0]


@pytest.mark.parametrize("pnl", [[], [math.nan], [math.inf, 1.0]])
def test_a_sample_that_is_none_is_refused(pnl):
    with pytest.raises(InputError):
        value_at_risk(pnl, 0.99)


# ----------------------------------------------------------------------------------------------------- robust scaling


@pytest.mark.parametrize(("base", "factor"), [(0.95, 1.92945), (0.90, 2.77254)])
def test_the_two_factors_of_three_degrees(base, factor):
    assert robust_factor(base, 0.99, 3) == pytest.approx(factor, abs=1e-5)


def test_one_degree_of_freedom_is_cauchy_and_many_are_normal():
    cauchy = math.tan(math.pi * 0.49) / math.tan(math.pi * 0.45)
    assert robust_factor(0.95, 0.99, 1) == pytest.approx(cauchy)
    assert robust_factor(0.95, 0.99, 1e8) == pytest.approx(stats.norm.ppf(0.99) / stats.norm.ppf(0.95), rel=1e-6)


@given(st.floats(0.51, 0.999), st.floats(0.51, 0.999), st.floats(0.5, 50))
def test_factors_chain_and_grow_with_the_target(one, other, df):
    assert robust_factor(one, other, df) * robust_factor(other, one, df) == pytest.approx(1.0)
    assert (robust_factor(one, other, df) >= 1.0) == (other >= one)
    assert robust_factor(one, 0.9999, df) == pytest.approx(
        robust_factor(one, other, df) * robust_factor(other, 0.9999, df)
    )


@pytest.mark.parametrize(
    ("base", "target", "df"),
    [
        (0.5, 0.99, 3),
        (0.0, 0.99, 3),
        (0.95, 1.0, 3),
        (0.95, 0.99, 0),
        (0.95, 0.99, -1),
        (math.nan, 0.99, 3),
        (0.9, 0.99, math.nan),
    ],
)
def test_a_factor_that_is_none_is_refused(base, target, df):
    with pytest.raises(InputError):
        robust_factor(base, target, df)


def test_tails_too_heavy_for_numbers():
    with pytest.raises(NumericalError):
        robust_factor(0.95, 0.99, 1e-4)


# -------------------------------------------------------------------------------------------------------- sub-samples


@given(samples, st.data())
def test_sub_samples_are_the_phases_of_the_sample(pnl, data):
    count = data.draw(st.integers(1, len(pnl)))
    parts = sub_samples(pnl, count)
    assert [value for part in parts for value in part] == [
        pnl[s] for phase in range(count) for s in range(len(pnl)) if s % count == phase
    ]


@pytest.mark.parametrize("count", [0, -1, 4, 1.0, True, None])
def test_a_count_that_does_not_fit_is_refused(count):
    with pytest.raises(InputError, match="sub-samples"):
        sub_samples([1.0, 2.0, 3.0], count)


# -------------------------------------------------------------------------------------------------- correlation break


def break_twin(pnl, window, confidence, bounds):
    """Every window on its own, the excesses in a list."""
    whole = value_at_risk(pnl, confidence)
    windows = [value_at_risk(pnl[start : start + window], confidence) for start in range(len(pnl) - window + 1)]
    least = 1e-12 * max(abs(each) for each in pnl)
    excess = [each - whole for each in windows if each - whole > least]
    mean = math.sqrt(sum(each**2 for each in excess) / len(excess)) if excess else 0.0
    low, high = (bounds[f"{name}_bound_fraction"] * bounds["pure_market_risk"] for name in ("lower", "upper"))
    return windows, mean, min(max(bounds["kappa"] * mean, low), high)


@given(st.lists(amounts, min_size=2, max_size=30), confidences, st.data())
def test_the_adjustment_against_its_twin(pnl, confidence, data):
    window = data.draw(st.integers(1, len(pnl)))
    bounds = {**BOUNDS, "kappa": data.draw(st.sampled_from([0.0, 0.5, 2.0])), "lower_bound_fraction": 0.1}
    found = correlation_break(pnl, window, confidence, **bounds)
    windows, mean, adjustment = break_twin(pnl, window, confidence, bounds)
    assert found.window_vars == pytest.approx(windows)
    assert found.mean_excess_risk == pytest.approx(mean)
    assert found.adjustment == pytest.approx(adjustment)
    assert 10.0 - 1e-9 <= found.adjustment <= 80.0 + 1e-9


def test_a_window_of_the_whole_sample_and_results_all_alike_break_nothing():
    assert correlation_break([-3.0, 2.0, -9.0], 3, 0.9, **BOUNDS).mean_excess_risk == 0.0
    assert correlation_break([-0.1] * 30, 7, 0.9, **BOUNDS).mean_excess_risk == 0.0


@pytest.mark.parametrize(
    ("pnl", "window", "changed"),
    [
        ([1.0, 2.0], 3, {}),
        ([1.0, 2.0], 0, {}),
        ([1.0, 2.0], 1.5, {}),
        ([], 1, {}),
        ([math.nan, 1.0], 1, {}),
        ([[1.0, 2.0]], 1, {}),
        (["a"], 1, {}),
        ([1.0, 2.0], 1, {"kappa": -1.0}),
        ([1.0, 2.0], 1, {"pure_market_risk": -1.0}),
        ([1.0, 2.0], 1, {"lower_bound_fraction": 0.9}),
        ([1.0, 2.0], 1, {"upper_bound_fraction": math.inf}),
    ],
)
def test_an_adjustment_that_makes_no_sense_is_refused(pnl, window, changed):
    with pytest.raises(InputError):
        correlation_break(pnl, window, 0.9, **{**BOUNDS, **changed})


# -------------------------------------------------------------------------------------------------------- market risk


def measure_set(weight, *values):
    return RiskMeasureSet(weight, tuple(SubSample(value) for value in values))


@pytest.mark.parametrize(("aggregation", "value"), [("mean", 40.0), ("median", 30.0), ("max", 80.0)])
def test_sub_samples_are_aggregated_as_named(aggregation, value):
    found = market_risk([measure_set(1.0, 10.0, 30.0, 80.0)], aggregation)
    assert found.set_values == (value,)
    assert found.market_risk == value


def test_the_largest_weighted_set_counts_and_values_stay_unweighted():
    found = market_risk([measure_set(1.0, 100.0), measure_set(0.5, 180.0), measure_set(2.0, 60.0)], "mean")
    assert found.set_values == (100.0, 180.0, 60.0)
    assert found.market_risk == 120.0


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=8))
def test_the_three_aggregations_are_ordered(parts):
    held = RiskMeasureSet(1.0, tuple(SubSample(*part) for part in parts))
    mean, median, largest = (market_risk([held], name).market_risk for name in ("mean", "median", "max"))
    assert max(mean, median) <= largest * (1 + 1e-12)


@pytest.mark.parametrize(
    ("sets", "aggregation"),
    [
        ([], "mean"),
        ([RiskMeasureSet(1.0, ())], "mean"),
        ([measure_set(1.0, 1.0)], "mode"),
        ([measure_set(-1.0, 1.0)], "mean"),
        ([measure_set(1.0, math.nan)], "mean"),
        ([measure_set(1.0, -1.0)], "mean"),
    ],
)
def test_sets_that_make_no_sense_are_refused(sets, aggregation):
    with pytest.raises(InputError):
        market_risk(sets, aggregation)


def test_a_misspelt_aggregation_gets_a_suggestion():
    with pytest.raises(InputError, match="Did you mean 'median'"):
        market_risk([measure_set(1.0, 1.0)], "medain")


# ---------------------------------------------------------------------------------------------------------- liquidity


@pytest.mark.parametrize(
    ("size", "factor"), [(0, 0.0), (2.5, 0.025), (5, 0.05), (7.5, 0.15), (10, 0.25), (5 + 1e-9, 0.05)]
)
def test_the_factor_is_linear_inside_a_row(size, factor):
    assert liquidity_factor(size, TABLE) == pytest.approx(factor, abs=1e-9)


def test_where_rows_disagree_on_their_border_the_lower_speaks():
    jump = [{**TABLE[0]}, {**TABLE[1], "factor_from": 0.5, "factor_to": 0.5}]
    assert liquidity_factor(5, jump) == pytest.approx(0.05)


@pytest.mark.parametrize("size", [-1, 10.0001, 1e9, math.nan, math.inf, None])
def test_off_the_table_there_is_no_factor(size):
    with pytest.raises(InputError, match="off the table"):
        liquidity_factor(size, TABLE)


@pytest.mark.parametrize(
    "table",
    [
        (),
        (TABLE[1], TABLE[0]),
        (TABLE[0], TABLE[0]),
        ({"from_pct": 0, "to_pct": 5, "factor_from": 0},),
        ({**TABLE[0], "to_pct": 0},),
        ({**TABLE[0], "factor_to": -0.1},),
        ({**TABLE[0], "factor_to": math.nan},),
        (TABLE[0], {**TABLE[1], "from_pct": 6}),
    ],
)
def test_a_table_with_gaps_is_refused(table):
    with pytest.raises(InputError):
        liquidity_factor(1, table)


@pytest.mark.parametrize(
    ("portfolio", "own", "floor", "alpha"),
    [
        (60, [120], 0.1, 0.5),
        (1, [120], 0.1, 0.1),
        (500, [120], 0.1, 1.0),
        (60, [], 0.1, 1.0),
        (0, [0, 0], 0.1, 1.0),
        (0, [1], 0.0, 0.0),
    ],
)
def test_alpha_stays_between_floor_and_one(portfolio, own, floor, alpha):
    assert diversification_share(portfolio, own, floor) == pytest.approx(alpha)


quotes = st.tuples(st.floats(0.5, 100), st.floats(0, 10)).map(lambda quote: (quote[0], quote[0] + quote[1]))
positions = st.lists(
    st.builds(
        lambda own, size, quote, value: LiquidityPosition(own, size, *quote, value),
        st.floats(0, 1e6),
        st.floats(0, 10),
        quotes,
        st.floats(-1e8, 1e8),
    ),
    max_size=6,
)


@given(positions, st.floats(0, 1e6))
def test_the_add_on_against_its_definition(held, portfolio):
    found = liquidity_addon(held, TABLE, portfolio, alpha_floor=0.1)
    components = [
        each.position_var * liquidity_factor(each.relative_size_pct, TABLE)
        + (each.ask - each.bid) / (each.ask + each.bid) * abs(each.position_value)
        for each in held
    ]
    assert found.position_components == pytest.approx(components)
    assert found.liquidity_addon == pytest.approx(found.alpha * sum(components))
    assert 0.1 <= found.alpha <= 1.0


def test_no_position_costs_nothing():
    assert liquidity_addon([], TABLE, 0.0, alpha_floor=0.1).liquidity_addon == 0.0


@pytest.mark.parametrize(
    ("bid", "ask"), [(101.0, 99.0), (-1.0, 1.0), (-3.0, -2.0), (0.0, 0.0), (math.nan, 1.0), (1.0, math.inf)]
)
def test_quotes_without_a_relative_spread_are_refused(bid, ask):
    with pytest.raises(InputError, match="position 1"):
        liquidity_addon([LiquidityPosition(1.0, 1.0, bid, ask, 1.0)], TABLE, 1.0, alpha_floor=0.1)


def test_a_bid_of_nothing_costs_the_whole_value():
    found = liquidity_addon([LiquidityPosition(0.0, 0.0, 0.0, 2.0, -70.0)], TABLE, 0.0, alpha_floor=0.0)
    assert found.liquidity_addon == 70.0


def test_every_problem_is_listed_at_once():
    bad = LiquidityPosition(-1.0, 99.0, 3.0, 2.0, 1.0)
    with pytest.raises(InputError) as caught:
        liquidity_addon([bad, bad], TABLE, -1.0, alpha_floor=2.0)
    assert len(caught.value.problems) == 8  # quotes, size and own value at risk of each; portfolio; floor


@given(st.data())
def test_nothing_but_numbers_or_a_clear_error_comes_out(data):
    odd = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 1e308, 5e-324, 1.0])
    own, size, bid, ask, value, portfolio = (data.draw(odd) for _ in range(6))
    try:
        found = liquidity_addon([LiquidityPosition(own, size, bid, ask, value)], TABLE, portfolio, alpha_floor=0.1)
    except CrossMarginError:
        return
    assert math.isfinite(found.liquidity_addon)
