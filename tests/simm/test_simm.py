"""SIMM: figures worked by hand, the slow twin, the shared cases, the tree, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from crossmargin.cli import main
from crossmargin.conformance import run
from crossmargin.errors import InputError
from crossmargin.results import Line
from crossmargin.simm import AddOns, NotionalAddOn, calibration_from, notional_add_ons, simm
from tests.reference.simm_twin import twin
from tests.simm import made_up

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
CASES = SHARED / "cases" / "simm.jsonl"
JSON = made_up.calibration()
MADE_UP = calibration_from(JSON)


def sensitivity(kind, qualifier, amount, **more):
    blank = {"product_class": "RatesFX", "bucket": "", "label1": "", "label2": ""}
    return blank | {"risk_type": f"Risk_{kind}", "qualifier": qualifier, "amount_usd": amount} | more


def curve(amount, tenor="5y", label="OIS", currency="USD"):
    return sensitivity("IRCurve", currency, amount, label1=tenor, label2=label)


def equity(amount, name="A", bucket="1"):
    return sensitivity("Equity", name, amount, bucket=bucket, product_class="Equity")


# ------------------------------------------------------------------------------------------- worked by hand


def test_one_tenor_is_weight_times_amount():
    assert simm([curve(1000.0)], MADE_UP).total == pytest.approx(1000 * (40 + 3 * 7))


def test_two_curves_of_a_currency_meet_by_the_sub_curve_correlation():
    found = simm([curve(1000.0), curve(-1000.0, label="Libor3m")], MADE_UP)
    assert found.total == pytest.approx(61_000 * (2 - 2 * 0.97) ** 0.5)


def test_two_currencies_meet_by_theirs():
    found = simm([curve(1000.0), curve(1000.0, currency="EUR")], MADE_UP)
    assert found.total == pytest.approx(61_000 * (2 + 2 * 0.3) ** 0.5)


def test_concentration_is_the_root_of_the_excess_and_only_at_ten_days():
    amount = 4 * 20e6  # four times the threshold
    assert simm([curve(amount)], MADE_UP).total == pytest.approx(2 * 61 * amount)
    assert simm([curve(amount)], MADE_UP, horizon_days=1).total == pytest.approx(0.3 * 61 * amount)


def test_the_basis_is_outside_the_concentration():
    basis = sensitivity("XCcyBasis", "USD", 4 * 20e6)
    assert simm([basis], MADE_UP).total == pytest.approx(19 * 4 * 20e6)


def test_concentration_of_two_names_damps_their_correlation():
    found = simm([equity(4 * 2e6), equity(1e6, "B")], MADE_UP).total
    big, small = 15 * 2 * 8e6, 15 * 1e6
    assert found == pytest.approx((big**2 + small**2 + 2 * 0.1 / 2 * big * small) ** 0.5)


def test_the_residual_bucket_comes_on_top():
    apart = [simm([row], MADE_UP).total for row in (equity(1e5), equity(-1e5, "B", "Residual"))]
    together = simm([equity(1e5), equity(-1e5, "B", "Residual")], MADE_UP).total
    assert together == pytest.approx(sum(apart))


def test_non_qualifying_names_are_told_apart_by_the_second_label():
    def credit(amount, name, label):
        fields = {"bucket": "1", "label1": "5y", "label2": label, "product_class": "Credit"}
        return sensitivity("CreditNonQ", name, amount, **fields)

    def together(label):
        return simm([credit(1e4, "A", "x"), credit(1e4, "B", label)], MADE_UP).total

    assert together("x") == pytest.approx(50e4 * (2 + 2 * 0.9) ** 0.5)
    assert together("y") == pytest.approx(50e4 * (2 + 2 * 0.4) ** 0.5)


def test_curvature_of_one_long_position():
    vol = sensitivity("IRVol", "USD", 1e5, label1="1y")
    tail = 2.5758293035489004**2 - 1
    expected = 0.5 * 14 / 365 * 1e5 * (1 + tail) / 0.7**2
    found = simm([vol], MADE_UP).of("RatesFX", "interest_rate")
    assert found.measure("curvature") == pytest.approx(expected)
    assert found.measure("vega") == pytest.approx(0.2 * 1e5)


def test_curvature_of_a_short_position_is_nothing():
    vol = sensitivity("IRVol", "USD", -1e5, label1="1y")
    assert simm([vol], MADE_UP).of("RatesFX", "interest_rate").measure("curvature") == pytest.approx(0.0)
    assert simm([vol], MADE_UP, side="post").of("RatesFX", "interest_rate").measure("curvature") > 0


def test_volatility_indices_have_no_curvature():
    vol = sensitivity("EquityVol", "VIX", 1e5, label1="1y", bucket="12", product_class="Equity")
    found = simm([vol], MADE_UP).of("Equity", "equity")
    assert found.measure("vega") > 0
    assert found.measure("curvature") == 0


def test_implied_volatility_of_a_currency_pair_comes_from_both_groups():
    ratios = []
    for pair in ("USDEUR", "EURARS", "NGNARS"):
        vol = sensitivity("FXVol", pair, 1.0, label1="1y")
        ratios.append(simm([vol], MADE_UP).of("RatesFX", "fx").measure("vega"))
    assert np.divide(ratios, ratios[0]) == pytest.approx([1, 15 / 7, 22 / 7])


def test_fx_in_the_calculation_currency_carries_no_risk():
    rows = [sensitivity("FX", "EUR", 1e6)]
    assert simm(rows, MADE_UP).total == pytest.approx(7e6)
    assert simm(rows, MADE_UP, calculation_currency="eur").total == 0
    assert simm(rows, MADE_UP, calculation_currency="ARS").total == pytest.approx(15e6)


def test_product_classes_add_and_risk_classes_do_not():
    rows = [curve(1e4), equity(1e5) | {"product_class": "RatesFX"}]
    same, apart = simm(rows, MADE_UP), simm([rows[0], rows[1] | {"product_class": "Equity"}], MADE_UP)
    rate, share = 61e4, 15e5
    assert apart.total == pytest.approx(rate + share)
    assert same.total == pytest.approx((rate**2 + share**2 + 2 * 0.16 * rate * share) ** 0.5)


# ----------------------------------------------------------------------------------------- twin, shared cases


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("horizon", "currency"), [(10, "USD"), (10, "ARS"), (1, "EUR")])
@pytest.mark.parametrize("size", [1e2, 1e5, 1e8])
def test_the_twin_agrees(seed, horizon, currency, size):
    rows = made_up.book(120, seed, size=size)
    expected, parts = twin(rows, JSON, horizon_days=horizon, currency=currency)
    found = simm(rows, MADE_UP, horizon_days=horizon, calculation_currency=currency)
    assert found.total == pytest.approx(expected, rel=1e-12)
    for (product, risk), measures in parts.items():
        got = {name: found.of(product, risk).measure(name) for name in measures}
        assert got == pytest.approx(measures, rel=1e-11, abs=1e-6)


def test_many_names_of_unequal_size_agree_with_the_twin():
    rows = [made_up.row(made_up.random.Random(n), kind="Equity", names=150, size=10.0 ** (n % 9)) for n in range(300)]
    rows = [row | {"product_class": "Equity"} for row in rows]
    assert simm(rows, MADE_UP).total == pytest.approx(twin(rows, JSON)[0], rel=1e-12)


@pytest.mark.skipif(not CASES.exists(), reason="the shared worked cases are not beside this checkout")
def test_shared_cases():
    outcome = run(CASES)
    assert outcome.ok, outcome.text()
    assert {name: tally.passed for name, tally in outcome.families.items()} == {
        "simm.total": 1027,
        "simm.risk_class": 34,
    }


def case(**more):
    inputs = {"calibration": "mine", "horizon_days": 10, "calculation_currency": "USD", "sensitivities": [curve(1.0)]}
    inputs |= {"product_class_multipliers": {}, "addon_fixed_usd": [], "addon_factors": [], "addon_notionals": []}
    fields = {"id": "one", "family": "simm.total", "expected": {"margin_usd": 61}, "tolerance": {"rel": 0, "abs": 1e-9}}
    return json.dumps(fields | {"inputs": inputs | more})


def test_calibrations_are_found_beside_the_case_file_or_where_the_caller_says(tmp_path):
    cases, data = tmp_path / "cases", tmp_path / "data" / "simm"
    cases.mkdir()
    data.mkdir(parents=True)
    (cases / "own.jsonl").write_text(case())
    (data / "simm_mine.json").write_text(json.dumps(JSON))
    assert run(cases / "own.jsonl").ok
    data.rename(tmp_path / "elsewhere")
    (failure,) = run(cases / "own.jsonl").failures
    assert "no folder of SIMM calibrations" in failure.message
    assert "--calibrations DIR" in failure.message
    with pytest.raises(InputError, match=r"is no folder\..*--calibrations DIR"):
        run(cases / "own.jsonl", calibrations=data)
    assert run(cases / "own.jsonl", calibrations=tmp_path / "elsewhere").ok
    (cases / "own.jsonl").write_text(case(calibration="mime"))
    (failure,) = run(cases / "own.jsonl", calibrations=tmp_path / "elsewhere").failures
    assert "no calibration 'mime'" in failure.message
    assert "Did you mean 'mine'?" in failure.message


def test_cases_may_lie_deeper_and_others_run_without_calibrations(tmp_path):
    cases, data = tmp_path / "cases" / "mine" / "new", tmp_path / "data" / "simm"
    cases.mkdir(parents=True)
    pair = {"outright_margin_a": 2.0, "outright_margin_b": 1.0, "credit_rate": 0.5}
    other = {"id": "two", "family": "cross_margin.spread_credit", "inputs": {"spreads": [pair]}, "expected": {}}
    (cases / "own.jsonl").write_text(case() + "\n" + json.dumps(other | {"tolerance": {"rel": 0, "abs": 0}}))
    outcome = run(cases / "own.jsonl")
    assert [failure.id for failure in outcome.failures] == ["one"]
    data.mkdir(parents=True)
    (data / "simm_mine.json").write_text(json.dumps(JSON))
    assert run(cases / "own.jsonl").ok


def test_another_engine_needs_no_calibrations(tmp_path):
    (tmp_path / "own.jsonl").write_text(case())
    outcome = run(tmp_path / "own.jsonl", families={"simm.total": lambda _: {"margin_usd": 61}})
    assert outcome.ok


# --------------------------------------------------------------------------------------------------- add-ons


def test_multipliers_and_add_ons():
    add_ons = AddOns({"RatesFX": 1.5}, (10.0, 20.0), notional_add_ons([("p", 5.0), ("q", 1.0)], [("p", 100.0)]))
    found = simm([curve(1000.0)], MADE_UP, add_ons=add_ons)
    assert found.total == pytest.approx(1.5 * 61_000 + 30 + 5)
    assert found.line().amount == pytest.approx(found.total)
    assert simm([], MADE_UP, add_ons=add_ons).total == 35


def test_add_ons_that_make_no_sense_are_listed_together():
    with pytest.raises(InputError) as caught:
        AddOns({"Rates": 2.0, "Credit": 0.5}, (-1.0, float("nan")), (NotionalAddOn("p", float("inf"), -1.0),))
    assert len(caught.value.problems) == 6
    with pytest.raises(InputError) as caught:
        AddOns({"Equity": "1", "Credit": None}, ("5",))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("currency", [None, 840, "US", ""])
def test_what_is_no_currency_is_refused(currency):
    with pytest.raises(InputError, match="is no currency"):
        simm([curve(1.0)], MADE_UP, calculation_currency=currency)


# ------------------------------------------------------------------------------------------------------ tree


def test_the_tree_explains_the_total():
    found = simm(made_up.book(200, 3), MADE_UP)
    line = found.line()
    assert line.amount == pytest.approx(found.total, rel=1e-12)
    assert "isdalegal@isda.org" in line.note
    assert {part.name.split()[0] for part in line.parts} == set(found.product_classes)
    assert line.part("interest_rate").amount == pytest.approx(found.of("RatesFX", "interest_rate").amount)
    assert all(isinstance(each, Line) for each in line.walk())
    assert found.explain(1).startswith("simm")
    assert "(beside) margin of the bucket alone" in found.explain()


def test_records_are_the_parts():
    found = simm(made_up.book(200, 3), MADE_UP)
    for record in found.to_records():
        cell = found.of(record["product_class"], record["risk_class"])
        assert record["amount"] == cell.measure(record["measure"])


def test_nothing_is_nothing():
    found = simm([], MADE_UP)
    assert (found.total, found.line().amount, found.to_records(), found.product_classes) == (0, 0, [], ())
    assert simm([curve(0.0)], MADE_UP).total == 0
    assert simm([curve(0.0)], MADE_UP).line().amount == 0


# --------------------------------------------------------------------------------------------------- refusals


def test_everything_unknown_to_the_calibration_is_listed():
    rows = [curve(1.0, "4y"), equity(1.0, bucket="13"), equity(2.0, bucket="13"), curve(1.0)]
    with pytest.raises(InputError) as caught:
        simm(rows, MADE_UP, calculation_currency="US", side="both")
    whats = [(problem.where, problem.what) for problem in caught.value.problems]
    assert whats == [
        ("calculation_currency", "'US' is no currency."),
        ("side", "'both' is unknown."),
        ("row 1, field 'label1'", "'4y' is not in the calibration for Risk_IRCurve."),
        ("rows 2, 3, field 'bucket'", "'13' is not in the calibration for Risk_Equity."),
    ]


def test_an_unknown_horizon_is_refused():
    with pytest.raises(InputError, match="no horizon of 5 days"):
        simm([], MADE_UP, horizon_days=5)


def test_the_command_line_names_the_folder(tmp_path, capsys):
    (tmp_path / "own.jsonl").write_text(case())
    (tmp_path / "simm_mine.json").write_text(json.dumps(JSON))
    assert main(["conformance", str(tmp_path / "own.jsonl"), "--calibrations", str(tmp_path)]) == 0
    assert main(["conformance", str(tmp_path / "own.jsonl")]) == 1
    assert "--calibrations DIR" in capsys.readouterr().out
