"""Streaming: the bits of the stored P&L, whatever the blocks and threads, and memory that scenarios do not fill."""

from __future__ import annotations

import tracemalloc
from datetime import date, timedelta
from functools import cache

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.batch import Positions, margin_many, plan
from crossmargin.batch.streaming import Stream, Streamed
from crossmargin.errors import InputError
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import can_revalue, revalue
from crossmargin.pricing.european import EuropeanBook, european_values
from crossmargin.pricing.many_pools import Tails, pool_tails, sorted_positions, store_of
from crossmargin.pricing.streamed import Blocks, european_blocks, streamed_tails
from crossmargin.products import ListedOption, ShortRateFuture, Stock, TreasuryFuture, TreasuryNote
from crossmargin.scenarios import ScenarioSpec, scenario_set
from crossmargin.underlyings import Underlying
from tests.reference import streaming_twin

N_ACCOUNTS, N_SILOS, N_INSTRUMENTS = 5, 3, 8
POOLS = ((0,), (1, 2), (0, 1, 2), (), (2,))


def weights(k):
    """Value at risk and expected shortfall."""
    found = np.full((2, k), 1.0 / k)
    found[0] = 0.0
    found[0, -1] = 1.0
    return found


def blocks_of(*matrices):
    """Stored P&L, handed out a block at a time."""

    def fill(segment, scenarios, room):
        for block, chosen in zip(room.values, scenarios, strict=True):
            block[:] = matrices[segment][:, chosen]
        if room.largest.size:
            np.maximum(room.largest, np.abs(matrices[segment][:, scenarios.ravel()]).max(axis=1), out=room.largest)

    return Blocks(tuple(matrix.shape[1] for matrix in matrices), len(matrices[0]), fill)


def rows(rng, n=60):
    return (
        rng.integers(0, N_ACCOUNTS, n),
        rng.integers(0, N_SILOS, n),
        rng.integers(0, N_INSTRUMENTS, n),
        rng.integers(-3, 4, n).astype(float),
    )


def holdings(accounts, silos, instruments, quantities):
    cells = (accounts * N_SILOS + silos).astype(np.int32)
    shape = N_ACCOUNTS, N_SILOS, N_INSTRUMENTS
    return sorted_positions(cells, instruments.astype(np.int32), quantities, shape=shape)


# ---------------------------------------------------------------------------------------------- stored P&L, cut up


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.floats(0.0, 1.0),
    st.sampled_from(["normal", "ties", "nothing", "ever worse", "ever better", "huge"]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.booleans(),
)
def test_any_number_of_blocks_gives_the_bits_of_the_stored_matrix(seed, counts, share, shape, at_once, threads, single):
    rng = np.random.default_rng(seed)
    made = {
        "normal": lambda n: rng.standard_normal((N_INSTRUMENTS, n)),
        "ties": lambda n: rng.integers(-2, 3, (N_INSTRUMENTS, n)).astype(float),
        "nothing": lambda n: np.zeros((N_INSTRUMENTS, n)),
        "ever worse": lambda n: np.tile(-np.arange(n, dtype=float), (N_INSTRUMENTS, 1)),
        "ever better": lambda n: np.tile(np.arange(n, dtype=float), (N_INSTRUMENTS, 1)),
        "huge": lambda n: 1e30 * rng.standard_normal((N_INSTRUMENTS, n)),
    }[shape]
    matrices = [made(n) for n in counts]
    held = holdings(*rows(rng))
    tails = Tails(POOLS, (0, 1, 0, 1, 1), tuple(weights(max(1, min(256, round(share * n)))) for n in counts))
    store = store_of(matrices, single=single)
    stored = pool_tails(store, held, tails)
    found, largest = streamed_tails(blocks_of(*matrices), held, tails, single=single, at_once=at_once, threads=threads)
    assert (found == stored).all()
    assert (largest == store.largest).all() if single else not largest.size


@pytest.mark.parametrize("n_scenarios", [1, 31, 32, 33, 100])
def test_the_slow_twin_agrees(n_scenarios):
    rng = np.random.default_rng(n_scenarios)
    matrix, held = rng.standard_t(3, (N_INSTRUMENTS, n_scenarios)), rows(rng)
    tails = Tails(POOLS, (0,) * len(POOLS), (weights(max(1, n_scenarios // 10)),))
    slow = streaming_twin.streamed_tails(
        lambda _, scenario: matrix[:, scenario], (n_scenarios,), *held, n_accounts=N_ACCOUNTS, tails=tails
    )
    found, _ = streamed_tails(blocks_of(matrix), holdings(*held), tails)
    assert found == pytest.approx(slow, rel=1e-12, abs=1e-12)


def test_what_is_asked_must_be_there():
    held, matrix = holdings(*rows(np.random.default_rng(0))), np.zeros((N_INSTRUMENTS, 10))
    with pytest.raises(InputError) as caught:
        streamed_tails(blocks_of(matrix), held, Tails(((0,),), (0,), (weights(11),)), at_once=0, threads=0)
    assert len(caught.value.problems) == 3
    with pytest.raises(InputError, match="worst results of 300"):
        streamed_tails(blocks_of(np.zeros((8, 300))), held, Tails(((0,),), (0,), (weights(257),)))


def test_no_accounts_and_no_pools():
    nobody = sorted_positions(*(np.empty(0, np.int32),) * 2, np.empty(0), shape=(0, 1, 1))
    assert streamed_tails(blocks_of(np.zeros((1, 4))), nobody, Tails(((0,),), (0,), (weights(1),)))[0].shape == (
        0,
        1,
        2,
    )
    held = holdings(*rows(np.random.default_rng(0), n=0))
    assert (streamed_tails(blocks_of(np.ones((8, 4))), held, Tails(((0,),), (0,), (weights(2),)))[0] == 0.0).all()


@pytest.mark.slow_interpreted
def test_memory_does_not_grow_with_the_scenarios():
    peaks = []
    held = holdings(*rows(np.random.default_rng(0)))
    for n_scenarios in (640, 20 * 640):

        def fill(_, scenarios, room):
            room.values[:] = np.sin(scenarios)[:, None, :]

        tracemalloc.start()
        streamed_tails(Blocks((n_scenarios,), N_INSTRUMENTS, fill), held, Tails(((0,),), (0,), (weights(10),)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 8 * 20 * 640  # one number for each scenario, not one for each instrument


# ------------------------------------------------------------------------------------------------ options priced


def european(rng, n_scenarios, n_options=N_INSTRUMENTS):
    moves = rng.normal(0.0, 0.05, (3, n_scenarios))
    return EuropeanBook(
        forward=100.0 * np.exp(moves),
        discount=0.98,
        time=rng.choice([0.0, 0.02, 1.5], (3, 1)),
        scale=1.0 - moves[:2],
        shift=rng.normal(0.0, 0.1, (2, n_scenarios)),
        slice_row=rng.integers(0, 3, n_options),
        volatility_row=rng.integers(0, 2, n_options),
        strike=rng.choice([0.0, 80.0, 100.0, 130.0], n_options),
        is_call=rng.integers(0, 2, n_options) == 1,
        volatility=rng.choice([0.0, 0.2, 0.8], n_options),
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 150), st.booleans(), st.integers(1, 2))
def test_options_are_priced_to_the_bits_of_european_values(seed, n_scenarios, single, threads):
    rng = np.random.default_rng(seed)
    book = european(rng, n_scenarios)
    base, units = rng.uniform(0.0, 9.0, N_INSTRUMENTS), rng.choice([1.0, 50.0, 100.0], N_INSTRUMENTS)
    pnl = units[:, None] * european_values(book) - (units * base)[:, None]
    held, tails = holdings(*rows(rng)), Tails(POOLS, (0,) * len(POOLS), (weights(-(-n_scenarios // 20)),))
    stored = pool_tails(store_of([pnl], single=single), held, tails)
    blocks = european_blocks(book, base, units=units)
    found, largest = streamed_tails(blocks, held, tails, single=single, threads=threads)
    assert (found == stored).all()
    if single:
        assert largest == pytest.approx(np.abs(pnl).max(axis=1), rel=1e-6)


def test_options_need_finite_bases():
    book = european(np.random.default_rng(0), 4)
    with pytest.raises(InputError, match="base, row 2"):
        european_blocks(book, np.where(np.arange(N_INSTRUMENTS) == 2, np.nan, 1.0))
    with pytest.raises(InputError, match="one for each option"):
        european_blocks(book, [1.0, 2.0])


# ------------------------------------------------------------------------------------------- products of every kind


@cache
def everything():
    """Products valued in each of the three ways, and one that is not revalued; drawn scenarios with spot moves."""
    rng, today = np.random.default_rng(8), date(2026, 6, 30)
    days = [today - timedelta(n) for n in range(400, -1, -1)]
    par = 0.04 + 0.0002 * rng.standard_normal((401, 5)).cumsum(axis=0) * 0.3
    history = History(days, [0.25, 2, 5, 10, 30], par)
    underlyings = {
        "XYZ": Underlying("XYZ", 0.3, spot=100.0, dividend_yield=0.01, dividends=[(date(2026, 8, 1), 0.5)]),
        "NOPE": Underlying("NOPE", 0.3, spot=20.0),
    }
    market = Market(today, ParCurve(today, history.tenors, par[-1]), history, underlyings=underlyings)
    note = TreasuryNote(0.0425, date(2033, 8, 15))
    products = [
        note,
        TreasuryFuture("ZN", 202609, (note,)),
        ShortRateFuture("SR3", 202609),
        Stock("XYZ"),
        Stock("NOPE"),
    ]
    expiries = (date(2026, 7, 17), date(2027, 1, 15))
    terms = [
        (e, k, r, x) for e in expiries for k in (80.0, 105.0) for r in ("call", "put") for x in ("european", "american")
    ]
    products += [ListedOption("XYZ", r, k, e, exercise=x) for e, k, r, x in terms]
    sets = {}
    for spec in (ScenarioSpec("historical", 1, 1), ScenarioSpec("historical", 5, 0.5)):
        drawn = scenario_set(spec, history, today)
        n = drawn.shifts.shape[1]
        moves = {"spot_moves": {"XYZ": rng.normal(0.0, 0.03, n)}, "volatility_moves": {"XYZ": rng.normal(0.0, 0.05, n)}}
        drawn = evolve(drawn, **moves)
        sets[spec] = Streamed(tuple(each for each in products if can_revalue(each, market, drawn)), drawn)
    return tuple(products), market, sets


def stored_rows(products, market, under):
    known = revalue(under.products, market, under.scenarios)
    return np.array([known.row(each) if each in known else np.zeros(known.values.shape[1]) for each in products])


@pytest.mark.slow_interpreted
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("at_once", [1, 3, 50])
def test_a_stream_gives_the_bits_of_the_stored_revaluation(single, at_once):
    products, market, sets = everything()
    rng = np.random.default_rng(1)
    instruments = rng.integers(0, len(products), 200).astype(np.int32)
    cells, sizes = rng.integers(0, 24, 200).astype(np.int32), rng.normal(0.0, 100.0, 200)
    held = sorted_positions(cells, instruments, sizes, shape=(12, 2, len(products)))
    tails = Tails(((0,), (0, 1), (1,)), (0, 1, 1), (weights(4), weights(9)))
    store = store_of([stored_rows(products, market, each) for each in sets.values()], single=single)
    stream = Stream(products, market, sets, at_once=at_once)
    found, largest = stream.tails(held, tails, single=single, threads=1 + at_once % 2)
    assert (found == pool_tails(store, held, tails)).all()
    if single:
        assert largest == pytest.approx(store.largest, rel=1e-6)


def test_a_stream_says_what_it_revalues():
    products, market, sets = everything()
    stream, spec = Stream(products, market, sets), next(iter(sets))
    assert spec in stream
    assert "historical" not in stream
    assert products[0] in stream[spec]
    assert products[4] not in stream[spec]


def test_pnl_that_is_no_number_is_refused():
    _, market, sets = everything()
    spec, under = next(iter(sets.items()))
    endless = evolve(market, underlyings={"XYZ": Underlying("XYZ", 0.3, spot=1.7e308)})
    lone = Streamed(
        (Stock("XYZ"),), evolve(under.scenarios, spot_moves={"XYZ": np.full(under.scenarios.shifts.shape[1], 9.0)})
    )
    held = sorted_positions(np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1), shape=(1, 1, 1))
    with np.errstate(over="ignore"), pytest.raises(InputError, match="not finite in every scenario: XYZ"):
        Stream((Stock("XYZ"),), endless, {spec: lone}).tails(held, Tails(((0,),), (0,), (weights(2),)))


@pytest.mark.slow_interpreted
@pytest.mark.parametrize("make", [samples.basis_trade, samples.swap_book], ids=lambda make: make.__name__)
def test_the_sample_books_keep_their_bits(make):
    portfolio, market = make()
    products, spec = portfolio.products, ScenarioSpec("historical", 3, 0.7)
    drawn = scenario_set(spec, market.history, market.as_of)
    under = Streamed(tuple(each for each in products if can_revalue(each, market, drawn)), drawn)
    n = len(products)
    held = sorted_positions(*(np.arange(n, dtype=np.int32),) * 2, np.full(n, 1e4), shape=(n, 1, n))
    tails = Tails(((0,),), (0,), (weights(5),))
    found, _ = Stream(products, market, {spec: under}, at_once=1).tails(held, tails)
    assert (found == pool_tails(store_of([stored_rows(products, market, under)]), held, tails)).all()


# ------------------------------------------------------------------------------------------------------ the batch


@pytest.mark.slow_interpreted
@pytest.mark.parametrize("precision", ["exact", "single"])
def test_a_batch_takes_a_stream_in_place_of_stored_pnl(precision):
    portfolio, market = samples.basis_trade()
    alike = evolve(portfolio, accounts=[each for each in portfolio.accounts if each.id == "MER-XM"], positions=[])
    planned = plan(portfolio.products, market, alike, settles=samples.SETTLES)
    rng, n = np.random.default_rng(4), 60
    sizes = 1e4 * rng.integers(-60, 61, n)
    held = Positions(rng.integers(0, 6, n), rng.integers(0, len(planned.products), n), sizes)
    stored = margin_many(held, planned.revalue(), planned, precision=precision)
    streamed = margin_many(held, planned.stream(), planned, precision=precision, threads=2)
    assert streamed.digest() == stored.digest()
    assert (streamed.tails == stored.tails).all()
    assert streamed.error_bound == pytest.approx(stored.error_bound, rel=1e-6)
