"""What terms rest on: the positions of a book by place, the losses of its pools, and charges by size.

`Holding` is what stands at each place, `Losses` the P&L of every product under every scenario set, and what pools make
of it. `Losses.leaf(term, place, holding)` is one amount as a function of the size of a trade at a place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
from attrs import field, frozen

from crossmargin.analysis.what_if.arithmetic import Range
from crossmargin.batch.terms import Tail, Term, Unit, Weight
from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, counted
from crossmargin.pnl import PnL
from crossmargin.pricing.many_pools import MOST_WORST, row_tails
from crossmargin.products import Product
from crossmargin.scenarios import ScenarioSpec

Pool: TypeAlias = frozenset[int]


@frozen(eq=False)
class Holding:
    """What a book holds: the product and the net quantity of each place; `there` are the places that are held."""

    products: tuple[Product, ...]
    quantities: tuple[float, ...]
    there: Pool

    def net(self, places: Iterable[int]) -> dict[Product, float]:
        """Return the net quantity of each product over some places."""
        found: dict[Product, float] = {}
        for place in places:
            found[self.products[place]] = found.get(self.products[place], 0.0) + self.quantities[place]
        return found


@frozen(eq=False)
class Leaf:
    """An amount that is linear, but for its sign, in the size of a trade: a constant and what moves.

    `net` is what is held of what moves, `slope` what one more unit of the trade adds to it, `long` and `short` what one
    unit of it counts for on either side. `steps` are rows from, to, share from, share to, of the size times `per_unit`.
    """

    rest: float
    net: float
    slope: float
    long: float
    short: float
    steps: tuple[tuple[float, float, float, float], ...] = ()
    per_unit: float = 0.0

    def at(self, size: float) -> float:
        """Return the amount at a size of the trade."""
        net = self.net + self.slope * size
        amount = net * (self.long if net >= 0.0 else -self.short)
        return self.rest + amount * self._share(abs(net)) if self.steps else self.rest + amount

    def over(self, first: float, last: float) -> Range:
        """Return the range of the amount while the size lies between two."""
        ends = sorted((self.net + self.slope * first, self.net + self.slope * last))
        turns = [0.0] * (ends[0] < 0.0 < ends[1])
        amounts = [net * (self.long if net >= 0.0 else -self.short) for net in (*ends, *turns)]
        low, high = min(amounts), max(amounts)
        if self.steps:
            shares = self._shares(ends)
            corners = [share * amount for share in (min(shares), max(shares)) for amount in (low, high)]
            low, high = min(corners), max(corners)
        return self.rest + low, self.rest + high

    def borders(self) -> list[float]:
        """Return the sizes of the trade at which what is held reaches the border of a step."""
        if not (self.steps and self.per_unit and self.slope):
            return []
        reached = [row[1] / self.per_unit for row in self.steps]
        return [(side * each - self.net) / self.slope for each in reached for side in (1.0, -1.0)]

    def _share(self, held: float) -> float:
        size = held * self.per_unit
        for begin, end, low, high in self.steps:  # on the border of two rows the lower one speaks
            if size <= end:
                along = (size - begin) / (end - begin)
                return (1.0 - along) * low + along * high
        return 0.0

    def _shares(self, ends: list[float]) -> list[float]:
        """Return the shares at both ends and at every border between them."""
        least = 0.0 if ends[0] < 0.0 < ends[1] else min(map(abs, ends))
        most = max(map(abs, ends))
        found = [self._share(least), self._share(most)]
        for _, end, _, high in self.steps:
            if least <= end / self.per_unit <= most if self.per_unit else False:
                found.append(high)
        return found


@frozen(eq=False)
class Losses:
    """P&L under every scenario set, and the pools of a book made of it."""

    pnl: Mapping[ScenarioSpec, PnL]
    _units: dict[tuple[Unit, Product], tuple[float, float]] = field(factory=dict, init=False, repr=False)

    def row(self, spec: ScenarioSpec, product: Product) -> FloatArray:
        """Return the P&L [n_scenarios] of one unit of a product, USD; nothing where it is not revalued."""
        known = self.pnl[spec]
        return known.row(product) if product in known else np.zeros(known.values.shape[1])

    def pooled(self, spec: ScenarioSpec, pool: Pool, holding: Holding) -> FloatArray:
        """Return the P&L [n_scenarios] of what is held at the places of a pool, USD."""
        net = {product: held for product, held in holding.net(pool).items() if held}
        return self.pnl[spec].pooled(tuple(net), tuple(net.values()))

    def weights(self, tail: Tail | Unit) -> FloatArray:
        """Return what the worst results of a tail count for, [k], the worst first.

        Raises
        ------
        InputError
            More of them than the kernels take.
        """
        n_scenarios = self.pnl[tail.spec].values.shape[1]
        shares = tail.reducer.measure.scenario_weights(np.arange(float(n_scenarios)))
        k = int(np.flatnonzero(shares)[-1]) + 1
        if k > MOST_WORST:
            fix = f"A what-if takes measures of up to {MOST_WORST} worst results."
            raise InputError([Problem(f"{tail.reducer.measure} needs {k}.", counted(n_scenarios, "scenario"), fix)])
        return np.ascontiguousarray(tail.reducer.factor * shares[:k])

    def unit(self, unit: Unit, product: Product) -> tuple[float, float]:
        """Return what one unit of a product loses by itself, long and short, USD, never negative."""
        key = unit, product
        if key not in self._units:
            row = self.row(unit.spec, product)
            sides = row_tails(np.ascontiguousarray([row, -row]), self.weights(unit)[None, :])[:, 0]
            self._units[key] = max(float(sides[0]), 0.0), max(float(sides[1]), 0.0)
        return self._units[key]

    def leaf(self, term: Term, place: int, holding: Holding) -> Leaf | Held:
        """Return one amount as a function of the size of a trade at a place; of no trade where that does not matter."""
        if term.how == "held":
            return Held(float(not term.products.isdisjoint(holding.there)))
        if term.how in ("signed", "gross"):
            return _weighted(term, place, holding)
        product, net = holding.products[place], holding.net(term.products)
        sizes = {holding.products[each.product]: each.amount for each in term.weights}
        leaves = {each: self._own(term, each, held, sizes.get(each, 0.0)) for each, held in net.items()}
        rest = sum(leaf.at(0.0) for each, leaf in leaves.items() if each != product)
        own = leaves[product]
        return Leaf(rest, own.net, 1.0, own.long, own.short, own.steps, own.per_unit)

    def _own(self, term: Term, product: Product, net: float, per_unit: float) -> Leaf:
        """Return what one net position loses by itself, times its share where the term has steps."""
        long, short = (0.0, 0.0) if term.unit is None else self.unit(term.unit, product)
        return Leaf(0.0, net, 1.0, long, short, term.steps if term.how == "impact" else (), per_unit)


@frozen(eq=False)
class Held:
    """A flag: 1 where something is held, or as soon as anything is traded at a place that the flag looks at."""

    before: float

    def at(self, size: float) -> float:
        """Return the flag at a size of the trade."""
        return 1.0 if size else self.before

    def over(self, first: float, last: float) -> Range:
        """Return the flag while a trade of any size stands."""
        flag = 1.0 if first or last else self.before
        return flag, flag


def _weighted(term: Term, place: int, holding: Holding) -> Leaf:
    """Return a sum of quantities times weights, or of what groups of them net to."""
    sums: dict[object, float] = {}
    by_product = all(each.group == each.product for each in term.weights)  # then products net, wherever they stand

    def group(each: Weight) -> object:
        if term.how == "signed":
            return None
        return holding.products[each.product] if by_product else each.group

    for each in term.weights:
        sums[group(each)] = sums.get(group(each), 0.0) + each.amount * holding.quantities[each.product]
    mine = {group(each): each.amount for each in term.weights if each.product == place}
    if term.how == "signed":
        return Leaf(0.0, sums[None], mine[None], 1.0, -1.0)
    (moving, slope), *more = mine.items()
    if more:
        raise InputError([Problem("one product weighs in several groups.", f"term {term.name!r}")])
    rest = sum(abs(amount) for name, amount in sums.items() if name != moving)
    return Leaf(rest, sums[moving], slope, 1.0, 1.0)
