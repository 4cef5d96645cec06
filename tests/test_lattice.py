"""The lattice: its twin, cash dividends, tiny volatilities, and the published portfolio-margin table."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from crossmargin.errors import InputError
from crossmargin.kernels import _jit, _sweep
from crossmargin.pricing.american import escrowed_spot, lattice_price
from tests.reference.american_twin import lattice

STEPS = st.integers(1, 45)
options = st.fixed_dictionaries(
    {
        "spot": st.floats(40, 250),
        "rate": st.one_of(st.just(0.0), st.floats(-0.03, 0.12)),
        "dividend_yield": st.one_of(st.just(0.0), st.floats(-0.03, 0.12)),
    }
)


@given(st.booleans(), st.booleans(), STEPS, options, st.floats(0.15, 0.9), st.floats(0.01, 2.0))
def test_the_lattice_is_its_twin(call, american, steps, numbers, vol, time):
    if abs(numbers["rate"] - numbers["dividend_yield"]) * np.sqrt(time / steps) > 0.9 * vol:
        return
    got = lattice_price(call, 100.0, time, vol, **numbers, steps=steps, american=american)
    assert got == pytest.approx(lattice(call, 100.0, time, vol, **numbers, steps=steps, american=american), abs=1e-10)


@pytest.mark.parametrize("call", [False, True])
@pytest.mark.parametrize("steps", [100, 203])
def test_many_steps_and_many_options(call, steps):
    rng = np.random.default_rng(steps)
    spot, vol = rng.uniform(60, 160, 12), rng.uniform(0.1, 0.8, 12)
    rate, paid = rng.uniform(0, 0.08, 12), rng.uniform(0, 0.08, 12)
    got = lattice_price(call, 100.0, 0.7, vol, spot=spot, rate=rate, dividend_yield=paid, steps=steps)
    for n in range(12):
        numbers = {"spot": spot[n], "rate": rate[n], "dividend_yield": paid[n], "steps": steps}
        assert got[n] == pytest.approx(lattice(call, 100.0, 0.7, vol[n], **numbers), abs=1e-9)
        assert got[n] == lattice_price(call, 100.0, 0.7, vol[n], **numbers)  # alone: the same bits


RATES = st.sampled_from([-0.02, 0.0, 1e-12, 0.03, 0.1])
ROWS = st.lists(st.tuples(st.floats(40, 250), st.floats(0.15, 0.9), RATES, RATES), min_size=8, max_size=11)


@given(st.integers(1, 30), st.booleans(), ROWS)
def test_company_changes_no_bit(steps, american, rows):
    """Eight side by side, and one by one from the node up to which all are exercised."""
    spot, vol, rate, paid = np.array(rows).T
    calls = np.arange(len(rows)) % 3 == 0
    numbers = {"spot": spot, "rate": rate, "dividend_yield": paid}
    got = lattice_price(calls, 100.0, 0.4, vol, **numbers, steps=steps, american=american)
    for n in range(len(rows)):
        one = {name: column[n] for name, column in numbers.items()}
        assert got[n] == lattice_price(calls[n], 100.0, 0.4, vol[n], **one, steps=steps, american=american)


@pytest.mark.compiled
@pytest.mark.parametrize("count", [0, 1, 5, 30])
def test_a_sweep_is_its_slow_twin(count):
    rng = np.random.default_rng(count)
    values, paid, odds = rng.uniform(size=(50, 8)), rng.uniform(size=(99, 8)), rng.uniform(0.3, 0.7, (2, 8))
    slow = values.copy()
    _sweep.sweep(slow, paid, odds, 7, count)
    _jit.njit("void(f8[:, ::1], f8[:, ::1], f8[:, ::1], i8, i8)", **_jit.FLAGS)(swept)(values, paid, odds, 7, count)
    assert np.array_equal(values[_sweep.ROOM : _sweep.ROOM + count], slow[_sweep.ROOM : _sweep.ROOM + count])


def swept(values, paid, odds, back, count):
    _sweep.sweep(values, paid, odds, back, count)


@pytest.mark.parametrize("call", [False, True])
def test_cash_dividends(call):
    dividends = [(0.2, 3.0), (0.45, 3.0), (0.9, 5.0)]  # the last after expiry
    got = lattice_price(call, 100.0, 0.5, 0.3, spot=110.0, rate=0.05, steps=50, dividends=dividends)
    at = np.linspace(0, 0.5, 51)
    cash = sum(np.where(at < when, 3.0 * np.exp(-0.05 * (when - at)), 0.0) for when in (0.2, 0.45))
    clean = escrowed_spot(110.0, 0.5, rate=0.05, dividends=dividends)
    assert clean == pytest.approx(110.0 - cash[0])
    numbers = {"spot": clean, "rate": 0.05, "dividend_yield": 0.0, "steps": 50, "cash": cash}
    assert got == pytest.approx(lattice(call, 100.0, 0.5, 0.3, **numbers), abs=1e-10)
    european = lattice_price(
        call, 100.0, 0.5, 0.3, spot=110.0, rate=0.05, steps=50, american=False, dividends=dividends
    )
    assert european == pytest.approx(lattice(call, 100.0, 0.5, 0.3, **numbers, american=False), abs=1e-10)
    assert got > european


def test_limits_without_time_or_volatility():
    assert lattice_price(True, 100.0, 0.0, 0.3, spot=105.0, rate=0.05) == 5.0
    assert lattice_price(False, 100.0, 0.0, 0.3, spot=105.0, rate=0.05) == 0.0
    assert lattice_price(False, 100.0, 1.0, 0.0, spot=90.0, rate=0.05) == pytest.approx(10.0)
    assert lattice_price(False, 100.0, 1.0, 0.0, spot=90.0, rate=0.05, american=False) == pytest.approx(
        100 * np.exp(-0.05) - 90.0
    )
    assert lattice_price(True, 100.0, 1.0, 1e-9, spot=90.0, rate=0.2) == pytest.approx(90 - 100 * np.exp(-0.2))


def test_shapes_and_bad_input():
    assert lattice_price(False, np.ones((0,)), 1.0, 0.2, spot=1.0, rate=0.0).shape == (0,)
    assert lattice_price([[False], [True]], [90.0, 110.0], 1.0, 0.2, spot=100.0, rate=0.01, steps=3).shape == (2, 2)
    with pytest.raises(InputError, match="At least 1 is needed"):
        lattice_price(False, 100.0, 1.0, 0.2, spot=100.0, rate=0.0, steps=0)
    with pytest.raises(InputError) as error:
        lattice_price(False, [100.0, -1.0, np.nan], 1.0, [0.2, -0.2, 0.2], spot=100.0, rate=0.0)
    assert {problem.where for problem in error.value.problems} == {"option 1", "option 2"}
    assert len(error.value.problems) == 3


def requirement(inputs):
    """Largest loss over the scan, volatility solved from each option's price."""
    model, scan, price = inputs["model"], inputs["scan"], inputs["underlying"]["price"]
    n = scan["points_each_side"]
    moves = np.array(
        [sign * size * i / n for sign, size in ((-1, scan["down"]), (1, scan["up"])) for i in range(1, n + 1)]
    )
    pnl = inputs["stock"]["quantity"] * inputs["stock"]["units_per_share"] * price * moves
    for leg in inputs["legs"]:
        rest = {key: model[key] for key in ("rate", "dividend_yield", "steps")}

        def value(vol, spot, leg=leg, rest=rest):
            time = leg["days_to_expiry"] / model["days_in_year"]
            return lattice_price(leg["right"] == "call", leg["strike"], time, vol, spot=spot, **rest)

        vol = brentq(lambda v, leg=leg, value=value: float(value(v, price)) - leg["price"], 0.01, 3.0)
        pnl = pnl + leg["quantity"] * inputs["multiplier"] * (value(vol, price * (1 + moves)) - leg["price"])
    contracts = sum(abs(leg["quantity"]) for leg in inputs["legs"])
    return max(-pnl.min(), inputs["minimum_per_unit"] * inputs["multiplier"] * contracts)


@pytest.mark.compiled
def test_published_portfolio_margin_cases(shared):
    lines = (shared / "cases" / "portfolio_margin.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [case for case in map(json.loads, lines) if case["inputs"].get("model", {}).get("pricer") == "crr"]
    assert cases
    for case in cases:
        expected, tolerance = case["expected"]["requirement"], case["tolerance"]
        assert requirement(case["inputs"]) == pytest.approx(expected, **tolerance), case["id"]
