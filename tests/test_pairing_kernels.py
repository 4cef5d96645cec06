"""The compiled pairing kernels: the same optimum as SciPy's solvers, proven by multipliers, or an honest refusal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.pairing import Contracts, Hedge, pair, programme
from tests.reference import pairing_twin

STRIKES = [0, 90, 95, 100, 102.5, 105, 110]


@st.composite
def books(draw, most=7):
    """Books with ties, stock and counts from one to a billion."""
    keys = st.tuples(st.booleans(), st.sampled_from(STRIKES), st.sampled_from([10, 20, 30]))
    held = draw(st.lists(keys, unique=True, min_size=1, max_size=most))
    counts = draw(st.lists(st.sampled_from([-5, -2, -1, 1, 2, 3]), min_size=len(held), max_size=len(held)))
    times, lots = draw(st.sampled_from([1, 1, 1, 7, 10**9])), draw(st.integers(0, 3))
    money = st.lists(st.integers(0, 40).map(lambda n: 25.0 * n), min_size=len(held), max_size=len(held))
    hedges = [Hedge((n,), draw(st.integers(0, 50)) * 100.0, "cover") for n in range(len(held))] if lots else ()
    return Contracts(
        [times * each for each in counts],
        *zip(*held, strict=True),
        draw(money),
        draw(money),
        multiplier=100.0,
        lots=times * lots,
        lot_cost=5000.0,
        hedges=hedges,
    )


def made(book):
    layout = programme._layout(book)
    return layout, programme._programme(book, layout)


def same(one, other):
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)


@given(books())
def test_the_relaxed_optimum_is_that_of_scipy_and_its_multipliers_prove_it(book):
    layout, whole = made(book)
    if not len(whole.cost):
        return
    found, theirs = programme._by_table(whole, layout), programme._by_highs(whole, None)
    assert same(whole.cost @ found[0], whole.cost @ theirs[0])
    assert same(programme.proven_bound(whole, found[1]), whole.cost @ found[0])


@given(books(most=9))
def test_the_whole_optimum_is_that_of_scipy(book):
    layout, whole = made(book)
    if not len(whole.cost):
        return
    found = programme._searched_by_table(whole, layout)
    if found is not None and book.lots < 10**6:  # a search that rounding or its length ends says so
        values, cost, complete = found
        assert complete
        assert programme._is_whole(values, whole)
        assert cost <= programme._search(whole, None)[1] + 1e-6  # SciPy's search has been seen to stop above the least


@given(books())
def test_counting_losses_in_steps_of_strikes_changes_no_figure(book):
    stepwise = pair(book).value
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(programme, "_loss_unit", lambda _: 0.0)
        without = pair(book)
    assert same(without.value, stepwise) or without.proof == "search"


@given(books())
def test_without_the_kernels_the_figures_are_the_same(book):
    quick = pair(book)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(programme, "_SMALL_TABLE", -1)
        patched.setattr(programme, "_SMALL_SEARCH", -1)
        slow = pair(book)
    assert quick.optimal
    assert quick.value <= slow.value * (1 + 1e-9) + 1e-6  # a search of SciPy may stop above the least
    assert same(quick.value, slow.value) or slow.proof == "search"


def ladder(n, seed):
    """A book of n series in which whole contracts cost more than split ones."""
    draw = np.random.default_rng(seed)
    keys = [(right, strike, expiry) for right in (True, False) for strike in range(70, 131, 5) for expiry in (7, 14)]
    rights, strikes, expiries = zip(*(keys[row] for row in draw.choice(len(keys), n, replace=False)), strict=True)
    counts = draw.choice([-5, -3, -1, 2, 3, 4], n)
    premium, exposure = draw.uniform(100, 900, n).round(), draw.uniform(500, 2500, n).round()
    return Contracts(counts, rights, strikes, expiries, premium, exposure, multiplier=100.0)


@pytest.mark.compiled
def test_a_search_that_is_long_is_left_to_scipy():
    books = [ladder(24, seed) for seed in range(12)]
    refused = [book for book in books if programme._searched_by_table(made(book)[1], made(book)[0]) is None]
    assert refused, "no search was long: the test is too tame"
    assert pair(refused[0]).optimal


@pytest.mark.parametrize(
    ("strikes", "count", "unit"),
    [
        ((100, 102.5), -1, 2.5),
        ((100, 105, 0), -1, 5.0),
        ((33.333, 33.334), -1, 0.001),
        ((100 / 3, 100), -1, 0.0),
        ((0, 0), -1, 0.0),
        ((100, 105), -(10**9), 0.0),
    ],
)
def test_losses_are_counted_in_steps_of_strikes_where_that_helps(strikes, count, unit):
    n = len(strikes)
    book = Contracts([count] * n, [True] * n, strikes, range(n), [0] * n, [0] * n, multiplier=100.0)
    assert programme._loss_unit(book) == pytest.approx(unit)


@pytest.fixture(params=["by the kernel", "by HiGHS"])
def searched(request, monkeypatch):
    if request.param == "by HiGHS":
        monkeypatch.setattr(programme, "_SMALL_SEARCH", 0)


@pytest.mark.usefixtures("searched")
def test_a_book_that_a_presolve_calls_infeasible():
    quantities, calls = [3, 1, -3, -3, -5, 1, -2], [False, False, False, True, True, True, True]
    strikes, days = [6100, 6237.5, 6237.5, 5800, 6100, 6100, 6237.5], [14, 21, 49, 7, 7, 49, 21]
    premiums, exposures = [157, 1001, 107, 388, 315, 524, 26], [1738, 700, 100, 435, 48, 1638, 794]
    assert pair(Contracts(quantities, calls, strikes, days, premiums, exposures, multiplier=100.0)).value == 5425.0


@pytest.mark.usefixtures("searched")
def test_a_book_of_which_a_presolve_loses_the_least_cut():
    """With its presolve HiGHS calls 16,892 proven; the enumeration of every cut finds 15,032."""
    book = Contracts(
        [1, 1, -3, 3, -3, -5],
        [False, False, False, True, True, True],
        [90, 95, 105, 90, 95, 100],
        [10, 20, 20, 20, 10, 20],
        [550, 602, 362, 422, 939, 834],
        [1800, 800, 1200, 600, 814, 1849],
        multiplier=100.0,
        lots=1,
        lot_cost=5000.0,
        hedges=[Hedge((2,), 5000.0, "covered"), Hedge((3,), 1000.0, "protective"), Hedge((3, 2), 1000.0, "collar")],
    )
    assert pair(book).value == pytest.approx(15_032.0)
    assert pairing_twin.cheapest(book) == pytest.approx(15_032.0)
