"""Interest-rate swaps in a market and its scenarios: which curve discounts, which projects, and how both move.

Call `market_swap_values` with the zero rates of the scenarios; `why_no_value` says what the market lacks for a swap,
`curve_notes` which curve stands in for which. The curve of SOFR discounts where the market has one, the par curve
otherwise; an index without a curve of its own is read off the one that discounts.

What the numbers leave out: a projection curve moves by the changes of zero rates of the par curve. The spread between
the two stands still in every scenario, and so do basis swaps but for their discounting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from crossmargin.curves import FloatArray, discount_factors, interpolate
from crossmargin.errors import InputError, Problem
from crossmargin.market import Market
from crossmargin.pricing.swap_flows import Setting, flows_of_swaps
from crossmargin.pricing.swaps import Curve, SwapCurves, swap_book, swap_values
from crossmargin.products.swaps import USUAL_INDEX, Swap, indices_of
from crossmargin.swap_market import ZeroCurve


def market_swap_values(swaps: Sequence[Swap], market: Market, curves: Curve, *, threads: int = 1) -> FloatArray:
    """Return values [n_swaps, n_curves] in USD per unit of quantity, gain > 0.

    Parameters
    ----------
    swaps : sequence
    market : Market
        Its fixings and projection curves.
    curves : (knots, zeros)
        Zero rates of the par curve, [n_knots] and [n_knots, n_curves]; the first of them is that of today.
    threads : int
        The result is the same to the last bit.

    Raises
    ------
    InputError
        Every swap that has ended or lacks fixings, all at once.

    Examples
    --------
    >>> from datetime import date
    >>> from crossmargin.market import History, ParCurve
    >>> from crossmargin.products.swaps import OvernightSwap
    >>> today = date(2026, 6, 30)
    >>> market = Market(today, ParCurve(today, [1, 2], [0.04, 0.04]), History([today], [1, 2], [[0.04, 0.04]]))
    >>> swap = OvernightSwap("receive", 0.04, date(2026, 7, 2), date(2028, 7, 2), notional=1e6)
    >>> market_swap_values([swap], market, (np.array([1.0]), np.array([[0.04, 0.0401]]))).round(0)
    array([[-486., -682.]])
    """
    book = swap_book(swaps, market.as_of, fixings=market.fixings, projections=_projected(market))
    return swap_values(book, _swap_curves(market, curves), threads=threads)


def swap_problems(swaps: Sequence[Swap], market: Market) -> tuple[Problem, ...]:
    """Return what keeps swaps from being valued in a market: they have ended, or fixings are missing."""
    try:
        flows_of_swaps(swaps, Setting(market.as_of, market.fixings, _projected(market)))
    except InputError as error:
        return error.problems
    return ()


def why_no_value(swap: Swap, market: Market) -> str:
    """Return what keeps a swap from being valued in a market, in words; "" when nothing does."""
    return " ".join(problem.what for problem in swap_problems([swap], market)).rstrip(".")


def curve_notes(swaps: Iterable[Swap], market: Market) -> tuple[str, ...]:
    """Return what a reader must know of the curves that these swaps are valued on; nothing without swaps."""
    indices = sorted({index for swap in swaps for index in indices_of(swap)})
    if not indices:
        return ()
    discounts = USUAL_INDEX if USUAL_INDEX in market.projections else "par"
    borrowed = [index for index in indices if index not in market.projections]
    said = [f"swaps: the {discounts} curve discounts, and projects {', '.join(borrowed)} too"] if borrowed else []
    own = [index for index in dict.fromkeys([USUAL_INDEX, *indices]) if index in market.projections]
    moved = f"swaps: curves of {', '.join(own)} move as the zero rates of the par curve do, spreads to it unchanged"
    return (*said, *([moved] if own else []))


def _projected(market: Market) -> tuple[str, ...]:
    return tuple(index for index in market.projections if index != USUAL_INDEX)


def _swap_curves(market: Market, curves: Curve) -> SwapCurves:
    moved = {index: _moved(curve, curves) for index, curve in market.projections.items()}
    return SwapCurves(*moved.pop(USUAL_INDEX, curves), moved)


def _moved(curve: ZeroCurve, curves: Curve) -> Curve:
    """Return a curve moved by the changes of zero rates of others, at the knots of both so that neither loses one."""
    knots, zeros = curves
    both = np.union1d(curve.knots, knots)
    today = -np.log(discount_factors(curve.knots, curve.zeros[:, None], both)) / both[:, None]
    return both, today + interpolate(knots, zeros - zeros[:, :1], both)
