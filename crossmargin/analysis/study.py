"""A study: every book of a population margined under every regime on many days, step by step, and its tables.

Call `run(plan, folder)`; it keeps a journal in the folder, takes up where an earlier run stopped, and returns a
`Study` whose `tables` are what the page and the CSV files show. A book that cannot be margined on a day is a gap with
its reason. Which days were asked for what at the time is not said: the rules of one day hold on all of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import cached_property, partial
from math import fsum
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from crossmargin.analysis.archetypes import StudyBook
from crossmargin.analysis.attribution import DEFICIT, REQUIREMENT, attribute
from crossmargin.analysis.coverage import check_whole, held_at
from crossmargin.analysis.evidence import sampling
from crossmargin.analysis.margin_series import MarketHistory
from crossmargin.analysis.study_coverage import back_tested, by_year, outcomes, spaced_days, swings
from crossmargin.analysis.study_protection import own_rules, traded_off, uncovered
from crossmargin.analysis.study_records import background, figures, sampled, text_of, told_levels, total_of
from crossmargin.errors import CrossMarginError, InputError, Problem, Problems, suggestion
from crossmargin.io.journal import Journal, Record, append, open_journal
from crossmargin.margin import compare
from crossmargin.market import History, Market
from crossmargin.parameters import Rules
from crossmargin.portfolio import Portfolio
from crossmargin.records import as_tuple, to_plain
from crossmargin.regimes import REGIMES, Regime
from crossmargin.registry import rulebook
from crossmargin.results import Comparison

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with the steps done, those there are, and the name of the next."""

JOURNAL = "steps.jsonl"
CALIBRATION = date(2026, 6, 30)
STAND_IN = (date(1998, 8, 17), date(1998, 10, 30))  # for a stress period ahead of the day: autumn 1998
LEVELS = ("clearing", "customer")
EVERY = ("month", "quarter", "year")
_STRESS = "stress_period"
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


@frozen(eq=False)
class Plan:
    """What a study is of.

    `market` gives the history and what the days have in common; `days` are rows of that history. `calibration` is the
    day whose rules hold on all of them. `regimes` are compared with the first. Between the first and the last day each
    `coverage_every`-th row of the history is back-tested, none when it is 0. `version` is the library's: a newer one
    does not go on with the steps of an older.
    """

    population: str
    books: tuple[StudyBook, ...] = field(converter=as_tuple)
    market: Market
    days: tuple[date, ...] = field(converter=as_tuple)
    regimes: tuple[Regime, ...] = field(default=REGIMES, converter=as_tuple)
    calibration: date = CALIBRATION
    resamples: int = 400
    seed: int = 0
    coverage_every: int = 20
    version: str = ""

    def __attrs_post_init__(self) -> None:
        problems, names = Problems(), [each.name for each in self.regimes]
        for what, held in (("books", self.books), ("days", self.days)):
            if not held:
                problems.add("there are none.", where=what, fix="Give one at least.")
        if len(names) < 2 or len(set(names)) < len(names):
            problems.add(f"{', '.join(names) or 'none'}.", where="regimes", fix="Give two at least, each once.")
        known = set(self.market.history.dates)
        for day in self.days:
            if day not in known:
                problems.add("is no row of the history.", where=f"day {day}", fix="Take a day on which it quotes.")
        check_whole(problems, "resamples", self.resamples, least=2)
        check_whole(problems, "seed", self.seed, least=0)
        check_whole(problems, "coverage_every", self.coverage_every, least=0)
        problems.raise_if_any()

    @cached_property
    def coverage_days(self) -> tuple[date, ...]:
        """The days that are back-tested."""
        return spaced_days(self.market.history, min(self.days), max(self.days), self.coverage_every)

    @cached_property
    def header(self) -> Record:
        """What tells this study from another, plain data."""
        prices = self.market.price_history
        data = [self.market.history, self.market.underlyings, self.market.credit, self.market.fixings]
        return {
            "study": self.population,
            "version": self.version,
            "books": [f"{each.id} {each.digest}".strip() for each in self.books],
            "days": [day.isoformat() for day in self.days],
            "regimes": [each.name for each in self.regimes],
            "calibration": self.calibration.isoformat(),
            "resamples": self.resamples,
            "seed": self.seed,
            "coverage_every": self.coverage_every,
            "data": _digest([_plain(each) for each in [*data, *([] if prices is None else [prices])]]),
            "rules": _digest(to_plain(rulebook(()))),
            "source": self.market.history.source,
            "notes": list(self.market.notes),
        }


@frozen(eq=False)
class Study:
    """The steps of a study as its journal holds them; every table has the status of each figure beside it."""

    header: Record
    steps: tuple[Record, ...]
    books: tuple[StudyBook, ...]

    @cached_property
    def tables(self) -> dict[str, list[Record]]:
        """Name -> records, one for each of `COLUMNS`."""
        found: dict[str, list[Record]] = {name: [] for name in COLUMNS}
        for step in self.steps:
            where = {"book": step["book"], "day": step["day"]}
            for name, records in step["tables"].items():
                found[name] += [{**where, **record} for record in records]
        found["figures"] = _each_once(found["figures"])
        found["coverage"] = list(back_tested(found["outcomes"]))
        found["procyclicality"] = list(swings(found["outcomes"]))
        return found


def _each_once(figures: Iterable[Record]) -> list[Record]:
    """Return figures by book and day; those of a day in detail may stand among them already."""
    found = {tuple(row[name] for name in ("book", "day", "level", "regime")): row for row in figures}
    order = {book: number for number, book in enumerate(dict.fromkeys(key[0] for key in found))}
    return [row for _, row in sorted(found.items(), key=lambda each: (order[each[0][0]], each[0][1]))]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


COLUMNS: Mapping[str, tuple[str, ...]] = {
    "figures": _names("book day regime status level gross credit total benefit partial assumed_share"),
    "attribution": _names("book day base other of level status kind name amount base_amount other_amount"),
    "outcomes": _names(
        "book day row level regime status owner firm required unmitigated shortest_days shortest_pnl longest_days "
        "longest_pnl own_horizons partial"
    ),
    "coverage": _names(
        "book level regime status owner firm horizon_days own_horizons observations first last exceptions expected "
        "uncovered kupiec_p independence_p conditional_p zone power verdict partial"
    ),
    "procyclicality": _names(
        "book level regime status owner firm days rows_between mean peak_to_trough peak_day trough_day "
        "largest_increase unmitigated_peak_to_trough unmitigated_largest_increase cost"
    ),
    "protection": _names(
        "book day regime status scenarios default owner firm account_class insolvency_regime pot held expected tail "
        "worst frequency borne_by_firm borne_by_fellow_customers borne_by_clearing_house partial"
    ),
    "frontier": _names(
        "book day scenarios default measure name regime status margin saving residual efficient partial"
    ),
    "evidence": _names("book day level kind base regime status figure standard_error low high inside_noise simulated"),
    "refusals": _names("book day position product programme about cure citation grade"),
    "gaps": _names("book day step why"),
    "left_out": _names("book day regime status pool name note"),
    "assumptions": _names("book day rule parameter value unit grade because"),
    "sources": _names("book day source"),
    "notes": _names("book day note"),
}


def run(plan: Plan, folder: str | PathLike[str], progress: Progress | None = None) -> Study:
    """Do what is not done yet of a study, a step at a time, and return all of it.

    Parameters
    ----------
    plan : Plan
    folder
        Made if need be; holds the journal `steps.jsonl`. The same plan gives the same bytes, whether or not it was
        interrupted.
    progress : callable, optional

    Raises
    ------
    InputError
        The folder holds another study.

    Notes
    -----
    A step is one book on one day under all regimes, on the back-tested days of a year, or in detail: on its last day,
    and on the one on which the first regime asked for most. In detail are attribution from the first regime to each
    other, sampling errors of a paired block bootstrap, losses beyond margin and savings against them, refusals, sources
    and assumptions. The customer level is looked at beside the clearing level where it asks for anything else.
    `simulated` is the share of a figure whose error is known at least: of a total, and of the smaller total of a gap.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    journal = open_journal(out / JOURNAL, plan.header)
    steps, wanted = list(journal.done), _todo(plan)
    if len(steps) > len(wanted):
        fix = "Choose another folder, or remove this file to begin anew."
        raise InputError([Problem(f"holds more than the {len(wanted)} steps there are.", str(journal.path), fix)])
    held = _Held(plan)
    for number, what in enumerate(wanted[len(steps) :], start=len(steps)):
        if progress:
            progress(number, len(wanted), str(what))
        steps.append(_step(held, what, steps, journal))
    if progress:
        progress(len(wanted), len(wanted), "done")
    return Study(json.loads(json.dumps(plan.header)), tuple(steps), plan.books)


def study_days(history: History, first: date, last: date, every: str = "year") -> tuple[date, ...]:
    """Return the last day on which a history quotes of each month, quarter or year between two days, oldest first.

    Raises
    ------
    InputError
        An unknown step, or no day of the history between the two.

    Examples
    --------
    >>> from crossmargin.io.market_files import packaged_history
    >>> [str(day) for day in study_days(packaged_history(), date(2014, 3, 1), date(2016, 6, 30))]
    ['2014-12-31', '2015-12-31', '2016-06-30']
    """
    if every not in EVERY:
        raise InputError([Problem(f"unknown step {every!r}.", "every", suggestion(str(every), EVERY))])
    length = _MONTHS[every]
    days = {(day.year, (day.month - 1) // length): day for day in history.dates if first <= day <= last}
    if not days:
        fix = f"It holds {history.dates[0]} to {history.dates[-1]}."
        raise InputError([Problem(f"has no day from {first} to {last}.", "history", fix)])
    return tuple(days.values())


def market_on(market: Market, day: date) -> Market:
    """Return the market of a past day: nothing of a later day, and of an underlying the spot of the day if quoted.

    Credit spreads, and spots that have no history, are those of `market` on every day; the notes say so.
    """
    past = MarketHistory(market.history, market.price_history).market(day)
    if day == market.as_of:
        past = evolve(past, prices={**past.prices, **market.prices}, money_market=market.money_market)
    known: dict[Any, Any] = dict(market.underlyings)
    credit: dict[Any, Any] = dict(market.credit)
    notes = list(past.notes)
    for name, each in known.items():
        if name in past.prices and each.spot is not None:
            known[name] = evolve(each, spot=past.prices[name])
        elif each.spot is not None and day != market.as_of:
            notes.append(f"spot of {name}: that of {market.as_of}")
    if market.credit and day != market.as_of:
        notes.append(f"credit spreads: those of {market.as_of}")
    fixings = {name: {on: rate for on, rate in rates.items() if on <= day} for name, rates in market.fixings.items()}
    return evolve(past, underlyings=known, credit=credit, fixings=fixings, notes=notes)


# ------------------------------------------------------------------------------------------------------ the steps


@frozen(eq=False)
class _Held:
    """A plan with its rules as they hold on every day."""

    plan: Plan

    @cached_property
    def rules(self) -> tuple[Rules, ...]:
        return tuple(held_at(each, self.plan.calibration) for each in rulebook(()).values())

    @cached_property
    def own_rules(self) -> tuple[Rules, ...]:
        """The rules with those of the study of losses beyond margin."""
        return (*self.rules, *own_rules(self.plan.calibration))

    @cached_property
    def history(self) -> MarketHistory:
        return MarketHistory(self.plan.market.history, self.plan.market.price_history)

    def on(self, day: date, rules: Iterable[Rules] | None = None) -> tuple[Rules, ...]:
        """Return the rules, with another stress period where theirs lies ahead of the day."""
        return tuple(self._with_past_stress(each, day) for each in (self.rules if rules is None else rules))

    def _with_past_stress(self, rules: Rules, day: date) -> Rules:
        if _STRESS not in rules.parameters or STAND_IN[1] > day:
            return rules
        own = rules.in_force(_STRESS, self.plan.calibration).value
        if own[1] <= day:
            return rules
        return rules.with_values(stress_period=STAND_IN, because="the rule's own lies ahead of the day")


@frozen
class _Todo:
    """One step: a book on one day (`figures`), on days of a year (`coverage`), or in detail (`last`, `largest`)."""

    book: StudyBook
    name: str
    days: tuple[date, ...] = ()

    def __str__(self) -> str:
        day = (
            f"{self.days[0]}" if self.name == "figures" else f"{self.name} {self.days[0].year if self.days else 'day'}"
        )
        return f"{self.book.id}, {day}"


def _todo(plan: Plan) -> list[_Todo]:
    """Return the steps of a study in their order; the two days in detail are known when all others are done."""
    found = []
    for book in plan.books:
        found += [_Todo(book, "figures", (day,)) for day in plan.days]
        found += [_Todo(book, "coverage", days) for days in by_year(plan.coverage_days)]
        found += [_Todo(book, "last"), _Todo(book, "largest")]
    return found


def _step(held: _Held, what: _Todo, steps: Iterable[Record], journal: Journal) -> Record:
    """Do one step and write it down."""
    days = what.days or _days_in_detail(what, steps, held.plan.regimes[0].name)
    found = [_on_day(held, what, day) for day in days]
    tables: dict[str, list[Record]] = {}
    for name, records in (each for of_day in found for each in of_day.items()):
        tables.setdefault(name, []).extend(records)
    day = days[-1].isoformat() if days else None
    return append(journal, {"book": what.book.id, "day": day, "step": what.name, "tables": tables})


def _days_in_detail(what: _Todo, steps: Iterable[Record], base: str) -> tuple[date, ...]:
    """Return the last day that has figures, or the one on which the first regime asked for most if that is another."""
    mine = [step for step in steps if step["book"] == what.book.id]
    last = max((step["day"] for step in mine if "figures" in step["tables"]), default="")
    largest = _largest(mine, base)
    chosen = last if what.name == "last" else largest if largest != last else ""
    return (date.fromisoformat(chosen),) if chosen else ()


def _largest(steps: Iterable[Record], base: str) -> str:
    """Return the day on which a regime asked for most: at clearing houses, or of customers if it never did there."""
    whole: dict[tuple[str, str], float] = {}
    parts: dict[tuple[str, str], list[float]] = {}
    for step in steps:
        for row in (row for row in step["tables"].get("figures", ()) if row["regime"] == base):
            whole[row["level"], step["day"]] = row["total"] or 0.0
        for row in (row for row in step["tables"].get("outcomes", ()) if row["regime"] == base):
            parts.setdefault((row["level"], row["day"]), []).append(row["required"] or 0.0)
    asked = {**{key: fsum(amounts) for key, amounts in parts.items()}, **whole}
    level = next((level for level in LEVELS if any(asked[key] for key in asked if key[0] == level)), "")
    mine = {day: amount for (at, day), amount in sorted(asked.items()) if at == level}
    return max(mine, key=mine.__getitem__, default="")


def _on_day(held: _Held, what: _Todo, day: date) -> dict[str, list[Record]]:
    """Return what a step says of one day, by table; what cannot be said is a gap."""
    try:
        portfolio, market = what.book.build(market_on(held.plan.market, day))
        if what.name == "figures":
            return {"figures": list(figures(compare(portfolio, market, held.plan.regimes, rules=held.on(day))))}
        if what.name == "coverage":
            found = outcomes(portfolio, market, held.history, held.plan.regimes, rules=held.on(day))
            return {"outcomes": [{"day": day.isoformat(), **row} for row in found]}
        return _in_detail(held, portfolio, market)
    except CrossMarginError as error:
        return {"gaps": [{"day": day.isoformat(), "step": what.name, "why": text_of(error)}]}


def _in_detail(held: _Held, portfolio: Portfolio, market: Market) -> dict[str, list[Record]]:
    """Return why the regimes differ on a day, how sure that is, what is left uncovered and what all that rests on."""
    regimes, rules = held.plan.regimes, held.on(market.as_of)
    compared = compare(portfolio, market, regimes, rules=rules)
    found: dict[str, list[Record]] = {"figures": list(figures(compared)), **background(compared, market)}
    totals = {level: {each.regime: total_of(each, level) for each in compared.reports} for level in LEVELS}
    parts = []
    for level in told_levels(totals["clearing"], totals["customer"]):
        known = [each for each in regimes if totals[level][each.name] is not None]
        if len(known) > 1 and known[0] is regimes[0]:
            given = {"level": level, "rules": rules}
            parts += [partial(_why, portfolio, market, known, of=of, **given) for of in _told_of(portfolio)]
            drawn = {"resamples": held.plan.resamples, "seed": held.plan.seed}
            parts.append(partial(_how_sure, portfolio, market, known, compared=compared, **given, **drawn))
    own = held.on(market.as_of, held.own_rules)
    parts += [partial(each, portfolio, market, regimes, rules=own) for each in (uncovered, traded_off)]
    for part in parts:
        try:
            told = part()
        except CrossMarginError as error:
            told = {"gaps": [{"step": part.func.__name__.strip("_"), "why": text_of(error)}]}
        for name, records in told.items():
            found.setdefault(name, []).extend(records)
    return found


def _told_of(portfolio: Portfolio) -> tuple[str, ...]:
    return (REQUIREMENT, DEFICIT) if portfolio.posted else (REQUIREMENT,)


def _why(portfolio: Portfolio, market: Market, regimes: Sequence[Regime], **how: Any) -> dict[str, list[Record]]:
    base, *others = regimes
    told = (attribute(portfolio, market, base, other, **how).to_records() for other in others)
    return {"attribution": [row for rows in told for row in rows]}


def _how_sure(
    portfolio: Portfolio, market: Market, regimes: Sequence[Regime], *, compared: Comparison, **how: Any
) -> dict[str, list[Record]]:
    evidence = sampling(portfolio, market, regimes, **how)
    notes = [{"note": f"errors, {evidence.level}: {note}"} for note in evidence.notes]
    return {"evidence": list(sampled(evidence, compared)), "notes": notes}


# --------------------------------------------------------------------------------------------------------- text


def _plain(value: Any) -> Any:
    plain = to_plain(value)
    return json.loads(json.dumps(plain, default=_of_array))


def _of_array(value: Any) -> Any:
    return hashlib.sha256(value.tobytes()).hexdigest() if hasattr(value, "tobytes") else type(value).__name__


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:16]
