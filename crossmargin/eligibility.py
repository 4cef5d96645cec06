"""Whether a position may join a programme: decisions with every failed condition and its citation.

`decide(case, rules, tests)` checks all conditions that a rule's `.toml` lists against the tests of the same names.
Ineligible is an answer, never an exception. The tests themselves live beside their programme.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import TypeVar

from attrs import frozen

from crossmargin.accounts import Account, Customer, Firm
from crossmargin.errors import NotInForce
from crossmargin.parameters import Condition, Reader, Rules
from crossmargin.portfolio import Portfolio, Position

_Subject = TypeVar("_Subject")


@frozen
class Reason:
    """Why a position was refused: the failed condition, what would cure it, where it is written."""

    condition: str
    about: str
    cure: str
    citation: str
    grade: str


@frozen
class Decision:
    """Whether one position may join one programme; `because` holds every failed condition."""

    programme: str
    position: str
    product: str
    allowed: bool
    because: tuple[Reason, ...] = ()


@frozen
class Case:
    """All that a condition may look at: the position, its account, owner and firm, and the date."""

    position: Position
    account: Account
    firm: Firm
    customer: Customer | None
    as_of: date

    @property
    def origin(self) -> str:
        """`house` or `customer`."""
        return self.account.account_class.origin

    @property
    def settled(self) -> bool:
        """Whether the position is a cash trade that has settled: no longer a clearing house's concern."""
        return self.position.settles is not None and self.position.settles <= self.as_of


Test = Callable[[Case, Reader], bool]


def case_of(portfolio: Portfolio, position: Position, as_of: date) -> Case:
    """Return what the conditions may look at for one position of a portfolio."""
    account = portfolio.account_of(position)
    return Case(position, account, portfolio.firm(account.firm), portfolio.customer(account.owner), as_of)


def decide(case: Case, rules: Rules, tests: Mapping[str, Test]) -> Decision:
    """Check every condition of `rules` that binds the case and return the decision with all failures.

    A condition whose parameters are not yet in force on the date fails: missing evidence never earns credit.
    """
    p = rules.at(case.as_of)
    binding = [condition for condition in rules.conditions if condition.applies(case.as_of, case.origin)]
    failed = failures(binding, tests, case, p)
    allowed = bool(binding) and not failed
    product = case.position.product.symbol
    return Decision(rules.id, case.position.id, product, allowed, failed or _not_yet(rules, case, binding))


def failures(
    conditions: Iterable[Condition],
    tests: Mapping[str, Callable[[_Subject, Reader], bool]],
    subject: _Subject,
    p: Reader,
) -> tuple[Reason, ...]:
    """Return every condition that the subject fails by the test of its name, with its citation."""
    return tuple(_reason(condition) for condition in conditions if not _holds(tests[condition.id], subject, p))


def _holds(test: Callable[[_Subject, Reader], bool], subject: _Subject, p: Reader) -> bool:
    try:
        return test(subject, p)
    except NotInForce:
        return False


def _reason(condition: Condition) -> Reason:
    source = condition.source
    citation = ", ".join(part for part in (source.title, condition.locator, source.url) if part)
    return Reason(condition.id, condition.about, condition.cure, citation, condition.grade)


def _not_yet(rules: Rules, case: Case, binding: list[Condition]) -> tuple[Reason, ...]:
    if binding:
        return ()
    about = f"{rules.title} is in force for {case.origin} positions"
    opens = max((c.start for c in rules.conditions if case.origin in c.origin), default=None)
    return (Reason("in_force", about, f"Choose an as_of from {opens} on.", rules.title, "disclosure"),)
