"""What interest-rate swaps are worth under many curves, their par rates and sensitivities.

Call `swap_book` once, then `swap_values` for a value per swap and scenario; `netted_swap_book` adds a whole book up
first. `par_rates`, `pv01` and `key_rate_deltas` answer for the curves of today.

What the numbers leave out. A term rate is the forward rate of its accrual period, and counts days as its leg does. No
convexity adjustment where a rate is paid late: with two days' lag it is the variance of the rate times the lag, some
hundredths of a basis point at ten years. Curves are given as they are; building them from quotes is `swap_curve`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from attrs import field, frozen

from crossmargin.curves import FloatArray, IntArray, year_fractions
from crossmargin.errors import InputError, Problem, Problems, is_count, suggestion
from crossmargin.pricing.cash_flows import CHUNK, LINE
from crossmargin.pricing.swap_flows import Key, Setting, flows_of_swaps, own_rate
from crossmargin.pricing.swap_plan import swap_plan
from crossmargin.products.swaps import Swap, indices_of
from crossmargin.swap_market import Fixings

BASIS_POINT = 1e-4
DISCOUNT = "discount"
"""Name of the discount curve among the curves of `key_rate_deltas`."""

# knots [n_knots] in years and zero rates [n_knots, n_curves], continuously compounded decimals
Curve: TypeAlias = tuple[FloatArray, FloatArray]
_Line: TypeAlias = tuple[str, date, bool]  # curve ("" discounts), day, and whether the factor is inverted


@frozen(eq=False)
class SwapCurves:
    """Curves under the same scenarios: one that discounts, and those that project an index each.

    Parameters
    ----------
    knots : array [n_knots]
        Years, increasing.
    zeros : array [n_knots, n_curves]
        Continuously compounded zero rates, decimals; see `curves.discount_factors` for what lies between.
    projections : mapping of index to (knots, zeros)
        Curves of their own; every other index is read off the discount curve.

    Raises
    ------
    InputError
        Shapes that disagree, knots that do not increase, rates that are not finite: all at once.
    """

    knots: FloatArray
    zeros: FloatArray
    projections: Mapping[str, Curve] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for name, (knots, zeros) in self.named().items():
            _check_curve(problems, knots, zeros, f"{name} curve")
        if len({zeros.shape[1] for _, zeros in self.named().values() if zeros.ndim == 2}) > 1:
            fix = "Give each the same scenarios."
            problems.add("curves differ in number.", where="zeros of discount and projections", fix=fix)
        problems.raise_if_any("cannot value swaps")

    def named(self) -> dict[str, Curve]:
        """Return all curves by name, the discount curve first."""
        return {DISCOUNT: (self.knots, self.zeros), **self.projections}


@frozen(eq=False)
class SwapBook:
    """Swaps as arrays, ready for any number of curves. Made by `swap_book`.

    Attributes
    ----------
    curves, others : tuple of str
        Indices of the projection curves that valuing needs, and indices read off the discount curve.
    line_curve, line_time, line_power : array [n_lines]
        A line is the discount factor of a curve (0 discounts, i + 1 is `curves[i]`) at a time in years, to the power of
        1 or -1.
    plain, ratios : tuple of arrays
        Where the flows of each row begin, their lines, their USD amounts per unit of quantity, received > 0.
    """

    curves: tuple[str, ...]
    others: tuple[str, ...]
    line_curve: IntArray
    line_time: FloatArray
    line_power: FloatArray
    plain: tuple[IntArray, IntArray, FloatArray]
    ratios: tuple[IntArray, IntArray, FloatArray]


def swap_book(
    swaps: Sequence[Swap], as_of: date, *, fixings: Fixings | None = None, projections: Iterable[str] = ()
) -> SwapBook:
    """Return the swaps as arrays: one row for each, in that order.

    Parameters
    ----------
    swaps : sequence
    as_of : date
        Flows on this date are past.
    fixings : mapping of index to {date: rate}, optional
        Needed for every period that has begun. The fixing of `as_of` itself is read where it is given.
    projections : iterable of str
        Indices with a curve of their own; every other one is read off the discount curve.

    Raises
    ------
    InputError
        Every swap that cannot be valued: it has ended, or fixings are missing.

    Examples
    --------
    >>> from crossmargin.products.swaps import OvernightSwap
    >>> today = date(2026, 6, 30)
    >>> swap = OvernightSwap("receive", 0.04, date(2026, 7, 2), date(2031, 7, 2), notional=1e6)
    >>> curves = SwapCurves(np.array([10.0]), np.array([[0.04, 0.0401]]))
    >>> swap_values(swap_book([swap], today), curves).round(0)  # at 4 % continuously, and a basis point higher
    array([[-1136., -1597.]])
    """
    setting = Setting(as_of, fixings or {}, tuple(dict.fromkeys(projections)))
    flows = flows_of_swaps(swaps, setting)
    return _assembled([each.at(own_rate(swap)) for swap, each in zip(swaps, flows, strict=True)], setting, swaps)


def netted_swap_book(
    swaps: Sequence[Swap],
    quantities: Sequence[float],
    as_of: date,
    *,
    fixings: Fixings | None = None,
    projections: Iterable[str] = (),
) -> SwapBook:
    """Return a whole book as one row: flows of the same dates and curve are added up, correctly rounded.

    Neither the order of positions nor a position and its opposite leave a trace. Parameters and errors as `swap_book`,
    with one finite quantity for each swap, long > 0.
    """
    _check_quantities(swaps, quantities)
    setting = Setting(as_of, fixings or {}, tuple(dict.fromkeys(projections)))
    total: dict[Key, list[float]] = {}
    for swap, quantity, flows in zip(swaps, quantities, flows_of_swaps(swaps, setting), strict=True):
        for key, amounts in flows.at(own_rate(swap)).items():
            total.setdefault(key, []).append(quantity * math.fsum(amounts))
    return _assembled([{key: amounts for key, amounts in total.items() if math.fsum(amounts)}], setting, swaps)


def swap_values(book: SwapBook, curves: SwapCurves, *, threads: int = 1) -> FloatArray:
    """Return values [n_swaps, n_curves] in USD per unit of quantity, gain > 0.

    Parameters
    ----------
    book : SwapBook
    curves : SwapCurves
    threads : int
        Threads that share the scenarios; the result is the same to the last bit.

    Raises
    ------
    InputError
        A projection curve is missing, or given for an index that the book reads off the discount curve; fewer than
        one thread.
    """
    _check_projections(book, curves, threads)
    from crossmargin.kernels.swaps import value_swaps  # numba is imported here and nowhere sooner

    named = [(curves.knots, curves.zeros), *(curves.projections[name] for name in book.curves)]
    zeros = _stacked([zeros for _, zeros in named])
    out = np.empty((len(book.plain[0]) - 1, zeros.shape[1]))
    kernel: Any = value_swaps  # the plan is a tuple of arrays of two types
    value = partial(kernel, zeros, *swap_plan(book, [knots for knots, _ in named]), out)
    if threads == 1:
        value(0, zeros.shape[1])
    else:
        begins = range(0, zeros.shape[1], CHUNK)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(value, begins, [*begins[1:], zeros.shape[1]]))  # list: raise what a thread raised
    return out[:, : curves.zeros.shape[1]]


def par_rates(swaps: Sequence[Swap], as_of: date, curves: SwapCurves, *, fixings: Fixings | None = None) -> FloatArray:
    """Return the fixed rate [n_swaps, n_curves], a decimal, at which each swap is worth nothing.

    Of a basis swap it is the spread on the leg received. Own rates are not read, notional and side cancel.

    Raises
    ------
    InputError
        As `swap_book`.

    Examples
    --------
    >>> from crossmargin.products.swaps import OvernightSwap
    >>> curves = SwapCurves(np.array([10.0]), np.array([[0.04]]))
    >>> par_rates([OvernightSwap("pay", 0.0, date(2026, 7, 2), date(2031, 7, 2))], date(2026, 6, 30), curves).round(6)
    array([[0.040252]])
    """
    setting = Setting(as_of, fixings or {}, tuple(curves.projections))
    flows = flows_of_swaps(swaps, setting)
    rest, per_unit = (
        swap_values(_assembled([getattr(each, part) for each in flows], setting, swaps), curves)
        for part in ("fixed", "rate")
    )
    problems = Problems()
    for swap, row in zip(swaps, per_unit, strict=True):
        if not row.all():
            problems.add("nothing it pays depends on its rate.", where=swap.symbol, fix="Correct its steps.")
    problems.raise_if_any("no par rate")
    rates: FloatArray = -rest / per_unit
    return rates


def pv01(book: SwapBook, curves: SwapCurves) -> FloatArray:
    """Return what each swap gains [n_swaps] when all zero rates of all curves rise by one basis point, USD.

    Negative for the receiver of fixed. Half the difference between a basis point up and one down.

    Raises
    ------
    InputError
        The curves are not one of each, or a projection curve is missing.
    """
    _check_single(curves)
    bump = np.array([[BASIS_POINT, -BASIS_POINT]])
    moved = {name: (knots, zeros + bump) for name, (knots, zeros) in curves.named().items()}
    values = swap_values(book, SwapCurves(*moved.pop(DISCOUNT), moved))
    return (values[:, 0] - values[:, 1]) / 2.0


def key_rate_deltas(book: SwapBook, curves: SwapCurves) -> dict[str, FloatArray]:
    """Return what each swap gains [n_swaps, n_knots] when one zero rate of a curve rises by one basis point, USD.

    By name of the curve, `DISCOUNT` or the index. They add up to `pv01` within the third order of the bump: for
    sensitivities to quotes, bump the quotes and build the curve anew.

    Raises
    ------
    InputError
        As `pv01`.
    """
    _check_single(curves)
    named = curves.named()
    sizes = [len(knots) for knots, _ in named.values()]
    bumps = np.split(BASIS_POINT * np.eye(sum(sizes)), np.cumsum(sizes)[:-1])
    moved = {
        name: (knots, zeros + np.hstack([bump, -bump]))
        for (name, (knots, zeros)), bump in zip(named.items(), bumps, strict=True)
    }
    up, down = np.hsplit(swap_values(book, SwapCurves(*moved.pop(DISCOUNT), moved)), 2)
    found = np.split((up - down) / 2.0, np.cumsum(sizes)[:-1], axis=1)
    return dict(zip(named, found, strict=True))


def _assembled(rows: Sequence[Mapping[Key, Sequence[float]]], setting: Setting, swaps: Iterable[Swap]) -> SwapBook:
    lines: dict[_Line, int] = {}
    plain: list[list[tuple[int, float]]] = []
    ratios: list[list[tuple[tuple[int, int, int], float]]] = []
    for row in rows:
        plain.append([])
        ratios.append([])
        for key in sorted(row, key=lambda key: (len(key), key)):  # so that a sum does not depend on who came first
            amount = math.fsum(row[key])
            if amount == 0.0:
                continue
            paid = _place(lines, ("", key[0], False))
            if len(key) == 1:
                plain[-1].append((paid, amount))
            else:
                _, up, down, curve = key
                factors = (paid, _place(lines, (curve, up, False)), _place(lines, (curve, down, True)))
                ratios[-1].append((factors, amount))
    indices = {index for swap in swaps for index in indices_of(swap)}
    used = tuple(name for name in setting.curves if name in indices)
    number = {"": 0, **{name: place for place, name in enumerate(used, 1)}}
    flat = [flow for row in ratios for flow in row]
    return SwapBook(
        used,
        tuple(sorted(indices - {*used})),
        np.array([number[curve] for curve, _, _ in lines], dtype=np.int64),
        year_fractions(setting.as_of, [day for _, day, _ in lines]),
        np.array([-1.0 if inverse else 1.0 for _, _, inverse in lines], dtype=np.float64),
        (
            _starts(plain),
            np.array([line for row in plain for line, _ in row], dtype=np.int64),
            np.array([amount for row in plain for _, amount in row], dtype=np.float64),
        ),
        (
            _starts(ratios),
            np.array([factors for factors, _ in flat], dtype=np.int64).reshape(-1, 3).T.copy(),
            np.array([amount for _, amount in flat], dtype=np.float64),
        ),
    )


def _place(lines: dict[_Line, int], line: _Line) -> int:
    return lines.setdefault(line, len(lines))


def _starts(rows: Iterable[Sequence[object]]) -> IntArray:
    return np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)


def _stacked(zeros: Sequence[FloatArray]) -> FloatArray:
    """Return the rates of all curves one below the other, columns filled up: a remainder would be slow."""
    n_curves = zeros[0].shape[1]
    stacked = np.zeros((sum(len(each) for each in zeros), -(-n_curves // LINE) * LINE))
    np.concatenate(zeros, out=stacked[:, :n_curves])
    return stacked


def _check_curve(problems: Problems, knots: FloatArray, zeros: FloatArray, where: str) -> None:
    if np.ndim(knots) != 1 or not np.size(knots) or not (np.diff(knots, prepend=0.0) > 0.0).all():
        problems.add("knots are not increasing years above zero.", where=where)
    elif np.ndim(zeros) != 2 or np.shape(zeros)[0] != len(knots):
        problems.add(f"zeros of shape {np.shape(zeros)} are not [{len(knots)} knots, n_curves].", where=where)
    elif not np.isfinite(zeros).all():
        problems.add(f"{(~np.isfinite(zeros)).sum()} zero rates are not finite.", where=where)


def _check_single(curves: SwapCurves) -> None:
    if curves.zeros.shape[1] != 1:
        fix = "Give the curves of today, [n_knots, 1]."
        raise InputError([Problem(f"{curves.zeros.shape[1]} curves of each name.", "sensitivities", fix)])


def _check_projections(book: SwapBook, curves: SwapCurves, threads: int) -> None:
    problems = Problems()
    for name in book.curves:
        if name not in curves.projections:
            fix = suggestion(name, curves.projections) if curves.projections else "Give SwapCurves(projections=...)."
            problems.add("has no projection curve.", where=name, fix=fix)
    for name in book.others:
        if name in curves.projections:
            fix = f"Give swap_book(projections=[{name!r}])."
            problems.add("has a projection curve that the book does not read.", where=name, fix=fix)
    if not is_count(threads):
        problems.add(f"{threads!r} threads.", where="threads", fix="Give 1 or more.")
    problems.raise_if_any("cannot value swaps")


def _check_quantities(swaps: Sequence[Swap], quantities: Sequence[float]) -> None:
    problems = Problems()
    if len(swaps) != len(quantities):
        problems.add(f"{len(swaps)} swaps and {len(quantities)} quantities.", where="pooled positions")
    for swap, quantity in zip(swaps, quantities, strict=False):
        if not math.isfinite(quantity):
            problems.add(f"quantity {quantity} is not finite.", where=swap.symbol)
    problems.raise_if_any("cannot pool")
