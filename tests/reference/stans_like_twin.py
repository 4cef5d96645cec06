"""The STANS-like requirement, slow and obvious: sort losses, average the worst, add a share of the larger excess."""

from __future__ import annotations

import math


def shortfall(pnl, confidence):
    """Mean of the worst share of the losses, the last of them in part; never below 0."""
    losses = sorted((-gain for gain in pnl), reverse=True)
    mass = left = len(losses) * (1.0 - confidence)
    total = 0.0
    for loss in losses:
        weight = min(1.0, left)
        total += weight * loss
        left -= weight
        if left <= 1e-12:
            break
    return max(0.0, total / mass) if losses else 0.0


def requirement(classes, *, confidence, share, names):
    """Return base and add-on of the P&L [n_scenarios] of each class, by name."""
    pooled = [math.fsum(gains) for gains in zip(*classes.values(), strict=True)]
    base = shortfall(pooled, confidence)
    dependence = sum(shortfall(pnl, confidence) for pnl in classes.values())
    worst = {name: max(0.0, -min(pnl)) for name, pnl in classes.items()}
    named = sorted(classes, key=lambda name: (-worst[name], name))[:names]
    rest = [pnl for name, pnl in classes.items() if name not in named]
    others = [math.fsum(gains) for gains in zip(*rest, strict=True)]
    concentration = sum(worst[name] for name in named) + shortfall(others, confidence)
    return base, share * max(0.0, dependence - base, concentration - base)
