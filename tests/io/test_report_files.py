"""Reports to files: each format holds every figure with its status; formulas recalculate it; texts stay texts."""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
import sys
from datetime import date
from io import StringIO

import pytest
from attrs import evolve

from crossmargin.collateral import CollateralReport
from crossmargin.documents import RECORD
from crossmargin.eligibility import Decision, Reason
from crossmargin.errors import InputError
from crossmargin.io import workbook
from crossmargin.io.report_files import read_report, write_report
from crossmargin.parameters import Read, Source
from crossmargin.results import (
    Comparison,
    Credit,
    Line,
    Report,
    Requirement,
    largest,
    not_modelled,
    product,
    reduction,
    root_sum_square,
    scaled,
    smallest,
    total,
)

AS_OF = date(2026, 6, 30)
EVIL = '=HYPERLINK("http://example.org","x")'


def read(name, value=1.0, grade="rule"):
    return Read("toy", name, value, "1", grade, Source("Rule book", "https://example.org"), "§ 1")


A, B = Line("a", 3.0, reads=(read("x", grade="assumed"),)), Line("b", 4.0, reads=(read("table", ({"k": 1},)),))
TREE = total(
    "whole",
    [
        largest("max", [A, B]),
        smallest("min", [A, scaled("half", 0.5, B)]),
        root_sum_square("root", [A, B], memo=(Line("beside", 9.0),)),
        product("product", [A, B], factor=-2.0),
        reduction("reduction", A, B),
        total("nothing", []),
        total("nested", [total("deep", [A, B]), not_modelled("gap", "not public"), B]),
        not_modelled(EVIL, "=1+1"),
    ],
)
ASKED = Requirement(EVIL, "A", "CME", "clearing", "toy", ("1",), TREE)
GAP = Requirement("p2", "A", "CME", "clearing", "toy", ("2",), not_modelled("all of it", "not public"))
AT_FIRM = Requirement("p3", "A", "firm", "customer", "toy", ("1",), Line("asked", 7.5))
REASON = Reason("open", "it is open", "Wait.", "Rule book, 4", "rule")
REPORT = Report(
    "siloed",
    "Siloed",
    "in_force",
    AS_OF,
    (ASKED, GAP, AT_FIRM),
    decisions=(Decision("prog", "1", "note", False, (REASON,)), Decision("prog", "2", "note", True)),
    notes=("+a note\x07",),
    owners={"A": "@Alpha"},
)
CREDIT = Credit("prog", "p2", "A", "CME", Line("credit", -2.0))
PROPOSED = evolve(REPORT, regime="harmonized", status="proposed", credits=(CREDIT,))
BOTH = Comparison((REPORT, PROPOSED))


def books(path):
    return pytest.importorskip("openpyxl", reason="openpyxl is not installed").load_workbook(path)


# ------------------------------------------------------------------------------------------------- all of them


def test_records_have_the_columns_that_files_have():
    assert all(tuple(record) == RECORD for record in BOTH.to_records())


@pytest.mark.parametrize("result", [REPORT, BOTH])
def test_json_is_read_back_equal(result, tmp_path):
    path = write_report(result, tmp_path / "report.JSON")
    assert read_report(path) == result
    (tmp_path / "packed").write_bytes(gzip.compress(b"\xef\xbb\xbf" + path.read_bytes()))
    assert read_report(tmp_path / "packed") == result


def test_csv_holds_every_record_with_its_status_and_no_formula(tmp_path):
    text = write_report(BOTH, tmp_path / "report.csv").read_bytes().decode()
    rows = list(csv.DictReader(StringIO(text, newline="")))
    assert [row["status"] for row in rows] == ["in_force"] * 3 + ["proposed"] * 4
    assert rows[0]["pool"] == f"'{EVIL}"
    assert [float(row["amount"]) if row["amount"] else None for row in rows] == [
        entry.line.amount for report in BOTH.reports for entry in report.entries
    ]
    assert rows[-1]["amount"] == "-2.0"
    assert rows[0]["partial"] == "yes"
    assert not any(cell.startswith(("=", "@", "+")) for row in rows for cell in row.values())


@pytest.mark.parametrize("result", [BOTH, Report("r", "t", "in_force", AS_OF)])
def test_parquet_holds_the_records_as_they_are(result, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    table = parquet.read_table(write_report(result, tmp_path / "report.parquet"))
    assert tuple(table.column_names) == RECORD
    assert table.to_pylist() == result.to_records()
    told = table.schema.metadata[b"status"].decode()
    assert told == ("siloed: in_force; harmonized: proposed" if result is BOTH else "r: in_force")


@pytest.mark.parametrize("ending", [".csv", ".json", ".xlsx"])
def test_an_empty_report_is_a_file_too(ending, tmp_path):
    if ending == ".xlsx":
        pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    empty = Report("siloed", "Siloed", "in_force", AS_OF)
    path = write_report(empty, tmp_path / f"report{ending}")
    if ending == ".csv":
        assert path.read_text().strip() == ",".join(RECORD)
    if ending == ".xlsx":
        assert books(path).sheetnames == ["Lines"]


# ------------------------------------------------------------------------------------------------------- Excel


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    records = [{"pot": "CME", "posted": 5.0, "status": "in_force", "covered": None}]

    class Held:
        def to_records(self):
            return records

    return books(write_report(BOTH, tmp_path_factory.mktemp("xlsx") / "report.xlsx", collateral=Held()))


def rows_of(sheet):
    header = [cell.value for cell in sheet[3]]
    return [dict(zip(header, row, strict=True)) for row in sheet.iter_rows(min_row=4, values_only=True)]


def value_of(book, sheet, place):
    """What Excel would make of a cell."""
    text = book[sheet][place].value
    if not isinstance(text, str) or not text.startswith("=") or book[sheet][place].data_type == "s":
        return text

    def cells(match):
        where, first, last = match["sheet"] or sheet, match["first"].replace("$", ""), match["last"]
        if last is None:
            return repr(value_of(book, where, first))
        column, start, end = first[0], int(first[1:]), int(last.replace("$", "")[1:])
        return repr([value_of(book, where, f"{column}{row}") for row in range(start, end + 1)])

    cell = r"(?:(?P<sheet>\w+)!)?(?P<first>[A-Z]\$?\d+)(?::(?P<last>[A-Z]\$?\d+))?"
    return eval(re.sub(cell, cells, text[1:].replace("=0", "==0")), FUNCTIONS)  # noqa: S307


def numbers(values):
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return [item for item in flat if isinstance(item, int | float)]


def sum_ifs(values, *conditions):
    pairs = list(zip(conditions[::2], conditions[1::2], strict=True))
    return sum(numbers(v for n, v in enumerate(values) if all(where[n] == what for where, what in pairs)))


FUNCTIONS = {
    "SUM": lambda *values: sum(numbers(values)),
    "MAX": lambda *values: max(numbers(values)),
    "MIN": lambda *values: min(numbers(values)),
    "SUMSQ": lambda *values: sum(value**2 for value in numbers(values)),
    "SQRT": math.sqrt,
    "IF": lambda condition, then, other: then if condition else other,
    "SUMIFS": sum_ifs,
}


def test_every_sheet_says_the_status(book):
    assert book.sheetnames == [
        "Figures",
        "Lines",
        "Decisions",
        "Values read",
        "Assumptions",
        "Not modelled",
        "Sources",
        "Notes",
        "Collateral",
    ]
    for sheet in book:
        assert "harmonized: proposed" in sheet["A1"].value
        assert "no such rule is in force" in sheet["A1"].value
        assert "harmonized: proposed" in sheet.oddHeader.center.text


def test_excel_calculates_every_line_from_its_parts(book):
    rows = rows_of(book["Lines"])
    assert sum(row["line"].strip() == "whole" for row in rows) == 2
    for number, row in enumerate(rows, 4):
        again = value_of(book, "Lines", f"G{number}")
        if row["amount"] == "not modelled":
            assert again == "not modelled"
        else:
            assert again == pytest.approx(row["amount"])
    formulas = {row["line"].strip(): row["recalculated"] for row in rows}
    assert formulas["max"].startswith("=MAX(G")
    assert re.fullmatch(r"=SUM\(G\d+:G\d+\)", formulas["deep"])
    assert formulas["a"].startswith("=F")


def test_a_changed_input_is_followed_to_the_totals(book):
    rows = rows_of(book["Figures"])
    place = next(n for n, row in enumerate(rows, 4) if row["kind"] == "total" and row["regime"] == "harmonized")
    assert value_of(book, "Figures", f"N{place}") == pytest.approx(PROPOSED.total())
    leaf = next(n for n, row in enumerate(rows_of(book["Lines"]), 4) if row["line"].strip() == "credit")
    before, book["Lines"][f"F{leaf}"].value = book["Lines"][f"F{leaf}"].value, -12.0
    assert value_of(book, "Figures", f"N{place}") == pytest.approx(PROPOSED.total() - 10.0)
    book["Lines"][f"F{leaf}"].value = before


def test_figures_have_totals_and_benefits(book):
    rows = rows_of(book["Figures"])
    told = {(row["kind"], row["regime"], row["level"]): row["amount"] for row in rows[-6:]}
    assert told["total", "siloed", "clearing"] == REPORT.total()
    assert told["benefit", "harmonized", "clearing"] == 2.0
    assert told["total", "harmonized", "customer"] == 7.5
    for number, row in enumerate(rows, 4):
        again = value_of(book, "Figures", f"N{number}")
        assert again == (row["amount"] if row["amount"] == "not modelled" else pytest.approx(row["amount"]))
    assert {row["status"] for row in rows if row["regime"] == "harmonized"} == {"proposed"}


def test_texts_are_never_formulas(book):
    for sheet in book:
        for row in sheet.iter_rows(min_row=4):
            for cell in row:
                if cell.data_type == "f":
                    assert sheet.title in {"Figures", "Lines"}
                    assert "HYPERLINK" not in cell.value
    evil = book["Figures"]["I4"]
    assert (evil.value, evil.data_type, evil.quotePrefix) == (EVIL, "s", True)
    assert book["Notes"]["C4"].value == "+a note\ufffd"


def test_the_other_sheets(book):
    assert rows_of(book["Decisions"])[0]["conditions"] == "open"
    assert {row["name"] for row in rows_of(book["Values read"])} == {"x", "table"}
    assert [row["grade"] for row in rows_of(book["Assumptions"])] == ["assumed"]
    assert {row["why"] for row in rows_of(book["Not modelled"])} == {"not public", "=1+1"}
    assert rows_of(book["Collateral"]) == [{"pot": "CME", "posted": 5, "status": "in_force", "covered": None}]


@pytest.mark.parametrize("text", ["#N/A", "#REF!", "+1", "-x", "@SUM(1)", "=1", "\ud800", "a" * 40_000, "\x00", ""])
def test_any_text_can_stand_in_a_cell(text, tmp_path):
    report = evolve(REPORT, notes=(text,), title=text, owners={"A": text})
    cell = books(write_report(report, tmp_path / "text.xlsx"))["Notes"]["C4"]
    assert cell.data_type != "f"
    assert (cell.value or "")[:4] == text[:4].replace("\ud800", "\ufffd").replace("\x00", "\ufffd")


def test_a_credit_at_a_level_without_requirements_is_kept(tmp_path):
    report = evolve(REPORT, requirements=(ASKED,), credits=(evolve(CREDIT, level="customer"),))
    figures = books(write_report(report, tmp_path / "credit.xlsx"))["Figures"]
    assert (figures["L5"].value, figures["N5"].value) == (-2, "=L5")


def test_many_parts_are_kept_as_a_number(tmp_path):
    parts = [total(f"p{n}", [Line("x", 1.0)]) for n in range(300)]
    report = evolve(REPORT, requirements=(evolve(ASKED, line=total("many", parts)),))
    found = books(write_report(report, tmp_path / "many.xlsx"))
    row = next(row for row in rows_of(found["Lines"]) if row["line"].strip() == "many")
    assert (row["amount"], row["recalculated"][:2]) == (300, "=F")


def test_a_workbook_of_too_many_rows_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "_MOST_ROWS", 10)
    with pytest.raises(InputError, match="rows are too many for a sheet"):
        write_report(BOTH, tmp_path / "report.xlsx")
    assert not list(tmp_path.iterdir())


# ----------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(("name", "what"), [("r.xls", "Did you mean '.xlsx'?"), ("r", "Known: .csv, .json, .parquet")])
def test_another_ending_is_refused(name, what, tmp_path):
    with pytest.raises(InputError) as error:
        write_report(REPORT, tmp_path / name)
    assert what in str(error.value)


def test_what_is_no_report_is_refused(tmp_path):
    with pytest.raises(InputError, match="a dict was given") as caught:
        write_report({}, None)
    assert [problem.where for problem in caught.value.problems] == ["result", "path"]
    with pytest.raises(InputError, match="has no place for collateral"):
        write_report(REPORT, tmp_path / "r.csv", collateral=CollateralReport(REPORT.as_of))
    for wrong in (REPORT, {}, 3):
        with pytest.raises(InputError, match="Give what collateral_report returned"):
            write_report(REPORT, tmp_path / "r.xlsx", collateral=wrong)
    with pytest.raises(InputError, match="source: None was given"):
        read_report(None)


@pytest.mark.parametrize("ending", ["csv", "json", "parquet", "xlsx"])
def test_a_folder_that_is_not_there_is_named(ending, tmp_path):
    with pytest.raises(InputError, match=rf"none/r\.{ending}: cannot be written: .*Name a file in a folder"):
        write_report(REPORT, tmp_path / "none" / f"r.{ending}")
    (tmp_path / f"r.{ending}").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_report(REPORT, tmp_path / f"r.{ending}")
    assert [path.name for path in tmp_path.iterdir()] == [f"r.{ending}"]


@pytest.mark.parametrize(("ending", "library"), [("xlsx", "openpyxl"), ("parquet", "pyarrow")])
def test_a_missing_extra_says_how_to_install_it(ending, library, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=r"is not installed. Install it: pip install 'crossmargin\["):
        write_report(REPORT, tmp_path / f"report.{ending}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{}", b"", json.dumps({"schema": "x"}).encode()])
def test_what_is_no_report_file_is_refused(content, tmp_path):
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(InputError):
        read_report(tmp_path / "r.json")
    with pytest.raises(InputError, match="No such file"):
        read_report(tmp_path / "none.json")
