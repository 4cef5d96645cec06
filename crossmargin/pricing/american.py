"""Values of American options: over scenarios by table, and one by one by a boundary solver or a lattice.

Call `american_values` for [n_options, n_scenarios] and `american_price` for single options; `american_method` says
how, and so how closely. `lattice_price` is the tree of Cox, Ross and Rubinstein (1979), which also takes cash
dividends.

How it works. A call on (spot, strike, rate, yield) is a put on (strike, spot, yield, rate), so only puts are
solved. Boundary and premium come from the integral equation of Kim (1990), solved on Chebyshev nodes from the
guess of Li (2010) in the way of Andersen, Lake and Offengenden (2016). A table holds the premium over strike
of one expiry; what its volatilities do not cover is solved afresh, and what the solver does not cover (two
boundaries, when the yield of a put lies below a negative rate) goes to a lattice of `FALLBACK_STEPS` steps.
An option on a future is an option on a spot whose yield is the rate.

What it leaves out. Rates, yields and volatility are constant over the life of an option. Cash dividends are
known amounts; the spot less their present value is what moves (the escrowed model).

References
----------
Andersen, Lake, Offengenden, High-performance American option pricing, J. of Computational Finance 20 (2016).
Cox, Ross, Rubinstein, Option pricing: a simplified approach, J. of Financial Economics 7 (1979).
Kim, The analytic valuation of American options, Review of Financial Studies 3 (1990).
Li, Analytical approximations for the critical stock prices of American options, Rev. Derivatives Res. 13 (2010).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from crossmargin.errors import Problems

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

NODES, POINTS, SWEEPS, PRICE_POINTS = 10, 12, 4, 24  # of the boundary solver: 5e-5 on a spot of 100
ROWS, COLUMNS = 96, 128  # cells of a table
LEAST_VOLATILITY, GREATEST_VOLATILITY = 0.03, 2.0  # of a table; solved afresh beyond
REACH = 5.5  # standard deviations beyond which early exercise is worth less than 1e-8 of the strike
STEEP = 0.5  # deviations of drift over the life of a put from which FP-B is solved; both agree between 0.3 and 0.6
STILL = 1e-6  # deviations to expiry below which a price is that of a path without volatility
FALLBACK_STEPS = 1000


@frozen(eq=False)
class _Rule:
    """Nodes and quadrature of the solver, for the boundary and for the premium."""

    shares: FloatArray
    angles: FloatArray
    spread: FloatArray
    price_angles: FloatArray
    price_spread: FloatArray


@frozen(eq=False)
class PremiumTable:
    """Early-exercise premiums of one expiry, for one right, at fixed rates. Made by `premium_table`.

    `edges` [n_rows, 16], `cells` [n_rows * n_columns, 16] and `term` [8] are read by the kernel `price_rows`.
    """

    is_call: bool
    expiry_time: float
    rate: float
    dividend_yield: float
    edges: FloatArray = field(repr=False)
    cells: FloatArray = field(repr=False)
    term: FloatArray = field(repr=False)

    @property
    def holds_nothing(self) -> bool:
        """Whether every price is outside: no time is left, or there are two boundaries."""
        return bool(self.term[5] == 0.0)


@lru_cache(maxsize=4)
def _rule(nodes: int = NODES, points: int = POINTS, price_points: int = PRICE_POINTS) -> _Rule:
    """Return the fixed numbers of the solver; square roots of time are Chebyshev points of the second kind."""
    shares = (1.0 + np.cos(np.pi * np.arange(nodes + 1) / nodes)) / 2.0
    shares[-1] = 0.0
    angles, price_angles = _angles(points), _angles(price_points)
    spread = np.array([_interpolation(shares, share * angles[:, 1]) for share in shares])
    return _Rule(shares, angles, spread, price_angles, _interpolation(shares, price_angles[:, 1]))


def _angles(count: int) -> FloatArray:
    """Return sine, cosine and weight [count, 3] of Gauss-Legendre points on (0, pi / 2).

    With time since = time * sin^2 both ends of the integrals are smooth: the square root of the time since,
    and that of the time to expiry which the boundary depends on.
    """
    points, weights = np.polynomial.legendre.leggauss(count)
    theta = (1.0 + points) * np.pi / 4.0
    return np.ascontiguousarray(np.array([np.sin(theta), np.cos(theta), weights * np.pi / 4.0]).T)


def _interpolation(shares: FloatArray, at: FloatArray) -> FloatArray:
    """Return weights [n_at, n_nodes] of polynomial interpolation in the square root of time (barycentric)."""
    signs = (-1.0) ** np.arange(len(shares))
    signs[[0, -1]] /= 2.0
    distance = at[:, None] - shares
    exact = np.abs(distance) < 1e-14
    weights = signs / np.where(exact, 1.0, distance)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.ascontiguousarray(np.where(exact.any(axis=1, keepdims=True), exact.astype(float), weights))


def solve_boundaries(rate: FloatArray, dividend_yield: FloatArray, volatility: FloatArray, time: FloatArray) -> Any:
    """Return (puts [5, n], squares [n_nodes, n]) of puts that are exercised early at some spot."""
    from crossmargin.kernels.american import boundaries

    rule = _rule()
    puts = np.ascontiguousarray(np.array([rate, dividend_yield, volatility, time, _log_cap(rate, dividend_yield)]))
    squares = np.empty((len(rule.shares), puts.shape[1]))
    drift = rate - dividend_yield
    steep = drift * np.sqrt(time) > STEEP * volatility
    for by_value in (False, True):
        chosen = np.flatnonzero(steep == by_value)
        some = np.empty((len(rule.shares), len(chosen)))
        some_puts = np.ascontiguousarray(puts[:, chosen])
        boundaries(some_puts, rule.shares, rule.angles, rule.spread, SWEEPS, by_value, some)
        squares[:, chosen] = some
    return puts, squares


def _log_cap(rate: FloatArray, dividend_yield: FloatArray) -> FloatArray:
    """Return the log of the boundary just before expiry over the strike: rate over yield, at most 1."""
    capped = dividend_yield > rate
    return np.log(np.where(capped, rate, 1.0) / np.where(capped, dividend_yield, 1.0))


def integrate_premiums(puts: FloatArray, squares: FloatArray, log_spots: FloatArray) -> FloatArray:
    """Return early-exercise premiums over strike [n_spots, n_puts] for spots above the boundary."""
    from crossmargin.kernels.american import premiums

    rule, out = _rule(), np.empty_like(log_spots)
    premiums(puts, squares, rule.price_angles, rule.price_spread, log_spots, out)
    return out


def european_put(x: FloatArray, rate: FloatArray, dividend_yield: FloatArray, *, vol: Any, time: Any) -> FloatArray:
    """Return European puts over strike; `x` is the log of spot over strike (Merton 1973)."""
    from scipy.special import ndtr

    spread = vol * np.sqrt(time)
    up = (x + (rate - dividend_yield) * time) / spread + 0.5 * spread
    value = np.exp(-rate * time) * ndtr(spread - up) - np.exp(x - dividend_yield * time) * ndtr(-up)
    return np.asarray(np.maximum(value, 0.0))


@lru_cache(maxsize=32)  # 1.6 MB each
def premium_table(is_call: bool, expiry_time: float, *, rate: float, dividend_yield: float) -> PremiumTable:  # noqa: FBT001
    """Return the table of one expiry and right, kept for the next call: years, rate and yield in decimals."""
    from crossmargin.kernels.premium_table import WARP

    r, q = (dividend_yield, rate) if is_call else (rate, dividend_yield)
    first, last = (v / (v + WARP) for v in (LEAST_VOLATILITY, GREATEST_VOLATILITY))
    term = np.array([r, q, expiry_time, np.sqrt(expiry_time), LEAST_VOLATILITY, GREATEST_VOLATILITY, first, 0.0])
    term[7] = ROWS / (last - first)
    if never_exercised(r, q) or two_boundaries(r, q) or expiry_time <= 0.0:
        term[5] = term[5] if never_exercised(r, q) and expiry_time > 0.0 else 0.0  # empty: every point is outside
        edges, cells = np.zeros((1, 16)), np.zeros((1, 16))
        edges[0, 0], term[7] = -1e6, 0.0
        return PremiumTable(is_call, expiry_time, rate, dividend_yield, edges, cells, term)
    places = np.linspace(first, last, ROWS + 1)
    edges, cells = _fill_table(r, q, WARP * places / (1.0 - places), expiry_time)
    return PremiumTable(is_call, expiry_time, rate, dividend_yield, edges, cells, term)


def _fill_table(r: float, q: float, volatility: FloatArray, time: float) -> tuple[FloatArray, FloatArray]:
    """Return edges and cells: from each row's boundary to where exercise no longer matters."""
    flat = np.ones_like(volatility)
    puts, squares = solve_boundaries(r * flat, q * flat, volatility, time * flat)
    edge = puts[4] - np.sqrt(squares[0])
    deviation = volatility * np.sqrt(time)
    away = np.maximum(0.0, (0.5 * volatility**2 - (r - q)) * time)
    step = (puts[4] - edge + away + REACH * deviation) / COLUMNS
    along = np.arange(COLUMNS + 1)[:, None]
    premium = integrate_premiums(puts, squares, np.ascontiguousarray(edge + along * step)).T
    along_rows = _cubics(np.moveaxis(_cubics(premium), 0, 2))  # [columns, power within, rows, power between rows]
    cells = np.ascontiguousarray(along_rows.transpose(2, 0, 3, 1)).reshape(-1, 16)
    edges = np.zeros((len(edge) - 1, 4, 4))
    edges[:, :, :2] = _cubics(np.array([edge, 1.0 / step])).transpose(1, 2, 0)
    return edges.reshape(-1, 16), cells


def _cubics(values: FloatArray) -> FloatArray:
    """Return Hermite cubics [..., n - 1, 4] between values [..., n], slopes to fourth order from neighbours."""
    slopes = np.empty_like(values)
    slopes[..., 2:-2] = (values[..., :-4] - values[..., 4:] + 8.0 * (values[..., 3:-1] - values[..., 1:-3])) / 12.0
    for at, weights in ((0, (-25.0, 48.0, -36.0, 16.0, -3.0)), (1, (-3.0, -10.0, 18.0, -6.0, 1.0))):
        slopes[..., at] = values[..., :5] @ np.array(weights) / 12.0
        slopes[..., -1 - at] = -(values[..., :-6:-1] @ np.array(weights)) / 12.0
    here, ahead = values[..., :-1], values[..., 1:] - values[..., :-1]
    start, end = slopes[..., :-1], slopes[..., 1:]
    return np.stack([here, start, 3.0 * ahead - 2.0 * start - end, start + end - 2.0 * ahead], axis=-1)


def never_exercised(rate: Any, dividend_yield: Any) -> Any:
    """Return whether a put with these rates is worth no more than its European twin."""
    return (rate <= 0.0) & (dividend_yield >= rate)


def two_boundaries(rate: Any, dividend_yield: Any) -> Any:
    """Return whether a put is exercised between two boundaries: both rates negative, the yield more so."""
    return (rate < 0.0) & (dividend_yield < rate)


def american_price(
    is_call: Any, strike: Any, expiry_time: Any, volatility: Any, *, spot: Any, rate: Any, dividend_yield: Any = 0.0
) -> FloatArray:
    """Return prices of American options, each solved on its own, in the unit of the spot.

    Parameters
    ----------
    is_call, strike, expiry_time, volatility, spot, rate, dividend_yield : array_like
        Broadcast against one another. Strike and spot above 0, years at least 0, volatility per root year at
        least 0; rate and yield continuous, in decimals, of any sign. For an option on a future the spot is
        the futures price and the yield is the rate.

    Returns
    -------
    ndarray
        Of the broadcast shape; within 1e-4 for a spot of 100, never below intrinsic or European value.

    Raises
    ------
    InputError
        If a number is not finite or outside its range; every such row is named.

    References
    ----------
    Andersen, Lake, Offengenden, High-performance American option pricing, J. Comp. Finance 20 (2016). Where a
    put has two boundaries: Cox, Ross, Rubinstein (1979) with `FALLBACK_STEPS` steps, to about 1e-2;
    `american_method` says of which options that holds.

    Examples
    --------
    >>> american_price([False, True], 100.0, 0.5, 0.25, spot=100.0, rate=0.04, dividend_yield=0.04).round(4)
    array([6.9297, 6.9297])
    """
    calls, *numbers = np.broadcast_arrays(is_call, strike, expiry_time, volatility, spot, rate, dividend_yield)
    shape, calls = calls.shape, calls.astype(bool).ravel()
    k, time, vol, s, r, q = (np.asarray(n, dtype=np.float64).ravel() for n in numbers)
    check_options(strike=k, expiry_time=time, volatility=vol, spot=s, rate=r, dividend_yield=q)
    k, s, r, q = np.where(calls, s, k), np.where(calls, k, s), np.where(calls, q, r), np.where(calls, r, q)
    values = np.maximum(k * _put_prices(np.log(s / k), r, q, vol=vol, time=time), k - s)
    return np.asarray(values).reshape(shape)


def _put_prices(x: FloatArray, r: FloatArray, q: FloatArray, *, vol: FloatArray, time: FloatArray) -> FloatArray:
    """Return American puts over strike, or less where that is intrinsic, each by the method it asks for."""
    method = _methods(r, q, vol=vol, time=time)
    still, european, lattice, solved = (method == name for name in ("still", "european", "lattice", "boundary"))
    out = np.empty_like(x)
    out[still] = still_puts(x[still], r[still], q[still], time=time[still])
    out[european] = european_put(x[european], r[european], q[european], vol=vol[european], time=time[european])
    out[solved] = _solved_puts(x[solved], r[solved], q[solved], vol=vol[solved], time=time[solved])
    lattice |= ~np.isfinite(out) & solved
    if lattice.any():
        some = {"spot": np.exp(x[lattice]), "rate": r[lattice], "dividend_yield": q[lattice], "steps": FALLBACK_STEPS}
        out[lattice] = lattice_price(np.zeros(1, dtype=bool), 1.0, time[lattice], vol[lattice], **some)
    return out


def american_method(
    is_call: Any, expiry_time: Any, volatility: Any, *, rate: Any, dividend_yield: Any = 0.0
) -> npt.NDArray[np.str_]:
    """Return by which method `american_price` values each option, and so how closely.

    Arguments as in `american_price`; `american_values` values alike what lies outside its tables. `boundary`: from the
    exercise boundary, within 1e-4 for a spot of 100. `european`: early exercise is worth nothing; `still`: no time or
    volatility to speak of; both exact. `lattice`: exercised between two boundaries (a put with yield < rate < 0, a
    call with rate < yield < 0), `FALLBACK_STEPS` steps, within about 1e-2 and a thousand times slower.

    Examples
    --------
    >>> american_method([False, True], 0.5, 0.25, rate=-0.01, dividend_yield=[-0.03, 0.02]).tolist()
    ['lattice', 'boundary']
    """
    calls, *numbers = np.broadcast_arrays(is_call, expiry_time, volatility, rate, dividend_yield)
    time, vol, r, q = (np.asarray(n, dtype=np.float64) for n in numbers)
    calls = calls.astype(bool)
    return _methods(np.where(calls, q, r), np.where(calls, r, q), vol=vol, time=time)


def _methods(r: FloatArray, q: FloatArray, *, vol: FloatArray, time: FloatArray) -> npt.NDArray[np.str_]:
    """Return the method for each put."""
    cases = [vol * np.sqrt(time) < STILL, never_exercised(r, q), two_boundaries(r, q)]
    return np.select(cases, ["still", "european", "lattice"], "boundary")


def _solved_puts(x: FloatArray, r: FloatArray, q: FloatArray, *, vol: FloatArray, time: FloatArray) -> FloatArray:
    """Return puts over strike from their own boundaries; zero at and below these, for the caller to mend."""
    puts, squares = solve_boundaries(r, q, vol, time)
    premium = integrate_premiums(puts, squares, np.ascontiguousarray(x[None]))[0]
    value = european_put(x, r, q, vol=vol, time=time) + premium
    return np.where(x <= puts[4] - np.sqrt(squares[0]), 0.0, value)


def still_puts(x: FloatArray, r: FloatArray, q: FloatArray, *, time: FloatArray) -> FloatArray:
    """Return puts over strike without volatility: the best of exercise now, at expiry, or where growth stops."""
    drift = r - q
    turn = (r > 0.0) & (q > 0.0) & (drift != 0.0)
    best = np.where(turn, np.log(np.where(turn, r, 1.0) / np.where(turn, q, 1.0)) - x, 0.0)
    best = np.clip(best / np.where(turn, drift, 1.0), 0.0, time)
    at = np.array([np.zeros_like(time), time, best])
    return np.asarray(np.maximum((np.exp(-r * at) - np.exp(x - q * at)).max(axis=0), 0.0))


def check_options(**numbers: FloatArray) -> None:
    """Raise `InputError` naming every row whose number is not finite or outside its range."""
    problems = Problems()
    for name, values in numbers.items():
        least = {"strike": 0.0, "spot": 0.0, "expiry_time": -1e-300, "volatility": -1e-300}.get(name, -np.inf)
        for row in np.flatnonzero(~(np.isfinite(values) & (values > least))):
            fix = "It must be a number." if least == -np.inf else "It must be above 0." if least == 0.0 else ""
            problems.add(f"{name} is {values[row]}", where=f"option {row}", fix=fix or "It must be 0 or more.")
    problems.raise_if_any()


def american_values(
    is_call: Any,
    strike: Any,
    expiry_time: Any,
    volatility: Any,
    *,
    spot: Any,
    rate: Any,
    dividend_yield: Any = 0.0,
    volatility_scale: Any = 1.0,
    volatility_shift: Any = 0.0,
) -> FloatArray:
    """Return prices of American options on one underlying over scenarios, in the unit of the spot.

    Parameters
    ----------
    is_call, strike, expiry_time, volatility, rate, dividend_yield : array_like [n_options]
        As in `american_price`; scalars stand for all options.
    spot : array_like [n_scenarios]
        Spot (or futures price) in each scenario.
    volatility_scale, volatility_shift : array_like [n_scenarios]
        An option's volatility in a scenario is its own times the scale plus the shift.

    Returns
    -------
    ndarray [n_options, n_scenarios]
        European value plus premium from a table of the expiry; what the table does not hold is solved afresh.
        Within 2e-4 for a spot of 100, save where `american_method` says `lattice`. A scenario's price does not
        depend on the other scenarios.

    Raises
    ------
    InputError
        If a number is not finite or outside its range; every such row is named.

    Examples
    --------
    >>> american_values(False, [95.0, 105.0], 0.5, 0.25, spot=[90.0, 100.0], rate=0.04).round(2)
    array([[ 8.41,  4.  ],
           [15.81,  8.99]])
    """
    from crossmargin.kernels.premium_table import price_rows

    columns = np.broadcast_arrays(*np.atleast_1d(is_call, strike, expiry_time, volatility, rate, dividend_yield))
    calls, (k, time, vol, r, q) = columns[0].astype(bool), (np.asarray(c, dtype=np.float64) for c in columns[1:])
    spots, scale, shift = (
        np.array(c, dtype=np.float64, ndmin=2) for c in np.broadcast_arrays(spot, volatility_scale, volatility_shift)
    )
    check_options(strike=k, expiry_time=time, volatility=vol, rate=r, dividend_yield=q)
    _check_scenarios(spots[0], vol, scale[0], shift[0])
    out, outside = np.empty((len(k), spots.shape[1])), np.zeros(len(k), dtype=np.int64)
    options, log_spots = np.ascontiguousarray(np.array([k, np.log(k), vol]).T), np.log(spots)
    for (is_a_call, years, a, b), rows in _expiries(calls, time, r, q).items():
        table = premium_table(is_a_call, years, rate=a, dividend_yield=b)
        if table.holds_nothing:
            out[rows], outside[rows] = np.nan, 1
            continue
        which = np.array([(n, 0, 0, is_a_call) for n in rows], dtype=np.int64)
        arrays = table.edges, table.cells, table.term, which, options, spots, log_spots, scale, shift
        price_rows(*arrays, outside, out)
    for n in np.flatnonzero(outside):
        s = np.flatnonzero(np.isnan(out[n]))
        numbers = {"spot": spots[0, s], "rate": r[n], "dividend_yield": q[n]}
        out[n, s] = american_price(calls[n], k[n], time[n], vol[n] * scale[0, s] + shift[0, s], **numbers)
    return out


def _expiries(
    calls: BoolArray, time: FloatArray, rate: FloatArray, dividend_yield: FloatArray
) -> dict[tuple[bool, float, float, float], list[int]]:
    """Return the options that share a table, by right, years, rate and yield."""
    out: dict[tuple[bool, float, float, float], list[int]] = {}
    columns = (column.tolist() for column in (calls, time, rate, dividend_yield))
    for n, key in enumerate(zip(*columns, strict=True)):
        out.setdefault(key, []).append(n)
    return out


def _check_scenarios(spot: FloatArray, volatility: FloatArray, scale: FloatArray, shift: FloatArray) -> None:
    """Raise `InputError` naming every scenario with a bad spot or a negative volatility."""
    problems = Problems()
    least = np.minimum(scale * volatility.min(initial=0.0), scale * volatility.max(initial=0.0)) + shift
    for n in np.flatnonzero(~(np.isfinite(spot) & (spot > 0.0))):
        problems.add(f"spot is {spot[n]}", where=f"scenario {n}", fix="It must be above 0.")
    for n in np.flatnonzero(~(np.isfinite(least) & (least >= 0.0))):
        problems.add(f"volatility falls to {least[n]}", where=f"scenario {n}", fix="It must be 0 or more.")
    problems.raise_if_any()


def escrowed_spot(spot: Any, expiry_time: float, *, rate: float, dividends: Any) -> Any:
    """Return the spot less the present value of cash dividends (years, amount) paid up to expiry."""
    return np.asarray(spot) - sum(cash * np.exp(-rate * paid) for paid, cash in dividends if 0.0 < paid <= expiry_time)


def lattice_price(
    is_call: Any,
    strike: Any,
    expiry_time: Any,
    volatility: Any,
    *,
    spot: Any,
    rate: Any,
    dividend_yield: Any = 0.0,
    steps: int = 500,
    american: bool = True,
    dividends: Any = (),
) -> FloatArray:
    """Return prices on the lattice of Cox, Ross and Rubinstein (1979), in the unit of the spot.

    Arguments and errors as in `american_price`. `dividends` are cash amounts (years, amount) known today: the spot less
    their present value moves, exercise delivers it with those still to come (escrowed model). Without time the value is
    intrinsic; where the volatility is so small that a probability would leave [0, 1], of a path without volatility.

    Examples
    --------
    >>> float(lattice_price(False, 100.0, 0.5, 0.25, spot=100.0, rate=0.04, steps=500).round(3))
    6.203
    """
    from crossmargin.kernels.lattice import lattice_values

    problems = Problems()
    if steps < 1:
        problems.add(f"{steps} time steps", where="steps", fix="At least 1 is needed.")
    problems.raise_if_any()
    calls, *numbers = np.broadcast_arrays(is_call, strike, expiry_time, volatility, spot, rate, dividend_yield)
    shape, calls = calls.shape, calls.astype(bool).ravel()
    k, time, vol, s, r, q = (np.asarray(n, dtype=np.float64).ravel() for n in numbers)
    cash = _cash_to_come(time, r, steps=steps, dividends=dividends)
    s = s - cash[:, 0] if len(cash) else s
    check_options(strike=k, expiry_time=time, volatility=vol, spot=s, rate=r, dividend_yield=q)
    sign = np.where(calls, 1.0, -1.0)
    options, fine = _lattice_terms(sign, k, time / steps, volatility=vol, spot=s, rate=r, dividend_yield=q)
    out, signed = np.empty(len(k)), sign[:, None] * cash if len(cash) else cash
    walked = np.flatnonzero(fine)  # options that end worthless at similar nodes are best side by side
    walked = walked[np.argsort((options[walked, 1] - options[walked, 0]) / np.abs(options[walked, 2] * s[walked]))]
    held = signed[walked] if len(cash) else cash
    lattice_values(options[walked], held, steps, american, values := np.empty(len(walked)))
    out[walked] = values
    rest = np.flatnonzero(~fine)
    at = np.linspace(0.0 if american else 1.0, 1.0, steps + 1) * time[rest, None]
    path = s[rest, None] * np.exp((r - q)[rest, None] * at) + (cash[rest] if len(cash) and american else 0.0)
    paid = np.exp(-r[rest, None] * at) * sign[rest, None] * (path - k[rest, None])
    out[rest] = np.maximum(paid.max(axis=1, initial=0.0), 0.0)
    return out.reshape(shape)


def _lattice_terms(sign: FloatArray, strike: FloatArray, step: FloatArray, **numbers: FloatArray) -> Any:
    """Return what the kernel reads [n, 6], and whether each option has probabilities in [0, 1]."""
    r, q, move = numbers["rate"], numbers["dividend_yield"], numbers["volatility"] * np.sqrt(step)
    moving = np.where(move > 0.0, move, 1.0)
    up = (np.exp((r - q) * step) - np.exp(-moving)) / (np.exp(moving) - np.exp(-moving))
    fine = (move > 0.0) & (up >= 0.0) & (up <= 1.0)
    near, far = np.where(sign > 0, up, 1.0 - up), np.where(sign > 0, 1.0 - up, up)
    kept, earned = -np.expm1(-q * step), sign * strike * -np.expm1(-r * step)
    limit = earned / np.where(kept > 1e-9, kept, 1.0)  # with a margin: rounding must not hide what holding on costs
    free = np.where((kept <= 0.0) & (earned < -1e-9 * strike), -np.inf, np.inf)
    limit = np.where(kept > 1e-9, limit + 1e-6 * np.abs(limit), free)
    limit = np.where((r < 0.0) | (q < 0.0), np.inf, limit)  # exercise need not spread from node to node
    discount = np.exp(-r * step)
    terms = [sign * numbers["spot"], sign * strike, -sign * move, discount * near, discount * far, limit]
    return np.ascontiguousarray(np.array(terms).T), fine


def _cash_to_come(time: FloatArray, rate: FloatArray, *, steps: int, dividends: Any) -> FloatArray:
    """Return the value at each step [n, steps + 1] of dividends after it; no rows when there are none."""
    paid = [(float(when), float(amount)) for when, amount in dividends if when > 0.0]
    if not paid:
        return np.empty((0, steps + 1))
    at = np.linspace(0.0, 1.0, steps + 1) * time[:, None]
    out = np.zeros_like(at)
    for when, amount in paid:
        due = (at < when) & (when <= time[:, None])
        out += np.where(due, amount * np.exp(-rate[:, None] * (when - at)), 0.0)
    return out
