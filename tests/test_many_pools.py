"""Pools of many accounts: kernels against their slow twin, and the laws that no layout may break."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.kernels import accounts as account_kernels
from crossmargin.kernels._vectors import AHEAD, CHUNK
from crossmargin.kernels.tails import MOST
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
@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 5), (40, 3), (63, 40), (250, 3), (1250, 13), (1250, 63), (2600, 256)])
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
    monkeypatch.setattr(many_pools, "SWEPT_POOLS", 9)
    for threads, lists in ((1, 2**18), (2, 2**18), (3, 25)):
        monkeypatch.setattr(many_pools, "LISTS", lists)
        assert (pool_tails(store, held, tails, threads=threads) == whole).all()


def test_lists_that_do_not_tell_are_done_again(monkeypatch):
    matrices, columns, shape = made_up(7, scenarios=(1250,))
    tails, held, store = Tails(POOLS, (0,) * 5, (var_and_es(13),)), holdings(columns, shape), store_of(matrices)
    whole, seen = pool_tails(store, held, tails), []
    monkeypatch.setattr(many_pools, "SWEPT_BYTES", 0)
    monkeypatch.setattr(many_pools, "SWEPT_POOLS", 9)
    monkeypatch.setattr(many_pools, "_safe_rank", lambda _: 1)
    real = account_kernels.whole_accounts
    monkeypatch.setattr(account_kernels, "whole_accounts", lambda *a: (seen.append(a[-1] - a[-2]), real(*a)))
    assert (pool_tails(store, held, tails) == whole).all()
    assert seen[0] > 0


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
