"""Slow, obvious twin of `crossmargin.pricing.swaps`: one coupon at a time, read off the curves as the trade says it."""

from __future__ import annotations

from datetime import timedelta

from crossmargin.curves import discount_factors, year_fractions
from crossmargin.products.calendars import add_business_days, is_business_day
from crossmargin.products.schedules import schedule, year_fraction
from crossmargin.products.swaps import BasisSwap, FixedLeg, ForwardRateAgreement, legs_of_swap, notional_on


def factor(curve, as_of, day):
    knots, zeros = curve
    return float(discount_factors(knots, zeros, year_fractions(as_of, [day]))[0, 0])


def compounded(start, end, rate_of, forward):
    """Compound day by day: fixings where there are, forward factors after."""
    total, day = 1.0, start
    while day < end:
        following = day + timedelta(days=1)
        while following < end and not is_business_day(following):
            following += timedelta(days=1)
        rate = rate_of(day)
        total *= forward(day, following) if rate is None else 1.0 + rate * (following - day).days / 360
        day = following
    return total


def value(swap, as_of, discount, projections, fixings):
    """Return what one unit of the swap is worth, and what one unit of its rate adds; periods start on business days."""

    def forward(index):
        curve = projections.get(index, discount)
        return lambda a, b: factor(curve, as_of, a) / factor(curve, as_of, b)

    def fixed(index, day):
        return fixings.get(index, {})[day] if day < as_of else None

    if isinstance(swap, ForwardRateAgreement):
        return settlement(swap, forward(swap.index), fixed, factor(discount, as_of, swap.start))
    total, slope = 0.0, 0.0
    for sign, leg in legs_of_swap(swap):
        for period in schedule(leg.convention, swap.start, swap.maturity):
            if period.payment <= as_of:
                continue
            paid = sign * notional_on(swap, period.rolls) * factor(discount, as_of, period.payment)
            if isinstance(leg, FixedLeg):
                total += paid * period.fraction * leg.rate
            else:
                total += paid * (growth(leg, period, forward(leg.index), fixed) - 1.0 + leg.spread * period.fraction)
            if isinstance(leg, FixedLeg) or (isinstance(swap, BasisSwap) and sign > 0):
                slope += paid * period.fraction
    return total, slope


def growth(leg, period, forward, fixed):
    if leg.overnight:
        return compounded(period.start, period.end, lambda day: fixed(leg.index, day), forward)
    rate = fixed(leg.index, add_business_days(period.start, -leg.fixing_days))
    return forward(period.start, period.end) if rate is None else 1.0 + rate * period.fraction


def settlement(fra, forward, fixed, discounted):
    sign = 1.0 if fra.side == "pay" else -1.0
    time = year_fraction(fra.start, fra.maturity, fra.day_count)
    rate = fixed(fra.index, add_business_days(fra.start, -fra.fixing_days))
    if rate is None:
        rate = (forward(fra.start, fra.maturity) - 1.0) / time
    paid = discounted * fra.notional * sign * time / (1.0 + rate * time)
    return paid * (rate - fra.rate), -paid
