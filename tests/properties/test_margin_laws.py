"""Laws that hold for every book: what may change a margin, what never may, and what bounds it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.margin import compare, margin
from crossmargin.methodology import tail_charge
from crossmargin.pnl import can_revalue, revalue
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import ShortRateFuture, TreasuryFuture
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED
from crossmargin.registry import rules
from crossmargin.results import Comparison, Report, known_sum
from crossmargin.risk import TailMeasure, expected_shortfall
from crossmargin.scenarios import ScenarioSpec, scenario_set
from tests.properties.strategies import (
    ACCOUNTS,
    AS_OF,
    ELIGIBLE_CASH,
    ELIGIBLE_FUTURES,
    INELIGIBLE,
    OWNERS,
    STRESS,
    alike,
    as_much,
    book,
    few,
    holdings,
    lines,
    market,
    units,
)

LEVELS = ("clearing", "customer")


def run(*positions: Position, **more) -> Comparison:
    return compare(book(*positions, **more), market())


def figures(comparison: Comparison) -> dict[tuple[str, str], float | None]:
    """Total of each regime at each level."""
    return {(r.regime, level): r.total(level) for r in comparison.reports for level in LEVELS}


def known(comparison: Comparison) -> dict[tuple[str, str], float]:
    """What is known of each total: nothing asked and nothing modelled add alike."""
    return {key: total or 0.0 for key, total in figures(comparison).items()}


def same(left: dict, right: dict) -> bool:
    return alike(left, right, rel_tol=1e-12)


def owned(report: Report, owner: str) -> float:
    """Clearing margin of one owner after credit."""
    entries = (*report.requirements, *report.credits)
    return math.fsum(e.line.value for e in entries if e.owner == owner and e.level == "clearing")


# ------------------------------------------------------------------------- what leaves a margin as it was


def test_an_empty_portfolio_asks_nothing_under_every_regime_and_level():
    comparison = compare(Portfolio(), market())
    assert set(figures(comparison).values()) == {0.0}
    assert not any(report.requirements or report.credits or report.partial for report in comparison.reports)


@few
@given(holdings(), st.randoms(use_true_random=False))
def test_the_order_of_positions_changes_no_total(held, random):
    shuffled = list(held)
    random.shuffle(shuffled)
    assert same(figures(run(*held)), figures(run(*shuffled)))


@few
@given(holdings())
def test_names_of_positions_accounts_and_owners_change_no_total(held):
    renamed = [evolve(p, id=f"z{p.id}", account=f"z{p.account}") for p in held]
    names = {owner: f"z{owner}" for owner in ("ALPHA", "BETA", "RETAIL")}
    accounts = [evolve(a, id=f"z{a.id}", owner=names.get(a.owner, a.owner)) for a in ACCOUNTS]
    customers = [evolve(c, id=names[c.id]) for c in book().customers]
    other = run(*renamed, customers=customers, accounts=accounts)
    assert same(figures(run(*held)), figures(other))


@few
@given(holdings(), st.data())
def test_a_position_split_in_two_changes_no_total(held, data):
    cut = data.draw(st.integers(0, len(held) - 1))
    first = data.draw(st.integers(-300, 300)) * 1.0
    whole = held[cut]
    parts = (
        evolve(whole, id="left", quantity=first),
        evolve(whole, id="right", quantity=whole.quantity - first),
    )
    assert same(figures(run(*held)), figures(run(*held[:cut], *parts, *held[cut + 1 :])))


@few
@given(holdings(), st.sampled_from([0.125, 3.0, 7.0, 1024.0]))
def test_every_figure_scales_with_the_book(held, by):
    larger = [evolve(p, quantity=p.quantity * by) for p in held]
    expected = {key: total and by * total for key, total in figures(run(*held)).items()}
    assert alike(figures(run(*larger)), expected)


@few
@given(holdings())
def test_a_closed_position_changes_nothing(held):
    opened = Position("in", held[0].account, held[0].product, 5e6)
    assert same(figures(run(*held)), figures(run(*held, opened, evolve(opened, id="out", quantity=-5e6))))


# ----------------------------------------------------------------------------------- who never nets with whom


@few
@given(holdings(("ALPHA",)), holdings(("BETA",)))
def test_customers_never_net(first, second):
    second = [evolve(p, id=f"other-{p.id}") for p in second]
    together, alone, other = run(*first, *second), run(*first), run(*second)
    assert same(known(together), {key: total + known(other)[key] for key, total in known(alone).items()})
    for report, own in zip(together.reports, alone.reports, strict=True):
        assert owned(report, "ALPHA") == pytest.approx(owned(own, "ALPHA"), rel=1e-12)


@few
@given(units(), st.sampled_from([0, 1]))
def test_positions_at_different_firms_never_net(held, leg):
    def elsewhere(position: Position) -> Position:
        moved = isinstance(position.product, TreasuryFuture | ShortRateFuture) is bool(leg)
        return evolve(position, account="ALPHA-XM2") if moved else position

    split = tuple(elsewhere(position) for position in held)
    here = [p for p in split if p.account == "ALPHA-XM"]
    there = [p for p in split if p.account == "ALPHA-XM2"]
    together = run(*split)
    assert same(known(together), {key: total + known(run(*there))[key] for key, total in known(run(*here)).items()})
    assert together["cross_margin"].credit() == 0.0


@few
@given(units("DUAL"), holdings(("ALPHA",)))
def test_house_and_customers_never_net(house, customers):
    together, alone = run(*house, *customers), run(*house)
    for report, own in zip(together.reports, alone.reports, strict=True):
        assert owned(report, "DUAL") == pytest.approx(owned(own, "DUAL"), rel=1e-12)


# ----------------------------------------------------------------------------------------- what earns no credit


@few
@given(units(), st.data())
def test_an_ineligible_product_leaves_credit_and_factor_unchanged(held, data):
    added = Position("added", *data.draw(lines(["ALPHA-XM", "ALPHA-GOV", "RETAIL-SEC"], INELIGIBLE)))
    before, after = run(*held)["cross_margin"], run(*held, added)["cross_margin"]
    assert after.credits == before.credits
    assert not next(d for d in after.decisions if d.position == "added").allowed


@few
@given(units(), st.data())
def test_a_position_that_was_not_directed_leaves_credit_and_factor_unchanged(held, data):
    account = data.draw(st.sampled_from(["ALPHA-FUT", "ALPHA-GOV", "ALPHA-FUT2"]))
    added = Position("added", *data.draw(lines([account], (*ELIGIBLE_CASH, *ELIGIBLE_FUTURES))))
    before, after = run(*held)["cross_margin"], run(*held, added)["cross_margin"]
    assert after.credits == before.credits


# ---------------------------------------------------------------------------------------------------- the bounds


@few
@given(st.one_of(holdings(), units(), units("DUAL")))
def test_credit_stays_within_each_pot_and_the_cap(held):
    comparison = run(*held)
    report, cap = comparison["cross_margin"], rules("cme_ficc").at(AS_OF).reduction_cap
    pools = {entry.pool: entry.line for entry in report.requirements if entry.level == "clearing"}
    for credit in report.credits:
        gross = pools[credit.pool]
        charge = gross.part("var_charge" if credit.pot == "FICC" else "base_charge").value
        assert -cap * charge * (1 + 1e-12) - 1e-9 <= credit.line.value <= 0.0
        assert gross.value + credit.line.value >= -1e-9
    assert (report.total() or 0.0) <= (comparison["siloed"].total() or 0.0) + 1e-9
    assert as_much(report.gross(), comparison["siloed"].gross(), rel_tol=1e-12)
    assert (report.total("customer") or 0.0) <= (comparison["siloed"].total("customer") or 0.0) + 1e-9


@few
@given(units())
def test_the_factor_applied_is_the_smaller_of_the_two_within_the_cap(held):
    report = margin(book(*held), market(), CROSS_MARGIN)
    cap = rules("cme_ficc").at(AS_OF).reduction_cap
    assert len(report.credits) == 2
    for credit in report.credits:
        applied, leg = credit.line.parts
        sides = [credit.line.part(f"{side} reduction factor").value for side in ("FICC", "CME")]
        assert applied.value == min(*sides, cap)
        assert 0.0 <= applied.value <= cap
        assert credit.line.value == pytest.approx(-applied.value * leg.value, rel=1e-12)
        assert all(0.0 <= side <= 1.0 for side in sides)


@few
@given(holdings(), st.sampled_from([(0.90, 0.95), (0.95, 0.99), (0.99, 0.995), (0.99, 0.9999)]))
def test_a_higher_confidence_never_asks_for_less(held, levels):
    def siloed(confidence: float) -> Report:
        overlaid = [
            rules(id).with_values(confidence=confidence, because="law") for id in ("ficc_gsd", "cme_rates_futures")
        ]
        return margin(book(*held), market(), rules=overlaid)

    low, high = (siloed(confidence) for confidence in levels)
    pairs = zip(low.requirements, high.requirements, strict=True)
    assert all(above.line.value >= below.line.value - 1e-9 for below, above in pairs)


@few
@given(holdings())
def test_floors_hold_and_every_line_reconciles(held):
    for report in run(*held).reports:
        for entry in (*report.requirements, *report.credits):
            for line in entry.line.walk():
                assert line.amount is None or math.isfinite(line.amount)
                if line.name == "var_charge":
                    assert line.value >= line.part("percentage_floor").value
                evolve(line)  # builds the line anew, which checks its arithmetic
        assert all(entry.line.value >= 0.0 for entry in report.requirements)
        for level in report.levels:
            parts = [e.line.amount for e in (*report.requirements, *report.credits) if e.level == level]
            assert as_much(report.total(level), known_sum(parts), rel_tol=1e-12)


@few
@given(holdings())
def test_a_report_survives_json_and_a_comparison_too(held):
    comparison = run(*held)
    assert Comparison.from_json(comparison.to_json()) == comparison
    for report in comparison.reports:
        assert Report.from_json(report.to_json()) == report


@few
@given(holdings())
def test_levels_never_add(held):
    for report in run(*held).reports:
        assert set(report.levels) <= set(LEVELS)
        for level in LEVELS:
            asked = [e.line.amount for e in report.requirements if e.level == level]
            given_back = [e.line.amount for e in report.credits if e.level == level]
            assert report.gross(level) == known_sum(asked)
            assert report.credit(level) == known_sum(given_back)
            assert as_much(report.total(level), known_sum([*asked, *given_back]), rel_tol=1e-12)


@few
@given(holdings(("ALPHA", "BETA")))
def test_customers_owe_their_firm_all_that_the_clearing_houses_ask_for_them(held):
    for report in run(*held).reports:
        assert as_much(report.total("customer"), report.total(), rel_tol=1e-12)


# ------------------------------------------------------------------------------------------- the harmonized pool


@few
@given(holdings())
def test_guardrails_never_lower_a_margin_and_switch_off(held):
    off = rules("harmonized_rates").with_values(reduction_cap=1.0, floor_share=0.0, because="law")
    free = margin(book(*held), market(), HARMONIZED, rules=[off])
    guarded = margin(book(*held), market(), HARMONIZED)
    for loose, tight in zip(free.requirements, guarded.requirements, strict=True):
        assert tight.line.value >= loose.line.value - 1e-9
    for entry in free.requirements:
        if entry.pot == "common pool" and entry.level == "clearing":
            assert entry.line.value == entry.line.part("model").value


@few
@given(holdings(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_harmonized_keeps_what_its_guardrails_promise(held, cap, floor):
    overlaid = rules("harmonized_rates").with_values(reduction_cap=cap, floor_share=floor, because="law")
    report = margin(book(*held), market(), HARMONIZED, rules=[overlaid])
    siloed = margin(book(*held), market(), SILOED)
    for entry in report.requirements:
        if entry.pot == "common pool" and entry.level == "clearing":
            inside = [e for e in siloed.requirements if set(e.positions) <= set(entry.positions)]
            alone = math.fsum(e.line.value for e in inside if e.level == "clearing")
            assert entry.line.value >= max(1 - cap, floor) * alone - 1e-6


@few
@given(holdings())
def test_a_proposal_says_proposed_wherever_it_is_shown(held):
    comparison = run(*held)
    report = comparison["harmonized"]
    assert report.status == "proposed"
    assert {record["status"] for record in report.to_records()} == {"proposed"}
    exports = [report.to_json(), str(report), report._repr_html_(), report.explain(0), report.explain()]
    exports += [comparison.to_json(), str(comparison), comparison._repr_html_()]
    assert all("proposed" in text for text in exports)
    assert "proposed" not in "".join(str(r) for r in comparison.reports[:2])


# -------------------------------------------------------------------------------------------- the tail measures


@few
@given(st.lists(holdings(OWNERS, most=3), min_size=2, max_size=3), st.sampled_from([0.9, 0.975, 0.99]))
def test_expected_shortfall_of_merged_pools_is_at_most_the_sum(pools, confidence):
    held = [[p for p in pool if can_revalue(p.product)] for pool in pools]
    products = list(dict.fromkeys(p.product for pool in held for p in pool))
    if not products:
        return
    drawn = scenario_set(ScenarioSpec("historical", 3, 10, STRESS), market().history, AS_OF)
    pnl = revalue(products, market(), drawn)

    def shortfall(positions) -> float:
        return expected_shortfall(
            pnl.pooled([p.product for p in positions], [p.quantity for p in positions]), confidence
        )

    merged = shortfall([p for pool in held for p in pool])
    siloed = math.fsum(shortfall(pool) for pool in held)
    assert merged <= siloed + 1e-9 * (1 + abs(siloed))


def test_value_at_risk_of_merged_pools_may_exceed_the_sum():
    """Two bets that each lose on their own single day: each stays under the quantile, together they do not."""
    one, other = np.zeros(150), np.zeros(150)
    one[3] = other[77] = -100.0
    measure = TailMeasure("quantile", confidence=0.99, quantile_type=1)
    alone = [tail_charge("var", bet, measure, ()).value for bet in (one, other)]
    assert alone == [0.0, 0.0]
    assert tail_charge("var", one + other, measure, ()).value == 100.0
    both = expected_shortfall(one + other, 0.99)
    assert both <= expected_shortfall(one, 0.99) + expected_shortfall(other, 0.99)
