"""The common model of harmonized regimes, which nobody has put in force: one pool, one simulation, guardrails on top.

A proposal is a `.toml` and a module that names `TESTS`, `scenarios` and `requirement` of this one; its parameters say
which estimator, which horizon and which guardrails. What can be revalued is simulated together, Treasuries that cannot
take haircuts, and the rest is visibly not modelled. Customers never net: every pool is of one beneficial owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from crossmargin import guardrails
from crossmargin.columns import FloatArray
from crossmargin.eligibility import Test
from crossmargin.errors import InputError, Problem, suggestion
from crossmargin.guardrails import marked, measured, switched_on
from crossmargin.historical_var import Leg, Reducer
from crossmargin.methodology import Inputs, haircut_charge, security_exposures, tail_charge, unmodelled
from crossmargin.offset_gate import Gate, group_of, offset_gate, unknown_groups
from crossmargin.parameters import Read, Reader
from crossmargin.portfolio import Pool, Position
from crossmargin.programmes import dual_registration, product_list, unsettled
from crossmargin.results import Line, largest, total
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSpec
from crossmargin.size_charges import net_holdings, size_charges

NOT_IN_FORCE = "proposed: no such rule is in force"
LOSSES: Mapping[str, str] = MappingProxyType({"quantile": "historical_var", "tail_mean": "expected_shortfall"})
"""Estimator -> the name of the loss that it gives."""
TESTS: Mapping[str, Test] = MappingProxyType(
    {
        "product_list": product_list,
        "customer_scope": lambda case, p: case.customer is None or case.customer.kind in p.customer_scope,
        "unsettled": unsettled,
        "dual_registration": dual_registration,
    }
)
Without: TypeAlias = Mapping[str, float | None]


def scenarios(p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return the scenario sets of the common model: for each horizon the history and what guardrails look at."""
    on = switched_on(p)
    return tuple(dict.fromkeys(spec for days in _horizons(p) for spec in _specs(days, on, p).values()))


def tail_measure(p: Reader) -> TailMeasure:
    """Return the measure of the common model: value at risk (`quantile`) unless `estimator` says `tail_mean`.

    Raises
    ------
    InputError
        Another estimator, a confidence outside (0, 1).
    """
    estimator = p.optional("estimator") or "quantile"
    if estimator not in LOSSES:
        fix = suggestion(str(estimator), LOSSES)
        raise InputError([Problem(f"unknown estimator {estimator!r}.", "estimator", fix)])
    kind = p.quantile_type if estimator == "quantile" else None
    return TailMeasure(estimator, confidence=p.confidence, quantile_type=kind)


def requirement(pool: Pool, siloed: Line, inputs: Inputs, p: Reader) -> Line:
    """Return what a common pool asks: the common model, but not less than its guardrails leave, USD.

    Parameters
    ----------
    pool : Pool
        Positions of one owner at one firm.
    siloed : Line
        What the same positions ask under today's rule-sets, USD, one part for each silo.
    inputs : Inputs
        With the P&L of `scenarios(p)`.
    p : Reader
        The proposal's parameters. Guardrails are on as `guardrails.switched_on` says.

    Returns
    -------
    Line
        The largest of the model with its add-ons and of every floor. Each guardrail's line holds beside it what the
        requirement would be without it alone. The note says that it is proposed, and which law protects the account.

    Notes
    -----
    Where the rule has the table `horizons` (rows `kinds`, `days`), a pool is margined over the longest horizon of what
    it holds, else over `horizon_days`. Gate, cap on offsets and stress weight shape the simulated loss in this order,
    each the larger of the loss before and after.
    """
    on = switched_on(p)
    days = _longest(pool, p)
    specs, measure = _specs(days, on, p), tail_measure(p)
    common = _Common(pool, siloed, inputs, p, specs=specs, measure=measure, reads=p.taken())
    line = measured(on, lambda chosen, without: _asked(common, chosen, without))
    switches = p.optional("guardrails")
    law = pool.account_class.segregation_law or "no segregation law"
    note = f"{NOT_IN_FORCE}; held under {law}, insolvency: {pool.account_class.insolvency_regime}"
    return evolve(line, note=note, reads=p.taken() if switches is not None else ())


def _horizons(p: Reader) -> tuple[int, ...]:
    table = p.optional("horizons")
    return (p.horizon_days,) if table is None else tuple(sorted({row["days"] for row in table}))


def _longest(pool: Pool, p: Reader) -> int:
    """Return the horizon of a pool; what no row of the table is for takes the longest of all."""
    table = p.optional("horizons")
    if table is None:
        return int(p.horizon_days)
    longest = max(row["days"] for row in table)
    days = {kind: row["days"] for row in reversed(table) for kind in row["kinds"]}
    return int(max((days.get(product.kind, longest) for product in pool.products), default=longest))


def _specs(days: int, on: frozenset[str], p: Reader) -> dict[str, ScenarioSpec]:
    found = {"model": ScenarioSpec("historical", days, p.lookback_years, p.stress_period)}
    if on & {"stress_weight", "stress_floor"}:
        found["stress"] = ScenarioSpec("stress", days, p.lookback_years, p.stress_period)
    if "long_run_floor" in on:
        found["long_run"] = ScenarioSpec("historical", days, p.long_run_years)
    return found


# ------------------------------------------------------------------------------------------------ what is asked


def _asked(common: _Common, on: frozenset[str], without: Without) -> Line:
    """Return the requirement under some of the guardrails."""
    state = _State(common, on, common.loss("model", common.measure))
    for name in _of(_SHAPES, on):
        shaped = marked(name, _SHAPES[name](state), without)
        state = evolve(state, loss=largest(f"after {name}", [state.loss, shaped]))
    added = [marked(name, _ADDED[name](state), without) for name in _of(_ADDED, on)]
    floors = [marked(name, _FLOORS[name](state), without) for name in _of(_FLOORS, on)]
    known = [] if common.unknown else [state.loss, *common.haircuts, *added]
    model = total("model", [*known, *common.gaps])
    return largest(f"{common.pool.ruleset} requirement", [model, *floors])


def _of(table: Iterable[str], on: frozenset[str]) -> list[str]:
    return [name for name in table if name in on]


@frozen
class _Common:
    """One pool and the losses that its requirement is made of, each found once."""

    pool: Pool
    siloed: Line
    inputs: Inputs
    p: Reader
    specs: Mapping[str, ScenarioSpec] = field(kw_only=True)
    measure: TailMeasure = field(kw_only=True)
    reads: tuple[Read, ...] = field(kw_only=True)
    _made: dict[Any, Line] = field(factory=dict, init=False)

    @cached_property
    def held(self) -> list[Position]:
        """What every scenario set revalues."""
        known = (each for each in self.pool.positions if not self.inputs.lacks(each))
        return [each for each in known if all(self.inputs.revalued(each, spec) for spec in self.specs.values())]

    @cached_property
    def others(self) -> list[Position]:
        known = {position.id for position in self.held}
        return [position for position in self.pool.positions if position.id not in known]

    @cached_property
    def haircuts(self) -> list[Line]:
        """The haircut charge of Treasuries that cannot be revalued, where the proposal has haircuts."""
        table = self.p.optional("haircuts")
        exposures = security_exposures(self._with_face(table), self.inputs.as_of)
        reads, as_of = self.p.taken(), self.inputs.as_of
        if table is None:
            return []
        return [haircut_charge("haircut_charge", exposures, table, as_of=as_of, reads=reads)]

    @cached_property
    def gaps(self) -> list[Line]:
        charged = {position.id for position in self._with_face(self.p.optional("haircuts"))}
        self.p.taken()
        rest = [position for position in self.others if position.id not in charged]
        why = "the common model has no pricing for it yet"
        return [line for each in rest for line in unmodelled([each], self.inputs.lacks(each) or why)]

    @property
    def unknown(self) -> bool:
        """Whether the model can say nothing of any position."""
        return 0 < len(self.pool.positions) == len(self.gaps)

    def _with_face(self, table: Any) -> list[Position]:
        known = [] if table is None else self.others
        return [position for position in known if security_exposures([position], self.inputs.as_of)]

    @cached_property
    def groups(self) -> dict[str, list[Position]]:
        """The positions by offset group; all in one where the proposal has no groups."""
        table, found = self.p.optional("offset_groups"), dict[str, list[Position]]()
        self.p.taken()
        for position in self.held:
            name = "" if table is None else group_of(position.product, table, self.inputs.as_of)
            found.setdefault(name, []).append(position)
        return found

    @cached_property
    def gate(self) -> tuple[Gate, tuple[Read, ...]]:
        p = self.p
        groups, pairs, history, tests, stress = (
            p.offset_groups,
            p.offset_pairs,
            p.offset_history,
            p.gate_tests,
            p.stress_period,
        )
        reads = p.taken()
        unknown_groups(pairs, groups)
        key = "offset gate", reads[0].rule
        market = self.inputs.market
        found = self.inputs.once(key, lambda: offset_gate(market, pairs, history, tests, stress_period=stress))
        return found, reads

    @cached_property
    def blocks(self) -> dict[str, list[Position]]:
        """The positions by block of the offset gate."""
        found: dict[str, list[Position]] = {}
        for group, held in self.groups.items():
            found.setdefault(self.gate[0].block(group), []).extend(held)
        return found

    def pnl(self, spec: str, positions: Sequence[Position]) -> FloatArray:
        return self.inputs.pooled(positions, self.specs[spec])

    def loss(self, spec: str, measure: TailMeasure) -> Line:
        """Return what the whole pool loses on one scenario set, all of it offsetting."""
        name = LOSSES.get(measure.estimator, "worst loss") if spec == "model" else f"{spec} loss"
        return self.once((spec, measure), lambda: tail_charge(name, self.pnl(spec, self.held), measure, self.reads))

    def apart(self, spec: str, measure: TailMeasure, parts: Mapping[str, Sequence[Position]]) -> Line:
        """Return what parts of the pool lose, each on its own."""

        def added() -> Line:
            losses = (tail_charge(name, self.pnl(spec, held), measure, ()) for name, held in parts.items())
            return guardrails.margined_apart(losses)

        return self.once((spec, measure, tuple(parts)), added)

    @cached_property
    def charges(self) -> dict[str, Line]:
        """The charges by size of net positions that the proposal has tables for."""
        spec = self.specs["model"]
        leg, pnl = Leg("model", spec, Reducer(self.measure)), self.inputs.pnl.get(spec)
        found = size_charges(
            net_holdings(self.held),
            lambda held: leg.own_losses(pnl, held),
            self.p,
            portfolio_loss=self.loss("model", self.measure).value,
            as_of=self.inputs.as_of,
        )
        return {line.name: line for line in found}

    def once(self, key: Any, make: Callable[[], Line]) -> Line:
        """Return a line made once, however many sets of guardrails ask for it."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


# ----------------------------------------------------------------------------- the guardrails, as the pool sees them


@frozen
class _State:
    """A pool, the guardrails that are on, and its simulated loss as far as they have shaped it."""

    common: _Common
    on: frozenset[str]
    loss: Line

    def behind_gate(self, spec: str, measure: TailMeasure) -> Line:
        """Return what the pool loses on a scenario set, blocks of the gate not offsetting where it is on."""
        together = self.common.loss(spec, measure)
        if "offset_gate" not in self.on:
            return together
        return largest(f"{together.name}, gated", [together, self.common.apart(spec, measure, self.common.blocks)])


def _gate(state: _State) -> Line:
    gate, reads = state.common.gate
    apart = state.common.apart("model", state.common.measure, state.common.blocks)
    return evolve(apart, reads=reads, memo=[pair.line for pair in gate.pairs])


def _offset_cap(state: _State) -> Line:
    common = state.common
    alone, share = common.apart("model", common.measure, common.groups), common.p.offset_share
    return guardrails.offset_cap(state.loss, alone, share, reads=common.p.taken())


def _stress_weight(state: _State) -> Line:
    stressed, p = state.behind_gate("stress", state.common.measure), state.common.p
    return guardrails.stress_weight(state.loss, stressed, p.stress_weight, reads=p.taken())


def _long_run_floor(state: _State) -> Line:
    return total("long-run floor", [state.behind_gate("long_run", state.common.measure)])


def _buffer(state: _State) -> Line:
    p = state.common.p
    return guardrails.buffer(state.loss, p.buffer_fraction, p.buffer_used_fraction, reads=p.taken())


def _correlation_break(state: _State) -> Line:
    common, loss = state.common, state.loss

    def added() -> Line:
        table, pnl = common.p.correlation_break, common.pnl("model", common.held)
        return guardrails.correlation_break(pnl, loss, table, reads=common.p.taken())

    return common.once(("correlation break", loss.value), added)


def _liquidity(state: _State) -> Line:
    return state.common.charges["liquidity_charge"]


def _concentration(state: _State) -> Line:
    return state.common.charges["concentration_charge"]


def _reduction_cap(state: _State) -> Line:
    p = state.common.p
    return guardrails.reduction_cap(state.common.siloed, p.reduction_cap, reads=p.taken())


def _siloed_floor(state: _State) -> Line:
    p = state.common.p
    return guardrails.siloed_floor(state.common.siloed, p.floor_share, reads=p.taken())


def _stress_floor(state: _State) -> Line:
    worst, p = state.behind_gate("stress", TailMeasure("kth_worst", k=1)), state.common.p
    return guardrails.stress_floor(worst, p.stress_floor_share, reads=p.taken())


def _pot_minimum(state: _State) -> Line:
    siloed, p = state.common.siloed, state.common.p
    return guardrails.pot_minimum(siloed.parts or (siloed,), p.pot_minimum, reads=p.taken())


_Guardrails: TypeAlias = Mapping[str, Callable[[_State], Line]]
_SHAPES: _Guardrails = MappingProxyType(
    {
        "offset_gate": _gate,
        "offset_cap": _offset_cap,
        "stress_weight": _stress_weight,
        "long_run_floor": _long_run_floor,
    }
)
_ADDED: _Guardrails = MappingProxyType(
    {
        "buffer": _buffer,
        "correlation_break": _correlation_break,
        "liquidity_add_on": _liquidity,
        "concentration_add_on": _concentration,
    }
)
_FLOORS: _Guardrails = MappingProxyType(
    {
        "reduction_cap": _reduction_cap,
        "siloed_floor": _siloed_floor,
        "stress_floor": _stress_floor,
        "pot_minimum": _pot_minimum,
    }
)
