"""Lines check their arithmetic; reports and comparisons add up and travel as JSON."""

from __future__ import annotations

import json
import math
from datetime import date
from math import fsum

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.eligibility import Decision, Reason
from crossmargin.errors import InputError, NumericalError
from crossmargin.parameters import Read, Source
from crossmargin.records import from_plain, to_plain
from crossmargin.regimes import CROSS_MARGIN
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
from crossmargin.tables import tree

AS_OF = date(2026, 6, 30)
PARTS = (Line("a", 3.0), Line("b", 4.0))
GAP = not_modelled("gap", "no public figure")


def read(name: str, grade: str = "rule", rule: str = "toy") -> Read:
    return Read(rule, name, 1.0, "1", grade, Source("Rule book", "https://example.org"), "1")


# -------------------------------------------------------------------------------------------------------- arithmetic


@pytest.mark.parametrize(
    ("line", "amount"),
    [
        (total("t", PARTS), 7.0),
        (largest("t", PARTS), 4.0),
        (smallest("t", PARTS), 3.0),
        (root_sum_square("t", PARTS), 5.0),
        (root_sum_square("t", [Line("a", -3.0), Line("b", 4.0)]), 5.0),
        (scaled("t", 0.5, PARTS[0]), 1.5),
        (scaled("t", -1, PARTS[0]), -3.0),
        (product("t", PARTS), 12.0),
        (product("t", PARTS, factor=-2), -24.0),
        (reduction("t", PARTS[0], PARTS[1]), 0.25),
        (reduction("t", PARTS[1], PARTS[0]), 0.0),
        (reduction("t", PARTS[0], Line("none", 0.0)), 0.0),
        (reduction("t", Line("none", 0.0), PARTS[0]), 1.0),
        (total("t", ()), 0.0),
        (largest("t", ()), 0.0),
        (root_sum_square("t", ()), 0.0),
        (largest("t", [Line("a", -5.0)]), -5.0),
        (total("t", [Line("a", 1e16), Line("b", 1.0), Line("c", -1e16)]), 1.0),
    ],
)
def test_how_an_amount_follows_from_its_parts(line, amount):
    assert line.amount == amount
    assert line.value == amount


@pytest.mark.parametrize(
    ("how", "wrong"), [("sum", 7.1), ("max", 3.0), ("minimum", 4.0), ("root_sum_square", 7.0), ("product", 11.0)]
)
def test_a_line_whose_amount_does_not_follow_is_refused(how, wrong):
    with pytest.raises(NumericalError, match=how):
        Line("t", wrong, how, PARTS)


@pytest.mark.parametrize("amount", [math.nan, math.inf, -math.inf])
def test_an_amount_that_is_no_number_is_refused(amount):
    with pytest.raises(NumericalError, match="'x'"):
        Line("x", amount)


def test_what_is_not_modelled_takes_no_part_and_marks_all_above():
    line = total("t", [*PARTS, scaled("s", 2.0, GAP)])
    assert line.amount == 7.0
    assert line.partial
    assert scaled("s", 2.0, GAP).amount is None
    assert largest("t", [GAP, GAP]).amount is None
    assert GAP.value == 0.0
    assert not total("t", PARTS).partial
    with pytest.raises(NumericalError):
        Line("t", 0.0, "not_modelled")
    with pytest.raises(NumericalError):
        Line("t", None, "sum", PARTS)


@pytest.mark.parametrize(
    "build",
    [
        lambda: reduction("r", GAP, PARTS[0]),
        lambda: reduction("r", PARTS[0], GAP),
        lambda: product("p", [PARTS[0], GAP]),
    ],
)
def test_a_missing_factor_leaves_the_product_unknown(build):
    assert build().amount is None


amounts = st.floats(-1e12, 1e12)


@given(st.lists(amounts, min_size=1, max_size=8), st.sampled_from([total, largest, smallest, root_sum_square]))
def test_whatever_the_builders_make_holds_and_survives_json(values, build):
    line = build("t", [Line(f"p{i}", value) for i, value in enumerate(values)], reads=(read("x"),), note="n")
    report = Report("r", "t", "in_force", AS_OF, (Requirement("p", "o", "pot", "clearing", "toy", ("1",), line),))
    assert Report.from_json(report.to_json()) == report
    assert evolve(line) == line


def test_walk_part_and_reads():
    tree = total("t", [scaled("s", 2.0, Line("leaf", 1.0, reads=(read("x"),)), reads=(read("y"), read("x")))])
    assert [line.name for line in tree.walk()] == ["t", "s", "leaf"]
    assert tree.part("leaf").amount == 1.0
    assert tree.part("t") is tree
    assert [r.name for r in tree.all_reads()] == ["y", "x"]
    with pytest.raises(InputError, match="no line named 'twig'"):
        tree.part("twig")


# ------------------------------------------------------------------------------------------------------------ report


def requirement(owner, pot, amount, level="clearing", pool=None) -> Requirement:
    pool = pool or f"{owner} / {pot}"
    return Requirement(
        pool, owner, pot, level, "toy", (f"{owner}-1",), Line("asked", amount, reads=(read("x", "assumed"),))
    )


def credit(owner, pot, amount) -> Credit:
    return Credit("prog", f"{owner} / {pot}", owner, pot, Line("credit", amount, reads=(read("cap"),)))


REASON = Reason("open", "it is open", "Wait.", "Rule book, 4", "rule")
REPORT = Report(
    "cross_margin",
    "Cross-margin",
    "in_force",
    AS_OF,
    (
        requirement("A", "FICC", 100.0),
        requirement("B", "FICC", 50.0),
        requirement("A", "CME", 60.0),
        requirement("A", "firm", 128.0, "customer"),
        requirement("B", "firm", 50.0, "customer"),
    ),
    (credit("A", "FICC", -20.0), credit("A", "CME", -12.0)),
    (Decision("prog", "p1", "note", True), Decision("prog", "p2", "bill", False, (REASON,))),
    ("a note",),
    {"A": "Alpha", "B": "Beta"},
)


def test_totals_are_per_level_and_never_add():
    assert (REPORT.gross(), REPORT.credit(), REPORT.total()) == (210.0, -32.0, 178.0)
    assert (REPORT.gross("customer"), REPORT.credit("customer"), REPORT.total("customer")) == (178.0, 0.0, 178.0)
    assert REPORT.levels == ("clearing", "customer")
    for asked in (REPORT.total, REPORT.gross, REPORT.credit, REPORT.line):
        with pytest.raises(InputError, match=r"unknown level 'custmer'.*'customer'"):
            asked("custmer")
    assert Report("r", "t", "in_force", AS_OF).levels == ("clearing",)


def test_the_tree_of_a_report_goes_by_owner_and_pot():
    tree = REPORT.line()
    assert tree.amount == REPORT.total()
    assert {part.name: part.amount for part in tree.parts} == {"Alpha": 128.0, "Beta": 50.0}
    assert {part.name: part.amount for part in tree.part("Alpha").parts} == {"FICC": 80.0, "CME": 48.0}
    assert tree.note == ""


def test_a_proposed_report_says_so_on_its_line():
    assert "proposed: no such rule is in force" in evolve(REPORT, status="proposed").line().note


def test_reads_sources_and_assumptions():
    assert [r.name for r in REPORT.reads()] == ["x", "cap"]
    assert [r.name for r in REPORT.assumptions()] == ["x"]
    assert REPORT.sources() == ("Rule book https://example.org", "Rule book, 4")
    assert [decision.position for decision in REPORT.refused()] == ["p2"]


def test_the_share_that_rests_on_assumptions_by_hand():
    assumed, published = Line("a", 30.0, reads=(read("x", "assumed"),)), Line("b", 70.0, reads=(read("y"),))
    added = Requirement("p", "o", "pot", "clearing", "toy", (), total("t", [assumed, published]))
    assert Report("r", "t", "in_force", AS_OF, (added,)).assumed_share() == pytest.approx(0.3)
    chosen = evolve(added, line=largest("t", [assumed, published]))
    assert Report("r", "t", "in_force", AS_OF, (chosen,)).assumed_share() == 1.0
    calibrated = evolve(added, line=Line("a", 30.0, reads=(read("x", "calibrated"),)))
    assert Report("r", "t", "in_force", AS_OF, (calibrated,)).assumed_share() == 0.0
    assert Report("r", "t", "in_force", AS_OF).assumed_share() == 0.0


def test_partial_and_the_gaps_by_pool():
    gap = Requirement("pool", "A", "pot", "clearing", "toy", (), total("t", [Line("a", 1.0), GAP]))
    report = evolve(REPORT, requirements=(gap,))
    assert report.partial
    assert report.not_modelled() == (("pool", GAP),)
    assert not REPORT.partial


def test_records_are_flat():
    records = REPORT.to_records()
    assert len(records) == 7
    assert records[0] == {
        "regime": "cross_margin",
        "status": "in_force",
        "as_of": "2026-06-30",
        "level": "clearing",
        "owner": "A",
        "firm": "",
        "account_class": "",
        "pot": "FICC",
        "pool": "A / FICC",
        "rule": "toy",
        "kind": "requirement",
        "amount": 100.0,
        "partial": False,
    }
    assert [record["kind"] for record in records] == ["requirement"] * 5 + ["credit"] * 2
    assert json.loads(json.dumps(records)) == records


def test_json_checks_the_arithmetic_again():
    report = evolve(REPORT, requirements=(Requirement("p", "o", "q", "clearing", "toy", (), total("t", PARTS)),))
    text = report.to_json()
    assert Report.from_json(text) == report
    with pytest.raises(NumericalError):
        Report.from_json(text.replace('"amount": 7.0', '"amount": 8.0'))


@pytest.mark.parametrize("text", ["{}", "[]", '{"reports": 1}', "null", "not json"])
def test_text_that_is_no_report_is_refused_in_the_librarys_own_words(text):
    with pytest.raises(InputError):
        Report.from_json(text)


# -------------------------------------------------------------------------------------------------------- comparison

SILOED = evolve(REPORT, regime="siloed", credits=(), decisions=())
COMPARISON = Comparison((SILOED, REPORT))


def test_benefit_is_measured_against_the_first():
    assert COMPARISON.totals() == {"siloed": 210.0, "cross_margin": 178.0}
    assert COMPARISON.benefit("cross_margin") == 32.0
    assert COMPARISON.benefit_share("cross_margin") == pytest.approx(32 / 210)
    assert COMPARISON.benefit("siloed") == 0.0
    dearer = Comparison((REPORT, SILOED))
    assert dearer.benefit("siloed") == -32.0


def test_a_level_of_which_nothing_is_modelled_has_no_total():
    unknown = tuple(evolve(each, line=not_modelled("margin", "no rule")) for each in SILOED.requirements)
    blank, part = evolve(SILOED, requirements=unknown), evolve(SILOED, requirements=(*SILOED.requirements, unknown[0]))
    for reports in ((blank, REPORT), (REPORT, evolve(blank, regime="blank"))):
        found = Comparison(reports)
        told = json.loads(found.to_json())
        assert told["totals"] == found.totals() == {each.regime: each.line().amount for each in reports}
        assert None in found.totals().values()
        assert found.benefit(reports[1].regime) is found.benefit_share(reports[1].regime) is None
        assert told["benefits"] == {reports[1].regime: {"usd": None, "share": None}}
        assert Comparison.from_json(found.to_json()) == found
    assert Comparison((part,)).totals() == {"siloed": 210.0}, "what is modelled in part has a partial total"
    assert Comparison((evolve(blank, requirements=()),)).totals() == {"siloed": 0.0}, "nothing asked is nothing owed"


@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), max_size=4), st.lists(st.floats(-1e9, 0.0), max_size=2))
def test_a_total_is_a_number_only_if_some_part_of_it_is_modelled(asked, credited):
    first, credit = SILOED.requirements[0], REPORT.credits[0]
    lines = [Line("margin", amount) if amount is not None else not_modelled("margin", "no rule") for amount in asked]
    report = evolve(
        SILOED,
        requirements=tuple(evolve(first, level="clearing", line=line) for line in lines),
        credits=tuple(evolve(credit, level="clearing", line=Line("credit", amount)) for amount in credited),
    )
    known = [amount for amount in asked if amount is not None]
    gross, reduced = (fsum(known) if known or not asked else None), fsum(credited)
    whole = None if gross is None and not credited else fsum([*known, *credited])
    assert (report.gross(), report.credit(), report.total()) == (gross, reduced, whole)
    assert report.line().amount == pytest.approx(whole)
    assert (report.assumed_share() is None) == (gross is None)
    assert report.total("customer") == 0.0, "nothing asked is nothing owed"
    assert ("not modelled" in repr(report)) == (whole is None)
    assert Report.from_json(report.to_json()).total() == whole


def test_a_share_of_nothing_is_nothing():
    empty = Report("siloed", "t", "in_force", AS_OF)
    assert Comparison((empty, REPORT)).benefit_share("cross_margin") == 0.0


def test_the_bridge_tells_changes_and_not_causes():
    bridge = COMPARISON.bridge("cross_margin")
    assert [part.name for part in bridge.parts] == ["siloed total", "change before credit", "change in credit"]
    assert [part.amount for part in bridge.parts] == [210.0, 0.0, -32.0]
    assert bridge.amount == REPORT.total()


def unknown(report: Report, regime: str) -> Report:
    gaps = tuple(evolve(each, line=not_modelled("margin", "no rule")) for each in report.requirements)
    return evolve(report, regime=regime, requirements=gaps, credits=())


@pytest.mark.parametrize("level", ["clearing", "customer"])
def test_a_bridge_has_no_step_from_or_to_a_total_of_which_nothing_is_modelled(level):
    blank = unknown(REPORT, "blank")
    for reports in ((blank, REPORT), (SILOED, blank), (blank, evolve(blank, regime="as blank"))):
        compared, (base, other) = Comparison(reports), [each.regime for each in reports]
        bridge = compared.bridge(other, level)
        assert {base: bridge.parts[0].amount, other: bridge.amount} == compared.totals(level)
        assert [step.amount for step in bridge.parts[1:]] == [None, None]
        assert "no rule" in tree(bridge, 3), "it says what is missing"
        assert from_plain(Line, to_plain(bridge)) == bridge


def test_a_bridge_says_which_total_leaves_something_out():
    part = evolve(SILOED, requirements=(*SILOED.requirements, unknown(SILOED, "").requirements[0]))
    with_gap = evolve(REPORT, requirements=part.requirements)
    same, apart = (
        Comparison((part, with_gap)).bridge("cross_margin"),
        Comparison((SILOED, with_gap)).bridge("cross_margin"),
    )
    for bridge in (same, apart):
        assert [line.amount for line in (*bridge.parts, bridge)] == [210.0, 0.0, -32.0, 178.0]
    assert [line.partial for line in (*same.parts, same)] == [True, False, False, True], "both leave out the same"
    assert [line.partial for line in (*apart.parts, apart)] == [False, True, True, True]


@given(st.lists(st.sampled_from([SILOED, REPORT, unknown(SILOED, "none"), evolve(REPORT, requirements=(), credits=())]),
                min_size=2, max_size=2), st.sampled_from(["clearing", "customer"]))  # fmt: skip
def test_a_bridge_ends_where_the_totals_are_and_its_steps_are_the_benefit(reports, level):
    found = Comparison([evolve(each, regime=name) for each, name in zip(reports, ("base", "other"), strict=True)])
    bridge, benefit = found.bridge("other", level), found.benefit("other", level)
    assert {"base": bridge.parts[0].amount, "other": bridge.amount} == found.totals(level)
    amounts = [step.amount for step in bridge.parts[1:]]
    assert amounts == [None, None] if benefit is None else fsum(amounts) == pytest.approx(-benefit)
    assert bridge.partial == any(not_known for report in found.reports for not_known in gaps_of(report, level))


def gaps_of(report: Report, level: str) -> list[Line]:
    return [line for line in report.line(level).walk() if line.how == "not_modelled"]


def test_reports_are_found_by_name():
    assert COMPARISON["cross_margin"] is REPORT
    assert COMPARISON["CROSS_MARGIN"] is REPORT
    assert COMPARISON[CROSS_MARGIN] is REPORT
    mine = evolve(REPORT, regime="Mine")
    assert Comparison((mine,))["Mine"] is mine
    with pytest.raises(InputError, match="compared were siloed, cross_margin"):
        _ = COMPARISON["harmonized"]


def test_json_of_a_comparison_begins_with_the_totals():
    text = COMPARISON.to_json(indent=2)
    assert list(json.loads(text))[:3] == ["schema", "totals", "status"]
    assert json.loads(text)["benefits"]["cross_margin"]["usd"] == 32.0
    assert Comparison.from_json(text) == COMPARISON
