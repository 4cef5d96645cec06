"""Initial margin on non-cleared security-based swaps by the SEC's standardised haircuts, 17 CFR 240.18a-3(c)(1).

Call `credit_margin` with credit default swaps, `equity_margin` and `bond_margin` with what other swaps refer to, or
`requirement` with a pool. Options among security-based swaps go by 15c3-1a, hedges of a credit default swap with its
bond by rules of their own: neither is here. Threshold, transfer amount and exceptions are in `uncleared_margin`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from crossmargin.errors import Problems
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.products.security_based import CreditDefaultSwap
from crossmargin.products.swaps import RATE_SWAPS
from crossmargin.results import Line, not_modelled, scaled, total
from crossmargin.scenarios import ScenarioSpec
from crossmargin.uncleared import CreditGrid, CreditPosition, Exposure, credit_positions, exposures, grid_charge


@frozen
class SharePosition:
    """A share that swaps or forwards refer to: ticker and market value, USD, > 0 for who receives its return."""

    ticker: str
    market_value: float


@frozen
class BondPosition:
    """A bond that swaps refer to: name, `government` or `corporate`, full months to its maturity, market value, USD."""

    bond: str
    issuer_kind: str
    months: int
    market_value: float


def credit_margin(positions: Iterable[CreditPosition], p: Reader) -> Line:
    """Return the margin on credit default swaps by the grid of maturity and spread, USD.

    Sales and purchases on one reference in one cell net; a net purchase bears half of what a net sale bears.

    References
    ----------
    17 CFR 240.15c3-1(c)(2)(vi)(P) and 18a-1; from memory, see `sbs_standardised.toml`.

    Examples
    --------
    >>> from datetime import date
    >>> from crossmargin.registry import rules
    >>> p = rules("sbs_standardised").at(date(2026, 6, 30))
    >>> credit_margin([CreditPosition("ACME", -1e7, 60, 0.0105)], p).value
    700000.0
    """
    grid = CreditGrid(p.credit_grid, p.credit_spread_bounds)
    buyer_share, netting, reads = p.buyer_share, p.credit_netting, p.taken()
    return grid_charge("credit default swaps", positions, grid, buyer_share=buyer_share, netting=netting, reads=reads)


def equity_margin(positions: Iterable[SharePosition], p: Reader) -> Line:
    """Return the margin on swaps and forwards on shares, USD: net by ticker, tickers add up.

    References
    ----------
    17 CFR 240.15c3-1(c)(2)(vi)(J); that nothing nets across tickers is this library's caution.

    Examples
    --------
    >>> from datetime import date
    >>> from crossmargin.registry import rules
    >>> p = rules("sbs_standardised").at(date(2026, 6, 30))
    >>> equity_margin([SharePosition("IBM", 1e6), SharePosition("IBM", -4e5), SharePosition("XYZ", -1e5)], p).value
    105000.0
    """
    held = list(positions)
    _check((f"{each.ticker}, market_value", each.market_value) for each in held)
    nets = {ticker: math.fsum(e.market_value for e in held if e.ticker == ticker) for ticker in _names(held, "ticker")}
    lines = [scaled(ticker, p.equity_haircut, Line("net market value", abs(net))) for ticker, net in nets.items()]
    return total("swaps on shares", lines, reads=p.taken())


def bond_margin(positions: Iterable[BondPosition], p: Reader) -> Line:
    """Return the margin on swaps on bonds, USD: net by bond, rates by kind of issuer and months to maturity.

    References
    ----------
    17 CFR 240.15c3-1(c)(2)(vi)(A) and (F); offsets within a maturity category are left out.
    """
    held = list(positions)
    _check((f"{each.bond}, months", each.months) for each in held)
    _check((f"{each.bond}, market_value", each.market_value) for each in held)
    lines = []
    for bond in _names(held, "bond"):
        same = [each for each in held if each.bond == bond]
        share = _bond_rate(p.bond_haircuts, same[0])
        net = abs(math.fsum(each.market_value for each in same))
        lines.append(
            not_modelled(bond, f"no haircut for a {same[0].issuer_kind} bond")
            if share is None
            else scaled(bond, share, Line("net market value", net))
        )
    return total("swaps on bonds", lines, reads=p.taken())


# ---------------------------------------------------------------------------------------------- as a pool's rule-set


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: the haircuts are tables."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the initial margin that the owner of a pool posts, USD; kinds of swaps do not offset one another.

    Interest-rate swaps and index swaps of many names are swaps of the CFTC and stand as not modelled here.

    References
    ----------
    17 CFR 240.18a-3(c)(1)(ii).
    """
    found, gaps = exposures([held for held in pool.positions if not _of_the_cftc(held.product)], inputs)
    lines = [
        credit_margin(credit_positions(found), p),
        equity_margin(_shares(found), p),
        bond_margin(_bonds(found), p),
    ]
    why = "a swap under the CFTC's rules, not security-based"
    gaps += unmodelled([held for held in pool.positions if _of_the_cftc(held.product)], why)
    asked = [line for line in lines if line.parts]
    return total("sbs_standardised requirement", [*asked, *gaps])


# ------------------------------------------------------------------------------------------------------------- pieces


def _of_the_cftc(product: object) -> bool:
    """Whether a product is an interest-rate swap or an index of many names."""
    return isinstance(product, RATE_SWAPS) or (isinstance(product, CreditDefaultSwap) and not product.is_narrow)


def _shares(found: Iterable[Exposure]) -> list[SharePosition]:
    return [SharePosition(each.reference, each.notional) for each in found if each.kind.startswith("equity")]


def _bonds(found: Iterable[Exposure]) -> list[BondPosition]:
    return [
        BondPosition(each.reference, each.kind.removesuffix("_return_swap"), each.reference_months, each.notional)
        for each in found
        if each.kind.endswith("_return_swap") and not each.kind.startswith("equity")
    ]


def _bond_rate(table: Sequence[Mapping[str, Any]], held: BondPosition) -> float | None:
    rates = [
        row["rate"] for row in table if row["issuer_kind"] == held.issuer_kind and row["from_months"] <= held.months
    ]
    return float(rates[-1]) if rates else None


def _names(held: Iterable[SharePosition | BondPosition], field: str) -> list[str]:
    return list(dict.fromkeys(getattr(each, field) for each in held))


def _check(numbers: Iterable[tuple[str, float]]) -> None:
    problems = Problems()
    for where, number in numbers:
        if not math.isfinite(number):
            problems.add(f"{number} is no number.", where=where, fix="Give a finite one.")
    problems.raise_if_any("The swaps bear no margin as given")
