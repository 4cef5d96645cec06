"""What margin does not cover, regime by regime: how much is lost beyond it when someone defaults, and who bears it.

Call `protection(portfolio, market, regimes)`: losses beyond the margin held when a customer defaults, when its firm
does, and when one pot is closed out alone, under historical, filtered and stressed scenarios. `frontier` sets savings
against what is left uncovered. The study's scenarios are in `protection.toml`, the rules of default in `default.toml`.
That a clearing house fails itself is not modelled, and no default is given a probability.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from importlib import import_module
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen

from crossmargin.analysis.default import LossShare, aligned
from crossmargin.analysis.residual_losses import (
    ALL,
    BEARERS,
    MEASURES,
    Residual,
    Study,
    losses,
    residual_of,
    residuals,
    study_of,
    together,
)
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.margin import compare
from crossmargin.market import Market
from crossmargin.parameters import Read, Rules
from crossmargin.portfolio import Portfolio
from crossmargin.posted import Posted
from crossmargin.records import as_tuple
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED, Regime
from crossmargin.tables import money

THREE = (SILOED, CROSS_MARGIN, HARMONIZED)
SCENARIOS = ("historical", "filtered", "stress")
DEFAULTS = ("customer", "firm", "leg")
STUDIED = "study"  # the status of what has overlaid rules: neither in force nor proposed by anyone


@frozen
class Protection:
    """Residual losses of several regimes over the same scenarios; `to_records` and `str` show them.

    Whoever reads a total: it is the loss if everyone of that kind defaults at once.
    """

    as_of: date
    rows: tuple[Residual, ...] = field(converter=as_tuple)
    reads: tuple[Read, ...] = ()
    notes: tuple[str, ...] = ()

    def total(self, regime: str, scenarios: str = "historical", default: str = "leg") -> Residual:
        """Return the residual loss of all at once.

        Raises
        ------
        InputError
            That was not looked at.
        """
        totals = {(each.regime, each.scenarios, each.default): each for each in self.rows if each.owner == ALL}
        wanted = {"regime": regime, "scenarios": scenarios, "default": default}
        problems = Problems()
        for place, (name, value) in enumerate(wanted.items()):
            known = dict.fromkeys(key[place] for key in totals)
            if value not in known:
                problems.add(f"no residual of {value!r}.", where=f"protection, {name}", fix=suggestion(value, known))
        problems.raise_if_any()
        return totals[regime, scenarios, default]

    def assumptions(self) -> tuple[Read, ...]:
        """Return the parameters read that no published text states."""
        return tuple(read for read in self.reads if read.grade not in ("rule", "disclosure"))

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record per residual."""
        return [_record(each, self.as_of) for each in self.rows]

    def __str__(self) -> str:
        """Return the totals as aligned text, then notes."""
        header = ["regime", "status", "scenarios", "default", "held", *MEASURES, "frequency", *BEARERS]
        rows = [_row(each) for each in self.rows if each.owner == ALL]
        return "\n".join([*aligned([header, *rows]), *(f"note: {note}" for note in self.notes)]) + "\n"


def _record(each: Residual, as_of: date) -> dict[str, Any]:
    names = ("regime", "status", "scenarios", "default", "owner", "firm", "account_class", "insolvency_regime", "pot")
    figures = ("held", *MEASURES, "frequency")
    borne = {f"borne_by_{name.replace(' ', '_')}": each.share_of(name) for name in BEARERS}
    said = {name: getattr(each, name) for name in (*names, *figures)}
    return {"as_of": as_of.isoformat(), **said, **borne, "partial": each.partial or bool(each.left_out)}


def _row(each: Residual) -> list[str]:
    figures = [money(each.held), *(money(getattr(each, name)) for name in MEASURES)]
    often = money(None) if each.frequency is None else f"{each.frequency:.2%}"
    borne = [money(each.share_of(name)) for name in BEARERS]
    return [each.regime, each.status, each.scenarios, each.default, *figures, often, *borne]


def protection(
    portfolio: Portfolio,
    market: Market,
    regimes: Iterable[Regime] = THREE,
    *,
    posted: Iterable[Posted] | None = None,
    loss_share: LossShare | str = "none",
    receivers: Mapping[str, str] = MappingProxyType({}),
    rules: Iterable[Rules] = (),
) -> Protection:
    """Return the losses beyond margin of every regime, place and kind of default, and who bears them.

    Parameters
    ----------
    regimes : iterable of Regime
        All are tested on one P&L matrix for each kind of scenario.
    posted : iterable of Posted, optional
        What is held, after haircuts; otherwise what each regime asks for, net of credit.
    loss_share, receivers
        As in `firm_default`: how tied pots share, and who takes which customer.
    rules : iterable of Rules, optional
        Overlaid rules, the study's own (`study_rules`) and those of default among them.

    Raises
    ------
    InputError
        Everything wrong with the input; no scenarios at all.

    Notes
    -----
    Levels never add. A customer's default is looked at on the customer level, where the firm may use its margin at any
    pot of the class; the others on the clearing level. In a firm's default no customer pays more than its margin.
    Positions stand still over the horizon, and scenarios are equally likely.

    References
    ----------
    Rockafellar and Uryasev, Optimization of conditional value-at-risk, Journal of Risk 2 (2000): the tail mean.

    Examples
    --------
    >>> from crossmargin.samples import basis_trade
    >>> found = protection(*basis_trade(), [SILOED, CROSS_MARGIN])
    >>> siloed, cross = (found.total(name, "stress", "leg") for name in ("siloed", "cross_margin"))
    >>> siloed.held > cross.held, siloed.expected < cross.expected
    (True, True)
    """
    rules, posted = tuple(rules), None if posted is None else tuple(posted)
    study = study_of(portfolio, market, posted, loss_share=loss_share, receivers=receivers, rules=rules)
    compared = compare(portfolio, market, regimes, rules=study.margin_rules)
    rows = [row for report in compared.reports for row in residuals(study, report)]
    gap = any(row.partial or row.left_out for row in rows)
    said = ["some requirements or P&L leave something out: see `partial` in the records"] if gap else []
    return Protection(market.as_of, rows, study.reads, (*said, *study.notes))


# ------------------------------------------------------------------------------------------------------ the frontier


@frozen
class Switch:
    """One way to margin: a regime and overlaid rules, under a name."""

    name: str
    regime: Regime
    rules: tuple[Rules, ...] = field(default=(), converter=as_tuple)


@frozen
class Point:
    """What a switch saves and what it leaves uncovered, USD.

    `margin` is asked at clearing level, `saving` what the first switch asks for more; `efficient` says that no other
    switch saves as much with less uncovered, or more with as little. `partial` says that the margin or the loss
    leaves something out; a figure of which nothing is modelled is None, and such a point neither beats nor is beaten.
    A switch with overlaid rules has the status `study`, whatever it overlays.
    """

    name: str
    regime: str
    status: str
    margin: float | None
    saving: float | None
    residual: float | None
    efficient: bool = False
    partial: bool = False


@frozen
class Frontier:
    """Efficiency against protection on a day: every switch tried, and the residual loss that was looked at."""

    scenarios: str
    default: str
    measure: str
    points: tuple[Point, ...] = field(converter=as_tuple)
    as_of: date | None = None

    @property
    def efficient(self) -> tuple[Point, ...]:
        """The points that no other beats, by saving: the residual loss never falls along them."""
        return tuple(sorted((each for each in self.points if each.efficient), key=lambda each: each.saving or 0.0))

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record per point."""
        day = None if self.as_of is None else self.as_of.isoformat()
        said = {"as_of": day, "scenarios": self.scenarios, "default": self.default, "measure": self.measure}
        names = ("name", "regime", "status", "margin", "saving", "residual", "efficient", "partial")
        return [{**said, **{name: getattr(each, name) for name in names}} for each in self.points]

    def plot(self) -> Any:
        """Return a picture of savings against loss (extra `plots`): `crossmargin.plots.frontier`."""
        return import_module("crossmargin.plots").frontier(self)  # a layer above, and an extra

    def __str__(self) -> str:
        """Return the points as aligned text."""
        day = "" if self.as_of is None else f"{self.as_of}: "
        title = f"{day}{self.measure} loss beyond margin, {self.default} default, {self.scenarios} scenarios"
        rows = [
            [each.name, each.status, money(each.margin), money(each.saving), money(each.residual), _yes(each.efficient)]
            for each in self.points
        ]
        header = ["switch", "status", "margin", "saving", "residual", "efficient"]
        return "\n".join([title, *aligned([header, *rows])]) + "\n"


def _yes(flag: bool) -> str:  # noqa: FBT001 - a word for a flag
    return "yes" if flag else ""


def frontier(
    portfolio: Portfolio,
    market: Market,
    switches: Iterable[Switch],
    *,
    scenarios: str = "historical",
    default: str = "leg",
    measure: str = "tail",
    loss_share: LossShare | str = "none",
    rules: Iterable[Rules] = (),
) -> Frontier:
    """Return what each way to margin saves against the loss that it leaves uncovered, all units at once.

    Parameters
    ----------
    switches : iterable of Switch
        Savings are measured against the first.
    scenarios, default, measure : str
        Which residual loss: one of `SCENARIOS`, of `DEFAULTS` and of `MEASURES`.
    rules : iterable of Rules, optional
        Overlaid for every switch, the study's own among them; a switch's own rules go before.

    Raises
    ------
    InputError
        No switch, two of one name, an unknown choice, and what `protection` refuses.

    Examples
    --------
    >>> from crossmargin.registry import rules as rule
    >>> from crossmargin.samples import basis_trade
    >>> half = rule("cme_ficc").with_values(reduction_cap=0.5, because="study")
    >>> tried = [Switch("siloed", SILOED), Switch("half", CROSS_MARGIN, [half]), Switch("today", CROSS_MARGIN)]
    >>> [point.name for point in frontier(*basis_trade(), tried).efficient]
    ['siloed', 'half', 'today']
    """
    tried, overlaid = tuple(switches), tuple(rules)
    _check_frontier(tried, {"scenarios": scenarios, "default": default, "measure": measure})
    study = study_of(portfolio, market, None, loss_share=loss_share, receivers={}, rules=overlaid)
    if scenarios not in study.pnl:
        raise InputError([Problem(f"no {scenarios} scenarios.", "frontier", "; ".join(study.notes))])
    study = evolve(study, pnl={scenarios: study.pnl[scenarios]})
    found = [_point(study, switch, scenarios=scenarios, default=default, measure=measure) for switch in tried]
    points = [evolve(each, saving=_saved(found[0], each)) for each in found]
    known = [each for each in points if None not in (each.saving, each.residual)]
    marked = [evolve(each, efficient=each in known and not any(_beats(one, each) for one in known)) for each in points]
    return Frontier(scenarios, default, measure, marked, market.as_of)


def _point(study: Study, switch: Switch, *, scenarios: str, default: str, measure: str) -> Point:
    mine = {each.id for each in switch.rules}
    rules = (*switch.rules, *(each for each in study.rules if each.id not in mine))
    tried = evolve(study, rules=rules)
    report = compare(study.portfolio, study.market, (switch.regime,), rules=tried.margin_rules).reports[0]
    lost = losses(tried, report, study.pnl[scenarios])[default]
    n = study.pnl[scenarios].values.shape[1]
    residual = residual_of(together(lost, n), study.confidence, report, under=(scenarios, default))
    status = STUDIED if switch.rules else report.status
    left_out = report.line().partial or bool(residual.left_out)
    uncovered: float | None = getattr(residual, measure)
    return Point(switch.name, report.regime, status, report.total(), None, uncovered, partial=left_out)


def _saved(base: Point, point: Point) -> float | None:
    return None if base.margin is None or point.margin is None else base.margin - point.margin


def _beats(one: Point, other: Point) -> bool:
    """Whether one point is better than another, of both of which all is known."""
    mine, theirs = ((each.saving or 0.0, -(each.residual or 0.0)) for each in (one, other))
    return mine != theirs and mine[0] >= theirs[0] and mine[1] >= theirs[1]


def _check_frontier(switches: tuple[Switch, ...], chosen: Mapping[str, str]) -> None:
    problems = Problems()
    if not switches:
        problems.add("no switch to try.", where="switches", fix="Give one at least.")
    for name, count in Counter(each.name for each in switches).items():
        if count > 1:
            problems.add(f"{name!r} stands {count} times.", where="switches", fix="Give each its own name.")
    known = {"scenarios": SCENARIOS, "default": DEFAULTS, "measure": MEASURES}
    for name, value in chosen.items():
        if value not in known[name]:
            problems.add(f"unknown {value!r}.", where=name, fix=suggestion(value, known[name]))
    problems.raise_if_any("No frontier can be drawn")
