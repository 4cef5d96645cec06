"""STANS-like margin: by hand, against the slow twin, its laws, what it leaves out and says so, and on real history."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.accounts import AccountClass
from crossmargin.margin import margin
from crossmargin.market import Market
from crossmargin.methodology import Inputs
from crossmargin.pnl import PnL
from crossmargin.portfolio import Pool, Position
from crossmargin.price_history import PriceHistory
from crossmargin.products import ETF, FutureOption, Index, IndexFuture, ListedOption, SecurityFuture, Stock
from crossmargin.regimes import SILOED
from crossmargin.registry import rules
from crossmargin.rulesets import occ_stans_like as occ
from crossmargin.scenarios import ScenarioSet
from crossmargin.underlyings import Underlying
from tests.properties.strategies import AS_OF, NOTE_7, book, history, market
from tests.reference.stans_like_twin import requirement as twin

RULES = rules("occ_stans_like")
EXPIRY = date(2026, 9, 18)
CLOSING = {"collateral_in_margins", "high_volatility_control_settings"}


def future(ticker: str) -> SecurityFuture:
    return SecurityFuture(ticker, 202609, multiplier=1.0)


def pool(*lines) -> Pool:
    held = tuple(Position(f"p{i}", "RETAIL-SEC", *line) for i, line in enumerate(lines))
    return Pool("RETAIL", "DUAL", AccountClass.SEC_15C3_3, "OCC", "occ_stans_like", "", held)


def asked(gains: dict, *lines, underlyings=(), moves=None, because=None, **values):
    """The requirement of lines whose P&L per contract is written down."""
    p = (RULES.with_values(because=because or "test", **values) if values else RULES).at(AS_OF)
    (spec,) = occ.scenarios(p)
    table = np.array([gains[product] for product in gains], dtype=float)
    nothing = np.zeros(len(gains))
    drawn = ScenarioSet(spec, [5.0], np.zeros((1, table.shape[1])), volatility_moves=moves or {})
    told = {each.symbol: each for each in underlyings}
    known = evolve(market(), underlyings=told)
    positions = pool(*lines)
    held = book(*positions.positions)
    return occ.requirement(positions, Inputs(held, known, {spec: PnL(tuple(gains), table, nothing, nothing, drawn)}), p)


# ---------------------------------------------------------------------------------------------------------- by hand

A, B, C = future("A"), future("B"), future("C")
QUARTER = {"confidence": 0.75}  # the worst of four scenarios


def test_one_class_by_hand():
    found = asked({A: [-8.0, -6.0, 3.0, 1.0]}, (A, 10.0), confidence=0.5)
    assert found.part("base_expected_shortfall").value == 70.0  # the mean of the worst two
    assert found.part("dependence_stressed_shortfall").value == 70.0
    assert found.part("concentration_stressed_shortfall").value == 80.0
    assert found.part("dependence_and_concentration_add_on").value == pytest.approx(0.25 * 10.0)
    assert found.value == pytest.approx(72.5)


def test_a_hedge_of_two_classes_is_charged_a_share_of_what_it_saves():
    gains = {A: [-10.0, 4.0, 2.0, 0.0], B: [7.0, -5.0, 1.0, 0.0], C: [-1.0, 0.0, 0.0, 2.0]}
    found = asked(gains, (A, 1.0), (B, 1.0), (C, 1.0), **QUARTER)
    assert found.part("base_expected_shortfall").value == 4.0
    assert found.part("dependence_stressed_shortfall").value == 10.0 + 5.0 + 1.0
    assert found.part("concentration_stressed_shortfall").value == 10.0 + 5.0 + 1.0  # the two largest, and the rest
    assert found.value == 4.0 + 0.25 * 12.0
    one = asked(gains, (A, 1.0), (B, 1.0), (C, 1.0), concentration_names=1, **QUARTER)
    assert one.part("concentration_stressed_shortfall").value == 10.0 + 5.0  # B and C lose 5 together


def test_a_fund_and_its_index_are_one_class():
    fund = ListedOption("SPY", "call", 600.0, EXPIRY, underlying_kind="etf")
    index = ListedOption("SPX", "call", 6000.0, EXPIRY, settlement="cash", underlying_kind="index")
    spy = ETF("SPY", "broad_high_cap", tracks="SPX")
    told = (
        Underlying("SPY", 0.2, 600.0, security=spy),
        Underlying("SPX", 0.2, 6000.0, security=Index("SPX", "broad_high_cap")),
    )
    still = {"SPY": np.zeros(4), "SPX": np.zeros(4)}
    gains = {fund: [-10.0, 5.0, 1.0, 0.0], index: [9.0, -5.0, -1.0, 0.0]}
    found = asked(gains, (fund, 1.0), (index, 1.0), underlyings=told, moves=still, **QUARTER)
    assert found.part("excess of dependence_stressed_shortfall").value == 0.0
    assert found.value == 1.0
    assert found.memo[0].name == "net option value"
    assert found.memo[0].value == pytest.approx(sum(line.value for line in found.memo[0].parts))


def test_index_futures_and_options_on_them_are_of_the_class_of_their_index():
    future = IndexFuture("ES", 202609)
    on_future = FutureOption(future, "put", 6000.0, EXPIRY)
    index = ListedOption("SPX", "call", 6000.0, EXPIRY, settlement="cash", underlying_kind="index")
    told = (Underlying("SPX", 0.2, 6000.0, security=Index("SPX", "broad_high_cap")), Underlying("ES 2026-09", 0.2))
    gains = {future: [-10.0, 5.0, 1.0, 0.0], on_future: [7.0, -3.0, 0.0, 0.0], index: [2.0, -1.0, -1.0, 0.0]}
    lines, still = ((future, 1.0), (on_future, 1.0), (index, 1.0)), {"SPX": np.zeros(4)}
    found = asked(gains, *lines, underlyings=told, moves=still, **QUARTER)
    assert found.value == 1.0  # the worst of -1, 1, 0, 0
    assert found.part("excess of dependence_stressed_shortfall").value == 0.0
    apart = [asked({line[0]: gains[line[0]]}, line, underlyings=told, moves=still, **QUARTER).value for line in lines]
    assert apart == [10.0, 3.0, 1.0]


def test_a_long_option_is_worth_its_profit_and_loss_alone():
    call = ListedOption("A", "call", 10.0, EXPIRY)
    told = (Underlying("A", 0.3, 12.0),)
    found = asked({call: [-50.0, 90.0, 0.0, 1.0]}, (call, 2.0), underlyings=told, moves={"A": np.zeros(4)}, **QUARTER)
    assert found.value == 100.0  # though the options are worth far more than they can lose
    assert found.memo[0].value > 400.0


def test_a_book_that_only_gains_asks_for_nothing():
    found = asked({A: [1.0, 2.0, 3.0, 4.0]}, (A, 1.0), **QUARTER)
    assert found.value == 0.0
    assert asked({A: [0.0] * 4}, (A, 1.0), **QUARTER).value == 0.0


def test_what_no_text_states_is_graded_so():
    found = asked({A: [-8.0, -6.0, 3.0, 1.0]}, (A, 10.0))
    read = {each.name: each.grade for each in found.all_reads()}
    assert read.pop("horizon_days") == "disclosure"
    assert set(read.values()) == {"assumed"}
    assert {"stress_share", "concentration_names", "confidence", "decay_factor", "lookback_years"} <= set(read)


# ------------------------------------------------------------------------------------------------------------- laws

rows = st.lists(st.integers(-1000, 1000).map(float), min_size=20, max_size=20)
books = st.dictionaries(st.sampled_from("ABCDEF"), rows, min_size=1, max_size=5)
shares = st.floats(0.0, 1.0)
names = st.integers(1, 4)


def figures(classes, scale=1.0, **values):
    gains = {future(name): row for name, row in classes.items()}
    found = asked(gains, *((product, scale) for product in gains), confidence=0.9, **values)
    add_on = found.part("dependence_and_concentration_add_on").value
    return found.part("base_expected_shortfall").value, add_on, found


@given(books, shares, names)
def test_the_slow_twin_agrees(classes, share, count):
    base, add_on, found = figures(classes, stress_share=share, concentration_names=count)
    expected = twin(classes, confidence=0.9, share=share, names=count)
    assert (base, add_on) == pytest.approx(expected, abs=1e-9)
    assert found.value == pytest.approx(base + add_on)


@given(books, st.floats(0.01, 1e6))
def test_it_scales_with_the_contracts(classes, scale):
    plain, scaled = figures(classes)[2].value, figures(classes, scale)[2].value
    assert scaled == pytest.approx(scale * plain, rel=1e-9, abs=1e-9)


@given(books)
def test_order_names_and_splitting_change_nothing(classes):
    plain = figures(classes)[2].value
    gains = {future(name): row for name, row in classes.items()}
    halves = [(product, 0.5) for product in reversed(gains) for _ in range(2)]
    assert asked(gains, *halves, confidence=0.9).value == pytest.approx(plain, abs=1e-9)
    renamed = {f"{chr(ord('Z') - ord(name) + ord('A'))}": row for name, row in classes.items()}
    worst = [min(row) for row in classes.values()]
    if len(set(worst)) == len(worst):  # of equally bad classes the first by name is stressed
        assert figures(renamed)[2].value == pytest.approx(plain, abs=1e-9)


@given(books, books)
def test_pooled_customers_would_never_have_a_larger_base_than_apart(mine, yours):
    together = {f"{who}{name}": row for who, held in (("m", mine), ("y", yours)) for name, row in held.items()}
    assert figures(together)[0] <= figures(mine)[0] + figures(yours)[0] + 1e-9


@given(books, shares, shares)
def test_a_larger_share_never_asks_for_less_and_the_add_on_is_never_a_credit(classes, one, other):
    low, high = (figures(classes, stress_share=share) for share in sorted((one, other)))
    assert 0.0 <= low[1] <= high[1] + 1e-9
    assert low[0] == high[0]


@given(books, names)
def test_stresses_are_never_milder_than_the_base(classes, count):
    base, _, found = figures(classes, concentration_names=count)
    for name in ("dependence", "concentration"):
        assert found.part(f"{name}_stressed_shortfall").value >= base - 1e-9


# ----------------------------------------------------------------------------------------- what it cannot model

STOCK_CALL = ListedOption("XYZ", "call", 100.0, EXPIRY)
XYZ, BARE = Underlying("XYZ", 0.3, 100.0), Underlying("XYZ", None, 100.0)
SEEN = {STOCK_CALL.symbol: 4.0}


def walk(seed=1, level=100.0):
    days = history().dates
    return PriceHistory(days, {"XYZ": level * np.exp(np.random.default_rng(seed).normal(0, 0.01, len(days)).cumsum())})


def line_of(known: Market, *products):
    held = book(*(Position(f"p{n}", "RETAIL-SEC", each, -3.0) for n, each in enumerate(products)))
    (entry,) = (each for each in margin(held, known, SILOED).requirements if each.ruleset == "occ_stans_like")
    assert (entry.level, entry.pot) == ("clearing", "OCC")
    return entry.line


def lacking(line):
    return {part.name: part.note for part in line.parts if part.how == "not_modelled" and part.name not in CLOSING}


def test_without_a_history_nothing_is_modelled_and_the_reason_stands_there():
    line = line_of(evolve(market(), underlyings={"XYZ": XYZ}), STOCK_CALL, SecurityFuture("XYZ", 202609))
    assert line.amount is None
    assert lacking(line) == dict.fromkeys(
        (f"p0: {STOCK_CALL.symbol}", "p1: XYZ future 2026-09"), "the market has no price history"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"price_history": PriceHistory([AS_OF], {"ABC": [1.0]})}, "no price history of it, nor of an index that it"),
        ({"price_history": PriceHistory([AS_OF], {"XYZ": [1.0]})}, "does not reach over the look-back of 10 years"),
        ({"underlyings": {"XYZ": Underlying("XYZ", None, 100.0)}}, "the market has no price of XYZ call"),
        ({"underlyings": {"XYZ": BARE}, "prices": SEEN}, "the market has no volatility of XYZ"),
        ({"underlyings": {}, "prices": {"XYZ": 100.0, **SEEN}}, "the market has no volatility of XYZ"),
    ],
)
def test_what_lacks_something_says_what(changes, said):
    known = evolve(market(), **{"underlyings": {"XYZ": XYZ}, "price_history": walk(), **changes})
    line = line_of(known, STOCK_CALL)
    assert line.amount is None
    (why,) = lacking(line).values()
    assert said in why


def test_a_future_without_a_price_says_so():
    known = evolve(market(), price_history=walk())
    assert set(lacking(line_of(known, SecurityFuture("XYZ", 202609))).values()) == {
        "the market has no price of XYZ future 2026-09"
    }


def test_a_ticker_is_margined_whole_or_not_at_all():
    known = evolve(market(), underlyings={"XYZ": BARE}, price_history=walk(), prices=SEEN)
    line = line_of(known, STOCK_CALL, SecurityFuture("XYZ", 202609))
    assert line.amount is None
    assert set(lacking(line).values()) == {"the market has no volatility of XYZ"}


def test_a_gap_beside_what_is_modelled_names_its_day():
    short = np.where(np.arange(len(history().dates)) < len(history().dates) - 60, np.nan, 50.0)
    told = {"XYZ": XYZ, "NEW": Underlying("NEW", 0.3, 50.0)}
    past = PriceHistory(history().dates, {**walk().prices, "NEW": short})
    line = line_of(
        evolve(market(), underlyings=told, price_history=past), STOCK_CALL, ListedOption("NEW", "put", 45.0, EXPIRY)
    )
    assert line.value > 0.0
    assert line.partial
    assert "NEW is not quoted for" in lacking(line)["p1: NEW put 45 2026-09-18"]


def test_options_whose_volatility_stands_still_are_said_to():
    known = evolve(market(), underlyings={"XYZ": XYZ}, price_history=walk())
    line = line_of(known, STOCK_CALL)
    assert list(lacking(line)) == ["volatility of XYZ"]
    moving = PriceHistory(history().dates, walk().prices, volatilities={"XYZ": walk(2, 0.3).prices["XYZ"]})
    both = line_of(evolve(known, price_history=moving), STOCK_CALL)
    assert not lacking(both)
    assert both.value != line.value
    assert not lacking(line_of(known, SecurityFuture("XYZ", 202609)))  # a future has no volatility to move


def test_a_product_of_another_market_is_named():
    line = asked({A: [0.0] * 4}, (NOTE_7, 5.0))
    assert lacking(line) == {f"p0: {NOTE_7.symbol}": "this rule-set has no model for the product"}


def test_customers_are_margined_apart_and_the_house_too():
    positions = (
        Position("r", "RETAIL-SEC", STOCK_CALL, -3.0),
        Position("h", "DUAL-FUT", STOCK_CALL, 3.0),
        Position("s", "RETAIL-SEC", Stock("XYZ"), 300.0),
    )
    known = evolve(market(), underlyings={"XYZ": XYZ}, price_history=walk())
    report = margin(book(*positions), known, SILOED)
    asked_for = {each.owner: each for each in report.requirements if each.ruleset == "occ_stans_like"}
    assert {owner: each.positions for owner, each in asked_for.items()} == {"RETAIL": ("r",), "DUAL": ("h",)}
    assert all(each.line.value > 0.0 for each in asked_for.values())
    passed = [each for each in report.requirements if each.level == "customer" and each.pot == "DUAL"]
    assert not passed  # the broker asks by its own rule, not by what OCC asks for


def test_the_sample_without_a_history_says_why():
    report = margin(*samples.equity_options())
    mine = [each.line for each in report.requirements if each.ruleset == "occ_stans_like"]
    assert len(mine) == 2
    assert all(set(lacking(line).values()) == {"the market has no price history"} for line in mine)


def test_on_real_history(shared):
    """Index options on the S&P 500 of thirty years and the VIX: a plausible share of the spot."""
    from crossmargin.io.market_files import read_tidy_par_yields
    from crossmargin.io.price_files import read_index_history

    folder = shared / "data" / "market"
    if not folder.is_dir():
        pytest.skip("no ../shared/data/market")
    past = read_index_history(folder / "equity_indices_daily.csv", folder / "volatility_indices_daily.csv")
    bonds = read_tidy_par_yields(folder / "ust_par_yields_daily.csv")
    put = ListedOption("SPX", "put", 6200.0, EXPIRY, exercise="european", settlement="cash", underlying_kind="index")
    known = evolve(
        Market.from_history(bonds, AS_OF),
        price_history=past,
        underlyings={"SPX": Underlying("SPX", 0.16, 6200.0, security=Index("SPX", "broad_high_cap"))},
    )
    found = line_of(known, put)  # three short at the money
    assert not lacking(found)
    assert 0.01 < found.value / (3 * 100 * 6200.0) < 0.15
