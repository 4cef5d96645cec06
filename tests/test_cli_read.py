"""The command `read`: what it says of a file, the book that it writes, and its exit codes."""

from __future__ import annotations

import json

import pytest

from crossmargin.cli import main
from crossmargin.io.book import load_book
from crossmargin.io.report_files import read_report
from crossmargin.io.span import write_span
from tests.io.span.sample import RECORDS

MINE = "symbol,quantity,price\nIBM,500,280\nESU26,-4,5000\nGCG5,1,2050\n"


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text(MINE, encoding="utf-8")

    def command(*arguments: str):
        try:
            code = main(["read", *arguments])
        except SystemExit as leaving:  # argparse
            code = leaving.code
        return code, *capsys.readouterr()

    return command


def test_rows_understood_and_not_are_told(run):
    code, out, err = run("mine.csv")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == ("mine.csv (table of positions, no date): position 2, set aside 1, not understood 1")
    assert "GC is no contract of the library" in out
    assert "IBM is taken as common stock" in out


def test_json_holds_the_same(run):
    told = json.loads(run("mine.csv", "--json", "--as-of", "2026-06-30")[1])
    assert told["understood"] == {"position": 2, "set aside": 1}
    assert (told["kind"], told["as_of"]) == ("statement", "2026-06-30")
    assert [row["place"] for row in told["not_understood"]] == ["mine.csv row 4"]
    assert "book" not in told


def test_a_book_is_written_for_compare(run, capsys):
    code, out, _ = run("mine.csv", "--out", "book", "--account", "pat", "--firm", "DEALER", "--owner", "PAT")
    assert code == 0
    assert "DEALER carries every account" in out
    assert out.splitlines()[-1].endswith("book.toml: without the 1 not understood")
    book = load_book("book/book.toml").portfolio
    assert [each.id for each in book.accounts] == ["pat", "pat futures"]
    assert main(["compare", "book/book.toml", "--regimes", "siloed,strategy_margin"]) == 0
    assert "PAT" in capsys.readouterr().out
    told = json.loads(run("mine.csv", "--out", "other", "--account-class", "PROPRIETARY", "--json")[1])
    assert told["book"].endswith("book.toml")
    assert len(told["assumed"]) == 2


def test_a_book_may_say_what_is_known(run, tmp_path):
    (tmp_path / "known.toml").write_text(
        'positions = []\n[[securities]]\ncusip = "91282CHT1"\nproduct = "treasury_note"\ncoupon_pct = 3.875\n'
        "maturity = 2033-08-15\n",
        encoding="utf-8",
    )
    (tmp_path / "notes.csv").write_text("cusip,quantity\n91282CHT1,1000\n", encoding="utf-8")
    assert "not understood 1" in run("notes.csv")[1]
    assert "not understood 0" in run("notes.csv", "--known", "known.toml")[1]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("none.csv",), "No such file"),
        (("mine.csv", "--strict"), "1 of 4 rows of mine.csv not understood"),
        (("mine.csv", "--format", "crif"), "RiskType"),
        (("mine.csv", "--format", "crfi"), "invalid choice: 'crfi'"),
        (("mine.csv", "--out", "b", "--account-class", "SEC"), "unknown 'SEC'"),
        (("mine.csv", "--known", "none.toml"), "cannot be read"),
        (("span.pa2", "--out", "b"), "holds parameters, not positions"),
    ],
)
def test_what_is_refused(run, arguments, what, tmp_path):
    write_span(tmp_path / "span.pa2", RECORDS)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert what in err
    assert not (tmp_path / "b").exists()


def test_a_comparison_is_written_as_its_ending_says(run, tmp_path):
    assert run("mine.csv", "--out", "book")[0] == 0
    arguments = ["compare", "book/book.toml", "--regimes", "siloed"]
    assert main([*arguments, "--out", "r.json"]) == 0
    assert [report.regime for report in read_report("r.json").reports] == ["siloed"]
    assert main([*arguments, "--out", "r.doc"]) == 2
    assert not (tmp_path / "r.doc").exists()
