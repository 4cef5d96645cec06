"""What margin methodologies share: the inputs that each of them receives, and the charges that several make.

A methodology is a module with two functions: `scenarios(p)` says which scenario sets it needs before it runs, and
`requirement(pool, inputs, p)` returns the line that is its answer. No methodology lives here, and no number of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from attrs import field, frozen

from crossmargin.columns import FloatArray
from crossmargin.market import Market
from crossmargin.parameters import Read
from crossmargin.pnl import PnL, today_prices
from crossmargin.portfolio import Portfolio, Position
from crossmargin.pricing.swaps_market import curve_notes, why_no_value
from crossmargin.products import Product
from crossmargin.products.equities import Security
from crossmargin.products.swaps import RATE_SWAPS
from crossmargin.products.treasuries import (
    TREASURY_SECURITIES,
    Repo,
    ReverseRepo,
    TreasurySecurity,
    repo_legs,
    years_between,
)
from crossmargin.results import Line, not_modelled, root_sum_square, scaled, total
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSpec
from crossmargin.underlyings import securities_held, ticker_held, unknown_breadth

PRICED_KINDS = frozenset({"stock", "etf", "security_future", "listed_option"})
_Made = TypeVar("_Made")
Table = Sequence[Mapping[str, Any]]


@frozen
class Inputs:
    """The book, the market, and `pnl[instrument, scenario]` of every scenario set that some rule asked for.

    `part_of` are the inputs of a larger book on the same market and rules, whose prices and what is made once serve
    this one too.
    """

    portfolio: Portfolio
    market: Market
    pnl: Mapping[ScenarioSpec, PnL]
    part_of: Inputs | None = field(default=None, repr=False, eq=False)
    _made: dict[Hashable, Any] = field(factory=dict, init=False, repr=False, eq=False)

    def once(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """Return what `make` gives, made once for a key: what no pool changes need not be made for each of them."""
        if self.part_of is not None:
            return self.part_of.once(key, make)
        if key not in self._made:
            self._made[key] = make()
        made: _Made = self._made[key]
        return made

    @property
    def as_of(self) -> date:
        """The one date of market, rules and eligibility."""
        return self.market.as_of

    @property
    def notes(self) -> tuple[str, ...]:
        """What the market and the scenario sets want said, each once."""
        swaps = [product for product in self.portfolio.products if isinstance(product, RATE_SWAPS)]
        said = [
            f"{spec.kind} scenarios over {spec.horizon_days} d: {note}"
            for spec, pnl in self.pnl.items()
            for note in pnl.scenarios.notes
            if note not in self.market.notes
        ]
        return (*self.market.notes, *curve_notes(swaps, self.market), *sorted(set(said)))

    def pooled(self, positions: Iterable[Position], spec: ScenarioSpec) -> FloatArray:
        """Return the P&L of positions margined together, gain > 0, USD, of shape (n_scenarios,) or (0,)."""
        held = [position for position in positions if self.revalued(position, spec)]
        if not held:
            return np.zeros(0)
        return self.pnl[spec].pooled([p.product for p in held], [p.quantity for p in held])

    def revalued(self, position: Position, spec: ScenarioSpec) -> bool:
        """Whether the P&L of a position under a scenario set is known."""
        return spec in self.pnl and position.product in self.pnl[spec]

    @cached_property
    def securities(self) -> Mapping[str, Security]:
        """What each ticker is on whose price a position hangs."""
        return securities_held(self.portfolio.products, self.market.underlyings)

    @cached_property
    def prices(self) -> Mapping[Product, float]:
        """Today's price of every share and listed option held, USD per unit: observed, or else the model's."""
        if self.part_of is not None:
            return self.part_of.prices
        return today_prices(self.portfolio.products, self.market)

    def lacks(self, position: Position) -> str:
        """Say what the market lacks for a share, an option or an interest-rate swap to be margined, "" when nothing.

        A ticker is margined whole or not at all: one leg without a price would make its hedge look naked.
        """
        ticker = ticker_held(position.product)
        return self._lacking.get(ticker, "") if ticker else self._unfixed.get(position.product, "")

    @cached_property
    def _unfixed(self) -> Mapping[Product, str]:
        """What the market lacks, interest-rate swap by interest-rate swap."""
        swaps = (product for product in self.portfolio.products if isinstance(product, RATE_SWAPS))
        return {swap: why for swap in swaps if (why := why_no_value(swap, self.market))}

    @cached_property
    def _lacking(self) -> Mapping[str, str]:
        """What the market lacks, ticker by ticker."""
        held = self.portfolio.products
        untold = unknown_breadth(held, self.market.underlyings)
        said = {ticker: f"the market does not say how broad {ticker} is: Underlying(security=...)" for ticker in untold}
        for product in held:
            if product.kind in PRICED_KINDS and product not in self.prices:
                said.setdefault(ticker_held(product), f"the market has no price of {product.symbol}")
        return said


def tail_charge(name: str, pnl: FloatArray, measure: TailMeasure, reads: tuple[Read, ...]) -> Line:
    """Return the tail loss of a pooled P&L, never negative, USD."""
    loss = measure.of_pnl(pnl) if np.size(pnl) and np.any(pnl) else 0.0
    return Line(name, max(0.0, float(loss)), reads=reads)


def security_exposures(positions: Iterable[Position], as_of: date) -> dict[TreasurySecurity, float]:
    """Return the net face of each Treasury that is still to settle, USD: cash positions and open repo legs together.

    Buys, sells and repo in one security net into one position, as in a net unsettled position.
    """
    faces: dict[TreasurySecurity, list[float]] = {}
    for position in positions:
        security, face = _security(position, as_of)
        if security is not None:
            faces.setdefault(security, []).append(face)
    return {security: math.fsum(found) for security, found in faces.items()}


def haircut_charge(
    name: str, exposures: Mapping[TreasurySecurity, float], table: Table, *, as_of: date, reads: tuple[Read, ...]
) -> Line:
    """Return the haircut charge of net faces: signed amounts by bucket, combined as uncorrelated.

    `table` rows have `bucket, kinds, from_years, to_years, haircut`; within a bucket longs and shorts offset.
    """
    buckets: dict[str, list[Line]] = {}
    for security, face in exposures.items():
        row = row_of(security, table, as_of)
        if row is None:
            buckets[security.symbol] = [not_modelled(security.symbol, "no haircut in the table for this maturity")]
        else:
            line = scaled(security.symbol, row["haircut"], Line("net face", face))
            buckets.setdefault(row["bucket"], []).append(line)
    return root_sum_square(name, [total(bucket, lines) for bucket, lines in buckets.items()], reads=reads)


def row_of(security: TreasurySecurity, table: Table, as_of: date) -> Mapping[str, Any] | None:
    """Return the row of a maturity table that a Treasury falls in, `from_years` < remaining <= `to_years`, or None."""
    years = years_between(as_of, security.maturity)
    for row in table:
        if security.kind in row["kinds"] and row["from_years"] < years <= row["to_years"]:
            return row
    return None


def unmodelled(positions: Iterable[Position], why: str) -> list[Line]:
    """Return one visible line for each position that a methodology cannot margin yet."""
    return [not_modelled(f"{position.id}: {position.product.symbol}", why) for position in positions]


def _security(position: Position, as_of: date) -> tuple[TreasurySecurity | None, float]:
    product = position.product
    if isinstance(product, Repo | ReverseRepo):
        face = sum(leg.security_face for leg in repo_legs(product, as_of))
        return product.collateral, position.quantity * face
    return (product, position.quantity) if isinstance(product, TREASURY_SECURITIES) else (None, 0.0)
