"""Book files: what is read, what is refused and how it is said."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

from crossmargin import samples
from crossmargin.errors import InputError, Problem
from crossmargin.io import book_fields
from crossmargin.io.book import load_book
from crossmargin.portfolio import Position
from crossmargin.products import (
    PRODUCT_KINDS,
    Repo,
    ShortRateFuture,
    TreasuryBill,
    TreasuryBond,
    TreasuryFuture,
    TreasuryNote,
)

ROOT = Path(__file__).resolve().parents[1]

HEAD = """\
positions = "positions.csv"

[[firms]]
id = "DEALER"
registrations = ["BD", "FCM"]
memberships = ["FICC", "CME"]
affiliates = ["SISTER"]

[[customers]]
id = "FUND"
kind = "qib"

[[accounts]]
id = "FUND-XM"
owner = "FUND"
firm = "DEALER"
account_class = "XM_FUTURES_4D_AB"
arrangement = "cme_ficc"
agreements = ["participant_agreement", "subordination"]
"""
SECURITIES = """
[[securities]]
cusip = "NOTE33"
product = "treasury_note"
coupon_pct = 3.375
maturity = 2033-05-15
issue = 2023-05-15

[[securities]]
name = "long-bond"
product = "treasury_bond"
coupon_pct = "4"
maturity = "2052-11-15"
issue = 2022-11-15
"""
COLUMNS = (
    "id,account,product,quantity,settles,coupon_pct,maturity,cusip,contract,month,basket,collateral,start,end,rate_pct"
)
NOTE = "M1,FUND-XM,treasury_note,1000000,2026-07-01,4.125,2033-08-15"
NOTE_33 = TreasuryNote(0.03375, date(2033, 5, 15), cusip="NOTE33")


@pytest.fixture
def book(tmp_path):
    """Write a book and give its path; positions are rows of a CSV under COLUMNS, or the whole text of one."""

    def write(*rows: str, head: str = HEAD + SECURITIES, csv: str | bytes | None = None) -> Path:
        text = "\n".join([COLUMNS, *rows, ""]) if csv is None else csv
        (tmp_path / "positions.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        path = tmp_path / "book.toml"
        path.write_text(head, encoding="utf-8")
        return path

    return write


def problems(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_book(path)
    return [str(problem) for problem in caught.value.problems]


def only(path: Path) -> str:
    found = problems(path)
    assert len(found) == 1, found
    return found[0]


def products(path: Path) -> list[object]:
    return [position.product for position in load_book(path).portfolio.positions]


# ------------------------------------------------------------------------------------------------ what is read


def test_a_book_says_who_holds_what_where(book):
    loaded = load_book(book(NOTE))
    (position,) = loaded.portfolio.positions
    assert position == Position(
        "M1", "FUND-XM", TreasuryNote(0.04125, date(2033, 8, 15)), 1e6, settles=date(2026, 7, 1)
    )
    assert loaded.portfolio.account_of(position).agreements == {"participant_agreement", "subordination"}
    assert loaded.portfolio.firm("DEALER").affiliates == {"SISTER"}
    assert loaded.portfolio.customer("FUND").kind == "qib"
    assert [security.symbol for security in loaded.securities] == [NOTE_33.symbol, "UST bond 4 2052-11-15"]


def test_a_cusip_on_the_list_brings_its_terms(book):
    position = "M1,FUND-XM,treasury_note,5,,,,NOTE33"
    (note,) = products(book(position))
    assert (note, note.issue) == (NOTE_33, date(2023, 5, 15))
    assert products(book("M1,FUND-XM,treasury_note,5,,3.375,,NOTE33")) == [NOTE_33]


def test_terms_that_contradict_the_list_are_refused(book):
    message = only(book("M1,FUND-XM,treasury_note,5,,3.5,,NOTE33"))
    assert "positions.csv row 2 (id 'M1'), field 'cusip'" in message
    assert "book.toml securities 1 gives it other terms: UST 3.375 2033-05-15 NOTE33" in message
    assert "other terms" in only(book("M1,FUND-XM,treasury_bill,5,,,,NOTE33"))


def test_a_basket_is_named_or_selected_or_none(book):
    future = "M1,FUND-XM,treasury_future,-5,,,,,{},2026-09,{}"
    (selected,) = products(book(future.format("ZN", "")))
    assert selected == TreasuryFuture("ZN", 202609, (NOTE_33,))
    (named,) = products(book(future.format("ZN", "long-bond NOTE33")))
    assert [member.symbol for member in named.basket] == ["UST bond 4 2052-11-15", NOTE_33.symbol]
    assert products(book(future.format("ZN", "none"))) == [TreasuryFuture("ZN", 202609)]
    assert products(book(future.format("ZT", ""))) == [TreasuryFuture("ZT", 202609)]  # nothing of the list fits


def test_repo_takes_collateral_by_name(book):
    (repo,) = products(book("M1,FUND-XM,repo,5,,,,,,,,long-bond,2026-07-01,2026-07-31,3.72"))
    bond = TreasuryBond(0.04, date(2052, 11, 15))
    assert repo == Repo(bond, date(2026, 7, 1), date(2026, 7, 31), 0.0372)


@pytest.mark.parametrize("month", ["2026-09", "202609"])
def test_a_month_is_written_in_two_ways(book, month):
    assert products(book(f"M1,FUND-XM,short_rate_future,1,,,,,SR3,{month}")) == [ShortRateFuture("SR3", 202609)]


@pytest.mark.parametrize("percent", ["4.125", "3.875", "0.125", "4.7", "10.1", "2.3"])
def test_percent_is_the_nearest_decimal(book, percent):
    (note,) = products(book(f"M1,FUND-XM,treasury_note,5,,{percent},2033-08-15"))
    assert note.coupon == float(f"{float(percent) / 100:.12g}")
    assert repr(note.coupon) == f"{float(percent) / 100:.12g}"


def test_a_rate_of_any_writing_is_read(book):
    row = "M1,FUND-XM,repo,5,,,,,,,,NOTE33,2026-07-01,2026-07-31,{}"
    for written in ("3.72", "372e-2", "0.0372E+2", "3.72" + "0" * 120):
        assert products(book(row.format(written)))[0].rate == 0.0372
    for written in ("1e-400", "0e99", "-0"):
        assert products(book(row.format(written)))[0].rate == 0.0
    assert products(book(row.format("1e" + "0" * 5000)))[0].rate == 0.01


def test_bytes_of_an_editor_or_spreadsheet_change_nothing(book, tmp_path):
    plain = load_book(book(NOTE)).portfolio
    rows = f"{COLUMNS}\n\n{NOTE},,,,,,,,\n,,,\n\n"
    assert load_book(book(csv=rows.encode("utf-8-sig").replace(b"\n", b"\r\n"))).portfolio == plain
    path = book(NOTE)
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + SECURITIES).replace("\n", "\r\n").encode())
    assert load_book(path).portfolio == plain


def test_blanks_around_a_field_and_the_order_of_columns_do_not_matter(book):
    csv = "quantity,id,product,account,maturity\n 5 , B1 ,treasury_bill, FUND-XM ,2026-12-24\n"
    (position,) = load_book(book(csv=csv)).portfolio.positions
    assert position == Position("B1", "FUND-XM", TreasuryBill(date(2026, 12, 24)), 5.0)


def test_positions_inline(book):
    inline = HEAD.replace('positions = "positions.csv"', "") + SECURITIES
    inline += """
    [[positions]]
    id = "M1"
    account = "FUND-XM"
    product = "treasury_future"
    quantity = -480
    contract = "ZN"
    month = 202609
    basket = ["NOTE33"]
    settles = 2026-07-01
    coupon_pct = ""
    """
    (position,) = load_book(book(head=inline)).portfolio.positions
    future = TreasuryFuture("ZN", 202609, (NOTE_33,))
    assert position == Position("M1", "FUND-XM", future, -480.0, settles=date(2026, 7, 1))


def test_json_says_the_same_as_toml(book, tmp_path):
    path = book(NOTE, "M2,FUND-XM,treasury_future,-3,,,,,ZN,2026-09")
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    other = tmp_path / "book.json"
    other.write_text(json.dumps(document, default=str), encoding="utf-8")
    assert load_book(other).portfolio == load_book(path).portfolio
    assert load_book(str(other)).securities == load_book(path).securities


def test_a_header_alone_is_a_book_without_positions(book):
    assert load_book(book()).portfolio.positions == ()


def test_the_example_is_the_sample_book():
    example = load_book(ROOT / "examples" / "basis_trade" / "book.toml").portfolio
    assert example == samples.basis_trade()[0], "write it again: write_book(samples.basis_trade()[0], folder)"


def test_the_book_of_the_reference_page_loads(tmp_path):
    page = (ROOT / "docs" / "reference" / "books.md").read_text(encoding="utf-8")
    for language, name in (("toml", "book.toml"), ("text", "positions.csv")):
        block = re.search(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        (tmp_path / name).write_text(block[1], encoding="utf-8")
    kinds = [position.product.kind for position in load_book(tmp_path / "book.toml").portfolio.positions]
    assert kinds == ["treasury_note", "treasury_future", "repo"]
    named = set(re.findall(r"`(\w+)`", page))
    assert set(book_fields.POSITION_COLUMNS) | set(PRODUCT_KINDS) <= named


def test_every_kind_of_product_has_its_fields():
    assert set(book_fields.PRODUCT_FIELDS) == set(PRODUCT_KINDS)


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("row", "where", "says"),
    [
        ("M1,FUND-XM,tresury_note,5,,4,2033-08-15", "'product'", "Did you mean 'treasury_note'?"),
        ("M1,FUND-XN,treasury_note,5,,4,2033-08-15", "'account'", "Did you mean 'FUND-XM'?"),
        ("M1,FUND-XM,treasury_note,nan,,4,2033-08-15", "'quantity'", "'nan' is not finite"),
        ("M1,FUND-XM,treasury_note,-inf,,4,2033-08-15", "'quantity'", "not finite"),
        ("M1,FUND-XM,treasury_note,1e999,,4,2033-08-15", "'quantity'", "not finite"),
        ("M1,FUND-XM,treasury_note,many,,4,2033-08-15", "'quantity'", "'many' is no number"),
        ("M1,FUND-XM,treasury_note,1_000,,4,2033-08-15", "'quantity'", "no number"),
        ('M1,FUND-XM,treasury_note,"-1,250,000.5",,4,2033-08-15', "'quantity'", "thousands: -1250000.5."),
        ("M1,FUND-XM,treasury_note,1 000,,4,2033-08-15", "'quantity'", "thousands: 1000."),
        ("M1,FUND-XM,treasury_note,,,4,2033-08-15", "'quantity'", "is missing"),
        ("M1,,treasury_note,5,,4,2033-08-15", "'account'", "is missing"),
        (",FUND-XM,treasury_note,5,,4,2033-08-15", "row 2, field 'id'", "is missing"),
        ("M1,FUND-XM,,5,,4,2033-08-15", "'product'", "is missing"),
        ("M1,FUND-XM,treasury_note,5,,4,", "'maturity'", "is missing"),
        ("M1,FUND-XM,treasury_note,5,,4,08/15/2033", "'maturity'", "Write 30 June 2026 as 2026-06-30"),
        ("M1,FUND-XM,treasury_note,5,,4,20330815", "'maturity'", "no date YYYY-MM-DD"),
        ("M1,FUND-XM,treasury_note,5,,4,2033-02-29", "'maturity'", "not in the calendar"),
        ("M1,FUND-XM,treasury_note,5,1 July,4,2033-08-15", "'settles'", "no date"),
        ("M1,FUND-XM,treasury_note,5,,0.04125,2033-08-15", "'coupon_pct'", "write 4.25, not 0.0425"),
        ("M1,FUND-XM,treasury_note,5,,412.5,2033-08-15", "'coupon_pct'", "412.5 is 100 % or more"),
        ("M1,FUND-XM,treasury_note,5,,-4,2033-08-15", "'coupon_pct'", "negative"),
        ("M1,FUND-XM,treasury_note,5,,4.125%,2033-08-15", "'coupon_pct'", "no number"),
        ("M1,FUND-XM,treasury_note,5,,4,2033-08-15,A B", "'cusip'", "in one word"),
        ("M1,FUND-XM,treasury_bill,5,,4,2033-08-15", "'coupon_pct'", "does not belong to a treasury_bill"),
        ("M1,FUND-XM,treasury_future,2.5,,,,,ZN,2026-09", "'quantity'", "2.5: contracts are whole."),
        ("M1,FUND-XM,treasury_note,-1e308,,4,2033-08-15", "'quantity'", "no book holds more than 9.0072e+15"),
        ("M1,FUND-XM,index_future_option,5,,4,,,ES,2026-09", "'coupon_pct'", "belong to an index_future_option"),
        ("M1,FUND-XM,treasury_future,5,,,,,ZX,2026-09", "'contract'", "Known: TN, TWE, UB"),
        ("M1,FUND-XM,treasury_future,5,,,,,ZN,2026-10", "'month'", "contract months are 3, 6, 9, 12"),
        ("M1,FUND-XM,treasury_future,5,,,,,ZN,Sep-26", "'month'", "Write September 2026 as 2026-09"),
        ("M1,FUND-XM,treasury_future,5,,,,,ZN,2026-09,NOTE34", "'basket'", "Did you mean 'NOTE33'?"),
        ("M1,FUND-XM,short_rate_future,5,,,,,ZN,2026-09", "'contract'", "Known: SR1, SR3, ZQ."),
        ("M1,FUND-XM,repo,5,,,,,,,,NOTE34,2026-07-01,2026-07-31,4", "'collateral'", "Did you mean 'NOTE33'?"),
        ("M1,FUND-XM,repo,5,,,,,,,,NOTE33,2026-07-31,2026-07-01,4", "'end'", "not after start"),
        ("M1,FUND-XM,repo,5,,,,,,,,NOTE33 long-bond,2026-07-01,2026-07-31,4", "'collateral'", "in one word"),
        ("M1,FUND-XM,treasury_note,1,000,000,4,2033-08-15,,,,,,,,,,,,", "positions.csv row 2", ""),
    ],
)
def test_one_bad_field_gives_its_place_and_the_way_out(book, row, where, says):
    found = problems(book(row))
    assert all("positions.csv row 2" in message for message in found)
    assert where in found[0]
    assert says in found[0]


def test_every_problem_comes_at_once(book):
    head = HEAD.replace('owner = "FUND"\n', "").replace('"qib"', '"qibb"').replace("cme_ficc", "cme_fic")
    rows = [
        "M1,FUND-XM,tresury_note,5,,4,2033-08-15",
        "M2,FUND-XM,treasury_note,nan,,4,",
        "M2,NOWHERE,treasury_bill,5,,,2026-12-24",
    ]
    found = problems(book(*rows, head=head))
    for expected in (
        "book.toml customers 1 (id 'FUND'), field 'kind': 'qibb' is unknown. Did you mean 'qib'?",
        "book.toml accounts 1 (id 'FUND-XM'), field 'owner': is missing.",
        "book.toml accounts 1 (id 'FUND-XM'), field 'arrangement': 'cme_fic' is unknown. Did you mean 'cme_ficc'?",
        "positions.csv row 2 (id 'M1'), field 'product': 'tresury_note' is unknown. Did you mean 'treasury_note'?",
        "positions.csv row 3 (id 'M2'), field 'quantity': 'nan' is not finite. Give a finite number.",
        "positions.csv row 3 (id 'M2'), field 'maturity': is missing.",
        "positions.csv row 4 (id 'M2'), field 'id': 'M2' is the id of positions.csv row 3 too. Give each its own id.",
        "positions.csv row 4 (id 'M2'), field 'account': 'NOWHERE' is unknown. Known: FUND-XM.",
    ):
        assert expected in found
    assert len(found) == 8


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ('"BD", "FCM"', '"BD", "FMC"', "firms 1 (id 'DEALER'), field 'registrations'", "Did you mean 'FCM'?"),
        ('"FICC", "CME"', '"FIC"', "'memberships'", "Did you mean 'FICC'?"),
        ('["BD", "FCM"]', "3", "'registrations'", "no list of words"),
        ("XM_FUTURES_4D_AB", "XM_FUTURE_4D_AB", "'account_class'", "Did you mean 'XM_FUTURES_4D_AB'?"),
        ('owner = "FUND"', 'owner = "FUMD"', "'owner'", "Did you mean 'FUND'?"),
        ('firm = "DEALER"', 'firm = "DEALR"', "'firm'", "Did you mean 'DEALER'?"),
        ("subordination", "subordinated", "'agreements'", "Did you mean 'subordination'?"),
        ('id = "DEALER"\n', 'id = "DEALER"\ncompliant = "yes"\n', "'compliant'", "neither true nor false"),
        ('id = "DEALER"\n', 'id = "DEALER"\nname = 7\n', "'name'", "7 is no text. Write it in quotation marks."),
        ('id = "FUND"\n', 'id = "DEALER"\n', "customers 1 (id 'DEALER'), field 'id'", "is the id of book.toml firms 1"),
        ("[[firms]]", "[[firm]]", "book.toml", "unknown section 'firm'. Did you mean 'firms'?"),
        ("[[customers]]", "[customers]", "book.toml customers", "Write [[customers]] for each one."),
        ('cusip = "NOTE33"', 'cusip = "NOTE33"\nprice = 3', "securities 1, field 'price'", "is unknown"),
        ('name = "long-bond"', 'name = "NOTE33"', "securities 2", "'NOTE33' is book.toml securities 1 too"),
        ('name = "long-bond"', 'name = "long bond"', "securities 2", "in one word"),
        ("coupon_pct = 3.375", "coupon_pct = 0.03375", "securities 1", "write 4.25, not 0.0425"),
        ("maturity = 2033-05-15", "maturity = 2033-05-15T10:00:00", "securities 1", "no date"),
        ("issue = 2023-05-15", "issue = 2033-06-15", "securities 1", "not after issue"),
        ('"treasury_note"', '"repo"', "securities 1, field 'product'", "Known: strips"),
    ],
)
def test_a_bad_head_gives_its_place_and_the_way_out(book, old, new, where, says):
    assert old in HEAD + SECURITIES
    found = problems(book(NOTE, head=(HEAD + SECURITIES).replace(old, new, 1)))
    assert any(where in message and says in message for message in found), found


def test_a_bad_security_is_reported_once_where_it_stands(book):
    head = HEAD + SECURITIES.replace("2033-05-15", '"2033-05-32"')
    rows = [
        "M1,FUND-XM,treasury_note,5,,,,NOTE33",
        "M2,FUND-XM,treasury_future,-3,,,,,ZN,2026-09",
        "M3,FUND-XM,repo,5,,,,,,,,NOTE33,2026-07-01,2026-07-31,4",
        "M4,FUND-XM,treasury_future,-3,,,,,ZN,2026-09,NOTE33",
    ]
    assert "book.toml securities 1, field 'maturity'" in only(book(*rows, head=head))


def test_a_security_without_issue_is_named_when_its_original_term_decides(book):
    head = HEAD + SECURITIES.replace(
        "coupon_pct = 3.375\nmaturity = 2033-05-15\nissue = 2023-05-15", "coupon_pct = 4\nmaturity = 2028-06-30"
    )
    rows = ["M1,FUND-XM,treasury_future,1,,,,,ZT,2026-09", "M2,FUND-XM,treasury_future,-3,,,,,ZT,2026-09"]
    assert "securities, basket ZT 202609, UST 4 2028-06-30 NOTE33: may be deliverable or not." in only(
        book(*rows, head=head)
    )


def test_a_member_of_a_basket_must_be_deliverable_at_all(book):
    head = HEAD + '[[securities]]\nname = "bill"\nproduct = "treasury_bill"\nmaturity = 2026-12-24\n'
    message = only(book("M1,FUND-XM,treasury_future,1,,,,,ZT,2026-09,bill", head=head))
    assert "positions.csv row 2 (id 'M1'), field 'basket'" in message
    assert "is not a Treasury note or bond" in message


def test_without_securities_the_message_does_not_list_none(book):
    assert "There are none." in only(book("M1,FUND-XM,treasury_future,1,,,,,ZT,2026-09,bill", head=HEAD))


def test_a_book_without_firms_says_so(book):
    assert "'FUND-XM' is unknown. The book has none." in only(book(NOTE, head='positions = "positions.csv"\n'))


def test_a_key_below_a_table_is_explained(book):
    head = HEAD.replace('positions = "positions.csv"\n', "") + '\npositions = "positions.csv"\n'
    found = problems(book(NOTE, head=head))
    assert any("accounts 1 (id 'FUND-XM'), field 'positions': stands inside" in message for message in found)
    assert any("no positions are given" in message for message in found)


@pytest.mark.parametrize(
    ("csv", "where", "says"),
    [
        ("id,account,product,quantity,maturty\n", "column 'maturty'", "Did you mean 'maturity'?"),
        ("id,account,product,quantity,id\n", "column 'id'", "stands twice"),
        ("id,account,product,quantity,\nA,B,C,D,E\n", "column ''", "Name it or remove it."),
        ("id,product,quantity\n1,treasury_bill,5\n2,treasury_bill,5\n", "column 'account'", "the column is missing"),
        ("id;account;product;quantity\n", "header", "Separate columns by commas"),
        ("", "positions.csv", "is empty. Give a header: id,account,product,quantity"),
        ("\n , ,\r\n", "positions.csv", "is empty"),
        (b"id,account,product,quantity\n\xff\xfe,a,b,c\n", "positions.csv", "row 2 is not in UTF-8"),
        (f"{COLUMNS}\n{NOTE}\n".encode("utf-16"), "positions.csv", "row 1 is not in UTF-8"),
        (f"{COLUMNS}\n\n{NOTE}\0\n", "positions.csv row 3", "holds a null character"),
        (gzip.compress(COLUMNS.encode()), "positions.csv", "is packed. Unpack it"),
        (f'{COLUMNS}\nM1,"FUND-XM,treasury_note\nM2,FUND-XM,treasury_note\n', "positions.csv", "readable CSV"),
        (f'{COLUMNS}\nM1,"FUND-XM,treasury_note\nM2",treasury_note\n', "row 3", "Close the quotation mark"),
        (f"{COLUMNS}\n{NOTE}{',' * 9}more\n", "row 2", "fields under"),
    ],
)
def test_a_bad_csv_gives_its_place_and_the_way_out(book, csv, where, says):
    found = problems(book(csv=csv))
    assert any(where in message and says in message for message in found), found


def test_blank_columns_of_a_spreadsheet_are_passed_over(book):
    table = f"{COLUMNS},,\n{NOTE},,\n"
    assert load_book(book(csv=table)).portfolio == load_book(book(csv=f"{COLUMNS}\n{NOTE}\n")).portfolio


def test_a_missing_column_is_one_problem_not_one_a_row(book):
    rows = "".join(f"{n},treasury_bill,5,2027-01-05\n" for n in range(4))
    assert "column 'account': the column is missing" in only(book(csv=f"id,product,quantity,maturity\n{rows}"))


def test_row_numbers_are_those_of_an_editor(book):
    assert "row 5 (id 'M2')" in only(book(NOTE, "", "", "M2,FUND-XM,treasury_note,nan,,4,2033-08-15"))


def test_a_missing_csv_is_named(book, tmp_path):
    path = book(NOTE)
    (tmp_path / "positions.csv").unlink()
    assert "positions.csv: cannot be read: No such file" in only(path)
    assert "cannot be read" in only(book(NOTE, head=HEAD.replace("positions.csv", "no\\u0000file")))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("book.toml", "[[firms]\n", "no readable TOML: Expected ']]' at the end of an array declaration (at line 1"),
        ("book.toml", "a = 1\na = 2\n", "line 2"),
        ("book.json", '{"firms": [}', "no readable JSON: Expecting value: line 1 column 12"),
        ("book.json", "[" * 200_000, "no readable JSON"),
        ("book.json", "[]", "is no object"),
        ("book.toml", "", "is empty"),
        ("book.json", " \n", "is empty"),
        ("book.csv", "id\n", "is no book. Name the .toml or .json file"),
        ("book.json", '{"positions": [{"id": 1e3}]}', "field 'id': 1000.0 is no text"),
        ("book.json", '{"positions": [{"quantity": NaN}]}', "nan is not finite"),
        ("book.json", '{"positions": [7]}', "book.json positions 1: 7 is no table."),
        ("book.json", '{"positions": 7}', "Write [[positions]] for each one."),
        ("book.json", '{"positions": [{"cusip": {}, "product": ["x"]}]}', "['x'] is unknown"),
        ("book.json", '{"firms": [], "positions": [{"id": null}]}', "field 'id': is missing"),
        ("book.json", '{"positions": [{"product": "treasury_bill", "cusip": {}, "maturity": 5}]}', "{} is no text"),
        ("book.json", '{"positions": [{"product": "repo", "collateral": ["A", "B"]}]}', "is no text"),
        ("book.json", '{"positions": [{"product": "treasury_future", "month": true}]}', "no contract month"),
    ],
)
def test_a_file_that_is_no_book_says_why(tmp_path, name, text, says):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert any(says in message for message in problems(path)), problems(path)


def test_a_path_that_leads_nowhere(tmp_path):
    assert "No such file" in only(tmp_path / "absent.toml")
    (tmp_path / "folder.toml").mkdir()
    assert "cannot be read" in only(tmp_path / "folder.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert "is not in UTF-8" in only(tmp_path / "bytes.toml")


# -------------------------------------------------------------------------------------------- a further check


def test_a_further_check_sees_every_sound_product_and_reports_at_its_row(book):
    seen = []

    def check(portfolio):
        seen.extend(position.product.symbol for position in portfolio.positions)
        return [Problem("too old.", f"position {portfolio.positions[-1].id!r}"), Problem("elsewhere.", "curve")]

    rows = [NOTE, NOTE, "M1,NOWHERE,treasury_note,nan,,4,2033-11-15", "M1,FUND-XM,oops,5"]
    with pytest.raises(InputError) as caught:
        load_book(book(*rows), check=check)
    assert seen == ["UST 4.125 2033-08-15", "UST 4.125 2033-08-15", "UST 4 2033-11-15"]
    messages = [str(problem) for problem in caught.value.problems]
    assert "positions.csv row 4 (id 'M1'): too old." in messages
    assert "curve: elsewhere." in messages


def test_a_further_check_that_finds_nothing_lets_the_book_pass(book):
    assert len(load_book(book(NOTE), check=lambda _: ()).portfolio.positions) == 1
