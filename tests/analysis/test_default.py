"""A firm's default: who ports, who pays for whom, worked by hand, and the laws of conservation and of walls."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import crossmargin.analysis
from crossmargin.accounts import Account, AccountClass, ClearingHouse, Customer, Firm, Registration
from crossmargin.analysis.default import FLOWS, POLICIES, LossShare, default_rules, firm_default, pool_pnl
from crossmargin.analysis.porting import TESTS
from crossmargin.errors import InputError
from crossmargin.margin import margin
from crossmargin.parameters import load_rules
from crossmargin.pnl import revalue
from crossmargin.portfolio import Portfolio
from crossmargin.posted import Cash, Posted
from crossmargin.regimes import CROSS_MARGIN
from crossmargin.results import Credit, Line, Report, Requirement, not_modelled
from crossmargin.samples import group
from crossmargin.scenarios import ScenarioSpec, scenario_set
from tests.health import test_rules as health
from tests.properties import strategies

HOUSE, XM, FUTURES = AccountClass.PROPRIETARY, AccountClass.XM_FUTURES_4D_AB, AccountClass.CFTC_4D_AB
SWAPS, NOTE_H, SECURITIES = AccountClass.CFTC_4D_F, AccountClass.SEC_NOTE_H, AccountClass.SEC_15C3_3
ALL = (ClearingHouse.FICC, ClearingHouse.CME)
DUAL = (Registration.BD, Registration.FCM)
BOOK = Portfolio(
    firms=[Firm("F", DUAL, ALL, affiliates=["AFF"]), Firm("G", DUAL, ALL), Firm("FUTURES ONLY", DUAL[1:], ALL[1:])],
    customers=[Customer("A"), Customer("B")],
)


def report(*legs, credits=()):
    """A report of legs (owner, class, pot, amount); `credits` are (owner, class, pot, amount below 0)."""
    asked = [
        Requirement(pool(*leg), leg[0], leg[2], "clearing", "made_up", (), Line("r", leg[3]), "F", leg[1].value)
        for leg in legs
    ]
    less = [
        Credit("cme_ficc", pool(*leg), leg[0], leg[2], Line("c", leg[3]), firm="F", account_class=leg[1].value)
        for leg in credits
    ]
    return Report("made_up", "", "in_force", date(2026, 6, 30), asked, tuple(less))


def pool(owner, account_class, pot, *_):
    return f"{owner} / {account_class.value} / {pot}"


def defaulted(legs, pnl, *, credits=(), book=BOOK, **more):
    """What becomes of F; `pnl` is one list of scenarios per leg."""
    vectors = {pool(*leg): vector for leg, vector in zip(legs, pnl, strict=True)}
    return firm_default(report(*legs, credits=credits), book, "F", vectors, **more)


def flow(found, name):
    """One row per leg of what comes in under a flow."""
    return [leg.flows[name].tolist() for leg in found.legs]


TWO_POTS = (("A", XM, "FICC", 100.0), ("A", XM, "CME", 60.0))
CREDITS = (("A", XM, "FICC", -80.0), ("A", XM, "CME", -40.0))  # 20 is left in each


# ------------------------------------------------------------------------------------------------ worked by hand


@pytest.mark.parametrize(
    ("policy", "other_pot", "clearing_house"),
    [
        # held 20 and 20; FICC gains 30, CME loses 50 in the first scenario: 30 short at CME, 50 left at FICC
        ("none", [[0, 0], [0, 0]], [[0, 0], [30, 0]]),
        ("cross_guaranty", [[-30, 0], [30, 0]], [[0, 0], [0, 0]]),
        # the joint result of -20 is split half and half, and so is that of +2
        ("pro_rata", [[-40, 1], [40, -1]], [[0, 0], [0, 0]]),
    ],
)
def test_two_pots_share_as_the_policy_says(policy, other_pot, clearing_house):
    found = defaulted(TWO_POTS, [[30.0, 0.0], [-50.0, 2.0]], credits=CREDITS, loss_share=policy)
    assert flow(found, "other_pot") == other_pot
    assert flow(found, "clearing_house") == clearing_house
    assert found.expected("clearing_house") == sum(map(sum, clearing_house)) / 2


def test_pots_that_no_programme_ties_never_share():
    found = defaulted(TWO_POTS, [[300.0], [-90.0]], loss_share="cross_guaranty")
    assert flow(found, "clearing_house") == [[0], [30]]
    assert not np.any(flow(found, "other_pot"))


def test_the_waterfall_of_a_pooled_class_and_of_an_individual_one():
    legs = [("F", HOUSE, "CME", 10.0)]
    legs += [(owner, account_class, "CME", 100.0) for account_class in (FUTURES, SWAPS) for owner in "AB"]
    found = defaulted(legs, [[0.0], [-140.0], [-70.0], [-140.0], [-70.0]])
    # A is 40 short twice; the house's 10 go half to each; B's 30 pay in the futures class only
    assert flow(found, "house") == [[-10], [5], [0], [5], [0]]
    assert flow(found, "fellows") == [[0], [30], [-30], [0], [0]]
    assert flow(found, "clearing_house") == [[0], [5], [0], [35], [0]]
    assert [leg.returned.tolist() for leg in found.legs] == [[0], [0], [0], [0], [30]]
    assert found.beyond.tolist() == [80]


def test_customers_never_pay_for_the_house_and_affiliates_do():
    legs = [("F", HOUSE, "CME", 10.0), ("AFF", HOUSE, "CME", 20.0), ("A", FUTURES, "CME", 100.0)]
    found = defaulted(legs, [[-50.0], [5.0], [10.0]])
    assert flow(found, "fellows") == [[25], [-25], [0]]
    assert flow(found, "clearing_house") == [[15], [0], [0]]
    assert found.legs[2].returned.tolist() == [110]


def test_an_affiliate_s_surplus_is_not_the_firm_s_and_pays_no_customer():
    legs = [("AFF", HOUSE, "CME", 20.0), ("A", FUTURES, "CME", 100.0)]
    assert flow(defaulted(legs, [[0.0], [-120.0]]), "clearing_house") == [[0], [20]]


def test_what_is_posted_takes_the_place_of_what_is_asked_and_the_firm_s_money_comes_before_fellows():
    legs = (("A", FUTURES, "CME", 100.0), ("B", FUTURES, "CME", 100.0))
    at = {"pot": "CME", "account_class": FUTURES, "asset": Cash()}
    posted = (
        Posted("a", "A", "F", quantity=90.0, **at),
        Posted("b", "B", "F", quantity=100.0, **at),
        Posted("firm", "A", "F", quantity=15.0, provided_by="F", **at),
    )
    market = strategies.market()
    found = defaulted(legs, [[-120.0], [0.0]], posted=posted, market=market)
    assert [leg.held for leg in found.legs] == [90, 100]
    assert flow(found, "firm") == [[15], [0]]
    assert flow(found, "fellows") == [[15], [-15]]
    moved = defaulted(legs, [[-120.0], [0.0]], posted=posted, market=market, receivers={"A": "G", "B": "G"})
    assert [each.allowed for each in moved.decisions] == [False, True]
    assert [why.condition for why in moved.decisions[0].because] == ["fully_margined"]
    assert moved.legs[1].deposits == ("b",)
    assert moved.legs[0].flows["clearing_house"].tolist() == [15]  # B has gone, with its margin


# ----------------------------------------------------------------------------------------------------------- porting


@pytest.mark.parametrize(
    ("legs", "receivers", "failed"),
    [
        (TWO_POTS, {"A": "G"}, set()),
        (TWO_POTS, {}, {"receiver_willing", "receiver_registered", "receiver_member"}),
        (TWO_POTS, {"A": "FUTURES ONLY"}, {"receiver_registered", "receiver_member"}),
        ((("A", FUTURES, "CME", 1.0),), {"A": "FUTURES ONLY"}, set()),
        ((("AFF", HOUSE, "CME", 1.0),), {"AFF": "G"}, {"portable_class", "receiver_registered"}),
    ],
)
def test_porting_names_every_condition_that_fails(legs, receivers, failed):
    found = defaulted(legs, [[0.0]] * len(legs), receivers=receivers)
    (decision,) = found.decisions
    assert {why.condition for why in decision.because} == failed
    assert decision.allowed == (not failed)
    assert {leg.ported_to for leg in found.legs} == ({receivers["A"]} if not failed else {""})
    assert all(why.citation and why.grade for why in decision.because)


def test_an_omnibus_account_margined_net_and_an_unknown_requirement_do_not_port():
    net = evolve(BOOK, accounts=[Account("N", "A", "F", FUTURES, net=True)])
    legs = (("A", FUTURES, "CME", 5.0),)
    (decision,) = defaulted(legs, [[0.0]], receivers={"A": "G"}, book=net).decisions
    assert [why.condition for why in decision.because] == ["gross_margin"]
    asked = report(*legs)
    line = evolve(
        asked.requirements[0].line, amount=5.0, how="sum", parts=(Line("known", 5.0), not_modelled("p: ZN", "y"))
    )
    asked = evolve(asked, requirements=[evolve(asked.requirements[0], line=line, positions=("p",))])
    found = firm_default(asked, BOOK, "F", {pool(*legs[0]): [0.0]}, receivers={"A": "G"})
    assert [why.condition for why in found.decisions[0].because] == ["known_requirement"]
    assert found.to_records()[0]["partial"]
    charge = evolve(asked.requirements[0], positions=("another",))  # a charge that nobody publishes keeps no one
    found = firm_default(evolve(asked, requirements=[charge]), BOOK, "F", {pool(*legs[0]): [0.0]}, receivers={"A": "G"})
    assert found.decisions[0].allowed


def test_a_ported_customer_has_no_part_in_the_losses():
    legs = (("A", FUTURES, "CME", 100.0), ("B", FUTURES, "CME", 100.0))
    alone = defaulted(legs, [[0.0], [-150.0]])
    assert alone.legs[0].flows["fellows"].tolist() == [-50]
    ported = defaulted(legs, [[0.0], [-150.0]], receivers={"A": "G"})
    assert not ported.legs[0].flows
    assert ported.expected("clearing_house") == 50


# --------------------------------------------------------------------------------------------------------------- laws


amounts = st.floats(0.0, 1e9)
moves = st.floats(-1e9, 1e9)
CLASSES = (FUTURES, SWAPS, NOTE_H, XM)
HOMES = [(owner, account_class, pot) for owner in "AB" for account_class in CLASSES for pot in ("FICC", "CME")]
HOMES += [(owner, HOUSE, pot) for owner in ("F", "AFF") for pot in ("FICC", "CME")]


@st.composite
def defaults(draw):
    """Legs with their P&L under three scenarios, and a credit for each leg of the cross-margin class."""
    homes = draw(st.lists(st.sampled_from(HOMES), unique=True, min_size=1, max_size=8))
    legs = [(*home, draw(amounts)) for home in homes]
    pnl = [draw(st.lists(moves, min_size=3, max_size=3)) for _ in legs]
    share = draw(st.floats(0.0, 1.0))
    return legs, pnl, [(*leg[:3], -share * leg[3]) for leg in legs if leg[1] is XM]


def close(found, wanted):
    return np.allclose(found, wanted, rtol=1e-9, atol=1e-2)  # of amounts up to 1e9


@given(defaults(), st.sampled_from(POLICIES))
def test_money_is_neither_made_nor_lost(drawn, policy):
    legs, pnl, credits = drawn
    found = defaulted(legs, pnl, credits=credits, loss_share=policy)
    inside = [np.sum(flow(found, name), axis=0) for name in ("other_pot", "house", "fellows")]
    assert close(inside, 0.0)
    returned = sum(leg.returned for leg in found.legs)
    held = sum(leg.held for leg in found.legs)
    assert close(returned, held + np.sum(pnl, axis=0) + np.sum(flow(found, "clearing_house"), axis=0))
    assert all((leg.returned >= -1e-2).all() for leg in found.legs)
    assert not np.any(flow(found, "firm"))


def one_by_one(legs, gains, credits):
    """What the clearing houses pay for each leg in one scenario without loss sharing, dollar by dollar."""
    less = {leg[:3]: leg[3] for leg in credits}
    left = {leg[:3]: leg[3] + less.get(leg[:3], 0.0) + gain for leg, gain in zip(legs, gains, strict=True)}

    def pay(payers, takers):
        have, want = sum(max(0.0, left[key]) for key in payers), sum(max(0.0, -left[key]) for key in takers)
        paid = min(have, want)
        shares = {key: paid * max(0.0, -left[key]) / want for key in takers if want}
        for key in payers:
            left[key] -= paid * max(0.0, left[key]) / have if have else 0.0
        for key, share in shares.items():
            left[key] += share

    for pot in ("FICC", "CME"):
        house = [key for key in left if key[1:] == (HOUSE, pot)]
        customers = [key for key in left if key[2] == pot and key not in house]
        pay(house, house)
        pay([key for key in house if key[0] == "F"], customers)
        for pooled in (FUTURES, XM):
            mine = [key for key in customers if key[1] is pooled]
            pay(mine, mine)
    return [max(0.0, -each) for each in left.values()]


@given(defaults())
def test_the_waterfall_is_that_of_its_slow_twin(drawn):
    legs, pnl, credits = drawn
    found = np.array(flow(defaulted(legs, pnl, credits=credits), "clearing_house"))
    for scenario in range(3):
        assert close(found[:, scenario], one_by_one(legs, [each[scenario] for each in pnl], credits))


@given(defaults())
def test_with_no_policy_a_surplus_never_pays_in_another_pot(drawn):
    legs, pnl, credits = drawn
    assert not np.any(flow(defaulted(legs, pnl, credits=credits), "other_pot"))


@given(defaults())
def test_full_sharing_leaves_no_more_uncovered_than_separate_estates(drawn):
    legs, pnl, credits = drawn
    separate, joint = (
        defaulted(legs, pnl, credits=credits, loss_share=policy) for policy in ("none", "cross_guaranty")
    )
    assert (joint.beyond <= separate.beyond + 1e-2).all()


@given(st.tuples(moves, moves), st.tuples(amounts, amounts))
def test_a_tied_unit_alone_is_short_of_its_joint_loss_beyond_its_joint_margin(pnl, margins):
    legs = [("A", XM, pot, held) for pot, held in zip(("FICC", "CME"), margins, strict=True)]
    nothing = [(*leg[:3], 0.0) for leg in legs]
    found = defaulted(legs, [[each] for each in pnl], credits=nothing, loss_share="cross_guaranty")
    assert close(found.beyond, max(0.0, -sum(pnl) - sum(margins)))
    split = defaulted(legs, [[each] for each in pnl], credits=nothing, loss_share="pro_rata")
    assert close(split.beyond, found.beyond)  # as each pot holds what it asks for


@given(defaults(), st.sampled_from(POLICIES))
def test_losses_fall_on_fellow_customers_only_where_classes_are_pooled(drawn, policy):
    legs, pnl, credits = drawn
    found = defaulted(legs, pnl, credits=credits, loss_share=policy)
    assert all(not leg.flows["fellows"].any() for leg in found.legs if leg.place.account_class in (SWAPS, NOTE_H))
    nobody = default_rules().with_values(fellow_customer_risk=[], because="study")
    apart = defaulted(legs, pnl, credits=credits, loss_share=policy, rules=[nobody])
    assert not np.any(flow(apart, "fellows"))
    assert np.sum(flow(apart, "clearing_house")) >= np.sum(flow(found, "clearing_house")) - 1e-2


def test_an_overlaid_list_does_not_pool_what_a_rule_keeps_apart():
    legs = [(owner, SWAPS, "CME", 100.0) for owner in "AB"]
    pooled = default_rules().with_values(fellow_customer_risk=[SWAPS.value], because="study")
    assert flow(defaulted(legs, [[-150.0], [0.0]], rules=[pooled]), "fellows") == [[0], [0]]
    both = pooled.with_values(individual_by_rule=[], because="study")
    assert flow(defaulted(legs, [[-150.0], [0.0]], rules=[both]), "fellows") == [[50], [-50]]


@given(defaults(), st.floats(0.0, 1e8))
def test_more_margin_never_leaves_more_uncovered(drawn, more):
    legs, pnl, _ = drawn
    richer = [(*leg[:3], leg[3] + more) for leg in legs]
    assert (defaulted(richer, pnl).beyond <= defaulted(legs, pnl).beyond + 1e-2).all()


# ------------------------------------------------------------------------------------------- inputs, files, whole books


def test_an_empty_book_has_no_losses():
    found = firm_default(report(), BOOK, "F", {})
    assert (found.legs, found.decisions, found.beyond.tolist()) == ((), (), [0.0])
    assert all(found.expected(name) == 0.0 for name in FLOWS)
    assert "default of F" in str(found)
    assert found.probabilities.sum() == 1.0


def test_everything_wrong_is_said_at_once():
    legs = (("A", FUTURES, "CME", 1.0), ("B", FUTURES, "CME", 1.0))
    with pytest.raises(InputError) as caught:
        firm_default(
            report(*legs),
            BOOK,
            "FF",
            {pool(*legs[0]): [np.nan, 1.0]},
            receivers={"C": "H", "A": "F"},
            probabilities=[0.5, 0.6],
        )
    said = str(caught.value)
    assert "unknown firm 'FF'" in said
    assert "unknown owner 'C'" in said
    assert "unknown firm 'H'" in said
    assert "no distribution" in said


@pytest.mark.parametrize(
    ("pnl", "more", "said"),
    [
        ([[1.0], [1.0, 2.0]], {}, "have [1, 2] scenarios"),
        ([[], []], {}, "have [0] scenarios"),
        ([[np.inf], [0.0]], {}, "no vector of finite numbers"),
        ([[1.0], [1.0]], {"probabilities": [-1.0, 2.0]}, "no distribution"),
        ([[1.0], [1.0]], {"receivers": {"A": "F"}}, "in default itself"),
        ([[1.0], [1.0]], {"posted": []}, "market: is missing"),
        ([[1.0], [1.0]], {"loss_share": "cross_guarantee"}, "Policies: none, cross_guaranty, pro_rata"),
    ],
)
def test_bad_input_is_refused(pnl, more, said):
    with pytest.raises(InputError) as caught:
        defaulted((("A", FUTURES, "CME", 1.0), ("B", FUTURES, "CME", 1.0)), pnl, **more)
    assert said in str(caught.value)


def test_a_market_of_another_day_is_refused_and_a_deposit_without_a_leg_is_named():
    leg, market = ("A", FUTURES, "CME", 1.0), strategies.market()
    yesterday = evolve(report(leg), as_of=date(2026, 6, 29))
    with pytest.raises(InputError, match="the report of 2026-06-29"):
        firm_default(yesterday, BOOK, "F", {pool(*leg): [0.0]}, posted=[], market=market)
    stray = Posted("stray", "B", "F", "CME", FUTURES, Cash(), 5.0)
    assert any("stray" in note for note in defaulted([leg], [[0.0]], posted=[stray], market=market).notes)


def test_a_pool_without_p_and_l_and_an_unknown_flow_are_refused():
    with pytest.raises(InputError, match="has no P&L"):
        firm_default(report(("A", FUTURES, "CME", 1.0)), BOOK, "F", {})
    with pytest.raises(InputError, match="unknown flow"):
        firm_default(report(), BOOK, "F", {}).expected("sipc")


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_is_named_dated_and_graded(policy):
    read = LossShare(policy).read(date(2026, 6, 30))
    assert read.name == f"loss_share_{policy}"
    assert read.grade in ("disclosure", "assumed")


def test_a_sample_with_what_is_posted():
    portfolio, market = group()
    asked = margin(portfolio, market, CROSS_MARGIN)
    drawn = scenario_set(ScenarioSpec("historical", 5, 1), market.history, market.as_of)
    products = [each for each in portfolio.products if each.kind in ("treasury_note", "treasury_future")]
    vectors, left_out = pool_pnl(asked, portfolio, revalue(products, market, drawn))
    found = firm_default(
        asked, portfolio, "NORTHGATE", vectors, posted=portfolio.posted, market=market, left_out=left_out
    )
    assert len(found.to_records()) == len(found.legs) == len(found.decisions) + 3  # three units lie in two pots
    assert any("P&L leaves out" in note for note in found.notes)
    assert sum(leg.firm_money for leg in found.legs) == pytest.approx(60e3)
    assert "not modelled: advances of SIPC" in str(found)
    assert found.assumptions()


FILE = Path(crossmargin.analysis.__file__).parent / "default.toml"
LAWS = (
    health.test_the_head_is_complete,
    health.test_every_parameter_has_unit_meaning_and_dated_values,
    health.test_rule_and_disclosure_say_where_they_were_read,
    health.test_dates_are_half_open_without_gap_or_overlap,
    health.test_every_condition_is_complete,
    health.test_sources_exist_are_used_and_have_an_address,
    health.test_every_quarter_has_a_value,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("test_"))
def test_the_file_obeys_the_laws_of_rule_files(law, monkeypatch):
    monkeypatch.setitem(health.KINDS, "analysis", "default")
    law(FILE)


def test_every_condition_has_its_test():
    assert {condition.id for condition in load_rules(FILE).conditions} == set(TESTS)
