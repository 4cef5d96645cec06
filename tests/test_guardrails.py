"""Each guardrail by itself: its figure by hand, its law, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import guardrails
from crossmargin.combining import anticyclical_options
from crossmargin.combining import offset_cap as published_cap
from crossmargin.errors import InputError
from crossmargin.guardrails import GUARDRAILS, measured, switched_on
from crossmargin.registry import rules
from crossmargin.results import Line, largest, total
from tests.properties.strategies import AS_OF

usd = st.floats(0.0, 1e9)
share = st.floats(0.0, 1.0)
BREAKS = {"window": 4, "confidence": 0.75, "kappa": 1.0, "lower_bound_fraction": 0.0, "upper_bound_fraction": 0.8}


def line(amount, name="model") -> Line:
    return Line(name, amount)


def test_the_cap_on_offsets_by_hand():
    assert guardrails.offset_cap(line(10.0), line(100.0), 0.8).value == pytest.approx(28.0)
    assert guardrails.offset_cap(line(10.0), line(100.0), 1.0).value == 10.0
    assert guardrails.offset_cap(line(10.0), line(100.0), 0.0).value == 100.0


@given(usd, usd, share)
def test_the_cap_on_offsets_is_the_published_formula(model, alone, of):
    asked = guardrails.offset_cap(line(model), line(alone), of).value
    assert asked == pytest.approx(published_cap(alone, model, of), rel=1e-9, abs=1e-6)


@given(usd, usd, share, share, share)
def test_options_against_procyclicality_are_the_published_ones(model, stressed, weight, fraction, used):
    published = anticyclical_options(
        model,
        buffer_fraction=fraction,
        buffer_used_fraction=used,
        current_volatility=model,
        stress_volatility=stressed,
        stress_weight=weight,
        ten_year_volatility=0.0,
        margin_per_unit_volatility=1.0,
    )
    added = guardrails.buffer(line(model), fraction, used).value
    assert model + added == pytest.approx(published.option_a, rel=1e-9, abs=1e-6)
    assert added >= 0.0
    mixed = guardrails.stress_weight(line(model), line(stressed), weight).value
    assert mixed == pytest.approx(published.option_b, rel=1e-9, abs=1e-6)


def test_floors_by_hand():
    assert guardrails.reduction_cap(line(200.0), 0.8).value == pytest.approx(40.0)
    assert guardrails.siloed_floor(line(200.0), 0.2).value == pytest.approx(40.0)
    assert guardrails.stress_floor(line(200.0), 0.5).value == pytest.approx(100.0)
    pots = [line(400.0, "FICC"), line(5_000.0, "CME"), line(0.0, "OCC"), Line("LCH", None, "not_modelled")]
    assert guardrails.pot_minimum(pots, 1_000.0).value == pytest.approx(1_400.0)
    assert guardrails.pot_minimum(pots, 0.0).value == 0.0
    assert guardrails.pot_minimum([], 1_000.0).value == 0.0
    assert guardrails.pot_minimum([line(400.0, "FICC"), line(900.0, "FICC")], 1_000.0).value == 1_000.0


@given(st.lists(usd, max_size=5), usd)
def test_the_minimum_of_pots_never_exceeds_what_they_ask(amounts, least):
    kept = guardrails.pot_minimum([line(each, f"pot {n}") for n, each in enumerate(amounts)], least).value
    assert 0.0 <= kept <= min(sum(amounts), least * len(amounts)) * (1 + 1e-12) + 1e-9


def test_the_floor_of_what_is_not_modelled_is_not_modelled():
    unknown = Line("siloed", None, "not_modelled")
    assert guardrails.reduction_cap(unknown, 0.8).amount is None
    assert guardrails.siloed_floor(unknown, 0.2).amount is None


def test_a_break_of_correlation_by_hand():
    pnl = np.array([3.0, -1.0, 2.0, -4.0, -6.0, -5.0, -7.0, 1.0, 4.0, 2.0, -1.0, 0.0])
    found = guardrails.correlation_break(pnl, line(10.0), BREAKS)
    assert 0.0 < found.value <= 8.0
    capped = guardrails.correlation_break(pnl, line(10.0), {**BREAKS, "upper_bound_fraction": 0.01})
    assert capped.value == pytest.approx(0.1)


def test_a_break_needs_a_window_and_something_that_moves():
    assert guardrails.correlation_break(np.array([-1.0, 1.0]), line(1.0), BREAKS).how == "not_modelled"
    assert guardrails.correlation_break(np.zeros(9), line(0.0), BREAKS).value == 0.0
    assert guardrails.correlation_break(np.zeros(0), line(0.0), BREAKS).value == 0.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=30), usd)
def test_a_break_is_never_negative_and_within_its_bounds(pnl, model):
    found = guardrails.correlation_break(np.array(pnl), line(model), BREAKS).value
    assert 0.0 <= found <= 0.8 * model * (1 + 1e-12)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "ask",
    [
        lambda bad: guardrails.offset_cap(line(1.0), line(2.0), bad),
        lambda bad: guardrails.stress_weight(line(1.0), line(2.0), bad),
        lambda bad: guardrails.buffer(line(1.0), bad, 0.0),
        lambda bad: guardrails.buffer(line(1.0), 0.25, bad),
        lambda bad: guardrails.reduction_cap(line(1.0), bad),
        lambda bad: guardrails.siloed_floor(line(1.0), bad),
        lambda bad: guardrails.stress_floor(line(1.0), bad),
    ],
)
def test_a_share_that_is_none_is_refused(ask, bad):
    with pytest.raises(InputError, match="not in"):
        ask(bad)


@pytest.mark.parametrize("bad", [-1.0, float("nan")])
def test_a_minimum_that_is_none_is_refused(bad):
    with pytest.raises(InputError, match="below 0"):
        guardrails.pot_minimum([line(1.0)], bad)


# ------------------------------------------------------------------------------------------------------- switches


def test_guardrails_are_on_where_they_are_stated_and_named():
    assert switched_on(rules("harmonized_rates").at(AS_OF)) == {"reduction_cap", "siloed_floor"}
    assert switched_on(rules("full_harmonized").at(AS_OF)) == frozenset()
    guarded = switched_on(rules("harmonized_with_guardrails").at(AS_OF))
    assert guarded == set(GUARDRAILS) - {"buffer", "long_run_floor"}


def test_unknown_guardrails_and_those_without_a_parameter_are_refused_together():
    study = rules("full_harmonized").with_values(guardrails=["stress_flor", "offset_gate"], because="test")
    with pytest.raises(InputError, match="Did you mean 'stress_floor'") as refused:
        switched_on(study.at(AS_OF))
    assert "'offset_gate' needs 'offset_pairs'" in str(refused.value)


def test_each_line_knows_what_is_asked_without_it_alone():
    amounts = {"stress_floor": 80.0, "siloed_floor": 90.0}

    def asked(on, without):
        floors = [guardrails.marked(name, line(amounts[name], name), without) for name in sorted(on)]
        return largest("asked", [total("model", [line(50.0)]), *floors])

    found = measured(frozenset(amounts), asked)
    beside = {name: found.part(name).memo[0].value for name in amounts}
    assert found.value == 90.0
    assert beside == {"stress_floor": 90.0, "siloed_floor": 80.0}
    assert measured(frozenset(), asked).value == 50.0
