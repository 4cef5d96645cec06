"""Pools under scenarios that come and go: P&L is made a block of scenarios at a time, added up by account, and dropped.

Call `streamed_tails` with `Blocks`, those of `european_blocks` or of a `fill` of your own. Neither instruments by
scenarios nor accounts by scenarios ever exists: what is kept is one block, and the worst few results of each pool so
far. The measures are those of `many_pools.pool_tails` over the same P&L, to the last bit, whatever the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from attrs import define, field, frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.columns import FloatArray
from crossmargin.errors import Problems, counted
from crossmargin.pricing.european import EuropeanBook, refuse_numbers
from crossmargin.pricing.many_pools import CHUNK, MOST_WORST, Holdings, Tails

IntArray: TypeAlias = NDArray[np.int64]
Work: TypeAlias = Callable[[int, int], None]
Share: TypeAlias = Callable[[Work, int], None]
"""Does work(begin, end) for 0 .. count, in pieces, by all threads, and returns when it is done."""

BLOCKS = 16  # blocks that a log holds at most
TILE, TILES = 2**14, 8  # accounts of one log at most; logs that there are at least, for threads to share


@frozen(eq=False)
class Room:
    """Where P&L is written, and who can help.

    Attributes
    ----------
    values : float32 or float64 [n_blocks, n_instruments, width]
        Gain > 0, USD per unit.
    largest : array [n_instruments]
        To be raised to the largest absolute P&L; empty where nobody asks.
    share : callable
        Divides work among threads.
    """

    values: Any
    largest: FloatArray
    share: Share

    def first(self, count: int) -> Room:
        """Return the room of the first blocks."""
        return Room(self.values[:count], self.largest, self.share)


@frozen(eq=False)
class Blocks:
    """P&L of instruments, made when it is wanted.

    Attributes
    ----------
    segments : tuple of int
        Scenarios of each segment.
    n_instruments : int
    fill : callable (segment, scenarios, room)
        Sets room.values[block, instrument, place] to the P&L under scenario scenarios[block, place] of the segment,
        finite numbers, and raises room.largest.
    """

    segments: tuple[int, ...]
    n_instruments: int
    fill: Callable[[int, IntArray, Room], None]


def streamed_tails(
    blocks: Blocks, held: Holdings, tails: Tails, *, single: bool = False, at_once: int = 1, threads: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Return the measures of every pool, and the largest absolute P&L of each instrument.

    Parameters
    ----------
    blocks : Blocks
    held : Holdings
    tails : Tails
    single : bool
        P&L is rounded to single precision, and so are pooled results; sums are in double precision.
    at_once : int
        Blocks of scenarios made at a time, each of 64 scenarios in single and 32 in double precision.
    threads : int
        Number of threads. Neither it nor `at_once` changes a bit of the result.

    Returns
    -------
    measures : array [n_accounts, n_pools, n_measures]
        Loss > 0, USD.
    largest : array [n_instruments]
        USD per unit; empty unless `single`.

    Raises
    ------
    InputError
        More worst results wanted than a segment has scenarios or than a batch takes.

    Notes
    -----
    Memory beside the arguments and the result: `at_once` blocks of `CHUNK` bytes an instrument, and for every pool of
    one segment its k worst results and as many as a block has.
    """
    _check(blocks, tails, at_once=at_once, threads=threads)
    out: FloatArray = np.zeros((held.n_accounts, len(tails.pools), tails.weights[0].shape[0]))
    largest: FloatArray = np.zeros(blocks.n_instruments if single else 0)
    if not out.size:
        return out, largest
    number = np.dtype(np.float32 if single else np.float64)
    store = np.empty((at_once, blocks.n_instruments, CHUNK // number.itemsize), dtype=number)
    with _team(threads) as share:
        for segment, n_scenarios in enumerate(blocks.segments):
            mine = np.array([n for n, each in enumerate(tails.segments) if each == segment], dtype=np.int64)
            if mine.size:
                pools = _Pools.of(held, [tails.pools[n] for n in mine], mine, tails.weights[segment])
                made = _made(partial(blocks.fill, segment), n_scenarios, Room(store, largest, share))
                _measure(made, pools, out, share)
    return out, largest


def european_blocks(book: EuropeanBook, base: ArrayLike, *, units: ArrayLike = 1.0) -> Blocks:
    """Return the P&L of European options under the scenarios of their book, one segment.

    Parameters
    ----------
    book : EuropeanBook
    base : array_like [n_options]
        Value today, per unit of the underlying.
    units : array_like
        Units of the underlying of a contract.

    Raises
    ------
    InputError
        Numbers that are not finite, or of another length.

    Examples
    --------
    Three accounts of one option each, the mean of the two worst of four scenarios:

    >>> from crossmargin.pricing.many_pools import sorted_positions
    >>> flat = {"discount": 1.0, "time": 0.25, "slice_row": [0], "volatility_row": [0], "volatility": [0.2]}
    >>> still = {"scale": np.ones((1, 4)), "shift": np.zeros((1, 4))}
    >>> book = EuropeanBook(forward=[[90.0, 95.0, 100.0, 105.0]], strike=[100.0], is_call=[True], **still, **flat)
    >>> each, one = np.arange(3, dtype=np.int32), np.zeros(3, dtype=np.int32)
    >>> held = sorted_positions(each, one, np.array([1.0, 10.0, -1.0]), shape=(3, 1, 1))
    >>> found, _ = streamed_tails(european_blocks(book, 4.0), held, Tails(((0,),), (0,), (np.full((1, 2), 0.5),)))
    >>> found.ravel().round(3).tolist()
    [2.7, 26.998, 1.526]
    """
    today, many = (_column(values, book.n_options) for values in (base, units))
    problems = Problems()
    refuse_numbers(problems, today, "base", "is not a finite number.")
    refuse_numbers(problems, many, "units", "is not a finite number.")
    problems.raise_if_any("These options cannot be priced")
    options = european_rows(book, many * today, units=many, places=np.arange(book.n_options))

    return Blocks((book.n_scenarios,), book.n_options, lambda _, scenarios, room: options.fill(scenarios, room))


@frozen(eq=False)
class EuropeanRows:
    """European options as some of the rows of a block. Made by `european_rows`."""

    curves: tuple[Any, ...]
    options: tuple[Any, ...]

    @classmethod
    def joined(cls, parts: Sequence[EuropeanRows]) -> EuropeanRows:
        """Return several books under the same scenarios as one."""
        before = np.cumsum([[0, 0], *((len(part.curves[0]), len(part.curves[4])) for part in parts)], axis=0)
        options = [
            (part.options[0] + slices, part.options[1] + volatilities, *part.options[2:])
            for part, (slices, volatilities) in zip(parts, before, strict=False)
        ]
        curves = zip(*(part.curves for part in parts), strict=True)
        joined = zip(*options, strict=True)
        return cls(tuple(np.concatenate(each) for each in curves), tuple(np.concatenate(each) for each in joined))

    def fill(self, scenarios: IntArray, room: Room) -> None:
        """Set the rows of the options under scenarios [n_blocks, width]."""
        from crossmargin.kernels.streaming import black_block

        price: Any = black_block
        for chosen, block in zip(scenarios, room.values, strict=True):
            under = [np.ascontiguousarray(rows[:, chosen]) for rows in self.curves]
            room.share(partial(price, *under, *self.options, block, room.largest), len(self.options[0]))


def european_rows(book: EuropeanBook, base: FloatArray, *, units: FloatArray, places: IntArray) -> EuropeanRows:
    """Return the options of a book as rows `places` of a block; `base` [n_options] is their value today, USD."""
    from crossmargin.kernels.streaming import log_strikes

    arguments = book.kernel_arguments()
    logs = np.empty(book.n_options)
    log_strikes(book.strike, logs)
    return EuropeanRows(arguments[:6], (*arguments[6:], logs, units, base, np.ascontiguousarray(places)))


# ------------------------------------------------------------------------------------------------------ the loop


@frozen(eq=False)
class _Pools:
    """The pools of one segment as the kernels take them."""

    held: Holdings
    silos: IntArray
    pool_start: IntArray
    pool_silo: IntArray
    places: IntArray
    weights: FloatArray

    @classmethod
    def of(cls, held: Holdings, pools: Sequence[tuple[int, ...]], places: IntArray, weights: FloatArray) -> _Pools:
        silos, members = np.unique([silo for pool in pools for silo in pool], return_inverse=True)
        start = np.cumsum([0, *(len(pool) for pool in pools)], dtype=np.int64)
        return cls(held, silos.astype(np.int64), start, members.astype(np.int64), places, np.array(weights, order="C"))

    @property
    def n(self) -> int:
        return len(self.places)

    @property
    def k(self) -> int:
        return int(self.weights.shape[1])


@define(eq=False)
class _Tile:
    """What is known so far of the pools of accounts begin .. end, and what has been logged since it was last merged."""

    pools: _Pools
    begin: int
    end: int
    kept: Any
    bounds: Any
    log: Any
    counts: NDArray[np.int32]
    places: list[int] = field(factory=list)
    used: int = 0

    @classmethod
    def empty(cls, pools: _Pools, begin: int, end: int, *, width: int, number: Any) -> _Tile:
        lists = (end - begin) * pools.n
        kept = np.full((lists, pools.k), np.inf, dtype=number)
        bounds = np.full(lists, np.finfo(number).max, dtype=number)
        log = np.empty((pools.k + width) * lists + width, dtype=number)
        return cls(pools, begin, end, kept, bounds, log, np.zeros((BLOCKS, lists), dtype=np.int32))

    def add(self, block: Any, valid: int) -> None:
        """Log what of one block [n_instruments, width] can matter."""
        from crossmargin.kernels.streaming import stream_block

        stream: Any = stream_block
        pools, held = self.pools, self.pools.held
        positions = held.starts, held.row_ids, held.quantities, held.n_silos
        taken = pools.silos, pools.pool_start, pools.pool_silo
        count = self.counts[len(self.places)]
        self.places.append(self.used)
        self.used = stream(
            block, valid, *positions, *taken, self.bounds, self.log, self.used, count, self.begin, self.end
        )
        if self.used >= pools.k * len(self.kept) or len(self.places) == BLOCKS:
            self.merge()

    def merge(self) -> None:
        """Take what has been logged into the k worst; only what is below the worst of these can matter from now on."""
        from crossmargin.kernels.streaming import merge

        into: Any = merge
        places = np.array(self.places, dtype=np.int64)
        into(self.log, places, self.counts[: len(places)], self.pools.k, self.kept, self.bounds)
        np.nextafter(self.bounds, self.bounds.dtype.type(-np.inf), out=self.bounds)
        self.places.clear()
        self.used = 0

    def write(self, out: FloatArray) -> None:
        from crossmargin.kernels.streaming import finish

        weigh: Any = finish
        self.merge()
        weigh(self.kept, self.pools.k, self.pools.weights, self.pools.places, out, self.begin)


def _made(fill: Callable[[IntArray, Room], None], n_scenarios: int, room: Room) -> Iterator[tuple[Any, int]]:
    """Yield every block [n_instruments, width] and how many of its scenarios count; they are dealt out in turn."""
    at_once, _, width = room.values.shape
    count = -(-n_scenarios // width)
    for first in range(0, count, at_once):
        dealt = [np.arange(block, n_scenarios, count) for block in range(first, min(first + at_once, count))]
        fill(np.stack([np.pad(each, (0, width - len(each)), mode="edge") for each in dealt]), room.first(len(dealt)))
        yield from zip(room.values, [len(each) for each in dealt], strict=False)


def _measure(made: Iterator[tuple[Any, int]], pools: _Pools, out: FloatArray, share: Share) -> None:
    """Write the measures of the pools of one segment."""
    tiles: list[_Tile] = []
    count = pools.held.n_accounts
    ends = [*range(0, count, min(TILE, -(-count // TILES))), count]
    for block, valid in made:
        if not tiles:
            shape = {"width": block.shape[1], "number": block.dtype}
            tiles = [_Tile.empty(pools, begin, end, **shape) for begin, end in pairwise(ends)]
        share(partial(_add, tiles, (block, valid)), len(tiles))
    for tile in tiles:
        tile.write(out)


def _add(tiles: Sequence[_Tile], made: tuple[Any, int], begin: int, end: int) -> None:
    for tile in tiles[begin:end]:
        tile.add(*made)


@contextmanager
def _team(threads: int) -> Iterator[Share]:
    """Yield what shares work among threads."""
    if threads == 1:
        yield lambda work, count: work(0, count)
        return
    with ThreadPoolExecutor(threads) as pool:

        def share(work: Work, count: int) -> None:
            ends = np.linspace(0, count, 4 * threads + 1).astype(int).tolist()
            for done in [pool.submit(work, *piece) for piece in pairwise(ends) if piece[0] < piece[1]]:
                done.result()

        yield share


def _column(values: ArrayLike, count: int) -> FloatArray:
    column = np.asarray(values, dtype=np.float64)
    problems = Problems()
    if column.shape not in ((), (count,)):
        problems.add(
            f"shape {column.shape} for {counted(count, 'option')}.",
            where="base, units",
            fix="Give one for each option.",
        )
    problems.raise_if_any("These options cannot be priced")
    return np.array(np.broadcast_to(column, count))


def _check(blocks: Blocks, tails: Tails, *, at_once: int, threads: int) -> None:
    problems = Problems()
    for name, value in (("at_once", at_once), ("threads", threads)):
        if value < 1:
            problems.add(f"{value}.", where=name, fix="Give 1 or more.")
    for segment, (count, weights) in enumerate(zip(blocks.segments, tails.weights, strict=True)):
        if not 1 <= weights.shape[1] <= min(count, MOST_WORST):
            what = f"{weights.shape[1]} worst results of {counted(count, 'scenario')}."
            problems.add(what, where=f"segment {segment}", fix=f"Ask for 1 to {min(count, MOST_WORST)}.")
    problems.raise_if_any("These pools cannot be measured")
