"""The cheapest cover as a linear programme over arrays: values in, values and prices out.

`solve(programme)` is the one thing to call. Supply, requirements and limits are rows; a deficit variable in each
requirement keeps the programme feasible and is charged `shortfall_cost`. Nothing here knows an asset or a rule.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray
from crossmargin.errors import NumericalError

IntArray = NDArray[np.int64]
_SPAN = 1e4  # literal: largest amount after scaling
_TOLERANCE = 1e-9  # literal: of the solver, absolute after scaling: below a cent where billions are covered
_NUDGE = 1e-6  # literal: share by which rows are eased to see prices from the easier side of a kink


@frozen(eq=False)
class Programme:
    """Minimise `cost @ x + shortfall_cost * sum(d)` over x, d >= 0.

    Attributes
    ----------
    source, need : array [n_columns]
        Which asset a column takes and which requirement it covers.
    value : array [n_columns]
        What 1 USD of market value covers, in (0, 1].
    cost : array [n_columns]
        USD a year for 1 USD of market value.
    supply : array [n_sources]
        Market value at hand: the columns of a source add up to no more, USD.
    required : array [n_needs]
        USD: `sum(value * x) + d >= required`.
    limits : sequence of (array, float)
        Columns whose covering value adds up to no more than the amount, USD.
    """

    source: IntArray
    need: IntArray
    value: FloatArray
    cost: FloatArray
    supply: FloatArray
    required: FloatArray
    limits: Sequence[tuple[IntArray, float]]
    shortfall_cost: float


@frozen(eq=False)
class Solution:
    """What to use, what stays uncovered, and what a dollar more or less of each row is worth.

    Attributes
    ----------
    used : array [n_columns]
        Market value, USD.
    deficits : array [n_needs]
        USD.
    need_prices : array [n_needs]
        USD a year that one USD more of requirement costs, never below 0.
    supply_prices : array [n_sources]
        USD a year that one USD more of an asset would save.
    limit_prices : array [n_limits]
        USD a year that one USD more of a limit would save.
    objective, bound : float
        Of the programme and of its dual, USD a year; equal at an optimum.
    """

    used: FloatArray
    deficits: FloatArray
    need_prices: FloatArray
    supply_prices: FloatArray
    limit_prices: FloatArray
    objective: float
    bound: float


def solve(programme: Programme) -> Solution:
    """Return the least cost, with the prices of every row.

    Raises
    ------
    NumericalError
        The solver found no optimum, though there always is one.

    References
    ----------
    Dantzig, Linear Programming and Extensions (1963), duality; solved by HiGHS through SciPy.

    Examples
    --------
    Ninety cents on the dollar at 20 basis points, against a requirement of 45:

    >>> one = np.array([0])
    >>> least = solve(
    ...     Programme(one, one, np.array([0.9]), np.array([0.002]), np.array([80.0]), np.array([45.0]), (), 100.0)
    ... )
    >>> float(least.used[0]), round(float(least.need_prices[0]), 6)
    (50.0, 0.002222)
    """
    from scipy.optimize import linprog

    n_columns, n_needs = programme.value.size, programme.required.size
    if not n_columns:
        return _all_uncovered(programme)
    scale = max(1.0, programme.supply.max(initial=0.0), programme.required.max(initial=0.0)) / _SPAN
    charge = _SPAN / programme.shortfall_cost
    matrix, bounds = _rows(programme)
    objective = np.concatenate([programme.cost * charge, np.full(n_needs, _SPAN)])
    options = {"primal_feasibility_tolerance": _TOLERANCE, "dual_feasibility_tolerance": _TOLERANCE}
    found = linprog(objective, A_ub=matrix, b_ub=bounds / scale, bounds=(0, None), method="highs", options=options)
    if found.status != 0:
        raise NumericalError(f"The cheapest cover was not found: {found.message}")
    prices = -np.asarray(found.ineqlin.marginals) / charge
    n_supply = programme.supply.size
    return Solution(
        used=np.maximum(found.x[:n_columns], 0.0) * scale,
        deficits=np.maximum(found.x[n_columns:], 0.0) * scale,
        need_prices=prices[n_supply : n_supply + n_needs],
        supply_prices=prices[:n_supply],
        limit_prices=prices[n_supply + n_needs :],
        objective=float(found.fun) * scale / charge,
        bound=float(-prices @ bounds),
    )


def eased(programme: Programme) -> Programme:
    """Return the programme with a trifle more of everything and less to cover.

    Where an asset just suffices, a dollar more of requirement costs a deficit and a dollar less saves next to nothing:
    the prices of this programme are those of a dollar less.
    """
    return evolve(
        programme,
        supply=programme.supply * (1.0 + _NUDGE),
        required=programme.required * (1.0 - _NUDGE),
        limits=[(columns, cap * (1.0 + _NUDGE)) for columns, cap in programme.limits],
    )


def _rows(programme: Programme) -> tuple[object, FloatArray]:
    """Return the matrix and right-hand sides of `<=` rows: supply, requirements (negated), limits."""
    from scipy.sparse import coo_matrix

    n_columns, n_needs, n_supply = programme.value.size, programme.required.size, programme.supply.size
    every = np.arange(n_columns)
    entries = [
        (programme.source, every, np.ones(n_columns)),
        (n_supply + programme.need, every, -programme.value),
        (n_supply + np.arange(n_needs), n_columns + np.arange(n_needs), -np.ones(n_needs)),
    ]
    first = n_supply + n_needs
    for row, (columns, _) in enumerate(programme.limits):
        entries.append((np.full(columns.size, first + row), columns, programme.value[columns]))
    rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    shape = (first + len(programme.limits), n_columns + n_needs)
    caps = np.array([cap for _, cap in programme.limits], dtype=np.float64)
    bounds = np.concatenate([programme.supply, -programme.required, caps])
    return coo_matrix((values, (rows, columns)), shape=shape).tocsc(), bounds


def _all_uncovered(programme: Programme) -> Solution:
    """Return the solution without any column: every requirement is a deficit."""
    needs, short = programme.required, programme.shortfall_cost
    cost = float(short * needs.sum())
    return Solution(
        used=np.zeros(0),
        deficits=needs.copy(),
        need_prices=np.full(needs.size, short),
        supply_prices=np.zeros(programme.supply.size),
        limit_prices=np.zeros(len(programme.limits)),
        objective=cost,
        bound=cost,
    )
