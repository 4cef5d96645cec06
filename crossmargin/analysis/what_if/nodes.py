"""The terms of a book as nodes, each once, with what each amounts to; and, for one place, those that a trade moves.

Call `graph(terms)`, which numbers nodes so that parts come first, then `measured(...)` for what they amount to in a
book. `along(place)` gives all amounts at any size of a trade there (`at`), and the range of each while the size lies
between two (`over`). Everything is made beforehand and nothing is written to afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np
from attrs import field, frozen

from crossmargin.analysis.what_if.arithmetic import OPERATIONS, Of, Over, Range
from crossmargin.analysis.what_if.leaves import Held, Holding, Leaf, Losses
from crossmargin.batch.terms import LEFT_OUT, NOT_MODELLED, Term
from crossmargin.columns import FloatArray
from crossmargin.pricing.many_pools import row_tails
from crossmargin.pricing.trades import SortedPools, UnitTrade, sorted_pools
from crossmargin.scenarios import ScenarioSpec

_LEAVES = ("tail", "signed", "gross", "held", "own", "impact", "constant")
_ALIAS = ("sum", "max", "minimum")
_CHOICES = ("unless", "where")
_FACTORED = ("scaled", "product")
_GAPS = (LEFT_OUT, NOT_MODELLED)
_WHOLE = ("product", "reduction", "diversified")  # nothing without both of their parts


@frozen(eq=False)
class Node:
    """A term, with its parts by number; `term` has what a leaf is made of."""

    term: Term
    parts: tuple[int, ...] = ()

    @property
    def leaf(self) -> bool:
        """Whether it rests on positions, not on parts."""
        return self.term.how in _LEAVES


@frozen(eq=False)
class Graph:
    """Nodes, parts before what is made of them."""

    nodes: tuple[Node, ...]
    number: Mapping[Term, int]

    @cached_property
    def leaves_of(self) -> dict[int, list[int]]:
        """The leaves that each place is in."""
        found: dict[int, list[int]] = {}
        for n, node in enumerate(self.nodes):
            for place in node.term.products if node.leaf else ():
                found.setdefault(place, []).append(n)
        return found

    @cached_property
    def wholes_of(self) -> dict[int, list[int]]:
        """The nodes that each node is a part of."""
        found: dict[int, list[int]] = {}
        for n, node in enumerate(self.nodes):
            for part in node.parts:
                found.setdefault(part, []).append(n)
        return found

    def above(self, nodes: Iterable[int]) -> list[int]:
        """Return some nodes and all that are made of them, parts first."""
        found, waiting = set[int](), list(nodes)
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += self.wholes_of.get(node, ())
        return sorted(found)


def graph(terms: Iterable[Term]) -> Graph:
    """Return the nodes of terms; what is the same in several of them stands once."""
    numbering = _Numbering()
    for term in terms:
        if term.how not in _GAPS:
            numbering.visit(term)
    return Graph(tuple(numbering.nodes), numbering.number)


@frozen(eq=False)
class _Numbering:
    """Nodes as they are numbered; node 0 is nothing."""

    nodes: list[Node] = field(factory=list, init=False)
    number: dict[Term, int] = field(factory=dict, init=False)
    _known: dict[object, int] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._add(Term("nothing", "constant", factor=0.0))

    def visit(self, term: Term) -> int:
        """Return the number of a term, numbered if it was not."""
        if term not in self.number:
            self.number[term] = self._made(term)
        return self.number[term]

    def _made(self, term: Term) -> int:
        if term.how in _LEAVES:
            return self._add(term) if term.products or term.how == "constant" else 0
        if term.how in _CHOICES:
            return self._add(term, tuple(0 if part.how in _GAPS else self.visit(part) for part in term.parts))
        parts = tuple(self.visit(part) for part in term.parts if part.how not in _GAPS)
        if not parts or (term.how in _WHOLE and len(parts) < len(term.parts)):
            return 0
        if term.how in _FACTORED and not term.factor:
            return 0
        if term.how == "sum":
            parts = tuple(part for part in parts if part) or (0,)
        alike = term.how in _ALIAS or (term.how == "scaled" and term.factor == 1.0)
        return parts[0] if alike and len(parts) == 1 else self._add(term, parts)

    def _add(self, term: Term, parts: tuple[int, ...] = ()) -> int:
        key = (term.how, term.name, term.factor, parts, term.products, term.tail, term.weights, term.unit, term.steps)
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(Node(term, parts))
        return self._known[key]


@frozen(eq=False)
class Tails:
    """The tails of one scenario set that a trade moves: pools [n_rows, n_scenarios] and one unit of what is traded.

    `weights` [n_rows, k] are what the worst results of each count for; `nodes` are the numbers of the rows.
    """

    pooled: FloatArray
    unit: FloatArray
    weights: tuple[FloatArray, ...]
    nodes: tuple[int, ...]

    def over(self, first: float, last: float, ranges: list[Range]) -> None:
        """Write the range of each node: no result is worse or better than the worse or better one of the two ends."""
        begin, end = self.pooled + first * self.unit, self.pooled + last * self.unit
        best, worst = np.maximum(begin, end), np.minimum(begin, end)
        for row, (node, weights) in enumerate(zip(self.nodes, self.weights, strict=True)):
            ranges[node] = loss(best[row], weights), loss(worst[row], weights)


def loss(pnl: FloatArray, weights: FloatArray) -> float:
    """Return the loss of a P&L [n_scenarios] whose worst results count for `weights` [k], USD, never negative."""
    return max(0.0, float(row_tails(np.array(pnl[None]), weights[None, :])[0, 0]))


@frozen(eq=False)
class Along:
    """What a trade at one place moves: every amount as a function of its size, signed."""

    base: tuple[float, ...]
    tails: tuple[Tails, ...]
    trade: UnitTrade | None
    leaves: tuple[tuple[int, Leaf | Held], ...]
    steps: tuple[tuple[int, Of, Over, itemgetter[Any], float], ...]

    @cached_property
    def tailed(self) -> tuple[int, ...]:
        """The nodes of all tails."""
        return tuple(node for each in self.tails for node in each.nodes)

    @cached_property
    def moved(self) -> frozenset[int]:
        """The nodes that a trade moves."""
        return frozenset([*self.tailed, *(node for node, _ in self.leaves), *(step[0] for step in self.steps)])

    def at(self, size: float) -> list[float]:
        """Return the amount of every node of the book with a trade of a size."""
        amounts = list(self.base)
        if self.trade is not None:
            for node, lost in zip(self.tailed, self.trade.losses(size), strict=True):
                amounts[node] = max(lost, 0.0)
        for node, leaf in self.leaves:
            amounts[node] = leaf.at(size)
        for node, of, _, parts_of, factor in self.steps:
            amounts[node] = of(parts_of(amounts), factor)
        return amounts

    def over(self, first: float, last: float) -> list[Range]:
        """Return the range of every node while the size lies between two of one sign."""
        ranges = [(amount, amount) for amount in self.base]
        for each in self.tails:
            each.over(first, last, ranges)
        for node, leaf in self.leaves:
            ranges[node] = leaf.over(first, last)
        for node, _, over, parts_of, factor in self.steps:
            ranges[node] = over(parts_of(ranges), factor)
        return ranges


@frozen(eq=False)
class Measured:
    """A graph with what its nodes amount to in a book, USD; `along` says what a trade at a place moves."""

    graph: Graph
    losses: Losses
    holding: Holding
    base: tuple[float, ...]
    pooled: Mapping[tuple[ScenarioSpec, frozenset[int]], FloatArray]
    weights: Mapping[int, FloatArray]
    _shared: dict[tuple[int, ...], FloatArray] = field(factory=dict, init=False, repr=False)
    _prepared: dict[tuple[int, ...], SortedPools] = field(factory=dict, init=False, repr=False)

    def along(self, place: int) -> Along:
        """Return what a trade at a place moves."""
        tails = tuple(self._tails(place))
        leaves, steps = [], []
        for n in self.graph.above(self.graph.leaves_of.get(place, ())):
            term, parts = self.graph.nodes[n].term, self.graph.nodes[n].parts
            if parts:
                parts_of = itemgetter(*parts) if len(parts) > 1 else itemgetter(slice(parts[0], parts[0] + 1))
                steps.append((n, *OPERATIONS[term.how], parts_of, term.factor))
            elif term.tail is None:
                leaves.append((n, self.losses.leaf(term, place, self.holding)))
        trade = self._sorted(tails).of([each.unit for each in tails]) if tails else None
        return Along(self.base, tails, trade, tuple(leaves), tuple(steps))

    def _tails(self, place: int) -> Iterator[Tails]:
        """Yield the tails that a place is in, scenario set by scenario set; places alike share their pools."""
        terms = ((self.graph.nodes[n].term, n) for n in self.graph.leaves_of.get(place, ()))
        mine = [(term.tail, n) for term, n in terms if term.tail is not None]
        for spec in dict.fromkeys(tail.spec for tail, _ in mine):
            here = [(tail, node) for tail, node in mine if tail.spec == spec]
            nodes = tuple(node for _, node in here)
            if nodes not in self._shared:
                self._shared[nodes] = np.array([self.pooled[spec, tail.products] for tail, _ in here])
            weights = tuple(self.weights[node] for node in nodes)
            yield Tails(self._shared[nodes], self.losses.row(spec, self.holding.products[place]), weights, nodes)

    def _sorted(self, tails: tuple[Tails, ...]) -> SortedPools:
        """Return the tails prepared for quick answers; places alike share them too."""
        nodes = tuple(node for each in tails for node in each.nodes)
        if nodes not in self._prepared:
            rows = [(n, row) for n, each in enumerate(tails) for row in each.pooled]
            self._prepared[nodes] = sorted_pools(rows, [self.weights[node] for node in nodes])
        return self._prepared[nodes]


def measured(terms: Iterable[Term], losses: Losses, holding: Holding) -> Measured:
    """Return the graph of some terms, and what every node amounts to in a book."""
    found = graph(terms)
    tails = tuple((node.term.tail, n) for n, node in enumerate(found.nodes) if node.term.tail is not None)
    keys = dict.fromkeys((tail.spec, tail.products) for tail, _ in tails)
    pooled = {(spec, pool): losses.pooled(spec, pool, holding) for spec, pool in keys}
    weights = {node: losses.weights(tail) for tail, node in tails}
    base: list[float] = []
    for n, node in enumerate(found.nodes):
        term = node.term
        if term.tail is not None:
            base.append(loss(pooled[term.tail.spec, term.tail.products], weights[n]))
        elif term.how == "constant":
            base.append(term.factor)
        elif node.leaf:
            base.append(losses.leaf(term, min(term.products), holding).at(0.0))
        else:
            of, _ = OPERATIONS[term.how]
            base.append(of([base[part] for part in node.parts], term.factor))
    return Measured(found, losses, holding, tuple(base), pooled, weights)
