"""FICC's published charges on plain numbers: worked values, ties and borders, what is refused and how."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.conformance import run
from crossmargin.errors import InputError, NumericalError
from crossmargin.ficc_charges import (
    backtesting_charge,
    blackout_adjustment,
    charge_increases,
    correlated_haircut_charge,
    coverage,
    covers,
    intraday_mark_charge,
    portfolio_differential,
    sensitivity_pnl,
    set_charge,
    var_charge,
)
from crossmargin.market import Market, ParCurve
from crossmargin.pnl import revalue
from crossmargin.products import TreasuryNote
from crossmargin.results import Line
from crossmargin.scenarios import ScenarioSet, ScenarioSpec
from crossmargin.worked import clearing
from tests.properties.strategies import AS_OF, history

CASES = Path(__file__).resolve().parents[1] / ".." / "shared" / "cases" / "ficc.jsonl"


def test_shared_cases():
    if not CASES.is_file():
        pytest.skip("the shared worked cases are not beside this checkout")
    outcome = run(CASES, families=clearing.FAMILIES, builtin=False)
    assert outcome.ok, outcome.text()
    assert not any(tally.not_implemented for tally in outcome.families.values())


# -------------------------------------------------------------------------------------------------- sensitivity P&L


def test_each_scenario_by_hand():
    pnl = sensitivity_pnl([-1200.0, 300.0], [4.0, -2.0], [[10.0, -5.0], [0.0, 0.0], [-10.0, 20.0]])
    assert pnl.tolist() == [-12_000 - 1_500 + 200 - 25, 0.0, 12_000 + 6_000 + 200 - 400]


def test_it_comes_near_full_repricing_of_a_bond():
    """A note's own sensitivities, from moves of a basis point, give back moves of fifty to within the third order."""
    note, tenors = TreasuryNote(0.04, date(2034, 2, 15)), [0.25, 2.0, 5.0, 10.0, 30.0]
    curve = ParCurve(AS_OF, tenors, [0.0387, 0.0414, 0.0419, 0.0444, 0.0491])
    market = Market(AS_OF, curve, history())

    def moved(*parallel_bp):
        shifts = np.tile(np.array(parallel_bp) / 1e4, (len(tenors), 1))
        return revalue([note], market, ScenarioSet(ScenarioSpec("historical", 1, 1), tenors, shifts)).row(note)

    up, down = moved(1.0, -1.0)
    by_sensitivity = sensitivity_pnl([(up - down) / 2], [up + down], [[-50.0], [50.0], [100.0]])
    assert by_sensitivity == pytest.approx(moved(-50.0, 50.0, 100.0), rel=3e-3)
    linear = sensitivity_pnl([(up - down) / 2], [0.0], [[-50.0], [50.0], [100.0]])
    assert (linear < by_sensitivity).all()  # a long bond is convex


@pytest.mark.parametrize(
    ("kr01", "convexity", "shocks"),
    [
        ([], [], [[]]),
        ([1.0], [1.0, 2.0], [[1.0]]),
        ([1.0], [1.0], [[1.0, 2.0]]),
        ([1.0], [1.0], [1.0]),
        ([1.0], [1.0], []),
        ([1.0], [1.0], [[]]),
        ([math.nan], [1.0], [[1.0]]),
        ([1.0], [1.0], [[math.inf]]),
        (["a"], [1.0], [[1.0]]),
        ([[1.0]], [[1.0]], [[1.0]]),
    ],
)
def test_sensitivities_that_do_not_fit_are_refused(kr01, convexity, shocks):
    with pytest.raises(InputError):
        sensitivity_pnl(kr01, convexity, shocks)


def test_every_problem_is_listed_at_once():
    with pytest.raises(InputError) as caught:
        sensitivity_pnl([math.nan], [math.inf], [["a"]])
    assert len(caught.value.problems) >= 3


def test_an_overflow_is_an_error_of_its_own():
    with pytest.raises(NumericalError):
        sensitivity_pnl([0.0], [1e300], [[1e10]])


# ----------------------------------------------------------------------------------------------------------- haircuts

ONE = [[1.0, 1.0], [1.0, 1.0]]


def test_correlation_decides_what_offsets():
    assert correlated_haircut_charge([3e5, 2e5], ONE) == pytest.approx(5e5)
    assert correlated_haircut_charge([3e5, -2e5], ONE) == pytest.approx(1e5)
    assert correlated_haircut_charge([3e5, -3e5], ONE) == 0.0
    assert correlated_haircut_charge([3.0, 4.0], np.eye(2)) == pytest.approx(5.0)
    assert correlated_haircut_charge([3.0, 4.0], [[1.0, -1.0], [-1.0, 1.0]]) == pytest.approx(1.0)
    assert correlated_haircut_charge([-7.0], [[1.0]]) == 7.0


def test_nothing_owes_nothing():
    assert correlated_haircut_charge([], np.zeros((0, 0))) == 0.0
    assert correlated_haircut_charge([], []) == 0.0
    assert correlated_haircut_charge([0.0, -0.0], ONE) == 0.0


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e9, 1e200])
def test_amounts_of_any_size(unit):
    assert correlated_haircut_charge([3 * unit, 4 * unit], np.eye(2)) == pytest.approx(5 * unit)


@pytest.mark.parametrize(
    ("amounts", "matrix"),
    [
        ([1.0], []),
        ([1.0, 2.0], [[1.0]]),
        ([1.0, 2.0], [[1.0, 0.5], [0.4, 1.0]]),
        ([1.0, 2.0], [[1.0, 1.5], [1.5, 1.0]]),
        ([1.0, 2.0], [[0.9, 0.0], [0.0, 1.0]]),
        ([math.nan, 2.0], ONE),
        ([1.0, 2.0], [[1.0, math.nan], [math.nan, 1.0]]),
        ([[1.0, 2.0]], ONE),
        ([1.0, 2.0], [[1.0, 0.0], [0.0]]),
    ],
)
def test_a_matrix_of_no_correlations_is_refused(amounts, matrix):
    with pytest.raises(InputError):
        correlated_haircut_charge(amounts, matrix)


def test_a_matrix_that_is_not_semidefinite_is_refused_where_it_shows():
    crossed = [[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]]
    assert correlated_haircut_charge([1.0, 0.0, 0.0], crossed) == 1.0
    with pytest.raises(InputError, match="semidefinite"):
        correlated_haircut_charge([1.0, -1.0, 1.0], crossed)


# --------------------------------------------------------------------------------------------------------- var charge


def charge(model, proxy, percentage=1.1, minimum=4.6):
    return var_charge(model, proxy, floor_percentage_amount=percentage, minimum_margin_amount=minimum)


@pytest.mark.parametrize(
    ("model", "proxy", "amount"),
    [(4.0, None, 4.6), (7.25, None, 7.25), (None, 5.5, 5.5), (None, 2.0, 4.6), (3.0, 99.0, 4.6), (0.0, 99.0, 4.6)],
)
def test_the_proxy_stands_in_and_the_floor_holds(model, proxy, amount):
    assert charge(model, proxy).amount == amount


def test_the_tree_says_which_figure_was_used():
    line = charge(None, 5.5)
    assert [part.name for part in line.parts] == ["margin_proxy", "var_floor"]
    assert line.part("var_floor").amount == 4.6
    assert not line.partial


def test_a_confidential_minimum_is_a_visible_gap():
    line = charge(4.0, None, minimum=None)
    assert (line.amount, line.partial) == (4.0, True)
    assert line.part("minimum_margin_amount").how == "not_modelled"
    unfloored = charge(4.0, None, percentage=None, minimum=None)
    assert (unfloored.amount, unfloored.partial) == (4.0, True)


@pytest.mark.parametrize(
    ("model", "proxy", "percentage", "minimum"),
    [(None, None, 1.0, 1.0), (math.nan, None, 1.0, 1.0), (1.0, None, -1.0, 1.0), (1.0, None, 1.0, math.inf)],
)
def test_amounts_that_are_none_are_refused(model, proxy, percentage, minimum):
    with pytest.raises(InputError):
        charge(model, proxy, percentage, minimum)


# -------------------------------------------------------------------------------------------- portfolio differential


def test_the_mean_is_seeded_with_the_first_increase():
    assert portfolio_differential([4.0], 0.97, 1.0).amount == 4.0
    assert portfolio_differential([4.0, 0.0], 0.97, 1.0).amount == pytest.approx(3.88)
    assert portfolio_differential([4.0, 0.0], 0.97, 0.5).amount == pytest.approx(1.94)
    assert portfolio_differential([4.0, 1.0], 0.0, 1.0).amount == 1.0
    assert portfolio_differential([4.0, 1.0], 1.0, 1.0).amount == 4.0


def test_increases_of_a_series_of_charges():
    assert charge_increases([10.0, 12.0, 7.0, 7.0, 9.5]).tolist() == [2.0, 0.0, 0.0, 2.5]
    assert charge_increases([10.0]).tolist() == []
    falling = charge_increases([9.0, 5.0, 1.0])
    assert portfolio_differential(falling, 0.97, 3.0).amount == 0.0


@pytest.mark.parametrize(
    ("increases", "decay", "multiplier"),
    [
        ([], 0.97, 1.0),
        ([1.0, -0.1], 0.97, 1.0),
        ([math.nan], 0.97, 1.0),
        ([[1.0]], 0.97, 1.0),
        ([1.0], 1.1, 1.0),
        ([1.0], -0.1, 1.0),
        ([1.0], math.nan, 1.0),
        ([1.0], 0.97, -1.0),
        ([1.0], 0.97, math.inf),
    ],
)
def test_a_differential_that_makes_no_sense_is_refused(increases, decay, multiplier):
    with pytest.raises(InputError):
        portfolio_differential(increases, decay, multiplier)


@pytest.mark.parametrize("charges", [[math.nan, 1.0], [[1.0, 2.0]], ["a"]])
def test_charges_that_are_none_are_refused(charges):
    with pytest.raises(InputError):
        charge_increases(charges)


# --------------------------------------------------------------------------------------------------------- backtesting


def backtesting(deficiencies, observations, target=0.99, rank=3):
    return backtesting_charge(deficiencies, observations, coverage_target=target, rank=rank).amount


@pytest.mark.parametrize(
    ("deficiencies", "observations", "charge"),
    [
        ([1.2, 7.5, 3.3, 0.4, 2.1], 250, 2.1),
        ([9.0, 8.0, 7.0], 250, 7.0),
        ([9.0, 8.0], 250, 0.0),  # 99.2 %
        ([9.0, 8.0], 100, 0.0),  # 98 %, but there is no third
        ([5.0, 5.0, 5.0, 5.0], 250, 5.0),
        ([0.0, 0.0, 0.0], 10, 0.0),
        ([], 250, 0.0),
    ],
)
def test_the_third_largest_when_coverage_is_short(deficiencies, observations, charge):
    assert backtesting(deficiencies, observations) == charge


@pytest.mark.parametrize("hundreds", range(1, 30))
def test_coverage_of_exactly_the_target_is_enough(hundreds):
    deficiencies = [1.0] * hundreds
    assert backtesting(deficiencies, 100 * hundreds, rank=1) == 0.0
    assert backtesting([*deficiencies, 1.0], 100 * hundreds, rank=1) == 1.0


def test_coverage():
    assert coverage(0, 1) == 1.0
    assert coverage(1, 1) == 0.0
    assert "98.0000%" in backtesting_charge([1.0] * 5, 250, coverage_target=0.99, rank=1).note


@pytest.mark.parametrize(
    ("deficiencies", "observations", "target", "rank"),
    [
        ([1.0], 0, 0.99, 3),
        ([1.0, 1.0], 1, 0.99, 3),
        ([-1.0], 250, 0.99, 3),
        ([math.nan], 250, 0.99, 3),
        ([1.0], 250.0, 0.99, 3),
        ([1.0], 250, 1.0, 3),
        ([1.0], 250, 0.0, 3),
        ([1.0], 250, 0.99, 0),
        ([1.0], 250, 0.99, 1.5),
        ([[1.0]], 250, 0.99, 3),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(deficiencies, observations, target, rank):
    with pytest.raises(InputError):
        backtesting(deficiencies, observations, target, rank)


# ------------------------------------------------------------------- intraday mark, mortgage pools, what FICC sets


@pytest.mark.parametrize(
    ("pnl", "covered", "charge"),
    [
        (-1e6, None, 1e6),  # exactly the least amount
        (-999_999.0, None, 0.0),
        (-3e6, None, 3e6),
        (-3e6, False, 3e6),
        (-3e6, True, 0.0),
        (3e6, False, 0.0),
        (0.0, None, 0.0),
    ],
)
def test_the_intraday_mark_by_hand(pnl, covered, charge):
    assert intraday_mark_charge(pnl, 2e6, least=1e6, share=0.30, covered=covered).amount == charge


def test_a_loss_below_its_share_of_the_var_charge_is_not_charged():
    assert intraday_mark_charge(-3e6, 10e6, least=1e6, share=0.30).amount == 3e6
    assert intraday_mark_charge(-3e6, 10.1e6, least=1e6, share=0.30).amount == 0.0


def test_no_trigger_charges_every_loss():
    assert intraday_mark_charge(-0.01, 1e9, least=0.0, share=0.0).amount == 0.01


def test_every_amount_that_is_none_is_told():
    with pytest.raises(InputError) as caught:
        intraday_mark_charge(math.nan, -1.0, least=math.inf, share=True)
    assert len(caught.value.problems) == 4


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(0, 1e9), st.sampled_from([None, False, True]))
def test_a_larger_loss_is_never_charged_less(one, other, var, covered):
    less, more = (
        intraday_mark_charge(pnl, var, least=1e6, share=0.3, covered=covered).value
        for pnl in (max(one, other), min(one, other))
    )
    assert 0 <= less <= more <= max(0.0, -min(one, other))


@given(st.integers(0, 400), st.integers(1, 400))
def test_coverage_is_compared_without_rounding(deficiencies, days):
    assert covers(deficiencies, days, 0.99) == (100 * deficiencies <= days)


def test_pools_of_borrower_and_lender_set_off():
    mine, theirs = ({"pool": name, "face": face, "paydown": 0.015} for name, face in (("A", 40e6), ("B", -40e6)))
    assert blackout_adjustment([]).amount == 0.0
    assert blackout_adjustment([mine]).amount == pytest.approx(600_000)
    assert blackout_adjustment([theirs]).amount == pytest.approx(-600_000)
    assert blackout_adjustment([mine, theirs]).amount == pytest.approx(0.0)


def test_every_pool_that_cannot_be_read_is_told():
    rows = [{"pool": "A", "face": 1.0}, {"pool": "B", "face": math.inf, "paydown": 1.5}, {"poool": "C"}]
    with pytest.raises(InputError) as caught:
        blackout_adjustment(rows)
    told = str(caught.value)
    assert "Did you mean 'pool'" in told
    assert len(caught.value.problems) == 7


def test_what_ficc_sets_adds_up():
    var = Line("var_charge", 4e6)
    assert set_charge("special_charge", [], var).amount == 0.0
    rows = [{"amount": 1e5, "share": 0.25}, {"amount": 1.0}]
    assert set_charge("special_charge", rows, var).amount == 1e5 + 1e6 + 1.0
    with pytest.raises(InputError) as caught:
        set_charge("special_charge", [{}, {"amount": -1.0}, {"share": math.nan}], var)
    assert len(caught.value.problems) == 3
