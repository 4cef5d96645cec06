"""Laws of portfolio margin: what holds for every book of stock, funds, security futures and options."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.class_groups import Grid, class_groups
from crossmargin.products import ListedOption, Stock
from crossmargin.underlyings import Underlying
from tests.properties.class_books import (
    OPTIONS,
    SHARES,
    SPOTS,
    SPY,
    SSO,
    asked,
    holdings,
    inputs_of,
    market_of,
    positions_of,
    priced,
)
from tests.properties.strategies import few

NO_MINIMUM = {"minimum_per_unit": 0.0}
CLASS = tuple(each for each in (*OPTIONS, *SHARES) if getattr(each, "underlying", each.symbol) in ("SPX", "SPY", "SSO"))
shares_of = st.floats(0.0, 1.0)


def close(amount):
    return pytest.approx(amount, rel=1e-9, abs=1e-4)


def minimum_of(held):
    """The minimum of a book, the slow way: series by series after netting."""
    net = {}
    for each, count in held:
        if isinstance(each, ListedOption):
            net.setdefault(each, []).append(count)
    return sum(abs(math.fsum(counts)) for counts in net.values()) * 100.0 * 0.375


@given(holdings())
def test_never_less_than_the_minimum(held):
    line = asked(held)
    assert line.value >= minimum_of(held) - 1e-6
    assert sum(found.value for found in line.walk() if found.name == "contracts times multiplier") * 0.375 == close(
        minimum_of(held)
    )


@few
@given(holdings(CLASS), holdings(CLASS))
def test_one_class_together_asks_no_more_than_apart(one, other):
    together, apart = (
        asked([*one, *other], overlaid=NO_MINIMUM).value,
        sum(asked(book, overlaid=NO_MINIMUM).value for book in (one, other)),
    )
    assert together <= apart * (1 + 1e-9) + 1e-4


@few
@given(holdings(), holdings())
def test_whole_books_together_ask_no_more_than_apart(one, other):
    assert asked([*one, *other]).value <= (asked(one).value + asked(other).value) * (1 + 1e-9) + 1e-4


@given(holdings(), st.sampled_from([0.5, 2.0, 16.0, 1e6]))
def test_it_scales_with_the_contracts(held, scale):
    assert asked([(each, scale * count) for each, count in held]).value == pytest.approx(
        scale * asked(held).value, rel=1e-9, abs=1e-4 * scale
    )


@given(holdings(), st.randoms(use_true_random=False))
def test_order_and_lots_do_not_matter(held, random):
    lots = [(each, part) for each, count in held for part in (0.25 * count, 0.75 * count)]
    random.shuffle(lots)
    assert asked(lots).value == close(asked(held).value)


@given(holdings(tuple(each for each in (*OPTIONS, *SHARES) if getattr(each, "underlying", each.symbol) == "IBM")))
def test_names_do_not_matter(held):
    def renamed(each):
        return Stock("ZZZ") if isinstance(each, Stock) else evolve(each, underlying="ZZZ")

    known = {"ZZZ": Underlying("ZZZ", spot=SPOTS["IBM"])}
    prices = {renamed(each): priced().prices[each.symbol] for each, _ in held if isinstance(each, ListedOption)}
    line = asked([(renamed(each), count) for each, count in held], market_of(prices, known=known))
    assert line.value == close(asked(held).value)


@few
@given(holdings(), shares_of, shares_of)
def test_more_offset_never_raises_and_never_goes_below_zero(held, one, other):
    kinds = ["broad_index_high_cap", "broad_index", "equity"]

    def at(share):
        row = {"group": "all", "classes": [], "kinds": kinds, "offset": share}
        return asked(held, overlaid={**NO_MINIMUM, "product_groups": [row]})

    less, more = (at(share) for share in sorted((one, other)))
    assert -1e-4 <= more.value <= less.value + 1e-4
    gross, credit, net = (beside.value for beside in more.memo)
    assert credit <= 1e-4
    assert gross + credit == close(net)
    assert gross == close(less.memo[0].value)


@given(holdings())
def test_the_credit_is_what_offsets_save(held):
    line = asked(held)
    gross, credit, net = (beside.value for beside in line.memo)
    assert net == close(line.value)
    assert 0 <= net <= gross + 1e-4
    classes = [found for found in line.walk() if found.name.startswith("class ")]
    assert gross == close(sum(found.value for found in classes))
    assert credit == close(net - gross)


@few
@given(
    st.sampled_from([each for each in OPTIONS if each.right == "put"]),
    st.integers(1, 30),
    st.floats(0.0, 1.0),
)
def test_a_put_that_protects_a_long_position_never_raises(put, contracts, part):
    share = SPY if put.underlying in ("SPX", "SPY") else Stock("IBM" if put.underlying == "NDX" else put.underlying)
    if put.underlying == "NDX":
        return
    units = 100.0 * contracts * SPOTS[put.underlying] / SPOTS[share.ticker]
    alone = asked([(share, units)], overlaid=NO_MINIMUM).value
    assert asked([(share, units), (put, part * contracts)], overlaid=NO_MINIMUM).value <= alone + 1e-4


@few
@given(st.sampled_from(OPTIONS), st.integers(1, 30), st.floats(0.0, 1.0), st.integers(1, 2))
def test_a_long_option_further_out_of_the_money_never_raises_a_short_one(short, contracts, part, steps):
    same = [each for each in OPTIONS if (each.underlying, each.expiry) == (short.underlying, short.expiry)]
    out = 1.0 if short.right == "call" else -1.0
    further = [each for each in same if each.right == short.right and out * (each.strike - short.strike) > 0]
    for long in further[:steps]:
        book = [(short, -contracts), (long, part * contracts)]
        alone = asked(book[:1], overlaid=NO_MINIMUM).value
        assert asked(book, overlaid=NO_MINIMUM).value <= alone + 1e-4


@given(st.integers(-500, 500).filter(bool))
def test_a_leveraged_fund_is_so_much_of_the_plain_one(count):
    plain = 2.0 * count * SPOTS["SSO"] / SPOTS["SPY"]
    assert asked([(SSO, count)]).value == close(asked([(SPY, plain)]).value)


@given(holdings())
def test_parts_add_up_and_nothing_is_lost(held):
    inputs = inputs_of(positions_of(held))
    ranges = [{"kind": kind, "down": 0.1, "up": 0.1} for kind in ("equity", "broad_index", "broad_index_high_cap")]
    for group in class_groups(inputs.portfolio.positions, inputs, Grid(ranges=ranges, points_each_side=5)):
        rows = np.array([row for _, row in group.parts]).reshape(-1, 10)
        assert rows.sum(axis=0) == pytest.approx(group.pnl, rel=1e-9, abs=1e-4)
        assert group.gaps == ()
        assert group.long_market_value >= 0
        assert group.short_market_value >= 0


@few
@given(holdings(), st.floats(1.0, 2.0))
def test_a_wider_grid_reaches_further_for_stock(held, factor):
    only = [(each, count) for each, count in held if each in SHARES]
    wide = [{"kind": kind, "down": 0.15 * factor, "up": 0.15 * factor} for kind in ("equity",)]
    assert asked(only, overlaid={"equity_ranges": wide}).value >= asked(only).value - 1e-4
