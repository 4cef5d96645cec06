"""The order in which a book of swaps is valued: piece of time by piece of time, all curves side by side.

Call `swap_plan`. A piece is half a year of one curve at most, or of its inverse; its lines follow on one another. A
flow is added to its row after the piece that brings the last of its lines. In which order the flows of a row are added
depends on its own dates and on the knots of the curves, never on the company of other rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crossmargin.curves import FloatArray, IntArray
from crossmargin.pricing.pieces import dated_pieces

if TYPE_CHECKING:
    from crossmargin.pricing.swaps import SwapBook

_Arrays: TypeAlias = list[NDArray[Any]]


def swap_plan(book: SwapBook, knots: Sequence[FloatArray]) -> tuple[Any, ...]:
    """Return what `kernels.swaps.value_swaps` takes between zero rates and result.

    Parameters
    ----------
    book : SwapBook
    knots : sequence of array
        Years, of each curve: the one that discounts, then those of `book.curves`.
    """
    return _swap_plan(book, tuple(np.asarray(each, dtype=np.float64).tobytes() for each in knots))


@lru_cache(maxsize=8)
def _swap_plan(book: SwapBook, knots: tuple[bytes, ...]) -> tuple[Any, ...]:
    """Return the plan, kept for the next curves on the same knots."""
    lengths, grid, lines, series, *of_lines = _pieces(book, [np.frombuffer(each) for each in knots])
    ends, place = np.cumsum(lengths), np.empty(len(lines), dtype=np.int64)
    place[lines] = np.arange(len(lines))
    flows = [(starts, place[which], amounts) for starts, which, amounts in (book.plain, book.ratios)]
    ordered = [_in_order(starts, np.atleast_2d(which), ends) for starts, which, _ in flows]
    n_slots = max((int((ends[last] - first).max(initial=0)) for last, first, *_ in ordered), default=0)
    n_slots = max(n_slots, int(lengths.max(initial=1)))  # the lines of a piece come together
    slots = np.arange(len(lines)) % n_slots
    due = np.stack([np.searchsorted(last, np.arange(len(ends) + 1)) for last, *_ in ordered], axis=1)
    tables = [np.column_stack([row, slots[which].T]) for _, _, row, which, _ in ordered]
    amounts = [each[order] for (*_, each), (*_, order) in zip(flows, ordered, strict=True)]
    starts = np.append(0, ends)
    return *grid, starts, np.ascontiguousarray(series.T), *of_lines, slots[:, None], n_slots, due, *tables, *amounts


def _in_order(starts: IntArray, lines: IntArray, ends: IntArray) -> tuple[IntArray, ...]:
    """Return by the piece after which a flow is added: that piece, its first line, row, lines, and where it stood."""
    row = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    last = np.searchsorted(ends, lines.max(axis=0), side="right")
    order = np.argsort(last, kind="stable")
    return last[order], lines.min(axis=0)[order], row[order], lines[:, order], order


def _pieces(book: SwapBook, knots: Sequence[FloatArray]) -> tuple[Any, ...]:
    """Return the pieces of all curves and of their inverses, by the time at which they begin.

    Lengths; knots and weights of middle and slope; the book's lines; their series, knots and weights.
    """
    of_pieces, of_lines, first = [], [], 0
    for number, own in enumerate(knots):
        for power in (1.0, -1.0):
            lines = np.flatnonzero((book.line_curve == number) & (book.line_power == power))
            lines = lines[np.argsort(book.line_time[lines])]
            nodes, centres, slopes, starts, series, day_nodes, weights = dated_pieces(own, book.line_time[lines])
            begin = (centres - slopes).sum(axis=0)  # exponents under a flat rate of 1 are times
            of_pieces.append([begin, np.diff(starts), nodes + first, power * centres, power * slopes])
            of_lines.append([lines, series.T, day_nodes + first, power * weights])
        first += len(own)
    begin, lengths, *grid = _joined(of_pieces)
    order, ends = np.argsort(begin, kind="stable"), np.cumsum(lengths)
    after = [np.arange(end - length, end) for end, length in zip(ends[order], lengths[order], strict=True)]
    places = np.concatenate([*after, np.zeros(0, dtype=np.int64)])
    return lengths[order], _taken(grid, order), *_taken(_joined(of_lines), places)


def _joined(parts: Iterable[_Arrays]) -> _Arrays:
    return [np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)]


def _taken(arrays: _Arrays, places: IntArray) -> _Arrays:
    return [np.ascontiguousarray(each[..., places]) for each in arrays]
