"""American options under many scenarios: European value plus a premium read from a table.

The one entry is `price_rows`. Everything is a put with strike 1, as in `american`. The place of a scenario in the
table, the table's cubics there, and the price are loops of their own over one block of scenarios: all but the reading
are plain vector code, and the reading is `blend`. A table is cubic in both directions: along the log of spot, counted
from the exercise boundary, and across volatilities.
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._blend import blend
from crossmargin.kernels._fma import fma
from crossmargin.kernels._jit import kernel
from crossmargin.kernels.black import distances, forward_value, loaded

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]

WARP = 0.4  # volatility v stands at v / (v + WARP) in a table: rows are closest where premiums bend most
BLOCK = 256  # scenarios of one option between the loops of `price_rows`; their scratch stays close

# Rows of the scratch of `price_rows`, each BLOCK wide.
MONEYNESS, DEVIATION, BETWEEN, BEYOND, WITHIN = range(5)


@kernel("i8(f8[:, ::1], i4[::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], f8, b1)")
def _coordinates(
    w: Floats,
    rows: Rows,
    log_spot: Floats,
    scale: Floats,
    shift: Floats,
    term: Floats,
    option: Floats,
    last: float,
    is_call: bool,
) -> int:
    """Set log moneyness, deviation and place between the rows of the table; return how many lie outside."""
    root, low, high, first, per_row = term[3], term[4], term[5], term[6], term[7]
    sign, log_strike, vol = -1.0 if is_call else 1.0, option[1], option[2]
    outside = 0
    for s in range(len(log_spot)):
        v = fma(vol, scale[s], shift[s])
        w[MONEYNESS, s] = sign * (log_spot[s] - log_strike)
        held = low if v < low else v  # noqa: FURB136 - one instruction
        held = high if held > high else held  # noqa: FURB136
        outside += 0 if held == v else 1
        w[DEVIATION, s] = v * root if held == v else np.nan
        place = (held / (held + WARP) - first) * per_row
        place = last if place > last else place  # noqa: FURB136
        row = np.int32(place)
        rows[s] = row
        w[BETWEEN, s] = place - np.float64(row)
    return outside


@kernel("void(f8[:, ::1], f8[::1], f8[:, ::1], i4[::1], i8)")
def _blend_rows(mixed: Floats, between: Floats, table: Floats, rows: Rows, count: int) -> None:
    """Set `mixed` to the cubics of the rows of a table that each scenario asks for."""
    for s in range(0, count, 4):
        blend(table, rows, between, mixed, s)


@kernel("void(f8[:, ::1], f8[:, ::1], i4[::1], i4[::1], i8, i8)")
def _columns(w: Floats, mixed: Floats, places: Rows, rows: Rows, n_columns: int, count: int) -> None:
    """Set the distance beyond the boundary in columns, the place within one, and the place of the cell."""
    last, columns = n_columns - 0.001, np.int32(n_columns)
    for s in range(count):
        u = (w[MONEYNESS, s] - mixed[0, s]) * mixed[1, s]
        along = 0.0 if u < 0.0 else u  # noqa: FURB136
        along = last if along > last else along  # noqa: FURB136
        column = np.int32(along)
        w[BEYOND, s] = u
        w[WITHIN, s] = along - np.float64(column)
        places[s] = rows[s] * columns + column


@kernel("void(f8[::1], f8[:, ::1], f8[:, ::1], f8[::1], f8[::1], f8, b1)")
def _price(out: Floats, w: Floats, mixed: Floats, spot: Floats, term: Floats, strike: float, is_call: bool) -> None:
    """Write European value plus premium, at least intrinsic; NaN outside the table."""
    r, q, time = term[0], term[1], term[2]
    discount, carried, drift = np.exp(-r * time), np.exp(-q * time), (r - q) * time
    paid, got = (1.0, 0.0) if is_call else (0.0, 1.0)  # of the spot; exact, and one loop for both rights
    strike_paid, strike_got = strike * got, strike * paid
    c = loaded(min(len(out), 0))
    for s in range(len(out)):
        k, x = fma(spot[s], paid, strike_paid), fma(spot[s], got, strike_got)
        h, b = distances(w[MONEYNESS, s] + drift, w[DEVIATION, s])
        value = forward_value(h, b, x * carried, k * discount, -1.0, c)
        t = w[WITHIN, s]
        premium = fma(t, fma(t, fma(t, mixed[3, s], mixed[2, s]), mixed[1, s]), mixed[0, s])
        premium = 0.0 if premium < 0.0 else premium  # noqa: FURB136
        now = k - x
        value = now if w[BEYOND, s] < 0.0 else fma(k, premium, value)
        value = now if now > value else value  # noqa: FURB136
        out[s] = value if w[DEVIATION, s] > 0.0 else np.nan


@kernel(
    "void(f8[:, ::1], f8[:, ::1], f8[::1], i8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1],"
    " f8[:, ::1], i8[::1], f8[:, ::1])"
)
def price_rows(
    edges: Floats,
    cells: Floats,
    term: Floats,
    which: Integers,
    options: Floats,
    spots: Floats,
    log_spots: Floats,
    scales: Floats,
    shifts: Floats,
    outside: Integers,
    out: Floats,
) -> None:
    """Write out[option, scenario], the price of American options of one expiry and right by its table.

    Parameters
    ----------
    edges : float64 [n_rows, 16]
        Cubics in the place between two rows of volatility, lowest power first, four numbers each: the log of the
        exercise boundary over strike, columns per unit of log spot, and two that are not read.
    cells : float64 [n_rows * n_columns, 16]
        Cubics likewise; the four are coefficients of a cubic in the place between two columns: premium over strike.
    term : float64 [8]
        Rate, yield, years, their square root; least and greatest volatility of the table, place of the first
        row and rows per unit of v / (v + WARP). Rate and yield have changed places for a call.
    which : int64 [n_options, 4]
        Row of `options` and `out`, row of `spots`, row of `scales` and `shifts`, and 1 for a call.
    options : float64 [n_all, 3]
        Strike, its logarithm, volatility; scenario volatility is scale times this plus shift.
    spots, log_spots, scales, shifts : float64 [any, n_scenarios]
    outside, out : int64 [n_all], float64 [n_all, n_scenarios]
        Written, in the rows named by `which`: how many volatilities the table does not hold (their price is
        NaN), and the prices.
    """
    w, mixed = np.zeros((5, BLOCK)), np.zeros((4, BLOCK))
    rows, places = np.zeros(BLOCK, dtype=np.int32), np.zeros(BLOCK, dtype=np.int32)
    n_columns = len(cells) // len(edges)
    last_row = len(edges) * (1.0 - 1e-12)
    n_scenarios = out.shape[1]
    for n in range(len(which)):
        o, spot, smile, is_call = which[n, 0], which[n, 1], which[n, 2], which[n, 3] != 0
        outside[o] = 0
        for begin in range(0, n_scenarios, BLOCK):
            end = min(begin + BLOCK, n_scenarios)
            moved = scales[smile, begin:end], shifts[smile, begin:end]
            outside[o] += _coordinates(
                w, rows, log_spots[spot, begin:end], moved[0], moved[1], term, options[o], last_row, is_call
            )
            _blend_rows(mixed, w[BETWEEN], edges, rows, end - begin)
            _columns(w, mixed, places, rows, n_columns, end - begin)
            _blend_rows(mixed, w[BETWEEN], cells, places, end - begin)
            _price(out[o, begin:end], w, mixed, spots[spot, begin:end], term, options[o, 0], is_call)
