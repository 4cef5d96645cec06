"""Profit and loss of pools of European options: what pricing each option gives, several times sooner.

Call `pooled_pnl`. Values are interpolated in the factors of the scenarios where that pays, with a proven bound
(`boxes`), and the worst scenarios are priced option by option. A matrix of options by scenarios is never made; where
one is wanted, or many pools hold the same options, call `european.european_values`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.errors import Problems, counted
from crossmargin.pricing.boxes import EPS, Boxes, Groups, boxes_for, groups_of
from crossmargin.pricing.european import EuropeanBook, refuse_numbers

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
Holdings: TypeAlias = tuple[IntArray, IntArray, FloatArray]  # start of each pool, option, quantity

ACCURACY = 1e-12  # about what rounding comes to in a large book
SMALL = 250_000  # prices that take less time than to choose boxes


@frozen(kw_only=True, eq=False)
class PooledPnL:
    """Profit and loss of pools under scenarios, and how exact it is.

    Attributes
    ----------
    values : array [n_pools, n_scenarios]
        Gain > 0, in the currency of the underlyings.
    bound : array [n_pools]
        No value is farther than this from that of pricing every option under the scenario, rounding included.
    exact : array of bool [n_pools, n_scenarios]
        Where every option was priced under the scenario: these values are the same to the last bit.
    """

    values: FloatArray
    bound: FloatArray
    exact: BoolArray


def pooled_pnl(
    book: EuropeanBook,
    base_value: ArrayLike,
    *,
    pool_start: ArrayLike,
    pool_option: ArrayLike,
    quantity: ArrayLike,
    besides: ArrayLike | None = None,
    accuracy: float = ACCURACY,
    worst: int = 0,
) -> PooledPnL:
    """Return the profit and loss of pools of options under every scenario of a book.

    Parameters
    ----------
    book : EuropeanBook
        Options and scenarios.
    base_value : array_like [n_options]
        Value today, per unit of the underlying.
    pool_start : array_like of int [n_pools + 1]
        Holdings of pool i are pool_start[i] .. pool_start[i + 1].
    pool_option, quantity : array_like [n_holdings]
        Which option, and how many units of the underlying, long > 0.
    besides : array_like [n_pools, n_scenarios], optional
        Profit and loss of whatever else the pools hold. The options' is added to it, and the worst scenarios are
        those of the sum.
    accuracy : float
        Largest error of interpolation as a share of quantity times the sum of forward and strike, added up over the
        holdings without their signs; 0 prices every option under every scenario.
    worst : int
        So many of the worst scenarios of each pool are priced option by option, and with them all that could be
        among so many within the bound: a tail measure that reads no others is that of the full revaluation. At
        0.99 of 1,000 scenarios expected shortfall reads 10, and value at risk the 11th.

    Raises
    ------
    InputError
        With everything that does not fit or is no finite number.

    Notes
    -----
    Options that share forward and volatility scenarios depend on two numbers of a scenario. Their pooled value is
    interpolated over these from some 100 to 300 prices each, whatever the number of scenarios. In small books, where
    few options share, where scale and shift of volatility both move, or where a deviation comes near zero, every
    option is priced under every scenario.

    References
    ----------
    M. Gaß, K. Glau, M. Mahlstedt and M. Mair (2018), Chebyshev interpolation for parametric option pricing, Finance
    and Stochastics 22, 701-731; the error bound is this project's own, see `crossmargin.pricing.boxes`.

    Examples
    --------
    >>> moves = np.linspace(-0.05, 0.05, 2500)
    >>> book = EuropeanBook(
    ...     forward=[100 * np.exp(moves)],
    ...     discount=0.99,
    ...     time=0.25,
    ...     scale=[1 - 2 * moves],
    ...     shift=[np.zeros(2500)],
    ...     slice_row=np.zeros(200),
    ...     volatility_row=np.zeros(200),
    ...     strike=np.linspace(80, 120, 200),
    ...     is_call=np.arange(200) < 100,
    ...     volatility=np.full(200, 0.2),
    ... )
    >>> holdings = {"pool_start": [0, 200], "pool_option": np.arange(200), "quantity": np.full(200, -100.0)}
    >>> pnl = pooled_pnl(book, np.full(200, 3.0), **holdings, worst=25)
    >>> int(pnl.exact.sum()), bool(pnl.bound[0] < 1e-5)
    (25, True)
    """
    base = np.array(base_value, dtype=np.float64)
    other = None if besides is None else np.array(besides, dtype=np.float64)
    start, option = (np.ascontiguousarray(each, dtype=np.int64) for each in (pool_start, pool_option))
    holdings = start, option, np.ascontiguousarray(quantity, dtype=np.float64)
    _check(book, base, holdings, other=other, accuracy=accuracy, worst=worst)
    other = np.zeros((len(start) - 1, book.n_scenarios)) if other is None else other
    arguments = (*book.kernel_arguments(), base)
    if accuracy > 0.0 and len(option) * book.n_scenarios > SMALL:
        groups = groups_of(book, *holdings)
        boxes = boxes_for(arguments[:-1], groups, accuracy)
        if boxes.counts[:, 2].any():
            found = _interpolated(arguments, groups, boxes, other)
            return _with_tail(found, arguments, holdings, other=other, worst=worst)
    values = _priced(arguments, holdings, other)
    return PooledPnL(values=values, bound=np.zeros(len(values)), exact=np.ones(values.shape, dtype=np.bool_))


def _priced(arguments: tuple[Any, ...], holdings: Holdings, other: FloatArray) -> FloatArray:
    """Return profit and loss [n_pools, n_scenarios], every option priced under every scenario."""
    from crossmargin.kernels.black import black_pooled

    price: Any = black_pooled
    out = other.copy()
    price(*arguments, *holdings, out, 0, out.shape[1])
    return out


def _interpolated(arguments: tuple[Any, ...], groups: Groups, boxes: Boxes, other: FloatArray) -> PooledPnL:
    """Return profit and loss with groups read from their surfaces where they have one."""
    from crossmargin.kernels.interpolation import interpolated_pooled

    price: Any = interpolated_pooled
    out, held = other.copy(), (groups.start, groups.option, groups.quantity)
    price(*arguments, boxes.counts, boxes.box, *held, out, 0, out.shape[1])
    bound = _bound(arguments, groups, boxes) + EPS * len(groups.option) * abs(other).max(axis=1)
    return PooledPnL(values=out, bound=bound, exact=np.zeros(out.shape, dtype=np.bool_))


def _bound(arguments: tuple[Any, ...], groups: Groups, boxes: Boxes) -> FloatArray:
    """Return how far the values of each pool [n_pools] can be from those of pricing every option."""
    n_groups, n_pools = len(groups.start), groups.start.shape[1] - 1
    group, pool = np.indices((n_groups, n_pools)).reshape(2, -1).repeat(np.diff(groups.start).ravel(), axis=1)
    strike = arguments[8][groups.option]
    per_unit = boxes.error[0, group] + boxes.error[1, group] * np.sqrt(strike) + boxes.error[2, group] * strike
    per_unit *= arguments[2].max(axis=1)[groups.slice_row][group]
    per_unit += boxes.error[2, group] * abs(arguments[11][groups.option])
    return np.bincount(pool, per_unit * abs(groups.quantity), n_pools).astype(np.float64)


def _with_tail(
    found: PooledPnL, arguments: tuple[Any, ...], holdings: Holdings, *, other: FloatArray, worst: int
) -> PooledPnL:
    """Return the same with every scenario priced that can be among the `worst` of a pool.

    The k-th worst value is off by the bound at most, and so is each that may not be as bad: twice the bound between.
    """
    if worst == 0:
        return found
    start, option, quantity = holdings
    for pool, row in enumerate(found.values):
        limit = np.partition(row, worst - 1)[worst - 1] + 2 * found.bound[pool]
        chosen = np.flatnonzero(row <= limit)
        some = slice(start[pool], start[pool + 1])
        alone = np.array([0, some.stop - some.start]), option[some], quantity[some]
        under = tuple(np.ascontiguousarray(rows[:, chosen]) for rows in arguments[:6])
        row[chosen] = _priced((*under, *arguments[6:]), alone, other[pool : pool + 1, chosen])[0]
        found.exact[pool, chosen] = True
    return found


def _check(
    book: EuropeanBook,
    base: FloatArray,
    holdings: Holdings,
    *,
    other: FloatArray | None,
    accuracy: float,
    worst: int,
) -> None:
    start, option, quantity = holdings
    problems = Problems()
    if base.shape != book.strike.shape:
        problems.add(f"has shape {base.shape}, strike {book.strike.shape}.", where="base_value")
    if option.ndim != 1 or option.shape != quantity.shape:
        what = f"have shapes {option.shape} and {quantity.shape}."
        problems.add(what, where="pool_option, quantity", fix="Give one number per holding in both lists.")
    elif start.ndim != 1 or not start.size or start[0] or start[-1] != option.size or (np.diff(start) < 0).any():
        fix = "Give 0, then where each pool ends."
        problems.add(f"does not divide {counted(option.size, 'holding')}.", where="pool_start", fix=fix)
    if other is not None:
        wanted = (max(start.size - 1, 0), book.n_scenarios)
        if other.shape != wanted:
            problems.add(f"has shape {other.shape}.", where="besides", fix=f"Give pools by scenarios, {wanted}.")
        refuse_numbers(problems, other, "besides", "is not a finite number.")
    refuse_numbers(problems, base, "base_value", "is not a finite number.")
    refuse_numbers(problems, quantity, "quantity", "is not a finite number.")
    good = (option >= 0) & (option < book.n_options)
    refuse_numbers(problems, option, "pool_option", f"is none of the {book.n_options} options.", good=good)
    if not 0.0 <= accuracy < 1.0:
        problems.add(f"{accuracy} is not between 0 and 1.", where="accuracy", fix="Give a share such as 1e-12.")
    if not 0 <= worst <= book.n_scenarios:
        problems.add(
            f"{worst} of {counted(book.n_scenarios, 'scenario')}.", where="worst", fix="Give a count of scenarios."
        )
    problems.raise_if_any("These pools cannot be valued")
