"""Rest for Python's collector of cyclic garbage while a large file or document is read.

Use `with collector_at_rest():` around the making of many records that stay. It looks for cycles, has none to find among
records, and would go through all that are made again and again: a third of the time and more. The collector is
one for all threads: it rests while any reader does, and works again, if it did, when the last one is done.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock


class _Rest:
    """How many readers want rest now, and whether the collector worked before the first of them came."""

    def __init__(self) -> None:
        self._lock, self._readers, self._worked = RLock(), 0, False  # a signal may read too

    def begin(self) -> None:
        with self._lock:
            if not self._readers:
                self._worked = gc.isenabled()
                gc.disable()
            self._readers += 1

    def end(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._worked and not self._readers:
                gc.enable()


_REST = _Rest()


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Let the collector rest inside the block, in all threads; one that rests already is left as it is.

    Examples
    --------
    >>> with collector_at_rest():
    ...     gc.isenabled()
    False
    """
    _REST.begin()
    try:
        yield
    finally:
        _REST.end()
