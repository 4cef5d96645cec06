"""US Treasury securities and repo on them: what they are and what they pay.

Call `cash_flows` for what a product still pays per 1 USD of face. The quantity of a position is USD face,
long > 0. Prices, yields and curves are elsewhere (`conventions`, `curves`, `pnl`).

Schedules are regular: coupons fall every six months counted back from maturity, at month end when the
maturity is a month end. Dates are not moved to business days, because Treasury interest accrues to the
scheduled date and nothing is added for the wait until payment. Short and long first coupons are not modelled:
the first coupon is the first scheduled date after `issue`, paid in full.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeAlias

from attrs import field, frozen

from crossmargin.errors import InputError, Problem, Problems
from crossmargin.products import _fields as fields
from crossmargin.products.calendars import add_months, is_month_end

CashFlows: TypeAlias = tuple[tuple[date, float], ...]

_COUPONS_A_YEAR = 2
_MONTHS_A_PERIOD = 6
_REPO_YEAR_DAYS = 360  # US money-market basis: actual days over 360


@frozen
class TreasuryBill:
    """A Treasury bill: 1 USD of face at maturity, no coupon. Any original term."""

    kind: ClassVar[str] = "treasury_bill"
    maturity: date
    cusip: str = field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        _validate(self)

    @property
    def symbol(self) -> str:
        """Readable name, for example `UST bill 2026-09-10`."""
        return _symbol("UST bill", None, self)


@frozen
class TreasuryNote:
    """A Treasury note, of an original term up to ten years.

    Parameters
    ----------
    coupon : float
        Yearly rate as a decimal, paid half-yearly.
    maturity : date
    issue : date, optional
        Date of the first issue. It bounds the cash flows and gives the original term, which decides
        deliverability; it does not tell two securities apart, since the Treasury reopens equal terms.
    cusip : str

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> TreasuryNote(0.0425, date(2035, 2, 15)).symbol
    'UST 4.25 2035-02-15'
    """

    kind: ClassVar[str] = "treasury_note"
    coupon: float
    maturity: date
    issue: date | None = field(default=None, kw_only=True, eq=False)
    cusip: str = field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        _validate(self)

    @property
    def symbol(self) -> str:
        """Readable name, for example `UST 4.25 2035-02-15`."""
        return _symbol("UST", self.coupon, self)


@frozen
class TreasuryBond:
    """A Treasury bond, of an original term above ten years. Fields as in `TreasuryNote`."""

    kind: ClassVar[str] = "treasury_bond"
    coupon: float
    maturity: date
    issue: date | None = field(default=None, kw_only=True, eq=False)
    cusip: str = field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        _validate(self)

    @property
    def symbol(self) -> str:
        """Readable name, for example `UST bond 4.625 2055-02-15`."""
        return _symbol("UST bond", self.coupon, self)


@frozen
class TreasuryFRN:
    """A Treasury floating-rate note: the 13-week bill rate plus `spread`, a decimal. Its flows vary."""

    kind: ClassVar[str] = "treasury_frn"
    spread: float
    maturity: date
    issue: date | None = field(default=None, kw_only=True, eq=False)
    cusip: str = field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        _validate(self)

    @property
    def symbol(self) -> str:
        """Readable name, for example `UST FRN 0.15 2027-01-31`."""
        return _symbol("UST FRN", self.spread, self)


@frozen
class TIPS:
    """An inflation-protected Treasury security with a real `coupon`, a decimal. Its flows vary.

    `index_ratio` is the reference index of the valuation date over that of the issue date, as the Treasury publishes
    it for each day: principal per 1 USD of face. Left at 1, the quantity of a position is inflation-adjusted face.
    """

    kind: ClassVar[str] = "tips"
    coupon: float
    maturity: date
    issue: date | None = field(default=None, kw_only=True, eq=False)
    cusip: str = field(default="", kw_only=True)
    index_ratio: float = field(default=1.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _validate(self)

    @property
    def symbol(self) -> str:
        """Readable name, for example `TIPS 2.125 2035-01-15`; the index ratio is shown when it is not 1."""
        ratio = "" if self.index_ratio == 1.0 else f" index {self.index_ratio!r}"
        return _symbol("TIPS", self.coupon, self) + ratio


@frozen
class STRIPS:
    """A stripped Treasury component: 1 USD of face at maturity, no coupon."""

    kind: ClassVar[str] = "strips"
    maturity: date
    cusip: str = field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        _validate(self)

    @property
    def symbol(self) -> str:
        """Readable name, for example `STRIPS 2045-05-15`."""
        return _symbol("STRIPS", None, self)


TreasurySecurity: TypeAlias = TreasuryBill | TreasuryNote | TreasuryBond | TreasuryFRN | TIPS | STRIPS
TREASURY_SECURITIES = (TreasuryBill, TreasuryNote, TreasuryBond, TreasuryFRN, TIPS, STRIPS)
_FIXED = (TreasuryBill, TreasuryNote, TreasuryBond, STRIPS)


@frozen(cache_hash=True)
class Repo:
    """A repurchase agreement, seen by the party that sells the collateral and borrows the cash.

    The start leg sells the collateral against `price`; the end leg buys it back for `price` with interest.
    Quantity is USD face of collateral, and a positive quantity is this side.

    Parameters
    ----------
    collateral : TreasurySecurity
    start, end : date
        Settlement dates of the two legs.
    rate : float
        Simple interest, actual/360, decimal; may be negative.
    price : float
        Cash lent per 1 USD of collateral face.

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> note = TreasuryNote(0.0425, date(2035, 2, 15))
    >>> Repo(note, date(2026, 6, 30), date(2026, 7, 31), 0.0368).symbol
    'repo UST 4.25 2035-02-15 2026-06-30/2026-07-31 @0.0368'
    """

    kind: ClassVar[str] = "repo"
    collateral: TreasurySecurity
    start: date
    end: date
    rate: float
    price: float = 1.0

    def __attrs_post_init__(self) -> None:
        _validate_repo(self)

    @property
    def symbol(self) -> str:
        """Readable name; the price is shown when it is not 1."""
        return _repo_symbol("repo", self)


@frozen(cache_hash=True)
class ReverseRepo:
    """The other side of `Repo`: buys the collateral, lends the cash. Fields as there."""

    kind: ClassVar[str] = "reverse_repo"
    collateral: TreasurySecurity
    start: date
    end: date
    rate: float
    price: float = 1.0

    def __attrs_post_init__(self) -> None:
        _validate_repo(self)

    @property
    def symbol(self) -> str:
        """Readable name; the price is shown when it is not 1."""
        return _repo_symbol("reverse repo", self)


@frozen
class RepoLeg:
    """One leg of a repo for its holder, per 1 USD of collateral face.

    `cash` and `security_face` are received > 0, delivered < 0, on `date`.
    """

    name: Literal["start", "end"]
    date: date
    cash: float
    security_face: float


@lru_cache(maxsize=4096)  # schedules are asked for once per scenario set and once per basket
def coupon_dates(maturity: date, after: date, *, months: int = _MONTHS_A_PERIOD) -> tuple[date, ...]:
    """Return the coupon dates, every so many months, strictly after `after`, up to and including `maturity`.

    Examples
    --------
    >>> [day.isoformat() for day in coupon_dates(date(2028, 8, 30), date(2027, 8, 30))]
    ['2028-02-29', '2028-08-30']
    """
    month_end = is_month_end(maturity)
    dates: list[date] = []
    day = maturity
    while day > after:
        dates.append(day)
        day = add_months(maturity, -months * len(dates), month_end=month_end)
    return tuple(reversed(dates))


def has_fixed_cash_flows(product: object) -> bool:
    """Return whether `cash_flows` knows the product: bill, note, bond, STRIPS, or a repo on one of them."""
    if isinstance(product, Repo | ReverseRepo):
        return has_fixed_cash_flows(product.collateral)
    return isinstance(product, _FIXED)


def cash_flows(product: TreasurySecurity | Repo | ReverseRepo, after: date) -> CashFlows:
    """Return what the holder of +1 USD of face receives strictly after a date.

    Parameters
    ----------
    product : TreasurySecurity, Repo or ReverseRepo
    after : date
        Flows on this date are past; so are flows on or before `issue` when the product has one.

    Returns
    -------
    tuple of (date, float)
        In order of date, one entry a date, USD per 1 USD of face, received > 0. A repo counts both its legs,
        the collateral as its own flows: delivering it gives up every flow after the leg, so between the legs
        the coupons belong to the other party, and once the start leg has settled the seller is long the
        collateral from the end leg on.

    Raises
    ------
    InputError
        When the flows are not fixed (TIPS, FRN): ask `has_fixed_cash_flows` first.

    Examples
    --------
    >>> note = TreasuryNote(0.04, date(2027, 2, 28))
    >>> [(day.isoformat(), flow) for day, flow in cash_flows(note, date(2026, 3, 1))]
    [('2026-08-31', 0.02), ('2027-02-28', 1.02)]
    """
    if isinstance(product, Repo | ReverseRepo):
        return _repo_flows(product, after)
    if isinstance(product, TreasuryNote | TreasuryBond):
        return coupon_flows(product, after)
    if isinstance(product, TreasuryBill | STRIPS):
        return ((product.maturity, 1.0),) if product.maturity > after else ()
    raise InputError([_not_fixed(product)])


def accrued_interest(security: TreasuryNote | TreasuryBond | TIPS, on: date) -> float:
    """Return the interest accrued to a settlement date, per 1 USD of face; real, before the index ratio, for TIPS.

    Actual/actual: the half-yearly coupon times the days since the last scheduled coupon date over the days of
    the coupon period. Zero on a coupon date, before `issue`, and from maturity on.

    References
    ----------
    31 CFR Part 356, Appendix B, section I; ICMA Rule 251.1 (actual/actual).

    Examples
    --------
    >>> round(accrued_interest(TreasuryNote(0.04, date(2035, 2, 15)), date(2026, 5, 16)), 12)
    0.009944751381
    """
    if on >= security.maturity or (security.issue is not None and on < security.issue):
        return 0.0
    previous, following = coupon_period(security.maturity, on)
    return security.coupon / _COUPONS_A_YEAR * ((on - previous).days / (following - previous).days)


def coupon_period(maturity: date, on: date) -> tuple[date, date]:
    """Return the scheduled coupon dates around a date: the last on or before it, the first after it."""
    remaining = _MONTHS_A_PERIOD * len(coupon_dates(maturity, on))
    month_end = is_month_end(maturity)
    previous = add_months(maturity, -remaining, month_end=month_end)
    return previous, add_months(maturity, _MONTHS_A_PERIOD - remaining, month_end=month_end)


def repo_legs(repo: Repo | ReverseRepo, after: date) -> tuple[RepoLeg, ...]:
    """Return the legs that settle strictly after a date, per 1 USD of collateral face.

    Examples
    --------
    >>> repo = Repo(TreasuryBill(date(2027, 3, 4)), date(2026, 6, 30), date(2026, 7, 30), 0.036)
    >>> [(leg.name, leg.cash, leg.security_face) for leg in repo_legs(repo, date(2026, 6, 30))]
    [('end', -1.003, 1.0)]
    """
    side = 1.0 if isinstance(repo, Repo) else -1.0
    start = RepoLeg("start", repo.start, side * repo.price, -side)
    end = RepoLeg("end", repo.end, -side * repayment(repo), side)
    return tuple(leg for leg in (start, end) if leg.date > after)


def repayment(repo: Repo | ReverseRepo) -> float:
    """Return the cash paid at the end leg, price and interest, USD per 1 USD of face (always > 0)."""
    return repo.price * (1 + repo.rate * (repo.end - repo.start).days / _REPO_YEAR_DAYS)


def maturity_of(product: TreasurySecurity | Repo | ReverseRepo) -> date:
    """Return the maturity of the security, or of the collateral of a repo."""
    return product.collateral.maturity if isinstance(product, Repo | ReverseRepo) else product.maturity


def remaining_years(product: TreasurySecurity | Repo | ReverseRepo, on: date) -> float:
    """Return the time from a date to maturity (of the collateral, for a repo) in calendar years.

    Whole anniversaries counted back from maturity, then actual days over the days of the year that holds
    them: exactly 1.0 one calendar year before maturity, leap year or not. Negative after maturity.

    Examples
    --------
    >>> remaining_years(TreasuryBill(date(2028, 6, 30)), date(2027, 6, 30))
    1.0
    """
    return years_between(on, maturity_of(product))


def years_between(start: date, end: date) -> float:
    """Return the calendar years from `start` to `end` as `remaining_years` counts them, < 0 when reversed."""
    whole = end.year - start.year
    if add_months(end, -12 * whole) < start:
        whole -= 1
    anniversary, before = add_months(end, -12 * whole), add_months(end, -12 * (whole + 1))
    return whole + (anniversary - start).days / (anniversary - before).days


def coupon_flows(security: TreasuryNote | TreasuryBond | TIPS, after: date) -> CashFlows:
    """Return half-yearly coupons and principal after a date, per 1 USD of face; real, before any index, for TIPS."""
    start = after if security.issue is None else max(after, security.issue)
    half = security.coupon / _COUPONS_A_YEAR
    flows = [(day, half) for day in coupon_dates(security.maturity, start)]
    if flows:
        flows[-1] = (security.maturity, 1.0 + half)
    return tuple(flows)


def _repo_flows(repo: Repo | ReverseRepo, after: date) -> CashFlows:
    total: dict[date, float] = {}
    for leg in repo_legs(repo, after):
        total[leg.date] = total.get(leg.date, 0.0) + leg.cash
        for day, flow in cash_flows(repo.collateral, leg.date):
            total[day] = total.get(day, 0.0) + leg.security_face * flow
    # what is delivered at the start and returned at the end cancels to an exact zero after the end leg
    return tuple((day, total[day]) for day in sorted(total) if total[day] != 0.0)


def _not_fixed(product: object) -> Problem:
    name = getattr(product, "symbol", repr(product))
    return Problem("its cash flows are not fixed in advance.", name, "Ask has_fixed_cash_flows before cash_flows.")


def _symbol(prefix: str, rate: float | None, security: TreasurySecurity) -> str:
    shown = "" if rate is None else fields.percent(rate)
    parts = [prefix, shown, security.maturity.isoformat(), security.cusip]
    return " ".join(part for part in parts if part)


def _repo_symbol(prefix: str, repo: Repo | ReverseRepo) -> str:
    price = "" if repo.price == 1.0 else f" price {repo.price!r}"
    dates = f"{repo.start.isoformat()}/{repo.end.isoformat()}"
    return f"{prefix} {repo.collateral.symbol} {dates} @{repo.rate!r}{price}"


def _validate(security: TreasurySecurity) -> None:
    problems = Problems()
    where = security.kind
    for name in ("coupon", "spread"):
        if hasattr(security, name):
            fields.is_rate(problems, getattr(security, name), f"{where} {name}", negative=name == "spread")
    dated = fields.is_date(problems, security.maturity, f"{where} maturity")
    fields.is_text(problems, security.cusip, f"{where} cusip", empty=True)
    issue: Any = getattr(security, "issue", None)
    dated = (issue is None or fields.is_date(problems, issue, f"{where} issue")) and dated
    if dated and issue is not None and security.maturity <= issue:
        what = f"maturity {security.maturity} is not after issue {issue}."
        problems.add(what, where=f"{where} maturity", fix="Check that the dates are not exchanged.")
    if isinstance(security, TIPS):
        fields.is_positive(problems, security.index_ratio, f"{where} index_ratio")
    problems.raise_if_any()


def _validate_repo(repo: Repo | ReverseRepo) -> None:
    problems = Problems()
    where = repo.kind
    collateral: object = repo.collateral
    known = isinstance(collateral, TREASURY_SECURITIES)
    if not known:
        what = f"{collateral!r} is not a Treasury security."
        problems.add(what, where=f"{where} collateral", fix="Give a bill, note, bond, FRN, TIPS or STRIPS.")
    dated = fields.is_date(problems, repo.start, f"{where} start")
    if fields.is_date(problems, repo.end, f"{where} end"):
        if dated and repo.end <= repo.start:
            problems.add(f"end {repo.end} is not after start {repo.start}.", where=f"{where} end")
        if known and repo.collateral.maturity <= repo.end:
            what = f"the collateral matures on {repo.collateral.maturity}, not after the end leg {repo.end}."
            problems.add(what, where=f"{where} collateral", fix="Give collateral that outlives the repo.")
    fields.is_rate(problems, repo.rate, f"{where} rate", negative=True)
    fields.is_price(problems, repo.price, f"{where} price")
    problems.raise_if_any()
