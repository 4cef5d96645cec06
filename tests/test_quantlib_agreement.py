"""Full repricing agrees with QuantLib, security by security, to 1e-9 relative.

QuantLib builds its own schedules, cash flows and curve. Its discount curve has nodes on whole days, ours on
half-years that fall between days; log discount factors are linear between nodes, so a node on the day before
and one on the day after each of ours give the very same curve on every day.
"""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta

import numpy as np
import pytest
from attrs import evolve

from benchmarks import treasuries
from crossmargin.curves import discount_factors, year_fractions
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import cash_flow_book, present_values, revalue, scenario_zero_rates
from crossmargin.products import (
    STRIPS,
    TreasuryBill,
    TreasuryBond,
    TreasuryFuture,
    TreasuryNote,
    conversion_factor,
    delivery_date,
)
from crossmargin.scenarios import ScenarioSet, ScenarioSpec

ql = pytest.importorskip("QuantLib")

RELATIVE = 1e-9
TENORS = np.array([1 / 12, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0])
PAR = np.array([4.37, 4.33, 4.29, 4.06, 3.94, 3.91, 4.02, 4.14, 4.27, 4.63, 4.59]) / 100
AS_OF = date(2025, 3, 13)


def scenario_set(n_scenarios):
    """Level, slope and curvature moves, from a quiet day to a crisis."""
    rng = np.random.default_rng(20)
    level, slope, hump = rng.standard_t(3, (3, n_scenarios)) * np.array([[25e-4], [10e-4], [5e-4]])
    term = TENORS[:, None]
    shifts = level + slope * (term / 15 - 1) + hump * term / 5 * np.exp(1 - term / 5)
    return ScenarioSet(ScenarioSpec("historical", 3, 10), TENORS, np.clip(shifts, -0.03, 0.03))


def market(as_of):
    return Market(as_of, ParCurve(as_of, TENORS, PAR), History([as_of], [1, 2], [[0.04, 0.04]]))


def ql_date(day):
    return ql.Date(day.day, day.month, day.year)


def ql_curve(as_of, knots, zeros):
    """QuantLib's log-linear discount curve through our exponents at the days around each knot."""
    around = {int(np.floor(365 * knot)) + n for knot in knots for n in (0, 1)}
    days = [0, *sorted(around), 365 * 45]  # the last node carries the flat zero rate beyond the last knot
    exponents = np.interp(np.array(days) / 365, [0.0, *knots], [0.0, *(zeros * knots)])
    exponents[-1] = zeros[-1] * 45
    exponents[-2] = zeros[-1] * days[-2] / 365 if days[-2] / 365 > knots[-1] else exponents[-2]
    nodes = [ql_date(as_of + timedelta(days=day)) for day in days]
    return ql.DiscountCurve(nodes, np.exp(-exponents).tolist(), ql.Actual365Fixed())


def ql_schedule(start, maturity):
    end_of_month = (maturity + timedelta(days=1)).day == 1
    every_six_months = (ql.Period(ql.Semiannual), ql.NullCalendar(), ql.Unadjusted, ql.Unadjusted)
    return ql.Schedule(start, ql_date(maturity), *every_six_months, ql.DateGeneration.Backward, end_of_month)


def ql_bond(product, issue):
    """QuantLib's own bond of 100 face, from terms alone."""
    if isinstance(product, TreasuryBill | STRIPS):
        return ql.ZeroCouponBond(
            0, ql.NullCalendar(), 100.0, ql_date(product.maturity), ql.Unadjusted, 100.0, ql_date(issue)
        )
    long_begun = ql_schedule(ql.Date(1, 1, 1970), product.maturity)
    dated = max(day for day in long_begun if day <= ql_date(issue))  # the regular period that holds the issue
    schedule = ql_schedule(dated, product.maturity)
    day_count = ql.ActualActual(ql.ActualActual.ISMA, schedule)
    return ql.FixedRateBond(0, 100.0, schedule, [product.coupon], day_count, ql.Unadjusted, 100.0)


def ql_values(products, issues, as_of, curves):
    """QuantLib's NPV per 1 USD of face [n_products, n_curves]."""
    ql.Settings.instance().evaluationDate = ql_date(as_of)
    handle = ql.RelinkableYieldTermStructureHandle()
    engine = ql.DiscountingBondEngine(handle)
    bonds = [ql_bond(product, issue) for product, issue in zip(products, issues, strict=True)]
    for bond in bonds:
        bond.setPricingEngine(engine)
    columns = []
    for curve in curves:
        handle.linkTo(curve)
        columns.append([bond.NPV() / 100 for bond in bonds])
    return np.array(columns).T


def check(products, issues, as_of, n_scenarios):
    shifts = scenario_set(n_scenarios)
    pnl = revalue(products, market(as_of), shifts)
    knots, zeros = scenario_zero_rates(market(as_of).curve, shifts)
    curves = [ql_curve(as_of, knots, zeros[:, n]) for n in range(n_scenarios + 1)]
    theirs = ql_values(pnl.products, issues, as_of, curves)
    ours = pnl.values + pnl.base[:, None]
    assert pnl.base == pytest.approx(theirs[:, 0], rel=RELATIVE, abs=0)
    assert np.max(np.abs(ours / theirs[:, 1:] - 1)) < RELATIVE
    assert pnl.values == pytest.approx(theirs[:, 1:] - theirs[:, :1], rel=RELATIVE, abs=1e-12)


def made_up():
    """Notes and bonds on awkward days: month ends, leap days, coupon dates on and next to the as-of date."""
    terms = [
        (0.0425, date(2026, 11, 30), date(2024, 11, 30)),
        (0.04, date(2028, 2, 29), date(2023, 2, 28)),
        (0.03875, date(2030, 8, 31), date(2023, 8, 31)),
        (0.0, date(2029, 3, 13), date(2022, 3, 13)),
        (0.05, date(2029, 9, 13), date(2022, 9, 13)),
        (0.05, date(2029, 9, 14), date(2022, 9, 14)),
        (0.05, date(2029, 9, 12), date(2022, 9, 12)),
        (0.0125, date(2031, 8, 15), date(2021, 8, 15)),
        (0.06, date(2025, 3, 14), date(2020, 3, 14)),
        (0.06, date(2025, 3, 31), date(2020, 3, 31)),
        (0.045, date(2034, 11, 15), date(2024, 11, 15)),
    ]
    notes = [(TreasuryNote(coupon, maturity, issue=issue), issue) for coupon, maturity, issue in terms]
    bonds = [
        (TreasuryBond(0.04625, date(2055, 2, 15), issue=date(2025, 2, 15)), date(2025, 2, 15)),
        (TreasuryBond(0.0475, date(2045, 2, 28), issue=date(2025, 2, 28)), date(2025, 2, 28)),
        (TreasuryBond(0.03, date(2057, 8, 31), issue=date(2024, 8, 31)), date(2024, 8, 31)),
    ]
    zeros = [
        (TreasuryBill(date(2025, 3, 14)), AS_OF),
        (TreasuryBill(date(2025, 9, 11)), AS_OF),
        (STRIPS(date(2054, 11, 15)), AS_OF),
    ]
    return zip(*notes, *bonds, *zeros, strict=True)


def test_made_up_securities():
    products, issues = made_up()
    check(products, issues, AS_OF, 40)


@pytest.mark.compiled
def test_every_nominal_security_of_the_master(shared):
    """All 252 notes and bonds with a nominal coupon, each with QuantLib's own schedule."""
    path = shared / "data" / "reference" / "ust_security_master_2025-03-13.csv"
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["inflation_indexed"] != "Yes"]
    assert len(rows) == 252
    products, issues = [], []
    for row in rows:
        issue, maturity = (date.fromisoformat(row[name]) for name in ("issue_date", "maturity_date"))
        kind = TreasuryBond if float(row["orig_maturity_years"]) > 11 else TreasuryNote
        products.append(kind(float(row["coupon_pct"]) / 100, maturity, issue=issue, cusip=row["cusip"]))
        issues.append(issue)
    check(products, issues, AS_OF, 60)


def test_a_treasury_future_is_quantlibs_cheapest_forward():
    """QuantLib's forward clean prices over our conversion factors; the smallest is the future."""
    basket = (
        TreasuryNote(0.04, date(2032, 1, 31)),
        TreasuryNote(0.04125, date(2032, 2, 29)),
        TreasuryNote(0.0275, date(2032, 8, 15)),
        TreasuryNote(0.0425, date(2031, 12, 31)),
    )
    future = TreasuryFuture("ZN", 202506, basket)
    shifts = scenario_set(30)
    pnl = revalue([future], market(AS_OF), shifts)
    knots, zeros = scenario_zero_rates(market(AS_OF).curve, shifts)
    delivery = delivery_date(future)
    ql.Settings.instance().evaluationDate = ql_date(AS_OF)
    prices = []
    for n in range(31):
        curve = ql_curve(AS_OF, knots, zeros[:, n])
        forwards = []
        for note in basket:
            bond = ql_bond(note, date(2020, 1, 1))
            flows = [flow for flow in bond.cashflows() if flow.date() > ql_date(delivery)]
            dirty = sum(flow.amount() * curve.discount(flow.date()) for flow in flows)
            clean = dirty / curve.discount(ql_date(delivery)) - bond.accruedAmount(ql_date(delivery))
            forwards.append(clean / conversion_factor("ZN", 202506, note.coupon, note.maturity))
        prices.append(1000 * min(forwards))
    ours = np.concatenate([pnl.base, pnl.base + pnl.values[0]])
    assert ours == pytest.approx(prices, rel=RELATIVE, abs=0)


def test_the_curves_agree_on_every_day():
    knots, zeros = scenario_zero_rates(market(AS_OF).curve, scenario_set(3))
    days = [AS_OF + timedelta(days=n) for n in range(0, 365 * 44, 13)]
    ours = discount_factors(knots, zeros, year_fractions(AS_OF, days))
    for n in range(4):
        curve = ql_curve(AS_OF, knots, zeros[:, n])
        assert ours[:, n] == pytest.approx([curve.discount(ql_date(day)) for day in days], rel=1e-12)


def test_knots_on_whole_days_need_no_trick():
    """QuantLib's log-linear curve through the very same nodes."""
    days = np.array([91, 182, 365, 730, 1826, 3652, 10957, 16000])
    knots, rates = days / 365, np.linspace(0.04, 0.05, len(days))
    products, issues = made_up()
    nodes = [ql_date(AS_OF), *(ql_date(AS_OF + timedelta(days=int(day))) for day in days)]
    factors = [1.0, *np.exp(-rates * knots)]
    curve = ql.DiscountCurve(nodes, factors, ql.Actual365Fixed())
    ours = present_values(cash_flow_book(products, AS_OF), knots, rates[:, None])
    assert ours == pytest.approx(ql_values(products, issues, AS_OF, [curve]), rel=1e-11)


@pytest.mark.compiled
def test_the_benchmark_agrees_with_its_peer(monkeypatch):
    monkeypatch.setattr(treasuries, "N_TREASURIES", 12)
    monkeypatch.setattr(treasuries, "N_CURVES", 3)
    for record in treasuries.records():
        assert record.agrees
        assert record.agreement < 1e-12
        assert record.ratio == record.peer_s / record.ours_s
        assert record.ours_min_s <= record.ours_s <= record.ours_max_s
        assert evolve(record, agreement=2e-9).ratio is None
        assert "no ratio" in evolve(record, agreement=np.nan).text()
        assert json.loads(json.dumps(record.to_dict()))["ratio"] == record.ratio
