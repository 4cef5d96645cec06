"""What is posted, and where it lies: deposits as data, and what is wrong with a list of them.

`Posted` is one asset in one `Place`; an asset is `Cash`, a Treasury security, a share or fund, or an `OtherAsset`.
`problems_with` finds every bad entry at once. What a deposit is worth and what it covers is told in `collateral`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar, TypeAlias

from attrs import field, frozen

from crossmargin.accounts import AccountClass, as_account_class
from crossmargin.errors import Problem, Problems, is_number, suggestion
from crossmargin.products.equities import ETF, Stock
from crossmargin.products.treasuries import TREASURY_SECURITIES, TreasurySecurity

CARRYING_FIRM = "carrying firm"  # the pot of what no clearing house asks for
HOME_CURRENCY = "USD"
MOST_QUANTITY = 2.0**53  # of a position or a deposit: beyond it a double no longer tells one unit from the next
OTHER_KINDS = ("agency", "corporate_bond", "gold", "money_market_fund", "mortgage_backed", "supranational")


@frozen
class Cash:
    """Money of one currency; quantity is units of it. All but USD take their rate from `market.prices[currency]`.

    Examples
    --------
    >>> Cash("EUR").symbol
    'EUR cash'
    """

    kind: ClassVar[str] = "cash"
    currency: str = HOME_CURRENCY

    @property
    def symbol(self) -> str:
        """Readable name."""
        return f"{self.currency} cash"


@frozen
class OtherAsset:
    """Anything else, of one of `OTHER_KINDS`. A unit is worth `market.prices[name]` USD."""

    kind: str
    name: str
    maturity: date | None = None

    @property
    def symbol(self) -> str:
        """The name."""
        return self.name


Asset: TypeAlias = Cash | TreasurySecurity | Stock | ETF | OtherAsset
ASSETS = (Cash, *TREASURY_SECURITIES, Stock, ETF, OtherAsset)


@frozen
class Place:
    """Where collateral lies and whose obligations it covers there: owner, firm, pot and segregation class.

    What lies at the firm itself lies in the pot `carrying firm`.
    """

    owner: str
    firm: str
    pot: str
    account_class: AccountClass = field(converter=as_account_class)

    @property
    def at_firm(self) -> bool:
        """Whether it is the carrying firm, not a clearing house."""
        return self.pot in (CARRYING_FIRM, self.firm)

    @property
    def level(self) -> str:
        """`customer` for what a customer has at its firm, `clearing` for the rest."""
        return "customer" if self.at_firm and self.account_class.origin == "customer" else "clearing"

    def __str__(self) -> str:
        return f"{self.owner} / {self.firm} / {self.account_class.value} / {self.pot}"


@frozen
class Posted:
    """A `quantity` of one asset in one place: USD of face, shares, units of a currency; never negative.

    Parameters
    ----------
    owner
        Whose obligations it covers: a customer, the firm or its affiliate.
    firm
        The firm that carries the account.
    pot
        The clearing house that holds it; `carrying firm` or the firm's id for what lies at the firm.
    issuer
        Who issued the asset, where that is a party to the account; own paper is no collateral.
    index
        Index that a share belongs to, where a schedule's haircut depends on it.
    passed_on
        Id of the deposit at the firm that this deposit at a clearing house passes on: one dollar, shown at two levels.
    provided_by
        Whose money it is when not the owner's: a firm's own money in a customer pot (residual interest).
    """

    id: str
    owner: str
    firm: str
    pot: str
    account_class: AccountClass = field(converter=as_account_class)
    asset: Asset
    quantity: float
    issuer: str = field(default="", kw_only=True)
    index: str = field(default="", kw_only=True)
    passed_on: str = field(default="", kw_only=True)
    provided_by: str = field(default="", kw_only=True)

    @property
    def place(self) -> Place:
        """Where it lies."""
        pot = CARRYING_FIRM if self.pot == self.firm else self.pot
        return Place(self.owner, self.firm, pot, self.account_class)

    @property
    def level(self) -> str:
        """`customer` for what a customer has at its firm, `clearing` for the rest."""
        return self.place.level


def problems_with(
    posted: Sequence[Posted],
    as_of: date | None = None,
    *,
    owners: Collection[str] | None = None,
    firms: Collection[str] | None = None,
) -> list[Problem]:
    """Return everything wrong with a list of deposits: on a date, and among known owners and firms, where given."""
    problems = Problems()
    for id, count in Counter(each.id for each in posted).items():
        if count > 1:
            problems.add(f"id stands {count} times.", where=f"posted {id!r}", fix="Give each its own id.")
    for each in posted:
        _check_one(problems, each)
        for name, known in (("owner", owners), ("firm", firms), ("provided_by", owners)):
            _check_name(problems, each, name, known)
    problems.extend(passing_on(posted))
    problems.extend(matured(posted, as_of) if as_of else ())
    return list(problems.found)


def matured(posted: Sequence[Posted], as_of: date) -> Iterator[Problem]:
    """Yield each deposit whose asset has come to its end by a date."""
    for each in posted:
        asset = _any(each.asset)
        maturity = getattr(asset, "maturity", None)
        if isinstance(asset, ASSETS) and maturity is not None and maturity <= as_of:
            what = f"{asset.symbol} matured on {maturity}."
            yield Problem(what, f"posted {each.id!r}", "Replace it by its proceeds.")


def passing_on(posted: Sequence[Posted]) -> Iterator[Problem]:
    """Yield what is wrong with deposits that pass on others: no such deposit, another party's, more than there is."""
    by_id = {each.id: each for each in posted}
    passed: Mapping[str, list[float]] = defaultdict(list)
    for each in posted:
        if not each.passed_on:
            continue
        where, origin = f"posted {each.id!r}, field 'passed_on'", by_id.get(each.passed_on)
        if origin is None or origin is each:
            yield Problem(f"unknown {each.passed_on!r}.", where, suggestion(each.passed_on, set(by_id) - {each.id}))
        elif _terms(origin) != _terms(each) or origin.level != "customer" or each.level != "clearing":
            fix = "Name a deposit of the same owner, firm, class and asset at the firm; pass it to a clearing house."
            yield Problem(f"{origin.id!r} is not what it passes on.", where, fix)
        else:
            passed[origin.id].append(each.quantity)
    for id, quantities in passed.items():
        if math.fsum(quantities) > by_id[id].quantity:
            what = f"{math.fsum(quantities):g} is passed on, {by_id[id].quantity:g} was deposited."
            yield Problem(what, f"posted {id!r}", "The rest is the firm's own: name it in provided_by.")


def _check_one(problems: Problems, each: Posted) -> None:
    where, asset, quantity = f"posted {each.id!r}", _any(each.asset), _any(each.quantity)
    if not is_number(quantity) or quantity < 0:
        fix = "Give a finite number, 0 or more: what is owed is a requirement, not collateral."
        problems.add(f"quantity is {quantity}.", where=f"{where}, field 'quantity'", fix=fix)
    elif float(quantity) > MOST_QUANTITY:
        what = f"quantity is {quantity:g}, beyond {MOST_QUANTITY:g}."
        problems.add(what, where=f"{where}, field 'quantity'", fix="Is it mistyped?")
    if not isinstance(asset, ASSETS):
        fix = "Give cash, a Treasury security, a stock, a fund or an OtherAsset."
        problems.add(f"{asset!r} is no asset that can be posted.", where=f"{where}, field 'asset'", fix=fix)
    elif isinstance(asset, Cash) and asset.currency != str(asset.currency).upper():
        fix = f"Write {str(asset.currency).upper()!r}."
        problems.add(f"{asset.currency!r} is no code of a currency.", where=f"{where}, field 'asset'", fix=fix)
    for name in ("id", "owner", "firm", "pot"):
        if not getattr(each, name):
            problems.add("is missing.", where=f"{where}, field {name!r}")


def _any(value: Any) -> Any:
    """Return a value that nobody has checked against its annotation yet."""
    return value


def _check_name(problems: Problems, each: Posted, name: str, known: Collection[str] | None) -> None:
    value = getattr(each, name)
    if known is not None and value and value not in known:
        where = f"posted {each.id!r}, field {name!r}"
        problems.add(f"unknown {value!r}.", where=where, fix=suggestion(value, known) if known else "")


def _terms(each: Posted) -> tuple[object, ...]:
    return each.owner, each.firm, each.account_class, each.asset
