"""Strategy margin of stock and options: figures worked by hand, laws of books, house rates, worked cases."""

from __future__ import annotations

import math
from datetime import date

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import conformance
from crossmargin.errors import InputError, NotInForce, NumericalError
from crossmargin.pairing.book import OptionLeg, StockHolding, StrategyBook
from crossmargin.registry import rules
from crossmargin.rulesets.finra_strategy import order_effect, strategy_margin
from crossmargin.worked import strategy
from crossmargin.worked.strategy import FAMILIES

RULES = rules("finra_strategy")
DAY = date(2026, 6, 30)
CALL, PUT = "call", "put"


def book(*legs, kind="equity", price=100.0, shares=0, **more):
    """Legs are (quantity, right, strike, price) or with days to expiry."""
    held = [OptionLeg(*leg, *(() if len(leg) > 4 else (30,))) for leg in legs]
    stock = StockHolding(shares, more.pop("share_price", price), more.pop("units", 1.0)) if shares else None
    return StrategyBook(kind, price, held, stock=stock, **more)


def margin(*legs, ruleset=RULES, **more):
    return strategy_margin(book(*legs, **more), ruleset, DAY)


def names(line):
    return [part.name for part in line.parts]


# ---------------------------------------------------------------------------------------- worked by hand


@pytest.mark.parametrize(
    ("kind", "leverage", "leg", "unit"),
    [
        ("equity", 1, (-1, CALL, 105, 2), 2 + 20 - 5),
        ("equity", 1, (-1, CALL, 130, 2), 2 + 10),
        ("equity", 1, (-1, PUT, 95, 2), 2 + 20 - 5),
        ("equity", 1, (-1, PUT, 50, 2), 2 + 5),  # the minimum is taken on the exercise price
        ("equity", 1, (-1, PUT, 120, 25), 25 + 20),
        ("narrow_index", 1, (-1, CALL, 105, 2), 2 + 20 - 5),
        ("broad_index", 1, (-1, CALL, 103, 2), 2 + 15 - 3),
        ("broad_etf", 2, (-1, CALL, 103, 2), 2 + 30 - 3),
        ("broad_etf", 2, (-1, PUT, 50, 2), 2 + 10),
        ("equity", 1, (-1, PUT, 0, 0), 0),
    ],
)
def test_naked_options(kind, leverage, leg, unit):
    result = margin(leg, kind=kind, leverage=leverage)
    assert result.initial.amount == pytest.approx(100 * unit)
    assert result.initial_bound == pytest.approx(result.initial.amount)


def test_the_nine_months_of_long_options():
    short, long = margin((1, CALL, 100, 5, 274)), margin((1, CALL, 100, 5, 275))
    assert (short.gross_requirement.amount, long.gross_requirement.amount) == (500.0, 375.0)
    assert short.initial.amount == 0.0


def test_premium_and_deposit():
    result = margin((-1, PUT, 95, 2), (1, PUT, 90, 1))
    assert result.initial.amount == 500.0
    assert result.gross_requirement.amount == 600.0
    assert result.premium_credit.amount == 200.0
    assert result.net_deposit.amount == 400.0


@pytest.mark.parametrize(
    ("shares", "leverage", "price", "initial", "maintenance"),
    [
        (100, 1, 100.0, 5000, 2500),
        (100, 2, 100.0, 5000, 5000),
        (100, 5, 100.0, 5000, 10_000),
        (-100, 1, 100.0, 5000, 3000),
        (-100, 3, 100.0, 5000, 9000),
        (-100, 5, 100.0, 5000, 10_000),
        (-100, 1, 10.0, 500, 500),  # $5 a share
        (-100, 1, 5.0, 250, 500),
        (-100, 1, 4.0, 200, 400),
        (-100, 1, 2.0, 100, 250),  # $2.50 a share
        (30, 1, 100.0, 1500, 750),  # no round lot
    ],
)
def test_stock_alone(shares, leverage, price, initial, maintenance):
    result = margin(shares=shares, leverage=leverage, price=price)
    assert result.initial.amount == pytest.approx(initial)
    assert result.maintenance.amount == pytest.approx(maintenance)


def test_covered_calls_and_the_odd_shares():
    result = margin((-3, CALL, 90, 12), shares=250)
    covered = 5000 + 1000
    naked = 100 * (12 + 20)
    assert result.initial.amount == 2 * covered + naked + 2500
    assert result.maintenance.amount == 2 * (0.25 * 9000 + 1000) + naked + 1250
    assert set(names(result.initial)) == {"covered call", "naked call", "odd shares alone"}
    assert "no round lot" in result.initial.part("odd shares alone").note


def test_protected_stock_collars_and_conversions():
    assert margin((1, PUT, 95, 2), shares=100).maintenance.amount == 100 * (9.5 + 5)
    assert margin((1, PUT, 60, 1), shares=100).maintenance.amount == 2500  # 25 % of the stock is less
    assert margin((1, CALL, 105, 2), shares=-100).maintenance.amount == 100 * (10.5 + 5)
    collar = margin((1, PUT, 95, 2), (-1, CALL, 110, 2), shares=100)
    assert (collar.maintenance.amount, names(collar.maintenance)) == (1450.0, ["collar"])
    conversion = margin((1, PUT, 100, 4), (-1, CALL, 100, 4), shares=100)
    assert (conversion.maintenance.amount, names(conversion.maintenance)) == (1000.0, ["conversion"])
    reverse = margin((1, CALL, 105, 4), (-1, PUT, 105, 9), shares=-100)
    assert (reverse.maintenance.amount, names(reverse.maintenance)) == (1050.0 + 500.0, ["reverse conversion"])
    assert conversion.initial.amount == 5000.0


def test_the_call_of_a_collar_limits_it():
    collar = margin((1, PUT, 50, 1), (-1, CALL, 55, 46), shares=100)
    assert collar.maintenance.amount == pytest.approx(25.0 * 55)


def test_a_collar_needs_one_expiry():
    mixed = margin((1, PUT, 95, 2, 60), (-1, CALL, 90, 12, 30), shares=100)
    assert "collar" not in names(mixed.maintenance)


def test_a_fund_share_that_stands_for_a_tenth_of_the_index():
    result = margin((-1, CALL, 1500, 5), kind="broad_index", price=1451.0, shares=1000, share_price=145.3, units=0.1)
    assert names(result.initial) == ["covered call"]
    assert result.initial.amount == pytest.approx(0.5 * 145_300)


def test_the_morning_series_does_not_cover_the_evening_one_of_its_day():
    short = OptionLeg(-1, PUT, 95, 2, 30, "close")
    late = StrategyBook("broad_index", 100.0, [short, OptionLeg(1, PUT, 95, 2, 30, "open")])
    early = StrategyBook("broad_index", 100.0, [evolve(short, settles="open"), OptionLeg(1, PUT, 95, 2, 30, "close")])
    assert strategy_margin(late, RULES, DAY).initial.amount == 1200.0
    assert strategy_margin(early, RULES, DAY).initial.amount == 0.0


def test_an_empty_book_owes_nothing():
    result = margin()
    assert [line.amount for line in (result.initial, result.maintenance, result.net_deposit)] == [0, 0, 0]


def test_what_nets_to_nothing_is_gone():
    result = margin((2, CALL, 100, 3), (-1, CALL, 100, 3), (-1, CALL, 100, 3))
    assert result.initial.parts == ()
    assert result.net_deposit.amount == 0.0


# ------------------------------------------------------------------------------------------- explanation


def test_the_calculation_names_each_group_and_its_proof():
    legs = ((1, PUT, 90, 1), (-1, PUT, 95, 2), (-1, CALL, 105, 2), (1, CALL, 110, 1), (-1, CALL, 120, 1))
    result = margin(*legs)
    assert names(result.initial) == ["iron condor", "naked call"]
    assert "cannot be lower than 1,600.00 USD" in result.initial.note
    assert "+1 put 90 30 d" in result.initial.part("iron condor").note
    read = {each.name for each in result.initial.all_reads()}
    assert {"option_rate", "option_minimum", "broad_kinds"} <= read
    assert result.initial.part("naked call").part("exposure").amount == 10.0


def test_a_straddle_shows_the_greater_side():
    line = margin((-2, CALL, 100, 4), (-2, PUT, 100, 3)).initial
    assert line.amount == 200 * (7 + 20)
    assert names(line) == ["short straddle"]
    assert names(margin((-2, CALL, 105, 4), (-2, PUT, 95, 3)).initial) == ["short strangle"]


def test_the_greater_side_of_a_strangle_is_the_one_that_costs_more_alone():
    """The call has the greater exposure (10 to 8.80), the put costs more with its value (11.80 to 11.50)."""
    line = margin((-1, CALL, 112, 1.5), (-1, PUT, 88, 3)).initial
    assert line.amount == pytest.approx(100 * (3 + 8.8 + 1.5))
    assert [part.name for part in line.part("per unit").parts] == ["value of the put", "exposure", "value of the call"]


@given(
    strikes=st.tuples(st.integers(40, 160), st.integers(40, 160)),
    prices=st.tuples(st.integers(0, 4000), st.integers(0, 4000)),
    count=st.integers(1, 3),
    kind=st.sampled_from(["equity", "broad_index"]),
)
def test_a_short_call_and_put_cost_the_dearer_and_the_value_of_the_other(strikes, prices, count, kind):
    legs = [(-count, r, k, p / 100) for r, k, p in zip((CALL, PUT), strikes, prices, strict=True)]
    alone = [margin(leg, kind=kind).initial.amount for leg in legs]
    together = margin(*legs, kind=kind).initial.amount
    values = [100 * count * leg[3] for leg in legs]
    both = [alone[0] + values[1], alone[1] + values[0]]
    expected = min(both) if math.isclose(*alone) else both[alone.index(max(alone))]
    assert together == pytest.approx(expected)


# ---------------------------------------------------------------------------------------------- overlays


def test_a_house_may_be_stricter():
    house = RULES.with_values(option_rate=0.30, option_minimum=0.15, because="house rate")
    stricter = margin((-1, CALL, 105, 2), ruleset=house)
    assert stricter.initial.amount == 100 * (2 + 30 - 5)
    assert {read.grade for read in stricter.initial.all_reads() if read.name == "option_rate"} == {"assumed"}


def test_nothing_is_carried_back_before_the_first_date():
    with pytest.raises(NotInForce, match="first date"):
        strategy_margin(book((-1, CALL, 105, 2)), RULES, date(2012, 10, 25))


# ------------------------------------------------------------------------------------------ cash account


def test_a_cash_account_secures_puts_and_pays_in_full():
    result = margin((-1, PUT, 80, 2), (1, CALL, 100, 5, 540), account_type="cash", price=95.0)
    assert result.gross_requirement.amount == 8000 + 500
    assert result.net_deposit.amount == 8300
    assert result.initial_bound == result.initial.amount == 8000


def test_a_cash_account_may_write_calls_on_its_stock():
    result = margin((-2, CALL, 105, 3), shares=200, account_type="cash")
    assert result.gross_requirement.amount == 20_000


@pytest.mark.parametrize(
    ("legs", "shares", "said"),
    [
        ([(-1, CALL, 105, 3)], 0, "Cover every call"),
        ([(-2, CALL, 105, 3)], 100, "2 short calls"),
        ([], -10, "-10 shares"),
    ],
)
def test_a_cash_account_holds_nothing_on_credit(legs, shares, said):
    with pytest.raises(InputError, match=said):
        margin(*legs, shares=shares, account_type="cash")


# ------------------------------------------------------------------------------------------------ orders


def test_an_order_that_closes_a_spread_frees_its_margin():
    held = book((-1, PUT, 95, 2), (1, PUT, 90, 1))
    closing = [OptionLeg(1, PUT, 95, 2, 30), OptionLeg(-1, PUT, 90, 1, 30)]
    effect = order_effect(held, closing, 0.0, rules=RULES, as_of=DAY)
    assert effect.after.initial.amount == 0.0
    assert effect.cash_needed == -400.0
    assert effect.accepted


def test_cash_that_is_just_enough_is_enough():
    order = [OptionLeg(1, CALL, 100, 0.1, 30), OptionLeg(1, CALL, 105, 0.2, 30)]
    assert order_effect(book(), order, 30.0, rules=RULES, as_of=DAY).accepted
    assert not order_effect(book(), order, 29.99, rules=RULES, as_of=DAY).accepted


def test_an_order_moves_the_price_of_its_series():
    held = book((-1, CALL, 105, 2))
    after = held.with_order([OptionLeg(-1, CALL, 105, 3, 30)])
    assert [(leg.quantity, leg.price) for leg in after.netted] == [(-2, 3)]


# --------------------------------------------------------------------------------------------------- laws

strikes = st.sampled_from([80, 90, 95, 100, 105, 110, 130])
legs = st.builds(
    OptionLeg,
    st.sampled_from([-3, -2, -1, 1, 2]),
    st.sampled_from([CALL, PUT]),
    strikes,
    st.just(0.0),
    st.sampled_from([10, 30, 60]),
)


def priced(leg):
    """Give a leg a price that depends on its series alone."""
    return evolve(leg, price=leg.intrinsic(100.0) + 0.05 * leg.days_to_expiry + (leg.strike % 7) / 4)


some_books = st.builds(
    lambda held, shares, kind: StrategyBook(
        kind, 100.0, [priced(leg) for leg in held], stock=StockHolding(shares, 100.0) if shares else None
    ),
    st.lists(legs, max_size=7),
    st.sampled_from([0, 0, 100, 230, -200]),
    st.sampled_from(["equity", "broad_etf"]),
)


def both(held):
    result = strategy_margin(held, RULES, DAY)
    return result.initial.amount, result.maintenance.amount


@given(some_books, st.randoms(use_true_random=False))
def test_order_and_splitting_change_nothing(held, draw):
    lots = [evolve(leg, quantity=math.copysign(1, leg.quantity)) for leg in held.legs for _ in range(abs(leg.quantity))]
    draw.shuffle(lots)
    assert both(evolve(held, legs=lots)) == pytest.approx(both(held), rel=1e-9, abs=1e-6)


@given(some_books, legs)
def test_a_protective_leg_never_raises_the_requirement(held, leg):
    longer = priced(evolve(leg, quantity=abs(leg.quantity)))
    more = evolve(held, legs=(*held.legs, longer))
    assert all(a <= b + 1e-6 for a, b in zip(both(more), both(held), strict=True))


@given(some_books, st.integers(2, 4))
def test_the_requirement_grows_no_faster_than_the_book(held, times):
    stock = None if held.stock is None else evolve(held.stock, quantity=times * held.stock.quantity)
    more = evolve(held, legs=[evolve(leg, quantity=times * leg.quantity) for leg in held.legs], stock=stock)
    assert all(a <= times * b + 1e-5 for a, b in zip(both(more), both(held), strict=True))


@given(some_books)
def test_bounds_premiums_and_lines_agree(held):
    result = strategy_margin(held, RULES, DAY)
    assert 0 <= result.initial_bound <= result.initial.amount + 1e-9
    assert result.initial_bound == pytest.approx(result.initial.amount, rel=1e-7, abs=1e-6)
    assert result.maintenance_bound == pytest.approx(result.maintenance.amount, rel=1e-7, abs=1e-6)
    shares = abs(held.shares) * 100.0
    shorts = sum(abs(leg.quantity) * 100 * leg.price for leg in held.netted if leg.quantity < 0)
    assert result.premium_credit.amount == pytest.approx(shorts)
    naked = sum(
        strategy_margin(evolve(held, legs=[leg], stock=None), RULES, DAY).initial.amount
        for leg in held.netted
        if leg.quantity < 0
    )
    assert result.initial.amount <= naked + 0.5 * shares + 1e-6


# --------------------------------------------------------------------------------------------- bad input


def test_every_fault_of_a_book_is_named_at_once():
    wrong = [
        OptionLeg(1.5, "cal", -5, math.nan, -1, "noon"),
        OptionLeg(math.inf, CALL, math.nan, -2, math.nan),
    ]
    with pytest.raises(InputError) as caught:
        StrategyBook(
            "equiti", 0.0, wrong, stock=StockHolding(math.nan, 0, 0), leverage=0, multiplier=math.inf, account_type="x"
        )
    said = str(caught.value)
    for part in ("Did you mean 'equity'?", "account_type is 'x'", "price is 0.0", "leverage is 0", "multiplier is inf"):
        assert part in said
    for part in (
        "Did you mean 'call'?",
        "settles is 'noon'",
        "quantity is 1.5",
        "strike is -5",
        "days_to_expiry is -1",
    ):
        assert part in said
    for part in (
        "needs a price",
        "quantity is inf",
        "strike is nan",
        "book, stock: quantity is nan",
        "units_per_share",
    ):
        assert part in said


def test_a_series_has_one_price():
    with pytest.raises(InputError, match="same series stands at 2"):
        book((-1, CALL, 105, 2), (1, CALL, 105, 3))


# --------------------------------------------------------------------------------------------------- cases


def test_the_worked_cases(shared):
    outcome = conformance.run(shared / "cases" / "strategy.jsonl", families=FAMILIES)
    assert outcome.ok, outcome.text()
    assert all(outcome.families[family].passed for family in FAMILIES)


def test_the_rates_of_a_house_reach_a_case():
    leg = {"quantity": -1, "right": CALL, "strike": 105, "price": 2, "days_to_expiry": 30}
    inputs = {
        "account_type": "margin",
        "underlying": {"kind": "broad_index", "price": 100, "leverage": 1.0},
        "house": {"base_rate": 0.25, "minimum_rate": 0.22},
        "stock": {"quantity": 0, "price": None, "units_per_share": 1.0},
        "multiplier": 100,
        "legs": [leg],
    }
    assert FAMILIES["strategy.legs"](inputs)["initial"] == pytest.approx(100 * (2 + 22))


def test_a_case_without_a_proven_pairing_is_no_answer():
    found = margin((-1, PUT, 95, 2), (1, PUT, 90, 1))
    cut_short = evolve(found.initial_pairing, bound=400.0, complete=False)
    with pytest.raises(NumericalError, match=r"initial requirement between 400\.00 and 500\.00 USD"):
        strategy._amounts(evolve(found, initial_bound=400.0, initial_pairing=cut_short))
