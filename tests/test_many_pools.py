"""Pools of many accounts: kernels against their slow twin, and the laws that no layout may break."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.kernels import accounts as account_kernels
from crossmargin.kernels._jit import kernel
from crossmargin.kernels._ranks import group_minima, sort_least
from crossmargin.kernels._vectors import AHEAD, CHUNK, copy_few, gather_below, pool_below
from crossmargin.kernels.tails import MOST, order
from crossmargin.pricing import many_pools
from crossmargin.pricing.many_pools import Tails, pool_tails, row_tails, sorted_positions, store_of, trade_tails
from tests.reference import batch_twin as twin


def var_and_es(k):
    weights = np.zeros((2, k))
    weights[0, -1], weights[1] = 1.0, 1.0 / k
    return weights


def made_up(seed, *, n_accounts=7, n_silos=3, n_instruments=11, n_positions=60, scenarios=(300,)):
    rng = np.random.default_rng(seed)
    matrices = [rng.standard_t(4, (n_instruments, n)) for n in scenarios]
    columns = {
        "accounts": rng.integers(0, n_accounts, n_positions),
        "silos": rng.integers(0, n_silos, n_positions),
        "instruments": rng.integers(0, n_instruments, n_positions),
        "quantities": rng.integers(-50, 51, n_positions).astype(float),
    }
    return matrices, columns, (n_accounts, n_silos, n_instruments)


def holdings(columns, shape):
    cells = (columns["accounts"] * shape[1] + columns["silos"]).astype(np.int32)
    return sorted_positions(cells, columns["instruments"].astype(np.int32), columns["quantities"], shape=shape)


POOLS = ((0,), (), (2,), (0, 1), (0, 1, 2))


def test_the_constants_of_both_sides_agree():
    assert (many_pools.CHUNK, many_pools.AHEAD, many_pools.MOST_WORST) == (CHUNK, AHEAD, MOST)


@pytest.mark.parametrize("number", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "k"), [(1, 1), (5, 5), (40, 3), (63, 40), (250, 3), (1250, 13), (1250, 31), (1250, 63), (2600, 256)]
)
def test_tails_of_rows_against_the_twin(number, n, k):
    rng = np.random.default_rng(n + k)
    rows = np.stack([rng.standard_t(3, n), np.zeros(n), np.sort(rng.normal(size=n)), np.round(rng.normal(size=n)),
                     -np.arange(float(n)), np.where(np.arange(n) % 2, 1e9, -1e9)]).astype(number)  # fmt: skip
    np.testing.assert_allclose(row_tails(rows, var_and_es(k)), twin.row_tails(rows, var_and_es(k)), rtol=1e-12)


@given(st.lists(st.floats(-1e9, 1e9, width=32), min_size=1, max_size=400), st.data())
@settings(max_examples=150, deadline=None)
def test_the_order_of_scenarios_changes_no_bit(values, data):
    k = data.draw(st.integers(1, min(len(values), MOST)))
    mixed = np.array([values, data.draw(st.permutations(values))])
    ours = row_tails(mixed, var_and_es(k))
    assert (ours[0] == ours[1]).all()
    assert ours[0, 0] == -sorted(values)[k - 1]


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("scenarios", [(300,), (10,), (64, 1300), (257, 33)])
def test_accounts_against_the_twin(single, scenarios):
    matrices, columns, shape = made_up(3, scenarios=scenarios)
    segments = tuple(n % len(scenarios) for n in range(len(POOLS)))
    tails = Tails(POOLS, segments, tuple(var_and_es(4 + n) for n in range(len(scenarios))))
    ours = pool_tails(store_of(matrices, single=single), holdings(columns, shape), tails)
    theirs = twin.pool_tails(matrices, **columns, n_accounts=shape[0], tails=tails)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6 if single else 1e-12, atol=1e-3 if single else 1e-9)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("k", [1, 13, 50])
def test_sweeping_in_blocks_gives_the_same_bits_as_whole_accounts(single, k, monkeypatch):
    matrices, columns, shape = made_up(5, n_accounts=40, n_positions=300, scenarios=(1250,))
    matrices[0][3:5] = 0.0
    matrices[0][5] = np.round(matrices[0][5])
    matrices[0][6] = np.where(np.arange(1250) < 200, -1e6, 1.0)
    tails, held, store = Tails(POOLS, (0,) * 5, (var_and_es(k),)), holdings(columns, shape), store_of(matrices)
    store = store_of(matrices, single=single)
    whole = pool_tails(store, held, tails)
    monkeypatch.setattr(many_pools, "SWEPT_BYTES", 0)
    for threads, at_a_time in ((1, 2**18), (2, 2**18), (3, 25)):
        monkeypatch.setattr(many_pools, "POOLS", at_a_time)
        assert (pool_tails(store, held, tails, threads=threads) == whole).all()


def test_lists_that_do_not_tell_are_done_again(monkeypatch):
    matrices, columns, shape = made_up(7, scenarios=(1250,))
    tails, held, store = Tails(POOLS, (0,) * 5, (var_and_es(13),)), holdings(columns, shape), store_of(matrices)
    whole, seen = pool_tails(store, held, tails), []
    monkeypatch.setattr(many_pools, "SWEPT_BYTES", 0)
    monkeypatch.setattr(many_pools, "_safe_rank", lambda _: 1)
    real = account_kernels.whole_accounts
    monkeypatch.setattr(account_kernels, "whole_accounts", lambda *a: (seen.append(a[-1] - a[-2]), real(*a)))
    assert (pool_tails(store, held, tails) == whole).all()
    assert seen[0] > 0


def test_what_finds_no_room_is_done_again(monkeypatch):
    matrices, columns, shape = made_up(8, n_accounts=90, n_positions=900, scenarios=(1250, 300))
    segments, weights = (0, 1, 0, 0, 1), (var_and_es(13), var_and_es(4))
    tails, held, store = Tails(POOLS, segments, weights), holdings(columns, shape), store_of(matrices)
    whole = pool_tails(store, held, tails)
    monkeypatch.setattr(many_pools, "SWEPT_BYTES", 0)
    for room in (1.5, 0.3, 0.0):
        monkeypatch.setattr(many_pools, "ROOM", room)
        assert (pool_tails(store, held, tails) == whole).all()


@kernel("i8(f4[::1], i8, i8, f4, f4[::1])", "i8(f8[::1], i8, i8, f8, f8[::1])")
def gathered(values, start, count, bound, kept):
    return gather_below(values, start, count, bound, kept, 1)


@kernel("void(f4[::1], i8, f4[::1], i8)", "void(f8[::1], i8, f8[::1], i8)")
def minima_of(values, count, minima, width):
    group_minima(values, count, minima, width)


@kernel("i8(f4[::1], i8, i8, f4[::1], i8)", "i8(f8[::1], i8, i8, f8[::1], i8)")
def copied(values, start, count, kept, held):
    return copy_few(values, start, count, kept, held)


@kernel("i8(f8[::1], i8[::1], i8, i8, i8, f4, f4[::1])", "i8(f8[::1], i8[::1], i8, i8, i8, f8, f8[::1])")
def below(sums, silos, first, last, valid, bound, kept):
    return pool_below(sums, silos, first, last, valid, bound, kept, 1)


@pytest.mark.parametrize("number", [np.float32, np.float64])
@given(st.lists(st.floats(-4, 4, width=16), min_size=1, max_size=200), st.floats(-5, 5, width=16), st.data())
@settings(max_examples=60, deadline=None)
def test_vectors_do_as_plain_python(number, drawn, bound, data):
    values = np.array(drawn, dtype=number)
    start = data.draw(st.integers(0, len(drawn)))
    ours, theirs = (np.zeros(300, dtype=number) for _ in range(2))
    many = gathered(values, start, len(values) - start, number(bound), ours)
    assert many == gather_below(values, start, len(values) - start, number(bound), theirs, 1)
    assert (ours[:many] == theirs[:many]).all()
    for copy, kept in ((copied, ours), (copy_few, theirs)):
        assert copy(np.pad(values, (0, 16)), start, len(values) - start, kept, 3) == 3 + len(values) - start
    assert (ours[3 : 3 + len(values) - start] == theirs[3 : 3 + len(values) - start]).all()
    for width in (32, 64):
        minima_of(values, len(values), ours, width)
        group_minima(values, len(values), theirs, width)
        assert (ours[:width] == theirs[:width]).all()
    few = values[:64], np.zeros(64, dtype=number), np.zeros(64, dtype=number)
    for kept, sort in zip(few[1:], (order, sort_least), strict=True):
        kept[: len(few[0])] = few[0]
        sort(kept, len(few[0]))
    assert (few[1][:32] == few[2][:32]).all()


@pytest.mark.parametrize("number", [np.float32, np.float64])
@pytest.mark.parametrize(("silos", "valid"), [((), 5), ((1,), 32), ((2, 0), 31), ((0, 1, 2), 0)])
def test_a_block_of_a_pool_in_vectors_as_in_plain_python(number, silos, valid):
    sums = np.random.default_rng(1).normal(size=3 * 64)
    sums[7::32], sums[9::32] = np.nan, 0.25
    ours, theirs = (np.zeros(200, dtype=number) for _ in range(2))
    arguments = sums, np.array([5, *silos], dtype=np.int64), 1, 1 + len(silos), valid, number(0.25)
    many = below(*arguments, ours)
    assert many == pool_below(*arguments, theirs, 1)
    assert (ours[:many] == theirs[:many]).all()


@given(st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_neither_order_of_rows_nor_threads_nor_splits_change_a_bit(random, threads):
    matrices, columns, shape = made_up(random.randrange(1000))
    order = random.sample(range(60), 60)
    mixed = {name: column[order] for name, column in columns.items()}
    halves = {name: np.concatenate([column, column]) for name, column in columns.items()}
    halves["quantities"] = halves["quantities"] / 2.0
    tails, store = Tails(POOLS, (0,) * 5, (var_and_es(3),)), store_of(matrices)
    plain = pool_tails(store, holdings(columns, shape), tails)
    assert (pool_tails(store, holdings(mixed, shape), tails, threads=threads) == plain).all()
    assert (pool_tails(store, holdings(halves, shape), tails) == plain).all()


def test_no_positions_and_no_accounts():
    matrices, columns, shape = made_up(1)
    none = {name: column[:0] for name, column in columns.items()}
    tails = Tails(POOLS, (0,) * 5, (var_and_es(3),))
    assert (pool_tails(store_of(matrices), holdings(none, shape), tails) == 0.0).all()
    assert pool_tails(store_of(matrices), holdings(none, (0, *shape[1:])), tails).shape == (0, 5, 2)


def test_single_precision_stays_within_its_bound():
    matrices, columns, shape = made_up(9, n_positions=500, scenarios=(700,))
    tails, held = Tails(POOLS, (0,) * 5, (var_and_es(7),)), holdings(columns, shape)
    exact, single = store_of(matrices), store_of(matrices, single=True)
    difference = np.abs(pool_tails(exact, held, tails) - pool_tails(single, held, tails)).max(axis=(1, 2))
    assert (difference <= 2.0**-23 * held.gross(exact.largest)).all()


def test_a_trade_on_top_of_pools_is_the_sum():
    rng = np.random.default_rng(2)
    pools, trade, sizes = rng.normal(size=(4, 1250)), rng.normal(size=1250), np.array([0.0, 2.0, -3.0, 1e6])
    ours = trade_tails(pools, trade, sizes, var_and_es(13))
    assert (ours == row_tails(pools + sizes[:, None] * trade, var_and_es(13))).all()
