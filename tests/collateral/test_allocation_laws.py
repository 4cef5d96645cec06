"""Laws of the cheapest cover for every book: no wall crossed, nothing lost, never dearer with more at hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.collateral import allocate, balances, may_move
from crossmargin.collateral.placement import origin_of
from tests.collateral.pots import (
    AS_OF,
    BILL,
    FIRM,
    FUTURES,
    GOLD,
    HOUSE,
    IBM,
    NOTE,
    SECURITIES,
    SWAPS,
    USD,
    XM,
    A,
    B,
    market,
    need,
    posted,
)

BOX = "carrying firm"


def cheapest(asked, held, **more):
    return allocate(asked, [], held, market(), **more)


def exact(asked, held, **more):
    return cheapest(asked, held, whole_lots=False, move_cost=0.0, **more)


WHERE = st.sampled_from(
    [
        ("CME", FIRM, HOUSE),
        ("FICC", FIRM, HOUSE),
        ("ICC", FIRM, HOUSE),
        ("CME", A, FUTURES),
        ("CME", B, FUTURES),
        ("ICC", A, SWAPS),
        ("FICC", A, XM),
        ("CME", A, XM),
        ("OCC", B, SECURITIES),
    ]
)
AMOUNTS = st.floats(0.0, 1e6, allow_subnormal=False)
NEEDS = st.lists(st.tuples(AMOUNTS, WHERE), max_size=5)
HELD = st.lists(
    st.tuples(
        st.sampled_from([USD, BILL, NOTE, IBM, GOLD]),
        st.floats(0.0, 1e5, allow_subnormal=False),
        WHERE,
        st.booleans(),
        st.sampled_from([0.0, 1.0, 10.0, 25.0, 80.0]),
    ),
    max_size=6,
)
INSTRUCTED = st.sets(st.sampled_from([A, B]))


def made(asked, held, prefix="h"):
    holdings, costs = [], {}
    for n, (asset, quantity, (pot, owner, account_class), at_firm, cost) in enumerate(held):
        holdings.append(posted(f"{prefix}{n}", asset, quantity, BOX if at_firm else pot, owner, account_class))
        costs[f"{prefix}{n}"] = cost
    return [need(amount, *where) for amount, where in asked], holdings, costs


@given(NEEDS, HELD, INSTRUCTED, st.booleans())
def test_no_movement_ever_crosses_a_wall(asked, held, instructed, whole):
    asked, holdings, costs = made(asked, held)
    found = cheapest(asked, holdings, costs=costs, instructed=instructed, whole_lots=whole)
    by_id = {each.id: each for each in holdings}
    for movement in found.movements:
        source = origin_of(by_id[movement.id])
        if movement.lendable_value:
            assert may_move(source, movement.target, AS_OF, instructed=instructed).allowed
        else:
            assert movement.target.at_firm
            assert (movement.target.owner, movement.target.account_class) == (source.owner, source.account_class)


@given(NEEDS, HELD, INSTRUCTED)
def test_nothing_is_lost_and_no_dollar_serves_twice(asked, held, instructed):
    asked, holdings, costs = made(asked, held)
    found = cheapest(asked, holdings, costs=costs, instructed=instructed)
    for asset in {each.asset for each in holdings}:
        before = sum(each.quantity for each in holdings if each.asset == asset)
        after = sum(each.quantity for each in found.placed if each.asset == asset and not each.passed_on)
        assert after == pytest.approx(before, rel=1e-9, abs=1e-9)


@given(NEEDS, HELD, INSTRUCTED)
def test_the_report_afterwards_agrees_with_the_programme(asked, held, instructed):
    asked, holdings, costs = made(asked, held)
    found = exact(asked, holdings, costs=costs, instructed=instructed)
    assert abs(found.gap) <= 1e-6 * (1.0 + abs(found.objective))
    deficits = found.after.totals()["deficit"]
    less_than_a_cent = 0.005 * len(asked)  # in each place: not told
    assert deficits == pytest.approx(sum(found.uncovered.values()), abs=less_than_a_cent)
    trace = 1e-8 * 2 * sum(each.line.value for each in asked)  # charged on an asset of no cost, haircut and all
    assert found.objective == pytest.approx(found.cost + deficits * found.shortfall_cost, rel=1e-6, abs=trace + 1e-2)
    before = balances(asked, [], holdings, market()).totals()["deficit"]
    assert deficits <= before * (1 + 1e-9) + 1e-6


@given(NEEDS, HELD, HELD, INSTRUCTED)
def test_another_asset_never_makes_it_dearer(asked, held, more, instructed):
    asked, holdings, costs = made(asked, held)
    _, others, prices = made([], [(asset, q, where, True, c) for asset, q, where, _, c in more], "m")
    less = exact(asked, holdings, costs=costs, instructed=instructed).objective
    with_more = exact(asked, [*holdings, *others], costs={**costs, **prices}, instructed=instructed).objective
    assert with_more <= less * (1 + 1e-7) + 1e-6


@given(NEEDS, HELD)
def test_an_instruction_never_makes_it_dearer(asked, held):
    asked, holdings, costs = made(asked, held)
    closed, opened = (exact(asked, holdings, costs=costs, instructed=who).objective for who in ([], [A, B]))
    assert opened <= closed * (1 + 1e-7) + 1e-6


@given(NEEDS, HELD, INSTRUCTED)
def test_whole_lots_leave_no_more_short_than_a_lot_each(asked, held, instructed):
    asked, holdings, costs = made(asked, held)
    fractions = exact(asked, holdings, costs=costs, instructed=instructed)
    whole = cheapest(asked, holdings, costs=costs, instructed=instructed)
    slack = sum(2_000.0 for _ in whole.movements) + 1e-3  # an ounce of gold has no lot; a share is 100, a face 100
    assert sum(whole.uncovered.values()) <= sum(fractions.uncovered.values()) * (1 + 1e-9) + slack


@given(NEEDS, HELD)
def test_done_twice_moves_nothing_the_second_time(asked, held):
    asked, holdings, costs = made(asked, held)
    first = cheapest(asked, holdings, costs=costs, whole_lots=False)
    spread = {each.id: costs[each.id.split(" > ")[0]] for each in first.placed}
    second = cheapest(asked, first.placed, costs=spread, whole_lots=False)
    moved = sum(each.market_value for each in second.movements)
    assert moved <= 1e-6 * (1.0 + sum(balance.required.amount for balance in first.after.balances))
