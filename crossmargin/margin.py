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
from typing import Any

from attrs import evolve

from crossmargin.checking import check, check_arguments
from crossmargin.collateral.balance import CollateralReport
from crossmargin.collateral.covering import balances
from crossmargin.deposits import Asked, homes
from crossmargin.eligibility import Decision
from crossmargin.errors import InputError, Problem, Problems, check_kinds, kind_given, suggestion
from crossmargin.market import Market
from crossmargin.methodology import Inputs
from crossmargin.parameters import Rules
from crossmargin.pnl import can_revalue, revalue
from crossmargin.portfolio import Portfolio
from crossmargin.regimes import (
    CROSS_MARGIN,
    HARMONIZED,
    PROGRAMMES,
    SILOED,
    Regime,
    decisions,
    elections,
    enrolment,
)
from crossmargin.regimes import regime as regime_named
from crossmargin.registry import module, rulebook
from crossmargin.results import Comparison, Report
from crossmargin.run import Run, one_pots
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, scenario_set
from crossmargin.spot_scenarios import with_spot_moves
from crossmargin.underlyings import securities_held


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
    meant = named(regimes)
    run = prepare(portfolio, market, meant, rulebook(rules), as_of=as_of)
    return Comparison(tuple(run.report(regime) for regime in meant))


def collateral_report(
    portfolio: Portfolio,
    market: Market,
    report: Report,
    *,
    rules: Rules | Iterable[Rules] = (),
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
        What `margin` returned for this portfolio on the date of the market. Under a proposal deposits lie where its
        parameter `collateral` puts them: see `deposits`.
    rules : iterable of Rules, optional
        Overlaid schedules, walls and proposals.
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
    check_arguments(portfolio, market)
    check_kinds(report=(report, Report, "Give one report: what margin returned, or comparison['siloed']."))
    if report.as_of != market.as_of:
        what = f"the report is of {report.as_of}, the market of {market.as_of}."
        raise InputError([Problem(what, "collateral_report", "Margin the portfolio on this market first.")])
    rules, asked = tuple(rules) if isinstance(rules, Iterable) else (rules,), (report.requirements, report.credits)

    def siloed() -> Asked:
        silos = margin(portfolio, market, SILOED, rules=rules)
        return silos.requirements, silos.credits

    met = homes(asked, portfolio, market, rulebook(rules), siloed=siloed).met(asked, portfolio, market, rules)
    found = balances(*met, market, portfolio=portfolio, rules=rules, instructed=instructed)
    return evolve(found, regime=report.regime, status=report.status)


def named(regimes: Regime | str | Iterable[Regime | str]) -> tuple[Regime, ...]:
    """Return the regimes meant; raise what is no regime, one that stands twice, and when there is none."""
    given: Iterable[Any] = regimes if isinstance(regimes, Iterable) and not isinstance(regimes, str) else (regimes,)
    found = tuple(regime_named(each) if isinstance(each, str) else each for each in given)
    if strange := [kind_given(each) for each in found if not isinstance(each, Regime)]:
        fix = "Give SILOED, a regime of your own, or a name such as 'siloed'; several of them to compare."
        raise InputError([Problem(f"{', '.join(strange)} is no regime.", "regimes", fix)])
    if not found:
        raise InputError([Problem("no regime to compare.", "regimes", "Give one at least, SILOED for example.")])
    twice = sorted(name for name, count in Counter(each.name for each in found).items() if count > 1)
    if twice:
        raise InputError([Problem(f"{', '.join(twice)} stands twice.", "regimes", "Give each regime its own name.")])
    return found


def prepare(
    portfolio: Portfolio,
    market: Market,
    regimes: tuple[Regime, ...],
    book: Mapping[str, Rules],
    *,
    as_of: date | None = None,
    waived: bool = False,
) -> Run:
    """Return what the regimes are margined from: everybody's decisions, and each instrument repriced once.

    Parameters
    ----------
    book : mapping of id to Rules
        Every rule, overlaid or not.
    waived : bool
        Whether conditions of programmes may be waived later: the models of all that accounts name are then prepared.

    Raises
    ------
    InputError
        Everything wrong with portfolio, market and regimes, in one error.
    """
    check_arguments(portfolio, market)
    _refuse_unknown_programmes(portfolio, regimes, book)
    told = decided(portfolio, market.as_of, regimes, book)
    enrolled = enrolment(portfolio, (decision for taken in told.values() for decision in taken))
    directed = (account.arrangement for account in portfolio.accounts)
    joined = frozenset(directed if waived else enrolled.values())
    joint = {id for regime in regimes for id in one_pots(regime, joined, book)}
    asked = _rules_asked(portfolio, regimes) | {m for id in joint for m in book[id].at(market.as_of).models}
    drawn = _scenarios(portfolio, market, [book[id] for id in sorted(asked)], as_of=as_of)
    return Run(_inputs(portfolio, market, drawn), book, told)


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


def decided(
    portfolio: Portfolio, as_of: date, regimes: tuple[Regime, ...], book: Mapping[str, Rules]
) -> dict[str, tuple[Decision, ...]]:
    """Return whom each programme and each elective rule-set takes; today's programmes always decide."""
    programmes = dict.fromkeys([*PROGRAMMES, *(id for regime in regimes for id in regime.programmes)])
    found = {id: decisions(portfolio, as_of, book[id]) for id in programmes}
    elective = {silo.ruleset: silo for regime in regimes for silo in regime.silos if silo.elected_by}
    return found | {id: elections(portfolio, as_of, silo, book[id]) for id, silo in elective.items()}


def _rules_asked(portfolio: Portfolio, regimes: Iterable[Regime]) -> set[str]:
    """Return the rules of silos and proposals that may have something to margin: what is held decides."""
    kinds = {product.kind for product in portfolio.products}
    return {
        id
        for regime in regimes
        for id in (*(silo.ruleset for silo in regime.silos if silo.kinds & kinds), regime.proposal)
        if id
    }


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
