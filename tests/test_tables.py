"""Reports as text and HTML: every figure in its place, every status shown, nothing unescaped."""

from __future__ import annotations

import re
from itertools import permutations

import pytest
from attrs import evolve

from crossmargin.margin import compare, margin
from crossmargin.portfolio import Portfolio, Position
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED
from crossmargin.results import Comparison, Line, not_modelled, scaled, total
from crossmargin.tables import money, tree
from tests.properties.strategies import BILL, ETF_OPTION, NOTE_7, TIPS_8, ZN, basis, book, market

HELD = (*basis(), *basis("DUAL"), Position("x", "ALPHA-XM", BILL, 5e6), Position("t", "BETA-GOV", TIPS_8, 1e6))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(book(*HELD, Position("o", "RETAIL-SEC", ETF_OPTION, 2.0)), market())


def section(text: str, title: str) -> list[str]:
    """The lines below a title, as far as the next blank line."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(title))
    body = lines[start + 2 :]
    return body[: body.index("")] if "" in body else body


def figures(line: str) -> list[str]:
    return re.findall(r"-?[\d,]+\.\d\d(?!\d)", line)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "not modelled"),
        (0.0, "0.00"),
        (1234567.891, "1,234,567.89"),
        (-0.5, "-0.50"),
        (1e15, "1,000,000,000,000,000.00"),
    ],
)
def test_money(amount, text):
    assert money(amount) == text


def test_nothing_has_no_sign():
    assert money(-0.0) == "0.00"
    assert money(-0.001) == "0.00"


@pytest.mark.parametrize("level", ["clearing", "customer"])
def test_every_owner_and_pot_stands_with_its_amounts(comparison, level):
    title = "Initial margin owed to " + ("clearing houses" if level == "clearing" else "the carrying firm")
    rows = section(str(comparison), title)
    for owner in ("Alpha Fund", "Beta Trust") + (("Dual LLC",) if level == "clearing" else ("Pat Doe",)):
        (row,) = [line for line in rows if line.startswith(owner)]
        amounts = [
            part.amount
            for report in comparison.reports
            for part in report.line(level).parts
            if part.name == owner and part.amount is not None
        ]
        assert figures(row) == [money(amount) for amount in amounts]
    (last,) = [line for line in rows if line.startswith("TOTAL")]
    assert figures(last) == [money(total) for total in comparison.totals(level).values()]


def test_pots_follow_their_owner(comparison):
    rows = section(str(comparison), "Initial margin owed to clearing houses")
    names = [line[:22].rstrip() for line in rows]
    start = names.index("Alpha Fund")
    assert names[start + 1 : start + 4] == ["  FICC", "  CME", "  common pool"]


def test_columns_are_aligned(comparison):
    rows = section(str(comparison), "Initial margin owed to clearing houses")
    full = [line for line in rows if len(figures(line)) == 3]
    assert len(full) == 4
    for column in range(3):
        assert len({[m.end() for m in re.finditer(r"[\d,]+\.\d\d", line)][column] for line in full}) == 1
    assert all(line == line.rstrip() for line in str(comparison).splitlines())


def test_benefit_status_and_share_of_assumptions(comparison):
    rows = section(str(comparison), "Initial margin owed to clearing houses")
    by_name = {line.split("  ")[0]: line for line in rows}
    assert figures(by_name["benefit"]) == [money(comparison.benefit(name)) for name in ("cross_margin", "harmonized")]
    assert f"{comparison.benefit_share('harmonized'):.2%}" in by_name["benefit, %"]
    assert by_name["status"].split() == ["status", "in", "force", "in", "force", "proposed", "*"]
    assert by_name["rests on assumed values"].count("%") == 3


def test_the_unit_shows_both_models_both_factors_and_the_binding_one(comparison):
    rows = section(str(comparison), "Cross-margin: today's approved programmes: reduction factors")
    report = comparison["cross_margin"]
    credit = next(credit for credit in report.credits if credit.owner == "ALPHA")
    start = next(i for i, line in enumerate(rows) if line.startswith("Alpha Fund"))
    for offset, side in enumerate(("FICC", "CME"), 1):
        factor = credit.line.part(f"{side} reduction factor")
        combined, standalone = factor.parts
        row = rows[start + offset]
        assert row.startswith(f"  {side} model")
        amounts = (*standalone.parts, standalone, combined)
        assert figures(row) == [money(line.amount) for line in amounts]
        assert f"{factor.value:.4%}" in row
    assert f"{credit.line.parts[0].value:.4%}" in rows[start + 3]
    assert "governs" in rows[start + 3]


ORDERS = [order for order in permutations(range(4)) if order[0] == 0]


def test_every_unit_is_shown_once_in_whatever_order_positions_come():
    positions = (*basis(), *basis("DUAL"))
    for order in ORDERS:
        text = str(margin(book(*(positions[i] for i in order)), market(), CROSS_MARGIN))
        rows = section(text, "Cross-margin: today's approved programmes: reduction factors")
        assert [sum(line.startswith(name) for line in rows) for name in ("Alpha Fund", "Dual LLC")] == [1, 1]


def test_two_owners_of_one_name_are_both_shown():
    customers = [evolve(customer, name="Same") for customer in book().customers]
    held = (Position("a", "ALPHA-GOV", TIPS_8, 1e6), Position("b", "BETA-GOV", TIPS_8, 3e6))
    report = margin(book(*held, customers=customers), market())
    text = str(report)
    for owner in report.line().parts:
        assert money(owner.amount) in text


def test_refusals_name_the_position_and_every_condition(comparison):
    text = str(comparison)
    rows = section(text, "Refused by cme_ficc")
    (row,) = [line for line in rows if line.startswith("x ")]
    assert "product_list" in row
    for decision in comparison["cross_margin"].refused():
        told = "\n".join(section(text, f"Conditions of {decision.programme}"))
        for reason in decision.because:
            assert reason.condition in told
            assert reason.citation in told
            assert reason.cure in told


def test_gaps_and_assumptions_are_listed(comparison):
    gaps = "\n".join(section(str(comparison), "Not modelled"))
    for report in comparison.reports:
        for _, line in report.not_modelled():
            assert line.name in gaps
            assert line.note in gaps
    assumed = "\n".join(section(str(comparison), "Values that no published text states"))
    for report in comparison.reports:
        for read in report.assumptions():
            assert f"{read.rule}.{read.name}" in assumed


def test_a_partial_total_says_so(comparison):
    assert "TOTAL (partial: see Not modelled)" in str(comparison)


def test_a_total_of_which_nothing_is_modelled_is_no_figure():
    shown = str(compare(book(Position("o", "RETAIL-SEC", ETF_OPTION, 2.0)), market())).splitlines()
    (total,) = (line for line in shown[:12] if line.startswith("TOTAL"))
    assert total.split(": see Not modelled)")[1].split() == ["not", "modelled"] * 3
    assert [line.split()[-2:] for line in shown[:12] if line.startswith("benefit")] == [["-", "-"]] * 2


def test_guardrails_of_the_proposal_and_which_binds(comparison):
    rows = section(str(comparison), "Harmonized portfolio (hypothetical): what binds")
    for entry in comparison["harmonized"].requirements:
        if entry.level == "clearing" and entry.pot == "common pool":
            owner = comparison["harmonized"].owners[entry.owner]
            (row,) = [line for line in rows if line.startswith(owner)]
            assert figures(row) == [money(part.amount) for part in entry.line.parts]


def test_one_report_is_a_comparison_of_one():
    report = margin(book(*HELD), market(), HARMONIZED)
    assert "benefit" not in str(report)
    assert "proposed: no such rule is in force" in str(report)
    assert "proposed" not in str(margin(book(*HELD), market(), SILOED))


def test_an_empty_book_prints():
    text = str(compare(Portfolio(), market()))
    assert "TOTAL" in text
    assert "Refused" not in text


def test_names_are_escaped_in_html():
    customers = [evolve(c, name="<script>alert('x')</script> & Sons") for c in book().customers[:1]]
    held = (
        Position("<b>p</b>", "ALPHA-XM", NOTE_7, 1e6),
        Position("q", "ALPHA-XM", ZN, -9.0),
        Position("r", "ALPHA-XM", BILL, 1.0),
    )
    accounts = [a for a in book().accounts if a.owner in {"ALPHA", "DUAL"}]
    html = compare(book(*held, customers=customers, accounts=accounts), market())._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<b>p</b>" not in html


def test_html_holds_the_figures_of_the_text(comparison):
    html, text = comparison._repr_html_(), str(comparison)
    assert set(figures(re.sub(r"<[^>]+>", " ", html))) == set(figures(text))
    for tag in ("table", "caption", "thead", "tbody", "tr", "th", "td"):
        assert len(re.findall(rf"<{tag}\b", html)) == html.count(f"</{tag}>")


def test_explain_goes_as_deep_as_asked():
    report = margin(book(*HELD), market(), CROSS_MARGIN)
    depths = [len(report.explain(depth).splitlines()) for depth in range(10)]
    assert depths[0] == 1
    assert depths == sorted(depths)
    text = report.explain(12)
    for name in (
        "var_charge",
        "percentage_floor",
        "base_charge",
        "CME reduction factor",
        "reduction_cap=0.8 (disclosure)",
    ):
        assert name in text
    assert report.explain(level="customer") != report.explain()


def test_the_tree_is_indented_and_says_how():
    line = total("t", [scaled("half", 0.5, Line("leaf", 3.0)), not_modelled("gap", "no figure")], note="mind")
    rows = tree(line, 9).splitlines()
    assert [row.split()[0] for row in rows] == ["t", "half", "leaf", "gap"]
    assert [len(row) - len(row.lstrip()) for row in rows] == [0, 2, 4, 2]
    assert "sum  mind" in rows[0]
    assert "scaled x 0.5" in rows[1]
    assert "not modelled" in rows[3]
    assert "no figure" in rows[3]
