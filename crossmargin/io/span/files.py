"""SPAN risk-parameter files from a disk: `read_span` for positional `.pa2` and XML `.spn`, `write_span` for the former.

Both formats may be packed with gzip or zip. What is read stays within bounds: of unpacked bytes, of line lengths, of
records, of depth. The formats themselves are in `positional` and `xml`; nothing is fetched from anywhere.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import IO, Any, cast

from crossmargin.errors import InputError, Problem, Problems
from crossmargin.io.paths import check_source
from crossmargin.io.span.positional import read_positional
from crossmargin.io.span.records import format_record
from crossmargin.io.span.tables import SpanFile
from crossmargin.io.span.xml import read_xml

MOST_BYTES = 1 << 29  # unpacked; a day of CME has 86 million
BLOCK = 1 << 22

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PACKINGS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_DAMAGED = (EOFError, OSError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError)


def read_span(source: str | PathLike[str] | IO[bytes], *, most_bytes: int = MOST_BYTES) -> SpanFile:
    """Return what a risk-parameter file holds.

    Parameters
    ----------
    source
        Path or open binary file: expanded unpacked positional (`U2`) or XML, plain, gzip, or zip with one file in it.
    most_bytes
        Bytes that it may have unpacked, so that a small packed file cannot fill the memory.

    Returns
    -------
    SpanFile
        Contracts in columns, the rest in tables. Records of unknown types are counted in `skipped`; what could not be
        used is in `notes`, and what the calculation lacks among the gaps of a combined commodity.

    Raises
    ------
    InputError
        Listing what cannot be read with line number, record type, field and columns; for a file that is cut short,
        too large, or neither format.

    References
    ----------
    CME Group, public SPAN documentation, page 457083445 (positional layouts); SPAN XML schema, file format 4.00.
    """
    name, file = _opened(source)
    with nullcontext(file) if file is source else file:
        blocks = _bounded(_unpacked(file, name, most_bytes), name, most_bytes)
        first = next(blocks, b"").removeprefix(b"\xef\xbb\xbf")
        whole = _chained(first, blocks)
        is_xml = first.lstrip()[:1] == b"<" or first[:2] in _UTF16
        return read_xml(whole, name) if is_xml else read_positional(whole, name)


def write_span(path: str | PathLike[str], records: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Write records as a positional file; a path that ends in `.gz` or `.zip` is packed.

    Parameters
    ----------
    path
        File to write.
    records
        Record types and the fields of each, as `records.format_record` takes them.

    Raises
    ------
    InputError
        Listing every record that does not fit its layout, by number; then nothing is written.
    """
    problems, lines = Problems(), []
    for number, (code, values) in enumerate(records, start=1):
        try:
            lines.append(format_record(code, values))
        except InputError as error:
            problems.extend(Problem(each.what, f"line {number}, {each.where}", each.fix) for each in error.problems)
    problems.raise_if_any("The file cannot be written")
    write_lines(path, lines)


def write_lines(path: str | PathLike[str], lines: Iterable[str]) -> None:
    """Write lines as they are, packed as the path asks."""
    target = Path(path)
    encoded = (f"{line}\n".encode("latin-1") for line in lines)
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed, packed.open(target.stem, "w") as member:
            member.writelines(encoded)
        return
    with gzip.open(target, "wb") if target.suffix == ".gz" else target.open("wb") as file:
        file.writelines(encoded)


def _opened(source: str | PathLike[str] | IO[bytes]) -> tuple[str, IO[bytes]]:
    check_source(source)
    if not isinstance(source, str | PathLike):
        return Path(str(getattr(source, "name", "open file"))).name, source
    path = Path(source)
    try:
        return path.name, path.open("rb")
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}."
        raise InputError([Problem(what, str(path), "Give the path of a SPAN risk-parameter file.")]) from error


def _unpacked(file: IO[bytes], name: str, most: int) -> IO[bytes]:
    """Return the file, or what is packed in it."""
    try:
        head = file.read(4)
        if not isinstance(head, bytes):
            raise InputError([Problem("is open as text.", name, "Open it as binary, or give the path.")])
        file.seek(0)
        if head.startswith(_GZIP):
            return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
        return _member(zipfile.ZipFile(file), name, most) if head == _ZIP else file
    except _DAMAGED as error:
        raise _damaged(error, name) from error


def _member(packed: zipfile.ZipFile, name: str, most: int) -> IO[bytes]:
    members = [each for each in packed.infolist() if not each.is_dir()]
    if len(members) != 1:
        shown = ", ".join(repr(each.filename) for each in members[:5])
        fix = f"It holds {shown or 'none'}: unpack the one that is meant."
        raise InputError([Problem(f"{len(members)} files in the archive.", name, fix)])
    if members[0].compress_type not in _PACKINGS or members[0].flag_bits & 1:
        raise InputError([Problem("packed by an unusual method or under a password.", name, "Unpack it first.")])
    if members[0].file_size > most:
        raise _too_large(name, most)
    return packed.open(members[0])


def _bounded(file: IO[bytes], name: str, most: int) -> Iterator[bytes]:
    """Yield the bytes in blocks, as long as they are not too many."""
    total = 0
    while True:
        try:
            block = file.read(BLOCK)
        except _DAMAGED as error:
            raise _damaged(error, name) from error
        if not block:
            return
        total += len(block)
        if total > most:
            raise _too_large(name, most)
        yield block


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _too_large(name: str, most: int) -> InputError:
    fix = "Is it a SPAN file? If so, allow more with `most_bytes`."
    return InputError([Problem(f"more than {most:,} bytes when unpacked.", name, fix)])


def _damaged(error: BaseException, name: str) -> InputError:
    what = f"is damaged or cut short: {error}."
    return InputError([Problem(what, name, "Take the file afresh.")])
