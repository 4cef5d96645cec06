"""What shares and options hang on: a spot, what it pays, how volatile it is thought to be, and what it is.

An `Underlying` is part of a `Market`. Data only: surfaces are built and read in `pricing/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from attrs import field, frozen

from crossmargin.errors import Problem, Problems, is_number, suggestion
from crossmargin.price_history import LARGEST_VOLATILITY
from crossmargin.products.equities import ETF, Security, Stock, ticker_of
from crossmargin.products.futures import IndexFuture
from crossmargin.products.options import FutureOption, ListedOption
from crossmargin.records import as_tuple

if TYPE_CHECKING:
    from crossmargin.products import Product

SmileRule: TypeAlias = Literal["sticky_strike", "sticky_moneyness", "sticky_delta"]


def _is_dividend(value: Any) -> bool:
    """Whether a value is a day, without a time of day, and an amount."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return False
    day, amount = value
    return isinstance(day, date) and not isinstance(day, datetime) and is_number(amount) and bool(amount >= 0.0)


def _is_volatility(value: Any) -> bool:
    return value is None or hasattr(value, "smiles") or (is_number(value) and 0.0 <= value <= LARGEST_VOLATILITY)


def _plain(value: Any) -> Any:
    return float(value) if not isinstance(value, bool) and isinstance(value, Real) else value  # NumPy's numbers too


@frozen(eq=False)
class Underlying:
    """A share, fund, index or future that options are written on.

    Parameters
    ----------
    symbol
        Ticker, or the symbol of a future (`ZN 2026-09`).
    volatility
        Yearly volatility as a decimal, or a `pricing.volatility.VolatilitySurface`; None where no option needs one.
    spot
        USD per unit; None for a future, whose price comes from its own valuation.
    dividend_yield
        Continuous, decimal.
    dividends
        Known cash dividends: (ex-date, USD per unit). The spot less their present value is what moves.
    smile_rule
        What stays when the spot moves: `sticky_strike`, `sticky_moneyness` or `sticky_delta`.
    security
        What the ticker is: a `Stock`, an `ETF` or an `Index`, which decides rates and scan ranges. Options on a fund
        or an index need it.

    Raises
    ------
    InputError
        With every field that is wrong.
    """

    symbol: str
    volatility: Any = field(default=None, converter=_plain)
    spot: float | None = field(default=None, converter=_plain)
    dividend_yield: float = field(default=0.0, kw_only=True)
    dividends: tuple[tuple[date, float], ...] = field(default=(), kw_only=True, converter=as_tuple)
    smile_rule: SmileRule = field(default="sticky_moneyness", kw_only=True)
    security: Security | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"underlying {self.symbol!r}"
        symbol: object = self.symbol
        if not isinstance(symbol, str) or not symbol.strip():
            problems.add("its symbol is no name.", where=where, fix="Give a ticker, or the symbol of a future.")
        if self.spot is not None and not (is_number(self.spot) and self.spot > 0.0):
            problems.add(f"spot is {self.spot!r}.", where=where, fix="Give a finite price above 0.")
        if not _is_volatility(self.volatility):
            problems.add(f"volatility is {self.volatility!r}.", where=where, fix="Give 0.2 for 20 %, or a surface.")
        if not is_number(self.dividend_yield):
            problems.add(f"dividend_yield is {self.dividend_yield!r}.", where=where, fix="Give a decimal.")
        if not all(map(_is_dividend, self.dividends)):
            problems.add("a cash dividend is no amount.", where=where, fix="Give (date, USD per unit, 0 or more).")
        if self.smile_rule not in get_args(SmileRule):
            fix = suggestion(str(self.smile_rule), get_args(SmileRule))
            problems.add(f"unknown smile_rule {self.smile_rule!r}.", where=where, fix=fix)
        told: object = self.security
        if told is not None and (not isinstance(told, Security) or told.ticker != self.symbol):
            fix = f"Give a Stock, an ETF or an Index {self.symbol!r}."
            problems.add(f"its security is {getattr(told, 'ticker', told)!r}.", where=where, fix=fix)
        problems.raise_if_any()


def securities_held(products: Iterable[Product], underlyings: Mapping[str, Underlying]) -> dict[str, Security]:
    """Return what each ticker is on whose price a product hangs: as held, as the market says, or plain stock.

    An option on an index future hangs on the index too.
    """
    products = tuple(products)
    told, found = _told(products), dict[str, Security]()
    below = (product.underlying if isinstance(product, FutureOption) else product for product in products)
    for ticker in filter(None, dict.fromkeys(map(ticker_held, below))):
        known = underlyings.get(ticker)
        found[ticker] = told.get(ticker) or (known and known.security) or Stock(ticker)
    return found


def security_problems(products: Iterable[Product], underlyings: Mapping[str, Underlying]) -> Iterable[Problem]:
    """Yield each ticker that is told to be two things: by its holdings, by the options on it, by the market."""
    products = tuple(products)
    held: dict[str, set[Security]] = {}
    for product in products:
        if isinstance(product, Stock | ETF):
            held.setdefault(product.ticker, set()).add(product)
    for ticker, things in held.items():
        known = underlyings.get(ticker)
        market = set() if known is None or known.security is None else {known.security}
        if len(things) > 1:
            yield Problem(f"is held as {_listed(things)}.", ticker, "Give both the same terms.")
        elif market and market != things:
            what = f"is held as {_listed(things)}, and the market calls it {_listed(market)}."
            yield Problem(what, ticker, "Give both the same terms.")
    yield from _kind_problems(products, underlyings)
    for symbol in dict.fromkeys(map(ticker_held, products)):
        known = underlyings.get(symbol)
        if known is not None and known.symbol != symbol:
            what = f"the market keeps {known.symbol!r} under this symbol."
            yield Problem(what, symbol, "Keep each underlying under its own symbol.")


def _kind_problems(products: tuple[Product, ...], underlyings: Mapping[str, Underlying]) -> Iterable[Problem]:
    """Yield options said to be on an index or a fund where the ticker is something else, or to deliver an index."""
    said: dict[tuple[str, str], str] = {}
    for product in products:
        if isinstance(product, ListedOption) and product.underlying_kind != "equity":  # what nobody says is `equity`
            said.setdefault((product.underlying, product.underlying_kind), product.symbol)
    known = securities_held(products, underlyings)
    untold = unknown_breadth(products, underlyings)
    for (ticker, kind), symbol in said.items():
        if ticker not in untold and known[ticker].kind != kind:
            yield Problem(f"is an option on an {kind}, and {ticker} is {known[ticker]}.", symbol, "Correct either.")
    delivering = (each for each in products if isinstance(each, ListedOption) and each.settlement == "physical")
    for option in dict.fromkeys(delivering):
        if option.underlying_kind == "equity" and known[option.underlying].kind == "index":
            what = f"settles physically, and {option.underlying} is an index, which nobody can deliver."
            fix = "Give settlement cash and underlying_kind index; and exercise european where it is."
            yield Problem(what, option.symbol, fix)


def _listed(things: Iterable[Security]) -> str:
    return " and ".join(sorted(map(str, things)))


def unknown_breadth(products: Iterable[Product], underlyings: Mapping[str, Underlying]) -> set[str]:
    """Return the funds and indices that options are held on and of which nobody says how broad they are."""
    products = tuple(products)
    told = {*_told(products), *(ticker for ticker, known in underlyings.items() if known.security is not None)}
    options = (product for product in products if isinstance(product, ListedOption))
    return {each.underlying for each in options if each.underlying_kind != "equity"} - told


def _told(products: Iterable[Product]) -> dict[str, Stock | ETF]:
    return {product.ticker: product for product in products if isinstance(product, Stock | ETF)}


def ticker_held(product: Product) -> str:
    """Return the ticker on whose price a share, an option on one, a future or a warrant hangs, or ""."""
    return product.underlying if isinstance(product, ListedOption | IndexFuture) else ticker_of(product)
