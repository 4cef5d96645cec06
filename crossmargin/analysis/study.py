"""A study: every book of a population margined under every regime on many days, step by step, and its tables.

Call `run(plan, folder)`; it keeps a journal in the folder, takes up where an earlier run stopped, and returns a
`Study` whose `tables` are what the page and the CSV files show. A book that cannot be margined on a day is a gap with
its reason. Which days were asked for what at the time is not said: the rules of one day hold on all of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from crossmargin.analysis.archetypes import StudyBook
from crossmargin.analysis.attribution import attribute
from crossmargin.analysis.coverage import check_whole, held_at
from crossmargin.analysis.evidence import Evidence, Sampled, sampling
from crossmargin.analysis.margin_series import MarketHistory
from crossmargin.errors import CrossMarginError, InputError, Problem, Problems, suggestion
from crossmargin.io.journal import Journal, Record, append, open_journal
from crossmargin.margin import compare
from crossmargin.market import History, Market
from crossmargin.parameters import Rules
from crossmargin.records import as_tuple, to_plain
from crossmargin.regimes import REGIMES, Regime
from crossmargin.registry import rulebook
from crossmargin.results import Comparison, Report

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
    day whose rules hold on all of them. `regimes` are compared with the first; `version` is the library's: a newer
    one does not go on with the steps of an older.
    """

    population: str
    books: tuple[StudyBook, ...] = field(converter=as_tuple)
    market: Market
    days: tuple[date, ...] = field(converter=as_tuple)
    regimes: tuple[Regime, ...] = field(default=REGIMES, converter=as_tuple)
    calibration: date = CALIBRATION
    resamples: int = 400
    seed: int = 0
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
        problems.raise_if_any()

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
        """Name -> records: figures, attribution, evidence, refusals, gaps, left_out, assumptions, sources, notes."""
        found: dict[str, list[Record]] = {name: [] for name in COLUMNS}
        for step in self.steps:
            where = {"book": step["book"], "day": step["day"]}
            for name, records in step["tables"].items():
                found[name] += [{**where, **record} for record in records]
        return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


COLUMNS: Mapping[str, tuple[str, ...]] = {
    "figures": _names("book day regime status level gross credit total benefit partial assumed_share"),
    "attribution": _names("book day base other level status kind name amount base_amount other_amount"),
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
    A step is one book on one day under all regimes, or, at the end of each book, its last day again: attribution from
    the first regime to each other, sampling errors of a paired block bootstrap, refusals, sources and assumptions. The
    customer level is looked at beside the clearing level where it asks for anything else. `simulated` is the share of
    a figure whose error is known at least: of a total, and of the smaller total of a gap.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    journal = open_journal(out / JOURNAL, plan.header)
    steps, wanted = list(journal.done), [(book, day) for book in plan.books for day in (*plan.days, None)]
    if len(steps) > len(wanted):
        fix = "Choose another folder, or remove this file to begin anew."
        raise InputError([Problem(f"holds more than the {len(wanted)} steps there are.", str(journal.path), fix)])
    held = _Held(plan)
    for number, (book, day) in enumerate(wanted[len(steps) :], start=len(steps)):
        if progress:
            progress(number, len(wanted), f"{book.id}, {day or 'last day in detail'}")
        steps.append(_step(held, (book, day), steps, journal))
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

    def on(self, day: date) -> tuple[Rules, ...]:
        """Return the rules, with another stress period where theirs lies ahead of the day."""
        return tuple(self._with_past_stress(each, day) for each in self.rules)

    def _with_past_stress(self, rules: Rules, day: date) -> Rules:
        if _STRESS not in rules.parameters or STAND_IN[1] > day:
            return rules
        own = rules.in_force(_STRESS, self.plan.calibration).value
        if own[1] <= day:
            return rules
        return rules.with_values(stress_period=STAND_IN, because="the rule's own lies ahead of the day")


def _step(held: _Held, what: tuple[StudyBook, date | None], steps: Iterable[Record], journal: Journal) -> Record:
    """Do one step and write it down; `day` is None for the last day that has figures, in detail."""
    book, day = what
    detail, on = day is None, day or _last_known(book, steps)
    name = "detail" if detail else "figures"
    tables: dict[str, list[Record]] = {}
    if on is not None:
        try:
            tables = _tables(held, book, on, detail=detail)
        except CrossMarginError as error:
            tables = {"gaps": [{"step": name, "why": _text(error)}]}
    return append(journal, {"book": book.id, "day": on and on.isoformat(), "step": name, "tables": tables})


def _last_known(book: StudyBook, steps: Iterable[Record]) -> date | None:
    mine = [step["day"] for step in steps if step["book"] == book.id and "figures" in step["tables"]]
    return date.fromisoformat(mine[-1]) if mine else None


def _tables(held: _Held, book: StudyBook, day: date, *, detail: bool) -> dict[str, list[Record]]:
    portfolio, market = book.build(market_on(held.plan.market, day))
    rules = held.on(day)
    compared = compare(portfolio, market, held.plan.regimes, rules=rules)
    if not detail:
        return {"figures": list(_figures(compared))}
    found: dict[str, list[Record]] = {"attribution": [], "evidence": [], **_background(compared, market)}
    totals = {level: {each.regime: _total(each, level) for each in compared.reports} for level in LEVELS}
    for level in told_levels(totals["clearing"], totals["customer"]):
        known = [each for each in held.plan.regimes if totals[level][each.name] is not None]
        if len(known) < 2 or known[0] is not held.plan.regimes[0]:
            continue
        for other in known[1:]:
            found["attribution"] += attribute(portfolio, market, known[0], other, level=level, rules=rules).to_records()
        drawn = {"resamples": held.plan.resamples, "seed": held.plan.seed}
        evidence = sampling(portfolio, market, known, level=level, rules=rules, **drawn)
        found["evidence"] += _evidence(evidence, compared)
        found["notes"] += [{"note": f"errors, {level}: {note}"} for note in evidence.notes]
    return found


def told_levels(clearing: Mapping[str, float | None], customer: Mapping[str, float | None]) -> tuple[str, ...]:
    """Return the levels worth telling of a book's totals: the customer level where it asks for anything else."""
    other = any(customer.values()) and dict(customer) != dict(clearing)
    return ("clearing", "customer") if other else ("clearing",)


def _figures(compared: Comparison) -> Iterator[Record]:
    for level in dict.fromkeys(level for report in compared.reports for level in report.levels):
        base = _total(compared.reports[0], level)
        for report in compared.reports:
            asked = _total(report, level)
            known = asked is not None
            yield {
                "regime": report.regime,
                "status": report.status,
                "level": level,
                "gross": report.gross(level) if known else None,
                "credit": report.credit(level) if known else None,
                "total": asked,
                "benefit": None if asked is None or base is None else base - asked,
                "partial": any(each.line.partial for each in report.entries if each.level == level),
                "assumed_share": report.assumed_share(level) if known else None,
            }


def _total(report: Report, level: str) -> float | None:
    """Return the total of a level, None when nothing of what it asks for is modelled."""
    lines = [each.line for each in report.entries if each.level == level]
    return report.total(level) if not lines or any(line.amount is not None for line in lines) else None


def _evidence(evidence: Evidence, compared: Comparison) -> Iterator[Record]:
    """Yield the sampling error of each total, and of its distance from the first regime's."""
    status = {report.regime: report.status for report in compared.reports}
    base = compared.reports[0].regime
    for each in evidence.totals:
        known = [gap.simulated for gap in evidence.gaps if each.name in (gap.first, gap.second)]
        named = {"level": evidence.level, "kind": "total", "base": None, "regime": each.name}
        yield {**named, "status": status[each.name], **_sampled(each), "simulated": max(known)}
    for gap in (gap for gap in evidence.gaps if gap.first == base):
        named = {"level": evidence.level, "kind": "gap", "base": base, "regime": gap.second}
        shown = {"inside_noise": gap.inside_noise, "simulated": gap.simulated}
        yield {**named, "status": status[gap.second], **_sampled(gap.difference), **shown}


def _sampled(each: Sampled) -> Record:
    return {name: getattr(each, name) for name in ("figure", "standard_error", "low", "high")}


def _background(compared: Comparison, market: Market) -> dict[str, list[Record]]:
    """Return what the figures of a day rest on, leave out and refuse."""
    reads = {
        (each.rule, each.name): {
            "rule": each.rule,
            "parameter": each.name,
            "value": _short(each.value),
            "unit": each.unit,
            "grade": each.grade,
            "because": each.because,
        }
        for report in compared.reports
        for each in report.assumptions()
    }
    sources = dict.fromkeys(source for report in compared.reports for source in report.sources())
    notes = dict.fromkeys([*market.notes, *(note for report in compared.reports for note in report.notes)])
    return {
        "refusals": list(_refusals(compared.reports)),
        "left_out": [row for report in compared.reports for row in _left_out(report)],
        "assumptions": list(reads.values()),
        "sources": [{"source": source} for source in sources],
        "notes": [{"note": note} for note in notes],
    }


def _refusals(reports: Iterable[Report]) -> Iterator[Record]:
    told = dict.fromkeys(
        (each.position, each.product, each.programme, because)
        for report in reports
        for each in report.refused()
        for because in each.because
    )
    for position, product, programme, because in told:
        why = {name: getattr(because, name) for name in ("about", "cure", "citation", "grade")}
        yield {"position": position, "product": product, "programme": programme, **why}


def _left_out(report: Report) -> Iterator[Record]:
    for pool, line in report.not_modelled():
        yield {
            "regime": report.regime,
            "status": report.status,
            "pool": pool,
            "name": line.name,
            "note": line.note,
        }


# --------------------------------------------------------------------------------------------------------- text


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(to_plain(value))
    return text if len(text) <= 120 else f"{text[:117]}..."


def _text(error: CrossMarginError) -> str:
    if isinstance(error, InputError):
        return "; ".join(str(problem) for problem in error.problems)
    return str(error)


def _plain(value: Any) -> Any:
    plain = to_plain(value)
    return json.loads(json.dumps(plain, default=_of_array))


def _of_array(value: Any) -> Any:
    return hashlib.sha256(value.tobytes()).hexdigest() if hasattr(value, "tobytes") else type(value).__name__


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:16]
