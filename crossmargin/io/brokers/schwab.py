"""Schwab: positions and transactions in CSV.

Quirks: a title line with the date, every cell quoted, `$` and separators of thousands, `--` and `N/A` for nothing, a
comma at the end of each row, totals among the positions.
"""

from __future__ import annotations

from types import MappingProxyType

from crossmargin.io.brokers.cells import is_blank
from crossmargin.io.brokers.sheets import Sheet, SheetRow
from crossmargin.io.brokers.statement import Aside, Holding, Item, Money

_HINTS = {"etfs & closed end funds": "etf", "equity": "stock"}


def _position(row: SheetRow) -> Item:
    symbol, kind = row.get("symbol"), row.get("type").casefold()
    if symbol.casefold() in {"account total", "positions total"}:
        return Aside(row.place, row.text, "A total.")
    if is_blank(row.get("quantity")):
        if "cash" in kind or symbol.casefold().startswith("cash"):
            return Money(row.place, row.text, row.get("value"))
        return Aside(row.place, row.text, "Has no quantity.")
    return Holding(
        row.place,
        row.text,
        symbol,
        row.get("quantity"),
        description=row.get("description"),
        hint=_HINTS.get(kind, ""),
        price=row.get("price"),
        value=row.get("value"),
    )


def _transaction(row: SheetRow) -> Item:
    return Aside(row.place, row.text, f"A transaction ({row.get('action')}), not a position.")


POSITIONS = Sheet(
    "Schwab positions",
    MappingProxyType(
        {
            "symbol": ("Symbol",),
            "description": ("Description",),
            "quantity": ("Quantity", "Qty (Quantity)"),
            "price": ("Price",),
            "value": ("Market Value", "Mkt Val (Market Value)"),
            "type": ("Security Type", "Asset Type"),
        }
    ),
    ("symbol", "description", "quantity", "price", "value", "type"),
    _position,
)
TRANSACTIONS = Sheet(
    "Schwab transactions",
    MappingProxyType(
        {name: (name,) for name in ("date", "action", "symbol", "description", "quantity", "price", "amount")}
    ),
    ("date", "action", "symbol", "description", "quantity", "price", "amount"),
    _transaction,
)
SHEETS = (POSITIONS, TRANSACTIONS)
