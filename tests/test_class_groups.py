"""Class groups: who is in one, what it gains at each point, and what is left out visibly."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date, timedelta

import numpy as np
import pytest
from attrs import evolve

from crossmargin.class_groups import ClassGroup, Grid, by_class, class_groups, class_of, kind_of
from crossmargin.errors import InputError
from crossmargin.pricing.portfolio_grid import GridModel, OptionSeries, grid_pnl
from crossmargin.products import ETF, FutureOption, Index, ListedOption, SecurityFuture, Stock, Warrant
from crossmargin.underlyings import Underlying, ticker_held
from tests.properties.class_books import (
    IBM,
    IWM,
    RATE,
    SH,
    SPX,
    SPY,
    SSO,
    XYZ,
    inputs_of,
    market_of,
    option,
    positions_of,
    real_chain,
    real_market,
    underlyings,
)
from tests.properties.strategies import AS_OF, BILL, OPTION, ZN
from tests.reference.class_group_twin import black_scholes, class_pnl

RANGES = [
    {"kind": "broad_index_high_cap", "down": 0.08, "up": 0.06},
    {"kind": "broad_index", "down": 0.10, "up": 0.10},
    {"kind": "sector_index", "down": 0.15, "up": 0.15},
    {"kind": "narrow_index", "down": 0.15, "up": 0.15},
    {"kind": "equity", "down": 0.15, "up": 0.15},
]
GRID = Grid(ranges=RANGES, points_each_side=5)
EXPIRY = AS_OF + timedelta(days=80)
YEARS = 80 / 365


def groups(held, market=None, grid=GRID):
    inputs = inputs_of(positions_of(held), market)
    return class_groups(inputs.portfolio.positions, inputs, grid)


def only(held, market=None, grid=GRID) -> ClassGroup:
    (group,) = groups(held, market, grid)
    return group


def priced_at(each, volatility, spot, dividend_yield=0.0):
    years = (each.expiry - AS_OF).days / 365
    terms = {"spot": spot, "rate": RATE, "dividend_yield": dividend_yield, "volatility": volatility}
    return black_scholes(each.right == "call", each.strike, years, **terms)


# ---------------------------------------------------------------------------------------------------------- the grid


def test_both_readings_of_the_grid():
    expected = [-0.08, -0.064, -0.048, -0.032, -0.016, 0.012, 0.024, 0.036, 0.048, 0.06]
    assert GRID.moves("broad_index_high_cap") == pytest.approx(expected)
    linear = evolve(GRID, reading="linear")
    assert linear.moves("broad_index_high_cap") == pytest.approx(np.linspace(-0.08, 0.06, 10))
    assert not np.isclose(linear.moves("equity"), 0.0).any()


def test_a_range_of_a_class_goes_before_that_of_its_kind():
    grid = evolve(GRID, own={"XYZ": (0.4, 0.5)})
    assert grid.moves("equity", "XYZ")[[0, -1]] == pytest.approx([-0.4, 0.5])
    assert grid.moves("equity", "IBM")[[0, -1]] == pytest.approx([-0.15, 0.15])


@pytest.mark.parametrize(
    "make",
    [
        lambda: evolve(GRID, reading="each_sides"),
        lambda: evolve(GRID, unsolved="zero"),
        lambda: GRID.moves("equities"),
        lambda: evolve(GRID, points_each_side=0).moves("equity"),
        lambda: Grid(ranges=[{"kind": "equity", "down": 1.0, "up": 0.1}], points_each_side=5).moves("equity"),
        lambda: Grid(ranges=[{"kind": "equity", "down": 0.1, "up": -0.1}], points_each_side=5).moves("equity"),
    ],
)
def test_no_grid(make):
    with pytest.raises(InputError):
        make()


def test_two_unknown_words_are_named_at_once():
    with pytest.raises(InputError) as found:
        Grid(ranges=RANGES, points_each_side=5, reading="x", unsolved="y")
    assert [problem.where for problem in found.value.problems] == ["reading", "unsolved"]


# --------------------------------------------------------------------------------------------------- who is in a class


@pytest.mark.parametrize(
    ("security", "kind"),
    [
        (IBM, "equity"),
        (SPX, "broad_index_high_cap"),
        (Index("RUT", "broad"), "broad_index"),
        (ETF("XLF", "sector"), "sector_index"),
        (ETF("SMH"), "narrow_index"),
    ],
)
def test_kinds(security, kind):
    assert kind_of(security) == kind


def test_what_hangs_on_what():
    assert ticker_held(option("SPY", "put", 500.0)) == "SPY"
    assert ticker_held(SecurityFuture("IBM", 202609)) == ticker_held(IBM) == "IBM"
    assert ticker_held(BILL) == ticker_held(ZN) == ticker_held(OPTION) == ""
    assert isinstance(OPTION, FutureOption)


def test_funds_stand_in_the_class_of_their_index():
    held = [(SPY, 1), (SSO, 1), (option("SPX", "call", 5000.0), 1), (IBM, 1), (XYZ, 1), (BILL, 1e6)]
    inputs = inputs_of(positions_of(held))
    found = by_class(inputs.portfolio.positions, inputs)
    assert {name: len(mine) for name, mine in found.items()} == {"IBM": 1, "SPX": 3, "XYZ": 1}
    assert list(found) == sorted(found)


def test_chains_of_funds():
    two = ETF("TWO", "narrow", tracks="ONE", leverage=2.0)
    one = ETF("ONE", "narrow", tracks="IBM", leverage=-1.5)
    assert class_of("TWO", {"TWO": two, "ONE": one, "IBM": IBM}) == ("IBM", -3.0)
    assert class_of("TWO", {"TWO": two}) == ("ONE", 2.0)
    assert class_of("TQQQ", {"TQQQ": ETF("TQQQ", "broad_high_cap", leverage=3.0)}) == ("TQQQ", 3.0)
    assert class_of("IBM", {}) == ("IBM", 1.0)


@pytest.mark.parametrize("tracks", ["ONE", "TWO"])
def test_funds_in_a_circle_are_refused(tracks):
    funds = {"ONE": ETF("ONE", tracks="TWO"), "TWO": ETF("TWO", tracks=tracks)}
    with pytest.raises(InputError, match="tracks itself"):
        class_of("ONE", funds)


def test_without_its_index_a_class_takes_the_range_of_its_narrowest_fund():
    known = {ticker: each for ticker, each in underlyings().items() if ticker != "SPX"}
    assert only([(SPY, 1), (SSO, 1)], market_of({}, known=known)).kind == "broad_index_high_cap"
    narrow = ETF("NAR", "sector", tracks="SPX")
    known["NAR"] = Underlying("NAR", spot=10.0, security=narrow)
    assert only([(SPY, 1), (narrow, 1)], market_of({}, known=known)).kind == "sector_index"
    assert only([(SPY, 1), (ETF("NAR", "sector", tracks="SPX"), 1)], market_of({"NAR": 10.0})).kind == kind_of(SPX)


# ------------------------------------------------------------------------------------------------------ shares by hand


def test_stock_moves_by_the_fraction_of_its_underlying():
    group = only([(IBM, 100), (IBM, -300)])
    assert group.pnl == pytest.approx([-20000.0 * move for move in GRID.moves("equity")])
    assert (group.long_market_value, group.short_market_value, group.contract_units) == (0.0, 20000.0, 0.0)


def test_leveraged_funds_move_by_their_multiple():
    down = {name: only([(fund, 100)]).pnl[0] for name, fund in (("SPY", SPY), ("SSO", SSO), ("SH", SH))}
    assert down == pytest.approx({"SPY": -0.08 * 50000, "SSO": -0.16 * 8000, "SH": 0.08 * 1200})
    assert only([(SPY, 100), (SSO, 100), (SH, 100)]).pnl[0] == pytest.approx(sum(down.values()))


def test_a_fund_without_an_index_scales_the_range_of_its_kind():
    fund = ETF("TNA", "broad", leverage=-3.0)
    group = only([(fund, 10)], market_of({"TNA": 50.0}))
    assert group.name == "TNA"
    assert group.pnl[0] == pytest.approx(0.3 * 500)
    assert group.moves[0] == pytest.approx(-0.1)


def test_a_fund_that_would_lose_more_than_itself_is_a_gap():
    fund = ETF("WILD", "narrow", leverage=8.0)
    group = only([(fund, 10)], market_of({"WILD": 50.0}))
    assert set(group.pnl) == {0.0}
    assert [line.note for line in group.gaps] == ["a move of -120% leaves 'WILD' no price"]


def test_security_futures_move_like_their_shares_and_have_no_market_value():
    future = SecurityFuture("IBM", 202609)
    group = only([(IBM, -200), (future, 2)], market_of({future: 101.0}))
    assert group.pnl == pytest.approx([2 * 100 * move for move in GRID.moves("equity")])  # 101 against 100
    assert (group.long_market_value, group.short_market_value) == (0.0, 20000.0)


def test_positions_that_cancel_leave_nothing():
    call = option("IBM", "call", 100.0)
    group = only([(call, 5), (call, -5)], market_of({call: 5.0}))
    assert (set(group.pnl), group.contract_units, group.gaps, group.parts) == ({0.0}, 0.0, (), ())


# ------------------------------------------------------------------------------------------------------------- options


def test_a_class_against_the_slow_twin():
    chain = [option("SPX", "call", 5200.0), option("SPX", "put", 4800.0, 30), option("SPX", "put", 4900.0, 400)]
    prices = {each: priced_at(each, vol, 5000.0, 0.015) for each, vol in zip(chain, (0.14, 0.2, 0.18), strict=True)}
    known = underlyings(SPX=Underlying("SPX", spot=5000.0, dividend_yield=0.015, security=SPX))
    held = [(chain[0], -3), (chain[1], -2), (chain[2], 1), (SPY, 250)]
    group = only(held, market_of(prices, known=known))
    options = [
        (100.0 * count, each.right == "call", each.strike, (each.expiry - AS_OF).days / 365, prices[each])
        for each, count in held[:3]
    ]
    terms = {"spot": 5000.0, "moves": GRID.moves(group.kind), "rate": RATE, "dividend_yield": 0.015}
    assert group.pnl == pytest.approx(class_pnl(options, 250 * 500.0, **terms), rel=1e-7)
    assert group.contract_units == 600.0
    assert dict(group.parts).keys() == {each.symbol for each, _ in held}
    assert np.sum([row for _, row in group.parts], axis=0) == pytest.approx(group.pnl)


@pytest.mark.parametrize("exercise", ["american", "european"])
def test_options_are_revalued_by_the_grid_of_one_underlying(exercise):
    puts = [ListedOption("IBM", "put", strike, EXPIRY, exercise=exercise) for strike in (90.0, 110.0)]
    group = only([(puts[0], -2), (puts[1], 3)], market_of({puts[0]: 2.0, puts[1]: 12.0}))
    series = OptionSeries(is_call=[False] * 2, strike=[90.0, 110.0], expiry_time=[YEARS] * 2, price=[2.0, 12.0])
    model = GridModel(rate=RATE, american=exercise == "american")
    expected = grid_pnl(series, [-200.0, 300.0], spot=100.0, moves=GRID.moves("equity"), model=model)
    assert group.pnl == pytest.approx(expected, rel=1e-9)


def test_early_exercise_counts():
    american, european = (ListedOption("IBM", "put", 130.0, EXPIRY, exercise=e) for e in ("american", "european"))
    deep = only([(american, -1)], market_of({american: 30.0}))
    assert deep.pnl[0] == pytest.approx(-1500.0)  # worth its intrinsic value at every point
    assert only([(european, -1)], market_of({european: 29.5})).pnl[0] != pytest.approx(-1500.0, abs=1.0)


def test_cash_dividends_lower_what_moves():
    call = ListedOption("IBM", "call", 100.0, EXPIRY, exercise="european")
    day = AS_OF + timedelta(days=40)
    paid = Underlying("IBM", spot=100.0, dividends=[(day, 3.0), (EXPIRY + timedelta(1), 9.0)], security=IBM)
    net = 100.0 - 3.0 * math.exp(-RATE * 40 / 365)
    price = priced_at(call, 0.3, net)
    group = only([(call, 1)], market_of({call: price}, known=underlyings(IBM=paid)))
    there = priced_at(call, 0.3, net - 15.0)
    assert group.pnl[0] == pytest.approx(100 * (there - price), rel=1e-7)


def test_american_options_with_cash_dividends_go_to_the_lattice():
    call = ListedOption("IBM", "call", 80.0, EXPIRY)
    paid = Underlying("IBM", spot=100.0, dividends=[(EXPIRY - timedelta(1), 6.0)], security=IBM)
    group = only([(call, 1)], market_of({call: 21.0}, known=underlyings(IBM=paid)))
    assert group.pnl[-1] == pytest.approx(1500.0, abs=60.0)  # held to the dividend, then exercised
    assert group.gaps == ()


def test_dividends_larger_than_the_price_leave_a_gap():
    call = option("IBM", "call", 100.0)
    paid = Underlying("IBM", spot=100.0, dividends=[(AS_OF + timedelta(1), 90.0)], security=IBM)
    group = only([(call, 1), (IBM, 1)], market_of({call: 1.0}, known=underlyings(IBM=paid)))
    assert [line.note for line in group.gaps] == ["its cash dividends leave no price at the lowest point"]
    assert group.pnl[0] == pytest.approx(-15.0)  # the share stays


# ------------------------------------------------------------------------------------------------- what is left out


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (9.0, "its price 9 is below what the model gives without volatility"),
        (101.0, "its price 101 is above what the model gives at any volatility"),
        (-1.0, "its price -1 is negative"),
    ],
)
def test_a_price_without_a_volatility_is_a_gap_that_names_it(price, said):
    bad, good = option("IBM", "call", 90.0), option("IBM", "call", 110.0)
    group = only([(bad, -1), (good, -1)], market_of({bad: price, good: 2.0}))
    (gap,) = group.gaps
    assert gap.name == f"p0: {bad.symbol}"
    assert gap.note.startswith(said)
    assert gap.amount is None
    assert group.contract_units == 200.0  # its minimum is owed all the same
    assert [symbol for symbol, _ in group.parts] == [good.symbol]


def test_each_lot_of_a_series_without_a_volatility_is_named():
    bad = option("IBM", "call", 90.0)
    group = only([(bad, -1), (IBM, 5), (bad, -2)], market_of({bad: 9.0}))
    assert [line.name.split(":")[0] for line in group.gaps] == ["p0", "p2"]


def test_a_price_rounded_below_its_worth_has_no_time_value():
    call = ListedOption("IBM", "call", 50.0, EXPIRY, exercise="european")
    worth = 100.0 - 50.0 * math.exp(-RATE * YEARS)
    rounded = market_of({call: worth - 0.004})
    assert only([(call, 1)], rounded).gaps
    grid = evolve(GRID, price_rounding=0.005)
    group = only([(call, 1)], rounded, grid)
    assert group.gaps == ()
    assert group.pnl == pytest.approx([10000.0 * move for move in GRID.moves("equity")], abs=1e-6)


def test_the_least_volatility_measures_the_change_of_the_model():
    call = ListedOption("IBM", "call", 50.0, EXPIRY, exercise="european")
    grid = evolve(GRID, unsolved="least_volatility")
    group = only([(call, -1)], market_of({call: 45.0}), grid)
    assert group.gaps == ()
    assert group.pnl == pytest.approx([-10000.0 * move for move in GRID.moves("equity")], abs=1e-6)
    above = option("IBM", "call", 90.0)
    assert only([(above, -1)], market_of({above: 101.0}), grid).gaps


def test_a_worthless_option_is_worth_nothing_nearby():
    put = option("SPX", "put", 1000.0, 5)
    assert only([(put, -10)], market_of({put: 0.0})).pnl == pytest.approx([0.0] * 10, abs=1e-6)


def test_an_option_without_a_spot_is_a_gap():
    call = ListedOption("ABC", "call", 10.0, EXPIRY)
    (gap,) = only([(call, 1)], market_of({call: 1.0})).gaps
    assert gap.note == "the market has no spot of 'ABC'"


def test_a_spot_may_be_an_observed_price_alone():
    put = option("IBM", "put", 100.0)
    prices = {put: 5.0, "IBM": 100.0}
    assert only([(put, -1)], market_of(prices, known={})).pnl == pytest.approx(only([(put, -1)], market_of(prices)).pnl)


def test_on_its_last_day_an_option_is_worth_what_exercise_brings():
    put = ListedOption("IBM", "put", 100.0, AS_OF, exercise="european")
    group = only([(put, -1)], market_of({put: 0.0}))
    assert group.pnl == pytest.approx([100 * min(0.0, 100.0 * move) for move in GRID.moves("equity")])


def test_warrants_and_what_has_no_price_are_gaps():
    warrant, unknown = Warrant("IBM", 120.0, EXPIRY), Stock("ABC")
    found = groups([(warrant, 10), (unknown, 1), (IBM, 1)])
    assert {line.name: line.note for group in found for line in group.gaps} == {
        f"p0: {warrant.symbol}": "no model for warrants",
        "p1: ABC": "no price of it is known",
    }


def test_nothing_gives_nothing():
    assert groups([]) == ()
    assert groups([(BILL, 1e6)]) == ()


@pytest.mark.parametrize("size", [1e-6, 1e9])
def test_sizes_do_not_matter(size):
    held = [(option("IBM", "put", 90.0), -1.0), (IBM, -100.0)]
    market = market_of({held[0][0]: 2.0})
    one, other = only(held, market), only([(each, size * q) for each, q in held], market)
    assert np.array(other.pnl) == pytest.approx(size * np.array(one.pnl), rel=1e-9)


def test_rates_follow_the_curve_at_each_expiry():
    near, far = option("SPX", "call", 5000.0, 30), option("SPX", "call", 5000.0, 400)
    prices = {near: priced_at(near, 0.2, 5000.0), far: priced_at(far, 0.2, 5000.0)}
    parts = dict(only([(near, 1), (far, 1)], market_of(prices)).parts)
    for each in (near, far):
        there = black_scholes(
            True, 5000.0, (each.expiry - AS_OF).days / 365, spot=4600.0, rate=RATE, dividend_yield=0, volatility=0.2
        )
        assert parts[each.symbol][0] == pytest.approx(100 * (there - prices[each]), rel=1e-7)


# ---------------------------------------------------------------------------------------- real chains of one day


@pytest.mark.slow_interpreted
@pytest.mark.parametrize(("name", "count", "share"), [("spx", 18290, 0.07), ("spy", 6378, 0.22)])
def test_every_two_sided_quote_has_a_volatility_or_says_why(name, count, share):
    chain, _ = real_chain(name)
    assert len(chain) == count
    market = real_market(name)
    inputs = inputs_of(positions_of([(each, 1) for each in chain]), market)
    (group,) = class_groups(inputs.portfolio.positions, inputs, GRID)
    assert (group.name, group.kind) == ("SPX", "broad_index_high_cap")
    assert len(group.parts) + len(group.gaps) == count
    reasons = Counter(line.note.partition(" is ")[2].partition(",")[0] for line in group.gaps)
    assert set(reasons) == {"below what the model gives without volatility"}
    assert len(group.gaps) < share * count
    solved = {symbol for symbol, _ in group.parts}
    spot = real_chain(name)[1]
    out = [each for each in chain if (each.right == "call") == (each.strike > spot * 1.001)]
    out = [each for each in out if abs(each.strike / spot - 1) > 0.005]
    assert all(each.symbol in solved for each in out)  # only options in the money lack one


@pytest.mark.slow_interpreted
def test_the_real_index_and_its_fund_are_one_class():
    (spx, _), (spy, _) = real_chain("spx"), real_chain("spy")
    day = date(2023, 12, 15)
    call = next(each for each in spx if each.expiry == day and each.strike == 4500 and each.right == "call")
    fund = next(each for each in spy if each.expiry == day and each.strike == 450 and each.right == "call")
    market = real_market("spx", "spy")
    both, alone = only([(call, -1), (fund, 10)], market), only([(call, -1)], market)
    assert both.name == alone.name == "SPX"
    assert max(-pnl for pnl in both.pnl) < 0.05 * max(-pnl for pnl in alone.pnl)


def test_unused_products_are_not_asked():
    assert [group.name for group in groups([(option("NDX", "put", 17000.0), -1), (IWM, 1)])] == ["IWM", "NDX"]
