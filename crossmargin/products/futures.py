"""Futures on Treasuries, overnight rates and indices: dates, deliverable baskets and conversion factors.

Call `TreasuryFuture`, `ShortRateFuture` and `IndexFuture` to hold one, `deliverable_basket` to fill the first,
`conversion_factor` for its members. Contract terms are in `contracts`. Nothing here prices; the quantity of a position
is contracts, long > 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar, TypeAlias

from attrs import field, frozen

from crossmargin.errors import InputError, Problem, Problems
from crossmargin.products import _fields as fields
from crossmargin.products.calendars import (
    add_business_days,
    add_months,
    is_month_end,
    last_business_day_of_month,
    third_friday,
    third_wednesday,
)
from crossmargin.products.contracts import ContractSpec, DeliverableGrade, Reopening, contract_specs, reopenings
from crossmargin.products.treasuries import TreasuryBond, TreasuryNote

Deliverable: TypeAlias = TreasuryNote | TreasuryBond

_LONGEST_NOTE_MONTHS = 120  # a Treasury note is by definition issued with at most ten years to run
_VIX_DAYS = 30  # the VIX looks thirty days ahead, to the expiry of SPX options
_FACTOR_STEP = Decimal("0.0001")


def _basket(value: Any) -> Any:
    return tuple(value) if isinstance(value, Iterable) else value


@frozen(cache_hash=True)
class TreasuryFuture:
    """A future on a Treasury note or bond, settled by delivery out of its `basket`.

    Parameters
    ----------
    contract : str
        ZT, Z3N, ZF, ZN, TN, TWE, ZB or UB.
    delivery_month : int
        CCYYMM, in the March cycle.
    basket : tuple of TreasuryNote or TreasuryBond
        What may be delivered; may be left empty here, but an empty basket cannot be valued.

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> TreasuryFuture("ZN", 202609).symbol
    'ZN 2026-09'
    """

    kind: ClassVar[str] = "treasury_future"
    contract: str
    delivery_month: int
    basket: tuple[Deliverable, ...] = field(default=(), converter=_basket)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        _check_contract(problems, self.contract, self.delivery_month, "treasury")
        _check_basket(problems, self.basket)
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """Contract and month, for example `ZN 2026-09`; the basket of a contract month is taken as given."""
        return _symbol(self.contract, self.delivery_month)


@frozen
class ShortRateFuture:
    """A cash-settled future on an overnight rate, priced at 100 less the rate in per cent.

    Parameters
    ----------
    contract : str
        ZQ (federal funds), SR1 (one-month SOFR) or SR3 (three-month SOFR).
    month : int
        CCYYMM. For SR3 the month in which the reference quarter starts, as the contract is traded.

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> ShortRateFuture("SR3", 202609).symbol
    'SR3 2026-09'
    """

    kind: ClassVar[str] = "short_rate_future"
    contract: str
    month: int

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        _check_contract(problems, self.contract, self.month, "short_rate")
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """Contract and month, for example `SR3 2026-09`."""
        return _symbol(self.contract, self.month)


@frozen
class IndexFuture:
    """A cash-settled future on a stock index or on the VIX.

    Parameters
    ----------
    contract : str
        ES, MES, NQ, RTY, YM or VX.
    month : int
        CCYYMM.

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> future = IndexFuture("ES", 202609)
    >>> future.symbol, future.underlying, future.expiry.isoformat()
    ('ES 2026-09', 'SPX', '2026-09-18')
    >>> IndexFuture("VX", 202609).expiry.isoformat()  # thirty days before the options of October expire
    '2026-09-16'
    """

    kind: ClassVar[str] = "index_future"
    contract: str
    month: int

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        _check_contract(problems, self.contract, self.month, "index")
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """Contract and month, for example `ES 2026-09`."""
        return _symbol(self.contract, self.month)

    @property
    def underlying(self) -> str:
        """Ticker of the index that it settles on."""
        return contract_specs()[self.contract].index

    @property
    def multiplier(self) -> float:
        """USD per point of the index."""
        return contract_specs()[self.contract].point_value

    @property
    def expiry(self) -> date:
        """The day of final settlement."""
        year, month = divmod(self.month, 100)
        if contract_specs()[self.contract].period == "third_friday":
            return third_friday(year, month)
        later = add_months(date(year, month, 1), 1)
        return third_friday(later.year, later.month) - timedelta(days=_VIX_DAYS)


def contract_spec(future: TreasuryFuture | ShortRateFuture | IndexFuture) -> ContractSpec:
    """Return the terms of the contract of a future."""
    return contract_specs()[future.contract]


def last_trading_day(future: TreasuryFuture | ShortRateFuture) -> date:
    """Return the last day on which a contract trades.

    Business days are those of the government-bond market; the exchange counts its own, which differ on a few
    days of the year, none of them near the end of a quarter but Good Friday.

    Examples
    --------
    >>> last_trading_day(TreasuryFuture("ZN", 202506)).isoformat()
    '2025-06-18'
    >>> last_trading_day(ShortRateFuture("SR3", 202503)).isoformat()
    '2025-06-17'
    """
    spec = contract_spec(future)
    if isinstance(future, ShortRateFuture) and spec.period == "imm_quarter":
        return add_business_days(reference_period(future)[1], spec.last_trading)
    month = future.month if isinstance(future, ShortRateFuture) else future.delivery_month
    return add_business_days(last_business_day_of_month(*divmod(month, 100)), spec.last_trading)


def delivery_date(future: TreasuryFuture) -> date:
    """Return the last day on which a Treasury future can be delivered.

    Examples
    --------
    >>> (
    ...     delivery_date(TreasuryFuture("ZN", 202506)).isoformat(),
    ...     delivery_date(TreasuryFuture("ZT", 202506)).isoformat(),
    ... )
    ('2025-06-30', '2025-07-03')
    """
    return _last_delivery(contract_spec(future), future.delivery_month)


def reference_period(future: ShortRateFuture) -> tuple[date, date]:
    """Return the first day, and the day after the last, whose overnight rates settle a short-rate future.

    Examples
    --------
    >>> [day.isoformat() for day in reference_period(ShortRateFuture("SR3", 202609))]
    ['2026-09-16', '2026-12-16']
    >>> [day.isoformat() for day in reference_period(ShortRateFuture("ZQ", 202612))]
    ['2026-12-01', '2027-01-01']
    """
    first = date(future.month // 100, future.month % 100, 1)
    if contract_spec(future).period == "calendar_month":
        return first, add_months(first, 1)
    end = add_months(first, 3)
    return third_wednesday(first.year, first.month), third_wednesday(end.year, end.month)


def conversion_factor(contract: str, delivery_month: int, coupon: float, maturity: date) -> float:
    """Return the price per 1 USD of face at which a deliverable security yields the notional coupon.

    Parameters
    ----------
    contract : str
        A Treasury future.
    delivery_month : int
        CCYYMM.
    coupon : float
        Decimal.
    maturity : date
        At least one rounding step after the first day of the delivery month.

    Returns
    -------
    float
        Rounded half up to four decimals.

    Raises
    ------
    InputError

    Notes
    -----
    With n whole years and z further months of the rounded term, c the coupon, y the notional coupon and
    u = 1 + y/2: v = z below seven months and z - 6 above, and the factor is
    `u^(-v/6) (c/2 + d + c/y (1 - d)) - c/2 (6 - v)/6`, with d = u^(-2n), or u^(-2n - 1) when z >= 7.

    References
    ----------
    CME Group, *Calculating U.S. Treasury Futures Conversion Factors*.

    Examples
    --------
    >>> conversion_factor("ZT", 202509, 0.04375, date(2027, 7, 15))
    0.9721
    """
    grade = _require_factor_terms(contract, delivery_month, coupon, maturity)
    term = _months_to(maturity, delivery_month)
    years, months = divmod(term - term % grade.rounding_months, 12)
    late = months >= 7
    odd = months - 6 if late else months
    growth = 1 + grade.notional_coupon / 2
    redemption = growth ** -(2 * years + late)
    annuity = coupon / grade.notional_coupon * (1 - redemption)
    factor = growth ** (-odd / 6) * (coupon / 2 + redemption + annuity) - coupon / 2 * (6 - odd) / 6
    return float(Decimal(factor).quantize(_FACTOR_STEP, ROUND_HALF_UP))


def deliverable_basket(contract: str, delivery_month: int, securities: Iterable[object]) -> tuple[Deliverable, ...]:
    """Return the securities that may be delivered into a contract month, in the order given.

    Parameters
    ----------
    contract : str
        A Treasury future.
    delivery_month : int
        CCYYMM.
    securities : iterable
        A security master or a part of it; products of other kinds are passed over.

    Raises
    ------
    InputError
        When the contract or month is wrong, or a security within the remaining term has no `issue` although
        the contract limits the original term: all of them are named.

    Notes
    -----
    Terms are counted in whole months from the first day of the delivery month. A security issued on or after
    the last delivery day is left out. A reopening on record counts as an issue of its own. Exclusions that
    the exchange may order, and the call dates of callable bonds, are not modelled.

    References
    ----------
    CBOT Rulebook, rules 18101.A to 40101.A (contract grades), 21101.A on reopenings; CBOT Special Executive
    Report S-4819 (2009) on issues that settle on the last delivery day.
    """
    grade = _require_grade(contract, delivery_month)
    last_day = _last_delivery(contract_specs()[contract], delivery_month)
    wanted = TreasuryNote if grade.security == "note" else TreasuryBond
    within = [
        security
        for security in securities
        if isinstance(security, wanted) and _remaining_fits(security, delivery_month, grade)
    ]
    _require_issues(within, grade, f"{contract} {delivery_month}")
    return tuple(security for security in within if _original_fits(security, last_day, grade))


def _symbol(contract: str, month: int) -> str:
    return f"{contract} {month // 100:04d}-{month % 100:02d}"


def _months_to(maturity: date, delivery_month: int) -> int:
    year, month = divmod(delivery_month, 100)
    return (maturity.year - year) * 12 + maturity.month - month


def _last_delivery(spec: ContractSpec, delivery_month: int) -> date:
    last = last_business_day_of_month(*divmod(delivery_month, 100))
    return add_business_days(last, spec.last_delivery or 0)


def _remaining_fits(security: Deliverable, delivery_month: int, grade: DeliverableGrade) -> bool:
    months = _months_to(security.maturity, delivery_month)
    most = grade.max_remaining_months
    return months >= grade.min_remaining_months and (most is None or months <= most)


def _original_fits(security: Deliverable, last_day: date, grade: DeliverableGrade) -> bool:
    if security.issue is None:
        return True
    issues = [security.issue, *(r.reopened for r in reopenings() if _reopens(r, security))]
    return any(issue < last_day and _term_fits(issue, security.maturity, grade) for issue in issues)


def _term_fits(issue: date, maturity: date, grade: DeliverableGrade) -> bool:
    months = grade.max_original_months
    return months is None or maturity <= add_months(issue, months, month_end=is_month_end(issue))


def _reopens(reopening: Reopening, security: Deliverable) -> bool:
    same_terms = reopening.coupon == security.coupon and reopening.maturity == security.maturity
    return same_terms and security.cusip in ("", reopening.cusip)


def _check_contract(problems: Problems, contract: Any, month: Any, asset: str) -> None:
    kind = f"{asset}_future"
    codes = [code for code, spec in contract_specs().items() if spec.asset == asset]
    known = fields.is_one_of(problems, contract, f"{kind} contract", codes)
    if not fields.is_month(problems, month, f"{kind} month") or not known:
        return
    listed = contract_specs()[contract].months
    if month % 100 not in listed:
        what = f"{contract} has no {month}: its contract months are {', '.join(map(str, listed))}."
        problems.add(what, where=f"{kind} month")


def _check_basket(problems: Problems, basket: object) -> None:
    if not isinstance(basket, tuple):
        what = f"{basket!r} is no sequence of securities."
        problems.add(what, where="treasury_future basket", fix="Give a tuple of notes or bonds.")
        return
    for number, member in enumerate(basket):
        if not isinstance(member, TreasuryNote | TreasuryBond):
            what = f"{member!r} is not a Treasury note or bond."
            problems.add(what, where=f"treasury_future basket, member {number}")


def _require_grade(contract: str, delivery_month: int) -> DeliverableGrade:
    problems = Problems()
    _check_contract(problems, contract, delivery_month, "treasury")
    problems.raise_if_any()
    grades = {code: spec.grade for code, spec in contract_specs().items() if spec.grade is not None}
    return grades[contract]


def _require_factor_terms(contract: str, delivery_month: int, coupon: float, maturity: date) -> DeliverableGrade:
    grade = _require_grade(contract, delivery_month)
    problems = Problems()
    fields.is_rate(problems, coupon, "coupon", negative=False)
    dated = fields.is_date(problems, maturity, "maturity")
    if dated and _months_to(maturity, delivery_month) < grade.rounding_months:
        what = f"{maturity} leaves nothing to run after {contract} {delivery_month}."
        problems.add(what, where="maturity", fix="Give a security that matures after delivery.")
    problems.raise_if_any()
    return grade


def _require_issues(securities: Iterable[Deliverable], grade: DeliverableGrade, where: str) -> None:
    limit = grade.max_original_months
    if limit is None or limit >= _LONGEST_NOTE_MONTHS:
        return
    missing = [security for security in securities if security.issue is None]
    if missing:
        fix = "Give its issue date: the original term decides."
        raise InputError([Problem("may be deliverable or not.", f"basket {where}, {s.symbol}", fix) for s in missing])
