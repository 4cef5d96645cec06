"""Security-based products: what they refuse, what they are called, the dates of the standard credit default swap."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.products import TreasuryNote
from crossmargin.products.security_based import (
    SECURITY_BASED,
    BondTotalReturnSwap,
    CreditDefaultSwap,
    EquityForward,
    EquityTotalReturnSwap,
    ReferenceBond,
    add_weekdays,
    is_imm_date,
    premium_periods,
    standard_maturity,
)

JUNE_31 = date(2031, 6, 20)
NOTE = TreasuryNote(0.0425, date(2033, 8, 15))
ACME_BOND = ReferenceBond("ACME", 0.055, date(2032, 3, 1))
EXAMPLES = [
    (CreditDefaultSwap("ACME", 0.01, JUNE_31), "ACME CDS 100bp 2031-06-20"),
    (CreditDefaultSwap("ACME", 0.05, JUNE_31, recovery=0.25), "ACME CDS 500bp 2031-06-20 R25"),
    (CreditDefaultSwap("IG46", 0.01, JUNE_31, names=125), "IG46 x125 CDS 100bp 2031-06-20"),
    (EquityTotalReturnSwap("IBM", date(2027, 6, 30), 250.5, spread=0.0045), "IBM TRS 250.5 2027-06-30 45bp"),
    (BondTotalReturnSwap(ACME_BOND, date(2027, 6, 30), 1.01), "ACME 5.5 2032-03-01 TRS 1.01 2027-06-30"),
    (EquityForward("IBM", date(2027, 6, 30), 260.0), "IBM forward 260 2027-06-30"),
]


@pytest.mark.parametrize(("product", "symbol"), EXAMPLES)
def test_symbol_kind_hash(product, symbol):
    assert product.symbol == symbol
    assert isinstance(product, SECURITY_BASED)
    assert hash(product) == hash(
        type(product)(**{name: getattr(product, name) for name in product.__match_args__} | rest(product))
    )


def rest(product):
    """Fields that are given by keyword only."""
    names = {"recovery", "names", "members", "spread", "dividends"}
    return {name: getattr(product, name) for name in names if hasattr(product, name)}


def test_kinds_are_distinct():
    assert len({product.kind for product in SECURITY_BASED}) == len(SECURITY_BASED)


def test_a_treasury_may_be_swapped_too():
    assert BondTotalReturnSwap(NOTE, date(2027, 6, 30)).bond is NOTE


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: CreditDefaultSwap("", 1.0, date(2031, 6, 21), recovery=1.0, names=0), 5),
        (lambda: CreditDefaultSwap("A", -0.01, JUNE_31), 1),
        (lambda: CreditDefaultSwap("A", float("nan"), JUNE_31, recovery=float("inf")), 2),
        (lambda: CreditDefaultSwap("A", 0.01, JUNE_31, names=3, members=("X", "Y")), 1),
        (lambda: CreditDefaultSwap("A", 0.01, JUNE_31, names=2, members=("X", "X")), 1),
        (lambda: CreditDefaultSwap("A", 0.01, JUNE_31, names=True), 1),
        (lambda: EquityTotalReturnSwap(" ", "2027-06-30", 0.0, spread=2.0), 4),
        (lambda: BondTotalReturnSwap("ACME", date(2027, 6, 30), 99.5), 2),
        (lambda: BondTotalReturnSwap(ACME_BOND, date(2040, 1, 1)), 1),
        (lambda: ReferenceBond("", 5.5, None), 3),
        (lambda: EquityForward("IBM", date(2027, 1, 4), -1.0), 1),
        (lambda: EquityForward("IBM", date(2027, 1, 4), 9.0, dividends=[(date(2027, 2, 1), 1.0)]), 1),
        (lambda: EquityForward("IBM", date(2027, 1, 4), 9.0, dividends=[3.0]), 1),
    ],
)
def test_every_fault_is_named_at_once(make, count):
    with pytest.raises(InputError) as error:
        make()
    assert len(error.value.problems) == count


def test_the_agreed_price_falls_with_the_dividends_paid():
    forward = EquityForward(
        "IBM", date(2027, 6, 30), 260.0, dividends=[(date(2026, 11, 9), 1.5), (date(2027, 2, 9), 2.0)]
    )
    steps = [forward.adjusted_price(day) for day in (date(2026, 11, 8), date(2026, 11, 9), date(2027, 6, 30))]
    assert steps == [260.0, 258.5, 256.5]


@pytest.mark.parametrize(("names", "narrow"), [(1, True), (9, True), (10, False), (125, False)])
def test_nine_names_are_narrow(names, narrow):
    assert CreditDefaultSwap("X", 0.01, JUNE_31, names=names).is_narrow is narrow


# ------------------------------------------------------------------------------------------------------ standard dates


@pytest.mark.parametrize(
    ("day", "years", "maturity"),
    [
        (date(2026, 3, 19), 5, date(2030, 12, 20)),
        (date(2026, 3, 20), 5, date(2031, 6, 20)),
        (date(2026, 9, 19), 5, date(2031, 6, 20)),
        (date(2026, 9, 20), 5, date(2031, 12, 20)),
        (date(2027, 1, 4), 1, date(2027, 12, 20)),
        (date(2026, 6, 30), 0.5, date(2026, 12, 20)),
    ],
)
def test_standard_maturities(day, years, maturity):
    assert standard_maturity(day, years) == maturity


@pytest.mark.parametrize("years", [0.25, -1, 1.1])
def test_odd_tenors_are_refused(years):
    with pytest.raises(InputError, match="half-year"):
        standard_maturity(date(2026, 6, 30), years)


def test_coupons_by_hand():
    swap = CreditDefaultSwap("ACME", 0.01, date(2027, 6, 20))  # a Sunday
    periods = premium_periods(swap, date(2026, 12, 1))
    assert [(each.start, each.end, each.pay, each.days) for each in periods] == [
        (date(2026, 9, 21), date(2026, 12, 21), date(2026, 12, 21), 91),
        (date(2026, 12, 21), date(2027, 3, 22), date(2027, 3, 22), 91),
        (date(2027, 3, 22), date(2027, 6, 20), date(2027, 6, 21), 91),
    ]


def test_a_coupon_is_gone_when_it_accrues_no_further_than_tomorrow():
    swap = CreditDefaultSwap("ACME", 0.01, date(2027, 6, 20))
    assert premium_periods(swap, date(2026, 12, 19))[0].start == date(2026, 9, 21)
    assert premium_periods(swap, date(2026, 12, 20))[0].start == date(2026, 12, 21)


def test_what_has_ended_has_no_coupons():
    with pytest.raises(InputError, match="ended"):
        premium_periods(CreditDefaultSwap("ACME", 0.01, JUNE_31), JUNE_31)


def test_weekdays_skip_the_weekend_alone():
    assert add_weekdays(date(2026, 7, 2), 3) == date(2026, 7, 7)  # the third of July is no holiday here


@given(st.dates(date(2015, 12, 21), date(2090, 1, 1)), st.integers(1, 20))
def test_coupons_leave_no_gap_and_run_to_maturity(day, half_years):
    maturity = standard_maturity(day, half_years / 2)
    assert is_imm_date(maturity)
    periods = premium_periods(CreditDefaultSwap("A", 0.01, maturity), day)
    assert periods[0].start <= day + timedelta(days=1)
    assert periods[-1].end == maturity
    assert all(left.end == right.start for left, right in pairwise(periods))
    assert sum(each.days for each in periods) == (maturity - periods[0].start).days + 1
    assert len(periods) - 1 <= (maturity - day).days / 88
