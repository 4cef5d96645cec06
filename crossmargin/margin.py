"""The spine: reprice once, draw pools, margin each pool, credit between pools, report; then what is posted against it.

`margin(portfolio, market, regime)` answers for one regime, `compare(portfolio, market)` for several side by side,
`collateral_report(portfolio, market, report)` says where the portfolio's collateral lies and what it covers there.
Read from top to bottom: each step returns a new frozen object and nothing is computed twice. Every problem of the input
is raised at once, before anything is priced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cached_property, partial
from math import fsum

from attrs import evolve, frozen

from crossmargin.checking import check
from crossmargin.collateral.balance import CollateralReport
from crossmargin.collateral.covering import balances
from crossmargin.eligibility import Decision, case_of
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.market import Market
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Reader, Rules
from crossmargin.pnl import can_revalue, revalue
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.posted import CARRYING_FIRM
from crossmargin.regimes import (
    CROSS_MARGIN,
    HARMONIZED,
    PROGRAMMES,
    SILOED,
    Regime,
    admitted_by,
    common_pools,
    decisions,
    elections,
    enrolment,
    pools,
)
from crossmargin.regimes import regime as regime_named
from crossmargin.registry import module, rulebook
from crossmargin.results import Comparison, Credit, Line, Report, Requirement, not_modelled, scaled, total
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, scenario_set
from crossmargin.spot_scenarios import with_spot_moves
from crossmargin.underlyings import securities_held

_PASSED_ON = "customer_share"
_HOUSE_TERMS = "house_overlay"


def margin(
    portfolio: Portfolio,
    market: Market,
    regime: Regime | str = SILOED,
    *,
    as_of: date | None = None,
    rules: Rules | Iterable[Rules] = (),
) -> Report:
    """Return the margin of a portfolio under one regime.

    Parameters
    ----------
    portfolio : Portfolio
        Firms, customers, accounts and signed positions.
    market : Market
        Curve, history and rates; its date drives prices, rules and eligibility alike.
    regime : Regime or str
        How pools are drawn: SILOED, CROSS_MARGIN, HARMONIZED or one of your own; a name for one of the library's.
    as_of : date, optional
        States the date you mean; a market of another date is refused.
    rules : iterable of Rules, optional
        Rules with overlaid values, from `crossmargin.rules(id).with_values(...)`.

    Returns
    -------
    Report
        Requirements, credits, decisions and everything they rest on, USD.

    Raises
    ------
    InputError
        Everything wrong with portfolio and market, in one error.
    NotInForce
        A rule has no value on the date.
    """
    return compare(portfolio, market, (regime,), as_of=as_of, rules=rules).reports[0]


def compare(
    portfolio: Portfolio,
    market: Market,
    regimes: Regime | str | Iterable[Regime | str] = (SILOED, CROSS_MARGIN, HARMONIZED),
    *,
    as_of: date | None = None,
    rules: Rules | Iterable[Rules] = (),
) -> Comparison:
    """Return the margin of a portfolio under several regimes over one and the same P&L matrix.

    Takes the arguments of `margin`; benefits are measured against the first regime.
    """
    regimes = _named(regimes)
    book = rulebook(rules)
    _refuse_unknown_programmes(portfolio, regimes, book)
    decided = _decided(portfolio, market.as_of, regimes, book)
    enrolled = enrolment(portfolio, (decision for taken in decided.values() for decision in taken))
    asked = {id for regime in regimes for id in _rules_asked(portfolio, regime)}
    joint = {id for regime in regimes for id in _one_pots(regime, enrolled, book)}
    asked |= {model for id in joint for model in book[id].at(market.as_of).models}
    drawn = _scenarios(portfolio, market, [book[id] for id in sorted(asked)], as_of=as_of)
    run = _Run(_inputs(portfolio, market, drawn), book, decided, enrolled)
    return Comparison(tuple(_report(regime, run) for regime in regimes))


def collateral_report(
    portfolio: Portfolio,
    market: Market,
    report: Report,
    *,
    rules: Iterable[Rules] = (),
    instructed: Iterable[str] = (),
) -> CollateralReport:
    """Return required, posted, excess, deficit and locked for every pot, owner, firm and segregation class, USD.

    Parameters
    ----------
    portfolio : Portfolio
        Whose `posted` counts against what the report asks for.
    market : Market
        Prices the assets; its date chooses schedules and walls.
    report : Report
        What `margin` returned for this portfolio on the date of the market.
    rules : iterable of Rules, optional
        Overlaid schedules and walls.
    instructed : iterable of str, optional
        Customers that let their own accounts help one another; it only changes what is locked.

    Returns
    -------
    CollateralReport
        Balances per level; levels never add. It bears the regime and the status of the report.

    Raises
    ------
    InputError
        Everything wrong with the deposits, or a report of another date.
    NotInForce
        A schedule has no value on the date.

    Examples
    --------
    >>> from crossmargin.samples import basis_trade
    >>> portfolio, market = basis_trade()
    >>> found = collateral_report(portfolio, market, margin(portfolio, market, CROSS_MARGIN))
    >>> found.levels, found.regime, found.totals()["lendable"]
    (('clearing', 'customer'), 'cross_margin', 0.0)
    """
    if report.as_of != market.as_of:
        what = f"the report is of {report.as_of}, the market of {market.as_of}."
        raise InputError([Problem(what, "collateral_report", "Margin the portfolio on this market first.")])
    asked, posted = (report.requirements, report.credits), portfolio.posted
    found = balances(*asked, posted, market, portfolio=portfolio, rules=rules, instructed=instructed)
    return evolve(found, regime=report.regime, status=report.status)


def _named(regimes: Regime | str | Iterable[Regime | str]) -> tuple[Regime, ...]:
    """Return the regimes meant; raise when there is none, or one twice."""
    given = (regimes,) if isinstance(regimes, Regime | str) else regimes
    found = tuple(regime_named(each) if isinstance(each, str) else each for each in given)
    if not found:
        raise InputError([Problem("no regime to compare.", "regimes", "Give one at least, SILOED for example.")])
    twice = sorted(name for name, count in Counter(each.name for each in found).items() if count > 1)
    if twice:
        raise InputError([Problem(f"{', '.join(twice)} stands twice.", "regimes", "Give each regime its own name.")])
    return found


def _refuse_unknown_programmes(portfolio: Portfolio, regimes: tuple[Regime, ...], book: Mapping[str, Rules]) -> None:
    """Raise every programme that an account or a regime names and that is none, or that decides nothing any more."""
    problems = Problems()
    known = [id for id, rule in book.items() if rule.kind == "arrangement"]
    for account in portfolio.accounts:
        if account.arrangement and account.arrangement not in known:
            where, fix = f"account {account.id!r}, field 'arrangement'", suggestion(account.arrangement, known)
            problems.add(f"unknown programme {account.arrangement!r}.", where=where, fix=fix)
    for regime in regimes:
        where = f"regime {regime.name}"
        for id in regime.arrangements:
            if id not in known:
                problems.add(f"unknown programme {id!r}.", where=where, fix=suggestion(id, known))
            elif not book[id].conditions:
                problems.add(f"{id!r} ({book[id].status}) has no conditions to join it by.", where=where)
    problems.raise_if_any()


def _decided(
    portfolio: Portfolio, as_of: date, regimes: tuple[Regime, ...], book: Mapping[str, Rules]
) -> dict[str, tuple[Decision, ...]]:
    """Return whom each programme and each elective rule-set takes; today's programmes always decide."""
    programmes = dict.fromkeys([*PROGRAMMES, *(id for regime in regimes for id in regime.programmes)])
    decided = {id: decisions(portfolio, as_of, book[id]) for id in programmes}
    elective = {silo.ruleset: silo for regime in regimes for silo in regime.silos if silo.elected_by}
    return decided | {id: elections(portfolio, as_of, silo, book[id]) for id, silo in elective.items()}


def _rules_asked(portfolio: Portfolio, regime: Regime) -> set[str]:
    """Return the rules of a regime's silos and proposal that may have something to margin: what is held decides."""
    kinds = {product.kind for product in portfolio.products}
    asked = {silo.ruleset for silo in regime.silos if silo.kinds & kinds}
    return asked | {regime.proposal} if regime.proposal else asked


def _one_pots(regime: Regime, enrolled: Mapping[str, str], book: Mapping[str, Rules]) -> tuple[str, ...]:
    """Return the one-pot programmes of a regime in which something is enrolled."""
    joined = frozenset(enrolled.values())
    return tuple(id for id in regime.arrangements if id in joined and book[id].structure == "one_pot")


def _scenarios(
    portfolio: Portfolio, market: Market, asked: Iterable[Rules], *, as_of: date | None
) -> dict[ScenarioSpec, ScenarioSet]:
    """Draw every scenario set that the rules asked for need; raise all that is wrong or missing, at once."""
    specs = [spec for rule in asked for spec in module(rule.id).scenarios(rule.at(market.as_of))]
    problems, drawn = Problems(), {}
    with problems.collecting():
        check(portfolio, market, as_of=as_of)
    securities = securities_held(portfolio.products, market.underlyings)
    for spec in dict.fromkeys(specs if portfolio.positions else ()):
        with problems.collecting():
            drawn[spec] = scenario_set(spec, market.history, market.as_of)
            if securities and market.price_history:
                drawn[spec] = with_spot_moves(drawn[spec], market.price_history, securities, as_of=market.as_of)
    problems.raise_if_any()
    return drawn


def _inputs(portfolio: Portfolio, market: Market, drawn: Mapping[ScenarioSpec, ScenarioSet]) -> Inputs:
    """Reprice every instrument once under every scenario set."""
    pnl = {}
    for spec, scenarios in drawn.items():
        products = [product for product in portfolio.products if can_revalue(product, market, scenarios)]
        if products:
            pnl[spec] = revalue(products, market, scenarios)
    return Inputs(portfolio, market, pnl)


@frozen
class _Run:
    """What every regime's report of one comparison is made from; `enrolled` is the same under all of them."""

    inputs: Inputs
    book: Mapping[str, Rules]
    decided: Mapping[str, tuple[Decision, ...]]
    enrolled: Mapping[str, str]

    @cached_property
    def admitted(self) -> dict[str, frozenset[str]]:
        """The positions that each programme and each elective rule-set admits."""
        return {id: admitted_by(taken) for id, taken in self.decided.items()}

    def reader(self, rule: str) -> Reader:
        return self.book[rule].at(self.inputs.as_of)

    def pools(self, positions: Iterable[Position], regime: Regime) -> tuple[Pool, ...]:
        cases = (case_of(self.inputs.portfolio, position, self.inputs.as_of) for position in positions)
        one_pots = {id: self.reader(id).pot for id in _one_pots(regime, self.enrolled, self.book)}
        return pools(cases, regime.silos, self.enrolled, self.admitted, one_pots=one_pots)

    def answer(self, ruleset: str, pool: Pool) -> Line:
        """One rule-set's answer for any pool, whichever pot its positions lie in, and what the market lacks for it."""
        lacking = {position: self.inputs.lacks(position) for position in pool.positions}
        known = evolve(pool, positions=[position for position, lack in lacking.items() if not lack])
        line: Line = module(ruleset).requirement(known, self.inputs, self.reader(ruleset))
        gaps = [part for position, lack in lacking.items() if lack for part in unmodelled([position], lack)]
        return total(line.name, [*([line] if known.positions else []), *gaps]) if gaps else line

    def requirement(self, pool: Pool) -> Line:
        """Return what a pool asks under its own rule-set or one-pot programme; visibly nothing when it has none."""
        if pool.one_pot:
            line: Line = module(pool.programme).requirement(pool, self.answer, self.reader(pool.programme))
            return line
        if pool.ruleset:
            return self.answer(pool.ruleset, pool)
        why = "no rule-set yet for this product in this class of account, or the trade has settled"
        return total("requirement at the carrying firm", unmodelled(pool.positions, why))


@frozen
class _Margined:
    """A pool with its requirement and what is credited against it."""

    pool: Pool
    line: Line
    credits: tuple[Credit, ...] = ()

    @property
    def level(self) -> str:
        """What lies with the carrying firm is owed by the customer, the rest to a clearing house."""
        customer = self.pool.account_class.origin == "customer"
        return "customer" if customer and self.pool.pot == CARRYING_FIRM else "clearing"

    @property
    def net(self) -> float:
        """Requirement less credit, USD."""
        return fsum([self.line.value, *(credit.line.value for credit in self.credits)])

    @property
    def requirement(self) -> Requirement:
        pool, ids = self.pool, tuple(position.id for position in self.pool.positions)
        where = {"firm": pool.firm, "account_class": pool.account_class.value}
        return Requirement(pool.id, pool.owner, pool.pot, self.level, pool.ruleset, ids, self.line, **where)


def _report(regime: Regime, run: _Run) -> Report:
    portfolio = run.inputs.portfolio
    common = common_pools(portfolio, regime, run.decided)
    in_common = {position.id for pool in common for position in pool.positions}
    rest = [position for position in portfolio.positions if position.id not in in_common]
    siloed = [_Margined(pool, run.requirement(pool)) for pool in run.pools(rest, regime)]
    harmonized = [_Margined(pool, _harmonized(pool, regime, run)) for pool in common]
    margined = [*_credited(siloed, regime, run), *harmonized]
    asked = (*(each.requirement for each in margined), *_passed_on(margined, run))
    on_top = module(_HOUSE_TERMS).on_top(asked, run.reader(_HOUSE_TERMS), portfolio=portfolio)
    return Report(
        regime.name,
        regime.title,
        _status(regime, run.book),
        run.inputs.as_of,
        requirements=(*asked, *on_top),
        credits=tuple(credit for each in margined for credit in each.credits),
        decisions=tuple(decision for rule in regime.decided_by for decision in run.decided[rule]),
        notes=run.inputs.notes,
        owners=portfolio.names(each.pool.owner for each in margined),
    )


def _status(regime: Regime, book: Mapping[str, Rules]) -> str:
    """Return `in_force`, or the status of the first programme that is not."""
    statuses = (book[programme].status for programme in regime.programmes)
    return next((status for status in statuses if status != "in_force"), "in_force")


def _credited(margined: list[_Margined], regime: Regime, run: _Run) -> list[_Margined]:
    """Give each pool of a two-pot programme its credit: one unit per owner, firm and account class.

    The model of a pot is the rule-set of the unit's own pool there.
    """
    units: dict[tuple[str, ...], dict[str, Pool]] = {}
    for pool in (each.pool for each in margined if each.pool.programme in regime.arrangements):
        if not pool.one_pot:
            units.setdefault((pool.programme, pool.owner, pool.firm, pool.account_class), {})[pool.pot] = pool
    found: dict[Pool, tuple[Credit, ...]] = {}
    for (programme, *_), unit in units.items():
        models = {pot: partial(run.answer, pool.ruleset) for pot, pool in unit.items()}
        lines: dict[str, Line] = module(programme).credits(unit, models, run.reader(programme))
        found |= {unit[pot]: (_credit(unit[pot], line),) for pot, line in lines.items()}
    return [evolve(each, credits=found.get(each.pool, ())) for each in margined]


def _credit(pool: Pool, line: Line) -> Credit:
    where = {"firm": pool.firm, "account_class": pool.account_class.value}
    return Credit(pool.programme, pool.id, pool.owner, pool.pot, line, **where)


def _harmonized(pool: Pool, regime: Regime, run: _Run) -> Line:
    """Margin a common pool under the proposal, whose guardrails look at what the same positions ask siloed."""
    alone = evolve(regime, arrangements=())
    today = [silo for silo in run.pools(pool.positions, alone) if silo.pot != CARRYING_FIRM or not silo.ruleset]
    silos = [run.requirement(silo) for silo in today]
    line: Line = module(regime.proposal).requirement(
        pool, total("siloed requirement", silos), run.inputs, run.reader(regime.proposal)
    )
    return line


def _passed_on(margined: list[_Margined], run: _Run) -> list[Requirement]:
    """Return what customers owe their firm: at least the stated share of what the clearing houses ask for them.

    The programme states the share, or else the rule-set. Where neither does, the customer's own rule-set asks instead;
    and where there is none either, what is owed is visibly not modelled.
    """
    asked = [each for each in margined if each.level == "clearing" and each.pool.account_class.origin == "customer"]
    own = {position.id for each in margined if each.level == "customer" for position in each.pool.positions}
    return [
        _customer_requirement(each, run)
        for each in asked
        if _sharing(each.pool, run) or own.isdisjoint(position.id for position in each.pool.positions)
    ]


def _sharing(pool: Pool, run: _Run) -> str:
    """Return the programme or rule-set that states which share a customer owes of what is asked for a pool."""
    stating = (id for id in (pool.programme, pool.ruleset) if id and _PASSED_ON in run.book[id].parameters)
    return next(stating, "")


def _customer_requirement(each: _Margined, run: _Run) -> Requirement:
    rule = _sharing(each.pool, run)
    if not rule:
        gap = unmodelled(each.pool.positions, "no share is published that the firm must collect")
        line = total("customer initial margin", gap)
        return evolve(each.requirement, level="customer", pot=each.pool.firm, line=line)
    p = run.reader(rule)
    net = Line("clearing requirement less credit", each.net, reads=each.line.all_reads())
    gaps = [not_modelled("the rest", "the clearing requirement leaves something out")] if each.line.partial else []
    asked = total("clearing requirement", [net, *gaps])
    line = scaled("customer initial margin", p.customer_share, asked, reads=p.taken())
    return evolve(each.requirement, level="customer", pot=each.pool.firm, line=line)
