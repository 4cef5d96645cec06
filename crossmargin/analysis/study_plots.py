"""Plots of a study as inline SVG: bars with their errors, waterfalls, series over time.

`bars`, `waterfall` and `series` return the text of one picture that says in words what it shows; the same figures give
the same bytes, and nothing but a browser is needed. Colours are those of Okabe and Ito; what is proposed is hatched or
dashed, so that it can be told without colour. Nothing is calculated here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from html import escape
from math import ceil, floor, log10

from attrs import frozen

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#999999", "#8a7a00", "#5b3a8c")
_DASHES = ("", "7 3", "2 2", "8 3 2 3", "12 3", "4 4")
_WIDTH, _LABELS, _RIGHT, _ROW = 760, 230, 150, 24
_NARROW, _NARROW_LABELS, _NARROW_RIGHT = 500, 200, 75  # of a waterfall, of which two stand beside each other
_MARKED = 60  # points of a line that are marked at most
_LESS, _MORE, _TOTAL = "#009E73", "#D55E00", "#0072B2"


HATCH = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<rect width="6" height="6" fill="#ffffff"/><rect width="2" height="6" fill="{_TOTAL}"/></pattern></defs></svg>'
)
"""The hatch of what is proposed: stands once in a page that holds pictures."""


@frozen
class Bar:
    """One bar: its label, amount in USD, the ends of its interval where known, and what is written behind it."""

    label: str
    amount: float
    low: float | None = None
    high: float | None = None
    proposed: bool = False
    said: str = ""


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Return horizontal bars from zero, with a whisker from `low` to `high`."""
    ends = [end for row in rows for end in (row.amount, row.low, row.high) if end is not None]
    scale = _scale(min([0.0, *ends]), max([0.0, *ends]))
    body = [*_axis(scale, len(rows))]
    for number, row in enumerate(rows):
        top = 10 + number * _ROW
        left, right = sorted((scale.at(0.0), scale.at(row.amount)))
        fill = "url(#hatch)" if row.proposed else _TOTAL
        body.append(_text(_LABELS - 8, top + 15, row.label, anchor="end"))
        body.append(_rect((left, top + 4, max(right - left, 0.5), _ROW - 9), fill, outline=_TOTAL))
        body.extend(_whisker(scale, row, top + _ROW / 2))
        beyond = max(scale.at(row.amount), scale.at(row.high or 0.0), scale.at(0.0)) + 6
        body.append(_text(beyond, top + 15, row.said))
    return _svg(title, body, 10 + len(rows) * _ROW + 26)


def waterfall(title: str, rows: Sequence[tuple[str, float]], *, proposed: bool = False) -> str:
    """Return a start, its steps and the total they lead to; the first and the last row are totals, USD."""
    spans, level = [], 0.0
    for number, (label, amount) in enumerate(rows):
        whole = number in (0, len(rows) - 1)
        start = 0.0 if whole else level
        level = amount if whole else level + amount
        spans.append((label, amount, start, level, whole))
    ends = [end for span in spans for end in span[2:4]]
    length = float(_NARROW - _NARROW_LABELS - _NARROW_RIGHT)
    scale = _scale(min([0.0, *ends]), max([0.0, *ends]), length=length, start=_NARROW_LABELS)
    body = [*_axis(scale, len(rows))]
    for number, (label, amount, start, end, whole) in enumerate(spans):
        top = 10 + number * _ROW
        left, right = sorted((scale.at(start), scale.at(end)))
        colour = _TOTAL if whole else (_LESS if amount < 0 else _MORE)
        fill = "url(#hatch)" if proposed and number == len(rows) - 1 else colour
        body.append(_text(_NARROW_LABELS - 8, top + 15, label, anchor="end"))
        body.append(_rect((left, top + 4, max(right - left, 0.5), _ROW - 9), fill, outline=colour))
        body.append(_text(right + 6, top + 15, dollars(amount, sign=not whole)))
    return _svg(title, body, 10 + len(rows) * _ROW + 26, width=_NARROW)


def series(title: str, days: Sequence[date], lines: Mapping[str, tuple[Sequence[float | None], bool]]) -> str:
    """Return one line a name over days, a gap where a figure is None; a name is drawn dashed when it is proposed."""
    known = [value for values, _ in lines.values() for value in values if value is not None]
    scale = _scale(0.0, max([0.0, *known]), length=220.0, start=0.0)
    first, span = days[0].toordinal(), max(1, days[-1].toordinal() - days[0].toordinal())
    body, width = [], _WIDTH - 90 - 20
    for tick in scale.ticks:
        height = 230 - scale.at(tick)
        body.append(_line((90, height), (_WIDTH - 20, height), "#dddddd"))
        body.append(_text(84, height + 4, dollars(tick), anchor="end"))
    for day in _year_ticks(days):
        across = 90 + width * (day.toordinal() - first) / span
        body.append(_text(across, 248, str(day.year), anchor="middle"))
    for number, (name, (values, proposed)) in enumerate(lines.items()):
        points = [
            None if value is None else (90 + width * (day.toordinal() - first) / span, 230 - scale.at(value))
            for day, value in zip(days, values, strict=True)
        ]
        look = (COLOURS[number % len(COLOURS)], _DASHES[1 + number % (len(_DASHES) - 1)] if proposed else "")
        body.extend(_curve(points, look))
        height = 270 + 18 * number
        body.append(_line((90, height), (126, height), look[0], width=2.0, dash=look[1]))
        body.append(_text(134, height + 4, name))
    return _svg(title, body, 270 + 18 * len(lines))


@frozen
class Spot:
    """A point of a scatter: its place in USD, the words at it, and how it is drawn."""

    across: float
    up: float
    label: str
    efficient: bool = False
    proposed: bool = False


def scatter(title: str, spots: Sequence[Spot], axes: tuple[str, str]) -> str:
    """Return points with their labels; the efficient ones are filled and joined, what is not in force is a diamond."""
    left, right, top, bottom = 66.0, float(_NARROW - 24), 26.0, 310.0
    x = _scale(*_range(spot.across for spot in spots), length=right - left, start=left)
    y = _scale(*_range(spot.up for spot in spots), length=bottom - top, start=0.0)
    body, every = [], 1 + len(x.ticks) // 6
    for number, tick in enumerate(x.ticks):
        body.append(_line((x.at(tick), top), (x.at(tick), bottom), "#dddddd"))
        if number % every == 0:
            body.append(_text(x.at(tick), bottom + 15, dollars(tick), anchor="middle"))
    for tick in y.ticks:
        body.append(_line((left, bottom - y.at(tick)), (right, bottom - y.at(tick)), "#dddddd"))
        body.append(_text(left - 6, bottom + 4 - y.at(tick), dollars(tick), anchor="end"))
    best = sorted((spot.across, spot.up) for spot in spots if spot.efficient)
    path = " ".join(f"{x.at(across):.1f},{bottom - y.at(up):.1f}" for across, up in best)
    body.append(f'<polyline points="{path}" fill="none" stroke="{_TOTAL}" stroke-width="1.4"/>')
    places = [(x.at(spot.across), bottom - y.at(spot.up)) for spot in spots]
    body += [_dot(place, spot) for place, spot in zip(places, spots, strict=True)]
    body += _labels([(place, spot.label) for place, spot in zip(places, spots, strict=True)])
    body.append(_text((left + right) / 2, bottom + 34, axes[0], anchor="middle"))
    body.append(_text(2, top - 14, axes[1]))
    return _svg(title, body, bottom + 42, width=_NARROW)


def _labels(wanted: Iterable[tuple[tuple[float, float], str]]) -> Iterable[str]:
    """Yield each label beside its point, the higher the more of them stand there already."""
    taken: list[tuple[float, float, float]] = []
    for (x, y), label in wanted:
        wide = 7.0 * len(label) + 3.0
        rows = (y - 6.0 - 12.0 * row for row in range(len(taken) // 2 + 1))
        tried = [(start, row) for row in rows for start in (x + 6.0, x - 6.0 - wide)]
        free = (at for at in tried if all(at[0] >= e or at[0] + wide <= s or abs(at[1] - r) >= 11 for s, e, r in taken))
        start, row = next(free, tried[-1])
        taken.append((start, start + wide, row))
        yield _text(start, row, label)


def _range(amounts: Iterable[float]) -> tuple[float, float]:
    found = [0.0, *amounts]
    return min(found), max(found)


def _dot(place: tuple[float, float], spot: Spot) -> str:
    fill = _TOTAL if spot.efficient else "#ffffff"
    x, y = place
    if spot.proposed:
        corners = f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f} {x - 6:.1f},{y:.1f}"
        return f'<polygon points="{corners}" fill="{fill}" stroke="{_TOTAL}"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{_TOTAL}"/>'


def dollars(amount: float, *, sign: bool = False) -> str:
    """Return an amount in words short enough for a picture.

    Examples
    --------
    >>> dollars(2_854_390.8), dollars(-13_000.0), dollars(250.0, sign=True)
    ('2.85 m', '-13.0 k', '+250')
    """
    plus = "+" if sign else ""
    for size, unit in ((1e9, " bn"), (1e6, " m"), (1e3, " k")):
        if abs(amount) >= 0.9995 * size:
            shown = amount / size
            digits = max(0, 2 - floor(log10(float(f"{abs(shown):.3g}"))))  # three figures, after rounding
            return f"{shown:{plus}.{digits}f}{unit}"
    return f"{amount + 0.0:{plus}.0f}"


@frozen
class _Scale:
    low: float
    high: float
    start: float
    length: float
    ticks: tuple[float, ...]

    def at(self, amount: float) -> float:
        return self.start + self.length * (amount - self.low) / (self.high - self.low)


def _scale(low: float, high: float, *, length: float = _WIDTH - _LABELS - _RIGHT, start: float = _LABELS) -> _Scale:
    """Return a scale over a range, widened to round ticks."""
    wide = (high - low) or 1.0
    step = 10.0 ** floor(log10(wide / 4.0))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= wide / 4.0)
    first, last = floor(low / step), ceil((high or low + wide) / step)
    ticks = tuple(step * number for number in range(first, max(last, first + 1) + 1))
    return _Scale(ticks[0], ticks[-1], start, length, ticks)


def _year_ticks(days: Sequence[date]) -> Iterable[date]:
    """Yield at most about ten days, the first of their years."""
    years = dict[int, date]()
    for day in days:
        years.setdefault(day.year, day)
    every = ceil(len(years) / 10)
    return list(years.values())[::every]


def _axis(scale: _Scale, rows: int) -> Iterable[str]:
    bottom = 10 + rows * _ROW
    every = 1 + len(scale.ticks) // 6  # labels of more would run into one another
    for number, tick in enumerate(scale.ticks):
        yield _line((scale.at(tick), 8), (scale.at(tick), bottom), "#dddddd" if tick else "#444444")
        if number % every == 0:
            yield _text(scale.at(tick), bottom + 15, dollars(tick), anchor="middle")


def _whisker(scale: _Scale, row: Bar, height: float) -> Iterable[str]:
    if row.low is None or row.high is None:
        return
    left, right = scale.at(row.low), scale.at(row.high)
    yield _line((left, height), (right, height), "#000000", width=1.4)
    for end in (left, right):
        yield _line((end, height - 4), (end, height + 4), "#000000", width=1.4)


def _curve(points: Iterable[tuple[float, float] | None], look: tuple[str, str]) -> Iterable[str]:
    run: list[tuple[float, float]] = []
    for point in [*points, None]:
        if point is not None:
            run.append(point)
        elif run:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            dash = f' stroke-dasharray="{look[1]}"' if look[1] else ""
            yield f'<polyline points="{path}" fill="none" stroke="{look[0]}" stroke-width="2"{dash}/>'
            if len(run) <= _MARKED:
                yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{look[0]}"/>' for x, y in run)
            run = []


def _line(
    start: tuple[float, float], end: tuple[float, float], colour: str, *, width: float = 1.0, dash: str = ""
) -> str:
    ends = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def _rect(place: tuple[float, float, float, float], fill: str, *, outline: str) -> str:
    x, y, width, height = place
    box = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {box} fill="{fill}" stroke="{outline}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, body: Iterable[str], height: float, *, width: int = _WIDTH) -> str:
    said = escape(title, quote=True)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" viewBox="0 0 {width} {height:g}">'
    return "\n".join([f"{head}<title>{said}</title>", *body, "</svg>"])
