"""Treasury securities and repo: validation, schedules, cash flows, accrued interest, quotation."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from itertools import pairwise

import attrs
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.products import (
    PRODUCT_KINDS,
    STRIPS,
    TIPS,
    FutureOption,
    Repo,
    ReverseRepo,
    TreasuryBill,
    TreasuryBond,
    TreasuryFRN,
    TreasuryNote,
    accrued_interest,
    cash_flows,
    coupon_dates,
    has_fixed_cash_flows,
    maturity_of,
    remaining_years,
    repayment,
    repo_legs,
    years_between,
)
from crossmargin.products.calendars import add_months, is_month_end

NOTE = TreasuryNote(0.0425, date(2035, 2, 15))
START, END = date(2026, 6, 30), date(2026, 7, 31)
ALL_COUPON = [TreasuryNote, TreasuryBond, TreasuryFRN, TIPS]
ALL_ZERO = [TreasuryBill, STRIPS]

days = st.dates(date(1990, 1, 1), date(2080, 12, 31))
coupons = st.floats(0, 0.16).map(lambda x: round(x * 800) / 800)
month_ends = days.map(lambda day: add_months(day, 0, month_end=True))


@st.composite
def notes(draw):
    """A note or bond with one to sixty coupons left, and a date before its maturity."""
    on = draw(days)
    maturity = on + timedelta(days=draw(st.integers(1, 10950)))
    if draw(st.booleans()):
        maturity = add_months(maturity, 0, month_end=True)
    return draw(st.sampled_from([TreasuryNote, TreasuryBond]))(draw(coupons), maturity), on


@st.composite
def repos(draw, kind=Repo):
    """A repo on a note or bond that outlives it."""
    note, start = draw(notes())
    assume((note.maturity - start).days > 3)
    end = start + timedelta(days=draw(st.integers(1, (note.maturity - start).days - 1)))
    return kind(note, start, end, draw(st.floats(-0.01, 0.2)), draw(st.floats(0.5, 1.5)))


# ------------------------------------------------------------------------------------------------ validation


def _problems(make) -> list[str]:
    with pytest.raises(InputError) as caught:
        make()
    return [problem.where for problem in caught.value.problems]


@pytest.mark.parametrize("kind", [TreasuryNote, TreasuryBond, TIPS])
@pytest.mark.parametrize("coupon", [math.nan, math.inf, -math.inf, -0.01, 1.0, 4.25, "0.04", None, True])
def test_bad_coupon_is_refused(kind, coupon):
    assert _problems(lambda: kind(coupon, date(2035, 2, 15))) == [f"{kind.kind} coupon"]


def test_coupon_in_per_cent_says_what_to_write():
    with pytest.raises(InputError, match=r"write 4\.25 % as 0\.0425"):
        TreasuryNote(4.25, date(2035, 2, 15))


@pytest.mark.parametrize("kind", ALL_COUPON)
@pytest.mark.parametrize("maturity", ["2035-02-15", None, 20350215, datetime(2035, 2, 15)])  # noqa: DTZ001
def test_bad_maturity_is_refused(kind, maturity):
    assert _problems(lambda: kind(0.04, maturity)) == [f"{kind.kind} maturity"]


@pytest.mark.parametrize("kind", ALL_ZERO)
def test_bad_zero_coupon_security_is_refused(kind):
    assert _problems(lambda: kind("soon", cusip=7)) == [f"{kind.kind} maturity", f"{kind.kind} cusip"]


def test_every_wrong_field_is_named_at_once():
    found = _problems(lambda: TreasuryNote(math.nan, "x", issue="y", cusip=None))
    assert found == [f"treasury_note {field}" for field in ("coupon", "maturity", "cusip", "issue")]


@pytest.mark.parametrize("kind", ALL_COUPON)
def test_maturity_must_follow_issue(kind):
    assert _problems(lambda: kind(0.04, date(2030, 1, 31), issue=date(2030, 1, 31))) == [f"{kind.kind} maturity"]
    assert kind(0.04, date(2030, 2, 1), issue=date(2030, 1, 31)).issue == date(2030, 1, 31)


def test_frn_spread_may_be_negative():
    assert TreasuryFRN(-0.00015, date(2027, 1, 31)).symbol == "UST FRN -0.015 2027-01-31"
    assert _problems(lambda: TreasuryFRN(math.nan, date(2027, 1, 31))) == ["treasury_frn spread"]


@pytest.mark.parametrize("kind", [Repo, ReverseRepo])
def test_every_wrong_field_of_a_repo_is_named_at_once(kind):
    found = _problems(lambda: kind("note", END, START, math.nan, -1.0))
    assert found == [f"{kind.kind} {field}" for field in ("collateral", "end", "rate", "price")]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"end": START}, ["repo end"]),
        ({"start": "today"}, ["repo start"]),
        ({"end": None}, ["repo end"]),
        ({"rate": 3.68}, ["repo rate"]),
        ({"price": 0.0}, ["repo price"]),
        ({"price": math.inf}, ["repo price"]),
        ({"price": 99.5}, ["repo price"]),
        ({"collateral": TreasuryBill(END)}, ["repo collateral"]),
        ({"collateral": Repo(NOTE, START, END, 0.03)}, ["repo collateral"]),
    ],
)
def test_one_wrong_field_of_a_repo(change, where):
    good = {"collateral": NOTE, "start": START, "end": END, "rate": 0.0368, "price": 1.0}
    assert _problems(lambda: Repo(**{**good, **change})) == where


def test_products_are_frozen_and_hashable():
    for product in (
        NOTE,
        TreasuryBill(END),
        Repo(NOTE, START, END, 0.03),
        ReverseRepo(NOTE, START, END, 0.03),
    ):
        assert len({product, attrs.evolve(product)}) == 1
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            product.maturity = END


def test_kinds_are_the_class_names_in_snake_case_and_find_the_class():
    assert len(PRODUCT_KINDS) == 27
    one_kind = {kind: product for kind, product in PRODUCT_KINDS.items() if product is not FutureOption}
    assert all(getattr(product, "base_kind", product.kind) == kind for kind, product in one_kind.items())
    assert set(PRODUCT_KINDS) - set(one_kind) == {"future_option", "index_future_option"}
    assert PRODUCT_KINDS["tips"] is TIPS


def test_symbols_tell_products_apart():
    day = date(2036, 5, 15)
    products = [
        TreasuryBill(day),
        STRIPS(day),
        *(kind(0.04, day) for kind in ALL_COUPON),
        TreasuryNote(0.04125, day),
        TreasuryNote(0.04, day, cusip="91282CAA1"),
        TreasuryNote(0.04, date(2036, 5, 16)),
        Repo(NOTE, START, END, 0.03),
        ReverseRepo(NOTE, START, END, 0.03),
        Repo(NOTE, START, END, 0.03, 0.99),
        Repo(NOTE, START, END, 0.031),
        Repo(TreasuryNote(0.04, day), START, END, 0.03),
    ]
    assert len({product.symbol for product in products}) == len(products) == len(set(products))


@pytest.mark.parametrize(
    ("product", "symbol"),
    [
        (TreasuryBill(date(2026, 9, 10)), "UST bill 2026-09-10"),
        (TreasuryNote(0.00625, date(2030, 5, 15), cusip="912828ZQ6"), "UST 0.625 2030-05-15 912828ZQ6"),
        (TreasuryNote(0, date(2030, 5, 15)), "UST 0 2030-05-15"),
        (TreasuryBond(0.1, date(2050, 5, 15)), "UST bond 10 2050-05-15"),
        (TIPS(0.02125, date(2035, 1, 15)), "TIPS 2.125 2035-01-15"),
        (
            Repo(NOTE, START, END, 0.03, 0.99),
            "repo UST 4.25 2035-02-15 2026-06-30/2026-07-31 @0.03 price 0.99",
        ),
        (
            ReverseRepo(TreasuryBill(date(2027, 1, 7)), START, END, 0.03),
            "reverse repo UST bill 2027-01-07 2026-06-30/2026-07-31 @0.03",
        ),
    ],
)
def test_symbols_read_well(product, symbol):
    assert product.symbol == symbol


def test_issue_date_does_not_tell_securities_apart():
    assert TreasuryNote(0.04, END, issue=START) == TreasuryNote(0.04, END)


# ------------------------------------------------------------------------------------------- coupon schedule


def test_month_end_maturity_pays_at_month_ends():
    dates = coupon_dates(date(2028, 2, 29), date(2026, 2, 28))
    assert dates == (date(2026, 8, 31), date(2027, 2, 28), date(2027, 8, 31), date(2028, 2, 29))


def test_february_28_of_a_leap_year_is_no_month_end():
    assert coupon_dates(date(2028, 2, 28), date(2027, 2, 28)) == (date(2027, 8, 28), date(2028, 2, 28))


def test_30_august_is_cut_in_february_and_comes_back():
    dates = coupon_dates(date(2028, 8, 30), date(2026, 2, 28))
    assert dates == (
        date(2026, 8, 30),
        date(2027, 2, 28),
        date(2027, 8, 30),
        date(2028, 2, 29),
        date(2028, 8, 30),
    )


def test_no_dates_from_maturity_on():
    assert coupon_dates(END, END) == coupon_dates(END, date(2030, 1, 1)) == ()


@given(month_ends, days)
def test_all_dates_are_month_ends_when_maturity_is(maturity, after):
    assert all(map(is_month_end, coupon_dates(maturity, after)))


@given(notes())
def test_schedule_laws(case):
    note, on = case
    dates = coupon_dates(note.maturity, on)
    assert list(dates) == sorted(set(dates))
    assert dates[0] > on
    assert dates[-1] == note.maturity
    months = [day.year * 12 + day.month for day in dates]
    assert all(later - earlier == 6 for earlier, later in pairwise(months))
    assert len(dates) == math.ceil(_half_years(on, note.maturity))


def _half_years(on, maturity):
    whole = 0
    while add_months(maturity, -6 * (whole + 1), month_end=is_month_end(maturity)) >= on:
        whole += 1
    return whole + (add_months(maturity, -6 * whole, month_end=is_month_end(maturity)) > on)


def _ql_schedule(ql, maturity, years=11):
    first = add_months(maturity, -12 * years, month_end=is_month_end(maturity))
    return ql.Schedule(
        ql.Date(first.day, first.month, first.year),
        ql.Date(maturity.day, maturity.month, maturity.year),
        ql.Period(6, ql.Months),
        ql.NullCalendar(),
        ql.Unadjusted,
        ql.Unadjusted,
        ql.DateGeneration.Backward,
        is_month_end(maturity),
    )


def test_schedule_agrees_with_quantlib():
    ql = pytest.importorskip("QuantLib")
    for maturity in (
        date(2031, 2, 28),
        date(2032, 2, 29),
        date(2031, 8, 30),
        date(2033, 5, 15),
        date(2030, 11, 30),
    ):
        ours = coupon_dates(maturity, date(2026, 1, 20))
        schedule = _ql_schedule(ql, maturity)
        theirs = [date(d.year(), d.month(), d.dayOfMonth()) for d in schedule]
        assert ours == tuple(day for day in theirs if day > date(2026, 1, 20))


# ------------------------------------------------------------------------------------------------ cash flows


@pytest.mark.parametrize("kind", ALL_ZERO)
def test_zero_coupon_flows(kind):
    product = kind(date(2026, 9, 10))
    assert cash_flows(product, date(2026, 9, 9)) == ((date(2026, 9, 10), 1.0),)
    assert cash_flows(product, date(2026, 9, 10)) == ()


@given(notes())
def test_flows_are_every_coupon_and_the_face(case):
    note, on = case
    flows = cash_flows(note, on)
    assert [day for day, _ in flows] == list(coupon_dates(note.maturity, on))
    assert math.fsum(flow for _, flow in flows) == pytest.approx(1 + note.coupon / 2 * len(flows), rel=1e-14)
    assert cash_flows(note, note.maturity) == ()


def test_no_flow_on_or_before_issue():
    note = TreasuryNote(0.04, date(2031, 5, 15), issue=date(2026, 5, 15))
    assert cash_flows(note, date(2020, 1, 1))[0] == (date(2026, 11, 15), 0.02)
    late = TreasuryNote(0.04, date(2029, 11, 30), issue=date(2024, 12, 2))  # dated on a Saturday, issued on Monday
    assert cash_flows(late, date(2024, 1, 1))[0][0] == date(2025, 5, 31)


@pytest.mark.parametrize("product", [TIPS(0.02, END), TreasuryFRN(0.001, END)])
def test_unknown_flows_are_refused(product):
    assert not has_fixed_cash_flows(product)
    with pytest.raises(InputError, match="not fixed"):
        cash_flows(product, START)
    on_it = Repo(attrs.evolve(product, maturity=date(2040, 1, 31)), START, END, 0.03)
    assert not has_fixed_cash_flows(on_it)
    with pytest.raises(InputError, match="not fixed"):
        cash_flows(on_it, START)


def test_fixed_flows():
    fixed = [
        NOTE,
        TreasuryBond(0.04, END),
        TreasuryBill(END),
        STRIPS(END),
        ReverseRepo(NOTE, START, END, 0.03),
    ]
    assert all(map(has_fixed_cash_flows, fixed))
    assert not has_fixed_cash_flows("note")
    with pytest.raises(InputError, match="'note'"):
        cash_flows("note", START)


# ------------------------------------------------------------------------------------------------------ repo


def test_forward_starting_repo_gives_up_the_coupons_between_its_legs():
    repo = Repo(NOTE, date(2026, 8, 1), date(2027, 2, 15), 0.036, 0.98)
    back = 0.98 * (1 + 0.036 * 198 / 360)
    half = 0.0425 / 2
    assert cash_flows(repo, date(2026, 7, 31)) == (
        (date(2026, 8, 1), 0.98),
        (date(2026, 8, 15), -half),
        (date(2027, 2, 15), pytest.approx(-back - half, rel=1e-15)),
    )


def test_running_repo_owes_the_cash_and_has_the_collateral_back():
    repo = Repo(NOTE, date(2026, 8, 1), date(2027, 2, 15), 0.036, 0.98)
    flows = cash_flows(repo, date(2026, 8, 1))
    assert flows[0] == (date(2027, 2, 15), -repayment(repo))
    assert flows[1:] == cash_flows(NOTE, date(2027, 2, 15))


def test_ended_repo_is_nothing():
    repo = Repo(NOTE, START, END, 0.036)
    assert cash_flows(repo, END) == repo_legs(repo, END) == ()


def test_legs():
    repo = Repo(NOTE, START, END, 0.036, 0.99)
    start, end = repo_legs(repo, date(2026, 1, 1))
    assert (start.name, start.date, start.cash, start.security_face) == ("start", START, 0.99, -1.0)
    assert (end.name, end.date, end.cash, end.security_face) == ("end", END, -repayment(repo), 1.0)
    assert repayment(repo) == pytest.approx(0.99 * (1 + 0.036 * 31 / 360), rel=1e-15)
    mirror = repo_legs(ReverseRepo(NOTE, START, END, 0.036, 0.99), START)
    assert [(leg.name, leg.cash, leg.security_face) for leg in mirror] == [("end", repayment(repo), -1.0)]


@given(repos(), days)
def test_repo_and_reverse_repo_cancel(repo, after):
    other = ReverseRepo(repo.collateral, repo.start, repo.end, repo.rate, repo.price)
    assert cash_flows(other, after) == tuple((day, -flow) for day, flow in cash_flows(repo, after))


@given(repos())
def test_flows_of_a_repo_are_its_legs(repo):
    """The collateral that leaves and returns is worth its own flows; nothing else is in the flows."""
    before = repo.start - timedelta(days=1)
    expected: dict[date, float] = {}
    for leg in repo_legs(repo, before):
        security = [(day, leg.security_face * flow) for day, flow in cash_flows(repo.collateral, leg.date)]
        for day, flow in [(leg.date, leg.cash), *security]:
            expected[day] = expected.get(day, 0.0) + flow
    got = cash_flows(repo, before)
    assert dict(got) == {day: flow for day, flow in expected.items() if flow != 0}
    assert [day for day, _ in got] == sorted(day for day, _ in got)
    assert got[-1][0] == repo.end


@given(repos())
def test_repo_at_no_interest_costs_only_the_coupons_lost(repo):
    free = attrs.evolve(repo, rate=0.0)
    before = free.start - timedelta(days=1)
    lost = sum(flow for day, flow in cash_flows(free.collateral, free.start) if day <= free.end)
    assert math.fsum(flow for _, flow in cash_flows(free, before)) == pytest.approx(-lost, abs=1e-12)


# ----------------------------------------------------------------------------- accrued interest and maturity


@given(notes())
@example((TreasuryNote(0.04, date(2032, 2, 29)), date(2026, 8, 31)))
def test_accrued_is_at_least_zero_and_less_than_a_coupon(case):
    note, on = case
    accrued = accrued_interest(note, on)
    assert 0 <= accrued < max(note.coupon / 2, 1e-300)


@given(notes())
def test_accrued_is_zero_on_every_coupon_date(case):
    note, on = case
    for day in coupon_dates(note.maturity, on)[:5]:
        assert accrued_interest(note, day) == 0.0


@given(notes())
def test_accrued_grows_by_the_same_every_day_of_a_period(case):
    note, on = case
    nearest = coupon_dates(note.maturity, on)[0]
    assume(nearest > on + timedelta(days=2))
    daily = [accrued_interest(note, on + timedelta(days=n)) for n in range(3)]
    assert daily[2] - daily[1] == pytest.approx(daily[1] - daily[0], abs=1e-15)


def test_accrued_before_issue_and_after_maturity_is_zero():
    note = TreasuryNote(0.04, date(2031, 5, 15), issue=date(2026, 5, 18))
    assert accrued_interest(note, date(2026, 5, 17)) == 0.0
    assert accrued_interest(note, date(2026, 5, 18)) == pytest.approx(0.02 * 3 / 184)
    assert accrued_interest(note, date(2031, 5, 15)) == accrued_interest(note, date(2033, 1, 1)) == 0.0


def test_maturity_of_a_repo_is_that_of_its_collateral():
    assert maturity_of(Repo(NOTE, START, END, 0.03)) == maturity_of(NOTE) == date(2035, 2, 15)


@pytest.mark.parametrize(
    ("on", "maturity", "years"),
    [
        (date(2026, 6, 30), date(2027, 6, 30), 1.0),
        (date(2027, 6, 30), date(2028, 6, 30), 1.0),  # across a leap day
        (date(2027, 2, 28), date(2028, 2, 29), 1.0),
        (date(2024, 2, 29), date(2025, 2, 28), 365 / 366),
        (date(2026, 6, 30), date(2027, 7, 1), 1 + 1 / 365),
        (date(2026, 6, 30), date(2027, 6, 29), 364 / 365),
        (date(2026, 6, 30), date(2026, 6, 30), 0.0),
        (date(2026, 7, 1), date(2026, 6, 30), -1 / 365),
        (date(2027, 6, 30), date(2026, 6, 30), -1.0),
    ],
)
def test_remaining_years(on, maturity, years):
    assert remaining_years(TreasuryBill(maturity), on) == pytest.approx(years, abs=1e-12)


@given(days, days)
def test_years_grow_with_time(a, b):
    assert years_between(a, b + timedelta(days=1)) >= years_between(a, b) - 1e-12
    assert abs(years_between(a, b) - (b - a).days / 365.25) < 0.01
    assert years_between(a, a) == 0.0
