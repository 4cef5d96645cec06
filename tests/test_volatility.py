"""Smiles, surfaces and their scenarios: fits, arbitrage, interpolation in time, the three sticky rules."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from crossmargin.errors import InputError, NumericalError
from crossmargin.pricing.chains import ImpliedForwards, OptionQuotes
from crossmargin.pricing.smiles import Smile, _svi, butterfly, derivatives, fit_smile, total_variance
from crossmargin.pricing.volatility import VolatilitySurface, arbitrage, surface_volatility
from crossmargin.pricing.volatility_scenarios import SMILE_RULES, VolatilityShock, scenario_volatilities

TODAY = date(2026, 3, 2)
SKEW = (0.004, 0.08, -0.5, 0.02, 0.15)  # a, b, rho, m, sigma
K = np.linspace(-0.6, 0.4, 41)


def svi(*parameters):
    return Smile("svi", -0.6, 0.4, parameters=parameters)


def surface(*smiles, days=(91, 365), forwards=(100.0, 103.0), notes=()):
    expiries = [TODAY + timedelta(days=n) for n in days]
    return VolatilitySurface(TODAY, "XYZ", expiries, [n / 365 for n in days], forwards, smiles, notes)


def skewed():
    return surface(svi(*SKEW), svi(0.012, 0.14, -0.5, 0.02, 0.25))


# ------------------------------------------------------------------------------------------------------- smiles


@given(st.floats(0.001, 0.1), st.floats(0.02, 0.8), st.floats(-0.95, 0.95), st.floats(-0.3, 0.3), st.floats(0.03, 0.5))
def test_svi_finds_the_variances_it_made(least, b, rho, m, sigma):
    made = svi(least - b * sigma * math.sqrt(1 - rho**2), b, rho, m, sigma)
    wanted = total_variance(made, K)
    found = fit_smile(K, wanted)
    assert total_variance(found, K) == pytest.approx(wanted, rel=2e-3)
    assert (found.lowest, found.highest) == pytest.approx((-0.6, 0.4))


def test_svi_derivatives_are_those_of_differences():
    point, step = np.array([0.01, 0.3, 0.1, 0.02, 0.15]), 1e-6
    _, partial = _svi(point, K)
    for i in range(5):
        up, down = (point + sign * step * np.eye(5)[i] for sign in (1, -1))
        assert (_svi(up, K)[0] - _svi(down, K)[0]) / (2 * step) == pytest.approx(partial[:, i], abs=1e-7)
    for form in ("svi", "spline"):
        smile = fit_smile(K, total_variance(svi(*SKEW), K), form=form)
        at = np.linspace(-0.5, 0.3, 17) + 0.003
        _, first, second = derivatives(smile, at)
        low, middle, high = (total_variance(smile, at + d) for d in (-1e-4, 0.0, 1e-4))
        assert (high - low) / 2e-4 == pytest.approx(first, abs=2e-5)
        assert (high - 2 * middle + low) / 1e-8 == pytest.approx(second, abs=2e-2)


def test_svi_listens_to_weights_and_holds_its_wings():
    wanted = total_variance(svi(*SKEW), K)
    spoilt = np.where(np.arange(41) == 20, 9.0, wanted)
    found = fit_smile(K, spoilt, weights=np.where(np.arange(41) == 20, 0.0, 1.0))
    assert total_variance(found, K) == pytest.approx(wanted, rel=1e-4)
    _, b, rho, _, _ = fit_smile(K, 0.01 + 5.0 * np.abs(K)).parameters
    assert b * (1 + abs(rho)) <= 2.0 + 1e-9


def test_svi_fits_a_flat_smile():
    assert total_variance(fit_smile(K, np.full(41, 0.04)), [-2.0, 0.0, 2.0]) == pytest.approx(0.04, rel=1e-2)


@given(st.lists(st.floats(0.01, 0.5), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_a_spline_goes_through_its_quotes_and_makes_no_bumps(variances, random):
    k = np.linspace(-0.3, 0.2, len(variances))
    order = random.sample(range(len(k)), len(k))
    smile = fit_smile(k[order], np.array(variances)[order], form="spline")
    assert total_variance(smile, k).tolist() == pytest.approx(variances, rel=1e-14)
    between = total_variance(smile, np.linspace(-0.4, 0.3, 301))
    assert between.min() >= min(variances) * (1 - 1e-12)
    assert between.max() <= max(variances) * (1 + 1e-12)
    assert total_variance(smile, [-9.0, 9.0]).tolist() == [smile.variances[0], smile.variances[-1]]


def test_a_smile_that_cannot_be_fitted_is_refused_with_its_rows():
    with pytest.raises(InputError) as error:
        fit_smile([0.0, 0.0, math.nan, 0.1], [0.04, 0.04, 0.04, -1.0], form="spline", weights=[1, 1, 1, -1])
    text = str(error.value)
    assert len(error.value.problems) == 4
    assert "quote 1: the same log-moneyness" in text
    assert "quote 2: log-moneyness is not finite" in text
    for quotes in ([], [0.0, 0.1, 0.2, 0.3]):
        with pytest.raises(InputError, match="svi needs 5"):
            fit_smile(quotes, np.full(len(quotes), 0.04))
    with pytest.raises(InputError, match="Did you mean 'spline'"):
        fit_smile([0.0], [0.04], form="splin")
    with pytest.raises(InputError, match="shapes"):
        fit_smile([0.0, 0.1], [0.04], form="spline")


def test_butterflies_are_found():
    k, g = butterfly(svi(*SKEW))
    assert len(k) == 201
    assert (g > 0).all()
    # Axel Vogt's example, from Gatheral and Jacquier (2014), section 3: every variance positive, a density that is not
    vogt = Smile("svi", -1.5, 1.5, parameters=(-0.041, 0.1331, 0.306, 0.3586, 0.4153))
    k, g = butterfly(vogt)
    assert total_variance(vogt, k).min() > 0
    assert g.min() < -0.01
    assert 0.5 < k[np.argmin(g)] < 1.2
    steep = fit_smile([-0.1, 0.0, 0.1], [0.02, 0.05, 0.02], form="spline")
    assert butterfly(steep)[1].tolist() == [pytest.approx(butterfly(steep)[1][0])]
    assert butterfly(steep)[1][0] < 0


# ----------------------------------------------------------------------------------------------------- surfaces


def test_total_variance_is_linear_in_time_and_volatility_flat_outside():
    both = skewed()
    k, (near, far) = 0.1, both.times
    w = [float(total_variance(s, k)) for s in both.smiles]
    middle = surface_volatility(both, k, 0.5 * (near + far))[0]
    assert middle**2 * 0.5 * (near + far) == pytest.approx(0.5 * (w[0] + w[1]), rel=1e-13)
    read = surface_volatility(both, k, [0.0, near, far, 9.0])
    first, last = math.sqrt(w[0] / near), math.sqrt(w[1] / far)
    assert read == pytest.approx([first, first, last, last], rel=1e-14)


def test_reading_by_strike_and_day():
    both = skewed()
    day = both.expiries[1]
    alone = both.volatility(103.0, day)
    assert alone == pytest.approx(math.sqrt(total_variance(both.smiles[1], 0.0)), rel=1e-14)
    days = [TODAY, *both.expiries, TODAY + timedelta(days=228), TODAY + timedelta(days=999)]
    assert both.forward(days) == pytest.approx([100.0, 100.0, 103.0, math.sqrt(10300.0), 103.0], rel=1e-14)
    assert both.volatility([103.0] * 5, days)[2] == alone[0]
    assert both.volatility([], []).shape == (0,)


def test_a_surface_keeps_its_own_time_for_its_own_days():
    day = TODAY + timedelta(days=1)
    own = VolatilitySurface(TODAY, "XYZ", [day], [0.4 / 365], [100.0], [svi(*SKEW)])
    assert own.years([day, TODAY + timedelta(days=2)]) == pytest.approx([0.4 / 365, 2 / 365])
    assert hash(own) == hash(VolatilitySurface(TODAY, "XYZ", [day], [0.4 / 365], [100.0], [svi(*SKEW)]))


def test_surfaces_that_are_none_are_refused():
    with pytest.raises(InputError) as error:
        surface(svi(*SKEW), svi(*SKEW), days=(91, 30), forwards=(100.0, -1.0))
    assert {p.where for p in error.value.problems} == {"expiries", "times", "forwards"}
    with pytest.raises(InputError, match="unlike length"):
        surface(svi(*SKEW))
    with pytest.raises(InputError, match="empty"):
        VolatilitySurface(TODAY, "XYZ", [], [], [], [])
    with pytest.raises(InputError, match="times: a time is not above zero"):
        surface(svi(*SKEW), svi(*SKEW), days=(0, 30))


def test_options_that_are_none_are_refused_with_their_rows():
    day = TODAY - timedelta(days=1)
    with pytest.raises(InputError) as error:
        skewed().volatility([100.0, math.nan, -5.0], [TODAY, day, day])
    assert [p.where for p in error.value.problems] == ["strike, rows 1, 2", "expiry, rows 1, 2"]
    with pytest.raises(InputError, match="for 1 expiries"):
        skewed().volatility([100.0, 101.0], [TODAY])


def test_arbitrage_is_named():
    assert arbitrage(skewed()) == ()
    falling = surface(svi(0.05, 0.0, 0.0, 0.0, 0.1), svi(0.04, 0.0, 0.0, 0.0, 0.1))
    (found,) = arbitrage(falling)
    assert (found.kind, found.expiry, found.size) == ("calendar", falling.expiries[1], pytest.approx(-0.01))
    assert "calendar arbitrage" in str(found)
    kinked = fit_smile([-0.1, 0.0, 0.1], [0.02, 0.05, 0.02], form="spline")
    assert [a.kind for a in arbitrage(surface(kinked, days=(91,), forwards=(100.0,)))] == ["butterfly"]
    apart = surface(fit_smile([0.0], [0.05], form="spline"), fit_smile([0.1], [0.04], form="spline"))
    assert [a.kind for a in arbitrage(apart)] == ["calendar"]


# -------------------------------------------------------------------------------------------------- from quotes


def black(forward, strike, s, discount, is_call):
    d1 = np.log(forward / strike) / s + s / 2
    call = discount * (forward * ndtr(d1) - strike * ndtr(d1 - s))
    return np.where(is_call, call, call - discount * (forward - strike))


def made_chain(source, discount=0.99, spread=0.0, step=2.5):
    strikes = np.arange(70.0, 140.0, step)
    days = [day for day in source.expiries for _ in range(2 * len(strikes))]
    strike = np.tile(strikes, 2 * len(source.expiries))
    is_call = np.tile(np.repeat([True, False], len(strikes)), len(source.expiries))
    s = source.volatility(strike, days) * np.sqrt(source.years(days))
    price = black(source.forward(days), strike, s, discount, is_call)
    return OptionQuotes(days, strike, is_call, bid=np.maximum(price - spread, 0.0), ask=price + spread)


@pytest.mark.parametrize(("form", "limit"), [("svi", 1e-5), ("spline", 2e-4)])
def test_a_surface_comes_back_from_the_prices_it_makes(form, limit):
    source = skewed()
    chain = made_chain(source)
    found = VolatilitySurface.from_quotes(chain, as_of=TODAY, underlying="XYZ", form=form)
    assert found.forwards == pytest.approx(source.forwards, rel=1e-9)
    strikes = np.arange(75.0, 130.0, 1.7)
    for day in source.expiries:
        assert found.volatility(strikes, day) == pytest.approx(source.volatility(strikes, day), abs=limit)
    assert found.notes == ()


def test_weights_choose_the_quotes_of_a_surface():
    chain = made_chain(skewed())
    use = (chain.strike % 5.0 == 0.0).astype(float)
    spoilt = np.where(use == 0.0, 1.4, 1.0) * chain.mid
    quotes = OptionQuotes(chain.expiry, chain.strike, chain.is_call, bid=spoilt, ask=spoilt)
    known = ImpliedForwards(skewed().expiries, np.array([100.0, 103.0]), np.full(2, 0.99), np.zeros(2), (), ())
    found = VolatilitySurface.from_quotes(quotes, as_of=TODAY, underlying="XYZ", forwards=known, weights=use)
    assert found.volatility(100.0, found.expiries[0]) == pytest.approx(
        skewed().volatility(100.0, found.expiries[0]), abs=1e-5
    )


def test_what_a_surface_leaves_out_is_noted():
    source = skewed()
    chain, day = made_chain(source, spread=0.05), source.expiries[0]
    few = chain.select(~((np.array(chain.expiry) == day) & (np.abs(chain.strike - 100.0) > 3.0)))
    found = VolatilitySurface.from_quotes(few, as_of=TODAY, underlying="XYZ")
    assert found.expiries == source.expiries[1:]
    assert any(note.startswith(f"{day}: left out, fewer than 5 quotes") for note in found.notes)
    late = VolatilitySurface.from_quotes(chain, as_of=source.expiries[0], underlying="XYZ")
    assert f"{day}: left out, no time left." in late.notes
    early = VolatilitySurface.from_quotes(
        chain, as_of=source.expiries[0], underlying="XYZ", times={source.expiries[0]: 0.25 / 365}
    )
    assert early.times[0] == 0.25 / 365
    with pytest.raises(InputError, match="no expiry has a smile"):
        VolatilitySurface.from_quotes(chain, as_of=source.expiries[1], underlying="XYZ")
    one_sided = chain.select(~((np.array(chain.expiry) == day) & chain.is_call))
    noted = VolatilitySurface.from_quotes(one_sided, as_of=TODAY, underlying="XYZ").notes
    assert f"{day}: left out, no forward." in noted


def test_requests_that_make_no_sense_are_refused_at_once():
    chain = made_chain(skewed())
    with pytest.raises(InputError) as error:
        VolatilitySurface.from_quotes(
            chain, as_of=TODAY, underlying="XYZ", form="sabr", weights=[1.0], times={TODAY: math.nan}
        )
    assert [p.where for p in error.value.problems] == ["form", "weights", f"times[{TODAY}]"]
    with pytest.raises(InputError, match="weights, rows 0, 1"):
        VolatilitySurface.from_quotes(chain, as_of=TODAY, underlying="XYZ", weights=np.full(len(chain), -1.0))


# ---------------------------------------------------------------------------------------------------- scenarios

factors = st.lists(st.floats(0.5, 2.0), min_size=1, max_size=5)
strikes = st.lists(st.floats(50.0, 200.0), min_size=1, max_size=4)
rules = st.sampled_from(list(SMILE_RULES))
DAY = TODAY + timedelta(days=200)


@given(strikes, factors, rules)
def test_a_scenario_that_changes_nothing_changes_no_volatility(strike, factor, rule):
    both = skewed()
    found = scenario_volatilities(both, strike, DAY, np.ones(len(factor)), rule=rule, shock=VolatilityShock())
    today = both.volatility(strike, DAY)
    assert found.shape == (len(strike), len(factor))
    assert found == pytest.approx(np.repeat(today[:, None], len(factor), axis=1), rel=1e-12)


@given(strikes, factors)
def test_each_rule_keeps_what_its_name_says(strike, factor):
    both = skewed()
    strike, factor = np.array(strike), np.array(factor)
    stuck = scenario_volatilities(both, strike, DAY, factor, rule="sticky_strike")
    assert np.array_equal(stuck, np.repeat(both.volatility(strike, DAY)[:, None], len(factor), axis=1))
    moved = scenario_volatilities(both, strike, DAY, factor, rule="sticky_moneyness")
    for j, each in enumerate(factor):
        assert moved[:, j] == pytest.approx(both.volatility(strike / each, DAY), rel=1e-12)
    assert np.array_equal(scenario_volatilities(both, strike, DAY, factor, rule="sticky_delta"), moved)


@given(strikes, factors, st.floats(-0.6, 1.5))
def test_equal_delta_means_equal_delta(strike, factor, relative):
    both = skewed()
    strike, factor = np.array(strike), np.array(factor)
    shock = VolatilityShock(relative=relative)
    shocked = scenario_volatilities(both, strike, DAY, factor, rule="sticky_delta", shock=shock)
    time, forward = both.years([DAY])[0], both.forward([DAY])[0]
    s = shocked * math.sqrt(time)
    d1 = -np.log(strike[:, None] / (forward * factor)) / s + s / 2
    before = s / (1 + relative)
    k = before * (before / 2 - d1)  # where today's smile has that d1, if its volatility there is `before`
    assert surface_volatility(both, k, np.full(len(strike), time)) * math.sqrt(time) == pytest.approx(before, rel=1e-9)


@given(strikes, factors, rules, st.floats(-0.05, 0.5))
def test_a_flat_smile_knows_no_rule(strike, factor, rule, absolute):
    flat = surface(fit_smile([0.0], [0.01], form="spline"), days=(91,), forwards=(100.0,))
    found = scenario_volatilities(flat, strike, DAY, factor, rule=rule, shock=VolatilityShock(absolute))
    assert found == pytest.approx(math.sqrt(0.01 / flat.times[0]) + absolute, rel=1e-12)


def test_shocks_differ_by_scenario_and_by_time():
    shock = VolatilityShock([0.0, 0.1], [0.5, 0.0], reference_time=0.25)
    days = [TODAY + timedelta(days=n) for n in (1, 91, 365)]
    flat = surface(fit_smile([0.0], [0.01], form="spline"), days=(91,), forwards=(100.0,))
    base = math.sqrt(0.01 / flat.times[0])
    found = scenario_volatilities(flat, [100.0] * 3, days, [1.0, 1.0], shock=shock)
    g = np.sqrt(0.25 / np.maximum(np.array([1, 91, 365]) / 365, 7 / 365))
    assert found[:, 0] == pytest.approx(base * (1 + 0.5 * g), rel=1e-12)
    assert found[:, 1] == pytest.approx(base + 0.1 * g, rel=1e-12)


@pytest.mark.parametrize("rule", SMILE_RULES)
def test_a_shock_below_zero_volatility_is_refused_with_its_scenarios(rule):
    with pytest.raises(InputError, match="scenarios 1:"):
        scenario_volatilities(skewed(), [100.0], DAY, [1.0, 1.0], rule=rule, shock=VolatilityShock([0.0, -0.9]))


def test_equal_delta_that_cannot_be_found_is_an_error(monkeypatch):
    monkeypatch.setattr("crossmargin.pricing.volatility_scenarios.MOST_ROUNDS", 2)
    with pytest.raises(NumericalError, match="options 0"):
        scenario_volatilities(skewed(), [100.0], DAY, [0.7], rule="sticky_delta", shock=VolatilityShock(0.3))


def test_scenarios_that_make_no_sense_are_refused_at_once():
    with pytest.raises(InputError) as error:
        scenario_volatilities(
            skewed(), [100.0], DAY, [1.0, 0.0, math.nan], rule="sticky_delt", shock=VolatilityShock([0.1, 0.2])
        )
    assert [p.where for p in error.value.problems] == ["rule", "spot_factor, scenario rows 1, 2", "shock.absolute"]
    assert "Did you mean 'sticky_delta'?" in str(error.value)
    with pytest.raises(InputError) as error:
        VolatilityShock(math.nan, -1.0, reference_time=0.0, power=-1.0, shortest=math.inf)
    assert len(error.value.problems) == 5


def test_no_options_and_no_scenarios():
    assert scenario_volatilities(skewed(), [], [], [1.0, 1.1]).shape == (0, 2)
    assert scenario_volatilities(skewed(), [100.0], DAY, []).shape == (1, 0)
