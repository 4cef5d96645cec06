"""Laws that hold for every book: what may change a margin, what never may, and what bounds it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import Agreement, ClearingHouse, Registration
from crossmargin.margin import compare, margin
from crossmargin.methodology import tail_charge
from crossmargin.pnl import can_revalue, revalue
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import ShortRateFuture, TreasuryFuture
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED
from crossmargin.registry import rules
from crossmargin.results import Comparison, Report
from crossmargin.risk import TailMeasure, expected_shortfall
from crossmargin.scenarios import ScenarioSpec, scenario_set
from tests.properties.strategies import (
    ACCOUNTS,
    ALPHA,
    AS_OF,
    DUAL,
    ELIGIBLE_CASH,
    ELIGIBLE_FUTURES,
    INELIGIBLE,
    OWNERS,
    PAPERS,
    RETAIL,
    STRESS,
    TWIN,
    accounts_of,
    basis,
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


def figures(comparison: Comparison) -> dict[tuple[str, str], float]:
    """Total of each regime at each level."""
    return {(r.regime, level): r.total(level) for r in comparison.reports for level in LEVELS}


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(
        math.isclose(left[key], right[key], rel_tol=1e-12, abs_tol=1e-6) for key in left
    )


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
    expected = {key: by * total for key, total in figures(run(*held)).items()}
    found = figures(run(*larger))
    assert all(math.isclose(found[key], expected[key], rel_tol=1e-9, abs_tol=1e-6) for key in expected)


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
    added = {key: total + figures(other)[key] for key, total in figures(alone).items()}
    assert same(figures(together), added)
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
    added = {key: total + figures(run(*there))[key] for key, total in figures(run(*here)).items()}
    assert same(figures(together), added)
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


BREAKS = {
    "participant_agreement": Agreement.PARTICIPANT_AGREEMENT,
    "subordination": Agreement.SUBORDINATION,
    "disclosure": Agreement.DISCLOSURE,
    "customer_opt_in": Agreement.CUSTOMER_OPT_IN,
    "firm_opt_in": Agreement.FIRM_OPT_IN,
    "dual_registration": (Registration.BD, Registration.FCM),
    "common_member": (ClearingHouse.FICC, ClearingHouse.CME),
    "firm_standing": (False,),
}
BROKEN = [(name, part) for name, what in BREAKS.items() for part in (what if isinstance(what, tuple) else (what,))]


def broken(part: object, held: tuple[Position, ...]) -> Portfolio:
    """The book with one paper, registration, membership or the firm's standing taken away."""
    firm, papers = DUAL, PAPERS
    if isinstance(part, Agreement):
        papers = PAPERS - {part}
    elif isinstance(part, Registration):
        firm = evolve(DUAL, registrations=DUAL.registrations - {part})
    elif isinstance(part, ClearingHouse):
        firm = evolve(DUAL, memberships=DUAL.memberships - {part})
    else:
        firm = evolve(DUAL, compliant=False)
    return book(*held, firms=(firm, TWIN), accounts=accounts_of("ALPHA", papers=papers))


@pytest.mark.parametrize(("condition", "part"), BROKEN, ids=str)
@few
@given(held=units())
def test_nr_06_one_missing_link_takes_the_whole_credit_and_says_which(condition, part, held):
    comparison = compare(broken(part, held), market(), (SILOED, CROSS_MARGIN))
    report = comparison["cross_margin"]
    assert report.credits == ()
    assert {reason.condition for d in report.decisions for reason in d.because} == {condition}
    assert all(reason.citation and reason.cure for d in report.decisions for reason in d.because)
    assert report.requirements == comparison["siloed"].requirements


# ---------------------------------------------------------------------------------------------------- the bounds


@few
@given(st.one_of(holdings(), units(), units("DUAL")))
def test_credit_stays_within_each_pot_and_the_cap(held):
    comparison = run(*held)
    report, cap = comparison["cross_margin"], rules("cme_ficc").at(AS_OF).reduction_cap
    gross = {entry.pool: entry.line.value for entry in report.requirements if entry.level == "clearing"}
    charges = {
        entry.pool: entry.line.part("var_charge" if entry.pot == "FICC" else "base_charge").value
        for entry in report.requirements
        if entry.level == "clearing"
    }
    for credit in report.credits:
        charge = charges[credit.pool]
        assert -cap * charge * (1 + 1e-12) - 1e-9 <= credit.line.value <= 0.0
        assert gross[credit.pool] + credit.line.value >= -1e-9
    assert report.total() <= comparison["siloed"].total() + 1e-9
    assert report.gross() == pytest.approx(comparison["siloed"].gross(), rel=1e-12)
    assert report.total("customer") <= comparison["siloed"].total("customer") + 1e-9


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
            parts = [e.line.value for e in (*report.requirements, *report.credits) if e.level == level]
            assert report.total(level) == pytest.approx(math.fsum(parts), rel=1e-12, abs=1e-9)


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
            asked = [e.line.value for e in report.requirements if e.level == level]
            given_back = [e.line.value for e in report.credits if e.level == level]
            assert report.gross(level) == math.fsum(asked)
            assert report.credit(level) == math.fsum(given_back)
            assert report.total(level) == pytest.approx(math.fsum([*asked, *given_back]), rel=1e-12, abs=1e-9)


@few
@given(holdings(("ALPHA", "BETA")))
def test_customers_owe_their_firm_all_that_the_clearing_houses_ask_for_them(held):
    for report in run(*held).reports:
        assert report.total("customer") == pytest.approx(report.total(), rel=1e-12, abs=1e-9)


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


# ------------------------------------------------------------------ negative requirements (what it is not), by name


@few
@given(st.data())
def test_nr_01_retail_gets_exactly_its_siloed_number(data):
    accounts = ["RETAIL-SEC", "RETAIL-XM", "RETAIL-FUT", "RETAIL-GOV"]
    pick = lines(accounts, (*ELIGIBLE_CASH, *ELIGIBLE_FUTURES, *INELIGIBLE))
    held = [Position(f"r{i}", *data.draw(pick)) for i in range(4)]
    comparison = run(*held)
    siloed = comparison["siloed"].requirements
    assert comparison["cross_margin"].requirements == siloed
    assert comparison["harmonized"].requirements == siloed
    assert not any(report.credits for report in comparison.reports)


def test_nr_01_retail_enters_the_proposal_only_when_switched_in():
    held = basis("RETAIL")
    kinds = (*rules("harmonized_rates").at(AS_OF).customer_scope, "retail")
    wider = rules("harmonized_rates").with_values(customer_scope=kinds, because="study")
    report = margin(book(*held), market(), HARMONIZED, rules=[wider])
    assert [entry.pot for entry in report.requirements if entry.level == "clearing"] == ["common pool"]
    assert report.status == "proposed"
    assert RETAIL.kind == "retail"


@few
@given(units(), st.data())
def test_nr_02_options_change_nothing_but_their_own_silo(held, data):
    option = data.draw(st.sampled_from([product for product in INELIGIBLE if "option" in product.kind]))
    account = "RETAIL-SEC" if option.kind == "listed_option" else data.draw(st.sampled_from(["ALPHA-XM", "ALPHA-FUT"]))
    before = run(*held)["cross_margin"]
    after = run(*held, Position("option", account, option, 50.0))["cross_margin"]
    assert after.credits == before.credits
    assert after.total() == pytest.approx(before.total(), rel=1e-12)
    assert after.partial


@few
@given(units("ALPHA"), units("BETA"))
def test_nr_03_no_netting_across_unrelated_accounts(first, second):
    mirrored = [evolve(p, id=f"b-{p.id}", account="BETA-XM", quantity=-p.quantity) for p in first]
    opposite = run(*first, *mirrored)
    for report, own in zip(opposite.reports, run(*first).reports, strict=True):
        assert owned(report, "ALPHA") == pytest.approx(owned(own, "ALPHA"), rel=1e-12)
    both = run(*first, *second)["cross_margin"]
    alone = [run(*held)["cross_margin"].credit() for held in (first, second)]
    assert both.credit() == pytest.approx(math.fsum(alone), rel=1e-12)


def test_nr_04_no_netting_across_clearing_firms_even_for_one_owner():
    cash, future = basis()
    split = run(cash, evolve(future, account="ALPHA-XM2"))["cross_margin"]
    assert split.credit() == 0.0
    assert all("zero reduction" in credit.line.note for credit in split.credits)
    assert run(cash, future)["cross_margin"].credit() < 0.0


def test_nr_05_one_ineligible_line_leaves_the_factor_unchanged():
    before = run(*basis())["cross_margin"]
    for i, product in enumerate(INELIGIBLE):
        account = "RETAIL-SEC" if product.kind == "listed_option" else "ALPHA-XM"
        after = run(*basis(), Position(f"x{i}", account, product, 25e6 if i < 6 else 25.0))["cross_margin"]
        assert after.credits == before.credits, product.symbol


def unqualified(registrations, memberships) -> Portfolio:
    firm = evolve(DUAL, registrations=registrations, memberships=memberships)
    return book(*basis(), firms=(firm, TWIN))


@pytest.mark.parametrize("registrations", [(), ("BD",), ("FCM",), ("SBSD",), ("BD", "SBSD"), ("FCM", "SBSD")])
@pytest.mark.parametrize("memberships", [(), ("FICC",), ("CME",), ("OCC", "ICC"), ("FICC", "CME")])
def test_nr_17_only_one_dual_registrant_that_is_a_member_of_both(registrations, memberships):
    portfolio = unqualified([Registration(r) for r in registrations], [ClearingHouse(m) for m in memberships])
    report = margin(portfolio, market(), CROSS_MARGIN)
    assert report.credits == ()
    assert all(not decision.allowed for decision in report.decisions)


def test_nr_17_only_rates_futures_against_treasury_cash_and_repo():
    for products in ((ELIGIBLE_CASH[0], ELIGIBLE_CASH[1]), (ELIGIBLE_FUTURES[0], ELIGIBLE_FUTURES[1])):
        held = [Position(f"p{i}", "ALPHA-XM", product, (-1) ** i * 1e3) for i, product in enumerate(products)]
        assert run(*held)["cross_margin"].credit() == 0.0


def test_nr_20_the_house_programme_and_the_customer_programme_are_different_things():
    house, customer = basis("DUAL"), basis("ALPHA")
    assert {credit.owner for credit in run(*house)["cross_margin"].credits} == {"DUAL"}
    assert {credit.owner for credit in run(*customer)["cross_margin"].credits} == {"ALPHA"}
    foreign = [evolve(position, account="DUAL-XM") for position in customer]
    accounts = [evolve(account, owner="ALPHA") if account.id == "DUAL-XM" else account for account in ACCOUNTS]
    report = run(*foreign, accounts=accounts)["cross_margin"]
    assert report.credits == ()
    assert {r.condition for d in report.decisions for r in d.because} == {"house_owner"}
    own = [evolve(a, owner="DUAL") if a.id == "ALPHA-XM" else a for a in ACCOUNTS]
    report = run(*customer, accounts=own)["cross_margin"]
    assert {r.condition for d in report.decisions for r in d.because} == {"institutional"}
    assert ALPHA.kind != RETAIL.kind
