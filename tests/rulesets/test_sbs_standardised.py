"""Standardised haircuts on security-based swaps: figures by hand from the table in the rule's file, and netting."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.errors import InputError, NotInForce
from crossmargin.products import Stock
from crossmargin.registry import rules
from crossmargin.rulesets.sbs_standardised import (
    BondPosition,
    SharePosition,
    bond_margin,
    credit_margin,
    equity_margin,
    requirement,
    scenarios,
)
from crossmargin.uncleared import CreditPosition
from tests.properties.swap_books import (
    ACME,
    ACME_SHORT,
    BOND_SWAP,
    BOOK,
    IBM_FORWARD,
    IBM_SWAP,
    IG,
    NOTE_SWAP,
    PAIR,
    inputs_of,
    pool_of,
)

RULES = rules("sbs_standardised")
P = RULES.at(date(2026, 6, 30))


def sold(months, spread_bp, notional=1e6, reference="ACME"):
    return CreditPosition(reference, -notional, months, spread_bp * 1e-4)


@pytest.mark.parametrize(
    ("months", "spread_bp", "share"),
    [
        (0, 0, 0.01),
        (12, 100, 0.01),
        (12, 100.01, 0.02),
        (13, 100, 0.015),
        (24, 300, 0.035),
        (36, 301, 0.10),
        (48, 500, 0.15),
        (60, 105, 0.07),
        (61, 105, 0.085),
        (84, 699, 0.25),
        (84, 700, 0.30),
        (120, 9999, 0.40),
        (121, 0, 0.10),
        (400, 9999, 0.50),
    ],
)
def test_the_grid(months, spread_bp, share):
    assert credit_margin([sold(months, spread_bp)], P).value == pytest.approx(1e6 * share)
    bought = CreditPosition("ACME", 1e6, months, spread_bp * 1e-4)
    assert credit_margin([bought], P).value == pytest.approx(0.5e6 * share)


def test_only_one_reference_in_one_cell_nets():
    bought = CreditPosition("ACME", 1e6, 55, 0.0200)
    assert credit_margin([sold(60, 105), bought], P).value == 0.0
    assert credit_margin([sold(61, 105), bought], P).value == pytest.approx(85000 + 35000)
    assert credit_margin([sold(60, 105, reference="BRAVO"), bought], P).value == pytest.approx(70000 + 35000)
    assert credit_margin([sold(60, 105, 3e6), bought], P).value == pytest.approx(140000)


def test_shares_and_bonds_by_hand():
    shares = [SharePosition("IBM", 1e6), SharePosition("IBM", -4e5), SharePosition("XYZ", -1e5)]
    assert equity_margin(shares, P).value == pytest.approx(0.15 * 7e5)
    bonds = [
        BondPosition("T", "government", 84, 1e6),
        BondPosition("T", "government", 84, -2e5),
        BondPosition("C", "corporate", 84, -1e6),
    ]
    assert bond_margin(bonds, P).value == pytest.approx(0.04 * 8e5 + 0.07 * 1e6)
    assert bond_margin([BondPosition("M", "municipal", 84, 1.0)], P).amount is None


@pytest.mark.parametrize("what", [credit_margin, equity_margin, bond_margin])
def test_nothing_asks_nothing(what):
    assert what([], P).value == 0.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: credit_margin([CreditPosition("A", float("nan"), 3, 0.01)], P),
        lambda: credit_margin([CreditPosition("A", 1.0, -1, 0.01)], P),
        lambda: credit_margin([CreditPosition("A", 1.0, 3, -0.01)], P),
        lambda: equity_margin([SharePosition("A", float("inf"))], P),
        lambda: bond_margin([BondPosition("A", "corporate", 3, float("nan"))], P),
        lambda: credit_margin([], RULES.with_values(because="test", credit_netting="all").at(date(2026, 6, 30))),
    ],
)
def test_bad_positions_are_refused(make):
    with pytest.raises(InputError):
        make()


def test_before_the_compliance_date_there_is_none():
    with pytest.raises(NotInForce):
        credit_margin([], RULES.at(date(2021, 10, 5)))


# --------------------------------------------------------------------------------------------------------------- pools


def test_a_pool_by_hand():
    pool = pool_of((ACME, -1e7), (ACME_SHORT, 1e7), (IBM_SWAP, 1000.0), (IBM_FORWARD, -600.0), (BOND_SWAP, 1e6))
    line = requirement(pool, inputs_of(pool), P)
    # five years above 100 bp sold: 7 %; two years below 100 bp bought: half of 1.5 %
    assert line.part("credit default swaps").value == pytest.approx(1e7 * (0.07 + 0.5 * 0.015))
    assert line.part("swaps on shares").value == pytest.approx(0.15 * 400 * 250)
    assert line.part("swaps on bonds").value == pytest.approx(0.07 * 1.03e6)
    assert not line.partial
    assert scenarios(P) == ()


def test_a_broad_index_and_other_products_are_shown_not_margined():
    pool = pool_of((IG, -1e7), (PAIR, -1e6), (Stock("IBM"), 3.0))
    line = requirement(pool, inputs_of(pool), P)
    missing = [part.name for part in line.walk() if part.how == "not_modelled"]
    assert missing == ["p2: IBM", f"p0: {IG.symbol}"]
    assert line.value > 0


def test_a_government_bond_bears_the_government_rate():
    pool = pool_of((NOTE_SWAP, 1e6))
    line = requirement(pool, inputs_of(pool), P)
    assert 0.04 * 0.95e6 < line.value < 0.04 * 1.1e6


# ---------------------------------------------------------------------------------------------------------------- laws

credit = st.lists(
    st.builds(
        CreditPosition,
        st.sampled_from(["A", "B"]),
        st.integers(-10, 10).map(lambda n: n * 1e6),
        st.integers(0, 200),
        st.floats(0, 0.2),
    ),
    max_size=6,
)


@given(credit)
def test_exact_opposites_ask_nothing(held):
    opposite = [CreditPosition(each.reference, -each.notional, each.months, each.spread) for each in held]
    assert credit_margin([*held, *opposite], P).value == 0.0


@given(credit)
def test_a_buyer_asks_half_of_what_the_seller_asks(held):
    selling = [CreditPosition(each.reference, -abs(each.notional), each.months, each.spread) for each in held]
    buying = [CreditPosition(each.reference, abs(each.notional), each.months, each.spread) for each in held]
    assert credit_margin(buying, P).value == pytest.approx(0.5 * credit_margin(selling, P).value)


@given(st.integers(0, 200), st.integers(0, 200), st.floats(0, 0.2), st.floats(0, 0.2))
def test_longer_and_wider_ask_no_less(months, more_months, spread, more_spread):
    less = credit_margin([CreditPosition("A", -1e6, months, spread)], P).value
    more = credit_margin([CreditPosition("A", -1e6, months + more_months, spread + more_spread)], P).value
    assert more >= less


@settings(max_examples=5)
@given(st.permutations([(product, 1000.0 * (-1) ** n) for n, product in enumerate(BOOK)]))
def test_order_changes_nothing(held):
    pool, sorted_pool = pool_of(*held), pool_of(*sorted(held, key=lambda each: each[0].symbol))
    asked = [requirement(each, inputs_of(each), P).value for each in (pool, sorted_pool)]
    assert asked[0] == pytest.approx(asked[1])
