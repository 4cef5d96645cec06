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
    assert "allocation of combinations to the months of their legs" in portfolio.commodities[0].gaps


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
