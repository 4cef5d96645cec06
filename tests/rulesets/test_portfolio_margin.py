"""Portfolio margin of whole pools: a published table, hand-made books, who gets it, house rules, real chains."""

from __future__ import annotations

import json
import math
from datetime import date, timedelta
from pathlib import Path

import pytest
from attrs import evolve

from crossmargin.errors import InputError, NotInForce
from crossmargin.margin import compare, margin
from crossmargin.products import ListedOption, SecurityFuture, Stock, Warrant
from crossmargin.regimes import PORTFOLIO_MARGIN, SILOED, STRATEGY_MARGIN, TODAY
from crossmargin.registry import rules
from crossmargin.rulesets import portfolio_margin
from crossmargin.underlyings import Underlying
from tests.properties.class_books import (
    DAY,
    IBM,
    INDEX_TERMS,
    IWM,
    OPTIONS,
    SPX,
    SPY,
    XYZ,
    asked,
    inputs_of,
    market_of,
    option,
    pool_of,
    portfolio_of,
    positions_of,
    priced,
    real_chain,
    real_market,
    underlyings,
)
from tests.properties.strategies import AS_OF, BILL

RULES = rules("portfolio_margin")
CASES = Path(__file__).resolve().parents[2] / ".." / "shared" / "cases" / "portfolio_margin.jsonl"
CALL, PUT = option("SPX", "call", 5000.0), option("SPX", "put", 5000.0)


# ------------------------------------------------------------- Cboe, margin requirement examples (2007), as pools

SPY_2007 = {"SPX": (1451.19, 0.02), "SPY": (145.3, 0.0), "IBM": (97.73, 0.0)}
INDEX = [("call", 1450, 27.57), ("call", 1500, 5.96), ("call", 1460, 21.66), ("put", 1460, 22.55)]
STOCK = [("call", 100, 1.68), ("put", 95, 1.02), ("put", 100, 3.18), ("call", 105, 0.4)]


def published_market(rate, quotes):
    known = {ticker: Underlying(ticker, spot=s, dividend_yield=q) for ticker, (s, q) in SPY_2007.items()}
    known["SPX"] = evolve(known["SPX"], security=SPX)
    return market_of(quotes, rate=rate, known=known)


def series(ticker, right, strike):
    terms = INDEX_TERMS if ticker == "SPX" else {}
    return ListedOption(ticker, right, float(strike), AS_OF + timedelta(days=57), **terms)


@pytest.mark.parametrize(
    ("held", "published"),
    [
        ({("call", 1460): -100}, 654514),
        ({("put", 1460): -100}, 948203),
        ({("call", 1450): 100, ("call", 1500): -100}, 210984),
        ({SPY: 100000, ("call", 1460): -100}, 948342),
    ],
)
def test_published_index_positions(held, published):
    quotes = {series("SPX", right, strike): price for right, strike, price in INDEX}
    book = [(key if key is SPY else series("SPX", *key), count) for key, count in held.items()]
    assert asked(book, published_market(0.0525, quotes)).value == pytest.approx(published, rel=0.0025)


@pytest.mark.parametrize(
    ("held", "published"),
    [
        ({("call", 100): -100}, 115429),
        ({IBM: 10000, ("put", 95): 100}, 37538),
        ({("call", 100): 100, ("put", 100): -100}, 154313),
        ({("put", 95): 100, ("call", 105): -100}, 91118),
    ],
)
def test_published_stock_positions(held, published):
    quotes = {series("IBM", right, strike): price for right, strike, price in STOCK}
    book = [(key if key is IBM else series("IBM", *key), count) for key, count in held.items()]
    assert asked(book, published_market(0.05, quotes)).value == pytest.approx(published, rel=0.0025)


def shared_cases():
    lines = CASES.read_text(encoding="utf-8").splitlines() if CASES.exists() else []
    return [case for case in map(json.loads, lines) if case["family"] == "portfolio_margin.positions"]


@pytest.mark.parametrize("case", shared_cases(), ids=lambda case: case["id"])
def test_shared_cases_as_pools(case):
    given, model = case["inputs"], case["inputs"]["model"]
    index = given["underlying"]["kind"] != "equity"
    ticker, spot = ("SPX" if index else "IBM"), given["underlying"]["price"]
    known = Underlying(ticker, spot=spot, dividend_yield=model["dividend_yield"], security=SPX if index else IBM)
    held, quotes = [], {"SPY": given["stock"]["price"] or 1.0}
    for leg in given["legs"]:
        day = AS_OF + timedelta(days=leg["days_to_expiry"])
        each = ListedOption(ticker, leg["right"], leg["strike"], day, **(INDEX_TERMS if index else {}))
        quotes[each] = leg["price"]
        held.append((each, leg["quantity"]))
    if given["stock"]["quantity"]:
        held.append((SPY if index else IBM, given["stock"]["quantity"]))
    line = asked(held, market_of(quotes, rate=model["rate"], known={ticker: known}))
    assert line.value == pytest.approx(case["expected"]["requirement"], rel=case["tolerance"]["rel"])
    minimum = sum(found.value for found in line.walk() if found.name == "minimum")
    assert minimum == pytest.approx(case["expected"]["minimum"])


# ---------------------------------------------------------------------------------------------------- books by hand


def test_stock_alone():
    assert asked([(IBM, 100), (XYZ, -500)]).value == pytest.approx(0.15 * (10000 + 20000))  # stocks do not offset
    assert asked([(SPY, 10)]).value == pytest.approx(0.08 * 5000)
    assert asked([(SPY, -10)]).value == pytest.approx(0.06 * 5000)
    assert asked([(IWM, 10)]).value == pytest.approx(0.10 * 2000)


def test_a_fund_and_its_index_net_in_full():
    synthetic = [(CALL, -1), (PUT, 1)]
    prices = {CALL: 150.0, PUT: 150.0 - 5000.0 + 5000.0 * math.exp(-0.04 * 80 / 365)}
    line = asked([*synthetic, (SPY, 1000)], market_of(prices))
    assert line.part("largest loss").value == pytest.approx(0.0, abs=1.0)
    assert line.value == pytest.approx(75.0)
    assert line.parts[0].note == "the minimum binds"


def test_high_capitalisation_indices_offset_at_nine_tenths():
    held = [(option("SPX", "put", 5000.0), -1), (option("NDX", "put", 18000.0), 1)]
    prices = {held[0][0]: 120.0, held[1][0]: 500.0}
    line = asked(held, market_of(prices))
    (group,) = line.parts
    spx, ndx = (group.part(f"class {name}").part("at -8.00%").value for name in ("SPX", "NDX"))
    assert spx > 0 > ndx
    assert group.part("net").part("at -8.00%").value == pytest.approx(spx + 0.9 * ndx)
    gross, credit, net = (beside.value for beside in line.memo)
    assert [beside.name for beside in line.memo] == ["gross requirement", "credit", "net requirement"]
    assert gross + credit == pytest.approx(net)
    assert net == pytest.approx(line.value)
    assert credit < 0


def test_other_indices_and_stocks_add_up():
    alone = [asked([each]).value for each in ((IWM, 100), (IBM, -100), (SPY, 10))]
    line = asked([(IWM, 100), (IBM, -100), (SPY, 10)])
    assert line.value == pytest.approx(sum(alone))
    assert line.memo[1].value == 0.0


def test_groups_are_data():
    groups = [{"group": "mine", "classes": ["IBM", "XYZ"], "kinds": ["broad_index_high_cap"], "offset": 1.0}]
    line = asked([(IBM, 100), (XYZ, -100)], overlaid={"product_groups": groups})
    assert line.value == pytest.approx(0.15 * (10000 - 4000))
    none = [{**groups[0], "offset": 0}]
    assert asked([(IBM, 100), (XYZ, -100)], overlaid={"product_groups": none}).value == pytest.approx(2100.0)
    by_kind = [{"group": "stocks", "classes": [], "kinds": ["equity"], "offset": 0.5}]
    assert asked([(IBM, 100), (XYZ, -100)], overlaid={"product_groups": by_kind}).value == pytest.approx(1200.0)


def test_portfolio_groups_offset_product_groups():
    products = [
        {"group": "high", "classes": [], "kinds": ["broad_index_high_cap"], "offset": 0.9},
        {"group": "other", "classes": [], "kinds": ["broad_index"], "offset": 0.75},
    ]
    portfolios = [{"group": "broad", "product_groups": ["high", "other"], "offset": 0.5}]
    overlaid = {"product_groups": products, "portfolio_groups": portfolios}
    line = asked([(SPY, 100), (IWM, -250)], overlaid=overlaid)  # 50,000 each way: 8 % and 10 % down, 6 % and 10 % up
    assert line.value == pytest.approx(5000 - 0.5 * 3000)  # the fund on small stocks loses at the highest point
    assert line.parts[0].name == "portfolio group broad"
    apart = asked([(SPY, 100), (IWM, -250)], overlaid={**overlaid, "portfolio_groups": []})
    assert apart.value == pytest.approx(4000 + 5000)


def test_the_other_reading_of_the_grid_keeps_the_extremes():
    held = [(OPTIONS[0], -2), (SPY, 300)]
    one, other = asked(held), asked(held, overlaid={"grid_reading": "linear"})
    ends = [line.part("largest loss").parts[at].value for line in (one, other) for at in (0, 9)]
    assert ends[:2] == pytest.approx(ends[2:])
    assert one.part("largest loss").parts[4].name == "at -1.60%"
    assert other.part("largest loss").parts[5].name == "at -0.22%"


def test_security_futures_net_with_stock_where_a_pool_holds_them():
    future = SecurityFuture("IBM", 202609)
    assert asked([(IBM, -200), (future, 2)], market_of({future: 100.0})).value == pytest.approx(0.0, abs=1e-9)


# ------------------------------------------------------------------------------------------------ nothing is silent


def test_what_has_no_model_is_seen():
    bad, warrant = option("IBM", "call", 90.0), Warrant("IBM", 120.0, AS_OF + timedelta(400))
    line = asked([(bad, -3), (warrant, 5), (BILL, 1e6), (IBM, 100)], market_of({bad: 9.0}))
    gaps = {found.name: found.note for found in line.walk() if found.how == "not_modelled"}
    assert len(gaps) == 3
    assert "below what the model gives" in gaps[f"p0: {bad.symbol}"]
    assert gaps[f"p1: {warrant.symbol}"] == "no model for warrants"
    assert "hangs on no share" in gaps[f"p2: {BILL.symbol}"]
    assert line.partial
    assert line.value == pytest.approx(1500.0)
    assert line.part("minimum").value == pytest.approx(112.5)
    assert {beside.partial for beside in line.memo} == {True}, "what stands beside leaves the same out"
    assert line.memo[2].amount == line.amount


def test_beside_what_is_not_modelled_stands_no_amount():
    warrant = Warrant("IBM", 120.0, AS_OF + timedelta(400))
    for held in ([(warrant, 5)], [(BILL, 1e6)], [(warrant, 5), (BILL, 1e6)]):
        line = asked(held)
        assert {each.amount for each in (line, *line.memo)} == {None}
        assert [each.name for each in line.memo] == ["gross requirement", "credit", "net requirement"]


def test_prices_without_a_volatility_by_overlay():
    bad = ListedOption("IBM", "call", 50.0, AS_OF + timedelta(80), exercise="european")
    line = asked([(bad, -1)], market_of({bad: 45.0}), overlaid={"unsolved_prices": "least_volatility"})
    assert not line.partial
    assert line.value == pytest.approx(1500.0, abs=1e-3)


def test_no_position_asks_nothing():
    line = asked([])
    assert (line.value, line.parts) == (0.0, ())
    assert portfolio_margin.scenarios(RULES.at(AS_OF)) == ()


def test_every_figure_cites_what_it_read():
    line = asked([(SPY, 100), (OPTIONS[0], -1), (option("NDX", "put", 18000.0), 1)], priced())
    read = {read.name for read in line.all_reads()}
    assert {"index_ranges", "points_each_side", "minimum_per_unit", "product_groups"} <= read
    assert "equity_ranges" not in read


def test_a_figure_rests_on_what_moves_it_and_on_every_overlay():
    def grades(held, market=None, **overlaid):
        reads = asked(held, market, overlaid=overlaid).all_reads()
        return {read.name: read.grade for read in reads if read.grade == "assumed"}

    straddle = [(option("IBM", "call", 100.0), 1), (option("IBM", "put", 100.0), 1)]
    market = market_of({straddle[0][0]: 6.0, straddle[1][0]: 5.1})
    assert grades([(IBM, 100)]) == {}
    assert grades(straddle, market) == {"grid_reading": "assumed"}  # a long straddle loses most inside the grid
    assert set(grades([(straddle[0][0], 1)], market_of({straddle[0][0]: 600.0}))) == {
        "unsolved_prices",
        "price_rounding",
    }
    assert grades([(IBM, 100)], price_rounding=0.01) == {"price_rounding": "assumed"}
    assert set(grades([(XYZ, 1)], house_ranges=HOUSE, house_ranges_apply="always")) == {
        "house_ranges",
        "house_ranges_apply",
    }


def test_a_day_before_the_rule_is_refused():
    with pytest.raises(NotInForce):
        asked([(IBM, 1)], as_of=date(2010, 12, 1))


# --------------------------------------------------------------------------------------------------------- house rules


HOUSE = [{"class": "XYZ", "down": 0.4, "up": 0.5}]


@pytest.mark.parametrize(
    ("equity", "expected"),
    [
        (20000.0, 0.15 * 40000),  # gone at a fall of half: outside the range of 40 %
        (16000.0, 0.40 * 40000),  # gone at its very end
        (10000.0, 0.40 * 40000),
        (0.0, 0.40 * 40000),
    ],
)
def test_a_concentrated_account_moves_by_the_house_range(equity, expected):
    line = asked([(XYZ, 1000), (IBM, 1)], overlaid={"house_ranges": HOUSE}, equity=equity)
    assert line.value == pytest.approx(expected + 15.0)
    assert ("house range of XYZ: -40.00% to +" in line.note) == (equity < 20000)


def test_a_house_range_may_apply_always_and_never_narrows():
    overlaid = {"house_ranges": HOUSE, "house_ranges_apply": "always"}
    assert asked([(XYZ, -100)], overlaid=overlaid).value == pytest.approx(2000.0)
    narrow = {**overlaid, "house_ranges": [{"class": "XYZ", "down": 0.05, "up": 0.05}]}
    assert asked([(XYZ, -100)], overlaid=narrow).value == pytest.approx(600.0)


def test_without_the_account_s_equity_a_house_range_is_not_modelled():
    line = asked([(XYZ, 100), (IBM, 1)], overlaid={"house_ranges": [*HOUSE, {"class": "ABC", "down": 0.3, "up": 0.3}]})
    gaps = [found.name for found in line.walk() if found.how == "not_modelled"]
    assert gaps == ["house range of XYZ"]
    assert line.value == pytest.approx(615.0)


def test_house_rules_are_off():
    assert RULES.at(AS_OF).house_ranges == ()


@pytest.mark.parametrize(
    ("overlaid", "count"),
    [
        ({"house_ranges": [{"ticker": "XYZ", "down": 0.4}]}, 2),
        ({"house_ranges": [{"class": "XYZ", "down": 1.4, "up": 0.5}], "house_ranges_apply": "always"}, 1),
        ({"house_ranges_apply": "sometimes"}, 1),
        ({"product_groups": [{"group": "a", "classes": ["XYZ"], "kinds": [], "offset": 1.5}] * 2}, 4),
        ({"product_groups": [{"group": "a", "offset": 0.5}]}, 2),
        ({"portfolio_groups": [{"group": "a", "product_groups": ["b"], "offset": math.pi}]}, 2),
        ({"grid_reading": "both"}, 1),
        ({"unsolved_prices": "zero"}, 1),
        ({"equity_ranges": [{"kind": "equities", "down": 0.15, "up": 0.15}]}, 1),
    ],
)
def test_overlays_that_mean_nothing_are_refused(overlaid, count):
    with pytest.raises(InputError) as found:
        asked([(XYZ, 100)], overlaid=overlaid)
    assert len(found.value.problems) == count


# ----------------------------------------------------------------------------------------------- who gets it, the firm


def decided(equity, monitoring, held=((IBM, 100),), **overlaid):
    book = portfolio_of(positions_of(held), equity=equity, monitoring=monitoring)
    overlay = [RULES.with_values(because="test", **overlaid)] if overlaid else []
    return margin(book, market_of({}), SILOED, rules=overlay)


@pytest.mark.parametrize(
    ("equity", "monitoring", "allowed"),
    [
        (100000.0, "full", True),
        (99999.99, "full", False),
        (150000.0, "partial", True),
        (149999.0, "partial", False),
        (500000.0, "none", True),
        (499999.0, "none", False),
        (None, "full", False),
        (-1.0, "full", False),
    ],
)
def test_tiers_of_equity(equity, monitoring, allowed):
    report = decided(equity, monitoring)
    (decision,) = [d for d in report.decisions if d.programme == "portfolio_margin"]
    assert decision.allowed == allowed
    (asks,) = [r for r in report.requirements if r.level == "customer"]
    assert asks.ruleset == ("portfolio_margin" if allowed else "finra_strategy")
    if not allowed:
        (reason,) = decision.because
        assert reason.condition == "minimum_equity"
        assert "Deposit" in reason.cure
        assert "optionstrategist.com" in reason.citation


def test_unlisted_derivatives_ask_for_five_million():
    for equity, allowed in ((5e6, True), (4999999.0, False)):
        report = decided(equity, "full", unlisted_kinds=["stock"])
        (decision,) = [d for d in report.decisions if d.programme == "portfolio_margin"]
        assert decision.allowed == allowed
        assert [reason.condition for reason in decision.because] == ([] if allowed else ["unlisted_derivatives"])


def test_products_that_are_not_on_the_list_stay_outside():
    report = decided(1e6, "full", eligible_kinds=["etf"])
    (decision,) = [d for d in report.decisions if d.programme == "portfolio_margin"]
    assert [reason.condition for reason in decision.because] == ["product_list"]


def test_tests_and_conditions_have_the_same_names():
    assert set(portfolio_margin.TESTS) == {condition.id for condition in RULES.conditions}


@pytest.mark.parametrize(
    ("asks", "capital", "above"), [(1.2e9, 1e8, 2e8), (1e9, 1e8, 0), (1.0, 0.0, 1), (5.0, -9.0, 5)]
)
def test_the_limit_of_a_firm(asks, capital, above):
    line = portfolio_margin.firm_limit(asks, capital, RULES.at(AS_OF))
    assert line.value == pytest.approx(above)
    assert "3 business days" in line.note


@pytest.mark.parametrize(("asks", "capital"), [(-1.0, 1.0), (math.nan, 1.0), (1.0, math.inf)])
def test_a_limit_of_nothing_is_refused(asks, capital):
    with pytest.raises(InputError):
        portfolio_margin.firm_limit(asks, capital, RULES.at(AS_OF))


def test_regimes_put_strategy_and_portfolio_margin_side_by_side():
    held = [(SPY, 100), (option("SPY", "call", 510.0), -1)]
    market = market_of({held[1][0]: 8.0})
    compared = compare(portfolio_of(positions_of(held)), market, (STRATEGY_MARGIN, PORTFOLIO_MARGIN))
    strategy, portfolio = (compared[name].gross("customer") for name in ("strategy_margin", "portfolio_margin"))
    assert 0 < portfolio < strategy
    assert [silo.ruleset for silo in TODAY].count("portfolio_margin") == 1


# ------------------------------------------------------------------------------------ the test books on real chains


def real_legs():
    """Series of December, two strikes around the money and one above, and the fund."""
    chain, _ = real_chain("spx")
    day = date(2023, 12, 15)

    def at(right, strike):
        return next(o for o in chain if (o.expiry, o.right, o.strike, o.settles_at) == (day, right, strike, "open"))

    return at


BOOKS = {
    "short call": lambda at: [(at("call", 4550.0), -100)],
    "short put": lambda at: [(at("put", 4550.0), -100)],
    "covered call": lambda at: [(SPY, 100000), (at("call", 4550.0), -100)],
    "call vertical": lambda at: [(at("call", 4500.0), 100), (at("call", 4650.0), -100)],
    "put vertical": lambda at: [(at("put", 4500.0), -100), (at("put", 4350.0), 100)],
    "long straddle": lambda at: [(at("call", 4500.0), 100), (at("put", 4500.0), 100)],
    "short straddle": lambda at: [(at("call", 4500.0), -100), (at("put", 4500.0), -100)],
    "synthetic long": lambda at: [(at("call", 4500.0), 100), (at("put", 4500.0), -100)],
    "collar": lambda at: [(SPY, 100000), (at("put", 4350.0), 100), (at("call", 4650.0), -100)],
    "box": lambda at: [
        (at("call", 4400.0), 100),
        (at("call", 4600.0), -100),
        (at("put", 4600.0), 100),
        (at("put", 4400.0), -100),
    ],
}


@pytest.mark.slow_interpreted
@pytest.mark.parametrize("name", BOOKS)
def test_the_books_of_the_table_on_a_real_chain(name):
    book = BOOKS[name](real_legs())
    line = asked(book, real_market("spx", "spy"), as_of=DAY)
    assert not line.partial
    (group,) = line.parts
    assert group.name == "class SPX"
    notional = 100 * 100 * 4505.1
    least = sum(abs(count) for each, count in book if each is not SPY) * 37.5
    assert least - 1e-6 <= line.value <= 0.09 * notional
    expected = {
        "short put": (0.05, 0.08),
        "covered call": (0.01, 0.06),
        "box": (0.0, 0.002),
        "long straddle": (0, 0.04),
    }
    low, high = expected.get(name, (0.0, 0.09))
    assert low * notional <= line.value <= high * notional


def test_no_stock_is_unknown():
    assert asked([(Stock("ABC"), 1)]).partial
    inputs = inputs_of(positions_of([(IBM, 1)]), market_of({}, known=underlyings()))
    assert pool_of(inputs).ruleset == "portfolio_margin"
