from __future__ import annotations

import json
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.errors import InputError, NumericalError
from crossmargin.filtering import ewma_volatility, filtered_returns
from crossmargin.io.market_files import packaged_history
from crossmargin.market import History
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, grid_scenarios, scenario_set

CASES = Path(__file__).resolve().parents[1] / ".." / "shared" / "cases" / "var_models.jsonl"
TENORS = [0.25, 1, 2, 5, 10, 30]


def business_days(count: int, start: date = date(2016, 1, 4)) -> list[date]:
    days = (start + timedelta(days=offset) for offset in range(2 * count + 7))
    return [day for day in days if day.weekday() < 5][:count]


def a_history(count: int = 300, *, seed: int = 7, tenors=TENORS, start: date = date(2016, 1, 4)) -> History:
    steps = np.random.default_rng(seed).normal(0, 4e-4, (count, len(tenors)))
    return History(business_days(count, start), tenors, 0.03 + np.cumsum(steps, axis=0), "made up")


def blanked(history: History, rows, columns) -> History:
    par = history.par.copy()
    par[np.ix_(np.atleast_1d(rows), np.atleast_1d(columns))] = np.nan
    return History(history.dates, history.tenors, par)


# ------------------------------------------------------------------------------------------------- the spec


def test_a_spec_is_hashable_and_lists_become_periods() -> None:
    period = [date(2008, 9, 2), date(2009, 3, 31)]
    spec = ScenarioSpec("historical", 3, 10, period)
    assert spec == ScenarioSpec("historical", 3, 10, tuple(period))
    assert len({spec, ScenarioSpec("historical", 3, 10, period)}) == 1


def test_every_problem_of_a_spec_at_once() -> None:
    with pytest.raises(InputError) as caught:
        ScenarioSpec(
            "filterd", 0, float("nan"), (date(2009, 1, 1), date(2008, 1, 1)), decay=0.9, ratio_cap=2, scaling="x"
        )
    text = str(caught.value)
    assert "Did you mean 'filtered'?" in text
    assert len(caught.value.problems) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"horizon_days": True},
        {"horizon_days": 1.5},
        {"lookback_years": 0},
        {"lookback_years": float("inf")},
        {"kind": "stress"},
        {"stress_period": (date(2008, 1, 1),)},
        {"stress_period": ("2008-01-01", "2008-02-01")},
        {"kind": "filtered"},
        {"kind": "filtered", "decay": 1.0},
        {"kind": "filtered", "decay": 0.0},
        {"kind": "filtered", "decay": 0.97, "scaling": "double"},
        {"kind": "filtered", "decay": 0.97, "volatility_floor": -1e-4},
        {"kind": "filtered", "decay": 0.97, "ratio_cap": 0},
        {"decay": 0.97},
    ],
)
def test_a_wrong_field_is_one_problem(wrong) -> None:
    right = {"kind": "historical", "horizon_days": 1, "lookback_years": 1}
    with pytest.raises(InputError) as caught:
        ScenarioSpec(**(right | wrong))
    assert len(caught.value.problems) == 1


# ------------------------------------------------------------------------------------------------- the set


@pytest.mark.parametrize("horizon", [1, 3, 10])
def test_overlapping_changes_one_for_each_row(horizon) -> None:
    history = a_history(120)
    drawn = scenario_set(ScenarioSpec("historical", horizon, 5), history, history.dates[-1])
    assert drawn.shifts.shape == (len(TENORS), 120 - horizon)
    np.testing.assert_array_equal(drawn.shifts.T, history.par[horizon:] - history.par[:-horizon])
    assert drawn.starts == history.dates[:-horizon]
    assert drawn.ends == history.dates[horizon:]
    assert "years of look-back, not 5" in drawn.notes[0]


def test_the_lookback_is_open_at_its_far_end() -> None:
    history = a_history(700)
    as_of = date(2018, 2, 28)
    drawn = scenario_set(ScenarioSpec("historical", 1, 1), history, as_of)
    assert drawn.ends[0] == date(2017, 3, 1)
    assert drawn.ends[-1] == as_of
    assert drawn.notes == ()
    leap = scenario_set(ScenarioSpec("historical", 1, 1), a_history(700, start=date(2014, 9, 1)), date(2016, 2, 29))
    assert leap.ends[0] == date(2015, 3, 2)


@given(st.integers(0, 400), st.integers(1, 5), st.booleans())
@settings(max_examples=30, deadline=None)
def test_nothing_after_as_of_is_read(cut, horizon, filtered) -> None:
    history = a_history(420)
    end = 20 + cut % 380
    spec = ScenarioSpec("filtered", horizon, 1, decay=0.97) if filtered else ScenarioSpec("historical", horizon, 1)
    past = History(history.dates[: end + 1], TENORS, history.par[: end + 1])
    whole = scenario_set(spec, history, history.dates[end])
    alone = scenario_set(spec, past, history.dates[end])
    np.testing.assert_array_equal(whole.shifts, alone.shifts)
    assert (whole.starts, whole.ends, whole.notes) == (alone.starts, alone.ends, alone.notes)
    assert max(whole.ends) <= history.dates[end]


def test_the_order_of_columns_does_not_matter_before_loading() -> None:
    history = a_history(60)
    spec = ScenarioSpec("historical", 2, 1)
    halves = [History(history.dates, history.tenors[part], history.par[:, part]) for part in ([1, 3, 5], [0, 2, 4])]
    for first, second in (halves, halves[::-1]):
        drawn = scenario_set(spec, first.extended(second), history.dates[-1])
        np.testing.assert_array_equal(drawn.shifts, scenario_set(spec, history, history.dates[-1]).shifts)


def test_a_history_that_ends_early_anchors_the_lookback_and_says_so() -> None:
    history = a_history(600)
    spec = ScenarioSpec("historical", 1, 1)
    at_end = scenario_set(spec, history, history.dates[-1])
    later = scenario_set(spec, history, history.dates[-1] + timedelta(days=1000))
    np.testing.assert_array_equal(at_end.shifts, later.shifts)
    assert "look-back anchored at its end" in later.notes[0]


def test_a_stress_period_outside_is_appended_and_inside_is_not_doubled() -> None:
    history = a_history(900)
    as_of = history.dates[-1]
    plain = scenario_set(ScenarioSpec("historical", 1, 1), history, as_of)
    period = (history.dates[100], history.dates[149])
    both = scenario_set(ScenarioSpec("historical", 1, 1, period), history, as_of)
    assert both.ends == plain.ends + history.dates[100:150]
    assert both.notes == (f"stress period {period[0]} to {period[1]}: 50 changes appended",)
    inside = scenario_set(ScenarioSpec("historical", 1, 1, plain.ends[10:12]), history, as_of)
    assert inside.ends == plain.ends
    assert "nothing appended" in inside.notes[0]
    first = history.dates.index(plain.ends[0])
    across = (history.dates[first - 4], history.dates[first + 5])
    partly = scenario_set(ScenarioSpec("historical", 1, 1, across), history, as_of)
    assert len(partly.ends) == len(plain.ends) + 4
    assert "4 changes appended, 6 are in the look-back" in partly.notes[0]
    assert len(set(partly.ends)) == len(partly.ends)


def test_stress_alone_and_stress_that_has_not_happened_yet() -> None:
    history = a_history(300)
    period = (history.dates[100], history.dates[119])
    drawn = scenario_set(ScenarioSpec("stress", 3, 0, period), history, history.dates[-1])
    assert drawn.ends == history.dates[100:120]
    cut = scenario_set(ScenarioSpec("stress", 3, 0, period), history, history.dates[110])
    assert cut.ends == history.dates[100:111]
    with pytest.raises(InputError, match="no usable 3-day change"):
        scenario_set(ScenarioSpec("stress", 3, 0, period), history, history.dates[90])
    unseen = scenario_set(ScenarioSpec("historical", 3, 1, period), history, history.dates[90])
    assert "holds no change that ends in it" in " ".join(unseen.notes)


@pytest.mark.parametrize(("rows", "as_of"), [(1, date(2016, 1, 4)), (3, date(2016, 1, 6)), (50, date(2001, 1, 1))])
def test_nothing_to_draw_is_refused_with_the_span(rows, as_of) -> None:
    with pytest.raises(InputError, match=rf"3-day change .* the history runs 2016-01-04 .* {rows} rows?[.]"):
        scenario_set(ScenarioSpec("historical", 3, 1), a_history(rows), as_of)


def test_a_gap_in_the_rows_is_dropped_and_counted() -> None:
    whole = a_history(100)
    rows = [row for row in range(100) if not 40 <= row < 50]
    history = History([whole.dates[row] for row in rows], TENORS, whole.par[rows])
    drawn = scenario_set(ScenarioSpec("historical", 3, 1), history, history.dates[-1])
    assert len(drawn.ends) == 90 - 3 - 3
    assert "3 changes dropped: they span a gap of more than 11 calendar days" in drawn.notes
    fortnightly = History(whole.dates[::10], TENORS, whole.par[::10])
    with pytest.raises(InputError, match="no usable"):
        scenario_set(ScenarioSpec("historical", 1, 1), fortnightly, fortnightly.dates[-1])


@pytest.mark.parametrize("spec", [("historical", {}), ("filtered", {"decay": 0.97})])
def test_stress_alone_never_stands_in_for_a_lookback(spec) -> None:
    kind, more = spec
    whole = a_history(60)
    late = date(2019, 1, 2)  # one row, years after the others: its only change spans a gap
    history = History([*whole.dates, late], TENORS, np.vstack([whole.par, whole.par[-1:]]))
    period = (whole.dates[5], whole.dates[20])
    assert len(scenario_set(ScenarioSpec("stress", 1, 0, period), history, late).ends) == 16
    with pytest.raises(InputError, match="no usable"):
        scenario_set(ScenarioSpec(kind, 1, 1, period, **more), history, late)


def test_a_missing_tenor_is_interpolated_and_counted() -> None:
    whole = a_history(50, tenors=[0.25, 1, 2, 5, 7, 10, 30])
    history = blanked(whole, [20], [2])
    drawn = scenario_set(ScenarioSpec("historical", 1, 1), history, history.dates[-1])
    for row in (19, 20):
        step = whole.par[row + 1] - whole.par[row]
        assert drawn.shifts[2, row] == pytest.approx(step[1] + (step[3] - step[1]) / 4)
    assert drawn.notes[-1] == "interpolated between tenors, of 49 changes: 2Y 2"


def test_front_and_back_are_filled_flat() -> None:
    whole = a_history(50, tenors=[0.25, 1, 2, 5, 7, 10, 30])
    history = blanked(whole, [20], [0, 6])
    drawn = scenario_set(ScenarioSpec("historical", 1, 1), history, history.dates[-1])
    step = whole.par[21] - whole.par[20]
    assert drawn.shifts[0, 20] == step[1]
    assert drawn.shifts[6, 20] == step[5]
    assert drawn.notes[-1] == "interpolated between tenors, of 49 changes: 3M 2, 30Y 2"


def test_few_quotes_drop_a_change_and_few_tenors_are_all_needed() -> None:
    history = blanked(a_history(50), [20], [0, 1])
    drawn = scenario_set(ScenarioSpec("historical", 1, 1), history, history.dates[-1])
    assert len(drawn.ends) == 47
    assert drawn.notes[-1] == "2 changes dropped: fewer than 5 tenors quoted on both dates"
    small = blanked(a_history(50, tenors=[1, 2]), [20], [0])
    assert len(scenario_set(ScenarioSpec("historical", 1, 1), small, small.dates[-1]).ends) == 47


def test_late_bills_are_no_factors_and_sparse_tenors_are_named() -> None:
    history = a_history(60, tenors=[0.125, 2 / 12, 0.25, 4 / 12, 1, 2, 5, 10, 20, 30])
    history = blanked(history, range(40), [8])
    drawn = scenario_set(ScenarioSpec("historical", 1, 1), history, history.dates[-1])
    assert drawn.tenors.tolist() == [0.25, 1, 2, 5, 10, 30]
    assert "20Y is no factor: quoted for 32% of the changes" in drawn.notes


def test_all_tenors_sparse_is_refused() -> None:
    history = a_history(40, tenors=[1, 2])
    par = history.par.copy()
    par[::2, 0] = par[1::2, 1] = np.nan
    with pytest.raises(InputError, match="no usable"):
        scenario_set(ScenarioSpec("historical", 1, 1), History(history.dates, [1, 2], par), history.dates[-1])


def test_filtered_rescales_the_lookback_and_leaves_the_stress() -> None:
    history = a_history(900)
    as_of = history.dates[-1]
    period = (history.dates[100], history.dates[149])
    plain = scenario_set(ScenarioSpec("historical", 3, 1, period), history, as_of)
    spec = ScenarioSpec("filtered", 3, 1, period, decay=0.97, ratio_cap=2, volatility_floor=2e-4, scaling="half")
    drawn = scenario_set(spec, history, as_of)
    n = len(plain.ends) - 50
    expected = filtered_returns(plain.shifts[:, :n].T, 0.97, scaling="half", volatility_floor=2e-4, ratio_cap=2)
    np.testing.assert_array_equal(drawn.shifts[:, :n], expected.scaled.T)
    np.testing.assert_array_equal(drawn.shifts[:, n:], plain.shifts[:, n:])
    assert drawn.notes[-1] == "50 stressed changes are not rescaled"


def test_the_packaged_history_has_known_gaps() -> None:
    history = packaged_history()
    early = scenario_set(ScenarioSpec("historical", 1, 3), history, date(1993, 6, 30))
    assert 20.0 not in early.tenors
    assert any(note.startswith("20Y is no factor") for note in early.notes)
    middle = scenario_set(ScenarioSpec("historical", 1, 3), history, date(2005, 6, 30))
    assert 30.0 not in middle.tenors
    crisis = (date(2008, 9, 2), date(2009, 3, 31))
    drawn = scenario_set(ScenarioSpec("historical", 3, 7, crisis), history, date(2016, 12, 30))
    assert len(drawn.tenors) == 11
    assert drawn.ends[0] == date(2009, 12, 31)
    assert sum(crisis[0] <= end <= crisis[1] for end in drawn.ends) > 140


def test_a_long_lookback_reaches_beyond_the_calendar() -> None:
    history = a_history(30)
    drawn = scenario_set(ScenarioSpec("historical", 1, 5000), history, history.dates[-1])
    assert len(drawn.ends) == 29


def test_twelve_years_are_drawn_quickly() -> None:
    history = a_history(3000)
    spec = ScenarioSpec("filtered", 3, 10, decay=0.97)
    started = time.thread_time()
    scenario_set(spec, history, history.dates[-1])
    assert time.thread_time() - started < 1.0  # some milliseconds of one core, however busy the machine


@pytest.mark.parametrize(
    ("shifts", "dates", "count"),
    [
        ([[1e-4], [np.nan]], (), 1),
        ([[1e-4]], (), 1),
        ([1e-4, 2e-4], (), 1),
        (np.empty((2, 0)), (), 1),
        ([[1e-4], [1e-4]], (date(2020, 1, 1),) * 2, 2),
    ],
)
def test_malformed_sets_are_refused(shifts, dates, count) -> None:
    with pytest.raises(InputError) as caught:
        ScenarioSet(ScenarioSpec("historical", 1, 1), [1, 2], shifts, dates, dates)
    assert len(caught.value.problems) == count


def test_a_set_that_was_never_observed_needs_no_dates() -> None:
    drawn = ScenarioSet(ScenarioSpec("historical", 1, 1), [1, 2], [[0.01, -0.01], [0.01, -0.01]])
    assert drawn.starts == drawn.ends == ()
    with pytest.raises(ValueError, match="read-only"):
        drawn.shifts[0, 0] = 1.0


# ------------------------------------------------------------------------------------- spots and volatilities


def moving(**moves) -> ScenarioSet:
    return ScenarioSet(ScenarioSpec("grid", 1, 0.0), [1.0], [[0.0, 0.0]], **moves)


def test_moves_are_kept_read_only_by_symbol() -> None:
    mine = np.array([0.1, -0.2])
    drawn = moving(spot_moves={"XYZ": mine, "ABC": [0, 1]}, volatility_moves={"XYZ": (0.05, -3.0)})
    mine[0] = 9.0
    assert drawn.spot_moves["XYZ"].tolist() == [0.1, -0.2]
    assert drawn.spot_moves["ABC"].dtype == np.float64
    assert drawn.volatility_moves["XYZ"].tolist() == [0.05, -3.0]
    with pytest.raises(ValueError, match="read-only"):
        drawn.spot_moves["XYZ"][0] = 0.0
    assert moving().spot_moves == moving().volatility_moves == {}


@pytest.mark.parametrize("wrong", [[], [0.1], [0.1, 0.2, 0.3], [[0.1, 0.2]], 0.1, [np.nan, 0.0], [0.0, np.inf]])
@pytest.mark.parametrize("name", ["spot_moves", "volatility_moves"])
def test_moves_that_do_not_fit_are_refused_by_symbol(name, wrong) -> None:
    with pytest.raises(InputError, match=f"{name} of XYZ"):
        moving(**{name: {"ABC": [0.0, 0.0], "XYZ": wrong}})


def test_a_spot_cannot_fall_to_nothing_a_volatility_can() -> None:
    with pytest.raises(InputError, match="spot_moves of XYZ"):
        moving(spot_moves={"XYZ": [0.0, -1.0]})
    moving(spot_moves={"XYZ": [0.0, -0.999999]}, volatility_moves={"XYZ": [0.0, -1.0]})


def test_every_bad_move_is_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        moving(spot_moves={"A": [0.0], "B": [-2.0, 0.0]}, volatility_moves={"A": [np.nan, 0.0]})
    said = [each.where for each in caught.value.problems]
    assert said == ["spot_moves of A", "spot_moves of B", "volatility_moves of A"]


@given(st.lists(st.floats(-0.99, 5.0), min_size=1, max_size=6), st.lists(st.floats(-1.0, 5.0), min_size=1, max_size=6))
def test_a_grid_holds_every_combination_once(spots, volatilities) -> None:
    grid = grid_scenarios(["XYZ", "ABC"], spots, volatilities)
    pairs = list(zip(grid.spot_moves["XYZ"].tolist(), grid.volatility_moves["XYZ"].tolist(), strict=True))
    assert pairs == [(spot, volatility) for spot in spots for volatility in volatilities]
    np.testing.assert_array_equal(grid.spot_moves["ABC"], grid.spot_moves["XYZ"])
    assert not grid.shifts.any()
    assert (grid.spec.kind, grid.starts, grid.ends) == ("grid", (), ())


def test_a_grid_of_spots_alone_leaves_volatility_and_no_symbol_no_moves() -> None:
    assert grid_scenarios(iter(["XYZ"]), [0.1]).volatility_moves["XYZ"].tolist() == [0.0]
    assert grid_scenarios([], [0.1, 0.2]).spot_moves == {}


@pytest.mark.parametrize(("spots", "volatilities"), [([], [0.0]), ([0.1], []), ([-1.0], [0.0]), ([0.1], [np.nan])])
def test_a_grid_of_nothing_or_of_no_prices_is_refused(spots, volatilities) -> None:
    with pytest.raises(InputError):
        grid_scenarios(["XYZ"], spots, volatilities)


def test_one_symbol_in_the_place_of_a_list_is_refused_or_meant() -> None:
    try:
        assert set(grid_scenarios("XYZ", [0.1]).spot_moves) == {"XYZ"}
    except InputError:
        return


def test_a_grid_is_drawn_from_no_history_and_takes_no_filter() -> None:
    with pytest.raises(InputError, match="no usable"):
        scenario_set(ScenarioSpec("grid", 1, 0.0), a_history(30), date(2016, 2, 1))
    with pytest.raises(InputError, match="decay"):
        ScenarioSpec("grid", 1, 0.0, decay=0.97)


# ---------------------------------------------------------------------------------------------- the filter


def filter_cases():
    if not CASES.exists():
        return []
    cases = (json.loads(line) for line in CASES.read_text("utf-8").splitlines())
    return [case for case in cases if case["family"] == "var.filtered_returns"]


@pytest.mark.skipif(not CASES.exists(), reason="worked cases are not beside the repository")
def test_the_worked_cases_of_filtered_returns() -> None:
    cases = filter_cases()
    assert cases
    for case in cases:
        given_, expected = case["inputs"], case["expected"]
        result = filtered_returns(
            given_["returns"],
            given_["decay_factor"],
            scaling=given_["scaling"],
            volatility_floor=given_["volatility_floor"],
        )
        np.testing.assert_allclose(result.volatility, expected["volatility"], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(result.forecast_volatility, expected["forecast_volatility"], rtol=1e-8)
        np.testing.assert_allclose(result.scaled, expected["scaled_returns"], rtol=1e-8, atol=1e-12)


def slow_filter(returns, decay, floor=None):
    variance = returns[0] ** 2
    seen = []
    for value in returns:
        seen.append(variance**0.5)
        variance = decay * variance + (1 - decay) * value**2
    top = max(variance**0.5, floor or 0.0)
    return [value if s == 0 else value * top / s for value, s in zip(returns, seen, strict=True)]


returns_of = st.lists(st.floats(-0.05, 0.05).map(lambda x: round(x, 6)), min_size=1, max_size=40)


@given(returns_of, st.floats(0.5, 0.999), st.one_of(st.none(), st.floats(0, 0.1)))
def test_the_filter_equals_its_slow_twin(returns, decay, floor) -> None:
    result = filtered_returns(returns, decay, volatility_floor=floor)
    np.testing.assert_allclose(result.scaled, slow_filter(returns, decay, floor), rtol=1e-9, atol=1e-300)


@given(st.floats(1e-6, 0.1), st.lists(st.booleans(), min_size=1, max_size=50), st.floats(0.5, 0.999))
def test_constant_volatility_is_left_alone(size, signs, decay) -> None:
    returns = np.where(signs, size, -size)
    for scaling in ("full", "half"):
        np.testing.assert_allclose(filtered_returns(returns, decay, scaling=scaling).scaled, returns, rtol=1e-12)


@given(returns_of, st.integers(-60, 60))
def test_powers_of_two_pass_through_exactly(returns, power) -> None:
    plain = filtered_returns(returns, 0.97).scaled
    np.testing.assert_array_equal(filtered_returns(np.ldexp(returns, power), 0.97).scaled, np.ldexp(plain, power))


def test_series_are_filtered_one_by_one() -> None:
    table = np.random.default_rng(3).normal(0, 1e-3, (200, 4))
    result = filtered_returns(table, 0.97, volatility_floor=1e-3)
    assert result.forecast_volatility.shape == (4,)
    for column in range(4):
        alone = filtered_returns(table[:, column], 0.97, volatility_floor=1e-3)
        np.testing.assert_array_equal(result.scaled[:, column], alone.scaled)
        np.testing.assert_array_equal(result.volatility[:, column], alone.volatility)


def test_leading_zeros_give_no_nan_and_stay() -> None:
    result = filtered_returns([0.0, 0.0, 0.01, 0.01], 0.9)
    assert np.isfinite(result.scaled).all()
    assert result.scaled[:3].tolist() == [0.0, 0.0, 0.01]
    assert filtered_returns([0.0] * 5, 0.9).scaled.tolist() == [0.0] * 5
    assert filtered_returns([0.0] * 5, 0.9, volatility_floor=0.1).scaled.tolist() == [0.0] * 5


def test_the_cap_limits_the_ratio_that_is_applied() -> None:
    returns = [1e-6, *[0.01] * 50]
    assert filtered_returns(returns, 0.97).scaled[1] > 0.05
    capped = filtered_returns(returns, 0.97, ratio_cap=3)
    assert capped.scaled[1] == pytest.approx(0.03)
    assert filtered_returns(returns, 0.97, ratio_cap=3, scaling="half").scaled[1] == pytest.approx(0.02)
    assert filtered_returns(returns, 0.97, ratio_cap=1e-3).scaled[1] == pytest.approx(1e-5)


def test_tiny_and_huge_returns_keep_their_volatility() -> None:
    for size in (1e-200, 5e-324, 1e200, 1e308):
        volatility, forecast = ewma_volatility([size, -size, size], 0.97)
        np.testing.assert_allclose(volatility, size)
        np.testing.assert_allclose(forecast, size)
    with pytest.raises(NumericalError):
        filtered_returns([1e-10, 1e-10], 0.97, volatility_floor=1e300)


@pytest.mark.parametrize("returns", [[], [np.nan], [0.01, np.inf], [[[0.01]]], 0.01, ["x"]])
def test_bad_returns_are_refused(returns) -> None:
    with pytest.raises(InputError):
        filtered_returns(returns, 0.97)


@pytest.mark.parametrize("decay", [0, 1, -0.5, 2, np.nan, None])
def test_bad_decay_is_refused(decay) -> None:
    with pytest.raises(InputError, match="decay"):
        ewma_volatility([0.01], decay)


def test_bad_filter_parameters_are_refused_together() -> None:
    with pytest.raises(InputError) as caught:
        filtered_returns([0.01], 0.97, scaling="ful", volatility_floor=-1, ratio_cap=0)
    assert len(caught.value.problems) == 3
    assert "Did you mean 'full'?" in str(caught.value)
