"""Everything that can be known to be wrong with a portfolio and a market before anything is margined.

Call `check(portfolio, market)`: it raises all problems in one error; `check_arguments` raises what is neither of the
two. What one rule needs beyond is that rule's affair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date

from attrs import evolve

from crossmargin.columns import as_date
from crossmargin.errors import Problem, Problems, check_kinds
from crossmargin.market import Market
from crossmargin.pnl import can_revalue, cash_flow_book
from crossmargin.portfolio import Portfolio, problems_on
from crossmargin.pricing.shares import Share, share_price, spot_of
from crossmargin.products import ListedOption, Product, TreasuryFuture
from crossmargin.products.lifetime import expiry_of, longest_maturity
from crossmargin.products.security_based import (
    BondTotalReturnSwap,
    CreditDefaultSwap,
    EquityForward,
    EquityTotalReturnSwap,
)
from crossmargin.products.sensitivities import SensitivityPortfolio
from crossmargin.underlyings import security_problems, ticker_held

SHARE_SWAPS = (EquityTotalReturnSwap, EquityForward)

# A note may mature a little after the last tenor of the curve it is priced from (new 30-year bonds do).
_BEYOND_LAST_TENOR_YEARS = 1.0
_SAME = 1e-9  # relative: two copies of one price agree to this


def check_arguments(portfolio: object, market: object) -> None:
    """Raise what is no portfolio and what is no market, both together: they are easily swapped."""
    give = "Give a {}: the order is portfolio, market."
    check_kinds(
        portfolio=(portfolio, Portfolio, give.format("Portfolio")), market=(market, Market, give.format("Market"))
    )


def check(portfolio: Portfolio, market: Market, *, as_of: date | None = None) -> None:
    """Raise everything that is wrong with portfolio and market together; return when they can be margined."""
    problems = Problems()
    with problems.collecting():
        market.check_as_of(market.as_of if as_of is None else as_date(as_of, "as_of"))
    problems.extend(problems_on(portfolio, market.as_of))
    problems.extend(_beyond_the_curve(portfolio, market))
    problems.extend(security_problems(portfolio.products, market.underlyings))
    problems.extend(_price_problems(portfolio.products, market))
    problems.extend(_spot_problems(portfolio.products, market))
    problems.extend(_unknown_sensitivities(portfolio, market))
    with problems.collecting():
        cash_flow_book(
            [product for product in portfolio.products if _can_be_scheduled(product, market.as_of)], market.as_of
        )
    problems.raise_if_any()


def _price_problems(products: Iterable[Product], market: Market) -> Iterable[Problem]:
    """Yield prices of shares, futures on them, options and what swaps are on that are none."""
    for product in products:
        if isinstance(product, (*SHARE_SWAPS, BondTotalReturnSwap, CreditDefaultSwap)):
            yield from _swap_price_problems(product, market)
        if isinstance(product, Share):
            price = share_price(product, market)
            if price is not None and price <= 0.0:
                yield Problem(f"its price is {price:g}.", product.symbol, "Give a price above 0.")
        elif isinstance(product, ListedOption) and market.prices.get(product.symbol, 0.0) < 0.0:
            what = f"its price is {market.prices[product.symbol]:g}."
            yield Problem(what, product.symbol, "Give 0 or more.")


def _swap_price_problems(product: Product, market: Market) -> Iterable[Problem]:
    """Yield a price of what a security-based swap is on, or of the swap where it is quoted, that is not above 0."""
    if isinstance(product, SHARE_SWAPS):
        name, price = product.underlying, spot_of(product.underlying, market)
    else:
        name = product.bond.symbol if isinstance(product, BondTotalReturnSwap) else product.symbol
        price = market.prices.get(name)
    if price is not None and price <= 0.0:
        yield Problem(f"the price of {name} is {price:g}.", product.symbol, "Give a price above 0.")


def _spot_problems(products: Iterable[Product], market: Market) -> Iterable[Problem]:
    """Yield tickers that have two prices, and underlyings of options whose price stands elsewhere."""
    optioned = {product.underlying for product in products if isinstance(product, ListedOption)}
    for ticker in dict.fromkeys(map(_ticker_of, products)):
        known, observed = market.underlyings.get(ticker), market.prices.get(ticker)
        if known is None or observed is None:
            continue
        if known.spot is None and known.volatility is not None and ticker in optioned:
            what = f"underlyings has no spot, prices has {observed:g}."
            yield Problem(what, ticker, f"Give Underlying({ticker!r}, ..., spot={observed:g}): options read it there.")
        elif known.spot is not None and not math.isclose(known.spot, observed, rel_tol=_SAME):
            what = f"underlyings has a spot of {known.spot:g}, prices has {observed:g}."
            yield Problem(what, ticker, "Give one of them, or both the same.")


def _unknown_sensitivities(portfolio: Portfolio, market: Market) -> Iterable[Problem]:
    """Yield the buckets and tenors of portfolios of sensitivities that the market's calibration does not know."""
    if market.simm is None:
        return
    from crossmargin.simm.margin import unknown_to  # most books need none of it

    parameters = next(iter(market.simm.horizons.values()))  # buckets and tenors are those of every horizon
    for position in portfolio.positions:
        if isinstance(position.product, SensitivityPortfolio):
            for problem in unknown_to(parameters, position.product.sensitivities):
                yield evolve(problem, where=f"position {position.id!r}, {problem.where}")


def _ticker_of(product: Product) -> str:
    return product.underlying if isinstance(product, SHARE_SWAPS) else ticker_held(product)


def _can_be_scheduled(product: Product, as_of: date) -> bool:
    """Whether nothing is known yet that keeps the product's cash flows from being laid out."""
    has_basket = not isinstance(product, TreasuryFuture) or bool(product.basket)
    return can_revalue(product) and has_basket and expiry_of(product) > as_of


def _beyond_the_curve(portfolio: Portfolio, market: Market) -> list[Problem]:
    last = float(market.curve.tenors[-1])
    fix = "Give the curve its longer tenors: beyond the last one there is nothing to price from."
    what = f"matures beyond the curve's last tenor ({last:g} years)."
    return [
        Problem(f"{position.product.symbol} {what}", f"position {position.id!r}", fix)
        for position in portfolio.positions
        if longest_maturity(position.product, market.as_of) > last + _BEYOND_LAST_TENOR_YEARS
    ]
