"""What each product pays, as legs: dated cash flows that a discount curve alone can value.

Call `legs_of`. A *leg* is equal coupons on a schedule and single cash flows, discounted, divided by the discount
factor of one date, plus a constant; a product is worth the smallest of its legs. Nothing here knows a scenario:
`cash_flows` turns legs into arrays and values them.

Inflation-protected securities. Real flows are projected at the break-even inflation of today, the ratio of discount
factors of the real and the nominal curve, and then discounted like any other. Real yields so move one for one with
nominal ones and break-even inflation stands still. The floor under the principal (at least par is repaid after
deflation) is worth nothing here; nor is the lag of the index.

Floating-rate notes. Coupons are projected off the curve that discounts them: the bill rate forward, plus the spread;
the discount margin is zero. The index, reset weekly to the 13-week bill, is taken as reset today and then as the
forward rate of each coupon period, so that the floating part is worth par at once and only the spread is at risk.
Interest accrued to today hangs on past auctions and is left out: the value is a clean one. The floor of the daily rate
at zero is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from typing import NoReturn, TypeAlias

import numpy as np
from attrs import frozen

from crossmargin.curves import FloatArray, discount_factors, year_fractions, zero_rates
from crossmargin.errors import InputError, Problem, Problems
from crossmargin.market import Market, ParCurve
from crossmargin.products import Product
from crossmargin.products.equities import ETF, SecurityFuture, Stock, Warrant
from crossmargin.products.futures import (
    IndexFuture,
    ShortRateFuture,
    TreasuryFuture,
    contract_spec,
    conversion_factor,
    delivery_date,
    reference_period,
)
from crossmargin.products.options import FutureOption, ListedOption
from crossmargin.products.security_based import SECURITY_BASED
from crossmargin.products.sensitivities import SensitivityPortfolio
from crossmargin.products.swaps import RATE_SWAPS
from crossmargin.products.treasuries import (
    TIPS,
    CashFlows,
    TreasuryBond,
    TreasuryFRN,
    TreasuryNote,
    accrued_interest,
    cash_flows,
    coupon_dates,
    coupon_flows,
    has_fixed_cash_flows,
)

POINTS = 100.0  # prices are quoted per 100 of face, short rates as 100 minus the rate
MONEY_MARKET_YEAR = 360.0  # Act/360, the day count of SOFR, of federal funds and of floating-rate notes
MONTHS_OF_FRN = 3
_WITHOUT_FLOWS = (
    *(FutureOption, ListedOption, IndexFuture, Stock, ETF, SecurityFuture, Warrant),
    *(*RATE_SWAPS, *SECURITY_BASED, SensitivityPortfolio),
)

PriceGrowth: TypeAlias = Callable[[Sequence[date]], FloatArray]
"""Dates -> growth of the price index from today that today's nominal and real curve agree on, [n_dates]."""


@frozen
class Leg:
    """A claim in USD: flows and equal coupons discounted, divided by the discount factor of `divisor`, plus `offset`.

    Parameters
    ----------
    flows
        Dates and amounts, USD.
    divisor
        The as-of date where nothing is divided.
    offset
        USD.
    coupon, schedule
        USD paid on every date of the schedule.
    """

    flows: CashFlows
    divisor: date
    offset: float = 0.0
    coupon: float = 0.0
    schedule: tuple[date, ...] = ()

    def dated(self) -> CashFlows:
        """Return all cash flows one by one, coupons first."""
        return (*((day, self.coupon) for day in self.schedule), *self.flows)


def price_growth(market: Market) -> PriceGrowth | None:
    """Return the growth of prices on which the two curves of a market agree; None without a real curve.

    Notes
    -----
    Continuously compounded break-even inflation is nominal less real zero rate. Before the first and beyond the last
    tenor of the real curve it is that of the end.

    Examples
    --------
    >>> from crossmargin.market import History
    >>> today = date(2026, 6, 30)
    >>> nominal = ParCurve(today, [1, 2, 5, 10], [0.04, 0.04, 0.04, 0.04])
    >>> real = ParCurve(today, [5, 10], [0.02, 0.02], real=True)
    >>> market = Market(today, nominal, History([today], [1, 2], [[0.04, 0.04]]), real_curve=real)
    >>> price_growth(market)([date(2027, 6, 30), date(2031, 6, 30)]).round(4)  # (1.02 / 1.01)^2 in a year
    array([1.0199, 1.1037])
    """
    if market.real_curve is None:
        return None
    as_of, ends = market.as_of, (market.real_curve.tenors[0], market.real_curve.tenors[-1])
    nominal, real = (_zeros(curve) for curve in (market.curve, market.real_curve))

    def growth(days: Sequence[date]) -> FloatArray:
        times = year_fractions(as_of, days)
        read_at = np.clip(times, *ends)
        agreed = discount_factors(*real, read_at)[:, 0] / discount_factors(*nominal, read_at)[:, 0]
        powers: FloatArray = agreed ** (times / read_at)
        return powers

    return growth


def legs_of_all(
    products: Sequence[Product], as_of: date, *, growth: PriceGrowth | None = None
) -> list[tuple[Leg, ...]]:
    """Return the legs of every product; raise `InputError` with all that cannot be valued, at once."""
    problems = Problems()
    rows = []
    for product in products:
        try:
            rows.append(legs_of(product, as_of, growth=growth))
        except InputError as error:
            problems.extend(error.problems)
    problems.raise_if_any(f"cannot revalue on {as_of}")
    return rows


def legs_of(product: Product, as_of: date, *, growth: PriceGrowth | None = None) -> tuple[Leg, ...]:
    """Return the legs of one product, USD per unit of quantity.

    Parameters
    ----------
    product : Product
    as_of : date
        Flows on this date are past.
    growth : PriceGrowth, optional
        Needed for inflation-protected securities; see `price_growth`.

    Raises
    ------
    InputError
        The product has expired, lacks a basket or a curve, or has no valuation by cash flows.
    """
    if isinstance(product, TreasuryFuture):
        return _treasury_future_legs(product, as_of)
    if isinstance(product, ShortRateFuture):
        return _short_rate_future_legs(product, as_of)
    if isinstance(product, TreasuryNote | TreasuryBond):
        leg = _bond_leg(product, as_of)
    elif isinstance(product, TIPS):
        leg = _tips_leg(product, as_of, growth)
    elif isinstance(product, TreasuryFRN):
        leg = _frn_leg(product, as_of)
    elif isinstance(product, _WITHOUT_FLOWS) or not has_fixed_cash_flows(product):
        _refuse(product, f"a {product.kind} has no valuation here", fix="Leave it out: see can_revalue.")
    else:
        leg = Leg(cash_flows(product, as_of), as_of)
    if not leg.flows:
        _refuse(product, f"nothing is paid after {as_of}", fix="Drop the position, or correct its dates.")
    return (leg,)


def _bond_leg(security: TreasuryNote | TreasuryBond, after: date, *, face: float = 1.0, offset: float = 0.0) -> Leg:
    start = after if security.issue is None else max(after, security.issue)
    days = coupon_dates(security.maturity, start)
    principal = ((security.maturity, face),) if days else ()
    return Leg(principal, after, offset, coupon=face * security.coupon / 2, schedule=days)


def _tips_leg(security: TIPS, as_of: date, growth: PriceGrowth | None) -> Leg:
    """Return real flows times index ratio times break-even growth, per 1 USD of face.

    References
    ----------
    31 CFR Part 356, Appendix B, section I.C: inflation-protected principal is face times the index ratio, and each
    coupon is half the yearly rate of it.
    """
    if growth is None:
        _refuse(security, "the market has no real yields", fix="Give market.real_curve, or leave the position out.")
    real = coupon_flows(security, as_of)
    grown = growth([day for day, _ in real]) * security.index_ratio
    return Leg(tuple((day, flow * float(by)) for (day, flow), by in zip(real, grown, strict=True)), as_of)


def _frn_leg(security: TreasuryFRN, as_of: date) -> Leg:
    """Return par at once and the spread on every coupon date, actual days over 360, per 1 USD of face.

    References
    ----------
    31 CFR Part 356, Appendix B, section I.B: floating-rate notes pay index rate plus spread, Act/360, each quarter.
    """
    start = as_of if security.issue is None else max(as_of, security.issue)
    if security.maturity <= start:
        return Leg((), as_of)
    days = coupon_dates(security.maturity, start, months=MONTHS_OF_FRN)
    periods = list(pairwise((start, *days)))
    spreads = ((end, security.spread * (end - begin).days / MONEY_MARKET_YEAR) for begin, end in periods)
    return Leg(((start, 1.0), *spreads), as_of)


def _treasury_future_legs(future: TreasuryFuture, as_of: date) -> tuple[Leg, ...]:
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
        if note.maturity <= delivery:
            _refuse(future, f"{note.symbol} matures before delivery", fix="Take it out of the basket.")
        usd = face / conversion_factor(future.contract, future.delivery_month, note.coupon, note.maturity)
        legs.append(_bond_leg(note, delivery, face=usd, offset=-accrued_interest(note, delivery) * usd))
    return tuple(legs)


def _short_rate_future_legs(future: ShortRateFuture, as_of: date) -> tuple[Leg, ...]:
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
    return (Leg(((max(start, as_of), -rate_value),), end, POINTS * point_value + rate_value),)


def _zeros(curve: ParCurve) -> tuple[FloatArray, FloatArray]:
    return zero_rates(curve.tenors, curve.par[:, None])


def _refuse(product: Product, what: str, *, fix: str) -> NoReturn:
    raise InputError([Problem(what, product.symbol, fix)])
