"""P&L for a batch that is made a block of scenarios at a time and never stored.

`plan.stream()` makes a `Stream`, which `margin_many` takes in place of `plan.revalue()`: the same figures to the last
bit, in memory that hardly grows with the number of scenarios. It costs a revaluation for each batch; where many batches
look at the same products, store the P&L instead.

What looks at all scenarios at once to be valued (American options, whose tables span them, and smiles that stick to
delta) is revalued beforehand and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, Problems
from crossmargin.market import Market
from crossmargin.pnl import revalue, scenario_zero_rates
from crossmargin.pricing.european import european_values
from crossmargin.pricing.many_pools import Holdings, Tails
from crossmargin.pricing.options import european_books, option_problems, symbol_of_underlying
from crossmargin.pricing.streamed import Blocks, EuropeanRows, Room, european_rows, streamed_tails
from crossmargin.products import Product
from crossmargin.products.options import FutureOption, ListedOption
from crossmargin.scenarios import ScenarioSet, ScenarioSpec

AT_ONCE = 8  # blocks for which cash flows are laid out once: 512 scenarios in single precision, 256 in double


@frozen(eq=False)
class Streamed:
    """One scenario set, and the products that are revalued under it."""

    products: tuple[Product, ...]
    scenarios: ScenarioSet

    def __contains__(self, product: object) -> bool:
        return product in self.products


@frozen(eq=False)
class Stream:
    """Products under scenario sets, P&L made when it is wanted. Made by `Plan.stream`.

    Attributes
    ----------
    products : tuple
        All of them, by number; those that a set does not revalue have no P&L under it.
    market : Market
    sets : mapping
        What is revalued under each specification.
    at_once : int
        Blocks of scenarios made at a time; the figures do not depend on it.
    """

    products: tuple[Product, ...]
    market: Market
    sets: Mapping[ScenarioSpec, Streamed]
    at_once: int = AT_ONCE

    def __contains__(self, spec: object) -> bool:
        return spec in self.sets

    def __getitem__(self, spec: ScenarioSpec) -> Streamed:
        return self.sets[spec]

    def tails(
        self, held: Holdings, tails: Tails, *, single: bool = False, threads: int = 1
    ) -> tuple[FloatArray, FloatArray]:
        """Return what `streamed_tails` returns; segment n of `tails` is the n-th of `sets`.

        Raises
        ------
        InputError
            Products that cannot be revalued, or whose P&L is not finite in some scenario.
        """
        parts = [_Part.of(self, each) for each in self.sets.values()]
        counts = tuple(each.scenarios.shifts.shape[1] for each in self.sets.values())
        blocks = Blocks(counts, len(self.products), lambda segment, *where: parts[segment].fill(*where))
        at_once = self.at_once if any(part.again.size for part in parts) else 1
        return streamed_tails(blocks, held, tails, single=single, at_once=at_once, threads=threads)


@frozen(eq=False)
class _Part:
    """The products under one scenario set, by the way in which they are valued; rows of a block by product."""

    stream: Stream
    scenarios: ScenarioSet
    priced: EuropeanRows | None
    again: NDArray[np.int64]
    kept: NDArray[np.int64]
    kept_values: FloatArray
    none: NDArray[np.int64]

    @classmethod
    def of(cls, stream: Stream, under: Streamed) -> _Part:
        market, number = stream.market, {product: n for n, product in enumerate(stream.products)}
        ways: dict[Callable[[Product, Market], bool], list[int]] = {_is_flat: [], _spans: [], _any: []}
        for product in under.products:
            ways[next(way for way in ways if way(product, market))].append(number[product])
        flat, kept, again = (np.array(sorted(rows), dtype=np.int64) for rows in ways.values())
        none = np.setdiff1d(np.arange(len(number)), [*flat, *kept, *again])
        options = [each for n in flat if isinstance(each := stream.products[n], ListedOption)]
        priced = _priced(options, number, market, under.scenarios) if options else None
        values = (
            revalue([stream.products[n] for n in kept], market, under.scenarios).values if kept.size else np.empty(0)
        )
        _refuse_infinite(values, kept, stream.products)
        return cls(stream, under.scenarios, priced, again, kept, values, none)

    def fill(self, scenarios: NDArray[np.int64], room: Room) -> None:
        """Set the P&L of every product under `scenarios` [n_blocks, width]."""
        room.values[:, self.none] = 0.0
        if self.priced is not None:
            self.priced.fill(scenarios, room)
        if self.kept.size:
            _write(self.kept_values, scenarios, self.kept, room)
        if self.again.size:
            wanted, places = np.unique(scenarios, return_inverse=True)
            held = [self.stream.products[n] for n in self.again]
            found = revalue(held, self.stream.market, _some(self.scenarios, wanted)).values
            _refuse_infinite(found, self.again, self.stream.products)
            _write(found, places.reshape(scenarios.shape), self.again, room)


def _is_flat(product: Product, market: Market) -> bool:
    """Whether a product is a European option on a share or index of one volatility: priced without a surface."""
    if not isinstance(product, ListedOption) or product.exercise != "european":
        return False
    known = market.underlyings.get(product.underlying)
    return known is not None and isinstance(known.volatility, int | float)


def _spans(product: Product, market: Market) -> bool:
    """Whether the value of an option under a scenario depends on which other scenarios there are, by its last bits."""
    if not isinstance(product, ListedOption | FutureOption):
        return False
    known = market.underlyings.get(symbol_of_underlying(product))
    return product.exercise == "american" or (known is not None and known.smile_rule == "sticky_delta")


def _any(product: Product, market: Market) -> bool:
    del product, market
    return True


def _priced(
    options: list[ListedOption], number: Mapping[Product, int], market: Market, scenarios: ScenarioSet
) -> EuropeanRows:
    """Return options of flat volatility as rows of a block."""
    problems = Problems()
    problems.extend(option_problems(options, market, scenarios))
    problems.raise_if_any(f"cannot revalue on {market.as_of}")
    curves = scenario_zero_rates(market.curve, scenarios)
    found = []
    for held, book in european_books(options, market, scenarios, curves=curves):
        units = np.array([option.units for option in held])
        columns = {name: getattr(book, name) for name in ("forward", "discount", "scale", "shift")}
        now, later = (evolve(book, **{name: rows[:, some] for name, rows in columns.items()})
                      for some in (slice(1), slice(1, None)))  # fmt: skip
        base = units * european_values(now)[:, 0]
        found.append(european_rows(later, base, units=units, places=np.array([number[each] for each in held])))
    return EuropeanRows.joined(found)


def _some(scenarios: ScenarioSet, chosen: NDArray[np.int64]) -> ScenarioSet:
    """Return some of the scenarios of a set."""
    moves: dict[str, Any] = {
        name: {symbol: move[chosen] for symbol, move in getattr(scenarios, name).items()}
        for name in ("spot_moves", "volatility_moves")
    }
    return ScenarioSet(scenarios.spec, scenarios.tenors, scenarios.shifts[:, chosen], **moves)


def _write(values: FloatArray, columns: NDArray[np.int64], rows: NDArray[np.int64], room: Room) -> None:
    """Write values [n_rows, any] at `columns` [n_blocks, width] into some rows of the blocks."""
    for block, chosen in zip(room.values, columns, strict=True):
        block[rows] = values[:, chosen]
    if room.largest.size:
        some = np.abs(values[:, np.unique(columns)]).max(axis=1)
        room.largest[rows] = np.maximum(room.largest[rows], some)


def _refuse_infinite(values: FloatArray, rows: Iterable[int], products: tuple[Product, ...]) -> None:
    bad = [
        products[n].symbol for n, fine in zip(rows, np.isfinite(values).all(axis=-1).ravel(), strict=False) if not fine
    ]
    if bad:
        raise InputError([Problem(f"not finite in every scenario: {', '.join(bad)}.", "pnl", "Drop them.")])
