"""The requirement of an account: every step by hand, tiers, merged commodities, currencies, gross accounts, gaps."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from attrs import evolve

from crossmargin import conformance
from crossmargin.errors import InputError
from crossmargin.span import (
    CalendarSpread,
    CombinedCommodity,
    Contract,
    Holding,
    InterSpread,
    Leg,
    MonthRange,
    ScanSpread,
    SpanPortfolio,
    SpotMonth,
    Tier,
    futures_array,
    scenario_grid,
    span_requirement,
)
from crossmargin.span.commodity import short_option_minimum
from crossmargin.worked.span import FAMILIES

GRID = scenario_grid(3, 3.0, 0.33)
MAR, JUN, DEC = 202603, 202606, 202612
SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"


def future(code: str, month: int = MAR, *, scan_range: float = 1000.0, **more) -> Contract:
    return Contract(code, month, futures_array(scan_range, GRID), 1.0, **more)


def commodity(code: str, *held: tuple[Contract, float], **more) -> CombinedCommodity:
    return CombinedCommodity(code=code, holdings=[Holding(*each) for each in held], **more)


def option(code: str, right: str, value: float | None, *, worst: float = 500.0) -> Contract:
    array = [0.0] * 12 + [worst, worst, 0.0, 0.0]
    return Contract(code, MAR, array, 0.5 if right == "call" else -0.5, right=right, option_value=value)


def maintenance(*commodities: CombinedCommodity, **more) -> float:
    return span_requirement(SpanPortfolio(commodities=commodities, **more)).maintenance.value


AA = commodity("AA", (future("AA-3"), 10))
BB = commodity("BB", (future("BB-3", scan_range=2000.0), -4))
PAIR = InterSpread(1, 65, [Leg("AA", 2, "A"), Leg("BB", 1, "B")])


def test_the_published_cases_pass():
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside the repository")
    outcome = conformance.run(SHARED / "cases" / "span.jsonl", families=FAMILIES, builtin=False)
    assert outcome.ok, outcome.text()
    assert all(outcome.families[name].passed for name in FAMILIES)


@pytest.mark.parametrize(
    ("family", "nothing"),
    [
        ("span.scan", {"positions": []}),
        ("span.inter_scan", {"legs": [], "credit_rate_pct": 50}),
        ("span.gross_scan", {"contracts": []}),
    ],
)
def test_a_case_of_nothing_is_answered(family, nothing):
    answer = FAMILIES[family](nothing)
    assert all(answer[name] == 0 for name in answer if name.endswith("scan_risk"))
    assert all(list(answer[name]) == [0.0] * 16 for name in answer if name.endswith("_array"))


# ------------------------------------------------------------------------------------------------- the steps by hand


def test_nothing_held_owes_nothing():
    assert maintenance() == 0
    assert maintenance(commodity("AA")) == 0
    assert maintenance(commodity("AA", (future("AA-3"), 0))) == 0


def test_a_credit_between_two_commodities():
    result = span_requirement(SpanPortfolio(commodities=[AA, BB], inter_spreads=[PAIR]))
    assert [each.count for each in result.spreads_formed] == [4]
    credits = [found.charges.inter_commodity_credit.value for found in result.commodities]
    assert credits == pytest.approx([-0.65 * 8 * 1000, -0.65 * 4 * 2000])
    assert result.maintenance.value == pytest.approx(18_000 - 10_400)


def test_an_exchange_beyond_gives_a_credit_and_is_not_margined():
    away = evolve(BB, away=True)
    result = span_requirement(SpanPortfolio(commodities=[AA, away], exchange_spreads=[PAIR]))
    assert result.maintenance.value == pytest.approx(10_000 - 5_200)
    assert result.commodities[0].charges.inter_exchange_credit.value == pytest.approx(-5_200)
    inside = SpanPortfolio(commodities=[AA, away], inter_spreads=[PAIR])
    assert span_requirement(inside).maintenance.value == 10_000  # inside the complex it is nothing


def test_home_spreads_come_before_those_with_another_exchange():
    third = evolve(BB, code="DD", away=True)
    abroad = InterSpread(0, 90, [Leg("AA", 2, "A"), Leg("DD", 1, "B")])
    found = span_requirement(
        SpanPortfolio(commodities=[AA, BB, third], inter_spreads=[PAIR], exchange_spreads=[abroad])
    )
    assert [each.count for each in found.spreads_formed] == [4, 1]


def test_series_come_before_tiers_and_delivery_sees_what_both_left():
    held = commodity(
        "AA",
        (future("AA-3", MAR), 10),
        (future("AA-6", JUN), -4),
        (future("AA-12", DEC), -3),
        series_spreads=[CalendarSpread(9, 100, [Leg(MAR, 1, "A"), Leg(JUN, 1, "B")])],
        tiers=[Tier(1, MAR, MAR), Tier(2, JUN, DEC)],
        tier_spreads=[CalendarSpread(1, 30, [Leg(1, 1, "A"), Leg(2, 1, "B")])],
        spot_months=[SpotMonth(MAR, 5, 50), SpotMonth(202609, 7, 70)],
    )
    charges = span_requirement(SpanPortfolio(commodities=[held])).commodities[0].charges
    assert charges.intra_commodity_charge.value == 4 * 100 + 3 * 30
    assert charges.spot_charge.value == 7 * 5 + 3 * 50


def test_futures_style_options_have_no_value_to_net():
    plain, margined = (commodity("AA", (option("C", "call", value), -2)) for value in (120.0, None))
    assert maintenance(plain) - maintenance(margined) == pytest.approx(240)


def test_option_value_pays_where_it_may():
    longs = commodity("AA", (option("C", "call", 3000.0), 2))
    assert maintenance(longs, BB) == 2 * 500 + 8000 - 6000
    assert maintenance(evolve(longs, limit_option_value=True), BB) == 8000
    assert maintenance(evolve(longs, value_node="energy"), BB) == 8000
    assert maintenance(evolve(longs, value_node="energy"), evolve(BB, value_node="energy")) == 3000
    assert span_requirement(SpanPortfolio(commodities=[longs])).excess_net_option_value == 5000


# ------------------------------------------------------------------------------------------------ short option minimum


@pytest.mark.parametrize(("method", "expected"), [("sum", 5 * 40), ("max", 3 * 40)])
def test_the_minimum_counts_what_is_short_after_netting(method, expected):
    call, put = option("C", "call", None, worst=0.0), option("P", "put", None, worst=0.0)
    held = commodity("AA", (call, -4), (call, 1), (put, -2), short_option_rate=40, short_option_method=method)
    assert maintenance(held) == expected


def test_tiers_with_rates_of_their_own_are_counted_apart():
    call, put = option("C", "call", None, worst=0.0), evolve(option("P", "put", None, worst=0.0), month=DEC)
    tiers = [Tier(1, MAR, JUN, 10.0), Tier(2, DEC, DEC)]
    held = commodity("AA", (call, -3), (put, -2), short_option_rate=40, short_option_method="max", scan_tiers=tiers)
    assert maintenance(held) == 3 * 10 + 2 * 40


@pytest.mark.parametrize("bad", [(-1, 0, 10), (0, math.nan, 10), (0, 0, -1)])
def test_counts_that_are_none_are_refused(bad):
    with pytest.raises(InputError):
        short_option_minimum(*bad)


def test_a_way_of_counting_that_is_none_is_refused():
    with pytest.raises(InputError, match="Did you mean 'sum'"):
        short_option_minimum(1, 1, 1, method="sums")


# ------------------------------------------------------------------------------------------------------ scanning tiers


def test_scanning_tiers_do_not_net():
    held = commodity("AA", (future("AA-3", MAR), 5), (future("AA-12", DEC), -5), (future("AA-6", JUN), 1))
    tiered = evolve(held, scan_tiers=[Tier(1, MAR, MAR), Tier(2, DEC, DEC)])
    assert maintenance(held) == 1000
    assert maintenance(tiered) == 5000 + 5000 + 1000
    names = [line.name for line in span_requirement(SpanPortfolio(commodities=[tiered])).maintenance.walk()]
    assert "scan risk of tier 2" in names
    assert "scan risk outside the tiers" in names


def test_a_credit_on_a_tier_weighs_that_tier_only():
    tiers = [Tier(1, MAR, MAR), Tier(2, DEC, DEC)]
    held = commodity("AA", (future("AA-3", MAR), 5), (future("AA-12", DEC, scan_range=700.0), 3), scan_tiers=tiers)
    spread = InterSpread(1, 50, [Leg("AA", 1, "A", tier=2), Leg("BB", 1, "B")])
    result = span_requirement(SpanPortfolio(commodities=[held, BB], inter_spreads=[spread]))
    assert result.commodities[0].charges.inter_commodity_credit.value == pytest.approx(-0.5 * 3 * 700)


@pytest.mark.parametrize(("method", "of_one"), [("scan_range", 600.0), ("scan_range_cap", 600.0), ("normal", 700.0)])
def test_the_price_risk_of_a_tier_is_that_of_its_own_nearest_month(method, of_one):
    tiers = [Tier(1, MAR, MAR), Tier(2, JUN, DEC), Tier(3, 202701, 202712)]
    held = commodity(
        "AA",
        (future("AA-12", DEC, scan_range=700.0), 3),
        scan_tiers=tiers,
        price_risk_method=method,
        month_ranges=[MonthRange(MAR, 1000.0), MonthRange(DEC, 650.0), MonthRange(JUN, 300.0, 0.5)],
    )
    assert [held.nearest(tier).month for tier in tiers] == [MAR, JUN, MAR]  # the last has none of its own
    spread = InterSpread(1, 50, [Leg("AA", 1, "A", tier=2), Leg("BB", 1, "B")])
    result = span_requirement(SpanPortfolio(commodities=[held, BB], inter_spreads=[spread]))
    assert result.commodities[0].charges.inter_commodity_credit.value == pytest.approx(-0.5 * 3 * of_one)


def test_tiers_for_spreads_only_leave_the_scan_as_it_is():
    tiers = [Tier(1, MAR, MAR), Tier(2, DEC, DEC)]
    held = commodity("AA", (future("AA-3", MAR), 5), (future("AA-12", DEC), -3))
    tiered = evolve(held, inter_tiers=tiers)
    assert maintenance(tiered) == maintenance(held) == 2000
    spread = InterSpread(1, 50, [Leg("AA", 1, "A", tier=1), Leg("BB", 1, "B")])
    result = span_requirement(SpanPortfolio(commodities=[tiered, BB], inter_spreads=[spread]))
    assert [each.count for each in result.spreads_formed] == [4]  # of five long in March against four short
    assert result.commodities[0].charges.inter_commodity_credit.value == pytest.approx(-0.5 * 4 * 1000)
    apart = evolve(tiered, scan_tiers=[Tier(1, MAR, JUN), Tier(2, DEC, DEC)])
    assert maintenance(apart) == 8000
    far = evolve(spread, legs=[Leg("AA", 1, "B", tier=2), Leg("BB", 1, "A")])
    flat = SpanPortfolio(commodities=[apart, evolve(BB, holdings=[Holding(future("BB-3"), 4)])], inter_spreads=[far])
    assert [each.count for each in span_requirement(flat).spreads_formed] == [3]


# --------------------------------------------------------------------------------------------------- scanning-based


SCAN = ScanSpread(1, 50, [Leg("AA", 1, "A"), Leg("BB", 2, "B")], "MIX")


def test_the_legs_are_scanned_as_one_target():
    result = span_requirement(SpanPortfolio(commodities=[AA, BB], scan_spreads=[SCAN]))
    (found,) = result.commodities
    assert (found.code, found.members) == ("MIX", ("AA", "BB"))
    assert found.scan.scan_risk == 10_000 - 0.5 * 8_000
    assert found.net_delta == 10 - 4 / 2
    assert found.weighted_futures_price_risk == 6_000 / 8
    assert result.maintenance.value == 6_000


def test_the_target_adds_its_own_array_in_full():
    own = commodity("MIX", (future("MIX-3"), -1))
    (found,) = span_requirement(SpanPortfolio(commodities=[AA, own, BB], scan_spreads=[SCAN])).commodities
    assert found.scan.scan_risk == 10_000 - 4_000 - 1_000
    assert found.net_delta == 7


def test_a_target_can_be_spread_again():
    third = commodity("DD", (future("DD-3"), -8))
    spread = InterSpread(1, 40, [Leg("MIX", 1, "A"), Leg("DD", 1, "B")])
    portfolio = SpanPortfolio(commodities=[AA, BB, third], scan_spreads=[SCAN], inter_spreads=[spread, evolve(PAIR)])
    result = span_requirement(portfolio)
    assert [each.count for each in result.spreads_formed] == [8, 0]
    assert result.commodities[0].charges.inter_commodity_credit.value == pytest.approx(-0.4 * 6_000)


@pytest.mark.parametrize(
    "spread",
    [
        evolve(SCAN, minimum_legs=3),
        evolve(SCAN, legs=[*SCAN.legs, Leg("ZZ", 1, "B")]),  # required and not held
        evolve(SCAN, legs=[Leg("AA", 1), Leg("ZZ", 1, required=False)]),
    ],
)
def test_too_few_legs_merge_nothing(spread):
    assert maintenance(AA, BB, scan_spreads=[spread]) == 18_000


def test_an_optional_leg_may_be_missing():
    spread = evolve(SCAN, legs=[*SCAN.legs, Leg("ZZ", 1, "B", required=False)])
    assert maintenance(AA, BB, scan_spreads=[spread]) == 6_000


def test_a_commodity_is_merged_once_by_the_first_priority():
    other = ScanSpread(0, 100, [Leg("AA", 1), Leg("BB", 1)], "FIRST")
    assert maintenance(AA, BB, scan_spreads=[SCAN, other]) == 2_000


def test_charges_of_the_legs_stay():
    spot = evolve(AA, spot_months=[SpotMonth(MAR, 0, 10)], short_option_rate=5)
    assert maintenance(spot, BB, scan_spreads=[SCAN]) == 6_000 + 100


def test_legs_in_two_currencies_cannot_be_added():
    euro = evolve(BB, currency="EUR")
    with pytest.raises(InputError, match="currencies"):
        maintenance(AA, euro, scan_spreads=[SCAN], exchange_rates={"EUR": 1.1})


# -------------------------------------------------------------------------------- account types, gross, currencies


def test_ratios_and_factors_follow_the_account_type():
    told = evolve(
        AA, initial_ratios={"member": 1, "speculator": 1.1}, adjustment_factors={"member": 1, "speculator": 1.05}
    )
    result = span_requirement(SpanPortfolio(commodities=[told], account_type="speculator"))
    assert (result.maintenance.value, result.initial.value) == pytest.approx((10_500, 11_000))


def test_an_account_type_without_a_ratio_is_refused():
    told = evolve(AA, initial_ratios={"member": 1})
    with pytest.raises(InputError, match="nothing for 'hedger'"):
        SpanPortfolio(commodities=[told], account_type="hedger")


def test_a_gross_account_nets_nothing_and_spreads_nothing():
    contract = future("AA-3")
    held = commodity(
        "AA", (contract, 3), (contract, -2), (option("C", "call", 10.0), -1), (option("C", "call", 10.0), 1),
        tiers=[Tier(1, MAR, MAR)], tier_spreads=[CalendarSpread(1, 99, [Leg(1, 1, "A"), Leg(1, 1, "B")])],
        spot_months=[SpotMonth(MAR, 0, 1)], short_option_rate=7,
    )  # fmt: skip
    result = span_requirement(SpanPortfolio(commodities=[held], gross=True, inter_spreads=[PAIR], scan_spreads=[SCAN]))
    charges = result.commodities[0].charges
    assert charges.scan_risk.value == 5 * 1000 + 500
    assert charges.intra_commodity_charge.value == 0
    assert charges.spot_charge.value == 3 + 2 + 0.5 + 0.5
    assert charges.short_option_minimum.value == 7
    assert result.commodities[0].net_option_value.value == 0
    assert result.commodities[0].weighted_futures_price_risk is None


def test_another_currency_is_converted_after_its_own_netting():
    euro = evolve(BB, currency="EUR")
    assert maintenance(AA, euro, exchange_rates={"EUR": 1.25}) == 10_000 + 1.25 * 8_000
    rich = commodity("CC", (option("C", "call", 9_000.0), 3), currency="EUR")
    result = span_requirement(SpanPortfolio(commodities=[AA, euro, rich], exchange_rates={"EUR": 2}))
    assert result.maintenance.value == 10_000  # what the euro options are worth pays in euro only
    assert result.excess_net_option_value == 2 * (27_000 - 8_000 - 1_500)


def test_a_rate_that_is_missing_is_refused():
    with pytest.raises(InputError, match=r"exchange_rates\['EUR'\]"):
        SpanPortfolio(commodities=[evolve(AA, currency="EUR")])


# ----------------------------------------------------------------------------------------------- what is not modelled


def test_what_the_exchange_asks_beyond_is_a_line():
    result = span_requirement(SpanPortfolio(commodities=[evolve(AA, gaps=["spot charge method 11"])]))
    assert result.maintenance.partial
    assert result.maintenance.part("AA: spot charge method 11").amount is None
    assert result.maintenance.value == 10_000


@pytest.mark.parametrize("method", ["per_month", "price_risk"])
def test_a_calendar_charge_without_its_basis_is_a_gap_only_where_spreads_form(method):
    """Nobody says the months of one spread; no net delta is left that would have a price risk."""
    spread = CalendarSpread(1, 100, [Leg(MAR, 1, "A"), Leg(JUN, 1, "B")], method=method)
    flat = commodity("AA", (future("AA-3"), 1), series_spreads=[spread])
    both = commodity("AA", (future("AA-3"), 1), (future("AA-6", JUN), -1), series_spreads=[spread])
    assert not span_requirement(SpanPortfolio(commodities=[flat])).maintenance.partial
    assert span_requirement(SpanPortfolio(commodities=[both])).maintenance.partial


def test_a_credit_by_the_month_without_months_is_a_gap_and_earns_nothing():
    result = span_requirement(SpanPortfolio(commodities=[AA, BB], inter_spreads=[evolve(PAIR, method="per_month")]))
    assert result.maintenance.partial
    assert result.maintenance.value == 18_000


def test_a_flat_credit_in_two_currencies_is_a_gap_and_earns_nothing():
    euro = evolve(BB, currency="EUR")
    flat = evolve(PAIR, method="flat", credit_rate_pct=65.0)
    told = SpanPortfolio(commodities=[AA, euro], inter_spreads=[flat], exchange_rates={"EUR": 1.0})
    result = span_requirement(told)
    assert result.maintenance.partial
    assert result.maintenance.value == 18_000


# ------------------------------------------------------------------------------------------- ways of charging spreads


def calendar(**more) -> float:
    """Charge of 4 March-June spreads, of which 6 March futures are left, in a commodity of 1,000 a delta."""
    spread = CalendarSpread(1, 30.0, [Leg(MAR, 1, "A"), Leg(JUN, 1, "B")], **more)
    held = commodity("AA", (future("AA-3"), 10), (future("AA-6", JUN), -4), series_spreads=[spread])
    (found,) = span_requirement(SpanPortfolio(commodities=[held])).commodities
    assert found.weighted_futures_price_risk == 1000
    assert not found.risk.partial
    return found.charges.intra_commodity_charge.value


def test_calendar_charges_by_every_method():
    assert calendar() == 4 * 30
    assert calendar(method="per_month", months=3) == 4 * 3 * 30
    assert calendar(method="price_risk") == pytest.approx(4 * 2 * 1000 * 0.30)  # both legs, 30 per cent


def test_where_the_price_risk_is_the_scan_range_a_flat_book_pays_it_too():
    spread = CalendarSpread(1, 5.0, [Leg(MAR, 1, "A"), Leg(JUN, 1, "B")], method="price_risk")
    held = commodity(
        "AA",
        (future("AA-3"), 2),
        (future("AA-6", JUN), -2),
        series_spreads=[spread],
        price_risk_method="scan_range",
        month_ranges=[MonthRange(JUN, 950.0), MonthRange(MAR, 800.0)],
    )
    assert maintenance(held) == pytest.approx(2 * 2 * 800 * 0.05)


def credits(**more) -> list[float]:
    """Credits of 4 spreads of two AA (1,000 a delta) against one BB (2,000 a delta)."""
    spread = evolve(PAIR, credit_rate_pct=90.0, **more)
    found = span_requirement(SpanPortfolio(commodities=[AA, BB], inter_spreads=[spread])).commodities
    return [each.charges.inter_commodity_credit.value for each in found]


def test_flat_credits_are_shared_out_by_the_price_risk_used():
    assert credits(method="flat") == pytest.approx([-4 * 90 / 2, -4 * 90 / 2])  # 2 x 1,000 against 1 x 2,000
    assert credits(method="per_month", months=2) == pytest.approx([-2 * 4 * 90 / 2] * 2)


def test_a_flat_credit_never_leads_below_nothing():
    assert maintenance(AA, BB, inter_spreads=[evolve(PAIR, method="flat", credit_rate_pct=1e9)]) == 0


@pytest.mark.parametrize("months", [0, -1, 1.5, True])
def test_months_that_are_none_are_refused(months):
    for make in (CalendarSpread, InterSpread):
        with pytest.raises(InputError, match="months"):
            make(1, 10.0, PAIR.legs, method="per_month", months=months)


# ------------------------------------------------------------------------------------------------------ what it says


def test_a_clerk_can_follow_the_lines():
    line = span_requirement(SpanPortfolio(commodities=[AA, BB], inter_spreads=[PAIR])).maintenance
    active = line.part("scenario 13, active")
    assert active.value == 10_000
    assert active.part("loss of one").value == 1_000
    credit = line.part("spread 1 at 65 per cent")
    assert [part.value for part in credit.parts] == [4, 2, 1000]
    assert credit.factor == -0.65
    assert line.part("scan risk").note == "time risk 0.00, volatility risk 0.00"


# --------------------------------------------------------------------------------------------- records that are refused


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Contract("X", 202600, [0.0] * 16, 1.0), "not a month"),
        (lambda: Contract("X", MAR, [0.0] * 15, 1.0), "15 scenarios"),
        (lambda: Contract("X", MAR, [], 1.0), "0 scenarios"),
        (lambda: Contract("X", MAR, [math.nan] + [0.0] * 15, 1.0), "scenario 1"),
        (lambda: Contract("X", MAR, [0.0] * 16, math.inf), "composite_delta"),
        (lambda: Contract("X", MAR, [0.0] * 16, 1.0, delta_scaling_factor=-1), "delta_scaling_factor"),
        (lambda: Contract("X", MAR, [0.0] * 16, 1.0, right="Call"), "Did you mean 'call'"),
        (lambda: Contract("X", MAR, [0.0] * 16, 1.0, option_value=math.nan), "option_value"),
        (lambda: Holding(future("X"), math.nan), "quantity of 'X'"),
        (lambda: Holding(future("X"), True), "quantity of 'X'"),
        (lambda: SpotMonth(MAR, -1, 0), "charge_consumed"),
        (lambda: commodity("AA", (future("X"), 1), (future("X", JUN), 1)), "stands twice"),
        (lambda: commodity("AA", (future("X"), 1), (Contract("Y", MAR, [0.0] * 8, 1.0), 1)), "unlike length"),
        (lambda: commodity("AA", tiers=[Tier(1, MAR, MAR), Tier(1, JUN, JUN)]), "tier stands twice"),
        (
            lambda: commodity("AA", tier_spreads=[CalendarSpread(1, 1, [Leg(1, 1, "A"), Leg(2, 1, "B")])]),
            "unknown tier 1",
        ),
        (
            lambda: commodity("AA", series_spreads=[CalendarSpread(1, 1, [Leg(MAR, 1, "A"), Leg("June", 1, "B")])]),
            "'June' is not a month",
        ),
        (lambda: commodity("AA", short_option_rate=-1), "short_option_rate"),
        (lambda: commodity("AA", short_option_method="add"), "short_option_method"),
        (lambda: commodity("AA", price_risk_method="scan_range"), "needs one"),
        (lambda: MonthRange(MAR, 800.0, 0.0), "not above zero"),
        (lambda: MonthRange(202613, -1.0), "scan range of month 202613, price_scan_range"),
        (lambda: commodity("AA", initial_ratios={"broker": 1}), "unknown 'broker'"),
        (lambda: commodity("AA", adjustment_factors={"member": -1}), "adjustment_factors"),
        (lambda: SpanPortfolio(commodities=[AA, AA]), "stands twice"),
        (lambda: SpanPortfolio(commodities=[AA], account_type="spec"), "account_type"),
        (lambda: SpanPortfolio(commodities=[evolve(AA, currency="EUR")], exchange_rates={"EUR": -1}), "EUR"),
    ],
)
def test_a_record_that_is_wrong_says_what(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_everything_wrong_is_said_at_once():
    with pytest.raises(InputError) as error:
        Contract("X", 0, [math.nan] * 3, math.nan, right="both")
    assert len(error.value.problems) == 7


@pytest.mark.parametrize("quantity", [1e-9, 1e9])
def test_any_size(quantity):
    assert maintenance(commodity("AA", (future("AA-3"), quantity))) == pytest.approx(1000 * quantity)
