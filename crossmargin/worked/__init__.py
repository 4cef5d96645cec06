"""Which function of the library answers which family of worked cases.

`FAMILIES` maps the name of a family to a function from a case's `inputs` to its results, in the vocabulary of the case.
A function here only renames fields: the rule itself stands where a user would look for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from crossmargin.worked import clearing, core, securities, span, span_files, strategy
from crossmargin.worked.core import Family

__all__ = ["FAMILIES", "Family"]

_ROOMS = (core, securities, strategy, span, span_files, clearing)
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {name: family for room in _ROOMS for name, family in room.FAMILIES.items()}
)
