"""What class groups ask: largest loss, minimum, offsets at the same point, one level above another."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.class_groups import ClassGroup
from crossmargin.errors import InputError
from crossmargin.offset_groups import class_charge, offset_charge
from crossmargin.results import not_modelled
from tests.reference.class_group_twin import group_requirement


def charge(name, pnl, units=0.0, minimum=0.375, **more):
    return class_charge(ClassGroup(name, "broad_index", pnl, units, **more), minimum)


@pytest.mark.parametrize(
    ("pnl", "units", "asked", "note"),
    [
        ([-500.0, 400.0], 0.0, 500.0, "worst point 1"),
        ([-500.0, 400.0], 2000.0, 750.0, "the minimum binds"),
        ([100.0, 400.0], 0.0, 0.0, ""),
        ([100.0, 400.0], 100.0, 37.5, "the minimum binds"),
        ([-37.5, 0.0], 100.0, 37.5, "worst point 1"),
        ([0.0, 0.0], 0.0, 0.0, ""),
    ],
)
def test_one_class_by_hand(pnl, units, asked, note):
    line = charge("A", pnl, units).line
    assert (line.value, line.note) == (asked, note)


def test_a_class_shows_moves_products_and_gaps():
    gap = not_modelled("p1: X", "no volatility")
    parts = [("A", (-700.0, 600.0)), ("A put 90", (200.0, -200.0))]
    line = charge("A", [-500.0, 400.0], moves=[-0.15, 0.15], parts=parts, gaps=[gap]).line
    assert [part.name for part in line.part("largest loss").parts] == ["at -15.00%", "at +15.00%", "no loss"]
    assert [(part.name, part.value) for part in line.part("at -15.00%").parts] == [("A", 700.0), ("A put 90", -200.0)]
    assert line.part("at +15.00%").parts == ()
    assert line.partial
    assert line.value == 500.0


def test_a_class_of_which_nothing_is_known_asks_visibly_nothing():
    gap = not_modelled("p1: X", "no model for warrants")
    assert charge("A", [0.0, 0.0], gaps=[gap]).line.amount is None
    assert charge("A", [0.0, 0.0], 100.0, gaps=[gap]).line.amount == 37.5


def test_classes_of_which_nothing_is_known_ask_visibly_nothing_together():
    gap = not_modelled("p1: X", "no model for warrants")
    unknown = [charge(name, [0.0, 0.0], gaps=[gap]) for name in "AB"]
    both = offset_charge("both", unknown, 0.9)
    assert (both.gross, both.line.amount) == (None, None)
    one = offset_charge("one", [unknown[0], charge("C", [-500.0, 400.0])], 0.9)
    assert (one.gross, one.line.amount, one.line.partial) == (500.0, 500.0, True)


@pytest.mark.parametrize(
    ("books", "share", "net"),
    [
        ([[-500.0, 0.0], [400.0, -300.0]], 0.9, 300.0),
        ([[-500.0, 0.0], [400.0, -300.0]], 0.25, 400.0),
        ([[-500.0, 300.0], [500.0, -300.0]], 1.0, 0.0),
        ([[-500.0, 300.0], [-1.0, 300.0]], 0.9, 501.0),
        ([[500.0, 300.0], [1.0, 300.0]], 0.9, 0.0),
    ],
)
def test_two_classes_by_hand(books, share, net):
    both = offset_charge("both", [charge(name, pnl) for name, pnl in zip("AB", books, strict=True)], share)
    gross = sum(max(0.0, -min(pnl)) for pnl in books)
    assert both.line.value == pytest.approx(net)
    assert both.gross == pytest.approx(gross)
    assert both.line.part("credit").value == pytest.approx(net - gross)
    assert both.line.part("gross").value == pytest.approx(gross)


def test_minima_add_up_and_bind_together():
    both = offset_charge("both", [charge("A", [-50.0, 40.0], 100.0), charge("B", [50.0, -40.0], 200.0)], 1.0)
    assert both.minimum.value == 112.5
    assert both.line.value == pytest.approx(112.5)
    assert both.line.note == "the minimum binds"
    assert both.gross == 50.0 + 75.0


def test_points_of_unlike_moves_are_numbered():
    one = charge("A", [-1.0, 1.0], moves=[-0.08, 0.06])
    other = charge("B", [1.0, -1.0], moves=[-0.1, 0.1])
    names = [line.name for line in offset_charge("both", [one, other], 0.9).losses]
    assert names == ["point 1", "point 2"]
    assert [line.name for line in offset_charge("both", [one, one], 0.9).losses] == ["at -8.00%", "at +6.00%"]


def test_groups_of_groups_cut_gains_at_each_level():
    inner = offset_charge("inner", [charge("A", [1000.0, 0.0]), charge("B", [-200.0, 0.0])], 0.5)  # 300 at point 1
    outer = offset_charge("outer", [inner, charge("C", [-500.0, 0.0])], 0.5)
    assert outer.line.value == pytest.approx(500.0 - 0.5 * 300.0)
    assert outer.gross == 700.0


def test_one_member_is_itself():
    one = charge("A", [-1.0, 1.0])
    assert offset_charge("alone", [one], 0.9) is one


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, math.nan])
def test_shares_that_are_none_are_refused(share):
    with pytest.raises(InputError, match="share of gains"):
        offset_charge("both", [charge("A", [1.0])] * 2, share)


def test_every_fault_is_named_at_once():
    with pytest.raises(InputError) as found:
        offset_charge("none", [], 2.0)
    assert len(found.value.problems) == 2
    with pytest.raises(InputError, match="unlike length"):
        offset_charge("both", [charge("A", [1.0]), charge("B", [1.0, 2.0])], 0.5)


pnls = st.lists(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), min_size=2, max_size=4)
units = st.floats(0.0, 1e5)


@given(pnls, units, st.floats(0.01, 1.0))
def test_the_twin_agrees(books, held, share):
    members = [charge(f"c{n}", pnl, held) for n, pnl in enumerate(books)]
    together = offset_charge("all", members, share)
    expected = group_requirement([(pnl, held) for pnl in books], share, 0.375)
    assert together.line.value == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(pnls, units, st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_more_offset_never_raises_and_no_credit_is_positive(books, held, one, other):
    members = [charge(f"c{n}", pnl, held) for n, pnl in enumerate(books)]
    less, more = (offset_charge("all", members, share) for share in sorted((one, other)))
    assert -1e-6 <= more.line.value <= less.line.value + 1e-6
    assert less.line.value <= less.gross + 1e-6
    assert less.line.part("credit").value <= 1e-6
    assert more.line.value >= more.minimum.value - 1e-6
