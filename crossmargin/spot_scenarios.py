"""Scenario sets of shares: what tickers did between the very dates of the yield changes.

Call `with_spot_moves(scenarios, history, securities)`: all factors then move as they moved together. `scenarios` draws
the yields; nothing here prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
from attrs import evolve

from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem
from crossmargin.filtering import filtered_returns
from crossmargin.price_history import PriceHistory
from crossmargin.products.equities import Security
from crossmargin.scenarios import ScenarioSet

_NO_HISTORY = "no price history of it, nor of an index that it tracks"


def with_spot_moves(
    scenarios: ScenarioSet,
    history: PriceHistory,
    securities: Mapping[str, Security],
    *,
    as_of: date | None = None,
) -> ScenarioSet:
    """Return the set with the moves of the tickers between the very dates of its changes.

    Parameters
    ----------
    scenarios
        Drawn from yields by `scenario_set`: every change has its two dates.
    history
        Where a ticker has no column, the one of the index that it tracks is taken, times its leverage, and noted.
    securities
        Ticker -> what it is.
    as_of
        Day whose level of volatility is shocked; the last day of the changes unless given.

    Returns
    -------
    ScenarioSet
        With `spot_moves` and `volatility_moves` [n_scenarios]. A ticker without a history, not quoted on the dates of
        some change, or left without a price by its leverage, is left out, and a note says why.

    Raises
    ------
    InputError
        The scenarios were never observed: they have no dates.

    Notes
    -----
    A price stands for up to five calendar days, since bond and stock markets keep different holidays. A volatility
    changes in proportion: its level today times what the change was relative to where it began, so that a fall from a
    crisis leaves no negative one. A ticker takes its own volatilities or those of the index that it tracks, times the
    size of its leverage; one without keeps its own. In a `filtered` set the logarithmic changes of the look-back are
    rescaled as yield changes are; stressed ones stay as they were. Over some days a leveraged fund moves by its
    leverage times the move of the whole period: what it loses by trading every day is left out.

    References
    ----------
    Barone-Adesi, Giannopoulos and Vosper, "VaR without correlations for portfolios of derivative securities", Journal
    of Futures Markets 19 (1999): returns of all factors on one date are drawn together.
    """
    if not scenarios.ends:
        fix = "Draw them with scenario_set; of a grid give spot_moves yourself."
        raise InputError([Problem("the changes have no dates.", f"{scenarios.spec.kind} scenarios", fix)])
    spots: dict[str, FloatArray] = {}
    volatilities: dict[str, FloatArray] = {}
    notes: list[str] = []
    for ticker, security in securities.items():
        spot, said = _spot_moves(ticker, security, history, scenarios)
        notes += [said] if said else []
        if spot is None:
            continue
        spots[ticker] = spot
        volatility, said = _volatility_moves(ticker, security, (history, as_of or max(scenarios.ends)), scenarios)
        notes += [said] if said else []
        if volatility is not None:
            volatilities[ticker] = volatility
    said_before = (*scenarios.notes, *notes)
    return evolve(scenarios, spot_moves=spots, volatility_moves=volatilities, notes=said_before)


def has_history(ticker: str, security: Security, history: PriceHistory | None) -> bool:
    """Whether a ticker, or the index that it tracks, has a history of prices."""
    return history is not None and bool(_column_of(ticker, security, history.prices)[0])


def why_unmoved(
    ticker: str, security: Security, history: PriceHistory | None, scenarios: ScenarioSet | None = None
) -> str:
    """Return why scenarios do not say how a ticker moves, in words; "" when they do."""
    if scenarios is not None and ticker in scenarios.spot_moves:
        return ""
    if history is None:
        return "the market has no price history"
    if not has_history(ticker, security, history):
        return _NO_HISTORY
    moves, said = None, ""
    if scenarios is not None and scenarios.ends:
        moves, said = _spot_moves(ticker, security, history, scenarios)
    unsaid = f"no scenarios say how {ticker} moves"
    return said.removeprefix(f"{ticker} is left out: ") if said and moves is None else unsaid


def _spot_moves(
    ticker: str, security: Security, history: PriceHistory, scenarios: ScenarioSet
) -> tuple[FloatArray | None, str]:
    """Return the moves [n_scenarios] of a ticker and what is to be said of them; None when there are none."""
    column, leverage = _column_of(ticker, security, history.prices)
    if not column:
        return None, f"{ticker} is left out: {_NO_HISTORY}"
    changes = _changes(history.prices[column], history, scenarios)
    if gap := _gap(changes, scenarios):
        return None, f"{ticker} is left out: {column} {gap}"
    with np.errstate(over="ignore"):
        moves: FloatArray = leverage * np.expm1(_filtered(changes, scenarios))
    lost = np.flatnonzero(~(np.isfinite(moves) & (moves > -1.0)))
    if lost.size:
        when = scenarios.ends[int(lost[0])]
        return None, f"{ticker} is left out: {leverage:g} times the move of {column} to {when} leaves no price"
    return moves, "" if column == ticker else f"{ticker} moves with {column} times {leverage:g}"


def _volatility_moves(
    ticker: str, security: Security, levels: tuple[PriceHistory, date], scenarios: ScenarioSet
) -> tuple[FloatArray | None, str]:
    """Return the changes [n_scenarios] of a volatility and what is to be said of them; None where it stands still."""
    history, today = levels
    column, leverage = _column_of(ticker, security, history.volatilities)
    if not column:
        return None, ""
    changes = _changes(history.volatilities[column], history, scenarios)
    level = history.read(history.volatilities[column], [today])[0]
    gap = _gap(changes, scenarios) or ("" if np.isfinite(level) else f"is not quoted shortly before {today}")
    if gap:
        return None, f"the volatility of {ticker} stands still: that of {column} {gap}"
    with np.errstate(over="ignore"):
        moves: FloatArray = abs(leverage) * level * np.expm1(_filtered(changes, scenarios))
    if not np.isfinite(moves).all():
        return None, f"the volatility of {ticker} stands still: rescaled, that of {column} has no bounds"
    return moves, ""


def _column_of(ticker: str, security: Security, columns: Mapping[str, FloatArray]) -> tuple[str, float]:
    """Return the column that a ticker moves by, and how many times; "" when there is none."""
    if ticker in columns:
        return ticker, 1.0
    if security.tracks in columns:
        return security.tracks, security.leverage
    return "", 1.0


def _changes(column: FloatArray, history: PriceHistory, scenarios: ScenarioSet) -> FloatArray:
    """Return the logarithmic change of a column over each change of a set, [n_scenarios], NaN where not quoted."""
    starts, ends = (history.read(column, days) for days in (scenarios.starts, scenarios.ends))
    changes: FloatArray = np.log(ends) - np.log(starts)
    return changes


def _gap(changes: FloatArray, scenarios: ScenarioSet) -> str:
    """Say for which changes a column is not quoted, "" when it always is."""
    bad = np.flatnonzero(~np.isfinite(changes))
    if not bad.size:
        return ""
    when = scenarios.ends[int(bad[0])]
    return f"is not quoted for {bad.size} of {len(changes)} changes, first for that to {when}"


def _filtered(changes: FloatArray, scenarios: ScenarioSet) -> FloatArray:
    """Return the changes, those of a filtered look-back rescaled to the volatility of today."""
    spec = scenarios.spec
    if spec.kind != "filtered":
        return changes
    recent = _in_lookback(scenarios.ends)
    result = changes.copy()
    result[recent] = filtered_returns(  # without the floor of the spec, which is one of yields
        changes[recent],
        spec.decay or 0.0,
        scaling=spec.scaling,
        ratio_cap=spec.ratio_cap,
        seed_days=spec.seed_days,
    ).scaled
    return result


def _in_lookback(ends: Sequence[date]) -> slice:
    """Return the scenarios of the look-back: they come first and in order, the stressed ones begin again earlier."""
    later = next((row for row in range(1, len(ends)) if ends[row] <= ends[row - 1]), len(ends))
    return slice(0, later)
