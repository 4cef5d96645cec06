"""Terms of swaps that a book file writes in one field: conventions, legs, steps of notional, members of an index.

`convention`, `floating_leg`, `dated_amounts` and `named` read a field of an entry; `words` writes what they read. The
words of a convention stand in any order: `12M act/360 2d third_wednesday` pays every twelve months, two business days
late. A leg puts its index in front: `TERM-SOFR-3M 3M act/360 5bp fixing2d`, `SOFR 3M act/360 2d overnight`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from attrs import evolve

from crossmargin.errors import InputError, suggestion
from crossmargin.io import entries as read
from crossmargin.io.entries import Entry
from crossmargin.products.schedules import ADJUSTMENTS, DAY_COUNTS, ROLLS, Convention
from crossmargin.products.swaps import FloatingLeg

_COUNTS = {"months": re.compile(r"(\d{1,3})M"), "payment_lag": re.compile(r"(\d{1,3})d")}
_FIXING, _SPREAD = re.compile(r"fixing(\d{1,3})d"), re.compile(r"(\S+)bp")
_NAMES = {"day_count": DAY_COUNTS, "adjustment": ADJUSTMENTS, "roll": ROLLS}
_CONVENTION = (*_COUNTS, *_NAMES)
_EXAMPLE = "Write 12M act/360 2d third_wednesday: months, day count, days of lag, adjustment, roll."


def convention(entry: Entry, name: str) -> Convention | None:
    """Read when a leg pays, from words."""
    said = read.texts(entry, name)
    terms = _terms(entry, name, said) if said else None
    return None if terms is None else _convention(entry, name, terms)


def floating_leg(entry: Entry, name: str) -> FloatingLeg | None:
    """Read a floating leg, from its index and words."""
    said = read.texts(entry, name)
    if not said:
        return None
    if _term(said[0]):
        entry.note(name, f"begins with {said[0]!r}, not with its index.", "Write SOFR 3M act/360 2d overnight.")
        return None
    terms = _terms(entry, name, said[1:], leg=True)
    paid = None if terms is None else _convention(entry, name, terms)
    if terms is None or paid is None:
        return None
    spread = read.basis_points(evolve(entry, values={**entry.values, name: terms.pop("spread", "0")}), name)
    if spread is None:
        return None
    more = {key: value for key, value in terms.items() if key in ("overnight", "fixing_days")}
    terms = {"index": said[0], "convention": paid, "spread": spread, **more}
    made: FloatingLeg | None = _made(entry, name, FloatingLeg, terms)
    return made


def dated_amounts(entry: Entry, name: str) -> tuple[tuple[date, float], ...] | None:
    """Read amounts with dates: 2027-07-02:500000, several with blanks between."""
    before, found = len(entry.problems), []
    for word in read.texts(entry, name):
        day, colon, usd = word.partition(":")
        if not colon:
            entry.note(name, f"{word!r} is no date and amount.", "Write 2027-07-02:500000.")
            continue
        on, amount = (evolve(entry, values={**entry.values, name: part}) for part in (day, usd))
        found.append((read.day(on, name), read.number(amount, name)))
    if len(entry.problems) > before:
        return None
    return tuple((day, usd) for day, usd in found if day is not None and usd is not None)


def named(entry: Entry, name: str) -> tuple[str, ...] | None:
    """Read several names that may have blanks in them: a list, or a text with semicolons between."""
    value = entry.values[name]
    names = [each.strip() for each in value.split(";")] if isinstance(value, str) else value
    if isinstance(names, list) and all(isinstance(each, str) and each for each in names):
        return tuple(names)
    entry.note(name, f"{value!r} is no list of names.", "Write them with semicolons between.")
    return None


def words(value: Any) -> str | None:
    """Return what these readers read as a text; None for a value of another kind.

    Examples
    --------
    >>> words(((date(2027, 7, 2), 5e5), (date(2028, 7, 2), 2.5e5)))
    '2027-07-02:500000 2028-07-02:250000'
    """
    if isinstance(value, Convention | FloatingLeg):
        return value.text
    if not isinstance(value, tuple):
        return None
    if all(isinstance(each, str) for each in value):
        return "; ".join(value)
    return " ".join(f"{day.isoformat()}:{repr(float(usd)).removesuffix('.0')}" for day, usd in value)


def _terms(entry: Entry, name: str, said: Sequence[str], *, leg: bool = False) -> dict[str, Any] | None:
    """Return the terms that words stand for; note those unknown, doubled or missing."""
    before, found = len(entry.problems), dict[str, Any]()
    for word in said:
        term = _term(word)
        if term is None or (not leg and term[0] not in _CONVENTION):
            known = [each for names in _NAMES.values() for each in names]
            entry.note(name, f"{word!r} is unknown.", f"{suggestion(word, known)} {_EXAMPLE}")
        elif term[0] in found:
            entry.note(name, f"{word!r} is a second {term[0]}.", "Keep one.")
        else:
            found[term[0]] = term[1]
    for needed, example in (("months", "3M"), ("day_count", "act/360")):
        if needed not in found and len(entry.problems) == before:
            entry.note(name, f"its {needed} is missing.", f"Add {example} for example.")
    return None if len(entry.problems) > before else found


def _term(word: str) -> tuple[str, Any] | None:
    """Return the term that a word stands for and its value; None when it is none."""
    for term, pattern in (*_COUNTS.items(), ("fixing_days", _FIXING)):
        if match := pattern.fullmatch(word):
            return term, int(match[1])
    if match := _SPREAD.fullmatch(word):
        return "spread", match[1]
    if word == "overnight":
        return word, True
    return next(((term, word) for term, names in _NAMES.items() if word in names), None)


def _convention(entry: Entry, name: str, terms: dict[str, Any]) -> Convention | None:
    made: Convention | None = _made(entry, name, Convention, {key: terms[key] for key in _CONVENTION if key in terms})
    return made


def _made(entry: Entry, name: str, kind: Any, arguments: dict[str, Any]) -> Any:
    try:
        return kind(**arguments)
    except InputError as error:
        for problem in error.problems:
            entry.note(name, f"{problem.where}: {problem.what}", problem.fix)
        return None
