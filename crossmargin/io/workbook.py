"""A report as an Excel workbook: one sheet for each section, its status in every one, formulas where lines have parts.

Call `write_workbook(result, path)`; `report_files.write_report` does. Beside each amount stands the same figure
recalculated by Excel from the inputs, so that a changed input can be followed to the total. Needs openpyxl (extra
`excel`). Texts are never formulas, whatever they begin with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import Any, TypeAlias

from attrs import field, frozen

from crossmargin.documents import RECORD
from crossmargin.errors import InputError, Problem
from crossmargin.io.extras import extra
from crossmargin.parameters import Read
from crossmargin.records import to_plain
from crossmargin.results import Comparison, Line, Report

PROPOSED = "no such rule is in force"
_LINE = (
    *("regime", "status", "level", "depth", "line", "amount", "recalculated", "unit"),
    *("how", "factor", "reads", "note"),
)
_READ = ("rule", "name", "value", "unit", "grade", "locator", "because", "source", "url", "published")
_DECISION = ("programme", "position", "product", "allowed", "conditions", "cure", "citations")
_UNDER = ("regime", "status")
_MONEY, _PLAIN_NUMBER = "#,##0.00", "0.000000"
_MOST_ROWS, _LONGEST_TEXT, _LONGEST_FORMULA, _MOST_ARGUMENTS = 1_048_576, 32_767, 8_000, 200  # what Excel holds
_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_FIRST = 4  # row below status, blank row and header
_WIDEST = 60
_NOT_MODELLED = "not modelled"
COMMANDS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet may take a text that begins so for a formula
_HOW = {"sum": "SUM({})", "max": "MAX({})", "minimum": "MIN({})", "root_sum_square": "SQRT(SUMSQ({}))"}


@frozen
class Formula:
    """The text of a formula, without its equals sign."""

    text: str


Cell: TypeAlias = str | float | bool | Formula | None


@frozen
class Sheet:
    """A sheet: its name, its header and rows of cells."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def write_workbook(
    result: Report | Comparison, path: Path, *, collateral: Iterable[Mapping[str, Any]] | None = None
) -> None:
    """Write a report or a comparison, and the records of a collateral report, as a workbook.

    Raises
    ------
    InputError
        openpyxl is not installed, or a sheet would have more rows than Excel holds.
    """
    reports = result.reports if isinstance(result, Comparison) else (result,)
    sheets = [each for each in _sheets(reports, collateral) if each.rows]
    for each in sheets:
        if len(each.rows) + _FIRST > _MOST_ROWS:
            fix = "Write JSON, or fewer accounts at a time."
            raise InputError([Problem(f"{len(each.rows):,} rows are too many for a sheet.", each.name, fix)])
    workbook = extra("openpyxl", "excel").Workbook(write_only=True)
    for each in sheets:
        _write(workbook, each, _status(reports))
    workbook.save(path)


def _status(reports: Iterable[Report]) -> str:
    told = [f"{each.regime}: {each.status}" for each in reports]
    proposed = f" (proposed: {PROPOSED})" if any(each.status == "proposed" for each in reports) else ""
    return f"Status of the figures - {', '.join(told)}{proposed}"


def _write(workbook: Any, sheet: Sheet, status: str) -> None:
    bold, letter = extra("openpyxl.styles", "excel").Font(bold=True), extra("openpyxl.utils", "excel").get_column_letter
    page = workbook.create_sheet(sheet.name)
    page.freeze_panes = f"A{_FIRST}"
    page.oddHeader.center.text = status.replace("&", "&&")
    for place, name in enumerate(sheet.header):
        texts = [name, *(cell for row in sheet.rows[:_MOST_ARGUMENTS] if isinstance(cell := row[place], str))]
        page.column_dimensions[letter(place + 1)].width = min(max(*map(len, texts), 14), _WIDEST) + 2
    made = partial(extra("openpyxl.cell", "excel").WriteOnlyCell, page)
    page.append([_cell(made, status, bold)])
    page.append([])
    page.append([_cell(made, name, bold) for name in sheet.header])
    units = sheet.header.index("unit") if sheet.header == _LINE else None
    for row in sheet.rows:
        form = _MONEY if units is None or row[units] == "USD" else _PLAIN_NUMBER
        page.append([_cell(made, value, number_format=form) for value in row])


def _cell(made: Any, value: Cell, font: Any = None, *, number_format: str = "") -> Any:
    """Return what stands in a cell; a text is one whatever it begins with. `made` makes cells of a value."""
    if isinstance(value, float | Formula):
        cell = made(f"={value.text}" if isinstance(value, Formula) else value)
        cell.number_format = number_format
        return cell
    if isinstance(value, str):
        value = _shortened(_ILLEGAL.sub("\ufffd", value), _LONGEST_TEXT)
    if font is None and not (isinstance(value, str) and value.startswith((*COMMANDS, "#"))):
        return value
    cell = made(value)
    cell.data_type = "s"
    if font is None:
        cell.quotePrefix = True
    else:
        cell.font = font
    return cell


# ------------------------------------------------------------------------------------------------------ sheets


def _sheets(reports: Sequence[Report], collateral: Iterable[Mapping[str, Any]] | None) -> Iterator[Sheet]:
    lines, rows = _lines(reports)
    reads = {(read.rule, read.name, str(read.value)): read for report in reports for read in report.reads()}.values()
    assumed = [read for read in reads if read.grade not in ("rule", "disclosure")]
    gaps = [(*_under(report), pool, line.name, line.note) for report in reports for pool, line in report.not_modelled()]
    sources = [(*_under(report), source) for report in reports for source in report.sources()]
    notes = [(*_under(report), note) for report in reports for note in report.notes]
    records = list(collateral or ())
    names = tuple(dict.fromkeys(name for record in records for name in record))
    yield Sheet("Figures", (*RECORD, "recalculated"), _figures(reports, rows))
    yield lines
    yield Sheet("Decisions", (*_UNDER, *_DECISION), [row for report in reports for row in _decisions(report)])
    yield Sheet("Values read", _READ, [_read(read) for read in reads])
    yield Sheet("Assumptions", _READ, [_read(read) for read in assumed])
    yield Sheet("Not modelled", (*_UNDER, "pool", "line", "why"), gaps)
    yield Sheet("Sources", (*_UNDER, "source"), sources)
    yield Sheet("Notes", (*_UNDER, "note"), notes)
    yield Sheet("Collateral", names, [[_plain(record.get(name)) for name in names] for record in records])


def _under(report: Report) -> tuple[str, str]:
    return report.regime, report.status


def _decisions(report: Report) -> Iterator[tuple[Cell, ...]]:
    for each in report.decisions:
        names, cures = ", ".join(why.condition for why in each.because), " ".join(why.cure for why in each.because)
        citations = "; ".join(dict.fromkeys(why.citation for why in each.because))
        yield (*_under(report), each.programme, each.position, each.product, each.allowed, names, cures, citations)


def _read(read: Read) -> tuple[Cell, ...]:
    source = read.source
    published = source.published.isoformat() if source.published else ""
    told = (read.unit, read.grade, read.locator, read.because, source.title, source.url, published)
    return (read.rule, read.name, _plain(read.value), *told)


def _plain(value: Any) -> Cell:
    if isinstance(value, bool | str) or value is None:
        return value
    return float(value) if isinstance(value, int | float) else str(to_plain(value))


def _figures(reports: Sequence[Report], rows: Mapping[int, int]) -> list[tuple[Cell, ...]]:
    """Return a row for each requirement and credit, then the totals, and the benefits against the first regime."""
    found: list[tuple[Cell, ...]] = []
    for report in reports:
        for entry, record in zip(report.entries, report.to_records(), strict=True):
            own = f"{_letter(RECORD, 'amount')}{_FIRST + len(found)}"
            formula = Formula(f"Lines!{_AGAIN}{rows[id(entry.line)]}" if id(entry.line) in rows else own)
            found.append(_figure(record, _NOT_MODELLED if record["amount"] is None else record["amount"], formula))
    end, bases = _FIRST + len(found) - 1, dict[str, tuple[int, float | None]]()
    for report in reports if found else ():
        for level in report.levels:
            row, amount = _FIRST + len(found), report.total(level)
            record = {"regime": report.regime, "status": report.status, "level": level, "partial": report.partial}
            record["as_of"] = report.as_of.isoformat()
            shown = _NOT_MODELLED if amount is None else amount
            found.append(_figure({**record, "kind": "total"}, shown, _sum_of(row, end)))
            first, base = bases.setdefault(level, (row, amount))
            if first != row and amount is not None and base is not None:
                benefit = Formula(f"{_TOTALS}{first}-{_TOTALS}{row}")
                found.append(_figure({**record, "kind": "benefit"}, base - amount, benefit))
    return found


def _figure(record: Mapping[str, Any], amount: Cell, formula: Formula) -> tuple[Cell, ...]:
    cells = [amount if name == "amount" else _plain(record.get(name, "")) for name in RECORD]
    return (*cells, formula)


def _sum_of(row: int, end: int) -> Formula:
    """Return the sum of the figures of the regime and the level that stand in a row."""
    conditions = (_letter(RECORD, "regime"), _letter(RECORD, "level"))
    ranges = ",".join(f"{letter}${_FIRST}:{letter}${end},{letter}{row}" for letter in conditions)
    return Formula(f"SUMIFS({_TOTALS}${_FIRST}:{_TOTALS}${end},{ranges})")


def _letter(columns: Sequence[str], name: str) -> str:
    return ascii_uppercase[columns.index(name)]


_TOTALS = ascii_uppercase[len(RECORD)]  # the column of what is recalculated in the sheet of figures
_AGAIN = _letter(_LINE, "recalculated")


# ------------------------------------------------------------------------------------------------------- lines


@frozen
class _Entry:
    """A line in its row, with the rows of its parts."""

    line: Line
    row: int
    depth: int
    beside: bool = False
    parts: list[int] = field(factory=list)


def _lines(reports: Sequence[Report]) -> tuple[Sheet, dict[int, int]]:
    """Return every line of every report and level, and the row of each by its identity."""
    cells: list[tuple[Cell, ...]] = []
    rows: dict[int, int] = {}
    for report in reports:
        for level in report.levels:
            for entry in _entries(report.line(level), _FIRST + len(cells)):
                rows[id(entry.line)] = entry.row
                cells.append((*_under(report), level, *_line(entry)))
    return Sheet("Lines", _LINE, cells), rows


def _entries(line: Line, row: int) -> list[_Entry]:
    """Return a line and, below it, what it is made of and what is shown beside it, row by row."""
    found: list[_Entry] = []
    waiting: list[tuple[Line, _Entry | None, bool]] = [(line, None, False)]
    while waiting:  # no recursion: a tree may be deep
        each, above, beside = waiting.pop()
        entry = _Entry(each, row + len(found), above.depth + 1 if above else 0, beside)
        found.append(entry)
        if above and not beside:
            above.parts.append(entry.row)
        waiting += [(memo, entry, True) for memo in reversed(each.memo)]
        waiting += [(part, entry, False) for part in reversed(each.parts)]
    return found


def _line(entry: _Entry) -> tuple[Cell, ...]:
    line = entry.line
    amount = _NOT_MODELLED if line.amount is None else line.amount
    again = _NOT_MODELLED if line.amount is None else Formula(_formula(entry))
    reads = ", ".join(
        f"{read.name}={_shortened(str(to_plain(read.value)), _WIDEST)} ({read.grade})" for read in line.reads
    )
    name = f"{'  ' * entry.depth}{'(beside) ' if entry.beside else ''}{line.name}"
    return (entry.depth, name, amount, again, line.unit, line.how, line.factor, reads, line.note)


def _formula(entry: _Entry) -> str:
    """Return how Excel calculates a line from the rows of its parts; from its own amount where nothing shows how."""
    line, own = entry.line, f"{_letter(_LINE, 'amount')}{entry.row}"
    places = [f"{_AGAIN}{part}" for part in entry.parts]
    if line.how == "input" or not places:
        return own
    if line.how == "reduction":
        combined, alone = places
        return f"IF({alone}=0,0,MAX(0,1-{combined}/{alone}))"
    if line.how in ("scaled", "product"):
        text = "*".join([repr(float(line.factor)), *places])
    elif entry.parts[-1] - entry.parts[0] == len(places) - 1:  # nothing stands between them
        text = _HOW[line.how].format(f"{places[0]}:{places[-1]}")
    else:
        text = _HOW[line.how].format(",".join(places))
    return text if len(text) <= _LONGEST_FORMULA and len(places) <= _MOST_ARGUMENTS else own


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
