"""The one style of all pictures: colours, units, rows with names, and what a title says of statuses.

Colours are those of Okabe and Ito. `drawing()` fetches matplotlib, or says in one line how to install it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from types import MappingProxyType
from typing import Any

from crossmargin.errors import InputError, Problem, check_kinds
from crossmargin.tables import PROPOSED

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
SHADES = (BLUE, ORANGE, GREEN, SKY, PURPLE, YELLOW, VERMILION)
HATCHES = ("", "////", "||||", "xxx", "----")
UNITS = ((1e9, "USD billion"), (1e6, "USD million"), (1e3, "USD thousand"), (1.0, "USD"))
ROW, AROUND, WIDTH = 0.3, 1.6, 9.5  # inches


def drawing(**given: tuple[object, type | tuple[type, ...], str]) -> tuple[Any, Any]:
    """Return matplotlib and its class of figures; what is to be drawn must be of its kind, as in `check_kinds`.

    Raises
    ------
    InputError
        Something else is to be drawn, or matplotlib is not installed.
    """
    check_kinds(**given)
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        fix = "Install it: pip install 'crossmargin[plots]'."
        raise InputError([Problem("matplotlib is not installed.", "plots", fix)]) from error
    if "ipykernel" in sys.modules:  # a notebook shows figures as pictures only once this is there
        with suppress(ImportError):
            import_module("matplotlib_inline.backend_inline")
    return mpl, Figure


def unit_of(lengths: Iterable[float]) -> tuple[float, str]:
    """Return the largest unit of which the longest length has one at least."""
    longest = max(map(abs, lengths), default=0.0)
    return next(((size, name) for size, name in UNITS if longest >= size), UNITS[-1])


def patches(looks: Mapping[str, Mapping[str, Any]]) -> Iterator[Any]:
    """Return the entries of a legend, one for each look."""
    from matplotlib.patches import Patch

    return (Patch(label=name, **look) for name, look in looks.items())


def name_rows(axis: Any, named: Mapping[int, str], count: int) -> None:
    """Name rows from top to bottom once they are drawn, and leave room for what stands behind the bars."""
    axis.set_yticks([*named], [*named.values()])
    axis.set_ylim(count - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=PALE, linewidth=0.6)
    axis.use_sticky_edges = False
    axis.margins(x=0.2)
    axis.autoscale(axis="x")  # a panel above that shares the axis has fixed its end
    if axis.dataLim.x0 < 0.0:
        axis.axvline(0.0, color=GREY, linewidth=0.8)
    if all(each.dataLim.x0 >= 0.0 for each in axis.get_shared_x_axes().get_siblings(axis)):
        axis.set_xlim(left=0.0)


def behind(axis: Any, place: int, right: float, said: str) -> None:
    """Write behind a bar."""
    axis.annotate(said, (right, place), (5, 0), textcoords="offset points", va="center", fontsize=8)


def named(name: str, status: str) -> str:
    """Return a name, with its status unless it is in force."""
    return name if status == "in_force" else f"{name} ({status})"


def standing(statuses: Iterable[str]) -> str:
    """Return what a title says of the statuses that occur."""
    found = list(dict.fromkeys(statuses))
    others = "; ".join(PROPOSED if each == "proposed" else each for each in found if each != "in_force")
    if others and "in_force" in found:
        return f" (in force unless marked {others})"
    return f" ({others or 'in force'})"
