"""FINRA's intraday margin standard: a day's events, the deficit they leave, its life and what it restricts.

Call `intraday_deficit` on a `TradingDay`; `is_de_minimis`, `is_outstanding` and `restriction` say what follows from
it. `check_standard` tells on which dates this standard or pattern day trading, which it replaced, may be applied; the
older rule is here as `is_pattern_day_trader`, `pattern_equity_shortfall` and `day_trading_buying_power`.
Prices do not move within the day, a member's choice of one calculation at the day's end is not modelled, and whether
late cures are a practice remains the firm's judgement. Good-faith and portfolio-margin accounts are outside the rule.
A portfolio holds no events of a day, so as the rule-set of a pool this one shows every position as not modelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta

from attrs import field, frozen

from crossmargin.errors import InputError, NotInForce, Problem, Problems, suggestion
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.products.calendars import add_business_days
from crossmargin.records import as_tuple
from crossmargin.results import Line, largest, scaled, smallest, total
from crossmargin.scenarios import ScenarioSpec

STANDARDS = ("intraday_margin", "pattern_day_trading")
TRADES = ("increase", "decrease")
TRANSFERS = ("withdrawal", "deposit")
_LOWERING = ("increase", "withdrawal")
_SAME = 1e-12  # literal: relative difference below which a deficit counts as being at its limit

AddBusinessDays = Callable[[date, int], date]


@frozen
class Event:
    """One thing that changes the intraday margin level.

    Parameters
    ----------
    kind : str
        `increase` or `decrease` of positions, `withdrawal` or `deposit` of money.
    amount : float
        Market value traded or money moved, USD, without a sign.
    maintenance_rate : float or None
        Maintenance requirement per USD of the market value traded; None for money.
    """

    kind: str
    amount: float
    maintenance_rate: float | None = None

    @property
    def effect(self) -> float:
        """What the event adds to the level, USD, negative when it lowers it."""
        weight = 1.0 if self.maintenance_rate is None else self.maintenance_rate
        return -weight * self.amount if self.kind in _LOWERING else weight * self.amount


@frozen
class TradingDay:
    """A margin account at the start of a day, and the day's events in the order in which they happened.

    Parameters
    ----------
    equity, maintenance_requirement : float
        At the start, USD. Their difference is the intraday margin level: what may be withdrawn, or is lacking.
    events : iterable of Event
    sequence_known : bool
        Whether the order of `events` is known. If not, those that lower the level are taken first.

    Raises
    ------
    InputError
        Every amount and rate that is not a finite number of at least zero, unknown kind, rate missing or out of place.
    """

    equity: float
    maintenance_requirement: float
    events: tuple[Event, ...] = field(default=(), converter=as_tuple)
    sequence_known: bool = True

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for name, amount in (("equity", self.equity), ("maintenance_requirement", self.maintenance_requirement)):
            if not math.isfinite(amount):
                problems.add(f"{amount} is no amount.", where=name, fix="Give a finite number of USD.")
        for number, event in enumerate(self.events):
            _check_event(event, f"events[{number}]", problems)
        problems.raise_if_any("The day cannot be margined")


@frozen
class Deficit:
    """An intraday margin deficit, USD > 0, with the account's equity and the level at the end of its day."""

    day: date
    amount: float
    equity: float
    closing_level: float = 0.0

    def __attrs_post_init__(self) -> None:
        _check_finite(amount=self.amount, equity=self.equity, closing_level=self.closing_level)
        if self.amount <= 0:
            raise InputError([Problem(f"{self.amount} is no deficit.", "amount", "Give USD above 0.")])


@frozen
class DayEnd:
    """A later day: the money deposited on it and the intraday margin level at its end, USD."""

    day: date
    deposits: float = 0.0
    level: float = 0.0


@frozen
class Restriction:
    """Days on which an account may not add short positions or debit: `start` included, `end` excluded."""

    start: date
    end: date

    def covers(self, day: date) -> bool:
        """Whether the account is restricted on `day`."""
        return self.start <= day < self.end


# ----------------------------------------------------------------------------------------------------- the deficit


def intraday_levels(day: TradingDay) -> tuple[Line, ...]:
    """Return the intraday margin level at the start and after each event in the order taken, USD, of length 1 + events.

    Where the sequence is unknown, events that lower the level come first, each class in the order listed: no other
    order reaches a lower level.

    Examples
    --------
    >>> day = TradingDay(20000.0, 15000.0, [Event("deposit", 100.0), Event("increase", 30000.0, 0.25)], False)
    >>> [level.value for level in intraday_levels(day)]
    [5000.0, -2500.0, -2400.0]
    """
    required = scaled("less requirement", -1.0, Line("maintenance requirement", day.maintenance_requirement))
    levels = [total("level at the start", [Line("equity", day.equity), required])]
    for number, event in enumerate(_in_order(day), 1):
        before = Line("level before", levels[-1].value)
        levels.append(total(f"level after event {number}, {event.kind}", [before, _effect(event)]))
    return tuple(levels)


def intraday_deficit(day: TradingDay, *, after_lowering_only: bool = False) -> Line:
    """Return the intraday margin deficit of a day: its largest shortfall, if any event lowered the level, USD.

    A recovery on the same day does not undo it. A day without an event that lowers the level has none, however low
    the level is: that is a matter of ordinary maintenance.

    Parameters
    ----------
    after_lowering_only : bool
        Look only at the levels that an event left which lowered them. The text asks for *not less than* that figure;
        the default looks at every level of the day, which never gives less.

    References
    ----------
    FINRA Rule 4210(a)(17) to (19) and (d)(2)(B), by Regulatory Notice 26-10; from quotations, the text was not read.

    Examples
    --------
    >>> day = TradingDay(20000.0, 15000.0, [Event("increase", 30000.0, 0.25), Event("decrease", 30000.0, 0.25)])
    >>> intraday_deficit(day).value
    2500.0
    """
    levels = intraday_levels(day)
    lowered = [level for event, level in zip(_in_order(day), levels[1:], strict=True) if event.effect < 0]
    if not lowered:
        return Line("intraday margin deficit", 0.0, note="no event of the day lowers the level")
    shortfall = scaled("shortfall", -1.0, smallest("lowest level", lowered if after_lowering_only else levels))
    return largest("intraday margin deficit", [shortfall, Line("nothing", 0.0)])


def de_minimis_threshold(equity: float, p: Reader) -> Line:
    """Return the amount up to which a deficit is de minimis, USD: a share of the equity, but not above an amount."""
    _check_finite(equity=equity)
    share = scaled("share of equity", p.de_minimis_equity_share, Line("equity", equity))
    amount = Line("amount", p.de_minimis_amount)
    return smallest("de minimis threshold", [share, amount], reads=p.taken())


def is_de_minimis(deficit: float, equity: float, p: Reader) -> bool:
    """Return whether a deficit, USD, is de minimis; at the threshold it still is.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> p = rules("intraday_margin").at(date(2026, 7, 1))
    >>> is_de_minimis(750.0, 15000.0, p), is_de_minimis(750.01, 15000.0, p), is_de_minimis(1000.0, 1e6, p)
    (True, False, True)
    """
    _check_finite(deficit=deficit)
    threshold = de_minimis_threshold(equity, p).value
    return deficit <= threshold or math.isclose(deficit, threshold, rel_tol=_SAME)


# --------------------------------------------------------------------------------------------- its life and effects


def satisfied_on(deficit: Deficit, later: Iterable[DayEnd]) -> date | None:
    """Return the first day at whose end the deficit is satisfied, or None.

    Deposits since then satisfy it, or a rise of the level from the end of its day to the end of a later day; the two
    are not added, since a deposit raises the level too.
    """
    deposits: list[float] = []
    for end in sorted(later, key=lambda each: each.day):
        if end.day <= deficit.day:
            raise InputError([Problem(f"{end.day} is not after the deficit of {deficit.day}.", "later days")])
        _check_finite(deposits=end.deposits, level=end.level)
        deposits.append(end.deposits)
        if max(math.fsum(deposits), end.level - deficit.closing_level) >= deficit.amount:
            return end.day
    return None


def due_on(deficit: Deficit, p: Reader, *, add: AddBusinessDays = add_business_days) -> date:
    """Return the business day by whose close the deficit must be satisfied, lest it be late.

    Parameters
    ----------
    add : callable
        From a day and a count to the business day that many later; by default days of the US government-bond market,
        on which Columbus Day and Veterans Day do not count although stocks trade.
    """
    return add(deficit.day, p.cure_business_days)


def lapses_on(deficit: Deficit, p: Reader, *, add: AddBusinessDays = add_business_days) -> date:
    """Return the business day after whose close the deficit is no longer outstanding, satisfied or not."""
    return add(deficit.day, p.life_business_days)


def is_outstanding(
    deficit: Deficit,
    on: date,
    p: Reader,
    *,
    satisfied: date | None = None,
    add: AddBusinessDays = add_business_days,
) -> bool:
    """Return whether the deficit stands at the close of `on`: from its day until it is satisfied or has lapsed."""
    cured = satisfied is not None and satisfied <= on
    return deficit.day <= on <= lapses_on(deficit, p, add=add) and not cured


def counts_towards_practice(
    deficit: Deficit, p: Reader, *, satisfied: date | None, add: AddBusinessDays = add_business_days
) -> bool:
    """Return whether a deficit is one of those that may make a practice of late cures: late, and not de minimis."""
    late = satisfied is None or satisfied > due_on(deficit, p, add=add)
    return late and not is_de_minimis(deficit.amount, deficit.equity, p)


def restriction(
    deficit: Deficit,
    p: Reader,
    *,
    practice: bool,
    satisfied: date | None = None,
    add: AddBusinessDays = add_business_days,
) -> Restriction | None:
    """Return the days on which a deficit restricts the account, or None.

    It does so from the day after the one on which it was due, if it was not satisfied by then and the customer makes
    a practice of it, for a number of calendar days or until the day on which it is satisfied. That the deficit lapses
    meanwhile does not lift the restriction.

    Parameters
    ----------
    practice : bool
        Whether the firm finds a practice of late cures; see `counts_towards_practice`.
    satisfied : date or None
        Day on which the deficit was satisfied, None while it is not.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> p = rules("intraday_margin").at(date(2026, 7, 1))
    >>> found = restriction(Deficit(date(2026, 7, 6), 2500.0, 20000.0), p, practice=True)
    >>> found.start.isoformat(), found.end.isoformat()
    ('2026-07-14', '2026-10-12')
    """
    due = due_on(deficit, p, add=add)
    if not practice or (satisfied is not None and satisfied <= due):
        return None
    start = due + timedelta(days=1)
    end = start + timedelta(days=p.restriction_days)
    return Restriction(start, end if satisfied is None else min(end, satisfied))


# ----------------------------------------------------------------------------------------- the rule that it replaced


@frozen
class DayTrades:
    """How many day trades an account made on a day, and how many trades in all."""

    day: date
    day_trades: int
    trades: int

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.day_trades <= self.trades:
            what = f"{self.day_trades} day trades of {self.trades} trades."
            raise InputError([Problem(what, f"day trades of {self.day}", "Give 0 or more, and no more than trades.")])


def check_standard(standard: str, p: Reader) -> None:
    """Raise unless a member may apply `standard` on the reader's date; in the phase-in both may be.

    Raises
    ------
    InputError
        No such standard.
    NotInForce
        It is not yet, or no longer, in force.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> check_standard("pattern_day_trading", rules("intraday_margin").at(date(2026, 7, 1)))
    """
    if standard not in STANDARDS:
        raise InputError([Problem(f"unknown standard {standard!r}.", "standard", suggestion(standard, STANDARDS))])
    if standard not in p.standards:
        message = f"{standard!r} is not in force on the date asked; in force then: {', '.join(p.standards)}."
        raise NotInForce(message)


def is_pattern_day_trader(days: Sequence[DayTrades], on: date, p: Reader) -> bool:
    """Return whether the business days up to `on` make a pattern day trader, under the older rule.

    They do when the window holds at least so many day trades, and these are more than a share of all its trades.

    References
    ----------
    FINRA Rule 4210(f)(8)(B)(ii).
    """
    first = add_business_days(add_business_days(on, 1), -p.pattern_window_days)
    window = [day for day in days if first <= day.day <= on]
    made = sum(day.day_trades for day in window)
    trades = sum(day.trades for day in window)
    return bool(made >= p.pattern_day_trades and made > p.pattern_trade_share * trades)


def pattern_equity_shortfall(equity: float, p: Reader) -> Line:
    """Return what a pattern day trader lacks of the minimum equity before day trading, USD, never negative."""
    _check_finite(equity=equity)
    parts = [Line("minimum equity", p.pattern_minimum_equity), scaled("less equity", -1.0, Line("equity", equity))]
    difference = total("difference", parts, reads=p.taken())
    return largest("shortfall of minimum equity", [difference, Line("nothing", 0.0)])


def day_trading_buying_power(maintenance_excess: float, p: Reader, *, call_unmet: bool = False) -> Line:
    """Return the day-trading buying power in equity securities under the older rule, USD, never negative.

    Parameters
    ----------
    maintenance_excess : float
        Equity above maintenance at the close of the business day before, USD.
    call_unmet : bool
        Whether a day-trading call is open, which lowers the multiple.

    References
    ----------
    FINRA Rule 4210(f)(8)(B), as brokers state it.
    """
    _check_finite(maintenance_excess=maintenance_excess)
    excess = largest("excess", [Line("maintenance excess", maintenance_excess), Line("nothing", 0.0)])
    multiple = p.day_trading_multiple_under_call if call_unmet else p.day_trading_multiple
    return scaled("day-trading buying power", multiple, excess, reads=p.taken())


def cash_only(call_day: date, p: Reader, *, met: date | None = None) -> Restriction | None:
    """Return the days on which an unmet day-trading call leaves cash-available trading only, or None."""
    due = add_business_days(call_day, p.day_trading_call_days)
    if met is not None and met <= due:
        return None
    start = due + timedelta(days=1)
    end = start + timedelta(days=p.cash_only_days)
    return Restriction(start, end if met is None else min(end, met))


# ---------------------------------------------------------------------------------------------- as a pool's rule-set


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: the rule looks at the day's events."""
    return ()


def requirement(pool: Pool, _inputs: Inputs, _p: Reader) -> Line:
    """Return the pool's positions, each as not modelled: the standard looks at events, which a portfolio does not hold.

    Give `intraday_deficit` a `TradingDay`; its starting requirement is the maintenance of `finra_strategy`.
    """
    why = "needs the day's transactions in order: give intraday_deficit a TradingDay"
    return total("intraday_margin requirement", unmodelled(pool.positions, why))


# ------------------------------------------------------------------------------------------------------------ pieces


def _in_order(day: TradingDay) -> list[Event]:
    events = list(day.events)
    return events if day.sequence_known else sorted(events, key=lambda event: event.kind not in _LOWERING)


def _effect(event: Event) -> Line:
    amount = Line("amount", event.amount)
    if event.maintenance_rate is None:
        return scaled("change of equity", -1.0 if event.kind in _LOWERING else 1.0, amount)
    rate = -event.maintenance_rate if event.kind in _LOWERING else event.maintenance_rate
    return scaled("change of requirement, sign turned", rate, amount)


def _check_event(event: Event, where: str, problems: Problems) -> None:
    kinds = (*TRADES, *TRANSFERS)
    if event.kind not in kinds:
        problems.add(f"unknown kind {event.kind!r}.", where=where, fix=suggestion(str(event.kind), kinds))
    rate = event.maintenance_rate
    if event.kind in TRADES and rate is None:
        problems.add("maintenance_rate is missing.", where=where, fix="Give requirement per USD traded, as 0.25.")
    if event.kind in TRANSFERS and rate is not None:
        problems.add(f"maintenance_rate {rate} on money.", where=where, fix="Leave it out: money has no rate.")
    for name, number in (("amount", event.amount), ("maintenance_rate", rate)):
        if number is not None and not (math.isfinite(number) and number >= 0):
            problems.add(f"{name} is {number}.", where=where, fix="Give a finite number, 0 or more.")


def _check_finite(**amounts: float) -> None:
    problems = Problems()
    for name, amount in amounts.items():
        if not math.isfinite(amount):
            problems.add(f"{amount} is no amount.", where=name, fix="Give a finite number of USD.")
    problems.raise_if_any()
