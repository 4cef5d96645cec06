"""Scenario sets drawn from history: yield changes by tenor, with the dates each was observed on.

Call `scenario_set(spec, history, as_of)`. A `ScenarioSpec` says what is drawn, a `ScenarioSet` holds it and
carries notes on every gap and how it was filled. The volatility filter is `filtering.py`.
Nothing here prices anything (`crossmargin.pnl`) or chooses a look-back: those are parameters of a rule-set.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping
from datetime import date

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.columns import FloatArray, as_date, as_dates, as_texts, readonly
from crossmargin.errors import InputError, Problem, Problems, check_kinds, counted, is_count, several, suggestion
from crossmargin.filtering import (
    CorrelationScaling,
    correlation_scaled,
    decay_problems,
    filter_problems,
    filtered_returns,
    is_positive,
    seed_problems,
)
from crossmargin.market import History, age_notes, tenor_name, tenor_problems

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

KINDS = ("historical", "filtered", "stress", "grid")

# The next four are this library's conventions of data quality, not regulation.
LATE_BILL_TENORS = (0.125, 2 / 12, 4 / 12)  # 1.5M, 2M, 4M: first quoted 2018-2025, between 1M and 6M anyway
LEAST_TENORS = 5  # a change seen at fewer points says too little about a curve
LEAST_SHARE = 0.5  # a tenor missing from most changes would be more interpolation than observation
GAP_SLACK_DAYS = 5  # calendar days beyond two a business day: holidays yes, a missing fortnight no

_SAME = 1e-9


def _moves(moves: Mapping[str, ArrayLike]) -> Mapping[str, FloatArray]:
    return {symbol: readonly(move) for symbol, move in moves.items()}


def _shifts(value: ArrayLike | None) -> FloatArray | None:
    return None if value is None else readonly(value)


def _period(value: Iterable[date] | None) -> tuple[date, ...] | None:
    return None if value is None else tuple(value)


@frozen
class ScenarioSpec:
    """What a scenario set is made of.

    Parameters
    ----------
    kind
        `historical`: changes of the look-back, and of the stress period where it lies outside.
        `filtered`: the same, the look-back rescaled to the volatility of today (see `filtering.filtered_returns`).
        `grid`: made by `grid_scenarios`, drawn from no history.
        `stress`: changes of the stress period only.
    horizon_days
        Business days over which a change is taken (margin period of risk).
    lookback_years
        Length of the look-back; not read for `stress`.
    stress_period
        First and last day, both included, on which a stressed change may end.
    decay, scaling, volatility_floor, ratio_cap, seed_days
        Parameters of `filtered_returns`; only for `filtered`, which needs `decay`.
    correlation
        How the look-back takes on the correlations of today, too (`filtering.correlation_scaled`); only for `filtered`.

    Raises
    ------
    InputError
        Listing every field out of range or set without use.

    Examples
    --------
    >>> ScenarioSpec("historical", 3, 10).lookback_years
    10
    """

    kind: str
    horizon_days: int
    lookback_years: float
    stress_period: tuple[date, ...] | None = field(default=None, converter=_period)
    decay: float | None = field(default=None, kw_only=True)
    scaling: str = field(default="full", kw_only=True)
    volatility_floor: float | None = field(default=None, kw_only=True)
    ratio_cap: float | None = field(default=None, kw_only=True)
    seed_days: int = field(default=1, kw_only=True)
    correlation: CorrelationScaling | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Check every field and raise every problem at once."""
        problems = Problems()
        problems.extend(_window_problems(self))
        problems.extend(_filter_problems(self))
        problems.raise_if_any()


@frozen(eq=False)
class ScenarioSet:
    """Changes of yields, spots and volatilities, factor by scenario.

    Parameters
    ----------
    spec
        What the set was drawn for.
    tenors
        Shape [n_factors], years, strictly increasing.
    shifts
        Shape [n_factors, n_scenarios], absolute changes of decimal par yields; 0.0001 is one basis point up.
    spot_moves
        Symbol of an underlying -> shape [n_scenarios], spot in the scenario over spot today, less one.
    volatility_moves
        Symbol of an underlying -> shape [n_scenarios], absolute change of its volatility; none is no change.
    starts, ends
        Shape [n_scenarios], the two dates of each change; empty for scenarios that were never observed.
    notes
        What was appended, left out or interpolated.
    uncorrelated
        Shape of `shifts`: what they were before their correlations were scaled; None where they were not.

    Raises
    ------
    InputError
        When shapes do not fit, tenors do not increase or a shift is not finite.
    """

    spec: ScenarioSpec
    tenors: FloatArray = field(converter=readonly)
    shifts: FloatArray = field(converter=readonly)
    starts: tuple[date, ...] = field(default=(), converter=as_dates)
    ends: tuple[date, ...] = field(default=(), converter=as_dates)
    notes: tuple[str, ...] = field(default=(), converter=as_texts)
    spot_moves: Mapping[str, FloatArray] = field(factory=dict, kw_only=True, converter=_moves)
    volatility_moves: Mapping[str, FloatArray] = field(factory=dict, kw_only=True, converter=_moves)
    uncorrelated: FloatArray | None = field(default=None, kw_only=True, converter=_shifts)

    def __attrs_post_init__(self) -> None:
        """Check the shapes and raise every problem at once."""
        problems = Problems()
        problems.extend(_set_problems(self))
        problems.raise_if_any()


def grid_scenarios(
    symbols: str | Iterable[str], spot_moves: ArrayLike, volatility_moves: ArrayLike = (0.0,)
) -> ScenarioSet:
    """Return every combination of a spot move and a volatility move, common to all symbols, yields unchanged.

    Parameters
    ----------
    symbols
        Underlyings that move together, or one of them.
    spot_moves
        Shape [n_spots], spot over spot today less one; the volatility moves run fastest.
    volatility_moves
        Shape [n_volatilities], absolute changes of volatility.

    Examples
    --------
    >>> grid = grid_scenarios(["XYZ"], [-0.15, 0.15], [-0.05, 0.0, 0.05])
    >>> grid.spot_moves["XYZ"].tolist()
    [-0.15, -0.15, -0.15, 0.15, 0.15, 0.15]
    """
    symbols = (symbols,) if isinstance(symbols, str) else several("symbols", symbols, str, "Give tickers.")
    spots, volatilities = readonly(spot_moves), readonly(volatility_moves)
    _check_moves(spot_moves=spots, volatility_moves=volatilities)
    spot, volatility = np.repeat(spots, volatilities.size), np.tile(volatilities, spots.size)
    return ScenarioSet(
        ScenarioSpec("grid", 1, 0.0),
        [1.0],
        np.zeros((1, spot.size)),
        spot_moves=dict.fromkeys(symbols, spot),
        volatility_moves=dict.fromkeys(symbols, volatility),
    )


def _check_moves(**moves: FloatArray) -> None:
    problems = Problems()
    for name, move in moves.items():
        if move.ndim != 1 or not move.size:
            problems.add(
                f"of shape {move.shape} are no row of moves.", where=name, fix="Give them in a list: [-0.1, 0.1]."
            )
    problems.raise_if_any()


def scenario_set(spec: ScenarioSpec, history: History, as_of: date) -> ScenarioSet:
    """Return the changes of the history that `spec` asks for, seen from `as_of`.

    Rows of the history after `as_of` are never read. Returned are the changes of the look-back, oldest first,
    then those of the stress period that the look-back does not hold.

    Raises
    ------
    InputError
        When no usable change ends in the look-back (in the stress period for `stress`); says the windows and
        the span of the history.

    Notes
    -----
    Rules, in this order:

    1. Changes overlap: one for each row i, from row i to row i + `horizon_days`. Rows are business days.
    2. The look-back of n years ends at the last row on or before `as_of` and holds the changes whose *end*
       lies after the same day n years earlier. A history that ends early is anchored there, and noted.
    3. A stress period holds the changes whose end lies between its two days, both included.
    4. A change that spans more than 2 x horizon + 5 calendar days is a gap in the data: dropped, counted.
    5. Factors are the tenors of the history without 1.5M, 2M and 4M that are quoted on both dates of at
       least half of the changes; the others are left out and named.
    6. A change with fewer than five factors quoted on both dates (all of them, when the history has fewer)
       is dropped and counted.
    7. A factor not quoted on one of the two dates takes the change interpolated linearly between the
       changes of its neighbours on these dates, beyond the last neighbour the change of that neighbour;
       counted for each tenor.
    8. `filtered` rescales the look-back only. Stressed changes stay as they were: rescaled to a quiet market
       they would no longer be stress. Then, where the specification says so, the look-back takes on the correlations
       of today.

    Examples
    --------
    >>> from datetime import date
    >>> days = [date(2017, 3, day) for day in (27, 28, 29, 30)]
    >>> history = History(days, [1, 2], [[0.01, 0.012], [0.011, 0.013], [0.011, 0.012], [0.012, 0.015]])
    >>> drawn = scenario_set(ScenarioSpec("historical", 2, 1), history, date(2017, 3, 30))
    >>> [str(end) for end in drawn.ends], (1e4 * drawn.shifts).round(6).tolist()
    (['2017-03-29', '2017-03-30'], [[10.0, 10.0], [0.0, 20.0]])
    """
    check_kinds(
        spec=(spec, ScenarioSpec, "Give a ScenarioSpec: the order is spec, history, as_of."),
        history=(history, History, "Give a History, such as market.history."),
    )
    as_of = as_date(as_of, "as_of")
    notes = list(age_notes(history, as_of))
    last = history.row_at(as_of)
    dates = history.dates[: 0 if last is None else last + 1]
    ends, in_lookback = _chosen(spec, dates, notes)
    kept = _without_gaps(spec.horizon_days, dates, ends, notes)
    ends, in_lookback = ends[kept], in_lookback[kept]
    changes = history.par[ends] - history.par[ends - spec.horizon_days]
    factors = _factors(history.tenors, changes, notes)
    tenors, changes = history.tenors[factors], changes[:, factors]
    kept = _enough_quotes(changes, notes)
    if not kept.any() or (spec.kind != "stress" and not in_lookback[kept].any()):
        raise InputError([_nothing_drawn(spec, history, as_of)])
    ends, in_lookback, changes = ends[kept], in_lookback[kept], _filled(tenors, changes[kept], notes)
    before = None
    if spec.kind == "filtered":
        changes = _rescaled(spec, changes, in_lookback, notes)
    if spec.correlation is not None:
        before, changes = changes.T, _recorrelated(spec.correlation, changes, in_lookback, notes)
    starts, days = ([dates[row] for row in rows.tolist()] for rows in (ends - spec.horizon_days, ends))
    return ScenarioSet(spec, tenors, changes.T, starts, days, notes, uncorrelated=before)


def _window_problems(spec: ScenarioSpec) -> Iterable[Problem]:
    given: object = spec.kind
    kind = given if isinstance(given, str) else ""
    if kind not in KINDS:
        yield Problem(f"unknown kind {spec.kind!r}.", "scenario kind", suggestion(str(spec.kind), KINDS))
    if not is_count(spec.horizon_days):
        yield Problem(f"{spec.horizon_days!r} is no count of days.", "horizon_days", "Give 1 or more.")
    if kind not in {"stress", "grid"} and not is_positive(spec.lookback_years):
        yield Problem(f"{spec.lookback_years!r} is no length.", "lookback_years", "Give years above 0.")
    if spec.stress_period is None:
        if kind == "stress":
            yield Problem("is missing.", "stress_period", "Give its first and last day.")
    elif not _is_period(spec.stress_period):
        yield Problem("is no period.", "stress_period", "Give its first and last day, in this order.")


def _filter_problems(spec: ScenarioSpec) -> Iterable[Problem]:
    kind: object = spec.kind
    if isinstance(kind, str) and kind == "filtered":
        yield from decay_problems(spec.decay)
        yield from seed_problems(spec.seed_days)
        yield from filter_problems(spec.scaling, spec.volatility_floor, spec.ratio_cap)
        return
    given = {
        "decay": spec.decay,
        "volatility_floor": spec.volatility_floor,
        "ratio_cap": spec.ratio_cap,
        "correlation": spec.correlation,
    }
    for name, value in given.items():
        if value is not None:
            yield Problem(f"has no use for kind {spec.kind!r}.", name, "Leave it out, or use kind 'filtered'.")


def _is_period(period: tuple[date, ...]) -> bool:
    return len(period) == 2 and all(isinstance(day, date) for day in period) and period[0] <= period[1]


def _set_problems(drawn: ScenarioSet) -> Iterable[Problem]:
    yield from tenor_problems(drawn.tenors)
    if drawn.shifts.ndim != 2 or drawn.shifts.shape[0] != drawn.tenors.size or not drawn.shifts.size:
        fix = f"Give one row for each of the {drawn.tenors.size} tenors and at least one scenario."
        yield Problem(f"have shape {drawn.shifts.shape}.", "shifts", fix)
        return
    if drawn.uncorrelated is not None and drawn.uncorrelated.shape != drawn.shifts.shape:
        yield Problem(f"has shape {drawn.uncorrelated.shape}.", "uncorrelated", "Give the shape of the shifts.")
    bad = np.argwhere(~np.isfinite(drawn.shifts))
    if bad.size:
        row, column = bad[0].tolist()
        what = f"{len(bad)} are not finite, first {tenor_name(drawn.tenors[row])} in scenario {column + 1}."
        yield Problem(what, "shifts", "Give a number for every tenor and scenario.")
    for name, moves in (("spot_moves", drawn.spot_moves), ("volatility_moves", drawn.volatility_moves)):
        yield from _move_problems(name, moves, drawn.shifts.shape[1])
    for name, days in (("starts", drawn.starts), ("ends", drawn.ends)):
        if len(days) not in (0, drawn.shifts.shape[1]):
            fix = "Give one date for each scenario, or none."
            yield Problem(f"{counted(len(days), 'date')} for {counted(drawn.shifts.shape[1], 'scenario')}.", name, fix)


def _move_problems(name: str, moves: Mapping[str, FloatArray], n_scenarios: int) -> Iterable[Problem]:
    for symbol, move in moves.items():
        if move.shape != (n_scenarios,):
            fix = f"Give one number for each of the {n_scenarios} scenarios."
            yield Problem(f"has shape {move.shape}.", f"{name} of {symbol}", fix)
        elif not np.isfinite(move).all() or (name == "spot_moves" and (move <= -1.0).any()):
            yield Problem("holds moves that leave no price.", f"{name} of {symbol}", "Give finite moves above -1.")


def _years_before(day: date, years: float) -> date:
    """Return the same day of the month that many years (whole months) earlier, clipped to the month."""
    months = day.year * 12 + day.month - 1 - round(12 * years)
    year, month = divmod(months, 12)
    if year < date.min.year:
        return date.min
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _chosen(spec: ScenarioSpec, dates: tuple[date, ...], notes: list[str]) -> tuple[IntArray, BoolArray]:
    """Return the rows on which the chosen changes end, and which of them are of the look-back."""
    rows = np.arange(min(spec.horizon_days, len(dates)), len(dates))
    days = np.fromiter(map(date.toordinal, dates[len(dates) - rows.size :]), dtype=np.int64, count=rows.size)
    recent = np.zeros(rows.size, dtype=bool)
    if spec.kind != "stress" and dates:
        before = _years_before(dates[-1], spec.lookback_years)
        recent = days > before.toordinal()
        if dates[0] > before:
            held = (dates[-1] - dates[0]).days / 365.25
            notes.append(f"history begins {dates[0]}: {held:.1f} years of look-back, not {spec.lookback_years:g}")
    stressed = np.zeros(rows.size, dtype=bool)
    if spec.stress_period is not None:
        first, last = (day.toordinal() for day in spec.stress_period)
        stressed = (days >= first) & (days <= last)
        notes.append(_stress_note(spec, stressed, recent))
    stressed &= ~recent
    in_lookback = np.arange(recent.sum() + stressed.sum()) < recent.sum()
    return np.concatenate([rows[recent], rows[stressed]]), in_lookback


def _stress_note(spec: ScenarioSpec, stressed: BoolArray, recent: BoolArray) -> str:
    name = "stress period " + " to ".join(str(day) for day in spec.stress_period or ())
    if not stressed.any():
        return f"{name}: the history up to as-of holds no change that ends in it"
    if spec.kind == "stress":
        return f"{name}: {counted(stressed.sum(), 'change')}"
    outside = (stressed & ~recent).sum()
    inside = stressed.sum() - outside
    if not outside:
        return f"{name}: inside the look-back, nothing appended"
    return f"{name}: {counted(outside, 'change')} appended" + (f", {inside} are in the look-back" if inside else "")


def _without_gaps(horizon: int, dates: tuple[date, ...], ends: IntArray, notes: list[str]) -> BoolArray:
    longest = 2 * horizon + GAP_SLACK_DAYS
    spans = [(dates[row] - dates[row - horizon]).days for row in ends]
    kept = np.array([span <= longest for span in spans], dtype=bool)
    if dropped := int((~kept).sum()):
        notes.append(f"{counted(dropped, 'change')} dropped: they span a gap of more than {longest} calendar days")
    return kept


def _factors(tenors: FloatArray, changes: FloatArray, notes: list[str]) -> BoolArray:
    """Return which tenors are factors (rule 5 of `scenario_set`)."""
    late = np.array([min(abs(tenor - point) for point in LATE_BILL_TENORS) < _SAME for tenor in tenors])
    share = np.isfinite(changes).mean(axis=0) if len(changes) else np.zeros(tenors.size)
    sparse = ~late & (share < LEAST_SHARE)
    for tenor, part in zip(tenors[sparse], share[sparse], strict=True):
        notes.append(f"{tenor_name(tenor)} is no factor: quoted for {part:.0%} of the changes")
    return ~late & ~sparse


def _enough_quotes(changes: FloatArray, notes: list[str]) -> BoolArray:
    least = max(1, min(LEAST_TENORS, changes.shape[1]))
    kept: BoolArray = np.isfinite(changes).sum(axis=1) >= least
    if dropped := int((~kept).sum()):
        notes.append(f"{counted(dropped, 'change')} dropped: fewer than {least} tenors quoted on both dates")
    return kept


def _filled(tenors: FloatArray, changes: FloatArray, notes: list[str]) -> FloatArray:
    """Return the changes with every missing one interpolated (rule 7 of `scenario_set`)."""
    missing = np.isnan(changes)
    filled = changes.copy()
    with_gaps = np.flatnonzero(missing.any(axis=1))
    for pattern in np.unique(missing[with_gaps], axis=0):
        rows = with_gaps[(missing[with_gaps] == pattern).all(axis=1)]
        filled[np.ix_(rows, pattern)] = _between(tenors[pattern], tenors[~pattern], changes[np.ix_(rows, ~pattern)])
    counts = missing.sum(axis=0)
    if counts.any():
        parts = [f"{tenor_name(tenors[column])} {counts[column]}" for column in np.flatnonzero(counts)]
        notes.append(f"interpolated between tenors, of {counted(len(changes), 'change')}: {', '.join(parts)}")
    return filled


def _between(at: FloatArray, known: FloatArray, values: FloatArray) -> FloatArray:
    """Return rows of `values` [n, n_known], read at other points linearly, flat beyond the ends, as numpy.interp."""
    right = np.clip(np.searchsorted(known, at), 1, max(1, len(known) - 1))
    low, high = values[:, right - 1], values[:, np.minimum(right, len(known) - 1)]
    span = known[np.minimum(right, len(known) - 1)] - known[right - 1]
    slope = np.divide(high - low, span, out=np.zeros_like(low), where=span > 0.0)
    inside: FloatArray = slope * (at - known[right - 1]) + low
    return np.where(at < known[0], values[:, :1], np.where(at > known[-1], values[:, -1:], inside))


def _recorrelated(
    scaling: CorrelationScaling, changes: FloatArray, in_lookback: BoolArray, notes: list[str]
) -> FloatArray:
    """Return the changes with those of the look-back at the correlations of today."""
    result = changes.copy()
    result[in_lookback] = correlation_scaled(changes[in_lookback], scaling)
    notes.append(f"correlations of the look-back scaled to those of today: {counted(changes.shape[1], 'tenor')}")
    return result


def _rescaled(spec: ScenarioSpec, changes: FloatArray, in_lookback: BoolArray, notes: list[str]) -> FloatArray:
    """Return the changes with those of the look-back rescaled (rule 8 of `scenario_set`)."""
    result = changes.copy()
    result[in_lookback] = filtered_returns(
        changes[in_lookback],
        spec.decay or 0.0,
        scaling=spec.scaling,
        volatility_floor=spec.volatility_floor,
        ratio_cap=spec.ratio_cap,
        seed_days=spec.seed_days,
    ).scaled
    if not in_lookback.all():
        notes.append(f"{(~in_lookback).sum()} stressed changes are not rescaled")
    return result


def _nothing_drawn(spec: ScenarioSpec, history: History, as_of: date) -> Problem:
    window = f"the {spec.lookback_years:g} year{'' if spec.lookback_years == 1.0 else 's'} to {as_of}"
    if spec.kind == "stress":
        window = " to ".join(str(day) for day in spec.stress_period or ())
    span = f"{history.dates[0]} to {history.dates[-1]}, {counted(len(history.dates), 'row')}"
    what = f"no usable {spec.horizon_days}-day change ends in {window}; the history runs {span}."
    fix = "Extend the history (History.extended), or ask for an as-of and windows that it covers."
    return Problem(what, f"scenarios as of {as_of}", fix)
