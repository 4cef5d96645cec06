"""What a book and everything that may be traded in it is asked for, under several regimes: figures as terms.

Call `drawn(portfolio, market, ...)`. Every account, product and day of settlement that is held or may be traded is a
place, numbered; pools, enrolment and what owners owe are those of the spine for a book that holds all of them, so that
accounts of one owner pool where a regime pools them. What is held, and how much, is not looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from math import fsum

from attrs import evolve, field, frozen

from crossmargin.accounts import AccountClass
from crossmargin.batch.formulas import Formulas, Scenarios, numbers
from crossmargin.batch.planning import CREDIT, REQUIREMENT, Figure
from crossmargin.batch.terms import Term, constant, holds, largest, not_modelled, scaled, total, where
from crossmargin.checking import check
from crossmargin.market import Market
from crossmargin.parameters import Rules
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.posted import CARRYING_FIRM
from crossmargin.products import Product
from crossmargin.products.treasuries import TREASURY_SECURITIES
from crossmargin.regimes import PROGRAMMES, Regime
from crossmargin.registry import module
from crossmargin.run import Run

_PASSED_ON, HOUSE_TERMS = "customer_share", "house_overlay"


@frozen
class Place:
    """Where a quantity can stand: an account, a product, and the day on which a cash trade settles."""

    account: str
    product: Product
    settles: date | None = None


@frozen(eq=False)
class Drawn:
    """Places, figures of every regime over them with their owners, and what they were made from.

    Place n is product n of the terms.
    """

    places: tuple[Place, ...]
    regimes: tuple[Regime, ...]
    owners: Mapping[Figure, str]
    formulas: Formulas
    run: Run
    number: Mapping[Place, int] = field(init=False, repr=False)

    @number.default
    def _numbers(self) -> Mapping[Place, int]:
        return {place: n for n, place in enumerate(self.places)}

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures of all regimes."""
        return tuple(self.owners)

    @property
    def scenarios(self) -> Scenarios:
        """The scenario sets."""
        return self.formulas.scenarios

    @property
    def market(self) -> Market:
        """The market."""
        return self.formulas.scenarios.market


@frozen(eq=False)
class _Asked:
    """A pool, and the figure that it asks or is credited."""

    pool: Pool
    figure: Figure

    @property
    def owner(self) -> str:
        """Whose pool it is, and where."""
        return f"{self.pool.owner} at {self.pool.firm}"


def place_of(account: str, product: Product, settles: date | None) -> Place:
    """Return the place of a trade: only Treasury securities are traded for a day of settlement."""
    return Place(account, product, settles if isinstance(product, TREASURY_SECURITIES) else None)


def drawn(
    portfolio: Portfolio,
    market: Market,
    universe: Iterable[Product],
    *,
    regimes: tuple[Regime, ...],
    settles: date | None,
    book: Mapping[str, Rules],
) -> Drawn:
    """Return the figures of a book.

    Parameters
    ----------
    portfolio : Portfolio
        Accounts and what they hold.
    universe : iterable of Product
        What may be traded, in every account.
    settles : date, optional
        Day on which trades in Treasury securities settle.
    book : mapping of id to Rules
        Every rule, overlaid or not.

    Raises
    ------
    InputError
        Everything wrong with portfolio, market and universe.
    """
    universe = tuple(universe)
    _check(portfolio, market, universe, settles=settles)
    held = [Place(each.account, each.product, each.settles) for each in portfolio.positions]
    traded = [place_of(account.id, product, settles) for account in portfolio.accounts for product in universe]
    places = tuple(dict.fromkeys([*held, *traded]))
    template = evolve(
        portfolio,
        posted=(),
        positions=[Position(str(n), at.account, at.product, 1.0, at.settles) for n, at in enumerate(places)],
    )
    formulas = Formulas(template, Scenarios(tuple(at.product for at in places), market), book)
    silos = dict.fromkeys(silo for regime in regimes for silo in regime.silos if silo.elected_by)
    programmes = dict.fromkeys([*PROGRAMMES, *(id for regime in regimes for id in regime.programmes)])
    decided = {id: formulas.decided(id) for id in programmes}
    run = Run(formulas.inputs, book, decided | {silo.ruleset: formulas.elected(silo) for silo in silos})
    owners = {each.figure: each.owner for regime in regimes for each in _figures(regime, run, formulas)}
    return Drawn(places, regimes, owners, formulas, run)


def _check(portfolio: Portfolio, market: Market, universe: tuple[Product, ...], *, settles: date | None) -> None:
    """Raise everything wrong with what is held and what may be traded, each product named once."""
    (first, *_) = portfolio.accounts or (None,)
    if first is not None:
        places = [place_of(first.id, product, settles) for product in universe]
        traded = [Position(f"universe {n}", at.account, at.product, 1.0, at.settles) for n, at in enumerate(places)]
        check(evolve(portfolio, posted=(), positions=[*portfolio.positions, *traded]), market)


def _figures(regime: Regime, run: Run, formulas: Formulas) -> list[_Asked]:
    """Return every figure of a regime, as `run.owed` margins pools."""
    pools = run.pools(regime)
    asked = [_asked(pool, _requirement(pool, regime, run, formulas=formulas), regime) for pool in pools]
    credited = dict(_credits(pools, regime, formulas))
    credits = [_asked(pool, term, regime, kind=CREDIT) for pool, term in credited.items()]
    owed = [*asked, *_customers(asked, credited, formulas)]
    return [*owed, *credits, *_house_terms(owed, regime, formulas)]


def _requirement(pool: Pool, regime: Regime, run: Run, *, formulas: Formulas) -> Term:
    """Return what a pool asks; under a proposal, whose guardrails look at what the same positions ask siloed."""
    if not pool.ruleset or pool.ruleset != regime.proposal:
        return formulas.requirement(pool)
    today = run.silos(pool.positions, evolve(regime, arrangements=(), proposal=""))
    silos = [silo for silo in today if silo.pot != CARRYING_FIRM or not silo.ruleset]
    return formulas.harmonized(pool, total("siloed requirement", [formulas.requirement(silo) for silo in silos]))


def _asked(pool: Pool, term: Term, regime: Regime, *, kind: str = REQUIREMENT) -> _Asked:
    customer = pool.account_class.origin == "customer"
    level = "customer" if customer and pool.pot == CARRYING_FIRM else "clearing"
    rule = pool.programme if kind == CREDIT else pool.ruleset
    return _Asked(pool, Figure(regime.name, level, pool.pot, rule, kind, numbers(pool), term))


def _credits(pools: Iterable[Pool], regime: Regime, formulas: Formulas) -> Iterator[tuple[Pool, Term]]:
    """Yield the pools of two-pot programmes that earn a credit, and the credit: a unit is one owner's at one firm."""
    units: dict[tuple[str, ...], dict[str, Pool]] = {}
    for pool in pools:
        if pool.programme in regime.arrangements and not pool.one_pot:
            units.setdefault((pool.programme, pool.owner, pool.firm, pool.account_class), {})[pool.pot] = pool
    for (programme, *_), unit in units.items():
        for pot, term in formulas.credits(programme, unit).items():
            yield unit[pot], term


def _customers(asked: Iterable[_Asked], credited: Mapping[Pool, Term], formulas: Formulas) -> list[_Asked]:
    """Return what customers owe their firm for each clearing pool: a share of what is asked, less credit."""
    asked, found = tuple(asked), []
    own = frozenset().union(*(each.figure.products for each in asked if each.figure.level == "customer"))
    for each in asked:
        pool, figure = each.pool, each.figure
        if figure.level == "customer" or pool.account_class.origin != "customer":
            continue
        stating = (id for id in (pool.programme, pool.ruleset) if id and _PASSED_ON in formulas.book[id].parameters)
        if rule := next(stating, ""):
            less = [credited[pool]] if pool in credited else []
            net = total("clearing requirement less credit", [figure.term, *less])
            term = scaled("customer initial margin", formulas.reader(rule).customer_share, net)
        elif own.isdisjoint(figure.products):
            term = not_modelled("no share is published that the firm must collect", figure.products)
        else:
            continue
        found.append(_Asked(pool, evolve(figure, level="customer", pot=pool.firm, term=term)))
    return found


def _house_terms(owed: Iterable[_Asked], regime: Regime, formulas: Formulas) -> Iterator[_Asked]:
    """Yield what house terms add to what the accounts of one owner, firm and class owe at the customer level."""
    p = formulas.reader(HOUSE_TERMS)
    told = module(HOUSE_TERMS).house_terms(p.terms)
    accounts: dict[tuple[str, str, AccountClass], list[_Asked]] = {}
    for each in owed if told else ():
        if each.figure.level == "customer" and each.pool.account_class != AccountClass.PROPRIETARY:
            accounts.setdefault((each.pool.firm, each.pool.owner, each.pool.account_class), []).append(each)
    for (firm, owner, account_class), mine in accounts.items():
        binding = [each for each in told if each.binds(firm, owner, account_class)]
        if not binding:
            continue
        factor = max(each.multiplier for each in binding)
        if any(each.speculators and owner not in each.hedgers for each in binding):
            factor *= p.speculator_ratio
        base = total("asked by the rules", [each.figure.term for each in mine])
        every = frozenset().union(*(each.figure.products for each in mine))
        add_on = constant("house add-on", fsum(each.add_on for each in binding))
        least = constant("house minimum", max(each.minimum for each in binding))
        with_add_on = total("with the house add-on", [scaled("at the house multiplier", factor, base), add_on])
        more = largest("house minimum or more", [with_add_on, least])
        beyond = total("house terms", [more, scaled("less", -1.0, base)])
        term = where(holds("a position", every), beyond, constant("nothing owed", 0.0))
        yield _Asked(mine[0].pool, Figure(regime.name, "customer", firm, HOUSE_TERMS, REQUIREMENT, every, term))
