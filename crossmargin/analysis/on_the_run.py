"""What is on the run on a day: notes and bonds as the Treasury issues them, contract months, names with a long history.

`issues`, `future_on` and `longest_quoted` serve the archetypes. Issues are notional: one each quarter, its coupon the
par yield of its day. Nothing here is priced, and nothing of a later day is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import islice

import numpy as np

from crossmargin.analysis.margin_series import front_month
from crossmargin.curves import interpolate
from crossmargin.errors import InputError, Problem
from crossmargin.market import Market
from crossmargin.products.calendars import add_months, next_business_day
from crossmargin.products.contracts import contract_specs
from crossmargin.products.futures import TreasuryFuture, conversion_factor, deliverable_basket
from crossmargin.products.treasuries import TreasuryBond, TreasuryNote

Security = TreasuryNote | TreasuryBond

_NOTE_YEARS = 10  # what runs longer is a bond
_QUARTER = 3
_REFUNDING = (2, 5, 8, 11)  # the months in which ten-year notes and bonds are issued
_MID_MONTH = 15
_EIGHTHS = 800.0  # Treasury coupons are whole eighths of a per cent


def issues(market: Market, years: int, *, count: int) -> tuple[Security, ...]:
    """Return the last notional issues of an original term, the one on the run first.

    One is issued on each 15 February, May, August and November; its coupon is the par yield of that day, or of the last
    before, rounded down to an eighth of a per cent. Issues from before the history begins are left out.

    Parameters
    ----------
    years : int
        Original term: up to ten a note, beyond that a bond.

    Raises
    ------
    InputError
        The history is too short for a single one.

    Examples
    --------
    >>> from crossmargin.io.market_files import packaged_history
    >>> market = Market.from_history(packaged_history(), date(2016, 12, 30))
    >>> [each.symbol for each in issues(market, 10, count=2)]
    ['UST 2.125 2026-11-15', 'UST 1.5 2026-08-15']
    """
    kind = TreasuryNote if years <= _NOTE_YEARS else TreasuryBond
    found = []
    for issued in islice(_refundings(market.as_of), count):
        coupon = _par_yield(market, issued, years)
        if coupon is None:
            break
        rounded = max(1.0, np.floor(coupon * _EIGHTHS + 1e-9)) / _EIGHTHS
        found.append(kind(float(rounded), add_months(issued, 12 * years), issue=issued))
    if not found:
        what = f"begins after the last issue of {years} years."
        raise InputError([Problem(what, f"history on {market.as_of}", "Give a longer history, or a later day.")])
    return tuple(found)


def future_on(contract: str, market: Market) -> TreasuryFuture:
    """Return the front future on a Treasury, its basket the notional issues that may be delivered.

    Parameters
    ----------
    contract : str
        ZN or ZB.
    """
    month = front_month(contract, market.as_of)
    years = {"ZN": (_NOTE_YEARS, 4 * 4), "ZB": (30, 15 * 4)}  # term, and how many quarters back may be deliverable
    if contract not in years:
        raise InputError([Problem(f"no issues are kept for {contract!r}.", "future", f"Known: {', '.join(years)}.")])
    term, count = years[contract]
    basket = deliverable_basket(contract, month, issues(market, term, count=count))
    if not basket:
        what = f"nothing issued since {market.history.dates[0]} may be delivered."
        raise InputError([Problem(what, f"{contract} {month}", "Give a longer history, or a later day.")])
    return TreasuryFuture(contract, month, basket)


def hedge(future: TreasuryFuture, held: Security, face: float) -> int:
    """Return how many contracts short, by its conversion factor, hedge a face of what is deliverable: negative."""
    factor = conversion_factor(future.contract, future.delivery_month, held.coupon, held.maturity)
    return -round(face * factor / contract_specs()[future.contract].face)


def settles(market: Market) -> date:
    """Return the day on which a cash trade of the market's day settles."""
    return next_business_day(market.as_of)


def longest_quoted(market: Market, count: int, *, leave_out: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tickers quoted on the day whose prices go back furthest, by name where they go back as far.

    Raises
    ------
    InputError
        Fewer are quoted.
    """
    history = market.price_history
    quoted = {} if history is None else history.prices
    first = {name: int(np.argmax(np.isfinite(column))) for name, column in quoted.items() if name in market.prices}
    found = sorted((row, name) for name, row in first.items() if name not in leave_out)[:count]
    if len(found) < count:
        what = f"{len(found)} shares with a history of prices are quoted."
        fix = f"{count} are needed: give price_history.csv with the market files."
        raise InputError([Problem(what, f"market of {market.as_of}", fix)])
    return tuple(name for _, name in found)


def _refundings(day: date) -> Iterator[date]:
    """Yield the days of issue on or before a day, the last one first."""
    month = date(day.year, _REFUNDING[-1], _MID_MONTH)
    while True:
        if month <= day:
            yield month
        month = add_months(month, -_QUARTER)


def _par_yield(market: Market, day: date, years: int) -> float | None:
    """Return the par yield of a term on a past day or the last before; None before the history begins."""
    row = market.history.row_at(day)
    if row is None:
        return None
    par = market.history.par[row]
    quoted = np.isfinite(par)
    return float(interpolate(market.history.tenors[quoted], par[quoted][:, None], np.array([float(years)]))[0, 0])
