"""Objects in files that other processes map: written once, read by all, checked on the way in.

Call `publish(value, folder)` for a small handle that can be sent anywhere, `fetch(handle)` where the value is needed.
Arrays lie in the file as they do in memory; whoever maps them shares the pages, and what one writes into its arrays is
its own. The checksum is against accidents, not against enemies: a handle and its file are to be trusted.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from attrs import frozen

from crossmargin.errors import CrossMarginError, InputError, Problem

_ALIGNED = 64  # bytes; whole vectors, whole lines of the cache
_PAGE = 4096


class CorruptShard(CrossMarginError):
    """A file of a shard is missing, cut short or not what was written."""


@frozen
class Handle:
    """Where a published value lies: its file, the begin and length of each part, the checksum of all of it."""

    path: str
    parts: tuple[tuple[int, int], ...]
    digest: str


def publish(value: Any, folder: str | os.PathLike[str]) -> Handle:
    """Write a value to a new file of a folder.

    Raises
    ------
    InputError
        The value has something in it that cannot be sent to another process.
    CrossMarginError
        The file cannot be written; nothing of it stays.
    """
    arrays: list[pickle.PickleBuffer] = []
    try:
        head = pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        fix = "Give functions and classes of a module, no lambdas and nothing that is open."
        raise InputError([Problem(f"cannot be sent to another process: {error}.", "engine", fix)]) from error
    path = Path(folder) / f"{uuid4().hex}.shard"
    parts, end, found = [], 0, hashlib.sha256()
    with written_whole(path) as beside, beside.open("wb") as file:
        for raw in (*(each.raw() for each in arrays), memoryview(head)):
            begin = -(-end // _ALIGNED) * _ALIGNED
            file.write(b"\0" * (begin - end))
            file.write(raw)
            found.update(checksum(raw))
            parts.append((begin, len(raw)))
            end = begin + len(raw)
    return Handle(str(path), tuple(parts), found.hexdigest())


def fetch(handle: Handle) -> Any:
    """Return a published value, its arrays mapped.

    Raises
    ------
    CorruptShard
    """
    try:
        with Path(handle.path).open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise CorruptShard(f"{handle.path}: cannot be read ({error}).") from error
    parts = [mapped[begin : begin + length] for begin, length in handle.parts]
    found = hashlib.sha256()
    for part in parts:
        found.update(checksum(part))
    if found.hexdigest() != handle.digest:
        raise CorruptShard(f"{handle.path}: is not what was written; its checksum differs.")
    *arrays, head = parts
    return pickle.loads(head, buffers=arrays)  # noqa: S301 - written by this run, checked above


@lru_cache(maxsize=1)
def fetch_once(handle: Handle) -> Any:
    """Return a published value that every task of a run needs; a process keeps the last one."""
    return fetch(handle)


def checksum(raw: Any) -> bytes:
    """Return a hash of the sums of rows and columns of 8-byte words: any one changed word shows, at memory speed."""
    data = np.frombuffer(raw, dtype=np.uint8)
    whole = len(data) // _PAGE * _PAGE
    words = data[:whole].view(np.uint64).reshape(-1, _PAGE // 8)
    sums = words.sum(axis=0).tobytes(), words.sum(axis=1).tobytes(), data[whole:].tobytes()
    return hashlib.sha256(b"".join(sums) + len(data).to_bytes(8, "little")).digest()


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` that takes its place once all is written, and goes away when anything fails.

    Raises
    ------
    CrossMarginError
        The system cannot write it, such as for want of room.
    """
    beside = path.with_name(f".{uuid4().hex}.part")  # two workers may write the same shard
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        fix = "Make room and allow writing, or choose another folder (TMPDIR for temporary files), and run again."
        raise CrossMarginError(f"{path}: cannot be written ({error.strerror or error}). {fix}") from error
    finally:
        with suppress(OSError):  # where it cannot be removed, it was not made; what went wrong is told above
            beside.unlink()
