"""Make every kernel ready before the first request: for services, and for images that are built once and run often.

Call `warmup()`. It compiles what is not yet in the cache folder and loads the rest (`kernels/_jit.py` says where that
folder is). Nothing is priced and nothing else is loaded: the first figure still reads its rules and its market.
"""

from __future__ import annotations

from importlib import import_module
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
    """

    seconds: float
    kernels: int
    compiled: int

    def __str__(self) -> str:
        if not self.kernels:
            return "no kernels to make ready: NUMBA_DISABLE_JIT is set and they run as plain Python"
        loaded = self.kernels - self.compiled
        return f"{self.kernels} kernels ready in {self.seconds:.2f} s: {self.compiled} compiled, {loaded} loaded"


def warmup() -> Warmup:
    """Compile or load every kernel once; a second call in the same process finds all of it done.

    Safe in several processes and threads at once: those that start together may each compile, and write the same.

    Examples
    --------
    >>> done = warmup()
    >>> done.kernels >= done.compiled and warmup().seconds < 1
    True
    """
    start = perf_counter()
    package = import_module("crossmargin.kernels")
    names = [found.name for found in iter_modules(package.__path__, f"{package.__name__}.")]
    modules = [import_module(name) for name in sorted(names)]
    seconds = perf_counter() - start
    made = [kernel for module in modules for kernel in _kernels(module)]
    from_cache = sum(bool(kernel.stats.cache_hits) for kernel in made)
    return Warmup(seconds, kernels=len(made), compiled=len(made) - from_cache)


def _kernels(module: ModuleType) -> list[Any]:
    """Return the compiled functions that are written in this module, not those that it imports."""
    found = [value for value in vars(module).values() if hasattr(value, "stats") and hasattr(value, "py_func")]
    return [kernel for kernel in found if kernel.py_func.__module__ == module.__name__]
