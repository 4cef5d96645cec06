"""`crossmargin where`: what it prints, what it refuses, its exit codes."""

from __future__ import annotations

import json

import pytest

from crossmargin import samples
from crossmargin.cli import main
from crossmargin.collateral import CollateralReport, collateral_text
from crossmargin.io.book_writer import write_book
from crossmargin.margin import collateral_report, margin
from crossmargin.regimes import CROSS_MARGIN, SILOED


@pytest.fixture
def run(capsys):
    """Run a command and give its exit code, output and errors."""

    def command(*arguments: object):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leaving:  # argparse
            code = leaving.code
        return code, *capsys.readouterr()

    return command


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return write_book(samples.basis_trade()[0], tmp_path_factory.mktemp("book"))


def test_the_sample_group_is_shown_when_no_book_is_named(run):
    code, out, err = run("where")
    assert (code, err) == (0, "")
    portfolio, market = samples.group()
    found = collateral_report(portfolio, market, margin(portfolio, market, CROSS_MARGIN))
    assert out.startswith(collateral_text(found, portfolio.posted))
    for title in (
        "Collateral owed to clearing houses, cross_margin, USD, as of 2026-06-30",
        "Collateral owed to the carrying firm by its customers, cross_margin",
        "Who is protected by which law",
        "SIPA / chapter 7 subchapter III",
        "general estate of the firm",
        "Excess that may cover nothing else",
        "Where each deposit sits",
        "Which positions could move into a cross-margin account",
    ):
        assert title in out, title
    assert out.rstrip().endswith("your own comes with --market DIR --as-of DATE.")


def test_a_book_and_a_regime_are_chosen(run, book):
    code, out, err = run("where", book, "--regime", "siloed")
    assert (code, err) == (0, "")
    assert ", siloed, USD, as of 2026-06-30" in out
    assert "Where each deposit sits" not in out  # nothing is posted
    assert "no such rule is in force" in run("where", book, "--regime", "harmonized")[1]


def test_json_reads_back(run, book):
    code, out, _ = run("where", book, "--regime", "siloed", "--json")
    assert code == 0
    portfolio, market = samples.basis_trade()
    assert CollateralReport.from_json(out) == collateral_report(portfolio, market, margin(portfolio, market, SILOED))
    assert json.loads(out)["status"] == "in_force"


def test_all_that_is_wrong_comes_at_once_and_nothing_else(run, tmp_path):
    path = write_book(samples.group()[0], tmp_path)
    table = tmp_path / "collateral.csv"
    text = table.read_text(encoding="utf-8")
    text = text.replace("house-cme,NORTHGATE", "house-cme,NORTHGAT").replace("2026-09-24", "2026-06-24")
    table.write_text(text, encoding="utf-8")
    code, out, err = run("where", path, "--regime", "cross-margn")
    assert (code, out) == (2, "")
    assert "Did you mean 'cross_margin'?" in err
    assert "(id 'house-cme'), field 'owner': 'NORTHGAT' is unknown. Did you mean 'NORTHGATE'?" in err
    assert err.count("UST bill 2026-06-24 matured on 2026-06-24.") == 5
    assert "collateral.csv row" in err


@pytest.mark.parametrize("arguments", [["where", "--level", "broker"], ["where", "a", "b"]])
def test_misuse_leaves_with_two(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "usage: crossmargin" in err


def test_another_date_needs_market_files(run):
    code, out, err = run("where", "--as-of", "2026-07-01")
    assert (code, out) == (2, "")
    assert "the market is of 2026-06-30" in err
