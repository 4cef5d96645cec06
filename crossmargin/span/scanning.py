"""Scan risk: the worst scenario of positions margined together, and what of it is time, volatility and price.

`scan` takes the pooled losses of one combined commodity, `scan_risks` many accounts at once, `gross_scan_risk` an
omnibus account. Spreads between months and commodities are not here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias, get_args

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.errors import InputError, Problem, Problems, counted
from crossmargin.span.portfolio import PriceRiskMethod, check_name, check_number

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

_NO_DELTA = 1e-12  # of the gross delta: what rounding leaves of a delta that nets to nothing


@frozen
class ScanRisk:
    """The risk of one worst scenario, split; all money, loss > 0.

    `scan_risk` is never negative. `time_risk` is what the passing of time alone costs, and
    `volatility_adjusted_scan_risk` the worst scenario averaged over both moves of volatility; either may be a gain.
    """

    scan_risk: float
    time_risk: float
    volatility_adjusted_scan_risk: float

    @property
    def volatility_risk(self) -> float:
        """Scan risk less volatility-adjusted scan risk."""
        return self.scan_risk - self.volatility_adjusted_scan_risk

    @property
    def futures_price_risk(self) -> float:
        """Volatility-adjusted scan risk less time risk: what the move of the price costs."""
        return self.volatility_adjusted_scan_risk - self.time_risk


@frozen
class Scan:
    """Pooled losses [n_scenarios], the scenario that governs and its twin (counted from 1), and the risk."""

    losses: tuple[float, ...]
    active_scenario: int
    paired_scenario: int
    risk: ScanRisk


def scan(losses: Sequence[float]) -> Scan:
    """Return the scan of pooled losses: the first of the largest governs; no losses, no risk.

    Parameters
    ----------
    losses : sequence [n_scenarios]
        Money, loss > 0; scenarios in pairs of volatility up and down, the last two the extreme moves.

    Raises
    ------
    InputError
        An odd number of scenarios, fewer than four, or a loss that is not finite.

    References
    ----------
    KDPW_CCP, SPAN methodology: scan risk, time risk, volatility-adjusted scan risk (published by its users).

    Examples
    --------
    >>> found = scan([0, 0, -350, -350, 350, 350, -347, 347])
    >>> found.active_scenario, found.paired_scenario, found.risk.scan_risk
    (5, 6, 350)
    """
    found = tuple(losses)
    _check_losses(found)
    worst = max(found)
    active = found.index(worst)
    paired = active if active >= len(found) - 2 else active ^ 1  # extreme moves have no twin
    return Scan(found, active + 1, paired + 1, split_risk(worst, found[paired], found[0], found[1]))


def split_risk(active_loss: float, paired_loss: float, loss_1: float, loss_2: float) -> ScanRisk:
    """Return the scan risk and its parts from the four losses that decide them.

    Parameters
    ----------
    active_loss, paired_loss : float
        Largest loss, and that of the scenario that differs from it by the move of volatility only.
    loss_1, loss_2 : float
        Losses without a move of the price, volatility up and down.

    Examples
    --------
    >>> split_risk(5000, 4400, 300, -100).futures_price_risk
    4600.0
    """
    return ScanRisk(max(0.0, active_loss), (loss_1 + loss_2) / 2, (active_loss + paired_loss) / 2)


def merged(risks: Iterable[ScanRisk]) -> ScanRisk:
    """Return the risk of scanning tiers together: every part is added."""
    found = tuple(risks)
    return ScanRisk(
        math.fsum(risk.scan_risk for risk in found),
        math.fsum(risk.time_risk for risk in found),
        math.fsum(risk.volatility_adjusted_scan_risk for risk in found),
    )


def pooled_losses(loss_arrays: Sequence[Sequence[float]], quantities: Sequence[float]) -> tuple[float, ...]:
    """Return the losses [n_scenarios] of positions together, correctly rounded, so that their order does not matter.

    Examples
    --------
    >>> pooled_losses([[0, 2, -1, 4], [1, 1, 1, 1]], [2, -3])
    (-3.0, 1.0, -5.0, 5.0)
    """
    columns = zip(*loss_arrays, strict=True)
    return tuple(math.fsum(loss * q for loss, q in zip(column, quantities, strict=True)) for column in columns)


def net_delta(deltas: Iterable[float]) -> float:
    """Return the sum of position deltas; exactly 0 when only rounding is left of them.

    Examples
    --------
    >>> net_delta([0.1, 0.2, -0.3])
    0.0
    """
    found = tuple(deltas)
    net, gross = math.fsum(found), math.fsum(map(abs, found))
    return 0.0 if abs(net) <= _NO_DELTA * gross else net


def weighted_price_risk(
    futures_price_risk: float,
    net_delta: float,
    *,
    method: PriceRiskMethod = "normal",
    price_scan_range: float | None = None,
    delta_scaling_factor: float = 1.0,
) -> float | None:
    """Return the futures price risk of one delta; None where no delta is left to spread it over.

    Parameters
    ----------
    futures_price_risk : float
        Money.
    net_delta : float
        Of the whole combined commodity or tier, before any spread has consumed part of it.
    method : {"normal", "scan_range_cap", "scan_range"}
        Price risk over delta; the same but at most the scan range of one delta; that scan range itself.
    price_scan_range, delta_scaling_factor : float
        Of the nearest contract month, money per contract; the first is needed by the last two methods.

    Raises
    ------
    InputError

    References
    ----------
    CME Group, public SPAN documentation, processing methods of the weighted futures price risk.

    Examples
    --------
    >>> weighted_price_risk(4600, -3.2), weighted_price_risk(4600, -3.2, method="scan_range", price_scan_range=1200)
    (1437.5, 1200.0)
    """
    problems = Problems()
    check_name(problems, method, "method", get_args(PriceRiskMethod))
    for name, value in (("futures_price_risk", futures_price_risk), ("net_delta", net_delta)):
        check_number(problems, value, name)
    if method != "normal":
        check_number(problems, price_scan_range, "price_scan_range", least=0.0)
        if check_number(problems, delta_scaling_factor, "delta_scaling_factor") and delta_scaling_factor <= 0:
            problems.add("is not above zero.", where="delta_scaling_factor")
    problems.raise_if_any()
    normal = futures_price_risk / abs(net_delta) if net_delta else None
    if method == "normal" or price_scan_range is None:
        return normal
    cap = price_scan_range / delta_scaling_factor
    if method == "scan_range":
        return cap
    return None if normal is None else min(normal, cap)


def gross_scan_risk(loss_arrays: ArrayLike, long: ArrayLike, short: ArrayLike) -> float:
    """Return the scan risk of an omnibus account: each long and each short at its own worst scenario, none netted.

    Parameters
    ----------
    loss_arrays : array_like [n_contracts, n_scenarios]
        Of one long contract, money, loss > 0.
    long, short : array_like [n_contracts]
        Contracts held, both >= 0.

    Raises
    ------
    InputError

    Examples
    --------
    >>> gross_scan_risk([[-350, 350, -1050, 1040]], [3], [2])
    5220.0
    """
    arrays, counts = _table(loss_arrays), (np.asarray(long, dtype=np.float64), np.asarray(short, dtype=np.float64))
    problems = Problems()
    for name, count in zip(("long", "short"), counts, strict=True):
        if count.shape != arrays.shape[:1] or not (np.isfinite(count) & (count >= 0)).all():
            fix = f"Give {len(arrays)} finite numbers of at least 0."
            problems.add("does not count the contracts.", where=name, fix=fix)
    problems.raise_if_any()
    worst_long = np.maximum(arrays.max(axis=1, initial=0.0), 0.0)
    worst_short = np.maximum((-arrays).max(axis=1, initial=0.0), 0.0)
    return math.fsum([*(counts[0] * worst_long), *(counts[1] * worst_short)])


def scan_risks(
    loss_arrays: ArrayLike,
    *,
    account_start: ArrayLike,
    contract: ArrayLike,
    quantity: ArrayLike,
    commodity: ArrayLike | None = None,
) -> FloatArray:
    """Return the scan risk of many accounts [n_accounts], money: what `scan` says of each commodity, added.

    Parameters
    ----------
    loss_arrays : array_like [n_contracts, n_scenarios]
        Of one long contract, money, loss > 0.
    account_start : array_like [n_accounts + 1]
        Holdings of account i are account_start[i] .. account_start[i + 1].
    contract, quantity : array_like [n_holdings]
        Row of `loss_arrays`, and signed contracts held.
    commodity : array_like of int [n_contracts], optional
        Which contracts are scanned together; all of them when left out.

    Raises
    ------
    InputError
        Tables of unlike length, rows that do not exist, numbers that are not finite.

    Examples
    --------
    >>> arrays = [[0, 0, -350, -350, 350, 350, -347, 347], [0, 0, -90, -90, 90, 90, -89, 89]]
    >>> book = {"account_start": [0, 2, 2, 3], "contract": [0, 1, 1], "quantity": [1, -2, 5]}
    >>> scan_risks(arrays, **book).tolist(), scan_risks(arrays, **book, commodity=[7, 8]).tolist()
    ([170.0, 0.0, 450.0], [530.0, 0.0, 450.0])
    """
    arrays, start, rows = _table(loss_arrays), _whole(account_start), _whole(contract)
    held = np.asarray(quantity, dtype=np.float64)
    groups = np.zeros(len(arrays), dtype=np.int64) if commodity is None else _whole(commodity)
    _check_book(arrays, start, rows, held=held, groups=groups)
    _, group = np.unique(groups, return_inverse=True)
    account = np.repeat(np.arange(len(start) - 1), np.diff(start))
    n_groups = max(int(group.max(initial=0)) + 1, 1)
    cells, cell = np.unique(account * n_groups + group[rows], return_inverse=True)
    worst = np.zeros(len(cells))
    for losses in np.ascontiguousarray(arrays.T):  # scenario by scenario: each pass stays in the cache
        np.maximum(worst, np.bincount(cell, losses[rows] * held, len(cells)), out=worst)
    risks: FloatArray = np.bincount(cells // n_groups, worst, len(start) - 1).astype(np.float64)
    return risks


def _check_losses(losses: Sequence[float]) -> None:
    problems = Problems()
    if len(losses) < 4 or len(losses) % 2:
        fix = "Give pairs of volatility, then the two extreme moves: 16 in SPAN."
        problems.add(f"{counted(len(losses), 'scenario')}.", where="losses", fix=fix)
    for scenario, loss in enumerate(losses, start=1):
        check_number(problems, loss, f"losses, scenario {scenario}")
    problems.raise_if_any()


def _table(values: ArrayLike) -> FloatArray:
    table = np.asarray(values, dtype=np.float64)
    table = table if table.shape != (0,) else table.reshape(0, 0)  # no contract
    if table.ndim != 2 or not np.isfinite(table).all():
        fix = "Give finite losses, a row for each contract."
        raise InputError([Problem("is no table of losses [n_contracts, n_scenarios].", "loss_arrays", fix)])
    return table


def _whole(values: ArrayLike) -> IntArray:
    found = np.asarray(values)
    if found.size and not np.issubdtype(found.dtype, np.integer):
        raise InputError([Problem(f"{found.dtype} where whole numbers count.", "account_start, contract, commodity")])
    return found.astype(np.int64)


def _check_book(arrays: FloatArray, start: IntArray, rows: IntArray, *, held: FloatArray, groups: IntArray) -> None:
    problems = Problems()
    if start.ndim != 1 or not start.size or start[0] != 0 or start[-1] != len(rows) or (np.diff(start) < 0).any():
        fix = f"Begin with 0, never fall, end with {len(rows)}."
        problems.add("does not cut the holdings into accounts.", where="account_start", fix=fix)
    if rows.shape != held.shape or rows.ndim != 1 or not np.isfinite(held).all():
        problems.add("does not give each holding a finite number.", where="quantity")
    if ((rows < 0) | (rows >= len(arrays))).any():
        problems.add(f"names a row that none of the {len(arrays)} contracts has.", where="contract")
    if groups.shape != arrays.shape[:1]:
        problems.add(f"has {groups.size} entries for {len(arrays)} contracts.", where="commodity")
    problems.raise_if_any("These accounts cannot be scanned")
