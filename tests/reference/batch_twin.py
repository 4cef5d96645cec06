"""Slow, obvious twins of the batch: one account at a time, whole rows, everything sorted."""

import numpy as np


def row_tails(pnl, weights):
    """Sort each row, worst first, and weigh."""
    k = weights.shape[1]
    return np.array([[-float(sum(w * x for w, x in zip(each, sorted(row)[:k], strict=True))) for each in weights]
                     for row in np.asarray(pnl, dtype=np.float64).tolist()])  # fmt: skip


def pool_tails(matrices, accounts, silos, instruments, quantities, *, n_accounts, tails):
    """Pool the rows of each account and silos by adding them one after another."""
    found = []
    for account in range(n_accounts):
        measured = []
        for pool, segment in zip(tails.pools, tails.segments, strict=True):
            matrix = matrices[segment]
            total = np.zeros(matrix.shape[1])
            for held_by, silo, instrument, quantity in zip(accounts, silos, instruments, quantities, strict=True):
                if held_by == account and silo in pool:
                    total += quantity * matrix[instrument]
            measured.append(row_tails([total], tails.weights[segment])[0])
        found.append(measured)
    return np.array(found)
