"""Pools of options through surfaces: against pricing each, the twin, the machine code; which boxes are chosen."""

from __future__ import annotations

import csv
import os
import re
from itertools import pairwise

import numpy as np
import pytest
from attrs import evolve
from numpy.polynomial import chebyshev

from crossmargin.errors import InputError
from crossmargin.kernels import _jit, interpolation
from crossmargin.pricing import pooled as pricing_pooled
from crossmargin.pricing.boxes import boxes_for, groups_of
from crossmargin.pricing.european import EuropeanBook
from crossmargin.pricing.pooled import pooled_pnl
from crossmargin.risk import expected_shortfall, value_at_risk
from tests.reference import black_twin

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


@pytest.fixture(autouse=True, scope="module")
def _however_small():
    """Books of tests are small; boxes are tried for them all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pricing_pooled, "SMALL", 0)
        yield


def chain(n_scenarios=1000, n_options=40, *, seed=1, **changes):
    """One chain; spot and volatility move as they do, a crash lifts volatility."""
    rng = np.random.default_rng(seed)
    moves = rng.standard_t(4, (1, n_scenarios)) * 0.01
    made = {
        "forward": 100 * np.exp(moves),
        "discount": np.exp(rng.normal(-0.01, 0.001, (1, n_scenarios))),
        "time": 0.1,
        "scale": np.exp(-3 * moves + rng.normal(0, 0.02, (1, n_scenarios))),
        "shift": np.zeros((1, n_scenarios)),
        "slice_row": np.zeros(n_options),
        "volatility_row": np.zeros(n_options),
        "strike": np.linspace(80, 125, n_options),
        "is_call": np.arange(n_options) % 2 == 0,
        "volatility": np.linspace(0.3, 0.2, n_options),
    }
    return EuropeanBook(**made | changes)


def one_pool(book, quantity=None):
    quantity = np.random.default_rng(7).normal(0, 100, book.n_options) if quantity is None else quantity
    return {"pool_start": [0, book.n_options], "pool_option": np.arange(book.n_options), "quantity": quantity}


def pooled(book, base=None, **named):
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # plain Python warns, machine code does not
        return pooled_pnl(book, np.ones(book.n_options) if base is None else base, **named)


def boxes(book, accuracy=1e-12, n_pools=1):
    held = np.arange(book.n_options)
    start = np.linspace(0, book.n_options, n_pools + 1).astype(np.int64)
    groups = groups_of(book, start, held, np.ones(book.n_options))
    return boxes_for(book.kernel_arguments(), groups, accuracy)


# ------------------------------------------------------------------------------------------------------ one chain


@pytest.mark.parametrize("accuracy", [1e-3, 1e-6, 1e-9, 1e-12])
def test_a_chain_is_what_pricing_each_option_gives_and_the_bound_holds(accuracy):
    book = chain()
    got, direct = (pooled(book, **one_pool(book), accuracy=each) for each in (accuracy, 0.0))
    size = np.abs(one_pool(book)["quantity"]) @ (book.forward.max() + book.strike)
    off = np.abs(got.values - direct.values).max()
    assert 0.0 < off <= got.bound[0] <= 1.2 * (accuracy + 1e-12) * size
    assert not got.exact.any()
    assert direct.exact.all()
    assert direct.bound.tolist() == [0.0]


def test_a_chain_is_that_of_the_slow_twin():
    book = chain(400, 24)
    names = ("slice_row", "volatility_row", "strike", "is_call", "volatility", "forward", "scale", "shift", "discount")
    twin = {name: getattr(book, name).tolist() for name in names}
    twin["time"] = np.broadcast_to(book.time, book.forward.shape).tolist()
    holdings = one_pool(book)
    got = pooled(book, np.zeros(24), **holdings)
    assert got.bound[0] > 0.0
    expected = black_twin.pooled(twin, np.zeros(24), [list(enumerate(holdings["quantity"]))])
    assert got.values == pytest.approx(np.array(expected), abs=1e-13 * 100 * np.abs(holdings["quantity"]).sum())


def test_the_tail_has_the_bits_of_the_full_revaluation():
    book = chain()
    holdings = one_pool(book)
    direct = pooled(book, **holdings, accuracy=0.0)
    for accuracy in (1e-4, 1e-12):
        got = pooled(book, **holdings, accuracy=accuracy, worst=11)
        assert got.exact.sum() >= 11
        assert np.array_equal(got.values[got.exact], direct.values[got.exact])
        assert expected_shortfall(got.values[0], 0.99) == expected_shortfall(direct.values[0], 0.99)
        assert value_at_risk(got.values[0], 0.99) == value_at_risk(direct.values[0], 0.99)


def test_a_loose_bound_reprices_more_than_the_worst():
    book = chain()
    found = [pooled(book, **one_pool(book), accuracy=each, worst=10).exact.sum() for each in (1e-12, 1e-3)]
    assert found[0] == 10 < found[1] < 1000


def test_all_may_be_the_worst():
    book = chain()
    assert pooled(book, **one_pool(book), worst=1000).exact.all()


def test_pools_do_not_meet_and_an_empty_one_has_nothing():
    book = chain()
    quantity = one_pool(book)["quantity"]
    some = {"pool_start": [0, 25, 25, 40], "pool_option": np.arange(40)[::-1], "quantity": quantity}
    got, direct = (pooled(book, **some, accuracy=each, worst=3) for each in (1e-12, 0.0))
    assert not got.values[1].any()
    assert got.bound[1] == 0.0
    assert (np.abs(got.values - direct.values) <= got.bound[:, None]).all()
    for pool, part in enumerate([slice(0, 25), slice(25, 25), slice(25, 40)]):
        alone = {"pool_start": [0, part.stop - part.start], "pool_option": some["pool_option"][part]}
        row = pooled(book, **alone, quantity=quantity[part], accuracy=0.0).values[0]
        assert np.array_equal(row, direct.values[pool])


def test_the_tail_is_that_of_the_whole_pool_not_of_its_options():
    book = chain()
    shares = 700.0 * (book.forward - 100.0) + 0.1
    got, direct = (pooled(book, **one_pool(book), besides=shares, accuracy=each, worst=10) for each in (1e-12, 0.0))
    alone = pooled(book, **one_pool(book), worst=10)
    assert not np.array_equal(got.exact, alone.exact)
    assert np.array_equal(got.values[got.exact], direct.values[got.exact])
    assert expected_shortfall(got.values[0], 0.99) == expected_shortfall(direct.values[0], 0.99)
    assert (np.abs(got.values - direct.values) <= got.bound).all()
    assert got.values == pytest.approx(alone.values + shares, abs=1e-6)
    assert shares[0, 0] == 700.0 * (book.forward[0, 0] - 100.0) + 0.1  # what was given is left as it was


def test_one_enormous_position_is_within_its_bound_and_leaves_the_tail_alone():
    book = chain()
    quantity = one_pool(book)["quantity"]
    quantity[3] = 1e9
    got, direct = (pooled(book, **one_pool(book, quantity), accuracy=each, worst=10) for each in (1e-12, 0.0))
    assert (np.abs(got.values - direct.values) <= got.bound).all()
    assert expected_shortfall(got.values[0], 0.99) == expected_shortfall(direct.values[0], 0.99)


@pytest.mark.slow_interpreted
def test_two_thousand_days_of_the_market_are_interpolated_with_the_same_tail(shared):
    """Moves of the S&P 500 and of the VIX, one day and ten: the volatility of every strike moves in proportion."""
    prices, volatilities = (
        closes(shared, "equity_indices_daily.csv", "SPX"),
        closes(shared, "volatility_indices_daily.csv", "VIX"),
    )
    days = sorted(prices.keys() & volatilities.keys())
    spot, vix = (np.array([known[day] for day in days]) for known in (prices, volatilities))
    for horizon in (1, 10):
        moves, scale = ((level[horizon:] / level[:-horizon])[-2000:] for level in (spot, vix))
        book = chain(2000, 200, forward=[100 * moves], scale=[scale])
        assert boxes(book).counts[0, 2] > 0
        got, direct = (pooled(book, **one_pool(book), accuracy=each, worst=20) for each in (1e-12, 0.0))
        assert got.exact.sum() == 20
        assert expected_shortfall(got.values[0], 0.99) == expected_shortfall(direct.values[0], 0.99)
        assert (np.abs(got.values - direct.values) <= got.bound).all()


def closes(shared, file, name):
    with (shared / "data" / "market" / file).open(newline="") as lines:
        return {row["date"]: float(row[f"{name}_close"]) for row in csv.DictReader(lines) if row[f"{name}_close"]}


# -------------------------------------------------------------------------------------------------- which box, or none


def test_a_small_book_is_priced(monkeypatch):
    monkeypatch.setattr(pricing_pooled, "SMALL", 40_000)
    assert pooled(chain(1000), **one_pool(chain())).exact.all()
    assert not pooled(chain(1001), **one_pool(chain())).exact.all()


def test_points_grow_as_time_and_accuracy_shrink():
    points = [boxes(chain(time=years)).counts[0, 2:4].prod() for years in (1.0, 0.1, 0.01)]
    assert points == sorted(points)
    assert 0 < points[0] < points[-1] < 500
    assert 0 < boxes(chain(), 1e-6).counts[0, 2:4].prod() < boxes(chain(), 1e-13).counts[0, 2:4].prod()


def test_volatility_may_move_by_shift_or_not_at_all():
    still, moving = np.ones((1, 1000)), np.random.default_rng(3).normal(0, 0.01, (1, 1000))
    shifted, fixed = chain(scale=still, shift=moving), chain(scale=still)
    assert boxes(shifted).counts[0, 2] > 0 == boxes(shifted).counts[0, 4]
    assert boxes(fixed).counts[0, 3:].tolist()[1:] == [1]
    assert boxes(fixed).counts[0, 3] <= 2
    for book in (shifted, fixed):
        got, direct = (pooled(book, **one_pool(book), accuracy=each) for each in (1e-12, 0.0))
        assert (np.abs(got.values - direct.values) <= got.bound).all()
        assert not got.exact.any()


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": np.random.default_rng(3).normal(0, 0.01, (1, 1000))},
        {"volatility": np.r_[0.0, np.full(39, 0.2)]},
        {"time": 0.0},
        {"time": 1e-5},
        {"n_options": 1},
        {"n_scenarios": 20},
        {"scale": np.zeros((1, 1000))},
        {"scale": np.full((1, 1000), 1e308), "time": 1e300},
        {"forward": np.exp(np.random.default_rng(3).normal(0, 5, (1, 1000)))},
    ],
    ids=["both-move", "no-volatility", "expiry", "minutes", "one", "few", "no-scale", "overflow", "wild"],
)
def test_where_it_does_not_pay_every_option_is_priced(changes):
    with np.errstate(over="ignore"):
        book = chain(**changes)
        got, direct = (pooled(book, **one_pool(book), accuracy=each) for each in (1e-12, 0.0))
    assert got.exact.all()
    assert np.array_equal(got.values, direct.values)
    assert got.bound.tolist() == [0.0]


def test_scenarios_outside_the_box_are_priced():
    book = chain()
    forward, scale, shift = book.forward.copy(), book.scale.copy(), book.shift.copy()
    forward[0, 500], scale[0, 501], shift[0, 503] = 1e3, 7.0, 0.01  # between those that the choice of a box looks at
    far = evolve(book, forward=forward, scale=scale, shift=shift)
    got, direct = (pooled(far, **one_pool(book), accuracy=each) for each in (1e-12, 0.0))
    assert got.bound[0] > 0.0
    assert (np.abs(got.values - direct.values) <= got.bound).all()
    assert got.values[0, [500, 501, 503]] == pytest.approx(direct.values[0, [500, 501, 503]], rel=1e-12)


def test_chains_and_what_is_priced_stand_side_by_side():
    two = chain(n_options=80, slice_row=np.repeat([0, 1], 40), volatility_row=np.repeat([0, 1], 40), **both_slices())
    counts = boxes(two).counts
    assert counts[:, 2].tolist()[0] > 0 == counts[1, 2]
    got, direct = (pooled(two, **one_pool(two), accuracy=each, worst=10) for each in (1e-12, 0.0))
    assert got.exact.sum() == 10
    assert (np.abs(got.values - direct.values) <= got.bound).all()
    assert np.array_equal(got.values[got.exact], direct.values[got.exact])


def both_slices():
    book = chain()
    tables = {name: np.vstack([getattr(book, name)] * 2) for name in ("forward", "discount", "scale", "shift")}
    return {
        **tables,
        "time": [[0.1], [0.0]],
        "strike": np.tile(book.strike, 2),
        "volatility": np.tile(book.volatility, 2),
    }


# ---------------------------------------------------------------------------------------------------------- bad input


def test_nothing_to_hold_nothing_to_value():
    book = chain()
    nothing = {"pool_option": [], "quantity": []}
    assert pooled(book, pool_start=[0, 0, 0], **nothing).values.tolist() == [[0.0] * 1000] * 2
    assert pooled(book, pool_start=[0], **nothing).values.shape == (0, 1000)
    assert pooled(chain(0), **one_pool(book)).values.shape == (1, 0)


def test_all_that_is_wrong_is_said_at_once():
    book = chain()
    with pytest.raises(InputError) as error:
        pooled(
            book,
            np.full(39, np.nan),
            pool_start=[0, 3],
            pool_option=[0, 40, -1, 2],
            quantity=[1.0, np.inf, 2.0, 3.0],
            accuracy=-1.0,
            worst=1001,
        )
    for part in ("base_value", "pool_start", "40 is none of the 40 options", "inf is not", "-1.0 is not", "1001 of"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantity": [1.0]}, "pool_option, quantity"),
        ({"pool_start": [1, 40]}, "pool_start"),
        ({"pool_start": [0, 30, 20, 40]}, "pool_start"),
        ({"pool_start": []}, "pool_start"),
        ({"accuracy": float("nan")}, "accuracy"),
        ({"worst": -1}, "worst"),
        ({"besides": [[0.0]]}, "besides"),
        ({"besides": np.full((1, 1000), np.nan)}, "besides"),
    ],
)
def test_what_does_not_fit_is_refused(changes, said):
    book = chain()
    with pytest.raises(InputError, match=said):
        pooled(book, **one_pool(book) | changes)


# -------------------------------------------------------------------------------------------------------------- kernel


def through_boxes(book, pieces=()):
    groups = groups_of(book, np.array([0, 15, 40]), np.arange(40), np.arange(40) - 17.5)
    box = boxes_for(book.kernel_arguments(), groups, 1e-12)
    assert box.counts[0, 2] > 0
    out = np.full((2, book.n_scenarios), 7.0)
    held = groups.start, groups.option, groups.quantity
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for begin, end in pairwise([0, *pieces, book.n_scenarios]):
            interpolation.interpolated_pooled(
                *book.kernel_arguments(), np.ones(40), box.counts, box.box, *held, out, begin, end
            )
    return out


def test_cutting_the_scenarios_changes_no_bit():
    book = chain(300 if INTERPRETED else 1100)
    whole = through_boxes(book)
    assert np.array_equal(whole, through_boxes(book, pieces=[1, 8, 150, 151]))


@pytest.mark.parametrize(("n_across", "n_along"), [(1, 1), (2, 1), (7, 8), (12, 9), (30, 20)])
def test_a_surface_goes_through_its_points_and_is_read_as_numpy_reads_it(n_across, n_along):
    rng = np.random.default_rng(5)
    falls = 0.5 ** np.arange(n_across)[:, None] * 0.2 ** np.arange(n_along)
    series = rng.normal(0, 1, (n_across, n_along)) * falls
    xi, eta = chebyshev.chebpts1(n_across)[::-1], chebyshev.chebpts1(n_along)[::-1]
    value = chebyshev.chebgrid2d(xi, eta, series).reshape(1, -1)
    surface = interpolation._surfaces(value, n_across, n_along, np.array([0, 1]))[0]
    w = np.zeros((8, 40))
    w[interpolation.XI], w[interpolation.ETA] = rng.uniform(-1, 1, (2, 40))
    interpolation._read(w, surface, 40)
    expected = chebyshev.chebval2d(w[interpolation.XI], w[interpolation.ETA], series)
    assert w[interpolation.VALUE] == pytest.approx(expected, abs=1e-14)


@pytest.mark.compiled
def test_surfaces_are_read_in_vector_code():
    read = interpolation._read
    fresh = _jit.njit(read.signatures[0], **_jit.FLAGS)(read.py_func)  # what comes from the cache hides its code
    code = fresh.inspect_llvm(read.signatures[0])
    hot = [block for block in re.split(r"\n(?=[\w.]+:)", code) if len(re.findall(r"@llvm\.fma\.v\d+f64", block)) >= 16]
    assert len(hot) >= 2, "the loops over scenarios are no longer vectorised: first powers, then the sum"
