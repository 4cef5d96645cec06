"""Laws of the clearing-house building blocks: offsets, floors, units of money, more risk is never less margin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossmargin.ficc_charges import (
    backtesting_charge,
    charge_increases,
    correlated_haircut_charge,
    portfolio_differential,
    sensitivity_pnl,
    var_charge,
)
from crossmargin.prisma import (
    RiskMeasureSet,
    SubSample,
    correlation_break,
    liquidity_factor,
    market_risk,
    value_at_risk,
)

money = st.floats(-1e8, 1e8, allow_subnormal=False)
losses = st.floats(0, 1e8, allow_subnormal=False)
units = st.sampled_from([0.5, 2.0, 1024.0])
confidences = st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99])


def near(value, *, scale):
    return pytest.approx(value, rel=0, abs=1e-9 * max(1.0, scale))


# ---------------------------------------------------------------------------------------------------------- FICC


@st.composite
def sensitivities(draw, n):
    return draw(arrays(float, n, elements=st.floats(-1e5, 1e5))), draw(arrays(float, n, elements=st.floats(-1e3, 1e3)))


@given(sensitivities(3), sensitivities(3), arrays(float, (4, 3), elements=st.floats(-300, 300)))
def test_sensitivities_of_two_books_add_up_and_long_and_short_cancel(one, other, shocks):
    together = sensitivity_pnl(one[0] + other[0], one[1] + other[1], shocks)
    apart = sensitivity_pnl(*one, shocks) + sensitivity_pnl(*other, shocks)
    assert together == near(apart, scale=np.abs(apart).max() + 1e9)
    assert (sensitivity_pnl(one[0], one[1], shocks) == -sensitivity_pnl(-one[0], -one[1], shocks)).all()


@st.composite
def correlations(draw, n):
    """A correlation matrix of n buckets, positive semidefinite: unit vectors times one another."""
    vectors = draw(arrays(float, (n, 3), elements=st.floats(-1, 1)))
    vectors = np.where(np.abs(vectors).sum(axis=1, keepdims=True) < 1e-3, 1.0, vectors)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    matrix = np.clip(vectors @ vectors.T, -1.0, 1.0)
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1.0)
    return matrix


buckets = st.integers(1, 5).flatmap(
    lambda n: st.tuples(arrays(float, n, elements=money), arrays(float, n, elements=money), correlations(n))
)


@given(buckets)
def test_haircuts_of_two_books_are_sub_additive(drawn):
    one, other, matrix = drawn
    together = correlated_haircut_charge(one + other, matrix)
    apart = correlated_haircut_charge(one, matrix) + correlated_haircut_charge(other, matrix)
    assert together <= apart + 1e-5 * max(1.0, np.abs(one).sum(), np.abs(other).sum())


@given(buckets, units)
def test_haircuts_are_even_homogeneous_and_at_most_the_gross(drawn, unit):
    amounts, _, matrix = drawn
    charge = correlated_haircut_charge(amounts, matrix)
    assert correlated_haircut_charge(-amounts, matrix) == charge
    assert correlated_haircut_charge(unit * amounts, matrix) == unit * charge
    assert charge <= np.abs(amounts).sum() * (1 + 1e-9)


@given(st.integers(1, 5).flatmap(lambda n: st.permutations(range(n))), st.data())
def test_the_order_of_buckets_does_not_matter(order, data):
    amounts = data.draw(arrays(float, len(order), elements=money))
    matrix = data.draw(correlations(len(order)))
    shuffled = correlated_haircut_charge(amounts[order], matrix[np.ix_(order, order)])
    charge = correlated_haircut_charge(amounts, matrix)
    assert shuffled**2 == near(charge**2, scale=(amounts**2).sum())


@given(arrays(float, st.integers(0, 6), elements=money))
def test_correlations_of_zero_and_one(amounts):
    n = amounts.size
    assert correlated_haircut_charge(amounts, np.eye(n)) == pytest.approx(np.linalg.norm(amounts))
    assert correlated_haircut_charge(amounts, np.ones((n, n))) == near(
        abs(amounts.sum()), scale=1e3 * abs(amounts).sum()
    )


@given(losses, losses, losses, losses)
def test_the_var_floor_holds_and_the_charge_is_monotone(model, more, percentage, minimum):
    def charge(amount):
        return var_charge(amount, None, floor_percentage_amount=percentage, minimum_margin_amount=minimum).amount

    assert charge(model) >= max(percentage, minimum, model)
    assert charge(model) in (model, percentage, minimum)
    assert charge(model + more) >= charge(model)


increases = st.lists(losses, min_size=1, max_size=30)
decays = st.floats(0, 1)


@given(increases, decays, units)
def test_a_differential_lies_within_its_increases(series, decay, unit):
    charge = portfolio_differential(series, decay, 1.0).amount
    assert min(series) * (1 - 1e-9) <= charge <= max(series) * (1 + 1e-9)
    assert portfolio_differential([unit * each for each in series], decay, 1.0).amount == pytest.approx(unit * charge)
    assert portfolio_differential(series, decay, unit).amount == pytest.approx(unit * charge)


@given(increases, decays, st.integers(0, 29), losses)
def test_a_larger_increase_is_never_a_smaller_differential(series, decay, which, more):
    raised = list(series)
    raised[which % len(series)] += more
    before, after = (portfolio_differential(each, decay, 1.0).amount for each in (series, raised))
    assert after >= before * (1 - 1e-12)


@given(st.lists(losses, min_size=2, max_size=30))
def test_increases_say_how_far_charges_rose(charges):
    rises = charge_increases(charges)
    assert (rises >= 0.0).all()
    assert rises.sum() >= (charges[-1] - charges[0]) * (1 - 1e-9) - 1e-6


records = st.integers(1, 300).flatmap(lambda n: st.tuples(st.lists(losses, max_size=min(n, 20)), st.just(n)))


@given(records, st.integers(1, 4), confidences, losses)
def test_a_worse_record_never_owes_less(record, rank, target, more):
    found, n = record

    def charge(deficiencies, days):
        return backtesting_charge(deficiencies, days, coverage_target=target, rank=rank).amount

    assert charge([*found, more], n + 1) >= charge(found, n + 1)
    assert charge(found, n + 1) <= charge(found, n)
    assert charge(found[::-1], n) == charge(found, n)
    assert charge(found, n) == 0.0 or sum(each >= charge(found, n) for each in found) >= rank


# -------------------------------------------------------------------------------------------------------- Prisma

samples = st.lists(money, min_size=2, max_size=40)


@given(samples, confidences, units, st.randoms(use_true_random=False))
def test_the_quantile_is_homogeneous_and_blind_to_order(pnl, confidence, unit, random):
    value = value_at_risk(pnl, confidence)
    assert value >= 0.0
    assert value_at_risk([unit * each for each in pnl], confidence) == unit * value
    assert value_at_risk(random.sample(pnl, len(pnl)), confidence) == value


@given(samples, st.data(), confidences, units)
def test_a_correlation_break_keeps_its_bounds_and_is_homogeneous(pnl, data, confidence, unit):
    window, pure = data.draw(st.integers(1, len(pnl))), data.draw(losses)
    bounds = {"kappa": 1.5, "lower_bound_fraction": 0.1, "upper_bound_fraction": 0.8}
    found = correlation_break(pnl, window, confidence, pure_market_risk=pure, **bounds)
    scaled = correlation_break(
        [unit * each for each in pnl], window, confidence, pure_market_risk=unit * pure, **bounds
    )
    assert 0.1 * pure * (1 - 1e-12) <= found.adjustment <= 0.8 * pure * (1 + 1e-12)
    assert scaled.adjustment == pytest.approx(unit * found.adjustment)


sets = st.lists(
    st.tuples(st.floats(0, 2), st.lists(st.tuples(losses, losses, losses), min_size=1, max_size=5)),
    min_size=1,
    max_size=4,
)


@given(sets, st.sampled_from(["mean", "median", "max"]), st.data())
def test_market_risk_never_falls_when_something_is_added(drawn, aggregation, data):
    held = [RiskMeasureSet(weight, tuple(SubSample(*part) for part in parts)) for weight, parts in drawn]
    before = market_risk(held, aggregation).market_risk
    worse = [RiskMeasureSet(each.weight, tuple(SubSample(s.var + 1.0) for s in each.sub_samples)) for each in held]
    bare = [RiskMeasureSet(each.weight, tuple(SubSample(s.var) for s in each.sub_samples)) for each in held]
    assert market_risk(worse, aggregation).market_risk >= market_risk(bare, aggregation).market_risk
    assert before >= market_risk(bare, aggregation).market_risk * (1 - 1e-12)
    assert market_risk([*held, data.draw(st.sampled_from(held))], aggregation).market_risk == before
    assert market_risk(held[::-1], aggregation).market_risk == before


@given(
    st.lists(st.tuples(st.floats(0.1, 50), st.floats(0, 2)), min_size=1, max_size=6), st.floats(0, 1), st.floats(0, 1)
)
def test_a_rising_table_gives_rising_factors(steps, one, other):
    rows, size, factor = [], 0.0, 0.0
    for width, rise in steps:
        rows.append({"from_pct": size, "to_pct": size + width, "factor_from": factor, "factor_to": factor + rise})
        size, factor = size + width, factor + rise
    low, high = sorted((one * size, other * size))
    assert liquidity_factor(low, rows) <= liquidity_factor(high, rows) * (1 + 1e-12) + 1e-15
    assert liquidity_factor(size, rows) == pytest.approx(factor)
