"""Swaps as data: schedules worked by hand, names, and everything that is refused."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from attrs import evolve

from crossmargin.errors import InputError
from crossmargin.products.schedules import (
    OVERNIGHT,
    QUARTERLY,
    SEMIANNUAL,
    Convention,
    adjusted,
    schedule,
    year_fraction,
)
from crossmargin.products.swaps import (
    BasisSwap,
    FixedLeg,
    FloatingLeg,
    ForwardRateAgreement,
    InterestRateSwap,
    OvernightSwap,
    indices_of,
    legs_of_swap,
    notional_on,
)

START, END = date(2026, 7, 2), date(2031, 7, 2)
OIS = OvernightSwap("pay", 0.04, START, END, notional=1e6)
IRS = InterestRateSwap("receive", 0.04, START, END)
TERM = FloatingLeg("TERM-SOFR-3M", QUARTERLY)
FRA = ForwardRateAgreement("pay", 0.04, date(2026, 10, 1), date(2027, 1, 4))


def refused(make):
    with pytest.raises(InputError) as caught:
        make()
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("day_count", "start", "end", "expected"),
    [
        ("act/360", date(2026, 1, 1), date(2027, 1, 1), 365 / 360),
        ("act/365f", date(2027, 6, 1), date(2028, 6, 1), 366 / 365),
        ("act/act", date(2027, 7, 1), date(2028, 7, 1), 184 / 365 + 182 / 366),  # ISDA: days in each calendar year
        ("30/360", date(2026, 1, 30), date(2026, 3, 31), 60 / 360),
        ("30/360", date(2026, 1, 15), date(2026, 3, 31), 76 / 360),
        ("30/360", date(2026, 2, 28), date(2026, 8, 31), 183 / 360),
        ("30/360", date(2025, 12, 31), date(2026, 12, 31), 1.0),
    ],
)
def test_day_counts(day_count, start, end, expected):
    assert year_fraction(start, end, day_count) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("adjustment", "expected"),
    [
        ("modified_following", date(2026, 5, 29)),
        ("following", date(2026, 6, 1)),
        ("preceding", date(2026, 5, 29)),
        ("modified_preceding", date(2026, 5, 29)),
        ("unadjusted", date(2026, 5, 31)),
    ],
)
def test_a_sunday_at_the_end_of_the_month(adjustment, expected):
    assert adjusted(date(2026, 5, 31), adjustment) == expected


def test_the_first_of_the_month_on_a_saturday():
    assert adjusted(date(2026, 8, 1), "modified_preceding") == date(2026, 8, 3)
    assert adjusted(date(2026, 8, 1), "preceding") == date(2026, 7, 31)


def test_an_overnight_swap_of_two_years():
    """Yearly from 18 June 2025 to 16 June 2027; Juneteenth and a weekend delay the payments."""
    found = schedule(OVERNIGHT, date(2025, 6, 18), date(2027, 6, 16))
    assert [(p.start, p.end, p.payment) for p in found] == [
        (date(2025, 6, 18), date(2026, 6, 16), date(2026, 6, 18)),
        (date(2026, 6, 16), date(2027, 6, 16), date(2027, 6, 21)),
    ][:2]
    assert [p.fraction for p in found] == [363 / 360, 365 / 360]


def test_imm_dates_join_up_with_the_reference_quarters_of_futures():
    imm = Convention(3, "act/360", roll="third_wednesday")
    found = schedule(imm, date(2026, 9, 16), date(2027, 9, 15))
    assert [p.start for p in found] == [date(2026, 9, 16), date(2026, 12, 16), date(2027, 3, 17), date(2027, 6, 16)]


def test_month_ends():
    ends = Convention(3, "act/360", adjustment="unadjusted", roll="month_end")
    found = schedule(ends, date(2026, 2, 28), date(2027, 2, 28))
    assert [p.end.isoformat() for p in found] == ["2026-05-31", "2026-08-31", "2026-11-30", "2027-02-28"]


def test_the_odd_period_is_the_first():
    found = schedule(Convention(6, "30/360", adjustment="unadjusted"), date(2026, 5, 2), date(2027, 7, 2))
    assert [p.start for p in found] == [date(2026, 5, 2), date(2026, 7, 2), date(2027, 1, 2)]
    assert [p.fraction for p in found] == pytest.approx([60 / 360, 0.5, 0.5])


def test_a_period_that_adjustment_leaves_without_a_day_is_dropped():
    """Saturday to Monday: both ends become Monday."""
    found = schedule(Convention(12, "act/360"), date(2026, 8, 1), date(2027, 8, 3))
    assert [p.start for p in found] == [date(2026, 8, 3)]


def test_one_payment_at_the_end():
    only = schedule(Convention(0, "act/360", 1), START, END)
    assert [(p.start, p.end, p.payment) for p in only] == [(START, END, date(2031, 7, 3))]


def test_the_lag_counts_from_an_unadjusted_end():
    """From a Saturday, the second business day is Tuesday; without a lag, payment follows on Monday."""
    saturday = date(2028, 7, 1)
    lagged, plain = (Convention(0, "act/360", lag, adjustment="unadjusted") for lag in (2, 0))
    assert schedule(lagged, date(2027, 7, 1), saturday)[0].payment == date(2028, 7, 5)  # after Independence Day
    assert schedule(plain, date(2027, 7, 1), saturday)[0].payment == date(2028, 7, 3)


# ---------------------------------------------------------------------------------------------------------- swaps


def test_names():
    assert OIS.symbol == "SOFR OIS pay 4 2026-07-02/2031-07-02 USD 1000000"
    assert evolve(IRS, spread=-0.001).symbol == "TERM-SOFR-3M-0.1 IRS receive 4 2026-07-02/2031-07-02"
    assert FRA.symbol == "TERM-SOFR-3M FRA pay 4 2026-10-01/2027-01-04"
    assert {swap.kind for swap in (OIS, IRS, FRA)} == {"overnight_swap", "interest_rate_swap", "forward_rate_agreement"}


def test_swaps_are_values():
    assert OvernightSwap("pay", 0.04, START, END, notional=1e6) == OIS
    assert len({OIS, evolve(OIS), evolve(OIS, side="receive")}) == 2


def test_legs():
    (pays, fixed), (receives, floating) = legs_of_swap(OIS)
    assert (pays, receives) == (-1.0, 1.0)
    assert fixed == FixedLeg(0.04, OVERNIGHT)
    assert floating == FloatingLeg("SOFR", OVERNIGHT, overnight=True)
    (receives, fixed), (pays, floating) = legs_of_swap(IRS)
    assert (pays, receives) == (-1.0, 1.0)
    assert fixed.convention == SEMIANNUAL
    assert not floating.overnight
    sofr = FloatingLeg("SOFR", OVERNIGHT, overnight=True)
    basis = BasisSwap(sofr, TERM, START, END)
    assert legs_of_swap(basis) == ((-1.0, sofr), (1.0, TERM))
    assert indices_of(basis) == ("SOFR", "TERM-SOFR-3M")
    assert indices_of(FRA) == ("TERM-SOFR-3M",)


def test_notionals_step():
    swap = evolve(OIS, steps=[(date(2027, 7, 2), 8e5), (date(2029, 1, 1), 0.0)])
    days = [START, date(2027, 7, 1), date(2027, 7, 2), date(2028, 7, 2), date(2029, 7, 2)]
    assert [notional_on(swap, day) for day in days] == [1e6, 1e6, 8e5, 8e5, 0.0]
    assert evolve(OIS, steps={date(2029, 1, 1): 0.0, date(2027, 7, 2): 8e5}) == swap
    assert notional_on(FRA, START) == 1.0


# -------------------------------------------------------------------------------------------------------- refusals


def test_every_problem_of_a_swap_at_once():
    said = refused(
        lambda: OvernightSwap(
            "buy", 4.0, END, START, notional=0.0, index=" ", spread=float("nan"), fixed="yearly", steps=[(END, -1.0)]
        )
    )
    for part in ("side", "rate", "maturity", "notional", "index", "spread", "fixed", "steps, step 0"):
        assert f"overnight_swap {part}: " in said, part


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"steps": 5}, "are no steps"),
        ({"steps": [5]}, "is no step"),
        ({"steps": [(START, 1.0, 2.0)]}, "is no step"),
        ({"steps": [(END, 1.0), (START, 1.0)]}, "do not increase"),
        ({"steps": [("2027-01-01", float("inf"))]}, "not a finite number"),
        ({"start": datetime(2026, 7, 2)}, "is not a date"),  # noqa: DTZ001
        ({"maturity": START}, "is not after the start"),
        ({"start": date(2026, 8, 1), "maturity": date(2026, 8, 2)}, "holds no business day"),
        ({"fixed": Convention(12, "act/360", roll="month_end")}, "no month end"),
        ({"rate": float("inf")}, "not a finite number"),
        ({"notional": -1.0}, "not above zero"),
    ],
)
def test_what_is_no_swap(changes, expected):
    assert expected in refused(lambda: evolve(OIS, **changes))


def test_what_is_no_convention():
    said = refused(lambda: Convention(5, "act/350", 31, adjustment="folowing", roll="noon"))
    for part in ("5 months", "'act/350' is unknown", "31 is no count", "Did you mean 'following'", "'noon' is unknown"):
        assert part in said, part
    assert "1 problem" in refused(lambda: Convention(True, "act/360"))


def test_what_is_no_leg():
    said = refused(lambda: FloatingLeg("", "quarterly", 2.0, overnight=None, fixing_days=-1))
    for part in ("index", "no convention", "100 %", "neither true nor false", "-1 is no count"):
        assert part in said, part
    assert "2 problems" in refused(lambda: FixedLeg("4", None))
    assert "basis_swap pay" in refused(lambda: BasisSwap(FixedLeg(0.04, QUARTERLY), TERM, START, END))


def test_what_is_no_forward_rate_agreement():
    said = refused(lambda: evolve(FRA, side="long", day_count="actual", fixing_days=2.5, maturity=FRA.start))
    for part in ("side", "day_count", "2.5 is no count", "is not after the start"):
        assert part in said, part
