"""Every rule-set, arrangement and proposal of the library, found by id.

`rulebook()` reads all of their `.toml`; `rulesets()`, `arrangement(id)` and `proposal(id)` give the code beside it.
To try other values, overlay a rule with `rules(id).with_values(...)` and hand it to `margin` or `compare`. A programme
that has ended, or never began, may stand here for the record: without conditions it decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.parameters import Rules, load_rules

FOLDERS = ("rulesets", "arrangements", "proposals", "collateral")


@cache
def _shipped() -> Mapping[str, Path]:
    here = Path(__file__).parent
    return {path.stem: path for folder in FOLDERS for path in sorted((here / folder).glob("*.toml"))}


def rules(id: str) -> Rules:
    """Return the parameters and conditions of one rule as shipped.

    Raises
    ------
    InputError
        No rule has this id.
    """
    if str(id) not in _shipped():
        raise InputError([Problem(f"unknown rule {id!r}.", "rules", suggestion(str(id), _shipped()))])
    return load_rules(_shipped()[id])


def rulebook(overlaid: Rules | Iterable[Rules] = ()) -> dict[str, Rules]:
    """Return every rule by id, with the given ones in place of the shipped.

    Raises
    ------
    InputError
        Something that is no overlaid rule, or two of one rule, of which one would be lost.
    """
    book, problems = {id: rules(id) for id in _shipped()}, Problems()
    given: dict[str, Rules] = {}
    told: Any = overlaid
    for rule in told if isinstance(told, Iterable) and not isinstance(told, str) else (told,):
        if not isinstance(rule, Rules):
            problems.add(f"{rule!r} is no rule.", where="rules", fix="Give rules(id).with_values(...).")
        elif rule.id in given:
            problems.add("is overlaid twice.", where=f"rules of {rule.id}", fix="Overlay all values in one rule.")
        else:
            given[rule.id] = rule
    problems.raise_if_any()
    return {**book, **given}


def module(id: str) -> Any:
    """Return the module beside the `.toml` of a rule.

    A rule-set and a proposal have `scenarios` and `requirement`, a programme `TESTS` and, by its structure, `credits`
    (two_pot) or `requirement` (one_pot).
    """
    path = _shipped()[id]
    return import_module(f"crossmargin.{path.parent.name}.{id}")
