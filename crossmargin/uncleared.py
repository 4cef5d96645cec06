"""What the rules on uncleared swaps look at: notional, value, time to go and credit spread of each position.

`exposures` measures the positions of a pool and says what the market lacks for the others; `grid_charge` is the grid by
maturity and spread that several rules put on credit default swaps. Rates and thresholds are the rules' own. What is
security-based is discounted on the market's par curve, and a total return swap is worth its gain since the last reset:
financing accrued since then is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from attrs import field, frozen

from crossmargin.curves import year_fractions
from crossmargin.errors import InputError, NumericalError, Problem, Problems
from crossmargin.market import Market
from crossmargin.methodology import Inputs
from crossmargin.parameters import Read
from crossmargin.pnl import revalue
from crossmargin.portfolio import Position
from crossmargin.pricing.credit import DiscountCurve, HazardCurve, flat_hazard, hazard_curve, legs
from crossmargin.pricing.shares import spot_of
from crossmargin.pricing.swaps_market import market_swap_values, why_no_value
from crossmargin.products.calendars import add_months
from crossmargin.products.lifetime import expiry_of
from crossmargin.products.security_based import (
    SECURITY_BASED,
    BondTotalReturnSwap,
    CreditDefaultSwap,
    EquityForward,
    EquityTotalReturnSwap,
    ReferenceBond,
    standard_maturity,
)
from crossmargin.products.swaps import RATE_SWAPS, Swap, notional_on
from crossmargin.products.treasuries import TIPS, years_between
from crossmargin.results import Line, not_modelled, scaled, total
from crossmargin.scenarios import grid_scenarios
from crossmargin.underlyings import Underlying

Row = Mapping[str, Any]
RATE_SWAP, CREDIT_SWAP = "rate_swap", CreditDefaultSwap.base_kind
_POINTS = 100.0  # prices are quoted per 100 of notional
_BP = 1e4
_MONTHS = 12


@frozen
class Exposure:
    """One uncleared position as a rule sees it: amounts in USD, signed, > 0 long or protection bought.

    Attributes
    ----------
    kind : str
        `rate_swap`, `credit_default_swap`, `equity_total_return_swap`, `equity_forward`, `government_return_swap` or
        `corporate_return_swap`.
    reference : str
        Entity, ticker, bond, or the swap itself.
    notional : float
        Notional of a credit default swap and, as it is today, of an interest-rate swap; market value of what any other
        refers to.
    value : float
        What the position is worth to its holder.
    years, months
        To the end of the contract; a month begun counts.
    reference_months : int
        Full months to the end of the bond referred to, 0 for others.
    spread : float
        Quoted spread of a credit default swap as a decimal, 0 for others.
    """

    position: Position
    kind: str
    reference: str
    notional: float
    value: float
    years: float
    months: int
    reference_months: int = 0
    spread: float = 0.0


def exposures(positions: Iterable[Position], inputs: Inputs) -> tuple[list[Exposure], list[Line]]:
    """Return the exposure of each position that can be valued, and a visible line for each that cannot."""
    found: list[Exposure] = []
    gaps: list[Line] = []
    for position in positions:
        name = f"{position.id}: {position.product.symbol}"
        try:
            measured = _measured(position, inputs.market)
        except NumericalError as error:
            measured = str(error)
        if isinstance(measured, Exposure):
            found.append(measured)
        else:
            gaps.append(not_modelled(name, measured))
    return found, gaps


def credit_curve(swap: CreditDefaultSwap, market: Market) -> tuple[HazardCurve, DiscountCurve] | str:
    """Return the flat hazard rate that the market's price of a swap means and the discount curve, or what is missing.

    `market.prices` gives 100 less points upfront, clean, as indices are quoted. Without it the swap costs what the
    hazard rates of the `market.credit` spreads of its reference make of it.
    """
    price = market.prices.get(swap.symbol, market.prices.get(swap.quoted))
    quoted = market.credit.get(swap.reference)
    discount = DiscountCurve.from_par(market.curve)
    if price is not None:
        return flat_hazard(swap, 1.0 - price / _POINTS, discount), discount
    if quoted is None:
        return f"the market has no price of {swap.quoted}, nor spreads of {swap.reference}"
    ends = [standard_maturity(market.as_of, years) for years in quoted.spreads]
    curve = hazard_curve(ends, list(quoted.spreads.values()), discount, recovery=quoted.recovery)
    return flat_hazard(swap, legs(swap, curve, discount).upfront, discount), discount


def forward_value(forward: EquityForward, share: Underlying, discount: DiscountCurve) -> float:
    """Return what a forward is worth to the buyer, USD per share.

    The spot less the dividends that the seller keeps, less the agreed price, itself less the dividends that adjust it.

    References
    ----------
    Hull, "Options, Futures, and Other Derivatives", chapter "Determination of forward and futures prices".

    Examples
    --------
    >>> flat = DiscountCurve(date(2026, 6, 30), [30.0], [[0.0]])
    >>> forward_value(EquityForward("IBM", date(2027, 6, 30), 240.0), Underlying("IBM", spot=250.0), flat)
    10.0
    """
    if share.spot is None:
        raise InputError([Problem("has no spot.", f"underlying {share.symbol!r}", "Give one.")])
    as_of = discount.as_of
    kept = [(day, amount) for day, amount in share.dividends if as_of < day <= forward.maturity]
    times = year_fractions(as_of, [forward.maturity, *(day for day, _ in kept)])
    factors = discount.factors(times)[:, 0]
    paid = math.fsum(amount * factor for (_, amount), factor in zip(kept, factors[1:], strict=True))
    carried = (share.spot - paid) * math.exp(-share.dividend_yield * times[0])
    return float(carried - factors[0] * forward.adjusted_price(forward.maturity))


# ----------------------------------------------------------------------------------------------------- the credit grid


@frozen
class CreditPosition:
    """Protection on one reference: USD notional, > 0 bought, months begun to maturity, quoted spread as a decimal."""

    reference: str
    notional: float
    months: int
    spread: float
    contract: str = field(default="", kw_only=True)


@frozen
class CreditGrid:
    """Rates of a seller of protection, share of notional, by months begun to maturity and by spread.

    `rows` have `from_months` and `rates`, one for spreads up to each of `bounds_bp` and one beyond the last.
    """

    rows: Sequence[Row]
    bounds_bp: Sequence[float]

    def cell(self, months: int, spread: float) -> tuple[int, int]:
        """Return row and column of a contract with some months begun to maturity and a decimal spread."""
        row = sum(row["from_months"] <= months for row in self.rows) - 1
        # a spread is quoted to a fraction of a basis point: rounding must not move it over a bound
        return max(row, 0), sum(round(spread * _BP, 6) > bound for bound in self.bounds_bp)

    def rate(self, months: int, spread: float) -> float:
        """Return the rate of that cell."""
        row, column = self.cell(months, spread)
        return float(self.rows[row]["rates"][column])


def grid_charge(
    name: str,
    positions: Iterable[CreditPosition],
    grid: CreditGrid,
    *,
    buyer_share: float,
    netting: str,
    reads: tuple[Read, ...] = (),
) -> Line:
    """Return the charge of the grid on credit default swaps, USD.

    What nets comes together first: with `netting` "contract" positions in one contract, with "cell" all on one
    reference in one cell of the grid. A net sale bears the cell's rate, a net purchase `buyer_share` of it.

    Raises
    ------
    InputError
        Amounts that are not finite, negative months or spreads, an unknown way to net.
    """
    held = list(positions)
    _check(held, netting)
    nets: dict[tuple[Any, ...], list[CreditPosition]] = {}
    for each in held:
        together = (each.contract, each.months) if netting == "contract" else ()
        nets.setdefault((each.reference, grid.cell(each.months, each.spread), *together), []).append(each)
    lines = [_net_line(cell, grid.rate(cell[0].months, cell[0].spread), buyer_share) for cell in nets.values()]
    return total(name, lines, reads=reads)


def credit_positions(held: Iterable[Exposure]) -> list[CreditPosition]:
    """Return the credit default swaps among exposures as the grid takes them."""
    return [
        CreditPosition(each.reference, each.notional, each.months, each.spread, contract=each.position.product.symbol)
        for each in held
        if each.kind == CREDIT_SWAP
    ]


# ------------------------------------------------------------------------------------------------------------- pieces


def _measured(position: Position, market: Market) -> Exposure | str:
    product = position.product
    if not isinstance(product, (*SECURITY_BASED, *RATE_SWAPS)):
        return "no such product under this rule"
    if (end := expiry_of(product)) <= market.as_of:
        return f"it ended on {end}"
    if isinstance(product, RATE_SWAPS):
        return _rates(position, product, market)
    if isinstance(product, CreditDefaultSwap):
        return _credit(position, product, market)
    if isinstance(product, BondTotalReturnSwap):
        return _bond(position, product, market)
    return _equity(position, product, market)


def _rates(position: Position, swap: Swap, market: Market) -> Exposure | str:
    missing = why_no_value(swap, market)
    if missing:
        return missing
    par, quantity = DiscountCurve.from_par(market.curve), position.quantity
    value = float(market_swap_values([swap], market, (par.knots, par.zeros))[0, 0])
    notional = notional_on(swap, max(market.as_of, swap.start))
    ends = _ends(market.as_of, swap.maturity)
    return Exposure(position, RATE_SWAP, swap.symbol, quantity * notional, quantity * value, *ends)


def _credit(position: Position, swap: CreditDefaultSwap, market: Market) -> Exposure | str:
    curves = credit_curve(swap, market)
    if isinstance(curves, str):
        return curves
    found, quantity = legs(swap, *curves), position.quantity
    ends = _ends(market.as_of, swap.maturity)
    value, spread = quantity * float(found.value[0]), float(found.par_spread[0])
    return Exposure(position, CREDIT_SWAP, swap.reference, quantity, value, *ends, spread=spread)


def _equity(position: Position, product: EquityTotalReturnSwap | EquityForward, market: Market) -> Exposure | str:
    ticker, quantity = product.underlying, position.quantity
    spot = spot_of(ticker, market)
    if spot is None:
        return f"the market has no price of {ticker}"
    if isinstance(product, EquityForward):
        known = market.underlyings.get(ticker)
        share = known if known is not None and known.spot is not None else Underlying(ticker, spot=spot)
        gain = forward_value(product, share, DiscountCurve.from_par(market.curve))
    else:
        gain = spot - product.initial_price
    ends = _ends(market.as_of, product.maturity)
    return Exposure(position, product.kind, ticker, quantity * spot, quantity * gain, *ends)


def _bond(position: Position, swap: BondTotalReturnSwap, market: Market) -> Exposure | str:
    bond, quantity = swap.bond, position.quantity
    if isinstance(bond, ReferenceBond):
        points = market.prices.get(bond.symbol)
        if points is None:
            return f"the market has no price of {bond.symbol}, per 100 of face with accrued interest"
        price, kind = points / _POINTS, "corporate_return_swap"
    elif isinstance(bond, TIPS) and market.real_curve is None:
        return "the market has no real yields"
    else:
        today = revalue([bond], market, grid_scenarios((), [0.0]))
        price, kind = float(np.sum(today.base + today.basis)), "government_return_swap"
    value, ends = quantity * (price - swap.initial_price), _ends(market.as_of, swap.maturity)
    to_bond = full_months(market.as_of, bond.maturity)
    return Exposure(position, kind, bond.symbol, quantity * price, value, *ends, reference_months=to_bond)


def _ends(as_of: date, end: date) -> tuple[float, int]:
    full = full_months(as_of, end)
    return years_between(as_of, end), full + (add_months(as_of, full) < end)


def full_months(as_of: date, end: date) -> int:
    """Return the full months from a date to a later one."""
    months = (end.year - as_of.year) * _MONTHS + end.month - as_of.month
    return months if add_months(as_of, months) <= end else months - 1


def _net_line(cell: Sequence[CreditPosition], rate: float, buyer_share: float) -> Line:
    net, reference = math.fsum(each.notional for each in cell), cell[0].reference
    sold = scaled(f"{reference}: as a seller", rate, Line("net protection", abs(net)))
    return scaled(f"{reference}: as a buyer", buyer_share, sold) if net > 0 else sold


def _check(held: Iterable[CreditPosition], netting: str) -> None:
    problems = Problems()
    if netting not in ("contract", "cell"):
        problems.add(f"unknown netting {netting!r}.", where="credit grid", fix="Give contract or cell.")
    for each in held:
        if not math.isfinite(each.notional):
            problems.add(f"notional is {each.notional}.", where=each.reference, fix="Give a finite signed number.")
        if not (math.isfinite(each.months) and each.months >= 0):
            problems.add(f"months are {each.months}.", where=each.reference, fix="Give 0 or more.")
        if not (math.isfinite(each.spread) and each.spread >= 0):
            problems.add(f"spread is {each.spread}.", where=each.reference, fix="Write 110 bp as 0.011.")
    problems.raise_if_any("The credit default swaps bear no charge as given")
