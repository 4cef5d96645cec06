"""Whether a position may join a programme: decisions with every failed condition and its citation.

`decide(case, rules, tests)` checks all conditions that a rule's `.toml` lists against the tests of the same names, and
those that combine others against their parts. Ineligible is an answer, never an exception. The tests themselves live in
`programmes`, or beside the one programme that needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Self, TypeVar

from attrs import frozen

from crossmargin.accounts import Account, Customer, Firm
from crossmargin.errors import NotInForce, several
from crossmargin.markup import fragment, table
from crossmargin.parameters import Condition, Reader, Rules
from crossmargin.portfolio import Portfolio, Position

_Subject = TypeVar("_Subject")
_DIRECTED, _IN_FORCE, _PRODUCT_LIST = "directed", "in_force", "product_list"  # named alike by all programmes


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

    def _repr_html_(self) -> str:
        return Decisions((self,))._repr_html_()


class Decisions(tuple[Decision, ...]):
    """Decisions in a row, a tuple that a notebook shows as a table, with every condition that failed below it.

    Raises
    ------
    InputError
        What is given is not several, or what stands among them is no decision.
    """

    __slots__ = ()

    def __new__(cls, decisions: Iterable[Decision] = ()) -> Self:
        """Return decisions in a row, of any iterable."""
        return super().__new__(cls, several("decisions", decisions, Decision, "Give decisions in a list."))

    def _repr_html_(self) -> str:
        return fragment([decisions_html(self)])


def decisions_html(decisions: Iterable[Decision]) -> str:
    """Return the decisions as a table and the conditions that failed, each with its cure and citation, as another."""
    told = tuple(decisions)
    rows = [
        (each.position, each.product, each.programme, "allowed" if each.allowed else "refused", _named(each.because))
        for each in told
    ]
    found = {(each.programme, why.condition): why for each in told for why in each.because}
    reasons = [(*key, why.about, why.cure, f"{why.citation} ({why.grade})") for key, why in found.items()]
    header = ("position", "product", "programme", "decision", "conditions that fail")
    below = ("programme", "condition", "what it asks", "cure", "citation")
    parts = [table("Decisions, position by position", header, rows, figures=None)]
    parts += [table("Conditions that fail", below, reasons, figures=None)] if reasons else []
    return "".join(parts) if told else "<p>Nothing had to be decided.</p>"


def _named(because: Iterable[Reason]) -> str:
    return ", ".join(reason.condition for reason in because)


@frozen
class Case:
    """All that a condition may look at: the position, its account, beneficial owner and firm, and the date.

    `customer` is None when a firm or its affiliate is the owner. `guaranteed` are the affiliates of the firm, as far as
    the portfolio lists them, whose obligations it guarantees.
    """

    position: Position
    account: Account
    firm: Firm
    customer: Customer | None
    as_of: date
    guaranteed: tuple[Firm, ...] = ()

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
    firm, customer = portfolio.firm(account.firm), portfolio.customer(account.beneficiary)
    guaranteed = tuple(each for each in portfolio.firms if each.id in firm.guarantees) if firm.guarantees else ()
    return Case(position, account, firm, customer, as_of, guaranteed)


def decide(case: Case, rules: Rules, tests: Mapping[str, Test]) -> Decision:
    """Check every condition of `rules` that binds the case and return the decision with all failures.

    A condition whose parameters are not yet in force on the date fails, and so does its opposite: missing evidence
    never earns credit.
    """
    p, origin = rules.at(case.as_of), case.origin
    binding = _binding(tuple(rules.conditions), case.as_of, origin)
    failed = failures(binding, tests, case, p)
    allowed = bool(binding) and not failed
    product = case.position.product.symbol
    return Decision(rules.id, case.position.id, product, allowed, failed or _not_yet(rules, case, binding))


@lru_cache(maxsize=1024)  # the same for thousands of positions
def _binding(conditions: tuple[Condition, ...], as_of: date, origin: str) -> tuple[Condition, ...]:
    return tuple(bound for condition in conditions for bound in condition.binding(as_of, origin))


def refusals(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """Return the refusals worth telling, position by position.

    Of several programmes that decide on a position those count that its account asks for; when it asks for none, the
    first that has the product on its list, or the first of all.
    """
    mine: dict[str, list[Decision]] = {}
    for decision in decisions:
        mine.setdefault(decision.position, []).append(decision)
    return tuple(told for taken in mine.values() for told in _telling(taken) if not told.allowed)


def _telling(decisions: list[Decision]) -> list[Decision]:
    asked = [decision for decision in decisions if not _fails(decision, _DIRECTED, _IN_FORCE)]
    listing = [decision for decision in decisions if not _fails(decision, _PRODUCT_LIST)]
    return asked or (listing or decisions)[:1]


def _fails(decision: Decision, *conditions: str) -> bool:
    return any(reason.condition in conditions for reason in decision.because)


def failures(
    conditions: Iterable[Condition],
    tests: Mapping[str, Callable[[_Subject, Reader], bool]],
    subject: _Subject,
    p: Reader,
) -> tuple[Reason, ...]:
    """Return every condition that the subject fails, with its citation; after a combined one, its parts that fail.

    `conditions` hold those of their parts that bind; a combination of which none does fails.
    """
    found: dict[str, Reason] = {}
    for condition in conditions:
        if not _holds(condition, tests, subject, p):
            found.setdefault(condition.id, _reason(condition))
            if condition.combines in ("any", "all"):
                found |= {reason.condition: reason for reason in failures(condition.parts, tests, subject, p)}
    return tuple(found.values())


def _holds(
    condition: Condition, tests: Mapping[str, Callable[[_Subject, Reader], bool]], subject: _Subject, p: Reader
) -> bool | None:
    """Return whether a condition holds, None where evidence is missing."""
    if not condition.combines:
        try:
            return bool(tests[condition.id](subject, p))
        except NotInForce:
            return None
    held = [_holds(part, tests, subject, p) for part in condition.parts]
    decisive = condition.combines == "any"  # one that holds decides `any`, one that fails decides `all`
    if condition.combines != "not" and decisive in held:
        return decisive
    if None in held or not held:
        return None
    return not held[0] if condition.combines == "not" else not decisive


@lru_cache(maxsize=1024)
def _reason(condition: Condition) -> Reason:
    source = condition.source
    citation = ", ".join(part for part in (source.title, condition.locator, source.url) if part)
    choice = f" One of: {' / '.join(part.cure for part in condition.parts)}" if condition.combines == "any" else ""
    return Reason(condition.id, condition.about, condition.cure + choice, citation, condition.grade)


def _not_yet(rules: Rules, case: Case, binding: Sequence[Condition]) -> tuple[Reason, ...]:
    if binding:
        return ()
    about = f"{rules.title} is in force for {case.origin} positions"
    opens = max((c.start for c in rules.conditions if case.origin in c.origin), default=None)
    return (Reason(_IN_FORCE, about, f"Choose an as_of from {opens} on.", rules.title, "disclosure"),)
