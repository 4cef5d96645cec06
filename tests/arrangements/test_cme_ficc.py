"""The CME-FICC programme: the two-pot arithmetic, the credit of a unit, every condition and its failing case."""

from __future__ import annotations

import math
import tomllib
from datetime import date, timedelta
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import AccountClass, Agreement, ClearingHouse, Registration
from crossmargin.arrangements import cme_ficc
from crossmargin.arrangements.cme_ficc import CME, FICC, TESTS, ModelAmounts, credits, two_pot
from crossmargin.eligibility import case_of, decide
from crossmargin.errors import CrossMarginError, InputError
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.products import Repo, ReverseRepo, TreasuryBill, TreasuryBond, TreasuryNote
from crossmargin.registry import rules
from crossmargin.results import Line, total
from tests.properties.strategies import (
    ACCOUNTS,
    AS_OF,
    BILL,
    DUAL,
    ETF_OPTION,
    FRN,
    NOTE_7,
    OPTION,
    PAPERS,
    REPO,
    REVERSE,
    SETTLES,
    SHORT_NOTE,
    SR3,
    STRIP,
    TIPS_8,
    TWIN,
    UB,
    ZN,
    ZQ,
    accounts_of,
    book,
)

RULES = rules("cme_ficc")
HOUSE_ONLY = date(2025, 3, 13)
START, CUSTOMER_START = date(2024, 1, 22), date(2026, 4, 30)

# (FICC's model, CME's model): Treasury leg, futures leg, both; cap, minimum; factors, applied, side, limit.
CASES = {
    "ficc governs": ((80, 70, 60), (75, 65, 28), 0.8, 0.0, (0.6, 0.8), 0.6, "ficc", "none"),
    "cme governs": ((80, 70, 30), (75, 65, 56), 0.8, 0.0, (0.8, 0.6), 0.6, "cme", "none"),
    "cap binds": ((90, 110, 10), (80, 120, 20), 0.8, 0.0, (0.95, 0.9), 0.8, "cme", "cap"),
    "lower cap": ((90, 110, 80), (80, 120, 70), 0.25, 0.0, (0.6, 0.65), 0.25, "ficc", "cap"),
    "exactly at the cap": ((60, 40, 20), (55, 45, 20), 0.8, 0.0, (0.8, 0.8), 0.8, "tie", "none"),
    "no Treasuries": ((0, 50, 50), (0, 40, 40), 0.8, 0.0, (0.0, 0.0), 0.0, "tie", "none"),
    "no futures": ((50, 0, 50), (40, 0, 40), 0.8, 0.0, (0.0, 0.0), 0.0, "tie", "none"),
    "nothing at all": ((0, 0, 0), (0, 0, 0), 0.8, 0.0, (0.0, 0.0), 0.0, "tie", "none"),
    "one model sees more risk": ((50, 50, 130), (45, 55, 40), 0.8, 0.0, (0.0, 0.6), 0.0, "ficc", "none"),
    "both models see more risk": ((50, 50, 130), (45, 55, 140), 0.8, 0.0, (0.0, 0.0), 0.0, "tie", "none"),
    "below the minimum": ((100, 100, 199), (100, 100, 199.2), 0.8, 0.01, (0.005, 0.004), 0.0, "cme", "minimum"),
    "one side below the minimum": ((100, 100, 199), (90, 110, 50), 0.8, 0.01, (0.005, 0.75), 0.0, "ficc", "minimum"),
    "exactly at the minimum": ((100, 100, 198), (100, 100, 150), 0.8, 0.01, (0.01, 0.25), 0.01, "ficc", "none"),
    "cap below the minimum": ((100, 100, 20), (100, 100, 30), 0.1, 0.2, (0.9, 0.85), 0.0, "cme", "minimum"),
    "nothing to grant, minimum set": ((50, 0, 50), (40, 0, 40), 0.8, 0.01, (0.0, 0.0), 0.0, "tie", "none"),
    "tie": ((40, 60, 70), (400, 600, 700), 0.8, 0.0, (0.3, 0.3), 0.3, "tie", "none"),
    "combined is nothing": ((40, 60, 0), (30, 70, 0), 0.8, 0.0, (1.0, 1.0), 0.8, "tie", "cap"),
    "no cap": ((40, 60, 0), (30, 70, 0), 1.0, 0.0, (1.0, 1.0), 1.0, "tie", "none"),
    "cap of nothing": ((40, 60, 10), (30, 70, 5), 0.0, 0.0, (0.9, 0.95), 0.0, "ficc", "cap"),
    "cap of nothing, minimum set": ((40, 60, 10), (30, 70, 5), 0.0, 0.01, (0.9, 0.95), 0.0, "ficc", "cap"),
    "rounding is no reduction": ((0.1, 0.2, 0.3), (0.1, 0.2, 0.3), 0.8, 0.01, (0.0, 0.0), 0.0, "tie", "none"),
    "pots of very different size": ((9e9, 1.0, 8.1e9), (8e9, 2.0, 4e9), 0.8, 0.0, (0.1, 0.5), 0.1, "ficc", "none"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_two_pot(case):
    ficc, cme, cap, minimum, factors, applied, side, limit = case
    outcome = two_pot(ModelAmounts(*ficc), ModelAmounts(*cme), cap=cap, minimum=minimum)
    assert (outcome.ficc_factor, outcome.cme_factor) == pytest.approx(factors, abs=1e-8)
    assert outcome.applied_factor == pytest.approx(applied, abs=1e-8)
    assert (outcome.binding_side, outcome.binding_limit) == (side, limit)
    share = 1 - outcome.applied_factor
    assert outcome.ficc_requirement == pytest.approx(share * ficc[0], rel=1e-12)  # FICC's model, Treasury leg
    assert outcome.cme_requirement == pytest.approx(share * cme[1], rel=1e-12)  # CME's model, futures leg
    assert outcome.standalone_total == pytest.approx(ficc[0] + cme[1])
    assert outcome.total_requirement == pytest.approx(share * (ficc[0] + cme[1]), rel=1e-12)
    assert outcome.saving == pytest.approx(outcome.applied_factor * (ficc[0] + cme[1]), abs=1e-6)
    assert outcome.ficc_credit.value <= 0 >= outcome.cme_credit.value


def test_the_published_example_comes_out_at_the_cap():
    outcome = two_pot(ModelAmounts(200e6, 141e6, 40e6), ModelAmounts(205e6, 143.24e6, 30e6), cap=0.8, minimum=0)
    assert outcome.standalone_total == 343.24e6
    assert round(outcome.total_requirement / 1e6, 2) == 68.65
    assert outcome.binding_limit == "cap"


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan, math.inf])
@pytest.mark.parametrize("name", ["cap", "minimum"])
def test_limits_outside_the_unit_interval_are_refused(bad, name):
    limits = {"cap": 0.8, "minimum": 0.0, name: bad}
    with pytest.raises(CrossMarginError, match=name):
        two_pot(ModelAmounts(1, 1, 1), ModelAmounts(1, 1, 1), **limits)


def test_both_bad_limits_are_named_at_once():
    with pytest.raises(InputError) as caught:
        two_pot(ModelAmounts(1, 1, 1), ModelAmounts(1, 1, 1), cap=1.5, minimum=-1)
    assert len(caught.value.problems) == 2


def test_amounts_and_limits_that_are_none_are_named_at_once():
    with pytest.raises(InputError) as caught:
        ModelAmounts("10", -1.0, math.nan)
    assert len(caught.value.problems) == 3
    with pytest.raises(InputError) as caught:
        two_pot(ModelAmounts(1, 1, 1), ModelAmounts(1, 1, 1), cap="0.8", minimum=None)
    assert len(caught.value.problems) == 2


money = st.floats(0, 1e12)
amounts = st.builds(ModelAmounts, money, money, money)


@given(amounts, amounts, st.floats(0, 1), st.floats(0, 1))
def test_two_pot_is_bounded_whatever_the_models_say(ficc, cme, cap, minimum):
    outcome = two_pot(ficc, cme, cap=cap, minimum=minimum)
    assert 0.0 <= outcome.applied_factor <= cap
    assert outcome.applied_factor in (0.0, min(outcome.ficc_factor, outcome.cme_factor, cap))
    assert outcome.applied_factor == 0.0 or outcome.applied_factor >= minimum - 1e-12
    assert outcome.ficc_requirement >= -1e-3
    assert outcome.cme_requirement >= -1e-3
    assert outcome.total_requirement <= outcome.standalone_total * (1 + 1e-12)


# ------------------------------------------------------------------------------------------- credit of one unit


def unit(*pots: str) -> dict[str, Pool]:
    held = {FICC: Position("cash", "ALPHA-XM", NOTE_7, 1e6), CME: Position("future", "ALPHA-XM", ZN, -10)}
    shared = ("ALPHA", "DUAL", AccountClass.XM_FUTURES_4D_AB)
    return {pot: Pool(*shared, pot, "rule", "cme_ficc", (held[pot],)) for pot in pots}


def model(component: str, treasuries: float, futures: float, both: float):
    """A clearing house's model that answers these amounts, with an add-on of 7 that no factor may touch."""
    answers = {("cash",): treasuries, ("future",): futures, ("cash", "future"): both}

    def answer(pool: Pool) -> Line:
        charge = Line(component, answers[tuple(position.id for position in pool.positions)])
        return total("requirement", [charge, Line("add-on", 7.0)])

    return answer


MODELS = {FICC: model("var_charge", 200e6, 141e6, 40e6), CME: model("base_charge", 205e6, 143.24e6, 30e6)}


def test_the_published_example_through_the_credit_of_a_unit():
    found = credits(unit(FICC, CME), MODELS, RULES.at(AS_OF))
    assert found[FICC].amount == pytest.approx(-0.8 * 200e6, rel=1e-12)
    assert found[CME].amount == pytest.approx(-0.8 * 143.24e6, rel=1e-12)
    required = 200e6 + 143.24e6 + sum(line.amount for line in found.values())
    assert round(required / 1e6, 2) == 68.65
    assert all("cap binds" in line.note for line in found.values())
    reads = {read.name for credit in found.values() for read in credit.all_reads()}
    assert reads == {"reduction_cap", "reduction_minimum", "scaled_components"}


@pytest.mark.parametrize("pots", [(FICC,), (CME,)])
@pytest.mark.parametrize("policy", ["zero_reduction", "use_last_factor"])
def test_a_missing_leg_earns_nothing_and_says_so_whatever_the_policy(pots, policy):
    overlaid = RULES.with_values(missing_side_policy=policy, because="study")
    ((pot, line),) = credits(unit(*pots), MODELS, overlaid.at(AS_OF)).items()
    assert (line.amount, pot) == (0.0, pots[0])
    assert f"only the {pots[0]} leg" in line.note


def test_add_ons_are_not_scaled_unless_a_study_says_so():
    whole = RULES.with_values(scaled_components={"FICC": "requirement", "CME": "requirement"}, because="study")
    found = credits(unit(FICC, CME), MODELS, whole.at(AS_OF))
    assert found[FICC].amount == pytest.approx(-0.8 * (200e6 + 7), rel=1e-12)


def test_cap_and_minimum_are_read_from_the_rules():
    lower = RULES.with_values(reduction_cap=0.5, because="study")
    assert credits(unit(FICC, CME), MODELS, lower.at(AS_OF))[FICC].amount == pytest.approx(-100e6)
    strict = RULES.with_values(reduction_minimum=0.9, because="study")
    assert {line.amount for line in credits(unit(FICC, CME), MODELS, strict.at(AS_OF)).values()} == {0.0}


# ------------------------------------------------------------------------------------------------- every condition


def decision(portfolio: Portfolio, as_of: date = AS_OF):
    """The decision on the first position."""
    return decide(case_of(portfolio, portfolio.positions[0], as_of), RULES, TESTS)


def failed(portfolio: Portfolio, as_of: date = AS_OF) -> set[str]:
    return {reason.condition for reason in decision(portfolio, as_of).because}


def customer(product=NOTE_7, settles=SETTLES, *, papers=PAPERS, firm=DUAL, **account) -> Portfolio:
    accounts = [evolve(a, **account) if a.id == "ALPHA-XM" else a for a in accounts_of("ALPHA", papers=papers)]
    return book(Position("p", "ALPHA-XM", product, 1e6, settles), firms=(firm, TWIN), accounts=accounts)


def house(product=NOTE_7, settles=None, **account) -> Portfolio:
    accounts = [evolve(a, **account) if a.id == "DUAL-XM" else a for a in ACCOUNTS]
    return book(Position("p", "DUAL-XM", product, 1e6, settles), accounts=accounts)


FAILING = {
    "programme_open": lambda: (customer(), HOUSE_ONLY),
    "directed": lambda: (customer(arrangement=""), AS_OF),
    "dual_registration": lambda: (customer(firm=evolve(DUAL, registrations=(Registration.FCM,))), AS_OF),
    "common_member": lambda: (customer(firm=evolve(DUAL, memberships=(ClearingHouse.CME,))), AS_OF),
    "firm_standing": lambda: (customer(firm=evolve(DUAL, compliant=False)), AS_OF),
    "house_owner": lambda: (house(owner="TWIN"), AS_OF),
    "account_class": lambda: (customer(account_class=AccountClass.CFTC_4D_AB), AS_OF),
    "institutional": lambda: (book(Position("p", "RETAIL-XM", NOTE_7, 1e6)), AS_OF),
    "participant_agreement": lambda: (house(agreements=()), AS_OF),
    "subordination": lambda: (customer(papers=PAPERS - {Agreement.SUBORDINATION}), AS_OF),
    "disclosure": lambda: (customer(papers=PAPERS - {Agreement.DISCLOSURE}), AS_OF),
    "customer_opt_in": lambda: (customer(papers=PAPERS - {Agreement.CUSTOMER_OPT_IN}), AS_OF),
    "firm_opt_in": lambda: (customer(papers=PAPERS - {Agreement.FIRM_OPT_IN}), AS_OF),
    "product_list": lambda: (customer(OPTION, None), AS_OF),
    "remaining_maturity": lambda: (customer(SHORT_NOTE), AS_OF),
    "repo_collateral": lambda: (customer(Repo(BILL, SETTLES, date(2026, 7, 31), 0.037), None), AS_OF),
    "unsettled": lambda: (customer(settles=AS_OF), AS_OF),
}


def test_every_condition_has_its_test_and_its_failing_case():
    written = tomllib.loads(Path(cme_ficc.__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    assert set(TESTS) == set(written["conditions"]) == {c.id for c in RULES.conditions} == set(FAILING)


@pytest.mark.parametrize("condition", FAILING)
def test_each_condition_alone_keeps_a_position_out(condition):
    portfolio, as_of = FAILING[condition]()
    found = decision(portfolio, as_of)
    assert not found.allowed
    assert [reason.condition for reason in found.because] == [condition]
    (reason,) = found.because
    assert reason.about
    assert reason.cure
    assert reason.citation


@pytest.mark.parametrize("product", [NOTE_7, REPO, REVERSE, ZN, UB, ZQ, SR3], ids=lambda product: product.symbol)
def test_what_is_listed_is_admitted_from_house_and_customer(product):
    assert decision(customer(product, None)).allowed
    assert decision(house(product)).allowed
    assert decision(house(product), HOUSE_ONLY).allowed


@pytest.mark.parametrize("product", [BILL, TIPS_8, STRIP, FRN, OPTION, ETF_OPTION], ids=lambda product: product.symbol)
def test_what_is_not_listed_is_refused_for_that_reason_alone(product):
    assert failed(house(product)) == {"product_list"}


def test_an_affiliate_of_the_firm_is_house_and_of_another_firm_is_not():
    assert decision(house(owner="AFFILIATE")).allowed
    other = book(
        Position("p", "DUAL-XM", NOTE_7, 1e6),
        firms=(evolve(DUAL, affiliates=()), evolve(TWIN, affiliates=("AFFILIATE",))),
        accounts=[evolve(a, owner="AFFILIATE") if a.id == "DUAL-XM" else a for a in ACCOUNTS],
    )
    assert failed(other) == {"house_owner"}


def test_all_failed_conditions_are_reported_not_the_first_only():
    firm = evolve(DUAL, registrations=(), memberships=(), compliant=False)
    portfolio = customer(BILL, AS_OF, papers=(), firm=firm, arrangement="", account_class="SEC_NOTE_H")
    expected = set(TESTS) - {"programme_open", "house_owner", "institutional", "remaining_maturity", "repo_collateral"}
    assert failed(portfolio) == expected


def test_the_other_programmes_account_is_not_this_programmes():
    assert failed(customer(arrangement="another")) == {"directed"}


# ------------------------------------------------------------------------------------------------- dates and terms


@pytest.mark.parametrize(
    ("as_of", "house_in", "customer_in"),
    [
        (date(2019, 1, 2), False, False),
        (START - timedelta(1), False, False),
        (START, True, False),
        (CUSTOMER_START - timedelta(1), True, False),
        (CUSTOMER_START, True, True),
    ],
)
def test_each_programme_opens_on_its_day(as_of, house_in, customer_in):
    assert decision(house(), as_of).allowed is house_in
    assert decision(customer(), as_of).allowed is customer_in


@pytest.mark.parametrize("portfolio", [house(), customer()], ids=["house", "customer"])
def test_before_the_programme_the_reason_bears_a_date(portfolio):
    (reason,) = decision(portfolio, START - timedelta(1)).because
    assert reason.condition == "in_force"
    assert str(START) in reason.cure or str(CUSTOMER_START) in reason.cure


def test_before_the_programme_a_customer_is_told_the_customers_date():
    (reason,) = decision(customer(), START - timedelta(1)).because
    assert str(CUSTOMER_START) in reason.cure


@pytest.mark.parametrize("maturity", [date(2027, 6, 29), date(2027, 6, 30)])
def test_a_year_to_run_or_less_is_refused(maturity):
    assert failed(customer(TreasuryNote(0.04, maturity))) == {"remaining_maturity"}


def test_a_day_more_than_a_year_is_admitted():
    assert decision(customer(TreasuryNote(0.04, date(2027, 7, 1)))).allowed
    assert decision(customer(TreasuryBond(0.04, date(2027, 7, 1)))).allowed


@pytest.mark.parametrize(
    ("as_of", "maturity", "admitted"),
    [
        (date(2024, 2, 29), date(2025, 2, 28), False),  # a year after a leap day is the last of February
        (date(2024, 2, 29), date(2025, 3, 1), True),
        (date(2027, 2, 28), date(2028, 2, 28), False),
        (date(2027, 2, 28), date(2028, 2, 29), False),  # from one end of February to the next is a year
        (date(2025, 12, 31), date(2026, 12, 31), False),
        (date(2025, 12, 31), date(2027, 1, 1), True),
    ],
)
def test_a_year_is_a_calendar_year(as_of, maturity, admitted):
    assert decision(house(TreasuryNote(0.04, maturity)), as_of).allowed is admitted


@pytest.mark.parametrize(
    ("collateral", "admitted"),
    [
        (NOTE_7, True),
        (TreasuryNote(0.04, date(2027, 7, 1)), True),
        (SHORT_NOTE, False),
        (TreasuryBill(date(2027, 6, 24)), False),
        (TIPS_8, False),
        (STRIP, False),
        (FRN, False),
    ],
    ids=lambda value: getattr(value, "symbol", str(value)),
)
@pytest.mark.parametrize("side", [Repo, ReverseRepo])
def test_repo_is_as_eligible_as_its_collateral(side, collateral, admitted):
    repo = side(collateral, SETTLES, date(2026, 7, 31), 0.037)
    assert failed(customer(repo, None)) == (set() if admitted else {"repo_collateral"})


def test_a_cash_trade_counts_until_it_settles():
    assert decision(customer(settles=AS_OF + timedelta(1))).allowed
    assert decision(customer(settles=None)).allowed
    assert failed(customer(settles=AS_OF)) == {"unsettled"}
    assert failed(customer(settles=AS_OF - timedelta(1))) == {"unsettled"}


def test_lists_and_terms_are_data():
    short = RULES.with_values(futures_contracts=("ZN",), remaining_maturity_years=8, because="study")
    case = case_of(customer(UB, None), customer(UB, None).positions[0], AS_OF)
    assert [reason.condition for reason in decide(case, short, TESTS).because] == ["product_list"]
    case = case_of(customer(), customer().positions[0], AS_OF)
    assert [reason.condition for reason in decide(case, short, TESTS).because] == ["remaining_maturity"]


def test_a_parameter_that_is_not_yet_in_force_refuses_rather_than_admits():
    lists = evolve(RULES.parameters["cash_products"].values[0], start=date(2030, 1, 1))
    later = evolve(RULES.parameters["cash_products"], values=(lists,))
    unread = evolve(RULES, parameters={**RULES.parameters, "cash_products": later})
    case = case_of(customer(), customer().positions[0], AS_OF)
    found = decide(case, unread, TESTS)
    assert not found.allowed
    assert "product_list" in {reason.condition for reason in found.because}
