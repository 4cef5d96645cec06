"""One page for everything that a comparison says: it needs no network and no other file.

Call `report_page(comparison)` for its text; the command is `crossmargin report`. Formats only: every figure comes from
what is handed in, and what is proposed says so beside each of its figures.
"""

from crossmargin.page.report import report_page

__all__ = ["report_page"]
