"""Where requirements are met, and which deposits follow positions into the common pool of a proposal."""

from __future__ import annotations

from datetime import date
from math import fsum

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.collateral.balance import CollateralReport
from crossmargin.errors import InputError
from crossmargin.margin import collateral_report, compare, margin
from crossmargin.portfolio import Portfolio, Position
from crossmargin.posted import Cash, Place, Posted
from crossmargin.products import TreasuryBill
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED, regime
from crossmargin.registry import rules
from crossmargin.samples import group
from tests.properties.strategies import NOTE_7, SETTLES, TIPS_8, ZN, book, market

TWO_POT = regime("any_pair_two_pot")
HELD = (Position("cash", "ALPHA-GOV", NOTE_7, 100e6, SETTLES), Position("hedge", "ALPHA-FUT", ZN, -300))
POOL = Place("ALPHA", "DUAL", "common pool", "XM_FUTURES_4D_AB")
FICC, CME = Place("ALPHA", "DUAL", "FICC", "SEC_NOTE_H"), Place("ALPHA", "DUAL", "CME", "CFTC_4D_AB")
few = settings(max_examples=10)
amounts = st.floats(0.0, 1e8)


def cash(id: str, place: Place, quantity: float, **more) -> Posted:
    return Posted(id, place.owner, place.firm, place.pot, place.account_class, Cash(), quantity, **more)


def found(portfolio: Portfolio, under=HARMONIZED, overlaid=()) -> CollateralReport:
    return collateral_report(portfolio, market(), margin(portfolio, market(), under, rules=overlaid), rules=overlaid)


def posted(*deposits: Posted, held=HELD) -> Portfolio:
    return evolve(book(*held), posted=deposits)


def test_deposits_of_both_pots_back_the_common_pool():
    report = found(posted(cash("f", FICC, 300e3), cash("c", CME, 200e3)))
    pool = report.at(POOL)
    assert pool.lendable.value == pytest.approx(500e3)
    assert pool.deficit.value == pytest.approx(pool.required.value - 500e3)
    assert {each.pot for each in report.balances if each.level == "clearing"} == {"common pool"}
    assert [read.name for read in pool.required.all_reads()].count("collateral") == 1


def test_what_the_old_pot_still_asks_for_stays_there_in_equal_parts_of_each_deposit():
    narrow = rules("harmonized_rates").with_values(products=["treasury_note", "treasury_future"], because="test")
    held = (*HELD, Position("left", "ALPHA-GOV", TIPS_8, 10e6, SETTLES))
    portfolio = posted(cash("f", FICC, 800e3), cash("g", FICC, 200e3), held=held)
    report = found(portfolio, overlaid=[narrow])
    left, pool = report.at(FICC), report.at(POOL)
    assert left.required.value > 0.0
    assert left.deficit.value == pytest.approx(0.0, abs=1e-6)
    assert left.lendable.value == pytest.approx(left.required.value)
    assert pool.lendable.value == pytest.approx(1e6 - left.required.value)
    assert {line.name: line.value for line in pool.market_value.parts}["g (moved)"] == pytest.approx(
        0.2 * pool.lendable.value
    )


def test_pots_that_stay_apart_meet_the_requirement_in_the_proportions_of_silos():
    portfolio = posted(cash("f", FICC, 300e3), cash("c", CME, 200e3))
    siloed, report = found(portfolio, SILOED), found(portfolio, TWO_POT)
    ficc, cme = (report.at(place).required.value for place in (FICC, CME))
    assert ficc / cme == pytest.approx(siloed.at(FICC).required.value / siloed.at(CME).required.value)
    assert ficc + cme == pytest.approx(margin(portfolio, market(), TWO_POT).total())
    assert report.at(FICC).lendable.value == 300e3
    assert all(each.pot != "common pool" for each in report.balances)


def test_the_switch_is_the_proposal_s_and_another_word_is_refused():
    portfolio = posted(cash("f", FICC, 300e3))
    stay = rules("harmonized_rates").with_values(collateral="stay", because="test")
    assert found(portfolio, overlaid=[stay]).at(FICC).lendable.value == 300e3
    with pytest.raises(InputError, match="Did you mean 'follow'"):
        found(portfolio, overlaid=[rules("harmonized_rates").with_values(collateral="folow", because="test")])


def test_a_deposit_past_its_end_is_refused_under_a_proposal_too():
    past = Posted("old", "ALPHA", "DUAL", "FICC", "SEC_NOTE_H", TreasuryBill(date(2026, 6, 1)), 1e6)
    with pytest.raises(InputError, match="posted 'old': UST bill 2026-06-01 matured"):
        collateral_report(posted(past), market(), margin(book(*HELD), market(), HARMONIZED))


@few
@given(st.lists(amounts, min_size=2, max_size=2), st.sampled_from([HARMONIZED, TWO_POT, CROSS_MARGIN]))
def test_nothing_is_lost_and_more_never_raises_a_deficit(quantities, under):
    less, more = (
        found(posted(cash("f", FICC, factor * quantities[0]), cash("c", CME, quantities[1])), under)
        for factor in (0.5, 1.0)
    )
    assert less.totals()["deficit"] >= more.totals()["deficit"] - 1e-6
    assert more.totals()["market_value"] == pytest.approx(fsum(quantities))
    assert more.totals()["required"] == pytest.approx(margin(book(*HELD), market(), under).total())


@few
@given(amounts, amounts)
def test_one_pool_of_deposits_never_needs_more_than_two_under_equal_haircuts(first, second):
    """Of cash, which no schedule cuts."""
    portfolio = posted(cash("f", FICC, first), cash("c", CME, second))
    stay = rules("harmonized_rates").with_values(collateral="stay", because="law")
    apart = found(portfolio, overlaid=[stay]).totals()["deficit"]
    assert found(portfolio).totals()["deficit"] <= apart + 1e-6


def test_regimes_of_today_are_as_they_were():
    portfolio, on = group()
    for report in compare(portfolio, on, (SILOED, CROSS_MARGIN)).reports:
        told = collateral_report(portfolio, on, report)
        assert told.totals()["required"] == pytest.approx(report.total())
        assert not any(line.name.endswith("(moved)") for each in told.balances for line in each.market_value.walk())
