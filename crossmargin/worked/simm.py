"""Worked cases of SIMM, answered with the calibrations of a folder that the user has.

`families(folder)` gives the function for each family in `NAMES`: from a case's `inputs` to the figures that it
expects. The functions only translate; the calculation is in `crossmargin.simm`. No calibration is in the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from crossmargin.errors import InputError, Problem

if TYPE_CHECKING:
    from crossmargin.simm import AddOns, Calibration, SimmMargin

Case = Mapping[str, Any]
Answer = dict[str, Any]
_Load: TypeAlias = "Callable[[str], Calibration]"


def _margin(load: _Load, inputs: Case, add_ons: AddOns | None = None) -> SimmMargin:
    from crossmargin.simm import simm

    return simm(
        inputs["sensitivities"],
        load(inputs["calibration"]),
        horizon_days=inputs["horizon_days"],
        calculation_currency=inputs["calculation_currency"],
        add_ons=add_ons,
    )


def _total(load: _Load, inputs: Case) -> Answer:
    from crossmargin.simm import AddOns, notional_add_ons

    notionals = [(each["product"], each["notional_usd"]) for each in inputs["addon_notionals"]]
    factors = [(each["product"], each["factor_pct"]) for each in inputs["addon_factors"]]
    shares = notional_add_ons(factors, notionals)
    add_ons = AddOns(inputs["product_class_multipliers"], inputs["addon_fixed_usd"], shares)
    return {"margin_usd": _margin(load, inputs, add_ons).total}


def _risk_class(load: _Load, inputs: Case) -> Answer:
    found = _margin(load, inputs).of(inputs["product_class"], inputs["risk_class"])
    measures = ("delta", "vega", "curvature", "base_correlation")
    return {**{f"{name}_usd": found.measure(name) for name in measures}, "total_usd": found.amount}


_ANSWERS: Mapping[str, Callable[[_Load, Case], Answer]] = MappingProxyType(
    {"simm.total": _total, "simm.risk_class": _risk_class}
)
NAMES = frozenset(_ANSWERS)


def families(folder: str | PathLike[str]) -> Mapping[str, Callable[[Case], Answer]]:
    """Return the function that answers each family, with the calibrations of a folder; each file is read once."""

    @cache
    def load(version: str) -> Calibration:
        from crossmargin.simm import find_calibration

        if not Path(folder).is_dir():
            fix = "Name the folder: --calibrations DIR, or calibrations=. The library holds no SIMM parameter."
            raise InputError([Problem("no folder of SIMM calibrations.", str(folder), fix)])
        return find_calibration(version, folder)

    return MappingProxyType({name: partial(answer, load) for name, answer in _ANSWERS.items()})
