"""Which positions could move into a cross-margin account of their owner, and what keeps the others out of it.

Call `transfers(portfolio, as_of)`. Every position that an owner has at a firm outside of a programme's account is
decided on as if it lay in that account. Nothing is margined: `margin` tells what a move saves, `best_allocation` which
moves to make. Accounts that nobody has opened yet are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from attrs import evolve, frozen

from crossmargin.accounts import Account
from crossmargin.eligibility import Decision
from crossmargin.parameters import Rules
from crossmargin.portfolio import Portfolio
from crossmargin.regimes import decisions
from crossmargin.registry import rulebook

_HEADER = ("position", "product", "from", "to", "programme", "could move")


@frozen
class Transfer:
    """The decision on one position of the account `source`, as if it lay in the programme's account `target`."""

    decision: Decision
    source: str
    target: str

    @property
    def allowed(self) -> bool:
        """Whether the programme would take it there."""
        return self.decision.allowed


def transfers(portfolio: Portfolio, as_of: date, *, rules: Iterable[Rules] = ()) -> tuple[Transfer, ...]:
    """Return what each cross-margin account would take or refuse of its owner's positions elsewhere at the firm.

    Parameters
    ----------
    portfolio : Portfolio
        Accounts that name a programme, and positions outside of them.
    as_of : date
        The date whose conditions hold.
    rules : iterable of Rules, optional
        Overlaid rules.

    Returns
    -------
    tuple of Transfer
        Account by account, in the order of the positions. Programmes without conditions take nothing.

    References
    ----------
    The conditions of each programme, with their citations, are in its `.toml`.

    Examples
    --------
    >>> from crossmargin.samples import group
    >>> portfolio, market = group()
    >>> [each.decision.position for each in transfers(portfolio, market.as_of) if each.allowed]
    ['F1', 'G1']
    """
    book, found = rulebook(rules), list[Transfer]()
    for target in portfolio.accounts:
        if target.arrangement not in book or not book[target.arrangement].conditions:
            continue
        outside = [each for each in portfolio.positions if _may_look_at(portfolio.account_of(each), target)]
        moved = evolve(portfolio, positions=[evolve(each, account=target.id) for each in outside], posted=())
        taken = decisions(moved, as_of, book[target.arrangement])
        found += [Transfer(decision, each.account, target.id) for each, decision in zip(outside, taken, strict=True)]
    return tuple(found)


def transfers_text(found: Iterable[Transfer]) -> str:
    """Return transfers as an aligned table, "" when there are none; what is refused shows the conditions that fail."""
    rows = [_HEADER, *map(_cells, found)]
    if len(rows) == 1:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    title = "Which positions could move into a cross-margin account"
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join([title, "=" * len(title), *lines]) + "\n"


def _may_look_at(source: Account, target: Account) -> bool:
    """Whether two accounts are of one owner at one firm, house or customer alike, and in different programmes."""
    one, other = ((each.beneficiary, each.firm, each.account_class.origin) for each in (source, target))
    return one == other and source.arrangement != target.arrangement


def _cells(each: Transfer) -> tuple[str, ...]:
    decision = each.decision
    failed = ", ".join(reason.condition for reason in decision.because)
    answer = "yes" if each.allowed else f"no: {failed}"
    return decision.position, decision.product, each.source, each.target, decision.programme, answer
