"""Revaluation: what every instrument gains or loses under every scenario, each cash flow repriced.

Call `revalue(products, market, scenarios)`; it returns a `PnL` of shape [n_instruments, n_scenarios] in USD
per unit of quantity. What products pay is in `pricing.legs`, cash flows under curves in `pricing.cash_flows`,
options in `pricing.options`, interest-rate swaps in `pricing.swaps`.

What the numbers leave out. Shocks are instantaneous: no ageing, carry or roll over the horizon. One curve
discounts everything: no repo specialness, no spread between Treasury and money-market rates. A Treasury
future is its cheapest deliverable, chosen anew in each scenario; the seller's options (when to deliver, and
to change the choice after the scenario) are worth nothing here. Risk measures are in `risk.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, TypeGuard

import numpy as np
from attrs import field, frozen

from crossmargin.curves import FloatArray, interpolate, zero_rates
from crossmargin.errors import InputError, NumericalError, Problem, Problems, check_kinds, several, suggestion
from crossmargin.market import Market, ParCurve
from crossmargin.pricing.cash_flows import (
    CashFlowBook,
    NettedBook,
    cash_flow_book,
    check_quantities,
    netted_book,
    netted_values,
    present_values,
)
from crossmargin.pricing.legs import POINTS, price_growth
from crossmargin.pricing.shares import Share, share_price, share_problems, share_values, spot_of
from crossmargin.pricing.swaps_market import market_swap_values, swap_problems
from crossmargin.products import Product
from crossmargin.products.equities import ETF, SecurityFuture, Stock
from crossmargin.products.futures import IndexFuture, ShortRateFuture, TreasuryFuture, contract_spec
from crossmargin.products.options import FUTURE_OPTION_KINDS, FutureOption, ListedOption
from crossmargin.products.swaps import RATE_SWAPS, Swap
from crossmargin.products.treasuries import (
    TIPS,
    Repo,
    ReverseRepo,
    TreasuryBond,
    TreasuryNote,
    accrued_interest,
    has_fixed_cash_flows,
)
from crossmargin.scenarios import ScenarioSet, grid_scenarios
from crossmargin.underlyings import ticker_held

__all__ = [
    "CashFlowBook",
    "NettedBook",
    "PnL",
    "can_revalue",
    "cash_flow_book",
    "netted_book",
    "netted_values",
    "present_values",
    "revalue",
    "scenario_zero_rates",
    "today_prices",
]

Option: TypeAlias = FutureOption | ListedOption
_MOVED_KINDS = frozenset({"stock", "etf", "security_future", "index_future", "listed_option", *FUTURE_OPTION_KINDS})
_WITHOUT_BASIS = (
    Repo,
    ReverseRepo,
    Stock,
    ETF,
    SecurityFuture,
    IndexFuture,
    *RATE_SWAPS,
)  # none is observed, or the price is the value


def _readonly(values: FloatArray) -> FloatArray:
    try:
        array = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            [Problem("no table of numbers.", "P&L", "Give numbers only, in rows of equal length.")]
        ) from error
    array.setflags(write=False)
    return array


@frozen(eq=False)
class PnL:
    """Gains and losses of one unit of each product: the matrix that every regime draws its pools over.

    Attributes
    ----------
    products : tuple
        n_instruments distinct products, in order of first appearance.
    values : array [n_instruments, n_scenarios]
        Value under the scenario minus value now, USD per unit of quantity (USD of face, contract), gain > 0.
    base : array [n_instruments]
        Model value now, USD per unit of quantity, accrued interest included.
    basis : array [n_instruments]
        Observed minus model value, USD per unit of quantity; 0 where no price was given. It is carried
        unchanged through every scenario, so `values` does not depend on it.
    scenarios : ScenarioSet
        Where the columns come from.
    market : Market or None
        What products were revalued on; None where values come from elsewhere.
    """

    products: tuple[Product, ...]
    values: FloatArray = field(converter=_readonly)
    base: FloatArray = field(converter=_readonly)
    basis: FloatArray = field(converter=_readonly)
    scenarios: ScenarioSet
    market: Market | None = field(default=None, repr=False)
    _index: Mapping[Product, int] = field(init=False, repr=False)
    _rank: tuple[int, ...] = field(init=False, repr=False)

    @_index.default
    def _index_of_products(self) -> Mapping[Product, int]:
        several("products", self.products, Product, "Give products in a list.")
        return {product: row for row, product in enumerate(self.products)}

    @_rank.default
    def _rank_by_symbol(self) -> tuple[int, ...]:
        order = sorted(range(len(self.products)), key=lambda row: self.products[row].symbol)
        return tuple(int(rank) for rank in np.argsort(order))

    def row(self, product: Product) -> FloatArray:
        """Return the P&L [n_scenarios] of one unit of a product, USD, gain > 0.

        Raises
        ------
        InputError
            The product was not revalued.
        """
        self._check_known([product])
        row: FloatArray = self.values[self._index[product]]
        return row

    def __contains__(self, product: object) -> bool:
        return product in self._index

    def pooled(self, products: Sequence[Product], quantities: Sequence[float]) -> FloatArray:
        """Return the P&L [n_scenarios] of positions margined together, USD, gain > 0.

        Quantities of one product are netted first (correctly rounded), then products are added one after
        another in the order of their symbols. Neither the order of the positions, nor a position split in
        parts, nor what else was revalued changes a bit of the result.

        Raises
        ------
        InputError
            Products that were not revalued, quantities that are not finite, lists of different length.
        """
        self._check_known(products)
        check_quantities(products, quantities)
        parts: dict[int, list[float]] = {}
        for product, quantity in zip(products, quantities, strict=True):
            parts.setdefault(self._index[product], []).append(float(quantity))
        total = np.zeros(self.values.shape[1])
        for row in sorted(parts, key=self._rank.__getitem__):
            total += math.fsum(parts[row]) * self.values[row]
        return total

    def _check_known(self, products: Iterable[Product]) -> None:
        problems = Problems()
        for product in dict.fromkeys(products):
            if product not in self._index:
                fix = suggestion(product.symbol, [known.symbol for known in self.products])
                problems.add("was not revalued", where=product.symbol, fix=fix)
        problems.raise_if_any("no P&L for some products")


def revalue(products: Sequence[Product], market: Market, scenarios: ScenarioSet, *, threads: int = 1) -> PnL:
    """Return the P&L of every distinct product under every scenario by full repricing of each cash flow.

    Parameters
    ----------
    products : sequence
        Duplicates are valued once.
    market : Market
        Today's par curve; `market.prices` gives observed prices by symbol, in points: clean per 100 of face
        for notes, bonds and floating-rate notes, clean and real (before the index ratio) for TIPS, per 100 of face
        for bills and STRIPS, as quoted for futures.
    scenarios : ScenarioSet
        Changes of par yields. Between its tenors a change is read linearly, flat beyond the ends.
    threads : int
        Threads that share the scenarios. The result is the same to the last bit.

    Returns
    -------
    PnL
        `values` [n_instruments, n_scenarios], USD per unit of quantity. A scenario of zeros gives exactly 0.

    Raises
    ------
    InputError
        Arguments of another kind; products that cannot be revalued (`can_revalue`), have expired or lack a basket: all
        of them at once.
    NumericalError
        A scenario leads to a discount factor that is not positive.

    Notes
    -----
    Today's curve and the changes are both read at the union of their tenors, so neither loses a quote.
    Today's curve is valued by the very same path, as one more scenario.

    Examples
    --------
    A long note and a long future on it lose when yields rise by a basis point, per 1 USD of face and contract:

    >>> from datetime import date
    >>> from crossmargin.market import History
    >>> from crossmargin.scenarios import ScenarioSpec
    >>> today = date(2026, 6, 30)
    >>> curve = ParCurve(today, [0.25, 2, 5, 10, 30], [0.0387, 0.0414, 0.0419, 0.0444, 0.0491])
    >>> market = Market(today, curve, History([today], [1, 2], [[0.040, 0.041]]))
    >>> up = ScenarioSet(ScenarioSpec("historical", 1, 1), [2, 10], [[0.0001], [0.0001]])
    >>> note = TreasuryNote(0.0425, date(2033, 8, 15))
    >>> pnl = revalue([note, TreasuryFuture("ZN", 202609, (note,))], market, up)
    >>> pnl.values.round(5).tolist()
    [[-0.00061], [-65.28214]]
    """
    check_kinds(
        market=(market, Market, "Give a Market: the order is products, market, scenarios."),
        scenarios=(scenarios, ScenarioSet, "Give what scenario_set or grid_scenarios returned."),
    )
    distinct = tuple(dict.fromkeys(several("products", products, Product, "Give products in a list.")))
    options = [product for product in distinct if isinstance(product, FutureOption | ListedOption)]
    below: list[Product] = [option.underlying for option in options if isinstance(option, FutureOption)]
    needed = tuple(dict.fromkeys([*distinct, *below]))
    shares = [product for product in needed if _is_share(product)]
    swaps = [product for product in needed if _is_swap(product)]
    elsewhere = {*options, *shares, *swaps}
    rows = tuple(product for product in needed if product not in elsewhere)
    problems = _problems(options, shares, market, scenarios)
    problems.extend(swap_problems(swaps, market))
    book = _laid_out(rows, market, problems=problems)
    curves = scenario_zero_rates(market.curve, scenarios)
    values = present_values(book, *curves, threads=threads)
    if options or shares or swaps:
        known: Mapping[Product, FloatArray] = dict(zip(rows, values, strict=True))
        known = {**known, **share_values(shares, market, scenarios), **_of_swaps(swaps, market, curves, threads)}
        known = {**known, **_of_options(options, known, market, scenarios, curves=curves)}
        values = np.stack([known[product] for product in distinct])
    base = values[:, 0].copy()
    basis = [_basis(product, value, market) for product, value in zip(distinct, base, strict=True)]
    return PnL(distinct, values[:, 1:] - values[:, :1], base, np.array(basis, dtype=np.float64), scenarios, market)


def _laid_out(rows: Sequence[Product], market: Market, *, problems: Problems) -> CashFlowBook:
    """Return the cash flows of `rows`, after raising all that is wrong with them, and all `problems`, at once."""
    book = cash_flow_book((), market.as_of)
    with problems.collecting():
        book = cash_flow_book(rows, market.as_of, growth=price_growth(market))
    problems.raise_if_any(f"cannot revalue on {market.as_of}")
    return book


def _problems(options: Sequence[Option], shares: Sequence[Share], market: Market, scenarios: ScenarioSet) -> Problems:
    problems = Problems()
    problems.extend(share_problems(shares, market, scenarios))
    if options:
        from crossmargin.pricing.options import option_problems

        problems.extend(option_problems(options, market, scenarios))
    return problems


def _of_options(
    options: Sequence[Option],
    known: Mapping[Product, FloatArray],
    market: Market,
    scenarios: ScenarioSet,
    *,
    curves: tuple[FloatArray, FloatArray],
) -> Mapping[Product, FloatArray]:
    """Return the values [1 + n_scenarios] of options, futures below them at their observed price where there is one."""
    if not options:
        return {}
    from crossmargin.pricing.options import option_values

    futures = {
        future: (row + _basis(future, row[0], market)) / contract_spec(future).point_value
        for future, row in known.items()
        if isinstance(future, TreasuryFuture | ShortRateFuture | IndexFuture)
    }
    return option_values(options, market, scenarios, curves=curves, futures=futures)


def _of_swaps(
    swaps: Sequence[Swap], market: Market, curves: tuple[FloatArray, FloatArray], threads: int
) -> Mapping[Product, FloatArray]:
    """Return the values [1 + n_scenarios] of interest-rate swaps, USD per unit of quantity."""
    if not swaps:
        return {}
    return dict(zip(swaps, market_swap_values(swaps, market, curves, threads=threads), strict=True))


def can_revalue(product: Product, market: Market | None = None, scenarios: ScenarioSet | None = None) -> bool:
    """Return whether a product can be revalued: from Treasury yields alone, or from a market and its scenarios.

    Fixed cash flows (bills, notes, bonds, STRIPS, repo on them) and futures need yields only. Shares, security futures
    and listed options need a price in the market and a spot move in the scenarios; options a volatility too. Interest-
    rate swaps need the fixings of periods that have begun; security-based swaps are valued by their rule-sets. TIPS and
    floating-rate notes: no, though `revalue` takes them, TIPS where the market has a real curve and floating-rate notes
    by projection; rule-sets margin them otherwise.

    Examples
    --------
    >>> from datetime import date
    >>> can_revalue(ShortRateFuture("SR3", 202609)), can_revalue(TIPS(0.0125, date(2034, 7, 15)))
    (True, False)
    """
    if isinstance(product, TreasuryFuture | ShortRateFuture):
        return True
    if _is_swap(product):
        return market is not None and not swap_problems([product], market)
    if market is None or product.kind not in _MOVED_KINDS:
        return has_fixed_cash_flows(product)
    if isinstance(product, FutureOption):
        known = can_revalue(product.underlying, market, scenarios)
        return known and _has_volatility(product.underlying.symbol, market)
    moves = {} if scenarios is None else scenarios.spot_moves
    if isinstance(product, ListedOption):
        ticker = product.underlying
        return ticker in moves and spot_of(ticker, market) is not None and _has_volatility(ticker, market)
    return _is_share(product) and ticker_held(product) in moves and share_price(product, market) is not None


def _is_share(product: Product) -> TypeGuard[Share]:
    return isinstance(product, Stock | ETF | SecurityFuture | IndexFuture)


def _is_swap(product: Product) -> TypeGuard[Swap]:
    return isinstance(product, RATE_SWAPS)


def _has_volatility(symbol: str, market: Market) -> bool:
    known = market.underlyings.get(symbol)
    return known is not None and known.volatility is not None


def today_prices(products: Iterable[Product], market: Market) -> dict[Product, float]:
    """Return today's price of each share, security future and listed option, USD per unit of what it is on.

    Observed where the market has it under the symbol of the product; that of a share is its spot; otherwise an option
    is priced from its underlying's volatility. What has no price is left out.
    """
    products = tuple(products)
    shares = [product for product in products if _is_share(product)]
    options = [product for product in products if isinstance(product, ListedOption)]
    prices: dict[Product, float] = {}
    for share in shares:
        if (price := share_price(share, market)) is not None:
            prices[share] = price
    prices.update({option: market.prices[option.symbol] for option in options if option.symbol in market.prices})
    still = grid_scenarios({option.underlying for option in options}, [0.0])
    modelled = [option for option in options if option not in prices and can_revalue(option, market, still)]
    base = revalue(modelled, market, still).base if modelled else ()
    return {**prices, **{option: value / option.units for option, value in zip(modelled, base, strict=True)}}


def scenario_zero_rates(curve: ParCurve, scenarios: ScenarioSet) -> tuple[FloatArray, FloatArray]:
    """Return knots [n_knots] and zero rates [n_knots, 1 + n_scenarios]; column 0 is the curve as it stands.

    Raises
    ------
    NumericalError
        A discount factor is not positive in some scenario.
    """
    tenors = np.union1d(curve.tenors, scenarios.tenors)
    today = interpolate(curve.tenors, curve.par[:, None], tenors)
    shifts = interpolate(scenarios.tenors, scenarios.shifts, tenors)
    try:
        return zero_rates(tenors, today + np.hstack([np.zeros_like(today), shifts]))
    except NumericalError as error:
        said = f"scenario curves (curve 0 is today's, curve s + 1 is that of scenario s): {error}"
        raise NumericalError(said) from error


def _basis(product: Product, value: float, market: Market) -> float:
    """Return observed minus model value, USD per unit of quantity; 0 without a price and for repo."""
    price = market.prices.get(product.symbol) if market.prices else None  # a symbol takes longer to write than to miss
    if price is None or isinstance(product, _WITHOUT_BASIS):
        return 0.0
    if isinstance(product, TreasuryFuture | ShortRateFuture):
        return price * contract_spec(product).point_value - value
    if isinstance(product, FutureOption | ListedOption):
        return price * product.units - value
    clean = price / POINTS - value
    if isinstance(product, TIPS):
        return (price / POINTS + accrued_interest(product, market.as_of)) * product.index_ratio - value
    if isinstance(product, TreasuryNote | TreasuryBond):
        return clean + accrued_interest(product, market.as_of)
    return clean
