"""What is wrong with a portfolio and a market, all of it in one error; what is merely unknown stays visible."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from attrs import evolve

from crossmargin.checking import check
from crossmargin.errors import InputError
from crossmargin.margin import margin
from crossmargin.portfolio import Position
from crossmargin.products import (
    ETF,
    Index,
    ListedOption,
    Repo,
    ReverseRepo,
    SecurityFuture,
    Stock,
    TreasuryBill,
    TreasuryBond,
    TreasuryFuture,
)
from crossmargin.underlyings import Underlying
from tests.properties.strategies import AS_OF, FRN, NOTE_7, SETTLES, TIPS_8, ZN, basis, book, market

EXPIRY = date(2026, 9, 18)
STOCK, FUTURE = Stock("XYZ"), SecurityFuture("XYZ", 202609)
PUT = ListedOption("XYZ", "put", 95.0, EXPIRY)
TERMS = (SETTLES, date(2026, 7, 31), 0.037)


def held(*products, account="RETAIL-SEC"):
    return book(*(Position(f"p{n}", account, product, 100.0) for n, product in enumerate(products)))


def told(*underlyings, **prices):
    return evolve(market(), prices=prices, underlyings={each.symbol: each for each in underlyings})


def found(portfolio, known, **more) -> list[tuple[str, str]]:
    with pytest.raises(InputError) as caught:
        check(portfolio, known, **more)
    return [(problem.where, problem.what) for problem in caught.value.problems]


def test_a_sound_book_passes():
    check(book(*basis()), market())
    check(book(*basis()), market(), as_of=AS_OF)
    check(book(), market())
    check(held(STOCK, FUTURE, PUT), told(Underlying("XYZ", 0.2, 100.0)))


def test_what_the_market_does_not_know_is_no_error():
    check(held(STOCK, FUTURE, PUT, ListedOption("SPX", "put", 5.0, EXPIRY, settlement="cash")), market())


def test_everything_wrong_is_said_at_once():
    beyond = TreasuryBond(0.04, date(2059, 5, 15))
    bare = TreasuryFuture("UB", 202609)
    gone = SecurityFuture("XYZ", 202603)
    bad = held(beyond, bare, TreasuryBill(date(2026, 1, 8)), gone, Stock("ABC"), ETF("ABC"), account="ALPHA-XM")
    said = found(bad, told(XYZ=-1.0), as_of=AS_OF + timedelta(1))
    words = " | ".join(f"{where}: {what}" for where, what in said)
    assert words.count("|") == 6
    for word in ("1 day older", "beyond the curve", "no deliverable basket", "ended on 2026-01-08", "2026-03-20"):
        assert word in words
    assert "ABC: is held as ETF(" in words
    assert f"{gone.symbol}: its price is -1." in words


@pytest.mark.parametrize("price", [0.0, -0.0, -3.0])
def test_a_share_costs_something(price):
    assert found(held(STOCK), told(XYZ=price)) == [("XYZ", f"its price is {price:g}.")]
    both = found(held(STOCK, FUTURE), told(Underlying("XYZ", 0.2, 100.0), **{FUTURE.symbol: price}))
    assert both == [(FUTURE.symbol, f"its price is {price:g}.")]


def test_an_option_may_be_worthless_but_not_less():
    check(held(PUT), told(**{PUT.symbol: 0.0}))
    assert found(held(PUT), told(**{PUT.symbol: -0.05})) == [(PUT.symbol, "its price is -0.05.")]


def test_a_ticker_has_one_price():
    known = Underlying("XYZ", 0.2, 100.0)
    check(held(STOCK, PUT), told(known, XYZ=100.0))
    check(held(STOCK, PUT), told(known, XYZ=100.0 * (1 + 1e-12)))
    assert found(held(PUT), told(known, XYZ=101.0)) == [("XYZ", "underlyings has a spot of 100, prices has 101.")]
    check(held(NOTE_7, account="ALPHA-XM"), told(known, XYZ=101.0))  # nobody holds it


def test_an_option_reads_the_spot_of_its_underlying():
    ((where, what),) = found(held(PUT), told(Underlying("XYZ", 0.2), XYZ=101.0))
    assert (where, what) == ("XYZ", "underlyings has no spot, prices has 101.")
    check(held(STOCK), told(Underlying("XYZ", 0.2), XYZ=101.0))
    check(held(PUT), told(Underlying("XYZ"), XYZ=101.0))


def test_a_ticker_is_one_thing():
    index = Underlying("SPX", 0.2, 6000.0, security=Index("SPX", "broad"))
    on_fund = ListedOption("SPX", "put", 5000.0, EXPIRY, underlying_kind="etf")
    ((where, what),) = found(held(on_fund), told(index))
    assert where == on_fund.symbol
    assert what == "is an option on an etf, and SPX is Index(ticker='SPX', breadth='broad')."


# --------------------------------------------------------------------------------- what is not priced stays visible


@pytest.mark.parametrize("collateral", [TIPS_8, FRN], ids=["TIPS", "floating-rate note"])
@pytest.mark.parametrize("kind", [Repo, ReverseRepo])
def test_a_repo_that_cannot_be_repriced_takes_the_haircut_of_its_collateral(kind, collateral):
    repo = kind(collateral, *TERMS)
    report = margin(book(Position("r", "ALPHA-GOV", repo, 50e6)), market())
    (entry,) = (each for each in report.requirements if each.level == "clearing")
    net = entry.line.part("net face")
    # Of a forward repo both legs are open, and their faces net: it is the open leg of a running one that is charged.
    assert net.value == 0.0
    running = kind(collateral, date(2026, 6, 29), *TERMS[1:])
    owed = margin(book(Position("r", "ALPHA-GOV", running, 50e6)), market())
    (entry,) = (each for each in owed.requirements if each.level == "clearing")
    assert abs(entry.line.part("net face").value) == 50e6
    assert entry.line.value > 0.0
    assert entry.positions == ("r",)


def test_a_repo_in_an_account_where_nobody_margins_it_is_a_visible_line():
    report = margin(book(Position("r", "RETAIL-SEC", Repo(TIPS_8, *TERMS), 50e6)), market())
    assert any("repo" in line.name.lower() for _, line in report.not_modelled())
    check(book(Position("z", "ALPHA-XM", ZN, 1.0)), market())
