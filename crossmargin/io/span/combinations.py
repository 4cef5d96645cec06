"""Combinations of a SPAN file: the months of its legs that the delta of a combination, or of an option on one, enters.

Call `allocated`; `method_of` says how the exchange asks it (records 2 and X). Legs come from records Z, the combination
of an option from records Y. What split and modified split do to the array is not public, and not done here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import frozen

from crossmargin.errors import InputError
from crossmargin.io.span.tables import ContractKey, SpanFile, find_contract

COMBINATIONS = frozenset({"CMB", "OOC"})
WHOLE_ARRAY = frozenset({"S", "M"})  # methods that split more than the delta

_Record: TypeAlias = Mapping[str, Any]
_SIDES = {"A": 1.0, "B": -1.0}


@frozen
class Allocated:
    """Where a combination's delta goes for one leg: `weight` of it, signed, in deltas of the leg's contracts."""

    name: str
    commodity: str
    month: int
    weight: float
    delta_scaling: float


def method_of(file: SpanFile, key: ContractKey) -> str:
    """Return how combinations of a product are allocated: S, D, M or nothing, by product before commodity."""
    products = _products(file, key)
    for record in file.records.get("combination_method", ()):
        if record["product"] in products:
            return record["combination_method"] or ""
    place = file.places.get((key.exchange, key.product, key.product_type))
    return "" if place is None else file.families[place].combination_method


def allocated(file: SpanFile, key: ContractKey) -> tuple[Allocated, ...] | str:
    """Return the legs that the delta of one long combination goes to, or why that is not known.

    A leg on side A takes `ratio` times the delta, on side B the same with the other sign, in the leg's own month and
    delta scaling factor.

    References
    ----------
    CME Group, public SPAN documentation, page 457083445, records 2, X, Y and Z. That the digit after the ratio's first
    two is a decimal is inferred.
    """
    products, wanted = _products(file, key), (key.exchange, key.month, key.day)
    legs = [
        record
        for record in file.records.get("combination_leg", ())
        if record["product"] in products and (record["exchange"], record["month"] or 0, record["day"] or "") == wanted
    ]
    if not legs:
        return "the file lists no legs of it"
    if len({record["leg"] for record in legs}) < len(legs):
        return "the file lists several combinations of this product and month"
    found = [_allocated(file, record) for record in legs]
    return next((each for each in found if isinstance(each, str)), None) or tuple(
        each for each in found if isinstance(each, Allocated)
    )


def _products(file: SpanFile, key: ContractKey) -> frozenset[str]:
    """Return the combination's own code: that of the contract, or of the combinations that the option is on."""
    if key.product_type == "CMB":
        return frozenset({key.product})
    on = {each["product"] for each in file.records.get("combination_family", ()) if each["option"] == key.product}
    return frozenset(on or {key.product})


def _allocated(file: SpanFile, record: _Record) -> Allocated | str:
    """Return one leg, or what of it is missing."""
    named = f"leg {record['leg']}"
    if record["relation"] not in _SIDES or not record["ratio"] or record["ratio_further_digits"]:
        return f"{named} has a side or a ratio that cannot be read"
    product, kind = record["leg_product"] or "", record["leg_product_type"] or ""
    if kind in COMBINATIONS:
        return f"{named} is a combination itself"
    key = ContractKey(record["exchange"], product, kind, record["leg_month"] or 0, day=record["leg_day"] or "")
    try:
        row = find_contract(file, key)
    except InputError:
        return f"the file has no array of {named}, {key}"
    commodity = file.families[file.contracts.family[row]].commodity
    scaling = float(file.contracts.delta_scaling[row])
    if commodity not in file.commodities or not scaling >= 0:
        return f"the file gives no combined commodity or delta scaling factor of {named}, {key}"
    return Allocated(f"{named} {key}", commodity, key.month, _SIDES[record["relation"]] * record["ratio"], scaling)
