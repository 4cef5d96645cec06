"""How Treasuries are quoted and settled: discount rates, bond-equivalent yields, street-convention prices.

Call `price_from_yield` for a note or bond and `bill_price` for a bill. These turn one quotation into
another; pricing off a curve is in `pnl`.
"""

from __future__ import annotations

from datetime import date
from math import isfinite, sqrt

from attrs import frozen

from crossmargin.errors import Problems
from crossmargin.products.calendars import next_business_day
from crossmargin.products.treasuries import (
    TreasuryBond,
    TreasuryNote,
    accrued_interest,
    cash_flows,
    coupon_period,
)

_BILL_YEAR_DAYS = 360
_PERIODS_A_YEAR = 2


@frozen
class BondPrice:
    """A price per 1 USD of face: `clean` as quoted, `accrued` interest on top, `dirty` what is paid."""

    clean: float
    accrued: float

    @property
    def dirty(self) -> float:
        """Clean price plus accrued interest."""
        return self.clean + self.accrued


def settlement_date(trade_date: date) -> date:
    """Return the regular settlement date of a Treasury trade: the next business day (T+1).

    Examples
    --------
    >>> settlement_date(date(2026, 7, 2)).isoformat()
    '2026-07-06'
    """
    return next_business_day(trade_date)


def bill_price(discount_rate: float, days: int) -> float:
    """Return the price of a bill per 1 USD of face from its bank discount rate (decimal, actual/360).

    References
    ----------
    31 CFR Part 356, Appendix B, section VI.

    Examples
    --------
    >>> round(bill_price(0.0761, 90), 8)
    0.980975
    """
    _require(discount_rate, "discount_rate", days)
    return 1.0 - discount_rate * days / _BILL_YEAR_DAYS


def bill_discount_rate(price: float, days: int) -> float:
    """Return the bank discount rate (decimal, actual/360) of a bill from its price per 1 USD of face."""
    _require(price, "price", days)
    return (1.0 - price) * _BILL_YEAR_DAYS / days


def bond_equivalent_yield(price: float, days: int, *, year_days: int = 365) -> float:
    """Return the coupon-equivalent yield ("investment rate") of a bill, decimal.

    Parameters
    ----------
    price : float
        Per 1 USD of face, above zero.
    days : int
        From settlement to maturity.
    year_days : int
        Days of the year that follows settlement: 366 when it holds 29 February.

    Notes
    -----
    Up to half a year the yield is simple. Beyond, it is the half-yearly compounded yield of a security that
    would pay one coupon on the way, the root of `a i^2 + b i + c = 0`.

    References
    ----------
    31 CFR Part 356, Appendix B, section VI.

    Examples
    --------
    >>> round(bond_equivalent_yield(0.980975, 90), 5), round(bond_equivalent_yield(0.92265, 364), 5)
    (0.07865, 0.08237)
    """
    _require(price, "price", days)
    _require_positive(price, "price")
    discount = (price - 1.0) / price
    if 2 * days <= year_days:
        return -discount * year_days / days
    a = days / (2 * year_days) - 0.25
    b = days / year_days
    return (sqrt(b * b - 4 * a * discount) - b) / (2 * a)


def price_from_yield(security: TreasuryNote | TreasuryBond, yield_: float, settle: date) -> BondPrice:
    """Return the street-convention price of a note or bond at a yield.

    Parameters
    ----------
    security : TreasuryNote or TreasuryBond
    yield_ : float
        Half-yearly compounded, decimal, above -2 (a factor above zero).
    settle : date
        Settlement date, before maturity.

    Returns
    -------
    BondPrice
        Per 1 USD of face.

    Notes
    -----
    Flow k is discounted by `(1 + y/2)^(w + k)`, w the fraction of the running coupon period that is left; in
    the last period by the simple `1 + w y/2`. The Treasury's own auction formula is simple in the first
    fractional period of every security and so differs slightly.

    References
    ----------
    SIFMA, *Standard Securities Calculation Methods*, vol. 1 (Mayle), formulas for periodic-coupon securities.

    Examples
    --------
    >>> round(price_from_yield(TreasuryNote(0.04, date(2035, 2, 15)), 0.04, date(2026, 2, 15)).clean, 12)
    1.0
    """
    flows = cash_flows(security, settle)
    _require_yield(security, yield_, settle)
    previous, following = coupon_period(security.maturity, settle)
    left = (following - settle).days / (following - previous).days
    factor = 1.0 + yield_ / _PERIODS_A_YEAR
    if len(flows) == 1:
        dirty = flows[0][1] / (1.0 + left * yield_ / _PERIODS_A_YEAR)
    else:
        dirty = sum(flow * factor ** -(left + k) for k, (_, flow) in enumerate(flows))
    accrued = accrued_interest(security, settle)
    return BondPrice(dirty - accrued, accrued)


def _require(value: float, name: str, days: int) -> None:
    problems = Problems()
    if not isfinite(value):
        problems.add(f"{value!r} is not a finite number.", where=name)
    if days <= 0:
        problems.add(f"{days!r} days to maturity.", where="days", fix="Count from settlement to maturity.")
    problems.raise_if_any()


def _require_positive(value: float, name: str) -> None:
    problems = Problems()
    if value <= 0:
        problems.add(f"{value!r} is not above zero.", where=name)
    problems.raise_if_any()


def _require_yield(security: TreasuryNote | TreasuryBond, yield_: float, settle: date) -> None:
    problems = Problems()
    if not (isfinite(yield_) and yield_ > -_PERIODS_A_YEAR):
        problems.add(f"{yield_!r} is no yield.", where="yield_", fix="Give a decimal above -2.")
    if settle >= security.maturity:
        what = f"settlement {settle} is not before maturity {security.maturity}."
        problems.add(what, where=f"settle of {security.symbol}")
    problems.raise_if_any()
