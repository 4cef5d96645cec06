"""Zero curves from quoted swaps: each quoted instrument is worth nothing on the curve that `swaps` then reads.

Call `bootstrap` with instruments made by `spot_swap` from tenors and par rates, or by yourself: overnight swaps, swaps
against term rates, forward rate agreements. One curve discounts and projects, or, where `discount` is given, the
projection curve of one index is built beside it.

Not here: fitting or smoothing, turns of the year, futures (their convexity needs a model).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import numpy as np
from attrs import frozen

from crossmargin.curves import FloatArray, discount_factors, exponent_weights, year_fractions
from crossmargin.errors import InputError, NumericalError, Problem, Problems
from crossmargin.pricing.swap_flows import Flows, Key, Setting, flows_of_swaps, own_rate
from crossmargin.pricing.swaps import Curve
from crossmargin.products.calendars import add_business_days, add_months
from crossmargin.products.swaps import OvernightSwap, Swap, indices_of
from crossmargin.swap_market import Fixings

SPOT_DAYS = 2  # business days from the trade to the start of a USD swap
MOST_STEPS = 50  # Newton's method needs five or so
CLOSE_ENOUGH = 1e-12  # last step of the exponent: it squares the error, so what is left is rounding

_TENOR = re.compile(r"([1-9]\d{0,2})([WMY])")


@frozen
class _Equation:
    """An instrument as the sum over terms of amounts * known * exp(-weights @ exponents) = 0.

    `amounts` [n_terms, n_curves] USD, `known` [n_terms, n_curves or 1] discount factors, `times` in years and `powers`
    [n_terms, 3] of the factors that are sought; a power of 0 stands for none.
    """

    name: str
    amounts: FloatArray
    known: FloatArray
    times: FloatArray
    powers: FloatArray


def spot_swap(as_of: date, tenor: str, rate: float = 0.0) -> OvernightSwap:
    """Return the SOFR overnight swap that is quoted for a tenor: receiver, two business days forward, 1 USD.

    Parameters
    ----------
    as_of : date
    tenor : str
        Weeks, months or years: "2W", "18M", "5Y".
    rate : float
        Decimal.

    Raises
    ------
    InputError
        The tenor cannot be read.

    Examples
    --------
    >>> swap = spot_swap(date(2023, 8, 16), "18M", 0.0504775)
    >>> swap.start.isoformat(), swap.maturity.isoformat()
    ('2023-08-18', '2025-02-18')
    """
    found = _TENOR.fullmatch(tenor)
    if found is None:
        fix = "Write weeks, months or years as 2W, 18M or 5Y."
        raise InputError([Problem(f"{tenor!r} is no tenor.", "spot_swap", fix)])
    count, unit = int(found[1]), found[2]
    start = add_business_days(as_of, SPOT_DAYS)
    months = {"W": 0, "M": count, "Y": 12 * count}[unit]
    maturity = add_months(start, months) if months else start + timedelta(weeks=count)
    return OvernightSwap("receive", rate, start, maturity)


def bootstrap(
    instruments: Sequence[Swap],
    as_of: date,
    *,
    rates: FloatArray | None = None,
    discount: Curve | None = None,
    fixings: Fixings | None = None,
) -> Curve:
    """Return knots [n_instruments] and zero rates [n_instruments, n_curves] on which every instrument is worth nothing.

    Parameters
    ----------
    instruments : sequence
        In order of their last date, which becomes their knot: years by Act/365 (fixed).
    as_of : date
    rates : array [n_instruments, n_curves], optional
        Fixed rates to use in place of the instruments' own, decimals: one curve for each column.
    discount : (knots, zeros), optional
        Discount curve, or one for each column of rates. The curve returned then projects the one index of the
        instruments; without it, the curve returned does both.
    fixings : mapping of index to {date: rate}, optional
        For instruments that have begun.

    Raises
    ------
    InputError
        No instrument, last dates that do not increase, rates that are not finite or do not fit, several indices beside
        a discount curve.
    NumericalError
        No curve makes an instrument worth nothing.

    Notes
    -----
    One knot after the other by Newton's method on the exponent, -ln DF; between knots the exponent is linear, before
    the first the zero rate is flat (`curves.discount_factors`). An instrument may pay between knots: its own knot
    decides all that lies beyond the one before.

    References
    ----------
    Hagan and West (2006), Interpolation methods for curve construction, Applied Mathematical Finance 13(2), 89-129:
    the bootstrap, and linear interpolation of the logarithm of discount factors (raw interpolation).

    Examples
    --------
    >>> from crossmargin.pricing.swaps import SwapCurves, par_rates
    >>> today = date(2023, 8, 16)
    >>> quoted = [spot_swap(today, "1Y", 0.0535550), spot_swap(today, "2Y", 0.0479988)]
    >>> knots, zeros = bootstrap(quoted, today)
    >>> par_rates(quoted, today, SwapCurves(knots, zeros)).round(12).ravel()
    array([0.053555 , 0.0479988])
    """
    rates = np.array([[own_rate(each)] for each in instruments]) if rates is None else np.asarray(rates, np.float64)
    index = _check(instruments, rates, discount)
    setting = Setting(as_of, fixings or {}, () if discount is None else index)
    found = zip(instruments, flows_of_swaps(instruments, setting), rates, strict=True)
    equations = [_equation(swap.symbol, flows, (rate, as_of, discount)) for swap, flows, rate in found]
    knots = np.array([(each.times * (each.powers != 0.0)).max() for each in equations])
    _check_knots(knots, equations)
    exponents = np.zeros(rates.shape)
    for number, each in enumerate(equations):
        exponents[number] = _solved(each, knots, exponents, number)
    return knots, exponents / knots[:, None]


def _equation(name: str, flows: Flows, given: tuple[FloatArray, date, Curve | None]) -> _Equation:
    rate, as_of, discount = given
    keys: list[Key] = sorted({*flows.fixed, *flows.rate}, key=lambda key: (len(key), key))
    fixed, per_unit = (np.array([sum(part.get(key, ())) for key in keys]) for part in (flows.fixed, flows.rate))
    times = np.array([year_fractions(as_of, (key * 3 if len(key) == 1 else key[:3])) for key in keys])
    is_ratio = np.array([[len(key) > 1] for key in keys])
    powers = np.where(is_ratio, [1.0, 1.0, -1.0], [1.0, 0.0, 0.0])
    known = np.ones((len(keys), 1))
    if discount is not None:
        known = discount_factors(*discount, times[:, 0])
        powers[:, 0] = 0.0
    return _Equation(name, fixed[:, None] + per_unit[:, None] * rate, known, times, powers)


def _solved(equation: _Equation, knots: FloatArray, exponents: FloatArray, number: int) -> FloatArray:
    """Return the exponent [n_curves] at one knot, those at the knots before it known."""
    weights = np.zeros((len(equation.times), len(knots)))
    for place in range(3):
        used = np.flatnonzero(equation.powers[:, place])
        nodes, shares = exponent_weights(knots, equation.times[used, place])
        np.add.at(weights, (used, nodes), shares * equation.powers[used, place])
    amounts = (
        equation.amounts * equation.known * np.exp(-np.einsum("tk,kc->tc", weights[:, :number], exponents[:number]))
    )
    slopes = weights[:, number, None]
    start = exponents[number - 1] * knots[number] / knots[number - 1] if number else np.zeros(exponents.shape[1])
    return _newton(equation.name, amounts, slopes, start)


def _newton(name: str, amounts: FloatArray, slopes: FloatArray, x: FloatArray) -> FloatArray:
    """Return the roots x [n_curves] of the sum over terms of amounts * exp(-slopes * x)."""
    with np.errstate(all="ignore"):
        for _ in range(MOST_STEPS):
            terms = amounts * np.exp(-slopes * x)
            step = terms.sum(axis=0) / (slopes * terms).sum(axis=0)
            x = x + step
            if (np.abs(step) <= CLOSE_ENOUGH * np.maximum(1.0, np.abs(x))).all():
                return x
    raise NumericalError(
        f"{name}: no discount factor makes it worth nothing. Look at its rate and those before it: they must be "
        "decimals (0.0425) and not so high that no curve fits."
    )


def _check(instruments: Sequence[Swap], rates: FloatArray, discount: Curve | None) -> tuple[str, ...]:
    """Return the indices that the instruments are on, after raising all that is wrong."""
    problems = Problems()
    indices = tuple(dict.fromkeys(index for each in instruments for index in indices_of(each)))
    if not instruments:
        problems.add("there is none.", where="instruments", fix="Give at least one quoted swap.")
    elif rates.ndim != 2 or rates.shape[0] != len(instruments):
        problems.add(f"shape {rates.shape} is not [{len(instruments)} instruments, n_curves].", where="rates")
    elif not np.isfinite(rates).all():
        problems.add(f"{(~np.isfinite(rates)).sum()} are not finite.", where="rates", fix="Fill or drop them.")
    if discount is not None and len(indices) > 1:
        fix = "Build one projection curve at a time."
        problems.add(f"are on {', '.join(indices)}.", where="instruments", fix=fix)
    if discount is not None and rates.ndim == 2 and np.shape(discount[1])[1] not in (1, rates.shape[1]):
        problems.add(f"{np.shape(discount[1])[1]} for {rates.shape[1]} columns of rates.", where="discount curves")
    problems.raise_if_any("cannot build a swap curve")
    return indices


def _check_knots(knots: FloatArray, equations: Iterable[_Equation]) -> None:
    problems = Problems()
    for before, knot, each in zip([0.0, *knots], knots, equations, strict=False):
        if knot <= before:
            what = f"its last date, in {knot:.4f} years, is not after that of the one before."
            problems.add(what, where=each.name, fix="Sort the instruments and drop those that end together.")
    problems.raise_if_any("cannot build a swap curve")
