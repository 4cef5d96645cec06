"""Reports and comparisons as aligned text and as HTML, from one list of sections.

Called by `str(report)`, by notebooks and by the command line. Formats only: every figure comes from the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from attrs import evolve, field, frozen

from crossmargin.eligibility import Decision
from crossmargin.records import as_tuple
from crossmargin.results import Comparison, Line, Report

PROPOSED = "proposed: no such rule is in force"
LEVEL_TITLES = {
    "clearing": "owed to clearing houses",
    "customer": "owed to the carrying firm by its customers",
}


_STYLE = """
.crossmargin table { border-collapse: collapse; margin: 0 0 1.2em }
.crossmargin th, .crossmargin td { padding: .15em .8em; text-align: left; vertical-align: top; white-space: normal }
.crossmargin .xm-number, .crossmargin thead th { text-align: right; font-variant-numeric: tabular-nums }
.crossmargin .xm-number { white-space: nowrap }
.crossmargin .xm-title, .crossmargin summary { font-weight: bold; padding: .3em 0 }
.crossmargin thead tr { border-bottom: 1px solid }
.crossmargin .xm-part { font-weight: normal; padding-left: 2em }
"""


@frozen
class Section:
    """A titled table; columns from the second on hold figures and stand to the right when `figures`."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = field(converter=as_tuple)
    figures: bool = True


def comparison_text(comparison: Comparison) -> str:
    """Return the regimes side by side, with refusals, gaps and assumptions, as aligned text."""
    return "\n\n".join(_section_text(section) for section in _comparison_sections(comparison)) + "\n"


def comparison_html(comparison: Comparison) -> str:
    """Return the same as HTML."""
    return _html(_comparison_sections(comparison))


def report_text(report: Report) -> str:
    """Return one regime's figures, refusals, gaps and assumptions as aligned text."""
    return comparison_text(Comparison((report,)))


def report_html(report: Report) -> str:
    """Return the same as HTML."""
    return comparison_html(Comparison((report,)))


def tree(line: Line, depth: int) -> str:
    """Return a line and what it is made of, indented, down to `depth`."""
    rows = list(_tree_rows(line, depth, 0))
    width = max(len(name) for name, _, _ in rows)
    return "\n".join(f"{name:<{width}}  {amount:>18}  {how}".rstrip() for name, amount, how in rows)


def money(amount: float | None) -> str:
    """Return USD to the cent with thousands separators; a dash for what is not modelled."""
    return "not modelled" if amount is None else f"{round(amount, 2) + 0.0:,.2f}"  # + 0.0: nothing has no sign


def _comparison_sections(comparison: Comparison) -> list[Section]:
    levels = dict.fromkeys(level for report in comparison.reports for level in report.levels)
    last = comparison.reports[-1]
    sections = [_figures(comparison, level) for level in levels]
    sections += [_two_pots(report) for report in comparison.reports if report.credits]
    sections += [_guardrails(report) for report in comparison.reports]
    sections += _refused(comparison)
    sections += [_not_modelled(comparison), _assumptions(comparison)]
    sections += [Section("Notes", (), tuple((note,) for note in last.notes), figures=False)]
    return [section for section in sections if section.rows]


def _figures(comparison: Comparison, level: str) -> Section:
    reports = comparison.reports
    tables = [_amounts(report, level) for report in reports]
    rows = [(_label(key), *(table.get(key, "-") for table in tables)) for key in _keys(tables)]
    partial = " (partial: see Not modelled)" if any(report.partial for report in reports) else ""
    rows.append((f"TOTAL{partial}", *(money(report.total(level)) for report in reports)))
    if len(reports) > 1:
        rows.append(("benefit", "", *(money(comparison.benefit(r.regime, level)) for r in reports[1:])))
        rows.append(("benefit, %", "", *(f"{comparison.benefit_share(r.regime, level):.2%}" for r in reports[1:])))
    rows.append(("rests on assumed values", *(f"{report.assumed_share(level):.0%}" for report in reports)))
    rows.append(("status", *("proposed *" if r.status == "proposed" else "in force" for r in reports)))
    starred = f"   (* {PROPOSED})" if any(report.status == "proposed" for report in reports) else ""
    title = f"Initial margin {LEVEL_TITLES[level]}, USD, as of {reports[0].as_of}{starred}"
    return Section(title, ("", *(report.regime for report in reports)), tuple(rows))


def _amounts(report: Report, level: str) -> dict[tuple[str, str], str]:
    """Return the printed amount of each owner (pot "") and of each owner's pots."""
    found: dict[tuple[str, str], str] = {}
    for owner in report.line(level).parts:
        found[owner.name, ""] = money(owner.amount)
        for pot in owner.parts:
            found[owner.name, pot.name] = money(pot.amount)
    return found


def _keys(tables: list[dict[tuple[str, str], str]]) -> list[tuple[str, str]]:
    """Return every (owner, pot) of several regimes, each owner once and followed by its pots."""
    pots: dict[str, dict[str, None]] = {}
    for owner, pot in (key for table in tables for key in table):
        pots.setdefault(owner, {})[pot] = None
    return [(owner, pot) for owner, mine in pots.items() for pot in mine]


def _label(key: tuple[str, str]) -> str:
    owner, pot = key
    return f"  {pot}" if pot else owner


def _two_pots(report: Report) -> Section:
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


def _guardrails(report: Report) -> Section:
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
        Section(f"Refused by {programme}: position and every condition it fails", (), tuple(rows), figures=False),
        Section(f"Conditions of {programme} that were failed", (), tuple(told), figures=False),
    ]


def _not_modelled(comparison: Comparison) -> Section:
    found: dict[tuple[str, str], None] = {}
    for report in comparison.reports:
        for _, line in report.not_modelled():
            found[line.name, line.note] = None
    return Section("Not modelled (totals leave these out)", (), tuple(found), figures=False)


def _assumptions(comparison: Comparison) -> Section:
    reads = {(read.rule, read.name): read for report in comparison.reports for read in report.assumptions()}
    rows = [
        (f"{rule}.{name}", f"{_short(read.value)}  ({read.grade}) {read.because or read.locator}")
        for (rule, name), read in reads.items()
    ]
    return Section("Values that no published text states", (), tuple(rows), figures=False)


def _short(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"table of {len(value)} rows" if value and isinstance(value[0], dict) else ", ".join(map(str, value))
    return str(value)


def _tree_rows(line: Line, depth: int, level: int) -> Iterable[tuple[str, str, str]]:
    amount = money(line.amount) if line.unit == "USD" or line.amount is None else f"{line.amount:.6f}"
    reads = ", ".join(f"{read.name}={_short(read.value)} ({read.grade})" for read in line.reads)
    how = f"{line.how} x {line.factor:g}" if line.how == "scaled" else line.how
    extras = "  ".join(part for part in (how, f"[{reads}]" if reads else "", line.note) if part)
    yield "  " * level + line.name, amount, extras
    if level < depth:
        for part in line.parts:
            yield from _tree_rows(part, depth, level + 1)
        for beside in line.memo:
            yield from _tree_rows(evolve(beside, name=f"(beside) {beside.name}"), depth, level + 1)


def _section_text(section: Section) -> str:
    rows = [section.header, *section.rows] if section.header else list(section.rows)
    columns = max(len(row) for row in rows)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(columns)]
    body = [_row_text(row, widths, figures=section.figures) for row in rows]
    if section.header:
        body.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([section.title, "=" * len(section.title), *body])


def _row_text(row: tuple[str, ...], widths: list[int], *, figures: bool) -> str:
    rest = [
        cell.rjust(width) if figures else cell.ljust(width) for cell, width in zip(row[1:], widths[1:], strict=False)
    ]
    return "  ".join([row[0].ljust(widths[0]), *rest]).rstrip()


def _html(sections: list[Section]) -> str:
    return f"<style>{_STYLE}</style><div class='crossmargin'>{''.join(map(_section_html, sections))}</div>"


def _section_html(section: Section) -> str:
    """Return a table; those without figures stay folded until asked for."""
    head = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in section.header)
    body = "".join(_row_html(row, figures=section.figures) for row in section.rows)
    title = escape(section.title)
    if not section.figures:
        return f"<details><summary>{title}</summary><table><tbody>{body}</tbody></table></details>"
    table = f"<table aria-label='{title}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div class='xm-title'>{title}</div>{table}"


def _row_html(row: tuple[str, ...], *, figures: bool) -> str:
    indent = " class='xm-part'" if row[0].startswith(" ") else ""
    cell = "<td class='xm-number'>" if figures else "<td>"
    cells = "".join(f"{cell}{escape(text)}</td>" for text in row[1:])
    return f"<tr><th scope='row'{indent}>{escape(row[0].strip())}</th>{cells}</tr>"
