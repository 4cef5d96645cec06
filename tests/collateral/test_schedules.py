"""Haircuts by kind and by what an asset has to run, on the day; who is refused and why."""

from __future__ import annotations

from datetime import date

import pytest

from crossmargin.collateral import Cash, OtherAsset, Schedules, collateral_rules
from crossmargin.collateral.schedules import Limit, Taker
from crossmargin.errors import InputError, NotInForce
from crossmargin.products import STRIPS, TIPS, Stock, TreasuryBill, TreasuryBond, TreasuryFRN, TreasuryNote
from tests.collateral.pots import AS_OF, FIRM, FUTURES, GOLD, IBM, NOTE, SECURITIES, SPY, USD, A, B, place, posted

TODAY = Schedules(AS_OF)


def haircut(id, asset, index="", schedules=TODAY):
    term = schedules.term(Taker((id,)), asset, index)
    return None if term is None else term.haircut


def note(years, days=0):
    return TreasuryNote(0.04, date(AS_OF.year + years, AS_OF.month, AS_OF.day + days))


@pytest.mark.parametrize(
    ("id", "asset", "expected"),
    [
        ("cme_collateral", USD, 0.0),
        ("cme_collateral", Cash("JPY"), 0.05),
        ("cme_collateral", Cash("XXX"), None),
        ("cme_collateral", TreasuryBill(date(2026, 9, 24)), 0.005),
        ("cme_collateral", TreasuryFRN(0.001, date(2028, 1, 31)), 0.02),
        ("cme_collateral", TreasuryFRN(0.001, date(2031, 1, 31)), None),
        ("cme_collateral", note(1), 0.01),  # up to one year, the year itself included
        ("cme_collateral", note(3), 0.02),
        ("cme_collateral", note(10), 0.045),
        ("cme_collateral", TreasuryBond(0.04, date(2055, 2, 15)), 0.06),
        ("cme_collateral", TIPS(0.01, date(2034, 7, 15)), 0.045),
        ("cme_collateral", STRIPS(date(2045, 2, 15)), 0.11),
        ("cme_collateral", GOLD, 0.15),
        ("cme_collateral", OtherAsset("supranational", "IBRD", date(2028, 1, 1)), 0.04),
        ("cme_collateral", OtherAsset("supranational", "IBRD", date(2036, 1, 1)), None),
        ("cme_collateral", OtherAsset("painting", "Vermeer"), None),
        ("ficc_collateral", NOTE, 0.04),
        ("ficc_collateral", IBM, None),
        ("occ_collateral", NOTE, 0.05),
        ("occ_collateral", TreasuryBond(0.04, date(2055, 2, 15)), 0.08),
        ("occ_collateral", STRIPS(date(2045, 2, 15)), 0.18),
        ("icc_collateral", TreasuryBill(date(2026, 9, 24)), 0.01),
        ("icc_collateral", note(1), 0.0275),  # below one year, the year itself not included
        ("icc_collateral", note(5), 0.0275),
        ("icc_collateral", NOTE, 0.0425),
        ("icc_collateral", Cash("JPY"), 0.0525),
        ("broker_collateral", IBM, 0.50),
        ("broker_collateral", SPY, 0.50),
        ("fcm_collateral", TreasuryBill(date(2026, 9, 24)), 0.0),
        ("fcm_collateral", TreasuryBill(date(2026, 9, 30)), 0.005),  # three months to the day
        ("fcm_collateral", NOTE, 0.04),
        ("fcm_collateral", IBM, 0.15),
        ("uncleared_collateral", USD, 0.0),
        ("uncleared_collateral", Cash("EUR"), 0.08),
        ("uncleared_collateral", NOTE, 0.04),
        ("uncleared_collateral", note(5), 0.02),
        ("uncleared_collateral", GOLD, 0.15),
    ],
)
def test_the_haircut_of_an_asset(id, asset, expected):
    assert haircut(id, asset) == expected


@pytest.mark.parametrize(("index", "expected"), [("S&P 500", 0.15), ("S&P 1500", 0.25), ("", None), ("S&P 600", None)])
def test_a_share_counts_where_its_index_is_stated(index, expected):
    assert haircut("uncleared_collateral", IBM, index) == expected


def test_a_term_knows_what_it_read_and_what_share_counts():
    term = TODAY.term(TODAY.taker(place("CME")), NOTE)
    assert term.valuation_percentage == pytest.approx(0.955)
    assert [read.name for read in term.reads] == ["treasuries", "takers"]
    assert term.reads[0].grade == "assumed"  # values of 2014 carried on
    assert Schedules(date(2020, 1, 2)).term(Taker(("cme_collateral",)), NOTE).reads[0].grade == "disclosure"


def test_values_change_on_their_day_and_are_refused_before_the_first():
    assert haircut("occ_collateral", NOTE, schedules=Schedules(date(2023, 8, 9))) == 0.035
    assert haircut("occ_collateral", NOTE, schedules=Schedules(date(2023, 8, 10))) == 0.05
    with pytest.raises(NotInForce):
        haircut("icc_collateral", NOTE, schedules=Schedules(date(2014, 12, 31)))


def test_of_two_schedules_the_stricter_haircut_holds_and_both_must_list():
    joint = TODAY.taker(place("OCC and CME"))
    assert TODAY.term(joint, NOTE).haircut == 0.05  # OCC 5 %, CME 4.5 %
    assert TODAY.term(joint, STRIPS(date(2028, 2, 15))).haircut == 0.11  # OCC 5 %, CME 11 %
    assert TODAY.term(joint, GOLD) is None  # OCC does not take it
    assert TODAY.term(joint, IBM) is None  # both would, the joint account does not
    common = TODAY.taker(place("common pool"))
    assert TODAY.term(common, NOTE).haircut == 0.045


def test_own_paper_is_no_collateral():
    parties = frozenset({A, FIRM, "AFFILIATE"})
    for issuer, allowed in (("AFFILIATE", False), (FIRM, False), (A, False), (B, True), ("", True)):
        offered = posted("p", IBM, 1.0, owner=A, issuer=issuer)
        decision = TODAY.decide(offered, TODAY.taker(offered.place), parties)
        assert decision.allowed is allowed
        assert [why.condition for why in decision.because] == ([] if allowed else ["not_own_paper"])


def test_a_refusal_names_every_condition_with_its_citation():
    offered = posted("p", OtherAsset("painting", "Vermeer"), 1.0, issuer=FIRM)
    decision = TODAY.decide(offered, TODAY.taker(offered.place), frozenset({FIRM}))
    assert {why.condition for why in decision.because} == {"listed", "not_own_paper"}
    assert all(why.citation and why.cure for why in decision.because)
    assert (decision.programme, decision.position, decision.product) == ("cme_collateral", "p", "Vermeer")


def test_the_level_and_class_choose_the_schedule():
    assert TODAY.taker(place("carrying firm", A, SECURITIES)).schedules == ("broker_collateral",)
    assert TODAY.taker(place("carrying firm", A, FUTURES)).schedules == ("fcm_collateral",)
    assert TODAY.taker(place("carrying firm")).schedules == ("uncleared_collateral",)
    assert TODAY.taker(place("nowhere")) is None


@pytest.mark.parametrize("haircut", [1.0, -0.1])
def test_a_haircut_outside_its_range_is_refused(haircut):
    table = ({"kinds": ("gold",), "haircut": haircut},)
    study = collateral_rules()["cme_collateral"].with_values(gold=table, because="study")
    with pytest.raises(InputError, match="is no haircut"):
        Schedules(AS_OF, collateral_rules([study])).term(Taker(("cme_collateral",)), GOLD)


def test_limits_that_overlap_are_refused():
    rows = tuple(
        {"name": str(n), "kinds": kinds, "per": "class", "share": 0.5}
        for n, kinds in enumerate((("stock", "etf"), ("etf", "gold")))
    )
    study = collateral_rules()["cme_collateral"].with_values(limits=rows, because="study")
    with pytest.raises(InputError, match="overlap in etf"):
        Schedules(AS_OF, collateral_rules([study])).limits(Taker(("cme_collateral",)))


def test_a_limit_on_other_currencies_spares_dollars():
    limit = Limit("other", ("cash",), "class", 0.35, None, "USD", ())
    assert [limit.covers(asset) for asset in (USD, Cash("EUR"), Stock("IBM"))] == [False, True, False]


def test_an_unknown_schedule_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match="Did you mean 'cme_collateral'"):
        TODAY.reader("cme-collateral")
