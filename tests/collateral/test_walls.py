"""Which assets may cover whose obligations: every wall by name, and what no rule allows is refused."""

from __future__ import annotations

from datetime import date
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import AccountClass
from crossmargin.collateral import Place, collateral_rules, may_move
from crossmargin.collateral.schedules import WALLS
from crossmargin.collateral.walls import Walls
from tests.collateral.pots import AS_OF, FIRM, FUTURES, HOUSE, NOTE_H, SECURITIES, SWAPS, XM, A, B, place

BOX = "carrying firm"
FOREIGN = AccountClass.CFTC_30_7
HOUSE_BOX, HOUSE_CME, HOUSE_FICC = place(BOX), place("CME"), place("FICC")
FIRMS_AFFILIATE = place("CME", "AFFILIATE", HOUSE)


def walls(source, target, **more):
    return {why.condition for why in may_move(source, target, AS_OF, **more).because}


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (HOUSE_BOX, HOUSE_CME, set()),
        (HOUSE_CME, HOUSE_FICC, set()),
        (HOUSE_BOX, place("CME", A), set()),  # residual interest
        (HOUSE_CME, place("FICC", A, XM), set()),
        (FIRMS_AFFILIATE, place("CME", A), {"own_money"}),
        (FIRMS_AFFILIATE, HOUSE_CME, {"own_money"}),
        (place(BOX, A), place("CME", A), set()),  # passed on
        (place("CME", A), place("ICC", A), set()),
        (place(BOX, A), place("CME", B), {"customers_apart"}),
        (place("ICC", A, SWAPS), place("ICC", B, SWAPS), {"lsoc"}),
        (place("CME", A), HOUSE_CME, {"customer_never_house"}),
        (place("ICC", A, SWAPS), HOUSE_BOX, {"customer_never_house"}),
        (place("CME", A), place("CME", A, SWAPS), {"futures_and_swaps_apart"}),
        (place("ICC", A, SWAPS), place("CME", A, XM), {"futures_and_swaps_apart"}),
        (place(BOX, A, SECURITIES), place("CME", A), {"securities_and_futures_apart"}),
        (place("CME", A), place("FICC", A, NOTE_H), {"securities_and_futures_apart"}),
        (place(BOX, A, SECURITIES), place("FICC", A, NOTE_H), {"own_accounts_apart"}),
        (place("CME", A), place("CME", A, XM), {"own_accounts_apart"}),
        (place("CME", A), place("CME", A, FOREIGN), {"own_accounts_apart"}),
        (place("FICC", A, XM), place("CME", A, XM), {"two_pot"}),
        (place(BOX, A, XM), place("CME", A, XM), set()),
        (place("CME", A), place("CME", A, firm="OTHER"), {"same_firm"}),
        (place("CME", A), place("CME", B, SWAPS), {"customers_apart", "futures_and_swaps_apart"}),
    ],
)
def test_the_walls_between_two_places(source, target, expected):
    decision = may_move(source, target, AS_OF)
    assert {why.condition for why in decision.because} == expected
    assert decision.allowed is not bool(expected)
    assert all(why.citation and why.cure and why.grade for why in decision.because)


def test_an_instruction_opens_walls_between_own_accounts_and_no_other():
    opened = [
        (place(BOX, A, SECURITIES), place("CME", A)),
        (place("CME", A), place("CME", A, XM)),
        (place(BOX, A, SECURITIES), place("FICC", A, NOTE_H)),
    ]
    assert all(walls(*pair) and not walls(*pair, instructed=[A]) for pair in opened)
    assert walls(place("CME", A), place("CME", A, SWAPS), instructed=[A]) == {"futures_and_swaps_apart"}
    assert walls(place("CME", A), place("CME", B), instructed=[A, B]) == {"customers_apart"}
    assert walls(place("CME", A), HOUSE_CME, instructed=[A]) == {"customer_never_house"}
    assert walls(place("FICC", A, XM), place("CME", A, XM), instructed=[A]) == {"two_pot"}


def test_what_no_row_speaks_of_is_refused():
    study = collateral_rules()[WALLS].with_values(pairs=(), because="no pairs")
    assert walls(place("CME", A), place("CME", A, XM), rules=[study]) == {"written"}


def test_before_the_programme_nothing_is_tied_by_a_percentage():
    assert may_move(place("FICC", A, XM), place("CME", A, XM), date(2020, 1, 2)).allowed


PLACES = st.builds(
    Place,
    owner=st.sampled_from([A, B, FIRM, "AFFILIATE"]),
    firm=st.sampled_from([FIRM, "OTHER"]),
    pot=st.sampled_from([BOX, "CME", "FICC", "ICC"]),
    account_class=st.sampled_from(list(AccountClass)),
)


@given(source=PLACES, target=PLACES, instructed=st.sets(st.sampled_from([A, B])))
def test_customers_never_cover_the_house_nor_one_another(source, target, instructed):
    decision = may_move(source, target, AS_OF, instructed=instructed)
    customer = source.account_class.origin == "customer"
    if customer and source != target:
        to_other = target.account_class.origin == "house" or target.owner != source.owner
        assert not (to_other and decision.allowed)
    if source.firm != target.firm:
        assert not decision.allowed


@given(source=PLACES, target=PLACES, instructed=st.sets(st.sampled_from([A, B])))
def test_an_instruction_never_raises_a_wall(source, target, instructed):
    assert walls(source, target, instructed=instructed) <= walls(source, target)


@given(st.lists(st.tuples(PLACES, PLACES), max_size=20))
def test_walls_seen_one_after_another_are_those_seen_alone(pairs):
    """What is remembered of one pair of places is true of every pair that looks the same to a wall."""
    together = Walls(AS_OF)
    for source, target in pairs:
        assert together.between(source, target) == Walls(AS_OF).between(source, target)


def test_every_place_is_open_to_itself():
    for pot, each in product([BOX, "CME"], AccountClass):
        assert may_move(Place(A, FIRM, pot, each), Place(A, FIRM, pot, each), AS_OF).allowed
    assert FUTURES.origin == "customer"
