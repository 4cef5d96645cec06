"""Shards of a batch: ranges of accounts, measured on an engine.

Call `pool_tails_on(engine, store, held, tails)`. P&L is shared, positions are sent shard by shard, and the losses come
back in the order of accounts with the same bits as from `pool_tails`, however the accounts are cut. `streamed_tails_on`
does the same for P&L that every worker makes for itself.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from time import perf_counter

import numpy as np

from crossmargin.batch.engines import Engine, Progress, opened, run, workers
from crossmargin.batch.streaming import Stream
from crossmargin.columns import FloatArray
from crossmargin.pricing.many_pools import AHEAD, Holdings, Store, Tails, pool_tails

SHARD_SECONDS = 1.0  # aimed at: a sample of cold accounts may take twice its time, and half a second is enough
PER_WORKER = 0.15  # seconds of a shard for each worker at least: the one scheduler then takes below 2 % of a run
SAMPLE_ROWS = 4_096


def pool_tails_on(
    engine: Engine,
    store: Store,
    held: Holdings,
    tails: Tails,
    *,
    threads: int = 1,
    progress: Progress | bool | None = None,
    shards: int | None = None,
) -> FloatArray:
    """Return what `pool_tails` does, to the last bit, shards of accounts measured on an engine.

    Parameters
    ----------
    engine : None, str, executor or client
        None is this process.
    threads : int
        In each shard.
    progress : callable or bool, optional
        Called with the shards done, those there are, and the name of the last, which counts the accounts held here.
        Without one a bar shows on a terminal after two seconds if `tqdm` is installed; False shows nothing.
    shards : int, optional
        How many; so many that each takes a second or so unless given.

    Returns
    -------
    array [n_accounts, n_pools, n_measures]
        Loss > 0, USD.

    Raises
    ------
    InputError
        No such engine.
    CrossMarginError
        Shards were lost again and again, or there is no room for what they share.
    """
    with opened(engine) as ready:
        if ready is None and not progress and not shards:
            return pool_tails(store, held, tails, threads=threads)
        count = shards or shards_for(_seconds(store, held, tails) / threads, workers(ready))
        slices, names = _cut(held, count)
        work = partial(_tails_of, threads=threads)
        found = run(work, tails, slices, store=store, engine=ready, progress=progress, names=names)
    shape = held.n_accounts, len(tails.pools), tails.weights[0].shape[0]
    return np.concatenate(found) if found else np.zeros(shape)


def streamed_tails_on(
    engine: Engine,
    stream: Stream,
    held: Holdings,
    tails: Tails,
    *,
    single: bool = False,
    threads: int = 1,
    progress: Progress | bool | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return what `Stream.tails` does, to the last bit, a shard for each worker, which makes all P&L once for it.

    Parameters and errors are those of `pool_tails_on` and `Stream.tails`.
    """
    with opened(engine) as ready:
        if ready is None or not held.n_accounts:
            return stream.tails(held, tails, single=single, threads=threads)
        slices, names = _cut(held, workers(ready))
        work = partial(_streamed_of, single=single, threads=threads)
        found = run(work, (stream, tails), slices, engine=ready, progress=progress, names=names)
    measures, largest = zip(*found, strict=True)
    return np.concatenate(measures), np.maximum.reduce(largest)


def cuts(held: Holdings, count: int) -> list[int]:
    """Return accounts 0 .. n_accounts cut into at most `count` ranges of about as many positions each."""
    n = held.n_accounts
    if not n:
        return [0]
    work = held.starts[:: held.n_silos] - held.starts[0] + np.arange(n + 1)  # one without positions takes time as well
    inner = np.searchsorted(work, work[-1] * np.arange(1, count) / count)
    found: list[int] = np.unique([0, *inner, n]).tolist()
    return found


def shards_for(seconds: float, workers: int) -> int:
    """Return into how many shards to cut work of so many seconds on one worker.

    Shards take `SHARD_SECONDS` or longer, longer still where there are many workers for one scheduler, and there are
    as many for each worker; fewer than workers only where they would be too short.

    Examples
    --------
    >>> [shards_for(seconds, 4) for seconds in (0.1, 3.0, 60.0)]
    [1, 3, 60]
    """
    count = max(1, int(seconds / SHARD_SECONDS))
    if count <= workers:
        return count
    longer = max(workers, int(seconds / max(SHARD_SECONDS, PER_WORKER * workers)))
    return longer - longer % workers


def _cut(held: Holdings, count: int) -> tuple[list[Holdings], list[str]]:
    """Return holdings in ranges of accounts, and what each is called."""
    parts = list(pairwise(cuts(held, count)))
    names = [f"accounts {first:,} to {last - 1:,}" for first, last in parts]
    return [_slice(held, *part) for part in parts], names


def _slice(held: Holdings, first: int, last: int) -> Holdings:
    starts = held.starts[first * held.n_silos : last * held.n_silos + 1]
    begin, end = int(starts[0]), int(starts[-1])
    ids, quantities = held.row_ids[begin : end + AHEAD], held.quantities[begin:end]
    return Holdings(starts - begin, ids, quantities, last - first, held.n_silos)


def _tails_of(shared: tuple[Store, Tails], held: Holdings, *, threads: int) -> FloatArray:
    store, tails = shared
    return pool_tails(store, held, tails, threads=threads)


def _streamed_of(
    shared: tuple[Stream, Tails], held: Holdings, *, single: bool, threads: int
) -> tuple[FloatArray, FloatArray]:
    stream, tails = shared
    return stream.tails(held, tails, single=single, threads=threads)


def _seconds(store: Store, held: Holdings, tails: Tails) -> float:
    """Return how long one thread takes for all accounts, by a sample from the middle."""
    if not held.n_accounts:
        return 0.0
    last = held.n_accounts // 2 + 1
    pool_tails(store, _slice(held, last - 1, last), tails)  # loads the kernel
    per_account = max(1, int(held.starts[-1] - held.starts[0]) // held.n_accounts)
    first = max(0, last - max(1, SAMPLE_ROWS // per_account))
    start = perf_counter()
    pool_tails(store, _slice(held, first, last), tails)
    return (perf_counter() - start) * held.n_accounts / (last - first)
