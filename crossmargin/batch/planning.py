"""What a batch measures, made once: `plan(products, market, portfolio)`.

Every account of the portfolio given is a template, which stands for all accounts like it. Pools, enrolment and
elections are those of the spine for a book of one account that holds every product; what the rules ask of these pools
stands in `Figure.term`. Nothing here looks at positions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cached_property
from math import fsum
from typing import Any

from attrs import evolve, frozen

from crossmargin.accounts import Account
from crossmargin.batch.formulas import Formulas, Numbers, Scenarios, numbers
from crossmargin.batch.streaming import Stream, Streamed
from crossmargin.batch.terms import (
    LEFT_OUT,
    Tail,
    Term,
    Unit,
    constant,
    holds,
    largest,
    not_modelled,
    scaled,
    total,
    where,
)
from crossmargin.checking import check
from crossmargin.errors import Problems, counted, suggestion
from crossmargin.margin import named
from crossmargin.market import Market
from crossmargin.parameters import Rules
from crossmargin.pnl import PnL, revalue
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.posted import CARRYING_FIRM
from crossmargin.products import Product
from crossmargin.products.treasuries import TREASURY_SECURITIES
from crossmargin.records import to_plain
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, PROGRAMMES, SILOED, Regime
from crossmargin.registry import module, rulebook
from crossmargin.run import Run
from crossmargin.scenarios import ScenarioSet, ScenarioSpec

REQUIREMENT, CREDIT = "requirement", "credit"
_PASSED_ON, _HOUSE_TERMS = "customer_share", "house_overlay"


@frozen(eq=False)
class Figure:
    """One column of a batch: what one pool asks, or what an arrangement takes off it.

    Attributes
    ----------
    regime, level, pot, rule : str
        Name of the regime, `clearing` or `customer`, where it is owed, id of the rule-set, programme or proposal.
    kind : str
        `requirement`, never negative, or `credit`, never positive.
    products : frozenset of int
        The products, by number, of the pool.
    term : Term
        How the amount follows from positions and tails.
    """

    regime: str
    level: str
    pot: str
    rule: str
    kind: str
    products: Numbers
    term: Term


@frozen
class Gap:
    """What a total leaves out, and how many accounts of the batch hold something that it is about.

    `reported` says that the report of such an account has the amount; else nobody models it, or there is no report.
    """

    regime: str
    level: str
    pot: str
    what: str
    reported: bool
    accounts: int = 0


@frozen(eq=False)
class Kind:
    """What a batch measures for accounts like one template."""

    account: Account
    figures: tuple[Figure, ...]

    @cached_property
    def tails(self) -> tuple[Tail, ...]:
        """The losses that the figures rest on, each once."""
        terms = (term for figure in self.figures for term in figure.term.walk())
        return tuple(dict.fromkeys(term.tail for term in terms if term.tail is not None))

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The losses of single units that the figures rest on, each once."""
        terms = (term for figure in self.figures for term in figure.term.walk())
        return tuple(dict.fromkeys(term.unit for term in terms if term.unit is not None))

    def takes(self, regime: str) -> Numbers:
        """Return the products that some figure of a regime has an amount for, at whatever level."""
        return frozenset().union(*(figure.term.takes for figure in self.figures if figure.regime == regime))

    @cached_property
    def gaps(self) -> tuple[tuple[Gap, Numbers], ...]:
        """What the figures leave out, with the products that it is about."""
        found: dict[Gap, Numbers] = {}
        for figure in self.figures:
            for term in figure.term.walk():
                if term.how in ("left_out", "not_modelled"):
                    gap = Gap(figure.regime, figure.level, figure.pot, term.name, reported=term.how == LEFT_OUT)
                    found[gap] = found.get(gap, frozenset()) | term.products
        return tuple(found.items())


@frozen(eq=False, repr=False)
class Plan:
    """What a batch measures: made once for products, market and templates, used for any number of positions."""

    products: tuple[Product, ...]
    market: Market
    portfolio: Portfolio
    settles: date | None
    regimes: tuple[Regime, ...]
    rules: tuple[Rules, ...]
    kinds: tuple[Kind, ...]
    scenarios: Scenarios

    def __repr__(self) -> str:
        """Return how much there is, in one line."""
        names = ", ".join(each.name for each in self.regimes)
        held = f"{counted(len(self.products), 'product')}, {counted(len(self.kinds), 'template')}"
        return f"<Plan: {held}, {self.market.as_of}; {names}>"

    @cached_property
    def specs(self) -> tuple[ScenarioSpec, ...]:
        """The scenario sets that the figures need."""
        tails = [tail.spec for kind in self.kinds for tail in kind.tails]
        return tuple(dict.fromkeys([*tails, *(unit.spec for kind in self.kinds for unit in kind.units)]))

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """The columns of a batch, template by template."""
        return tuple(figure for kind in self.kinds for figure in kind.figures)

    @property
    def not_modelled(self) -> tuple[str, ...]:
        """What totals leave out though reports have it, in words."""
        told = (gap for kind in self.kinds for gap, _ in kind.gaps if gap.reported)
        return tuple(dict.fromkeys(f"{gap.regime}, {gap.level}, {gap.pot}: {gap.what}" for gap in told))

    def scenario_set(self, spec: ScenarioSpec) -> ScenarioSet:
        """Return one of the scenario sets as drawn."""
        self.scenarios.known(spec)
        return self.scenarios.sets[spec]

    def revalued(self, spec: ScenarioSpec) -> tuple[Product, ...]:
        """Return the products whose P&L under a scenario set the figures need, by number."""
        return tuple(self.products[n] for n in sorted(self.scenarios.known(spec)))

    def revalue(self, *, threads: int = 1) -> dict[ScenarioSpec, PnL]:
        """Return the P&L of every product that can be revalued, under every scenario set of the plan."""
        return {
            spec: revalue(self.revalued(spec), self.market, self.scenario_set(spec), threads=threads)
            for spec in self.specs
        }

    def stream(self) -> Stream:
        """Return the same P&L as something made when it is wanted, a block of scenarios at a time, never stored."""
        sets = {spec: Streamed(self.revalued(spec), self.scenario_set(spec)) for spec in self.specs}
        return Stream(self.products, self.market, sets)

    def position(self, id: str, product: int, quantity: float, *, kind: int = 0) -> Position:
        """Return a position of one of the plan's templates."""
        account = self.portfolio.accounts[kind].id
        return _position(id, account, self.products[product], quantity, settles=self.settles)

    def digest(self) -> str:
        """Return a hash of what amounts follow from: products, templates, regimes, rules, market and scenarios."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        told = (self.products, self.portfolio, self.settles, self.regimes, self.market, rulebook(self.rules))
        found = hashlib.sha256()
        for each in (*told, *(self.scenario_set(spec) for spec in self.specs)):
            found.update(_told(each))
        return found.hexdigest()

    def is_on(self, market: Market) -> bool:
        """Return whether a market is that of the plan, or says the same."""
        return market is self.market or _told(market) == _told(self.market)


def plan(
    products: Iterable[Product],
    market: Market,
    portfolio: Portfolio,
    *,
    regimes: Iterable[Regime | str] = (SILOED, CROSS_MARGIN, HARMONIZED),
    settles: date | None = None,
    rules: Iterable[Rules] = (),
) -> Plan:
    """Return what a batch of accounts like those of `portfolio` measures.

    Parameters
    ----------
    products : iterable
        What accounts may hold; positions refer to them by number.
    portfolio : Portfolio
        Firms, customers and the accounts that stand for all others; their positions do not count. An account of a batch
        is margined by itself: it pools with no other.
    regimes : iterable of Regime or str
        How pools are drawn; a name for one of the library's.
    settles : date, optional
        Settlement date of cash trades in Treasuries; on the market's date or before, they have left their clearing
        house.
    rules : iterable of Rules, optional
        Rules with overlaid values.

    Raises
    ------
    InputError
        No account or regime, one or a product twice, everything wrong with products and market.
    """
    products, rules = tuple(products), tuple(rules)
    drawn = _checked(products, portfolio, regimes)
    scenarios, book = Scenarios(products, market), rulebook(rules)
    bare = evolve(portfolio, positions=(), posted=())
    templates = [_template(bare, account, products, settles) for account in bare.accounts]
    check(templates[0], market)
    kinds = []
    for template in templates:
        formulas = Formulas(template, scenarios, book)
        figures = (figure for regime in drawn for figure in _figures(regime, formulas))
        kinds.append(Kind(template.accounts[0], tuple(figures)))
    return Plan(products, market, bare, settles, drawn, rules, tuple(kinds), scenarios)


def _checked(
    products: tuple[Product, ...], portfolio: Portfolio, regimes: Iterable[Regime | str]
) -> tuple[Regime, ...]:
    """Return the regimes meant; raise everything that no batch can be planned with."""
    problems, found = Problems(), tuple[Regime, ...]()
    with problems.collecting():
        found = named(regimes)
    if not portfolio.accounts:
        problems.add("no account.", where="portfolio", fix="Give one that stands for all, or one of each kind.")
    if strange := [each for each in products if not hasattr(each, "kind")]:
        problems.add(f"{strange[0]!r} is no product.", where="products", fix="Make them by crossmargin.products.")
    if len(set(products)) < len(products):
        problems.add("a product stands twice.", where="products", fix="Number each once.")
    known = [id for id, rule in rulebook().items() if rule.kind == "arrangement"]
    for account in portfolio.accounts:
        if account.arrangement and account.arrangement not in known:
            where, fix = f"account {account.id!r}, field 'arrangement'", suggestion(account.arrangement, known)
            problems.add(f"unknown programme {account.arrangement!r}.", where=where, fix=fix)
    problems.raise_if_any("No batch can be planned")
    return found


def _template(bare: Portfolio, account: Account, products: tuple[Product, ...], settles: date | None) -> Portfolio:
    """Return a book of one account and one position in every product, of its number."""
    held = [_position(str(n), account.id, each, 1.0, settles=settles) for n, each in enumerate(products)]
    return evolve(bare, accounts=[account], positions=held)


def _told(value: Any) -> bytes:
    """Return all that a value says."""
    return json.dumps(to_plain(value), default=_as_text, sort_keys=True).encode()


def _as_text(value: Any) -> Any:
    """Return what JSON has no word for: an array as its numbers, anything else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _position(id: str, account: str, product: Product, quantity: float, *, settles: date | None) -> Position:
    cash = isinstance(product, TREASURY_SECURITIES)
    return Position(id, account, product, quantity, settles if cash else None)


# ---------------------------------------------------------------------------------------------- drawing, as the spine


def _run(regime: Regime, formulas: Formulas) -> Run:
    """Return what the spine draws the pools of a template from: who decides, for the programmes that can enrol here."""
    directed = formulas.template.accounts[0].arrangement
    deciding = [id for id in dict.fromkeys([*PROGRAMMES, *regime.programmes]) if id in (directed, regime.proposal)]
    decided = {id: formulas.decided(id) for id in deciding}
    decided |= {silo.ruleset: formulas.elected(silo) for silo in regime.silos if silo.elected_by}
    return Run(formulas.inputs, formulas.book, decided)


def _figures(regime: Regime, formulas: Formulas) -> list[Figure]:
    """Return every figure of a regime for one template."""
    run = _run(regime, formulas)
    drawn = run.pools(regime)
    found = [_figure(regime, pool, _asked(pool, regime, run, formulas=formulas)) for pool in drawn]
    credited = {pool.id: (pool, term) for pool, term in _credits(drawn, regime, formulas)}
    credits = [_figure(regime, pool, term, kind=CREDIT) for pool, term in credited.values()]
    net = [
        evolve(each, term=total("clearing requirement less credit", [each.term, *_terms(credited.get(pool.id))]))
        for each, pool in zip(found, drawn, strict=True)
    ]
    asked = [*found, *credits, *_customers(net, drawn, formulas)]
    return [*asked, *_house_terms(asked, regime, formulas)]


def _asked(pool: Pool, regime: Regime, run: Run, *, formulas: Formulas) -> Term:
    """Return what a pool asks; under a proposal, whose guardrails look at what the same positions ask siloed."""
    if not pool.ruleset or pool.ruleset != regime.proposal:
        return formulas.requirement(pool)
    today = run.silos(pool.positions, evolve(regime, arrangements=(), proposal=""))
    silos = [silo for silo in today if silo.pot != CARRYING_FIRM or not silo.ruleset]
    return formulas.harmonized(pool, total("siloed requirement", [formulas.requirement(silo) for silo in silos]))


def _figure(regime: Regime, pool: Pool, term: Term, *, kind: str = REQUIREMENT) -> Figure:
    rule = pool.programme if kind == CREDIT else pool.ruleset
    return Figure(regime.name, _level(pool), pool.pot, rule, kind, numbers(pool), term)


def _level(pool: Pool) -> str:
    customer = pool.account_class.origin == "customer"
    return "customer" if customer and pool.pot == CARRYING_FIRM else "clearing"


def _credits(drawn: Iterable[Pool], regime: Regime, formulas: Formulas) -> Iterator[tuple[Pool, Term]]:
    """Yield the pools of two-pot programmes that earn a credit, and the credit."""
    units: dict[str, dict[str, Pool]] = {}
    for pool in drawn:
        if pool.programme in regime.arrangements and not pool.one_pot:
            units.setdefault(pool.programme, {})[pool.pot] = pool
    for programme, unit in units.items():
        for pot, term in formulas.credits(programme, unit).items():
            yield unit[pot], term


def _customers(net: Iterable[Figure], drawn: Iterable[Pool], formulas: Formulas) -> Iterator[Figure]:
    """Yield what customers owe their firm for each clearing pool: a share of what is asked, less credit."""
    net = tuple(net)
    own = _products(each for each in net if each.level == "customer")
    for figure, pool in zip(net, drawn, strict=True):
        if figure.level == "customer" or pool.account_class.origin != "customer":
            continue
        stating = (id for id in (pool.programme, pool.ruleset) if id and _PASSED_ON in formulas.book[id].parameters)
        if rule := next(stating, ""):
            term = scaled("customer initial margin", formulas.reader(rule).customer_share, figure.term)
        elif own.isdisjoint(figure.products):
            term = not_modelled("no share is published that the firm must collect", figure.products)
        else:
            continue
        yield evolve(figure, level="customer", pot=pool.firm, term=term)


def _house_terms(asked: Iterable[Figure], regime: Regime, formulas: Formulas) -> Iterator[Figure]:
    """Yield what house terms add to what a customer's account owes at the customer level, if any bind it."""
    (account,), p = formulas.template.accounts, formulas.reader(_HOUSE_TERMS)
    owed = [each for each in asked if each.level == "customer" and each.kind == REQUIREMENT]
    told = module(_HOUSE_TERMS).house_terms(p.terms)
    binding = [each for each in told if each.binds(account.firm, account.owner, account.account_class.value)]
    if not binding or not owed or account.account_class.origin != "customer":
        return
    factor = max(each.multiplier for each in binding)
    if any(each.speculators and account.owner not in each.hedgers for each in binding):
        factor *= p.speculator_ratio
    base, every = total("asked by the rules", [each.term for each in owed]), _products(owed)
    add_on = constant("house add-on", fsum(each.add_on for each in binding))
    least = constant("house minimum", max(each.minimum for each in binding))
    more = largest("house minimum or more", [total("with the house add-on", [scaled("", factor, base), add_on]), least])
    nothing = constant("nothing owed", 0.0)
    term = where(holds("a position", every), total("house terms", [more, scaled("less", -1.0, base)]), nothing)
    yield Figure(regime.name, "customer", account.firm, _HOUSE_TERMS, REQUIREMENT, every, term)


def _products(figures: Iterable[Figure]) -> Numbers:
    return frozenset().union(*(figure.products for figure in figures))


def _terms(credited: tuple[Pool, Term] | None) -> list[Term]:
    return [] if credited is None else [credited[1]]
