"""Charges by size: net holdings, rows of tables, factors to the bit of the formula for one of them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import prisma
from crossmargin.errors import InputError
from crossmargin.parameters import DatedValue, Parameter, Rules, Source
from crossmargin.portfolio import Position
from crossmargin.products import IndexFuture, Repo, TreasuryBill, TreasuryNote
from crossmargin.size_charges import Holding, _shares, net_holdings, rate_floor, size_charges

AS_OF = date(2026, 6, 30)
ES, NOTE, BILL = IndexFuture("ES", 202609), TreasuryNote(0.04, date(2031, 6, 30)), TreasuryBill(date(2026, 9, 24))
DEPTH = ({"kinds": ("index_future",), "contracts": ("ES",), "half_spread": 6.0, "daily_volume": 1_000},)
IMPACT = ({"from_pct": 0, "to_pct": 10, "factor_from": 0, "factor_to": 1},)


def reader(**values):
    held = {name: Parameter(name, "1", "", (DatedValue(AS_OF, each, "x", "assumed"),)) for name, each in values.items()}
    return Rules("toy", parameters=held, sources={"x": Source("these tests")}).at(AS_OF)


def positions(*lines):
    return [Position(f"p{n}", "A", product, quantity) for n, (product, quantity) in enumerate(lines)]


def charged(held, p, losses=(), loss=0.0):
    asked = []

    def own(some):
        asked.append([each.symbol for each in some])
        return [losses[each.symbol] for each in some]

    return size_charges(held, own, p, portfolio_loss=loss, as_of=AS_OF), asked


def test_holdings_net_and_stand_by_symbol():
    found = net_holdings(positions((NOTE, 5.0), (ES, 0.5), (ES, 0.25), (BILL, 1.0), (NOTE, -7.0), (BILL, -1.0)))
    expected = {ES.symbol: 0.75, NOTE.symbol: -2.0}
    assert [(each.symbol, each.net) for each in found] == sorted(expected.items())
    assert [each.size for each in found] == [abs(each.net) for each in found]
    assert net_holdings([]) == ()


ends = st.lists(st.floats(0.5, 500.0), min_size=1, max_size=5, unique=True).map(sorted)


@given(ends, st.lists(st.floats(0.0, 10.0), min_size=6, max_size=6), st.lists(st.floats(0.0, 700.0), max_size=20))
def test_factors_are_to_the_bit_those_of_one_position(ends, factors, sizes):
    table = [
        {"from_pct": begin, "to_pct": end, "factor_from": factors[n], "factor_to": factors[n + 1]}
        for n, (begin, end) in enumerate(zip([0.0, *ends], ends, strict=False))
    ]
    sizes += ends  # the borders
    for size, found in zip(sizes, _shares(sizes, table), strict=True):
        assert size > ends[-1] or found == prisma.liquidity_factor(size, table)


def test_a_table_that_leaves_a_gap_is_refused_and_only_where_something_is_held():
    torn = (*IMPACT, {"from_pct": 11, "to_pct": 12, "factor_from": 0, "factor_to": 1})
    p = reader(market_depth=DEPTH, impact_factors=torn)
    with pytest.raises(InputError, match="does not follow"):
        charged([Holding(ES, "ES", 1.0)], p, {"ES": 1.0})
    assert [line.value for line in charged([], reader(market_depth=DEPTH, impact_factors=torn))[0]] == [0.0]


@pytest.mark.parametrize(
    ("tables", "asked"),
    [
        ({}, []),
        ({"market_depth": DEPTH}, []),
        ({"impact_factors": IMPACT}, []),
        ({"market_depth": DEPTH, "impact_factors": IMPACT}, [["ES"]]),
        ({"market_depth": DEPTH, "concentration_factors": IMPACT, "alpha_floor": 0.1}, [["ES"]]),
        ({"market_depth": DEPTH, "impact_factors": IMPACT, "alpha_floor": 0.1}, [["ES", "NOTE"]]),
    ],
)
def test_own_losses_are_asked_for_once_and_only_where_they_are_used(tables, asked):
    """A share for diversification looks at every position, the factors at those with a row."""
    held = [Holding(ES, "ES", 50.0), Holding(NOTE, "NOTE", -1e6)]
    charges, found = charged(held, reader(**tables), {"ES": 1_000.0, "NOTE": 3_000.0}, loss=2_000.0)
    assert found == asked
    for line in charges:
        assert line.partial  # the note has no row
        assert [each.name for each in line.walk() if each.how == "not_modelled"] == ["NOTE"]


def test_the_figures_by_hand():
    """50 contracts are 5 % of a day: half of the factor at 10 %; losses of 4,000 pool to 2,000, half of them."""
    tables = {"market_depth": DEPTH, "impact_factors": IMPACT, "concentration_factors": IMPACT, "alpha_floor": 0.1}
    held = [Holding(ES, "ES", 50.0), Holding(NOTE, "NOTE", -1e6)]
    (liquidity, concentration), _ = charged(held, reader(**tables), {"ES": 1_000.0, "NOTE": 3_000.0}, loss=2_000.0)
    assert liquidity.value == 0.5 * (50 * 6.0 + 0.5 * 1_000.0)
    assert concentration.value == 500.0
    assert {read.name for read in liquidity.reads} == set(tables)


def test_a_floor_rates_repo_by_its_collateral():
    rates = ({"kinds": ("treasury_note", "repo"), "from_years": 4.0, "to_years": 6.0, "rate": 0.01},)
    repo = Repo(NOTE, date(2026, 7, 1), date(2026, 7, 8), 0.04, 1.0)
    held = net_holdings(positions((NOTE, -100.0), (repo, 50.0), (BILL, 10.0)))
    line = rate_floor(held, AS_OF, reader(floor_rates=rates))
    assert line.value == pytest.approx(1.5)
    assert [part.name for part in line.parts if part.amount is None] == [BILL.symbol]
