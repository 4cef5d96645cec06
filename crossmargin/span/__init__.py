"""SPAN: risk arrays, scan risk, spreads and the requirement of an account; pure calculation on frozen records.

`span_requirement` margins a `SpanPortfolio`; its records are in `portfolio.py` and take an exchange's data as they
stand. `arrays.py` builds risk arrays where there is no exchange file, `scanning.py` scans many accounts at once.
Nothing here reads files or knows the library's products.
"""

from crossmargin.span.arrays import (
    OptionArray,
    OptionTerms,
    ScanRanges,
    ScenarioGrid,
    futures_array,
    option_array,
    scenario_grid,
)
from crossmargin.span.portfolio import (
    CalendarSpread,
    CombinedCommodity,
    Contract,
    Holding,
    InterSpread,
    Leg,
    MonthRange,
    ScanSpread,
    SpanPortfolio,
    SpotMonth,
    Tier,
)
from crossmargin.span.requirement import CommodityRisk, SpanResult, span_requirement
from crossmargin.span.scanning import Scan, ScanRisk, gross_scan_risk, scan, scan_risks

__all__ = [
    "CalendarSpread",
    "CombinedCommodity",
    "CommodityRisk",
    "Contract",
    "Holding",
    "InterSpread",
    "Leg",
    "MonthRange",
    "OptionArray",
    "OptionTerms",
    "Scan",
    "ScanRanges",
    "ScanRisk",
    "ScanSpread",
    "ScenarioGrid",
    "SpanPortfolio",
    "SpanResult",
    "SpotMonth",
    "Tier",
    "futures_array",
    "gross_scan_risk",
    "option_array",
    "scan",
    "scan_risks",
    "scenario_grid",
    "span_requirement",
]
