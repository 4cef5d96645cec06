"""One page holds every figure with its status, needs nothing else, and is the same each time it is written."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from datetime import date
from functools import cache
from hashlib import sha256

import pytest
from attrs import evolve

from crossmargin import samples
from crossmargin.analysis.attribution import attribute
from crossmargin.cli import main
from crossmargin.errors import InputError
from crossmargin.margin import collateral_report, compare
from crossmargin.page import report_page
from crossmargin.portfolio import Portfolio
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED
from crossmargin.results import Comparison, Line, Report, Requirement, not_modelled
from crossmargin.tables import NOT_IN_FORCE, money
from tests.test_markup import HOSTILE, Reader, read

REGIMES = (SILOED, CROSS_MARGIN, HARMONIZED)


@cache
def compared() -> Comparison:
    return compare(*samples.group(), REGIMES)


@cache
def page() -> str:
    portfolio, market = samples.group()
    return report_page(
        compared(),
        title="the sample group",
        collateral=[collateral_report(portfolio, market, report) for report in compared().reports],
        attributions=[attribute(portfolio, market, SILOED, other) for other in REGIMES[1:]],
        posted=portfolio.posted,
        notes=["said at the end"],
    )


def chapter(html: str, id: str) -> str:
    return re.search(rf"<section[^>]*aria-labelledby='{id}'>(.*?)</section>", html, re.DOTALL).group(1)


def cells(html: str) -> list[str]:
    return read(html).cells


def test_every_total_stands_with_its_status():
    shown = cells(chapter(page(), "totals"))
    for report in compared().reports:
        for level in report.levels:
            line, status = report.line(level), NOT_IN_FORCE if report.status == "proposed" else ""
            assert f"{money(line.amount)}{'*' if line.partial else ''}{status}" in shown
    assert f"{compared().benefit_share('harmonized'):.1%}{NOT_IN_FORCE}" in shown
    assert f"{compared().benefit_share('cross_margin'):.1%}" in shown


def test_every_pot_stands_with_its_amounts():
    shown = cells(chapter(page(), "pots"))
    for report in compared().reports:
        for owner in report.line().parts:
            assert owner.name in shown
            assert {pot.name for pot in owner.parts} <= set(shown)
            assert any(cell.startswith(money(owner.amount)) for cell in shown)


def test_each_figure_of_a_proposal_says_that_it_is_none():
    [proposed] = [report for report in compared().reports if report.status == "proposed"]
    figures = {f"{round(line.value, 2):,.2f}" for line in proposed.line().walk() if line.unit == "USD" and line.value}
    in_force = {f"{round(line.value, 2):,.2f}" for report in compared().reports[:2] for line in report.line().walk()}
    for id in ("totals", "pots", "collateral"):
        for cell in cells(chapter(page(), id)):
            number = re.match(r"[\d,]+\.\d\d", cell)
            if number and number.group() in figures - in_force:
                assert cell.endswith(NOT_IN_FORCE), f"{id}: {cell}"
    trees = chapter(page(), "trees").split("<h3>")
    for tree in trees[1:]:
        told = tree.count(NOT_IN_FORCE) - tree.split("</h3>")[0].count(NOT_IN_FORCE)
        assert told == (tree.count("xm-amount") if tree.startswith(proposed.title.replace("'", "&#x27;")) else 0)


def test_steps_are_drawn_and_stand_as_figures():
    why = chapter(page(), "why")
    assert why.count("<svg") == 4
    assert why.count('role="img"') == 4
    found = attribute(*samples.group(), SILOED, CROSS_MARGIN)
    for step in found.line.parts:
        assert any(cell.startswith(money(step.amount)) for cell in cells(why))
    assert "mean effect over all orders" in why
    assert "in the order in which they stand" in why, "no attribution was given for customers"


def test_what_is_measured_against_a_proposal_is_as_hypothetical():
    html = report_page(Comparison(compared().reports[::-1]))
    [*_, row] = re.findall(r"<tr>.*?</tr>", chapter(html, "totals").split("</table>")[0])
    assert cells(f"<table>{row}</table>")[0] == "siloed"
    assert [cell.endswith(NOT_IN_FORCE) for cell in cells(f"<table>{row}</table>")] == [0, 0, 0, 1, 1, 0]
    steps = re.findall(r"<table>.*?</table>", chapter(html, "why"), re.DOTALL)[-1]
    assert [cell.endswith(NOT_IN_FORCE) for cell in cells(steps)[3::2]] == [1, 1, 1, 0]


def test_steps_of_a_deficit_stand_beside_those_of_the_requirement():
    found = attribute(*samples.group(), SILOED, HARMONIZED, of="deficit")
    why = chapter(report_page(compared(), attributions=[found]), "why")
    assert "Deficit, beyond what is posted, of margin owed to clearing houses" in why
    assert why.count("<svg") == 5
    assert any(cell.startswith(money(found.line.amount)) for cell in cells(why))


def test_of_very_many_decisions_the_page_shows_the_first_and_counts_the_rest():
    report = compared()["cross_margin"]
    many = evolve(report, decisions=[evolve(report.decisions[0], position=f"p{n}") for n in range(2_003)])
    decided = chapter(report_page(Comparison((many,))), "decisions")
    assert "And 3 more: <code>report.decisions</code> has them all." in decided
    assert "p1999<" in decided
    assert "p2000<" not in decided


def test_deposits_balances_decisions_gaps_assumptions_and_sources_are_all_there():
    portfolio, market = samples.group()
    html = page()
    for balance in collateral_report(portfolio, market, compared()["siloed"]).balances:
        assert any(cell.startswith(money(balance.lendable.amount)) for cell in cells(chapter(html, "collateral")))
    assert {each.id for each in portfolio.posted if not each.passed_on} <= set(cells(chapter(html, "collateral")))
    decided = cells(chapter(html, "decisions"))
    for decision in compared()["cross_margin"].refused():
        for reason in decision.because:
            assert f"{reason.citation} ({reason.grade})" in decided
            assert reason.cure in decided
    assert {line.name for report in compared().reports for _, line in report.not_modelled()} <= set(
        cells(chapter(html, "gaps"))
    )
    for each in compared()["harmonized"].assumptions():
        assert f"{each.rule}.{each.name}" in cells(chapter(html, "assumptions"))
    for source in compared()["siloed"].sources():
        assert source.split(" http")[0].split("'")[0] in chapter(html, "sources").replace("&amp;", "&")
    assert "said at the end" in chapter(html, "notes")


def test_the_page_needs_nothing_else():
    html = page()
    assert '<html lang="en">' in html
    assert not re.findall(r"\bsrc=|@import|url\((?!#)|<link(?![^>]*data:,)|<iframe|<form", html)
    assert "://" not in re.sub(r"<a .*?</a>|xmlns=\S*", "", html), (
        "all addresses are links, which only a reader follows"
    )
    [script] = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in html
    assert "default-src 'none'" in html


def test_the_page_is_well_made():
    reader = read(page())
    assert (reader.tags.count("h1"), reader.tags.count("main")) == (1, 1)
    assert len(reader.ids) == len(set(reader.ids))
    assert set(re.findall(r"href='#(\w+)'", page())) <= set(reader.ids)
    assert not re.findall(r"<th(?=[ >])(?! scope)", page())


def test_the_same_figures_give_the_same_bytes():
    first, second = (report_page(compared(), title="x") for _ in range(2))
    assert first == second


def test_hostile_names_are_only_names():
    report = evolve(compared()["siloed"], regime=HOSTILE, title=HOSTILE, notes=[HOSTILE])
    line = Line(HOSTILE, 1.0, note=HOSTILE)
    entry = Requirement(HOSTILE, HOSTILE, HOSTILE, "clearing", HOSTILE, (), line)
    other = Report("other", HOSTILE, "proposed", date(2026, 6, 30), (entry,), owners={HOSTILE: HOSTILE})
    html = report_page(Comparison((report, other)), title=HOSTILE, notes=[HOSTILE])
    tags = read(html).tags
    assert tags.count("script") == 1, "its own"
    assert HOSTILE not in html


def test_what_is_not_known_is_never_a_zero():
    entry = Requirement("p", "A", "OCC", "clearing", "r", (), not_modelled("all of it", "not looked at"))
    unknown = Report("siloed", "t", "in_force", date(2026, 6, 30), (entry,))
    known = evolve(unknown, regime="other", requirements=(evolve(entry, line=Line("x", 5.0)),))
    html = report_page(Comparison((unknown, known)))
    assert cells(chapter(html, "totals"))[6:12] == ["siloed", "t", "not modelled", "", "", ""]
    assert cells(chapter(html, "totals"))[12:17] == ["other", "t", "5.00", "", ""], "no benefit over what nobody knows"
    assert "not looked at" in chapter(html, "gaps")
    assert "<svg" not in chapter(html, "why")
    assert "not modelled under one of the two" in chapter(html, "why")


def test_an_empty_book_and_a_single_regime_have_a_page():
    _, market = samples.group()
    html = report_page(compare(Portfolio(), market, [SILOED]))
    assert "Margin of one book under 1 regime," in html
    assert "aria-labelledby='why'" not in html
    assert "href='#why'" not in html
    read(html)


def test_a_comparison_of_nothing_is_refused():
    with pytest.raises(InputError, match="no regime was compared"):
        report_page(Comparison(()))
    report = compared().reports[0]
    with pytest.raises(InputError, match="a Report was given"):
        report_page(report)
    with pytest.raises(InputError, match="a Report stands among them"):
        report_page(compared(), collateral=[report])


def test_figures_say_what_they_are_sorted_by():
    sorts = [float(each) for each in re.findall(r"data-value='([^']*)'", chapter(page(), "totals"))]
    totals = [report.line(level).amount for report in compared().reports for level in report.levels]
    assert set(totals) <= set(sorts)


# ---------------------------------------------------------------------------------------------------- the command


def test_the_command_writes_the_page_and_says_where(tmp_path, capsys, root):
    out, book = tmp_path / "out.html", root / "examples" / "basis_trade" / "book.toml"
    assert main(["report", str(book), "--html", str(out), "--regimes", "siloed,harmonized", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["page"] == str(out)
    assert said["status"] == {"siloed": "in_force", "harmonized": "proposed"}
    html = out.read_text(encoding="utf-8")
    assert "<h1>Margin of basis_trade under 2 regimes, 2026-06-30</h1>" in html
    assert all(money(total) in html for total in said["totals"].values())
    assert "the one packaged with crossmargin" in chapter(html, "notes")
    assert str(root) not in html


def test_plain_steps_are_those_of_the_comparison(tmp_path, capsys):
    out = tmp_path / "out.html"
    assert main(["report", "--html", str(out), "--regimes", "siloed,harmonized", "--plain-steps"]) == 0
    assert capsys.readouterr().out.startswith(str(out))
    html = out.read_text(encoding="utf-8")
    assert "<h1>Margin of the sample group under 2 regimes" in html
    assert "mean effect over all orders" not in html


def test_what_cannot_be_read_or_written_leaves_no_page(tmp_path, capsys):
    out = tmp_path / "out.html"
    assert main(["report", str(tmp_path / "none.toml"), "--html", str(out), "--regimes", "nil"]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert "none.toml" in said.err
    assert "nil" in said.err
    assert main(["report", "--html", str(tmp_path / "no" / "out.html"), "--regimes", "siloed"]) == 2
    assert "Name a file in a folder that is there" in capsys.readouterr().err
    (tmp_path / "folder").mkdir()
    assert main(["report", "--html", str(tmp_path / "folder"), "--regimes", "siloed"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_reader_of_these_tests_notices_what_is_wrong():
    with pytest.raises((AssertionError, IndexError)):
        read("<p><b></p>")
    with pytest.raises(AssertionError):
        Reader().feed("<p onclick='x'>")
