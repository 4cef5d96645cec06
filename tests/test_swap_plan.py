"""The kernel of swaps and the plan that it walks by: its slow twin, steep curves, company, and machine code."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.kernels import swaps as kernels
from crossmargin.pricing.swap_plan import swap_plan
from crossmargin.pricing.swaps import SwapCurves, netted_swap_book, swap_book, swap_values
from crossmargin.products.schedules import Convention
from crossmargin.products.swaps import BasisSwap, FloatingLeg, ForwardRateAgreement, InterestRateSwap, OvernightSwap
from tests.reference import swap_rows_twin as twin
from tests.test_discounting_speed import blocks_with, llvm_of

AS_OF = date(2026, 6, 30)
INDEX = "TERM-SOFR-3M"
KNOTS = np.array([0.25, 1.0, 2.0, 5.0, 10.0, 20.0])
SOFR_LEG = FloatingLeg("SOFR", Convention(3, "act/360", 2), overnight=True)

sides, rates = st.sampled_from(["pay", "receive"]), st.floats(-0.02, 0.1)
starts = st.integers(10, 900).map(lambda days: AS_OF + timedelta(days))
years = st.integers(1, 25)


@st.composite
def swaps(draw):
    side, rate, start = draw(sides), draw(rates), draw(starts)
    end = start + timedelta(365 * draw(years))
    kind = draw(st.sampled_from(["ois", "irs", "basis", "fra"]))
    if kind == "fra":
        return ForwardRateAgreement(side, rate, start, start + timedelta(91), notional=1e6)
    if kind == "basis":
        return BasisSwap(SOFR_LEG, FloatingLeg(INDEX, Convention(3, "act/360")), start, end, notional=1e6)
    return (OvernightSwap if kind == "ois" else InterestRateSwap)(side, rate, start, end, notional=1e6)


def curves_of(n_curves, spread, *, two, seed=0):
    rng = np.random.default_rng(seed)
    zeros = 0.04 + spread * rng.standard_normal((len(KNOTS), n_curves))
    return SwapCurves(KNOTS, zeros, {INDEX: (KNOTS[1:], zeros[1:] + 0.002)} if two else {})


def book_of(held, *, two, quantities=None):
    projections = [INDEX] if two else []
    if quantities is None:
        return swap_book(held, AS_OF, projections=projections)
    return netted_swap_book(held, quantities, AS_OF, projections=projections)


def check(book, curves):
    expected, gross = twin.swap_values(book, curves)
    found = swap_values(book, curves)
    assert (np.abs(found - expected) <= 1e-13 * gross + 1e-300).all()


@pytest.mark.slow_interpreted
@settings(max_examples=25, deadline=None)
@given(st.lists(swaps(), min_size=1, max_size=5), st.sampled_from([0.003, 0.03, 0.3]), st.booleans())
def test_rows_are_those_of_the_slow_twin(held, spread, two):
    """From calm curves, by series, to the steepest, date by date."""
    curves = curves_of(11, spread, two=two)
    used = any(INDEX in str(each) for each in held)
    if two and not used:
        curves = SwapCurves(KNOTS, curves.zeros)
    check(book_of(held, two=two and used), curves)
    check(book_of(held, two=two and used, quantities=[2.5] * len(held)), curves)


@pytest.mark.slow_interpreted
@settings(max_examples=15, deadline=None)
@given(st.lists(swaps(), min_size=2, max_size=6))
def test_company_and_order_change_no_bit(held):
    """A swap has the same bits alone as among others, though they share lines, pieces and slots."""
    curves = SwapCurves(KNOTS, curves_of(9, 0.01, two=False).zeros)
    together = swap_values(book_of(held, two=False), curves)
    assert (swap_values(book_of(held[::-1], two=False), curves)[::-1] == together).all()
    for swap, row in zip(held, together, strict=True):
        assert (swap_values(book_of([swap], two=False), curves)[0] == row).all()


def test_a_payment_that_waits_for_twenty_years_keeps_its_lines():
    """A ratio reads lines far apart: no other line may take their slots meanwhile."""
    once = Convention(0, "act/360", 2)
    start, end = date(2026, 7, 2), date(2046, 7, 2)
    long = OvernightSwap("pay", 0.04, start, end, notional=1e6, fixed=once, floating=once)
    short = [OvernightSwap("pay", 0.03, start + timedelta(7 * n), end, notional=1e6) for n in range(30)]
    book = book_of([long, *short], two=False)
    check(book, curves_of(5, 0.01, two=False))
    slots, n_slots = swap_plan(book, [KNOTS])[7:9]
    assert n_slots <= len(slots) == len(book.line_time)
    few = book_of(short, two=False)
    assert swap_plan(few, [KNOTS])[8] < len(few.line_time) / 2  # what is paid within two days frees its slots


def test_the_plan_is_kept_for_the_next_curves():
    book = book_of([OvernightSwap("pay", 0.03, date(2026, 7, 2), date(2031, 7, 2))], two=False)
    assert swap_plan(book, [KNOTS]) is swap_plan(book, [KNOTS.copy()])
    assert swap_plan(book, [KNOTS]) is not swap_plan(book, [KNOTS[1:]])


@pytest.mark.parametrize("n_curves", [1, 7, 8, 127, 128, 129, 300])
def test_cutting_the_scenarios_changes_no_bit(n_curves):
    held = [OvernightSwap("pay", 0.03, date(2026, 7, 2), date(2031, 7, 2), notional=1e6)]
    curves = SwapCurves(KNOTS, curves_of(300, 0.05, two=False).zeros)
    whole, some = book_of(held, two=False), SwapCurves(KNOTS, curves.zeros[:, :n_curves])
    assert (swap_values(whole, some) == swap_values(whole, curves)[:, :n_curves]).all()


@pytest.mark.compiled
@pytest.mark.parametrize("kernel", [kernels._add_plain, kernels._add_ratios], ids=["plain", "ratios"])
def test_adding_flows_is_vector_code(kernel):
    _, code = llvm_of(kernel)
    assert blocks_with(code, r"@llvm\.fma\.v\d+f64"), "the loop over scenarios is no longer vectorised"
