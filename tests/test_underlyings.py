"""Underlyings of options: what they refuse, and what a revaluation asks of them."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta

import pytest

from crossmargin.errors import InputError
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import revalue
from crossmargin.products import (
    ETF,
    TIPS,
    FutureOption,
    Index,
    IndexFuture,
    ListedOption,
    SecurityFuture,
    Stock,
    TreasuryBill,
    TreasuryFuture,
    TreasuryNote,
    Warrant,
)
from crossmargin.scenarios import grid_scenarios
from crossmargin.underlyings import Underlying, securities_held, security_problems, ticker_held, unknown_breadth

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


# ------------------------------------------------------------------------------------------ more that is refused


@pytest.mark.parametrize("symbol", ["", "  ", None, 5])
def test_a_symbol_is_a_name(symbol):
    assert len(wheres(lambda: Underlying(symbol, 0.2, 100.0))) == 1


@pytest.mark.parametrize("dividends", [[5], ["ab"], [(EXPIRY,)], [(EXPIRY, 1.0, 2.0)], [(datetime(2026, 9, 1), 1.0)]])  # noqa: DTZ001
def test_a_dividend_is_a_day_and_an_amount(dividends):
    (found,) = wheres(lambda: Underlying("XYZ", 0.2, 100.0, dividends=dividends))
    assert found == "underlying 'XYZ': a cash dividend is no amount."


@pytest.mark.parametrize("fields", [{"volatility": True}, {"spot": True}, {"dividend_yield": False}])
def test_true_and_false_are_no_numbers(fields):
    assert len(wheres(lambda: Underlying(**{"symbol": "XYZ", "volatility": 0.2, "spot": 100.0, **fields}))) == 1


@pytest.mark.parametrize("security", [Stock("ABC"), Index("SPX", "broad"), "XYZ", SecurityFuture("XYZ", 202609)])
def test_its_security_is_one_of_its_own_name(security):
    (found,) = wheres(lambda: Underlying("XYZ", 0.2, 100.0, security=security))
    assert found.startswith("underlying 'XYZ': its security is")


# ---------------------------------------------------------------------------------------- what a ticker is held as

SPY = ETF("SPY", "broad_high_cap", tracks="SPX")
SPX = Index("SPX", "broad_high_cap")
INDEX_OPTION = ListedOption("SPX", "put", 5000.0, EXPIRY, settlement="cash", underlying_kind="index")
FUND_OPTION = ListedOption("SPY", "put", 500.0, EXPIRY, underlying_kind="etf")


def listed(*underlyings):
    return {each.symbol: each for each in underlyings}


def test_a_security_is_what_is_held_or_what_the_market_says_or_a_stock():
    held = [SPY, NOTE, FUND_OPTION, INDEX_OPTION, SecurityFuture("IBM", 202609), Warrant("W", 1.0, EXPIRY), Stock("X")]
    found = securities_held(iter(held), listed(Underlying("SPX", 0.2, 5000.0, security=SPX)))
    assert found == {"SPY": SPY, "SPX": SPX, "IBM": Stock("IBM"), "W": Stock("W"), "X": Stock("X")}
    assert list(found) == ["SPY", "SPX", "IBM", "W", "X"]
    assert securities_held([], {}) == {}
    assert securities_held([INDEX_OPTION], listed(Underlying("SPX", 0.2))) == {"SPX": Stock("SPX")}


def test_an_option_on_an_index_future_hangs_on_the_index_and_one_on_a_note_future_on_nothing():
    on_index = FutureOption(IndexFuture("ES", 202609), "call", 6000.0, date(2026, 9, 18))
    on_note = FutureOption(ZN, "call", 112.0, date(2026, 8, 21))
    assert set(securities_held([on_index, on_note], {})) == {"SPX"}


def test_the_ticker_below_anything():
    assert [ticker_held(each) for each in (INDEX_OPTION, SPY, NOTE, ZN)] == ["SPX", "SPY", "", ""]


def security_says(products, *underlyings, **keyed):
    return [(each.where, each.what) for each in security_problems(products, {**listed(*underlyings), **keyed})]


def test_a_ticker_is_held_as_one_thing():
    twice = [SPY, Stock("SPY"), ETF("QQQ"), ETF("QQQ", "broad"), Stock("X"), Stock("X")]
    spy, qqq = security_says(twice)
    assert spy[0] == "SPY"
    assert spy[1].startswith("is held as ETF(")
    assert spy[1].endswith("and Stock(ticker='SPY').")
    assert qqq[0] == "QQQ"


def test_the_market_calls_it_the_same():
    assert security_says([SPY], Underlying("SPY", 0.2, security=SPY)) == []
    assert security_says([SPY], Underlying("SPY", 0.2)) == []
    ((where, what),) = security_says([SPY], Underlying("SPY", 0.2, security=ETF("SPY", "broad")))
    assert where == "SPY"
    assert "and the market calls it ETF(" in what


def test_an_option_is_on_what_its_ticker_is():
    assert security_says([INDEX_OPTION], Underlying("SPX", 0.2, security=SPX)) == []
    assert security_says([INDEX_OPTION, FUND_OPTION]) == []  # nobody says what they are: unknown, not wrong
    plain = ListedOption("SPX", "put", 4000.0, EXPIRY, settlement="cash")  # its kind left unsaid
    assert security_says([plain, INDEX_OPTION], Underlying("SPX", 0.2, security=SPX)) == []
    on_stock = ListedOption("SPY", "put", 500.0, EXPIRY, settlement="cash", underlying_kind="index")
    assert security_says([on_stock, SPY]) == [(on_stock.symbol, f"is an option on an index, and SPY is {SPY}.")]


def test_an_index_is_not_delivered():
    spx = {"SPX": Underlying("SPX", 0.2, 5000.0, security=Index("SPX", "broad_high_cap"))}
    blank = ListedOption("SPX", "call", 5000.0, EXPIRY)
    (problem,) = security_problems([blank, blank], spx)
    assert (problem.where, "SPX is an index" in problem.what) == (blank.symbol, True)
    assert not list(security_problems([blank], {}))
    cash = ListedOption("SPX", "call", 5000.0, EXPIRY, settlement="cash", exercise="european", underlying_kind="index")
    assert not list(security_problems([cash], spx))


def test_an_underlying_stands_under_its_own_symbol():
    wrong = {"SPY": Underlying("SPX", 0.2, 5000.0)}
    said = [("SPY", "the market keeps 'SPX' under this symbol.")]
    assert security_says([SPY], **wrong) == security_says([FUND_OPTION], **wrong) == said
    assert security_says([NOTE, Stock("X")], **wrong) == []


def test_whose_breadth_nobody_tells():
    held = [INDEX_OPTION, FUND_OPTION, ListedOption("X", "put", 5.0, EXPIRY)]
    assert unknown_breadth(held, {}) == {"SPX", "SPY"}
    assert unknown_breadth([*held, SPY], listed(Underlying("SPX", 0.2, security=SPX))) == set()
    assert unknown_breadth(held, listed(Underlying("SPX", 0.2))) == {"SPX", "SPY"}
    # One option says what it is on, the next one does not: the order does not matter.
    plain = ListedOption("SPX", "put", 4000.0, EXPIRY, settlement="cash")
    assert unknown_breadth([plain, INDEX_OPTION], {}) == unknown_breadth([INDEX_OPTION, plain], {}) == {"SPX"}
