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

from crossmargin.eligibility import Decision, case_of
from crossmargin.errors import InputError, Problem, Problems
from crossmargin.market import Market
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Reader, Rules
from crossmargin.pnl import can_revalue, cash_flow_book, revalue
from crossmargin.portfolio import Pool, Portfolio, Position, problems_on
from crossmargin.products import Product, TreasuryFuture
from crossmargin.products.lifetime import expiry_of, longest_maturity
from crossmargin.regimes import (
    CROSS_MARGIN,
    HARMONIZED,
    PROGRAMMES,
    SILOED,
    Regime,
    common_pools,
    decisions,
    enrolled_in,
    pools,
)
from crossmargin.registry import module, rulebook
from crossmargin.results import Comparison, Credit, Line, Report, Requirement, not_modelled, scaled, total
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, scenario_set

# A note may mature a little after the last tenor of the curve it is priced from (new 30-year bonds do).
_BEYOND_LAST_TENOR_YEARS = 1.0


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
    run = _Run(inputs, book, decided)
    return Comparison(tuple(_report(regime, run) for regime in regimes))


def check(portfolio: Portfolio, market: Market, *, as_of: date | None = None) -> None:
    """Raise everything that is wrong with portfolio and market together; return when they can be margined."""
    problems = Problems()
    with problems.collecting():
        market.check_as_of(as_of or market.as_of)
    problems.extend(problems_on(portfolio, market.as_of))
    problems.extend(_beyond_the_curve(portfolio, market))
    with problems.collecting():
        cash_flow_book(
            [product for product in portfolio.products if _can_be_scheduled(product, market.as_of)], market.as_of
        )
    problems.raise_if_any()


def _can_be_scheduled(product: Product, as_of: date) -> bool:
    """Whether nothing is known yet that keeps the product's cash flows from being laid out."""
    has_basket = not isinstance(product, TreasuryFuture) or bool(product.basket)
    return can_revalue(product) and has_basket and expiry_of(product) > as_of


def _beyond_the_curve(portfolio: Portfolio, market: Market) -> list[Problem]:
    last = float(market.curve.tenors[-1])
    fix = "Give the curve its longer tenors: beyond the last one there is nothing to price from."
    what = f"matures beyond the curve's last tenor ({last:g} years)."
    return [
        Problem(f"{position.product.symbol} {what}", f"position {position.id!r}", fix)
        for position in portfolio.positions
        if longest_maturity(position.product, market.as_of) > last + _BEYOND_LAST_TENOR_YEARS
    ]


def _scenarios(
    portfolio: Portfolio,
    market: Market,
    regimes: tuple[Regime, ...],
    *,
    book: Mapping[str, Rules],
    as_of: date | None,
) -> dict[ScenarioSpec, ScenarioSet]:
    """Draw every scenario set that a rule of the regimes needs; raise all that is wrong or missing, at once."""
    ids = {id for regime in regimes for id in (*(silo.ruleset for silo in regime.silos), regime.proposal) if id}
    specs = [spec for id in sorted(ids) for spec in module(id).scenarios(book[id].at(market.as_of))]
    problems, drawn = Problems(), {}
    with problems.collecting():
        check(portfolio, market, as_of=as_of)
    for spec in dict.fromkeys(specs if portfolio.positions else ()):
        with problems.collecting():
            drawn[spec] = scenario_set(spec, market.history, market.as_of)
    problems.raise_if_any()
    return drawn


def _inputs(portfolio: Portfolio, market: Market, drawn: Mapping[ScenarioSpec, ScenarioSet]) -> Inputs:
    """Reprice every instrument once under every scenario set."""
    products = [product for product in portfolio.products if can_revalue(product)]
    pnl = {spec: revalue(products, market, scenarios) for spec, scenarios in drawn.items() if products}
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

    def reader(self, rule: str) -> Reader:
        return self.book[rule].at(self.inputs.as_of)

    def pools(self, positions: Iterable[Position], regime: Regime) -> tuple[Pool, ...]:
        cases = (case_of(self.inputs.portfolio, position, self.inputs.as_of) for position in positions)
        return pools(cases, regime.silos, self.enrolled)

    def answer(self, ruleset: str, pool: Pool) -> Line:
        """One rule-set's answer for any pool, whichever pot its positions lie in."""
        line: Line = module(ruleset).requirement(pool, self.inputs, self.reader(ruleset))
        return line

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
        """What customers hold where no clearing house's rule-set applies is owed to their broker."""
        customer = self.pool.account_class.origin == "customer"
        return "customer" if customer and not self.pool.ruleset else "clearing"

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
        decisions=tuple(decision for programme in regime.programmes for decision in run.decided[programme]),
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
    models = {silo.pot: partial(run.answer, silo.ruleset) for silo in regime.silos}
    found: dict[Pool, tuple[Credit, ...]] = {}
    for (programme, *_), unit in units.items():
        lines: dict[str, Line] = module(programme).credits(unit, models, run.reader(programme))
        for pot, line in lines.items():
            found[unit[pot]] = (Credit(programme, unit[pot].id, unit[pot].owner, pot, line),)
    return [evolve(each, credits=found.get(each.pool, ())) for each in margined]


def _harmonized(pool: Pool, regime: Regime, run: _Run) -> Line:
    """Margin a common pool under the proposal, whose guardrails look at what the same positions ask siloed."""
    silos = [run.requirement(silo) for silo in run.pools(pool.positions, regime)]
    line: Line = module(regime.proposal).requirement(
        pool, total("siloed requirement", silos), run.inputs, run.reader(regime.proposal)
    )
    return line


def _passed_on(margined: list[_Margined], run: _Run) -> list[Requirement]:
    """Return what customers owe their firm: at least the stated share of what the clearing houses ask for them."""
    asked = [each for each in margined if each.level == "clearing" and each.pool.account_class.origin == "customer"]
    return [_customer_requirement(each, run) for each in asked]


def _customer_requirement(each: _Margined, run: _Run) -> Requirement:
    p = run.reader(each.pool.programme or each.pool.ruleset)
    net = Line("clearing requirement less credit", each.net, reads=each.line.all_reads())
    gaps = [not_modelled("the rest", "the clearing requirement leaves something out")] if each.line.partial else []
    asked = total("clearing requirement", [net, *gaps])
    line = scaled("customer initial margin", p.customer_share, asked, reads=p.taken())
    return evolve(each.requirement, level="customer", pot=each.pool.firm, line=line)
