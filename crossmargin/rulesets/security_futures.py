"""Security futures: a share of the current market value of every contract, at the customer level.

Offsets against stock, options and other security futures are not recognised here: each contract stands alone.
"""

from __future__ import annotations

from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool, Position
from crossmargin.products.equities import SecurityFuture
from crossmargin.results import Line, scaled, total
from crossmargin.scenarios import ScenarioSpec


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: the rule is a rate."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the margin of all contracts, each on its own, USD.

    References
    ----------
    17 CFR 242.403(b)(1) and 41.45(b)(1).
    """
    held = [position for position in pool.positions if isinstance(position.product, SecurityFuture)]
    others = [position for position in pool.positions if position not in held]
    contracts = [scaled(each.id, p.margin_rate, _market_value(each, inputs), reads=p.taken()) for each in held]
    return total("security_futures requirement", [*contracts, *unmodelled(others, "is no security future")])


def _market_value(position: Position, inputs: Inputs) -> Line:
    units = position.product.multiplier if isinstance(position.product, SecurityFuture) else 0.0
    return Line("current market value", abs(position.quantity) * units * inputs.prices[position.product])
