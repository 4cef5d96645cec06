"""Make every kernel ready before the first request: for services, and for images that are built once and run often.

Call `warmup()`. It compiles what is not yet in the cache folder and loads the rest (`kernels/_jit.py` says where that
folder is). Nothing is priced and nothing else is loaded: the first figure still reads its rules and its market.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from time import perf_counter
from types import ModuleType
from typing import Any

from attrs import frozen


@frozen
class Warmup:
    """What a warm-up did in this process.

    Parameters
    ----------
    seconds : float
        Wall-clock time of the call, the import of numba included when nothing had imported it.
    kernels : int
        Compiled functions that are ready; 0 under `NUMBA_DISABLE_JIT=1`, where there are none.
    compiled : int
        How many of them had to be compiled in this process; the others came from the cache folder.
    folder : str
        Where compiled code is kept for the next process; empty where it is not.
    not_kept : str
        Why it is not, and what to do; empty where it is.
    """

    seconds: float
    kernels: int
    compiled: int
    folder: str = ""
    not_kept: str = ""

    def __str__(self) -> str:
        if not self.kernels:
            return "no kernels to make ready: NUMBA_DISABLE_JIT is set and they run as plain Python"
        loaded = self.kernels - self.compiled
        kept = f"kept in {self.folder}" if self.folder else f"not kept: {self.not_kept}"
        return (
            f"{self.kernels} kernels ready in {self.seconds:.2f} s: {self.compiled} compiled, {loaded} loaded; {kept}"
        )


def warmup() -> Warmup:
    """Compile or load every kernel once; a second call in the same process finds all of it done.

    Safe in several processes and threads at once: those that start together may each compile, and write the same.

    Examples
    --------
    >>> done = warmup()
    >>> done.kernels >= done.compiled and warmup().compiled == done.compiled
    True
    """
    start = perf_counter()
    package = import_module("crossmargin.kernels")
    names = [found.name for found in iter_modules(package.__path__, f"{package.__name__}.")]
    modules = [import_module(name) for name in sorted(names)]
    seconds = perf_counter() - start
    made = [kernel for module in modules for kernel in _kernels(module)]
    from_cache = sum(bool(kernel.stats.cache_hits) for kernel in made)
    folder, not_kept = _kept(kernel.stats.cache_path for kernel in made)
    return Warmup(seconds, len(made), compiled=len(made) - from_cache, folder=folder, not_kept=not_kept)


def _kept(paths: Iterable[str | None]) -> tuple[str, str]:
    """Return the folder above those in which kernels are kept, or why they are not and what to do."""
    found = set(paths)
    if not found:
        return "", ""
    if None not in found:
        return str(Path(min(filter(None, found))).parent), ""
    from crossmargin.kernels._jit import user_cache

    try:
        folder = f"{user_cache() / 'crossmargin'} cannot be written"
    except RuntimeError:
        folder = "the user has no home folder"
    return "", f"{folder}, so that every process compiles anew. Set NUMBA_CACHE_DIR to a folder that can be written."


def _kernels(module: ModuleType) -> list[Any]:
    """Return the compiled functions that are written in this module, not those that it imports."""
    found = [value for value in vars(module).values() if hasattr(value, "stats") and hasattr(value, "py_func")]
    return [kernel for kernel in found if kernel.py_func.__module__ == module.__name__]
