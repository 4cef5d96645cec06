"""How much a file may say is held: whole contracts, and of nothing more than there can be.

Call `fault(kind, quantity)`; books and statements do, row by row.
"""

from __future__ import annotations

from crossmargin.posted import MOST_QUANTITY

CONTRACTS = frozenset(
    {
        *("treasury_future", "short_rate_future", "index_future", "security_future"),
        *("future_option", "index_future_option", "listed_option"),
    }
)


def fault(kind: str, quantity: float) -> str:
    """Return what is wrong with a quantity of a kind of product, "" when nothing is.

    Examples
    --------
    >>> fault("listed_option", 2.5), fault("stock", 2.5), fault("strips", -1e308)
    ('contracts are whole', '', 'no book holds more than 9.0072e+15 of anything')
    """
    if abs(quantity) > MOST_QUANTITY:
        return f"no book holds more than {MOST_QUANTITY:g} of anything"
    return "contracts are whole" if kind in CONTRACTS and quantity != int(quantity) else ""
