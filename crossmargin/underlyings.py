"""What options are written on: a spot, what it pays, and how volatile it is thought to be.

An `Underlying` is part of a `Market`. Data only: surfaces are built and read in `pricing/`.
"""

from __future__ import annotations

import math
from datetime import date
from numbers import Real
from typing import Any, Literal, TypeAlias, get_args

from attrs import field, frozen

from crossmargin.errors import Problems, suggestion
from crossmargin.records import as_tuple

SmileRule: TypeAlias = Literal["sticky_strike", "sticky_moneyness", "sticky_delta"]


def _finite(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _is_day(value: Any) -> bool:
    return isinstance(value, date)


def _plain(volatility: Any) -> Any:
    return float(volatility) if isinstance(volatility, Real) else volatility  # NumPy's numbers too


@frozen(eq=False)
class Underlying:
    """A share, fund, index or future that options are written on.

    Parameters
    ----------
    symbol
        Ticker, or the symbol of a future (`ZN 2026-09`).
    volatility
        Yearly volatility as a decimal, or a `pricing.volatility.VolatilitySurface`.
    spot
        USD per unit; None for a future, whose price comes from its own valuation.
    dividend_yield
        Continuous, decimal.
    dividends
        Known cash dividends: (ex-date, USD per unit). The spot less their present value is what moves.
    smile_rule
        What stays when the spot moves: `sticky_strike`, `sticky_moneyness` or `sticky_delta`.

    Raises
    ------
    InputError
        With every field that is wrong.
    """

    symbol: str
    volatility: Any = field(converter=_plain)
    spot: float | None = None
    dividend_yield: float = field(default=0.0, kw_only=True)
    dividends: tuple[tuple[date, float], ...] = field(default=(), kw_only=True, converter=as_tuple)
    smile_rule: SmileRule = field(default="sticky_moneyness", kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"underlying {self.symbol!r}"
        if self.spot is not None and not (_finite(self.spot) and self.spot > 0.0):
            problems.add(f"spot is {self.spot!r}.", where=where, fix="Give a finite price above 0.")
        if not (hasattr(self.volatility, "smiles") or (_finite(self.volatility) and self.volatility >= 0.0)):
            problems.add(f"volatility is {self.volatility!r}.", where=where, fix="Give 0.2 for 20 %, or a surface.")
        if not _finite(self.dividend_yield):
            problems.add(f"dividend_yield is {self.dividend_yield!r}.", where=where, fix="Give a decimal.")
        if not all(_is_day(day) and _finite(amount) and amount >= 0.0 for day, amount in self.dividends):
            problems.add("a cash dividend is no amount.", where=where, fix="Give (date, USD per unit, 0 or more).")
        if self.smile_rule not in get_args(SmileRule):
            fix = suggestion(str(self.smile_rule), get_args(SmileRule))
            problems.add(f"unknown smile_rule {self.smile_rule!r}.", where=where, fix=fix)
        problems.raise_if_any()
