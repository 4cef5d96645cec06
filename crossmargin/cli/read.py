"""The command `read`: what a file holds, row by row, and the book that it makes."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crossmargin.cli.inputs import Output, a_date, command
from crossmargin.errors import InputError, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from crossmargin.io.recognise import FileRead
    from crossmargin.products import Product

_KINDS = ("statement", "frame", "crif", "span", "book", "report")


def add(commands: Any) -> None:
    """Add the command."""
    about = "say what a file holds, row by row: a broker's statement, a frame, a CRIF, a SPAN file, a book, a report"
    read = command(commands, "read", _read, about=about)
    read.add_argument("file", metavar="FILE", help="plain, gzip or zip")
    read.add_argument("--format", choices=_KINDS, default="", help="found from the content when left out")
    read.add_argument("--as-of", type=a_date, metavar="DATE", help="YYYY-MM-DD; the file's own when left out")
    read.add_argument("--account", default="", metavar="ID", help="account of the positions; the file's when left out")
    about = "a book whose securities and products are known: they come before any guess"
    read.add_argument("--known", metavar="BOOK", help=about)
    read.add_argument("--out", metavar="DIR", help="write the positions as a book into this folder")
    read.add_argument("--firm", default="BROKER", metavar="ID", help="who carries the accounts of --out (%(default)s)")
    about = "owner of all accounts of --out; one for each account when left out"
    read.add_argument("--owner", default="", metavar="ID", help=about)
    about = "class of all accounts of --out; by product when left out"
    read.add_argument("--account-class", default="", metavar="CLASS", help=about)
    read.add_argument("--strict", action="store_true", help="refuse a file of which a row was not understood")


def _read(chosen: Namespace) -> Output:
    from crossmargin.io.recognise import read_file

    known, day = _known(chosen.known), chosen.as_of
    found = read_file(chosen.file, kind=chosen.format, as_of=day, known=known, account=chosen.account)
    if chosen.strict:
        found.raise_if_incomplete()
    book, assumed = _write(chosen, found)
    if chosen.json:
        return Output(json.dumps(_plain(found, book, assumed), indent=2))
    lines = [found.report()]
    if book:
        lines += ["Assumed of the book:", *(f"  - {each}" for each in assumed)] if assumed else []
        left = len(found.not_understood)
        lines.append(f"{book}" + (f": without the {left} not understood" if left else ""))
    return Output("\n".join(lines))


def _known(path: str | None) -> Mapping[str, Product] | None:
    """Return the securities and products of a book by name."""
    from crossmargin.io.book import load_book
    from crossmargin.io.symbols import directory

    if not path:
        return None
    book = load_book(path)
    return directory([*book.securities, *book.portfolio.products])


def _write(chosen: Namespace, found: FileRead) -> tuple[Path | None, tuple[str, ...]]:
    from crossmargin.io.book_writer import write_book
    from crossmargin.io.statement_book import portfolio_of

    if not chosen.out:
        return None, ()
    if found.kind in {"span", "report"}:
        what = "holds parameters, not positions." if found.kind == "span" else "holds results, not positions."
        raise InputError([Problem(what, found.name, "Leave out --out.")])
    terms = {"firm": chosen.firm, "owner": chosen.owner, "account_class": chosen.account_class}
    portfolio, assumed = portfolio_of(found, **terms)
    return write_book(portfolio, chosen.out), assumed


def _plain(found: FileRead, book: Path | None, assumed: tuple[str, ...]) -> dict[str, Any]:
    told = {
        "file": found.name,
        "kind": found.kind,
        "format": found.format,
        "as_of": found.as_of.isoformat() if found.as_of else None,
        "understood": dict(found.counts),
        "not_understood": [
            {"place": row.place, "text": row.text, "reason": row.reason} for row in found.not_understood
        ],
        "guessed": [{"place": guess.place, "what": guess.what} for guess in found.guesses],
    }
    return {**told, "book": str(book), "assumed": list(assumed)} if book else told
