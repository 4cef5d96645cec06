"""Slow twins of SPAN: accounts scanned one by one in plain Python, and spreads counted by a linear programme."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.optimize import linprog


def scan_risks(arrays, start, contract, quantity, *, commodity) -> list[float]:
    """Scan risk of each account: every commodity's worst scenario, never below zero, added."""
    found = []
    for first, last in pairwise(start):
        pooled: dict[int, list[float]] = {}
        for row, held in zip(contract[first:last], quantity[first:last], strict=True):
            losses = pooled.setdefault(commodity[row], [0.0] * len(arrays[row]))
            for scenario, loss in enumerate(arrays[row]):
                losses[scenario] += held * loss
        found.append(sum(max(0.0, *losses) for losses in pooled.values()))
    return found


def most_spreads(deltas: dict[int, float], legs: Sequence[tuple[tuple[int, ...], float, int]], flip: int) -> float:
    """Return the most spreads that the deltas of the months allow: legs are (months, ratio, side 1 or -1).

    Variables are the number of spreads and what each leg takes from each of its months.
    """
    uses = [(leg, month) for leg, (months, _, _) in enumerate(legs) for month in months]
    sides = [legs[leg][2] * flip for leg, _ in uses]
    capacity = np.array(
        [
            [0.0] + [float(m == month and s == side) for (_, m), s in zip(uses, sides, strict=True)]
            for month in deltas
            for side in (1, -1)
        ]
    )
    bound = [max(0.0, side * delta) for delta in deltas.values() for side in (1, -1)]
    balance = [[-ratio] + [float(which == leg) for which, _ in uses] for leg, (_, ratio, _) in enumerate(legs)]
    found = linprog([-1.0] + [0.0] * len(uses), capacity, bound, balance, [0.0] * len(legs))
    return float(found.x[0])
