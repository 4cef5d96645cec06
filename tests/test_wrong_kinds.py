"""What is of another kind is refused in the library's own words, whatever it is and wherever it stands."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from functools import cache

import numpy as np
import pytest
from attrs import NOTHING, evolve
from hypothesis import given, settings
from hypothesis import strategies as st

import crossmargin as xm
from crossmargin.errors import CrossMarginError, InputError, is_count, several

SPEC = xm.ScenarioSpec("historical", 1, 1.0)
RECORDS = (xm.Account, xm.CollateralReport, xm.Comparison, xm.CreditSpreads, xm.Customer, xm.Firm, xm.History, xm.Line,
           xm.Market, xm.OptionQuotes, xm.ParCurve, xm.PnL, xm.Portfolio, xm.PriceHistory, xm.ScenarioSet,
           xm.ScenarioSpec, xm.VolatilitySurface, xm.ZeroCurve)  # fmt: skip


@cache
def book():
    portfolio, market = xm.samples.basis_trade()
    return evolve(portfolio, positions=portfolio.positions[:1]), market


@cache
def report():
    return xm.margin(*book())


@cache
def wrong():
    portfolio, market = book()
    plain = (None, "a", 5, 1.5, float("nan"), True, b"x", date(2026, 1, 1), object())
    several_of = (["a"], [None], [1, "b"], {"a": 1}, (), np.ones(3), np.array([["a"]]), [portfolio])
    return (*plain, *several_of, portfolio, market, report(), portfolio.positions[0])


anything = st.deferred(lambda: st.sampled_from(wrong()))


def calls():
    """The functions that take the library's own records, with arguments that fit."""
    portfolio, market = book()
    products, grid = portfolio.products, xm.grid_scenarios("TLT", [0.1])
    return {
        "revalue": (xm.revalue, {"products": products, "market": market, "scenarios": grid}),
        "scenario_set": (xm.scenario_set, {"spec": SPEC, "history": market.history, "as_of": market.as_of}),
        "grid_scenarios": (xm.grid_scenarios, {"symbols": ["A"], "spot_moves": [0.1], "volatility_moves": [0.0]}),
        "frame_of": (xm.frame_of, {"records": [{"a": 1}], "backend": "pandas"}),
        "check_as_of": (xm.margin, {"portfolio": portfolio, "market": market, "as_of": market.as_of}),
    }


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(["revalue", "scenario_set", "grid_scenarios", "frame_of", "check_as_of"]), data=st.data())
def test_a_function_refuses_what_does_not_fit_or_takes_it(name, data):
    function, fitting = calls()[name]
    which = data.draw(st.sampled_from(sorted(fitting)))
    with suppress(CrossMarginError):
        function(**{**fitting, which: data.draw(anything)})


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(RECORDS), data=st.data())
def test_a_record_refuses_what_does_not_fit_or_takes_it(kind, data):
    fields = [each for each in kind.__attrs_attrs__ if each.init and not each.name.startswith("_")]
    needed = [each.name for each in fields if each.default is NOTHING]
    with suppress(CrossMarginError):
        kind(**{each: data.draw(anything) for each in needed})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: xm.revalue(book()[1], book()[0].products, SPEC), "market: a tuple was given"),
        (lambda: xm.revalue("ZN", book()[1], xm.grid_scenarios("A", [0.1])), "products: a str was given, not several"),
        (lambda: xm.revalue([None], book()[1], xm.grid_scenarios("A", [0.1])), "products: None stands among them"),
        (lambda: xm.scenario_set(book()[1].history, SPEC, book()[1].as_of), "history: a ScenarioSpec was given"),
        (lambda: xm.scenario_set(SPEC, book()[1].history, "2026-06-30"), "as_of: '2026-06-30' is not a date"),
        (lambda: xm.grid_scenarios(5, [0.1]), "symbols: an int was given"),
        (lambda: xm.grid_scenarios("A", 0.1), "spot_moves: of shape"),
        (lambda: xm.frame_of("a"), "records: a str was given"),
        (lambda: xm.frame_of([report()]), "records: a Report stands among them"),
        (lambda: xm.frame_of([], backend=None), "backend: None was given"),
        (lambda: xm.Portfolio("a"), "firms: a str stands among them"),
        (lambda: xm.Portfolio(None), "None was given where several stand"),
        (lambda: xm.Comparison(report()), "reports: a Report was given, not several"),
        (lambda: xm.Comparison([report(), 5]), "reports: an int stands among them"),
        (lambda: xm.Line("x", "5"), "line 'x': the amount is a str"),
        (lambda: xm.Market(date(2026, 1, 1), None, "history"), "history: a str was given"),
    ],
)
def test_it_says_what_was_given_and_where(call, said):
    with pytest.raises(InputError) as caught:
        call()
    assert said in str(caught.value)


def test_everything_of_another_kind_is_told_at_once():
    with pytest.raises(InputError) as caught:
        xm.revalue(book()[0].products, None, 5)
    assert [problem.where for problem in caught.value.problems] == ["market", "scenarios"]
    with pytest.raises(InputError) as caught:
        several("names", ["a", None, 5, None], str, "Give texts.")
    assert [problem.what for problem in caught.value.problems] == [
        "None stands among them.",
        "an int stands among them.",
    ]


@given(st.integers(-5, 5), st.integers(-5, 5), st.integers(-5, 5))
def test_a_count_lies_between_its_bounds_and_is_of_python_or_numpy(value, least, most):
    assert is_count(value, least=least, most=most) == (least <= value <= most)
    assert is_count(np.int64(value), least=least, most=most) == is_count(value, least=least, most=most)
    assert not any(is_count(each, least=least) for each in (True, np.True_, float(value), str(value), None, np.nan))
