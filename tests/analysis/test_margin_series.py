"""Margin day by day: the same as margining each day alone, blind to the future, and no day dropped in silence."""

from __future__ import annotations

import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

import crossmargin as xm
from crossmargin.analysis.backtest import christoffersen, exceptions, kupiec, procyclicality, traffic_light
from crossmargin.analysis.margin_series import (
    MarginSeries,
    MarketHistory,
    front_month,
    margin_series,
    margin_series_of,
    notional_future,
)
from crossmargin.errors import InputError, Problem
from crossmargin.io.market_files import read_tidy_par_yields
from crossmargin.io.price_files import read_index_history
from crossmargin.market import History, Market
from crossmargin.pnl import revalue
from crossmargin.price_history import PriceHistory
from crossmargin.products import Stock, TreasuryNote
from crossmargin.products.futures import IndexFuture, TreasuryFuture, conversion_factor
from crossmargin.regimes import SILOED, with_rulesets
from crossmargin.scenarios import ScenarioSet, ScenarioSpec

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "market"
DAYS = [day for n in range(460) if (day := date(2024, 3, 1) + timedelta(n)).weekday() < 5]
PERIOD = (DAYS[20], DAYS[60])
TENORS = [0.25, 2, 5, 10, 30]
MODELS = ("cme_span2_like", "eurex_prisma_like", "lch_pairs_like", "ice_irm2_like", "cme_irs_like")
NAN = math.nan


def yields(seed=5):
    walk = np.random.default_rng(seed).normal(0, 6e-4, (len(DAYS), len(TENORS))).cumsum(axis=0)
    return History(DAYS, TENORS, np.abs(0.04 + walk))


def closes(seed=6):
    return 5000.0 * np.exp(np.random.default_rng(seed).normal(0, 0.01, len(DAYS)).cumsum())


def study(par=None, prices=None):
    table = yields() if par is None else History(DAYS, TENORS, par)
    return MarketHistory(table, PriceHistory(DAYS, {"SPX": closes() if prices is None else prices}))


def zn(market, quantity=1.0):
    return [(notional_future("ZN", market, years=7), quantity)]


def es(market):
    return [(IndexFuture("ES", front_month("ES", market.as_of)), 1.0)]


def spread(market):
    return [(notional_future("ZT", market, years=2), 2.0), *zn(market, -1.0)]


BOOKS = {"ZN": zn, "ES": es, "ZT/ZN": spread}


def rule(id, period=PERIOD):
    own = xm.rules(id)
    return own.with_values(stress_period=period, because="made up") if "stress_period" in own.parameters else own


def asked(series, day):
    return series.requirement[series.dates.index(day)]


# ------------------------------------------------------------------------------------------ the same as one by one


def one_by_one(book, rules, day):
    """What `margin` asks of a house account on a market that holds the whole history, later rows too."""
    history = study()
    spots = {"SPX": history.prices.at("SPX", day)}
    market = evolve(Market.from_history(history.yields, day), prices=spots, price_history=history.prices)
    firm = xm.Firm("F", [xm.Registration.FCM], [xm.ClearingHouse.CME])
    account = xm.Account("A", "F", "F", xm.AccountClass.PROPRIETARY)
    held = [xm.Position(f"p{n}", "A", product, quantity) for n, (product, quantity) in enumerate(book(market))]
    today = {"cme_rates_futures", "cme_span2_like"} - {rules.id}
    regime = with_rulesets(SILOED, dict.fromkeys(today, rules.id))
    return xm.margin(xm.Portfolio([firm], [], [account], held), market, regime, rules=[rules]).total()


@pytest.mark.parametrize("name", BOOKS)
@pytest.mark.parametrize("id", MODELS)
def test_a_series_is_a_loop_over_margin(id, name):
    days = [DAYS[90], DAYS[200], DAYS[-1]]
    series = margin_series(BOOKS[name], rule(id), study(), days)
    assert series.dates == tuple(days)
    assert series.requirement.tolist() == [one_by_one(BOOKS[name], rule(id), day) for day in days]
    assert (series.requirement > 0).all()


def test_books_and_rules_together_are_each_alone():
    days, chosen = DAYS[150:154], [rule(id) for id in MODELS]
    together = margin_series_of(BOOKS, chosen, study(), days)
    assert list(together) == [(name, each.id) for name in BOOKS for each in chosen]
    for (name, id), series in together.items():
        alone = margin_series(BOOKS[name], rule(id), study(), days)
        assert (series.book, series.ruleset) == (name, id)
        assert alone.requirement.tolist() == series.requirement.tolist()
        assert alone.pnl.tolist() == series.pnl.tolist()
        assert alone.notes == series.notes


def test_days_are_sorted_and_taken_once():
    days = [DAYS[202], DAYS[200], DAYS[202]]
    assert margin_series(zn, rule("ice_irm2_like"), study(), days).dates == (DAYS[200], DAYS[202])


# ------------------------------------------------------------------------------------------------- no later day


@pytest.mark.parametrize("id", MODELS)
def test_later_rows_change_nothing(id):
    cut = 200
    par, prices = yields().par.copy(), closes()
    par[cut + 1 :] = par[cut + 1 :] * 1.7 + 0.01
    prices[cut + 1 :] *= 0.4
    days = DAYS[cut - 8 : cut + 1]
    seen = margin_series_of(BOOKS, [rule(id)], study(), days)
    other = margin_series_of(BOOKS, [rule(id)], study(par, prices), days)
    for key, series in seen.items():
        horizon = series.horizon_days
        assert other[key].requirement.tolist() == series.requirement.tolist()
        assert other[key].pnl[:-horizon].tolist() == series.pnl[:-horizon].tolist()
        assert (other[key].pnl[-horizon:] != series.pnl[-horizon:]).all()


def test_a_book_cannot_look_ahead():
    seen = []

    def looks(market):
        seen.append((market.history.dates[-1], market.price_history.dates[-1]))
        return zn(market)

    margin_series(looks, rule("ice_irm2_like"), study(), DAYS[200:203])
    assert seen == [(day, day) for day in DAYS[200:203]]


def test_a_future_that_cannot_be_priced_takes_no_margin_away():
    par = yields().par.copy()
    par[201:] = 0.49, 0.0, 0.49, 0.0, 0.49  # no discount factor survives this
    series = margin_series(zn, rule("ice_irm2_like"), study(par), [DAYS[200]])
    assert math.isnan(series.pnl[0])
    assert asked(series, DAYS[200]) == asked(margin_series(zn, rule("ice_irm2_like"), study(), [DAYS[200]]), DAYS[200])


# ------------------------------------------------------------------------------------------- what came of the book


@pytest.mark.parametrize(("id", "horizon"), [("ice_irm2_like", 1), ("eurex_prisma_like", 2), ("cme_irs_like", 5)])
def test_profit_and_loss_is_the_change_of_the_market_over_the_horizon(id, horizon):
    row, history = 180, study()
    day, par = DAYS[row], history.yields.par
    series = margin_series_of(BOOKS, [rule(id)], history, [day])
    market = history.market(day)
    shifts = (par[row + horizon] - par[row])[:, None]
    change = ScenarioSet(ScenarioSpec("historical", horizon, 1), TENORS, shifts)
    by_hand = {
        name: sum(float(revalue([product], market, change).values[0, 0]) * q for product, q in book(market))
        for name, book in (("ZN", zn), ("ZT/ZN", spread))
    }
    by_hand["ES"] = 50.0 * (closes()[row + horizon] - closes()[row])
    for name, expected in by_hand.items():
        assert series[name, id].pnl[0] == pytest.approx(expected, rel=1e-9)
        assert series[name, id].horizon_days == horizon


def test_the_last_days_have_no_profit_and_loss_yet():
    series = margin_series(zn, rule("cme_irs_like"), study(), DAYS[-8:])
    assert np.isnan(series.pnl).tolist() == [False] * 3 + [True] * 5
    assert np.isfinite(series.requirement).all()
    gains, margins = series.tested()
    assert gains.size == margins.size == 3
    assert series.tested(every=2)[0].tolist() == series.pnl[[0, 2]].tolist()


def test_a_change_over_a_gap_in_the_data_is_unknown():
    late = [*DAYS[:200], *(day + timedelta(30) for day in DAYS[200:])]
    history = MarketHistory(History(late, TENORS, yields().par))
    series = margin_series(zn, rule("ice_irm2_like"), history, late[198:201])
    assert np.isnan(series.pnl).tolist() == [False, True, False]


def test_a_tenor_that_stops_is_read_between_its_neighbours():
    par = yields().par.copy()
    par[201:, 3] = NAN
    assert np.isfinite(margin_series(zn, rule("ice_irm2_like"), study(par), [DAYS[200]]).pnl[0])


# --------------------------------------------------------------------------------------------------------- gaps


def test_every_day_is_a_figure_or_a_gap():
    prices = closes()
    prices[195:206] = NAN
    days = [date(2024, 6, 1), *DAYS[190:210]]  # the first is a Saturday
    both = margin_series_of({"ZN": zn, "ES": es}, [rule("ice_irm2_like")], study(prices=prices), days)
    for series in both.values():
        assert sorted([*series.dates, *(gap.day for gap in series.gaps)]) == days
    bonds, shares = both["ZN", "ice_irm2_like"], both["ES", "ice_irm2_like"]
    assert [gap.day for gap in bonds.gaps] == days[:1]
    assert "its last row on or before is 2024-05-31" in bonds.gaps[0].why
    assert [gap.day for gap in shares.gaps] == [days[0], *DAYS[198:210]]
    assert {gap.why.split(": ")[1] for gap in shares.gaps[1:9]} == {"SPX is not quoted on or shortly before the day"}
    assert "SPX is not quoted for 9 of 206 changes" in shares.gaps[9].why


def test_a_share_without_a_full_history_says_which_changes_lack():
    prices = closes()
    prices[:100] = NAN
    gap = margin_series(es, rule("ice_irm2_like"), study(prices=prices), [DAYS[200]]).gaps[0]
    assert gap.why.startswith("ES 2025-03: SPX is not quoted for 100 of 200 changes")


def test_without_prices_shares_are_a_gap_and_bonds_are_not():
    history = MarketHistory(yields())
    both = margin_series_of({"ZN": zn, "ES": es}, [rule("ice_irm2_like")], history, [DAYS[200]])
    assert (
        both["ES", "ice_irm2_like"].gaps[0].why == "ES 2025-03: no profit and loss under the scenarios of this rule-set"
    )
    assert both["ZN", "ice_irm2_like"].dates == (DAYS[200],)
    stock = margin_series(lambda _: [(Stock("XYZ"), 5.0)], rule("ice_irm2_like"), history, [DAYS[200]])
    assert stock.gaps[0].why == "the market has no price of XYZ"


def test_one_book_that_fails_leaves_the_others():
    def refuses(market):
        raise InputError([Problem("says no.", str(market.as_of))])

    expired = TreasuryFuture("ZN", 202406, (TreasuryNote(0.04, date(2031, 6, 1)),))
    books = {"ZN": zn, "no": refuses, "old": lambda _: [(expired, 1.0)]}
    found = margin_series_of(books, [rule("ice_irm2_like"), rule("lch_pairs_like")], study(), [DAYS[200]])
    for id in ("ice_irm2_like", "lch_pairs_like"):
        assert found["no", id].gaps[0].why == f"{DAYS[200]}: says no."
        assert "delivery ended on 2024-06-28" in found["old", id].gaps[0].why
        assert found["ZN", id].dates == (DAYS[200],)
        assert found["no", id].horizon_days == 0
        assert found["no", id].confidence is None


def test_a_sample_that_is_too_small_is_a_gap_of_its_model_alone():
    early = DAYS[4]
    found = margin_series_of({"ZN": zn}, [rule("ice_irm2_like"), rule("lch_pairs_like")], study(), [early])
    assert found["ZN", "ice_irm2_like"].dates == (early,)
    assert "no usable 5-day change" in found["ZN", "lch_pairs_like"].gaps[0].why


def test_a_rule_is_not_carried_back_unless_a_calibration_is_named():
    later = xm.rules("ice_irm2_like")
    first = later.first_date
    old = [first - timedelta(3 * 365) + timedelta(n) for n in range(300)]
    old = [day for day in old if day.weekday() < 5]
    history = MarketHistory(History(old, TENORS, yields().par[: len(old)]))
    assert "has no value" in margin_series(zn, later, history, old[-1:]).gaps[0].why
    told = margin_series(zn, later, history, old[-1:], calibration=first)
    assert told.dates == tuple(old[-1:])
    assert told.notes[0] == f"the calibration of {first} on every day: a study, hypothetical on past days"


# ------------------------------------------------------------------------------------------------ stress periods


def test_a_stress_period_is_used_once_it_has_ended():
    ahead = (DAYS[180], DAYS[220])
    rules = rule("cme_span2_like", ahead)
    before, after = DAYS[219], DAYS[220]
    alone = margin_series(zn, rules, study(), [before, after])
    assert alone.dates == (after,)
    assert f"stress period {ahead[0]} to {ahead[1]} has not ended" in alone.gaps[0].why
    stand_ins = [(DAYS[20], DAYS[60]), (DAYS[70], DAYS[110]), (DAYS[200], DAYS[230])]
    helped = margin_series(zn, rules, study(), [DAYS[80], before, after], stress_periods=stand_ins)
    assert not helped.gaps
    expected = [rule("cme_span2_like", period) for period in (stand_ins[0], stand_ins[1], ahead)]
    days = (DAYS[80], before, after)
    alone = [margin_series(zn, each, study(), [day]).requirement[0] for each, day in zip(expected, days, strict=True)]
    assert helped.requirement.tolist() == alone
    said = [note for note in helped.notes if note.startswith("stress period")]
    assert said == [
        f"stress period {a} to {b} from {day} to {day}: the rule's own, {ahead[0]} to {ahead[1]}, had not ended"
        for (a, b), day in ((stand_ins[0], DAYS[80]), (stand_ins[1], before))
    ]


def test_a_period_that_ends_before_it_begins_is_refused():
    with pytest.raises(InputError, match="ends before it begins"):
        margin_series(zn, rule("ice_irm2_like"), study(), DAYS[-1:], stress_periods=[(DAYS[5], DAYS[4])])


def test_rules_that_cannot_be_told_apart_or_are_no_rule_sets_are_refused_at_once():
    twice = [rule("ice_irm2_like"), rule("ice_irm2_like"), xm.rules("cme_ficc")]
    with pytest.raises(InputError) as refused:
        margin_series_of(BOOKS, twice, study(), DAYS[-1:], stress_periods=[(DAYS[5], DAYS[4])])
    assert [problem.where for problem in refused.value.problems] == [
        "rule ice_irm2_like",
        "rule cme_ficc",
        "stress_periods",
    ]


def test_a_rule_set_without_scenarios_margins_no_day():
    found = margin_series_of({"ZN": zn}, [xm.rules("reg_t"), rule("ice_irm2_like")], study(), DAYS[-2:-1])
    assert found["ZN", "reg_t"].gaps[0].why == "rule reg_t: draws no scenarios. Ask margin() for its figure."
    assert not found["ZN", "ice_irm2_like"].gaps


def test_a_contract_that_is_misspelt_is_named():
    with pytest.raises(InputError, match="unknown contract 'ZM'"):
        front_month("ZM", DAYS[0])


# --------------------------------------------------------------------------------------------------------- laws

sizes = st.floats(-20.0, 20.0).filter(lambda size: abs(size) > 1e-3)


@settings(max_examples=15, deadline=None)
@given(sizes, st.integers(100, len(DAYS) - 6), st.integers(1, 4))
def test_margin_and_profit_scale_with_the_book_and_splitting_it_changes_nothing(size, row, parts):
    day, rules = [DAYS[row]], rule("lch_pairs_like")  # charges nothing for size
    books = {
        "one": lambda market: zn(market, math.copysign(1.0, size)),
        "sized": lambda market: zn(market, size),
        "split": lambda market: zn(market, size / parts) * parts,
        "other side": lambda market: zn(market, -size),
        "flat": lambda market: zn(market, size) + zn(market, -size),
    }
    found = {name: series for (name, _), series in margin_series_of(books, [rules], study(), day).items()}
    assert found["sized"].requirement[0] == pytest.approx(abs(size) * found["one"].requirement[0], rel=1e-9)
    assert found["split"].requirement[0] == pytest.approx(found["sized"].requirement[0], rel=1e-12)
    assert found["other side"].pnl[0] == pytest.approx(-found["sized"].pnl[0], rel=1e-12)
    assert found["flat"].requirement[0] == found["flat"].pnl[0] == 0.0


@given(st.sampled_from(["ZT", "Z3N", "ZF", "ZN", "TN", "ES"]), st.dates(date(1990, 1, 1), date(2080, 1, 1)))
def test_the_front_month_is_listed_and_one_to_three_months_ahead(contract, day):
    year, month = divmod(front_month(contract, day), 100)
    ahead = 12 * (year - day.year) + month - day.month
    assert month in {3, 6, 9, 12}
    assert 1 <= ahead <= 3


# ------------------------------------------------------------------------------------------------- what is returned


def test_a_series_fits_the_back_tests():
    series = margin_series(zn, rule("ice_irm2_like"), study(), DAYS[100:180])
    hits = exceptions(*series.tested())
    assert 0 < kupiec(len(hits), int(hits.sum()), 1 - series.confidence).p_value <= 1
    assert traffic_light(len(hits), int(hits.sum()), 1 - series.confidence).zone in {"green", "yellow", "red"}
    assert christoffersen(hits, 1 - series.confidence).conditional.p_value <= 1
    assert procyclicality(series.requirement, 20).peak_to_trough >= 1
    part = series.between(DAYS[110], DAYS[119])
    assert part.dates == tuple(DAYS[110:120])
    assert part.requirement.tolist() == series.requirement[10:20].tolist()
    with pytest.raises(ValueError, match="read-only"):
        series.requirement[0] = 0.0


def test_an_expected_shortfall_claims_no_coverage():
    assert margin_series(zn, rule("lch_pairs_like"), study(), DAYS[-1:]).confidence is None


def test_what_is_left_out_is_said_by_kind_and_not_by_month():
    days = [DAYS[100], DAYS[200]]
    shallow = rule("ice_irm2_like").with_values(market_depth=[], because="a table that knows no contract")
    notes = margin_series(es, shallow, study(), days).notes
    assert "not modelled: index_future, no row of the table is for it" in notes
    assert not any("2024-" in note or "2025-" in note for note in notes)


def test_no_days_and_no_books():
    empty = margin_series(zn, rule("ice_irm2_like"), study(), [])
    assert isinstance(empty, MarginSeries)
    assert (empty.dates, empty.requirement.size, empty.gaps) == ((), 0, ())
    assert margin_series_of({}, [rule("ice_irm2_like")], study(), DAYS[-3:]) == {}
    nothing = margin_series(lambda _: [], rule("lch_pairs_like"), study(), DAYS[100:102])
    assert nothing.requirement.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("par", "coupon"), [(0.0, 0.00125), (0.0401, 0.04), (0.04065, 0.04125), (-0.01, 0.00125)])
def test_a_notional_note_has_a_coupon_of_whole_eighths(par, coupon):
    day = date(2025, 2, 28)
    market = Market.from_history(History([day], TENORS, [[par] * 5]), day)
    future = notional_future("ZN", market, years=7)
    assert (future.delivery_month, future.basket) == (202503, (TreasuryNote(coupon, date(2032, 3, 1)),))
    assert conversion_factor("ZN", 202503, coupon, date(2032, 3, 1)) < 1


# --------------------------------------------------------------------------------------------------------- real days


def real_history():
    tables = DATA / "ust_par_yields_daily.csv", DATA / "equity_indices_daily.csv"
    if not all(path.is_file() for path in tables):
        pytest.skip("the shared market history is not beside this checkout")
    table = read_tidy_par_yields(tables[0])
    first = table.dates.index(date(1990, 1, 2))
    return MarketHistory(History(table.dates[first:], table.tenors, table.par[first:]), read_index_history(tables[1]))


@pytest.mark.slow_interpreted
def test_real_days_have_no_gap():
    history = real_history()
    days = [
        date(2000, 1, 3),
        date(2001, 9, 17),
        date(2008, 10, 15),
        date(2020, 3, 13),
        date(2023, 3, 10),
        date(2026, 6, 30),
    ]
    autumn = (date(1998, 8, 17), date(1998, 10, 30))
    rules = [xm.rules(id) for id in MODELS]
    found = margin_series_of(BOOKS, rules, history, days, calibration=date(2026, 6, 30), stress_periods=[autumn])
    for series in found.values():
        assert series.dates == tuple(days)
        assert (series.requirement > 0).all()
        assert np.isfinite(series.pnl[:-1]).all()
    shares = found["ES", "cme_span2_like"]
    fall = shares.pnl[shares.dates.index(date(2020, 3, 13))]
    assert fall == pytest.approx(50 * (2386.13 - 2711.02), abs=1.0)  # the S&P 500 on 16 March 2020
    rise = found["ZT/ZN", "cme_span2_like"]
    assert rise.pnl[rise.dates.index(date(2023, 3, 10))] > 0  # two-year yields fell by 57 basis points, ten-year by 15


@pytest.mark.parametrize(("contract", "years", "points"), [("ZT", 2, 1.82), ("ZN", 7, 7.30)])
def test_a_notional_future_moves_as_the_contract_did(contract, years, points):
    """Points for a change of 1 % in yields, from a regression of prices on yields since 2018."""
    history = real_history()
    up = ScenarioSet(ScenarioSpec("historical", 1, 1), [1], [[0.0001]])
    found = []
    for day in (date(2018, 6, 29), date(2020, 6, 30), date(2022, 6, 30), date(2024, 6, 28)):
        market = history.market(day)
        future = notional_future(contract, market, years=years)
        point_value = 2000 if contract == "ZT" else 1000
        found.append(-100 * float(revalue([future], market, up).values[0, 0]) / point_value)
    assert np.mean(found) == pytest.approx(points, rel=0.1)
