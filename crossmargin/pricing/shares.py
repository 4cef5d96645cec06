"""Stock, funds, and futures on them and on indices, under scenarios: today's price times the move of their ticker.

Call `share_values`; `spot_of` says what a ticker costs. A future is carried at its own price where the market has one,
at the spot otherwise, and moves with the spot: dividends and financing over the horizon are left out. A VIX future
moves as far as the VIX does, which is farther than futures of later months really go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from crossmargin.columns import FloatArray
from crossmargin.errors import Problem, suggestion
from crossmargin.market import Market
from crossmargin.products import Product
from crossmargin.products.equities import ETF, SecurityFuture, Stock
from crossmargin.products.futures import IndexFuture
from crossmargin.scenarios import ScenarioSet
from crossmargin.underlyings import ticker_held

Share: TypeAlias = Stock | ETF | SecurityFuture | IndexFuture


def spot_of(ticker: str, market: Market) -> float | None:
    """Return the price of a ticker, USD: that of its underlying, or else an observed one; None without either."""
    known = market.underlyings.get(ticker)
    return market.prices.get(ticker) if known is None or known.spot is None else known.spot


def share_price(share: Share, market: Market) -> float | None:
    """Return the price of one share, or of a future per share or point, USD; None without one."""
    own = market.prices.get(share.symbol) if isinstance(share, SecurityFuture | IndexFuture) else None
    return spot_of(ticker_held(share), market) if own is None else own


def share_values(shares: Iterable[Share], market: Market, scenarios: ScenarioSet) -> dict[Product, FloatArray]:
    """Return the value of each share or contract today and under every scenario, USD, rows [1 + n_scenarios].

    Of shares in which `share_problems` finds nothing wrong.
    """
    values: dict[Product, FloatArray] = {}
    for share in shares:
        units = share.multiplier if isinstance(share, SecurityFuture | IndexFuture) else 1.0
        moved = np.concatenate([[1.0], 1.0 + scenarios.spot_moves[ticker_held(share)]])
        values[share] = units * (share_price(share, market) or 0.0) * moved
    return values


def share_problems(shares: Iterable[Share], market: Market, scenarios: ScenarioSet) -> Iterable[Problem]:
    """Yield every share without a price above 0 or a move, and every future that has expired."""
    for share in shares:
        ticker, price = ticker_held(share), share_price(share, market)
        if price is None:
            advice = f" {suggestion(ticker, market.underlyings)}" if market.underlyings else ""
            yield Problem(f"the market has no price of {ticker!r}.", share.symbol, f"Give prices[{ticker!r}].{advice}")
        elif price <= 0.0:
            yield Problem(f"its price is {price:g}.", share.symbol, "Give a price above 0.")
        if isinstance(share, SecurityFuture | IndexFuture) and share.expiry < market.as_of:
            yield Problem(f"expired on {share.expiry}.", share.symbol, "Drop it.")
        if ticker not in scenarios.spot_moves:
            fix = "Give spot_moves, zeros if it stands still."
            yield Problem(f"the scenarios do not say how {ticker!r} moves.", share.symbol, fix)
