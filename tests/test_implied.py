"""Implied volatilities: the kernel against its slow twin, the round trip, a status for every quote, any pricer."""

from __future__ import annotations

import math
import os
import re
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.kernels import _jit
from crossmargin.kernels import implied as kernel
from crossmargin.pricing.implied import (
    QuoteStatus,
    implied_volatility,
    implied_volatility_bid_ask,
    implied_volatility_by_pricer,
)
from tests.reference.implied_twin import elasticity, implied_total, log_ratio, time_value

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
EPSILON = np.finfo(float).eps

volatilities = st.floats(math.log(1e-3), math.log(4.0)).map(math.exp)
times = st.floats(math.log(1 / 365), math.log(10.0)).map(math.exp)
deviations = st.one_of(st.floats(-10.0, 10.0), st.just(0.0), st.floats(-1e-3, 1e-3))


def totals(forward, strike, value):
    forward, strike, value = (np.atleast_1d(np.array(v, dtype=float)) for v in (forward, strike, value))
    out = np.full(len(value), 7.0)
    kernel.implied_total_volatility(forward, strike, value, out)
    return out


# -------------------------------------------------------------------------------------------------- the kernel


@given(volatilities, times, deviations)
def test_total_volatility_comes_back_from_the_price_of_the_twin(volatility, time, deviation):
    s = volatility * math.sqrt(time)
    forward, strike = 100.0 * math.exp(deviation * s), 100.0
    value = time_value(forward, strike, s)
    assume(0.0 < value < min(forward, strike) * (1.0 - 1e-6))
    # the integral is good to 1e-13, the price is rounded; what that does to s is set by the elasticity
    allowed = 1e-12 + 4e-13 / elasticity(forward, strike, s)
    assert totals(forward, strike, value)[0] == pytest.approx(s, rel=allowed)


@given(volatilities, times, st.floats(-30.0, 30.0))
def test_the_twin_finds_the_same(volatility, time, deviation):
    s = volatility * math.sqrt(time)
    forward, strike = math.exp(deviation * s), 1.0
    value = time_value(forward, strike, s)
    assume(1e-290 < value < 0.9 * min(forward, strike))
    assert totals(forward, strike, value)[0] == pytest.approx(implied_total(forward, strike, value), rel=3e-12)


@given(st.floats(1e-9, 0.6), st.floats(-6, 6), st.floats(1e-3, 1e3))
def test_total_volatility_knows_neither_currency_nor_side(share, x, unit):
    forward, strike = 100.0 * math.exp(x), 100.0
    value = share * min(forward, strike)
    there, back, scaled = (
        totals(*quote)[0]
        for quote in ((forward, strike, value), (strike, forward, value), (unit * forward, unit * strike, unit * value))
    )
    assert there == back
    assert scaled == pytest.approx(there, rel=1e-12)


def wild_quotes(count, seed=2):
    rng = np.random.default_rng(seed)
    forward = 100.0 * np.exp(rng.normal(0, 1, count) * 10 ** rng.uniform(-4, 0.5, count))
    strike = np.full(count, 100.0)
    return forward, strike, np.minimum(forward, strike) * 10 ** rng.uniform(-12, np.log10(0.999), count)


def test_where_a_quote_stands_changes_no_bit():
    count = 40 if INTERPRETED else 1_100
    quotes = wild_quotes(count)
    whole = totals(*quotes)
    assert (whole > 0).all()
    backwards = totals(*(column[::-1] for column in quotes))[::-1]
    alone = np.array([totals(*(column[i] for column in quotes))[0] for i in range(count)])
    assert np.array_equal(whole, backwards)
    assert np.array_equal(whole, alone)


def test_the_search_finds_what_the_steps_find():
    count = 40 if INTERPRETED else 2_000
    forward, strike, value = wild_quotes(count, seed=5)
    low, root = np.minimum(forward, strike), np.sqrt(forward) * np.sqrt(strike)
    upper = value > 0.5 * low
    target = np.log(np.where(upper, low - value, value) / root)
    x = np.array([abs(log_ratio(f, k)) for f, k in zip(forward, strike, strict=True)])
    found = [
        kernel._search(np.float64(a), np.float64(b), np.float64(c), bool(d))
        for a, b, c, d in zip(x, target, value / root, upper, strict=True)
    ]
    assert np.array(found) == pytest.approx(totals(forward, strike, value), rel=2e-12)


def test_a_quote_that_the_steps_leave_unsettled_is_searched():
    forward, value = 232501632161.77994, 2.9554458919159714e-300
    scratch, upper, out = np.empty((3, kernel.BLOCK)), np.empty(kernel.BLOCK, dtype=bool), np.empty(1)
    with np.errstate(all="ignore"):  # interpreted, NumPy would warn of the overflow that makes the start poor
        kernel._prepare(np.array([forward]), np.ones(1), np.array([value]), scratch, upper, out)
        for _ in range(kernel.STEPS):
            kernel._iterate(scratch, upper, out)
        found = totals(forward, 1.0, value)[0]
    assert scratch[2, 0] > kernel.SETTLED
    assert time_value(forward, 1.0, found) == pytest.approx(value, rel=1e-9)


@pytest.mark.compiled
def test_a_price_too_small_to_be_scaled_is_not_converged():
    found = implied_volatility(1.7387395025143282e-303, 2.2e62, 1.0, 1.0, is_call=False)
    assert found.status == QuoteStatus.NOT_CONVERGED
    assert np.isnan(found.volatility)


def test_a_search_without_an_answer_says_so():
    assert math.isnan(kernel._search(np.float64(1.0), np.float64(np.nan), np.float64(0.1), False))


def test_prices_at_the_ends_of_the_doubles():
    forward, strike = np.array([1e-150, 1e150, 100.0]), np.array([1e-150, 1e150, 100.0])
    value = forward * np.array([0.1, 0.1, 1e-300])
    found = totals(forward, strike, value)
    assert found[0] == found[1] == pytest.approx(totals(1.0, 1.0, 0.1)[0], rel=1e-14)
    assert found[2] == pytest.approx(1e-300 * math.sqrt(2 * math.pi), rel=1e-12)
    # the largest price short of the limit, and the smallest there is far out of the money
    assert 16.0 < totals(100.0, 100.0, np.nextafter(100.0, 0.0))[0] < 18.0
    assert time_value(100.0, 300.0, totals(100.0, 300.0, 1e-305)[0]) == pytest.approx(1e-305, rel=1e-10)
    assert kernel._search(np.float64(0.0), np.log(1e-300), np.float64(1e-300), False) == pytest.approx(
        found[2], rel=1e-12
    )


@pytest.mark.compiled
@pytest.mark.parametrize(("loop", "signature"), [("_prepare", 6), ("_iterate", 3)])
def test_the_loops_are_vectors_and_call_no_mathematics(loop, signature):
    dispatcher = getattr(kernel, loop)
    assert len(dispatcher.signatures[0]) == signature
    # compiled anew: code that comes from the disk cache cannot be inspected
    fresh = _jit.njit(dispatcher.signatures[0], **_jit.FLAGS)(dispatcher.py_func)
    (text,) = fresh.inspect_llvm().values()
    assert re.search(r"fmul <\d+ x double>", text)
    assert re.search(r"fdiv <\d+ x double>", text)
    assert re.search(r"call[^\n]*@(exp|log|erf|erfc|pow|llvm\.(exp|log|pow)[.\w]*)\(", text) is None


@pytest.mark.compiled
def test_the_kernel_has_one_signature():
    with pytest.raises(TypeError):
        kernel.implied_total_volatility(*(np.ones(3, dtype=np.float32) for _ in range(4)))
    assert len(kernel.implied_total_volatility.signatures) == 1


# -------------------------------------------------------------------------------------------------- round trips


@given(volatilities, times, deviations, st.booleans(), st.floats(0.5, 1.05))
def test_the_price_comes_back_to_the_last_digit_of_the_forward(volatility, time, deviation, is_call, discount):
    s = volatility * math.sqrt(time)
    forward, strike = 100.0 * math.exp(deviation * s), 100.0
    intrinsic = max(forward - strike if is_call else strike - forward, 0.0)
    price = discount * (intrinsic + time_value(forward, strike, s))
    found = implied_volatility(price, forward, strike, time, discount=discount, is_call=is_call)
    if found.status == QuoteStatus.SOLVED:
        value = time_value(forward, strike, float(found.volatility) * math.sqrt(time))
        # the twin's own error counts with the time value; what is left is the rounding of price and intrinsic value
        allowed = 1e-15 * max(forward, strike) + 2e-13 * value
        assert abs(discount * (intrinsic + value) - price) <= allowed
        if intrinsic == 0.0 and price < 0.5 * discount * min(forward, strike):
            assert found.volatility == pytest.approx(volatility, rel=1e-12)
    else:
        assert math.isnan(found.volatility)
        hopeless = {QuoteStatus.NO_TIME_VALUE, QuoteStatus.ABOVE_MAXIMUM}
        assert QuoteStatus(int(found.status)) in hopeless
        assert intrinsic > 0.0 or price == 0.0 or price >= discount * forward * (1 - 4 * EPSILON)


@given(st.floats(1.0, 20.0), st.floats(0.0, 5.0), st.floats(60.0, 160.0))
def test_bid_mid_and_ask_keep_their_order(bid, spread, strike):
    sides = implied_volatility_bid_ask(
        bid, bid + spread, forward=100.0, strike=strike, time=0.5, is_call=strike > 100.0
    )
    assert sides.ask.solved
    assert sides.bid.volatility <= sides.mid.volatility <= sides.ask.volatility


# ----------------------------------------------------------------------------------------------------- statuses

NAN, INFINITY = math.nan, math.inf

STATUSES = [
    # price, forward, strike, time, discount, is_call, status
    (8.0, 100.0, 100.0, 1.0, 1.0, True, QuoteStatus.SOLVED),
    (9.99, 110.0, 100.0, 1.0, 1.0, True, QuoteStatus.BELOW_INTRINSIC),
    (-0.01, 90.0, 100.0, 1.0, 1.0, True, QuoteStatus.BELOW_INTRINSIC),
    (10.0, 110.0, 100.0, 1.0, 1.0, True, QuoteStatus.NO_TIME_VALUE),
    (9.0, 110.0, 100.0, 1.0, 0.9, True, QuoteStatus.NO_TIME_VALUE),
    (0.0, 90.0, 100.0, 1.0, 1.0, True, QuoteStatus.NO_TIME_VALUE),
    (-0.0, 90.0, 100.0, 1.0, 1.0, True, QuoteStatus.NO_TIME_VALUE),
    (100.0, 100.0, 90.0, 1.0, 1.0, True, QuoteStatus.ABOVE_MAXIMUM),
    (90.0, 100.0, 90.0, 1.0, 1.0, False, QuoteStatus.ABOVE_MAXIMUM),
    (1e300, 100.0, 90.0, 1.0, 1.0, False, QuoteStatus.ABOVE_MAXIMUM),
    (NAN, 100.0, 100.0, 1.0, 1.0, True, QuoteStatus.NOT_A_NUMBER),
    (8.0, NAN, 100.0, 1.0, 1.0, True, QuoteStatus.NOT_A_NUMBER),
    (8.0, 100.0, INFINITY, 1.0, 1.0, True, QuoteStatus.NOT_A_NUMBER),
    (8.0, 100.0, 100.0, -INFINITY, 1.0, True, QuoteStatus.NOT_A_NUMBER),
    (8.0, -100.0, 100.0, NAN, 1.0, True, QuoteStatus.NOT_A_NUMBER),
    (8.0, 100.0, 100.0, 0.0, 1.0, True, QuoteStatus.NON_POSITIVE_INPUT),
    (8.0, 100.0, 100.0, -0.1, 1.0, True, QuoteStatus.NON_POSITIVE_INPUT),
    (8.0, 0.0, 100.0, 1.0, 1.0, True, QuoteStatus.NON_POSITIVE_INPUT),
    (8.0, 100.0, -5.0, 1.0, 1.0, True, QuoteStatus.NON_POSITIVE_INPUT),
    (8.0, 100.0, 100.0, 1.0, 0.0, True, QuoteStatus.NON_POSITIVE_INPUT),
]


def test_every_quote_has_a_volatility_or_a_reason():
    price, forward, strike, time, discount, is_call, status = (np.array(c) for c in zip(*STATUSES, strict=True))
    found = implied_volatility(price, forward, strike, time, discount=discount, is_call=is_call)
    assert found.status.tolist() == status.tolist()
    assert np.array_equal(np.isfinite(found.volatility), found.solved)
    assert found.counts()[QuoteStatus.NOT_A_NUMBER] == 5
    alone = [implied_volatility(*q[:4], discount=q[4], is_call=q[5]).status for q in STATUSES]
    assert [int(s) for s in alone] == status.tolist()


def test_a_search_that_fails_is_a_status(monkeypatch):
    monkeypatch.setattr("crossmargin.pricing.implied._total_volatility", lambda *a: np.full(len(a[0]), np.nan))
    assert implied_volatility(8.0, 100.0, 100.0, 1.0).status == QuoteStatus.NOT_CONVERGED


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 3)])
def test_results_have_the_shape_of_the_quotes(shape):
    found = implied_volatility(np.full(shape, 8.0), 100.0, np.full(shape, 100.0), 1.0)
    assert found.volatility.shape == found.status.shape == shape
    at_the_money = 2.0 * NormalDist().inv_cdf(0.54)  # 100 (2 N(s / 2) - 1) = 8
    assert found.volatility == pytest.approx(np.full(shape, at_the_money), rel=1e-12)


def test_shapes_and_kinds_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"forward \(3,\)"):
        implied_volatility([1.0, 2.0], [100.0] * 3, 100.0, 1.0)
    with pytest.raises(InputError) as both:
        implied_volatility("eight", "hundred", 100.0, 1.0)
    assert len(both.value.problems) == 2


# --------------------------------------------------------------------------------------------------- any pricer


def tree_price(volatility, spot=100.0, strike=100.0, time=0.25, rate=0.05):
    """American put on a Cox-Ross-Rubinstein tree of 60 steps."""
    steps = 60
    step = time / steps
    up = math.exp(volatility * math.sqrt(step))
    p = (math.exp(rate * step) - 1 / up) / (up - 1 / up)
    prices = spot * up ** (2.0 * np.arange(steps + 1) - steps)
    value = np.maximum(strike - prices, 0.0)
    for n in range(steps - 1, -1, -1):
        prices = spot * up ** (2.0 * np.arange(n + 1) - n)
        value = np.maximum(strike - prices, math.exp(-rate * step) * (p * value[1:] + (1 - p) * value[:-1]))
    return float(value[0])


def test_american_volatilities_on_a_tree():
    strikes, wanted = np.array([90.0, 100.0, 104.0, 150.0]), np.array([0.3, 0.2, 0.15, 0.2])
    calls = []

    def pricer(volatility):
        calls.append(1)
        return np.array([tree_price(v, strike=k) for v, k in zip(volatility, strikes, strict=True)])

    found = implied_volatility_by_pricer(pricer(wanted), pricer, lowest=0.01)
    assert found.volatility[:3] == pytest.approx(wanted[:3], rel=1e-11)
    assert QuoteStatus(found.status[3]) is QuoteStatus.NO_TIME_VALUE, "exercised at once: any volatility fits"
    assert len(calls) < 40


@given(st.floats(0.011, 4.9), st.floats(0.5, 6.0))
def test_any_increasing_function_is_inverted(volatility, power):
    found = implied_volatility_by_pricer([volatility**power], lambda v: v**power, lowest=0.01)
    assert found.volatility == pytest.approx([volatility], rel=1e-11)


def test_a_pricer_with_a_step_ends_at_the_step():
    found = implied_volatility_by_pricer([0.5], lambda v: np.where(v < 0.3, 0.0, 1.0))
    assert found.volatility == pytest.approx([0.3], rel=1e-12)


def test_statuses_with_a_pricer():
    found = implied_volatility_by_pricer([0.5, 0.0, 99.0, NAN, 1.0], lambda v: 1.0 + v, lowest=0.1)
    names = [QuoteStatus(s).name for s in found.status]
    assert names == ["BELOW_INTRINSIC", "BELOW_INTRINSIC", "ABOVE_MAXIMUM", "NOT_A_NUMBER", "BELOW_INTRINSIC"]
    assert np.isnan(found.volatility).all()
    assert implied_volatility_by_pricer(1.1, lambda v: 1.0 + v, lowest=0.1).status == QuoteStatus.NO_TIME_VALUE
    assert implied_volatility_by_pricer([], lambda v: v).volatility.shape == (0,)


@pytest.mark.parametrize("lost", [-1e-12, 0.0, 1e-12])
def test_what_a_tree_loses_to_rounding_is_no_time_value(lost):
    found = implied_volatility_by_pricer([20.0, 0.5], lambda v: np.array([20.0 + 20 * lost, v[1]]), lowest=0.01)
    assert [QuoteStatus(status).name for status in found.status] == ["NO_TIME_VALUE", "SOLVED"]


def test_a_pricer_that_fails_inside_is_survived():
    found = implied_volatility_by_pricer([0.5], lambda v: np.where((v > 0.01) & (v < 0.2), np.nan, v), lowest=0.01)
    assert found.volatility == pytest.approx([0.5], rel=1e-11)


def test_a_search_with_too_few_calls_says_so(monkeypatch):
    monkeypatch.setattr("crossmargin.pricing.implied.MOST_CALLS", 3)
    found = implied_volatility_by_pricer([0.5], lambda v: v**3)
    assert found.status.tolist() == [QuoteStatus.NOT_CONVERGED]


@pytest.mark.parametrize(("lowest", "highest"), [(0.0, 1.0), (1.0, 1.0), (0.1, INFINITY), (NAN, 1.0)])
def test_bounds_that_bound_nothing_are_refused(lowest, highest):
    with pytest.raises(InputError, match="increasing positive"):
        implied_volatility_by_pricer([1.0], lambda v: v, lowest=lowest, highest=highest)


def test_a_pricer_of_another_shape_is_refused():
    with pytest.raises(InputError, match="one price a quote"):
        implied_volatility_by_pricer([1.0, 2.0], lambda v: v[:1])
