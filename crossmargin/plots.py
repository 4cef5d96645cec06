"""Pictures of reports, with the extra `plots` (matplotlib).

`pots(report)` draws where collateral lies and what it covers there; it returns a matplotlib figure, which a notebook
shows and `savefig` writes. One style for all; colours are those of Okabe and Ito, and hatches tell them apart without
colour. Nothing is calculated here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attrs import frozen

from crossmargin.accounts import InsolvencyRegime
from crossmargin.collateral.balance import Balance, CollateralReport
from crossmargin.collateral.covering import wholly_unknown
from crossmargin.errors import InputError, Problem
from crossmargin.tables import PROPOSED

BLACK, GREY, PALE = "#000000", "#999999", "#dddddd"
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
STYLE: Mapping[str, Any] = MappingProxyType(
    {
        "font.size": 9.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.titlesize": 10.0,
        "axes.titlelocation": "left",
        "hatch.linewidth": 0.8,
        "svg.fonttype": "none",
        "svg.hashsalt": "crossmargin",
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
_TITLES = MappingProxyType({"clearing": "At clearing houses", "customer": "At the carrying firm"})
_UNITS = ((1e9, "USD billion"), (1e6, "USD million"), (1e3, "USD thousand"), (1.0, "USD"))
_BEHIND = "Behind each bar: value after haircuts for requirement; * leaves something out, ? is not known."
_ROW, _AROUND, _WIDTH = 0.3, 1.6, 9.5  # inches


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
        scale, unit = _unit(report.balances)
        for axis, (level, rows) in zip(axes, panels.items(), strict=False):
            _panel(axis, rows, scale)
            axis.set_title(_TITLES[level])
        axes[-1].set_xlabel(unit)
        figure.suptitle(_title(report), x=0.01, ha="left", fontsize=10)
        handles = [*_handles()] if panels else []
        figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False)
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


def _unit(balances: Iterable[Balance]) -> tuple[float, str]:
    """Return the largest unit of which the longest bar has one at least."""
    longest = max((sum(_amounts(each)) for each in balances), default=0.0)
    return next(((size, name) for size, name in _UNITS if longest >= size), _UNITS[-1])


def _amounts(balance: Balance) -> tuple[float, ...]:
    """Return the parts of a bar, USD."""
    excess = balance.excess.value
    locked = min(balance.locked.value, excess)
    lost = max(0.0, balance.market_value.value - balance.lendable.value)
    return balance.covered.value, balance.deficit.value, excess - locked, locked, lost


def _panel(axis: Any, rows: Sequence[_Row], scale: float) -> None:
    """Draw the rows from top to bottom; headings stand above their bars."""
    axis.set_ylim(len(rows) - 0.4, -0.6)
    named = {place: row.label for place, row in enumerate(rows) if row.balance}
    axis.set_yticks([*named], [*named.values()])
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=PALE, linewidth=0.6)
    axis.set_axisbelow(True)
    beside = axis.get_yaxis_transform()
    for place, row in enumerate(rows):
        if row.balance is None:
            axis.text(0.0, place + 0.1, row.label, transform=beside, va="center", fontweight="bold")
        else:
            _bar(axis, place, row.balance, scale)
    axis.margins(x=0.2)
    axis.set_xlim(left=0.0)


def _bar(axis: Any, place: int, balance: Balance, scale: float) -> None:
    left = 0.0
    for amount, look in zip(_amounts(balance), _PARTS.values(), strict=True):
        if amount > 0.0:
            axis.barh(place, amount / scale, left=left, height=0.62, linewidth=0.8, **look)
            left += amount / scale
    required = balance.required.value / scale
    if required:
        axis.plot([required, required], [place - 0.42, place + 0.42], color=BLACK, linewidth=2.0, zorder=3)
    axis.annotate(_said(balance, scale), (left, place), (5, 0), textcoords="offset points", va="center", fontsize=8)


def _said(balance: Balance, scale: float) -> str:
    """Return what is written behind a bar: required against posted, and whether something is left out."""
    star = "*" if balance.partial else ""
    required = "?" if wholly_unknown(balance.required) else f"{balance.required.value / scale:,.2f}{star}"
    return f"{balance.lendable.value / scale:,.2f} for {required}"


def _handles() -> Iterator[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    yield Line2D([], [], color=BLACK, linewidth=2.0, label="required")
    for name, look in _PARTS.items():
        yield Patch(label=name, **look)
