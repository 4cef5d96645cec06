"""Broker files: every row is accounted for, quirks are read, and what is wrong is said in words."""

from __future__ import annotations

import gzip
import json
from datetime import date
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossmargin as xm
from crossmargin.errors import InputError
from crossmargin.io.brokers import read_statement
from crossmargin.io.brokers.cells import amount, day_of
from crossmargin.io.symbols import directory

SAMPLES = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "broker_samples"

SCHWAB = """"Positions for account Pat XXXX-1234 as of 07:00 AM ET, 01/02/2026"

"Symbol","Description","Quantity","Price","Market Value","Cost Basis","Security Type",
"TLT","ISHARES 20 YEAR TREASURY ETF","10.5","$90.00","$945.00","N/A","ETFs & Closed End Funds",
"IBM","INTL BUSINESS MACHINES","(1,200)","$280.00","-$336,000.00","--","Equity",
"912797AA8","US TREASURY BILL26 U S T BILL DUE 02/05/26","10,000","$99.50","$9,950.00","--","Fixed Income",
"IBM 01/16/2026 290.00 C","CALL IBM $290 EXP 01/16/26","-5","$1.25","-$625.00","--","Option",
"UVXY","PROSHARES ULTRA VIX","0","$33.265","$0.00","N/A","ETFs & Closed End Funds",
"Futures Cash","--","--","--","$0.00","--","Futures",
"Cash & Money Market","--","--","--","$500.21","--","Cash and Money Market",
"Account Total","--","--","--","-$325,229.79","$100.00","--",
"""

FIDELITY = """,

Account Type,Account #,Beginning mkt Value,Change in Investment,Ending mkt Value
My Account,X12345678,123456.78,-1234.56,54321.09,,
,,,,,,
Symbol/CUSIP,Description,Quantity,Price,Beginning Value,Ending Value,Cost Basis
X12345678,,,,,,
Stocks,,,,,,
ROBO,EXCHANGE TRADED CONCEPTS TR ROBO GLOBAL,10,32.55,305.5,325.50,300.00
V,VISA INC COM CL A EAI: $46.30 EY: 0.76%,20,131.94,2600.00,2638.80,2600.00
,,,,,,
SubTotal of Stocks,,,,,2964.30,2900.00
Bonds,,,,,,
942792RU5,UNITED STATES TREAS BILLS ZERO CPN ZERO COUPON,10000,98.901,N/A,9890.10,9800.00
Options,,,,,,
,PUT (SPY) SPDR S&amp;P 500 ETF MAR 22 19 $189 (100 SHS),-10,0.54,876.54,-540.00,5432.78
SubTotal of Options,,,,,-540.00,8889.56
Core Account,,,,,,
CASH,15678.89,1,21087.65,15678.89,N/A,
"""

VANGUARD = """Account Number,Investment Name,Symbol,Shares,Share Price,Total Value,
11111111,VANGUARD TOTAL WORLD STOCK ETF,VT,10,74.81,7481.00,
22222222,U S TREASURY BILL CPN  0.00000 % MTD 2027-04-10 DTD 2026-10-10,,5000,99.421,4971.05,
22222222,Vanguard Federal Money Market Fund,VMFXX,543.21,1.0,543.21,


Account Number,Trade Date,Settlement Date,Transaction Type,Transaction Description,Investment Name,Net Amount,
11111111,08/20/2026,08/22/2026,Buy,Buy,VANGUARD TOTAL WORLD STOCK ETF,-703.30,
"""


def flex(*rows: str) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- a query
     of two lines -->
<FlexQueryResponse queryName="Activity" type="AF"><FlexStatements count="1">
<FlexStatement accountId="U1" fromDate="20250115" toDate="20250115">
<CashTransactions><CashTransaction currency="USD" description="R&D" amount="1" type="Deposits & Withdrawals" />
</CashTransactions>
<OpenPositions>
{"".join(rows)}
</OpenPositions></FlexStatement></FlexStatements></FlexQueryResponse>
"""


def held(category: str, symbol: str, position: str, **more: str) -> str:
    values = {"accountId": "U1", "currency": "USD", "assetCategory": category, "symbol": symbol, "position": position}
    attributes = [f'{name}="{value}"' for name, value in (values | more).items()]
    return f"<OpenPosition {' '.join(attributes)} />\n"


CALL_110 = {"strike": "110", "expiry": "20250221", "putCall": "C"}


def read(text: str, **terms):
    return read_statement(StringIO(text), **terms)


def holdings(statement):
    return {position.product.symbol: position.quantity for position in statement.positions}


def reasons(statement):
    return " | ".join(row.reason for row in statement.not_understood)


def guesses(statement):
    return " | ".join(str(guess) for guess in statement.guesses)


def refusal(text: str, **terms):
    with pytest.raises(InputError) as error:
        read(text, **terms)
    return str(error.value)


# ------------------------------------------------------------------------------------------------- the formats


def test_schwab():
    statement = read(SCHWAB)
    assert holdings(statement) == {
        "TLT": 10.5,
        "IBM": -1200.0,
        "UST bill 2026-02-05 912797AA8": 10_000.0,
        "IBM call 290 2026-01-16": -5.0,
    }
    assert statement.as_of == date(2026, 1, 2)
    assert statement.accounts == ("Pat XXXX-1234",)
    assert [cash.amount for cash in statement.cash] == [500.21]
    assert statement.prices["IBM"] == 280.0
    assert statement.not_understood == ()
    assert [row.reason for row in statement.understood if row.use == "set aside"] == [
        "Stands before the table.",
        "The header of a table (Schwab positions).",
        "The quantity is 0.",
        "Has no quantity.",
        "A total.",
    ]


def test_treasuries_of_a_statement_have_settled():
    bill = read(SCHWAB).positions[2]
    assert bill.settles == date(2026, 1, 2)
    undated = read(SCHWAB.replace("01/02/2026", ""))
    assert undated.positions[2].settles is None
    assert "not yet settled: give as_of" in guesses(undated)
    assert "taken as of 2026-01-05" in guesses(read(SCHWAB, as_of=date(2026, 1, 5)))


def test_fidelity():
    statement = read(FIDELITY)
    assert holdings(statement) == {"ROBO": 10.0, "V": 20.0, "SPY put 189 2019-03-22": -10.0}
    assert statement.accounts == ("X12345678",)
    assert [cash.amount for cash in statement.cash] == [15678.89]
    assert "without a maturity" in reasons(statement)
    bill = xm.TreasuryBill(date(2027, 1, 7), cusip="942792RU5")
    assert read(FIDELITY, known=directory([bill])).not_understood == ()


def test_vanguard_keeps_accounts_apart():
    statement = read(VANGUARD, as_of=date(2026, 11, 2))
    assert holdings(statement) == {"VT": 10.0, "UST bill 2027-04-10": 5000.0}
    assert statement.accounts == ("11111111", "22222222")
    assert "10 at 74.81 is worth 748.10, but the file says 7,481.00" in guesses(statement)
    assert "several accounts: 11111111, 22222222" in refusal(VANGUARD, account="one")


def test_interactive_brokers():
    statement = read(
        flex(
            held("STK", "AAPL", "500", subCategory="COMMON", markPrice="185.5", positionValue="92750", side="Long"),
            held("STK", "RY", "1000", currency="CAD"),
            held("OPT", "AAPL  250221C00190000", "-50", multiplier="100", side="Short"),
            held("FUT", "ESH5", "10", multiplier="50"),
            held("FOP", "OZNH5 C1100", "3", multiplier="1000", underlyingSymbol="ZNH5", **CALL_110),
            held("FUT", "GCG5", "1", multiplier="100"),
            held("BILL", "912797AA8", "10000", description="US TREASURY BILL 04/24/25"),
            held("BOND", "T 4.5 11/15/33", "10000", cusip="91282CAA9", description="US TREASURY BOND 4.5% 11/15/2033"),
            held("BOND", "AAPL 3.85 08/04/46", "5000", description="APPLE INC 3.85% 08/04/2046"),
            held("WAR", "XYZ", "1"),
        )
    )
    assert holdings(statement) == {
        "AAPL": 500.0,
        "AAPL call 190 2025-02-21": -50.0,
        "ES 2025-03": 10.0,
        "ZN 2025-03 call 110 2025-02-21": 3.0,
        "UST bill 2025-04-24 912797AA8": 10_000.0,
        "UST 4.5 2033-11-15 91282CAA9": 10_000.0,
    }
    assert len(statement.not_understood) == 4
    text = reasons(statement)
    for what in ("It is in CAD", "GC is no contract", "no Treasury", "'WAR' are not modelled"):
        assert what in text
    assert statement.as_of == date(2025, 1, 15)
    assert statement.rows[0].use == "set aside"


def test_lots_days_and_doubled_attributes_are_counted_once():
    day, before = {"reportDate": "20250115"}, {"reportDate": "2025-01-14"}
    statement = read(
        flex(
            held("STK", "AAPL", "30", levelOfDetail="SUMMARY", **day),
            held("STK", "AAPL", "10", levelOfDetail="LOT", **day),
            held("STK", "AAPL", "20", levelOfDetail="LOT", **day),
            held("STK", "AAPL", "25", levelOfDetail="SUMMARY", **before),
            held("STK", "IBM", "10", **day).replace(" />", ' position="11" />'),
        )
    )
    assert holdings(statement) == {"AAPL": 30.0}
    assert reasons(statement) == "Gives position twice. Export the query again."


def test_elements_of_a_flex_query_that_do_not_say_enough():
    statement = read(
        flex(
            held("FOP", "OZNH5 C1100", "3", underlyingSymbol="ZNH5", expiry="20250221", putCall="C"),
            held("FOP", "OZN", "1", underlyingSymbol="ZNH5", **(CALL_110 | {"strike": "high"})),
            held("FOP", "OIBM", "3", underlyingSymbol="IBM", **CALL_110),
            held("STK", "IBM", "5", subCategory="ETF").replace(" />", "></OpenPosition>"),
            held("FUT", "ZNH5", "5").replace(" />", " model=''/>"),
            '<CashReportCurrency accountId="U1" currency="USD" endingCash="seven" />',
        )
    )
    assert holdings(statement) == {"IBM": 5.0, "ZN 2025-03": 5.0}
    assert reasons(statement).count("without right, strike or expiry") == 2
    assert "IBM is no future" in reasons(statement)
    assert "The cash 'seven' is no number" in reasons(statement)


def test_the_newer_layouts_of_schwab_and_fidelity():
    schwab = """"Positions for account Individual ...123 as of 04:01 PM ET, 2026/05/15"
"Symbol","Description","Qty (Quantity)","Price","Mkt Val (Market Value)","Asset Type",
"SPY","SPDR S&P 500","5","600","3000","ETFs & Closed End Funds",
"""
    assert read(schwab).positions[0].quantity == 5.0
    assert read(schwab).as_of == date(2026, 5, 15)
    fidelity = """Account Number,Account Name,Symbol,Description,Quantity,Last Price,Current Value
X12345678,PAT,SPAXX**,HELD IN MONEY MARKET,,,"$1,234.50"
X12345678,PAT, -SPY260918P570,SPY SEP 18 2026 $570 PUT,-5,$12.25,"-$6,125.00"
X12345678,PAT,Pending Activity,,,,$-5.00

"The data and information in this spreadsheet is provided to you solely for your use."
"""
    statement = read(fidelity)
    assert holdings(statement) == {"SPY put 570 2026-09-18": -5.0}
    assert [cash.amount for cash in statement.cash] == [1234.5]
    assert statement.not_understood == ()


def test_cash_of_a_flex_query_by_currency():
    rows = [
        f'<CashReportCurrency accountId="U1" currency="{each}" endingCash="7.5" />'
        for each in ("BASE_SUMMARY", "USD", "CAD")
    ]
    assert [(cash.currency, cash.amount) for cash in read(flex(*rows)).cash] == [("USD", 7.5), ("CAD", 7.5)]


def test_portfolios_of_exchanges_are_refused_row_by_row():
    nse = "product_type,symbol,expiry,net_qty,option_type,strike,buy/sell\nOption,NIFTY,28-Aug-25,75,Put,23500,buy\n"
    assert "INR" in reasons(read(nse))
    assert "is no number" in reasons(read(nse.replace(",75,", ",many,")))
    assert "the side is sell" in reasons(read(nse.replace(",buy\n", ",sell\n")))
    line = {"line_no": 1, "product_id": "FMWO", "contract_date": 20300315, "net_ls_balance": 1}
    swaps = "internalTradeID,tradeType,currency,terminationDate\n1,IRS,EUR,20/08/2039\n2,OIS,USD,20/08/2039\n"
    components = [
        {"type": "etd_portfolio", "etd_portfolio": [line]},
        {"type": "repo_json", "repo_json": [{"sec_isin": "CH0127181193", "currency": "CHF"}]},
        {"type": "otc_csv", "otc_csv": {"csv": swaps}},
        {"type": "news"},
        {"type": "other", "other": [1]},
    ]
    statement = read(json.dumps({"portfolio_components": components}))
    assert len(statement.rows) == 7
    assert len(statement.not_understood) == 6
    assert "FMWO is a contract of Eurex" in reasons(statement)


def test_a_table_of_one_s_own():
    statement = read("Ticker;Qty;Last Price;Kind\nIBM;-500;280;stock\nSPY;1,000;600;etf\nIBM;1;;stok\nZNU26;1;;etf\n")
    assert holdings(statement) == {"IBM": -500.0, "SPY": 1000.0}
    assert "Did you mean 'stock'" in reasons(statement)
    assert "calls it etf" in reasons(statement)


def test_positions_are_ready_for_a_portfolio():
    statement = read(SCHWAB, account="pat")
    portfolio = xm.Portfolio(
        firms=[xm.Firm("dealer", registrations={"BD"})],
        customers=[xm.Customer("PAT", "retail")],
        accounts=[xm.Account("pat", "PAT", "dealer", "SEC_15C3_3")],
        positions=statement.positions,
    )
    assert len(portfolio.positions) == 4


# --------------------------------------------------------------------------------------------- what goes wrong


def test_a_wrong_header_names_the_column():
    text = refusal(SCHWAB.replace('"Quantity"', '"Quantty"'))
    assert "the column 'Quantity' of the table Schwab positions is missing" in text
    assert "row 3" in text
    assert "'Quantty'" in text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n1,2\n", "no header that is known"),
        ("Date,Action,Symbol,Quantity\n01/02/2026,Buy,IBM,5\n", "list of trades"),
        ('symbol,quantity\n"IBM,5\n', "no readable CSV"),
        ("{not json", "no readable JSON"),
        ('{"a":' * 100_000, "no readable JSON"),
        ("{}", "portfolio_components"),
        ("<Statement/>", "FlexQueryResponse"),
        (flex()[:-30], "cut off"),
        (flex().replace("</OpenPositions>", "</Open>"), "not open"),
        (flex("<1 />"), "no readable XML"),
    ],
)
def test_files_that_are_none(text, what):
    assert what in refusal(text)


def test_a_missing_file_and_one_that_is_no_text(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_statement(tmp_path / "none.csv")
    with pytest.raises(InputError, match="as the broker exports it"):
        read_statement(BytesIO("Größe".encode("latin-1")))


def test_packed_files_are_unpacked(tmp_path):
    path = tmp_path / "positions.csv.gz"
    path.write_bytes(gzip.compress(SCHWAB.replace("\n", "\r\n").encode("utf-8-sig")))
    assert holdings(read_statement(path)) == holdings(read(SCHWAB))


def test_a_repeated_row_is_counted_once_and_said():
    line = next(line for line in SCHWAB.splitlines() if line.startswith('"TLT"'))
    statement = read(SCHWAB.replace(line, f"{line}\n{line}"))
    assert holdings(statement) == holdings(read(SCHWAB))
    assert "Repeats open file row 4 to the letter" in reasons(statement)
    with pytest.raises(InputError, match="1 of 11 rows"):
        statement.raise_if_incomplete()


def test_one_security_in_two_rows_is_two_positions():
    statement = read("symbol,quantity\nIBM,5\nIBM,7\n")
    assert [position.quantity for position in statement.positions] == [5.0, 7.0]
    assert len({position.id for position in statement.positions}) == 2
    assert "several rows" in guesses(statement)


@pytest.mark.parametrize("quantity", ["1.234,50", "1 234", "10,00", "1,23,456", "1'000"])
def test_separators_of_another_notation_are_refused(quantity):
    assert "another notation" in reasons(read(f'symbol,quantity\nIBM,"{quantity}"\n'))


@pytest.mark.parametrize("price", ["£4.10", "4.10 EUR", "CA$4.10", "-€5"])
def test_another_currency_in_a_cell_is_said(price):
    statement = read(f"symbol,quantity,price\nTSCO,100,{price}\nIBM,5,USD 280\n")
    assert holdings(statement) == {"IBM": 5.0}
    assert "in another currency" in reasons(statement)


@pytest.mark.parametrize("quantity", ["nan", "inf", "-inf", "ten", "1e999", "1_000", "€5", "0x10"])
def test_what_is_no_number_is_refused(quantity):
    statement = read(f"symbol,quantity\nIBM,{quantity}\n")
    assert statement.positions == ()
    assert len(statement.not_understood) == 1


def test_signs_and_sizes_are_checked():
    assert "the side is Short" in reasons(read("symbol,quantity,side\nIBM,5,Short\n"))
    assert "worth 50 USD" in reasons(read("symbol,quantity,multiplier\nESH26,5,20\n"))
    assert holdings(read("symbol,quantity,multiplier\nIBM260116C290,5,10\n")) == {"IBM call 290 2026-01-16 x10": 5.0}
    bonds = "symbol,description,quantity,price,value\n91282CAA9,US TREASURY NOTE 4.5% DUE 11/15/33,10,98,{}\n"
    assert "counts something else than USD of face" in reasons(read(bonds.format(9800)))
    assert reasons(read(bonds.format(9.80))) == ""


@pytest.mark.parametrize("price", ["0", "-37.63", "1e9", ""])
def test_any_finite_price_is_kept(price):
    statement = read(f"symbol,quantity,price\nIBM,5,{price}\n")
    assert len(statement.positions) == 1
    assert len(statement.quotes) == (1 if price else 0)


def test_the_report_says_all_of_it():
    statement = read(FIDELITY)
    text = statement.report()
    assert "Fidelity positions" in text
    assert all(row.place in text for row in statement.not_understood)
    assert all(guess.what in text for guess in statement.guesses)


# ---------------------------------------------------------------------------------------------------- the laws

CELLS = st.text(st.characters(codec="utf-8", exclude_characters='"\r\n\x00'), max_size=12)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=12))
def test_every_row_is_accounted_for_once(rows):
    quoted = [",".join(f'"{cell}"' for cell in row) for row in rows]
    statement = read("\n".join(["symbol,quantity,price", *quoted]))
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    assert len(statement.rows) == len(filled) + 1
    assert len(statement.understood) + len(statement.not_understood) == len(statement.rows)
    assert len(statement.positions) == sum(row.use == "position" for row in statement.rows)
    assert all(row.reason for row in statement.not_understood)


@given(st.permutations(SCHWAB.splitlines()[3:-3]))
def test_the_order_of_rows_is_nothing(lines):
    text = "\n".join([*SCHWAB.splitlines()[:3], *lines, *SCHWAB.splitlines()[-3:]])
    assert holdings(read(text)) == holdings(read(SCHWAB))


SYMBOLS = ("IBM", "ZNU26", "TYZ26 Comdty", "SPY   260918P00570000", "T 4.25 02/15/35")


@given(st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(-(10**9), 10**9), st.sampled_from(["a", "b"]))))
def test_nothing_held_is_lost_or_made(rows):
    lines = [f'{symbol},"{quantity:,}",{account}' for symbol, quantity, account in rows]
    statement = read("\n".join(["symbol,quantity,account", *lines]), as_of=date(2026, 6, 30))
    assert sum(position.quantity for position in statement.positions) == sum(quantity for _, quantity, _ in set(rows))
    assert len(statement.not_understood) == len(rows) - len(set(rows))
    assert len({position.id for position in statement.positions}) == len(statement.positions)


@given(st.data())
def test_a_damaged_file_gives_a_statement_or_an_input_error(data):
    text = data.draw(
        st.sampled_from([SCHWAB, FIDELITY, VANGUARD, flex(held("STK", "IBM", "5"), held("FUT", "ESH5", "1"))])
    )
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    text = text[:start] + data.draw(st.text('",;<>&/=$()-x1\n', max_size=8)) + text[end:]
    try:
        statement = read(text)
    except InputError:
        return
    assert len(statement.understood) + len(statement.not_understood) == len(statement.rows)
    assert all(row.reason for row in statement.not_understood)


@given(st.floats(-1e12, 1e12).map(lambda number: round(number, 2)))
def test_an_amount_reads_as_it_was_printed(number):
    for text in (f"{number:.2f}", f"{number:,.2f}", f"${number:,.2f}", repr(number)):
        assert amount(text) == pytest.approx(number, abs=0.005)
    assert amount(f"({abs(number):,.2f})") == -abs(number)


def test_days():
    assert day_of("2025-01-15;093000") == day_of("20250115") == day_of("1/15/2025") == date(2025, 1, 15)
    assert day_of("15/01/2025") is day_of("") is None


# ------------------------------------------------------------------------------------------------ real samples


def rows_of(path: Path) -> int:
    """Rows of a CSV file that are not blank, counted in another way."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return sum(bool(line.replace(",", "").replace('"', "").strip()) for line in lines)


NONE_HELD = (
    "eurex_cpme_otc_sensitivities.csv ibkr_activity.xml ibkr_flex_activity_cash.xml nse_elm_2025-08-20.csv "
    "schwab_transactions.csv"
)
COUNTS = dict.fromkeys(NONE_HELD.split(), (0, 0)) | {  # positions, rows not understood
    "eurex_cpme_estimator_crossmargining_etd_otc.json": (0, 2),
    "eurex_cpme_estimator_etd_portfolio_usd.json": (0, 2),
    "eurex_cpme_estimator_repo_json.json": (0, 1),
    "eurex_cpme_otc_portfolio_mixed.csv": (0, 18),
    "eurex_cpme_otc_portfolio_types.csv": (0, 6),
    "fidelity_positions.csv": (5, 1),
    "ibkr_flex_activity_bonds.xml": (1, 2),
    "ibkr_flex_activity_daily_portfolio.xml": (4, 1),
    "ibkr_flex_activity_futures.xml": (2, 1),
    "ibkr_flex_activity_options.xml": (2, 0),
    "ibkr_flex_activity_simple.xml": (2, 0),
    "ibkr_flex_activity_tbills.xml": (1, 0),
    "nse_sample_portfolio.csv": (0, 27),
    "schwab_positions.csv": (3, 0),
    "vanguard_positions_and_transactions.csv": (5, 0),
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_sample_loads_with_its_rows_accounted_for(name):
    path = SAMPLES / name
    if not path.exists():
        pytest.skip("broker samples stand in ../shared, which is absent")
    assert {each.name for each in SAMPLES.iterdir()} == set(COUNTS)
    statement = read_statement(path)
    assert (len(statement.positions), len(statement.not_understood)) == COUNTS[name]
    assert len(statement.understood) + len(statement.not_understood) == len(statement.rows)
    if path.suffix == ".csv":
        assert len(statement.rows) == rows_of(path)
