"""What collateral comes to: one balance for each pot, owner, firm and segregation class, and the report of all.

`Balance` holds self-checking lines; `CollateralReport` totals them per level and never across levels. Built by
`covering.balances`; nothing here reads a rule.
"""

from __future__ import annotations

from datetime import date
from importlib import import_module
from typing import Any, ClassVar, Self

from attrs import field, frozen

from crossmargin.accounts import AccountClass, InsolvencyRegime, as_account_class
from crossmargin.documents import document_text, from_document
from crossmargin.eligibility import Decision, Decisions
from crossmargin.errors import InputError, Problem
from crossmargin.parameters import Read
from crossmargin.posted import Place
from crossmargin.records import as_tuple
from crossmargin.results import Line, known_sum, scaled, total

AMOUNTS = ("required", "market_value", "lendable", "covered", "excess", "deficit", "locked")


@frozen
class Balance:
    """What one owner has in one pot against what it owes there, USD; every amount is a line that explains itself.

    Where nothing of a requirement is modelled `required`, `covered` and `deficit` have no amount; where no deposit has
    a known value, and so covers nothing, `market_value`, `lendable`, `excess` and `locked` have none.

    Attributes
    ----------
    level : str
        `customer`, at the carrying firm, or `clearing`, at a clearing house.
    required : Line
        Requirements less credits.
    market_value, lendable : Line
        What is posted, before and after haircuts.
    covered : Line
        The part of the requirement that is met, after every limit.
    excess, deficit : Line
        `lendable - covered` and `required - covered`; both stand above 0 only where a limit binds.
    locked : Line
        The part of the excess that may not leave: below a minimum, behind a wall, or where the requirement is not
        known at all. The largest of these.
    schedules : tuple of str
        Whose schedules valued it.
    """

    level: str
    owner: str
    firm: str
    pot: str
    account_class: AccountClass = field(converter=as_account_class)
    required: Line
    market_value: Line
    lendable: Line
    covered: Line
    excess: Line
    deficit: Line
    locked: Line
    schedules: tuple[str, ...] = field(default=(), converter=as_tuple)

    @property
    def place(self) -> Place:
        """Owner, firm, pot and segregation class."""
        return Place(self.owner, self.firm, self.pot, self.account_class)

    @property
    def law(self) -> str:
        """The law that keeps it apart from the firm's own, "" where none does."""
        return self.account_class.segregation_law

    @property
    def insolvency_regime(self) -> InsolvencyRegime:
        """The law under which it is wound up when the firm fails."""
        return self.account_class.insolvency_regime

    @property
    def partial(self) -> bool:
        """Whether a requirement or an asset of unknown value is left out."""
        return self.required.partial or self.lendable.partial

    @property
    def line(self) -> Line:
        """What is posted and counts, less what is required: above 0 in excess, below in deficit; None if not known."""
        parts = (self.excess, scaled("less deficit", -1.0, self.deficit))
        unknown = [part for part in parts if part.amount is None]  # without one of them nobody knows which prevails
        return total(str(self.place), unknown or parts, memo=self.lines)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every amount, in the order of the attributes."""
        return tuple(getattr(self, name) for name in AMOUNTS)

    def explain(self, depth: int = 9) -> str:  # literal: deeper than any calculation
        """Return every amount and what it is made of, indented, down to `depth`."""
        from crossmargin.tables import tree  # printing is needed only when asked for

        return "\n".join([str(self.place), *(tree(line, depth) for line in self.lines)])


@frozen
class CollateralReport:
    """Every balance on one date. Levels never add: a dollar that a firm passes on is seen at both.

    `regime` and `status` are those of the margin report whose requirements stand here, "" where nobody says.
    """

    SCHEMA: ClassVar[str] = "crossmargin/collateral/1"
    as_of: date
    balances: tuple[Balance, ...] = field(default=(), converter=as_tuple)
    decisions: tuple[Decision, ...] = field(default=(), converter=Decisions)
    regime: str = ""
    status: str = ""

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that occur, clearing first."""
        found = {balance.level for balance in self.balances}
        return tuple(level for level in ("clearing", "customer") if level in found)

    def at(self, place: Place) -> Balance:
        """Return the balance of a place.

        Raises
        ------
        InputError
            There is none.
        """
        for balance in self.balances:
            if balance.place == place:
                return balance
        raise InputError([Problem("nothing is required or posted there.", str(place))])

    def totals(self, level: str = "clearing") -> dict[str, float | None]:
        """Return the sum of each amount over the balances of one level, USD; None where nothing of it is modelled."""
        mine = [balance for balance in self.balances if balance.level == level]
        return {name: known_sum(getattr(balance, name).amount for balance in mine) for name in AMOUNTS}

    def refused(self) -> Decisions:
        """Return the decisions against assets that are not eligible where they lie."""
        return Decisions(decision for decision in self.decisions if not decision.allowed)

    def not_modelled(self) -> tuple[tuple[str, Line], ...]:
        """Return every (place, line) that is known to exist and left out, each once."""
        found = {
            (str(balance.place), line.name, line.note): line
            for balance in self.balances
            for whole in (balance.required, balance.lendable)
            for line in whole.walk()
            if line.how == "not_modelled"
        }
        return tuple((place, line) for (place, *_), line in found.items())

    def reads(self) -> tuple[Read, ...]:
        """Return every distinct parameter read behind the balances."""
        return total("", [line for balance in self.balances for line in balance.lines]).all_reads()

    def assumptions(self) -> tuple[Read, ...]:
        """Return every parameter read that no published text states."""
        return tuple(read for read in self.reads() if read.grade not in ("rule", "disclosure"))

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record per balance."""
        said = {"regime": self.regime, "status": self.status, "as_of": self.as_of.isoformat()}
        return [{**said, **_record(balance)} for balance in self.balances]

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the report as JSON that `from_json` reads back."""
        return document_text(self, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the report that `to_json` wrote; every line checks its arithmetic again."""
        read: Self = from_document(cls, text)
        return read

    def plot(self) -> Any:
        """Return a picture of every place (extra `plots`): `crossmargin.plots.pots`."""
        return import_module("crossmargin.plots").pots(self)  # a layer above, and an extra

    def __str__(self) -> str:
        """Return the balances of each level as aligned tables."""
        from crossmargin.collateral.text import collateral_text

        return collateral_text(self)

    def _repr_html_(self) -> str:
        from crossmargin.collateral.text import collateral_html

        return collateral_html(self)


def _record(balance: Balance) -> dict[str, Any]:
    keys = ("level", "owner", "firm", "pot")
    return {
        **{key: getattr(balance, key) for key in keys},
        "account_class": balance.account_class.value,
        "law": balance.law,
        "insolvency_regime": balance.insolvency_regime.value,
        **{name: getattr(balance, name).amount for name in AMOUNTS},
        "partial": balance.partial,
    }
