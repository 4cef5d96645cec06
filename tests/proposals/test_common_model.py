"""The common model and its guardrails, by hand on three scenarios, and what every proposal of the family shares."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass, InsolvencyRegime
from crossmargin.analysis.attribution import attribute
from crossmargin.common_model import NOT_IN_FORCE, requirement, scenarios
from crossmargin.errors import InputError
from crossmargin.guardrails import GUARDRAILS
from crossmargin.margin import compare, margin
from crossmargin.methodology import Inputs
from crossmargin.pnl import PnL
from crossmargin.portfolio import Pool, Position
from crossmargin.products import IndexFuture, ListedOption, OvernightSwap, Stock
from crossmargin.regimes import HARMONIZED, PROPOSALS, SILOED
from crossmargin.registry import module, rules
from crossmargin.results import Line, Report, total
from crossmargin.samples import swap_book
from crossmargin.scenarios import ScenarioSet
from tests.arrangements.test_one_pot_laws import index_market
from tests.properties.strategies import (
    AS_OF,
    ETF_OPTION,
    NOTE_7,
    OPTION,
    SR3,
    TIPS_8,
    UB,
    ZN,
    basis,
    book,
    market,
)

GUARDED, FULL = rules("harmonized_with_guardrails"), rules("full_harmonized")
FAMILY = ("one_pot_futures_account", "one_pot_securities_account", "full_harmonized", "harmonized_with_guardrails")
SAMPLE = {NOTE_7: [-0.02, 0.01, -0.01], UB: [-3_000.0, 2_000.0, -2_500.0]}
STRESSED = {NOTE_7: [-0.04, 0.0], UB: [-3_000.0, 1_000.0]}
HEDGED = ((NOTE_7, 1e6), (UB, -5.0))  # -20,000 + 15,000; 10,000 - 10,000; -10,000 + 12,500; stressed -25,000, -5,000
TERMS = {"exercise": "european", "settlement": "cash", "underlying_kind": "index"}
OPEN = {**GUARDED.at(AS_OF).gate_tests, "level": -1.0, "weakest_window": -1.0, "stressed": -1.0}


def pool(*lines, host=AccountClass.XM_FUTURES_4D_AB) -> Pool:
    held = tuple(Position(f"p{i}", "ALPHA-XM", *line) for i, line in enumerate(lines))
    return Pool("ALPHA", "DUAL", host, "common pool", "harmonized_with_guardrails", "", held)


def inputs(rule) -> Inputs:
    """The sample for every scenario set that the rule asks for, the stressed one for those of stress."""
    pnl = {}
    for spec in scenarios(rule.at(AS_OF)):
        gains = STRESSED if spec.kind == "stress" else SAMPLE
        values = np.array(list(gains.values()))
        drawn = ScenarioSet(spec, [5.0], np.zeros((1, values.shape[1])))
        pnl[spec] = PnL(tuple(gains), values, np.zeros(2), np.zeros(2), drawn)
    return Inputs(book(), market(), pnl)


def ask(on=(), *lines, siloed=0.0, rule=GUARDED, **overlaid) -> Line:
    study = rule.with_values(guardrails=list(on), because="test", **overlaid)
    today = siloed if isinstance(siloed, Line) else Line("siloed requirement", siloed)
    return requirement(pool(*(lines or HEDGED)), today, inputs(study), study.at(AS_OF))


# -------------------------------------------------------------------------------------------------- figures, by hand


@pytest.mark.parametrize(
    ("on", "overlaid", "siloed", "by_hand"),
    [
        ((), {}, 0.0, 5_000.0),
        (["offset_gate"], {"offset_pairs": []}, 0.0, 30_000.0),  # 20,000 and 10,000, nothing offsets
        (["offset_gate"], {"gate_tests": OPEN}, 0.0, 5_000.0),
        (["offset_cap"], {}, 0.0, 10_000.0),  # 0.2 x 30,000 + 0.8 x 5,000
        (["offset_cap"], {"offset_share": 1.0}, 0.0, 5_000.0),
        (["offset_gate", "offset_cap"], {"offset_pairs": []}, 0.0, 30_000.0),
        (["stress_weight"], {}, 0.0, 10_000.0),  # 0.75 x 5,000 + 0.25 x 25,000
        (["stress_weight", "offset_gate"], {"offset_pairs": []}, 0.0, 33_750.0),  # 0.75 x 30,000 + 0.25 x 45,000
        (["long_run_floor"], {}, 0.0, 5_000.0),
        (["buffer"], {}, 0.0, 6_250.0),
        (["buffer"], {"buffer_used_fraction": 0.2}, 0.0, 6_000.0),
        (["buffer", "stress_weight"], {}, 0.0, 12_500.0),
        (["reduction_cap"], {}, 50_000.0, 10_000.0),
        (["reduction_cap"], {}, 20_000.0, 5_000.0),
        (["siloed_floor"], {"floor_share": 0.5}, 50_000.0, 25_000.0),
        (["stress_floor"], {}, 0.0, 12_500.0),  # half of 25,000
        (["pot_minimum"], {"pot_minimum": 7_000}, 50_000.0, 7_000.0),
        (["pot_minimum"], {"pot_minimum": 7_000}, 6_000.0, 6_000.0),
        (["buffer", "reduction_cap", "siloed_floor", "stress_floor"], {}, 50_000.0, 12_500.0),
    ],
)
def test_each_guardrail_by_hand(on, overlaid, siloed, by_hand):
    assert ask(on, siloed=siloed, **overlaid).value == pytest.approx(by_hand)


def test_charges_by_size_by_hand():
    # 1m of 250bn a day is 0.0004 %: 0.05 x 0.0004 / 5 of 20,000; 5 of 300,000 is 5/3000 %: likewise of 10,000
    shares = 0.05 * np.array([0.0004, 5 / 3000]) / 5.0
    spread = 1e6 * 0.00008 + 5 * 15.625
    found = ask(["liquidity_add_on", "concentration_add_on"])
    assert found.part("liquidity_charge").value == pytest.approx(spread + shares @ [20_000.0, 10_000.0])
    assert found.part("concentration_charge").value == 0.0
    large = ask(["concentration_add_on"], (UB, -150_000.0))  # half of a day's volume
    assert large.part("concentration_charge").value == pytest.approx(0.25 * 2_000.0 * 150_000)


def test_a_sample_too_short_for_a_window_is_visibly_no_correlation_break():
    found = ask(["correlation_break"])
    assert found.value == pytest.approx(5_000.0)
    assert found.partial


def test_pots_count_one_by_one():
    today = total("siloed requirement", [Line("ficc_gsd requirement", 400.0), Line("occ_stans_like requirement", 9e6)])
    found = ask(["pot_minimum"], (NOTE_7, 1.0), siloed=today, pot_minimum=1_000_000)
    assert found.value == pytest.approx(1_000_400.0)


def test_value_at_risk_is_a_switch_and_its_confidence_too():
    assert ask(rule=FULL, estimator="quantile", confidence=0.5).value == 0.0
    assert ask(rule=FULL, confidence=1 / 3).value == pytest.approx(2_500.0)  # the mean of the worst two of three
    with pytest.raises(InputError, match="Did you mean 'quantile'"):
        ask(rule=FULL, estimator="quantil")


def test_what_cannot_be_revalued_takes_a_haircut_or_is_a_gap():
    found = ask((), (NOTE_7, 1e6), (TIPS_8, 2e6), (OPTION, 3.0))
    assert found.part("expected_shortfall").value == pytest.approx(20_000.0)
    assert found.part("haircut_charge").value == pytest.approx(60_000.0)
    assert [line.name for line in found.walk() if line.how == "not_modelled"] == [f"p2: {OPTION.symbol}"]


def test_an_empty_pool_and_one_that_cannot_be_margined():
    assert ask(GUARDRAILS, (OPTION, 1.0), (SR3, 0.0)).partial
    study = FULL.with_values(because="test", haircuts=[])
    nothing = requirement(pool((OPTION, 1.0)), Line("siloed", None, "not_modelled"), inputs(study), study.at(AS_OF))
    assert nothing.value == 0.0
    assert nothing.partial


# ---------------------------------------------------------------------------------------------- marginal effects


def test_every_guardrail_has_a_line_with_what_is_asked_without_it():
    on = [name for name in GUARDRAILS if name != "correlation_break"]
    full = ask(on, siloed=50_000.0)
    beside = {memo.name.removeprefix("requirement without "): memo.value for line in full.walk() for memo in line.memo}
    for name in on:
        assert beside[name] == pytest.approx(ask([other for other in on if other != name], siloed=50_000.0).value)
        assert beside[name] <= full.value


def test_the_gate_shows_its_evidence_beside_its_line():
    apart = ask(["offset_gate"]).part("margined apart")
    shown = {line.name: line for line in apart.memo}
    assert "intermediate Treasuries with long Treasuries" in shown
    assert "basis: one yield curve, one issuer" in shown["intermediate Treasuries with long Treasuries"].note
    assert {read.name for read in apart.reads} >= {"offset_groups", "offset_pairs", "offset_history", "gate_tests"}


def test_the_gate_is_tested_once_a_run(monkeypatch):
    from crossmargin import common_model

    calls = []
    gate = common_model.offset_gate
    monkeypatch.setattr(common_model, "offset_gate", lambda *a, **k: calls.append(a) or gate(*a, **k))
    (regime,) = [each for each in PROPOSALS if each.name == "harmonized_with_guardrails"]
    report = margin(book(*basis(), *basis("BETA"), *basis("DUAL")), market(), regime)
    assert len([entry for entry in report.requirements if entry.pot == "common pool"]) > 2
    assert len(calls) == 1


def test_an_overlaid_switch_shows_on_the_figure():
    found = ask(["buffer"])
    (read,) = [read for read in found.reads if read.name == "guardrails"]
    assert (read.value, read.because) == (("buffer",), "test")


# ------------------------------------------------------------------------------------------------------- horizons


def test_a_pool_takes_the_longest_horizon_of_what_it_holds():
    one_pot = rules("one_pot_futures_account")
    assert sorted(spec.horizon_days for spec in scenarios(one_pot.at(AS_OF))) == [1, 2, 3, 5]
    gains = {1: 100.0, 2: 200.0, 3: 300.0, 5: 500.0}
    pnl = {
        spec: PnL(
            (NOTE_7, ZN),
            np.array([[-gains[spec.horizon_days]], [-gains[spec.horizon_days]]]),
            np.zeros(2),
            np.zeros(2),
            ScenarioSet(spec, [5.0], [[0.0]]),
        )
        for spec in scenarios(one_pot.at(AS_OF))
    }
    asked = {
        lines: requirement(pool(*lines), Line("siloed", 0.0), Inputs(book(), market(), pnl), one_pot.at(AS_OF)).value
        for lines in (((ZN, 1.0),), ((ZN, 1.0), (NOTE_7, 1.0)), ((Stock("XYZ"), 0.0), (ZN, 1.0)), ((ETF_OPTION, 0.0),))
    }
    assert list(asked.values()) == [100.0, 600.0, 200.0, 0.0]


def test_what_no_row_is_for_takes_the_longest_horizon():
    rows = [{"kinds": ["treasury_future"], "days": 1}, {"kinds": ["interest_rate_swap"], "days": 5}]
    study = rules("one_pot_futures_account").with_values(horizons=rows, because="test")
    five = next(spec for spec in scenarios(study.at(AS_OF)) if spec.horizon_days == 5)
    pnl = {five: PnL((NOTE_7,), [[-7.0]], [0.0], [0.0], ScenarioSet(five, [5.0], [[0.0]]))}
    asked = requirement(pool((NOTE_7, 1.0)), Line("s", 0.0), Inputs(book(), market(), pnl), study.at(AS_OF))
    assert asked.value == 7.0


# ------------------------------------------------------------------------------------------ hosts, scope and status


def test_the_host_changes_the_law_and_not_the_figure():
    held = book(*basis(), *basis("DUAL"))
    futures, securities = compare(held, market(), [each for each in PROPOSALS if "one_pot" in each.name]).reports
    assert futures.total() == pytest.approx(securities.total(), rel=1e-12)
    found = {report.regime: {e.account_class for e in report.requirements} for report in (futures, securities)}
    assert found == {
        "one_pot_futures_account": {"XM_FUTURES_4D_AB", "PROPRIETARY"},
        "one_pot_securities_account": {"SEC_15C3_3", "PROPRIETARY"},
    }
    notes = [e.line.note for e in securities.requirements if e.owner == "ALPHA" and e.level == "clearing"]
    assert all(InsolvencyRegime.SIPA.value in note for note in notes)


@pytest.mark.parametrize("regime", PROPOSALS, ids=lambda regime: regime.name)
def test_a_regime_is_its_proposal_and_says_so_everywhere(regime):
    assert regime.name == regime.proposal
    assert rules(regime.proposal).status == "proposed"
    assert evolve(regime, name="", title="", proposal="", account_host=SILOED.account_host) == evolve(
        HARMONIZED, name="", title="", proposal=""
    )
    comparison = compare(book(*basis()), market(), (SILOED, regime))
    report = comparison[regime.name]
    assert report.status == "proposed"
    assert Report.from_json(report.to_json()) == report
    assert {record["status"] for record in report.to_records()} == {"proposed"}
    exports = [
        report.to_json(),
        str(report),
        report._repr_html_(),
        report.explain(0),
        report.explain(),
        str(comparison),
    ]
    assert all("proposed" in text for text in exports)
    asked = [entry.line for entry in report.requirements if entry.pot == "common pool" and entry.level == "clearing"]
    assert asked
    assert all(line.note.startswith(NOT_IN_FORCE) for line in asked)


@pytest.mark.parametrize("id", [*FAMILY, "any_pair_two_pot"])
def test_values_are_proposed_or_assumed_and_reach_back_like_the_first_proposal(id):
    grades = {value.grade for parameter in rules(id).parameters.values() for value in parameter.values}
    assert grades <= {"proposed", "assumed"}
    assert rules(id).first_date == date(2018, 6, 1)
    assert callable(module(id).requirement)


def test_full_harmonization_takes_options_and_swaps_into_its_pool():
    (full,) = [each for each in PROPOSALS if each.name == "full_harmonized"]
    portfolio, made = swap_book()
    report = margin(portfolio, made, full)
    inside = {id for e in report.requirements if e.pot == "common pool" for id in e.positions}
    held = {position.id: position.product for position in portfolio.positions}
    assert any(isinstance(held[id], OvernightSwap) for id in inside)
    index = ListedOption("SPX", "put", 6000.0, date(2026, 9, 18), **TERMS)
    mixed = (*basis(), Position("f", "ALPHA-XM", IndexFuture("ES", 202609), 3.0), Position("o", "ALPHA-XM", index, 2.0))
    report = margin(book(*mixed), index_market(), full)
    (asked,) = [e for e in report.requirements if e.pot == "common pool" and e.level == "clearing"]
    assert set(asked.positions) == {"ALPHA-cash", "ALPHA-future", "f", "o"}
    assert asked.line.part("expected_shortfall").value > 0.0
    assert not [line for line in asked.line.part("model").walk() if line.how == "not_modelled"]


@pytest.mark.parametrize("proposed", PROPOSALS, ids=lambda each: each.name)
def test_the_bridge_from_silos_to_a_proposal_adds_up_and_says_proposed(proposed):
    held = book(*basis(), Position("t", "ALPHA-GOV", TIPS_8, 1e6))
    bridge = attribute(held, market(), SILOED, proposed)
    assert bridge.status == "proposed"
    assert bridge.line.value == pytest.approx(margin(held, market(), proposed).total())
