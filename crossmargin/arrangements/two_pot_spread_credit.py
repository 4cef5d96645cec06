"""Spread credits between two clearing houses, as the CME-NYMEX cross-margining agreement defined them.

Each recognised spread earns its credit rate times the smaller of the two outright margins on its legs. The agreement
ended when the houses merged; the formula is kept because it is published in full. Which positions form a spread is
the user's table: no list of spreads or rates is shipped.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen


@frozen
class Spread:
    """One recognised spread: the credit rate in [0, 1] and each house's outright margin on its leg, USD."""

    credit_rate: float
    outright_margin_a: float
    outright_margin_b: float


def spread_credits(spreads: Iterable[Spread]) -> tuple[float, ...]:
    """Return the reduction of each spread, USD, never negative.

    References
    ----------
    CME-NYMEX cross-margining agreement, clause "Calculation of the Cross-Margining Reduction".

    Examples
    --------
    >>> spread_credits([Spread(0.75, 120_000, 95_000)])
    (71250.0,)
    """
    return tuple(s.credit_rate * min(s.outright_margin_a, s.outright_margin_b) for s in spreads)
