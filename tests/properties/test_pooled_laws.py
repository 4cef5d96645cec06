"""Laws of pooled options: within the stated bound of pricing each one, the tail to the last bit, whatever the book."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from crossmargin.pricing import pooled as pricing_pooled
from crossmargin.pricing.european import EuropeanBook
from crossmargin.pricing.pooled import pooled_pnl
from crossmargin.risk import expected_shortfall

seeds = st.integers(0, 2**32 - 1)
accuracies = st.sampled_from([1e-2, 1e-3, 1e-6, 1e-9, 1e-12, 1e-13])
times = st.sampled_from([0.0, 1e-4, 1 / 365, 3 / 365, 30 / 365, 0.5, 1.0, 30.0])
kinds = st.sampled_from(["scale", "scale", "shift", "neither", "both"])


@pytest.fixture(autouse=True, scope="module")
def _however_small():
    """Books of tests are small; boxes are tried for them all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pricing_pooled, "SMALL", 0)
        yield


@st.composite
def books(draw):
    """Slices of mixed expiries; moves with heavy tails, volatility that follows; strikes at 0, near, far beyond."""
    rng, n_slices = np.random.default_rng(draw(seeds)), draw(st.integers(1, 3))
    n_scenarios, n_options = draw(st.sampled_from([1, 7, 300, 1500])), draw(st.sampled_from([1, 9, 60, 120]))
    shape, kind = (n_slices, n_scenarios), draw(kinds)
    moves = draw(st.sampled_from([0.0, 1e-4, 0.01, 0.1])) * rng.standard_t(draw(st.sampled_from([2, 4, 30])), shape)
    moves = np.clip(moves, -20, 20)
    more = draw(st.sampled_from([-3.0, 0.0, 1.0])) * moves + draw(st.sampled_from([0.0, 0.02, 0.1])) * rng.normal(
        0, 1, shape
    )
    row = rng.integers(0, n_slices, n_options)
    spot, far = draw(st.sampled_from([1e-3, 100.0, 1e6])), draw(st.sampled_from([0.01, 0.1, 1.0, 5.0]))
    volatilities = st.sampled_from([[0.2], [0.1, 0.3, 0.5], [0.0, 0.2], [1e-8, 0.2], [2.0]])
    return EuropeanBook(
        forward=spot * np.exp(moves + rng.normal(0, 0.1, (n_slices, 1))),
        discount=np.exp(rng.normal(0, 0.02, shape)),
        time=[[draw(times)] for _ in range(n_slices)],
        scale=np.exp(np.clip(more, -5, 5)) if kind in {"scale", "both"} else np.ones(shape),
        shift=0.2 * more if kind in {"shift", "both"} else np.full(shape, draw(st.sampled_from([0.0, 0.05, -0.02]))),
        slice_row=row,
        volatility_row=row,
        strike=spot * np.exp(rng.normal(0, far, n_options)) * (rng.random(n_options) > 0.02),
        is_call=rng.random(n_options) < 0.5,
        volatility=rng.choice(draw(volatilities), n_options) * rng.uniform(0.9, 1.1, n_options),
    )


@st.composite
def holdings(draw, book):
    """One to three pools, long or both ways; one position may be enormous."""
    rng, count = np.random.default_rng(draw(seeds)), book.n_options
    quantity = rng.normal(0, 100, count)
    quantity[0] = draw(st.sampled_from([quantity[0], 1e9, 0.0]))
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=2)))
    quantity = np.abs(quantity) if draw(st.booleans()) else quantity
    made = {"pool_start": [0, *cuts, count], "pool_option": rng.permutation(count), "quantity": quantity}
    size = draw(st.sampled_from([None, 0.0, 1e3, 1e12]))
    return made if size is None else made | {"besides": rng.normal(0, size, (len(cuts) + 1, book.n_scenarios))}


@st.composite
def cases(draw):
    book = draw(books())
    return book, draw(holdings(book)), draw(accuracies)


def valued(book, held, **named):
    base = np.linspace(0.0, float(book.forward[0, 0]), book.n_options)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # plain Python warns, machine code does not
        return pooled_pnl(book, base, **held, **named)


@given(cases())
def test_no_value_is_farther_from_pricing_each_option_than_the_bound(case):
    book, held, accuracy = case
    got, direct = valued(book, held, accuracy=accuracy), valued(book, held, accuracy=0.0)
    event(f"interpolated: {bool(got.bound.any())}")
    assert (np.abs(got.values - direct.values) <= got.bound[:, None]).all()
    assert np.array_equal(got.values[got.exact], direct.values[got.exact])


@given(cases(), st.data())
def test_the_worst_scenarios_are_those_of_pricing_each_option(case, data):
    book, held, accuracy = case
    worst = data.draw(st.integers(0, min(book.n_scenarios, 40)))
    got, direct = valued(book, held, accuracy=accuracy, worst=worst), valued(book, held, accuracy=0.0)
    assert np.array_equal(np.sort(got.values)[:, :worst], np.sort(direct.values)[:, :worst])
    assert (got.exact.sum(axis=1) >= worst).all()


@given(cases(), st.sampled_from([0.9, 0.99, 0.999]))
def test_expected_shortfall_is_that_of_the_full_revaluation(case, confidence):
    book, held, accuracy = case
    worst = int(np.ceil(round(book.n_scenarios * (1 - confidence), 9)))
    got, direct = valued(book, held, accuracy=accuracy, worst=worst), valued(book, held, accuracy=0.0)
    assert np.array_equal(*(expected_shortfall(each.values, confidence) for each in (got, direct)))


@given(cases())
def test_twice_the_book_has_twice_the_result_and_twice_the_bound(case):
    book, held, accuracy = case
    once = valued(book, held, accuracy=accuracy)
    doubled = {name: 2.0 * held[name] for name in ("quantity", "besides") if name in held}
    twice = valued(book, held | doubled, accuracy=accuracy)
    assert np.array_equal(2.0 * once.values, twice.values)
    assert np.array_equal(2.0 * once.bound, twice.bound)


@given(cases())
def test_the_order_of_holdings_moves_nothing_beyond_the_bound(case):
    book, held, accuracy = case
    start, option, quantity = held["pool_start"], held["pool_option"].copy(), held["quantity"].copy()
    for first, last in pairwise(start):
        option[first:last], quantity[first:last] = option[first:last][::-1].copy(), quantity[first:last][::-1].copy()
    turned = valued(book, held | {"pool_option": option, "quantity": quantity}, accuracy=accuracy)
    once = valued(book, held, accuracy=accuracy)
    size = np.abs(quantity).sum() * (book.forward.max() + book.strike.max()) + np.max(np.abs(held.get("besides", 0.0)))
    assert turned.bound == pytest.approx(once.bound, rel=1e-9)
    assert (np.abs(turned.values - once.values) <= 2 * once.bound[:, None] + 1e-12 * size).all()
