"""Reports and comparisons as aligned text and as HTML, from one list of sections.

Called by `str(report)`, by notebooks, by pages and by the command line; `tree` and `tree_html` show how a figure
follows. Formats only: every figure comes from the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from attrs import evolve, field, frozen

from crossmargin.eligibility import Decision
from crossmargin.errors import InputError, Problem, counted
from crossmargin.markup import folded, fragment, linked, mark, table
from crossmargin.parameters import Read
from crossmargin.posted import CARRYING_FIRM
from crossmargin.records import as_tuple
from crossmargin.results import Comparison, Line, Report

PROPOSED = "proposed: no such rule is in force"
LEVEL_TITLES = {
    "clearing": "owed to clearing houses",
    "customer": "owed to the carrying firm by its customers",
}

BESIDES = ", and by firms for what none of them holds"

NOT_IN_FORCE = "proposed – not in force"
_MOST_LINES = 2_000  # a notebook with more grows slow


@frozen
class Section:
    """A titled table; columns from number `figures` on hold figures and stand to the right, `last` is a row of sums."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = field(converter=as_tuple)
    figures: int | None = 1
    last: tuple[str, ...] = ()
    foot: str = ""


def level_title(level: str, reports: Iterable[Report]) -> str:
    """Return who is owed what the reports ask for at a level; a firm's own uncleared trades are owed elsewhere."""
    asked = ((each.level, each.pot) for report in reports for each in report.requirements)
    return LEVEL_TITLES[level] + (BESIDES if level == "clearing" and (level, CARRYING_FIRM) in asked else "")


def sections_text(sections: Iterable[Section]) -> str:
    """Return the sections that have rows as aligned text."""
    return "\n\n".join(_section_text(section) for section in sections if section.rows) + "\n"


def sections_html(sections: Iterable[Section]) -> str:
    """Return the sections that have rows as HTML; those without figures stay folded until asked for."""
    return "".join(_section_html(section) for section in sections if section.rows)


def comparison_text(comparison: Comparison) -> str:
    """Return the regimes side by side, with refusals, gaps and assumptions, as aligned text."""
    return sections_text(_comparison_sections(comparison))


def comparison_html(comparison: Comparison) -> str:
    """Return the same as HTML."""
    return fragment([sections_html(_comparison_sections(comparison))])


def report_text(report: Report) -> str:
    """Return one regime's figures, refusals, gaps and assumptions as aligned text."""
    return comparison_text(Comparison((report,)))


def report_html(report: Report) -> str:
    """Return the same as HTML, and how each total follows as trees to unfold."""
    remark = NOT_IN_FORCE if report.status == "proposed" else ""
    trees = [
        folded(f"How it follows: {level_title(level, [report])}", tree_html(report.line(level), remark=remark))
        for level in report.levels
    ]
    return fragment([sections_html(_comparison_sections(Comparison((report,)))), *trees])


def tree(line: Line, depth: int) -> str:
    """Return a line and what it is made of, indented, down to `depth`; raise `InputError` for what is no depth."""
    levels: object = depth
    if not isinstance(levels, int) or levels < 0:
        raise InputError([Problem(f"{depth!r} is no number of levels.", "depth", "Give 0, 1, 2, ...")])
    rows = list(_tree_rows(line, depth, 0))
    width = max(len(name) for name, _, _ in rows)
    return "\n".join(f"{name:<{width}}  {amount:>18}  {how}".rstrip() for name, amount, how in rows)


def line_html(line: Line) -> str:
    """Return the same as HTML to unfold."""
    return fragment([tree_html(line)])


def tree_html(line: Line, *, remark: str = "", most: int = _MOST_LINES) -> str:
    """Return a line and what it is made of as HTML to unfold, each figure with `remark` beside it.

    As many levels are shown as fit in `most` lines; what lies deeper is counted where it is left out.
    """
    depth, shown, level = 0, 1, [line]
    while (level := [below for each in level for below in _below(each)]) and shown + len(level) <= most:
        depth, shown = depth + 1, shown + len(level)
    return _branch(line, depth, remark)


def money(amount: float | None) -> str:
    """Return USD to the cent with thousands separators; a dash for what is not modelled."""
    return "not modelled" if amount is None else f"{round(amount, 2) + 0.0:,.2f}"  # + 0.0: nothing has no sign


def _comparison_sections(comparison: Comparison) -> list[Section]:
    if not comparison.reports:
        return [Section("No regime was compared", (), (("nothing to show",),), figures=None)]
    levels = dict.fromkeys(level for report in comparison.reports for level in report.levels)
    last = comparison.reports[-1]
    sections = [_figures(comparison, level) for level in levels]
    sections += [two_pots(report) for report in comparison.reports if report.credits]
    sections += [guardrails(report) for report in comparison.reports]
    sections += _refused(comparison)
    return [*sections, not_modelled(comparison), assumptions(comparison), notes(last)]


def notes(report: Report) -> Section:
    """Return what the report says of itself."""
    return Section("Notes", (), tuple((note,) for note in report.notes), figures=None)


def _figures(comparison: Comparison, level: str) -> Section:
    reports = comparison.reports
    rows = [
        (_label(key), *("-" if line is None else money(line.amount) for line in lines))
        for key, lines in amounts(comparison, level).items()
    ]
    lines = [report.line(level) for report in reports]
    partial = " (partial: see Not modelled)" if any(line.partial for line in lines) else ""
    rows.append((f"TOTAL{partial}", *(money(line.amount) for line in lines)))
    if others := [report.regime for report in reports[1:]]:
        benefits = [(comparison.benefit(name, level), comparison.benefit_share(name, level)) for name in others]
        rows.append(("benefit", "", *("-" if usd is None else money(usd) for usd, _ in benefits)))
        rows.append(("benefit, %", "", *(_percent(share, 2) for _, share in benefits)))
    rows.append(("rests on assumed values", *(_percent(report.assumed_share(level)) for report in reports)))
    rows.append(("status", *("proposed *" if r.status == "proposed" else "in force" for r in reports)))
    starred = f"   (* {PROPOSED})" if any(report.status == "proposed" for report in reports) else ""
    title = f"Initial margin {level_title(level, reports)}, USD, as of {reports[0].as_of}{starred}"
    return Section(title, ("", *(report.regime for report in reports)), tuple(rows))


def _percent(share: float | None, digits: int = 0) -> str:
    return "-" if share is None else f"{share:.{digits}%}"


def amounts(comparison: Comparison, level: str) -> dict[tuple[str, str], list[Line | None]]:
    """Return the line of each owner (pot "") and of each of its pots, regime by regime, None where there is none."""
    tables = [_by_owner_and_pot(report, level) for report in comparison.reports]
    pots: dict[str, dict[str, None]] = {}
    for owner, pot in (key for each in tables for key in each):
        pots.setdefault(owner, {})[pot] = None
    keys = [(owner, pot) for owner, mine in pots.items() for pot in mine]
    return {key: [each.get(key) for each in tables] for key in keys}


def _by_owner_and_pot(report: Report, level: str) -> dict[tuple[str, str], Line]:
    found: dict[tuple[str, str], Line] = {}
    for owner in report.line(level).parts:
        found[owner.name, ""] = owner
        found |= {(owner.name, pot.name): pot for pot in owner.parts}
    return found


def _label(key: tuple[str, str]) -> str:
    owner, pot = key
    return f"  {pot}" if pot else owner


def two_pots(report: Report) -> Section:
    """Return each unit's stand-alone and combined amounts under both models, the factors and the one that binds."""
    rows: list[tuple[str, ...]] = []
    units = {(each.owner, each.firm, each.account_class, each.arrangement): each for each in reversed(report.credits)}
    for first in (each for each in reversed(units.values()) if each.line.how == "product"):
        rows.append((report.owners.get(first.owner, first.owner), "", "", "", "", ""))
        for factor in (line for line in first.line.walk() if line.how == "reduction"):
            combined, standalone = factor.parts
            amounts = (*standalone.parts, standalone, combined)
            model = factor.name.replace("reduction factor", "model")
            rows.append((f"  {model}", *(money(line.amount) for line in amounts), f"{factor.value:.4%}"))
        rows.append((f"  applied: {first.line.note}", "", "", "", "", f"{first.line.parts[0].value:.4%}"))
    header = ("Cross-margin units", "Treasury leg", "futures leg", "stand-alone", "both legs", "reduction")
    return Section(f"{report.title}: reduction factors, USD", header, tuple(rows))


def guardrails(report: Report) -> Section:
    """Return what each pool's requirement is the largest of, and which figure binds."""
    pools = [entry for entry in report.requirements if entry.level == "clearing" and entry.line.how == "max"]
    rows = []
    for entry in pools:
        binding = next(part.name for part in entry.line.parts if part.amount == entry.line.amount)
        amounts = (money(part.amount) for part in entry.line.parts)
        rows.append((report.owners.get(entry.owner, entry.owner), *amounts, binding))
    header = ("Pool of", *(part.name for part in pools[0].line.parts), "binding") if pools else ()
    return Section(f"{report.title}: what binds, USD", header, tuple(rows))


def _refused(comparison: Comparison) -> list[Section]:
    """Return, programme by programme, who was refused by which conditions, each of these with its citation and cure."""
    refused: dict[str, dict[str, Decision]] = {}
    for decision in (decision for report in comparison.reports for decision in report.refused()):
        refused.setdefault(decision.programme, {})[decision.position] = decision
    return [part for programme, taken in refused.items() for part in _refused_by(programme, taken.values())]


def _refused_by(programme: str, decisions: Iterable[Decision]) -> list[Section]:
    decisions = tuple(decisions)
    rows = [
        (decision.position, decision.product, ", ".join(reason.condition for reason in decision.because))
        for decision in decisions
    ]
    reasons = {reason.condition: reason for decision in decisions for reason in decision.because}
    told = [(name, f"{r.about} - {r.citation} ({r.grade}). Cure: {r.cure}") for name, r in reasons.items()]
    return [
        Section(f"Refused by {programme}: position and every condition it fails", (), tuple(rows), figures=None),
        Section(f"Conditions of {programme} that were failed", (), tuple(told), figures=None),
    ]


def not_modelled(comparison: Comparison) -> Section:
    """Return what is known to exist and left out, with the reason."""
    found: dict[tuple[str, str], None] = {}
    for report in comparison.reports:
        for _, line in report.not_modelled():
            found[line.name, line.note] = None
    return Section("Not modelled (totals leave these out)", (), tuple(found), figures=None)


def assumptions(comparison: Comparison) -> Section:
    """Return every value read that no published text states, with its grade and why it was chosen."""
    reads = {(read.rule, read.name): read for report in comparison.reports for read in report.assumptions()}
    rows = [
        (f"{rule}.{name}", f"{_short(read.value)}  ({read.grade}) {read.because or read.locator}")
        for (rule, name), read in reads.items()
    ]
    return Section("Values that no published text states", (), tuple(rows), figures=None)


def _short(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        rows = value and isinstance(value[0], dict)
        return f"table of {counted(len(value), 'row')}" if rows else ", ".join(map(str, value))
    return str(value)


def _tree_rows(line: Line, depth: int, level: int) -> Iterator[tuple[str, str, str]]:
    reads = ", ".join(f"{read.name}={_short(read.value)} ({read.grade})" for read in line.reads)
    extras = "  ".join(part for part in (_how(line), f"[{reads}]" if reads else "", line.note) if part)
    yield "  " * level + line.name, _amount(line), extras
    if level < depth:
        for below in _below(line):
            yield from _tree_rows(below, depth, level + 1)


def _amount(line: Line) -> str:
    return money(line.amount) if line.unit == "USD" or line.amount is None else f"{line.amount:.6f}"


def _how(line: Line) -> str:
    return f"{line.how} x {line.factor:g}" if line.how == "scaled" else line.how


def _below(line: Line) -> tuple[Line, ...]:
    """Return what a line is made of, and then what is shown beside it."""
    return (*line.parts, *(evolve(beside, name=f"(beside) {beside.name}") for beside in line.memo))


def _branch(line: Line, depth: int, remark: str) -> str:
    below, reads = _below(line), "".join(f"<p class='xm-soft'>{_read_html(read)}</p>" for read in line.reads)
    told = _line_html(line, remark)
    if not below and not reads:
        return f"<div class='xm-leaf'>{told}</div>"
    if below and depth == 0:
        reads += f"<p>{counted(len(below), 'part')} left out here; <code>explain()</code> prints them.</p>"
    inside = "".join(_branch(each, depth - 1, remark) for each in below) if depth else ""
    return f"<details><summary>{told}</summary><div class='xm-tree'>{inside}{reads}</div></details>"


def _line_html(line: Line, remark: str) -> str:
    unit = "" if line.unit in ("USD", "1") or line.amount is None else f" {line.unit}"
    said = "" if line.how in ("input", "not_modelled") else _how(line)
    soft = escape("; ".join(part for part in (said, line.note) if part))
    amount = f"<span class='xm-amount'>{escape(_amount(line) + unit)}</span>{mark(remark)}"
    return f"{escape(line.name)} {amount}" + (f" <span class='xm-soft'>{soft}</span>" if soft else "")


def _read_html(read: Read) -> str:
    because = f" {read.because}" if read.because else ""
    cited = ", ".join(part for part in (read.source.title, read.locator, read.source.url) if part)
    return linked(f"{read.name} = {_short(read.value)} ({read.grade}): {cited}.{because}")


def _section_text(section: Section) -> str:
    rows = [row for row in (section.header, *section.rows, section.last) if row]
    columns = max(len(row) for row in rows)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(columns)]
    body = [_row_text(row, widths, section.figures) for row in rows]
    if section.header:
        body.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([section.title, "=" * len(section.title), *body, *([section.foot] if section.foot else [])])


def _row_text(row: tuple[str, ...], widths: list[int], figures: int | None) -> str:
    cells = (
        cell.rjust(width) if figures is not None and column >= figures else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=False))
    )
    return "  ".join(cells).rstrip()


def _section_html(section: Section) -> str:
    foot = f"<p>{escape(section.foot)}</p>" if section.foot else ""
    if section.figures is None:
        return folded(section.title, table("", section.header, section.rows, figures=None) + foot)
    last = [section.last] if section.last else []
    return table(section.title, section.header, section.rows, foot=last, figures=section.figures) + foot
