"""How sure the figures of regimes are: sampling error of totals and of differences, and how they did on history.

Call `evidence(portfolio, market, regimes)`. The scenarios behind every simulated loss are drawn anew, in the same way
for every regime (`sampling`), so that the error of a *difference* is known and a gap inside the noise is flagged. Given
days of a history it margins the book on each (`coverage`) and hands the results to `backtest`. Nothing here decides
that a regime is good, and no error of a model, a parameter or a price is in a sampling error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import combinations
from math import fsum
from typing import Any, TypeAlias

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.analysis.between_regimes import repriced
from crossmargin.analysis.coverage import Coverage, PastBook, check_whole, coverage
from crossmargin.analysis.euler import Walk, walks
from crossmargin.analysis.margin_series import Gap, MarketHistory
from crossmargin.analysis.resampling import NET, Drawn, Draws, redrawn
from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, Problems, counted, suggestion
from crossmargin.margin import compare
from crossmargin.market import Market
from crossmargin.parameters import Rules
from crossmargin.portfolio import Portfolio
from crossmargin.records import as_tuple
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED, Regime
from crossmargin.registry import rulebook
from crossmargin.results import Comparison, Report
from crossmargin.tables import money

Calculations: TypeAlias = Sequence[tuple[str, Walk]]
ALL = 0.995  # a smaller share that is simulated is said
LEVELS = ("clearing", "customer")
THREE = (SILOED, CROSS_MARGIN, HARMONIZED)


@frozen
class Sampled:
    """A figure with its sampling error, USD: `low` to `high` holds the share `interval` of the resamples."""

    name: str
    figure: float
    standard_error: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether nothing at all lies within the interval."""
        return self.low <= 0.0 <= self.high


@frozen
class RegimeGap:
    """What one regime asks for more than another, and its sampling error, USD.

    `simulated` is the smaller of the shares of both totals that have a known error: far below 1 the error is too small,
    and a gap that is not inside the noise may still be noise.
    """

    first: str
    second: str
    difference: Sampled
    simulated: float

    @property
    def inside_noise(self) -> bool:
        """Whether other scenarios of the same kind could as well have turned the difference round."""
        return self.difference.holds_zero


@frozen
class Evidence:
    """Totals and gaps with their sampling errors, coverage where days were given, and what to beware of."""

    level: str
    interval: float
    totals: tuple[Sampled, ...] = field(converter=as_tuple)
    gaps: tuple[RegimeGap, ...] = field(converter=as_tuple)
    coverage: tuple[Coverage, ...] = field(default=(), converter=as_tuple)
    missing: tuple[Gap, ...] = field(default=(), converter=as_tuple)
    notes: tuple[str, ...] = field(default=(), converter=as_tuple)

    def gap(self, first: str, second: str) -> RegimeGap:
        """Return what `second` asks for more than `first`.

        Raises
        ------
        InputError
            They were not compared in this order.
        """
        for gap in self.gaps:
            if (gap.first, gap.second) == (first, second):
                return gap
        known = ", ".join(f"{gap.first} to {gap.second}" for gap in self.gaps)
        raise InputError([Problem(f"no gap from {first!r} to {second!r}.", "evidence", f"Known: {known}.")])

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record for each total, gap and coverage."""
        found = [{"kind": "total", **_record(each)} for each in self.totals]
        found += [
            {"kind": "gap", **_record(each.difference), "inside_noise": each.inside_noise, "simulated": each.simulated}
            for each in self.gaps
        ]
        for each in self.coverage:
            tested = {"p_value": each.coverage.p_value, "zone": each.zone.zone}
            plain = {name: getattr(each, name) for name in ("owner", "firm", "days", "exceptions", "uncovered", "cost")}
            found.append({"kind": "coverage", "name": each.regime, **plain, **tested})
        return found

    def __str__(self) -> str:
        """Return the figures as aligned text."""
        rows = [("", "USD", "standard error", f"{self.interval:.0%} of resamples", "")]
        for each, said in [
            *((each, "") for each in self.totals),
            *((gap.difference, "inside noise" if gap.inside_noise else "") for gap in self.gaps),
        ]:
            rows.append((each.name, money(each.figure), money(each.standard_error), _span(each), said))
        rows += [
            (
                f"{each.regime}: {each.owner} at {each.firm}",
                f"{each.exceptions} of {counted(each.days, 'day')}",
                "",
                "",
                "",
            )
            for each in self.coverage
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)]) + "\n"


def evidence(
    portfolio: Portfolio,
    market: Market,
    regimes: Iterable[Regime] = THREE,
    *,
    level: str = "clearing",
    rules: Iterable[Rules] = (),
    resamples: int = 400,
    block_days: int | None = None,
    interval: float = 0.95,
    seed: int = 0,
    days: Iterable[date] = (),
    history: MarketHistory | None = None,
    book: PastBook | None = None,
    calibration: date | None = None,
) -> Evidence:
    """Return how sure the totals of some regimes and their differences are.

    Parameters
    ----------
    portfolio, market, rules
        As for `margin.compare`.
    regimes : iterable of Regime
        Gaps are those between each two of them.
    level : str
        `clearing` or `customer`.
    resamples, block_days, interval, seed
        As for `sampling`.
    days, history, book, calibration
        As for `coverage`; the history is that of the market and the book the portfolio held still unless given. No
        days, no coverage.

    Raises
    ------
    InputError
        As `sampling`, `coverage` and `compare`.

    Examples
    --------
    >>> from crossmargin.samples import basis_trade
    >>> found = evidence(*basis_trade(), (SILOED, CROSS_MARGIN), resamples=40)
    >>> found.gap("siloed", "cross_margin").inside_noise
    False
    """
    chosen, overlaid = tuple(regimes), tuple(rules)
    drawn = sampling(
        portfolio,
        market,
        chosen,
        level=level,
        rules=overlaid,
        resamples=resamples,
        block_days=block_days,
        interval=interval,
        seed=seed,
    )
    wanted = tuple(days)
    if not wanted:
        return drawn
    past = history or MarketHistory(market.history, market.price_history)
    tested, missing, notes = coverage(book or portfolio, past, chosen, wanted, rules=overlaid, calibration=calibration)
    return evolve(drawn, coverage=tested, missing=missing, notes=(*drawn.notes, *notes))


# ------------------------------------------------------------------------------------------------- sampling error


def sampling(
    portfolio: Portfolio,
    market: Market,
    regimes: Iterable[Regime] = THREE,
    *,
    level: str = "clearing",
    rules: Iterable[Rules] = (),
    resamples: int = 400,
    block_days: int | None = None,
    interval: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Return the sampling error of each regime's total and of their differences, from a paired block bootstrap.

    Parameters
    ----------
    resamples : int
        How often the scenarios are drawn anew, at least 2.
    block_days : int, optional
        Length of the blocks of neighbouring scenarios that are drawn together; the longest horizon of all scenario sets
        unless given, since changes over several days overlap.
    interval : float
        Share of the resamples between `low` and `high`.
    seed : int
        The same seed gives the same figures.

    Raises
    ------
    InputError
        No regime, an unknown level, settings out of range, whatever `compare` refuses.

    Notes
    -----
    Every simulated loss in the calculation is measured on the resampled scenarios, and the calculation is repeated from
    there: floors, caps, factors and credits with it. A resample takes the same stretches of history in every scenario
    set and so in every regime. What is not simulated (haircuts, grids, strategies), or cannot be traced to its
    scenarios, stays as it is: where that is more than a trifle a note says so, and the error is a lower bound. A loss
    that was zero stays zero.

    References
    ----------
    Politis and Romano (1992), A circular block-resampling procedure for stationary data, in Exploring the limits of
    bootstrap; Efron and Tibshirani (1993), An introduction to the bootstrap, chapter 13 (percentile interval).
    """
    chosen, overlaid = tuple(regimes), tuple(rules)
    _check(chosen, level, resamples, block_days=block_days, interval=interval)
    compared, book = compare(portfolio, market, chosen, rules=overlaid), rulebook(overlaid)
    inputs = repriced(portfolio, market, chosen, book)
    block = block_days or max((spec.horizon_days for spec in inputs.pnl), default=1)
    draws = Draws(inputs, resamples, block, seed)
    asked = compared.totals(level)
    known = Comparison([report for report in compared.reports if asked[report.regime] is not None])
    totals, simulated = _totals(known, level, draws, book)
    figures = {name: amount for name, amount in asked.items() if amount is not None}
    gaps = [
        RegimeGap(
            one,
            two,
            _sampled(f"{one} to {two}", figures[two] - figures[one], totals[two] - totals[one], interval=interval),
            min(simulated[one], simulated[two]),
        )
        for one, two in combinations(totals, 2)
    ]
    own = [_sampled(name, figures[name], drawn, interval=interval) for name, drawn in totals.items()]
    notes = [f"{resamples} resamples in blocks of {counted(block, 'scenario')}, seed {seed}"]
    rest = "of the total is simulated, of the rest no error is known"
    notes += [f"{name}: {share:.0%} {rest}" for name, share in simulated.items() if share < ALL]
    notes += [f"{name}: nothing that it asks for is modelled" for name, amount in asked.items() if amount is None]
    return Evidence(level, interval, own, gaps, notes=notes)


def _totals(
    compared: Comparison, level: str, draws: Draws, book: Mapping[str, Rules]
) -> tuple[dict[str, FloatArray], dict[str, float]]:
    """Return the total [resamples] of each regime, USD, and the share of each that is simulated."""
    drawn = [each.positions for report in compared.reports for each in report.requirements]
    found: dict[str, FloatArray] = {}
    simulated: dict[str, float] = {}
    for report in compared.reports:
        clearing = walks(report, "clearing", draws.inputs, book, drawn=drawn)
        asked, calculations = redrawn(clearing, draws), clearing
        if level != "clearing":
            calculations = walks(report, level, draws.inputs, book, drawn=drawn)
            asked = redrawn(calculations, draws, asked)
        found[report.regime] = np.zeros(draws.resamples)
        for each in asked.values():
            found[report.regime] += each
        simulated[report.regime] = _simulated(report, level, clearing, calculations)
    return found, simulated


def _simulated(report: Report, level: str, clearing: Calculations, calculations: Calculations) -> float:
    """Return which share of a total is simulated: the error of the rest is not zero but unknown."""
    below: dict[str, list[float]] = {}
    for pool, walk in clearing:
        below.setdefault(pool, []).append(walk.simulated(walk.root))
    at_all = fsum(
        fsum(below.get(pool, ())) * (walk.root.factor if walk.root.how == "scaled" else 1.0)
        if any(line.name == NET for line in walk.root.walk())
        else walk.simulated(walk.root)
        for pool, walk in calculations
    )
    whole = report.total(level)
    # a credit that is not simulated leaves more than the whole: that much is unknown too
    return max(0.0, 1.0 - abs(whole - at_all) / whole) if whole else 1.0


def _sampled(name: str, figure: float, drawn: Drawn, *, interval: float) -> Sampled:
    tails = (1.0 - interval) / 2.0
    low, high = np.quantile(drawn, [tails, 1.0 - tails])
    return Sampled(name, figure, float(np.std(drawn, ddof=1)), float(low), float(high))


def _check(regimes: tuple[Regime, ...], level: str, resamples: int, *, block_days: int | None, interval: float) -> None:
    problems, names = Problems(), [regime.name for regime in regimes]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        problems.add("stands twice.", where=f"regime {name!r}", fix="Name a variant: evolve(regime, name=...).")
    if level not in LEVELS:
        problems.add(f"unknown level {level!r}.", where="level", fix=suggestion(str(level), LEVELS))
    check_whole(problems, "resamples", resamples, least=2)
    check_whole(problems, "block_days", 1 if block_days is None else block_days)
    if not 0.0 < interval < 1.0:
        problems.add(f"{interval!r} is out of range.", where="interval", fix="Give a share between 0 and 1.")
    problems.raise_if_any()


def _span(sampled: Sampled) -> str:
    return f"{money(sampled.low)} to {money(sampled.high)}"


def _record(sampled: Sampled) -> dict[str, Any]:
    names = ("name", "figure", "standard_error", "low", "high")
    return {name: getattr(sampled, name) for name in names}
