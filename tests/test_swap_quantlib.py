"""Swaps agree with QuantLib, trade by trade, to 1e-8 of the gross value of their legs.

QuantLib builds its own schedules, coupons and forwards on a calendar with the same holidays. Knots lie on whole days,
so that its log-linear discount curve is the very same curve.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np
import pytest

from crossmargin.pricing.swap_curve import bootstrap, spot_swap
from crossmargin.pricing.swaps import SwapCurves, par_rates, swap_book, swap_values
from crossmargin.products.calendars import add_business_days, holidays, is_business_day
from crossmargin.products.schedules import Convention, schedule
from crossmargin.products.swaps import (
    BasisSwap,
    FloatingLeg,
    ForwardRateAgreement,
    InterestRateSwap,
    OvernightSwap,
)

ql = pytest.importorskip("QuantLib")

RELATIVE = 1e-8
AS_OF = date(2025, 6, 12)
DAYS = np.array([7, 31, 91, 182, 365, 730, 1095, 1826, 2557, 3652, 7305, 16000])
KNOTS = DAYS / 365
SOFR = np.array([4.31, 4.32, 4.3, 4.2, 4.0, 3.7, 3.6, 3.65, 3.75, 3.9, 4.1, 4.0]) / 100
TERM = SOFR + np.linspace(0.0005, 0.002, len(SOFR))
INDEX = "TERM-SOFR-3M"
DAY_COUNTS = {
    "act/360": ql.Actual360(),
    "act/365f": ql.Actual365Fixed(),
    "act/act": ql.ActualActual(ql.ActualActual.ISDA),
    "30/360": ql.Thirty360(ql.Thirty360.BondBasis),
}
ADJUSTMENTS = {
    "modified_following": ql.ModifiedFollowing,
    "following": ql.Following,
    "modified_preceding": ql.ModifiedPreceding,
    "preceding": ql.Preceding,
    "unadjusted": ql.Unadjusted,
}
FIXED_ON = {
    day: 0.043 + 0.0001 * (n % 7) for n in range(900) if is_business_day(day := AS_OF - timedelta(days=n)) and n
}
FIXINGS = {"SOFR": FIXED_ON, INDEX: {day: rate + 0.001 for day, rate in FIXED_ON.items()}}


def ql_date(day):
    return ql.Date(day.day, day.month, day.year)


@cache
def calendar():
    made = ql.BespokeCalendar("US government bonds, as here")
    made.addWeekend(ql.Saturday)
    made.addWeekend(ql.Sunday)
    for year in range(2018, 2075):
        for day in holidays(year):
            made.addHoliday(ql_date(day))
    return made


def setting():
    """Discount and projection handles, on the day that tests of other files may have changed since the last call."""
    ql.Settings.instance().evaluationDate = ql_date(AS_OF)
    return handles()


@cache
def handles():
    nodes = [ql_date(AS_OF), *(ql_date(AS_OF + timedelta(days=int(n))) for n in DAYS)]
    curves = []
    for zeros in (SOFR, TERM):
        curve = ql.DiscountCurve(nodes, [1.0, *np.exp(-zeros * KNOTS)], ql.Actual365Fixed())
        curves.append(ql.YieldTermStructureHandle(curve))
    return curves


def indices(projection):
    discount = setting()[0]
    overnight = ql.OvernightIndex("SOFR", 0, ql.USDCurrency(), calendar(), ql.Actual360(), discount)
    term = ql.IborIndex(
        INDEX,
        ql.Period(3, ql.Months),
        2,
        ql.USDCurrency(),
        calendar(),
        ql.ModifiedFollowing,
        False,
        ql.Actual360(),
        projection,
    )
    for index, name in ((overnight, "SOFR"), (term, INDEX)):
        for day, rate in FIXINGS[name].items():
            index.addFixing(ql_date(day), rate, True)
    return overnight, term


def ql_schedule(swap, convention):
    start, end = ql_date(swap.start), ql_date(swap.maturity)
    adjustment = ADJUSTMENTS[convention.adjustment]
    rule, months = (
        (ql.DateGeneration.Backward, convention.months) if convention.months else (ql.DateGeneration.Zero, 12)
    )
    eom = convention.roll == "month_end"
    return ql.Schedule(start, end, ql.Period(months, ql.Months), calendar(), adjustment, adjustment, rule, eom)


def notionals(swap, convention):
    amounts = [swap.notional, *(amount for _, amount in swap.steps)]
    since = [date.min, *(day for day, _ in swap.steps)]
    return [
        amounts[max(n for n, day in enumerate(since) if day <= period.rolls)]
        for period in schedule(convention, swap.start, swap.maturity)
    ]


def fixed_leg(swap):
    leg = swap.fixed
    counts, sizes = DAY_COUNTS[leg.day_count], notionals(swap, leg)
    more = {"paymentAdjustment": ql.Following, "paymentCalendar": calendar(), "paymentLag": leg.payment_lag}
    return ql.FixedRateLeg(ql_schedule(swap, leg), counts, sizes, [swap.rate], **more)


def floating_leg(swap, leg, found):
    overnight, term = found
    made = ql_schedule(swap, leg.convention)
    sizes, counts = notionals(swap, leg.convention), DAY_COUNTS[leg.convention.day_count]
    if leg.overnight:
        more = {"paymentCalendar": calendar(), "paymentLag": leg.convention.payment_lag}
        return ql.OvernightLeg(sizes, made, overnight, counts, ql.Following, [1.0], [leg.spread], **more)
    return ql.IborLeg(sizes, made, term, counts, ql.Following, [2], [1.0], [leg.spread])


def legs(swap, found):
    if isinstance(swap, BasisSwap):
        return floating_leg(swap, swap.pay, found), floating_leg(swap, swap.receive, found)
    overnight = isinstance(swap, OvernightSwap)
    floating = floating_leg(swap, FloatingLeg(swap.index, swap.floating, swap.spread, overnight=overnight), found)
    return (fixed_leg(swap), floating) if swap.side == "pay" else (floating, fixed_leg(swap))


def theirs(swap, projection):
    """QuantLib's value, and the gross value of both legs."""
    discount = setting()[0]
    found = indices(projection)
    if isinstance(swap, ForwardRateAgreement):
        position = ql.Position.Long if swap.side == "pay" else ql.Position.Short
        dates = ql_date(swap.start), ql_date(swap.maturity)
        return ql.ForwardRateAgreement(
            found[1], *dates, position, swap.rate, swap.notional, discount
        ).NPV(), swap.notional
    made = ql.Swap(*legs(swap, found))
    made.setPricingEngine(ql.DiscountingSwapEngine(discount, False))
    return made.NPV(), max(abs(made.legNPV(0)), abs(made.legNPV(1)))


def random_swaps(count):
    """Trades of every kind, running, spot and forward, bullet and amortising, under many conventions."""
    rng = np.random.default_rng(7)
    for number in range(count):
        rate, spread = float(rng.uniform(-0.01, 0.08)), float(rng.choice([0.0, 0.001, -0.0025]))
        side = str(rng.choice(["pay", "receive"]))
        own = {"spread": spread, "fixed": convention(rng), "floating": money(rng, lag=number % 4 == 0)}
        if number % 4 == 0:
            yield OvernightSwap(side, rate, **terms(rng), **own)
        elif number % 4 == 1:
            yield InterestRateSwap(side, rate, **terms(rng), **own, index=INDEX)
        elif number % 4 == 2:
            two = (
                FloatingLeg("SOFR", money(rng, lag=True), spread, overnight=True),
                FloatingLeg(INDEX, money(rng), rate),
            )
            yield BasisSwap(*(two if side == "pay" else two[::-1]), **terms(rng))
        else:
            start = add_business_days(AS_OF, int(rng.integers(1, 700)))
            end = add_business_days(start, int(rng.integers(20, 130)))
            yield ForwardRateAgreement(side, rate, start, end, notional=1e6, index=INDEX)


def terms(rng):
    start = AS_OF + timedelta(days=int(rng.integers(-500, 900)))
    maturity = start + timedelta(days=int(rng.integers(620, 4000)))
    size = float(rng.uniform(0.5, 200)) * 1e6
    days = sorted({start + timedelta(days=int(day)) for day in rng.integers(30, 2000, 4)})
    steps = tuple((day, size * float(rng.uniform(0, 1.2))) for day in days) if rng.random() < 0.4 else ()
    return {"start": start, "maturity": maturity, "notional": size, "steps": steps}


def convention(rng):
    months, lag = int(rng.choice([0, 1, 3, 6, 12])), int(rng.choice([0, 1, 2, 5]))
    return Convention(months, str(rng.choice([*DAY_COUNTS])), lag, adjustment=str(rng.choice([*ADJUSTMENTS])))


def money(rng, *, lag=False):
    """Floating legs count days as their index does and end on business days, as QuantLib's forwards do."""
    adjustment = str(rng.choice(["modified_following", "following", "preceding"]))
    months, days = int(rng.choice([1, 3, 6, 12])), int(rng.choice([0, 1, 2, 5]))
    return Convention(months, "act/360", days if lag else 0, adjustment=adjustment)


@pytest.mark.parametrize("dual", [False, True], ids=["one curve", "two curves"])
def test_every_kind_of_swap(dual):
    swaps = list(random_swaps(240))
    curves = SwapCurves(KNOTS, SOFR[:, None], {INDEX: (KNOTS, TERM[:, None])} if dual else {})
    ours = swap_values(swap_book(swaps, AS_OF, fixings=FIXINGS, projections=curves.projections), curves)[:, 0]
    for swap, value in zip(swaps, ours, strict=True):
        expected, gross = theirs(swap, setting()[dual])
        assert abs(value - expected) <= RELATIVE * gross, (swap, value, expected)


def test_par_rates():
    swaps = [OvernightSwap("pay", 0.01, AS_OF + timedelta(days=4 + 30 * n), date(2030 + n, 6, 16)) for n in range(6)]
    ours = par_rates(swaps, AS_OF, SwapCurves(KNOTS, SOFR[:, None]))[:, 0]
    overnight, _ = indices(setting()[0])
    for swap, rate in zip(swaps, ours, strict=True):
        made = ql.OvernightIndexedSwap(
            ql.Swap.Payer,
            1.0,
            ql_schedule(swap, swap.fixed),
            0.01,
            ql.Actual360(),
            overnight,
            0.0,
            2,
            ql.Following,
            calendar(),
        )
        made.setPricingEngine(ql.DiscountingSwapEngine(setting()[0], False))
        assert rate == pytest.approx(made.fairRate(), rel=1e-10)


def test_the_curve_of_overnight_swaps():
    tenors = {"1W": 4.31, "1M": 4.32, "3M": 4.3, "6M": 4.2, "1Y": 4.0, "18M": 3.8, "2Y": 3.7, "5Y": 3.6, "30Y": 3.9}
    setting()
    units = {"W": ql.Weeks, "M": ql.Months, "Y": ql.Years}
    overnight = ql.OvernightIndex("SOFR", 0, ql.USDCurrency(), calendar(), ql.Actual360())
    helpers = [
        ql.OISRateHelper(
            2, ql.Period(int(tenor[:-1]), units[tenor[-1]]), ql.QuoteHandle(ql.SimpleQuote(quote / 100)), overnight,
            paymentLag=2, paymentConvention=ql.Following, paymentFrequency=ql.Annual, paymentCalendar=calendar(),
            endOfMonth=False, fixedCalendar=calendar(),
        )
        for tenor, quote in tenors.items()
    ]  # fmt: skip
    curve = ql.PiecewiseLogLinearDiscount(ql_date(AS_OF), helpers, ql.Actual365Fixed(), ql.IterativeBootstrap(1e-14))
    knots, zeros = bootstrap([spot_swap(AS_OF, tenor, quote / 100) for tenor, quote in tenors.items()], AS_OF)
    assert [round(365 * knot) for knot in knots] == [day - ql_date(AS_OF) for day in curve.dates()[1:]]
    discounts = [curve.discount(day) for day in curve.dates()[1:]]
    assert np.exp(-zeros[:, 0] * knots) == pytest.approx(discounts, rel=1e-10)
