"""Stocks held singly: figures worked by hand from 12 CFR 220.12 and FINRA 4210(c), and the laws of both."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import AccountClass
from crossmargin.conformance import run
from crossmargin.errors import InputError, NotInForce
from crossmargin.pairing.book import StockHolding, StrategyBook
from crossmargin.portfolio import Pool, Position
from crossmargin.products import ETF, ListedOption, Stock
from crossmargin.registry import rules
from crossmargin.rulesets.finra_strategy import strategy_margin
from crossmargin.rulesets.reg_t import (
    AccountBalances,
    StockPosition,
    account,
    initial_deposit,
    initial_gross,
    maintenance,
    minimum_equity_shortfall,
    requirement,
    scenarios,
    short_sale_credit,
)
from crossmargin.worked.securities import FAMILIES
from tests.properties.strategies import BILL, NOTE_7

RULES = rules("reg_t")
AS_OF = date(2026, 7, 1)
CASES = Path(__file__).resolve().parents[2] / ".." / "shared" / "cases" / "equity_margin.jsonl"

prices = st.floats(0.0, 1e5)
shares = st.floats(0.01, 1e7)
factors = st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.0])


def reader(as_of=AS_OF, **overlaid):
    return (RULES.with_values(because="test", **overlaid) if overlaid else RULES).at(as_of)


def asked(quantity, price, leverage=1.0, **overlaid) -> float:
    return maintenance(StockPosition(quantity, mark_price=price, leverage=leverage), reader(**overlaid)).value


# ------------------------------------------------------------------------------------------------------- by hand

MAINTENANCE = [  # quantity, price, leverage -> USD
    (100, 40.0, 1, 1000.0, "long, 25 %"),
    (100, 0.0, 1, 0.0, "worthless"),
    (0, 40.0, 1, 0.0, "nothing held"),
    (100, 40.0, 2, 2000.0, "50 %"),
    (100, 40.0, 3, 3000.0, "75 %"),
    (100, 40.0, 4, 4000.0, "100 %"),
    (100, 40.0, 5, 4000.0, "125 % stops at 100 %"),
    (-100, 110.0, 1, 3300.0, "short, 30 %"),
    (-100, 16.0, 1, 500.0, "30 % is 4.80, $5 a share binds"),
    (-100, 17.0, 1, 510.0, "30 % is 5.10"),
    (-100, 5.0, 1, 500.0, "at the threshold: $5 a share"),
    (-100, 4.99, 1, 499.0, "below it: the value in full"),
    (-100, 2.5, 1, 250.0, "value and $2.50 a share meet"),
    (-100, 1.0, 1, 250.0, "$2.50 a share, more than the value"),
    (-100, 0.0, 1, 250.0, "still $2.50 a share"),
    (-100, 60.0, 3, 5400.0, "90 %"),
    (-100, 60.0, 4, 6000.0, "120 % stops at 100 %"),
    (-100, 6.0, 2, 500.0, "60 % is 3.60, $5 a share binds"),
    (-100, 4.0, 3, 400.0, "low price: leverage changes nothing"),
]


@pytest.mark.parametrize(
    ("quantity", "price", "leverage", "expected", "why"), MAINTENANCE, ids=[c[-1] for c in MAINTENANCE]
)
def test_maintenance_by_hand(quantity, price, leverage, expected, why):
    assert asked(quantity, price, leverage) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("quantity", "gross", "credit", "deposit"),
    [(200, 5000.0, 0.0, 5000.0), (-200, 15000.0, 10000.0, 5000.0), (0, 0.0, 0.0, 0.0)],
)
def test_initial_margin_by_hand(quantity, gross, credit, deposit):
    held = StockPosition(quantity, trade_price=50.0)
    assert initial_gross(held, reader()).value == gross
    assert short_sale_credit(held).value == credit
    assert initial_deposit(held, reader()).value == deposit


ACCOUNTS = [  # long, short, debit, credit -> equity, requirement, call, excess
    ((15000, 0, 10000, 0), (5000, 3750, 0, 1250)),
    ((10000, 0, 8000, 0), (2000, 2500, 500, 0)),
    ((10000, 0, 7500, 0), (2500, 2500, 0, 0)),
    ((0, 11000, 0, 15000), (4000, 3300, 0, 700)),
    ((0, 14000, 0, 15000), (1000, 4200, 3200, 0)),
    ((20000, 10000, 12000, 14000), (12000, 8000, 0, 4000)),
    ((5000, 0, 6000, 0), (-1000, 1250, 2250, 0)),
    ((0, 0, 0, 0), (0, 0, 0, 0)),
]


@pytest.mark.parametrize(("balances", "expected"), ACCOUNTS, ids=str)
def test_accounts_by_hand(balances, expected):
    state = account(AccountBalances(*balances), reader())
    found = (state.equity.value, state.requirement.value, state.call.value, state.excess.value)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("equity", "cost", "expected"),
    [(1200, 8000, 800), (2000, 8000, 0), (500, 700, 200), (9000, 8000, 0), (-100, 50, 150)],
)
def test_minimum_equity_by_hand(equity, cost, expected):
    assert minimum_equity_shortfall(equity, cost, reader()).value == expected


def test_shared_cases():
    if not CASES.exists():
        pytest.skip("the shared worked cases are not beside the repository")
    outcome = run(CASES, families=FAMILIES)
    assert outcome.ok, outcome.text()
    assert not any(tally.not_implemented for tally in outcome.families.values())


def test_the_adapter_leaves_out_what_has_no_price_and_takes_the_rates_of_the_case():
    position = {"side": "short", "quantity": 10, "trade_price": None, "mark_price": None, "leverage": 1.0}
    assert set(FAMILIES["equity_margin.position"](position).values()) == {None}
    balances = {"long_market_value": 1000, "short_market_value": 0, "debit_balance": 0, "credit_balance": 0}
    found = FAMILIES["equity_margin.account"]({**balances, "long_rate": 0.4, "short_rate": 0.3})
    assert found["requirement"] == 400
    with pytest.raises(InputError, match="Did you mean 'short'"):
        FAMILIES["equity_margin.position"]({**position, "side": "shorts"})


# ---------------------------------------------------------------------------------------------------------- laws


@given(shares, prices, prices, factors, st.sampled_from([1, -1]))
def test_maintenance_never_falls_as_the_price_rises(quantity, one, other, leverage, sign):
    low, high = sorted((one, other))
    assert asked(sign * quantity, low, leverage) <= asked(sign * quantity, high, leverage) * (1 + 1e-12)


@given(shares, shares, prices, factors, st.sampled_from([1, -1]))
def test_lots_add_up_and_more_shares_never_ask_less(first, second, price, leverage, sign):
    both = asked(sign * (first + second), price, leverage)
    one, other = asked(sign * first, price, leverage), asked(sign * second, price, leverage)
    assert both == pytest.approx(one + other, rel=1e-9, abs=1e-9)
    assert both >= max(one, other) * (1 - 1e-12)


@given(shares, prices, factors, factors, st.sampled_from([1, -1]))
def test_leverage_never_asks_less_and_never_more_than_cap_or_amount_per_share(quantity, price, one, other, sign):
    low, high = sorted((one, other))
    least, most = asked(sign * quantity, price, low), asked(sign * quantity, price, high)
    assert least <= most
    assert most <= quantity * max(price, 5.0 if sign < 0 else 0.0) * (1 + 1e-12)


@pytest.mark.parametrize("leverage", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("turn", [2.5, 5.0, 5.0 / 0.3])
def test_the_requirement_is_continuous_where_the_rule_changes(turn, leverage):
    below, above = math.nextafter(turn, 0), math.nextafter(turn, 1e9)
    assert asked(-100, below, leverage) == pytest.approx(asked(-100, above, leverage), rel=1e-12)


def test_an_overlaid_threshold_makes_a_jump():
    assert asked(-100, 9.99, low_price_threshold=10.0) == pytest.approx(999.0)
    assert asked(-100, 10.0, low_price_threshold=10.0) == pytest.approx(500.0)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e9))
def test_call_and_excess_are_the_two_sides_of_one_difference(long, short, debit, credit):
    state = account(AccountBalances(long, short, debit, credit), reader())
    assert state.call.value >= 0
    assert state.excess.value >= 0
    assert min(state.call.value, state.excess.value) == 0
    difference = state.equity.value - state.requirement.value
    assert state.excess.value - state.call.value == pytest.approx(difference, abs=1e-3)


@given(shares, prices)
def test_the_deposit_of_a_short_sale_is_what_a_purchase_asks(quantity, price):
    long = initial_deposit(StockPosition(quantity, trade_price=price), reader()).value
    short = initial_deposit(StockPosition(-quantity, trade_price=price), reader()).value
    assert short == pytest.approx(long, rel=1e-9, abs=1e-9)


# ----------------------------------------------------------------------------------------- house rates, explanation


def test_a_house_rate_replaces_the_rule_and_shows():
    line = maintenance(StockPosition(100, mark_price=40.0), reader(maintenance_long_rate=0.4))
    assert line.value == 1600.0
    assert [read.because for read in line.all_reads() if read.name == "maintenance_long_rate"] == ["test"]


def test_a_house_rate_above_the_cap_is_not_cut_by_leverage():
    assert asked(100, 40.0, 1.0, maintenance_long_rate=1.2) == pytest.approx(4800.0)
    assert asked(100, 40.0, 2.0, maintenance_long_rate=1.2) == pytest.approx(4800.0)


def test_every_line_cites_what_it_read():
    names = {read.name for read in maintenance(StockPosition(-100, mark_price=4.0), reader()).all_reads()}
    assert {"low_price_threshold", "low_price_short_rate", "low_price_short_per_share"} <= names
    assert [read.locator for read in initial_gross(StockPosition(1, trade_price=1.0), reader()).reads] == ["220.12(a)"]


# ---------------------------------------------------------------------------------------------------- bad input


def test_every_fault_of_a_position_is_named_at_once():
    with pytest.raises(InputError) as found:
        StockPosition(math.nan, -1.0, math.inf, -2.0)
    assert [problem.where for problem in found.value.problems] == ["quantity", "trade_price", "mark_price", "leverage"]


def test_every_fault_of_balances_is_named_at_once():
    with pytest.raises(InputError) as found:
        AccountBalances(-1.0, math.nan, math.inf, 0.0)
    assert len(found.value.problems) == 3


def test_a_missing_price_is_asked_for_by_name():
    with pytest.raises(InputError, match="mark_price"):
        maintenance(StockPosition(100, trade_price=40.0), reader())
    with pytest.raises(InputError, match="trade_price"):
        initial_deposit(StockPosition(100, mark_price=40.0), reader())
    with pytest.raises(InputError, match="equity"):
        minimum_equity_shortfall(math.nan, 100.0, reader())


def test_a_day_before_the_rule_is_refused():
    with pytest.raises(NotInForce):
        maintenance(StockPosition(100, mark_price=40.0), reader(date(2010, 12, 1)))


# ---------------------------------------------------------------------------------------------------- as a rule-set


def pooled(*held):
    positions = [Position(f"p{place}", "A", *each) for place, each in enumerate(held)]
    pool = Pool("ALPHA", "DUAL", AccountClass.SEC_15C3_3, "carrying firm", "reg_t", "", positions)
    prices = {Stock("IBM"): 40.0, SDS: 60.0}
    return requirement(pool, SimpleNamespace(prices=prices), reader())


SDS = ETF("SDS", "broad_high_cap", tracks="SPX", leverage=-3.0)


def test_stock_of_a_pool_is_margined_ticker_by_ticker_at_today_s_price():
    line = pooled((Stock("IBM"), 150), (Stock("IBM"), -50), (SDS, -100))
    assert [(part.name, part.amount) for part in line.parts] == [("IBM", 2000.0), ("SDS", 3000.0)]
    (kept,) = line.memo
    assert [(part.name, part.amount) for part in kept.parts] == [("IBM", 1000.0), ("SDS", pytest.approx(5400.0))]
    assert "today's stands in" in line.note
    assert not line.partial


def test_options_of_a_pool_are_pointed_to_their_rule():
    line = pooled((Stock("IBM"), 100), (ListedOption("IBM", "call", 45.0, date(2026, 9, 18)), -1), (Stock("ZZZ"), 1))
    assert line.amount == 2000.0
    assert [part.note for part in line.parts[1:]] == [
        "options, and stock hedged by them, are margined by finra_strategy",
        "the market has no price of ZZZ",
    ]


def test_as_a_pool_s_rule_set_nothing_is_silently_zero():
    assert scenarios(reader()) == ()
    line = pooled((BILL, 1e6), (NOTE_7, -1e6))
    assert line.amount is None
    assert line.partial
    assert len(line.parts) == 2
    assert pooled().amount == 0.0


# ------------------------------------------------------------------------------------------ one fact, one grade

SAME_FACTS = {  # here -> in the rule-set of strategies
    "initial_long_rate": "stock_initial_rate",
    "maintenance_long_rate": "stock_long_rate",
    "maintenance_short_rate": "stock_short_rate",
    "maintenance_short_per_share": "stock_short_per_share",
    "low_price_threshold": "low_price",
    "low_price_short_rate": "low_price_short_rate",
    "low_price_short_per_share": "low_price_short_per_share",
    "leveraged_rate_cap": "leveraged_rate_cap",
}


@pytest.mark.parametrize("name", sorted(SAME_FACTS))
def test_both_rule_sets_of_stock_grade_a_fact_alike(name):
    other = rules("finra_strategy")
    one, two = RULES.in_force(name, AS_OF), other.in_force(SAME_FACTS[name], AS_OF)
    assert (one.value, one.grade) == (two.value, two.grade)
    if name != "initial_long_rate":  # cited there for long and short together
        assert one.locator == two.locator
        assert RULES.sources[one.source] == other.sources[two.source]


@given(st.integers(-99, 99), st.floats(0.01, 1e4), factors)
def test_stock_alone_owes_the_same_under_both(quantity, price, leverage):
    held = StrategyBook("equity", price, stock=StockHolding(quantity, price), leverage=leverage)
    whole = strategy_margin(held, rules("finra_strategy"), AS_OF)
    assert whole.maintenance.value == pytest.approx(asked(quantity, price, leverage), rel=1e-9, abs=1e-9)
    deposit = initial_deposit(StockPosition(quantity, trade_price=price), reader()).value
    assert whole.initial.value == pytest.approx(deposit, rel=1e-9, abs=1e-9)
