"""Who takes which collateral and at what value: the dated schedules, read for one date.

`Schedules(as_of)` answers: `taker(place)` says whose schedules value a pot, `term` gives an asset's haircut under them,
`decide` whether it is eligible at all. Of several schedules the strictest haircut and every limit hold. Market values
are in `assets`, what a balance adds up to in `covering`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from attrs import field, frozen

from crossmargin.collateral.assets import years_left
from crossmargin.eligibility import Decision, Reason, failures
from crossmargin.errors import InputError, Problem, suggestion
from crossmargin.parameters import Read, Reader, Rules, load_rules
from crossmargin.posted import HOME_CURRENCY, Asset, Cash, Place, Posted

HAIRCUT_TABLES = (
    "cash",
    "treasuries",
    "agencies",
    "supranationals",
    "corporates",
    "other_debt",
    "money_funds",
    "gold",
    "shares",
)
WALLS, RESERVE = "segregation_walls", "customer_reserve"
Row: TypeAlias = Mapping[str, Any]
Reads: TypeAlias = tuple[Read, ...]
_Made = TypeVar("_Made")


@frozen
class Term:
    """The haircut of an asset, in [0, 1), and the parameters that say so."""

    haircut: float
    reads: Reads = ()

    @property
    def valuation_percentage(self) -> float:
        """The share of market value that counts, in (0, 1]."""
        return 1.0 - self.haircut


@frozen
class Limit:
    """Most that a class of assets, or one issuer's, counts for: a `share` of the requirement, or an `amount` in USD."""

    name: str
    kinds: tuple[str, ...]
    per: str
    share: float | None
    amount: float | None
    but_currency: str
    reads: Reads

    def covers(self, asset: Asset) -> bool:
        """Whether the limit speaks of an asset."""
        spared = isinstance(asset, Cash) and asset.currency == self.but_currency
        return asset.kind in self.kinds and not spared


@frozen
class Taker:
    """The ids of the schedules that value what lies in a pot, and the kinds that the pot does not take all the same."""

    schedules: tuple[str, ...]
    but_kinds: tuple[str, ...] = ()
    reads: Reads = ()


@frozen
class _Offer:
    """What a condition of a schedule may look at."""

    posted: Posted
    term: Term | None
    parties: frozenset[str]


TESTS: Mapping[str, Callable[[_Offer, Reader], bool]] = {
    "listed": lambda offer, _: offer.term is not None,
    "not_own_paper": lambda offer, _: not offer.posted.issuer or offer.posted.issuer not in offer.parties,
}


@cache
def _shipped() -> Mapping[str, Path]:
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}


def collateral_rules(overlaid: Iterable[Rules] = ()) -> dict[str, Rules]:
    """Return every collateral rule by id, with overlaid ones in place of the shipped; rules of other rooms are left."""
    known = {id: load_rules(path) for id, path in _shipped().items()}
    return {**known, **{rule.id: rule for rule in overlaid if rule.id in known}}


@frozen(eq=False)
class Schedules:
    """Every schedule as it stands on one date.

    Examples
    --------
    >>> from crossmargin.products import TreasuryNote
    >>> schedules = Schedules(date(2026, 6, 30))
    >>> cme = schedules.taker(Place("FUND", "FCM", "CME", "CFTC_4D_AB"))
    >>> schedules.term(cme, TreasuryNote(0.04, date(2033, 5, 15))).haircut
    0.045
    """

    as_of: date
    rules: Mapping[str, Rules] = field(factory=collateral_rules)
    _made: dict[Any, Any] = field(factory=dict, init=False, repr=False)

    def reader(self, id: str) -> Reader:
        """Return the values of one rule on the date."""
        if id not in self.rules:
            raise InputError([Problem(f"unknown schedule {id!r}.", "takers", suggestion(id, self.rules))])
        return self.rules[id].at(self.as_of)

    def taker(self, place: Place) -> Taker | None:
        """Return whose schedules value collateral in a place; None where no row of `takers` speaks of it."""
        key = (place.level, place.pot, place.account_class.value)
        return self._once(key, lambda: self._taker(*key))

    def term(self, taker: Taker, asset: Asset, index: str = "") -> Term | None:
        """Return the strictest haircut of an asset among the taker's schedules; None when one does not list it.

        Raises
        ------
        InputError
            A haircut is not in [0, 1).
        """
        return self._once((taker.schedules, taker.but_kinds, asset, index), lambda: self._term(taker, asset, index))

    def limits(self, taker: Taker) -> tuple[Limit, ...]:
        """Return every limit of the taker's schedules, those on issuers first, then narrow classes before wide ones."""
        return self._once(("limits", taker.schedules), lambda: self._limits(taker))

    def largest(self, taker: Taker, name: str) -> tuple[float, Reads]:
        """Return the largest value of a parameter among the taker's schedules; 0 where none has it."""
        return max(self._values(taker, name), key=lambda each: each[0], default=(0.0, ()))

    def smallest(self, taker: Taker, name: str) -> tuple[float, Reads]:
        """Return the smallest value of a parameter among the taker's schedules; 0 where none has it."""
        return min(self._values(taker, name), key=lambda each: each[0], default=(0.0, ()))

    def rows(self, taker: Taker, name: str) -> tuple[tuple[Row, Reads], ...]:
        """Return the rows of a table in all of the taker's schedules, each with what was read."""
        return self._once((name, "rows", taker.schedules), lambda: tuple(self._rows(taker, name)))

    def decide(self, posted: Posted, taker: Taker, parties: frozenset[str]) -> Decision:
        """Return whether an asset is eligible in its place, with every failed condition and its citation."""
        found: list[Reason] = []
        for id in taker.schedules:
            offer = _Offer(posted, self.term(Taker((id,), taker.but_kinds), posted.asset, posted.index), parties)
            binding = [condition for condition in self.rules[id].conditions if self._applies(condition, posted)]
            found += failures(binding, TESTS, offer, self.reader(id))
        return Decision(" + ".join(taker.schedules), posted.id, posted.asset.symbol, not found, tuple(found))

    def _applies(self, condition: Any, posted: Posted) -> bool:
        applies: bool = condition.applies(self.as_of, posted.account_class.origin)
        return applies

    def _once(self, key: Any, make: Callable[[], _Made]) -> _Made:
        if key not in self._made:
            self._made[key] = make()
        made: _Made = self._made[key]
        return made

    def _taker(self, level: str, pot: str, account_class: str) -> Taker | None:
        p = self.reader(WALLS)
        for row in p.takers:
            fits = row["level"] == level and row["pot"] == pot
            if fits and account_class in row.get("account_classes", (account_class,)):
                return Taker(tuple(row["schedules"]), tuple(row.get("but_kinds", ())), p.taken())
        return None

    def _term(self, taker: Taker, asset: Asset, index: str) -> Term | None:
        found = [self._term_in(id, asset, index) for id in taker.schedules]
        terms = [term for term in found if term is not None]
        if len(terms) < len(found) or asset.kind in taker.but_kinds:
            return None
        reads = tuple(read for term in terms for read in term.reads)
        return Term(max(term.haircut for term in terms), (*reads, *taker.reads))

    def _term_in(self, id: str, asset: Asset, index: str) -> Term | None:
        p, years = self.reader(id), years_left(asset, self.as_of)
        for name in HAIRCUT_TABLES:
            for row in p.optional(name) or ():
                if _fits(row, asset, years, index):
                    haircut = row["haircut"] + self._currency_haircut(p, asset)
                    _refuse_no_haircut(haircut, f"{id}.{name}, {asset.symbol}")
                    return Term(haircut, tuple(read for read in p.taken() if read.name in (name, "currency_haircut")))
        return None

    def _currency_haircut(self, p: Reader, asset: Asset) -> float:
        foreign = isinstance(asset, Cash) and asset.currency != HOME_CURRENCY
        return float(p.optional("currency_haircut") or 0.0) if foreign else 0.0

    def _limits(self, taker: Taker) -> tuple[Limit, ...]:
        found = [
            Limit(
                row["name"],
                tuple(row["kinds"]),
                row["per"],
                row.get("share"),
                row.get("amount"),
                row.get("but_currency", ""),
                reads,
            )
            for row, reads in self.rows(taker, "limits")
        ]
        _refuse_overlap([limit for limit in found if limit.per != "issuer"])
        return tuple(sorted(found, key=lambda limit: (limit.per != "issuer", len(limit.kinds))))

    def _values(self, taker: Taker, name: str) -> tuple[tuple[float, Reads], ...]:
        return self._once((name, taker.schedules), lambda: tuple(self._read_values(taker, name)))

    def _read_values(self, taker: Taker, name: str) -> Iterable[tuple[float, Reads]]:
        for p in map(self.reader, taker.schedules):
            if (value := p.optional(name)) is not None:
                yield float(value), p.taken()

    def _rows(self, taker: Taker, name: str) -> Iterable[tuple[Row, Reads]]:
        for p in map(self.reader, taker.schedules):
            rows = p.optional(name) or ()
            reads = p.taken()
            yield from ((row, reads) for row in rows)


def _fits(row: Row, asset: Asset, years: float, index: str) -> bool:
    """Whether a row speaks of an asset; `over` and `below` leave their bound out, `from` and `up_to` take it in."""
    if asset.kind not in row["kinds"] or ("index" in row and row["index"] != index):
        return False
    if isinstance(asset, Cash) and asset.currency not in row.get("currencies", ()):
        return False
    after = row.get("from_years", 0.0) <= years and not ("over_years" in row and years <= row["over_years"])
    before = not ("below_years" in row and years >= row["below_years"])
    return after and before and not ("up_to_years" in row and years > row["up_to_years"])


def _refuse_overlap(limits: Iterable[Limit]) -> None:
    """Refuse two limits on classes that share some kinds and not others: neither could be applied before the other."""
    for one, other in combinations(limits, 2):
        shared = set(one.kinds) & set(other.kinds)
        if shared and shared not in (set(one.kinds), set(other.kinds)):
            what = f"limits {one.name!r} and {other.name!r} overlap in {', '.join(sorted(shared))}."
            raise InputError([Problem(what, "limits", "Let one class hold the other, or share nothing.")])


def _refuse_no_haircut(haircut: float, where: str) -> None:
    if not 0.0 <= haircut < 1.0:
        raise InputError([Problem(f"{haircut} is no haircut.", where, "Give a decimal in [0, 1): 4.5 % is 0.045.")])
