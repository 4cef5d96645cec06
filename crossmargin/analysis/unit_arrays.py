"""One margin unit of a two-pot programme put on arrays, from the real rule-sets of its pots.

Call `two_pot_book(unit, movable)`. It stands for rule-sets of the historical value-at-risk family, with their floor on
net faces, haircuts of what cannot move, and add-ons that grow with the charge; it raises `NoArrays` for all others. It
does not prove that it says what they say: its caller compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from attrs import evolve, frozen

from crossmargin.accounts import Account
from crossmargin.analysis.two_pot_book import IntArray, Model, Tail, TwoPotBook
from crossmargin.columns import FloatArray
from crossmargin.errors import CrossMarginError, InputError, RuleError
from crossmargin.historical_var import Combiner, Leg, combiner, legs
from crossmargin.margin import margin
from crossmargin.market import Market
from crossmargin.methodology import Inputs, security_exposures
from crossmargin.parameters import Reader, Rules
from crossmargin.pnl import can_revalue, revalue
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.products.treasuries import TreasurySecurity
from crossmargin.regimes import Regime
from crossmargin.registry import module
from crossmargin.results import Line, Report
from crossmargin.scenarios import scenario_set

_PROBE = 1e6  # face on which the floor of a security is asked
_FLOOR, _HAIRCUTS, _SIMULATED = "percentage_floor", "haircut_charge", "historical_var"


class NoArrays(CrossMarginError):
    """A rule-set, or a position under it, that arrays cannot stand for; the message says which."""


@frozen(eq=False)
class Unit:
    """The accounts of one owner at one firm; `splits` gives movable positions their account outside and their lots."""

    portfolio: Portfolio
    market: Market
    inside: Account
    regime: Regime
    book: Mapping[str, Rules]
    splits: Mapping[str, tuple[str, int]]

    def with_all(self, *, inside: bool) -> Portfolio:
        """Return the portfolio with all that is movable inside the programme, or outside."""
        moved = [
            evolve(position, account=self.inside.id if inside else self.splits[position.id][0])
            if position.id in self.splits
            else position
            for position in self.portfolio.positions
        ]
        return evolve(self.portfolio, positions=moved)


@frozen(eq=False)
class _Item:
    """A position in lots, and the pools inside the programme and outside that it may lie in, "" if never."""

    position: Position
    lots: int
    pot: str
    inside: str
    outside: str

    @property
    def lot(self) -> Position:
        return evolve(self.position, quantity=self.position.quantity / self.lots)


def two_pot_book(unit: Unit, movable: Sequence[str]) -> tuple[TwoPotBook, IntArray]:
    """Return the unit on arrays, and the numbers of the items that the `movable` positions are.

    Raises
    ------
    NoArrays
        A rule-set of another kind, or a unit without both legs.
    """
    p = unit.book[unit.inside.arrangement].at(unit.market.as_of)
    components = dict(p.scaled_components)
    reports = [
        margin(unit.with_all(inside=side), unit.market, unit.regime, rules=unit.book.values()) for side in (True, False)
    ]
    items, rulesets = _items(unit, *reports)
    if set(rulesets) != set(components):
        raise NoArrays("one leg is missing")
    pots, homes = tuple(components), sorted({item.outside for item in items if item.outside})
    answers = {pot: _answers(unit, rulesets[pot], [item.position for item in items]) for pot in pots}
    lots = np.array([item.lots for item in items])
    free = np.array([item.position.id in unit.splits for item in items])
    within = np.array([bool(item.inside) for item in items])
    book = TwoPotBook(
        models=tuple(answers[pot].model(items) for pot in pots),
        side=[pots.index(item.pot) for item in items],
        home=[homes.index(item.outside) if item.outside else len(homes) + pots.index(item.pot) for item in items],
        lots=lots,
        least=np.where(within & ~free, lots, 0),
        most=np.where(within, lots, 0),
        cap=p.reduction_cap,
        minimum=p.reduction_minimum,
        scales=[answers[pot].scale([item for item in items if item.pot == pot], components[pot]) for pot in pots],
        constants=[_haircuts_of(answers, [item for item in items if item.outside == home]) for home in homes],
    )
    numbers = {item.position.id: number for number, item in enumerate(items)}
    return book, np.array([numbers[id] for id in movable])


def _haircuts_of(answers: Mapping[str, _Answers], pool: list[_Item]) -> float:
    """Return what a pool asks for by haircut, beside its simulation, USD."""
    return answers[pool[0].pot].haircuts([item.position for item in pool])


def _items(unit: Unit, inside: Report, outside: Report) -> tuple[list[_Item], dict[str, str]]:
    """Return every position of the pools that movable ones may lie in, and the rule-set of each pot inside."""
    where = [
        {id: need for need in report.requirements if need.level == "clearing" for id in need.positions}
        for report in (inside, outside)
    ]
    credited = {credit.pool for credit in inside.credits if credit.arrangement == unit.inside.arrangement}
    touched = {need.pool for needs in where for id, need in needs.items() if id in unit.splits}
    positions = {position.id: position for position in unit.portfolio.positions}
    pools = {where[0][id].pool for id in unit.splits if id in where[0]} & credited
    # the leg that cannot move stands in the same unit, and in no pool that anything movable visits
    asked = [need for need in inside.requirements if need.level == "clearing"]
    mine = {(n.owner, n.firm, n.account_class) for n in asked if n.pool in pools}
    joint = {n.pool: n for n in asked if n.pool in credited and (n.owner, n.firm, n.account_class) in mine}
    items = []
    for id, position in positions.items():
        needs = [needs.get(id) for needs in where]
        if needs[0] is None or needs[1] is None or not {n.pool for n in needs if n} & (touched | set(joint)):
            continue
        within = needs[0].pool if needs[0].pool in joint else ""
        beyond = needs[1].pool if needs[1].pool not in joint else ""
        if within and beyond and needs[0].ruleset != needs[1].ruleset:
            raise NoArrays(f"{id} has another rule-set outside")
        lots = unit.splits[id][1] if id in unit.splits else 1
        items.append(_Item(position, lots, needs[0].pot, within, beyond))
    return items, {need.pot: need.ruleset for need in joint.values()}


@frozen(eq=False)
class _Answers:
    """One rule-set's answers for pools of a unit, over one P&L matrix."""

    unit: Unit
    ruleset: str
    inputs: Inputs
    legs: tuple[Leg, ...]
    shares: tuple[float, ...]

    def answer(self, positions: Sequence[Position]) -> Line:
        account = self.unit.inside
        pool = Pool(account.beneficiary, account.firm, account.account_class, "", self.ruleset, positions=positions)
        line: Line = module(self.ruleset).requirement(pool, self.inputs, _reader(self.unit, self.ruleset))
        return line

    def model(self, items: Sequence[_Item]) -> Model:
        rows = np.stack([self._row(item) for item in items])
        faces, rates = self._floors([item.lot for item in items])
        return Model(rows, self._tails(), faces, rates)

    def scale(self, items: Sequence[_Item], component: str) -> float:
        """Return requirement over component, of the first position that is asked anything for."""
        for line in (self.answer([item.position]) for item in items if item.inside):
            if line.part(component).value > 0.0:
                return max(1.0, line.value / line.part(component).value)
        return 1.0

    def haircuts(self, positions: Sequence[Position]) -> float:
        """Return what positions are asked for by haircut, beside the simulation, USD."""
        found = _value(self.answer(positions), _HAIRCUTS)
        return 0.0 if found is None else found

    def _row(self, item: _Item) -> FloatArray:
        """Return the P&L of a lot under all legs' scenarios; 0 for what the rule-set does not simulate."""
        known = all(item.position.product in self.inputs.pnl[leg.spec] for leg in self.legs)
        columns = [self.inputs.pnl[leg.spec].values.shape[1] for leg in self.legs]
        nothing = np.zeros(sum(columns))
        if not known:
            return nothing
        rows = [self.inputs.pnl[leg.spec].row(item.position.product) for leg in self.legs]
        simulated = _value(self.answer([item.position]), _SIMULATED)
        return item.lot.quantity * np.concatenate(rows) if simulated else nothing

    def _tails(self) -> tuple[Tail, ...]:
        found, first = list[Tail](), 0
        for leg, share in zip(self.legs, self.shares, strict=True):
            last = first + self.inputs.pnl[leg.spec].values.shape[1]
            found += _tails_of(leg, share, first, last)
            first = last
        return tuple(found)

    def _floors(self, lots: Sequence[Position]) -> tuple[FloatArray, FloatArray]:
        """Return the face of each security in each lot, and the floor that the rule-set asks on a net face."""
        as_of = self.unit.market.as_of
        exposures = [security_exposures([lot], as_of) for lot in lots]
        securities = tuple(dict.fromkeys(security for each in exposures for security in each))
        rates = [self._rate(security) for security in securities]
        if None in rates:
            return np.zeros((len(lots), 0)), np.zeros(0)
        faces = [[each.get(security, 0.0) for security in securities] for each in exposures]
        return np.array(faces).reshape(len(lots), -1), np.array(rates, dtype=np.float64)

    def _rate(self, security: TreasurySecurity) -> float | None:
        probe = Position("probe", self.unit.inside.id, security, _PROBE)
        asked = _value(self.answer([probe]), _FLOOR)
        return None if asked is None else asked / _PROBE


def _answers(unit: Unit, ruleset: str, positions: Sequence[Position]) -> _Answers:
    """Return a rule-set ready to answer; refuse one of another family."""
    market, p = unit.market, _reader(unit, ruleset)
    pnl = {}
    try:
        found, shares = legs(p), _shares(combiner(p))
    except RuleError as error:
        raise NoArrays(f"{ruleset} is of another kind") from error
    if any(leg.breaks is not None for leg in found):
        raise NoArrays(f"{ruleset} adjusts for breaks of correlation")
    for spec in module(ruleset).scenarios(p):
        drawn = scenario_set(spec, market.history, market.as_of)
        products = dict.fromkeys(each.product for each in positions if can_revalue(each.product, market, drawn))
        pnl[spec] = revalue(tuple(products), market, drawn)
    return _Answers(unit, ruleset, Inputs(unit.portfolio, market, pnl), found, shares)


def _reader(unit: Unit, ruleset: str) -> Reader:
    return unit.book[ruleset].at(unit.market.as_of)


def _tails_of(leg: Leg, share: float, first: int, last: int) -> list[Tail]:
    reducer = leg.reducer
    weight, samples = share * reducer.factor / reducer.samples, reducer.samples
    return [Tail(weight, reducer.measure, first + phase, last, samples) for phase in range(samples)]


def _shares(how: Combiner) -> tuple[float, ...]:
    """Return the weight of each leg in the charge."""
    known = {"historical": (how.weight,), "buffered": (how.weight,), "weighted": (how.weight, 1.0 - how.weight)}
    if how.kind not in known:
        raise NoArrays(f"combiner {how.kind!r}")
    return known[how.kind]


def _value(line: Line, name: str) -> float | None:
    try:
        return line.part(name).value
    except InputError:
        return None
