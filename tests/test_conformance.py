"""The conformance runner: own worked cases, wrong rules detected, the comparison rule, malformed files."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from crossmargin.conformance import FAMILIES, Outcome, Tally, run
from crossmargin.errors import InputError
from crossmargin.worked import core

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "cases"
FILES = {
    "risk": 32,
    "var_models": 12,
    "treasury_futures": 600,
    "cross_margin": 21,
    "portfolio_margin": 16,
}

SHOCK = {"direction": "down", "point_of_no_return": 0.3, "standard_range": 0.15}


def grid_inputs(legs, stock=None, *, down=0.1, up=0.1):
    """Inputs of the grid family on a tree of one step, two points a side."""
    return {
        "underlying": {"kind": "equity", "price": 100.0},
        "stock": stock or {"quantity": 0, "price": None, "units_per_share": 1.0},
        "multiplier": 100,
        "legs": legs,
        "model": {
            "exercise": "american",
            "pricer": "crr",
            "steps": 1,
            "rate": 0.0,
            "dividend_yield": 0.0,
            "days_in_year": 365,
        },
        "scan": {"down": down, "up": up, "points_each_side": 2},
        "minimum_per_unit": 0.375,
    }


TAIL = {"weights": None, "confidence": None, "k": None, "quantile_type": None, "floor_at_zero": False}

# One or two a family, computed by hand as the comments show.
OWN = [
    # the two largest of 4, 9, 1, 6 are 9 and 6
    ("risk.tail", {**TAIL, "losses": [4, 9, 1, 6], "estimator": "mean_of_k_worst", "k": 2}, {"value": 7.5}),
    # 100 x 0.99 = 99: the 99th from below
    (
        "risk.tail",
        {**TAIL, "losses": list(range(100)), "estimator": "quantile", "confidence": 0.99, "quantile_type": 1},
        {"value": 98},
    ),
    # 0.2 of weight: 0.125 at 9 and 0.075 at 6, over 0.2; below zero without the floor
    (
        "risk.tail",
        {
            **TAIL,
            "losses": [-20, -9, -6],
            "weights": [5, 2, 1],
            "estimator": "tail_mean",
            "confidence": 0.8,
            "floor_at_zero": True,
        },
        {"value": 0},
    ),
    # s0 = 3; s1^2 = 9, so s1 = 3; s2^2 = 0.5 x 9 + 0.5 x 16 = 12.5; forecast^2 = 6.25 + 0.5 x 0 = 6.25
    (
        "var.filtered_returns",
        {"returns": [3.0, -4.0, 0.0], "decay_factor": 0.5, "volatility_floor": 5.0, "scaling": "full"},
        {
            "volatility": [3.0, 3.0, 12.5**0.5],
            "forecast_volatility": 2.5,
            "scaled_returns": [5.0, -20 / 3, 0.0],  # to the floor of 5, above the forecast
        },
    ),
    # 0.25 x 800 + 0.75 x 400 + 10 + 5
    (
        "var.blend",
        {
            "historical_var": 800,
            "stress_var": 400,
            "historical_weight": 0.25,
            "liquidity_charge": 10,
            "concentration_charge": 5,
        },
        {"margin": 515},
    ),
    (
        "var.stressed_volatility_mix",
        {"current_volatility": 0.02, "stress_volatility": 0.06, "stress_weight": 0.5},
        {"volatility": 0.04},
    ),
    # a) 200 x 1.125; b) 5000 x 0.04; c) max(200, 5000 x 0.05)
    (
        "var.anticyclical_options",
        {
            "unbuffered_margin": 200,
            "buffer_fraction": 0.25,
            "buffer_used_fraction": 0.5,
            "current_volatility": 0.02,
            "stress_volatility": 0.06,
            "stress_weight": 0.5,
            "ten_year_volatility": 0.05,
            "margin_per_unit_volatility": 5000,
        },
        {"option_a_margin": 225, "option_b_margin": 200, "option_c_margin": 250},
    ),
    # half of the offset of 60 is recognised
    (
        "var.offset_cap",
        {"standalone_margin": 100, "combined_margin": 40, "reduction_cap": 0.5},
        {"margin": 70},
    ),
    # n = 10, z = 0: a 6 % note of whole half-years is worth par at the 6 % of the formula
    (
        "treasury_futures.conversion_factor",
        {"contract": "ZN", "delivery_month": 202506, "coupon_pct": 6.0, "maturity_date": "2035-06-15"},
        {"conversion_factor": 1.0},
    ),
    # FICC saves 1 - 60/200 = 0.7, CME 1 - 150/300 = 0.5: half of 100 and half of 180
    (
        "cross_margin.two_pot",
        {
            "ficc_model_usd": {"treasury_leg": 100, "futures_leg": 100, "combined": 60},
            "cme_model_usd": {"treasury_leg": 120, "futures_leg": 180, "combined": 150},
            "reduction_cap": 0.8,
            "reduction_minimum": 0.1,
        },
        {
            "ficc_factor": 0.7,
            "cme_factor": 0.5,
            "applied_factor": 0.5,
            "binding_side": "cme",
            "binding_limit": "none",
            "ficc_requirement_usd": 50,
            "cme_requirement_usd": 90,
            "standalone_total_usd": 280,
            "total_requirement_usd": 140,
            "saving_usd": 140,
        },
    ),
    # 0.75 of 40 and 0.5 of 10
    (
        "cross_margin.spread_credit",
        {
            "spreads": [
                {"credit_rate": 0.75, "outright_margin_a": 40, "outright_margin_b": 90},
                {"credit_rate": 0.5, "outright_margin_a": 30, "outright_margin_b": 10},
            ]
        },
        {"reductions": [30, 5], "total_reduction": 35},
    ),
    # four contracts of a hundred at 0.375, more than the loss of 10
    (
        "portfolio_margin.floor",
        {"scenario_pnl": [-10, 20], "option_contracts": 4, "multiplier": 100, "minimum_per_unit": 0.375},
        {"minimum": 150, "requirement": 150},
    ),
    # nothing but 200 shares at 30: 15 per cent of 6,000
    (
        "portfolio_margin.positions",
        grid_inputs([], stock={"quantity": 200, "price": 30.0, "units_per_share": 1.0}, down=0.15, up=0.15),
        {"minimum": 0, "requirement": 900},
    ),
    # a tree of one step to 125 or 80, weights 4/9 and 5/9, makes the call worth 100/9; from 110 it goes to 137.5 or
    # 88: 4/9 of 37.5 is 50/3, and 100/9 of that is not the writer's
    (
        "portfolio_margin.positions",
        grid_inputs([{"quantity": -3, "right": "call", "strike": 100, "price": 100 / 9, "days_to_expiry": 365}]),
        {"minimum": 112.5, "requirement": 300 * (50 / 3 - 100 / 9)},
    ),
    ("portfolio_margin.concentration_shock", {**SHOCK, "expected_price_range": 0.4}, {"shock": 0.4}),
    ("portfolio_margin.concentration_shock", {**SHOCK, "expected_price_range": 0.2}, {"shock": 0.15}),
    (
        "portfolio_margin.concentration_shock",
        {**SHOCK, "expected_price_range": 0.3, "standard_range": 0.35},
        {"shock": 0.35},
    ),
]


def line(family, inputs, expected, **fields):
    tolerance = {"rel": 1e-9, "abs": 1e-12}
    case = {"id": f"{family}/own", "family": family, "inputs": inputs, "expected": expected}
    return {**case, "tolerance": tolerance, **fields}


@pytest.fixture
def write(tmp_path):
    def write_lines(*lines, name="cases.jsonl"):
        file = tmp_path / name
        text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
        file.write_text(text + "\n", encoding="utf-8")
        return file

    return write_lines


@pytest.fixture
def answer(write):
    """What the runner says when a rule that should answer `expected` answers `got`."""

    def run_one(expected, got, **fields):
        def rule(inputs):
            return got

        return run(write(line("own", {}, expected, **fields)), families={"own": rule})

    return run_one


# -- cases


@pytest.mark.parametrize("case", OWN, ids=[f"{index}-{family}" for index, (family, _, _) in enumerate(OWN)])
def test_own_cases(write, case):
    outcome = run(write(line(*case)))
    assert outcome.ok, outcome.text()
    assert outcome.families == {case[0]: Tally(passed=1)}


def test_every_family_has_an_own_case():
    """Families whose rule has a test file of its own, with its cases, are not asked for here."""
    assert {family for family, _, _ in OWN} == set(core.FAMILIES)


# lattices of 500 steps, some thirty a series, are nothing for an interpreter
SLOW = {"portfolio_margin": pytest.mark.slow_interpreted}


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in FILES])
def test_shared_cases(name):
    file = SHARED / f"{name}.jsonl"
    if not file.exists():
        pytest.skip("the shared worked cases are not beside this checkout")
    outcome = run(file)
    assert outcome.ok, outcome.text()
    known = {family: tally for family, tally in outcome.families.items() if family in FAMILIES}
    assert sum(tally.passed for tally in known.values()) >= FILES[name]
    assert all(tally.not_implemented == 0 for tally in known.values())


def test_the_published_example_comes_out(write):
    # stand-alone 343.24 million, both factors above the cap of 80 %: 68.648 million remain
    ficc = {"treasury_leg": 200e6, "futures_leg": 140e6, "combined": 40e6}
    cme = {"treasury_leg": 190e6, "futures_leg": 143.24e6, "combined": 30e6}
    inputs = {"ficc_model_usd": ficc, "cme_model_usd": cme, "reduction_cap": 0.8, "reduction_minimum": 0.0}
    expected = {"standalone_total_usd": 343.24e6, "total_requirement_usd": 68.648e6, "binding_limit": "cap"}
    outcome = run(write(line("cross_margin.two_pot", inputs, expected)))
    assert outcome.ok, outcome.text()


# -- wrong rules are found


def test_a_wrong_rule_fails(write):
    families, inputs, expected = OWN[0]
    file = write(line(families, inputs, expected), line(families, inputs, {"value": 9}))
    outcome = run(file, families={"risk.tail": lambda inputs: {"value": max(inputs["losses"])}})
    assert not outcome.ok
    assert outcome.families == {"risk.tail": Tally(passed=1, failed=1)}
    (failure,) = outcome.failures
    assert (failure.field, failure.expected, failure.got) == ("value", 7.5, 9)
    assert "off by 1.5" in failure.message


@pytest.mark.parametrize("case", OWN, ids=[f"{index}-{family}" for index, (family, _, _) in enumerate(OWN)])
def test_every_own_case_tells_a_rule_from_one_slightly_off(write, case):
    family = case[0]

    def off(inputs):
        right = FAMILIES[family](inputs)
        return {
            name: value if isinstance(value, str) else np.asarray(value) * 1.001 + 0.001
            for name, value in right.items()
        }

    outcome = run(write(line(*case)), families={family: off})
    numbers = [name for name, value in case[2].items() if not isinstance(value, str)]
    assert outcome.families == {family: Tally(failed=1)}
    assert [failure.field.partition("[")[0] for failure in outcome.failures] == numbers


def test_a_rule_that_raises_fails_its_case_alone(write):
    def rule(inputs):
        if inputs["x"] == 2:
            raise ZeroDivisionError("of\nall things")
        return {"y": inputs["x"]}

    file = write(*(line("own", {"x": x}, {"y": x}, id=f"own/{x}") for x in (1, 2, 3)))
    outcome = run(file, families={"own": rule})
    assert outcome.families == {"own": Tally(passed=2, failed=1)}
    assert str(outcome.failures[0]) == "own/2: ZeroDivisionError: of all things"


def test_a_refusal_of_the_library_is_a_failure_with_its_message(write):
    inputs = {**TAIL, "losses": [1, 2], "estimator": "kth_worst", "k": 3}
    outcome = run(write(line("risk.tail", inputs, {"value": 2})))
    assert "k = 3 of only 2 scenarios" in outcome.failures[0].message


def test_unknown_families_are_counted_case_by_case(write):
    lines = [line("var.not_yet", {}, {"value": 1}), line("span.not_yet", {}, {"value": 1})]
    outcome = run([write(*lines), write(*lines, name="again.jsonl")])
    assert outcome.ok
    assert outcome.families == {name: Tally(not_implemented=2) for name in ("span.not_yet", "var.not_yet")}


def test_another_engine_can_stand_alone(write):
    file = write(line(*OWN[0]), line(*OWN[-1]))
    outcome = run(file, families={OWN[0][0]: FAMILIES[OWN[0][0]]}, builtin=False)
    assert outcome.families == {OWN[-1][0]: Tally(not_implemented=1), OWN[0][0]: Tally(passed=1)}


# -- the comparison rule


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (1, 1.0),
        (100, 100.99),  # relative tolerance
        (0, -0.1),  # absolute tolerance
        (-100, -101),  # the boundary itself
        (1, np.float32(1.0)),
        (7, np.int64(7)),
        (True, True),
        (False, np.bool_(False)),
        ("cap", "cap"),
        (None, "anything"),
        ([1, 2], (1, 2)),
        ([[1, 2], [3, None]], np.array([[1.0, 2.0], [3.0, np.nan]])),
        ([], []),
        ({"a": {"b": [1]}, "c": None}, {"a": {"b": [1.0]}, "more": 1}),
    ],
)
def test_near_enough(answer, expected, got):
    outcome = answer({"x": expected}, {"x": got, "unasked": None}, tolerance={"rel": 0.01, "abs": 0.1})
    assert outcome.ok, outcome.text()


@pytest.mark.parametrize(
    ("expected", "got", "field"),
    [
        (100, 101.01, "x"),
        (0, 0.11, "x"),
        (1, float("nan"), "x"),
        (1, float("inf"), "x"),
        (1, "1", "x"),
        (1, None, "x"),
        (1, True, "x"),
        (0, False, "x"),
        (1, [1], "x"),
        (1, Fraction(1), "x"),
        (10**400, 1.0, ""),  # the comparison itself overflows: a failure, no crash
        (True, 1, "x"),
        (True, False, "x"),
        ("cap", "CAP", "x"),
        ("1", 1, "x"),
        ([1, 2], [1], "x"),
        ([1, 2], 1, "x"),
        ([1, 2], "12", "x"),
        ([], None, "x"),
        ([1, 2, 3], [1, 5, 6], "x[1]"),
        ([[1], [2]], np.array([[1], [3]]), "x[1][0]"),
        ({"a": 1}, 1, "x"),
        ({"a": 1}, {}, "x.a"),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}, "x.a.b[0]"),
    ],
)
def test_not_near_enough(answer, expected, got, field):
    outcome = answer({"x": expected, "fine": 1}, {"x": got, "fine": 1}, tolerance={"rel": 0.01, "abs": 0.1})
    assert [failure.field for failure in outcome.failures] == [field]
    json.dumps(outcome.to_json_dict(), allow_nan=False)


def test_a_missing_field_fails_unless_nothing_is_expected(answer):
    outcome = answer({"x": 1, "y": None}, {})
    assert [str(failure) for failure in outcome.failures] == ["own/own [x]: expected 1, got no such field"]


@pytest.mark.parametrize("got", [None, 3.0, [1], "x"])
def test_an_answer_that_is_no_mapping_fails(answer, got):
    (failure,) = answer({"x": 1}, got).failures
    assert failure.field == ""
    assert "expected an object" in failure.message


def test_one_failure_a_field_says_how_many_more(answer):
    outcome = answer({"x": [1, 2, 3], "y": 1}, {"x": [1, 3, 4], "y": 2})
    assert [failure.field for failure in outcome.failures] == ["x[1]", "y"]
    assert outcome.failures[0].message.endswith("(and 1 more in x)")
    assert outcome.families == {"own": Tally(failed=1)}


# -- reports


def test_json_and_text(answer):
    outcome = answer({"x": 1}, {"x": float("nan")}, tolerance={"rel": 0, "abs": 0.5})
    assert outcome.to_json_dict() == {
        "families": {"own": {"passed": 0, "failed": 1, "not_implemented": 0}},
        "failures": [
            {
                "id": "own/own",
                "family": "own",
                "field": "x",
                "expected": 1,
                "got": "nan",
                "tolerance": {"rel": 0.0, "abs": 0.5},
                "message": "expected 1, got nan, off by nan",
            }
        ],
    }
    assert outcome.text().splitlines() == [
        "FAILED own/own [x]: expected 1, got nan, off by nan",
        "family  passed  failed  not implemented",
        "own          0       1                0",
        "total        0       1                0",
    ]


def test_json_holds_whatever_a_rule_answered(answer):
    got = {"x": [object, Fraction(1, 2), {"a": np.array([1.0, np.inf])}]}
    (failure,) = answer({"x": 1}, got).to_json_dict()["failures"]
    assert failure["got"] == ["<class 'object'>", "Fraction(1, 2)", {"a": [1.0, "inf"]}]


def test_an_empty_outcome_has_a_text():
    assert Outcome({}, ()).text().splitlines()[-1].split() == ["total", "0", "0", "0"]


# -- malformed files


def problems_of(*paths):
    with pytest.raises(InputError) as caught:
        run(paths)
    return caught.value.problems


def test_everything_malformed_is_listed_before_anything_runs(write, tmp_path):
    good = line(*OWN[0])
    file = write(
        good,
        "{not json",
        "",
        "[1, 2]",
        {**good, "inputs": [], "expected": None},
        {name: value for name, value in good.items() if name not in ("id", "tolerance")},
        {**good, "tolerance": {"rel": -1}},
        {**good, "tolerance": {"rel": True, "abs": "0"}},
        '{"id": "x", "expected": NaN}',
    )
    problems = problems_of(file, tmp_path / "absent.jsonl")
    assert [(problem.where.removeprefix(f"{file} "), problem.what.split(" (")[0]) for problem in problems] == [
        ("line 2", "not JSON"),
        ("line 4", "not a JSON object."),
        ("line 5", "'inputs' is not an object."),
        ("line 5", "'expected' is not an object."),
        ("line 6", "'id' is missing."),
        ("line 6", "'tolerance' is missing."),
        ("line 7", "tolerance 'rel' is -1."),
        ("line 7", "tolerance 'abs' is None."),
        ("line 8", "tolerance 'rel' is True."),
        ("line 8", "tolerance 'abs' is '0'."),
        ("line 9", "not JSON"),
        (str(tmp_path / "absent.jsonl"), "cannot be read"),
    ]


def test_files_that_hold_no_case(write, tmp_path):
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    whats = [problem.what for problem in problems_of(write("", "  "), tmp_path, binary)]
    assert whats[0] == "holds no case."
    assert all(what.startswith("cannot be read") for what in whats[1:])
    assert [problem.what for problem in problems_of()] == ["no case file was given."]


def test_deeply_nested_json_is_refused(write):
    assert problems_of(write("[" * 100_000))[0].what.startswith("not JSON")


def test_byte_order_mark_windows_line_ends_and_a_missing_last_one_are_read(tmp_path):
    file = tmp_path / "cases.jsonl"
    text = "\r\n".join(json.dumps(line(*case)) for case in OWN[:2])
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert run(str(file)).families == {"risk.tail": Tally(passed=2)}
