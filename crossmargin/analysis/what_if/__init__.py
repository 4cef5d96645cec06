"""What a trade would do to a book, in microseconds: a live book under regimes, or the losses of plain pools.

Call `what_if(portfolio, market, regimes=..., universe=...)` and ask the `WhatIf` that it returns. `tails_of_pools`
does without rules: P&L, pools and one measure. Nothing here explains a requirement: `margin` on the book with the trade
does.
"""

from __future__ import annotations

from crossmargin.analysis.what_if.book import WhatIf, what_if
from crossmargin.analysis.what_if.cliffs import Cliff
from crossmargin.analysis.what_if.delta import Delta, Trade
from crossmargin.analysis.what_if.pools import PoolTails, tails_of_pools

__all__ = ["Cliff", "Delta", "PoolTails", "Trade", "WhatIf", "tails_of_pools", "what_if"]
