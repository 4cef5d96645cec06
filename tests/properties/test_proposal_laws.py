"""Laws of proposals: guardrails never lower, pooling never raises an expected shortfall, closed gates never offset."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import AccountClass
from crossmargin.common_model import requirement, scenarios
from crossmargin.guardrails import GUARDRAILS
from crossmargin.margin import compare, margin
from crossmargin.methodology import Inputs
from crossmargin.offset_gate import group_of
from crossmargin.pnl import PnL, can_revalue, revalue
from crossmargin.portfolio import Pool, Position
from crossmargin.regimes import PROPOSALS, SILOED, regime
from crossmargin.registry import rules
from crossmargin.results import Line, Report
from crossmargin.scenarios import ScenarioSet, scenario_set
from tests.properties.strategies import (
    AS_OF,
    ELIGIBLE_CASH,
    ELIGIBLE_FUTURES,
    INELIGIBLE,
    OWNERS,
    alike,
    book,
    few,
    holdings,
    lines,
    market,
    units,
)

GUARDED, FULL = rules("harmonized_with_guardrails"), rules("full_harmonized")
TWO_POT = regime("any_pair_two_pot")
PRODUCTS = (*ELIGIBLE_CASH, *ELIGIBLE_FUTURES, *INELIGIBLE[:6])
SLACK = 1 + 1e-9
switches = st.sets(st.sampled_from(sorted(GUARDRAILS)))
gates = st.sampled_from([-1.0, 0.3, 0.7, 1.0])
pools = st.lists(lines(["ALPHA-XM"], PRODUCTS), min_size=1, max_size=6)
any_proposal = pytest.mark.parametrize("proposal", PROPOSALS, ids=lambda each: each.name)


@cache
def inputs() -> Inputs:
    """The P&L of everything under every scenario set that guardrails can ask for."""
    asked = [*scenarios(FULL.at(AS_OF)), *scenarios(rule(frozenset(GUARDRAILS)).at(AS_OF))]
    known = [product for product in PRODUCTS if can_revalue(product)]
    pnl = {}
    for spec in dict.fromkeys(asked):
        pnl[spec] = revalue(known, market(), scenario_set(spec, market().history, AS_OF))
    return Inputs(book(), market(), pnl)


@cache
def of_gate(tests: str, pairs: int) -> Inputs:
    """The same inputs, apart for each gate: a run has one gate of a proposal."""
    return evolve(inputs())


def rule(on, level=0.7, **more):
    less = max(-1.0, level - 0.2)
    tests = {**GUARDED.at(AS_OF).gate_tests, "level": level, "weakest_window": less, "stressed": less}
    return GUARDED.with_values(guardrails=sorted(on), gate_tests=tests, because="law", **more)


def asked(held, how, siloed=0.0) -> Line:
    positions = tuple(Position(f"p{n}", *line) for n, line in enumerate(held))
    pool = Pool("ALPHA", "DUAL", AccountClass.XM_FUTURES_4D_AB, "common pool", how.id, "", positions)
    tests = sorted(how.at(AS_OF).gate_tests.items()) if "gate_tests" in how.parameters else ()
    pairs = how.at(AS_OF).offset_pairs if "offset_pairs" in how.parameters else ()
    return requirement(pool, Line("siloed requirement", siloed), of_gate(str(tests), len(pairs)), how.at(AS_OF))


# ----------------------------------------------------------------------------------------- guardrails never lower


@given(pools, switches, st.sampled_from(sorted(GUARDRAILS)), gates, st.floats(0.0, 1e8))
def test_a_further_guardrail_never_lowers_a_requirement(held, on, added, level, siloed):
    before, after = (asked(held, rule(some, level), siloed).value for some in (on - {added}, on | {added}))
    assert after * SLACK + 1e-6 >= before


@given(pools, switches, gates, st.floats(0.0, 1e8))
def test_what_stands_beside_a_guardrail_is_the_requirement_without_it(held, on, level, siloed):
    found = asked(held, rule(on, level), siloed)
    beside = {
        memo.name.removeprefix("requirement without "): memo.value
        for line in found.walk()
        for memo in line.memo
        if memo.name.startswith("requirement without ")
    }
    assert set(beside) == on
    assert all(without <= found.value * SLACK + 1e-6 for without in beside.values())
    for name in sorted(on)[:1]:
        assert beside[name] == pytest.approx(asked(held, rule(on - {name}, level), siloed).value, rel=1e-9, abs=1e-6)


@given(pools, st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1e8))
def test_floors_hold_and_neutral_values_switch_off(held, cap, floor, siloed):
    some = {"reduction_cap", "siloed_floor"}
    assert asked(held, rule(some, reduction_cap=cap, floor_share=floor), siloed).value * SLACK + 1e-6 >= (
        max(1 - cap, floor) * siloed
    )
    neutral = {"reduction_cap": 1.0, "floor_share": 0.0, "offset_share": 1.0, "stress_weight": 0.0}
    neutral |= {"buffer_fraction": 0.0, "stress_floor_share": 0.0, "pot_minimum": 0}
    off = {"offset_gate", "correlation_break", "liquidity_add_on", "concentration_add_on", "long_run_floor"}
    still = asked(held, rule(set(GUARDRAILS) - off, **neutral), siloed).value
    assert still == pytest.approx(asked(held, rule(()), siloed).value, rel=1e-12)


# ------------------------------------------------------------------------------------------------ pooling and the gate


@given(pools, pools, gates, st.sampled_from([0.5, 0.9, 0.99]))
def test_merging_pools_never_raises_an_expected_shortfall_gate_or_no_gate(one, other, level, confidence):
    for how in (
        FULL.with_values(confidence=confidence, because="law"),
        rule({"offset_gate"}, level, confidence=confidence),
        rule({"offset_gate", "offset_cap", "stress_weight", "buffer", "stress_floor"}, level, confidence=confidence),
    ):
        merged = asked([*one, *other], how).value
        assert merged <= (asked(one, how).value + asked(other, how).value) * SLACK + 1e-6


@given(pools, st.integers(1, 6))
def test_widening_eligibility_under_equal_parameters_never_raises_the_total(held, count):
    """What is let in leaves a pool of its own, margined by the same model."""
    inside, outside = held[:count], held[count:]
    if outside:
        narrow = asked(inside, FULL).value + math.fsum(asked([each], FULL).value for each in outside)
        assert asked(held, FULL).value <= narrow * SLACK + 1e-6


def test_a_value_at_risk_may_rise_when_pools_are_merged():
    """Two bets that each lose on their own single day: the reason why the full model measures expected shortfall."""
    (spec,) = scenarios(FULL.at(AS_OF))
    first, second, *_ = ELIGIBLE_FUTURES
    gains = np.zeros((2, 150))
    gains[0, 3] = gains[1, 77] = -100.0
    made = PnL((first, second), gains, np.zeros(2), np.zeros(2), ScenarioSet(spec, [5.0], np.zeros((1, 150))))
    found = {}
    for estimator in ("quantile", "tail_mean"):
        how = FULL.with_values(estimator=estimator, because="law")
        for held in ((first,), (second,), (first, second)):
            positions = tuple(Position(each.symbol, "ALPHA-XM", each, 1.0) for each in held)
            pool = Pool("ALPHA", "DUAL", AccountClass.XM_FUTURES_4D_AB, "common pool", "full", "", positions)
            line = requirement(pool, Line("siloed", 0.0), Inputs(book(), market(), {spec: made}), how.at(AS_OF))
            found[estimator, len(held), held[0]] = line.value
    assert [found["quantile", 1, each] for each in (first, second)] == [0.0, 0.0]
    assert found["quantile", 2, first] == 100.0
    alone = [found["tail_mean", 1, each] for each in (first, second)]
    assert found["tail_mean", 2, first] <= sum(alone)


@given(pools)
def test_a_closed_gate_gives_no_offset_between_groups(held):
    closed = rule({"offset_gate"}, offset_pairs=[])
    table = GUARDED.at(AS_OF).offset_groups
    groups: dict[str, list] = {}
    for line in held:
        groups.setdefault(group_of(line[1], table, AS_OF), []).append(line)
    apart = math.fsum(asked(each, closed).part("after offset_gate").value for each in groups.values())
    assert asked(held, closed).part("after offset_gate").value == pytest.approx(apart, rel=1e-9, abs=1e-6)


@given(pools, st.lists(gates, min_size=2, max_size=2, unique=True))
def test_a_gate_never_asks_for_more_than_one_that_is_shut_nor_less_than_none(held, levels):
    shut, none = asked(held, rule({"offset_gate"}, offset_pairs=[])).value, asked(held, rule(())).value
    for level in levels:
        assert none <= asked(held, rule({"offset_gate"}, level)).value * SLACK + 1e-6
        assert asked(held, rule({"offset_gate"}, level)).value <= shut * SLACK + 1e-6


# -------------------------------------------------------------------------------------------------------- the spine


def figures(report: Report) -> dict[str, float | None]:
    return {level: report.total(level) for level in ("clearing", "customer")}


@few
@given(holdings(), st.randoms(use_true_random=False), st.sampled_from(PROPOSALS))
def test_order_and_a_position_split_in_two_change_no_total(held, random, proposal):
    shuffled = [*held[1:], *(evolve(held[0], id=f"half{n}", quantity=held[0].quantity / 2) for n in (1, 2))]
    random.shuffle(shuffled)
    assert alike(*(figures(margin(book(*some), market(), proposal)) for some in (held, shuffled)))


@few
@given(holdings(("ALPHA",), most=4), holdings(("BETA",), most=4), st.sampled_from(PROPOSALS))
def test_customers_never_net(first, second, proposal):
    second = [evolve(each, id=f"other-{each.id}") for each in second]
    together, one, other = (
        figures(margin(book(*held), market(), proposal)) for held in ((*first, *second), first, second)
    )
    for level, total in together.items():
        assert (total or 0.0) == pytest.approx((one[level] or 0.0) + (other[level] or 0.0), rel=1e-9, abs=1e-6)


@few
@given(holdings(OWNERS, most=5))
def test_retail_is_out_of_every_proposal_and_proposals_say_proposed(held):
    mine = [evolve(each, account=f"RETAIL-{each.account.split('-')[1]}") for each in held]
    for report in compare(book(*held, *[evolve(e, id=f"r{e.id}") for e in mine]), market(), PROPOSALS).reports:
        assert not any(e.owner == "RETAIL" and e.pot == "common pool" for e in report.requirements)
        assert report.status == "proposed"
        assert {record["status"] for record in report.to_records()} == {"proposed"}
        assert Report.from_json(report.to_json()).status == "proposed"
        assert all("proposed" in text for text in (str(report), report.explain(0), report._repr_html_()))


@few
@given(st.one_of(holdings(), units(), units("DUAL")))
def test_two_pots_for_any_pair_never_ask_for_more_than_today_nor_less_than_the_cap_leaves(held):
    siloed, any_pair = compare(book(*held), market(), (SILOED, TWO_POT)).reports
    cap = rules("any_pair_two_pot").at(AS_OF).reduction_cap
    assert (1 - cap) * (siloed.total() or 0.0) <= (any_pair.total() or 0.0) * SLACK + 1e-6
    assert (any_pair.total() or 0.0) <= (siloed.total() or 0.0) * SLACK + 1e-6


@any_proposal
def test_an_empty_book_asks_nothing(proposal):
    report = margin(book(), market(), proposal)
    assert not report.requirements
    assert report.total() == report.total("customer") == 0.0


@few
@given(holdings(), st.sampled_from([0.125, 3.0, 1024.0]))
def test_the_full_model_scales_with_the_book(held, by):
    full = regime("full_harmonized")
    small = figures(margin(book(*held), market(), full))
    large = figures(margin(book(*[evolve(each, quantity=each.quantity * by) for each in held]), market(), full))
    assert alike({level: small[level] and by * small[level] for level in small}, large)
