"""The design of Treasury-futures cross-margining before 2024: residual margin matched class by class.

Each clearing house nets within itself; what is left over in offset classes is converted to common classes, matched
against the other house's opposite residual in the order of a priority table, and forgiven less a disallowance.
`offset_reductions` is the arithmetic. Classes, conversions, priorities and disallowances are the user's tables: the
published ones were not found and none is shipped. The programme is over, so that no regime gives this credit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from crossmargin.errors import Problems
from crossmargin.records import as_tuple
from crossmargin.results import Line, scaled, smallest, total

SIDES = ("FICC", "CME")


@frozen
class Residual:
    """Margin left over in one class of one account: USD, > 0 from a long, < 0 from a short position."""

    side: str
    account: str
    offset_class: str
    amount: float


@frozen
class ClassPair:
    """Two classes that offset, FICC's and CME's: pairs are matched from the lowest `priority` on.

    `disallowance` in [0, 1] is the share of the matched amount that is not forgiven.
    """

    ficc_class: str
    cme_class: str
    priority: int
    disallowance: float


@frozen
class Reductions:
    """What is forgiven, USD: one line for each pair, and the shares of each (side, account); both sides fall alike."""

    line: Line
    by_account: Mapping[tuple[str, str], float]
    unmatched: tuple[Residual, ...] = field(default=(), converter=as_tuple)


def offset_reductions(
    residuals: Iterable[Residual],
    pairs: Iterable[ClassPair],
    *,
    equivalents: Mapping[str, tuple[str, float]] | None = None,
) -> Reductions:
    """Return by how much each clearing house lowers its margin, and who gets which part of it.

    Parameters
    ----------
    residuals : iterable of Residual
        What each house's own netting leaves. Accounts of one class and side are netted first.
    pairs : iterable of ClassPair
        Priority table with disallowances; empty, nothing is forgiven.
    equivalents : mapping, optional
        Class, or contract, as it stands in `residuals` -> (class that pairs know, USD of it for one USD); what is not
        in it keeps its name and amount.

    Returns
    -------
    Reductions
        `line` is the sum over pairs of (1 - disallowance) times the lower of the two opposite amounts, USD, >= 0. Each
        side's accounts share the same sum in proportion to what of theirs was matched.

    Raises
    ------
    InputError
        Unknown sides, amounts that are not finite, disallowances outside [0, 1], two pairs of one priority or of the
        same classes, conversions that are not positive: all of them at once.

    Notes
    -----
    Structure from memory, not verified against the agreements: conversion to class equivalents, matching of residual
    margin amounts in order of priority, a disallowance factor for each pair of classes, the lower matched amount, pro
    rata allocation, each house with its own collateral.

    References
    ----------
    SR-FICC-2003-10 (offset classes of FICC and eligible contracts of CME, 2004).

    Examples
    --------
    >>> left = [Residual("FICC", "A", "E", 900.0), Residual("CME", "A", "TY", -600.0)]
    >>> offset_reductions(left, [ClassPair("E", "TY", 1, 0.25)]).line.amount
    450.0
    """
    residuals, pairs, equivalents = tuple(residuals), tuple(pairs), equivalents or {}
    _check(residuals, pairs, equivalents)
    residuals = tuple(_converted(each, equivalents) for each in residuals)
    open_amounts = {key: math.fsum(found) for key, found in _by_class(residuals).items()}
    lines, matched = [], dict[tuple[str, str], float]()
    for pair in sorted(pairs, key=lambda each: each.priority):
        keys = ("FICC", pair.ficc_class), ("CME", pair.cme_class)
        ficc, cme = (open_amounts.get(key, 0.0) for key in keys)
        sides = [Line(f"{side} {name}", abs(amount)) for (side, name), amount in zip(keys, (ficc, cme), strict=True)]
        lower = smallest("lower matched amount", sides if ficc * cme < 0 else [*sides, Line("no offset", 0.0)])
        forgiven = scaled(f"{pair.ficc_class} against {pair.cme_class}", 1.0 - pair.disallowance, lower)
        for key, amount in zip(keys, (ficc, cme), strict=True):
            open_amounts[key] = amount - math.copysign(lower.value, amount)
            matched[key] = matched.get(key, 0.0) + forgiven.value
        lines.append(forgiven)
    line = total("cross-margining reduction", lines, note="structure from memory, tables of the user")
    left = [Residual(side, "", name, amount) for (side, name), amount in open_amounts.items() if amount]
    return Reductions(line, _shares(residuals, matched), left)


def _converted(residual: Residual, equivalents: Mapping[str, tuple[str, float]]) -> Residual:
    name, factor = equivalents.get(residual.offset_class, (residual.offset_class, 1.0))
    return Residual(residual.side, residual.account, name, factor * residual.amount)


def _by_class(residuals: Iterable[Residual]) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for each in residuals:
        found.setdefault((each.side, each.offset_class), []).append(each.amount)
    return found


def _shares(residuals: Iterable[Residual], matched: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Divide what each class earned among the accounts whose net residual has the sign of the whole, pro rata."""
    nets: dict[tuple[str, str], dict[str, list[float]]] = {}
    for each in residuals:
        nets.setdefault((each.side, each.offset_class), {}).setdefault(each.account, []).append(each.amount)
    shares: dict[tuple[str, str], list[float]] = {}
    for key, earned in matched.items():
        amounts = {account: math.fsum(found) for account, found in nets.get(key, {}).items()}
        whole = math.fsum(amounts.values())
        same = {account: amount for account, amount in amounts.items() if amount * whole > 0}
        for account, amount in same.items():
            shares.setdefault((key[0], account), []).append(earned * (amount / math.fsum(same.values())))
    return {key: math.fsum(found) for key, found in sorted(shares.items())}


def _check(
    residuals: Iterable[Residual], pairs: Iterable[ClassPair], equivalents: Mapping[str, tuple[str, float]]
) -> None:
    problems, seen = Problems(), set[object]()
    for each in residuals:
        where = f"residual of {each.account!r} in {each.offset_class!r}"
        if each.side not in SIDES:
            problems.add(f"unknown side {each.side!r}.", where=where, fix=f"Known: {', '.join(SIDES)}.")
        if not math.isfinite(each.amount):
            problems.add(f"amount is {each.amount}.", where=where, fix="Give a finite signed amount, USD.")
    for pair in pairs:
        where = f"pair {pair.ficc_class!r}, {pair.cme_class!r}"
        if not 0 <= pair.disallowance <= 1:
            problems.add(f"disallowance is {pair.disallowance}.", where=where, fix="Give a share from 0 to 1.")
        for key in (pair.priority, (pair.ficc_class, pair.cme_class)):
            if key in seen:
                problems.add(f"{key!r} stands twice.", where=where, fix="Give each pair once, with its own priority.")
            seen.add(key)
    for name, (_, factor) in equivalents.items():
        if not (math.isfinite(factor) and factor > 0):
            problems.add(f"is converted by {factor}.", where=f"equivalent of {name!r}", fix="Give a factor above 0.")
    problems.raise_if_any("Residual margin cannot be matched")
