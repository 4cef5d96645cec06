"""The table of initial margin: figures worked by hand from 12 CFR 1221 Appendix A, and the bounds of its formula."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError, NotInForce
from crossmargin.products import Stock
from crossmargin.registry import rules
from crossmargin.rulesets.schedule_im import (
    ScheduleTrade,
    gross_margin,
    net_to_gross_ratio,
    rate,
    requirement,
    scenarios,
    schedule_margin,
)
from tests.properties.swap_books import (
    ACME,
    BOND_SWAP,
    IBM_FORWARD,
    IBM_SWAP,
    IG,
    NOTE_SWAP,
    inputs_of,
    market_with,
    pool_of,
)

RULES = rules("schedule_im")
P = RULES.at(date(2026, 6, 30))


@pytest.mark.parametrize(
    ("product_class", "years", "share"),
    [
        ("credit", 0, 0.02),
        ("credit", 1.999, 0.02),
        ("credit", 2, 0.05),
        ("credit", 5, 0.10),
        ("credit", 40, 0.10),
        ("interest_rate", 1, 0.01),
        ("interest_rate", 4.99, 0.02),
        ("interest_rate", 5, 0.04),
        ("cross_currency", 3, 0.02),
        ("foreign_exchange", 9, 0.06),
        ("equity", 0, 0.15),
        ("commodity", 3, 0.15),
        ("other", 3, 0.15),
    ],
)
def test_rates(product_class, years, share):
    assert rate(product_class, years, P) == share


# gross 1e6 x (2 % + 10 % + 15 %) = 270,000
TRADES = [
    ScheduleTrade("credit", 1e6, 1, 30000.0),
    ScheduleTrade("credit", -1e6, 7, -10000.0),
    ScheduleTrade("equity", 1e6, 1, 10000.0),
]


def test_by_hand_what_is_collected_and_posted():
    assert gross_margin(TRADES, P).value == pytest.approx(270000)
    # collected: net 30,000 of 40,000 gross; posted: values of the counterparty, net nothing of 10,000
    assert net_to_gross_ratio(TRADES, P).value == pytest.approx(0.75)
    assert net_to_gross_ratio(TRADES, P, side="post").value == 0.0
    assert schedule_margin(TRADES, P).value == pytest.approx(270000 * (0.4 + 0.6 * 0.75))
    assert schedule_margin(TRADES, P, side="post").value == pytest.approx(270000 * 0.4)


@pytest.mark.parametrize("values", [(), (0.0,), (-5.0, -7.0)])
def test_without_replacement_cost_the_ratio_is_one(values):
    trades = [ScheduleTrade("other", 100.0, 1, value) for value in values]
    assert net_to_gross_ratio(trades, P).value == 1.0
    assert schedule_margin(trades, P).value == pytest.approx(15.0 * len(values))


def test_the_figure_tells_what_it_read():
    line = schedule_margin(TRADES, P)
    assert {read.name for read in line.all_reads()} == {"gross_rates", "gross_share", "net_share"}
    assert {read.grade for read in line.all_reads()} == {"rule"}


def test_before_the_rule_there_is_none():
    with pytest.raises(NotInForce):
        schedule_margin(TRADES, RULES.at(date(2016, 3, 31)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: schedule_margin([ScheduleTrade("credits", 1.0, 1)], P), "Did you mean 'credit'"),
        (lambda: schedule_margin([ScheduleTrade("credit", float("nan"), -1, float("inf"))], P), "3 problems|as given"),
        (lambda: net_to_gross_ratio([], P, side="both"), "unknown side"),
    ],
)
def test_bad_trades_are_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()


# --------------------------------------------------------------------------------------------------------------- pools


def test_a_pool_by_hand():
    pool = pool_of((IBM_SWAP, 1000.0), (IBM_SWAP, -400.0), (BOND_SWAP, 1e6))
    line = requirement(pool, inputs_of(pool), P)
    # 15 % of 1,400 shares at 250, and 2 % of bonds at 103; the counterparty's values are -10,000, +4,000, -30,000
    gross = 0.15 * 1400 * 250 + 0.02 * 1.03e6
    assert line.value == pytest.approx(gross * 0.4)
    assert not line.partial
    assert scenarios(P) == ()


def test_all_kinds_have_a_class_and_the_rest_is_shown():
    held = [(product, 1000.0) for product in (ACME, IG, IBM_FORWARD, NOTE_SWAP)]
    pool = pool_of(*held, (Stock("IBM"), 5.0))
    line = requirement(pool, inputs_of(pool), P)
    assert [part.name for part in line.walk() if part.how == "not_modelled"] == ["p4: IBM"]
    assert line.value > 0


def test_what_the_market_lacks_is_shown():
    pool = pool_of((ACME, 1e6), (IBM_SWAP, 10.0), (BOND_SWAP, 1.0))
    line = requirement(pool, inputs_of(pool, market_with(without={ACME, "IBM", BOND_SWAP.bond})), P)
    assert line.amount is None
    assert len([part for part in line.walk() if part.how == "not_modelled"]) == 3


def test_an_empty_pool_asks_nothing():
    pool = pool_of()
    assert requirement(pool, inputs_of(pool), P).value == 0.0


# ---------------------------------------------------------------------------------------------------------------- laws

amounts = st.floats(-1e9, 1e9)
trades = st.lists(
    st.builds(
        ScheduleTrade, st.sampled_from(["credit", "equity", "interest_rate"]), amounts, st.floats(0, 50), amounts
    ),
    max_size=8,
)


@given(trades, st.sampled_from(["collect", "post"]))
def test_the_ratio_lies_between_0_and_1_and_bounds_the_margin(held, side):
    ratio, gross = net_to_gross_ratio(held, P, side=side).value, gross_margin(held, P).value
    assert 0.0 <= ratio <= 1.0
    asked = schedule_margin(held, P, side=side).value
    assert 0.4 * gross <= asked * (1 + 1e-12)
    assert asked <= gross * (1 + 1e-12)


@given(trades)
def test_what_one_side_collects_the_other_posts(held):
    mirrored = [ScheduleTrade(t.product_class, -t.notional, t.years, -t.value) for t in held]
    assert schedule_margin(held, P).value == pytest.approx(schedule_margin(mirrored, P, side="post").value)


@given(trades, trades)
def test_gross_margin_adds_up(some, others):
    both = gross_margin([*some, *others], P).value
    assert both == pytest.approx(gross_margin(some, P).value + gross_margin(others, P).value)


@given(trades, st.sampled_from([0.0, 0.5, 2.0, 1e6]))
def test_twice_the_book_twice_the_margin(held, times):
    larger = [ScheduleTrade(t.product_class, times * t.notional, t.years, times * t.value) for t in held]
    asked = schedule_margin(larger, P).value
    if times:
        assert asked == pytest.approx(times * schedule_margin(held, P).value, rel=1e-9, abs=1e-6)
    else:
        assert asked == 0.0
