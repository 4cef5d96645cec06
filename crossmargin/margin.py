"""The spine: reprice once, draw pools, margin each pool, credit between pools, report.

`margin(portfolio, market, regime)` answers for one regime, `compare(portfolio, market)` for several side by side.
Read from top to bottom: each step returns a new frozen object and nothing is computed twice. Every problem of the
input is raised at once, before anything is priced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from functools import cached_property, partial
from math import fsum

from attrs import evolve, frozen

from crossmargin.checking import check
from crossmargin.eligibility import Decision, case_of
from crossmargin.errors import InputError, Problem, Problems
from crossmargin.market import Market
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Reader, Rules
from crossmargin.pnl import can_revalue, revalue
from crossmargin.portfolio import CARRYING_FIRM, Pool, Portfolio, Position
from crossmargin.regimes import (
    CROSS_MARGIN,
    HARMONIZED,
    PROGRAMMES,
    SILOED,
    Regime,
    common_pools,
    decisions,
    elections,
    enrolled_in,
    pools,
)
from crossmargin.registry import module, rulebook
from crossmargin.results import Comparison, Credit, Line, Report, Requirement, not_modelled, scaled, total
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, scenario_set
from crossmargin.spot_scenarios import with_spot_moves
from crossmargin.underlyings import securities_held

_PASSED_ON = "customer_share"


def margin(
    portfolio: Portfolio,
    market: Market,
    regime: Regime = SILOED,
    *,
    as_of: date | None = None,
    rules: Iterable[Rules] = (),
) -> Report:
    """Return the margin of a portfolio under one regime.

    Parameters
    ----------
    portfolio : Portfolio
        Firms, customers, accounts and signed positions.
    market : Market
        Curve, history and rates; its date drives prices, rules and eligibility alike.
    regime : Regime
        How pools are drawn: SILOED, CROSS_MARGIN, HARMONIZED or one of your own.
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
    regimes: Regime | Iterable[Regime] = (SILOED, CROSS_MARGIN, HARMONIZED),
    *,
    as_of: date | None = None,
    rules: Iterable[Rules] = (),
) -> Comparison:
    """Return the margin of a portfolio under several regimes over one and the same P&L matrix.

    Takes the arguments of `margin`; benefits are measured against the first regime.
    """
    regimes = (regimes,) if isinstance(regimes, Regime) else tuple(regimes)
    if not regimes:
        raise InputError([Problem("no regime to compare.", "regimes", "Give one at least, SILOED for example.")])
    book = rulebook(rules)
    inputs = _inputs(portfolio, market, _scenarios(portfolio, market, regimes, book=book, as_of=as_of))
    decided = {id: decisions(portfolio, market.as_of, book[id]) for id in _programmes(regimes)}
    elective = {silo.ruleset: silo for regime in regimes for silo in regime.silos if silo.elected_by}
    decided |= {id: elections(portfolio, market.as_of, silo, book[id]) for id, silo in elective.items()}
    run = _Run(inputs, book, decided)
    return Comparison(tuple(_report(regime, run) for regime in regimes))


def _scenarios(
    portfolio: Portfolio,
    market: Market,
    regimes: tuple[Regime, ...],
    *,
    book: Mapping[str, Rules],
    as_of: date | None,
) -> dict[ScenarioSpec, ScenarioSet]:
    """Draw every scenario set that a rule of the regimes needs; raise all that is wrong or missing, at once."""
    ids = {id for regime in regimes for id in _rules_asked(portfolio, regime)}
    specs = [spec for id in sorted(ids) for spec in module(id).scenarios(book[id].at(market.as_of))]
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


def _rules_asked(portfolio: Portfolio, regime: Regime) -> set[str]:
    """Return the rules that may have something to margin: what is held decides, and whether a programme looks on."""
    kinds = {product.kind for product in portfolio.products}
    joined = any(account.arrangement for account in portfolio.accounts)
    asked = {silo.ruleset for silo in regime.silos if silo.kinds & kinds or (joined and silo.in_programmes)}
    return asked | {regime.proposal} if regime.proposal else asked


def _inputs(portfolio: Portfolio, market: Market, drawn: Mapping[ScenarioSpec, ScenarioSet]) -> Inputs:
    """Reprice every instrument once under every scenario set."""
    pnl = {}
    for spec, scenarios in drawn.items():
        products = [product for product in portfolio.products if can_revalue(product, market, scenarios)]
        if products:
            pnl[spec] = revalue(products, market, scenarios)
    return Inputs(portfolio, market, pnl)


def _programmes(regimes: tuple[Regime, ...]) -> tuple[str, ...]:
    """Return every programme that decides something: today's always, since enrolment draws today's pools."""
    return tuple(dict.fromkeys([*PROGRAMMES, *(programme for regime in regimes for programme in regime.programmes)]))


@frozen
class _Run:
    """What every regime's report of one comparison is made from."""

    inputs: Inputs
    book: Mapping[str, Rules]
    decided: Mapping[str, tuple[Decision, ...]]

    @cached_property
    def enrolled(self) -> dict[str, str]:
        """The approved programme of each enrolled position, the same under every regime."""
        return enrolled_in(decision for programme in PROGRAMMES for decision in self.decided[programme])

    @cached_property
    def admitted(self) -> dict[str, frozenset[str]]:
        """The positions that each programme and each elective rule-set admits."""
        return {id: frozenset(enrolled_in(taken)) for id, taken in self.decided.items()}

    def reader(self, rule: str) -> Reader:
        return self.book[rule].at(self.inputs.as_of)

    def pools(self, positions: Iterable[Position], regime: Regime) -> tuple[Pool, ...]:
        cases = (case_of(self.inputs.portfolio, position, self.inputs.as_of) for position in positions)
        return pools(cases, regime.silos, self.enrolled, self.admitted)

    def answer(self, ruleset: str, pool: Pool) -> Line:
        """One rule-set's answer for any pool, whichever pot its positions lie in, and what the market lacks for it."""
        lacking = {position: self.inputs.lacks(position) for position in pool.positions}
        known = evolve(pool, positions=[position for position, lack in lacking.items() if not lack])
        line: Line = module(ruleset).requirement(known, self.inputs, self.reader(ruleset))
        gaps = [part for position, lack in lacking.items() if lack for part in unmodelled([position], lack)]
        return total(line.name, [*([line] if known.positions else []), *gaps]) if gaps else line

    def requirement(self, pool: Pool) -> Line:
        """Return what a pool asks under its own rule-set; visibly nothing when there is none."""
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
        return Requirement(pool.id, pool.owner, pool.pot, self.level, pool.ruleset, ids, self.line)


def _report(regime: Regime, run: _Run) -> Report:
    portfolio = run.inputs.portfolio
    common = common_pools(portfolio, regime, run.decided)
    in_common = {position.id for pool in common for position in pool.positions}
    rest = [position for position in portfolio.positions if position.id not in in_common]
    siloed = [_Margined(pool, run.requirement(pool)) for pool in run.pools(rest, regime)]
    harmonized = [_Margined(pool, _harmonized(pool, regime, run)) for pool in common]
    margined = [*_credited(siloed, regime, run), *harmonized]
    return Report(
        regime.name,
        regime.title,
        _status(regime, run.book),
        run.inputs.as_of,
        requirements=(*(each.requirement for each in margined), *_passed_on(margined, run)),
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
    """Give each enrolled pool the credit of its arrangement: one unit per owner, firm and account class."""
    units: dict[tuple[str, ...], dict[str, Pool]] = {}
    for pool in (each.pool for each in margined if each.pool.programme in regime.arrangements):
        units.setdefault((pool.programme, pool.owner, pool.firm, pool.account_class), {})[pool.pot] = pool
    models = {pot: partial(run.answer, ruleset) for pot, ruleset in regime.models.items()}
    found: dict[Pool, tuple[Credit, ...]] = {}
    for (programme, *_), unit in units.items():
        lines: dict[str, Line] = module(programme).credits(unit, models, run.reader(programme))
        for pot, line in lines.items():
            found[unit[pot]] = (Credit(programme, unit[pot].id, unit[pot].owner, pot, line),)
    return [evolve(each, credits=found.get(each.pool, ())) for each in margined]


def _harmonized(pool: Pool, regime: Regime, run: _Run) -> Line:
    """Margin a common pool under the proposal, whose guardrails look at what the same positions ask siloed."""
    today = [silo for silo in run.pools(pool.positions, regime) if silo.pot != CARRYING_FIRM or not silo.ruleset]
    silos = [run.requirement(silo) for silo in today]
    line: Line = module(regime.proposal).requirement(
        pool, total("siloed requirement", silos), run.inputs, run.reader(regime.proposal)
    )
    return line


def _passed_on(margined: list[_Margined], run: _Run) -> list[Requirement]:
    """Return what customers owe their firm: at least the stated share of what the clearing houses ask for them.

    Where a rule-set states no share, the customer's own rule-set asks instead.
    """
    asked = [each for each in margined if each.level == "clearing" and each.pool.account_class.origin == "customer"]
    return [
        _customer_requirement(each, run) for each in asked if _PASSED_ON in run.book[_rule_of(each.pool)].parameters
    ]


def _rule_of(pool: Pool) -> str:
    return pool.programme or pool.ruleset


def _customer_requirement(each: _Margined, run: _Run) -> Requirement:
    p = run.reader(_rule_of(each.pool))
    net = Line("clearing requirement less credit", each.net, reads=each.line.all_reads())
    gaps = [not_modelled("the rest", "the clearing requirement leaves something out")] if each.line.partial else []
    asked = total("clearing requirement", [net, *gaps])
    line = scaled("customer initial margin", p.customer_share, asked, reads=p.taken())
    return evolve(each.requirement, level="customer", pot=each.pool.firm, line=line)
