"""The books that a study is of: the archetypes, or a folder of book files.

Call `population(where)`. Books of files stay the same on all days on which all that they hold has been issued, and are
refused on others, so that a study has a gap there; those of the archetypes roll.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve

from crossmargin.analysis.archetypes import ARCHETYPES, StudyBook
from crossmargin.errors import InputError, Problem, Problems, counted, suggestion
from crossmargin.io.book import load_book
from crossmargin.market import Market
from crossmargin.portfolio import Portfolio
from crossmargin.products import FutureOption, Product, TreasuryFuture
from crossmargin.records import to_plain

NAME = "archetypes"
_ENDINGS = (".toml", ".json")
_BOOK = ("book.toml", "book.json")


def population(where: str | Path) -> tuple[StudyBook, ...]:
    """Return the books of a population, in the order of their names or of `ARCHETYPES`.

    Parameters
    ----------
    where
        `archetypes`, or a folder that holds book files (`fund.toml`) or folders with one each (`fund/book.toml`).

    Raises
    ------
    InputError
        No such population, an empty folder, two books of one name, and every problem of every book: a study of some of
        the books would not be that of the population.

    Examples
    --------
    >>> [book.id for book in population("archetypes")][:2]
    ['cash_futures_basis', 'on_off_the_run']
    """
    if str(where) == NAME:
        return ARCHETYPES
    folder = Path(where)
    if not folder.is_dir():
        fix = f"{suggestion(str(where), [NAME])} Or give a folder of book files."
        raise InputError([Problem("is no population and no folder.", f"population {str(where)!r}", fix)])
    problems, books, seen = Problems(), [], dict[str, Path]()
    for id, path in _files(folder):
        if id in seen:
            problems.add(f"stands in {seen[id].name} and {path.name}.", where=f"book {id!r}", fix="Rename one of them.")
        seen[id] = path
        with problems.collecting():
            books.append(_book(id, path))
    if not seen:
        fix = "Put book files there (.toml or .json), or folders that hold a book.toml."
        problems.add("holds no book.", where=str(folder), fix=fix)
    problems.raise_if_any(f"The population {folder} cannot be used")
    return tuple(books)


def _files(folder: Path) -> list[tuple[str, Path]]:
    single = [(path.stem, path) for path in folder.iterdir() if path.is_file() and path.suffix in _ENDINGS]
    inside = [(path.name, path / name) for path in folder.iterdir() for name in _BOOK if (path / name).is_file()]
    return sorted(single + inside)


def _book(id: str, path: Path) -> StudyBook:
    held: Portfolio = load_book(path).portfolio
    digest = hashlib.sha256(json.dumps(to_plain(held), sort_keys=True, default=str).encode()).hexdigest()[:16]
    about = f"{counted(len(held.positions), 'position')} of {path.name}, the same on every day."
    return StudyBook(id, id.replace("_", " "), about, partial(_on, held), digest)


def _on(held: Portfolio, market: Market) -> tuple[Portfolio, Market]:
    """Return a book on the day of a market: of the baskets of its futures what has been issued by then.

    Raises
    ------
    InputError
        Listing what is held, lent on or posted before its issue, and futures nothing of whose basket is issued.
    """
    day, fix = market.as_of, "A book is studied from the day on which all that it holds is issued."
    things: list[tuple[str, Any]] = [(f"position {each.id!r}", each.product) for each in held.positions]
    things += [(f"posted {each.id!r}", each.asset) for each in held.posted]
    problems = [
        Problem(f"{thing.symbol} cannot be held before {first}.", where, fix)
        for where, thing in things
        if (first := _first_day(thing)) > day
    ]
    if problems:
        raise InputError(problems)
    if all(_on_day(each, day) is each for each in held.products):
        return held, market
    return evolve(held, positions=[evolve(each, product=_on_day(each.product, day)) for each in held.positions]), market


def _first_day(thing: Any) -> date:
    """Return the issue of a security, of what is lent or swapped, or the first of a basket; `date.min` if unknown."""
    if basket := getattr(thing, "basket", ()):
        return min(map(_issue, basket))
    return _issue(getattr(thing, "collateral", None) or getattr(thing, "bond", None) or thing)


def _issue(thing: object) -> date:
    return getattr(thing, "issue", None) or date.min


def _on_day(product: Product, day: date) -> Product:
    """Return a future, or an option on one, with what of its basket is issued by a day; all else as it is."""
    future = product.underlying if isinstance(product, FutureOption) else product
    if not isinstance(future, TreasuryFuture) or all(_issue(each) <= day for each in future.basket):
        return product
    issued = evolve(future, basket=tuple(each for each in future.basket if _issue(each) <= day))
    return evolve(product, underlying=issued) if isinstance(product, FutureOption) else issued
