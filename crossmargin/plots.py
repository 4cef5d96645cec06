"""Pictures of reports, with the extra `plots` (matplotlib).

`regimes` draws what regimes ask for, `waterfall` why two of them differ, `frontier` savings against loss, and `pots`
where collateral lies. Each returns a matplotlib figure, which a notebook shows and `savefig` writes. One style for all;
colours are those of Okabe and Ito, and hatches or shapes tell apart without colour. Nothing is calculated here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import accumulate, pairwise, product
from math import isfinite
from textwrap import fill
from types import MappingProxyType
from typing import Any

from attrs import frozen

from crossmargin.accounts import InsolvencyRegime
from crossmargin.analysis.attribution import Attribution
from crossmargin.analysis.protection import Frontier, Point
from crossmargin.collateral.balance import Balance, CollateralReport
from crossmargin.collateral.covering import wholly_unknown
from crossmargin.errors import InputError, Problem, Problems
from crossmargin.results import Comparison, Line, Report, total
from crossmargin.tables import LEVEL_TITLES, PROPOSED

BLACK, GREY, PALE = "#000000", "#999999", "#dddddd"
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW = "#CC79A7", "#56B4E9", "#F0E442"
STYLE: Mapping[str, Any] = MappingProxyType(
    {
        "font.size": 9.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.axisbelow": True,
        "axes.titlesize": 10.0,
        "axes.titlelocation": "left",
        "hatch.linewidth": 0.8,
        "svg.fonttype": "none",
        "svg.hashsalt": "crossmargin",
        "text.parse_math": False,
    }
)
_PARTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "covered": {"facecolor": BLUE, "edgecolor": BLUE},
        "deficit": {"facecolor": "white", "edgecolor": VERMILION, "hatch": "////"},
        "excess, free": {"facecolor": GREEN, "edgecolor": GREEN},
        "excess, locked": {"facecolor": ORANGE, "edgecolor": "white", "hatch": "xxx"},
        "lost to haircuts": {"facecolor": PALE, "edgecolor": GREY},
    }
)
_SHADES = (BLUE, ORANGE, GREEN, SKY, PURPLE, YELLOW, VERMILION)
_HATCHES = ("", "////", "||||", "xxx", "----")
_STEPS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "asked for": {"facecolor": BLUE, "edgecolor": BLUE},
        "asks for less": {"facecolor": GREEN, "edgecolor": GREEN},
        "asks for more": {"facecolor": "white", "edgecolor": VERMILION, "hatch": "////"},
    }
)
_TITLES = MappingProxyType({"clearing": "At clearing houses", "customer": "At the carrying firm"})
_UNITS = ((1e9, "USD billion"), (1e6, "USD million"), (1e3, "USD thousand"), (1.0, "USD"))
_BEHIND = "Behind each bar: value after haircuts for requirement; * leaves something out, ? is not known."
_ROW, _AROUND, _WIDTH = 0.3, 1.6, 9.5  # inches
_SIDES = ((-1, 1), (1, -1), (1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
_REACHES = range(6, 300, 12)  # points between a mark and its label


@frozen
class _Row:
    """A line of the picture: a balance, or without one the heading of a group."""

    label: str
    balance: Balance | None = None


def pots(report: CollateralReport) -> Any:
    """Draw every place as one bar, by the law under which it is wound up when the firm fails.

    A bar is what is covered, then what is missing, or what is posted beyond: free, locked, lost to haircuts. A black
    mark shows what is required; behind the bar stands a question mark for a requirement that is wholly unknown, a star
    for one that leaves something out. Each level has a panel of its own, for levels never add.

    Parameters
    ----------
    report : CollateralReport
        What `collateral_report` returned.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        matplotlib is not installed.

    References
    ----------
    Okabe and Ito, Color Universal Design (2008): the palette.
    """
    mpl, figure_of = _matplotlib()
    panels = {level: _rows(report, level) for level in report.levels}
    lengths = [len(rows) for rows in panels.values()] or [1]
    with mpl.rc_context(STYLE):
        figure = figure_of(figsize=(_WIDTH, sum(lengths) * _ROW + _AROUND), layout="constrained")
        axes = figure.subplots(len(lengths), 1, squeeze=False, sharex=True, height_ratios=lengths)[:, 0]
        scale, unit = _unit(sum(_amounts(each)) for each in report.balances)
        for axis, (level, rows) in zip(axes, panels.items(), strict=False):
            _panel(axis, rows, scale)
            axis.set_title(_TITLES[level])
        axes[-1].set_xlabel(unit)
        figure.suptitle(_title(report), x=0.01, ha="left", fontsize=10)
        handles = [*_handles()] if panels else []
        figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False)
    return figure


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
    mpl, figure_of = _matplotlib()
    reports = comparison.reports
    levels = [level for level in LEVEL_TITLES if any(level in report.levels for report in reports)]
    asked = {level: [_by_pot(report, level) for report in reports] for level in levels}
    looks = _pot_looks(row for rows in asked.values() for row in rows)
    scale, unit = _unit(report.total(level) for report in reports for level in levels)
    with mpl.rc_context(STYLE):
        height = max(1, len(levels)) * (0.35 + 0.4 * max(1, len(reports))) + _AROUND
        figure = figure_of(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.subplots(max(1, len(levels)), 1, squeeze=False, sharex=True)[:, 0]
        for axis, (level, rows) in zip(axes, asked.items(), strict=False):
            _stacks(axis, rows, looks, scale)
            names = (_named(each.regime, each.status) for each in reports)
            _rows_named(axis, dict(enumerate(names)), len(reports))
            axis.set_title(LEVEL_TITLES[level].capitalize())
        axes[-1].set_xlabel(unit)
        figure.suptitle(_compared(reports), x=0.01, ha="left", fontsize=10)
        figure.legend(handles=[*_patches(looks)], loc="outside lower center", ncols=4, frameon=False)
    return figure


def waterfall(attribution: Attribution, *, as_of: date | None = None) -> Any:
    """Draw the steps that lead from what one regime asks for to what the other does, with their amounts in USD.

    Parameters
    ----------
    attribution : Attribution
        What `attribute` returned. A step below zero lowers the requirement.
    as_of : date, optional
        The day of the book, for the title: an attribution does not know it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        matplotlib is not installed.
    """
    mpl, figure_of = _matplotlib()
    rows = (*attribution.line.parts, attribution.line)
    ends = [*accumulate(line.value for line in attribution.line.parts), attribution.line.value]
    starts = [0.0, *ends[:-2], 0.0]
    scale, unit = _unit(ends)
    with mpl.rc_context(STYLE):
        figure = figure_of(figsize=(_WIDTH, len(rows) * 0.36 + _AROUND), layout="constrained")
        axis = figure.subplots()
        for place, (line, start, end) in enumerate(zip(rows, starts, ends, strict=True)):
            look = _step_look(line.value, whole=place in (0, len(rows) - 1))
            if end != start:
                axis.barh(place, (end - start) / scale, left=start / scale, height=0.62, linewidth=0.8, **look)
            _behind(axis, place, max(start, end) / scale, _dollars(line, signed=0 < place < len(rows) - 1))
        for place, end in enumerate(ends[:-1]):
            axis.plot([end / scale] * 2, [place, place + 1], color=GREY, linewidth=0.8, zorder=0.9)
        _rows_named(axis, {place: line.name for place, line in enumerate(rows)}, len(rows))
        axis.set_xlabel("\n".join([unit, *(fill(note, 120) for note in attribution.notes)]))
        figure.suptitle(_steps_title(attribution, as_of), x=0.01, ha="left", fontsize=10)
        figure.legend(handles=[*_patches(_STEPS)], loc="outside lower center", ncols=3, frameon=False)
    return figure


def frontier(found: Frontier, *, as_of: date | None = None) -> Any:
    """Draw what each switch saves against the loss that it leaves uncovered; the points that no other beats are joined.

    Parameters
    ----------
    found : Frontier
        What `crossmargin.analysis.protection.frontier` returned, USD.
    as_of : date, optional
        The day of the book, for the title: a frontier does not know it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        A point that is not finite; matplotlib is not installed.
    """
    mpl, figure_of = _matplotlib()
    _check_points(found.points)
    across, along = _unit(each.saving for each in found.points)
    up, above = _unit(each.residual for each in found.points)
    with mpl.rc_context(STYLE):
        figure = figure_of(figsize=(_WIDTH, 5.0))
        figure.subplots_adjust(left=0.08, right=0.98, bottom=0.19, top=0.87)
        axis = figure.subplots()
        axis.spines["left"].set_visible(True)
        axis.grid(color=PALE, linewidth=0.6)
        axis.set(xlabel=f"saving, {along}", ylabel=f"{found.measure} loss beyond margin, {above}")
        best = [(each.saving / across, each.residual / up) for each in found.efficient]
        axis.plot(*zip(*best, strict=True) if best else ([], []), color=BLUE, linewidth=1.2, zorder=2)
        names: dict[tuple[float, float], list[str]] = {}
        for each in found.points:
            place = each.saving / across, each.residual / up
            axis.plot(*place, **_mark(efficient=each.efficient, proposed=each.status == "proposed"))
            names.setdefault(place, []).append(_named(each.name, each.status))
        axis.margins(x=0.12, y=0.15)
        _label_points(figure, axis, {place: ", ".join(said) for place, said in names.items()}, best)
        figure.suptitle(_frontier_title(found, as_of), x=0.01, ha="left", fontsize=10)
        figure.legend(handles=[*_marks(found.points)], loc="lower center", ncols=3, frameon=False)
    return figure


def _matplotlib() -> tuple[Any, Any]:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        fix = "Install it: pip install 'crossmargin[plots]'."
        raise InputError([Problem("matplotlib is not installed.", "plots", fix)]) from error
    return mpl, Figure


def _title(report: CollateralReport) -> str:
    under = f", {report.regime}" if report.regime else ""
    proposed = f" ({PROPOSED})" if report.status == "proposed" else ""
    return f"Where collateral lies{under}, {report.as_of}{proposed}. Levels never add.\n{_BEHIND}"


def _rows(report: CollateralReport, level: str) -> list[_Row]:
    """Return the headings of one level with the balances below each, in the order of the laws and of the report."""
    firms = {each.firm for each in report.balances}
    rows = []
    for regime in InsolvencyRegime:
        mine = [each for each in report.balances if each.level == level and each.insolvency_regime is regime]
        rows += [_Row(regime.value)] * bool(mine) + [_Row(_label(each, firms), each) for each in mine]
    return rows


def _label(balance: Balance, firms: Collection[str]) -> str:
    """Return who has what class of account where; the firm too when there are several."""
    firm = [balance.firm] if len(firms) > 1 else []
    return " · ".join([balance.owner, *firm, balance.account_class.value, balance.pot])


def _unit(lengths: Iterable[float]) -> tuple[float, str]:
    """Return the largest unit of which the longest length has one at least."""
    longest = max(map(abs, lengths), default=0.0)
    return next(((size, name) for size, name in _UNITS if longest >= size), _UNITS[-1])


def _amounts(balance: Balance) -> tuple[float, ...]:
    """Return the parts of a bar, USD."""
    excess = balance.excess.value
    locked = min(balance.locked.value, excess)
    lost = max(0.0, balance.market_value.value - balance.lendable.value)
    return balance.covered.value, balance.deficit.value, excess - locked, locked, lost


def _panel(axis: Any, rows: Sequence[_Row], scale: float) -> None:
    """Draw the rows from top to bottom; headings stand above their bars."""
    beside = axis.get_yaxis_transform()
    for place, row in enumerate(rows):
        if row.balance is None:
            axis.text(0.0, place + 0.1, row.label, transform=beside, va="center", fontweight="bold")
        else:
            _bar(axis, place, row.balance, scale)
    _rows_named(axis, {place: row.label for place, row in enumerate(rows) if row.balance}, len(rows))


def _bar(axis: Any, place: int, balance: Balance, scale: float) -> None:
    left = 0.0
    for amount, look in zip(_amounts(balance), _PARTS.values(), strict=True):
        if amount > 0.0:
            axis.barh(place, amount / scale, left=left, height=0.62, linewidth=0.8, **look)
            left += amount / scale
    required = balance.required.value / scale
    if required:
        axis.plot([required, required], [place - 0.42, place + 0.42], color=BLACK, linewidth=2.0, zorder=3)
    _behind(axis, place, left, _said(balance, scale))


def _said(balance: Balance, scale: float) -> str:
    """Return what is written behind a bar: required against posted, and whether something is left out."""
    star = "*" if balance.partial else ""
    required = "?" if wholly_unknown(balance.required) else f"{balance.required.value / scale:,.2f}{star}"
    return f"{balance.lendable.value / scale:,.2f} for {required}"


def _handles() -> Iterator[Any]:
    from matplotlib.lines import Line2D

    yield Line2D([], [], color=BLACK, linewidth=2.0, label="required")
    yield from _patches(_PARTS)


def _patches(looks: Mapping[str, Mapping[str, Any]]) -> Iterator[Any]:
    from matplotlib.patches import Patch

    return (Patch(label=name, **look) for name, look in looks.items())


def _rows_named(axis: Any, named: Mapping[int, str], count: int) -> None:
    """Name rows from top to bottom once they are drawn, and leave room for what stands behind the bars."""
    axis.set_yticks([*named], [*named.values()])
    axis.set_ylim(count - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=PALE, linewidth=0.6)
    axis.use_sticky_edges = False
    axis.margins(x=0.2)
    if axis.dataLim.x0 < 0.0:
        axis.axvline(0.0, color=GREY, linewidth=0.8)
    else:
        axis.set_xlim(left=0.0)


def _behind(axis: Any, place: int, right: float, said: str) -> None:
    axis.annotate(said, (right, place), (5, 0), textcoords="offset points", va="center", fontsize=8)


def _named(name: str, status: str) -> str:
    return name if status == "in_force" else f"{name} ({status})"


def _standing(statuses: Iterable[str]) -> str:
    """Return what a title says of the statuses that occur."""
    found = list(dict.fromkeys(statuses))
    others = "; ".join(PROPOSED if each == "proposed" else each for each in found if each != "in_force")
    if others and "in_force" in found:
        return f" (in force unless marked {others})"
    return f" ({others or 'in force'})"


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
    hatch = _HATCHES[number % len(_HATCHES)]
    return {"facecolor": _SHADES[number % len(_SHADES)], "edgecolor": "white", "hatch": hatch}


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
        _behind(axis, place, ends[True], f"{sum(ends.values()):,.2f}{star}" if known else "?")


def _compared(reports: Sequence[Report]) -> str:
    if not reports:
        return "No regime was compared."
    days = ", ".join(dict.fromkeys(str(report.as_of) for report in reports))
    standing = _standing(report.status for report in reports)
    said = "Net of credit; levels never add; * leaves something out, ? is not known."
    return f"Initial margin by regime and pot, {days}{standing}\n{said}"


def _step_look(amount: float, *, whole: bool) -> Mapping[str, Any]:
    return _STEPS["asked for" if whole else "asks for less" if amount < 0.0 else "asks for more"]


def _dollars(line: Line, *, signed: bool) -> str:
    """Return an amount to the cent, as tables print it: rounded further, steps would not add up to the eye."""
    amount = round(line.value, 2) + 0.0
    return f"{amount:{'+' if signed and amount else ''},.2f}{'*' if line.partial else ''}"


def _steps_title(found: Attribution, as_of: date | None) -> str:
    day = f", {as_of}" if as_of else ""
    first = f"From {found.base} to {found.other}: {found.level} requirement in USD{day}{_standing([found.status])}"
    return f"{first}\nEach step has its mean effect over all orders."


def _check_points(points: Iterable[Point]) -> None:
    problems = Problems()
    for each in points:
        if not (isfinite(each.saving) and isfinite(each.residual)):
            problems.add("is not finite.", where=f"point {each.name!r}", fix="Leave it out, or calculate it anew.")
    problems.raise_if_any("No frontier can be drawn")


def _mark(*, efficient: bool, proposed: bool) -> dict[str, Any]:
    inside = BLUE if efficient else "white"
    shape = "D" if proposed else "o"
    edge = BLUE if efficient else BLACK
    return {"marker": shape, "markersize": 6.0, "color": edge, "markerfacecolor": inside, "linestyle": "", "zorder": 3}


def _marks(points: Sequence[Point]) -> Iterator[Any]:
    from matplotlib.lines import Line2D

    joined = {**_mark(efficient=True, proposed=False), "linestyle": "-"}
    yield Line2D([], [], label="no other saves as much and leaves less uncovered", **joined)
    if not all(each.efficient for each in points):
        yield Line2D([], [], label="another does", **_mark(efficient=False, proposed=False))
    if any(each.status == "proposed" for each in points):
        yield Line2D([], [], label="proposed", **_mark(efficient=False, proposed=True))


def _label_points(
    figure: Any, axis: Any, names: Mapping[tuple[float, float], str], joined: Sequence[tuple[float, float]]
) -> None:
    """Write each name in the nearest free place beside its point: off marks, the joining line and other names."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    axis.autoscale_view()
    along = [(a + (c - a) * k / 40, b + (d - b) * k / 40) for (a, b), (c, d) in pairwise(joined) for k in range(41)]
    taken = [_around(axis, place, 5.0) for place in names] + [_around(axis, place, 1.5) for place in along]
    places = [*product(_REACHES, _SIDES)]
    for place, name in names.items():
        text = axis.annotate(name, place, (0, 0), textcoords="offset points", fontsize=8)
        boxes = (_moved(text, *each, canvas.get_renderer()) for each in places)
        inside = (box for box in boxes if axis.bbox.count_contains(box.get_points()) == 2)
        free = next((box for box in inside if not box.count_overlaps(taken)), None)
        taken.append(free or _moved(text, *places[0], canvas.get_renderer()))
        if max(map(abs, text.get_position())) > _REACHES[0]:
            line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6}
            axis.annotate("", place, text.get_position(), textcoords="offset points", arrowprops=line, zorder=1)


def _moved(text: Any, reach: int, side: tuple[int, int], renderer: Any) -> Any:
    """Put a label beside its point and return its box."""
    across, up = side
    text.set_position((across * reach, up * reach))
    text.set(ha=("center", "left", "right")[across], va=("center", "bottom", "top")[up])
    return text.get_window_extent(renderer)


def _around(axis: Any, place: tuple[float, float], reach: float) -> Any:
    from matplotlib.transforms import Bbox

    x, y = axis.transData.transform(place)
    return Bbox.from_extents(x - reach, y - reach, x + reach, y + reach)


def _frontier_title(found: Frontier, as_of: date | None) -> str:
    day = f", {as_of}" if as_of else ""
    first = f"Savings against loss beyond margin{day}: {found.default} default, {found.scenarios} scenarios"
    standing = _standing(each.status for each in found.points).strip(" ()")
    return f"{first}\nRegimes {standing}; a switch may overlay rules of its own." if found.points else first
