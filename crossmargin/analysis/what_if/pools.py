"""What a trade would do to the simulated losses of plain pools: one measure, any pools, no rules.

Call `tails_of_pools(pnl, products, quantities, measure=...)`; the `PoolTails` it returns answers `delta`, `marginal`,
`max_size` and `distance_to_cliff`, the first in microseconds. It is frozen and nothing of it is written to after it is
made, so that any number of threads may ask at once. Trades are linear: a multiple of the P&L of a product that was
revalued. What rules make of the losses is the affair of `what_if`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from attrs import field, frozen

from crossmargin.analysis.what_if.delta import is_number, said
from crossmargin.columns import FloatArray, readonly
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.pnl import PnL
from crossmargin.pricing.many_pools import MOST_WORST, row_tails, trade_tails
from crossmargin.products import Product
from crossmargin.risk import TailMeasure

BOOK = "book"


@frozen(eq=False)
class PoolTails:
    """Pools that are asked what trades would do to their losses.

    Attributes
    ----------
    pools : tuple of str
        Names of the pools that are margined, in the order of every result.
    pooled : array [n_pools, n_scenarios]
        P&L of each pool, USD, gain > 0.
    charges : array [n_pools]
        Simulated margin of each pool, USD, never negative.
    """

    pnl: PnL
    measure: TailMeasure
    pools: tuple[str, ...]
    pooled: FloatArray = field(converter=readonly)
    charges: FloatArray = field(converter=readonly)
    _takes: Mapping[Product, FloatArray] = field(repr=False)
    _weights: FloatArray = field(converter=readonly, repr=False)
    _by_scenario: FloatArray = field(repr=False)

    def delta(self, product: Product, quantity: float) -> FloatArray:
        """Return what a trade adds to the charge of each pool [n_pools], USD; negative where it hedges.

        Raises
        ------
        InputError
            The product was not revalued, or the quantity (long > 0) is not finite.
        """
        row = self.pnl.row(product)
        if not (is_number(quantity) and math.isfinite(quantity)):
            raise InputError([Problem(f"quantity is {said(quantity)}.", "trade", "Give a finite signed number.")])
        after = trade_tails(self.pooled, row, quantity * self._takes[product], self._weights)[:, 0]
        found: FloatArray = np.maximum(after, 0.0) - self.charges
        return found

    def marginal(self, pool: str = BOOK) -> FloatArray:
        """Return what one more unit of each product of `pnl` adds to the charge of one pool [n_instruments], USD.

        The derivative, exact up to `distance_to_cliff`. Where the charge is floored at zero it is that of the loss.
        """
        at = self._place(pool)
        shares = self.measure.scenario_weights(self.pooled[at])
        tail = np.flatnonzero(shares)
        found: FloatArray = 0.0 - (self._by_scenario[tail] * shares[tail, None]).sum(axis=0)
        return found

    def max_size(self, product: Product, limit: float, *, pool: str = BOOK, short: bool = False) -> float:
        """Return the largest size of a trade up to which the charge of one pool never exceeds `limit`, USD.

        Parameters
        ----------
        limit : float
            Not negative.
        short : bool
            Sell instead of buy.

        Returns
        -------
        float
            Units, not negative; 0 where the limit is exceeded already, infinity where no size exceeds it.

        Raises
        ------
        InputError
            A limit below zero or not a number, a measure that is neither one order statistic nor a mean of the worst.

        Notes
        -----
        The charge is piecewise linear in the size, so the root is exact up to rounding. A mean of the worst is convex:
        tangents from beyond the root end on its piece. An order statistic exceeds the limit as soon as k scenarios do.
        """
        if not (is_number(limit) and limit >= 0.0):
            raise InputError([Problem(f"a limit of {said(limit)}.", "max_size", "Give a number that is not negative.")])
        row = (-1.0 if short else 1.0) * self.pnl.row(product) * self._takes[product][self._place(pool)]
        base, weights = self.pooled[self._place(pool)], self._weights[0]
        if self._loss(base) > limit:
            return 0.0
        if np.count_nonzero(weights) == 1:
            return _first_crossing(base, row, limit, len(weights))
        if (np.diff(weights) > 1e-15).any():
            fix = "Ask with kth_worst, mean_of_k_worst, tail_mean or a quantile of type 1."
            raise InputError([Problem(f"{self.measure} has no root of this kind.", "max_size", fix)])
        return self._tangents(base, row, limit)

    def distance_to_cliff(self, product: Product, *, pool: str = BOOK, short: bool = False) -> float:
        """Return the size of a trade up to which the charge of one pool is linear, units; infinity where it always is.

        At this size another scenario enters the tail, and `marginal` jumps.
        """
        at = self._place(pool)
        row, base = (-1.0 if short else 1.0) * self.pnl.row(product) * self._takes[product][at], self.pooled[at]
        shares = self.measure.scenario_weights(base)
        tail = np.flatnonzero(shares)
        apart, closing = base[None, :] - base[tail, None], row[tail, None] - row[None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = np.where((apart * closing > 0.0) & (shares[None, :] != shares[tail, None]), apart / closing, np.inf)
        return float(sizes.min(initial=np.inf))

    def _place(self, pool: str) -> int:
        if pool not in self.pools:
            raise InputError([Problem(f"no pool {said(pool)}.", "tails_of_pools", suggestion(str(pool), self.pools))])
        return self.pools.index(pool)

    def _loss(self, pnl: FloatArray) -> float:
        return float(row_tails(np.array(pnl[None]), self._weights)[0, 0])

    def _tangents(self, base: FloatArray, row: FloatArray, limit: float) -> float:
        """Return the root of a convex loss by tangents from beyond it."""
        steepest = self._loss(row)
        if steepest <= 0.0:
            return math.inf
        size = (limit + self._loss(-base)) / steepest
        while True:
            pnl = base + size * row
            over, slope = self._loss(pnl) - limit, -float(row @ self.measure.scenario_weights(pnl))
            nearer = size - over / slope if over > 0.0 < slope else size
            if not 0.0 <= nearer < size:
                return max(0.0, size)
            size = nearer


def tails_of_pools(
    pnl: PnL,
    products: Sequence[Product],
    quantities: Sequence[float],
    *,
    measure: TailMeasure,
    pools: Mapping[str, Iterable[Product]] | None = None,
) -> PoolTails:
    """Return pools that can be asked.

    Parameters
    ----------
    pnl : PnL
        Of everything held and everything that may be traded.
    products, quantities : sequence
        The positions, signed, long > 0.
    measure : TailMeasure
        What each pool is charged, as a rule-set states it.
    pools : mapping of name to products, optional
        What is margined together; a product may lie in several pools (regimes side by side). One pool of everything
        unless given.

    Raises
    ------
    InputError
        Products that were not revalued, quantities that are not finite, a measure too deep or of too few scenarios.

    Examples
    --------
    >>> from datetime import date
    >>> from crossmargin.products.futures import ShortRateFuture
    >>> from crossmargin.scenarios import ScenarioSet, ScenarioSpec
    >>> future = ShortRateFuture("SR3", 202609)
    >>> drawn = ScenarioSet(ScenarioSpec("historical", 1, 1), [1.0], [[0.0] * 4])
    >>> pnl = PnL((future,), [[-25.0, 50.0, -75.0, 10.0]], [0.0], [0.0], drawn)
    >>> book = tails_of_pools(pnl, [future], [2.0], measure=TailMeasure("kth_worst", k=1))
    >>> book.charges.tolist(), book.delta(future, 1.0).tolist(), book.max_size(future, 300.0)
    ([150.0], [75.0], 2.0)
    """
    sets = {BOOK: frozenset(pnl.products)} if pools is None else {name: frozenset(held) for name, held in pools.items()}
    problems = Problems()
    if not sets:
        problems.add("no pool.", where="pools", fix="Name one at least.")
    n_scenarios = pnl.values.shape[1]
    weights = np.zeros((1, 1))
    with problems.collecting():
        shares = measure.scenario_weights(np.arange(float(n_scenarios)))
        weights = np.ascontiguousarray(shares[None, : int(np.flatnonzero(shares)[-1]) + 1])
    if weights.shape[1] > MOST_WORST:
        problems.add(f"needs {weights.shape[1]} worst results.", where="measure", fix=f"At most {MOST_WORST}.")
    pooled = np.zeros((len(sets), n_scenarios))
    with problems.collecting():
        pnl.pooled(products, quantities)
        for at, held in enumerate(sets.values()):
            mine = [(product, size) for product, size in zip(products, quantities, strict=True) if product in held]
            pooled[at] = pnl.pooled([product for product, _ in mine], [size for _, size in mine])
    problems.raise_if_any("This book cannot be asked")
    takes = {product: np.array([float(product in held) for held in sets.values()]) for product in pnl.products}
    charges = np.maximum(row_tails(pooled, weights)[:, 0], 0.0)
    return PoolTails(pnl, measure, tuple(sets), pooled, charges, takes, weights, np.ascontiguousarray(pnl.values.T))


def _first_crossing(base: FloatArray, row: FloatArray, limit: float, k: int) -> float:
    """Return the size at which, for the first time, k scenarios lose more than `limit`."""
    room = base + limit  # what a scenario can still lose
    over = int((room < 0.0).sum())
    entering, leaving = row < 0.0, (row > 0.0) & (room < 0.0)
    sizes = np.concatenate([np.maximum(room[entering], 0.0) / -row[entering], -room[leaving] / row[leaving]])
    entering_late = (room[entering] >= 0.0).astype(float)
    steps = np.concatenate([entering_late, -np.ones(int(leaving.sum()))])
    order = np.lexsort((steps, sizes))
    reached = np.flatnonzero(over + np.cumsum(steps[order]) >= k)
    return float(sizes[order][reached[0]]) if reached.size else math.inf
