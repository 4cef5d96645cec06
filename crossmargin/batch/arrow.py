"""Columns of positions from Arrow tables and whatever else hands over an Arrow stream: polars, pandas, DuckDB.

Call `Positions.from_arrow(table, plan)`, which uses this. Numbers and the codes of dictionaries are taken as they lie
in memory, without a copy, where the column is of one piece and without nulls, and accounts where their dictionary is
sorted: the order of rows or of labels decides nothing. It needs pyarrow (extra `frames`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from crossmargin.batch.planning import Plan
from crossmargin.errors import InputError, Problem, Problems, check_kinds, counted, suggestion
from crossmargin.io.extras import extra

NEEDED, OPTIONAL = ("account", "product", "quantity"), ("template",)
_NAMED = 5  # examples in a message
_STREAMS = ("__arrow_c_stream__", "__arrow_c_array__")
_TEXT, _WHOLE = ("string", "large_string", "string_view"), ("int", "uint")
_NUMBERS = (*_WHOLE, "float", "double", "halffloat", "decimal")


def columns_from_arrow(table: Any, plan: Plan, columns: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return the columns of `Positions` by name; `columns` says what they are called in the table, where otherwise.

    Raises
    ------
    InputError
        A column is missing, stands twice or is of another type; every row that is not understood: how many of each
        kind, and the first of them.
    """
    fix = "Give what columns are called, such as {'quantity': 'net_contracts'}."
    check_kinds(plan=(plan, Plan, "Give the plan of the positions."), columns=(columns, Mapping, fix))
    held, problems = _table(table, columns), Problems()
    account = _coded(held["account"], ordered=True)
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
    arrow, problems = extra("pyarrow", "frames"), Problems()
    try:
        whole = arrow.table(table)
    except Exception as error:
        fix = "Give each column one type: text, or numbers."
        raise InputError([Problem(f"makes no Arrow table ({error}).", "table", fix)]) from error
    named = {name: columns.get(name, name) for name in (*NEEDED, *OPTIONAL)}
    for name in set(columns) - set(named):
        problems.add(f"unknown column {name!r}.", where="columns", fix=suggestion(name, named))
    for name in named if not problems else ():
        count = whole.column_names.count(named[name])
        if count > 1:
            problems.add(f"column {named[name]!r} stands {count} times.", where="table", fix="Keep one of them.")
        elif not count and name in NEEDED:
            fix = suggestion(named[name], whole.column_names)
            problems.add(f"there is no column {named[name]!r}.", where="table", fix=fix)
    problems.raise_if_any("This table holds no positions")
    here = {name: whole[each] for name, each in named.items() if each in whole.column_names}
    for name, column in here.items():
        if arrow.types.is_null(column.type):
            here[name] = column.cast("float64" if name == "quantity" else "string")
        _refuse_type(name, here[name].type, arrow.types, problems)
    problems.raise_if_any("This table holds no positions")
    return {name: _one_piece(column, arrow) for name, column in here.items()}


def _refuse_type(name: str, kind: Any, types: Any, problems: Problems) -> None:
    """Note a column whose values can be no quantities, or no names and numbers."""
    values = str(kind.value_type if types.is_dictionary(kind) else kind)
    if name == "quantity" and not str(kind).startswith(_NUMBERS):
        problems.add(f"is {kind}.", where=name, fix="Give signed numbers, long > 0.")
    elif name != "quantity" and values not in _TEXT and not values.startswith(_WHOLE):
        problems.add(f"is {kind}.", where=name, fix="Give text or whole numbers.")


def _one_piece(column: Any, arrow: Any) -> Any:
    if str(column.type) in _TEXT:  # codes of many rows fit into one piece where their text does not
        column = column.dictionary_encode()
    if arrow.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _coded(column: Any, *, ordered: bool = False) -> _Coded:
    """Return a column as numbers into the values that occur, as they stand where they all do, or sorted."""
    column = column if hasattr(column, "dictionary") else column.dictionary_encode()
    codes, values = _numbers(column.indices, missing=-1), _values(column.dictionary)
    seen = np.zeros(len(values) + 1, dtype=bool)  # the last is that of rows without a value
    seen[codes] = True
    seen[-1], seen[:-1] = False, seen[:-1] & ~np.asarray(column.dictionary.is_null())
    if seen[:-1].all() and not (ordered and (values[1:] <= values[:-1]).any()):
        return _Coded(codes, values)
    labels, place = np.unique(values[seen[:-1]], return_inverse=True)
    renumbered = np.full(len(seen), -1, dtype=np.int32)
    renumbered[seen] = place
    return _Coded(renumbered[codes], labels)


def _values(dictionary: Any) -> NDArray[Any]:
    """Return the values of a dictionary; what stands for null among them is not to be used."""
    if str(dictionary.type).startswith(_WHOLE):
        return _numbers(dictionary, missing=0)
    texts = [each or "" for each in dictionary.to_pylist()]
    if cut := [each for each in texts if each.endswith("\0")]:  # arrays of text drop it: two names would be one
        raise InputError([Problem(f"{cut[0]!r} ends in a NUL.", "table", "Take it off.")])
    return np.array(texts, dtype=str)


def _numbers(array: Any, *, missing: float) -> NDArray[Any]:
    """Return an Arrow array of numbers, in place where it holds no null."""
    if array.null_count:
        if missing < 0 and str(array.type).startswith("uint"):
            array = array.cast("int64")
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
    if not hasattr(column, "dictionary") and str(column.type).startswith(_WHOLE):
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
    if str(column.type).startswith("decimal"):
        column = column.cast("float64")
    numbers = _numbers(column, missing=0 if str(column.type).startswith(_WHOLE) else np.nan)
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
        problems.add(f"{counted(rows.size, 'row')}: {what}; the first: {named}.", where=where, fix=fix)
