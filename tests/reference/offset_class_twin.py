"""Slow, obvious matching of offset classes: dollar by dollar down the priority table, no lines and no shares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable


def reduction(residuals: Iterable[tuple[str, str, float]], pairs: Iterable[tuple[int, str, str, float]]) -> float:
    """Return what is forgiven, USD: residuals are (side, class, amount), pairs (priority, FICC class, CME class, d)."""
    left: dict[tuple[str, str], float] = defaultdict(float)
    for side, name, amount in residuals:
        left[side, name] += amount
    forgiven = 0.0
    for _, ficc, cme, disallowance in sorted(pairs):
        while left["FICC", ficc] * left["CME", cme] < 0:
            step = min(1.0, abs(left["FICC", ficc]), abs(left["CME", cme]))
            for key in (("FICC", ficc), ("CME", cme)):
                left[key] -= step if left[key] > 0 else -step
            forgiven += step * (1.0 - disallowance)
    return forgiven
