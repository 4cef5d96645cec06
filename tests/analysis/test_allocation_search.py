"""The search on arrays: against brute force by a slow twin, its bounds, and what it refuses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.analysis import two_pot_search
from crossmargin.analysis.two_pot_book import Model, Tail, TwoPotBook
from crossmargin.analysis.two_pot_search import CENT, search
from crossmargin.errors import InputError
from crossmargin.risk import TailMeasure
from tests.reference import two_pot_twin

fewer = settings(max_examples=max(1, settings().max_examples // 4), deadline=None)
N = 40
MEASURES = {
    "quantile": (TailMeasure("quantile", confidence=0.9, quantile_type=1), lambda n: [0.0] * (n // 10) + [1.0]),
    "tail_mean": (TailMeasure("mean_of_k_worst", k=3), lambda _: [1 / 3] * 3),
}


@st.composite
def books(draw, most_lots=12, measures=tuple(MEASURES)):
    """A book of few movable lots and the same as plain lists."""
    seed, n = draw(st.integers(0, 10**6)), draw(st.integers(1, 5))
    rng = np.random.default_rng(seed)
    lots = rng.multinomial(draw(st.integers(0, most_lots)), np.ones(n) / n)
    fixed = rng.random(n) < 0.15
    least, most = np.where(fixed & (rng.random(n) < 0.5), lots, 0), np.where(fixed, 0, lots)
    side = rng.integers(0, 2, n)
    rest = {"lots": lots, "least": least, "most": np.maximum(least, most), "side": side}
    rest |= {"home": np.where(side == 0, rng.integers(0, 2, n), 2), "scales": (1.1, 1.0)}
    rest |= {"cap": draw(st.sampled_from([0.0, 0.5, 0.8, 1.0])), "minimum": draw(st.sampled_from([0.0, 0.3]))}
    name = draw(st.sampled_from(measures))
    scale = draw(st.sampled_from([1.0, 1e6]))
    return made(rng, n, name, scale, rest)


def made(rng, n, name, scale, rest):
    """The models of both houses on common factors, ours and the twin's."""
    measure, weights = MEASURES[name]
    loads, common = rng.normal(size=(n, 2)), rng.standard_t(4, (2, N))
    first = scale * np.round(loads @ common + 0.2 * rng.normal(size=(n, N)), 3)
    second = np.round(1.7 * first + scale * 0.1 * rng.normal(size=(n, N)), 3)
    faces, rates = scale * np.round(rng.normal(size=(n, 2)), 2), [0.5, 0.1]
    ours = (
        Model(first, [Tail(1.0, measure, 0, N)], faces, rates),
        Model(second, [Tail(0.75, measure, 0, 30), Tail(0.25, measure, 30, N)], np.zeros((n, 0)), []),
    )
    tails = [[(1.0, weights(N), 0, N)], [(0.75, weights(30), 0, 30), (0.25, weights(10), 30, N)]]
    theirs = [
        {"rows": first.tolist(), "tails": tails[0], "faces": faces.tolist(), "rates": rates},
        {"rows": second.tolist(), "tails": tails[1], "faces": [[]] * n, "rates": []},
    ]
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in rest.items()}
    return TwoPotBook(ours, **rest, constants=(scale,)), {**plain, "models": theirs, "constants": {0: scale}}


@given(books())
@settings(deadline=None)
def test_a_small_book_costs_what_brute_force_finds(case):
    book, plain = case
    found = search(book)
    best = two_pot_twin.cheapest(plain)
    assert found.total == pytest.approx(best, rel=1e-9, abs=CENT)
    assert found.total == pytest.approx(two_pot_twin.total(plain, tuple(found.directed.tolist())), rel=1e-9)
    assert found.exact
    assert found.lower_bound <= found.total


@fewer
@given(books(most_lots=10))
def test_branch_and_bound_finds_the_same_and_never_bounds_too_high(case):
    book, plain = case
    best = two_pot_twin.cheapest(plain)
    for nodes in (0, 300):
        found = two_pot_search._branch_and_bound(book, book.least, nodes)
        assert found.lower_bound <= best + 1e-9 * abs(best)
        assert found.total >= best - 1e-9 * abs(best)
    assert not found.exact or found.total == pytest.approx(best, rel=1e-9, abs=CENT)


@fewer
@given(books(), st.randoms(use_true_random=False))
def test_the_answer_never_costs_more_than_where_it_starts(case, random):
    book, _ = case
    start = np.array([random.randint(a, b) for a, b in zip(book.least.tolist(), book.most.tolist(), strict=True)])
    assert search(book, start=start).total <= float(book.totals(start)) + 1e-12
    assert two_pot_search._branch_and_bound(book, start, 5).total <= float(book.totals(start)) + 1e-12


@fewer
@given(books())
def test_a_higher_cap_never_costs_more(case):
    book, _ = case
    totals = [search(evolve(book, cap=cap)).total for cap in (0.0, 0.4, 0.8, 1.0)]
    assert all(later <= earlier + CENT for earlier, later in itertools.pairwise(totals))


@given(books())
@settings(deadline=None)
def test_bounds_of_a_box_hold_at_every_point_tried(case):
    """Planes and ranges, on which the whole proof rests, for the quantile and for the tail mean alike."""
    book, _ = case
    rng = np.random.default_rng(0)
    for model in book.models:
        low = rng.integers(-3, 3, book.n_items).astype(float)
        high = low + rng.integers(0, 4, book.n_items)
        points = low + (high - low) * rng.random((60, book.n_items))
        charges = model.charge(points, 1.0)
        least, most = model.charge_range(low, high, 1.0)
        slack = 1e-9 * max(1.0, most)
        assert least - slack <= charges.min()
        assert charges.max() <= most + slack
        for at in points[:5]:
            slope, level = model.plane(at, low, high, 1.0)
            assert (points @ slope + level <= charges + slack).all()


@fewer
@given(books(measures=("tail_mean",)))
def test_a_tail_mean_lies_on_its_plane(case):
    book, _ = case
    model = evolve(book.models[1], tails=[Tail(1.0, MEASURES["tail_mean"][0], 0, N)])
    at = book.lots.astype(float)
    slope, level = model.plane(at, at, at)
    assert model.convex
    assert level == 0.0
    assert max(0.0, slope @ at) == pytest.approx(float(model.charge(at)), abs=1e-6)


def test_of_allocations_that_cost_the_same_the_one_nearest_to_today_is_taken():
    rows = np.array([[-4.0, 4.0], [-4.0, 4.0]])
    model = Model(rows, [Tail(1.0, TailMeasure("kth_worst", k=1), 0, 2)], np.zeros((2, 0)), [])
    book = TwoPotBook((model, model), [0, 0], [0, 0], [3, 3], [0, 0], [3, 3], cap=0.8)
    for start in ([0, 0], [3, 1], [2, 2]):
        assert search(book, start=start).directed.tolist() == start


def test_a_perfect_hedge_meets_the_cap_and_a_minimum_can_undo_it():
    rows = np.array([[-4.0, 4.0], [4.0, -4.0]])
    model = Model(rows, [Tail(1.0, TailMeasure("kth_worst", k=1), 0, 2)], np.zeros((2, 0)), [])
    book = TwoPotBook((model, model), [0, 1], [0, 1], [5, 5], [0, 0], [5, 5], cap=0.8)
    assert search(book).total == pytest.approx(0.2 * 40)
    assert search(evolve(book, minimum=0.9)).total == pytest.approx(40)
    assert search(evolve(book, cap=0.0)).total == pytest.approx(40)


def test_large_lots_are_bounded_and_the_same_search_gives_the_same_answer():
    rng = np.random.default_rng(3)
    lots = np.array([400, 350, 300, 250, 500, 200, 1, 1])
    side = np.array([1, 1, 1, 1, 1, 1, 0, 0])
    loads = np.where(side, -1.0, 1.0)[:, None] * rng.uniform(0.5, 1.5, (8, 1))  # futures are short
    rows = loads * rng.standard_t(4, 250) + 0.1 * rng.normal(size=(8, 250))
    rows[6:] *= 800
    tail = Tail(1.0, MEASURES["quantile"][0], 0, 250)
    models = tuple(Model(scale * rows, [tail], np.zeros((8, 0)), []) for scale in (1.7, 1.0))
    book = TwoPotBook(models, side, np.where(side, 1, 0), lots, 0 * lots, lots, cap=0.8)
    found, again = (search(book, nodes=20) for _ in range(2))
    assert 0.0 < found.lower_bound <= found.total <= float(book.totals(0 * lots))
    assert (found.directed == again.directed).all()
    assert found.lower_bound == again.lower_bound
    wider = search(book, nodes=0)
    assert wider.lower_bound <= found.lower_bound + 1e-6


def test_an_empty_book_asks_nothing():
    nothing = Model(np.zeros((0, 4)), [], np.zeros((0, 0)), [])
    found = search(TwoPotBook((nothing, nothing), [], [], [], [], [], cap=0.8))
    assert found.total == 0.0
    assert found.directed.shape == (0,)


def test_all_that_is_wrong_with_a_book_is_said_at_once():
    model = Model([[np.nan, 1.0]], [], np.zeros((1, 0)), [])
    with pytest.raises(InputError) as caught:
        TwoPotBook((model, model), [0], [0], [2], [3], [1], cap=1.5, scales=(0.5, 1.0))
    assert {problem.where for problem in caught.value.problems} == {
        "least, most",
        "models[0]",
        "models[1]",
        "cap, minimum",
        "scales",
    }
    with pytest.raises(InputError, match="shape"):
        TwoPotBook((model, model), [0, 1], [0], [2], [0], [2], cap=0.8)


def test_a_start_outside_the_limits_and_negative_nodes_are_refused():
    model = Model([[-1.0, 1.0]], [Tail(1.0, TailMeasure("kth_worst", k=1), 0, 2)], np.zeros((1, 0)), [])
    book = TwoPotBook((model, model), [0], [0], [2], [0], [2], cap=0.8)
    with pytest.raises(InputError, match="outside the limits"):
        search(book, start=[3])
    with pytest.raises(InputError, match="negative"):
        search(book, nodes=-1)
