"""Running sums and netted books against slow twins, and a look at the machine code: is it still vector code?"""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import treasuries
from crossmargin.curves import discount_factors, year_fractions
from crossmargin.errors import InputError
from crossmargin.kernels import _jit, discounting, rows
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import cash_flow_book, netted_book, netted_values, present_values
from crossmargin.pricing.legs import legs_of, price_growth
from crossmargin.products import (
    STRIPS,
    TIPS,
    Repo,
    ShortRateFuture,
    TreasuryBill,
    TreasuryBond,
    TreasuryFRN,
    TreasuryFuture,
    TreasuryNote,
    cash_flows,
)

AS_OF = date(2026, 6, 30)
KNOTS = np.array([0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 10.0, 20.0])  # the last ones far apart, cash flows beyond the end
NOTE = TreasuryNote(0.0425, date(2035, 2, 15))
BASKET = (TreasuryNote(0.04, date(2033, 5, 31)), TreasuryNote(0.0375, date(2033, 8, 31)))
REAL = ParCurve(AS_OF, [5, 10, 30], [0.015, 0.02, 0.025], real=True)
NOMINAL = ParCurve(AS_OF, [1, 3, 9, 27], [0.04, 0.04, 0.045, 0.05])
GROWTH = price_growth(Market(AS_OF, NOMINAL, History([AS_OF], [1, 2], [[0.04, 0.04]]), real_curve=REAL))
PRODUCTS = (
    TreasuryBill(date(2026, 7, 2)),
    NOTE,
    TreasuryNote(0.03, date(2034, 8, 15)),  # the same schedule, ended earlier
    TreasuryNote(0.0, date(2030, 2, 28)),
    TreasuryBond(0.04625, date(2055, 2, 15)),
    STRIPS(date(2045, 5, 15)),
    TreasuryFRN(0.001, date(2027, 7, 31)),
    TIPS(0.01, date(2034, 7, 15)),
    Repo(NOTE, date(2026, 7, 1), date(2026, 8, 31), 0.0368, 0.99),
    TreasuryFuture("ZN", 202609, BASKET),
    TreasuryFuture("ZN", 202612, BASKET),
    ShortRateFuture("SR3", 202612),
)


def zero_curves(n_curves, low=0.0, high=0.08):
    return np.random.default_rng(8).uniform(low, high, (len(KNOTS), n_curves))


def slow_values(product, zeros):
    """Values [n_curves], every coupon by itself."""
    found = []
    for leg in legs_of(product, AS_OF, growth=GROWTH):
        flows = leg.dated()
        factors = discount_factors(KNOTS, zeros, year_fractions(AS_OF, [day for day, _ in flows]))
        divisor = discount_factors(KNOTS, zeros, year_fractions(AS_OF, [leg.divisor]))[0]
        found.append(np.array([amount for _, amount in flows]) @ factors / divisor + leg.offset)
    return np.min(found, axis=0)


# ------------------------------------------------------------------------------------------------ running sums


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.symbol)
def test_equal_coupons_by_running_sums_are_the_sum_of_all(product):
    zeros = zero_curves(9)
    book = cash_flow_book([product], AS_OF, growth=GROWTH)
    assert present_values(book, KNOTS, zeros)[0] == pytest.approx(slow_values(product, zeros), rel=1e-13)


def test_notes_of_one_schedule_share_their_sums():
    alone = cash_flow_book([NOTE], AS_OF)
    both = cash_flow_book([NOTE, TreasuryNote(0.03, date(2034, 8, 15))], AS_OF)
    assert len(alone.sum_before) == len(both.sum_before) == len(cash_flows(NOTE, AS_OF)) - 1
    assert len(both.flow_line) == 4


def test_company_and_order_change_no_bit():
    zeros = zero_curves(11)
    together = present_values(cash_flow_book(PRODUCTS[::-1], AS_OF, growth=GROWTH), KNOTS, zeros)[::-1]
    for product, row in zip(PRODUCTS, together, strict=True):
        alone = present_values(cash_flow_book([product], AS_OF, growth=GROWTH), KNOTS, zeros)
        assert np.array_equal(alone[0], row)


# ------------------------------------------------------------------------------------------------ netted books

positions = st.lists(st.tuples(st.sampled_from(PRODUCTS), st.floats(-1e8, 1e8)), max_size=15)


def gross(products, quantities, rows):
    return np.abs(np.array(quantities)[:, None] * rows).sum(axis=0) if products else np.ones(rows.shape[1])


@given(positions, st.sampled_from([(0.0, 0.08), (-0.03, 0.02), (0.0, 1.2), (-0.4, 2.0)]))
def test_a_netted_book_is_worth_its_positions(held, between):
    """Tame curves go by the series, wild ones date by date; both are right."""
    products, quantities = [product for product, _ in held], [quantity for _, quantity in held]
    zeros = zero_curves(5, *between)
    rows = np.array([slow_values(product, zeros) for product in products]).reshape(len(products), 5)
    netted = netted_book(products, quantities, AS_OF, knots=KNOTS, growth=GROWTH)
    difference = netted_values(netted, zeros) - np.array(quantities) @ rows
    assert (np.abs(difference) <= 1e-12 * gross(products, quantities, rows) + 1e-6).all()


@pytest.mark.parametrize("n_curves", [1, 7, 8, 255, 257, 600])
def test_neither_threads_nor_cuts_nor_neighbours_change_a_bit(n_curves):
    quantities = np.linspace(-2e6, 3e6, len(PRODUCTS)).tolist()
    netted = netted_book(PRODUCTS, quantities, AS_OF, knots=KNOTS, growth=GROWTH)
    zeros = zero_curves(n_curves)
    zeros[:, ::3] *= 30.0  # steep: date by date, beside tame ones
    whole = netted_values(netted, zeros)
    assert np.array_equal(whole, netted_values(netted, zeros, threads=2))
    one_by_one = [netted_values(netted, zeros[:, curve : curve + 1])[0] for curve in range(min(n_curves, 30))]
    assert whole[:30].tolist() == one_by_one
    assert np.array_equal(whole[3:], netted_values(netted, zeros[:, 3:]))


def test_order_leaves_no_trace_and_opposites_vanish():
    plain = [product for product in PRODUCTS if not isinstance(product, TreasuryFuture | ShortRateFuture)]
    quantities = [1e7 / (n + 3) for n in range(len(plain))]
    there = netted_book(plain, quantities, AS_OF, knots=KNOTS, growth=GROWTH)
    back = netted_book(plain[::-1], quantities[::-1], AS_OF, knots=KNOTS, growth=GROWTH)
    assert np.array_equal(there.amounts, back.amounts)
    both = netted_book(plain * 2, [*quantities, *(-q for q in quantities)], AS_OF, knots=KNOTS, growth=GROWTH)
    assert (netted_values(both, zero_curves(4)) == 0.0).all()


def test_nothing_to_net():
    empty = netted_book([], [], AS_OF, knots=KNOTS)
    assert netted_values(empty, zero_curves(3)).tolist() == [0.0, 0.0, 0.0]
    assert netted_values(empty, zero_curves(3)[:, :0]).shape == (0,)


def test_what_cannot_be_netted_is_refused():
    with pytest.raises(InputError, match="not finite"):
        netted_book([NOTE], [float("nan")], AS_OF, knots=KNOTS)
    with pytest.raises(InputError, match="2 products and 1 quantities"):
        netted_book([NOTE, NOTE], [1.0], AS_OF, knots=KNOTS)
    with pytest.raises(InputError, match="no real yields"):
        netted_book([PRODUCTS[7]], [1.0], AS_OF, knots=KNOTS)
    for knots in ([], [0.0, 1.0], [2.0, 1.0], [1.0, float("nan")]):
        with pytest.raises(InputError, match="not increasing"):
            netted_book([NOTE], [1.0], AS_OF, knots=np.array(knots))
    netted = netted_book([NOTE], [1.0], AS_OF, knots=KNOTS)
    with pytest.raises(InputError, match="do not fit"):
        netted_values(netted, zero_curves(3)[1:])
    for place in range(len(KNOTS)):  # the note pays nothing after the last knots
        for bad in (np.nan, np.inf, -np.inf):
            zeros = zero_curves(3)
            zeros[place, 1] = bad
            with np.errstate(all="ignore"), pytest.raises(InputError, match="1 zero rates are not finite"):
                netted_values(netted, zeros)


# ------------------------------------------------------------------------------------------------ machine code


def llvm_of(kernel):
    fresh = _jit.njit(kernel.signatures[0], **_jit.FLAGS)(kernel.py_func)  # what comes from the cache hides its code
    return fresh, fresh.inspect_llvm(kernel.signatures[0])


def blocks_with(code, pattern):
    return [block for block in re.split(r"\n(?=[\w.]+:)", code) if re.search(pattern, block)]


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("kernel", "least"),
    [
        (rows._set_middle, 14 + 2),
        (rows._discount, 2 * 6),
        (rows._mend, 14),
        (discounting._chain_pieces, 2 * 13),
        (discounting._add_pieces, 14 + 12),
        (rows._value_leg, 1),
    ],
    ids=["middle", "discount", "mend", "chain", "pieces", "leg"],
)
def test_the_loop_over_scenarios_is_vector_code_without_a_call(kernel, least):
    _, code = llvm_of(kernel)
    hot = max(blocks_with(code, r"@llvm\.fma\.v\d+f64"), key=lambda block: block.count("@llvm.fma.v"), default="")
    assert hot.count("@llvm.fma.v") >= least, "the loop over scenarios is no longer vectorised"
    called = set(re.findall(r"call [^@\n]*@([\w.]+)", hot))
    assert all(re.fullmatch(r"llvm\.[\w.]+\.v\d+[fi]64(\.\w+)?", name) for name in called), called
    assert not re.search(r"@llvm\.exp|@exp\b|@numba_exp", code)


@pytest.mark.compiled
def test_running_sums_and_divisions_are_vector_code():
    _, sums = llvm_of(rows._add_running)
    assert re.search(r"fadd <\d+ x double>", sums)
    _, whole = llvm_of(rows.value_rows)
    assert re.search(r"fdiv <\d+ x double>", whole)
    assert not re.search(r"@llvm\.exp|@exp\b|@numba_exp", whole)


@pytest.mark.compiled
def test_multiply_and_add_is_one_instruction():
    fresh, _ = llvm_of(rows._discount)
    code = fresh.inspect_asm(fresh.signatures[0])
    assert len(re.findall(r"\bvfn?m(?:add|sub)\w*pd\b|\bfml[as]\b|\bfn?m(?:add|sub|la|ls)\b", code)) >= 12


# ------------------------------------------------------------------------------------------------- benchmark


@pytest.mark.compiled
def test_the_benchmark_agrees_with_numpy(monkeypatch):
    monkeypatch.setattr(treasuries, "N_BONDS", 60)
    monkeypatch.setattr(treasuries, "N_MANY", 40)
    monkeypatch.setattr(treasuries, "BLOCKS", (16, 40))
    monkeypatch.setattr(treasuries, "RUNS", 1)
    records = list(treasuries.numpy_records())
    assert len(records) == 4
    assert max(record.agreement for record in records) < 1e-12
    assert all(record.ratio > 0 for record in records)


def test_the_benchmark_s_baskets_are_deliverable():
    held = treasuries.futures()
    assert sum(len(future.basket) for future in held) == 249
    assert len({future.contract for future in held}) == 6
