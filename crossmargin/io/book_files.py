"""The files of a book as entries: TOML or JSON, and the CSV that a section may name.

Call `read_draft(file, problems)`: it gives the entries of each section with their places, and notes what is none.
What an entry means is told in `book_products`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

from crossmargin.errors import InputError, Problem, Problems, counted, suggestion
from crossmargin.io import book_fields as fields
from crossmargin.io.book_fields import Columns
from crossmargin.io.entries import Entry, filled
from crossmargin.io.own_reports import refuse_own_report
from crossmargin.io.tables import Table, table_of

Draft: TypeAlias = Mapping[str, list[Entry]]

_SAVE = "Save it in UTF-8, not in UTF-16 or a code page."
_GZIP = b"\x1f\x8b"


def read_draft(file: Path, problems: Problems) -> Draft:
    """Return the entries of each section, noting what is none; raise when the file cannot be read at all."""
    document = _document(file)
    for name in document:
        if name not in fields.SECTIONS:
            problems.add(f"unknown section {name!r}.", where=file.name, fix=suggestion(name, fields.SECTIONS))
    if "positions" not in document:
        fix = 'Write positions = "positions.csv" above the first [[section]], or [[positions]] for each one.'
        problems.add("no positions are given.", where=file.name, fix=fix)
    return {name: list(_entries(document.get(name, []), name, file, problems)) for name in fields.SECTIONS}


def _document(file: Path) -> dict[str, Any]:
    refuse_own_report(file)
    parsers: Mapping[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}
    if file.suffix.lower() not in parsers:
        fix = "Name the .toml or .json file of the book; a CSV of positions is named inside it."
        raise InputError([Problem("is no book.", str(file), fix)])
    content = _text_of(file, "Give the path of a book.")
    if not content.strip():
        raise InputError([Problem("is empty.", str(file), f"A book holds {', '.join(fields.SECTIONS)}.")])
    try:
        document = parsers[file.suffix.lower()](content)
    except (ValueError, RecursionError) as error:
        what = f"is no readable {file.suffix[1:].upper()}: {error}."
        raise InputError([Problem(what, str(file), "Mend the syntax there.")]) from error
    if not isinstance(document, dict):
        raise InputError([Problem("is no object.", str(file), f"Give {{...}} with {', '.join(fields.SECTIONS)}.")])
    return document


def _text_of(file: Path, fix: str) -> str:
    try:
        data = file.read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data.startswith(_GZIP):
            raise InputError([Problem("is packed.", str(file), "Unpack it: the files of a book are plain.")]) from error
        row = data[: error.start].count(b"\n") + 1
        raise InputError([Problem(f"row {row} is not in UTF-8: {error.reason}.", str(file), _SAVE)]) from error
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        what = f"cannot be read: {getattr(error, 'strerror', None) or error}."
        raise InputError([Problem(what, str(file), fix)]) from error


def _entries(section: Any, name: str, file: Path, problems: Problems) -> Iterator[Entry]:
    """Yield the entries of one section: a list of tables, or the rows of the CSV named where the section may be one."""
    if name in fields.IN_CSV and isinstance(section, str):
        with problems.collecting():
            yield from _csv_entries(file.parent / section, fields.IN_CSV[name], problems)
        return
    if not isinstance(section, list):
        problems.add("is no list of tables.", where=f"{file.name} {name}", fix=f"Write [[{name}]] for each one.")
        return
    for count, values in enumerate(section, start=1):
        where = f"{file.name} {name} {count}"
        if isinstance(values, dict):
            yield Entry(where, filled(values), problems)
        else:
            problems.add(f"{values!r} is no table.", where=where, fix=f"Write [[{name}]] for each one.")


def _csv_entries(file: Path, columns: Columns, problems: Problems) -> Iterator[Entry]:
    refuse_own_report(file)
    content = _text_of(file, "Write its path from the folder of the book.")
    if not content.strip("\r\n\t ,"):
        raise InputError([Problem("is empty.", str(file), f"Give a header: {','.join(columns.names)}.")])
    table = table_of(content.encode(), file.name)
    excused, width = _check_header(table, columns, problems), len(table.header)
    names, terms_in = frozenset(columns.names), _terms_in(table.header, columns)
    for line, cells in table.rows:
        where = f"{table.name} row {line}"
        if "\n" in "".join(cells):
            fix = "Close the quotation mark in the row where it opens."
            problems.add("a field runs over the end of a line.", where=where, fix=fix)
        elif any(cells[width:]):
            fix = "Is there a comma in a number or a name? Leave it out, or put the field in quotation marks."
            problems.add(f"{counted(len(cells), 'field')} under {counted(width, 'column')}.", where=where, fix=fix)
        else:
            told = dict(zip(table.header, cells, strict=False)).items()
            values = {name: cell for name, cell in told if cell and name in names}
            yield Entry(where, values, problems, excused, terms_in(cells) if len(cells) >= width else None)


def _terms_in(header: Sequence[str], columns: Columns) -> Callable[[Sequence[str]], object]:
    """Return what picks from the cells of a row all that it says but for the fields of its own."""
    shared = [place for place, name in enumerate(header) if name not in columns.own]
    return itemgetter(*shared) if shared else lambda _: None


def _check_header(table: Table, columns: Columns, problems: Problems) -> frozenset[str]:
    """Note columns that are unknown, doubled or missing; return the missing ones."""
    where = f"{table.name} header"
    if len(table.header) == 1:
        problems.add("holds one column.", where=where, fix="Separate columns by commas, not by semicolons or tabs.")
    for name in dict.fromkeys(table.header):
        if name not in columns.names:
            fix = suggestion(name, columns.names) if name else "Name it or remove it."
            problems.add(f"no {columns.what} has such a field.", where=f"{where}, column {name!r}", fix=fix)
        elif table.header.count(name) > 1:
            problems.add("stands twice.", where=f"{where}, column {name!r}", fix="Keep one of the columns.")
    missing = [name for name in columns.needed if name not in table.header]
    for name in missing:
        problems.add("the column is missing.", where=f"{where}, column {name!r}", fix=f"Every {columns.what} needs it.")
    return frozenset(missing)
