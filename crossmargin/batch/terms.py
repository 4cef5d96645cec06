"""Figures of many accounts as terms: what a `Line` is to one figure, a `Term` is to a column of them.

Build terms with `total`, `largest`, `scaled` and their kin, which are those of `results`, over what is found in an
account's positions: `tail`, `signed`, `gross` and `held`. `Tile(...).amount(term)` evaluates them for some accounts.
Nothing here knows a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem
from crossmargin.historical_var import Leg, Reducer
from crossmargin.scenarios import ScenarioSpec

LEFT_OUT, NOT_MODELLED = "left_out", "not_modelled"
_GAPS = (LEFT_OUT, NOT_MODELLED)


@frozen
class Tail:
    """The loss of some products pooled: on which scenarios, by which reducer."""

    products: frozenset[int]
    spec: ScenarioSpec
    reducer: Reducer


@frozen
class Unit:
    """The loss of one unit of each product by itself, long and short: on which scenarios, by which reducer."""

    spec: ScenarioSpec
    reducer: Reducer


@frozen
class Weight:
    """What one unit of a product counts for, USD; weights of one group net before they count."""

    product: int
    group: int
    amount: float


@frozen(eq=False)
class Term:
    """A column of amounts, one for each account, and how it follows from its parts.

    ================  ==========================================================================
    how               amount
    ================  ==========================================================================
    tail              the pooled loss of the products, never negative
    signed            the sum of quantities times their weights
    gross             the same, group by group without its sign
    held              1 where an account holds any of the products, else 0
    unless            the second part where the first is 0, else 0
    where             the second part where the first is not 0, else the third
    own               the sum of what each net position loses by itself
    impact            the same, each times the share that `steps` give for its quantity times its weight; past them 0
    diversified       the first part over the second, from `factor` to 1; 1 where that is 0
    at_least          the only part where it is `factor` or more, else 0
    left_out          not found here; the report of an account has it
    not_modelled      not found here, nor in the report of an account
    ================  ==========================================================================

    and `sum`, `max`, `minimum`, `root_sum_square`, `scaled`, `product` and `reduction` as for `results.Line`. What is
    left out or not modelled takes no part in the arithmetic, and `products` are what it is about.
    """

    name: str
    how: str
    parts: tuple[Term, ...] = ()
    factor: float = 1.0
    products: frozenset[int] = frozenset()
    tail: Tail | None = None
    weights: tuple[Weight, ...] = ()
    unit: Unit | None = None
    steps: tuple[tuple[float, float, float, float], ...] = ()

    def walk(self) -> Iterator[Term]:
        """Yield this term and all below it, top down."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def part(self, name: str) -> Term:
        """Return the first term of this name at or below this one.

        Raises
        ------
        InputError
            No term has the name.
        """
        for term in self.walk():
            if term.name == name:
                return term
        raise InputError([Problem(f"no term named {name!r}.", f"term {self.name!r}")])

    @property
    def takes(self) -> frozenset[int]:
        """The products that some amount here rests on."""
        return frozenset().union(*(term.products for term in self.walk() if term.how not in _GAPS))


def tail(leg: Leg, products: Iterable[int], *, name: str = "") -> Term:
    """Return the loss of products pooled, as a leg measures it."""
    held = frozenset(products)
    return Term(name or leg.name, "tail", products=held, tail=Tail(held, leg.spec, leg.reducer))


def signed(name: str, weights: Iterable[Weight]) -> Term:
    """Return the sum of quantities times weights: longs and shorts offset."""
    return _weighted(name, "signed", weights)


def gross(name: str, weights: Iterable[Weight]) -> Term:
    """Return the same with each group's sum taken without its sign."""
    return _weighted(name, "gross", weights)


def holds(name: str, products: Iterable[int]) -> Term:
    """Return 1 where any of the products is held."""
    return Term(name, "held", products=frozenset(products))


def own(name: str, leg: Leg, products: Iterable[int]) -> Term:
    """Return what net positions lose, each by itself, added up."""
    return Term(name, "own", products=frozenset(products), unit=Unit(leg.spec, leg.reducer))


def impact(name: str, leg: Leg, sizes: Iterable[Weight], steps: Iterable[tuple[float, float, float, float]]) -> Term:
    """Return the same, each times a share of its size: `steps` are rows from, to, share from, share to."""
    unit = Unit(leg.spec, leg.reducer)
    return evolve(_weighted(name, "impact", sizes), unit=unit, steps=tuple(steps))


def diversified(name: str, loss: Term, alone: Term, *, least: float) -> Term:
    """Return the share of losses alone that is left when they are pooled."""
    return Term(name, "diversified", (loss, alone), least)


def left_out(what: str, products: Iterable[int]) -> Term:
    """Return what a batch does not find though the report of an account has it."""
    return Term(what, LEFT_OUT, products=frozenset(products))


def not_modelled(what: str, products: Iterable[int]) -> Term:
    """Return what nobody finds."""
    return Term(what, NOT_MODELLED, products=frozenset(products))


def total(name: str, parts: Iterable[Term]) -> Term:
    """Return the sum of the parts."""
    return Term(name, "sum", tuple(parts))


def largest(name: str, parts: Iterable[Term]) -> Term:
    """Return the largest of the parts."""
    return Term(name, "max", tuple(parts))


def smallest(name: str, parts: Iterable[Term]) -> Term:
    """Return the smallest of the parts."""
    return Term(name, "minimum", tuple(parts))


def root_sum_square(name: str, parts: Iterable[Term]) -> Term:
    """Return the root of the sum of squares of the parts."""
    return Term(name, "root_sum_square", tuple(parts))


def scaled(name: str, factor: float, part: Term) -> Term:
    """Return `factor` times one part."""
    return Term(name, "scaled", (part,), factor)


def product(name: str, parts: Iterable[Term], *, factor: float = 1.0) -> Term:
    """Return `factor` times the product of the parts."""
    return Term(name, "product", tuple(parts), factor)


def reduction(name: str, combined: Term, standalone: Term) -> Term:
    """Return the share of `standalone` that `combined` saves, never negative."""
    return Term(name, "reduction", (combined, standalone))


def at_least(name: str, least: float, part: Term) -> Term:
    """Return a part where it is `least` or more, else nothing."""
    return Term(name, "at_least", (part,), least)


def unless(flag: Term, part: Term) -> Term:
    """Return a part where a flag is not up, else nothing."""
    return Term(part.name, "unless", (flag, part))


def where(flag: Term, part: Term, otherwise: Term) -> Term:
    """Return one part where a flag is up, else the other."""
    return Term(part.name, "where", (flag, part, otherwise))


def constant(name: str, amount: float) -> Term:
    """Return one amount for every account."""
    return Term(name, "constant", factor=amount)


def _weighted(name: str, how: str, weights: Iterable[Weight]) -> Term:
    weights = tuple(weights)
    return Term(name, how, products=frozenset(each.product for each in weights), weights=weights)


# ------------------------------------------------------------------------------------------------------- evaluating


@frozen(eq=False)
class Columns:
    """The weights of terms by product, made once for all tiles.

    `places` is the column of each tail, `units` the loss of a unit of each product, [2, n_products]: long, short.
    """

    n_products: int
    places: Mapping[Tail, int]
    units: Mapping[Unit, FloatArray]
    _made: dict[Term, Any] = field(factory=dict, init=False)
    _flags: dict[Term, NDArray[np.bool_]] = field(factory=dict, init=False)

    def weights_of(self, term: Term) -> tuple[FloatArray, NDArray[np.int64], bool]:
        """Return amounts and groups [n_products], and whether any group has several products."""
        if term not in self._made:
            amounts, groups = np.zeros(self.n_products), np.zeros(self.n_products, dtype=np.int64)
            for each in term.weights:
                amounts[each.product], groups[each.product] = each.amount, each.group
            distinct = len({each.group for each in term.weights})
            self._made[term] = amounts, groups, distinct < len(term.weights)
        made: tuple[FloatArray, NDArray[np.int64], bool] = self._made[term]
        return made

    def place_of(self, term: Term) -> int:
        """Return the column of a tail."""
        if term.tail is None:
            raise InputError([Problem("is no tail.", f"term {term.name!r}")])
        return self.places[term.tail]

    def flags_of(self, term: Term) -> NDArray[np.bool_]:
        """Return which products a term is about, [n_products]."""
        if term not in self._flags:
            flags = np.zeros(self.n_products, dtype=bool)
            flags[list(term.products)] = True
            self._flags[term] = flags
        return self._flags[term]


@frozen(eq=False)
class Tile:
    """Some accounts: their tails [n_accounts, n_tails], and their net positions by account."""

    columns: Columns
    tails: FloatArray
    account: NDArray[np.int64]
    product: NDArray[np.int32]
    quantity: FloatArray
    _made: dict[Term, FloatArray] = field(factory=dict, init=False)

    def amount(self, term: Term) -> FloatArray:
        """Return the amounts [n_accounts] of a term, USD; found once however often it stands in others."""
        if term not in self._made:
            self._made[term] = _HOW[term.how](self, term)
        return self._made[term]

    def parts(self, term: Term) -> list[FloatArray]:
        """Return the amounts of the parts that there are."""
        return [self.amount(part) for part in term.parts if part.how not in _GAPS]

    def sums(self, amounts: FloatArray) -> FloatArray:
        """Return the sum over each account's positions."""
        return np.bincount(self.account, amounts, minlength=len(self.tails)).astype(np.float64, copy=False)

    def nothing(self) -> FloatArray:
        """Return 0 for every account."""
        return np.zeros(len(self.tails))


def _tail(tile: Tile, term: Term) -> FloatArray:
    return tile.tails[:, tile.columns.place_of(term)]


def _signed(tile: Tile, term: Term) -> FloatArray:
    amounts, _, _ = tile.columns.weights_of(term)
    return tile.sums(amounts[tile.product] * tile.quantity)


def _gross(tile: Tile, term: Term) -> FloatArray:
    amounts, groups, shared = tile.columns.weights_of(term)
    weighted = amounts[tile.product] * tile.quantity
    if not shared:
        return tile.sums(np.abs(weighted))
    rows = np.flatnonzero(weighted)
    key = tile.account[rows] * (int(groups.max()) + 1) + groups[tile.product[rows]]
    cells, cell = np.unique(key, return_inverse=True)
    netted = np.abs(np.bincount(cell, weighted[rows], minlength=len(cells)))
    account = cells // (int(groups.max()) + 1)
    return np.bincount(account, netted, minlength=len(tile.tails)).astype(np.float64, copy=False)


def _held(tile: Tile, term: Term) -> FloatArray:
    flags = tile.columns.flags_of(term)[tile.product]
    return (tile.sums(flags.astype(np.float64)) > 0.0).astype(np.float64)


def _own_losses(tile: Tile, term: Term) -> FloatArray:
    """Return what each net position loses by itself, of the products that a term is about."""
    unit = np.zeros((2, tile.columns.n_products)) if term.unit is None else tile.columns.units[term.unit]
    loss = unit[(tile.quantity < 0.0).astype(np.int64), tile.product] * np.abs(tile.quantity)
    return np.where(tile.columns.flags_of(term)[tile.product], loss, 0.0)


def _own(tile: Tile, term: Term) -> FloatArray:
    return tile.sums(_own_losses(tile, term))


def _impact(tile: Tile, term: Term) -> FloatArray:
    begin, end, low, high = np.array(term.steps).T
    amounts, _, _ = tile.columns.weights_of(term)
    size = np.abs(tile.quantity) * amounts[tile.product]
    row = np.minimum(np.searchsorted(end, size), len(end) - 1)  # on the border of two rows the lower one speaks
    along = (size - begin[row]) / (end[row] - begin[row])
    share = np.where(size > end[-1], 0.0, (1.0 - along) * low[row] + along * high[row])
    return tile.sums(share * _own_losses(tile, term))


def _diversified(tile: Tile, term: Term) -> FloatArray:
    loss, alone = (tile.amount(part) for part in term.parts)
    share = np.divide(loss, alone, out=np.ones_like(loss), where=alone != 0.0)
    return np.where(alone != 0.0, np.minimum(1.0, np.maximum(term.factor, share)), 1.0)


def _folded(fold: Callable[[FloatArray, FloatArray], FloatArray], tile: Tile, term: Term) -> FloatArray:
    parts = tile.parts(term)
    if not parts:
        return tile.nothing()
    found = parts[0]
    for part in parts[1:]:
        found = fold(found, part)
    return found


def _root_sum_square(tile: Tile, term: Term) -> FloatArray:
    return np.abs(_folded(np.hypot, tile, term))


def _scaled(tile: Tile, term: Term) -> FloatArray:
    parts = tile.parts(term)
    return term.factor * parts[0] if parts else tile.nothing()


def _product(tile: Tile, term: Term) -> FloatArray:
    parts = tile.parts(term)
    return np.asarray(term.factor * np.prod(parts, axis=0)) if len(parts) == len(term.parts) else tile.nothing()


def _reduction(tile: Tile, term: Term) -> FloatArray:
    parts = tile.parts(term)
    if len(parts) < len(term.parts):
        return tile.nothing()
    combined, standalone = parts
    share = np.divide(combined, standalone, out=np.ones_like(combined), where=standalone != 0.0)
    return np.maximum(0.0, 1.0 - share)


def _at_least(tile: Tile, term: Term) -> FloatArray:
    (part,) = tile.parts(term) or [tile.nothing()]
    return np.where(part < term.factor, 0.0, part)


def _unless(tile: Tile, term: Term) -> FloatArray:
    flag, part = (tile.amount(part) for part in term.parts)
    return np.where(flag != 0.0, 0.0, part)


def _where(tile: Tile, term: Term) -> FloatArray:
    flag, part, otherwise = (tile.amount(part) for part in term.parts)
    return np.where(flag != 0.0, part, otherwise)


_HOW: Mapping[str, Callable[[Tile, Term], FloatArray]] = MappingProxyType(
    {
        "tail": _tail,
        "signed": _signed,
        "gross": _gross,
        "held": _held,
        "sum": partial(_folded, np.add),
        "max": partial(_folded, np.maximum),
        "minimum": partial(_folded, np.minimum),
        "root_sum_square": _root_sum_square,
        "scaled": _scaled,
        "product": _product,
        "reduction": _reduction,
        "at_least": _at_least,
        "own": _own,
        "impact": _impact,
        "diversified": _diversified,
        "unless": _unless,
        "where": _where,
        "constant": lambda tile, term: np.full(len(tile.tails), term.factor),
        LEFT_OUT: lambda tile, _: tile.nothing(),
        NOT_MODELLED: lambda tile, _: tile.nothing(),
    }
)
