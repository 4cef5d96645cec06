"""The regimes that lie between two: some of the steps from the one to the other taken, the others not.

`between(portfolio, market, regimes, book)` draws the scenarios and reprices once; `total(steps, level)` then says what
any set of steps asks for, `deficit(steps, level)` what must be brought beyond what is posted. Pools are margined by
`run.owed`, as those of every regime are, and no rule-set is asked twice about the same positions. `steps` names those
that can matter to the two regimes. Who shares the difference among the steps is `attribution`. Nothing here is a rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from attrs import evolve, field, frozen

from crossmargin.collateral.covering import balances
from crossmargin.deposits import Asked, Homes, asked_by_place, homes
from crossmargin.margin import named, prepare
from crossmargin.market import Market
from crossmargin.methodology import Inputs
from crossmargin.parameters import Rules
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.posted import CARRYING_FIRM
from crossmargin.regimes import Regime
from crossmargin.results import known_sum
from crossmargin.run import Run, owed

POOLING, MODEL, FLOORS = "pooling", "model and horizon", "floors and add-ons"
CREDIT, ELIGIBILITY, COLLATERAL = "arrangement credit", "eligibility", "collateral and segregation"
STEPS = (POOLING, MODEL, FLOORS, CREDIT, ELIGIBILITY, COLLATERAL)
_BINDING = ("directed", "programme_open")  # an account names its programme, or there is nothing to join
_NO_CURE = "None"  # how the cure of a condition begins that nobody can meet


@frozen(eq=False)
class _Drawn:
    """The pools of one regime, drawn under the conditions of a state."""

    regime: Regime
    run: Run
    pools: tuple[Pool, ...]

    @cached_property
    def joint(self) -> dict[str, Pool]:
        """Position -> the pool in which a proposal or a one-pot programme margins it."""
        joint = (pool for pool in self.pools if pool.one_pot or pool.ruleset == self.regime.proposal != "")
        return {position.id: pool for pool in joint for position in pool.positions}

    @cached_property
    def home(self) -> dict[str, Pool]:
        """Position -> its pool, at the clearing level where it has one there."""
        own = sorted(self.pools, key=lambda pool: pool.pot != CARRYING_FIRM)
        return {position.id: pool for pool in own for position in pool.positions} | self.joint

    def floored(self, programmes: Collection[str]) -> dict[str, frozenset[str]]:
        """Return position -> every rule whose floors and add-ons it bears where these programmes have theirs."""
        units: dict[str, set[str]] = {}  # in a programme each pot's model looks at the others' legs too
        for pool in self.pools:
            units.setdefault(pool.programme, set()).add(pool.ruleset)
        found: dict[str, frozenset[str]] = {}
        for pool in self.pools:
            legs = units[pool.programme] if pool.programme else ()
            names = frozenset((*self._rules(pool, programmes), *legs))
            for position in pool.positions:
                found[position.id] = found.get(position.id, frozenset()) | names
        return found

    def _rules(self, pool: Pool, programmes: Collection[str]) -> Iterable[str]:
        """Yield what margins a pool: its rule-set or programme, what that asks in turn, and who gives it credit."""
        yield pool.ruleset
        if pool.programme in programmes:
            yield pool.programme
        if pool.one_pot:
            yield from self.run.reader(pool.programme).models
        elif pool.ruleset == self.regime.proposal != "":
            for row in self.run.reader(pool.ruleset).optional("houses") or ():
                yield from row["pots"]


@frozen(eq=False)
class Between:
    """Everything that the regimes between `base` and `other` are margined from: made by `between`."""

    base: Regime
    other: Regime
    run: Run
    _pools: dict[tuple[Regime, frozenset[str]], _Drawn] = field(factory=dict, init=False, repr=False)
    _asked: dict[frozenset[str], Asked] = field(factory=dict, init=False, repr=False)
    _short: dict[object, list[tuple[str, str, float | None]]] = field(factory=dict, init=False, repr=False)

    @property
    def inputs(self) -> Inputs:
        """The book, the market, and the profit and loss under all scenarios that a rule of the two asks for."""
        return self.run.inputs

    @cached_property
    def steps(self) -> tuple[str, ...]:
        """The steps in which the two regimes differ, in the order of `STEPS`."""
        joint = set(self._joint(self.base)) ^ set(self._joint(self.other))
        two_pot = set(self._two_pots(self.base)) ^ set(self._two_pots(self.other))
        differs = {
            POOLING: bool(joint),
            MODEL: bool(joint) or self.base.silos != self.other.silos,
            FLOORS: any(self.run.book[id].plain is not self.run.book[id] for id in joint | two_pot | self._swapped()),
            CREDIT: bool(two_pot),
            ELIGIBILITY: bool(joint or two_pot),
            COLLATERAL: bool(joint),
        }
        return tuple(step for step in STEPS if differs[step])

    def total(self, taken: Collection[str], level: str = "clearing") -> float | None:
        """Return what all pools ask at one level when these steps are taken, USD; None where nothing is modelled."""
        return known_sum(each.line.amount for asked in self._at(taken) for each in asked if each.level == level)

    def deficit(self, taken: Collection[str], level: str = "clearing") -> float | None:
        """Return what must be brought beyond what is posted, at one level when these steps are taken, USD.

        None where nothing of it is modelled.
        """
        return known_sum(self.deficits(taken, level).values())

    def deficits(self, taken: Collection[str], level: str = "clearing") -> dict[str, float | None]:
        """Return `deficit` pot by pot."""
        inputs, known = self.inputs, self.run.book
        lying = taken if inputs.portfolio.posted else ()  # without deposits it does not matter where they would lie
        side, rules = self._side(COLLATERAL, lying).name, tuple(known.values())
        requirements, credits, posted = self._homes[side].met(self._at(taken), inputs.portfolio, inputs.market, rules)
        key = side, frozenset(asked_by_place(requirements, credits).items())
        if key not in self._short:
            made = balances(requirements, credits, posted, inputs.market, portfolio=inputs.portfolio, rules=rules)
            self._short[key] = [(each.level, each.pot, each.deficit.amount) for each in made.balances]
        found: dict[str, list[float | None]] = {}
        for _, pot, amount in (each for each in self._short[key] if each[0] == level):
            found.setdefault(pot, []).append(amount)
        return {pot: known_sum(amounts) for pot, amounts in found.items()}

    def left_out(self, taken: Collection[str]) -> frozenset[str]:
        """Return the lines that are not modelled when these steps are taken, by name."""
        lines = (line for each in self._at(taken)[0] for line in each.line.walk())
        return frozenset(line.name for line in lines if line.how == "not_modelled")

    def _at(self, taken: Collection[str]) -> Asked:
        steps = frozenset(taken) - {COLLATERAL}
        if steps not in self._asked:
            shape, asked, bearing = (self._drawn(step, steps) for step in (POOLING, MODEL, FLOORS))
            run = evolve(asked.run, floored=bearing.floored(self._side(FLOORS, steps).arrangements))
            self._asked[steps] = owed(_arranged(shape, asked), asked.regime, run)
        return self._asked[steps]

    @cached_property
    def _homes(self) -> dict[str, Homes]:
        """Where each of the two regimes meets its requirements, by its name."""
        inputs, book = self.inputs, self.run.book

        def made(regime: Regime, taken: Collection[str]) -> Homes:
            alone = evolve(regime, arrangements=(), proposal="")
            silos = [("", pool) for pool in self.run.pools(alone)]
            asked = self._at(taken)
            return homes(asked, inputs.portfolio, inputs.market, book, siloed=lambda: owed(silos, alone, self.run))

        return {self.base.name: made(self.base, ()), self.other.name: made(self.other, self.steps)}

    def _swapped(self) -> set[str]:
        """Return the rules that margin some position under one of the regimes only."""
        ends = [self._drawn(FLOORS, taken).floored(()) for taken in (frozenset[str](), frozenset(STEPS))]
        return {id for position in ends[0] for id in ends[0][position] ^ ends[1][position] if id}

    # ------------------------------------------------------------------------------------------------- the regime

    def _side(self, step: str, taken: Collection[str]) -> Regime:
        return self.other if step in taken else self.base

    def _two_pots(self, regime: Regime) -> tuple[str, ...]:
        return tuple(id for id in regime.arrangements if self.run.book[id].structure == "two_pot")

    def _joint(self, regime: Regime) -> tuple[str, ...]:
        """Return the one-pot programmes of a regime, and its proposal: what margins positions of silos in one."""
        one_pots = [id for id in regime.arrangements if self.run.book[id].structure == "one_pot"]
        return tuple(id for id in (*one_pots, regime.proposal) if id)

    def _drawn(self, step: str, taken: frozenset[str]) -> _Drawn:
        """Return the pools as one step has them drawn, under the two-pot programmes and conditions of the state."""
        side = self._side(step, taken)
        one_pots = tuple(id for id in self._joint(side) if id != side.proposal)
        regime = evolve(side, arrangements=(*self._two_pots(self._side(CREDIT, taken)), *one_pots))
        waived = frozenset(self._waived(taken)) & set(regime.programmes)
        if (regime, waived) not in self._pools:
            run = self.run.under({id: _without_papers(self.run.book[id]) for id in sorted(waived)})
            self._pools[regime, waived] = _Drawn(regime, run, run.pools(regime))
        return self._pools[regime, waived]

    def _waived(self, taken: Collection[str]) -> Iterable[str]:
        """Yield the programmes that only one of the regimes has and whose conditions do not bind in this state."""
        for id in set(self.base.programmes) ^ set(self.other.programmes):
            if (ELIGIBILITY in taken) != (id in self.other.programmes):
                yield id


def between(
    portfolio: Portfolio, market: Market, regimes: Iterable[Regime | str], book: Mapping[str, Rules]
) -> Between:
    """Return the regimes between two, nothing margined yet.

    Parameters
    ----------
    regimes : Regime or str
        The first and the last.
    book : mapping of id to Rules
        Every rule, overlaid or not.
    """
    base, other = named(regimes)
    return Between(base, other, prepare(portfolio, market, (base, other), book, waived=True))


def repriced(portfolio: Portfolio, market: Market, regimes: Iterable[Regime], book: Mapping[str, Rules]) -> Inputs:
    """Return a book with its profit and loss under every scenario set that some rule of the regimes asks for."""
    return prepare(portfolio, market, tuple(regimes), book, waived=True).inputs


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
    for pool in asked.pools:
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
