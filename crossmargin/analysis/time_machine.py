"""What books would have been asked for on every day of a history under every regime, and what they gained right after.

Call `time_machine(book, history, days)`; `time_machine_of` takes a population, whose books share each day: the market
is built, scenarios are drawn and every distinct product is repriced once for all of them. A `Replay` holds the figures
and hands them to `backtest` and `coverage`. No day sees a later one, and a day that cannot be margined is a gap with
its reason, never a smaller figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from datetime import date
from functools import partial
from math import fsum, nan
from typing import Any, TypeAlias, TypeVar

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.analysis.coverage import (
    PastBook,
    check_history,
    check_whole,
    gains,
    held_at,
    held_on,
    horizons_read,
    known_sum,
)
from crossmargin.analysis.margin_series import Gap, MarketHistory, Period
from crossmargin.analysis.replay import Replay, Unit, Who
from crossmargin.columns import FloatArray
from crossmargin.errors import CrossMarginError, Problems, check_kinds
from crossmargin.margin import compare
from crossmargin.market import Market
from crossmargin.parameters import Rules
from crossmargin.portfolio import Portfolio
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED, Regime
from crossmargin.registry import rulebook
from crossmargin.results import Comparison, Report, Requirement
from crossmargin.underlyings import securities_held

_Reports: TypeAlias = tuple[Report, ...]
_Ask: TypeAlias = Callable[[Portfolio], Comparison]
_Key = TypeVar("_Key")
_STRESS = "stress_period"
_SHARES = 64  # pieces that the days are handed out in
_MARK = ":"  # between the number of a book and a name of its own, in a portfolio of several books


def time_machine(
    book: PastBook,
    history: MarketHistory,
    days: Iterable[date],
    regimes: Iterable[Regime] = (SILOED, CROSS_MARGIN, HARMONIZED),
    *,
    rules: Iterable[Rules] = (),
    calibration: date | None = None,
    stress_periods: Iterable[Period] = (),
    horizon_days: int | None = None,
    executor: Executor | None = None,
) -> Replay:
    """Return what one book would have been asked for on each day.

    Parameters
    ----------
    book : Portfolio, or callable from Market to Portfolio or to (Portfolio, underlyings)
        What is held, as in `coverage`: a book of options brings what they are priced from that day.
    history : MarketHistory
        Cut off behind each day before anything looks at it.
    days : iterable of date
        Each becomes a figure or a gap; sorted, doubles dropped.
    regimes : iterable of Regime
        Coverage states the cost of each beside the first.
    rules : iterable of Rules, optional
        Rules with overlaid values.
    calibration : date, optional
        The rules' values and conditions of this date hold on every day: a study of regimes, not of what was asked at
        the time.
    stress_periods : iterable of (first, last)
        Stand-ins for the stress period of a rule on days on which that has not ended: the one that ended last is taken.
    horizon_days : int, optional
        Rows of history over which profit and loss is taken; the longest horizon of the rules unless given.
    executor : concurrent.futures.Executor, optional
        Whose workers share the days; no figure depends on it. Processes take books that can be pickled: portfolios, and
        functions of a module.

    Raises
    ------
    InputError
        No regime or one twice, a horizon that is no count, a stand-in that ends before it begins.

    Notes
    -----
    The change of the market comes at once, without ageing, carry or funding. Levels never add. Each figure is that of
    `compare` on the market of the day.

    Examples
    --------
    >>> from crossmargin import samples
    >>> from crossmargin.io.market_files import packaged_history
    >>> portfolio, _ = samples.basis_trade()
    >>> short = [each for each in portfolio.positions if each.product.kind == "treasury_note"][:1]
    >>> book, history = evolve(portfolio, positions=short), MarketHistory(packaged_history())
    >>> days = [date(2017, 3, 1), date(2017, 3, 2), date(2017, 3, 4)]
    >>> found = time_machine(book, history, days, calibration=date(2026, 6, 30))
    >>> [str(gap.day) for gap in found.gaps], bool((found.requirement("siloed") > 0.0).all())
    (['2017-03-04'], True)
    """
    return time_machine_of(
        {"book": book},
        history,
        days,
        regimes,
        rules=rules,
        calibration=calibration,
        stress_periods=stress_periods,
        horizon_days=horizon_days,
        executor=executor,
    )["book"]


def time_machine_of(
    books: Mapping[str, PastBook],
    history: MarketHistory,
    days: Iterable[date],
    regimes: Iterable[Regime] = (SILOED, CROSS_MARGIN, HARMONIZED),
    *,
    rules: Iterable[Rules] = (),
    calibration: date | None = None,
    stress_periods: Iterable[Period] = (),
    horizon_days: int | None = None,
    executor: Executor | None = None,
) -> dict[str, Replay]:
    """Return `time_machine` by name of book; books share nothing but the work, and no figure hangs on the others."""
    check_history(history)
    days, fix = tuple(days), "Give datetime.date(2026, 6, 30)."
    check_kinds(**{f"days[{number}]": (day, date, fix) for number, day in enumerate(days)})
    chosen, periods, wanted = tuple(regimes), tuple(stress_periods), sorted(set(days))
    _check(chosen, periods, horizon_days)
    held = tuple(each if calibration is None else held_at(each, calibration) for each in rulebook(rules).values())
    study = _Study(books, history, chosen, _Calibrated(held, periods, calibration is not None), horizon_days)
    share = -(-len(wanted) // _SHARES) or 1
    answers = list(map(study.on, wanted) if executor is None else executor.map(study.on, wanted, chunksize=share))
    said = [f"the rules of {calibration} on every day: a study, hypothetical on past days"] if calibration else []
    return {
        name: _replay(name, {day: one[name] for day, one in zip(wanted, answers, strict=True)}, said) for name in books
    }


# --------------------------------------------------------------------------------------------------------- a day


@frozen(eq=False)
class _Found:
    """What one book was asked for on a day, and what came of it."""

    row: int
    horizon_days: int
    asked: Mapping[Unit, float]
    credited: Mapping[Unit, float]
    gained: Mapping[Who, float]
    notes: frozenset[str]


@frozen(eq=False)
class _Calibrated:
    """The rules of every day, stress periods ahead of a day replaced; `fixed` if values never change."""

    rules: tuple[Rules, ...]
    stand_ins: tuple[Period, ...]
    fixed: bool
    _made: dict[tuple[str, Period], Rules] = field(factory=dict, init=False)

    def on(self, day: date) -> tuple[Rules, ...]:
        return tuple(self._past(each, day) for each in self.rules)

    def _past(self, rules: Rules, day: date) -> Rules:
        ended = [period for period in self.stand_ins if period[1] <= day]
        if not ended or _STRESS not in rules.parameters or rules.in_force(_STRESS, day).value[1] <= day:
            return rules
        last = max(ended, key=lambda period: period[::-1])
        if (rules.id, last) not in self._made:
            because = "the rule's own lies ahead of the day"
            self._made[rules.id, last] = rules.with_values(stress_period=last, because=because)
        return self._made[rules.id, last]


@frozen(eq=False)
class _Study:
    """A population through history."""

    books: Mapping[str, PastBook]
    history: MarketHistory
    regimes: tuple[Regime, ...]
    calibrated: _Calibrated
    horizon_days: int | None
    _alone: set[str] = field(factory=set, init=False)
    _horizons: dict[object, int] = field(factory=dict, init=False)
    _merged: list[tuple[Mapping[str, Portfolio], Portfolio]] = field(factory=list, init=False)

    def on(self, day: date) -> dict[str, _Found | str]:
        """Return what each book was asked for on a day, or why that is not known."""
        try:
            market, rules = self.history.market(day), self.calibrated.on(day)
        except CrossMarginError as error:
            return dict.fromkeys(self.books, str(error))
        answers: dict[str, _Found | str] = {}
        groups: dict[int, tuple[Market, dict[str, Portfolio]]] = {}  # books that bring underlyings have their own
        for name, book in self.books.items():
            try:
                portfolio, seen = held_on(book, market)
                groups.setdefault(id(seen), (seen, {}))[1][name] = portfolio
            except CrossMarginError as error:
                answers[name] = str(error)
        for seen, held in groups.values():
            answers |= self._answers(held, partial(compare, market=seen, regimes=self.regimes, rules=rules), seen)
        return answers

    def _answers(self, held: Mapping[str, Portfolio], ask: _Ask, market: Market) -> dict[str, _Found | str]:
        """Answer for all at once, and for each alone where that fails, so that only the culprit has no figure."""
        several = {name: portfolio for name, portfolio in held.items() if name not in self._alone}
        reports: dict[str, _Reports] = {}
        answers: dict[str, _Found | str] = {}
        with suppress(CrossMarginError):
            reports |= self._shared(several, ask, market) if len(several) > 1 else {}
        for name, portfolio in held.items():
            if name not in reports:
                try:
                    reports[name] = ask(portfolio).reports
                except CrossMarginError as error:
                    answers[name] = str(error)
        self._alone.update(answers)
        return answers | self._figures(reports, held, market)

    def _shared(self, held: Mapping[str, Portfolio], ask: _Ask, market: Market) -> dict[str, _Reports]:
        """Return the reports of books margined as one portfolio.

        A ticker that lacks something is left out of a whole portfolio, and the lack may be another book's: a book of
        shares with a gap is margined alone from then on.
        """
        made = next((made for books, made in self._merged if books == held), None)
        if made is None:
            made = _together(held.values())
            self._merged[:] = [(held, made)]
        both = ask(made).reports
        found = {name: tuple(_part(each, f"{n}{_MARK}") for each in both) for n, name in enumerate(held)}
        gaps = (name for name, reports in found.items() if any(each.partial for each in reports))
        self._alone.update(name for name in gaps if securities_held(held[name].products, market.underlyings))
        return {name: reports for name, reports in found.items() if name not in self._alone}

    def _figures(
        self, reports: Mapping[str, _Reports], held: Mapping[str, Portfolio], market: Market
    ) -> dict[str, _Found]:
        """Return the figures of reports; books of one horizon are repriced together under what the market then did."""
        row = self.history.yields.row_at(market.as_of)
        horizons = {name: self.horizon_days or self._longest(found, held[name]) for name, found in reports.items()}
        gained: dict[str, Mapping[str, float] | None] = {}
        for horizon in sorted(set(horizons.values())):
            alike = {name: held[name] for name, days in horizons.items() if days == horizon}
            gained |= _gains(alike, market, self.history, horizon)
        return {
            name: _found(found, gained[name], row=-1 if row is None else row, horizon_days=horizons[name])
            for name, found in reports.items()
        }

    def _longest(self, reports: _Reports, portfolio: Portfolio) -> int:
        """Return the longest horizon read; of values that never change it is looked for once."""
        kinds = frozenset(product.kind for product in portfolio.products)
        rules = frozenset(each.ruleset for report in reports for each in report.requirements)
        rules |= frozenset(each.arrangement for report in reports for each in report.credits)
        known = self._horizons.get((kinds, rules)) if self.calibrated.fixed else None
        if known is None:
            known = max(horizons_read(each, portfolio)[-1] for each in reports)
            self._horizons[kinds, rules] = known
        return known


def _together(books: Iterable[Portfolio]) -> Portfolio:
    """Return one portfolio of several, every name preceded by the number of its book."""
    parts: dict[str, list[Any]] = {"firms": [], "customers": [], "accounts": [], "positions": []}
    for n, book in enumerate(books):

        def own(name: str, n: int = n) -> str:
            return f"{n}{_MARK}{name}" if name else ""

        for firm in book.firms:
            related: dict[str, Any] = {name: map(own, getattr(firm, name)) for name in ("affiliates", "guarantees")}
            parts["firms"].append(evolve(firm, id=own(firm.id), **related))
        parts["customers"] += [evolve(each, id=own(each.id)) for each in book.customers]
        for each in book.accounts:
            names: dict[str, Any] = {"owner": own(each.owner), "beneficial_owner": own(each.beneficial_owner)}
            parts["accounts"].append(evolve(each, id=own(each.id), firm=own(each.firm), **names))
        parts["positions"] += [evolve(each, id=own(each.id), account=own(each.account)) for each in book.positions]
    return Portfolio(**parts)


def _part(report: Report, mark: str) -> Report:
    """Return what a report of several books says of one, under its own names."""

    def own(each: Any) -> Any:
        names = {name: getattr(each, name).removeprefix(mark) for name in ("owner", "firm", "pot")}
        if isinstance(each, Requirement):
            names["positions"] = tuple(id.removeprefix(mark) for id in each.positions)
        return evolve(each, **names)

    asked, credits = (
        tuple(own(each) for each in entries if each.firm.startswith(mark))
        for entries in (report.requirements, report.credits)
    )
    return evolve(report, requirements=asked, credits=credits, decisions=(), owners={})


def _gains(
    held: Mapping[str, Portfolio], market: Market, history: MarketHistory, horizon_days: int
) -> dict[str, Mapping[str, float] | None]:
    """Return what each position of each book gained, USD; None where the history does not say."""
    marked = [
        evolve(each, id=f"{n}{_MARK}{each.id}") for n, book in enumerate(held.values()) for each in book.positions
    ]
    try:
        came, _ = gains(marked, market, history, horizon_days)
    except CrossMarginError:
        return dict.fromkeys(held)
    found: list[dict[str, float]] = [{} for _ in held]
    for id, gain in came.items():
        number, _, position = id.partition(_MARK)
        found[int(number)][position] = gain
    return dict(zip(held, found, strict=True))


def _found(reports: _Reports, gained: Mapping[str, float] | None, *, row: int, horizon_days: int) -> _Found:
    asked: dict[Unit, list[float | None]] = {}
    credited: dict[Unit, list[float | None]] = {}
    held: dict[Who, dict[str, None]] = {}
    for report in reports:
        for table, entries in ((asked, report.requirements), (credited, report.credits)):
            for each in entries:
                unit = Unit(report.regime, each.level, each.owner, each.firm, each.pot)
                table.setdefault(unit, []).append(each.line.amount)
        for each in (each for each in report.requirements if each.level == "clearing"):
            held.setdefault((report.regime, each.owner, each.firm), {}).update(dict.fromkeys(each.positions))
    came = {who: nan if gained is None else fsum(gained.get(id, 0.0) for id in ids) for who, ids in held.items()}
    notes = frozenset(f"not modelled: {line.note}" for report in reports for _, line in report.not_modelled())
    sums = [{unit: known_sum(amounts) for unit, amounts in table.items()} for table in (asked, credited)]
    return _Found(row, horizon_days, sums[0], sums[1], came, notes)


# ------------------------------------------------------------------------------------------------------ all days


def _replay(book: str, answers: Mapping[date, _Found | str], said: Iterable[str]) -> Replay:
    """Return the figures of all days, column by column."""
    known = {day: each for day, each in answers.items() if isinstance(each, _Found)}
    left_out = sorted({note for each in known.values() for note in each.notes})
    return Replay(
        book,
        tuple(known),
        np.array([each.row for each in known.values()], dtype=np.int64),
        np.array([each.horizon_days for each in known.values()], dtype=np.int64),
        asked=_columns([each.asked for each in known.values()]),
        credited=_columns([each.credited for each in known.values()]),
        gained=_columns([each.gained for each in known.values()]),
        gaps=tuple(Gap(day, why) for day, why in answers.items() if isinstance(why, str)),
        notes=(*said, *left_out),
    )


def _columns(days: Sequence[Mapping[_Key, float]]) -> dict[_Key, FloatArray]:
    keys = dict.fromkeys(key for each in days for key in each)
    return {key: np.array([each.get(key, 0.0) for each in days]) for key in keys}


def _check(regimes: Sequence[Regime], periods: Iterable[Period], horizon_days: int | None) -> None:
    problems, names = Problems(), [each.name for each in regimes]
    if not names or len(set(names)) < len(names):
        problems.add(f"{', '.join(names) or 'none'}.", where="regimes", fix="Give one at least, each once.")
    check_whole(problems, "horizon_days", 1 if horizon_days is None else horizon_days)
    for first, last in periods:
        if last < first:
            problems.add(f"{first} to {last} ends before it begins.", where="stress_periods", fix="Swap the days.")
    problems.raise_if_any()
