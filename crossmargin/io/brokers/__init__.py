"""Files as brokers export them: positions, cash and prices, with every row accounted for.

Call `read_statement(path)`; its `report()` says what was read, what was not and why, and what had to be guessed. Read
are Interactive Brokers (Flex queries), Schwab, Fidelity, Vanguard and any CSV with the columns symbol and quantity.
Portfolios of NSE and of the Eurex estimator are recognised, and their rows refused one by one. Transactions are not
added up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from os import PathLike
from pathlib import Path
from typing import IO

from attrs import evolve

from crossmargin.collector import collector_at_rest
from crossmargin.errors import InputError, Problem
from crossmargin.io.brokers import exchanges, fidelity, ibkr, schwab, tables, vanguard
from crossmargin.io.brokers.cells import day_of
from crossmargin.io.brokers.sheets import items_of
from crossmargin.io.brokers.statement import (
    Aside,
    Cash,
    Guess,
    Holding,
    Item,
    Money,
    Quote,
    Row,
    Statement,
    statement_of,
)
from crossmargin.io.crif_files import contents
from crossmargin.io.own_reports import refuse_own_report
from crossmargin.products import Product

SHEETS = (*schwab.SHEETS, *vanguard.SHEETS, *exchanges.SHEETS, *fidelity.SHEETS, *tables.SHEETS)
MOST_BYTES = 1 << 28  # unpacked; no statement is longer
_ACCOUNT = re.compile(r"\bfor account (.+?) as of\b", re.IGNORECASE)
_AS_OF = re.compile(r"\bas of\b.*?(\d{1,2}/\d{1,2}/\d{4}|\d{4}[-/]\d{2}[-/]\d{2})", re.IGNORECASE)

__all__ = ["Cash", "Guess", "Quote", "Row", "Statement", "read_statement"]


def read_statement(
    source: str | PathLike[str] | IO[str] | IO[bytes],
    *,
    as_of: date | None = None,
    known: Mapping[str, Product] | None = None,
    account: str = "",
) -> Statement:
    r"""Return what a broker's file says is held.

    Parameters
    ----------
    source
        A path or an open file: CSV, XML or JSON in UTF-8, plain, gzip or zip. The format is found from the content.
    as_of
        Date of the positions, where the file gives none or another one is meant.
    known
        Securities by CUSIP and ticker, from `symbols.directory`; they come before any guess.
    account
        Account of the positions, instead of the one that the file names.

    Raises
    ------
    InputError
        The file cannot be read, no header or element in it is known, or `account` would merge several accounts. A row
        that is not understood is no error: it stands in `not_understood`; `raise_if_incomplete` makes it one.

    Examples
    --------
    >>> from io import StringIO
    >>> statement = read_statement(StringIO("symbol,quantity,price\nIBM,500,280\nZNU26,-480,112.5\nGCG5,1,2050\n"))
    >>> [(position.product.symbol, position.quantity) for position in statement.positions]
    [('IBM', 500.0), ('ZN 2026-09', -480.0)]
    >>> len(statement.rows), len(statement.understood), statement.not_understood[0].place
    (4, 3, 'open file row 4')
    """
    if isinstance(source, str | PathLike):
        refuse_own_report(Path(source))
    name, text = _text(source)
    with collector_at_rest():
        kind, own, items = _items(text, name)
        titled = next(
            (title[1] for item in items if isinstance(item, Aside) and (title := _ACCOUNT.search(item.text))), name
        )
        items = _under(account, items, name)
        day, guess = as_of or own, ""
        if as_of and own and as_of != own:
            guess = f"The file is of {own}; its positions are taken as of {as_of}."
        found = statement_of(items, name=name, kind=kind, as_of=day, known=known or {}, account=account or titled)
    return evolve(found, guesses=(Guess(name, guess), *found.guesses)) if guess else found


def _text(source: str | PathLike[str] | IO[str] | IO[bytes]) -> tuple[str, str]:
    try:
        name, data = contents(source, most_bytes=MOST_BYTES)
    except InputError as error:
        fix = "Give the file as the broker exports it, in UTF-8, plain, gzip, or zip with one file in it."
        raise InputError([evolve(problem, fix=fix) for problem in error.problems]) from error
    name = name if isinstance(source, str | PathLike) or hasattr(source, "name") else "open file"
    text = data.decode()
    if not text.strip():
        raise InputError([Problem("is empty.", name, "Export it again.")])
    return name, text


def _items(text: str, name: str) -> tuple[str, date | None, Sequence[Item]]:
    start = text.lstrip()[:1]
    if start == "<":
        if f"<{ibkr.ROOT}" not in text:
            fix = "Known XML: a Flex query of Interactive Brokers."
            raise InputError([Problem(f"has no element {ibkr.ROOT!r}.", name, fix)])
        day, items = ibkr.flex_items(text, name)
        return ibkr.NAME, day, items
    if start == "{":
        return exchanges.ESTIMATOR, None, exchanges.estimator_items(text, name)
    kind, items = items_of(text, name, SHEETS)
    titles = (_AS_OF.search(item.text) for item in items if isinstance(item, Aside))
    return kind, next((day_of(title[1]) for title in titles if title), None), items


def _under(account: str, items: Sequence[Item], name: str) -> Sequence[Item]:
    """Return the items with all that is held in one account, which may merge no two of the file."""
    if not account:
        return items
    held = sorted({item.account for item in items if isinstance(item, Holding | Money) and item.account})
    if len(held) > 1:
        fix = "Leave account out, or split the file."
        raise InputError([Problem(f"has several accounts: {', '.join(held)}.", name, fix)])
    return [evolve(item, account=account) if isinstance(item, Holding | Money) else item for item in items]
