"""CSV tables as they come: unpacked, split into rows, dates and numbers read with every bad field noted.

Call `read_table`, then `dated_rows` and `numbers`; they note problems and leave it to the caller to raise.
Nothing here knows what a column means.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Sequence
from datetime import date
from io import StringIO
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import IO

import numpy as np
from attrs import frozen

from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, counted
from crossmargin.io.paths import check_source

Source = str | PathLike[str] | IO[str] | IO[bytes]
Row = tuple[int, tuple[str, ...]]

MISSING = frozenset({"", ".", "N/A", "NA", "ND", "nan", "NaN"})

_GZIP = b"\x1f\x8b"


@frozen
class Table:
    """A CSV file: its name, its header, and its rows with their line numbers."""

    name: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(source: Source) -> Table:
    """Return the rows of a path or an open file, unpacked when it is gzip."""
    if isinstance(source, str | PathLike):
        path = Path(source)
        try:
            return table_of(path.read_bytes(), path.name)
        except OSError as error:
            what = f"cannot be read: {error.strerror or error}."
            raise InputError([Problem(what, str(path), "Give the path of a CSV file.")]) from error
    check_source(source)
    data = source.read()
    name = Path(str(getattr(source, "name", "open file"))).name
    return table_of(data.encode() if isinstance(data, str) else data, name)


def table_of(data: bytes, name: str) -> Table:
    """Return the rows of the bytes of a file, without blank lines and blank columns at the end.

    Raises
    ------
    InputError
        It is no CSV.
    """
    reader = csv.reader(())
    try:
        plain = gzip.decompress(data) if data.startswith(_GZIP) else data
        text = plain.decode("utf-8-sig")
        if (at := text.find("\0")) >= 0:
            where, fix = f"{name} row {text[:at].count(chr(10)) + 1}", "Save it in UTF-8, not in UTF-16."
            raise InputError([Problem("holds a null character.", where, fix)])
        reader = csv.reader(StringIO(text, newline=""), strict=True)
        lines = [(reader.line_num, tuple(map(str.strip, row))) for row in reader]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        fix = "Save it as CSV in UTF-8, plain or gzip."
        where = f"{name} row {reader.line_num}" if reader.line_num else name
        raise InputError([Problem(f"is no readable CSV: {error}.", where, fix)]) from error
    filled = [(number, row) for number, row in lines if any(row)]
    if not filled:
        raise InputError([Problem("is empty.", name, "Give a header and one row for each date.")])
    return Table(name, filled[0][1], tuple(filled[1:])) if filled[0][1][-1] else _trimmed(name, filled)


def _trimmed(name: str, filled: Sequence[Row]) -> Table:
    """Return a table without the nameless columns at its end, as far as nothing stands in them."""
    header = filled[0][1]
    width = max(place for place, cell in enumerate(header, start=1) if cell)
    if any(any(row[width:]) for _, row in filled):
        return Table(name, header, tuple(filled[1:]))
    return Table(name, header[:width], tuple((number, row[:width]) for number, row in filled[1:]))


def header_of(path: Path) -> tuple[str, ...]:
    """Return the header of a CSV file without reading the rest; empty for text that is no CSV in UTF-8."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            lines = gzip.GzipFile(fileobj=file) if packed else file
            first = next((line for line in lines if line.strip()), b"")
        return tuple(name.strip() for name in next(csv.reader([first.decode("utf-8-sig")]), []))
    except (UnicodeDecodeError, csv.Error):
        return ()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError([Problem(f"cannot be read: {error}.", path.name, "Mend or remove it.")]) from error


def dated_rows(table: Table, names: Sequence[str], problems: list[Problem]) -> tuple[list[date], list[Row]]:
    """Return the dates and the rows that have one, and note rows that are short, undated or doubled."""
    column = next((table.header.index(name) for name in names if name in table.header), None)
    if column is None:
        fix = f"Name the column of dates {names[0]!r}."
        problems.append(Problem("no column of dates.", f"{table.name} header", fix))
        return [], []
    dates: dict[date, int] = {}
    rows = []
    for line, row in table.rows:
        where = f"{table.name} row {line}"
        if len(row) != len(table.header):
            fix = f"Give {len(table.header)}, as in the header."
            problems.append(Problem(f"{counted(len(row), 'field')}.", where, fix))
            continue
        day = _date_of(row[column])
        if day is None:
            what = f"{row[column]!r} is no date."
            where = f"{where}, field {table.header[column]!r}"
            problems.append(Problem(what, where, "Write 2026-06-30 or 06/30/2026."))
        elif day in dates:
            problems.append(Problem(f"{day} stands in row {dates[day]} too.", where, "Keep one of the rows."))
        else:
            dates[day] = line
            rows.append((line, row))
    return list(dates), rows


def _date_of(text: str) -> date | None:
    """Return the date of "2026-06-30", "06/30/2026" or "06/30/26" (1970 to 2069), else None."""
    try:
        if "/" not in text:
            return date.fromisoformat(text)
        month, day, year = (int(part) for part in text.split("/"))
        return date(year if year >= 100 else year + (2000 if year < 70 else 1900), month, day)
    except ValueError:
        return None


def numbers(table: Table, rows: Sequence[Row], columns: Sequence[int], problems: list[Problem]) -> FloatArray:
    """Return [n_rows, n_columns] numbers, NaN where a field is blank; note the fields that are neither."""
    values = np.full((len(rows), len(columns)), np.nan)
    for place, (line, row) in enumerate(rows):
        for position, column in enumerate(columns):
            text = row[column]
            if text in MISSING:
                continue
            number = _number_of(text)
            if number is None:
                where = f"{table.name} row {line}, field {table.header[column]!r}"
                problems.append(Problem(f"{text!r} is no number.", where, "Give a number, or leave it blank."))
            else:
                values[place, position] = number
    return values


def _number_of(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) and "_" not in text else None  # Python reads 1_0 as ten; a CSV does not
