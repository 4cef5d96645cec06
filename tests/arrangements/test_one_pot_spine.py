"""One pot against its silos in the spine: swaps with rate futures, credit default swaps, and OCC's own programme."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import AccountClass, Agreement, Firm
from crossmargin.margin import compare
from crossmargin.portfolio import Position
from crossmargin.price_history import PriceHistory
from crossmargin.products import IndexFuture, ListedOption, SecurityFuture, ShortRateFuture
from crossmargin.products.calendars import add_months, third_wednesday
from crossmargin.products.schedules import Convention
from crossmargin.products.swaps import OvernightSwap
from crossmargin.regimes import CROSS_MARGIN, SILOED
from crossmargin.underlyings import Underlying
from tests.arrangements.test_one_pot_laws import entry, index_market, joint
from tests.arrangements.test_one_pot_programmes import JOINT, PAPERS
from tests.properties.strategies import ZN, few, history, market
from tests.properties.swap_books import ACME, BRAVO, IG, market_with

CLEARED = AccountClass.CFTC_4D_F
IMM = Convention(12, "act/360", 2, roll="third_wednesday")
QUARTERS = [add_months(date(2026, 9, 1), 3 * n) for n in range(9)]
START, END = (third_wednesday(day.year, day.month) for day in (QUARTERS[0], QUARTERS[-1]))
SWAP = OvernightSwap("receive", 0.04, START, END, notional=1e8, fixed=IMM, floating=IMM)
STRIP = tuple(ShortRateFuture("SR3", 100 * day.year + day.month) for day in QUARTERS[:-1])
LOTS = (-100, -99, -99, -98, -97, -96, -95, -95)
HEDGED = ((SWAP, 1.0), *zip(STRIP, LOTS, strict=True))


def rates(*lines, papers=PAPERS, owner="FUND", account_class=CLEARED, arrangement="cme_swaps_futures"):
    held = joint(*lines, papers=papers, owner=owner, account_class=account_class, arrangement=arrangement)
    return compare(held, market(), (SILOED, CROSS_MARGIN)).reports


def clearing(report):
    return [each for each in report.requirements if each.level == "clearing"]


def test_a_swap_and_the_futures_that_hedge_it():
    """As published, together they need a small part of what they need apart; the figures are those of this history."""
    siloed, crossed = rates(*HEDGED)
    assert {(each.pot, each.ruleset) for each in clearing(siloed)} == {
        ("CME", "cme_irs_like"),
        ("CME", "cme_rates_futures"),
    }
    (joined,) = clearing(crossed)
    assert (joined.pot, joined.account_class, joined.firm) == ("CME", "CFTC_4D_F", "JOINT")
    assert joined.positions == tuple(f"p{n}" for n in range(9))
    assert 0.0 < crossed.total() < 0.2 * siloed.total()  # one pot may save more than two pots ever grant
    assert crossed.total("customer") == pytest.approx(crossed.total("clearing"))


def test_futures_that_were_not_moved_stay_where_they_are():
    held = joint(*HEDGED, owner="FUND", account_class=CLEARED, arrangement="cme_swaps_futures")
    outside = evolve(held.accounts[0], id="FUT", account_class=AccountClass.CFTC_4D_AB, arrangement="")
    added = evolve(
        held, accounts=(*held.accounts, outside), positions=(*held.positions, Position("out", "FUT", ZN, 10.0))
    )
    one, other = (compare(each, market(), CROSS_MARGIN).reports[0] for each in (held, added))
    assert entry(one, "cme_swaps_futures").line == entry(other, "cme_swaps_futures").line
    assert entry(other, "cme_rates_futures").positions == ("out",)


def test_another_beneficial_owner_never_joins():
    held = joint(*HEDGED, owner="FUND", account_class=CLEARED, arrangement="cme_swaps_futures")
    theirs = evolve(held, accounts=(evolve(held.accounts[0], beneficial_owner="PRO"),))
    siloed, crossed = compare(theirs, market(), (SILOED, CROSS_MARGIN)).reports
    assert crossed.total() == siloed.total()


lots = st.integers(-50, 50).filter(bool)
books = st.lists(st.tuples(st.sampled_from([ZN, STRIP[0], STRIP[7], SWAP]), lots), min_size=1, max_size=4)


@few
@given(books, st.randoms(use_true_random=False))
def test_a_pot_of_rates_is_order_free_and_never_negative(lines, random):
    shuffled = list(lines)
    random.shuffle(shuffled)
    found, other = (rates(*each)[1].total() for each in (lines, shuffled))
    assert found == pytest.approx(other, rel=1e-12, abs=1e-6)
    assert found >= 0.0


@few
@given(books)
def test_opposite_books_cancel_in_the_pot(lines):
    assert rates(*lines, *((product, -count) for product, count in lines))[1].total() == pytest.approx(0.0, abs=1e-6)


# ------------------------------------------------------------------------------------------- credit default swaps


def credit(*lines, papers=PAPERS, firm=JOINT):
    held = joint(*lines, papers=papers, owner="FUND", account_class=CLEARED, arrangement="icc_cds")
    return compare(evolve(held, firms=(firm,)), market_with(), (SILOED, CROSS_MARGIN)).reports


def test_an_index_and_a_single_name_are_one_portfolio():
    _, crossed = credit((IG, 1e7), (ACME, -1e7))
    (joined,) = clearing(crossed)
    assert (joined.pot, joined.ruleset, joined.positions) == ("ICC", "icc_cds", ("p0", "p1"))
    alone = [entry(credit(line)[1], "icc_cds").line.part("spread response").value for line in ((IG, 1e7), (ACME, -1e7))]
    assert joined.line.part("spread response").value < sum(alone)


@pytest.mark.parametrize("paper", [Agreement.SUBORDINATION, Agreement.DISCLOSURE])
def test_without_its_papers_credit_stays_in_the_silo(paper):
    siloed, crossed = credit((IG, 1e7), (BRAVO, -1e7), papers=PAPERS - {paper})
    assert (
        [each.ruleset for each in clearing(crossed)] == [each.ruleset for each in clearing(siloed)] == ["icc_cds_like"]
    )
    assert crossed.total() == siloed.total()


def test_a_firm_that_is_no_dealer_carries_no_such_account():
    merchant = Firm("JOINT", ("FCM",), JOINT.memberships)
    _, crossed = credit((IG, 1e7), firm=merchant)
    refused = [each for each in crossed.decisions if each.programme == "icc_cds" and not each.allowed]
    assert [reason.condition for reason in refused[0].because] == ["dual_registration"]


# ------------------------------------------------------------------------------------------------- OCC's programme

EXPIRY = date(2026, 9, 18)
XYZ_CALL, XYZ_FUTURE = ListedOption("XYZ", "call", 100.0, EXPIRY), SecurityFuture("XYZ", 202609)
VX = IndexFuture("VX", 202609)


def fear_market():
    """The index market with a share XYZ and the VIX, whose futures hedge options."""
    known, days = index_market(), history().dates
    moves = np.random.default_rng(11).normal(0.0, 0.02, len(days)).cumsum()
    past = known.price_history
    prices = {**past.prices, "XYZ": 100.0 * np.exp(moves - moves[-1]), "VIX": 100.0 * past.volatilities["SPX"]}
    told = {**known.underlyings, "VIX": Underlying("VIX", spot=17.0)}
    return evolve(known, price_history=PriceHistory(days, prices, volatilities=past.volatilities), underlyings=told)


def test_options_security_futures_and_the_vix_future_are_one_pot_at_occ():
    held = joint((XYZ_CALL, 2), (XYZ_FUTURE, -2), (VX, -1), owner="PRO", arrangement="occ_internal")
    siloed, crossed = compare(held, fear_market(), (SILOED, CROSS_MARGIN)).reports
    assert {each.pot for each in clearing(siloed)} == {"OCC", "CME"}
    (joined,) = clearing(crossed)
    assert (joined.pot, joined.positions) == ("OCC", ("p0", "p1", "p2"))
    named = [part.name for part in joined.line.part("dependence_stressed_shortfall").parts]
    assert named == ["VIX", "XYZ"]
    assert {line.name for line in joined.line.walk() if line.how == "not_modelled"} == {
        "volatility of XYZ",
        "collateral_in_margins",
        "high_volatility_control_settings",
    }


def test_a_future_of_cme_stays_at_cme():
    held = joint((XYZ_CALL, 2), (IndexFuture("ES", 202609), -1), owner="PRO", arrangement="occ_internal")
    crossed = compare(held, fear_market(), CROSS_MARGIN).reports[0]
    assert {each.pot: each.positions for each in clearing(crossed)} == {"OCC": ("p0",), "CME": ("p1",)}
