"""Par yields to zero rates and back: by hand, against themselves, and against published zero rates."""

from __future__ import annotations

import csv
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crossmargin.curves import (
    discount_factors,
    exponent_weights,
    interpolate,
    knot_times,
    par_yield,
    year_fractions,
    zero_rates,
)
from crossmargin.errors import InputError, NumericalError

TENORS = np.array([1 / 12, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0])


@st.composite
def par_curves(draw):
    """Curves that bonds can be at par on: level, slope, hump and a little noise."""
    shapes = draw(hnp.arrays(np.float64, st.tuples(st.just(3), st.integers(1, 5)), elements=st.floats(0, 1)))
    level, slope, hump = np.array([[0.08], [0.04], [0.02]]) * shapes - np.array([[0.01], [0.02], [0.01]])
    term = TENORS[:, None]
    noise = draw(hnp.arrays(np.float64, (len(TENORS), shapes.shape[1]), elements=st.floats(-5e-4, 5e-4)))
    return level + slope * term / 30 + hump * term / 5 * np.exp(1 - term / 5) + noise


def test_two_half_years_by_hand():
    knots, zeros = zero_rates(np.array([0.5, 1.0]), np.array([[0.04], [0.05]]))
    first = 1 / 1.02
    second = (1 - 0.025 * first) / 1.025
    assert knots.tolist() == [0.5, 1.0]
    assert zeros[:, 0] == pytest.approx([-np.log(first) / 0.5, -np.log(second)], rel=1e-15)


def test_below_half_a_year_the_yield_is_simple():
    knots, zeros = zero_rates(np.array([0.25, 0.5]), np.array([[0.05], [0.04]]))
    assert np.exp(-zeros[:, 0] * knots) == pytest.approx([1 / (1 + 0.05 * 0.25), 1 / 1.02], rel=1e-15)


def test_a_flat_par_curve_is_a_flat_zero_curve():
    knots, zeros = zero_rates(np.array([0.5, 30.0]), np.array([[0.06], [0.06]]))
    assert len(knots) == 60
    assert zeros[:, 0] == pytest.approx(np.full(60, 2 * np.log(1.03)), rel=1e-13)


def test_before_the_first_quote_the_par_yield_is_flat():
    quoted_late = zero_rates(np.array([1.0, 2.0]), np.array([[0.04], [0.05]]))
    quoted_early = zero_rates(np.array([0.5, 1.0, 2.0]), np.array([[0.04], [0.04], [0.05]]))
    assert np.array_equal(quoted_late[0], quoted_early[0])
    assert np.array_equal(quoted_late[1], quoted_early[1])


@pytest.mark.parametrize(
    ("tenors", "knots"),
    [
        ([0.25], [0.25]),
        ([0.25, 0.4], [0.25, 0.4]),
        ([0.5], [0.5]),
        ([0.7], [0.5]),
        ([0.25, 1.9], [0.25, 0.5, 1.0, 1.5]),
        ([2.0], [0.5, 1.0, 1.5, 2.0]),
    ],
)
def test_knots(tenors, knots):
    assert knot_times(np.array(tenors)).tolist() == knots
    assert np.isfinite(zero_rates(np.array(tenors), np.full((len(tenors), 2), 0.04))[1]).all()


@given(par_curves())
def test_par_bonds_at_every_knot_are_worth_par(par):
    knots, zeros = zero_rates(TENORS, par)
    for knot, expected in zip(knots, interpolate(TENORS, par, knots), strict=True):
        assert par_yield(knots, zeros, float(knot)) == pytest.approx(expected, abs=2e-13)


@given(par_curves(), st.floats(0.51, 29.9))
def test_a_par_bond_off_the_grid_is_worth_par_plus_accrued(par, maturity):
    knots, zeros = zero_rates(TENORS, par)
    times = np.array([maturity - n / 2 for n in range(80) if maturity - n / 2 > 1e-12])
    coupon = par_yield(knots, zeros, maturity)
    factors = discount_factors(knots, zeros, times)
    value = coupon / 2 * factors.sum(axis=0) + factors[0]
    accrued = coupon / 2 * (1 - 2 * times[-1])
    assert value == pytest.approx(1 + accrued, abs=1e-12)


@given(par_curves())
def test_a_curve_has_the_same_bits_alone_and_in_a_crowd(par):
    crowd = np.hstack([par] * 13)
    _, together = zero_rates(TENORS, crowd)
    for curve in range(par.shape[1]):
        _, alone = zero_rates(TENORS, par[:, [curve]])
        assert np.array_equal(together[:, curve], alone[:, 0])
        assert np.array_equal(together[:, curve], together[:, curve + par.shape[1]])


def test_thousands_of_curves_at_once_have_the_same_bits():
    rng = np.random.default_rng(5)
    par = rng.uniform(0.0, 0.07, (1, 5000)) + rng.normal(0, 5e-4, (len(TENORS), 5000))
    _, together = zero_rates(TENORS, par)
    for begin, end in ((0, 1), (17, 24), (4999, 5000), (1, 4096)):
        assert np.array_equal(zero_rates(TENORS, par[:, begin:end])[1], together[:, begin:end])


def test_no_curve_at_all():
    assert zero_rates(TENORS, np.empty((len(TENORS), 0)))[1].shape == (62, 0)


def test_an_impossible_curve_is_named_with_its_tenor():
    par = np.full((len(TENORS), 4), 0.04)
    par[-1, 2] = 0.9
    with pytest.raises(NumericalError, match=r"curve 2: the discount factor at 2\d.* \(1 of 4 curves fail\)"):
        zero_rates(TENORS, par)


@pytest.mark.parametrize("yield_", [-4.0, -30.0])
def test_a_simple_yield_that_eats_the_money_is_refused(yield_):
    par = np.full((len(TENORS), 1), 0.04)
    par[1, 0] = yield_
    with pytest.raises(NumericalError, match=r"curve 0: .* at 0\.25 years"):
        zero_rates(TENORS, par)


@pytest.mark.parametrize(
    ("tenors", "par", "said"),
    [
        ([], np.empty((0, 1)), "not a list of years above zero"),
        ([0.0, 1.0], np.ones((2, 1)), "not a list of years above zero"),
        ([np.nan], np.ones((1, 1)), "not a list of years above zero"),
        ([1.0, 1.0], np.ones((2, 1)), "do not increase"),
        ([2.0, 1.0], np.ones((2, 1)), "do not increase"),
        ([1.0, 2.0], np.ones((3, 1)), r"shape \(3, 1\) is not \[2 tenors"),
        ([1.0, 2.0], np.ones(2), r"shape \(2,\)"),
        ([1.0, 2.0], np.array([[0.1, np.nan], [0.1, np.inf]]), "2 yields not finite"),
    ],
)
def test_quotes_that_make_no_curve(tenors, par, said):
    with pytest.raises(InputError, match=said):
        zero_rates(np.array(tenors), par)


def test_every_problem_is_listed():
    with pytest.raises(InputError) as caught:
        zero_rates(np.array([2.0, 1.0]), np.ones((3, 1)))
    assert len(caught.value.problems) == 2


def test_interpolation_is_exact_at_quotes_and_flat_outside():
    values = np.array([[0.01, 0.1], [0.03, 0.3], [0.02, 0.7]])
    at = np.array([0.0, 1.0, 1.5, 2.0, 4.0, 99.0])
    got = interpolate(np.array([1.0, 2.0, 4.0]), values, at)
    assert np.array_equal(got[[0, 1, 3, 4, 5]], values[[0, 0, 1, 2, 2]])
    assert got[2] == pytest.approx([0.02, 0.2])


def test_discount_factors_between_and_outside_knots():
    knots, zeros = np.array([0.5, 2.0]), np.array([[0.02, 0.10], [0.05, 0.01]])
    factors = discount_factors(knots, zeros, np.array([0.0, 0.25, 0.5, 1.0, 2.0, 40.0]))
    third = (2 * 0.5 * zeros[0] + 1 * 2.0 * zeros[1]) / 3  # one third of the way from 0.5 to 2
    expected = [0 * zeros[0], 0.25 * zeros[0], 0.5 * zeros[0], third, 2 * zeros[1], 40 * zeros[1]]
    assert np.array_equal(factors[0], [1.0, 1.0])
    assert factors == pytest.approx(np.exp(-np.array(expected)), rel=1e-14)


def test_one_knot_makes_a_flat_curve():
    factors = discount_factors(np.array([2.0]), np.array([[0.05]]), np.array([0.0, 1.0, 2.0, 3.0]))
    assert factors[:, 0] == pytest.approx(np.exp(-0.05 * np.arange(4)), rel=1e-15)


@given(st.lists(st.floats(0.0, 60.0), max_size=9))
def test_weights_rebuild_any_linear_exponent(times):
    knots = np.array([0.25, 0.5, 3.0, 30.0])
    nodes, weights = exponent_weights(knots, np.array(times))
    assert (weights * knots[nodes]).sum(axis=0) == pytest.approx(np.array(times), abs=1e-13)


@pytest.mark.parametrize("time", [-1e-9, np.nan, np.inf])
def test_times_must_lie_ahead(time):
    with pytest.raises(InputError, match=r"times\[1\]"):
        discount_factors(np.array([1.0]), np.array([[0.05]]), np.array([0.0, time]))


def test_years_count_days_over_365():
    days = [date(2028, 2, 28), date(2028, 2, 29), date(2029, 2, 28), date(2028, 2, 27)]
    assert year_fractions(date(2028, 2, 28), days).tolist() == [0.0, 1 / 365, 366 / 365, -1 / 365]
    assert year_fractions(date(2028, 2, 28), []).shape == (0,)


def test_bootstrapped_zeros_stay_near_the_published_ones(shared):
    """Kim and Wright fit a smooth three-factor model; the bootstrap goes through the quotes.

    Since 2010 the median distance is 4.2, 4.5 and 7.8 bp at 1, 5 and 10 years and the largest 40 bp.
    """
    labels = ["3M", "6M", "1Y", "2Y", "3Y", "5Y", "7Y", "10Y", "20Y", "30Y"]
    tenors = np.array([0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0])
    market = shared / "data" / "market"
    quotes, published = (rows(market / f"{name}_daily.csv") for name in ("ust_par_yields", "kim_wright_zero_yields"))
    days = [day for day in quotes if day >= "2010" and day in published and all(map(quotes[day].get, labels))]
    knots, zeros = zero_rates(tenors, np.array([[float(quotes[d][t]) for d in days] for t in labels]) / 100)
    assert len(days) > 3500
    for years, median in ((1, 6e-4), (5, 6e-4), (10, 10e-4)):
        theirs = np.array([float(published[day][f"kw_zero_{years}Y"]) for day in days]) / 100
        distance = np.abs(zeros[np.flatnonzero(knots == years)[0]] - theirs)
        assert np.median(distance) < median
        assert distance.max() < 45e-4


def rows(path):
    with path.open() as file:
        return {row["date"]: row for row in csv.DictReader(file)}
