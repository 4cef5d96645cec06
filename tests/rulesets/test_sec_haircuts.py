"""Net capital deductions: figures worked by hand from 17 CFR 240.15c3-1, and the laws of netting."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import AccountClass
from crossmargin.class_groups import ClassGroup
from crossmargin.conformance import run
from crossmargin.errors import InputError, NotInForce
from crossmargin.products import STRIPS, SecurityFuture, TreasuryBill, TreasuryNote, Warrant
from crossmargin.products.treasuries import accrued_interest
from crossmargin.regimes import REGIMES
from crossmargin.registry import rules
from crossmargin.rulesets.sec_haircuts import (
    GovernmentPosition,
    concentrated_position,
    equity_deduction,
    equity_rates,
    government_deduction,
    grid_charge,
    grid_moves,
    market_maker_account,
    months_to_maturity,
    other_rates,
    requirement,
    scenarios,
)
from crossmargin.worked.securities import FAMILIES
from tests.properties.class_books import (
    IBM,
    SPY,
    XYZ,
    holdings,
    inputs_of,
    market_of,
    option,
    pool_of,
    positions_of,
)
from tests.properties.strategies import AS_OF as EQUITY_DAY
from tests.properties.strategies import FRN, REPO, TIPS_8, ZN
from tests.reference.class_group_twin import black_scholes, implied

RULES = rules("sec_haircuts")
AS_OF = date(2026, 7, 1)
CASES = Path(__file__).resolve().parents[2] / ".." / "shared" / "cases" / "haircuts.jsonl"
POINTS = 10


def reader(as_of=AS_OF, **overlaid):
    return (RULES.with_values(because="test", **overlaid) if overlaid else RULES).at(as_of)


def deduction(*held, **overlaid) -> float:
    return government_deduction([GovernmentPosition(*each) for each in held], reader(**overlaid)).value


# ------------------------------------------------------------------------------------------- governments, by hand


@pytest.mark.parametrize(
    ("months", "rate"),
    [
        (0, 0.0),
        (2.99, 0.0),
        (3, 0.005),
        (5.99, 0.005),
        (6, 0.0075),
        (9, 0.01),
        (11.99, 0.01),
        (12, 0.015),
        (24, 0.02),
        (36, 0.03),
        (59.99, 0.03),
        (60, 0.04),
        (119.99, 0.04),
        (120, 0.045),
        (180, 0.05),
        (240, 0.055),
        (299.99, 0.055),
        (300, 0.06),
        (360, 0.06),
        (1200, 0.06),
    ],
)
def test_a_bucket_holds_its_lower_bound(months, rate):
    assert deduction((months, 1e6)) == pytest.approx(1e6 * rate)
    assert deduction((months, 0.0, 1e6)) == pytest.approx(1e6 * rate)


GOVERNMENTS = [
    ("none", [], [0, 0, 0, 0]),
    ("long and short in one category", [(48, 1e6), (84, 0, 1e6)], [0, 0, 25000, 0]),
    ("one bucket nets first", [(40, 3e6), (55, 0, 2e6)], [0, 0, 30000, 0]),
    ("one bucket nets to nothing", [(40, 1e6), (41, 0, 1e6)], [0, 0, 0, 0]),
    ("one row with both sides", [(40, 3e6, 2e6)], [0, 0, 30000, 0]),
    ("categories do not offset", [(18, 1e6), (48, 0, 1e6)], [0, 15000, 30000, 0]),
    ("equal sides leave half of one", [(12, 2e6), (24, 0, 1.5e6)], [0, 15000, 0, 0]),
    ("three buckets of the long end", [(130, 1e6), (200, 0, 1e6), (360, 1e6)], [0, 0, 0, 80000]),  # 105 - 50 + 25
    ("bills without deduction offset nothing", [(1, 9e6), (7, 0, 1e6)], [7500, 0, 0, 0]),
]


@pytest.mark.parametrize(
    ("held", "expected"), [case[1:] for case in GOVERNMENTS], ids=[case[0] for case in GOVERNMENTS]
)
def test_governments_by_hand(held, expected):
    line = government_deduction([GovernmentPosition(*each) for each in held], reader())
    assert [part.value for part in line.parts] == pytest.approx(expected)
    assert line.value == pytest.approx(sum(expected))


@pytest.mark.parametrize(
    ("as_of", "maturity", "months"),
    [
        (date(2026, 6, 30), date(2026, 6, 30), 0),
        (date(2026, 6, 30), date(2026, 9, 29), 2),
        (date(2026, 6, 30), date(2026, 9, 30), 3),
        (date(2025, 11, 30), date(2026, 2, 28), 3),  # no 30 February
        (date(2024, 2, 29), date(2025, 2, 28), 12),
        (date(2026, 1, 31), date(2056, 1, 30), 359),
    ],
)
def test_months_to_maturity(as_of, maturity, months):
    assert months_to_maturity(as_of, maturity) == months


def test_shared_cases():
    if not CASES.exists():
        pytest.skip("the shared worked cases are not beside the repository")
    outcome = run(CASES, families=FAMILIES)
    assert outcome.ok, outcome.text()
    assert not any(tally.not_implemented for tally in outcome.families.values())


# ---------------------------------------------------------------------------------------------- laws of netting

months = st.one_of(st.integers(0, 400), st.floats(0, 400))
values = st.floats(0, 1e9)
books = st.lists(st.tuples(months, values, values), max_size=6)
close = {"rel": 1e-9, "abs": 1e-3}


@given(books)
def test_long_and_short_are_treated_alike(held):
    mirrored = [(month, short, long) for month, long, short in held]
    assert deduction(*mirrored) == pytest.approx(deduction(*held), **close)


@given(books, st.randoms(use_true_random=False))
def test_order_and_lots_do_not_matter(held, random):
    halves = [(month, long / 2, short / 2) for month, long, short in held for _ in range(2)]
    random.shuffle(halves)
    assert deduction(*halves) == pytest.approx(deduction(*held), **close)


@given(books, st.sampled_from([0.0, 0.5, 2.0, 16.0]))
def test_deductions_scale(held, scale):
    scaled = [(month, long * scale, short * scale) for month, long, short in held]
    assert deduction(*scaled) == pytest.approx(deduction(*held) * scale, **close)


@given(books, books)
def test_books_together_never_bear_more_than_apart(one, other):
    assert deduction(*one, *other) <= (deduction(*one) + deduction(*other)) * (1 + 1e-9) + 1e-3


@given(books)
def test_a_category_bears_from_half_to_all_of_its_greater_side(held):
    line = government_deduction([GovernmentPosition(*each) for each in held], reader())
    for category in line.parts:
        greater = max(category.part("long deductions").value, category.part("short deductions").value)
        assert greater / 2 - 1e-3 <= category.value <= greater * (1 + 1e-9) + 1e-3


# ------------------------------------------------------------------------------------- equities, concentration


@pytest.mark.parametrize(
    ("long", "short", "expected"),
    [
        (0, 0, 0),
        (1e6, 0, 150000),
        (0, 1e6, 150000),
        (1e6, 250000, 150000),  # the lesser side is free up to a quarter of the greater
        (1e6, 250100, 150015),
        (1e6, 1e6, 262500),
    ],
)
def test_equities_by_hand(long, short, expected):
    assert equity_deduction(long, short, reader()).value == pytest.approx(expected)
    assert equity_deduction(short, long, reader()).value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "capital", "rates", "expected"),
    [
        (800000, 5e6, (0.15, 0.15), 165000),
        (450000, 5e6, (0.15, 0.15), 67500),
        (500000, 5e6, (0.15, 0.15), 75000),  # exactly a tenth
        (800000, 5e6, (0.07, 0.035), 66500),
        (800000, 0, (0.15, 0.15), 240000),
        (800000, -1e6, (0.15, 0.15), 240000),  # no capital: all of it is concentrated, and not more than all
        (0, 5e6, (0.15, 0.15), 0),
    ],
)
def test_concentration_by_hand(value, capital, rates, expected):
    assert concentrated_position(value, capital, reader(), rates=rates).value == pytest.approx(expected)


def test_rates_of_equities_and_of_others():
    assert equity_rates(reader()) == (0.15, 0.15)
    assert other_rates(0.07, reader()) == pytest.approx((0.07, 0.035))


@given(values, values, st.floats(1e3, 1e9))
def test_concentration_is_continuous_monotone_and_falls_with_capital(one, other, capital):
    low, high = sorted((one, other))

    def asked(value, net):
        return concentrated_position(value, net, reader(), rates=equity_rates(reader())).value

    assert asked(low, capital) <= asked(high, capital) + 1e-6
    assert asked(high, 2 * capital) <= asked(high, capital) + 1e-6
    at = capital / 10
    assert asked(at * (1 + 1e-9), capital) == pytest.approx(asked(at, capital), rel=1e-8)


@pytest.mark.parametrize(
    ("long", "short", "equity", "expected"),
    [(4e7, 1e7, 1.1e7, 2e6), (4e7, 1e7, 1.3e7, 0), (4e7, 1e7, 2e7, 0), (0, 0, 0, 0), (0, 1e6, -1e5, 4e5)],
)
def test_market_maker_accounts_by_hand(long, short, equity, expected):
    assert market_maker_account(long, short, equity, reader()).value == pytest.approx(expected)


# ------------------------------------------------------------------------------------------------- valuation grid


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("equity", [-0.15, -0.12, -0.09, -0.06, -0.03, 0.03, 0.06, 0.09, 0.12, 0.15]),
        ("broad_index", [-0.1, -0.08, -0.06, -0.04, -0.02, 0.02, 0.04, 0.06, 0.08, 0.1]),
        ("broad_index_high_cap", [-0.08, -0.064, -0.048, -0.032, -0.016, 0.012, 0.024, 0.036, 0.048, 0.06]),
    ],
)
def test_the_grid(kind, expected):
    assert grid_moves(kind, reader()) == pytest.approx(expected)


def group(name, kind, first, *, units=0.0, rest=0.0):
    return ClassGroup(name, kind, [first, *[rest] * (POINTS - 1)], units)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([], 0),
        ([group("A", "equity", -500)], 500),
        ([group("A", "equity", 500)], 0),
        ([group("A", "equity", -10, units=200)], 50),  # 25 cents a unit
        ([group("A", "equity", -500), group("B", "equity", 400)], 500),  # single stocks do not offset
        ([group("A", "broad_index_high_cap", -500), group("B", "broad_index_high_cap", 400)], 140),
        ([group("A", "broad_index_high_cap", -500), group("B", "broad_index_high_cap", 900)], 0),
        ([group("A", "broad_index", -500), group("B", "broad_index", -1)], 501),
    ],
)
def test_grid_charges_by_hand(groups, expected):
    assert grid_charge(groups, reader()).value == pytest.approx(expected)


results = st.lists(st.floats(-1e6, 1e6), min_size=POINTS, max_size=POINTS)


@given(results, results, st.floats(0, 1e4), st.sampled_from(["equity", "broad_index_high_cap"]))
def test_groups_together_never_bear_more_than_apart(one, other, units, kind):
    groups = [ClassGroup("A", kind, one, units), ClassGroup("B", kind, other)]
    together = grid_charge(groups, reader()).value
    apart = sum(grid_charge([each], reader()).value for each in groups)
    assert together <= apart + 1e-6
    assert together >= 0.25 * units - 1e-9


def test_the_grid_rests_on_assumptions_and_says_so():
    reads = grid_charge([group("A", "equity", -500)], reader()).all_reads()
    assert {read.grade for read in reads} == {"assumed"}
    assert "valuation_ranges" in {read.name for read in reads}


# ------------------------------------------------------------------------------------------------------- bad input


def test_every_fault_of_governments_is_named_at_once():
    with pytest.raises(InputError) as found:
        deduction((-1, 1.0), (3, math.nan, -1.0))
    assert len(found.value.problems) == 3


def test_every_fault_of_class_groups_is_named_at_once():
    groups = [group("A", "equity", 0), ClassGroup("B", "broad_index", [math.nan]), group("C", "equity", 0, units=-1)]
    with pytest.raises(InputError) as found:
        grid_charge(groups, reader())
    assert [problem.where for problem in found.value.problems] == ["B", "B", "B", "C"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: equity_deduction(-1, 0, reader()),
        lambda: equity_deduction(math.nan, 0, reader()),
        lambda: concentrated_position(-1, 1e6, reader(), rates=(0.15, 0.15)),
        lambda: concentrated_position(1, math.nan, reader(), rates=(0.15, 0.15)),
        lambda: market_maker_account(1, 1, math.inf, reader()),
        lambda: market_maker_account(-1, 1, 1, reader()),
        lambda: months_to_maturity(AS_OF, date(2026, 6, 30)),
        lambda: grid_moves("equities", reader()),
        lambda: deduction((1, 1e6), government_haircuts=[{"category": 1, "from_months": 3, "rate": 0.01}]),
    ],
)
def test_what_means_nothing_is_refused(make):
    with pytest.raises(InputError):
        make()


def test_a_day_before_the_rule_is_refused():
    with pytest.raises(NotInForce):
        equity_deduction(1.0, 0.0, reader(date(2013, 12, 31)))


# ------------------------------------------------------------------------------------------------ as a pool's rule-set

HOUSE = {"account_class": AccountClass.PROPRIETARY}
DAY = EQUITY_DAY


def deducted(held, market=None, **overlaid):
    inputs = inputs_of(positions_of(held), market, **HOUSE)
    return requirement(pool_of(inputs, "sec_haircuts"), inputs, reader(DAY, **overlaid))


def gaps_of(line):
    return {found.name: found.note for found in line.walk() if found.how == "not_modelled"}


def test_governments_count_at_todays_value():
    note, bill, strip = (
        TreasuryNote(0.04, date(2034, 2, 15)),
        TreasuryBill(date(2026, 9, 24)),
        STRIPS(date(2045, 2, 15)),
    )
    market = market_of({note: 98.0, bill: 99.2, strip: 42.0})
    line = deducted([(note, 1e6), (bill, -5e6), (strip, -2e6)], market)
    accrued = accrued_interest(note, DAY)
    expected = (0.98 + accrued) * 1e6 * 0.04 + 0.42 * 2e6 * 0.05  # 7 and 18 years to go; the bill bears nothing
    assert line.value == pytest.approx(expected)
    assert [part.name for part in line.parts] == ["deduction on government securities"]
    assert "not margin" in line.note


def test_a_government_without_a_price_is_valued_from_the_curve():
    note = TreasuryNote(0.0408, date(2028, 6, 30))
    line = deducted([(note, 1e6)])
    assert line.value == pytest.approx(0.02 * 1e6, rel=0.01)  # a coupon near the flat yield: near par


def test_inflation_notes_need_real_yields_and_floaters_do_not():
    line = deducted([(TIPS_8, 1e6), (FRN, 1e6)])
    assert list(gaps_of(line)) == [f"p0: {TIPS_8.symbol}"]
    assert line.value == pytest.approx(0.015 * 1e6, rel=0.02)


def test_shares_without_options_bear_the_equity_deduction():
    line = deducted([(IBM, 1000), (IBM, 500), (SPY, -80)])
    assert line.part("deduction on equities").value == equity_deduction(150000, 40000, reader()).value
    assert list(gaps_of(line)) == ["undue concentration"]
    assert "tentative net capital of 'F' is not known" in gaps_of(line)["undue concentration"]


def test_undue_concentration_looks_at_stocks_of_one_issuer():
    capital = [{"firm": "F", "usd": 1e6}, {"firm": "G", "usd": 1.0}]
    line = deducted([(IBM, 1500), (XYZ, -1000), (SPY, 1000)], tentative_net_capital=capital)
    expected = equity_deduction(650000, 40000, reader()).value + 0.15 * 50000  # 150,000 over a tenth of a million
    assert line.value == pytest.approx(expected)
    assert not line.partial
    assert [part.name for part in line.part("undue concentration").parts] == ["IBM", "XYZ"]


def test_classes_with_options_go_to_the_grid_with_their_stock():
    put = option("IBM", "put", 95.0)
    line = deducted([(IBM, 1000), (put, 10), (XYZ, 100)], market_of({put: 3.0}))
    grid = line.part("deduction on options of kind equity")
    assert grid.part("at -15.00%").value == pytest.approx(15000 - 1000 * (put_after(put) - 3.0), rel=1e-6)
    assert line.part("deduction on equities").value == pytest.approx(0.15 * 4000)
    assert grid.part("minimum").value == pytest.approx(250.0)  # 25 cents a unit


def put_after(put):
    years = (put.expiry - DAY).days / 365
    terms = {"spot": 100.0, "rate": 0.04, "dividend_yield": 0.0}
    volatility = implied(3.0, False, 95.0, years, **terms)
    return black_scholes(False, 95.0, years, **{**terms, "spot": 85.0}, volatility=volatility)


def test_kinds_and_stocks_do_not_offset_and_large_indices_do():
    future, index, other = SecurityFuture("IBM", 202609), option("SPX", "put", 5000.0), option("NDX", "put", 18000.0)
    prices = {future: 100.0, SecurityFuture("XYZ", 202609): 40.0, index: 120.0, other: 500.0}
    line = deducted([(future, 10), (SecurityFuture("XYZ", 202609), -25)], market_of(prices))
    assert line.value == pytest.approx(0.15 * (100000 + 100000))
    both = deducted([(index, -1), (other, 1)], market_of(prices))
    apart = [deducted([each], market_of(prices)).value for each in ((index, -1), (other, 1))]
    assert both.value < 0.7 * sum(apart)


def test_nothing_is_silently_zero():
    warrant, repo = Warrant("IBM", 120.0, date(2027, 1, 15)), REPO
    bad = option("XYZ", "call", 30.0)
    line = deducted([(warrant, 10), (repo, 1e6), (ZN, 5), (bad, -1)], market_of({bad: 2.0}))
    said = gaps_of(line)
    assert set(said) == {f"p0: {warrant.symbol}", f"p1: {repo.symbol}", f"p2: {ZN.symbol}", f"p3: {bad.symbol}"}
    assert line.value == pytest.approx(25.0)  # the minimum of the option that could not be revalued


def test_customers_positions_bear_no_deduction_of_the_firm():
    inputs = inputs_of(positions_of([(IBM, 100)]))
    line = requirement(pool_of(inputs, "sec_haircuts"), inputs, reader(DAY))
    assert line.amount is None
    assert "not the firm's own" in gaps_of(line)["p0: IBM"]


def test_an_empty_pool_bears_nothing():
    assert (deducted([]).value, scenarios(reader())) == (0.0, ())


def test_no_regime_takes_capital_for_margin():
    assert all(silo.ruleset != "sec_haircuts" for regime in REGIMES for silo in regime.silos)
    assert RULES.level == "clearing"


@given(holdings(most=4))
def test_pools_scale_and_order_does_not_matter(held):
    base = deducted(held).value
    assert deducted([(each, 4 * count) for each, count in reversed(held)]).value == pytest.approx(4 * base, **close)
    halves = [(each, count / 2) for each, count in held for _ in range(2)]
    assert deducted(halves).value == pytest.approx(base, **close)
