"""Quotation: settlement, bill rates, bond-equivalent yields, street-convention prices."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.products import (
    TreasuryNote,
    bill_discount_rate,
    bill_price,
    bond_equivalent_yield,
    coupon_dates,
    price_from_yield,
    settlement_date,
)
from crossmargin.products.calendars import add_months, is_month_end

NOTE = TreasuryNote(0.0425, date(2035, 2, 15))
START = date(2026, 6, 30)


@st.composite
def notes(draw):
    """A note with one to sixty coupons left, and a date before its maturity."""
    on = draw(st.dates(date(1990, 1, 1), date(2080, 12, 31)))
    maturity = on + timedelta(days=draw(st.integers(1, 10950)))
    if draw(st.booleans()):
        maturity = add_months(maturity, 0, month_end=True)
    return TreasuryNote(draw(st.integers(0, 128)) / 800, maturity), on


def _problems(make) -> list[str]:
    with pytest.raises(InputError) as caught:
        make()
    return [problem.where for problem in caught.value.problems]


def test_treasuries_settle_on_the_next_business_day():
    assert settlement_date(date(2026, 6, 30)) == date(2026, 7, 1)
    assert settlement_date(date(2026, 12, 24)) == date(2026, 12, 28)


def test_a_short_and_a_long_bill_by_hand():
    assert bill_price(0.0761, 90) == pytest.approx(0.980975, abs=1e-12)
    assert bond_equivalent_yield(0.980975, 90) == pytest.approx(0.07865, abs=5e-6)
    assert bond_equivalent_yield(0.92265, 364) == pytest.approx(0.08237, abs=5e-6)


@given(st.floats(-0.02, 0.2), st.integers(1, 366))
def test_discount_rate_and_price_are_inverse(rate, term):
    assert bill_discount_rate(bill_price(rate, term), term) == pytest.approx(rate, abs=1e-12)


@given(st.floats(0.7, 1.05), st.integers(184, 366), st.sampled_from([365, 366]))
def test_bond_equivalent_yield_of_a_long_bill_reprices_it(price, term, year_days):
    yield_ = bond_equivalent_yield(price, term, year_days=year_days)
    # half a year at half the yield, the rest simple
    rest = term / year_days - 0.5
    assert price * (1 + yield_ / 2) * (1 + yield_ * rest) == pytest.approx(1.0, rel=1e-9)


def test_bond_equivalent_yield_does_not_jump_at_half_a_year():
    assert bond_equivalent_yield(0.98, 183, year_days=366) == pytest.approx(
        bond_equivalent_yield(0.98 - 1e-4, 184, year_days=366), abs=3e-4
    )


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: bill_price(math.nan, 0), ["discount_rate", "days"]),
        (lambda: bill_discount_rate(math.inf, 90), ["price"]),
        (lambda: bond_equivalent_yield(0.0, 90), ["price"]),
        (lambda: bond_equivalent_yield(0.98, -1), ["days"]),
        (lambda: price_from_yield(NOTE, math.nan, NOTE.maturity), ["yield_", f"settle of {NOTE.symbol}"]),
        (lambda: price_from_yield(NOTE, -2.0, START), ["yield_"]),
    ],
)
def test_bad_quotations(call, where):
    assert _problems(call) == where


@given(notes())
def test_yield_equal_to_coupon_prices_at_par_on_a_coupon_date(case):
    note, on = case
    day = coupon_dates(note.maturity, on)[0]
    assume(day < note.maturity)
    price = price_from_yield(note, note.coupon, day)
    assert price.clean == pytest.approx(1.0, abs=1e-12)
    assert price.dirty == price.clean


@given(notes(), st.floats(-0.01, 0.15))
def test_price_falls_with_the_yield(case, yield_):
    note, on = case
    assert price_from_yield(note, yield_ + 0.01, on).clean < price_from_yield(note, yield_, on).clean


def _ql_schedule(ql, maturity, years=11):
    first = add_months(maturity, -12 * years, month_end=is_month_end(maturity))
    return ql.Schedule(
        ql.Date(first.day, first.month, first.year),
        ql.Date(maturity.day, maturity.month, maturity.year),
        ql.Period(6, ql.Months),
        ql.NullCalendar(),
        ql.Unadjusted,
        ql.Unadjusted,
        ql.DateGeneration.Backward,
        is_month_end(maturity),
    )


@pytest.mark.parametrize(
    ("maturity", "settle"),
    [
        (date(2035, 2, 15), date(2026, 6, 30)),
        (date(2031, 8, 31), date(2026, 2, 28)),  # on a coupon date
        (date(2031, 8, 31), date(2026, 3, 1)),
        (date(2032, 2, 29), date(2026, 8, 30)),
        (date(2026, 11, 30), date(2026, 6, 30)),  # last period: simple
        (date(2026, 11, 30), date(2026, 5, 30)),
        (date(2028, 8, 30), date(2026, 2, 27)),
    ],
)
@pytest.mark.parametrize("yield_", [-0.002, 0.0, 0.0437, 0.15])
def test_price_and_accrued_agree_with_quantlib(maturity, settle, yield_):
    ql = pytest.importorskip("QuantLib")
    note = TreasuryNote(0.04125, maturity)
    schedule = _ql_schedule(ql, maturity)
    day_count = ql.ActualActual(ql.ActualActual.ISMA, schedule)
    bond = ql.FixedRateBond(1, 100.0, schedule, [0.04125], day_count)
    at = ql.Date(settle.day, settle.month, settle.year)
    rule = ql.Simple if len(coupon_dates(maturity, settle)) == 1 else ql.Compounded
    theirs = ql.BondFunctions.cleanPrice(bond, yield_, day_count, rule, ql.Semiannual, at) / 100
    ours = price_from_yield(note, yield_, settle)
    assert ours.accrued == pytest.approx(bond.accruedAmount(at) / 100, abs=1e-12)
    assert ours.clean == pytest.approx(theirs, abs=1e-10)
    assert ours.dirty == ours.clean + ours.accrued
