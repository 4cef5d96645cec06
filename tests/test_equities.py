"""Shares and what is written on them: names, days, fields that are refused, tickers."""

from __future__ import annotations

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.products import PRODUCT_KINDS, TreasuryBill
from crossmargin.products.calendars import is_business_day
from crossmargin.products.equities import BREADTHS, EQUITIES, ETF, Index, SecurityFuture, Stock, Warrant, ticker_of
from crossmargin.products.lifetime import expiry_of, longest_maturity

EXPIRY = date(2027, 3, 19)


def wheres(make) -> list[str]:
    with pytest.raises(InputError) as caught:
        make()
    return [problem.where for problem in caught.value.problems]


def test_a_share_is_called_by_its_ticker_and_never_ends():
    for share in (Stock("BRK.B"), ETF("SPY", "broad_high_cap", tracks="SPX")):
        assert share.symbol == share.ticker == ticker_of(share)
        assert (expiry_of(share), longest_maturity(share, EXPIRY)) == (date.max, 0.0)


def test_equal_terms_are_one_product():
    assert len({Stock("A"), Stock("A"), Stock("B"), ETF("A"), ETF("A", leverage=2.0), ETF("A", "broad")}) == 5
    assert Stock("A") != ETF("A")
    assert Stock("A") != Index("A", "narrow")


def test_what_is_held_plainly_tracks_nothing_and_moves_once():
    for plain in (Stock("A"), ETF("A"), Index("A", "broad")):
        assert (plain.tracks, plain.leverage) == ("", 1.0)


def test_an_index_cannot_be_held():
    assert "index" not in PRODUCT_KINDS
    assert {product.kind for product in EQUITIES} <= set(PRODUCT_KINDS)


@pytest.mark.parametrize("breadth", BREADTHS)
def test_every_breadth_is_taken(breadth):
    assert ETF("X", breadth).breadth == Index("X", breadth).breadth == breadth


@pytest.mark.parametrize("ticker", ["", "  ", None, 5])
def test_a_ticker_is_a_name(ticker):
    assert wheres(lambda: Stock(ticker)) == ["stock ticker"]
    assert wheres(lambda: Index(ticker, "broad")) == ["index ticker"]
    assert wheres(lambda: ETF(ticker)) == ["etf ticker"]
    assert wheres(lambda: SecurityFuture(ticker, 202609)) == ["security_future underlying"]
    assert wheres(lambda: Warrant(ticker, 5.0, EXPIRY)) == ["warrant underlying"]


def test_everything_wrong_with_a_fund_is_said_at_once():
    found = wheres(lambda: ETF("", "wide", tracks=7, leverage=math.nan))
    assert found == ["etf ticker", "etf breadth", "etf tracks", "etf leverage"]
    with pytest.raises(InputError, match="'broad'"):
        ETF("SPY", "brod")


@pytest.mark.parametrize("leverage", [0, 0.0, -0.0, math.inf, "2", True])
def test_a_fund_without_leverage_is_refused(leverage):
    assert wheres(lambda: ETF("SSO", "broad", leverage=leverage)) == ["etf leverage"]


@pytest.mark.parametrize("leverage", [-3, -1.0, 0.5, 2, 1e9])
def test_any_other_leverage_is_taken(leverage):
    assert ETF("SSO", "broad", leverage=leverage).leverage == leverage


def test_everything_wrong_with_a_future_and_a_warrant_is_said_at_once():
    found = wheres(lambda: SecurityFuture("", 202613, multiplier=-1))
    assert found == ["security_future underlying", "security_future month", "security_future multiplier"]
    assert wheres(lambda: Warrant("", 0.0, "soon")) == ["warrant underlying", "warrant strike", "warrant expiry"]


@pytest.mark.parametrize("month", [202600, 26, "202609", None, 202609.0])
def test_a_month_is_a_number_of_year_and_month(month):
    assert wheres(lambda: SecurityFuture("IBM", month)) == ["security_future month"]


@pytest.mark.parametrize(
    ("month", "day"),
    [
        (202609, date(2026, 9, 18)),
        (202606, date(2026, 6, 18)),  # 19 June is a holiday
        (202204, date(2022, 4, 14)),  # 15 April 2022 was Good Friday
        (202402, date(2024, 2, 16)),  # a leap year
        (202705, date(2027, 5, 21)),  # the first Friday is the seventh
    ],
)
def test_a_future_ends_on_the_third_friday_or_the_business_day_before(month, day):
    future = SecurityFuture("IBM", month)
    assert future.expiry == expiry_of(future) == day
    assert longest_maturity(future, date(2020, 1, 2)) > 0


@given(st.integers(2000, 2099), st.integers(1, 12))
def test_every_future_ends_on_a_business_day_of_the_third_week(year, month):
    expiry = SecurityFuture("IBM", 100 * year + month).expiry
    assert is_business_day(expiry)
    assert 12 <= expiry.day <= 21
    assert (expiry.year, expiry.month) == (year, month)


def test_names_of_futures_and_warrants_tell_their_terms():
    assert SecurityFuture("IBM", 202612, multiplier=10).symbol == "IBM future 2026-12 x10"
    assert SecurityFuture("IBM", 202612, multiplier=100).symbol == "IBM future 2026-12"
    assert Warrant("IBM", 12.5, EXPIRY).symbol == "IBM warrant 12.5 2027-03-19"
    assert expiry_of(Warrant("IBM", 12.5, EXPIRY)) == EXPIRY


def test_the_ticker_of_anything():
    assert ticker_of(Warrant("IBM", 1.0, EXPIRY)) == ticker_of(SecurityFuture("IBM", 202609)) == "IBM"
    assert ticker_of(TreasuryBill(EXPIRY)) == ticker_of(None) == ticker_of(Index("SPX", "broad")) == ""
