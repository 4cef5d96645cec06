"""Tail measures: definitions, boundaries in n x confidence, refusals, attribution and standard errors."""

from fractions import Fraction
from math import inf, nan, sqrt

import numpy as np
import pytest

from crossmargin import combining, risk
from crossmargin.errors import InputError, NumericalError
from crossmargin.risk import TailMeasure
from tests.reference import tail_twin

SEVEN = [-4.0, 12.5, 3.25, 7.0, 20.0, -8.0, 12.0]  # sorted: -8 -4 3.25 7 12 12.5 20
CONFIDENCES = (0.5, 0.9, 0.95, 0.97, 0.975, 0.98, 0.99, 0.995, 0.9975, 0.999)
SIZES = (1, 2, 3, 7, 10, 40, 99, 100, 101, 200, 250, 400, 500, 750, 1000, 1250, 2500, 2501)


def problems_of(call):
    with pytest.raises(InputError) as caught:
        call()
    return [problem.where for problem in caught.value.problems]


# -- definitions


@pytest.mark.parametrize(
    ("quantile_type", "expected"),
    [
        # n p = 7 x 0.8 = 5.6
        (1, 12.5),  # j = 5, g > 0: the 6th
        (2, 12.5),  # as type 1 where there is no jump
        (3, 12.5),  # 5.1: j = 5, g > 0: the 6th
        (4, 12 + 0.6 * 0.5),  # 5.6
        (5, 12.5 + 0.1 * 7.5),  # 6.1
        (6, 12.5 + 0.4 * 7.5),  # 5.6 + 0.8 = 6.4
        (7, 12 + 0.8 * 0.5),  # 5.6 + 0.2 = 5.8
        (8, 12.5 + 0.2 * 7.5),  # 5.6 + 0.6 = 6.2
        (9, 12.5 + 0.175 * 7.5),  # 5.6 + 0.575 = 6.175
    ],
)
def test_quantile_types_by_hand(quantile_type, expected):
    assert risk.quantile(SEVEN, 0.8, quantile_type) == pytest.approx(expected, rel=1e-15)


def test_discontinuous_types_at_a_jump():
    eight = [8, 1, 6, 3, 4, 7, 2, 5]  # n p = 6 exactly
    assert risk.quantile(eight, 0.75, 1) == 6.0
    assert risk.quantile(eight, 0.75, 2) == 6.5
    assert risk.quantile(eight, 0.75, 3) == 6.0
    # type 3 rounds n p half to even: 10 x 0.25 = 2.5 is the 2nd, 10 x 0.35 = 3.5 the 4th
    assert risk.quantile(range(1, 11), 0.25, 3) == 2.0
    assert risk.quantile(range(1, 11), 0.35, 3) == 4.0


@pytest.mark.parametrize("quantile_type", range(1, 10))
def test_every_type_is_exact_at_many_sizes(quantile_type):
    for n in SIZES:
        losses = [float(value) for value in range(n)]
        for confidence in CONFIDENCES:
            got = risk.quantile(losses, confidence, quantile_type)
            expected = tail_twin.quantile(losses, confidence, quantile_type)
            exact = 0.0 if quantile_type <= 3 else 1e-12 * n
            assert got == pytest.approx(expected, abs=exact, rel=0), (n, confidence)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_tail_weight_is_exact_at_many_sizes(confidence):
    for n in SIZES:
        losses = [float(value) ** 2 for value in range(n)]
        expected = tail_twin.tail_mean(losses, confidence)
        assert risk.tail_mean(losses, confidence) == pytest.approx(expected, rel=1e-14)
        expected = tail_twin.weighted_quantile(losses, confidence)
        assert risk.weighted_quantile(losses, confidence) == expected


@pytest.mark.parametrize(
    ("confidence", "n", "worst"),
    [
        (0.99, 2500, 26),  # 2500 x 0.99 = 2475: the 2475th from below is the 26th worst
        (0.99, 100, 2),
        (0.9, 10, 2),  # 1 - 0.9 is 0.09999999999999998 in floats
        (0.95, 20, 2),
        (0.35, 20, 14),  # 20 x 0.35 is 7.000000000000001 in floats
        (2 / 3, 3, 2),  # not a decimal, yet a simple fraction
        (1 - 0.01, 100, 2),
        (0.9900000000000001, 100, 2),  # a float beside 0.99, as arithmetic leaves it
        (np.float32(0.99), 100, 2),
        (Fraction(99, 100), 100, 2),
    ],
)
def test_type_1_meets_the_boundary(confidence, n, worst):
    assert risk.quantile(range(1, n + 1), confidence, 1) == n + 1 - worst


def test_extreme_confidence_reaches_the_ends():
    losses = [3.0, -1.0, 8.0]
    for quantile_type in range(1, 10):
        assert risk.quantile(losses, 1 - 1e-12, quantile_type) == pytest.approx(8.0)
        assert risk.quantile(losses, 1e-12, quantile_type) == pytest.approx(-1.0, abs=1e-10)
    assert risk.tail_mean(losses, 1 - 1e-12) == 8.0
    assert risk.tail_mean(losses, 1e-12) == pytest.approx(10 / 3)
    assert risk.weighted_quantile(losses, 1 - 1e-12) == 8.0
    assert risk.weighted_quantile(losses, 1 - 1e-12, [0.2, 0.2, 0.6]) == 8.0


def test_kth_and_mean_of_k():
    assert [risk.kth_worst(SEVEN, k) for k in range(1, 8)] == sorted(SEVEN, reverse=True)
    assert risk.mean_of_k_worst(SEVEN, 2) == 16.25
    assert risk.mean_of_k_worst(SEVEN, 7) == pytest.approx(sum(SEVEN) / 7, rel=1e-15)


def test_tail_mean_takes_the_last_loss_in_part():
    # 7 x 0.2 = 1.4 observations: (20 + 0.4 x 12.5) / 1.4
    assert risk.tail_mean(SEVEN, 0.8) == pytest.approx(25 / 1.4, rel=1e-15)
    # 0.1 at 10 and 0.2 at 6, over 0.3; the weights need not sum to one
    assert risk.tail_mean([10.0, -2.0, 6.0], 0.7, [1, 6, 3]) == pytest.approx(22 / 3, rel=1e-15)


def test_weighted_quantile_boundaries():
    assert risk.weighted_quantile([7, 3, 9, 1, 5], 0.8, [1, 1, 1, 1, 1]) == 9.0  # 0.2 is reached at once
    assert risk.weighted_quantile([7, 3, 9], 0.7, [0.2, 0.7, 0.1]) == 7.0  # 0.1 + 0.2 meets 0.3
    assert risk.weighted_quantile([7, 3, 9], 0.7, [0.2 - 5e-10, 0.7 + 5e-10, 0.1]) == 7.0  # within 1e-9
    assert risk.weighted_quantile([7, 3, 9], 0.7, [0.2 - 5e-8, 0.7 + 5e-8, 0.1]) == 3.0  # beyond it
    assert risk.weighted_quantile([7, 3, 9], 1 - 1e-10, [0.5, 0.5, 0.0]) == 7.0  # no weight, no scenario


def test_equal_weights_are_no_weights():
    losses = np.random.default_rng(5).normal(size=250)
    for estimator in ("weighted_quantile", "tail_mean"):
        measure = TailMeasure(estimator, confidence=0.99)
        assert measure.of_losses(losses, [0.004] * 250) == measure.of_losses(losses)
    assert TailMeasure("kth_worst", k=2).of_losses([1, 2, 3], [7, 7, 7]) == 2.0


def test_extreme_weights_do_not_overflow():
    assert risk.weighted_quantile([1, 2], 0.6, [1e308, 1.5e308]) == 2.0
    assert risk.tail_mean([1, 2], 0.5, [5e-324, 1e-323]) == 2.0


def test_agrees_with_numpy_away_from_jumps():
    losses = np.random.default_rng(1).normal(size=(3, 137))
    methods = {
        1: "inverted_cdf",
        2: "averaged_inverted_cdf",
        4: "interpolated_inverted_cdf",
        5: "hazen",
        6: "weibull",
        7: "linear",
        8: "median_unbiased",
        9: "normal_unbiased",
    }
    for quantile_type, method in methods.items():
        expected = np.quantile(losses, 0.913, axis=-1, method=method)
        assert risk.quantile(losses, 0.913, quantile_type) == pytest.approx(expected, rel=1e-12)


# -- profit and loss, shapes


def test_signs_of_profit_and_loss():
    pnl = [4.0, -9.0, -6.0, 2.0, 1.0]
    assert risk.value_at_risk(pnl, 0.8) == 6.0
    assert risk.value_at_risk(pnl, 0.8, quantile_type=2) == 7.5
    assert risk.expected_shortfall(pnl, 0.6) == 7.5
    assert risk.value_at_risk([3.0, 5.0], 0.99) == -3.0
    assert TailMeasure("kth_worst", k=1).of_pnl([3.0, 5.0], floor_at_zero=True) == 0.0
    assert TailMeasure("kth_worst", k=1).of_losses([-3.0, -5.0], floor_at_zero=True) == 0.0


def test_zero_has_no_sign():
    for values in ([0.0, 0.0], [-0.0, -0.0]):
        assert str(risk.value_at_risk(values, 0.5)) == "0.0"
        assert str(risk.tail_mean(values, 0.25)) == "0.0"


def test_one_number_is_a_float_and_rows_are_an_array():
    assert type(risk.value_at_risk([1, 2], 0.5)) is float
    assert risk.expected_shortfall(np.zeros((2, 3, 4)), 0.9).shape == (2, 3)
    assert risk.expected_shortfall(np.zeros((0, 4)), 0.9).shape == (0,)


@pytest.mark.parametrize(
    "measure",
    [
        TailMeasure("kth_worst", k=3),
        TailMeasure("mean_of_k_worst", k=3),
        TailMeasure("quantile", confidence=0.97, quantile_type=6),
        TailMeasure("weighted_quantile", confidence=0.97),
        TailMeasure("tail_mean", confidence=0.97),
    ],
)
def test_rows_are_measured_one_by_one_bit_for_bit(measure):
    pnl = np.random.default_rng(2).normal(size=(6, 90)) * 1e6
    alone = [measure.of_pnl(row) for row in pnl]
    assert measure.of_pnl(pnl).tolist() == alone
    assert measure.of_pnl(np.asfortranarray(pnl)).tolist() == alone
    assert measure.of_pnl(pnl[::-1, ::-1]).tolist() == alone[::-1]
    assert measure.of_losses(-pnl).tolist() == alone


def test_weighted_rows_and_read_only_input():
    pnl = np.random.default_rng(3).normal(size=(4, 50))
    pnl.flags.writeable = False
    weights = np.linspace(1.0, 2.0, 50)
    measure = TailMeasure("tail_mean", confidence=0.9)
    alone = [measure.of_pnl(row, weights) for row in pnl]
    assert measure.of_pnl(pnl, weights).tolist() == alone
    assert measure.scenario_weights(pnl, weights).sum(axis=-1) == pytest.approx(np.ones(4))


# -- refusals


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"estimator": "kth_wrst", "k": 1}, ["estimator"]),
        ({"estimator": ["quantile"]}, ["estimator"]),
        ({"estimator": "quantile"}, ["confidence", "quantile_type"]),
        ({"estimator": "quantile", "confidence": 1.0, "quantile_type": 10}, ["confidence", "quantile_type"]),
        ({"estimator": "quantile", "confidence": nan, "quantile_type": 1.0}, ["confidence", "quantile_type"]),
        ({"estimator": "quantile", "confidence": 99, "k": 2, "quantile_type": 0}, None),
        ({"estimator": "tail_mean", "confidence": 0.0}, ["confidence"]),
        ({"estimator": "tail_mean", "confidence": -0.5}, ["confidence"]),
        ({"estimator": "tail_mean", "confidence": inf}, ["confidence"]),
        ({"estimator": "tail_mean", "confidence": "0.99"}, ["confidence"]),
        ({"estimator": "tail_mean", "confidence": True}, ["confidence"]),
        ({"estimator": "tail_mean", "confidence": 0.99, "quantile_type": 1}, ["quantile_type"]),
        ({"estimator": "kth_worst", "k": 0}, ["k"]),
        ({"estimator": "kth_worst", "k": True}, ["k"]),
        ({"estimator": "kth_worst", "k": 2.0}, ["k"]),
        ({"estimator": "kth_worst", "k": 1, "confidence": 0.99}, ["confidence"]),
    ],
)
def test_bad_measures_list_every_problem(arguments, where):
    assert problems_of(lambda: TailMeasure(**arguments)) == (where or ["confidence", "k", "quantile_type"])


def test_misspelt_estimator_gets_a_suggestion():
    with pytest.raises(InputError, match="Did you mean 'tail_mean'"):
        TailMeasure("tailmean", confidence=0.99)


@pytest.mark.parametrize("losses", [[], [[], []], 3.0, [1.0, nan], [1.0, -inf], [None], ["a"], [[1], [1, 2]], [1j]])
def test_bad_losses(losses):
    assert problems_of(lambda: risk.tail_mean(losses, 0.9)) == ["losses"]


def test_bad_values_are_counted_and_located():
    with pytest.raises(InputError, match=r"pnl: 2 of 6 values .* first at \[0, 2\]"):
        risk.value_at_risk([[1.0, 2.0, nan], [inf, 0.0, 0.0]], 0.9)


@pytest.mark.parametrize(
    ("weights", "where"),
    [
        ([1.0, 2.0], ["weights"]),
        ([[1.0, 2.0, 3.0]], ["weights"]),
        ([1.0, -1.0, 1.0], ["weights"]),
        ([0.0, 0.0, 0.0], ["weights"]),
        ([1.0, nan, 1.0], ["weights"]),
        ([-1.0, nan], ["weights", "weights"]),
        (2.0, ["weights"]),
        ([], ["weights"]),
    ],
)
def test_bad_weights(weights, where):
    assert problems_of(lambda: risk.tail_mean([1.0, 2.0, 3.0], 0.9, weights)) == where


def test_losses_k_and_weights_are_refused_together():
    measure = TailMeasure("kth_worst", k=9)
    assert problems_of(lambda: measure.of_losses([1.0, nan, 3.0], [1, 2, 3])) == ["losses", "k", "weights"]
    assert problems_of(lambda: TailMeasure("kth_worst", k=2).of_losses([], [1])) == ["losses", "weights"]
    assert problems_of(lambda: TailMeasure("kth_worst", k=4).of_pnl([1, 2, 3])) == ["k"]


def test_overflow_is_said_not_returned():
    with pytest.raises(NumericalError, match="overflow"):
        risk.mean_of_k_worst([1.5e308, 1.5e308], 2)
    assert risk.kth_worst([1.5e308, -1.5e308], 2) == -1.5e308
    assert risk.quantile([1.5e308, -1.5e308], 0.5, 7) == 0.0
    with pytest.raises(NumericalError, match="overflow"):
        risk.expected_shortfall_standard_error([1.5e308, -1.5e308], 0.5)
    with pytest.raises(NumericalError, match="overflow"):
        risk.value_at_risk_standard_error([1.5e308, -1.5e308], 0.5)
    assert problems_of(lambda: risk.euler_contributions([[1.5e308], [1.5e308]], 0.5)) == ["pnl"]


# -- attribution


def test_contributions_by_hand():
    pnl = [[-5.0, 1.0, 2.0, 0.0], [3.0, -4.0, 1.0, 2.0]]  # sums -2, -3, 3, 2: the tail is the first two
    assert risk.euler_contributions(pnl, 0.5).tolist() == [2.0, 0.5]
    measure = TailMeasure("quantile", confidence=0.75, quantile_type=1)  # the second worst: scenario 0
    assert measure.contributions(pnl).tolist() == [5.0, -3.0]


def test_ties_go_to_the_lowest_scenario():
    pnl = [[-1.0, -4.0, 0.0, 3.0], [-4.0, -1.0, 2.0, 3.0]]  # sums -5, -5, 2, 6
    assert risk.euler_contributions(pnl, 0.75).tolist() == [1.0, 4.0]


def test_contributions_to_a_weighted_measure():
    pnl = np.random.default_rng(4).normal(size=(5, 40))
    weights = np.linspace(0.0, 1.0, 40)
    for estimator in ("tail_mean", "weighted_quantile"):
        measure = TailMeasure(estimator, confidence=0.9)
        whole = measure.of_pnl(pnl.sum(axis=0), weights)
        assert measure.contributions(pnl, weights).sum() == pytest.approx(whole, rel=1e-12)


def test_no_instruments_contribute_nothing():
    assert risk.euler_contributions(np.zeros((0, 4)), 0.9).shape == (0,)


@pytest.mark.parametrize("pnl", [[1.0, 2.0], np.zeros((2, 2, 2)), [[nan]], np.zeros((2, 0)), [["a"]]])
def test_contributions_need_a_matrix(pnl):
    assert problems_of(lambda: risk.euler_contributions(pnl, 0.9)) == ["pnl"]


# -- standard errors


def test_standard_error_of_value_at_risk_by_hand():
    # Bootstrap of the largest of {0, 1}: 0 with probability 1/4, 1 with 3/4.
    assert risk.value_at_risk_standard_error([0.0, -1.0], 0.75) == pytest.approx(sqrt(3) / 4, rel=1e-12)


def test_standard_error_of_value_at_risk_is_that_of_the_bootstrap():
    generator = np.random.default_rng(11)
    pnl = generator.standard_t(4, size=60)
    draws = risk.value_at_risk(pnl[generator.integers(0, 60, size=(40_000, 60))], 0.9)
    assert risk.value_at_risk_standard_error(pnl, 0.9) == pytest.approx(draws.std(), rel=0.02)


def test_standard_error_of_expected_shortfall_by_hand():
    # VaR 0; excess 2, 0, 0, 0: standard deviation sqrt(1 - 1/4), over 0.25 x sqrt(4)
    got = risk.expected_shortfall_standard_error([0.0, -2.0, 0.0, 0.0], 0.75)
    assert got == pytest.approx(sqrt(3) / 2 / 0.5, rel=1e-15)


def test_standard_errors_describe_repeated_samples():
    pnl = np.random.default_rng(12).normal(size=(4000, 500))
    spread = np.std(risk.expected_shortfall(pnl, 0.95))
    assert np.mean(risk.expected_shortfall_standard_error(pnl, 0.95)) == pytest.approx(spread, rel=0.1)
    spread = np.std(risk.value_at_risk(pnl, 0.95))
    assert np.mean(risk.value_at_risk_standard_error(pnl, 0.95)) == pytest.approx(spread, rel=0.1)


def test_constant_losses_have_no_error():
    assert risk.value_at_risk_standard_error([-3.0] * 50, 0.9) == pytest.approx(0.0, abs=1e-7)
    assert risk.expected_shortfall_standard_error([-3.0] * 50, 0.9) == 0.0


def test_one_scenario_has_no_standard_error():
    for call in (risk.value_at_risk_standard_error, risk.expected_shortfall_standard_error):
        assert problems_of(lambda call=call: call([1.0], 0.9)) == ["pnl"]
        assert problems_of(lambda call=call: call([], 0.9)) == ["pnl"]
        assert problems_of(lambda call=call: call([1.0, 2.0], 1.5)) == ["confidence"]


# -- combinations


def test_blend():
    # 0.75 x 1000 + 0.25 x 1600 + 50 + 20
    got = combining.blend(1000, 1600, 0.75, liquidity_charge=50, concentration_charge=20)
    assert got == 1220.0
    assert combining.blend(7.0, 9.0, 1.0) == 7.0


def test_stressed_volatility_mix_is_linear_even_when_stress_is_calm():
    assert combining.stressed_volatility_mix(0.02, 0.01, 0.25) == pytest.approx(0.0175)


def test_anticyclical_options():
    arguments = {
        "unbuffered_margin": 640.0,
        "buffer_fraction": 0.25,
        "buffer_used_fraction": 0.5,
        "current_volatility": 0.016,
        "stress_volatility": 0.031,
        "stress_weight": 0.25,
        "ten_year_volatility": 0.012,
        "margin_per_unit_volatility": 40_000.0,
    }
    got = combining.anticyclical_options(**arguments)
    assert got.option_a == pytest.approx(640 * 1.125)
    assert got.option_b == pytest.approx(40_000 * 0.01975)
    assert got.option_c == 640.0  # above 40,000 x 0.012 = 480


def test_offset_cap():
    assert combining.offset_cap(100.0, 10.0, 0.8) == 28.0
    assert combining.offset_cap(100.0, 100.0, 0.8) == 100.0
    assert combining.offset_cap(100.0, 10.0, 0.0) == 100.0


def test_combinations_refuse_what_is_not_a_number_or_a_fraction():
    assert problems_of(lambda: combining.blend(nan, inf, 1.5)) == ["historical", "stress", "weight"]
    assert problems_of(lambda: combining.offset_cap("1", 2.0, -0.1)) == ["standalone", "reduction_cap"]
    assert problems_of(lambda: combining.stressed_volatility_mix(0.01, 0.02, nan)) == ["stress_weight"]
