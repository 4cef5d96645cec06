"""What is held, by whom, where: positions in accounts, collateral posted, and the pools that are margined together.

Build a `Portfolio`; it refuses every dangling reference at once. `problems_on` adds what depends on the date.
Which positions share a pool is a regime's affair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from crossmargin.accounts import Account, AccountClass, Customer, Firm
from crossmargin.errors import InputError, Problem, counted, is_number, suggestion
from crossmargin.markup import fragment, table
from crossmargin.posted import CARRYING_FIRM, MOST_QUANTITY, Posted, matured, problems_with
from crossmargin.products import Product
from crossmargin.products.futures import TreasuryFuture
from crossmargin.products.lifetime import expiry_of
from crossmargin.records import as_tuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 100  # rows of a table in a notebook


@frozen
class Position:
    """A signed `quantity` (long > 0) of one product in one account.

    Treasuries and repo count USD face, futures and options contracts, swaps what their product says. `settles` is the
    settlement date of an unsettled cash trade; a Treasury whose trade has settled is no longer a clearing position.
    """

    id: str
    account: str
    product: Product
    quantity: float
    settles: date | None = None


@frozen
class Portfolio:
    """Firms, customers, accounts, positions and deposits of collateral that refer to one another.

    Raises
    ------
    InputError
        Duplicate ids, references to nothing, quantities that are not finite: all of them at once.
    """

    firms: tuple[Firm, ...] = field(default=(), converter=as_tuple)
    customers: tuple[Customer, ...] = field(default=(), converter=as_tuple)
    accounts: tuple[Account, ...] = field(default=(), converter=as_tuple)
    positions: tuple[Position, ...] = field(default=(), converter=as_tuple)
    posted: tuple[Posted, ...] = field(default=(), converter=as_tuple)

    def __attrs_post_init__(self) -> None:
        problems = [*_strangers(self)]
        if not problems:
            problems += [*_dangling(self), *problems_with(self.posted, owners=self.owners, firms=self.firm_ids)]
        if problems:
            raise InputError(problems)

    @cached_property
    def _firms(self) -> dict[str, Firm]:
        return {firm.id: firm for firm in self.firms}

    @cached_property
    def _customers(self) -> dict[str, Customer]:
        return {customer.id: customer for customer in self.customers}

    @cached_property
    def _accounts(self) -> dict[str, Account]:
        return {account.id: account for account in self.accounts}

    @cached_property
    def firm_ids(self) -> frozenset[str]:
        """The ids of the firms."""
        return frozenset(firm.id for firm in self.firms)

    @cached_property
    def owners(self) -> frozenset[str]:
        """The ids of all that may own something: firms, their affiliates, customers."""
        affiliates = (affiliate for firm in self.firms for affiliate in firm.affiliates)
        return self.firm_ids.union(affiliates, (customer.id for customer in self.customers))

    def account_of(self, position: Position) -> Account:
        """Return the account that holds `position`."""
        return self._accounts[position.account]

    def firm(self, id: str) -> Firm:
        """Return the firm with this id."""
        return self._firms[id]

    def customer(self, id: str) -> Customer | None:
        """Return the customer with this id, or None when the owner is a firm or its affiliate."""
        return self._customers.get(id)

    def names(self, owners: Iterable[str]) -> dict[str, str]:
        """Return the printed name of customers, firms and affiliates by id; a name that two bear shows the id too."""
        known: dict[str, Customer | Firm] = {**self._firms, **self._customers}
        names = {owner: (known[owner].name if owner in known else "") or owner for owner in owners}
        shared = Counter(names.values())
        return {owner: name if shared[name] == 1 else f"{name} ({owner})" for owner, name in names.items()}

    @cached_property
    def products(self) -> tuple[Product, ...]:
        """The distinct products held, in order of first appearance."""
        return tuple(dict.fromkeys(position.product for position in self.positions))

    def _repr_html_(self) -> str:
        return fragment(_tables(self))


@frozen
class Pool:
    """Positions margined together under one rule-set; `programme` is the arrangement they are enrolled in.

    The rule-set of a one-pot programme's pool is the programme itself.
    """

    owner: str
    firm: str
    account_class: AccountClass
    pot: str
    ruleset: str
    programme: str = ""
    positions: tuple[Position, ...] = field(default=(), converter=as_tuple)

    @property
    def id(self) -> str:
        """A readable name, with the rule-set unique in a report."""
        rule = self.ruleset if self.pot == CARRYING_FIRM else ""
        parts = (self.owner, self.firm, self.account_class.value, self.pot, rule, self.programme)
        return " / ".join(part for part in parts if part)

    @property
    def one_pot(self) -> bool:
        """Whether a one-pot programme margins the pool."""
        return bool(self.programme) and self.ruleset == self.programme

    @property
    def products(self) -> tuple[Product, ...]:
        """The product of each position."""
        return tuple(position.product for position in self.positions)

    @property
    def quantities(self) -> tuple[float, ...]:
        """The signed quantity of each position."""
        return tuple(position.quantity for position in self.positions)


def _tables(portfolio: Portfolio) -> Iterable[str]:
    """Yield the first positions, each with its account, and the first deposits as HTML."""
    sizes = {name: len(getattr(portfolio, f"{name}s")) for name in ("position", "customer", "account", "firm")}
    counts = ", ".join(counted(count, name) for name, count in sizes.items())
    rows = [
        (each.id, each.product.symbol, each.account, *_whose(portfolio.account_of(each)), f"{each.quantity:,.10g}")
        for each in portfolio.positions[:_SHOWN]
    ]
    header = ("position", "product", "account", "owner", "firm", "class", "quantity")
    yield table(counts, header, rows, foot=_more(portfolio.positions), figures=len(header) - 1)
    held = [
        (each.id, each.asset.symbol, str(each.place), f"{each.quantity:,.10g}") for each in portfolio.posted[:_SHOWN]
    ]
    posted = ("posted", "asset", "place", "quantity")
    if held:
        yield table("Collateral posted", posted, held, foot=_more(portfolio.posted), figures=len(posted) - 1)


def _whose(account: Account) -> tuple[str, str, str]:
    return account.owner, account.firm, account.account_class.value


def _more(items: Sequence[object]) -> list[tuple[str]]:
    return [(f"and {len(items) - _SHOWN:,} more",)] if len(items) > _SHOWN else []


def problems_on(portfolio: Portfolio, as_of: date) -> list[Problem]:
    """Return what is wrong with the portfolio on `as_of`: what is past its end, futures without a basket."""
    problems = []
    for position in portfolio.positions:
        where, product = f"position {position.id!r}", position.product
        end = expiry_of(product)
        if end <= as_of:
            problems.append(Problem(f"{product.symbol} ended on {end}, not after as_of {as_of}.", where, "Drop it."))
        if isinstance(product, TreasuryFuture) and not product.basket:
            fix = "List deliverable notes or bonds with their issue dates, or give the basket itself."
            problems.append(Problem(f"{product.symbol} has no deliverable basket.", where, fix))
    return [*problems, *_two_baskets(portfolio), *matured(portfolio.posted, as_of)]


def _two_baskets(portfolio: Portfolio) -> Iterable[Problem]:
    """Yield each contract month that is held with two baskets: it is one instrument and has one."""
    futures = [product for product in portfolio.products if isinstance(product, TreasuryFuture)]
    for symbol, count in Counter(future.symbol for future in futures).items():
        if count > 1:
            yield Problem(f"is held with {count} different baskets.", symbol, "Give all its positions the same one.")


def _strangers(portfolio: Portfolio) -> Iterable[Problem]:
    """Yield what is no record of its kind, then products that are none: nothing else can be checked with them."""
    kinds = {"firms": Firm, "customers": Customer, "accounts": Account, "positions": Position, "posted": Posted}
    strange = {
        (name, type(each).__name__)
        for name, kind in kinds.items()
        for each in getattr(portfolio, name)
        if not isinstance(each, kind)
    }
    for name, found in sorted(strange):
        yield Problem(f"a {found} stands among them.", name, f"Give {kinds[name].__name__} records.")
    products = set() if strange else {type(position.product) for position in portfolio.positions}
    odd = {kind for kind in products if not (hasattr(kind, "kind") and hasattr(kind, "symbol"))}
    for position in (position for position in portfolio.positions if odd and type(position.product) in odd):
        fix = "Give one, such as Stock('IBM')."
        yield Problem(f"{position.product!r} is no product.", f"position {position.id!r}, field 'product'", fix)


def _dangling(portfolio: Portfolio) -> Iterable[Problem]:
    owners, firms = portfolio.owners, portfolio.firm_ids
    accounts = {account.id for account in portfolio.accounts}
    yield from _duplicates("firm or customer", (*portfolio.firms, *portfolio.customers))
    yield from _duplicates("account", portfolio.accounts)
    yield from _duplicates("position", portfolio.positions)
    for account in portfolio.accounts:
        yield from _unknown(f"account {account.id!r}, field 'owner'", account.owner, owners)
        if account.beneficial_owner:
            where = f"account {account.id!r}, field 'beneficial_owner'"
            yield from _unknown(where, account.beneficial_owner, owners)
        yield from _unknown(f"account {account.id!r}, field 'firm'", account.firm, firms)
    for firm in portfolio.firms:
        for name in sorted(firm.guarantees):
            yield from _unknown(f"firm {firm.id!r}, field 'guarantees'", name, set(firm.affiliates))
    for position in portfolio.positions:
        yield from _unknown(f"position {position.id!r}, field 'account'", position.account, accounts)
        if not _is_plain(position):
            yield from _unusable(position)


def _is_plain(position: Position) -> bool:
    """Whether number and date are what nearly all are, so that a large book is checked in no time."""
    settles = position.settles
    number = type(position.quantity) is float and abs(position.quantity) <= MOST_QUANTITY
    return number and (settles is None or type(settles) is date)


def _unusable(position: Position) -> Iterable[Problem]:
    """Yield what is wrong with the number and the date of a position, whatever their types."""
    quantity, settles = (_any(getattr(position, name)) for name in ("quantity", "settles"))
    where = f"position {position.id!r}, field 'quantity'"
    if not is_number(quantity):
        yield Problem(f"quantity is {quantity!r}.", where, "Give a finite signed number.")
    elif abs(float(quantity)) > MOST_QUANTITY:
        yield Problem(f"quantity is {quantity:g}, beyond {MOST_QUANTITY:g}.", where, "Is it mistyped?")
    if settles is not None and (not isinstance(settles, date) or isinstance(settles, datetime)):
        fix = "Give datetime.date(2026, 7, 1), or None."
        yield Problem(f"{settles!r} is not a date.", f"position {position.id!r}, field 'settles'", fix)


def _any(value: Any) -> Any:
    """Return a value that nobody has checked against its annotation yet."""
    return value


def _duplicates(what: str, items: Sequence[Firm | Customer | Account | Position]) -> Iterable[Problem]:
    for id, count in Counter(item.id for item in items).items():
        if not isinstance(_any(id), str) or not id:
            yield Problem(
                "id is no text." if id else "id is missing.", f"{what} {id!r}", "Give a text, such as str(7)."
            )
        if count > 1:
            yield Problem(f"id stands {count} times.", f"{what} {id!r}", "Give each its own id.")


def _unknown(where: str, name: str, known: Collection[str]) -> Iterable[Problem]:
    if name not in known:
        yield Problem(f"unknown {name!r}." if name else "is missing.", where, suggestion(name, known) if known else "")
