"""Objects in files that other processes map: written once, read by all, checked on the way in.

Call `publish(value, folder)` for a small handle that can be sent anywhere, `fetch(handle)` where the value is needed;
`kept_file(store)` for P&L that run after run reads, in one file for as long as it lives. Arrays lie in the file as they
do in memory; whoever maps them shares the pages, and what one writes into its arrays is its own. The checksum is
against accidents, not against enemies: a handle and its file are to be trusted.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4
from weakref import finalize

import numpy as np
from attrs import evolve, frozen

from crossmargin.errors import CrossMarginError, InputError, Problem
from crossmargin.pricing.many_pools import Store

_ALIGNED = 64  # bytes; whole vectors, whole lines of the cache
_PAGE = 4096  # bytes
_PAGES = 256  # summed at a time: they stay in the second-level cache


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
    parts = _parts(value)
    return _written(parts, _digest(parts), folder)


def kept_file(store: Store) -> Handle:
    """Return where P&L lies: written when it is first asked for, and again where a number in it has changed since.

    The file goes with the last of this handle and of the store, or with the process.

    Raises
    ------
    CrossMarginError
        The file cannot be written; nothing of it stays.
    """
    parts = _parts(evolve(store, made_of=None))
    digest, known = _digest(parts), store.sent.get("file")
    if known is None or known.digest != digest or not Path(known.path).is_file():
        folder = mkdtemp(prefix="crossmargin-")
        try:
            known = _written(parts, digest, folder)
        except BaseException:
            rmtree(folder, ignore_errors=True)
            raise
        finalize(known, _removed, folder, os.getpid())
        store.sent["file"] = known
    return known


def content(store: Store) -> str:
    """Return a hash of P&L, which says whether a number in it has changed."""
    return _digest(_parts(evolve(store, made_of=None)))


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
    if _digest(parts) != handle.digest:
        raise CorruptShard(f"{handle.path}: is not what was written; its checksum differs.")
    *arrays, head = parts
    return pickle.loads(head, buffers=arrays)  # noqa: S301 - written by this run, checked above


@lru_cache(maxsize=1)
def fetch_once(handle: Handle) -> Any:
    """Return a published value that every task of a run needs; a process keeps the last one."""
    return fetch(handle)


@lru_cache(maxsize=1)
def fetch_kept(handle: Handle) -> Any:
    """Return P&L that run after run needs; a process keeps the last one."""
    return fetch(handle)


def checksum(raw: Any) -> bytes:
    """Return a hash of weighted sums of 8-byte words, page by page, at memory speed.

    Any one changed word shows, and, but for a chance of one in a billion or less, any other change. The upper half of a
    word is mixed into the lower one: in round numbers the lower one is 0, and so would be what weights make of it.
    """
    data = np.frombuffer(raw, dtype=np.uint8)
    whole = len(data) // _PAGE * _PAGE
    words = data[:whole].view(np.uint64).reshape(-1, _PAGE // 8)
    weights = np.frombuffer(hashlib.shake_256(b"weights").digest(_PAGE), dtype=np.uint64) | np.uint64(1)
    found = hashlib.sha256(len(data).to_bytes(8, "little") + data[whole:].tobytes())
    for first in range(0, len(words), _PAGES):
        some = words[first : first + _PAGES]
        found.update(np.einsum("ij,j->i", some ^ (some >> np.uint64(32)), weights).tobytes())
    return found.digest()


def _parts(value: Any) -> list[memoryview]:
    """Return the bytes of a value: its arrays as they lie in memory, then all else."""
    arrays: list[pickle.PickleBuffer] = []
    try:
        head = pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        fix = "Give functions and classes of a module, no lambdas and nothing that is open."
        raise InputError([Problem(f"cannot be sent to another process: {error}.", "engine", fix)]) from error
    return [*(each.raw() for each in arrays), memoryview(head)]


def _digest(parts: Iterable[memoryview]) -> str:
    return hashlib.sha256(b"".join(checksum(part) for part in parts)).hexdigest()


def _written(parts: Iterable[memoryview], digest: str, folder: str | os.PathLike[str]) -> Handle:
    path, places, end = Path(folder) / f"{uuid4().hex}.shard", [], 0
    with written_whole(path) as beside, beside.open("wb") as file:
        for raw in parts:
            begin = -(-end // _ALIGNED) * _ALIGNED
            file.write(b"\0" * (begin - end))
            file.write(raw)
            places.append((begin, len(raw)))
            end = begin + len(raw)
    return Handle(str(path), tuple(places), digest)


def _removed(folder: str, process: int) -> None:
    """Remove a folder, in the process that made it: one that was split off has the same objects, and not the file."""
    if os.getpid() == process:
        rmtree(folder, ignore_errors=True)


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
