"""Vanguard: holdings and, below them in the same file, transactions.

Quirks: several accounts in one table, Treasuries that only their name tells (`MTD` maturity, `DTD` dated), money market
funds as settlement cash.
"""

from __future__ import annotations

from types import MappingProxyType

from crossmargin.io.brokers.sheets import Sheet, SheetRow
from crossmargin.io.brokers.statement import Aside, Holding, Item, Money


def _holding(row: SheetRow) -> Item:
    name = row.get("name")
    if "MONEY MARKET" in name.upper():
        guess = "The money market fund is taken as cash."
        return Money(row.place, row.text, row.get("value"), account=row.get("account"), guess=guess)
    return Holding(
        row.place,
        row.text,
        row.get("symbol"),
        row.get("quantity"),
        description=name,
        price=row.get("price"),
        value=row.get("value"),
        account=row.get("account"),
    )


def _transaction(row: SheetRow) -> Item:
    return Aside(row.place, row.text, f"A transaction ({row.get('action')}), not a position.")


HOLDINGS = Sheet(
    "Vanguard holdings",
    MappingProxyType(
        {
            "account": ("Account Number",),
            "name": ("Investment Name",),
            "symbol": ("Symbol",),
            "quantity": ("Shares",),
            "price": ("Share Price",),
            "value": ("Total Value",),
        }
    ),
    ("account", "name", "symbol", "quantity", "price", "value"),
    _holding,
)
TRANSACTIONS = Sheet(
    "Vanguard transactions",
    MappingProxyType(
        {
            "account": ("Account Number",),
            "date": ("Trade Date",),
            "action": ("Transaction Type",),
            "name": ("Investment Name",),
            "amount": ("Net Amount",),
        }
    ),
    ("account", "date", "action", "name", "amount"),
    _transaction,
)
SHEETS = (HOLDINGS, TRANSACTIONS)
