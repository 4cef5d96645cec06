"""Small linear programmes, and the same with whole numbers: the simplex method on a dense table, branch and bound.

The entries are `least` and `least_whole`. A table has one column for each variable outside the basis, the values last;
its first row is the reduced costs, the others are those of the programme. The variable that saves most enters, the row
that binds first leaves; where nothing moves for long, the first of each does (Bland), which cannot cycle. A branch adds
one row, and the dual method repairs the table. Whoever calls proves the result of `least` by its multipliers: nothing
here promises that rounding has done no harm.

References
----------
Bland, New finite pivoting rules for the simplex method, Mathematics of Operations Research 2 (1977). Land and Doig, An
automatic method of solving discrete programming problems, Econometrica 28 (1960).
"""
# ruff: noqa: PLR0917 - compiled code takes its arrays one by one, by position

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossmargin.kernels._jit import kernel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SMALL = 1e-9  # no entry to pivot on; beside the largest cost or limit: no saving, no lack
BROKEN = 1e-6  # from a whole number
DEEPEST = 60  # branches below one another
MOST_NODES = 1_000

SOLVED, IMPOSSIBLE, GIVEN_UP = range(3)


@kernel("void(f8[:, ::1], i8[::1], i8[::1], i8, i8)")
def _exchange(table: Floats, basic: Integers, outside: Integers, row: int, column: int) -> None:
    """Let the variable of a column enter the basis for that of a row."""
    pivot = table[row, column]
    for i in range(len(table)):
        factor = table[i, column] / pivot
        if i != row and factor != 0.0:
            for j in range(table.shape[1]):
                table[i, j] -= factor * table[row, j]
            table[i, column] = -factor
    for j in range(table.shape[1]):
        table[row, j] /= pivot
    table[row, column] = 1.0 / pivot
    basic[row], outside[column] = outside[column], basic[row]


@kernel("i8(f8[:, ::1], i8[::1], b1[::1], f8, b1)")
def _entering(table: Floats, outside: Integers, free: Flags, saving: float, first: bool) -> int:
    """Return the column that saves most, or the variable of lowest number that saves anything; -1 for none."""
    found = -1
    for column in range(len(outside)):
        if not free[outside[column]] or table[0, column] >= -saving:
            continue
        better = outside[column] < outside[found] if first else table[0, column] < table[0, found]
        if found < 0 or better:
            found = column
    return found


@kernel("i8(f8[:, ::1], i8[::1], i8, b1)")
def _leaving(table: Floats, basic: Integers, column: int, first: bool) -> int:
    """Return the row that binds first; of several the largest pivot, or the variable of lowest number; -1 for none."""
    found, least, last = -1, np.inf, table.shape[1] - 1
    for row in range(1, len(table)):
        if table[row, column] > SMALL:
            ratio = max(table[row, last], 0.0) / table[row, column]
            closer = ratio < least
            if ratio == least:
                closer = basic[row] < basic[found] if first else table[row, column] > table[found, column]
            if closer:
                found, least = row, ratio
    return found


@kernel("i8(f8[:, ::1], i8[::1], i8[::1], b1[::1])")
def _descend(table: Floats, basic: Integers, outside: Integers, free: Flags) -> int:
    """Pivot from an admissible table until nothing saves any more."""
    size, last = len(basic) + len(outside), len(outside)
    saving, still = SMALL * max(1.0, np.abs(table[0, :last]).max()), 0
    for _ in range(20 * size):
        column = _entering(table, outside, free, saving, still > size)
        if column < 0:
            return SOLVED
        row = _leaving(table, basic, column, still > size)
        if row < 0:
            return GIVEN_UP
        before = table[0, last]
        _exchange(table, basic, outside, row, column)
        still = still + 1 if table[0, last] <= before else 0
    return GIVEN_UP


@kernel("i8(f8[:, ::1], i8[::1], i8[::1], b1[::1], f8)")
def _repair(table: Floats, basic: Integers, outside: Integers, free: Flags, lack: float) -> int:
    """Pivot, where nothing saves any more, until no value is below zero."""
    last = len(outside)
    for _ in range(20 * (len(basic) + last)):
        row = 1 + int(np.argmin(table[1:, last]))
        if table[row, last] >= -lack:
            return SOLVED
        found, least = -1, np.inf
        for column in range(last):
            if free[outside[column]] and table[row, column] < -SMALL:
                ratio = max(table[0, column], 0.0) / -table[row, column]
                if ratio < least or (ratio == least and table[row, column] < table[row, found]):
                    found, least = column, ratio
        if found < 0:
            return IMPOSSIBLE
        _exchange(table, basic, outside, row, found)
    return GIVEN_UP


@kernel("void(i8[:, ::1], f8[::1], f8[::1], f8[::1], i8[::1], f8[:, ::1], i8[::1], i8[::1])")
def _set_up(
    places: Integers,
    entries: Floats,
    cost: Floats,
    limits: Floats,
    starting: Integers,
    table: Floats,
    basic: Integers,
    outside: Integers,
) -> None:
    """Write the table of a programme and let the starting variables enter."""
    n_rows, n_variables = len(limits), len(cost)
    table[:] = 0.0
    for place in range(len(entries)):
        table[1 + places[0, place], places[1, place]] = entries[place]
    table[0, :n_variables] = cost
    table[1:, n_variables] = limits
    basic[1:] = np.arange(n_variables, n_variables + n_rows)
    outside[:] = np.arange(n_variables)
    for place in range(len(starting)):
        _exchange(table, basic, outside, 1 + n_rows - len(starting) + place, starting[place])


@kernel("b1[::1](i8, f8[::1], i8, i8)")
def _free(n_rows: int, bounds: Floats, n_equal: int, n_branches: int) -> Flags:
    """Return which variables may enter: not those bounded by 0, and no slack of an equality."""
    n_variables = len(bounds)
    free = np.ones(n_variables + n_rows + n_branches, dtype=np.bool_)
    free[:n_variables] = bounds > 0.0
    free[n_variables + n_rows - n_equal : n_variables + n_rows] = False
    return free


@kernel("void(f8[:, ::1], i8[::1], f8[::1])")
def _read(table: Floats, basic: Integers, values: Floats) -> None:
    values[:] = 0.0
    for row in range(1, len(table)):
        if basic[row] < len(values):
            values[basic[row]] = table[row, len(values)]


@kernel("b1(i8[:, ::1], f8[::1], f8[::1], f8[::1], f8[::1], i8[::1], f8[::1], f8[::1])")
def least(
    places: Integers,
    entries: Floats,
    cost: Floats,
    limits: Floats,
    bounds: Floats,
    starting: Integers,
    values: Floats,
    multipliers: Floats,
) -> bool:
    """Set values and multipliers where `cost @ values` is least; return False where the method gave up.

    Parameters
    ----------
    places, entries : array [2, n_entries], [n_entries]
        Row and column of each entry of the matrix.
    cost : array [n_variables]
        Of one of each variable.
    limits : array [n_rows]
        At least 0. `matrix @ values` is at most the limit, in the last rows equal to it.
    bounds : array [n_variables]
        A variable whose bound is 0 stays there; other bounds must be implied by the rows.
    starting : array [n_equal]
        A variable for each of the last rows: it has a 1 there, no entry in others of them, none above 0 elsewhere.
    values, multipliers : array [n_variables], [n_rows]
        Set here; multipliers of inequalities are at most 0.
    """
    n_rows, n_variables = len(limits), len(cost)
    table = np.empty((n_rows + 1, n_variables + 1))
    basic, outside = np.full(n_rows + 1, -1), np.empty(n_variables, dtype=np.int64)
    _set_up(places, entries, cost, limits, starting, table, basic, outside)
    if _descend(table, basic, outside, _free(n_rows, bounds, len(starting), 0)) != SOLVED:
        return False
    _read(table, basic, values)
    multipliers[:] = 0.0
    for column in range(n_variables):
        if outside[column] >= n_variables:
            multipliers[outside[column] - n_variables] = -table[0, column]
    return True


@kernel("i8(f8[:, ::1], i8[::1], f8[::1])")
def _most_broken(table: Floats, basic: Integers, whole: Floats) -> int:
    """Return the row of the variable that is furthest from the whole number it must be, 0 for none."""
    found, last, most = 0, table.shape[1] - 1, BROKEN
    for row in range(1, len(table)):
        if basic[row] < len(whole) and whole[basic[row]] > 0.0:
            off = abs(table[row, last] - np.rint(table[row, last]))
            if off > most:
                found, most = row, off
    return found


@kernel("i8(f8[:, :, ::1], i8[:, ::1], i8[:, ::1], b1[::1], i8, i8, i8, b1)")
def _branch(
    tables: Floats, basics: Integers, outsides: Integers, free: Flags, level: int, size: int, row: int, up: bool
) -> int:
    """Set the next level: the variable of a row is at least the whole number above its value, or at most that below.

    `size` is the length of the table at this level; its slack is numbered after those of other rows.
    """
    last, side = tables.shape[2] - 1, 1.0 if up else -1.0
    tables[level + 1, :size] = tables[level, :size]
    tables[level + 1, size] = side * tables[level, row]
    value = tables[level, row, last]
    tables[level + 1, size, last] = value - np.ceil(value) if up else np.floor(value) - value
    basics[level + 1, :size], basics[level + 1, size] = basics[level, :size], last + size - 1
    outsides[level + 1] = outsides[level]
    table = tables[level + 1, : size + 1]
    lack = SMALL * max(1.0, np.abs(tables[0, 1:size, last]).max())
    return _repair(table, basics[level + 1, : size + 1], outsides[level + 1], free, lack)


@kernel("b1(i8[:, ::1], f8[::1], f8[::1], f8[::1], f8[::1], i8[::1], f8[::1], f8[::1])")
def least_whole(
    places: Integers,
    entries: Floats,
    cost: Floats,
    limits: Floats,
    bounds: Floats,
    starting: Integers,
    whole: Floats,
    values: Floats,
) -> bool:
    """Set the values at which `cost @ values` is least; return False where the search was too long.

    `whole` [n_variables] is above 0 for what must be a whole number; the rest is as in `least`. The search goes down
    first, to the nearer whole number, and leaves what saves less than a billionth.
    """
    n_rows, n_variables = len(limits), len(cost)
    tables = np.empty((DEEPEST + 1, n_rows + 1 + DEEPEST, n_variables + 1))
    basics = np.empty((DEEPEST + 1, n_rows + 1 + DEEPEST), dtype=np.int64)
    outsides = np.empty((DEEPEST + 1, n_variables), dtype=np.int64)
    rows, tried = np.zeros((2, DEEPEST + 1), dtype=np.int64)
    free, table, basic = _free(n_rows, bounds, len(starting), DEEPEST), tables[0, : n_rows + 1], basics[0, : n_rows + 1]
    _set_up(places, entries, cost, limits, starting, table, basic, outsides[0])
    if _descend(table, basic, outsides[0], free) != SOLVED:
        return False
    best, found, level = np.inf, False, 0
    rows[0] = _most_broken(table, basic, whole)
    for _ in range(MOST_NODES):
        while level >= 0 and (tried[level] == 2 or -tables[level, 0, n_variables] >= best):
            level -= 1
        if level < 0:
            return found
        row, size, reached = rows[level], n_rows + 1 + level, -tables[level, 0, n_variables]
        if row == 0:
            _read(tables[level, :size], basics[level, :size], values)
            best, found, tried[level] = reached - SMALL * max(1.0, abs(reached)), True, 2
            continue
        if level == DEEPEST:
            return False
        value = tables[level, row, n_variables]
        up = (value - np.floor(value) > 0.5) == (tried[level] == 0)
        tried[level] += 1
        ended = _branch(tables, basics, outsides, free, level, size, row, up)
        if ended == GIVEN_UP:
            return False
        if ended == SOLVED:
            level += 1
            rows[level], tried[level] = _most_broken(tables[level, : size + 1], basics[level, : size + 1], whole), 0
    return False
