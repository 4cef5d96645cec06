"""T8: 50,000 European options x 2,500 scenarios x 100,000 accounts, nothing stored. T11: books through ten years.

T8. Every side starts from the same arrays (forwards, discount factors, times, volatilities, positions) and ends at the
99 per cent value at risk and expected shortfall of each account. Ours prices a block of scenarios at a time and keeps
of each account its worst results so far. The peer prices all options by NumPy's formula into a matrix, multiplies it by
SciPy's sparse matrix of positions, 10,000 accounts at a time, and partitions. The peer is in double precision; ours in
single rounds the P&L of an option to it, and adds in double all the same.

`T8 memory` is what either side takes beyond its inputs: each millisecond of that record stands for a megabyte. It is
measured in a process of its own, from the resident set before the run to the largest during it; on Linux only.

T11. The demonstration book, and twenty books of a part of it, on every 50th day of ten years of the packaged history,
under three regimes with the rules of one day; the peer is our own `compare`, book by book and day by day. Books share a
day's market, scenarios and revaluation. Of one book there is nothing to share but what `compare` shares between
regimes; ours finds its profit and loss besides.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve

from benchmarks.batch import cores
from benchmarks.records import Record, compared, summary
from benchmarks.treasuries import instruction_set
from crossmargin import samples
from crossmargin.analysis.coverage import held_at
from crossmargin.analysis.margin_series import MarketHistory
from crossmargin.analysis.study import CALIBRATION, STAND_IN
from crossmargin.analysis.time_machine import time_machine_of
from crossmargin.io.market_files import packaged_history
from crossmargin.margin import compare
from crossmargin.portfolio import Portfolio
from crossmargin.pricing.european import EuropeanBook, european_values
from crossmargin.pricing.many_pools import Holdings, Tails, sorted_positions
from crossmargin.pricing.streamed import european_blocks, streamed_tails
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED
from crossmargin.registry import rulebook

N_OPTIONS, N_SCENARIOS, N_ACCOUNTS, PER_ACCOUNT = 50_000, 2_500, 100_000, 20
N_SLICES, WORST, UNITS = 50, 25, 100.0
PEER_ACCOUNTS, PEER_OPTIONS = 10_000, 8  # at a time
AGREES, SINGLE_AGREES = 1e-10, 1e-6
RUNS = 3
PEER = "NumPy and scipy.special.ndtr stored, SciPy sparse product, numpy.partition"
SHORT = 64  # scenarios of the run that loads the kernels
MEGABYTE = 1e6
PEAK = Path("/proc/self/clear_refs")
YEARS, EVERY, N_BOOKS = (date(2007, 3, 1), date(2017, 2, 28)), 50, 20
THREE = (SILOED, CROSS_MARGIN, HARMONIZED)
BEYOND = ("M4", "M5", "M15")  # a bond of 2052, the future on it, STRIPS of 2045
STRESS, STRESS_ENDS = "stress_period", date(2009, 6, 30)


def records() -> Iterator[Record]:
    """Yield T8 in single and in double precision, on two threads and on one, and T8 memory."""
    given = inputs()
    peer = partial(stored, given)
    theirs = peer()
    for name, threads, single, promised in (
        ("T8", 2, True, 10.0),
        ("T8", 2, False, 6.0),
        ("T8b one thread,", 1, True, 5.0),
    ):
        ours = partial(streamed, given, single=single, threads=threads)
        with cores(threads):
            timings = compared(ours, peer, runs=RUNS, inner=1)
            found = ours()
        apart = float(np.abs(found - theirs).max() / np.abs(theirs).max())
        number = "float32" if single else "float64"
        yield record(
            f"{name} {N_OPTIONS:,} options x {N_SCENARIOS:,} scenarios x {N_ACCOUNTS:,} accounts streamed, {number}",
            promised=promised,
            threads=threads,
            agreement=apart,
            agreement_limit=SINGLE_AGREES if single else AGREES,
            **timings,
        )
    if PEAK.exists():
        yield from memory_records(given)


def memory_records(given: Mapping[str, Any]) -> Iterator[Record]:
    """Yield what each side takes beyond its inputs, and what ours takes with a quarter of the scenarios."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "inputs.npz"
        np.savez(file, **given)
        ours, quarter, theirs = (beyond(file, *how) for how in (("ours",), ("ours", N_SCENARIOS // 4), ("peer",)))
    for name, other, peer, promised in (
        ("T8 memory beyond the inputs, MB", theirs, PEER, 12.0),
        (f"T8 memory beside that of {N_SCENARIOS // 4} scenarios, MB", quarter, "ours with fewer scenarios", 0.7),
    ):
        sides = summary([ours / 1e3], "ours") | summary([other / 1e3], "peer")
        yield record(name, peer=peer, promised=promised, threads=2, runs=1, **sides)


def record(task: str, *, promised: float, peer: str = PEER, **more: Any) -> Record:
    """Return a comparison with this peer."""
    import scipy

    version = f"{np.__version__}, {scipy.__version__}"
    return Record(
        task=task, peer=peer, peer_version=version, at_least=promised, instruction_set=instruction_set(), **more
    )


def inputs(n_scenarios: int = N_SCENARIOS) -> dict[str, Any]:
    """Return the book and the positions as arrays; the first scenario is today."""
    rng = np.random.default_rng(8)
    common, volatility_move = rng.standard_t(4, (2, 1, n_scenarios)) * 0.01
    moves = common + rng.normal(0.0, 0.01, (N_SLICES, n_scenarios))
    moves[:, 0] = volatility_move[:, 0] = 0.0
    time = np.tile(np.array([3, 10, 45, 180, 500]) / 365, N_SLICES // 5)[:, None]
    row = np.sort(np.arange(N_OPTIONS) // 2 % N_SLICES, kind="stable")
    distance = rng.uniform(-2.5, 2.5, N_OPTIONS // 2).repeat(2)  # a call and a put at each strike
    spot = np.linspace(40.0, 400.0, N_SLICES)[:, None]
    count = N_ACCOUNTS * PER_ACCOUNT
    cells, option = np.arange(count) // PER_ACCOUNT, rng.integers(0, N_OPTIONS, count)
    shape = N_ACCOUNTS, 1, N_OPTIONS
    sizes = rng.integers(1, 21, count) * rng.choice([-1.0, 1.0], count)
    held = sorted_positions(cells.astype(np.int32), option.astype(np.int32), sizes, shape=shape)
    return {
        "forward": spot * np.exp(moves),
        "time": time,
        "scale": np.exp(-3.0 * moves + volatility_move),
        "row": row,
        "strike": spot[row, 0] * np.exp(0.3 * np.sqrt(time[row, 0]) * distance),
        "is_call": np.arange(N_OPTIONS) % 2 == 0,
        "volatility": 0.25 - 0.02 * distance + 0.01 * distance**2,
        "starts": held.starts,
        "row_ids": held.row_ids,
        "quantities": held.quantities,
    }


def book_of(given: Mapping[str, Any], scenarios: slice) -> EuropeanBook:
    """Return the options under some of the scenarios."""
    return EuropeanBook(
        forward=given["forward"][:, scenarios],
        discount=0.99,
        time=given["time"],
        scale=given["scale"][:, scenarios],
        shift=np.zeros_like(given["scale"][:, scenarios]),
        slice_row=given["row"],
        volatility_row=given["row"],
        strike=given["strike"],
        is_call=given["is_call"],
        volatility=given["volatility"],
    )


def measures() -> Any:
    """Return the weights of value at risk and expected shortfall."""
    weights = np.zeros((2, WORST))
    weights[0, -1], weights[1] = 1.0, 1.0 / WORST
    return weights


# -------------------------------------------------------------------------------------------------- time machine


def time_machine_records() -> Iterator[Record]:
    """Yield T11 for one book and for a population."""
    history = MarketHistory(packaged_history())
    first, last = YEARS
    days = tuple(day for day in history.yields.dates if first <= day <= last)[::EVERY]
    for name, books, promised in (
        ("the demonstration book", {"demo": demo()}, 0.7),
        (f"{N_BOOKS} books", {f"book {n}": demo(n) for n in range(N_BOOKS)}, 3.5),
    ):
        study = {"calibration": CALIBRATION, "stress_periods": [STAND_IN]}
        ours = partial(time_machine_of, books, history, days, THREE, **study)
        peer = partial(day_by_day, books, history, days)
        timings = compared(ours, peer, runs=1, inner=1)
        found, theirs = ours(), peer()
        mine = {(book, each.name): found[book].requirement(each.name) for book in books for each in THREE}
        apart = max(float(np.abs(mine[key] - theirs[key]).max() / theirs[key].max()) for key in theirs)
        yield Record(
            task=f"T11 {name} on {len(days)} days of ten years under three regimes",
            peer="our own compare, day by day",
            peer_version="",
            at_least=promised,
            agreement=apart,
            agreement_limit=AGREES,
            instruction_set="any",
            **timings,
        )


def demo(number: int | None = None) -> Portfolio:
    """Return the demonstration book without what past curves do not reach, or a part of it in sizes of its own."""
    portfolio, _ = samples.basis_trade()
    held = [each for each in portfolio.positions if each.id not in BEYOND]
    if number is not None:
        size = np.random.default_rng(number).uniform(0.5, 1.5)
        held = [evolve(each, quantity=size * each.quantity) for each in held if each.account == "MER-XM"]
    return evolve(portfolio, positions=held, posted=())


def day_by_day(books: Mapping[str, Portfolio], history: MarketHistory, days: tuple[date, ...]) -> dict[Any, Any]:
    """Return the clearing totals [n_days] by book and regime."""
    rules = [held_at(each, CALIBRATION) for each in rulebook(()).values()]
    stood = [
        each.with_values(stress_period=STAND_IN, because="its own lies ahead") if STRESS in each.parameters else each
        for each in rules
    ]
    found: dict[Any, list[float]] = {}
    for day in days:
        for name, book in books.items():
            compared_ = compare(book, history.market(day), THREE, rules=stood if day < STRESS_ENDS else rules)
            for report in compared_.reports:
                found.setdefault((name, report.regime), []).append(report.total() or 0.0)
    return {key: np.array(totals) for key, totals in found.items()}


# ---------------------------------------------------------------------------------------------------------- ours


def streamed(given: Mapping[str, Any], *, single: bool, threads: int, n_scenarios: int = N_SCENARIOS) -> Any:
    """Return the measures [n_accounts, 2] of every account."""
    today = european_values(book_of(given, slice(1)))[:, 0]
    blocks = european_blocks(book_of(given, slice(n_scenarios)), today, units=UNITS)
    held = Holdings(given["starts"], given["row_ids"], given["quantities"], N_ACCOUNTS, 1)
    tails = Tails(((0,),), (0,), (measures(),))
    return streamed_tails(blocks, held, tails, single=single, threads=threads)[0][:, 0]


# ---------------------------------------------------------------------------------------------------------- peer


def stored(given: Mapping[str, Any], n_scenarios: int = N_SCENARIOS) -> Any:
    """Return the same from a matrix of all options by all scenarios."""
    from scipy.sparse import csr_matrix

    pnl = numpy_pnl(given, n_scenarios)
    found = np.empty((N_ACCOUNTS, 2))
    starts, count = given["starts"], len(given["quantities"])
    positions = given["quantities"], given["row_ids"][:count], starts
    matrix = csr_matrix(positions, shape=(N_ACCOUNTS, N_OPTIONS))
    for begin in range(0, N_ACCOUNTS, PEER_ACCOUNTS):
        pooled = matrix[begin : begin + PEER_ACCOUNTS] @ pnl
        pooled.partition(WORST - 1, axis=1)
        worst = pooled[:, :WORST]
        found[begin : begin + PEER_ACCOUNTS] = np.stack([-worst[:, -1], -worst.mean(axis=1)], axis=1)
    return found


def numpy_pnl(given: Mapping[str, Any], n_scenarios: int) -> Any:
    """Return the P&L [n_options, n_scenarios] by the formula, options of one slice a few at a time."""
    from scipy.special import ndtr

    forward, scale = given["forward"][:, :n_scenarios], given["scale"][:, :n_scenarios]
    log_forward, sqrt_time = np.log(forward), np.sqrt(given["time"])
    pnl = np.empty((N_OPTIONS, n_scenarios))
    for first, end in pairwise(np.flatnonzero(np.diff(given["row"], prepend=-1, append=-1))):
        row = given["row"][first]
        for begin in range(first, end, PEER_OPTIONS):
            of = slice(begin, min(begin + PEER_OPTIONS, end))
            w, k = np.where(given["is_call"][of], 1.0, -1.0)[:, None], given["strike"][of, None]
            deviation = given["volatility"][of, None] * (scale[row] * sqrt_time[row])
            d1 = log_forward[row] - np.log(k)
            d1 /= deviation
            d1 += 0.5 * deviation
            d2 = np.subtract(d1, deviation, out=deviation)
            d1 *= w
            d2 *= w
            ndtr(d1, out=d1)
            ndtr(d2, out=d2)
            d1 *= forward[row]
            d2 *= k
            d1 -= d2
            d1 *= UNITS * 0.99 * w
            np.subtract(d1, d1[:, :1].copy(), out=pnl[of])
    return pnl


# -------------------------------------------------------------------------------------------------------- memory


def beyond(file: Path, side: str, n_scenarios: int = N_SCENARIOS) -> float:
    """Return the megabytes that a side takes beyond its inputs, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.streaming", str(file), side, str(n_scenarios)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[1])
    return float(json.loads(done.stdout))


def in_own_process(file: str, side: str, n_scenarios: str) -> None:
    """Print how far the largest resident set goes beyond that before the run, in megabytes."""
    with np.load(file) as saved:
        given = dict(saved)
    sides: dict[str, Callable[..., Any]] = {
        "ours": partial(streamed, given, single=True, threads=2),
        "peer": partial(stored, given),
    }
    if side == "ours":
        sides[side](n_scenarios=SHORT)  # loads the kernels
    PEAK.write_text("5", encoding="ascii")  # forgets the largest set so far
    before = resident("VmRSS")
    sides[side](n_scenarios=int(n_scenarios))
    print(json.dumps(resident("VmHWM") - before))


def resident(name: str) -> float:
    """Return a line of what Linux knows of this process, in megabytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / MEGABYTE


if __name__ == "__main__":
    in_own_process(*sys.argv[1:])
