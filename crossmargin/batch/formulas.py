"""The rules as terms: what each asks of a pool of products, for any number of accounts at once.

`Formulas(...).requirement(pool)` follows the rule of a pool, `credits(pools)` a two-pot programme, `harmonized(...)` a
proposal. What a rule asks of nothing says which of its charges stand still and which nobody models; what has no formula
here is left out by name. The tests hold every formula to the spine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from attrs import evolve, field, frozen

from crossmargin import common_model, historical_var
from crossmargin.batch.guarded import guarded
from crossmargin.batch.terms import (
    Term,
    Weight,
    at_least,
    constant,
    diversified,
    gross,
    holds,
    impact,
    largest,
    left_out,
    not_modelled,
    own,
    product,
    reduction,
    root_sum_square,
    scaled,
    signed,
    smallest,
    tail,
    total,
    unless,
    where,
)
from crossmargin.eligibility import Decision
from crossmargin.historical_var import Combiner, Leg, combiner, legs
from crossmargin.market import Market
from crossmargin.methodology import Inputs, Table, row_of, security_exposures
from crossmargin.parameters import Reader, Rules
from crossmargin.pnl import can_revalue
from crossmargin.portfolio import Pool, Portfolio
from crossmargin.products import Product
from crossmargin.products.treasuries import TreasurySecurity
from crossmargin.regimes import Silo, decisions, elections
from crossmargin.registry import module
from crossmargin.results import Line
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, scenario_set
from crossmargin.size_charges import Holding, rate_floor, rows_for
from crossmargin.spot_scenarios import with_spot_moves
from crossmargin.underlyings import securities_held, ticker_held

Numbers = frozenset[int]
_UNPRICED = "positions without a model"
_PER_CENT = 100.0
_FICC_GSD, _CME_FICC = "ficc_gsd", "cme_ficc"


@frozen(eq=False)
class Scenarios:
    """The scenario sets of a plan, each drawn when first asked for, and the products that it can revalue."""

    products: tuple[Product, ...]
    market: Market
    sets: dict[ScenarioSpec, ScenarioSet] = field(factory=dict, init=False)
    _known: dict[ScenarioSpec, Numbers] = field(factory=dict, init=False)

    def known(self, spec: ScenarioSpec) -> Numbers:
        """Return the numbers of the products that a scenario set revalues."""
        if spec not in self._known:
            drawn = self._drawn(spec)
            can = (n for n, product in enumerate(self.products) if can_revalue(product, self.market, drawn))
            self.sets[spec], self._known[spec] = drawn, frozenset(can)
        return self._known[spec]

    def _drawn(self, spec: ScenarioSpec) -> ScenarioSet:
        drawn = scenario_set(spec, self.market.history, self.market.as_of)
        securities = securities_held(self.products, self.market.underlyings)
        if securities and self.market.price_history:
            drawn = with_spot_moves(drawn, self.market.price_history, securities, as_of=self.market.as_of)
        return drawn


def numbers(pool: Pool) -> Numbers:
    """Return the products of a pool by number: position n of a template is of product n."""
    return frozenset(int(position.id) for position in pool.positions)


@frozen(eq=False)
class Formulas:
    """The rules of a date for one template: an account with one position in every product."""

    template: Portfolio
    scenarios: Scenarios
    book: Mapping[str, Rules]
    _made: dict[Any, Term] = field(factory=dict, init=False)
    inputs: Inputs = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "inputs", Inputs(self.template, self.scenarios.market, {}))

    def reader(self, rule: str) -> Reader:
        """Return a rule's values on the market's date."""
        return self.book[rule].at(self.scenarios.market.as_of)

    def decided(self, programme: str) -> tuple[Decision, ...]:
        """Return whether a programme takes each position of the template."""
        made = partial(decisions, self.template, self.scenarios.market.as_of, self.book[programme])
        return self.inputs.once(("decided", programme), made)

    def elected(self, silo: Silo) -> tuple[Decision, ...]:
        """Return whether an elective rule-set takes each position of the template."""
        made = partial(elections, self.template, self.scenarios.market.as_of, silo, self.book[silo.ruleset])
        return self.inputs.once(("elected", silo), made)

    def requirement(self, pool: Pool) -> Term:
        """Return what a pool asks under its own rule-set or one-pot programme."""
        if pool.one_pot:
            models = self.reader(pool.programme).models
            return largest(f"{pool.programme} requirement", [self.answer(model, pool) for model in models])
        if pool.ruleset:
            return self.answer(pool.ruleset, pool)
        return not_modelled("positions that no rule-set margins", numbers(pool))

    def answer(self, ruleset: str, pool: Pool) -> Term:
        """Return one rule-set's answer for any pool."""
        key = ruleset, numbers(pool)
        if key not in self._made:
            self._made[key] = self._answer(ruleset, pool)
        return self._made[key]

    def _answer(self, ruleset: str, pool: Pool) -> Term:
        lacking, hanging = self.lacking(numbers(pool))
        held = numbers(pool) - lacking - hanging
        asked, p = module(ruleset).requirement, self.reader(ruleset)
        if ruleset == _FICC_GSD:
            term = self._ficc(pool, held, p)
        elif asked is historical_var.requirement:
            term = self._historical(pool, held, p)
        else:
            return left_out(f"all of {ruleset}, which has no formula in a batch", numbers(pool))
        gaps = [*_without_model(lacking), *_hanging(hanging)]
        return total(term.name, [term, *gaps]) if gaps else term

    def lacking(self, held: Numbers) -> tuple[Numbers, Numbers]:
        """Return what the market cannot value, and what hangs on a ticker of which it lacks something.

        A ticker is margined whole or not at all: whether an account's is depends on what else the account holds.
        """
        lacks = frozenset(n for n in held if self.inputs.lacks(self.template.positions[n]))
        hanging = frozenset(n for n in lacks if ticker_held(self.scenarios.products[n]))
        return lacks - hanging, hanging

    def _of_nothing(self, ruleset: str, pool: Pool) -> Line:
        """Return what a rule asks of no position: its charges, and what it knows of and does not model."""
        line: Line = module(ruleset).requirement(evolve(pool, positions=()), self.inputs, self.reader(ruleset))
        return line

    def _historical(self, pool: Pool, held: Numbers, p: Reader) -> Term:
        found, combined = legs(p), combiner(p)
        rule = found[0].reads[0].rule
        if any(leg.reducer.samples > 1 or leg.breaks for leg in found):
            return left_out(f"all of {rule}, whose sub-samples or correlation break need single accounts", held)
        known = held.intersection(*(self.scenarios.known(leg.spec) for leg in found))
        second = tail(found[1], known) if len(found) > 1 else None
        if combined.needs == "floor":
            second = self._rate_floor(known, p)
        base = _base("base_charge", combined, tail(found[0], known), second)
        beside = self._of_nothing(rule, pool).parts[1:]
        gaps = [not_modelled(_UNPRICED, held - known)] if held - known else []
        sized = self.size_charges(known, found[0], p)
        standing = _standing((line for line in beside if line.name not in sized), known)
        return total(f"{rule} requirement", [base, *sized.values(), *standing, *gaps])

    def size_charges(self, held: Numbers, leg: Leg, p: Reader) -> dict[str, Term]:
        """Return the charges by size of net positions that a rule has tables for; `leg` measures losses.

        A position larger than the table reaches costs nothing here, and is not modelled in the report either.
        """
        table, floor = p.optional("market_depth"), p.optional("alpha_floor")
        factors = {name: p.optional(name) for name in ("impact_factors", "concentration_factors")}
        if not table or not any(factors.values()):
            return {}
        rows = self._depth(held, table)
        unlisted = held - rows.keys()
        gaps = [not_modelled("no row of the table is for it", unlisted)] if unlisted else []
        sizes = [Weight(n, n, _PER_CENT / row["daily_volume"]) for n, row in rows.items()]
        impacts = {
            name: impact("market impact", leg, sizes, map(_step, steps)) for name, steps in factors.items() if steps
        }
        found = {}
        if "impact_factors" in impacts:
            spread = gross("bid-ask", [Weight(n, n, row["half_spread"]) for n, row in rows.items()])
            cost = [spread, impacts["impact_factors"], *gaps]
            found["liquidity_charge"] = total("liquidity_charge", cost)
            if floor is not None:
                alpha = diversified("alpha", tail(leg, held), own("losses alone", leg, held), least=floor)
                found["liquidity_charge"] = product("liquidity_charge", [alpha, total("close-out cost", cost)])
        if "concentration_factors" in impacts:
            found["concentration_charge"] = total("concentration_charge", [impacts["concentration_factors"], *gaps])
        return found

    def _depth(self, held: Iterable[int], table: Table) -> dict[int, Mapping[str, Any]]:
        """Return the row of each product that a table is for."""
        some = sorted(held)
        products = [self.scenarios.products[n] for n in some]
        rows = rows_for([Holding(each, each.symbol, 1.0) for each in products], table, self.scenarios.market.as_of)
        return {n: row for n, row in zip(some, rows, strict=True) if row is not None}

    def _rate_floor(self, held: Numbers, p: Reader) -> Term:
        products = self.scenarios.products
        lines = {n: rate_floor([Holding(products[n], products[n].symbol, 1.0)], p.as_of, p) for n in held}
        rates = [Weight(n, n, line.value) for n, line in lines.items() if not line.partial]
        unlisted = [n for n, line in lines.items() if line.partial]
        return total("floor", [gross("rates", rates), not_modelled("no rate in the table", unlisted)])

    # --------------------------------------------------------------------------------------------- FICC's own rule

    def _ficc(self, pool: Pool, held: Numbers, p: Reader) -> Term:
        blank = self._of_nothing(_FICC_GSD, pool)
        if any(line.name == "margin_proxy" for line in blank.walk()):
            return left_out(f"all of {_FICC_GSD}, whose margin proxy is told", held)
        charge = self._var_charge(held, p)
        charges = blank.part("other charges").parts
        holiday = next(line for line in charges if line.name == "holiday_charge")
        others = _standing((line for line in charges if line is not holiday), held)
        return total("ficc_gsd requirement", [charge, scaled(holiday.name, holiday.factor, charge), *others])

    def _var_charge(self, held: Numbers, p: Reader) -> Term:
        (leg,), simulates = legs(p), module(_FICC_GSD).simulates
        simulated = frozenset(n for n in held if simulates(self.scenarios.products[n], p.as_of, p))
        priced = simulated & self.scenarios.known(leg.spec)
        others = held - simulated
        faceless = frozenset(n for n in others if not self._exposure(n))
        loss = _base("simulated_var", combiner(p), tail(leg, priced), None)
        model = [loss, self.haircuts(others - faceless, p.haircuts), *_without_model((simulated - priced) | faceless)]
        floor = scaled("percentage_floor", p.floor_share, self._gross_haircuts(held, p.index_haircuts))
        unknown = [not_modelled("minimum_margin_amount", held)] if p.minimum_margin_amount else []
        return largest("var_charge", [total("model", model), largest("var_floor", [floor, *unknown])])

    def haircuts(self, held: Iterable[int], table: Table) -> Term:
        """Return the haircut charge of securities: signed amounts by bucket, combined as uncorrelated."""
        buckets: dict[str, list[Weight]] = {}
        unlisted = []
        for weight, row in self._weights(held, table):
            if row is None:
                unlisted.append(weight.product)
            else:
                buckets.setdefault(row["bucket"], []).append(weight)
        parts = [signed(bucket, weights) for bucket, weights in buckets.items()]
        gaps = [not_modelled("no haircut in the table for this maturity", unlisted)] if unlisted else []
        return root_sum_square("haircut_charge", [*parts, *gaps])

    def _gross_haircuts(self, held: Iterable[int], table: Table) -> Term:
        listed: list[Weight] = []
        unlisted: list[Weight] = []
        for weight, row in self._weights(held, table):
            (unlisted if row is None else listed).append(weight)
        gaps = [not_modelled("no index haircut in the table", [each.product for each in unlisted])] if unlisted else []
        return total("index haircut on gross positions", [gross("gross haircuts", listed), *gaps])

    def _weights(self, held: Iterable[int], table: Table) -> list[tuple[Weight, Mapping[str, Any] | None]]:
        """Return what one unit of each product counts for under a table of haircuts, netted by security."""
        groups: dict[TreasurySecurity, int] = {}
        found = []
        for n in sorted(held):
            for security, face in self._exposure(n).items():
                row = row_of(security, table, self.scenarios.market.as_of)
                amount = face * row["haircut"] if row else 0.0
                found.append((Weight(n, groups.setdefault(security, len(groups)), amount), row))
        return found

    def _exposure(self, number: int) -> dict[TreasurySecurity, float]:
        """Return the face that one unit of a product moves, by security."""
        return security_exposures([evolve(self.template.positions[number], quantity=1.0)], self.scenarios.market.as_of)

    # --------------------------------------------------------------------------------------- programmes and proposals

    def credits(self, programme: str, pools: Mapping[str, Pool]) -> dict[str, Term]:
        """Return the credit of one margin unit at each pot, never positive; nothing where a leg is missing.

        A two-pot programme without a formula is left out.
        """
        rule, p = module(programme), self.reader(programme)
        by_last = programme == _CME_FICC and p.missing_side_policy == rule.USE_LAST_FACTOR
        if programme != _CME_FICC or (by_last and p.late_sides):
            return {pot: left_out(f"credit of {programme}", numbers(pool)) for pot, pool in pools.items()}
        if set(pools) != {rule.FICC, rule.CME} or p.late_sides:
            return {}
        both = evolve(pools[rule.FICC], positions=(*pools[rule.FICC].positions, *pools[rule.CME].positions))
        answers = {pot: [self.answer(mine.ruleset, on) for on in (*_legs(pools, rule), both)]
                   for pot, mine in pools.items()}  # fmt: skip
        unit = [term for answered in answers.values() for answer in answered for term in answer.walk()]
        if any(term.how == "left_out" and term.name.startswith("all of") for term in unit):
            return {pot: left_out(f"credit of {programme}", numbers(both)) for pot in pools}
        asked = {pot: [answer.part(p.scaled_components[pot]) for answer in answered]
                 for pot, answered in answers.items()}  # fmt: skip
        shares = [_share(pot, *amounts) for pot, amounts in asked.items()]
        capped = smallest("margin reduction factor", [*shares, constant("reduction cap", p.reduction_cap)])
        granted = at_least("margin reduction factor", p.reduction_minimum - rule.EQUAL_WITHIN, capped)
        late = holds("positions that a model leaves out", _products(unit, _UNPRICED))
        legs_own = {rule.FICC: asked[rule.FICC][0], rule.CME: asked[rule.CME][1]}
        name, gaps = f"{programme} credit", [left_out("credit by the last factor", late.products)] if by_last else []
        return {pot: total(name, [unless(late, product(name, [granted, leg], factor=-1.0)), *gaps])
                for pot, leg in legs_own.items()}  # fmt: skip

    def harmonized(self, pool: Pool, siloed: Term) -> Term:
        """Return what a common pool asks under a proposal of the common model, whose guardrails look at `siloed`."""
        held, p = numbers(pool), self.reader(pool.ruleset)
        if module(pool.ruleset).requirement is not common_model.requirement:
            return left_out(f"all of {pool.ruleset}, which has no formula in a batch", held)
        table = p.optional("horizons")
        if table is None:
            return guarded(self, pool, siloed, int(p.horizon_days))
        days = {kind: row["days"] for row in reversed(table) for kind in row["kinds"]}
        longest = max(row["days"] for row in table)
        mine = {n: days.get(self.scenarios.products[n].kind, longest) for n in held}
        found: Term | None = None
        for horizon in sorted(set(mine.values())):
            some = frozenset(n for n in held if mine[n] <= horizon)
            shorter = evolve(pool, positions=[each for each in pool.positions if int(each.id) in some])
            term = guarded(self, shorter, siloed, horizon)
            flag = holds(f"a horizon of {horizon} d", [n for n in held if mine[n] == horizon])
            found = term if found is None else where(flag, term, found)
        return found or not_modelled("nothing", ())

    def unpriced(self, held: Numbers) -> list[Term]:
        """Return products without a model as gaps: those that hang on a ticker may have one in the report."""
        _, hanging = self.lacking(held)
        return [*_without_model(held - hanging), *_hanging(hanging)]

    def priced(self, held: Numbers, specs: Iterable[ScenarioSpec]) -> Numbers:
        """Return what every scenario set revalues, and whose market lacks nothing."""
        known = held.intersection(*(self.scenarios.known(spec) for spec in specs))
        return known.difference(*self.lacking(held))

    def with_face(self, held: Iterable[int]) -> Numbers:
        """Return those that move the face of a Treasury."""
        return frozenset(n for n in held if self._exposure(n))


def _legs(pools: Mapping[str, Pool], rule: Any) -> tuple[Pool, Pool]:
    return pools[rule.FICC], pools[rule.CME]


def _step(row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    return row["from_pct"], row["to_pct"], row["factor_from"], row["factor_to"]


def _share(pot: str, treasuries: Term, futures: Term, both: Term) -> Term:
    return reduction(f"{pot} reduction factor", both, total("stand-alone sum", [treasuries, futures]))


def _products(terms: Iterable[Term], name: str) -> Numbers:
    return frozenset().union(*(term.products for term in terms if term.name == name))


def _without_model(held: Numbers) -> list[Term]:
    return [not_modelled(_UNPRICED, held)] if held else []


def _hanging(held: Numbers) -> list[Term]:
    return [left_out("tickers of which something has no price", held)] if held else []


def _standing(charges: Iterable[Line], held: Iterable[int]) -> list[Term]:
    """Return the charges of a rule that have no formula: nobody's where the rule itself does not model them."""
    held = frozenset(held)
    return [(not_modelled if line.how == "not_modelled" else left_out)(line.name, held) for line in charges]


def _base(name: str, combined: Combiner, first: Term, second: Term | None) -> Term:
    """Return the base charge as `Combiner.line` makes it."""
    if second is None:
        return scaled(name, combined.weight, first)
    if combined.kind == "weighted":
        shares = scaled("historical share", combined.weight, first)
        return total(name, [shares, scaled("stressed share", 1.0 - combined.weight, second)])
    if combined.kind == "larger":
        second = scaled("weighted stress", combined.weight, second)
    return largest(name, [first, second])
