"""Margin of one portfolio of US products under three regimes, side by side, and why the figures differ.

>>> import crossmargin as xm
>>> comparison = xm.compare(*xm.samples.basis_trade())
>>> list(comparison.totals())
['siloed', 'cross_margin', 'harmonized']
"""

from crossmargin import samples
from crossmargin.accounts import (
    Account,
    AccountClass,
    Agreement,
    ClearingHouse,
    Customer,
    CustomerKind,
    Firm,
    Registration,
)
from crossmargin.eligibility import Decision
from crossmargin.errors import CrossMarginError, InputError, NotInForce, NumericalError, ParameterMissing, RuleError
from crossmargin.io.book import Book, load_book
from crossmargin.io.market_files import (
    packaged_history,
    packaged_market,
    read_fred_csv,
    read_market_directory,
    read_tidy_par_yields,
    read_treasury_csv,
)
from crossmargin.margin import compare, margin
from crossmargin.market import History, Market, ParCurve
from crossmargin.parameters import Rules
from crossmargin.pnl import PnL, revalue
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import (
    STRIPS,
    TIPS,
    FutureOption,
    ListedOption,
    Repo,
    ReverseRepo,
    ShortRateFuture,
    TreasuryBill,
    TreasuryBond,
    TreasuryFRN,
    TreasuryFuture,
    TreasuryNote,
    conversion_factor,
    deliverable_basket,
)
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED, Regime
from crossmargin.registry import rules
from crossmargin.results import Comparison, Line, Report, Requirement
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, scenario_set

__version__ = "0.1.0"

__all__ = [
    "CROSS_MARGIN",
    "HARMONIZED",
    "SILOED",
    "STRIPS",
    "TIPS",
    "Account",
    "AccountClass",
    "Agreement",
    "Book",
    "ClearingHouse",
    "Comparison",
    "CrossMarginError",
    "Customer",
    "CustomerKind",
    "Decision",
    "Firm",
    "FutureOption",
    "History",
    "InputError",
    "Line",
    "ListedOption",
    "Market",
    "NotInForce",
    "NumericalError",
    "ParCurve",
    "ParameterMissing",
    "PnL",
    "Portfolio",
    "Position",
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
    "ShortRateFuture",
    "TreasuryBill",
    "TreasuryBond",
    "TreasuryFRN",
    "TreasuryFuture",
    "TreasuryNote",
    "compare",
    "conversion_factor",
    "deliverable_basket",
    "load_book",
    "margin",
    "packaged_history",
    "packaged_market",
    "read_fred_csv",
    "read_market_directory",
    "read_tidy_par_yields",
    "read_treasury_csv",
    "revalue",
    "rules",
    "samples",
    "scenario_set",
]
