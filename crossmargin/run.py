"""What a comparison is margined from, and what pools ask of it: requirements, credits, what firms pass on.

`Run.report(regime)` draws the pools of a regime and margins them; `owed(pools, regime, run)` margins any pools, for who
studies regimes between two. A run is made by `margin.prepare`. Nothing here reprices.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from functools import cached_property, partial
from math import fsum

from attrs import evolve, field, frozen

from crossmargin.eligibility import Decision, case_of
from crossmargin.errors import listed
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Reader, Rules
from crossmargin.portfolio import Pool, Position
from crossmargin.posted import CARRYING_FIRM
from crossmargin.regimes import Regime, admitted_by, common_pools, decisions, enrolment, pools
from crossmargin.registry import module
from crossmargin.results import Credit, Line, Report, Requirement, not_modelled, scaled, total

_PASSED_ON = "customer_share"
_HOUSE_TERMS = "house_overlay"


@frozen(eq=False)
class Run:
    """What every regime of one comparison is margined from; no rule-set is asked twice about the same positions.

    `enrolled` is the same under all regimes. `floored` names, for each position, the rules whose floors and add-ons
    count for it: None for all of them.
    """

    inputs: Inputs
    book: Mapping[str, Rules]
    decided: Mapping[str, tuple[Decision, ...]]
    floored: Mapping[str, frozenset[str]] | None = None
    _made: dict[tuple[object, ...], Line] = field(factory=dict, repr=False)

    @cached_property
    def enrolled(self) -> dict[str, str]:
        """The programme of each enrolled position."""
        return enrolment(self.inputs.portfolio, (each for taken in self.decided.values() for each in taken))

    @cached_property
    def admitted(self) -> dict[str, frozenset[str]]:
        """The positions that each programme and each elective rule-set admits."""
        return {id: admitted_by(taken) for id, taken in self.decided.items()}

    def under(self, changed: Mapping[str, Rules]) -> Run:
        """Return the run with other conditions of some programmes, which then decide anew; their values stay."""
        portfolio, as_of = self.inputs.portfolio, self.inputs.as_of
        decided = {id: decisions(portfolio, as_of, rule) for id, rule in changed.items()}
        return evolve(self, book={**self.book, **changed}, decided={**self.decided, **decided})

    def reader(self, rule: str, pool: Pool | None = None) -> Reader:
        """Return the values of a rule on the date; for a pool, without floors and add-ons that do not count for it."""
        counts = pool is None or self._counts(rule, pool)
        return (self.book[rule] if counts else self.book[rule].plain).at(self.inputs.as_of)

    def pools(self, regime: Regime) -> tuple[Pool, ...]:
        """Return the pools of a regime: those of silos and one-pot programmes, then the common ones of a proposal."""
        portfolio, proposal = self.inputs.portfolio, regime.proposal
        netting = self.reader(proposal).optional("customer_netting") if proposal else None
        common = common_pools(portfolio, regime, self.decided, netting=netting or "gross")
        inside = {position.id for pool in common for position in pool.positions}
        rest = [position for position in portfolio.positions if position.id not in inside]
        return (*self.silos(rest, regime), *common)

    def silos(self, positions: Iterable[Position], regime: Regime) -> tuple[Pool, ...]:
        """Return the pools of positions without any proposal."""
        cases = (case_of(self.inputs.portfolio, position, self.inputs.as_of) for position in positions)
        joined = frozenset(self.enrolled.values())
        pots = {id: self.reader(id).pot for id in one_pots(regime, joined, self.book)}
        return pools(cases, regime.silos, self.enrolled, self.admitted, one_pots=pots)

    def answer(self, ruleset: str, pool: Pool) -> Line:
        """One rule-set's answer for any pool, whichever pot its positions lie in, and what the market lacks for it."""
        return self._once(ruleset, pool, lambda: self._answered(ruleset, pool))

    def requirement(self, pool: Pool, regime: Regime) -> Line:
        """Return what a pool asks under its rule-set, programme or proposal; visibly nothing when it has none."""
        if pool.ruleset and pool.ruleset == regime.proposal:
            return self._harmonized(pool, regime)
        if pool.one_pot:
            line: Line = module(pool.programme).requirement(pool, self.answer, self.reader(pool.programme, pool))
            return line
        if pool.ruleset:
            return self.answer(pool.ruleset, pool)
        gaps = (unmodelled([position], self._unmargined(position, regime)) for position in pool.positions)
        return total("requirement at the carrying firm", [line for lines in gaps for line in lines])

    def report(self, regime: Regime) -> Report:
        """Return the margin of the book under one regime."""
        asked, credits = owed((("", pool) for pool in self.pools(regime)), regime, self)
        return Report(
            regime.name,
            regime.title,
            _status(regime, self.book),
            self.inputs.as_of,
            requirements=asked,
            credits=credits,
            decisions=tuple(decision for rule in regime.decided_by for decision in self.decided[rule]),
            notes=self.inputs.notes,
            owners=self.inputs.portfolio.names(each.owner for each in asked),
        )

    def _unmargined(self, position: Position, regime: Regime) -> str:
        """Return why no rule-set takes a position."""
        case, kind = case_of(self.inputs.portfolio, position, self.inputs.as_of), position.product.kind
        if case.settled:
            return "the trade has settled and left its clearing house; no rule-set takes it at the carrying firm yet"
        classes = sorted({each for silo in regime.silos if kind in silo.kinds for each in silo.account_classes})
        where = f" in class {case.account.account_class}, only in {listed(classes)}" if classes else ""
        return f"no rule-set yet for {kind}{where}"

    def _answered(self, ruleset: str, pool: Pool) -> Line:
        lacking = {position: self.inputs.lacks(position) for position in pool.positions}
        known = evolve(pool, positions=[position for position, lack in lacking.items() if not lack])
        line: Line = module(ruleset).requirement(known, self.inputs, self.reader(ruleset, pool))
        gaps = [part for position, lack in lacking.items() if lack for part in unmodelled([position], lack)]
        return total(line.name, [*([line] if known.positions else []), *gaps]) if gaps else line

    def _harmonized(self, pool: Pool, regime: Regime) -> Line:
        """Margin a common pool under the proposal, whose guardrails look at what the same positions ask siloed."""
        alone, whole = evolve(regime, arrangements=(), proposal=""), evolve(self, floored=None)
        today = [each for each in self.silos(pool.positions, alone) if each.pot != CARRYING_FIRM or not each.ruleset]
        silos = [whole.requirement(each, alone) for each in today]

        def line() -> Line:
            siloed, p = total("siloed requirement", silos), self.reader(pool.ruleset, pool)
            p.optional("customer_netting")
            drawn_by = p.taken()
            found: Line = module(pool.ruleset).requirement(pool, siloed, self.inputs, p)
            return evolve(found, reads=(*found.reads, *drawn_by))

        return self._once(pool.ruleset, pool, line, *((each.id, each.ruleset, _ids(each)) for each in today))

    def _counts(self, rule: str, pool: Pool) -> bool:
        return self.floored is None or any(rule in self.floored[position.id] for position in pool.positions)

    def _once(self, rule: str, pool: Pool, make: Callable[[], Line], *more: object) -> Line:
        key = (rule, self._counts(rule, pool), pool.owner, pool.firm, pool.account_class, _ids(pool), *more)
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


@frozen
class _Margined:
    """A pool with its requirement and what is credited against it."""

    pool: Pool
    line: Line
    label: str
    credits: tuple[Credit, ...] = ()

    @property
    def level(self) -> str:
        """What lies with the carrying firm is owed by the customer, the rest to a clearing house."""
        customer = self.pool.account_class.origin == "customer"
        return "customer" if customer and self.pool.pot == CARRYING_FIRM else "clearing"

    @property
    def net(self) -> float:
        """Requirement less credit, USD."""
        return fsum([self.line.value, *(credit.line.value for credit in self.credits)])

    @property
    def requirement(self) -> Requirement:
        pool, where = self.pool, {"firm": self.pool.firm, "account_class": self.pool.account_class.value}
        return Requirement(pool.id, pool.owner, pool.pot, self.level, pool.ruleset, _ids(pool), self.line, **where)


def owed(
    pools: Iterable[tuple[str, Pool]], regime: Regime, run: Run
) -> tuple[tuple[Requirement, ...], tuple[Credit, ...]]:
    """Return what pools ask at every level, and what is credited against it.

    Each pool bears a label: only pools of one label are units of a two-pot programme together.
    """
    margined = _credited([_Margined(pool, run.requirement(pool, regime), label) for label, pool in pools], regime, run)
    asked = (*(each.requirement for each in margined), *_passed_on(margined, run))
    on_top = module(_HOUSE_TERMS).on_top(asked, run.reader(_HOUSE_TERMS), portfolio=run.inputs.portfolio)
    return (*asked, *on_top), tuple(credit for each in margined for credit in each.credits)


def _status(regime: Regime, book: Mapping[str, Rules]) -> str:
    """Return `in_force`, or the status of the first programme that is not."""
    statuses = (book[programme].status for programme in regime.programmes)
    return next((status for status in statuses if status != "in_force"), "in_force")


def _credited(margined: list[_Margined], regime: Regime, run: Run) -> list[_Margined]:
    """Give each pool of a two-pot programme its credit: one unit per owner, firm and account class.

    The model of a pot is the rule-set of the unit's own pool there.
    """
    units: dict[tuple[str, ...], dict[str, Pool]] = {}
    for each in (each for each in margined if each.pool.programme in regime.arrangements and not each.pool.one_pot):
        key = (each.pool.programme, each.pool.owner, each.pool.firm, each.pool.account_class, each.label)
        units.setdefault(key, {})[each.pool.pot] = each.pool
    found: dict[Pool, tuple[Credit, ...]] = {}
    for (programme, *_), unit in units.items():
        models = {pot: partial(run.answer, pool.ruleset) for pot, pool in unit.items()}
        p = run.reader(programme, next(iter(unit.values())))
        lines: dict[str, Line] = module(programme).credits(unit, models, p)
        found |= {unit[pot]: (_credit(unit[pot], line),) for pot, line in lines.items()}
    return [evolve(each, credits=found.get(each.pool, ())) for each in margined]


def _ids(pool: Pool) -> tuple[str, ...]:
    return tuple(position.id for position in pool.positions)


def _credit(pool: Pool, line: Line) -> Credit:
    where = {"firm": pool.firm, "account_class": pool.account_class.value}
    return Credit(pool.programme, pool.id, pool.owner, pool.pot, line, **where)


def _passed_on(margined: list[_Margined], run: Run) -> list[Requirement]:
    """Return what customers owe their firm: at least the stated share of what the clearing houses ask for them.

    The programme states the share, or else the rule-set. Where neither does, the customer's own rule-set asks instead;
    and where there is none either, what is owed is visibly not modelled.
    """
    asked = [each for each in margined if each.level == "clearing" and each.pool.account_class.origin == "customer"]
    own = {position.id for each in margined if each.level == "customer" for position in each.pool.positions}
    return [
        _customer_requirement(each, run)
        for each in asked
        if _sharing(each.pool, run) or own.isdisjoint(position.id for position in each.pool.positions)
    ]


def _sharing(pool: Pool, run: Run) -> str:
    """Return the programme or rule-set that states which share a customer owes of what is asked for a pool."""
    stating = (id for id in (pool.programme, pool.ruleset) if id and _PASSED_ON in run.book[id].parameters)
    return next(stating, "")


def _customer_requirement(each: _Margined, run: Run) -> Requirement:
    rule = _sharing(each.pool, run)
    if not rule:
        gap = unmodelled(each.pool.positions, "no share is published that the firm must collect")
        line = total("customer initial margin", gap)
        return evolve(each.requirement, level="customer", pot=each.pool.firm, line=line)
    p = run.reader(rule)
    net = Line("clearing requirement less credit", each.net, reads=each.line.all_reads())
    gaps = [not_modelled("the rest", "the clearing requirement leaves something out")] if each.line.partial else []
    asked = total("clearing requirement", [*([] if each.line.amount is None else [net]), *gaps])
    line = scaled("customer initial margin", p.customer_share, asked, reads=p.taken())
    return evolve(each.requirement, level="customer", pot=each.pool.firm, line=line)


def one_pots(regime: Regime, joined: Container[str], book: Mapping[str, Rules]) -> tuple[str, ...]:
    """Return the one-pot programmes of a regime among those joined."""
    return tuple(id for id in regime.arrangements if id in joined and book[id].structure == "one_pot")
