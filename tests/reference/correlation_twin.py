"""Slow, obvious twins of the filter: sums in loops, roots by SciPy, the block of Cholesky's root written out."""

from __future__ import annotations

import numpy as np
from scipy.linalg import sqrtm


def volatilities(returns, decay, seed_days):
    """Return the recursion as it stands in the text, the forecast last."""
    variance = sum(r * r for r in returns[:seed_days]) / len(returns[:seed_days])
    found = [variance]
    for r in returns:
        variance = decay * variance + (1.0 - decay) * r * r
        found.append(variance)
    return [each**0.5 for each in found]


def correlations(changes, decay=None):
    """Return correlations about zero, every change weighing the same, or `decay` times the one after it."""
    n, m = np.shape(changes)
    weights = [1.0 if decay is None else decay ** (n - 1 - t) for t in range(n)]
    rows = list(zip(weights, changes, strict=True))
    products = [[sum(w * row[i] * row[j] for w, row in rows) for j in range(m)] for i in range(m)]
    return np.array([[products[i][j] / (products[i][i] * products[j][j]) ** 0.5 for j in range(m)] for i in range(m)])


def scaled(changes, decay, shrinkage, floor, leading=0):
    """Return the changes at the correlations of today, date by date."""
    changes = np.asarray(changes, dtype=float)
    sizes = np.array([(sum(x * x for x in column) / len(column)) ** 0.5 for column in changes.T])
    then, today = correlations(changes), correlations(changes, decay)
    now = (1.0 - shrinkage) * today + shrinkage * then
    roots = [_root((1.0 - floor) * each + floor * np.eye(len(each)), leading) for each in (then, now)]
    found = np.array([roots[1] @ np.linalg.solve(roots[0], row / sizes) for row in changes])
    grown = np.array([(sum(x * x for x in column) / len(column)) ** 0.5 for column in found.T])
    return found / grown * sizes


def _root(matrix, leading):
    """Return A with A A' = matrix: [[R, 0], [B R^-1, S]], R and S symmetric; R alone without leading series."""
    if not leading:
        return np.real(sqrtm(matrix))
    y, x = slice(0, leading), slice(leading, None)
    first = np.real(sqrtm(matrix[y, y]))
    below = matrix[x, y] @ np.linalg.inv(first)
    rest = np.real(sqrtm(matrix[x, x] - below @ below.T))
    return np.block([[first, np.zeros_like(below.T)], [below, rest]])
