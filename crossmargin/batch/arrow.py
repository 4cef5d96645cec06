"""Columns of positions from Arrow tables and whatever else hands over an Arrow stream: polars, pandas, DuckDB.

Call `Positions.from_arrow(table, plan)`, which uses this. Numbers and the codes of dictionaries are taken as they lie
in memory, without a copy, where the column is of one piece and without nulls. It needs pyarrow (extra `frames`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from crossmargin.batch.planning import Plan
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.io.extras import extra

NEEDED, OPTIONAL = ("account", "product", "quantity"), ("template",)
_NAMED = 5  # examples in a message
_STREAMS = ("__arrow_c_stream__", "__arrow_c_array__")


def columns_from_arrow(table: Any, plan: Plan, columns: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return the columns of `Positions` by name; `columns` says what they are called in the table, where otherwise.

    Raises
    ------
    InputError
        A column is missing, and every row that is not understood: how many of each kind, and the first of them.
    """
    held, problems = _table(table, columns), Problems()
    account = _coded(held["account"])
    _tell(problems, "account", np.flatnonzero(account.codes < 0), "no account", fix="Name the account of each row.")
    product = _referred(held["product"], _by_name(plan), "product", problems)
    quantity = _quantity(held["quantity"], problems)
    found = {"account": account.codes, "product": product, "quantity": quantity, "labels": account.labels}
    if "template" in held:
        names = {each.account.id: n for n, each in enumerate(plan.kinds)}
        template = _referred(held["template"], names, "template", problems)
        if not problems:
            found["template"] = _by_account(template, account, problems)
    problems.raise_if_any("This table does not fit the plan")
    return found


@frozen(eq=False)
class _Coded:
    """A column as numbers into its distinct values; below 0 where there is none."""

    codes: NDArray[Any]
    labels: NDArray[Any]


def _table(table: Any, columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns wanted, each an Arrow array of one piece, by our names."""
    if not any(hasattr(table, name) for name in _STREAMS):
        what = f"{type(table).__name__} has no Arrow stream."
        raise InputError([Problem(what, "table", "Give a table of pyarrow, polars, pandas 2.2 or DuckDB.")])
    arrow = extra("pyarrow", "frames")
    whole, problems = arrow.table(table), Problems()
    named = {name: columns.get(name, name) for name in (*NEEDED, *OPTIONAL)}
    for name in set(columns) - set(named):
        problems.add(f"unknown column {name!r}.", where="columns", fix=suggestion(name, named))
    for name in NEEDED if not problems else ():
        if named[name] not in whole.column_names:
            fix = suggestion(named[name], whole.column_names)
            problems.add(f"there is no column {named[name]!r}.", where="table", fix=fix)
    problems.raise_if_any("This table holds no positions")
    here = {name: whole[each] for name, each in named.items() if each in whole.column_names}
    return {name: _one_piece(column, arrow) for name, column in here.items()}


def _one_piece(column: Any, arrow: Any) -> Any:
    if arrow.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _coded(column: Any) -> _Coded:
    """Return a column as numbers into the values that occur: those of a dictionary as they stand, others sorted."""
    given = hasattr(column, "dictionary")
    column = column if given else column.dictionary_encode()
    codes, values = _numbers(column.indices, missing=-1), np.array(column.dictionary.to_pylist())
    unset = codes < 0
    seen = np.bincount(codes[~unset], minlength=len(values)) > 0 if codes.size else np.zeros(len(values), dtype=bool)
    if given and seen.all() and len(set(values.tolist())) == len(values):
        return _Coded(codes, values)
    labels, place = np.unique(values[seen].astype(str) if values.dtype == object else values[seen], return_inverse=True)
    renumbered = np.full(len(values) + 1, -1, dtype=np.int32)  # the last is that of rows without a value
    renumbered[:-1][seen] = place
    return _Coded(renumbered[codes], labels)


def _numbers(array: Any, *, missing: float) -> NDArray[Any]:
    """Return an Arrow array of numbers, in place where it holds no null."""
    if array.null_count:
        array = array.fill_null(missing)
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _by_name(plan: Plan) -> dict[str, int]:
    """Return the number of each product by symbol and CUSIP; -2 for a name that two bear."""
    found: dict[str, int] = {}
    for n, each in enumerate(plan.products):
        for name in {each.symbol, getattr(each, "cusip", "")} - {""}:
            found[name] = -2 if name in found else n
    return found


def _referred(column: Any, names: Mapping[str, int], what: str, problems: Problems) -> NDArray[Any]:
    """Return what each row refers to by number: the numbers themselves, or those of names."""
    if not hasattr(column, "dictionary") and str(column.type).startswith(("int", "uint")):
        numbers = _numbers(column, missing=0)
        missing = np.asarray(column.is_null())
        _tell(problems, what, np.flatnonzero(missing), f"no {what}", fix="Number each row.")
        return numbers
    coded = _coded(column)
    labels = coded.labels.tolist()
    number = np.array([names.get(str(label), -1) for label in labels], dtype=np.int32)
    _tell(problems, what, np.flatnonzero(coded.codes < 0), f"no {what}", fix=f"Name the {what} of each row.")
    for code in _first(np.flatnonzero(number < 0), problems, what, labels):
        rows = np.flatnonzero(coded.codes == code)
        twice = "names several products" if number[code] < -1 else f"is no {what} of the plan"
        _tell(problems, what, rows, f"{labels[code]!r} {twice}", fix=suggestion(str(labels[code]), names))
    if np.array_equal(number, np.arange(len(number))):
        return coded.codes
    return number[coded.codes] if len(number) else coded.codes


def _first(codes: NDArray[np.int64], problems: Problems, what: str, labels: Sequence[object]) -> Iterable[int]:
    """Return the names to tell one by one; the rest are counted."""
    if codes.size > _NAMED:
        rest = codes.size - _NAMED
        example = repr(labels[int(codes[_NAMED])])
        problems.add(f"{rest:,} more names are unknown, {example} among them.", where=what, fix="Add them to the plan.")
    return [int(code) for code in codes[:_NAMED]]


def _quantity(column: Any, problems: Problems) -> NDArray[Any]:
    kind = str(column.type)
    if kind.startswith("decimal"):
        column = column.cast("float64")
    elif not kind.startswith(("int", "uint", "float", "double", "halffloat")):
        problems.add(f"is {kind}.", where="quantity", fix="Give signed numbers, long > 0.")
        return np.zeros(0)
    numbers = _numbers(column, missing=0 if kind.startswith(("int", "uint")) else np.nan)
    rows = np.flatnonzero(np.asarray(column.is_null()) | ~np.isfinite(numbers))
    _tell(problems, "quantity", rows, "no finite number", fix="Give a signed number, long > 0.")
    return numbers


def _by_account(template: NDArray[Any], account: _Coded, problems: Problems) -> NDArray[Any]:
    """Return the template of each account; one that rows disagree on is told."""
    found = np.zeros(len(account.labels), dtype=np.int64)
    found[account.codes[::-1]] = template[::-1]
    rows = np.flatnonzero(found[account.codes] != template)
    _tell(problems, "template", rows, "another template than the account's first row", fix="Give each account one.")
    return found


def _tell(problems: Problems, where: str, rows: NDArray[np.int64], what: str, *, fix: str) -> None:
    if rows.size:
        named = ", ".join(str(row) for row in rows[:_NAMED].tolist())
        problems.add(f"{rows.size:,} rows: {what}; the first: {named}.", where=where, fix=fix)
