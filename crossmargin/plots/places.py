"""Where collateral lies: one bar for each place, by the law under which it is wound up when the firm fails.

Call `pots(report)`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attrs import frozen

from crossmargin.accounts import InsolvencyRegime
from crossmargin.collateral.balance import Balance, CollateralReport
from crossmargin.plots.style import (
    AROUND,
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    ROW,
    STYLE,
    VERMILION,
    WIDTH,
    behind,
    drawing,
    name_rows,
    patches,
    unit_of,
)
from crossmargin.tables import PROPOSED

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
_BEHIND = "Behind each bar: value after haircuts for requirement; * leaves something out, ? is not known."


@frozen
class _Row:
    """A line of the picture: a balance, or without one the heading of a group."""

    label: str
    balance: Balance | None = None


def pots(report: CollateralReport) -> Any:
    """Draw every place as one bar, by the law under which it is wound up when the firm fails.

    A bar is what is covered, then what is missing, or what is posted beyond: free, locked, lost to haircuts. A black
    mark shows what is required; behind the bar stands a question mark for what is wholly unknown, a star
    where something is left out. Each level has a panel of its own, for levels never add.

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
    mpl, figure_of = drawing(report=(report, CollateralReport, "Give what collateral_report returned."))
    panels = {level: _rows(report, level) for level in report.levels}
    lengths = [len(rows) for rows in panels.values()] or [1]
    with mpl.rc_context(STYLE):
        figure = figure_of(figsize=(WIDTH, sum(lengths) * ROW + AROUND), layout="constrained")
        axes = figure.subplots(len(lengths), 1, squeeze=False, sharex=True, height_ratios=lengths)[:, 0]
        scale, unit = unit_of(sum(_amounts(each)) for each in report.balances)
        for axis, (level, rows) in zip(axes, panels.items(), strict=False):
            _panel(axis, rows, scale)
            axis.set_title(_TITLES[level])
        axes[-1].set_xlabel(unit)
        figure.suptitle(_title(report), x=0.01, ha="left", fontsize=10)
        handles = [*_handles()] if panels else []
        figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False)
    return figure


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
    name_rows(axis, {place: row.label for place, row in enumerate(rows) if row.balance}, len(rows))


def _bar(axis: Any, place: int, balance: Balance, scale: float) -> None:
    left = 0.0
    for amount, look in zip(_amounts(balance), _PARTS.values(), strict=True):
        if amount > 0.0:
            axis.barh(place, amount / scale, left=left, height=0.62, linewidth=0.8, **look)
            left += amount / scale
    required = balance.required.value / scale
    if required:
        axis.plot([required, required], [place - 0.42, place + 0.42], color=BLACK, linewidth=2.0, zorder=3)
    behind(axis, place, left, _said(balance, scale))


def _said(balance: Balance, scale: float) -> str:
    """Return what is written behind a bar: required against posted, and whether something is left out."""
    star = "*" if balance.partial else ""
    required, posted = (
        "?" if line.amount is None else f"{line.amount / scale:,.2f}{mark}"
        for line, mark in ((balance.required, star), (balance.lendable, ""))
    )
    return f"{posted} for {required}"


def _handles() -> Iterator[Any]:
    from matplotlib.lines import Line2D

    yield Line2D([], [], color=BLACK, linewidth=2.0, label="required")
    yield from patches(_PARTS)
