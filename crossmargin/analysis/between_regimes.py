"""The regimes that lie between two: some of the steps from the one to the other taken, the others not.

`Between` draws the scenarios and reprices once; `total(steps, level)` then says what any set of steps asks for, no
rule-set being asked twice about the same positions. `steps` names those that can matter to the two regimes. Who shares
the difference among the steps is `attribution`. Nothing here is a rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, partial
from math import fsum
from typing import cast

from attrs import evolve, field, frozen

from crossmargin.eligibility import case_of
from crossmargin.market import Market
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Reader, Rules
from crossmargin.pnl import can_revalue, revalue
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.posted import CARRYING_FIRM
from crossmargin.products import Product
from crossmargin.regimes import (
    PROGRAMMES,
    Regime,
    admitted_by,
    common_pools,
    decisions,
    elections,
    enrolment,
    pools,
)
from crossmargin.registry import module
from crossmargin.results import Line, total
from crossmargin.scenarios import ScenarioSpec, scenario_set
from crossmargin.spot_scenarios import with_spot_moves
from crossmargin.underlyings import securities_held

POOLING, MODEL = "pooling", "model and horizon"
CREDIT, LIMITS, ELIGIBILITY = "arrangement credit", "floors and caps", "eligibility"
STEPS = (POOLING, MODEL, CREDIT, LIMITS, ELIGIBILITY)
_OFF: Mapping[str, float] = {"reduction_cap": 1.0, "reduction_minimum": 0.0, "floor_share": 0.0}
_GUARDRAILS = "guardrails"  # the parameter with which a proposal names those that are on
_BINDING = ("directed", "programme_open")  # an account names its programme, or there is nothing to join
_NO_CURE = "None"  # how the cure of a condition begins that nobody can meet
_SHARE = "customer_share"


@frozen
class _Drawn:
    """The pools of one regime: those of its silos and one-pot programmes, and the common ones of its proposal."""

    regime: Regime
    enrolled: Mapping[str, str]
    admitted: Mapping[str, frozenset[str]]
    today: tuple[Pool, ...]
    common: tuple[Pool, ...]

    @cached_property
    def joint(self) -> dict[str, Pool]:
        """Position -> the pool in which a proposal or a one-pot programme margins it."""
        joint = (*self.common, *(pool for pool in self.today if pool.one_pot))
        return {position.id: pool for pool in joint for position in pool.positions}

    @cached_property
    def home(self) -> dict[str, Pool]:
        """Position -> its pool, at the clearing level where it has one there."""
        own = sorted(self.today, key=lambda pool: pool.pot != CARRYING_FIRM)
        return {position.id: pool for pool in own for position in pool.positions} | self.joint


@frozen
class _Asked:
    """Each pool's requirement less credit (a pool may stand there twice), and what is not modelled in them."""

    nets: tuple[tuple[Pool, float], ...]
    left_out: frozenset[str]
    rules: Mapping[str, Rules]


@frozen(eq=False)
class Between:
    """Everything that the regimes between `base` and `other` are margined from.

    Parameters
    ----------
    book : mapping of id to Rules
        Every rule, overlaid or not.
    """

    portfolio: Portfolio
    market: Market
    base: Regime
    other: Regime
    book: Mapping[str, Rules]
    _pools: dict[tuple[Regime, str], _Drawn] = field(factory=dict, init=False, repr=False)
    _lines: dict[tuple[str, Pool], Line] = field(factory=dict, init=False, repr=False)
    _asked: dict[frozenset[str], _Asked] = field(factory=dict, init=False, repr=False)

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps in which the two regimes differ, in the order of `STEPS`."""
        joint = set(_joint(self.base, self.book)) ^ set(_joint(self.other, self.book))
        two_pot = set(self._two_pots(self.base)) ^ set(self._two_pots(self.other))
        differs = {
            POOLING: bool(joint),
            MODEL: bool(joint) or self.base.silos != self.other.silos,
            CREDIT: bool(two_pot),
            LIMITS: any(name in self.book[id].parameters for id in joint | two_pot for name in (*_OFF, _GUARDRAILS)),
            ELIGIBILITY: bool(joint or two_pot),
        }
        return tuple(step for step in STEPS if differs[step])

    @cached_property
    def inputs(self) -> Inputs:
        """The profit and loss of every scenario set that some rule of the two regimes asks for."""
        return repriced(self.portfolio, self.market, (self.base, self.other), self.book)

    def total(self, taken: Collection[str], level: str = "clearing") -> float:
        """Return what all pools ask at one level when these steps are taken, USD."""
        asked = self._at(frozenset(taken))
        clearing = [(pool, net) for pool, net in asked.nets if not _is_owed_by_customer(pool)]
        if level == "clearing":
            return fsum(net for _, net in clearing)
        own = [net for pool, net in asked.nets if _is_owed_by_customer(pool)]
        return fsum([*own, *(self._passed_on(pool, net, asked.rules) for pool, net in clearing)])

    def left_out(self, taken: Collection[str]) -> frozenset[str]:
        """Return the lines that are not modelled when these steps are taken, by name."""
        return self._at(frozenset(taken)).left_out

    def _at(self, taken: frozenset[str]) -> _Asked:
        if taken not in self._asked:
            rules, two_pots = self._rules(taken), self._two_pots(self._side(CREDIT, taken))
            shape = self._drawn(self._regime(self._side(POOLING, taken), two_pots), rules)
            asked = self._drawn(self._regime(self._side(MODEL, taken), two_pots), rules)
            lines = [(label, pool, self._requirement(pool, asked, rules)) for label, pool in _arranged(shape, asked)]
            gaps = {each.name for _, _, line in lines for each in line.walk() if each.how == "not_modelled"}
            self._asked[taken] = _Asked(self._credited(lines, two_pots, rules), frozenset(gaps), rules)
        return self._asked[taken]

    # ------------------------------------------------------------------------------------------------- the regime

    def _side(self, step: str, taken: Collection[str]) -> Regime:
        return self.other if step in taken else self.base

    def _two_pots(self, regime: Regime) -> tuple[str, ...]:
        return tuple(id for id in regime.arrangements if self.book[id].structure == "two_pot")

    def _regime(self, joint: Regime, two_pots: tuple[str, ...]) -> Regime:
        one_pots = tuple(id for id in _joint(joint, self.book) if id != joint.proposal)
        return evolve(joint, arrangements=(*two_pots, *one_pots))

    def _rules(self, taken: Collection[str]) -> dict[str, Rules]:
        """Return the programmes that only one of the regimes has: with their limits and conditions, or without."""
        changed: dict[str, Rules] = {}
        for id in set(self.base.programmes) ^ set(self.other.programmes):
            new, rule = id in self.other.programmes, self.book[id]
            if (LIMITS in taken) != new:
                rule = _without_limits(rule)
            if (ELIGIBILITY in taken) != new:
                rule = _without_papers(rule)
            changed[id] = rule
        return changed

    def _reader(self, id: str, rules: Mapping[str, Rules]) -> Reader:
        return rules.get(id, self.book[id]).at(self.market.as_of)

    # -------------------------------------------------------------------------------------------------- the pools

    def _drawn(self, regime: Regime, rules: Mapping[str, Rules]) -> _Drawn:
        conditions = {id: len(rules[id].conditions) for id in regime.programmes if id in rules}
        key = regime, repr(sorted(conditions.items()))
        if key not in self._pools:
            self._pools[key] = self._draw(regime, rules)
        return self._pools[key]

    def _draw(self, regime: Regime, rules: Mapping[str, Rules]) -> _Drawn:
        """Draw the pools of a regime; programmes that it has not still decide, as they do when it is margined."""
        as_of, book = self.market.as_of, self.book
        chosen = {id: book[id] for id in PROGRAMMES} | {id: rules.get(id, book[id]) for id in regime.programmes}
        decided = {id: decisions(self.portfolio, as_of, rule) for id, rule in chosen.items()}
        for silo in (silo for silo in regime.silos if silo.elected_by):
            decided[silo.ruleset] = elections(self.portfolio, as_of, silo, book[silo.ruleset])
        enrolled = enrolment(self.portfolio, (each for taken in decided.values() for each in taken))
        admitted = {id: admitted_by(taken) for id, taken in decided.items()}
        common = common_pools(self.portfolio, regime, decided)
        inside = {position.id for pool in common for position in pool.positions}
        rest = [position for position in self.portfolio.positions if position.id not in inside]
        drawn = _Drawn(regime, enrolled, admitted, (), common)
        one_pots = {id: book[id].at(as_of).pot for id in _joint(regime, self.book) if id != regime.proposal}
        return evolve(drawn, today=self._today(rest, drawn, one_pots))

    def _today(self, positions: Iterable[Position], drawn: _Drawn, one_pots: Mapping[str, str]) -> tuple[Pool, ...]:
        cases = (case_of(self.portfolio, position, self.market.as_of) for position in positions)
        return pools(cases, drawn.regime.silos, drawn.enrolled, drawn.admitted, one_pots=one_pots)

    # ------------------------------------------------------------------------------------------------ the figures

    def _requirement(self, pool: Pool, asked: _Drawn, rules: Mapping[str, Rules]) -> Line:
        if pool.ruleset and pool.ruleset == asked.regime.proposal:
            today = [silo for silo in self._today(pool.positions, asked, {}) if silo.pot != CARRYING_FIRM]
            siloed = total("siloed requirement", [self._answer(silo.ruleset, silo) for silo in today])
            p = self._reader(pool.ruleset, rules)
            return cast(Line, module(pool.ruleset).requirement(pool, siloed, self.inputs, p))
        if pool.one_pot:
            p = self._reader(pool.programme, rules)
            return cast(Line, module(pool.programme).requirement(pool, self._answer, p))
        if pool.ruleset:
            return self._answer(pool.ruleset, pool)
        return total("no rule-set", unmodelled(pool.positions, "no rule-set yet"))

    def _answer(self, ruleset: str, pool: Pool) -> Line:
        """Return one rule-set's answer for a pool, and what the market lacks for it; asked once for each."""
        key = ruleset, evolve(pool, pot="", ruleset="", programme="")
        if key not in self._lines:
            lacking = [each for each in pool.positions if self.inputs.lacks(each)]
            known = evolve(pool, positions=[each for each in pool.positions if each not in lacking])
            line: Line = module(ruleset).requirement(known, self.inputs, self._reader(ruleset, {}))
            gaps = unmodelled(lacking, "the market lacks it")
            self._lines[key] = total(line.name, [*([line] if known.positions else []), *gaps]) if gaps else line
        return self._lines[key]

    def _credited(
        self, margined: Iterable[tuple[str, Pool, Line]], two_pots: tuple[str, ...], rules: Mapping[str, Rules]
    ) -> tuple[tuple[Pool, float], ...]:
        """Return each pool with its requirement less credit, USD."""
        nets: list[tuple[Pool, float]] = []
        units: dict[tuple[str, ...], dict[str, Pool]] = {}
        for label, pool, line in margined:
            nets.append((pool, line.value))
            if pool.programme in two_pots and not pool.one_pot:
                key = (pool.programme, pool.owner, pool.firm, pool.account_class, label)
                units.setdefault(key, {})[pool.pot] = pool
        for (programme, *_), unit in units.items():
            models = {pot: partial(self._answer, pool.ruleset) for pot, pool in unit.items()}
            credits = module(programme).credits(unit, models, self._reader(programme, rules))
            nets += [(unit[pot], line.value) for pot, line in credits.items()]
        return tuple(nets)

    def _passed_on(self, pool: Pool, net: float, rules: Mapping[str, Rules]) -> float:
        """Return what a customer owes its firm of a figure at a clearing house: the share that its rule states."""
        if pool.account_class.origin != "customer":
            return 0.0
        stating = (id for id in (pool.programme, pool.ruleset) if id and _SHARE in self.book[id].parameters)
        rule = next(stating, "")
        return net * float(self._reader(rule, rules).customer_share) if rule else 0.0


def repriced(portfolio: Portfolio, market: Market, regimes: Iterable[Regime], book: Mapping[str, Rules]) -> Inputs:
    """Return a book with its profit and loss under every scenario set that some rule of the regimes asks for.

    The scenario sets are those that `margin.compare` draws; each instrument is repriced once under each.
    """
    products = portfolio.products
    securities, pnl = securities_held(products, market.underlyings), {}
    for spec in _specs(products, market, tuple(regimes), book) if products else ():
        drawn = scenario_set(spec, market.history, market.as_of)
        if securities and market.price_history:
            drawn = with_spot_moves(drawn, market.price_history, securities, as_of=market.as_of)
        if known := [product for product in products if can_revalue(product, market, drawn)]:
            pnl[spec] = revalue(known, market, drawn)
    return Inputs(portfolio, market, pnl)


def _specs(
    products: Iterable[Product], market: Market, regimes: Iterable[Regime], book: Mapping[str, Rules]
) -> tuple[ScenarioSpec, ...]:
    kinds, asked = {product.kind for product in products}, set()
    for regime in regimes:
        asked |= {silo.ruleset for silo in regime.silos if silo.kinds & kinds}
        for id in _joint(regime, book):
            asked |= {id} if id == regime.proposal else set(book[id].at(market.as_of).models)
    specs = (spec for id in sorted(asked) for spec in module(id).scenarios(book[id].at(market.as_of)))
    return tuple(dict.fromkeys(specs))


def _joint(regime: Regime, book: Mapping[str, Rules]) -> tuple[str, ...]:
    """Return the one-pot programmes of a regime, and its proposal: what margins several silos' positions in one."""
    one_pots = [id for id in regime.arrangements if book[id].structure == "one_pot"]
    return tuple(id for id in (*one_pots, regime.proposal) if id)


def _is_owed_by_customer(pool: Pool) -> bool:
    return pool.account_class.origin == "customer" and pool.pot == CARRYING_FIRM


def _without_limits(rule: Rules) -> Rules:
    off: dict[str, object] = {name: value for name, value in _OFF.items() if name in rule.parameters}
    if _GUARDRAILS in rule.parameters:
        off = {_GUARDRAILS: ()}
    return rule.with_values(because="attribution: switched off", **off) if off else rule


def _without_papers(rule: Rules) -> Rules:
    """Return a programme without the conditions that somebody could cure: only what nothing cures still binds."""
    kept = [each for each in rule.conditions if each.id in _BINDING or each.cure.startswith(_NO_CURE)]
    return evolve(rule, conditions=tuple(kept))


def _arranged(shape: _Drawn, asked: _Drawn) -> list[tuple[str, Pool]]:
    """Return the pools as `shape` draws them, under the rules that `asked` puts on their positions.

    Where `asked` has one pool and `shape` several, each of them is margined alone; where `shape` has one and `asked`
    several, those of one pot and rule-set become one, whichever accounts their positions lie in. Each bears the label
    of the joint pool that it comes from, "" for none.
    """
    drawn: dict[tuple[str, Pool, Pool | None], list[Position]] = {}
    for pool in (*asked.today, *asked.common):
        alike = evolve(pool, positions=())
        for position in pool.positions:
            within = shape.joint.get(position.id)
            if position.id in asked.joint:
                key: tuple[str, Pool, Pool | None] = ("", alike, shape.home[position.id])
            elif within is None:
                key = ("", alike, None)
            else:
                key = (within.id, _merged(alike, within, asked.regime.arrangements), None)
            drawn.setdefault(key, []).append(position)
    return [(label, evolve(alike, positions=held)) for (label, alike, _), held in drawn.items()]


def _merged(pool: Pool, within: Pool, arrangements: Collection[str]) -> Pool:
    """Return what stands for a pool of today within a joint one: its account does not matter, a credit does."""
    programme = pool.programme if pool.programme in arrangements else ""
    return evolve(pool, owner=within.owner, firm=within.firm, account_class=within.account_class, programme=programme)
