"""From the solution of the programme to groups: straddles and singles made up, spreads taken apart, names given.

Call `pair`. Taking a spread apart never changes the total: a part leaves only when both sides together cost what the
whole did. `strategy_name` knows the common shapes and calls the rest a spread of so many series.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from crossmargin.pairing.model import Contracts, Group, IntArray, Pairing, is_spread, largest_loss
from crossmargin.pairing.programme import cost_alone, solve

Legs: TypeAlias = dict[int, int]  # series -> contracts, signed

_SAME = 1e-9  # relative to the amounts compared: the same terms added in another order
_TAKEN_APART = 60  # a spread of more series than this is shown whole: taking it apart is for reading only


def pair(book: Contracts, *, time_limit: float | None = None) -> Pairing:
    """Cut the book into groups at the least total requirement and say how low any cut can be.

    Parameters
    ----------
    book
        Series, costs and stock.
    time_limit
        Seconds that the relaxed programme may take, and the search with what betters its result; None for no limit.
        When it is hit, the best cut found is returned, `complete` is False and `gap` says what could still be saved.

    Raises
    ------
    NumericalError
        The solver failed for another reason than time.

    Examples
    --------
    A short call that a long one covers; the other short call stands alone.

    >>> book = Contracts([1, -2], [True, True], [110, 105], [30, 30], [500, 1000], [0, 1500], multiplier=100)
    >>> cut = pair(book)
    >>> [(group.kind, group.cost) for group in cut.groups], cut.bound, cut.proof
    ([('spread', 500.0), ('naked', 2500.0)], 3000.0, 'duality')
    """
    solution = solve(book, time_limit)
    groups = (*_spreads(book, solution.spreads), *_hedged(book, solution.hedges))
    groups += tuple(_straddles(book, solution.spared, solution.sparing))
    groups += tuple(_alone(book, _left(book, groups)))
    value = math.fsum(group.cost for group in groups)
    bound = min(value, max(0.0, solution.bound))
    return Pairing(groups, value, bound, solution.proof, solution.complete)


def _left(book: Contracts, groups: Sequence[Group]) -> IntArray:
    """Return the contracts that no group holds yet."""
    left = book.quantity.astype(np.int64)
    for group in groups:
        for series, contracts in group.legs:
            left[series] -= contracts
    return left


def _hedged(book: Contracts, counts: IntArray) -> Iterator[Group]:
    for place in np.flatnonzero(counts).tolist():
        hedge, lots = book.hedges[place], int(counts[place])
        legs = tuple((series, lots * (1 if book.quantity[series] > 0 else -1)) for series in hedge.legs)
        yield Group("hedge", legs, lots * hedge.cost, lots, hedge=place)
    alone = book.lots - int(counts.sum())
    if alone:
        yield Group("stock", (), alone * book.lot_cost, alone)


def _straddles(book: Contracts, spared: IntArray, sparing: IntArray) -> Iterator[Group]:
    """Yield every spared call with a put that costs no less alone, and every spared put with such a call."""
    for right in (True, False):
        cheaper = _dearest_first(book, np.where(book.is_call == right, spared, 0))
        dearer = _dearest_first(book, np.where(book.is_call == right, 0, sparing))
        while cheaper and dearer:
            (dear, most), (cheap, wanted) = dearer[0], cheaper[0]
            count = min(most, wanted)
            cost = book.premium[dear] + book.exposure[dear] + book.premium[cheap]
            yield Group("straddle", ((dear, -count), (cheap, -count)), count * float(cost))
            dearer[:1] = [(dear, most - count)] if most > count else []
            cheaper[:1] = [(cheap, wanted - count)] if wanted > count else []


def _dearest_first(book: Contracts, counts: IntArray) -> list[tuple[int, int]]:
    """Return the series that have a count, and the count, those that cost most alone first."""
    held = np.flatnonzero(counts)
    held = held[np.argsort(-cost_alone(book)[held], kind="stable")]
    return list(zip(held.tolist(), counts[held].tolist(), strict=True))


def _alone(book: Contracts, left: IntArray) -> Iterator[Group]:
    for series in np.flatnonzero(left).tolist():
        short = left[series] < 0
        cost = -left[series] * (book.premium[series] + book.exposure[series]) if short else 0.0
        yield Group("naked" if short else "long", ((series, int(left[series])),), float(cost))


def _spreads(book: Contracts, counts: IntArray) -> Iterator[Group]:
    """Yield the spreads of the solution, each taken apart as far as it costs nothing."""
    sign = np.sign(book.quantity).astype(np.int64)
    for column in (counts * sign[:, None]).T:
        whole = {int(series): int(column[series]) for series in np.flatnonzero(column)}
        if any(contracts < 0 for contracts in whole.values()):
            yield from (_spread(book, legs) for legs in _apart(book, whole))


def _spread(book: Contracts, legs: Legs) -> Group:
    loss, price = _loss(book, legs)
    return Group("spread", tuple(sorted(legs.items())), book.multiplier * loss, worst_price=price)


def _loss(book: Contracts, legs: Legs) -> tuple[float, float]:
    series = list(legs)
    return largest_loss(list(legs.values()), book.is_call[series], book.strike[series])


def _admissible(book: Contracts, legs: Legs) -> bool:
    series = list(legs)
    return is_spread(np.array(list(legs.values()), dtype=np.float64), book.is_call[series], book.expiry[series])


def _apart(book: Contracts, legs: Legs) -> list[Legs]:
    """Return spreads that hold the short contracts of one spread and cost the same; spare long ones are left out."""
    rest, parts = _without_spare(book, dict(legs)), []
    while len(rest) <= _TAKEN_APART:
        part = next(_free_parts(book, rest), None)
        if part is None:
            break
        parts.append(part)
        rest = _minus(rest, part)
    return _merged([*parts, rest])


def _without_spare(book: Contracts, legs: Legs) -> Legs:
    """Return the legs less the long contracts that change neither cover nor loss."""
    if len(legs) > _TAKEN_APART:
        return legs
    needed = _loss(book, legs)[0]
    for series in [series for series, contracts in legs.items() if contracts > 0]:
        legs = _minus(legs, {series: _spare(book, legs, series, needed)})
    return legs


def _spare(book: Contracts, legs: Legs, series: int, needed: float) -> int:
    """Return how many contracts of a long series may leave: what one more costs never falls, so halving finds it."""
    free, dear = 0, legs[series] + 1
    while dear - free > 1:
        middle = (free + dear) // 2
        fewer = _minus(legs, {series: middle})
        if _admissible(book, fewer) and _equal(_loss(book, fewer)[0], needed):
            free = middle
        else:
            dear = middle
    return free


def _free_parts(book: Contracts, legs: Legs) -> Iterator[Legs]:
    """Yield parts that may leave at no cost: all of one right, or one long series against one short."""
    if strategy_name(book, tuple(legs.items())) in _WHOLE_SHAPES:
        return
    needed = _loss(book, legs)[0]
    halves = [{s: n for s, n in legs.items() if bool(book.is_call[s]) == right} for right in (True, False)]
    for part in (*halves, *_pairs(book, legs)):
        rest = _minus(legs, part)
        if not (rest and part and _admissible(book, part) and _admissible(book, rest)):
            continue
        if _equal(_loss(book, part)[0] + _loss(book, rest)[0], needed):
            yield part


def _pairs(book: Contracts, legs: Legs) -> Iterator[Legs]:
    """Yield every long series with every short one of its right, nearest strikes first, as many as both have."""
    longs = [series for series, contracts in legs.items() if contracts > 0]
    shorts = [series for series, contracts in legs.items() if contracts < 0]
    found = [(long, short) for long in longs for short in shorts if book.is_call[long] == book.is_call[short]]
    for long, short in sorted(found, key=lambda two: abs(float(book.strike[two[0]] - book.strike[two[1]]))):
        count = min(legs[long], -legs[short])
        yield {long: count, short: -count}


def _minus(legs: Legs, part: Legs) -> Legs:
    left = {series: contracts - part.get(series, 0) for series, contracts in legs.items()}
    return {series: contracts for series, contracts in left.items() if contracts}


def _merged(parts: list[Legs]) -> list[Legs]:
    """Return the parts, those with the same two series in the same ratio made one."""
    found: dict[tuple[tuple[int, int], ...], Legs] = {}
    for part in parts:
        shape = _reduced(part)
        held = found.get(shape, {})
        found[shape] = {series: held.get(series, 0) + contracts for series, contracts in part.items()}
    return list(found.values())


def _reduced(legs: Legs) -> tuple[tuple[int, int], ...]:
    common = math.gcd(*legs.values())
    return tuple(sorted((series, contracts // common) for series, contracts in legs.items()))


def _equal(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME * max(1.0, abs(one), abs(other))


def strategy_name(book: Contracts, legs: Sequence[tuple[int, int]]) -> str:
    """Return what traders call a spread of this shape, for example "iron condor".

    Examples
    --------
    >>> book = Contracts([1, -2, 1], [True] * 3, [100, 105, 110], [30] * 3, [700, 400, 200], [0, 9, 0], multiplier=100)
    >>> strategy_name(book, [(0, 1), (1, -2), (2, 1)])
    'long call butterfly'
    """
    ordered = sorted(legs, key=lambda leg: (not book.is_call[leg[0]], book.strike[leg[0]]))
    common = math.gcd(*(contracts for _, contracts in ordered))
    series = [place for place, _ in ordered]
    ratio = tuple(contracts // common for _, contracts in ordered)
    strikes = [float(book.strike[place]) for place in series]
    calls = [bool(book.is_call[place]) for place in series]
    if len(set(book.expiry[series].tolist())) > 1:
        return _across_expiries(strikes, calls, ratio)
    if len(set(calls)) == 1:
        return _of_one_right("call" if calls[0] else "put", strikes, ratio)
    return _of_both_rights(strikes, calls, ratio)


def _across_expiries(strikes: list[float], calls: list[bool], ratio: tuple[int, ...]) -> str:
    if len(ratio) == 2 and len(set(calls)) == 1 and sum(ratio) == 0:
        right = "call" if calls[0] else "put"
        return f"{right} calendar" if strikes[0] == strikes[1] else f"{right} diagonal"
    return f"spread of {len(ratio)} series across expiries"


def _of_one_right(right: str, strikes: list[float], ratio: tuple[int, ...]) -> str:
    even = len(strikes) == 3 and math.isclose(strikes[1] - strikes[0], strikes[2] - strikes[1])
    shapes = {
        (1, -1): f"bull {right} vertical",
        (-1, 1): f"bear {right} vertical",
        (1, -2, 1): f"long {right} butterfly" if even else f"broken-wing {right} butterfly",
        (-1, 2, -1): f"short {right} butterfly" if even else f"short broken-wing {right} butterfly",
        (1, -1, -1, 1): f"long {right} condor",
        (-1, 1, 1, -1): f"short {right} condor",
    }
    if len(ratio) == 2 and ratio not in shapes:
        return f"{right} backspread"  # more long than short: fewer would not be a spread
    return shapes.get(ratio, f"{right} spread of {len(ratio)} series")


def _of_both_rights(strikes: list[float], calls: list[bool], ratio: tuple[int, ...]) -> str:
    other = f"spread of {len(ratio)} series"
    if calls != [True, True, False, False] or sorted(ratio) != [-1, -1, 1, 1] or ratio[0] == ratio[1]:
        return other
    call_low, call_high, put_low, put_high = strikes
    if (call_low, call_high) == (put_low, put_high) and ratio[0] == ratio[3]:
        return "long box" if ratio[0] > 0 else "short box"
    if ratio == (-1, 1, 1, -1):
        if call_low == put_high:
            return "iron butterfly"
        return "iron condor" if put_high < call_low else other
    if ratio == (1, -1, -1, 1) and put_high <= call_low:
        return "reverse iron butterfly" if call_low == put_high else "reverse iron condor"
    return other


_WHOLE_SHAPES = frozenset({"long box", "short box", "iron butterfly", "iron condor"})
