"""Shares and what is written on them: stock, funds, indices, security futures, warrants. Data only.

`Stock` and `ETF` are held in shares; an `Index` is never held, it says what an option on it is an option on. What a
ticker is decides how it is margined: its breadth, the index that it tracks and its leverage. Options stand in
`options`. Nothing here prices.
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal, TypeAlias

from attrs import field, frozen

from crossmargin.errors import Problems
from crossmargin.products import _fields as fields
from crossmargin.products.calendars import third_friday

Breadth: TypeAlias = Literal["narrow", "sector", "broad", "broad_high_cap"]
BREADTHS = ("narrow", "sector", "broad", "broad_high_cap")
_SHARES = 100.0  # in a usual contract


@frozen(cache_hash=True)
class Stock:
    """Common stock; quantity is shares, long > 0.

    Raises
    ------
    InputError
        The ticker is no name.

    Examples
    --------
    >>> Stock("IBM").symbol
    'IBM'
    """

    kind: ClassVar[str] = "stock"
    leverage: ClassVar[float] = 1.0
    tracks: ClassVar[str] = ""
    ticker: str

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        fields.is_text(problems, self.ticker, f"{self.kind} ticker")
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """The ticker."""
        return self.ticker


@frozen(cache_hash=True)
class ETF:
    """A fund traded on an exchange; quantity is shares, long > 0.

    Parameters
    ----------
    ticker : str
    breadth : {"narrow", "sector", "broad", "broad_high_cap"}
        Of what it invests in: decides rates and scan ranges.
    tracks : str
        Ticker of the index that it follows, "" for none that is known.
    leverage : float
        Multiple of the daily move of what it tracks that it aims at; negative for an inverse fund.

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> ETF("SDS", "broad_high_cap", tracks="SPX", leverage=-2.0).leverage
    -2.0
    """

    kind: ClassVar[str] = "etf"
    ticker: str
    breadth: Breadth = "narrow"
    tracks: str = field(default="", kw_only=True)
    leverage: float = field(default=1.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        fields.is_text(problems, self.ticker, f"{self.kind} ticker")
        fields.is_one_of(problems, self.breadth, f"{self.kind} breadth", BREADTHS)
        fields.is_text(problems, self.tracks, f"{self.kind} tracks", empty=True)
        where, fix = f"{self.kind} leverage", "Give 2 for a fund that moves twice as far, -1 for an inverse one."
        if fields.is_number(problems, self.leverage, where) and not self.leverage:
            problems.add("is 0.", where=where, fix=fix)
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """The ticker."""
        return self.ticker


@frozen(cache_hash=True)
class Index:
    """An index that options are written on; it cannot be held.

    Parameters
    ----------
    ticker : str
    breadth : {"narrow", "sector", "broad", "broad_high_cap"}

    Raises
    ------
    InputError
        With every field that is wrong.
    """

    kind: ClassVar[str] = "index"
    leverage: ClassVar[float] = 1.0
    tracks: ClassVar[str] = ""
    ticker: str
    breadth: Breadth

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        fields.is_text(problems, self.ticker, f"{self.kind} ticker")
        fields.is_one_of(problems, self.breadth, f"{self.kind} breadth", BREADTHS)
        problems.raise_if_any()


@frozen(cache_hash=True)
class SecurityFuture:
    """A future on one stock or fund, or on a narrow index; quantity is contracts, long > 0.

    Parameters
    ----------
    underlying : str
        Ticker.
    month : int
        Contract month CCYYMM.
    multiplier : float
        Shares in one contract.

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> future = SecurityFuture("IBM", 202609)
    >>> future.symbol, future.expiry.isoformat()
    ('IBM future 2026-09', '2026-09-18')
    """

    kind: ClassVar[str] = "security_future"
    underlying: str
    month: int
    multiplier: float = field(default=_SHARES, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        fields.is_text(problems, self.underlying, f"{self.kind} underlying")
        fields.is_month(problems, self.month, f"{self.kind} month")
        fields.is_positive(problems, self.multiplier, f"{self.kind} multiplier")
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """Readable name: ticker, contract month, and the multiplier where it is not the usual one."""
        size = f" x{fields.plain(self.multiplier)}" if self.multiplier != _SHARES else ""
        return f"{self.underlying} future {self.month // 100:04d}-{self.month % 100:02d}{size}"

    @property
    def expiry(self) -> date:
        """The last trading day: the third Friday of the contract month, or the business day before it."""
        return third_friday(*divmod(self.month, 100))


@frozen(cache_hash=True)
class Warrant:
    """The right to buy a share from its issuer; quantity is warrants, long > 0. No rule-set margins warrants yet.

    Parameters
    ----------
    underlying : str
        Ticker.
    strike : float
        USD per share.
    expiry : date
    """

    kind: ClassVar[str] = "warrant"
    underlying: str
    strike: float
    expiry: date

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        fields.is_text(problems, self.underlying, f"{self.kind} underlying")
        fields.is_positive(problems, self.strike, f"{self.kind} strike")
        fields.is_date(problems, self.expiry, f"{self.kind} expiry")
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """Readable name: ticker, strike, expiry."""
        return f"{self.underlying} warrant {fields.plain(self.strike)} {self.expiry.isoformat()}"


Security: TypeAlias = Stock | ETF | Index
EQUITIES = (Stock, ETF, SecurityFuture, Warrant)


def ticker_of(product: object) -> str:
    """Return the ticker on whose price an equity product hangs, "" for any other product.

    Examples
    --------
    >>> ticker_of(SecurityFuture("IBM", 202609)), ticker_of(ETF("SPY"))
    ('IBM', 'SPY')
    """
    if isinstance(product, Stock | ETF):
        return product.ticker
    return product.underlying if isinstance(product, SecurityFuture | Warrant) else ""
