"""Sensitivities of European options, in plain NumPy.

Call `european_greeks` (options on a share, a fund or an index) or `futures_option_greeks` (options on a future). Units
are those of `european.py`. Nothing here prices scenarios or models early exercise.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike

from crossmargin.errors import Problems
from crossmargin.pricing.european import BoolArray, FloatArray, refuse_numbers


@frozen(kw_only=True, eq=False)
class Greeks:
    """Value and sensitivities, arrays of one shape, per unit of the underlying.

    `delta` and `gamma` are with respect to the spot (for an option on a future: its price), `vega` is per 1.00 of
    volatility, `theta` per year that passes, `rho` per 1.00 of the rate. At expiry, exactly at the money, delta is
    that of half a unit, gamma is infinite, and theta is minus infinity unless the volatility is zero too.
    """

    value: FloatArray
    delta: FloatArray
    gamma: FloatArray
    vega: FloatArray
    theta: FloatArray
    rho: FloatArray


def european_greeks(
    spot: ArrayLike,
    strike: ArrayLike,
    volatility: ArrayLike,
    time: ArrayLike,
    *,
    rate: ArrayLike,
    is_call: ArrayLike,
    dividend_yield: ArrayLike = 0.0,
) -> Greeks:
    """Return value and greeks in the model of Black, Scholes and Merton; all arguments broadcast.

    Rho holds the dividend yield fixed.

    Raises
    ------
    InputError
        If a number is not finite, the spot is not positive, or strike, volatility or time is negative.

    References
    ----------
    R. Merton (1973), Theory of rational option pricing, Bell Journal of Economics 4, 141-183; E. G. Haug (2007),
    The Complete Guide to Option Pricing Formulas, 2nd edition, chapter 2.

    Examples
    --------
    >>> greeks = european_greeks(100.0, 100.0, 0.2, 1.0, rate=0.05, is_call=True)
    >>> float(greeks.value), float(greeks.delta), float(greeks.vega)
    (10.450584, 0.636831, 37.524035)
    """
    inputs = _checked(
        spot=spot, strike=strike, volatility=volatility, time=time, rate=rate, dividend_yield=dividend_yield
    )
    return _greeks(inputs, np.asarray(is_call, dtype=np.bool_), of_future=False)


def futures_option_greeks(
    future: ArrayLike,
    strike: ArrayLike,
    volatility: ArrayLike,
    time: ArrayLike,
    *,
    rate: ArrayLike,
    is_call: ArrayLike,
) -> Greeks:
    """Return value and greeks in Black's model, the premium paid at once; all arguments broadcast.

    Delta and gamma are with respect to the price of the future; rho holds that price fixed.

    Raises
    ------
    InputError
        As `european_greeks`.

    References
    ----------
    F. Black (1976), The pricing of commodity contracts, Journal of Financial Economics 3, 167-179.

    Examples
    --------
    >>> greeks = futures_option_greeks(110.0, 112.0, 0.06, 0.25, rate=0.04, is_call=False)
    >>> float(greeks.value), float(greeks.rho)
    (2.535577, -0.633894)
    """
    inputs = _checked(spot=future, strike=strike, volatility=volatility, time=time, rate=rate, dividend_yield=rate)
    return _greeks(inputs, np.asarray(is_call, dtype=np.bool_), of_future=True)


def _checked(**arguments: ArrayLike) -> dict[str, FloatArray]:
    inputs = {name: np.asarray(values, dtype=np.float64) for name, values in arguments.items()}
    problems = Problems()
    for name, values in inputs.items():
        if name == "spot":
            refuse_numbers(problems, values, name, "is not a finite number above 0.", good=values > 0)
        elif name in {"strike", "volatility", "time"}:
            refuse_numbers(problems, values, name, "is not a finite number of at least 0.", good=values >= 0)
        else:
            refuse_numbers(problems, values, name, "is not a finite number.")
    problems.raise_if_any("These options cannot be priced")
    return inputs


def _greeks(inputs: Mapping[str, FloatArray], is_call: BoolArray, *, of_future: bool) -> Greeks:
    """Return the greeks; w is 1 for calls and -1 for puts, carry the factor of the spot, bell the density of d1."""
    from scipy.special import ndtr

    s, k, v, t, r, q = np.broadcast_arrays(*inputs.values(), is_call)[:6]
    w = np.where(is_call, 1.0, -1.0)
    discount, carry = np.exp(-r * t), np.exp(-q * t)
    deviation = v * np.sqrt(t)
    d1 = _distance(s * carry, k * discount, deviation)
    spot_part, strike_part = w * carry * ndtr(w * d1), w * k * discount * ndtr(w * (d1 - deviation))
    bell = np.exp(-0.5 * d1 * d1) / np.sqrt(2 * np.pi)
    value = s * spot_part - strike_part
    with np.errstate(divide="ignore", invalid="ignore"):
        gamma = _zero_where(bell == 0, carry * bell / (s * deviation))
        decay = _zero_where((bell == 0) | (v == 0), s * carry * bell * v / (2 * np.sqrt(t)))
    vega = s * carry * bell * np.sqrt(t)
    rho = -t * value if of_future else t * strike_part
    theta = q * s * spot_part - r * strike_part - decay
    return Greeks(value=value, delta=spot_part, gamma=gamma, vega=vega, theta=theta, rho=rho)


def _distance(spot: FloatArray, strike: FloatArray, deviation: FloatArray) -> FloatArray:
    """Return d1, infinite where nothing is left to move and 0 where that is at the money."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log_moneyness = np.log(spot) - np.log(strike)
        d1 = log_moneyness / deviation + 0.5 * deviation
    still = np.where(spot == strike, 0.0, np.copysign(np.inf, spot - strike))
    return np.where(deviation == 0, still, d1)


def _zero_where(mask: BoolArray, values: FloatArray) -> FloatArray:
    return np.where(mask, 0.0, values)
