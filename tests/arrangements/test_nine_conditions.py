"""The nine conditions of the customer programme: each is a condition that decides, or a named piece of the library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

import pytest

from crossmargin.accounts import AccountClass, InsolvencyRegime
from crossmargin.margin import margin
from crossmargin.regimes import CROSS_MARGIN
from crossmargin.registry import rules
from tests.properties.strategies import AS_OF, basis, book, market

RULES = rules("cme_ficc")

CONDITIONS: Mapping[int, set[str]] = {  # the conditions that decide; the others are pieces, below
    1: {"account_class"},
    2: {"subordination"},
    3: {"customer_opt_in", "firm_opt_in"},
    4: {"product_list", "remaining_maturity", "repo_collateral"},
    8: {"firm_standing"},
    9: {"disclosure"},
}


def report(*owners):
    return margin(book(*(position for owner in owners for position in basis(owner))), market(), CROSS_MARGIN)


def gross_by_customer():
    """5: both houses margin each customer apart, by the method of the house account."""
    both, alone = report("ALPHA", "BETA"), report("ALPHA")
    assert [c for c in both.credits if c.owner == "ALPHA"] == list(alone.credits)
    assert {c.owner for c in both.credits} == {"ALPHA", "BETA"}
    house = report("DUAL")
    assert [c.line.value for c in house.credits] == pytest.approx([c.line.value for c in alone.credits])


def rules_of_the_day():
    """6: both rule books are those of the date: customers from the day on which they were amended."""
    opened = [(value.start, value.value) for value in RULES.parameters["open_to"].values]
    assert opened == [(date(2024, 1, 22), ("house",)), (date(2026, 4, 30), ("house", "customer"))]


def at_least_what_both_houses_ask():
    """7: the firm collects at least the sum of what both houses ask for the customer."""
    found = report("ALPHA")
    assert RULES.at(AS_OF).customer_share == 1.0
    assert RULES.parameters["customer_share"].values[-1].locator == "condition 7"
    assert found.total("customer") == pytest.approx(found.total("clearing"))


PIECES: Mapping[int, Callable[[], None]] = {
    5: gross_by_customer,
    6: rules_of_the_day,
    7: at_least_what_both_houses_ask,
}


def test_all_nine_are_there_once():
    assert sorted([*CONDITIONS, *PIECES]) == list(range(1, 10))


@pytest.mark.parametrize("number", CONDITIONS)
def test_the_conditions_that_decide_stand_in_the_file(number):
    written = {condition.id: condition for condition in RULES.conditions}
    for name in CONDITIONS[number]:
        assert written[name].grade == "disclosure"
        if number != 4:
            assert written[name].locator == f"condition {number}"
            assert written[name].start == date(2026, 4, 30)
            assert written[name].origin == ("customer",)
        else:  # one list for house and customers
            assert set(written[name].origin) == {"house", "customer"}


@pytest.mark.parametrize("number", PIECES)
def test_the_pieces_of_the_library_do_what_their_condition_says(number):
    PIECES[number]()


def test_what_the_customer_gives_up_and_gets_shows_in_the_class_of_account():
    assert AccountClass.XM_FUTURES_4D_AB.insolvency_regime is InsolvencyRegime.PART_190
    assert AccountClass.SEC_15C3_3.insolvency_regime is InsolvencyRegime.SIPA


def test_the_final_orders_are_known_not_to_have_been_read():
    assert "have not been read" in " ".join(RULES.scope.split())


def test_a_member_and_its_affiliate_are_a_unit_each():
    from attrs import evolve

    from tests.properties.strategies import ACCOUNTS, HOUSE_ACCOUNTS

    sister = evolve(HOUSE_ACCOUNTS[0], id="AFF-XM", owner="AFFILIATE")
    held = [*basis("DUAL"), *(evolve(each, id=f"aff-{each.id}", account="AFF-XM") for each in basis("DUAL"))]
    found = margin(book(*held, accounts=(*ACCOUNTS, sister)), market(), CROSS_MARGIN)
    by_owner = {owner: [c.line.value for c in found.credits if c.owner == owner] for owner in ("DUAL", "AFFILIATE")}
    assert by_owner["DUAL"] == by_owner["AFFILIATE"]
    assert len(found.credits) == 4
