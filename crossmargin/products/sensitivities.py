"""A bilateral portfolio known by its sensitivities alone, not by its trades. Data only: no margin, no file.

`SensitivityPortfolio` holds what `crossmargin.simm` or a CRIF file gives; two of the same content are one product.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, ClassVar

import numpy as np
from attrs import Factory, field, frozen

from crossmargin.errors import Problems
from crossmargin.products import _fields as fields

_COLUMNS = ("product_class", "risk_type", "qualifier", "bucket", "label1", "label2")


def _content(portfolio: SensitivityPortfolio) -> str:
    """Return sixteen characters that stand for sensitivities and add-ons, "" for what holds none."""
    if not _is_table(portfolio.sensitivities):
        return ""
    found = blake2b(digest_size=8)
    for name in _COLUMNS:
        column = getattr(portfolio.sensitivities, name)
        codes, values = _in_order(np.asarray(column.codes, dtype=np.intp), tuple(column.values))
        found.update(repr((name, values)).encode())
        found.update(codes.astype("<i8").tobytes())
    found.update(np.asarray(portfolio.sensitivities.amount_usd, dtype="<f8").tobytes())
    found.update(repr(_agreed(portfolio.add_ons)).encode())
    return found.hexdigest()


@frozen(cache_hash=True)
class SensitivityPortfolio:
    """Trades that nothing clears, by their sensitivities; quantity 1 holds them as given, −1 the other side.

    Another quantity is so many times every sensitivity and every notional of an add-on. Fixed add-ons and multipliers
    of product classes are of the agreement and do not grow.

    Parameters
    ----------
    name : str
        Of the portfolio, the PortfolioID of a CRIF.
    sensitivities : crossmargin.simm.Sensitivities
        USD, gain > 0 to the holder when the factor rises; `crossmargin.io.crif.Crif.sensitivities` reads them.
    add_ons : crossmargin.simm.AddOns, optional
        What is agreed beyond the sensitivities.
    counterparty : str
        Whom the trades are with when not the firm of the account: what is with two never nets.
    schedule_rows : int
        Rows of the same portfolio that the sensitivities leave out because the schedule margins them.

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> from crossmargin.simm import Sensitivities
    >>> row = {"product_class": "RatesFX", "risk_type": "Risk_FX", "qualifier": "EUR", "amount_usd": 1e6}
    >>> one, other = (SensitivityPortfolio("A", Sensitivities.from_records([row])) for _ in range(2))
    >>> one == other, one.symbol == f"A #{one.content[:4]}"
    (True, True)
    """

    kind: ClassVar[str] = "sensitivity_portfolio"
    name: str
    sensitivities: Any = field(eq=False, repr=False)
    add_ons: Any = field(default=None, eq=False, repr=False, kw_only=True)
    counterparty: str = field(default="", kw_only=True)
    schedule_rows: int = field(default=0, kw_only=True)
    content: str = field(init=False, default=Factory(_content, takes_self=True))

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), self.kind
        fields.is_text(problems, self.name, f"{where} name")
        fields.is_text(problems, self.counterparty, f"{where} counterparty", empty=True)
        if not _is_table(self.sensitivities):
            what = f"a {type(self.sensitivities).__name__} is no table of sensitivities."
            fix = "Give crossmargin.simm.Sensitivities: read_crif(path).sensitivities(name)."
            problems.add(what, where=f"{where} sensitivities", fix=fix)
        elif not np.isfinite(self.sensitivities.amount_usd).all():
            problems.add("an amount is no finite number.", where=f"{where} sensitivities", fix="Give USD.")
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """Readable name: the portfolio, four characters of its content, and whom it is with."""
        return f"{self.name} #{self.content[:4]}" + (f" with {self.counterparty}" if self.counterparty else "")


def _is_table(sensitivities: Any) -> bool:
    columns = [getattr(sensitivities, name, None) for name in _COLUMNS]
    return hasattr(sensitivities, "amount_usd") and all(hasattr(column, "codes") for column in columns)


def _in_order(codes: Any, values: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    """Return codes and values of a column by first appearance: equal texts, equal codes."""
    first = np.full(len(values), len(codes))
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    order = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(codes))]
    rank = np.zeros(len(values), dtype=np.intp)
    rank[order] = np.arange(len(order))
    return rank[codes], tuple(values[place] for place in order.tolist())


def _agreed(add_ons: Any) -> tuple[Any, ...]:
    """Return what add-ons say, nothing for none."""
    if add_ons is None:
        return (), (), ()
    notional = [(each.product, each.factor_pct, each.notional_usd) for each in add_ons.notional]
    return tuple(sorted(add_ons.multipliers.items())), tuple(add_ons.fixed_usd), tuple(notional)
