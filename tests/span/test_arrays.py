"""Risk arrays of our own: exchange records, Black by hand, rounding at ties, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attrs import evolve

from crossmargin.errors import InputError
from crossmargin.span.arrays import (
    OptionTerms,
    ScanRanges,
    composite_delta,
    futures_array,
    option_array,
    rounded,
    scenario_grid,
)

GRID = scenario_grid(3, 3.0, 0.33)
WEIGHTS = [0.037, 0.111, 0.217, 0.27, 0.217, 0.111, 0.037]
CALL = OptionTerms(
    futures_price=455.0,
    strike=470.0,
    right="call",
    volatility=0.27,
    time_to_expiry_years=0.3,
    interest_rate=0.035,
    contract_value_factor=50.0,
)
RANGES = ScanRanges(price_points=20.0, volatility=0.2, look_ahead_years=1 / 365)


def by_hand(price: float, volatility: float, time: float, *, strike: float, rate: float, right: str) -> float:
    """Black (1976) with the error function, in points."""
    sign = 1 if right == "call" else -1
    if time <= 0 or volatility <= 0:
        return math.exp(-rate * max(time, 0)) * max(0.0, sign * (price - strike))
    deviation = volatility * math.sqrt(time)
    d1 = math.log(price / strike) / deviation + deviation / 2
    normal = lambda x: math.erfc(-x / math.sqrt(2)) / 2  # noqa: E731
    return sign * math.exp(-rate * time) * (price * normal(sign * d1) - strike * normal(sign * (d1 - deviation)))


# --------------------------------------------------------------------------------------------------------- scenarios


def test_the_grid_is_the_published_one():
    third = 1 / 3
    moves = [0, 0, third, third, -third, -third, 2 * third, 2 * third, -2 * third, -2 * third, 1, 1, -1, -1, 3, -3]
    assert GRID.price_moves == pytest.approx(moves)
    assert GRID.volatility_moves.tolist() == [1, -1] * 7 + [0, 0]
    assert GRID.cover.tolist() == [1] * 14 + [0.33, 0.33]


@pytest.mark.parametrize(
    "bad", [(0, 3, 0.3), (-1, 3, 0.3), (2.5, 3, 0.3), (True, 3, 0.3), (3, math.nan, 0.3), (3, -1, 0)]
)
def test_a_grid_that_is_none_is_refused(bad):
    with pytest.raises(InputError):
        scenario_grid(*bad)


def test_nothing_can_be_written_into_a_grid():
    with pytest.raises(ValueError, match="read-only"):
        GRID.price_moves[0] = 1.0


# ----------------------------------------------------------------------------------------------------------- futures


def test_the_e_mini_of_2019():
    expected = [0, 0, -2000, -2000, 2000, 2000, -4000, -4000, 4000, 4000, -6000, -6000, 6000, 6000, -5940, 5940]
    assert futures_array(6000, GRID, rounding_increment=1).tolist() == expected


def test_a_carry_loss_shifts_every_scenario_and_is_covered_in_part():
    found = futures_array(900.0, GRID, carry_loss=8.72)
    assert found[:3] == pytest.approx([8.72, 8.72, 8.72 - 300])
    assert found[14:] == pytest.approx([0.33 * (8.72 - 2700), 0.33 * (8.72 + 2700)])


def test_many_contracts_at_once():
    assert futures_array([1050, 6000], GRID).shape == (2, 16)
    assert futures_array([], GRID).shape == (0, 16)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_a_range_that_is_no_amount_is_refused(bad):
    with pytest.raises(InputError, match="price_scan_range"):
        futures_array(bad, GRID)


def test_a_carry_that_is_no_amount_is_refused():
    with pytest.raises(InputError, match="carry_loss"):
        futures_array(1.0, GRID, carry_loss=math.nan)


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e9])
def test_any_size(size):
    assert futures_array(size, GRID)[12] == size


# ---------------------------------------------------------------------------------------------------------- rounding


@pytest.mark.parametrize(
    ("amount", "increment", "expected"),
    [(350.5, 1, 351), (-350.5, 1, -351), (350.49, 1, 350), (1051.5 / 3, 1, 351), (3 * 1050 * 0.33, 1, 1040),
     (12.5, 5, 15), (-0.4, 1, 0), (0.125, 0.01, 0.13), (1e9 + 0.5, 1, 1e9 + 1)],
)  # fmt: skip
def test_half_goes_up_in_magnitude(amount, increment, expected):
    assert rounded(amount, increment) == pytest.approx(expected)


def test_no_negative_zero():
    assert math.copysign(1, rounded([-0.2], 1)[0]) == 1


@pytest.mark.parametrize("increment", [0, -1, math.nan])
def test_an_increment_that_is_none_is_refused(increment):
    with pytest.raises(InputError, match="rounding_increment"):
        rounded([1.0], increment)


# ----------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("right", ["call", "put"])
@pytest.mark.parametrize("kind", ["relative", "absolute"])
@pytest.mark.parametrize("time", [0.3, 0.001])  # the second ends within the look-ahead
def test_every_scenario_by_hand(right, kind, time):
    option = evolve(CALL, right=right, time_to_expiry_years=time)
    found = option_array(option, evolve(RANGES, volatility_type=kind), GRID, delta_weights=WEIGHTS)
    black = {"strike": 470.0, "rate": 0.035, "right": right}
    now = by_hand(455.0, 0.27, time, **black)
    assert found.value_points == pytest.approx(now)
    for scenario, (move, volatility_move, cover) in enumerate(
        zip(GRID.price_moves, GRID.volatility_moves, GRID.cover, strict=True)
    ):
        volatility = 0.27 * (1 + 0.2 * volatility_move) if kind == "relative" else 0.27 + 0.2 * volatility_move
        value = by_hand(455.0 + 20 * move, volatility, time - 1 / 365, **black)
        assert found.loss_array[scenario] == pytest.approx((now - value) * 50 * cover, abs=1e-7)


def test_an_absolute_range_beyond_the_volatility_leaves_none():
    found = option_array(CALL, ScanRanges(price_points=20.0, volatility=0.5, volatility_type="absolute"), GRID,
                         delta_weights=WEIGHTS)  # fmt: skip
    intrinsic = math.exp(-0.035 * 0.3) * max(0.0, 475 - 470)
    assert found.loss_array[11] == pytest.approx((found.value_points - intrinsic) * 50)  # full move up, volatility down


@pytest.mark.parametrize(
    ("right", "strike", "delta"), [("call", 400, 1), ("call", 500, 0), ("put", 500, -1), ("put", 400, 0)]
)
def test_the_delta_of_an_option_that_expires(right, strike, delta):
    gone = evolve(CALL, right=right, strike=float(strike), time_to_expiry_years=0.0)
    assert option_array(gone, RANGES, GRID, delta_weights=WEIGHTS).composite_delta == pytest.approx(delta)


def test_at_the_money_at_expiry_the_delta_is_nothing():
    gone = evolve(CALL, strike=455.0, time_to_expiry_years=0.0)
    found = option_array(gone, RANGES, GRID, delta_weights=WEIGHTS)
    assert found.composite_delta == pytest.approx(0.217 + 0.111 + 0.037)  # the three points above the strike
    assert found.value_points == 0


def test_a_price_that_falls_to_zero_is_refused_with_its_scenario():
    cheap = evolve(CALL, futures_price=50.0)
    with pytest.raises(InputError, match=r"scenario 16: the price falls to -10"):
        option_array(cheap, RANGES, GRID, delta_weights=WEIGHTS)


@pytest.mark.parametrize("right", ["call", "put"])
@pytest.mark.parametrize("price", [20.0, 50.0])  # 20 below is 0, three times 20 below both is less
def test_at_expiry_an_option_is_its_intrinsic_value_whatever_the_price(right, price):
    last_day = evolve(CALL, right=right, futures_price=price, strike=30.0, time_to_expiry_years=RANGES.look_ahead_years)
    found = option_array(last_day, RANGES, GRID, delta_weights=WEIGHTS)
    side = 1 if right == "call" else -1
    then = np.maximum(side * (price + 20.0 * GRID.price_moves - 30.0), 0.0)
    assert found.loss_array == pytest.approx((found.value_points - then) * 50.0 * GRID.cover)
    assert 0 <= side * found.composite_delta <= 1


def test_all_that_is_wrong_with_an_option_is_said_at_once():
    with pytest.raises(InputError) as error:
        evolve(CALL, right="cal", futures_price=math.nan, volatility=-0.1)
    assert len(error.value.problems) == 3
    assert "Did you mean 'call'?" in str(error.value)


def test_all_that_is_wrong_with_ranges_is_said_at_once():
    with pytest.raises(InputError) as error:
        ScanRanges(price_points=-1.0, volatility=math.inf, volatility_type="percent", look_ahead_years=-1.0)
    assert len(error.value.problems) == 4


# --------------------------------------------------------------------------------------------------- composite delta


def test_one_delta_is_itself():
    assert composite_delta([0.4], [7.0]) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("deltas", "weights"), [([1, 1], [1]), ([], []), ([1, math.nan], [1, 1]), ([1, 1], [1, -1]), ([1, 1], [0, 0])]
)
def test_weights_that_weigh_nothing_are_refused(deltas, weights):
    with pytest.raises(InputError, match="composite delta"):
        composite_delta(deltas, weights)


def test_weights_need_not_add_to_one():
    assert composite_delta([0.2, 0.4], np.array([2.0, 2.0])) == pytest.approx(0.3)
