"""The slow, obvious way to ask what a trade does: sort everything anew; margin the whole book with it and without."""

from __future__ import annotations

import numpy as np
from attrs import evolve

from crossmargin.margin import compare
from crossmargin.portfolio import Position
from crossmargin.products.treasuries import TREASURY_SECURITIES
from crossmargin.results import LEVELS


def losses(rows, weights, units, size):
    """The measure of every row, of a scenario set by number, with a trade: loss > 0."""
    traded = [row + size * units[number] for number, row in rows]
    return [-float((np.sort(row)[: len(each)] * each).sum()) for row, each in zip(traded, weights, strict=True)]


def with_trade(portfolio, trade, settles):
    """The portfolio with a trade as one position more."""
    account, product, quantity = trade
    day = settles if isinstance(product, TREASURY_SECURITIES) else None
    return evolve(portfolio, positions=[*portfolio.positions, Position("trade", account, product, quantity, day)])


def totals(portfolio, market, regimes, rules=()):
    """Requirement less credit by regime and level, as the spine has them."""
    reports = compare(portfolio, market, regimes, rules=rules).reports
    return {(each.regime, level): each.total(level) for each in reports for level in LEVELS}
