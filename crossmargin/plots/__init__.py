"""Pictures of reports, with the extra `plots` (matplotlib).

`regimes` draws what regimes ask for, `waterfall` why two of them differ, `frontier` savings against loss, `pots` where
collateral lies, `pnl_distribution` the scenarios behind a figure, `margin_history` requirements and breaches through
time, `heat_map` P&L by scenario and `key_rates` exposure by tenor. Each returns a matplotlib figure, which a notebook
shows and `savefig` writes. One style for all; colours are those of Okabe and Ito, and hatches or shapes tell apart
without colour. Nothing is calculated here but a histogram's counts.
"""

from __future__ import annotations

from crossmargin.plots.exposures import heat_map, key_rates
from crossmargin.plots.places import pots
from crossmargin.plots.style import BLACK, BLUE, GREEN, GREY, ORANGE, PALE, PURPLE, SKY, STYLE, VERMILION, YELLOW
from crossmargin.plots.switches import frontier
from crossmargin.plots.tails import margin_history, pnl_distribution
from crossmargin.plots.totals import regimes, waterfall

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PALE",
    "PURPLE",
    "SKY",
    "STYLE",
    "VERMILION",
    "YELLOW",
    "frontier",
    "heat_map",
    "key_rates",
    "margin_history",
    "pnl_distribution",
    "pots",
    "regimes",
    "waterfall",
]
