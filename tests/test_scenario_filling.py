"""Tenors that were not quoted: rows with the same gaps are filled together, to the bit as each alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.scenarios import _between, _filled


@given(st.lists(st.floats(0.01, 30), min_size=1, max_size=8, unique=True), st.integers(1, 4), st.integers(0, 9))
def test_rows_are_filled_to_the_bit_as_numpy_fills_each(tenors, n_rows, seed):
    points = np.sort(tenors)
    known = np.random.default_rng(seed).random(points.size) < 0.6
    known[seed % points.size] = True
    values = np.random.default_rng(seed + 1).normal(0, 1e-3, (n_rows, int(known.sum())))
    expected = [np.interp(points[~known], points[known], row) for row in values]
    assert _between(points[~known], points[known], values).tolist() == [row.tolist() for row in expected]


@given(st.integers(1, 6), st.integers(0, 12), st.floats(0.0, 0.8), st.integers(0, 99))
def test_whatever_is_missing_where(n_tenors, n_rows, share, seed):
    rng = np.random.default_rng(seed)
    tenors = np.sort(rng.uniform(0.1, 30.0, n_tenors))
    changes = rng.normal(0, 1e-3, (n_rows, n_tenors))
    missing = rng.random(changes.shape) < share
    missing[np.arange(n_rows), rng.integers(0, n_tenors, n_rows)] = False  # one at least is quoted
    changes[missing] = np.nan
    expected, notes = changes.copy(), []
    for row, gap in zip(expected, missing, strict=True):
        row[gap] = np.interp(tenors[gap], tenors[~gap], row[~gap])
    assert _filled(tenors, changes, notes).tolist() == expected.tolist()
    assert bool(notes) == bool(missing.any())
