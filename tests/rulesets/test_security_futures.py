"""Security futures: the rate of the day, pairs by the table of offsets, and what is no hedge."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import Account, AccountClass, Agreement
from crossmargin.errors import InputError, NotInForce
from crossmargin.margin import margin
from crossmargin.methodology import Inputs
from crossmargin.portfolio import Pool, Position
from crossmargin.products import ETF, ListedOption, SecurityFuture, Stock
from crossmargin.regimes import STRATEGY_MARGIN
from crossmargin.registry import rules
from crossmargin.rulesets.security_futures import requirement, scenarios
from tests.properties.strategies import AS_OF, DUAL, RETAIL, book, market

RULES = rules("security_futures")
IBM = SecurityFuture("IBM", 202609)
LATER = SecurityFuture("IBM", 202612)
MINI = SecurityFuture("IBM", 202612, multiplier=10.0)
SHARE = Stock("IBM")
EXPIRY = date(2026, 9, 18)
CASES = tomllib.loads(Path(__file__).with_name("security_futures.cases.toml").read_text(encoding="utf-8"))["case"]


def line(*held, day=AS_OF, price=100.0, prices=None, agreements=(), account_class=AccountClass.SEC_15C3_3, **overlaid):
    """The requirement of (product, quantity) pairs in one account: the pool holds what is no share and no option."""
    given_rules = RULES.with_values(because="house", **overlaid) if overlaid else RULES
    account = Account("A", "RETAIL", "DUAL", account_class, agreements=agreements)
    positions = [Position(f"p{number}", "A", product, quantity) for number, (product, quantity) in enumerate(held)]
    mine = [each for each in positions if not isinstance(each.product, Stock | ListedOption)]
    options = {product.symbol: 1.0 for product, _ in held if isinstance(product, ListedOption)}
    priced = evolve(market(), prices={"IBM": price, "SPY": price, **options, **(prices or {})})
    inputs = Inputs(book(*positions, accounts=(account,)), priced, {})
    pool = Pool("RETAIL", "DUAL", account_class, "carrying firm", "security_futures", "", mine)
    return requirement(pool, inputs, given_rules.at(day))


def option(right, strike):
    return ListedOption("IBM", right, strike, EXPIRY)


def held_in(case):
    """The (product, quantity) pairs of a case."""
    held = [(SecurityFuture("IBM", month), float(count)) for month, count in case["future"]]
    held += [(option(right, float(strike)), float(count)) for right, strike, count in case.get("option", [])]
    return [*held, (SHARE, float(case["stock"]))] if "stock" in case else held


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_by_hand(case):
    prices = {SecurityFuture("IBM", int(month)).symbol: price for month, price in case.get("prices", {}).items()}
    assert line(*held_in(case), prices=prices).amount == pytest.approx(case["expected"]), case["note"]


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


def test_a_house_may_be_stricter_and_the_overlay_shows():
    found = line((IBM, 1), margin_rate=0.25)
    assert found.amount == pytest.approx(2500.0)
    assert [read.because for read in found.all_reads()] == ["house"]
    alone = line((IBM, 2), (LATER, -2), offsets=[])
    assert alone.amount == pytest.approx(6000.0)
    assert line((IBM, -1), (SHARE, 100.0), offsets=["calendar"]).amount == pytest.approx(1500.0)


def test_an_unknown_kind_of_offset_is_refused():
    with pytest.raises(InputError, match="Did you mean 'calendar'"):
        line((IBM, 1), offsets=["calender"])


def test_contracts_of_another_size_are_matched_by_shares():
    assert line((IBM, 1), (MINI, -10)).amount == pytest.approx(500.0)
    assert line((IBM, 1), (MINI, -4)).amount == pytest.approx(0.05 * 4000 + 0.15 * 6000)


def test_another_security_is_no_hedge():
    other = SecurityFuture("SPY", 202609)
    assert line((IBM, 1), (other, -1)).amount == pytest.approx(3000.0)


def test_stock_under_portfolio_margin_is_no_hedge():
    found = line((IBM, -1), (SHARE, 100.0), agreements=(Agreement.PORTFOLIO_MARGIN,))
    assert found.amount == pytest.approx(1500.0)


def test_a_hedge_in_another_account_is_none():
    accounts = tuple(Account(id, "RETAIL", "DUAL", AccountClass.SEC_15C3_3) for id in "AB")
    future, stock = Position("f", "A", IBM, -1.0), Position("s", "B", SHARE, 100.0)
    inputs = Inputs(book(future, stock, accounts=accounts), evolve(market(), prices={"IBM": 100.0}), {})
    pool = Pool("RETAIL", "DUAL", AccountClass.SEC_15C3_3, "carrying firm", "security_futures", "", (future,))
    assert requirement(pool, inputs, RULES.at(AS_OF)).amount == pytest.approx(1500.0)


def test_what_is_no_security_future_is_visible():
    found = line((IBM, 1), (ETF("SPY", "broad"), 100))
    assert found.partial
    assert [part.how for part in found.parts] == ["scaled", "not_modelled"]
    assert line((ETF("SPY", "broad"), 1)).amount is None


def test_an_empty_pool_owes_nothing_and_asks_for_no_scenario():
    assert line().amount == 0.0
    assert line((IBM, 0.0)).amount == 0.0
    assert scenarios(RULES.at(AS_OF)) == ()


# ------------------------------------------------------------------------------------------------------------- laws

products = st.sampled_from([IBM, LATER, MINI, SHARE, option("put", 95.0), option("put", 105.0), option("call", 100.0)])
holdings = st.lists(st.tuples(products, st.integers(-6, 6).map(float)), max_size=7)
prices = st.floats(0.01, 1e6)


def outright(held, price):
    """What the net contracts would ask one by one."""
    nets = {product: sum(count for other, count in held if other == product) for product, _ in held}
    futures = {product: net for product, net in nets.items() if isinstance(product, SecurityFuture)}
    return sum(0.15 * abs(net) * product.multiplier * price for product, net in futures.items())


@given(holdings, prices)
def test_offsets_never_ask_for_more_and_never_for_nothing(held, price):
    found, most = line(*held, price=price).value, outright(held, price)
    assert found <= most * (1 + 1e-12)
    assert (found > 0) is (most > 0)


@given(holdings, st.integers(2, 9))
def test_the_requirement_scales(held, times):
    more = line(*((product, times * count) for product, count in held)).value
    assert more == pytest.approx(times * line(*held).value, rel=1e-12, abs=1e-9)


@given(holdings, st.randoms(use_true_random=False))
def test_order_and_splitting_change_nothing(held, random):
    plain = line(*held).value
    shuffled = [(product, count / 2) for product, count in held for _ in range(2)]
    random.shuffle(shuffled)
    assert line(*shuffled).value == pytest.approx(plain, rel=1e-12, abs=1e-9)


@given(holdings)
def test_without_its_hedges_a_book_never_asks_for_less(held):
    bare = [(product, count) for product, count in held if isinstance(product, SecurityFuture)]
    assert line(*held).value <= line(*bare).value * (1 + 1e-12)


@given(holdings)
def test_a_sold_option_never_makes_a_hedge(held):
    sold = [(option("call", 100.0), -9.0), (option("put", 95.0), -9.0)]
    assert line(*held, *sold).value >= line(*held).value * (1 - 1e-12)


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


def test_stock_of_the_account_lowers_what_its_futures_owe_and_owes_its_own_margin():
    account = Account("SSF", "RETAIL", "DUAL", AccountClass.SEC_15C3_3)
    future, stock = Position("1", "SSF", IBM, -1), Position("2", "SSF", SHARE, 100.0)
    held = book(future, stock, firms=(DUAL,), customers=(RETAIL,), accounts=(account,))
    report = margin(held, evolve(market(), prices={"IBM": 100.0}), STRATEGY_MARGIN)
    asked = {each.ruleset: each.line.amount for each in report.requirements if each.level == "customer"}
    assert asked["security_futures"] == pytest.approx(500.0)
    assert asked["finra_strategy"] >= 0.05 * 10_000


def test_what_was_read_and_what_was_not():
    grades = {name: parameter.values[-1].grade for name, parameter in RULES.parameters.items()}
    assert grades == {
        "margin_rate": "rule",
        "offsets": "disclosure",
        "calendar_rate": "assumed",
        "security_rate": "disclosure",
        "exercise_price_rate": "disclosure",
    }
