"""What each position adds to a requirement: the calculation walked from the top, the tail divided by Euler.

`position_shares(report, level, inputs, book)` divides every requirement and credit of a report; the shares add up to
its total. A sum passes through its parts, a largest through the part that binds, a credit through the leg that it is
taken off, and a tail of simulated results goes to positions by `risk.TailMeasure.contributions`. What no position can
be said to cause stays with its pool, visibly. `walks` gives the calculations themselves, with the simulated results
behind each tail: what `evidence` draws anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import fsum, isclose
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from attrs import frozen

from crossmargin.common_model import tail_measure
from crossmargin.historical_var import Reducer, legs
from crossmargin.methodology import Inputs, security_exposures
from crossmargin.parameters import Rules
from crossmargin.portfolio import Position
from crossmargin.prisma import sub_samples
from crossmargin.registry import module
from crossmargin.results import Credit, Line, Report, Requirement
from crossmargin.scenarios import ScenarioSpec

Shares: TypeAlias = dict[str, float]  # position -> USD; "" is what no position can be said to cause
_AGREES = 1e-9
_NET = "clearing requirement less credit"  # on which a customer's share is reckoned


def position_shares(
    report: Report, level: str, inputs: Inputs, book: Mapping[str, Rules], *, drawn: Iterable[Sequence[str]] = ()
) -> dict[str, Shares]:
    """Return, pool by pool, what each position adds to the requirement less credit, USD; a hedge adds < 0.

    Parameters
    ----------
    level : str
        `clearing` or `customer`.
    inputs : Inputs
        With the profit and loss of the scenario sets that the rule-sets asked for.
    book : mapping of id to Rules
        The rules as they were used.
    drawn : iterable of position ids
        Pools of other regimes, whose figures may stand inside a requirement of this one.

    References
    ----------
    Tasche (1999), Risk contributions and performance measurement (Euler allocation); a maximum is divided as the part
    that binds, a percentage credit as the leg that it is taken off.
    """
    drawn = tuple(drawn)
    clearing = _divided(walks(report, "clearing", inputs, book, drawn=drawn))
    return clearing if level == "clearing" else _divided(walks(report, level, inputs, book, drawn=drawn), clearing)


def walks(
    report: Report, level: str, inputs: Inputs, book: Mapping[str, Rules], *, drawn: Iterable[Sequence[str]] = ()
) -> list[tuple[str, Walk]]:
    """Return the pool and the calculation of every requirement and credit of one level; arguments as above."""
    pools = tuple({frozenset(ids): None for ids in (*(each.positions for each in report.requirements), *drawn)})
    held = {each.pool: each for each in report.requirements if each.level == "clearing"}
    credits = [each for each in report.credits if each.level == level]
    units: dict[tuple[str, ...], set[str]] = {}
    for credit in credits:
        units.setdefault(_unit(credit), set()).update(held[credit.pool].positions)
    asked = [each for each in report.requirements if each.level == level]
    parts = [(pool_name(report, each), each.positions, each.line) for each in asked]
    parts += [(pool_name(report, held[each.pool]), tuple(units[_unit(each)]), each.line) for each in credits]
    return [(name, Walk(_positions(inputs, ids), line, inputs, book, pools)) for name, ids, line in parts]


def pool_name(report: Report, requirement: Requirement) -> str:
    """Return the name of a pool, with its rule-set where the report has several of that name."""
    rulesets = {each.ruleset for each in report.requirements if each.pool == requirement.pool}
    return requirement.pool if len(rulesets) == 1 else f"{requirement.pool} / {requirement.ruleset}"


def _unit(credit: Credit) -> tuple[str, ...]:
    return credit.arrangement, credit.owner, credit.firm, credit.account_class


def _positions(inputs: Inputs, ids: Iterable[str]) -> tuple[Position, ...]:
    wanted = frozenset(ids)
    return tuple(position for position in inputs.portfolio.positions if position.id in wanted)


def _divided(
    calculations: Iterable[tuple[str, Walk]], below: Mapping[str, Shares] = MappingProxyType({})
) -> dict[str, Shares]:
    """Return the shares by pool; a customer's share of a figure at a clearing house is divided as that is."""
    found: dict[str, Shares] = {}
    for pool, walk in calculations:
        passed_on = any(line.name == _NET for line in walk.root.walk())
        known = below.get(pool, {}) if passed_on else None
        _add(found.setdefault(pool, {}), _scaled(known, walk.root.value) if known else walk.of(walk.root))
    return found


@frozen
class Tail:
    """A simulated loss: of which positions, on which scenarios, by which reducer."""

    positions: tuple[Position, ...]
    spec: ScenarioSpec
    reducer: Reducer


@frozen
class Walk:
    """The calculation `root` of what some positions ask together; `drawn` are pools that may stand inside it."""

    held: tuple[Position, ...]
    root: Line
    inputs: Inputs
    book: Mapping[str, Rules]
    drawn: tuple[frozenset[str], ...]

    def of(self, line: Line) -> Shares:
        """Return the shares of a line, which add up to it."""
        if not line.value:
            return {}
        if len(self.held) == 1:
            return {self.held[0].id: line.value}
        tail = self.tail(line)
        if tail is not None:
            return _scaled(_contributions(tail, self.inputs), line.value)
        return self._of_name(line) or self._of_parts(line)

    def _of_parts(self, line: Line) -> Shares:
        parts = [part for part in line.parts if part.amount is not None]
        if line.how == "sum":
            return _sum(self.of(part) for part in parts)
        if line.how in ("max", "minimum"):
            return self.of(next(part for part in parts if part.amount == line.amount))
        if line.how == "root_sum_square":
            return _sum(_scaled(self.of(part), part.value**2 / line.value) for part in parts)
        parts = [part for part in parts if part.unit == line.unit]
        if line.how in ("scaled", "product") and len(parts) == 1:
            return _scaled(self.of(parts[0]), line.value)
        return {"": line.value}

    def _of_name(self, line: Line) -> Shares:
        """Divide a figure of one security, or of one position, by what is held of it; {} for other lines."""
        faces: Shares = {}
        for position in self.held:
            if line.name == f"{position.id}: {position.product.symbol}":
                return {position.id: line.value}
            for security, face in security_exposures([position], self.inputs.as_of).items():
                if security.symbol == line.name and face:
                    faces[position.id] = face
        return _scaled(faces, line.value) if faces else {}

    def tail(self, line: Line) -> Tail | None:
        """Return the simulated loss that a line is, None for other lines and for those without a loss."""
        if not line.value:
            return None
        for spec, reducer in (tail for rule in {read.rule for read in line.reads} for tail in self._tails(rule, line)):
            for positions in self._candidates(spec):
                tail = Tail(positions, spec, reducer)
                added = fsum(_contributions(tail, self.inputs).values())
                if isclose(added, line.value, rel_tol=_AGREES, abs_tol=_AGREES):
                    return tail
        return None

    def _candidates(self, spec: ScenarioSpec) -> Iterable[tuple[Position, ...]]:
        """Yield the positions that a tail may be of: all, or a pool of another regime, less what takes haircuts."""
        haircuts = (line for line in self.root.walk() if line.how == "root_sum_square")
        apart = {each.name for line in haircuts for each in line.walk()}
        for pool in (frozenset(position.id for position in self.held), *self.drawn):
            within = [position for position in self.held if position.id in pool]
            known = [position for position in within if self.inputs.revalued(position, spec)]
            yield tuple(known)
            yield tuple(each for each in known if getattr(each.product, "collateral", each.product).symbol not in apart)

    def simulated(self, line: Line) -> float:
        """Return how much of a figure comes from simulated losses, USD, along the parts that bind."""
        if not line.value or self.tail(line) is not None:
            return line.value
        parts = [part for part in line.parts if part.amount is not None and part.unit == line.unit]
        if line.how == "sum":
            return fsum(self.simulated(part) for part in parts)
        if line.how == "root_sum_square":
            return fsum(self.simulated(part) * part.value / line.value for part in parts)
        if line.how in ("max", "minimum"):
            parts = [part for part in parts if part.amount == line.amount][:1]
        if line.how not in ("input", "reduction") and len(parts) == 1 and parts[0].value:
            return self.simulated(parts[0]) * (line.value / parts[0].value)
        return 0.0

    def _tails(self, rule: str, line: Line) -> Iterable[tuple[ScenarioSpec, Reducer]]:
        """Yield the scenarios and the reducer that a rule may have measured a line with."""
        known = self.book[rule].parameters if rule in self.book else {}
        if "reducer" in known:
            found = legs(self.book[rule].at(self.inputs.as_of))
            yield from ((leg.spec, leg.reducer) for leg in found if leg.name == line.name)
        elif line.how == "input" and "confidence" in known and self.book[rule].kind == "proposal":
            p = self.book[rule].at(self.inputs.as_of)
            yield from ((spec, Reducer(tail_measure(p))) for spec in module(rule).scenarios(p))


def _contributions(tail: Tail, inputs: Inputs) -> Shares:
    """Return what each position adds to a simulated loss, USD."""
    if not tail.positions:
        return {}
    pnl, reducer = inputs.pnl[tail.spec], tail.reducer
    rows = np.stack([position.quantity * pnl.row(position.product) for position in tail.positions])
    samples = [reducer.measure.contributions(part) for part in sub_samples(rows, reducer.samples)]
    added = reducer.factor * np.mean(samples, axis=0)
    return {position.id: float(each) for position, each in zip(tail.positions, added, strict=True)}


def _scaled(shares: Shares, amount: float) -> Shares:
    """Return shares in the same proportions that add up to `amount`; all of it to nobody where they cancel."""
    whole = fsum(shares.values())
    if not whole or fsum(map(abs, shares.values())) * _AGREES > abs(whole):
        return {"": amount}
    return {id: share * (amount / whole) for id, share in shares.items()}


def _sum(parts: Iterable[Shares]) -> Shares:
    found: Shares = {}
    for part in parts:
        _add(found, part)
    return found


def _add(found: Shares, shares: Shares) -> None:
    for id, share in shares.items():
        found[id] = found.get(id, 0.0) + share
