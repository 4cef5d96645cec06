"""The one-pot programmes: who may join, with what, and what each refusal says."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from attrs import evolve, frozen

from crossmargin.accounts import Account, AccountClass, Agreement, ClearingHouse, Customer, CustomerKind, Firm
from crossmargin.accounts import Registration as Reg
from crossmargin.eligibility import case_of, decide
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import (
    ETF,
    FutureOption,
    IndexFuture,
    ListedOption,
    SecurityFuture,
    ShortRateFuture,
    Stock,
    TreasuryFuture,
    TreasuryNote,
)
from crossmargin.products.security_based import CreditDefaultSwap
from crossmargin.products.swaps import OvernightSwap
from crossmargin.registry import module, rules
from tests.properties.strategies import AS_OF, ZN

EXPIRY = date(2026, 9, 18)
ES, VX, SR3 = IndexFuture("ES", 202609), IndexFuture("VX", 202609), ShortRateFuture("SR3", 202609)
ES_CALL = FutureOption(ES, "call", 6500.0, EXPIRY)
VX_CALL = FutureOption(VX, "call", 20.0, date(2026, 9, 16))
SPX_PUT = ListedOption("SPX", "put", 6000.0, EXPIRY, settlement="cash", exercise="european", underlying_kind="index")
SPY_PUT = ListedOption("SPY", "put", 600.0, EXPIRY, underlying_kind="etf")
XYZ_PUT, XYZ_FUTURE = ListedOption("XYZ", "put", 90.0, EXPIRY), SecurityFuture("XYZ", 202609)
ZN_CALL = FutureOption(ZN, "call", 112.0, date(2026, 8, 21))
SWAP = OvernightSwap("receive", 0.035, date(2026, 7, 2), date(2028, 7, 3))
LCH_SWAP = evolve(SWAP, clearing="LCH")
SINGLE = CreditDefaultSwap("ACME", 0.01, date(2031, 6, 20))
INDEX = CreditDefaultSwap("CDX.NA.IG", 0.01, date(2031, 6, 20), names=125)
BILATERAL = evolve(SINGLE, clearing="bilateral")

JOINT = Firm("JOINT", tuple(Reg), tuple(ClearingHouse), affiliates=("AFFILIATE",))
OTHER = Firm("OTHER", tuple(Reg), tuple(ClearingHouse))
PRO = Customer("PRO", CustomerKind.MARKET_PROFESSIONAL)
FUND = Customer("FUND", CustomerKind.ELIGIBLE_CONTRACT_PARTICIPANT)
RETAIL = Customer("RETAIL", CustomerKind.RETAIL)
PAPERS = frozenset(Agreement)


@frozen
class Programme:
    """What a test needs to know of one programme."""

    id: str
    account_class: AccountClass
    owner: str
    listed: tuple[object, ...]
    refused: dict[object, str]
    opens: date


PROGRAMMES = {
    each.id: each
    for each in (
        Programme(
            "occ_cme",
            AccountClass.XM_FUTURES_4D_AB,
            "PRO",
            (ES, IndexFuture("MES", 202609), ES_CALL, SPX_PUT, SPY_PUT),
            {VX: "broad_index", VX_CALL: "broad_index", XYZ_PUT: "broad_index", ZN: "product_list"},
            date(2020, 11, 25),
        ),
        Programme(
            "occ_internal",
            AccountClass.XM_FUTURES_4D_AB,
            "PRO",
            (SPX_PUT, XYZ_PUT, XYZ_FUTURE, VX, VX_CALL),
            {ES: "cleared_here", ES_CALL: "cleared_here", ZN: "product_list", Stock("XYZ"): "product_list"},
            date(2006, 8, 31),
        ),
        Programme(
            "cme_swaps_futures",
            AccountClass.CFTC_4D_F,
            "FUND",
            (SWAP, ZN, SR3, ZN_CALL),
            {ES: "product_list", SINGLE: "product_list", LCH_SWAP: "product_list", ETF("TLT"): "product_list"},
            date(2013, 7, 15),
        ),
        Programme(
            "icc_cds",
            AccountClass.CFTC_4D_F,
            "FUND",
            (SINGLE, INDEX),
            {SWAP: "product_list", BILATERAL: "product_list", XYZ_PUT: "product_list"},
            date(2021, 1, 1),
        ),
    )
}
every = pytest.mark.parametrize("programme", PROGRAMMES.values(), ids=PROGRAMMES)


def held(programme, product=None, *, origin="customer", firm=JOINT, papers=PAPERS, **account) -> Portfolio:
    house = origin == "house"
    terms = {
        "owner": "JOINT" if house else programme.owner,
        "account_class": AccountClass.PROPRIETARY if house else programme.account_class,
        "arrangement": programme.id,
        "agreements": papers,
        **account,
    }
    position = Position("p", "A", programme.listed[0] if product is None else product, 1.0)
    accounts = (Account("A", firm=firm.id, **terms),)
    return Portfolio((firm, OTHER), (PRO, FUND, RETAIL), accounts, (position,))


def decision(programme, portfolio, as_of=AS_OF):
    case = case_of(portfolio, portfolio.positions[0], as_of)
    return decide(case, rules(programme.id), module(programme.id).TESTS)


def failed(programme, portfolio, as_of=AS_OF):
    return {reason.condition for reason in decision(programme, portfolio, as_of).because}


@every
@pytest.mark.parametrize("origin", ["house", "customer"])
def test_what_is_listed_is_admitted(programme, origin):
    for product in programme.listed:
        assert decision(programme, held(programme, product, origin=origin)).allowed, product.symbol


@every
def test_what_is_not_listed_is_refused_for_that_reason_alone(programme):
    for product, condition in programme.refused.items():
        assert failed(programme, held(programme, product)) == {condition}, product.symbol


@every
def test_before_its_first_day_a_programme_admits_nobody(programme):
    assert decision(programme, held(programme), programme.opens).allowed
    before = decision(programme, held(programme), programme.opens - timedelta(1))
    assert not before.allowed
    assert [reason.condition for reason in before.because] == ["in_force"]
    assert str(programme.opens) in before.because[0].cure


def without(paper):
    return lambda programme: held(programme, papers=PAPERS - {paper})


def at(**changes):
    return lambda programme: held(programme, firm=evolve(JOINT, **changes))


def less(values, gone):
    return tuple(value for value in values if value not in gone)


def house_of_another(programme):
    return held(programme, origin="house", owner="OTHER")


FAILING = {
    "directed": lambda programme: held(programme, arrangement=""),
    "account_class": lambda programme: held(programme, account_class=AccountClass.CFTC_4D_AB),
    "house_owner": house_of_another,
    "dual_registration": at(registrations=less(Reg, {Reg.BD})),
    "futures_commission_merchant": at(registrations=less(Reg, {Reg.FCM})),
    "market_professional": lambda programme: held(programme, owner="FUND"),
    "institutional": lambda programme: held(programme, owner="RETAIL"),
    "same_owner": lambda programme: held(programme, beneficial_owner="PRO"),
    "participant_agreement": without(Agreement.PARTICIPANT_AGREEMENT),
    "subordination": without(Agreement.SUBORDINATION),
    "disclosure": without(Agreement.DISCLOSURE),
}
BY_PRODUCT = {"product_list", "broad_index", "cleared_here", "rate_contract"}
BY_MEMBERSHIP = {"common_member", "joint_member"}


@every
def test_each_condition_alone_keeps_a_position_out(programme):
    conditions = {condition.id for condition in rules(programme.id).conditions}
    assert set(module(programme.id).TESTS) == conditions
    assert conditions - {"programme_open"} - BY_PRODUCT - BY_MEMBERSHIP <= set(FAILING)
    for condition in conditions & set(FAILING):
        found = decision(programme, FAILING[condition](programme))
        assert [reason.condition for reason in found.because] == [condition]
        (reason,) = found.because
        assert reason.about
        assert reason.cure
        assert reason.citation


@every
def test_each_membership_is_needed(programme):
    houses = rules(programme.id).at(AS_OF).clearing_houses
    for house in houses:
        firm = evolve(JOINT, memberships=less(ClearingHouse, {house}))
        assert failed(programme, held(programme, firm=firm)) <= BY_MEMBERSHIP
        assert not decision(programme, held(programme, firm=firm)).allowed
    only = evolve(JOINT, memberships=tuple(ClearingHouse(house) for house in houses))
    assert decision(programme, held(programme, firm=only)).allowed


def test_a_guaranteed_affiliate_may_be_the_other_member():
    programme = PROGRAMMES["occ_cme"]
    pair = evolve(JOINT, memberships=("OCC",), affiliates=("OTHER",), guarantees=("OTHER",))
    assert decision(programme, held(programme, firm=pair)).allowed
    assert failed(programme, held(programme, firm=evolve(pair, guarantees=()))) == {"joint_member"}


def test_two_beneficial_owners_never_share_an_account_of_swaps_and_futures():
    programme = PROGRAMMES["cme_swaps_futures"]
    assert failed(programme, held(programme, ZN, beneficial_owner="PRO")) == {"same_owner"}
    assert decision(programme, held(programme, ZN, beneficial_owner="FUND")).allowed


def test_broad_indices_and_contracts_are_data():
    narrow = rules("occ_cme").with_values(futures_contracts=("NQ",), option_underlyings=("NDX",), because="study")
    for product in (ES, ES_CALL, SPX_PUT):
        portfolio = held(PROGRAMMES["occ_cme"], product)
        case = case_of(portfolio, portfolio.positions[0], AS_OF)
        assert [r.condition for r in decide(case, narrow, module("occ_cme").TESTS).because] == ["broad_index"]


def test_what_rests_on_texts_that_were_not_read_says_so():
    graded = {id: {c.id for c in rules(id).conditions if c.grade == "assumed"} for id in PROGRAMMES}
    assert graded["occ_cme"] == {
        "account_class",
        "participant_agreement",
        "subordination",
        "product_list",
        "broad_index",
    }
    assert graded["occ_internal"] == {"house_owner", "participant_agreement", "cleared_here"}
    assert graded["cme_swaps_futures"] == {"house_owner", "rate_contract"}
    assert graded["icc_cds"] == {"house_owner", "institutional", "subordination"}


def test_rate_contracts_that_may_move_to_the_swaps_are_data():
    few = rules("cme_swaps_futures").with_values(futures_contracts=("SR3",), because="study")
    for product, admitted in ((TreasuryFuture("ZN", 202609), False), (ZN_CALL, False), (SR3, True), (SWAP, True)):
        portfolio = held(PROGRAMMES["cme_swaps_futures"], product)
        case = case_of(portfolio, portfolio.positions[0], AS_OF)
        assert decide(case, few, module("cme_swaps_futures").TESTS).allowed is admitted


def test_a_treasury_note_joins_none_of_them():
    note = TreasuryNote(0.04, date(2030, 1, 31))
    assert not any(decision(each, held(each, note)).allowed for each in PROGRAMMES.values())
