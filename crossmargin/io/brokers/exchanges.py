"""Portfolios as exchanges take them: NSE tables, Eurex CPME swaps and sensitivities in CSV and estimator JSON.

All are in other currencies or of other markets than the library margins: their rows are accounted for with the reason,
and none becomes a position.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from crossmargin.errors import InputError, Problem
from crossmargin.io.brokers.cells import amount
from crossmargin.io.brokers.sheets import Sheet, SheetRow, items_of
from crossmargin.io.brokers.statement import Aside, Item, Unread

_SIGNS = {"buy": 1, "sell": -1}


def _nse(row: SheetRow) -> Item:
    try:
        quantity, side = amount(row.get("quantity")), row.get("side").casefold()
    except ValueError as error:
        return Unread(row.place, row.text, str(error))
    if _SIGNS.get(side, 0) * quantity < 0:
        return Unread(row.place, row.text, f"The quantity is {row.get('quantity')}, but the side is {side}.")
    what = "It is in INR and counts shares, not contracts; positions are margined in USD."
    return Unread(row.place, row.text, what)


def _rate(row: SheetRow) -> Item:
    return Aside(row.place, row.text, "A margin rate of NSE, not a position.")


def _swap(row: SheetRow) -> Item:
    currency, kind = row.get("currency"), row.get("kind")
    if currency != "USD":
        return Unread(row.place, row.text, f"{kind} in {currency}; positions are margined in USD.")
    return Unread(
        row.place, row.text, f"{kind} in USD: swaps are read from a book file (product overnight_swap), not from here."
    )


def _sensitivity(row: SheetRow) -> Item:
    return Aside(row.place, row.text, "A sensitivity by maturity, not a position.")


NSE = Sheet(
    "NSE portfolio",
    MappingProxyType(
        {
            "kind": ("product_type",),
            "symbol": ("symbol",),
            "expiry": ("expiry",),
            "quantity": ("net_qty",),
            "right": ("option_type",),
            "strike": ("strike",),
            "side": ("buy/sell",),
        }
    ),
    ("kind", "symbol", "expiry", "quantity", "right", "strike", "side"),
    _nse,
)
NSE_RATES = Sheet(
    "NSE margin rates",
    MappingProxyType({"symbol": ("Symbol",), "kind": ("Instrument Type",), "rate": ("Normal ELM Margin%",)}),
    ("symbol", "kind", "rate"),
    _rate,
)
CPME = Sheet(
    "Eurex CPME swaps",
    MappingProxyType(
        {"id": ("internalTradeID",), "kind": ("tradeType",), "currency": ("currency",), "end": ("terminationDate",)}
    ),
    ("id", "kind", "currency", "end"),
    _swap,
)
CPME_SENSITIVITIES = Sheet(
    "Eurex CPME sensitivities",
    MappingProxyType({"maturity": ("Maturity",), "curve": ("USD.FEDFUNDS.ON", "EUR.EONIA.ON", "EUR.EURIBOR.6M")}),
    ("maturity", "curve"),
    _sensitivity,
)
SHEETS = (NSE, NSE_RATES, CPME, CPME_SENSITIVITIES)
ESTIMATOR = "Eurex CPME estimator"


def estimator_items(text: str, name: str) -> list[Item]:
    """Return what every line of the portfolio in a request to the CPME estimator says.

    Raises
    ------
    InputError
        The text is no JSON, or has no portfolio in it.
    """
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError([Problem(f"is no readable JSON: {error}.", name, "Export it again.")]) from error
    components = data.get("portfolio_components") if isinstance(data, dict) else None
    if not isinstance(components, list) or not all(isinstance(each, dict) for each in components):
        fix = "Known JSON: a request to the Eurex CPME estimator. A book in JSON is read by load_book."
        raise InputError([Problem("has no list 'portfolio_components'.", name, fix)])
    return [
        item
        for number, each in enumerate(components, 1)
        for item in _component(each, f"{name} component {number}", name)
    ]


def _component(component: dict[str, Any], place: str, name: str) -> Iterator[Item]:
    kind = str(component.get("type", ""))
    content = component.get(kind)
    if kind == "otc_csv" and isinstance(content, dict) and isinstance(content.get("csv"), str):
        yield from items_of(content["csv"], f"{name} otc_csv", SHEETS)[1]
        return
    if not isinstance(content, list):
        yield Unread(place, str(component), f"A component of type {kind!r} without a list of lines.")
        return
    for number, line in enumerate(content, 1):
        yield Unread(f"{place} line {number}", json.dumps(line), _why(kind, line if isinstance(line, dict) else {}))


def _why(kind: str, line: dict[str, Any]) -> str:
    if kind == "etd_portfolio":
        return f"{line.get('product_id')} is a contract of Eurex; the library has US contracts only."
    if kind == "repo_json":
        return f"A repo in {line.get('currency')} on {line.get('sec_isin')}; the library has repo on Treasuries in USD."
    return f"Lines of type {kind!r} are unknown."
