"""The bootstrap: quotes come back to 1e-12, one curve or many, made-up and published."""

from __future__ import annotations

import csv
from datetime import date

import numpy as np
import pytest
from attrs import evolve

from crossmargin.curves import discount_factors, year_fractions
from crossmargin.errors import InputError, NumericalError
from crossmargin.pricing.swap_curve import bootstrap, spot_swap
from crossmargin.pricing.swaps import SwapCurves, par_rates, swap_book, swap_values
from crossmargin.products.schedules import SEMIANNUAL, Convention
from crossmargin.products.swaps import BasisSwap, FloatingLeg, ForwardRateAgreement, InterestRateSwap, OvernightSwap

AS_OF = date(2023, 8, 16)
QUOTES = {"1W": 5.3019, "3M": 5.372, "6M": 5.428, "1Y": 5.3555, "18M": 5.04775, "2Y": 4.8, "5Y": 4.1, "30Y": 3.6}
CLOSE = 1e-12
INDEX = "USD-LIBOR-3M"


def quoted(quotes=QUOTES, as_of=AS_OF):
    return [spot_swap(as_of, tenor, rate / 100) for tenor, rate in quotes.items()]


def back(instruments, as_of, curves):
    return par_rates(instruments, as_of, curves)[:, 0]


def test_one_deposit_like_swap_by_hand():
    """One week: DF(start) / DF(end) = 1 + rate x 7 / 360 on a flat curve."""
    knots, zeros = bootstrap([spot_swap(AS_OF, "1W", 0.053)], AS_OF)
    assert knots == pytest.approx([13 / 365])  # from 18 to 25 August, paid on the 29th
    assert np.exp(zeros[0, 0] * 7 / 365) == pytest.approx(1 + 0.053 * 7 / 360, rel=1e-15)


def test_quotes_come_back():
    instruments = quoted()
    found = back(instruments, AS_OF, SwapCurves(*bootstrap(instruments, AS_OF)))
    assert np.abs(found - np.array([*QUOTES.values()]) / 100).max() < CLOSE


def test_each_instrument_is_worth_nothing():
    instruments = [evolve(swap, notional=1e6) for swap in quoted()]
    values = swap_values(swap_book(instruments, AS_OF), SwapCurves(*bootstrap(instruments, AS_OF)))
    assert np.abs(values).max() < 1e-6


def test_knots_are_the_last_payments():
    knots, _ = bootstrap(quoted({"1Y": 5.0, "2Y": 4.8}), AS_OF)
    assert knots == pytest.approx(year_fractions(AS_OF, [date(2024, 8, 21), date(2025, 8, 20)]))


def test_many_curves_at_once_are_the_same_curves():
    moves = np.random.default_rng(1).normal(0, 5e-3, (len(QUOTES), 40))
    rates = np.array([*QUOTES.values()])[:, None] / 100 + moves
    knots, zeros = bootstrap(quoted(), AS_OF, rates=rates)
    assert np.abs(par_rates(quoted(), AS_OF, SwapCurves(knots, zeros)) - rates).max() < CLOSE
    _, one = bootstrap(quoted(), AS_OF, rates=rates[:, [7]])
    assert zeros[:, 7] == pytest.approx(one[:, 0], rel=1e-13)


@pytest.mark.parametrize("level", [-0.01, 0.0, 1e-9, 0.2])
def test_flat_and_negative_quotes(level):
    tenors = dict.fromkeys(QUOTES, 100 * level)
    found = back(quoted(tenors), AS_OF, SwapCurves(*bootstrap(quoted(tenors), AS_OF)))
    assert np.abs(found - level).max() < CLOSE


def test_forward_rate_agreements_and_forward_swaps_join_in():
    fra = ForwardRateAgreement("pay", 0.054, date(2023, 11, 16), date(2024, 2, 16), index="SOFR")
    forward = OvernightSwap("pay", 0.045, date(2024, 9, 18), date(2026, 9, 16), spread=0.001)
    instruments = [spot_swap(AS_OF, "3M", 0.0537), fra, spot_swap(AS_OF, "1Y", 0.0535), forward]
    found = back(instruments, AS_OF, SwapCurves(*bootstrap(instruments, AS_OF)))
    assert np.abs(found - [0.0537, 0.054, 0.0535, 0.045]).max() < CLOSE


def test_an_instrument_that_has_begun():
    fixed = {"SOFR": {date(2023, 8, day): 0.053 for day in (10, 11, 14, 15)}}
    instruments = [OvernightSwap("pay", 0.053, date(2023, 8, 10), date(2023, 11, 10))]
    curves = SwapCurves(*bootstrap(instruments, AS_OF, fixings=fixed))
    assert par_rates(instruments, AS_OF, curves, fixings=fixed)[0, 0] == pytest.approx(0.053, abs=CLOSE)


def term_swaps(years, rates):
    start = date(2023, 8, 18)
    return [
        InterestRateSwap("pay", rate, start, date(2023 + year, 8, 18), index=INDEX)
        for year, rate in zip(years, rates, strict=True)
    ]


def test_a_projection_curve_beside_the_discount_curve():
    discount = bootstrap(quoted(), AS_OF)
    instruments = term_swaps([1, 2, 5, 10], [0.055, 0.05, 0.043, 0.04])
    projection = bootstrap(instruments, AS_OF, discount=discount)
    found = back(instruments, AS_OF, SwapCurves(*discount, {INDEX: projection}))
    assert np.abs(found - [0.055, 0.05, 0.043, 0.04]).max() < CLOSE
    assert projection[0][0] == pytest.approx(year_fractions(AS_OF, [date(2024, 8, 19)])[0])


def test_a_basis_to_the_same_rate_is_the_discount_curve():
    """Without spread on either side, the index is projected by the very curve that discounts."""
    tenors = {f"{n}Y": rate for n, rate in zip((1, 2, 3, 5), (5.3, 4.8, 4.4, 4.1), strict=True)}
    at_once = [evolve(swap, floating=Convention(12, "act/360")) for swap in quoted(tenors)]
    discount = bootstrap(at_once, AS_OF)
    projection = bootstrap([evolve(swap, index="OTHER") for swap in at_once], AS_OF, discount=discount)
    days = [swap.maturity for swap in at_once]
    times = year_fractions(AS_OF, days)
    assert discount_factors(*projection, times) == pytest.approx(discount_factors(*discount, times), rel=1e-5)


def test_published_overnight_quotes(shared):
    """SOFR of 16 August 2023, one week to four years."""
    with (shared / "data" / "reference" / "sofr_ois_curve_2023-08-16.csv").open() as file:
        rows = list(csv.DictReader(file))
    instruments = [spot_swap(AS_OF, row["term"], float(row["par_rate_pct"]) / 100) for row in rows]
    knots, zeros = bootstrap(instruments, AS_OF)
    found = back(instruments, AS_OF, SwapCurves(knots, zeros))
    assert len(rows) == 19
    assert np.abs(found - [float(row["par_rate_pct"]) / 100 for row in rows]).max() < CLOSE
    assert ((zeros > 0.04) & (zeros < 0.0555)).all()


def test_published_swap_rates_of_sixteen_years(shared):
    """Swaps against three months, one curve: a day of each month as one column, all at once."""
    with (shared / "data" / "market" / "usd_libor_swap_rates_h15_daily.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if all(row.values())][::21]
    years = [int(name[:-1]) for name in rows[0] if name.endswith("Y")]
    rates = np.array([[float(row[f"{year}Y"]) / 100 for row in rows] for year in years])
    instruments = [
        InterestRateSwap("pay", 0.0, date(2023, 8, 18), date(2023 + year, 8, 18), fixed=SEMIANNUAL) for year in years
    ]
    knots, zeros = bootstrap(instruments, AS_OF, rates=rates)
    assert rates.shape[1] > 150
    assert np.abs(par_rates(instruments, AS_OF, SwapCurves(knots, zeros)) - rates).max() < CLOSE


# ------------------------------------------------------------------------------------------------------- refusals


def refused(make, error=InputError):
    with pytest.raises(error) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize("tenor", ["", "1D", "0Y", "2y", "18", "1000M"])
def test_what_is_no_tenor(tenor):
    assert "is no tenor" in refused(lambda: spot_swap(AS_OF, tenor))


def test_what_is_no_set_of_quotes():
    one = quoted({"1Y": 5.0})
    assert "Give at least one" in refused(lambda: bootstrap([], AS_OF))
    assert "is not after that of the one before" in refused(lambda: bootstrap(one + one, AS_OF))
    assert "shape (2, 1) is not [1 instruments" in refused(lambda: bootstrap(one, AS_OF, rates=np.ones((2, 1))))
    assert "1 are not finite" in refused(lambda: bootstrap(one, AS_OF, rates=np.array([[np.nan]])))
    basis = BasisSwap(FloatingLeg("A", SEMIANNUAL), FloatingLeg("B", SEMIANNUAL), date(2023, 8, 18), date(2024, 8, 19))
    two = (np.array([1.0]), np.array([[0.05, 0.05]]))
    said = refused(lambda: bootstrap([basis], AS_OF, rates=np.zeros((1, 3)), discount=two))
    assert "are on A, B" in said
    assert "2 for 3 columns" in said


def test_quotes_that_no_curve_fits():
    """A loss of more than everything in a year: DF(end) (1 + rate x time) = DF(start) has no root above zero."""
    said = refused(lambda: bootstrap(quoted({"1Y": 5.0}), AS_OF, rates=np.array([[0.05, -1.2]])), NumericalError)
    assert "SOFR OIS receive 5 2023-08-18/2024-08-18" in said
