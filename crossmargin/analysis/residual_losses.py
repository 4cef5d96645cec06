"""The losses beyond margin under one regime: of customers, of firms in default, of pots closed out alone.

`study_of` draws the scenarios and reprices once; `losses(study, report, pnl)` gives the vectors of every place and
`residual_of` their summary. `protection` puts them side by side; the parameters are those of `protection.toml`.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.accounts import AccountClass
from crossmargin.analysis.default import (
    FirmDefault,
    LossShare,
    default_rules,
    firm_default,
    pool_pnl,
    receiver_problems,
)
from crossmargin.analysis.liquidation import FLOWS, Leg
from crossmargin.collateral.covering import book_of
from crossmargin.columns import FloatArray
from crossmargin.errors import Problems, listed
from crossmargin.market import Market
from crossmargin.parameters import Read, Reader, Rules, load_rules
from crossmargin.pnl import PnL, can_revalue, revalue
from crossmargin.portfolio import Portfolio
from crossmargin.posted import CARRYING_FIRM, Place, Posted, problems_with
from crossmargin.records import as_tuple
from crossmargin.results import Report, Requirement, known_sum
from crossmargin.risk import tail_mean
from crossmargin.scenarios import ScenarioSpec, scenario_set
from crossmargin.spot_scenarios import with_spot_moves
from crossmargin.underlyings import securities_held

MEASURES = ("expected", "tail", "worst")
BEARERS = ("firm", "fellow customers", "clearing house")
ALL = "all"
_RULE = "protection"


@frozen
class Residual:
    """Losses beyond the margin held in one place, or in all of them at once (owner `all`), USD.

    Attributes
    ----------
    scenarios : str
        `historical`, `filtered` or `stress`.
    default : str
        `customer`: it fails its firm, which holds its margin for all its positions of one class. `firm`: it fails, with
        every customer that does not port. `leg`: one pot is closed out alone, the other no help.
    held : float or None
        Margin held: what is asked net of credit, or what is posted. None where nothing of the requirement is modelled.
    expected, tail, worst : float or None
        Mean loss beyond it over the scenarios, mean of the worst of them, the worst. None where there is no margin to
        set losses against, or no position has P&L.
    frequency : float or None
        Share of the scenarios in which there is any, in [0, 1]; None with them.
    borne_by : mapping of str to float
        Expected loss by who bears it: `firm`, `fellow customers`, `clearing house`; empty where it is not known.
    left_out : tuple of str
        Products without P&L.
    partial : bool
        Whether the requirement leaves something out: margin held is too low then.
    """

    regime: str
    status: str
    scenarios: str
    default: str
    owner: str
    firm: str
    account_class: str
    pot: str
    held: float | None
    expected: float | None
    tail: float | None
    worst: float | None
    frequency: float | None
    borne_by: Mapping[str, float]
    left_out: tuple[str, ...] = field(default=(), converter=as_tuple)
    partial: bool = False

    @property
    def insolvency_regime(self) -> str:
        """The law under which the account is wound up if its firm fails; "" for the sum of all."""
        return AccountClass(self.account_class).insolvency_regime.value if self.account_class else ""

    def share_of(self, bearer: str) -> float | None:
        """Return the expected loss that somebody bears, USD, 0 where it is another's to bear; None where not known."""
        return None if self.expected is None else self.borne_by.get(bearer, 0.0)


def study_rules(rules: Iterable[Rules] = ()) -> Rules:
    """Return the parameters of the study as shipped, or as overlaid among `rules`."""
    return next((each for each in rules if each.id == _RULE), load_rules(Path(__file__).with_name(f"{_RULE}.toml")))


# --------------------------------------------------------------------------------------------------------- the study


@frozen(eq=False)
class Study:
    """What every regime is tested against."""

    portfolio: Portfolio
    market: Market
    posted: tuple[Posted, ...] | None
    pnl: Mapping[str, PnL]
    loss_share: LossShare | str
    receivers: Mapping[str, str]
    rules: tuple[Rules, ...]
    confidence: float
    reads: tuple[Read, ...]
    notes: tuple[str, ...]
    at_firms: Mapping[tuple[str, str, str], float] | None = None

    @property
    def margin_rules(self) -> tuple[Rules, ...]:
        """The overlaid rules that margin reads."""
        mine = {_RULE, default_rules().id}
        return tuple(each for each in self.rules if each.id not in mine)


def study_of(
    portfolio: Portfolio,
    market: Market,
    posted: tuple[Posted, ...] | None,
    *,
    loss_share: LossShare | str,
    receivers: Mapping[str, str],
    rules: tuple[Rules, ...],
) -> Study:
    """Draw the scenarios and reprice once; the arguments are those of `protection`, unknown names refused."""
    problems = Problems()
    problems.extend(receiver_problems(portfolio, receivers))
    known = {"owners": portfolio.owners, "firms": portfolio.firm_ids}
    problems.extend(problems_with(posted or (), market.as_of, **known))
    problems.raise_if_any("No losses beyond margin can be worked out")
    p, terms = study_rules(rules).at(market.as_of), default_rules(rules).at(market.as_of)
    share = loss_share if isinstance(loss_share, LossShare) else LossShare(loss_share)
    pnl, notes = _repriced(portfolio, market, p)
    confidence = p.tail_confidence
    for name in ("fellow_customer_risk", "individual_by_rule", "house_pays_customers"):
        getattr(terms, name)
    reads = (*p.taken(), *terms.taken(), share.read(market.as_of, rules))
    study = Study(portfolio, market, posted, pnl, share, receivers, rules, confidence, reads, notes)
    return study if posted is None else evolve(study, at_firms=_held_at_firms(study, posted))


def _held_at_firms(study: Study, posted: tuple[Posted, ...]) -> dict[tuple[str, str, str], float]:
    """Return what each customer has at its firm by class, after haircuts, passed on or not, USD."""
    book = book_of(posted, study.market, portfolio=study.portfolio, rules=study.margin_rules)
    found: dict[tuple[str, str, str], list[float]] = {}
    for each in posted:
        if each.level == "customer" and not each.provided_by:
            worth = book.lendable(each, book.market_value(each)).value
            found.setdefault((each.owner, each.firm, each.account_class.value), []).append(worth)
    return {unit: math.fsum(amounts) for unit, amounts in found.items()}


def _specs(p: Reader) -> dict[str, ScenarioSpec]:
    horizon, years = p.horizon_days, p.lookback_years
    return {
        "historical": ScenarioSpec("historical", horizon, years),
        "filtered": ScenarioSpec("filtered", horizon, years, decay=p.decay),
        "stress": ScenarioSpec("stress", horizon, 0, p.stress_period),
    }


def _repriced(portfolio: Portfolio, market: Market, p: Reader) -> tuple[dict[str, PnL], tuple[str, ...]]:
    """Return the P&L under each kind of scenario that the history can draw, and what is to be said of them."""
    problems, found = Problems(), {}
    securities = securities_held(portfolio.products, market.underlyings)
    for name, spec in _specs(p).items():
        with problems.collecting():
            drawn = scenario_set(spec, market.history, market.as_of)
            if securities and market.price_history:
                drawn = with_spot_moves(drawn, market.price_history, securities, as_of=market.as_of)
            known = [product for product in portfolio.products if can_revalue(product, market, drawn)]
            found[name] = revalue(known, market, drawn)
    if not found:
        problems.raise_if_any("No scenarios to test margin with")
    notes = [f"{name}: {note}" for name, pnl in found.items() for note in pnl.scenarios.notes]
    symbols = {each.symbol for pnl in found.values() for each in portfolio.products if each not in pnl}
    left_out = [f"P&L leaves out {listed(sorted(symbols))}"] if symbols else []
    return found, (*left_out, *notes, *(f"scenarios left out: {problem}" for problem in problems.found))


@frozen(eq=False)
class Lost:
    """Losses beyond margin [n_scenarios] in one place, or in all, and what each bearer has of them, USD.

    `held` is None where nothing of the requirement is modelled, `beyond` where no loss is.
    """

    owner: str
    firm: str
    account_class: str
    pot: str
    held: float | None
    beyond: FloatArray | None
    borne: Mapping[str, FloatArray]
    left_out: tuple[str, ...] = ()
    partial: bool = False


def residuals(study: Study, report: Report) -> Iterator[Residual]:
    """Yield the residuals of one regime, the sum of all after those of each kind of default."""
    for scenarios, pnl in study.pnl.items():
        for default, lost in losses(study, report, pnl).items():
            for each in (*lost, together(lost, pnl.values.shape[1])):
                yield residual_of(each, study.confidence, report, under=(scenarios, default))


def losses(study: Study, report: Report, pnl: PnL) -> dict[str, tuple[Lost, ...]]:
    """Return the losses beyond margin of every place, by what defaults: `customer`, `firm` or `leg`."""
    firms = dict.fromkeys(each.firm for each in report.requirements if each.level == "clearing")
    vectors, left_out = pool_pnl(report, study.portfolio, pnl)
    failed = [_failed(study, report, firm, vectors, left_out=left_out) for firm in firms]
    blind = _without_pnl(report, study.portfolio, pnl)
    return {
        "customer": _of_customers(study, report, pnl),
        "firm": tuple(_known(blind, leg, _of_leg(leg)) for each in failed for leg in each.liquidated),
        "leg": tuple(_known(blind, leg, _alone(leg)) for each in failed for leg in each.legs),
    }


def _without_pnl(report: Report, portfolio: Portfolio, pnl: PnL) -> frozenset[Place]:
    """Return the places at clearing level in which there are positions and none of them has P&L."""
    seen, held = {position.id for position in portfolio.positions if position.product in pnl}, dict[Place, set[str]]()
    for each in report.requirements:
        if each.level == "clearing":
            held.setdefault(Place(each.owner, each.firm, each.pot, each.account_class), set()).update(each.positions)
    return frozenset(place for place, ids in held.items() if ids and seen.isdisjoint(ids))


def _known(blind: Container[Place], leg: Leg, lost: Lost) -> Lost:
    """Return a loss without what is not known of it: no requirement or deposit to set it against, or no P&L at all."""
    if leg.takes_part and leg.place not in blind:
        return lost
    return evolve(lost, held=lost.held if leg.takes_part else None, beyond=None, borne={})


def _failed(
    study: Study,
    report: Report,
    firm: str,
    vectors: Mapping[str, FloatArray],
    *,
    left_out: Mapping[str, tuple[str, ...]],
) -> FirmDefault:
    return firm_default(
        report,
        study.portfolio,
        firm,
        vectors,
        loss_share=study.loss_share,
        receivers={owner: taker for owner, taker in study.receivers.items() if taker != firm},
        posted=study.posted,
        market=study.market,
        left_out=left_out,
        rules=study.rules,
    )


def _of_leg(leg: Leg) -> Lost:
    """Return what others pay for a leg when its firm is in default."""
    firm, house, fellows, clearing_house = (np.maximum(0.0, leg.flows[name]) for name in FLOWS[1:])
    if leg.place.account_class is AccountClass.PROPRIETARY:  # fellows of the house are its affiliates
        firm, fellows = firm + fellows, np.zeros(fellows.size)
    borne = dict(zip(BEARERS, (firm + house, fellows, clearing_house), strict=True))
    return _lost(leg, leg.beyond, borne)


def _alone(leg: Leg) -> Lost:
    """Return what a clearing house loses that closes out a leg with nothing but the owner's margin there."""
    beyond = np.maximum(0.0, -(leg.held + leg.pnl))
    return _lost(leg, beyond, {"clearing house": beyond})


def _lost(leg: Leg, beyond: FloatArray, borne: Mapping[str, FloatArray]) -> Lost:
    place = leg.place
    where = (place.owner, place.firm, place.account_class.value, place.pot)
    return Lost(*where, held=leg.held, beyond=beyond, borne=borne, left_out=leg.left_out, partial=leg.partial)


def _of_customers(study: Study, report: Report, pnl: PnL) -> tuple[Lost, ...]:
    """Return what each customer's firm loses, class by class: all positions of the class against all margin in it."""
    units: dict[tuple[str, str, str], list[Requirement]] = {}
    for each in report.requirements:
        if each.level == "customer":
            units.setdefault((each.owner, each.firm, each.account_class), []).append(each)
    return tuple(_of_customer(study, unit, asked, pnl) for unit, asked in units.items())


def _of_customer(study: Study, unit: tuple[str, str, str], asked: list[Requirement], pnl: PnL) -> Lost:
    """Return what one customer loses beyond its margin; positions whose requirement is not known take no part."""
    given = study.at_firms
    known = {id for each in asked if given is not None or each.line.amount is not None for id in each.positions}
    every = {id for each in asked for id in each.positions}
    mine = [position for position in study.portfolio.positions if position.id in every]
    counted = [position for position in mine if position.id in known and position.product in pnl]
    gained = pnl.pooled([each.product for each in counted], [each.quantity for each in counted])
    required = known_sum(each.line.amount for each in asked)
    held = given.get(unit, 0.0) if given is not None else None if required is None else max(0.0, required)
    left_out = tuple(dict.fromkeys(each.product.symbol for each in mine if each not in counted))
    partial = any(each.line.partial for each in asked)
    if held is None or (mine and not counted):
        return Lost(*unit, CARRYING_FIRM, held, None, {}, left_out, partial)
    beyond = np.maximum(0.0, -(held + gained))
    return Lost(*unit, CARRYING_FIRM, held, beyond, {"firm": beyond}, left_out, partial)


def together(lost: Iterable[Lost], n: int) -> Lost:
    """Return the sum of all that are known, scenario by scenario."""
    lost, zero = tuple(lost), np.zeros(n)
    names = dict.fromkeys(name for each in lost for name in each.borne)
    known = [each.beyond for each in lost if each.beyond is not None]
    return Lost(
        ALL,
        "",
        "",
        "",
        held=known_sum(each.held for each in lost),
        beyond=sum(known, zero) if known or not lost else None,
        borne={name: sum((each.borne.get(name, zero) for each in lost), zero) for name in names},
        left_out=tuple(dict.fromkeys(symbol for each in lost for symbol in each.left_out)),
        partial=any(each.partial for each in lost),
    )


def residual_of(lost: Lost, confidence: float, report: Report, *, under: tuple[str, str]) -> Residual:
    """Return the figures of a loss; `under` names the scenarios and what defaults."""
    return Residual(
        report.regime,
        report.status,
        *under,
        owner=lost.owner,
        firm=lost.firm,
        account_class=lost.account_class,
        pot=lost.pot,
        held=lost.held,
        **_measured(lost.beyond, confidence),
        borne_by={name: float(amount.mean()) for name, amount in lost.borne.items()},
        left_out=lost.left_out,
        partial=lost.partial,
    )


def _measured(beyond: FloatArray | None, confidence: float) -> dict[str, Any]:
    if beyond is None:
        return dict.fromkeys((*MEASURES, "frequency"))
    return {
        "expected": float(beyond.mean()),
        "tail": float(tail_mean(beyond, confidence)),
        "worst": float(beyond.max()),
        "frequency": float((beyond > 0.0).mean()),
    }
