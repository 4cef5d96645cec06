"""The cheapest cover: by hand, against every vertex and a greedy clerk, with its prices, and never across a wall."""

from __future__ import annotations

import time

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.collateral import OtherAsset, Place, Posted, allocate, collateral_rules
from crossmargin.collateral.linear import Programme, solve
from crossmargin.errors import InputError
from crossmargin.results import not_modelled
from tests.collateral.pots import (
    BILL,
    FIRM,
    FUTURES,
    GOLD,
    HOUSE,
    IBM,
    NOTE,
    NOTE_H,
    PORTFOLIO,
    SECURITIES,
    UNPRICED,
    USD,
    XM,
    A,
    B,
    box,
    market,
    need,
    place,
    posted,
)
from tests.reference.cover_twin import cover, greedy

BOX = "carrying firm"


def cheapest(asked, held, **more):
    return allocate(asked, [], held, market(), **more)


def exact(asked, held, **more):
    return cheapest(asked, held, whole_lots=False, move_cost=0.0, **more)


# ------------------------------------------------------------------------------------------------- by hand


def test_the_cheaper_asset_goes_first():
    """90 of cover: bills at 20 bp a year give 0.985050 a dollar of face, cash costs 50 bp; bills it is."""
    held = [box("cash", USD, 1_000.0), box("bills", BILL, 100_000.0)]
    found = cheapest([need(90_000.0)], held, costs={"cash": 50.0, "bills": 20.0})
    [movement] = found.movements
    assert (movement.id, movement.quantity) == ("bills", 91_400.0)  # 91,365.92 of face, in hundreds
    assert movement.market_value == pytest.approx(90_486.0)
    assert movement.lendable_value == pytest.approx(90_033.57)
    assert found.cost == pytest.approx(90_486.0 * 0.0020)
    assert found.uncovered == {}
    assert [each.id for each in found.placed][:2] == ["cash", "bills"]


def test_a_haircut_can_make_the_cheap_asset_dear():
    """Gold at 20 bp less 15 % costs 23.5 bp a dollar covered, cash 22 bp."""
    held = [box("cash", USD, 1_000.0), box("gold", GOLD, 10.0)]
    found = exact([need(1_000.0)], held, costs={"cash": 22.0, "gold": 20.0})
    assert [each.id for each in found.movements] == ["cash"]
    assert found.pot_prices[place()] == pytest.approx(0.0022)
    least = exact([need(1_000.0)], held, objective="market_value")
    assert least.cost == pytest.approx(1_000.0)


def test_the_asset_goes_where_its_haircut_is_small():
    """One note for two pots: FICC cuts 4 %, CME 4.5 %; cash fills CME."""
    held = [box("note", NOTE, 1_000.0), box("cash", USD, 2_000.0)]
    found = exact([need(960.0, "FICC"), need(900.0)], held, costs={"cash": 30.0, "note": 1.0})
    by_pot = {(each.id, each.target.pot): each.market_value for each in found.movements}
    assert by_pot["note", "FICC"] == pytest.approx(960.0 / 0.96)
    assert by_pot["note", "CME"] == pytest.approx(4.6875)  # what is left of 1,004.6875
    assert found.uncovered == {}


def test_what_cannot_be_covered_is_a_deficit_and_priced_as_one():
    found = exact([need(100.0), need(50.0, "FICC")], [box("cash", USD, 120.0)])
    assert sum(found.uncovered.values()) == pytest.approx(30.0)
    assert max(found.pot_prices.values()) == pytest.approx(found.shortfall_cost, rel=1e-6)
    nothing = exact([need(100.0)], [])
    assert nothing.uncovered == {place(): 100.0}
    assert (nothing.movements, nothing.objective) == ((), 100.0 * nothing.shortfall_cost)


def test_nothing_to_cover_moves_nothing():
    found = cheapest([], [box("cash", USD, 10.0)])
    assert (found.movements, found.cost, found.uncovered) == ((), 0.0, {})
    assert cheapest([], []).placed == ()


def test_what_lies_well_stays_and_what_is_not_needed_comes_back():
    held = [posted("here", USD, 100.0), box("there", USD, 100.0)]
    found = cheapest([need(60.0)], held)
    [movement] = found.movements
    assert str(movement).startswith("withdraw 40 USD cash (here)")
    assert movement.target == place(BOX)
    assert found.after.at(place()).excess.amount == pytest.approx(0.0)
    assert sum(each.quantity for each in found.placed) == pytest.approx(200.0)


def test_a_customers_deposit_is_passed_on_and_still_covers_at_the_firm():
    asked = [need(60.0, owner=A), need(60.0, FIRM, A, level="customer")]
    found = cheapest(asked, [box("d", USD, 100.0, A)])
    new = next(each for each in found.placed if each.place.pot == "CME")
    assert (new.passed_on, new.quantity) == ("d", 60.0)
    assert found.after.totals("customer")["market_value"] == 100.0
    again = cheapest(asked, found.placed)
    assert again.movements == ()
    assert again.placed == found.placed


def test_a_passed_on_dollar_that_changes_its_class_leaves_the_deposit_too():
    held = [box("d", USD, 100.0, A), posted("p", USD, 80.0, owner=A, passed_on="d")]
    asked = [need(100.0, "CME", A, XM)]
    assert cheapest(asked, held).uncovered == {place("CME", A, XM): 100.0}
    found = cheapest(asked, held, instructed=[A])
    assert found.uncovered == {}
    assert {(each.account_class, each.passed_on) for each in found.placed} == {(XM, "")}
    assert sum(each.quantity for each in found.placed) == pytest.approx(100.0)


def test_at_the_customers_level_the_firm_holds_what_it_passed_on():
    asked = [need(60.0, owner=A), need(90.0, FIRM, A, level="customer")]
    held = [box("d", USD, 100.0, A), posted("p", USD, 60.0, owner=A, passed_on="d")]
    found = cheapest(asked, held, level="customer")
    assert (found.movements, found.uncovered) == ((), {})


def test_of_equal_assets_the_customers_own_goes_before_the_firms():
    held = [box("own", USD, 100.0), box("customers", USD, 60.0, A)]
    found = cheapest([need(80.0, owner=A)], held, costs={"own": 5.0, "customers": 5.0})
    assert {each.id: each.quantity for each in found.movements} == {"customers": 60.0, "own": 20.0}


def test_the_firms_own_money_fills_a_customer_pot_and_stays_its_own():
    held = [box("own", USD, 100.0)]
    found = cheapest([need(60.0, owner=A)], held)
    lent = next(each for each in found.placed if each.place.pot == "CME")
    assert (lent.owner, lent.account_class, lent.provided_by, lent.passed_on) == (A, FUTURES, FIRM, "")
    back = cheapest([need(0.0, owner=A)], found.placed)
    assert [each.owner for each in back.placed] == [FIRM, FIRM]
    assert all(not each.provided_by for each in back.placed)
    other = cheapest([need(80.0, owner=B)], found.placed)
    assert other.uncovered == {}  # the firm's money may go to another customer, a customer's may not


# ---------------------------------------------------------------------------------------- walls and limits


def test_a_wall_costs_what_the_asset_behind_it_would_save():
    """Securities cash at no cost against futures covered with the firm's at 40 bp: the wall costs 40 bp a dollar."""
    asked = [need(100.0, owner=A)]
    held = [box("customer", USD, 500.0, A, SECURITIES), box("own", USD, 500.0)]
    found = exact(asked, held, costs={"own": 40.0})
    [wall] = found.wall_prices
    assert (wall.walls, wall.id) == (("securities_and_futures_apart",), "customer")
    assert wall.price == pytest.approx(0.0040, rel=1e-3)
    opened = exact(asked, held, costs={"own": 40.0}, instructed=[A])
    assert opened.wall_prices == ()
    assert found.objective - opened.objective == pytest.approx(100.0 * wall.price, rel=1e-6)


def test_a_wall_behind_which_nobody_is_short_costs_nothing():
    asked = [need(100.0, owner=A), need(100.0, owner=B)]
    held = [box("a", USD, 100.0, A), box("b", USD, 200.0, B)]
    assert exact(asked, held).wall_prices == ()


def test_the_wall_between_customers_costs_a_deficit():
    asked = [need(100.0, owner=A), need(100.0, owner=B)]
    found = exact(asked, [box("a", USD, 300.0, A), box("b", USD, 30.0, B)])
    assert found.uncovered == {place(owner=B): 70.0}
    [wall] = found.wall_prices
    assert wall.walls == ("customers_apart",)
    assert wall.price == pytest.approx(found.shortfall_cost, rel=1e-6)


def test_the_two_pots_of_a_programme_do_not_lend_to_one_another():
    asked = [need(100.0, "FICC", A, XM), need(100.0, "CME", A, XM)]
    found = exact(asked, [posted("x", USD, 200.0, "FICC", A, XM)])
    assert found.uncovered == {place("CME", A, XM): 100.0}
    assert [wall.walls for wall in found.wall_prices] == [("two_pot",)]


def test_house_cash_share_and_limit_of_an_issue_are_kept():
    """ICC's house: of 1,000 no more than 550 in bills. OCC: of 1,000 no more than 100 in one share."""
    held = [box("bills", BILL, 5_000.0), box("ibm", IBM, 100.0), box("cash", USD, 5_000.0)]
    costs = {"bills": 1.0, "ibm": 1.0, "cash": 90.0}
    icc = exact([need(1_000.0, "ICC")], held, costs=costs)
    assert {each.id: each.lendable_value for each in icc.movements} == pytest.approx({"bills": 550.0, "cash": 450.0})
    del costs["bills"]
    occ = exact([need(1_000.0, "OCC")], held[1:], costs=costs)
    assert {each.id: each.lendable_value for each in occ.movements} == pytest.approx({"ibm": 100.0, "cash": 900.0})


def test_own_paper_is_not_used():
    held = [box("own", IBM, 100.0, issuer="AFFILIATE"), box("cash", USD, 100.0)]
    found = exact([need(50.0)], held, costs={"cash": 90.0}, portfolio=PORTFOLIO)
    assert [each.id for each in found.movements] == ["cash"]


def test_the_minimum_stays_where_it_is():
    found = exact([need(4e5, "FICC", A, NOTE_H)], [posted("c", USD, 1.5e6, "FICC", A, NOTE_H)])
    [movement] = found.movements
    assert movement.quantity == pytest.approx(5e5)
    assert found.after.balances[0].market_value.amount == pytest.approx(1e6)


def test_nothing_leaves_a_requirement_that_is_not_known():
    asked = [need(0, line=not_modelled("requirement", "no model")), need(50.0, "FICC")]
    found = exact(asked, [posted("c", USD, 100.0)])
    assert found.movements == ()
    assert found.uncovered == {place("FICC"): 50.0}


def test_what_has_no_price_is_left_where_it_is():
    held = [posted("x", UNPRICED, 10.0), box("cash", USD, 100.0)]
    found = exact([need(50.0)], held)
    assert [each.id for each in found.movements] == ["cash"]
    assert held[0] in found.placed


def test_every_bad_input_is_told_at_once():
    held = [box("a", USD, -1.0), box("a", USD, 1.0)]
    with pytest.raises(InputError) as caught:
        cheapest([], held, costs={"aa": 1.0, "a": float("nan")}, move_cost=-1.0)
    text = str(caught.value)
    assert len(caught.value.problems) == 5
    assert "Did you mean 'a'" in text
    with pytest.raises(InputError, match="dearest"):
        cheapest([], [box("a", USD, 1.0)], costs={"a": 100.0}, shortfall_cost=0.01)


def test_lots_are_whole_as_far_as_the_holding_reaches():
    held = [box("bills", BILL, 1_050.0), box("ibm", IBM, 3.5), box("cash", USD, 0.005)]
    found = cheapest([need(5_000.0)], held)
    moved = {each.id: each.quantity for each in found.movements}
    assert moved == pytest.approx({"bills": 1_050.0, "ibm": 3.5, "cash": 0.005})


# ---------------------------------------------------------------------------------------- the programme

SMALL = st.floats(1.0, 100.0)


@st.composite
def programmes(draw):
    """A programme of up to three assets and two needs, with up to one limit on each need."""
    sources, needs = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    pairs = draw(
        st.lists(st.tuples(st.integers(0, sources - 1), st.integers(0, needs - 1)), min_size=1, max_size=4, unique=True)
    )
    n = len(pairs)
    values = draw(st.lists(st.sampled_from([1.0, 0.995, 0.955, 0.85, 0.5]), min_size=n, max_size=n))
    costs = draw(st.lists(st.sampled_from([0.0001, 0.001, 0.0025, 0.01]), min_size=n, max_size=n))
    need_of = np.array([need for _, need in pairs])
    limits = []
    for number in range(needs):
        mine = np.flatnonzero(need_of == number)
        if mine.size and draw(st.booleans()):
            limits.append((mine[: draw(st.integers(1, mine.size))], draw(SMALL)))
    return Programme(
        source=np.array([source for source, _ in pairs]),
        need=need_of,
        value=np.array(values),
        cost=np.array(costs),
        supply=np.array(draw(st.lists(SMALL, min_size=sources, max_size=sources))),
        required=np.array(draw(st.lists(SMALL, min_size=needs, max_size=needs))),
        limits=limits,
        shortfall_cost=100.0,
    )


@given(programmes())
@settings(max_examples=40)
def test_no_vertex_and_no_greedy_clerk_is_cheaper(programme):
    found = solve(programme)
    assert found.objective == pytest.approx(cover(programme), rel=1e-7, abs=1e-7)
    assert found.objective <= greedy(programme) * (1 + 1e-9) + 1e-9


@given(programmes())
def test_the_dual_meets_the_programme(programme):
    found = solve(programme)
    assert found.bound == pytest.approx(found.objective, rel=1e-9, abs=1e-7)
    assert np.all(found.need_prices >= -1e-12)
    assert np.all(found.need_prices <= programme.shortfall_cost * (1 + 1e-9))
    assert np.all(found.supply_prices >= -1e-12)
    assert np.all(found.limit_prices >= -1e-12)


@given(programmes(), st.integers(0, 1), st.floats(0.01, 5.0))
def test_a_pot_price_is_what_another_dollar_costs_at_least_and_saves_at_most(programme, number, step):
    """The least cost is convex in the requirement: the price is a slope of it."""
    number = min(number, programme.required.size - 1)
    price, here = solve(programme).need_prices[number], solve(programme).objective
    for sign in (1.0, -1.0):
        required = programme.required.copy()
        required[number] = max(0.0, required[number] + sign * step)
        moved = required[number] - programme.required[number]
        there = solve(evolve(programme, required=required)).objective
        assert there >= here + price * moved - 1e-6


def test_a_programme_of_nothing():
    none = np.zeros(0, dtype=np.int64)
    empty = np.zeros(0)
    found = solve(Programme(none, none, empty, empty, empty, np.array([5.0]), (), 100.0))
    assert (found.objective, found.bound, found.deficits.tolist()) == (500.0, 500.0, [5.0])


def test_a_billion_is_covered_to_the_cent():
    held = [box("bills", BILL, 3e9), box("cash", USD, 1e9)]
    found = cheapest([need(1.234567891e9), need(0.01, "FICC")], held, costs={"bills": 5.0, "cash": 6.0})
    assert found.uncovered == {}
    assert found.after.at(place()).excess.amount < 100.0
    assert found.after.at(place("FICC")).excess.amount < 100.0


def test_thousands_of_customers_stay_quick():
    owners = [f"C{n}" for n in range(1_500)]
    asked = [need(1_000.0, "CME", owner, FUTURES) for owner in owners]
    held = [Posted(f"d{n}", owner, FIRM, BOX, FUTURES, BILL, 900.0 + n) for n, owner in enumerate(owners)]
    held.append(box("own", USD, 1e6))
    start = time.process_time()
    found = cheapest(asked, held, costs={"own": 30.0})
    took = time.process_time() - start
    assert found.uncovered == {}
    assert {each.walls for each in found.wall_prices} == {("customers_apart",)}
    assert took < 12.0  # 2 s of one core, measured


def test_a_joint_schedule_bounds_the_programme_too():
    study = collateral_rules()["segregation_walls"].with_values(
        takers=({"level": "clearing", "pot": "OCC", "schedules": ("occ_collateral", "icc_collateral")},), because="x"
    )
    held = [box("bills", BILL, 5_000.0), box("cash", USD, 5_000.0)]
    found = exact([need(1_000.0, "OCC")], held, costs={"bills": 1.0, "cash": 90.0}, rules=[study])
    assert {each.id: each.lendable_value for each in found.movements} == pytest.approx({"bills": 550.0, "cash": 450.0})
    assert Place(FIRM, FIRM, "OCC", HOUSE) in found.pot_prices
    assert OtherAsset("gold", "GOLD") == GOLD
