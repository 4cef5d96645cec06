"""Daily history of prices and volatilities by ticker: data of a `Market`.

`PriceHistory` checks itself; `spot_scenarios` takes moves from it. Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray, as_dates
from crossmargin.errors import InputError, Problem, Problems, check_kinds, suggestion

IntArray: TypeAlias = NDArray[np.int64]

# Conventions of data quality, not regulation.
CARRIED_DAYS = 5  # calendar days that a price stands for where markets keep different holidays
LARGEST_VOLATILITY = 10.0  # 1,000 %: more is a percentage that was not divided
_STRICTLY = "Give each business day once, oldest first."


def _tables(tables: Mapping[str, Iterable[float]]) -> Mapping[str, FloatArray]:
    check_kinds(prices=(tables, Mapping, "Give a column of closes for each ticker: {'IBM': [...]}."))
    problems, read = Problems(), {}
    for ticker, column in tables.items():
        with problems.collecting():
            read[ticker] = _numbers(ticker, column)
    problems.raise_if_any("The price history cannot be used")
    return read


def _ordinals(days: Iterable[date]) -> IntArray:
    return np.array([day.toordinal() for day in days], dtype=np.int64)


def _numbers(ticker: str, column: Iterable[float]) -> FloatArray:
    """Return a column as an array that cannot be written to."""
    try:
        array = np.array(column if isinstance(column, np.ndarray) else list(column), dtype=np.float64)
    except (TypeError, ValueError) as error:
        fix = "Give one number for each date, NaN where nothing is quoted."
        raise InputError([Problem("is no list of numbers.", f"column of {ticker}", fix)]) from error
    array.setflags(write=False)
    return array


@frozen(eq=False)
class PriceHistory:
    """Daily closes: one row for each business day, oldest first.

    Parameters
    ----------
    dates
        Shape [n_dates], strictly increasing.
    prices
        Ticker -> shape [n_dates], USD, above 0, adjusted for splits and distributions; NaN = not quoted.
    volatilities
        Ticker -> shape [n_dates], yearly decimals (for SPX, the VIX over 100); NaN = not quoted.
    source
        Where the figures come from.

    Raises
    ------
    InputError
        No dates, or dates out of order; columns of another length; prices and volatilities that are none: all at once.

    Examples
    --------
    >>> history = PriceHistory([date(2020, 3, 13), date(2020, 3, 16)], {"SPX": [2711.02, 2386.13]})
    >>> history.at("SPX", date(2020, 3, 17))
    2386.13
    """

    dates: tuple[date, ...] = field(converter=as_dates)
    prices: Mapping[str, FloatArray] = field(converter=_tables)
    volatilities: Mapping[str, FloatArray] = field(factory=dict, converter=_tables, kw_only=True)
    source: str = ""
    _days: IntArray = field(init=False, repr=False)

    @_days.default
    def _days_of_dates(self) -> IntArray:
        return _ordinals(self.dates)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        if not self.dates:
            problems.add("has no rows.", where="price history", fix="Give at least one date.")
        if late := [later for earlier, later in pairwise(self.dates) if later <= earlier]:
            what = f"{late[0]} stands after a later date, or twice."
            problems.add(what, where="price history", fix=_STRICTLY)
        for ticker, column in self.prices.items():
            problems.extend(_column_problems(f"prices of {ticker}", column, len(self.dates)))
        for ticker, column in self.volatilities.items():
            where = f"volatilities of {ticker}"
            problems.extend(_column_problems(where, column, len(self.dates), LARGEST_VOLATILITY))
        problems.raise_if_any("The price history cannot be used")

    def at(self, ticker: str, day: date) -> float:
        """Return the last price on or shortly before a day, USD; NaN without one.

        Raises
        ------
        InputError
            The ticker has no column.
        """
        if ticker not in self.prices:
            fix = suggestion(ticker, self.prices) if self.prices else ""
            raise InputError([Problem(f"has no column {ticker!r}.", "price history", fix)])
        return float(self.read(self.prices[ticker], [day])[0])

    def read(self, column: FloatArray, days: Iterable[date]) -> FloatArray:
        """Return the last figure [n_days] of a column on or shortly before each day, NaN without one."""
        wanted = _ordinals(days)
        # Row 0 stands before all dates and holds nothing.
        quoted = np.where(np.isfinite(column), np.arange(1, len(column) + 1), 0)
        last = np.concatenate([[0], np.maximum.accumulate(quoted)])[np.searchsorted(self._days, wanted, side="right")]
        figures = np.concatenate([[np.nan], column])[last]
        since = wanted - np.concatenate([[np.iinfo(np.int64).min // 2], self._days])[last]
        read: FloatArray = np.where(since <= CARRIED_DAYS, figures, np.nan)
        return read


def _column_problems(where: str, column: FloatArray, n_dates: int, largest: float = np.inf) -> Iterable[Problem]:
    if column.shape != (n_dates,):
        yield Problem(f"has shape {column.shape}.", where, f"Give one number for each of the {n_dates} dates.")
    elif np.isinf(column).any() or (column <= 0.0).any():
        yield Problem("holds figures that are not above 0.", where, "Give finite USD or decimals, NaN if not quoted.")
    elif (column > largest).any():
        yield Problem(f"holds {np.nanmax(column):g}.", where, "Give decimals: 0.16 for 16 %.")
