"""Revaluation: laws of the P&L matrix, prices by hand, and what it refuses."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.curves import discount_factors, year_fractions
from crossmargin.errors import InputError, NumericalError
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import can_revalue, cash_flow_book, present_values, revalue, scenario_zero_rates
from crossmargin.products import (
    STRIPS,
    TIPS,
    FutureOption,
    ListedOption,
    Repo,
    ReverseRepo,
    ShortRateFuture,
    TreasuryBill,
    TreasuryBond,
    TreasuryFRN,
    TreasuryFuture,
    TreasuryNote,
    accrued_interest,
    cash_flows,
    contract_specs,
    conversion_factor,
    delivery_date,
    reference_period,
)
from crossmargin.scenarios import ScenarioSet, ScenarioSpec

AS_OF = date(2026, 6, 30)
HISTORY = History([AS_OF], [1, 2], [[0.04, 0.041]])
CURVE = ParCurve(AS_OF, [0.25, 2, 5, 10, 30], [0.0387, 0.0414, 0.0419, 0.0444, 0.0491])
MARKET = Market(AS_OF, CURVE, HISTORY)
SPEC = ScenarioSpec("historical", 1, 1)
TENORS = [0.25, 1.0, 2.0, 5.0, 10.0, 30.0]

NOTE = TreasuryNote(0.0425, date(2035, 2, 15))
BOND = TreasuryBond(0.04625, date(2055, 2, 15))
BASKET = (
    TreasuryNote(0.04, date(2033, 5, 31)),
    TreasuryNote(0.0375, date(2033, 8, 31)),
    TreasuryNote(0.045, date(2033, 11, 15)),
    TreasuryNote(0.02875, date(2034, 5, 15)),
)
ZN = TreasuryFuture("ZN", 202609, BASKET)
REPO = Repo(NOTE, date(2026, 7, 1), date(2026, 8, 31), 0.0368, 0.99)
REVERSE = ReverseRepo(NOTE, date(2026, 7, 1), date(2026, 8, 31), 0.0368, 0.99)
PRODUCTS = (
    TreasuryBill(date(2026, 12, 31)),
    NOTE,
    BOND,
    STRIPS(date(2045, 2, 15)),
    ZN,
    ShortRateFuture("SR3", 202606),
    ShortRateFuture("SR3", 202612),
    ShortRateFuture("SR1", 202608),
    ShortRateFuture("ZQ", 202607),
    REPO,
    REVERSE,
)
REFUSED = (
    TIPS(0.0125, date(2034, 7, 15)),
    TreasuryFRN(0.001, date(2027, 7, 31)),
    FutureOption(ZN, "call", 112.0, date(2026, 8, 21)),
    ListedOption("TLT", "put", 85.0, date(2026, 9, 18)),
)


def scenarios(shifts, tenors=TENORS):
    return ScenarioSet(SPEC, tenors, np.asarray(shifts, dtype=float))


def parallel(*basis_points):
    return scenarios(np.tile(np.array(basis_points) * 1e-4, (len(TENORS), 1)))


def drawn(n_scenarios, seed=1):
    rng = np.random.default_rng(seed)
    return scenarios(rng.normal(0, 8e-4, (1, n_scenarios)) + rng.normal(0, 2e-4, (len(TENORS), n_scenarios)))


def factors(dates, curve_scenarios):
    """Discount factors [n_dates, 1 + n_scenarios] by NumPy alone."""
    return discount_factors(*scenario_zero_rates(CURVE, curve_scenarios), year_fractions(AS_OF, dates))


# ------------------------------------------------------------------------------------------------------- laws


def test_a_scenario_of_zeros_gives_exactly_nothing():
    pnl = revalue(PRODUCTS, MARKET, parallel(0, 25, 0, -300, 0))
    assert (pnl.values[:, [0, 2, 4]] == 0.0).all()
    assert (pnl.values[:, [1, 3]] != 0.0).all()


@pytest.mark.parametrize("contract", ["ZT", "Z3N", "ZF", "ZN", "TN", "TWE", "ZB", "UB"])
def test_zero_is_exact_for_every_contract(contract):
    pnl = revalue([TreasuryFuture(contract, 202612, BASKET)], MARKET, parallel(0))
    assert pnl.values.tolist() == [[0.0]]


def test_longs_lose_when_yields_rise_and_gain_when_they_fall():
    pnl = revalue([p for p in PRODUCTS if p not in (REPO, REVERSE)], MARKET, parallel(-200, -50, -1, 1, 50, 200))
    for row in pnl.values:
        assert all(left > right for left, right in pairwise(row.tolist()))
        assert row[2] > 0 > row[3]


def test_repo_and_reverse_repo_cancel_to_the_last_bit():
    pnl = revalue([REPO, REVERSE], MARKET, drawn(40))
    assert (pnl.pooled([REPO, REVERSE], [3e8, 3e8]) == 0.0).all()
    assert (pnl.row(REPO) == -pnl.row(REVERSE)).all()
    assert pnl.base[0] == -pnl.base[1]


def test_a_running_repo_is_the_collateral_forward():
    repo = Repo(NOTE, date(2026, 6, 1), date(2026, 9, 30), 0.04, 0.98)
    pnl = revalue([repo], MARKET, drawn(7))
    flows = [(day, amount) for day, amount in cash_flows(NOTE, AS_OF) if day > repo.end]
    repaid = 0.98 * (1 + 0.04 * (repo.end - repo.start).days / 360)
    values = np.array([a for _, a in flows]) @ factors([d for d, _ in flows], drawn(7))
    values = values - repaid * factors([repo.end], drawn(7))[0]
    assert pnl.values[0] == pytest.approx(values[1:] - values[0], abs=1e-14)


@given(st.permutations(range(len(PRODUCTS))))
@settings(max_examples=10)
def test_the_order_of_products_changes_no_bit(order):
    whole = revalue(PRODUCTS, MARKET, drawn(5))
    shuffled = revalue([PRODUCTS[n] for n in order], MARKET, drawn(5))
    for product in PRODUCTS:
        assert np.array_equal(whole.row(product), shuffled.row(product))


def test_an_instrument_has_the_same_bits_alone():
    whole = revalue(PRODUCTS, MARKET, drawn(5))
    for product in PRODUCTS:
        assert np.array_equal(revalue([product], MARKET, drawn(5)).values[0], whole.row(product))


def test_a_scenario_has_the_same_bits_alone():
    shifts = drawn(9)
    whole = revalue(PRODUCTS, MARKET, shifts)
    for column in range(9):
        alone = revalue(PRODUCTS, MARKET, scenarios(shifts.shifts[:, [column]]))
        assert np.array_equal(alone.values[:, 0], whole.values[:, column])


@pytest.mark.compiled
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_no_bit(threads):
    one = revalue(PRODUCTS, MARKET, drawn(1_000))
    assert np.array_equal(one.values, revalue(PRODUCTS, MARKET, drawn(1_000), threads=threads).values)


def test_threads_in_a_small_set():
    one = revalue(PRODUCTS, MARKET, drawn(3))
    assert np.array_equal(one.values, revalue(PRODUCTS, MARKET, drawn(3), threads=2).values)


def test_a_duplicate_is_valued_once():
    pnl = revalue([NOTE, BOND, NOTE], MARKET, parallel(10))
    assert pnl.products == (NOTE, BOND)
    assert pnl.values.shape == (2, 1)


def test_the_matrix_cannot_be_written_to():
    pnl = revalue([NOTE], MARKET, parallel(10))
    for array in (pnl.row(NOTE), pnl.values, pnl.base, pnl.basis):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_nothing_to_value():
    pnl = revalue([], MARKET, parallel(1, 2, 3))
    assert pnl.values.shape == (0, 3)
    assert pnl.pooled([], []).tolist() == [0.0, 0.0, 0.0]


# ----------------------------------------------------------------------------------------------------- prices


def test_a_bill_by_hand():
    flat = Market(AS_OF, ParCurve(AS_OF, [0.5, 2], [0.04, 0.04]), HISTORY)
    pnl = revalue([TreasuryBill(AS_OF + timedelta(days=365))], flat, parallel(100))
    assert pnl.base[0] == pytest.approx(1.02**-2, rel=1e-14)
    assert pnl.values[0, 0] == pytest.approx(1.025**-2 - 1.02**-2, rel=1e-12)


def test_a_note_is_the_sum_of_its_discounted_flows():
    pnl = revalue([NOTE], MARKET, drawn(6))
    flows = cash_flows(NOTE, AS_OF)
    values = np.array([a for _, a in flows]) @ factors([d for d, _ in flows], drawn(6))
    assert pnl.base[0] == pytest.approx(values[0], rel=1e-13)
    assert pnl.values[0] == pytest.approx(values[1:] - values[0], abs=1e-14)


def deliverable_values(note, curve_scenarios):
    """USD per ZN contract [1 + n_scenarios] if only this note could be delivered."""
    delivery = delivery_date(ZN)
    flows = cash_flows(note, delivery)
    dirty = np.array([a for _, a in flows]) @ factors([d for d, _ in flows], curve_scenarios)
    forward = dirty / factors([delivery], curve_scenarios)[0] - accrued_interest(note, delivery)
    return contract_specs()["ZN"].face * forward / conversion_factor("ZN", 202609, note.coupon, note.maturity)


def test_a_treasury_future_is_its_cheapest_deliverable_in_each_scenario():
    far_apart = parallel(*range(-300, 301, 50))
    pnl = revalue([ZN], MARKET, far_apart)
    each = np.array([deliverable_values(note, far_apart) for note in BASKET])
    cheapest = each.min(axis=0)
    assert len(set(each.argmin(axis=0).tolist())) > 1  # the cheapest does switch
    assert pnl.base[0] == pytest.approx(cheapest[0], rel=1e-13)
    assert pnl.values[0] == pytest.approx(cheapest[1:] - cheapest[0], abs=1e-8)


def test_a_wider_basket_is_never_worth_more():
    alone = [TreasuryFuture("ZN", 202609, (note,)) for note in BASKET]
    narrow = revalue(alone, MARKET, drawn(20))
    wide = revalue([ZN], MARKET, drawn(20))
    assert wide.base[0] == narrow.base.min()
    assert np.array_equal(wide.values[0] + wide.base[0], (narrow.values + narrow.base[:, None]).min(axis=0))


@pytest.mark.parametrize(("contract", "month"), [("SR3", 202612), ("SR1", 202608), ("ZQ", 202609)])
def test_a_short_rate_future_is_100_less_the_forward_rate(contract, month):
    future = ShortRateFuture(contract, month)
    start, end = reference_period(future)
    first, last = factors([start, end], drawn(4))
    price = 100 - 100 * (first / last - 1) * 360 / (end - start).days
    pnl = revalue([future], MARKET, drawn(4))
    point = contract_specs()[contract].point_value
    assert pnl.base[0] == pytest.approx(point * price[0], rel=1e-12)
    assert pnl.values[0] == pytest.approx(point * (price[1:] - price[0]), abs=1e-7)


def test_a_started_period_is_at_risk_for_the_days_to_come():
    future = ShortRateFuture("ZQ", 202607)
    moves = []
    for day in (date(2026, 6, 30), date(2026, 7, 1), date(2026, 7, 16), date(2026, 7, 31)):
        flat = Market(day, ParCurve(day, [0.25, 2], [0.04, 0.04]), HISTORY)
        moves.append(revalue([future], flat, parallel(1)).values[0, 0])
    assert moves[0] == pytest.approx(moves[1], rel=1e-3)
    assert [move / moves[1] for move in moves[2:]] == pytest.approx([16 / 31, 1 / 31], rel=4e-3)


def test_changes_and_curve_keep_their_own_tenors():
    """A change at 1Y alone must leave the quotes of today's curve at 2Y and beyond where they are."""
    knots, zeros = scenario_zero_rates(CURVE, scenarios([[0.0], [0.01], [0.0]], tenors=[0.5, 1.0, 1.5]))
    assert np.array_equal(knots[:3], [0.25, 0.5, 1.0])
    assert np.array_equal(zeros[:2, 0], zeros[:2, 1])
    assert zeros[2, 1] - zeros[2, 0] == pytest.approx(0.01, rel=0.03)
    assert np.abs(zeros[5:, 1] - zeros[5:, 0]).max() < 2e-4


def test_a_bond_beyond_the_last_tenor():
    """Flat beyond the end: a flat curve quoted to five years is one quoted to thirty."""
    short, long = (
        Market(AS_OF, ParCurve(AS_OF, tenors, [0.04] * len(tenors)), HISTORY)
        for tenors in ([0.5, 2, 5], [0.5, 2, 5, 10, 30])
    )
    values = [revalue([BOND], market, scenarios([[0.0], [0.01]], [0.5, 5.0])).base[0] for market in (short, long)]
    assert values[0] == pytest.approx(values[1], rel=1e-13)


# ------------------------------------------------------------------------------------------------------ basis


def test_basis_is_carried_and_leaves_the_pnl_alone():
    prices = {ZN.symbol: 111.25, NOTE.symbol: 99.5, "SR3 2026-12": 96.0, REPO.symbol: 1.0, "unheld": 5.0}
    bill = TreasuryBill(date(2026, 12, 31))
    prices[bill.symbol] = 98.1
    plain = revalue(PRODUCTS, MARKET, drawn(5))
    priced = revalue(PRODUCTS, Market(AS_OF, CURVE, HISTORY, prices=prices), drawn(5))
    assert np.array_equal(plain.values, priced.values)
    assert (plain.basis == 0.0).all()
    observed = dict(zip(priced.products, priced.base + priced.basis, strict=True))
    assert observed[ZN] == pytest.approx(111_250)
    assert observed[NOTE] == pytest.approx(0.995 + accrued_interest(NOTE, AS_OF))
    assert observed[ShortRateFuture("SR3", 202612)] == pytest.approx(240_000)
    assert observed[bill] == pytest.approx(0.981)
    assert priced.basis[priced.products.index(REPO)] == 0.0
    assert priced.basis[priced.products.index(BOND)] == 0.0


# ---------------------------------------------------------------------------------------------------- pooling

quantities = st.floats(-1e9, 1e9).filter(lambda q: abs(q) > 1e-3)


@given(st.lists(st.tuples(st.integers(0, len(PRODUCTS) - 1), quantities), max_size=12), st.randoms())
def test_pooling_is_linear_and_blind_to_order_splits_and_company(positions, random):
    pnl = revalue(PRODUCTS, MARKET, drawn(4))
    products, amounts = [PRODUCTS[n] for n, _ in positions], [q for _, q in positions]
    pooled = pnl.pooled(products, amounts)
    expected = sum((q * pnl.row(p) for p, q in zip(products, amounts, strict=True)), np.zeros(4))
    assert pooled == pytest.approx(expected, rel=1e-9, abs=1e-3)

    halves = [(p, q / 2) for p, q in zip(products, amounts, strict=True)] * 2
    random.shuffle(halves)
    assert np.array_equal(pnl.pooled([p for p, _ in halves], [q for _, q in halves]), pooled)

    company = revalue(list(dict.fromkeys(products))[::-1], MARKET, drawn(4))
    assert np.array_equal(company.pooled(products, amounts), pooled)
    assert np.array_equal(pnl.pooled(products, [-2 * q for q in amounts]), -2 * pooled)


def test_offsetting_quantities_vanish_exactly():
    pnl = revalue(PRODUCTS, MARKET, drawn(4))
    assert (pnl.pooled([NOTE, NOTE], [1e8, -1e8]) == 0.0).all()
    assert (pnl.pooled([NOTE, ZN, NOTE, NOTE], [1e16, 0.0, 1.0, -1e16]) == pnl.row(NOTE)).all()


def test_pooling_refuses_strangers_and_nonsense():
    pnl = revalue([NOTE, BOND], MARKET, drawn(4))
    with pytest.raises(InputError) as caught:
        pnl.pooled([ZN, REPO, NOTE], [1, 2, 3])
    assert [problem.where for problem in caught.value.problems] == [ZN.symbol, REPO.symbol]
    with pytest.raises(InputError, match="was not revalued"):
        pnl.row(ZN)
    with pytest.raises(InputError) as caught:
        pnl.pooled([NOTE, BOND, NOTE], [float("nan"), float("inf")])
    assert len(caught.value.problems) == 3


# -------------------------------------------------------------------------------------------------- refusals


def test_what_can_be_revalued():
    assert all(can_revalue(product) for product in PRODUCTS)
    assert not any(can_revalue(product) for product in REFUSED)
    assert not can_revalue(Repo(REFUSED[0], date(2026, 7, 1), date(2026, 7, 2), 0.04))


def test_every_product_that_cannot_be_valued_is_listed():
    gone = (
        TreasuryBill(AS_OF),
        TreasuryNote(0.04, date(2026, 5, 15)),
        Repo(NOTE, date(2026, 5, 1), date(2026, 6, 30), 0.04),
        TreasuryFuture("ZN", 202606, BASKET),
        TreasuryFuture("ZN", 202609),
        TreasuryFuture("ZT", 202609, (TreasuryNote(0.04, date(2026, 8, 31)),)),
        ShortRateFuture("SR3", 202603),
        ShortRateFuture("ZQ", 202605),
    )
    with pytest.raises(InputError) as caught:
        revalue([*REFUSED, NOTE, *gone], MARKET, parallel(1))
    found = {problem.where for problem in caught.value.problems}
    projected = TreasuryFRN  # valued all the same, see can_revalue
    assert {product.symbol for product in (*REFUSED, *gone) if not isinstance(product, projected)} <= found
    assert NOTE.symbol not in found
    assert "2026-06-30" in str(caught.value)


def test_the_scenario_that_breaks_the_curve_is_named():
    with pytest.raises(NumericalError, match=r"curve s \+ 1 is that of scenario s.*curve 2: "):
        revalue([NOTE], MARKET, scenarios([[0, 0]] * 5 + [[0, 0.7]]))


@pytest.mark.parametrize(
    ("knots", "zeros", "threads", "said"),
    [
        (np.array([1.0]), np.array([[np.nan]]), 1, "1 zero rates are not finite"),
        (np.array([1.0, 2.0]), np.array([[0.04]]), 1, "do not fit"),
        (np.array([1.0]), np.array([0.04]), 1, "do not fit"),
        (np.empty(0), np.empty((0, 1)), 1, "do not fit"),
        (np.array([1.0]), np.array([[0.04]]), 0, "0 is no number of threads"),
    ],
)
def test_curves_that_cannot_be_used(knots, zeros, threads, said):
    with pytest.raises(InputError, match=said):
        present_values(cash_flow_book([NOTE], AS_OF), knots, zeros, threads=threads)


def test_no_curve_at_all():
    values = present_values(cash_flow_book([NOTE], AS_OF), np.array([1.0]), np.empty((1, 0)))
    assert values.shape == (1, 0)
