"""Any file: recognised by its content, every row counted once, and made into a book that is read back."""

from __future__ import annotations

import gzip
import json
import zipfile
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.accounts import AccountClass
from crossmargin.cli.read import _KINDS
from crossmargin.collateral import CollateralReport
from crossmargin.errors import InputError
from crossmargin.io.book import load_book
from crossmargin.io.book_writer import write_book
from crossmargin.io.brokers import read_statement
from crossmargin.io.market_files import read_tidy_par_yields
from crossmargin.io.recognise import KINDS, read_file
from crossmargin.io.report_files import write_report
from crossmargin.io.span import read_span, write_span
from crossmargin.io.statement_book import portfolio_of
from crossmargin.io.symbols import directory
from crossmargin.page import report_page
from crossmargin.products import TreasuryNote
from crossmargin.results import Comparison, Line, Report, Requirement
from tests.io.span.sample import RECORDS, XML

AS_OF = date(2026, 6, 30)
BLANK = Report(
    "siloed",
    "Siloed",
    "proposed",
    AS_OF,
    requirements=(Requirement("p", "o", "CME", "clearing", "r", ("1",), Line("margin", 5.0)),),
)
MINE = "symbol,quantity,price\nIBM,500,280\nZNU26,-480,112.5\nGCG5,1,2050\n"
CRIF = (
    "PortfolioID,ProductClass,RiskType,Qualifier,AmountUSD,Desk\n"
    "A,RatesFX,Risk_FX,EUR,-5,x\n"
    "B,RatesFX,Risk_FX,EUR,5,x\n"
)
FLEX = '<?xml version="1.0"?><FlexQueryResponse a="b"><FlexStatements count="0"></FlexStatements></FlexQueryResponse>'
ESTIMATOR = '{"portfolio_components": []}'


@pytest.fixture
def file(tmp_path):
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def refused(path, **terms) -> str:
    with pytest.raises(InputError) as error:
        read_file(path, **terms)
    return str(error.value)


# -------------------------------------------------------------------------------------------------- what it is


@pytest.mark.parametrize("packed", ["", ".gz", ".zip"])
@pytest.mark.parametrize(
    ("content", "kind", "counts"),
    [
        (MINE, "statement", {"position": 2, "set aside": 1}),
        (f"\n\ufeff{MINE}".lstrip("\n"), "statement", {"position": 2, "set aside": 1}),
        (FLEX, "statement", {}),
        (ESTIMATOR, "statement", {}),
        (CRIF, "crif", {"sensitivities": 2}),
        (CRIF.replace(",", "\t"), "crif", {"sensitivities": 2}),
        (CRIF.replace("RiskType", "Risk Type"), "crif", {"sensitivities": 2}),
    ],
)
def test_a_text_is_recognised_packed_or_not(content, kind, counts, packed, file):
    path = file(f"some{packed}", gzip.compress(content.encode()) if packed == ".gz" else content)
    if packed == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inside.csv", content)
    found = read_file(path)
    assert (found.kind, found.counts) == (kind, counts)


@pytest.mark.parametrize("name", ["x.pa2", "x.pa2.gz", "x.zip"])
def test_span_is_recognised(name, tmp_path):
    write_span(tmp_path / name, RECORDS)
    found = read_file(tmp_path / name)
    assert found.kind == "span"
    assert found.understood == sum(found.content.counts.values()) > 0
    assert "combined commodities" in found.report()


def test_span_in_xml_is_recognised(file):
    for text in (XML, XML.encode("utf-16")) if "encoding" not in XML[:60] else (XML,):
        assert read_file(file("x.spn", text)).kind == "span"


def test_a_book_is_recognised_in_both_forms(tmp_path, file):
    portfolio, _ = samples.basis_trade()
    path = write_book(portfolio, tmp_path)
    found = read_file(path)
    assert (found.kind, found.counts["positions"], found.not_understood) == ("book", 25, ())
    renamed = tmp_path / "book.txt"
    renamed.write_bytes(path.read_bytes())
    assert "is no book" in refused(renamed), "recognised, and told to be named so"
    empty = file("b.json", '{"positions": []}')
    assert read_file(empty).kind == "book"
    assert "Name it in a book" in refused(tmp_path / "positions.csv")


@pytest.mark.parametrize("both", [False, True])
def test_a_report_is_recognised(both, tmp_path):
    report = Report("siloed", "Siloed", "proposed", AS_OF)
    path = write_report(Comparison((report,)) if both else report, tmp_path / "r.json")
    found = read_file(path)
    assert (found.kind, found.as_of, found.counts) == ("report", AS_OF, {"siloed": 0})
    assert "siloed proposed" in found.format


OWN = "is a report of crossmargin, not a book"


@pytest.mark.parametrize("name", ["r.csv", "r.csv.gz", "r.json", "r.xlsx", "r.parquet", "r.html"])
def test_a_report_of_ones_own_is_no_book(name, tmp_path, file):
    pytest.importorskip({"r.xlsx": "openpyxl", "r.parquet": "pyarrow"}.get(name, "json"), reason="extra not installed")
    both = Comparison((BLANK, Report("other", "Other", "in_force", AS_OF)))
    if name == "r.html":
        path = file(name, report_page(both))
    else:
        path = write_report(both, tmp_path / name.removesuffix(".gz"))
        path = file(name, gzip.compress(path.read_bytes())) if name.endswith(".gz") else path
    for read in (load_book, read_statement, *([read_file] if name != "r.json" else [])):
        with pytest.raises(InputError, match=OWN):
            read(path)
    named = file("book.toml", f'positions = "{name}"\n')
    with pytest.raises(InputError, match=OWN):
        load_book(named)


def test_collateral_reports_are_no_books(file):
    assert OWN in refused(file("c.json", CollateralReport(AS_OF).to_json()))


@pytest.mark.parametrize("path", [None, 3, b"x.csv", [], Comparison(())])
def test_what_is_no_path_is_refused_in_words(path):
    for read in (read_file, load_book):
        with pytest.raises(InputError, match=r"path: .* was given"):
            read(path)
    with pytest.raises(InputError, match=r"source: .* was given"):
        read_statement(path)
    with pytest.raises(InputError, match=r"source: .* was given"):
        read_span(path)
    with pytest.raises(InputError, match=r"source: .* was given"):
        read_tidy_par_yields(path)


@pytest.mark.parametrize("form", ["parquet", "feather", "arrow", "stream"])
def test_frames_in_files(form, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pytest.importorskip("narwhals", reason="narwhals is not installed")
    from pyarrow import feather, ipc, parquet

    table, path = pa.table({"symbol": ["IBM", "GCG5"], "quantity": [5, 1]}), tmp_path / f"held.{form}"
    if form == "parquet":
        parquet.write_table(table, path)
    elif form == "feather":
        feather.write_feather(table, path)
    else:
        opened = ipc.new_file if form == "arrow" else ipc.new_stream
        with opened(path, table.schema) as writer:
            writer.write_table(table)
    found = read_file(path, as_of=AS_OF, account="mine")
    assert (found.kind, found.counts, len(found.not_understood)) == ("frame", {"position": 1}, 1)
    assert found.content.positions[0].account == "mine"
    path.write_bytes(path.read_bytes()[:40])
    assert "is no readable Parquet or Arrow file" in refused(path)


def test_every_kind_is_offered_on_the_command_line():
    assert KINDS == _KINDS


# --------------------------------------------------------------------------------------------- what is said of it


def test_what_was_not_understood_and_guessed_is_told(file):
    found = read_file(file("mine.csv", MINE), as_of=AS_OF)
    assert found.understood + len(found.not_understood) == len(found.content.rows)
    text = found.report()
    assert "mine.csv (table of positions, 2026-06-30): position 2, set aside 1, not understood 1" in text
    assert "GC is no contract of the library" in text
    assert "Guessed:" in text
    with pytest.raises(InputError, match=r"1 of 4 rows of mine\.csv not understood"):
        found.raise_if_incomplete()
    read_file(file("crif.csv", CRIF)).raise_if_incomplete()


def test_a_crif_tells_its_portfolios_and_other_columns(file):
    said = " ".join(str(guess) for guess in read_file(file("c.csv", CRIF)).guesses)
    assert "'Desk' is no column of the format: ignored." in said
    assert "do not net with one another: A, B." in said


def test_what_is_known_comes_before_a_guess(file):
    note = TreasuryNote(0.04, date(2033, 8, 15), cusip="91282CHT1")
    path = file("n.csv", "cusip,quantity\n91282CHT1,1000\n")
    assert read_file(path).not_understood
    assert read_file(path, known=directory([note])).content.positions[0].product == note


# ------------------------------------------------------------------------------------------------------ into a book


def test_a_statement_becomes_a_book_that_is_read_back(file, tmp_path):
    found = read_file(file("mine.csv", MINE), as_of=AS_OF, account="pat")
    portfolio, assumed = portfolio_of(found)
    assert [(each.id, each.owner, each.account_class.value) for each in portfolio.accounts] == [
        ("pat", "pat", "SEC_15C3_3"),
        ("pat futures", "pat", "CFTC_4D_AB"),
    ]
    assert any("BROKER carries every account" in each for each in assumed)
    assert any("'pat futures'" in each and "CFTC_4D_AB" in each for each in assumed)
    assert load_book(write_book(portfolio, tmp_path / "out")).portfolio == portfolio


def test_firm_owner_and_class_may_be_told(file):
    text = "symbol,quantity,account\nIBM,5,a\nIBM,7,b\nESU26,1,b\n"
    terms = {"firm": "F", "owner": "PAT", "account_class": "PROPRIETARY"}
    portfolio, _ = portfolio_of(read_file(file("x.csv", text)), **terms)
    assert {(each.id, each.owner, each.firm, each.account_class) for each in portfolio.accounts} == {
        ("a", "PAT", "F", AccountClass.PROPRIETARY),
        ("b", "PAT", "F", AccountClass.PROPRIETARY),
    }
    assert [each.id for each in portfolio.customers] == ["PAT"]
    with pytest.raises(InputError, match="Did you mean 'SEC_15C3_3'"):
        portfolio_of(read_file(file("x.csv", text)), account_class="SEC_15C33")


def test_accounts_of_one_file_do_not_net_unless_told(file):
    portfolio, _ = portfolio_of(read_file(file("x.csv", "symbol,quantity,account\nIBM,5,a\nIBM,-5,b\n")))
    assert len({each.owner for each in portfolio.accounts}) == 2


def test_an_account_lies_in_one_class(file):
    path = file("x.csv", "symbol,quantity,account\nIBM,5,a futures\nESU26,1,a\n")
    with pytest.raises(InputError, match="account 'a futures' would lie in two classes"):
        portfolio_of(read_file(path))
    house, _ = portfolio_of(read_file(path), account_class="PROPRIETARY")
    assert [(each.id, each.owner) for each in house.accounts] == [("a futures", "BROKER"), ("a", "BROKER")]
    assert house.customers == ()
    assert portfolio_of(read_file(path), account_class="PROPRIETARY", owner="BROKER")[0] == house


def test_cash_is_told_to_be_left_out(file):
    text = (
        "Account Number,Investment Name,Symbol,Shares,Share Price,Total Value,\n"
        "1,Vanguard Federal Money Market Fund,VMFXX,5,1,5,\n2,IBM,IBM,1,5,5,\n"
    )
    _, assumed = portfolio_of(read_file(file("v.csv", text)))
    assert assumed[0].startswith("Cash is left out (5.00 USD in '1')")


def test_a_crif_becomes_one_position_for_each_portfolio(file, tmp_path):
    portfolio, _ = portfolio_of(read_file(file("c.csv", CRIF)))
    assert [(each.id, each.product.name, each.quantity) for each in portfolio.positions] == [
        ("A", "A", 1.0),
        ("B", "B", 1.0),
    ]
    back = load_book(write_book(portfolio, tmp_path / "out")).portfolio
    assert len(back.positions) == 2


def test_a_book_stays_as_it_is(tmp_path):
    portfolio, _ = samples.basis_trade()
    assert portfolio_of(read_file(write_book(portfolio, tmp_path))) == (portfolio, ())


@pytest.mark.parametrize("content", ["symbol,quantity\n", "symbol,quantity\nGCG5,1\n"])
def test_nothing_held_makes_no_book(content, file):
    with pytest.raises(InputError, match="without positions makes no book"):
        portfolio_of(read_file(file("x.csv", content)))


SYMBOLS = ("IBM", "SPY   260918P00570000", "ESU26", "T 4.25 02/15/35")


@given(st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(-999, 999), st.sampled_from("ab")), max_size=6))
def test_a_book_holds_what_the_file_does(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("laws") / "x.csv"
    path.write_text("\n".join(["symbol,quantity,account", *(",".join(map(str, row)) for row in rows)]))
    found = read_file(path, as_of=AS_OF)
    assert found.understood + len(found.not_understood) == len(rows) + 1
    if found.content.positions:
        portfolio, _ = portfolio_of(found)
        held = [(each.product, each.quantity) for each in portfolio.positions]
        assert held == [(each.product, each.quantity) for each in found.content.positions]
        assert all(portfolio.account_of(each).id.startswith(tuple("ab")) for each in portfolio.positions)


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "is empty"),
        (b"\x00\x01\x02\xff", "cannot be read"),
        ("a,b\n1,2\n", "has no header that is known"),
        (b"\x1f\x8bjunk", "cannot be read"),
        (b"PK\x03\x04junk", "cannot be read"),
        ("{", "no readable JSON"),
        ('{"schema": "crossmargin/report/9"}', "Read it with the version of the library that wrote it"),
    ],
)
def test_what_is_nothing_is_refused(content, what, file):
    assert what in refused(file("x", content))


def test_archives_that_cannot_be_used(tmp_path):
    path = tmp_path / "x.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    assert "Save the sheet of positions as CSV" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", MINE)
        archive.writestr("b.csv", MINE)
    assert "2 files in the archive" in refused(path)
    assert "No such file" in refused(tmp_path / "none")


def test_wrong_arguments_are_refused(file):
    path = file("mine.csv", MINE)
    assert "Did you mean 'statement'?" in refused(path, kind="statment")
    assert "Give datetime.date(2026, 6, 30)" in refused(path, as_of="2026-06-30")
    assert "RiskType" in refused(path, kind="crif")
    assert json.loads(json.dumps(list(KINDS))) == list(KINDS)


BEGINNINGS = (
    b"",
    b"0 CME   20260105",
    b"<spanFile>",
    b"<",
    b"{",
    b'{"schema": "crossmargin/report/1"',
    b"RiskType,",
    b"PAR1",
)
MORE = (
    b"ARROW1\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x1f\x8b\x08",
    b"PK\x03\x04",
    b"[[firms]]\n",
    b"symbol,quantity\n",
    b"\xff\xfe",
)


@given(st.sampled_from(BEGINNINGS + MORE), st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused_in_the_librarys_own_words(tmp_path_factory, start, rest):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(start + rest)
    with suppress(InputError):
        found = read_file(path)
        assert all(row.reason for row in found.not_understood)
        assert found.report()


def test_guesses_that_say_the_same_share_a_line(tmp_path):
    path = tmp_path / "many.csv"
    path.write_text("symbol,quantity\n" + "".join(f"IBM,{lots}\n" for lots in range(1, 41)))
    found = read_file(path, as_of=date(2026, 6, 30))
    assert len(found.guesses) >= 40
    (line,) = (line for line in found.report().splitlines() if "common stock" in line)
    assert "and 39 more: " in line
