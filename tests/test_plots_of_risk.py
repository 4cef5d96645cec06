"""Pictures of scenarios, days and tenors: what stands in them is what the figures say."""

from __future__ import annotations

import importlib.util
import sys
from datetime import date, timedelta
from functools import cache
from math import inf, nan

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin import plots, samples
from crossmargin.analysis.attribution import Attribution
from crossmargin.analysis.margin_series import Gap, MarginSeries
from crossmargin.analysis.protection import Frontier
from crossmargin.collateral import CollateralReport
from crossmargin.errors import InputError
from crossmargin.key_rates import KeyRates
from crossmargin.pnl import PnL, revalue
from crossmargin.portfolio import Position
from crossmargin.products import ETF
from crossmargin.results import Comparison, Line, Report, bridged, not_modelled, total
from crossmargin.risk import expected_shortfall, value_at_risk
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, grid_scenarios

DAY = date(2026, 6, 30)
installed = importlib.util.find_spec("matplotlib") is not None
pytestmark = pytest.mark.skipif(not installed, reason="matplotlib, the extra `plots`, is not installed")
amounts = st.floats(-1e9, 1e9).map(lambda each: round(each, 2))


def keys(figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def texts(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


def drawn(figure):
    """Drawing it finds what setting it up does not."""
    figure.draw_without_rendering()
    return figure


def test_a_waterfall_of_what_nobody_models_draws_no_bar_and_says_so():
    ends = [not_modelled(f"{name} total", "no rule") for name in "ab"]
    found = Attribution("a", "b", "clearing", "in_force", bridged(ends[0], [Line("s", 0.0)], ends[1]))
    figure = plots.waterfall(found)
    [axis] = figure.axes
    assert not axis.patches
    assert texts(axis) == ["not modelled"] * 3
    assert "*" not in figure.get_suptitle(), "no figure has a star"
    part = bridged(total("a total", [Line("known", 1.0), not_modelled("gap", "no rule")]), [], Line("b total", 1.0))
    assert "* leaves something out" in plots.waterfall(evolve(found, line=part)).get_suptitle()


@pytest.mark.parametrize("wrong", [None, [], Report("siloed", "", "in_force", DAY)])
def test_what_cannot_be_drawn_is_refused(wrong):
    for draw in (plots.regimes, plots.waterfall, plots.pots, plots.frontier, plots.margin_history):
        with pytest.raises(InputError, match=r"was given\. Give what "):
            draw(wrong)
    with pytest.raises(InputError) as caught:
        plots.heat_map(wrong, None)
    assert [problem.where for problem in caught.value.problems] == ["pnl", "positions"]
    with pytest.raises(InputError) as caught:
        plots.key_rates(wrong, wrong)
    assert [problem.where for problem in caught.value.problems] == ["found", "held"]


# --------------------------------------------------------------------------------------------------- distributions


@settings(max_examples=15, deadline=None)
@given(st.lists(amounts, min_size=1, max_size=60), st.sampled_from([0.5, 0.95, 0.99]))
def test_every_scenario_stands_in_one_bar_and_the_shaded_ones_lie_beyond_value_at_risk(gains, confidence):
    [axis] = plots.pnl_distribution(gains, confidence=confidence).axes
    counts = {bool(bars.get_hatch()): bars.get_data().values.sum() for bars in axis.patches}
    assert sum(counts.values()) == len(gains)
    assert counts.get(True, 0) == sum(-gain > value_at_risk(gains, confidence) for gain in gains)


def test_lines_stand_at_the_measures_and_the_requirement():
    gains = np.random.default_rng(1).normal(0.0, 2e6, 500)
    figure = plots.pnl_distribution(gains, requirement=7e6, name="A", status="proposed", as_of=DAY)
    at = sorted(line.get_xdata()[0] for line in figure.axes[0].lines)
    known = sorted((-7.0, -value_at_risk(gains, 0.99) / 1e6, -expected_shortfall(gains, 0.99) / 1e6))
    assert at == pytest.approx(known)
    assert "required: 7.00" in keys(figure)
    assert any(key.startswith("value at risk, 99% of 500 scenarios: ") for key in keys(figure))
    assert "A, 2026-06-30 (proposed: no such rule is in force)" in figure.get_suptitle()
    assert figure.axes[0].get_xlabel() == "gain or loss, USD million"


@pytest.mark.parametrize("gains", [[0.0], [5.0] * 9, [1e9, -1e9], [1e300, -1e300], [0.0, 0.0, -1.0]])
def test_ties_one_scenario_and_far_ends_are_drawn(gains):
    drawn(plots.pnl_distribution(gains, confidence=0.5, requirement=0.0))


@pytest.mark.parametrize(
    ("gains", "more"),
    [([], {}), ([[1.0]], {}), ([nan], {}), ([1.0], {"requirement": -1.0}), ([1.0], {"requirement": inf})],
)
def test_what_is_no_distribution_is_refused(gains, more):
    with pytest.raises(InputError):
        plots.pnl_distribution(gains, **more)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(InputError) as caught:
        plots.pnl_distribution([nan, 1.0], requirement=nan)
    assert len(caught.value.problems) == 2


# -------------------------------------------------------------------------------------------------------- histories


def series(pnl: list[float], required: list[float], *, gaps: tuple[int, ...] = ()) -> MarginSeries:
    days = [DAY + timedelta(n) for n in range(len(pnl) + len(gaps))]
    missing = [days[n] for n in gaps]
    kept = [day for day in days if day not in missing]
    told = [Gap(day, "no row") for day in missing]
    return MarginSeries("ZN", "ficc_gsd", 3, 0.99, kept, required, pnl, told)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(amounts | st.just(nan), st.floats(0.0, 1e9)), max_size=20))
def test_marks_stand_where_losses_go_beyond_the_requirement(days):
    found = series([gain for gain, _ in days], [asked for _, asked in days])
    figure = plots.margin_history(found)
    marks = figure.axes[0].lines[2]
    beyond = [gain for gain, asked in days if -gain > asked]
    known = sum(not np.isnan(gain) for gain, _ in days)
    assert len(marks.get_xdata()) == len(beyond)
    assert f"loss beyond the requirement: {len(beyond)} of {known}" in keys(figure)


def test_a_day_without_figures_breaks_the_line_and_is_counted():
    figure = plots.margin_history(series([1.0, -5.0, 2.0], [2.0, 3.0, 4.0], gaps=(2,)))
    asked = figure.axes[0].lines[1].get_ydata()
    assert np.isnan(asked).tolist() == [False, False, True, False]
    assert asked[[0, 1, 3]].tolist() == [-2.0, -3.0, -4.0]
    assert "1 day without figures" in figure.get_suptitle()
    assert "ZN under ficc_gsd (in force)" in figure.get_suptitle()
    assert "gain or loss over 3 days" in keys(figure)
    drawn(figure)


def test_gaps_at_the_ends_and_no_day_at_all():
    assert not np.isnan(plots.margin_history(series([1.0], [2.0], gaps=(0, 2))).axes[0].lines[1].get_ydata()).any()
    assert "No day has figures" in drawn(plots.margin_history(series([], []))).get_suptitle()
    assert "(proposed" in plots.margin_history(series([], []), status="proposed").get_suptitle()
    assert "in force" not in plots.margin_history(evolve(series([], []), ruleset="my own")).get_suptitle()


# -------------------------------------------------------------------------------------------------------- heat maps


@cache
def grid() -> PnL:
    scenarios = grid_scenarios(["QUILL"], [-0.1, 0.0, 0.1], [-0.05, 0.05])
    portfolio, market = samples.equity_options()
    products = [each.product for each in portfolio.positions if "QUILL" in each.product.symbol]
    return revalue(list(dict.fromkeys(products)), market, scenarios)


def held(pnl: PnL, *quantities: float) -> list[Position]:
    return [
        Position(f"p{n}", "A", product, each)
        for n, (product, each) in enumerate(zip(pnl.products, quantities, strict=True))
    ]


def plain(values: list[list[float]]) -> PnL:
    products = [ETF(f"E{row}", "broad_high_cap") for row in range(len(values))]
    count = len(values[0])
    scenarios = ScenarioSet(ScenarioSpec("historical", 1, 1), [1.0], np.zeros((1, count)))
    nothing = np.zeros(len(values))
    return PnL(products, values, nothing, nothing, scenarios)


def test_a_grid_has_a_cell_for_each_pair_of_moves_and_frames_the_worst():
    pnl = grid()
    positions = held(pnl, *([-3.0] * len(pnl.products)))
    figure = drawn(plots.heat_map(pnl, positions, name="A"))
    [axis] = figure.axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["-10%", "unchanged", "+10%"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["-5 points", "+5 points"]
    pooled = pnl.pooled([each.product for each in positions], [each.quantity for each in positions])
    scale = {"USD": 1.0, "USD thousand": 1e3}[axis.get_xlabel().split("; ")[1].split(",")[0]]
    told = np.array([float(text.replace(",", "")) for text in texts(axis)]).reshape(2, 3)
    assert told * scale == pytest.approx(pooled.reshape(3, 2).T, abs=0.006 * scale)
    [frame] = axis.patches
    assert (frame.get_y(), frame.get_x()) == divmod(int(told.argmin()), 3)


def test_other_scenarios_have_a_row_a_position_and_a_column_for_each_of_the_worst():
    pnl = plain([[1.0, -5.0, -3.0, 2.0], [0.0, 1.0, -4.0, 2.0]])
    figure = drawn(plots.heat_map(pnl, held(pnl, 1.0, 2.0), worst=2))
    [axis] = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["all positions", "p0: E0", "p1: E1"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["number\n3", "number\n2"]
    assert texts(axis) == ["-11.00", "-3.00", "-3.00", "-5.00", "-8.00", "2.00"]
    assert not axis.patches


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(st.integers(-99, 99), min_size=3, max_size=3), min_size=1, max_size=30))
def test_the_first_row_is_the_sum_of_all_others(values):
    pnl = plain(values)
    [axis] = plots.heat_map(pnl, held(pnl, *([1.0] * len(values)))).axes
    told = np.array([float(text) for text in texts(axis)]).reshape(-1, 3)
    assert told[0] == pytest.approx(told[1:].sum(axis=0))
    assert len(told) <= 22


def test_nothing_held_is_a_map_of_zeros():
    assert set(texts(drawn(plots.heat_map(grid(), [])).axes[0])) == {"0.00"}
    assert set(texts(drawn(plots.heat_map(plain([[1.0, 2.0]]), [])).axes[0])) == {"0.00"}


@pytest.mark.parametrize("worst", [0, -1, 1.5, True, None])
def test_a_count_that_is_none_is_refused(worst):
    with pytest.raises(InputError, match="no count"):
        plots.heat_map(grid(), [], worst=worst)


def test_what_was_not_revalued_is_refused():
    with pytest.raises(InputError, match="not revalued"):
        plots.heat_map(grid(), [Position("x", "A", ETF("SPY", "broad_high_cap"), 1.0)])


# -------------------------------------------------------------------------------------------------------- key rates

RATES = KeyRates([2.0, 10.0], [[-1.0, -2.0], [3.0, 0.0]], np.zeros((2, 2)))
quantities = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2)


@settings(max_examples=12, deadline=None)
@given(st.dictionaries(st.sampled_from(["FICC", "CME", "LCH"]), quantities, min_size=2))
def test_bars_of_all_pots_add_up_to_the_net(pots):
    [axis] = plots.key_rates(RATES, pots).axes
    size = {"USD": 1.0, "USD thousand": 1e3, "USD million": 1e6}[
        axis.get_ylabel().removesuffix(" for one basis point up")
    ]
    net = [sum(bar.get_height() for bar in axis.patches if round(bar.get_x() + 0.33) == n) * size for n in (0, 1)]
    known = sum(RATES.pooled(each)[0] for each in pots.values())
    assert net == pytest.approx(known, abs=1e-6)
    assert (axis.lines[0].get_ydata() * size).tolist() == pytest.approx(known, abs=1e-6)


def test_one_pot_needs_no_net_and_none_is_an_empty_picture():
    figure = drawn(plots.key_rates(RATES, {"FICC": [1.0, 1.0]}, name="A"))
    assert keys(figure) == ["FICC"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["2Y", "10Y"]
    assert not drawn(plots.key_rates(RATES, {})).axes[0].patches


def test_quantities_that_do_not_fit_are_refused_pot_by_pot():
    with pytest.raises(InputError) as caught:
        plots.key_rates(RATES, {"FICC": [1.0], "CME": [1.0, nan], "LCH": [[1.0, 2.0]], "ICE": [1.0, 2.0]})
    assert len(caught.value.problems) == 3


# ---------------------------------------------------------------------------------------------- results show themselves


def test_results_draw_themselves():
    report = Report("siloed", "t", "in_force", DAY)
    line = total("other total", [Line("siloed total", 1.0)])
    found = [
        report,
        Comparison((report,)),
        CollateralReport(DAY),
        Attribution("siloed", "other", "clearing", "in_force", line, (), (), (), ()),
        Frontier("stress", "leg", "worst", ()),
    ]
    assert [each.plot().get_suptitle().split(" ")[0] for each in found] == [
        "Initial",
        "Initial",
        "Where",
        "From",
        "Savings",
    ]


def test_without_matplotlib_every_result_says_in_one_line_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'crossmargin\[plots\]'"):
        Report("siloed", "t", "in_force", DAY).plot()
    for draw in (lambda: plots.key_rates(RATES, {}), lambda: plots.pnl_distribution([1.0])):
        with pytest.raises(InputError, match="matplotlib is not installed"):
            draw()
