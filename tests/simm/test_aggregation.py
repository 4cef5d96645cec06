"""Aggregation without matrices against matrices."""

import numpy as np
import pytest

from crossmargin.errors import NumericalError
from crossmargin.simm.aggregation import Nested, RateCorrelation, across, nested_margins, pair_sums, rate_margins


def dense_sum(weighted, concentration, correlation):
    damp = np.minimum.outer(concentration, concentration) / np.maximum.outer(concentration, concentration)
    return weighted @ (correlation * damp) @ weighted


@pytest.mark.parametrize("seed", range(5))
def test_pair_sums(seed):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 4, 60)
    weighted = rng.normal(size=60) * 10.0 ** rng.integers(-6, 6, 60)
    concentration = np.maximum(1.0, rng.choice([0.5, 1.0, 2.0, 3.5, 100.0], 60))  # ties and ones
    found = pair_sums(weighted, concentration, group, 5)
    for each in range(5):
        inside = group == each
        expected = dense_sum(weighted[inside], concentration[inside], np.ones((inside.sum(),) * 2))
        assert found[each] == pytest.approx(expected, rel=1e-9)


def test_small_groups_beside_huge_ones_keep_their_digits():
    weighted = np.array([1e15, -3e14, 1e-3, 2e-3])
    found = pair_sums(weighted, np.array([1.0, 2.0, 1.0, 2.0]), np.array([0, 0, 1, 1]), 2)
    assert found[1] == pytest.approx(1e-6 + 4e-6 + 2 * 2e-6 / 2, rel=1e-12)


def test_pair_sums_of_nothing():
    assert pair_sums(np.zeros(0), np.zeros(0), np.zeros(0, dtype=int), 3).tolist() == [0, 0, 0]


def test_nested_correlation():
    rng = np.random.default_rng(1)
    group, bucket = np.repeat(np.arange(8), 5), np.repeat([0, 1], 20)
    weighted, concentration = rng.normal(size=40), 1.0 + rng.random(40)
    within, between = rng.uniform(0.5, 0.9, 8), np.array([0.2, 0.4])
    margins, sums = nested_margins(weighted, concentration, bucket, Nested(group, 8, within, between))
    for place in range(2):
        inside = bucket == place
        same = group[inside][:, None] == group[inside][None, :]
        correlation = np.where(same, within[group[inside]], between[place])
        np.fill_diagonal(correlation, 1.0)
        square = dense_sum(weighted[inside], concentration[inside], correlation)
        assert margins[place] == pytest.approx(square**0.5)
        assert sums[place] == pytest.approx(weighted[inside].sum())


def test_rate_correlation():
    rng = np.random.default_rng(2)
    tenor = np.exp(-0.3 * np.abs(np.subtract.outer(np.arange(4), np.arange(4))))
    correlation = RateCorrelation(tenor, 0.9, 0.3, -0.1)
    curves, extra = rng.normal(size=(2, 4)), rng.normal(size=2)
    flat = np.concatenate([curves.ravel(), extra])
    matrix = np.full((10, 10), -0.1)
    matrix[:8, :8] = np.kron([[1, 0.9], [0.9, 1]], tenor)
    matrix[8, :8] = matrix[:8, 8] = 0.3
    np.fill_diagonal(matrix, 1.0)
    margins, sums = rate_margins(curves, np.zeros(2, dtype=int), correlation, inflation=extra[:1], basis=extra[1:])
    assert margins[0] == pytest.approx((flat @ matrix @ flat) ** 0.5)
    assert sums[0] == pytest.approx(flat.sum())


def test_parts_of_buckets_add_up():
    margins, sums = np.array([3.0, 4.0, 5.0]), np.array([3.0, -9.0, 1.0])
    matrix = np.array([[1, 0.2, 0.1], [0.2, 1, 0.3], [0.1, 0.3, 1]])
    held = np.array([3.0, -4.0, 1.0])
    square = (margins**2).sum() + held @ (matrix - np.eye(3)) @ held
    parts = across((margins, sums), matrix)
    assert parts.sum() == pytest.approx(square**0.5)
    one = across((margins, sums), 0.3, np.array([1.0, 2.0, 4.0]))
    damp = np.array([[0, 0.5, 0.25], [0.5, 0, 0.5], [0.25, 0.5, 0]])
    assert one.sum() == pytest.approx(((margins**2).sum() + 0.3 * held @ damp @ held) ** 0.5)
    assert across((np.zeros(2), np.zeros(2)), 0.3).tolist() == [0, 0]


def test_what_cannot_be_squared_is_refused():
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(NumericalError, match="too large"):
        across((np.array([1e200, 1.0]), np.array([1e200, 1.0])), 0.3)
