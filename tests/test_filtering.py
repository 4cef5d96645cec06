"""What begins the variance of the filter: one squared return, or the mean of some."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.filtering import ewma_volatility, filtered_returns

RETURNS = st.lists(st.floats(-0.1, 0.1).filter(lambda r: r == 0 or abs(r) > 1e-6), min_size=1, max_size=40)


def by_recursion(returns, decay, seed_days):
    variance = np.mean([r * r for r in returns[:seed_days]])
    found = []
    for r in returns:
        found.append(variance)
        variance = decay * variance + (1 - decay) * r * r
    return np.sqrt(found), np.sqrt(variance)


@given(RETURNS, st.floats(0.5, 0.999), st.integers(1, 60))
def test_the_seed_is_the_mean_of_the_first_squares(returns, decay, seed_days):
    volatility, forecast = ewma_volatility(returns, decay, seed_days=seed_days)
    expected, beyond = by_recursion(returns, decay, seed_days)
    assert volatility == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert float(forecast) == pytest.approx(beyond, rel=1e-9, abs=1e-12)


def test_one_return_that_is_next_to_nothing_distorts_those_after_it():
    rng = np.random.default_rng(3)
    returns = np.concatenate([[1e-7], rng.normal(0, 0.01, 500)])
    alone = filtered_returns(returns, 0.97, ratio_cap=4.0)
    seeded = filtered_returns(returns, 0.97, ratio_cap=4.0, seed_days=60)
    assert np.abs(alone.scaled[1:4] / returns[1:4]).max() == 4.0  # at the cap
    assert np.abs(seeded.scaled[1:4] / returns[1:4]).max() < 1.5
    assert alone.scaled[-50:] == pytest.approx(seeded.scaled[-50:], rel=1e-5)  # the seed is forgotten


@pytest.mark.parametrize("seed_days", [0, -1, 1.5, True, None])
def test_a_seed_of_no_days_is_refused(seed_days):
    with pytest.raises(InputError, match="seed_days"):
        ewma_volatility([0.01], 0.97, seed_days=seed_days)
