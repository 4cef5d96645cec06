"""A journal of steps that an interrupted run takes up again, and files that are written whole or not at all.

`open_journal(path, header)` reads what is done; `append` adds a step. A journal is text, one JSON object a line, the
first of which says what it is of. What the steps mean is the caller's affair.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any, TypeAlias

from attrs import frozen

from crossmargin.errors import InputError, Problem

Record: TypeAlias = dict[str, Any]


@frozen
class Journal:
    """A file of steps and those that stood in it when it was opened."""

    path: Path
    done: tuple[Record, ...]


def open_journal(path: str | os.PathLike[str], header: Mapping[str, Any]) -> Journal:
    """Return the journal at a path: a new one, or the one there with the steps that are done.

    A last line without its end was being written when the run stopped; it is cut off.

    Parameters
    ----------
    header : mapping
        What the steps are of; plain data.

    Raises
    ------
    InputError
        The journal there is of something else, naming what differs, or one of its lines is no JSON object.
    """
    file = Path(path)
    lines = _whole_lines(file) if file.exists() else []
    wanted: Record = json.loads(_line(header))
    if not lines:
        write_whole(file, _line(wanted))
        return Journal(file, ())
    found, *done = [_read(line, f"{file} row {number}") for number, line in enumerate(lines, start=1)]
    if found != wanted:
        differ = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
        fix = "Choose another folder, or remove this file to begin anew."
        raise InputError([Problem(f"is of another run: {', '.join(differ)} differ.", str(file), fix)])
    return Journal(file, tuple(done))


def append(journal: Journal, step: Mapping[str, Any]) -> Record:
    """Write one step to the end of the file and return it as it will be read back."""
    line = _line(step)
    with journal.path.open("a", encoding="utf-8", newline="") as file:
        file.write(line)
    read: Record = json.loads(line)
    return read


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file so that a reader finds the old one or the new one, never a part; an OSError names the file."""
    file = Path(path)
    beside = file.with_name(f".{file.name}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="")
        beside.replace(file)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(file)) from error


def csv_text(records: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    r"""Return records as CSV; None is an empty field, a list its items with semicolons between.

    Examples
    --------
    >>> csv_text([{"book": "a", "total": 1.5, "of": None}], ["book", "total", "of"])
    'book,total,of\na,1.5,\n'
    """
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(record.get(name)) for name in columns] for record in records)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


def _whole_lines(file: Path) -> list[str]:
    """Return the complete lines of a file, and cut off what comes after them."""
    data = file.read_bytes()
    end = data.rfind(b"\n") + 1
    if end < len(data):
        with file.open("r+b") as opened:
            opened.truncate(end)
    return data[:end].decode("utf-8", errors="replace").splitlines()


def _read(line: str, where: str) -> Record:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        fix = "Remove this line and those below it; the run does them again."
        raise InputError([Problem("is no JSON object.", where, fix)])
    return found
