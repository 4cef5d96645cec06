"""Frozen attrs records to plain data and back, driven by their type annotations.

Call `to_plain` before `json.dumps` and `from_plain(cls, data)` after `json.loads`: it names every value of a wrong
type with its place. `Tables` writes records that many others hold once. Knows dates, enums, tuples, sets, mappings and
nested records; no schema, no versions, no files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs
from attrs import field, frozen

from crossmargin.errors import InputError, Problem, Problems, counted, is_number, kind_given, suggestion

Path: TypeAlias = tuple[Any, ...]  # the path of what holds the value, and its name or number there
_Names = TypeVar("_Names", bound=Enum)
_WRONG: Any = object()  # stands for a value that was noted as wrong
_PLAIN = frozenset({str, float, int, bool, NoneType})


@frozen
class Tables:
    """Records of some kinds, each written once in a table of its kind's name; others refer to its place there.

    Examples
    --------
    >>> from crossmargin.parameters import Source
    >>> tables = Tables({Source: "sources"})
    >>> to_plain([Source("Rule book"), Source("Notice"), Source("Rule book")], tables), tables.rows
    ([0, 1, 0], {'sources': [{'title': 'Rule book'}, {'title': 'Notice'}]})
    """

    names: Mapping[type, str]
    rows: dict[str, list[Any]] = field(factory=dict, init=False)
    _places: dict[str, dict[str, int]] = field(factory=dict, init=False, repr=False)
    _seen: dict[int, tuple[Any, int]] = field(factory=dict, init=False, repr=False)  # the record too: it keeps its id

    def place(self, record: Any) -> int:
        """Return the place of a record in its table, entered if it is new."""
        if id(record) not in self._seen:
            name = self.names[type(record)]
            plain = _plain_record(record, self)
            rows, places = self.rows.setdefault(name, []), self._places.setdefault(name, {})
            place = places.setdefault(json.dumps(plain), len(rows))
            if place == len(rows):
                rows.append(plain)
            self._seen[id(record)] = (record, place)
        return self._seen[id(record)][1]


def to_plain(value: Any, tables: Tables | None = None) -> Any:
    """Return `value` as dicts, lists, strings, numbers, booleans and None; records of `tables` as their places."""
    if type(value) in _PLAIN:
        return value
    if attrs.has(type(value)):
        return tables.place(value) if tables and type(value) in tables.names else _plain_record(value, tables)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, tables) for key, item in value.items()}
    if isinstance(value, frozenset | set | tuple | list):
        items = [to_plain(item, tables) for item in value]
        return sorted(items) if isinstance(value, frozenset | set) else items
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, date) else value


def from_plain(kind: Any, data: Any, tables: Mapping[type, tuple[Any, ...]] | None = None) -> Any:
    """Return the object of type `kind` that `to_plain` turned into `data`; `tables` holds what places refer to.

    Raises
    ------
    InputError
        Listing every field that is missing, unknown or of a wrong type, with its place.

    Examples
    --------
    >>> from crossmargin.parameters import Source
    >>> from_plain(Source, {"title": 7, "ulr": "https://example.org"})
    Traceback (most recent call last):
    crossmargin.errors.InputError: 2 problems in the input:
      - ulr: is unknown. Did you mean 'url'?
      - title: 7 is no text.
    """
    reading = _Reading(tables or {})
    found = _reader(kind)(reading, data, ())
    reading.problems.raise_if_any()
    return found


def as_tuple(items: Any) -> Any:
    """Return the items as a tuple: a converter for record fields that take any iterable; a text is one item.

    Raises
    ------
    InputError
        The items are none.
    """
    if isinstance(items, str):
        return (items,)
    try:
        return tuple(items)
    except TypeError:
        what = f"{kind_given(items)} was given where several stand."
        raise InputError([Problem(what, "a field of a record", "Give them in a list.")]) from None


def as_frozenset(items: Any) -> Any:
    """Return the items as a frozen set: a converter for record fields that take any iterable; a text is one item."""
    try:
        return frozenset(as_tuple(items))
    except TypeError:
        raise InputError(
            [Problem("what stands among them is no name.", "a field of a record", "Give texts.")]
        ) from None


def member(kind: type[_Names], value: Any) -> _Names:
    """Return the member of an enumeration that `value` is or names.

    Raises
    ------
    InputError
        There is none, with what is near.

    Examples
    --------
    >>> from crossmargin.accounts import AccountClass
    >>> member(AccountClass, "PROPIETARY")
    Traceback (most recent call last):
    crossmargin.errors.InputError: 1 problem in the input:
      - AccountClass: 'PROPIETARY' is unknown. Did you mean 'PROPRIETARY'?
    """
    if type(value) is kind:
        return value
    try:
        return kind(value)
    except ValueError:
        names = [str(each.value) for each in kind]
        problem = Problem(f"{value!r} is unknown.", kind.__name__, suggestion(str(value), names))
        raise InputError([problem]) from None


def members(kind: type[_Names], values: Any) -> frozenset[_Names]:
    """Return the members of an enumeration that `values` names; one text is one name. Raises as `member` does."""
    named = as_tuple(values)
    try:
        return frozenset(map(kind, named))
    except ValueError:
        problems = Problems()
        for value in named:
            with problems.collecting():
                member(kind, value)
        raise InputError(problems.found) from None


def freeze(value: Any) -> Any:
    """Return `value` with every list turned into a tuple, so that it can live in a frozen record."""
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    return {key: freeze(item) for key, item in value.items()} if isinstance(value, dict) else value


@cache
def fields_of(kind: Any) -> dict[str, Any]:
    """Return the type of each field that a record is made with."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in attrs.fields(kind) if field.init}


@cache
def needed(kind: Any) -> tuple[str, ...]:
    """Return the fields without which no record is made."""
    return tuple(name for name in fields_of(kind) if _defaults(kind)[name] is attrs.NOTHING)


def _plain_record(record: Any, tables: Tables | None) -> dict[str, Any]:
    return {name: to_plain(item, tables) for name, item in _said(record).items()}


def _said(record: Any) -> dict[str, Any]:
    """Return the fields of a record; one that declares itself `TERSE` leaves out those that stand at their default."""
    kind: Any = type(record)
    fields = {name: getattr(record, name) for name in fields_of(kind)}
    if not getattr(kind, "TERSE", False):
        return fields
    defaults = _defaults(kind)
    return {name: value for name, value in fields.items() if value != defaults.get(name, attrs.NOTHING)}


@cache
def _defaults(kind: Any) -> dict[str, Any]:
    return {field.name: field.default for field in attrs.fields(kind)}


# ----------------------------------------------------------------------------------------------------- reading


@frozen
class _Reading:
    """What the places in a text refer to, and what was wrong on the way."""

    tables: Mapping[type, tuple[Any, ...]]
    problems: Problems = field(factory=Problems)

    def wrong(self, path: Path, what: str, fix: str = "") -> Any:
        """Note a problem at a place."""
        self.problems.add(what, where=_place(path), fix=fix)
        return _WRONG


_Reader: TypeAlias = Callable[[_Reading, Any, Path], Any]
"""Returns the value of a type, `_WRONG` after noting what is wrong with it."""


@cache
def _reader(kind: Any) -> _Reader:
    """Return what reads a type: which way is worked out once, and not for each of many thousand records."""
    if kind in _SIMPLE:
        return _floats if kind is float else _simples(kind)
    if isinstance(kind, type) and attrs.has(kind):
        return _records(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        of = _reader(_not_none(arguments))
        return lambda reading, data, path: None if data is None else of(reading, data, path)
    if origin in (tuple, frozenset):
        return _items(origin, _reader(arguments[0]))
    if origin in (dict, Mapping):
        return _mappings(_reader(arguments[1]))
    return _chosen(kind)


def _simples(kind: Any) -> _Reader:
    name, holds = _SIMPLE[kind]

    def read(reading: _Reading, data: Any, path: Path) -> Any:
        if not holds(data):
            return reading.wrong(path, f"{_shown(data)} is no {name}.")
        return date.fromisoformat(data) if kind is date else data

    return read


def _floats(reading: _Reading, data: Any, path: Path) -> Any:
    if type(data) is float and isfinite(data):  # most are; to ask what else is a number takes long
        return data
    return float(data) if is_number(data) else reading.wrong(path, f"{_shown(data)} is no {_SIMPLE[float][0]}.")


def _records(kind: Any) -> _Reader:
    hints, needs = fields_of(kind), needed(kind)

    def read(reading: _Reading, data: Any, path: Path) -> Any:
        if kind in reading.tables:
            return _referred(reading, data, path, rows=reading.tables[kind])
        if not isinstance(data, dict):
            return reading.wrong(path, f"{_shown(data)} is no object.")
        before = len(reading.problems)
        for name in data:
            if name not in hints:
                reading.wrong((path, name), "is unknown.", suggestion(name, hints))
        for name in needs:
            if name not in data:
                reading.wrong((path, name), "is missing.")
        readers = _readers(kind)
        found = {name: of(reading, data[name], (path, name)) for name, of in readers.items() if name in data}
        if len(reading.problems) > before:
            return _WRONG
        try:
            return kind(**found)
        except InputError as error:
            return reading.wrong(path, f"makes no {kind.__name__}: {'; '.join(map(str, error.problems))}")

    return read


@cache
def _readers(kind: Any) -> dict[str, _Reader]:
    return {name: _reader(hint) for name, hint in fields_of(kind).items()}  # later than its own: a line has lines


def _referred(reading: _Reading, data: Any, path: Path, *, rows: tuple[Any, ...]) -> Any:
    if type(data) is int and 0 <= data < len(rows):
        return rows[data]
    return reading.wrong(path, f"{_shown(data)} is no place in a table of {counted(len(rows), 'row')}.")


def _items(kind: Any, of: _Reader) -> _Reader:
    def read(reading: _Reading, data: Any, path: Path) -> Any:
        if not isinstance(data, list | tuple):
            return reading.wrong(path, f"{_shown(data)} is no list.")
        return kind([of(reading, item, (path, number)) for number, item in enumerate(data)])

    return read


def _mappings(of: _Reader) -> _Reader:
    def read(reading: _Reading, data: Any, path: Path) -> Any:
        if not isinstance(data, dict):
            return reading.wrong(path, f"{_shown(data)} is no object.")
        return {name: of(reading, item, (path, name)) for name, item in data.items()}

    return read


def _chosen(kind: Any) -> _Reader:
    """Return what reads a member of an enumeration or a literal, or anything frozen where the type says nothing."""
    known: tuple[Any, ...] = ()
    if isinstance(kind, type) and issubclass(kind, Enum):
        known = tuple(member.value for member in kind)
    elif get_origin(kind) is Literal:
        known = get_args(kind)

    def read(reading: _Reading, data: Any, path: Path) -> Any:
        if not known:
            return freeze(data) if _all_finite(data) else reading.wrong(path, f"{_shown(data)} is not finite.")
        if isinstance(data, list | dict) or data not in known:
            return reading.wrong(path, f"{_shown(data)} is unknown.", suggestion(str(data), map(str, known)))
        return kind(data) if isinstance(kind, type) else data

    return read


def _all_finite(data: Any) -> bool:
    if isinstance(data, list | dict):
        return all(map(_all_finite, data.values() if isinstance(data, dict) else data))
    return not isinstance(data, float) or isfinite(data)


def _is_date(data: Any) -> bool:
    try:
        return isinstance(data, str) and bool(date.fromisoformat(data))
    except ValueError:
        return False


_SIMPLE: Mapping[Any, tuple[str, Callable[[Any], bool]]] = {
    str: ("text", lambda data: isinstance(data, str)),
    bool: ("true or false", lambda data: isinstance(data, bool)),
    int: ("whole number", lambda data: isinstance(data, int) and not isinstance(data, bool)),
    float: ("finite number", is_number),
    date: ("date YYYY-MM-DD", _is_date),
}
_LONGEST = 60  # characters of a value that a message shows


def _shown(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _place(path: Path) -> str:
    """Return a path as it is written: `requirements[0].line.amount`."""
    names: list[str] = []
    while path:
        path, last = path
        names.append(f"[{last}]" if isinstance(last, int) else f".{last}")
    return "".join(reversed(names)).removeprefix(".") or "document"


def _not_none(choices: tuple[Any, ...]) -> Any:
    return next(choice for choice in choices if choice is not NoneType)
