"""European options outside the kernel: what is refused, forwards, greeks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.pricing.european import EuropeanBook, forwards
from crossmargin.pricing.greeks import european_greeks, futures_option_greeks
from tests.reference.black_twin import option_value

# ------------------------------------------------------------------------------------------------ what is refused

GOOD = {
    "forward": [[100.0, 101.0], [50.0, 51.0]],
    "discount": 1.0,
    "time": [[0.5], [0.25]],
    "scale": [[1.0, 1.0]],
    "shift": [[0.0, 0.0]],
    "slice_row": [0, 1],
    "volatility_row": [0, 0],
    "strike": [100.0, 0.0],
    "is_call": [True, False],
    "volatility": [0.2, 0.0],
}


@pytest.mark.parametrize(
    ("field", "bad", "where"),
    [
        ("forward", [[100.0, 0.0], [50.0, 51.0]], "forward, row 0, scenario 1"),
        ("forward", [[100.0, 1.0], [math.inf, 51.0]], "forward, row 1, scenario 0"),
        ("discount", [[1.0], [-0.5]], "discount, row 1, scenario 0"),
        ("time", math.nan, "time, row 0"),
        ("time", [[0.5], [-1e-9]], "time, row 1, scenario 0"),
        ("scale", [[1.0, math.nan]], "scale, row 0, scenario 1"),
        ("shift", [[math.inf, 0.0]], "shift, row 0, scenario 0"),
        ("strike", [100.0, -1.0], "strike, row 1"),
        ("volatility", [-0.2, 0.0], "volatility, row 0"),
        ("slice_row", [0, 2], "slice_row, row 1"),
        ("volatility_row", [-1, 0], "volatility_row, row 0"),
        ("forward", [100.0, 101.0], "forward"),
        ("discount", [1.0, 1.0, 1.0], "discount"),
        ("scale", [[1.0, 1.0, 1.0]], "scale, shift"),
        ("is_call", [True], "is_call"),
    ],
)
def test_what_has_no_value_is_refused_by_name(field, bad, where):
    EuropeanBook(**GOOD)
    with pytest.raises(InputError) as raised:
        EuropeanBook(**GOOD | {field: bad})
    assert [problem.where for problem in raised.value.problems] == [where]


def test_every_problem_is_reported_and_many_are_counted():
    with pytest.raises(InputError) as raised:
        EuropeanBook(**GOOD | {"strike": [-1.0, -2.0], "time": -1.0})
    assert [p.where for p in raised.value.problems] == ["time, row 0", "strike, row 0", "strike, row 1"]
    with pytest.raises(InputError, match="15 more such numbers"):
        european_greeks(np.zeros(20), 100.0, 0.2, 1.0, rate=0.0, is_call=True)


# -------------------------------------------------------------------------------------------------------- greeks


def test_forwards_of_a_share_and_of_a_future():
    forward, discount = forwards([100.0, 90.0], 2.0, rate=-0.01, dividend_yield=[0.02, -0.01])
    assert forward == pytest.approx([100 * math.exp(-0.06), 90.0])
    assert discount == pytest.approx([math.exp(0.02)] * 2)


INPUTS = {
    "spot": st.floats(50.0, 200.0),
    "volatility": st.floats(0.05, 1.0),
    "time": st.floats(0.05, 3.0),
    "rate": st.floats(-0.03, 0.1),
    "dividend_yield": st.floats(-0.03, 0.1),
}


def bumped(function, point, name, step):
    """Central difference of fourth order of the value in one input."""
    weights = ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12))
    return sum(w * function(**point | {name: point[name] + n * step}).value for n, w in weights) / step


@given(st.fixed_dictionaries(INPUTS), st.booleans())
def test_greeks_are_the_slopes_of_the_value(point, is_call):
    def greeks(**inputs):
        carry = {name: inputs.pop(name) for name in ("rate", "dividend_yield")}
        return european_greeks(inputs["spot"], 100.0, inputs["volatility"], inputs["time"], is_call=is_call, **carry)

    at = greeks(**point)
    assert at.delta == pytest.approx(bumped(greeks, point, "spot", 0.05), abs=1e-5)
    assert at.vega == pytest.approx(bumped(greeks, point, "volatility", 1e-3), abs=1e-4)
    assert at.theta == pytest.approx(-bumped(greeks, point, "time", 1e-3), abs=1e-3)
    assert at.rho == pytest.approx(bumped(greeks, point, "rate", 1e-3), abs=1e-4)
    up, down = (greeks(**point | {"spot": point["spot"] + step}).delta for step in (1e-3, -1e-3))
    assert at.gamma == pytest.approx((up - down) / 2e-3, abs=1e-6)


@given(st.floats(50.0, 200.0), st.floats(0.05, 1.0), st.floats(0.05, 3.0), st.booleans())
def test_greeks_of_options_on_futures_are_slopes_too(future, volatility, time, is_call):
    def greeks(**inputs):
        three = inputs["future"], 100.0, inputs["volatility"], inputs["time"]
        return futures_option_greeks(*three, rate=inputs["rate"], is_call=is_call)

    point = {"future": future, "volatility": volatility, "time": time, "rate": 0.03}
    at = greeks(**point)
    assert at.delta == pytest.approx(bumped(greeks, point, "future", 0.05), abs=1e-5)
    assert at.theta == pytest.approx(-bumped(greeks, point, "time", 1e-3), abs=1e-3)
    assert at.rho == pytest.approx(bumped(greeks, point, "rate", 1e-3), abs=1e-4)


@given(st.fixed_dictionaries(INPUTS), st.booleans())
def test_the_value_beside_the_greeks_is_that_of_the_textbook(point, is_call):
    carry = {name: point[name] for name in ("rate", "dividend_yield")}
    value = european_greeks(point["spot"], 100.0, point["volatility"], point["time"], is_call=is_call, **carry).value
    forward, discount = forwards(point["spot"], point["time"], **carry)
    deviation = point["volatility"] * math.sqrt(point["time"])
    assert discount * option_value(forward, 100.0, deviation, is_call=is_call) == pytest.approx(value, abs=1e-11)


def test_greeks_at_their_limits():
    done = european_greeks([110.0, 90.0, 100.0], 100.0, 0.2, 0.0, rate=0.05, is_call=[True, True, False])
    assert done.value.tolist() == [10.0, 0.0, 0.0]
    assert done.delta.tolist() == [1.0, 0.0, -0.5]
    assert done.gamma.tolist() == [0.0, 0.0, math.inf]
    assert done.vega.tolist() == [0.0, 0.0, 0.0]
    assert done.rho.tolist() == [0.0, 0.0, 0.0]
    assert done.theta.tolist()[:2] == [-5.0, 0.0]
    assert done.theta[2] == -math.inf
    still = european_greeks(100.0, [90.0, 0.0], 0.0, 1.0, rate=0.0, is_call=True)
    assert still.value.tolist() == [10.0, 100.0]
    assert still.delta.tolist() == [1.0, 1.0]
    assert np.isfinite([still.gamma, still.vega, still.theta, still.rho]).all()


@pytest.mark.parametrize("name", ["spot", "strike", "volatility", "time", "rate", "dividend_yield"])
def test_greeks_refuse_what_has_no_value(name):
    point = {"spot": 100.0, "strike": 90.0, "volatility": 0.2, "time": 1.0, "rate": 0.0, "dividend_yield": 0.0}
    with pytest.raises(InputError) as raised:
        european_greeks(
            *([*(point | {name: math.nan}).values()][:4]),
            is_call=True,
            **{key: (point | {name: math.nan})[key] for key in ("rate", "dividend_yield")},
        )
    assert [problem.where.split(",")[0] for problem in raised.value.problems] == [name]
