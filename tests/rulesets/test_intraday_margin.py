"""The intraday standard and the rule before it: figures and dates worked by hand, and the laws of the day's path."""

from __future__ import annotations

import math
from datetime import date, timedelta
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import AccountClass
from crossmargin.conformance import run
from crossmargin.errors import InputError, NotInForce
from crossmargin.portfolio import Pool, Position
from crossmargin.registry import rules
from crossmargin.rulesets.intraday_margin import (
    DayEnd,
    DayTrades,
    Deficit,
    Event,
    Restriction,
    TradingDay,
    cash_only,
    check_standard,
    counts_towards_practice,
    day_trading_buying_power,
    de_minimis_threshold,
    due_on,
    intraday_deficit,
    intraday_levels,
    is_de_minimis,
    is_outstanding,
    is_pattern_day_trader,
    lapses_on,
    pattern_equity_shortfall,
    requirement,
    restriction,
    satisfied_on,
    scenarios,
)
from crossmargin.worked.securities import FAMILIES
from tests.properties.strategies import BILL

RULES = rules("intraday_margin")
AS_OF = date(2026, 7, 1)
MONDAY = date(2026, 7, 6)
CASES = Path(__file__).resolve().parents[2] / ".." / "shared" / "cases" / "intraday.jsonl"


def reader(as_of=AS_OF, **overlaid):
    return (RULES.with_values(because="test", **overlaid) if overlaid else RULES).at(as_of)


def day(events, *, equity=20000.0, required=15000.0, known=True) -> TradingDay:
    return TradingDay(equity, required, [Event(*event) for event in events], known)


def path(of: TradingDay) -> list[float]:
    return [level.value for level in intraday_levels(of)]


# --------------------------------------------------------------------------------------------- the day, by hand

BUY, SELL = ("increase", 30000.0, 0.25), ("decrease", 30000.0, 0.25)
DAYS = [
    ("nothing happens", day([]), [5000], 0),
    ("nothing happens below maintenance", day([], equity=14000.0), [-1000], 0),
    ("bought and sold", day([BUY, SELL]), [5000, -2500, 5000], 2500),
    ("sold and bought", day([SELL, BUY]), [5000, 12500, 5000], 0),
    ("sold and bought, order unknown", day([SELL, BUY], known=False), [5000, -2500, 5000], 2500),
    ("money out", day([("withdrawal", 6200.0)]), [5000, -1200], 1200),
    ("money in first", day([("deposit", 1500.0), ("withdrawal", 6200.0)]), [5000, 6500, 300], 0),
    (
        "the same, order unknown",
        day([("deposit", 1500.0), ("withdrawal", 6200.0)], known=False),
        [5000, -1200, 300],
        1200,
    ),
    ("a deficit that only eases", day([("deposit", 100.0)], equity=14000.0), [-1000, -900], 0),
    (
        "the start counts once something lowers",
        day([("deposit", 900.0), ("withdrawal", 50.0)], equity=14000.0),
        [-1000, -100, -150],
        1000,
    ),
    ("low-priced short asks more than its value", day([("increase", 1000.0, 2.5)]), [5000, 2500], 0),
    ("to the cent at zero", day([("withdrawal", 5000.0)]), [5000, 0], 0),
    ("a trade that asks nothing lowers nothing", day([("increase", 1000.0, 0.0)], equity=14000.0), [-1000, -1000], 0),
]


@pytest.mark.parametrize(("of", "levels", "deficit"), [case[1:] for case in DAYS], ids=[case[0] for case in DAYS])
def test_days_by_hand(of, levels, deficit):
    assert path(of) == pytest.approx(levels)
    assert intraday_deficit(of).value == pytest.approx(deficit)


def test_classes_keep_the_order_listed_when_the_sequence_is_unknown():
    events = [("deposit", 1.0), ("withdrawal", 2.0), ("decrease", 4.0, 1.0), ("increase", 8.0, 1.0)]
    assert path(day(events, equity=0.0, required=0.0, known=False)) == [0, -2, -10, -9, -5]


@pytest.mark.parametrize(
    ("equity", "deficit", "threshold", "expected"),
    [
        (10000, 600, 500, False),
        (15000, 750, 750, True),
        (15000, 750.01, 750, False),
        (20000, 1000, 1000, True),
        (19999.98, 1000, 999.999, False),
        (1e9, 1000, 1000, True),
        (1e9, 1000.01, 1000, False),
        (14100.6, 705.03, 705.03, True),  # a product that floating point does not hit exactly
    ],
)
def test_de_minimis_by_hand(equity, deficit, threshold, expected):
    assert de_minimis_threshold(equity, reader()).value == pytest.approx(threshold)
    assert is_de_minimis(deficit, equity, reader()) is expected


def test_shared_cases():
    if not CASES.exists():
        pytest.skip("the shared worked cases are not beside the repository")
    outcome = run(CASES, families=FAMILIES)
    assert outcome.ok, outcome.text()
    assert not any(tally.not_implemented for tally in outcome.families.values())


# -------------------------------------------------------------------------------------------------- laws of a day

amounts = st.floats(0.0, 1e6)
trades = st.builds(Event, st.sampled_from(["increase", "decrease"]), amounts, st.floats(0.0, 3.0))
transfers = st.builds(Event, st.sampled_from(["withdrawal", "deposit"]), amounts)
events = st.lists(st.one_of(trades, transfers), max_size=6)
equities = st.floats(-1e6, 1e6)


@given(equities, st.floats(0, 1e6), events)
def test_the_deficit_is_the_lowest_point_of_the_path(equity, required, happened):
    of = TradingDay(equity, required, happened)
    lowers = any(event.effect < 0 for event in happened)
    assert len(path(of)) == len(happened) + 1
    assert intraday_deficit(of).value == (max(0.0, -min(path(of))) if lowers else 0.0)


def test_the_narrower_reading_looks_only_where_the_level_was_lowered():
    of = day([("deposit", 900.0), ("withdrawal", 50.0)], equity=14000.0)
    assert intraday_deficit(of).value == 1000
    assert intraday_deficit(of, after_lowering_only=True).value == 150


@given(equities, st.floats(0, 1e6), events)
def test_the_narrower_reading_never_asks_more(equity, required, happened):
    of = TradingDay(equity, required, happened)
    assert intraday_deficit(of, after_lowering_only=True).value <= intraday_deficit(of).value


@given(equities, st.floats(0, 1e6), st.lists(st.one_of(trades, transfers), max_size=4))
def test_an_unknown_order_gives_the_worst_of_all_orders(equity, required, happened):
    unknown = intraday_deficit(TradingDay(equity, required, happened, sequence_known=False)).value
    worst = max(intraday_deficit(TradingDay(equity, required, order)).value for order in permutations(happened))
    assert unknown == pytest.approx(worst, rel=1e-9, abs=1e-6)


@given(equities, st.floats(0, 1e6), events, st.floats(0, 1e6))
def test_more_equity_never_raises_a_deficit(equity, required, happened, more):
    before = intraday_deficit(TradingDay(equity, required, happened)).value
    after = intraday_deficit(TradingDay(equity + more, required, happened)).value
    assert after <= before + 1e-6


@given(equities, st.floats(0, 1e6), events, amounts)
def test_a_deposit_at_the_end_of_the_day_changes_nothing(equity, required, happened, amount):
    before = intraday_deficit(TradingDay(equity, required, happened)).value
    after = intraday_deficit(TradingDay(equity, required, [*happened, Event("deposit", amount)])).value
    assert after == before


@given(equities, st.floats(0, 1e6), events)
def test_the_day_ends_at_the_same_level_in_any_order(equity, required, happened):
    known, unknown = (path(TradingDay(equity, required, happened, known)) for known in (True, False))
    assert known[-1] == pytest.approx(unknown[-1], rel=1e-9, abs=1e-6)


@given(st.floats(0, 1e6), st.floats(0, 1e6), events, st.sampled_from([0.5, 2.0, 8.0]))
def test_a_day_scales(equity, required, happened, scale):
    scaled = [Event(e.kind, e.amount * scale, e.maintenance_rate) for e in happened]
    before = intraday_deficit(TradingDay(equity, required, happened)).value
    after = intraday_deficit(TradingDay(equity * scale, required * scale, scaled)).value
    assert after == pytest.approx(before * scale, rel=1e-9, abs=1e-6)


def test_a_day_of_thousands_of_events():
    of = day([BUY, SELL] * 2500)
    assert intraday_deficit(of).value == pytest.approx(2500)


# --------------------------------------------------------------------------------------------- life of a deficit

SHORT = Deficit(MONDAY, 2500.0, 20000.0, closing_level=-500.0)


def test_dates_by_hand():
    assert due_on(SHORT, reader()) == date(2026, 7, 13)
    assert lapses_on(SHORT, reader()) == date(2026, 7, 27)
    before_thanksgiving = Deficit(date(2026, 11, 20), 2500.0, 20000.0)  # Thanksgiving is on the 26th
    assert due_on(before_thanksgiving, reader(date(2026, 11, 20))) == date(2026, 11, 30)


def test_another_calendar_may_count_the_days():
    assert due_on(SHORT, reader(), add=lambda start, count: start + timedelta(days=count)) == date(2026, 7, 11)


@pytest.mark.parametrize(
    ("on", "satisfied", "expected"),
    [
        (MONDAY - timedelta(days=1), None, False),
        (MONDAY, None, True),
        (date(2026, 7, 27), None, True),  # until after the close of the fifteenth business day
        (date(2026, 7, 28), None, False),
        (date(2026, 7, 8), date(2026, 7, 9), True),
        (date(2026, 7, 9), date(2026, 7, 9), False),
    ],
)
def test_outstanding(on, satisfied, expected):
    assert is_outstanding(SHORT, on, reader(), satisfied=satisfied) is expected


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ([], None),
        ([(7, 2499.99, -500)], None),
        ([(7, 2500, -500)], 7),
        ([(7, 1000, 500), (8, 1500, 500)], 8),  # deposits add up
        ([(8, 1500, 500), (7, 1000, 500)], 8),  # in whatever order they are listed
        ([(7, 0, 1999)], None),
        ([(7, 0, 2000)], 7),  # the level rose from -500 by the amount
        ([(7, 1250, 750)], None),  # a deposit raises the level: not counted twice
        ([(7, 0, 0), (8, 0, 2100), (9, 2500, 4600)], 8),
    ],
)
def test_satisfaction(later, expected):
    found = satisfied_on(SHORT, [DayEnd(date(2026, 7, number), *rest) for number, *rest in later])
    assert found == (date(2026, 7, expected) if expected else None)


@pytest.mark.parametrize(
    ("practice", "satisfied", "expected"),
    [
        (False, None, None),
        (True, date(2026, 7, 13), None),  # on the fifth business day
        (True, None, Restriction(date(2026, 7, 14), date(2026, 10, 12))),
        (True, date(2026, 8, 3), Restriction(date(2026, 7, 14), date(2026, 8, 3))),
        (True, date(2026, 12, 1), Restriction(date(2026, 7, 14), date(2026, 10, 12))),
    ],
)
def test_restriction(practice, satisfied, expected):
    found = restriction(SHORT, reader(), practice=practice, satisfied=satisfied)
    assert found == expected
    if found and satisfied is None:
        days = [found.start + timedelta(days=n) for n in range(-1, 92)]
        assert sum(found.covers(each) for each in days) == 90


@pytest.mark.parametrize(
    ("amount", "satisfied", "expected"),
    [
        (2500.0, None, True),
        (2500.0, date(2026, 7, 14), True),
        (2500.0, date(2026, 7, 13), False),
        (1000.0, None, False),  # de minimis
    ],
)
def test_what_counts_towards_a_practice(amount, satisfied, expected):
    assert counts_towards_practice(Deficit(MONDAY, amount, 20000.0), reader(), satisfied=satisfied) is expected


# --------------------------------------------------------------------------------------- which standard, older rule


@pytest.mark.parametrize(
    ("as_of", "permitted"),
    [
        (date(2026, 6, 3), {"pattern_day_trading"}),
        (date(2026, 6, 4), {"pattern_day_trading", "intraday_margin"}),
        (date(2027, 10, 20), {"pattern_day_trading", "intraday_margin"}),
        (date(2027, 10, 21), {"intraday_margin"}),
    ],
)
def test_the_standard_is_a_choice_of_the_phase_in_alone(as_of, permitted):
    for standard in ("pattern_day_trading", "intraday_margin"):
        if standard in permitted:
            check_standard(standard, reader(as_of))
        else:
            with pytest.raises(NotInForce, match="in force then"):
                check_standard(standard, reader(as_of))


def test_values_of_a_standard_end_with_it():
    with pytest.raises(NotInForce):
        de_minimis_threshold(10000.0, reader(date(2026, 6, 3)))
    with pytest.raises(NotInForce):
        day_trading_buying_power(10000.0, reader(date(2027, 10, 21)))


def test_an_unknown_standard_gets_a_suggestion():
    with pytest.raises(InputError, match="Did you mean 'intraday_margin'"):
        check_standard("intraday_margins", reader())


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([(6, 4, 10)], True),
        ([(6, 3, 10)], False),
        ([(6, 1, 4), (7, 1, 4), (8, 1, 4), (10, 1, 4)], True),
        ([(2, 1, 4), (7, 1, 4), (8, 1, 4), (10, 1, 4)], False),  # the first is out of the window
        ([(6, 4, 50), (7, 0, 16)], True),  # 4 of 66 is more than 6 %
        ([(6, 4, 50), (7, 0, 17)], False),  # 4 of 67 is not
        ([(6, 6, 100)], False),  # exactly 6 %
        ([(10, 4, 10), (13, 9, 9)], True),  # days after the one asked about do not count
        ([], False),
    ],
)
def test_pattern_day_traders(made, expected):
    days = [DayTrades(date(2026, 7, number), *counts) for number, *counts in made]
    assert is_pattern_day_trader(days, date(2026, 7, 10), reader()) is expected


def test_the_window_on_a_weekend_is_that_of_its_friday():
    first = [DayTrades(date(2026, 7, 6), 4, 4)]
    assert is_pattern_day_trader(first, date(2026, 7, 12), reader())
    assert not is_pattern_day_trader(first, date(2026, 7, 13), reader())


@pytest.mark.parametrize(("equity", "expected"), [(25000, 0), (24000, 1000), (0, 25000), (-5, 25005), (1e9, 0)])
def test_pattern_minimum_equity(equity, expected):
    assert pattern_equity_shortfall(equity, reader()).value == expected


@pytest.mark.parametrize(("excess", "unmet", "expected"), [(10000, False, 40000), (10000, True, 20000), (-1, False, 0)])
def test_day_trading_buying_power(excess, unmet, expected):
    assert day_trading_buying_power(excess, reader(), call_unmet=unmet).value == expected


def test_an_unmet_day_trading_call_leaves_cash_only():
    assert cash_only(MONDAY, reader()) == Restriction(date(2026, 7, 14), date(2026, 10, 12))
    assert cash_only(MONDAY, reader(), met=date(2026, 8, 3)) == Restriction(date(2026, 7, 14), date(2026, 8, 3))
    assert cash_only(MONDAY, reader(), met=date(2026, 7, 13)) is None


# ----------------------------------------------------------------------------------------------------- bad input


def test_every_fault_of_a_day_is_named_at_once():
    faulty = [("increase", 1.0), ("deposit", 1.0, 0.25), ("deposits", 1.0), ("increase", -1.0, math.nan)]
    with pytest.raises(InputError) as found:
        day(faulty, equity=math.nan, required=math.inf)
    where = [problem.where for problem in found.value.problems]
    assert where == [
        "equity",
        "maintenance_requirement",
        "events[0]",
        "events[1]",
        "events[2]",
        "events[3]",
        "events[3]",
    ]
    assert "Did you mean 'deposit'" in str(found.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Deficit(MONDAY, 0.0, 1.0),
        lambda: Deficit(MONDAY, math.nan, 1.0),
        lambda: DayTrades(MONDAY, 3, 2),
        lambda: DayTrades(MONDAY, -1, 2),
        lambda: satisfied_on(SHORT, [DayEnd(MONDAY, 9999.0)]),
        lambda: satisfied_on(SHORT, [DayEnd(date(2026, 7, 7), math.nan)]),
        lambda: is_de_minimis(math.nan, 1.0, reader()),
        lambda: de_minimis_threshold(math.inf, reader()),
        lambda: pattern_equity_shortfall(math.nan, reader()),
        lambda: day_trading_buying_power(math.nan, reader()),
    ],
)
def test_what_means_nothing_is_refused(make):
    with pytest.raises(InputError):
        make()


def test_as_a_pool_s_rule_set_nothing_is_silently_zero():
    assert scenarios(reader()) == ()
    held = (Position("p0", "A", BILL, 1e6),)
    pool = Pool("ALPHA", "DUAL", AccountClass.SEC_15C3_3, "FICC", "intraday_margin", "", held)
    assert requirement(pool, None, reader()).amount is None
