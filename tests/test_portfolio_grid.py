"""The grid of one underlying: moves, implied volatilities, profit and loss, the minimum; and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.pricing.implied import QuoteStatus
from crossmargin.pricing.portfolio_grid import (
    LEAST_VOLATILITY,
    GridModel,
    OptionSeries,
    concentration_shock,
    floored_requirement,
    grid_moves,
    grid_pnl,
    grid_values,
    select_series,
    series_volatility,
    solve_volatility,
)

BLACK_SCHOLES = GridModel(rate=0.03, dividend_yield=0.01, american=False)
LATTICE = GridModel(rate=0.03, dividend_yield=0.01, steps=40)
EUROPEAN_LATTICE = GridModel(rate=0.03, dividend_yield=0.01, american=False, steps=40)
SOLVER = GridModel(rate=0.03, dividend_yield=0.01)
MODELS = [BLACK_SCHOLES, LATTICE, EUROPEAN_LATTICE, SOLVER]
MOVES = [-0.15, -0.03, 0.0, 0.06, 0.15]


def option(is_call=True, strike=100.0, *, time=0.5, price=0.0):
    return OptionSeries(is_call=[is_call], strike=[strike], expiry_time=[time], price=[price])


def slow_value(is_call, strike, *, time, spot, volatility, model=BLACK_SCHOLES):
    """Black, Scholes and Merton by the error function."""
    forward, deviation = spot * math.exp((model.rate - model.dividend_yield) * time), volatility * math.sqrt(time)
    up = math.log(forward / strike) / deviation + deviation / 2
    sign = 1.0 if is_call else -1.0

    def normal(z):
        return math.erfc(-z / math.sqrt(2)) / 2

    inner = sign * (forward * normal(sign * up) - strike * normal(sign * (up - deviation)))
    return math.exp(-model.rate * time) * inner


def problems_of(work, *arguments, **named):
    with pytest.raises(InputError) as caught:
        work(*arguments, **named)
    return [(problem.where, problem.what) for problem in caught.value.problems]


# -- moves


@given(st.floats(0.001, 0.999), st.floats(0.001, 3.0), st.integers(1, 12))
def test_moves_are_equidistant_on_each_side_and_leave_zero_out(down, up, points):
    moves = grid_moves(down=down, up=up, points_each_side=points)
    assert moves.shape == (2 * points,)
    assert (np.diff(moves) > 0).all()
    assert moves[0] == -down
    assert moves[-1] == up
    assert np.diff(np.append(moves[:points], 0.0)) == pytest.approx(down / points)
    assert np.diff(np.append(0.0, moves[points:])) == pytest.approx(up / points)


def test_moves_that_are_none():
    found = problems_of(grid_moves, down=1.0, up=math.nan, points_each_side=0)
    assert [where for where, _ in found] == ["down", "up", "points_each_side"]
    assert problems_of(grid_moves, down=-0.15, up=math.inf, points_each_side=1)


# -- volatility and profit and loss


@given(
    st.booleans(),
    st.floats(85.0, 118.0),
    st.floats(0.1, 2.0),
    st.floats(0.2, 0.9),
)
def test_profit_and_loss_is_that_of_the_error_function(is_call, strike, time, volatility):
    terms = {"time": time, "volatility": volatility}
    price = slow_value(is_call, strike, spot=100.0, **terms)
    expected = [-300 * (slow_value(is_call, strike, spot=100 * (1 + move), **terms) - price) for move in MOVES]
    series = option(is_call, strike, time=time, price=price)
    got = grid_pnl(series, [-300.0], spot=100.0, moves=MOVES, model=BLACK_SCHOLES)
    assert got == pytest.approx(expected, rel=1e-7, abs=1e-6)


@pytest.mark.parametrize("model", MODELS, ids=["formula", "lattice", "european lattice", "solver"])
@pytest.mark.parametrize("is_call", [True, False])
def test_the_volatility_reprices_the_series_and_nothing_moves_at_no_move(model, is_call):
    strike, time = np.array([85.0, 100.0, 112.0]), np.array([0.1, 0.5, 1.5])
    calls = np.full(3, is_call)
    wanted = np.array([0.5, 0.25, 0.35])
    unpriced = OptionSeries(is_call=calls, strike=strike, expiry_time=time, price=np.zeros(3))
    price = grid_values(unpriced, wanted, spot=[100.0], model=model)[:, 0]
    series = OptionSeries(is_call=calls, strike=strike, expiry_time=time, price=price)
    volatility = series_volatility(series, 100.0, model)
    assert volatility == pytest.approx(wanted, rel=1e-6)
    pnl = grid_pnl(series, [100.0, -200.0, 50.0], spot=100.0, moves=[0.0], model=model)
    assert pnl == pytest.approx(0.0, abs=1e-8)


@pytest.mark.slow_interpreted  # a lattice of 2,000 steps
def test_the_models_agree_where_they_must():
    price = slow_value(True, 100.0, time=0.5, spot=100.0, volatility=0.3)
    without_dividends = [GridModel(rate=0.03, american=american) for american in (True, False)]
    series = option(price=price)
    american, european = (grid_pnl(series, [1.0], spot=100.0, moves=MOVES, model=model) for model in without_dividends)
    assert american == pytest.approx(european, abs=2e-4)
    fine = GridModel(rate=0.03, dividend_yield=0.01, american=False, steps=2000)
    lattice, formula = (
        grid_pnl(series, [1.0], spot=100.0, moves=MOVES, model=model) for model in (fine, BLACK_SCHOLES)
    )
    assert lattice == pytest.approx(formula, abs=0.02)


def test_stock_moves_by_the_same_fraction_and_adds_to_the_options():
    series = option(price=8.0)
    alone = grid_pnl(series, [-100.0], spot=100.0, moves=MOVES, model=LATTICE)
    covered = grid_pnl(series, [-100.0], spot=100.0, moves=MOVES, model=LATTICE, stock_value=9_900.0)
    assert covered - alone == pytest.approx(9_900 * np.array(MOVES))


@pytest.mark.parametrize("model", MODELS, ids=["formula", "lattice", "european lattice", "solver"])
def test_no_options_is_stock_alone_and_no_points_is_nothing(model):
    none = OptionSeries(is_call=[], strike=[], expiry_time=[], price=[])
    pnl = grid_pnl(none, [], spot=100.0, moves=[-0.1, 0.2], model=model, stock_value=-50.0)
    assert pnl == pytest.approx([5.0, -10.0])
    assert grid_pnl(option(price=8.0), [1.0], spot=100.0, moves=[], model=model).shape == (0,)


@pytest.mark.parametrize("model", MODELS, ids=["formula", "lattice", "european lattice", "solver"])
def test_an_option_that_expires_today_is_worth_its_exercise(model):
    series = OptionSeries(is_call=[True, False], strike=[95.0, 95.0], expiry_time=[0.0, 0.0], price=[5.0, 0.0])
    assert series_volatility(series, 100.0, model).tolist() == [0.0, 0.0]
    pnl = grid_pnl(series, [1.0, 1.0], spot=100.0, moves=[-0.1, 0.1], model=model)
    assert pnl == pytest.approx([-5 + 5, 10.0])


@pytest.mark.parametrize("model", [LATTICE, SOLVER], ids=["lattice", "solver"])
def test_a_put_worth_exactly_its_exercise_keeps_the_least_volatility(model):
    series = option(False, 200.0, price=100.0)
    assert series_volatility(series, 100.0, model) == LEAST_VOLATILITY
    assert grid_pnl(series, [-1.0], spot=100.0, moves=[-0.1, 0.1], model=model) == pytest.approx([-10.0, 10.0])


@given(st.integers(10_000, 60_000), st.floats(1.05, 1.4), st.sampled_from([1, 7, 30]))
def test_a_put_quoted_at_its_exercise_to_the_cent_is_accepted(cents, moneyness, days):
    spot, strike = cents / 100, float(round(cents / 100 * moneyness))
    quoted = option(False, strike, time=days / 365, price=round(strike - spot, 2))
    assert series_volatility(quoted, spot, GridModel(rate=0.05, steps=200)) == LEAST_VOLATILITY


def test_a_worthless_option_moves_only_when_it_comes_into_the_money():
    series = option(True, 130.0, time=0.01)
    assert grid_pnl(series, [1.0], spot=100.0, moves=[-0.2, 0.2], model=BLACK_SCHOLES) == pytest.approx(0.0, abs=1e-9)


@given(st.permutations(range(4)))
def test_the_order_of_series_does_not_matter(order):
    series = OptionSeries(
        is_call=[True, False, True, False],
        strike=[95.0, 95.0, 105.0, 110.0],
        expiry_time=[0.2, 0.2, 0.5, 1.0],
        price=[9.0, 3.0, 6.0, 16.0],
    )
    shuffled = OptionSeries(
        is_call=series.is_call[order],
        strike=series.strike[order],
        expiry_time=series.expiry_time[order],
        price=series.price[order],
    )
    quantity = np.array([100.0, -200.0, 300.0, -50.0])
    terms = {"spot": 100.0, "moves": MOVES, "model": BLACK_SCHOLES}
    assert grid_pnl(shuffled, quantity[order], **terms) == pytest.approx(grid_pnl(series, quantity, **terms))


# -- what is refused


def test_every_price_without_a_volatility_is_named():
    series = OptionSeries(
        is_call=[True, True, False, True],
        strike=[50.0, 100.0, 100.0, 100.0],
        expiry_time=[0.5, 0.0, 0.5, 0.5],
        price=[20.0, 3.0, 101.0, 8.0],
    )
    for model in MODELS:
        found = problems_of(series_volatility, series, 100.0, model)
        assert [where for where, _ in found] == ["price, row 0", "price, row 2"]
        assert "call at 50 has the price 20, below" in found[0][1]
        assert "put at 100 has the price 101, above" in found[1][1]


def test_bad_series_are_refused_whole():
    found = problems_of(
        OptionSeries, is_call=[True], strike=[math.nan, 0.0], expiry_time=[-1.0, 1.0], price=[math.inf, 2.0]
    )
    assert {where.split(",")[0] for where, _ in found} == {"is_call", "strike", "expiry_time", "price"}
    assert len(found) == 5


def test_bad_grids_are_refused_whole():
    found = problems_of(
        grid_pnl,
        option(price=8.0),
        [1.0, math.nan],
        spot=0.0,
        moves=[-1.0, 0.1],
        model=LATTICE,
        stock_value=math.inf,
    )
    assert [where.split(",")[0] for where, _ in found] == ["quantity", "quantity", "moves", "stock_value", "spot"]


# -- the minimum, the overlay


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.integers(0, 1000), st.floats(0.0, 5.0))
def test_the_requirement_is_the_larger_of_loss_and_minimum(pnl, units, minimum):
    result = floored_requirement(pnl, units, minimum)
    assert result.largest_loss == max(0.0, -min(pnl))
    assert result.minimum == units * minimum
    assert result.requirement == max(result.largest_loss, result.minimum) >= 0.0


def test_a_requirement_of_nothing_or_of_no_number_is_refused():
    assert [where for where, _ in problems_of(floored_requirement, [], 100, 0.375)] == ["pnl"]
    found = problems_of(floored_requirement, [math.nan, 1.0], -1, math.nan)
    assert [where.split(",")[0] for where, _ in found] == ["pnl", "option_units", "minimum_per_unit"]


@pytest.mark.parametrize(
    ("no_return", "expected", "standard", "shock"),
    [(0.3, 0.4, 0.15, 0.4), (0.4, 0.4, 0.15, 0.4), (0.41, 0.4, 0.15, 0.15), (0.1, 0.12, 0.15, 0.15)],
)
def test_the_overlay_applies_inside_a_wider_range(no_return, expected, standard, shock):
    assert concentration_shock(no_return, expected, standard) == shock


# -- prices that imply no volatility, and cash dividends


@pytest.mark.parametrize("model", [BLACK_SCHOLES, LATTICE, SOLVER])
def test_volatilities_are_solved_or_say_why_not(model):
    series = OptionSeries(
        is_call=[True] * 4,
        strike=[80.0, 110.0, 80.0, 80.0],
        expiry_time=[0.5, 0.5, 0.5, 0.0],
        price=[15.0, 4.0, 101, 20],
    )
    found = solve_volatility(series, 100.0, model)
    names = [QuoteStatus(int(status)).name for status in found.status]
    assert names == ["BELOW_INTRINSIC", "SOLVED", "ABOVE_MAXIMUM", "NO_TIME_VALUE"]
    assert np.isnan(found.volatility).tolist() == [True, False, True, False]
    assert found.volatility[3] == 0.0
    alone = series_volatility(select_series(series, [1]), 100.0, model)
    assert found.volatility[1] == pytest.approx(alone[0], rel=1e-9)
    rows = [where for where, _ in problems_of(series_volatility, series, 100.0, model)]
    assert rows == ["price, row 0", "price, row 2"]


def test_series_without_time_ask_no_model():
    found = solve_volatility(option(time=0.0, price=3.0), 100.0, SOLVER)
    assert found.volatility.tolist() == [0.0]


@pytest.mark.parametrize("american", [False, True])
def test_cash_dividends_lower_the_spot_that_moves(american):
    paid = GridModel(rate=0.03, american=american, steps=200, dividends=[(0.25, 2.0)])
    plain = GridModel(rate=0.03, american=False, steps=200)
    net = 100.0 - 2.0 * math.exp(-0.03 * 0.25)
    assert float(paid.net(100.0)) == pytest.approx(net)
    with_cash, without = (
        float(grid_values(option(time=0.5), [0.2], spot=[spot], model=model)[0, 0])
        for spot, model in ((100.0, paid), (net, plain))
    )
    assert with_cash >= without - 1e-9
    assert with_cash == pytest.approx(without, abs=0.3 if american else 1e-9)


@pytest.mark.slow_interpreted
def test_the_formula_and_the_lattice_agree_on_cash_dividends():
    formula, lattice = (
        grid_values(
            option(time=0.5),
            [0.2],
            spot=[90.0, 110.0],
            model=GridModel(rate=0.03, american=False, dividends=[(0.25, 2.0)], steps=steps),
        )
        for steps in (None, 2000)
    )
    assert formula == pytest.approx(lattice, abs=5e-3)


def test_american_options_with_cash_dividends_need_no_steps():
    model = GridModel(rate=0.03, dividends=[(0.25, 2.0)])
    values = grid_values(option(time=0.5), [0.2], spot=[100.0], model=model)
    again = series_volatility(option(time=0.5, price=float(values[0, 0])), 100.0, model)
    assert again == pytest.approx([0.2], rel=1e-9)
