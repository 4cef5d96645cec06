"""Four mistakes in every way in: a wrong header, a mixed currency, separators of thousands, a repeated row.

Each gives a message with the place and the way out; none is read as something else.
"""

from __future__ import annotations

from io import StringIO

import pytest

from crossmargin.errors import InputError
from crossmargin.io.brokers import read_statement
from crossmargin.io.frames import positions_from_frame

SCHWAB = (
    '"Positions for account A as of 04:00 PM ET, 06/30/2026"\n'
    '"Symbol","Description","Quantity","Price","Market Value","Security Type",\n'
    '"IBM","INTL BUSINESS MACHINES","{quantity}","{sign}280.00","--","Equity",\n'
)
FIDELITY = (
    "Account Number,Symbol,Description,Quantity,Last Price,Current Value\n"
    'X12345678,IBM,INTL BUSINESS MACHINES,"{quantity}",{sign}280.00,--\n'
)
VANGUARD = (
    "Account Number,Investment Name,Symbol,Shares,Share Price,Total Value,\n"
    '11111111,INTL BUSINESS MACHINES,IBM,"{quantity}",{sign}280.00,--,\n'
)
TABLE = 'symbol,quantity,price\nIBM,"{quantity}",{sign}280.00\n'
FLEX = (
    '<FlexQueryResponse queryName="q"><FlexStatements count="1"><FlexStatement accountId="U1"><OpenPositions>\n'
    '<OpenPosition accountId="U1" currency="{currency}" assetCategory="STK" symbol="IBM" position="{quantity}" '
    'markPrice="280.00" />\n'
    "</OpenPositions></FlexStatement></FlexStatements></FlexQueryResponse>\n"
)
SHEETS = {"schwab": SCHWAB, "fidelity": FIDELITY, "vanguard": VANGUARD, "table": TABLE}
HEADS = {"schwab": "Quantity", "fidelity": "Quantity", "vanguard": "Shares", "table": "quantity"}
EVERY = {**SHEETS, "flex": FLEX}
every_sheet = pytest.mark.parametrize("name", SHEETS)
every_file = pytest.mark.parametrize("name", EVERY)


def text_of(name, *, quantity="500", sign="", currency="USD"):
    return EVERY[name].format(quantity=quantity, sign=sign, currency=currency)


def read(text):
    return read_statement(StringIO(text))


def reason(statement) -> str:
    (row,) = statement.not_understood
    assert row.place
    return row.reason


@every_file
def test_the_sound_file_is_read(name):
    assert [(each.product.symbol, each.quantity) for each in read(text_of(name)).positions] == [("IBM", 500.0)]


@every_sheet
def test_a_wrong_header_is_named_with_its_row(name):
    head = HEADS[name]
    with pytest.raises(InputError) as error:
        read(text_of(name).replace(head, "Amount of it", 1))
    assert any(word in str(error.value) for word in (f"the column {head!r}", "no header that is known"))
    assert "open file" in str(error.value)


def test_a_wrong_element_is_named():
    with pytest.raises(InputError, match="FlexQueryResponse"):
        read(text_of("flex").replace("FlexQueryResponse", "FlexQuery"))


@every_sheet
@pytest.mark.parametrize("sign", ["€", "£", "CA$"])
def test_a_price_in_another_currency_is_refused(name, sign):
    statement = read(text_of(name, sign=sign))
    assert "is in another currency; positions are margined in USD." in reason(statement)
    assert statement.positions == ()


def test_a_position_in_another_currency_is_refused():
    assert "It is in CAD; positions are margined in USD." in reason(read(text_of("flex", currency="CAD")))
    assert "It is in EUR" in reason(read("symbol,quantity,currency\nIBM,5,USD\nSAP,5,EUR\n"))


@every_file
def test_separators_of_thousands_are_read_in_us_notation_alone(name):
    assert read(text_of(name, quantity="-1,500")).positions[0].quantity == -1500.0
    for wrong in ("1.500,00", "1 500", "15,00", "1'500"):
        assert "another notation. Write 1234.50 or 1,234.50." in reason(read(text_of(name, quantity=wrong)))


@every_file
def test_a_repeated_row_is_counted_once_and_told(name):
    line = next(line for line in text_of(name).splitlines() if "IBM" in line)
    statement = read(text_of(name).replace(line, f"{line}\n{line}"))
    assert [each.quantity for each in statement.positions] == [500.0]
    assert "to the letter; it is counted once. Remove one of the two." in reason(statement)


@every_file
@pytest.mark.parametrize(
    ("quantity", "what"),
    [("1e308", "no book holds more"), ("9.1e15", "no book holds more"), ("nan", "is no number"), ("", "is missing")],
)
def test_quantities_that_cannot_be_are_refused(name, quantity, what):
    statement = read(text_of(name, quantity=quantity))
    if quantity or name not in {"schwab", "fidelity"}:  # these write totals and headings without a quantity
        assert what in reason(statement)
    assert statement.positions == ()


@pytest.mark.parametrize("symbol", ["ESU26", "ZNU26", "SR3U26", "SPY   260918P00570000"])
def test_contracts_are_whole(symbol):
    statement = read(f"symbol,quantity\n{symbol},2.5\nIBM,2.5\n")
    assert reason(statement) == "The quantity is 2.5: contracts are whole."
    assert [each.product.symbol for each in statement.positions] == ["IBM"]


# ----------------------------------------------------------------------------------------------------- frames


def framed(**columns):
    pytest.importorskip("narwhals", reason="narwhals is not installed")
    return pytest.importorskip("pyarrow", reason="pyarrow is not installed").table(columns)


def test_a_frame_with_a_wrong_header():
    with pytest.raises(InputError, match=r"no column is called quantity. Did you mean 'quantiy'\? Name it in columns"):
        positions_from_frame(framed(symbol=["IBM"], quantiy=[5]))
    with pytest.raises(InputError, match="are one column by name"):
        positions_from_frame(framed(symbol=["IBM"], Symbol=["IBM"], quantity=[5]))


def test_a_frame_with_a_mixed_currency():
    statement = positions_from_frame(framed(symbol=["IBM", "SAP"], quantity=[5, 5], currency=["USD", "EUR"]))
    assert "It is in EUR; positions are margined in USD." in reason(statement)
    assert [each.product.symbol for each in statement.positions] == ["IBM"]


def test_a_frame_with_separators_of_thousands():
    statement = positions_from_frame(framed(symbol=["IBM", "SPY"], quantity=["1,500", "1.500,00"]))
    assert "another notation" in reason(statement)
    assert [each.quantity for each in statement.positions] == [1500.0]


def test_a_frame_with_a_repeated_row():
    statement = positions_from_frame(framed(symbol=["IBM", "IBM"], quantity=[5, 5]))
    assert "Repeats frame row 0 to the letter" in reason(statement)
    assert len(statement.positions) == 1


def test_a_frame_with_quantities_that_cannot_be():
    held = framed(symbol=["IBM", "ESU26", "SPY", "V"], quantity=[1e308, 0.5, float("inf"), float("nan")])
    reasons = [row.reason for row in positions_from_frame(held).not_understood]
    assert [any(word in each for word in ("no book", "whole", "inf", "missing")) for each in reasons] == [True] * 4
