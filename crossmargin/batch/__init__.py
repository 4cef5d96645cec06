"""Many accounts at once: what each owes at every level, under several regimes in one pass.

Call `plan(products, market, portfolio)` once, its `revalue()` for the P&L, and `margin_many(positions, pnl, plan)` for
millions of rows. Every account of the plan's portfolio is a template for accounts like it: its firm, class and papers
decide pools, eligibility and enrolment as in the spine. Accounts of a batch do not pool with one another.

The figures are those of the spine to the cent where `Batch.whole` says so; what has no formula (`formulas`) is left out
by name and counted in `Batch.gaps`. `Batch.completed` margins such accounts one by one; `report_of` gives the whole
report of any account.
"""

from __future__ import annotations

from crossmargin.batch.many import margin_many, stored
from crossmargin.batch.planning import Figure, Gap, Kind, Plan, plan
from crossmargin.batch.positions import Positions
from crossmargin.batch.results import Batch

__all__ = ["Batch", "Figure", "Gap", "Kind", "Plan", "Positions", "margin_many", "plan", "stored"]
