"""Rest for Python's collector of cyclic garbage while a large file is read.

Use `with collector_at_rest():` around the making of many records that stay. It looks for cycles, has none to find among
records, and would go through all that are made again and again: a third of the time of a large file.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Let the collector rest inside the block; one that rests already is left as it is.

    Examples
    --------
    >>> with collector_at_rest():
    ...     gc.isenabled()
    False
    """
    works = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if works:
            gc.enable()
