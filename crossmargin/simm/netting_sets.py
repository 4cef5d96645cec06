"""Portfolios that net with one another as one set of sensitivities and add-ons, each held some times.

Call `netting_set(parts)` and give what it returns to `simm`. Who nets with whom is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from attrs import evolve, frozen

from crossmargin.simm.margin import AddOns, NotionalAddOn
from crossmargin.simm.risk_types import KEYS
from crossmargin.simm.sensitivities import Column, Sensitivities, net


@frozen
class Part:
    """One portfolio of a netting set; at `times` −1 it is the other party's side."""

    sensitivities: Sensitivities
    add_ons: AddOns
    times: float = 1.0


def netting_set(parts: Iterable[Part]) -> tuple[Sensitivities, AddOns]:
    """Return the sensitivities and the add-ons of portfolios that net, USD.

    Rows of equal key add up, before anything that is not linear: concentration, curvature and its tail are those of the
    sums. Notionals of add-ons grow with `abs(times)`, fixed amounts do not; of two multipliers of one product class the
    larger counts. What is held 0 times is left out.

    References
    ----------
    ISDA SIMM Methodology, sections B.1 and B.5: curvature is linear in vega, so that the other party's is the one of
    the sensitivities turned round.

    Examples
    --------
    >>> row = {"product_class": "RatesFX", "risk_type": "Risk_FX", "qualifier": "EUR", "amount_usd": 2.0}
    >>> held = Sensitivities.from_records([row])
    >>> netting_set([Part(held, AddOns(), 3.0), Part(held, AddOns(), -1.0)])[0].amount_usd.tolist()
    [4.0]
    """
    held = [part for part in parts if part.times]
    tables = [net(part.sensitivities) for part in held]  # first each alone: the exact opposite then leaves nothing
    scaled = [evolve(each, amount_usd=part.times * each.amount_usd) for each, part in zip(tables, held, strict=True)]
    return net(_stacked(scaled)), _added(held)


def _stacked(tables: list[Sensitivities]) -> Sensitivities:
    """Return the rows of several tables under one another."""
    if not tables:
        return Sensitivities.from_records([])
    columns: dict[str, Any] = {name: _joined([getattr(table, name) for table in tables]) for name in KEYS}
    for name in ("amount_usd", "rows"):
        columns[name] = np.concatenate([getattr(table, name) for table in tables])
    return Sensitivities(**columns)


def _joined(columns: list[Column]) -> Column:
    places: dict[str, int] = {}
    tables = [
        np.array([places.setdefault(value, len(places)) for value in column.values], dtype=np.int32)
        for column in columns
    ]
    codes = np.concatenate([table[column.codes] for table, column in zip(tables, columns, strict=True)])
    return Column(codes, tuple(places))


def _added(parts: list[Part]) -> AddOns:
    multipliers: dict[str, float] = {}
    for part in parts:
        _keep_larger(multipliers, part.add_ons.multipliers)
    fixed = [amount for part in parts for amount in part.add_ons.fixed_usd]
    notional = [
        NotionalAddOn(each.product, each.factor_pct, abs(part.times) * each.notional_usd)
        for part in parts
        for each in part.add_ons.notional
    ]
    return AddOns(multipliers, fixed, notional)


def _keep_larger(found: dict[str, float], more: Mapping[str, float]) -> None:
    for name, value in more.items():
        found[name] = max(value, found.get(name, value))
