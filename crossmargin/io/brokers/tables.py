"""A table of one's own: the columns symbol and quantity, and any of account, price, value, currency, description, kind.

`SHEETS` reads it from CSV, `holding` from named values; `frames` uses the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from crossmargin.errors import suggestion
from crossmargin.io.brokers.sheets import Sheet, SheetRow
from crossmargin.io.brokers.statement import Aside, Holding, Item, Unread
from crossmargin.products import PRODUCT_KINDS

COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "symbol": ("symbol", "ticker", "instrument", "cusip", "isin"),
        "quantity": ("quantity", "qty", "position", "shares", "contracts", "face"),
        "account": ("account", "account id", "account number"),
        "description": ("description", "name"),
        "price": ("price", "last price", "mark price"),
        "value": ("value", "market value"),
        "currency": ("currency", "ccy"),
        "side": ("side", "long/short", "buy/sell"),
        "multiplier": ("multiplier", "contract size"),
        "hint": ("kind", "product"),
    }
)
NEEDED = ("symbol", "quantity")
_NOTHING: Mapping[str, str] = MappingProxyType(dict.fromkeys(NEEDED, ""))
_TOTALS = frozenset({"total", "totals", "subtotal", "grand total"})
_KINDS = frozenset({*PRODUCT_KINDS, "treasury"})


def holding(place: str, text: str, values: Mapping[str, str]) -> Item:
    """Return the holding in a row whose values are named like `COLUMNS`."""
    if values.get("symbol", "").strip().rstrip(":").casefold() in _TOTALS:
        return Aside(place, text, "A total.")
    if (kind := values.get("hint", "")) and kind not in _KINDS:
        return Unread(place, text, f"The kind {kind!r} is unknown. {suggestion(kind, _KINDS)}")
    given: dict[str, Any] = {**_NOTHING, **values}
    return Holding(place, text, **given)


def _read(row: SheetRow) -> Item:
    return holding(row.place, row.text, row.values)


_OF_TRADES = ("action", "tradedate", "transactiontype", "tradeid", "orderid", "rundate", "settlementdate")
SHEETS = (Sheet("table of positions", COLUMNS, NEEDED, _read, frozenset(_OF_TRADES)),)
