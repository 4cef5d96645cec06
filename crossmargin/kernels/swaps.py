"""Values of cash flows that two curves decide: discounted by one, grown by a ratio of factors of another.

The entry is `value_swaps`. A *line* is a discount factor of some curve at some date, or the inverse of one: the curves'
knots stand below one another, and the weights of an inverse are negative. A *plain* flow is an amount times one line, a
*ratio* an amount times three: discount factor at payment, factor at the start and inverse factor at the end.

The kernel walks through time as `rows` does: lines of one piece of time share an exponential, that of its middle, and
differ by a short series; a scenario too steep for the series takes an exponential for each line. After each piece the
flows that have all their lines are added to their rows. A line takes the slot of one that no flow reads any more, so
that the lines of a block of scenarios stay in the cache however many dates there are. Serial; no allocation except
scratch arrays.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import numpy as np

from crossmargin.kernels._fma import fma
from crossmargin.kernels._jit import kernel
from crossmargin.kernels.rows import LINE, SLOT, Floats, Integers, _discount, _mend, _set_middle

WIDEST = 128  # scenarios in a block: rows and lines of a few hundred swaps then need half a megabyte
PLAIN, RATIOS = range(2)  # columns of `due`
ROW, FIRST, SECOND, THIRD = range(4)  # columns of `plain` and `ratios`; a plain flow has only the first line


@kernel("void(f8[:, ::1], f8[:, ::1], i8[:, ::1], f8[::1], i8, i8, i8, i8)")
def _add_plain(
    out: Floats, lines: Floats, plain: Integers, amount: Floats, first: int, last: int, begin: int, count: int
) -> None:
    """Add the plain flows first .. last to their rows."""
    for flow in range(first, last):
        line, row, a = lines[plain[flow, FIRST]], out[plain[flow, ROW], begin : begin + count], amount[flow]
        for s in range(count):
            row[s] = fma(a, line[s], row[s])


@kernel("void(f8[:, ::1], f8[:, ::1], i8[:, ::1], f8[::1], i8, i8, i8, i8)")
def _add_ratios(
    out: Floats, lines: Floats, ratios: Integers, amount: Floats, first: int, last: int, begin: int, count: int
) -> None:
    """Add the ratios first .. last to their rows."""
    for flow in range(first, last):
        pay, up, down = lines[ratios[flow, FIRST]], lines[ratios[flow, SECOND]], lines[ratios[flow, THIRD]]
        row, a = out[ratios[flow, ROW], begin : begin + count], amount[flow]
        for s in range(count):
            row[s] = fma(a * pay[s], up[s] * down[s], row[s])


@kernel(
    "void(f8[:, ::1], i8[:, ::1], f8[:, ::1], f8[:, ::1], i8[::1], f8[:, ::1], i8[:, ::1], f8[:, ::1], i8[:, ::1], i8,"
    " i8[:, ::1], i8[:, ::1], i8[:, ::1], f8[::1], f8[::1], f8[:, ::1], i8, i8)"
)
def value_swaps(
    zeros: Floats,
    nodes: Integers,
    centres: Floats,
    slopes: Floats,
    piece_start: Integers,
    series: Floats,
    line_nodes: Integers,
    line_weights: Floats,
    slots: Integers,
    n_slots: int,
    due: Integers,
    plain: Integers,
    ratios: Integers,
    plain_amount: Floats,
    ratio_amount: Floats,
    out: Floats,
    begin: int,
    end: int,
) -> None:
    """Write out[row, s] = sum of amount * line(s) + sum of amount * line(s) * line(s) * line(s).

    Parameters
    ----------
    zeros : float64 [n_knots, n_scenarios]
        Zero rates at the knots of all curves, one curve below the other.
    nodes : int64 [2, n_pieces]
        Which two knots make the exponents of a piece of time of one curve.
    centres, slopes : float64 [2, n_pieces]
        Weights of the two: of the exponent in the middle of the piece, and of its change to the end of the piece.
    piece_start : int64 [n_pieces + 1]
        Lines of piece i are piece_start[i] .. piece_start[i + 1].
    series : float64 [n_lines, SERIES_TERMS]
        The line over that of the middle of the piece, as a power series in the slope.
    line_nodes, line_weights : int64, float64 [2, n_lines]
        The same line by line: knots, and weights of the zero rates in the exponent.
    slots : int64 [n_lines, 1]
        Where each line is kept until nothing reads it any more.
    n_slots : int
        Slots there are.
    due : int64 [n_pieces + 1, 2]
        Plain flows and ratios that are added after piece i: due[i] .. due[i + 1].
    plain : int64 [n_plain, 2]
        Row, and slot of the line.
    ratios : int64 [n_ratios, 4]
        Row, and slots of the three lines.
    plain_amount, ratio_amount : float64 [n_plain], float64 [n_ratios]
    out : float64 [n_rows, n_scenarios]
        Written in columns begin .. end; nothing else is touched.
    begin, end : int
        The scenarios to value. Cutting them into pieces changes no bit of the result.
    """
    width = min(-(-(end - begin) // LINE) * LINE, WIDEST)
    room = np.zeros((n_slots + 3) * width + LINE)
    skipped = -(room.ctypes.data // room.itemsize) % LINE  # a vector that crosses no cache line is faster
    scratch = room[skipped : skipped + (n_slots + 3) * width].reshape((n_slots + 3, width))
    lines, spare, middle, slope = scratch[3:], scratch[0], scratch[1], scratch[2]
    for block in range(begin, end, max(width, LINE)):
        count = min(width, end - block)
        out[:, block : block + count] = 0.0
        for piece in range(len(piece_start) - 1):
            steep = _set_middle(middle, slope, zeros, nodes, centres, slopes, piece, block, count)
            first, last = piece_start[piece], piece_start[piece + 1]
            for line in range(first, last, 2):
                _discount(lines, middle, slope, series, slots, spare, line, last)
            if steep > 0:
                for line in range(first, last):
                    _mend(lines[slots[line, SLOT]], slope, zeros, line_nodes, line_weights, line, block, count)
            now, then = due[piece], due[piece + 1]
            _add_plain(out, lines, plain, plain_amount, now[PLAIN], then[PLAIN], block, count)
            _add_ratios(out, lines, ratios, ratio_amount, now[RATIOS], then[RATIOS], block, count)
