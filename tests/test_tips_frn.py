"""Inflation-protected securities and floating-rate notes: real curves, projections, laws and refusals."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.curves import discount_factors, year_fractions, zero_rates
from crossmargin.errors import InputError
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import can_revalue, revalue, scenario_zero_rates
from crossmargin.pricing.legs import price_growth
from crossmargin.products import TIPS, TreasuryBill, TreasuryBond, TreasuryFRN, TreasuryNote, accrued_interest
from crossmargin.products.treasuries import coupon_dates, coupon_flows
from crossmargin.scenarios import ScenarioSet, ScenarioSpec

AS_OF = date(2026, 6, 30)
HISTORY = History([AS_OF], [1, 2], [[0.04, 0.041]])
NOMINAL = ParCurve(AS_OF, [0.25, 2, 5, 10, 30], [0.0387, 0.0414, 0.0419, 0.0444, 0.0491])
REAL = ParCurve(AS_OF, [5, 7, 10, 20, 30], [0.0152, 0.0175, 0.0196, 0.0236, 0.0259], real=True)
MARKET = Market(AS_OF, NOMINAL, HISTORY, real_curve=REAL)
TENORS = [0.25, 1.0, 2.0, 5.0, 10.0, 30.0]
DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "market"


def scenarios(shifts):
    return ScenarioSet(ScenarioSpec("historical", 1, 1), TENORS, np.asarray(shifts, dtype=float))


def parallel(*basis_points):
    return scenarios(np.tile(np.array(basis_points) * 1e-4, (len(TENORS), 1)))


def drawn(n_scenarios=6):
    rng = np.random.default_rng(4)
    return scenarios(rng.normal(0, 8e-4, (1, n_scenarios)) + rng.normal(0, 2e-4, (len(TENORS), n_scenarios)))


def values(product, market=MARKET, moves=None):
    pnl = revalue([product], market, moves or drawn())
    return np.concatenate([pnl.base, pnl.base + pnl.values[0]])


def real_value(tips, real_zeros):
    """Sum of real flows on a real curve, one by one."""
    flows = coupon_flows(tips, AS_OF)
    factors = discount_factors(*real_zeros, year_fractions(AS_OF, [day for day, _ in flows]))
    return tips.index_ratio * np.array([amount for _, amount in flows]) @ factors


# ------------------------------------------------------------------------------------------------------- TIPS

maturities = st.dates(date(2031, 7, 1), date(2056, 6, 15))  # where real yields are quoted
coupons = st.sampled_from([0.00125, 0.005, 0.01, 0.02125, 0.03875])


@given(maturities, coupons, st.floats(0.8, 2.0))
def test_flows_after_the_first_quote_are_worth_their_real_discount_factors(maturity, coupon, ratio):
    """What lies before five years hangs on the break-even rate held flat there; the principal does not."""
    tips = TIPS(coupon, maturity, index_ratio=ratio)
    real = zero_rates(REAL.tenors, REAL.par[:, None])
    nominal = zero_rates(NOMINAL.tenors, NOMINAL.par[:, None])
    expected = 0.0
    for day, amount in coupon_flows(tips, AS_OF):
        time = year_fractions(AS_OF, [day])
        at = np.maximum(time, 5.0)
        breakeven = np.log(discount_factors(*real, at) / discount_factors(*nominal, at))[0, 0] / at[0]
        expected += amount * ratio * discount_factors(*nominal, time)[0, 0] * np.exp(breakeven * time[0])
    base = values(tips)[0]
    assert base == pytest.approx(expected, rel=1e-12)
    assert base == pytest.approx(real_value(tips, real)[0], rel=0.02)  # a flat real yield below five years instead


def test_real_yields_move_one_for_one_with_nominal_ones():
    """Every scenario's real zero rate is its nominal one less the break-even rate of today."""
    tips, moves = TIPS(0.01875, date(2035, 7, 15)), drawn()
    knots, zeros = scenario_zero_rates(NOMINAL, moves)
    flows = coupon_flows(tips, AS_OF)
    times = year_fractions(AS_OF, [day for day, _ in flows])
    growth = price_growth(MARKET)([day for day, _ in flows])
    shifted = np.exp(np.log(discount_factors(knots, zeros, times)) + np.log(growth)[:, None])
    expected = np.array([amount for _, amount in flows]) @ shifted
    assert values(tips, moves=moves) == pytest.approx(expected, rel=1e-13)


@given(maturities, coupons)
def test_without_inflation_it_is_a_nominal_security(maturity, coupon):
    same = Market(AS_OF, NOMINAL, HISTORY, real_curve=ParCurve(AS_OF, NOMINAL.tenors, NOMINAL.par, real=True))
    assert values(TIPS(coupon, maturity), same) == pytest.approx(
        values(TreasuryBond(coupon, maturity), same), rel=1e-12
    )


def test_at_par_when_the_coupon_is_the_real_yield():
    whole = AS_OF + timedelta(days=3650)  # ten years of 365 days, as the curve counts
    tips = TIPS(float(REAL.par[2]), whole)
    flat = Market(AS_OF, NOMINAL, HISTORY, real_curve=ParCurve(AS_OF, [5, 10], [REAL.par[2]] * 2, real=True))
    assert values(tips, flat)[0] == pytest.approx(1.0 + accrued_interest(tips, AS_OF), abs=2e-3)


def test_value_is_proportional_to_the_index_ratio():
    one, more = TIPS(0.01, date(2034, 7, 15)), TIPS(0.01, date(2034, 7, 15), index_ratio=1.25)
    assert values(more) == pytest.approx(1.25 * values(one), rel=1e-13)
    assert one.symbol != more.symbol
    assert "1.25" in more.symbol
    with pytest.raises(InputError, match="index_ratio"):
        TIPS(0.01, date(2034, 7, 15), index_ratio=0.0)


def test_a_price_of_tips_is_real_and_clean():
    tips = TIPS(0.02, date(2034, 7, 15), index_ratio=1.1)
    priced = Market(AS_OF, NOMINAL, HISTORY, real_curve=REAL, prices={tips.symbol: 99.0})
    pnl = revalue([tips], priced, parallel(5))
    assert pnl.base[0] + pnl.basis[0] == pytest.approx(1.1 * (0.99 + accrued_interest(tips, AS_OF)))


def test_tips_need_a_real_curve():
    with pytest.raises(InputError, match=r"no real yields.*market\.real_curve"):
        revalue([TIPS(0.01, date(2034, 7, 15))], Market(AS_OF, NOMINAL, HISTORY), parallel(1))
    with pytest.raises(InputError, match="nothing is paid"):
        revalue([TIPS(0.01, AS_OF)], MARKET, parallel(1))


@pytest.mark.parametrize(
    "curve", [ParCurve(date(2026, 6, 29), [5, 10], [0.01, 0.02], real=True), ParCurve(AS_OF, [1, 2], [0.04, 0.04])]
)
def test_the_real_curve_is_of_the_day_and_real(curve):
    with pytest.raises(InputError, match="real_curve"):
        Market(AS_OF, NOMINAL, HISTORY, real_curve=curve)


def test_a_real_curve_may_begin_late_but_has_no_hole():
    assert ParCurve(AS_OF, [5, 7], [-0.012, -0.01], real=True).tenors[0] == 5
    with pytest.raises(InputError, match="hole"):
        ParCurve(AS_OF, [5, 30], [0.01, 0.02], real=True)


def test_real_yields_as_published():
    path = DATA / "ust_real_par_yields_daily.csv"
    if not path.is_file():
        pytest.skip("published real yields are not beside the repository")
    with path.open(newline="") as lines:
        *_, last = csv.DictReader(lines)
    day = date.fromisoformat(last.pop("date"))
    quoted = {float(tenor[:-1]): float(rate) / 100 for tenor, rate in last.items() if rate}
    nominal = ParCurve(day, [0.25, 2, 5, 10, 30], [0.0437, 0.0425, 0.0438, 0.0458, 0.0478])
    market = Market(
        day,
        nominal,
        History([day], [1, 2], [[0.04, 0.04]]),
        real_curve=ParCurve(day, list(quoted), list(quoted.values()), real=True),
    )
    tips = TIPS(quoted[10.0], day + timedelta(days=3652))
    pnl = revalue([tips], market, parallel(1))
    assert pnl.base[0] == pytest.approx(1.0, abs=0.012)
    assert -0.00095 < pnl.values[0, 0] < -0.0008  # a duration of about nine years
    yearly = price_growth(market)([day + timedelta(days=3650)])[0] ** 0.1 - 1
    assert 0.02 < yearly < 0.026


# -------------------------------------------------------------------------------------------- floating-rate notes


def test_a_note_without_spread_is_at_par_whatever_happens():
    assert (values(TreasuryFRN(0.0, date(2028, 4, 30))) == 1.0).all()


@given(st.sampled_from([-0.0005, 0.0, 0.00125, 0.0205]), st.integers(0, 47))
def test_only_the_spread_is_at_risk(spread, months):
    maturity = date(2026 + (6 + months) // 12, (6 + months) % 12 + 1, 28)
    frn, moves = TreasuryFRN(spread, maturity), drawn()
    ends = coupon_dates(maturity, AS_OF, months=3)
    days = np.diff([day.toordinal() for day in (AS_OF, *ends)])
    factors = discount_factors(*scenario_zero_rates(NOMINAL, moves), year_fractions(AS_OF, ends))
    assert values(frn, moves=moves) == pytest.approx(1.0 + spread * days / 360 @ factors, rel=1e-13)


def test_quarterly_dates_count_back_from_a_month_end():
    ends = coupon_dates(date(2028, 1, 31), date(2027, 4, 30), months=3)
    assert [day.isoformat() for day in ends] == ["2027-07-31", "2027-10-31", "2028-01-31"]


def test_a_floating_note_has_far_less_rate_risk_than_a_fixed_one():
    note, frn = TreasuryNote(0.0414, date(2028, 4, 30)), TreasuryFRN(0.00125, date(2028, 4, 30))
    pnl = revalue([note, frn], MARKET, parallel(100))
    assert pnl.row(note)[0] < -0.015
    assert -1e-4 < pnl.row(frn)[0] < 0.0


def test_a_floating_note_not_yet_issued_is_worth_par_on_issue():
    issue = date(2026, 7, 31)
    factor = discount_factors(*scenario_zero_rates(NOMINAL, drawn()), year_fractions(AS_OF, [issue]))[0]
    assert values(TreasuryFRN(0.0, date(2028, 7, 31), issue=issue)) == pytest.approx(factor, rel=1e-14)


def test_a_floating_note_that_has_ended_is_refused():
    with pytest.raises(InputError, match="nothing is paid"):
        revalue([TreasuryFRN(0.001, AS_OF)], MARKET, parallel(1))


def test_a_price_of_a_floating_note_is_clean():
    frn = TreasuryFRN(0.001, date(2028, 4, 30))
    priced = Market(AS_OF, NOMINAL, HISTORY, prices={frn.symbol: 100.05})
    pnl = revalue([frn], priced, parallel(5))
    assert pnl.base[0] + pnl.basis[0] == pytest.approx(1.0005)


# -------------------------------------------------------------------------------------------------------- both


def test_scenarios_of_yields_alone_are_not_enough():
    assert not can_revalue(TIPS(0.01, date(2034, 7, 15)))
    assert not can_revalue(TreasuryFRN(0.001, date(2028, 4, 30)))


def test_a_scenario_of_zeros_gives_exactly_nothing():
    held = [TIPS(0.01, date(2034, 7, 15), index_ratio=1.3), TreasuryFRN(0.001, date(2028, 4, 30))]
    pnl = revalue(held, MARKET, parallel(0, 10))
    assert (pnl.values[:, 0] == 0.0).all()
    assert (pnl.values[:, 1] < 0.0).all()


def test_company_changes_no_bit():
    held = [TIPS(0.01, date(2034, 7, 15)), TreasuryFRN(0.001, date(2028, 4, 30)), TreasuryBill(date(2026, 12, 31))]
    held += [TreasuryNote(0.04, date(2034, 7, 15)), TreasuryNote(0.01, date(2035, 1, 15))]
    together = revalue(held, MARKET, drawn())
    for product in held:
        assert np.array_equal(together.row(product), revalue([product], MARKET, drawn()).row(product))
