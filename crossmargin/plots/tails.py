"""Losses against margin: the scenarios behind one figure, and the days of a history.

Call `pnl_distribution(gains)` or `margin_history(series)`. Value at risk and expected shortfall are those of `risk`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date
from math import ceil
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from crossmargin.analysis.backtest import exceptions
from crossmargin.analysis.margin_series import MarginSeries
from crossmargin.columns import FloatArray
from crossmargin.errors import Problems, counted, is_number
from crossmargin.plots.style import (
    AROUND,
    BLACK,
    BLUE,
    GREY,
    PALE,
    PURPLE,
    SKY,
    STYLE,
    VERMILION,
    WIDTH,
    drawing,
    standing,
    unit_of,
)
from crossmargin.registry import rulebook
from crossmargin.risk import expected_shortfall, value_at_risk

_BINS = 60
_TAIL = {"facecolor": "white", "edgecolor": VERMILION, "hatch": "////"}
_BODY = {"facecolor": SKY, "edgecolor": SKY}


def pnl_distribution(
    gains: ArrayLike,
    *,
    confidence: float = 0.99,
    requirement: float | None = None,
    name: str = "",
    status: str = "",
    as_of: date | None = None,
) -> Any:
    """Draw the P&L of one pool, or of a whole book, under all scenarios, its tail shaded.

    Lines stand at value at risk, expected shortfall and the requirement, all three as losses, with their amounts in the
    legend. The shaded tail is what lies beyond value at risk.

    Parameters
    ----------
    gains : array [n_scenarios]
        USD, gain > 0: what `PnL.pooled` returns.
    confidence : float
        Of both measures.
    requirement : float, optional
        What is asked for, USD, >= 0; the amount of a `Requirement.line`.
    name, status : str
        Of the pool or book, and of what asks for the requirement (`in_force`, `proposed`), for the title.
    as_of : date, optional
        For the title.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        No scenario, a gain or requirement that is not finite, a confidence outside (0, 1); matplotlib is not installed.
    """
    mpl, figure_of = drawing()
    drawn = _checked(gains, requirement)
    worst, beyond = float(value_at_risk(drawn, confidence)), float(expected_shortfall(drawn, confidence))
    scale, unit = unit_of([float(np.abs(drawn).max()), worst, requirement or 0.0])
    with mpl.rc_context(STYLE):
        figure = figure_of(figsize=(WIDTH, 4.0), layout="constrained")
        axis = figure.subplots()
        _bins(axis, drawn / scale, -worst / scale)
        said = f"{100 * confidence:.6g}% of {counted(drawn.size, 'scenario')}"
        lines = [("required", requirement, {"color": BLACK, "linewidth": 3.4})] if requirement is not None else []
        lines += [(f"value at risk, {said}", worst, {"color": VERMILION, "linewidth": 1.4})]
        lines += [("expected shortfall", beyond, {"color": PURPLE, "linewidth": 1.4, "linestyle": "--"})]
        for label, loss, look in lines:
            axis.axvline(-loss / scale, label=f"{label}: {loss / scale:,.2f}", **look)
        axis.margins(x=0.02)
        axis.set(xlabel=f"gain or loss, {unit}", ylabel="scenarios")
        axis.grid(axis="y", color=PALE, linewidth=0.6)
        day = f", {as_of}" if as_of else ""
        title = f"Profit and loss{f' of {name}' if name else ''}{day}{standing([status]) if status else ''}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def margin_history(series: MarginSeries, *, status: str = "") -> Any:
    """Draw what was required day by day, below zero, against what the book then gained or lost, and mark every breach.

    The line of the requirement is broken where days have no figure.

    Parameters
    ----------
    series : MarginSeries
        What `margin_series` returned, USD.
    status : str, optional
        Of the rule-set; that of the shipped rule unless given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        matplotlib is not installed.
    """
    mpl, figure_of = drawing(series=(series, MarginSeries, "Give what margin_series returned."))
    known = np.flatnonzero(np.isfinite(series.pnl))
    beyond = known[exceptions(series.pnl[known], series.requirement[known])] if known.size else known
    scale, unit = unit_of(float(np.nanmax(np.abs(each), initial=0.0)) for each in (series.requirement, series.pnl))
    with mpl.rc_context(STYLE):
        figure = figure_of(figsize=(WIDTH, 2.6 + AROUND + 0.16 * len(series.notes)), layout="constrained")
        axis = figure.subplots()
        days = np.array(series.dates, dtype="datetime64[D]")
        tops = np.column_stack([np.zeros(known.size), series.pnl[known] / scale, np.full(known.size, np.nan)])
        over = f"gain or loss over {counted(series.horizon_days, 'day')}"
        axis.plot(np.repeat(days[known], 3), tops.ravel(), color=GREY, linewidth=0.8, label=over)
        axis.plot(*_broken(series, days, scale), color=BLUE, linewidth=1.6, label="required, below zero")
        marks = {"color": VERMILION, "marker": "x", "markersize": 7.0, "markeredgewidth": 1.8, "linestyle": ""}
        said = f"loss beyond the requirement: {beyond.size:,} of {known.size:,}"
        axis.plot(days[beyond], series.pnl[beyond] / scale, label=said, zorder=3, **marks)
        axis.axhline(0.0, color=GREY, linewidth=0.8)
        axis.set(ylabel=unit, xlabel="\n".join(fill(note, 120) for note in series.notes))
        axis.grid(axis="y", color=PALE, linewidth=0.6)
        figure.suptitle(_series_title(series, status), x=0.01, ha="left", fontsize=10)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _checked(gains: ArrayLike, requirement: float | None) -> FloatArray:
    drawn, problems = np.asarray(gains, dtype=np.float64), Problems()
    if drawn.ndim != 1 or not drawn.size:
        problems.add(f"have shape {drawn.shape}.", where="gains", fix="Give one for each scenario, and one at least.")
    elif bad := int((~np.isfinite(drawn)).sum()):
        problems.add(f"{bad} are not finite.", where="gains", fix="Leave these scenarios out, or calculate them anew.")
    if requirement is not None and not (is_number(requirement) and requirement >= 0.0):
        problems.add(f"is {requirement!r}.", where="requirement", fix="Give USD, >= 0, or leave it out.")
    problems.raise_if_any("No distribution can be drawn")
    return drawn


def _bins(axis: Any, gains: FloatArray, tail: float) -> None:
    """Draw a histogram one edge of which is the value at risk, so that the shaded tail holds what lies beyond it."""
    low, high = min(float(gains.min()), tail), max(float(gains.max()), tail)
    width = (high - low) / _BINS or 1.0
    before, after = ceil((tail - low) / width), max(1, ceil((high - tail) / width))
    edges = tail + width * np.arange(-before, after + 1)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)  # rounding must not lose the ends
    counts, _ = np.histogram(gains, edges)
    axis.stairs(counts[before:], edges[before:], fill=True, **_BODY)
    beyond = int(counts[:before].sum())
    if beyond:
        said = f"beyond value at risk: {counted(beyond, 'scenario')}"
        axis.stairs(counts[:before], edges[: before + 1], fill=True, linewidth=0.6, label=said, **_TAIL)


def _broken(series: MarginSeries, days: Any, scale: float) -> tuple[Any, FloatArray]:
    """Return days and requirements with a hole wherever days without figures lie between."""
    holes = [*_holes(series)]
    asked = np.insert(-series.requirement / scale, holes, np.nan)
    return np.insert(days, holes, days[np.array(holes, dtype=int)] if holes else []), asked


def _holes(series: MarginSeries) -> Iterator[int]:
    found = {bisect_left(series.dates, gap.day) for gap in series.gaps}
    yield from sorted(place for place in found if 0 < place < len(series.dates))


def _series_title(series: MarginSeries, status: str) -> str:
    shipped = rulebook().get(series.ruleset)
    told = status or (shipped.status if shipped else "")
    first = f"Requirement of {series.book} under {series.ruleset}{standing([told]) if told else ''}"
    if not series.dates:
        return f"{first}\nNo day has figures."
    count = len(series.gaps)
    gaps = f"; {counted(count, 'day')} without figures" if count else ""
    overlap = " Changes over several days overlap." if series.horizon_days > 1 else ""
    return f"{first}\n{series.dates[0]} to {series.dates[-1]}{gaps}.{overlap}"
