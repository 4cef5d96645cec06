"""The sections of the page: totals, steps, collateral, decisions, trees, gaps, assumptions and sources.

Call `report_page(comparison)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from types import MappingProxyType

from attrs import field, frozen

from crossmargin.analysis.attribution import REQUIREMENT, Attribution
from crossmargin.analysis.study_plots import HATCH, waterfall
from crossmargin.collateral.balance import CollateralReport
from crossmargin.collateral.text import collateral_sections, whereabouts
from crossmargin.eligibility import Decision, decisions_html
from crossmargin.errors import InputError, Problem, check_kinds, counted, several
from crossmargin.markup import Cell, Cells, folded, listed, mark, table
from crossmargin.page.assets import document
from crossmargin.posted import Posted
from crossmargin.records import as_tuple
from crossmargin.results import Comparison, Line, Report
from crossmargin.tables import (
    LEVEL_TITLES,
    NOT_IN_FORCE,
    Section,
    amounts,
    assumptions,
    guardrails,
    level_title,
    money,
    not_modelled,
    tree_html,
    two_pots,
)

_SECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "totals": "At a glance",
        "pots": "Who is asked for what",
        "why": "Why the totals differ",
        "collateral": "Where collateral lies",
        "decisions": "Who may join which programme",
        "trees": "How each figure follows",
        "gaps": "What is not modelled",
        "assumptions": "Assumptions",
        "sources": "Sources",
        "notes": "Notes",
    }
)
_ALL_POTS = "all pots"
_MOST_ROWS = 2_000  # of one table of decisions


@frozen
class _Told:
    """All that the page tells, as its sections need it."""

    comparison: Comparison
    collateral: tuple[CollateralReport, ...] = field(converter=as_tuple)
    attributions: tuple[Attribution, ...] = field(converter=as_tuple)
    posted: tuple[Posted, ...] = field(converter=as_tuple)
    notes: tuple[str, ...] = field(converter=as_tuple)

    @property
    def reports(self) -> tuple[Report, ...]:
        return self.comparison.reports

    @property
    def levels(self) -> list[str]:
        return [level for level in LEVEL_TITLES if any(level in report.levels for report in self.reports)]


def report_page(
    comparison: Comparison,
    *,
    title: str = "",
    collateral: Iterable[CollateralReport] = (),
    attributions: Iterable[Attribution] = (),
    posted: Iterable[Posted] = (),
    notes: Iterable[str] = (),
) -> str:
    """Return one self-contained HTML page of a comparison; the same input gives the same bytes.

    Parameters
    ----------
    comparison : Comparison
        What `compare` returned, of one regime at least.
    title : str
        What the book is called.
    collateral : iterable of CollateralReport
        One for each regime whose collateral is told.
    attributions : iterable of Attribution
        Why a regime differs from the first, in requirement or in deficit; without one of the requirement the steps
        are those of `Comparison.bridge`, in printed order.
    posted : iterable of Posted
        The deposits, of which the page says where each of them lies.
    notes : iterable of str
        What else is said at the end: the market, the version.

    Returns
    -------
    str

    Raises
    ------
    InputError
        A comparison of nothing, and what is of another kind.

    Examples
    --------
    >>> from crossmargin import samples
    >>> from crossmargin.margin import compare
    >>> page = report_page(compare(*samples.basis_trade()), title="the sample book")
    >>> "<h1>Margin of the sample book under 3 regimes, 2026-06-30</h1>" in page
    True
    """
    check_kinds(comparison=(comparison, Comparison, "Give what compare returned, of one regime or of several."))
    attributions = several("attributions", attributions, Attribution, "Give what attribute returned, in a list.")
    collateral = several("collateral", collateral, CollateralReport, "Give what collateral_report returned, in a list.")
    if not comparison.reports:
        raise InputError([Problem("no regime was compared.", "page", "Compare one at least.")])
    told = _Told(comparison, collateral, attributions, posted, notes)
    count = len(comparison.reports)
    named = f"Margin of {title or 'one book'} under {counted(count, 'regime')}, {told.reports[0].as_of}"
    bodies = {
        "totals": [*_totals(told)],
        "pots": [*_pots(told)],
        "why": [*_why(told)],
        "collateral": [*_collateral(told)],
        "decisions": [*_decisions(told)],
        "trees": [*_trees(told)],
        "gaps": [*_plain(not_modelled(comparison), ("line", "why"))],
        "assumptions": [*_plain(assumptions(comparison), ("value", "what it is and rests on"))],
        "sources": [*_list(source for report in told.reports for source in report.sources())],
        "notes": [*_list([*(note for report in told.reports for note in report.notes), *told.notes])],
    }
    return document(named, [f"<h1>{escape(named)}</h1>", *_opening(told, bodies), *_chapters(bodies)])


def _opening(told: _Told, bodies: Mapping[str, Sequence[str]]) -> Iterator[str]:
    proposed = [report.regime for report in told.reports if report.status == "proposed"]
    said = "What a firm owes to clearing houses and what its customers owe to it never add: each is a level of its own."
    if any(report.partial for report in told.reports):
        said += " A figure with a star leaves something out, which is named below."
    if proposed:
        said = f"<strong>{escape(', '.join(proposed))}: no such rule is in force.</strong> {said}"
    yield f"<p class='warning'>{said} Not advice.</p>"
    links = "".join(f"<li><a href='#{id}'>{_SECTIONS[id]}</a></li>" for id, parts in bodies.items() if parts)
    yield f"<nav aria-label='Contents'><ol>{links}</ol></nav>{HATCH}"


def _chapters(bodies: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for id, parts in bodies.items():
        if parts:
            inside = "\n".join(parts)
            yield f"<section class='crossmargin' aria-labelledby='{id}'><h2 id='{id}'>{_SECTIONS[id]}</h2>\n{inside}"
            yield "</section>"


# ------------------------------------------------------------------------------------------------------- the figures


def _totals(told: _Told) -> Iterator[str]:
    header = ("regime", "what it is", "initial margin, USD", "benefit, USD", "benefit", "rests on assumed values")
    for level in told.levels:
        rows = [_totals_row(told.comparison, report, level) for report in told.reports]
        yield _framed(table(_caption(told, level), header, rows, figures=2), _caption(told, level), sort=True)
    yield f"<p class='small'>Benefit: how much less is asked for than under {escape(told.reports[0].regime)}.</p>"


def _totals_row(comparison: Comparison, report: Report, level: str) -> Cells:
    first, line, remark = comparison.reports[0], report.line(level), _remark(report)
    cells: list[str | Cell] = [report.regime, report.title, _usd(line, remark)]
    if report is first or line.amount is None or first.line(level).amount is None:
        cells += ["", ""]
    else:
        benefit, share = comparison.benefit(report.regime, level), comparison.benefit_share(report.regime, level)
        both = _remarks(first, report)
        cells += [Cell(money(benefit), benefit, both), Cell(f"{share:.1%}", share, both)]
    resting = None if line.amount is None else report.assumed_share(level)
    return _row(*cells, Cell("" if resting is None else f"{resting:.0%}", resting))


def _pots(told: _Told) -> Iterator[str]:
    remarks = [_remark(report) for report in told.reports]
    header: list[str | Cell] = ["owner", "pot"]
    header += [Cell(report.regime, remark=remark) for report, remark in zip(told.reports, remarks, strict=True)]
    for level in told.levels:
        rows = [
            _row(owner, pot or _ALL_POTS, *map(_usd, lines, remarks))
            for (owner, pot), lines in amounts(told.comparison, level).items()
        ]
        last = _row("total", _ALL_POTS, *map(_usd, (report.line(level) for report in told.reports), remarks))
        shown = table(f"{_caption(told, level)}, by owner and pot", header, rows, foot=[last], figures=2)
        yield _framed(shown, _caption(told, level), sort=True)
    for report, remark in zip(told.reports, remarks, strict=True):
        for section in (two_pots(report), guardrails(report)):
            if section.rows:
                yield _framed(_section(section, remark), section.title)


def _why(told: _Told) -> Iterator[str]:
    first = told.reports[0]
    for report in told.reports[1:]:
        yield f"<h3>From {escape(first.regime)} to {escape(report.regime)}</h3>"
        known = [level for level in told.levels if None not in (first.line(level).amount, report.line(level).amount)]
        pictures = [_steps(told, report, *each) for level in known for each in _bridges(told, report, level)]
        yield f"<div class='pair'>{''.join(pictures)}</div>"
        for level in (level for level in told.levels if level not in known):
            yield f"<p>Initial margin {level_title(level, told.reports)}: not modelled under one of the two.</p>"


def _bridges(told: _Told, report: Report, level: str) -> Iterator[tuple[Line, str]]:
    """Yield the steps from the first regime to this one, of the requirement first, each with what is said of them."""
    ends = told.reports[0].regime, report.regime, level
    found = [each for each in told.attributions if (each.base, each.other, each.level) == ends]
    what = level_title(level, told.reports)
    if not any(each.of == REQUIREMENT for each in found):
        line = told.comparison.bridge(report.regime, level)
        yield line, f"Initial margin {what}, USD. Steps in the order in which they stand."
    for each in found:
        of = "Initial margin" if each.of == REQUIREMENT else f"{each.of.capitalize()}, beyond what is posted, of margin"
        mean = f"{of} {what}, USD. Each step has its mean effect over all orders."
        yield each.line, " ".join([mean, *_sentences(each.notes)])


def _steps(told: _Told, report: Report, line: Line, said: str) -> str:
    """Return the picture of the steps, and the same as a table for those who cannot see it or want the figures."""
    remarks, lines = _remarks(told.reports[0], report), [*line.parts, line]
    drawn = waterfall(said, [(each.name, each.value) for each in lines], proposed=report.status == "proposed")
    standing = [_remark(told.reports[0]), *([remarks] * len(line.parts[1:])), _remark(report)]
    rows = [_row(each.name, _usd(each, remark)) for each, remark in zip(lines, standing, strict=True)]
    figures = folded("The same in figures", table("", ("step", "USD"), rows))
    return f"<figure><figcaption>{escape(said)}{mark(remarks)}</figcaption>{drawn}{figures}</figure>"


def _collateral(told: _Told) -> Iterator[str]:
    status = {report.regime: _remark(report) for report in told.reports}
    for found in told.collateral:
        remark = status.get(found.regime, "")
        yield f"<h3>{escape(found.regime or 'Collateral')}{mark(remark)}</h3>"
        for section in (each for each in collateral_sections(found) if each.rows):
            shown = _framed(_section(section, remark), section.title, sort=True)
            yield shown if section.figures is not None else folded(section.title, shown)
    deposits = whereabouts(told.posted)
    if deposits.rows:
        yield f"<h3>The deposits</h3>{_framed(_section(deposits, ''), deposits.title, sort=True)}"


# ------------------------------------------------------------------------------------------- decisions, trees, the rest


def _decisions(told: _Told) -> Iterator[str]:
    """Yield what keeps positions out, regime by regime, once where regimes say the same; all decisions stay folded."""
    seen: dict[tuple[object, ...], list[Report]] = {}
    for report in told.reports:
        if report.decisions:
            seen.setdefault(tuple(report.decisions), []).append(report)
    for decisions, reports in seen.items():
        names = ", ".join(f"{escape(report.regime)}{mark(_remark(report))}" for report in reports)
        refused = reports[0].refused()
        joined = sum(decision.allowed for decision in reports[0].decisions)
        yield f"<h3>{names}</h3>"
        yield f"<p>{counted(len(decisions), 'decision')}, {joined:,} of them letting a position join.</p>"
        if refused:
            yield _decided(refused, "refused()")
        yield folded("Every decision", _decided(reports[0].decisions, "decisions"))


def _decided(decisions: Sequence[Decision], what: str) -> str:
    left = len(decisions) - _MOST_ROWS
    more = f"<p>And {left:,} more: <code>report.{what}</code> has them all.</p>" if left > 0 else ""
    return _framed(decisions_html(decisions[:_MOST_ROWS]), "decisions", sort=True) + more


def _trees(told: _Told) -> Iterator[str]:
    yield "<p>USD. Each line unfolds to what it is made of and to the values that it read, with their sources.</p>"
    for report in told.reports:
        remark = _remark(report)
        yield f"<h3>{escape(report.title)}{mark(remark)}</h3>"
        yield from (tree_html(report.line(level), remark=remark) for level in report.levels)


def _plain(section: Section, header: tuple[str, ...]) -> Iterator[str]:
    if section.rows:
        yield _framed(table(section.title, header, section.rows, figures=None), section.title, sort=True)


def _list(texts: Iterable[str]) -> Iterator[str]:
    once = dict.fromkeys(texts)
    if once:
        yield listed(once)


# --------------------------------------------------------------------------------------------------------- marks


def _remark(report: Report) -> str:
    return {"in_force": "", "proposed": NOT_IN_FORCE}.get(report.status, report.status)


def _remarks(first: Report, other: Report) -> str:
    """Return what is said beside what follows from both: one that is not in force makes it hypothetical."""
    return _remark(other) or _remark(first)


def _caption(told: _Told, level: str) -> str:
    return f"Initial margin {level_title(level, told.reports)}, USD"


def _row(*cells: str | Cell) -> Cells:
    return cells


def _usd(line: Line | None, remark: str) -> Cell:
    if line is None:
        return Cell("–")
    star = "*" if line.partial and line.amount is not None else ""
    return Cell(money(line.amount) + star, line.amount, remark)


def _section(section: Section, remark: str) -> str:
    """Return a section of the text reports as a table whose figures bear a remark and can be sorted by."""
    rows = [_figures(row, section.figures, remark) for row in section.rows]
    last = [_figures(section.last, section.figures, remark)] if section.last else []
    foot = f"<p class='small'>{escape(section.foot)}</p>" if section.foot else ""
    return table(section.title, section.header, rows, foot=last, figures=section.figures) + foot


def _figures(row: Sequence[str], figures: int | None, remark: str) -> Cells:
    first = len(row) if figures is None else figures
    return [*row[:first], *(_figure(cell, remark) for cell in row[first:])]


def _figure(text: str, remark: str) -> str | Cell:
    try:
        return Cell(text, float(text.replace(",", "").rstrip("*%")), remark)
    except ValueError:
        return text


def _sentences(notes: Iterable[str]) -> Iterator[str]:
    return (f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in notes)


def _framed(inside: str, label: str, *, sort: bool = False) -> str:
    """Return what may be wider than the page in a frame that scrolls, by keyboard too."""
    looks = f"class='scroll{' sortable' if sort else ''}' tabindex='0' role='group' aria-label='{escape(label)}'"
    return f"<div {looks}>{inside}</div>"
