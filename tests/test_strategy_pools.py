"""From a pool to its books: what is paired with what, where the shares stand, and every fault at once."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from crossmargin.errors import InputError
from crossmargin.pairing.pools import Cover, Quotes, books_of, covered, leverage_of, underlying_kind
from crossmargin.portfolio import Position
from crossmargin.products import ETF, Index, ListedOption, Stock

DAY = date(2026, 6, 30)
EXPIRY = DAY + timedelta(days=17)
IBM, SPY = Stock("IBM"), ETF("SPY", "broad_high_cap", tracks="SPX")
SPX = Index("SPX", "broad_high_cap")
SPOTS = {"IBM": 100.0, "SPY": 600.0, "IVV": 600.0, "SSO": 100.0, "SPX": 6000.0, "XLE": 90.0}
SECURITIES = {
    "IBM": IBM,
    "SPY": SPY,
    "IVV": ETF("IVV", "broad_high_cap", tracks="SPX"),
    "SSO": ETF("SSO", "broad_high_cap", tracks="SPX", leverage=2.0),
    "SPX": SPX,
    "XLE": ETF("XLE", "sector"),
}
INDEX_TERMS = {"exercise": "european", "settlement": "cash", "underlying_kind": "index"}


def option(ticker="IBM", right="call", strike=105.0, expiry=EXPIRY, **terms):
    return ListedOption(ticker, right, strike, expiry, **terms)


def index_call(strike=6100.0, **terms):
    return option("SPX", "call", strike, **{**INDEX_TERMS, **terms})


def positions(*held):
    return [Position(f"p{number}", "A", product, quantity) for number, (product, quantity) in enumerate(held)]


def books(*held, prices=None, spots=None, **more):
    known = {product: 2.0 for product, _ in held} if prices is None else prices
    quotes = Quotes(DAY, known, SPOTS if spots is None else spots, SECURITIES)
    return {each.name: each for each in books_of(positions(*held), quotes, **more)}


# --------------------------------------------------------------------------------------------------- books


def test_nothing_held_is_no_book():
    assert books() == {}


def test_stock_and_its_options_share_a_book_and_tickers_do_not():
    found = books((IBM, 250), (option(), -2), (SPY, 30), (option("SPY", "put", 590.0, underlying_kind="etf"), 1))
    assert list(found) == ["IBM", "SPY"]
    ibm, spy = found["IBM"].book, found["SPY"].book
    assert (ibm.kind, ibm.price, ibm.shares, ibm.lots, ibm.odd_shares) == ("equity", 100.0, 250, 2, 50)
    assert [(leg.quantity, leg.right, leg.strike, leg.price, leg.days_to_expiry) for leg in ibm.legs] == [
        (-2, "call", 105.0, 2.0, 17)
    ]
    assert (spy.kind, spy.shares) == ("broad_etf", 30)


def test_lots_of_one_stock_in_several_positions_are_added():
    assert books((IBM, 60.5), (IBM, 39.5), (IBM, -20))["IBM"].book.shares == 80.0


@pytest.mark.parametrize(
    ("security", "kind", "leverage"),
    [
        (IBM, "equity", 1.0),
        (SPY, "broad_etf", 1.0),
        (ETF("SDS", "broad", leverage=-2.0), "broad_etf", 2.0),
        (ETF("SVXY", "narrow", leverage=-0.5), "narrow_index", 1.0),  # less than the plain rate is nowhere granted
        (ETF("XLE", "sector"), "narrow_index", 1.0),
        (SPX, "broad_index", 1.0),
        (Index("SOX", "narrow"), "narrow_index", 1.0),
        (Index("RUT", "broad"), "broad_index", 1.0),
    ],
)
def test_what_a_security_is_decides_its_rates(security, kind, leverage):
    assert (underlying_kind(security), leverage_of(security)) == (kind, leverage)


def test_the_opening_and_the_closing_series_of_a_day_stand_in_one_book():
    found = books((index_call(settles_at="open"), 1), (index_call(), -1))
    (each,) = found.values()
    assert [(leg.settles, leg.quantity) for leg in each.book.netted] == [("open", 1), ("close", -1)]


def test_another_multiplier_is_a_book_of_its_own_and_says_so():
    found = books((IBM, 120), (option(), -1), (option(multiplier=10.0), -1))
    assert list(found) == ["IBM american physical x10", "IBM american physical x100"]
    mini, standard = found.values()
    assert (mini.book.shares, mini.book.multiplier, standard.book.shares) == (0.0, 10.0, 120)
    assert "contracts of 10 units" in mini.notes[0]
    assert "a book of their own" in standard.notes[0]


def test_shares_stand_with_the_only_options_there_are():
    (each,) = books((IBM, 25), (option(multiplier=10.0), -2)).values()
    assert (each.name, each.book.lots, each.book.odd_shares) == ("IBM", 2, 5.0)
    assert "contracts of 10 units" in each.notes[0]


def test_american_and_european_options_are_not_paired():
    assert len(books((option(), 1), (option(exercise="european"), -1))) == 2


# ------------------------------------------------------------------------------------ a fund for its index


def test_a_fund_may_cover_closing_calls_on_its_index():
    found = books((SPY, 3100), (index_call(), -2), (index_call(6200.0, settles_at="open"), -3))
    assert found["SPX"].cover == Cover("SPY", lot=1000, free=2, most=2)
    fund, index = covered(found["SPY"], found["SPX"], 2)
    assert (fund.book.shares, index.book.shares, index.book.lots, index.book.odd_shares) == (1100.0, 2000.0, 2, 0.0)
    assert index.book.stock.stands_in
    assert "2,000 shares of SPY" in index.notes[0]
    assert covered(found["SPY"], found["SPX"], 0) == (found["SPY"], found["SPX"])


def test_a_lot_is_worth_at_least_one_contract():
    found = books((SPY, 5000), (index_call(), -1), spots={**SPOTS, "SPY": 599.7})
    cover = found["SPX"].cover
    assert cover.lot == 1001
    assert cover.lot * 599.7 >= 600_000


def test_what_the_fund_s_own_options_can_use_is_not_free():
    call = option("SPY", "call", 610.0, underlying_kind="etf")
    put = option("SPY", "put", 590.0, underlying_kind="etf")
    found = books((SPY, 3000), (call, -5), (put, 6), (index_call(), -9))
    assert found["SPX"].cover == Cover("SPY", lot=1000, free=1, most=3)


@pytest.mark.parametrize(
    "held",
    [
        [(SPY, 5000), (index_call(settles_at="open"), -1)],  # settles at the open
        [(SPY, 5000), (index_call(), 1)],
        [(SPY, 5000), (option("SPX", "put", 5900.0, **INDEX_TERMS), -1)],
        [(SPY, -5000), (index_call(), -1)],
        [(SPY, 999), (index_call(), -1)],  # no whole lot
        [(SECURITIES["SSO"], 99_000), (index_call(), -1)],  # leveraged
        [(SECURITIES["XLE"], 99_000), (index_call(), -1)],  # tracks something else
        [(IBM, 99_000), (index_call(), -1)],
        [(SPY, 5000), (index_call(), -1), (index_call(), 1)],  # nets to nothing
    ],
)
def test_nothing_else_covers_across_tickers(held):
    assert all(each.cover is None for each in books(*held).values())


def test_covering_by_a_fund_can_be_switched_off():
    found = books((SPY, 5000), (index_call(), -1), funds_cover_calls=False)
    assert all(each.cover is None for each in found.values())


def test_of_two_funds_the_one_of_which_most_is_held_covers():
    found = books((SPY, 1500), (SECURITIES["IVV"], 2500), (index_call(), -4))
    assert found["SPX"].cover == Cover("IVV", 1000, 2, 2)


def test_only_one_book_of_an_index_is_covered():
    found = books((SPY, 5000), (index_call(), -1), (index_call(multiplier=10.0), -3))
    assert [name for name, each in found.items() if each.cover] == ["SPX european cash x100"]


# --------------------------------------------------------------------------------------------- bad input


def test_every_fault_of_a_pool_is_named_at_once():
    gone = option(expiry=DAY - timedelta(days=1))
    odd, unpriced, wrong = option(strike=110.0), option(strike=115.0), option("XLE", "put", 80.0)
    held = [(gone, 1), (odd, 1.5), (unpriced, -1), (wrong, 1), (Stock("ZZZ"), 10)]
    with pytest.raises(InputError) as caught:
        books(*held, prices={gone: 1.0, odd: 1.0, wrong: -2.0}, spots={"IBM": float("nan"), "XLE": 90.0})
    said = str(caught.value)
    for part in (
        "position 'p0': IBM call 105 2026-06-29 ended on 2026-06-29",
        "position 'p1': quantity is 1.5. Give whole contracts.",
        "position 'p2': the market has no price of IBM call 115",
        "position 'p3': the price of XLE put 80 2026-07-17 is -2.0",
        "underlying 'IBM': its price is nan",
        "underlying 'ZZZ': the market has no price of it",
    ):
        assert part in said
    assert len(caught.value.problems) == 6


def test_the_last_day_of_an_option_is_not_yet_past():
    (each,) = books((option(expiry=DAY), -1)).values()
    assert each.book.legs[0].days_to_expiry == 0


@pytest.mark.parametrize("terms", [{"strike": -5.0}, {"settles_at": "noon"}, {"settlement": "gold"}])
def test_terms_that_no_option_has_are_refused_where_they_are_given(terms):
    with pytest.raises(InputError):
        option(**terms)
