"""T4 to T7 and T10: tails, a hundred thousand accounts, a trade on top of a book, positions read in.

`T4` is value at risk and expected shortfall of rows together; the peer is `numpy.partition` and a mean. `T5` margins
100,000 accounts of 20 positions over 50,000 instruments, on two threads and (`T5b`) on one; the peer is SciPy's sparse
product, which has one thread, and `numpy.partition`. `T6` measures five silos, five pairs and the whole of an account.
`T7` adds one trade to the pools of a book: any trade, or one of a product that the book was asked about before, as
`what_if` does. `T7b` finds what each of 10,000 instruments would add, `T10` sorts two million rows of positions, beside
the margin run that they are for.

Where the environment variable BENCH_MKL names a Python that has `sparse-dot-mkl`, `numpy` and `scipy`, T5 is measured
against that too: a product by the Math Kernel Library (MKL) and partitions, both on two threads, in a process of its
own that waits for its turn.

On some processors NumPy's partition is several times slower by its widest vectors than without them. The fair peer is
then NumPy told not to use them, which only its start can: `NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL"`. The records
say whether it was.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import Record, compared, summary, timed
from crossmargin.pricing.many_pools import Tails, pool_tails, row_tails, sorted_positions, store_of, trade_tails
from crossmargin.pricing.trades import sorted_pools

N_ACCOUNTS, PER_ACCOUNT, N_INSTRUMENTS, N_SCENARIOS, WORST = 100_000, 20, 50_000, 1_250, 13
N_ROWS, N_CANDIDATES, N_SILOS = 200, 10_000, 5
PAIRS = ((0, 1), (1, 2), (2, 3), (3, 4), (0, 4))
POOLS = (*((silo,) for silo in range(N_SILOS)), *PAIRS, tuple(range(N_SILOS)))
TRADE_POOLS = 6  # a silo, four pairs and the whole
SINGLE_AGREES, AGREES = 1e-5, 1e-10
RUNS = 5
PYTHON_OF = "BENCH_MKL"
PEER_CODE = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from scipy.sparse import csr_matrix
from sparse_dot_mkl import dot_product_mkl, get_version_string
given = np.load(sys.argv[1])
pnl, worst, pool = given["pnl"], int(given["worst"]), ThreadPoolExecutor(2)
held = csr_matrix((given["quantities"], given["ids"], given["starts"]), shape=(len(given["starts"]) - 1, len(pnl)))
def tails(rows):
    least = np.partition(rows, worst - 1, axis=1)[:, :worst]
    return np.stack([-least[:, -1], -least.mean(axis=1, dtype=np.float64)], axis=1)
for turn in sys.stdin:
    start = time.perf_counter()
    found = np.concatenate(list(pool.map(tails, np.array_split(dot_product_mkl(held, pnl), 64))))
    seconds = time.perf_counter() - start
    np.save(sys.argv[2], found)
    print(json.dumps({"seconds": seconds, "version": get_version_string() or "MKL"}), flush=True)
"""


def tail_records() -> Iterator[Record]:
    """Yield T4 in single and double precision."""
    rng = np.random.default_rng(4)
    for number in (np.float32, np.float64):
        rows = rng.standard_t(4, (N_ROWS, N_SCENARIOS)).astype(number)
        ours, peer = partial(row_tails, rows, measures()), partial(by_partition, rows)
        name = f"T4 tails of {N_ROWS} rows of {N_SCENARIOS:,} scenarios, {np.dtype(number).name}"
        timings = compared(ours, peer, runs=200, inner=3)
        yield record(name, "numpy.partition and mean", ours(), peer(), promised=3.5, timings=timings)


def account_records() -> Iterator[Record]:
    """Yield T5 on two threads, T5b on one and T6 on two, and T5 beside MKL."""
    for name, pools, threads, promised in (
        ("T5 one regime", (tuple(range(N_SILOS)),), 2, 4.0),
        ("T5b one regime, one thread", (tuple(range(N_SILOS)),), 1, 3.5),
        ("T6 three regimes", POOLS, 2, 6.0),
    ):
        book = made_up_book(n_silos=N_SILOS if len(pools) > 1 else 1)
        tails = Tails(pools if len(pools) > 1 else ((0,),), (0,) * len(pools), (measures(),))
        ours = partial(pool_tails, book["store"], book["held"], tails, threads=threads)
        peer = partial(by_sparse_product, book, tails)
        task = f"{name}, {N_ACCOUNTS:,} accounts of {PER_ACCOUNT} positions, float32"
        with cores(threads):
            timings = compared(ours, peer, runs=RUNS, inner=1)
            found = ours(), peer()
        yield record(
            task, "SciPy sparse product float32, numpy.partition", *found,
            promised=promised, timings=timings, threads=threads, limit=SINGLE_AGREES,
        )  # fmt: skip

    yield from mkl_records()


def mkl_records() -> Iterator[Record]:
    """Yield T5 on two threads beside a product by MKL."""
    python = os.environ.get(PYTHON_OF, "")
    if not Path(python).is_file():
        how = f"pip install sparse-dot-mkl mkl scipy into an environment and name its Python in {PYTHON_OF}"
        print(f"T5 MKL: not installed; {how}", file=sys.stderr)
        return
    book, tails = made_up_book(n_silos=1), Tails(((0,),), (0,), (measures(),))
    ours = partial(pool_tails, book["store"], book["held"], tails, threads=2)
    ours()
    with cores(2), mkl_turns(book, python) as (turn, results):
        told = [(turn(), timed(ours, 1)) for _ in range(RUNS + 1)][1:]
        theirs = np.load(results)
    timings = summary([mine for _, mine in told], "ours") | summary([each["seconds"] for each, _ in told], "peer")
    yield record(
        f"T5 one regime, {N_ACCOUNTS:,} accounts of {PER_ACCOUNT} positions, float32",
        f"{told[0][0]['version']}, sparse product float32 and numpy.partition, two threads each",
        ours(), theirs, promised=0.0, timings={**timings, "runs": RUNS}, threads=2, limit=SINGLE_AGREES,
    )  # fmt: skip


@contextmanager
def mkl_turns(book: dict[str, Any], python: str) -> Iterator[tuple[Callable[[], dict[str, Any]], Path]]:
    """Give a function that has the peer run once, and the file that its results are in."""
    held = book["held"]
    limits = {**os.environ, "MKL_NUM_THREADS": "2", "LD_LIBRARY_PATH": str(Path(python).parents[1] / "lib")}
    with tempfile.TemporaryDirectory() as folder:
        given, results = Path(folder) / "given.npz", Path(folder) / "results.npy"
        columns = {"quantities": held.quantities.astype(np.float32), "ids": held.row_ids[: len(held.quantities)]}
        np.savez(given, pnl=book["pnl"], worst=WORST, starts=held.starts.astype(np.int32), **columns)
        command = [python, "-c", PEER_CODE, str(given), str(results)]
        with subprocess.Popen(command, env=limits, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
            peer: Any = started

            def turn() -> dict[str, Any]:
                peer.stdin.write("turn\n")
                peer.stdin.flush()
                told: dict[str, Any] = json.loads(peer.stdout.readline())
                return told

            yield turn, results
            peer.stdin.close()


def trade_records() -> Iterator[Record]:
    """Yield T7 for one pool and for the pools of three regimes, by partition and by quantile, and T7b."""
    rng = np.random.default_rng(7)
    every = rng.standard_t(4, (TRADE_POOLS, N_SCENARIOS)) * 1e4
    trade = rng.standard_t(4, N_SCENARIOS) * 1e2
    for name, pools, by_quantile in (("one linear trade", every[:1], 20.0), ("the same, three regimes", every, 15.0)):
        sizes = np.ones(len(pools))
        any_trade = partial(trade_tails, pools, trade, sizes, measures())
        rows = [(0, row) for row in pools for _ in measures()]
        known_trade = partial(sorted_pools(rows, [*measures()] * len(pools)).of([trade]).losses, 1.0)
        for way, peer, promised in (
            ("numpy.partition and mean", partial(traded_by_partition, pools, trade), 5.0),
            ("numpy.quantile and mean beyond", partial(traded_by_quantile, pools, trade), by_quantile),
        ):
            for task, ours in ((name, any_trade), (f"{name}, pools sorted and product read before", known_trade)):
                timings = compared(ours, peer, runs=400, inner=20)
                yield record(f"T7 what-if of {task}", way, ours(), peer(), promised=promised, timings=timings)
    universe = rng.standard_t(4, (N_CANDIDATES, N_SCENARIOS))
    kept, worst = np.ascontiguousarray(universe.T), np.argsort(every[0], kind="stable")[:WORST]
    ours, peer = partial(marginal, kept, worst), partial(gathered, universe, worst)
    task = f"T7b marginal expected shortfall of {N_CANDIDATES:,} instruments"
    timings = compared(ours, peer, runs=100, inner=5)
    yield record(task, "NumPy gather, instrument-major", ours(), peer(), promised=8.0, timings=timings)


def ingest_records() -> Iterator[Record]:
    """Yield T10: reading positions in beside margining them, both on one thread."""
    book = made_up_book(n_silos=1)
    ours = partial(sorted_positions, *book["rows"], shape=book["shape"])
    tails = Tails(((0,),), (0,), (measures(),))
    peer = partial(pool_tails, book["store"], book["held"], tails)
    timings = compared(ours, peer, runs=RUNS, inner=1)
    name = f"T10 {N_ACCOUNTS * PER_ACCOUNT:,} rows of positions sorted and netted"
    yield record(name, "our own margin run of T5b", None, None, promised=2.0, timings=timings)


def record(
    task: str,
    peer: str,
    ours: Any,
    theirs: Any,
    *,
    promised: float,
    timings: dict[str, Any],
    threads: int = 1,
    limit: float = AGREES,
) -> Record:
    """Return a comparison; results are compared beside the largest of them."""
    narrow = "AVX2 only" if os.environ.get("NPY_DISABLE_CPU_FEATURES") else "as installed"
    apart = None if ours is None else float(np.abs(np.ravel(ours) - np.ravel(theirs)).max() / np.abs(theirs).max())
    return Record(
        task=task,
        peer=peer,
        peer_version=f"{np.__version__} ({narrow})",
        threads=threads,
        at_least=promised,
        agreement=apart,
        agreement_limit=limit,
        instruction_set="AVX-512" if has_widest() else "any",
        **timings,
    )


@contextmanager
def cores(threads: int) -> Iterator[None]:
    """Let as many cores be used as there are threads."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(range(threads)) if threads > 1 else before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def has_widest() -> bool:
    """Whether the kernels are compiled for the widest vectors."""
    from crossmargin.kernels._vectors import has_compress

    return has_compress()


def measures() -> Any:
    """Return the weights of value at risk and expected shortfall."""
    weights = np.zeros((2, WORST))
    weights[0, -1], weights[1] = 1.0, 1.0 / WORST
    return weights


@cache
def made_up_book(*, n_silos: int) -> dict[str, Any]:
    """Return positions spread evenly over instruments, and P&L with fat tails in single precision."""
    rng = np.random.default_rng(5)
    pnl = rng.standard_t(4, (N_INSTRUMENTS, N_SCENARIOS)).astype(np.float32)
    count = N_ACCOUNTS * PER_ACCOUNT
    instruments = rng.integers(0, N_INSTRUMENTS, count).astype(np.int32)
    quantities = rng.normal(0.0, 100.0, count)
    cells = (rng.permutation(count) // PER_ACCOUNT * n_silos + instruments % n_silos).astype(np.int32)
    rows, shape = (cells, instruments, quantities), (N_ACCOUNTS, n_silos, N_INSTRUMENTS)
    held = sorted_positions(*rows, shape=shape)
    return {"pnl": pnl, "store": store_of([pnl], single=True), "rows": rows, "shape": shape, "held": held}


def by_partition(rows: Any) -> Any:
    """Return the two measures of each row."""
    worst = np.partition(rows, WORST - 1, axis=1)[:, :WORST]
    return np.stack([-worst[:, -1], -worst.mean(axis=1, dtype=np.float64)], axis=1)


def by_sparse_product(book: dict[str, Any], tails: Tails) -> Any:
    """Return the measures of every pool: a product for each silo, sums of them for pairs and the whole."""
    from scipy.sparse import csr_matrix

    held, silos = book["held"], []
    ids, quantities = held.row_ids[: len(held.quantities)], held.quantities.astype(np.float32)
    for silo in range(held.n_silos):
        first, last = held.starts[silo : -1 : held.n_silos], held.starts[silo + 1 :: held.n_silos]
        if held.n_silos == 1:
            part = quantities, ids, held.starts
        else:
            mine = np.repeat(np.arange(len(held.starts) - 1) % held.n_silos == silo, np.diff(held.starts))
            part = quantities[mine], ids[mine], np.concatenate([[0], np.cumsum(last - first)])
        silos.append(csr_matrix(part, shape=(held.n_accounts, N_INSTRUMENTS)) @ book["pnl"])
    return np.stack([by_partition(sum(silos[silo] for silo in pool)) for pool in tails.pools], axis=1)


def traded_by_partition(pools: Any, trade: Any) -> Any:
    """Return the measures of each pool with the trade."""
    return by_partition(pools + trade)


def traded_by_quantile(pools: Any, trade: Any) -> Any:
    """Return the same, the order statistic by name."""
    rows = pools + trade
    at = np.quantile(rows, WORST / N_SCENARIOS, axis=1, method="inverted_cdf", keepdims=True)
    beyond = np.where(rows <= at, rows, 0.0).sum(axis=1) / WORST
    return np.stack([-at[:, 0], -beyond], axis=1)


def marginal(scenario_major: Any, worst: Any) -> Any:
    """Return minus the mean of the worst scenarios' rows."""
    return -scenario_major[worst].sum(axis=0) / WORST


def gathered(instrument_major: Any, worst: Any) -> Any:
    """Return the same from columns."""
    return -instrument_major[:, worst].mean(axis=1)
