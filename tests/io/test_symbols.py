"""Symbols: every convention gives its product, says what it guessed, and refuses what it cannot know."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.io.symbol_words import calendar_day, cusip_of_isin, is_cusip, isin_of_cusip, right_check_digit
from crossmargin.io.symbols import BLOOMBERG_ROOTS, MONTH_CODES, directory, resolve
from crossmargin.products import (
    ETF,
    STRIPS,
    TIPS,
    IndexFuture,
    ListedOption,
    ShortRateFuture,
    Stock,
    TreasuryBill,
    TreasuryBond,
    TreasuryFuture,
    TreasuryNote,
    contract_specs,
)
from crossmargin.products.options import osi_symbol

AS_OF = date(2026, 6, 30)
SECURITIES = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "reference"


def refusal(symbol, **terms):
    with pytest.raises(InputError) as error:
        resolve(symbol, **terms)
    return str(error.value)


PUT = ListedOption("SPY", "put", 265.0, date(2019, 1, 25))


@pytest.mark.parametrize(
    ("symbol", "description"),
    [
        ("SPY   190125P00265000", ""),
        ("SPY190125P00265000", ""),
        (".SPY190125P265", ""),
        ("-SPY190125P265", ""),
        ("SPY 01/25/2019 265.00 P", ""),
        ("SPY 25JAN19 265 P", ""),
        ("spy us 01/25/19 P265 Equity", ""),
        ("", "PUT (SPY) SPDR S&P 500 ETF JAN 25 19 $265 (100 SHS)"),
    ],
)
def test_one_option_has_many_names(symbol, description):
    found = resolve(symbol, description=description)
    assert found.product == PUT
    assert len(found.guessed) == 1


def test_a_known_fund_makes_its_option_no_guess():
    found = resolve("SPY190125P00265000", known=directory([ETF("SPY", "broad_high_cap")]))
    assert found.product.underlying_kind == "etf"
    assert found.guessed == ()


@pytest.mark.parametrize(
    ("root", "index", "exercise", "settles_at"),
    [
        ("SPX", "SPX", "european", "open"),
        ("SPXW", "SPX", "european", "close"),
        ("OEX", "OEX", "american", "close"),
        ("VIXW", "VIX", "european", "open"),
    ],
)
def test_index_options_settle_in_cash(root, index, exercise, settles_at):
    found = resolve(f"{root:<6}260918C05000000")
    option = found.product
    assert (option.underlying, option.exercise, option.settles_at) == (index, exercise, settles_at)
    assert (option.settlement, option.underlying_kind) == ("cash", "index")
    assert index in found.guessed[0]


@pytest.mark.parametrize("symbol", ["AAPL7 190125C00265000", "AAPL7190125C00265000", "SPY1 01/25/2019 265 C"])
def test_adjusted_options_are_refused(symbol):
    assert "adjusted" in refusal(symbol)


@pytest.mark.parametrize("symbol", ["SPY190231C00265000", "SPY 13/25/2019 265 C", "SPY 25JNA19 265 P"])
def test_no_such_day(symbol):
    assert "calendar" in refusal(symbol)


@pytest.mark.parametrize(
    ("symbol", "product"),
    [
        ("ZNU26", TreasuryFuture("ZN", 202609)),
        ("ZNU6", TreasuryFuture("ZN", 202609)),
        ("/ZNU26", TreasuryFuture("ZN", 202609)),
        ("/ZNU26:XCBT", TreasuryFuture("ZN", 202609)),
        ("ZN 2026-09", TreasuryFuture("ZN", 202609)),
        ("ZN   SEP 26", TreasuryFuture("ZN", 202609)),
        ("TYU6 Comdty", TreasuryFuture("ZN", 202609)),
        ("Z3NU6", TreasuryFuture("Z3N", 202609)),
        ("USZ6 COMDTY", TreasuryFuture("ZB", 202612)),
        ("SR3Z26", ShortRateFuture("SR3", 202612)),
        ("SFRH1 Comdty", ShortRateFuture("SR3", 203103)),
        ("SR3H6", ShortRateFuture("SR3", 203603)),
        ("ZQM2026", ShortRateFuture("ZQ", 202606)),
        ("ESU6", IndexFuture("ES", 202609)),
        ("DMU6 Index", IndexFuture("YM", 202609)),
    ],
)
def test_futures_codes(symbol, product):
    assert resolve(symbol, as_of=AS_OF).product == product


def test_one_digit_of_year_is_a_guess_and_needs_a_date():
    assert "year digit 6 is read as 2026" in resolve("ESU6", as_of=AS_OF).guessed[0]
    assert "as_of" in refusal("ESU6")
    assert resolve("ESU26").guessed == ()


def test_an_expired_contract_is_not_read_ten_years_ahead():
    text = refusal("ESH6", as_of=AS_OF)
    assert "2026" in text
    assert "2036" in text


def test_an_unknown_root_suggests_the_nearest_or_nothing():
    assert "GC is no contract of the library. Known: ES," in refusal("GCG5", as_of=AS_OF)
    assert "Did you mean 'ZN'" in refusal("ZNNU26")


@pytest.mark.parametrize("root", sorted(BLOOMBERG_ROOTS))
def test_a_root_of_bloomberg_needs_no_yellow_key(root):
    month = MONTH_CODES[contract_specs()[BLOOMBERG_ROOTS[root]].months[-1] - 1]
    keyed = resolve(f"{root}{month}6 Comdty", as_of=date(2026, 1, 2))
    for symbol in (f"{root}{month}6", f"{root} {month}26"):
        found = resolve(symbol, as_of=date(2026, 1, 2))
        assert found.product == keyed.product
        assert any("Bloomberg" in each for each in found.guessed) is (root not in contract_specs())


def test_a_month_that_is_not_listed_is_refused():
    assert refusal("ZNV26")


def test_a_basket_is_filled_from_what_is_known():
    note = TreasuryNote(0.04375, date(2034, 5, 15), issue=date(2024, 5, 15))
    empty, filled = resolve("ZNU26"), resolve("ZNU26", known=directory([note]))
    assert empty.product.basket == ()
    assert "basket is empty" in empty.guessed[0]
    assert filled.product.basket == (note,)


@pytest.mark.parametrize(
    ("symbol", "description", "product"),
    [
        ("T 4.5 11/15/33", "", TreasuryNote(0.045, date(2033, 11, 15))),
        ("T 4 1/4 02/15/35 Govt", "", TreasuryNote(0.0425, date(2035, 2, 15))),
        ("T 4.5 11/15/53", "", TreasuryBond(0.045, date(2053, 11, 15))),
        ("", "US TREASURY N/B 4 1/8 11/15/32", TreasuryNote(0.04125, date(2032, 11, 15))),
        ("TII 1.125 01/15/33", "", TIPS(0.01125, date(2033, 1, 15))),
        ("B 04/24/26", "", TreasuryBill(date(2026, 4, 24))),
        ("", "U S TREASURY BILL CPN 0.00000 % MTD 2027-04-10 DTD 2026-08-14", TreasuryBill(date(2027, 4, 10))),
        ("912797AA8", "US TREASURY BILL27 U S T BILL DUE 02/05/27", None),
        ("912810ZZ5", "T 4.5 11/15/33 US TREASURY NOTE 4.5% 11/15/2033", None),
        ("912833XX3", "US TREASURY STRIPPED DUE 11/15/33", None),
    ],
)
def test_treasuries_from_words(symbol, description, product):
    kinds = {"912797": TreasuryBill, "912810": TreasuryBond, "912833": STRIPS}
    found = resolve(symbol, description=description, as_of=AS_OF).product
    assert found == product if product else isinstance(found, kinds[symbol[:6]])
    assert found.cusip == symbol if symbol[:3] == "912" else True


NOTE = TreasuryNote(0.03375, date(2033, 5, 15), issue=date(2023, 5, 15), cusip="91282CHC8")


@pytest.mark.parametrize("rate", ["3 3/8", "3-3/8", "3⅜", "3.375", "3.375%", "3 3/8 %", "3.3750%"])
@pytest.mark.parametrize("day", ["05/15/33", "5/15/2033"])
def test_a_treasury_is_found_by_coupon_and_maturity(rate, day):
    found = resolve(f"T {rate} {day}", known=directory([NOTE, TreasuryNote(0.035, NOTE.maturity)]))
    assert found.product is NOTE or found.product == NOTE
    assert found.product.issue == NOTE.issue
    assert len(found.guessed) == 1
    assert "is known" in found.guessed[0]


def test_a_coupon_below_one_is_a_fraction_alone_too():
    first, *others = (resolve(f"T {rate} 05/15/30").product for rate in ("5/8", "0 5/8", "0.625"))
    assert [first, first] == others


def test_a_cusip_that_is_another_s_is_not_found_by_its_terms():
    words = "US TREASURY NOTE 3 3/8% DUE 05/15/33"
    assert resolve("91282CAA9", description=words, known=directory([NOTE])).product.issue is None
    unnamed = TreasuryNote(NOTE.coupon, NOTE.maturity, issue=NOTE.issue)
    found = resolve(NOTE.cusip, description=words, known=directory([unnamed])).product
    assert (found, found.issue) == (NOTE, NOTE.issue)


def test_of_two_known_with_the_same_terms_none_is_taken():
    twin = TreasuryNote(NOTE.coupon, NOTE.maturity, cusip="91282CAA9")
    found = resolve("T 3 3/8 05/15/33", known=directory([NOTE, twin]))
    assert found.product.cusip == ""
    assert "none of them is taken" in found.guessed[-1]
    bond = TreasuryBond(NOTE.coupon, NOTE.maturity, cusip="912810CH3")
    assert resolve("T 3 3/8 05/15/33", known=directory([bond])).product == bond
    assert resolve("T 3 3/8 05/15/33", hint="treasury_bond", known=directory([NOTE, bond])).product == bond


def test_what_is_missing_from_a_treasury_is_said():
    assert "without a maturity" in refusal("942792RU5", description="UNITED STATES TREAS BILLS ZERO CPN")
    assert "without a coupon" in refusal("91282CAA9", description="US TREASURY NOTE DUE 02/05/27")
    assert "without a spread" in refusal("91282CAA9", description="US TREASURY FRN DUE 02/05/27")
    assert "CUSIP is one of a treasury_bond" in " ".join(
        resolve("912810ZZ5", description="US TREASURY NOTE 4.5% DUE 11/15/33").guessed
    )


def test_a_cusip_and_its_isin_name_what_is_known():
    note = TreasuryNote(0.045, date(2033, 11, 15), cusip="91282CJJ1")
    known = directory([note])
    assert resolve("91282CJJ1", known=known).product is note
    assert resolve(isin_of_cusip("91282CJJ1"), known=known).product is note
    text = refusal("91282CJJ2", known=known)
    assert "Did you mean '91282CJJ1'" in text or "without a maturity" in text
    assert "not its terms" in refusal("037833100")
    assert "ISIN" in refusal("CH0127181193")


def test_tickers_are_guesses_unless_known():
    known = directory([Stock("AAPL"), ETF("SPY", "broad_high_cap")])
    assert resolve("spy", known=known) == resolve("SPY", known=known)
    assert resolve("SPY", known=known).product.breadth == "broad_high_cap"
    assert "common stock" in resolve("IBM").guessed[0]
    assert resolve("IBM US Equity").product == Stock("IBM")
    assert resolve("BRK/B").product == resolve("BRK B").product == Stock("BRK.B")
    assert "Did you mean 'AAPL'" in resolve("AAPPL", known=known).guessed[0]
    assert resolve("VGLT", description="VANGUARD LONG TERM TREASURY ETF").product == ETF("VGLT")


@pytest.mark.parametrize("symbol", ["", "   ", "?", "-", "1e9", "NaN!", "'; DROP", "A" * 40, "ZN\x00U26"])
def test_nonsense_is_refused_with_advice(symbol):
    text = refusal(symbol)
    assert "Did you mean" in text or "Give an OSI symbol" in text


# ---------------------------------------------------------------------------------------------------- the laws

OPTIONS = st.builds(
    ListedOption,
    st.from_regex(r"[A-Z]{1,6}", fullmatch=True),
    st.sampled_from(["call", "put"]),
    st.integers(1, 99_999_999).map(lambda thousandths: thousandths / 1000),
    st.dates(date(2000, 1, 1), date(2068, 12, 31)),
)


@given(OPTIONS)
def test_an_osi_symbol_leads_back_to_its_option(option):
    found = resolve(osi_symbol(option)).product
    assert (found.right, found.strike, found.expiry) == (option.right, option.strike, option.expiry)


@given(st.sampled_from(sorted(contract_specs())), st.integers(2000, 2099), st.data())
def test_every_listed_month_of_every_contract_leads_back(code, year, data):
    month = data.draw(st.sampled_from(contract_specs()[code].months))
    symbol = f"{code}{MONTH_CODES[month - 1]}{year % 100:02d}"
    assert resolve(symbol).product.symbol == f"{code} {year}-{month:02d}"


@given(st.sampled_from(sorted(BLOOMBERG_ROOTS)), st.integers(0, 9))
def test_the_year_of_one_digit_ends_in_it_and_has_not_passed(root, digit):
    months = contract_specs()[BLOOMBERG_ROOTS[root]].months
    try:
        found = resolve(f"{root}{MONTH_CODES[months[-1] - 1]}{digit} Comdty", as_of=AS_OF).product
    except InputError:
        return
    year = int(found.symbol.split()[1][:4])
    assert year % 10 == digit
    assert AS_OF.year <= year < AS_OF.year + 10


@given(st.from_regex(r"[0-9]{3}[A-Z0-9]{5}", fullmatch=True))
def test_cusip_and_isin_are_each_other_s(body):
    cusip = body + right_check_digit(body)
    assert is_cusip(cusip)
    assert cusip_of_isin(isin_of_cusip(cusip)) == cusip
    wrong = body + str((int(cusip[8]) + 1) % 10)
    assert not is_cusip(wrong)
    assert cusip_of_isin(isin_of_cusip(wrong)) == ""


@given(st.text(max_size=30), st.text(max_size=60))
def test_any_text_gives_a_product_or_an_input_error(symbol, description):
    try:
        found = resolve(symbol, description=description, as_of=AS_OF)
    except InputError:
        return
    assert found.how


def test_days_with_short_years():
    assert calendar_day("69", "1", "2") == date(2069, 1, 2)
    assert calendar_day("70", "1", "2") == date(1970, 1, 2)
    assert calendar_day("24", "02", "29") == date(2024, 2, 29)
    assert calendar_day("23", "02", "29") is None


def test_real_cusips_have_their_check_digits():
    path = SECURITIES / "ust_security_master_2025-03-13.csv"
    if not path.exists():
        pytest.skip("the security master stands in ../shared, which is absent")
    with path.open(encoding="utf-8") as file:
        cusips = [row["cusip"] for row in csv.DictReader(file)]
    assert len(cusips) > 200
    assert all(is_cusip(cusip) for cusip in cusips)
