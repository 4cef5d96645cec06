"""A model like ICE Clear Credit's for credit default swaps: seven charges, one line each, on assumed parameters.

Call `clearing_margin` with holdings, or `requirement` with a pool. The clearing house publishes the names of its
charges and its five-day horizon, not its parameters nor its simulation of spreads: what is here is deterministic,
simple, and marked as assumed throughout. Interest-rate sensitivity and the clearing fund are not here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from crossmargin.columns import FloatArray
from crossmargin.errors import Problems, counted
from crossmargin.methodology import Inputs
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.pricing.credit import DiscountCurve, hazard_curve, legs
from crossmargin.products.security_based import CreditDefaultSwap
from crossmargin.results import Line, largest, not_modelled, scaled, smallest, total
from crossmargin.scenarios import ScenarioSpec
from crossmargin.uncleared import exposures

_BP = 1e-4  # literal: one basis point
_NOTHING = Line("nothing", 0.0)


@frozen
class Holding:
    """A contract: USD notional, > 0 protection bought, and its quoted spread as a decimal."""

    swap: CreditDefaultSwap
    notional: float
    spread: float


@frozen(eq=False)
class Measured:
    """A contract's gains, USD, signed as held: under each spread move and recovery, for one basis point, on default.

    `jump` is the gain if the one name, or one name of an index, defaulted today.
    """

    swap: CreditDefaultSwap
    notional: float
    spread_pnl: FloatArray
    recovery_pnl: FloatArray
    basis_point: float
    jump: float


def measure(holdings: Iterable[Holding], discount: DiscountCurve, p: Reader) -> list[Measured]:
    """Return what each contract gains, opposite holdings of one contract netted first.

    Raises
    ------
    InputError
        Notionals or spreads that are no numbers.
    """
    held = list(holdings)
    _check(held)
    nets: dict[tuple[CreditDefaultSwap, float], list[float]] = {}
    for each in held:
        nets.setdefault((each.swap, each.spread), []).append(each.notional)
    measured = [_measured(swap, math.fsum(found), spread, discount, p=p) for (swap, spread), found in nets.items()]
    p.taken()  # the charges that rest on these moves read them again, each for its own line
    return measured


def spread_response(measured: Sequence[Measured], p: Reader) -> Line:
    """Return the charge for moves of spreads, USD: the worst common move, weighted with each reference's own worst."""
    share, by_reference = p.portfolio_benefit, _sums(measured, "spread_pnl")
    own = total("own worst moves", [_worst(reference, pnl) for reference, pnl in by_reference.items()])
    common = _worst("worst common move", np.sum(list(by_reference.values()), axis=0) if by_reference else np.zeros(1))
    parts = [scaled("common", share, common), scaled("own", 1.0 - share, own)]
    return total("spread response", parts, note=f"{counted(len(p.spread_moves), 'move')} of spreads", reads=p.taken())


def recovery_charge(measured: Sequence[Measured], p: Reader) -> Line:
    """Return the charge for recovery either way at unchanged spreads, USD: references add up."""
    lines = [_worst(reference, pnl) for reference, pnl in _sums(measured, "recovery_pnl").items()]
    return total("recovery", lines, note=f"recovery {p.recovery_shift:.0%} either way", reads=p.taken())


def basis_charge(measured: Sequence[Measured], p: Reader) -> Line:
    """Return the charge for indices and single names that hedge one another, USD: a move of one against the other."""
    index, single = (
        math.fsum(each.basis_point for each in measured if each.swap.is_index is wanted) for wanted in (True, False)
    )
    opposed = index * single < 0
    sides = [Line("indices", abs(index) if opposed else 0.0), Line("single names", abs(single) if opposed else 0.0)]
    hedged = smallest("hedged, per basis point", sides)
    return scaled("basis", p.basis_move_bp, hedged, reads=p.taken())


def liquidity_charge(measured: Sequence[Measured], p: Reader) -> Line:
    """Return the cost of crossing half the bid-offer of every contract, USD."""
    lines = []
    for each in measured:
        width = p.index_half_width_bp if each.swap.is_index else p.single_half_width_bp
        lines.append(scaled(each.swap.symbol, width, Line("per basis point", abs(each.basis_point))))
    return total("liquidity", lines, reads=p.taken())


def concentration_charge(measured: Sequence[Measured], p: Reader) -> Line:
    """Return the charge on net notional of a reference beyond what the market takes, USD."""
    nets: dict[tuple[str, bool], list[float]] = {}
    for each in measured:
        nets.setdefault((each.swap.reference, each.swap.is_index), []).append(each.notional)
    lines = []
    for (reference, is_index), found in nets.items():
        limit = p.index_concentration_threshold if is_index else p.single_concentration_threshold
        net = [Line("net notional", abs(math.fsum(found))), Line("less the threshold", -limit)]
        lines.append(scaled(reference, p.concentration_rate, largest("excess", [total("beyond", net), _NOTHING])))
    return total("concentration", lines, reads=p.taken())


def jump_to_default(measured: Sequence[Measured], p: Reader) -> Line:
    """Return the loss if the worst names defaulted together today, USD: indices are looked through to their members."""
    losses = sorted(jump_losses(measured).items(), key=lambda item: (-item[1], item[0]))
    return total("jump to default", [Line(name, loss) for name, loss in losses[: p.jump_names]], reads=p.taken())


def jump_losses(measured: Iterable[Measured]) -> dict[str, float]:
    """Return what the default of each name would cost, USD, above zero; of an index without members one name stands."""
    gains: dict[str, list[float]] = {}
    for each in measured:
        swap = each.swap
        names = (swap.members or (f"one name of {swap.reference}",)) if swap.is_index else (swap.reference,)
        for name in names:
            gains.setdefault(name, []).append(each.jump)
    losses = {name: -math.fsum(found) for name, found in gains.items()}
    return {name: loss for name, loss in losses.items() if loss > 0}


def wrong_way(measured: Sequence[Measured], firm: str, p: Reader) -> Line:
    """Return the loss on names that would fail with the firm itself, USD; not modelled where nobody says which."""
    rows: Sequence[Mapping[str, Any]] = [row for row in p.wrong_way_names if row["firm"] == firm]
    if not rows:
        why = f"which names would fail with {firm!r} is not known: overlay wrong_way_names"
        return not_modelled("wrong-way", why, reads=p.taken())
    named = {name for row in rows for name in row["names"]}
    lines = [Line(name, loss) for name, loss in sorted(jump_losses(measured).items()) if name in named]
    return scaled("wrong-way", p.wrong_way_share, total("losses on related names", lines), reads=p.taken())


def clearing_margin(holdings: Iterable[Holding], discount: DiscountCurve, p: Reader, *, firm: str = "") -> Line:
    """Return the seven charges on credit default swaps and their sum, USD.

    Parameters
    ----------
    firm : str
        The clearing member, whose related names bear the wrong-way charge.

    References
    ----------
    ICE Clear Credit, names of the components of initial margin and Rule 403 (five-day horizon); all parameters assumed.
    """
    measured = measure(holdings, discount, p)
    charges = (spread_response, recovery_charge, basis_charge, liquidity_charge, concentration_charge, jump_to_default)
    lines = [charge(measured, p) for charge in charges]
    return total("initial margin", [*lines, wrong_way(measured, firm, p)], note="parameters assumed")


# ---------------------------------------------------------------------------------------------- as a pool's rule-set


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: spreads move by a table."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the margin of a pool's credit default swaps, USD; everything else stands as not modelled."""
    credit = [held for held in pool.positions if _is_credit(held.product)]
    others = [held for held in pool.positions if not _is_credit(held.product)]
    found, gaps = exposures(credit, inputs)
    gaps += [not_modelled(f"{held.id}: {held.product.symbol}", "no credit default swap") for held in others]
    products: list[object] = [each.position.product for each in found]
    holdings = [
        Holding(swap, each.notional, each.spread)
        for swap, each in zip(products, found, strict=True)
        if isinstance(swap, CreditDefaultSwap)
    ]
    name = "icc_cds_like requirement"
    if not holdings:
        return total(name, gaps)
    discount = DiscountCurve.from_par(inputs.market.curve)
    return total(name, [clearing_margin(holdings, discount, p, firm=pool.firm), *gaps])


# ------------------------------------------------------------------------------------------------------------- pieces


def _is_credit(product: object) -> bool:
    return isinstance(product, CreditDefaultSwap)


def _measured(
    swap: CreditDefaultSwap, notional: float, spread: float, discount: DiscountCurve, *, p: Reader
) -> Measured:
    """Reprice a contract on flat hazard rates: now, one basis point up, at every move, at both recoveries."""
    moves = np.array(p.spread_moves, dtype=np.float64)
    shift = p.recovery_shift
    kept = min(max(swap.recovery, shift), 1.0 - 2 * shift)  # so that both recoveries stay sensible
    recoveries = np.array([kept - shift, kept + shift])
    spreads = spread * np.concatenate([[1.0], 1.0 + moves])
    now = _values(swap, np.concatenate([spreads, [spread + _BP]]), discount, swap.recovery)
    moved = _values(swap, np.full(2, spread), discount, recoveries)
    at_spread = hazard_curve([swap.maturity], [[spread]], discount, recovery=swap.recovery)
    jump = float(legs(swap, at_spread, discount).jump_to_default[0])
    return Measured(
        swap,
        notional,
        notional * (now[1:-1] - now[0]),
        notional * (moved - now[0]),
        notional * float(now[-1] - now[0]),
        notional * jump / swap.names,
    )


def _values(swap: CreditDefaultSwap, spreads: FloatArray, discount: DiscountCurve, recovery: Any) -> FloatArray:
    curve = hazard_curve([swap.maturity], spreads[None, :], discount, recovery=recovery)
    return legs(swap, curve, discount, recovery=recovery).value


def _sums(measured: Iterable[Measured], field: str) -> dict[str, FloatArray]:
    found: dict[str, FloatArray] = {}
    for each in measured:
        found[each.swap.reference] = found.get(each.swap.reference, 0.0) + getattr(each, field)
    return found


def _worst(name: str, pnl: FloatArray) -> Line:
    return Line(name, max(0.0, -float(np.min(pnl))))


def _check(held: Iterable[Holding]) -> None:
    problems = Problems()
    for each in held:
        if not math.isfinite(each.notional):
            problems.add(f"notional is {each.notional}.", where=each.swap.symbol, fix="Give a finite signed number.")
        if not (math.isfinite(each.spread) and each.spread >= 0):
            problems.add(f"spread is {each.spread}.", where=each.swap.symbol, fix="Write 110 bp as 0.011.")
    problems.raise_if_any("The credit default swaps cannot be margined")
