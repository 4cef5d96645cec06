"""Underlyings of options: what they refuse, and what a revaluation asks of them."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pytest

from crossmargin.errors import InputError
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import revalue
from crossmargin.products import TIPS, FutureOption, ListedOption, TreasuryBill, TreasuryFuture, TreasuryNote
from crossmargin.scenarios import grid_scenarios
from crossmargin.underlyings import Underlying

AS_OF, EXPIRY = date(2026, 6, 30), date(2027, 3, 19)
CURVE = ParCurve(AS_OF, [0.25, 2, 5, 10, 30], [0.0387, 0.0414, 0.0419, 0.0444, 0.0491])
NOTE = TreasuryNote(0.04, date(2033, 5, 31))
ZN = TreasuryFuture("ZN", 202609, (NOTE,))
HISTORY = History([AS_OF], [1, 2], [[0.04, 0.041]])
STILL = grid_scenarios(["XYZ"], [0.0])


def wheres(make) -> list[str]:
    with pytest.raises(InputError) as caught:
        make()
    return [f"{problem.where}: {problem.what}" for problem in caught.value.problems]


# ----------------------------------------------------------------------------------------------------- the fields


def test_the_usual_underlying_needs_a_symbol_a_volatility_and_a_spot():
    plain = Underlying("XYZ", 0.2, 100.0)
    assert (plain.dividend_yield, plain.dividends, plain.smile_rule) == (0.0, (), "sticky_moneyness")
    assert Underlying("ZN 2026-09", 0.05).spot is None
    assert Underlying("XYZ", 0, 1e-9).volatility == 0


def test_dividends_of_any_sequence_become_a_tuple():
    day = date(2026, 9, 1)
    for given in ([(day, 1.0)], ((day, 1.0),), iter([(day, 1.0)])):
        assert Underlying("XYZ", 0.2, 100.0, dividends=given).dividends == ((day, 1.0),)
    assert Underlying("XYZ", 0.2, 100.0, dividends=[(day, 0.0)]).dividends[0][1] == 0.0


def test_everything_wrong_is_said_at_once():
    paid = [(date(2026, 9, 1), math.nan)]
    found = wheres(
        lambda: Underlying("XYZ", -0.2, 0.0, dividend_yield=math.inf, dividends=paid, smile_rule="sticky_strick")
    )
    assert [line.split(": ")[1].split()[0] for line in found] == [
        "spot", "volatility", "dividend_yield", "a", "unknown"
    ]  # fmt: skip
    assert all(line.startswith("underlying 'XYZ'") for line in found)


@pytest.mark.parametrize("spot", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_bad_spot(spot):
    assert len(wheres(lambda: Underlying("XYZ", 0.2, spot))) == 1


@pytest.mark.parametrize("volatility", [-1e-9, math.nan, math.inf])
def test_bad_volatility(volatility):
    assert len(wheres(lambda: Underlying("XYZ", volatility, 100.0))) == 1


@pytest.mark.parametrize("amount", [-1.0, math.nan, math.inf])
def test_bad_dividend(amount):
    assert len(wheres(lambda: Underlying("XYZ", 0.2, 100.0, dividends=[(AS_OF, 1.0), (EXPIRY, amount)]))) == 1


def test_a_misspelt_rule_gets_a_suggestion():
    with pytest.raises(InputError, match="'sticky_delta'"):
        Underlying("XYZ", 0.2, 100.0, smile_rule="sticky_dleta")


@pytest.mark.parametrize(
    "fields",
    [
        {"volatility": "20%"},
        {"volatility": None},
        {"spot": "100"},
        {"dividend_yield": "2%"},
        {"dividends": [("soon", 1)]},
    ],
)
def test_numbers_and_dates_of_another_type_are_refused(fields):
    with pytest.raises(InputError):
        Underlying(**{"symbol": "XYZ", "volatility": 0.2, "spot": 100.0, **fields})


@pytest.mark.parametrize("kind", ["float32", "int64"])
def test_a_volatility_may_be_a_number_of_numpy(kind):
    import numpy as np

    known = market(Underlying("XYZ", np.dtype(kind).type(1), 100.0))
    assert revalue([option()], known, STILL).base[0] > 0


# ------------------------------------------------------------------------------------- asked for in a revaluation


def market(*underlyings):
    return Market(AS_OF, CURVE, HISTORY, underlyings={u.symbol: u for u in underlyings})


def option(strike=100.0, expiry=EXPIRY, *, underlying="XYZ"):
    return ListedOption(underlying, "call", strike, expiry, exercise="european", settlement="cash")


def on_future(future=ZN, *, expiry=date(2026, 8, 21)):
    return FutureOption(future, "call", 110.0, expiry)


def refused(products, market_, scenarios):
    with pytest.raises(InputError) as caught:
        revalue(products, market_, scenarios)
    return [(problem.where, problem.what) for problem in caught.value.problems]


def test_everything_that_is_wrong_is_said_at_once():
    known = market(Underlying("XYZ", 0.2), Underlying("ABC", 0.2, 10.0))
    lost, spotless = option(underlying="XZY"), option(90.0)
    late, still = option(expiry=AS_OF - timedelta(1), underlying="ABC"), option(underlying="ABC")
    held = [lost, NOTE, spotless, late, still, TIPS(0.01, date(2034, 7, 15)), on_future()]
    found = refused([*held, TreasuryBill(date(2026, 1, 1))], known, STILL)
    said = {(where, word) for where, what in found for word in what.replace(":", "").split()}
    assert {(lost.symbol, "underlying"), (lost.symbol, "move")} & said
    assert (spotless.symbol, "spot.") in said
    assert (late.symbol, "expired") in said
    assert (still.symbol, "moves.") in said
    assert (on_future().symbol, "underlying") in said
    assert {where for where, _ in found} == {each.symbol for each in (*held[:1], *held[2:])} | {
        TreasuryBill(date(2026, 1, 1)).symbol
    }


def test_a_misspelt_underlying_gets_a_suggestion():
    with pytest.raises(InputError, match="'XYZ'"):
        revalue([option(underlying="XYZZ")], market(Underlying("XYZ", 0.2, 100.0)), STILL)


def test_the_future_below_an_option_must_be_sound_itself():
    bare, over = TreasuryFuture("ZN", 202609), TreasuryFuture("ZN", 202603, (NOTE,))
    known = market(*(Underlying(future.symbol, 0.05) for future in (bare, over)))
    found = refused([on_future(bare), on_future(over)], known, STILL)
    assert {bare.symbol, over.symbol} <= {where for where, _ in found}


def test_an_underlying_kept_under_another_name_is_refused_or_read():
    known = Market(AS_OF, CURVE, HISTORY, underlyings={"XYZ": Underlying("xyz", 0.2, 100.0)})
    try:
        revalue([option()], known, STILL)
    except InputError:
        return


def test_a_spot_move_of_a_future_is_refused_or_moves_it():
    known, scenarios = market(Underlying(ZN.symbol, 0.05)), grid_scenarios([ZN.symbol], [-0.1])
    try:
        pnl = revalue([on_future()], known, scenarios)
    except InputError:
        return
    assert pnl.values[0, 0] < 0


def test_an_option_that_outlives_its_future_is_refused():
    with pytest.raises(InputError):
        revalue([on_future(expiry=date(2028, 8, 18))], market(Underlying(ZN.symbol, 0.05)), STILL)
