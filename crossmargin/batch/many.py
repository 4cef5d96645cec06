"""Measuring many accounts: `margin_many(positions, pnl, plan)`.

The steps, for what runs elsewhere than in one call: `refuse` what is wrong, `stored` P&L, `arranged` positions,
`losses` of their pools, `figured` amounts. Each is the same to the last bit however accounts are split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from crossmargin.batch.engines import Engine, Progress, opened
from crossmargin.batch.planning import Plan
from crossmargin.batch.positions import Positions
from crossmargin.batch.results import Batch
from crossmargin.batch.shards import pool_tails_on, streamed_tails_on
from crossmargin.batch.streaming import Stream
from crossmargin.batch.terms import Columns, Tail, Tile, Unit
from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, Problems, counted, is_count, suggestion
from crossmargin.market import Market
from crossmargin.pnl import PnL
from crossmargin.pricing.many_pools import MOST_WORST, Holdings, Store, Tails, sorted_positions, store_of
from crossmargin.products import Product
from crossmargin.scenarios import ScenarioSpec

Measure: TypeAlias = Callable[[Holdings, Tails], tuple[FloatArray, FloatArray]]

PRECISIONS = ("exact", "single")
_SINGLE = 2.0**-23  # storing a number, and rounding a sum, in single precision: 2^-24 each
_PRODUCTS = 2_048  # of which P&L is laid out at a time
_ACCOUNTS = 8_192  # whose figures are found at a time
_NAMED = 5  # examples in a message
_MOST_HELD = 2**53  # of anything: beyond it sums are not exact, and far beyond they are no numbers


def margin_many(
    positions: Positions,
    pnl: Mapping[ScenarioSpec, PnL] | Store | Stream,
    plan: Plan,
    *,
    precision: str = "exact",
    threads: int = 1,
    engine: Engine = None,
    progress: Progress | bool | None = None,
) -> Batch:
    """Return the figures of every account, all regimes in one pass over the P&L of each position.

    Parameters
    ----------
    positions : Positions
        In any order; what stands twice is netted.
    pnl : mapping, Store or Stream
        P&L of the plan's products under each of its scenario sets: `plan.revalue()`, or what `stored` made of it; or
        `plan.stream()`, which makes it as it goes, once for each template and worker, and stores nothing.
    precision : str
        `exact`: double precision. `single`: P&L is stored in single precision, half the memory and traffic; sums are
        still made in double. `Batch.error_bound` states how far a loss can then be off.
    threads : int
        In this process, or in each shard of an engine. The result is the same to the last bit.
    engine : None, str, executor or client, optional
        Where pools are measured, in shards of accounts: this process, an executor of `concurrent.futures`, a
        `distributed.Client`, or `"dask"` for a cluster on this machine. The result is the same to the last bit.
    progress : callable or bool, optional
        Called with the shards done, those there are, and the name of the last, template by template; see `engines.run`.
        A stream in this process is one piece and tells nothing.

    Returns
    -------
    Batch
        Ordered by account.

    Raises
    ------
    InputError
        Everything wrong with the rows, or a scenario set without P&L, at once.

    Examples
    --------
    >>> from crossmargin.batch import plan
    >>> from crossmargin.samples import SETTLES, basis_trade
    >>> portfolio, market = basis_trade()
    >>> planned = plan([portfolio.positions[0].product], market, portfolio, settles=SETTLES)
    >>> held = Positions([0, 1], [0, 0], [1e6, -2e6], labels=["a", "b"], template=[0, 1])
    >>> batch = margin_many(held, planned.revalue(), planned)
    >>> batch.accounts.tolist(), bool((batch.total("siloed") > 0.0).all())
    (['a', 'b'], True)
    """
    refuse(positions, pnl, plan, precision=precision, threads=threads)
    source = pnl if isinstance(pnl, Store | Stream) else stored(pnl, plan, precision=precision)
    book, single = arranged(positions, plan), precision == "single"
    return figured(book, losses(book, source, single=single, threads=threads, engine=engine, progress=progress))


@frozen(eq=False)
class Book:
    """Positions sorted for measuring: accounts template by template, in each by silo and product.

    `places` says where each account stands; a silo is what every tail of the template treats alike.
    """

    plan: Plan
    accounts: NDArray[Any]
    template: NDArray[np.int64]
    places: NDArray[np.int64]
    ends: NDArray[np.int64]
    members: tuple[tuple[tuple[int, ...], ...], ...]
    held: Holdings

    def of(self, kind: int) -> tuple[int, int, Holdings]:
        """Return the first place and the end of the accounts of a template, and what they hold."""
        first, end = (0 if kind == 0 else int(self.ends[kind - 1])), int(self.ends[kind])
        n = self.held.n_silos
        starts = self.held.starts[first * n : end * n + 1]
        return first, end, Holdings(starts, self.held.row_ids, self.held.quantities, end - first, n)


def arranged(positions: Positions, plan: Plan) -> Book:
    """Return the net positions, sorted for measuring."""
    positions = positions.numbered()
    silo_of, members = _silos(plan)
    n_accounts, n_silos = len(positions.labels), int(silo_of.max(initial=0)) + 1
    if n_accounts * n_silos > np.iinfo(np.int32).max:
        fix = "Cut the accounts into several batches."
        raise InputError([Problem(f"{n_accounts:,} accounts of {n_silos} silos are too many.", "positions", fix)])
    template = positions.template.astype(np.int64, copy=False)
    places = np.empty(n_accounts, dtype=np.int32)
    places[np.argsort(template, kind="stable")] = np.arange(n_accounts, dtype=np.int32)
    product, quantity = (
        np.require(column, number, ["C", "W"])  # the kernel takes no array that is read-only, as those of Arrow are
        for column, number in ((positions.product, np.int32), (positions.quantity, np.float64))
    )
    account = positions.account if positions.account.size else positions.account.astype(np.int64)  # [] is of floats
    cells = places[account]
    cells *= n_silos
    cells += silo_of[0, product] if len(plan.kinds) == 1 else silo_of[template[account], product]
    shape = n_accounts, n_silos, len(plan.products)
    held = sorted_positions(cells, product, quantity, shape=shape)
    ends = np.cumsum(np.bincount(template, minlength=len(plan.kinds)))
    return Book(plan, positions.labels, template, places.astype(np.int64), ends, members, held)


@frozen(eq=False)
class Losses:
    """What figures follow from beside positions, USD, never negative.

    Attributes
    ----------
    tails : array [n_accounts, n_tails]
        The loss behind every tail, place by place.
    units : mapping to array [2, n_products]
        What one unit of each product loses by itself, long and short.
    largest : array [n_products]
        Largest absolute P&L of a unit, where it is in single precision; else empty.
    """

    tails: FloatArray
    units: Mapping[Unit, FloatArray]
    largest: FloatArray


def losses(
    book: Book,
    source: Store | Stream,
    *,
    single: bool = False,
    threads: int = 1,
    engine: Engine = None,
    progress: Progress | bool | None = None,
) -> Losses:
    """Return the losses of all accounts; `single` says how a stream rounds P&L, a store has its own precision.

    Raises
    ------
    InputError
        No such engine, measures of too many results.
    """
    plan, segments = book.plan, _segments(source)
    found = np.zeros((len(book.accounts), sum(len(kind.tails) for kind in plan.kinds)))
    largest, column = np.zeros(0), 0
    with opened(engine) as ready:
        measure = _measure(source, single=single, threads=threads, ready=ready, progress=progress)
        for number, kind in enumerate(plan.kinds):
            first, end, held = book.of(number)
            columns = slice(column, column + len(kind.tails))
            column = columns.stop
            if kind.tails and end > first:
                tails, places = pools_of(plan, number, book.members[number], segments)
                measured, largest = measure(held, tails)
                pool, rank = np.transpose(places)
                np.maximum(measured[:, pool, rank], 0.0, out=found[first:end, columns])
    here = _measure(source, single=single, threads=threads, ready=None, progress=False)  # too small for an engine
    units = {unit: _unit_losses(unit, plan, segments, here) for kind in plan.kinds for unit in kind.units}
    return Losses(found, units, largest)


def figured(book: Book, losses: Losses) -> Batch:
    """Return the amounts that follow from losses and positions."""
    plan, tails = book.plan, losses.tails
    values, bound = np.zeros((len(book.accounts), len(plan.figures))), np.zeros(len(book.accounts))
    figure = tail = 0
    for number, kind in enumerate(plan.kinds):
        columns = Columns(len(plan.products), {each: n for n, each in enumerate(kind.tails, tail)}, losses.units)
        for rows, tile in _tiles(book, number, tails, columns):
            for n, each in enumerate(kind.figures, figure):
                values[rows, n] = tile.amount(each.term)
            if losses.largest.size:
                bound[rows] = tile.sums(np.abs(tile.quantity) * losses.largest[tile.product]) * _SINGLE
        figure, tail = figure + len(kind.figures), tail + len(kind.tails)
    if len(plan.kinds) > 1:
        values, tails, bound = values[book.places], tails[book.places], bound[book.places]
    return Batch(plan, book.accounts, book.template, values, tails, bound, book.held, book.places)


def stored(pnl: Mapping[ScenarioSpec, PnL], plan: Plan, *, precision: str = "exact") -> Store:
    """Return the P&L of all products under all scenario sets, laid out for measuring: made once for many batches.

    Engines get it once too, for as long as it lives.

    Raises
    ------
    InputError
        P&L that is not finite, products or scenario sets without one, an unknown precision.
    """
    problems = _without_pnl(pnl, plan)
    if precision not in PRECISIONS:
        problems.add(f"unknown precision {precision!r}.", where="precision", fix=suggestion(str(precision), PRECISIONS))
    problems.raise_if_any("P&L cannot be stored")
    store = _filled(pnl, plan, single=precision == "single")
    bad = np.flatnonzero(~np.isfinite(store.largest))
    if bad.size:
        named = ", ".join(plan.products[int(n)].symbol for n in bad[:_NAMED])
        what = f"not finite in every scenario: {named}{' and others' if bad.size > _NAMED else ''}."
        raise InputError([Problem(what, "pnl", "Revalue or drop them.")])
    return store


def pools_of(
    plan: Plan, kind: int, members: tuple[tuple[int, ...], ...], segments: tuple[int, ...]
) -> tuple[Tails, list[tuple[int, int]]]:
    """Return the pools of a template to measure, each once, and the pool and the measure of each tail."""
    pooled: dict[tuple[tuple[int, ...], int], int] = {}
    measures: list[dict[bytes, FloatArray]] = [{} for _ in plan.specs]
    places = []
    for tail, silos in zip(plan.kinds[kind].tails, members, strict=True):
        segment = plan.specs.index(tail.spec)
        weights = _weights(tail, segments[segment])
        known = measures[segment]
        known.setdefault(weights.tobytes(), weights)
        places.append((pooled.setdefault((silos, segment), len(pooled)), list(known).index(weights.tobytes())))
    most = max(len(known) for known in measures)
    rows = tuple(_padded([*known.values()] or [np.zeros(1)], most) for known in measures)
    measured, of_segment = zip(*pooled, strict=True)
    return Tails(measured, of_segment, rows), places


# ------------------------------------------------------------------------------------------------------ how it is done


def _silos(plan: Plan) -> tuple[NDArray[np.int32], tuple[tuple[tuple[int, ...], ...], ...]]:
    """Return the silo of each product [n_kinds, n_products], and the silos of each tail, template by template.

    Silo 0 is of those that no tail takes.
    """
    silo_of = np.zeros((len(plan.kinds), len(plan.products)), dtype=np.int32)
    members = []
    for number, kind in enumerate(plan.kinds):
        taken = np.zeros((1 + len(plan.products), len(kind.tails)), dtype=bool)
        for n, tail in enumerate(kind.tails):
            taken[[1 + product for product in tail.products], n] = True
        kinds, silo = np.unique(taken, axis=0, return_inverse=True) if kind.tails else (taken[:1], taken[:, :0].sum(1))
        silo_of[number] = np.ravel(silo)[1:]
        members.append(tuple(tuple(np.flatnonzero(kinds[:, n]).tolist()) for n in range(len(kind.tails))))
    return silo_of, tuple(members)


def _weights(tail: Tail | Unit, n_scenarios: int) -> FloatArray:
    """Return what the worst results count for, [k], the worst first."""
    shares = tail.reducer.measure.scenario_weights(np.arange(float(n_scenarios)))
    k = int(np.flatnonzero(shares)[-1]) + 1
    if k > MOST_WORST:
        fix = f"A batch takes measures of up to {MOST_WORST} worst results."
        raise InputError([Problem(f"{tail.reducer.measure} needs {k}.", counted(n_scenarios, "scenario"), fix)])
    return np.ascontiguousarray(tail.reducer.factor * shares[:k])


def _padded(rows: list[FloatArray], most: int) -> FloatArray:
    """Return weights as the rows of a matrix [most, k]."""
    found = np.zeros((most, max(len(row) for row in rows)))
    for n, row in enumerate(rows):
        found[n, : len(row)] = row
    return found


def _tiles(book: Book, kind: int, tails: FloatArray, columns: Columns) -> Iterator[tuple[slice, Tile]]:
    """Yield the accounts of a template some at a time: their places, and what their figures follow from."""
    first, end, held = book.of(kind)
    for begin in range(first, end, _ACCOUNTS):
        rows = slice(begin, min(begin + _ACCOUNTS, end))
        starts = held.starts[
            (rows.start - first) * held.n_silos : (rows.stop - first) * held.n_silos + 1 : held.n_silos
        ]
        some = slice(int(starts[0]), int(starts[-1]))
        account = np.repeat(np.arange(rows.stop - begin), np.diff(starts))
        yield rows, Tile(columns, tails[rows], account, held.row_ids[some], held.quantities[some])


def _segments(source: Store | Stream) -> tuple[int, ...]:
    """Return the number of scenarios of each set."""
    if isinstance(source, Store):
        return source.segments
    return tuple(each.scenarios.shifts.shape[1] for each in source.sets.values())


def _measure(source: Store | Stream, *, single: bool, threads: int, ready: Any, progress: Any) -> Measure:
    """Return what measures pools: the losses, and the largest P&L of each product in single precision."""
    if isinstance(source, Stream):
        return partial(streamed_tails_on, ready, source, single=single, threads=threads, progress=progress)
    largest = source.largest if source.values.dtype == np.float32 else np.zeros(0)
    pooled = partial(pool_tails_on, ready, source, threads=threads, progress=progress)
    return lambda held, tails: (pooled(held, tails), largest)


def _unit_losses(unit: Unit, plan: Plan, segments: tuple[int, ...], measure: Measure) -> FloatArray:
    """Return what one unit of each product loses by itself: [2, n_products], long and short, two accounts for each."""
    n, segment = len(plan.products), plan.specs.index(unit.spec)
    product, side = np.repeat(np.arange(n, dtype=np.int32), 2), np.tile([1.0, -1.0], n)
    held = sorted_positions(np.arange(2 * n, dtype=np.int32), product, side, shape=(2 * n, 1, n))
    weights = [_weights(unit, segments[segment])]
    rows = tuple(_padded(weights if number == segment else [np.zeros(1)], 1) for number in range(len(segments)))
    measured, _ = measure(held, Tails(((0,),), (segment,), rows))
    return np.maximum(measured[:, 0, 0], 0.0).reshape(n, 2).T


def _filled(pnl: Mapping[ScenarioSpec, PnL], plan: Plan, *, single: bool) -> Store:
    """Lay P&L out some products at a time, so that no second copy of all of it is ever made."""
    known, n, parts = [pnl[spec] for spec in plan.specs], len(plan.products), []
    origin = plan.products, plan.specs, plan.market
    if not known or not n:
        return Store(np.zeros((0, 1)), (), n, np.zeros(n), origin)
    values: Any = None
    for first in range(0, n, _PRODUCTS):
        some = slice(first, min(first + _PRODUCTS, n))
        part = store_of([_rows(plan, each, some) for each in known], single=single)
        width = part.values.shape[1]
        if values is None:
            values = np.empty((len(part.values) // part.n_instruments, n, width), dtype=part.values.dtype)
        values[:, some] = part.values.reshape(len(values), -1, width)
        parts.append(part.largest)
    segments = tuple(each.values.shape[1] for each in known)
    return Store(values.reshape(-1, values.shape[2]), segments, n, np.concatenate(parts), origin)


def _rows(plan: Plan, known: PnL, some: slice) -> FloatArray:
    """Return the P&L [n, n_scenarios] of some products by number, rows of nothing where it is not known."""
    if known.products is plan.products or known.products[some] == plan.products[some]:
        return known.values[some]
    products = plan.products[some]
    values = np.zeros((len(products), known.values.shape[1]))
    for n, product in enumerate(products):
        if product in known:
            values[n] = known.row(product)
    return values


def refuse(
    positions: Positions,
    pnl: Mapping[ScenarioSpec, PnL] | Store | Stream,
    plan: Plan,
    *,
    precision: str,
    threads: int = 1,
) -> None:
    """Raise everything that is wrong with the input, at once."""
    problems = _arguments_that_are_none(positions, pnl, plan, threads)
    problems.raise_if_any("These positions cannot be margined")
    sizes = [column.shape for column in (positions.account, positions.product, positions.quantity)]
    if len(set(sizes)) > 1 or len(sizes[0]) != 1:
        told = ", ".join(str(size[0] if len(size) == 1 else size) for size in sizes)
        problems.add(f"columns of {told} rows.", where="positions", fix="Give one entry of each per position.")
    problems.extend(_numbers_that_are_none(positions, plan).found)
    quantity = positions.quantity
    if quantity.size and quantity.dtype.kind not in "iuf":
        problems.add(f"is {quantity.dtype}.", where="quantity", fix="Give a finite signed number.")
    elif quantity.size and not (quantity.min() >= -_MOST_HELD and quantity.max() <= _MOST_HELD):
        rows = np.flatnonzero(~(np.abs(quantity) <= _MOST_HELD))
        what = f"not finite, or beyond 2^53, in {_told(rows)}."
        problems.add(what, where="quantity", fix="Give a finite signed number.")
    if isinstance(pnl, Store):
        if pnl.n_instruments != len(plan.products) or len(pnl.segments) != len(plan.specs):
            problems.add("is of another plan.", where="pnl", fix="Store P&L for this plan.")
        elif pnl.made_of is not None:
            problems.extend(_of_another_plan(plan, *pnl.made_of).found)
        if precision == "single" and pnl.values.dtype == np.float64:
            problems.add("P&L was stored exact.", where="precision", fix="Leave it out, or store in single precision.")
    elif isinstance(pnl, Stream):
        problems.extend(_of_another_plan(plan, pnl.products, tuple(pnl.sets), pnl.market).found)
    else:
        problems.extend(_without_pnl(pnl, plan).found)
    if precision not in PRECISIONS:
        problems.add(f"unknown precision {precision!r}.", where="precision", fix=suggestion(str(precision), PRECISIONS))
    problems.raise_if_any("These positions cannot be margined")


def _arguments_that_are_none(positions: object, pnl: object, plan: object, threads: object) -> Problems:
    problems = Problems()
    wanted = (Positions, Mapping | Store | Stream, Plan)
    for name, given, kind in zip(("positions", "pnl", "plan"), (positions, pnl, plan), wanted, strict=True):
        if not isinstance(given, kind):
            problems.add(f"is {type(given).__name__}.", where=name, fix="Give Positions, plan.revalue(), the plan.")
    if not is_count(threads):
        problems.add(f"{threads!r} is no number of threads.", where="threads", fix="Give 1 or more.")
    return problems


def _numbers_that_are_none(positions: Positions, plan: Plan) -> Problems:
    problems = Problems()
    numbered = [("product", positions.product, len(plan.products))]
    if positions.labels.size:
        numbered.append(("account", positions.account, len(positions.labels)))
    if len(plan.kinds) > 1 and positions.account.size and not positions.template.size:
        what = f"left out, though the plan has {len(plan.kinds)}: {', '.join(kind.account.id for kind in plan.kinds)}."
        problems.add(what, where="template", fix="Number accounts by labels and give each its template.")
    if positions.template.size:
        numbered.append(("template", positions.template, len(plan.kinds)))
        if len(positions.template) != len(positions.labels):
            what = f"{len(positions.template)} templates of {len(positions.labels)} labels."
            problems.add(what, where="template", fix="Number accounts by labels and give each its template.")
    for name, column, top in numbered:
        if column.size and column.dtype.kind not in "iu":
            problems.add(f"is {column.dtype}, not whole numbers.", where=name, fix="Number what it refers to.")
        elif column.size and not (column.min() >= 0 and column.max() < top):
            rows = np.flatnonzero((column < 0) | (column >= top))
            problems.add(f"not from 0 to {top - 1} in {_told(rows)}.", where=name, fix="Number what is there.")
    called = positions.labels if positions.labels.size else positions.account
    if called.size and called.dtype.kind not in "iuUS":
        problems.add(f"are called by {called.dtype}.", where="accounts", fix="Call them by text or whole numbers.")
    elif len(np.unique(positions.labels)) < len(positions.labels):
        problems.add("a label stands twice.", where="labels", fix="Give each account one number.")
    return problems


def _told(rows: NDArray[np.int64]) -> str:
    """Return how many rows, and the first of them."""
    named = ", ".join(str(row) for row in rows[:_NAMED].tolist())
    return f"{rows.size:,} rows, the first {named}" if rows.size > 1 else f"row {named}"


def _of_another_plan(
    plan: Plan, products: tuple[Product, ...], specs: tuple[ScenarioSpec, ...], market: Market | None
) -> Problems:
    """Return why P&L made of these is not that of a plan; positions refer to products by number."""
    problems = Problems()
    if products != plan.products or specs != plan.specs:
        what = "is of another plan: other products, the same in another order, or other scenario sets."
        problems.add(what, where="pnl", fix="Take that of this plan.")
    if market is not None and not plan.is_on(market):
        what = f"was made on another market, of {market.as_of}; that of the plan is of {plan.market.as_of}."
        problems.add(what, where="pnl", fix="Take that of this plan.")
    return problems


def _without_pnl(pnl: Mapping[ScenarioSpec, PnL], plan: Plan) -> Problems:
    """Return what the plan needs and P&L has not."""
    problems = Problems()
    for market in dict.fromkeys(pnl[spec].market for spec in plan.specs if spec in pnl):
        problems.extend(_of_another_plan(plan, plan.products, plan.specs, market).found)
    for spec in plan.specs:
        name = f"{spec.kind} scenarios over {spec.horizon_days} d"
        if spec not in pnl:
            problems.add(f"no P&L under {name}.", where="pnl", fix="Take that of plan.revalue().")
            continue
        if not np.array_equal(pnl[spec].scenarios.shifts, plan.scenario_set(spec).shifts):
            problems.add(f"is of other {name}.", where="pnl", fix="Take that of plan.revalue().")
        missing = [product.symbol for product in plan.revalued(spec) if product not in pnl[spec]]
        if missing:
            what = f"{len(missing)} products have none under {name}: {', '.join(missing[:_NAMED])}."
            problems.add(what, where="pnl", fix="Take that of plan.revalue().")
    return problems
