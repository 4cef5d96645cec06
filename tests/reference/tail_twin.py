"""Slow, obvious twins of the tail measures: exact fractions, one loss at a time, from the definitions."""

from fractions import Fraction
from math import floor


def kth_worst(losses, k):
    return float(sorted(losses, reverse=True)[k - 1])


def mean_of_k_worst(losses, k):
    worst = sorted(losses, reverse=True)[:k]
    return float(sum(Fraction(loss) for loss in worst) / k)


def quantile(losses, confidence, quantile_type):
    """Hyndman and Fan's Q(p) = (1 - gamma) X(j) + gamma X(j+1), j = floor(np + m), g = np + m - j."""
    ordered = [Fraction(loss) for loss in sorted(losses)]
    n, p = len(ordered), Fraction(str(confidence))
    offsets = {
        1: Fraction(0),
        2: Fraction(0),
        3: Fraction(-1, 2),
        4: Fraction(0),
        5: Fraction(1, 2),
        6: p,
        7: 1 - p,
        8: (p + 1) / 3,
        9: p / 4 + Fraction(3, 8),
    }
    j = floor(n * p + offsets[quantile_type])
    g = n * p + offsets[quantile_type] - j
    if quantile_type == 1:
        gamma = Fraction(0) if g == 0 else Fraction(1)
    elif quantile_type == 2:
        gamma = Fraction(1, 2) if g == 0 else Fraction(1)
    elif quantile_type == 3:
        gamma = Fraction(0) if g == 0 and j % 2 == 0 else Fraction(1)
    else:
        gamma = g
    lower = ordered[min(max(j, 1), n) - 1]
    upper = ordered[min(max(j + 1, 1), n) - 1]
    return float((1 - gamma) * lower + gamma * upper)


def weighted_quantile(losses, confidence, weights=None):
    total, reached = _total(losses, weights), Fraction(0)
    needed = 1 - Fraction(str(confidence)) - Fraction(1, 10**9)
    for loss, weight in _worst_first(losses, weights):
        reached += weight / total
        if reached >= needed:
            return float(loss)
    raise AssertionError("all the weight is less than a part of it")


def tail_mean(losses, confidence, weights=None):
    total = _total(losses, weights)
    share = 1 - Fraction(str(confidence))
    needed, collected = share, Fraction(0)
    for loss, weight in _worst_first(losses, weights):
        taken = min(weight / total, needed)
        collected += taken * loss
        needed -= taken
    assert needed == 0
    return float(collected / share)


def expected_shortfall_contributions(pnl, confidence):
    """Add up, row by row, the scenarios in the tail of the column sums: ties by the lower index."""
    totals = [sum(Fraction(row[s]) for row in pnl) for s in range(len(pnl[0]))]
    share = 1 - Fraction(str(confidence))
    needed, result = share * len(totals), [Fraction(0)] * len(pnl)
    for s in sorted(range(len(totals)), key=lambda s: (totals[s], s)):
        taken = min(Fraction(1), needed)
        result = [sum_ - taken * Fraction(row[s]) for sum_, row in zip(result, pnl, strict=True)]
        needed -= taken
    return [float(part / (share * len(totals))) for part in result]


def _total(losses, weights):
    return sum(Fraction(weight) for weight in (weights or [1] * len(losses)))


def _worst_first(losses, weights):
    pairs = zip(losses, weights or [1] * len(losses), strict=True)
    ordered = sorted(pairs, key=lambda pair: -pair[0])
    return [(Fraction(loss), Fraction(weight)) for loss, weight in ordered if weight > 0]
