"""Futures: contract terms, dates, deliverable baskets, conversion factors."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from datetime import date
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.products import (
    TIPS,
    IndexFuture,
    ShortRateFuture,
    TreasuryBill,
    TreasuryBond,
    TreasuryFuture,
    TreasuryNote,
    contract_spec,
    contract_specs,
    conversion_factor,
    deliverable_basket,
    delivery_date,
    is_business_day,
    last_trading_day,
    reference_period,
)
from crossmargin.products.futures import reopenings
from crossmargin.products.lifetime import expiry_of

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared"
CASES = SHARED / "cases" / "treasury_futures.jsonl"
MASTER = SHARED / "data" / "reference" / "ust_security_master_2025-03-13.csv"
SPECS = SHARED / "data" / "reference" / "futures_contract_specs_lean.csv"
TREASURY = ["ZT", "Z3N", "ZF", "ZN", "TN", "TWE", "ZB", "UB"]
SHORT = ["ZQ", "SR1", "SR3"]
INDEX = ["ES", "MES", "NQ", "RTY", "YM", "VX"]
NOTE = TreasuryNote(0.04, date(2033, 5, 15), issue=date(2023, 5, 15))


def _problems(make) -> list[str]:
    with pytest.raises(InputError) as caught:
        make()
    return [problem.where for problem in caught.value.problems]


# ------------------------------------------------------------------------------------------------ validation


@pytest.mark.parametrize("month", [202601, 202600, 202613, 26, "202609", 202609.0, None, True, -202609, 999909])
def test_bad_delivery_month(month):
    assert _problems(lambda: TreasuryFuture("ZN", month)) == ["treasury_future month"]


def test_month_outside_the_cycle_says_which_months_there_are():
    with pytest.raises(InputError, match="contract months are 3, 6, 9, 12"):
        TreasuryFuture("ZN", 202608)


@pytest.mark.parametrize(
    ("contract", "hint"),
    [("zn", "'ZN'"), ("ZNN", "'ZN'"), ("SR3", "Known|mean"), (None, "Known"), ("", "Known")],
)
def test_unknown_contract_gets_a_suggestion(contract, hint):
    with pytest.raises(InputError, match=hint):
        TreasuryFuture(contract, 202609)


def test_everything_wrong_is_said_at_once():
    basket = (NOTE, TreasuryBill(date(2030, 1, 3)), "note")
    assert _problems(lambda: TreasuryFuture("XX", 1, basket)) == [
        "treasury_future contract",
        "treasury_future month",
        "treasury_future basket, member 1",
        "treasury_future basket, member 2",
    ]


@pytest.mark.parametrize("basket", [None, 7, NOTE])
def test_basket_that_is_no_basket(basket):
    assert _problems(lambda: TreasuryFuture("ZN", 202609, basket)) == ["treasury_future basket"]


def test_basket_may_be_empty_or_a_list():
    assert TreasuryFuture("ZN", 202609).basket == ()
    assert hash(TreasuryFuture("ZN", 202609, [NOTE])) == hash(TreasuryFuture("ZN", 202609, (NOTE,)))


def test_short_rate_future_is_checked():
    assert _problems(lambda: ShortRateFuture("ZN", 0)) == [
        "short_rate_future contract",
        "short_rate_future month",
    ]
    assert ShortRateFuture("SR3", 202607).symbol == "SR3 2026-07"  # a serial month


def test_symbols():
    future = TreasuryFuture("Z3N", 202612, (NOTE,))
    assert future.symbol == "Z3N 2026-12"
    assert future.kind == "treasury_future"
    assert ShortRateFuture("ZQ", 202601).symbol == "ZQ 2026-01"
    assert attrs.evolve(future) == future


# --------------------------------------------------------------------------------------------- terms on file


def test_contracts_are_those_of_the_library():
    specs = contract_specs()
    assert set(specs) == {*TREASURY, *SHORT, *INDEX}
    assert specs is contract_specs()
    with pytest.raises(TypeError):
        specs["ZN"] = specs["ZB"]  # read-only


@pytest.mark.parametrize("code", [*TREASURY, *SHORT, *INDEX])
def test_every_group_of_terms_is_cited_and_graded(code):
    spec = contract_specs()[code]
    parts = ["economics", "dates"] + (["basket"] if code in TREASURY else [])
    assert [citation.part for citation in spec.citations] == parts
    assert {citation.grade for citation in spec.citations} <= {"rule", "disclosure"}
    assert all(citation.url.startswith("https://") and citation.locator for citation in spec.citations)
    assert (spec.grade is not None) is (code in TREASURY)
    assert (spec.last_delivery is not None) is (code in TREASURY)
    assert bool(spec.period) is (code not in TREASURY)
    assert bool(spec.index) is (code in INDEX)


@pytest.mark.parametrize(
    ("code", "face", "tick_value"),
    [
        ("ZT", 200_000, 7.8125),
        ("Z3N", 200_000, 7.8125),
        ("ZF", 100_000, 7.8125),
        ("ZN", 100_000, 15.625),
        ("TN", 100_000, 15.625),
        ("TWE", 100_000, 31.25),
        ("ZB", 100_000, 31.25),
        ("UB", 100_000, 31.25),
        ("ZQ", 5_000_000, 20.835),
        ("SR1", 5_000_000, 20.835),
        ("SR3", 1_000_000, 12.5),
    ],
)
def test_face_and_tick_value(code, face, tick_value):
    spec = contract_specs()[code]
    assert spec.face == face
    assert spec.tick * spec.point_value == pytest.approx(tick_value, abs=1e-12)
    if code in TREASURY:
        assert spec.point_value == face / 100


@pytest.mark.parametrize(("code", "usd", "months"), [("ZQ", 41.67, 1), ("SR1", 41.67, 1), ("SR3", 25.0, 3)])
def test_basis_point_of_a_short_rate_future_is_its_face_times_its_time(code, usd, months):
    spec = contract_specs()[code]
    assert spec.basis_point_value == pytest.approx(usd, abs=1e-12)
    assert spec.face * 0.0001 * months / 12 == pytest.approx(usd, abs=0.005)


@pytest.mark.skipif(not SPECS.exists(), reason="the shared contract-specification table is absent")
def test_multipliers_and_ticks_agree_with_a_public_table():
    with SPECS.open() as lines:
        rows = {row["symbol"]: row for row in csv.DictReader(lines)}
    for code in {*TREASURY, *INDEX} & set(rows):
        spec = contract_specs()[code]
        assert float(rows[code]["contract_multiplier"]) == spec.point_value
        assert float(rows[code]["minimum_price_variation"]) == spec.tick


# ----------------------------------------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("contract", "month", "settles"),
    [
        ("ES", 202006, date(2020, 6, 19)),
        ("YM", 202503, date(2025, 3, 21)),
        ("VX", 202003, date(2020, 3, 18)),
        ("VX", 202503, date(2025, 3, 18)),  # the options of April 2025 expire on the Thursday before Good Friday
        ("VX", 202512, date(2025, 12, 17)),
    ],
)
def test_settlement_of_index_futures(contract, month, settles):
    assert expiry_of(IndexFuture(contract, month)) == settles


def test_an_index_future_knows_its_index_and_its_multiplier():
    future = IndexFuture("NQ", 202612)
    assert (future.symbol, future.underlying, future.multiplier) == ("NQ 2026-12", "NDX", 20.0)


@pytest.mark.parametrize(("contract", "month"), [("ES", 202607), ("ZN", 202609), ("es", 202609), ("VX", 0)])
def test_index_futures_that_are_not_listed(contract, month):
    with pytest.raises(InputError):
        IndexFuture(contract, month)


@pytest.mark.parametrize(
    ("contract", "month", "trading", "delivery"),
    [
        ("ZN", 202503, date(2025, 3, 20), date(2025, 3, 31)),
        ("UB", 202506, date(2025, 6, 18), date(2025, 6, 30)),  # over Juneteenth
        ("ZT", 202503, date(2025, 3, 31), date(2025, 4, 3)),
        ("ZF", 202506, date(2025, 6, 30), date(2025, 7, 3)),
        ("Z3N", 202512, date(2025, 12, 31), date(2026, 1, 6)),  # over New Year
        ("ZB", 202403, date(2024, 3, 19), date(2024, 3, 28)),  # month ends on Good Friday
    ],
)
def test_treasury_dates(contract, month, trading, delivery):
    future = TreasuryFuture(contract, month)
    assert last_trading_day(future) == trading
    assert delivery_date(future) == delivery


@pytest.mark.parametrize(
    ("contract", "month", "trading", "period"),
    [
        ("ZQ", 202602, date(2026, 2, 27), (date(2026, 2, 1), date(2026, 3, 1))),
        ("SR1", 202402, date(2024, 2, 29), (date(2024, 2, 1), date(2024, 3, 1))),
        ("SR1", 202612, date(2026, 12, 31), (date(2026, 12, 1), date(2027, 1, 1))),
        ("SR3", 202512, date(2026, 3, 17), (date(2025, 12, 17), date(2026, 3, 18))),
        ("SR3", 202403, date(2024, 6, 18), (date(2024, 3, 20), date(2024, 6, 19))),  # ends on Juneteenth
    ],
)
def test_short_rate_dates(contract, month, trading, period):
    future = ShortRateFuture(contract, month)
    assert last_trading_day(future) == trading
    assert reference_period(future) == period


@given(st.sampled_from(TREASURY), st.integers(1990, 2060), st.sampled_from([3, 6, 9, 12]))
def test_trading_ends_before_delivery_and_both_on_business_days(contract, year, month):
    future = TreasuryFuture(contract, year * 100 + month)
    trading, delivery = last_trading_day(future), delivery_date(future)
    assert trading < delivery
    assert is_business_day(trading)
    assert is_business_day(delivery)
    assert trading.month == month


@given(st.integers(1990, 2060), st.integers(1, 9))
def test_reference_quarters_join(year, month):
    assert (
        reference_period(ShortRateFuture("SR3", year * 100 + month))[1]
        == (reference_period(ShortRateFuture("SR3", year * 100 + month + 3))[0])
    )


# ---------------------------------------------------------------------------------------- conversion factors


@pytest.mark.skipif(not CASES.exists(), reason="the shared worked cases are absent")
def test_every_published_conversion_factor_to_four_decimals():
    cases = [json.loads(line) for line in CASES.read_text().splitlines()]
    assert len(cases) >= 600
    wrong = []
    for case in cases:
        i = case["inputs"]
        maturity = date.fromisoformat(i["maturity_date"])
        got = conversion_factor(i["contract"], i["delivery_month"], i["coupon_pct"] / 100, maturity)
        if abs(got - case["expected"]["conversion_factor"]) > case["tolerance"]["abs"]:
            wrong.append(case["id"])
    assert wrong == []


@given(st.sampled_from(TREASURY), st.integers(1, 359))
def test_six_per_cent_coupon_is_worth_par(contract, months):
    year, month0 = divmod(2026 * 12 + 8 + months, 12)
    maturity = date(year, month0 + 1, 15)
    if months >= contract_specs()[contract].grade.rounding_months:
        # within a coupon period the price is clean, so a fraction of a coupon keeps it near par, not on it
        assert conversion_factor(contract, 202609, 0.06, maturity) == pytest.approx(1.0, abs=2e-4)


@given(st.sampled_from(TREASURY), st.floats(0, 0.15), st.integers(1, 60))
def test_factor_rises_with_the_coupon_and_is_a_price(contract, coupon, half_years):
    maturity = date(2026 + (half_years + 1) // 2, 3 if half_years % 2 else 9, 15)
    low = conversion_factor(contract, 202609, coupon, maturity)
    assert 0 < low <= conversion_factor(contract, 202609, coupon + 0.01, maturity)
    whole = sum(coupon / 2 / 1.03**k for k in range(1, half_years + 1)) + 1.03**-half_years
    assert low == pytest.approx(whole, abs=5.1e-5)


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: conversion_factor("ZQ", 202609, 0.04, NOTE.maturity), ["treasury_future contract"]),
        (lambda: conversion_factor("ZN", 202608, 0.04, NOTE.maturity), ["treasury_future month"]),
        (lambda: conversion_factor("ZN", 202609, math.nan, "x"), ["coupon", "maturity"]),
        (lambda: conversion_factor("ZN", 202609, 4.0, date(2026, 9, 15)), ["coupon", "maturity"]),
        (lambda: conversion_factor("ZN", 202609, 0.04, date(2026, 11, 30)), ["maturity"]),
    ],
)
def test_bad_factor_input(call, where):
    assert _problems(call) == where


# -------------------------------------------------------------------------------------------------- baskets


def _master():
    with MASTER.open() as lines:
        for row in csv.DictReader(lines):
            if row["inflation_indexed"] == "Yes":
                kind = TIPS
            else:
                kind = TreasuryNote if float(row["orig_maturity_years"]) < 10.5 else TreasuryBond
            yield kind(
                float(row["coupon_pct"]) / 100,
                date.fromisoformat(row["maturity_date"]),
                issue=date.fromisoformat(row["issue_date"]),
                cusip=row["cusip"],
            )


@pytest.mark.skipif(not (MASTER.exists() and CASES.exists()), reason="the shared security master is absent")
def test_every_published_deliverable_is_in_its_basket():
    master = list(_master())
    published = defaultdict(set)
    for line in CASES.read_text().splitlines():
        case = json.loads(line)
        key = case["inputs"]["contract"], case["inputs"]["delivery_month"]
        published[key].add(case["note"].removeprefix("CUSIP ").upper())
    missing = {
        key: cusips - {security.cusip for security in deliverable_basket(*key, master)}
        for key, cusips in published.items()
    }
    assert {key: cusips for key, cusips in missing.items() if cusips} == {}


@pytest.mark.skipif(not MASTER.exists(), reason="the shared security master is absent")
def test_baskets_of_june_2025_have_the_published_sizes():
    master = list(_master())
    sizes = {contract: len(deliverable_basket(contract, 202506, master)) for contract in TREASURY}
    assert sizes == {"ZT": 8, "Z3N": 9, "ZF": 7, "ZN": 9, "TN": 2, "TWE": 6, "ZB": 59, "UB": 19}


def _note(maturity, issue=None, coupon=0.04):
    return TreasuryNote(coupon, maturity, issue=issue)


def test_remaining_term_is_counted_in_months_from_the_first_of_the_month():
    edges = [date(2028, 5, 31), date(2028, 6, 1), date(2028, 6, 30), date(2028, 9, 30), date(2028, 10, 1)]
    notes = [_note(day, date(2026, 6, 30)) for day in edges]
    basket = deliverable_basket("ZT", 202609, notes)
    assert [note.maturity for note in basket] == [date(2028, 6, 1), date(2028, 6, 30), date(2028, 9, 30)]


@pytest.mark.parametrize(
    ("contract", "first", "last"),
    [
        ("ZN", date(2033, 3, 1), date(2034, 8, 31)),  # 6 years 6 months to under 8 years
        ("TN", date(2036, 2, 1), date(2036, 9, 30)),
    ],
)
def test_note_windows_are_closed(contract, first, last):
    inside = [_note(first), _note(last)]
    outside = [_note(date.fromordinal(first.toordinal() - 1)), _note(date.fromordinal(last.toordinal() + 1))]
    assert deliverable_basket(contract, 202609, [*outside, *inside]) == tuple(inside)


@pytest.mark.parametrize(
    ("contract", "first", "last"),
    [
        ("TWE", date(2045, 11, 15), date(2046, 7, 31)),
        ("ZB", date(2041, 9, 1), date(2051, 8, 31)),
        ("UB", date(2051, 9, 1), date(2056, 8, 15)),
    ],
)
def test_bond_windows_are_closed(contract, first, last):
    inside = [TreasuryBond(0.04, first), TreasuryBond(0.04, last)]
    others = [_note(first), TIPS(0.01, first), TreasuryBill(date(2027, 1, 7)), "bond"]
    too_short = TreasuryBond(0.04, date(first.year, first.month, 1).replace(year=first.year - 1))
    assert deliverable_basket(contract, 202609, [*others, too_short, *inside]) == tuple(inside)


def test_original_term_over_five_years_and_a_quarter_is_not_for_the_five_year():
    good = _note(date(2031, 5, 31), date(2026, 2, 28))
    bad = _note(date(2031, 6, 1), date(2026, 2, 28))
    seven = _note(date(2031, 5, 31), date(2024, 5, 31))
    assert deliverable_basket("ZF", 202609, [bad, seven, good]) == (good,)


def test_seven_years_from_28_february_end_on_29_february():
    note = _note(date(2032, 2, 29), date(2025, 2, 28))
    assert deliverable_basket("Z3N", 202903, [note]) == (note,)


def test_issue_on_the_last_delivery_day_comes_too_late():
    last = delivery_date(TreasuryFuture("ZF", 202609))
    early = _note(date(2031, 9, 30), date.fromordinal(last.toordinal() - 1))
    late = _note(date(2031, 9, 30), last, coupon=0.05)
    assert deliverable_basket("ZF", 202609, [late, early]) == (early,)


def test_reopened_seven_year_note_counts_as_a_five_year_note():
    (jan_2027, feb_2030) = reopenings()
    for reopening, contract, month in ((jan_2027, "ZT", 202503), (feb_2030, "ZF", 202503)):
        issue = reopening.maturity.replace(year=reopening.maturity.year - 7)
        note = TreasuryNote(reopening.coupon, reopening.maturity, issue=issue, cusip=reopening.cusip)
        assert deliverable_basket(contract, month, [note]) == (note,)
        assert deliverable_basket(contract, month, [attrs.evolve(note, cusip="")])
        assert not deliverable_basket(contract, month, [attrs.evolve(note, cusip="912828XXX")])
        assert not deliverable_basket(contract, month, [attrs.evolve(note, coupon=0.0123)])


def test_missing_issue_dates_are_all_named_where_they_decide():
    notes = [_note(date(2028, 7, 31)), _note(date(2028, 8, 31)), _note(date(2035, 8, 31))]
    assert len(_problems(lambda: deliverable_basket("ZT", 202609, notes))) == 2
    assert deliverable_basket("ZN", 202609, [_note(date(2033, 8, 31))])


def test_basket_of_nothing_and_of_a_wrong_contract():
    assert deliverable_basket("ZN", 202609, []) == ()
    assert _problems(lambda: deliverable_basket("SR3", 202609, [])) == ["treasury_future contract"]


def test_spec_of_a_future():
    assert contract_spec(TreasuryFuture("ZN", 202609)).code == "ZN"
    assert contract_spec(ShortRateFuture("SR1", 202609)).code == "SR1"
