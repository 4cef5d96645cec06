"""Bettering a solution that was cut short: never dearer, always whole, and the optimum where two blocks are all."""

from __future__ import annotations

import math
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.pairing import Contracts, neighbourhoods, pair, programme
from crossmargin.pairing.neighbourhoods import bettered

STRIKES = [90, 95, 100, 105, 110]


@st.composite
def made(draw):
    """Contracts of three short expiries with their programme and its layout."""
    keys = [(right, strike, expiry) for right in (True, False) for strike in STRIKES for expiry in (10, 20, 30)]
    held = draw(st.lists(st.sampled_from(keys), unique=True, min_size=4, max_size=14))
    counts = [draw(st.sampled_from([-2, -1, -1, 1, 2])) for _ in held]
    rights, strikes, expiries = zip(*held, strict=True)
    premium = [100 * draw(st.integers(0, 12)) for _ in held]
    exposure = [100 * draw(st.integers(0, 20)) for _ in held]
    book = Contracts(counts, rights, strikes, expiries, premium, exposure, multiplier=100.0)
    layout = programme._layout(book)
    return book, layout, programme._programme(book, layout)


def alone(layout, whole):
    """No spread at all: every short contract uncovered."""
    none = np.where(np.arange(len(whole.bounds)) < layout.starts[1], 0.0, whole.bounds)
    return programme._whole_solution(whole, np.zeros(len(none)), none, 10.0)


def run(layout, whole, values, seconds=30.0):
    solve = partial(programme._whole_solution, whole)
    deadline = time.monotonic() + seconds
    likely = np.arange(len(layout.group)) % 2 == 0
    return bettered(values, layout.owner, whole.bounds, likely=likely, cost=whole.cost, solve=solve, deadline=deadline)


def admissible(whole, values):
    upper, equal = whole.matrices()
    tight = np.all(upper @ values <= whole.limits + 1e-6) and np.all(values <= whole.bounds + 1e-6)
    return tight and np.allclose(equal @ values, whole.totals) and programme._is_whole(values, whole)


@settings(max_examples=20)
@given(made())
def test_it_stays_admissible_and_never_gets_dearer(drawn):
    book, layout, whole = drawn
    if not len(whole.cost):
        return
    start = alone(layout, whole)
    found = run(layout, whole, start)
    assert admissible(whole, found)
    assert whole.cost @ found <= whole.cost @ start + 1e-9
    least = pair(book).value / book.multiplier
    assert whole.cost @ found >= least - 1e-6
    if len(layout.last_shorts) <= 2:  # two blocks are the whole programme
        assert math.isclose(whole.cost @ found, least, rel_tol=1e-9, abs_tol=1e-6)


def book_of(n, seed=3):
    draw = np.random.default_rng(seed)
    keys = [
        (right, strike, expiry) for right in (True, False) for strike in range(60, 141, 2) for expiry in (7, 14, 21)
    ]
    rows = draw.choice(len(keys), n, replace=False)
    rights, strikes, expiries = zip(*(keys[row] for row in sorted(rows)), strict=True)
    counts = draw.choice([-5, -3, -1, 2, 4, 5], n)
    premium, exposure = draw.uniform(100, 900, n).round(), draw.uniform(500, 2500, n).round()
    return Contracts(counts, rights, strikes, expiries, premium, exposure, multiplier=100.0)


def test_no_time_left_changes_nothing():
    book = book_of(40)
    layout = programme._layout(book)
    whole = programme._programme(book, layout)
    start = alone(layout, whole)
    assert run(layout, whole, start, seconds=-1.0) is start


def test_blocks_cover_every_count_once_and_then_two_at_a_time(monkeypatch):
    monkeypatch.setattr(neighbourhoods, "BLOCK", 7)
    group = np.repeat([0, 1], [20, 5])
    blocks = list(neighbourhoods._blocks(group))
    assert [int(block.sum()) for block in blocks] == [7, 7, 6, 5]
    assert np.array_equal(sum(block.astype(int) for block in blocks), np.ones(25))
    likely = np.arange(25) < 8
    sweeps = list(neighbourhoods._sweeps(group, likely))
    assert [len(sweep) for sweep in sweeps] == [1, 1, 1, 1, 6]
    assert [int(sweep[0].sum()) for sweep in sweeps] == [7, 1, 0, 0, 14]
    one = list(neighbourhoods._sweeps(np.zeros(3, dtype=int), np.ones(3, dtype=bool)))
    assert [len(sweep) for sweep in one] == [1, 1]


@pytest.mark.parametrize("found", [True, False])
def test_a_search_cut_short_is_bettered_and_says_what_is_left(monkeypatch, found):
    book = book_of(60)
    layout = programme._layout(book)
    start = alone(layout, programme._programme(book, layout)) if found else None
    monkeypatch.setattr(programme, "_search", lambda *_: (start, -np.inf, False))
    cut = pair(book, time_limit=20.0)
    monkeypatch.undo()
    full = pair(book)
    assert cut.optimal or not cut.complete
    assert cut.bound <= full.value <= cut.value
    assert cut.value <= full.value * 1.05


def test_where_nothing_at_all_is_found_every_contract_stands_alone(monkeypatch):
    book = book_of(60)
    monkeypatch.setattr(programme, "_run", lambda *_, **__: SimpleNamespace(x=None, status=1, mip_dual_bound=None))
    cut = pair(book, time_limit=20.0)
    monkeypatch.undo()
    short = book.quantity < 0
    assert {group.kind for group in cut.groups} <= {"naked", "straddle", "long"}
    assert cut.value <= -(book.quantity * (book.premium + book.exposure))[short].sum()
    assert not cut.complete
    assert cut.bound <= pair(book).value * (1 + 1e-12)
