"""What an asset is worth today.

`unit_values` prices assets. No haircut and no eligibility: those are the taker's (`schedules`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from crossmargin.market import Market
from crossmargin.pnl import revalue, today_prices
from crossmargin.posted import HOME_CURRENCY, Asset, Cash, OtherAsset
from crossmargin.pricing.legs import POINTS
from crossmargin.products.equities import ETF, Stock
from crossmargin.products.treasuries import (
    TIPS,
    TREASURY_SECURITIES,
    TreasurySecurity,
    accrued_interest,
    years_between,
)
from crossmargin.scenarios import grid_scenarios


def unit_values(assets: Iterable[Asset], market: Market) -> dict[Asset, float]:
    """Return what one unit of each asset is worth, USD, accrued interest included; what has no price is left out.

    Observed prices go before modelled ones. A price below zero is no price.

    Examples
    --------
    >>> from crossmargin.samples import basis_trade
    >>> unit_values([Cash(), Cash("EUR")], basis_trade()[1])
    {Cash(currency='USD'): 1.0}
    """
    distinct = tuple(dict.fromkeys(assets))
    quoted = {asset: _quoted(asset, market) for asset in distinct if isinstance(asset, Cash | OtherAsset)}
    found: dict[Asset, float] = {asset: price for asset, price in quoted.items() if price is not None}
    shares = [asset for asset in distinct if isinstance(asset, Stock | ETF)]
    prices = today_prices(shares, market)
    found |= {share: prices[share] for share in shares if share in prices}
    found |= _treasury_values([asset for asset in distinct if isinstance(asset, TREASURY_SECURITIES)], market)
    return {asset: found[asset] for asset in distinct if asset in found and found[asset] >= 0.0}


def years_left(asset: Asset, as_of: date) -> float:
    """Return the calendar years that an asset has to run, 0 for what has no maturity."""
    maturity = getattr(asset, "maturity", None)
    return 0.0 if maturity is None else years_between(as_of, maturity)


def _quoted(asset: Cash | OtherAsset, market: Market) -> float | None:
    if isinstance(asset, OtherAsset):
        return market.prices.get(asset.name)
    return 1.0 if asset.currency == HOME_CURRENCY else market.prices.get(asset.currency)


def _treasury_values(securities: Sequence[TreasurySecurity], market: Market) -> dict[Asset, float]:
    """Return dirty values per 1 USD of face: observed where quoted, else off the curve."""
    by_quote = [each for each in securities if isinstance(each, TIPS) and market.real_curve is None]
    found: dict[Asset, float] = {
        tips: (market.prices[tips.symbol] / POINTS + accrued_interest(tips, market.as_of)) * tips.index_ratio
        for tips in by_quote
        if tips.symbol in market.prices
    }
    modelled = [each for each in securities if each not in by_quote]
    if modelled:
        pnl = revalue(modelled, market, grid_scenarios((), [0.0]))
        found |= {each: float(value) for each, value in zip(modelled, pnl.base + pnl.basis, strict=True)}
    return found
