"""Spreads: how deltas of opposite sides are matched and consumed, between months, tiers and combined commodities.

A `DeltaLedger` holds deltas and what spreads have left of them. `form_calendar_spreads` and `form_inter_spreads` match
them by priority and say how many of each spread came about; `merged_losses` is the scanning-based spread. What a
spread costs or earns becomes lines in `requirement.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Generic, TypeAlias, TypeVar

from attrs import frozen

from crossmargin.errors import Problems
from crossmargin.span.portfolio import (
    CalendarSpread,
    InterSpread,
    Leg,
    Tier,
    check_number,
    check_share,
)
from crossmargin.span.scanning import net_delta

Key = TypeVar("Key", int, tuple[str, int])
Spread = TypeVar("Spread", CalendarSpread, InterSpread)
Part: TypeAlias = tuple[str, int | None]  # a combined commodity, or one tier of it

_NOTHING = 1e-12  # of the delta held: what rounding leaves of one that spreads have used up


class DeltaLedger(Generic[Key]):
    """Net deltas by contract month, or by commodity and month, and what spreads have left of each.

    Parameters
    ----------
    held : mapping
        Signed deltas, long > 0.
    remaining : mapping, optional
        What earlier spreads have left; everything when left out.

    Raises
    ------
    InputError
        A delta that is not finite.

    Examples
    --------
    >>> ledger = DeltaLedger({202609: 5.0, 202612: -8.0})
    >>> ledger.take((202609, 202612), -1, 3.0)
    >>> ledger.remaining, ledger.consumed(202612)
    ({202609: 5.0, 202612: -5.0}, 3.0)
    """

    def __init__(self, held: Mapping[Key, float], remaining: Mapping[Key, float] | None = None) -> None:
        problems = Problems()
        for key, delta in held.items():
            check_number(problems, delta, f"delta of {key}")
        problems.raise_if_any()
        self.held: dict[Key, float] = dict(sorted(held.items()))
        self.remaining: dict[Key, float] = dict(self.held if remaining is None else sorted(remaining.items()))
        self._netted: dict[tuple[Key, ...], float] = {}  # used of what the keys net to

    def available(self, keys: tuple[Key, ...], direction: int, *, netted: bool) -> float:
        """Return the delta of one direction (1 long, -1 short) that spreads may still use, never negative.

        Without `netted` the keys of that direction are added, never set off against others. With it their net counts,
        and no more of it than was held before any spread.
        """
        left = [self.remaining.get(key, 0.0) for key in keys]
        if not netted:
            return math.fsum(max(0.0, direction * delta) for delta in left)
        held = net_delta(self.held.get(key, 0.0) for key in keys)
        unused = direction * held - self._netted.get(keys, 0.0)
        return max(0.0, min(direction * net_delta(left), unused))

    def take(self, keys: tuple[Key, ...], direction: int, amount: float, *, netted: bool = False) -> None:
        """Consume `amount` > 0 of one direction, earliest key first."""
        if netted:
            self._netted[keys] = self._netted.get(keys, 0.0) + amount
        for key in sorted(keys):
            left = self.remaining.get(key, 0.0)
            used = min(amount, max(0.0, direction * left))
            if used:
                left -= direction * used
                self.remaining[key] = left if abs(left) > _NOTHING * abs(self.held[key]) else 0.0
                amount -= used

    def consumed(self, key: Key) -> float:
        """Return how much delta of a key spreads have used, never negative."""
        return abs(self.held.get(key, 0.0)) - abs(self.remaining.get(key, 0.0))


@frozen
class Formed(Generic[Spread]):
    """A spread and how many of it came about, both sides together."""

    spread: Spread
    count: float


@frozen
class _Source(Generic[Key]):
    """Where a leg takes its delta from; `side` is 1 on side A, -1 on side B."""

    keys: tuple[Key, ...]
    ratio: float
    side: int
    netted: bool


def form_calendar_spreads(
    ledger: DeltaLedger[int], spreads: Iterable[CalendarSpread], tiers: Iterable[Tier] | None = None
) -> tuple[Formed[CalendarSpread], ...]:
    """Match deltas of a combined commodity across its months, lowest priority number first; the ledger is used up.

    Parameters
    ----------
    ledger : DeltaLedger
        Net deltas by contract month. A tier's long is the sum of its long months, its short that of its short months,
        never netted with each other; it is consumed month by month.
    spreads : iterable of CalendarSpread
    tiers : iterable of Tier, optional
        What the legs are on; without it they are on contract months. A leg on a month or tier that is not there forms
        nothing.

    References
    ----------
    CME Group, public SPAN documentation, intra-commodity spreads, series to series and tier to tier.

    Examples
    --------
    >>> ledger = DeltaLedger({202509: 5.0, 202512: -8.0, 202603: 4.0})
    >>> butterfly = CalendarSpread(1, 250.0, [Leg(202509, 1, "A"), Leg(202512, 2, "B"), Leg(202603, 1, "A")])
    >>> [formed.count for formed in form_calendar_spreads(ledger, [butterfly])], ledger.remaining
    ([4.0], {202509: 1.0, 202512: 0.0, 202603: 0.0})
    """
    months = tuple(ledger.held)
    inside = {tier.number: tuple(month for month in months if tier.contains(month)) for tier in tiers or ()}

    def source(leg: Leg) -> _Source[int]:
        on = int(leg.on)
        keys = (on,) if tiers is None else inside.get(on, ())
        return _Source(keys, leg.ratio, _side(leg), netted=False)

    return tuple(Formed(spread, _form(ledger, spread.legs, source)) for spread in _by_priority(spreads))


def form_inter_spreads(
    ledger: DeltaLedger[tuple[str, int]],
    spreads: Iterable[InterSpread],
    price_risk: Mapping[Part, float | None],
    *,
    tiers: Mapping[str, Sequence[Tier]] | None = None,
) -> tuple[Formed[InterSpread], ...]:
    """Match net deltas between combined commodities, lowest priority number first; the ledger is used up.

    A leg takes from the net of its commodity (or tier), never more than was held before any spread. A spread with a
    leg whose price has no risk, or a gain, forms nothing.

    Parameters
    ----------
    ledger : DeltaLedger
        Deltas by commodity and month.
    spreads : iterable of InterSpread
    price_risk : mapping
        Weighted futures price risk by commodity and tier (None: the whole of it).
    tiers : mapping, optional
        Tiers of the commodities that legs name tiers of.

    Raises
    ------
    InputError
        A price risk that is not finite.

    References
    ----------
    CME Group, public SPAN documentation, inter-commodity spreading, overall and tiered methods.

    Examples
    --------
    >>> ledger = DeltaLedger({("ES", 202609): 14.0, ("NQ", 202609): -9.0})
    >>> pair = InterSpread(1, 75.0, [Leg("ES", 3, "A"), Leg("NQ", 2, "B")])
    >>> risk = {("ES", None): 13000.0, ("NQ", None): 19000.0}
    >>> [formed.count for formed in form_inter_spreads(ledger, [pair], risk)], ledger.remaining
    ([4.5], {('ES', 202609): 0.5, ('NQ', 202609): 0.0})
    """
    problems = Problems()
    for part, risk in price_risk.items():
        if risk is not None:
            check_number(problems, risk, f"price risk of {part}")
    problems.raise_if_any()

    def source(leg: Leg) -> _Source[tuple[str, int]]:
        named = [tier for tier in (tiers or {}).get(str(leg.on), ()) if tier.number == leg.tier]
        keys = [key for key in ledger.held if key[0] == leg.on]
        if leg.tier is not None:
            keys = [key for key in keys if named and named[0].contains(key[1])]
        return _Source(tuple(keys), leg.ratio, _side(leg), netted=True)

    def count(spread: InterSpread) -> float:
        risky = all((price_risk.get(part_of(leg)) or 0.0) > 0 for leg in spread.legs)
        return _form(ledger, spread.legs, source) if risky else 0.0

    return tuple(Formed(spread, count(spread)) for spread in _by_priority(spreads))


def part_of(leg: Leg) -> Part:
    """Return the commodity and tier that a leg of an inter-commodity spread is on."""
    return str(leg.on), leg.tier


def merged_losses(loss_arrays: Sequence[Sequence[float]], credit_rate_pct: float) -> tuple[float, ...]:
    """Return the losses [n_scenarios] of a scanning-based spread: every gain of a leg cut to a share, then added.

    Parameters
    ----------
    loss_arrays : sequence [n_legs, n_scenarios]
        Of the whole position of each leg, money, loss > 0.
    credit_rate_pct : float
        Share of a gain that is recognised, per cent, 0 to 100.

    Raises
    ------
    InputError

    References
    ----------
    CME Group notice SPAN 03-04 (2003), scanning-based inter-commodity spreads (method 04).

    Examples
    --------
    >>> merged_losses([[-100.0, 100.0], [60.0, -60.0]], 50.0)
    (10.0, 70.0)
    """
    problems = Problems()
    check_share(problems, credit_rate_pct, "credit_rate_pct")
    if len({len(losses) for losses in loss_arrays}) > 1:
        problems.add("the legs have arrays of unlike length.", where="loss_arrays")
    problems.raise_if_any()
    share = credit_rate_pct / 100
    columns = zip(*loss_arrays, strict=True)
    return tuple(math.fsum(loss if loss > 0 else share * loss for loss in column) for column in columns)


def _form(ledger: DeltaLedger[Key], legs: Iterable[Leg], source: Callable[[Leg], _Source[Key]]) -> float:
    """Form as many spreads as the ledger allows, side A long first, then side B long; return how many."""
    sources = [source(leg) for leg in legs]
    formed = 0.0
    for flip in (1, -1):
        count = min(_bounds(ledger, sources, flip), default=0.0)
        if count > 0:
            formed += count
            # The tier that ends first takes first: where tiers overlap it has the fewest months to choose from.
            for each in sorted(sources, key=lambda each: each.keys[-1]):
                ledger.take(each.keys, flip * each.side, count * each.ratio, netted=each.netted)
    return formed


def _bounds(ledger: DeltaLedger[Key], sources: Sequence[_Source[Key]], flip: int) -> Iterable[float]:
    """Yield the count that each leg allows, and that legs of one side which share months allow together."""
    for side in (1, -1):
        mine = [each for each in sources if each.side == side]
        for some in (some for size in range(1, len(mine) + 1) for some in combinations(mine, size)):
            keys = tuple(sorted({key for each in some for key in each.keys}))
            delta = ledger.available(keys, flip * side, netted=some[0].netted)
            yield delta / math.fsum(each.ratio for each in some)


def _side(leg: Leg) -> int:
    return 1 if leg.side == "A" else -1


def _by_priority(spreads: Iterable[Spread]) -> list[Spread]:
    return sorted(spreads, key=lambda spread: spread.priority)
