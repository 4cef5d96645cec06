"""Calibration files: what is read, what is refused, all at once; no parameter in the package."""

import copy
import json
import re
from math import inf
from pathlib import Path

import numpy as np
import pytest

import crossmargin.simm
from crossmargin.errors import InputError
from crossmargin.simm import LICENCE, calibration_from, find_calibration, load_calibration
from tests.simm import made_up

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "simm"
PACKAGE = Path(crossmargin.simm.__file__).parent


def changed(path, value):
    """The made-up calibration with one value replaced, or removed when it is None."""
    data = copy.deepcopy(made_up.calibration())
    *way, last = path
    block = data
    for key in way:
        block = block[key]
    if value is None:
        del block[last]
    else:
        block[last] = value
    return data


CORRELATIONS = "delta_correlation_by_calculation_currency_group"
THREE = {"high": ["ARS"], "low": ["JPY"], "regular": [], "default_group": "regular"}


def problems_of(data):
    with pytest.raises(InputError) as caught:
        calibration_from(data)
    return [f"{problem.where}: {problem.what}" for problem in caught.value.problems]


def test_units_are_usd_and_the_short_horizon_has_no_thresholds():
    found = calibration_from(made_up.calibration())
    ten, one = found.at(10), found.at(1)
    assert ten.rates.delta_thresholds["deep"] == 20e6
    assert ten.fx.vega_thresholds["category_2", "category_1"] == 150e6
    assert one.rates.delta_thresholds["deep"] == one.bucketed["equity"].delta_thresholds[0] == inf
    assert one.bucketed["equity"].delta_risk_weights[1] == pytest.approx(0.3 * 17)


def test_the_residual_bucket_has_no_correlation_with_others():
    credit = calibration_from(made_up.calibration()).at(10).bucketed["credit_qualifying"]
    assert credit.buckets[-1] == "Residual"
    assert not credit.inter_bucket_correlation[-1].any()
    assert (credit.same_name[0], credit.same_name[-1]) == (0.9, 0.55)


def test_nothing_in_it_can_change():
    found = calibration_from(made_up.calibration()).at(10)
    with pytest.raises(ValueError, match="read-only"):
        found.bucketed["equity"].delta_risk_weights[0] = 0.0
    with pytest.raises(AttributeError):
        found.horizon_days = 1


def test_it_says_whose_it_is():
    text = str(calibration_from(made_up.calibration()))
    assert text.startswith("SIMM calibration made up, effective 2026-01-01.")
    assert LICENCE in text


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (["schema"], "simm/9", "calibration: schema is 'simm/9'."),
        (["horizons_days"], ["10"], "calibration horizons_days: ['10'] is no list of days."),
        (["horizons_days"], None, "calibration horizons_days: None is no list of days."),
        (["equity"], None, "calibration equity: is missing."),
        (["equity"], 3, "calibration equity: is no block."),
        (["fx", "vega_risk_weight", "10"], None, "calibration fx vega_risk_weight 10: None is no number."),
        (
            ["fx", "volatility_groups"],
            THREE,
            "calibration fx volatility_groups: 3 groups: high, low, regular.",
        ),
        (
            ["fx", CORRELATIONS, "high", "high", "regular"],
            0.1,
            f"calibration fx {CORRELATIONS} high high regular: 0.1 is 0.6 the other way.",
        ),
        (
            ["fx", "delta_risk_weights", "1", "high", "regular"],
            0.1,
            "calibration fx delta_risk_weights 1 high regular: 0.1 is 4.5 the other way.",
        ),
        (["fx", "vega_risk_weight", "10"], True, "calibration fx vega_risk_weight 10: True is no number."),
        (["fx", "vega_correlation"], 1.5, "calibration fx vega_correlation: 1.5 is out of range."),
        (["fx", "vega_correlation"], float("nan"), "calibration fx vega_correlation: nan is no number."),
        (["equity", "delta_thresholds", "3"], 0, "calibration equity delta_thresholds 3: 0 is out of range."),
        (["equity", "delta_thresholds", "99"], 1, "calibration equity delta_thresholds 99: is unknown."),
        (
            ["equity", "delta_risk_weights", "1", "2"],
            -1,
            "calibration equity delta_risk_weights 1 2: -1 is out of range.",
        ),
        (["equity", "buckets"], ["1", "1"], "calibration equity buckets: names something twice."),
        (["interest_rate", "tenors"], "2w", "calibration interest_rate tenors: '2w' is no list of names."),
        (
            ["interest_rate", "delta_risk_weights", "10", "low"],
            [1, 2],
            "calibration interest_rate delta_risk_weights 10 low: is no such list.",
        ),
        (
            ["interest_rate", "tenor_correlation"],
            [[1, 0.2], [0.3, 1]],
            "calibration interest_rate tenor_correlation: is no correlation matrix.",
        ),
        (
            ["interest_rate", "currency_groups", "low"],
            "JPY",
            "calibration interest_rate currency_groups: are no groups.",
        ),
        (
            ["interest_rate", "currency_groups", "low"],
            ["USD"],
            "calibration interest_rate currency_groups: has a name in two groups.",
        ),
        (
            ["risk_class_correlation", "risk_classes"],
            ["fx"],
            "calibration risk_class_correlation risk_classes: ['fx'].",
        ),
        (
            ["equity", "inter_bucket_correlation", "buckets"],
            ["1"],
            "calibration equity inter_bucket_correlation buckets: ['1'].",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(path, value, problem):
    assert problem in problems_of(changed(path, value))


def test_all_problems_come_together_and_once():
    data = changed(["fx", "vega_correlation"], 2)
    data["equity"]["intra_bucket_correlation"]["1"] = 2
    assert len(problems_of(data)) == 2  # not once for each horizon


@pytest.mark.parametrize("data", [None, [], 3, {}])
def test_what_is_no_calibration_is_refused(data):
    assert "schema is None" in problems_of(data)[0]


def test_files(tmp_path):
    good = tmp_path / "simm_9.9.json"
    good.write_text(json.dumps(made_up.calibration()))
    assert load_calibration(good).version == "made up"
    assert find_calibration("9.9", tmp_path).version == "made up"
    with pytest.raises(InputError, match=r"no calibration '9.8'.*Did you mean '9.9'\?.*isdalegal@isda\.org"):
        find_calibration("9.8", tmp_path)
    with pytest.raises(InputError, match=r"cannot be read.*the library holds none.*isdalegal@isda\.org"):
        load_calibration(tmp_path / "absent.json")
    with pytest.raises(InputError, match="holds no calibration"):
        find_calibration("9.9", tmp_path / "absent")
    good.write_text("{")
    with pytest.raises(InputError, match="is no JSON"):
        load_calibration(good)


@pytest.mark.skipif(not REAL.exists(), reason="the shared calibrations are not beside this checkout")
def test_every_shared_calibration_is_read():
    files = sorted(REAL.glob("*.json"))
    assert len(files) >= 7
    for file in files:
        found = load_calibration(file)
        assert f"simm_{found.version}" == file.stem
        assert sorted(found.horizons) == [1, 10]
        eigenvalues = np.linalg.eigvalsh(found.at(10).risk_class_correlation)
        assert eigenvalues.min() > 0


def test_no_parameter_is_in_the_package():
    """No file of data, and no number with a decimal point that could be a weight or a correlation."""
    assert {path.suffix for path in PACKAGE.rglob("*") if path.is_file()} <= {".py", ".pyc"}
    allowed = {"0.0", "0.5", "1.0", "2.0", "7.0", "365.0", "0.99", "0.995", "16.0"}
    for path in PACKAGE.glob("*.py"):
        code = re.sub(r'""".*?"""|#[^\n]*', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert set(re.findall(r"(?<![\w.])\d+\.\d+", code)) <= allowed, path.name
