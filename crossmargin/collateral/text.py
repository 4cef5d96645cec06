"""Balances as aligned text and as HTML: where each dollar sits, what it covers, and whose law protects it.

`collateral_text(report)` is what `str(report)` shows, `collateral_html` what a notebook does. Formats only.
"""

from __future__ import annotations

from collections.abc import Iterable

from crossmargin.collateral.balance import AMOUNTS, Balance, CollateralReport
from crossmargin.markup import fragment
from crossmargin.posted import Posted
from crossmargin.results import Line
from crossmargin.tables import BESIDES, LEVEL_TITLES, PROPOSED, Section, money, sections_html, sections_text

_PLACE = ("pot", "owner", "firm", "class")
_AMOUNTS = tuple(name.replace("_", " ") for name in AMOUNTS)


def collateral_text(report: CollateralReport, posted: Iterable[Posted] = ()) -> str:
    """Return balances of each level, who is protected by which law, what is locked, refused and left out.

    With the deposits, the last table says where each of them sits; a deposit that is passed on is one dollar and is
    shown once, with the pots that it was passed on to.
    """
    return sections_text([*collateral_sections(report), whereabouts(posted)])


def collateral_html(report: CollateralReport) -> str:
    """Return the same as HTML, without the deposits."""
    return fragment([sections_html(collateral_sections(report))])


def collateral_sections(report: CollateralReport) -> list[Section]:
    """Return the tables of both; some may have no rows."""
    tables = [_balances(report, level) for level in report.levels]
    return [*tables, _protection(report), _locks(report), _refusals(report), _left_out(report)]


def _balances(report: CollateralReport, level: str) -> Section:
    mine = [balance for balance in report.balances if balance.level == level]
    rows = [(*_place(balance), *(_amount(balance, name) for name in AMOUNTS)) for balance in mine]
    sums = report.totals(level)
    last = ("total", "", "", "", *(_sum(mine, name, sums[name]) for name in AMOUNTS))
    under = f", {report.regime}" if report.regime else ""
    proposed = f"   ({PROPOSED})" if report.status == "proposed" else ""
    besides = BESIDES if level == "clearing" and any(each.place.at_firm for each in mine) else ""
    title = f"Collateral {LEVEL_TITLES[level]}{besides}{under}, USD, as of {report.as_of}{proposed}"
    starred = "* leaves something out" if any(balance.partial for balance in mine) else ""
    return Section(title, (*_PLACE, *_AMOUNTS), rows, figures=len(_PLACE), last=last, foot=starred)


def _amount(balance: Balance, name: str) -> str:
    return _starred([getattr(balance, name)], getattr(balance, name).amount)


def _sum(balances: Iterable[Balance], name: str, amount: float | None) -> str:
    return _starred([getattr(balance, name) for balance in balances], amount)


def _starred(lines: Iterable[Line], amount: float | None) -> str:
    """Return what lines come to, with a star where one of them leaves something out."""
    return money(amount) + ("*" if any(line.partial for line in lines) else "")


def _place(balance: Balance) -> tuple[str, str, str, str]:
    return balance.pot, balance.owner, balance.firm, balance.account_class.value


def _protection(report: CollateralReport) -> Section:
    classes = dict.fromkeys(balance.account_class for balance in report.balances)
    rows = [(each.value, each.segregation_law or "not segregated", each.insolvency_regime.value) for each in classes]
    return Section("Who is protected by which law", ("class", "kept apart by", "wound up under"), rows, figures=None)


def _locks(report: CollateralReport) -> Section:
    rows = [
        (*_place(balance), money(part.amount), part.name, part.note)
        for balance in report.balances
        for part in balance.locked.parts
        if part.value > 0.0 and part.value == balance.locked.value
    ]
    header = (*_PLACE, "locked", "because", "walls")
    return Section("Excess that may cover nothing else, USD", header, rows, figures=None)


def _refusals(report: CollateralReport) -> Section:
    rows = [
        (decision.position, decision.product, decision.programme, f"{why.about} ({why.grade}). Cure: {why.cure}")
        for decision in report.refused()
        for why in decision.because
    ]
    return Section("Not eligible", ("posted", "asset", "schedule", "condition that fails"), rows, figures=None)


def _left_out(report: CollateralReport) -> Section:
    found: dict[tuple[str, str], list[str]] = {}
    for place, line in report.not_modelled():
        found.setdefault((line.name, line.note), []).append(place)
    rows = [
        (name, places[0] + (f" and {len(places) - 1} more" if len(places) > 1 else ""), why)
        for (name, why), places in found.items()
    ]
    return Section("Not modelled (totals leave these out)", ("line", "where", "why"), rows, figures=None)


def whereabouts(posted: Iterable[Posted]) -> Section:
    """Return where each deposit sits, and of which dollars of it have been passed on."""
    posted, passed = tuple(posted), dict[str, list[str]]()
    for each in posted:
        if each.passed_on:
            passed.setdefault(each.passed_on, []).append(f"{each.quantity:,.10g} at {each.pot}")
    rows = [
        (each.id, f"{each.quantity:,.10g}", each.asset.symbol, each.provided_by or each.owner, str(each.place), onward)
        for each in posted
        if not each.passed_on
        for onward in [", ".join(passed.get(each.id, ()))]
    ]
    header = ("posted", "quantity", "asset", "whose", "place", "of which passed on")
    return Section("Where each deposit sits", header, rows, figures=None)
