"""Small securities books that tests share: a flat market, priced options on two indices, their funds and two stocks.

`market_of(prices)` is a market with one zero rate at every term; `inputs_of` and `asked` margin positions in it.
`MENU` holds products on four underlyings and `priced()` the market that prices them at one volatility each.
"""

from __future__ import annotations

import csv
import math
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import strategies as st

from crossmargin.accounts import Account, AccountClass, Agreement, Customer, CustomerKind, Firm, Registration
from crossmargin.market import Market, ParCurve
from crossmargin.methodology import Inputs
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.posted import CARRYING_FIRM
from crossmargin.pricing.portfolio_grid import GridModel, OptionSeries, grid_values
from crossmargin.products import ETF, Index, ListedOption, SecurityFuture, Stock
from crossmargin.registry import rules
from crossmargin.rulesets import portfolio_margin
from crossmargin.underlyings import Underlying
from tests.properties.strategies import AS_OF, history

TENORS = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0]
SPX, NDX = Index("SPX", "broad_high_cap"), Index("NDX", "broad_high_cap")
SPY = ETF("SPY", "broad_high_cap", tracks="SPX")
SSO = ETF("SSO", "broad_high_cap", tracks="SPX", leverage=2.0)
SH = ETF("SH", "broad_high_cap", tracks="SPX", leverage=-1.0)
IWM = ETF("IWM", "broad")
IBM, XYZ = Stock("IBM"), Stock("XYZ")
INDEX_TERMS = {"exercise": "european", "settlement": "cash", "underlying_kind": "index"}
SPOTS = {"SPX": 5000.0, "NDX": 18000.0, "SPY": 500.0, "SSO": 80.0, "SH": 12.0, "IWM": 200.0, "IBM": 100.0, "XYZ": 40.0}
SECURITIES = {security.ticker: security for security in (SPX, NDX, SPY, SSO, SH, IWM, IBM, XYZ)}
VOLATILITY = {"SPX": 0.16, "NDX": 0.22, "SPY": 0.16, "IBM": 0.3, "XYZ": 0.5}
RATE = 0.04


def option(ticker, right, strike, days=80):
    """An option by hand: European on an index and, so that many examples are cheap, on everything else."""
    expiry = AS_OF + timedelta(days=days)
    if ticker in ("SPX", "NDX"):
        return ListedOption(ticker, right, strike, expiry, **INDEX_TERMS)
    kind = "etf" if ticker == "SPY" else "equity"
    return ListedOption(ticker, right, strike, expiry, exercise="european", underlying_kind=kind)


def _chain(ticker):
    moneyness = (0.9, 1.0, 1.1)
    return [
        option(ticker, right, SPOTS[ticker] * level, days)
        for days in (30, 200)
        for level in moneyness
        for right in ("call", "put")
    ]


OPTIONS = tuple(each for ticker in VOLATILITY for each in _chain(ticker))
SHARES = (SPY, SSO, SH, IWM, IBM, XYZ)
FUTURE = SecurityFuture("IBM", 202609)
MENU = (*OPTIONS, *SHARES, FUTURE)


def underlyings(**changed):
    """The underlyings of `SPOTS`; a keyword replaces one of them."""
    found = {ticker: Underlying(ticker, spot=spot, security=SECURITIES[ticker]) for ticker, spot in SPOTS.items()}
    return {**found, **changed}


def market_of(prices, *, rate=RATE, known=None, as_of=AS_OF, **more) -> Market:
    """A market whose continuous zero rate is `rate` at every term; `prices` by product or symbol."""
    par = 2.0 * (math.exp(rate / 2.0) - 1.0)
    symbols = {getattr(product, "symbol", product): price for product, price in dict(prices).items()}
    curve = ParCurve(as_of, TENORS, [par] * len(TENORS))
    known = underlyings() if known is None else known
    return Market(as_of, curve, history(), prices=symbols, underlyings=known, **more)


@cache
def priced() -> Market:
    """The market in which every option of the menu costs what one volatility per underlying gives."""
    prices = {}
    for each in OPTIONS:
        years, model = (each.expiry - AS_OF).days / 365, GridModel(rate=RATE, american=each.exercise == "american")
        series = OptionSeries(is_call=[each.right == "call"], strike=[each.strike], expiry_time=[years], price=[0.0])
        value = grid_values(series, [VOLATILITY[each.underlying]], spot=[SPOTS[each.underlying]], model=model)
        prices[each] = float(value[0, 0])
    return market_of(prices)


def positions_of(held, *, account="A", start="p"):
    """Positions from (product, quantity) pairs."""
    return tuple(Position(f"{start}{number}", account, product, float(q)) for number, (product, q) in enumerate(held))


def portfolio_of(positions, *, equity=None, monitoring="none", account_class=AccountClass.SEC_15C3_3) -> Portfolio:
    """A portfolio of one account, approved for portfolio margin."""
    house = account_class is AccountClass.PROPRIETARY
    account = Account("A", "F" if house else "C", "F", account_class, "", [Agreement.PORTFOLIO_MARGIN], equity)
    firm = Firm("F", [Registration.BD], name="Firm", monitoring=monitoring)
    return Portfolio([firm], [Customer("C", CustomerKind.RETAIL)], [account], positions)


def inputs_of(positions, market=None, **account) -> Inputs:
    """What a rule-set gets for these positions."""
    return Inputs(portfolio_of(positions, **account), market or priced(), {})


def pool_of(inputs: Inputs, ruleset="portfolio_margin") -> Pool:
    """All positions in one pool."""
    account = inputs.portfolio.accounts[0]
    held = inputs.portfolio.positions
    return Pool(account.owner, "F", account.account_class, CARRYING_FIRM, ruleset, "", held)


def asked(held, market=None, *, overlaid=None, as_of: date = AS_OF, **account):
    """The line of portfolio margin for (product, quantity) pairs."""
    inputs = inputs_of(positions_of(held), market, **account)
    rule = rules("portfolio_margin")
    rule = rule.with_values(because="test", **overlaid) if overlaid else rule
    return portfolio_margin.requirement(pool_of(inputs), inputs, rule.at(as_of))


contracts = st.integers(-50, 50).filter(bool).map(float)
shares = st.integers(-3000, 3000).filter(bool).map(float)


@st.composite
def holdings(draw, menu=MENU, most=6):
    """(product, quantity) pairs from the menu; a product may stand more than once."""
    products = draw(st.lists(st.sampled_from(menu), min_size=1, max_size=most))
    return tuple((each, draw(shares if each in SHARES else contracts)) for each in products)


# ---------------------------------------------------------------------------------------- real chains of one day

DAY = date(2023, 9, 14)
MARKET = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "market"
REAL_RATE, REAL_YIELD = 0.057, 0.0096  # what put-call parity of the index chain implies to December


@cache
def real_chain(name):
    """Return every living two-sided, uncrossed quote at its middle, and the spot."""
    path = MARKET / f"options_{name}_{DAY}.csv"
    if not path.is_file():
        pytest.skip(f"no {path.name} in ../shared/data/market")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if date.fromisoformat(row["expiration"]) > DAY]
    prices = {}
    for row in rows:
        if 0 < float(row["bid"]) <= float(row["ask"]):
            day, right = date.fromisoformat(row["expiration"]), {"C": "call", "P": "put"}[row["right"]]
            terms = {"underlying_kind": "etf"}
            if name == "spx":
                terms = {**INDEX_TERMS, "settles_at": "open" if row["root"] == "SPX" else "close"}
            each = ListedOption(name.upper(), right, float(row["strike"]), day, **terms)
            prices[each] = (float(row["bid"]) + float(row["ask"])) / 2
    return prices, float(rows[0]["underlying_last"])


@cache
def real_market(*names):
    known, prices = {}, {}
    for name in names:
        chain, spot = real_chain(name)
        security = SPX if name == "spx" else SPY
        known[name.upper()] = Underlying(name.upper(), spot=spot, dividend_yield=REAL_YIELD, security=security)
        prices.update(chain)
    return market_of(prices, rate=REAL_RATE, known=known, as_of=DAY)
