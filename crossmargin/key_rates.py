"""Key-rate sensitivities: what a product gains when one tenor of the par curve rises by a basis point.

Call `key_rates(products, market, tenors)`. Between two tenors a bump is read linearly, so that bumps of all tenors add
up to a parallel move. Full repricing is `pnl.revalue`; this is what a sensitivity model sees of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike

from crossmargin.columns import FloatArray, readonly
from crossmargin.market import Market
from crossmargin.pnl import revalue
from crossmargin.products import Product
from crossmargin.scenarios import ScenarioSet, ScenarioSpec

BASIS_POINT = 1e-4
_BUMPS = ScenarioSpec("grid", 1, 0.0)


@frozen(eq=False)
class KeyRates:
    """Sensitivities of one unit of each product.

    Attributes
    ----------
    tenors : array [n_factors]
        Years.
    kr01 : array [n_instruments, n_factors]
        Gain from a rise by one basis point, USD; negative for a long bond.
    convexity : array [n_instruments, n_factors]
        Second derivative, USD per squared basis point; what two tenors do together is left out.
    """

    tenors: FloatArray = field(converter=readonly)
    kr01: FloatArray = field(converter=readonly)
    convexity: FloatArray = field(converter=readonly)

    def pooled(self, quantities: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return KR01 and convexity [n_factors] of positions held together, quantities in the order of products."""
        held = np.asarray(quantities, dtype=np.float64)
        return held @ self.kr01, held @ self.convexity


def key_rates(products: Sequence[Product], market: Market, tenors: ArrayLike) -> KeyRates:
    """Return the sensitivities of distinct products at the tenors, by a bump of one basis point up and one down.

    Raises
    ------
    InputError
        Products that yields alone cannot revalue.

    Examples
    --------
    >>> from crossmargin import samples
    >>> from crossmargin.products import TreasuryNote
    >>> from datetime import date
    >>> _, market = samples.basis_trade()
    >>> note = TreasuryNote(0.0425, date(2031, 6, 30))
    >>> found = key_rates([note], market, [2.0, 5.0, 10.0])
    >>> (1e6 * found.kr01).round(0).tolist()  # USD per million of face
    [[-0.0, -448.0, -0.0]]
    """
    knots = np.asarray(tenors, dtype=np.float64)
    bump = BASIS_POINT * np.eye(knots.size)
    values = revalue(products, market, ScenarioSet(_BUMPS, knots, np.hstack([bump, -bump]))).values
    up, down = values[:, : knots.size], values[:, knots.size :]
    return KeyRates(knots, (up - down) / 2.0, up + down)
