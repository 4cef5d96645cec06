"""The slow, obvious offset gate: correlations by their textbook sums, blocks by trying every join again and again."""

from __future__ import annotations

import math
from itertools import product


def correlation(xs, ys):
    """Pearson's correlation, term by term; None without a meaning."""
    n = len(xs)
    if n < 2 or len(set(xs)) == 1 or len(set(ys)) == 1:
        return None
    x, y = math.fsum(xs) / n, math.fsum(ys) / n
    covariance = math.fsum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    return covariance / math.sqrt(math.fsum((a - x) ** 2 for a in xs) * math.fsum((b - y) ** 2 for b in ys))


def blocks(passed):
    """Sets of groups margined together: each open pair in turn joins two sets if all pairs across them are open."""
    found = [{group} for group in dict.fromkeys(group for pair in passed for group in pair)]
    for first, second in passed:
        one = next(each for each in found if first in each)
        other = next(each for each in found if second in each)
        crossing = product(one, other)
        if one is not other and all((a, b) in passed or (b, a) in passed for a, b in crossing):
            found.remove(other)
            one |= other
    return {frozenset(each) for each in found if len(each) > 1}
