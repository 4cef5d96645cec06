"""Laws of option revaluation: parity, bounds, monotone values, and what must not change a figure."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.curves import discount_factors, year_fractions
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import revalue, scenario_zero_rates
from crossmargin.pricing.smiles import Smile
from crossmargin.pricing.volatility import VolatilitySurface
from crossmargin.products import FutureOption, ListedOption, TreasuryFuture, TreasuryNote
from crossmargin.products.options import EXERCISES, RIGHTS
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, grid_scenarios
from crossmargin.underlyings import Underlying

AS_OF = date(2026, 6, 30)
CURVE = ParCurve(AS_OF, [0.25, 2, 5, 10, 30], [0.0387, 0.0414, 0.0419, 0.0444, 0.0491])
HISTORY = History([AS_OF], [1, 2], [[0.04, 0.041]])
ZN = TreasuryFuture("ZN", 202609, (TreasuryNote(0.04, date(2033, 5, 31)), TreasuryNote(0.0375, date(2033, 8, 31))))
DAYS = (0, 1, 17, 80, 263, 730)  # few, so that tables of early-exercise premiums are built once

days = st.sampled_from(DAYS)
strikes = st.integers(8, 800).map(lambda eighths: eighths / 2.0)
volatilities = st.one_of(st.just(0.0), st.floats(0.03, 1.5))
yields = st.sampled_from([0.0, 0.03, -0.01])
cash = st.sampled_from(
    [(), ((AS_OF + timedelta(60), 1.5),), ((AS_OF + timedelta(17), 0.5), (AS_OF + timedelta(300), 2.0))]
)
moves = st.lists(st.floats(-0.6, 1.5), min_size=1, max_size=9)


def market(volatility, *, paid=0.0, dividends=(), rule="sticky_moneyness"):
    paying = {"dividend_yield": paid, "dividends": dividends, "smile_rule": rule}
    known = {"XYZ": Underlying("XYZ", volatility, 100.0, **paying), ZN.symbol: Underlying(ZN.symbol, 0.07)}
    return Market(AS_OF, CURVE, HISTORY, underlyings=known)


def smiling():
    expiries = [AS_OF + timedelta(n) for n in (60, 400)]
    curved = [(0.004, 0.08, -0.5, 0.02, 0.15), (0.012, 0.14, -0.5, 0.02, 0.25)]
    smiles = [Smile("svi", -0.6, 0.4, parameters=numbers) for numbers in curved]
    return VolatilitySurface(AS_OF, "XYZ", expiries, [60 / 365, 400 / 365], (100.0, 100.0), smiles)


def option(right, strike, after, *, exercise="european", **terms):
    return ListedOption("XYZ", right, strike, AS_OF + timedelta(after), exercise=exercise, settlement="cash", **terms)


@st.composite
def scenario_sets(draw):
    """Yields, spots and volatilities that move independently."""
    spots = draw(moves)
    columns = st.lists(st.floats(-150, 150), min_size=len(spots), max_size=len(spots))
    shifts, changes = draw(columns), draw(columns)
    return ScenarioSet(
        ScenarioSpec("historical", 1, 1),
        [0.25, 30.0],
        1e-4 * np.array([shifts, shifts]),
        spot_moves={"XYZ": spots},
        volatility_moves={"XYZ": 1e-3 * np.array(changes)},
    )


def values(products, known, scenarios):
    """Value per unit today and in the scenarios [n, 1 + n_scenarios]."""
    pnl = revalue(products, known, scenarios)
    units = np.array([product.units for product in pnl.products])
    return np.column_stack([pnl.base, pnl.base[:, None] + pnl.values]) / units[:, None]


def discounts(after, scenarios):
    time = year_fractions(AS_OF, [AS_OF + timedelta(after)])
    return discount_factors(*scenario_zero_rates(CURVE, scenarios), time)[0]


def escrowed(dividends, after):
    still = grid_scenarios([], [0.0])
    return sum(
        amount * discounts((day - AS_OF).days, still)[0] for day, amount in dividends if (day - AS_OF).days <= after
    )


# ----------------------------------------------------------------------------------------------- parity and bounds


@given(strikes, days, volatilities, yields, cash, scenario_sets())
def test_put_call_parity_holds_in_every_scenario(strike, after, volatility, paid, dividends, scenarios):
    call, put = values(
        [option(right, strike, after) for right in RIGHTS],
        market(volatility, paid=paid, dividends=dividends),
        scenarios,
    )
    spot = 100.0 * np.concatenate([[1.0], 1.0 + scenarios.spot_moves["XYZ"]]) - escrowed(dividends, after)
    parity = spot * np.exp(-paid * after / 365) - strike * discounts(after, scenarios)
    assert call - put == pytest.approx(parity, rel=0, abs=1e-11 * max(strike, 100.0))


@given(strikes, days, yields, scenario_sets(), st.sampled_from(["sticky_strike", "sticky_moneyness"]))
def test_parity_holds_on_a_surface(strike, after, paid, scenarios, rule):
    if after == 0:
        return
    still = ScenarioSet(scenarios.spec, scenarios.tenors, scenarios.shifts, spot_moves=scenarios.spot_moves)
    call, put = values(
        [option(right, strike, after) for right in RIGHTS], market(smiling(), paid=paid, rule=rule), still
    )
    spot = 100.0 * np.concatenate([[1.0], 1.0 + still.spot_moves["XYZ"]])
    parity = spot * np.exp(-paid * after / 365) - strike * discounts(after, still)
    assert call - put == pytest.approx(parity, rel=0, abs=1e-11 * max(strike, 100.0))


@given(strikes, days, volatilities, yields, scenario_sets())
def test_european_values_keep_to_their_bounds(strike, after, volatility, paid, scenarios):
    call, put = values([option(right, strike, after) for right in RIGHTS], market(volatility, paid=paid), scenarios)
    spot = 100.0 * np.concatenate([[1.0], 1.0 + scenarios.spot_moves["XYZ"]]) * np.exp(-paid * after / 365)
    owed = strike * discounts(after, scenarios)
    slack = 1e-11 * max(strike, 100.0)
    assert (call >= np.maximum(spot - owed, 0.0) - slack).all()
    assert (call <= spot + slack).all()
    assert (put >= np.maximum(owed - spot, 0.0) - slack).all()
    assert (put <= owed + slack).all()


@settings(max_examples=30)
@given(st.sampled_from(RIGHTS), strikes, days, volatilities, yields, moves, st.floats(-0.2, 0.5))
def test_american_is_worth_its_european_twin_and_exercise_at_least(
    right, strike, after, volatility, paid, spots, shift
):
    scenarios = grid_scenarios(["XYZ"], spots, [0.0, shift])
    held = [option(right, strike, after, exercise=exercise) for exercise in EXERCISES]
    american, european = values(held, market(volatility, paid=paid), scenarios)
    spot = 100.0 * np.concatenate([[1.0], 1.0 + scenarios.spot_moves["XYZ"]])
    slack = 2e-6 * max(strike, 100.0)  # the accuracy of the table
    assert (american >= european - slack).all()
    assert (american >= (spot - strike if right == "call" else strike - spot) - 1e-9 * strike).all()
    assert (american <= (spot if right == "call" else strike) + slack + (spot if paid < 0 else 0.0)).all()


# -------------------------------------------------------------------------------------------------------- monotone


@settings(max_examples=30)
@given(st.sampled_from(RIGHTS), st.sampled_from(EXERCISES), strikes, days, volatilities, yields)
def test_values_follow_the_spot_and_the_volatility(right, exercise, strike, after, volatility, paid):
    spots, shifts = np.linspace(-0.5, 0.8, 14), np.linspace(0.0, 0.6, 7)
    held, scenarios = option(right, strike, after, exercise=exercise), grid_scenarios(["XYZ"], spots, shifts)
    pnl = revalue([held], market(volatility, paid=paid), scenarios).values.reshape(14, 7) / held.units
    slack = 2e-6 * max(strike, 100.0) if exercise == "american" else 1e-11 * max(strike, 100.0)
    sign = 1.0 if right == "call" else -1.0
    assert (sign * np.diff(pnl, axis=0) >= -slack).all()
    assert (np.diff(pnl, axis=1) >= -slack).all()
    steepest = np.exp(0.01 * 2) if paid < 0 else 1.0
    assert (np.abs(np.diff(pnl, axis=0)) <= steepest * 100.0 * np.diff(spots)[:, None] + slack).all()


@settings(max_examples=30)
@given(st.sampled_from(RIGHTS), st.sampled_from(EXERCISES), days, volatilities, moves)
def test_values_are_monotone_and_convex_in_the_strike(right, exercise, after, volatility, spots):
    held = [option(right, 40.0 + 10.0 * step, after, exercise=exercise) for step in range(14)]
    rows = values(held, market(volatility), grid_scenarios(["XYZ"], spots))
    slack = 4e-4 if exercise == "american" else 1e-9
    assert ((-1.0 if right == "call" else 1.0) * np.diff(rows, axis=0) >= -slack).all()
    assert (np.diff(rows, 2, axis=0) >= -slack).all()


# -------------------------------------------------------------------------------------- what changes no figure


@given(st.lists(strikes, min_size=1, max_size=5), days, volatilities, yields, cash, st.integers(1, 19))
def test_moves_of_zero_give_exactly_nothing(chain, after, volatility, paid, dividends, count):
    held = [
        option(right, strike, after, exercise=exercise)
        for strike in chain for right in RIGHTS for exercise in EXERCISES
    ]  # fmt: skip
    zeros = np.zeros(count)
    still = ScenarioSet(
        ScenarioSpec("grid", 1, 0), [1.0], zeros[None], spot_moves={"XYZ": zeros}, volatility_moves={"XYZ": zeros}
    )
    known = market(volatility, paid=paid, dividends=dividends)
    assert not revalue([*held, FutureOption(ZN, "put", 108.0, date(2026, 8, 21))], known, still).values.any()
    smiles = market(smiling(), paid=paid, dividends=dividends)
    assert after == 0 or not revalue(held, smiles, still).values.any()


@settings(max_examples=30)
@given(st.permutations(range(8)), st.sampled_from(EXERCISES), scenario_sets())
def test_order_and_repetition_change_no_bit(order, exercise, scenarios):
    held = [
        option(right, strike, after, exercise=exercise)
        for right in RIGHTS for strike in (90.0, 101.5) for after in (17, 263)
    ]  # fmt: skip
    known = market(0.4, paid=0.02)
    whole = revalue(held, known, scenarios)
    mixed = [held[place] for place in order]
    again = revalue([*mixed, *held, *mixed], known, scenarios)
    assert again.products == tuple(mixed)
    np.testing.assert_array_equal(again.values, whole.values[list(order)])
    np.testing.assert_array_equal(again.base, whole.base[list(order)])


@given(st.permutations(range(12)), st.sampled_from(EXERCISES), st.sampled_from(RIGHTS))
def test_the_order_of_scenarios_moves_the_columns_alone(order, exercise, right):
    grid = grid_scenarios(["XYZ"], [-0.3, 0.0, 0.1, 0.4], [-0.1, 0.0, 0.2])
    mixed = ScenarioSet(
        grid.spec,
        grid.tenors,
        grid.shifts,
        spot_moves={"XYZ": grid.spot_moves["XYZ"][order]},
        volatility_moves={"XYZ": grid.volatility_moves["XYZ"][order]},
    )
    held, known = [option(right, 95.0, 263, exercise=exercise)], market(0.3, paid=0.01)
    straight, shuffled = (revalue(held, known, scenarios).values for scenarios in (grid, mixed))
    np.testing.assert_array_equal(shuffled, straight[:, order])


@given(st.sampled_from(RIGHTS), st.sampled_from(EXERCISES), strikes, days, st.floats(0.01, 1e6), scenario_sets())
def test_an_option_on_more_units_gains_as_many_times_more(right, exercise, strike, after, units, scenarios):
    held = [option(right, strike, after, exercise=exercise, multiplier=size) for size in (1.0, units)]
    one, many = revalue(list(dict.fromkeys(held)), market(0.3), scenarios).base[[0, -1]]
    assert many == pytest.approx(units * one, rel=1e-12)
    rows = revalue(held, market(0.3), scenarios)
    assert rows.row(held[1]) == pytest.approx(units * rows.row(held[0]), rel=1e-9, abs=1e-10 * units * max(strike, 100))


@given(strikes, days, st.sampled_from([0.01, 0.5, 20.0]), st.sampled_from(EXERCISES), moves)
def test_values_scale_with_spot_and_strike_together(strike, after, scale, exercise, spots):
    scenarios, rows = grid_scenarios(["XYZ"], spots), []
    for size in (1.0, scale):
        known = Market(AS_OF, CURVE, HISTORY, underlyings={"XYZ": Underlying("XYZ", 0.3, 100.0 * size)})
        rows.append(values([option("put", strike * size, after, exercise=exercise)], known, scenarios)[0])
    assert rows[1] == pytest.approx(scale * rows[0], rel=1e-9, abs=2e-8 * scale * max(strike, 100.0))
