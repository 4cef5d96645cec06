"""Positions and market data from data frames, results into them: pandas, polars, pyarrow, or any Arrow stream.

Call `positions_from_frame(frame)`; the answer is the same `Statement` as from a file. `csv_of(frame)` hands a frame to
any reader of market files, `frame_of(records)` makes a frame of what a report gives as records. It needs narwhals
(extra `frames`), and only the library that the frame is of.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time
from io import StringIO
from typing import Any

from crossmargin.collector import collector_at_rest
from crossmargin.errors import InputError, Problem, check_kinds, listed, several, suggestion
from crossmargin.io.brokers.statement import Item, Statement, statement_of
from crossmargin.io.brokers.tables import COLUMNS, NEEDED, holding
from crossmargin.io.extras import extra
from crossmargin.products import Product

BACKENDS = ("pandas", "polars", "pyarrow")
_CAPSULE = "__arrow_c_stream__"
_NULLS = frozenset({"<NA>", "NaT"})  # of pandas


def positions_from_frame(
    frame: Any,
    *,
    columns: Mapping[str, str] | None = None,
    as_of: date | None = None,
    known: Mapping[str, Product] | None = None,
    account: str = "frame",
) -> Statement:
    """Return the positions in a data frame, every row accounted for.

    Parameters
    ----------
    frame
        Of pandas, polars, pyarrow, or any object with an Arrow stream. The columns symbol and quantity are needed;
        account, description, price, value, currency, side, multiplier and kind are read where they are there.
    columns
        Names of columns that are called otherwise: `{"quantity": "net_contracts"}`.
    as_of, known
        As in `read_statement`.
    account
        Account of rows that name none.

    Raises
    ------
    InputError
        A column is missing or doubtful, `frame` is none, or narwhals is not installed. Rows that are not understood
        stand in the answer.

    Examples
    --------
    >>> import pyarrow
    >>> held = positions_from_frame(pyarrow.table({"symbol": ["IBM"], "quantity": [500]}))
    >>> held.positions[0].product.symbol, held.positions[0].quantity
    ('IBM', 500.0)
    """
    table = _table(frame)
    places = _columns(list(table.columns), columns or {})
    with collector_at_rest():
        items = _items(table.select(list(places.values())).rows(), list(places))
        return statement_of(items, name="frame", kind="data frame", as_of=as_of, known=known or {}, account=account)


def frame_of(records: Iterable[Mapping[str, Any]], *, backend: str = "pandas") -> Any:
    """Return a frame with one row for each record; a field that a record lacks is null.

    Parameters
    ----------
    records
        For instance `report.to_records()`.
    backend : {"pandas", "polars", "pyarrow"}

    Raises
    ------
    InputError
        `records` are none, the backend is unknown; or it or narwhals is not installed.
    """
    check_kinds(backend=(backend, str, f"Give one of {listed(BACKENDS)}."))
    if backend not in BACKENDS:
        raise InputError([Problem(f"{backend!r} is unknown.", "backend", suggestion(backend, BACKENDS))])
    rows = several("records", records, Mapping, "Give what report.to_records() returns.")
    names = dict.fromkeys(name for row in rows for name in row)
    filled = {name: _alike([row.get(name) for row in rows]) for name in names}
    narwhals = extra("narwhals", "frames")
    extra(backend, "frames")
    return narwhals.from_dict(filled, backend=backend).to_native()


def csv_of(frame: Any) -> StringIO:
    """Return a frame as an open CSV, for the readers of market files: `read_tidy_par_yields(csv_of(frame))`.

    Days are written YYYY-MM-DD, numbers with all their digits, null and NaN as a blank. An index of pandas is no
    column: call `reset_index()` first.

    Raises
    ------
    InputError
        `frame` is none, or narwhals is not installed.
    """
    table, file = _table(frame), StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(table.columns)
    writer.writerows([_text(value) for value in row] for row in table.iter_rows())
    file.seek(0)
    return file


def _alike(column: list[Any]) -> list[Any]:
    """Return a column of one type: whole numbers among others become floats, anything else mixed becomes text."""
    kinds = {type(value) for value in column if value is not None}
    if len(kinds) < 2:
        return column
    common: type = float if kinds <= {int, float} else str
    return [None if value is None else common(value) for value in column]


def _table(frame: Any) -> Any:
    narwhals = extra("narwhals", "frames")
    try:
        return narwhals.from_native(frame, eager_only=True)
    except TypeError as error:
        if hasattr(frame, _CAPSULE):
            extra("pyarrow", "frames")
            return narwhals.DataFrame.from_arrow(frame, backend="pyarrow")
        fix = "Give an eager frame of pandas, polars or pyarrow, or an object with an Arrow stream."
        raise InputError([Problem(f"{type(frame).__name__} is no data frame.", "frame", fix)]) from error


def _columns(there: list[str], renamed: Mapping[str, str]) -> dict[str, str]:
    """Return the column of the frame for each field that it has."""
    problems = [
        Problem(f"{name!r} is unknown.", "columns", suggestion(name, COLUMNS))
        for name in renamed.keys() - COLUMNS.keys()
    ]
    problems += [
        Problem(f"the frame has no column {name!r}.", f"columns[{field!r}]", suggestion(name, there))
        for field, name in renamed.items()
        if name not in there
    ]
    plain: dict[str, list[str]] = {}
    for name in there:
        plain.setdefault(name.strip().casefold().replace("_", " "), []).append(name)
    found = {}
    for field, names in COLUMNS.items():
        same = [renamed[field]] if field in renamed else next((plain[name] for name in names if name in plain), [])
        if len(same) > 1:
            problems.append(
                Problem(f"{same} are one column by name.", f"frame, {field}", "Drop or rename one of them.")
            )
        elif same:
            found[field] = same[0]
        elif field in NEEDED:
            fix = f"{suggestion(field, there) if there else ''} Name it in columns: {{{field!r}: ...}}.".strip()
            problems.append(Problem(f"no column is called {field}.", "frame", fix))
    if problems:
        raise InputError(problems)
    return found


def _items(rows: Iterable[tuple[Any, ...]], fields: list[str]) -> Iterator[Item]:
    for number, row in enumerate(rows):
        texts = [_text(value) for value in row]
        shown = ", ".join(text for text in texts if text)
        yield holding(f"frame row {number}", shown, dict(zip(fields, texts, strict=True)))


def _text(value: Any) -> str:
    """Return a value as a cell reads: a number with all its digits, a midnight as its day, nothing for null and NaN."""
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN alone differs from itself
        return ""
    if isinstance(value, datetime) and value == value and value.time() == time():  # noqa: PLR0124 - NaT differs too
        return value.date().isoformat()
    text = repr(float(value)) if isinstance(value, float) else str(value).strip()
    return "" if text in _NULLS else text
