"""Slow, obvious twins of `pair`: every admissible cut of a small book enumerated, and random cuts of larger ones.

They take the definition of the groups literally: no merging of spreads, no special prices, no sorting of straddles.
"""

from __future__ import annotations

import itertools
import math
from functools import cache


def cheapest(book):
    """Return the least total over all admissible cuts, by trying every group that holds the first unit left."""
    start = tuple(int(abs(q)) for q in book.quantity)

    @cache
    def least(left, lots):
        if lots:
            return min(
                (cost + least(rest, lots - 1) for cost, rest in groups_of_a_lot(book, left)),
            )
        first = next((place for place, count in enumerate(left) if count), None)
        if first is None:
            return 0.0
        return min(cost + least(minus(left, taken), 0) for cost, taken in groups_with(first, left))

    def groups_with(first, left):
        ranges = [range(1 if place == first else 0, count + 1) for place, count in enumerate(left)]
        for taken in itertools.product(*ranges):
            cost = group_cost(taken)
            if cost is not None:
                yield cost, taken

    @cache
    def group_cost(taken):
        return cost_of(book, taken)

    return least(start, book.lots)


def groups_of_a_lot(book, left):
    yield book.lot_cost, left
    for hedge in book.hedges:
        taken = tuple(int(place in hedge.legs) for place in range(len(left)))
        if all(have >= want for have, want in zip(left, taken, strict=True)):
            yield hedge.cost, minus(left, taken)


def minus(left, taken):
    return tuple(have - gone for have, gone in zip(left, taken, strict=True))


def cost_of(book, taken):
    """Cost of one group without stock, the cheapest of what it may be called, or None when it is no group."""
    held = [(place, count if book.quantity[place] > 0 else -count) for place, count in enumerate(taken) if count]
    costs = [cost for cost in (single(book, held), straddle(book, held), spread(book, held)) if cost is not None]
    return min(costs, default=None)


def single(book, held):
    if len(held) != 1 or abs(held[0][1]) != 1:
        return None
    place, sign = held[0]
    return 0.0 if sign > 0 else float(book.premium[place] + book.exposure[place])


def straddle(book, held):
    if len(held) != 2 or any(count != -1 for _, count in held):
        return None
    (one, _), (other, _) = held
    if book.is_call[one] == book.is_call[other]:
        return None
    naked = {place: float(book.premium[place] + book.exposure[place]) for place in (one, other)}
    if math.isclose(naked[one], naked[other], rel_tol=0.0, abs_tol=1e-9):  # the rule names neither: the cheaper reading
        return naked[one] + min(float(book.premium[place]) for place in naked)
    dearer, cheaper = sorted(naked, key=lambda place: -naked[place])
    return naked[dearer] + float(book.premium[cheaper])


def spread(book, held):
    longs = [place for place, count in held if count > 0]
    shorts = [place for place, count in held if count < 0]
    if not longs or not shorts or min(book.expiry[longs]) < max(book.expiry[shorts]):
        return None
    for right in (True, False):
        if sum(count for place, count in held if book.is_call[place] == right) < 0:
            return None
    prices = [0.0, *(float(book.strike[place]) for place, _ in held)]
    return book.multiplier * max(0.0, *(-value_at(book, held, price) for price in prices))


def value_at(book, held, price):
    value = 0.0
    for place, count in held:
        strike = float(book.strike[place])
        value += count * max(0.0, price - strike if book.is_call[place] else strike - price)
    return value


def random_cut(book, random):
    """Return the total of some admissible cut: groups are drawn, and kept when they are admissible."""
    left = [int(abs(q)) for q in book.quantity]
    value = 0.0
    for _ in range(book.lots):
        choices = list(groups_of_a_lot(book, tuple(left)))
        cost, rest = random.choice(choices)
        value, left = value + cost, list(rest)
    for _ in range(40):
        taken = tuple(random.randint(0, count) if random.random() < 0.5 else 0 for count in left)
        cost = cost_of(book, taken)
        if cost is not None:
            value, left = value + cost, list(minus(left, taken))
    for place, count in enumerate(left):
        one = tuple(int(place == other) for other in range(len(left)))
        value += count * cost_of(book, one)
    return value
