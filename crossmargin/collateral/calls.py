"""Margin calls and returns that follow from balances: how much, by when, after threshold, minimum and rounding.

Call `margin_calls(report, cycle=...)`. Calls are per balance: what one pot returns never pays what another calls. Terms
and times are the takers', in the schedules' `.toml`. Nothing here chooses assets (`allocation`) or moves them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date
from typing import Literal

from attrs import frozen

from crossmargin.collateral.balance import Balance, CollateralReport
from crossmargin.collateral.schedules import Reads, Row, Schedules, Taker, collateral_rules
from crossmargin.errors import InputError, Problem, suggestion
from crossmargin.parameters import Rules
from crossmargin.posted import Place
from crossmargin.products.calendars import add_business_days, is_business_day, next_business_day
from crossmargin.results import Line, largest, scaled, smallest, total

_KEPT = ("minimum deposit", "requirement not known")
_CENT = 1e-6  # literal: of a rounding unit; less than this above a multiple is that multiple


@frozen
class Call:
    """One call or return in one place.

    `amount` is value after haircut, USD, never negative, as a line that explains itself. `due` and `time` (US Eastern)
    are when it is met; None and "" for a return, which is at the owner's request, and where no schedule is known.
    """

    place: Place
    kind: Literal["call", "return"]
    cycle: str
    amount: Line
    due: date | None = None
    time: str = ""
    positions: str = ""


@frozen(eq=False)
class _Terms:
    """What a taker's schedules say of calls in one cycle; nothing where no schedule is known."""

    threshold: Line
    minimum: tuple[float, Reads] = (0.0, ())
    rounding: tuple[float, Reads] = (0.0, ())
    row: Row | None = None


def margin_calls(
    report: CollateralReport, *, cycle: str = "end_of_day", rules: Iterable[Rules] = ()
) -> tuple[Call, ...]:
    """Return every call, and every return that the owner may ask for, in one cycle of the report's date.

    A balance whose taker does not run the cycle is left for the cycles that it does run.

    Parameters
    ----------
    report : CollateralReport
        Balances whose deficits are called and whose excess may be returned.
    cycle : str
        `end_of_day`, or `intraday` where the taker has one.
    rules : iterable of Rules, optional
        Overlaid rules, a credit support annex for example.

    Returns
    -------
    tuple of Call
        Amounts above 0 only. With a threshold, the requirement beyond it is what must be covered.

    Raises
    ------
    InputError
        No schedule has such a cycle.

    References
    ----------
    FICC's times: SR-FICC-2026-003, footnote 21; threshold and minimum transfer amount: 17 CFR 23.150 to 23.159.

    Examples
    --------
    >>> from crossmargin.collateral import balances
    >>> from crossmargin.results import Requirement
    >>> from crossmargin.samples import basis_trade
    >>> need = Requirement("p", "FIRM", "FICC", "clearing", "r", (), Line("r", 60.25), "FIRM", "PROPRIETARY")
    >>> [call] = margin_calls(balances([need], [], [], basis_trade()[1]))
    >>> call.amount.amount, str(call.due), call.time
    (61.0, '2026-07-01', '09:30')
    """
    schedules = Schedules(report.as_of, collateral_rules(rules))
    found, cycles = [], set()
    for balance in report.balances:
        taker = Taker(balance.schedules)
        rows = [row for row, _ in schedules.rows(taker, "call_cycles")]
        cycles |= {row["cycle"] for row in rows}
        row = next((row for row in rows if row["cycle"] == cycle), None)
        if row is not None or not rows:
            terms = _terms(taker, row, schedules)
            found += [_call(balance, terms, cycle, report.as_of), _return(balance, terms, cycle)]
    if cycles and cycle not in cycles:
        raise InputError([Problem(f"unknown cycle {cycle!r}.", "margin_calls", suggestion(cycle, cycles))])
    return tuple(call for call in found if call.amount.value > 0.0)


def _terms(taker: Taker, row: Row | None, schedules: Schedules) -> _Terms:
    threshold, reads = schedules.smallest(taker, "threshold")
    return _Terms(
        threshold=Line("less threshold", -threshold, reads=reads),
        minimum=schedules.smallest(taker, "minimum_transfer"),
        rounding=schedules.largest(taker, "call_rounding"),
        row=row,
    )


def _due(balance: Balance, terms: _Terms) -> Line:
    """Return what must be covered: the requirement beyond the threshold, USD."""
    if not terms.threshold.value:
        return balance.required
    beyond = total("requirement less threshold", (balance.required, terms.threshold))
    return largest("requirement beyond the threshold", (beyond, Line("nothing", 0.0)))


def _call(balance: Balance, terms: _Terms, cycle: str, as_of: date) -> Call:
    due = _due(balance, terms)
    covered = smallest("covered", (due, balance.covered))
    short = total("short of what is due", (due, scaled("less covered", -1.0, covered)))
    amount = _transferred("call", short, terms, up=True)
    if terms.row is None:
        return Call(balance.place, "call", cycle, amount)
    day = add_business_days(as_of, terms.row["days"]) if terms.row["days"] else _open_day(as_of)
    return Call(balance.place, "call", cycle, amount, day, terms.row["time"], terms.row["positions"])


def _open_day(as_of: date) -> date:
    return as_of if is_business_day(as_of) else next_business_day(as_of)


def _return(balance: Balance, terms: _Terms, cycle: str) -> Call:
    """Return what goes back on request: value beyond what is due, less what must stay whatever the walls."""
    covered = smallest("covered", (_due(balance, terms), balance.covered))
    kept = largest("must stay", [part for part in balance.locked.parts if part.name in _KEPT] or [Line("nothing", 0.0)])
    less = [scaled("less covered", -1.0, covered), scaled("less what must stay", -1.0, kept)]
    spare = total("beyond what is due", (balance.lendable, *less))
    amount = _transferred("return", spare, terms, up=False)
    return Call(balance.place, "return", cycle, amount)


def _transferred(name: str, raw: Line, terms: _Terms, *, up: bool) -> Line:
    """Return an amount rounded, or nothing when it is below the minimum transfer amount."""
    (minimum, asked), (unit, rounded) = terms.minimum, terms.rounding
    if raw.value <= 0.0:
        return largest(name, (raw, Line("nothing", 0.0)))
    if raw.value < minimum:
        return scaled(name, 0.0, raw, reads=asked, note=f"below the minimum transfer amount of {minimum:,.0f}")
    change = _rounded(raw.value, unit, up=up) - raw.value if unit else 0.0
    return total(name, (raw, Line("rounding", change)), reads=(*asked, *rounded))


def _rounded(amount: float, unit: float, *, up: bool) -> float:
    steps = amount / unit
    return unit * (math.ceil(steps - _CENT) if up else math.floor(steps + _CENT))
