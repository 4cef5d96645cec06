"""Any file of positions or parameters: recognised by what is in it, read, every row accounted for.

Call `read_file(path)`: a broker's statement, a frame in Parquet or Arrow, a CRIF, a SPAN file, a book, or a report in
JSON. `FileRead.report()` says what was read, what was not and why, and what was guessed. Market files have readers of
their own, in `market_files`.
"""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from attrs import field, frozen

from crossmargin.columns import as_date
from crossmargin.errors import InputError, Problem, counted, suggestion
from crossmargin.io.book import Book, load_book
from crossmargin.io.brokers import Guess, Row, Statement, read_statement
from crossmargin.io.brokers.statement import listed
from crossmargin.io.crif import Crif, read_crif
from crossmargin.io.extras import extra
from crossmargin.io.frames import positions_from_frame
from crossmargin.io.own_reports import own_form, refuse_own_report
from crossmargin.io.paths import as_path
from crossmargin.io.report_files import read_report
from crossmargin.io.span import SpanFile, read_span
from crossmargin.products import Product
from crossmargin.records import as_tuple
from crossmargin.results import Comparison, Report

Content: TypeAlias = Statement | Crif | SpanFile | Book | Report | Comparison
_HEAD = 1 << 16  # bytes that are looked at
_GZIP, _ZIP, _STREAM = b"\x1f\x8b", b"PK\x03\x04", b"\xff\xff\xff\xff"
_ARROW = (b"PAR1", b"ARROW1", _STREAM)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SECTIONS = "firms|customers|accounts|securities|positions|collateral"
_TOML = re.compile(rf"^(?:\[\[(?:{_SECTIONS})\]\]|(?:positions|collateral)\s*=)", re.MULTILINE)
_KEYS = re.compile(rf'"(?:{_SECTIONS})"\s*:')
_SPAN = re.compile(r"0 [A-Z0-9][A-Z0-9 ]{5}\d{8}")
_OF_BOOKS = {"id", "account", "product", "quantity"}


@frozen
class FileRead:
    """A file that was recognised and read.

    Every row is counted once: among `counts`, by what it became, or in `not_understood`.
    """

    name: str
    kind: str
    format: str
    as_of: date | None
    content: Content = field(repr=False)
    counts: Mapping[str, int]
    not_understood: tuple[Row, ...] = field(default=(), converter=as_tuple)
    guesses: tuple[Guess, ...] = field(default=(), converter=as_tuple)

    @property
    def understood(self) -> int:
        """How many rows or records were understood."""
        return sum(self.counts.values())

    def raise_if_incomplete(self) -> None:
        """Raise `InputError` with every row that was not understood, or return when there is none."""
        if rows := self.not_understood:
            title = f"{len(rows):,} of {counted(self.understood + len(rows), 'row')} of {self.name} not understood"
            raise InputError([Problem(f"{row.reason} [{row.text}]", row.place) for row in rows], title)

    def report(self) -> str:
        """Return in words what was read, what was not and why, and what was guessed."""
        counts = {**self.counts, "not understood": len(self.not_understood)}
        told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        head = f"{self.name} ({self.format}, {self.as_of or 'no date'}): {told}"
        parts = (("Not understood", self.not_understood), ("Guessed", self.guesses))
        return "\n".join([head, *(line for title, items in parts if items for line in (f"{title}:", *listed(items)))])


@frozen
class _Terms:
    as_of: date | None
    known: Mapping[str, Product] | None
    account: str


def read_file(
    path: str | PathLike[str],
    *,
    kind: str = "",
    as_of: date | None = None,
    known: Mapping[str, Product] | None = None,
    account: str = "",
) -> FileRead:
    r"""Return what a file holds.

    Parameters
    ----------
    path
        Plain, gzip, or zip with one file in it; of a book the `.toml` or `.json`, plain.
    kind : {"statement", "frame", "crif", "span", "book", "report"}, optional
        Found from the content when left out.
    as_of, known, account
        Of a statement or a frame, as in `brokers.read_statement`.

    Raises
    ------
    InputError
        The file cannot be read, is of no kind that is known, or is wrong as its kind.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = (file := Path(folder, "mine.csv")).write_text("symbol,quantity\nIBM,500\nGCG5,1\n")
    ...     print(read_file(file).report())
    mine.csv (table of positions, no date): position 1, set aside 1, not understood 1
    Not understood:
      - mine.csv row 3: symbol 'GCG5': GC is no contract of the library. ...
    Guessed:
      - mine.csv row 2: IBM is taken as common stock.
    """
    file = as_path(path)
    if kind and kind not in _READERS:
        raise InputError([Problem(f"unknown kind {kind!r}.", "kind", suggestion(kind, _READERS))])
    found = kind or kind_of(file)
    day = as_of if as_of is None else as_date(as_of, "as_of")
    return _READERS[found](file, _Terms(day, known, account))


def kind_of(file: Path) -> str:
    """Return what kind of file it is, by its beginning; what is nothing else is taken as a statement."""
    if own_form(file) not in ("", "json"):
        refuse_own_report(file)
    head = _head(file)
    if head.startswith(_ARROW):
        return "frame"
    text = head.decode("utf-16" if head[:2] in _UTF16 else "utf-8-sig", errors="replace").lstrip()
    first = text.partition("\n")[0]
    names = {re.sub(r"[\s_#]+", "", name).lower().strip('"') for name in re.split(r"[,;\t]", first)}
    if names >= _OF_BOOKS and "symbol" not in names:
        fix = f'Name it in a book, positions = "{file.name}", and read that.'
        raise InputError([Problem("is the table of positions of a book.", str(file), fix)])
    if text.startswith("{"):
        return "report" if '"crossmargin/' in text else "book" if _KEYS.search(text) else "statement"
    tests = (
        ("span", text.startswith("<") and "<spanFile" in text),
        ("span", bool(_SPAN.match(text))),
        ("crif", "risktype" in names),
        ("book", file.suffix.lower() == ".toml" or bool(_TOML.search(text))),
    )
    return next((kind for kind, holds in tests if holds), "statement")


def _head(file: Path) -> bytes:
    """Return the first bytes of a file, or of what is packed in it."""
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
            opened.seek(0)
            if head.startswith(_GZIP):
                return gzip.GzipFile(fileobj=opened).read(_HEAD)
            return _head_of_member(zipfile.ZipFile(opened), file) if head.startswith(_ZIP) else head
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        what = f"cannot be read: {getattr(error, 'strerror', None) or error}."
        raise InputError([Problem(what, str(file), "Give the path of a file, plain, gzip or zip.")]) from error


def _head_of_member(archive: zipfile.ZipFile, file: Path) -> bytes:
    members = [each for each in archive.infolist() if not each.is_dir()]
    if any(each.filename == "xl/workbook.xml" for each in members):
        raise InputError([Problem("is an Excel workbook.", str(file), "Save the sheet of positions as CSV.")])
    if len(members) != 1:
        raise InputError([Problem(f"{len(members)} files in the archive.", str(file), "Unpack the one meant.")])
    with archive.open(members[0]) as member:
        return member.read(_HEAD)


# ------------------------------------------------------------------------------------------------ kind by kind


def _statement(file: Path, terms: _Terms) -> FileRead:
    found = read_statement(file, as_of=terms.as_of, known=terms.known, account=terms.account)
    return _of_statement(found, "statement", file.name)


def _frame(file: Path, terms: _Terms) -> FileRead:
    known = {} if terms.known is None else terms.known
    account = terms.account or "frame"
    held = positions_from_frame(_arrow(file), as_of=terms.as_of, known=known, account=account)
    return _of_statement(held, "frame", file.name)


def _arrow(file: Path) -> Any:
    head = _head(file)
    try:
        if head.startswith(b"PAR1"):
            return extra("pyarrow.parquet", "frames").read_table(file)
        if head.startswith(_STREAM):
            return extra("pyarrow", "frames").ipc.open_stream(file.read_bytes()).read_all()
        return extra("pyarrow.feather", "frames").read_table(file)
    except (OSError, ValueError) as error:
        what = f"is no readable Parquet or Arrow file: {error}."
        raise InputError([Problem(what, str(file), "Write it again.")]) from error


def _of_statement(found: Statement, kind: str, name: str) -> FileRead:
    uses = Counter(row.use for row in found.rows if row.use)
    counts = {use: uses[use] for use in ("position", "cash", "set aside") if uses[use]}
    return FileRead(name, kind, found.format, found.as_of, found, counts, found.not_understood, found.guesses)


def _crif(file: Path, terms: _Terms) -> FileRead:
    found = read_crif(file)
    mask, _ = found.checked()
    scheduled, sensitivities = found.schedule_rows(), int(mask.sum())
    add_ons = len(found) - sensitivities - scheduled
    counts = {"sensitivities": sensitivities, "multipliers and add-ons": add_ons, "rows for the schedule": scheduled}
    guesses = [Guess(f"{file.name} header", f"{name!r} is no column of the format: ignored.") for name in found.ignored]
    portfolios = ", ".join(filter(None, found.portfolios)) or "one, without a name"
    guesses.append(Guess(file.name, f"Portfolios, which do not net with one another: {portfolios}."))
    counts = {name: count for name, count in counts.items() if count}
    return FileRead(file.name, "crif", "CRIF", terms.as_of, found, counts, (), guesses)


def _span(file: Path, terms: _Terms) -> FileRead:
    del terms  # a SPAN file has its own date
    found = read_span(file)
    unknown = "Records of a type that is unknown here."
    passed = [Row(f"{file.name} records {code}", f"{n:,} of them", "", unknown) for code, n in found.skipped.items()]
    unused = [Row(file.name, note, "", "Could not be used.") for note in found.notes]
    held = f"{counted(len(found.contracts.month), 'contract')} of {len(found.commodities):,} combined commodities"
    form = f"SPAN parameters of {found.clearing_organization}, format {found.file_format}, {held}"
    counts = {"records": sum(found.counts.values())}
    return FileRead(file.name, "span", form, found.business_date, found, counts, [*passed, *unused])


def _book(file: Path, terms: _Terms) -> FileRead:
    found = load_book(file)
    held = found.portfolio
    lists = (held.positions, held.posted, held.accounts, held.customers, held.firms, found.securities)
    names = ("positions", "deposits", "accounts", "customers", "firms", "securities")
    counts = {name: len(items) for name, items in zip(names, lists, strict=True) if items}
    return FileRead(file.name, "book", "book", terms.as_of, found, counts)


def _report(file: Path, terms: _Terms) -> FileRead:
    del terms  # a report has its own date
    found = read_report(file)
    reports = found.reports if isinstance(found, Comparison) else (found,)
    counts = {each.regime: len(each.entries) for each in reports}
    form = f"{type(found).__name__}, {', '.join(f'{each.regime} {each.status}' for each in reports)}"
    return FileRead(file.name, "report", form, reports[0].as_of if reports else None, found, counts)


_READERS: Mapping[str, Callable[[Path, _Terms], FileRead]] = MappingProxyType(
    {"statement": _statement, "frame": _frame, "crif": _crif, "span": _span, "book": _book, "report": _report}
)
KINDS = tuple(_READERS)
