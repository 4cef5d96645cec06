"""Many accounts at once: the simulated part of each account's requirement, under several regimes in one pass.

Call `plan(products, market, portfolio)` once, its `revalue()` for the P&L, and `margin_many(positions, pnl, plan)` for
millions of rows. All accounts of a batch are of one kind: the same firm, class of account and papers, those of the
account that the plan is made with. Pools and eligibility are those of the spine, product by product.

A batch holds what a rule-set measures on scenarios (the tails and how they are combined), by pool. Haircuts, floors,
charges for size, guardrails and the credit of arrangements are not in it, as `Batch.not_modelled` says; `report_of`
gives the whole report of one account, whose simulated lines are the batch's figures to the cent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.columns import FloatArray
from crossmargin.common_model import tail_measure
from crossmargin.eligibility import case_of
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.historical_var import Combiner, Leg, Reducer, combiner, legs
from crossmargin.margin import margin
from crossmargin.market import Market
from crossmargin.parameters import Rules
from crossmargin.pnl import PnL, can_revalue, revalue
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.pricing.many_pools import MOST_WORST, Holdings, Store, Tails, pool_tails, sorted_positions, store_of
from crossmargin.products import Product
from crossmargin.products.treasuries import TREASURY_SECURITIES
from crossmargin.regimes import (
    CROSS_MARGIN,
    HARMONIZED,
    PROGRAMMES,
    SILOED,
    Regime,
    common_pools,
    decisions,
    enrolment,
    pools,
)
from crossmargin.registry import module, rulebook
from crossmargin.results import Report
from crossmargin.scenarios import ScenarioSpec, scenario_set
from crossmargin.spot_scenarios import with_spot_moves
from crossmargin.underlyings import securities_held

_PRECISIONS = ("exact", "single")
_SINGLE = 2.0**-23  # storing a number, and rounding a sum, in single precision: 2^-24 each


@frozen
class Figure:
    """One column of a batch: the tails of one pool and how they make one amount.

    Attributes
    ----------
    regime, pool, rule : str
        Name of the regime, pot or pots of the pool, id of the rule that measures.
    products : frozenset of int
        The products, by number, that the pool takes.
    legs : tuple of Leg
        What is measured; `Leg.name` is the name of the line in a report.
    combiner : Combiner
        How the legs are combined.
    counts : bool
        Whether the amount is part of the regime's total; pools of an arrangement's models are shown beside it.
    """

    regime: str
    pool: str
    rule: str
    products: frozenset[int]
    legs: tuple[Leg, ...]
    combiner: Combiner
    counts: bool = True

    def of(self, tails: FloatArray) -> FloatArray:
        """Return the amount [n_accounts] from the losses [n_accounts, n_legs], USD."""
        first, weight = tails[:, 0], self.combiner.weight
        if not self.combiner.needs:
            return np.asarray(weight * first)
        second = tails[:, 1]
        if self.combiner.kind == "weighted":
            return np.asarray(weight * first + (1.0 - weight) * second)
        return np.maximum(first, weight * second)


@frozen
class Plan:
    """What a batch measures: made once for products, market and kind of account, used for any number of positions."""

    products: tuple[Product, ...]
    market: Market
    portfolio: Portfolio
    settles: date | None
    regimes: tuple[Regime, ...]
    rules: tuple[Rules, ...]
    figures: tuple[Figure, ...]
    not_modelled: tuple[str, ...]

    @property
    def specs(self) -> tuple[ScenarioSpec, ...]:
        """The scenario sets that the figures need."""
        return tuple(dict.fromkeys(leg.spec for figure in self.figures for leg in figure.legs))

    def revalue(self, *, threads: int = 1) -> dict[ScenarioSpec, PnL]:
        """Return the P&L of every product that can be revalued, under every scenario set of the plan."""
        found = {}
        securities = securities_held(self.products, self.market.underlyings)
        for spec in self.specs:
            drawn = scenario_set(spec, self.market.history, self.market.as_of)
            if securities and self.market.price_history:
                drawn = with_spot_moves(drawn, self.market.price_history, securities, as_of=self.market.as_of)
            known = [product for product in self.products if can_revalue(product, self.market, drawn)]
            found[spec] = revalue(known, self.market, drawn, threads=threads)
        return found

    def position(self, id: str, product: int, quantity: float) -> Position:
        """Return a position of the plan's account."""
        return _position(id, self.portfolio, self.products[product], quantity, settles=self.settles)


def _places(value: ArrayLike) -> NDArray[Any]:
    return np.ascontiguousarray(value)


@frozen(eq=False)
class Positions:
    """Rows of positions, in any order: account, product and signed quantity (long > 0) of each.

    Parameters
    ----------
    account : array of int or text [n_positions]
        Numbers into `labels`, or, where that is empty, what accounts are called.
    product : array of int [n_positions]
        Numbers into the plan's products.
    quantity : array [n_positions]
        USD of face, or contracts.
    labels : array [n_accounts]
        What accounts are called; numbering them beforehand saves the sorting.
    """

    account: NDArray[Any] = field(converter=_places)
    product: NDArray[Any] = field(converter=_places)
    quantity: NDArray[Any] = field(converter=_places)
    labels: NDArray[Any] = field(factory=lambda: np.empty(0), converter=_places)

    def numbered(self) -> Positions:
        """Return the same with accounts as numbers."""
        if self.labels.size:
            return self
        labels, account = np.unique(self.account, return_inverse=True)
        return evolve(self, account=account, labels=labels)


@frozen(eq=False)
class Batch:
    """The figures of many accounts.

    Attributes
    ----------
    accounts : array [n_accounts]
        What accounts are called.
    values : array [n_accounts, n_figures]
        Amount of each of `plan.figures`, USD, never negative.
    tails : array [n_accounts, n_tails]
        The losses behind them, figure by figure and leg by leg, USD, never negative.
    error_bound : array [n_accounts]
        How far a loss can be from that of exact arithmetic, USD; single precision only, 0 otherwise. Times the factor
        of the reducer, where it has one.
    unmodelled : array of int [n_accounts]
        Net positions of each account that no figure takes, whatever the regime.
    """

    plan: Plan
    accounts: NDArray[Any]
    values: FloatArray
    tails: FloatArray
    error_bound: FloatArray
    unmodelled: NDArray[np.int64]
    held: Holdings = field(repr=False)

    @property
    def not_modelled(self) -> tuple[str, ...]:
        """What the figures leave out of a requirement."""
        return self.plan.not_modelled

    def total(self, regime: str) -> FloatArray:
        """Return the simulated requirement [n_accounts] under one regime, USD: the sum over its pools.

        Raises
        ------
        InputError
            The batch has no such regime.
        """
        names = [each.name for each in self.plan.regimes]
        if regime not in names:
            raise InputError([Problem(f"no regime {regime!r}.", "batch", suggestion(regime, names))])
        mine = [n for n, figure in enumerate(self.plan.figures) if figure.regime == regime and figure.counts]
        return np.asarray(self.values[:, mine].sum(axis=1))

    def digest(self) -> str:
        """Return a hash of accounts and figures: the same for any order of rows and any number of threads."""
        found = hashlib.sha256()
        for account in self.accounts.tolist():
            found.update(repr(account).encode() + b"\0")
        found.update((self.values + 0.0).astype("<f8").tobytes())
        return found.hexdigest()

    def portfolio_of(self, account: object) -> Portfolio:
        """Return the portfolio of one account, positions netted by product.

        Raises
        ------
        InputError
            The batch has no such account.
        """
        where = np.flatnonzero(self.accounts == account)
        if not where.size:
            raise InputError([Problem(f"no account {account!r}.", "batch", "Take one of `accounts`.")])
        first, last = (self.held.starts[(int(where[0]) + n) * self.held.n_silos] for n in (0, 1))
        rows = zip(self.held.row_ids[first:last].tolist(), self.held.quantities[first:last].tolist(), strict=True)
        positions = [self.plan.position(f"{account}-{n}", *row) for n, row in enumerate(rows)]
        return evolve(self.plan.portfolio, positions=positions)

    def report_of(self, account: object, regime: Regime = SILOED) -> Report:
        """Return the full report of one account by the spine; its simulated lines are the batch's figures."""
        return margin(self.portfolio_of(account), self.plan.market, regime, rules=self.plan.rules)


def plan(
    products: Iterable[Product],
    market: Market,
    portfolio: Portfolio,
    *,
    regimes: Iterable[Regime] = (SILOED, CROSS_MARGIN, HARMONIZED),
    settles: date | None = None,
    rules: Iterable[Rules] = (),
) -> Plan:
    """Return what a batch of accounts like that of `portfolio` measures.

    Parameters
    ----------
    products : iterable
        What accounts may hold; positions refer to them by number.
    portfolio : Portfolio
        Firm, customer and the one account that stands for all; its positions do not count.
    settles : date, optional
        Settlement date of cash trades in Treasuries; on the market's date or before, they have left their clearing
        house.
    rules : iterable of Rules, optional
        Rules with overlaid values.

    Raises
    ------
    InputError
        Not one account, a product twice, a measure that a batch cannot take.
    """
    products, regimes, rules = tuple(products), tuple(regimes), tuple(rules)
    problems = Problems()
    if len(portfolio.accounts) != 1:
        problems.add(f"{len(portfolio.accounts)} accounts.", where="portfolio", fix="Give the one that stands for all.")
    if len(set(products)) < len(products):
        problems.add("a product stands twice.", where="products", fix="Number each once.")
    problems.raise_if_any("No batch can be planned")
    held = [_position(str(n), portfolio, product, 1.0, settles=settles) for n, product in enumerate(products)]
    template = evolve(portfolio, positions=held)
    book = rulebook(rules)
    drawn = [each for regime in regimes for each in _drawn(template, market, regime, book)]
    figures, gaps = [], []
    for regime, pool, counts in drawn:
        made, gap = _figure(regime, pool, market, book)
        figures += [evolve(made, counts=counts)] if made else []
        gaps += [gap] if gap else []
    told = tuple(dict.fromkeys(gaps))
    return Plan(products, market, evolve(portfolio, positions=()), settles, regimes, rules, tuple(figures), told)


def margin_many(
    positions: Positions,
    pnl: Mapping[ScenarioSpec, PnL],
    plan: Plan,
    *,
    precision: str = "exact",
    threads: int = 1,
) -> Batch:
    """Return the figures of every account, all regimes in one pass over the P&L of each position.

    Parameters
    ----------
    positions : Positions
        In any order; what stands twice is netted.
    pnl : mapping
        P&L of the plan's products under each of its scenario sets: `plan.revalue()`.
    precision : str
        `exact`: double precision. `single`: P&L is stored in single precision, half the memory and traffic; sums are
        still made in double. `Batch.error_bound` states how far a loss can then be off.
    threads : int
        The result is the same to the last bit.

    Returns
    -------
    Batch
        Ordered by account.

    Raises
    ------
    InputError
        Everything wrong with the rows, or a scenario set without P&L, at once.
    """
    _check(positions, pnl, plan, precision=precision)
    positions = positions.numbered()
    silo_of, pools_by_figure = _silos(plan, pnl)
    held = _held(positions, silo_of)
    n_accounts, n_silos = held.n_accounts, held.n_silos
    unmodelled = np.diff(held.starts)[0::n_silos] if n_accounts else np.zeros(0, dtype=np.int64)
    nothing = Batch(plan, positions.labels, *(np.zeros((n_accounts, 0)),) * 2, np.zeros(n_accounts), unmodelled, held)
    if not plan.figures:
        return nothing
    store = _stored(plan, pnl, precision)
    tails, places = _tails(plan, pools_by_figure, pnl)
    losses = np.maximum(pool_tails(store, held, tails, threads=threads)[:, places, 0], 0.0)
    bound = held.gross(store.largest) * _SINGLE if precision == "single" else np.zeros(n_accounts)
    return evolve(nothing, values=_values(plan, losses), tails=losses, error_bound=bound)


# ------------------------------------------------------------------------------------------------------- planning


def _position(id: str, portfolio: Portfolio, product: Product, quantity: float, *, settles: date | None) -> Position:
    cash = isinstance(product, TREASURY_SECURITIES)
    return Position(id, portfolio.accounts[0].id, product, quantity, settles if cash else None)


def _drawn(
    template: Portfolio, market: Market, regime: Regime, book: Mapping[str, Rules]
) -> list[tuple[Regime, Pool, bool]]:
    """Return the pools of a regime, and those that its arrangements' models look at beside them."""
    asked = dict.fromkeys([*PROGRAMMES, *regime.programmes])
    decided = {id: decisions(template, market.as_of, book[id]) for id in asked}
    enrolled = enrolment(template, (decision for taken in decided.values() for decision in taken))
    common = common_pools(template, regime, decided)
    taken = {position.id for pool in common for position in pool.positions}
    cases = (case_of(template, position, market.as_of) for position in template.positions if position.id not in taken)
    joint = [id for id in regime.arrangements if book[id].structure == "one_pot" and id in enrolled.values()]
    one_pots = {id: book[id].at(market.as_of).pot for id in joint}
    today = pools(cases, regime.silos, enrolled, one_pots=one_pots)
    beside = [
        evolve(mine, pot=f"{mine.pot} on {' + '.join(each.pot for each in on)}",
               positions=[position for each in on for position in each.positions])
        for programme in regime.arrangements
        for unit in [[pool for pool in today if pool.programme == programme and not pool.one_pot]]
        for mine in unit
        for on in ([unit] + [[other] for other in unit if other is not mine] if len(unit) > 1 else [])
    ]  # fmt: skip
    return [*((regime, pool, True) for pool in (*today, *common)), *((regime, pool, False) for pool in beside)]


def _figure(regime: Regime, pool: Pool, market: Market, book: Mapping[str, Rules]) -> tuple[Figure | None, str]:
    """Return the figure of a pool, if its rule measures on scenarios, and what it leaves out."""
    rule, name = pool.ruleset, f"{regime.name}, {pool.pot}"
    if not rule:
        return None, f"{name}: positions that no rule-set margins"
    p = book[rule].at(market.as_of)
    if rule == regime.proposal:
        specs = module(rule).scenarios(p)
        if len(specs) != 1:
            return None, f"{name}: all of {rule}, whose horizon depends on what an account holds"
        found: tuple[Leg, ...]
        found, combined = (Leg("historical_var", specs[0], Reducer(tail_measure(p))),), Combiner("historical")
    elif "reducer" in book[rule].parameters:
        found, combined = legs(p), combiner(p)
    else:
        return None, f"{name}: all of {rule}, which does not measure on scenarios"
    if combined.needs == "floor" or any(leg.reducer.samples > 1 or leg.breaks for leg in found):
        return None, f"{name}: all of {rule}, whose floor, sub-samples or correlation break need single accounts"
    enters = getattr(module(rule), "simulates", None)
    takes = [each for each in pool.positions if enters is None or enters(each.product, market.as_of, p)]
    figure = Figure(regime.name, pool.pot, rule, frozenset(int(each.id) for each in takes), found, combined)
    return figure, f"{name}: haircuts, floors, charges beside the simulation, guardrails and credits of {rule}"


# ------------------------------------------------------------------------------------------------------- measuring


def _silos(plan: Plan, pnl: Mapping[ScenarioSpec, PnL]) -> tuple[NDArray[np.int64], list[tuple[int, ...]]]:
    """Return the silo of each product and the silos of each figure: products that every figure treats alike.

    Silo 0 is of those that no figure takes. A product without P&L in one leg of a figure is not taken by that figure.
    """
    taken = np.zeros((len(plan.products), len(plan.figures)), dtype=bool)
    for n, figure in enumerate(plan.figures):
        for product in figure.products:
            taken[product, n] = all(plan.products[product] in pnl[leg.spec] for leg in figure.legs)
    nothing = np.zeros((1, len(plan.figures)), dtype=bool)
    kinds, silo = np.unique(np.vstack([nothing, taken]), axis=0, return_inverse=True)
    members = [tuple(np.flatnonzero(kinds[:, n]).tolist()) for n in range(len(plan.figures))]
    return silo.ravel()[1:], members


def _held(positions: Positions, silo_of: NDArray[np.int64]) -> Holdings:
    """Return the net positions by account and silo."""
    n_accounts, n_silos = len(positions.labels), int(silo_of.max(initial=0)) + 1
    if n_accounts * n_silos > np.iinfo(np.int32).max:
        fix = "Cut the accounts into several batches."
        raise InputError([Problem(f"{n_accounts:,} accounts of {n_silos} silos are too many.", "positions", fix)])
    product = positions.product.astype(np.int32)
    cells = (positions.account.astype(np.int64) * n_silos + silo_of[product]).astype(np.int32)
    shape = n_accounts, n_silos, len(silo_of)
    return sorted_positions(cells, product, positions.quantity.astype(np.float64), shape=shape)


def _stored(plan: Plan, pnl: Mapping[ScenarioSpec, PnL], precision: str) -> Store:
    """Return the P&L of all products under all scenario sets, or raise where it is not finite."""
    store = store_of([_rows(plan.products, pnl[spec]) for spec in plan.specs], single=precision == "single")
    bad = np.flatnonzero(~np.isfinite(store.largest))
    if bad.size:
        named = ", ".join(plan.products[int(n)].symbol for n in bad)
        raise InputError([Problem(f"not finite in every scenario: {named}.", "pnl", "Revalue or drop them.")])
    return store


def _tails(plan: Plan, members: list[tuple[int, ...]], pnl: Mapping[ScenarioSpec, PnL]) -> tuple[Tails, list[int]]:
    """Return the pools to measure, each once though several regimes have it, and which is that of each leg."""
    specs, places = plan.specs, []
    pooled: dict[tuple[tuple[int, ...], int], int] = {}
    weights: list[FloatArray | None] = [None] * len(specs)
    problems = Problems()
    for figure, silos in zip(plan.figures, members, strict=True):
        for leg in figure.legs:
            segment, n = specs.index(leg.spec), pnl[leg.spec].values.shape[1]
            mine, before = _weights(leg, n), weights[segment]
            if mine.shape[1] > MOST_WORST or (before is not None and not np.array_equal(before, mine)):
                fix = f"A batch takes one measure of up to {MOST_WORST} worst results for each scenario set."
                problems.add(f"{leg.reducer.measure} of {figure.rule} does not fit.", where=figure.pool, fix=fix)
            weights[segment] = mine
            places.append(pooled.setdefault((silos, segment), len(pooled)))
    problems.raise_if_any("These rules cannot be margined in a batch")
    measured, segments = zip(*pooled, strict=True)
    return Tails(measured, segments, tuple(each for each in weights if each is not None)), places


def _weights(leg: Leg, n_scenarios: int) -> FloatArray:
    """Return what the worst results count for, [1, k], the worst first."""
    shares = leg.reducer.measure.scenario_weights(np.arange(float(n_scenarios)))
    k = int(np.flatnonzero(shares)[-1]) + 1
    return np.ascontiguousarray(leg.reducer.factor * shares[None, :k])


def _rows(products: tuple[Product, ...], known: PnL) -> FloatArray:
    """Return the P&L [n_products, n_scenarios] by number, rows of nothing where it is not known."""
    if known.products == products:
        return known.values
    values = np.zeros((len(products), known.values.shape[1]))
    for n, product in enumerate(products):
        if product in known:
            values[n] = known.row(product)
    return values


def _values(plan: Plan, losses: FloatArray) -> FloatArray:
    ends = np.cumsum([len(figure.legs) for figure in plan.figures])
    parts = np.split(losses, ends[:-1], axis=1)
    return np.stack([figure.of(part) for figure, part in zip(plan.figures, parts, strict=True)], axis=1)


def _check(positions: Positions, pnl: Mapping[ScenarioSpec, PnL], plan: Plan, *, precision: str) -> None:
    """Raise everything that is wrong with the input, at once."""
    problems = Problems()
    sizes = [len(column) for column in (positions.account, positions.product, positions.quantity)]
    if len(set(sizes)) > 1:
        problems.add(f"columns of {sizes} rows.", where="positions", fix="Give one entry of each per position.")
    numbered = [("product", positions.product, len(plan.products))]
    numbered += [("account", positions.account, len(positions.labels))] if positions.labels.size else []
    for name, column, top in numbered:
        if column.size and column.dtype.kind not in "iu":
            problems.add(f"is {column.dtype}, not whole numbers.", where=name, fix="Number what it refers to.")
        elif column.size and not (column.min() >= 0 and column.max() < top):
            problems.add(f"some numbers are not from 0 to {top - 1}.", where=name, fix="Number what is there.")
    quantity = positions.quantity
    if quantity.size and (quantity.dtype.kind not in "iuf" or not np.isfinite(quantity).all()):
        problems.add("some quantities are not finite numbers.", where="quantity", fix="Give a finite signed number.")
    for spec in plan.specs:
        if spec not in pnl:
            missing = f"no P&L under {spec.kind} scenarios over {spec.horizon_days} d."
            problems.add(missing, where="pnl", fix="Take that of plan.revalue().")
    if precision not in _PRECISIONS:
        problems.add(f"unknown precision {precision!r}.", where="precision", fix=suggestion(precision, _PRECISIONS))
    problems.raise_if_any("These positions cannot be margined")
