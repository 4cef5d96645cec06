"""Laws of strategy margin for pools: no cut is cheaper, no order or route matters, protection never costs more."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import count

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import AccountClass
from crossmargin.methodology import Inputs
from crossmargin.pairing import Contracts
from crossmargin.pairing.pools import Quotes, books_of, covered
from crossmargin.portfolio import Pool, Position
from crossmargin.products import ETF, Index, ListedOption, Stock
from crossmargin.registry import rules
from crossmargin.rulesets.finra_strategy import requirement, strategy_margin
from crossmargin.strategy_costs import exposure, maintenance_hedges, maintenance_per_share
from crossmargin.underlyings import Underlying
from tests.properties.strategies import AS_OF, book, few, market
from tests.reference import pairing_twin

RULES = rules("finra_strategy")
IBM, FUND = Stock("IBM"), ETF("FUND", "broad", tracks="IDX")
SPOTS = {"IBM": 100.0, "AAA": 100.0, "ZZZ": 100.0, "FUND": 50.0, "IDX": 100.0}  # 200 shares of the fund cover a call
SECURITIES = {**{t: Stock(t) for t in ("IBM", "AAA", "ZZZ")}, "FUND": FUND, "IDX": Index("IDX", "broad")}
UNDERLYINGS = {t: Underlying(t, spot=spot, security=SECURITIES[t]) for t, spot in SPOTS.items()}
EUROPEAN = {"exercise": "european", "settlement": "cash", "underlying_kind": "index"}
CLOSE = 1e-6


def listed(ticker, right, moneyness, days, settles_at="close"):
    terms = {**EUROPEAN, "settles_at": settles_at} if ticker == "IDX" else {}
    return ListedOption(ticker, right, SPOTS[ticker] * moneyness, AS_OF + timedelta(days=days), **terms)


def price_of(option):
    """A price that depends on the series alone."""
    spot, days = SPOTS[option.underlying], (option.expiry - AS_OF).days
    intrinsic = max(0.0, (spot - option.strike) * (1 if option.right == "call" else -1))
    return round(intrinsic + 0.001 * spot * days**0.5 + (option.strike % 7) / 8, 2)


options = st.builds(
    listed,
    st.sampled_from(["IBM", "FUND", "IDX"]),
    st.sampled_from(["call", "put"]),
    st.sampled_from([0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.3]),
    st.sampled_from([10, 30, 60]),
    st.sampled_from(["close", "close", "open"]),
)
contracts = st.sampled_from([-3.0, -2.0, -1.0, 1.0, 2.0])
shares = st.tuples(st.sampled_from([IBM, FUND]), st.sampled_from([-200.0, 30.0, 100.0, 250.0, 500.0]))
pools = st.lists(st.one_of(st.tuples(options, contracts), shares), max_size=7)


def line_of(held):
    ids = count(1)
    positions = [Position(f"p{next(ids)}", "RETAIL-SEC", *each) for each in held]
    prices = {product.symbol: price_of(product) for product, _ in held if isinstance(product, ListedOption)}
    inputs = Inputs(book(*positions), evolve(market(), underlyings=UNDERLYINGS, prices=prices), {})
    pool = Pool("RETAIL", "DUAL", AccountClass.SEC_15C3_3, "carrying firm", "finra_strategy", "", positions)
    return requirement(pool, inputs, RULES.at(AS_OF))


def figures(held):
    """Maintenance, then every figure beside it."""
    line = line_of(held)
    return [line.value, *(each.value for each in line.memo)] if line.memo else [0.0] * 7


def books(held, **more):
    known = {product: price_of(product) for product, _ in held if isinstance(product, ListedOption)}
    positions = [Position(f"p{place}", "A", *each) for place, each in enumerate(held)]
    return books_of(positions, Quotes(AS_OF, known, SPOTS, SECURITIES), **more)


@few
@given(pools, st.randoms(use_true_random=False))
def test_order_and_route_change_nothing(held, draw):
    parts = [(product, quantity / 2) for product, quantity in held if isinstance(product, Stock | ETF) for _ in "ab"]
    for product, quantity in held:
        if isinstance(product, ListedOption):
            parts += [(product, quantity / abs(quantity))] * int(abs(quantity))
    draw.shuffle(parts)
    assert figures(parts) == pytest.approx(figures(held), rel=1e-9, abs=CLOSE)


@few
@given(pools, st.tuples(options, st.sampled_from([1.0, 2.0])))
def test_a_protective_leg_never_raises_a_requirement(held, leg):
    before, after = figures(held), figures([*held, leg])
    assert after[0] <= before[0] + CLOSE
    assert after[1] <= before[1] + CLOSE


@few
@given(pools, st.integers(2, 4))
def test_the_requirement_grows_no_faster_than_the_pool(held, times):
    one, more = figures(held), figures([(product, times * quantity) for product, quantity in held])
    assert more[0] <= times * one[0] + 1e-5
    assert more[1] <= times * one[1] + 1e-5
    assert more[3] == pytest.approx(times * one[3], abs=1e-5)  # the premium credit


@few
@given(pools)
def test_options_alone_scale_when_split_contracts_save_nothing(held):
    only = [each for each in held if isinstance(each[0], ListedOption)]
    proofs = [strategy_margin(each.book, RULES, AS_OF).initial_pairing.proof for each in books(only)]
    if set(proofs) <= {"duality"}:
        assert figures([(product, 5 * quantity) for product, quantity in only]) == pytest.approx(
            [5 * value for value in figures(only)], rel=1e-7, abs=1e-4
        )


@few
@given(pools)
def test_a_pool_owes_what_its_books_owe_with_shares_shared_at_their_best(held):
    by_name = {each.name: each for each in books(held)}
    index = next((each for each in by_name.values() if each.cover), None)
    ways = [by_name]
    if index is not None:
        fund = by_name[index.cover.fund]
        lots = range(index.cover.most + 1)  # more than are tried: also what leaves free shares idle
        ways = [{**by_name, **{each.name: each for each in covered(fund, index, number)}} for number in lots]
    tried = [[strategy_margin(each.book, RULES, AS_OF) for each in way.values()] for way in ways]
    found = figures(held)
    assert found[0] == pytest.approx(min(sum(m.maintenance.value for m in way) for way in tried), abs=CLOSE)
    assert found[1] == pytest.approx(min(sum(m.initial.value for m in way) for way in tried), abs=CLOSE)


@given(pools)
def test_bounds_hold_and_meet_the_requirements(held):
    maintenance, initial, *_, initial_bound, maintenance_bound = figures(held)
    assert maintenance_bound == pytest.approx(maintenance, rel=1e-7, abs=CLOSE)
    assert initial_bound == pytest.approx(initial, rel=1e-7, abs=CLOSE)


@few
@given(pools)
def test_a_fund_that_may_cover_never_costs_more(held):
    switched = RULES.with_values(fund_covers_index_calls=False, because="test")
    apart = sum(strategy_margin(each.book, switched, AS_OF).maintenance.value for each in books(held))
    assert figures(held)[0] <= apart + CLOSE


@given(pools, st.integers(0, 2**32))
def test_no_random_cut_is_cheaper(held, seed):
    draw, p = random.Random(seed), RULES.at(AS_OF)
    for each in books(held, funds_cover_calls=False):
        cut = strategy_margin(each.book, RULES, AS_OF).maintenance_pairing
        literal = contracts_of(each.book, p)
        assert all(pairing_twin.random_cut(literal, draw) >= cut.value - CLOSE for _ in range(15))


def contracts_of(held, p):
    """The arrays of a book for its maintenance, written down again from the definition."""
    legs = held.netted
    return Contracts(
        [leg.quantity for leg in legs],
        [leg.right == "call" for leg in legs],
        [leg.strike for leg in legs],
        [2 * leg.days_to_expiry + (leg.settles == "close") for leg in legs],
        [100.0 * leg.price for leg in legs],
        [100.0 * exposure(held, leg, p).value for leg in legs],
        multiplier=100.0,
        lots=held.lots,
        lot_cost=100.0 * maintenance_per_share(held, p),
        hedges=maintenance_hedges(held, p),
    )


@few
@given(pools, st.sampled_from(["AAA", "ZZZ"]))
def test_the_name_of_a_ticker_changes_nothing(held, name):
    renamed = [(as_named(product, name), quantity) for product, quantity in held]
    assert figures(renamed) == pytest.approx(figures(held), rel=1e-9, abs=CLOSE)


def as_named(product, name):
    if product == IBM:
        return Stock(name)
    other = isinstance(product, ListedOption) and product.underlying == "IBM"
    return evolve(product, underlying=name) if other else product
