"""What cross-margining is not: the negative requirements, each by its number.

NR-08 (no crisis insurance) is shown on real yields in `test_history_check`. NR-15 (no view on direction or volatility)
has no test: nothing in the library forecasts, and no code could show that a text does not.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import AccountClass, Agreement, ClearingHouse, Registration
from crossmargin.cli.book import CLOSING
from crossmargin.margin import compare, margin
from crossmargin.market import History, Market
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import ListedOption
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, REGIMES, SILOED
from crossmargin.registry import rulebook, rules
from crossmargin.results import Report
from tests.properties.strategies import (
    ACCOUNTS,
    ALPHA,
    AS_OF,
    DUAL,
    ELIGIBLE_CASH,
    ELIGIBLE_FUTURES,
    ETF_OPTION,
    INELIGIBLE,
    OPTION,
    PAPERS,
    RETAIL,
    TWIN,
    ZN,
    accounts_of,
    basis,
    book,
    few,
    history,
    lines,
    market,
    units,
)
from tests.properties.test_margin_laws import owned, run


def conditions(report: Report) -> set[str]:
    """Every condition of which the report tells that a position fails it."""
    return {reason.condition for decision in report.refused() for reason in decision.because}


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
    assert conditions(report) == {condition}
    assert all(reason.citation and reason.cure for d in report.refused() for reason in d.because)
    assert report.requirements == comparison["siloed"].requirements


def test_nr_07_levels_of_volatility_move_cross_margin_as_they_move_siloed():
    par = np.array(history().par)
    for row in range(par.shape[0] - 1):
        par[row] = par[-1] + 2.0 * (history().par[row] - par[-1])
    wilder = Market.from_history(History(history().dates, history().tenors, np.maximum(par, 1e-4)), AS_OF)
    calm, wild = (compare(book(*basis()), of).totals() for of in (market(), wilder))
    assert wild["siloed"] > 1.5 * calm["siloed"]
    assert wild["cross_margin"] > 1.5 * calm["cross_margin"]


def test_nr_07_add_ons_and_floors_are_not_reduced():
    """Each pot keeps at least its add-ons and the share of the model's charge that the cap leaves."""
    report, cap = run(*basis())["cross_margin"], rules("cme_ficc").at(AS_OF).reduction_cap
    components = rules("cme_ficc").at(AS_OF).scaled_components
    for credit in report.credits:
        (asked,) = [each.line for each in report.requirements if each.pool == credit.pool and each.level == "clearing"]
        charge = asked.part(components[credit.pot]).value
        assert asked.value + credit.line.value >= asked.value - charge + (1 - cap) * charge - 1e-9


@few
@given(units(), st.floats(1.0, 3.0))
def test_nr_09_a_stricter_house_asks_its_customers_for_no_less(held, share):
    study = rules("cme_ficc").with_values(customer_share=share, because="house rule")
    plain, stricter = (margin(book(*held), market(), CROSS_MARGIN, rules=more) for more in ((), [study]))
    assert stricter.total("customer") == pytest.approx(share * plain.total("customer"), rel=1e-12)
    assert stricter.total("customer") >= plain.total("customer")
    assert stricter.total() == plain.total()


def test_nr_10_a_proposal_cannot_be_passed_off_as_in_force():
    for passed_off in (evolve(CROSS_MARGIN, proposal="harmonized_rates"), evolve(HARMONIZED, title="in force")):
        assert margin(book(*basis()), market(), passed_off).status == "proposed"


def test_nr_11_the_proposal_may_ask_for_more_than_today():
    held = book(Position("p", "ALPHA-FUT", ZN, 100.0))
    comparison = compare(held, market())
    assert comparison.benefit("harmonized") < 0.0  # three days instead of one


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
def test_nr_12_every_requirement_says_which_law_protects_it(regime):
    report = margin(book(*basis(), *basis("DUAL"), Position("o", "RETAIL-SEC", ETF_OPTION, 1.0)), market(), regime)
    for entry in (*report.requirements, *report.credits):
        account_class = AccountClass(entry.account_class)
        assert entry.firm == "DUAL"
        assert account_class.insolvency_regime
        assert bool(account_class.segregation_law) is (account_class.origin == "customer")
    assert {record["account_class"] for record in report.to_records()} <= {each.value for each in AccountClass}


def test_nr_13_the_intraday_standard_gives_and_takes_no_credit():
    apart = {"intraday_margin"}
    assert not any(apart & {*regime.programmes, *(silo.ruleset for silo in regime.silos)} for regime in REGIMES)
    for rule in rulebook().values():
        models = rule.parameters["models"].values if rule.kind == "arrangement" and "models" in rule.parameters else ()
        assert not any(apart & set(dated.value) for dated in models)


@few
@given(units(), st.sets(st.sampled_from(ClearingHouse)))
def test_nr_14_a_membership_elsewhere_creates_no_offset(held, more):
    wider = evolve(DUAL, memberships=DUAL.memberships | more)
    before = margin(book(*held), market(), CROSS_MARGIN)
    after = margin(book(*held, firms=(wider, TWIN)), market(), CROSS_MARGIN)
    assert (after.requirements, after.credits) == (before.requirements, before.credits)
    assert margin(book(*held, firms=(wider, TWIN)), market(), SILOED).credits == ()


def test_nr_14_credit_comes_from_the_programmes_of_a_regime_alone():
    for report, regime in zip(compare(book(*basis(), *basis("DUAL")), market(), REGIMES).reports, REGIMES, strict=True):
        assert {credit.arrangement for credit in report.credits} <= set(regime.arrangements)
    assert margin(book(*basis()), market(), evolve(CROSS_MARGIN, arrangements=())).credits == ()


def test_nr_16_an_option_on_a_fund_is_none_on_a_future_and_a_bond_fund_is_no_treasury():
    assert isinstance(ETF_OPTION, ListedOption)
    assert (ETF_OPTION.exercise, ETF_OPTION.settlement) == ("american", "physical")
    assert ETF_OPTION.kind != OPTION.kind
    where = {silo.pot for silo in SILOED.silos if "etf" in silo.kinds}
    assert not where & {"FICC", "CME"}
    assert not any({"etf", ETF_OPTION.kind} & silo.kinds for silo in SILOED.silos if silo.pot in ("FICC", "CME"))


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


def test_nr_18_every_list_of_a_programme_has_its_dates():
    for rule in rulebook().values():
        if rule.kind == "arrangement" and rule.conditions:
            lists = [each for each in rule.parameters.values() if isinstance(each.values[-1].value, tuple)]
            assert lists, rule.id
            assert all(dated.start for each in lists for dated in each.values)


def test_nr_18_a_shorter_list_takes_the_credit_with_it():
    shorter = rules("cme_ficc").with_values(futures_contracts=("ZT",), because="bulletin")
    assert margin(book(*basis()), market(), CROSS_MARGIN, rules=[shorter]).credit() == 0.0


def test_nr_19_it_is_no_advice():
    readme = Path(__file__).resolve().parents[1] / "README.md"
    assert "Not advice" in CLOSING
    assert "Not advice" in readme.read_text(encoding="utf-8").replace("*", "")


def test_nr_20_the_house_programme_and_the_customer_programme_are_different_things():
    house, customer = basis("DUAL"), basis("ALPHA")
    assert {credit.owner for credit in run(*house)["cross_margin"].credits} == {"DUAL"}
    assert {credit.owner for credit in run(*customer)["cross_margin"].credits} == {"ALPHA"}
    foreign = [evolve(position, account="DUAL-XM") for position in customer]
    accounts = [evolve(account, owner="ALPHA") if account.id == "DUAL-XM" else account for account in ACCOUNTS]
    report = run(*foreign, accounts=accounts)["cross_margin"]
    assert report.credits == ()
    assert conditions(report) == {"house_owner"}
    own = [evolve(a, owner="DUAL") if a.id == "ALPHA-XM" else a for a in ACCOUNTS]
    report = run(*customer, accounts=own)["cross_margin"]
    assert conditions(report) == {"institutional"}
    assert ALPHA.kind != RETAIL.kind
