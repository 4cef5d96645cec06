"""Archetypes: the trades for which cross-margining is asked for or refused, as books that roll from day to day.

`ARCHETYPES` holds them; `build(market)` of each returns the book of the day and the market with what it needs beside.
Firms and customers are fictional. Prices are those of the market; the volatility of an index is that of its history
where there is one, any other is realised over sixty rows, and credit spreads are made up: `notes` of the market say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from itertools import pairwise
from math import log, sqrt
from types import MappingProxyType
from typing import Any, TypeAlias, get_args

import numpy as np
from attrs import evolve, frozen

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
from crossmargin.analysis.margin_series import front_month
from crossmargin.analysis.on_the_run import future_on, hedge, issues, longest_quoted, settles
from crossmargin.errors import InputError, Problem
from crossmargin.market import Market
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import Product
from crossmargin.products.calendars import add_months, third_friday, third_wednesday
from crossmargin.products.equities import ETF, Index, Security, Stock
from crossmargin.products.futures import IndexFuture, ShortRateFuture
from crossmargin.products.options import ListedOption, Right
from crossmargin.products.security_based import CreditDefaultSwap, standard_maturity
from crossmargin.products.swaps import OvernightSwap
from crossmargin.swap_market import CreditSpreads
from crossmargin.underlyings import Underlying

Build: TypeAlias = Callable[[Market], tuple[Portfolio, Market]]
Held: TypeAlias = Iterable[tuple[str, Product, float]]

_FACE = 100e6  # USD of notional in a book, or about that
_ROWS, _YEAR = 60, 252  # over which volatility is realised, and rows of a year
_INDEX, _FUND = Index("SPX", "broad_high_cap"), ETF("TLT", "narrow")
_NOT_STOCKS = ("SPX", "TLT", "RUT", "NDX", "DJI", "SPY", "QQQ", "IWM", "IEF", "SHY")
_SPREADS = MappingProxyType({"EXAMPLE.IG": 0.0055, "EXAMPLE NAME A": 0.0080, "EXAMPLE NAME B": 0.0060})
_MADE_UP = MappingProxyType({"TLT": Underlying("TLT", 0.135, 85.5, dividend_yield=0.045, security=_FUND)})
_PAPERS = frozenset(Agreement) - {Agreement.PORTFOLIO_MARGIN}
_DEALER = Firm(
    "DEALER",
    (Registration.BD, Registration.FCM, Registration.SBSD),
    (ClearingHouse.FICC, ClearingHouse.CME, ClearingHouse.OCC, ClearingHouse.ICC),
    name="Example Dealer LLC",
    monitoring=IntradayMonitoring.FULL,
)


@frozen
class StudyBook:
    """One book of a population: `build` takes the market of a day and returns what is held on it, and that market.

    `digest` tells books from files apart that bear one name.
    """

    id: str
    title: str
    about: str
    build: Build
    digest: str = ""


def _cash_futures_basis(market: Market) -> tuple[Portfolio, Market]:
    future = future_on("ZN", market)
    cheapest = min(future.basket, key=lambda each: each.maturity)
    held = [("XM", cheapest, _FACE), ("XM", future, hedge(future, cheapest, _FACE))]
    return _book(market, [_account("XM", AccountClass.XM_FUTURES_4D_AB, "cme_ficc")], held), market


def _on_off_the_run(market: Market) -> tuple[Portfolio, Market]:
    on, off = issues(market, 10, count=2)
    held = [("XM", off, _FACE), ("XM", on, -_FACE)]
    return _book(market, [_account("XM", AccountClass.XM_FUTURES_4D_AB, "cme_ficc")], held), market


def _swap_against_futures(market: Market) -> tuple[Portfolio, Market]:
    months = [_quarter(front_month("ZN", market.as_of), number) for number in range(9)]
    start, end = (third_wednesday(*divmod(months[at], 100)) for at in (0, 8))
    rate = round(float(np.interp(2.0, market.curve.tenors, market.curve.par)), 4)
    swap = OvernightSwap("receive", rate, start, end, notional=_FACE)
    strip = [("SWAPS", ShortRateFuture("SR3", month), -_FACE / 1e6) for month in months[:8]]
    accounts = [_account("SWAPS", AccountClass.CFTC_4D_F, "cme_swaps_futures")]
    return _book(market, accounts, [("SWAPS", swap, 1.0), *strip]), market


def _index_options(market: Market) -> tuple[Portfolio, Market]:
    market = _with_underlyings(market, [_INDEX])
    expiry, spot = _expiry(market), market.prices["SPX"]
    lots = max(1, round(_FACE / (100.0 * spot)))
    held: Held = [
        ("JOINT", _index_option("put", _strike(0.95 * spot), expiry), lots),
        ("JOINT", _index_option("call", _strike(1.05 * spot), expiry), -lots),
        ("JOINT", IndexFuture("ES", front_month("ES", market.as_of)), lots),
    ]
    return _book(market, [_account("JOINT", AccountClass.XM_FUTURES_4D_AB, "occ_cme")], held), market


def _dispersion(market: Market) -> tuple[Portfolio, Market]:
    names = longest_quoted(market, 4, leave_out=_NOT_STOCKS)
    market = _with_underlyings(market, [_INDEX, *map(Stock, names)])
    expiry, spot = _expiry(market), market.prices["SPX"]
    lots = max(1, round(_FACE / (100.0 * spot)))
    held = [("PM", _index_option(right, _strike(spot), expiry), -float(lots)) for right in get_args(Right)]
    for name in names:
        price = market.prices[name]
        lots = max(1, round(_FACE / len(names) / (100.0 * price)))
        strike = _strike(price)
        held += [("PM", ListedOption(name, right, strike, expiry), float(lots)) for right in get_args(Right)]
    return _book(market, [_margin_account("PM")], held), market


def _long_short(market: Market) -> tuple[Portfolio, Market]:
    names = longest_quoted(market, 6, leave_out=_NOT_STOCKS)
    market = _with_underlyings(market, [_INDEX, *map(Stock, names)])
    sides = [_FACE / 4, -_FACE / 8] * 3  # a net long of three eighths, which the future takes away
    held = [
        ("PM", Stock(name), float(round(side / market.prices[name]))) for name, side in zip(names, sides, strict=True)
    ]
    lots = round(sum(sides) / (50.0 * market.prices["SPX"]))
    future = ("FUTURES", IndexFuture("ES", front_month("ES", market.as_of)), -float(lots))
    accounts = [_margin_account("PM"), _account("FUTURES", AccountClass.CFTC_4D_AB)]
    return _book(market, accounts, [*held, future]), market


def _credit_index(market: Market) -> tuple[Portfolio, Market]:
    said = "credit spreads are made up and the same on every day"
    spreads = {name: CreditSpreads(name, {5: spread}) for name, spread in _SPREADS.items()}
    credit: dict[Any, Any] = {**market.credit, **spreads}
    market = evolve(market, credit=credit, notes=(*market.notes, said))
    matures = standard_maturity(market.as_of, 5)
    index, one, two = _SPREADS
    held = [
        ("CREDIT", CreditDefaultSwap(index, 0.01, matures, names=125), _FACE),
        ("CREDIT", CreditDefaultSwap(one, 0.01, matures), -_FACE / 5),
        ("CREDIT", CreditDefaultSwap(two, 0.01, matures), -_FACE / 5),
    ]
    return _book(market, [_account("CREDIT", AccountClass.CFTC_4D_F, "icc_cds")], held), market


def _fund_options(market: Market) -> tuple[Portfolio, Market]:
    market = _with_underlyings(market, [_FUND])
    future, spot = future_on("ZB", market), float(market.underlyings["TLT"].spot or 0.0)
    put = ListedOption("TLT", "put", _strike(spot), _expiry(market), underlying_kind="etf")
    accounts = [
        evolve(_margin_account("OPTIONS"), agreements=frozenset()),
        _account("FUTURES", AccountClass.CFTC_4D_AB),
    ]
    held = [("OPTIONS", put, 100.0), ("OPTIONS", evolve(put, strike=_strike(0.95 * spot)), -100.0)]
    retail = CustomerKind.RETAIL
    return _book(market, accounts, [*held, ("FUTURES", future, 5.0)], kind=retail), market


ARCHETYPES = (
    StudyBook(
        "cash_futures_basis",
        "Cash against futures",
        "Long USD 100 million of the shortest deliverable ten-year note, short ZN by its conversion factor.",
        _cash_futures_basis,
    ),
    StudyBook(
        "on_off_the_run",
        "On against off the run",
        "Long USD 100 million of the ten-year note issued before last, short the one on the run.",
        _on_off_the_run,
    ),
    StudyBook(
        "swap_against_futures",
        "Swap against futures",
        "Receive fixed on USD 100 million for two years from the next quarter, short the strip of eight SR3 futures.",
        _swap_against_futures,
    ),
    StudyBook(
        "index_options_against_futures",
        "SPX options against ES",
        "Long SPX puts 5 % below, short as many calls 5 % above, about USD 100 million; long as many ES.",
        _index_options,
    ),
    StudyBook(
        "dispersion",
        "Dispersion",
        "Short a straddle on the SPX, long straddles on the four shares with the longest history, about as much.",
        _dispersion,
    ),
    StudyBook(
        "long_short",
        "Long-short with an index hedge",
        "Long three shares, short three, the rest hedged with ES; shares and futures lie in two accounts.",
        _long_short,
    ),
    StudyBook(
        "credit_index",
        "Credit index against names",
        "Buy protection on USD 100 million of an index of 125 names, sell it on two of its names, 20 million each.",
        _credit_index,
    ),
    StudyBook(
        "fund_options_against_futures",
        "TLT options against ZB",
        "A retail customer's TLT put spread beside ZB futures: no programme takes it, and the report says why.",
        _fund_options,
    ),
)


def _account(id: str, account_class: AccountClass, arrangement: str = "") -> Account:
    papers = _PAPERS if arrangement else frozenset[Agreement]()
    return Account(id, "FUND", "DEALER", account_class, arrangement, papers)


def _margin_account(id: str) -> Account:
    elected = frozenset({Agreement.PORTFOLIO_MARGIN})
    return Account(id, "FUND", "DEALER", AccountClass.SEC_15C3_3, agreements=elected, equity=_FACE)


def _book(
    market: Market, accounts: Iterable[Account], held: Held, *, kind: CustomerKind = CustomerKind.MARKET_PROFESSIONAL
) -> Portfolio:
    """Return the positions in accounts of one fund at one dealer; Treasuries are trades that have yet to settle."""
    unsettled = settles(market)
    positions = [
        Position(f"P{number}", account, product, quantity, unsettled if product.kind in _CASH else None)
        for number, (account, product, quantity) in enumerate(held, start=1)
    ]
    return Portfolio([_DEALER], [Customer("FUND", kind, name="Example Fund")], tuple(accounts), positions)


_CASH = ("treasury_note", "treasury_bond")


def _quarter(month: int, number: int) -> int:
    """Return the month CCYYMM a number of quarters on."""
    later = add_months(date(month // 100, month % 100, 1), 3 * number)
    return 100 * later.year + later.month


def _expiry(market: Market) -> date:
    """Return the expiry of options two quarters of ES out: they are listed for it."""
    return third_friday(*divmod(_quarter(front_month("ES", market.as_of), 1), 100))


def _strike(price: float) -> float:
    """Return a price to three figures, which is how far apart strikes are, about."""
    return float(f"{price:.3g}")


def _index_option(right: Right, strike: float, expiry: date) -> ListedOption:
    return ListedOption(
        "SPX",
        right,
        strike,
        expiry,
        exercise="european",
        settlement="cash",
        underlying_kind="index",
        settles_at="open",
    )


def _with_underlyings(market: Market, securities: Sequence[Security]) -> Market:
    """Return the market with spot and volatility of each; what has no price is made up, or refused."""
    told: dict[Any, Any] = dict(market.underlyings)
    quoted = {} if market.price_history is None else market.price_history.prices
    notes = []
    for security in securities:
        name = security.ticker
        if name in market.prices:
            volatility, source = _volatility(market, name)
            told[name] = Underlying(name, volatility, market.prices[name], security=security)
            notes.append(f"volatility of {name}: {source}")
        elif name in _MADE_UP and name not in quoted:
            told[name] = _MADE_UP[name]
            notes.append(f"spot, yield and volatility of {name} are made up and the same on every day")
        else:
            fix = "Give price_history.csv with the market files."
            raise InputError([Problem("has no price.", f"{name} on {market.as_of}", fix)])
    return evolve(market, underlyings=told, notes=(*market.notes, *notes))


def _volatility(market: Market, name: str) -> tuple[float, str]:
    """Return the volatility of the day, quoted or else realised, and which of the two it is."""
    history = market.price_history
    if history is not None and name in history.volatilities:
        quoted = float(history.read(history.volatilities[name], [market.as_of])[0])
        if np.isfinite(quoted):
            return quoted, "of its history"
    column = history.prices[name] if history is not None and name in history.prices else np.array([])
    past = column[np.isfinite(column)][-_ROWS - 1 :]
    if len(past) <= _ROWS:
        fix = "Give a longer price_history.csv, or a later day."
        raise InputError([Problem(f"fewer than {_ROWS + 1} prices.", f"{name} on {market.as_of}", fix)])
    squares = [log(later / earlier) ** 2 for earlier, later in pairwise(past)]
    return sqrt(_YEAR * sum(squares) / _ROWS), f"realised over {_ROWS} rows"
