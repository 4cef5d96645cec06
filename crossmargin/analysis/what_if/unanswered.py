"""What a report has no amount for either, of what has no formula here.

Call `unanswered(found, held)`: it asks the rules themselves about one unit of each product alone, so that a trade that
nobody models is told from one that only a report can answer. Nothing here finds a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from attrs import evolve

from crossmargin.analysis.what_if.delta import Total
from crossmargin.analysis.what_if.drawing import HOUSE_TERMS, Drawn
from crossmargin.batch.planning import Gap
from crossmargin.batch.terms import LEFT_OUT
from crossmargin.margin import prepare
from crossmargin.methodology import Inputs
from crossmargin.portfolio import Pool, Position
from crossmargin.products import Product
from crossmargin.regimes import Regime
from crossmargin.results import Requirement
from crossmargin.run import Run, owed
from crossmargin.underlyings import ticker_held

Unanswered: TypeAlias = Mapping[tuple[Total, int], tuple[Gap, ...]]


def unanswered(found: Drawn, held: Iterable[Product]) -> Unanswered:
    """Return total and place -> what the report says, where it models nothing of what is traded there.

    Parameters
    ----------
    found : Drawn
        Its figures say what has no formula.
    held : iterable of Product
        By the book as it is: no product on a ticker is margined of which it holds one without a price.
    """
    asked: dict[int, dict[Total, str]] = {}  # place -> the totals that a report alone can tell, each with its pot
    for figure in found.figures:
        for term in figure.term.walk():
            for n in term.products if term.how == LEFT_OUT else ():
                asked.setdefault(n, {})[figure.regime, figure.level] = figure.pot
    positions = {n: found.formulas.template.positions[n] for n in sorted(asked)}
    lacking = _lacking({each.product: each for each in positions.values()}, found, held)
    lacks = {n: lacking[each.product] for n, each in positions.items()}
    said: dict[tuple[Total, int], tuple[Gap, ...]] = {
        ((regime, level), n): (Gap(regime, level, pot, f"{positions[n].product.symbol}: {lacks[n]}", reported=False),)
        for n, totals in asked.items()
        for (regime, level), pot in totals.items()
        if lacks[n]
    }
    return said | _told([each for n, each in positions.items() if not lacks[n]], found)


def _lacking(traded: Mapping[Product, Position], found: Drawn, held: Iterable[Product]) -> dict[Product, str]:
    """Return what the market lacks for each product beside what is held on its ticker, "" when nothing."""
    kin: dict[str, dict[Product, None]] = {}
    for product in held:
        kin.setdefault(ticker_held(product), {})[product] = None
    template, all_of_it, said = found.formulas.template, found.formulas.inputs, {}
    for product, position in traded.items():
        beside = kin.get(ticker_held(product), {}) if ticker_held(product) else {}
        both = [evolve(position, id=str(n), product=each) for n, each in enumerate({**beside, product: None})]
        book = evolve(template, positions=both)
        said[product] = Inputs(book, found.market, {}, part_of=all_of_it).lacks(position)
    return said


def _told(positions: list[Position], found: Drawn) -> dict[tuple[Total, int], tuple[Gap, ...]]:
    """Return what the rule-sets say of positions, each alone, of which they model nothing."""
    if not positions:
        return {}
    template = evolve(found.formulas.template, positions=positions)
    run = prepare(template, found.market, found.regimes, found.formulas.book)
    return {
        ((regime.name, level), n): gaps
        for regime in found.regimes
        for level, places, gaps in _unmodelled(regime, run)
        for n in places
    }


def _unmodelled(regime: Regime, run: Run) -> Iterator[tuple[str, list[int], tuple[Gap, ...]]]:
    """Yield a level, places and what is said of them there; those that differ in their account alone are one."""
    homes: dict[Position, list[Pool]] = {}
    for pool in run.pools(regime):
        for position in pool.positions:
            homes.setdefault(position, []).append(pool)
    alike: dict[object, list[str]] = {}
    for position, pools in homes.items():
        where = tuple((each.account_class, each.pot, each.ruleset, each.programme) for each in pools)
        alike.setdefault((position.product, position.settles, where), []).append(position.id)
    same = {ids[0]: [int(id) for id in ids] for ids in alike.values()}
    first = {position: pools for position, pools in homes.items() if position.id in same}
    single = [(each.id, evolve(pool, positions=[each])) for each, pools in first.items() for pool in pools]
    asked, _ = owed(single, evolve(regime, arrangements=()), run)
    for (level, id), gaps in _said(asked, regime).items():
        if all(gaps):
            yield level, same[id], tuple(dict.fromkeys(gap for each in gaps for gap in each))


def _said(asked: Iterable[Requirement], regime: Regime) -> dict[tuple[str, str], list[tuple[Gap, ...]]]:
    """Return, by level and position, what is said in the place of each amount; nothing where there is one."""
    told: dict[tuple[str, str], list[tuple[Gap, ...]]] = {}
    below: dict[tuple[str, str], tuple[Gap, ...]] = {}
    for entry in (each for each in asked if each.ruleset != HOUSE_TERMS):
        (id,) = entry.positions
        gaps = tuple(_gaps(entry, regime))
        if entry.level == "clearing":
            below[id, entry.ruleset] = gaps
        elif (id, entry.ruleset) in below:  # a share of what a clearing house asks
            gaps = tuple(evolve(gap, level=entry.level, pot=entry.pot) for gap in below[id, entry.ruleset])
        told.setdefault((entry.level, id), []).append(gaps)
    return told


def _gaps(entry: Requirement, regime: Regime) -> Iterator[Gap]:
    """Yield why there is no amount for the only position of a pool, where there is none."""
    own = f"{entry.positions[0]}: "
    missing = [line for line in entry.line.walk() if line.how == "not_modelled"]
    about = [line for line in missing if line.name.startswith(own)]
    for line in () if entry.line.value else about or missing * (entry.line.amount is None):
        what = f"{line.name.removeprefix(own)}: {line.note}"
        yield Gap(regime.name, entry.level, entry.pot, what, reported=False)
