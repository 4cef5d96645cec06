"""Slow, obvious twins of the cheapest cover: every vertex of a tiny programme looked at, and a greedy clerk."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def least_cost(cost, matrix, bounds):
    """Return the least `cost @ x` over `matrix @ x <= bounds`, x >= 0, by trying every vertex.

    The least of a linear function that is bounded below lies at a point where as many rows hold with equality as there
    are unknowns.
    """
    n = len(cost)
    rows = np.vstack([matrix, -np.eye(n)])
    sides = np.concatenate([bounds, np.zeros(n)])
    slack = 1e-9 * (1.0 + np.abs(sides))
    best = np.inf
    for active in combinations(range(len(rows)), n):
        system = rows[list(active)]
        if abs(np.linalg.det(system)) < 1e-12:
            continue
        point = np.linalg.solve(system, sides[list(active)])
        if np.all(rows @ point <= sides + slack):
            best = min(best, float(cost @ point))
    return best


def cover(programme):
    """Return the least objective of a `linear.Programme`, a deficit for every need, by vertices."""
    columns, needs, sources = programme.value.size, programme.required.size, programme.supply.size
    rows = np.zeros((sources + needs + len(programme.limits), columns + needs))
    for column in range(columns):
        rows[programme.source[column], column] = 1.0
        rows[sources + programme.need[column], column] = -programme.value[column]
    for need in range(needs):
        rows[sources + need, columns + need] = -1.0
    for number, (bound, _) in enumerate(programme.limits):
        for column in bound:
            rows[sources + needs + number, column] = programme.value[column]
    sides = np.concatenate([programme.supply, -programme.required, [cap for _, cap in programme.limits]])
    cost = np.concatenate([programme.cost, np.full(needs, programme.shortfall_cost)])
    return least_cost(cost, rows, sides)


def greedy(programme):
    """Return the objective of a clerk who always takes the cheapest dollar of cover that is still to be had."""
    supply, missing = programme.supply.copy(), programme.required.copy()
    room = [cap for _, cap in programme.limits]
    cost = 0.0
    order = sorted(range(programme.value.size), key=lambda c: (programme.cost[c] / programme.value[c], c))
    for column in order:
        source, need, value = programme.source[column], programme.need[column], programme.value[column]
        binding = [n for n, (columns, _) in enumerate(programme.limits) if column in columns]
        covered = min(supply[source] * value, missing[need], *(room[n] for n in binding))
        covered = max(0.0, covered)
        supply[source] -= covered / value
        missing[need] -= covered
        for n in binding:
            room[n] -= covered
        cost += covered / value * programme.cost[column]
    return cost + programme.shortfall_cost * float(missing.sum())
