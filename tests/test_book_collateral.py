"""Collateral in book files: what is read, what is refused and how it is said, and that writing gives it back."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.accounts import AccountClass, Customer, Firm
from crossmargin.collateral import Schedules
from crossmargin.collateral.schedules import HAIRCUT_TABLES
from crossmargin.errors import InputError
from crossmargin.io import book_fields
from crossmargin.io.book import load_book
from crossmargin.io.book_writer import write_book
from crossmargin.portfolio import Portfolio, problems_on
from crossmargin.posted import OTHER_KINDS, Cash, OtherAsset, Posted
from crossmargin.products import ETF, STRIPS, TIPS, Stock, TreasuryBill, TreasuryBond, TreasuryFRN, TreasuryNote

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "books.md"
FIRM, FUND = Firm("DEALER", affiliates=("SISTER",)), Customer("FUND")
NOTE_33 = TreasuryNote(0.03375, date(2033, 5, 15), issue=date(2023, 5, 15), cusip="NOTE33")
HEAD = """\
positions = []
collateral = "collateral.csv"
[[firms]]
id = "DEALER"
affiliates = ["SISTER"]
[[customers]]
id = "FUND"
[[securities]]
cusip = "NOTE33"
product = "treasury_note"
coupon_pct = 3.375
maturity = 2033-05-15
issue = 2023-05-15
"""
COLUMNS = "id,owner,firm,pot,account_class,asset,quantity,currency,maturity,coupon_pct,cusip,ticker,name,strike"
COLUMNS = COLUMNS.replace(",strike", ",issuer,index,passed_on,provided_by")
CASH = "C,FUND,DEALER,CME,CFTC_4D_AB,cash,5e6,USD"
PAPER = "N,FUND,DEALER,FICC,SEC_NOTE_H,treasury_note,100,,,,NOTE33"
BOX = "D,FUND,DEALER,carrying firm,CFTC_4D_AB,cash,100"


@pytest.fixture
def book(tmp_path):
    """Write a book with rows of collateral under COLUMNS and give its path."""

    def write(*rows: str, columns: str = COLUMNS) -> Path:
        (tmp_path / "collateral.csv").write_text("\n".join([columns, *rows, ""]), encoding="utf-8")
        (tmp_path / "book.toml").write_text(HEAD, encoding="utf-8")
        return tmp_path / "book.toml"

    return write


def said(path, **more) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_book(path, **more)
    return [str(problem) for problem in caught.value.problems]


def test_deposits_of_every_kind_by_hand(book):
    rows = (
        CASH,
        PAPER,
        "S,FUND,DEALER,DEALER,SEC_15C3_3,stock,300,,,,,IBM,,SISTER,S&P 500",
        "G,DEALER,DEALER,CME,PROPRIETARY,gold,10,,,,,,GOLD",
        "B,SISTER,DEALER,FICC,PROPRIETARY,treasury_bill,1000,,2026-09-24",
        "A,DEALER,DEALER,CME,PROPRIETARY,agency,10,,2030-01-15,,,,FHLB",
        "E,FUND,DEALER,CME,CFTC_4D_AB,cash,7,EUR,,,,,,,,,DEALER",
    )
    cash, note, share, gold, bill, agency, euro = load_book(book(*rows)).portfolio.posted
    assert cash == Posted("C", "FUND", "DEALER", "CME", AccountClass.CFTC_4D_AB, Cash(), 5e6)
    assert (note.asset, note.quantity) == (NOTE_33, 100.0)
    assert (share.asset, share.issuer, share.index) == (Stock("IBM"), "SISTER", "S&P 500")
    assert share.place.pot == "carrying firm"
    assert (gold.asset, agency.asset) == (OtherAsset("gold", "GOLD"), OtherAsset("agency", "FHLB", date(2030, 1, 15)))
    assert (bill.asset, bill.owner) == (TreasuryBill(date(2026, 9, 24)), "SISTER")
    assert (euro.asset, euro.provided_by) == (Cash("EUR"), "DEALER")


def test_a_book_without_the_section_has_nothing_posted(tmp_path):
    portfolio, _ = samples.basis_trade()
    path = write_book(portfolio, tmp_path)
    assert load_book(path).portfolio.posted == ()
    assert not (tmp_path / "collateral.csv").exists()
    assert "collateral" not in path.read_text(encoding="utf-8")


def test_json_and_inline_tables_say_the_same(tmp_path):
    portfolio, _ = samples.group()
    path = write_book(portfolio, tmp_path)
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    assert document["collateral"] == "collateral.csv"
    header, *rows = (tmp_path / "collateral.csv").read_text(encoding="utf-8").splitlines()
    document["collateral"] = [dict(zip(header.split(","), row.split(","), strict=True)) for row in rows]
    (tmp_path / "book.json").write_text(json.dumps(document, default=str), encoding="utf-8")
    assert load_book(tmp_path / "book.json").portfolio == load_book(path).portfolio == portfolio


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("row", "where", "says"),
    [
        (CASH.replace("FUND", "FUDN"), "'owner'", "Did you mean 'FUND'?"),
        (CASH.replace("CME", "CMEE"), "'pot'", "Did you mean 'CME'?"),
        (CASH.replace("CME", "carying firm"), "'pot'", "Did you mean 'carrying firm'?"),
        (CASH.replace("USD", "USX"), "'currency'", "is no currency. Did you mean"),
        (CASH.replace("USD", "usd"), "'currency'", "Did you mean 'USD'?"),
        (CASH.replace("5e6", "1e308"), "'quantity'", "no book holds more"),
        (CASH.replace("DEALER", "DELAER"), "'firm'", "Did you mean 'DEALER'?"),
        (CASH.replace("CFTC_4D_AB", "CFTC_4D_BA"), "'account_class'", "Did you mean 'CFTC_4D_AB'?"),
        (CASH.replace("cash", "cahs"), "'asset'", "Did you mean 'cash'?"),
        (CASH.replace("cash", "treasury_future"), "'asset'", "is unknown"),
        (CASH.replace("5e6", "-5"), "'quantity'", "is below 0"),
        (CASH.replace("5e6", "nan"), "'quantity'", "not finite"),
        (CASH.replace("5e6", "inf"), "'quantity'", "not finite"),
        (CASH.replace("5e6", "much"), "'quantity'", "no number"),
        (CASH.replace("5e6", ""), "'quantity'", "is missing"),
        (CASH.replace("CME", ""), "'pot'", "is missing"),
        (CASH.replace("USD", "dollars"), "'currency'", "Write its code of three capitals: USD."),
        (f"{CASH},,,,IBM", "'ticker'", "does not belong to a cash. Leave it blank, or correct the asset."),
        (CASH.replace("cash", "gold").replace("USD", ""), "'name'", "is missing"),
        (PAPER.replace("NOTE33", "NOTE34"), "'coupon_pct'", "is missing"),
        (PAPER.replace(",,,,NOTE33", ",,,4.5,NOTE33"), "'cusip'", "gives it other terms"),
        (f"{CASH},,,,,,,,,DELAER", "'provided_by'", "Did you mean 'DEALER'?"),
        (f"{CASH},,,,,,,,X", "'passed_on'", "'X' is unknown."),
    ],
)
def test_one_bad_field_gives_its_place_and_the_way_out(book, row, where, says):
    problems = [problem for problem in said(book(row)) if where in problem]
    assert len(problems) == 1
    assert problems[0].startswith("collateral.csv row 2 (id '")
    assert says in problems[0]


def test_a_deposit_is_passed_on_once(book):
    lodged = "{},FUND,DEALER,{},CFTC_4D_AB,cash,60,,,,,,,,,D"
    [problem] = said(book(BOX, lodged.format("P", "CME"), lodged.format("Q", "ICC")))
    assert problem.startswith("collateral.csv row 2 (id 'D'): 120 is passed on, 100 was deposited.")
    [problem] = said(book(BOX, lodged.format("P", "CME").replace("4D_AB", "4D_F")))
    assert problem.startswith("collateral.csv row 3 (id 'P'), field 'passed_on': 'D' is not what it passes on.")


def test_every_problem_comes_at_once_with_those_of_the_date(book):
    wrong = [
        CASH.replace("FUND", "FUDN"),
        CASH,
        PAPER.replace("100", "-1"),
        "O,FUND,DEALER,FICC,SEC_NOTE_H,treasury_bill,5,,2020-01-02",
    ]
    found = said(book(*wrong), check=lambda portfolio: problems_on(portfolio, date(2026, 6, 30)))
    assert len(found) == 4
    assert any("'C' is the id of collateral.csv row 2" in each for each in found)
    assert any(each.startswith("collateral.csv row 5 (id 'O'): UST bill 2020-01-02 matured on") for each in found)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (COLUMNS.replace("asset", "assset"), "no deposit has such a field. Did you mean 'asset'?"),
        (COLUMNS.replace(",pot", ""), "the column is missing. Every deposit needs it."),
        (f"{COLUMNS},pot", "stands twice."),
        (f"{COLUMNS},contract", "no deposit has such a field."),
    ],
)
def test_a_bad_header_is_one_problem(book, columns, says):
    assert any(says in problem for problem in said(book(columns=columns)))


def test_a_table_that_is_missing_or_empty_is_named(book):
    path = book()
    assert load_book(path).portfolio.posted == ()
    (path.parent / "collateral.csv").write_text("", encoding="utf-8")
    [problem] = said(path)
    assert "Give a header: id,owner,firm,pot,account_class,asset,quantity" in problem
    (path.parent / "collateral.csv").unlink()
    assert "collateral.csv: cannot be read" in said(path)[0]


def test_a_portfolio_refuses_what_a_book_refuses():
    wrong = [Posted("x", "FUDN", "DEALER", "CME", "CFTC_4D_AB", Cash(), float("nan"), provided_by="DELAER")] * 2
    with pytest.raises(InputError) as caught:
        Portfolio([FIRM], [FUND], posted=wrong)
    text = str(caught.value)
    assert all(each in text for each in ("stands 2 times", "quantity is nan", "'FUND'?", "'DEALER'?"))


# --------------------------------------------------------------------------------------------- one truth, both ways


def test_the_page_names_every_field_and_asset_and_its_example_loads(tmp_path):
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"[`*](\w+)[`*]", page.split("\n## Collateral\n")[1]))
    own = {"id", "owner", "firm", "pot", "account_class", "asset", "quantity", "currency", "name", "ticker"}
    own |= {"issuer", "index", "passed_on", "provided_by", "maturity", "cusip"}
    assert own | {"cash", "stock", "etf", *OTHER_KINDS} <= named
    assert own <= set(book_fields.DEPOSIT_COLUMNS)
    blocks = re.findall(r"^```(toml|text)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (_, head), (_, positions), (_, collateral) = blocks
    files = {"book.toml": f'collateral = "collateral.csv"\n{head}', "positions.csv": positions}
    for name, text in {**files, "collateral.csv": collateral}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert [each.id for each in load_book(tmp_path / "book.toml").portfolio.posted] == ["C1", "C2", "C3"]


def test_every_kind_that_a_schedule_names_can_be_written():
    schedules = Schedules(date(2026, 6, 30))
    rows = [
        row
        for id in schedules.rules
        for name in HAIRCUT_TABLES
        for row in (schedules.reader(id).optional(name) or () if name in schedules.rules[id].parameters else ())
    ]
    kinds = {kind for row in rows for kind in row["kinds"]}
    assert kinds
    assert kinds <= set(book_fields.ASSET_FIELDS)


ASSETS = [
    Cash(),
    Cash("JPY"),
    NOTE_33,
    TreasuryBill(date(2026, 9, 24), cusip="BILL"),
    TreasuryBond(0.04125, date(2052, 11, 15)),
    TreasuryFRN(0.0012, date(2028, 1, 31)),
    TIPS(0.01875, date(2034, 7, 15), index_ratio=1.08125),
    STRIPS(date(2045, 2, 15)),
    Stock("BRK.B"),
    ETF("SDS", "broad_high_cap", tracks="SPX", leverage=-2.0),
    OtherAsset("gold", "GOLD"),
    OtherAsset("corporate_bond", "ACME 5 2031", date(2031, 3, 1)),
]
texts = st.sampled_from(["", "S&P 500", "a, b", 'say "no"', "ACME"])
deposits = st.builds(
    Posted,
    id=st.just(""),
    owner=st.sampled_from(["FUND", "DEALER", "SISTER"]),
    firm=st.just("DEALER"),
    pot=st.sampled_from(["CME", "FICC", "carrying firm", "DEALER", "OCC and CME"]),
    account_class=st.sampled_from(list(AccountClass)),
    asset=st.sampled_from(ASSETS),
    quantity=st.one_of(st.integers(0, 10**9), st.floats(0.0, 1e9)),
    issuer=texts,
    index=texts,
    provided_by=st.sampled_from(["", "DEALER"]),
)


@given(st.lists(deposits, max_size=6))
def test_what_is_written_is_read_back(tmp_path_factory, drawn):
    posted = [evolve(each, id=f"d{number}") for number, each in enumerate(drawn)]
    portfolio = Portfolio([FIRM], [FUND], posted=posted)
    folder = tmp_path_factory.mktemp("book")
    assert load_book(write_book(portfolio, folder)).portfolio == portfolio
