"""Where a requirement begins to follow another line: caps, floors, minimums, thresholds of size, and ends of time.

Call `WhatIf.distance_to_cliff`, which uses this. A cliff is found from the terms of the figures, so that a rule names
no cliff of its own: two parts of which the larger or smaller counts, a share below which nothing is granted, the
scenarios in a tail, the rows of a table of sizes; and from the rules: conditions that a position will fail, values with
a date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import TypeAlias

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.analysis.what_if.drawing import Drawn
from crossmargin.analysis.what_if.leaves import Leaf
from crossmargin.analysis.what_if.nodes import Along, Measured
from crossmargin.batch.planning import Figure
from crossmargin.batch.terms import LEFT_OUT, NOT_MODELLED, Term
from crossmargin.columns import FloatArray
from crossmargin.eligibility import Case, case_of, decide
from crossmargin.products import Product
from crossmargin.products.lifetime import expiry_of
from crossmargin.registry import module

Gap: TypeAlias = Callable[[Sequence[float]], float]
Traded: TypeAlias = Mapping[Product, Along]

_GAPS = (LEFT_OUT, NOT_MODELLED)
_YEAR = 365.25
_FINEST, _RATIO, _SIZES = 1e-6, 1.5, 70  # sizes looked at, relative to the book: up to 1.4 million times it
_HALVINGS = 50
_SAME = 1e-12  # relative: parts closer than this are one and the same, and run together


@frozen
class Cliff:
    """Where a requirement begins to follow another line.

    Attributes
    ----------
    name, kind : str
        What begins to count there; `floor`, `cap`, `side`, `minimum`, `threshold`, `scenario`, `eligibility` or
        `rule date`.
    regime, where : str
        The regime, and the pot and rule, or the programme and position, concerned.
    slack : float
        How far it is, in `unit`: `USD`, `share`, `% of daily volume` or `days`. Not negative.
    nearness : float
        The slack against the amount that it is measured from, days against a year: the order of cliffs.
    about : str
        What holds on this side.
    sizes : tuple of (Product, float)
        The smallest trade that crosses it, signed, of each product that does; none where only time does.
    """

    name: str
    kind: str
    regime: str
    where: str
    slack: float
    unit: str
    nearness: float
    about: str = ""
    sizes: tuple[tuple[Product, float], ...] = ()


@frozen(eq=False)
class _Switch:
    """A cliff that sizes cross: where `gap` of the amounts of nodes changes its sign."""

    cliff: Cliff
    nodes: frozenset[int]
    gap: Gap


@frozen(eq=False)
class _Book:
    """What cliffs are found in."""

    found: Drawn
    state: Measured
    traded: Traded
    seen: set[object] = field(factory=set, init=False)

    def new(self, *key: object) -> bool:
        """Whether this was not met before."""
        fresh = key not in self.seen
        self.seen.add(key)
        return fresh

    def node(self, term: Term) -> int:
        """Return the number of a term's node; that of nothing where it is left out."""
        return self.state.graph.number.get(term, 0)

    def where(self, figure: Figure) -> str:
        """Return whose figure it is, of which pot and rule."""
        return ", ".join(part for part in (self.found.owners[figure], figure.pot, figure.rule) if part)

    def terms(self) -> Iterator[tuple[Figure, Term]]:
        """Yield every term with its figure, those of the clearing level first."""
        for figure in sorted(self.found.figures, key=lambda each: each.level != "clearing"):
            for term in figure.term.walk():
                yield figure, term


def cliffs(found: Drawn, state: Measured, traded: Traded) -> tuple[Cliff, ...]:
    """Return every cliff of a book, the nearest first, with the sizes of what is traded that cross it.

    Notes
    -----
    Sizes at which tails and tables turn follow from their lines. All others are looked for on a grid of sizes, each 1.5
    times the last, and then by bisection: what is crossed twice between two of them is missed.
    """
    book = _Book(found, state, traded)
    crossed = _crossed(list(_switches(book)), traded)
    every = [*crossed, *_scenarios(book), *_thresholds(book), *_eligibility(book), *_rule_dates(book)]
    return tuple(sorted(every, key=lambda each: (each.nearness, each.regime, each.where, each.name)))


# ------------------------------------------------------------------------------------------------ crossed by size


def _switches(book: _Book) -> Iterator[_Switch]:
    """Yield every pair of parts of which one counts, and every share that is granted from a value on."""
    base = book.state.base
    for figure, term in book.terms():
        parts = [(part, book.node(part)) for part in term.parts if part.how not in _GAPS]
        if term.how in ("max", "minimum") and len(parts) > 1:
            fold = max if term.how == "max" else min
            leader = fold(parts, key=lambda each: base[each[1]])
            for other in parts:
                yield from _pair(book, figure, term, pair=(leader, other))
        elif term.how in ("at_least", "diversified") and term.factor > 0.0 and parts and base[parts[0][1]]:
            yield from _least(book, figure, term, [node for _, node in parts])


def _pair(
    book: _Book, figure: Figure, term: Term, *, pair: tuple[tuple[Term, int], tuple[Term, int]]
) -> Iterator[_Switch]:
    """Yield where the second part of a pair begins to count in place of the first."""
    (counts, first), (waits, second) = pair
    base = book.state.base
    slack, scale = abs(base[first] - base[second]), max(abs(base[first]), abs(base[second]))
    if slack <= _SAME * scale or not book.new(figure.regime, term.how, first, second):
        return
    capped, share = "constant" in (counts.how, waits.how), "reduction" in (counts.how, waits.how)
    kind = "floor" if term.how == "max" else "minimum" if not share else "cap" if capped else "side"
    cliff = Cliff(f"{term.name}: {waits.name}", kind, figure.regime, book.where(figure), slack,
                  "share" if share else "USD", slack / scale, f"{counts.name} counts")  # fmt: skip
    yield _Switch(cliff, frozenset((first, second)), lambda amounts: amounts[first] - amounts[second])


def _least(book: _Book, figure: Figure, term: Term, nodes: Sequence[int]) -> Iterator[_Switch]:
    """Yield where a share reaches the value from which it counts."""
    if not book.new(figure.regime, term.how, *nodes):
        return
    whole = (lambda amounts: amounts[nodes[1]]) if term.how == "diversified" else (lambda _: 1.0)

    def gap(amounts: Sequence[float]) -> float:
        return float(amounts[nodes[0]] - term.factor * whole(amounts))

    base = book.state.base
    slack = abs(gap(base)) / (whole(base) or 1.0)
    kind = "floor" if term.how == "diversified" else "minimum"
    about = f"{'above' if gap(base) >= 0.0 else 'below'} {term.factor:.12g}"
    cliff = Cliff(f"{term.name}: least", kind, figure.regime, book.where(figure), slack, "share",
                  slack / term.factor, about)  # fmt: skip
    yield _Switch(cliff, frozenset(nodes), gap)


def _crossed(switches: list[_Switch], traded: Traded) -> list[Cliff]:
    """Return the cliffs with the smallest size of every product that crosses each."""
    sizes: list[list[tuple[Product, float]]] = [[] for _ in switches]
    for product, along in traded.items():
        mine = [n for n, each in enumerate(switches) if not along.moved.isdisjoint(each.nodes)]
        nearest: dict[int, float] = {}
        for sign in (1.0, -1.0):
            for n, size in _crossings([switches[n] for n in mine], along, sign):
                nearest[mine[n]] = min(nearest.get(mine[n], sign * size), sign * size, key=abs)
        for n, size in nearest.items():
            sizes[n].append((product, size))
    return [evolve(each.cliff, sizes=tuple(found)) for each, found in zip(switches, sizes, strict=True)]


def _crossings(switches: list[_Switch], along: Along, sign: float) -> Iterator[tuple[int, float]]:
    """Yield the number of every switch that a trade of one sign crosses, and the size at which it does."""
    finest = _scale(along) * _FINEST
    before = {n: each.gap(along.base) >= 0.0 for n, each in enumerate(switches)}
    last = 0.0
    for step in range(_SIZES if before and finest else 0):
        size = finest * _RATIO**step
        amounts = along.at(sign * size)
        for n in [n for n, above in before.items() if (switches[n].gap(amounts) >= 0.0) is not above]:
            above = before.pop(n)
            yield n, _bisected(partial(_is_above, switches[n], along, sign), last, size, above=above)
        last = size


def _is_above(switch: _Switch, along: Along, sign: float, size: float) -> bool:
    return switch.gap(along.at(sign * size)) >= 0.0


def _bisected(above_at: Callable[[float], bool], low: float, high: float, *, above: bool) -> float:
    """Return the least size known to lie beyond the crossing."""
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if above_at(middle) is above:
            low = middle
        else:
            high = middle
    return high


def _scale(along: Along) -> float:
    """Return the size of a trade that weighs about as much as what is held."""
    unit = max((float(np.abs(each.unit).max()) for each in along.tails), default=0.0)
    weights = [
        abs(leaf.slope) * max(abs(leaf.long), abs(leaf.short)) for _, leaf in along.leaves if isinstance(leaf, Leaf)
    ]
    unit = max([unit, *weights]) or 1.0
    return max((abs(along.base[n]) for n in along.moved), default=0.0) / unit


# --------------------------------------------------------------------------------------------- tails and tables


def _scenarios(book: _Book) -> Iterator[Cliff]:
    """Yield, for every tail, how far the next scenario is from entering it."""
    for figure, term in book.terms():
        node = book.node(term)
        if term.tail is None or not book.state.base[node] or not book.new(figure.regime, "tail", node):
            continue
        gains = np.sort(book.state.pooled[term.tail.spec, term.tail.products])
        weights = book.state.weights[node]
        apart = np.diff(gains)[np.diff(_by_rank(weights, len(gains))) != 0.0]
        if not apart.size:
            continue
        slack, k = float(apart.min()), len(weights)
        spec = term.tail.spec
        name = f"{term.name}: next {spec.kind} scenario over {spec.horizon_days} d"
        about = f"the {k} worst of {len(gains):,} count"
        sizes = [(product, _turn(along, node)) for product, along in book.traded.items()]
        yield Cliff(name, "scenario", figure.regime, book.where(figure), slack, "USD", slack / book.state.base[node],
                    about, tuple((product, size) for product, size in sizes if size is not None))  # fmt: skip


def _turn(along: Along, node: int) -> float | None:
    """Return the smallest size, signed, at which another scenario enters a tail; None where none does."""
    for each in along.tails:
        if node in each.nodes:
            row = each.nodes.index(node)
            return _trading_places(each.pooled[row], each.unit, each.weights[row])
    return None


def _trading_places(pooled: FloatArray, unit: FloatArray, weights: FloatArray) -> float | None:
    """Return the smallest size, signed, at which two scenarios that count for different shares change places."""
    shares = np.empty_like(pooled)
    shares[np.argsort(pooled, kind="stable")] = _by_rank(weights, len(pooled))
    tail = np.flatnonzero(shares)
    apart, closing = pooled[None, :] - pooled[tail, None], unit[tail, None] - unit[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        meets = (apart * closing != 0.0) & (shares[None, :] != shares[tail, None])
        sizes = np.where(meets, apart / closing, np.inf)
    size = float(sizes.flat[np.argmin(np.abs(sizes))])
    return size if np.isfinite(size) else None


def _by_rank(weights: FloatArray, n_scenarios: int) -> FloatArray:
    """Return what each result counts for, the worst first."""
    found = np.zeros(n_scenarios)
    found[: len(weights)] = weights
    return found


def _thresholds(book: _Book) -> Iterator[Cliff]:
    """Yield, for every net position that is charged by its size, how far the next row of the table is."""
    for figure, term in book.terms():
        if term.how != "impact" or not book.new(figure.regime, "impact", book.node(term)):
            continue
        losses, holding = book.state.losses, book.state.holding
        places = {holding.products[place]: place for place in sorted(term.products)}
        for product, net in holding.net(term.products).items():
            leaf = losses.leaf(term, places[product], holding)
            if not net or not isinstance(leaf, Leaf):
                continue
            size = abs(net) * leaf.per_unit
            borders = [abs(row[1] - size) for row in leaf.steps]
            ways = [each for each in leaf.borders() if each and product in book.traded]
            sizes = ((product, min(ways, key=abs)),) if ways else ()
            name, slack = f"{term.name}: size of {product.symbol}", min(borders)
            yield Cliff(name, "threshold", figure.regime, book.where(figure), slack, "% of daily volume",
                        slack / size if size else 0.0, f"{size:.4g} % is held", sizes)  # fmt: skip


# --------------------------------------------------------------------------------------------------------- time


def _eligibility(book: _Book) -> Iterator[Cliff]:
    """Yield every condition that an admitted position will fail while it lives, and in how many days."""
    run, template = book.found.run, book.found.formulas.template
    regimes = {figure.regime for figure in book.found.figures}
    for regime in (each for each in book.found.regimes if each.name in regimes):
        for id in regime.programmes:
            joined = (n for n in sorted(book.state.holding.there) if str(n) in run.admitted[id])
            for n in joined:
                if id in regime.arrangements and run.enrolled.get(str(n)) != id:
                    continue
                position, at = template.positions[n], book.found.places[n]
                case = case_of(template, position, book.found.market.as_of)
                where = f"{id}, {at.account}: {at.product.symbol}"
                for condition, about, days in _ends(case, id, book):
                    yield Cliff(condition, "eligibility", regime.name, where, days, "days", days / _YEAR, about)


def _ends(case: Case, programme: str, book: _Book) -> Iterator[tuple[str, str, float]]:
    """Yield conditions that fail on a later day, and the first such day, each taken to fail from then on."""
    rules, tests = book.found.run.book[programme], module(programme).TESTS
    lasts = (expiry_of(case.position.product) - case.as_of).days - 1

    def failing(days: int) -> dict[str, str]:
        found = decide(evolve(case, as_of=case.as_of + timedelta(days)), rules, tests)
        return {reason.condition: reason.about for reason in found.because}

    for condition, about in failing(lasts).items() if lasts > 0 else ():
        low, high = 0, lasts
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if condition in failing(middle) else (middle, high)
        yield condition, about, float(high)


def _rule_dates(book: _Book) -> Iterator[Cliff]:
    """Yield the next day on which a value or a condition of a rule that is used begins or ends."""
    run, as_of = book.found.run, book.found.market.as_of
    for figure in book.found.figures:
        if not figure.rule or not book.new(figure.regime, "rule", figure.rule):
            continue
        rules = run.book[figure.rule]
        days: list[tuple[date, str]] = []
        for name, parameter in rules.parameters.items():
            days += [(day, name) for each in parameter.values for day in (each.start, each.end) if day and day > as_of]
        for each in rules.conditions:
            days += [(day, each.id) for day in (each.start, each.end) if day and day > as_of]
        if days:
            day, name = min(days)
            left = float((day - as_of).days)
            yield Cliff(name, "rule date", figure.regime, figure.rule, left, "days", left / _YEAR, f"until {day}")
