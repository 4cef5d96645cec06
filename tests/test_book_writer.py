"""Portfolios written as book files: what is read back is what was written, or the writing is refused."""

from __future__ import annotations

from datetime import date

import pytest

from crossmargin import samples
from crossmargin.accounts import Account, AccountClass, Agreement, Firm, IntradayMonitoring
from crossmargin.errors import InputError
from crossmargin.io.book import load_book
from crossmargin.io.book_writer import write_book
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import (
    ETF,
    TIPS,
    FutureOption,
    ListedOption,
    SecurityFuture,
    ShortRateFuture,
    Stock,
    TreasuryBill,
    TreasuryFuture,
    TreasuryNote,
    Warrant,
)

NOTE_33 = TreasuryNote(0.03375, date(2033, 5, 15), cusip="NOTE33")


def test_two_securities_of_one_cusip_are_refused_in_writing(tmp_path):
    account = Account("A", "F", "F", "PROPRIETARY")
    future = TreasuryFuture("ZN", 202609, (NOTE_33,))
    held = [Position("1", "A", future, 1.0), Position("2", "A", TreasuryBill(date(2027, 1, 7), cusip="NOTE33"), 1.0)]
    with pytest.raises(InputError, match="other terms"):
        write_book(Portfolio([Firm("F")], [], [account], held), tmp_path)


def test_the_sample_book_is_written_and_read_back(tmp_path):
    portfolio, _ = samples.basis_trade()
    assert load_book(write_book(portfolio, tmp_path)).portfolio == portfolio


def test_an_id_that_a_table_cannot_hold_is_refused_in_writing(tmp_path):
    account = Account("A", "F", "F", "PROPRIETARY")
    position = Position(" edge ", "A", TreasuryBill(date(2027, 1, 7)), 1.0)
    with pytest.raises(InputError, match="do not give back the portfolio"):
        write_book(Portfolio([Firm("F")], [], [account], [position]), tmp_path)


def test_options_of_every_kind_are_written_and_read_back(tmp_path):
    index = {"exercise": "european", "settlement": "cash", "underlying_kind": "index", "settles_at": "open"}
    held = [
        ListedOption("TLT", "put", 92.5, date(2026, 9, 18)),
        ListedOption("TLT", "put", 92.5, date(2026, 9, 18), underlying_kind="etf"),
        ListedOption("SPX", "call", 4500.0, date(2026, 12, 18), **index),
        ListedOption("MINI", "call", 1 / 3, date(2026, 12, 18), multiplier=10),
        ListedOption("BRK.B", "call", 1e-5, date(2026, 12, 18), multiplier=0.1, settlement="cash"),
        FutureOption(TreasuryFuture("ZN", 202609, (NOTE_33,)), "call", 112.0, date(2026, 8, 21)),
        FutureOption(TreasuryFuture("ZT", 202609), "put", 103.125, date(2026, 8, 21)),
        FutureOption(ShortRateFuture("SR3", 202612), "put", 96.25, date(2026, 12, 11)),
        ShortRateFuture("SR3", 202612),
    ]
    positions = [Position(f"{n}", "A", product, (-1.0) ** n) for n, product in enumerate(held)]
    portfolio = Portfolio([Firm("F")], [], [Account("A", "F", "F", "PROPRIETARY")], positions)
    assert load_book(write_book(portfolio, tmp_path)).portfolio == portfolio


def test_usual_terms_are_not_written(tmp_path):
    option = ListedOption("TLT", "put", 92.5, date(2026, 9, 18))
    account = Account("A", "F", "F", "PROPRIETARY")
    path = write_book(Portfolio([Firm("F")], [], [account], [Position("1", "A", option, 1.0)]), tmp_path)
    header = (path.parent / "positions.csv").read_text(encoding="utf-8").splitlines()[0]
    terms = {"underlying", "right", "strike", "expiry"}
    assert set(header.split(",")) == {"id", "account", "product", "quantity", *terms}


# ------------------------------------------------------------------------------------------------ options by hand

COLUMNS = "id,account,product,quantity,contract,month,basket,right,strike,expiry,underlying,"
COLUMNS += "exercise,settlement,multiplier,underlying_kind,settles_at\n"


def book(folder, *rows):
    path = write_book(Portfolio([Firm("F")], [], [Account("A", "F", "F", "PROPRIETARY")], []), folder)
    text = COLUMNS + "".join(f"M{n},A,{row}\n" for n, row in enumerate(rows))
    (folder / "positions.csv").write_text(text, encoding="utf-8")
    return path


def test_a_listed_option_is_the_usual_one_unless_its_fields_say_otherwise(tmp_path):
    plain = "listed_option,-5,,,,put,92.5,2026-09-18,TLT"
    loaded = load_book(book(tmp_path, plain, f"{plain},european,cash,10,etf,open", f"{plain},,,,,open"))
    terms = {"exercise": "european", "settlement": "cash", "multiplier": 10.0, "underlying_kind": "etf"}
    usual = ("TLT", "put", 92.5, date(2026, 9, 18))
    wanted = [{}, {**terms, "settles_at": "open"}, {"settles_at": "open"}]
    assert [each.product for each in loaded.portfolio.positions] == [ListedOption(*usual, **some) for some in wanted]


def test_an_option_is_on_a_treasury_or_a_short_rate_future(tmp_path):
    row = "future_option,5,{},2026-09,,call,{},2026-08-21"
    loaded = load_book(book(tmp_path, row.format("ZN", 112), row.format("SR3", 96.25)))
    zn, sr3 = (each.product for each in loaded.portfolio.positions)
    assert zn == FutureOption(TreasuryFuture("ZN", 202609), "call", 112.0, date(2026, 8, 21))
    assert sr3 == FutureOption(ShortRateFuture("SR3", 202609), "call", 96.25, date(2026, 8, 21))


@pytest.mark.parametrize(
    ("row", "where", "says"),
    [
        ("listed_option,5,,,,put,92.5,2026-09-18,TLT,americn", "'exercise'", "Did you mean 'american'?"),
        ("listed_option,5,,,,put,92.5,2026-09-18,TLT,,cahs", "'settlement'", "Did you mean 'cash'?"),
        ("listed_option,5,,,,put,92.5,2026-09-18,TLT,,,0", "'multiplier'", "not above zero"),
        ("listed_option,5,,,,put,92.5,2026-09-18,TLT,,,many", "'multiplier'", "no number"),
        ("listed_option,5,,,,put,92.5,2026-09-18,SPX,,,,index", "'settlement'", "cannot be delivered"),
        ("listed_option,5,,,,put,92.5,2026-09-18,TLT,,,,fund", "'underlying_kind'", "Known: equity, etf, index"),
        ("listed_option,5,,,,put,92.5,2026-09-18,TLT,,,,,noon", "'settles_at'", "Known: close, open"),
        ("listed_option,5,ZN,,,put,92.5,2026-09-18,TLT", "'contract'", "does not belong to a listed_option"),
        ("future_option,5,SR3,2026-13,,put,96,2026-09-11", "'month'", "is not a month"),
        ("future_option,5,SR4,2026-09,,put,96,2026-09-11", "'contract'", "SR3"),
        ("future_option,5,ZN,2026-09,,put,96,2026-09-11,,european", "'exercise'", "does not belong to a future_option"),
    ],
)
def test_one_bad_field_of_an_option_gives_its_place_and_the_way_out(tmp_path, row, where, says):
    with pytest.raises(InputError) as caught:
        load_book(book(tmp_path, row))
    said = [str(problem) for problem in caught.value.problems if where in str(problem)]
    assert "positions.csv row 2" in said[0]
    assert any(says in line for line in said)


# ------------------------------------------------------------------------------------ shares, and who holds them


def test_shares_of_every_kind_are_written_and_read_back(tmp_path):
    held = [
        Stock("BRK.B"),
        ETF("SPY", "broad_high_cap", tracks="SPX"),
        ETF("SDS", "broad_high_cap", tracks="SPX", leverage=-2),
        ETF("XLE", "sector"),
        ETF("PLAIN"),
        SecurityFuture("IBM", 202609),
        SecurityFuture("IBM", 202612, multiplier=1 / 3),
        Warrant("IBM", 12.5, date(2028, 1, 21)),
        TIPS(0.01875, date(2034, 7, 15), index_ratio=1.08125),
        TIPS(0.01875, date(2034, 7, 15), cusip="91282CLE9", index_ratio=1.0),
    ]
    positions = [Position(f"{n}", "A", product, -1.5 * n if n % 2 == 0 else -3.0 * n) for n, product in enumerate(held)]
    portfolio = Portfolio([Firm("F")], [], [Account("A", "F", "F", "PROPRIETARY")], positions)
    assert load_book(write_book(portfolio, tmp_path)).portfolio == portfolio


@pytest.mark.parametrize("monitoring", list(IntradayMonitoring))
@pytest.mark.parametrize("equity", [None, 0.0, -5_000.25, 1e9, 1 / 3])
def test_monitoring_and_equity_are_written_and_read_back(tmp_path, monitoring, equity):
    papers = (Agreement.PORTFOLIO_MARGIN,)
    account = Account("A", "F", "F", AccountClass.SEC_15C3_3, agreements=papers, equity=equity)
    portfolio = Portfolio([Firm("F", monitoring=monitoring)], [], [account], [])
    assert load_book(write_book(portfolio, tmp_path)).portfolio == portfolio


def test_the_equity_sample_is_written_and_read_back(tmp_path):
    portfolio, _ = samples.equity_options()
    assert load_book(write_book(portfolio, tmp_path)).portfolio == portfolio


SHARES = "id,account,product,quantity,ticker,breadth,tracks,leverage,underlying,month,multiplier,strike,expiry\n"


def shares(folder, *rows):
    path = write_book(Portfolio([Firm("F")], [], [Account("A", "F", "F", "PROPRIETARY")], []), folder)
    text = SHARES + "".join(f"M{n},A,{row}\n" for n, row in enumerate(rows))
    (folder / "positions.csv").write_text(text, encoding="utf-8")
    return load_book(path)


def test_shares_by_hand(tmp_path):
    rows = ("stock,-300,IBM", "etf,10,SDS,broad,SPX,-2", "security_future,-1,,,,,IBM,2026-09", "etf,1,PLAIN")
    products = [each.product for each in shares(tmp_path, *rows).portfolio.positions]
    fund = ETF("SDS", "broad", tracks="SPX", leverage=-2.0)
    assert products == [Stock("IBM"), fund, SecurityFuture("IBM", 202609), ETF("PLAIN")]


@pytest.mark.parametrize(
    ("row", "where", "says"),
    [
        ("stock,5", "'ticker'", "is missing"),
        ("stock,5,IBM,broad", "'breadth'", "does not belong to a stock"),
        ("etf,5,SPY,wide", "'breadth'", "Known: broad, broad_high_cap, narrow, sector"),
        ("etf,5,SDS,broad,SPX,0", "'leverage'", "is 0"),
        ("etf,5,SDS,broad,SPX,double", "'leverage'", "no number"),
        ("security_future,5,,,,,,2026-09", "'underlying'", "is missing"),
        ("security_future,5,,,,,IBM,2026-13", "'month'", "is not a month"),
        ("security_future,5,,,,,IBM,2026-09,-1", "'multiplier'", "not above zero"),
        ("warrant,5,,,,,IBM,,,0,2027-01-15", "'strike'", "not above zero"),
        ("warrant,5,,,,,IBM,,,5,soon", "'expiry'", "no date"),
        ("index,5,SPX,broad", "'product'", "'index' is unknown"),
    ],
)
def test_one_bad_field_of_a_share_gives_its_place_and_the_way_out(tmp_path, row, where, says):
    with pytest.raises(InputError) as caught:
        shares(tmp_path, row)
    said = [str(problem) for problem in caught.value.problems if where in str(problem)]
    assert "positions.csv row 2" in said[0]
    assert any(says in line for line in said)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('monitoring = "full"', 'monitoring = "most"', "'most' is unknown"),
        ("equity = 5.0", 'equity = "a lot"', "no number"),
        ("equity = 5.0", "equity = nan", "not finite"),
    ],
)
def test_a_bad_field_of_a_firm_or_an_account_is_named(tmp_path, old, new, says):
    account = Account("A", "F", "F", "PROPRIETARY", equity=5.0)
    path = write_book(Portfolio([Firm("F", monitoring=IntradayMonitoring.FULL)], [], [account], []), tmp_path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=says):
        load_book(path)
