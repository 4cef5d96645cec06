"""Worked cases of SPAN risk-parameter records, answered by the library's reader of them.

`FAMILIES` names the function for each family: from a case's `inputs` to the fields that it expects. Records are read by
`io.span.records`; nothing is renamed but the price's own arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from crossmargin.errors import InputError, Problem
from crossmargin.io.span.layouts import LAYOUTS
from crossmargin.io.span.records import layout_of, parse_record, settlement_price

Case = Mapping[str, Any]
Answer = dict[str, Any]


def _settlement_price(inputs: Case) -> Answer:
    price = settlement_price(inputs["raw"], inputs["decimal_locator"], inputs["alignment_code"], inputs["sign"])
    return {"price": price}


def _record(family: str, inputs: Case) -> Answer:
    found = layout_of(inputs["record"]).family
    if found != family:
        raise InputError([Problem(f"a record of {found}.", "record", f"Give one of {family}.")])
    return parse_record(inputs["record"])


FAMILIES: Mapping[str, Callable[[Case], Answer]] = MappingProxyType(
    {
        "span.settlement_price": _settlement_price,
        **{f"span.parse_record.{layout.family}": partial(_record, layout.family) for layout in LAYOUTS.values()},
    }
)
