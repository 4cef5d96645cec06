"""Laws of the moves of shares: one set of dates for all factors, names that do not matter, leverage, filters, time."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.market import History
from crossmargin.price_history import PriceHistory
from crossmargin.products import ETF, Index, Stock, is_business_day
from crossmargin.scenarios import ScenarioSpec, scenario_set
from crossmargin.spot_scenarios import with_spot_moves

LAST = date(2026, 6, 30)
DAYS = tuple(day for n in range(500, -1, -1) if is_business_day(day := LAST - timedelta(n)))
HELD = {"A": Stock("A"), "B": Stock("B"), "I": Index("I", "broad")}

specs = st.builds(
    lambda horizon, filtered: ScenarioSpec(
        "filtered" if filtered else "historical", horizon, 1, **({"decay": 0.95, "ratio_cap": 3.0} if filtered else {})
    ),
    st.integers(1, 5),
    st.booleans(),
)
seeds = st.integers(0, 2**32 - 1)
leverages = st.sampled_from([-3.0, -2.0, -1.0, 0.5, 1.0, 2.0, 3.0])


@cache
def yields() -> History:
    walk = np.random.default_rng(7).normal(0, 5e-4, (len(DAYS), 5)).cumsum(axis=0)
    return History(DAYS, [0.25, 2, 5, 10, 30], 0.04 + 0.2 * np.tanh(walk))


def walk(seed: int, level: float = 100.0, step: float = 0.01) -> np.ndarray:
    return level * np.exp(np.random.default_rng(seed).normal(0, step, len(DAYS)).cumsum())


def prices(seed: int) -> dict[str, np.ndarray]:
    return {ticker: walk(seed + n) for n, ticker in enumerate(HELD)}


def moved(spec, closes, held, *, as_of=LAST, **volatilities):
    history = PriceHistory(DAYS, closes, volatilities=volatilities)
    return with_spot_moves(scenario_set(spec, yields(), as_of), history, held)


@given(specs, seeds)
def test_all_factors_move_between_the_same_dates(spec, seed):
    closes = prices(seed)
    drawn = moved(ScenarioSpec("historical", spec.horizon_days, 1), closes, HELD)
    row = {day: n for n, day in enumerate(DAYS)}
    starts, ends = ([row[day] for day in days] for days in (drawn.starts, drawn.ends))
    for ticker, column in closes.items():
        assert drawn.spot_moves[ticker] == pytest.approx(column[ends] / column[starts] - 1, abs=1e-13)
    assert pytest.approx(yields().par[ends] - yields().par[starts], abs=1e-15) == drawn.shifts.T
    assert {end - start for start, end in zip(starts, ends, strict=True)} == {spec.horizon_days}


@given(specs, seeds, leverages)
def test_a_fund_moves_by_its_leverage_times_its_index_in_price_and_volatility(spec, seed, leverage):
    held = {"I": HELD["I"], "F": ETF("F", "broad", tracks="I", leverage=leverage)}
    drawn = moved(spec, {"I": walk(seed)}, held, I=walk(seed + 1, 0.2, 0.05))
    assert drawn.spot_moves["F"] == pytest.approx(leverage * drawn.spot_moves["I"], rel=1e-12)
    assert drawn.volatility_moves["F"] == pytest.approx(abs(leverage) * drawn.volatility_moves["I"], rel=1e-12)


@given(specs, seeds, st.permutations(["X", "Y", "Z"]))
def test_names_and_order_do_not_matter(spec, seed, names):
    closes = prices(seed)
    called = dict(zip(HELD, names, strict=True))
    renamed = {called[ticker]: Stock(called[ticker]) for ticker in reversed(HELD)}
    plain = moved(spec, closes, HELD)
    other = moved(spec, {called[ticker]: column for ticker, column in closes.items()}, renamed)
    for ticker, name in called.items():
        assert other.spot_moves[name].tobytes() == plain.spot_moves[ticker].tobytes()


@given(specs, seeds)
def test_who_else_is_held_does_not_matter(spec, seed):
    closes = prices(seed)
    alone = moved(spec, closes, {"A": HELD["A"]})
    assert alone.spot_moves["A"].tobytes() == moved(spec, closes, HELD).spot_moves["A"].tobytes()


@given(specs, seeds, st.floats(1e-6, 1e6))
def test_the_unit_of_a_price_does_not_matter(spec, seed, unit):
    closes = walk(seed)
    plain = moved(spec, {"A": closes}, {"A": HELD["A"]}).spot_moves["A"]
    assert moved(spec, {"A": unit * closes}, {"A": HELD["A"]}).spot_moves["A"] == pytest.approx(plain, abs=1e-12)


@given(st.floats(1e-4, 0.2), st.lists(st.booleans(), min_size=len(DAYS), max_size=len(DAYS)), st.floats(0.5, 0.99))
def test_a_filter_of_constant_volatility_changes_nothing(step, ups, decay):
    signs = np.where(ups, 1.0, -1.0)
    closes = np.exp(step * (signs.cumsum() - signs.sum()))
    plain = moved(ScenarioSpec("historical", 1, 1), {"A": closes}, {"A": HELD["A"]}, A=closes.clip(1e-3, 5.0))
    drawn = moved(ScenarioSpec("filtered", 1, 1, decay=decay), {"A": closes}, {"A": HELD["A"]})
    assert drawn.spot_moves["A"] == pytest.approx(plain.spot_moves["A"], rel=1e-8)


@given(specs, seeds, st.integers(1, 100))
def test_what_comes_after_the_day_is_never_read(spec, seed, cut):
    day, closes, levels = DAYS[-1 - cut], walk(seed), walk(seed + 1, 0.2, 0.05)
    changed = np.where(np.arange(len(DAYS)) < len(DAYS) - cut, closes, 3.0 * closes)
    held = {"A": HELD["A"]}
    plain = moved(spec, {"A": closes}, held, as_of=day, A=levels)
    other = moved(spec, {"A": changed}, held, as_of=day, A=np.where(changed == closes, levels, 2.0 * levels))
    assert plain.spot_moves["A"].tobytes() == other.spot_moves["A"].tobytes()
    assert plain.volatility_moves["A"].tobytes() == other.volatility_moves["A"].tobytes()


@given(specs, seeds, st.floats(0.01, 0.5))
def test_a_shock_leaves_a_volatility_above_zero(spec, seed, step):
    levels = np.clip(walk(seed, 0.3, step), 0.01, 5.0)
    drawn = moved(spec, {"A": walk(seed)}, {"A": HELD["A"]}, A=levels)
    assert (levels[-1] + drawn.volatility_moves["A"] > 0.0).all()
