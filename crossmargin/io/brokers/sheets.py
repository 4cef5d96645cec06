"""Statements in CSV: one or more tables under headers that are known, with titles, sections and totals between them.

`items_of(text, name)` finds the tables by their headers and hands every row to the reader of its table. A format is a
`Sheet`: its columns as data and one function from a row to what the row says. Nothing here knows a broker.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache, cached_property
from io import StringIO
from typing import TypeAlias

from attrs import field, frozen

from crossmargin.errors import InputError, Problem, counted, listed
from crossmargin.io.brokers.statement import Aside, Holding, Item, Money, Unread

_DELIMITERS = (",", ";", "\t")
_ALMOST = 0.6  # of the columns needed: a header with as many is one with a mistake in it
_PASSED_OVER = re.compile(r"[^\w#$%/]|_")  # in the name of a column
_NO_NAMES = frozenset({""})


@frozen
class SheetRow:
    """A row of a table: its place, how it reads, its cells by field, the `sections` above it, the last one last."""

    place: str
    text: str
    cells: Sequence[str]
    values: Mapping[str, str]
    sections: tuple[str, ...] = ()

    def get(self, name: str) -> str:
        """Return the cell of a field, "" where the table has none."""
        return self.values.get(name, "")


ReadRow: TypeAlias = Callable[[SheetRow], Item]
_SheetOf: TypeAlias = Callable[[Sequence[str]], "Sheet | None"]


@frozen
class Sheet:
    """A table as one source writes it.

    `columns` gives the names that each field may have in the header, `needed` the fields without which it is another
    table, `foreign` the names with which it is one too. `section_of` returns the section that a row opens, "" for none.
    """

    name: str
    columns: Mapping[str, Sequence[str]]
    needed: tuple[str, ...]
    read: ReadRow = field(repr=False)
    foreign: frozenset[str] = frozenset()
    section_of: Callable[[Sequence[str]], str] = field(default=lambda _: "", repr=False)

    def places(self, header: Sequence[str]) -> dict[str, int]:
        """Return the place of each field in a header."""
        there = {_plain(name): place for place, name in reversed(list(enumerate(header)))}
        found = {}
        for known, names in self.columns.items():
            place = next((there[_plain(name)] for name in names if _plain(name) in there), None)
            if place is not None:
                found[known] = place
        return found

    @cached_property
    def _names(self) -> tuple[frozenset[str], ...]:
        return tuple(frozenset(map(_plain, self.columns[field])) for field in self.needed)

    @cached_property
    def telling(self) -> frozenset[str]:
        """The names, as `_plain` writes them, by which a header is told."""
        return self.foreign.union(*self._names)

    def heads(self, names: frozenset[str]) -> bool:
        """Whether the cells of a row, as `_plain` writes them, are the header of this table."""
        return all(map(names.intersection, self._names)) and self.foreign.isdisjoint(names)


def items_of(text: str, name: str, sheets: Sequence[Sheet]) -> tuple[str, list[Item]]:
    """Return the name of the first table found and what every row that is not blank says.

    Raises
    ------
    InputError
        The text is no CSV, or no row of it is a header that is known.
    """
    for delimiter in _DELIMITERS:
        try:
            lines = _lines(text, name, delimiter)
        except InputError:
            continue  # quotation marks make no sense with this one; the last line below says so of commas
        sheet_of = _telling(sheets)
        if first := next((sheet for _, row in lines if (sheet := sheet_of(row))), None):
            return first.name, list(_items(lines, name, sheet_of))
    raise _no_header(_lines(text, name, ","), name, sheets)


def _items(lines: Iterable[tuple[int, tuple[str, ...]]], name: str, sheet_of: _SheetOf) -> Iterator[Item]:
    sheet: Sheet | None = None
    header, places = tuple[str, ...](), dict[str, int]()
    doubled: dict[str, list[int]] = {}
    sections: tuple[str, ...] = ()
    for line, cells in lines:
        place, text = f"{name} row {line}", ", ".join(filter(None, cells))
        if not text:
            continue
        if headed := sheet_of(cells):
            sheet, header, places, sections = headed, cells, headed.places(cells), ()
            doubled = _doubled(header, places)
            yield Aside(place, text, f"The header of a table ({sheet.name}).")
        elif sheet is None:
            yield Aside(place, text, "Stands before the table.")
        elif opened := sheet.section_of(cells):
            sections = (*sections, opened)
            yield Aside(place, text, "Opens a section.")
        else:
            values = {field: cells[at] for field, at in places.items() if at < len(cells)}
            item = sheet.read(SheetRow(place, text, cells, values, sections))
            wrong = _ambiguous(cells, header, doubled) if isinstance(item, Holding | Money) else ""
            yield Unread(place, text, wrong) if wrong else item


def _doubled(header: Sequence[str], places: Mapping[str, int]) -> dict[str, list[int]]:
    """Return the places of each column that is used and whose name stands more than once in the header."""
    named = [_plain(name) for name in header]
    wanted = {header[at]: [place for place, name in enumerate(named) if name == named[at]] for at in places.values()}
    return {name: found for name, found in wanted.items() if len(found) > 1}


def _ambiguous(cells: Sequence[str], header: Sequence[str], doubled: Mapping[str, Sequence[int]]) -> str:
    """Return why it cannot be told under which column a cell of a row belongs, "" where it can."""
    if len(cells) > len(header) and any(cells[len(header) :]):
        fix = "Is there a comma in a number or a name? Put it in quotation marks."
        return f"{counted(len(cells), 'field')} under {counted(len(header), 'column')}. {fix}"
    for name, places in doubled.items():
        said = dict.fromkeys(cells[at] for at in places if at < len(cells))
        if len(said) > 1:
            return f"Columns called {name!r} say {listed(map(repr, said))}. Keep one of the columns."
    return ""


def _lines(text: str, name: str, delimiter: str) -> list[tuple[int, tuple[str, ...]]]:
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, tuple(map(str.strip, row))) for row in reader]
    except csv.Error as error:
        fix = "Export it again, or mend the quotation marks."
        raise InputError([Problem(f"is no readable CSV: {error}.", f"{name} row {reader.line_num}", fix)]) from error


def _telling(sheets: Sequence[Sheet]) -> _SheetOf:
    """Return what tells of a row the table that it heads, if any. Each distinct cell is looked at once."""
    telling = frozenset[str]().union(*(sheet.telling for sheet in sheets))

    @cache
    def name_of(cell: str) -> str:
        return name if (name := _plain(cell)) in telling else ""

    def sheet_of(row: Sequence[str]) -> Sheet | None:
        names = frozenset(map(name_of, row))
        return None if names <= _NO_NAMES else next((sheet for sheet in sheets if sheet.heads(names)), None)

    return sheet_of


def _no_header(lines: Iterable[tuple[int, tuple[str, ...]]], name: str, sheets: Sequence[Sheet]) -> InputError:
    """Return the error for a file without a known header, with the nearest one and what it lacks."""
    share, line, sheet, row = max(
        (
            (len(set(sheet.needed) & sheet.places(row).keys()) / len(sheet.needed), -line, sheet, row)
            for line, row in lines
            for sheet in sheets
        ),
        key=lambda each: each[:2],
        default=(0.0, 0, None, []),
    )
    if sheet is None or share < _ALMOST:
        known = ", ".join(sheet.name for sheet in sheets)
        fix = f"Known tables: {known}. Any table with the columns symbol and quantity is read too."
        return InputError([Problem("has no header that is known.", name, fix)])
    where, problems = f"{name} row {-line}", []
    if share == 1.0:  # and it is no header of that table all the same
        fix = "Export the positions; trades are not added up."
        return InputError([Problem("is the header of a list of trades, not of positions.", where, fix)])
    for lacks in sorted(set(sheet.needed) - sheet.places(row).keys()):
        column = sheet.columns[lacks][0]
        near = get_close_matches(column, [cell for cell in row if cell], n=1, cutoff=0.5)
        fix = f"Did you mean it by {near[0]!r}? Rename that column." if near else "Export the table with it."
        problems.append(Problem(f"the column {column!r} of the table {sheet.name} is missing.", where, fix))
    return InputError(problems)


def _plain(name: str) -> str:
    return _PASSED_OVER.sub("", name.casefold())
