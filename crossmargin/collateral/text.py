"""Balances as aligned text: where each dollar sits, what it covers, and whose law protects it.

`collateral_text(report)` is what `str(report)` shows. Formats only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crossmargin.collateral.balance import AMOUNTS, Balance, CollateralReport
from crossmargin.posted import Posted
from crossmargin.tables import LEVEL_TITLES, PROPOSED, money

_PLACE = ("pot", "owner", "firm", "class")
_AMOUNTS = tuple(name.replace("_", " ") for name in AMOUNTS)


def collateral_text(report: CollateralReport, posted: Iterable[Posted] = ()) -> str:
    """Return balances of each level, who is protected by which law, what is locked, refused and left out.

    With the deposits, the last table says where each of them sits; a deposit that is passed on is one dollar and is
    shown once, with the pots that it was passed on to.
    """
    tables = [_balances(report, level) for level in report.levels]
    tables += [_protection(report), _locks(report), _refusals(report), _left_out(report), _whereabouts(tuple(posted))]
    return "\n\n".join(table for table in tables if table) + "\n"


def _balances(report: CollateralReport, level: str) -> str:
    mine = [balance for balance in report.balances if balance.level == level]
    rows = [(*_place(balance), *(_amount(balance, name) for name in AMOUNTS)) for balance in mine]
    sums = report.totals(level)
    rows.append(("total", "", "", "", *(money(sums[name]) for name in AMOUNTS)))
    under = f", {report.regime}" if report.regime else ""
    proposed = f"   ({PROPOSED})" if report.status == "proposed" else ""
    title = f"Collateral {LEVEL_TITLES[level]}{under}, USD, as of {report.as_of}{proposed}"
    starred = "* leaves something out" if any(balance.partial for balance in mine) else ""
    return _table(title, (*_PLACE, *_AMOUNTS), rows, figures=len(_PLACE), foot=starred)


def _amount(balance: Balance, name: str) -> str:
    line = getattr(balance, name)
    return money(line.amount) + ("*" if line.partial else "")


def _place(balance: Balance) -> tuple[str, str, str, str]:
    return balance.pot, balance.owner, balance.firm, balance.account_class.value


def _protection(report: CollateralReport) -> str:
    classes = dict.fromkeys(balance.account_class for balance in report.balances)
    rows = [(each.value, each.segregation_law or "not segregated", each.insolvency_regime.value) for each in classes]
    return _table("Who is protected by which law", ("class", "kept apart by", "wound up under"), rows)


def _locks(report: CollateralReport) -> str:
    rows = [
        (*_place(balance), money(part.amount), part.name, part.note)
        for balance in report.balances
        for part in balance.locked.parts
        if part.value > 0.0 and part.value == balance.locked.value
    ]
    return _table("Excess that may cover nothing else, USD", (*_PLACE, "locked", "because", "walls"), rows)


def _refusals(report: CollateralReport) -> str:
    rows = [
        (decision.position, decision.product, decision.programme, f"{why.about} ({why.grade}). Cure: {why.cure}")
        for decision in report.refused()
        for why in decision.because
    ]
    return _table("Not eligible", ("posted", "asset", "schedule", "condition that fails"), rows)


def _left_out(report: CollateralReport) -> str:
    found: dict[tuple[str, str], list[str]] = {}
    for place, line in report.not_modelled():
        found.setdefault((line.name, line.note), []).append(place)
    rows = [
        (name, places[0] + (f" and {len(places) - 1} more" if len(places) > 1 else ""), why)
        for (name, why), places in found.items()
    ]
    return _table("Not modelled (totals leave these out)", ("line", "where", "why"), rows)


def _whereabouts(posted: Sequence[Posted]) -> str:
    passed: dict[str, list[str]] = {}
    for each in posted:
        if each.passed_on:
            passed.setdefault(each.passed_on, []).append(f"{each.quantity:,.10g} at {each.pot}")
    rows = [
        (each.id, f"{each.quantity:,.10g}", each.asset.symbol, each.provided_by or each.owner, str(each.place), onward)
        for each in posted
        if not each.passed_on
        for onward in [", ".join(passed.get(each.id, ()))]
    ]
    return _table(
        "Where each deposit sits", ("posted", "quantity", "asset", "whose", "place", "of which passed on"), rows
    )


def _table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, figures: int | None = None, foot: str = ""
) -> str:
    """Return a titled table, "" without rows; columns from `figures` on stand to the right."""
    if not rows:
        return ""
    right = len(header) if figures is None else figures
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if column >= right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, ["-" * width for width in widths], *rows)
    ]
    return "\n".join([title, "=" * len(title), *lines, *([foot] if foot else [])])
