"""One margin unit of a two-pot programme on arrays: what every way of directing its items into the programme costs.

`TwoPotBook.totals(directed)` is the requirement over all pots; `charge_range` and `plane` bound a model's charge over
a box of holdings, which is what `two_pot_search` proves its answers with. Nothing here reads a rule or a product.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.columns import FloatArray, readonly
from crossmargin.errors import Problems
from crossmargin.records import as_tuple
from crossmargin.risk import TailMeasure

IntArray: TypeAlias = NDArray[np.int64]
TREASURY, FUTURES = 0, 1  # sides: whose pot an item's own leg lies in
BELOW = 1e-12  # factors closer than this are the same number in floating point
_BLOCK = 256  # allocations whose P&L is held at once: some MB
_DEPTHS = (1, 2, 4, 8, 16)  # how many times the rank of a quantile its bound looks at


def _counts(values: ArrayLike) -> IntArray:
    array = np.array(values, dtype=np.int64)
    array.setflags(write=False)
    return array


@frozen
class Tail:
    """A part of a charge: `weight` times the tail loss, never negative, of every `step`-th scenario of first:last."""

    weight: float
    measure: TailMeasure
    first: int
    last: int
    step: int = 1

    @property
    def columns(self) -> slice:
        """The scenarios that it looks at."""
        return slice(self.first, self.last, self.step)

    @cached_property
    def rank_weights(self) -> FloatArray:
        """Weight of each loss by rank, worst first, up to the mildest that counts."""
        by_rank = self.measure.scenario_weights(np.arange(float(len(range(self.first, self.last, self.step)))))
        return by_rank[: int(np.flatnonzero(by_rank)[-1]) + 1]

    @property
    def convex(self) -> bool:
        """Whether no worse loss weighs less than a milder one: an expected shortfall does, a quantile does not."""
        return bool((np.diff(self.rank_weights) <= BELOW).all())


@frozen(eq=False)
class Model:
    """A clearing house's charge for holdings: max(constant + tails of the pooled P&L, floor on net faces), USD.

    Attributes
    ----------
    rows : array [n_items, n_scenarios]
        P&L of one lot of each item, gain > 0, USD.
    tails : tuple of Tail
        Their sum is the simulated charge.
    faces : array [n_items, n_securities]
        Signed face of each security in one lot.
    rates : array [n_securities]
        Floor on the net face, USD per USD, >= 0.
    """

    rows: FloatArray = field(converter=readonly)
    tails: tuple[Tail, ...] = field(converter=as_tuple)
    faces: FloatArray = field(converter=readonly)
    rates: FloatArray = field(converter=readonly)

    @property
    def convex(self) -> bool:
        """Whether the charge of a sum is never above the sum of the charges."""
        return all(tail.convex for tail in self.tails)

    @cached_property
    def gains(self) -> FloatArray:
        """The rows where they gain, 0 elsewhere."""
        return np.maximum(self.rows, 0.0)

    @cached_property
    def losses(self) -> FloatArray:
        """The rows where they lose, 0 elsewhere."""
        return np.minimum(self.rows, 0.0)

    def charge(self, held: ArrayLike, constant: float = 0.0) -> FloatArray:
        """Return the charge [...] of holdings [..., n_items] in lots, USD; `constant` stands beside the tails."""
        lots = np.asarray(held, dtype=np.float64)
        return np.maximum(constant + self._simulated(_added(lots, self.rows)), np.abs(lots @ self.faces) @ self.rates)

    def charge_range(self, low: ArrayLike, high: ArrayLike, constant: float = 0.0) -> tuple[float, float]:
        """Return bounds of the charge over the box of holdings from `low` to `high` [n_items].

        They rest on monotonicity alone, so that they hold for any tail measure: in each scenario the P&L lies between
        the sums of the items' worst and best, and no measure falls where every loss grows.
        """
        least, width = np.asarray(low, dtype=np.float64), np.subtract(high, low)
        middle = _added(least, self.rows)
        tails = self._simulated(middle + np.stack([_added(width, self.gains), _added(width, self.losses)]))
        start, reach = least @ self.faces, width @ np.maximum(self.faces, 0.0)
        end, drop = start + reach, start + width @ np.minimum(self.faces, 0.0)
        closest = np.maximum(0.0, np.maximum(drop, -end)) @ self.rates
        furthest = np.maximum(np.abs(drop), np.abs(end)) @ self.rates
        return float(max(constant + tails[0], closest)), float(max(constant + tails[1], furthest))

    def plane(self, at: ArrayLike, low: ArrayLike, high: ArrayLike, constant: float = 0.0) -> tuple[FloatArray, float]:
        """Return (slope [n_items], intercept) of a plane that no charge in the box lies below, as high as may be `at`.

        For a tail mean the slope is the subgradient: minus the mean P&L in its tail. The k-th worst loss is at least
        the mean of any m losses once the k - 1 worst that these can be in the box are taken out.
        """
        point, width = np.asarray(at, dtype=np.float64), np.subtract(high, low)
        worst = _added(np.asarray(low, dtype=np.float64), self.rows) + _added(width, self.losses)
        slope, intercept = np.zeros(len(self.rows)), constant
        for tail in self.tails:
            rows = self.rows[:, tail.columns]
            planes = _planes(tail, rows, _added(point, rows), worst[tail.columns])
            a, b = max(planes, key=lambda plane: float(plane[0] @ point) + plane[1])
            if float(a @ point) + b > 0.0:
                slope, intercept = slope + tail.weight * a, intercept + tail.weight * b
        net = point @ self.faces
        if np.abs(net) @ self.rates > slope @ point + intercept:
            return self.faces @ (np.sign(net) * self.rates), 0.0
        return slope, intercept

    def _simulated(self, pnl: FloatArray) -> FloatArray:
        parts = [t.weight * np.asarray(t.measure.of_pnl(pnl[..., t.columns], floor_at_zero=True)) for t in self.tails]
        return np.sum(parts, axis=0) if parts else np.zeros(pnl.shape[:-1])


def _added(lots: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the P&L [..., n_scenarios] of holdings; added in one order, as `@` does not promise on many threads."""
    used = np.flatnonzero(lots.any(axis=tuple(range(lots.ndim - 1))))
    return np.asarray(np.einsum("...i,is->...s", lots[..., used], rows[used]))


def _planes(tail: Tail, rows: FloatArray, pnl: FloatArray, worst: FloatArray) -> Iterable[tuple[FloatArray, float]]:
    """Yield planes below one tail: `rows` [n_items, n], `pnl` [n] where it is to be high, `worst` [n] in the box."""
    if tail.convex:
        yield 0.0 - np.einsum("is,s->i", rows, tail.measure.scenario_weights(pnl)), 0.0
        return
    rank, order = len(tail.rank_weights), np.argsort(pnl, kind="stable")
    for size in sorted({min(depth * rank, len(pnl)) for depth in _DEPTHS}):
        chosen, count = order[:size], size - rank + 1
        taken_out = np.sort(0.0 - worst[chosen])[size - rank + 1 :].sum()
        yield 0.0 - rows[:, chosen].sum(axis=1) / count, 0.0 - float(taken_out) / count


@frozen(eq=False)
class TwoPotBook:
    """Items in lots that may be directed into a two-pot programme, and what is asked wherever they lie.

    Attributes
    ----------
    models : (Model, Model)
        Of the Treasury pot and of the futures pot, both on all items.
    side : array [n_items]
        `TREASURY` or `FUTURES`: the pot of an item's own leg.
    home : array [n_items]
        Number of the pool, of one side each, that an item's lots fall to when they are not directed.
    lots : array [n_items]
        How many there are, >= 0; the sign of a position is in its rows.
    least, most : array [n_items]
        Fewest and most lots that can be directed; equal for an item that cannot move.
    cap, minimum : float
        Largest factor, and the least that is granted.
    scales : (float, float)
        Requirement over charge of each pot, >= 1: add-ons that grow with the charge and that no factor reduces.
    constants : tuple of float
        Charge beside the tails, pool by pool, USD.

    Raises
    ------
    InputError
        Arrays that do not fit one another, limits out of order, numbers that are not finite: all of them at once.
    """

    models: tuple[Model, ...] = field(converter=as_tuple)
    side: IntArray = field(converter=_counts)
    home: IntArray = field(converter=_counts)
    lots: IntArray = field(converter=_counts)
    least: IntArray = field(converter=_counts)
    most: IntArray = field(converter=_counts)
    cap: float
    minimum: float = 0.0
    scales: tuple[float, ...] = field(default=(1.0, 1.0), converter=as_tuple)
    constants: tuple[float, ...] = field(default=(), converter=as_tuple)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for where, what in _misfits(self):
            problems.add(what, where=where)
        problems.raise_if_any("The book cannot be searched")

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(self.lots)

    @property
    def convex(self) -> bool:
        """Whether both models are."""
        return all(model.convex for model in self.models)

    @cached_property
    def pools(self) -> tuple[tuple[int, int, float], ...]:
        """(number, side, constant) of every pool outside the programme."""
        sides = {int(home): int(side) for home, side in zip(self.home, self.side, strict=True)}
        return tuple((home, sides[home], dict(enumerate(self.constants)).get(home, 0.0)) for home in sorted(sides))

    def outside(self, directed: ArrayLike, pool: int) -> FloatArray:
        """Return the lots [..., n_items] that a pool holds of what is not directed."""
        return np.where(self.home == pool, self.lots - np.asarray(directed), 0.0)

    def leg(self, directed: ArrayLike, side: int) -> FloatArray:
        """Return the lots [..., n_items] of one leg inside the programme."""
        return np.where(self.side == side, np.asarray(directed), 0.0)

    def totals(self, directed: ArrayLike) -> FloatArray:
        """Return the requirement of all pots [...] for directed lots [..., n_items], USD.

        References
        ----------
        The two-pot rule as `arrangements.cme_ficc.two_pot` states it.
        """
        chosen = np.asarray(directed)
        if chosen.ndim == 2 and len(chosen) > _BLOCK:
            blocks = (chosen[start : start + _BLOCK] for start in range(0, len(chosen), _BLOCK))
            return np.concatenate([self.totals(block) for block in blocks])
        base = [
            self.scales[side] * self.models[side].charge(self.outside(chosen, pool), constant)
            for pool, side, constant in self.pools
        ]
        alone = [[model.charge(self.leg(chosen, side)) for side in (TREASURY, FUTURES)] for model in self.models]
        sums = [treasury + futures for treasury, futures in alone]
        factor = self.granted([model.charge(chosen) for model in self.models], sums)
        inside = [(scale - factor) * alone[pot][pot] for pot, scale in enumerate(self.scales)]
        return np.asarray(np.sum([*base, *inside], axis=0))

    def granted(self, joint: Iterable[Any], sums: Iterable[Any]) -> FloatArray:
        """Return the factor [...] from what each model asks for both legs together and for the two alone."""
        saved = [
            np.where(alone > 0.0, 1.0 - both / np.where(alone > 0.0, alone, 1.0), 0.0)
            for both, alone in zip(joint, sums, strict=True)
        ]
        lower = np.clip(np.minimum(*saved), 0.0, self.cap)
        return np.where(lower < self.minimum - BELOW, 0.0, lower)


def _misfits(book: TwoPotBook) -> Iterable[tuple[str, str]]:
    shape, n = (book.n_items,), book.n_items
    for name in ("side", "home", "least", "most"):
        if getattr(book, name).shape != shape:
            yield name, f"has shape {getattr(book, name).shape}, lots {shape}."
            return
    if not ((book.least >= 0) & (book.least <= book.most) & (book.most <= book.lots)).all():
        yield "least, most", "are not in the order 0 <= least <= most <= lots."
    if len({(int(home), int(side)) for home, side in zip(book.home, book.side, strict=True)}) != len(set(book.home)):
        yield "home", "a pool holds both sides."
    for number, model in enumerate(book.models):
        if len(model.rows) != n or len(model.faces) != n or model.faces.shape[1:] != model.rates.shape:
            yield f"models[{number}]", f"rows, faces and rates are not those of {n} items."
        if not all(np.isfinite(each).all() for each in (model.rows, model.faces, model.rates)):
            yield f"models[{number}]", "holds a number that is not finite."
    if not (0.0 <= book.cap <= 1.0 and 0.0 <= book.minimum <= 1.0):
        yield "cap, minimum", f"{book.cap!r}, {book.minimum!r} are not shares from 0 to 1."
    if not (len(book.scales) == len(book.models) == 2 and all(1.0 <= scale < np.inf for scale in book.scales)):
        yield "scales", f"{book.scales!r} are not two numbers of at least 1, one for each model."
