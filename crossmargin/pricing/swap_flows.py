"""What interest-rate swaps pay, as flows that one or two curves decide. No scenario is known here.

Call `flows_of_swaps`. A *plain* flow is an amount on a date. A *ratio* is an amount that grows by P(start) / P(end) of
a projection curve P before it is paid. An overnight or term rate that is read off the discount curve and paid at the
end of its period telescopes: what is left of it are plain flows at both ends. `swaps` values them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NoReturn, TypeAlias

from attrs import field, frozen

from crossmargin.errors import InputError, Problem, Problems, counted
from crossmargin.pricing.legs import MONEY_MARKET_YEAR
from crossmargin.products.calendars import add_business_days, is_business_day, next_business_day, previous_business_day
from crossmargin.products.schedules import Period, schedule, year_fraction
from crossmargin.products.swaps import (
    SIDES,
    BasisSwap,
    FixedLeg,
    FloatingLeg,
    ForwardRateAgreement,
    ScheduledSwap,
    Swap,
    legs_of_swap,
    notional_on,
)
from crossmargin.swap_market import Fixings

Plain: TypeAlias = tuple[date]
Ratio: TypeAlias = tuple[date, date, date, str]  # paid, grows by the factor of one day, over that of another, curve
Key: TypeAlias = Plain | Ratio


@frozen
class Flows:
    """Amounts of one swap: `fixed` as they are, `rate` per unit of its fixed rate (the spread received, of a basis)."""

    fixed: dict[Key, list[float]] = field(factory=dict)
    rate: dict[Key, list[float]] = field(factory=dict)

    def at(self, rate: float) -> dict[Key, list[float]]:
        """Return what the swap pays at a fixed rate."""
        merged = {key: list(amounts) for key, amounts in self.fixed.items()}
        for key, amounts in self.rate.items():
            merged.setdefault(key, []).extend(rate * amount for amount in amounts)
        return merged


@frozen
class _Payment:
    """One payment of a leg: its notional `usd` is received > 0."""

    swap: ScheduledSwap
    leg: FixedLeg | FloatingLeg
    period: Period
    usd: float


@frozen
class Setting:
    """What turns a swap into flows: the day, the fixings so far, the indices with a curve of their own."""

    as_of: date
    fixings: Fixings
    curves: tuple[str, ...]


def flows_of_swaps(swaps: Iterable[Swap], setting: Setting) -> list[Flows]:
    """Return the flows of one unit of each swap; raise `InputError` with all that cannot be valued, at once."""
    problems = Problems()
    rows = []
    for swap in swaps:
        with problems.collecting():
            rows.append(_flows(swap, setting))
    problems.raise_if_any(f"cannot value swaps on {setting.as_of}")
    return rows


def own_rate(swap: Swap) -> float:
    """Return the rate that `Flows.at` takes: fixed, or the spread received."""
    return swap.receive.spread if isinstance(swap, BasisSwap) else swap.rate


def _flows(swap: Swap, setting: Setting) -> Flows:
    """Return what one unit of a swap pays after today."""
    flows = Flows()
    if isinstance(swap, ForwardRateAgreement):
        _add_forward(flows, swap, setting)
    else:
        for sign, leg in legs_of_swap(swap):
            for period in schedule(leg.convention, swap.start, swap.maturity):
                if period.payment > setting.as_of:
                    _add_payment(flows, _Payment(swap, leg, period, sign * notional_on(swap, period.rolls)), setting)
    if not flows.rate:
        _refuse(swap, f"nothing is paid after {setting.as_of}", fix="Drop the position, or correct its dates.")
    return flows


def _add_payment(flows: Flows, payment: _Payment, setting: Setting) -> None:
    leg, period, usd = payment.leg, payment.period, payment.usd
    paid = (period.payment,)
    if isinstance(leg, FixedLeg):
        _add(flows.rate, paid, usd * period.fraction)
        return
    if isinstance(payment.swap, BasisSwap) and usd >= 0.0:
        _add(flows.rate, paid, usd * period.fraction)
    else:
        _add(flows.fixed, paid, usd * period.fraction * leg.spread)
    growth, since = (_overnight_growth if leg.overnight else _term_growth)(payment, leg, setting)
    to_come = since < period.end
    key = _ratio(period.payment, since, period.end, curve=_curve(leg.index, setting)) if to_come else paid
    _add(flows.fixed, key, usd * growth)
    _add(flows.fixed, paid, -usd)


def _overnight_growth(payment: _Payment, leg: FloatingLeg, setting: Setting) -> tuple[float, date]:
    """Return what 1 USD has grown to by the overnight fixings of a period so far, and the day up to which they reach.

    References
    ----------
    2021 ISDA Interest Rate Derivatives Definitions, OIS compounding: the product over business days of 1 + rate x days
    / 360.
    """
    fixed = setting.fixings.get(leg.index, {})
    since, end = payment.period.start, payment.period.end
    growth, missing = 1.0, []
    day = since if is_business_day(since) else previous_business_day(since)
    while since < end and (day < setting.as_of or (day == setting.as_of and day in fixed)):
        following = next_business_day(day)
        until = min(following, end)
        if day in fixed:
            growth *= 1.0 + fixed[day] * (until - since).days / MONEY_MARKET_YEAR
        else:
            missing.append(day)
        since, day = until, following
    if missing:
        _refuse_unfixed(payment.swap, leg.index, missing)
    return growth, since


def _term_growth(payment: _Payment, leg: FloatingLeg, setting: Setting) -> tuple[float, date]:
    """Return 1 plus the interest of a period and its end when its rate is fixed, else 1 and its start."""
    period = payment.period
    rate = _term_fixing(payment.swap, leg.index, add_business_days(period.start, -leg.fixing_days), setting)
    return (1.0, period.start) if rate is None else (1.0 + rate * period.fraction, period.end)


def _term_fixing(swap: Swap, index: str, day: date, setting: Setting) -> float | None:
    fixed = setting.fixings.get(index, {})
    if day < setting.as_of and day not in fixed:
        _refuse_unfixed(swap, index, [day])
    return fixed.get(day) if day <= setting.as_of else None


def _add_forward(flows: Flows, fra: ForwardRateAgreement, setting: Setting) -> None:
    """Add the settlement of a forward rate agreement: (rate - fixed) x time, discounted by the rate itself.

    References
    ----------
    2006 ISDA Definitions, section 8.4(b), FRA discounting.
    """
    if fra.start <= setting.as_of:
        return
    usd = -SIDES[fra.side] * fra.notional
    fraction = year_fraction(fra.start, fra.maturity, fra.day_count)
    rate = _term_fixing(fra, fra.index, add_business_days(fra.start, -fra.fixing_days), setting)
    _add(flows.fixed, (fra.start,), usd)
    if rate is None:
        key, shrunk = _ratio(fra.start, fra.maturity, fra.start, curve=_curve(fra.index, setting)), usd
    else:
        key, shrunk = (fra.start,), usd / (1.0 + rate * fraction)
    _add(flows.fixed, key, -shrunk)
    _add(flows.rate, key, -shrunk * fraction)


def _ratio(paid: date, up: date, down: date, *, curve: str) -> Key:
    """Return the key of DF(paid) P(up) / P(down); a plain flow where the discount curve projects and two cancel."""
    return (up,) if not curve and paid == down else (paid, up, down, curve)


def _curve(index: str, setting: Setting) -> str:
    return index if index in setting.curves else ""


def _add(flows: dict[Key, list[float]], key: Key, amount: float) -> None:
    flows.setdefault(key, []).append(amount)


def _refuse(swap: Swap, what: str, *, fix: str) -> NoReturn:
    raise InputError([Problem(what, swap.symbol, fix)])


def _refuse_unfixed(swap: Swap, index: str, missing: Sequence[date]) -> NoReturn:
    what = f"{index} has no fixing on {counted(len(missing), 'day')} of a running period, the first {missing[0]}."
    _refuse(swap, what, fix=f"Give fixings={{{index!r}: {{date: rate}}}}.")
