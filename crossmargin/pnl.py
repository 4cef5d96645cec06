"""Revaluation: what every instrument gains or loses under every scenario, each cash flow repriced.

Call `revalue(products, market, scenarios)`; it returns a `PnL` of shape [n_instruments, n_scenarios] in USD
per unit of quantity. Every product becomes *legs*: dated cash
flows, divided by the discount factor of one date, plus a constant; its value is the smallest of its legs.

What the numbers leave out. Shocks are instantaneous: no ageing, carry or roll over the horizon. One curve
discounts everything: no repo specialness, no spread between Treasury and money-market rates. A Treasury
future is its cheapest deliverable, chosen anew in each scenario; the seller's options (when to deliver, and
to change the choice after the scenario) are worth nothing here. Risk measures are in `risk.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import NoReturn, TypeAlias

import numpy as np
from attrs import field, frozen

from crossmargin.curves import (
    FloatArray,
    IntArray,
    exponent_weights,
    interpolate,
    year_fractions,
    zero_rates,
)
from crossmargin.errors import InputError, NumericalError, Problem, Problems, suggestion
from crossmargin.market import Market, ParCurve
from crossmargin.products import Product
from crossmargin.products.futures import (
    ShortRateFuture,
    TreasuryFuture,
    contract_spec,
    conversion_factor,
    delivery_date,
    reference_period,
)
from crossmargin.products.options import FutureOption, ListedOption
from crossmargin.products.treasuries import (
    Repo,
    ReverseRepo,
    TreasuryBond,
    TreasuryNote,
    accrued_interest,
    cash_flows,
    has_fixed_cash_flows,
)
from crossmargin.scenarios import ScenarioSet

POINTS = 100.0  # prices are quoted per 100 of face, short rates as 100 minus the rate
MONEY_MARKET_YEAR = 360.0  # Act/360, the day count of SOFR and of federal funds
Option: TypeAlias = FutureOption | ListedOption
CHUNK = 256  # scenarios that a thread takes at a time, whatever the number of threads


@frozen
class _Leg:
    """A claim in USD: `flows` discounted, divided by the discount factor of `divisor`, plus `offset`."""

    flows: tuple[tuple[date, float], ...]
    divisor: date
    offset: float = 0.0


@frozen(eq=False)
class CashFlowBook:
    """Instruments as arrays, ready for any number of curves. Made by `cash_flow_book`.

    `times` [n_dates] are years from the market's date, the first of them zero; flows of leg i stand in
    `flow_start[i] .. flow_start[i + 1]` (index of the date, USD per unit of quantity), legs of instrument i
    in `row_start[i] .. row_start[i + 1]`.
    """

    times: FloatArray
    flow_start: IntArray
    flow_date: IntArray
    flow_amount: FloatArray
    leg_divisor: IntArray
    leg_offset: FloatArray
    row_start: IntArray


def _readonly(values: FloatArray) -> FloatArray:
    array = np.ascontiguousarray(values, dtype=np.float64)
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
    """

    products: tuple[Product, ...]
    values: FloatArray = field(converter=_readonly)
    base: FloatArray = field(converter=_readonly)
    basis: FloatArray = field(converter=_readonly)
    scenarios: ScenarioSet
    _index: Mapping[Product, int] = field(init=False, repr=False)
    _rank: tuple[int, ...] = field(init=False, repr=False)

    @_index.default
    def _index_of_products(self) -> Mapping[Product, int]:
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
        _check_quantities(products, quantities)
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
        for notes and bonds, per 100 of face for bills and STRIPS, as quoted for futures.
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
        Products that cannot be revalued (`can_revalue`), have expired or lack a basket: all of them at once.
    NumericalError
        A scenario leads to a discount factor that is not positive.

    Notes
    -----
    Today's curve and the changes are both read at the union of their tenors, so neither loses a quote.
    Today's curve is valued by the very same path, as one more scenario.

    Examples
    --------
    A long note and a long future on it lose when yields rise by a basis point, per 1 USD of face and contract:

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
    distinct = tuple(dict.fromkeys(products))
    options = [product for product in distinct if isinstance(product, FutureOption | ListedOption)]
    plain = [product for product in distinct if not isinstance(product, FutureOption | ListedOption)]
    held: list[Product] = [option.underlying for option in options if isinstance(option, FutureOption)]
    rows = tuple(dict.fromkeys([*plain, *held]))
    book = _laid_out(rows, options, market, scenarios)
    curves = scenario_zero_rates(market.curve, scenarios)
    values = present_values(book, *curves, threads=threads)
    if options:
        known: Mapping[Product, FloatArray] = dict(zip(rows, values, strict=True))
        known = {**known, **_of_options(options, known, market, scenarios, curves=curves)}
        values = np.stack([known[product] for product in distinct])
    base = values[:, 0].copy()
    basis = [_basis(product, value, market) for product, value in zip(distinct, base, strict=True)]
    return PnL(distinct, values[:, 1:] - values[:, :1], base, np.array(basis, dtype=np.float64), scenarios)


def _laid_out(
    rows: Sequence[Product], options: Sequence[Option], market: Market, scenarios: ScenarioSet
) -> CashFlowBook:
    """Return the cash flows of `rows`, after raising all that is wrong with them and with the options, at once."""
    from crossmargin.pricing.options import option_problems

    problems, book = Problems(), cash_flow_book((), market.as_of)
    with problems.collecting():
        book = cash_flow_book(rows, market.as_of)
    problems.extend(option_problems(options, market, scenarios) if options else ())
    problems.raise_if_any(f"cannot revalue on {market.as_of}")
    return book


def _of_options(
    options: Sequence[Option],
    known: Mapping[Product, FloatArray],
    market: Market,
    scenarios: ScenarioSet,
    *,
    curves: tuple[FloatArray, FloatArray],
) -> Mapping[Product, FloatArray]:
    """Return the values [1 + n_scenarios] of options, futures below them at their observed price where there is one."""
    from crossmargin.pricing.options import option_values

    futures = {
        future.symbol: (row + _basis(future, row[0], market)) / contract_spec(future).point_value
        for future, row in known.items()
        if isinstance(future, TreasuryFuture | ShortRateFuture)
    }
    return option_values(options, market, scenarios, curves=curves, futures=futures)


def can_revalue(product: Product) -> bool:
    """Return whether `revalue` knows how to price this kind of product.

    Fixed cash flows (bills, notes, bonds, STRIPS, repo on them) and futures: yes. TIPS, floating-rate notes
    and options: no.

    Examples
    --------
    >>> from crossmargin.products import TIPS
    >>> can_revalue(ShortRateFuture("SR3", 202609)), can_revalue(TIPS(0.0125, date(2034, 7, 15)))
    (True, False)
    """
    if isinstance(product, TreasuryFuture | ShortRateFuture):
        return True
    return has_fixed_cash_flows(product)


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


def cash_flow_book(products: Sequence[Product], as_of: date) -> CashFlowBook:
    """Return the instruments as arrays: one row for each product given, in that order.

    Raises
    ------
    InputError
        Every product that cannot be valued on that date, with the reason.
    """
    rows = _legs_of_all(products, as_of)
    legs = [leg for row in rows for leg in row]
    flows = [flow for leg in legs for flow in leg.flows]
    dates = sorted({as_of, *(day for day, _ in flows), *(leg.divisor for leg in legs)})
    place = {day: index for index, day in enumerate(dates)}
    return CashFlowBook(
        times=year_fractions(as_of, dates),
        flow_start=_starts(len(leg.flows) for leg in legs),
        flow_date=np.array([place[day] for day, _ in flows], dtype=np.int64),
        flow_amount=np.array([amount for _, amount in flows], dtype=np.float64),
        leg_divisor=np.array([place[leg.divisor] for leg in legs], dtype=np.int64),
        leg_offset=np.array([leg.offset for leg in legs], dtype=np.float64),
        row_start=_starts(len(row) for row in rows),
    )


def present_values(book: CashFlowBook, knots: FloatArray, zeros: FloatArray, *, threads: int = 1) -> FloatArray:
    """Return values [n_instruments, n_curves] in USD per unit of quantity.

    Parameters
    ----------
    book : CashFlowBook
    knots : array [n_knots]
        Years, increasing.
    zeros : array [n_knots, n_curves]
        Continuously compounded zero rates, decimals; see `curves.discount_factors` for what lies between.
    threads : int
        Threads that share the curves; the result is the same to the last bit.

    Raises
    ------
    InputError
        Zero rates that are not finite, shapes that disagree, fewer than one thread.
    """
    _check_curves(knots, zeros, threads)
    from crossmargin.kernels import LANES, value_rows  # numba is imported here and nowhere sooner

    n_curves = zeros.shape[1]
    padded = -(-n_curves // LANES) * LANES  # whole vectors: a remainder would be valued one by one
    exponents = np.zeros((len(knots), padded))
    np.multiply(zeros, knots[:, None], out=exponents[:, :n_curves])
    nodes, weights = exponent_weights(knots, book.times)
    flows = (book.flow_start, book.flow_date, book.flow_amount)
    legs = (book.leg_divisor, book.leg_offset, book.row_start)
    out = np.empty((len(book.row_start) - 1, padded))

    def value(begin: int, end: int) -> None:
        value_rows(exponents, nodes, weights, *flows, *legs, out, begin, min(end, padded))

    if threads == 1:
        value(0, padded)
        return out[:, :n_curves]
    begins = range(0, padded, CHUNK)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(value, begins, [begin + CHUNK for begin in begins]))  # list: raise what a thread raised
    return out[:, :n_curves]


def _legs_of_all(products: Sequence[Product], as_of: date) -> list[tuple[_Leg, ...]]:
    problems = Problems()
    rows = []
    for product in products:
        try:
            rows.append(_legs(product, as_of))
        except InputError as error:
            problems.extend(error.problems)
    problems.raise_if_any(f"cannot revalue on {as_of}")
    return rows


def _legs(product: Product, as_of: date) -> tuple[_Leg, ...]:
    if isinstance(product, TreasuryFuture):
        return _treasury_future_legs(product, as_of)
    if isinstance(product, ShortRateFuture):
        return _short_rate_future_legs(product, as_of)
    if isinstance(product, FutureOption | ListedOption) or not has_fixed_cash_flows(product):
        _refuse(product, f"a {product.kind} has no valuation here", fix="Leave it out: see can_revalue.")
    flows = cash_flows(product, as_of)
    if not flows:
        _refuse(product, f"nothing is paid after {as_of}", fix="Drop the position, or correct its dates.")
    return (_Leg(flows, as_of),)


def _treasury_future_legs(future: TreasuryFuture, as_of: date) -> tuple[_Leg, ...]:
    """Return one leg per deliverable: forward clean price over conversion factor, USD per contract.

    References
    ----------
    CME Group, "Understanding Treasury Futures": invoice = futures price x conversion factor + accrued.
    """
    delivery = delivery_date(future)
    if delivery <= as_of:
        _refuse(future, f"delivery ended on {delivery}, not after {as_of}", fix="Drop the position.")
    if not future.basket:
        _refuse(future, "has no deliverable basket", fix="Give it the notes or bonds that may be delivered.")
    face = POINTS * contract_spec(future).point_value
    legs = []
    for note in future.basket:
        flows = cash_flows(note, delivery)
        if not flows:
            _refuse(future, f"{note.symbol} matures before delivery", fix="Take it out of the basket.")
        factor = conversion_factor(future.contract, future.delivery_month, note.coupon, note.maturity)
        usd = face / factor
        invoice_accrued = accrued_interest(note, delivery)
        scaled = tuple((day, amount * usd) for day, amount in flows)
        legs.append(_Leg(scaled, delivery, -invoice_accrued * usd))
    return tuple(legs)


def _short_rate_future_legs(future: ShortRateFuture, as_of: date) -> tuple[_Leg, ...]:
    """Return the one leg of 100 minus the rate of the reference period, USD per contract.

    The rate is (DF(start) / DF(end) - 1) x 360 / days: exact for a compounded rate (SR3), and within the
    compounding of one month for an average (SR1, ZQ). Once the period has begun only the days to come are at
    risk: `start` is today, `days` stays the whole period, and what is fixed already cancels in P&L. That it
    compounds onto the rest is neglected, less than 1.5 % of the sensitivity at a rate of 6 %.
    """
    start, end = reference_period(future)
    if end <= as_of:
        _refuse(future, f"its reference period ended on {end}, not after {as_of}", fix="Drop the position.")
    point_value = contract_spec(future).point_value
    rate_value = POINTS * point_value * MONEY_MARKET_YEAR / (end - start).days
    return (_Leg(((max(start, as_of), -rate_value),), end, POINTS * point_value + rate_value),)


def _basis(product: Product, value: float, market: Market) -> float:
    """Return observed minus model value, USD per unit of quantity; 0 without a price and for repo."""
    price = market.prices.get(product.symbol)
    if price is None or isinstance(product, Repo | ReverseRepo):
        return 0.0
    if isinstance(product, TreasuryFuture | ShortRateFuture):
        return price * contract_spec(product).point_value - value
    if isinstance(product, FutureOption | ListedOption):
        return price * product.units - value
    clean = price / POINTS - value
    if isinstance(product, TreasuryNote | TreasuryBond):
        return clean + accrued_interest(product, market.as_of)
    return clean


def _starts(lengths: Iterable[int]) -> IntArray:
    return np.cumsum([0, *lengths], dtype=np.int64)


def _refuse(product: Product, what: str, *, fix: str) -> NoReturn:
    raise InputError([Problem(what, product.symbol, fix)])


def _check_curves(knots: FloatArray, zeros: FloatArray, threads: int) -> None:
    problems = Problems()
    if zeros.ndim != 2 or knots.shape != zeros.shape[:1] or not knots.size:
        problems.add(f"shapes {knots.shape} and {zeros.shape} do not fit", where="knots and zeros")
    elif not np.isfinite(zeros).all():
        problems.add(f"{(~np.isfinite(zeros)).sum()} zero rates are not finite", where="zeros")
    if threads < 1:
        problems.add(f"{threads} threads", where="threads", fix="Give 1 or more.")
    problems.raise_if_any("cannot value")


def _check_quantities(products: Sequence[Product], quantities: Sequence[float]) -> None:
    problems = Problems()
    if len(products) != len(quantities):
        problems.add(f"{len(products)} products and {len(quantities)} quantities", where="pooled positions")
    for product, quantity in zip(products, quantities, strict=False):
        if not math.isfinite(quantity):
            problems.add(f"quantity {quantity} is not finite", where=product.symbol)
    problems.raise_if_any("cannot pool")
