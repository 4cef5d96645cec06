"""Moves of shares between the dates of the yield changes: which column, which days, which notes."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from attrs import evolve

from crossmargin.errors import InputError
from crossmargin.filtering import CorrelationScaling, correlation_scaled, filtered_returns
from crossmargin.market import History
from crossmargin.price_history import PriceHistory
from crossmargin.products import ETF, Index, Stock, is_business_day
from crossmargin.scenarios import ScenarioSpec, grid_scenarios, scenario_set
from crossmargin.spot_scenarios import has_history, why_unmoved, with_spot_moves

LAST = date(2026, 6, 30)
DAYS = [day for n in range(700, -1, -1) if is_business_day(day := LAST - timedelta(n))]
SPX, STOCK = Index("SPX", "broad_high_cap"), Stock("XYZ")
PLAIN = ScenarioSpec("historical", 2, 1)
FILTERED = ScenarioSpec("filtered", 2, 1, decay=0.94, ratio_cap=3.0)
STRESSED = ScenarioSpec("filtered", 2, 1, (DAYS[5], DAYS[40]), decay=0.94)
NAN = math.nan


def yields():
    walk = np.random.default_rng(3).normal(0, 5e-4, (len(DAYS), 5)).cumsum(axis=0)
    return History(DAYS, [0.25, 2, 5, 10, 30], np.abs(0.04 + walk))


def closes(seed=1, level=100.0):
    return level * np.exp(np.random.default_rng(seed).normal(0, 0.01, len(DAYS)).cumsum())


def moved(spec, prices, securities, *, volatilities=None, **more):
    history = PriceHistory(DAYS, prices, volatilities=volatilities or {})
    return with_spot_moves(scenario_set(spec, yields(), LAST), history, securities, **more)


def test_a_move_is_that_of_the_price_between_the_two_dates():
    prices = closes()
    drawn = moved(PLAIN, {"XYZ": prices}, {"XYZ": STOCK})
    at = dict(zip(DAYS, prices, strict=True))
    by_hand = [at[end] / at[start] - 1.0 for start, end in zip(drawn.starts, drawn.ends, strict=True)]
    assert drawn.spot_moves["XYZ"] == pytest.approx(by_hand, abs=1e-14)
    assert drawn.shifts.shape[1] == len(by_hand)
    assert not drawn.volatility_moves


def test_a_holiday_of_one_market_takes_the_price_before():
    prices = closes()
    holiday = len(DAYS) - 30
    prices[holiday] = NAN
    drawn = moved(PLAIN, {"XYZ": prices}, {"XYZ": STOCK})
    row = drawn.ends.index(DAYS[holiday])
    assert drawn.spot_moves["XYZ"][row] == pytest.approx(prices[holiday - 1] / prices[holiday - 2] - 1)


def test_a_fund_moves_with_its_index_times_its_leverage():
    funds = {"SPY": ETF("SPY", "broad", tracks="SPX"), "SDS": ETF("SDS", "broad", tracks="SPX", leverage=-2.0)}
    drawn = moved(PLAIN, {"SPX": closes()}, {"SPX": SPX, **funds})
    assert drawn.spot_moves["SPY"].tolist() == drawn.spot_moves["SPX"].tolist()
    assert drawn.spot_moves["SDS"].tolist() == (-2.0 * drawn.spot_moves["SPX"]).tolist()
    assert drawn.notes[-2:] == ("SPY moves with SPX times 1", "SDS moves with SPX times -2")


def test_a_history_of_its_own_comes_first():
    fund = ETF("SDS", "broad", tracks="SPX", leverage=-2.0)
    drawn = moved(PLAIN, {"SPX": closes(), "SDS": closes(2)}, {"SDS": fund, "XYZ": STOCK})
    assert drawn.spot_moves.keys() == {"SDS"}
    assert drawn.spot_moves["SDS"][0] == moved(PLAIN, {"XYZ": closes(2)}, {"XYZ": STOCK}).spot_moves["XYZ"][0]
    assert drawn.notes[-1] == "XYZ is left out: no price history of it, nor of an index that it tracks"


def test_a_ticker_not_quoted_throughout_is_left_out_and_the_rest_stays():
    young, gap = closes(2), closes(3)
    young[:-50] = NAN
    gap[-90:-80] = NAN
    held = {"NEW": Stock("NEW"), "GAP": Stock("GAP"), "XYZ": STOCK}
    drawn = moved(PLAIN, {"NEW": young, "GAP": gap, "XYZ": closes()}, held)
    assert drawn.spot_moves.keys() == {"XYZ"}
    new, gone = drawn.notes[-2:]
    assert new.startswith("NEW is left out: NEW is not quoted for")
    assert f"of {len(drawn.ends)} changes, first for that to {drawn.ends[0]}" in new
    assert "GAP is left out" in gone


def test_a_history_that_ends_early_leaves_the_ticker_out():
    prices = closes()
    prices[-6:] = NAN
    assert not moved(PLAIN, {"XYZ": prices}, {"XYZ": STOCK}).spot_moves


def test_leverage_that_leaves_no_price_is_said():
    prices = np.where(np.arange(len(DAYS)) < len(DAYS) - 20, 100.0, 60.0)
    funds = {"TRI": ETF("TRI", "broad", tracks="SPX", leverage=3.0), "ONE": ETF("ONE", "broad", tracks="SPX")}
    drawn = moved(PLAIN, {"SPX": prices}, funds)
    assert drawn.spot_moves.keys() == {"ONE"}
    assert any("TRI is left out: 3 times the move of SPX" in note for note in drawn.notes)


def test_a_jump_beyond_numbers_is_left_out_and_not_warned_of():
    prices = np.where(np.arange(len(DAYS)) < len(DAYS) - 1, 1e-300, 1e300)
    assert not moved(PLAIN, {"XYZ": prices}, {"XYZ": STOCK}).spot_moves


# ------------------------------------------------------------------------------------------------- volatilities


def test_a_volatility_changes_in_proportion_to_its_level_today():
    levels = np.full(len(DAYS), 0.2)
    levels[-60:-30] = 0.8  # a crisis that came and went
    drawn = moved(PLAIN, {"SPX": closes()}, {"SPX": SPX}, volatilities={"SPX": levels})
    changes = drawn.volatility_moves["SPX"]
    assert sorted(set(changes.round(12))) == pytest.approx([0.2 * (0.25 - 1), 0.0, 0.2 * (4 - 1)])
    assert (0.2 + changes > 0).all()  # the fall of 60 points leaves no negative volatility


def test_the_level_is_that_of_the_last_day_or_of_the_day_asked_for():
    levels = np.linspace(0.1, 0.3, len(DAYS))
    some = {"volatilities": {"XYZ": levels}}
    last = moved(PLAIN, {"XYZ": closes()}, {"XYZ": STOCK}, **some).volatility_moves["XYZ"]
    first = moved(PLAIN, {"XYZ": closes()}, {"XYZ": STOCK}, as_of=DAYS[0], **some).volatility_moves["XYZ"]
    assert first == pytest.approx(last / 3)


def test_a_fund_takes_the_volatilities_of_its_index_times_the_size_of_its_leverage():
    levels = np.abs(closes(5, 0.2))
    fund, short = ETF("SPY", "broad", tracks="SPX"), ETF("SDS", "broad", tracks="SPX", leverage=-2.0)
    prices = {"SPX": closes(), "SPY": closes(2)}  # its own prices, the index's volatilities
    drawn = moved(PLAIN, prices, {"SPX": SPX, "SPY": fund, "SDS": short}, volatilities={"SPX": levels})
    index = drawn.volatility_moves["SPX"]
    assert drawn.volatility_moves["SPY"].tolist() == index.tolist()
    assert drawn.volatility_moves["SDS"] == pytest.approx(2.0 * index)


def test_a_volatility_not_quoted_throughout_stands_still_and_is_noted():
    levels = np.full(len(DAYS), 0.2)
    levels[-100:-80] = NAN
    drawn = moved(PLAIN, {"XYZ": closes()}, {"XYZ": STOCK}, volatilities={"XYZ": levels})
    assert drawn.spot_moves.keys() == {"XYZ"}
    assert not drawn.volatility_moves
    assert drawn.notes[-1].startswith("the volatility of XYZ stands still: that of XYZ is not quoted for")


def test_a_level_that_is_not_known_today_stands_still_too():
    some = {"volatilities": {"XYZ": np.full(len(DAYS), 0.2)}}
    drawn = moved(PLAIN, {"XYZ": closes()}, {"XYZ": STOCK}, as_of=LAST + timedelta(30), **some)
    assert drawn.notes[-1].endswith(f"is not quoted shortly before {LAST + timedelta(30)}")
    assert not drawn.volatility_moves


def test_a_volatility_without_bounds_stands_still():
    levels = np.where(np.arange(len(DAYS)) < len(DAYS) - 1, 1e-300, 9.0)
    levels[-20] = 2e-300
    sharp = ScenarioSpec("filtered", 1, 1, decay=0.5)
    drawn = moved(sharp, {"XYZ": closes()}, {"XYZ": STOCK}, volatilities={"XYZ": levels})
    assert "has no bounds" in drawn.notes[-1]


# ---------------------------------------------------------------------------------------------------- the filter


def test_a_filtered_set_rescales_the_logarithmic_moves_of_the_look_back():
    prices = closes()
    plain, drawn = (moved(spec, {"XYZ": prices}, {"XYZ": STOCK}) for spec in (PLAIN, FILTERED))
    wanted = filtered_returns(np.log1p(plain.spot_moves["XYZ"]), 0.94, ratio_cap=3.0).scaled
    assert drawn.spot_moves["XYZ"] == pytest.approx(np.expm1(wanted), abs=1e-13)


def test_stressed_moves_are_not_rescaled():
    drawn = moved(STRESSED, {"XYZ": closes()}, {"XYZ": STOCK})
    stressed = [row for row, end in enumerate(drawn.ends) if DAYS[5] <= end <= DAYS[40]]
    alone = moved(ScenarioSpec("stress", 2, 1, (DAYS[5], DAYS[40])), {"XYZ": closes()}, {"XYZ": STOCK})
    assert len(stressed) == len(alone.ends) > 20
    assert drawn.spot_moves["XYZ"][stressed].tolist() == alone.spot_moves["XYZ"].tolist()
    recent = drawn.spot_moves["XYZ"][: -len(stressed)]
    plain = moved(PLAIN, {"XYZ": closes()}, {"XYZ": STOCK}).spot_moves["XYZ"]
    assert not np.allclose(recent, plain)


# ------------------------------------------------------------------------------------------------------ the rest


def test_scenarios_that_were_never_observed_are_refused():
    history = PriceHistory([LAST], {"XYZ": [1.0]})
    with pytest.raises(InputError, match="have no dates"):
        with_spot_moves(grid_scenarios("XYZ", [0.1]), history, {"XYZ": STOCK})


def test_nothing_held_changes_nothing():
    drawn = scenario_set(PLAIN, yields(), LAST)
    again = with_spot_moves(drawn, PriceHistory([LAST], {}), {})
    assert (again.notes, again.spot_moves, again.ends) == (drawn.notes, {}, drawn.ends)


def test_who_has_a_history():
    history = PriceHistory([LAST], {"SPX": [1.0]})
    assert has_history("SPX", SPX, history)
    assert has_history("SPY", ETF("SPY", tracks="SPX"), history)
    assert not has_history("XYZ", STOCK, history)
    assert not has_history("SPX", SPX, None)


def test_why_a_ticker_does_not_move():
    young = closes()
    young[:-50] = NAN
    history = PriceHistory(DAYS, {"SPX": closes(), "NEW": young})
    drawn = with_spot_moves(scenario_set(PLAIN, yields(), LAST), history, {"SPX": SPX})
    assert why_unmoved("SPX", SPX, history, drawn) == ""
    assert why_unmoved("SPX", SPX, None) == "the market has no price history"
    assert why_unmoved("SPX", SPX, history) == "no scenarios say how SPX moves"
    assert why_unmoved("SPX", SPX, history, evolve(drawn, spot_moves={})) == "no scenarios say how SPX moves"
    assert why_unmoved("XYZ", STOCK, history, drawn).startswith("no price history of it")
    assert why_unmoved("NEW", Stock("NEW"), history, drawn).startswith("NEW is not quoted for")
    assert why_unmoved("NEW", Stock("NEW"), history, evolve(drawn, starts=(), ends=())).startswith("no scenarios")


# ------------------------------------------------------------------------------------------------- correlations

LISTED = CorrelationScaling(0.97, 0.1, 1e-4, ("SPX", "RUT", "NDX"))
TOGETHER = evolve(STRESSED, correlation=LISTED)
INDICES = {"SPX": closes(1), "RUT": closes(2), "XYZ": closes(3)}
VIX = {"SPX": 0.2 * closes(4) / 100.0}


def test_listed_tickers_take_on_the_correlations_of_today_given_the_yields():
    held = {"SPX": SPX, "RUT": Index("RUT", "broad"), "XYZ": STOCK}
    before = moved(STRESSED, INDICES, held, volatilities=VIX)
    after = moved(TOGETHER, INDICES, held, volatilities=VIX)
    n = sum(end > DAYS[40] for end in before.ends)
    level = VIX["SPX"][-1]
    logs = [np.log1p(before.spot_moves[name]) for name in ("RUT", "SPX")]
    logs.append(np.log1p(before.volatility_moves["SPX"] / level))
    expected = correlation_scaled(np.vstack([before.shifts, logs])[:, :n].T, LISTED, leading=len(before.shifts)).T
    assert after.spot_moves["RUT"][:n] == pytest.approx(np.expm1(expected[-3]), rel=1e-9)
    assert after.spot_moves["SPX"][:n] == pytest.approx(np.expm1(expected[-2]), rel=1e-9)
    assert after.volatility_moves["SPX"][:n] == pytest.approx(level * np.expm1(expected[-1]), rel=1e-9)
    for name in held:
        assert after.spot_moves[name][n:].tolist() == before.spot_moves[name][n:].tolist()  # stress stays
    assert after.spot_moves["SPX"][:n].tolist() != before.spot_moves["SPX"][:n].tolist()
    assert after.spot_moves["XYZ"].tolist() == before.spot_moves["XYZ"].tolist()
    assert "the price of XYZ keeps its correlations" in after.notes


def test_what_else_is_held_changes_nothing_of_a_listed_ticker_nor_of_the_yields():
    alone = moved(TOGETHER, INDICES, {"SPX": SPX}, volatilities=VIX)
    fund = ETF("SPY", "broad", tracks="SPX", leverage=2.0)
    all_of_them = moved(TOGETHER, INDICES, {"XYZ": STOCK, "SPY": fund, "SPX": SPX}, volatilities=VIX)
    assert alone.spot_moves["SPX"].tolist() == all_of_them.spot_moves["SPX"].tolist()
    assert alone.volatility_moves["SPX"].tolist() == all_of_them.volatility_moves["SPX"].tolist()
    assert all_of_them.spot_moves["SPY"].tolist() == (2.0 * alone.spot_moves["SPX"]).tolist()
    assert alone.shifts.tolist() == scenario_set(TOGETHER, yields(), LAST).shifts.tolist()


def test_a_listed_ticker_with_a_gap_is_left_out_and_the_others_are_scaled():
    gap = closes(2)
    gap[-90:-80] = NAN
    held = {"SPX": SPX, "RUT": Index("RUT", "broad")}
    drawn = moved(TOGETHER, {"SPX": closes(1), "RUT": gap}, held)
    assert drawn.spot_moves.keys() == {"SPX"}
    assert drawn.spot_moves["SPX"].tolist() == moved(TOGETHER, {"SPX": closes(1)}, held).spot_moves["SPX"].tolist()


def test_with_no_listed_ticker_in_the_history_moves_stay_as_they_were():
    before, after = (moved(spec, {"XYZ": closes()}, {"XYZ": STOCK}) for spec in (STRESSED, TOGETHER))
    assert after.spot_moves["XYZ"].tolist() == before.spot_moves["XYZ"].tolist()


def test_equities_and_yields_move_together_as_they_do_of_late():
    """Prices that follow the two-year yield of late, and did not before: the look-back does so too, as far as today."""
    walk = np.diff(yields().par[:, 1], prepend=yields().par[0, 1])
    own = np.random.default_rng(9).normal(0, 0.01, len(DAYS))
    late = np.arange(len(DAYS)) > len(DAYS) - 60
    drawn = [
        moved(
            evolve(FILTERED, correlation=each), {"SPX": 100 * np.exp(np.cumsum(own + 40 * late * walk))}, {"SPX": SPX}
        )
        for each in (None, evolve(LISTED, decay=0.9))
    ]
    before, after = (np.corrcoef(each.shifts[1], np.log1p(each.spot_moves["SPX"]))[0, 1] for each in drawn)
    assert before < 0.6 < after
