"""Savings against loss: the points of a frontier, each with its name in a free place.

Call `frontier(found)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise, product
from math import isfinite
from typing import Any

from crossmargin.analysis.protection import Frontier, Point
from crossmargin.errors import Problems, listed
from crossmargin.plots.style import BLACK, BLUE, GREY, PALE, STYLE, WIDTH, drawing, named, standing, unit_of

_SIDES = ((-1, 1), (1, -1), (1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
_REACHES = range(6, 300, 12)  # points between a mark and its label


def frontier(found: Frontier, *, as_of: date | None = None) -> Any:
    """Draw what each switch saves against the loss that it leaves uncovered; the points that no other beats are joined.

    A switch of which the one or the other is not modelled has no place there, and stands in the title.

    Parameters
    ----------
    found : Frontier
        What `crossmargin.analysis.protection.frontier` returned, USD.
    as_of : date, optional
        The day of the book, for the title; that of the frontier unless given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        A point that is not finite; matplotlib is not installed.
    """
    mpl, figure_of = drawing(found=(found, Frontier, "Give what analysis.protection.frontier returned."))
    _check_points(found.points)
    known = [(each, *place) for each in found.points if (place := _place(each))]
    across, along = unit_of(saving for _, saving, _ in known)
    up, above = unit_of(residual for *_, residual in known)
    with mpl.rc_context(STYLE):
        figure = figure_of(figsize=(WIDTH, 5.0))
        figure.subplots_adjust(left=0.08, right=0.98, bottom=0.19, top=0.87)
        axis = figure.subplots()
        axis.spines["left"].set_visible(True)
        axis.grid(color=PALE, linewidth=0.6)
        axis.set(xlabel=f"saving, {along}", ylabel=f"{found.measure} loss beyond margin, {above}")
        best = sorted((saving / across, residual / up) for each, saving, residual in known if each.efficient)
        axis.plot(*zip(*best, strict=True) if best else ([], []), color=BLUE, linewidth=1.2, zorder=2)
        names: dict[tuple[float, float], list[str]] = {}
        for each, saving, residual in known:
            place = saving / across, residual / up
            axis.plot(*place, **_mark(efficient=each.efficient, proposed=each.status == "proposed"))
            names.setdefault(place, []).append(named(each.name, each.status))
        axis.margins(x=0.12, y=0.15)
        _label_points(figure, axis, {place: ", ".join(said) for place, said in names.items()}, best)
        figure.suptitle(_frontier_title(found, as_of or found.as_of), x=0.01, ha="left", fontsize=10)
        figure.legend(handles=[*_marks([each for each, *_ in known])], loc="lower center", ncols=3, frameon=False)
    return figure


def _check_points(points: Iterable[Point]) -> None:
    problems = Problems()
    for each in points:
        if not all(isfinite(place) for place in _place(each)):
            problems.add("is not finite.", where=f"point {each.name!r}", fix="Leave it out, or calculate it anew.")
    problems.raise_if_any("No frontier can be drawn")


def _place(point: Point) -> tuple[()] | tuple[float, float]:
    """Return saving and residual of a point, nothing where one of them is not modelled."""
    return () if point.saving is None or point.residual is None else (point.saving, point.residual)


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
    status = standing(each.status for each in found.points).strip(" ()")
    unknown = [each.name for each in found.points if not _place(each)]
    apart = f" Not modelled: {listed(unknown)}." if unknown else ""
    return f"{first}\nRegimes {status}; a switch may overlay rules of its own.{apart}" if found.points else first
