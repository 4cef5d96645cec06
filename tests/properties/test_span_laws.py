"""Laws of SPAN: netting, scanning, spreads and credits hold for every book, whatever its order or names."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attrs import evolve
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossmargin.span import (
    CalendarSpread,
    CombinedCommodity,
    Contract,
    Holding,
    InterSpread,
    Leg,
    OptionTerms,
    ScanRanges,
    ScanSpread,
    SpanPortfolio,
    SpotMonth,
    Tier,
    futures_array,
    gross_scan_risk,
    option_array,
    scan,
    scan_risks,
    scenario_grid,
    span_requirement,
)
from crossmargin.span.arrays import rounded
from crossmargin.span.scanning import net_delta, pooled_losses
from crossmargin.span.spreads import DeltaLedger, form_calendar_spreads, merged_losses
from tests.reference import span_twin

GRID = scenario_grid(3, 3.0, 0.33)
WEIGHTS = [0.037, 0.111, 0.217, 0.27, 0.217, 0.111, 0.037]
MONTHS = (202603, 202606, 202609, 202612)
CODES = ("AA", "BB", "CC")
ZEROS = [0.0] * 16

losses = st.lists(st.integers(-5000, 5000).map(float), min_size=16, max_size=16)
seeded = st.integers(0, 10**6).map(lambda seed: np.random.default_rng(seed).integers(-5000, 5000, 16).tolist())
deltas = st.integers(-100, 100).map(lambda hundredths: hundredths / 100)
counts = st.integers(-20, 20).map(float)


@st.composite
def contracts(draw, code: str = "X"):
    right = draw(st.sampled_from([None, "call", "put"]))
    value = draw(st.integers(0, 4000)) / 1.0 if right else None
    month, array, delta = draw(st.sampled_from(MONTHS)), draw(seeded), draw(deltas)
    return Contract(code, month, array, delta, right=right, option_value=value)


@st.composite
def calendar_spreads(draw, on):
    names = draw(st.lists(st.sampled_from(on), min_size=2, max_size=3))
    sides = ["A", *draw(st.lists(st.sampled_from("AB"), min_size=len(names) - 1, max_size=len(names) - 1))]
    legs = [Leg(name, draw(st.integers(1, 3)), side) for name, side in zip(names, sides, strict=True)]
    return CalendarSpread(draw(st.integers(1, 4)), draw(st.integers(0, 500)), legs)


@st.composite
def commodities(draw, code: str = "AA"):
    held = [Holding(draw(contracts(f"{code}{n}")), draw(counts)) for n in range(draw(st.integers(0, 4)))]
    tiers = [Tier(1, 202603, 202606), Tier(2, 202606, 202609), Tier(3, 202612, 202612)]
    return CombinedCommodity(
        code=code,
        holdings=held,
        scan_tiers=draw(st.sampled_from([(), (Tier(1, 202603, 202606), Tier(2, 202609, 202612))])),
        tiers=tiers,
        series_spreads=draw(st.lists(calendar_spreads(MONTHS), max_size=2)),
        tier_spreads=draw(st.lists(calendar_spreads((1, 2, 3)), max_size=2)),
        spot_months=draw(st.sampled_from([(), (SpotMonth(202603, 50, 300),)])),
        short_option_rate=draw(st.integers(0, 200)),
        short_option_method=draw(st.sampled_from(["sum", "max"])),
        limit_option_value=draw(st.booleans()),
    )


@st.composite
def inter_spreads(draw):
    pair = draw(st.permutations(CODES))[:2]
    legs = [Leg(pair[0], draw(st.integers(1, 3)), "A"), Leg(pair[1], draw(st.integers(1, 3)), "B")]
    return InterSpread(draw(st.integers(1, 3)), draw(st.integers(0, 100)), legs)


@st.composite
def portfolios(draw):
    return SpanPortfolio(
        commodities=[draw(commodities(code)) for code in CODES],
        inter_spreads=draw(st.lists(inter_spreads(), max_size=3)),
    )


brief = settings(max_examples=max(1, settings().max_examples // 2))  # whole requirements, several times over


def owed(portfolio: SpanPortfolio) -> tuple[float, float]:
    result = span_requirement(portfolio)
    return result.maintenance.value, result.initial.value


def with_more(portfolio: SpanPortfolio, *holdings: Holding) -> SpanPortfolio:
    first, *rest = portfolio.commodities
    return evolve(portfolio, commodities=[evolve(first, holdings=[*first.holdings, *holdings]), *rest])


# ------------------------------------------------------------------------------------------------------ the book


@brief
@given(portfolios(), counts)
def test_a_contract_with_a_zero_array_adds_nothing(portfolio, quantity):
    nothing = Contract("nothing", 202609, ZEROS, 0.0)
    assert owed(with_more(portfolio, Holding(nothing, quantity))) == owed(portfolio)


@brief
@given(portfolios(), contracts("both"), st.integers(1, 10**9))
def test_long_and_short_of_one_contract_cancel(portfolio, contract, quantity):
    both = Holding(contract, quantity), Holding(contract, -quantity)
    assert owed(with_more(portfolio, *both)) == owed(portfolio)


@brief
@given(portfolios(), st.data())
def test_a_holding_in_parts_is_the_same_holding(portfolio, data):
    first, *rest = portfolio.commodities
    assume(first.holdings)
    whole = first.holdings[0]
    part = data.draw(counts)
    parts = (Holding(whole.contract, part), Holding(whole.contract, whole.quantity - part), *first.holdings[1:])
    split = evolve(portfolio, commodities=[evolve(first, holdings=parts), *rest])
    assert owed(split) == owed(portfolio)


@brief
@given(portfolios(), st.randoms())
def test_the_order_of_a_book_does_not_matter(portfolio, random):
    shuffled = [
        evolve(each, holdings=random.sample(each.holdings, len(each.holdings))) for each in portfolio.commodities
    ]
    random.shuffle(shuffled)
    assert owed(evolve(portfolio, commodities=shuffled)) == pytest.approx(owed(portfolio), rel=1e-12, abs=1e-9)


@brief
@given(portfolios())
def test_names_do_not_matter(portfolio):
    new = {code: f"other {code}" for code in CODES}
    renamed = SpanPortfolio(
        commodities=[evolve(each, code=new[each.code]) for each in portfolio.commodities],
        inter_spreads=[
            evolve(spread, legs=[evolve(leg, on=new[leg.on]) for leg in spread.legs])
            for spread in portfolio.inter_spreads
        ],
    )
    assert owed(renamed) == owed(portfolio)


@brief
@given(portfolios(), st.integers(2, 1000))
def test_twice_the_book_owes_twice_as_much(portfolio, factor):
    bigger = evolve(
        portfolio,
        commodities=[
            evolve(each, holdings=[Holding(held.contract, factor * held.quantity) for held in each.holdings])
            for each in portfolio.commodities
        ],
    )
    assert owed(bigger) == pytest.approx([factor * amount for amount in owed(portfolio)], rel=1e-9, abs=1e-6)


# --------------------------------------------------------------------------------------------------------- scan risk

books = st.lists(st.tuples(losses, counts), min_size=1, max_size=6)


def scanned(book) -> float:
    return scan(pooled_losses([array for array, _ in book], [held for _, held in book])).risk.scan_risk


@given(books, books)
def test_scan_risk_is_never_negative_and_never_more_together(one, other):
    assert 0 <= scanned([*one, *other]) <= scanned(one) + scanned(other) + 1e-9


@given(books)
def test_gross_is_never_less_than_net(book):
    arrays, held = [array for array, _ in book], np.array([quantity for _, quantity in book])
    assert gross_scan_risk(arrays, held.clip(0), (-held).clip(0)) >= scanned(book) - 1e-9


@brief
@given(portfolios())
def test_a_gross_account_is_scanned_above_a_net_one(portfolio):
    plain = evolve(portfolio, inter_spreads=())
    net, gross = span_requirement(plain), span_requirement(evolve(plain, gross=True))
    for one, other in zip(net.commodities, gross.commodities, strict=True):
        assert other.scan.scan_risk >= one.scan.scan_risk - 1e-9
        assert other.charges.intra_commodity_charge.value == 0


@given(st.data(), st.integers(1, 6), st.integers(0, 5))
def test_many_accounts_at_once_are_each_scanned_as_alone(data, n_contracts, n_accounts):
    arrays = data.draw(st.lists(seeded, min_size=n_contracts, max_size=n_contracts))
    groups = data.draw(st.lists(st.integers(-3, 3), min_size=n_contracts, max_size=n_contracts))
    sizes = data.draw(st.lists(st.integers(0, 5), min_size=n_accounts, max_size=n_accounts))
    start = [sum(sizes[:account]) for account in range(n_accounts + 1)]
    rows = data.draw(st.lists(st.integers(0, n_contracts - 1), min_size=start[-1], max_size=start[-1]))
    held = data.draw(st.lists(counts, min_size=start[-1], max_size=start[-1]))
    rows, held = np.array(rows, dtype=int), np.array(held)
    found = scan_risks(arrays, account_start=start, contract=rows, quantity=held, commodity=groups)
    assert found.tolist() == span_twin.scan_risks(arrays, start, rows, held, commodity=groups)  # whole numbers: exact


# ----------------------------------------------------------------------------------------------------------- spreads


@given(st.fixed_dictionaries(dict.fromkeys(MONTHS, deltas)), calendar_spreads((1, 2, 3, 4)), st.data())
def test_as_many_calendar_spreads_form_as_the_deltas_allow(held, spread, data):
    bounds = st.tuples(st.sampled_from(MONTHS), st.sampled_from(MONTHS)).map(sorted)
    tiers = [Tier(number, *data.draw(bounds)) for number in (1, 2, 3, 4)]
    months = {tier.number: tuple(month for month in MONTHS if tier.contains(month)) for tier in tiers}
    ledger, expected = DeltaLedger(held), 0.0
    legs = [(months[leg.on], leg.ratio, 1 if leg.side == "A" else -1) for leg in spread.legs]
    found = form_calendar_spreads(ledger, [spread], tiers)[0].count
    first = span_twin.most_spreads(held, legs, 1)
    if first < 1e-9 or span_twin.most_spreads(held, legs, -1) < 1e-9:  # else the second pass hangs on the first
        expected = first + span_twin.most_spreads(held, legs, -1)
        assert found == pytest.approx(expected, abs=1e-6)
    assert_used(held, ledger, found * sum(leg.ratio for leg in spread.legs))


def assert_used(held, ledger, consumed) -> None:
    """No delta changes its side or grows, and what is gone is what the spreads took."""
    for month, delta in held.items():
        left = ledger.remaining[month]
        assert left * delta >= 0
        assert abs(left) <= abs(delta) + 1e-12
    assert math.fsum(ledger.consumed(month) for month in held) == pytest.approx(consumed, abs=1e-9)


@brief
@given(portfolios())
def test_credits_never_exceed_the_price_risk_of_their_leg(portfolio):
    for found in span_requirement(portfolio).commodities:
        credit = -found.charges.inter_commodity_credit.value
        assert 0 <= credit <= max(0.0, found.scan.futures_price_risk) * (1 + 1e-9) + 1e-9


@brief
@given(portfolios())
def test_credits_only_lower_the_requirement(portfolio):
    without = owed(evolve(portfolio, inter_spreads=()))
    assert all(less <= more + 1e-6 for less, more in zip(owed(portfolio), without, strict=True))


methods = st.sampled_from([{"method": "flat"}, {"method": "price_risk"}, {"method": "per_month", "months": 3}])


@brief
@given(portfolios(), st.integers(0, 300), st.data())
def test_flat_credits_are_given_out_whole(portfolio, amount, data):
    more = data.draw(methods.filter(lambda more: more["method"] != "price_risk"))
    spreads = [evolve(each, credit_rate_pct=amount, **more) for each in portfolio.inter_spreads]
    plain, told = span_requirement(portfolio), span_requirement(evolve(portfolio, inter_spreads=spreads))
    assert [each.count for each in told.spreads_formed] == [each.count for each in plain.spreads_formed]
    credits = [found.charges.inter_commodity_credit.value for found in told.commodities]
    assert all(credit <= 0 for credit in credits)
    due = amount * more.get("months", 1) * math.fsum(each.count for each in told.spreads_formed)
    assert -math.fsum(credits) == pytest.approx(due, rel=1e-9, abs=1e-9)


@brief
@given(portfolios(), methods)
def test_a_calendar_charge_never_pays_and_twice_the_rate_is_twice_the_charge(portfolio, more):
    found = []
    for factor in (1, 2):
        told = [
            evolve(
                each,
                series_spreads=[evolve(s, charge=factor * s.charge, **more) for s in each.series_spreads],
                tier_spreads=[evolve(s, charge=factor * s.charge, **more) for s in each.tier_spreads],
            )
            for each in portfolio.commodities
        ]
        risks = span_requirement(evolve(portfolio, commodities=told)).commodities
        found.append([each.charges.intra_commodity_charge.value for each in risks])
    assert min(found[0], default=0.0) >= 0
    assert found[1] == pytest.approx([2 * charge for charge in found[0]])


@given(st.lists(losses, min_size=1, max_size=4), st.integers(0, 100))
def test_a_scanning_spread_lies_between_full_netting_and_none(arrays, share):
    risk = scan(merged_losses(arrays, share)).risk.scan_risk
    apart = math.fsum(scan(array).risk.scan_risk for array in arrays)
    assert scanned([(array, 1.0) for array in arrays]) - 1e-9 <= risk <= apart + 1e-9


@brief
@given(portfolios(), st.integers(0, 100))
def test_a_scanning_spread_never_costs(portfolio, share):
    plain = evolve(portfolio, inter_spreads=())
    spread = ScanSpread(1, share, [Leg(code, 1, "A", required=False) for code in CODES], "ALL")
    merged = evolve(plain, scan_spreads=[spread])
    before, after = span_requirement(plain), span_requirement(merged)
    risks = [sum(found.charges.scan_risk.value for found in result.commodities) for result in (before, after)]
    assert risks[1] <= risks[0] + 1e-6


# ------------------------------------------------------------------------------------------ minimum, value, factors


@brief
@given(portfolios())
def test_the_short_option_minimum_is_a_floor(portfolio):
    for found in span_requirement(portfolio).commodities:
        assert found.risk.value >= found.charges.short_option_minimum.value >= 0


@brief
@given(portfolios())
def test_option_value_that_may_not_leave_its_commodity_pays_for_less(portfolio):
    free, bound = (
        evolve(portfolio, commodities=[evolve(each, limit_option_value=limit) for each in portfolio.commodities])
        for limit in (False, True)
    )
    assert all(more >= less - 1e-6 for more, less in zip(owed(bound), owed(free), strict=True))


@brief
@given(portfolios(), st.floats(1.0, 2.0))
def test_a_speculator_owes_no_less_than_a_member(portfolio, ratio):
    ratios = {"member": 1.0, "speculator": ratio}
    told = evolve(portfolio, commodities=[evolve(each, initial_ratios=ratios) for each in portfolio.commodities])
    member, speculator = owed(told), owed(evolve(told, account_type="speculator"))
    assert speculator[0] == member[0]
    assert speculator[1] >= member[1] == pytest.approx(member[0])


@brief
@given(portfolios())
def test_a_requirement_is_never_negative_and_excess_only_where_none_is_due(portfolio):
    one_node = evolve(portfolio, commodities=[evolve(each, limit_option_value=False) for each in portfolio.commodities])
    result = span_requirement(one_node)
    assert result.maintenance.value >= 0
    assert result.excess_net_option_value == 0 or result.maintenance.value == 0


# ------------------------------------------------------------------------------------------------------------ arrays

options = st.builds(
    OptionTerms,
    futures_price=st.floats(50, 150),
    strike=st.floats(40, 160),
    right=st.sampled_from(["call", "put"]),
    volatility=st.floats(0, 1),
    time_to_expiry_years=st.floats(0, 2),
    interest_rate=st.floats(-0.01, 0.1),
    contract_value_factor=st.sampled_from([1.0, 50.0, 1000.0]),
)
ranges = st.builds(
    ScanRanges,
    price_points=st.floats(0, 15),
    volatility=st.floats(0, 0.9),
    volatility_type=st.sampled_from(["relative", "absolute"]),
    look_ahead_years=st.sampled_from([0.0, 1 / 365, 0.1]),
)


@given(options, ranges)
def test_a_long_option_loses_no_more_than_its_value(option, moved):
    found = option_array(option, moved, GRID, delta_weights=WEIGHTS)
    value = found.value_points * option.contract_value_factor
    assert found.loss_array.max() <= value * (1 + 1e-9) + 1e-6
    assert 0 <= abs(found.composite_delta) <= 1.03  # negative rates discount at more than one
    assert (found.composite_delta >= 0) == (option.right == "call") or found.composite_delta == 0


@given(options, ranges)
def test_a_call_less_a_put_is_the_future_without_interest(option, moved):
    option = evolve(option, interest_rate=0.0)
    call, put = (
        option_array(evolve(option, right=right), moved, GRID, delta_weights=WEIGHTS) for right in ("call", "put")
    )
    future = futures_array(moved.price_points * option.contract_value_factor, GRID)
    assert call.loss_array - put.loss_array == pytest.approx(future, abs=1e-6)
    if option.time_to_expiry_years > moved.look_ahead_years:
        assert call.composite_delta - put.composite_delta == pytest.approx(1.0)


@given(st.floats(0, 1e9), st.floats(-1e6, 1e6), st.sampled_from([0.01, 1, 5, 25]))
def test_rounding_keeps_the_sign_and_moves_half_an_increment_at_most(price_range, carry, increment):
    exact = futures_array(price_range, GRID, carry_loss=carry)
    whole = futures_array(price_range, GRID, carry_loss=carry, rounding_increment=increment)
    assert (whole * exact >= 0).all()
    assert np.abs(whole - exact).max() <= increment * 0.5000001 + np.abs(exact).max() * 1e-12
    assert rounded(-exact, increment) == pytest.approx(-whole)


@given(st.lists(st.floats(-1e6, 1e6), max_size=8))
def test_deltas_and_their_opposites_net_to_exactly_nothing(found):
    assert net_delta([*found, *(-delta for delta in reversed(found))]) == 0
