"""Volatilities that option prices imply, and a status for every price that implies none.

Call `implied_volatility` with arrays of European prices: every quote gets a volatility or a status that says
why it has none. `implied_volatility_bid_ask` does both sides and the middle, `implied_volatility_by_pricer`
anything a monotone pricing function can price (American options on a tree).

Not here: prices, forwards behind a chain (`chains.py`), surfaces and their scenarios (`volatility.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen

from crossmargin.errors import Problems

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
StatusArray = npt.NDArray[np.int8]
Pricer = Callable[[FloatArray], npt.ArrayLike]

ROUNDING = 4.0 * float(np.finfo(np.float64).eps)  # of a price: less time value than this is only rounding
PRICER_ROUNDING = 1e-9  # of a price: what the many steps of a tree may lose; a cent of a million dollars
SETTLED = 1e-13  # relative width of the bracket at which the search with a pricer ends
MOST_CALLS = 200  # of a pricer; halving alone needs about fifty


class QuoteStatus(IntEnum):
    """Whether a quote has an implied volatility, and if not, why."""

    SOLVED = 0
    BELOW_INTRINSIC = 1  # worth less than exercise at the forward: arbitrage, or a stale quote
    ABOVE_MAXIMUM = 2  # worth the forward (call) or the strike (put), or more: no volatility is high enough
    NO_TIME_VALUE = 3  # exactly intrinsic value, to rounding: volatility zero fits, and so do others
    NOT_A_NUMBER = 4  # NaN or infinity in the price or in what it is compared with
    NON_POSITIVE_INPUT = 5  # forward, strike, time or discount factor is zero or below
    NOT_CONVERGED = 6  # the search ended without an answer


@frozen(eq=False)
class ImpliedVolatilities:
    """Implied volatilities [n_quotes] and a status for each.

    Parameters
    ----------
    volatility : array [n_quotes]
        A year, as a decimal (0.2); NaN where the status is not `SOLVED`.
    status : int8 array [n_quotes]
        Values of `QuoteStatus`.
    """

    volatility: FloatArray
    status: StatusArray

    @property
    def solved(self) -> BoolArray:
        """Mask [n_quotes] of the quotes that have a volatility."""
        solved: BoolArray = self.status == QuoteStatus.SOLVED
        return solved

    def counts(self) -> Mapping[QuoteStatus, int]:
        """Return how many quotes have each status; statuses that do not occur are left out."""
        found, how_many = np.unique(self.status, return_counts=True)
        return {QuoteStatus(int(s)): int(n) for s, n in zip(found, how_many, strict=True)}


@frozen(eq=False)
class BidAskVolatilities:
    """Implied volatilities of the bid, of the middle and of the ask of the same quotes."""

    bid: ImpliedVolatilities
    mid: ImpliedVolatilities
    ask: ImpliedVolatilities


def implied_volatility(
    price: npt.ArrayLike,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    time: npt.ArrayLike,
    *,
    discount: npt.ArrayLike = 1.0,
    is_call: npt.ArrayLike = True,
) -> ImpliedVolatilities:
    """Return the Black volatilities at which European options have these prices.

    Parameters
    ----------
    price : array [n_quotes]
        Paid today, per unit of the underlying.
    forward, strike : array [n_quotes]
        In the same money as the price.
    time : array [n_quotes]
        Years to expiry.
    discount : array [n_quotes]
        Discount factor from today to the payment.
    is_call : bool array [n_quotes]
        False for a put.

    Returns
    -------
    ImpliedVolatilities
        In the shape that the arguments broadcast to. No quote raises: what has no volatility has a status.

    Raises
    ------
    InputError
        Shapes that do not fit together, or what is no number at all.

    Notes
    -----
    For an option out of the money the volatility is that of the price to a few units in the last place. In the
    money the time value is what remains after the intrinsic value is taken off, so digits are lost with it;
    the volatility then reprices the quote to 1e-15 of the larger of forward and strike.

    References
    ----------
    Black (1976), "The pricing of commodity contracts", Journal of Financial Economics 3. Jäckel (2015), "Let's be
    rational", Wilmott 2015(75).

    Examples
    --------
    >>> found = implied_volatility([7.965567, 0.0], 100.0, 100.0, 1.0)
    >>> found.volatility.round(6), [QuoteStatus(s).name for s in found.status]
    (array([0.2, nan]), ['SOLVED', 'NO_TIME_VALUE'])
    """
    columns = _broadcast(price=price, forward=forward, strike=strike, time=time, discount=discount, is_call=is_call)
    shape = columns["price"].shape
    flat = {name: np.ravel(values) for name, values in columns.items()}
    with np.errstate(all="ignore"):
        value, status = _time_values(flat)
    volatility = np.full(value.shape, np.nan)
    asked = status == QuoteStatus.SOLVED
    volatility[asked] = _total_volatility(flat["forward"][asked], flat["strike"][asked], value[asked])
    with np.errstate(all="ignore"):
        volatility = volatility / np.sqrt(flat["time"])
    status[asked & ~np.isfinite(volatility)] = QuoteStatus.NOT_CONVERGED
    volatility[status != QuoteStatus.SOLVED] = np.nan
    return ImpliedVolatilities(volatility.reshape(shape), status.reshape(shape))


def implied_volatility_bid_ask(
    bid: npt.ArrayLike,
    ask: npt.ArrayLike,
    *,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    time: npt.ArrayLike,
    discount: npt.ArrayLike = 1.0,
    is_call: npt.ArrayLike = True,
) -> BidAskVolatilities:
    """Return the implied volatilities of both sides of quotes and of their middle.

    A side without a bid (price 0) has the status `NO_TIME_VALUE` out of the money; the middle of a one-sided
    quote is solved all the same, and it is the caller who knows whether to use it. Arguments, shapes and
    errors as in `implied_volatility`.

    Examples
    --------
    >>> quotes = implied_volatility_bid_ask(7.9, 8.0, forward=100.0, strike=100.0, time=1.0)
    >>> bool(quotes.bid.volatility < quotes.mid.volatility < quotes.ask.volatility)
    True
    """
    sides = _broadcast(bid=bid, ask=ask)
    prices = (sides["bid"], 0.5 * (sides["bid"] + sides["ask"]), sides["ask"])
    solved = (implied_volatility(each, forward, strike, time, discount=discount, is_call=is_call) for each in prices)
    return BidAskVolatilities(*solved)


def implied_volatility_by_pricer(
    price: npt.ArrayLike, pricer: Pricer, *, lowest: float = 1e-3, highest: float = 5.0
) -> ImpliedVolatilities:
    """Return the volatilities at which `pricer` gives these prices: American options, trees, anything monotone.

    Parameters
    ----------
    price : array [n_quotes]
    pricer : callable
        Takes volatilities [n_quotes], returns prices [n_quotes], not decreasing in each volatility. It is
        called with all quotes at once, some twenty times.
    lowest, highest : float
        The volatilities between which to look. A tree needs its own lowest: below rate * sqrt(step) a
        Cox-Ross-Rubinstein probability leaves [0, 1].

    Returns
    -------
    ImpliedVolatilities
        A price below that of `lowest` is `BELOW_INTRINSIC`, one equal to it to a billionth `NO_TIME_VALUE` (an
        American option that is exercised at once has the same price at many volatilities), one above that of
        `highest` is `ABOVE_MAXIMUM`. Where the pricer returns NaN, the status is `NOT_A_NUMBER`.

    Raises
    ------
    InputError
        The bounds are not two increasing positive numbers, or the pricer returns another shape.

    Notes
    -----
    Chandrupatla's method: inverse quadratic interpolation where it is safe, halving where it is not; the
    bracket never grows. It ends at a relative width of 1e-13, or when the price is met exactly.

    References
    ----------
    Chandrupatla (1997), "A new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear
    function without using derivatives", Advances in Engineering Software 28.

    Examples
    --------
    >>> found = implied_volatility_by_pricer([1.0, 9.0], lambda volatility: 4.0 * volatility**2, highest=1.0)
    >>> found.volatility, QuoteStatus(found.status[1]).name
    (array([0.5, nan]), 'ABOVE_MAXIMUM')
    """
    _check_bounds(lowest, highest)
    wanted = np.asarray(price, dtype=np.float64)
    low, high = np.full(wanted.shape, lowest), np.full(wanted.shape, highest)

    def excess(volatility: FloatArray) -> FloatArray:
        prices = np.asarray(pricer(volatility), dtype=np.float64)
        if prices.shape != wanted.shape:
            _refuse(f"shape {prices.shape} returned, {wanted.shape} asked", "pricer", "Return one price a quote.")
        return prices - wanted

    below, above = excess(low), excess(high)
    margin = PRICER_ROUNDING * np.abs(wanted)
    status = np.select(
        [~np.isfinite(below + above), below > margin, np.abs(below) <= margin, above < 0.0],
        [
            QuoteStatus.NOT_A_NUMBER,
            QuoteStatus.BELOW_INTRINSIC,
            QuoteStatus.NO_TIME_VALUE,
            QuoteStatus.ABOVE_MAXIMUM,
        ],
        QuoteStatus.SOLVED,
    ).astype(np.int8)
    volatility, settled = _chandrupatla(excess, (low, below), (high, above), status == QuoteStatus.SOLVED)
    status[(status == QuoteStatus.SOLVED) & ~settled] = QuoteStatus.NOT_CONVERGED
    return ImpliedVolatilities(np.where(status == QuoteStatus.SOLVED, volatility, np.nan), status)


def _chandrupatla(
    excess: Callable[[FloatArray], FloatArray],
    low: tuple[FloatArray, FloatArray],
    high: tuple[FloatArray, FloatArray],
    active: BoolArray,
) -> tuple[FloatArray, BoolArray]:
    """Return the zeros of `excess` [n] between (place, excess) pairs of unlike sign, and which are settled."""
    (b, fb), (a, fa) = high, low
    share, best, settled = np.full(a.shape, 0.5), np.full(a.shape, np.nan), ~active
    for _ in range(MOST_CALLS):
        at = a + share * (b - a)
        f = excess(np.where(settled, a, at))
        f = np.where(np.isfinite(f), f, -1.0)  # a pricer that fails inside its bounds: look higher
        same = np.sign(f) == np.sign(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = at, f
        nearer = np.abs(fa) < np.abs(fb)
        best = np.where(settled, best, np.where(nearer, a, b))
        with np.errstate(all="ignore"):
            least = SETTLED * np.abs(best) / np.abs(b - a)
            settled = settled | (fa == 0.0) | (least > 0.5)
            if settled.all():
                break
            share = np.clip(_next_share((a, fa), (b, fb), (c, fc)), least, 1.0 - least)
        share = np.where(np.isfinite(share), share, 0.5)
    return best, settled


def _next_share(
    a: tuple[FloatArray, FloatArray], b: tuple[FloatArray, FloatArray], c: tuple[FloatArray, FloatArray]
) -> FloatArray:
    """Return where between a and b to look next: by inverse quadratic interpolation when it is safe, else 0.5."""
    (xa, fa), (xb, fb), (xc, fc) = a, b, c
    xi, phi = (xa - xb) / (xc - xb), (fa - fb) / (fc - fb)
    safe = (1.0 - np.sqrt(1.0 - xi) < phi) & (phi < np.sqrt(xi))
    first = fa / (fb - fa) * fc / (fb - fc)
    second = (xc - xa) / (xb - xa) * fa / (fc - fa) * fb / (fc - fb)
    share: FloatArray = np.where(safe, first + second, 0.5)
    return share


# ------------------------------------------------------------------------------------------- the kernel's edge


def _time_values(quotes: Mapping[str, npt.NDArray[Any]]) -> tuple[FloatArray, StatusArray]:
    """Return the undiscounted time value [n] of each quote, and `SOLVED` where the kernel may be asked."""
    price, forward, strike = quotes["price"], quotes["forward"], quotes["strike"]
    time, discount = quotes["time"], quotes["discount"]
    undiscounted = price / discount
    intrinsic = np.maximum(np.where(quotes["is_call"], forward - strike, strike - forward), 0.0)
    value = undiscounted - intrinsic
    rounding = np.where(intrinsic > 0.0, ROUNDING * intrinsic, 0.0)
    reasons = {
        QuoteStatus.NOT_A_NUMBER: ~np.isfinite(price + forward + strike + time + discount),
        QuoteStatus.NON_POSITIVE_INPUT: (forward <= 0) | (strike <= 0) | (time <= 0) | (discount <= 0),
        QuoteStatus.BELOW_INTRINSIC: value < -rounding,
        QuoteStatus.NO_TIME_VALUE: value <= rounding,
        QuoteStatus.ABOVE_MAXIMUM: value >= np.minimum(forward, strike),
    }
    status = np.select(list(reasons.values()), list(reasons), QuoteStatus.SOLVED).astype(np.int8)
    return value, status


def _total_volatility(forward: FloatArray, strike: FloatArray, value: FloatArray) -> FloatArray:
    from crossmargin.kernels.implied import implied_total_volatility

    out = np.empty(len(value))
    implied_total_volatility(forward, strike, value, out)
    return out


def _broadcast(**columns: npt.ArrayLike) -> dict[str, npt.NDArray[Any]]:
    """Return the columns as arrays of one shape: floats, and truth values for `is_call`."""
    problems = Problems()
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, values in columns.items():
        try:
            arrays[name] = np.asarray(values, dtype=np.bool_ if name == "is_call" else np.float64)
        except (TypeError, ValueError):
            problems.add("is not an array of numbers", where=name, fix="Give floats, NaN where there is none.")
    problems.raise_if_any("cannot read the quotes")
    try:
        shape = np.broadcast_shapes(*(a.shape for a in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items())
        _refuse(f"shapes do not fit together: {shapes}", "quotes", "Give arrays of one length, or single numbers.")
    return {name: np.ascontiguousarray(np.broadcast_to(a, shape)).reshape(shape) for name, a in arrays.items()}


def _check_bounds(lowest: float, highest: float) -> None:
    if not 0.0 < lowest < highest < np.inf:
        what = f"{lowest:g} and {highest:g} are not two increasing positive volatilities"
        _refuse(what, "lowest, highest", "Decimals a year: 0.001 and 5.0.")


def _refuse(what: str, where: str, fix: str) -> None:
    problems = Problems()
    problems.add(what, where=where, fix=fix)
    problems.raise_if_any()
