"""A made-up market and made-up firms, accounts and products: small enough for hundreds of runs, wide enough to matter.

`made_up_market(as_of, seed)` walks yields, prices and volatilities over a stressed period and the last year;
`MENU` says what each class of account may hold; `book_of(positions)` completes positions to a portfolio.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from attrs import evolve

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
from crossmargin.columns import FloatArray
from crossmargin.market import History, Market
from crossmargin.portfolio import Portfolio, Position
from crossmargin.price_history import PriceHistory
from crossmargin.products import (
    ETF,
    TIPS,
    FutureOption,
    Index,
    IndexFuture,
    ListedOption,
    Product,
    Repo,
    ReverseRepo,
    ShortRateFuture,
    Stock,
    TreasuryBill,
    TreasuryBond,
    TreasuryFuture,
    TreasuryNote,
    is_business_day,
)
from crossmargin.underlyings import Underlying

AS_OF = date(2026, 6, 30)
SETTLES = date(2026, 7, 1)
STRESS = (date(2008, 9, 2), date(2009, 6, 30))
TENORS = (0.25, 2.0, 5.0, 10.0, 30.0)
PAR = (0.0387, 0.0414, 0.0419, 0.0444, 0.0491)
INDEX, FUND, SHARE = Index("SPX", "broad_high_cap"), ETF("SPY", "broad_high_cap", tracks="SPX"), Stock("QUILL")
SPOTS: Mapping[str, float] = MappingProxyType({"SPX": 5000.0, "SPY": 500.0, "QUILL": 100.0})
SAID = "yields, prices and volatilities are made up, for tests"

_NOTE_7, _NOTE_8 = TreasuryNote(0.0375, date(2033, 5, 15)), TreasuryNote(0.04, date(2034, 2, 15))
_ZN = TreasuryFuture("ZN", 202609, (_NOTE_7, _NOTE_8))
_NOTES = (TreasuryNote(0.04, date(2028, 6, 30)), _NOTE_7, _NOTE_8, TreasuryBond(0.045, date(2053, 11, 15)))
_REPOS = (
    Repo(_NOTE_7, SETTLES, date(2026, 7, 31), 0.037),
    ReverseRepo(_NOTE_8, date(2026, 6, 29), date(2026, 7, 13), 0.037),
)
_FUTURES = (
    _ZN,
    TreasuryFuture("UB", 202609, _NOTES[3:]),
    ShortRateFuture("ZQ", 202609),
    ShortRateFuture("SR3", 202609),
)
_REFUSED = (TreasuryBill(date(2026, 9, 24)), TIPS(0.0175, date(2034, 7, 15)))
_EXPIRY = date(2026, 9, 18)
_OPTIONS = tuple(
    ListedOption("QUILL", right, strike, _EXPIRY, exercise="european")
    for right in ("call", "put")
    for strike in (90.0, 100.0, 110.0)
)
MENU: Mapping[AccountClass, tuple[Product, ...]] = MappingProxyType(
    {
        AccountClass.XM_FUTURES_4D_AB: (*_NOTES, *_REPOS, *_FUTURES, *_REFUSED),
        AccountClass.CFTC_4D_AB: (*_FUTURES, FutureOption(_ZN, "call", 112.0, date(2026, 8, 21))),
        AccountClass.SEC_NOTE_H: (*_NOTES, *_REPOS, *_REFUSED),
        AccountClass.SEC_15C3_3: (SHARE, FUND, *_OPTIONS),
        AccountClass.PROPRIETARY: (*_NOTES, *_FUTURES, IndexFuture("ES", 202609)),
    }
)
"""What each class of account may hold here; the programme account also holds what the programme refuses."""

_PAPERS = frozenset(Agreement) - {Agreement.PORTFOLIO_MARGIN}
_CLASSES = (
    ("XM", AccountClass.XM_FUTURES_4D_AB),
    ("FUT", AccountClass.CFTC_4D_AB),
    ("GOV", AccountClass.SEC_NOTE_H),
    ("SEC", AccountClass.SEC_15C3_3),
)
FIRM = Firm(
    "DUAL",
    (Registration.BD, Registration.FCM),
    (ClearingHouse.FICC, ClearingHouse.CME, ClearingHouse.OCC),
    name="Dual LLC",
)
CUSTOMERS = (
    Customer("ALPHA", CustomerKind.ELIGIBLE_CONTRACT_PARTICIPANT, name="Alpha Fund"),
    Customer("BETA", CustomerKind.QIB, name="Beta Trust"),
    Customer("RETAIL", CustomerKind.RETAIL, name="Pat Doe"),
)


def _account(owner: str, end: str, account_class: AccountClass) -> Account:
    """Return one account; that of the programme holds all its papers."""
    programme = ("cme_ficc", _PAPERS) if account_class is AccountClass.XM_FUTURES_4D_AB else ()
    return Account(f"{owner}-{end}", owner, FIRM.id, account_class, *programme)


ACCOUNTS = (
    Account("DUAL-HOUSE", FIRM.id, FIRM.id, AccountClass.PROPRIETARY),
    *(_account(customer.id, *each) for customer in CUSTOMERS for each in _CLASSES),
)


def book_of(positions: Iterable[Position]) -> Portfolio:
    """Return a portfolio of positions in the made-up accounts: `ACCOUNTS` names them."""
    return Portfolio([FIRM], CUSTOMERS, ACCOUNTS, tuple(positions))


def sample_book() -> tuple[Portfolio, Market]:
    """Return a basis trade of one customer, an outright position of another, shares of a third, and their market."""
    held: tuple[tuple[str, Product, float, date | None], ...] = (
        ("ALPHA-XM", _NOTE_7, 100e6, SETTLES),
        ("ALPHA-XM", _ZN, -900.0, None),
        ("BETA-XM", _ZN, 300.0, None),
        ("BETA-GOV", _NOTES[0], -50e6, SETTLES),
        ("RETAIL-SEC", SHARE, 300.0, None),
        ("RETAIL-SEC", _OPTIONS[1], -3.0, None),
    )
    positions = (Position(f"p{n}", *each) for n, each in enumerate(held, start=1))
    return book_of(positions), made_up_market()


@cache
def made_up_market(as_of: date = AS_OF, seed: int = 20260630) -> Market:
    """Return a market of made-up walks over autumn 2008 to summer 2009 and the thirteen months to `as_of`.

    The same seed gives the same market.
    """
    days = [day for first, last in (STRESS, (as_of - timedelta(days=393), as_of)) for day in _days(first, last)]
    draws = np.random.default_rng(seed)
    market = Market.from_history(History(days, TENORS, _yields(draws, len(days)), SAID), as_of, notes=[SAID])
    known: dict[Any, Any] = {each.symbol: each for each in _underlyings()}
    return evolve(market, underlyings=known, price_history=_prices(draws, days))


def _underlyings() -> tuple[Underlying, ...]:
    return tuple(
        Underlying(each.ticker, volatility, SPOTS[each.ticker], security=each)
        for each, volatility in ((INDEX, 0.16), (FUND, 0.16), (SHARE, 0.3))
    )


def _yields(draws: np.random.Generator, count: int) -> FloatArray:
    """Return par yields [n_days, n_tenors] that end near `PAR`: levels, slopes and noise that pull back."""
    level = draws.normal(0.0, 6e-4, count)[:, None]
    slope = draws.normal(0.0, 2e-4, count)[:, None] * np.array([1.0, 0.5, 0.0, -0.5, -1.0])
    noise = draws.normal(0.0, 5e-5, (count, len(TENORS)))
    walk = np.zeros((count, len(TENORS)))
    for row, change in enumerate(level + slope + noise):
        walk[row] = 0.98 * walk[row - 1] + change
    found: FloatArray = np.maximum(np.array(PAR) + walk, 0.001)
    return found


def _prices(draws: np.random.Generator, days: list[date]) -> PriceHistory:
    """Return closes that end at `SPOTS`, the fund with its index, and one volatility of the index."""
    common, own = draws.normal(0.0, 0.011, len(days)), draws.normal(0.0, 0.02, len(days))
    moves = {"SPX": common, "SPY": common, "QUILL": 1.1 * common + own}
    paths = {ticker: np.exp(np.cumsum(move)) for ticker, move in moves.items()}
    closes = {ticker: SPOTS[ticker] * path / path[-1] for ticker, path in paths.items()}
    return PriceHistory(days, closes, volatilities={"SPX": 0.16 * np.exp(-4.0 * common)}, source=SAID)


def _days(first: date, last: date) -> list[date]:
    span = (first + timedelta(days=step) for step in range((last - first).days + 1))
    return [day for day in span if is_business_day(day)]
