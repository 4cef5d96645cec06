"""Prices from files: underlyings, observed prices, and histories of prices and volatilities.

`read_price_files(folder)` reads those of a market directory by their names; each has a reader of its own too, and
`read_index_history` takes tables with a column for each index. Every problem of every file comes with file, row and
field. Yields are read in `market_files`; nothing is fetched from anywhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, TypeAlias

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, Problems, counted, suggestion
from crossmargin.io import entries as read
from crossmargin.io.entries import Entry, Field, filled, read_fields, refuse_unknown
from crossmargin.io.paths import as_path, check_source
from crossmargin.io.tables import Source, Table, dated_rows, numbers, read_table
from crossmargin.market import raise_capped
from crossmargin.price_history import LARGEST_VOLATILITY, PriceHistory
from crossmargin.products.equities import BREADTHS, ETF, Index, Security, Stock
from crossmargin.underlyings import Underlying

UNDERLYINGS, PRICES = "underlyings.toml", "prices.csv"
PRICE_HISTORY, VOLATILITY_HISTORY = "price_history.csv", "volatility_history.csv"
PRICE_FILES = (UNDERLYINGS, PRICES, PRICE_HISTORY, VOLATILITY_HISTORY)

# Conventions of data quality, not regulation.
LARGEST_YIELD = 0.5  # of dividends; more is a percentage that was not divided
SMALLEST_PERCENT = 2.0  # a history of volatilities that never reaches it is probably in decimals

_SECURITIES: Mapping[str, type[Stock | ETF | Index]] = MappingProxyType({"stock": Stock, "etf": ETF, "index": Index})
_TERMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"stock": (), "etf": ("breadth", "tracks", "leverage"), "index": ("breadth",)}
)
_WITH_ARTICLE: Mapping[str, str] = MappingProxyType({"stock": "a stock", "etf": "an etf", "index": "an index"})


@frozen
class PriceFiles:
    """What the price files of a folder hold; empty where there is none."""

    underlyings: Mapping[str, Underlying] = field(factory=dict)
    prices: Mapping[str, float] = field(factory=dict)
    history: PriceHistory | None = None


def read_price_files(folder: str | PathLike[str]) -> PriceFiles:
    """Return what `underlyings.toml`, `prices.csv`, `price_history.csv` and `volatility_history.csv` hold.

    Files that are not there are left out; a CSV may be packed, its name ending in `.csv.gz`.

    Raises
    ------
    InputError
        Listing every problem of every file.
    """
    problems, paths = Problems(), dict[str, Path]()
    for name in PRICE_FILES:
        with problems.collecting():
            paths.update(_paths(as_path(folder, "folder"), name))
    underlyings: Mapping[str, Underlying] = {}
    prices: Mapping[str, float] = {}
    history = None
    with problems.collecting():
        underlyings = read_underlyings(paths[UNDERLYINGS]) if UNDERLYINGS in paths else {}
    with problems.collecting():
        prices = read_prices(paths[PRICES]) if PRICES in paths else {}
    with problems.collecting():
        if VOLATILITY_HISTORY in paths and PRICE_HISTORY not in paths:
            fix = f"Give {PRICE_HISTORY} too, or remove it."
            raise InputError([Problem("stands without prices.", VOLATILITY_HISTORY, fix)])
        if PRICE_HISTORY in paths:
            history = read_price_history(paths[PRICE_HISTORY], paths.get(VOLATILITY_HISTORY))
    raise_capped(problems.found, f"the price files of {folder}")
    return PriceFiles(underlyings, prices, history)


def _paths(folder: Path, name: str) -> dict[str, Path]:
    """Return the file of that name, plain or packed, when there is one."""
    there = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if len(there) > 1:
        raise InputError([Problem("stands there plain and packed.", str(there[0]), "Keep one of the two.")])
    return {name: there[0]} if there else {}


# -------------------------------------------------------------------------------------------------- underlyings


def _dividends(entry: Entry, name: str) -> tuple[tuple[date, float], ...]:
    """Read cash dividends: a list of tables with `date` and `amount`."""
    listed = entry.values[name]
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        fix = "Write [{date = 2026-09-18, amount = 1.75}]."
        entry.note(name, f"{listed!r} is no list of dividends.", fix)
        return ()
    rows = [evolve(entry, where=f"{entry.where}, {name} {n}", values=filled(each)) for n, each in enumerate(listed, 1)]
    for row in rows:
        refuse_unknown(row, ("date", "amount"))
    paid = [read_fields(row, _DIVIDEND) for row in rows]
    return tuple((each["date"], each["amount"]) for each in paid if each)


def _decimal(largest: float, example: str, *, least: float = -np.inf) -> read.Reader:
    """Return a reader of a decimal figure that is refused when it looks like a percentage, or is less than `least`."""

    def number(entry: Entry, name: str) -> float | None:
        value = read.number(entry, name)
        if value is None or least <= value <= largest:
            return value
        what = f"{value:g} looks like a percentage." if value > largest else f"{value:g} is less than {least:g}."
        entry.note(name, what, f"{name} is a decimal: write {example}.")
        return None

    return number


def _spot(entry: Entry, name: str) -> float | None:
    value = read.number(entry, name)
    if value is None or value > 0.0:
        return value
    entry.note(name, f"{value:g} is not above 0.", "Give a price in USD.")
    return None


def _cash(entry: Entry, name: str) -> float | None:
    value = read.number(entry, name)
    if value is None or value >= 0.0:
        return value
    entry.note(name, f"{value:g} is less than 0.", "Give USD per unit.")
    return None


_DIVIDEND = (Field("date", read.day, required=True), Field("amount", _cash, required=True))
_UNDERLYING = (
    Field("symbol", read.text, required=True),
    Field("spot", _spot),
    Field("volatility", _decimal(LARGEST_VOLATILITY, "0.2 for 20 %", least=0.0)),
    Field("dividend_yield", _decimal(LARGEST_YIELD, "0.013 for 1.3 %", least=-LARGEST_YIELD)),
    Field("dividends", _dividends),
)
_SECURITY = (
    Field("kind", read.one_of(_SECURITIES)),
    Field("breadth", read.one_of(BREADTHS)),
    Field("tracks", read.text),
    Field("leverage", read.number),
)
_NAMES = tuple(each.name for each in (*_UNDERLYING, *_SECURITY))


def read_underlyings(source: str | PathLike[str] | IO[str] | IO[bytes]) -> dict[str, Underlying]:
    r"""Return the underlyings of a TOML file by symbol, one table `[[underlyings]]` for each.

    Fields: `symbol`; and, as far as they apply, `spot` (USD), `volatility` and `dividend_yield` (yearly decimals),
    `dividends` (a list of `{date = ..., amount = ...}`), `kind` (`stock`, `etf`, `index`), `breadth` (of a fund or an
    index, `narrow`, `sector`, `broad`, `broad_high_cap`), `tracks` and `leverage` (of a fund).

    Raises
    ------
    InputError
        Listing every field that is wrong with the table and the symbol, and symbols that stand twice.

    Examples
    --------
    >>> from io import StringIO
    >>> text = '[[underlyings]]\nsymbol = "SPX"\nspot = 5500\nkind = "index"\nbreadth = "broad_high_cap"\n'
    >>> read_underlyings(StringIO(text))["SPX"].security
    Index(ticker='SPX', breadth='broad_high_cap')
    """
    name, document = _document(source)
    problems = Problems()
    for key in document:
        if key != "underlyings":
            problems.add(f"unknown section {key!r}.", where=name, fix=suggestion(key, ["underlyings"]))
    tables = document.get("underlyings", [])
    if not isinstance(tables, list) or not tables or not all(isinstance(each, dict) for each in tables):
        problems.add("holds no list of underlyings.", where=name, fix="Write [[underlyings]] for each one.")
        tables = []
    rows = [Entry(f"{name} underlyings {n}", filled(each), problems) for n, each in enumerate(tables, 1)]
    found: dict[str, Underlying] = {}
    for row in rows:
        made = _underlying(row)
        if made is not None and made.symbol in found:
            row.note("symbol", f"{made.symbol!r} stands twice.", "Keep one of the tables.")
        elif made is not None:
            found[made.symbol] = made
    raise_capped(problems.found, name)
    return found


def _underlying(entry: Entry) -> Underlying | None:
    """Return the underlying that an entry describes; None after noting what is wrong with it."""
    before = len(entry.problems)
    refuse_unknown(entry, _NAMES)
    arguments, terms = read_fields(entry, _UNDERLYING), read_fields(entry, _SECURITY)
    if arguments is None or terms is None or len(entry.problems) > before:
        return None
    security = _security(entry, arguments["symbol"], terms)
    return None if len(entry.problems) > before else Underlying(**arguments, security=security)


def _security(entry: Entry, ticker: str, terms: dict[str, Any]) -> Security | None:
    """Return what a ticker is, None where nothing is said; note terms that its kind lacks or does not have."""
    kind = terms.pop("kind", None)
    if kind is None:
        for name in terms:
            entry.note(name, "stands without a kind.", 'Write kind = "etf" or kind = "index".')
        return None
    for name in terms:
        if name not in _TERMS[kind]:
            entry.note(name, f"does not belong to {_WITH_ARTICLE[kind]}.", "Leave it out.")
    if "breadth" in _TERMS[kind] and "breadth" not in terms:
        entry.note("breadth", f"is missing for {_WITH_ARTICLE[kind]}.", f"Known: {', '.join(BREADTHS)}.")
    if not set(terms) <= set(_TERMS[kind]) or ("breadth" in _TERMS[kind] and "breadth" not in terms):
        return None
    try:
        return _SECURITIES[kind](ticker, **terms)
    except InputError as error:
        entry.note_all(error.problems, lambda where: where.rpartition(" ")[2])
    return None


def _document(source: str | PathLike[str] | IO[str] | IO[bytes]) -> tuple[str, dict[str, Any]]:
    """Return the name and the content of a TOML file."""
    check_source(source)
    if isinstance(source, str | PathLike):
        name = Path(source).name
        try:
            data: str | bytes = Path(source).read_bytes()
        except OSError as error:
            what = f"cannot be read: {error.strerror or error}."
            raise InputError([Problem(what, str(source), "Give the path of a TOML file.")]) from error
    else:
        name, data = Path(str(getattr(source, "name", "open file"))).name, source.read()
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        return name, tomllib.loads(text)
    except ValueError as error:  # of the encoding, and of TOML
        raise InputError([Problem(f"is no readable TOML: {error}.", name, "Mend the syntax there.")]) from error


# ------------------------------------------------------------------------------------------------------- prices


def read_prices(source: Source) -> dict[str, float]:
    r"""Return observed prices by the symbol of a product, from a table `symbol, price`.

    A price is quoted as the product is: USD per share or index point, points of a future, per 100 of face.

    Raises
    ------
    InputError
        Listing rows without symbol or number and symbols that stand twice, with row and field.

    Examples
    --------
    >>> from io import StringIO
    >>> read_prices(StringIO("symbol,price\nXYZ,101.5\nXYZ put 95 2026-09-18,2.35\n"))
    {'XYZ': 101.5, 'XYZ put 95 2026-09-18': 2.35}
    """
    table, problems = read_table(source), Problems()
    _check_header(table, ("symbol", "price"))
    rows = [row for row in table.rows if _is_whole(table, row, problems)]
    noted: list[Problem] = []
    values = numbers(table, rows, [table.header.index("price")], noted)[:, 0]
    problems.extend(noted)
    bad = {problem.where for problem in noted}
    prices: dict[str, float] = {}
    for (line, cells), value in zip(rows, values.tolist(), strict=True):
        symbol, where = cells[table.header.index("symbol")], f"{table.name} row {line}, field "
        if not symbol:
            problems.add("is missing.", where=f"{where}'symbol'", fix="Give the symbol of the product.")
        elif symbol in prices:
            problems.add(f"{symbol!r} stands twice.", where=f"{where}'symbol'", fix="Keep one of the rows.")
        elif np.isnan(value) and f"{where}'price'" not in bad:
            problems.add("is missing.", where=f"{where}'price'", fix="Give a number, or leave the row out.")
        prices.setdefault(symbol, value)
    raise_capped(problems.found, table.name)
    return prices


# ---------------------------------------------------------------------------------------------------- histories


def read_price_history(prices: Source, volatilities: Source | None = None) -> PriceHistory:
    r"""Return daily closes from a table `date, ticker, close`, and volatilities from `date, ticker, volatility`.

    Closes are USD, adjusted for splits and distributions; volatilities yearly percent (for SPX, the VIX). Rows stand
    in any order; a blank is a day without a quote.

    Raises
    ------
    InputError
        Listing bad dates, numbers and tickers with row and field, closes and volatilities that are not above 0, a day
        that stands twice for one ticker, and volatilities that look like decimals.

    Examples
    --------
    >>> from io import StringIO
    >>> closes = StringIO("date,ticker,close\n2020-03-13,SPX,2711.02\n2020-03-16,SPX,2386.13\n")
    >>> history = read_price_history(closes, StringIO("date,ticker,volatility\n2020-03-16,SPX,82.69\n"))
    >>> history.volatilities["SPX"].tolist()
    [nan, 0.8269]
    """
    of_volatilities = None if volatilities is None else partial(_long_table, volatilities, "volatility")
    return _history(partial(_long_table, prices, "close"), of_volatilities)


def read_index_history(
    prices: Source,
    volatilities: Source | None = None,
    *,
    columns: Mapping[str, str] = MappingProxyType({"SPX": "SPX_close"}),
    volatility_columns: Mapping[str, str] = MappingProxyType({"SPX": "VIX_close"}),
) -> PriceHistory:
    r"""Return a history from tables with one row a day and one column for each index.

    Parameters
    ----------
    prices, volatilities
        Path or open file; volatilities in percent.
    columns, volatility_columns
        Ticker -> name of its column.

    Raises
    ------
    InputError
        Listing columns that are not there, bad dates and numbers, with row and field.

    Examples
    --------
    >>> from io import StringIO
    >>> closes = StringIO("date,SPX_close\n2020-03-13,2711.02\n2020-03-16,2386.13\n")
    >>> read_index_history(closes, StringIO("date,VIX_close\n2020-03-16,82.69\n")).prices["SPX"].tolist()
    [2711.02, 2386.13]
    """
    of_volatilities = None if volatilities is None else partial(_wide_table, volatilities, volatility_columns)
    return _history(partial(_wide_table, prices, columns), of_volatilities)


_Series: TypeAlias = dict[str, dict[date, float]]
_Read: TypeAlias = Callable[[], tuple[str, _Series]]


def _history(of_prices: _Read, of_volatilities: _Read | None) -> PriceHistory:
    """Return the history in one or two tables; every problem of both at once."""
    problems, found = Problems(), list[tuple[str, _Series]]()
    with problems.collecting():
        found.append(of_prices())
    with problems.collecting():
        if of_volatilities is not None:
            found.append(of_volatilities())
            _check_percent(*found[-1])
    raise_capped(problems.found, "the price history")
    closes, *rest = (series for _, series in found)
    return _joined(closes, rest[0] if rest else {}, " + ".join(name for name, _ in found))


def _long_table(source: Source, column: str) -> tuple[str, _Series]:
    """Return the name of a table `date, ticker, column`, and ticker -> date -> figure."""
    table, problems = read_table(source), Problems()
    _check_header(table, ("date", "ticker", column))
    place = table.header.index("ticker")
    grouped: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    for line, cells in table.rows:
        if not _is_whole(table, (line, cells), problems):
            continue
        if not cells[place]:
            problems.add("is missing.", where=f"{table.name} row {line}, field 'ticker'", fix="Name the ticker.")
        grouped.setdefault(cells[place], []).append((line, cells))
    columns = [(ticker, table.header.index(column), tuple(rows)) for ticker, rows in grouped.items()]
    found = _figures(table, columns, problems)
    raise_capped(problems.found, table.name)
    return table.name, found


def _wide_table(source: Source, columns: Mapping[str, str]) -> tuple[str, _Series]:
    """Return the name of a table with a column for each ticker, and ticker -> date -> figure."""
    table, problems = read_table(source), Problems()
    for name in columns.values():
        if name not in table.header:
            problems.add(f"no column {name!r}.", where=f"{table.name} header", fix=suggestion(name, table.header))
    held = [(ticker, table.header.index(name), table.rows) for ticker, name in columns.items() if name in table.header]
    found = _figures(table, held, problems)
    raise_capped(problems.found, table.name)
    return table.name, found


def _figures(
    table: Table, columns: Sequence[tuple[str, int, Sequence[tuple[int, tuple[str, ...]]]]], problems: Problems
) -> _Series:
    """Return ticker -> date -> figure of some columns, each with its own rows; what is not quoted is left out."""
    found: _Series = {}
    noted: list[Problem] = []
    for ticker, column, held in columns:
        dates, rows = dated_rows(evolve(table, rows=tuple(held)), ("date",), noted)
        values = numbers(table, rows, [column], noted)[:, 0]
        for (line, _), value in zip(rows, values.tolist(), strict=True):
            if value <= 0.0:
                where = f"{table.name} row {line}, field {table.header[column]!r}"
                noted.append(Problem(f"{value:g} is not above 0.", where, "Give a figure above 0, or leave it blank."))
        found[ticker] = {day: value for day, value in zip(dates, values.tolist(), strict=True) if not np.isnan(value)}
    problems.extend(dict.fromkeys(noted))  # of a wide table every column meets the same bad dates
    return found


def _check_percent(name: str, levels: _Series) -> None:
    """Refuse volatilities that are plainly decimals, or beyond any market."""
    figures = [(value, ticker, day) for ticker, series in levels.items() for day, value in series.items()]
    if not figures:
        return
    most, ticker, day = max(figures)
    if most < SMALLEST_PERCENT:
        fix = "Give percent: 16.4 for 16.4 %."
        raise InputError([Problem(f"no volatility reaches {SMALLEST_PERCENT:g}; are they decimals?", name, fix)])
    if most > 100.0 * LARGEST_VOLATILITY:
        what = f"{most:g} % is beyond any volatility."
        raise InputError([Problem(what, f"{name}, {ticker} on {day}", "Correct it.")])


def _joined(closes: _Series, levels: _Series, source: str) -> PriceHistory:
    """Return the history on every day that has a figure."""
    dates = sorted({day for series in (*closes.values(), *levels.values()) for day in series})
    if not dates:
        raise InputError([Problem("holds no quote.", source, "Give a file with at least one.")])
    prices = {ticker: _column(series, dates) for ticker, series in closes.items()}
    # Twelve decimals: 82.69 / 100 becomes the double nearest to 0.8269.
    volatilities = {ticker: np.round(_column(series, dates) / 100.0, 12) for ticker, series in levels.items()}
    return PriceHistory(dates, prices, volatilities=volatilities, source=source)


def _column(series: Mapping[date, float], dates: Iterable[date]) -> FloatArray:
    return np.array([series.get(day, np.nan) for day in dates])


def _check_header(table: Table, wanted: Sequence[str]) -> None:
    """Raise for columns that are missing, unknown or doubled."""
    problems, where = Problems(), f"{table.name} header"
    for name in wanted:
        if table.header.count(name) != 1:
            what = f"column {name!r} stands {table.header.count(name)} times."
            problems.add(what, where=where, fix=f"The columns are {', '.join(wanted)}.")
    for name in table.header:
        if name not in wanted:
            problems.add(f"unknown column {name!r}.", where=where, fix=suggestion(name, wanted))
    problems.raise_if_any()


def _is_whole(table: Table, row: tuple[int, tuple[str, ...]], problems: Problems) -> bool:
    """Whether a row has a field for each column; note one that has not."""
    line, cells = row
    if len(cells) == len(table.header):
        return True
    fix = f"Give {len(table.header)}, as in the header."
    problems.add(f"{counted(len(cells), 'field')}.", where=f"{table.name} row {line}", fix=fix)
    return False
