"""Dated, sourced values of a rule, and the reader that remembers which of them a calculation used.

`load_rules(path)` reads the `.toml` beside a rule; `rules.at(as_of)` gives a `Reader` whose attributes are the
values in force on that date. `rules.with_values(...)` overlays values for a study. Nothing here computes margin.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from attrs import evolve, field, frozen

from crossmargin.columns import as_date
from crossmargin.errors import InputError, NotInForce, ParameterMissing, Problem, counted, listed, suggestion
from crossmargin.records import freeze, to_plain

GRADES = ("rule", "disclosure", "calibrated", "assumed", "proposed")
STATUSES = ("in_force", "approved", "proposed", "withdrawn", "never_live")
STRUCTURES = ("two_pot", "one_pot")
COMBINATIONS = ("any", "all", "not")


@frozen
class Source:
    """A document that a value or a condition rests on."""

    TERSE: ClassVar[bool] = True
    title: str
    url: str = ""
    published: date | None = None
    retrieved: date | None = None


@frozen
class DatedValue:
    """A value in force from `start` (included) to `end` (excluded; None = still in force)."""

    start: date
    value: Any
    source: str
    grade: str
    locator: str = ""
    end: date | None = None
    because: str = ""
    plain: Any = field(init=False, repr=False, eq=False)  # the value as reports show it: no dates, no lists

    @plain.default
    def _plain(self) -> Any:
        return freeze(to_plain(self.value))

    def covers(self, as_of: date) -> bool:
        """Whether the value is in force on `as_of`."""
        return self.start <= as_of and (self.end is None or as_of < self.end)


@frozen
class Parameter:
    """One parameter of a rule through time.

    `neutral` is the value with which the floor or add-on that hangs on it vanishes; None where none does. `range` holds
    the least and the greatest number that a value may have.
    """

    name: str
    unit: str
    about: str
    values: tuple[DatedValue, ...]
    neutral: Any = None
    range: tuple[float, float] | None = None

    def bounds(self) -> tuple[float, float]:
        """Return its `range`; where none is stated, no number below 0 unless a value of its own has one."""
        numbers = [number for dated in self.values for number in _numbers(dated.value)]
        return self.range or (-math.inf if min([0.0, *numbers]) < 0.0 else 0.0, math.inf)


@frozen(cache_hash=True)
class Condition:
    """One condition of a programme, with its citation; the test that goes with it is code.

    One that combines others (`combines` is `any`, `all` or `not`) has no test of its own: its `parts` have. A condition
    that is a part of others does not bind by itself.
    """

    id: str
    about: str
    cure: str
    source: Source
    grade: str
    start: date
    locator: str = ""
    end: date | None = None
    origin: tuple[str, ...] = ("house", "customer")
    combines: str = ""
    parts: tuple[Condition, ...] = ()

    def applies(self, as_of: date, origin: str) -> bool:
        """Whether the condition binds positions of this origin on `as_of`."""
        return origin in self.origin and self.start <= as_of and (self.end is None or as_of < self.end)

    def binding(self, as_of: date, origin: str) -> Iterator[Condition]:
        """Yield the condition, with those of its parts that bind such a position on `as_of`, if it binds itself."""
        if self.applies(as_of, origin):
            bound = tuple(bound for part in self.parts for bound in part.binding(as_of, origin)) if self.parts else ()
            yield evolve(self, parts=bound) if bound != self.parts else self

    def walk(self) -> Iterator[Condition]:
        """Yield the condition and all of which it is made."""
        yield self
        for part in self.parts:
            yield from part.walk()


@frozen
class Read:
    """A value as it was read: what, from where, how good."""

    TERSE: ClassVar[bool] = True
    rule: str
    name: str
    value: Any
    unit: str
    grade: str
    source: Source
    locator: str = ""
    because: str = ""


_OVERLAY = Source("overlay of the user")


class Reader:
    """The values of one rule on one date. Every attribute read is remembered until `taken` hands it on."""

    def __init__(self, rules: Rules, as_of: date) -> None:
        self._rules = rules
        self._as_of = as_of
        self._pending: dict[str, DatedValue] = {}

    def __getattr__(self, name: str) -> Any:
        """Return the value of parameter `name` in force on the reader's date."""
        if name.startswith("_"):
            raise AttributeError(name)
        dated = self._rules.in_force(name, self._as_of)
        self._pending[name] = dated
        return dated.value

    @property
    def as_of(self) -> date:
        """The date on which the values are in force."""
        return self._as_of

    def optional(self, name: str) -> Any:
        """Return the value of a parameter that not every rule of a family has, or None."""
        return getattr(self, name) if name in self._rules.parameters else None

    def taken(self) -> tuple[Read, ...]:
        """Return what was read since the last call, for the line that used it."""
        reads = tuple(self._rules.cite(name, dated) for name, dated in self._pending.items())
        self._pending.clear()
        return reads


@frozen(repr=False)
class Rules:
    """A rule's parameters and conditions as its `.toml` states them.

    `structure` says how an arrangement credits, `two_pot` or `one_pot`; other kinds of rule have none.

    Examples
    --------
    >>> from datetime import date
    >>> values = (DatedValue(date(2020, 1, 1), 0.99, "r", "rule"),)
    >>> rules = Rules(
    ...     "toy",
    ...     parameters={"confidence": Parameter("confidence", "1", "", values)},
    ...     sources={"r": Source("Rule book")},
    ... )
    >>> rules.at(date(2026, 6, 30)).confidence
    0.99
    >>> rules.with_values(confidence=0.995, because="study").at(date(2026, 6, 30)).confidence
    0.995
    """

    id: str
    kind: str = "ruleset"
    title: str = ""
    authority: str = ""
    level: str = "clearing"
    status: str = "in_force"
    scope: str = ""
    structure: str = ""
    sources: Mapping[str, Source] = field(factory=dict)
    parameters: Mapping[str, Parameter] = field(factory=dict)
    conditions: tuple[Condition, ...] = ()
    overlays: Mapping[str, DatedValue] = field(factory=dict)

    def __repr__(self) -> str:
        """Return what rule it is and what is overlaid, in one line."""
        overlaid = f"; overlaid: {', '.join(self.overlays)}" if self.overlays else ""
        return f"<Rules {self.id}: {self.title}; {counted(len(self.parameters), 'parameter')}{overlaid}>"

    def at(self, as_of: date) -> Reader:
        """Return a reader of the values in force on `as_of`."""
        return Reader(self, as_date(as_of, "as_of"))

    def in_force(self, name: str, as_of: date) -> DatedValue:
        """Return the value in force on `as_of`.

        Raises
        ------
        ParameterMissing
            The rule has no such parameter.
        NotInForce
            No value covers the date; values are never carried back before their first date.
        """
        if name in self.overlays:
            return self.overlays[name]
        parameter, as_of = self._parameter(name), as_date(as_of, "as_of")
        for dated in parameter.values:
            if dated.covers(as_of):
                return dated
        first = parameter.values[0].start
        message = f"{self.id}: {name!r} has no value on {as_of}; its first date is {first}."
        raise NotInForce(f"{message} Choose a later as_of or overlay it: with_values({name}=..., because=...).")

    def cite(self, name: str, dated: DatedValue) -> Read:
        """Return a value with all that a report says of it."""
        source = self.sources.get(dated.source, _OVERLAY)
        unit = self.parameters[name].unit
        return Read(self.id, name, dated.plain, unit, dated.grade, source, dated.locator, dated.because)

    def with_values(self, *, because: str, **values: Any) -> Rules:
        """Return the rule with some values replaced for a study; they are graded `assumed` and shown as overlays.

        Raises
        ------
        InputError
            No reason, which every report of the study shows; a value of another kind than the rule's own, or beyond the
            bounds of its parameter.
        ParameterMissing
            The rule has no such parameter.
        """
        problems = [problem for name, value in values.items() for problem in self._misfits(name, value)]
        if not str(because or "").strip():
            what = f"{because!r} is no reason."
            problems.append(Problem(what, f"{self.id}, because", "Say in a few words why the values are replaced."))
        if problems:
            raise InputError(problems)
        overlaid = {
            name: DatedValue(date.min, freeze(value), "", "assumed", because=because) for name, value in values.items()
        }
        return evolve(self, overlays={**self.overlays, **overlaid})

    @cached_property
    def plain(self) -> Rules:
        """The rule without its floors and add-ons: their parameters neutral, overlaid or not; itself without any."""
        off = {name: parameter.neutral for name, parameter in self.parameters.items() if parameter.neutral is not None}
        return self.with_values(because="without floors and add-ons", **off) if off else self

    @property
    def first_date(self) -> date | None:
        """The first date on which every parameter has a value (None without parameters)."""
        return max((parameter.values[0].start for parameter in self.parameters.values()), default=None)

    @property
    def assumed_share(self) -> float:
        """Share of the parameters whose latest value is graded `assumed`, in [0, 1]."""
        grades = [parameter.values[-1].grade for parameter in self.parameters.values()]
        return grades.count("assumed") / len(grades) if grades else 0.0

    def _misfits(self, name: str, value: Any) -> list[Problem]:
        """Return what keeps a value from standing in for the rule's own: kind and bounds must be the same."""
        parameter, where = self._parameter(name), f"{self.id}, overlay of {name!r}"
        wanted, got = _kind(parameter.values[-1].value), _kind(freeze(value))
        if wanted != got:
            return [Problem(f"{value!r} is {got}, the rule has {wanted}.", where)]
        if wanted == "a list" and parameter.unit == "table":
            own = [row for dated in parameter.values for row in dated.value]
            return [Problem(what, where, fix) for what, fix in _row_faults(own, value)]
        beyond = _beyond(parameter, value)
        return [Problem(f"{beyond[0]!r} is out of range.", where, _range_text(parameter))] if beyond else []

    def _parameter(self, name: str) -> Parameter:
        if name not in self.parameters:
            message = f"{self.id} has no parameter {name!r}. {suggestion(name, self.parameters)}"
            raise ParameterMissing(message)
        return self.parameters[name]


@cache
def load_rules(path: Path) -> Rules:
    """Read the `.toml` of a rule.

    Raises
    ------
    InputError
        The file lacks a field, names an unknown source, grade or condition, its dates overlap or leave a gap, or a
        condition combines nothing or itself.
    """
    try:
        data = freeze(tomllib.loads(path.read_text(encoding="utf-8")))
        rules, combinations = _rules(data), _combination_faults(data.get("conditions", {}))
    except tomllib.TOMLDecodeError as error:
        raise InputError([Problem(f"is no TOML: {error}.", path.name)]) from error
    except (KeyError, TypeError) as error:
        raise InputError([Problem(f"field missing or unknown: {error}.", path.name)]) from error
    problems = [Problem(what, f"{path.name} {where}") for where, what in (*_faults(rules), *combinations)]
    if problems:
        raise InputError(problems)
    return rules


def _rules(data: dict[str, Any]) -> Rules:
    sources = {key: Source(**value) for key, value in data["sources"].items()}
    header = {key: data[key] for key in ("id", "kind", "title", "authority", "level", "status", "scope")}
    parameters = {name: _parameter(name, value) for name, value in data.get("parameters", {}).items()}
    conditions = _conditions(data.get("conditions", {}), sources)
    return Rules(
        **header,
        structure=data.get("structure", ""),
        sources=sources,
        parameters=parameters,
        conditions=conditions,
    )


def _parameter(name: str, data: dict[str, Any]) -> Parameter:
    values = tuple(DatedValue(**_dates(value)) for value in data["values"])
    return Parameter(name, data["unit"], data["about"], values, data.get("neutral"), data.get("range"))


def _conditions(data: dict[str, Any], sources: Mapping[str, Source]) -> tuple[Condition, ...]:
    """Return the conditions that no other combines, each with its parts."""

    def made(name: str, above: frozenset[str] = frozenset()) -> Condition:
        combines, names = _combined(data[name])
        parts = [made(part, above | {name}) for part in names if part in data and part not in above | {name}]
        fields = _dates({key: value for key, value in data[name].items() if key not in COMBINATIONS})
        fields["source"] = sources[fields["source"]]
        return Condition(id=name, combines=combines, parts=tuple(parts), **fields)

    inner = {part for name, each in data.items() for part in _combined(each)[1] if part != name}
    return tuple(made(name) for name in data if name not in inner)


def _combined(condition: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return how a condition combines others and their names; nothing for one with a test of its own."""
    for how in COMBINATIONS:
        if how in condition:
            names = condition[how]
            return how, (names,) if isinstance(names, str) else tuple(names)
    return "", ()


def _combination_faults(conditions: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, condition in conditions.items():
        how, names = _combined(condition)
        if len([each for each in COMBINATIONS if each in condition]) > 1:
            yield name, f"combines in several ways: write one of {', '.join(COMBINATIONS)}, and others as parts of it"
        if how and isinstance(condition[how], str) != (how == "not"):
            yield name, f"{how} = {condition[how]!r}: write a list of names after any and all, one name after not"
        if how and not any(names):
            yield name, f"{how} combines nothing"
        for part in names:
            if part and part not in conditions:
                yield name, f"unknown condition {part!r}. {suggestion(part, conditions)}"
        if name in _below(name, conditions):
            yield name, "combines itself, directly or through others"


def _below(name: str, conditions: Mapping[str, Any]) -> set[str]:
    """Return every condition that goes into this one, however far down."""
    found: set[str] = set()
    left = [name]
    while left:
        new = [part for part in _combined(conditions.get(left.pop(), {}))[1] if part not in found]
        found.update(new)
        left += new
    return found


def _dates(data: dict[str, Any]) -> dict[str, Any]:
    renamed = {"from": "start", "until": "end"}
    return {renamed.get(key, key): value for key, value in data.items()}


def _faults(rules: Rules) -> Iterator[tuple[str, str]]:
    if rules.status not in STATUSES:
        yield "status", f"unknown status {rules.status!r}. {suggestion(rules.status, STATUSES)}"
    if rules.structure and (rules.structure not in STRUCTURES or rules.kind != "arrangement"):
        yield "structure", f"{rules.structure!r} is none of an arrangement's. {suggestion(rules.structure, STRUCTURES)}"
    for condition in {each.id: each for whole in rules.conditions for each in whole.walk()}.values():
        yield from _span_faults(condition.id, condition)
    for parameter in rules.parameters.values():
        yield from _parameter_faults(parameter, rules.sources)


def _parameter_faults(parameter: Parameter, sources: Mapping[str, Source]) -> Iterator[tuple[str, str]]:
    name, values, neutral = parameter.name, parameter.values, parameter.neutral
    if not values:
        yield name, "has no value"
    if parameter.range is not None and not _is_range(parameter.range):
        yield name, f"range is {parameter.range!r}: write the least and the greatest number, [0.0, 1.0]"
        return
    for value in values:
        yield from _span_faults(name, value)
        if value.source not in sources:
            yield name, f"unknown source {value.source!r}. {suggestion(value.source, sources)}"
        if neutral is not None and _kind(neutral) != _kind(value.value):
            yield name, f"neutral is {_kind(neutral)}, the value is {_kind(value.value)}"
    for beyond in _beyond(parameter, [*(value.value for value in values), neutral]):
        yield name, f"{beyond!r} is out of range. {_range_text(parameter)}"
    for earlier, later in pairwise(values):
        if earlier.end != later.start:
            yield name, f"gap or overlap between {earlier.end} and {later.start}"


def _span_faults(name: str, item: DatedValue | Condition) -> Iterator[tuple[str, str]]:
    if item.grade not in GRADES:
        yield name, f"unknown grade {item.grade!r}. {suggestion(item.grade, GRADES)}"
    dates = [day for day in (item.start, item.end) if day is not None]
    if not all(type(day) is date for day in dates):
        yield name, f"{dates} are no dates: write 2026-06-30 without quotes"
    elif dates != sorted(set(dates)):
        yield name, f"ends on {item.end}, not after it begins on {item.start}"


def _numbers(value: Any) -> list[float]:
    """Return the numbers of a value or a list; those of a table mean something else in every column."""
    if isinstance(value, tuple | list):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _row_faults(own: Iterable[Mapping[str, Any]], rows: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Yield the rows of an overlaid table that are none, have no field of the rule's own rows, or misspell one."""
    fields = [set(row) for row in own]
    needed, known = set.intersection(*fields) if fields else set(), set().union(*fields)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            yield f"row {number} is {row!r}.", "Give a dict for each row."
        elif known.isdisjoint(row) and known:
            yield f"row {number} has {listed(row)}.", f"A row has {listed(sorted(known))}."
        else:
            hints = {name: suggestion(name, needed - set(row)) for name in row if name not in known}
            yield from ((f"row {number} has {name!r}.", hint) for name, hint in hints.items() if hint.endswith("?"))


def _is_range(given: Any) -> bool:
    numbers = _numbers(given)
    return isinstance(given, tuple) and len(given) == len(numbers) == 2 and numbers[0] < numbers[1]


def _beyond(parameter: Parameter, value: Any) -> list[float]:
    """Return the numbers of a value that are beyond the bounds of its parameter, or not finite."""
    low, high = parameter.bounds()
    return [number for number in _numbers(value) if not (low <= number <= high and math.isfinite(number))]


def _range_text(parameter: Parameter) -> str:
    low, high = parameter.bounds()
    unit = "" if parameter.unit in ("1", "table") else f" ({parameter.unit})"
    if not math.isfinite(low):
        return "Give a finite number."
    return f"Give {low:g} or more{unit}." if high == math.inf else f"Give {low:g} to {high:g}{unit}."


def _kind(value: Any) -> str:
    """Return the kind of a parameter's value, in the words of an error message."""
    if isinstance(value, bool):
        return "a flag"
    if isinstance(value, int | float):
        return "a number" if math.isfinite(value) else "not a finite number"
    kinds = {"tuple": "a list", "dict": "a table", "str": "a text"}
    return kinds.get(type(value).__name__, f"a {type(value).__name__}")
