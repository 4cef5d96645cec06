"""From the positions of a pool to the books that strategy margin reads: one for each class of options.

Call `books_of`. Options are of one class, and may be paired with one another, when they are on one ticker, exercised in
one way, settled in one way and of one multiplier; the opening and the closing series of a day stay together, since a
`StrategyBook` tells them apart. Shares stand with the options on their ticker. Across tickers nothing is paired but
one thing: shares of a plain fund may cover calls on the broad index that it tracks, if these settle at the close. How
many do is for whoever knows the rates: `Cover` says how many may, `covered` moves them. Nothing here knows a rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Literal

from attrs import evolve, field, frozen

from crossmargin.errors import Problems
from crossmargin.pairing.book import STANDARD_MULTIPLIER, OptionLeg, StockHolding, StrategyBook
from crossmargin.portfolio import Position
from crossmargin.products import ETF, Index, ListedOption, Product, Stock
from crossmargin.products.equities import Security
from crossmargin.records import as_tuple

_BROAD = ("broad", "broad_high_cap")
_WHOLE = 1e-9  # relative: a lot is a lot although 0.1 has no exact float


@frozen
class Quotes:
    """What the books are read with: the date, today's prices, what each ticker is.

    `prices` are of the products held and `spots` of the tickers, USD per unit; `securities` says what a ticker is.
    """

    as_of: date
    prices: Mapping[Product, float]
    spots: Mapping[str, float]
    securities: Mapping[str, Security]


@frozen
class Cover:
    """How shares of a fund may cover calls on its index: so many of a lot of `lot` shares, one lot for one call.

    No options on the fund itself can use the shares of the first `free` lots; up to `most` lots there are both shares
    and calls.
    """

    fund: str
    lot: int
    free: int
    most: int


@frozen
class PooledBook:
    """One book of a pool, its name, and what must be said of it; `cover` where shares of a fund may cover its calls."""

    name: str
    book: StrategyBook
    notes: tuple[str, ...] = field(default=(), converter=as_tuple)
    cover: Cover | None = None


def books_of(
    positions: Iterable[Position], quotes: Quotes, *, funds_cover_calls: bool = True
) -> tuple[PooledBook, ...]:
    """Return the books of stock, funds and listed options, sorted by name.

    Parameters
    ----------
    positions
        Of `Stock`, `ETF` and `ListedOption` only.
    quotes
        Prices and terms of all that is held.
    funds_cover_calls
        Whether a fund's shares may cover calls on its index.

    Raises
    ------
    InputError
        With every leg that has no price, is no whole number of contracts or has expired, and every ticker without a
        price.

    Examples
    --------
    >>> day = date(2026, 6, 30)
    >>> call = ListedOption("IBM", "call", 105.0, date(2026, 7, 17))
    >>> held = [Position("a", "A", Stock("IBM"), 250.0), Position("b", "A", call, -2.0)]
    >>> quotes = Quotes(day, {Stock("IBM"): 100.0, call: 1.5}, {"IBM": 100.0}, {"IBM": Stock("IBM")})
    >>> [(each.name, each.book.lots, each.book.legs[0].days_to_expiry) for each in books_of(held, quotes)]
    [('IBM', 2, 17)]
    """
    held = tuple(positions)
    problems = Problems()
    for position in held:
        _check(problems, position, quotes)
    _check_spots(problems, held, quotes)
    problems.raise_if_any("The pool cannot be paired")
    books = _class_books(held, quotes, problems)
    problems.raise_if_any("The pool cannot be paired")
    if funds_cover_calls:
        books = {key: evolve(each, cover=_cover(key, books, quotes)) for key, each in books.items()}
    return tuple(sorted(books.values(), key=lambda each: each.name))


def covered(fund: PooledBook, index: PooledBook, count: int) -> tuple[PooledBook, PooledBook]:
    """Return the books of a fund and of its index after `count` lots of shares moved from the one to the other."""
    cover, own, other = index.cover, fund.book, index.book
    if cover is None or not count:
        return fund, index
    shares, price = cover.lot * count, own.share_price
    stock = StockHolding(float(shares), price, other.multiplier / cover.lot, stands_in=True)
    note = f"{shares:,} shares of {cover.fund} cover calls that settle at the close, {cover.lot:,} shares a contract"
    rest = evolve(own, stock=StockHolding(own.shares - shares, price))
    return evolve(fund, book=rest), evolve(index, book=evolve(other, stock=stock), notes=(*index.notes, note))


def leverage_of(security: Security) -> float:
    """Return how many times as far as its benchmark a security moves, without sign, at least 1.

    Examples
    --------
    >>> leverage_of(ETF("SDS", "broad_high_cap", tracks="SPX", leverage=-2.0)), leverage_of(Stock("IBM"))
    (2.0, 1.0)
    """
    return 1.0 if isinstance(security, Stock) else max(1.0, abs(security.leverage))


def underlying_kind(security: Security) -> str:
    """Return the kind of underlying that strategy margin knows a security by.

    Examples
    --------
    >>> [underlying_kind(each) for each in (Stock("IBM"), ETF("SPY", "broad_high_cap"), ETF("XLE", "sector"))]
    ['equity', 'broad_etf', 'narrow_index']
    """
    if isinstance(security, Stock):
        return "equity"
    if security.breadth not in _BROAD:
        return "narrow_index"
    return "broad_index" if isinstance(security, Index) else "broad_etf"


# ------------------------------------------------------------------------------------------------- classes


@frozen
class _Class:
    """What options must share to be paired; of stock alone, that of the options that it would be paired with."""

    ticker: str
    multiplier: float = STANDARD_MULTIPLIER
    settlement: str = "physical"
    exercise: str = "american"

    @property
    def rank(self) -> tuple[bool, float, bool, bool]:
        """The class of lowest rank holds the shares: the standard contract first, then the larger one."""
        return (
            self.multiplier != STANDARD_MULTIPLIER,
            -self.multiplier,
            self.settlement != "physical",
            self.exercise != "american",
        )


def _class_books(held: tuple[Position, ...], quotes: Quotes, problems: Problems) -> dict[_Class, PooledBook]:
    options: dict[_Class, list[OptionLeg]] = {}
    shares: dict[str, list[float]] = {}
    for position in held:
        product = position.product
        if isinstance(product, ListedOption):
            options.setdefault(_class_of(product), []).append(_leg(position, product, quotes))
        elif isinstance(product, Stock | ETF):
            shares.setdefault(product.ticker, []).append(position.quantity)
    homes = {ticker: _home(ticker, options) for ticker in shares}
    books: dict[_Class, PooledBook] = {}
    for key in {**options, **dict.fromkeys(homes.values())}:
        count = math.fsum(shares[key.ticker]) if homes.get(key.ticker) == key else 0.0
        with problems.collecting():
            book = _book(key, options.get(key, []), count, quotes)
            books[key] = PooledBook(_name(key, options), book, _notes(key, options))
    return books


def _class_of(option: ListedOption) -> _Class:
    return _Class(option.underlying, option.multiplier, option.settlement, option.exercise)


def _home(ticker: str, classes: Iterable[_Class]) -> _Class:
    return min((key for key in classes if key.ticker == ticker), key=lambda key: key.rank, default=_Class(ticker))


def _leg(position: Position, option: ListedOption, quotes: Quotes) -> OptionLeg:
    days = (option.expiry - quotes.as_of).days
    settles: Literal["open", "close"] = "open" if option.settles_at == "open" else "close"
    return OptionLeg(position.quantity, option.right, option.strike, quotes.prices[option], days, settles)


def _book(key: _Class, legs: Iterable[OptionLeg], shares: float, quotes: Quotes) -> StrategyBook:
    security, spot = quotes.securities[key.ticker], quotes.spots[key.ticker]
    return StrategyBook(
        underlying_kind(security),
        spot,
        legs,
        stock=StockHolding(shares, spot) if shares else None,
        leverage=leverage_of(security),
        multiplier=key.multiplier,
    )


def _name(key: _Class, classes: Iterable[_Class]) -> str:
    """Return the ticker, and the terms of the class when the ticker has several."""
    others = [other for other in classes if other.ticker == key.ticker and other != key]
    terms = f" {key.exercise} {key.settlement} x{key.multiplier:g}"
    return f"{key.ticker}{terms if others else ''}"


def _notes(key: _Class, classes: Iterable[_Class]) -> Iterator[str]:
    if key.multiplier != STANDARD_MULTIPLIER:
        yield f"contracts of {key.multiplier:g} units, paired only with one another"
    elif any(other.ticker == key.ticker and other != key for other in classes):
        yield "options of another multiplier, exercise or settlement stand in a book of their own"


# ------------------------------------------------------------------------------- a fund in place of its index


def _cover(index: _Class, books: Mapping[_Class, PooledBook], quotes: Quotes) -> Cover | None:
    """Return what shares may cover the calls of an index: of one fund, the one of which most is held."""
    calls = _closing_calls(books[index].book)
    if not calls or underlying_kind(quotes.securities[index.ticker]) != "broad_index":
        return None
    if any(other.ticker == index.ticker and other.rank < index.rank for other in books):
        return None
    funds = [each for key, each in books.items() if _stands_for(key.ticker, index.ticker, each.book, quotes)]
    fund = max(funds, key=lambda each: (each.book.shares * each.book.share_price, each.name), default=None)
    if fund is None:
        return None
    book = fund.book
    lot = math.ceil(books[index].book.multiplier * books[index].book.price / book.share_price * (1.0 - _WHOLE))
    free, most = (min(calls, math.floor(shares / lot)) for shares in (_free_shares(book), book.shares))
    return Cover(fund.name, lot, free, most) if most else None


def _free_shares(book: StrategyBook) -> float:
    """Return the shares that no option of their own book can use: each uses one lot at most."""
    uses = (leg for leg in book.netted if (leg.right == "call") == (leg.quantity < 0))
    return max(0.0, book.shares - book.lot_shares * sum(abs(leg.quantity) for leg in uses))


def _closing_calls(book: StrategyBook) -> int:
    """Return the short calls that settle at the close."""
    return round(
        sum(-leg.quantity for leg in book.netted if leg.quantity < 0 and leg.right == "call" and leg.settles == "close")
    )


def _stands_for(ticker: str, index: str, book: StrategyBook, quotes: Quotes) -> bool:
    """Whether a book holds shares, long, of a fund that moves as the index does."""
    fund = quotes.securities[ticker]
    return book.shares > 0 and isinstance(fund, ETF) and fund.leverage == 1.0 and fund.tracks == index


# ------------------------------------------------------------------------------------------------- problems


def _check(problems: Problems, position: Position, quotes: Quotes) -> None:
    product, where = position.product, f"position {position.id!r}"
    if not isinstance(product, ListedOption):
        return
    if not (math.isfinite(position.quantity) and position.quantity == round(position.quantity)):
        problems.add(f"quantity is {position.quantity}.", where=where, fix="Give whole contracts.")
    if product.expiry < quotes.as_of:
        what = f"{product.symbol} ended on {product.expiry}, before as_of {quotes.as_of}."
        problems.add(what, where=where, fix="Drop it.")
    price = quotes.prices.get(product)
    if price is None:
        fix = f"Give prices[{product.symbol!r}], or underlyings[{product.underlying!r}]."
        problems.add(f"the market has no price of {product.symbol}.", where=where, fix=fix)
    elif not (math.isfinite(price) and price >= 0.0):
        problems.add(f"the price of {product.symbol} is {price}.", where=where, fix="Give USD per unit, 0 or more.")


def _check_spots(problems: Problems, held: tuple[Position, ...], quotes: Quotes) -> None:
    tickers = (_ticker(position.product) for position in held)
    for ticker in dict.fromkeys(ticker for ticker in tickers if ticker):
        spot = quotes.spots.get(ticker)
        if spot is None or not (math.isfinite(spot) and spot > 0.0):
            what = "the market has no price of it." if spot is None else f"its price is {spot}."
            fix = f"Give underlyings[{ticker!r}] a spot, or prices[{ticker!r}], above 0."
            problems.add(what, where=f"underlying {ticker!r}", fix=fix)


def _ticker(product: Product) -> str:
    if isinstance(product, ListedOption):
        return product.underlying
    return product.ticker if isinstance(product, Stock | ETF) else ""
