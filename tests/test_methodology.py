"""What methodologies share: exposures, haircuts, tails."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from crossmargin.methodology import Inputs, haircut_charge, row_of, security_exposures, tail_charge, unmodelled
from crossmargin.portfolio import Position
from crossmargin.products import Repo, ReverseRepo, TreasuryBill, TreasuryNote
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSpec
from tests.properties.strategies import AS_OF, BILL, ETF_OPTION, NOTE_7, NOTE_8, OPTION, SR3, TIPS_8, ZN, book, market

TABLE = (
    {"bucket": "short", "kinds": ("treasury_bill",), "from_years": 0.0, "to_years": 0.5, "haircut": 0.01},
    {
        "bucket": "long",
        "kinds": ("treasury_bill", "treasury_note"),
        "from_years": 0.5,
        "to_years": 10.0,
        "haircut": 0.02,
    },
)
SOON, LATE = TreasuryBill(date(2026, 9, 24)), TreasuryBill(date(2027, 3, 18))


def exposures(*lines):
    return security_exposures([Position(f"p{i}", "a", *line) for i, line in enumerate(lines)], AS_OF)


# ------------------------------------------------------------------------------------------------------------ exposures


def repo(side, start: date, end: date):
    return side(NOTE_7, start, end, 0.037)


BEFORE, AFTER, END = date(2026, 6, 29), date(2026, 7, 1), date(2026, 7, 31)


@pytest.mark.parametrize(
    ("product", "face"),
    [
        (NOTE_7, 10.0),
        (repo(Repo, AFTER, END), 0.0),  # delivers, then receives
        (repo(Repo, BEFORE, END), 10.0),  # has delivered, will receive
        (repo(Repo, AS_OF, END), 10.0),
        (repo(ReverseRepo, AFTER, END), 0.0),
        (repo(ReverseRepo, BEFORE, END), -10.0),
    ],
)
def test_what_is_still_to_settle(product, face):
    assert exposures((product, 10.0)) == {NOTE_7: face}
    assert exposures((product, -10.0)) == {NOTE_7: -face}


def test_one_security_nets_across_cash_and_repo():
    assert exposures((NOTE_7, 10.0), (repo(ReverseRepo, BEFORE, END), 4.0), (NOTE_7, -1.0), (NOTE_8, 2.0)) == {
        NOTE_7: 5.0,
        NOTE_8: 2.0,
    }


def test_futures_and_options_are_no_security():
    assert exposures((ZN, 10.0), (SR3, 1.0), (OPTION, 1.0), (ETF_OPTION, 1.0)) == {}


def test_faces_add_exactly():
    assert exposures((BILL, 1e16), (BILL, 1.0), (BILL, -1e16)) == {BILL: 1.0}


# ------------------------------------------------------------------------------------------------------------- haircuts


def charge(*lines):
    return haircut_charge("charge", exposures(*lines), TABLE, as_of=AS_OF, reads=())


@pytest.mark.parametrize(
    ("lines", "amount"),
    [
        ((), 0.0),
        (((SOON, 100.0),), 1.0),
        (((SOON, -100.0),), 1.0),
        (((SOON, 300.0), (LATE, 200.0)), 5.0),
        (((SOON, 300.0), (LATE, -200.0)), 5.0),
        (((SOON, 300.0), (SOON, -100.0)), 2.0),
        (((SOON, 300.0), (TreasuryBill(date(2026, 8, 6)), -300.0)), 0.0),
        (((LATE, 100.0), (NOTE_7, -50.0)), 1.0),
    ],
)
def test_buckets_offset_inside_and_are_uncorrelated_between(lines, amount):
    assert charge(*lines).value == pytest.approx(amount)


def test_what_no_row_covers_is_a_gap_and_leaves_the_rest():
    found = charge((SOON, 100.0), (TIPS_8, 5.0))
    assert found.value == pytest.approx(1.0)
    assert found.partial
    assert charge((TIPS_8, 5.0)).amount is None


@pytest.mark.parametrize(
    ("maturity", "bucket"),
    [
        (date(2026, 12, 29), "short"),
        (date(2026, 12, 30), "long"),
        (date(2036, 6, 30), "long"),
        (date(2036, 7, 1), None),
    ],
)
def test_a_row_holds_its_upper_bound_and_not_its_lower(maturity, bucket):
    row = row_of(TreasuryBill(maturity), TABLE, AS_OF)
    assert (row["bucket"] if row else None) == bucket


# ---------------------------------------------------------------------------------------------------------------- tails

WORST = TailMeasure("kth_worst", k=1)


@pytest.mark.parametrize(("pnl", "amount"), [([], 0.0), ([0.0, 0.0], 0.0), ([5.0, 2.0], 0.0), ([-5.0, 2.0], 5.0)])
def test_a_tail_charge_is_never_negative(pnl, amount):
    assert tail_charge("var", np.array(pnl), WORST, ()).amount == amount


def test_pooled_leaves_out_what_cannot_be_revalued_and_needs_no_scenarios_for_it():
    spec = ScenarioSpec("historical", 3, 10)
    of = Inputs(book(), market(), {})
    assert of.pooled([Position("p", "a", TIPS_8, 1.0)], spec).shape == (0,)
    assert of.pooled([], spec).shape == (0,)


def test_unmodelled_names_each_position():
    lines = unmodelled([Position("p", "a", TreasuryNote(0.04, date(2030, 1, 31)), 1.0)], "why not")
    assert [(line.name, line.amount, line.note) for line in lines] == [("p: UST 4 2030-01-31", None, "why not")]
