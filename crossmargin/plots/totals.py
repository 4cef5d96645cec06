"""What regimes ask for, and the steps from one total to another.

Call `regimes(comparison)` or `waterfall(attribution)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import accumulate
from textwrap import fill
from types import MappingProxyType
from typing import Any

from crossmargin.analysis.attribution import Attribution
from crossmargin.plots.style import (
    AROUND,
    BLUE,
    GREEN,
    GREY,
    HATCHES,
    SHADES,
    STYLE,
    VERMILION,
    WIDTH,
    behind,
    drawing,
    name_rows,
    named,
    patches,
    standing,
    unit_of,
)
from crossmargin.results import Comparison, Line, Report, total
from crossmargin.tables import LEVEL_TITLES, level_title, money

_STEPS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "asked for": {"facecolor": BLUE, "edgecolor": BLUE},
        "asks for less": {"facecolor": GREEN, "edgecolor": GREEN},
        "asks for more": {"facecolor": "white", "edgecolor": VERMILION, "hatch": "////"},
    }
)


def regimes(comparison: Comparison) -> Any:
    """Draw what each regime asks for as one bar, made of its pots, net of credit.

    Each level has a panel of its own, for levels never add. A regime that is proposed says so before its bar; behind
    it stands the total, with a star where something is left out, or a question mark where nothing is known.

    Parameters
    ----------
    comparison : Comparison
        What `compare` returned. A pot below zero is drawn to the left.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        matplotlib is not installed.
    """
    fix = "Give what compare returned; report.plot() draws one report."
    mpl, figure_of = drawing(comparison=(comparison, Comparison, fix))
    reports = comparison.reports
    levels = [level for level in LEVEL_TITLES if any(level in report.levels for report in reports)]
    asked = {level: [_by_pot(report, level) for report in reports] for level in levels}
    looks = _pot_looks(row for rows in asked.values() for row in rows)
    scale, unit = unit_of(report.total(level) or 0.0 for report in reports for level in levels)
    with mpl.rc_context(STYLE):
        height = max(1, len(levels)) * (0.35 + 0.4 * max(1, len(reports))) + AROUND
        figure = figure_of(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(max(1, len(levels)), 1, squeeze=False, sharex=True)[:, 0]
        for axis, (level, rows) in zip(axes, asked.items(), strict=False):
            _stacks(axis, rows, looks, scale)
            names = (named(each.regime, each.status) for each in reports)
            name_rows(axis, dict(enumerate(names)), len(reports))
            axis.set_title(level_title(level, reports).capitalize())
        axes[-1].set_xlabel(unit)
        figure.suptitle(_compared(reports), x=0.01, ha="left", fontsize=10)
        figure.legend(handles=[*patches(looks)], loc="outside lower center", ncols=4, frameon=False)
    return figure


def waterfall(attribution: Attribution, *, as_of: date | None = None) -> Any:
    """Draw the steps that lead from what one regime asks for to what the other does, with their amounts in USD.

    Parameters
    ----------
    attribution : Attribution
        What `attribute` returned. A step below zero lowers the requirement.
    as_of : date, optional
        The day of the book, for the title; that of the attribution unless given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        matplotlib is not installed.
    """
    mpl, figure_of = drawing(attribution=(attribution, Attribution, "Give what attribute returned."))
    rows = (*attribution.line.parts, attribution.line)
    ends = [*accumulate(line.value for line in attribution.line.parts), attribution.line.value]
    starts = [0.0, *ends[:-2], 0.0]
    scale, unit = unit_of(ends)
    with mpl.rc_context(STYLE):
        figure = figure_of(figsize=(WIDTH, len(rows) * 0.36 + AROUND), layout="constrained")
        axis = figure.subplots()
        for place, (line, start, end) in enumerate(zip(rows, starts, ends, strict=True)):
            look = _step_look(line.value, whole=place in (0, len(rows) - 1))
            if end != start:
                axis.barh(place, (end - start) / scale, left=start / scale, height=0.62, linewidth=0.8, **look)
            behind(axis, place, max(start, end) / scale, _dollars(line, signed=0 < place < len(rows) - 1))
        for place, end in enumerate(ends[:-1]):
            axis.plot([end / scale] * 2, [place, place + 1], color=GREY, linewidth=0.8, zorder=0.9)
        name_rows(axis, {place: line.name for place, line in enumerate(rows)}, len(rows))
        axis.set_xlabel("\n".join([unit, *(fill(note, 120) for note in attribution.notes)]))
        figure.suptitle(_steps_title(attribution, as_of or attribution.as_of), x=0.01, ha="left", fontsize=10)
        figure.legend(handles=[*patches(_STEPS)], loc="outside lower center", ncols=3, frameon=False)
    return figure


def _by_pot(report: Report, level: str) -> dict[str, Line]:
    """Return what one regime asks for in each pot, net of credit."""
    entries = [entry for entry in report.entries if entry.level == level]
    pots = dict.fromkeys(entry.pot for entry in entries)
    return {pot: total(pot, [entry.line for entry in entries if entry.pot == pot]) for pot in pots}


def _pot_looks(rows: Iterable[Mapping[str, Line]]) -> dict[str, dict[str, Any]]:
    """Return the look of each pot that asks for something; one of which nothing is known says so."""
    amounts: dict[str, list[float | None]] = {}
    for pot, line in (item for row in rows for item in row.items()):
        amounts.setdefault(pot, []).append(line.amount)
    shown = [pot for pot, found in amounts.items() if any(found)]
    looks = {pot: _pot_look(number) for number, pot in enumerate(shown)}
    unknown = [pot for pot, found in amounts.items() if all(amount is None for amount in found)]
    return looks | {f"{pot}: not modelled": {"facecolor": "white", "edgecolor": GREY} for pot in unknown}


def _pot_look(number: int) -> dict[str, Any]:
    hatch = HATCHES[number % len(HATCHES)]
    return {"facecolor": SHADES[number % len(SHADES)], "edgecolor": "white", "hatch": hatch}


def _stacks(axis: Any, rows: Sequence[Mapping[str, Line]], looks: Mapping[str, Any], scale: float) -> None:
    """Draw pots beside one another, those below zero to the left."""
    for place, row in enumerate(rows):
        ends = {True: 0.0, False: 0.0}
        for pot in looks:
            if (line := row.get(pot)) and line.value:
                width, side = line.value / scale, line.value > 0.0
                axis.barh(place, width, left=ends[side], height=0.62, linewidth=0.8, **looks[pot])
                ends[side] += width
        star = "*" if any(line.partial for line in row.values()) else ""
        known = not row or any(line.amount is not None for line in row.values())
        behind(axis, place, ends[True], f"{sum(ends.values()):,.2f}{star}" if known else "?")


def _compared(reports: Sequence[Report]) -> str:
    if not reports:
        return "No regime was compared."
    days = ", ".join(dict.fromkeys(str(report.as_of) for report in reports))
    status = standing(report.status for report in reports)
    said = "Net of credit; levels never add; * leaves something out, ? is not known."
    return f"Initial margin by regime and pot, {days}{status}\n{said}"


def _step_look(amount: float, *, whole: bool) -> Mapping[str, Any]:
    return _STEPS["asked for" if whole else "asks for less" if amount < 0.0 else "asks for more"]


def _dollars(line: Line, *, signed: bool) -> str:
    """Return an amount to the cent, as tables print it: rounded further, steps would not add up to the eye."""
    if line.amount is None:
        return money(None)
    amount = round(line.value, 2) + 0.0
    return f"{amount:{'+' if signed and amount else ''},.2f}{'*' if line.partial else ''}"


def _steps_title(found: Attribution, as_of: date | None) -> str:
    day = f", {as_of}" if as_of else ""
    first = f"From {found.base} to {found.other}: {found.level} {found.of} in USD{day}{standing([found.status])}"
    starred = any(line.partial and line.amount is not None for line in (*found.line.parts, found.line))
    star = " * leaves something out." if starred else ""
    return f"{first}\nEach step has its mean effect over all orders.{star}"
