"""The one decorator that compiles a kernel, and where its machine code is kept between runs.

Use `@kernel("signature")`. It says once for all: no fast maths, so that neither the place of a scenario in a
block, nor the number of threads, nor the width of the processor's vectors changes a bit of a result; no GIL,
so that threads work side by side; NumPy's division, so that division does not stop vectorisation.

Why the signature is given: a kernel exists for one data type (or for both widths of a stored matrix) and one memory
layout. Anything else is a `TypeError` at once, never one more, slower or subtly different machine code.

Why the cache has a folder of its own. numba keys cached code by the source of the function's *own* file: edit
a callee in another file and the caller goes on with the old machine code. It also rewrites its index before
the code that the index points to, so that while a stale entry is replaced another process can load the old
one. Here the folder's name is a hash of every kernel's source, of numba's version, of the processor, of the
flags and of whether bounds are checked: what could be stale lies in another folder. Processes that start at
the same time write the same bytes through numba's atomic renames. When the folder cannot be written (a
read-only home), kernels compile anew in each process, a matter of seconds, and nothing else changes.

The folder is `crossmargin/` in the user's cache directory, or in `NUMBA_CACHE_DIR` when that is set. It may
be deleted at any time. `NUMBA_DISABLE_JIT=1` runs the kernels as plain Python. `NUMBA_BOUNDSCHECK=1` compiles
them, into a folder of their own, so that an index outside an array is an `IndexError`; numba itself would take
its unchecked code out of the cache.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numba
from numba.core import config as numba_config
from numba.core.registry import cpu_target

config: Any = numba_config  # its settings are made at run time; no type checker sees them
njit: Any = numba.njit

Function = TypeVar("Function", bound=Callable[..., Any])

FLAGS = {"nogil": True, "fastmath": False, "error_model": "numpy"}

_decorating = Lock()


def kernel(*signatures: str, inline: bool = False) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function for the signatures given, from the disk cache when it can.

    `inline` marks a small function that must vanish into the loops that call it: left to itself the compiler
    declines above a size and the loop silently stays scalar.
    """

    def compiled(function: Function) -> Function:
        with _decorating, _cache_folder() as writable:
            result: Function = njit(list(signatures), cache=writable, forceinline=inline, **FLAGS)(function)
        return result

    return compiled


def fingerprint() -> str:
    """Return the hash that names the cache folder: sources, versions, processor, flags, bounds checked or not."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    machine: Any = cpu_target.target_context.codegen().magic_tuple()  # platform, processor, its features
    flags = sorted([*FLAGS.items(), ("boundscheck", bool(config.BOUNDSCHECK))])
    digest.update(repr((numba.__version__, machine, flags)).encode())
    return digest.hexdigest()[:16]


def user_cache() -> Path:
    """Return the folder in which this user's programs keep what can be made again."""
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR)
    if sys.platform == "win32":  # pragma: no cover
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":  # pragma: no cover
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@contextmanager
def _cache_folder() -> Iterator[bool]:
    """Point numba at our folder while one kernel is decorated; yield whether it can be written.

    numba reads `config.CACHE_DIR` when a function is decorated and never again for that function. It is put
    back at once: the setting belongs to the user and to other libraries in the process.
    """
    folder = _writable_folder()
    before = config.CACHE_DIR
    if folder is not None:
        config.CACHE_DIR = str(folder)
    try:
        yield folder is not None
    finally:
        config.CACHE_DIR = before


def _writable_folder() -> Path | None:
    try:
        folder = user_cache() / "crossmargin" / f"kernels-{fingerprint()}"
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        return None
    return folder
