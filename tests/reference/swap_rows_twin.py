"""Slow, obvious twin of `kernels.swaps.value_swaps`: each line by `exp`, each row by `fsum`."""

from __future__ import annotations

import math

import numpy as np

from crossmargin.curves import discount_factors


def swap_values(book, curves):
    """Return the value of each row under each curve, and the gross amount of its flows."""
    named = [(curves.knots, curves.zeros), *(curves.projections[name] for name in book.curves)]
    lines = [
        discount_factors(*named[curve], np.array([time]))[0] ** power
        for curve, time, power in zip(book.line_curve, book.line_time, book.line_power, strict=True)
    ]
    rows, gross = [], []
    for row in range(len(book.plain[0]) - 1):
        flows = [(amount, [line]) for line, amount in of_row(book.plain, row)]
        flows += [(amount, list(three)) for three, amount in of_row(book.ratios, row)]
        terms = [amount * np.prod([lines[line] for line in which], axis=0) for amount, which in flows]
        rows.append([math.fsum(values) for values in zip(*terms, strict=True)] or [0.0] * curves.zeros.shape[1])
        gross.append([math.fsum(np.abs(values)) for values in zip(*terms, strict=True)] or [0.0])
    return np.array(rows), np.array(gross)


def of_row(flows, row):
    """Return lines and amounts of one row."""
    starts, lines, amounts = flows
    here = slice(starts[row], starts[row + 1])
    return zip(lines.T[here].tolist() if lines.ndim == 2 else lines[here].tolist(), amounts[here], strict=True)
