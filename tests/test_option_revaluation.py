"""Revaluation of options: P&L against plain formulas and an independent library, and what it refuses."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import permutations

import numpy as np
import pytest
from scipy.special import ndtr

from crossmargin.errors import InputError
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import revalue
from crossmargin.pricing.american import american_price, lattice_price
from crossmargin.pricing.smiles import Smile
from crossmargin.pricing.volatility import VolatilitySurface
from crossmargin.pricing.volatility_scenarios import SMILE_RULES, VolatilityShock, scenario_volatilities
from crossmargin.products import (
    FutureOption,
    ListedOption,
    ShortRateFuture,
    TreasuryBill,
    TreasuryFuture,
    TreasuryNote,
)
from crossmargin.products.options import EXERCISES, RIGHTS
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, grid_scenarios
from crossmargin.underlyings import Underlying

AS_OF, EXPIRY = date(2026, 6, 30), date(2027, 3, 19)
CURVE = ParCurve(AS_OF, [0.25, 2, 5, 10, 30], [0.0387, 0.0414, 0.0419, 0.0444, 0.0491])
HISTORY = History([AS_OF], [1, 2], [[0.04, 0.041]])
NOTES = (TreasuryNote(0.04, date(2033, 5, 31)), TreasuryNote(0.0375, date(2033, 8, 31)))
ZN = TreasuryFuture("ZN", 202609, NOTES)
SR3 = ShortRateFuture("SR3", 202612)
STILL = grid_scenarios(["XYZ", "QQQ"], [0.0])
TERMS = {"exercise": "european", "settlement": "cash"}
SPOTS, VOLATILITIES = (-0.6, -0.15, 0.0, 0.02, 0.9), (-0.3, -0.05, 0.0, 0.4)
STEP = 1e-11  # USD per unit of a spot of 100: what two ways of writing one formula may differ by


def market(*underlyings, prices=None):
    known = {each.symbol: each for each in underlyings}
    return Market(AS_OF, CURVE, HISTORY, underlyings=known, prices=prices or {})


def option(right="call", strike=100.0, expiry=EXPIRY, *, underlying="XYZ", **terms):
    return ListedOption(underlying, right, strike, expiry, **{**TERMS, **terms})


def moved(*, bp=0.0, spot=0.0, volatility=0.0, symbols=("XYZ",)):
    """Scenarios of parallel yield changes in basis points, spot moves and volatility moves, side by side."""
    columns = [np.atleast_1d(moves).astype(float) for moves in (bp, spot, volatility)]
    bp, spot, volatility = np.broadcast_arrays(*columns)
    return ScenarioSet(
        ScenarioSpec("historical", 1, 1),
        [0.25, 30.0],
        np.tile(1e-4 * bp, (2, 1)),
        spot_moves=dict.fromkeys(symbols, spot),
        volatility_moves=dict.fromkeys(symbols, volatility),
    )


def crossed():
    """Every combination of yields, spots and volatilities."""
    bp, spot, volatility = (part.ravel() for part in np.meshgrid([-150, 0, 80], SPOTS, VOLATILITIES))
    return moved(bp=bp, spot=spot, volatility=volatility)


def years(expiry):
    return (expiry - AS_OF).days / 365


def black(right, strike, time, volatility, *, forward, discount):
    """Black (1976), row by row; without deviation its limit."""
    sign, spread = (1.0 if right == "call" else -1.0), volatility * np.sqrt(time)
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.log(forward / strike) / spread + spread / 2
        value = sign * (forward * ndtr(sign * up) - strike * ndtr(sign * (up - spread)))
    return discount * np.where(spread > 0, value, np.maximum(sign * (forward - strike), 0.0))


def scenario_values(products, market_, scenarios):
    """Value today and in the scenarios [n, 1 + n_scenarios], per unit."""
    pnl = revalue(products, market_, scenarios)
    units = np.array([getattr(product, "units", 1.0) for product in products])
    return np.column_stack([pnl.base, pnl.base[:, None] + pnl.values]) / units[:, None]


def discounts(expiry, scenarios):
    """Discount factors of a day, as a bill of that day is worth."""
    return scenario_values([TreasuryBill(expiry)], market(), scenarios)[0]


def with_today(moves):
    return np.concatenate([[0.0], moves])


# ----------------------------------------------------------------------------------------------------- European


@pytest.mark.parametrize(
    "paying",
    [
        {},
        {"dividend_yield": 0.03},
        {"dividend_yield": -0.01},
        {"dividends": [(date(2026, 9, 1), 2.5), (date(2026, 12, 1), 3.0)]},
        {"dividends": [(date(2026, 9, 1), 2.5)], "dividend_yield": 0.02},
        {"dividends": [(AS_OF, 50.0), (EXPIRY + timedelta(1), 50.0), (date(2020, 1, 1), 9.0)]},  # none counts
        {"dividends": [(EXPIRY, 4.0)]},  # the share goes without it on the morning of the last day
    ],
)
def test_european_values_are_those_of_the_formula(paying):
    held = [option(right, strike) for right in RIGHTS for strike in (1.0, 60.0, 99.5, 130.0, 5000.0)]
    scenarios, time = crossed(), years(EXPIRY)
    discount = discounts(EXPIRY, scenarios)
    paid = {AS_OF: 1.0, date(2020, 1, 1): 1.0}  # days that do not count need no factor
    cash = sum(
        amount * paid.get(day, 0.0) or amount * discounts(day, STILL)[0]
        for day, amount in paying.get("dividends", ())
        if AS_OF < day <= EXPIRY
    )
    spot = 100.0 * (1.0 + with_today(scenarios.spot_moves["XYZ"])) - cash
    forward = spot * np.exp(-paying.get("dividend_yield", 0.0) * time) / discount
    volatility = np.maximum(0.25 + with_today(scenarios.volatility_moves["XYZ"]), 0.0)
    found = scenario_values(held, market(Underlying("XYZ", 0.25, 100.0, **paying)), scenarios)
    for each, row in zip(held, found, strict=True):
        wanted = black(each.right, each.strike, time, volatility, forward=forward, discount=discount)
        assert row == pytest.approx(wanted, rel=0, abs=STEP * max(1.0, each.strike / 100.0)), each.symbol


def test_pnl_is_per_contract_and_signed():
    scenarios = moved(spot=[0.01, -0.01])
    pnl = revalue([option("call"), option("put")], market(Underlying("XYZ", 0.2, 100.0)), scenarios)
    assert (np.sign(pnl.values) == [[1, -1], [-1, 1]]).all()
    pnl = revalue([option(multiplier=size) for size in (100.0, 1.0)], market(Underlying("XYZ", 0.2, 100.0)), scenarios)
    assert pnl.values[0] == pytest.approx(100.0 * pnl.values[1], rel=1e-13)
    assert pnl.base[0] == pytest.approx(100.0 * pnl.base[1], rel=1e-15)


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("right", RIGHTS)
def test_on_the_last_day_an_option_is_its_intrinsic_value(right, exercise):
    held = option(right, 90.0, AS_OF, exercise=exercise)
    scenarios = moved(spot=[0.0, -0.2, -0.1, 0.3], volatility=[0.0, 0.5, -0.9, 0.1], bp=[0, 90, -90, 5])
    found = scenario_values([held], market(Underlying("XYZ", 0.25, 100.0)), scenarios)[0]
    sign = 1.0 if right == "call" else -1.0
    assert found == pytest.approx(np.maximum(sign * (np.array([100.0, 100.0, 80.0, 90.0, 130.0]) - 90.0), 0), abs=1e-12)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_far_from_the_strike_values_are_exact(exercise):
    held = [option(right, strike, exercise=exercise) for right in RIGHTS for strike in (1e-3, 1e6)]
    low, high = scenario_values(held, market(Underlying("XYZ", 0.2, 100.0)), STILL)[:, 0].reshape(2, 2)
    discount = discounts(EXPIRY, STILL)[0]
    assert low == pytest.approx([100.0 - 1e-3 * discount, 0.0], abs=1e-10)
    american = 1e6 - 100.0
    assert high == pytest.approx([0.0, american if exercise == "american" else 1e6 * discount - 100.0], rel=1e-12)


def test_cash_dividends_larger_than_the_spot_of_a_scenario_are_refused():
    paying = Underlying("XYZ", 0.25, 100.0, dividends=[(date(2026, 9, 1), 20.0)])
    for exercise in EXERCISES:
        with pytest.raises(InputError, match="scenario"):
            revalue([option(exercise=exercise)], market(paying), moved(spot=[0.0, -0.85]))


# ----------------------------------------------------------------------------------------------------- American


def quantlib_american(ql, right, strike, time, *, spot, volatility, rate, dividend_yield):
    day, count, today = ql.Date(AS_OF.day, AS_OF.month, AS_OF.year), ql.Actual365Fixed(), ql.Settings.instance()
    today.evaluationDate = day
    curves = [ql.YieldTermStructureHandle(ql.FlatForward(day, number, count)) for number in (dividend_yield, rate)]
    smile = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(day, ql.NullCalendar(), volatility, count))
    process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(spot)), *curves, smile)
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if right == "call" else ql.Option.Put, strike)
    held = ql.VanillaOption(payoff, ql.AmericanExercise(day, day + round(365 * time)))
    held.setPricingEngine(ql.QdFpAmericanEngine(process, ql.QdFpAmericanEngine.highPrecisionScheme()))
    return held.NPV()


@pytest.mark.parametrize("paid", [0.0, 0.02, 0.07])
def test_american_values_are_those_of_quantlib(paid):
    ql = pytest.importorskip("QuantLib")
    scenarios = grid_scenarios(["XYZ"], [-0.25, -0.08, 0.0, 0.1, 0.3], [-0.1, 0.0, 0.25])
    held = [option(right, strike, exercise="american") for right in RIGHTS for strike in (85.0, 100.0, 120.0)]
    found = scenario_values(held, market(Underlying("XYZ", 0.25, 100.0, dividend_yield=paid)), scenarios)
    rate = -np.log(discounts(EXPIRY, STILL)[0]) / years(EXPIRY)
    spots, volatilities = 100.0 * (1.0 + scenarios.spot_moves["XYZ"]), 0.25 + scenarios.volatility_moves["XYZ"]
    for each, row in zip(held, found, strict=True):
        for spot, volatility, value in zip(spots, volatilities, row[1:], strict=True):
            setting = {"spot": float(spot), "volatility": float(volatility), "rate": float(rate)}
            wanted = quantlib_american(ql, each.right, each.strike, years(EXPIRY), **setting, dividend_yield=paid)
            assert value == pytest.approx(wanted, abs=2e-4), (each.symbol, spot, volatility)


def test_where_exercise_is_due_the_value_is_intrinsic():
    held = [option("put", 200.0, exercise="american"), option("call", 40.0, exercise="american")]
    paying = market(Underlying("XYZ", 0.2, 100.0, dividend_yield=0.15))
    put = scenario_values(held[:1], market(Underlying("XYZ", 0.2, 100.0)), moved(spot=[-0.3, 0.1]))[0]
    np.testing.assert_allclose(put, [100.0, 130.0, 90.0], rtol=1e-14)
    call = scenario_values(held[1:], paying, moved(spot=[0.3, 0.1]))[0]
    np.testing.assert_allclose(call, [60.0, 90.0, 70.0], rtol=1e-14)


def test_a_call_without_dividends_equals_its_european_twin():
    held = [option("call", strike, exercise=how) for strike in (70.0, 100.0, 140.0) for how in EXERCISES]
    found = scenario_values(held, market(Underlying("XYZ", 0.3, 100.0)), crossed())
    np.testing.assert_allclose(found[0::2], found[1::2], rtol=0, atol=1e-9)


def american_at_scenario_rates(right, strike, *, bp):
    """The American value at the rate of each scenario, each solved on its own."""
    rate = -np.log(discounts(EXPIRY, moved(bp=bp))) / years(EXPIRY)
    return american_price(right == "call", strike, years(EXPIRY), 0.25, spot=100.0, rate=rate)


RATES = [-200.0, -50.0, 50.0, 200.0]


@pytest.mark.parametrize("strike", [70.0, 90.0])
def test_moving_rates_move_an_american_option_out_of_the_money_about_right(strike):
    held = option("put", strike, exercise="american")
    found = scenario_values([held], market(Underlying("XYZ", 0.25, 100.0)), moved(bp=RATES))[0]
    assert found == pytest.approx(american_at_scenario_rates("put", strike, bp=RATES), abs=0.12)


def test_an_american_option_is_never_worth_less_than_exercise_when_rates_move():
    held = option("put", 150.0, exercise="american")
    found = scenario_values([held], market(Underlying("XYZ", 0.25, 100.0)), moved(bp=RATES))[0]
    assert (found >= 50.0 - 1e-9).all()


@pytest.mark.parametrize("strike", [110.0, 125.0, 150.0])
def test_moving_rates_move_an_american_option_in_the_money_about_right(strike):
    held = option("put", strike, exercise="american")
    found = scenario_values([held], market(Underlying("XYZ", 0.25, 100.0)), moved(bp=RATES))[0]
    assert found == pytest.approx(american_at_scenario_rates("put", strike, bp=RATES), abs=0.12)


DIVIDEND = Underlying("XYZ", 0.25, 100.0, dividends=[(date(2026, 9, 1), 5.0)])


@pytest.mark.parametrize("spot", [0.0, 0.1])
def test_an_american_call_before_a_cash_dividend_is_worth_exercise_at_least(spot):
    held = option("call", 50.0, date(2026, 9, 30), exercise="american")
    assert scenario_values([held], market(DIVIDEND), moved(spot=spot))[0, 1] >= 100.0 * (1.0 + spot) - 50.0 - 1e-9


@pytest.mark.parametrize(("right", "strike"), [("put", 120.0), ("put", 110.0), ("call", 80.0)])
def test_an_american_option_with_cash_dividends_equals_the_lattice(right, strike):
    expiry = date(2026, 12, 18)
    held = option(right, strike, expiry, exercise="american")
    setting = {"rate": -np.log(discounts(expiry, STILL)[0]) / years(expiry), "steps": 1500}
    cash = [(years(date(2026, 9, 1)), 5.0)]
    wanted = lattice_price(right == "call", strike, years(expiry), 0.25, spot=100.0, dividends=cash, **setting)
    assert scenario_values([held], market(DIVIDEND), STILL)[0, 0] == pytest.approx(float(wanted), abs=0.02)


# --------------------------------------------------------------------------------------------- options on futures


def on_future(future=ZN, right="call", strike=110.0, expiry=date(2026, 8, 21)):
    return FutureOption(future, right, strike, expiry)


@pytest.mark.parametrize(
    ("future", "strikes", "volatility"), [(ZN, (95.0, 108.0, 112.0, 125.0), 0.06), (SR3, (94.0, 96.0, 97.0), 0.012)]
)
def test_an_option_on_a_future_lies_between_its_bounds(future, strikes, volatility):
    held, rows, low, high = bounded(future, strikes, volatility, bp=[-20, -2, 0, 2, 20])
    for each, row, least, most in zip(held, rows, low, high, strict=True):
        assert (row >= least - 1e-9).all(), each.symbol
        assert (row <= most + 0.01).all(), each.symbol  # what rates moving by 20 bp may add by the European twin


def test_an_option_on_a_future_keeps_to_its_bounds_when_rates_fall():
    _, rows, _, high = bounded(ZN, (95.0,), 0.06, bp=[-150])
    assert (rows <= high + 1e-3).all()


def bounded(future, strikes, volatility, *, bp):
    """Options, their values [n, 1 + n_scenarios] and bounds: Black (1976), and the same without discounting."""
    expiry, moves = date(2026, 8, 21), np.linspace(0.0, 0.02, len(bp))
    shifts = np.tile(1e-4 * np.array(bp), (2, 1))
    scenarios = ScenarioSet(STILL.spec, [0.25, 30.0], shifts, volatility_moves={future.symbol: moves})
    held = [on_future(future, right, strike, expiry) for right in RIGHTS for strike in strikes]
    known = market(Underlying(future.symbol, volatility))
    setting = {"forward": scenario_values([future], known, scenarios)[0] / held[0].units, "discount": 1.0}
    volatilities = volatility + with_today(moves)
    payoff = [black(each.right, each.strike, years(expiry), volatilities, **setting) for each in held]
    return held, scenario_values(held, known, scenarios), discounts(expiry, scenarios) * payoff, np.array(payoff)


def test_options_on_futures_at_todays_rates_equal_quantlib():
    ql = pytest.importorskip("QuantLib")
    known, expiry = market(Underlying(ZN.symbol, 0.06)), date(2026, 8, 21)
    price = scenario_values([ZN], known, moved())[0, 0] / on_future().units
    rate = float(-np.log(discounts(expiry, STILL)[0]) / years(expiry))
    for right in RIGHTS:
        for strike in (105.0, 110.0, 116.0):
            setting = {"spot": float(price), "volatility": 0.06, "rate": rate, "dividend_yield": rate}
            wanted = quantlib_american(ql, right, strike, years(expiry), **setting)
            found = scenario_values([on_future(ZN, right, strike)], known, moved())[0, 0]
            assert found == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize(("future", "strike"), [(ZN, 110.0), (SR3, 96.0)])
def test_the_future_moves_with_yields_and_its_option_with_the_future(future, strike):
    known, scenarios = market(Underlying(future.symbol, 0.02)), moved(bp=[-25, 25])
    call, put = (revalue([on_future(future, right, strike)], known, scenarios).values[0] for right in RIGHTS)
    assert call[0] > 0 > call[1]
    assert put[0] < 0 < put[1]
    row = revalue([future], known, scenarios).values[0]
    assert call - put == pytest.approx(row, rel=0.01)  # parity, up to discounting and early exercise


def test_the_observed_price_of_the_future_is_what_its_option_is_written_on():
    """Deep in the money the option is worth exercise, at the observed price."""
    future = scenario_values([ZN], market(), moved(bp=[0, 25]))[0] / on_future().units
    dear = market(Underlying(ZN.symbol, 0.05), prices={ZN.symbol: future[0] + 3.0})
    found = scenario_values([on_future(strike=60.0)], dear, ScenarioSet(moved().spec, [1.0], [[0.0]]))[0]
    assert found == pytest.approx(future[0] + 3.0 - 60.0, abs=1e-9)
    moved_too = revalue([on_future(strike=60.0), ZN], dear, moved(bp=[25]))
    assert moved_too.values[0] == pytest.approx(moved_too.values[1], rel=0.02)
    cheap = market(Underlying(ZN.symbol, 0.05), prices={ZN.symbol: future[0] - 3.0})
    assert scenario_values([on_future()], cheap, moved())[0, 0] < scenario_values([on_future()], dear, moved())[0, 0]


def test_an_option_is_valued_whether_or_not_its_future_is_held():
    known, scenarios = market(Underlying(ZN.symbol, 0.05)), moved(bp=[-10, 10])
    alone = revalue([on_future()], known, scenarios)
    both = revalue([on_future(), ZN, *NOTES], known, scenarios)
    assert alone.products == (on_future(),)
    np.testing.assert_array_equal(alone.row(on_future()), both.row(on_future()))
    np.testing.assert_array_equal(both.row(ZN), revalue([ZN], market(), scenarios).row(ZN))


def test_options_on_futures_of_one_month_with_two_baskets_are_kept_apart():
    other = TreasuryFuture("ZN", 202609, (TreasuryNote(0.045, date(2033, 11, 15)),))
    held, known = [on_future(), on_future(other)], market(Underlying(ZN.symbol, 0.05))
    alone = [revalue([each], known, moved()).base[0] for each in held]
    assert revalue(held, known, moved()).base.tolist() == alone


# ------------------------------------------------------------------------------------------------------- surfaces


def surface(*, days=(80, 400), skew=-0.5):
    smiles = [
        Smile("svi", -0.6, 0.4, parameters=numbers)
        for numbers in ((0.004, 0.08, skew, 0.02, 0.15), (0.012, 0.14, skew, 0.02, 0.25))
    ]
    expiries = [AS_OF + timedelta(n) for n in days]
    return VolatilitySurface(AS_OF, "XYZ", expiries, [n / 365 for n in days], (101.0, 104.0), smiles)


GRID = [
    option(right, strike, AS_OF + timedelta(days))
    for right, strike, days in (
        ("call", 120.0, 400), ("put", 80.0, 80), ("call", 100.0, 200), ("put", 100.0, 80), ("call", 60.0, 700),
    )
]  # fmt: skip


@pytest.mark.parametrize("rule", SMILE_RULES)
@pytest.mark.parametrize("shift", [None, 0.04])
def test_a_surface_gives_the_volatilities_of_its_rule(rule, shift):
    spots = np.array([-0.2, -0.05, 0.0, 0.1, 0.25])
    scenarios = moved(spot=spots, volatility=shift or 0.0, bp=[5, -5, 0, 40, -40])
    shock = VolatilityShock(absolute=with_today(np.full(5, shift))) if shift else None
    held = market(Underlying("XYZ", surface(), 100.0, smile_rule=rule))
    for each, row in zip(GRID, scenario_values(GRID, held, scenarios), strict=True):
        factors, discount = 1.0 + with_today(spots), discounts(each.expiry, scenarios)
        volatility = scenario_volatilities(surface(), [each.strike], each.expiry, factors, rule=rule, shock=shock)[0]
        setting = {"forward": 100.0 * factors / discount, "discount": discount}
        wanted = black(each.right, each.strike, years(each.expiry), volatility, **setting)
        assert row == pytest.approx(wanted, abs=STEP), (rule, each.symbol)


def test_the_three_rules_part_where_they_should():
    spots = [-0.1, 0.1]
    rows = {
        rule: revalue(GRID, market(Underlying("XYZ", surface(), 100.0, smile_rule=rule)), moved(spot=spots)).values
        for rule in SMILE_RULES
    }
    np.testing.assert_array_equal(rows["sticky_delta"], rows["sticky_moneyness"])  # volatility itself stands still
    # with a smile that falls, the volatility of a strike falls with the spot when the smile moves along
    falling = [place for place, each in enumerate(GRID) if each.strike <= 100.0]
    assert (rows["sticky_strike"][falling, 0] > rows["sticky_moneyness"][falling, 0]).all()
    shifts = [0.05, 0.05]
    rows = {
        rule: revalue(
            GRID, market(Underlying("XYZ", surface(), 100.0, smile_rule=rule)), moved(spot=spots, volatility=shifts)
        ).values
        for rule in SMILE_RULES
    }
    assert np.abs(rows["sticky_delta"] - rows["sticky_moneyness"]).max() > 1e-3


def test_american_options_on_a_surface_read_it_too():
    held = [option(each.right, each.strike, each.expiry, exercise="american") for each in GRID]
    known, scenarios = market(Underlying("XYZ", surface(), 100.0)), moved(spot=[-0.1, 0.0, 0.2])
    american, european = (scenario_values(book, known, scenarios) for book in (held, GRID))
    calls = np.array([each.right == "call" for each in GRID])
    np.testing.assert_allclose(american[calls], european[calls], atol=1e-9)
    assert (american[~calls] >= european[~calls]).all()
    assert (american[~calls] > european[~calls] + 1e-3).any()


def test_flat_and_surface_underlyings_do_not_mix_up():
    flat = [option(each.right, each.strike, each.expiry, underlying="QQQ") for each in GRID]
    both = market(Underlying("XYZ", surface(), 100.0), Underlying("QQQ", 0.3, 90.0))
    scenarios = moved(spot=[-0.1, 0.2], volatility=[0.02, -0.01], symbols=("XYZ", "QQQ"))
    mixed = [each for pair in zip(GRID, flat, strict=True) for each in pair]
    pnl = revalue(mixed, both, scenarios)
    for book in (GRID, flat):
        alone = revalue(book, both, scenarios)
        for each in book:
            np.testing.assert_array_equal(pnl.row(each), alone.row(each))


@pytest.mark.parametrize("exercise", EXERCISES)
def test_an_option_on_a_surface_can_expire_today(exercise):
    held = option("put", 104.0, AS_OF, exercise=exercise)
    found = scenario_values([held], market(Underlying("XYZ", surface(), 100.0)), moved(spot=[-0.1, 0.2]))[0]
    assert found == pytest.approx([4.0, 14.0, 0.0], abs=1e-12)


# ------------------------------------------------------------------------------------------------ order and company


def test_order_duplicates_and_company_change_no_bit():
    stock, fund = Underlying("XYZ", surface(), 100.0), Underlying("QQQ", 0.3, 90.0, dividend_yield=0.05)
    known = market(stock, fund, Underlying(ZN.symbol, 0.06))
    scenarios = moved(bp=[-30, 10, 0], spot=[-0.1, 0.05, 0.2], symbols=("XYZ", "QQQ"))
    held = [
        GRID[1], NOTES[0], option("put", 95.0, exercise="american", underlying="QQQ"), ZN, GRID[0],
        option("put", 85.0, exercise="american", underlying="QQQ"), on_future(), TreasuryBill(EXPIRY),
    ]  # fmt: skip
    whole = revalue(held, known, scenarios)
    for order in list(permutations(range(len(held))))[::4001]:
        again = revalue([held[place] for place in (*order, *order)], known, scenarios)
        assert again.products == tuple(held[place] for place in order)
        np.testing.assert_array_equal(again.values, whole.values[list(order)])
        np.testing.assert_array_equal(again.base, whole.base[list(order)])
    for row, product in enumerate(held):
        alone = revalue([product], known, scenarios)
        np.testing.assert_array_equal(alone.values[0], whole.values[row])


@pytest.mark.slow_interpreted
def test_bonds_and_futures_are_worth_the_same_beside_options_and_threads():
    plain, scenarios = [*NOTES, ZN, SR3], moved(bp=np.linspace(-100, 100, 300), symbols=("XYZ",))
    known = market(Underlying("XYZ", 0.2, 100.0), Underlying(ZN.symbol, 0.06))
    without, beside = (revalue(book, known, scenarios) for book in (plain, [GRID[0], *plain, on_future()]))
    np.testing.assert_array_equal(without.values, beside.values[1:5])
    np.testing.assert_array_equal(without.base, beside.base[1:5])
    threaded = revalue([GRID[0], *plain, on_future()], known, scenarios, threads=3)
    np.testing.assert_array_equal(threaded.values, beside.values)


def test_a_scenario_does_not_depend_on_the_others():
    held = [*GRID, option("put", 105.0, exercise="american")]
    known, spots = market(Underlying("XYZ", 0.22, 100.0)), np.linspace(-0.3, 0.3, 13)
    whole = revalue(held, known, moved(spot=spots, volatility=spots / 4, bp=100 * spots)).values
    for column in (0, 5, 6, 12):
        move = spots[column]
        single = revalue(held, known, moved(spot=move, volatility=move / 4, bp=100 * move)).values[:, 0]
        np.testing.assert_allclose(single, whole[:, column], rtol=0, atol=1e-9)


def test_an_observed_price_is_kept_as_basis():
    held, scenarios = option(), moved(spot=[0.1])
    plain = revalue([held], market(Underlying("XYZ", 0.2, 100.0)), scenarios)
    priced = revalue([held], market(Underlying("XYZ", 0.2, 100.0), prices={held.symbol: 9.0}), scenarios)
    np.testing.assert_array_equal(plain.values, priced.values)
    assert priced.base + priced.basis == pytest.approx([900.0])
