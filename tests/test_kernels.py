"""Kernels against their slow twins, and the promises of the decorator: same bits, one signature."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.curves import exponent_weights
from crossmargin.kernels import _jit, discounting, rows, value_netted, value_rows
from crossmargin.pricing.pieces import dated_pieces, netted_pieces
from crossmargin.pricing.plans import plan
from tests.reference.discounting_twin import netted_values, row_values

ROOT = Path(__file__).resolve().parents[1]
INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
KNOTS = np.array([0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0])
NO_SUMS = (np.empty(0, dtype=np.int64),) * 2


@st.composite
def books(draw):
    """Made-up rows: empty ones, one leg or many, dates before the first knot and beyond the last."""
    times = np.array(sorted({0.0, *draw(st.lists(st.floats(0.0, 45.0), max_size=6))}))
    n_scenarios = draw(st.integers(1, 5))
    days, amounts = st.integers(0, len(times) - 1), st.floats(-2.0, 2.0)
    leg = st.tuples(st.lists(st.tuples(days, amounts), max_size=9), days, amounts)
    rows = draw(st.lists(st.lists(leg, max_size=3), max_size=4))
    rates = draw(st.sampled_from([st.floats(-0.02, 0.15), st.floats(-0.3, 0.6)]))  # the second too steep for series
    zeros = np.array([draw(st.lists(rates, min_size=7, max_size=7)) for _ in range(n_scenarios)])
    return times, zeros.T, rows


def kernel_arguments(times, zeros, held, knots=KNOTS):
    """Return what the kernel takes, and the same for its twin."""
    legs = [leg for row in held for leg in row]
    flows = [flow for leg in legs for flow in leg[0]]
    flow_start = np.cumsum([0, *(len(leg[0]) for leg in legs)], dtype=np.int64)
    row_start = np.cumsum([0, *(len(row) for row in held)], dtype=np.int64)
    line, divisor = (
        np.array(column, dtype=np.int64) for column in ([day for day, _ in flows], [leg[1] for leg in legs])
    )
    amount, offset = (
        np.array(column, dtype=float) for column in ([each for _, each in flows], [leg[2] for leg in legs])
    )
    walk = plan(times, *NO_SUMS, line, flow_start=flow_start, divisor=divisor, row_start=row_start)
    exponents = np.ascontiguousarray(zeros * knots[:, None])
    twin = (exponents, *exponent_weights(knots, times)), (flow_start, line, amount), (divisor, offset), row_start
    return (np.ascontiguousarray(zeros), *dated_pieces(knots, times), *walk, amount, offset), twin


def run(arguments, pieces=()):
    """Value all scenarios, cut at `pieces`."""
    arguments, (*_, row_start) = arguments
    n_scenarios = arguments[0].shape[1]
    out = np.full((len(row_start) - 1, n_scenarios), np.nan)
    for begin, end in pairwise([0, *pieces, n_scenarios]):
        value_rows(*arguments, out, begin, end)
    return out


@given(books())
def test_rows_are_those_of_the_slow_twin(book):
    arguments = kernel_arguments(*book)
    expected = row_values(*arguments[1])
    assert run(arguments) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def wide_book(n_scenarios, n_dates=60):
    rng = np.random.default_rng(11)
    times = np.concatenate([[0.0], np.sort(rng.uniform(0.01, 40, n_dates - 1))])
    rows = [
        [([(int(rng.integers(n_dates)), float(rng.normal())) for _ in range(flows)], 0, 0.25) for flows in (n, 2 * n)]
        for n in range(12)
    ]
    return kernel_arguments(times, rng.uniform(0.0, 0.08, (len(KNOTS), n_scenarios)), rows)


@pytest.mark.parametrize("n_scenarios", [1, 2, 7, 65])
def test_cutting_the_scenarios_changes_no_bit(n_scenarios):
    arguments = wide_book(n_scenarios)
    whole = run(arguments)
    assert np.isfinite(whole).all()
    assert np.array_equal(whole, run(arguments, pieces=range(1, n_scenarios)))
    assert np.array_equal(whole, run(arguments, pieces=range(3, n_scenarios, 3)))


@pytest.mark.compiled
@pytest.mark.parametrize(("n_scenarios", "n_dates"), [(255, 20), (257, 300), (600, 5000)])
def test_blocks_of_any_width_give_the_same_bits(n_scenarios, n_dates):
    arguments = wide_book(n_scenarios, n_dates)
    whole = run(arguments)
    assert np.array_equal(whole, run(arguments, pieces=range(1, n_scenarios)))
    (exponents, *grid), *rest = arguments[1]
    expected = row_values((exponents[:, :2], *grid), *rest)
    assert whole[:, :2] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_columns_outside_the_piece_are_left_alone():
    arguments = wide_book(9)
    out = np.full((12, 9), 7.0)
    value_rows(*arguments[0], out, 3, 5)
    assert (out[:, :3] == 7.0).all()
    assert (out[:, 5:] == 7.0).all()
    assert np.array_equal(out[:, 3:5], run(arguments)[:, 3:5])


def test_no_rows_no_dates_no_scenarios():
    times, zeros = np.array([0.0]), np.full((7, 3), 0.04)
    assert run(kernel_arguments(times, zeros, [])).shape == (0, 3)
    assert np.array_equal(run(kernel_arguments(times, zeros, [[], []])), np.zeros((2, 3)))
    assert run(kernel_arguments(np.empty(0), zeros, [])).shape == (0, 3)
    assert run(kernel_arguments(times, zeros[:, :0], [[([], 0, 1.0)]])).shape == (1, 0)


# ------------------------------------------------------------------------------------------------- netted flows

MONEY = st.floats(-1e6, 1e6)


def run_netted(knots, zeros, flows, pieces=()):
    """Value dated amounts on all curves, cut at `pieces`."""
    times, amounts = (np.array(column, dtype=float) for column in (list(flows), list(flows.values())))
    grid, out = netted_pieces(knots, times, amounts), np.full(zeros.shape[1], np.nan)
    for begin, end in pairwise([0, *pieces, zeros.shape[1]]):
        value_netted(np.ascontiguousarray(zeros), *grid, out, begin, end)
    return out


@given(
    st.lists(st.floats(0.01, 12.0), min_size=1, max_size=6, unique=True),
    st.dictionaries(st.floats(0.0, 15.0), MONEY, max_size=12),
    st.sampled_from([(0.0, 0.05), (-0.02, 0.11), (-0.1, 0.5), (0.0, 3.0)]),
    st.integers(0, 2**20),
)
def test_netted_values_are_those_of_the_slow_twin(knots, flows, between, seed):
    """Zero rates low enough for the chain of short series, too high for it, and too high for any series."""
    knots, flows = np.array(sorted(knots)), dict(sorted(flows.items()))
    zeros = np.random.default_rng(seed).uniform(*between, (len(knots), 3))
    expected = netted_values(knots, zeros, list(flows), list(flows.values()))
    gross = netted_values(knots, zeros, list(flows), [abs(amount) for amount in flows.values()])
    assert (np.abs(run_netted(knots, zeros, flows) - expected) <= 3e-13 * gross + 1e-300).all()


@given(st.floats(-0.11, 0.11))
def test_a_chain_of_short_series_keeps_thirteen_digits_over_thirty_years(rate):
    value = run_netted(KNOTS, np.full((len(KNOTS), 1), rate), dict.fromkeys(np.arange(1, 60) / 2, 1.0))
    expected = np.exp(-rate * np.arange(1, 60) / 2).sum()
    assert value[0] == pytest.approx(expected, rel=1e-13)


@given(st.lists(st.sampled_from([0.0, 0.03, 0.4, 9.0, np.nan, np.inf, -np.inf]), min_size=2, max_size=9), st.data())
def test_a_curve_of_any_kind_is_valued_as_if_alone(rates, data):
    zeros, flows = np.array([rates] * len(KNOTS)), {0.0: 3.0, 0.4: -1.0, 7.3: 2.0, 33.0: 5.0}
    with np.errstate(all="ignore"):
        whole = run_netted(KNOTS, zeros, flows)
        cut = data.draw(st.integers(1, len(rates) - 1))
        assert np.array_equal(whole, run_netted(KNOTS, zeros, flows, pieces=[cut]), equal_nan=True)
        alone = [run_netted(KNOTS, zeros[:, s : s + 1], flows)[0] for s in range(len(rates))]
    assert np.array_equal(whole, alone, equal_nan=True)
    assert np.isnan(whole).tolist() == (~np.isfinite(rates)).tolist()


def test_what_is_paid_today_or_never():
    zeros = np.full((len(KNOTS), 2), 0.05)
    assert run_netted(KNOTS, zeros, {0.0: 7.0}) == pytest.approx([7.0, 7.0], rel=1e-13)
    assert run_netted(KNOTS, zeros, {}).tolist() == [0.0, 0.0]


def exponentials(points):
    """Return the kernel's exp at many points: one knot at one year makes -ln DF the zero rate."""
    if INTERPRETED:
        return np.array([discounting.exponential(np.float64(x)) for x in points])
    zeros = -np.asarray(points, dtype=np.float64)[None, :]
    return run(kernel_arguments(np.array([0.0, 1.0]), zeros, [[([(1, 1.0)], 0, 0.0)]], knots=np.ones(1)))[0]


def test_exp_is_accurate_over_its_whole_range():
    steps = 2_001 if INTERPRETED else 700_001
    rng = np.random.default_rng(3)
    points = np.concatenate([np.linspace(-700, 700, steps), rng.uniform(-1, 1, steps), rng.normal(0, 1e-8, 99)])
    error = np.abs(exponentials(points) / np.exp(points) - 1)
    assert error[np.abs(points) > 4 * rows.GENTLE + 1e-9].max() < 5e-16  # a quarter of a year is the reach of a series
    assert error.max() < 1e-15


def test_exp_at_its_ends():
    got = exponentials(np.array([0.0, -0.0, 708.5, 709.0, 1e300, -708.0, -1e300, np.nan]))
    assert got[:2].tolist() == [1.0, 1.0]
    assert got[2:6] == pytest.approx(np.exp([708.5, 709.0, 709.0, -708.0]), rel=5e-16)
    assert np.isfinite(got[:-1]).all()
    assert np.isnan(got[-1])
    assert got[4] == got[3]
    assert got[6] == got[5]


@given(st.floats(-700, 700))
def test_exp_does_not_decrease(x):
    below, at, above = exponentials([x - 1e-9 * max(abs(x), 1), x, x + 1e-9 * max(abs(x), 1)])
    assert below < at < above


@pytest.mark.compiled
def test_a_kernel_has_one_signature_and_refuses_the_rest():
    arguments = wide_book(8)
    assert len(value_rows.signatures) == 1
    with pytest.raises(TypeError):
        value_rows(*arguments[0], np.empty((12, 8), dtype=np.float32), 0, 8)
    with pytest.raises(TypeError):
        value_rows(*arguments[0], np.empty((8, 12)).T, 0, 8)
    assert len(value_rows.signatures) == 1


def test_the_fingerprint_follows_every_source(tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    shutil.copytree(Path(_jit.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(_jit, "__file__", str(folder / "_jit.py"))
    before = _jit.fingerprint()
    assert before == _jit.fingerprint()
    (folder / "discounting.py").write_text("# changed\n")
    changed = _jit.fingerprint()
    (folder / "another.py").write_text("# new\n")
    monkeypatch.setattr(_jit.config, "CPU_NAME", "haswell")
    assert len({before, changed, _jit.fingerprint()}) == 3


def test_the_users_own_cache_folder_is_respected_and_put_back(tmp_path, monkeypatch):
    monkeypatch.setattr(_jit.config, "CACHE_DIR", str(tmp_path))
    with _jit._cache_folder() as writable:
        assert writable
        assert str(tmp_path / "crossmargin" / f"kernels-{_jit.fingerprint()}") == _jit.config.CACHE_DIR
    assert str(tmp_path) == _jit.config.CACHE_DIR


def test_the_cache_folder_of_the_platform(tmp_path, monkeypatch):
    monkeypatch.setattr(_jit.config, "CACHE_DIR", "")
    monkeypatch.setattr(_jit.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _jit.user_cache() == tmp_path
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _jit.user_cache() == Path.home() / ".cache"


def test_a_folder_that_cannot_be_written_only_costs_the_cache(tmp_path, monkeypatch):
    blocker = tmp_path / "a file where the folder should be"
    blocker.write_text("")
    monkeypatch.setattr(_jit.config, "CACHE_DIR", str(blocker))
    with _jit._cache_folder() as writable:
        assert not writable
        assert str(blocker) == _jit.config.CACHE_DIR


RUN_ONCE = """
from crossmargin.kernels import value_rows
stats = value_rows.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), stats.cache_path)
"""


@pytest.mark.compiled
def test_several_processes_at_once_then_one_more_from_disk(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN_ONCE]
    with ThreadPoolExecutor(2) as together:
        starts = [together.submit(subprocess.run, command, env=environment, cwd=ROOT, check=True) for _ in range(2)]
    assert [start.result().returncode for start in starts] == [0, 0]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    hits, misses, path = done.stdout.split(maxsplit=2)
    assert (hits, misses) == ("1", "0")
    assert path.startswith(str(tmp_path / "crossmargin" / "kernels-"))
