"""Past changes at the correlations of today: a figure by hand, the slow twin, and what no data can break."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossmargin.errors import InputError
from crossmargin.filtering import CorrelationScaling, correlation_scaled, ewma_correlation, ewma_volatility
from crossmargin.market import History
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, scenario_set
from tests.reference import correlation_twin as twin

few = settings(max_examples=60)
APART = [[1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [1.0, -1.0]]

numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, allow_subnormal=False)).filter(
    lambda x: x == 0.0 or abs(x) > 1e-6
)
tables = st.tuples(st.integers(1, 30), st.integers(1, 6)).flatmap(lambda shape: arrays(float, shape, elements=numbers))
decays = st.sampled_from([0.5, 0.9, 0.97, 0.995])
scalings = st.builds(CorrelationScaling, decays, st.sampled_from([0.0, 0.1, 0.7]), st.sampled_from([1e-4, 1e-2, 0.3]))


@st.composite
def moving(draw, least=8):
    """Changes of several series that all move, now and in the past, and are not one another's multiples."""
    n, m = draw(st.integers(least, 40)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    mixed = rng.standard_normal((n, m)) @ (np.eye(m) + draw(st.sampled_from([0.0, 0.5, 2.0])))
    return mixed * draw(st.sampled_from([1e-6, 1.0, 1e9]))


def sizes(table):
    return np.sqrt(np.mean(np.square(table), axis=0))


def near(table, rel=1e-7):
    return pytest.approx(table, rel=rel, abs=rel * float(np.abs(table).max(initial=0.0)))


# ------------------------------------------------------------------------------------------------------- by hand


def test_two_series_by_hand():
    """Uncorrelated over four days; weights 1, 2, 4, 8 make today's correlation (1 - 2 + 4 - 8) / 15 = -1/3.

    With a floor of a quarter that is -1/4, whose root has the eigenvalues sqrt(3/4), together, and sqrt(5/4), apart.
    """
    assert ewma_correlation(APART, 0.5)[0, 1] == pytest.approx(-1 / 3)
    together, apart = math.sqrt(3 / 4), math.sqrt(5 / 4)
    found = correlation_scaled(APART, CorrelationScaling(0.5, floor=0.25))
    assert found == pytest.approx(np.array([[together] * 2, [apart, -apart], [together] * 2, [apart, -apart]]))


def test_half_of_the_way_by_hand():
    """A shrinkage of one half halves what is left of the correlation: -1/8."""
    together, apart = math.sqrt(7 / 8), math.sqrt(9 / 8)
    found = correlation_scaled(APART, CorrelationScaling(0.5, shrinkage=0.5, floor=0.25))
    assert found[:2] == pytest.approx(np.array([[together] * 2, [apart, -apart]]))


def test_what_follows_is_regressed_on_what_leads_by_hand():
    """The first stays; the second becomes -1/4 of it and sqrt(1 - 1/16) of what the first does not explain."""
    found = correlation_scaled(APART, CorrelationScaling(0.5, floor=0.25), leading=1)
    left = math.sqrt(15 / 16)
    assert found[:, 0].tolist() == [1.0] * 4
    assert found[:, 1] == pytest.approx([left - 0.25, -left - 0.25] * 2, rel=1e-12)


# ------------------------------------------------------------------------------------------------------- the twin


@few
@given(moving(), decays, st.sampled_from([0.0, 0.3]), st.sampled_from([1e-3, 0.1]), st.data())
def test_it_is_its_twin(table, decay, shrinkage, floor, data):
    leading = data.draw(st.integers(0, table.shape[1]))
    found = correlation_scaled(table, CorrelationScaling(decay, shrinkage, floor), leading=leading)
    assert found == near(twin.scaled(table, decay, shrinkage, floor, leading % table.shape[1]))
    assert ewma_correlation(table, decay) == near(twin.correlations(table, decay))


@few
@given(moving(least=2), decays, st.integers(1, 9))
def test_a_table_and_each_of_its_series_have_the_volatilities_of_the_text(table, decay, seed_days):
    for n, column in enumerate(table.T):
        expected = twin.volatilities(column.tolist(), decay, seed_days)
        alone, together = (ewma_volatility(each, decay, seed_days=seed_days) for each in (column, table))
        assert [*alone[0], float(alone[1])] == pytest.approx(expected)
        assert [*together[0][:, n], float(together[1][n])] == pytest.approx(expected)


# ------------------------------------------------------------------------------------------------------- laws


@given(tables, decays)
def test_correlations_are_symmetric_of_unit_diagonal_and_not_negative(table, decay):
    found = ewma_correlation(table, decay)
    assert (found == found.T).all()
    assert (np.diag(found) == 1.0).all()
    assert np.abs(found).max() <= 1.0
    assert np.linalg.eigvalsh(found).min() >= -1e-9


@given(tables, scalings, st.data())
def test_no_volatility_changes(table, scaling, data):
    leading = data.draw(st.integers(0, table.shape[1]))
    found = correlation_scaled(table, scaling, leading=leading)
    assert np.isfinite(found).all()
    assert sizes(found) == pytest.approx(sizes(table), rel=1e-9)
    assert (found[:, ~table.any(axis=0)] == 0.0).all()


@given(
    st.lists(numbers, min_size=1, max_size=30), st.lists(st.sampled_from([-2.0, -1.0, 0.5, 4.0]), min_size=1), decays
)
def test_where_correlations_never_change_nothing_does(common, multiples, decay):
    """Every series a multiple of one: all correlations are one or minus one, over the look-back as today."""
    table = np.outer(common, multiples)
    if not table[-5:].any():
        return  # not moved for so long that today has no correlation
    for leading in range(len(multiples) + 1):
        found = correlation_scaled(table, CorrelationScaling(decay, floor=1e-4), leading=leading)
        assert found == near(table, rel=1e-6)


@given(tables, decays, st.sampled_from([1e-4, 0.1]))
def test_shrunk_all_the_way_to_the_look_back_nothing_changes(table, decay, floor):
    assert correlation_scaled(table, CorrelationScaling(decay, 1.0, floor)) == near(table, rel=1e-6)


@few
@given(moving(), scalings, st.randoms(use_true_random=False))
def test_the_order_of_the_series_does_not_matter(table, scaling, random):
    order = list(range(table.shape[1]))
    random.shuffle(order)
    assert correlation_scaled(table[:, order], scaling) == near(correlation_scaled(table, scaling)[:, order])


@few
@given(moving(), scalings, st.data())
def test_units_and_signs_are_those_of_each_series(table, scaling, data):
    """A series in other units, or counted the other way, comes out in these units: nothing else moves."""
    units = np.array(data.draw(st.lists(st.sampled_from([-1.0, 1e-4, -64.0, 1e6]), min_size=5, max_size=5)))
    units = units[: table.shape[1]]
    assert correlation_scaled(table * units, scaling) / units == near(correlation_scaled(table, scaling))


@few
@given(moving(), scalings, st.data())
def test_what_follows_changes_nothing_of_what_leads(table, scaling, data):
    leading = data.draw(st.integers(1, table.shape[1]))
    alone = correlation_scaled(table[:, :leading], scaling)
    assert correlation_scaled(table, scaling, leading=leading)[:, :leading] == near(alone)


@few
@given(moving(least=30), decays)
def test_the_look_back_has_the_correlations_of_today(table, decay):
    for leading in range(table.shape[1]):
        found = correlation_scaled(table, CorrelationScaling(decay, floor=1e-9), leading=leading)
        assert twin.correlations(found) == pytest.approx(twin.correlations(table, decay), abs=1e-4)


def test_more_series_than_changes_are_no_trouble():
    table = np.random.default_rng(1).standard_normal((20, 60))
    found = correlation_scaled(table, CorrelationScaling(0.97, floor=1e-4), leading=30)
    assert sizes(found) == pytest.approx(sizes(table))
    assert np.abs(found).max() < 10 * np.abs(table).max()


def test_a_series_that_last_moved_long_ago_has_no_correlation_today():
    table = np.vstack([np.ones((1, 2)), np.tile([[1.0, 0.0]], (3000, 1))])
    assert ewma_correlation(table, 0.5).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("huge", [1e-300, 1e-160, 1e160, 1e300])
def test_the_ends_of_the_number_range(huge):
    table = np.array(APART) * huge
    found = correlation_scaled(table, CorrelationScaling(0.5, floor=0.25))
    assert found / huge == pytest.approx(correlation_scaled(APART, CorrelationScaling(0.5, floor=0.25)))


# ------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"decay": 1.0}, 1),
        ({"decay": math.nan, "shrinkage": -0.1, "floor": 0.0}, 3),
        ({"decay": 0.97, "shrinkage": 1.5}, 1),
        ({"decay": 0.97, "shrinkage": math.nan}, 1),
        ({"decay": 0.97, "floor": 1.0}, 1),
        ({"decay": 0.97, "floor": None}, 1),
    ],
)
def test_every_parameter_out_of_range_at_once(fields, count):
    with pytest.raises(InputError) as caught:
        CorrelationScaling(**fields)
    assert len(caught.value.problems) == count


@pytest.mark.parametrize("changes", [[], [[]], [1.0, 2.0], [[1.0, math.nan]], [[math.inf]], "text"])
def test_what_is_no_table_of_numbers_is_refused(changes):
    for ask in (lambda: ewma_correlation(changes, 0.9), lambda: correlation_scaled(changes, CorrelationScaling(0.9))):
        with pytest.raises(InputError):
            ask()


@pytest.mark.parametrize("leading", [-1, 3])
def test_more_leading_series_than_there_are_is_refused(leading):
    with pytest.raises(InputError, match="leading"):
        correlation_scaled(APART, CorrelationScaling(0.9), leading=leading)
    with pytest.raises(InputError, match="decay"):
        ewma_correlation(APART, 1.0)


# ------------------------------------------------------------------------------------------------- scenario sets


SCALED = CorrelationScaling(0.97, 0.1, 1e-4)


def test_correlations_are_scaled_after_volatilities_and_stress_stays_as_it_was():
    period = (date(2016, 1, 20), date(2016, 2, 20))
    days = [day for n in range(760) if (day := date(2016, 1, 4) + timedelta(n)).weekday() < 5][:500]
    par = 0.03 + np.random.default_rng(7).normal(0, 4e-4, (500, 6)).cumsum(axis=0)
    history, as_of = History(days, [0.25, 1, 2, 5, 10, 30], par), days[-1]
    alone, both = (
        scenario_set(ScenarioSpec("filtered", 3, 1, period, decay=0.97, correlation=each), history, as_of)
        for each in (None, SCALED)
    )
    n = sum(end > date(2016, 12, 1) for end in alone.ends)
    expected = correlation_scaled(alone.shifts[:, :n].T, SCALED).T
    assert n < len(alone.ends)
    assert both.shifts[:, :n].tolist() == expected.tolist()
    assert both.shifts[:, n:].tolist() == alone.shifts[:, n:].tolist()
    assert alone.uncorrelated is None
    assert both.uncorrelated is not None
    assert both.uncorrelated.tolist() == alone.shifts.tolist()
    assert "correlations of the look-back scaled to those of today: 6 tenors" in both.notes
    assert both.ends == alone.ends


def test_only_filtered_scenarios_take_on_correlations():
    with pytest.raises(InputError, match="correlation"):
        ScenarioSpec("historical", 1, 1, correlation=SCALED)
    spec = ScenarioSpec("filtered", 1, 1, decay=0.97, correlation=SCALED)
    assert len({spec, ScenarioSpec("filtered", 1, 1, decay=0.97)}) == 2
    with pytest.raises(InputError, match="uncorrelated"):
        ScenarioSet(spec, [1.0], [[1e-4, 2e-4]], uncorrelated=[[1e-4]])
