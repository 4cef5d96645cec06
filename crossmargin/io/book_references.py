"""What the entries of a book refer to: ids given twice; owners, firms, accounts, programmes, pots that are not there.

Call `note_references(draft)`: every problem is noted at the row and the field where it stands. What a `Portfolio` of
records refuses is refused here with its place in the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from crossmargin.accounts import ClearingHouse
from crossmargin.errors import suggestion
from crossmargin.io.book_files import Draft
from crossmargin.io.entries import Entry, words_in
from crossmargin.posted import CARRYING_FIRM


def note_references(draft: Draft) -> None:
    """Note ids that stand twice and what refers to nothing; an entry that is wrong itself may be referred to."""
    for entries in (draft["firms"] + draft["customers"], *(draft[name] for name in ("accounts", "positions"))):
        _note_duplicates(entries)
    _note_duplicates(draft["collateral"])
    firms = _ids(draft["firms"])
    owners, pots = firms | _ids(draft["customers"]) | _affiliates(draft), _pots() | firms
    known = {"owner": owners, "beneficial_owner": owners, "firm": firms, "arrangement": _programmes()}
    _refer(draft["accounts"], known)
    _refer(draft["positions"], {"account": _ids(draft["accounts"])})
    deposits = {"owner": owners, "provided_by": owners, "firm": firms, "pot": pots}
    _refer(draft["collateral"], {**deposits, "passed_on": _ids(draft["collateral"])})


def _note_duplicates(entries: Iterable[Entry]) -> None:
    first: dict[str, Entry] = {}
    for entry in entries:
        id = _text(entry, "id")
        if id and first.setdefault(id, entry) is not entry:
            entry.note("id", f"{id!r} is the id of {first[id].where} too.", "Give each its own id.")


def _affiliates(draft: Draft) -> set[str]:
    """Return the affiliates of the firms, noting those that one guarantees and does not have."""
    found: set[str] = set()
    for entry in draft["firms"]:
        own = words_in(entry.values.get("affiliates"))
        for name in sorted(set(words_in(entry.values.get("guarantees"))) - set(own)):
            advice = suggestion(name, own) if own else "The firm has none."
            entry.note("guarantees", f"{name!r} is not among the affiliates.", advice)
        found.update(own)
    return found


def _text(entry: Entry, name: str) -> str:
    value = entry.values.get(name)
    return value if isinstance(value, str) else ""


def _ids(entries: Iterable[Entry]) -> set[str]:
    return {id for entry in entries if (id := _text(entry, "id"))}


def _refer(entries: Iterable[Entry], known: Mapping[str, Collection[str]]) -> None:
    """Note the fields of entries that name none of what is `known` for them."""
    advice = cache(lambda name, value: suggestion(value, known[name]) if known[name] else "The book has none.")
    for entry in entries:
        for name, choices in known.items():
            value = entry.values.get(name)
            if isinstance(value, str) and value not in choices:
                entry.note(name, f"{value!r} is unknown.", advice(name, value))


@cache
def _programmes() -> frozenset[str]:
    """Ids of the arrangements that come with the package: the names of the files that describe them."""
    return frozenset(each.name.removesuffix(".toml") for each in _descriptions())


@cache
def _pots() -> frozenset[str]:
    """Names of what may hold collateral: clearing houses, firms, and the pots that arrangements name."""
    told = (tomllib.loads(each.read_text(encoding="utf-8")).get("parameters", {}) for each in _descriptions())
    named = {dated["value"] for parameters in told for dated in parameters.get("pot", {}).get("values", ())}
    return frozenset({*(each.value for each in ClearingHouse), CARRYING_FIRM, *named})


def _descriptions() -> Iterable[Traversable]:
    found = files("crossmargin").joinpath("arrangements").iterdir()
    return [each for each in found if each.name.endswith(".toml")]
