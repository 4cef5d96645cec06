"""T9: shards on a cluster beside the same work in this process, and what a task costs that does nothing.

`T9` measures the pools of three regimes on a Dask cluster of two processes of one thread each, in shards of half a
second or more; the peer is one call in this process on two threads. Publishing positions, the tasks and the way back
are all inside. The first call over a store also publishes its P&L, and every worker takes it in; later calls find it
there and look whether it has changed. Files are temporary ones: `TMPDIR=/dev/shm` puts them into memory. `T9b` is the
cost of one task, beside that of the bare client. Without `distributed` there is nothing to measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from tempfile import gettempdir
from typing import Any

import numpy as np
from attrs import evolve

from benchmarks.batch import N_SILOS, POOLS, cores, has_widest, made_up_book, measures
from benchmarks.records import Record, compared
from crossmargin.batch.engines import run
from crossmargin.batch.shards import pool_tails_on
from crossmargin.pricing.many_pools import AHEAD, Holdings, Tails, pool_tails

WORKERS = 2
TIMES = 4  # as many accounts as the other tasks have
N_SHARDS = 12
N_TASKS = 200
RUNS = 5
OVERHEAD = 1.02


def records() -> Iterator[Record]:
    """Yield T9, of the first call and of later ones, and T9b."""
    if find_spec("distributed") is None:
        return
    book = made_up_book(n_silos=N_SILOS)
    held, tails = repeated(book["held"], TIMES), Tails(POOLS, (0,) * len(POOLS), (measures(),))
    with cores(WORKERS), cluster() as client:
        store = book["store"]
        measured = partial(pool_tails_on, client, held=held, tails=tails, shards=N_SHARDS, progress=False)
        peer = partial(pool_tails, store, held, tails, threads=WORKERS)
        for call, ours, promised in (
            ("first", lambda: measured(store=evolve(store)), 0.0),  # another store: nobody has its P&L
            ("later", lambda: measured(store=store), 1 / OVERHEAD),
        ):
            timings = compared(ours, peer, runs=RUNS, inner=1)
            shards = f"{N_SHARDS} shards of {timings['ours_s'] * WORKERS / N_SHARDS:.1f} s, {WORKERS} workers"
            files = f"files in {gettempdir()}"
            yield record(
                f"T9 {held.n_accounts:,} accounts, three regimes, {shards}, {files}, {call} call over its P&L",
                "the same in one process",
                timings,
                promised=promised,
                apart=float(np.abs(ours() - peer()).max()),
            )
        ours, peer = partial(nothing_many_times, client), partial(bare, client)
        per_task = {k: v if k == "runs" else v / N_TASKS for k, v in compared(ours, peer, runs=RUNS, inner=1).items()}
        yield record("T9b a task that does nothing, of 200", "the bare client", per_task, promised=0.0, apart=0.0)


def record(task: str, peer: str, timings: dict[str, Any], *, promised: float, apart: float) -> Record:
    """Return a comparison whose results are the same to the last bit, or disagree."""
    import distributed

    return Record(
        task=task,
        peer=peer,
        peer_version=f"distributed {distributed.__version__}",
        threads=WORKERS,
        at_least=promised,
        agreement=apart,
        agreement_limit=0.0,
        instruction_set="AVX-512" if has_widest() else "any",
        **timings,
    )


@contextmanager
def cluster() -> Iterator[Any]:
    """Yield a client of two processes of one thread each."""
    import distributed

    settings: dict[str, Any] = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.Client(**settings) as client:
        yield client


def repeated(held: Holdings, times: int) -> Holdings:
    """Return holdings with each account as many times."""
    count = len(held.quantities)
    starts = [held.starts[:-1] + n * count for n in range(times)]
    ids = np.concatenate([np.tile(held.row_ids[:count], times), np.zeros(AHEAD, dtype=np.int32)])
    ends = np.concatenate([*starts, [times * count]])
    return Holdings(ends, ids, np.tile(held.quantities, times), times * held.n_accounts, held.n_silos)


def nothing_many_times(client: Any) -> None:
    """Run tasks that do nothing, as shards are run."""
    run(max, 0, range(N_TASKS), engine=client, progress=False)


def bare(client: Any) -> None:
    """Run as many on the client alone."""
    client.gather([client.submit(max, 0, n, pure=False) for n in range(N_TASKS)])
