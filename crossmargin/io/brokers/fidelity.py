"""Fidelity: statement and positions in CSV.

Quirks: a summary of accounts above the table, sections with subtotals, options that only their description names,
`&amp;` in texts, cash one column too far to the left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from types import MappingProxyType

from crossmargin.io.brokers.cells import is_blank
from crossmargin.io.brokers.sheets import Sheet, SheetRow
from crossmargin.io.brokers.statement import Aside, Holding, Item, Money

_SECTIONS = ("stocks", "bonds", "options", "core account", "mutual funds", "other")
_ACCOUNT = re.compile(r"[A-Z]?\d{8,9}")
_MONEY_MARKET = re.compile(r"MONEY MARKET|\*\*$")
_YIELDS = re.compile(r" EAI: .*$")  # estimated income and yield, behind the name
_FUND = "The money market fund is taken as cash."
_TREASURY = re.compile(r"\bTREAS")


def _section(cells: Sequence[str]) -> str:
    alone = cells[0].casefold() if cells and not any(cells[1:]) else ""
    return alone if alone in _SECTIONS else alone.upper() if _ACCOUNT.fullmatch(alone.upper()) else ""


def _position(row: SheetRow) -> Item:
    if row.cells[0].casefold().startswith(("subtotal", "total")):
        return Aside(row.place, row.text, "A total.")
    account = row.get("account") or next((each for each in reversed(row.sections) if _ACCOUNT.fullmatch(each)), "")
    if row.get("symbol") == "CASH":
        shifted = not is_blank(row.get("description")) and row.get("description")[:1].isdigit()
        return Money(row.place, row.text, row.get("description") if shifted else row.get("value"), account=account)
    description = _YIELDS.sub("", unescape(row.get("description")))
    if _MONEY_MARKET.search(row.get("symbol")) or _MONEY_MARKET.search(description.upper()):
        return Money(row.place, row.text, row.get("value"), account=account, guess=_FUND)
    if is_blank(row.get("quantity")):
        return Aside(row.place, row.text, "Has no quantity.")
    treasury = row.sections[-1:] == ("bonds",) and _TREASURY.search(description.upper())
    return Holding(
        row.place,
        row.text,
        row.get("symbol"),
        row.get("quantity"),
        description=description,
        hint="treasury" if treasury else "",
        price=row.get("price"),
        value=row.get("value"),
        account=account,
    )


STATEMENT = Sheet(
    "Fidelity positions",
    MappingProxyType(
        {
            "account": ("Account Number", "Account #"),
            "symbol": ("Symbol/CUSIP", "Symbol"),
            "description": ("Description",),
            "quantity": ("Quantity",),
            "price": ("Price", "Last Price"),
            "value": ("Ending Value", "Current Value"),
        }
    ),
    ("symbol", "description", "quantity", "price", "value"),
    _position,
    section_of=_section,
)
SHEETS = (STATEMENT,)
