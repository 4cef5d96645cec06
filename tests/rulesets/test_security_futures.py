"""Security futures: a share of the market value of every contract, dated, and never netted against anything."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import Account, AccountClass
from crossmargin.errors import NotInForce
from crossmargin.margin import margin
from crossmargin.portfolio import Pool, Position
from crossmargin.products import ETF, SecurityFuture, Stock
from crossmargin.regimes import STRATEGY_MARGIN
from crossmargin.registry import rules
from crossmargin.rulesets.security_futures import requirement, scenarios
from tests.properties.strategies import AS_OF, DUAL, RETAIL, book, market

RULES = rules("security_futures")
IBM = SecurityFuture("IBM", 202609)
MINI = SecurityFuture("IBM", 202612, multiplier=10.0)


def pool(*held):
    positions = [Position(f"p{number}", "A", product, quantity) for number, (product, quantity) in enumerate(held)]
    return Pool("RETAIL", "DUAL", AccountClass.SEC_15C3_3, "carrying firm", "security_futures", "", positions)


def line(*held, day=AS_OF, price=100.0, **overlaid):
    given_rules = RULES.with_values(because="house", **overlaid) if overlaid else RULES
    inputs = SimpleNamespace(prices={product: price for product, _ in held})
    return requirement(pool(*held), inputs, given_rules.at(day))


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2002, 9, 13), 2000.0),
        (date(2020, 12, 23), 2000.0),
        (date(2020, 12, 24), 1500.0),
        (AS_OF, 1500.0),
    ],
)
def test_the_rate_of_the_day(day, expected):
    assert line((IBM, 1), day=day).amount == pytest.approx(expected)


def test_before_security_futures_there_is_no_rate():
    with pytest.raises(NotInForce, match="2002-09-13"):
        line((IBM, 1), day=date(2002, 9, 12))


def test_every_contract_stands_alone():
    found = line((IBM, 3), (IBM, -3), (MINI, -2))
    assert [part.amount for part in found.parts] == pytest.approx([4500.0, 4500.0, 300.0])
    assert found.amount == pytest.approx(9300.0)
    assert {read.name for read in found.all_reads()} == {"margin_rate"}


def test_a_house_may_be_stricter_and_the_overlay_shows():
    found = line((IBM, 1), margin_rate=0.25)
    assert found.amount == pytest.approx(2500.0)
    assert [read.because for read in found.all_reads()] == ["house"]


def test_what_is_no_security_future_is_visible():
    found = line((IBM, 1), (Stock("IBM"), 100))
    assert found.partial
    assert [part.how for part in found.parts] == ["scaled", "not_modelled"]
    assert line((ETF("SPY", "broad"), 1)).amount is None


def test_an_empty_pool_owes_nothing_and_asks_for_no_scenario():
    assert line().amount == 0.0
    assert scenarios(RULES.at(AS_OF)) == ()


@given(st.lists(st.tuples(st.integers(-50, 50), st.floats(0.01, 1e6)), max_size=4), st.integers(1, 9))
def test_the_requirement_scales_and_adds_up(held, times):
    parts = [line((IBM, quantity), price=price).value for quantity, price in held]
    more = [line((IBM, times * quantity), price=price).value for quantity, price in held]
    assert sum(more) == pytest.approx(times * sum(parts), rel=1e-12, abs=1e-9)
    assert all(part >= 0 for part in parts)
    opposite = [line((IBM, -quantity), price=price).value for quantity, price in held]
    assert opposite == parts


# ------------------------------------------------------------------------------------------ in an account


def held_by(account_class):
    account = Account("SSF", "RETAIL", "DUAL", account_class)
    return book(Position("1", "SSF", IBM, 2), firms=(DUAL,), customers=(RETAIL,), accounts=(account,))


@pytest.mark.parametrize("account_class", [AccountClass.SEC_15C3_3, AccountClass.CFTC_4D_AB])
def test_a_securities_and_a_futures_account_owe_the_same(account_class):
    priced = evolve(market(), prices={"IBM": 100.0})
    report = margin(held_by(account_class), priced, STRATEGY_MARGIN)
    asked = [each for each in report.requirements if each.ruleset == "security_futures"]
    assert [(each.level, each.line.amount) for each in asked] == [("customer", pytest.approx(3000.0))]


def test_its_own_price_comes_before_that_of_the_stock():
    priced = evolve(market(), prices={"IBM": 100.0, IBM.symbol: 104.0})
    report = margin(held_by(AccountClass.SEC_15C3_3), priced, STRATEGY_MARGIN)
    assert report.total("customer") == pytest.approx(0.15 * 2 * 100 * 104)


def test_a_future_without_a_price_is_visible():
    report = margin(held_by(AccountClass.SEC_15C3_3), market(), STRATEGY_MARGIN)
    assert report.partial
    said = {line.note for _, line in report.not_modelled()}
    assert "the market has no price of IBM future 2026-09" in said


def test_the_rate_rests_on_what_was_not_read():
    assert RULES.assumed_share == 1.0
