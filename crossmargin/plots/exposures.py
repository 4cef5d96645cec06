"""Where risk comes from: scenario by scenario as a heat map, and tenor by tenor.

Call `heat_map(pnl, positions)` or `key_rates(found, held)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from crossmargin.columns import FloatArray
from crossmargin.errors import Problems, counted, is_count
from crossmargin.key_rates import KeyRates
from crossmargin.market import tenor_name
from crossmargin.plots.style import (
    AROUND,
    BLACK,
    BLUE,
    GREY,
    HATCHES,
    PALE,
    SHADES,
    STYLE,
    VERMILION,
    WIDTH,
    drawing,
    patches,
    unit_of,
)
from crossmargin.pnl import PnL
from crossmargin.portfolio import Position
from crossmargin.scenarios import ScenarioSet

_MOST_ROWS = 20
_DARK = 0.9  # of the largest gain: on such blue white reads better; on vermilion black always does


def heat_map(pnl: PnL, positions: Iterable[Position], *, worst: int = 8, name: str = "") -> Any:
    """Draw what positions held together gain or lose, scenario by scenario.

    Under a grid of spot and volatility moves the picture has a cell for each pair, the worst one framed. Under other
    scenarios it has a column for each of the `worst` and a row for each position: what hurts there, and what hedges.

    Parameters
    ----------
    pnl : PnL
        Of every product held.
    positions : iterable of Position
    worst : int
        Columns at most; not read for a grid.
    name : str
        Of what is held, for the title.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        A product that was not revalued, a quantity that is not finite, a `worst` below 1; matplotlib is not installed.
    """
    fix = "Give portfolio.positions."
    mpl, figure_of = drawing(pnl=(pnl, PnL, "Give what revalue returned."), positions=(positions, Iterable, fix))
    held = tuple(positions)
    _check_worst(worst)
    pooled = pnl.pooled([each.product for each in held], [each.quantity for each in held])
    grid = _grid(pnl.scenarios)
    cells, rows, columns = _by_moves(grid, pooled) if grid else _by_position(pnl, held, pooled, worst)
    scale, unit = unit_of([float(np.abs(cells).max(initial=0.0))])
    with mpl.rc_context(STYLE):
        figure = figure_of(figsize=(WIDTH, 0.34 * len(rows) + AROUND), layout="constrained")
        axis = figure.subplots()
        _cells(axis, cells / scale)
        if grid and cells.size:
            _frame(axis, *divmod(int(cells.argmin()), cells.shape[1]))
        elif not grid:
            axis.axhline(1.0, color=BLACK, linewidth=1.2)
        axis.set_yticks(np.arange(len(rows)) + 0.5, rows)
        axis.set_xticks(np.arange(len(columns)) + 0.5, columns)
        axis.tick_params(length=0)
        by_day = ", by their last day" if pnl.scenarios.ends else ""
        across = "move of the spot" if grid else f"scenarios with the largest loss{by_day}"
        axis.set(xlabel=f"{across}; {unit}, losses below zero", ylabel="change of volatility" if grid else "")
        title = (
            "Profit and loss by spot and volatility" if grid else "Profit and loss by position in the worst scenarios"
        )
        figure.suptitle(f"{title}{f', {name}' if name else ''}", x=0.01, ha="left", fontsize=10)
    return figure


def key_rates(found: KeyRates, held: Mapping[str, ArrayLike], *, name: str = "") -> Any:
    """Draw what one basis point more at each tenor costs or brings, pot by pot or book by book, and the net.

    Parameters
    ----------
    found : KeyRates
        What `crossmargin.key_rates.key_rates` returned.
    held : mapping of str to array [n_instruments]
        Signed quantities in the order of its products, by the name of who or what holds them.
    name : str
        Of what is held in all, for the title.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        Quantities that are too few, too many or not finite; matplotlib is not installed.
    """
    mpl, figure_of = drawing(
        found=(found, KeyRates, "Give what key_rates.key_rates returned."),
        held=(held, Mapping, "Give quantities by the name of who holds them."),
    )
    _check_held(found, held)
    exposures = {each: found.pooled(quantities)[0] for each, quantities in held.items()}
    net = np.sum([*exposures.values()], axis=0) if exposures else np.zeros(found.tenors.size)
    scale, unit = unit_of(float(np.abs(each).max(initial=0.0)) for each in (*exposures.values(), net))
    looks = {each: _look(number) for number, each in enumerate(held)}
    with mpl.rc_context(STYLE):
        figure = figure_of(figsize=(WIDTH, 4.0), layout="constrained")
        axis = figure.subplots()
        axis.use_sticky_edges = False
        ends = {True: np.zeros(net.size), False: np.zeros(net.size)}
        for each, exposure in exposures.items():
            for up, part in ((True, np.maximum(exposure, 0.0) / scale), (False, np.minimum(exposure, 0.0) / scale)):
                axis.bar(np.arange(net.size), part, bottom=ends[up], width=0.66, linewidth=0.8, **looks[each])
                ends[up] = ends[up] + part
        handles = [*patches(looks)]
        if len(held) > 1:
            handles += axis.plot(np.arange(net.size), net / scale, color=BLACK, marker="D", linestyle="", label="net")
        axis.axhline(0.0, color=GREY, linewidth=0.8)
        axis.set_xticks(np.arange(net.size), [tenor_name(tenor) for tenor in found.tenors.tolist()])
        axis.set(xlabel="par yield", ylabel=f"{unit} for one basis point up")
        axis.grid(axis="y", color=PALE, linewidth=0.6)
        axis.tick_params(axis="x", length=0)
        figure.suptitle(f"Exposure by key rate{f', {name}' if name else ''}", x=0.01, ha="left", fontsize=10)
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _check_worst(worst: object) -> None:
    problems = Problems()
    if not is_count(worst):
        problems.add(f"{worst!r} is no count.", where="worst", fix="Give 1 or more.")
    problems.raise_if_any()


def _check_held(found: KeyRates, held: Mapping[str, ArrayLike]) -> None:
    problems = Problems()
    for name, quantities in held.items():
        shape = np.shape(quantities)
        if shape != found.kr01.shape[:1]:
            fix = f"Give one for each of the {found.kr01.shape[0]} products."
            problems.add(f"have shape {shape}.", where=f"quantities of {name!r}", fix=fix)
        elif not all(map(isfinite, np.asarray(quantities, dtype=np.float64).tolist())):
            problems.add("hold a number that is not finite.", where=f"quantities of {name!r}", fix="Give numbers.")
    problems.raise_if_any("No exposure can be drawn")


def _grid(scenarios: ScenarioSet) -> tuple[FloatArray, FloatArray] | None:
    """Return the spot and the volatility move [n_scenarios] of a full grid that all underlyings share, else None."""
    spots = [*scenarios.spot_moves.values()]
    if scenarios.spec.kind != "grid" or not spots:
        return None
    still = np.zeros(spots[0].size)
    turns = [scenarios.volatility_moves.get(symbol, still) for symbol in scenarios.spot_moves]
    if any((each != first).any() for all_, first in ((spots, spots[0]), (turns, turns[0])) for each in all_):
        return None
    full = len({*spots[0].tolist()}) * len({*turns[0].tolist()})
    pairs = len({*zip(spots[0].tolist(), turns[0].tolist(), strict=True)})
    return (spots[0], turns[0]) if full == pairs == spots[0].size else None


def _by_moves(grid: tuple[FloatArray, FloatArray], pooled: FloatArray) -> tuple[FloatArray, list[str], list[str]]:
    """Return P&L with a row for each volatility move and a column for each spot move."""
    spots, turns = grid
    across, column = np.unique(spots, return_inverse=True)
    along, row = np.unique(turns, return_inverse=True)
    cells = np.zeros((along.size, across.size))
    cells[row, column] = pooled
    rows = [f"{100 * turn:+.4g} points" if turn else "unchanged" for turn in along.tolist()]
    return cells, rows, [f"{100 * spot:+.4g}%" if spot else "unchanged" for spot in across.tolist()]


def _by_position(
    pnl: PnL, held: Sequence[Position], pooled: FloatArray, worst: int
) -> tuple[FloatArray, list[str], list[str]]:
    """Return P&L of each position in the worst scenarios, the largest last, with the sum in the first row."""
    columns = np.argsort(pooled, kind="stable")[:worst]
    gains = np.array([each.quantity * pnl.row(each.product)[columns] for each in held]).reshape(len(held), columns.size)
    order = np.argsort(np.abs(gains).sum(axis=1), kind="stable")
    small, shown = order[: max(0, order.size - _MOST_ROWS)], order[max(0, order.size - _MOST_ROWS) :]
    rows = ["all positions", *([f"{counted(small.size, 'other')}"] if small.size else [])]
    rows += [shorten(f"{held[row].id}: {held[row].product.symbol}", 40, placeholder=" …") for row in shown.tolist()]
    others = gains[small].sum(axis=0)[None, :][: bool(small.size)]
    ends = pnl.scenarios.ends
    said = [f"{ends[column]:%Y\n%m-%d}" if ends else f"number\n{column + 1}" for column in columns.tolist()]
    return np.vstack([pooled[columns][None, :], others, gains[shown]]), rows, said


def _cells(axis: Any, cells: FloatArray) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    longest = float(np.abs(cells).max(initial=0.0)) or 1.0
    colours = LinearSegmentedColormap.from_list("loss and gain", [VERMILION, "#ffffff", BLUE])
    axis.pcolormesh(cells, cmap=colours, vmin=-longest, vmax=longest, edgecolors="white", linewidth=1.0)
    for (row, column), amount in np.ndenumerate(cells):
        ink = "white" if amount > _DARK * longest else BLACK
        said = f"{round(amount, 2) + 0.0:,.2f}"
        axis.text(column + 0.5, row + 0.5, said, ha="center", va="center", fontsize=8, color=ink)


def _frame(axis: Any, row: int, column: int) -> None:
    from matplotlib.patches import Rectangle

    axis.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=BLACK, linewidth=2.0, zorder=3))


def _look(number: int) -> dict[str, Any]:
    return {
        "facecolor": SHADES[number % len(SHADES)],
        "edgecolor": "white",
        "hatch": HATCHES[number // len(SHADES) % len(HATCHES)],
    }
