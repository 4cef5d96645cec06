"""Slow, obvious twins of `crossmargin.kernels.discounting`: one number at a time, with the library's exp."""

from __future__ import annotations

import numpy as np


def discount_factor(exponents, nodes, weights, day, scenario):
    left, right = nodes[0][day], nodes[1][day]
    exponent = weights[0][day] * exponents[left][scenario] + weights[1][day] * exponents[right][scenario]
    return float(np.exp(-exponent))


def row_values(grid, flows, legs, row_start):
    """Return values [n_rows, n_scenarios] of rows given as lists.

    `grid` is (exponents, nodes, weights), `flows` (start, date, amount), `legs` (divisor, offset).
    """
    (exponents, _, _), (flow_start, flow_date, flow_amount), (divisor, offset) = grid, flows, legs
    n_rows, n_scenarios = len(row_start) - 1, len(exponents[0])
    out = np.zeros((n_rows, n_scenarios))
    for row in range(n_rows):
        for scenario in range(n_scenarios):
            candidates = []
            for leg in range(row_start[row], row_start[row + 1]):
                value = 0.0
                for flow in range(flow_start[leg], flow_start[leg + 1]):
                    value += flow_amount[flow] * discount_factor(*grid, flow_date[flow], scenario)
                candidates.append(value / discount_factor(*grid, divisor[leg], scenario) + offset[leg])
            out[row, scenario] = min(candidates, default=0.0)
    return out


def netted_values(knots, zeros, times, amounts):
    """Return the value [n_curves] of dated amounts, each discounted by itself: zero rates at knots, flat outside."""
    out = []
    for curve in range(zeros.shape[1]):
        exponents = np.concatenate([[0.0], zeros[:, curve] * knots])
        total = 0.0
        for time, amount in zip(times, amounts, strict=True):
            beyond = zeros[-1, curve] * time
            exponent = beyond if time > knots[-1] else np.interp(time, [0.0, *knots], exponents)
            total += amount * np.exp(-exponent)
        out.append(total)
    return np.array(out)
