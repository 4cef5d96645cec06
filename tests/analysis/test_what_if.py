"""What-if on plain pools: against recomputing everything, and the roots on their limits."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.analysis.what_if import tails_of_pools
from crossmargin.errors import InputError
from crossmargin.pnl import PnL
from crossmargin.pricing.trades import sorted_pools
from crossmargin.products.futures import ShortRateFuture
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSet, ScenarioSpec
from tests.reference.what_if_twin import losses

MONTHS = (202609, 202612, 202703, 202706, 202709)
FUTURES = tuple(ShortRateFuture("SR3", month) for month in MONTHS)
MEASURES = (
    TailMeasure("kth_worst", k=4),
    TailMeasure("mean_of_k_worst", k=5),
    TailMeasure("tail_mean", confidence=0.97),
    TailMeasure("quantile", confidence=0.99, quantile_type=1),
)
every_measure = pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.estimator)


def made_up(seed, n_scenarios=250):
    values = np.random.default_rng(seed).standard_t(4, (len(FUTURES), n_scenarios))
    nothing = np.zeros(len(FUTURES))
    drawn = ScenarioSet(ScenarioSpec("historical", 1, 1), [1.0], np.zeros((1, n_scenarios)))
    return PnL(FUTURES, values, nothing, nothing, drawn)


def charge(pnl, quantities, measure):
    return measure.of_pnl(pnl.pooled(FUTURES, quantities), floor_at_zero=True)


@every_measure
@given(seed=st.integers(0, 999), which=st.integers(0, 4), size=st.floats(-100.0, 100.0))
@settings(max_examples=40, deadline=None)
def test_a_delta_is_what_recomputing_gives(measure, seed, which, size):
    pnl, held = made_up(seed), [3.0, -2.0, 0.0, 5.0, -1.0]
    pools = {"all": FUTURES, "near": FUTURES[:2], "far": FUTURES[2:]}
    book = tails_of_pools(pnl, FUTURES, held, measure=measure, pools=pools)
    for at, pool in enumerate(pools.values()):
        before = [size if future in pool else 0.0 for future, size in zip(FUTURES, held, strict=True)]
        after = list(before)
        after[which] += size if FUTURES[which] in pool else 0.0
        expected = charge(pnl, after, measure) - charge(pnl, before, measure)
        assert book.delta(FUTURES[which], size)[at] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@every_measure
def test_marginal_is_the_derivative_up_to_the_cliff(measure):
    book = tails_of_pools(made_up(1), FUTURES, [3.0, -2.0, 0.0, 5.0, -1.0], measure=measure)
    slopes = book.marginal()
    for future, slope in zip(FUTURES, slopes, strict=True):
        for short in (False, True):
            reach = book.distance_to_cliff(future, short=short)
            size = (-0.9 if short else 0.9) * reach
            assert 0.0 < reach < math.inf
            assert book.delta(future, size)[0] == pytest.approx(slope * size, rel=1e-9, abs=1e-12)


@every_measure
@given(seed=st.integers(0, 999), which=st.integers(0, 4), share=st.floats(1.0, 5.0), short=st.booleans())
@settings(max_examples=40, deadline=None)
def test_max_size_lands_on_the_limit_and_nothing_below_exceeds_it(measure, seed, which, share, short):
    book = tails_of_pools(made_up(seed), FUTURES, [3.0, -2.0, 0.0, 5.0, -1.0], measure=measure)
    limit = share * float(book.charges[0]) + 1e-6
    size = book.max_size(FUTURES[which], limit, short=short)
    sign = -1.0 if short else 1.0
    assert 0.0 <= size < math.inf
    near = 1e-9 * (1.0 + limit)
    assert book.charges[0] + book.delta(FUTURES[which], sign * size)[0] == pytest.approx(limit, abs=near)
    for part in np.linspace(0.0, 1.0, 23):
        assert book.charges[0] + book.delta(FUTURES[which], sign * part * size)[0] <= limit + near


@every_measure
def test_sizes_without_end_and_without_room(measure):
    pnl = made_up(2)
    gains = PnL(FUTURES, np.abs(pnl.values), pnl.base, pnl.basis, pnl.scenarios)
    book = tails_of_pools(gains, FUTURES, [0.0] * 5, measure=measure)
    assert book.max_size(FUTURES[0], 0.0) == math.inf
    full = tails_of_pools(pnl, FUTURES, [3.0] * 5, measure=measure)
    assert full.max_size(FUTURES[0], 0.5 * float(full.charges[0])) == 0.0


def test_any_number_of_threads_may_ask():
    book = tails_of_pools(made_up(3), FUTURES, [3.0, -2.0, 0.0, 5.0, -1.0], measure=MEASURES[1])
    sizes = np.linspace(-9.0, 9.0, 200)
    alone = [book.delta(FUTURES[0], size)[0] for size in sizes]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda size: book.delta(FUTURES[0], size)[0], sizes)) == alone
    with pytest.raises(ValueError, match="read-only"):
        book.pooled[0, 0] = 1.0


@given(st.integers(0, 999), st.sampled_from([0.0, 0.1, -3.0, 100.0, -1e9]), st.integers(1, 90), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_sorted_pools_lose_what_all_results_say(seed, size, n, m):
    rng = np.random.default_rng(seed)
    rows = [(0, rng.standard_normal(n).round(1)), (1, rng.standard_normal(m)), (0, rng.standard_normal(n))]
    weights = [rng.random(rng.integers(1, len(row) + 1)) for _, row in rows]
    units = [rng.standard_normal(n).round(1), rng.standard_normal(m)]
    found = sorted_pools(rows, weights).of(units).losses(size)
    assert found == pytest.approx(losses(rows, weights, units, size), rel=1e-10, abs=1e-10)


def test_an_empty_book_has_no_charge():
    assert tails_of_pools(made_up(4), [], [], measure=MEASURES[0]).charges.tolist() == [0.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, "5", None])
def test_bad_questions_are_refused(bad):
    pnl = made_up(5)
    book = tails_of_pools(pnl, FUTURES, [1.0] * 5, measure=MEASURES[0])
    interpolated = TailMeasure("quantile", confidence=0.99, quantile_type=7)
    with pytest.raises(InputError, match="quantity is"):
        book.delta(FUTURES[0], bad)
    with pytest.raises(InputError, match="was not revalued"):
        book.delta(ShortRateFuture("SR3", 202803), 1.0)
    with pytest.raises(InputError, match="a limit of"):
        book.max_size(FUTURES[0], -1.0 if bad == math.inf else bad)
    with pytest.raises(InputError, match="no pool"):
        book.marginal("bok")
    with pytest.raises(InputError, match="has no root"):
        tails_of_pools(pnl, FUTURES, [1.0] * 5, measure=interpolated).max_size(FUTURES[0], 1e9)
    with pytest.raises(InputError) as both:
        tails_of_pools(pnl, [ShortRateFuture("SR3", 202803)], [bad], measure=TailMeasure("kth_worst", k=251), pools={})
    assert len(both.value.problems) >= 3
