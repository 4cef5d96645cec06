"""Paths and open files that a caller hands in: what is neither is refused in words.

Call `as_path(path)`, or `check_source(source)` where an open file will do too.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from crossmargin.errors import InputError, Problem, check_kinds, kind_given


def as_path(path: Any, where: str = "path") -> Path:
    """Return a path; raise `InputError` for anything but a text or a path."""
    check_kinds(**{where: (path, (str, PathLike), "Give the path of a file.")})
    return Path(path)


def check_source(source: object) -> None:
    """Raise `InputError` for what is neither a path nor an open file."""
    if not isinstance(source, str | PathLike) and not hasattr(source, "read"):
        fix = "Give the path of a file, or an open file."
        raise InputError([Problem(f"{kind_given(source)} was given.", "source", fix)])
