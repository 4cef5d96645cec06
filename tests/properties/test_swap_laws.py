"""Laws of swaps: the two sides cancel, money scales, par is worth nothing, schedules may be cut anywhere."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from crossmargin.pricing.swap_curve import bootstrap, spot_swap
from crossmargin.pricing.swaps import SwapCurves, netted_swap_book, par_rates, pv01, swap_book, swap_values
from crossmargin.products.schedules import ADJUSTMENTS, DAY_COUNTS, Convention, schedule
from crossmargin.products.swaps import BasisSwap, FloatingLeg, ForwardRateAgreement, InterestRateSwap, OvernightSwap

AS_OF = date(2026, 6, 30)
KNOTS = np.array([0.5, 1.0, 2.0, 5.0, 10.0, 30.0])
INDEX = "TERM-SOFR-3M"

sides = st.sampled_from(["pay", "receive"])
rates = st.floats(-0.02, 0.15)
spreads = st.floats(-0.01, 0.01)
levels = st.lists(st.floats(-0.01, 0.15), min_size=len(KNOTS), max_size=len(KNOTS))
conventions = st.builds(
    Convention,
    st.sampled_from([0, 1, 3, 6, 12]),
    st.sampled_from(DAY_COUNTS),
    st.integers(0, 3),
    adjustment=st.sampled_from(ADJUSTMENTS),
)


@st.composite
def lives(draw):
    """Start from today on, so that no fixing is needed, and at least a month."""
    start = AS_OF + timedelta(days=draw(st.integers(5, 1500)))
    return {"start": start, "maturity": start + timedelta(days=draw(st.integers(32, 4000)))}


@st.composite
def steps(draw, life):
    days = draw(st.lists(st.integers(1, 3000), max_size=3, unique=True).map(sorted))
    return tuple((life["start"] + timedelta(days=day), draw(st.floats(0.0, 2.0))) for day in days)


@st.composite
def fixed_rate_swaps(draw):
    life = draw(lives())
    kind = draw(st.sampled_from([OvernightSwap, InterestRateSwap, ForwardRateAgreement]))
    if kind is ForwardRateAgreement:
        return kind(draw(sides), draw(rates), life["start"], life["start"] + timedelta(days=draw(st.integers(1, 400))))
    terms = {**life, "steps": draw(steps(life)), "spread": draw(spreads)}
    return kind(draw(sides), draw(rates), **terms, fixed=draw(conventions), floating=draw(conventions))


@st.composite
def curves(draw):
    zeros, other = (np.array(draw(levels))[:, None] for _ in range(2))
    return SwapCurves(KNOTS, zeros, {INDEX: (KNOTS, other)} if draw(st.booleans()) else {})


def values(swaps, under):
    return swap_values(swap_book(swaps, AS_OF, projections=under.projections), under)[:, 0]


@given(fixed_rate_swaps(), curves())
def test_payer_and_receiver_cancel_to_the_last_bit(swap, under):
    pay, receive = values([evolve(swap, side="pay"), evolve(swap, side="receive")], under)
    assert pay == -receive


@given(fixed_rate_swaps(), curves(), st.floats(1e-3, 1e12))
def test_value_is_linear_in_notional_and_quantity(swap, under, size):
    larger = evolve(swap, notional=size)
    if not isinstance(swap, ForwardRateAgreement):
        larger = evolve(larger, steps=tuple((day, size * amount) for day, amount in swap.steps))
    one, many = values([swap, larger], under)
    assert many == pytest.approx(size * one, rel=1e-9, abs=1e-11 * size)
    held = netted_swap_book([swap], [size], AS_OF, projections=under.projections)
    assert swap_values(held, under)[0, 0] == pytest.approx(size * one, rel=1e-9, abs=1e-11 * size)


@given(fixed_rate_swaps(), curves())
def test_at_its_par_rate_a_swap_is_worth_nothing(swap, under):
    bullet = swap if isinstance(swap, ForwardRateAgreement) else evolve(swap, steps=())
    par = float(par_rates([bullet], AS_OF, under)[0, 0])
    if abs(par) < 1.0:
        assert abs(values([evolve(bullet, rate=par)], under)[0]) < 1e-12
    assert par_rates([evolve(bullet, side="pay", rate=0.0)], AS_OF, under)[0, 0] == pytest.approx(par, abs=1e-12)


@given(fixed_rate_swaps(), curves())
def test_value_is_linear_in_the_rate(swap, under):
    ends = values([evolve(swap, rate=rate) for rate in (-0.1, 0.0, 0.1)], under)
    assert ends[0] + ends[2] == pytest.approx(2 * ends[1], abs=1e-12)


@given(lives(), rates, curves(), st.sampled_from([1, 3, 6, 12]), st.integers(1, 8))
def test_splitting_the_schedule_changes_nothing(life, rate, under, months, cut):
    """A swap is the part before one of its dates and the part after it."""
    each = Convention(months, "act/360", 2, adjustment="unadjusted")
    whole = OvernightSwap("pay", rate, **life, fixed=each, floating=each)
    periods = schedule(each, whole.start, whole.maturity)
    assume(len(periods) > 1)
    middle = periods[min(cut, len(periods) - 1)].start
    parts = schedule(each, whole.start, middle) + schedule(each, middle, whole.maturity)
    assume(parts == periods)  # near month ends, rolled back from the cut, dates may fall on other days
    first, second, both = values([evolve(whole, maturity=middle), evolve(whole, start=middle), whole], under)
    assert first + second == pytest.approx(both, abs=1e-12)


@given(lives(), curves(), conventions.filter(lambda each: each.day_count == "act/360"))
def test_an_overnight_leg_paid_at_the_end_does_not_care_how_often(life, under, each):
    """Interest on interest aside, the floating leg telescopes: without lag, all frequencies are DF(start) - DF(end)."""
    plain = evolve(each, payment_lag=0, adjustment="modified_following")
    often, once = (OvernightSwap("pay", 0.0, **life, floating=leg) for leg in (plain, evolve(plain, months=0)))
    ours = values([often, once], under)
    assert ours[0] == pytest.approx(ours[1], abs=1e-13)


@given(fixed_rate_swaps(), levels, st.floats(1e-6, 0.02))
def test_a_payer_gains_as_forward_rates_rise_and_the_discount_curve_stands_still(swap, level, shift):
    """With a curve of its own, only the rate to be received moves."""
    payer = evolve(swap, side="pay", index=INDEX)
    zeros = np.array(level)[:, None]
    moved = SwapCurves(KNOTS, np.hstack([zeros, zeros]), {INDEX: (KNOTS, np.hstack([zeros, zeros + shift]))})
    before, after = swap_values(swap_book([payer], AS_OF, projections=[INDEX]), moved)[0]
    assert after >= before - 1e-13


@given(
    lives(), levels.map(lambda level: sorted(abs(rate) for rate in level)), st.floats(0.0, 0.15), st.floats(0.0, 0.03)
)
def test_a_par_rate_rises_with_a_parallel_shift(life, level, rate, shift):
    swap = OvernightSwap("pay", rate, **life)
    zeros = np.array(level)[:, None]
    assume((np.diff(zeros[:, 0] * KNOTS, prepend=0.0) >= 0).all())  # no negative forward rate
    low, high = par_rates([swap], AS_OF, SwapCurves(KNOTS, np.hstack([zeros, zeros + shift])))[0]
    assert high >= low - 1e-12


@given(fixed_rate_swaps())
def test_a_receiver_at_par_loses_when_all_rates_rise(swap):
    flat = SwapCurves(KNOTS, np.full((len(KNOTS), 1), 0.04))
    bullet = swap if isinstance(swap, ForwardRateAgreement) else evolve(swap, steps=())
    par = float(par_rates([bullet], AS_OF, flat)[0, 0])
    assert pv01(swap_book([evolve(bullet, side="receive", rate=par)], AS_OF), flat)[0] < 0.0


@given(st.permutations(range(5)), st.lists(fixed_rate_swaps(), min_size=5, max_size=5), curves())
def test_the_order_of_positions_leaves_no_trace(order, swaps, under):
    quantities = [1e6, -2e6, 3e5, 7.0, -1.0]
    given_, shuffled = (
        netted_swap_book(
            [swaps[n] for n in places], [quantities[n] for n in places], AS_OF, projections=[*under.projections]
        )
        for places in (range(5), order)
    )
    assert (swap_values(given_, under) == swap_values(shuffled, under)).all()


@given(lives(), conventions, conventions, spreads, curves())
def test_a_basis_swap_and_its_opposite_cancel(life, one, other, spread, under):
    legs = FloatingLeg("SOFR", one, spread, overnight=True), FloatingLeg(INDEX, other, -spread)
    there, back = values([BasisSwap(*legs, **life), BasisSwap(*legs[::-1], **life)], under)
    assert there == -back
    same = FloatingLeg("SOFR", one, spread, overnight=True)
    assert values([BasisSwap(same, same, **life)], under)[0] == 0.0


@given(st.lists(st.floats(-0.01, 0.15), min_size=5, max_size=5))
def test_quotes_come_back_from_their_curve(quotes):
    instruments = [
        spot_swap(AS_OF, tenor, rate) for tenor, rate in zip(("1M", "6M", "1Y", "18M", "2Y"), quotes, strict=True)
    ]
    curve = SwapCurves(*bootstrap(instruments, AS_OF))
    assert np.abs(par_rates(instruments, AS_OF, curve)[:, 0] - quotes).max() < 1e-12
