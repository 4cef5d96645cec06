"""Pairing: the least total equals enumeration, no cut beats it, its bound holds, its groups are admissible."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crossmargin.errors import InputError, NumericalError
from crossmargin.pairing import Contracts, Hedge, groups, largest_loss, pair, programme, strategy_name
from crossmargin.pairing.model import payoffs
from tests.reference import pairing_twin

STRIKES = [0, 90, 95, 100, 102.5, 105, 110, 130]


def contracts(*legs, lots=0, lot_cost=0.0, hedges=(), multiplier=100.0):
    """Legs are (quantity, right, strike, expiry, premium per unit, exposure per unit)."""
    quantity, right, strike, expiry, premium, exposure = zip(*legs, strict=True) if legs else [()] * 6
    return Contracts(
        quantity,
        [each == "c" for each in right],
        strike,
        expiry,
        [multiplier * each for each in premium],
        [multiplier * each for each in exposure],
        multiplier=multiplier,
        lots=lots,
        lot_cost=lot_cost,
        hedges=hedges,
    )


@st.composite
def books(draw, *, most_units=7, stock=True):
    """Small books of few strikes and expiries, so that ties, ladders and calendars are common."""
    series = draw(
        st.lists(
            st.tuples(st.sampled_from("cp"), st.sampled_from(STRIKES), st.sampled_from([10, 20, 30])),
            unique=True,
            min_size=1,
            max_size=6,
        )
    )
    legs, units = [], 0
    for right, strike, expiry in series:
        count = draw(st.integers(1, 3))
        if units + count > most_units:
            break
        units += count
        sign = draw(st.sampled_from([1, -1, -1]))
        premium, exposure = draw(st.integers(0, 40)) / 4, draw(st.integers(0, 80)) / 4
        legs.append((sign * count, right, strike, expiry, premium, exposure))
    lots = draw(st.integers(0, 2)) if stock else 0
    hedges = [Hedge((place,), draw(st.integers(0, 6000)), "cover") for place in range(len(legs)) if draw(st.booleans())]
    if len(legs) > 1 and draw(st.booleans()):
        hedges.append(Hedge((0, 1), draw(st.integers(0, 6000)), "collar"))
    return contracts(*legs, lots=lots, lot_cost=5000.0, hedges=hedges if lots else ())


def check(book, cut):
    """Every contract and lot once, every group admissible and at its own cost, the bound below the value."""
    left, lots, shift = book.quantity.copy(), book.lots, 0.0
    for group in cut.groups:
        lots -= group.lots
        for place, count in group.legs:
            assert count * left[place] > 0, "a group holds what the book does not"
            left[place] -= count
        assert math.isclose(group.cost, cost(book, group), rel_tol=1e-9, abs_tol=1e-9)
        shift += group.cost
    assert not left.any()
    assert lots == 0
    assert math.isclose(cut.value, shift, rel_tol=1e-12, abs_tol=1e-9)
    assert cut.bound <= cut.value
    assert cut.gap >= 0


def cost(book, group):
    if group.kind == "stock":
        return group.lots * book.lot_cost
    if group.kind == "hedge":
        hedge = book.hedges[group.hedge]
        assert sorted(place for place, _ in group.legs) == sorted(hedge.legs)
        assert all(abs(count) == group.lots for _, count in group.legs)
        return group.lots * hedge.cost
    common = 1 if group.kind == "spread" else math.gcd(*(count for _, count in group.legs))
    taken = [0] * len(book)
    for place, count in group.legs:
        taken[place] = abs(count) // common
    one = pairing_twin.cost_of(book, tuple(taken))
    assert one is not None, "not an admissible group"
    return common * one


# ----------------------------------------------------------------------------------------------- the laws


@settings(max_examples=150)
@given(books())
def test_the_least_total_is_that_of_the_enumeration(book):
    cut = pair(book)
    check(book, cut)
    assert math.isclose(cut.value, pairing_twin.cheapest(book), rel_tol=1e-9, abs_tol=1e-6)
    assert cut.optimal
    assert cut.complete


@given(books(most_units=16), st.integers(0, 2**32))
def test_no_random_cut_is_cheaper(book, seed):
    cut = pair(book)
    check(book, cut)
    draw = random.Random(seed)
    assert all(pairing_twin.random_cut(book, draw) >= cut.bound - 1e-6 for _ in range(20))
    assert all(pairing_twin.random_cut(book, draw) >= cut.value - 1e-6 for _ in range(20))


def reordered(book, order):
    places = {old: new for new, old in enumerate(order)}
    hedges = [evolve(hedge, legs=[places[leg] for leg in hedge.legs]) for hedge in book.hedges]
    arrays = [getattr(book, name)[list(order)] for name in ("quantity", "is_call", "strike", "expiry", "premium")]
    return Contracts(
        *arrays,
        book.exposure[list(order)],
        multiplier=book.multiplier,
        lots=book.lots,
        lot_cost=book.lot_cost,
        hedges=hedges,
    )


@given(books(most_units=12), st.randoms(use_true_random=False))
def test_the_order_of_series_changes_nothing(book, draw):
    order = list(range(len(book)))
    draw.shuffle(order)
    assert math.isclose(pair(reordered(book, order)).value, pair(book).value, rel_tol=1e-9, abs_tol=1e-6)


@given(books(most_units=12), st.tuples(st.sampled_from("cp"), st.sampled_from(STRIKES), st.sampled_from([10, 30, 40])))
def test_a_further_long_option_never_raises_the_total(book, series):
    right, strike, expiry = series
    more = Contracts(
        np.append(book.quantity, 1),
        np.append(book.is_call, right == "c"),
        np.append(book.strike, strike),
        np.append(book.expiry, expiry),
        np.append(book.premium, 100.0),
        np.append(book.exposure, 0.0),
        multiplier=book.multiplier,
        lots=book.lots,
        lot_cost=book.lot_cost,
        hedges=book.hedges,
    )
    assert pair(more).value <= pair(book).value + 1e-6


@given(books(most_units=10), st.integers(2, 5))
def test_more_of_the_same_costs_no_more_than_in_proportion(book, times):
    more = evolve(book, quantity=times * book.quantity, lots=times * book.lots)
    cut, one = pair(more), pair(book)
    check(more, cut)
    assert cut.value <= times * one.value + 1e-6
    if one.proof == "duality":  # contracts that may be split cost the same in proportion, exactly
        assert math.isclose(cut.value, times * one.value, rel_tol=1e-9, abs_tol=1e-5)


@given(books(most_units=10, stock=False), st.sampled_from([0.01, 7.0, 1e6]))
def test_money_in_another_unit_scales_the_total(book, factor):
    scaled = evolve(
        book, premium=factor * book.premium, exposure=factor * book.exposure, multiplier=factor * book.multiplier
    )
    assert math.isclose(pair(scaled).value, factor * pair(book).value, rel_tol=1e-7, abs_tol=1e-6 * factor)


@given(books(most_units=6, stock=False), books(most_units=6, stock=False))
def test_two_books_together_cost_no_more_than_apart(one, other):
    later = other.expiry + 100  # other expiries: no series is in both
    both = Contracts(
        *(
            np.concatenate([getattr(one, name), later if name == "expiry" else getattr(other, name)])
            for name in ("quantity", "is_call", "strike", "expiry", "premium", "exposure")
        ),
        multiplier=100.0,
    )
    assert pair(both).value <= pair(one).value + pair(other).value + 1e-6


@given(books(most_units=9), st.randoms(use_true_random=False))
def test_the_bound_holds_for_any_multipliers(book, draw):
    layout = programme._layout(book)
    made = programme._programme(book, layout)
    upper = np.array([-draw.uniform(-1, 3) for _ in made.limits])
    equal = np.array([draw.uniform(-5, 30) for _ in made.totals])
    bound = book.lots * book.lot_cost + book.multiplier * programme.proven_bound(made, np.concatenate([upper, equal]))
    assert bound <= pair(book).value + 1e-6


# ---------------------------------------------------------------------------------------------- by hand


def test_an_empty_book_costs_nothing():
    cut = pair(contracts())
    assert (cut.groups, cut.value, cut.bound, cut.optimal) == ((), 0.0, 0.0, True)


def test_stock_alone_is_one_group():
    cut = pair(contracts(lots=3, lot_cost=2000.0))
    assert [(group.kind, group.lots, group.cost) for group in cut.groups] == [("stock", 3, 6000.0)]
    assert cut.bound == 6000.0


def test_long_options_alone_cost_nothing():
    cut = pair(contracts((2, "c", 100, 30, 5, 0), (1, "p", 100, 30, 5, 0)))
    assert (cut.value, {group.kind for group in cut.groups}) == (0.0, {"long"})


def test_a_butterfly_costs_less_than_its_verticals():
    cut = pair(contracts((1, "c", 95, 30, 9, 0), (-2, "c", 100, 30, 6, 20), (1, "c", 105, 30, 4, 0)))
    assert cut.value == 0.0
    assert len(cut.groups) == 1


def test_the_spread_across_expiries_needs_the_long_to_last():
    long_last = contracts((1, "c", 100, 60, 6, 0), (-1, "c", 100, 30, 5, 15))
    long_first = contracts((1, "c", 100, 30, 5, 0), (-1, "c", 100, 60, 6, 15))
    assert pair(long_last).value == 0.0
    assert pair(long_first).value == 2100.0


def test_whole_contracts_cost_more_than_split_ones_and_the_bound_says_how_it_is_known():
    found = False
    draw = random.Random(5)
    for _ in range(200):
        legs = [
            (draw.choice([1, -1, -2, 2]), draw.choice("cp"), draw.choice(STRIKES), draw.choice([10, 20]), 3, 9 + i)
            for i in range(6)
        ]
        cut = pair(contracts(*{leg[1:4]: leg for leg in legs}.values()))
        assert cut.optimal
        found = found or cut.proof == "search"
    assert found, "no book needed a search: the test is too tame"


def test_dear_straddles_are_made_first():
    book = contracts((-1, "c", 100, 30, 1, 10), (-1, "c", 110, 30, 1, 5), (-1, "p", 90, 30, 1, 9))
    cut = pair(book)
    assert cut.value == 100 * (10 + 5 + 3)
    assert (cut.groups[0].kind, cut.groups[0].legs) == ("straddle", ((0, -1), (2, -1)))


def test_the_dearer_side_of_a_straddle_is_the_one_that_costs_more_alone():
    cut = pair(contracts((-3, "c", 112, 30, 1.5, 10), (-2, "p", 88, 30, 3, 8.8)))
    assert cut.groups[0].legs == ((1, -2), (0, -2))
    assert [(group.kind, group.cost) for group in cut.groups] == [("straddle", 200 * 13.3), ("naked", 1150.0)]


def test_who_is_spared_is_chosen_for_all_straddles_together():
    """The dearest put spares the call that saves most, not the one that comes next to it."""
    book = contracts((-1, "c", 100, 30, 9, 1), (-1, "c", 105, 30, 0, 8), (-1, "p", 90, 30, 11, 2))
    cut = pair(book)
    assert cut.value == pytest.approx(100 * (13 + 0 + 10))
    assert cut.value == pytest.approx(pairing_twin.cheapest(book))


def test_a_short_option_without_exposure_makes_no_straddle():
    cut = pair(contracts((-1, "c", 100, 30, 1, 0), (-1, "p", 90, 30, 1, 9)))
    assert {group.kind for group in cut.groups} == {"naked"}
    assert cut.value == 1100.0


def test_two_spreads_that_cost_the_same_together_are_shown_apart():
    book = contracts(
        (1, "c", 598, 30, 8, 0), (-1, "c", 603, 30, 5, 99), (1, "c", 600, 30, 7, 0), (-1, "c", 605, 30, 4, 99)
    )
    cut = pair(book)
    names = [strategy_name(book, group.legs) for group in cut.groups]
    assert (cut.value, names) == (0.0, ["bull call vertical"] * 2)


def test_a_million_contracts_are_as_exact_as_one():
    book = contracts((10**6, "c", 110, 30, 5, 0), (-2 * 10**6, "c", 105, 30, 10, 15))
    cut = pair(book)
    assert cut.value == 3000.0 * 10**6
    assert cut.optimal


def test_hedges_that_share_their_options_need_a_search():
    legs = [(1, "p", strike, 30, 1, 0) for strike in (90, 95, 100)]
    hedges = [Hedge(two, 100.0, "two puts") for two in ((0, 1), (1, 2), (0, 2))]
    book = contracts(*legs, lots=3, lot_cost=500.0, hedges=hedges)
    cut = pair(book)
    check(book, cut)
    assert (cut.value, cut.proof, cut.optimal) == (1100.0, "search", True)
    assert pairing_twin.cheapest(book) == 1100.0


def test_spare_long_contracts_stand_alone():
    book = contracts((10**6, "c", 95, 30, 5, 0), (-3, "c", 100, 30, 10, 15), (5, "c", 90, 30, 9, 0))
    cut = pair(book)
    spreads = [group for group in cut.groups if group.kind == "spread"]
    assert cut.value == 0.0
    assert [sum(count for _, count in group.legs) for group in spreads] == [0]


def test_a_search_that_is_cut_short_says_so():
    draw = random.Random(1)
    legs = {
        (right, strike, expiry): (
            draw.choice([-3, -2, 2, 3]),
            right,
            strike,
            expiry,
            draw.uniform(1, 9),
            draw.uniform(9, 30),
        )
        for right in "cp"
        for strike in range(50, 150, 10)
        for expiry in (10, 20)
    }
    book = contracts(*legs.values())
    cut = pair(book, time_limit=1e-9)
    check(book, cut)
    full = pair(book)
    check(book, full)
    assert not cut.complete
    assert cut.bound <= full.value <= cut.value
    assert cut.gap > 0
    assert not cut.optimal


def test_a_solver_that_fails_is_no_answer(monkeypatch):
    import scipy.optimize

    class Failed:
        x, status, message, mip_dual_bound = None, 4, "numerical trouble", None

    monkeypatch.setattr(scipy.optimize, "milp", lambda *_, **__: Failed)
    monkeypatch.setattr(programme, "_is_whole", lambda *_: False)
    monkeypatch.setattr(programme, "_SMALL_SEARCH", 0)
    with pytest.raises(NumericalError, match="numerical trouble"):
        pair(contracts((1, "c", 110, 30, 5, 0), (-2, "c", 105, 30, 10, 15)))


# ------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("legs", "name"),
    [
        ([(1, "c", 100, 30), (-1, "c", 105, 30)], "bull call vertical"),
        ([(-1, "p", 100, 30), (1, "p", 105, 30)], "bear put vertical"),
        ([(2, "c", 100, 30), (-1, "c", 95, 30)], "call backspread"),
        ([(1, "c", 100, 60), (-1, "c", 100, 30)], "call calendar"),
        ([(1, "p", 95, 60), (-1, "p", 100, 30)], "put diagonal"),
        ([(2, "p", 95, 30), (-4, "p", 100, 30), (2, "p", 105, 30)], "long put butterfly"),
        ([(1, "p", 95, 30), (-2, "p", 100, 30), (1, "p", 107, 30)], "broken-wing put butterfly"),
        ([(-1, "c", 95, 30), (2, "c", 100, 30), (-1, "c", 105, 30)], "short call butterfly"),
        ([(1, "c", 90, 30), (-1, "c", 95, 30), (-1, "c", 100, 30), (1, "c", 105, 30)], "long call condor"),
        ([(-1, "c", 90, 30), (1, "c", 95, 30), (1, "c", 100, 30), (-1, "c", 105, 30)], "short call condor"),
        ([(1, "p", 90, 30), (-1, "p", 95, 30), (-1, "c", 105, 30), (1, "c", 110, 30)], "iron condor"),
        ([(1, "p", 90, 30), (-1, "p", 100, 30), (-1, "c", 100, 30), (1, "c", 110, 30)], "iron butterfly"),
        ([(-1, "p", 90, 30), (1, "p", 95, 30), (1, "c", 105, 30), (-1, "c", 110, 30)], "reverse iron condor"),
        ([(-1, "p", 90, 30), (1, "p", 100, 30), (1, "c", 100, 30), (-1, "c", 110, 30)], "reverse iron butterfly"),
        ([(1, "c", 100, 30), (-1, "c", 110, 30), (1, "p", 110, 30), (-1, "p", 100, 30)], "long box"),
        ([(-1, "c", 100, 30), (1, "c", 110, 30), (-1, "p", 110, 30), (1, "p", 100, 30)], "short box"),
        ([(1, "p", 90, 30), (-1, "p", 120, 30), (-1, "c", 105, 30), (1, "c", 110, 30)], "spread of 4 series"),
        ([(1, "c", 90, 30), (-1, "c", 95, 30), (1, "p", 95, 30)], "spread of 3 series"),
        ([(1, "c", 90, 60), (-1, "c", 95, 30), (1, "p", 95, 60)], "spread of 3 series across expiries"),
        ([(1, "c", 90, 30), (-1, "c", 95, 30), (3, "c", 99, 30)], "call spread of 3 series"),
    ],
)
def test_shapes_have_the_names_that_traders_use(legs, name):
    book = contracts(*((*leg, 1.0, 1.0) for leg in legs))
    assert strategy_name(book, [(place, leg[0]) for place, leg in enumerate(legs)]) == name


@pytest.mark.parametrize("scale", [1, 7])
def test_an_iron_condor_and_a_box_stay_whole(scale):
    condor = [(1, "p", 90, 30, 1, 0), (-1, "p", 95, 30, 2, 9), (-1, "c", 105, 30, 2, 9), (1, "c", 110, 30, 1, 0)]
    box = [(-1, "c", 100, 30, 9, 9), (1, "c", 120, 30, 2, 0), (-1, "p", 120, 30, 9, 9), (1, "p", 100, 30, 2, 0)]
    long_box = [(-leg[0], *leg[1:4], leg[4], 9) for leg in box]
    for legs in (condor, box, long_box):
        cut = pair(contracts(*((scale * leg[0], *leg[1:]) for leg in legs)))
        assert len(cut.groups) == 1


# --------------------------------------------------------------------------------------------- bad input


def test_every_fault_of_the_contracts_is_named_at_once():
    with pytest.raises(InputError) as caught:
        Contracts(
            [1.5, 0, -1, np.nan],
            [True] * 4,
            [100, -1, np.inf, 5],
            [30, np.nan, 30, 30],
            [1, -1, 1, 1],
            [0, 0, -3, 0],
            multiplier=0.0,
            lots=-1,
            hedges=[Hedge((9,), 1.0, "x"), Hedge((0, 0), 1.0, "y"), Hedge((), 1.0, "z"), Hedge((0,), np.nan, "w")],
        )
    said = str(caught.value)
    arrays = ("quantity is 1.5", "quantity is 0.0", "quantity is nan", "strike is -1.0", "strike is inf")
    others = ("expiry is nan", "premium is -1.0", "exposure is -3.0", "multiplier is 0.0", "-1 lots")
    for part in (*arrays, *others, *(f"hedge {place}" for place in range(4))):
        assert part in said


def test_arrays_of_different_length_are_refused():
    with pytest.raises(InputError, match="one entry per series"):
        Contracts([1, 2], [True], [1], [1], [1], [1], multiplier=100)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.sampled_from(STRIKES)), min_size=1, max_size=6))
@example([(0, True, 100)])
def test_the_largest_loss_is_that_on_a_fine_grid(legs):
    quantity, is_call, strike = zip(*legs, strict=True)
    loss, price = largest_loss(quantity, is_call, strike)
    grid = np.append(np.linspace(0, max(strike), 261), price)
    values = payoffs(grid, np.array(is_call), np.array(strike, dtype=float)) @ np.array(quantity)
    assert math.isclose(loss, max(0.0, -values.min()), abs_tol=1e-12)


def test_taking_apart_leaves_large_spreads_whole(monkeypatch):
    monkeypatch.setattr(groups, "_TAKEN_APART", 1)
    book = contracts(
        (1, "c", 598, 30, 8, 0), (-1, "c", 603, 30, 5, 99), (1, "c", 600, 30, 7, 0), (-1, "c", 605, 30, 4, 99)
    )
    cut = pair(book)
    check(book, cut)
    assert len([group for group in cut.groups if group.kind == "spread"]) == 1
