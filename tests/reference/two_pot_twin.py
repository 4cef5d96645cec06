"""The two-pot requirement of directed lots, one scenario and one item after another: slow, obvious, no arrays."""

from __future__ import annotations

from itertools import product


def tail(losses: list[float], weights: list[float]) -> float:
    """The weighted worst losses, never negative."""
    return max(0.0, sum(w * loss for w, loss in zip(weights, sorted(losses, reverse=True), strict=False)))


def charge(model: dict, held: list[float], constant: float = 0.0) -> float:
    """The charge of one model for lots of each item."""
    n = len(model["rows"][0])
    losses = [-sum(q * row[s] for q, row in zip(held, model["rows"], strict=True)) for s in range(n)]
    simulated = constant
    for share, weights, first, last in model["tails"]:
        simulated += share * tail(losses[first:last], weights)
    nets = [sum(q * face[k] for q, face in zip(held, model["faces"], strict=True)) for k in range(len(model["rates"]))]
    return max(simulated, sum(rate * abs(net) for rate, net in zip(model["rates"], nets, strict=True)))


def total(book: dict, directed: tuple[int, ...]) -> float:
    """What all pots ask when so many lots of each item are directed."""
    asked = 0.0
    for pool in sorted(set(book["home"])):
        left = [
            lots - x if home == pool else 0.0
            for lots, x, home in zip(book["lots"], directed, book["home"], strict=True)
        ]
        side = book["side"][book["home"].index(pool)]
        asked += book["scales"][side] * charge(book["models"][side], left, book["constants"].get(pool, 0.0))
    legs = [[x if side == which else 0.0 for x, side in zip(directed, book["side"], strict=True)] for which in (0, 1)]
    factors = []
    for model in book["models"]:
        alone = charge(model, legs[0]) + charge(model, legs[1])
        factors.append(max(0.0, 1.0 - charge(model, list(directed)) / alone) if alone else 0.0)
    factor = min(*factors, book["cap"])
    factor = factor if factor >= book["minimum"] else 0.0
    for side, leg in enumerate(legs):
        asked += (book["scales"][side] - factor) * charge(book["models"][side], leg)
    return asked


def cheapest(book: dict) -> float:
    """The least that any allocation asks."""
    ranges = [range(low, high + 1) for low, high in zip(book["least"], book["most"], strict=True)]
    return min(total(book, directed) for directed in product(*ranges))
