"""Back-tests of a study: what each regime asked for on many past days, what came of it, and what the tests say.

`outcomes(...)` margins a book on one day, as it is asked and without its tools against procyclicality, and looks at the
profit and loss of the days after; `back_tested` and `swings` turn the outcomes of all days into tables. A test that
has too few days, or no profit and loss, says so in its verdict: it has passed nothing. Nothing here sees a later day
but the profit and loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from math import fsum
from types import MappingProxyType
from typing import Any

import numpy as np
from attrs import frozen

from crossmargin.analysis.backtest import (
    Procyclicality,
    christoffersen,
    exceptions,
    kupiec,
    kupiec_power,
    procyclicality,
    traffic_light,
)
from crossmargin.analysis.coverage import gains, horizons_read
from crossmargin.analysis.margin_series import MarketHistory
from crossmargin.errors import InputError
from crossmargin.io.journal import Record
from crossmargin.margin import compare
from crossmargin.market import History, Market
from crossmargin.parameters import Rules
from crossmargin.portfolio import Portfolio
from crossmargin.regimes import Regime
from crossmargin.results import Report

CLAIM = 0.01  # how often every requirement is tested to be exceeded at most
SIGNIFICANCE = 0.05  # a p-value below it speaks against the requirement
OFTEN, ENOUGH = 3.0, 0.5  # enough days: exceptions OFTEN times as frequent as claimed would be noticed as often as not
NOT_TESTED, TOO_FEW = "not tested", "too few days"
UNDERSTATED, OVERSTATED, PASSED = "too many exceptions", "fewer exceptions than claimed", "not rejected"
_OFF: Mapping[str, float] = MappingProxyType(
    {"historical_weight": 1.0, "stress_weight": 0.0, "buffer_fraction": 0.0, "volatility_floor": 0.0}
)
_GUARDRAILS = frozenset({"stress_weight", "long_run_floor", "buffer", "stress_floor"})
_BECAUSE = "without tools against procyclicality"
_YEAR = timedelta(days=365)
_UNIT = ("book", "level", "regime", "status", "owner", "firm")


def spaced_days(history: History, first: date, last: date, every: int) -> tuple[date, ...]:
    """Return every so many-th day of a history from one day to another; none when `every` is 0.

    Examples
    --------
    >>> from crossmargin.io.market_files import packaged_history
    >>> [day.day for day in spaced_days(packaged_history(), date(2016, 3, 1), date(2016, 3, 31), 10)]
    [1, 15, 30]
    """
    days = [day for day in history.dates if first <= day <= last]
    return tuple(days[::every]) if every else ()


def without_tools(rules: Iterable[Rules], day: date) -> tuple[Rules, ...]:
    """Return rules with stressed weights, buffers and floors on volatility off, and no stress period ahead of a day.

    A stress period inside the look-back adds nothing to it. What is off is overlaid, and graded `assumed`.
    """
    return tuple(_without(each, day) for each in rules)


def _without(rules: Rules, day: date) -> Rules:
    off: dict[str, Any] = {name: value for name, value in _OFF.items() if name in rules.parameters}
    if "stress_period" in rules.parameters:
        off["stress_period"] = (day - _YEAR, day)
    if "guardrails" in rules.parameters:
        on = rules.in_force("guardrails", day).value
        off["guardrails"] = [name for name in on if name not in _GUARDRAILS]
    return rules.with_values(because=_BECAUSE, **off) if off else rules


# -------------------------------------------------------------------------------------------------------- one day


def outcomes(
    portfolio: Portfolio, market: Market, history: MarketHistory, regimes: Iterable[Regime], *, rules: Iterable[Rules]
) -> list[Record]:
    """Return what every owner was asked for by each regime on a day, and what came of what it held.

    Parameters
    ----------
    history : MarketHistory
        With the days after, from which profit and loss is taken; no requirement sees them.
    rules : iterable of Rules
        As they hold on the day.

    Returns
    -------
    list of dict
        One for each level, regime, owner and firm: `required` and `unmitigated` (USD, None where nothing is modelled),
        and the profit and loss over the shortest and the longest horizon of any regime (USD, gain > 0, None where that
        of a position is not known).
    """
    chosen, known = tuple(regimes), tuple(rules)
    asked = compare(portfolio, market, chosen, rules=known).reports
    plain = compare(portfolio, market, chosen, rules=without_tools(known, market.as_of)).reports
    horizons = sorted({days for report in asked for days in horizons_read(report, portfolio)})
    spans = {"shortest": horizons[0], "longest": horizons[-1]}
    gained = {days: _gained(portfolio, market, history, days) for days in dict.fromkeys(spans.values())}
    row = market.history.row_at(market.as_of)
    found = []
    for report, bare in zip(asked, plain, strict=True):
        unmitigated, own = _units(bare), [str(days) for days in horizons_read(report, portfolio)]
        for unit, each in _units(report).items():
            named = {"regime": report.regime, "status": report.status, **dict(zip(_UNIT_NAMES, unit, strict=True))}
            other = unmitigated.get(unit)
            said = {"row": row, **named, "required": each.required, "unmitigated": other and other.required}
            for name, days in spans.items():
                said |= {f"{name}_days": days, f"{name}_pnl": _pnl(each.positions, gained[days])}
            found.append({**said, "own_horizons": own, "partial": each.partial})
    return found


_UNIT_NAMES = ("level", "owner", "firm")


@frozen
class _Unit:
    """What one owner is asked for at one firm, USD, and for which positions."""

    required: float | None
    positions: frozenset[str]
    partial: bool


def _units(report: Report) -> dict[tuple[str, str, str], _Unit]:
    found = {}
    units = dict.fromkeys((each.level, each.owner, each.firm) for each in report.requirements)
    for unit in units:
        lines = [each.line for each in report.entries if (each.level, each.owner, each.firm) == unit]
        held = (each.positions for each in report.requirements if (each.level, each.owner, each.firm) == unit)
        amounts = [line.amount for line in lines if line.amount is not None]
        required = max(0.0, fsum(amounts)) if amounts else None
        ids = frozenset(id for ids in held for id in ids)
        found[unit] = _Unit(required, ids, any(line.partial for line in lines))
    return found


def _gained(portfolio: Portfolio, market: Market, history: MarketHistory, days: int) -> Mapping[str, float]:
    try:
        return gains(portfolio.positions, market, history, days)[0]
    except InputError:  # the last days of a history have none after them
        return {}


def _pnl(positions: Iterable[str], gained: Mapping[str, float]) -> float | None:
    """Return what positions gained together; None where one of them is not known: the rest says nothing of the sum."""
    found = [gained.get(id) for id in positions]
    known = [each for each in found if each is not None]
    return fsum(known) if len(known) == len(found) else None


# ------------------------------------------------------------------------------------------------------- all days


def back_tested(rows: Iterable[Record]) -> Iterator[Record]:
    """Yield the back-test of each owner's requirement under each regime, over the shortest and the longest horizon.

    Notes
    -----
    Every day is tested on changes that do not overlap. The claim is `CLAIM` for all, over one horizon for all
    regimes: `own_horizons` says over which each reckons its figures, and an expected shortfall claims no coverage at
    all. `power` is the chance that Kupiec's test would notice exceptions `OFTEN` times as frequent as claimed; where it
    is below `ENOUGH` the verdict is that there are too few days, whatever the p-value.

    References
    ----------
    Kupiec (1995); Christoffersen (1998); Basel Committee on Banking Supervision (1996): see `backtest`.
    """
    for unit, mine in _grouped(rows):
        for name in ("shortest", "longest"):
            days = max(row[f"{name}_days"] for row in mine)
            if name == "shortest" or days > max(row["shortest_days"] for row in mine):
                yield {**unit, **_test(mine, name, days)}


def _grouped(rows: Iterable[Record]) -> Iterator[tuple[Record, list[Record]]]:
    found: dict[tuple[str, ...], list[Record]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in _UNIT), []).append(row)
    for key, mine in found.items():
        yield dict(zip(_UNIT, key, strict=True)), mine


def _test(rows: Sequence[Record], name: str, days: int) -> Record:
    known = [row for row in rows if row["required"] is not None and row[f"{name}_pnl"] is not None]
    taken = _apart(known, days)
    own = dict.fromkeys(horizon for row in rows for horizon in row["own_horizons"])
    partial = any(row["partial"] for row in taken)
    said = {"horizon_days": days, "own_horizons": list(own), "observations": len(taken), "partial": partial}
    if not taken:
        lacking = "requirement" if not any(row["required"] is not None for row in rows) else "profit and loss"
        return {**said, "verdict": f"{NOT_TESTED}: no {lacking}"}
    count = len(taken)
    required, pnl = (np.array([row[column] for row in taken]) for column in ("required", f"{name}_pnl"))
    hits = exceptions(pnl, required)
    failed, power = int(hits.sum()), kupiec_power(count, CLAIM, OFTEN * CLAIM)
    clusters = christoffersen(hits, CLAIM)
    found = {
        "first": taken[0]["day"],
        "last": taken[-1]["day"],
        "exceptions": failed,
        "expected": CLAIM * count,
        "uncovered": max(0.0, float(np.max(-pnl - required))),
        "kupiec_p": kupiec(count, failed, CLAIM).p_value,
        "independence_p": clusters.independence.p_value,
        "conditional_p": clusters.conditional.p_value,
        "zone": traffic_light(count, failed, CLAIM).zone,
        "power": power,
    }
    return {**said, **found, "verdict": _verdict(found)}


def _apart(rows: Iterable[Record], days: int) -> list[Record]:
    """Return the rows to take so that the changes after them do not overlap."""
    taken: list[Record] = []
    for row in rows:
        if not taken or row["row"] >= taken[-1]["row"] + days:
            taken.append(row)
    return taken


def _verdict(found: Record) -> str:
    if found["power"] < ENOUGH:
        return TOO_FEW
    if found["kupiec_p"] < SIGNIFICANCE:
        return UNDERSTATED if found["exceptions"] > found["expected"] else OVERSTATED
    return f"{PASSED}, exceptions in clusters" if found["independence_p"] < SIGNIFICANCE else PASSED


def swings(rows: Iterable[Record]) -> Iterator[Record]:
    """Yield how far each requirement swung over the days, as asked and without tools against procyclicality.

    Notes
    -----
    `peak_to_trough` is the largest requirement over the smallest, `largest_increase` the largest ratio of one to that
    of the day before in the table, `rows_between` how many rows of the history lie between the two as a rule. `cost` is
    the mean requirement over the mean without the tools. None where a requirement is zero or not known.

    References
    ----------
    Murphy, Vasios and Vause (2014), An investigation into the procyclicality of risk-based initial margin models,
    Bank of England Financial Stability Paper 29.
    """
    for unit, mine in _grouped(rows):
        known = [row for row in mine if row["required"] is not None]
        if len(known) < 2:
            continue
        swing, bare = (_swing(known, name) for name in ("required", "unmitigated"))
        peak = max(known, key=lambda row: float(row["required"]))
        trough = min(known, key=lambda row: float(row["required"]))
        pairs = [(row["required"], row["unmitigated"]) for row in known if row["unmitigated"] is not None]
        plain = fsum(other for _, other in pairs)
        yield {
            **unit,
            "days": len(known),
            "rows_between": int(np.median(np.diff([row["row"] for row in known]))),
            "mean": fsum(row["required"] for row in known) / len(known),
            "peak_to_trough": swing and swing.peak_to_trough,
            "peak_day": peak["day"],
            "trough_day": trough["day"],
            "largest_increase": swing and swing.largest_increase_ratio,
            "unmitigated_peak_to_trough": bare and bare.peak_to_trough,
            "unmitigated_largest_increase": bare and bare.largest_increase_ratio,
            "cost": fsum(asked for asked, _ in pairs) / plain if plain else None,
        }


def _swing(rows: Sequence[Record], name: str) -> Procyclicality | None:
    amounts = [row[name] for row in rows]
    return procyclicality(amounts, 1) if all(amounts) else None


def by_year(days: Iterable[date]) -> tuple[tuple[date, ...], ...]:
    """Return days in groups of one calendar year each: what an interrupted study does again at most."""
    return tuple(tuple(mine) for _, mine in groupby(sorted(days), key=lambda day: day.year))
