"""Risk arrays of our own: what one long contract loses in each SPAN scenario, and its composite delta.

`scenario_grid` lays the scenarios out, `futures_array` and `option_array` fill them. An exchange's own arrays need none
of this: they are taken as published, never recomputed. Options are European in Black's model here; exchanges use
several models and correct for early exercise, so arrays differ from theirs even at their parameters.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.errors import Problems, counted
from crossmargin.pricing.greeks import futures_option_greeks
from crossmargin.span.portfolio import Right, check_count, check_name, check_number

FloatArray: TypeAlias = NDArray[np.float64]
VolatilityScanType: TypeAlias = Literal["relative", "absolute"]

_TIE = 1e-9  # of an increment: 1051.5 / 3 is a tie although binary floating point says 350.49999999999994


def _row(values: ArrayLike) -> FloatArray:
    row = np.array(values, dtype=np.float64)
    row.setflags(write=False)
    return row


@frozen(eq=False)
class ScenarioGrid:
    """The scenarios of a risk array, in their order.

    Attributes
    ----------
    price_moves : array [n_scenarios]
        In price scan ranges.
    volatility_moves : array [n_scenarios]
        In volatility scan ranges: 1, -1 or 0.
    cover : array [n_scenarios]
        Share of the result that counts.
    """

    price_moves: FloatArray = field(converter=_row)
    volatility_moves: FloatArray = field(converter=_row)
    cover: FloatArray = field(converter=_row)


def scenario_grid(steps: int, extreme_move_multiplier: float, extreme_move_cover_fraction: float) -> ScenarioGrid:
    """Return the scenarios of SPAN: no move, then up and down by each step, each with volatility up and down.

    The last two are the extreme moves up and down at base volatility, of which a fraction counts.

    Parameters
    ----------
    steps : int
        Equal steps that the price scan range is cut into; SPAN has three, which makes 16 scenarios.
    extreme_move_multiplier, extreme_move_cover_fraction : float
        Length of the extreme move in price scan ranges, and the share of its result that counts.

    Raises
    ------
    InputError

    References
    ----------
    CME Group, public SPAN documentation, risk arrays; order as in the exchange files, records 81 and 82.

    Examples
    --------
    >>> grid = scenario_grid(3, 3.0, 0.33)
    >>> grid.price_moves.round(2).tolist()[:8], grid.price_moves.tolist()[12:]
    ([0.0, 0.0, 0.33, 0.33, -0.33, -0.33, 0.67, 0.67], [-1.0, -1.0, 3.0, -3.0])
    >>> grid.volatility_moves.tolist()[:3], grid.cover.tolist()[-3:]
    ([1.0, -1.0, 1.0], [1.0, 0.33, 0.33])
    """
    problems = Problems()
    check_count(problems, steps, "steps", least=1)
    check_number(problems, extreme_move_multiplier, "extreme_move_multiplier", least=0.0)
    check_number(problems, extreme_move_cover_fraction, "extreme_move_cover_fraction", least=0.0)
    problems.raise_if_any()
    sides = [sign * step / steps for step in range(1, steps + 1) for sign in (1.0, -1.0)]
    prices = [move for move in (0.0, *sides) for _ in range(2)]
    extreme = [extreme_move_multiplier, -extreme_move_multiplier]
    volatilities = [1.0, -1.0] * (len(prices) // 2) + [0.0, 0.0]
    cover = [1.0] * len(prices) + [extreme_move_cover_fraction] * 2
    return ScenarioGrid(prices + extreme, volatilities, cover)


def futures_array(
    price_scan_range: ArrayLike,
    grid: ScenarioGrid,
    *,
    carry_loss: ArrayLike = 0.0,
    rounding_increment: float | None = None,
) -> FloatArray:
    """Return the loss of one long future in each scenario: array [..., n_scenarios], loss > 0.

    Parameters
    ----------
    price_scan_range : array_like [...]
        Money that one contract moves by over the price scan range, >= 0.
    grid : ScenarioGrid
    carry_loss : array_like [...]
        Loss of one long contract over the look-ahead when the price stands still.
    rounding_increment : float, optional
        See `rounded`.

    Raises
    ------
    InputError

    References
    ----------
    CME Group, public SPAN documentation: the array value is the negative of the price move times the contract value,
    extreme moves times the cover fraction.

    Examples
    --------
    >>> futures_array(1050, scenario_grid(3, 3.0, 0.33), rounding_increment=1).tolist()[10:]
    [-1050.0, -1050.0, 1050.0, 1050.0, -1040.0, 1040.0]
    """
    ranges, carry = np.asarray(price_scan_range, dtype=np.float64), np.asarray(carry_loss, dtype=np.float64)
    problems = Problems()
    if not (np.isfinite(ranges) & (ranges >= 0)).all():
        problems.add("is no finite amount of at least 0.", where="price_scan_range")
    if not np.isfinite(carry).all():
        problems.add("is no finite amount.", where="carry_loss")
    problems.raise_if_any()
    losses = (carry[..., None] - grid.price_moves * ranges[..., None]) * grid.cover
    return rounded(losses, rounding_increment)


@frozen(kw_only=True)
class OptionTerms:
    """An option on a future and the market it is priced in.

    `futures_price` and `strike` are in points, `volatility` a yearly decimal, `time_to_expiry_years` >= 0,
    `interest_rate` continuously compounded, `contract_value_factor` money per point.
    """

    futures_price: float
    strike: float
    right: Right
    volatility: float
    time_to_expiry_years: float
    interest_rate: float
    contract_value_factor: float

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        check_name(problems, self.right, "option right", get_args(Right))
        for name in ("futures_price", "strike", "volatility", "time_to_expiry_years", "contract_value_factor"):
            check_number(problems, getattr(self, name), f"option {name}", least=0.0)
        check_number(problems, self.interest_rate, "option interest_rate")
        problems.raise_if_any()


@frozen(kw_only=True)
class ScanRanges:
    """How far price and volatility are moved, and how much time passes.

    `price_points` is in points; `volatility` a decimal, by which the volatility is multiplied (`relative`: 1 plus or
    minus it) or shifted (`absolute`). Volatility never falls below zero.
    """

    price_points: float
    volatility: float
    volatility_type: VolatilityScanType = "relative"
    look_ahead_years: float = 0.0

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for name in ("price_points", "volatility", "look_ahead_years"):
            check_number(problems, getattr(self, name), f"scan range {name}", least=0.0)
        check_name(problems, self.volatility_type, "volatility_type", get_args(VolatilityScanType))
        problems.raise_if_any()


@frozen(eq=False)
class OptionArray:
    """What `option_array` returns, for one long contract.

    `value_points` is today's model value in points, `loss_array` [n_scenarios] money, loss > 0, `composite_delta`
    signed, in deltas of the future.
    """

    value_points: float
    loss_array: FloatArray
    composite_delta: float


def option_array(
    option: OptionTerms,
    ranges: ScanRanges,
    grid: ScenarioGrid,
    *,
    delta_weights: ArrayLike,
    rounding_increment: float | None = None,
) -> OptionArray:
    """Return loss array, composite delta and value of one long option on a future, repriced in every scenario.

    Parameters
    ----------
    option : OptionTerms
    ranges : ScanRanges
    grid : ScenarioGrid
    delta_weights : array_like [n_points]
        Weights of the look-ahead deltas at equidistant prices from one scan range below to one above.
    rounding_increment : float, optional
        See `rounded`.

    Raises
    ------
    InputError
        A scenario leads to a price of zero or less before expiry, for which Black's model has no value; weights that
        are no numbers.

    References
    ----------
    CME Group, public SPAN documentation, risk arrays and composite delta (notice SPAN 04-06, 2004); F. Black (1976),
    The pricing of commodity contracts, Journal of Financial Economics 3, 167-179.

    Examples
    --------
    >>> call = OptionTerms(
    ...     futures_price=2790,
    ...     strike=2825,
    ...     right="call",
    ...     volatility=0.16,
    ...     time_to_expiry_years=0.25,
    ...     interest_rate=0,
    ...     contract_value_factor=250,
    ... )
    >>> ranges = ScanRanges(price_points=120, volatility=0.35, look_ahead_years=1 / 365)
    >>> weights = [0.037, 0.111, 0.217, 0.27, 0.217, 0.111, 0.037]
    >>> array = option_array(call, ranges, scenario_grid(3, 3.0, 0.33), delta_weights=weights, rounding_increment=1)
    >>> array.loss_array.tolist()[:4], array.composite_delta
    ([-7596.0, 7768.0, -12613.0, 3075.0], 0.453961)
    """
    remaining = max(0.0, option.time_to_expiry_years - ranges.look_ahead_years)
    prices = option.futures_price + grid.price_moves * ranges.price_points
    if remaining:
        _refuse_no_price(prices)
    volatilities = _moved(option.volatility, ranges, grid.volatility_moves)
    now, _ = _value_and_delta(option, np.array([option.futures_price]), option.volatility, option.time_to_expiry_years)
    moved, _ = _value_and_delta(option, prices, volatilities, remaining)
    losses = (now - moved) * option.contract_value_factor * grid.cover
    weights = np.asarray(delta_weights, dtype=np.float64)
    at = option.futures_price + np.linspace(-1.0, 1.0, weights.size) * ranges.price_points
    _, deltas = _value_and_delta(option, at, option.volatility, remaining)
    return OptionArray(float(now[0]), rounded(losses, rounding_increment), composite_delta(deltas, weights))


def composite_delta(deltas: ArrayLike, weights: ArrayLike) -> float:
    """Return the weighted mean of look-ahead deltas, the weights as given.

    Raises
    ------
    InputError
        Lists of unlike length, numbers that are not finite, weights below zero or summing to nothing.

    References
    ----------
    CME notice SPAN 04-06 (2004).

    Examples
    --------
    >>> composite_delta([1.0, 0.5, 0.0], [0.25, 0.5, 0.25])
    0.5
    """
    found, shares = np.asarray(deltas, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    problems = Problems()
    if found.shape != shares.shape or found.ndim != 1:
        problems.add(f"{counted(found.size, 'delta')} for {counted(shares.size, 'weight')}.", where="composite delta")
    elif not (np.isfinite(found).all() and np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        problems.add("deltas or weights are no finite numbers, or no weight counts.", where="composite delta")
    problems.raise_if_any()
    return float(found @ shares / shares.sum())


def rounded(amounts: ArrayLike, increment: float | None) -> FloatArray:
    """Return amounts rounded to a multiple of `increment`, magnitude half up and sign kept; None leaves them.

    Raises
    ------
    InputError
        An increment that is not a finite number above zero.

    Examples
    --------
    >>> rounded([1039.5, -1039.5, 266.67], 1).tolist()
    [1040.0, -1040.0, 267.0]
    """
    values = np.asarray(amounts, dtype=np.float64)
    if increment is None:
        return values + 0.0  # no negative zero
    problems = Problems()
    if check_number(problems, increment, "rounding_increment", least=0.0) and increment == 0:
        problems.add("0 is no increment.", where="rounding_increment", fix="Give None for no rounding.")
    problems.raise_if_any()
    magnitude: FloatArray = np.floor(np.abs(values) / increment + 0.5 + _TIE) * increment
    return np.copysign(magnitude, values) + 0.0


def _moved(volatility: float, ranges: ScanRanges, moves: FloatArray) -> FloatArray:
    change = ranges.volatility * moves
    return np.maximum(volatility * (1.0 + change) if ranges.volatility_type == "relative" else volatility + change, 0.0)


def _value_and_delta(
    option: OptionTerms, prices: FloatArray, volatility: FloatArray | float, time: float
) -> tuple[FloatArray, FloatArray]:
    """Return Black's value and discounted delta at each price, points; at expiry intrinsic value at any price."""
    is_call = option.right == "call"
    if not time:
        side = 1.0 if is_call else -1.0
        inside = np.maximum(side * (prices - option.strike), 0.0)
        return inside, np.where(inside > 0, side, 0.0)
    with np.errstate(over="ignore"):  # a volatility next to nothing: d1 squared is infinite, and its density 0
        greeks = futures_option_greeks(
            prices, option.strike, volatility, time, rate=option.interest_rate, is_call=is_call
        )
    return greeks.value, greeks.delta


def _refuse_no_price(prices: FloatArray) -> None:
    problems = Problems()
    for scenario in np.flatnonzero(~(prices > 0)):
        fix = "Black's model has no value there: take a smaller scan range or extreme move."
        problems.add(f"the price falls to {prices[scenario]:g}.", where=f"scenario {scenario + 1}", fix=fix)
    problems.raise_if_any("This option cannot be repriced")
