"""The slow, obvious way to ask what a trade does: sort everything anew; margin the whole book with it and without."""

from __future__ import annotations

import numpy as np
from attrs import evolve

from crossmargin.margin import compare, margin
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


def modelled(portfolio, market, regime, trade, settles):
    """Whether the report of the book with nothing but the trade has an amount for it, level by level."""
    alone = with_trade(evolve(portfolio, positions=()), trade, settles)
    asked = margin(alone, market, regime).requirements
    known = {each.level for each in asked if _has_amount(each.line)}
    lost = {each.level for each in asked} - known
    return {level: bool(known) and level not in lost for level in LEVELS}


def _has_amount(line):
    gaps = {each.name for each in line.walk() if each.how == "not_modelled"}
    about = any(name.startswith("trade: ") or name == "the rest" for name in gaps)
    return line.amount is not None and not (about and line.amount == 0.0)
