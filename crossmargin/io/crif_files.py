"""The text of a CRIF from a path or an open file, plain or packed with gzip or zip, as UTF-8 bytes.

Call `contents(source)`. Every line ends in a newline whatever it ended in, and a byte order mark is gone. Nothing here
knows what a column means; unpacked bytes are bounded, so that a small packed file cannot fill the memory.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import IO, TypeAlias

from crossmargin.errors import InputError, Problem
from crossmargin.io.paths import check_source

Source: TypeAlias = str | PathLike[str] | IO[str] | IO[bytes]

MOST_BYTES = 1 << 32  # unpacked; fifty million rows
_GZIP, _ZIP, _MARK = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06"), b"\xef\xbb\xbf"  # the second zip is empty
_DAMAGED = (EOFError, OSError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)


def contents(source: Source, *, most_bytes: int = MOST_BYTES) -> tuple[str, bytes]:
    r"""Return the name of a file and its text.

    Raises
    ------
    InputError
        The file cannot be read or unpacked, is no UTF-8, or has more than `most_bytes` unpacked.

    Examples
    --------
    >>> contents(BytesIO(gzip.compress(b"RiskType\r\n")))
    ('CRIF', b'RiskType\n')
    """
    check_source(source)
    named = source if isinstance(source, str | PathLike) else str(getattr(source, "name", "CRIF"))
    name = Path(named).name
    try:
        data = Path(source).read_bytes() if isinstance(source, str | PathLike) else source.read()
        data = data.encode() if isinstance(data, str) else _unpacked(data, name, most_bytes)
        if not data.isascii():
            data = data.removeprefix(_MARK)
            data.decode()
    except (*_DAMAGED, ValueError) as error:  # no UTF-8, or a path with a null byte
        fix = "Give a CRIF file in UTF-8, plain, gzip, or zip with one file in it."
        raise InputError([Problem(f"cannot be read: {_why(error)}.", str(named), fix)]) from error
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
    return name, data if data.endswith(b"\n") else data + b"\n"


def _why(error: Exception) -> str:
    """Return what is wrong in words of files, not of Python."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1:,} is no UTF-8"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _unpacked(data: bytes, name: str, most: int) -> bytes:
    if data.startswith(_GZIP):
        with gzip.GzipFile(fileobj=BytesIO(data)) as file:
            data = file.read(most + 1)
    elif data.startswith(_ZIP):
        with zipfile.ZipFile(BytesIO(data)) as archive, archive.open(_only_member(archive, name)) as member:
            data = member.read(most + 1)
    if len(data) > most:
        fix = "Split it, or allow more with most_bytes."
        raise InputError([Problem(f"has more than {most:,} bytes unpacked.", name, fix)])
    return data


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = [each for each in archive.infolist() if not each.is_dir()]
    if len(members) != 1:
        shown = ", ".join(repr(each.filename) for each in members[:5]) or "none"
        raise InputError([Problem(f"{len(members)} files in the archive.", name, f"Unpack the one meant: {shown}.")])
    return members[0]
