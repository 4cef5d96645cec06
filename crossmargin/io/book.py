"""Books from files: firms, customers, accounts, positions and collateral in TOML or JSON, the last two also in CSV.

Call `load_book(path)`; `write_book` writes one. Every problem of all files of a book comes in one error, with
file, row, id and field. The format is described in the reference, page "Book files". No market is read here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from attrs import evolve, field, frozen

from crossmargin.accounts import Account, AccountClass, ClearingHouse, Customer, Firm
from crossmargin.errors import InputError, Problem, Problems, counted, suggestion, with_article
from crossmargin.io import book_fields as fields
from crossmargin.io.book_crif import CrifFiles
from crossmargin.io.book_fields import Columns
from crossmargin.io.book_files import Draft, read_draft
from crossmargin.io.collector import collector_at_rest
from crossmargin.io.entries import Entry, Field, read_fields, refuse_unknown
from crossmargin.io.paths import as_path
from crossmargin.portfolio import Portfolio, Position
from crossmargin.posted import CARRYING_FIRM, Asset, Cash, OtherAsset, Posted, passing_on
from crossmargin.products import (
    PRODUCT_KINDS,
    BondTotalReturnSwap,
    FutureOption,
    IndexFuture,
    Product,
    ReferenceBond,
    SensitivityPortfolio,
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
    """Return the book in a TOML or JSON file and in the CSV of positions and of collateral that it may name.

    Parameters
    ----------
    path
        A file whose name ends in `.toml` or `.json`.
    check
        A further check, for instance of the products on a date. It is given a portfolio of every position whose
        product is sound, whatever is wrong elsewhere, and its problems are listed with those of the files. In
        that portfolio a position's id is the place of its row, its quantity is 0, and one account holds all; so do
        deposits, as far as their asset is sound.

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
    with collector_at_rest():
        return _read_book(as_path(path), check)


def _read_book(file: Path, check: Check | None) -> Book:
    problems = Problems()
    draft = read_draft(file, problems)
    securities = _securities(draft)
    firms = _records(draft, "firms", fields.FIRM, Firm)
    customers = _records(draft, "customers", fields.CUSTOMER, Customer)
    accounts = _records(draft, "accounts", fields.ACCOUNT, Account)
    sources = _Sources(securities, CrifFiles(file.parent))
    rows = [_row(entry, sources) for entry in draft["positions"]]
    problems.extend(_duplicates(draft["firms"] + draft["customers"], "id"))
    problems.extend(_duplicates(draft["accounts"], "id"))
    deposits = [_deposit(entry, securities) for entry in draft["collateral"]]
    problems.extend(_duplicates(draft["positions"], "id"))
    problems.extend(_duplicates(draft["collateral"], "id"))
    _check_references(draft)
    problems.extend(_passed_on(deposits))
    problems.extend(_checked(rows, deposits, check) if check else ())
    problems.raise_if_any(f"{counted(len(problems), 'problem')} in {file}")
    positions = [row.position for row in rows if row.position]
    posted = [deposit.posted for deposit in deposits if deposit.posted]
    return Book(Portfolio(firms, customers, accounts, positions, posted), file, securities.listed)


@frozen
class _Row:
    """What an entry of a position says; None for the parts that are wrong."""

    entry: Entry
    product: Product | None
    position: Position | None


@frozen
class _Deposit:
    """What an entry of collateral says; None for the parts that are wrong."""

    entry: Entry
    asset: Asset | None
    posted: Posted | None


# ---------------------------------------------------------------------------------------- entries to records


def _records(draft: Draft, name: str, known: Sequence[Field], kind: type[_Record]) -> list[_Record]:
    found = []
    for entry in draft[name]:
        refuse_unknown(entry, fields.names(known), misplaced=fields.SECTIONS)
        arguments = read_fields(entry, known)
        if arguments is not None:
            found.append(kind(**arguments))
    return found


def _row(entry: Entry, sources: _Sources) -> _Row:
    product = sources.made.get(entry.terms)
    if product is None:
        refuse_unknown(entry, fields.POSITION_COLUMNS, misplaced=fields.SECTIONS)
    arguments = read_fields(entry, fields.POSITION)
    product = _product_held(entry, sources) if product is None else product
    if arguments is None or product is None:
        return _Row(entry, product, None)
    return _Row(entry, product, Position(product=product, **arguments))


def _product_held(entry: Entry, sources: _Sources) -> Product | None:
    """Return the product of a position; where nothing is wrong it is that of all entries with the same terms."""
    before, head = len(entry.problems), read_fields(entry, fields.PRODUCT)
    if head is None:
        return None
    _refuse_foreign(entry, kind := head["product"], fields.POSITIONS)
    by_risk = kind == SensitivityPortfolio.kind
    product = sources.crifs.portfolio(entry) if by_risk else _product(entry, kind, sources.securities)
    if product is not None and entry.terms is not None and len(entry.problems) == before:
        sources.made[entry.terms] = product
    return product


def _deposit(entry: Entry, securities: _Securities) -> _Deposit:
    refuse_unknown(entry, fields.DEPOSIT_COLUMNS, misplaced=fields.SECTIONS)
    arguments, head = read_fields(entry, fields.DEPOSIT), read_fields(entry, fields.ASSET)
    asset = None
    if head is not None:
        _refuse_foreign(entry, head["asset"], fields.COLLATERAL)
        asset = _asset(entry, head["asset"], securities)
    if arguments is None or asset is None:
        return _Deposit(entry, asset, None)
    return _Deposit(entry, asset, Posted(asset=asset, **arguments))


def _asset(entry: Entry, kind: str, securities: _Securities) -> Asset | None:
    """Return the asset that an entry describes, None when something about it is wrong or unknown."""
    if kind in PRODUCT_KINDS:
        found: Any = _product(entry, kind, securities)
        asset: Asset | None = found
        return asset
    arguments = read_fields(entry, fields.ASSET_FIELDS[kind])
    if arguments is None:
        return None
    return Cash(**arguments) if kind == Cash.kind else OtherAsset(kind, **arguments)


def _product(entry: Entry, kind: str, securities: _Securities) -> Product | None:
    """Return the product that an entry describes, None when something about it is wrong or unknown."""
    listed = securities.find(entry.values.get("cusip")) if kind in fields.SECURITY_KINDS else None
    own = fields.names(fields.PRODUCT_FIELDS[kind])
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


def _refuse_foreign(entry: Entry, kind: str, columns: Columns) -> None:
    """Note fields that belong to other kinds of product or asset."""
    own = fields.names(fields.ASSET_FIELDS.get(kind) or fields.PRODUCT_FIELDS[kind])
    for name in entry.values:
        if name not in own and name not in columns.head and name in columns.names:
            entry.note(
                name,
                f"does not belong to {with_article(kind)}.",
                f"Leave it blank, or correct the {columns.chosen_by}.",
            )


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


@frozen
class _Sources:
    """What products are made of beside their entries, and those made so far by the terms of these."""

    securities: _Securities
    crifs: CrifFiles
    made: dict[object, Product] = field(factory=dict)


def _securities(draft: Draft) -> _Securities:
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
    if head is None:
        return None
    _refuse_foreign(entry, head["product"], fields.POSITIONS)
    return _product(entry, head["product"], _Securities((), {}))


# ---------------------------------------------------------------------------------------------------- checks


def _duplicates(entries: Iterable[Entry], name: str) -> Iterator[Problem]:
    first: dict[str, Entry] = {}
    for entry in entries:
        id = entry.values.get(name)
        if isinstance(id, str) and first.setdefault(id, entry) is not entry:
            what = f"{id!r} is the id of {first[id].where} too."
            yield Problem(what, f"{entry.label}, field {name!r}", "Give each its own id.")


def _check_references(draft: Draft) -> None:
    """Note accounts and positions that refer to nothing; an entry that is wrong itself may be referred to."""
    firms, accounts = _ids(draft["firms"]), _ids(draft["accounts"])
    affiliates = {name for firm in draft["firms"] for name in _words(firm.values.get("affiliates"))}
    for entry in draft["firms"]:
        own = _words(entry.values.get("affiliates"))
        for name in sorted(set(_words(entry.values.get("guarantees"))) - set(own)):
            advice = suggestion(name, own) if own else "The firm has none."
            entry.note("guarantees", f"{name!r} is not among the affiliates.", advice)
    owners, pots = firms | _ids(draft["customers"]) | affiliates, _pots() | firms
    _refer(
        draft["accounts"], {"owner": owners, "beneficial_owner": owners, "firm": firms, "arrangement": _programmes()}
    )
    _refer(draft["positions"], {"account": accounts})
    deposits = {"owner": owners, "provided_by": owners, "firm": firms, "pot": pots}
    _refer(draft["collateral"], {**deposits, "passed_on": _ids(draft["collateral"])})


def _ids(entries: Iterable[Entry]) -> set[str]:
    return {id for entry in entries if isinstance(id := entry.values.get("id"), str)}


def _words(value: Any) -> list[str]:
    words = value.split() if isinstance(value, str) else value
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []


def _refer(entries: Iterable[Entry], known: Mapping[str, Collection[str]]) -> None:
    """Note the fields of entries that name none of what is `known` for them."""
    advice = cache(lambda name, value: suggestion(value, known[name]) if known[name] else "The book has none.")
    for entry in entries:
        for name, choices in known.items():
            value = entry.values.get(name)
            if isinstance(value, str) and value not in choices:
                entry.note(name, f"{value!r} is unknown.", advice(name, value))


@cache
def _programmes() -> frozenset[str]:
    """Ids of the arrangements that come with the package: the names of the files that describe them."""
    return frozenset(each.name.removesuffix(".toml") for each in _descriptions())


@cache
def _pots() -> frozenset[str]:
    """Names of what may hold collateral: clearing houses, firms, and the pots that arrangements name."""
    told = (tomllib.loads(each.read_text(encoding="utf-8")).get("parameters", {}) for each in _descriptions())
    named = {dated["value"] for parameters in told for dated in parameters.get("pot", {}).get("values", ())}
    return frozenset({*(each.value for each in ClearingHouse), CARRYING_FIRM, *named})


def _descriptions() -> Iterable[Traversable]:
    found = files("crossmargin").joinpath("arrangements").iterdir()
    return [each for each in found if each.name.endswith(".toml")]


def _passed_on(deposits: Sequence[_Deposit]) -> Iterator[Problem]:
    """Yield what is wrong with passing on among the deposits that are sound, at the places of their rows."""
    labels = {each.posted.id: each.entry.label for each in deposits if each.posted}
    sound = [each.posted for each in deposits if each.posted]
    for problem in passing_on([each for each in sound if not each.passed_on or each.passed_on in labels]):
        id = next(id for id in labels if problem.where.startswith(f"posted {id!r}"))
        yield evolve(problem, where=problem.where.replace(f"posted {id!r}", labels[id]))


def _checked(rows: Iterable[_Row], deposits: Iterable[_Deposit], check: Check) -> Iterator[Problem]:
    """Yield the problems that `check` finds in the products and assets that are sound, at the places of their rows."""
    held = [(row.entry.label, row.product) for row in rows if row.product is not None]
    account = Account("any", "any", "any", AccountClass.PROPRIETARY)
    positions = [Position(label, "any", product, 0.0) for label, product in held]
    places = {f"position {label!r}": label for label, _ in held}
    lying = [(each.entry.label, each.asset) for each in deposits if each.asset is not None]
    posted = [Posted(label, "any", "any", "any", account.account_class, asset, 0.0) for label, asset in lying]
    places |= {f"posted {label!r}": label for label, _ in lying}
    for problem in check(Portfolio((Firm("any"),), (), (account,), positions, posted)):
        yield evolve(problem, where=places.get(problem.where, problem.where))
