"""The book that strategy margin reads: one underlying, the stock held of it, and options on it. Data only.

Build a `StrategyBook` from `OptionLeg` and `StockHolding`; `netted` gives its series with long and short of the same
series taken together. Prices are given, nothing is valued here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from typing import Literal, TypeAlias

from attrs import evolve, field, frozen

from crossmargin.errors import Problems, suggestion
from crossmargin.records import as_tuple

Right: TypeAlias = Literal["call", "put"]
RIGHTS = ("call", "put")
SETTLES_AT = ("close", "open")
UNDERLYING_KINDS = ("equity", "narrow_index", "broad_index", "broad_etf")
ACCOUNT_TYPES = ("margin", "cash")
STANDARD_MULTIPLIER = 100.0

_WHOLE = 1e-9  # shares times units per share are decimals: a lot is a lot although 0.1 has no exact float


@frozen
class OptionLeg:
    """Listed options of one series.

    `quantity` is contracts, long > 0; `strike` and `price` are USD per unit of the underlying; `days_to_expiry` are
    calendar days. `settles` says whether the last day ends for the series at the open (AM) or at the close (PM).
    """

    quantity: float
    right: Right
    strike: float
    price: float
    days_to_expiry: float
    settles: Literal["close", "open"] = "close"

    @property
    def series(self) -> tuple[float, int, str, float]:
        """What makes two legs the same series: day and time of expiry, right, strike."""
        return (self.days_to_expiry, self.expiry_rank, self.right, self.strike)

    @property
    def expiry_rank(self) -> int:
        """A number in the order of expiry: the open of a day comes before its close."""
        return round(2 * self.days_to_expiry) + (self.settles == "close")

    def intrinsic(self, spot: float) -> float:
        """Return the amount by which the option is in the money, USD per unit, at least 0."""
        return max(0.0, spot - self.strike if self.right == "call" else self.strike - spot)

    def out_of_the_money(self, spot: float) -> float:
        """Return the amount by which the option is out of the money, USD per unit, at least 0."""
        return max(0.0, self.strike - spot if self.right == "call" else spot - self.strike)


@frozen
class StockHolding:
    """Shares held (short < 0) at a price in USD; one share stands for `units_per_share` units of the underlying.

    With `stands_in` they are of a fund in place of the index that the options are on: they cover short calls that
    settle at the close, and nothing else.
    """

    quantity: float
    price: float
    units_per_share: float = 1.0
    stands_in: bool = False


@frozen
class StrategyBook:
    """Stock and options on one underlying in one account.

    Parameters
    ----------
    kind
        `equity`, `narrow_index` (also a narrow fund), `broad_index` or `broad_etf`.
    price
        Of the underlying, USD per unit.
    legs
        Options; the same series may come more than once, at one price.
    stock
        What is held of the stock or fund, None for nothing.
    leverage
        Leverage factor of a leveraged fund or index, 1 otherwise.
    multiplier
        Units of the underlying per contract.
    account_type
        `margin` or `cash`.

    Raises
    ------
    InputError
        With every field of the book and its legs that is wrong.

    Examples
    --------
    >>> book = StrategyBook("equity", 62.0, stock=StockHolding(250, 62.0))
    >>> book.lots, book.odd_shares
    (2, 50.0)
    """

    kind: str
    price: float
    legs: tuple[OptionLeg, ...] = field(default=(), converter=as_tuple)
    stock: StockHolding | None = field(default=None, kw_only=True)
    leverage: float = field(default=1.0, kw_only=True)
    multiplier: float = field(default=STANDARD_MULTIPLIER, kw_only=True)
    account_type: str = field(default="margin", kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        _check_name(problems, "kind", self.kind, UNDERLYING_KINDS)
        _check_name(problems, "account_type", self.account_type, ACCOUNT_TYPES)
        for name in ("price", "leverage", "multiplier"):
            _check_above(problems, "book", name, getattr(self, name))
        if self.stock is not None:
            _check_stock(problems, self.stock)
        for place, leg in enumerate(self.legs):
            _check_leg(problems, leg, f"book, leg {place}")
        problems.raise_if_any()
        _check_prices(problems, self.legs)
        problems.raise_if_any()

    @property
    def shares(self) -> float:
        """Shares held, short < 0."""
        return 0.0 if self.stock is None else self.stock.quantity

    @property
    def share_price(self) -> float:
        """Price of a share, USD; that of the underlying when no stock is held."""
        return self.price if self.stock is None else self.stock.price

    @property
    def lot_shares(self) -> float:
        """Shares in a round lot: as many as stand for the units of one contract."""
        return self.multiplier / (1.0 if self.stock is None else self.stock.units_per_share)

    @property
    def lots(self) -> int:
        """Whole round lots of stock, long or short, at least 0."""
        return math.floor(abs(self.shares) / self.lot_shares * (1.0 + _WHOLE) + _WHOLE)

    @property
    def odd_shares(self) -> float:
        """Shares beyond the round lots, at least 0; they cover nothing."""
        return max(0.0, abs(self.shares) - self.lots * self.lot_shares)

    @cached_property
    def netted(self) -> tuple[OptionLeg, ...]:
        """One leg per series in a fixed order; series that net to nothing are gone."""
        found: dict[tuple[float, int, str, float], OptionLeg] = {}
        for leg in self.legs:
            held = found.get(leg.series)
            found[leg.series] = leg if held is None else evolve(held, quantity=held.quantity + leg.quantity)
        return tuple(found[series] for series in sorted(found) if found[series].quantity)

    def with_order(self, order: Iterable[OptionLeg]) -> StrategyBook:
        """Return the book after an order; a series in both takes the price of the order, the later one."""
        order = tuple(order)
        prices = {leg.series: leg.price for leg in order}
        held = tuple(evolve(leg, price=prices.get(leg.series, leg.price)) for leg in self.legs)
        return evolve(self, legs=(*held, *order))


def _check_name(problems: Problems, name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        problems.add(f"{name} is {value!r}.", where="book", fix=suggestion(str(value), known))


def _check_above(problems: Problems, where: str, name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0.0):
        problems.add(f"{name} is {value}.", where=where, fix="Give a finite number above 0.")


def _check_stock(problems: Problems, stock: StockHolding) -> None:
    if not math.isfinite(stock.quantity):
        problems.add(f"quantity is {stock.quantity}.", where="book, stock", fix="Give a finite number of shares.")
    for name in ("price", "units_per_share"):
        _check_above(problems, "book, stock", name, getattr(stock, name))


def _check_leg(problems: Problems, leg: OptionLeg, where: str) -> None:
    if leg.right not in RIGHTS:
        problems.add(f"right is {leg.right!r}.", where=where, fix=suggestion(str(leg.right), RIGHTS))
    if leg.settles not in SETTLES_AT:
        problems.add(f"settles is {leg.settles!r}.", where=where, fix=suggestion(str(leg.settles), SETTLES_AT))
    if not (math.isfinite(leg.quantity) and leg.quantity == round(leg.quantity)):
        problems.add(f"quantity is {leg.quantity}.", where=where, fix="Give whole contracts.")
    for name, fix in (
        ("strike", "Give a finite strike of at least 0."),
        ("price", "Every leg needs a price: a finite number of at least 0."),
    ):
        value = getattr(leg, name)
        if not (math.isfinite(value) and value >= 0.0):
            problems.add(f"{name} is {value}.", where=where, fix=fix)
    if not (math.isfinite(leg.days_to_expiry) and leg.days_to_expiry >= 0):
        what = f"days_to_expiry is {leg.days_to_expiry}."
        problems.add(what, where=where, fix="Take expired options out; 0 is the last day.")


def _check_prices(problems: Problems, legs: tuple[OptionLeg, ...]) -> None:
    prices: dict[tuple[float, int, str, float], float] = {}
    for place, leg in enumerate(legs):
        first = prices.setdefault(leg.series, leg.price)
        if leg.price != first:
            what = f"price is {leg.price}, the same series stands at {first} before."
            problems.add(what, where=f"book, leg {place}", fix="Give the market price in both places.")
