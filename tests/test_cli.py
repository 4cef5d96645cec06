"""The command line: what it prints, what it refuses, and its exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from crossmargin import __version__, samples
from crossmargin.cli import main
from crossmargin.cli.rules import _condition_lines
from crossmargin.products.calendars import is_business_day
from crossmargin.registry import FOLDERS, rules
from crossmargin.results import Comparison

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = str(ROOT / "examples" / "basis_trade" / "book.toml")
REGIMES = ["siloed", "cross_margin", "harmonized"]
TENORS = "1M,3M,6M,1Y,2Y,3Y,5Y,7Y,10Y,20Y,30Y"
LAST = date(2018, 12, 31)

BOOK = """\
positions = "positions.csv"
[[firms]]
id = "DEALER"
registrations = ["BD", "FCM"]
memberships = ["FICC", "CME"]
[[customers]]
id = "FUND"
[[accounts]]
id = "HOUSE"
owner = "DEALER"
firm = "DEALER"
account_class = "PROPRIETARY"
[[accounts]]
id = "FUND-GOV"
owner = "FUND"
firm = "DEALER"
account_class = "SEC_NOTE_H"
[[securities]]
cusip = "NOTE26"
product = "treasury_note"
coupon_pct = 2
maturity = 2026-02-15
issue = 2016-02-15
"""
HEADER = "id,account,product,quantity,coupon_pct,maturity,cusip,contract,month"
SOUND = ["N,HOUSE,treasury_note,1e6,,,NOTE26,,", "F,HOUSE,treasury_future,-8,,,,ZN,2019-03"]


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


@pytest.fixture
def book(tmp_path):
    def write(*rows: str, head: str = BOOK) -> Path:
        (tmp_path / "positions.csv").write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
        (tmp_path / "book.toml").write_text(head, encoding="utf-8")
        return tmp_path / "book.toml"

    return write


@pytest.fixture(scope="session")
def market(tmp_path_factory):
    """A made-up history of ten years and a stressed period, in percent, that ends on LAST."""
    days = [date(2008, 6, 2) + timedelta(days=n) for n in range((LAST - date(2008, 6, 2)).days + 1)]
    days = [day for day in days if is_business_day(day)]
    level = np.linspace(1.5, 3.5, TENORS.count(",") + 1)
    noise = np.random.default_rng(7).normal(0, 0.05, (len(days), 1)) + level
    rows = [f"{day},{','.join(f'{value:.4f}' for value in row)}" for day, row in zip(days, noise, strict=True)]
    return write_market(tmp_path_factory.mktemp("market"), [f"date,{TENORS}", *rows])


def write_market(folder: Path, lines: list[str]) -> Path:
    (folder / "par_yields.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return folder


@pytest.fixture
def holed(tmp_path):
    """A market whose only curve has nothing between two and thirty years."""
    folder = tmp_path / "holed"
    folder.mkdir()
    return write_market(folder, ["date,3M,2Y,30Y", f"{LAST},2.4,2.5,3.0"])


# -------------------------------------------------------------------------------------------- what is printed


def test_the_demo_prints_the_regimes_side_by_side(run):
    code, out, err = run("demo")
    assert (code, err) == (0, "")
    assert out.startswith("Initial margin owed to clearing houses, USD, as of 2026-06-30")
    assert "no such rule is in force" in out
    assert out.rstrip().splitlines()[-2].startswith("Real Treasury history, fictional firms")
    assert "Not advice. Proposals are not in force." in out


def test_the_demo_in_json_begins_with_the_totals(run):
    code, out, err = run("demo", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert list(document)[:2] == ["schema", "totals"]
    assert list(document["totals"]) == REGIMES
    assert Comparison.from_json(out).totals() == document["totals"]
    assert [report["status"] for report in document["reports"]][-1] == "proposed"


def test_the_packaged_market_is_stated(run):
    code, out, _ = run("compare", EXAMPLE)
    assert code == 0
    assert out.rstrip().endswith("your own comes with --market DIR --as-of DATE.")
    assert "packaged with crossmargin, of 2026-06-30" in out


def test_the_example_book_gives_the_demo(run):
    demo = json.loads(run("demo", "--json")[1])
    assert json.loads(run("compare", EXAMPLE, "--as-of", "2026-06-30", "--json")[1]) == demo


def test_compare_with_market_files(run, book, market):
    code, out, err = run("compare", book(*SOUND), "--market", market, "--as-of", LAST)
    assert (code, err) == (0, "")
    assert "as of 2018-12-31" in out
    assert "packaged" not in out


def test_regimes_are_chosen_and_ordered(run, book, market):
    arguments = (book(*SOUND), "--market", market, "--as-of", LAST, "--regimes", "harmonized, siloed", "--json")
    totals = json.loads(run("compare", *arguments)[1])["totals"]
    assert list(totals) == ["harmonized", "siloed"]
    assert all(total > 0 for total in totals.values())


def test_explain_shows_the_tree_of_the_sample(run):
    code, out, _ = run("explain", "--depth", "2")
    assert code == 0
    assert out.startswith("Cross-margin: today's approved programmes, as of 2026-06-30, USD")
    assert "cross_margin clearing requirement" in out
    assert len(run("explain", "--depth", "5")[1]) > len(out)
    assert len(run("explain", "--depth", "0")[1].splitlines()) < 6


def test_explain_a_book_a_regime_a_level(run, book, market):
    arguments = (book(*SOUND), "--market", market, "--as-of", LAST)
    out = run("explain", *arguments, "--regime", "harmonized", "--level", "customer")[1]
    assert "harmonized customer requirement" in out
    assert "no such rule is in force" in out
    line = json.loads(run("explain", *arguments, "--regime", "siloed", "--json")[1])
    assert line["name"] == "siloed clearing requirement"
    assert line["amount"] == pytest.approx(sum(part["amount"] for part in line["parts"]))


def test_rules_lists_every_rule(run):
    code, out, _ = run("rules")
    assert code == 0
    files = {path.stem for folder in FOLDERS for path in listed(folder)}
    listing = json.loads(run("rules", "--json")[1])
    assert {each["id"] for each in listing} == files
    assert all(id in out for id in files)
    for each in listing:
        assert {"id", "kind", "status", "dates", "sources", "assumed_share"} <= set(each)
        assert 0 <= each["assumed_share"] <= 1
        assert all(source["title"] in out for source in each["sources"])


def listed(folder: str) -> list[Path]:
    return sorted((ROOT / "crossmargin" / folder).glob("*.toml"))


def test_rules_shows_one_with_all_its_values(run):
    code, out, _ = run("rules", "ficc_gsd")
    assert code == 0
    document = json.loads(run("rules", "ficc_gsd", "--json")[1])
    assert document["parameters"]
    assert all(f"\n{name} [" in out for name in document["parameters"])
    assert all(grade in out for grade in ("assumed", "disclosure"))
    _, out, _ = run("rules", "cme_ficc")
    assert "condition subordination, customer from " in out


def test_rules_say_the_structure_and_status_of_a_programme(run):
    _, out, _ = run("rules")
    for id, structure, status in (
        ("cme_ficc", "two_pot", "in_force"),
        ("occ_cme", "one_pot", "in_force"),
        ("nypc_ficc", "one_pot", "withdrawn"),
    ):
        assert re.search(rf"^{id} +arrangement {structure} +{status} ", out, re.MULTILINE)
        assert run("rules", id)[1].splitlines()[1].startswith(f"arrangement {structure}, {status}, ")
        assert json.loads(run("rules", id, "--json")[1])["structure"] == structure


def test_a_condition_is_shown_with_those_that_it_combines():
    ficc = rules("cme_ficc")
    first, second, *_ = ficc.conditions
    either = evolve(first, id="either", combines="any", parts=(second, evolve(second, id="deeper")))
    shown = list(_condition_lines(either))
    assert shown[0].startswith("condition either (any of), house and customer from ")
    assert [line for line in shown if line.startswith("  condition ")] == [shown[2], shown[4]]


def test_the_version(run):
    assert run("--version") == (0, f"crossmargin {__version__}\n", "")


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(command in out for command in ("demo", "compare", "explain", "where", "rules", "conformance"))


# ------------------------------------------------------------------------------------------------- conformance

CASE = {"id": "a", "family": "risk.tail", "expected": {"value": 2.0}, "tolerance": {"rel": 1e-9, "abs": 0}}
LOSSES = {"losses": [1.0, 2.0], "weights": None, "confidence": 0.99, "k": None, "quantile_type": 1}


def case(tmp_path, **changes: object) -> Path:
    inputs = LOSSES | {"estimator": "quantile", "floor_at_zero": False}
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps({**CASE, "inputs": inputs, **changes}), encoding="utf-8")
    return path


def test_conformance_passes(run, tmp_path):
    code, out, err = run("conformance", case(tmp_path))
    assert (code, err) == (0, ""), out
    assert "risk.tail" in out


def test_conformance_fails_with_a_line_and_code_one(run, tmp_path):
    path = case(tmp_path, expected={"value": 3.0})
    code, out, _ = run("conformance", path)
    assert code == 1
    assert out.startswith("FAILED a [value]: expected 3.0, got 2.0")
    code, out, _ = run("conformance", path, "--json")
    assert code == 1
    outcome = json.loads(out)
    assert outcome["families"] == {"risk.tail": {"passed": 0, "failed": 1, "not_implemented": 0}}
    assert len(outcome["failures"]) == 1


def test_an_unknown_family_is_counted_not_failed(run, tmp_path):
    code, out, _ = run("conformance", case(tmp_path, family="weather"), "--json")
    assert code == 0
    assert json.loads(out)["families"]["weather"]["not_implemented"] == 1


def test_conformance_refuses_what_is_no_case_file(run, tmp_path):
    code, out, err = run("conformance", tmp_path / "absent.jsonl")
    assert (code, out) == (2, "")
    assert "absent.jsonl" in err


# ------------------------------------------------------------------------------------------------- bad input

UNKNOWN_PRODUCT = "A,HOUSE,tresury_note,5,2,2030-02-15,,,"
DUPLICATE = ["D,HOUSE,treasury_note,5,2,2030-02-15,,,"] * 2
NAN = "Q,HOUSE,treasury_note,NaN,2,2030-02-15,,,"
MATURED = "O,HOUSE,treasury_note,5,2,2017-02-15,,,"
NO_BASKET = "B,HOUSE,treasury_future,5,,,,ZB,2019-03"
NO_OWNER = BOOK.replace('owner = "FUND"\n', "")
OLD = LAST + timedelta(days=2)

SAYS = {
    "product": "(id 'A'), field 'product': 'tresury_note' is unknown. Did you mean 'treasury_note'?",
    "owner": "book.toml accounts 2 (id 'FUND-GOV'), field 'owner': is missing.",
    "duplicate": "field 'id': 'D' is the id of positions.csv row",
    "nan": "(id 'Q'), field 'quantity': 'NaN' is not finite.",
    "matured": "(id 'O'): UST 2 2017-02-15 ended on 2017-02-15, not after as_of",
    "basket": "(id 'B'): ZB 2019-03 has no deliverable basket.",
    "hole": "tenors 2Y and 30Y: the curve has a hole between them.",
    "old": "market of 2019-01-02: the market is older than as-of: its last row on or before is 2018-12-31",
}


def refused(outcome) -> list[str]:
    """The problems listed by a command that printed nothing else."""
    code, out, err = outcome
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    title, *listed = err.rstrip("\n").split("\n  - ")
    assert title.startswith("crossmargin: ")
    return listed


@pytest.mark.parametrize(
    ("rows", "head", "names"),
    [
        ([UNKNOWN_PRODUCT], BOOK, ["product"]),
        ([], NO_OWNER, ["owner"]),
        (DUPLICATE, BOOK, ["duplicate"]),
        ([NAN], BOOK, ["nan"]),
        ([MATURED], BOOK, ["matured"]),
        ([NO_BASKET], BOOK, ["basket"]),
    ],
)
def test_each_fault_of_a_book_alone(run, book, market, rows, head, names):
    path = book(*rows, *SOUND, head=head)
    found = refused(run("compare", path, "--market", market, "--as-of", LAST))
    assert len(found) == 1
    assert SAYS[names[0]] in found[0]


def test_each_fault_of_a_market_alone(run, book, market, holed):
    (hole,) = refused(run("compare", book(*SOUND), "--market", holed, "--as-of", LAST))
    (old,) = refused(run("compare", book(*SOUND), "--market", market, "--as-of", OLD))
    assert SAYS["hole"] in hole
    assert SAYS["old"] in old


def broken(book) -> Path:
    return book(UNKNOWN_PRODUCT, *DUPLICATE, NAN, MATURED, NO_BASKET, *SOUND, head=NO_OWNER)


@pytest.mark.parametrize(("kind", "as_of"), [("hole", LAST), ("old", OLD)])
@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_all_faults_of_a_book_and_one_of_the_market_come_at_once(run, book, market, holed, kind, as_of, json_too):
    folder = {"hole": holed, "old": market}[kind]
    found = refused(run("compare", broken(book), "--market", folder, "--as-of", as_of, *json_too))
    expected = [SAYS[name] for name in SAYS if name not in {"hole", "old"} or name == kind]
    for says in expected:
        assert sum(says in message for message in found) == 1, (says, found)
    assert len(found) == len(expected)


def test_all_eight_faults_come_at_once(run, book, holed):
    found = refused(run("compare", broken(book), "--market", holed, "--as-of", OLD))
    for says in SAYS.values():
        assert sum(says in message for message in found) == 1, (says, found)
    assert len(found) == len(SAYS)


def test_a_position_beyond_the_curve_is_listed_with_the_rest(run, book, tmp_path):
    short = tmp_path / "short"
    short.mkdir()
    write_market(short, ["date,3M,1Y,2Y,3Y,5Y", f"{LAST},2.4,2.5,2.5,2.6,2.7"])
    found = refused(run("compare", book(UNKNOWN_PRODUCT, *SOUND), "--market", short, "--as-of", LAST))
    assert len(found) == 3
    assert "positions.csv row 3 (id 'N'): UST 2 2026-02-15 NOTE26 matures beyond" in found[1]


def test_an_unknown_regime_is_listed_with_the_rest(run, book, market):
    arguments = ("--market", market, "--as-of", LAST, "--regimes", "silo,cross_margin,")
    found = refused(run("compare", book(NAN), *arguments))
    assert "Did you mean 'siloed'?" in found[0]
    assert len(found) == 3
    assert "Did you mean 'harmonized'?" in refused(run("explain", "--regime", "harmonised"))[0]


def test_the_packaged_market_has_one_date(run):
    (message,) = refused(run("compare", EXAMPLE, "--as-of", "2026-07-01"))
    assert "the market is of 2026-06-30, 1 day older than as-of" in message


def test_market_files_need_a_date(run, market):
    (message,) = refused(run("compare", EXAMPLE, "--market", market))
    assert message.startswith("--as-of: no date is given.")


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_directory_without_a_market(run, book, tmp_path, name):
    (tmp_path / "empty").mkdir()
    found = refused(run("compare", book(*SOUND), "--market", tmp_path / name, "--as-of", LAST))
    assert name in found[0]


def test_a_date_before_the_rules_is_refused_without_figures(run, book, market):
    code, out, err = run("compare", book(*SOUND), "--market", market, "--as-of", "2017-12-29")
    assert (code, out) == (2, "")
    assert err.startswith("crossmargin: ")
    assert "2017-12-29" in err


def test_an_unknown_rule_gets_a_suggestion(run):
    (message,) = refused(run("rules", "ficc_gds"))
    assert "Did you mean 'ficc_gsd'?" in message


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["compare"],
        ["conformance"],
        ["compare", EXAMPLE, "--as-of", "30/06/2026"],
        ["explain", "--depth", "-1"],
        ["explain", "--level", "broker"],
    ],
)
def test_misuse_leaves_with_two_and_prints_nothing(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "usage: crossmargin" in err


def test_a_file_that_cannot_be_read_is_no_traceback(run, monkeypatch):
    def unreadable():
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(samples, "basis_trade", unreadable)
    assert "Input/output error" in run("demo")[2]


def test_an_interrupt_is_no_traceback(run, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(samples, "basis_trade", interrupted)
    assert run("demo") == (130, "", "")


# ------------------------------------------------------------------------------------------------- as a process


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "crossmargin", "rules", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown rule" in done.stderr


def test_a_reader_that_stops_early_is_no_error():
    code = (
        "import os, sys; from crossmargin.cli import main; r, w = os.pipe(); os.dup2(w, 1); os.close(r); os.close(w); "
    )
    code += "sys.exit(main(['rules']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipe_keeps_the_exit_code(tmp_path, monkeypatch):
    class Closed(StringIO):
        def write(self, *_):
            raise BrokenPipeError

        def fileno(self):
            return 1

    moved = []
    monkeypatch.setattr("os.dup2", lambda *descriptors: moved.append(descriptors[1]))
    monkeypatch.setattr("sys.stdout", Closed())
    assert main(["conformance", str(case(tmp_path, expected={"value": 3.0}))]) == 1
    assert moved == [1]


def test_help_needs_neither_numbers_nor_rules():
    code = "import sys; from crossmargin.cli import _parser; _parser(); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --------------------------------------------------------------------------------------------- larger histories


@pytest.mark.parametrize("as_of", ["2026-06-30", "2025-03-13"])
@pytest.mark.slow_interpreted
def test_the_example_on_longer_history(run, shared, as_of):
    if not (shared / "data" / "market").is_dir():
        pytest.skip("no market data in ../shared")
    arguments = ("compare", EXAMPLE, "--market", shared / "data" / "market", "--as-of", as_of)
    code, out, err = run(*arguments, "--json")
    assert (code, err) == (0, "")
    totals = json.loads(out)["totals"]
    assert totals["cross_margin"] <= totals["siloed"]
    assert all(total > 0 for total in totals.values())


@pytest.mark.parametrize("name", ["cross_margin", "risk", "treasury_futures", "var_models"])
def test_shared_cases_pass(run, shared, name):
    path = shared / "cases" / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip("no such cases in ../shared")
    code, out, _ = run("conformance", path)
    assert code == 0, out
