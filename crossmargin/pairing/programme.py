"""The integer programme behind `pair`: which contracts stand in spreads, which in hedges, which alone.

Call `solve`. Four facts keep it small, and each is exact (the tests hold all four against an enumeration):

1. *One spread group per short expiry is enough.* In a spread every long contract expires no earlier than the last
   short one. Groups with the same last short expiry may be merged: the conditions add up, and the largest loss of a
   sum is at most the sum of the largest losses.
2. *Only 0 and the strikes of long options can be worst.* Intrinsic value is piecewise linear in the price; it turns
   upward only at long strikes, and beyond the last strike it does not fall, since long calls are no fewer than short.
3. *Straddles need no pairs.* A short call with a short put costs the dearer of the two alone and the premium of the
   other: it spares the exposure of the cheaper one. Any dearer option of the other right may spare it, so who can be
   spared is nested by what options cost alone: spared ones that cost at least so much are no more than sparing ones
   that do, for each such cost (Hall). Two variables for each short series, in place of one for each pair.
4. *Losses come in steps.* A loss of whole contracts is a multiple of the greatest common divisor of the strikes.

A small programme is solved by our own kernel, a large one and a long search by HiGHS. A search that a time limit cuts
short is bettered by `neighbourhoods`. Nothing here knows names of strategies; `groups` turns the solution into groups.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen

from crossmargin.errors import NumericalError
from crossmargin.pairing.model import BoolArray, Contracts, FloatArray, IntArray, Proof
from crossmargin.pairing.neighbourhoods import bettered

_Table: TypeAlias = tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray, IntArray]

_WHOLE = 1e-6  # how far from a whole number a solver may leave a count of contracts
_DECIMALS = 9  # of USD a unit: what costs the same to so many is equally dear
_SAME = 1e-9  # relative: a bound this near to the value leaves nothing to search for
_STRIKE_STEP = 1e-3  # USD: strikes are quoted in thousandths at most
_MOST_UNITS = 1e6  # of loss that a solver may have to tell apart
_LITTLE = 1e-5  # USD per unit: less than a cent of a contract
_SMALL_TABLE = 60_000  # rows times variables: above it HiGHS is no slower than our own kernel
_SMALL_SEARCH = 8_000  # the same of a search for whole contracts
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
    """Least `cost @ v` with `upper @ v <= limits`, `equal @ v == totals`, 0 <= v <= `bounds`, some of v whole.

    The matrices are kept as row and column `places` [2, n_entries] of their `entries`, equalities last.
    """

    cost: FloatArray
    places: IntArray
    entries: FloatArray
    limits: FloatArray
    totals: FloatArray
    bounds: FloatArray
    whole: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.limits) + len(self.totals), len(self.cost)

    def product(self, values: FloatArray) -> FloatArray:
        """Return both matrices @ values, one after the other."""
        rows, columns = self.places
        taken = self.entries * values[columns]
        return np.asarray(np.bincount(rows, taken, minlength=self.shape[0]), dtype=np.float64)

    def matrices(self) -> tuple[Any, Any]:
        """Return both matrices for SciPy, of inequalities and of equalities."""
        from scipy.sparse import csr_array

        both = csr_array((self.entries, tuple(self.places)), shape=self.shape)
        return both[: len(self.limits)], both[len(self.limits) :]


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
    series, group = map(np.ascontiguousarray, np.nonzero(np.where(long[:, None], later, sooner)))
    both = (short & book.is_call).any() and (short & ~book.is_call).any()
    paired = np.flatnonzero(short & both)
    return _Layout(series, group, np.flatnonzero(short), paired, last_shorts, len(book.hedges))


def _programme(book: Contracts, layout: _Layout) -> _Programme:
    from crossmargin.kernels.pairing_rows import fill

    starts, unit = np.array(layout.starts), _loss_unit(book)
    hedges = [(series, starts[4] + place) for place, hedge in enumerate(book.hedges) for series in hedge.legs]
    pairs = np.array(hedges, dtype=np.int64).reshape(-1, 2)
    n_entries, n_rows = _room(book, layout, len(pairs))
    places, entries, limits = np.empty((2, n_entries), dtype=np.int64), np.empty(n_entries), np.empty(n_rows)
    n_entries, n_rows = fill(
        book.quantity,
        book.is_call,
        book.strike,
        cost_alone(book),
        layout.series,
        layout.group,
        layout.shorts,
        layout.paired,
        np.ascontiguousarray(pairs.T),
        starts,
        book.lots,
        unit or 1.0,
        places,
        entries,
        limits,
    )
    n_upper = n_rows - len(layout.shorts)
    rows = (places[:, :n_entries], entries[:n_entries], limits[:n_upper], limits[n_upper:n_rows])
    return _Programme(_costs(book, layout, unit or 1.0), *rows, *_limits(book, layout, unit))


def _loss_unit(book: Contracts) -> float:
    """Return what every loss of whole contracts is a multiple of, USD per unit of the underlying; 0 for nothing useful.

    Strikes are decimals: all payoffs at a strike or at 0 are multiples of their greatest common divisor. To say so
    raises the bounds of a search. Where losses are very many such units it only burdens the solver.
    """
    exact = book.strike / _STRIKE_STEP
    steps = np.rint(exact)
    if not len(steps) or np.abs(exact - steps).max() > _WHOLE:
        return 0.0
    unit = float(np.gcd.reduce(steps.astype(np.int64))) * _STRIKE_STEP
    return unit if _most_loss(book) <= _MOST_UNITS * unit else 0.0


def _most_loss(book: Contracts) -> float:
    """Return a loss that no group exceeds, USD per unit: no price that matters is above the highest strike."""
    return float(-book.quantity[book.quantity < 0].sum()) * float(book.strike.max(initial=0.0))


def _room(book: Contracts, layout: _Layout, n_hedge_legs: int) -> tuple[int, int]:
    """Return the most entries and rows that there can be."""
    n_groups, n_paired = len(layout.last_shorts), len(layout.paired)
    of_group = np.bincount(layout.group, minlength=n_groups)
    long = np.bincount(layout.group, book.quantity[layout.series] > 0, minlength=n_groups).astype(np.int64)
    spreads = int(((long + 1) * (of_group + 1) + of_group).sum())
    straddles = 3 * n_paired + n_paired * n_paired
    counts = len(layout.series) + n_hedge_legs + len(layout.shorts) + len(book.hedges)
    return spreads + straddles + counts, int(long.sum()) + 3 * n_groups + 2 * n_paired + len(book) + 1


def _costs(book: Contracts, layout: _Layout, unit: float) -> FloatArray:
    """Return the cost of one of each variable, USD per unit of the underlying."""
    none = np.zeros(len(layout.series))
    alone = (book.premium + book.exposure)[layout.shorts] / book.multiplier
    spared = -book.exposure[layout.paired] / book.multiplier
    losses = np.full(len(layout.last_shorts), unit)
    hedges = np.array([hedge.cost - book.lot_cost for hedge in book.hedges]) / book.multiplier
    return np.concatenate([none, alone, spared, np.zeros(len(spared)), losses, hedges])


def _limits(book: Contracts, layout: _Layout, unit: float) -> tuple[FloatArray, FloatArray]:
    """Return the largest useful value of each variable and which variables must be whole."""
    held = np.abs(book.quantity)
    paired = held[layout.paired]
    spared = np.where(book.exposure[layout.paired] > 0, paired, 0.0)  # where nothing is saved nothing is paired
    counts = [held[layout.series], held[layout.shorts], spared, paired]
    losses = np.full(len(layout.last_shorts), _most_loss(book) / (unit or 1.0))
    hedges = np.full(layout.n_hedges, float(book.lots))
    bounds = np.concatenate([*counts, losses, hedges])
    whole = np.ones(len(bounds))  # what is left alone is whole whenever the rest is: saying so speeds the search
    whole[layout.starts[3] : layout.starts[4]] = unit > 0.0
    return bounds, whole


def cost_alone(book: Contracts) -> FloatArray:
    """Return what one short contract of each series costs alone, USD per unit, rounded so that ties are ties."""
    return np.asarray(np.round((book.premium + book.exposure) / book.multiplier, _DECIMALS))


def _optimum(programme: _Programme, layout: _Layout, time_limit: float | None) -> tuple[FloatArray, float, Proof, bool]:
    """Return the variables, the bound, its proof and whether the search ended by itself."""
    if not len(programme.cost):
        return np.zeros(0), 0.0, "duality", True
    relaxed, dual = _relaxed(programme, layout, time_limit)
    if relaxed is not None and _is_whole(relaxed, programme):
        return relaxed, dual, "duality", True
    searching = None if time_limit is None else (1.0 - _FOR_BETTERING) * time_limit
    values, found, complete = _searched_by_table(programme, layout) or _search(programme, searching)
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


def _relaxed(programme: _Programme, layout: _Layout, time_limit: float | None) -> tuple[FloatArray | None, float]:
    """Return the optimum when contracts may be split, if it was found, and the bound that its multipliers prove."""
    n_rows, n_variables = programme.shape
    found = _by_table(programme, layout) if n_rows * n_variables <= _SMALL_TABLE else None
    if found is None:
        found = _by_highs(programme, time_limit)
    if found is None:
        return None, proven_bound(programme, np.zeros(n_rows))
    values, multipliers = found
    return values, proven_bound(programme, multipliers)


def _by_table(programme: _Programme, layout: _Layout) -> tuple[FloatArray, FloatArray] | None:
    """Return values and multipliers by our own kernel, None where rounding keeps them from being proven."""
    from crossmargin.kernels.simplex import least

    n_rows, n_variables = programme.shape
    values, multipliers = np.zeros(n_variables), np.zeros(n_rows)
    if not least(*_table(programme, layout), values, multipliers):
        return None
    reached = float(programme.cost @ values)
    proven = proven_bound(programme, multipliers) >= reached - min(_SAME * max(1.0, abs(reached)), _LITTLE)
    return (values, multipliers) if proven and _admissible(programme, values) else None


def _searched_by_table(programme: _Programme, layout: _Layout) -> tuple[FloatArray, float, bool] | None:
    """Return the best whole solution by our own kernel and its cost; None where the search is long."""
    from crossmargin.kernels.simplex import least_whole

    n_rows, n_variables = programme.shape
    values = np.zeros(n_variables)
    if n_rows * n_variables > _SMALL_SEARCH or not least_whole(*_table(programme, layout), programme.whole, values):
        return None
    values = np.where(programme.whole > 0, np.rint(values), values)
    cost = float(programme.cost @ values)
    exact = _SAME * abs(cost) <= _LITTLE  # the kernel leaves what saves less than a billionth
    return (values, cost, True) if exact and _admissible(programme, values) else None


def _table(programme: _Programme, layout: _Layout) -> _Table:
    """Return what the kernel takes: every short contract starts uncovered."""
    limits = np.concatenate([programme.limits, programme.totals])
    starting = np.arange(layout.starts[1], layout.starts[2])
    places = np.ascontiguousarray(programme.places)
    return places, programme.entries, programme.cost, limits, programme.bounds, starting


def _admissible(programme: _Programme, values: FloatArray) -> bool:
    over = programme.product(values) - np.concatenate([programme.limits, programme.totals])
    n_upper = len(programme.limits)
    return bool(np.all(over[:n_upper] <= _WHOLE) and np.all(np.abs(over[n_upper:]) <= _WHOLE))


def _by_highs(programme: _Programme, time_limit: float | None) -> tuple[FloatArray, FloatArray] | None:
    """Return values and multipliers by HiGHS, None where it did not finish."""
    from scipy.optimize import linprog

    upper, equal = programme.matrices()
    result = linprog(
        programme.cost,
        A_ub=upper,
        b_ub=programme.limits,
        A_eq=equal,
        b_eq=programme.totals,
        bounds=np.column_stack([np.zeros(len(programme.bounds)), programme.bounds]),
        options={} if time_limit is None else {"time_limit": time_limit},
    )
    if result.x is None or result.status != 0:
        return None
    return result.x, np.concatenate([result.ineqlin.marginals, result.eqlin.marginals])


def proven_bound(programme: _Programme, multipliers: FloatArray) -> float:
    """Return a bound that holds for any multipliers: what they promise less the most that the box can take back.

    With y <= 0 on the inequalities, cost @ v >= y @ limits + w @ totals + sum min(0, reduced) * bounds for every
    feasible v; a solver's rounding makes the bound a little lower, never wrong.

    References
    ----------
    Neumaier and Shcherbina, Safe bounds in linear and mixed-integer programming, Math. Program. 99 (2004).
    """
    n_upper, (rows, columns) = len(programme.limits), programme.places
    upper, equal = np.minimum(multipliers[:n_upper], 0.0), multipliers[n_upper:]
    taken = programme.entries * np.concatenate([upper, equal])[rows]
    reduced = programme.cost - np.bincount(columns, taken, minlength=len(programme.cost))
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
    free = high > low
    fixed = np.where(free, 0.0, low)
    part = _part(programme, free, fixed, high)
    values = _run(part, low[free], high[free], seconds, gap=_GAP_OF_A_PART).x
    if values is None:
        return None
    fixed[free] = np.where(part.whole > 0, np.rint(values), values)
    return fixed


def _part(programme: _Programme, free: BoolArray, fixed: FloatArray, high: FloatArray) -> _Programme:
    """Return what is left of a programme: the free variables, and the rows that say something of them."""
    limits = np.concatenate([programme.limits, programme.totals]) - programme.product(fixed)
    rows, columns = programme.places
    kept = free[columns]
    left, places = np.unique(rows[kept], return_inverse=True)
    n_upper = int(np.searchsorted(left, len(programme.limits)))
    return _Programme(
        programme.cost[free],
        np.array([places, (np.cumsum(free) - 1)[columns[kept]]]),
        programme.entries[kept],
        limits[left[:n_upper]],
        limits[left[n_upper:]],
        high[free],
        programme.whole[free],
    )


def _run(
    programme: _Programme, low: FloatArray, high: FloatArray, time_limit: float | None, *, gap: float = 0.0
) -> Any:
    from scipy.optimize import Bounds, LinearConstraint, milp

    upper, equal = programme.matrices()
    constraints = [LinearConstraint(upper, -np.inf, programme.limits)]
    if len(programme.totals):
        constraints.append(LinearConstraint(equal, programme.totals, programme.totals))
    # The presolve of SciPy 1.17.1 calls some of these programmes infeasible, and of others it loses the least cut.
    options = {"mip_rel_gap": gap, "presolve": False} | ({} if time_limit is None else {"time_limit": time_limit})
    bounds = Bounds(low, high)
    return milp(programme.cost, integrality=programme.whole, bounds=bounds, constraints=constraints, options=options)
