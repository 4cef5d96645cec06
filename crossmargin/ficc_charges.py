"""Charges of FICC's Government Securities Division as published, on plain numbers.

Call `sensitivity_pnl` for profit and loss from key rates and convexity, `correlated_haircut_charge`, `var_charge`,
`portfolio_differential`, `backtesting_charge`, `intraday_mark_charge`, `blackout_adjustment` and `set_charge`. They
hold no parameter: FICC's are confidential and the caller brings them. Full repricing and the charges of a whole margin
portfolio are `rulesets.ficc_gsd`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from crossmargin.curves import FloatArray
from crossmargin.errors import InputError, NumericalError, Problem, Problems, counted, is_count, is_number, suggestion
from crossmargin.results import Line, largest, not_modelled, scaled, total

_ROUNDING = 1e-12  # relative to the squared amounts: a quadratic form this little below zero is zero


def sensitivity_pnl(kr01: ArrayLike, convexity: ArrayLike, shocks_bp: ArrayLike) -> FloatArray:
    """Return profit and loss [n_scenarios] from sensitivities, `sum_k (kr01_k dy_k + convexity_k dy_k^2 / 2)`.

    Parameters
    ----------
    kr01 : array [n_factors]
        Gain from a rise of each key rate by one basis point, USD; negative for a long bond.
    convexity : array [n_factors]
        Second derivative, USD per squared basis point.
    shocks_bp : array [n_scenarios, n_factors]
        Changes of the key rates, basis points.

    Returns
    -------
    array [n_scenarios]
        USD, gain > 0.

    Raises
    ------
    InputError
        Shapes that do not fit, no factor or no scenario, values that are not finite.
    NumericalError
        The sum overflows.

    References
    ----------
    Structure of SR-FICC-2018-001 (sensitivity approach to the VaR Charge), as recalled.

    Examples
    --------
    >>> sensitivity_pnl([-100.0, -200.0], [1.0, 0.0], [[10.0, 10.0], [-10.0, 5.0]]).tolist()
    [-2950.0, 50.0]
    """
    problems = Problems()
    first, second = _numbers(kr01, "kr01", problems), _numbers(convexity, "convexity", problems)
    shocks = _numbers(shocks_bp, "shocks_bp", problems)
    if first.ndim != 1 or not first.size or second.shape != first.shape:
        what = f"have shapes {first.shape} and {second.shape}."
        problems.add(what, where="kr01 and convexity", fix="Give one number for each key rate, in the same order.")
    elif shocks.ndim != 2 or shocks.shape[1] != first.size or not shocks.size:
        fix = f"Give at least one scenario of {first.size} shocks."
        problems.add(f"has shape {shocks.shape}.", where="shocks_bp", fix=fix)
    problems.raise_if_any()
    with np.errstate(over="ignore", invalid="ignore"):
        pnl = np.sum(first * shocks + second * shocks**2 / 2.0, axis=1)
    if not np.isfinite(pnl).all():
        raise NumericalError("Profit and loss from sensitivities is beyond the range of numbers.")
    return np.asarray(pnl)


def correlated_haircut_charge(amounts: ArrayLike, correlation: ArrayLike) -> float:
    """Return `sqrt(h' C h)` of signed haircut amounts by bucket (USD); 0 without any.

    Parameters
    ----------
    amounts : array [n_buckets]
        Net face times haircut of each maturity bucket, USD, short < 0.
    correlation : array [n_buckets, n_buckets]
        Symmetric, ones on the diagonal, all within [-1, 1]. A table rounded for publication may fail to be positive
        semidefinite; only an amount for which that shows is refused.

    Raises
    ------
    InputError
        Shapes that do not fit, values that are not finite, a matrix of no correlations.

    References
    ----------
    SR-FICC-2026-002, 91 FR 4975 (haircut method: buckets combine by the correlation of their indices).

    Examples
    --------
    >>> correlated_haircut_charge([3.0, -4.0], [[1.0, 0.0], [0.0, 1.0]])
    5.0
    """
    problems = Problems()
    held = _numbers(amounts, "amounts", problems)
    matrix = _numbers(correlation, "correlation", problems)
    _check_correlation(held, matrix, problems)
    problems.raise_if_any()
    if not held.size or not held.any():
        return 0.0
    unit = float(np.abs(held).max())  # keeps squares of any size in range
    form = float(held / unit @ matrix @ (held / unit))
    if form < -_ROUNDING * held.size:
        fix = "Repair it: raise its negative eigenvalues to zero."
        raise InputError([Problem("is not positive semidefinite: h'Ch is negative.", "correlation", fix)])
    return unit * sqrt(max(0.0, form))


def var_charge(
    model: float | None,
    margin_proxy: float | None,
    *,
    floor_percentage_amount: float | None,
    minimum_margin_amount: float | None,
) -> Line:
    """Return the VaR Charge: the model, or the Margin Proxy in its absence, but not less than the VaR Floor.

    Parameters
    ----------
    model, margin_proxy : float or None
        USD. The proxy counts only where there is no model amount.
    floor_percentage_amount, minimum_margin_amount : float or None
        USD, >= 0; the larger is the floor. None is not modelled, and the charge partial.

    Returns
    -------
    Line
        `var_charge`, the larger of `model` or `margin_proxy` and of `var_floor`.

    Raises
    ------
    InputError
        Neither model nor proxy, amounts that are not finite, negative floors.

    References
    ----------
    89 FR 18981 (SR-FICC-2024-003) and Release 34-101569: VaR Floor and Minimum Margin Amount.

    Examples
    --------
    >>> line = var_charge(4e6, None, floor_percentage_amount=1.1e6, minimum_margin_amount=4.6e6)
    >>> line.amount, line.part("var_floor").amount
    (4600000.0, 4600000.0)
    """
    problems = Problems()
    base, name = (model, "model") if model is not None else (margin_proxy, "margin_proxy")
    floors = {"floor_percentage_amount": floor_percentage_amount, "minimum_margin_amount": minimum_margin_amount}
    if base is None:
        problems.add("neither is given.", where="model, margin_proxy", fix="Give one of them.")
    elif not is_number(base):
        problems.add(f"{base!r} is not finite.", where=name)
    for floor, amount in floors.items():
        if amount is not None and not (is_number(amount) and amount >= 0.0):
            problems.add(f"{amount!r} is negative or not finite.", where=floor, fix="Give USD, >= 0, or None.")
    problems.raise_if_any()
    parts = [
        not_modelled(floor, "not given") if amount is None else Line(floor, amount) for floor, amount in floors.items()
    ]
    return largest("var_charge", [Line(name, base), largest("var_floor", parts)])


def portfolio_differential(increases: ArrayLike, decay: float, multiplier: float) -> Line:
    """Return the Portfolio Differential Charge: `multiplier` times the weighted mean of past increases (USD).

    Parameters
    ----------
    increases : array [n_cycles]
        Increase of the VaR Charge from each margin cycle to the next, USD, oldest first, a decrease as 0
        (see `charge_increases`).
    decay : float
        Weight in [0, 1] of the mean so far: `e_0 = x_0`, `e_t = decay e_(t-1) + (1 - decay) x_t`.
    multiplier : float
        >= 0.

    Raises
    ------
    InputError
        No increase, one that is negative or not finite, parameters out of range.

    References
    ----------
    Release 34-98160 (2023) and DTCC's market risk page; decay and multiplier are not public.

    Examples
    --------
    >>> portfolio_differential([4.0, 0.0, 8.0], 0.5, 2.0).amount
    10.0
    """
    problems = Problems()
    series = _numbers(increases, "increases", problems)
    if series.ndim != 1 or not series.size or (series < 0.0).any():
        fix = "Give one for each cycle, decreases as 0 (charge_increases)."
        problems.add("are empty, no row, or partly negative.", where="increases", fix=fix)
    if not is_number(decay) or not 0.0 <= decay <= 1.0:
        problems.add(f"{decay!r} lies outside [0, 1].", where="decay", fix="Give a number such as 0.97.")
    if not is_number(multiplier) or multiplier < 0.0:
        problems.add(f"{multiplier!r} is negative or not finite.", where="multiplier")
    problems.raise_if_any()
    mean = float(series[0])
    for increase in series[1:].tolist():
        mean = decay * mean + (1.0 - decay) * increase
    return scaled("portfolio_differential", multiplier, Line("weighted mean of increases", mean))


def charge_increases(charges: ArrayLike) -> FloatArray:
    """Return how much each charge of a series [n_cycles] rose over the one before, 0 where it fell [n_cycles - 1].

    Examples
    --------
    >>> charge_increases([10.0, 12.0, 7.0]).tolist()
    [2.0, 0.0]
    """
    problems = Problems()
    series = _numbers(charges, "charges", problems)
    if series.ndim != 1:
        problems.add(f"have shape {series.shape}.", where="charges", fix="Give one number for each cycle.")
    problems.raise_if_any()
    return np.maximum(np.diff(series), 0.0)


def coverage(n_deficiencies: int, observations: int) -> float:
    """Return the share of days without a deficiency, in [0, 1].

    Examples
    --------
    >>> coverage(5, 250)
    0.98
    """
    problems = Problems()
    if not is_count(observations):
        problems.add(f"{observations!r} is no number of days.", where="observations", fix="Give 1 or more.")
    elif not is_count(n_deficiencies, least=0, most=observations):
        problems.add(f"{n_deficiencies!r} deficiencies on {counted(observations, 'day')}.", where="deficiencies")
    problems.raise_if_any()
    return 1.0 - n_deficiencies / observations


def backtesting_charge(deficiencies: ArrayLike, observations: int, *, coverage_target: float, rank: int) -> Line:
    """Return the Backtesting Charge: the deficiency of `rank` from the largest when coverage is below target (USD).

    Parameters
    ----------
    deficiencies : array [n_deficiencies]
        By how much each deficiency of the look-back went beyond the margin, USD, >= 0, in any order.
    observations : int
        Days of the look-back.
    coverage_target : float
        In (0, 1). Coverage of exactly the target is enough, whatever its float.
    rank : int
        1 is the largest deficiency. Where there are fewer, the charge is 0: so many may stay uncovered.

    Raises
    ------
    InputError
        Listing every argument out of range.

    References
    ----------
    GSD Rules, Backtesting Charge (the third-largest deficiency), as recalled.

    Examples
    --------
    >>> backtesting_charge([1.2, 7.5, 3.3, 0.4, 2.1], 250, coverage_target=0.99, rank=3).amount
    2.1
    """
    problems = Problems()
    found = _numbers(deficiencies, "deficiencies", problems)
    if found.ndim != 1 or (found < 0.0).any():
        problems.add("are no row of amounts >= 0.", where="deficiencies", fix="Give how much margin fell short.")
    if not is_number(coverage_target) or not 0.0 < coverage_target < 1.0:
        problems.add(f"{coverage_target!r} lies outside (0, 1).", where="coverage_target")
    if not is_count(rank):
        problems.add(f"{rank!r} is no rank.", where="rank", fix="Give 1 for the largest, 3 for the third.")
    with problems.collecting():
        coverage(found.size, observations)
    problems.raise_if_any()
    enough = covers(found.size, observations, coverage_target)
    charge = 0.0 if enough or found.size < rank else float(np.sort(found)[-rank])
    note = f"coverage {coverage(found.size, observations):.4%} of {counted(observations, 'day')}"
    return Line("backtesting_charge", charge, note=note)


def covers(n_deficiencies: int, observations: int, target: float) -> bool:
    """Whether the coverage of a look-back reaches a target; exactly the target is enough, whatever its float.

    Examples
    --------
    >>> covers(3, 300, 0.99), covers(4, 300, 0.99)
    (True, False)
    """
    return Fraction(n_deficiencies, observations) <= 1 - Fraction(str(target))


def intraday_mark_charge(
    pnl: float, var_charge: float, *, least: float, share: float, covered: bool | None = None
) -> Line:
    """Return the Intraday Mark-to-Market Charge: the loss since the last mark where it is large, else 0 (USD).

    Parameters
    ----------
    pnl : float
        Of the margin portfolio from the last mark to now, gain > 0.
    var_charge : float
        VaR Charge in force, >= 0.
    least, share : float
        The loss counts from this amount on, USD, and from this share of the VaR Charge on, both >= 0.
    covered : bool, optional
        Whether the portfolio's backtesting coverage reaches its target, which spares it the charge. None is not known,
        and spares nothing.

    Raises
    ------
    InputError
        Amounts that are not finite or, but for `pnl`, negative.

    References
    ----------
    SR-FICC-2026-002 names the charge. Triggers as FICC quotes them for its mortgage division, $1 million, 30 per cent
    of the VaR Charge and coverage below 99 per cent; that this division has the same, and asks all three, is recalled.

    Examples
    --------
    >>> intraday_mark_charge(-3e6, 8e6, least=1e6, share=0.30).amount
    3000000.0
    >>> intraday_mark_charge(-3e6, 12e6, least=1e6, share=0.30).amount
    0.0
    """
    problems = Problems()
    _check_amount(problems, pnl, "pnl", signed=True)
    for name, value in (("var_charge", var_charge), ("least", least), ("share", share)):
        _check_amount(problems, value, name)
    problems.raise_if_any()
    loss = max(0.0, -pnl)
    counts = loss >= least and loss >= share * var_charge and not covered
    known = "coverage not known" if covered is None else f"coverage {'reached' if covered else 'missed'}"
    note = f"counts from {least:,.0f} and from {share:.0%} of {var_charge:,.0f}; {known}"
    return scaled("intraday_mark_to_market", float(counts), Line("loss since the last mark", loss), note=note)


def blackout_adjustment(pools: Iterable[Mapping[str, Any]]) -> Line:
    """Return the Blackout Period Exposure Adjustment: what mortgage pools are expected to pay down (USD, either sign).

    Parameters
    ----------
    pools : iterable of mapping
        `pool` (its name), `face` pledged in repo, USD, > 0 for who borrows cash against it and < 0 for who lends, and
        `paydown`, the share of it expected to be repaid before the new pool factor is known, in [0, 1].

    Raises
    ------
    InputError
        Every field that is missing, unknown or out of range.

    References
    ----------
    SR-FICC-2026-002 names the adjustment; the mechanics, paydown rates on pledged pools, charged to the borrower and
    credited to the lender, are recalled.

    Examples
    --------
    >>> blackout_adjustment([{"pool": "FN 30y", "face": 200e6, "paydown": 0.02}]).amount
    4000000.0
    """
    problems, lines = Problems(), []
    for number, row in enumerate(pools, start=1):
        where = f"pool {number}"
        _check_fields(problems, row, ("pool", "face", "paydown"), where)
        face, share = row.get("face", 0.0), row.get("paydown", 0.0)
        _check_amount(problems, face, f"{where}, 'face'", signed=True)
        if not is_number(share) or not 0.0 <= share <= 1.0:
            problems.add(f"{share!r} lies outside [0, 1].", where=f"{where}, 'paydown'")
        elif is_number(face):
            lines.append(scaled(str(row.get("pool", number)), share, Line("face pledged", face)))
    problems.raise_if_any()
    return total("blackout_period_exposure", lines)


def set_charge(name: str, rows: Iterable[Mapping[str, Any]], var_charge: Line) -> Line:
    """Return a charge that FICC sets case by case: amounts, and shares of the VaR Charge, added (USD).

    Parameters
    ----------
    name : str
        Of the charge.
    rows : iterable of mapping
        Each with `amount` (USD) or `share` (of the VaR Charge), both >= 0, or both.
    var_charge : Line

    Raises
    ------
    InputError
        Every row without a figure, or with one that is negative or not finite.

    Examples
    --------
    >>> rows = [{"amount": 5e5}, {"share": 0.1}]
    >>> set_charge("volatility_event_charge", rows, Line("var_charge", 4e6)).amount
    900000.0
    """
    problems, lines = Problems(), []
    for number, row in enumerate(rows, start=1):
        where = f"{name}, row {number}"
        if not {"amount", "share"} & set(row):
            problems.add("has neither amount nor share.", where=where, fix="Give USD, or a share of the VaR Charge.")
        amount, share = row.get("amount", 0.0), row.get("share", 0.0)
        good = [_check_amount(problems, value, where) for value in (amount, share)]
        if all(good):
            lines += [Line("amount set", amount)] * ("amount" in row)
            lines += [scaled("share of the VaR Charge", share, var_charge)] * ("share" in row)
    problems.raise_if_any()
    return total(name, lines)


def _check_correlation(amounts: FloatArray, matrix: FloatArray, problems: Problems) -> None:
    n = amounts.size
    if len(problems) or (amounts.ndim == 1 and n == matrix.size == 0):
        return
    if amounts.ndim != 1 or matrix.shape != (n, n):
        problems.add(f"has shape {matrix.shape}.", where="correlation", fix=f"Give {n} rows of {n} for {n} buckets.")
    elif not np.array_equal(matrix, matrix.T) or (np.diag(matrix) != 1.0).any() or (np.abs(matrix) > 1.0).any():
        fix = "Give a symmetric matrix of values in [-1, 1] with ones on the diagonal."
        problems.add("holds no correlations.", where="correlation", fix=fix)


def _numbers(values: ArrayLike, where: str, problems: Problems) -> FloatArray:
    """Return finite numbers as an array, noting what is none."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        problems.add(f"not an array of numbers ({error}).", where=where, fix="Give numbers of one shape.")
        return np.empty(0)
    if bad := int((~np.isfinite(array)).sum()):
        problems.add(f"{bad} are not finite.", where=where, fix="Fill or drop them by a stated rule.")
    return array


def _check_fields(problems: Problems, row: Mapping[str, Any], fields: tuple[str, ...], where: str) -> None:
    for name in fields:
        if name not in row:
            problems.add(f"{name!r} is missing.", where=where, fix=f"Give {', '.join(fields)}.")
    for name in row:
        if name not in fields:
            problems.add(f"unknown {name!r}.", where=where, fix=suggestion(str(name), fields))


def _check_amount(problems: Problems, value: Any, where: str, *, signed: bool = False) -> bool:
    good = is_number(value) and (signed or value >= 0.0)
    if not good:
        problems.add(f"{value!r} is {'' if signed else 'negative or '}not finite.", where=where)
    return good
