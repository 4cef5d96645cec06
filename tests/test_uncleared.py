"""Exposures of uncleared positions: notional, value, months and spread, and what the market lacks for them."""

from __future__ import annotations

import math
from datetime import date

import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass
from crossmargin.errors import InputError
from crossmargin.margin import margin
from crossmargin.market import Market
from crossmargin.pricing.credit import DiscountCurve, upfront_from_spread
from crossmargin.products import TIPS, Stock
from crossmargin.products.security_based import BondTotalReturnSwap, CreditDefaultSwap, EquityForward
from crossmargin.regimes import SILOED, Silo
from crossmargin.results import Report
from crossmargin.uncleared import CreditGrid, exposures, forward_value, full_months
from crossmargin.underlyings import Underlying
from tests.properties.swap_books import (
    ACME,
    AS_OF,
    BOND_SWAP,
    BOOK,
    IBM_FORWARD,
    IBM_SWAP,
    NOTE_SWAP,
    inputs_of,
    market_with,
    pool_of,
)

FLAT = DiscountCurve(AS_OF, [30.0], [[0.04]])


def exposure(product, quantity, market=None):
    pool = pool_of((product, quantity))
    (found,), gaps = exposures(pool.positions, inputs_of(pool, market))
    assert not gaps
    return found


def gap(product, market=None):
    pool = pool_of((product, 1.0))
    found, (line,) = exposures(pool.positions, inputs_of(pool, market))
    assert not found
    return line.note


def test_a_credit_default_swap_is_read_from_its_price():
    discount = DiscountCurve.from_par(market_with().curve)
    price = 100 * (1 - float(upfront_from_spread(ACME, 0.0123, discount)[0]))
    market = market_with()
    quoted = Market(AS_OF, market.curve, market.history, prices={ACME.symbol: price})
    found = exposure(ACME, -1e7, quoted)
    assert found.spread == pytest.approx(0.0123, rel=1e-9)
    assert found.notional == -1e7
    settled = float(discount.factors([3 / 365])[0, 0])  # three weekdays from a Tuesday: 3 July
    owed = 0.01 * 9 / 360 * settled
    assert found.value == pytest.approx(-1e7 * ((1 - price / 100) * settled - owed), rel=1e-9)
    assert (found.months, round(found.years, 6)) == (60, round(4 + 355 / 365, 6))


def test_return_swaps_are_worth_their_gain_since_the_reset():
    found = exposure(IBM_SWAP, -1000.0)
    assert (found.notional, found.value, found.months) == (-250000.0, -10000.0, 12)
    bond = exposure(BOND_SWAP, 1e6)
    assert (bond.notional, bond.value) == pytest.approx((1.03e6, 3e4))
    assert (bond.kind, bond.reference_months) == ("corporate_return_swap", 68)
    note = exposure(NOTE_SWAP, 1e6)
    assert note.kind == "government_return_swap"
    assert note.value == pytest.approx(note.notional - 1e6)


def test_a_forward_by_hand():
    years = 1.0
    share = Underlying("IBM", spot=250.0, dividends=[(date(2026, 12, 30), 5.0), (date(2027, 7, 1), 9.0)])
    kept = 5.0 * math.exp(-0.04 * 183 / 365)
    forward = EquityForward("IBM", date(2027, 6, 30), 245.0)
    assert forward_value(forward, share, FLAT) == pytest.approx(250 - kept - 245 * math.exp(-0.04 * years))
    adjusted = EquityForward("IBM", date(2027, 6, 30), 245.0, dividends=[(date(2026, 12, 30), 5.0)])
    gained = forward_value(adjusted, share, FLAT) - forward_value(forward, share, FLAT)
    assert gained == pytest.approx(5.0 * math.exp(-0.04))
    yielding = Underlying("IBM", spot=250.0, dividend_yield=0.02)
    assert forward_value(forward, yielding, FLAT) == pytest.approx(250 * math.exp(-0.02) - 245 * math.exp(-0.04))
    assert exposure(IBM_FORWARD, 2.0).value == pytest.approx(2 * (250 - 245 * math.exp(-0.04)), rel=1e-9)


def test_a_forward_needs_a_spot():
    with pytest.raises(InputError, match="no spot"):
        forward_value(IBM_FORWARD, Underlying("IBM"), FLAT)


@pytest.mark.parametrize(
    ("product", "missing", "says"),
    [
        (ACME, {ACME}, "no price of ACME CDS"),
        (IBM_SWAP, {"IBM"}, "no price of IBM"),
        (IBM_FORWARD, {"IBM"}, "no price of IBM"),
        (BOND_SWAP, {BOND_SWAP.bond}, "no price of ACME 5.5"),
        (Stock("IBM"), (), "no such product"),
        (CreditDefaultSwap("OLD", 0.01, date(2026, 6, 20)), (), "ended"),
        (BondTotalReturnSwap(TIPS(0.01, date(2033, 1, 15)), date(2027, 6, 30)), (), "real yields"),
    ],
)
def test_what_cannot_be_valued_says_why(product, missing, says):
    assert says in gap(product, market_with(without=missing))


def test_a_price_that_no_hazard_explains_is_a_gap_not_an_error():
    market = market_with()
    quoted = Market(AS_OF, market.curve, market.history, prices={ACME.symbol: 30.0})
    assert "upfront" in gap(ACME, quoted)


@pytest.mark.parametrize(
    ("end", "months"),
    [(date(2026, 7, 29), 0), (date(2026, 7, 30), 1), (date(2027, 6, 29), 11), (date(2027, 6, 30), 12)],
)
def test_full_months(end, months):
    assert full_months(AS_OF, end) == months


def test_a_spread_on_a_bound_stays_in_the_lower_column():
    grid = CreditGrid([{"from_months": 0, "rates": [1.0, 2.0]}, {"from_months": 13, "rates": [3.0, 4.0]}], [100])
    assert [grid.rate(12, 0.01), grid.rate(12, 0.010001), grid.rate(13, 0.01), grid.rate(99, 1.0)] == [1, 2, 3, 4]
    assert grid.rate(0, 0.1 * 0.1) == 1.0  # 0.010000000000000002


@pytest.mark.parametrize(
    "ruleset", ["schedule_im", "sbs_standardised", "finra_4240", "icc_cds_like", "uncleared_margin"]
)
def test_a_regime_can_margin_the_whole_book(ruleset):
    pool = pool_of(*((product, 1000.0) for product in BOOK))
    kinds = {product.kind for product in BOOK}
    silo = Silo("counterparty", ruleset, kinds=kinds, account_classes=(AccountClass.PROPRIETARY,))
    report = margin(inputs_of(pool).portfolio, market_with(), evolve(SILOED, silos=(silo,)))
    assert Report.from_json(report.to_json()) == report
    assert report.partial == (ruleset != "schedule_im")
    assert bool(report.total()) == (ruleset != "uncleared_margin")
    assert report.total() is None or report.total() > 0, "never a silent zero"
