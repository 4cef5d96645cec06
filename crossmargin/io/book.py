"""Books from files: firms, customers, accounts and positions in TOML or JSON, positions also in CSV.

Call `load_book(path)`; `write_book` writes one. Every problem of all files of a book comes in one error, with
file, row, id and field. The format is described in the reference, page "Book files". No market is read here.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from attrs import evolve, field, frozen

from crossmargin.accounts import Account, AccountClass, Customer, Firm
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.io import book_fields as fields
from crossmargin.io.entries import Entry, Field, filled, read_fields, refuse_unknown
from crossmargin.io.tables import Table, table_of
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import (
    PRODUCT_KINDS,
    BondTotalReturnSwap,
    FutureOption,
    IndexFuture,
    Product,
    ReferenceBond,
    ShortRateFuture,
    TreasuryFuture,
    TreasurySecurity,
    contract_specs,
    deliverable_basket,
)
from crossmargin.products.futures import Deliverable
from crossmargin.products.options import FUTURE_OPTION_KINDS

Check: TypeAlias = Callable[[Portfolio], Iterable[Problem]]
_Record = TypeVar("_Record", Firm, Customer, Account)

NO_BASKET = ("none",)  # in a field `basket`: leave it empty, do not select from the securities


@frozen
class Book:
    """A portfolio, the file it came from, and the securities that the file lists for baskets and collateral."""

    portfolio: Portfolio
    path: Path
    securities: tuple[TreasurySecurity, ...] = ()


def load_book(path: str | PathLike[str], *, check: Check | None = None) -> Book:
    """Return the book in a TOML or JSON file and in the CSV of positions that it may name.

    Parameters
    ----------
    path
        A file whose name ends in `.toml` or `.json`.
    check
        A further check, for instance of the products on a date. It is given a portfolio of every position whose
        product is sound, whatever is wrong elsewhere, and its problems are listed with those of the files. In
        that portfolio a position's id is the place of its row, its quantity is 0, and one account holds all.

    Raises
    ------
    InputError
        Listing every problem of all files with file, row, id and field.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from crossmargin import samples
    >>> from crossmargin.io.book_writer import write_book
    >>> portfolio, _ = samples.basis_trade()
    >>> with TemporaryDirectory() as folder:
    ...     book = load_book(write_book(portfolio, folder))
    >>> len(book.portfolio.positions), book.portfolio == portfolio
    (25, True)
    """
    file, problems = Path(path), Problems()
    draft = _draft(file, problems)
    securities = _securities(draft)
    firms = _records(draft, "firms", fields.FIRM, Firm)
    customers = _records(draft, "customers", fields.CUSTOMER, Customer)
    accounts = _records(draft, "accounts", fields.ACCOUNT, Account)
    rows = [_row(entry, securities) for entry in draft["positions"]]
    problems.extend(_duplicates(draft["firms"] + draft["customers"], "id"))
    problems.extend(_duplicates(draft["accounts"], "id"))
    problems.extend(_duplicates(draft["positions"], "id"))
    _check_references(draft)
    problems.extend(_checked(rows, check) if check else ())
    problems.raise_if_any(f"{len(problems)} problem{'' if len(problems) == 1 else 's'} in {file}")
    positions = [row.position for row in rows if row.position]
    return Book(Portfolio(firms, customers, accounts, positions), file, securities.listed)


@frozen
class _Row:
    """What an entry of a position says; None for the parts that are wrong."""

    entry: Entry
    product: Product | None
    position: Position | None


# ------------------------------------------------------------------------------------------ files to entries

_Draft: TypeAlias = Mapping[str, list[Entry]]


def _draft(file: Path, problems: Problems) -> _Draft:
    """Return the entries of each section, noting what is none; raise when the file cannot be read at all."""
    document = _document(file)
    for name in document:
        if name not in fields.SECTIONS:
            problems.add(f"unknown section {name!r}.", where=file.name, fix=suggestion(name, fields.SECTIONS))
    if "positions" not in document:
        fix = 'Write positions = "positions.csv" above the first [[section]], or [[positions]] for each one.'
        problems.add("no positions are given.", where=file.name, fix=fix)
    return {name: list(_entries(document.get(name, []), name, file, problems)) for name in fields.SECTIONS}


def _document(file: Path) -> dict[str, Any]:
    parsers: Mapping[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}
    if file.suffix.lower() not in parsers:
        fix = "Name the .toml or .json file of the book; a CSV of positions is named inside it."
        raise InputError([Problem("is no book.", str(file), fix)])
    content = _text_of(file, "Give the path of a book.")
    if not content.strip():
        raise InputError([Problem("is empty.", str(file), f"A book holds {', '.join(fields.SECTIONS)}.")])
    try:
        document = parsers[file.suffix.lower()](content)
    except (ValueError, RecursionError) as error:
        what = f"is no readable {file.suffix[1:].upper()}: {error}."
        raise InputError([Problem(what, str(file), "Mend the syntax there.")]) from error
    if not isinstance(document, dict):
        raise InputError([Problem("is no object.", str(file), f"Give {{...}} with {', '.join(fields.SECTIONS)}.")])
    return document


def _text_of(file: Path, fix: str) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError([Problem(f"is not in UTF-8: {error.reason}.", str(file), "Save it in UTF-8.")]) from error
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        what = f"cannot be read: {getattr(error, 'strerror', None) or error}."
        raise InputError([Problem(what, str(file), fix)]) from error


def _entries(section: Any, name: str, file: Path, problems: Problems) -> Iterator[Entry]:
    """Yield the entries of one section: a list of tables, or for positions the rows of the CSV named."""
    if name == "positions" and isinstance(section, str):
        with problems.collecting():
            yield from _csv_entries(file.parent / section, problems)
        return
    if not isinstance(section, list):
        problems.add("is no list of tables.", where=f"{file.name} {name}", fix=f"Write [[{name}]] for each one.")
        return
    for count, values in enumerate(section, start=1):
        where = f"{file.name} {name} {count}"
        if isinstance(values, dict):
            yield Entry(where, filled(values), problems)
        else:
            problems.add(f"{values!r} is no table.", where=where, fix=f"Write [[{name}]] for each one.")


def _csv_entries(file: Path, problems: Problems) -> Iterator[Entry]:
    content = _text_of(file, "Write its path from the folder of the book.")
    if not content.strip("\r\n\t ,"):
        raise InputError([Problem("is empty.", str(file), f"Give a header: {','.join(fields.POSITION_COLUMNS)}.")])
    table = table_of(content.encode(), file.name)
    excused = _check_header(table, problems)
    for line, cells in table.rows:
        where, width = f"{table.name} row {line}", len(table.header)
        if any("\n" in cell for cell in cells):
            fix = "Close the quotation mark in the row where it opens."
            problems.add("a field runs over the end of a line.", where=where, fix=fix)
        elif any(cells[width:]):
            fix = "Is there a comma in a number or a name? Leave it out, or put the field in quotation marks."
            problems.add(f"{len(cells)} fields under {width} columns.", where=where, fix=fix)
        else:
            known = {n: c for n, c in zip(table.header, cells, strict=False) if n in fields.POSITION_COLUMNS}
            yield Entry(where, filled(known), problems, excused)


def _check_header(table: Table, problems: Problems) -> frozenset[str]:
    """Note columns that are unknown, doubled or missing; return the missing ones."""
    where = f"{table.name} header"
    if len(table.header) == 1:
        problems.add("holds one column.", where=where, fix="Separate columns by commas, not by semicolons or tabs.")
    for name in dict.fromkeys(table.header):
        if name not in fields.POSITION_COLUMNS:
            fix = suggestion(name, fields.POSITION_COLUMNS) if name else "Name it or remove it."
            problems.add("no position has such a field.", where=f"{where}, column {name!r}", fix=fix)
        elif table.header.count(name) > 1:
            problems.add("stands twice.", where=f"{where}, column {name!r}", fix="Keep one of the columns.")
    needed = [each.name for each in (*fields.POSITION, *fields.PRODUCT) if each.required]
    missing = [name for name in needed if name not in table.header]
    for name in missing:
        problems.add("the column is missing.", where=f"{where}, column {name!r}", fix="Every position needs it.")
    return frozenset(missing)


# ---------------------------------------------------------------------------------------- entries to records


def _records(draft: _Draft, name: str, known: Sequence[Field], kind: type[_Record]) -> list[_Record]:
    found = []
    for entry in draft[name]:
        refuse_unknown(entry, fields.names(known), misplaced=fields.SECTIONS)
        arguments = read_fields(entry, known)
        if arguments is not None:
            found.append(kind(**arguments))
    return found


def _row(entry: Entry, securities: _Securities) -> _Row:
    refuse_unknown(entry, fields.POSITION_COLUMNS, misplaced=fields.SECTIONS)
    arguments, head = read_fields(entry, fields.POSITION), read_fields(entry, fields.PRODUCT)
    product = None if head is None else _product(entry, head["product"], securities)
    if arguments is None or product is None:
        return _Row(entry, product, None)
    return _Row(entry, product, Position(product=product, **arguments))


def _product(entry: Entry, kind: str, securities: _Securities) -> Product | None:
    """Return the product that an entry describes, None when something about it is wrong or unknown."""
    listed = securities.find(entry.values.get("cusip")) if kind in fields.SECURITY_KINDS else None
    own = fields.names(fields.PRODUCT_FIELDS[kind])
    _refuse_foreign(entry, kind, own)
    unlisted = _refer_to_securities(entry, own, securities)
    arguments = read_fields(_completed(entry, own, listed), fields.PRODUCT_FIELDS[kind])
    if arguments is None or unlisted or (listed and listed.security is None):
        return None
    if kind in ("treasury_future", *FUTURE_OPTION_KINDS):
        return _future_or_option(entry, kind, arguments, securities)
    if kind == BondTotalReturnSwap.kind:
        return _bond_swap(entry, arguments, securities)
    if "collateral" in arguments:
        arguments["collateral"] = securities.by_name[arguments["collateral"]].security
        if arguments["collateral"] is None:
            return None  # its own entry is wrong, and says so
    product: Product | None = _made(entry, PRODUCT_KINDS[kind], arguments)
    if listed and product not in (None, listed.security):
        what = f"{listed.entry.where} gives it other terms: {listed.security.symbol}."
        entry.note("cusip", what, "Leave the terms blank here, or mend one of the two.")
    return product


def _completed(entry: Entry, own: Sequence[str], listed: _Listed | None) -> Entry:
    """Return the entry with its blank terms taken from the security that its CUSIP names."""
    if listed is None:
        return entry
    sound = listed.security is not None
    shared = {name: listed.entry.values[name] for name in own if name in listed.entry.values and sound}
    excused = entry.excused if sound else frozenset(own)  # what is wrong is noted where the security stands
    return evolve(entry, values={**shared, **entry.values}, excused=excused)


def _refuse_foreign(entry: Entry, kind: str, own: Sequence[str]) -> None:
    head = fields.names((*fields.POSITION, *fields.PRODUCT, *fields.SECURITY))
    for name in entry.values:
        if name in fields.POSITION_COLUMNS and name not in own and name not in head:
            entry.note(name, f"does not belong to a {kind}.", "Leave it blank, or correct the product.")


def _refer_to_securities(entry: Entry, own: Sequence[str], securities: _Securities) -> bool:
    """Note names of collateral, of a bond and of a basket that the securities lack; return whether there are any."""
    before, known = len(entry.problems), securities.by_name
    for name in ("collateral", "basket", "bond"):
        words = _words(entry.values.get(name)) if name in own else []
        for word in words if tuple(words) != NO_BASKET else ():
            if word not in known:
                advice = suggestion(word, known) if known else "There are none."
                entry.note(name, f"{word!r} is not among the securities.", f"List it in [[securities]]. {advice}")
    return len(entry.problems) > before


def _future_or_option(
    entry: Entry, kind: str, arguments: dict[str, Any], securities: _Securities
) -> TreasuryFuture | FutureOption | None:
    """Return the future, its basket as named or else selected, or the option, whose basket nothing needs."""
    if (asset := contract_specs()[arguments["contract"]].asset) in _WITHOUT_BASKET:
        return _option_without_basket(entry, arguments, _WITHOUT_BASKET[asset])
    terms = {name: arguments.pop(name) for name in ("contract", "delivery_month")}
    chosen = arguments.pop("basket", NO_BASKET if kind == "future_option" else None)
    future: TreasuryFuture | None = _made(entry, TreasuryFuture, terms)
    if future is None:
        return None
    basket = securities.basket(entry, chosen, future)
    if basket is None:
        return None
    future = _made(entry, TreasuryFuture, {**terms, "basket": basket})
    if kind == "treasury_future" or future is None:
        return future
    option: FutureOption | None = _made(entry, FutureOption, {"underlying": future, **arguments})
    return option


_WITHOUT_BASKET: Mapping[str, type[ShortRateFuture | IndexFuture]] = {
    "short_rate": ShortRateFuture,
    "index": IndexFuture,
}


def _option_without_basket(
    entry: Entry, arguments: dict[str, Any], on: type[ShortRateFuture | IndexFuture]
) -> FutureOption | None:
    if arguments.pop("basket", None):
        entry.note("basket", "does not belong to an option on a future that settles in cash.", "Leave it blank.")
    terms = {"contract": arguments.pop("contract"), "month": arguments.pop("delivery_month")}
    future = _made(entry, on, terms)
    option: FutureOption | None = future and _made(entry, FutureOption, {"underlying": future, **arguments})
    return option


def _bond_swap(entry: Entry, arguments: dict[str, Any], securities: _Securities) -> BondTotalReturnSwap | None:
    """Return a swap on a Treasury of the securities that `bond` names, or on the bond of a company."""
    name = arguments.pop("bond", None)
    terms = {key: arguments.pop(key, None) for key in ("issuer", "coupon", "bond_maturity")}
    given = [key for key, value in terms.items() if value is not None]
    if name is not None and given:
        fix = "Leave issuer, coupon_pct and bond_maturity blank: they are for bonds of companies."
        entry.note("bond", "is given beside a bond of a company.", fix)
        return None
    if name is None and len(given) < len(terms):
        fix = "Give issuer, coupon_pct and bond_maturity; of a Treasury its name in [[securities]] instead."
        entry.note("bond", "no bond is given.", fix)
        return None
    bond = securities.by_name[name].security if name else _made(entry, ReferenceBond, _as_reference(terms))
    swap: BondTotalReturnSwap | None = bond and _made(entry, BondTotalReturnSwap, {"bond": bond, **arguments})
    return swap


def _as_reference(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {"issuer": terms["issuer"], "coupon": terms["coupon"], "maturity": terms["bond_maturity"]}


def _made(entry: Entry, kind: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Return the product, or None after noting under the fields of the entry what the product refuses."""
    try:
        return kind(**arguments)
    except InputError as error:
        entry.note_all(error.problems, fields.field_of)
        return None


# ------------------------------------------------------------------------------------------------ securities


@frozen
class _Listed:
    """An entry of the section `securities`, and what it describes when it is sound."""

    entry: Entry
    security: Any

    @property
    def names(self) -> tuple[str, ...]:
        values = self.entry.values
        return tuple(dict.fromkeys(values[key] for key in ("name", "cusip") if isinstance(values.get(key), str)))


@frozen
class _Securities:
    """The securities of a book by name and CUSIP, and the baskets selected from them so far."""

    entries: tuple[_Listed, ...]
    by_name: Mapping[str, _Listed]
    selected: dict[str, tuple[Deliverable, ...] | None] = field(factory=dict)

    @property
    def listed(self) -> tuple[TreasurySecurity, ...]:
        return tuple(each.security for each in self.entries if each.security is not None)

    def find(self, name: object) -> _Listed | None:
        return self.by_name.get(name) if isinstance(name, str) else None

    def basket(self, entry: Entry, chosen: tuple[str, ...] | None, future: TreasuryFuture) -> tuple[Any, ...] | None:
        """Return what may be delivered: the securities chosen by name, or all that the contract accepts."""
        if chosen == NO_BASKET:
            return ()
        if chosen is not None:
            members = tuple(self.by_name[name].security for name in chosen)
            return None if None in members else members
        if future.symbol not in self.selected:
            self.selected[future.symbol] = self._select(entry, future)
        return self.selected[future.symbol]

    def _select(self, entry: Entry, future: TreasuryFuture) -> tuple[Deliverable, ...] | None:
        if any(each.security is None for each in self.entries):
            return None  # what is wrong with the securities is noted; a basket short of them would only confuse
        try:
            return deliverable_basket(future.contract, future.delivery_month, self.listed)
        except InputError as error:
            entry.problems.extend(evolve(each, where=f"securities, {each.where}") for each in error.problems)
            return None


def _securities(draft: _Draft) -> _Securities:
    listed = tuple(_Listed(entry, _security(entry)) for entry in draft["securities"])
    by_name: dict[str, _Listed] = {}
    for each in listed:
        for name in each.names:
            first = by_name.setdefault(name, each)
            if first is not each:
                each.entry.note("cusip", f"{name!r} is {first.entry.where} too.", "Keep one of the two.")
    return _Securities(listed, by_name)


def _security(entry: Entry) -> Any:
    refuse_unknown(entry, fields.SECURITY_COLUMNS, misplaced=fields.SECTIONS)
    head = read_fields(entry, fields.SECURITY)
    return None if head is None else _product(entry, head["product"], _Securities((), {}))


# ---------------------------------------------------------------------------------------------------- checks


def _duplicates(entries: Iterable[Entry], name: str) -> Iterator[Problem]:
    first: dict[str, Entry] = {}
    for entry in entries:
        id = entry.values.get(name)
        if isinstance(id, str) and first.setdefault(id, entry) is not entry:
            what = f"{id!r} is the id of {first[id].where} too."
            yield Problem(what, f"{entry.label}, field {name!r}", "Give each its own id.")


def _check_references(draft: _Draft) -> None:
    """Note accounts and positions that refer to nothing; an entry that is wrong itself may be referred to."""
    firms, accounts = _ids(draft["firms"]), _ids(draft["accounts"])
    affiliates = {name for firm in draft["firms"] for name in _words(firm.values.get("affiliates"))}
    for entry in draft["firms"]:
        own = _words(entry.values.get("affiliates"))
        for name in sorted(set(_words(entry.values.get("guarantees"))) - set(own)):
            advice = suggestion(name, own) if own else "The firm has none."
            entry.note("guarantees", f"{name!r} is not among the affiliates.", advice)
    for entry in draft["accounts"]:
        owners = firms | _ids(draft["customers"]) | affiliates
        _refer(entry, "owner", owners)
        _refer(entry, "beneficial_owner", owners)
        _refer(entry, "firm", firms)
        _refer(entry, "arrangement", _programmes())
    for entry in draft["positions"]:
        _refer(entry, "account", accounts)


def _ids(entries: Iterable[Entry]) -> set[str]:
    return {id for entry in entries if isinstance(id := entry.values.get("id"), str)}


def _words(value: Any) -> list[str]:
    words = value.split() if isinstance(value, str) else value
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []


def _refer(entry: Entry, name: str, known: Iterable[str]) -> None:
    value, known = entry.values.get(name), tuple(known)
    if isinstance(value, str) and value not in known:
        entry.note(name, f"{value!r} is unknown.", suggestion(value, known) if known else "The book has none.")


def _programmes() -> list[str]:
    """Ids of the arrangements that come with the package: the names of the files that describe them."""
    found = files("crossmargin").joinpath("arrangements").iterdir()
    return [each.name.removesuffix(".toml") for each in found if each.name.endswith(".toml")]


def _checked(rows: Iterable[_Row], check: Check) -> Iterator[Problem]:
    """Yield the problems that `check` finds in the products that are sound, at the places of their rows."""
    held = [(row.entry.label, row.product) for row in rows if row.product is not None]
    account = Account("any", "any", "any", AccountClass.PROPRIETARY)
    positions = [Position(label, "any", product, 0.0) for label, product in held]
    places = {f"position {label!r}": label for label, _ in held}
    for problem in check(Portfolio((Firm("any"),), (), (account,), positions)):
        yield evolve(problem, where=places.get(problem.where, problem.where))
