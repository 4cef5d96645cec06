"""Spread credits between two clearing houses, as the CME-NYMEX cross-margining agreement defined them.

Each recognised spread earns its credit rate times the smaller of the two outright margins on its legs. The agreement
ended when the houses merged; the formula is kept because it is published in full. Which positions form a spread is
the user's table: no list of spreads or rates is shipped. It is a function and no arrangement of a regime: the programme
is over, and the clause that was read does not say how the two pots share a reduction.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from crossmargin.errors import Problems, is_number


@frozen
class Spread:
    """One recognised spread: the credit rate in [0, 1] and each house's outright margin on its leg, USD."""

    credit_rate: float
    outright_margin_a: float
    outright_margin_b: float


def spread_credits(spreads: Iterable[Spread]) -> tuple[float, ...]:
    """Return the reduction of each spread, USD, never negative.

    Raises
    ------
    InputError
        Every rate outside [0, 1] and every margin that is negative or not finite.

    References
    ----------
    CME-NYMEX cross-margining agreement, clause "Calculation of the Cross-Margining Reduction".

    Examples
    --------
    >>> spread_credits([Spread(0.75, 120_000, 95_000)])
    (71250.0,)
    """
    spreads, problems = tuple(spreads), Problems()
    for number, spread in enumerate(spreads):
        if not (is_number(spread.credit_rate) and 0 <= spread.credit_rate <= 1):
            problems.add(f"credit_rate is {spread.credit_rate!r}.", where=f"spread {number}", fix="Give 0 to 1.")
        for name in ("outright_margin_a", "outright_margin_b"):
            amount = getattr(spread, name)
            if not (is_number(amount) and amount >= 0):
                problems.add(f"{name} is {amount!r}.", where=f"spread {number}", fix="Give 0 or more, USD.")
    problems.raise_if_any("Spread credits cannot be calculated")
    return tuple(s.credit_rate * min(s.outright_margin_a, s.outright_margin_b) for s in spreads)
