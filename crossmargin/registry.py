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

from crossmargin.errors import InputError, Problem, suggestion
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
    if id not in _shipped():
        raise InputError([Problem(f"unknown rule {id!r}.", "rules", suggestion(id, _shipped()))])
    return load_rules(_shipped()[id])


def rulebook(overlaid: Iterable[Rules] = ()) -> dict[str, Rules]:
    """Return every rule by id, with the given ones in place of the shipped."""
    book = {id: rules(id) for id in _shipped()}
    return {**book, **{rule.id: rule for rule in overlaid}}


def module(id: str) -> Any:
    """Return the module beside the `.toml` of a rule.

    A rule-set and a proposal have `scenarios` and `requirement`, a programme `TESTS` and, by its structure, `credits`
    (two_pot) or `requirement` (one_pot).
    """
    path = _shipped()[id]
    return import_module(f"crossmargin.{path.parent.name}.{id}")
