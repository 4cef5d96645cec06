"""European options: the kernel against its twin and a table of fifty digits, its laws, its machine code."""

from __future__ import annotations

import csv
import math
import os
import re
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import european
from crossmargin.kernels import _jit, black
from crossmargin.pricing.european import EuropeanBook, net_by_parity
from tests.reference import black_twin

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
TABLE = Path(__file__).parent / "generation" / "black_values.csv"
ROUNDING = 1e-13  # of the larger of forward and strike


# ------------------------------------------------------------------------------------------------------ running


def rows(book, pieces=()):
    """Value a book, the scenarios cut at `pieces`."""
    out = np.full((book.n_options, book.n_scenarios), np.nan)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # plain Python warns, machine code does not
        for begin, end in pairwise([0, *pieces, book.n_scenarios]):
            black.black_rows(*book.kernel_arguments(), out, begin, end)
    return out


def pooled(book, base, pools, *, pieces=(), out=None):
    start = np.cumsum([0, *(len(pool) for pool in pools)], dtype=np.int64)
    option = np.array([i for pool in pools for i, _ in pool], dtype=np.int64)
    quantity = np.array([q for pool in pools for _, q in pool], dtype=np.float64)
    out = np.zeros((len(pools), book.n_scenarios)) if out is None else out
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for begin, end in pairwise([0, *pieces, book.n_scenarios]):
            black.black_pooled(
                *book.kernel_arguments(),
                np.ascontiguousarray(base, dtype=float),
                start,
                option,
                quantity,
                out,
                begin,
                end,
            )
    return out


def values(forward, strike, deviation, *, is_call=True, discount=1.0):
    """Values of options one by one, arguments broadcast; one scenario each, time one year."""
    f, k, d, c = np.broadcast_arrays(*np.atleast_1d(forward, strike, deviation, is_call))
    n = np.arange(f.size)
    one = np.ones((f.size, 1))
    return rows(
        EuropeanBook(
            forward=f.reshape(-1, 1),
            discount=discount,
            time=1.0,
            scale=one,
            shift=0 * one,
            slice_row=n,
            volatility_row=n,
            strike=k.ravel(),
            is_call=c.ravel(),
            volatility=d.ravel(),
        )
    )[:, 0]


def wide_book(n_scenarios, n_options=9, seed=5):
    rng = np.random.default_rng(seed)
    shape = (3, n_scenarios)
    return EuropeanBook(
        forward=100 * np.exp(rng.normal(0, 0.1, shape)),
        discount=np.exp(rng.normal(0, 0.02, shape)),
        time=rng.uniform(0.0, 2.0, (3, 1)),
        scale=rng.uniform(0.5, 2.0, (2, n_scenarios)),
        shift=rng.normal(0, 0.05, (2, n_scenarios)),
        slice_row=rng.integers(0, 3, n_options),
        volatility_row=rng.integers(0, 2, n_options),
        strike=100 * np.exp(rng.normal(0, 0.3, n_options)),
        is_call=rng.random(n_options) < 0.5,
        volatility=rng.uniform(0.0, 0.6, n_options),
    )


# --------------------------------------------------------------------------------------- twin, table, exact limits


@st.composite
def books(draw):
    """Made-up books with zero strikes, times and volatilities, volatilities shocked below zero, negative rates."""
    n_slices, n_rows, n_scenarios = (draw(st.integers(1, n)) for n in (3, 2, 4))
    n_options = draw(st.integers(0, 5))

    def table(n, elements):
        return [draw(st.lists(elements, min_size=n_scenarios, max_size=n_scenarios)) for _ in range(n)]

    def column(elements):
        return draw(st.lists(elements, min_size=n_options, max_size=n_options))

    return {
        "forward": table(n_slices, st.floats(1.0, 1e4)),
        "discount": table(n_slices, st.floats(0.5, 1.2)),
        "time": table(n_slices, st.just(0.0) | st.floats(1e-6, 30.0)),
        "scale": table(n_rows, st.floats(0.0, 3.0)),
        "shift": table(n_rows, st.floats(-0.3, 0.3)),
        "slice_row": column(st.integers(0, n_slices - 1)),
        "volatility_row": column(st.integers(0, n_rows - 1)),
        "strike": column(st.just(0.0) | st.floats(1e-2, 1e5)),
        "is_call": column(st.booleans()),
        "volatility": column(st.just(0.0) | st.floats(1e-8, 5.0)),
    }


@given(books())
def test_rows_are_those_of_the_slow_twin(book):
    got = rows(EuropeanBook(**book))
    expected = np.array(black_twin.rows(book)).reshape(got.shape)
    size = np.maximum(1e4, np.reshape(book["strike"], (-1, 1)))
    assert (np.abs(got - expected) <= 1e-12 * size).all()


@given(books(), st.data())
def test_pools_are_those_of_the_slow_twin(book, data):
    n = len(book["strike"])
    holding = st.tuples(st.integers(0, max(n - 1, 0)), st.floats(-10, 10))
    pools = data.draw(st.lists(st.lists(holding, max_size=6 if n else 0), max_size=3))
    base = data.draw(st.lists(st.floats(0, 100), min_size=n, max_size=n))
    got = pooled(EuropeanBook(**book), base, pools)
    expected = np.array(black_twin.pooled(book, base, pools)).reshape(got.shape)
    assert got == pytest.approx(expected, abs=1e-12 * 60 * max([1e4, *book["strike"]]))


def table():
    with TABLE.open(newline="") as file:
        return np.array([[float(v) for v in row.values()] for row in csv.DictReader(file)]).T


def test_values_are_those_of_fifty_digits():
    strike, deviation, call, put = table()
    assert len(strike) > 300
    size = np.maximum(100.0, strike)
    assert np.max(np.abs(values(100.0, strike, deviation) - call) / size) < 1e-14
    assert np.max(np.abs(values(100.0, strike, deviation, is_call=False) - put) / size) < 1e-14


def test_values_are_within_1e_12_of_spot_over_thirty_deviations():
    strike, deviation, call, put = table()
    distance = np.abs(np.log(100 / strike)) / deviation + deviation / 2
    usual = (distance <= 30) & (strike < 2e4)
    assert usual.sum() > 150
    got = values(100.0, strike[usual], deviation[usual])
    assert np.max(np.abs(got - call[usual])) < 1e-12 * 100
    got = values(100.0, strike[usual], deviation[usual], is_call=False)
    assert np.max(np.abs(got - put[usual])) < 1e-12 * 100


def test_values_out_of_the_money_keep_their_digits():
    strike, deviation, call, _ = table()
    far = (strike > 101) & (call > 1e-12) & (call < 1e-3) & (deviation > 0.01)
    assert far.sum() >= 8
    assert values(100.0, strike[far], deviation[far]) == pytest.approx(call[far], rel=1e-6)


EXTREMES = [0.0, 5e-324, 1e-300, 1e-200, 1e-12, 1e-8, 1e-3, 1.0, 30.0, 200.0, 1e5, 1e8, 1e160, 1e300]


@pytest.mark.parametrize("is_call", [True, False])
@pytest.mark.parametrize("strike", [0.0, 1e-300, 1e-4, 99.0, 100.0, 101.0, 1e8, 1e300])
def test_every_deviation_gives_a_value_within_its_bounds(strike, is_call):
    got = values(100.0, strike, EXTREMES, is_call=is_call)
    intrinsic, most = max((100 - strike) if is_call else (strike - 100), 0.0), 100.0 if is_call else strike
    assert (got >= intrinsic * (1 - 1e-15)).all()
    assert (got <= most * (1 + 1e-15)).all()
    assert got[-3:] == pytest.approx(most, rel=1e-15)
    assert (np.diff(got) >= -1e-15 * max(100.0, strike)).all()


@pytest.mark.parametrize("is_call", [True, False])
@pytest.mark.parametrize("strike", [1e-4, 99.0, 100.0, np.nextafter(100.0, 200.0), 101.0, 1e8])
def test_nothing_left_to_move_is_worth_exactly_the_intrinsic_value(strike, is_call):
    intrinsic = max((100.0 - strike) if is_call else (strike - 100.0), 0.0)
    assert values(100.0, strike, 0.0, is_call=is_call, discount=0.5)[0] == 0.5 * intrinsic


def test_expiry_today_and_volatility_shocked_below_zero_are_no_volatility():
    common = {"slice_row": [0, 0], "volatility_row": [0, 1], "strike": [90.0, 90.0], "is_call": [True, True]}
    book = EuropeanBook(
        forward=[[100.0, 80.0]],
        discount=0.9,
        time=[[0.0, 1.0]],
        scale=[[1.0, 1.0], [1.0, 1.0]],
        shift=[[0.0, -0.5], [-0.2, -0.2]],
        volatility=[0.2, 0.2],
        **common,
    )
    assert rows(book).tolist() == [[9.0, 0.0], [9.0, 0.0]]


def test_a_strike_of_zero_is_the_forward_or_nothing():
    deviation = [0.0, 1e-8, 0.2, 5.0, 1e5]
    assert values(100.0, 0.0, deviation, discount=0.75).tolist() == [75.0] * 5
    assert values(100.0, 0.0, deviation, discount=0.75, is_call=False).tolist() == [0.0] * 5


def test_far_out_of_the_money_is_exactly_nothing():
    assert values(100.0, 200.0, [1e-3, 1e-2, 0.0175]).tolist() == [0.0] * 3
    assert values(200.0, 100.0, [1e-3, 1e-2]).tolist() == [100.0] * 2
    assert 0 < values(100.0, 200.0, 0.02)[0] < 1e-250


@pytest.mark.parametrize("place", range(6))
def test_a_nan_stays_visible(place):
    book = wide_book(3)
    arguments = list(book.kernel_arguments())
    arguments[place] = arguments[place].copy()
    arguments[place][:, 1] = np.nan
    out = np.zeros((book.n_options, 3))
    with np.errstate(all="ignore"):
        black.black_rows(*arguments, out, 0, 3)
    assert np.isnan(out[:, 1]).all()
    assert np.isfinite(out[:, [0, 2]]).all()


def test_the_bell_is_accurate_over_its_whole_range():
    steps = 501 if INTERPRETED else 20_001
    c = black.loaded(0)
    squares = np.concatenate([np.linspace(0, 1400, steps), np.geomspace(1e-300, 1, 101)])
    with np.errstate(all="ignore"):
        got = np.array([black.bell(s, c) for s in squares])
    expected = np.exp(-squares / 2)
    assert np.max(np.abs(got / expected - 1)) < 1e-15
    with np.errstate(all="ignore"):
        assert [black.bell(s, c) for s in np.array([1416.1, 1e10])] == [0.0, 0.0]
        assert math.isnan(black.bell(np.float64(np.nan), c))


# ---------------------------------------------------------------------------------------------------------- laws

FORWARD = st.floats(1.0, 1e4)
MONEYNESS = st.floats(-3.0, 3.0)
DEVIATION = st.just(0.0) | st.floats(1e-8, 8.0)


@given(FORWARD, MONEYNESS, DEVIATION, st.floats(0.3, 1.5))
def test_put_call_parity(forward, moneyness, deviation, discount):
    strike = forward * math.exp(moneyness)
    call, put = values(forward, strike, deviation, is_call=[True, False], discount=discount)
    assert abs(call - put - discount * (forward - strike)) <= ROUNDING * max(forward, strike)


@given(FORWARD, MONEYNESS, DEVIATION)
def test_values_lie_between_the_intrinsic_value_and_the_whole(forward, moneyness, deviation):
    strike = forward * math.exp(moneyness)
    call, put = values(forward, strike, deviation, is_call=[True, False])
    slack = ROUNDING * max(forward, strike)
    assert max(forward - strike, 0) - slack <= call <= forward + slack
    assert max(strike - forward, 0) - slack <= put <= strike + slack


@given(FORWARD, MONEYNESS, st.floats(1e-6, 6.0), st.floats(1e-12, 1.0))
def test_values_move_the_right_way(forward, moneyness, deviation, step):
    strike, slack = forward * math.exp(moneyness), 2 * ROUNDING * forward * math.exp(max(moneyness, 0) + step)
    up = math.exp(step)
    call, call_spot, call_strike, call_vol = values(
        [forward, forward * up, forward, forward],
        [strike, strike, strike * up, strike],
        [deviation, deviation, deviation, deviation * up],
    )
    assert call_spot >= call - slack
    assert call_strike <= call + slack
    assert call_vol >= call - slack


@given(FORWARD, MONEYNESS, st.floats(1e-6, 6.0), st.floats(1e-6, 0.5), st.booleans())
def test_values_are_convex_in_strike(forward, moneyness, deviation, width, is_call):
    middle = forward * math.exp(moneyness)
    low, centre, high = values(
        forward, [middle * (1 - width), middle, middle * (1 + width)], deviation, is_call=is_call
    )
    assert low + high >= 2 * centre - 4 * ROUNDING * max(forward, middle)


@given(FORWARD, MONEYNESS, DEVIATION, st.floats(1e-3, 1e3), st.booleans())
def test_values_scale_with_forward_and_strike(forward, moneyness, deviation, factor, is_call):
    strike = forward * math.exp(moneyness)
    value, scaled = values([forward, factor * forward], [strike, factor * strike], deviation, is_call=is_call)
    assert abs(scaled - factor * value) <= 10 * ROUNDING * factor * max(forward, strike)


@pytest.mark.parametrize("n_scenarios", [1, 2, 7, 65] if INTERPRETED else [1, 2, 7, 65, 511, 513, 1100])
def test_cutting_the_scenarios_changes_no_bit(n_scenarios):
    book = wide_book(n_scenarios)
    whole = rows(book)
    assert np.isfinite(whole).all()
    assert np.array_equal(whole, rows(book, pieces=range(1, n_scenarios)))
    assert np.array_equal(whole, rows(book, pieces=range(3, n_scenarios, 3)))
    pools, base = [[(i, i - 3.5) for i in range(9)], [(2, 1.0), (2, -3.0)]], np.linspace(1, 9, 9)
    assert np.array_equal(pooled(book, base, pools), pooled(book, base, pools, pieces=range(5, n_scenarios, 5)))


@given(books(), st.data())
def test_netting_by_parity_changes_no_pool(made, data):
    made = {**made, **{name: made[name] * 2 for name in ("slice_row", "volatility_row", "strike", "volatility")}}
    book = EuropeanBook(**made | {"is_call": made["is_call"] + [not flag for flag in made["is_call"]]})
    holding = st.tuples(st.integers(0, max(book.n_options - 1, 0)), st.integers(-9, 9).map(float))
    pools = data.draw(st.lists(st.lists(holding, max_size=8 if book.n_options else 0), max_size=3))
    start = np.cumsum([0, *(len(pool) for pool in pools)], dtype=np.int64)
    option, quantity = (np.array([h[n] for pool in pools for h in pool], dtype=t) for n, t in ((0, int), (1, float)))
    net = net_by_parity(book, pool_start=start, pool_option=option, quantity=quantity)
    assert net.calls.n_options <= book.n_options // 2
    lines = [list(zip(net.pool_option[a:b], net.pool_quantity[a:b], strict=True)) for a, b in pairwise(net.pool_start)]
    got = pooled(net.calls, rows(net.calls)[:, 0], lines)
    got += net.linear_pnl(net.calls.forward[:, 0], np.broadcast_to(net.calls.discount, net.calls.forward.shape)[:, 0])
    expected = pooled(book, rows(book)[:, 0], pools)
    assert got == pytest.approx(expected, abs=1e-12 * 100 * max([1e4, *made["strike"]]))


def test_a_synthetic_forward_leaves_nothing_to_price():
    book = EuropeanBook(
        forward=[[100.0, 101.0], [50.0, 51.0]],
        discount=1.0,
        time=0.5,
        scale=[[1.0, 1.0]],
        shift=[[0.0, 0.0]],
        slice_row=[0, 0],
        volatility_row=[0, 0],
        strike=[90.0, 90.0],
        is_call=[True, False],
        volatility=[0.2, 0.2],
    )
    one_pool = {"pool_start": np.array([0, 2]), "pool_option": np.array([0, 1])}
    net = net_by_parity(book, **one_pool, quantity=np.array([5.0, -5.0]))
    assert len(net.pool_quantity) == 0
    assert net.linear_pnl([100.0, 50.0], [1.0, 1.0]).tolist() == [[0.0, 5.0]]


def test_pools_add_and_touch_no_other_column():
    book, out = wide_book(9), np.full((2, 9), 7.0)
    pooled(book, np.zeros(9), [[], [(0, 2.0)]], out=out[:, :].copy())
    start, option, quantity = np.array([0, 0, 1]), np.array([0]), np.array([2.0])
    with np.errstate(all="ignore"):
        black.black_pooled(*book.kernel_arguments(), np.zeros(9), start, option, quantity, out, 3, 5)
    assert (out[0] == 7.0).all()
    assert (out[1, [0, 1, 2, 5, 6, 7, 8]] == 7.0).all()
    assert out[1, 3:5] == pytest.approx(7.0 + 2 * rows(book)[0, 3:5], rel=1e-15)


def test_no_options_no_scenarios_no_pools():
    book = wide_book(3, n_options=0)
    assert rows(book).shape == (0, 3)
    assert pooled(book, [], []).shape == (0, 3)
    assert pooled(book, [], [[], []]).tolist() == [[0.0] * 3] * 2
    assert rows(wide_book(0)).shape == (9, 0)


# ------------------------------------------------------------------------------------------------- machine code


@pytest.mark.compiled
@pytest.mark.parametrize("kernel", [black.black_rows, black.black_pooled], ids=["rows", "pooled"])
def test_the_loop_over_scenarios_is_vector_code_without_a_call(kernel):
    fresh = _jit.njit(kernel.signatures[0], **_jit.FLAGS)(kernel.py_func)  # what comes from the cache hides its code
    code = fresh.inspect_llvm(kernel.signatures[0])
    hot = [block for block in re.split(r"\n(?=[\w.]+:)", code) if re.search(r"fdiv <\d+ x double>", block)]
    assert len(hot) == 2, "the loops over scenarios are no longer vectorised: distances, then values"
    called = set(re.findall(r"call [^@]*@([\w.]+)", "".join(hot)))
    assert all(re.fullmatch(r"llvm\.(fma|fabs)\.v\d+f64", name) for name in called), called
    assert [len(re.findall(r"fdiv <", block)) for block in hot] == [1, 1]
    assert sorted(len(re.findall(r"@llvm\.fma\.v", block)) for block in hot)[1] >= 33
    assert not re.search(r"@llvm\.exp|@exp\b|@erfc?\b|@numba_exp", code)


@pytest.mark.compiled
def test_multiply_and_add_is_one_instruction():
    fresh = _jit.njit(black.black_rows.signatures[0], **_jit.FLAGS)(black.black_rows.py_func)
    code = fresh.inspect_asm(fresh.signatures[0])
    fused = re.findall(r"\bvfn?m(?:add|sub)\w*pd\b|\bfml[as]\b|\bfn?m(?:add|sub|la|ls)\b", code)
    assert len(fused) >= 35


@pytest.mark.compiled
def test_the_kernels_have_one_signature_and_refuse_the_rest():
    book = wide_book(8)
    with pytest.raises(TypeError):
        black.black_rows(*book.kernel_arguments(), np.empty((9, 8), dtype=np.float32), 0, 8)
    with pytest.raises(TypeError):
        black.black_rows(*book.kernel_arguments(), np.empty((8, 9)).T, 0, 8)
    assert len(black.black_rows.signatures) == len(black.black_pooled.signatures) == 1


# ----------------------------------------------------------------------------------------------------- benchmark


@pytest.mark.compiled
def test_the_benchmark_agrees_with_its_peers(monkeypatch, capsys):
    monkeypatch.setattr(european, "N_OPTIONS", 600)
    monkeypatch.setattr(european, "N_SCENARIOS", 50)
    monkeypatch.setattr(european, "RUNS", 1)
    for variable in european.PYTHON_OF.values():
        monkeypatch.delenv(variable, raising=False)
    records = list(european.records())
    assert len(records) == 6
    assert max(record.agreement for record in records) < 1e-11
    assert all(record.ratio > 0 for record in records)
    assert capsys.readouterr().err.count("not installed") == 2


def test_the_benchmark_s_book_is_made_of_listed_chains():
    book, quantity, _ = european.made_up_book()
    assert book.n_options == len(quantity) == 5_000
    assert book.strike[::2].tolist() == book.strike[1::2].tolist()
    assert book.volatility.min() > 0.05
    assert len(set(zip(book.slice_row[::2], book.strike[::2], strict=True))) == 2_500


def test_a_book_of_broadcast_arrays_hands_the_kernels_arrays_of_their_own():
    strike, _ = np.broadcast_arrays(np.array([90.0, 100.0]), np.ones((1, 2)))  # NumPy warns where such are written to
    grid = {"scale": [[1.0]], "shift": [[0.0]], "slice_row": [0, 0], "volatility_row": [0, 0]}
    flat = {"forward": [[100.0]], "discount": 1.0, "time": 0.5, "is_call": [True, True], "volatility": [0.2, 0.2]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        book = EuropeanBook(strike=strike[0], **flat, **grid)
        arguments = book.kernel_arguments()
    assert all(array.flags.c_contiguous and array.flags.writeable for array in arguments)
    assert not any(np.shares_memory(array, strike) for array in arguments)
