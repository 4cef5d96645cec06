"""What a broker's file says: positions, cash, prices, and every row with what was made of it.

The modules of the formats yield `Holding`, `Money`, `Aside` and `Unread`; `statement_of` makes a `Statement` of them.
Here currency, sign, size and repetition of every row are checked, the same for all formats. Nothing here opens a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from operator import attrgetter
from types import MappingProxyType
from typing import TypeAlias

from attrs import Factory, define, evolve, field, frozen

from crossmargin.columns import as_date
from crossmargin.errors import InputError, Problem, counted
from crossmargin.io.brokers.cells import amount, is_blank
from crossmargin.io.quantities import fault
from crossmargin.io.symbols import Resolved, resolve
from crossmargin.portfolio import Position
from crossmargin.products import (
    PRODUCT_KINDS,
    STRIPS,
    TIPS,
    FutureOption,
    IndexFuture,
    ListedOption,
    Product,
    ShortRateFuture,
    TreasuryBill,
    TreasuryBond,
    TreasuryFRN,
    TreasuryFuture,
    TreasuryNote,
    contract_spec,
)
from crossmargin.records import as_tuple

TREASURIES = (TreasuryBill, TreasuryNote, TreasuryBond, TreasuryFRN, TIPS, STRIPS)
FUTURES = (TreasuryFuture, ShortRateFuture, IndexFuture)
_POINTS = 100  # Treasuries are quoted for this much face
_NEAR = 0.005  # relative: a value and quantity times price that are closer are the same, rounded
_SHORTEST_REPEAT = 60  # characters of a row that a report shows


@frozen
class Row:
    """A row of the file: `use` is `position`, `cash` or `set aside`, and "" where it was not understood."""

    place: str
    text: str
    use: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.reason} [{self.text}]"


@frozen
class Cash:
    """Money in an account, in its currency; negative when it is owed."""

    account: str
    currency: str
    amount: float
    place: str


@frozen
class Quote:
    """A price seen in the file, as quoted: for one unit, or for 100 of face of a Treasury."""

    symbol: str
    price: float
    place: str


@frozen
class Guess:
    """Something that the file does not say and that was assumed of a row."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@frozen
class Holding:
    """A row that says what is held, all in the file's own words; blank where it says nothing."""

    place: str
    text: str
    symbol: str
    quantity: str
    description: str = ""
    hint: str = ""
    price: str = ""
    value: str = ""
    currency: str = ""
    account: str = ""
    side: str = ""
    multiplier: str = ""
    issue: date | None = None
    option: tuple[str, float, date] | None = None  # right, strike, expiry of an option on the future `symbol`


@frozen
class Money:
    """A row of cash."""

    place: str
    text: str
    amount: str
    currency: str = "USD"
    account: str = ""
    guess: str = ""


@frozen
class Aside:
    """A row that was understood and holds no position: a heading, a total, a trade."""

    place: str
    text: str
    reason: str


@frozen
class Unread:
    """A row that may be a position and was not understood."""

    place: str
    text: str
    reason: str


Item: TypeAlias = Holding | Money | Aside | Unread


@frozen
class Statement:
    """A broker's file, read.

    Every row that is not blank stands in `understood` or in `not_understood`, once.

    Parameters
    ----------
    name, format : str
        Of the file.
    as_of : date or None
        Its date; None when neither the file nor the caller gave one.
    positions : tuple of Position
        Quantity long > 0: shares, contracts, USD face of Treasuries. Treasuries count as settled on `as_of`.
    cash : tuple of Cash
    quotes : tuple of Quote
    rows : tuple of Row
    guesses : tuple of Guess
    """

    name: str
    format: str
    as_of: date | None
    positions: tuple[Position, ...] = field(converter=as_tuple)
    cash: tuple[Cash, ...] = field(converter=as_tuple)
    quotes: tuple[Quote, ...] = field(converter=as_tuple)
    rows: tuple[Row, ...] = field(converter=as_tuple)
    guesses: tuple[Guess, ...] = field(converter=as_tuple)

    @property
    def understood(self) -> tuple[Row, ...]:
        """Rows that became a position or cash, or were set aside with a reason."""
        return tuple(row for row in self.rows if row.use)

    @property
    def not_understood(self) -> tuple[Row, ...]:
        """Rows that may hold a position and were not read, each with its reason."""
        return tuple(row for row in self.rows if not row.use)

    @property
    def accounts(self) -> tuple[str, ...]:
        """Accounts that hold something, in order of first appearance."""
        named = [*(each.account for each in self.positions), *(each.account for each in self.cash)]
        return tuple(dict.fromkeys(named))

    @property
    def prices(self) -> Mapping[str, float]:
        """The last price seen of each product, by its readable symbol, as quoted."""
        return MappingProxyType({quote.symbol: quote.price for quote in self.quotes})

    def raise_if_incomplete(self) -> None:
        """Raise `InputError` with every row that was not understood, or return when there is none."""
        if rows := self.not_understood:
            title = f"{len(rows):,} of {counted(len(self.rows), 'row')} of {self.name} not understood"
            raise InputError([Problem(f"{row.reason} [{row.text}]", row.place) for row in rows], title)

    def report(self) -> str:
        """Return in words what was read, what was not and why, and what was guessed."""
        uses = Counter(row.use or "not understood" for row in self.rows)
        counts = ", ".join(f"{use} {uses[use]}" for use in ("position", "cash", "set aside", "not understood"))
        head = f"{self.name} ({self.format}, {self.as_of or 'no date'}): {counted(len(self.rows), 'row')}: {counts}"
        parts = (("Not understood", self.not_understood), ("Guessed", self.guesses))
        return "\n".join([head, *(line for title, items in parts if items for line in (f"{title}:", *listed(items)))])


def listed(items: Iterable[object]) -> list[str]:
    """Return a line for each thing; guesses that say the same share one."""
    places: dict[str, list[str]] = {}
    for item in items:
        what, place = (item.what, item.place) if isinstance(item, Guess) else (str(item), "")
        places.setdefault(what, []).append(place)
    return [f"  - {_places(found)}{what}" for what, found in places.items()]


def _places(found: list[str]) -> str:
    if not found[0]:
        return ""
    return f"{found[0]}: " if len(found) == 1 else f"{found[0]} and {len(found) - 1:,} more: "


@frozen
class _Named:
    """The product that a row names, its readable symbol, and what had to be guessed of it."""

    product: Product
    symbol: str
    guessed: tuple[str, ...]


@define
class _Draft:
    known: Mapping[str, Product]
    as_of: date | None
    account: str
    positions: list[Position] = Factory(list)
    cash: list[Cash] = Factory(list)
    quotes: list[Quote] = Factory(list)
    rows: list[Row] = Factory(list)
    guesses: list[Guess] = Factory(list)
    seen: dict[tuple[object, ...], str] = Factory(dict)
    ids: dict[str, int] = Factory(dict)
    named: dict[object, _Named | str] = Factory(dict)  # or why the row names no product

    def row(self, item: Item, use: str, reason: str = "") -> None:
        self.rows.append(Row(item.place, shortened(item.text), use, reason))

    def guess(self, item: Item, *whats: str) -> None:
        self.guesses += [Guess(item.place, what) for what in whats if what]


def statement_of(
    items: Iterable[Item], *, name: str, kind: str, as_of: date | None, known: Mapping[str, Product], account: str
) -> Statement:
    """Return the statement that the rows of a file make up; `account` is used where a row names none."""
    day = as_of if as_of is None else as_date(as_of, "as_of")
    draft = _Draft(known, day, account)
    for item in items:
        match item:
            case Holding():
                _hold(draft, item)
            case Money():
                _bank(draft, item)
            case Aside():
                draft.row(item, "set aside", item.reason)
            case Unread():
                draft.row(item, "", item.reason)
    return Statement(name, kind, day, draft.positions, draft.cash, draft.quotes, draft.rows, draft.guesses)


def shortened(text: str) -> str:
    """Return the beginning of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHORTEST_REPEAT else f"{line[: _SHORTEST_REPEAT - 3]}..."


def _bank(draft: _Draft, item: Money) -> None:
    try:
        found = amount(item.amount)
    except ValueError as error:
        draft.row(item, "", f"The cash {error}")
        return
    draft.cash.append(Cash(item.account or draft.account, item.currency, found, item.place))
    draft.guess(item, item.guess)
    draft.row(item, "cash")


def _hold(draft: _Draft, item: Holding) -> None:
    """Add the position of a row, or note why there is none."""
    content = _content(item)
    if content in draft.seen:
        draft.row(item, "", f"Repeats {draft.seen[content]} to the letter; it is counted once. Remove one of the two.")
        return
    draft.seen[content] = item.place
    try:
        quantity = _quantity(item)
        if quantity == 0.0:
            draft.row(item, "set aside", "The quantity is 0.")
            return
        _check_row(item, quantity)
        named = _named(draft, item)
        if wrong := fault(named.product.kind, quantity):
            draft.row(item, "", f"The quantity is {item.quantity}: {wrong}.")
            return
        price = None if is_blank(item.price) else amount(item.price)
        doubt = "" if price is None else _value_doubt(item, named.product, quantity, price)
    except ValueError as error:
        draft.row(item, "", str(error))
    else:
        _add(draft, item, named, quantity)
        if price is not None:
            draft.quotes.append(Quote(named.symbol, price, item.place))
        draft.guess(item, *named.guessed, doubt)
        draft.row(item, "position")


_content = attrgetter("text", "symbol", "quantity", "description", "price", "value", "account")
_naming = attrgetter("symbol", "description", "hint", "multiplier", "issue", "option")


def _quantity(item: Holding) -> float:
    if is_blank(item.quantity):
        raise ValueError("The quantity is missing.")
    return amount(item.quantity)


def _check_row(item: Holding, quantity: float) -> None:
    if item.currency and item.currency.upper() != "USD":
        raise ValueError(f"It is in {item.currency.upper()}; positions are margined in USD. Convert or remove it.")
    side = item.side.upper()
    if side in _SIDES and (_SIDES[side] > 0) != (quantity > 0):
        raise ValueError(f"The quantity is {item.quantity}, but the side is {item.side}. A short quantity is negative.")


_SIDES = {"LONG": 1, "BUY": 1, "SHORT": -1, "SELL": -1}


def _named(draft: _Draft, item: Holding) -> _Named:
    """Return the product of a row, worked out once for all rows that say the same of it."""
    terms = _naming(item)
    found = draft.named.get(terms)
    if found is None:
        found = draft.named[terms] = _product_of(draft, item)
    if isinstance(found, str):
        raise ValueError(found)  # noqa: TRY004 - the row's fault
    return found


def _product_of(draft: _Draft, item: Holding) -> _Named | str:
    try:
        resolved = _resolved(draft, item)
        product = _sized(item, resolved.product)
    except ValueError as error:
        return str(error)
    except InputError as error:
        return " ".join(f"{each.where}: {each.what} {each.fix}".strip() for each in error.problems)
    return _Named(product, product.symbol, resolved.guessed)


def _resolved(draft: _Draft, item: Holding) -> Resolved:
    terms = {"description": item.description, "hint": item.hint}
    found = resolve(item.symbol, as_of=draft.as_of, known=draft.known, **terms)
    if item.hint in PRODUCT_KINDS and found.product.kind != item.hint and "known" not in found.how:
        raise ValueError(f"The file calls it {item.hint}, but {item.symbol} reads as {found.product.kind}.")
    if isinstance(found.product, TreasuryNote | TreasuryBond) and item.issue and item.issue < found.product.maturity:
        found = evolve(found, product=evolve(found.product, issue=item.issue))
    if item.option is None:
        return found
    right, strike, expiry = item.option
    if not isinstance(found.product, FUTURES):
        raise ValueError(f"{item.symbol} is no future, so there is no option on it.")  # noqa: TRY004 - the row's fault
    return evolve(found, product=FutureOption(found.product, "call" if right == "C" else "put", strike, expiry))


def _sized(item: Holding, product: Product) -> Product:
    """Return the product with the multiplier that the file gives, which for a future must be the contract's."""
    if is_blank(item.multiplier):
        return product
    size = amount(item.multiplier)
    if isinstance(product, ListedOption):
        return evolve(product, multiplier=size)
    future = product.underlying if isinstance(product, FutureOption) else product
    if isinstance(future, FUTURES) and size != contract_spec(future).point_value:
        right = contract_spec(future).point_value
        raise ValueError(f"The multiplier is {item.multiplier}; a point of {future.contract} is worth {right:g} USD.")
    return product


def _unit(product: Product) -> float:
    """Return the USD that one of the quantity is worth for each 1 of the quoted price."""
    if isinstance(product, TREASURIES):
        return 1 / _POINTS
    if isinstance(product, FUTURES):
        return contract_spec(product).point_value
    return product.units if isinstance(product, ListedOption | FutureOption) else 1.0


def _value_doubt(item: Holding, product: Product, quantity: float, price: float) -> str:
    """Return what is odd about the value of a row; refuse a Treasury that is counted in something else than face."""
    if is_blank(item.value):
        return ""
    value, expected = amount(item.value), quantity * price * _unit(product)
    if not value or not expected or abs(value - expected) <= max(_NEAR * abs(value), 0.01):
        return ""
    for thousand in (10, 100, 1000):
        if isinstance(product, TREASURIES) and abs(value / expected / thousand - 1) < _NEAR:
            raise ValueError(
                f"Its value is {thousand} times {item.quantity} at {item.price} per cent: "
                "the quantity counts something else than USD of face. Write the face."
            )
    worth = f"{item.quantity} at {item.price} is worth {expected:,.2f}"
    return f"{worth}, but the file says {value:,.2f}: the quantity is kept."


def _add(draft: _Draft, item: Holding, named: _Named, quantity: float) -> None:
    account = item.account or draft.account
    id = f"{account} {named.symbol}"
    count = draft.ids[id] = draft.ids.get(id, 0) + 1
    if count > 1:
        draft.guess(item, f"{named.symbol} stands in several rows of the account: all of them are counted.")
        id = f"{id} #{count}"
    settles = None
    if isinstance(named.product, TREASURIES):
        settles = draft.as_of
        when = f"to have settled by {settles}" if settles else "as not yet settled: give as_of"
        draft.guess(item, f"The Treasury is taken {when}.")
    draft.positions.append(Position(id, account, named.product, quantity, settles))
