"""Laws of the formulas that mix, dampen and rescale margin figures, and of the split of SPAN's scan risk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.combining import anticyclical_options, blend, offset_cap, stressed_volatility_mix
from crossmargin.filtering import filtered_returns
from crossmargin.span.scanning import scan, weighted_price_risk

usd = st.floats(0.0, 1e9)
share = st.floats(0.0, 1.0)
volatility = st.floats(0.0, 2.0)
loss = st.integers(-10_000, 10_000).map(float)


@given(usd, usd, share, usd, usd)
def test_a_blend_lies_between_its_measures_and_charges_come_on_top(one, other, weight, liquidity, concentration):
    found = blend(one, other, weight, liquidity_charge=liquidity, concentration_charge=concentration)
    between = found - liquidity - concentration
    assert min(one, other) - 1e-6 <= between <= max(one, other) + 1e-6
    swapped = blend(other, one, 1 - weight, liquidity_charge=concentration, concentration_charge=liquidity)
    assert found == pytest.approx(swapped, rel=1e-9, abs=1e-6)


@given(volatility, volatility, share)
def test_a_volatility_mix_is_a_blend_without_charges(current, stress, weight):
    found = stressed_volatility_mix(current, stress, weight)
    assert found == pytest.approx(blend(stress, current, weight), rel=1e-12, abs=1e-12)


@given(usd, share, share, volatility, usd)
def test_options_against_procyclicality_never_ask_less_than_no_option(margin, fraction, used, ten_year, per_unit):
    terms = {"current_volatility": 1.0, "stress_volatility": 1.0, "stress_weight": 0.25}
    found = anticyclical_options(
        margin,
        **terms,
        buffer_fraction=fraction,
        buffer_used_fraction=used,
        ten_year_volatility=ten_year,
        margin_per_unit_volatility=per_unit,
    )
    assert margin <= found.option_a <= margin * (1 + fraction) * (1 + 1e-12)
    assert found.option_b == pytest.approx(per_unit)  # volatilities of one size mix to themselves
    assert found.option_c in (margin, per_unit * ten_year)
    assert found.option_c >= margin


@given(usd, usd, share, share)
def test_recognising_more_of_an_offset_never_asks_more(one, other, first, second):
    alone, together = max(one, other), min(one, other)
    less, more = (offset_cap(alone, together, cap) for cap in sorted((first, second)))
    assert together - 1e-6 <= more <= less + 1e-6 <= alone + 2e-6


@given(
    st.lists(st.floats(-0.1, 0.1).filter(lambda r: abs(r) > 1e-4), min_size=1, max_size=30),
    st.floats(0.5, 0.99),
    st.none() | st.floats(0.0, 0.05),
    st.sampled_from([0.01, 3.0, 100.0]),
)
def test_filtered_returns_by_recursion_in_any_unit(returns, decay, floor, unit):
    variances = [returns[0] ** 2]
    for each in returns:
        variances.append(decay * variances[-1] + (1 - decay) * each * each)
    *before, forecast = np.sqrt(variances)
    top = max(forecast, floor or 0.0)
    expected = [each * top / then for each, then in zip(returns, before, strict=True)]
    full, half = (
        filtered_returns(
            np.array(returns) * unit, decay, scaling=kind, volatility_floor=None if floor is None else floor * unit
        )
        for kind in ("full", "half")
    )
    assert full.forecast_volatility == pytest.approx(forecast * unit, rel=1e-9)
    assert full.scaled == pytest.approx(np.array(expected) * unit, rel=1e-9)
    assert half.scaled == pytest.approx((full.scaled + np.array(returns) * unit) / 2, rel=1e-9, abs=1e-15)


@given(st.lists(loss, min_size=16, max_size=16), st.floats(0.01, 100.0), loss.map(abs))
def test_scan_risk_is_the_sum_of_its_parts_and_a_cap_only_lowers_its_price(losses, delta, price_range):
    found = scan(losses).risk
    assert found.scan_risk == max(0.0, *losses)
    assert found.time_risk + found.futures_price_risk + found.volatility_risk == found.scan_risk
    long, short = (weighted_price_risk(found.futures_price_risk, sign * delta) for sign in (1, -1))
    assert long == short
    capped, of_range = (
        weighted_price_risk(found.futures_price_risk, delta, method=method, price_scan_range=price_range)
        for method in ("scan_range_cap", "scan_range")
    )
    assert capped == min(long, of_range)
