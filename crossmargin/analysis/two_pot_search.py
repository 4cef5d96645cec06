"""The cheapest way to direct items into a two-pot programme, on arrays, with a bound that no other way goes below.

Call `search(book)`. Small books are enumerated; on larger ones a local search finds an answer and a best-first branch
and bound proves how far from the best it can be at most. The count of nodes is limited, never the time, so that the
same book has the same answer everywhere. What is directed counts in whole lots.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from itertools import combinations, count

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike

from crossmargin.analysis.two_pot_book import BELOW, FUTURES, TREASURY, IntArray, TwoPotBook
from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem

CENT = 0.01
ENUMERATED = 4096  # allocations of a book that is small
_NODES = 400
_LEAF = 32  # allocations of a box that is not divided further
_ROUNDS = 12  # of cutting planes at the first node; a later one takes two
_KEPT = 80  # planes that a node hands on
_PAIRS = 600  # pairs of items whose joint moves are tried
_SHARES = (1.0, 0.25, 0.05)


@frozen(eq=False)
class Found:
    """Directed lots [n_items], what all pots then ask, and a bound below every allocation, USD.

    `nodes` counts the boxes that were looked into; 0 means that every allocation was enumerated.
    """

    directed: IntArray
    total: float
    lower_bound: float
    nodes: int

    @property
    def gap(self) -> float:
        """How much cheaper another allocation can be at most, USD."""
        return max(0.0, self.total - self.lower_bound)

    @property
    def exact(self) -> bool:
        """Whether no allocation is cheaper by a cent."""
        return self.gap < CENT


def search(book: TwoPotBook, *, start: ArrayLike | None = None, nodes: int = _NODES) -> Found:
    """Return the cheapest allocation found and a proven bound.

    Parameters
    ----------
    book : TwoPotBook
        Items, pools and models.
    start : array [n_items], optional
        Directed lots of today, which the answer never costs more than; where all allocations are enumerated, of those
        that cost the same the nearest to it is taken. The fewest lots possible unless given.
    nodes : int
        Boxes to look into at most where the book is too large to enumerate; 0 gives the bound of the whole book.

    Raises
    ------
    InputError
        A start outside the limits, a negative count of nodes.

    Notes
    -----
    The bound of a box is a linear program. Base pools and legs lie above planes (`Model.plane`) and above the least
    that they can be in the box (`Model.charge_range`); the factor is at most what the ranges allow. For convex models
    the reduced legs also lie above each model's joint charge times the least ratio of what both pots ask to what that
    model asks for the legs alone. A book whose legs may hedge themselves in many ways leaves a wide gap.

    Examples
    --------
    >>> from crossmargin.analysis.two_pot_book import Model, Tail
    >>> from crossmargin.risk import TailMeasure
    >>> rows = [[-4.0, 4.0], [3.0, -3.0]]  # a Treasury, and a future that hedges it
    >>> model = Model(rows, [Tail(1.0, TailMeasure("kth_worst", k=1), 0, 2)], np.zeros((2, 0)), [])
    >>> book = TwoPotBook((model, model), [0, 1], [0, 1], [1, 2], [1, 0], [1, 2], cap=0.8)
    >>> found = search(book)
    >>> found.directed.tolist(), round(found.total, 6), found.exact
    ([1, 2], 2.0, True)
    """
    today = book.least if start is None else np.array(start, dtype=np.int64)
    if today.shape != book.lots.shape or (today < book.least).any() or (today > book.most).any():
        raise InputError([Problem("lies outside the limits.", "start", "Give directed lots from least to most.")])
    if nodes < 0:
        raise InputError([Problem(f"{nodes} is negative.", "nodes", "Give how many boxes to look into.")])
    if box_size(book.least, book.most) <= ENUMERATED:
        directed, total = _cheapest(book, _box(book.least, book.most), today)
        return Found(directed, total, total, 0)
    return _branch_and_bound(book, today, nodes)


def box_size(low: IntArray, high: IntArray) -> int:
    """Return how many allocations lie in a box."""
    return math.prod((high - low + 1).tolist())


def improved(book: TwoPotBook, start: IntArray) -> tuple[IntArray, float]:
    """Return the allocation that no move of one item, and no joint move tried of two, makes cheaper; and its total."""
    best, total = start, float(book.totals(start))
    while True:
        for moves in (_single_moves(book, best), _pair_moves(book, best)):
            tried = np.unique(np.clip(moves, book.least, book.most), axis=0)
            totals = book.totals(tried)
            at = int(np.argmin(totals)) if len(tried) else 0
            if len(tried) and totals[at] < total - CENT / 10:
                best, total = tried[at], float(totals[at])
                break
        else:
            return best, total


def _box(low: IntArray, high: IntArray) -> IntArray:
    """Return every allocation [n, n_items] of a box."""
    axes = np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)), indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=-1) if axes else np.zeros((1, 0), dtype=np.int64)


def _cheapest(book: TwoPotBook, tried: IntArray, today: IntArray) -> tuple[IntArray, float]:
    """Return the cheapest of allocations, and its total; within a cent of it the one that moves the fewest lots."""
    totals = book.totals(tried)
    near = np.flatnonzero(totals <= totals.min() + CENT / 2)
    at = near[np.argmin(np.abs(tried[near] - today).sum(axis=1))]
    return tried[at], float(totals[at])


def _single_moves(book: TwoPotBook, at: IntArray) -> IntArray:
    """Return allocations that differ from `at` in one item, by steps that halve."""
    tried = []
    for item in np.flatnonzero(book.most > book.least):
        span = int(book.most[item] - book.least[item])
        steps = {span >> power for power in range(span.bit_length())}
        one = np.eye(book.n_items, dtype=np.int64)[item]
        tried += [at + sign * size * one for size in sorted(steps) for sign in (-1, 1)]
    return np.array(tried, dtype=np.int64).reshape(-1, book.n_items)


def _pair_moves(book: TwoPotBook, at: IntArray) -> IntArray:
    """Return allocations that differ from `at` in two items, hedges first: a Treasury and a future."""
    spans = book.most - book.least
    pairs = sorted(combinations(np.flatnonzero(spans), 2), key=lambda pair: book.side[pair[0]] == book.side[pair[1]])
    tried = []
    for one, other in pairs[:_PAIRS]:
        for share in _SHARES:
            a, b = (max(1, round(share * int(spans[item]))) for item in (one, other))
            for signs in ((1, 1), (-1, -1), (1, -1), (-1, 1)):
                move = np.zeros(book.n_items, dtype=np.int64)
                move[one], move[other] = signs[0] * a, signs[1] * b
                tried.append(at + move)
    return np.array(tried, dtype=np.int64).reshape(-1, book.n_items)


# ----------------------------------------------------------------------------------------------- branch and bound


@frozen
class _Piece:
    """A charge as a function of the allocation x: `model` of `sign` * x + `offset` on the items of `mask`."""

    model: int
    mask: FloatArray = field(eq=False)
    sign: float
    offset: FloatArray = field(eq=False)
    constant: float = 0.0

    def held(self, directed: ArrayLike) -> FloatArray:
        return self.offset + self.sign * self.mask * np.asarray(directed, dtype=np.float64)


@frozen(eq=False)
class _Cut:
    """A piece is at least `slope` @ x + `level`, in the box where this was found and in every part of it."""

    piece: int
    slope: FloatArray
    level: float


def _pieces(book: TwoPotBook) -> tuple[_Piece, ...]:
    """Return both joint charges, each model's charge of its own leg, then the pools outside."""
    nothing, everything = np.zeros(book.n_items), np.ones(book.n_items)
    joint = [_Piece(model, everything, 1.0, nothing) for model in (TREASURY, FUTURES)]
    legs = [_Piece(side, (book.side == side).astype(float), 1.0, nothing) for side in (TREASURY, FUTURES)]
    outside = []
    for pool, side, constant in book.pools:
        mask = (book.home == pool).astype(float)
        outside.append(_Piece(side, mask, -1.0, mask * book.lots, constant))
    return (*joint, *legs, *outside)


def _branch_and_bound(book: TwoPotBook, today: IntArray, nodes: int) -> Found:
    """Return the answer of local searches from every allocation that looks good, and the bound of what is left open."""
    pieces, order, looked = _pieces(book), count(), 1
    starts = (today, book.least, book.most)
    best, total = min((improved(book, start) for start in starts), key=lambda found: found[1])
    bound, at, cuts = _relaxed(book, pieces, book.least, book.most, cuts=(), rounds=_ROUNDS)
    best, total = min([(best, total), improved(book, _rounded(book, at))], key=lambda found: found[1])
    heap = [(bound, next(order), book.least, book.most, at, cuts)]
    while heap and heap[0][0] < total - CENT / 2 and looked < nodes:
        bound, _, low, high, at, cuts = heapq.heappop(heap)
        for part in _halves(book, low, high):
            looked += 1
            if box_size(*part) <= _LEAF:
                found = _cheapest(book, _box(*part), today)
                best, total = min([(best, total), found], key=lambda each: each[1])
                continue
            inner, at, kept = _relaxed(book, pieces, *part, cuts=cuts, rounds=2)
            candidate = np.clip(_rounded(book, at), *part)
            value = float(book.totals(candidate))
            if value < total - CENT / 10:
                best, total = improved(book, candidate)
            if max(bound, inner) < total - CENT / 2:
                heapq.heappush(heap, (max(bound, inner), next(order), *part, at, kept))
    return Found(best, total, min([total - CENT / 2, *(node[0] for node in heap[:1])]), looked)


def _halves(book: TwoPotBook, low: IntArray, high: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the two halves of a box, cut across the item whose spread matters most."""
    alone = np.eye(book.n_items)
    size = np.maximum(book.models[0].charge(alone), book.models[1].charge(alone)) + CENT
    item = int(np.argmax((high - low) * size))
    middle = int(low[item] + high[item]) // 2
    upper, lower = high.copy(), low.copy()
    upper[item], lower[item] = middle, middle + 1
    yield low, upper
    yield lower, high


def _rounded(book: TwoPotBook, at: FloatArray) -> IntArray:
    return np.clip(np.rint(at).astype(np.int64), book.least, book.most)


def _relaxed(
    book: TwoPotBook,
    pieces: tuple[_Piece, ...],
    low: IntArray,
    high: IntArray,
    *,
    cuts: tuple[_Cut, ...],
    rounds: int,
) -> tuple[float, FloatArray, tuple[_Cut, ...]]:
    """Return the bound of a box, where the relaxation takes it, and the planes that it found."""
    ranges = [
        book.models[piece.model].charge_range(*_sorted_box(piece.held(low), piece.held(high)), piece.constant)
        for piece in pieces
    ]
    at, bound = (low + high) / 2.0, -math.inf
    for _ in range(rounds):
        found = _cuts_at(book, pieces, at, low=low, high=high)
        ranges = [
            (max(least, float(np.minimum(cut.slope * low, cut.slope * high).sum()) + cut.level), most)
            for (least, most), cut in zip(ranges, found, strict=True)
        ]
        cuts = (*cuts[-_KEPT:], *found)
        value, at = _solved(_weights(book, pieces, ranges, low=low, high=high), ranges, cuts, low=low, high=high)
        if value <= bound + max(CENT, 1e-4 * abs(value)):
            return max(bound, value), at, cuts
        bound = value
    return bound, at, cuts


def _sorted_box(one: FloatArray, other: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the corners of the box between two points."""
    return np.minimum(one, other), np.maximum(one, other)


def _cuts_at(
    book: TwoPotBook, pieces: tuple[_Piece, ...], at: FloatArray, *, low: IntArray, high: IntArray
) -> list[_Cut]:
    """Return a plane below each piece, in the box, as high as may be at one point."""
    found = []
    for number, piece in enumerate(pieces):
        box = _sorted_box(piece.held(low), piece.held(high))
        slope, level = book.models[piece.model].plane(piece.held(at), *box, piece.constant)
        found.append(_Cut(number, piece.sign * piece.mask * slope, level + float(slope @ piece.offset)))
    return found


@frozen(eq=False)
class _Weights:
    """Of the linear program: of the pieces in the objective, of the legs in their reduced sum, of the joint charges."""

    objective: FloatArray
    kept: float
    ratios: tuple[float, float]


def _weights(
    book: TwoPotBook,
    pieces: tuple[_Piece, ...],
    ranges: list[tuple[float, float]],
    *,
    low: IntArray,
    high: IntArray,
) -> _Weights:
    """Return what the ranges of a box say of the factor: 1 - factor >= joint / (legs alone), and >= 1 - cap."""
    least = ranges[2][0] + ranges[3][0]
    ratios, factors = [], []
    for number, model in enumerate(book.models):
        other = pieces[3 - number]
        most = ranges[2 + number][1] + model.charge_range(other.held(low), other.held(high))[1]
        factors.append(1.0 - ranges[number][0] / most if most > 0.0 else 0.0)
        ratios.append(least / most if book.convex and most > 0.0 else 0.0)
    factor = min(max(0.0, min(factors)), book.cap)
    factor = 0.0 if factor < book.minimum - BELOW else factor
    pools = [book.scales[piece.model] for piece in pieces[4:]]
    objective = np.array([0.0, 0.0, *(scale - 1.0 for scale in book.scales), *pools])
    return _Weights(objective, 1.0 - factor, (ratios[0], ratios[1]))


def _solved(
    weights: _Weights, ranges: list[tuple[float, float]], cuts: tuple[_Cut, ...], *, low: IntArray, high: IntArray
) -> tuple[float, FloatArray]:
    """Return a bound of the relaxation and where it is least: variables are x, the pieces, and the reduced legs."""
    from scipy.optimize import linprog

    n, m = len(low), len(ranges)
    unit = max(1.0, *(top for _, top in ranges))  # the solver's tolerances are absolute
    rows, right = np.zeros((len(cuts) + 3, n + m + 1)), np.zeros(len(cuts) + 3)
    for number, cut in enumerate(cuts):
        rows[number, :n], rows[number, n + cut.piece], right[number] = cut.slope / unit, -1.0, -cut.level / unit
    rows[-3:, -1] = -1.0
    rows[-3, n + 2 : n + 4] = weights.kept
    rows[-2, n], rows[-1, n + 1] = weights.ratios
    objective = np.concatenate([np.zeros(n), weights.objective, [1.0]])
    pieces = np.array([*ranges, (0.0, ranges[2][1] + ranges[3][1])]) / unit
    limits = np.vstack([np.stack([low, high], axis=1), pieces])
    solved = linprog(objective, A_ub=rows, b_ub=right, bounds=limits, method="highs")
    if solved.status != 0:
        return float(objective @ limits[:, 0]) * unit, (low + high) / 2.0
    # Any multipliers >= 0 prove a bound; the solver's own value would be true to its tolerances only.
    multipliers = np.maximum(0.0, -solved.ineqlin.marginals)
    reduced = objective + multipliers @ rows
    proven = float(np.minimum(reduced * limits[:, 0], reduced * limits[:, 1]).sum() - multipliers @ right)
    return proven * unit, np.asarray(solved.x[:n])
