"""What an asset is worth today, and what is wrong with a list of deposits.

`unit_values` prices assets; `problems_with` finds every bad entry at once. No haircut and no eligibility: those are the
taker's (`schedules`).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from numbers import Real
from typing import Any

from crossmargin.collateral.posted import ASSETS, HOME_CURRENCY, Asset, Cash, OtherAsset, Posted
from crossmargin.errors import Problem, Problems, suggestion
from crossmargin.market import Market
from crossmargin.pnl import revalue, today_prices
from crossmargin.portfolio import Portfolio
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


def problems_with(posted: Sequence[Posted], as_of: date, portfolio: Portfolio | None = None) -> list[Problem]:
    """Return everything wrong with a list of deposits on a date; with a portfolio, unknown owners and firms too."""
    problems = Problems()
    for id, count in Counter(each.id for each in posted).items():
        if count > 1:
            problems.add(f"id stands {count} times.", where=f"posted {id!r}", fix="Give each its own id.")
    for each in posted:
        _check_one(problems, each, as_of)
        if portfolio is not None:
            _check_names(problems, each, portfolio)
    problems.extend(_passing_on(posted))
    return list(problems.found)


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


def _check_one(problems: Problems, each: Posted, as_of: date) -> None:
    where, asset, quantity = f"posted {each.id!r}", _any(each.asset), _any(each.quantity)
    if isinstance(quantity, bool) or not isinstance(quantity, Real) or not math.isfinite(quantity) or quantity < 0:
        fix = "Give a finite number, 0 or more: what is owed is a requirement, not collateral."
        problems.add(f"quantity is {quantity}.", where=f"{where}, field 'quantity'", fix=fix)
    if not isinstance(asset, ASSETS):
        fix = "Give cash, a Treasury security, a stock, a fund or an OtherAsset."
        problems.add(f"{asset!r} is no asset that can be posted.", where=f"{where}, field 'asset'", fix=fix)
    elif (maturity := getattr(asset, "maturity", None)) is not None and maturity <= as_of:
        problems.add(f"{asset.symbol} matured on {maturity}.", where=where, fix="Replace it by its proceeds.")
    for name in ("id", "owner", "firm", "pot"):
        if not getattr(each, name):
            problems.add("is missing.", where=f"{where}, field {name!r}")


def _any(value: Any) -> Any:
    """Return a value that nobody has checked against its annotation yet."""
    return value


def _check_names(problems: Problems, each: Posted, portfolio: Portfolio) -> None:
    firms = {firm.id for firm in portfolio.firms}
    affiliates = {affiliate for firm in portfolio.firms for affiliate in firm.affiliates}
    owners = firms | affiliates | {customer.id for customer in portfolio.customers}
    for name, known in (("owner", owners), ("firm", firms)):
        value = getattr(each, name)
        if value and value not in known:
            where = f"posted {each.id!r}, field {name!r}"
            problems.add(f"unknown {value!r}.", where=where, fix=suggestion(value, known) if known else "")


def _passing_on(posted: Sequence[Posted]) -> Iterator[Problem]:
    """Yield what is wrong with deposits that pass on others: no such deposit, another party's, more than there is."""
    by_id = {each.id: each for each in posted}
    passed: Mapping[str, list[float]] = defaultdict(list)
    for each in posted:
        if not each.passed_on:
            continue
        where, origin = f"posted {each.id!r}, field 'passed_on'", by_id.get(each.passed_on)
        if origin is None or origin is each:
            yield Problem(f"unknown {each.passed_on!r}.", where, suggestion(each.passed_on, set(by_id) - {each.id}))
        elif _terms(origin) != _terms(each) or origin.level != "customer" or each.level != "clearing":
            fix = "Name a deposit of the same owner, firm, class and asset at the firm; pass it to a clearing house."
            yield Problem(f"{origin.id!r} is not what it passes on.", where, fix)
        else:
            passed[origin.id].append(each.quantity)
    for id, quantities in passed.items():
        if math.fsum(quantities) > by_id[id].quantity:
            what = f"{math.fsum(quantities):g} is passed on, {by_id[id].quantity:g} was deposited."
            yield Problem(what, f"posted {id!r}", "The rest is the firm's own: name it in provided_by.")


def _terms(each: Posted) -> tuple[object, ...]:
    return each.owner, each.firm, each.account_class, each.asset
