"""A study: the same bytes however often it stops, every figure with its status, gaps named, nothing from later days."""

from __future__ import annotations

import csv
import json
import re
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from attrs import evolve

from crossmargin.analysis.archetypes import ARCHETYPES, StudyBook
from crossmargin.analysis.population import population
from crossmargin.analysis.study import COLUMNS, JOURNAL, Plan, market_on, run, study_days
from crossmargin.analysis.study_html import Told
from crossmargin.analysis.study_page import PAGE, page, write
from crossmargin.analysis.study_records import told_levels
from crossmargin.analysis.study_sections import lost
from crossmargin.cli import main
from crossmargin.errors import InputError
from crossmargin.io.book_writer import write_book
from crossmargin.io.journal import csv_text
from crossmargin.io.market_files import packaged_history
from crossmargin.margin import compare
from crossmargin.market import History, Market
from crossmargin.posted import Cash, Posted
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED
from crossmargin.samples import basis_trade
from crossmargin.tables import PROPOSED
from tests.analysis.study_markets import held_rules, made_up_prices, past
from tests.properties import strategies

ROOT = Path(__file__).resolve().parents[2]
DAYS = (date(2015, 12, 31), date(2016, 12, 30))
THREE = (SILOED, CROSS_MARGIN, HARMONIZED)
BY_ID = {book.id: book for book in ARCHETYPES}
SMALL = tuple(BY_ID[id] for id in ("cash_futures_basis", "index_options_against_futures", "swap_against_futures"))


@pytest.fixture(scope="module")
def plan():
    return Plan("small", SMALL, past(), DAYS, THREE, resamples=10, coverage_every=120)


@pytest.fixture(scope="module")
def done(plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    study = run(plan, folder)
    write(study, folder)
    return study, folder


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# --------------------------------------------------------------------------------------------------- the same bytes


class Stopped(Exception):
    """Stands for a power cut."""


def test_a_study_that_was_stopped_goes_on_to_the_same_bytes(alone, tmp_path):
    plan, folder = alone.plan, alone.folder
    steps = 3

    def stop(number, of, name):
        if number == steps:
            raise Stopped

    with pytest.raises(Stopped):
        run(plan, tmp_path, stop)
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write('{"book": "cash_futures_basis", "day": "2016-1€'.encode()[:-1])
    told = []
    write(run(plan, tmp_path, lambda *said: told.append(said)), tmp_path)
    assert files(tmp_path) == files(folder)
    assert [number for number, _, _ in told] == list(range(steps, 7))


@pytest.fixture(scope="module")
def alone(plan, tmp_path_factory):
    """One book under two regimes: six steps, two of them back-tests of a year."""
    days = (date(2008, 12, 31), date(2009, 3, 31))
    small = evolve(plan, books=SMALL[:1], days=days, regimes=THREE[:2], coverage_every=60)
    folder = tmp_path_factory.mktemp("alone")
    study = run(small, folder)
    write(study, folder)
    return SimpleNamespace(plan=small, folder=folder, study=study)


def test_a_finished_study_does_nothing_again(plan, done):
    told = []
    run(plan, done[1], lambda *said: told.append(said))
    assert told == [(18, 18, "done")]


def test_another_study_in_the_folder_is_refused(plan, done):
    before = files(done[1])
    with pytest.raises(InputError, match="another run: days, seed differ"):
        run(evolve(plan, seed=1, days=DAYS[:1]), done[1])
    assert files(done[1]) == before


def test_a_broken_line_is_named(plan, done, tmp_path):
    lines = (done[1] / JOURNAL).read_text().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_text("".join([*lines[:2], "not a step\n", *lines[3:]]))
    with pytest.raises(InputError, match="row 3: is no JSON object"):
        run(plan, tmp_path)


def test_more_steps_than_there_are_is_refused(plan, done, tmp_path):
    text = (done[1] / JOURNAL).read_text()
    (tmp_path / JOURNAL).write_text(text + text.splitlines(keepends=True)[-1])
    with pytest.raises(InputError, match="more than the 18 steps"):
        run(plan, tmp_path)


# --------------------------------------------------------------------------------------------------------- figures


def test_figures_are_those_of_compare(plan, done):
    study, _ = done
    portfolio, market = SMALL[2].build(market_on(plan.market, DAYS[1]))
    rows = {
        (row["regime"], row["level"]): row
        for row in study.tables["figures"]
        if row["book"] == SMALL[2].id and row["day"] == DAYS[1].isoformat()
    }
    compared = compare(portfolio, market, THREE, rules=held_rules())
    for report in compared.reports:
        assert rows[report.regime, "clearing"]["total"] == report.total()
        assert rows[report.regime, "clearing"]["assumed_share"] == report.assumed_share()


def test_a_book_without_prices_is_a_gap_and_the_rest_goes_on(done):
    study, _ = done
    gaps = {(row["book"], row["day"]): row["why"] for row in study.tables["gaps"]}
    assert {book for book, _ in gaps} == {SMALL[1].id}
    assert {day.isoformat() for day in DAYS} <= {day for _, day in gaps}
    assert "SPX on 2016-12-30: has no price" in gaps[SMALL[1].id, "2016-12-30"]
    assert {row["book"] for row in study.tables["figures"]} == {SMALL[0].id, SMALL[2].id}


def test_the_steps_of_an_attribution_lead_to_its_total(done):
    rows = done[0].tables["attribution"]
    assert len({row["day"] for row in rows}) > 1
    for book, day in {(row["book"], row["day"]) for row in rows}:
        for other in {row["other"] for row in rows}:
            mine = [row for row in rows if (row["book"], row["day"], row["other"]) == (book, day, other)]
            parts = [row["amount"] for row in mine if row["kind"] in ("start", "step")]
            total = next(row["amount"] for row in mine if row["kind"] == "total")
            assert sum(parts) == pytest.approx(total, abs=1e-4)


def test_no_figure_sees_a_later_day(plan, done, tmp_path):
    history = packaged_history()
    par = np.where(np.array([day > DAYS[0] for day in history.dates])[:, None], 0.05, history.par)
    changed = History(history.dates, history.tenors, par, history.source)
    market = Market.from_history(changed, history.dates[-1])
    other = evolve(plan, market=market, days=DAYS[:1], books=SMALL[:1], coverage_every=0)
    found = run(other, tmp_path).tables["figures"]
    assert found == [
        row for row in done[0].tables["figures"] if (row["book"], row["day"]) == (SMALL[0].id, "2015-12-31")
    ]


def test_before_the_rules_own_stress_period_autumn_1998_stands_in(plan, tmp_path):
    early = evolve(plan, days=(date(1998, 9, 30), date(2000, 12, 29)), books=SMALL[:1], coverage_every=0)
    tables = run(early, tmp_path).tables
    assert {row["day"] for row in tables["figures"]} == {"2000-12-29"}
    assert any("1998-08-17" in row["value"] and "ahead of the day" in row["because"] for row in tables["assumptions"])


def test_sources_and_grades_are_those_of_the_rules(done):
    tables = done[0].tables
    assert not any("overlay" in row["source"] for row in tables["sources"])
    assert {row["grade"] for row in tables["assumptions"]} <= {"assumed", "calibrated", "proposed"}


# ---------------------------------------------------------------------------------------------------------- status


def test_no_export_drops_the_status(done):
    study, folder = done
    for name, columns in COLUMNS.items():
        with (folder / f"{name}.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert tuple(rows[0] if rows else columns) == columns
        assert len(rows) == len(study.tables[name])
        if {"regime", "other"} & set(columns):
            assert "status" in columns
        for row in rows:
            if "harmonized" in (row.get("regime"), row.get("other")):
                overlaid = row.get("name", "").startswith("harmonized, ")
                assert row["status"] == ("study" if overlaid else "proposed")


class Read(HTMLParser):
    """What a page consists of; unbalanced tags fail."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.tags, self.rows, self.text = [], [], [], ""
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag != "meta":
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if {"td", "th"} & set(self.stack):
            self.rows[-1][-1] += data


def test_every_proposed_figure_of_the_page_says_so(done):
    text = (done[1] / PAGE).read_text(encoding="utf-8")
    rows = [row for row in Read(text).rows if row[0] == "harmonized"]
    assert rows
    assert all(row[1] == PROPOSED for row in rows)
    for sentence in text.split("<li>")[1:]:
        if sentence.startswith("<strong>harmonized"):
            assert PROPOSED in sentence.split("</li>")[0]
    for picture in text.split("<svg")[2:]:
        assert "harmonized" not in picture.split("</svg>")[0] or "proposed" in picture.split("</figcaption>")[0]


def test_the_page_is_whole_and_needs_nothing_else(done):
    text = (done[1] / PAGE).read_text(encoding="utf-8")
    found = Read(text)
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in found.tags}
    assert "src=" not in text
    levels = [int(tag[1]) for tag, _ in found.tags if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    for tag, attrs in found.tags:
        if tag == "a":
            assert attrs["href"][1:] in ids or (done[1] / attrs["href"]).is_file()
        if tag == "svg" and "aria-hidden" not in attrs:
            assert attrs["role"] == "img"
            assert len(attrs["aria-label"]) > 20


def test_a_title_of_a_book_is_text(plan, done):
    study = done[0]
    named = evolve(study.books[0], title="<b>&", about="<script>")
    text = page(evolve(study, books=(named, *study.books[1:])))
    assert "<script>" not in text
    assert "<b>" not in text


def test_the_day_on_which_the_first_regime_asked_for_most_is_told_beside_the_last(alone):
    tables = alone.study.tables
    asked = {row["day"]: row["required"] for row in tables["outcomes"] if _of(row, SMALL[0].id, "siloed")}
    asked |= {row["day"]: row["total"] for row in tables["figures"] if _of(row, SMALL[0].id, "siloed")}
    largest = max(asked, key=asked.__getitem__)
    assert largest == "2008-12-31"
    for name in ("evidence", "attribution", "protection", "frontier"):
        assert {row["day"] for row in tables[name]} == {"2009-03-31", largest}
    text = (alone.folder / PAGE).read_text(encoding="utf-8")
    assert f"Owed to clearing houses, {largest}: when siloed asked for most" in text


def _of(row, book, regime, level="clearing"):
    return (row["book"], row["regime"], row["level"]) == (book, regime, level)


def test_back_tests_and_losses_stand_on_the_page_as_in_the_tables(done):
    study, folder = done
    text = (folder / PAGE).read_text(encoding="utf-8")
    assert {row["verdict"] for row in study.tables["coverage"]} == {"too few days"}
    assert text.count("too few days") >= 2
    row = next(row for row in study.tables["procyclicality"] if _of(row, SMALL[0].id, "siloed"))
    assert f"{row['peak_to_trough']:.2f}" in text
    lost = [
        row
        for row in study.tables["protection"]
        if (row["regime"], row["scenarios"], row["default"], row["owner"]) == ("cross_margin", "stress", "leg", "all")
    ]
    assert {row["day"] for row in lost} == {row["day"] for row in study.tables["evidence"]}
    assert all(f">{round(row['expected']):,}<" in text for row in lost)
    for row in study.tables["frontier"]:
        assert f">{round(row['saving']) + 0:,}<" in text
        assert row["name"] in text


def test_the_frontier_of_a_book_never_falls(done):
    rows = [row for row in done[0].tables["frontier"] if row["efficient"]]
    for book, day in {(row["book"], row["day"]) for row in rows}:
        mine = sorted((row["saving"], row["residual"]) for row in rows if (row["book"], row["day"]) == (book, day))
        assert [residual for _, residual in mine] == sorted(residual for _, residual in mine)


def test_claims_carry_figure_and_standard_error(done):
    text = (done[1] / PAGE).read_text(encoding="utf-8")
    claims = [part.split("</li>")[0] for part in text.split("<li><strong>")[1:]]
    assert claims
    assert all("(standard error " in claim for claim in claims)


def test_both_levels_are_told_where_they_differ(tmp_path):
    market, two = made_up_prices(past()), (SILOED, CROSS_MARGIN)
    plan = Plan("two accounts", [BY_ID["long_short"]], market, DAYS[1:], two, resamples=5, coverage_every=0)
    study = run(plan, tmp_path)
    assert (study.tables["coverage"], study.tables["procyclicality"]) == ([], [])
    for name in ("evidence", "attribution"):
        assert {row["level"] for row in study.tables[name]} == {"clearing", "customer"}
    text = page(study)
    assert "Owed to clearing houses, 2016-12-30" in text
    assert "Owed to the carrying firm by its customers, 2016-12-30" in text


def test_what_is_not_modelled_is_no_zero(tmp_path):
    market, two = made_up_prices(past()), (SILOED, CROSS_MARGIN)
    book = BY_ID["index_options_against_futures"]
    study = run(Plan("joint account", [book], market, DAYS[1:], two, resamples=5, coverage_every=0), tmp_path)
    (row,) = (row for row in study.tables["figures"] if (row["regime"], row["level"]) == ("cross_margin", "customer"))
    assert (row["total"], row["gross"], row["benefit"], row["partial"]) == (None, None, None, True)
    told = [row for name in ("evidence", "attribution") for row in study.tables[name]]
    assert not [row for row in told if row["level"] == "customer" and "cross_margin" in row.values()]
    assert "cross_margin</strong>: nothing of it is modelled" in page(study)
    (told,) = (row for row in lost(Told(study, book, 1), "2016-12-30") if row["regime"] == "cross_margin")
    assert (told["customer"], told["firm"] >= 0.0) == (None, True)
    assert ",cross_margin,in_force,customer,,,,,yes," in csv_text(study.tables["figures"], COLUMNS["figures"])


def test_what_is_posted_adds_why_deficits_differ(tmp_path):
    held = strategies.book(*strategies.basis())
    account = held.account_of(held.positions[0])
    cash = Posted("p", account.owner, account.firm, "CME", account.account_class, Cash(), 1e5)
    book = StudyBook("posted", "Posted", "With cash at one pot.", lambda day: (evolve(held, posted=(cash,)), day))
    days, two = [strategies.AS_OF], (SILOED, CROSS_MARGIN)
    study = run(Plan("posted", [book], strategies.market(), days, two, resamples=5, coverage_every=0), tmp_path)
    rows = study.tables["attribution"]
    assert {row["of"] for row in rows} == {"requirement", "deficit"}
    mine = [row for row in rows if (row["of"], row["level"]) == ("deficit", "clearing")]
    start, *steps, total = (row["amount"] for row in mine if row["kind"] in ("start", "step", "total"))
    assert start + sum(steps) == pytest.approx(total)
    assert total < start
    assert "what must be brought beyond what is posted" in page(study)


def test_levels_worth_telling():
    assert told_levels({"a": 1.0}, {"a": 1.0}) == told_levels({"a": 1.0}, {"a": 0.0}) == ("clearing",)
    assert told_levels({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.5}) == ("clearing", "customer")


def test_the_page_on_the_archetypes_claims_what_its_tables_hold():
    text = (ROOT / "docs" / "explanation" / "archetypes_through_history.md").read_text(encoding="utf-8")
    _, _, prose = text.partition("## What they show")
    figures = re.findall(r"\d{1,3}(?:,\d{3})+|\d+\.\d+", prose)
    assert len(figures) > 40
    tables = [line for line in text.splitlines() if line.startswith("|")]
    cells = {word.strip("-,").rstrip(",") for line in tables for word in line.split()}
    assert not set(figures) - cells
    for line in tables:
        proposed = any(f"`{name}`" in line for name in ("harmonized", "full_harmonized"))
        assert proposed == ("*proposed*" in line)


# -------------------------------------------------------------------------------------------------------- bad input


def test_unknown_populations_are_named(tmp_path):
    with pytest.raises(InputError, match="Did you mean 'archetypes'"):
        population("archetype")
    with pytest.raises(InputError, match="holds no book"):
        population(tmp_path)


def test_every_broken_book_is_named_at_once(tmp_path):
    (tmp_path / "one.toml").write_text("positions = [")
    (tmp_path / "two.json").write_text("[]")
    write_book(basis_trade()[0], tmp_path / "sound")
    with pytest.raises(InputError) as raised:
        population(tmp_path)
    assert "one.toml" in str(raised.value)
    assert "two.json" in str(raised.value)


def test_two_books_of_one_name_are_refused(tmp_path):
    write_book(basis_trade()[0], tmp_path / "fund")
    (tmp_path / "fund.toml").write_text("")
    with pytest.raises(InputError, match="book 'fund': stands in"):
        population(tmp_path)


def test_a_book_from_a_file_is_the_same_on_every_day(tmp_path):
    held = basis_trade()[0]
    write_book(held, tmp_path / "fund")
    (book,) = population(tmp_path)
    for day in (date(2025, 2, 18), date(2026, 6, 30)):  # the first is the last issue
        assert (book.id, book.build(SimpleNamespace(as_of=day))[0]) == ("fund", held)
    assert book.digest


def test_settings_out_of_range_are_listed_together(plan):
    with pytest.raises(InputError) as raised:
        Plan("p", (), plan.market, [date(2016, 12, 31)], (SILOED,), resamples=1, seed=-1, coverage_every=-5)
    text = str(raised.value)
    for said in ("books", "day 2016-12-31", "regimes", "resamples", "seed", "coverage_every"):
        assert said in text


def test_days_are_rows_of_the_history():
    history = packaged_history()
    for every in ("month", "quarter", "year"):
        days = study_days(history, date(2008, 2, 1), date(2009, 3, 31), every)
        assert set(days) <= set(history.dates)
        assert list(days) == sorted(set(days))
    with pytest.raises(InputError, match="Did you mean 'year'"):
        study_days(history, *DAYS, "years")
    with pytest.raises(InputError, match="has no day"):
        study_days(history, date(2030, 1, 1), date(2031, 1, 1))


# --------------------------------------------------------------------------------------------------- command line


def test_the_command_writes_the_report_and_tells_how_far_it_is(tmp_path, capsys):
    write_book(SMALL[0].build(past())[0], tmp_path / "books" / "basis")
    period = ["--from", "2016-12-30", "--until", "2016-12-30", "--regimes", "siloed,harmonized", "--resamples", "5"]
    command = ["study", str(tmp_path / "books"), "--out", str(tmp_path / "out"), *period]
    assert main([*command, "--json"]) == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert told["records"]["figures"] == 4
    assert told["study"]["regimes"] == ["siloed", "harmonized"]
    assert "0 of 4: basis" in shown.err
    assert main(command) == 0
    assert "report.html" in capsys.readouterr().out


def test_the_command_lists_all_that_is_wrong(tmp_path, capsys):
    wrong = ["study", str(tmp_path / "none"), "--out", str(tmp_path / "out"), "--regimes", "siload", "--market", "x"]
    assert main(wrong) == 2
    said = capsys.readouterr()
    assert said.out == ""
    for text in ("is no population and no folder", "unknown regime 'siload'", "--until"):
        assert text in said.err
    assert not (tmp_path / "out").exists()
