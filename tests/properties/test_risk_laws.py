"""Laws of tail measures for any losses: coherence, order, bounds, Euler sums, agreement with slow twins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossmargin import risk
from crossmargin.risk import TailMeasure
from tests.reference import tail_twin

# Cents up to a billion, with many ties: exact in a float, and sums stay so.
amounts = st.integers(-(10**11), 10**11).map(lambda cents: cents / 128) | st.integers(-3, 3).map(float)
samples = st.lists(amounts, min_size=1, max_size=60)
confidences = st.sampled_from([0.01, 0.1, 0.25, 0.35, 0.5, 2 / 3, 0.75, 0.9, 0.95, 0.975, 0.99, 0.9975])
decimals = st.integers(1, 9999).map(lambda basis_points: basis_points / 10_000)
types = st.integers(1, 9)
matrices = st.tuples(st.integers(1, 5), st.integers(1, 40)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=amounts)
)


@st.composite
def measures(draw, n):
    estimator = draw(st.sampled_from(risk.ESTIMATORS))
    k = draw(st.integers(1, n)) if estimator in ("kth_worst", "mean_of_k_worst") else None
    confidence = draw(confidences) if k is None else None
    quantile_type = draw(types) if estimator == "quantile" else None
    return TailMeasure(estimator, confidence=confidence, k=k, quantile_type=quantile_type)


measured = samples.flatmap(lambda losses: st.tuples(st.just(losses), measures(len(losses))))
weighted = samples.flatmap(
    lambda losses: st.tuples(
        st.just(losses),
        st.lists(st.integers(0, 100), min_size=len(losses), max_size=len(losses)).filter(any),
    )
)


def near(value, losses):
    scale = max(1.0, *(abs(loss) for loss in losses))
    return pytest.approx(value, rel=0, abs=1e-12 * scale)


@given(matrices, decimals)
def test_expected_shortfall_is_sub_additive(pnl, confidence):
    whole = risk.expected_shortfall(pnl.sum(axis=0), confidence)
    parts = risk.expected_shortfall(pnl, confidence).sum()
    assert whole <= parts + 1e-9 * max(1.0, np.abs(pnl).sum())


def test_value_at_risk_is_not_sub_additive():
    # Two books of a rare loss each: neither shows at 90 %, but one or the other happens in two of ten.
    first = np.array([-100.0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    second = np.array([0, -100.0, 0, 0, 0, 0, 0, 0, 0, 0])
    assert risk.value_at_risk(first, 0.9) == risk.value_at_risk(second, 0.9) == 0.0
    assert risk.value_at_risk(first + second, 0.9) == 100.0


@given(samples, decimals, decimals, types)
def test_monotone_in_confidence(losses, one, other, quantile_type):
    low, high = sorted((one, other))
    slack = 1e-12 * max(1.0, *(abs(loss) for loss in losses))
    assert risk.quantile(losses, low, quantile_type) <= risk.quantile(losses, high, quantile_type) + slack
    assert risk.tail_mean(losses, low) <= risk.tail_mean(losses, high) + slack
    assert risk.weighted_quantile(losses, low) <= risk.weighted_quantile(losses, high)


@given(measured, st.integers(0, 59))
def test_monotone_in_loss(case, which):
    losses, measure = case
    worse = list(losses)
    worse[which % len(losses)] += 1000.0
    slack = 1e-12 * max(1.0, *(abs(loss) for loss in worse))
    assert measure.of_losses(losses) <= measure.of_losses(worse) + slack


@given(measured, st.sampled_from([0.5, 2.0, 1024.0]))
def test_positively_homogeneous(case, factor):
    losses, measure = case
    assert measure.of_losses([factor * loss for loss in losses]) == factor * measure.of_losses(losses)


@given(measured, st.integers(-1000, 1000))
def test_cash_moves_it_by_itself(case, cash):
    losses, measure = case
    moved = [loss + cash for loss in losses]
    assert measure.of_losses(moved) == near(measure.of_losses(losses) + cash, [*losses, *moved])


@given(measured, st.randoms(use_true_random=False))
def test_order_of_scenarios_does_not_matter_in_one_bit(case, random):
    losses, measure = case
    shuffled = random.sample(losses, len(losses))
    assert measure.of_losses(shuffled) == measure.of_losses(losses)


@given(measured)
def test_lies_between_the_least_and_the_largest(case):
    losses, measure = case
    assert min(losses) <= measure.of_losses(losses) <= max(losses)


@given(measured, amounts)
def test_equal_losses_give_themselves(case, amount):
    losses, measure = case
    assert measure.of_losses([amount] * len(losses)) == amount


@given(measured)
def test_gains_are_negative_losses(case):
    losses, measure = case
    assert measure.of_pnl([-loss for loss in losses]) == measure.of_losses(losses)


@given(measured)
def test_floor(case):
    losses, measure = case
    assert measure.of_losses(losses, floor_at_zero=True) == max(0.0, measure.of_losses(losses))


@given(samples, confidences, st.integers(1, 1000))
def test_equal_weights_change_nothing(losses, confidence, weight):
    weights = [weight] * len(losses)
    assert risk.tail_mean(losses, confidence, weights) == risk.tail_mean(losses, confidence)
    got = risk.weighted_quantile(losses, confidence, weights)
    assert got == risk.weighted_quantile(losses, confidence)


@given(samples, decimals)
def test_expected_shortfall_is_no_less_than_value_at_risk(losses, confidence):
    slack = 1e-12 * max(1.0, *(abs(loss) for loss in losses))
    assert risk.tail_mean(losses, confidence) >= risk.quantile(losses, confidence, 1) - slack


@given(matrices, decimals)
def test_contributions_sum_to_expected_shortfall(pnl, confidence):
    parts = risk.euler_contributions(pnl, confidence)
    whole = risk.expected_shortfall(pnl.sum(axis=0), confidence)
    assert parts.sum() == pytest.approx(whole, rel=0, abs=1e-11 * max(1.0, np.abs(pnl).sum()))
    expected = tail_twin.expected_shortfall_contributions(pnl.tolist(), confidence)
    assert parts == pytest.approx(expected, rel=0, abs=1e-11 * max(1.0, np.abs(pnl).sum()))


@given(measured)
def test_scenario_weights_are_a_distribution_that_gives_the_measure(case):
    losses, measure = case
    weights = measure.scenario_weights([-loss for loss in losses])
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert float(np.sum(weights * losses)) == near(measure.of_losses(losses), losses)


@given(measured)
def test_agrees_with_the_twin(case):
    losses, measure = case
    if measure.k is not None:
        expected = getattr(tail_twin, measure.estimator)(losses, measure.k)
    elif measure.quantile_type is not None:
        # the twin reads a decimal: give it the fraction that the measure stands for
        expected = tail_twin.quantile(losses, 1 - measure.tail_share, measure.quantile_type)
    else:
        expected = getattr(tail_twin, measure.estimator)(losses, 1 - measure.tail_share)
    assert measure.of_losses(losses) == near(expected, losses)


@given(weighted, decimals)
def test_weighted_agrees_with_the_twin(case, confidence):
    losses, weights = case
    assert risk.tail_mean(losses, confidence, weights) == near(
        tail_twin.tail_mean(losses, confidence, weights), [100 * loss for loss in losses]
    )
    got = risk.weighted_quantile(losses, confidence, weights)
    assert got == tail_twin.weighted_quantile(losses, confidence, weights)
