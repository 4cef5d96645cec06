"""Margin of one portfolio of US products under three regimes, side by side, and why the figures differ.

>>> import crossmargin as xm
>>> comparison = xm.compare(*xm.samples.basis_trade())
>>> list(comparison.totals())
['siloed', 'cross_margin', 'harmonized']

Importing the package imports nothing else: each public name is fetched from its module when it is first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossmargin import samples
    from crossmargin.accounts import (
        Account,
        AccountClass,
        Agreement,
        ClearingHouse,
        Customer,
        CustomerKind,
        Firm,
        IntradayMonitoring,
        Registration,
    )
    from crossmargin.analysis.allocation import best_allocation
    from crossmargin.analysis.attribution import attribute
    from crossmargin.analysis.time_machine import time_machine
    from crossmargin.analysis.what_if import what_if
    from crossmargin.batch import margin_many
    from crossmargin.collateral import CollateralReport
    from crossmargin.eligibility import Decision
    from crossmargin.errors import CrossMarginError, InputError, NotInForce, NumericalError, ParameterMissing, RuleError
    from crossmargin.io.book import Book, load_book
    from crossmargin.io.book_writer import write_book
    from crossmargin.io.frames import frame_of, positions_from_frame
    from crossmargin.io.market_files import (
        packaged_history,
        packaged_market,
        read_fred_csv,
        read_market_directory,
        read_tidy_par_yields,
        read_treasury_csv,
    )
    from crossmargin.io.recognise import FileRead, read_file
    from crossmargin.io.report_files import read_report, write_report
    from crossmargin.io.statement_book import portfolio_of
    from crossmargin.margin import collateral_report, compare, margin
    from crossmargin.market import History, Market, ParCurve
    from crossmargin.parameters import Rules
    from crossmargin.pnl import PnL, revalue
    from crossmargin.portfolio import Portfolio, Position
    from crossmargin.posted import Cash, OtherAsset, Posted
    from crossmargin.price_history import PriceHistory
    from crossmargin.pricing.chains import OptionQuotes
    from crossmargin.pricing.implied import implied_volatility
    from crossmargin.pricing.volatility import VolatilitySurface
    from crossmargin.products import (
        ETF,
        STRIPS,
        TIPS,
        BasisSwap,
        BondTotalReturnSwap,
        CreditDefaultSwap,
        EquityForward,
        EquityTotalReturnSwap,
        ForwardRateAgreement,
        FutureOption,
        Index,
        IndexFuture,
        InterestRateSwap,
        ListedOption,
        OvernightSwap,
        Repo,
        ReverseRepo,
        SecurityFuture,
        SensitivityPortfolio,
        ShortRateFuture,
        Stock,
        TreasuryBill,
        TreasuryBond,
        TreasuryFRN,
        TreasuryFuture,
        TreasuryNote,
        Warrant,
        conversion_factor,
        deliverable_basket,
    )
    from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, PORTFOLIO_MARGIN, SILOED, STRATEGY_MARGIN, Regime
    from crossmargin.registry import rules
    from crossmargin.results import Comparison, Line, Report, Requirement
    from crossmargin.scenarios import ScenarioSet, ScenarioSpec, grid_scenarios, scenario_set
    from crossmargin.swap_market import CreditSpreads, ZeroCurve
    from crossmargin.underlyings import Underlying
    from crossmargin.warmup import warmup

__version__ = "0.1.0"

__all__ = [
    "CROSS_MARGIN",
    "ETF",
    "HARMONIZED",
    "PORTFOLIO_MARGIN",
    "SILOED",
    "STRATEGY_MARGIN",
    "STRIPS",
    "TIPS",
    "Account",
    "AccountClass",
    "Agreement",
    "BasisSwap",
    "BondTotalReturnSwap",
    "Book",
    "Cash",
    "ClearingHouse",
    "CollateralReport",
    "Comparison",
    "CreditDefaultSwap",
    "CreditSpreads",
    "CrossMarginError",
    "Customer",
    "CustomerKind",
    "Decision",
    "EquityForward",
    "EquityTotalReturnSwap",
    "FileRead",
    "Firm",
    "ForwardRateAgreement",
    "FutureOption",
    "History",
    "Index",
    "IndexFuture",
    "InputError",
    "InterestRateSwap",
    "IntradayMonitoring",
    "Line",
    "ListedOption",
    "Market",
    "NotInForce",
    "NumericalError",
    "OptionQuotes",
    "OtherAsset",
    "OvernightSwap",
    "ParCurve",
    "ParameterMissing",
    "PnL",
    "Portfolio",
    "Position",
    "Posted",
    "PriceHistory",
    "Regime",
    "Registration",
    "Repo",
    "Report",
    "Requirement",
    "ReverseRepo",
    "RuleError",
    "Rules",
    "ScenarioSet",
    "ScenarioSpec",
    "SecurityFuture",
    "SensitivityPortfolio",
    "ShortRateFuture",
    "Stock",
    "TreasuryBill",
    "TreasuryBond",
    "TreasuryFRN",
    "TreasuryFuture",
    "TreasuryNote",
    "Underlying",
    "VolatilitySurface",
    "Warrant",
    "ZeroCurve",
    "attribute",
    "best_allocation",
    "collateral_report",
    "compare",
    "conversion_factor",
    "deliverable_basket",
    "frame_of",
    "grid_scenarios",
    "implied_volatility",
    "load_book",
    "margin",
    "margin_many",
    "packaged_history",
    "packaged_market",
    "portfolio_of",
    "positions_from_frame",
    "read_file",
    "read_fred_csv",
    "read_market_directory",
    "read_report",
    "read_tidy_par_yields",
    "read_treasury_csv",
    "revalue",
    "rules",
    "samples",
    "scenario_set",
    "time_machine",
    "warmup",
    "what_if",
    "write_book",
    "write_report",
]

_HOMES = {
    "accounts": "Account AccountClass Agreement ClearingHouse Customer CustomerKind Firm IntradayMonitoring"
    " Registration",
    "collateral": "CollateralReport",
    "analysis.allocation": "best_allocation",
    "analysis.attribution": "attribute",
    "analysis.time_machine": "time_machine",
    "analysis.what_if": "what_if",
    "batch": "margin_many",
    "eligibility": "Decision",
    "errors": "CrossMarginError InputError NotInForce NumericalError ParameterMissing RuleError",
    "io.book": "Book load_book",
    "io.book_writer": "write_book",
    "io.frames": "frame_of positions_from_frame",
    "io.market_files": "packaged_history packaged_market read_fred_csv read_market_directory read_tidy_par_yields"
    " read_treasury_csv",
    "io.recognise": "FileRead read_file",
    "io.report_files": "read_report write_report",
    "io.statement_book": "portfolio_of",
    "margin": "collateral_report compare margin",
    "market": "History Market ParCurve",
    "parameters": "Rules",
    "pnl": "PnL revalue",
    "portfolio": "Portfolio Position",
    "posted": "Cash OtherAsset Posted",
    "price_history": "PriceHistory",
    "products": "BasisSwap BondTotalReturnSwap CreditDefaultSwap ETF EquityForward EquityTotalReturnSwap"
    " ForwardRateAgreement FutureOption Index IndexFuture InterestRateSwap ListedOption OvernightSwap"
    " Repo ReverseRepo STRIPS SecurityFuture SensitivityPortfolio ShortRateFuture Stock TIPS TreasuryBill"
    " TreasuryBond TreasuryFRN TreasuryFuture TreasuryNote Warrant conversion_factor deliverable_basket",
    "regimes": "CROSS_MARGIN HARMONIZED PORTFOLIO_MARGIN Regime SILOED STRATEGY_MARGIN",
    "registry": "rules",
    "results": "Comparison Line Report Requirement",
    "pricing.chains": "OptionQuotes",
    "pricing.implied": "implied_volatility",
    "pricing.volatility": "VolatilitySurface",
    "scenarios": "ScenarioSet ScenarioSpec grid_scenarios scenario_set",
    "swap_market": "CreditSpreads ZeroCurve",
    "underlyings": "Underlying",
    "warmup": "warmup",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}


class _Package(ModuleType):
    """The package itself. A public name that a submodule bears too (`margin`) stays the public name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name == "samples":
        return import_module("crossmargin.samples")
    if name not in _HOME:
        raise AttributeError(f"module 'crossmargin' has no attribute {name!r}")
    value = getattr(import_module(f"crossmargin.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


sys.modules[__name__].__class__ = _Package
