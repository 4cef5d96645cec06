"""Charges by the size of net positions: the cost of leaving the market, concentration, and a floor by rates.

Call `net_holdings`, then `size_charges` or `rate_floor`; their rows and factors are tables of a rule's parameters.
What positions lose on their own is the caller's to say, and asked for only where a table uses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from itertools import repeat
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen

from crossmargin import prisma
from crossmargin.errors import InputError, Problem
from crossmargin.methodology import Table
from crossmargin.parameters import Reader
from crossmargin.portfolio import Position
from crossmargin.products import Product
from crossmargin.products.treasuries import TREASURY_SECURITIES, Repo, ReverseRepo, years_between
from crossmargin.results import Line, not_modelled, scaled, total

Row: TypeAlias = Mapping[str, Any]
_PER_CENT = 100.0


@frozen
class Holding:
    """The net position in one product: `net` in units, USD of face or contracts, long > 0, never 0."""

    product: Product
    symbol: str
    net: float

    @property
    def size(self) -> float:
        """How much is held, whichever way."""
        return abs(self.net)


def net_holdings(positions: Iterable[Position]) -> tuple[Holding, ...]:
    """Return the net position in every product, by symbol; what nets to nothing is left out."""
    quantities: dict[Product, list[float]] = {}
    for position in positions:
        quantities.setdefault(position.product, []).append(position.quantity)
    nets = ((product, math.fsum(found)) for product, found in quantities.items())
    held = [Holding(product, product.symbol, net) for product, net in nets if net]
    return tuple(sorted(held, key=lambda each: each.symbol))


def rate_floor(held: Sequence[Holding], as_of: date, p: Reader) -> Line:
    """Return the sum of a rate a unit, from the table `floor_rates`, on every net position, USD: longs and shorts add.

    Without a row a position is a line that is not modelled.
    """
    rated = [
        _unlisted(each) if row is None else _times(each.symbol, row["rate"], "size", each.size)
        for each, row in zip(held, rows_for(held, p.floor_rates, as_of), strict=True)
    ]
    return total("floor", rated, reads=p.taken())


def size_charges(
    held: Sequence[Holding],
    own_losses: Callable[[Sequence[Holding]], Sequence[float]],
    p: Reader,
    *,
    portfolio_loss: float,
    as_of: date,
) -> list[Line]:
    """Return the charges that grow with the size of positions, of those that the rule has tables for.

    Parameters
    ----------
    held : sequence of Holding
        The net positions of a pool.
    own_losses : callable
        What some of them lose, each on its own, USD, >= 0, in their order; called once, with those where it is used.
    p : Reader
        Read are, where the rule has them, `market_depth`, `impact_factors`, `concentration_factors`, `alpha_floor`.
    portfolio_loss : float
        What the pool loses, USD, >= 0.
    as_of : date
        From which remaining years count.

    Returns
    -------
    list of Line
        `liquidity_charge` and `concentration_charge`, USD. A position without a row, or larger than the factors
        reach, is a line that is not modelled.

    Raises
    ------
    InputError
        A daily volume that is not above 0, a table of factors that does not hang together.

    References
    ----------
    Eurex Clearing, Prisma methodology (liquidity adjustment), as in `prisma.liquidity_addon`.
    """
    table = p.optional("market_depth")
    impact, concentration = (p.optional(name) or None for name in ("impact_factors", "concentration_factors"))
    floor, charges = p.optional("alpha_floor"), []
    reads = p.taken()
    if table is None or (impact is None and concentration is None):
        return []
    rows = rows_for(held, table, as_of)
    uses = [row is not None or (impact is not None and floor is not None) for row in rows]
    losses = iter(own_losses([each for each, used in zip(held, uses, strict=True) if used]))
    depth = _Depth(held, rows, [next(losses) if used else 0.0 for used in uses])
    if impact is not None:
        parts = depth.close_outs(impact)
        line = total("liquidity_charge", parts, reads=reads)
        if floor is not None:
            alpha = prisma.diversification_share(portfolio_loss, depth.own_losses, floor)
            line = scaled("liquidity_charge", alpha, total("close-out cost", parts), reads=reads)
        charges.append(line)
    if concentration is not None:
        parts = depth.impacts((each.symbol for each in held), concentration)
        charges.append(total("concentration_charge", parts, reads=reads))
    return charges


@frozen(eq=False)
class _Depth:
    """Net positions, the row of each in the market depth (None without one) and its own loss."""

    held: Sequence[Holding]
    rows: Sequence[Row | None]
    own_losses: Sequence[float]

    def close_outs(self, factors: Table) -> list[Line]:
        """Return what it costs to trade out of each position: half the spread, and what its size moves the market."""
        impacts = self.impacts(repeat("market impact"), factors)
        return [
            impact
            if row is None
            else total(each.symbol, [_times("bid-ask", row["half_spread"], "size", each.size), impact])
            for each, row, impact in zip(self.held, self.rows, impacts, strict=True)
        ]

    def impacts(self, names: Iterable[str], factors: Table) -> list[Line]:
        """Return each position's own loss times the factor of its size relative to a day's market."""
        sizes = [0.0 if row is None else _size(each, row) for each, row in zip(self.held, self.rows, strict=True)]
        shares, last = _shares(sizes, factors), factors[-1]["to_pct"]
        lines = []
        for each, row, name, size, share, own in zip(
            self.held, self.rows, names, sizes, shares, self.own_losses, strict=False
        ):
            if row is None:
                lines.append(_unlisted(each))
            elif size > last:
                why = f"a size of {size:.0f} % of daily volume is beyond the table, which ends at {last} %"
                lines.append(not_modelled(name, why))
            else:
                lines.append(_times(name, share, "own loss", own))
        return lines


def _times(name: str, factor: float, what: str, amount: float) -> Line:
    """Return `results.scaled` of one figure; there are thousands of these, and each still checks itself."""
    return Line(name, factor * amount, "scaled", (Line(what, amount),), factor)


def _size(each: Holding, row: Row) -> float:
    """Return the size of a position in per cent of a day's volume."""
    volume = row["daily_volume"]
    if volume <= 0.0:
        raise InputError([Problem(f"{volume!r} is not above 0.", f"daily_volume of {each.symbol}")])
    return float(_PER_CENT * each.size / volume)


def _shares(sizes: Sequence[float], factors: Table) -> list[float]:
    """Return `prisma.liquidity_factor` of every size that the table reaches, that of its end for the others."""
    known = [size for size in sizes if size <= factors[-1]["to_pct"]]
    if not known:
        return [0.0] * len(sizes)
    prisma.liquidity_factor(min(known), factors)  # refuses a table that does not hang together, or begins above
    begin, end, low, high = (
        np.array([float(row[name]) for row in factors]) for name in ("from_pct", "to_pct", "factor_from", "factor_to")
    )
    size = np.minimum(sizes, end[-1])
    row = np.searchsorted(end, size)  # on the border of two rows the lower one speaks
    share = (size - begin[row]) / (end[row] - begin[row])
    found: list[float] = ((1.0 - share) * low[row] + share * high[row]).tolist()
    return found


def _unlisted(each: Holding) -> Line:
    return not_modelled(each.symbol, "no row of the table is for it")


def rows_for(held: Iterable[Holding], table: Table, as_of: date) -> list[Row | None]:
    """Return the first row of a table that is for each position, or None."""
    of_kind = {kind: [row for row in table if kind in row["kinds"]] for kind in {each.product.kind for each in held}}
    return [
        next((row for row in of_kind[each.product.kind] if _covers(row, each.product, as_of)), None) for each in held
    ]


def _covers(row: Row, product: Product, as_of: date) -> bool:
    """Whether a row for products of this kind is for this one: by contract and remaining years, where it names them."""
    if "contracts" in row and getattr(product, "contract", "") not in row["contracts"]:
        return False
    if "to_years" not in row:
        return True
    security = product.collateral if isinstance(product, Repo | ReverseRepo) else product
    years = years_between(as_of, security.maturity) if isinstance(security, TREASURY_SECURITIES) else math.inf
    return bool(row["from_years"] < years <= row["to_years"])
