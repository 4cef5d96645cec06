"""The allocation of real books: against the spine run for every allocation, moves to carry out, refusals."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import pairwise, product

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.accounts import Account, AccountClass
from crossmargin.analysis.allocation import best_allocation
from crossmargin.errors import InputError
from crossmargin.margin import margin
from crossmargin.market import Market
from crossmargin.portfolio import Portfolio, Position
from crossmargin.regimes import CROSS_MARGIN, SILOED
from crossmargin.registry import rules
from tests.properties.strategies import (
    ACCOUNTS,
    BOND,
    NOTE_2,
    NOTE_7,
    OPTION,
    REPO,
    REVERSE,
    SETTLES,
    SHORT_NOTE,
    UB,
    ZN,
    ZT,
    basis,
    book,
    history,
    market,
)

few = settings(max_examples=max(1, settings().max_examples // 16), deadline=None)
CASH = (NOTE_2, NOTE_7, BOND, REPO, REVERSE)
PLACES = ("DUAL-XM", "DUAL-GOV")


def total(portfolio: Portfolio, **more) -> float:
    return margin(portfolio, market(), CROSS_MARGIN, **more).total()


def split(quantity: float, product, xm: str, out: str, **more):
    """A position in both accounts, lot by lot."""
    lots = abs(int(quantity))
    unit = quantity / lots
    for inside in range(lots + 1):
        parts = [(xm, inside), (out, lots - inside)]
        yield [(account, product, unit * count, more) for account, count in parts if count]


def every_total(ways) -> float:
    """The least that the spine asks of all combinations of ways to hold."""
    totals = []
    for chosen in product(*ways):
        lines = [line for way in chosen for line in way]
        held = [Position(f"P{n}", a, product_, q, **more) for n, (a, product_, q, more) in enumerate(lines)]
        totals.append(total(book(*held)))
    return min(totals)


@st.composite
def small_books(draw):
    """Few lots and trades of ALPHA or of the house, wherever they lie."""
    owner = draw(st.sampled_from(["ALPHA", "DUAL"]))
    futures = draw(st.lists(st.sampled_from([ZN, ZT, UB]), min_size=1, max_size=2, unique=True))
    cash = draw(st.lists(st.sampled_from(CASH), min_size=1, max_size=2, unique=True))
    places = {True: f"{owner}-XM", False: f"{owner}-FUT"}
    held = []
    for future in futures:
        lots = draw(st.sampled_from([-3, -2, 1, 2]))
        held.append(Position(f"F-{future.contract}", places[draw(st.booleans())], future, lots))
    places[False] = f"{owner}-GOV"
    for number, each in enumerate(cash):
        settles = None if each in (REPO, REVERSE) else SETTLES
        quantity = 1e5 * draw(st.integers(1, 4)) * draw(st.sampled_from([1, -1]))
        held.append(Position(f"C{number}", places[draw(st.booleans())], each, quantity, settles))
    return owner, held


@few
@given(small_books())
def test_no_allocation_of_a_small_book_is_cheaper_by_the_spine(case):
    owner, held = case
    found = best_allocation(book(*held), market(), f"{owner}-XM", caps=())
    ways = []
    for each in held:
        out = f"{owner}-GOV" if each.product in CASH else f"{owner}-FUT"
        more = {"settles": each.settles}
        if each.product in CASH:
            ways.append([[(place, each.product, each.quantity, more)] for place in (f"{owner}-XM", out)])
        else:
            ways.append(list(split(each.quantity, each.product, f"{owner}-XM", out)))
    assert found.after == pytest.approx(every_total(ways), abs=0.01)
    assert found.before == pytest.approx(total(book(*held)), abs=1e-6)
    assert found.after <= found.before + 0.005
    assert "Exact" in found.certificate
    assert found.gap < 0.01


@few
@given(small_books())
def test_the_moves_are_the_answer_and_lose_nothing(case):
    owner, held = case
    portfolio = book(*held, *basis("BETA"))
    found = best_allocation(portfolio, market(), f"{owner}-XM", caps=())
    assert total(portfolio) - total(found.portfolio) == pytest.approx(found.saving, abs=0.01)
    before, after = ({}, {})
    for amounts, positions in ((before, portfolio.positions), (after, found.portfolio.positions)):
        for each in positions:
            key = (each.account.split("-")[0], each.product)
            amounts[key] = amounts.get(key, 0.0) + each.quantity
    assert before == after
    for move in found.moves:
        assert {move.source, move.target} <= {f"{owner}-XM", f"{owner}-FUT", f"{owner}-GOV"}
        assert f"{owner}-XM" in (move.source, move.target)
    assert max(Counter(position.id for position in found.portfolio.positions).values()) == 1
    again = best_allocation(found.portfolio, market(), f"{owner}-XM", caps=())
    assert again.moves == ()
    assert again.after == pytest.approx(found.after, abs=0.01)


def undirected() -> Portfolio:
    """A basis trade of ALPHA whose legs lie outside the programme, with more futures than it needs."""
    return book(
        Position("T", "ALPHA-GOV", NOTE_7, 10e6, SETTLES),
        Position("F", "ALPHA-FUT", ZN, -90),
        Position("G", "ALPHA-FUT", ZT, 40),
        Position("O", "ALPHA-FUT", OPTION, 5),
        Position("S", "ALPHA-GOV", SHORT_NOTE, 5e6, SETTLES),
    )


def test_what_hedges_goes_in_and_what_the_programme_refuses_stays():
    found = best_allocation(undirected(), market(), "ALPHA-XM")
    assert found.saving > 0.3 * found.before
    assert {move.position for move in found.moves} >= {"T", "F"}
    assert {move.position for move in found.moves}.isdisjoint({"O", "S"})
    assert "agree" in found.certificate
    assert "ALPHA-XM and ALPHA-FUT, ALPHA-GOV" in found.certificate
    assert str(found.moves[0]) in str(found)
    assert f"{found.after:,.2f}" in str(found)


def test_a_higher_cap_never_costs_more_and_todays_cap_is_the_answer():
    found = best_allocation(undirected(), market(), "ALPHA-XM", caps=(0.2, 0.5, 0.8, 1.0))
    points = found.sensitivity_to_cap
    assert [point.cap for point in points] == [0.2, 0.5, 0.8, 1.0]
    assert all(later.total <= earlier.total + 0.01 for earlier, later in pairwise(points))
    assert all(point.best <= point.total + 0.01 for point in points)
    at_cap = next(point for point in points if point.cap == 0.8)
    assert at_cap.total == pytest.approx(found.after, abs=0.01)
    lower = rules("cme_ficc").with_values(reduction_cap=0.5, because="test")
    assert total(found.portfolio, rules=[lower]) == pytest.approx(points[1].total, abs=0.01)


def test_only_the_accounts_named_give_and_take():
    found = best_allocation(undirected(), market(), "ALPHA-XM", base=["ALPHA-FUT"], caps=())
    assert found.moves == () or {move.position for move in found.moves} <= {"F", "G"}
    assert "Treasury" not in found.certificate


def test_rules_whose_charges_no_array_stands_for_are_margined_by_the_spine():
    """A liquidity charge by the power of a net face: not a function of the scenarios, nor in proportion to the VaR."""
    row = {"bucket": "notes", "kinds": ["treasury_note"], "from_years": 0.0, "to_years": 30.0}
    study = rules("ficc_gsd").with_values(
        impact_table=[{**row, "impact": 1e-3, "power": 1.4}], impact_threshold=0.0, because="test"
    )
    held = (
        Position("T1", "ALPHA-GOV", NOTE_7, 1e6, SETTLES),
        Position("T2", "ALPHA-XM", NOTE_7, 2e6, SETTLES),
        Position("F", "ALPHA-FUT", ZN, -3),
    )
    found = best_allocation(book(*held), market(), "ALPHA-XM", rules=[study], caps=(0.8,))
    assert "Exact: margin was run for all 16 allocations" in found.certificate
    assert "Arrays do not say" in found.certificate
    assert found.sensitivity_to_cap[0].best is None
    assert found.sensitivity_to_cap[0].total == pytest.approx(found.after)
    ways = [
        *(
            [[(place, NOTE_7, face, {"settles": SETTLES})] for place in ("ALPHA-XM", "ALPHA-GOV")]
            for face in (1e6, 2e6)
        ),
        list(split(-3, ZN, "ALPHA-XM", "ALPHA-FUT")),
    ]
    totals = []
    for chosen in product(*ways):
        lines = [line for way in chosen for line in way]
        parts = [Position(f"P{n}", a, what, q, **more) for n, (a, what, q, more) in enumerate(lines)]
        totals.append(total(book(*parts), rules=[study]))
    assert found.after == pytest.approx(min(totals), abs=0.01)


def test_one_leg_alone_earns_nothing_and_is_said_so():
    held = (Position("F", "ALPHA-FUT", ZN, -3), Position("G", "ALPHA-XM", ZT, 2))
    found = best_allocation(book(*held), market(), "ALPHA-XM", caps=())
    assert "one leg is missing" in found.certificate
    assert found.after <= found.before


def test_nothing_to_move_is_an_answer():
    for portfolio in (book(), book(Position("S", "ALPHA-XM", SHORT_NOTE, 5e6, SETTLES))):
        found = best_allocation(portfolio, market(), "ALPHA-XM", caps=())
        assert found.moves == ()
        assert found.saving == 0.0
        assert "Nothing may be moved." in found.certificate


def test_a_base_account_of_another_owner_firm_or_programme_is_refused():
    with pytest.raises(InputError) as caught:
        best_allocation(book(), market(), "ALPHA-XM", base=["BETA-FUT", "ALPHA-FUT2", "ALPHA-XM", "ALPHA-FUTT"])
    assert len(caught.value.problems) == 4
    omnibus = Account("NET", "ALPHA", "DUAL", AccountClass.CFTC_4D_AB, net=True)
    with pytest.raises(InputError, match="not margined net"):
        best_allocation(book(accounts=(*ACCOUNTS, omnibus)), market(), "ALPHA-XM", base=["NET"])


def test_accounts_of_no_two_pot_programme_are_refused():
    moved = Account("ALPHA-4DF", "ALPHA", "DUAL", AccountClass.CFTC_4D_F, "cme_swaps_futures")
    for account, regime in (("ALPHA-FUT", CROSS_MARGIN), ("ALPHA-4DF", CROSS_MARGIN), ("ALPHA-XM", SILOED)):
        with pytest.raises(InputError, match="two-pot"):
            best_allocation(book(accounts=(*ACCOUNTS, moved)), market(), account, regime=regime)
    with pytest.raises(InputError, match="Did you mean 'ALPHA-XM'"):
        best_allocation(book(), market(), "ALPHA-XN")


def test_the_sample_book_saves_and_says_how_far_it_may_be_from_the_best():
    portfolio, today = samples.basis_trade()
    ours = evolve(portfolio, positions=[each for each in portfolio.positions if each.id.startswith("M")])
    found = best_allocation(ours, today, "MER-XM", caps=(), nodes=20)
    assert found.saving > 90_000
    assert 0.0 < found.gap < 0.1 * found.after
    assert "Not proved the best" in found.certificate


def test_what_the_programme_refuses_in_its_own_account_counts_in_the_pool_outside():
    """House positions outside and refused ones inside are one pool at each clearing house."""
    held = (
        Position("S", "DUAL-XM", SHORT_NOTE, 5e6, SETTLES),
        Position("T", "DUAL-XM", NOTE_7, 1e6, SETTLES),
        Position("B", "DUAL-GOV", BOND, -2e5, SETTLES),
        Position("F", "DUAL-FUT", ZN, -4),
    )
    found = best_allocation(book(*held), market(), "DUAL-XM", caps=())
    assert "agree" in found.certificate
    moved = {"T": NOTE_7, "B": BOND}
    cash = [[[(place, moved[p.id], p.quantity, {"settles": SETTLES})] for place in PLACES] for p in held[1:3]]
    kept = [[[("DUAL-XM", SHORT_NOTE, 5e6, {"settles": SETTLES})]]]
    assert found.after == pytest.approx(
        every_total([*kept, *cash, list(split(-4, ZN, "DUAL-XM", "DUAL-FUT"))]), abs=0.01
    )


def test_an_add_on_that_grows_with_the_charge_is_part_of_the_search():
    """The Friday before Memorial Day: FICC charges for the longer close-out, and the factor does not reduce that."""
    friday, settles = date(2026, 5, 22), date(2026, 5, 26)
    held = [
        evolve(position, settles=settles if position.settles else None)
        for position in (*basis(), Position("G", "ALPHA-FUT", ZN, 5))
    ]
    before = Market.from_history(history(), friday)
    found = best_allocation(book(*held), before, "ALPHA-XM", caps=())
    report = margin(found.portfolio, before, CROSS_MARGIN)
    charges = [line.value for need in report.requirements for line in need.line.walk() if line.name == "holiday_charge"]
    assert max(charges) > 0.0
    assert "agree" in found.certificate
    assert found.after == pytest.approx(report.total(), abs=0.01)


def test_a_calculation_that_is_late_leaves_the_spine_to_say_what_is_best():
    late = rules("cme_ficc").with_values(late_sides=["CME"], because="test")
    held = (Position("T", "ALPHA-GOV", NOTE_7, 1e6, SETTLES), Position("F", "ALPHA-XM", ZN, -3))
    found = best_allocation(book(*held), market(), "ALPHA-XM", rules=[late], caps=())
    assert found.after == pytest.approx(found.before)
    assert found.moves == ()
