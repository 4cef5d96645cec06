"""Archetypes: what they hold exists on its day, and every book has figures where there are prices."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.analysis.archetypes import ARCHETYPES
from crossmargin.analysis.on_the_run import future_on, hedge, issues, longest_quoted
from crossmargin.analysis.study import market_on
from crossmargin.errors import InputError
from crossmargin.io.market_files import packaged_history
from crossmargin.margin import compare
from crossmargin.price_history import PriceHistory
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED
from tests.analysis.study_markets import held_rules, made_up_prices, past

DAY = date(2016, 12, 30)
BY_ID = {book.id: book for book in ARCHETYPES}


@given(st.dates(date(1994, 1, 3), date(2017, 3, 29)))
@settings(max_examples=25, deadline=None)
def test_what_is_on_the_run_has_been_issued_and_can_be_delivered(day):
    history = packaged_history()
    market = past(history.dates[history.row_at(day)])
    found = issues(market, 10, count=6)
    assert all(each.issue <= market.as_of for each in found)
    assert market.as_of - found[0].issue < timedelta(days=93)
    assert all(800 * each.coupon == pytest.approx(round(800 * each.coupon)) for each in found)
    future = future_on("ZN", market)
    assert future.delivery_month > market.as_of.year * 100 + market.as_of.month
    assert hedge(future, future.basket[0], 1e8) < -500


def test_the_history_may_be_too_short():
    first = packaged_history().dates[0]
    with pytest.raises(InputError, match="history"):
        issues(past(first), 10, count=2)
    with pytest.raises(InputError, match="no issues are kept for 'UB'"):
        future_on("UB", past())


def test_shares_are_those_quoted_longest():
    days = [date(2020, 1, 1) + timedelta(n) for n in range(4)]
    nan = float("nan")
    prices = {"B": [1.0] * 4, "A": [nan, 1, 1, 1], "SPX": [1.0] * 4, "C": [1.0] * 4, "D": [1, 1, 1, nan]}
    market = evolve(past(), price_history=PriceHistory(days, prices), prices={"A": 1.0, "B": 1.0, "C": 1.0, "SPX": 1.0})
    assert longest_quoted(market, 3, leave_out=("SPX",)) == ("B", "C", "A")
    with pytest.raises(InputError, match="4 are needed"):
        longest_quoted(market, 4, leave_out=("SPX",))


@pytest.mark.parametrize("id", list(BY_ID))
def test_every_archetype_has_figures_where_there_are_prices(id):
    portfolio, market = BY_ID[id].build(market_on(made_up_prices(past()), DAY))
    assert len(portfolio.positions) >= 2
    compared = compare(portfolio, market, [SILOED], rules=held_rules())
    assert compared.reports[0].total() > 0.0


def test_the_refused_one_is_refused_everywhere():
    portfolio, market = BY_ID["fund_options_against_futures"].build(market_on(past(), DAY))
    compared = compare(portfolio, market, (SILOED, CROSS_MARGIN, HARMONIZED), rules=held_rules())
    assert len(set(compared.totals().values())) == 1
    assert {each.position for each in compared["cross_margin"].refused()} == {each.id for each in portfolio.positions}
