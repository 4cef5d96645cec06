"""American options: twins, an independent library, laws, limits, and what the compiled code looks like."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.kernels import premium_table as premium_kernels
from crossmargin.pricing import american
from crossmargin.pricing.american import american_price, american_values, lattice_price, premium_table
from tests.reference import american_twin as twin

ROOT = Path(__file__).resolve().parents[1]
compiled = pytest.mark.compiled
rates = st.one_of(st.just(0.0), st.floats(0.001, 0.1))
vols, times, spots = st.floats(0.06, 1.0), st.floats(0.01, 3.0), st.floats(60, 160)


def european(call, strike, time, vol, **numbers):
    """The European twin, by a lattice-free formula."""
    s, r, q = numbers["spot"], numbers["rate"], numbers["dividend_yield"]
    put = strike * american.european_put(np.log(s / strike), r, q, vol=vol, time=time)
    return put + s * np.exp(-q * time) - strike * np.exp(-r * time) if call else put


# ------------------------------------------------------------------------------------------------------- twins


@pytest.mark.parametrize(
    ("put", "by_value"),
    [
        ((0.05, 0.02, 0.3, 0.7), False),
        ((0.02, 0.06, 0.2, 2.0), False),
        ((0.08, 0.0, 0.09, 1.5), True),
        ((1e-6, 0.0, 0.4, 1.0), False),
    ],
)
def test_boundary_and_premium_are_those_of_the_twin(put, by_value):
    numbers = [np.array([n]) for n in put]
    puts, squares = american.solve_boundaries(*numbers)
    rule = american._rule()
    expected = twin.boundary(rule, puts[:, 0], by_value, american.SWEEPS)
    assert squares[:, 0] == pytest.approx(expected, rel=1e-8, abs=1e-12)
    edge = puts[4, 0] - np.sqrt(squares[0, 0])
    x = edge + np.array([[0.01], [0.1], [0.4]])
    got = american.integrate_premiums(puts, squares, x)[:, 0]
    assert got == pytest.approx([twin.premium(rule, puts[:, 0], expected, float(at)) for at in x[:, 0]], abs=1e-9)


@compiled
@given(st.booleans(), st.sampled_from([0.02, 0.3, 1.7]), spots, st.floats(0.01, 2.5))
def test_table_prices_are_those_of_the_twin(call, time, spot, vol):
    table = premium_table(call, time, rate=0.04, dividend_yield=0.02)
    expected = twin.table_price(table, 100.0, spot, vol)
    got = american_values(call, 100.0, time, vol, spot=[spot], rate=0.04, dividend_yield=0.02)[0, 0]
    if np.isnan(expected):
        assert got == american_price(call, 100.0, time, vol, spot=spot, rate=0.04, dividend_yield=0.02)
    else:
        assert got == pytest.approx(expected, abs=1e-10)


def test_small_cases_run_interpreted():
    code = (
        "import numpy as np; from crossmargin.pricing.american import *; "
        "print(float(american_price(False, 100.0, 0.5, 0.25, spot=95.0, rate=0.04)), "
        "float(lattice_price(True, 100.0, 0.5, 0.25, spot=95.0, rate=0.04, steps=9)))"
    )
    outputs = []
    for disabled in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
        outputs.append([float(word) for word in done.stdout.split()])
    assert outputs[0] == pytest.approx(outputs[1], rel=1e-12)


# ----------------------------------------------------------------------------------------- an independent library


def random_options(n, seed):
    rng = np.random.default_rng(seed)
    rate, paid = rng.uniform(0.001, 0.1, (2, n))
    paid[: n // 4] = 0.0
    paid[n // 4 : n // 3] = rate[n // 4 : n // 3]
    days = np.round(np.exp(rng.uniform(0, np.log(1095), n)))
    vol = np.exp(rng.uniform(np.log(0.05), np.log(1.2), n))
    return rng.uniform(60, 160, n), days, vol, rate, paid


def quantlib_prices(call, spot, days, vol, **numbers):
    ql = pytest.importorskip("QuantLib")
    today, count = ql.Date(15, 1, 2024), ql.Actual365Fixed()
    ql.Settings.instance().evaluationDate = today
    quotes = [ql.SimpleQuote(1.0) for _ in range(4)]
    s, v, r, q = (ql.QuoteHandle(quote) for quote in quotes)
    curves = [ql.YieldTermStructureHandle(ql.FlatForward(today, quote, count)) for quote in (q, r)]
    surface = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), v, count))
    process = ql.BlackScholesMertonProcess(s, *curves, surface)
    engine = ql.QdFpAmericanEngine(process, ql.QdFpAmericanEngine.highPrecisionScheme())
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, 100.0)
    out = []
    for row in zip(spot, vol, numbers["rate"], numbers["paid"], days, strict=True):
        for quote, value in zip(quotes, row[:4], strict=True):
            quote.setValue(float(value))
        option = ql.VanillaOption(payoff, ql.AmericanExercise(today, today + int(row[4])))
        option.setPricingEngine(engine)
        out.append(option.NPV())
    return np.array(out)


@compiled
@pytest.mark.parametrize("call", [False, True])
def test_fresh_and_table_prices_agree_with_quantlib_high_precision(call):
    spot, days, vol, rate, paid = random_options(120, 4)
    expected = quantlib_prices(call, spot, days, vol, rate=rate, paid=paid)
    got = american_price(call, 100.0, days / 365, vol, spot=spot, rate=rate, dividend_yield=paid)
    assert np.abs(got - expected).max() < 1e-4
    assert np.sqrt(np.mean((got - expected) ** 2)) < 2e-5
    by_table = [
        american_values(call, 100.0, days[n] / 365, vol[n], spot=spot[n], rate=rate[n], dividend_yield=paid[n])[0, 0]
        for n in range(0, 120, 4)
    ]
    assert np.abs(by_table - expected[::4]).max() < 2e-4


@compiled
@pytest.mark.parametrize("call", [False, True])
@pytest.mark.parametrize(("rate", "paid"), [(0.04, 0.015), (0.1, 0.0), (0.01, 0.05), (0.05, 0.05), (0.08, 0.02)])
@pytest.mark.parametrize("time", [1 / 365, 0.25, 3.0])
def test_the_table_agrees_with_the_solver_inside_and_outside(call, rate, paid, time):
    rng = np.random.default_rng(7)
    vol = np.exp(rng.uniform(np.log(0.02), np.log(2.5), 600))
    spot = 100 * np.exp(np.clip(rng.normal(0, 1.2, 600) * vol * np.sqrt(time), -0.9, 0.9))
    table = american_values(call, 100.0, time, 1.0, spot=spot, rate=rate, dividend_yield=paid, volatility_scale=vol)[0]
    fresh = american_price(call, 100.0, time, vol, spot=spot, rate=rate, dividend_yield=paid)
    assert (np.abs(table - fresh) / np.maximum(spot, 100.0)).max() < 2e-6


# -------------------------------------------------------------------------------------------------------- laws


@compiled
@given(st.booleans(), spots, times, vols, rates, rates)
def test_never_below_european_or_intrinsic_and_symmetric(call, spot, time, vol, r, q):
    got = american_price(call, 100.0, time, vol, spot=spot, rate=r, dividend_yield=q)
    assert got >= european(call, 100.0, time, vol, spot=spot, rate=r, dividend_yield=q) - 1e-11
    assert got >= max(spot - 100.0 if call else 100.0 - spot, 0.0)
    mirrored = american_price(not call, spot, time, vol, spot=100.0, rate=q, dividend_yield=r)
    assert got == pytest.approx(mirrored, abs=1e-10)
    doubled = american_price(call, 200.0, time, vol, spot=2 * spot, rate=r, dividend_yield=q)
    assert doubled == pytest.approx(2 * got, abs=1e-9)


@compiled
@given(st.booleans(), times, vols, rates, rates)
def test_monotone_and_convex(call, time, vol, r, q):
    sign, noise = (1.0 if call else -1.0), 1e-4
    spot = np.linspace(60, 160, 41)
    prices = american_price(call, 100.0, time, vol, spot=spot, rate=r, dividend_yield=q)
    assert (sign * np.diff(prices) > -noise).all()
    strikes = american_price(call, spot, time, vol, spot=100.0, rate=r, dividend_yield=q)
    assert (sign * np.diff(strikes) < noise).all()
    assert (np.diff(strikes, 2) > -2 * noise).all()
    higher = american_price(call, 100.0, time, vol * 1.1, spot=spot, rate=r, dividend_yield=q)
    longer = american_price(call, 100.0, time * 1.2, vol, spot=spot, rate=r, dividend_yield=q)
    assert (higher > prices - noise).all()
    assert (longer > prices - noise).all()


@compiled
@given(spots, times, vols, rates)
def test_without_a_reason_to_exercise_it_is_european(spot, time, vol, other):
    put = american_price(False, 100.0, time, vol, spot=spot, rate=0.0, dividend_yield=other)
    call = american_price(True, 100.0, time, vol, spot=spot, rate=other, dividend_yield=0.0)
    numbers = {"spot": spot}
    assert put == pytest.approx(
        max(european(False, 100.0, time, vol, **numbers, rate=0.0, dividend_yield=other), 100.0 - spot), abs=1e-11
    )
    assert call == pytest.approx(
        max(european(True, 100.0, time, vol, **numbers, rate=other, dividend_yield=0.0), spot - 100.0), abs=1e-11
    )
    assert american_values(True, 100.0, time, vol, spot=[spot], rate=other)[0, 0] == pytest.approx(call, abs=1e-10)


@compiled
def test_in_the_exercise_region_the_price_is_intrinsic():
    spot = np.array([10.0, 40.0, 60.0])
    assert (american_values(False, 100.0, 1.0, 0.2, spot=spot, rate=0.05)[0] == 100.0 - spot).all()
    assert (american_price(False, 100.0, 1.0, 0.2, spot=spot, rate=0.05) == 100.0 - spot).all()


@compiled
def test_a_price_does_not_depend_on_its_neighbours():
    spot, days, vol, rate, paid = random_options(150, 8)
    numbers = {"rate": rate, "dividend_yield": paid}
    whole = american_price(False, 100.0, days / 365, vol, spot=spot, **numbers)
    backwards = american_price(
        False, 100.0, days[::-1] / 365, vol[::-1], spot=spot[::-1], rate=rate[::-1], dividend_yield=paid[::-1]
    )
    assert np.array_equal(whole, backwards[::-1])
    rows = american_values([False, True], 100.0, 0.5, 0.3, spot=spot, rate=0.04, dividend_yield=0.02)
    for cut in (1, 7, 64, 149):
        parts = [
            american_values([False, True], 100.0, 0.5, 0.3, spot=part, rate=0.04, dividend_yield=0.02)
            for part in (spot[:cut], spot[cut:])
        ]
        assert np.array_equal(rows, np.hstack(parts))


# ------------------------------------------------------------------------------------------ limits and bad input


def test_without_time_or_volatility():
    assert american_price(False, 100.0, 0.0, 0.3, spot=95.0, rate=0.05) == pytest.approx(5.0)
    assert american_price(True, 100.0, 1.0, 0.0, spot=95.0, rate=0.1) == pytest.approx(95 - 100 * np.exp(-0.1))
    got = american_price(True, 100.0, 5.0, 0.0, spot=100.0, rate=0.08, dividend_yield=0.02)
    at = np.linspace(0, 5, 5001)
    assert got == pytest.approx((100 * np.exp(-0.02 * at) - 100 * np.exp(-0.08 * at)).max(), abs=1e-4)
    assert american_values(False, 100.0, 0.0, 0.3, spot=[95.0, 105.0], rate=0.05).tolist() == [
        pytest.approx([5.0, 0.0])
    ]


@compiled
def test_negative_rates():
    numbers = {"spot": 95.0, "rate": -0.01, "dividend_yield": -0.03}
    assert (
        american_price(False, 100.0, 1.0, 0.2, **numbers)
        == lattice_price(
            False, 1.0, 1.0, 0.2, **{**numbers, "spot": np.exp(np.log(0.95))}, steps=american.FALLBACK_STEPS
        )
        * 100.0
    )
    assert np.array_equal(
        american_values(False, 100.0, 1.0, 0.2, **{**numbers, "spot": [95.0]})[0, :1],
        [american_price(False, 100.0, 1.0, 0.2, **numbers)],
    )
    for rate, paid in ((-0.01, 0.0), (0.0, -0.02), (0.03, -0.02)):
        got = american_price(False, 100.0, 1.0, 0.3, spot=95.0, rate=rate, dividend_yield=paid)
        tree = lattice_price(False, 100.0, 1.0, 0.3, spot=95.0, rate=rate, dividend_yield=paid, steps=801)
        assert got == pytest.approx(tree, abs=2e-2)


@given(st.booleans(), st.floats(-0.05, 0.05), st.floats(-0.05, 0.05), st.floats(0.0, 2.0), st.floats(0.0, 0.6))
def test_two_boundaries_are_told(call, rate, paid, time, vol):
    method = american.american_method(call, time, vol, rate=rate, dividend_yield=paid).item()
    least, middle = (rate, paid) if call else (paid, rate)
    moves = vol * np.sqrt(time) >= american.STILL
    assert (method == "lattice") == (least < middle < 0.0 and moves)
    assert (method == "still") == (not moves)
    assert (method == "european") == (moves and middle <= 0.0 and least >= middle)


@compiled
def test_extreme_numbers_stay_finite():
    rng = np.random.default_rng(0)
    numbers = {
        "spot": 100 * np.exp(rng.normal(0, 1.0, 3000)),
        "rate": np.exp(rng.uniform(-14, -1.5, 3000)),
        "dividend_yield": np.exp(rng.uniform(-14, -1.5, 3000)),
    }
    time, vol = np.exp(rng.uniform(-9, 2, 3000)), np.exp(rng.uniform(-9, 1.5, 3000))
    for call in (False, True):
        got = american_price(call, 100.0, time, vol, **numbers)
        assert np.isfinite(got).all()
        assert (got <= np.where(call, numbers["spot"], 100.0) * 1.0000001).all()


def test_every_bad_row_is_named():
    with pytest.raises(InputError) as error:
        american_price(False, [100.0, 0.0, 100.0], [1.0, 1.0, -1.0], 0.2, spot=[np.inf, 1.0, 1.0], rate=0.0)
    assert [problem.where for problem in error.value.problems] == ["option 1", "option 2", "option 0"]
    with pytest.raises(InputError) as error:
        american_values(False, 100.0, 1.0, 0.2, spot=[1.0, np.nan, 1.0], rate=0.0, volatility_shift=[0, 0, -0.3])
    assert [problem.where for problem in error.value.problems] == ["scenario 1", "scenario 2"]


@pytest.mark.slow_interpreted
def test_nothing_in_nothing_out():
    assert american_price(False, [], 1.0, 0.2, spot=1.0, rate=0.01).shape == (0,)
    assert american_values(False, [], 1.0, 0.2, spot=[1.0, 2.0], rate=0.01).shape == (0, 2)
    assert american_values(False, [1.0, 2.0], 1.0, 0.2, spot=[], rate=0.01).shape == (2, 0)


@pytest.mark.parametrize("count", [1, 4, 7])
def test_blended_rows_are_cubics_of_four(count):
    rng = np.random.default_rng(count)
    table, between = rng.normal(size=(5, 16)), rng.uniform(size=8)
    rows, mixed = rng.integers(0, 5, 8).astype(np.int32), np.full((4, 8), np.nan)
    premium_kernels._blend_rows(mixed, between, table, rows, count)
    expected = np.einsum("pn,npl->ln", between ** np.arange(4)[:, None], table[rows].reshape(8, 4, 4))
    done = -(-count // 4) * 4
    assert mixed[:, :done] == pytest.approx(expected[:, :done], rel=1e-14, abs=1e-14)
    assert np.isnan(mixed[:, done:]).all()


# ------------------------------------------------------------------------------------------------ compiled code

LOOK = r"""
import re
from crossmargin.kernels import american, lattice, premium_table as table
for kernel in (american._add_slope, american._add_value, american._add_premium, american._start_step,
               lattice._two_steps, lattice._value_eight, table._coordinates, table._columns, table._price,
               table._blend_rows):
    code = next(iter(kernel.inspect_llvm().values()))
    packed, calls = r"(?:fmul|fma\.v[0-9]+f64\(|fdiv|fsub) ?<[0-9]+ x double>", r"call double @(exp|erf)"
    print(kernel.__name__, len(re.findall(packed, code)), len(re.findall(calls, code)))
"""


@compiled
def test_hot_loops_are_vectors_and_call_nothing(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}  # code from the cache cannot be inspected
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    rows = re.findall(r"(\w+) (\d+) (\d+)", done.stdout)
    assert len(rows) == 10
    for name, packed, calls in rows:
        assert int(packed) >= (2 if name == "_columns" else 4), name
        assert name == "_price" or int(calls) == 0, name
