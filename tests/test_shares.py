"""Shares and security futures under scenarios: values by hand, prices and where they come from, refusals."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest

from crossmargin.errors import InputError
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import can_revalue, revalue, today_prices
from crossmargin.pricing.shares import share_price, share_problems, share_values, spot_of
from crossmargin.products import (
    ETF,
    TIPS,
    FutureOption,
    ListedOption,
    Repo,
    ReverseRepo,
    SecurityFuture,
    Stock,
    TreasuryFRN,
    TreasuryFuture,
    TreasuryNote,
    Warrant,
)
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, grid_scenarios
from crossmargin.underlyings import Underlying

AS_OF, EXPIRY = date(2026, 6, 30), date(2027, 3, 19)
CURVE = ParCurve(AS_OF, [0.25, 2, 5, 10, 30], [0.0387, 0.0414, 0.0419, 0.0444, 0.0491])
HISTORY = History([AS_OF], [1, 2], [[0.04, 0.041]])
STOCK, FUND = Stock("XYZ"), ETF("SPY", "broad_high_cap", tracks="SPX")
FUTURE, SMALL = SecurityFuture("XYZ", 202609), SecurityFuture("SPY", 202612, multiplier=10)
CALL = ListedOption("XYZ", "call", 100.0, EXPIRY)
NOTE = TreasuryNote(0.04, date(2033, 5, 31))
MOVES = [-0.5, 0.0, 0.25]


def market(*underlyings, **prices) -> Market:
    return Market(AS_OF, CURVE, HISTORY, prices=prices, underlyings={u.symbol: u for u in underlyings})


def wheres(make) -> list[tuple[str, str]]:
    with pytest.raises(InputError) as caught:
        make()
    return [(problem.where, problem.what) for problem in caught.value.problems]


# ------------------------------------------------------------------------------------------------------- prices


def test_the_price_of_a_ticker_is_its_spot_or_an_observed_price():
    assert spot_of("XYZ", market(Underlying("XYZ", 0.2, 101.0))) == 101.0
    assert spot_of("XYZ", market(XYZ=99.0)) == 99.0
    assert spot_of("XYZ", market(Underlying("XYZ", 0.2), XYZ=99.0)) == 99.0
    assert spot_of("XYZ", market()) is None


def test_a_future_has_its_own_price_or_that_of_its_ticker():
    assert share_price(FUTURE, market(XYZ=99.0)) == 99.0
    assert share_price(FUTURE, market(Underlying("XYZ", 0.2, 101.0), **{FUTURE.symbol: 101.5})) == 101.5
    assert share_price(STOCK, market(Underlying("XYZ", 0.2, 101.0), **{FUTURE.symbol: 101.5})) == 101.0
    assert share_price(FUTURE, market()) is None


def test_prices_of_today_are_observed_or_else_modelled():
    known = market(Underlying("XYZ", 0.2, 100.0), SPY=600.0, **{CALL.symbol: 9.0})
    other = ListedOption("XYZ", "put", 90.0, EXPIRY, multiplier=10)
    lost = ListedOption("SPY", "put", 590.0, EXPIRY)  # a price of the fund, and no volatility
    found = today_prices([STOCK, FUND, FUTURE, SMALL, CALL, other, lost, NOTE, Warrant("XYZ", 1.0, EXPIRY)], known)
    assert found.pop(other) == pytest.approx(revalue([other], known, grid_scenarios("XYZ", [0.0])).base[0] / 10)
    assert found == {STOCK: 100.0, FUND: 600.0, FUTURE: 100.0, SMALL: 600.0, CALL: 9.0}
    assert today_prices([], known) == {}


# ------------------------------------------------------------------------------------------------- revaluation


def test_values_by_hand():
    known, drawn = market(XYZ=80.0, SPY=600.0), grid_scenarios(["XYZ", "SPY"], MOVES)
    pnl = revalue([STOCK, FUND, FUTURE, SMALL], known, drawn)
    assert pnl.base.tolist() == [80.0, 600.0, 8_000.0, 6_000.0]
    assert pnl.values.tolist() == [[-40, 0, 20], [-300, 0, 150], [-4_000, 0, 2_000], [-3_000, 0, 1_500]]
    assert pnl.basis.tolist() == [0.0] * 4
    assert pnl.pooled([FUTURE, STOCK], [1.0, -100.0]).tolist() == [0.0] * 3


def test_a_future_moves_from_its_own_price():
    pnl = revalue([FUTURE], market(XYZ=80.0, **{FUTURE.symbol: 81.0}), grid_scenarios("XYZ", MOVES))
    assert pnl.values.tolist() == [[-4_050.0, 0.0, 2_025.0]]


def test_yields_do_not_move_a_share_and_shares_stand_beside_everything_else():
    drawn = ScenarioSet(
        ScenarioSpec("historical", 2, 1),
        [2.0, 10.0],
        [[0.001, -0.001], [0.001, -0.001]],
        spot_moves={"XYZ": [0.1, -0.1]},
    )
    known = market(Underlying("XYZ", 0.2, 100.0))
    pnl = revalue([NOTE, STOCK, CALL, FUTURE, STOCK], known, drawn)
    assert pnl.products == (NOTE, STOCK, CALL, FUTURE)
    assert pnl.row(STOCK).tolist() == pytest.approx([10.0, -10.0])
    assert pnl.row(NOTE)[0] < 0 < pnl.row(NOTE)[1]
    assert pnl.row(CALL)[0] > 0 > pnl.row(CALL)[1]
    alone = revalue([STOCK], known, drawn)
    assert alone.row(STOCK).tolist() == pnl.row(STOCK).tolist()


def test_the_function_beneath_takes_a_single_share():
    values = share_values([STOCK], market(XYZ=1e9), grid_scenarios("XYZ", [1e-9]))
    assert values[STOCK].tolist() == pytest.approx([1e9, 1e9 + 1.0])
    assert share_values([], market(), grid_scenarios("XYZ", [0.0])) == {}


# ------------------------------------------------------------------------------------------------------ refusals


def test_everything_wrong_with_shares_is_said_at_once():
    expired = SecurityFuture("SPY", 202603)
    found = wheres(lambda: revalue([STOCK, expired, Stock("LOST")], market(SPY=600.0), grid_scenarios("XYZ", [0.0])))
    assert found == [
        ("XYZ", "the market has no price of 'XYZ'."),
        (expired.symbol, "expired on 2026-03-20."),
        (expired.symbol, "the scenarios do not say how 'SPY' moves."),
        ("LOST", "the market has no price of 'LOST'."),
        ("LOST", "the scenarios do not say how 'LOST' moves."),
    ]


def test_a_misspelt_ticker_gets_a_suggestion_where_there_are_others():
    (found,) = share_problems([Stock("XYZZ")], market(Underlying("XYZ", 0.2, 1.0)), grid_scenarios("XYZZ", [0.0]))
    assert found.fix == "Give prices['XYZZ']. Did you mean 'XYZ'?"
    (found,) = share_problems([Stock("XYZZ")], market(), grid_scenarios("XYZZ", [0.0]))
    assert found.fix == "Give prices['XYZZ']."


@pytest.mark.parametrize("price", [0.0, -1.0, -1e9])
def test_a_price_that_is_none_is_refused(price):
    found = wheres(lambda: revalue([STOCK], market(XYZ=price), grid_scenarios("XYZ", [0.0])))
    assert found == [("XYZ", f"its price is {price:g}.")]


@pytest.mark.parametrize("price", [math.nan, math.inf])
def test_a_price_is_a_number(price):
    assert wheres(lambda: market(XYZ=price))[0][0] == "prices['XYZ']"


# --------------------------------------------------------------------------------------------- what can be revalued


def test_what_needs_a_market_and_scenarios():
    known, drawn = market(Underlying("XYZ", 0.2, 100.0)), grid_scenarios("XYZ", [0.0])
    for product in (STOCK, FUTURE, CALL):
        assert can_revalue(product, known, drawn)
        assert not can_revalue(product)
        assert not can_revalue(product, known)
        assert not can_revalue(product, market(), drawn)
        assert not can_revalue(product, known, grid_scenarios("SPY", [0.0]))
    assert not can_revalue(CALL, market(XYZ=100.0), drawn)
    assert not can_revalue(CALL, market(Underlying("XYZ", None, 100.0)), drawn)
    assert can_revalue(STOCK, market(Underlying("XYZ", None, 100.0)), drawn)


def test_an_option_on_a_future_needs_a_volatility_alone():
    future = TreasuryFuture("ZN", 202609, (NOTE,))
    option = FutureOption(future, "call", 110.0, date(2026, 8, 21))
    assert can_revalue(option, market(Underlying(future.symbol, 0.05)))
    assert not can_revalue(option, market(Underlying(future.symbol)))
    assert not can_revalue(option, market())
    assert not can_revalue(option)


def test_what_nothing_prices():
    known, drawn = market(Underlying("XYZ", 0.2, 100.0)), grid_scenarios("XYZ", [0.0])
    tips, floater = TIPS(0.0175, date(2034, 7, 15)), TreasuryFRN(0.0012, date(2028, 1, 31))
    terms = (date(2026, 7, 1), date(2026, 7, 31), 0.037)
    held = [Warrant("XYZ", 1.0, EXPIRY), tips, floater, Repo(tips, *terms), ReverseRepo(floater, *terms)]
    assert [can_revalue(product, known, drawn) for product in held] == [False] * 5
    assert can_revalue(Repo(NOTE, *terms), known, drawn)


@pytest.mark.parametrize("kind", ["float32", "int64"])
def test_a_spot_may_be_a_number_of_numpy(kind):
    known = market(Underlying("XYZ", 0.2, np.dtype(kind).type(100)))
    assert revalue([STOCK], known, grid_scenarios("XYZ", [0.1])).values[0, 0] == pytest.approx(10.0)
