"""Listed options under scenarios: from products and a market to values, a row for each option.

Call `option_values`. A scenario moves the spot by `spot_moves` (a future by its own revaluation), the volatility by the
underlying's smile rule and `volatility_moves`, and the discount factors by the yields. European options are exact;
American ones are read from tables while rates stand still over many scenarios, solved one by one when there are few or
rates move, and taken to a lattice when cash dividends fall due. Time does not pass. Dividends: a continuous yield, and
known cash amounts taken off the spot (escrowed).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from crossmargin.columns import FloatArray
from crossmargin.curves import discount_factors, year_fractions
from crossmargin.errors import InputError, Problem, suggestion
from crossmargin.market import Market
from crossmargin.pricing.american import american_price, american_values, lattice_price
from crossmargin.pricing.european import EuropeanBook, european_values
from crossmargin.pricing.volatility_scenarios import VolatilityShock, scenario_volatilities
from crossmargin.products import Product
from crossmargin.products.futures import IndexFuture, ShortRateFuture, TreasuryFuture, delivery_date, reference_period
from crossmargin.products.options import FutureOption, ListedOption
from crossmargin.scenarios import ScenarioSet
from crossmargin.underlyings import Underlying

Option: TypeAlias = FutureOption | ListedOption
Future: TypeAlias = TreasuryFuture | ShortRateFuture | IndexFuture

STEPS = 400  # of the lattice: 5e-3 on a spot of 100
# Scenarios from which a table of premiums costs less than solving each price; what else is held must not decide.
TABLE_PAYS = 200
_RENAME = "Keep each underlying under its own symbol."


@frozen(eq=False)
class _Slice:
    """Options on one underlying with one expiry; column 0 of every row is today.

    `spot` is less the value of the dividends `paid` (years, USD per unit) up to expiry.
    """

    underlying: Underlying
    options: tuple[Option, ...]
    time: float
    paid: tuple[tuple[float, float], ...] = field(kw_only=True)
    spot: FloatArray = field(kw_only=True)
    discount: FloatArray = field(kw_only=True)
    volatility: FloatArray = field(kw_only=True)


@frozen(eq=False)
class _Setting:
    """What every option of one revaluation is priced from."""

    market: Market
    scenarios: ScenarioSet
    curves: tuple[FloatArray, FloatArray]
    futures: Mapping[Future, FloatArray]


def option_values(
    options: Sequence[Option],
    market: Market,
    scenarios: ScenarioSet,
    *,
    curves: tuple[FloatArray, FloatArray],
    futures: Mapping[Future, FloatArray],
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
    curves : (array [n_knots], array [n_knots, 1 + n_scenarios])
        Knots and zero rates: today's curve and that of every scenario.
    futures : mapping
        A future -> its price in points, row [1 + n_scenarios].
    """
    values: dict[Product, FloatArray] = {}
    for each in _slices(options, _Setting(market, scenarios, curves, futures)):
        rows = _american(each) if each.options[0].exercise == "american" else _european(each, each.discount)
        for option, row in zip(each.options, rows, strict=True):
            values[option] = option.units * row
    return values


def european_books(
    options: Sequence[ListedOption], market: Market, scenarios: ScenarioSet, *, curves: tuple[FloatArray, FloatArray]
) -> Iterable[tuple[tuple[Option, ...], EuropeanBook]]:
    """Yield European options on shares or indices expiry by expiry, as books whose column 0 is today; else as above."""
    for each in _slices(options, _Setting(market, scenarios, curves, {})):
        yield each.options, _book(each, each.discount)


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
        elif known.volatility is None:
            yield Problem(f"underlying {symbol!r} has no volatility.", option.symbol, "Give Underlying(..., 0.2).")
        elif known.symbol != symbol:
            yield Problem(f"is priced from {symbol!r}, which calls itself {known.symbol!r}.", option.symbol, _RENAME)
        if on_future and symbol in scenarios.spot_moves:
            fix = "Leave it out: a future moves with the yields."
            yield Problem(f"the scenarios give {symbol!r} a spot move.", option.symbol, fix)
        if not on_future and symbol not in scenarios.spot_moves:
            fix = "Give spot_moves, zeros if it stands still."
            yield Problem(f"the scenarios do not say how {symbol!r} moves.", option.symbol, fix)
        if isinstance(option, FutureOption) and option.expiry > (last := _last_day(option.underlying)):
            yield Problem(f"expires after {last}, the last day of its future.", option.symbol, "Correct the expiry.")
        if option.expiry < market.as_of:
            yield Problem(f"expired on {option.expiry}.", option.symbol, "Drop it.")


def symbol_of_underlying(option: Option) -> str:
    """Return the symbol under which a market and a scenario set know what an option is written on."""
    return option.underlying.symbol if isinstance(option, FutureOption) else option.underlying


def _slices(options: Sequence[Option], setting: _Setting) -> Iterable[_Slice]:
    groups: dict[tuple[Future | str, date, str], list[Option]] = {}
    for option in options:
        groups.setdefault((option.underlying, option.expiry, option.exercise), []).append(option)
    for (on, expiry, _), held in groups.items():
        underlying = setting.market.underlyings[symbol_of_underlying(held[0])]
        time = float(year_fractions(setting.market.as_of, [expiry])[0])
        discount = discount_factors(*setting.curves, np.array([time]))[0]
        paid = () if _on_future(held[0]) else _dividends(underlying, expiry, setting)
        spot = _spot(underlying, paid, setting) if isinstance(on, str) else setting.futures[on]
        volatility = _volatility(underlying, held, spot, setting.scenarios)
        yield _Slice(underlying, tuple(held), time, paid=paid, spot=spot, discount=discount, volatility=volatility)


def _dividends(underlying: Underlying, expiry: date, setting: _Setting) -> tuple[tuple[float, float], ...]:
    """Return the cash dividends up to expiry: years, USD per unit."""
    paid = [(day, amount) for day, amount in underlying.dividends if setting.market.as_of < day <= expiry and amount]
    times = year_fractions(setting.market.as_of, [day for day, _ in paid])
    return tuple((float(time), amount) for time, (_, amount) in zip(times, paid, strict=True))


def _spot(underlying: Underlying, paid: tuple[tuple[float, float], ...], setting: _Setting) -> FloatArray:
    """Return the spot [1 + n_scenarios] less today's value of the cash dividends up to expiry."""
    knots, zeros = setting.curves
    today = discount_factors(knots, zeros[:, :1], np.array([time for time, _ in paid]))[:, 0]
    escrowed = sum(amount * factor for (_, amount), factor in zip(paid, today, strict=True))
    moved = np.concatenate([[1.0], 1.0 + setting.scenarios.spot_moves[underlying.symbol]])
    spot: FloatArray = (underlying.spot or 0.0) * moved - escrowed
    if not (spot > 0.0).all():
        what = f"its cash dividends leave no price in scenario {int(np.argmin(spot))} (0 is today)."
        raise InputError([Problem(what, underlying.symbol, "Give a dividend yield, or milder spot moves.")])
    return spot


def _volatility(
    underlying: Underlying, options: Sequence[Option], spot: FloatArray, scenarios: ScenarioSet
) -> FloatArray:
    """Return volatilities [n_options or 1, 1 + n_scenarios]; a flat one is one row for all options.

    Where the set has no move of a future's own volatility, options on an index future take that of the index.
    """
    moves, on = scenarios.volatility_moves, options[0].underlying
    index = on.underlying if isinstance(on, IndexFuture) else ""
    move = moves.get(underlying.symbol, moves.get(index, np.zeros(len(spot) - 1)))
    shift = np.concatenate([[0.0], move])
    if isinstance(underlying.volatility, int | float):
        return np.maximum(underlying.volatility + shift, 0.0)[None, :]
    strikes, expiries = [option.strike for option in options], [option.expiry for option in options]
    rule, shock = underlying.smile_rule, VolatilityShock(absolute=shift) if shift.any() else None
    return scenario_volatilities(underlying.volatility, strikes, expiries, spot / spot[0], rule=rule, shock=shock)


def _european(slice_: _Slice, discount: FloatArray) -> FloatArray:
    """Return European values [n_options, 1 + n_scenarios] per unit, the forward following `discount`."""
    return european_values(_book(slice_, discount))


def _book(slice_: _Slice, discount: FloatArray) -> EuropeanBook:
    """Return the options of a slice as if European."""
    carry = np.exp(-slice_.underlying.dividend_yield * slice_.time) / discount
    forward = slice_.spot if _on_future(slice_.options[0]) else slice_.spot * carry
    n_options, rows = len(slice_.options), len(slice_.volatility)
    return EuropeanBook(
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


def _american(slice_: _Slice) -> FloatArray:
    """Return American values [n_options, 1 + n_scenarios] per unit."""
    rate = -np.log(slice_.discount) / slice_.time if slice_.time else np.zeros_like(slice_.discount)
    carry = rate if _on_future(slice_.options[0]) else np.full_like(rate, slice_.underlying.dividend_yield)
    calls = np.array([option.right == "call" for option in slice_.options])
    strikes = np.array([option.strike for option in slice_.options])
    if not slice_.paid and len(rate) > TABLE_PAYS and (rate == rate[0]).all():
        return _from_tables(slice_, calls, strikes, rate=rate[0], carry=carry[0])
    terms = (calls[:, None], strikes[:, None], slice_.time, slice_.volatility)
    if not slice_.paid:
        return american_price(*terms, spot=slice_.spot, rate=rate, dividend_yield=carry)
    spot = slice_.spot + sum(cash * np.exp(-rate * time) for time, cash in slice_.paid)
    return lattice_price(*terms, spot=spot, rate=rate, dividend_yield=carry, dividends=slice_.paid, steps=STEPS)


def _from_tables(
    slice_: _Slice, calls: npt.NDArray[np.bool_], strikes: FloatArray, *, rate: float, carry: float
) -> FloatArray:
    """Return American values [n_options, 1 + n_scenarios] per unit at one rate."""
    rows = slice_.volatility
    groups = [slice(None)] if len(rows) == 1 else [slice(n, n + 1) for n in range(len(rows))]
    setting = {"spot": slice_.spot, "rate": rate, "dividend_yield": carry}
    values = [
        american_values(calls[some], strikes[some], slice_.time, 1.0, **setting, volatility_scale=row)
        for some, row in zip(groups, rows, strict=True)
    ]
    return np.concatenate(values)


def _on_future(option: Option) -> bool:
    return isinstance(option, FutureOption)


def _last_day(future: Future) -> date:
    if isinstance(future, IndexFuture):
        return future.expiry
    return delivery_date(future) if isinstance(future, TreasuryFuture) else reference_period(future)[1]
