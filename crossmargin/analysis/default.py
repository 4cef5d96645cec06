"""A firm defaults: which customers port and with what, what is liquidated, and who pays what margin does not.

Call `firm_default(report, portfolio, firm, pnl)` with the P&L of every pool over the liquidation horizon, which
`pool_pnl` makes. Porting is decided customer by customer (`porting`); the rest is liquidated pot by pot
(`liquidation`), and a surplus crosses between two pots only as the `LossShare` policy says. Rules are in
`default.toml`. The clearing house's own waterfall, advances of SIPC and what lies with the firm alone are not modelled,
and named.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import ArrayLike

from crossmargin.analysis.liquidation import FLOWS, Leg, Tie, liquidated
from crossmargin.analysis.porting import ported
from crossmargin.collateral.covering import book_of, required_lines
from crossmargin.columns import FloatArray, readonly
from crossmargin.eligibility import Decision
from crossmargin.errors import InputError, Problem, Problems, listed, suggestion
from crossmargin.market import Market
from crossmargin.parameters import Read, Rules, load_rules
from crossmargin.pnl import PnL
from crossmargin.portfolio import Portfolio
from crossmargin.posted import Place, Posted, problems_with
from crossmargin.records import as_tuple
from crossmargin.results import Line, Report, Requirement, not_modelled
from crossmargin.tables import money

POLICIES = ("none", "cross_guaranty", "pro_rata")
NOT_MODELLED = (
    ("clearing house's own capital, default fund and assessments", "who bears a clearing house's loss is not divided"),
    ("advances of SIPC", "their limits and conditions are not read here"),
    ("trustee's distribution", "what a class is short of is not shared with customers that have ported"),
    ("claims beyond margin", "what an owner owes beyond its margin is taken to be lost"),
    ("what lies with the firm alone", "margin that no clearing house holds is the trustee's to return"),
)
_RULE = "default"
_SUMS_TO_ONE = 1e-9  # rounding of probabilities that were divided


def default_rules(rules: Iterable[Rules] = ()) -> Rules:
    """Return the rules of default as shipped, or as overlaid among `rules`."""
    return next((each for each in rules if each.id == _RULE), load_rules(Path(__file__).with_suffix(".toml")))


@frozen
class LossShare:
    """How two pots of one programme share what liquidation leaves, by name.

    ================  ================================================================================
    policy            a surplus in one pot
    ================  ================================================================================
    none              goes back to its owner, whatever the other pot is short of
    cross_guaranty    pays up to the shortfall in the other pot
    pro_rata          is part of one joint result, split in proportion to cross-margin requirements
    ================  ================================================================================

    Raises
    ------
    InputError
        An unknown policy; the names are listed.

    Examples
    --------
    >>> LossShare("pro_rata").read(date(2026, 6, 30)).grade
    'assumed'
    """

    policy: str

    def __attrs_post_init__(self) -> None:
        if self.policy not in POLICIES:
            known = f"{suggestion(self.policy, POLICIES)} Policies: {', '.join(POLICIES)}."
            raise InputError([Problem(f"unknown policy {self.policy!r}.", "loss_share", known)])

    def read(self, as_of: date, rules: Iterable[Rules] = ()) -> Read:
        """Return what the policy means and how well it is known."""
        p = default_rules(rules).at(as_of)
        getattr(p, f"loss_share_{self.policy}")
        return p.taken()[0]


@frozen(eq=False)
class FirmDefault:
    """One firm's default: the legs, the decisions on porting, and the probability of each scenario.

    `regime` and `status` are those of the report; `reads` the rules that were used.
    """

    firm: str
    regime: str
    status: str
    as_of: date
    loss_share: LossShare
    legs: tuple[Leg, ...] = field(converter=as_tuple)
    decisions: tuple[Decision, ...] = field(converter=as_tuple)
    probabilities: FloatArray = field(converter=readonly)
    reads: tuple[Read, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def liquidated(self) -> tuple[Leg, ...]:
        """The legs that do not port."""
        return tuple(leg for leg in self.legs if not leg.ported_to)

    @cached_property
    def beyond(self) -> FloatArray:
        """What others than the owners pay [n_scenarios], all legs, USD."""
        return np.asarray(sum((leg.beyond for leg in self.liquidated), np.zeros(self.probabilities.size)))

    def expected(self, flow: str) -> float:
        """Return the expected money that comes into the legs from one of `FLOWS` and stays there, USD.

        Raises
        ------
        InputError
            No such flow.
        """
        if flow not in FLOWS:
            raise InputError([Problem(f"unknown flow {flow!r}.", "expected", suggestion(flow, FLOWS))])
        legs = self.liquidated
        return math.fsum(float(np.maximum(0.0, leg.flows[flow]) @ self.probabilities) for leg in legs)

    def assumptions(self) -> tuple[Read, ...]:
        """Return the rules read that no published text states."""
        return tuple(read for read in self.reads if read.grade not in ("rule", "disclosure"))

    def not_modelled(self) -> tuple[Line, ...]:
        """Return what a default sets off and is left out here."""
        return tuple(not_modelled(name, why) for name, why in NOT_MODELLED)

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record per leg; flows are expected values, USD, None where nothing of the leg is known."""
        said = {"regime": self.regime, "status": self.status, "as_of": self.as_of.isoformat(), "firm": self.firm}
        said["loss_share"] = self.loss_share.policy
        return [{**said, **self._record(leg)} for leg in self.legs]

    def _record(self, leg: Leg) -> dict[str, Any]:
        place, flows = leg.place, {name: leg.flows.get(name, np.zeros(leg.pnl.size)) for name in FLOWS}
        return {
            "owner": place.owner,
            "account_class": place.account_class.value,
            "insolvency_regime": place.account_class.insolvency_regime.value,
            "pot": place.pot,
            "ported_to": leg.ported_to,
            "required": None if leg.unknown else leg.required,
            "held": leg.held if leg.takes_part else None,
            **{name: float(flow @ self.probabilities) if leg.takes_part else None for name, flow in flows.items()},
            "worst_beyond": float(leg.beyond.max(initial=0.0)) if leg.takes_part else None,
            "partial": leg.partial or bool(leg.left_out),
        }

    def __str__(self) -> str:
        """Return the legs as aligned text, then refusals, what is not modelled and notes."""
        keys = ("owner", "account_class", "pot", "ported_to", "required", "held", *FLOWS, "worst_beyond")
        rows = [[_shown(record[key]) for key in keys] for record in self.to_records()]
        refused = [
            f"{each.position} ({each.product}) does not port: {', '.join(why.condition for why in each.because)}"
            for each in self.decisions
            if not each.allowed
        ]
        title = f"default of {self.firm} under {self.regime} ({self.status}), loss share {self.loss_share.policy}"
        notes = [f"note: {note}" for note in self.notes]
        left_out = [f"not modelled: {line.name} ({line.note})" for line in self.not_modelled()]
        return "\n".join([title, *aligned([list(keys), *rows]), *refused, *left_out, *notes]) + "\n"


def pool_pnl(
    report: Report, portfolio: Portfolio, pnl: PnL
) -> tuple[dict[str, FloatArray], dict[str, tuple[str, ...]]]:
    """Return the P&L [n_scenarios] of every pool at clearing level, gain > 0, USD, and the symbols it leaves out.

    Parameters
    ----------
    pnl : PnL
        Per unit of each instrument, over the liquidation horizon; instruments that it lacks are left out, by name.
    """
    positions = {position.id: position for position in portfolio.positions}
    held: dict[str, dict[str, None]] = {}
    for requirement in report.requirements:
        if requirement.level == "clearing":
            held.setdefault(requirement.pool, {}).update(dict.fromkeys(requirement.positions))
    found, left_out = {}, {}
    for pool, ids in held.items():
        mine = [positions[id] for id in ids]
        known = [each for each in mine if each.product in pnl]
        found[pool] = pnl.pooled([each.product for each in known], [each.quantity for each in known])
        left_out[pool] = tuple(dict.fromkeys(each.product.symbol for each in mine if each.product not in pnl))
    return found, left_out


def firm_default(
    report: Report,
    portfolio: Portfolio,
    firm: str,
    pnl: Mapping[str, ArrayLike],
    *,
    loss_share: LossShare | str = "none",
    receivers: Mapping[str, str] = MappingProxyType({}),
    posted: Iterable[Posted] | None = None,
    market: Market | None = None,
    probabilities: ArrayLike | None = None,
    left_out: Mapping[str, Collection[str]] = MappingProxyType({}),
    rules: Iterable[Rules] = (),
) -> FirmDefault:
    """Return what becomes of every account that a firm carries at clearing houses when it defaults.

    Parameters
    ----------
    report : Report
        Of this portfolio; only its clearing level is looked at.
    pnl : mapping of pool to array [n_scenarios]
        P&L over the liquidation horizon, gain > 0, USD, as of `pool_pnl`.
    loss_share : LossShare or str
        Whether two pots of one programme help one another.
    receivers : mapping of owner to firm
        Who is willing to take which customer.
    posted : iterable of Posted, optional
        What lies in the pots; valued after haircuts, for which `market` is needed. Without it every pot holds what it
        asks for and the firm's money is nought.
    probabilities : array [n_scenarios], optional
        Of the scenarios, summing to 1; equal unless given.
    left_out : mapping of pool to symbols
        What `pnl` leaves out.
    rules : iterable of Rules, optional
        Overlaid rules of default and of collateral.

    Raises
    ------
    InputError
        Everything wrong with the input, in one error.

    Notes
    -----
    A place of whose requirement nothing is known takes no part, with a note, unless what lies there is given.
    What one owner has in one pot and class is one leg, enrolled in a programme or not. A leg that is short is paid by,
    in this order: its owner's margin, its owner's other pot as the policy says, the firm's own money in the class, what
    the house has left in the pot, what others of the class have left there where classes are pooled, the clearing
    house. Payers and paid share in proportion. Under `pro_rata` only what is enrolled is joint; where a pot holds less
    than it asks for, that policy can leave more uncovered than `none`.

    References
    ----------
    Conditions and policies with their sources and grades: `default.toml`.

    Examples
    --------
    >>> from crossmargin.margin import margin
    >>> from crossmargin.samples import basis_trade
    >>> portfolio, market = basis_trade()
    >>> report = margin(portfolio, market)
    >>> flat = {each.pool: [-2e6, 1e6] for each in report.requirements}
    >>> found = firm_default(report, portfolio, "EASTWAY", flat, receivers={"MERIDIAN": "NORTHGATE"})
    >>> found.decisions[0].allowed, [leg.ported_to for leg in found.legs], found.beyond.tolist()
    (True, ['NORTHGATE'], [0.0, 0.0])
    """
    rules = tuple(rules)
    share = loss_share if isinstance(loss_share, LossShare) else LossShare(loss_share)
    vectors, chances = _checked(report, portfolio, firm, pnl, receivers=receivers, probabilities=probabilities)
    legs = _legs(report, firm, vectors, chances.size, left_out=left_out)
    if posted is not None:
        posted = tuple(posted)
        legs = _with_posted(legs, posted, portfolio, _valuing(market, report), rules=rules)
    else:
        legs = tuple(evolve(leg, pnl=np.zeros(leg.pnl.size), takes_part=False) if leg.unknown else leg for leg in legs)
    p = default_rules(rules).at(report.as_of)
    decisions, legs = ported(legs, portfolio, receivers, firm=firm, rule=default_rules(rules), as_of=report.as_of)
    settled = liquidated(legs, _ties(report, firm, vectors), share.policy, p)
    return FirmDefault(
        firm,
        report.regime,
        report.status,
        report.as_of,
        share,
        legs=settled,
        decisions=decisions,
        probabilities=chances,
        reads=(*p.taken(), share.read(report.as_of, rules)),
        notes=_notes(report, legs, firm, posted),
    )


def aligned(rows: list[list[str]]) -> list[str]:
    """Return rows of equal length as lines: the first column to the left, the rest to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]


def _shown(value: Any) -> str:
    return money(value) if value is None or isinstance(value, float) else str(value)


# --------------------------------------------------------------------------------------------------------- the input


def _checked(
    report: Report,
    portfolio: Portfolio,
    firm: str,
    pnl: Mapping[str, ArrayLike],
    *,
    receivers: Mapping[str, str],
    probabilities: ArrayLike | None,
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Return P&L by pool and the probabilities; raise everything that is wrong at once."""
    problems = Problems()
    _check_names(problems, portfolio, firm, receivers)
    pools = {each.pool for each in report.requirements if each.level == "clearing" and each.firm == firm}
    for pool in sorted(pools - set(pnl)):
        problems.add("has no P&L.", where=f"pool {pool!r}", fix="Make it with pool_pnl.")
    vectors = {pool: np.asarray(pnl[pool], dtype=np.float64) for pool in sorted(pools & set(pnl))}
    for pool, vector in vectors.items():
        if vector.ndim != 1 or not np.isfinite(vector).all():
            problems.add("is no vector of finite numbers.", where=f"P&L of {pool!r}", fix="Give one USD per scenario.")
    given = None if probabilities is None else np.asarray(probabilities, dtype=np.float64)
    sizes = {vector.size for vector in vectors.values()} | (set() if given is None else {given.size})
    if len(sizes) > 1 or 0 in sizes:
        fix = "Take all of them from the same scenarios, one at least."
        problems.add(f"have {sorted(sizes)} scenarios.", where="P&L and probabilities", fix=fix)
    if given is not None and not _is_distribution(given):
        problems.add("are no distribution.", where="probabilities", fix="Give numbers of 0 or more that sum to 1.")
    problems.raise_if_any(f"The default of {firm} cannot be worked out")
    n = max(sizes, default=1)
    return vectors, np.full(n, 1.0 / n) if given is None else given


def _check_names(problems: Problems, portfolio: Portfolio, firm: str, receivers: Mapping[str, str]) -> None:
    if firm not in portfolio.firm_ids:
        problems.add(f"unknown firm {firm!r}.", where="firm", fix=suggestion(firm, portfolio.firm_ids))
    problems.extend(receiver_problems(portfolio, receivers))
    for owner, receiver in receivers.items():
        if receiver == firm in portfolio.firm_ids:
            problems.add(f"{firm} is in default itself.", where=f"receivers[{owner!r}]", fix="Name another firm.")


def receiver_problems(portfolio: Portfolio, receivers: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the owners and the receiving firms that a portfolio does not know, each with what is near."""
    for owner, receiver in receivers.items():
        where = f"receivers[{owner!r}]"
        if owner not in portfolio.owners:
            yield Problem(f"unknown owner {owner!r}.", where, suggestion(owner, portfolio.owners))
        if receiver not in portfolio.firm_ids:
            yield Problem(f"unknown firm {receiver!r}.", where, suggestion(receiver, portfolio.firm_ids))


def _is_distribution(values: FloatArray) -> bool:
    known = values.ndim == 1 and bool(np.isfinite(values).all() and (values >= 0.0).all())
    return known and math.isclose(math.fsum(values), 1.0, abs_tol=_SUMS_TO_ONE)


def _legs(
    report: Report, firm: str, vectors: Mapping[str, FloatArray], n: int, *, left_out: Mapping[str, Collection[str]]
) -> tuple[Leg, ...]:
    mine = [each for each in report.requirements if each.level == "clearing" and each.firm == firm]
    pools: dict[Place, dict[str, None]] = {}
    for each in mine:
        pools.setdefault(Place(each.owner, firm, each.pot, each.account_class), {})[each.pool] = None
    credits = [each for each in report.credits if each.level == "clearing" and each.firm == firm]
    required = required_lines(mine, credits)
    return tuple(
        Leg(
            place,
            required[place].value,
            held=required[place].value,
            firm_money=0.0,
            pnl=sum((vectors[pool] for pool in held), np.zeros(n)),
            left_out=[symbol for pool in held for symbol in left_out.get(pool, ())],
            unmargined=[name for each in mine if each.pool in held for name in _unmargined(each)],
            partial=required[place].partial,
            unknown=required[place].amount is None,
        )
        for place, held in pools.items()
        if not place.at_firm
    )


def _unmargined(requirement: Requirement) -> Iterator[str]:
    """Yield the lines that stand for positions without a requirement: their names begin with the position's id."""
    for line in requirement.line.walk():
        if line.how == "not_modelled" and line.name.split(": ")[0] in requirement.positions:
            yield line.name


def _valuing(market: Market | None, report: Report) -> Market:
    """Return the market that values deposits; it must be of the day of the report."""
    fix = "Give the market on which the report was made: it values what is posted."
    if market is None:
        raise InputError([Problem("is missing.", "market", fix)])
    if market.as_of != report.as_of:
        raise InputError([Problem(f"is of {market.as_of}, the report of {report.as_of}.", "market", fix)])
    return market


def _with_posted(
    legs: tuple[Leg, ...],
    posted: tuple[Posted, ...],
    portfolio: Portfolio,
    market: Market,
    *,
    rules: tuple[Rules, ...],
) -> tuple[Leg, ...]:
    """Return the legs with what lies in their pots in place of what they ask for."""
    problems = Problems()
    known = {"owners": portfolio.owners, "firms": portfolio.firm_ids}
    problems.extend(problems_with(posted, market.as_of, **known))
    problems.raise_if_any()
    overlaid = [each for each in rules if each.id != _RULE]
    book = book_of(posted, market, portfolio=portfolio, rules=overlaid)

    def worth(items: Iterable[Posted]) -> float:
        return math.fsum(book.lendable(each, book.market_value(each)).value for each in items)

    lying = {leg.place: [each for each in posted if each.place == leg.place] for leg in legs}
    own = {place: [each for each in held if not each.provided_by] for place, held in lying.items()}
    return tuple(
        evolve(
            leg,
            held=worth(own[leg.place]),
            firm_money=worth(each for each in lying[leg.place] if each.provided_by == leg.place.firm),
            deposits=[each.id for each in own[leg.place]],
        )
        for leg in legs
    )


def _notes(report: Report, legs: Iterable[Leg], firm: str, posted: Iterable[Posted] | None) -> tuple[str, ...]:
    symbols = sorted({symbol for leg in legs for symbol in leg.left_out})
    house = any(each.pot in ("carrying firm", firm) and each.level == "clearing" for each in report.requirements)
    said = [f"P&L leaves out {listed(symbols)}"] if symbols else []
    said += ["positions that no clearing house margins are left out"] if house else []
    unknown = [leg for leg in legs if leg.unknown and posted is None]
    said += [f"{leg.place} is taken to gain and lose nothing: its requirement is not known" for leg in unknown]
    places = {leg.place for leg in legs}
    elsewhere = [each for each in posted or () if each.firm == firm and each.level == "clearing"]
    unasked = [each.id for each in elsewhere if each.place not in places and not each.place.at_firm]
    said += [f"deposits where nothing is asked for are left out: {listed(unasked)}"] if unasked else []
    said += ["a requirement leaves something out: margin held is too low"] if any(leg.partial for leg in legs) else []
    return tuple(said)


def _ties(report: Report, firm: str, vectors: Mapping[str, FloatArray]) -> tuple[Tie, ...]:
    """Return the pots that a programme ties: those of the pools that it credits."""
    asked: dict[str, list[float]] = {}
    for each in report.entries:
        if each.level == "clearing":
            asked.setdefault(each.pool, []).append(each.line.value)
    found: dict[tuple[str, str, str], dict[Place, str]] = {}
    for credit in (each for each in report.credits if each.level == "clearing" and each.firm == firm):
        place = Place(credit.owner, firm, credit.pot, credit.account_class)
        found.setdefault((credit.arrangement, credit.owner, credit.account_class), {})[place] = credit.pool
    return tuple(
        Tie(
            {place: max(0.0, math.fsum(asked[pool])) for place, pool in pools.items()},
            {place: vectors[pool] for place, pool in pools.items()},
        )
        for pools in found.values()
        if len(pools) > 1
    )
