"""Key-rate sensitivities: bumps add up, convexity is second order, baskets are linear."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin.key_rates import BASIS_POINT, key_rates
from crossmargin.pnl import revalue
from crossmargin.scenarios import ScenarioSet, ScenarioSpec
from tests.properties.strategies import BOND, NOTE_2, NOTE_7, ZN, market

TENORS = np.array([0.25, 1.0, 2.0, 5.0, 10.0, 30.0])
HELD = (NOTE_2, NOTE_7, BOND, ZN)


def test_bumps_of_all_tenors_are_a_parallel_move():
    found = key_rates(HELD, market(), TENORS)
    parallel = ScenarioSet(ScenarioSpec("grid", 1, 0.0), [1.0], [[BASIS_POINT, -BASIS_POINT]])
    values = revalue(HELD, market(), parallel).values
    assert found.kr01.sum(axis=1) == pytest.approx((values[:, 0] - values[:, 1]) / 2, rel=1e-4)


def test_long_bonds_lose_and_are_convex():
    found = key_rates(HELD, market(), TENORS)
    assert (found.kr01.sum(axis=1) < 0).all()
    assert (found.convexity[2].sum()) > 0
    assert found.tenors.tolist() == TENORS.tolist()


def test_pooled_is_linear_in_quantities():
    found = key_rates(HELD, market(), TENORS)
    once, thrice = found.pooled([1.0, 2.0, -3.0, 0.0]), found.pooled([3.0, 6.0, -9.0, 0.0])
    for mine, theirs in zip(once, thrice, strict=True):
        assert theirs == pytest.approx(3 * mine)
    assert not np.any(found.pooled([0.0] * 4))
