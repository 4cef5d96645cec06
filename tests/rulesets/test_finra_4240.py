"""FINRA Rule 4240: current exposure as the rule's text has it, initial margin on the recalled grid."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError, NotInForce
from crossmargin.registry import rules
from crossmargin.rulesets.finra_4240 import Account, credit_margin, current_exposure, requirement, scenarios
from crossmargin.uncleared import CreditPosition, exposures
from tests.properties.swap_books import ACME, ACME_SHORT, IBM_SWAP, IG, inputs_of, pool_of

RULES = rules("finra_4240")
P = RULES.at(date(2026, 6, 30))


@pytest.mark.parametrize(
    ("account", "of_counterparty", "of_member"),
    [
        (Account(0.0), 0.0, 0.0),
        (Account(5e6), 5e6, 0.0),  # the member owes 5
        (Account(5e6, delivered=4e6), 1e6, 0.0),
        (Account(5e6, delivered=7e6), 0.0, 2e6),
        (Account(-5e6), 0.0, 5e6),
        (Account(-5e6, collected=4e6), 0.0, 1e6),
        (Account(-5e6, collected=6e6, delivered=0.0), 1e6, 0.0),
    ],
)
def test_current_exposure(account, of_counterparty, of_member):
    found = current_exposure(account)
    assert found.of_counterparty.value == pytest.approx(of_counterparty)
    assert found.of_member.value == pytest.approx(of_member)


amounts = st.floats(0, 1e12)


@given(st.floats(-1e12, 1e12), amounts, amounts)
def test_only_one_side_is_exposed_and_the_mirror_swaps_them(value, collected, delivered):
    mine = current_exposure(Account(value, collected, delivered))
    theirs = current_exposure(Account(-value, delivered, collected))
    assert min(mine.of_member.value, mine.of_counterparty.value) == 0.0
    assert mine.of_member.value == pytest.approx(theirs.of_counterparty.value, rel=1e-12, abs=1e-3)


@pytest.mark.parametrize("account", [Account(float("nan")), Account(1.0, -1.0), Account(1.0, 1.0, float("inf"))])
def test_bad_accounts_are_refused(account):
    with pytest.raises(InputError):
        current_exposure(account)


def test_contracts_add_up_and_one_contract_nets():
    sold = CreditPosition("ACME", -1e6, 60, 0.0105, contract="x")
    bought = CreditPosition("ACME", 1e6, 55, 0.0105, contract="y")
    assert credit_margin([sold, bought], P).value == pytest.approx(70000 + 35000)
    assert credit_margin([sold, CreditPosition("ACME", 4e5, 60, 0.0105, contract="x")], P).value == pytest.approx(42000)


def test_a_pool_by_hand():
    pool = pool_of((ACME, -1e7), (ACME_SHORT, 1e7), (IG, 1e6), (IBM_SWAP, 10.0))
    inputs = inputs_of(pool)
    line = requirement(pool, inputs, P)
    assert line.part("credit default swaps").value == pytest.approx(1e7 * (0.07 + 0.5 * 0.015))
    assert [part.name for part in line.walk() if part.how == "not_modelled"] == [
        f"p2: {IG.symbol}",
        "p3: " + IBM_SWAP.symbol,
    ]
    found, _ = exposures(pool.positions[:2], inputs)
    worth = sum(each.value for each in found)
    assert {beside.value for beside in line.memo} == {max(0.0, worth), max(0.0, -worth)}
    assert scenarios(P) == ()


def test_before_the_rule_there_is_none():
    with pytest.raises(NotInForce):
        credit_margin([], RULES.at(date(2022, 4, 5)))
