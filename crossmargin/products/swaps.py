"""Interest-rate swaps: what two parties have agreed to exchange, and when. Frozen data, no pricing.

Hold an `OvernightSwap` (OIS), an `InterestRateSwap`, a `BasisSwap` or a `ForwardRateAgreement`; `legs_of_swap` gives
their legs, `schedules` the periods of a leg, and `pricing.swaps` what they are worth. One unit of quantity is the whole
swap, `notional` USD of it: leave the notional at 1 and the quantity is USD notional. `clearing` says which clearing
house holds the trade, or that it is bilateral; the `kind` of a swap follows from it, since who margins it does.

Not here: other currencies, exchange of notionals, compounding of term rates, odd periods at the end, caps and floors,
breaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from itertools import pairwise
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from attrs import evolve, field, fields_dict, frozen

from crossmargin.errors import Problems
from crossmargin.products import _fields as fields
from crossmargin.products.calendars import is_month_end
from crossmargin.products.schedules import (
    DAY_COUNTS,
    OVERNIGHT,
    QUARTERLY,
    SEMIANNUAL,
    Convention,
    check_days,
    schedule,
)

SIDES: Mapping[str, float] = MappingProxyType({"pay": -1.0, "receive": 1.0})
"""Side of the fixed rate -> the sign of what it pays to the holder."""

CLEARING = ("CME", "LCH", "bilateral")
"""Where a swap is margined: at a clearing house, the usual one first, or between its two parties."""
USUAL_INDEX = "SOFR"
USUAL_FIXING_DAYS = 2  # business days before a period, for USD term rates
_BASE_KINDS = ("overnight_swap", "interest_rate_swap", "basis_swap", "forward_rate_agreement")

NotionalSteps: TypeAlias = tuple[tuple[date, float], ...]


def kinds_at(clearing: str) -> tuple[str, ...]:
    """Return the kinds of the swaps that are margined at a place of `CLEARING`.

    Examples
    --------
    >>> kinds_at("CME")[0], kinds_at("LCH")[0], kinds_at("bilateral")[0]
    ('overnight_swap', 'lch_overnight_swap', 'bilateral_overnight_swap')
    """
    return tuple(fields.kind_at(kind, clearing, CLEARING) for kind in _BASE_KINDS)


@frozen(cache_hash=True)
class FixedLeg:
    """A fixed rate, a decimal, simple over each period."""

    rate: float
    convention: Convention

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        fields.is_rate(problems, self.rate, "rate of the fixed leg", negative=True)
        _check_convention(problems, self.convention, "fixed leg")
        problems.raise_if_any()


@frozen(cache_hash=True)
class FloatingLeg:
    """A reference rate plus `spread`, a decimal, over each period.

    Parameters
    ----------
    index : str
        Name of the rate; it names the curve that projects it, and its fixings.
    convention : Convention
    spread : float
        Added to the rate of a period, not compounded.
    overnight : bool
        The rate of a period is the compounded overnight rate; else one fixing for the whole of it.
    fixing_days : int
        Business days before a period at which a term rate is fixed; not read for an overnight rate.

    Raises
    ------
    InputError
        With every field that is wrong.
    """

    index: str
    convention: Convention
    spread: float = 0.0
    overnight: bool = field(default=False, kw_only=True)
    fixing_days: int = field(default=USUAL_FIXING_DAYS, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        fields.is_text(problems, self.index, "index of the floating leg")
        fields.is_rate(problems, self.spread, "spread of the floating leg", negative=True)
        _check_convention(problems, self.convention, "floating leg")
        check_days(problems, self.fixing_days, "fixing_days")
        if self.overnight not in (True, False):
            problems.add(f"{self.overnight!r} is neither true nor false.", where="overnight")
        problems.raise_if_any()

    @property
    def text(self) -> str:
        """The leg in words: index, convention, and what is not usual."""
        said = [self.index, self.convention.text]
        said += [f"{fields.basis_points(self.spread)}bp"] if self.spread else []
        said += ["overnight"] if self.overnight else []
        return " ".join([*said, *([] if self.fixing_days == USUAL_FIXING_DAYS else [f"fixing{self.fixing_days}d"])])


def _steps(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple(sorted(value.items()))
    if not isinstance(value, Iterable):
        return value
    return tuple(tuple(step) if isinstance(step, Iterable) else step for step in value)


@frozen(cache_hash=True)
class OvernightSwap:
    """A fixed rate against the compounded overnight rate (OIS).

    Parameters
    ----------
    side : str
        `pay` or `receive` the fixed rate.
    rate : float
        Decimal.
    start, maturity : date
        May fall on holidays: the conventions adjust them. A start to come makes a forward swap.
    notional : float
        USD for one unit of quantity.
    steps : tuple of (date, USD)
        Notional from that date on, for amortising and accreting swaps: that of a period is the last step on or before
        its unadjusted start.
    index : str
    spread : float
        Over the overnight rate, not compounded.
    fixed, floating : Convention
    clearing : str
        `CME` or `LCH`, which holds the trade, or `bilateral`.

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> OvernightSwap("receive", 0.033304, date(2025, 6, 18), date(2027, 6, 16)).symbol
    'SOFR OIS receive 3.3304 2025-06-18/2027-06-16'
    """

    base_kind: ClassVar[str] = "overnight_swap"
    side: str
    rate: float
    start: date
    maturity: date
    notional: float = field(default=1.0, kw_only=True)
    steps: NotionalSteps = field(default=(), kw_only=True, converter=_steps)
    index: str = field(default=USUAL_INDEX, kw_only=True)
    spread: float = field(default=0.0, kw_only=True)
    fixed: Convention = field(default=OVERNIGHT, kw_only=True)
    floating: Convention = field(default=OVERNIGHT, kw_only=True)
    clearing: str = field(default=CLEARING[0], kw_only=True)

    def __attrs_post_init__(self) -> None:
        _validate(self)

    @property
    def kind(self) -> str:
        """Kind of product, which tells where the swap is margined: one of `kinds_at(clearing)`."""
        return fields.kind_at(self.base_kind, self.clearing, CLEARING)

    @property
    def symbol(self) -> str:
        """Readable name: rates, dates, and all that is not usual."""
        return _symbol(f"{self.index} OIS", self)


@frozen(cache_hash=True)
class InterestRateSwap:
    """A fixed rate against a term rate; fields as in `OvernightSwap`, `fixing_days` as in `FloatingLeg`.

    Examples
    --------
    >>> InterestRateSwap("pay", 0.04, date(2026, 7, 2), date(2031, 7, 2), notional=1e6).symbol
    'TERM-SOFR-3M IRS pay 4 2026-07-02/2031-07-02 USD 1000000'
    """

    base_kind: ClassVar[str] = "interest_rate_swap"
    side: str
    rate: float
    start: date
    maturity: date
    notional: float = field(default=1.0, kw_only=True)
    steps: NotionalSteps = field(default=(), kw_only=True, converter=_steps)
    index: str = field(default="TERM-SOFR-3M", kw_only=True)
    spread: float = field(default=0.0, kw_only=True)
    fixed: Convention = field(default=SEMIANNUAL, kw_only=True)
    floating: Convention = field(default=QUARTERLY, kw_only=True)
    fixing_days: int = field(default=USUAL_FIXING_DAYS, kw_only=True)
    clearing: str = field(default=CLEARING[0], kw_only=True)

    def __attrs_post_init__(self) -> None:
        _validate(self)

    @property
    def kind(self) -> str:
        """Kind of product, which tells where the swap is margined: one of `kinds_at(clearing)`."""
        return fields.kind_at(self.base_kind, self.clearing, CLEARING)

    @property
    def symbol(self) -> str:
        """Readable name: rates, dates, and all that is not usual."""
        return _symbol(f"{self.index} IRS", self)


@frozen(cache_hash=True)
class BasisSwap:
    """One reference rate against another: the holder pays the leg `pay` and receives the leg `receive`.

    Dates, notional, steps and clearing as in `OvernightSwap`.

    Examples
    --------
    >>> sofr = FloatingLeg("SOFR", Convention(3, "act/360", 2), overnight=True)
    >>> term = FloatingLeg("TERM-SOFR-3M", QUARTERLY, 0.0005)
    >>> BasisSwap(sofr, term, date(2026, 7, 2), date(2031, 7, 2)).symbol
    'basis pay SOFR receive TERM-SOFR-3M+0.05 2026-07-02/2031-07-02'
    """

    base_kind: ClassVar[str] = "basis_swap"
    pay: FloatingLeg
    receive: FloatingLeg
    start: date
    maturity: date
    notional: float = field(default=1.0, kw_only=True)
    steps: NotionalSteps = field(default=(), kw_only=True, converter=_steps)
    clearing: str = field(default=CLEARING[0], kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for name in ("pay", "receive"):
            if not isinstance(getattr(self, name), FloatingLeg):
                problems.add("is no floating leg.", where=f"basis_swap {name}", fix="Give a FloatingLeg.")
        _check_life(problems, self)
        problems.raise_if_any()

    @property
    def kind(self) -> str:
        """Kind of product, which tells where the swap is margined: one of `kinds_at(clearing)`."""
        return fields.kind_at(self.base_kind, self.clearing, CLEARING)

    @property
    def symbol(self) -> str:
        """Readable name: rates, dates, and all that is not usual."""
        pay, receive = (f"{leg.index}{_signed(leg.spread)}" for leg in (self.pay, self.receive))
        said = [f"{side} {leg.text}" for side, leg in (("paid", self.pay), ("received", self.receive)) if _odd(leg)]
        return " ".join([f"basis pay {pay} receive {receive} {_life(self)}", *said, *_unusual(self)])


@frozen(cache_hash=True)
class ForwardRateAgreement:
    """A fixed rate against one fixing of a term rate, settled in advance: on `start`, discounted at the fixing.

    Parameters
    ----------
    side : str
        `pay` (the buyer) or `receive` the fixed rate.
    rate : float
        Decimal, simple.
    start, maturity : date
        Of the period of the rate; given as they are, not adjusted.
    notional : float
        USD for one unit of quantity.
    index, day_count : str
    fixing_days : int
    clearing : str
        As in `OvernightSwap`.

    Examples
    --------
    >>> ForwardRateAgreement("pay", 0.04, date(2026, 10, 1), date(2027, 1, 4)).symbol
    'TERM-SOFR-3M FRA pay 4 2026-10-01/2027-01-04'
    """

    base_kind: ClassVar[str] = "forward_rate_agreement"
    side: str
    rate: float
    start: date
    maturity: date
    notional: float = field(default=1.0, kw_only=True)
    index: str = field(default="TERM-SOFR-3M", kw_only=True)
    day_count: str = field(default="act/360", kw_only=True)
    fixing_days: int = field(default=USUAL_FIXING_DAYS, kw_only=True)
    clearing: str = field(default=CLEARING[0], kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        fields.is_one_of(problems, self.day_count, f"{self.base_kind} day_count", DAY_COUNTS)
        _check_rates(problems, self)
        _check_life(problems, self)
        problems.raise_if_any()

    @property
    def kind(self) -> str:
        """Kind of product, which tells where the swap is margined: one of `kinds_at(clearing)`."""
        return fields.kind_at(self.base_kind, self.clearing, CLEARING)

    @property
    def symbol(self) -> str:
        """Readable name: rates, dates, and all that is not usual."""
        return _symbol(f"{self.index} FRA", self)


ScheduledSwap: TypeAlias = OvernightSwap | InterestRateSwap | BasisSwap
Swap: TypeAlias = ScheduledSwap | ForwardRateAgreement
SwapLeg: TypeAlias = FixedLeg | FloatingLeg
RATE_SWAPS = (OvernightSwap, InterestRateSwap, BasisSwap, ForwardRateAgreement)


def legs_of_swap(swap: ScheduledSwap) -> tuple[tuple[float, SwapLeg], ...]:
    """Return the legs of a swap, each with +1 when the holder receives it and -1 when he pays it; fixed first.

    Examples
    --------
    >>> swap = OvernightSwap("pay", 0.04, date(2026, 7, 2), date(2031, 7, 2))
    >>> [(sign, type(leg).__name__) for sign, leg in legs_of_swap(swap)]
    [(-1.0, 'FixedLeg'), (1.0, 'FloatingLeg')]
    """
    if isinstance(swap, BasisSwap):
        return (-1.0, swap.pay), (1.0, swap.receive)
    sign = SIDES[swap.side]
    if isinstance(swap, OvernightSwap):
        floating = FloatingLeg(swap.index, swap.floating, swap.spread, overnight=True)
    else:
        floating = FloatingLeg(swap.index, swap.floating, swap.spread, fixing_days=swap.fixing_days)
    return (sign, FixedLeg(swap.rate, swap.fixed)), (-sign, floating)


def indices_of(swap: Swap) -> tuple[str, ...]:
    """Return the names of the reference rates that a swap pays."""
    return (swap.pay.index, swap.receive.index) if isinstance(swap, BasisSwap) else (swap.index,)


def notional_on(swap: Swap, day: date) -> float:
    """Return the USD that a period of one unit of the swap counts with when it rolls on `day`, unadjusted.

    Examples
    --------
    >>> steps = {date(2027, 7, 2): 5e5}
    >>> swap = OvernightSwap("pay", 0.04, date(2026, 7, 2), date(2028, 7, 2), notional=1e6, steps=steps)
    >>> [notional_on(swap, date(year, 7, 2)) for year in (2026, 2027)]
    [1000000.0, 500000.0]
    """
    steps = () if isinstance(swap, ForwardRateAgreement) else swap.steps
    return next((amount for since, amount in reversed(steps) if since <= day), swap.notional)


def _validate(swap: OvernightSwap | InterestRateSwap) -> None:
    problems = Problems()
    _check_rates(problems, swap)
    fields.is_rate(problems, swap.spread, f"{swap.base_kind} spread", negative=True)
    _check_convention(problems, swap.fixed, f"{swap.base_kind} fixed")
    _check_convention(problems, swap.floating, f"{swap.base_kind} floating")
    _check_life(problems, swap)
    problems.raise_if_any()


def _check_rates(problems: Problems, swap: OvernightSwap | InterestRateSwap | ForwardRateAgreement) -> None:
    fields.is_one_of(problems, swap.side, f"{swap.base_kind} side", SIDES)
    fields.is_rate(problems, swap.rate, f"{swap.base_kind} rate", negative=True)
    fields.is_text(problems, swap.index, f"{swap.base_kind} index")
    if not isinstance(swap, OvernightSwap):
        check_days(problems, swap.fixing_days, f"{swap.base_kind} fixing_days")


def _check_life(problems: Problems, swap: Swap) -> None:
    """Note wrong dates, notionals, steps and clearing, and a life too short for one period."""
    fields.is_one_of(problems, swap.clearing, f"{swap.base_kind} clearing", CLEARING)
    fields.is_positive(problems, swap.notional, f"{swap.base_kind} notional")
    if not isinstance(swap, ForwardRateAgreement):
        _check_steps(problems, swap.steps, f"{swap.base_kind} steps")
    kind = swap.base_kind
    known = [fields.is_date(problems, getattr(swap, name), f"{kind} {name}") for name in ("start", "maturity")]
    if all(known) and swap.maturity <= swap.start:
        fix = "Give a later maturity."
        problems.add(f"{swap.maturity} is not after the start, {swap.start}.", where=f"{kind} maturity", fix=fix)
    elif all(known) and not len(problems) and not isinstance(swap, ForwardRateAgreement):
        _check_schedules(problems, swap)


def _check_schedules(problems: Problems, swap: ScheduledSwap) -> None:
    for _, leg in legs_of_swap(swap):
        if leg.convention.roll == "month_end" and not is_month_end(swap.maturity):
            what = f"{swap.maturity} is no month end, at which the leg rolls."
            problems.add(what, where=f"{swap.base_kind} maturity", fix="Correct the date, or roll on the day.")
        if not schedule(leg.convention, swap.start, swap.maturity):
            what = f"{swap.start}/{swap.maturity} holds no business day."
            problems.add(what, where=f"{swap.base_kind} maturity", fix="Give a later maturity.")


def _check_steps(problems: Problems, steps: Any, where: str) -> None:
    fix = "Give pairs of a date and the USD from then on."
    if not isinstance(steps, tuple):
        problems.add(f"{steps!r} are no steps.", where=where, fix=fix)
        return
    days = []
    for number, step in enumerate(steps):
        at = f"{where}, step {number}"
        if not isinstance(step, tuple) or len(step) != 2:
            problems.add(f"{step!r} is no step.", where=at, fix=fix)
            continue
        if fields.is_number(problems, step[1], at) and step[1] < 0:
            problems.add(f"{step[1]!r} is negative.", where=at)
        if fields.is_date(problems, step[0], at):
            days.append(step[0])
    if any(later <= day for day, later in pairwise(days)):
        problems.add("dates do not increase.", where=where, fix="Sort them and drop duplicates.")


def _check_convention(problems: Problems, convention: object, where: str) -> None:
    if not isinstance(convention, Convention):
        problems.add(f"{convention!r} is no convention.", where=where, fix="Give a Convention.")


def _signed(spread: float) -> str:
    return f"{'+' if spread > 0 else ''}{fields.percent(spread)}" if spread else ""


def _life(swap: Swap) -> str:
    notional = "" if swap.notional == 1.0 else f" USD {fields.plain(swap.notional)}"
    return f"{swap.start.isoformat()}/{swap.maturity.isoformat()}{notional}"


def _symbol(prefix: str, swap: OvernightSwap | InterestRateSwap | ForwardRateAgreement) -> str:
    spread = 0.0 if isinstance(swap, ForwardRateAgreement) else swap.spread
    name, shown = prefix.rsplit(" ", 1)
    usual = f"{name}{_signed(spread)} {shown} {swap.side} {fields.percent(swap.rate)} {_life(swap)}"
    return " ".join([usual, *_unusual(swap)])


def _unusual(swap: Swap) -> list[str]:
    """Return what tells a swap from the usual one of its dates and rates."""
    usual = {name: attribute.default for name, attribute in fields_dict(type(swap)).items()}
    odd = {name: value for name in usual if (value := getattr(swap, name)) != usual[name]}
    legs = {name: odd[name].text for name in ("fixed", "floating") if name in odd}
    same = len(legs) == len({*legs.values()}) + 1
    said = [f"both {legs['fixed']}"] if same else [f"{name} {text}" for name, text in legs.items()]
    said += [str(odd["day_count"])] if "day_count" in odd else []
    said += [f"fixing{odd['fixing_days']}d"] if "fixing_days" in odd else []
    steps = [(day.isoformat(), float(usd)) for day, usd in odd.get("steps", ())]
    said += [f"{len(steps)} steps #{fields.digest(steps)}"] if steps else []
    return [*said, *([swap.clearing] if "clearing" in odd else [])]


def _odd(leg: FloatingLeg) -> bool:
    """Whether a leg is not the usual one of its index."""
    overnight = leg.index == USUAL_INDEX
    usual = Convention(3, "act/360", 2) if overnight else QUARTERLY
    return evolve(leg, spread=0.0) != FloatingLeg(leg.index, usual, overnight=overnight)
