"""Frozen attrs records to plain data and back, driven by their type annotations.

Call `to_plain` before `json.dumps` and `from_plain(cls, data)` after `json.loads`. Knows dates, enums,
tuples, sets, mappings and nested records; no schema, no versions, no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs


def to_plain(value: Any) -> Any:
    """Return `value` as dicts, lists, strings, numbers, booleans and None."""
    if attrs.has(type(value)):
        return {name: to_plain(item) for name, item in _said(value).items()}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, date) else value


def from_plain(kind: Any, data: Any) -> Any:
    """Return the object of type `kind` that `to_plain` turned into `data`."""
    if attrs.has(kind):
        hints = _fields(kind)
        return kind(**{name: from_plain(hints[name], item) for name, item in data.items()})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return None if data is None else from_plain(_not_none(arguments), data)
    if origin in (tuple, frozenset):
        return origin(from_plain(arguments[0], item) for item in data)
    if kind is date:
        return date.fromisoformat(data)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    return freeze(data)


def as_tuple(items: Any) -> Any:
    """Return the items as a tuple: a converter for record fields that take any iterable."""
    return tuple(items)


def as_frozenset(items: Any) -> Any:
    """Return the items as a frozen set: a converter for record fields that take any iterable."""
    return frozenset(items)


def freeze(value: Any) -> Any:
    """Return `value` with every list turned into a tuple, so that it can live in a frozen record."""
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    return {key: freeze(item) for key, item in value.items()} if isinstance(value, dict) else value


def _said(record: Any) -> dict[str, Any]:
    """Return the fields of a record; one that declares itself `TERSE` leaves out those that stand at their default."""
    kind: Any = type(record)
    fields = {name: getattr(record, name) for name in _fields(kind)}
    if not getattr(kind, "TERSE", False):
        return fields
    return {name: value for name, value in fields.items() if value != _defaults(kind).get(name, attrs.NOTHING)}


@cache
def _defaults(kind: Any) -> dict[str, Any]:
    return {field.name: field.default for field in attrs.fields(kind)}


@cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in attrs.fields(kind) if field.init}


def _not_none(choices: tuple[Any, ...]) -> Any:
    return next(choice for choice in choices if choice is not NoneType)
