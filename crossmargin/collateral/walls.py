"""The walls between segregation classes: which assets may cover whose obligations where, with the citation.

`may_move(source, target, as_of)` is the answer for one movement, as a decision. The walls, their dates and their
sources are the conditions of `segregation_walls.toml`; what no row of its `pairs` allows is refused. Return of excess
to its owner is no movement. Nothing here moves anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from attrs import field, frozen

from crossmargin.accounts import AccountClass
from crossmargin.collateral.schedules import WALLS, collateral_rules
from crossmargin.eligibility import Decision, Reason, failures
from crossmargin.parameters import Reader, Rules
from crossmargin.posted import Place
from crossmargin.records import as_frozenset


@frozen
class _Move:
    """What a wall may look at: where assets come from and go to, and whether their owner has instructed it."""

    source: Place
    target: Place
    instructed: bool

    @property
    def from_customer(self) -> bool:
        return self.source.account_class.origin == "customer"

    @property
    def to_customer(self) -> bool:
        return self.target.account_class.origin == "customer"

    @property
    def among_customers(self) -> bool:
        """Whether it would have one customer's assets cover another's obligations."""
        return self.from_customer and self.to_customer and self.source.owner != self.target.owner

    def row(self, p: Reader) -> Mapping[str, Any] | None:
        """Return the row of `pairs` that speaks of the two classes, in either direction."""
        source, target = self.source.account_class.value, self.target.account_class.value
        for row in p.pairs:
            one, other = row["between"], row["and"]
            if (source in one and target in other) or (source in other and target in one):
                found: Mapping[str, Any] = row
                return found
        return None


def _open(wall: str) -> Callable[[_Move, Reader], bool]:
    """Return the test of a wall between classes that `pairs` names; the owner's instruction may open it."""

    def test(move: _Move, p: Reader) -> bool:
        row = move.row(p)
        return row is None or row["wall"] != wall or (row["by_instruction"] and move.instructed)

    return test


def _own_money(move: _Move, _: Reader) -> bool:
    if move.from_customer or move.source.owner == move.target.owner:
        return True
    return move.to_customer and move.source.owner == move.source.firm


def _two_pot(move: _Move, p: Reader) -> bool:
    source, target = move.source, move.target
    tied = source.account_class is target.account_class and source.account_class.value in p.two_pot_classes
    return not tied or source.at_firm or target.at_firm or source.pot == target.pot


def _written(move: _Move, p: Reader) -> bool:
    same = move.source.account_class is move.target.account_class
    return same or not (move.from_customer and move.to_customer) or move.row(p) is not None


_SWAPS = AccountClass.CFTC_4D_F
TESTS: Mapping[str, Callable[[_Move, Reader], bool]] = {
    "same_firm": lambda move, _: move.source.firm == move.target.firm,
    "customers_apart": lambda move, _: not move.among_customers or move.source.account_class is _SWAPS,
    "lsoc": lambda move, _: not move.among_customers or move.source.account_class is not _SWAPS,
    "customer_never_house": lambda move, _: not move.from_customer or move.to_customer,
    "own_money": _own_money,
    "futures_and_swaps_apart": _open("futures_and_swaps_apart"),
    "securities_and_futures_apart": _open("securities_and_futures_apart"),
    "own_accounts_apart": _open("own_accounts_apart"),
    "two_pot": _two_pot,
    "written": _written,
}


@frozen(eq=False)
class Walls:
    """Every wall as it stands on one date; `instructed` names customers that let their accounts help one another."""

    as_of: date
    rules: Mapping[str, Rules] = field(factory=collateral_rules)
    instructed: frozenset[str] = field(default=frozenset(), converter=as_frozenset)
    _made: dict[Any, tuple[Reason, ...]] = field(factory=dict, init=False, repr=False)

    def between(self, source: Place, target: Place) -> tuple[Reason, ...]:
        """Return every wall that stands between two places, none when assets may move; a place is open to itself."""
        if source == target:
            return ()
        instructed = source.owner in self.instructed
        same = (source.owner == target.owner, source.firm == target.firm, source.owner == source.firm)
        classes = (source.account_class, target.account_class)
        key = (*classes, source.at_firm, target.at_firm, source.pot == target.pot, *same, instructed)
        if key not in self._made:  # a wall looks at nothing else, and thousands of customers look alike
            self._made[key] = self._failed(_Move(source, target, instructed))
        return self._made[key]

    def _failed(self, move: _Move) -> tuple[Reason, ...]:
        rule, origin = self.rules[WALLS], move.source.account_class.origin
        binding = [condition for condition in rule.conditions if condition.applies(self.as_of, origin)]
        return failures(binding, TESTS, move, rule.at(self.as_of))


def may_move(
    source: Place, target: Place, as_of: date, *, rules: Iterable[Rules] = (), instructed: Iterable[str] = ()
) -> Decision:
    """Return whether assets in one place may cover an obligation in another, with every wall between them.

    Parameters
    ----------
    source, target : Place
        Owner, firm, pot and segregation class.
    as_of : date
        The date whose rules hold.
    rules : iterable of Rules, optional
        Overlaid rules.
    instructed : iterable of str, optional
        Customers that have instructed the firm to let their own accounts help one another.

    References
    ----------
    Commodity Exchange Act 4d(a)(2); 17 CFR 22.15; 17 CFR 240.15c3-3; 91 FR 4994, condition 1.

    Examples
    --------
    >>> from datetime import date
    >>> house = Place("FIRM", "FIRM", "carrying firm", "PROPRIETARY")
    >>> customer = Place("FUND", "FIRM", "CME", "CFTC_4D_AB")
    >>> may_move(house, customer, date(2026, 6, 30)).allowed
    True
    >>> [reason.condition for reason in may_move(customer, house, date(2026, 6, 30)).because]
    ['customer_never_house']
    """
    because = Walls(as_of, collateral_rules(rules), instructed).between(source, target)
    return Decision(WALLS, str(source), str(target), not because, because)
