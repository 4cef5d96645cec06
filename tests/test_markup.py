"""HTML says what it was given, whatever that is: nothing in a name becomes markup, and tables stay tables."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.collateral import CollateralReport
from crossmargin.eligibility import Decision, Decisions, Reason
from crossmargin.errors import InputError
from crossmargin.margin import collateral_report, margin
from crossmargin.markup import Cell, folded, fragment, linked, listed, mark, table
from crossmargin.portfolio import Portfolio, Position
from crossmargin.regimes import CROSS_MARGIN
from crossmargin.results import Comparison, Line, Report, not_modelled, scaled, total
from crossmargin.tables import NOT_IN_FORCE, tree_html
from tests.properties.strategies import NOTE_7, ZN, book, market

HOSTILE = "<script>alert('x')</script> \"&amp; Sons"
VOID = {"meta", "link", "br", "col", "input"}


class Reader(HTMLParser):
    """Reads HTML as a browser would: the tags that stand open, the cells of tables, all scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open, "every tag is closed"
    return reader


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
cells = st.one_of(words, st.builds(Cell, words, st.none() | st.floats(allow_nan=False), words))


def says(cell: str | Cell) -> str:
    return cell.strip() if isinstance(cell, str) else cell.text.strip() + cell.remark


@given(
    words, st.lists(cells, max_size=4), st.lists(st.lists(cells, max_size=4), max_size=4), st.none() | st.integers(0, 3)
)
def test_a_table_holds_what_it_was_given_and_no_more(caption, header, rows, figures):
    reader = read(fragment([table(caption, header, rows, foot=rows[:1], figures=figures)]))
    assert reader.cells == [says(cell) for row in [header, *rows, *rows[:1]] for cell in row]
    assert set(reader.tags) <= {
        "style",
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "th",
        "td",
        "span",
        "a",
    }


@given(words)
def test_no_text_is_markup(text):
    for html in (folded(text, ""), mark(text), listed([text]), linked(text), tree_html(Line(text, 1.0, note=text))):
        assert set(read(html).tags) <= {"details", "summary", "span", "ul", "li", "a", "div"}


@pytest.mark.parametrize("text", ["javascript:alert(1)", "data:text/html,x", "ftp://x", "//x", "https:/x"])
def test_only_addresses_of_pages_are_links(text):
    assert "href" not in linked(text)


def test_a_cell_knows_the_number_it_is_sorted_by():
    html = table("t", ["", "USD"], [["a", Cell("1,000.00", 1e3)], ["b", "-"]])
    assert html.count("data-value=") == 1
    assert "data-value='1000.0'" in html


# ---------------------------------------------------------------------------------------------------- notebooks


def test_every_view_of_a_notebook_escapes_and_closes_what_it_shows():
    customers = [evolve(each, name=HOSTILE) for each in book().customers]
    held = book(Position(HOSTILE, "ALPHA-XM", NOTE_7, 1e6), Position("q", "ALPHA-XM", ZN, -9.0), customers=customers)
    report = margin(held, market(), CROSS_MARGIN)
    shown = [held, report, report.decisions, report.decisions[0], collateral_report(held, market(), report)]
    for each in shown:
        html = each._repr_html_()
        assert "script" not in read(html).tags
    assert "&lt;script&gt;" in held._repr_html_()
    assert "&lt;script&gt;" in report._repr_html_()
    assert "&lt;script&gt;" in report.decisions._repr_html_()


def test_a_portfolio_shows_its_positions_with_their_accounts_and_says_what_it_leaves_out():
    portfolio, _ = samples.group()
    html = portfolio._repr_html_()
    assert "12 positions, 1 customer, 7 accounts, 2 firms" in html
    for each in portfolio.positions:
        account = portfolio.account_of(each)
        assert {each.id, account.id, account.owner, account.account_class.value} <= set(read(html).cells)
    many = evolve(portfolio, positions=[evolve(portfolio.positions[0], id=f"p{n}") for n in range(250)])
    assert "and 150 more" in many._repr_html_()
    assert "0 positions" in Portfolio()._repr_html_()


def test_decisions_are_a_tuple_that_shows_itself():
    why = Reason("listed", "the product is on the list", "None.", "Rule 1, https://example.org/1", "rule")
    refused = Decision("cme_ficc", "p", "ZN", allowed=False, because=(why,))
    decisions = Decisions([refused, evolve(refused, position="q", allowed=True, because=())])
    assert decisions == tuple(decisions)
    cells = read(decisions._repr_html_()).cells
    assert {"refused", "allowed", "listed", "Rule 1, https://example.org/1 (rule)"} <= set(cells)
    assert "Nothing" in Decisions()._repr_html_()
    for strange in (None, "refused", [None], 7):
        with pytest.raises(InputError, match="decisions"):
            Decisions(strange)
    report = Report("siloed", "t", "in_force", market().as_of, decisions=[refused])
    assert isinstance(report.decisions, Decisions)
    assert isinstance(report.refused(), Decisions)
    assert Report.from_json(report.to_json()) == report


def test_a_collateral_report_shows_every_balance_and_its_sums():
    portfolio, as_of = samples.group()
    found = collateral_report(portfolio, as_of, margin(portfolio, as_of, CROSS_MARGIN))
    cells = read(found._repr_html_()).cells
    for balance in found.balances:
        assert f"{balance.lendable.value:,.2f}{'*' if balance.lendable.partial else ''}" in cells
    assert cells.count("total") == len(found.levels)
    assert not read(CollateralReport(as_of.as_of)._repr_html_()).cells


# -------------------------------------------------------------------------------------------------------- the tree


def tall(levels: int) -> Line:
    line = Line("leaf", 1.0)
    for level in range(levels):
        line = total(f"level {level}", [line, Line("beside", 0.0)])
    return line


def test_a_tree_has_every_line_with_its_status():
    line = total("t", [scaled("half", 0.5, Line("leaf", 3.0)), not_modelled("gap", "no figure")], note="mind")
    html = tree_html(line, remark=NOT_IN_FORCE)
    assert read(html).tags.count("details") == 2
    assert html.count(NOT_IN_FORCE) == html.count("xm-amount") == 4
    for told in ("scaled x 0.5", "no figure", "mind", "not modelled"):
        assert told in html
    assert NOT_IN_FORCE not in tree_html(line)
    assert tree_html(line) in line._repr_html_()


@pytest.mark.parametrize("most", [1, 3, 8, 1000])
def test_a_tree_says_what_it_leaves_out(most):
    html, line = tree_html(tall(9), most=most), tall(9)
    shown = html.count("xm-amount")
    assert shown <= most
    assert ("explain()" in html) == (shown < len(list(line.walk())))


def test_a_report_unfolds_to_what_it_read_and_where_that_stands():
    portfolio, as_of = samples.basis_trade()
    report = margin(portfolio, as_of, CROSS_MARGIN)
    html = report._repr_html_()
    read_one = next(read for read in report.reads() if read.name == "reduction_cap")
    assert f"reduction_cap = {read_one.value} ({read_one.grade})" in html
    assert escape(read_one.source.title) in html
    assert "data-jp-theme-light" in html


def test_a_notebook_offers_the_names_of_the_regimes_as_keys():
    reports = [Report(name, "t", "in_force", market().as_of) for name in ("siloed", "other")]
    assert Comparison(tuple(reports))._ipython_key_completions_() == ["siloed", "other"]
