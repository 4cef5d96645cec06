"""A model like the clearing house's for credit default swaps: each charge against a repricing done by hand here."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from crossmargin.errors import InputError
from crossmargin.pricing.credit import DiscountCurve, hazard_curve, legs
from crossmargin.products.security_based import CreditDefaultSwap
from crossmargin.registry import rules
from crossmargin.rulesets.icc_cds_like import (
    Holding,
    basis_charge,
    clearing_margin,
    concentration_charge,
    jump_losses,
    jump_to_default,
    liquidity_charge,
    measure,
    recovery_charge,
    requirement,
    scenarios,
    spread_response,
    wrong_way,
)
from tests.properties.swap_books import ACME, AS_OF, BRAVO, CREDIT, IBM_SWAP, IG, PAIR, inputs_of, market_with, pool_of

RULES = rules("icc_cds_like")
P = RULES.at(AS_OF)
DISCOUNT = DiscountCurve.from_par(market_with().curve)
SPREADS = {ACME: 0.011, BRAVO: 0.045, PAIR: 0.015, IG: 0.006}


def value(swap, spread, recovery=None):
    """One repricing at a time, per 1 USD of notional."""
    recovery = swap.recovery if recovery is None else recovery
    curve = hazard_curve([swap.maturity], [spread], DISCOUNT, recovery=recovery)
    return float(legs(swap, curve, DISCOUNT, recovery=recovery).value[0])


def book(*held):
    return [Holding(swap, notional, SPREADS[swap]) for swap, notional in held]


def measured(*held, p=P):
    return measure(book(*held), DISCOUNT, p)


def test_spread_response_by_hand():
    held = ((ACME, -1e7), (BRAVO, 4e6))
    moves = P.spread_moves
    gains = [
        [n * (value(swap, SPREADS[swap] * (1 + move)) - value(swap, SPREADS[swap])) for move in moves]
        for swap, n in held
    ]
    own = sum(max(0.0, -min(gain)) for gain in gains)
    common = max(0.0, -min(np.sum(gains, axis=0)))
    assert common < own
    assert spread_response(measured(*held), P).value == pytest.approx(0.7 * common + 0.3 * own)


def test_recovery_by_hand():
    now = value(ACME, 0.011)
    gains = [-1e7 * (value(ACME, 0.011, recovery) - now) for recovery in (0.3, 0.5)]
    assert recovery_charge(measured((ACME, -1e7)), P).value == pytest.approx(max(0.0, -min(gains)))
    assert recovery_charge(measured((ACME, -1e7)), P).value > 0


def test_basis_is_charged_on_what_hedges_alone():
    point = 1e7 * (value(ACME, 0.0111) - value(ACME, 0.011))
    assert basis_charge(measured((ACME, -1e7), (IG, 1e9)), P).value == pytest.approx(10.0 * point)
    assert basis_charge(measured((ACME, -1e7), (IG, -1e9)), P).value == 0.0
    assert basis_charge(measured((ACME, -1e7), (BRAVO, 1e9)), P).value == 0.0


def test_liquidity_and_concentration_by_hand():
    single = 1e8 * (value(ACME, 0.0111) - value(ACME, 0.011))
    index = 1e8 * (value(IG, 0.0061) - value(IG, 0.006))
    held = measured((ACME, -1e8), (IG, 1e8))
    assert liquidity_charge(held, P).value == pytest.approx(5.0 * single + 0.5 * index)
    assert concentration_charge(held, P).value == pytest.approx(0.01 * 5e7)


def test_jump_to_default_by_hand():
    accrued = 9 / 360
    loss = {swap: 1 - swap.recovery - swap.coupon * accrued - value(swap, SPREADS[swap]) for swap in SPREADS}
    held = measured((ACME, -1e7), (BRAVO, -5e6), (PAIR, -4e6), (IG, -1.25e8))
    found = jump_losses(held)
    assert found["ACME"] == pytest.approx(1e7 * loss[ACME] + 2e6 * loss[PAIR])
    assert found["BRAVO"] == pytest.approx(5e6 * loss[BRAVO] + 2e6 * loss[PAIR])
    assert found["one name of IG46"] == pytest.approx(1e6 * loss[IG])
    assert jump_to_default(held, P).value == pytest.approx(found["ACME"])
    both = RULES.with_values(because="test", jump_names=2).at(AS_OF)
    assert jump_to_default(held, both).value == pytest.approx(found["ACME"] + found["BRAVO"])
    assert jump_to_default(measured((ACME, 1e7)), P).value == 0.0


def test_wrong_way_asks_who():
    held = measured((ACME, -1e7), (BRAVO, -5e6))
    assert wrong_way(held, "bank", P).amount is None
    told = RULES.with_values(because="test", wrong_way_names=[{"firm": "bank", "names": ["BRAVO"]}]).at(AS_OF)
    assert wrong_way(held, "bank", told).value == pytest.approx(jump_losses(held)["BRAVO"])
    assert wrong_way(held, "other", told).amount is None


def test_the_sum_shows_seven_lines_and_says_that_they_are_assumed():
    line = clearing_margin(book((ACME, -1e7), (IG, 1e7)), DISCOUNT, P)
    names = ["spread response", "recovery", "basis", "liquidity", "concentration", "jump to default", "wrong-way"]
    assert [part.name for part in line.parts] == names
    assert line.partial
    assert {read.grade for read in line.all_reads()} == {"assumed"}


def test_an_exact_opposite_nets_to_nothing():
    held = [(swap, 1e7 * (n + 1)) for n, swap in enumerate(SPREADS)]
    opposite = [(swap, -notional) for swap, notional in held]
    assert clearing_margin(book(*held, *opposite), DISCOUNT, P).value == 0.0


@pytest.mark.parametrize("swap", SPREADS)
def test_wider_spreads_ask_a_seller_for_more(swap):
    asked = [
        spread_response(measure([Holding(swap, -1e7, spread)], DISCOUNT, P), P).value for spread in (0.005, 0.02, 0.08)
    ]
    assert asked == sorted(asked)
    assert asked[0] > 0


def test_twice_the_book_twice_the_charges_but_concentration():
    once, twice = (clearing_margin(book((ACME, -n * 1e7), (IG, n * 2e7)), DISCOUNT, P).value for n in (1, 2))
    assert twice == pytest.approx(2 * once)


@pytest.mark.parametrize("holding", [Holding(ACME, float("nan"), 0.01), Holding(ACME, 1.0, -0.01)])
def test_bad_holdings_are_refused(holding):
    with pytest.raises(InputError):
        measure([holding], DISCOUNT, P)


@pytest.mark.parametrize("recovery", [0.0, 0.02, 0.9, 0.99])
def test_odd_recoveries_are_margined(recovery):
    swap = CreditDefaultSwap("ODD", 0.01, date(2031, 6, 20), recovery=recovery)
    assert clearing_margin([Holding(swap, -1e6, 0.001)], DISCOUNT, P).value > 0


# --------------------------------------------------------------------------------------------------------------- pools


def test_a_pool_is_margined_at_its_prices():
    pool = pool_of(*((swap, -1e7) for swap in CREDIT), (IBM_SWAP, 5.0))
    line = requirement(pool, inputs_of(pool), P)
    missing = [part.name for part in line.walk() if part.how == "not_modelled"]
    assert missing == ["wrong-way", f"p5: {IBM_SWAP.symbol}"]
    assert line.part("jump to default").value > 0
    assert scenarios(P) == ()


def test_a_pool_without_prices_is_shown():
    pool = pool_of((ACME, -1e7))
    line = requirement(pool, inputs_of(pool, market_with(without={ACME})), P)
    assert line.amount is None
    empty = pool_of()
    assert requirement(empty, inputs_of(empty), P).value == 0.0
