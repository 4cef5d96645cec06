"""The library's own reports, known by their beginning, so that one taken for a book is refused in words.

Call `refuse_own_report(path)` before a file is read as positions. Reports are written by `report_files` and `page`.
"""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from os import SEEK_END
from pathlib import Path
from typing import IO

from crossmargin.documents import RECORD, SCHEMAS
from crossmargin.errors import InputError, Problem

_LOOKED_AT = 1 << 16  # bytes
_NAMED = re.compile(r'\{\s*"schema"\s*:\s*"(crossmargin/[a-z]+)/\d+"')
_SHEETS = (b'name="Figures"', b'name="Lines"')


def own_form(file: Path) -> str:
    """Return what a report of the library is written as, "json" where that is read back; "" for all else."""
    try:
        with file.open("rb") as opened:
            if zipfile.is_zipfile(opened):
                return _of_archive(opened)
            opened.seek(0)
            packed = opened.read(2) == b"\x1f\x8b"
            opened.seek(0)
            head = (gzip.GzipFile(fileobj=opened) if packed else opened).read(_LOOKED_AT)
            if head.startswith(b"PAR1"):
                opened.seek(-min(file.stat().st_size, _LOOKED_AT), SEEK_END)
                foot = opened.read()
                return "parquet" if any(schema.encode() in foot for schema in SCHEMAS) else ""
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, KeyError):
        return ""  # what cannot be read is told by who reads it
    return _of_text(head.decode("utf-8-sig", errors="replace").lstrip())


def refuse_own_report(file: Path) -> None:
    """Raise `InputError` when a file is a report that the library wrote."""
    if own_form(file):
        fix = "Give the book that was margined; of reports only the JSON is read back, by read_report."
        raise InputError([Problem("is a report of crossmargin, not a book.", str(file), fix)])


def _of_archive(opened: IO[bytes]) -> str:
    with zipfile.ZipFile(opened) as archive, archive.open("xl/workbook.xml") as sheets:
        told = sheets.read(_LOOKED_AT)
    return "xlsx" if all(name in told for name in _SHEETS) else ""


def _of_text(text: str) -> str:
    if named := _NAMED.match(text):
        return "json" if any(schema.startswith(named[1]) for schema in SCHEMAS) else "json that is not read back"
    if text.startswith("<"):
        return "html" if ".crossmargin {" in text else ""
    return "csv" if text.startswith(",".join(RECORD)) else ""
