"""Reports and comparisons as JSON documents of a published schema, and back; their flat records as frames.

`to_json` and `from_json` of reports, comparisons and collateral reports call `document_text` and `from_document`. What
many lines share (the values read, their sources, the reasons of refusals) stands once, in tables at the end of the
document, and is referred to by its place there. `json_schema` is what `docs/reference` publishes; the number in the
`SCHEMA` of a class goes up when a document that was right before is no longer, or means something else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, ClassVar, Final, Literal, Protocol, Union, get_args, get_origin

import attrs

from crossmargin.collector import collector_at_rest
from crossmargin.eligibility import Reason
from crossmargin.errors import InputError, Problem, counted, suggestion
from crossmargin.parameters import Read, Source
from crossmargin.records import Tables, fields_of, from_plain, needed, to_plain
from crossmargin.results import Comparison, Report, Requirement

SCHEMAS: Final[Mapping[str, type[Report | Comparison]]] = {kind.SCHEMA: kind for kind in (Report, Comparison)}
TABLES: Final[Mapping[type, str]] = {Reason: "reasons", Read: "reads", Source: "sources"}
RECORD = (  # the fields of a flat record
    *("regime", "status", "as_of", "level", "owner", "firm", "account_class", "pot", "pool"),
    *("rule", "kind", "amount", "partial"),
)
_READ_FIRST = (Source, Reason, Read)  # a read refers to its source
_DERIVED = ("totals", "status", "benefits")  # of a comparison, for who reads nothing else


class Documented(Protocol):
    """A record that is written as a document by itself: it names its schema."""

    SCHEMA: ClassVar[str]


def document_text(result: Documented, *, indent: int | None = None) -> str:
    """Return a report, a comparison or a collateral report as JSON; numbers are read back to the last bit."""
    tables = Tables(TABLES)
    whole = {"schema": result.SCHEMA, **_derived(result), **to_plain(result, tables)}
    rows = {name: tables.rows.get(name, []) for name in TABLES.values()}
    return json.dumps({**whole, **rows}, indent=indent, allow_nan=False)


def from_document(kind: type[Documented], text: str | bytes) -> Any:
    """Return the record of a kind that `document_text` wrote; every line checks its arithmetic again.

    Raises
    ------
    InputError
        The text is no JSON, of another schema or another version of it; or listing every field that is missing,
        unknown or of a wrong type, with its place.
    NumericalError
        The amount of a line does not follow from its parts.
    """
    with collector_at_rest():
        return _from_document(kind, _document(kind, text))


def _from_document(kind: type[Documented], document: dict[str, Any]) -> Any:
    tables: dict[type, tuple[Any, ...]] = {}
    try:
        for each in _READ_FIRST:
            name = TABLES[each]
            tables[each] = _table(each, document.pop(name, []), name, tables)
        for name in ("schema", *(_DERIVED if kind is Comparison else ())):
            document.pop(name, None)
        return from_plain(kind, document, tables)
    except InputError as error:
        count = len(error.problems)
        title = f"{counted(count, 'problem')} in the JSON of a {kind.__name__}"
        raise InputError(error.problems, title) from error
    except RecursionError as error:
        raise _no_document(kind, "is nested too deeply.") from error


def schema_of(text: str | bytes) -> str:
    """Return the schema that a JSON text names, "" where it is no JSON object or names none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    named = document.get("schema") if isinstance(document, dict) else None
    return named if isinstance(named, str) else ""


def _derived(result: Documented) -> dict[str, Any]:
    if not isinstance(result, Comparison):
        return {}
    status = {report.regime: report.status for report in result.reports}
    others = [report.regime for report in result.reports[1:]]
    benefits = {name: {"usd": result.benefit(name), "share": result.benefit_share(name)} for name in others}
    return dict(zip(_DERIVED, (result.totals(), status, benefits), strict=True))


def _table(kind: Any, rows: Any, name: str, tables: Mapping[type, tuple[Any, ...]]) -> tuple[Any, ...]:
    try:
        found: tuple[Any, ...] = from_plain(tuple[kind, ...], rows, tables)
    except InputError as error:
        places = (each.where.removeprefix("document") for each in error.problems)
        raise InputError(
            [attrs.evolve(each, where=f"{name}{place}") for each, place in zip(error.problems, places, strict=True)]
        ) from error
    return found


def _document(kind: type[Documented], text: str | bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise _no_document(kind, f"is no readable JSON: line {error.lineno}, column {error.colno}.") from error
    except (ValueError, TypeError, RecursionError) as error:  # no text, bytes that are no UTF-8, far too deep
        raise _no_document(kind, "is no readable JSON.") from error
    if not isinstance(document, dict):
        raise _no_document(kind, "is no JSON object.")
    named, wanted = document.get("schema"), kind.SCHEMA
    if named == wanted:
        return document
    if isinstance(named, str) and named in SCHEMAS:
        raise _no_document(kind, f"is a {SCHEMAS[named].__name__}.", f"Use {SCHEMAS[named].__name__}.from_json.")
    what = f"is of the schema {named!r}, not of {wanted!r}." if named else "names no schema."
    near = suggestion(str(named), [wanted]) if named else ""
    raise _no_document(kind, what, f"{near} Read it with the version of the library that wrote it.".strip())


def _no_document(kind: type, what: str, fix: str = "") -> InputError:
    return InputError([Problem(what, "JSON", fix or f"Give the text that {kind.__name__}.to_json() wrote.")])


# ------------------------------------------------------------------------------------------------------ frames


def data_frame(records: list[dict[str, Any]]) -> Any:
    """Return flat records as a pandas DataFrame."""
    return _frames("pandas", "to_frame").DataFrame.from_records(records)


def records_of(report: Report) -> list[dict[str, Any]]:
    """Return the requirements and credits of a report as flat records, with the fields of `RECORD`."""
    return [
        {
            "regime": report.regime,
            "status": report.status,
            "as_of": report.as_of.isoformat(),
            "level": each.level,
            "owner": each.owner,
            "firm": each.firm,
            "account_class": each.account_class,
            "pot": each.pot,
            "pool": each.pool,
            "rule": each.ruleset if isinstance(each, Requirement) else each.arrangement,
            "kind": type(each).__name__.lower(),
            "amount": each.line.amount,
            "partial": each.line.partial,
        }
        for each in report.entries
    ]


def arrow_table(records: list[dict[str, Any]]) -> Any:
    """Return the records of reports as an Arrow table, with its columns even when there are none."""
    arrow = _frames("pyarrow", "Arrow stream")
    special = {"amount": arrow.float64(), "partial": arrow.bool_()}
    return arrow.Table.from_pylist(
        records, arrow.schema([(name, special.get(name, arrow.string())) for name in RECORD])
    )


def _frames(library: str, where: str) -> Any:
    try:
        return import_module(library)
    except ImportError as error:
        fix = "Install it: pip install 'crossmargin[frames]'."
        raise InputError([Problem(f"{library} is not installed.", where, fix)]) from error


# ------------------------------------------------------------------------------------------------------ schema


def json_schema(*kinds: type[Documented]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of documents, reports and comparisons unless told, from their types.

    References
    ----------
    JSON Schema, draft 2020-12, https://json-schema.org/draft/2020-12.

    Examples
    --------
    >>> json_schema()["$defs"]["Line"]["required"]
    ['name', 'amount']
    """
    definitions: dict[str, Any] = {}
    kinds = kinds or (Report, Comparison)
    documents = [_document_schema(kind, definitions) for kind in kinds]
    for kind in TABLES:
        _define(kind, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": kinds[0].SCHEMA,
        "title": f"crossmargin: {' or '.join(kind.__name__ for kind in kinds)}",
        "oneOf": documents,
        "$defs": dict(sorted(definitions.items())),
    }


def _document_schema(kind: type[Documented], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a whole document: the record, its schema and the tables beside."""
    fields = fields_of(kind)
    amounts = {"type": "object", "additionalProperties": _schema(float | None, definitions)}  # None: not modelled
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    objects = {"type": "object", "additionalProperties": amounts}
    more: dict[str, Any] = {"schema": {"const": kind.SCHEMA}}
    more |= dict(zip(_DERIVED, (amounts, texts, objects), strict=True)) if kind is Comparison else {}
    more |= {each: _schema(field, definitions) for each, field in fields.items()}
    more |= {table: {"type": "array", "items": _reference(each)} for each, table in TABLES.items()}
    needs = ["schema", *needed(kind)]
    return {"type": "object", "properties": more, "required": needs, "additionalProperties": False}


def _define(kind: type, definitions: dict[str, Any]) -> None:
    if kind.__name__ in definitions:
        return
    whole: dict[str, Any] = {"description": (kind.__doc__ or "").strip().partition("\n")[0], "type": "object"}
    definitions[kind.__name__] = whole  # before its fields: a line has lines
    whole["properties"] = {name: _schema(each, definitions) for name, each in fields_of(kind).items()}
    whole["required"] = list(needed(kind))
    whole["additionalProperties"] = False


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind in TABLES:
        return {"type": "integer", "minimum": 0, "description": f"Place in the table `{TABLES[kind]}`, from 0."}
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if isinstance(kind, type) and attrs.has(kind):
        _define(kind, definitions)
        return _reference(kind)
    return _composed(get_origin(kind), get_args(kind), definitions)


def _composed(origin: Any, arguments: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(each, definitions) for each in arguments]}
    if origin in (tuple, frozenset):
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    return {"enum": list(arguments)} if origin is Literal else {}


def _reference(kind: type) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{kind.__name__}"}


_PLAIN: Final[Mapping[Any, dict[str, Any]]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    date: {"type": "string", "format": "date"},
    NoneType: {"type": "null"},
}
