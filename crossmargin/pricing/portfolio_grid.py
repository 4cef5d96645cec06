"""Options and stock of one underlying, revalued at a few moves of its price: the grid of risk-based margin.

Call `grid_pnl` with the series, how much of each is held, and the moves of `grid_moves`; `floored_requirement` makes
a requirement of the result. Every series keeps the volatility that its own price implies today.

Not here: how far the price moves for which kind of underlying and what the minimum is (they are inputs), offsets
between underlyings, and portfolios valued under yields and volatility moves too (`pnl.revalue`).
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.errors import Problems
from crossmargin.pricing.european import EuropeanBook, european_values, forwards, refuse_numbers
from crossmargin.pricing.implied import (
    ImpliedVolatilities,
    QuoteStatus,
    implied_volatility,
    implied_volatility_by_pricer,
)
from crossmargin.records import as_tuple

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

LEAST_VOLATILITY, GREATEST_VOLATILITY = 1e-3, 10.0  # a year, between which a model is asked
DIVIDEND_STEPS = 400  # of the lattice for American options with cash dividends: 5e-3 on a spot of 100
REFUSED = "These options cannot be placed on a grid"
REASONS = {
    QuoteStatus.BELOW_INTRINSIC: "below what the model gives without volatility",
    QuoteStatus.ABOVE_MAXIMUM: "above what the model gives at any volatility",
    QuoteStatus.NOT_A_NUMBER: "where the model gives no number",
    QuoteStatus.NOT_CONVERGED: "at which the search for a volatility did not end",
}


def _floats(values: ArrayLike) -> FloatArray:
    return np.ascontiguousarray(values, dtype=np.float64)


def _flags(values: ArrayLike) -> BoolArray:
    return np.ascontiguousarray(values, dtype=np.bool_)


@frozen(kw_only=True)
class GridModel:
    """How the options of a grid are priced: rates continuous, in decimals.

    Parameters
    ----------
    american : bool
        Whether exercise is possible before expiry.
    steps : int or None
        Time steps of the lattice of Cox, Ross and Rubinstein. None: no lattice; Black and Scholes's formula for
        European options, the boundary solver for American ones.
    dividends : iterable of (years, amount)
        Cash per unit up to expiry, known today: the spot less its present value is what moves. American options then
        need a lattice and get one of `DIVIDEND_STEPS` unless `steps` says otherwise.
    """

    rate: float
    dividend_yield: float = 0.0
    american: bool = True
    steps: int | None = None
    dividends: tuple[tuple[float, float], ...] = field(default=(), converter=as_tuple)

    @property
    def closed_form(self) -> bool:
        """Whether Black and Scholes's formula answers."""
        return self.steps is None and not self.american

    def net(self, spot: ArrayLike) -> FloatArray:
        """Return the spot [...] less the present value of the cash dividends."""
        paid = sum(amount * float(np.exp(-self.rate * years)) for years, amount in self.dividends)
        return np.asarray(np.asarray(spot, dtype=np.float64) - paid)


@frozen(kw_only=True, eq=False)
class OptionSeries:
    """Option series on one underlying and their prices today, checked.

    Parameters
    ----------
    is_call : array_like of bool [n_series]
    strike : array_like [n_series]
        > 0.
    expiry_time : array_like [n_series]
        Years, >= 0.
    price : array_like [n_series]
        Per unit of the underlying, >= 0.

    Raises
    ------
    InputError
        Naming every list of another length and every number that cannot be used.
    """

    is_call: BoolArray = field(converter=_flags)
    strike: FloatArray = field(converter=_floats)
    expiry_time: FloatArray = field(converter=_floats)
    price: FloatArray = field(converter=_floats)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for name in ("is_call", "expiry_time", "price"):
            if getattr(self, name).shape != self.strike.shape or self.strike.ndim != 1:
                what = f"has shape {getattr(self, name).shape}, strike {self.strike.shape}."
                problems.add(what, where=name, fix="Give one number per series in every list.")
        refuse_numbers(problems, self.strike, "strike", "is not a finite number above 0.", good=self.strike > 0)
        for name in ("expiry_time", "price"):
            values = getattr(self, name)
            refuse_numbers(problems, values, name, "is not a finite number of at least 0.", good=values >= 0)
        problems.raise_if_any(REFUSED)


@frozen
class FlooredRequirement:
    """A requirement (USD, at least 0) beside its two candidates: the largest loss and the minimum."""

    largest_loss: float
    minimum: float
    requirement: float


def grid_moves(*, down: float, up: float, points_each_side: int) -> FloatArray:
    """Return equidistant relative moves [2 * points_each_side] from -down to up, without zero.

    Raises
    ------
    InputError
        `down` outside (0, 1), `up` not above 0, or less than one point a side.

    Examples
    --------
    >>> grid_moves(down=0.08, up=0.06, points_each_side=2)
    array([-0.08, -0.04,  0.03,  0.06])
    """
    problems = Problems()
    if not 0.0 < down < 1.0:
        problems.add(f"{down:g} is no fall in price.", where="down", fix="Give a fraction between 0 and 1, as 0.15.")
    if not 0.0 < up < np.inf:
        problems.add(f"{up:g} is no rise in price.", where="up", fix="Give a fraction above 0, as 0.15.")
    if points_each_side < 1:
        problems.add(f"{points_each_side} points.", where="points_each_side", fix="At least 1 is needed.")
    problems.raise_if_any(REFUSED)
    shares = np.arange(1, points_each_side + 1) / points_each_side
    return np.concatenate([-down * shares[::-1], up * shares])


def grid_pnl(
    series: OptionSeries,
    quantity: ArrayLike,
    *,
    spot: float,
    moves: ArrayLike,
    model: GridModel,
    stock_value: float = 0.0,
) -> FloatArray:
    """Return profit and loss [n_points] of options and stock when the price of the underlying moves, gain > 0.

    Parameters
    ----------
    series : OptionSeries [n_series]
    quantity : array_like [n_series]
        Units of the underlying (contracts times multiplier), long > 0.
    spot : float
        Price of the underlying today, > 0.
    moves : array_like [n_points]
        Relative moves, above -1.
    model : GridModel
    stock_value : float
        Market value of the stock held, long > 0. It moves by the same fraction as the underlying.

    Raises
    ------
    InputError
        Lists that do not fit together, numbers that cannot be used, and every series whose price implies no
        volatility.

    Notes
    -----
    Options are measured from their price today. An option without time value keeps the least volatility.

    Examples
    --------
    >>> call = OptionSeries(is_call=[True], strike=[100.0], expiry_time=[1.0], price=[7.965567])
    >>> model = GridModel(rate=0.0, american=False)
    >>> grid_pnl(call, [-100.0], spot=100.0, moves=[-0.15, 0.15], model=model).round(2)
    array([  580.42, -1009.64])
    """
    held, at = _floats(quantity), _floats(moves)
    problems = Problems()
    if held.shape != series.strike.shape:
        what = f"has shape {held.shape}, the series {series.strike.shape}."
        problems.add(what, where="quantity", fix="Give one number per series.")
    refuse_numbers(problems, held, "quantity", "is not a finite number.")
    refuse_numbers(problems, at, "moves", "is not a finite number above -1.", good=at > -1.0)
    refuse_numbers(problems, stock_value, "stock_value", "is not a finite number.")
    refuse_numbers(problems, spot, "spot", "is not a finite number above 0.", good=np.greater(spot, 0.0))
    problems.raise_if_any(REFUSED)
    volatility = series_volatility(series, spot, model)
    change = grid_values(series, volatility, spot=spot * (1.0 + at), model=model) - series.price[:, None]
    return np.asarray(stock_value * at + (held[:, None] * change).sum(axis=0))


def series_volatility(series: OptionSeries, spot: float, model: GridModel) -> FloatArray:
    """Return the volatility [n_series] that each price implies under the model, a year, in decimals.

    Without time left it is 0; without time value it is the least that a model is asked for.

    Raises
    ------
    InputError
        Naming every series whose price implies no volatility, and why.
    """
    found = solve_volatility(series, spot, model)
    _refuse_unsolved(series, found.status)
    return found.volatility


def solve_volatility(series: OptionSeries, spot: float, model: GridModel) -> ImpliedVolatilities:
    """Return volatility and status [n_series] of every price: as `series_volatility`, but refusing none.

    A price without time value has the least volatility (0 without time left), one that implies none has NaN.

    Examples
    --------
    >>> calls = OptionSeries(is_call=[True] * 2, strike=[90.0] * 2, expiry_time=[1.0] * 2, price=[10.0, 9.0])
    >>> found = solve_volatility(calls, 100.0, GridModel(rate=0.0))
    >>> found.volatility, QuoteStatus(found.status[1]).name
    (array([0.001,   nan]), 'BELOW_INTRINSIC')
    """
    volatility = np.zeros(len(series.strike))
    status = np.full(len(volatility), QuoteStatus.NO_TIME_VALUE, dtype=np.int8)
    alive = np.flatnonzero(series.expiry_time > 0.0)
    if not len(alive):
        return ImpliedVolatilities(volatility, status)
    ask = series if len(alive) == len(volatility) else select_series(series, alive)
    if model.closed_form:
        rates = {"rate": model.rate, "dividend_yield": model.dividend_yield}
        forward, discount = forwards(model.net(spot), ask.expiry_time, **rates)
        terms = {"discount": discount, "is_call": ask.is_call}
        found = implied_volatility(ask.price, forward, ask.strike, ask.expiry_time, **terms)
    else:
        pricer = partial(_early_exercise_values, ask, spot=spot, model=model)
        bounds = {"lowest": LEAST_VOLATILITY, "highest": GREATEST_VOLATILITY}
        found = implied_volatility_by_pricer(ask.price, pricer, **bounds)
    status[alive] = found.status
    volatility[alive] = np.where(found.status == QuoteStatus.NO_TIME_VALUE, LEAST_VOLATILITY, found.volatility)
    return ImpliedVolatilities(volatility, status)


def grid_values(series: OptionSeries, volatility: ArrayLike, *, spot: ArrayLike, model: GridModel) -> FloatArray:
    """Return the value [n_series, n_points] of every series at every price of the underlying, per unit.

    References
    ----------
    Black, Scholes (1973), The pricing of options and corporate liabilities, J. of Political Economy 81. Cox, Ross,
    Rubinstein (1979), Option pricing: a simplified approach, J. of Financial Economics 7.

    Examples
    --------
    A tree of one step that goes up by a quarter: two ends of 125 and 80, with weights 4/9 and 5/9.

    >>> call = OptionSeries(is_call=[True], strike=[100.0], expiry_time=[1.0], price=[100 / 9])
    >>> model = GridModel(rate=0.0, steps=1)
    >>> grid_values(call, series_volatility(call, 100.0, model), spot=[110.0], model=model)
    array([[16.666667]])
    """
    spots, vol = _floats(spot), _floats(volatility)
    if not model.closed_form:
        return _early_exercise_values(series, vol[:, None], spot=spots, model=model)
    rates = {"rate": model.rate, "dividend_yield": model.dividend_yield}
    forward, discount = forwards(model.net(spots), series.expiry_time[:, None], **rates)
    rows, flat = np.arange(len(vol)), (1, len(spots))
    return european_values(
        EuropeanBook(
            forward=forward,
            discount=discount,
            time=series.expiry_time[:, None],
            scale=np.ones(flat),
            shift=np.zeros(flat),
            slice_row=rows,
            volatility_row=np.zeros_like(rows),
            strike=series.strike,
            is_call=series.is_call,
            volatility=vol,
        )
    )


def _early_exercise_values(series: OptionSeries, volatility: FloatArray, *, spot: Any, model: GridModel) -> FloatArray:
    """Return values by lattice or boundary solver, [n_series] or [n_series, n_points] as the volatilities are."""
    from crossmargin.pricing.american import american_price, lattice_price

    columns = (series.is_call, series.strike, series.expiry_time)
    if volatility.ndim == 2:
        columns = (columns[0][:, None], columns[1][:, None], columns[2][:, None])
    rates = {"spot": spot, "rate": model.rate, "dividend_yield": model.dividend_yield}
    if model.steps is None and not model.dividends:
        return american_price(*columns, volatility, **rates)
    lattice = partial(lattice_price, steps=model.steps or DIVIDEND_STEPS, american=model.american)
    return lattice(*columns, volatility, dividends=model.dividends, **rates)


def select_series(series: OptionSeries, rows: Any) -> OptionSeries:
    """Return the series in `rows`, a mask [n_series] or indices."""
    names = ("is_call", "strike", "expiry_time", "price")
    return OptionSeries(**{name: getattr(series, name)[rows] for name in names})


def _refuse_unsolved(series: OptionSeries, status: Any) -> None:
    """Refuse prices that imply no volatility; one without time value is no error."""
    problems = Problems()
    for row, each in enumerate(status):
        reason = REASONS.get(QuoteStatus(int(each)))
        if reason:
            right = "call" if series.is_call[row] else "put"
            what = f"the {right} at {series.strike[row]:g} has the price {series.price[row]:g}, {reason}."
            fix = "Check price, strike, time, rate and dividend yield; a stale quote is best replaced."
            problems.add(what, where=f"price, row {row}", fix=fix)
    problems.raise_if_any(REFUSED)


def floored_requirement(pnl: ArrayLike, option_units: float, minimum_per_unit: float) -> FlooredRequirement:
    """Return the larger of the largest loss and a minimum for every option held, long or short.

    Parameters
    ----------
    pnl : array_like [n_points]
        Gain > 0, USD.
    option_units : float
        Contracts, long and short added up, times units per contract.
    minimum_per_unit : float
        USD.

    Raises
    ------
    InputError
        No profit and loss, or numbers that are not finite or negative where they may not be.

    References
    ----------
    FINRA Rule 4210(g), which fixes the minimum.

    Examples
    --------
    >>> floored_requirement([-10.0, 25.0], 400, 0.375)
    FlooredRequirement(largest_loss=10.0, minimum=150.0, requirement=150.0)
    """
    values, problems = _floats(pnl), Problems()
    if not values.size:
        problems.add("holds no scenario.", where="pnl", fix="Give at least one.")
    refuse_numbers(problems, values, "pnl", "is not a finite number.")
    for name, number in (("option_units", option_units), ("minimum_per_unit", minimum_per_unit)):
        good = np.greater_equal(number, 0.0)
        refuse_numbers(problems, number, name, "is not a finite number of at least 0.", good=good)
    problems.raise_if_any("The requirement cannot be computed")
    largest_loss, minimum = max(0.0, -float(values.min())), float(option_units * minimum_per_unit)
    return FlooredRequirement(largest_loss, minimum, max(largest_loss, minimum))


def concentration_shock(point_of_no_return: float, expected_price_range: float, standard_range: float) -> float:
    """Return the move to apply on one side: the expected range where it is wider and would wipe out the account.

    All are positive fractions in one direction. The point of no return is the move at which the equity is used up;
    one at the very end of the expected range counts as inside.

    References
    ----------
    Charles Schwab, How portfolio margin works, for option traders: a house overlay, no rule of an exchange.

    Examples
    --------
    >>> concentration_shock(0.3, 0.4, 0.15), concentration_shock(0.6, 0.5, 0.15)
    (0.4, 0.15)
    """
    inside = point_of_no_return <= expected_price_range
    return expected_price_range if inside and expected_price_range > standard_range else standard_range
