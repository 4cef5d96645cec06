"""Values of swaps: worked by hand, against the slow twin, through time, and under many curves at once."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from attrs import evolve

from crossmargin.curves import discount_factors, year_fractions
from crossmargin.errors import InputError
from crossmargin.pricing.cash_flows import cash_flow_book, present_values
from crossmargin.pricing.swaps import (
    DISCOUNT,
    SwapCurves,
    key_rate_deltas,
    netted_swap_book,
    par_rates,
    pv01,
    swap_book,
    swap_values,
)
from crossmargin.products import TreasuryNote
from crossmargin.products.calendars import is_business_day
from crossmargin.products.schedules import QUARTERLY, Convention, schedule
from crossmargin.products.swaps import (
    BasisSwap,
    FloatingLeg,
    ForwardRateAgreement,
    InterestRateSwap,
    OvernightSwap,
)
from tests.reference import swaps_twin as twin

AS_OF = date(2026, 6, 30)
KNOTS = np.array([0.25, 1.0, 2.0, 5.0, 10.0, 30.0])
ZEROS = np.array([[0.043], [0.041], [0.037], [0.036], [0.039], [0.041]])
INDEX = "TERM-SOFR-3M"
ONE = SwapCurves(KNOTS, ZEROS)
TWO = SwapCurves(KNOTS, ZEROS, {INDEX: (KNOTS[1:], ZEROS[1:] + 0.001)})
PAST = {AS_OF - timedelta(days=n): 0.04 + 1e-5 * n for n in range(1, 400)}
FIXINGS = {"SOFR": {day: rate for day, rate in PAST.items() if is_business_day(day)}, INDEX: PAST}
AT_END = Convention(12, "act/360")

SPOT = OvernightSwap("receive", 0.04, date(2026, 7, 2), date(2031, 7, 2), notional=1e6)
RUNNING = OvernightSwap("pay", 0.035, date(2025, 9, 17), date(2028, 9, 20), notional=1e6, spread=0.001)
AMORTISING = evolve(SPOT, steps={date(2027, 7, 2): 7e5, date(2029, 7, 2): 2e5})
TERM = InterestRateSwap("pay", 0.04, date(2026, 9, 16), date(2033, 9, 16), notional=1e6, spread=-0.0005)
BEGUN = InterestRateSwap("receive", 0.03, date(2026, 2, 17), date(2030, 2, 19), notional=2e6)
SOFR_LEG = FloatingLeg("SOFR", Convention(3, "act/360", 2), overnight=True)
BASIS = BasisSwap(SOFR_LEG, FloatingLeg(INDEX, QUARTERLY, 0.0004), date(2026, 3, 16), date(2031, 3, 17), notional=1e6)
FRA = ForwardRateAgreement("receive", 0.05, date(2026, 12, 16), date(2027, 3, 17), notional=1e6)
FIXED_FRA = ForwardRateAgreement("pay", 0.03, date(2026, 7, 1), date(2026, 10, 1), notional=1e6)
ALL = (SPOT, RUNNING, AMORTISING, TERM, BEGUN, BASIS, FRA, FIXED_FRA)
every_curve = pytest.mark.parametrize("curves", [ONE, TWO], ids=["one curve", "two curves"])


def values(swaps, curves, **given):
    book = swap_book(swaps, AS_OF, fixings=FIXINGS, projections=curves.projections)
    return swap_values(book, curves, **given)


def bumped(curves, n_curves, *, seed=3):
    moves = np.random.default_rng(seed).normal(0, 0.01, (len(KNOTS), n_curves))
    others = {name: (knots, zeros + moves[1:]) for name, (knots, zeros) in curves.projections.items()}
    return SwapCurves(KNOTS, ZEROS + moves, others)


# ------------------------------------------------------------------------------------------------------- worked


def test_a_spot_swap_paid_at_the_end_of_its_periods_telescopes():
    """Receive 4 % on 365, 366, 365, 365 and 365 days against DF(start) - DF(end)."""
    swap = evolve(SPOT, fixed=AT_END, floating=AT_END)
    book = swap_book([swap], AS_OF)
    days = [date(2026, 7, 2), date(2027, 7, 2), date(2028, 7, 3), date(2029, 7, 2), date(2030, 7, 2), date(2031, 7, 2)]
    df = discount_factors(KNOTS, ZEROS, year_fractions(AS_OF, days))[:, 0]
    times = np.diff([day.toordinal() for day in days]) / 360
    expected = 1e6 * (0.04 * (times @ df[1:]) - df[0] + df[-1])
    assert swap_values(book, ONE)[0, 0] == pytest.approx(expected, rel=1e-12)
    assert book.ratios[2].size == 0


def test_without_a_lag_a_swap_is_a_leg_of_dated_cash_flows():
    """A receiver is worth its coupons and principal less par at the start; the kernel of notes values the principal."""
    swap = OvernightSwap("receive", 0.04, date(2026, 8, 17), date(2031, 8, 15), fixed=AT_END, floating=AT_END)
    note = TreasuryNote(0.0, date(2031, 8, 15))
    paid = [(p.payment, 0.04 * p.fraction) for p in schedule(AT_END, swap.start, swap.maturity)]
    crowd = bumped(ONE, 5)
    factors = discount_factors(KNOTS, crowd.zeros, year_fractions(AS_OF, [swap.start, *(day for day, _ in paid)]))
    coupons = sum(amount * row for (_, amount), row in zip(paid, factors[1:], strict=True))
    principal = present_values(cash_flow_book([note], AS_OF), KNOTS, crowd.zeros)[0]
    assert swap_values(swap_book([swap], AS_OF), crowd)[0] == pytest.approx(coupons + principal - factors[0], abs=1e-13)


def test_one_period_by_hand():
    """Flat 4 % continuous, one year with two days' lag: each piece written out."""
    swap = OvernightSwap("pay", 0.041, date(2026, 7, 2), date(2027, 7, 2), notional=1e8)
    start, end, paid = 2 / 365, 367 / 365, 372 / 365  # paid on Wednesday 7 July 2027, after Independence Day
    rate = np.exp(0.04 * (end - start)) - 1.0
    expected = 1e8 * np.exp(-0.04 * paid) * (rate - 0.041 * 365 / 360)
    flat = SwapCurves(np.array([1.0]), np.array([[0.04]]))
    assert swap_values(swap_book([swap], AS_OF), flat)[0, 0] == pytest.approx(expected, rel=1e-10)


def test_a_fixed_period_waits_for_its_payment():
    """Ended yesterday, paid in two days: fixings alone decide."""
    swap = OvernightSwap("receive", 0.05, date(2026, 6, 24), date(2026, 6, 29), notional=1e6)
    fixed = FIXINGS["SOFR"]
    growth = 1.0
    for day, days in ((24, 1), (25, 1), (26, 3)):
        growth *= 1.0 + fixed[date(2026, 6, day)] * days / 360
    expected = 1e6 * (0.05 * 5 / 360 - (growth - 1.0)) * discount_factors(KNOTS, ZEROS, np.array([1 / 365]))[0, 0]
    assert values([swap], ONE)[0, 0] == pytest.approx(expected, rel=1e-9)


@every_curve
def test_every_product_agrees_with_its_twin(curves):
    ours = values(ALL, curves)[:, 0]
    named = {name: curve for name, curve in curves.named().items() if name != DISCOUNT}
    for swap, value in zip(ALL, ours, strict=True):
        expected, _ = twin.value(swap, AS_OF, (KNOTS, ZEROS), named, FIXINGS)
        assert value == pytest.approx(expected, abs=1e-12 * swap.notional), swap.symbol


@every_curve
def test_par_rates_agree_with_the_twin(curves):
    ours = par_rates(ALL, AS_OF, curves, fixings=FIXINGS)[:, 0]
    named = {name: curve for name, curve in curves.named().items() if name != DISCOUNT}
    for swap, rate in zip(ALL, ours, strict=True):
        value, slope = twin.value(swap, AS_OF, (KNOTS, ZEROS), named, FIXINGS)
        own = swap.receive.spread if isinstance(swap, BasisSwap) else swap.rate
        assert rate == pytest.approx(own - value / slope, abs=1e-13), swap.symbol


# ------------------------------------------------------------------------------------------------------- through time


def test_todays_fixing_is_read_where_it_is_given():
    known = {**FIXINGS, "SOFR": {**FIXINGS["SOFR"], AS_OF: 0.1}}
    without, given = (swap_values(swap_book([RUNNING], AS_OF, fixings=each), ONE)[0, 0] for each in (FIXINGS, known))
    assert given - without == pytest.approx(1e6 * (0.1 - 0.043) / 360, rel=0.05)


def test_a_fixing_on_its_forward_changes_nothing():
    swap = evolve(TERM, start=date(2026, 7, 1), maturity=date(2030, 7, 1))  # fixed on 29 June
    end = date(2026, 10, 1)
    start_df, end_df = discount_factors(KNOTS, ZEROS, year_fractions(AS_OF, [swap.start, end]))[:, 0]
    forward = (start_df / end_df - 1.0) * 360 / (end - swap.start).days
    fixed = swap_values(swap_book([swap], AS_OF, fixings={INDEX: {date(2026, 6, 29): forward}}), ONE)
    later = evolve(swap, fixing_days=0)
    assert fixed == pytest.approx(swap_values(swap_book([later], AS_OF), ONE), abs=1e-8)


def test_a_weekend_valuation():
    """On Saturday the rate of Friday is known until Monday."""
    saturday = date(2026, 6, 27)
    fixed = {"SOFR": {day: 0.04 for day in FIXINGS["SOFR"] if day < saturday}}
    ours = swap_values(swap_book([RUNNING], saturday, fixings=fixed), ONE)[0, 0]
    expected, _ = twin.value(RUNNING, saturday, (KNOTS, ZEROS), {}, fixed)
    assert ours == pytest.approx(expected, abs=1e-6)


def test_an_unadjusted_period_from_a_sunday_takes_the_rate_of_friday():
    odd = Convention(0, "act/360", adjustment="unadjusted")
    swap = OvernightSwap("pay", 0.0, date(2026, 6, 28), date(2026, 7, 2), fixed=odd, floating=odd)
    fixed = FIXINGS["SOFR"]
    growth = (1 + fixed[date(2026, 6, 26)] / 360) * (1 + fixed[date(2026, 6, 29)] / 360)
    df = discount_factors(KNOTS, ZEROS, np.array([2 / 365]))[0, 0]
    assert values([swap], ONE)[0, 0] == pytest.approx(growth - df, abs=1e-14)


# ------------------------------------------------------------------------------------------------------- many curves


@pytest.mark.slow_interpreted
@every_curve
def test_a_curve_gives_the_same_bits_alone_as_in_a_crowd(curves):
    crowd = bumped(curves, 600)
    together = values(ALL, crowd)
    assert (together == values(ALL, crowd, threads=2)).all()
    for n in (0, 255, 599):
        one = {name: (knots, zeros[:, [n]]) for name, (knots, zeros) in crowd.named().items()}
        assert (values(ALL, SwapCurves(*one.pop(DISCOUNT), one))[:, 0] == together[:, n]).all()


def test_threads_share_the_curves():
    crowd = bumped(ONE, 20)
    assert (values(ALL[:2], crowd, threads=2) == values(ALL[:2], crowd)).all()


@every_curve
def test_a_netted_book_is_the_sum_of_its_swaps(curves):
    quantities = [1.0, -2.0, 0.5, 3.0, -1.0, 4.0, -2.5, 1.0]
    crowd = bumped(curves, 9)
    book = netted_swap_book(ALL, quantities, AS_OF, fixings=FIXINGS, projections=curves.projections)
    assert swap_values(book, crowd)[0] == pytest.approx(quantities @ values(ALL, crowd), abs=1e-6)


def test_a_netted_book_of_opposites_is_empty():
    book = netted_swap_book([SPOT, evolve(SPOT, side="pay"), TERM], [3.0, 3.0, 0.0], AS_OF)
    assert book.line_time.size == 0
    assert swap_values(book, ONE).tolist() == [[0.0]]


def test_no_swaps():
    assert swap_values(swap_book([], AS_OF), ONE).shape == (0, 1)
    assert swap_values(netted_swap_book([], [], AS_OF), ONE).tolist() == [[0.0]]
    assert par_rates([], AS_OF, ONE).shape == (0, 1)


# ------------------------------------------------------------------------------------------------------- sensitivities


@every_curve
def test_key_rates_add_up_to_a_parallel_move(curves):
    book = swap_book(ALL, AS_OF, fixings=FIXINGS, projections=curves.projections)
    deltas = key_rate_deltas(book, curves)
    assert list(deltas) == list(curves.named())
    summed = sum(each.sum(axis=1) for each in deltas.values())
    assert summed == pytest.approx(pv01(book, curves), rel=1e-5, abs=1e-4)


def test_signs_and_sizes():
    """A receiver of five years loses about its annuity, a payer gains it."""
    receiver, payer = pv01(swap_book([SPOT, evolve(SPOT, side="pay")], AS_OF), ONE)
    assert receiver == -payer
    assert receiver == pytest.approx(-1e6 * 4.6e-4, rel=0.03)


def test_a_basis_swap_has_no_rate_risk_and_all_of_the_spread():
    """It gains as the rate received rises on its own."""
    swap = evolve(BASIS, start=date(2026, 9, 16), maturity=date(2031, 9, 16))
    book = swap_book([swap], AS_OF, projections=[INDEX])
    deltas = key_rate_deltas(book, TWO)
    assert abs(pv01(book, TWO)[0]) < 5.0
    assert deltas[INDEX].sum() == pytest.approx(-deltas[DISCOUNT].sum(), rel=0.02)
    assert deltas[INDEX].sum() > 400


# ------------------------------------------------------------------------------------------------------- refusals


def refused(make):
    with pytest.raises(InputError) as caught:
        make()
    return str(caught.value)


def test_all_swaps_that_cannot_be_valued_at_once():
    over = OvernightSwap("pay", 0.04, date(2020, 1, 2), date(2026, 6, 25))
    settled = evolve(FRA, start=AS_OF, maturity=date(2026, 9, 30))
    said = refused(lambda: swap_book([over, RUNNING, BEGUN, settled, FIXED_FRA], AS_OF))
    assert said.count("nothing is paid after 2026-06-30") == 2
    assert "SOFR has no fixing on 192 days" in said
    assert said.count(f"{INDEX} has no fixing on 1 day of") == 2
    assert said.count("  - ") == 5


def test_a_hole_in_the_fixings_is_named():
    fixed = {day: rate for day, rate in FIXINGS["SOFR"].items() if day != date(2026, 1, 5)}
    assert "on 1 day of a running period, the first 2026-01-05" in refused(
        lambda: swap_book([RUNNING], AS_OF, fixings={"SOFR": fixed})
    )


def test_curves_that_do_not_fit():
    said = refused(lambda: SwapCurves(KNOTS[::-1], ZEROS, {INDEX: (KNOTS, ZEROS[1:]), "X": (KNOTS, ZEROS * np.nan)}))
    assert "discount curve: knots are not increasing" in said
    assert f"{INDEX} curve: zeros of shape (5, 1)" in said
    assert "X curve: 6 zero rates are not finite" in said
    assert "differ in number" in refused(lambda: SwapCurves(KNOTS, ZEROS, {INDEX: (KNOTS, np.hstack([ZEROS, ZEROS]))}))


def test_curves_that_the_book_does_not_know():
    read, unread = swap_book([TERM], AS_OF, projections=[INDEX]), swap_book([TERM], AS_OF)
    assert "has no projection curve" in refused(lambda: swap_values(read, ONE))
    near = SwapCurves(KNOTS, ZEROS, {"TERM-SOFR-1M": (KNOTS, ZEROS)})
    assert "Did you mean 'TERM-SOFR-1M'" in refused(lambda: swap_values(read, near))
    assert "does not read" in refused(lambda: swap_values(unread, TWO))


def test_other_refusals():
    book = swap_book([SPOT], AS_OF)
    assert "0 threads" in refused(lambda: swap_values(book, ONE, threads=0))
    assert "[n_knots, 1]" in refused(lambda: pv01(book, bumped(ONE, 2)))
    assert "[n_knots, 1]" in refused(lambda: key_rate_deltas(book, bumped(ONE, 2)))
    said = refused(lambda: netted_swap_book([SPOT, TERM], [float("nan")], AS_OF))
    assert "2 swaps and 1 quantities" in said
    assert "is not finite" in said
    nothing = evolve(SPOT, notional=1.0, steps={SPOT.start: 0.0})
    assert "depends on its rate" in refused(lambda: par_rates([nothing], AS_OF, ONE))
