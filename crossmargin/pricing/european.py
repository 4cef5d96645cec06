"""European options as a checked book of arrays, priced under many scenarios.

Build a `EuropeanBook`: it checks every number and names the rows that cannot be priced. `european_values` prices it;
`net_by_parity` halves a listed chain first. Nothing here knows a product or models early exercise.

Units: volatility per square root of a year and rates continuously compounded, both decimals; time in years; values
per unit of the underlying, in its currency.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.errors import Problems, counted

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

_ROWS_NAMED = 5  # rows of one field that a message names one by one


def forwards(
    spot: ArrayLike, time: ArrayLike, *, rate: ArrayLike, dividend_yield: ArrayLike = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Return forward prices and discount factors; all arguments broadcast against one another.

    With the forward in hand Black, Scholes and Merton's model is Black's. For an option on a future the forward is
    the price of the future: set `dividend_yield` to `rate`.

    References
    ----------
    R. Merton (1973), Theory of rational option pricing, Bell Journal of Economics 4, 141-183.

    Examples
    --------
    >>> forward, discount = forwards(100.0, 0.5, rate=0.04, dividend_yield=0.01)
    >>> float(forward), float(discount)
    (101.511306, 0.980198)
    """
    s, t, r, q = (np.asarray(a, dtype=np.float64) for a in (spot, time, rate, dividend_yield))
    s, t, r, q = np.broadcast_arrays(s, t, r, q)
    return s * np.exp((r - q) * t), np.exp(-r * t)


def _floats(values: ArrayLike) -> FloatArray:
    return np.ascontiguousarray(values, dtype=np.float64)


def _rows(values: ArrayLike) -> IntArray:
    return np.ascontiguousarray(values, dtype=np.int64)


def _flags(values: ArrayLike) -> BoolArray:
    return np.ascontiguousarray(values, dtype=np.bool_)


@frozen(kw_only=True, eq=False)
class EuropeanBook:
    """European options and the scenarios that move them, checked.

    Parameters
    ----------
    forward : array_like [n_slices, n_scenarios]
        Forward price for each underlying and expiry, > 0: the model has no value for another, and this class is
        where it is refused.
    discount : array_like, broadcast to the shape of `forward`
        Discount factor to the day of payment, > 0; above 1 when rates are negative.
    time : array_like, broadcast to the shape of `forward`
        Years to expiry, >= 0.
    scale, shift : array_like [n_volatility_rows, n_scenarios]
        The volatility of a scenario is `volatility * scale + shift`, zero where that is negative.
    slice_row, volatility_row : array_like [n_options]
        Rows of the above that each option reads.
    strike, volatility : array_like [n_options]
        >= 0.
    is_call : array_like of bool [n_options]

    Raises
    ------
    InputError
        With every field whose shape does not fit, or, when all fit, with the rows that cannot be priced.

    Examples
    --------
    >>> book = EuropeanBook(
    ...     forward=[[100.0, 90.0]],
    ...     discount=0.99,
    ...     time=0.25,
    ...     scale=[[1.0, 1.5]],
    ...     shift=[[0.0, 0.0]],
    ...     slice_row=[0],
    ...     volatility_row=[0],
    ...     strike=[95.0],
    ...     is_call=[False],
    ...     volatility=[0.2],
    ... )
    >>> book.n_options, book.n_scenarios
    (1, 2)
    """

    forward: FloatArray = field(converter=_floats)
    discount: FloatArray = field(converter=_floats)
    time: FloatArray = field(converter=_floats)
    scale: FloatArray = field(converter=_floats)
    shift: FloatArray = field(converter=_floats)
    slice_row: IntArray = field(converter=_rows)
    volatility_row: IntArray = field(converter=_rows)
    strike: FloatArray = field(converter=_floats)
    is_call: BoolArray = field(converter=_flags)
    volatility: FloatArray = field(converter=_floats)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        _check_shapes(problems, self)
        problems.raise_if_any("These options cannot be priced")
        _check_numbers(problems, self)
        problems.raise_if_any("These options cannot be priced")

    @property
    def n_options(self) -> int:
        """How many options there are."""
        return len(self.strike)

    @property
    def n_scenarios(self) -> int:
        """How many scenarios there are."""
        return int(self.forward.shape[1])

    def select(self, options: Any, *, is_call: ArrayLike | None = None) -> EuropeanBook:
        """Return the same scenarios with some of the options, an index or a slice; `is_call` replaces theirs."""
        chosen = {
            name: getattr(self, name)[options] for name in ("slice_row", "volatility_row", "strike", "volatility")
        }
        flags = self.is_call[options] if is_call is None else np.broadcast_to(is_call, chosen["strike"].shape)
        return evolve(self, is_call=flags, **chosen)

    def kernel_arguments(self) -> tuple[Any, ...]:
        """Return the arguments of `black_rows` and `black_pooled` up to the volatility."""
        shape = self.forward.shape
        discount, time = np.broadcast_to(self.discount, shape), np.broadcast_to(self.time, shape)
        curves = (self.forward, np.log(self.forward), discount, np.sqrt(time), self.scale, self.shift)
        sign = np.where(self.is_call, 1.0, -1.0)
        options = (self.slice_row, self.volatility_row, self.strike, sign, self.volatility)
        return tuple(np.array(array, order="C") for array in (*curves, *options))


def european_values(book: EuropeanBook) -> FloatArray:
    """Return the value [n_options, n_scenarios] of every option under every scenario, per unit of the underlying.

    References
    ----------
    F. Black (1976), The pricing of commodity contracts, Journal of Financial Economics 3, 167-179.

    Examples
    --------
    >>> flat = {"scale": [[1.0]], "shift": [[0.0]], "slice_row": [0], "volatility_row": [0]}
    >>> book = EuropeanBook(
    ...     forward=[[100.0]], discount=0.99, time=0.25, strike=[95.0], is_call=[True], volatility=[0.2], **flat
    ... )
    >>> float(european_values(book)[0, 0])
    6.819183
    """
    from crossmargin.kernels import black

    out = np.empty((book.n_options, book.n_scenarios))
    price: Any = black.black_rows
    price(*book.kernel_arguments(), out, 0, book.n_scenarios)
    return out


@frozen(kw_only=True, eq=False)
class ParityNet:
    """Pools of options as calls and forwards; what `black_pooled` leaves out is `linear_pnl`.

    `calls` are the distinct strikes held, each priced once however many calls and puts stand on it; `pool_start`,
    `pool_option` and `pool_quantity` are the holdings of calls; `forwards_short` [n_pools, n_slices] counts the
    forwards that the puts stand for, and `cash` [n_pools, n_slices] the strikes to be received on them.
    """

    calls: EuropeanBook
    pool_start: IntArray
    pool_option: IntArray
    pool_quantity: FloatArray
    forwards_short: FloatArray
    cash: FloatArray

    def linear_pnl(self, base_forward: ArrayLike, base_discount: ArrayLike) -> FloatArray:
        """Return profit and loss of the forwards [n_pools, n_scenarios] from base values [n_slices]."""
        forward = self.calls.forward
        discount = np.broadcast_to(self.calls.discount, forward.shape)
        total = np.zeros((len(self.cash), forward.shape[1]))
        bases = zip(*np.broadcast_arrays(base_forward, base_discount), strict=True)
        for row, (f, df) in enumerate(bases):  # slice after slice: the same bits however the columns are cut
            total += self.cash[:, row, None] * (discount[row] - df)
            total -= self.forwards_short[:, row, None] * (discount[row] * forward[row] - f * df)
        return total


def net_by_parity(
    book: EuropeanBook, *, pool_start: IntArray, pool_option: IntArray, quantity: FloatArray
) -> ParityNet:
    """Return the same pools with calls and puts of one strike, expiry and volatility made one holding.

    A put is a call less a forward. Along a listed chain this halves the options to price, and a call against a put
    (a synthetic forward) leaves none. It is exact up to rounding of the gross amounts held.

    Parameters
    ----------
    book
        Options and scenarios.
    pool_start : int64 [n_pools + 1]
        Holdings of pool i are pool_start[i] .. pool_start[i + 1].
    pool_option, quantity : int64, float64 [n_holdings]
        Which option, and how many units of the underlying, long > 0.

    References
    ----------
    H. R. Stoll (1969), The relationship between put and call option prices, Journal of Finance 24, 801-824.
    """
    n_pools, n_slices = len(pool_start) - 1, len(book.forward)
    first, line_of = _distinct(book.volatility, book.strike, book.volatility_row, book.slice_row)
    pool = np.repeat(np.arange(n_pools), np.diff(pool_start))
    held, at = np.unique(pool * len(first) + line_of[pool_option], return_inverse=True)
    calls = np.bincount(at, quantity, len(held))
    kept = calls != 0
    put = np.where(book.is_call[pool_option], 0.0, quantity)
    cell, shape = pool * n_slices + book.slice_row[pool_option], (n_pools, n_slices)
    short, cash = (
        np.bincount(cell, weight, n_pools * n_slices).astype(np.float64).reshape(shape)
        for weight in (put, put * book.strike[pool_option])
    )
    return ParityNet(
        calls=book.select(first, is_call=True),
        pool_start=np.searchsorted(held[kept], np.arange(n_pools + 1) * max(len(first), 1)),
        pool_option=held[kept] % max(len(first), 1),
        pool_quantity=calls[kept],
        forwards_short=short,
        cash=cash,
    )


def _distinct(*columns: NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Return one place of each distinct row, sorted by the last column first, and which of them every row is."""
    order = np.lexsort(columns)
    new = np.zeros(len(order), dtype=np.bool_)
    new[:1] = True
    for column in columns:
        new[1:] |= np.diff(column[order]) != 0
    line_of = np.empty(len(order), dtype=np.int64)
    line_of[order] = np.cumsum(new) - 1
    return order[new], line_of


def _check_shapes(problems: Problems, book: EuropeanBook) -> None:
    for name in ("forward", "scale", "shift"):
        if getattr(book, name).ndim != 2:
            problems.add("is not a table of rows by scenarios.", where=name, fix="Give a two-dimensional array.")
    if len(problems):
        return
    n_scenarios = book.forward.shape[1]
    if book.scale.shape != book.shift.shape or book.scale.shape[1] != n_scenarios:
        what = f"have shapes {book.scale.shape} and {book.shift.shape} beside {counted(n_scenarios, 'scenario')}."
        problems.add(what, where="scale, shift", fix="Give both one column per scenario and as many rows.")
    for name in ("discount", "time"):
        if not _fits(getattr(book, name).shape, book.forward.shape):
            what = f"of shape {getattr(book, name).shape} does not broadcast to {book.forward.shape}."
            problems.add(what, where=name, fix="Give one number, one per slice in a column, or one per scenario too.")
    for name in ("slice_row", "volatility_row", "is_call", "volatility"):
        if getattr(book, name).shape != book.strike.shape or book.strike.ndim != 1:
            what = f"has shape {getattr(book, name).shape}, strike {book.strike.shape}."
            problems.add(what, where=name, fix="Give one number per option in every list.")


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def _check_numbers(problems: Problems, book: EuropeanBook) -> None:
    positive, not_negative = "is not a finite number above 0.", "is not a finite number of at least 0."
    refuse_numbers(problems, book.forward, "forward", positive, good=book.forward > 0)
    refuse_numbers(problems, book.discount, "discount", positive, good=book.discount > 0)
    for name in ("time", "strike", "volatility"):
        refuse_numbers(problems, getattr(book, name), name, not_negative, good=getattr(book, name) >= 0)
    for name in ("scale", "shift"):
        refuse_numbers(problems, getattr(book, name), name, "is not a finite number.")
    for name, rows in (("slice_row", len(book.forward)), ("volatility_row", len(book.scale))):
        row = getattr(book, name)
        refuse_numbers(problems, row, name, f"is none of the {rows} rows there are.", good=(row >= 0) & (row < rows))


def refuse_numbers(problems: Problems, values: Any, where: str, what: str, *, good: Any = True) -> None:
    """Note the first numbers that are not finite or not `good`, by row, and how many more there are."""
    bad = np.argwhere(np.atleast_1d(~(np.isfinite(values) & good)))
    for place in bad[:_ROWS_NAMED]:
        number = np.atleast_1d(values)[tuple(place)]
        at = ", ".join(f"{axis} {index}" for axis, index in zip(("row", "scenario"), place, strict=False))
        problems.add(f"{number:g} {what}", where=f"{where}, {at}")
    if len(bad) > _ROWS_NAMED:
        problems.add(f"{len(bad) - _ROWS_NAMED} more such numbers.", where=where)
