"""The integer programme behind `pair`: which contracts stand in spreads, which in hedges, which alone.

Call `solve`. Three facts keep it small, and each is exact (the tests hold all three against an enumeration):

1. *One spread group per short expiry is enough.* In a spread every long contract expires no earlier than the last
   short one. Groups with the same last short expiry may be merged: the conditions add up, and the largest loss of a
   sum is at most the sum of the largest losses.
2. *Only 0 and the strikes of long options can be worst.* Intrinsic value is piecewise linear in the price; it turns
   upward only at long strikes, and beyond the last strike it does not fall, since long calls are no fewer than short.
3. *Straddles need no pairs.* A short call with a short put costs the dearer of the two alone and the premium of the
   other: it spares the exposure of the cheaper one. Any dearer option of the other right may spare it, so who can be
   spared is nested by what options cost alone: spared ones that cost at least so much are no more than sparing ones
   that do, for each such cost (Hall). Two variables for each short series, in place of one for each pair.

A search that a time limit cuts short is bettered by `neighbourhoods`. Nothing here knows names of strategies; `groups`
turns the solution into groups.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from attrs import field, frozen

from crossmargin.errors import NumericalError
from crossmargin.pairing.model import Contracts, FloatArray, IntArray, Proof, payoffs
from crossmargin.pairing.neighbourhoods import bettered

_WHOLE = 1e-6  # how far from a whole number a solver may leave a count of contracts
_DECIMALS = 9  # of USD a unit: what costs the same to so many is equally dear
_SAME = 1e-9  # relative: a bound this near to the value leaves nothing to search for
_TIME_UP = 1  # scipy's status of a search that met its limit
_GAP_OF_A_PART = 1e-4  # relative: with what a part of a solution is bettered no nearer
_FOR_STARTING = 0.2  # share of that for each solution to start from
_FOR_BETTERING = 0.6  # share of the time limit kept back for bettering what a search cut short has found


@frozen(eq=False)
class Solution:
    """Contracts in each spread group [n_series, n_groups], lots in each hedge [n_hedges], and the bound in USD.

    Of the contracts left alone, `spared` of a series [n_series] stand in straddles as the cheaper side and `sparing` as
    the dearer one.
    """

    spreads: IntArray
    spared: IntArray
    sparing: IntArray
    hedges: IntArray
    bound: float
    proof: Proof
    complete: bool


@frozen(eq=False)
class _Rows:
    """Rows of a sparse matrix under construction, each `coefficients @ variables <= limit` (or == limit)."""

    rows: list[IntArray] = field(factory=list)
    columns: list[IntArray] = field(factory=list)
    values: list[FloatArray] = field(factory=list)
    limits: list[float] = field(factory=list)

    def add(self, columns: IntArray, values: Any, limit: float) -> None:
        self.rows.append(np.full(len(columns), len(self.limits)))
        self.columns.append(columns)
        self.values.append(np.broadcast_to(np.asarray(values, dtype=np.float64), columns.shape))
        self.limits.append(limit)

    def matrix(self, width: int) -> Any:
        from scipy.sparse import csr_array

        if not self.limits:
            return csr_array((0, width))
        places = (np.concatenate(self.rows), np.concatenate(self.columns))
        return csr_array((np.concatenate(self.values), places), shape=(len(self.limits), width))


@frozen(eq=False)
class _Layout:
    """Where each variable stands: spread counts, uncovered shorts, spared and sparing ones, group losses, hedges."""

    series: IntArray  # of each spread count
    group: IntArray
    shorts: IntArray  # series of each uncovered count
    paired: IntArray  # series of each spared count, then again of each sparing one
    last_shorts: FloatArray  # expiry of the last short of each spread group
    n_hedges: int

    @property
    def starts(self) -> tuple[int, ...]:
        sizes = (len(self.series), len(self.shorts), 2 * len(self.paired), len(self.last_shorts), self.n_hedges)
        return (0, *(int(end) for end in np.cumsum(sizes)))

    @property
    def owner(self) -> IntArray:
        """The spread group of each variable, -1 where none owns it."""
        starts = self.starts
        owner = np.full(starts[-1], -1, dtype=np.int64)
        owner[: starts[1]] = self.group
        owner[starts[3] : starts[4]] = np.arange(len(self.last_shorts))
        return owner


@frozen(eq=False)
class _Programme:
    """Least `cost @ v` with `upper @ v <= limits`, `equal @ v == totals`, 0 <= v <= `bounds`, some of v whole."""

    cost: FloatArray
    upper: Any
    limits: FloatArray
    equal: Any
    totals: FloatArray
    bounds: FloatArray
    whole: FloatArray


def solve(book: Contracts, time_limit: float | None) -> Solution:
    """Return the cheapest cut and a bound for it; with a `time_limit` in seconds the best found so far.

    Raises
    ------
    NumericalError
        The solver failed for another reason than time.
    """
    layout = _layout(book)
    programme = _programme(book, layout)
    constant = book.lots * book.lot_cost
    values, bound, proof, complete = _optimum(programme, layout, time_limit)
    counts = np.rint(values).astype(np.int64)
    starts = layout.starts
    spreads = np.zeros((len(book), len(layout.last_shorts)), dtype=np.int64)
    spreads[layout.series, layout.group] = counts[: starts[1]]
    spared, sparing = np.zeros((2, len(book)), dtype=np.int64)
    spared[layout.paired], sparing[layout.paired] = counts[starts[2] : starts[3]].reshape(2, -1)
    hedges = counts[starts[4] :]
    return Solution(spreads, spared, sparing, hedges, constant + book.multiplier * bound, proof, complete)


def _layout(book: Contracts) -> _Layout:
    long, short = book.quantity > 0, book.quantity < 0
    last_shorts = np.unique(book.expiry[short])
    last_shorts = last_shorts[last_shorts <= book.expiry[long].max(initial=-np.inf)]
    later = book.expiry[:, None] >= last_shorts
    sooner = book.expiry[:, None] <= last_shorts
    series, group = np.nonzero(np.where(long[:, None], later, sooner))
    both = (short & book.is_call).any() and (short & ~book.is_call).any()
    paired = np.flatnonzero(short & both)
    return _Layout(series, group, np.flatnonzero(short), paired, last_shorts, len(book.hedges))


def _programme(book: Contracts, layout: _Layout) -> _Programme:
    width = layout.starts[-1]
    upper, equal = _Rows(), _Rows()
    _spread_rows(book, layout, upper)
    _straddle_rows(book, layout, upper)
    _count_rows(book, layout, upper, equal)
    return _Programme(
        _costs(book, layout),
        upper.matrix(width),
        np.array(upper.limits),
        equal.matrix(width),
        np.array(equal.limits),
        *_limits(book, layout),
    )


def _costs(book: Contracts, layout: _Layout) -> FloatArray:
    """Return the cost of one of each variable, USD per unit of the underlying."""
    none = np.zeros(len(layout.series))
    alone = (book.premium + book.exposure)[layout.shorts] / book.multiplier
    spared = -book.exposure[layout.paired] / book.multiplier
    losses = np.ones(len(layout.last_shorts))
    hedges = np.array([hedge.cost - book.lot_cost for hedge in book.hedges]) / book.multiplier
    return np.concatenate([none, alone, spared, np.zeros(len(spared)), losses, hedges])


def _limits(book: Contracts, layout: _Layout) -> tuple[FloatArray, FloatArray]:
    """Return the largest useful value of each variable and which variables must be whole."""
    held = np.abs(book.quantity)
    paired = held[layout.paired]
    spared = np.where(book.exposure[layout.paired] > 0, paired, 0.0)  # where nothing is saved nothing is paired
    counts = [held[layout.series], held[layout.shorts], spared, paired]
    most = float(held[layout.shorts].sum()) * float(book.strike.max(initial=0.0))  # no price that matters is higher
    losses = np.full(len(layout.last_shorts), most)
    hedges = np.full(layout.n_hedges, float(book.lots))
    bounds = np.concatenate([*counts, losses, hedges])
    whole = np.ones(len(bounds))  # what is left alone is whole whenever the rest is: saying so speeds the search
    whole[layout.starts[3] : layout.starts[4]] = 0.0  # losses are money
    return bounds, whole


def _spread_rows(book: Contracts, layout: _Layout, upper: _Rows) -> None:
    """Loss of each group at every price that can be worst, and cover by right."""
    for group in range(len(layout.last_shorts)):
        columns = np.flatnonzero(layout.group == group)
        series = layout.series[columns]
        sign = np.sign(book.quantity[series])
        prices = np.unique(np.append(book.strike[series[sign > 0]], 0.0))
        values = payoffs(prices, book.is_call[series], book.strike[series]) * sign
        loss = layout.starts[3] + group
        for row in values:
            used = np.flatnonzero(row)
            upper.add(np.append(columns[used], loss), np.append(-row[used], -1.0), 0.0)
        for right in (True, False):
            same = book.is_call[series] == right
            if same.any():
                upper.add(columns[same], -sign[same], 0.0)


def cost_alone(book: Contracts) -> FloatArray:
    """Return what one short contract of each series costs alone, USD per unit, rounded so that ties are ties."""
    return np.asarray(np.round((book.premium + book.exposure) / book.multiplier, _DECIMALS))


def _straddle_rows(book: Contracts, layout: _Layout, upper: _Rows) -> None:
    """Only what is left alone stands in straddles, and as many spare as are spared, at every cost and above it."""
    series, n_paired = layout.paired, len(layout.paired)
    spared = layout.starts[2] + np.arange(n_paired)
    sparing = spared + n_paired
    left = layout.starts[1] + np.searchsorted(layout.shorts, series)
    for columns in zip(spared, sparing, left, strict=True):
        upper.add(np.array(columns), [1.0, 1.0, -1.0], 0.0)
    cost, calls = cost_alone(book)[series], book.is_call[series]
    for right in (True, False):
        for least in np.unique(cost[calls == right]):
            dear = cost >= least
            taken, given = spared[dear & (calls == right)], sparing[dear & (calls != right)]
            signs = np.repeat([1.0, -1.0], [len(taken), len(given)])
            upper.add(np.concatenate([taken, given]), signs, 0.0)


def _count_rows(book: Contracts, layout: _Layout, upper: _Rows, equal: _Rows) -> None:
    """Every short contract is somewhere, no long contract or lot is used twice."""
    starts = layout.starts
    uncovered = dict(zip(layout.shorts.tolist(), range(starts[1], starts[2]), strict=True))
    used: list[list[int]] = [[] for _ in range(len(book))]
    for column, series in enumerate(layout.series.tolist()):
        used[series].append(column)
    for place, hedge in enumerate(book.hedges):
        for series in hedge.legs:
            used[series].append(starts[4] + place)
    for series, columns in enumerate(used):
        if series in uncovered:
            equal.add(np.array([*columns, uncovered[series]]), 1.0, -book.quantity[series])
        elif columns:
            upper.add(np.array(columns), 1.0, book.quantity[series])
    if book.hedges:
        upper.add(np.arange(starts[4], starts[5]), 1.0, float(book.lots))


def _optimum(programme: _Programme, layout: _Layout, time_limit: float | None) -> tuple[FloatArray, float, Proof, bool]:
    """Return the variables, the bound, its proof and whether the search ended by itself."""
    if not len(programme.cost):
        return np.zeros(0), 0.0, "duality", True
    relaxed, dual = _relaxed(programme, time_limit)
    if relaxed is not None and _is_whole(relaxed, programme):
        return relaxed, dual, "duality", True
    values, found, complete = _search(programme, None if time_limit is None else (1.0 - _FOR_BETTERING) * time_limit)
    proof: Proof = "search" if found > dual else "duality"
    if time_limit is not None and not complete:
        values = _bettered(programme, layout, values, relaxed=relaxed, seconds=_FOR_BETTERING * time_limit)
    if values is None:  # time ran out before anything was found: leave every contract alone
        return np.zeros(len(programme.cost)), max(dual, found), proof, False
    reached = float(programme.cost @ values)
    if dual >= reached - _SAME * max(1.0, abs(reached)):
        return values, dual, "duality", True
    return values, max(dual, found), proof, complete


def _bettered(
    programme: _Programme, layout: _Layout, values: FloatArray | None, *, relaxed: FloatArray | None, seconds: float
) -> FloatArray | None:
    """Return the best that neighbours of a whole solution offer; a search in a hurry may leave worse than no spread."""
    deadline = time.monotonic() + seconds
    solve = partial(_whole_solution, programme)
    n_counts = layout.starts[1]
    likely = np.ones(n_counts, dtype=np.bool_) if relaxed is None else relaxed[:n_counts] > _WHOLE
    starts = [values, *(solve(*box, _FOR_STARTING * seconds) for box in _boxes(programme, n_counts, relaxed))]
    found = [start for start in starts if start is not None]
    if not found:
        return None
    return bettered(
        min(found, key=lambda each: float(programme.cost @ each)),
        layout.owner,
        programme.bounds,
        likely=likely,
        cost=programme.cost,
        solve=solve,
        deadline=deadline,
    )


def _boxes(programme: _Programme, n_counts: int, relaxed: FloatArray | None) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield bounds that leave little to choose: no spread at all, and what the relaxed solution has whole."""
    spread = np.arange(len(programme.bounds)) < n_counts
    low, high = np.zeros(len(spread)), programme.bounds
    yield low, np.where(spread, 0.0, high)
    if relaxed is not None:
        whole = np.rint(relaxed)
        kept = spread & (np.abs(relaxed - whole) <= _WHOLE)
        yield np.where(kept, whole, low), np.where(kept, whole, high)


def _relaxed(programme: _Programme, time_limit: float | None) -> tuple[FloatArray | None, float]:
    """Return the optimum when contracts may be split, if it was found, and the bound that its multipliers prove."""
    from scipy.optimize import linprog

    box = np.column_stack([np.zeros(len(programme.bounds)), programme.bounds])
    options = {} if time_limit is None else {"time_limit": time_limit}
    result = linprog(
        programme.cost,
        A_ub=programme.upper,
        b_ub=programme.limits,
        A_eq=programme.equal,
        b_eq=programme.totals,
        bounds=box,
        options=options,
    )
    if result.x is None or result.status != 0:
        return None, proven_bound(programme, np.zeros(len(programme.limits)), np.zeros(len(programme.totals)))
    return result.x, proven_bound(programme, result.ineqlin.marginals, result.eqlin.marginals)


def proven_bound(programme: _Programme, upper: FloatArray, equal: FloatArray) -> float:
    """Return a bound that holds for any multipliers: what they promise less the most that the box can take back.

    With y <= 0 on the inequalities, cost @ v >= y @ limits + w @ totals + sum min(0, reduced) * bounds for every
    feasible v; a solver's rounding makes the bound a little lower, never wrong.

    References
    ----------
    Neumaier and Shcherbina, Safe bounds in linear and mixed-integer programming, Math. Program. 99 (2004).
    """
    upper = np.minimum(upper, 0.0)
    reduced = programme.cost - programme.upper.T @ upper - programme.equal.T @ equal
    back = np.minimum(reduced, 0.0) @ programme.bounds
    return float(upper @ programme.limits + equal @ programme.totals + back)


def _is_whole(values: FloatArray, programme: _Programme) -> bool:
    counts = values[programme.whole > 0]
    return bool(np.all(np.abs(counts - np.rint(counts)) <= _WHOLE))


def _search(programme: _Programme, time_limit: float | None) -> tuple[FloatArray | None, float, bool]:
    """Return the best whole solution if there was time to find one, the solver's bound and whether it finished."""
    result = _run(programme, np.zeros(len(programme.bounds)), programme.bounds, time_limit)
    if result.status not in (0, _TIME_UP):
        raise NumericalError(f"The pairing was not solved: {result.message}")
    bound = result.mip_dual_bound
    known = bound is not None and np.isfinite(bound)
    values = None if result.x is None else np.where(programme.whole > 0, np.rint(result.x), result.x)
    return values, float(bound) if known else -np.inf, result.status == 0


def _whole_solution(programme: _Programme, low: FloatArray, high: FloatArray, seconds: float) -> FloatArray | None:
    """Return the best whole solution between two bounds that was found in time; what is fixed is left out."""
    free = np.flatnonzero(high > low)
    fixed = np.where(high > low, 0.0, low)
    part = _Programme(
        programme.cost[free],
        *_rows_left(programme.upper, free, programme.limits - programme.upper @ fixed),
        *_rows_left(programme.equal, free, programme.totals - programme.equal @ fixed),
        high[free],
        programme.whole[free],
    )
    values = _run(part, low[free], high[free], seconds, gap=_GAP_OF_A_PART).x
    if values is None:
        return None
    found = fixed.copy()
    found[free] = np.where(part.whole > 0, np.rint(values), values)
    return found


def _rows_left(matrix: Any, columns: IntArray, limits: FloatArray) -> tuple[Any, FloatArray]:
    """Return the rows that say something of some columns, of these columns alone."""
    kept = matrix.tocsc()[:, columns].tocsr()
    rows = np.flatnonzero(np.diff(kept.indptr))
    return kept[rows], limits[rows]


def _run(
    programme: _Programme, low: FloatArray, high: FloatArray, time_limit: float | None, *, gap: float = 0.0
) -> Any:
    from scipy.optimize import Bounds, LinearConstraint, milp

    constraints = [LinearConstraint(programme.upper, -np.inf, programme.limits)]
    if len(programme.totals):
        constraints.append(LinearConstraint(programme.equal, programme.totals, programme.totals))
    options = {"mip_rel_gap": gap} | ({} if time_limit is None else {"time_limit": time_limit})
    bounds = Bounds(low, high)
    return milp(programme.cost, integrality=programme.whole, bounds=bounds, constraints=constraints, options=options)
