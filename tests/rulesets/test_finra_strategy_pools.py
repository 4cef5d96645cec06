"""Strategy margin of a pool: what its books owe, shares of a fund for its index, and what is visibly left out."""

from __future__ import annotations

from datetime import date

import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass
from crossmargin.errors import InputError
from crossmargin.margin import margin
from crossmargin.methodology import Inputs
from crossmargin.pairing.book import OptionLeg, StockHolding, StrategyBook
from crossmargin.portfolio import Pool, Position
from crossmargin.products import ETF, Index, ListedOption, Stock, Warrant
from crossmargin.regimes import STRATEGY_MARGIN
from crossmargin.registry import rules
from crossmargin.results import Report
from crossmargin.rulesets import finra_strategy
from crossmargin.underlyings import Underlying
from tests.properties.strategies import ACCOUNTS, market
from tests.properties.strategies import book as portfolio_of

RULES = rules("finra_strategy")
DAY = date(2026, 6, 30)
CALL, PUT = "call", "put"


def margin_of(*legs, kind="equity", price=100.0, shares=0):
    """Margin of the one book of legs (quantity, right, strike, price) that run for 30 days."""
    stock = StockHolding(shares, price) if shares else None
    held = StrategyBook(kind, price, [OptionLeg(*leg, 30) for leg in legs], stock=stock)
    return finra_strategy.strategy_margin(held, RULES, DAY)


def names(line):
    return [part.name for part in line.parts]


IBM, SPY = Stock("IBM"), ETF("SPY", "broad_high_cap", tracks="SPX")
UNDERLYINGS = {
    "IBM": Underlying("IBM", spot=100.0),
    "SPY": Underlying("SPY", spot=600.0, security=SPY),
    "SPX": Underlying("SPX", spot=6000.0, security=Index("SPX", "broad_high_cap")),
}
INDEX_TERMS = {"exercise": "european", "settlement": "cash", "underlying_kind": "index"}
EXPIRY = date(2026, 7, 30)


def option(right, strike, ticker="IBM", **terms):
    return ListedOption(ticker, right, strike, EXPIRY, **(INDEX_TERMS if ticker == "SPX" else {}), **terms)


def pooled(*held, ruleset=RULES, price=2.0, underlyings=UNDERLYINGS):
    """The line of a pool of (product, quantity), every option at one price."""
    positions = [Position(f"p{place}", "RETAIL-SEC", *each) for place, each in enumerate(held)]
    prices = {product.symbol: price for product, _ in held if isinstance(product, ListedOption)}
    inputs = Inputs(portfolio_of(*positions), evolve(market(), underlyings=underlyings, prices=prices), {})
    pool = Pool("RETAIL", "DUAL", AccountClass.SEC_15C3_3, "carrying firm", "finra_strategy", "", positions)
    return finra_strategy.requirement(pool, inputs, ruleset.at(DAY))


def beside(line):
    return {each.name: each.amount for each in line.memo}


def test_a_pool_owes_what_its_book_owes():
    line = pooled((IBM, 250), (option(CALL, 105), -3), (option(PUT, 90), -1), (option(PUT, 85), 2))
    legs = ((-3, CALL, 105, 2.0), (-1, PUT, 90, 2.0), (2, PUT, 85, 2.0))
    alone = margin_of(*legs, shares=250)
    (only,) = line.parts
    assert (only.name, line.amount) == ("IBM", alone.maintenance.amount)
    assert names(only) == names(alone.maintenance)
    assert (
        beside(line)
        == beside(only)
        == {
            "initial requirement": alone.initial.amount,
            "gross requirement": alone.gross_requirement.amount,
            "premium credit": 800.0,
            "net deposit": alone.net_deposit.amount,
            "initial requirement, cannot be lower than": pytest.approx(alone.initial_bound),
            "maintenance requirement, cannot be lower than": pytest.approx(alone.maintenance_bound),
        }
    )
    assert "today's prices" in line.note


def test_underlyings_are_margined_apart_and_added():
    calls = [(option(CALL, 105), -1), (option(CALL, 610, "SPY", underlying_kind="etf"), -1)]
    one, other = (pooled(each) for each in calls)
    both = pooled(*calls)
    assert [part.name for part in both.parts] == ["IBM", "SPY"]
    assert both.amount == one.amount + other.amount
    assert beside(both)["premium credit"] == 400.0


def test_a_fund_covers_calls_on_its_index_that_settle_at_the_close():
    at_close, at_open = option(CALL, 6100, "SPX"), option(CALL, 6100, "SPX", settles_at="open")
    covered = pooled((SPY, 1000), (at_close, -1))
    assert names(covered.part("SPX")) == ["covered call"]
    assert covered.amount == 0.25 * 600_000
    assert beside(covered)["initial requirement"] == 0.5 * 600_000
    assert "1,000 shares of SPY" in covered.part("SPX").note
    assert names(pooled((SPY, 1000), (at_open, -1)).part("SPX")) == ["naked call"]
    switched_off = RULES.with_values(fund_covers_index_calls=False, because="a broker that does not take it")
    assert pooled((SPY, 1000), (at_close, -1), ruleset=switched_off).amount == 150_000 + 100 * (2 + 900 - 100)


def test_shares_wanted_twice_go_where_they_save_most():
    fund_calls = (option(CALL, 610, "SPY", underlying_kind="etf"), -20)
    line = pooled((SPY, 2500), fund_calls, (option(CALL, 6100, "SPX"), -2))
    by_hand = []
    for lots in (0, 1, 2):
        own = margin_of((-20, CALL, 610, 2.0), kind="broad_etf", price=600.0, shares=2500 - 1000 * lots)
        other = margin_of((-2, CALL, 6100, 2.0), kind="broad_index", price=6000.0)
        naked = other.maintenance.amount / 2
        by_hand.append(own.maintenance.amount + (2 - lots) * naked + lots * 150_000)
    assert line.amount == pytest.approx(min(by_hand))
    assert beside(line)["maintenance requirement, cannot be lower than"] == pytest.approx(line.amount)
    assert "SPY and SPX together cannot be lower than" in line.part("SPX").note


def test_the_looser_bound_of_many_ways_holds(monkeypatch):
    held = [(SPY, 2600), (option(CALL, 610, "SPY", underlying_kind="etf"), -20), (option(CALL, 6100, "SPX"), -3)]
    tight = pooled(*held)
    monkeypatch.setattr(finra_strategy, "_WAYS", 1)
    loose = pooled(*held)
    low = beside(loose)["maintenance requirement, cannot be lower than"]
    assert low <= beside(tight)["maintenance requirement, cannot be lower than"] <= tight.amount <= loose.amount


def test_a_search_cut_short_names_the_clock():
    legs = [
        (option(right, strike), (-1) ** strike * (1 + strike % 3)) for right in (CALL, PUT) for strike in range(85, 116)
    ]
    hurried = RULES.with_values(solver_seconds=1e-9, because="no time")
    line, full = pooled(*legs, ruleset=hurried), pooled(*legs)
    assert "the search was cut short" in line.part("IBM").note
    assert "solver_seconds" in {read.name for read in line.part("IBM").reads}
    assert "solver_seconds" not in {read.name for read in full.all_reads()}
    assert beside(line)["maintenance requirement, cannot be lower than"] <= full.amount <= line.amount


def test_what_is_not_margined_here_is_visible():
    line = pooled((IBM, 100), (Warrant("IBM", 120.0, EXPIRY), 10), (option(CALL, 50, "ZZZ"), -1))
    assert line.amount == 2500.0
    assert [part.note for part in line.parts if part.how == "not_modelled"] == [
        "strategy margin takes stock, funds and listed options",
        "the market has no price of ZZZ",
    ]
    assert pooled((Warrant("IBM", 120.0, EXPIRY), 10)).amount is None
    assert pooled().amount == 0.0
    assert finra_strategy.scenarios(RULES.at(DAY)) == ()


def test_parts_of_a_contract_are_refused_by_position():
    with pytest.raises(InputError, match=r"position 'p1': quantity is -0\.5") as caught:
        pooled((IBM, 0.5), (option(CALL, 105), -0.5), (option(PUT, 95), 1.25))
    assert len(caught.value.problems) == 2


def test_the_regime_margins_an_account_whole():
    positions = [Position("1", "RETAIL-SEC", IBM, 200), Position("2", "RETAIL-SEC", option(CALL, 105), -2)]
    priced = evolve(market(), underlyings=UNDERLYINGS, prices={positions[1].product.symbol: 2.0})
    report = margin(portfolio_of(*positions), priced, STRATEGY_MARGIN)
    assert report.total("customer") == 5000.0
    assert Report.from_json(report.to_json()) == report


# ---------------------------------------------------------------------------------------------------- cash accounts


def margined_in(cash, *held):
    """The customer's line under strategy margin, each product in the margin account or, if `cash`, in the other."""
    positions = [
        Position(f"p{place}", "RETAIL-CASH" if in_cash else "RETAIL-SEC", *each)
        for place, (each, in_cash) in enumerate(zip(held, cash, strict=True))
    ]
    mine = next(account for account in ACCOUNTS if account.id == "RETAIL-SEC")
    told = portfolio_of(*positions, accounts=(*ACCOUNTS, evolve(mine, id="RETAIL-CASH", cash=True)))
    prices = {product.symbol: 2.0 for product, _ in held if isinstance(product, ListedOption)}
    report = margin(told, evolve(market(), underlyings=UNDERLYINGS, prices=prices), STRATEGY_MARGIN)
    (owed,) = [entry for entry in report.requirements if entry.level == "customer"]
    return owed.line


def test_a_cash_account_pays_in_full():
    line = margined_in([True, True], (IBM, 100.0), (option(PUT, 90.0), -1.0))
    assert [part.name.endswith("cash account") for part in line.parts] == [True]
    assert line.amount == 100.0 * 100.0 + 90.0 * 100.0


def test_stock_paid_in_full_covers_nothing_on_margin():
    short = (option(CALL, 110.0), -1.0)
    apart = margined_in([True, False], (IBM, 100.0), short)
    alone = margined_in([False], short)
    assert apart.amount == 10_000.0 + alone.amount
    assert margined_in([False, False], (IBM, 100.0), short).amount < apart.amount


def test_a_cash_account_may_not_be_short():
    with pytest.raises(InputError, match="margin account"):
        margined_in([True], (IBM, -100.0))
