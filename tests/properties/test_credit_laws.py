"""Laws of credit default swaps: opposites cancel, hazards are not negative, everything is monotone in spread."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.errors import NumericalError
from crossmargin.pricing.credit import DiscountCurve, HazardCurve, flat_hazard, hazard_curve, legs, upfront_from_spread
from crossmargin.products.security_based import CreditDefaultSwap, standard_maturity
from crossmargin.uncleared import exposures
from tests.properties.swap_books import BOOK, inputs_of, pool_of

days = st.dates(date(2016, 1, 4), date(2060, 1, 1))
rates = st.floats(-0.01, 0.15)
recoveries = st.floats(0.0, 0.9)
spreads = st.floats(0.0, 0.5)
tenors = st.sampled_from([0.5, 1, 3, 5, 7, 10])
close = {"rel": 1e-9, "abs": 1e-12}


@st.composite
def flat_markets(draw):
    """A swap and the curve that discounts it."""
    day = draw(days)
    coupon, recovery = draw(st.sampled_from([0.0, 0.01, 0.05])), draw(recoveries)
    swap = CreditDefaultSwap("A", coupon, standard_maturity(day, draw(tenors)), recovery=recovery)
    return swap, DiscountCurve(day, [1.0, 30.0], [[draw(rates)], [draw(rates)]])


@given(flat_markets(), spreads)
def test_a_hazard_rate_is_not_negative_and_reprices_the_spread(market, spread):
    swap, discount = market
    curve = hazard_curve([swap.maturity], [spread], discount, recovery=swap.recovery)
    assert (curve.hazards >= 0).all()
    assert legs(swap, curve, discount).par_spread[0] == pytest.approx(spread, **close)


@given(flat_markets(), spreads, st.floats(1e-4, 0.2))
def test_protection_gains_when_spreads_widen(market, spread, wider):
    swap, discount = market
    low, high = upfront_from_spread(swap, [spread, spread + wider], discount)
    assert low < high


@given(flat_markets(), spreads)
def test_upfront_has_the_sign_of_spread_less_coupon_and_bounds(market, spread):
    swap, discount = market
    upfront = upfront_from_spread(swap, spread, discount)[0]
    assert upfront * (spread - swap.coupon) >= -1e-14
    assert upfront <= (1 - swap.recovery) * 1.3


@given(flat_markets(), spreads)
def test_upfront_back_to_the_same_hazard(market, spread):
    swap, discount = market
    curve = hazard_curve([swap.maturity], [spread], discount, recovery=swap.recovery)
    again = flat_hazard(swap, legs(swap, curve, discount).upfront, discount)
    np.testing.assert_allclose(again.hazards, curve.hazards, rtol=1e-7, atol=1e-10)


@settings(max_examples=50)
@given(days, st.lists(spreads, min_size=3, max_size=3), rates)
def test_a_curve_reprices_its_quotes_or_says_which_it_cannot(day, quotes, rate):
    discount = DiscountCurve(day, [30.0], [[rate]])
    maturities = [standard_maturity(day, years) for years in (1, 5, 10)]
    try:
        curve = hazard_curve(maturities, quotes, discount)
    except NumericalError as error:
        fall, rise = "negative hazard rate" in str(error), "more than any" in str(error)
        steps = [right - left for left, right in pairwise(quotes)]
        assert (fall and min(steps) < 0) or (rise and max(steps) > 0)
        return
    assert (curve.hazards >= 0).all()
    found = [legs(CreditDefaultSwap("A", 0.05, each), curve, discount).par_spread[0] for each in maturities]
    np.testing.assert_allclose(found, quotes, rtol=1e-8, atol=1e-12)


@given(flat_markets(), st.floats(0, 2), st.floats(0, 2))
def test_survival_falls_with_time_and_hazard(market, hazard, more):
    _, discount = market
    times = np.linspace(0, 20, 9)
    low, high = (HazardCurve(discount.as_of, [1.0], [[each]]).survival(times)[:, 0] for each in (hazard, hazard + more))
    assert low[0] == 1.0
    assert (np.diff(low) <= 0).all()
    assert (high <= low).all()


@given(flat_markets(), spreads)
def test_splitting_a_hazard_curve_changes_nothing(market, spread):
    swap, discount = market
    curve = hazard_curve([swap.maturity], [spread], discount, recovery=swap.recovery)
    hazard = curve.hazards[0]
    split = HazardCurve(discount.as_of, [0.3, 1.7, 40.0], [hazard, hazard, hazard])
    for name in ("protection", "annuity", "upfront"):
        ours, theirs = getattr(legs(swap, curve, discount), name), getattr(legs(swap, split, discount), name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


@given(flat_markets(), spreads)
def test_default_leaves_the_loss_less_what_was_accrued(market, spread):
    swap, discount = market
    found = legs(swap, hazard_curve([swap.maturity], [spread], discount, recovery=swap.recovery), discount)
    left = found.value + found.jump_to_default
    assert left[0] == pytest.approx(1 - swap.recovery - swap.coupon * found.accrued, abs=1e-12)
    assert found.annuity[0] > 0
    assert found.protection[0] >= 0


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(BOOK), st.floats(-1e8, 1e8)), max_size=5))
def test_a_position_and_its_opposite_are_worth_nothing(held):
    pool = pool_of(*held, *((product, -quantity) for product, quantity in held))
    found, gaps = exposures(pool.positions, inputs_of(pool))
    assert not gaps
    assert sum(each.value for each in found[: len(held)]) == -sum(each.value for each in found[len(held) :])
