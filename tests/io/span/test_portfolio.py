"""From a written SPAN file to a requirement, against figures worked by hand; what a file lacks is told."""

import io
import math

import pytest
from attrs import evolve

from crossmargin.errors import InputError
from crossmargin.io.span.files import read_span, write_span
from crossmargin.io.span.portfolio import span_portfolio
from crossmargin.io.span.records import format_record
from crossmargin.io.span.tables import ContractKey
from crossmargin.span.requirement import span_requirement
from tests.io.span.sample import (
    JUNE,
    MARCH,
    RECORDS,
    XML,
    commodity,
    contract,
    future,
    futures_array,
    parameters,
    quotes,
)

ES, ES_JUNE = (ContractKey("CME", "ES", "FUT", month) for month in (MARCH, JUNE))
ZN, ZN_JUNE = (ContractKey("CBT", "21", "FUT", month) for month in (MARCH, JUNE))
ZT = ContractKey("CBT", "26", "FUT", MARCH)
CALL = ContractKey("CME", "ES", "OOF", MARCH, option_month=202602, right="call", strike=6000.0)
PUT = ContractKey("CME", "ES", "OOF", MARCH, option_month=202602, right="put", strike=5900.0)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("span") / "made-up.pa2.zip"
    write_span(path, RECORDS)
    return read_span(path)


def figures(file, holdings, **named):
    result = span_requirement(span_portfolio(file, holdings, **named))
    return result.maintenance.value, result.initial.value


def test_one_future_costs_its_scan_range(file):
    assert figures(file, [(ES, 1)]) == pytest.approx((6000.0, 6000.0))
    assert figures(file, {ES: -3}, account_type="speculator") == pytest.approx((18_000.0, 19_800.0))


def test_nothing_held_costs_nothing(file):
    assert figures(file, []) == (0.0, 0.0)


def test_a_calendar_with_short_calls_by_hand(file):
    # Futures cancel; two short calls lose 2 x 2,000. Deltas: March 0.2 - 2 x 0.45 x 0.2 = 0.02 against June -0.2, so
    # 0.02 spreads at 150 are 3. Short option value is 2 x 40 x 50 = 4,000, on top; only the risk takes the ratio.
    held = [(ES, 1), (ES_JUNE, -1), (CALL, -2)]
    assert figures(file, held, account_type="speculator") == pytest.approx((8003.0, 1.1 * 4003 + 4000))
    xml = read_span(io.BytesIO(XML.encode()))
    assert figures(xml, held, account_type="speculator") == pytest.approx((8003.0, 1.1 * 4003 + 4000))


def test_a_treasury_spread_by_hand(file):
    # Long 1 ten-year (1,200), short 2 two-years (2 x 600): price risk per delta is 1,200 and 600, one spread of 1:2
    # credits 60 % of 1 x 1,200 + 2 x 600; the spot month of the two-year charges 30 on each of 2 deltas.
    assert figures(file, [(ZN, 1), (ZT, -2)])[0] == pytest.approx(2400 - 0.6 * 2400 + 60)


def test_tier_spreads_and_gross_accounts(file):
    assert figures(file, [(ZN, 1), (ZN_JUNE, -1)])[0] == pytest.approx(140.0)
    assert figures(file, [(ZN, 1), (ZN_JUNE, -1)], gross=True)[0] == pytest.approx(2400.0)
    assert figures(file, [(ZN, 1), (ZN, -1)], gross=True)[0] == pytest.approx(2400.0)
    assert figures(file, [(ZN, 1), (ZN, -1)])[0] == 0.0


def test_long_options_pay_for_themselves(file):
    assert figures(file, [(PUT, 1)])[0] == 0.0


def test_every_holding_that_fails_is_told_at_once(file):
    holdings = [
        (ContractKey("CME", "ES", "FUT", 202609), 1),
        (ContractKey("CME", "NQ", "FUT", MARCH), 1),
        (ES, math.nan),
        (ES, True),
        (ES, "1"),
    ]
    with pytest.raises(InputError) as caught:
        span_portfolio(file, holdings)
    assert len(caught.value.problems) == 5


def test_what_the_file_lacks_is_told_when_it_is_held():
    stray = [quotes("CBT", "99", "FUT"), *contract(future("CBT", "99", MARCH), futures_array(900), delta=1.0, raw=100)]
    unquoted = [each for each in RECORDS if each[0] != "P " or each[1]["product_type"] != "OOF"]
    data = io.BytesIO()
    data.name = "made-up.pa2"
    data.write("\n".join(format_record(*each) for each in unquoted + stray).encode())
    data.seek(0)
    file = read_span(data)
    assert file.name == "made-up.pa2"
    with pytest.raises(InputError) as caught:
        span_portfolio(file, [(ContractKey("CBT", "99", "FUT", MARCH), 1)])
    told = str(caught.value)
    assert "the file gives no delta_scaling" in told
    assert "the file gives no combined commodity" in told
    with pytest.raises(InputError, match="no such contract by its strike"):
        span_portfolio(file, [(CALL, 1)])
    by_right = ContractKey("CME", "ES", "OOF", MARCH, option_month=202602, right="call")
    with pytest.raises(InputError, match="no price or value factor"):
        span_portfolio(file, [(by_right, 1)])


def test_combinations_and_options_without_a_right():
    records = [commodity("CME", "SP", ("ES", "FUT"), ("ES", "OOF"), ("ES", "OOC"))] + [
        each for each in RECORDS if each[0] != "2 "
    ]
    strip = future("CME", "ES", MARCH) | {"product_type": "OOC", "option_month": 202602, "strike_raw": 10}
    more = [
        parameters(strip, 6000, 0.2, 50.0),
        quotes("CME", "ES", "OOC"),
        *contract(strip, futures_array(300), delta=0.5, raw=100),
        *contract(strip | {"right": "call"}, futures_array(300), delta=0.5, raw=100),
    ]
    file = read_span(io.BytesIO("\n".join(format_record(*each) for each in [*records, *more]).encode()))
    key = ContractKey("CME", "ES", "OOC", MARCH, option_month=202602, strike=10.0)
    with pytest.raises(InputError, match="the file gives no right"):
        span_portfolio(file, [(key, 1)])
    portfolio = span_portfolio(file, [(evolve(key, right="call"), 1)])
    assert any("the file lists no legs of it" in gap for gap in portfolio.commodities[0].gaps)


# ------------------------------------------------------------------------------------------------------ combinations

CAL, CAL_CALL = "EC", "EO"  # a calendar of the index future, and the options on it


def leg(number, relation, month, **more):
    return (
        "Z ",
        {
            "exchange": "CME",
            "product": CAL,
            "combination_type": "CAL",
            "month": MARCH,
            "leg": number,
            "relation": relation,
            "ratio": 1.0,
            "leg_product": "ES",
            "leg_product_type": "FUT",
            "leg_month": month,
        }
        | more,
    )


LEGS = (leg(1, "A", MARCH), leg(2, "B", JUNE, ratio=2.0))


def combined(*legs, method="D", of_product=None, records=RECORDS):
    """The sample with a calendar and options on it; delta 0.5 of the calendar for the option."""
    products = [("ES", "FUT"), ("ES", "OOF"), (CAL, "CMB"), (CAL_CALL, "OOC")]
    record = commodity("CME", "SP", *products)
    record[1]["combination_method"] = method
    others = [each for each in records if each[0] not in {"X ", "Y ", "Z "}]
    place = next(place for place, each in enumerate(others) if each[0] == "2 ")
    records = [*others[:place], record, *others[place + 1 :]]
    future_cal = future("CME", CAL, MARCH) | {"product_type": "CMB"}
    call = future("CME", CAL_CALL, MARCH)
    call |= {"product_type": "OOC", "option_month": 202602, "strike_raw": 10, "right": "call"}
    for identity, delta in ((future_cal, 1.0), (call, 0.5)):
        records += [parameters(identity, 600, 0.2, 50.0), quotes("CME", identity["product"], identity["product_type"])]
        records += contract(identity, futures_array(600), delta=delta, raw=100)
    records += [("Y ", {"product": CAL, "option": CAL_CALL}), *legs]
    records += [("X ", {"combination_method": of_product, "product": CAL})] if of_product else []
    return read_span(io.BytesIO("\n".join(format_record(*each) for each in records).encode()))


CALENDAR = ContractKey("CME", CAL, "CMB", MARCH)
ON_CALENDAR = ContractKey("CME", CAL_CALL, "OOC", MARCH, option_month=202602, right="call", strike=10.0)


def deltas(portfolio):
    """Net delta of every month of every commodity."""
    found = {}
    for each in portfolio.commodities:
        for held in each.holdings:
            key = each.code, held.contract.month
            found[key] = found.get(key, 0.0) + held.quantity * held.contract.delta
    return {key: delta for key, delta in found.items() if delta}


@pytest.mark.parametrize(("key", "delta"), [(CALENDAR, 1.0), (ON_CALENDAR, 0.5)])
def test_the_delta_of_a_combination_goes_to_the_months_of_its_legs(key, delta):
    portfolio = span_portfolio(combined(*LEGS), [(key, 10)])
    assert deltas(portfolio) == pytest.approx({("SP", MARCH): 10 * delta * 0.2, ("SP", JUNE): -10 * delta * 2 * 0.2})
    assert not portfolio.commodities[0].gaps
    found = span_requirement(portfolio).commodities[0]
    assert found.scan.scan_risk == 10 * 600  # the array is whole, and scanned where the combination is


def test_spreads_see_the_legs_of_a_combination_as_futures():
    file = combined(leg(1, "A", MARCH), leg(2, "B", JUNE))
    futures = {ES: 10, ES_JUNE: -10}
    assert deltas(span_portfolio(file, {CALENDAR: 10})) == deltas(span_portfolio(file, futures))
    charges = [
        span_requirement(span_portfolio(file, held)).commodities[0].charges.intra_commodity_charge.value
        for held in ({CALENDAR: 10}, futures, {CALENDAR: 10, ES: -10, ES_JUNE: 10})
    ]
    assert charges == [10 * 0.2 * 150, 10 * 0.2 * 150, 0]


def test_a_leg_may_lie_in_another_commodity():
    """The index against the ten-year, were both at one exchange: the second leg's delta enters the ten-year's month."""
    records = [
        (code, values | {"exchange": "CME"}) if values.get("exchange") == "CBT" else (code, values)
        for code, values in RECORDS
    ]
    file = combined(LEGS[0], leg(2, "B", MARCH, leg_product="21"), records=records)
    portfolio = span_portfolio(file, [(CALENDAR, 3)])
    assert deltas(portfolio) == pytest.approx({("SP", MARCH): 0.6, ("21", MARCH): -3.0})
    assert [each.code for each in portfolio.commodities] == ["SP", "21"]
    assert span_requirement(portfolio).maintenance.value == 3 * 600  # delta without losses asks nothing by itself
    elsewhere = span_portfolio(combined(LEGS[0], leg(2, "B", MARCH, leg_product="21")), [(CALENDAR, 3)])
    assert any("has no array of leg 2, CME 21 FUT" in gap for gap in elsewhere.commodities[0].gaps)


@pytest.mark.parametrize(
    ("legs", "why"),
    [
        ((), "the file lists no legs of it"),
        ((LEGS[0], LEGS[0]), "several combinations"),
        ((leg(1, "A", 202609),), "no array of leg 1"),
        ((leg(1, "C", MARCH),), "a side or a ratio"),
        ((leg(1, "A", MARCH, ratio=0.0),), "a side or a ratio"),
        ((leg(1, "A", MARCH, ratio_further_digits=5),), "a side or a ratio"),
        ((leg(1, "A", MARCH, leg_product=CAL, leg_product_type="CMB"),), "a combination itself"),
    ],
)
def test_legs_that_are_not_known_leave_a_gap(legs, why):
    portfolio = span_portfolio(combined(*legs), [(CALENDAR, 1)])
    assert any(why in gap for gap in portfolio.commodities[0].gaps)
    assert deltas(portfolio) == pytest.approx({("SP", MARCH): 0.2})
    assert span_requirement(portfolio).maintenance.partial


@pytest.mark.parametrize(
    ("more", "gap"),
    [
        ({"method": "S"}, "method S"),
        ({"method": "M"}, "method M"),
        ({"method": "D", "of_product": "S"}, "method S"),
        ({"method": "S", "of_product": "D"}, ""),
        ({"method": None}, ""),
    ],
)
def test_splits_of_the_array_are_a_gap(more, gap):
    (held,) = span_portfolio(combined(*LEGS, **more), [(CALENDAR, 1)]).commodities
    assert [each for each in held.gaps if "split of the arrays" in each] == (
        [f"split of the arrays of combinations ({gap})"] if gap else []
    )


def test_currencies_take_the_rates_of_the_file(tmp_path):
    euros = list(RECORDS)
    place = next(place for place, (code, _) in enumerate(RECORDS) if code == "2 ")
    euros[place] = commodity("CME", "SP", ("ES", "FUT"), ("ES", "OOF"), currency="EUR")
    write_span(tmp_path / "a.pa2", euros)
    file = read_span(tmp_path / "a.pa2")
    assert figures(file, [(ES, 1)])[0] == pytest.approx(6480.0)
    assert figures(file, [(ZN, 1)], currency="EUR")[0] == pytest.approx(1200 / 1.08)
    with pytest.raises(InputError, match="currency rate USD to GBP"):
        span_portfolio(file, [(ZN, 1)], currency="GBP")


def test_a_gap_of_a_commodity_shows_in_the_requirement(tmp_path):
    records = [
        (code, values | {"spot_method": "11"})
        if code == "4 " and values["combined_commodity"] == "26"
        else (code, values)
        for code, values in RECORDS
    ]
    write_span(tmp_path / "a.pa2", records)
    portfolio = span_portfolio(read_span(tmp_path / "a.pa2"), [(ZT, 1)])
    assert portfolio.commodities[0].gaps == ("spot charge method 11",)
    assert span_requirement(portfolio).commodities[0].charges.gaps
