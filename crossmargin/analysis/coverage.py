"""How the requirements of regimes did on past days: coverage, clusters of exceptions, procyclicality and cost.

Call `coverage(book, history, regimes, days)`: it margins a book on every day under every regime and hands the figures
of each owner to `backtest`. For one rule-set and one pool `margin_series` is quicker. Nothing here sees a later day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from math import fsum, isfinite, nan
from typing import Any, TypeAlias

import numpy as np
from attrs import evolve, frozen

from crossmargin.analysis.backtest import (
    ClusterTest,
    CoverageTest,
    Procyclicality,
    TrafficLight,
    christoffersen,
    exceptions,
    kupiec,
    procyclicality,
    traffic_light,
)
from crossmargin.analysis.margin_series import Gap, MarketHistory
from crossmargin.errors import (
    CrossMarginError,
    InputError,
    NotInForce,
    Problem,
    Problems,
    check_kinds,
    counted,
    is_count,
    listed,
)
from crossmargin.margin import compare
from crossmargin.market import Market
from crossmargin.parameters import Rules
from crossmargin.pnl import can_revalue, revalue
from crossmargin.portfolio import Portfolio, Position
from crossmargin.regimes import Regime
from crossmargin.registry import rulebook
from crossmargin.results import Report
from crossmargin.spot_scenarios import has_history
from crossmargin.underlyings import Underlying, securities_held

Held: TypeAlias = Portfolio | tuple[Portfolio, Mapping[str, Underlying]]
"""What is held on a day, with what its options are priced from that day, by symbol, where it holds any."""
PastBook: TypeAlias = Portfolio | Callable[[Market], Held]
"""What is held: the same on all days, or told from the market of each."""


@frozen
class Coverage:
    """How the requirement of one owner at one firm did under a regime, on days whose changes do not overlap.

    `uncovered` is the largest loss beyond the requirement, USD; `cost` the mean requirement over that of the first
    regime. None where too few days, or a day without requirement, say nothing.
    """

    regime: str
    owner: str
    firm: str
    days: int
    exceptions: int
    uncovered: float
    coverage: CoverageTest
    clusters: ClusterTest
    zone: TrafficLight
    procyclicality: Procyclicality | None
    cost: float | None


def coverage(
    book: PastBook,
    history: MarketHistory,
    regimes: Iterable[Regime],
    days: Iterable[date],
    *,
    rules: Iterable[Rules] = (),
    calibration: date | None = None,
    confidence: float = 0.99,
    horizon_days: int | None = None,
) -> tuple[tuple[Coverage, ...], tuple[Gap, ...], tuple[str, ...]]:
    """Return how each owner's requirement at each firm did on past days, the days without figures, and notes.

    Parameters
    ----------
    book : Portfolio, or callable from Market to Portfolio or to (Portfolio, underlyings)
        What is held: the same on all days, or told from the market of each. The underlyings of options, as in `Market`,
        are those of the day too: `(portfolio, {"SPX": Underlying("SPX", 0.2, market.prices["SPX"])})`.
    history : MarketHistory
        No day sees a later one.
    days : iterable of date
        Sorted, doubles dropped.
    calibration : date, optional
        The rules' values and conditions of this date are used on every day: a study of regimes, not of what was asked
        at the time. Otherwise a programme does nothing on days before it began.
    confidence : float
        The share of days that the regimes are tested to cover.
    horizon_days : int, optional
        Rows of history over which profit and loss is taken, the same for all regimes; the longest horizon of their
        rules unless given.

    Raises
    ------
    InputError
        A confidence or horizon out of range.

    Notes
    -----
    Clearing level. The change of the market comes at once, without ageing, carry or funding. Firms and owners do not
    cover one another. Tests take days whose changes do not overlap: the first, and then each that is `horizon_days`
    rows or more after the last taken; procyclicality is that of the same days, from one to the next.
    """
    check_history(history)
    _check_coverage(confidence, horizon_days)
    chosen, known_rules = tuple(regimes), rulebook(rules).values()
    overlaid = tuple(each if calibration is None else held_at(each, calibration) for each in known_rules)
    known, missing = {}, []
    for day in sorted(set(days)):
        try:
            known[day] = _on_day(book, history, day, chosen, rules=overlaid, horizon_days=horizon_days)
        except CrossMarginError as error:
            missing.append(Gap(day, str(error)))
    series = tuple(known.values())
    found = covered(series, confidence, first=chosen[0].name)
    left = sorted({text for each in series for text in each.left_out})
    said = [f"profit and loss leaves out {listed(left)}"] if left else []
    hypothetical = f"the rules of {calibration} on every day: a study, hypothetical on past days"
    return found, tuple(missing), (*said, *([hypothetical] if calibration else []))


@frozen
class Observed:
    """What each (regime, owner, firm) was asked for on a day (NaN: all of it unknown), and what came of it, USD."""

    row: int
    horizon_days: int
    asked: Mapping[tuple[str, str, str], float]
    gained: Mapping[tuple[str, str, str], float]
    left_out: frozenset[str]


def _on_day(
    book: PastBook,
    history: MarketHistory,
    day: date,
    regimes: tuple[Regime, ...],
    *,
    rules: tuple[Rules, ...],
    horizon_days: int | None,
) -> Observed:
    portfolio, market = held_on(book, history.market(day))
    compared = compare(portfolio, market, regimes, rules=rules)
    horizon = horizon_days or max((horizons_read(each, portfolio)[-1] for each in compared.reports), default=1)
    gained, left_out = gains(portfolio.positions, market, history, horizon)
    asked: dict[tuple[str, str, str], list[float | None]] = {}
    held: dict[tuple[str, str, str], dict[str, None]] = {}
    for report in compared.reports:
        for each in (each for each in report.entries if each.level == "clearing"):
            asked.setdefault((report.regime, each.owner, each.firm), []).append(each.line.amount)
        for each in (each for each in report.requirements if each.level == "clearing"):
            held.setdefault((report.regime, each.owner, each.firm), {}).update(dict.fromkeys(each.positions))
    totals = {unit: known_sum(amounts) for unit, amounts in asked.items()}
    came = {unit: fsum(gained.get(id, 0.0) for id in ids) for unit, ids in held.items()}
    row = history.yields.row_at(day)
    return Observed(-1 if row is None else row, horizon, asked=totals, gained=came, left_out=left_out)


def held_on(book: PastBook, market: Market) -> tuple[Portfolio, Market]:
    """Return what a book holds on the day of a market, and that market with the underlyings that the book brings.

    Raises
    ------
    InputError
        The book told something else.
    """
    told: Any = book(market) if callable(book) else book
    portfolio, underlyings = told if isinstance(told, tuple) and len(told) == 2 else (told, {})
    check_kinds(
        book=(portfolio, Portfolio, "Give a Portfolio, or a function of the market that returns one."),
        underlyings=(underlyings, Mapping, "Return (portfolio, {symbol: Underlying(...)})."),
    )
    return portfolio, evolve(market, underlyings={**market.underlyings, **underlyings}) if underlyings else market


def check_history(history: object) -> None:
    """Raise what is no history of markets; a history of yields alone is a part of one."""
    check_kinds(history=(history, MarketHistory, "Give MarketHistory(yields, prices)."))


def known_sum(amounts: Iterable[float | None]) -> float:
    """Return the sum of what is known, NaN where nothing is."""
    known = [amount for amount in amounts if amount is not None]
    return fsum(known) if known else nan


def not_overlapping(days: Iterable[Observed]) -> list[int]:
    """Return which of the days to take so that their changes do not overlap."""
    taken: list[int] = []
    free = -1
    for number, each in enumerate(days):
        if each.row >= free:
            taken.append(number)
            free = each.row + each.horizon_days
    return taken


def horizons_read(report: Report, portfolio: Portfolio) -> tuple[int, ...]:
    """Return the horizons over which figures of a report were reckoned, business days, rising; 1 where none says.

    Of a table by kind of product the longest of the kinds held counts.
    """
    kinds = {product.kind for product in portfolio.products}
    found = {int(read.value) for read in report.reads() if read.name == "horizon_days"}
    for table in (read.value for read in report.reads() if read.name == "horizons"):
        found |= {max((int(row["days"]) for row in table if kinds & set(row["kinds"])), default=1)}
    return tuple(sorted(found)) or (1,)


def gains(
    positions: Iterable[Position], market: Market, history: MarketHistory, horizon_days: int
) -> tuple[dict[str, float], frozenset[str]]:
    """Return what each position gained over the next rows of the history, USD, and the products without a figure.

    Raises
    ------
    InputError
        The history does not say what the market did.
    """
    held = tuple(positions)
    products = [position.product for position in held]
    securities = securities_held(products, market.underlyings)
    moved = {name: each for name, each in securities.items() if has_history(name, each, market.price_history)}
    change = history.change(market.as_of, horizon_days, moved)
    if change is None:
        fix = "Leave out the last days."
        raise InputError(
            [Problem(f"no row {counted(horizon_days, 'business day')} later.", f"history after {market.as_of}", fix)]
        )
    known = [product for product in dict.fromkeys(products) if can_revalue(product, market, change)]
    pnl = revalue(known, market, change)
    found = {each.id: each.quantity * float(pnl.row(each.product)[0]) for each in held if each.product in pnl}
    return found, frozenset(each.product.symbol for each in held if each.product not in pnl)


def covered(days: Sequence[Observed], confidence: float, *, first: str) -> tuple[Coverage, ...]:
    """Return how often each (regime, owner, firm) lost more than it was asked for, beside the regime `first`.

    Days on which nothing is known of what one was asked for do not count for it.
    """
    apart = not_overlapping(days)
    units = dict.fromkeys(unit for each in days for unit in each.asked)
    tested = {unit: [n for n in apart if isfinite(days[n].asked.get(unit, 0.0))] for unit in units}
    return tuple(
        _covered(unit, days, apart, confidence, first=(first, *unit[1:])) for unit, apart in tested.items() if apart
    )


def _covered(
    unit: tuple[str, str, str],
    days: Sequence[Observed],
    apart: list[int],
    confidence: float,
    *,
    first: tuple[str, str, str],
) -> Coverage:
    asked, base = (np.array([each.asked.get(one, 0.0) for each in days]) for one in (unit, first))
    gained = np.array([each.gained.get(unit, 0.0) for each in days])
    hits = exceptions(gained[apart], np.maximum(0.0, asked[apart]))
    count, tested = int(hits.sum()), int(hits.size)
    share = float(1 - Fraction(str(confidence)))
    both = np.isfinite(asked) & np.isfinite(base)
    return Coverage(
        *unit,
        days=tested,
        exceptions=count,
        uncovered=max(0.0, float(np.max(-gained[apart] - asked[apart]))),
        coverage=kupiec(tested, count, share),
        clusters=christoffersen(hits, share),
        zone=traffic_light(tested, count, share),
        procyclicality=procyclicality(asked[apart], 1) if tested > 1 and (asked[apart] > 0.0).all() else None,
        cost=float(asked[both].mean() / base[both].mean()) if base[both].any() else None,
    )


def held_at(rules: Rules, day: date) -> Rules:
    """Return a rule whose values and conditions of one day hold on every day, with their sources and grades."""
    values = dict(rules.parameters)
    for name, parameter in rules.parameters.items():
        try:
            always = evolve(rules.in_force(name, day), start=date.min, end=None)
        except NotInForce:
            continue
        values[name] = evolve(parameter, values=(always,))
    bound = tuple(
        evolve(each, start=date.min, end=None)
        for each in rules.conditions
        if any(each.applies(day, origin) for origin in each.origin)
    )
    return evolve(rules, parameters=values, conditions=bound)


def _check_coverage(confidence: float, horizon_days: int | None) -> None:
    problems = Problems()
    if not 0.0 < confidence < 1.0:
        problems.add(f"{confidence!r} is out of range.", where="confidence", fix="Give a share such as 0.99.")
    check_whole(problems, "horizon_days", 1 if horizon_days is None else horizon_days)
    problems.raise_if_any()


def check_whole(problems: Problems, where: str, value: object, *, least: int = 1) -> None:
    """Note a value that is no whole number of at least `least`."""
    if not is_count(value, least=least):
        problems.add(f"{value!r} is no count.", where=where, fix=f"Give a whole number of at least {least}.")
