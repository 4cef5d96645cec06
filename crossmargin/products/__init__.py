"""What can be held: frozen data with validation, no pricing.

`Product` is any of them, `PRODUCT_KINDS` finds the class by its `kind` (of a swap, which may be margined at several
places, by its `base_kind`). Schedules and cash flows are in `treasuries`, shares and what is written on them in
`equities`, quotation in `conventions`, contract terms in `futures`, business days in `calendars`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from crossmargin.products.calendars import (
    add_business_days,
    is_business_day,
    last_business_day_of_month,
    next_business_day,
    previous_business_day,
)
from crossmargin.products.contracts import ContractSpec, DeliverableGrade, contract_specs
from crossmargin.products.conventions import (
    BondPrice,
    bill_discount_rate,
    bill_price,
    bond_equivalent_yield,
    price_from_yield,
    settlement_date,
)
from crossmargin.products.equities import ETF, Index, Security, SecurityFuture, Stock, Warrant
from crossmargin.products.futures import (
    Deliverable,
    IndexFuture,
    ShortRateFuture,
    TreasuryFuture,
    contract_spec,
    conversion_factor,
    deliverable_basket,
    delivery_date,
    last_trading_day,
    reference_period,
)
from crossmargin.products.options import FUTURE_OPTION_KINDS, FutureOption, ListedOption
from crossmargin.products.schedules import Convention
from crossmargin.products.security_based import (
    BondTotalReturnSwap,
    CreditDefaultSwap,
    EquityForward,
    EquityTotalReturnSwap,
    ReferenceBond,
)
from crossmargin.products.sensitivities import SensitivityPortfolio
from crossmargin.products.swaps import (
    BasisSwap,
    FloatingLeg,
    ForwardRateAgreement,
    InterestRateSwap,
    OvernightSwap,
)
from crossmargin.products.treasuries import (
    STRIPS,
    TIPS,
    CashFlows,
    Repo,
    RepoLeg,
    ReverseRepo,
    TreasuryBill,
    TreasuryBond,
    TreasuryFRN,
    TreasuryNote,
    TreasurySecurity,
    accrued_interest,
    cash_flows,
    coupon_dates,
    has_fixed_cash_flows,
    maturity_of,
    remaining_years,
    repayment,
    repo_legs,
    years_between,
)

Product: TypeAlias = (
    TreasuryBill
    | TreasuryNote
    | TreasuryBond
    | TreasuryFRN
    | TIPS
    | STRIPS
    | Repo
    | ReverseRepo
    | TreasuryFuture
    | ShortRateFuture
    | IndexFuture
    | FutureOption
    | ListedOption
    | Stock
    | ETF
    | SecurityFuture
    | Warrant
    | OvernightSwap
    | InterestRateSwap
    | BasisSwap
    | ForwardRateAgreement
    | CreditDefaultSwap
    | EquityTotalReturnSwap
    | BondTotalReturnSwap
    | EquityForward
    | SensitivityPortfolio
)

_OF_ONE_KIND: tuple[Any, ...] = (
    TreasuryBill,
    TreasuryNote,
    TreasuryBond,
    TreasuryFRN,
    TIPS,
    STRIPS,
    Repo,
    ReverseRepo,
    TreasuryFuture,
    ShortRateFuture,
    IndexFuture,
    ListedOption,
    Stock,
    ETF,
    SecurityFuture,
    Warrant,
    EquityTotalReturnSwap,
    BondTotalReturnSwap,
    EquityForward,
    SensitivityPortfolio,
)
_OF_SEVERAL_KINDS: tuple[Any, ...] = (
    OvernightSwap,
    InterestRateSwap,
    BasisSwap,
    ForwardRateAgreement,
    CreditDefaultSwap,
)
PRODUCT_KINDS: Mapping[str, type[Product]] = MappingProxyType(
    {
        **{product.kind: product for product in _OF_ONE_KIND},
        **dict.fromkeys(FUTURE_OPTION_KINDS, FutureOption),
        **{product.base_kind: product for product in _OF_SEVERAL_KINDS},
    }
)

__all__ = [
    "ETF",
    "PRODUCT_KINDS",
    "STRIPS",
    "TIPS",
    "BasisSwap",
    "BondPrice",
    "BondTotalReturnSwap",
    "CashFlows",
    "ContractSpec",
    "Convention",
    "CreditDefaultSwap",
    "Deliverable",
    "DeliverableGrade",
    "EquityForward",
    "EquityTotalReturnSwap",
    "FloatingLeg",
    "ForwardRateAgreement",
    "FutureOption",
    "Index",
    "IndexFuture",
    "InterestRateSwap",
    "ListedOption",
    "OvernightSwap",
    "Product",
    "ReferenceBond",
    "Repo",
    "RepoLeg",
    "ReverseRepo",
    "Security",
    "SecurityFuture",
    "SensitivityPortfolio",
    "ShortRateFuture",
    "Stock",
    "TreasuryBill",
    "TreasuryBond",
    "TreasuryFRN",
    "TreasuryFuture",
    "TreasuryNote",
    "TreasurySecurity",
    "Warrant",
    "accrued_interest",
    "add_business_days",
    "bill_discount_rate",
    "bill_price",
    "bond_equivalent_yield",
    "cash_flows",
    "contract_spec",
    "contract_specs",
    "conversion_factor",
    "coupon_dates",
    "deliverable_basket",
    "delivery_date",
    "has_fixed_cash_flows",
    "is_business_day",
    "last_business_day_of_month",
    "last_trading_day",
    "maturity_of",
    "next_business_day",
    "previous_business_day",
    "price_from_yield",
    "reference_period",
    "remaining_years",
    "repayment",
    "repo_legs",
    "settlement_date",
    "years_between",
]
