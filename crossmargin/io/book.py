"""Books from files: firms, customers, accounts, positions and collateral in TOML or JSON, the last two also in CSV.

Call `load_book(path)`; `write_book` writes one. Every problem of all files of a book comes in one error, with
file, row, id and field. The format is described in the reference, page "Book files". No market is read here.
`book_files` opens the files, `book_products` says what an entry holds, `book_references` what it refers to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TypeAlias, TypeVar

from attrs import evolve, frozen

from crossmargin.accounts import Account, AccountClass, Customer, Firm
from crossmargin.collector import collector_at_rest
from crossmargin.errors import Problem, Problems, counted
from crossmargin.io import book_fields as fields
from crossmargin.io.book_crif import CrifFiles
from crossmargin.io.book_files import Draft, read_draft
from crossmargin.io.book_products import Securities, Sources, asset_of, listed_securities, product_held
from crossmargin.io.book_references import note_references
from crossmargin.io.entries import Entry, Field, read_fields, refuse_unknown
from crossmargin.io.paths import as_path
from crossmargin.portfolio import Portfolio, Position
from crossmargin.posted import Asset, Posted, passing_on
from crossmargin.products import Product, TreasurySecurity

Check: TypeAlias = Callable[[Portfolio], Iterable[Problem]]
_Record = TypeVar("_Record", Firm, Customer, Account)


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
    securities = listed_securities(draft)
    firms = _records(draft, "firms", fields.FIRM, Firm)
    customers = _records(draft, "customers", fields.CUSTOMER, Customer)
    accounts = _records(draft, "accounts", fields.ACCOUNT, Account)
    sources = Sources(securities, CrifFiles(file.parent))
    rows = [_row(entry, sources) for entry in draft["positions"]]
    deposits = [_deposit(entry, securities) for entry in draft["collateral"]]
    note_references(draft)
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


def _row(entry: Entry, sources: Sources) -> _Row:
    product = sources.made.get(entry.terms)
    if product is None:
        refuse_unknown(entry, fields.POSITION_COLUMNS, misplaced=fields.SECTIONS)
    arguments = read_fields(entry, fields.POSITION)
    product = product_held(entry, sources) if product is None else product
    if arguments is None or product is None:
        return _Row(entry, product, None)
    return _Row(entry, product, Position(product=product, **arguments))


def _deposit(entry: Entry, securities: Securities) -> _Deposit:
    refuse_unknown(entry, fields.DEPOSIT_COLUMNS, misplaced=fields.SECTIONS)
    arguments = read_fields(entry, fields.DEPOSIT)
    asset = asset_of(entry, securities)
    if arguments is None or asset is None:
        return _Deposit(entry, asset, None)
    return _Deposit(entry, asset, Posted(asset=asset, **arguments))


# ---------------------------------------------------------------------------------------------------- checks


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
