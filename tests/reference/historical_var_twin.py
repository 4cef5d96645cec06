"""Slow, obvious twins of the historical value-at-risk family: lists, sorting, numpy.quantile, one formula at a time."""

from __future__ import annotations

import numpy as np
from scipy import stats

from tests.reference import tail_twin


def reduced(pnl, name, **parameters):
    """Return the loss that a reducer of this name finds in a list of profit and loss."""
    robust, split = name.startswith("robust"), name.endswith("sub_sample_mean")
    count = parameters["horizon_days"] if split else 1
    phases = [[pnl[s] for s in range(len(pnl)) if s % count == phase] for phase in range(count)]
    return sum(_tail(phase, name, robust, parameters) for phase in phases) / count


def _tail(pnl, name, robust, parameters):
    losses = [-each for each in pnl]
    if name == "mean_of_k_worst":
        return max(0.0, tail_twin.mean_of_k_worst(losses, parameters["worst_scenarios"]))
    confidence, factor = parameters["confidence"], 1.0
    if robust:
        df, base = parameters["degrees_of_freedom"], parameters["base_confidence"]
        factor = stats.t.ppf(confidence, df) / stats.t.ppf(base, df)
        confidence = base
    return factor * max(0.0, tail_twin.quantile(losses, confidence, parameters["quantile_type"]))


def by_numpy(pnl, confidence, quantile_type):
    """Return the same quantile as NumPy has it, under NumPy's own name for the type."""
    names = {
        1: "inverted_cdf",
        2: "averaged_inverted_cdf",
        3: "closest_observation",
        4: "interpolated_inverted_cdf",
        5: "hazen",
        6: "weibull",
        7: "linear",
        8: "median_unbiased",
        9: "normal_unbiased",
    }
    return max(0.0, float(np.quantile(-np.asarray(pnl), confidence, method=names[quantile_type])))


def combined(kind, historical, second, weight):
    """Return the base charge from two losses."""
    return {
        "historical": historical,
        "larger": max(historical, weight * second),
        "weighted": weight * historical + (1 - weight) * second,
        "long_run": max(historical, second),
        "floored": max(historical, second),
        "buffered": weight * historical,
    }[kind]
