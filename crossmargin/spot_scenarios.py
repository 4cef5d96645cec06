"""Scenario sets of shares: what tickers did between the very dates of the yield changes.

Call `with_spot_moves(scenarios, history, securities)`: all factors then move as they moved together. `scenarios` draws
the yields; nothing here prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, counted
from crossmargin.filtering import correlation_scaled, filtered_returns
from crossmargin.price_history import PriceHistory
from crossmargin.products.equities import Security
from crossmargin.scenarios import ScenarioSet

_Table = Mapping[str, FloatArray]
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

    Where the set scales correlations, the tickers that its specification lists take on, in the look-back, those of
    today with the yields and with one another. The yields themselves do not move for it, and whether a listed ticker is
    held makes no difference; one that is not listed keeps its changes as they are, and a note says so.

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
    past = _Past(history, scenarios)
    notes: list[str] = []
    for ticker, security in securities.items():
        spot, said = _spot_moves(ticker, security, past)
        notes += [said] if said else []
        if spot is None:
            continue
        spots[ticker] = spot
        volatility, said = _volatility_moves(ticker, security, past, as_of or max(scenarios.ends))
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
        moves, said = _spot_moves(ticker, security, _Past(history, scenarios))
    unsaid = f"no scenarios say how {ticker} moves"
    return said.removeprefix(f"{ticker} is left out: ") if said and moves is None else unsaid


@frozen(eq=False)
class _Past:
    """A history of prices and the changes that it is read for.

    `scaled` has (kind, column) -> logarithmic changes [n_scenarios] where a specification scales correlations.
    """

    history: PriceHistory
    scenarios: ScenarioSet
    scaled: Mapping[tuple[str, str], FloatArray] = field(init=False)

    @scaled.default
    def _scaled(self) -> Mapping[tuple[str, str], FloatArray]:
        scaling = self.scenarios.spec.correlation
        if scaling is None:
            return {}
        tables = {"price": self.history.prices, "volatility": self.history.volatilities}
        listed = [(kind, name) for kind, table in tables.items() for name in sorted(scaling.tickers) if name in table]
        changes = {key: self.observed(tables[key[0]][key[1]]) for key in listed}
        return _correlated(
            {key: each for key, each in changes.items() if not _gap(each, self.scenarios)}, self.scenarios
        )

    def observed(self, column: FloatArray) -> FloatArray:
        """Return the logarithmic change of a column over each of the set, [n_scenarios], NaN where not quoted."""
        starts, ends = (self.history.read(column, days) for days in (self.scenarios.starts, self.scenarios.ends))
        changes: FloatArray = np.log(ends) - np.log(starts)
        return changes

    def read(self, kind: str, name: str, table: _Table) -> tuple[FloatArray, str]:
        """Return the changes of a column as the scenarios have them, and what is to be said of that; NaN with a gap."""
        if (kind, name) in self.scaled:
            return self.scaled[kind, name], ""
        changes = self.observed(table[name])
        if _gap(changes, self.scenarios):
            return changes, ""
        kept = self.scenarios.spec.correlation is not None
        return _filtered(changes, self.scenarios), f"the {kind} of {name} keeps its correlations" if kept else ""


def _spot_moves(ticker: str, security: Security, past: _Past) -> tuple[FloatArray | None, str]:
    """Return the moves [n_scenarios] of a ticker and what is to be said of them; None when there are none."""
    column, leverage = _column_of(ticker, security, past.history.prices)
    if not column:
        return None, f"{ticker} is left out: {_NO_HISTORY}"
    changes, said = past.read("price", column, past.history.prices)
    if gap := _gap(changes, past.scenarios):
        return None, f"{ticker} is left out: {column} {gap}"
    with np.errstate(over="ignore"):
        moves: FloatArray = leverage * np.expm1(changes)
    lost = np.flatnonzero(~(np.isfinite(moves) & (moves > -1.0)))
    if lost.size:
        when = past.scenarios.ends[int(lost[0])]
        return None, f"{ticker} is left out: {leverage:g} times the move of {column} to {when} leaves no price"
    tracks = "" if column == ticker else f"{ticker} moves with {column} times {leverage:g}"
    return moves, "; ".join(filter(None, (tracks, said)))


def _volatility_moves(ticker: str, security: Security, past: _Past, today: date) -> tuple[FloatArray | None, str]:
    """Return the changes [n_scenarios] of a volatility and what is to be said of them; None where it stands still."""
    table = past.history.volatilities
    column, leverage = _column_of(ticker, security, table)
    if not column:
        return None, ""
    changes, said = past.read("volatility", column, table)
    level = past.history.read(table[column], [today])[0]
    gap = _gap(changes, past.scenarios) or ("" if np.isfinite(level) else f"is not quoted shortly before {today}")
    if gap:
        return None, f"the volatility of {ticker} stands still: that of {column} {gap}"
    with np.errstate(over="ignore"):
        moves: FloatArray = abs(leverage) * level * np.expm1(changes)
    if not np.isfinite(moves).all():
        return None, f"the volatility of {ticker} stands still: rescaled, that of {column} has no bounds"
    return moves, said


def _column_of(ticker: str, security: Security, columns: Mapping[str, FloatArray]) -> tuple[str, float]:
    """Return the column that a ticker moves by, and how many times; "" when there is none."""
    if ticker in columns:
        return ticker, 1.0
    if security.tracks in columns:
        return security.tracks, security.leverage
    return "", 1.0


def _gap(changes: FloatArray, scenarios: ScenarioSet) -> str:
    """Say for which changes a column is not quoted, "" when it always is."""
    bad = np.flatnonzero(~np.isfinite(changes))
    if not bad.size:
        return ""
    when = scenarios.ends[int(bad[0])]
    return f"is not quoted for {bad.size} of {counted(len(changes), 'change')}, first for that to {when}"


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


def _correlated(
    changes: Mapping[tuple[str, str], FloatArray], scenarios: ScenarioSet
) -> dict[tuple[str, str], FloatArray]:
    """Return the changes, filtered, with those of the look-back at the correlations of today, given the yields."""
    spec = scenarios.spec
    if spec.correlation is None or not changes:
        return {}
    yields = scenarios.shifts if scenarios.uncorrelated is None else scenarios.uncorrelated
    columns = np.array([_filtered(each, scenarios) for each in changes.values()])
    recent = _in_lookback(scenarios.ends)
    together = np.vstack([yields[:, recent], columns[:, recent]]).T
    columns[:, recent] = correlation_scaled(together, spec.correlation, leading=len(yields))[:, len(yields) :].T
    return dict(zip(changes, columns, strict=True))


def _in_lookback(ends: Sequence[date]) -> slice:
    """Return the scenarios of the look-back: they come first and in order, the stressed ones begin again earlier."""
    later = next((row for row in range(1, len(ends)) if ends[row] <= ends[row - 1]), len(ends))
    return slice(0, later)
