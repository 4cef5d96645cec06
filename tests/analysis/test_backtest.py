"""Back-test statistics against published figures, the textbook formulas written out, and input that makes no sense."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crossmargin.analysis.backtest import (
    christoffersen,
    exceptions,
    kupiec,
    kupiec_range,
    procyclicality,
    traffic_light,
)
from crossmargin.conformance import run
from crossmargin.errors import InputError, NumericalError
from crossmargin.worked import clearing

CASES = Path(__file__).resolve().parents[2] / ".." / "shared" / "cases" / "backtest.jsonl"

probabilities = st.sampled_from([0.001, 0.003, 0.01, 0.025, 0.05, 0.1, 0.5, 0.9, 0.99])
confidences = st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.99, 0.999])
counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
days = st.lists(st.booleans(), min_size=1, max_size=60)


def test_shared_cases():
    if not CASES.is_file():
        pytest.skip("the shared worked cases are not beside this checkout")
    outcome = run(CASES, families=clearing.FAMILIES, builtin=False)
    assert outcome.ok, outcome.text()
    assert not any(tally.not_implemented for tally in outcome.families.values())


@pytest.mark.parametrize("day", [-1, 3, "2"])
def test_a_case_whose_exceptions_lie_outside_its_days_is_refused(day):
    answer = clearing.FAMILIES["backtest.christoffersen"]
    with pytest.raises(InputError, match="exception_indices"):
        answer({"observations": 3, "probability": 0.01, "exception_indices": [0, day]})


# ---------------------------------------------------------------------------------------------------------- coverage


def ratio_by_scipy(n, x, p):
    """-2 log of the ratio of the two binomial likelihoods, the count's own share in the second."""
    return -2 * (stats.binom.logpmf(x, n, p) - stats.binom.logpmf(x, n, x / n))


@given(counts, probabilities)
def test_the_ratio_is_that_of_two_binomial_likelihoods(count, p):
    n, x = count
    test = kupiec(n, x, p)
    assert test.likelihood_ratio == pytest.approx(ratio_by_scipy(n, x, p), rel=1e-9, abs=1e-9)
    assert test.p_value == pytest.approx(stats.chi2.sf(test.likelihood_ratio, 1), rel=1e-9)


@pytest.mark.parametrize(  # Kupiec (1995), table of non-rejection regions at 95 %, as printed in textbooks
    ("n", "p", "least", "most"),
    [(510, 0.01, 2, 10), (1000, 0.01, 5, 16), (252, 0.05, 7, 19), (510, 0.05, 17, 35), (1000, 0.05, 38, 64)],
)
def test_the_published_regions(n, p, least, most):
    found = kupiec_range(n, p, 0.95)
    assert (found.minimum, found.maximum) == (least, most)


@given(st.integers(1, 120), probabilities, confidences)
def test_the_range_is_what_trying_every_count_gives(n, p, confidence):
    limit = stats.chi2.ppf(confidence, 1)
    ratios = [kupiec(n, x, p).likelihood_ratio for x in range(n + 1)]
    if any(math.isclose(ratio, limit, rel_tol=1e-12) for ratio in ratios):
        return
    accepted = [x for x, ratio in enumerate(ratios) if ratio < limit]
    found = kupiec_range(n, p, confidence)
    assert (found.minimum, found.maximum) == ((accepted[0], accepted[-1]) if accepted else (None, None))


def test_a_range_may_be_empty():
    assert kupiec_range(3, 0.5, 0.01).minimum is None


def test_a_huge_sample_is_searched_not_tried():
    found = kupiec_range(10**9, 0.01, 0.95)
    spread = 1.959964 * math.sqrt(10**9 * 0.01 * 0.99)
    assert found.minimum == pytest.approx(10**7 - spread, abs=2)
    assert found.maximum == pytest.approx(10**7 + spread, abs=2)


def test_nothing_or_everything_may_go_wrong():
    assert kupiec(250, 0, 0.01).likelihood_ratio == pytest.approx(-500 * math.log(0.99))
    assert kupiec(250, 250, 0.01).likelihood_ratio == pytest.approx(-500 * math.log(0.01))
    assert kupiec(250, 250, 0.01).p_value == 0.0
    assert kupiec(1, 0, 0.5).likelihood_ratio == pytest.approx(2 * math.log(2))
    assert kupiec(100, 1, 0.01).likelihood_ratio == pytest.approx(0.0, abs=1e-12)
    assert kupiec(100, 1, 0.01).p_value == pytest.approx(1.0)


@pytest.mark.parametrize("p", [0, 1, 0.0, 1.0, -0.1, 1.1, math.nan, math.inf, None, "0.01", True])
def test_a_probability_that_is_none_is_refused_everywhere(p):
    for call in (
        lambda: kupiec(10, 1, p),
        lambda: kupiec_range(10, p, 0.95),
        lambda: traffic_light(10, 1, p),
        lambda: christoffersen([True, False], p),
        lambda: kupiec_range(10, 0.01, p),
    ):
        with pytest.raises(InputError, match=r"probability|confidence"):
            call()


@pytest.mark.parametrize(
    ("n", "x"), [(0, 0), (-1, 0), (10, 11), (10, -1), (10.0, 1), (10, 1.5), (10, math.nan), (10, True)]
)
def test_counts_that_are_none_are_refused(n, x):
    for call in (kupiec, traffic_light):
        with pytest.raises(InputError, match=r"observations|exceptions"):
            call(n, x, 0.01)


def test_every_problem_is_listed_at_once():
    with pytest.raises(InputError) as caught:
        kupiec(0, 5, 2.0)
    assert {problem.where for problem in caught.value.problems} == {"observations", "probability"}


def test_numpy_counts_are_counts():
    assert kupiec(np.int64(250), np.int32(4), np.float64(0.01)) == kupiec(250, 4, 0.01)


# ------------------------------------------------------------------------------------------------------ independence


def christoffersen_twin(hits, p):
    """Count pairs one by one and multiply probabilities in logs, with 0 log 0 = 0."""

    def log_likelihood(zeros, ones, share):
        return (zeros * math.log(1 - share) if zeros else 0.0) + (ones * math.log(share) if ones else 0.0)

    n = {(a, b): 0 for a in (0, 1) for b in (0, 1)}
    for a, b in pairwise(hits):
        n[int(a), int(b)] += 1
    zeros, ones = n[0, 0] + n[1, 0], n[0, 1] + n[1, 1]
    under_both = log_likelihood(zeros, ones, ones / (zeros + ones)) if zeros + ones else 0.0
    apart = 0.0
    for a in (0, 1):
        if n[a, 0] + n[a, 1]:
            apart += log_likelihood(n[a, 0], n[a, 1], n[a, 1] / (n[a, 0] + n[a, 1]))
    x = sum(hits)
    plain = log_likelihood(len(hits) - x, x, p) - log_likelihood(len(hits) - x, x, x / len(hits))
    return ((n[0, 0], n[0, 1]), (n[1, 0], n[1, 1])), -2 * plain, -2 * (under_both - apart)


@given(days, probabilities)
def test_christoffersen_against_its_twin(hits, p):
    test, (pairs, coverage, independence) = christoffersen(hits, p), christoffersen_twin(hits, p)
    assert test.transitions == pairs
    assert test.unconditional.likelihood_ratio == pytest.approx(coverage, abs=1e-9)
    assert test.independence.likelihood_ratio == pytest.approx(independence, abs=1e-9)
    assert test.conditional.likelihood_ratio == pytest.approx(coverage + independence, abs=1e-9)
    assert test.conditional.p_value == pytest.approx(stats.chi2.sf(test.conditional.likelihood_ratio, 2), rel=1e-9)
    assert test.unconditional == kupiec(len(hits), sum(hits), p)


@given(days, probabilities)
def test_time_backwards_shows_the_same_clusters(hits, p):
    forwards, backwards = christoffersen(hits, p), christoffersen(hits[::-1], p)
    if hits[0] == hits[-1]:
        assert forwards.independence.likelihood_ratio == pytest.approx(
            backwards.independence.likelihood_ratio, abs=1e-9
        )
    assert sum(map(sum, forwards.transitions)) == len(hits) - 1


def test_clusters_are_found_and_scattered_exceptions_are_not():
    clustered, scattered = np.zeros(250, dtype=bool), np.zeros(250, dtype=bool)
    clustered[100:105] = True
    scattered[[10, 60, 110, 160, 210]] = True
    assert christoffersen(clustered, 0.02).independence.p_value < 1e-3
    assert christoffersen(scattered, 0.02).independence.p_value > 0.5
    assert christoffersen(clustered, 0.02).unconditional == christoffersen(scattered, 0.02).unconditional


@pytest.mark.parametrize("hits", [[True], [False], [True] * 9, [False] * 9])
def test_one_state_alone_says_nothing_about_independence(hits):
    assert christoffersen(hits, 0.1).independence.likelihood_ratio == 0.0
    assert christoffersen(hits, 0.1).independence.p_value == 1.0


@pytest.mark.parametrize("hits", [[], [20, 21, 90], [[True, False]], [0.5], [math.nan], 3])
def test_what_is_no_row_of_flags_is_refused(hits):
    with pytest.raises(InputError, match="hits"):
        christoffersen(hits, 0.01)


def test_zeros_and_ones_are_flags():
    assert christoffersen([0, 1, 1.0], 0.1) == christoffersen([False, True, True], 0.1)


# --------------------------------------------------------------------------------------------------------- exceptions


def test_a_loss_of_exactly_the_margin_is_covered():
    assert exceptions([-5.0, -5.000001, 5.0, 0.0], 5.0).tolist() == [False, True, False, False]
    assert exceptions([-5.0, -5.0], [6.0, 4.0]).tolist() == [False, True]


@pytest.mark.parametrize(
    ("pnl", "margin"),
    [
        ([], 1.0),
        (["a"], 1.0),
        ([1.0], "a"),
        ([math.nan], 1.0),
        ([1.0], -1.0),
        ([1.0], math.inf),
        ([1.0, 2.0], [1.0]),
        ([[1.0]], 1.0),
    ],
)
def test_series_that_do_not_fit_are_refused(pnl, margin):
    with pytest.raises(InputError):
        exceptions(pnl, margin)


# ------------------------------------------------------------------------------------------------------ traffic light


def test_the_table_of_the_basel_committee():
    """Zones of 250 days at 99 %: green to 4, yellow 5 to 9, red from 10; cumulative probabilities as printed, %."""
    printed = [8.11, 28.58, 54.32, 75.81, 89.22, 95.88, 98.63, 99.60, 99.89, 99.97, 99.99]
    zones = ["green"] * 5 + ["yellow"] * 5 + ["red"]
    for x, (percent, zone) in enumerate(zip(printed, zones, strict=True)):
        found = traffic_light(250, x, 0.01)
        assert found.zone == zone
        assert 100 * found.cumulative_probability == pytest.approx(percent, abs=0.0051)


@given(counts, probabilities)
def test_both_probabilities_are_those_of_the_binomial(count, p):
    n, x = count
    found = traffic_light(n, x, p)
    assert found.cumulative_probability == pytest.approx(stats.binom.cdf(x, n, p), rel=1e-9, abs=1e-300)
    assert found.probability_at_least == pytest.approx(stats.binom.sf(x - 1, n, p), rel=1e-9, abs=1e-300)
    assert found.cumulative_probability + found.probability_at_least >= 1.0 - 1e-12


@given(st.integers(1, 300), probabilities)
def test_more_exceptions_are_never_greener(n, p):
    order = ["green", "yellow", "red"]
    zones = [order.index(traffic_light(n, x, p).zone) for x in range(n + 1)]
    assert zones == sorted(zones)
    assert zones[-1] == 2


def test_boundaries_can_be_moved_and_must_increase():
    assert traffic_light(250, 4, 0.01, yellow_from=0.8).zone == "yellow"
    with pytest.raises(InputError, match="yellow_from"):
        traffic_light(250, 4, 0.01, yellow_from=0.99, red_from=0.98)


# ----------------------------------------------------------------------------------------------------- procyclicality

margins = st.lists(st.floats(0.01, 1e9), min_size=2, max_size=40)


@given(margins, st.data())
def test_procyclicality_by_trying_every_pair(series, data):
    horizon = data.draw(st.integers(1, len(series) - 1))
    found = procyclicality(series, horizon)
    ratios = [series[t + horizon] / series[t] for t in range(len(series) - horizon)]
    assert found.largest_increase_ratio == pytest.approx(max(ratios))
    assert found.peak_to_trough == pytest.approx(max(series) / min(series))
    assert 1.0 <= found.peak_to_trough >= found.largest_increase_ratio


@given(margins, st.sampled_from([0.5, 2.0, 1024.0]))
def test_the_unit_of_money_does_not_matter(series, factor):
    assert procyclicality([factor * each for each in series], 1) == procyclicality(series, 1)


def test_margin_that_never_moves():
    found = procyclicality([7.0] * 5, 4)
    assert (found.peak_to_trough, found.largest_increase_ratio) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("series", "horizon"),
    [
        ([], 1),
        ([1.0], 1),
        ([1.0, 2.0], 2),
        ([1.0, 2.0], 0),
        ([1.0, 2.0], -1),
        ([1.0, 2.0], 1.0),
        ([1.0, 2.0], True),
        ([0.0, 1.0], 1),
        ([-1.0, 1.0], 1),
        ([math.nan, 1.0], 1),
        ([math.inf, 1.0], 1),
        ([[1.0, 2.0]], 1),
        ([[1.0], [1.0, 2.0]], 1),
        (None, 1),
        (["a", "b"], 1),
    ],
)
def test_a_ratio_that_says_nothing_is_refused(series, horizon):
    with pytest.raises(InputError, match=r"margins|horizon_days"):
        procyclicality(series, horizon)


def test_a_ratio_beyond_numbers_is_an_error_of_its_own():
    with pytest.raises(NumericalError):
        procyclicality([1e-300, 1e300], 1)
