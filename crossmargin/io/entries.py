"""Entries of a book, from TOML, JSON and CSV alike: typed fields, every bad one noted with its place.

Call `read_fields(entry, fields)`: it returns the arguments for a record, or None after noting what is wrong.
Nothing here knows what a firm or a product is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime
from enum import StrEnum
from math import isfinite
from typing import Any, TypeAlias

from attrs import Factory, field, frozen

from crossmargin.errors import Problem, Problems, suggestion

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MONTH = re.compile(r"(\d{4})-?(\d{2})")
_BP, _ROUNDED = 1e4, 1e-9
_LONGEST_NUMBER = 100  # characters; no exact digits are looked for in longer ones
_THOUSANDS = re.compile(r"[-+]?\d{1,3}([,' ]\d{3})+(\.\d*)?")


@frozen
class Entry:
    """One row of a CSV, or one table of a TOML or JSON list: where it stands and the values that are not blank.

    `excused` names fields whose absence has been noted for the whole file; entries of one file with the same `terms`,
    other than None, describe the same product.
    """

    where: str
    values: Mapping[str, Any]
    problems: Problems = field(repr=False, eq=False)
    excused: frozenset[str] = frozenset()
    terms: object = field(default=None, repr=False, eq=False)

    @property
    def label(self) -> str:
        """Where the entry stands, with its id."""
        id = self.values.get("id")
        return self.where if id is None else f"{self.where} (id {id!r})"

    def note(self, name: str, what: str, fix: str = "") -> None:
        """Note that one field is wrong."""
        self.problems.add(what, where=f"{self.label}, field {name!r}", fix=fix)

    def note_all(self, problems: Iterable[Problem], name_of: Callable[[str], str]) -> None:
        """Note problems that a record found in itself, each under the field that `name_of` reads from its place."""
        for problem in problems:
            self.note(name_of(problem.where), problem.what, problem.fix)


Reader: TypeAlias = Callable[[Entry, str], Any]


@frozen
class Field:
    """A field of an entry: its name there, the argument `into` which it is read, and how."""

    name: str
    read: Reader
    into: str = ""
    required: bool = False
    argument: str = field(init=False, default=Factory(lambda self: self.into or self.name, takes_self=True))


def filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not blank, texts without blanks around them."""
    stripped = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    return {name: value for name, value in stripped.items() if value is not None and value != ""}


def read_fields(entry: Entry, fields: Iterable[Field]) -> dict[str, Any] | None:
    """Return argument -> value of the fields that are filled; None when one is wrong or missing, which is noted."""
    before, arguments, missing = len(entry.problems), {}, False
    for each in fields:
        if each.name in entry.values:
            arguments[each.argument] = each.read(entry, each.name)
        elif each.required:
            missing = True
            if each.name not in entry.excused:
                entry.note(each.name, "is missing.")
    return None if missing or len(entry.problems) > before else arguments


def words_in(value: Any) -> list[str]:
    """Return the words of a list, or of a text with blanks between them; none of what is neither."""
    words = value.split() if isinstance(value, str) else value
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []


def refuse_unknown(entry: Entry, known: Collection[str], *, misplaced: Collection[str] = ()) -> None:
    """Note every field that no entry of the kind has; `misplaced` names keys of the file itself."""
    for name in entry.values:
        if name in known:
            continue
        if name in misplaced:  # TOML counts a key below [[firms]] among the fields of that firm
            entry.note(name, "stands inside this entry.", "Write it above the first [[section]].")
        else:
            entry.note(name, "is unknown.", suggestion(name, known))


def text(entry: Entry, name: str) -> str | None:
    """Read a text."""
    value = entry.values[name]
    if isinstance(value, str):
        return value
    entry.note(name, f"{value!r} is no text.", "Write it in quotation marks.")
    return None


def texts(entry: Entry, name: str) -> tuple[str, ...]:
    """Read several words: a list, or a text with blanks between them."""
    value = entry.values[name]
    words = value.split() if isinstance(value, str) else value
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return tuple(words)
    entry.note(name, f"{value!r} is no list of words.", 'Write ["one", "two"].')
    return ()


def flag(entry: Entry, name: str) -> bool | None:
    """Read true or false."""
    value = entry.values[name]
    if isinstance(value, bool):
        return value
    entry.note(name, f"{value!r} is neither true nor false.", "Write true or false, without quotation marks.")
    return None


def number(entry: Entry, name: str) -> float | None:
    """Read a finite number."""
    value = entry.values[name]
    found = _number_of(value)
    if found is None:
        entry.note(name, f"{value!r} is no number.", _number_hint(value))
    elif not isfinite(found):
        entry.note(name, f"{value!r} is not finite.", "Give a finite number.")
    else:
        return found
    return None


def whole(entry: Entry, name: str) -> int | None:
    """Read a whole number."""
    found = number(entry, name)
    if found is None or found == int(found):
        return None if found is None else int(found)
    entry.note(name, f"{entry.values[name]!r} is no whole number.", "Write digits alone.")
    return None


def percent(entry: Entry, name: str) -> float | None:
    """Read a rate in percent as a decimal: 4.125 is 0.04125."""
    return _rate(entry, name, -2, f"{name} is in percent: write 4.25 for 4.25 %.")


def basis_points(entry: Entry, name: str) -> float | None:
    """Read a rate in basis points as a decimal: 12 is 0.0012."""
    return _rate(entry, name, -4, f"{name} is in basis points: write 12 for 0.12 %.")


def basis_points_from(least: float) -> Reader:
    """Return a reader of basis points that refuses, but for 0, less than `least` of them: that is a decimal."""

    def read(entry: Entry, name: str) -> float | None:
        rate = basis_points(entry, name)
        if rate is None or rate == 0.0 or abs(rate) * _BP >= least * (1.0 - _ROUNDED):
            return rate
        decimal = number(entry, name) or 0.0
        fix = f"{name} is in basis points: write {decimal * _BP:.6g}, if {decimal:g} is a decimal."
        entry.note(name, f"{entry.values[name]} bp is less than anything is quoted at.", fix)
        return None

    return read


def day(entry: Entry, name: str) -> date | None:
    """Read a date: YYYY-MM-DD, or a date of TOML."""
    value = entry.values[name]
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and _ISO_DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            entry.note(name, f"{value!r} is not in the calendar.")
            return None
    entry.note(name, f"{str(value)!r} is no date YYYY-MM-DD.", "Write 30 June 2026 as 2026-06-30.")
    return None


def month(entry: Entry, name: str) -> int | None:
    """Read a contract month as CCYYMM: 2026-09 or 202609."""
    value = entry.values[name]
    match = None if isinstance(value, bool) else _MONTH.fullmatch(str(value))
    if match:
        return int(match[1] + match[2])
    entry.note(name, f"{str(value)!r} is no contract month.", "Write September 2026 as 2026-09.")
    return None


def one_of(choices: Iterable[str]) -> Reader:
    """Return a reader of one name out of some."""
    known = tuple(str(choice) for choice in choices)

    def read(entry: Entry, name: str) -> str | None:
        return choice(entry, name, known)

    return read


def choice(entry: Entry, name: str, known: Collection[str]) -> str | None:
    """Read one of the names known."""
    value = entry.values[name]
    if isinstance(value, str) and value in known:
        return value
    entry.note(name, f"{value!r} is unknown.", suggestion(str(value), known))
    return None


def several_of(choices: type[StrEnum]) -> Reader:
    """Return a reader of a list of members of an enumeration."""
    known = {each.value: each for each in choices}

    def read(entry: Entry, name: str) -> frozenset[StrEnum]:
        words = texts(entry, name)
        for word in words:
            if word not in known:
                entry.note(name, f"{word!r} is unknown.", suggestion(word, known))
        return frozenset(known[word] for word in words if word in known)

    return read


def _number_of(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and "_" in value:
        return None  # Python reads 1_000 as a thousand; no table does
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _number_hint(value: Any) -> str:
    if isinstance(value, str) and _THOUSANDS.fullmatch(value):
        return f"Leave out the separators of thousands: {re.sub(r'[^-+.0-9]', '', value)}."
    return "Write digits with a point, a minus sign for short: -480 or 1250000.5."


def _rate(entry: Entry, name: str, places: int, fix: str) -> float | None:
    """Return the double nearest to the number as written times ten to the power of `places`."""
    found = number(entry, name)
    if found is None:
        return None
    written = str(entry.values[name])
    exact = written if len(written) <= _LONGEST_NUMBER else repr(found)
    digits, _, exponent = exact.lower().partition("e")
    rate = float(f"{digits}e{int(exponent or 0) + places}")  # dividing by 100 would round once more
    if abs(rate) < 1.0:
        return rate
    entry.note(name, f"{written} is 100 % or more.", fix)
    return None
