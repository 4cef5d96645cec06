"""Two pots for any pair of clearing agency and derivatives clearing organisation: one percentage, never a dollar.

Nobody has put this in force. Today's rule-sets keep margining today's pots. Of each eligible pair, both houses simulate
both legs, alone and together, and the lower saving, capped and subject to a minimum, scales the two pots. The houses'
simulations are stated in the table `houses`: today's rule-sets have no model of one another's products. Pots that no
pair joins, and what is not revalued, ask what they ask today.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from crossmargin import common_model, guardrails
from crossmargin.eligibility import Case, Test
from crossmargin.errors import InputError, Problem, Problems
from crossmargin.methodology import Inputs, tail_charge
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool, Position
from crossmargin.results import Line, largest, product, reduction, scaled, smallest, total
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSpec

_NAME = "any_pair_two_pot"


def scenarios(p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return the look-back over the horizon of each house."""
    return tuple(dict.fromkeys(_simulation(row, p).spec for row in p.houses))


def requirement(pool: Pool, siloed: Line, inputs: Inputs, p: Reader) -> Line:
    """Return what the pots ask together after the percentage of each pair, USD.

    Parameters
    ----------
    pool : Pool
        Positions of one owner at one firm.
    siloed : Line
        What they ask under today's rule-sets, USD: one part for each silo, named after its rule-set.
    inputs : Inputs
        With the P&L of `scenarios(p)`.
    p : Reader
        Parameters of this proposal.

    Returns
    -------
    Line
        A sum over the pots. The cap on the reduction and the minimum of each pot hold beside them what the whole would
        be without them.

    References
    ----------
    91 FR 4994, question 7 (any pair); the arithmetic is that of `arrangements.cme_ficc`.
    """
    houses = {row["house"]: _simulation(row, p) for row in p.houses}
    pairs, reads = _pairs(p, houses), p.taken()
    savings = _savings(pool, inputs, houses, pairs)
    least, cap, minimum = p.reduction_minimum, p.reduction_cap, p.pot_minimum
    _check(least, cap)
    limits = {"reduction_cap": cap, "pot_minimum": minimum}
    off = {"reduction_cap": {**limits, "reduction_cap": 1.0}, "pot_minimum": {**limits, "pot_minimum": 0.0}}
    rows = [(row, [line for line in siloed.parts if line.name in _names(row)]) for row in p.houses]
    pots = [_Pot(row["house"], tuple(lines), row["components"]) for row, lines in rows if lines]
    known = {id(line) for pot in pots for line in pot.lines}
    rest = [line for line in siloed.parts or (siloed,) if id(line) not in known]

    def asked(limits: Mapping[str, float], without: Mapping[str, float | None]) -> Line:
        granted = {house: _granted(saved, least, limits, without) for house, saved in savings.items()}
        return total(f"{_NAME} requirement", [*(_of_pot(pot, granted, limits, without) for pot in pots), *rest])

    line = asked(limits, {name: asked(switched, {}).amount for name, switched in off.items()})
    return evolve(line, note=common_model.NOT_IN_FORCE, reads=(*reads, *p.taken()))


@frozen
class _Simulation:
    """How one house simulates, and which products it clears."""

    house: str
    kinds: frozenset[str]
    spec: ScenarioSpec
    measure: TailMeasure


@frozen
class _Pot:
    """A house's part of the siloed requirement, and the components in it that a percentage scales."""

    house: str
    lines: tuple[Line, ...]
    components: Sequence[str]

    @property
    def scaled(self) -> Line:
        found = [next((part for part in line.walk() if part.name in self.components), None) for line in self.lines]
        return total("what is scaled", [Line(each.name, each.value) for each in found if each is not None])


def _simulation(row: Mapping[str, Any], p: Reader) -> _Simulation:
    quantile_type = p.quantile_type if row["estimator"] == "quantile" else None
    measure = TailMeasure(row["estimator"], confidence=row["confidence"], quantile_type=quantile_type)
    spec = ScenarioSpec("historical", row["horizon_days"], p.lookback_years, p.stress_period)
    return _Simulation(row["house"], frozenset(row["kinds"]), spec, measure)


def _pairs(p: Reader, houses: Mapping[str, _Simulation]) -> list[tuple[_Simulation, _Simulation]]:
    problems, named = Problems(), [(row["agency"], row["dco"]) for row in p.eligible_pairs]
    for agency, dco in named:
        for house in {agency, dco} - set(houses):
            problems.add(f"unknown house {house!r}.", where="eligible_pairs", fix=f"Known: {', '.join(houses)}.")
        if agency == dco:
            problems.add(f"{agency} is paired with itself.", where="eligible_pairs", fix="Name two houses.")
    problems.raise_if_any()
    return [(houses[agency], houses[dco]) for agency, dco in named]


def _savings(
    pool: Pool,
    inputs: Inputs,
    houses: Mapping[str, _Simulation],
    pairs: Iterable[tuple[_Simulation, _Simulation]],
) -> dict[str, Line]:
    """Return the lower saving of each pot that a pair joins, by house; the first pair that can takes it."""
    legs = {
        name: [each for each in pool.positions if each.product.kind in house.kinds] for name, house in houses.items()
    }
    found: dict[str, Line] = {}
    for pair in pairs:
        known = [[each for each in legs[house.house] if _revalued(each, pair, inputs)] for house in pair]
        if all(known) and not any(house.house in found for house in pair):
            lower = smallest("lower saving", [_saving(house, known, inputs) for house in pair], unit="1")
            note = f"{pair[0].house} with {pair[1].house}"
            found |= {house.house: evolve(lower, note=note) for house in pair}
    return found


def _revalued(position: Position, pair: Iterable[_Simulation], inputs: Inputs) -> bool:
    return not inputs.lacks(position) and all(inputs.revalued(position, house.spec) for house in pair)


def _saving(house: _Simulation, legs: Sequence[Sequence[Position]], inputs: Inputs) -> Line:
    """Return the share of the legs' losses added up that one house's simulation saves on both together."""

    def loss(name: str, positions: Iterable[Position]) -> Line:
        return tail_charge(name, inputs.pooled(positions, house.spec), house.measure, ())

    alone = [loss(f"leg {number}", leg) for number, leg in enumerate(legs, 1)]
    both = loss("both legs", [position for leg in legs for position in leg])
    return reduction(f"saving by {house.house}", both, total("legs alone", alone))


def _granted(saving: Line, least: float, limits: Mapping[str, float], without: Mapping[str, float | None]) -> Line:
    cap = guardrails.marked("reduction_cap", Line("reduction cap", limits["reduction_cap"], unit="1"), without)
    granted = smallest("percentage", [saving, cap], unit="1", note=saving.note)
    return granted if granted.value >= least else scaled("percentage below the minimum", 0, granted, unit="1")


def _of_pot(
    pot: _Pot, granted: Mapping[str, Line], limits: Mapping[str, float], without: Mapping[str, float | None]
) -> Line:
    """Return what one pot asks: today's requirement less the credit, but not less than the minimum of a pot."""
    today = total("today", pot.lines)
    components = pot.scaled
    if pot.house not in granted or not components.value:
        return total(pot.house, [today])
    percentage = granted[pot.house]
    credit = product("credit", [percentage, components], factor=-1, note=percentage.note)
    kept = guardrails.pot_minimum([evolve(today, name=pot.house)], limits["pot_minimum"])
    return largest(
        pot.house, [total("today less credit", [today, credit]), guardrails.marked("pot_minimum", kept, without)]
    )


def _names(row: Mapping[str, Any]) -> set[str]:
    return {f"{ruleset} requirement" for ruleset in row["pots"]}


def _check(least: float, cap: float) -> None:
    bad = [
        (name, value) for name, value in (("reduction_minimum", least), ("reduction_cap", cap)) if not 0 <= value <= 1
    ]
    if bad:
        raise InputError([Problem(f"{name} is {value}, not in [0, 1].", _NAME) for name, value in bad])


def _member(case: Case, p: Reader) -> bool:
    kind = case.position.product.kind
    houses = [row["house"] for row in p.houses if kind in row["kinds"]]
    return not houses or case.firm.memberships.issuperset(houses)


TESTS: Mapping[str, Test] = {**common_model.TESTS, "member": _member}
