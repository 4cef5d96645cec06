"""Security-based swaps and equity forwards: credit default swaps, total return swaps. Data only, no pricing.

`CreditDefaultSwap` follows the standard contract: quarterly dates on the 20th, Actual/360, full first coupon;
`premium_periods` lists its coupons, `standard_maturity` gives the maturity that a tenor means today. Whether a contract
is a swap of the CFTC or a security-based swap of the SEC follows from how many names it refers to: `is_narrow`. Only
credit default swaps are cleared; the `kind` of one says so, since who margins it follows from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, ClassVar, TypeAlias

from attrs import field, frozen

from crossmargin.errors import InputError, Problem, Problems, counted
from crossmargin.products import _fields as fields
from crossmargin.products.calendars import add_months
from crossmargin.products.treasuries import TREASURY_SECURITIES, TreasurySecurity
from crossmargin.records import as_tuple

STANDARD_RECOVERY = 0.40  # senior unsecured debt, ISDA standard contract
NARROW_NAMES = 9  # an index of nine names or fewer is narrow: Securities Exchange Act 3(a)(55)(C)(i)
CREDIT_CLEARING = ("ICC", "bilateral")
"""Where a credit default swap is margined: at the clearing house, or between its two parties."""
CREDIT_KINDS = ("credit_default_swap", "bilateral_credit_default_swap", "bilateral_credit_index_swap")
"""Kinds of credit default swaps: cleared; bilateral on nine names or fewer; bilateral on more."""
_IMM_DAY, _IMM_MONTHS, _QUARTER, _YEAR = 20, (3, 6, 9, 12), 3, 12
_SATURDAY = 5
_BP = 1e4
_ONE_DAY = timedelta(days=1)


@frozen(cache_hash=True)
class CreditDefaultSwap:
    """Protection on one name or on an index; quantity is USD notional, > 0 buys protection and pays the coupon.

    Parameters
    ----------
    reference : str
        The entity, or the index and its series.
    coupon : float
        Running coupon as a decimal, 0.01 for the usual 100 bp.
    maturity : date
        The 20th of March, June, September or December.
    recovery : float
        Share of notional expected back after a default, in [0, 1).
    names : int
        Entities at equal weight: 1 for a single name.
    members : tuple of str
        The entities of an index where they are known, as many as `names`; a default is looked for in each of them.
    clearing : str
        `ICC`, which holds the trade, or `bilateral`.

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> CreditDefaultSwap("ACME", 0.01, date(2031, 6, 20)).symbol
    'ACME CDS 100bp 2031-06-20'
    """

    base_kind: ClassVar[str] = CREDIT_KINDS[0]
    reference: str
    coupon: float
    maturity: date
    recovery: float = field(default=STANDARD_RECOVERY, kw_only=True)
    names: int = field(default=1, kw_only=True)
    members: tuple[str, ...] = field(default=(), kw_only=True, converter=as_tuple)
    clearing: str = field(default=CREDIT_CLEARING[0], kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), self.base_kind
        fields.is_text(problems, self.reference, f"{where} reference")
        fields.is_rate(problems, self.coupon, f"{where} coupon", negative=False)
        if fields.is_date(problems, self.maturity, f"{where} maturity") and not is_imm_date(self.maturity):
            fix = "Give the 20th of March, June, September or December: standard_maturity(trade_date, years)."
            problems.add(f"{self.maturity} is no standard date.", where=f"{where} maturity", fix=fix)
        fields.is_rate(problems, self.recovery, f"{where} recovery", negative=False)
        _check_names(problems, self, where)
        fields.is_one_of(problems, self.clearing, f"{where} clearing", CREDIT_CLEARING)
        problems.raise_if_any()

    @property
    def kind(self) -> str:
        """Kind of product, one of `CREDIT_KINDS`: it tells where the swap is margined and under whose rules."""
        cleared = self.clearing == CREDIT_CLEARING[0]
        return CREDIT_KINDS[0] if cleared else CREDIT_KINDS[1 if self.is_narrow else 2]

    @property
    def is_index(self) -> bool:
        """Whether it refers to more than one name."""
        return self.names > 1

    @property
    def is_narrow(self) -> bool:
        """Whether it is a security-based swap: one name, or an index of nine at most (other tests left out)."""
        return self.names <= NARROW_NAMES

    @property
    def symbol(self) -> str:
        """Readable name: as it is quoted, and what a quote does not depend on."""
        members = [f"members #{fields.digest(self.members)}"] if self.members else []
        return " ".join([self.quoted, *members, *([] if self.clearing == CREDIT_CLEARING[0] else [self.clearing])])

    @property
    def quoted(self) -> str:
        """Name of what is quoted: reference, coupon, maturity, and what is not standard."""
        recovery = "" if self.recovery == STANDARD_RECOVERY else f" R{fields.percent(self.recovery)}"
        names = f" x{self.names}" if self.is_index else ""
        coupon = fields.plain(round(self.coupon * _BP, 8))
        return f"{self.reference}{names} CDS {coupon}bp {self.maturity.isoformat()}{recovery}"


@frozen(cache_hash=True)
class ReferenceBond:
    """A bond of a company, to which a total return swap refers; it is not held.

    Parameters
    ----------
    issuer : str
    coupon : float
        Yearly, decimal.
    maturity : date
    """

    kind: ClassVar[str] = "corporate_bond"
    issuer: str
    coupon: float
    maturity: date

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), self.kind
        fields.is_text(problems, self.issuer, f"{where} issuer")
        fields.is_rate(problems, self.coupon, f"{where} coupon", negative=False)
        fields.is_date(problems, self.maturity, f"{where} maturity")
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """Readable name: issuer, coupon in per cent, maturity."""
        return f"{self.issuer} {fields.percent(self.coupon)} {self.maturity.isoformat()}"


@frozen(cache_hash=True)
class EquityTotalReturnSwap:
    """The return of a share against financing; quantity is shares, > 0 receives the return.

    Parameters
    ----------
    underlying : str
        Ticker.
    maturity : date
    initial_price : float
        Price at the last reset, USD per share: notional is shares times this.
    spread : float
        Over the overnight rate, decimal, paid by who receives the return.

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> EquityTotalReturnSwap("IBM", date(2027, 6, 30), 250.0).symbol
    'IBM TRS 250 2027-06-30'
    """

    kind: ClassVar[str] = "equity_total_return_swap"
    underlying: str
    maturity: date
    initial_price: float
    spread: float = field(default=0.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), self.kind
        fields.is_text(problems, self.underlying, f"{where} underlying")
        fields.is_date(problems, self.maturity, f"{where} maturity")
        fields.is_positive(problems, self.initial_price, f"{where} initial_price")
        fields.is_rate(problems, self.spread, f"{where} spread", negative=True)
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """Readable name: ticker, price at reset, maturity, spread in basis points where there is one."""
        return _return_symbol(self.underlying, self.initial_price, self.maturity, self.spread)


@frozen(cache_hash=True)
class BondTotalReturnSwap:
    """The return of a bond against financing; quantity is USD face, > 0 receives the return.

    Parameters
    ----------
    bond : Treasury security or ReferenceBond
    maturity : date
        Of the swap, not after the bond's.
    initial_price : float
        Dirty price at the last reset per 1 USD of face.
    spread : float
        Over the overnight rate, decimal, paid by who receives the return.

    Raises
    ------
    InputError
        With every field that is wrong.
    """

    kind: ClassVar[str] = "bond_total_return_swap"
    bond: ReferenceBond | TreasurySecurity
    maturity: date
    initial_price: float = 1.0
    spread: float = field(default=0.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), self.kind
        bond: object = self.bond
        dated = fields.is_date(problems, self.maturity, f"{where} maturity")
        if not isinstance(bond, (ReferenceBond, *TREASURY_SECURITIES)):
            problems.add(f"{bond!r} is no bond.", where=f"{where} bond", fix="Give a ReferenceBond or a Treasury.")
        elif dated and self.maturity > self.bond.maturity:
            what, fix = f"{self.maturity} is after the bond's end.", f"End the swap by {self.bond.maturity}."
            problems.add(what, where=f"{where} maturity", fix=fix)
        fields.is_price(problems, self.initial_price, f"{where} initial_price")
        fields.is_rate(problems, self.spread, f"{where} spread", negative=True)
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """Readable name: bond, price at reset, maturity, spread in basis points where there is one."""
        return _return_symbol(self.bond.symbol, self.initial_price, self.maturity, self.spread)


@frozen(cache_hash=True)
class EquityForward:
    """A share bought later at a price fixed now; quantity is shares, > 0 buys.

    Parameters
    ----------
    underlying : str
        Ticker.
    maturity : date
    price : float
        Agreed price, USD per share.
    dividends : tuple of (date, float)
        Ex-date and USD per share of each dividend by which the agreed price falls when it is paid. Other dividends
        stay with the seller.

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> EquityForward("IBM", date(2027, 6, 30), 260.0, dividends=[(date(2027, 2, 9), 1.68)]).symbol
    'IBM forward 260 2027-06-30 less 1.68 on 2027-02-09'
    """

    kind: ClassVar[str] = "equity_forward"
    underlying: str
    maturity: date
    price: float
    dividends: tuple[tuple[date, float], ...] = field(default=(), kw_only=True, converter=as_tuple)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), self.kind
        fields.is_text(problems, self.underlying, f"{where} underlying")
        fields.is_positive(problems, self.price, f"{where} price")
        if fields.is_date(problems, self.maturity, f"{where} maturity"):
            _check_dividends(problems, self, where)
        problems.raise_if_any()

    def adjusted_price(self, on: date) -> float:
        """Return the agreed price after the dividends with an ex-date up to `on`, USD per share."""
        return self.price - sum(amount for day, amount in self.dividends if day <= on)

    @property
    def symbol(self) -> str:
        """Readable name: ticker, agreed price, maturity, dividends that adjust it."""
        less = "".join(f" less {fields.plain(amount)} on {day.isoformat()}" for day, amount in self.dividends)
        return f"{self.underlying} forward {fields.plain(self.price)} {self.maturity.isoformat()}{less}"


SecurityBasedProduct: TypeAlias = CreditDefaultSwap | EquityTotalReturnSwap | BondTotalReturnSwap | EquityForward
SECURITY_BASED = (CreditDefaultSwap, EquityTotalReturnSwap, BondTotalReturnSwap, EquityForward)


# ------------------------------------------------------------------------------------------- dates of the standard CDS


@frozen
class PremiumPeriod:
    """One coupon: accrual from `start` to before `end`, paid on `pay`; `days` are what the coupon counts."""

    start: date
    end: date
    pay: date
    days: int


def is_imm_date(day: date) -> bool:
    """Return whether a day is a standard coupon and maturity date of credit default swaps.

    Examples
    --------
    >>> is_imm_date(date(2026, 6, 20)), is_imm_date(date(2026, 6, 17))
    (True, False)
    """
    return day.day == _IMM_DAY and day.month in _IMM_MONTHS


def standard_maturity(trade_date: date, years: float) -> date:
    """Return the maturity that a tenor means for a trade on a day: rolls on 20 March and 20 September.

    Parameters
    ----------
    years : float
        A multiple of a half-year; 0.5 is the six-month contract.

    References
    ----------
    ISDA, "Amending when Single Name CDS roll to new on-the-run contracts", in force 21 December 2015.

    Examples
    --------
    >>> standard_maturity(date(2026, 9, 18), 5).isoformat(), standard_maturity(date(2026, 9, 21), 5).isoformat()
    ('2031-06-20', '2031-12-20')
    """
    months = years * _YEAR
    if months != int(months) or int(months) % (2 * _QUARTER) or months < 0:
        raise InputError([Problem(f"{years} years is no multiple of a half-year.", "years", "Give 0.5, 1, 5 or 10.")])
    roll_spring, roll_autumn = date(trade_date.year, 3, _IMM_DAY), date(trade_date.year, 9, _IMM_DAY)
    anchor = date(trade_date.year, 6, _IMM_DAY)
    if trade_date < roll_spring:
        anchor = date(trade_date.year - 1, 12, _IMM_DAY)
    elif trade_date >= roll_autumn:
        anchor = date(trade_date.year, 12, _IMM_DAY)
    return add_months(anchor, int(months))


def following_weekday(day: date) -> date:
    """Return the day, or the Monday after it: the standard contract knows no holidays."""
    while day.weekday() >= _SATURDAY:
        day += _ONE_DAY
    return day


def add_weekdays(day: date, count: int) -> date:
    """Return the weekday `count` weekdays after `day`."""
    for _ in range(count):
        day = following_weekday(day + _ONE_DAY)
    return day


def premium_periods(swap: CreditDefaultSwap, as_of: date) -> tuple[PremiumPeriod, ...]:
    """Return the coupons still to pay on a day, first the running one, whose accrual began before.

    Protection held on `as_of` counts from the day after it: a coupon that accrues up to that day is gone.

    Raises
    ------
    InputError
        The swap has ended.

    References
    ----------
    ISDA CDS standard model, "Standard CDS contract specification"; last period includes the maturity day.

    Examples
    --------
    >>> swap = CreditDefaultSwap("ACME", 0.01, date(2026, 12, 20))
    >>> [(each.start.isoformat(), each.days) for each in premium_periods(swap, date(2026, 6, 30))]
    [('2026-06-22', 91), ('2026-09-21', 91)]
    """
    if swap.maturity <= as_of:
        fix = "Leave out what has matured."
        raise InputError([Problem(f"{swap.symbol} ended on {swap.maturity}.", "as_of", fix)])
    found = []
    for start, end in _quarters_back(swap.maturity):
        last = end == swap.maturity
        begins, ends = following_weekday(start), end if last else following_weekday(end)
        pay = following_weekday(end)
        if pay <= as_of + _ONE_DAY and not last:
            break
        found.append(PremiumPeriod(begins, ends, pay, (ends - begins).days + (1 if last else 0)))
    return tuple(reversed(found))


def _quarters_back(maturity: date) -> Iterator[tuple[date, date]]:
    end = maturity
    while True:
        start = add_months(end, -_QUARTER)
        yield start, end
        end = start


# ------------------------------------------------------------------------------------------------------------- pieces


def _return_symbol(reference: str, price: float, maturity: date, spread: float) -> str:
    over = f" {fields.plain(round(spread * _BP, 8))}bp" if spread else ""
    return f"{reference} TRS {fields.plain(price)} {maturity.isoformat()}{over}"


def _check_names(problems: Problems, swap: CreditDefaultSwap, where: str) -> None:
    names: object = swap.names
    if not isinstance(names, int) or isinstance(names, bool) or names < 1:
        problems.add(f"{names!r} is no number of names.", where=f"{where} names", fix="Give 1 for a single name.")
    elif swap.members and len(swap.members) != names:
        fix = "List each entity once, or none of them."
        problems.add(
            f"{counted(len(swap.members), 'member')} for {counted(names, 'name')}.", where=f"{where} members", fix=fix
        )
    if len(set(swap.members)) < len(swap.members):
        problems.add("an entity stands twice.", where=f"{where} members", fix="List each once.")
    for member in swap.members:
        fields.is_text(problems, member, f"{where} members")


def _check_dividends(problems: Problems, forward: EquityForward, where: str) -> None:
    entries: tuple[Any, ...] = forward.dividends
    for entry in entries:
        day, amount = entry if isinstance(entry, tuple) and len(entry) == 2 else (None, None)
        spot = f"{where} dividends"
        if (
            fields.is_date(problems, day, spot)
            and fields.is_positive(problems, amount, spot)
            and day
            and day > forward.maturity
        ):
            problems.add(
                f"{day} is after the maturity.", where=spot, fix="Leave it out: the share is delivered before."
            )
