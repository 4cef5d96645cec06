"""Listed options under scenarios: from products and a market to values, a row for each option.

Call `option_values`. A scenario moves the spot by `spot_moves` (a future by its own revaluation), the volatility by the
underlying's smile rule and `volatility_moves`, and the discount factors by the yields. European options are exact; an
American one is solved at today's rate, and what moving rates do to it is what they do to its European twin. Time does
not pass. Dividends: a continuous yield, and known cash amounts taken off the spot (escrowed).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TypeAlias

import numpy as np
from attrs import field, frozen

from crossmargin.pricing.american import american_values
from crossmargin.curves import discount_factors, year_fractions
from crossmargin.errors import Problem, suggestion
from crossmargin.market import FloatArray, Market
from crossmargin.pricing.european import EuropeanBook, european_values
from crossmargin.pricing.volatility_scenarios import VolatilityShock, scenario_volatilities
from crossmargin.products import Product
from crossmargin.products.options import FutureOption, ListedOption
from crossmargin.scenarios import ScenarioSet
from crossmargin.underlyings import Underlying

Option: TypeAlias = FutureOption | ListedOption
Curves: TypeAlias = tuple[FloatArray, FloatArray]
"""Knots [n_knots] in years, zero rates [n_knots, 1 + n_scenarios], the first of them today's."""


@frozen(eq=False)
class _Slice:
    """Options on one underlying with one expiry; column 0 of every row is today."""

    underlying: Underlying
    options: tuple[Option, ...]
    time: float
    spot: FloatArray = field(kw_only=True)
    discount: FloatArray = field(kw_only=True)
    volatility: FloatArray = field(kw_only=True)


@frozen(eq=False)
class _Setting:
    """What every option of one revaluation is priced from."""

    market: Market
    scenarios: ScenarioSet
    curves: Curves
    futures: Mapping[str, FloatArray]


def option_values(
    options: Sequence[Option],
    market: Market,
    scenarios: ScenarioSet,
    *,
    curves: Curves,
    futures: Mapping[str, FloatArray],
) -> dict[Product, FloatArray]:
    """Return the value of each option today and under every scenario, USD per contract, rows [1 + n_scenarios].

    Parameters
    ----------
    options : sequence
        Distinct listed options of which `option_problems` finds nothing wrong.
    market : Market
        Its `underlyings` say what each option is priced from.
    scenarios : ScenarioSet
        Needs a spot move for every underlying that is no future.
    curves : Curves
        Knots and zero rates: today's curve and that of every scenario.
    futures : mapping
        Symbol of a future -> its price in points, row [1 + n_scenarios].
    """
    values: dict[Product, FloatArray] = {}
    for each in _slices(options, _Setting(market, scenarios, curves, futures)):
        rows = _american(each) if each.options[0].exercise == "american" else _european(each, each.discount)
        for option, row in zip(each.options, rows, strict=True):
            values[option] = option.units * row
    return values


def option_problems(options: Iterable[Option], market: Market, scenarios: ScenarioSet) -> Iterable[Problem]:
    """Yield every option that lacks an underlying, a spot, a move or time to expiry."""
    for option in options:
        symbol, on_future = symbol_of_underlying(option), _on_future(option)
        known = market.underlyings.get(symbol)
        if known is None:
            fix = suggestion(symbol, market.underlyings) if market.underlyings else "Give market.underlyings."
            yield Problem(f"the market has no underlying {symbol!r}.", option.symbol, fix)
        elif not on_future and known.spot is None:
            yield Problem(f"underlying {symbol!r} has no spot.", option.symbol, "Give Underlying(..., spot=...).")
        if not on_future and symbol not in scenarios.spot_moves:
            fix = "Give spot_moves, zeros if it stands still."
            yield Problem(f"the scenarios do not say how {symbol!r} moves.", option.symbol, fix)
        if option.expiry < market.as_of:
            yield Problem(f"expired on {option.expiry}.", option.symbol, "Drop it.")


def symbol_of_underlying(option: Option) -> str:
    """Return the symbol under which a market and a scenario set know what an option is written on."""
    return option.underlying.symbol if isinstance(option, FutureOption) else option.underlying


def _slices(options: Sequence[Option], setting: _Setting) -> Iterable[_Slice]:
    groups: dict[tuple[str, date, str], list[Option]] = {}
    for option in options:
        groups.setdefault((symbol_of_underlying(option), option.expiry, option.exercise), []).append(option)
    for (symbol, expiry, _), held in groups.items():
        underlying = setting.market.underlyings[symbol]
        time = float(year_fractions(setting.market.as_of, [expiry])[0])
        discount = discount_factors(*setting.curves, np.array([time]))[0]
        spot = setting.futures[symbol] if _on_future(held[0]) else _spot(underlying, expiry, setting)
        volatility = _volatility(underlying, held, spot, setting.scenarios)
        yield _Slice(underlying, tuple(held), time, spot=spot, discount=discount, volatility=volatility)


def _spot(underlying: Underlying, expiry: date, setting: _Setting) -> FloatArray:
    """Return the spot [1 + n_scenarios] less the present value of the cash dividends up to expiry."""
    as_of, (knots, zeros) = setting.market.as_of, setting.curves
    paid = [(day, amount) for day, amount in underlying.dividends if as_of < day <= expiry]
    today = discount_factors(knots, zeros[:, :1], year_fractions(as_of, [day for day, _ in paid]))[:, 0]
    escrowed = sum(amount * factor for (_, amount), factor in zip(paid, today, strict=True))
    moved = np.concatenate([[1.0], 1.0 + setting.scenarios.spot_moves[underlying.symbol]])
    spot: FloatArray = (underlying.spot or 0.0) * moved - escrowed
    return spot


def _volatility(
    underlying: Underlying, options: Sequence[Option], spot: FloatArray, scenarios: ScenarioSet
) -> FloatArray:
    """Return volatilities [n_options or 1, 1 + n_scenarios]; a flat one is one row for all options."""
    shift = np.concatenate([[0.0], scenarios.volatility_moves.get(underlying.symbol, np.zeros(len(spot) - 1))])
    if isinstance(underlying.volatility, int | float):
        return np.maximum(underlying.volatility + shift, 0.0)[None, :]
    strikes, expiries = [option.strike for option in options], [option.expiry for option in options]
    rule, shock = underlying.smile_rule, VolatilityShock(absolute=shift) if shift.any() else None
    return scenario_volatilities(underlying.volatility, strikes, expiries, spot / spot[0], rule=rule, shock=shock)


def _european(slice_: _Slice, discount: FloatArray) -> FloatArray:
    """Return European values [n_options, 1 + n_scenarios] per unit, the forward following `discount`."""
    carry = np.exp(-slice_.underlying.dividend_yield * slice_.time) / discount
    forward = slice_.spot if _on_future(slice_.options[0]) else slice_.spot * carry
    n_options, rows = len(slice_.options), len(slice_.volatility)
    book = EuropeanBook(
        forward=forward[None, :],
        discount=discount[None, :],
        time=slice_.time,
        scale=slice_.volatility,
        shift=np.zeros_like(slice_.volatility),
        slice_row=np.zeros(n_options),
        volatility_row=np.arange(n_options) if rows == n_options else np.zeros(n_options),
        strike=[option.strike for option in slice_.options],
        is_call=[option.right == "call" for option in slice_.options],
        volatility=np.ones(n_options),
    )
    return european_values(book)


def _american(slice_: _Slice) -> FloatArray:
    """Return American values [n_options, 1 + n_scenarios] per unit."""
    rate = -np.log(slice_.discount[0]) / slice_.time if slice_.time else 0.0
    carry = rate if _on_future(slice_.options[0]) else slice_.underlying.dividend_yield
    shared = len(slice_.volatility) == 1
    groups = [slice_.options] if shared else [(option,) for option in slice_.options]
    values = [
        american_values(
            [option.right == "call" for option in group],
            [option.strike for option in group],
            slice_.time,
            1.0,
            spot=slice_.spot,
            rate=rate,
            dividend_yield=carry,
            volatility_scale=volatility,
        )
        for group, volatility in zip(groups, slice_.volatility, strict=True)
    ]
    return np.concatenate(values) + _of_moving_rates(slice_)


def _of_moving_rates(slice_: _Slice) -> FloatArray | float:
    """Return what moving rates add to the European twins; nothing when they stand still."""
    today = np.full_like(slice_.discount, slice_.discount[0])
    if np.array_equal(today, slice_.discount):
        return 0.0
    return _european(slice_, slice_.discount) - _european(slice_, today)


def _on_future(option: Option) -> bool:
    return isinstance(option, FutureOption)
