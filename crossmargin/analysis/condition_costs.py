"""What each condition of a cross-margin programme costs: the margin that would not be asked if it were waived.

Call `condition_costs(portfolio, market)`. Each condition that some position fails is taken out of its programme, alone,
and so is each set of conditions that a position fails together; everything else stays. A cost says what the condition
is worth to the owner of the positions, not that anybody could waive it. Nothing is moved: see `allocation` for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import asdict, evolve, field, frozen

from crossmargin.eligibility import Decision
from crossmargin.errors import InputError, Problem, suggestion
from crossmargin.margin import compare
from crossmargin.market import Market
from crossmargin.parameters import Condition, Rules
from crossmargin.portfolio import Portfolio
from crossmargin.records import as_tuple
from crossmargin.regimes import CROSS_MARGIN, Regime, admitted_by, decisions
from crossmargin.registry import rulebook
from crossmargin.results import Report, known_sum
from crossmargin.tables import money

_DIRECTED = "directed"  # named alike by all programmes; an account's own field grants it


@frozen
class ConditionCost:
    """What conditions of one programme, waived together, cost one owner, clearing level, USD.

    `positions` fail the condition, or all of several and no other; `freed` are those that would be admitted. `cost` is
    `total` less `waived`: negative where what comes in spoils a credit, 0 where other conditions still refuse.
    `partial` marks figures that leave something out; None stands where nothing of what is asked is modelled.
    """

    programme: str
    conditions: tuple[str, ...] = field(converter=as_tuple)
    owner: str
    positions: tuple[str, ...] = field(converter=as_tuple)
    freed: tuple[str, ...] = field(converter=as_tuple)
    total: float | None
    waived: float | None
    partial: bool

    @property
    def cost(self) -> float | None:
        """Margin that the conditions cost, USD; None where it is not known."""
        return None if self.total is None or self.waived is None else self.total - self.waived


@frozen
class ConditionCosts:
    """A table of costs, dearest first."""

    rows: tuple[ConditionCost, ...] = field(converter=as_tuple)

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record a row."""
        return [{**asdict(row), "cost": row.cost} for row in self.rows]

    def __str__(self) -> str:
        titles = ("programme", "owner", "USD", "positions", "freed", "waived")
        telling = [row for row in self.rows if row.freed]
        cells = [titles, *(_cells(row) for row in telling)]
        widths = [max(len(line[column]) for line in cells) for column in range(len(titles))]
        lines = ["  ".join(_aligned(line, widths)).rstrip() for line in cells]
        silent = len(self.rows) - len(telling)
        return "\n".join([*lines, *([f"{silent} more free no position"] if silent else [])])


def condition_costs(
    portfolio: Portfolio,
    market: Market,
    *,
    owner: str | None = None,
    regime: Regime = CROSS_MARGIN,
    rules: Iterable[Rules] = (),
) -> ConditionCosts:
    """Return what every failed condition of the regime's programmes costs each owner.

    Parameters
    ----------
    portfolio, market
        As for `margin`.
    owner : str, optional
        The beneficial owner to look at; all unless given.
    regime : Regime
        Its arrangements are looked at, each for the positions that `Report.refused` tells of.
    rules : iterable of Rules, optional
        Rules with overlaid values.

    Returns
    -------
    ConditionCosts
        One row for each owner and condition, and for each set of conditions that one position fails.

    Raises
    ------
    InputError
        An owner without accounts; all that `margin` raises.

    Notes
    -----
    A part of a condition that combines others with `any` is waived by waiving the whole, a part of one that combines
    with `all` by leaving it out. Where `directed` is waived, the accounts of the positions that fail it are directed
    into the programme, if they are in none; they stay in their own class of account.

    Examples
    --------
    >>> import crossmargin as xm
    >>> print(condition_costs(*xm.samples.basis_trade(), owner="HARBOR"))
    programme  owner            USD  positions  freed  waived
    cme_ficc   HARBOR  2,442,597.55          2      2  subordination (partial)
    """
    book = rulebook(rules)
    portfolio = portfolio if owner is None else _of(portfolio, owner)
    report = _run(portfolio, market, regime, book)
    rows = []
    for programme in regime.arrangements:
        refused = [each for each in report.refused() if each.programme == programme]
        for waived in _waivers(refused):
            rows += _costs(portfolio, market, regime, book=book, report=report, refused=refused, waived=waived)
    return ConditionCosts(sorted(rows, key=lambda row: (-round(row.cost or 0.0, 2), len(row.conditions))))


def without(rules: Rules, conditions: Iterable[str]) -> Rules:
    """Return a programme as if some of its conditions were met by everybody.

    Examples
    --------
    >>> import crossmargin as xm
    >>> waived = without(xm.rules("cme_ficc"), ["subordination"])
    >>> "subordination" in [condition.id for condition in waived.conditions]
    False
    """
    met = frozenset(conditions)
    kept = [left for condition in rules.conditions if (left := _less(condition, met)) is not None]
    return evolve(rules, conditions=tuple(kept))


def _less(condition: Condition, met: frozenset[str]) -> Condition | None:
    """Return what is left of a condition when others are met, None when nothing is."""
    if condition.id in met:
        return None
    if not condition.combines or condition.combines == "not":
        return condition
    parts = [_less(part, met) for part in condition.parts]
    left = tuple(part for part in parts if part is not None)
    if not left or (condition.combines == "any" and None in parts):
        return None
    return evolve(condition, parts=left)


def _run(portfolio: Portfolio, market: Market, regime: Regime, book: Mapping[str, Rules]) -> Report:
    return compare(portfolio, market, (regime,), rules=book.values()).reports[0]


def _waivers(refused: Iterable[Decision]) -> list[tuple[str, ...]]:
    """Return every condition that was failed, then every set of them that one position fails."""
    sets = [tuple(reason.condition for reason in decision.because) for decision in refused]
    singles = [(condition,) for conditions in sets for condition in conditions]
    return list(dict.fromkeys([*singles, *sets]))


def _of(portfolio: Portfolio, owner: str) -> Portfolio:
    """Return what one beneficial owner holds."""
    accounts = {each.id: each for each in portfolio.accounts if each.beneficiary == owner}
    if not accounts:
        known = {each.beneficiary for each in portfolio.accounts}
        raise InputError([Problem(f"{owner!r} owns no account.", "owner", suggestion(owner, known))])
    held = [position for position in portfolio.positions if position.account in accounts]
    return evolve(portfolio, accounts=accounts.values(), positions=held)


def _costs(
    portfolio: Portfolio,
    market: Market,
    regime: Regime,
    *,
    book: Mapping[str, Rules],
    report: Report,
    refused: list[Decision],
    waived: tuple[str, ...],
) -> list[ConditionCost]:
    """Return what one waiver would spare each owner of positions that fail one of its conditions."""
    programme = refused[0].programme
    because = {each.position: {reason.condition for reason in each.because} for each in refused}
    several = len(waived) > 1  # a set is told to those only who fail all of it
    failing = {id for id, failed in because.items() if (failed == set(waived) if several else failed & set(waived))}
    changed = _directed(portfolio, failing, programme) if _DIRECTED in waived else portfolio
    looser = {**book, programme: without(book[programme], waived)}
    admitted = admitted_by(decisions(changed, market.as_of, looser[programme]))
    after = _run(changed, market, regime, looser) if admitted & failing else report
    owners: dict[str, list[str]] = {}
    for position in portfolio.positions:
        if position.id in failing:
            owners.setdefault(portfolio.account_of(position).beneficiary, []).append(position.id)
    return [
        ConditionCost(
            programme,
            waived,
            owner,
            positions,
            tuple(position for position in positions if position in admitted),
            _owed(report, owner),
            _owed(after, owner),
            any(need.line.partial for each in (report, after) for need in each.requirements if need.owner == owner),
        )
        for owner, positions in owners.items()
    ]


def _directed(portfolio: Portfolio, positions: set[str], programme: str) -> Portfolio:
    """Return the portfolio with the accounts of positions directed into a programme, where they are in none."""
    holding = {each.account for each in portfolio.positions if each.id in positions}
    accounts = [
        evolve(each, arrangement=programme) if each.id in holding and not each.arrangement else each
        for each in portfolio.accounts
    ]
    return evolve(portfolio, accounts=accounts)


def _owed(report: Report, owner: str) -> float | None:
    asked = [entry.line.amount for entry in report.entries if entry.owner == owner and entry.level == "clearing"]
    return known_sum(asked)


def _cells(row: ConditionCost) -> tuple[str, ...]:
    marked = " (partial)" if row.partial else ""
    counts = str(len(row.positions)), str(len(row.freed))
    return row.programme, row.owner, money(row.cost), *counts, ", ".join(row.conditions) + marked


def _aligned(cells: tuple[str, ...], widths: list[int]) -> Iterable[str]:
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        yield cell.rjust(width) if column in (2, 3, 4) else cell.ljust(width)
