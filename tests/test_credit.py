"""The ISDA standard model: agreement with QuantLib, round trips, what is refused, many scenarios as one at a time.

QuantLib's IsdaCdsEngine (no numerical fix, half-day bias, piecewise forwards) agrees to 1e-8 relative on both legs,
par spread and present value where the maturity is a weekday. On a weekend QuantLib lets the last coupon accrue, and
asks for survival, up to the payment on Monday, the standard contract up to the maturity: 1e-6 there.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from crossmargin.curves import zero_rates
from crossmargin.errors import InputError, NumericalError
from crossmargin.market import ParCurve
from crossmargin.pricing.credit import (
    DiscountCurve,
    HazardCurve,
    flat_hazard,
    hazard_curve,
    legs,
    spread_from_upfront,
    upfront_from_spread,
)
from crossmargin.products.security_based import CreditDefaultSwap, add_weekdays, premium_periods, standard_maturity

AS_OF = date(2026, 6, 30)
DAYS = np.array([90, 365, 730, 1100, 1826, 2557, 3653, 7305])
ZEROS = np.array([0.043, 0.041, 0.039, 0.0385, 0.039, 0.04, 0.041, 0.043])
HAZARD_DAYS = np.array([200, 365, 1096, 1826, 3653])
HAZARDS = np.array([0.01, 0.013, 0.02, 0.03, 0.04])
FIVE = CreditDefaultSwap("ACME", 0.01, date(2031, 6, 20))
TENORS = (0.5, 1, 2, 3, 5, 7, 10)
SPREADS = np.array([30.0, 38, 55, 72, 105, 122, 135]) * 1e-4


def discount(as_of=AS_OF):
    return DiscountCurve(as_of, DAYS / 365, ZEROS[:, None])


def standard(as_of=AS_OF):
    return [standard_maturity(as_of, tenor) for tenor in TENORS]


# ----------------------------------------------------------------------------------------------------------- QuantLib

quantlib = pytest.importorskip("QuantLib")


def ql_date(day):
    return quantlib.Date(day.day, day.month, day.year)


def ql_discount(as_of):
    days = [0, *DAYS.tolist()]
    factors = [1.0, *np.exp(-ZEROS * DAYS / 365).tolist()]
    dates = [ql_date(as_of + timedelta(days=n)) for n in days]
    return quantlib.DiscountCurve(dates, factors, quantlib.Actual365Fixed())


def ql_hazards(as_of, days=HAZARD_DAYS, hazards=HAZARDS):
    dates = [ql_date(as_of + timedelta(days=int(n))) for n in (0, *days)]
    curve = quantlib.HazardRateCurve(dates, [float(hazards[0]), *map(float, hazards)], quantlib.Actual365Fixed())
    curve.enableExtrapolation()
    return curve


def ql_swap(swap, as_of, curve):
    weekends, following = quantlib.WeekendsOnly(), quantlib.Following
    start = ql_date(premium_periods(swap, as_of)[0].start)
    schedule = quantlib.Schedule(
        start,
        ql_date(swap.maturity),
        quantlib.Period(3, quantlib.Months),
        weekends,
        following,
        quantlib.Unadjusted,
        quantlib.DateGeneration.CDS2015,
        False,
    )
    terms = (quantlib.Actual360(), True, True, ql_date(as_of + timedelta(days=1)), quantlib.FaceValueClaim())
    last = (quantlib.Actual360(True), True, ql_date(as_of), 3)
    made = quantlib.CreditDefaultSwap(quantlib.Protection.Buyer, 1.0, swap.coupon, schedule, following, *terms, *last)
    engine = quantlib.IsdaCdsEngine(
        quantlib.DefaultProbabilityTermStructureHandle(curve),
        swap.recovery,
        quantlib.YieldTermStructureHandle(ql_discount(as_of)),
        False,
        quantlib.IsdaCdsEngine.NoFix,
        quantlib.IsdaCdsEngine.HalfDayBias,
        quantlib.IsdaCdsEngine.Piecewise,
    )
    made.setPricingEngine(engine)
    return made


DATES = [date(2026, 6, 30), date(2026, 3, 20), date(2025, 9, 19), date(2026, 12, 11), date(2027, 2, 26)]


@pytest.mark.parametrize("as_of", DATES)
@pytest.mark.parametrize("tenor", TENORS)
@pytest.mark.parametrize("coupon", [0.01, 0.05])
def test_both_legs_agree_with_quantlib(as_of, tenor, coupon):
    quantlib.Settings.instance().evaluationDate = ql_date(as_of)
    swap = CreditDefaultSwap("ACME", coupon, standard_maturity(as_of, tenor), recovery=0.35)
    theirs = ql_swap(swap, as_of, ql_hazards(as_of))
    ours = legs(swap, HazardCurve(as_of, HAZARD_DAYS / 365, HAZARDS[:, None]), discount(as_of))
    weekday = swap.maturity.weekday() < 5
    close = {"rel": 1e-8 if weekday else 1e-6, "abs": 1e-10 if weekday else 1e-7}
    assert ours.protection[0] == pytest.approx(theirs.defaultLegNPV(), rel=1e-12)
    assert coupon * ours.annuity[0] == pytest.approx(-theirs.couponLegNPV(), **close)
    assert ours.par_spread[0] == pytest.approx(theirs.fairSpread(), **close)
    clean = ours.value[0] + coupon * ours.accrued * ours.settlement[0]  # QuantLib's NPV adds the rebate
    assert clean == pytest.approx(theirs.NPV(), **close)


def test_bootstrapped_hazards_give_quantlib_the_quoted_spreads():
    quantlib.Settings.instance().evaluationDate = ql_date(AS_OF)
    maturities = standard()
    curve = hazard_curve(maturities, SPREADS, discount())
    theirs = ql_hazards(AS_OF, [(day - AS_OF).days for day in maturities], curve.hazards[:, 0])
    for maturity, spread in zip(maturities, SPREADS, strict=True):
        fair = ql_swap(CreditDefaultSwap("ACME", 0.01, maturity), AS_OF, theirs).fairSpread()
        assert fair == pytest.approx(spread, rel=1e-8 if maturity.weekday() < 5 else 1e-6)


# --------------------------------------------------------------------------------------------------------- round trips


def test_the_curve_reprices_its_quotes():
    curve = hazard_curve(standard(), SPREADS, discount())
    found = [legs(CreditDefaultSwap("A", 0.05, day), curve, discount()).par_spread[0] for day in standard()]
    np.testing.assert_allclose(found, SPREADS, rtol=1e-12)


@pytest.mark.parametrize("coupon", [0.01, 0.05])
def test_upfront_and_spread_are_inverse(coupon):
    swap, spreads = CreditDefaultSwap("A", coupon, FIVE.maturity), np.array([0.0, 1e-4, 0.01, 0.05, 0.3, 2.0])
    upfront = upfront_from_spread(swap, spreads, discount())
    np.testing.assert_allclose(spread_from_upfront(swap, upfront, discount()), spreads, rtol=1e-9, atol=1e-13)
    assert (np.diff(upfront) > 0).all()


def test_at_the_coupon_nothing_is_paid_upfront():
    assert upfront_from_spread(FIVE, 0.01, discount())[0] == pytest.approx(0.0, abs=1e-14)


def test_by_hand_without_interest_the_protection_is_the_chance_of_default():
    no_rates = DiscountCurve(AS_OF, [30.0], [[0.0]])
    curve = HazardCurve(AS_OF, [1.0], [[0.03]])
    years = (FIVE.maturity - AS_OF).days / 365
    found = legs(FIVE, curve, no_rates)
    assert found.protection[0] == pytest.approx(0.6 * (1 - np.exp(-0.03 * years)), rel=1e-14)
    riskless = legs(FIVE, HazardCurve(AS_OF, [1.0], [[0.0]]), no_rates)
    days = sum(period.days for period in premium_periods(FIVE, AS_OF))
    assert riskless.annuity[0] == pytest.approx(days / 360, rel=1e-14)
    assert riskless.protection[0] == 0.0


def test_accrued_counts_today():
    found = legs(FIVE, HazardCurve(AS_OF, [1.0], [[0.02]]), discount())
    assert found.accrued == 9 / 360  # 22 June to 30 June, both included
    assert found.settlement[0] == discount().factors([(add_weekdays(AS_OF, 3) - AS_OF).days / 365])[0, 0]


def test_jump_to_default_leaves_the_buyer_with_the_loss():
    found = legs(FIVE, hazard_curve(standard(), SPREADS, discount()), discount())
    assert found.value[0] + found.jump_to_default[0] == pytest.approx(0.6 - 0.01 * 9 / 360, rel=1e-14)
    assert found.price[0] == pytest.approx(100 - 100 * found.upfront[0])


def test_a_crisis_of_spreads_is_repriced():
    crisis = SPREADS[::-1] * 30  # 4050 bp at half a year, 900 bp at ten
    with pytest.raises(NumericalError, match="negative hazard rate"):
        hazard_curve(standard(), crisis, discount())
    gentle = np.linspace(0.40, 0.25, len(TENORS))
    curve = hazard_curve(standard(), gentle, discount())
    found = [legs(CreditDefaultSwap("A", 0.05, day), curve, discount()).par_spread[0] for day in standard()]
    np.testing.assert_allclose(found, gentle, rtol=1e-11)


# ----------------------------------------------------------------------------------------------------------- scenarios


def test_many_scenarios_are_as_one_at_a_time():
    rng = np.random.default_rng(6)
    spreads = SPREADS[:, None] * np.exp(0.2 * rng.standard_normal(40))
    rates = ZEROS[:, None] + 0.005 * rng.standard_normal(40)
    recovery = rng.uniform(0.2, 0.5, 40)
    many = DiscountCurve(AS_OF, DAYS / 365, rates)
    whole = legs(FIVE, hazard_curve(standard(), spreads, many, recovery=recovery), many, recovery=recovery)
    for k in (0, 17, 39):
        one = DiscountCurve(AS_OF, DAYS / 365, rates[:, [k]])
        curve = hazard_curve(standard(), spreads[:, [k]], one, recovery=recovery[k])
        alone = legs(FIVE, curve, one, recovery=recovery[k])
        for name in ("value", "par_spread", "upfront", "jump_to_default", "clean_annuity"):
            assert getattr(whole, name)[k] == pytest.approx(getattr(alone, name)[0], rel=1e-12, abs=1e-14), name


def test_a_curve_of_par_yields_discounts():
    par = ParCurve(AS_OF, [0.25, 2, 5, 10, 30], [0.0387, 0.0414, 0.0419, 0.0444, 0.0491])
    knots, zeros = zero_rates(par.tenors, par.par[:, None])
    curve = DiscountCurve.from_par(par)
    assert np.array_equal(curve.knots, knots)
    assert np.array_equal(curve.zeros, zeros)


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: hazard_curve([], [], discount()), "none"),
        (lambda: hazard_curve(standard()[::-1], SPREADS, discount()), "not after"),
        (lambda: hazard_curve([AS_OF], [0.01], discount()), "not after"),
        (lambda: hazard_curve(standard(), SPREADS[:2], discount()), "shape"),
        (lambda: hazard_curve(standard(), SPREADS * np.nan, discount()), "decimals"),
        (lambda: hazard_curve(standard(), -SPREADS, discount()), "decimals"),
        (lambda: hazard_curve(standard(), SPREADS, discount(), recovery=1.0), "recovery"),
        (lambda: hazard_curve(standard(), SPREADS, discount(), recovery=float("nan")), "recovery"),
        (lambda: flat_hazard(FIVE, float("inf"), discount()), "finite"),
        (lambda: DiscountCurve(AS_OF, [2.0, 1.0], [[0.04]]), "increase"),
        (lambda: HazardCurve(AS_OF, [1.0], [[-0.01]]), "intensities"),
        (lambda: HazardCurve(AS_OF, [], [[0.01]]), "increase"),
        (lambda: legs(FIVE, HazardCurve(date(2026, 6, 29), [1.0], [[0.01]]), discount()), "one date"),
    ],
)
def test_bad_input_is_named(make, says):
    with pytest.raises(InputError, match=says):
        make()


@pytest.mark.parametrize(("upfront", "says"), [(0.7, "more than any"), (-0.2, "negative hazard")])
def test_an_upfront_that_no_hazard_explains(upfront, says):
    with pytest.raises(NumericalError, match=says):
        flat_hazard(FIVE, upfront, discount())


def test_legs_are_what_daily_sums_come_to():
    """A slow twin: default in the middle of each day, the curves read day by day."""
    curve, rates = hazard_curve(standard(), SPREADS, discount()), discount()
    days = np.arange((FIVE.maturity - AS_OF).days + 1)
    alive, middle = curve.survival(days / 365)[:, 0], rates.factors((days[1:] - 0.5) / 365)[:, 0]
    dies = -np.diff(alive)
    periods = premium_periods(FIVE, AS_OF)
    annuity = 0.0
    for period in periods:
        begun = (period.start - AS_OF).days - 1
        end = (period.end - AS_OF).days - (period is not periods[-1])
        annuity += period.days / 360 * rates.factors([(period.pay - AS_OF).days / 365])[0, 0] * alive[end]
        inside = slice(max(begun, 0), end)
        annuity += float(np.sum((days[1:][inside] - begun) / 360 * dies[inside] * middle[inside]))
    found = legs(FIVE, curve, rates)
    assert found.protection[0] == pytest.approx(0.6 * float(np.sum(dies * middle)), rel=1e-7)
    assert found.annuity[0] == pytest.approx(annuity, rel=1e-6)
