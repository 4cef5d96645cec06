"""How long a product lives: when it ends, and how far out its last cash flow lies.

Call `expiry_of(product)` and `longest_maturity(product, as_of)`. No pricing, no eligibility.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from crossmargin.products.equities import ETF, SecurityFuture, Stock, Warrant
from crossmargin.products.futures import IndexFuture, ShortRateFuture, TreasuryFuture, delivery_date, reference_period
from crossmargin.products.options import FutureOption, ListedOption
from crossmargin.products.security_based import BondTotalReturnSwap, ReferenceBond
from crossmargin.products.sensitivities import SensitivityPortfolio
from crossmargin.products.swaps import ForwardRateAgreement
from crossmargin.products.treasuries import Repo, ReverseRepo, years_between

if TYPE_CHECKING:
    from crossmargin.products import Product


def expiry_of(product: Product) -> date:
    """Return the day the product ends: maturity, a repo's end, a future's last delivery or fixing, an expiry.

    A share never ends: `date.max`, nor does a portfolio known by its sensitivities. A forward rate agreement is settled
    when its period begins. What a swap pays some days after its maturity is left out.
    """
    if isinstance(product, Stock | ETF | SensitivityPortfolio):
        return date.max
    if isinstance(product, Repo | ReverseRepo):
        return product.end
    if isinstance(product, TreasuryFuture):
        return delivery_date(product)
    if isinstance(product, ShortRateFuture):
        return reference_period(product)[1]
    if isinstance(product, FutureOption | ListedOption | IndexFuture | SecurityFuture | Warrant):
        return product.expiry
    return product.start if isinstance(product, ForwardRateAgreement) else product.maturity


def longest_maturity(product: Product, as_of: date) -> float:
    """Return the years from `as_of` to the last cash flow that pricing the product needs."""
    if isinstance(product, Stock | ETF | SensitivityPortfolio):
        return 0.0
    if isinstance(product, TreasuryFuture):
        return max((years_between(as_of, security.maturity) for security in product.basket), default=0.0)
    if isinstance(product, Repo | ReverseRepo):
        return max(years_between(as_of, product.end), years_between(as_of, product.collateral.maturity))
    if isinstance(product, ForwardRateAgreement):
        return years_between(as_of, product.maturity)
    if isinstance(product, BondTotalReturnSwap) and not isinstance(product.bond, ReferenceBond):
        return years_between(as_of, product.bond.maturity)
    return years_between(as_of, expiry_of(product))
