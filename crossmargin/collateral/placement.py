"""Which holding may cover which requirement: the columns of the cheapest cover, and what walls keep out.

`draw(sources, needs, book, walls)` is the one thing to call; `Columns.programme` turns the result into arrays for
`linear.solve`, `wall_prices` reads the prices of its solution. No solver, no rounding and no movements here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from attrs import frozen

from crossmargin.collateral.balance import CollateralReport
from crossmargin.collateral.covering import Book, cash_share_of, issuer_of
from crossmargin.collateral.linear import IntArray, Programme, Solution
from crossmargin.collateral.schedules import Limit, Taker
from crossmargin.collateral.walls import Walls
from crossmargin.columns import FloatArray
from crossmargin.posted import HOME_CURRENCY, Cash, Place, Posted

LimitKey: TypeAlias = tuple[tuple[str, ...], str, str]  # schedules, limit, issuer or "" for the whole class
_NOT_CASH = "not cash"
_KEPT = "minimum deposit"
_NOTHING = 1e-9  # literal: a price below this is none


@frozen
class Source:
    """A holding that may be used: what of it is free, and where walls take it to come from.

    `pinned` holdings lie where the requirement is not known: they go nowhere.
    """

    posted: Posted
    quantity: float
    price: float
    origin: Place
    pinned: bool = False

    @property
    def supply(self) -> float:
        """Market value at hand, USD."""
        return self.quantity * self.price


@frozen
class Need:
    """A place and what it asks for, USD; never less than the minimum that must stay there."""

    place: Place
    required: float


@frozen(eq=False)
class Blocked:
    """What walls keep a source from: the needs behind them, what 1 USD of it would cover there, and the limits."""

    source: int
    walls: tuple[str, ...]
    needs: IntArray
    value: float
    keys: tuple[LimitKey, ...]


@frozen(eq=False)
class Columns:
    """Every pair of a source and a need that no wall parts and whose schedule takes the asset; and the parted ones.

    `steps` is 0 for what stays where it lies, 1 for what moves and 2 for what is also lent to another owner's pot;
    `limits` holds, for each limit, the columns that it binds need by need, with the most that they count for, USD.
    """

    sources: tuple[Source, ...]
    needs: tuple[Need, ...]
    source: IntArray
    need: IntArray
    value: FloatArray
    steps: FloatArray
    limits: Mapping[LimitKey, Mapping[int, tuple[IntArray, float]]]
    blocked: tuple[Blocked, ...]

    def programme(self, unit: Mapping[str, float], *, move: float, shortfall_cost: float) -> Programme:
        """Return the arrays of the programme; `unit` is what 1 USD of each holding costs, USD a year."""
        cost = np.array([unit[each.posted.id] for each in self.sources])
        return Programme(
            source=self.source,
            need=self.need,
            value=self.value,
            cost=(cost[self.source] if self.source.size else np.zeros(0)) + move * self.steps,
            supply=np.array([each.supply for each in self.sources]),
            required=np.array([each.required for each in self.needs]),
            limits=[limit for bound in self.limits.values() for limit in bound.values()],
            shortfall_cost=shortfall_cost,
        )


def sources_of(holdings: Iterable[Posted], book: Book, before: CollateralReport, *, level: str) -> tuple[Source, ...]:
    """Return what may be used at a level, without the part that is passed on already: a dollar is there once."""
    holdings = tuple(holdings)
    passed: Mapping[str, list[float]] = defaultdict(list)
    for each in holdings:
        if each.passed_on:
            passed[each.passed_on].append(each.quantity)
    unknown = {balance.place for balance in before.balances if balance.required.amount is None}
    found = []
    for each in holdings:
        price = book.values.get(each.asset)
        onward = math.fsum(passed.get(each.id, ())) if level == "clearing" else 0.0
        elsewhere = level == "customer" and bool(each.passed_on)  # the deposit at the firm is the same dollar
        if price and each.quantity > onward and not elsewhere:
            found.append(Source(each, each.quantity - onward, price, origin_of(each), each.place in unknown))
    return tuple(found)


def origin_of(posted: Posted) -> Place:
    """Return where walls take a holding to come from: a firm's own money in a customer pot is the firm's."""
    if posted.provided_by and posted.provided_by == posted.firm:
        return Place(posted.firm, posted.firm, posted.place.pot, "PROPRIETARY")
    return posted.place


def needs_of(before: CollateralReport, level: str) -> tuple[Need, ...]:
    """Return what each place of a level asks for: the requirement, or what must stay there if that is more."""
    found = []
    for balance in before.balances:
        if balance.level == level:
            kept = max((part.value for part in balance.locked.parts if part.name == _KEPT), default=0.0)
            found.append(Need(balance.place, balance.required.value + min(kept, balance.excess.value)))
    return tuple(found)


@frozen(eq=False)
class _Group:
    """Needs of one firm, pot and class: a wall tells the holder's own place from all others and nothing more."""

    members: IntArray
    by_owner: Mapping[str, int]

    def parted(self, source: Source, needs: Sequence[Need]) -> Iterator[tuple[bool, IntArray]]:
        """Yield the needs that walls treat alike, and whether it is where the source lies already."""
        posted = source.posted
        home = self.by_owner.get(posted.owner)
        if home is not None and needs[home].place == posted.place:
            yield True, np.array([home])
        else:
            home = None
        own = self.by_owner.get(source.origin.owner)
        if own is not None and own != home:
            yield False, np.array([own])
        others = self.members[(self.members != home) & (self.members != own)]
        if others.size:
            yield False, others


def draw(sources: Sequence[Source], needs: Sequence[Need], book: Book, walls: Walls) -> Columns:
    """Return the columns of a programme; thousands of customers cost a few looks each."""
    open_: list[tuple[int, IntArray, FloatArray]] = []
    blocked: list[Blocked] = []
    groups = _groups(needs)
    for number, source in enumerate(sources):
        for group in groups:
            for home, some in group.parted(source, needs):
                if source.pinned and not home:
                    continue
                target = needs[some[0]].place
                why = () if home else tuple(wall.condition for wall in walls.between(source.origin, target))
                taken, value = _worth(source, some, needs, book)
                if taken.size and why:
                    keys = limit_keys(source.posted, target, book)
                    blocked.append(Blocked(number, why, taken, value, keys))
                elif taken.size:
                    open_.append((number, taken, np.full(taken.size, value)))
    return _columns(sources, needs, open_, blocked, book=book)


def _groups(needs: Sequence[Need]) -> list[_Group]:
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for number, need in enumerate(needs):
        place = need.place
        found.setdefault((place.firm, place.pot, place.account_class, place.level), {})[place.owner] = number
    return [_Group(np.array(list(by_owner.values())), by_owner) for by_owner in found.values()]


def _worth(source: Source, some: IntArray, needs: Sequence[Need], book: Book) -> tuple[IntArray, float]:
    """Return the needs among some of one taker whose schedule takes the asset, and what 1 USD of it covers there."""
    place, posted = needs[some[0]].place, source.posted
    taker = book.schedules.taker(place)
    term = None if taker is None else book.schedules.term(taker, posted.asset, posted.index)
    if term is None:
        return some[:0], 0.0
    if posted.issuer:
        foreign = [posted.issuer not in book.parties(needs[number].place) for number in some]
        some = some[np.array(foreign)]
    return some, term.valuation_percentage


def _columns(
    sources: Sequence[Source],
    needs: Sequence[Need],
    open_: Sequence[tuple[int, IntArray, FloatArray]],
    blocked: Sequence[Blocked],
    *,
    book: Book,
) -> Columns:
    bound: dict[LimitKey, dict[int, list[int]]] = {}
    steps, column = [], 0
    for number, some, _ in open_:
        posted = sources[number].posted
        keys = limit_keys(posted, needs[some[0]].place, book)
        for need in some.tolist():
            target = needs[need].place
            steps.append((target != posted.place) + (target.owner != posted.owner))
            for key in keys:
                bound.setdefault(key, {}).setdefault(need, []).append(column)
            column += 1
    return Columns(
        sources=tuple(sources),
        needs=tuple(needs),
        source=np.repeat([number for number, _, _ in open_], [some.size for _, some, _ in open_]).astype(np.int64),
        need=np.concatenate([np.zeros(0, dtype=np.int64), *(some for _, some, _ in open_)]),
        value=np.concatenate([np.zeros(0), *(value for _, _, value in open_)]),
        steps=np.array(steps, dtype=np.float64),
        limits={
            key: {need: (np.array(columns), _cap(key, needs[need], book)) for need, columns in found.items()}
            for key, found in bound.items()
        },
        blocked=tuple(blocked),
    )


def limit_keys(posted: Posted, target: Place, book: Book) -> tuple[LimitKey, ...]:
    """Return every limit that binds an asset in a place."""
    taker = book.schedules.taker(target)
    if taker is None:
        return ()
    binding = [limit for limit in book.schedules.limits(taker) if limit.covers(posted.asset)]
    keys = [(taker.schedules, limit.name, issuer_of(posted) if limit.per == "issuer" else "") for limit in binding]
    cash = isinstance(posted.asset, Cash) and posted.asset.currency == HOME_CURRENCY
    if not cash and cash_share_of(taker, book.schedules, target)[0]:
        keys.append((taker.schedules, _NOT_CASH, ""))
    return tuple(keys)


def _cap(key: LimitKey, need: Need, book: Book) -> float:
    """Return the most that a limit lets count in a place, USD."""
    schedules, name, _ = key
    taker = Taker(schedules)
    if name == _NOT_CASH:
        return (1.0 - cash_share_of(taker, book.schedules, need.place)[0]) * need.required
    named = [limit for limit in book.schedules.limits(taker) if limit.name == name]
    return min(_amount(limit, need.required) for limit in named)


def _amount(limit: Limit, required: float) -> float:
    share = math.inf if limit.share is None else limit.share * required
    return min(share, math.inf if limit.amount is None else limit.amount)


def wall_prices(
    columns: Columns, solution: Solution, unit: Mapping[str, float], move: float
) -> dict[tuple[str, ...], tuple[float, Source, Need]]:
    """Return, for each set of walls, what the first dollar through it would save, and for which source and need.

    It is the reduced cost of a column that is not there: what its need pays for a dollar, less what the limits of the
    need, the asset itself and its other uses are worth. A bound: where prices jump, less is saved.
    """
    found: dict[tuple[str, ...], tuple[float, Source, Need]] = {}
    limits = _prices_of_limits(columns, solution)
    for each in columns.blocked:
        source = columns.sources[each.source]
        own = (unit[source.posted.id] + move + solution.supply_prices[each.source]) / each.value
        capped = [limits[key][each.needs] for key in each.keys if key in limits]
        saved = solution.need_prices[each.needs] - own - np.sum(capped, axis=0)
        best = int(np.argmax(saved))
        if saved[best] > max(_NOTHING, found.get(each.walls, (0.0,))[0]):
            found[each.walls] = (float(saved[best]), source, columns.needs[int(each.needs[best])])
    return found


def _prices_of_limits(columns: Columns, solution: Solution) -> dict[LimitKey, FloatArray]:
    """Return the price of each limit, need by need, 0 where it binds no column."""
    found, row = {key: np.zeros(len(columns.needs)) for key in columns.limits}, 0
    for key, bound in columns.limits.items():
        for need in bound:
            found[key][need] = solution.limit_prices[row]
            row += 1
    return found
