"""The common model of proposals as a term: one pool, one simulation, its guardrails on top."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import frozen

from crossmargin.batch.terms import Term, constant, largest, left_out, scaled, smallest, tail, total
from crossmargin.common_model import scenarios, tail_measure
from crossmargin.guardrails import switched_on
from crossmargin.historical_var import Leg, Reducer
from crossmargin.offset_gate import group_of, offset_gate
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSpec

if TYPE_CHECKING:
    from crossmargin.batch.formulas import Formulas, Numbers

_ALONE = ("correlation_break",)  # needs an account's own scenarios
_SIZED = {"liquidity_add_on": "liquidity_charge", "concentration_add_on": "concentration_charge"}
_WORST = TailMeasure("kth_worst", k=1)


def guarded(formulas: Formulas, pool: Pool, siloed: Term, days: int) -> Term:
    """Return what a common pool asks over one horizon: the model with its add-ons, but not less than any floor.

    Parameters
    ----------
    formulas : Formulas
    pool : Pool
        Its rule-set is the proposal.
    siloed : Term
        What the same products ask under today's rule-sets, USD, one part for each silo.
    days : int
        The horizon.
    """
    p = formulas.reader(pool.ruleset)
    on = switched_on(p)
    specs = _specs(p, days)
    held = frozenset(int(position.id) for position in pool.positions)
    known = formulas.priced(held, specs.values())
    common = _Common(formulas, p, on, specs, tail_measure(p), known)
    loss = common.shaped()
    table = p.optional("haircuts")
    charged = frozenset() if table is None else formulas.with_face(held - known)
    haircuts = [] if table is None else [formulas.haircuts(charged, table)]
    rest = held - known - charged
    gaps = formulas.unpriced(rest)
    gaps += [left_out(name, known) for name in _ALONE if name in on]
    model = total("model", [loss, *haircuts, *common.added(loss), *gaps])
    return largest(f"{pool.ruleset} requirement", [model, *common.floors(siloed)])


def _specs(p: Reader, days: int) -> dict[str, ScenarioSpec]:
    """Return the scenario sets of one horizon by what they are for, in the order in which the model states them."""
    mine = [spec for spec in scenarios(p) if spec.horizon_days == days]
    historical = [spec for spec in mine if spec.kind == "historical"]
    found = {"model": historical[0], "long_run": historical[-1]}
    found |= {spec.kind: spec for spec in mine if spec.kind == "stress"}
    return found


@frozen(eq=False)
class _Common:
    """One pool under one horizon."""

    formulas: Formulas
    p: Reader
    on: frozenset[str]
    specs: Mapping[str, ScenarioSpec]
    measure: TailMeasure
    held: Numbers

    def shaped(self) -> Term:
        """Return the simulated loss after what shapes it, each the larger of before and after."""
        p, loss = self.p, self.loss("model", self.measure, self.held)
        if "offset_gate" in self.on:
            loss = largest("after offset_gate", [loss, self.apart("model", self.measure, self.blocks)])
        if "offset_cap" in self.on:
            alone = scaled("kept", 1.0 - p.offset_share, self.apart("model", self.measure, self.groups))
            loss = largest("after offset_cap", [loss, total("cap", [alone, scaled("share", p.offset_share, loss)])])
        if "stress_weight" in self.on:
            stressed = scaled("stressed", p.stress_weight, self.behind_gate("stress", self.measure))
            mixed = total("stress weight", [scaled("share", 1.0 - p.stress_weight, loss), stressed])
            loss = largest("after stress_weight", [loss, mixed])
        if "long_run_floor" in self.on:
            loss = largest("after long_run_floor", [loss, self.behind_gate("long_run", self.measure)])
        return loss

    def added(self, loss: Term) -> list[Term]:
        """Return what is left of the buffer, and charges by size."""
        p, found = self.p, []
        if "buffer" in self.on:
            found.append(scaled("buffer", p.buffer_fraction * (1.0 - p.buffer_used_fraction), loss))
        leg = Leg("model", self.specs["model"], Reducer(self.measure))
        sized = self.formulas.size_charges(self.held, leg, p)
        return [*found, *(sized[charge] for name, charge in _SIZED.items() if name in self.on and charge in sized)]

    def floors(self, siloed: Term) -> list[Term]:
        """Return what the requirement does not fall below."""
        p, found = self.p, []
        if "reduction_cap" in self.on:
            found.append(scaled("cap on the reduction", 1.0 - p.reduction_cap, siloed))
        if "siloed_floor" in self.on:
            found.append(scaled("floor of the siloed requirement", p.floor_share, siloed))
        if "stress_floor" in self.on:
            found.append(scaled("stress floor", p.stress_floor_share, self.behind_gate("stress", _WORST)))
        if "pot_minimum" in self.on:
            found.append(total("minimum per pot", [self._least(name, siloed) for name in _names(siloed)]))
        return found

    def _least(self, name: str, siloed: Term) -> Term:
        asked = total(name, [part for part in siloed.parts if part.name == name])
        return smallest(f"least of {name}", [asked, constant("pot minimum", self.p.pot_minimum)])

    def loss(self, spec: str, measure: TailMeasure, held: Numbers) -> Term:
        """Return what some of the pool loses on one scenario set."""
        return tail(Leg(f"{spec} loss", self.specs[spec], Reducer(measure)), held)

    def apart(self, spec: str, measure: TailMeasure, parts: Mapping[str, Numbers]) -> Term:
        """Return what parts of the pool lose, each on its own."""
        return total("margined apart", [self.loss(spec, measure, held) for held in parts.values()])

    def behind_gate(self, spec: str, measure: TailMeasure) -> Term:
        """Return what the pool loses, blocks of the gate not offsetting where it is on."""
        together = self.loss(spec, measure, self.held)
        if "offset_gate" not in self.on:
            return together
        return largest("gated", [together, self.apart(spec, measure, self.blocks)])

    @cached_property
    def groups(self) -> dict[str, Numbers]:
        """The products by offset group; all in one where the proposal has no groups."""
        table, found = self.p.optional("offset_groups"), dict[str, list[int]]()
        for n in sorted(self.held):
            product = self.formulas.scenarios.products[n]
            found.setdefault("" if table is None else group_of(product, table, self.p.as_of), []).append(n)
        return {name: frozenset(held) for name, held in found.items()}

    @cached_property
    def blocks(self) -> dict[str, Numbers]:
        """The products by block of the offset gate."""
        p, market = self.p, self.formulas.scenarios.market
        gate = offset_gate(market, p.offset_pairs, p.offset_history, p.gate_tests, stress_period=p.stress_period)
        found: dict[str, Numbers] = {}
        for group, held in self.groups.items():
            block = gate.block(group)
            found[block] = found.get(block, frozenset()) | held
        return found


def _names(siloed: Term) -> list[str]:
    return list(dict.fromkeys(part.name for part in siloed.parts))
