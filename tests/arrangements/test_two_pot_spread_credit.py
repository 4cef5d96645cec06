"""The spread credit of the CME-NYMEX agreement: rate times the smaller margin, spread by spread."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.arrangements.two_pot_spread_credit import Spread, spread_credits
from crossmargin.errors import InputError
from crossmargin.registry import rules


@pytest.mark.parametrize(
    ("spreads", "expected"),
    [
        ([], ()),
        ([(0.75, 120_000, 95_000)], (71_250.0,)),
        ([(0.75, 95_000, 120_000)], (71_250.0,)),
        ([(1.0, 10.5, 10.5)], (10.5,)),
        ([(0.0, 10.5, 10.5)], (0.0,)),
        ([(0.6, 0.0, 5_000)], (0.0,)),
        ([(0.5, 40, 60), (0.25, 80, 20), (0.1, 7, 7)], (20.0, 5.0, 0.7)),
    ],
)
def test_the_rate_times_the_smaller_margin(spreads, expected):
    assert spread_credits(Spread(*spread) for spread in spreads) == pytest.approx(expected)


def test_all_that_is_no_rate_or_margin_is_named():
    bad = [Spread(1.01, 1.0, 1.0), Spread(0.5, -1.0, math.nan), Spread(math.nan, math.inf, 0.0), Spread("1", None, [])]
    with pytest.raises(InputError) as caught:
        spread_credits(bad)
    assert len(caught.value.problems) == 8


margins = st.floats(0, 1e12)
tables = st.lists(st.builds(Spread, st.floats(0, 1), margins, margins), max_size=5)


@given(tables)
def test_a_credit_is_within_either_margin_and_does_not_care_which_house_comes_first(spreads):
    found = spread_credits(spreads)
    assert all(
        0 <= credit <= min(s.outright_margin_a, s.outright_margin_b) for credit, s in zip(found, spreads, strict=True)
    )
    swapped = [Spread(s.credit_rate, s.outright_margin_b, s.outright_margin_a) for s in spreads]
    assert spread_credits(swapped) == found
    assert spread_credits([*spreads, *spreads]) == (*found, *found)


def test_the_agreement_ended_and_says_so():
    written = rules("two_pot_spread_credit")
    assert (written.kind, written.status) == ("arrangement", "withdrawn")
    assert not written.parameters
    assert not written.conditions
