"""SPAN on arrays of our own: a pool margined by hand, options, gaps."""

from __future__ import annotations

import math
from datetime import date

import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass
from crossmargin.errors import InputError, NotInForce
from crossmargin.methodology import Inputs
from crossmargin.pnl import revalue
from crossmargin.portfolio import Pool, Position
from crossmargin.pricing.smiles import Smile
from crossmargin.pricing.volatility import VolatilitySurface
from crossmargin.products import FutureOption, TreasuryFuture
from crossmargin.products.futures import IndexFuture, contract_specs
from crossmargin.registry import rulebook, rules
from crossmargin.rulesets import span
from crossmargin.scenarios import grid_scenarios
from crossmargin.underlyings import Underlying
from tests.properties.strategies import AS_OF, NOTE_7, NOTE_8, OPTION, SR3, UB, ZN, ZT, book, market

RULES = rules("span")
ZN_12 = TreasuryFuture("ZN", 202612, (NOTE_7, NOTE_8))
ES = IndexFuture("ES", 202609)
MES = IndexFuture("MES", 202609)
PUT = FutureOption(ZN, "put", 112.0, OPTION.expiry)
ROWS = {row["contract"]: row for row in RULES.at(AS_OF).contracts}
PRICED = evolve(market(), underlyings={ZN.symbol: Underlying(ZN.symbol, 0.06)}, prices={ZN.symbol: 111.0})


def pool(*held, account_class: AccountClass = AccountClass.CFTC_4D_AB) -> Pool:
    positions = tuple(Position(f"p{number}", "ALPHA-FUT", *each) for number, each in enumerate(held))
    return Pool("ALPHA", "DUAL", account_class, "CME", "span", "", positions)


def margined(*held, on=PRICED, account_class: AccountClass = AccountClass.CFTC_4D_AB, **overlaid):
    p = (RULES.with_values(because="test", **overlaid) if overlaid else RULES).at(AS_OF)
    drawn = pool(*held, account_class=account_class)
    return span.requirement(drawn, Inputs(book(*drawn.positions), on, {}), p)


def scan_range(contract: str) -> float:
    return ROWS[contract]["price_scan_range"]


# ------------------------------------------------------------------------------------------------------------ futures


def test_it_needs_no_scenario_set():
    assert span.scenarios(RULES.at(AS_OF)) == ()


def test_it_is_in_the_rulebook():
    assert rulebook()["span"].title == RULES.title


@pytest.mark.parametrize("future", [ZT, ZN, UB, SR3, ES])
@pytest.mark.parametrize("quantity", [10.0, -3.0])
def test_one_future_owes_its_scan_range(future, quantity):
    assert margined((future, quantity)).value == abs(quantity) * scan_range(future.contract)


def test_an_empty_pool_owes_nothing():
    assert margined().value == 0


def test_a_calendar_spread_owes_its_charge():
    assert margined((ZN, 5.0), (ZN_12, -5.0)).value == 5 * ROWS["ZN"]["calendar_charge"]


def test_micros_count_a_tenth_and_offset():
    assert margined((ES, 1.0), (MES, -10.0)).value < 5  # arrays are in whole dollars
    assert margined((ES, 1.0), (MES, 10.0)).value == pytest.approx(2 * scan_range("ES"))


def test_a_spread_between_two_commodities_earns_its_credit():
    row = next(row for row in RULES.at(AS_OF).inter_spreads if {leg["on"] for leg in row["legs"]} == {"ZB", "UB"})
    first, second = (leg["ratio"] for leg in row["legs"])
    bond = TreasuryFuture("ZB", 202609, UB.basket)
    alone = first * scan_range("ZB") + second * scan_range("UB")
    together = margined((bond, float(first)), (UB, -float(second)))
    assert together.value == pytest.approx(alone * (1 - row["credit_rate_pct"] / 100))


def test_the_scan_ranges_are_those_of_the_date():
    earlier = {row["contract"]: row for row in RULES.at(date(2020, 6, 30)).contracts}
    assert earlier["ZN"]["price_scan_range"] == 1550
    assert scan_range("ZN") == 1280


def test_before_the_first_value_the_rules_are_not_in_force():
    with pytest.raises(NotInForce, match="2019-01-02"):
        _ = RULES.at(date(2019, 1, 1)).contracts


# ------------------------------------------------------------------------------------------------------------ options


def black(right: str, price: float, strike: float, volatility: float, *, time: float, rate: float) -> float:
    sign = 1 if right == "call" else -1
    deviation = volatility * math.sqrt(time)
    d1 = math.log(price / strike) / deviation + deviation / 2
    normal = lambda x: math.erfc(-x / math.sqrt(2)) / 2  # noqa: E731
    return sign * math.exp(-rate * time) * (price * normal(sign * d1) - strike * normal(sign * (d1 - deviation)))


def test_a_long_option_is_paid_for_by_its_value():
    assert margined((OPTION, 7.0)).value == 0


def test_a_short_option_owes_its_worst_scenario_and_its_value():
    found = margined((OPTION, -1.0))
    value = -found.part("net option value").value
    time = (OPTION.expiry - AS_OF).days / 365
    assert value == pytest.approx(1000 * black("call", 111.0, 112.0, 0.06, time=time, rate=0.0387), rel=2e-3)
    full = black("call", 111 + 1.28, 112.0, 0.06 * 1.17, time=time - 1 / 365, rate=0.0387)
    extreme = black("call", 111 + 3 * 1.28, 112.0, 0.06, time=time - 1 / 365, rate=0.0387)
    loss = max(1000 * full - value, 0.33 * (1000 * extreme - value))
    assert found.value == pytest.approx(loss + value, rel=5e-3)


def test_an_observed_price_is_the_value():
    on = evolve(PRICED, prices={**PRICED.prices, OPTION.symbol: 0.5})
    assert margined((OPTION, -2.0), on=on).part("net option value").value == -1000


def test_the_model_prices_a_future_that_is_not_observed():
    unpriced = evolve(PRICED, prices={})
    base = revalue([ZN], unpriced, grid_scenarios((), [0.0])).base[0] / contract_specs()["ZN"].point_value
    observed = evolve(PRICED, prices={ZN.symbol: float(base)})
    assert margined((OPTION, -3.0), on=unpriced).value == pytest.approx(margined((OPTION, -3.0), on=observed).value)


def test_a_surface_is_read_at_the_strike():
    line = Smile("spline", -1, 1, nodes=(-1.0, 1.0), variances=(0.09, 0.01), slopes=(-0.04, -0.04))
    surface = VolatilitySurface(
        AS_OF, ZN.symbol, [OPTION.expiry], [(OPTION.expiry - AS_OF).days / 365], [111.0], [line]
    )
    at_strike = float(surface.volatility([OPTION.strike], OPTION.expiry)[0])
    values = [
        margined((OPTION, -1.0), on=evolve(PRICED, underlyings={ZN.symbol: Underlying(ZN.symbol, each)})).value
        for each in (surface, at_strike)
    ]
    assert values[0] == pytest.approx(values[1])


def test_call_put_and_future_make_nothing():
    """Long call, short put, short future at one strike: a synthetic forward against a real one."""
    found = margined((OPTION, 100.0), (PUT, -100.0), (ZN, -100.0))
    carried = margined((ZN, -100.0)).part("scan risk").value
    assert found.part("scan risk").value < 0.02 * carried


def test_the_short_option_minimum_is_a_floor():
    far = FutureOption(ZN, "call", 150.0, OPTION.expiry)
    assert margined((far, -20.0)).value == pytest.approx(20 * RULES.at(AS_OF).short_option_minimum_rate)


# --------------------------------------------------------------------------------------------------- what is left out


@pytest.mark.parametrize(
    ("product", "on", "why"),
    [
        (NOTE_7, PRICED, "futures and options on futures only"),
        (OPTION, market(), "the market has no volatility of ZN 2026-09"),
        (OPTION, evolve(PRICED, underlyings={ZN.symbol: Underlying(ZN.symbol)}), "no volatility of ZN 2026-09"),
        (FutureOption(TreasuryFuture("ZN", 202609), "call", 112.0, OPTION.expiry), market(), "no price of ZN 2026-09"),
        (FutureOption(ES, "call", 6000.0, date(2026, 9, 18)), market(), "no price of ES 2026-09"),
        (OPTION, evolve(PRICED, prices={ZN.symbol: 3.0}), "scenario 16: the price falls to"),
        (OPTION, evolve(PRICED, prices={ZN.symbol: -37.63}), "is below 0"),
    ],
)
def test_what_cannot_be_margined_is_a_visible_gap(product, on, why):
    found = margined((ZT, 1.0), (product, 1.0), on=on)
    (gap,) = [line for line in found.walk() if line.how == "not_modelled"]
    assert why in gap.note
    assert gap.name == f"p1: {product.symbol}"
    assert found.partial
    assert found.value == scan_range("ZT")


def test_a_contract_without_a_scan_range_is_a_visible_gap():
    found = margined((ZN, 1.0), (ZT, 1.0), contracts=[dict(ROWS["ZN"])])
    assert [line.note for line in found.walk() if line.how == "not_modelled"] == [
        "our calibration has no scan range for ZT"
    ]


def test_a_commodity_without_a_row_is_refused():
    with pytest.raises(InputError, match="combined commodity 'ES'"):
        margined((MES, 1.0), contracts=[dict(ROWS["MES"])])


# ---------------------------------------------------------------------------------------------------------- the level


def test_house_and_customer_owe_the_same_to_the_clearing_house():
    """What a firm asks of customers beyond it, the speculators' ratio too, are house terms."""
    house, customer = (
        margined((ZN, 10.0), account_class=each).value for each in (AccountClass.PROPRIETARY, AccountClass.CFTC_4D_AB)
    )
    assert house == customer == 10 * scan_range("ZN")


def test_every_parameter_read_is_on_the_figure():
    read = {read.name for read in margined((ZN, 1.0), (OPTION, -1.0)).all_reads()}
    assert read == set(RULES.parameters) - {"customer_share"}  # of the level above


def test_the_calibration_says_that_it_is_ours():
    grades = {name: RULES.in_force(name, AS_OF).grade for name in ("contracts", "inter_spreads")}
    assert set(grades.values()) == {"assumed"}
    assert "our calibration" in RULES.scope


# ------------------------------------------------------------------------------------------------------------- order


def test_order_and_splits_change_nothing():
    held = [(ZN, 10.0), (OPTION, -4.0), (UB, -2.0), (ZT, 3.0)]
    split = [(ZT, 1.0), (UB, -2.0), (ZN, 6.0), (OPTION, -4.0), (ZT, 2.0), (ZN, 4.0)]
    assert margined(*split).value == pytest.approx(margined(*held).value, rel=1e-12)
