"""Single SPAN records: those of real files, the ways of writing a price, what is refused and how it is told."""

import math

import pytest

from crossmargin import conformance
from crossmargin.errors import InputError
from crossmargin.io.span.layouts import LAYOUTS
from crossmargin.io.span.records import format_record, layout_of, parse_record, prices, settlement_price
from crossmargin.worked.span_files import FAMILIES
from tests.io.span.sample import RECORDS

# Records of the CME file of 2025-06-20, as quoted in github jburgy/span (Apache-2.0).
REAL = [
    "0 CME   20250620SE     202506201407U2YNCLR        C CUST  H HEDGE 1 CORE  M MAINT",
    "T CLPCUSD$0000001063",
    "1 CBT  01",
    (
        "2 CBT 26    0USD$PN   26        FUT   26        OOF   59        OOF   WT1       OOF   VT1       OOF   GT1"
        "       OOF"
    ),
    "S 07    20020120250720250702202508202812                                          2",
    "3 06    1001202507202507022025082025080320250920250904202510202511  100010001100",
    "C 06    1001030000100011401A021502B031601A",
    "E 17    0000100002502509   010000A2512   020000B2603   010000A",
    "4 YM    10010120250600000010000000                            00001701001001001",
    "5 CME       06    07    14    31    3CC   71    76    7CC   AUW   BCF",
    (
        "81CBT06        06        FUT 202507            000000000000+00000+00567-00567-00567+00567+01133-01133-01133+"
        "00000000284100N"
    ),
    (
        "82CBT06        06        OOFC202507   202507   000014500000+00000+00000+00000+00000+00000+00000+00000+"
        "002500000139100++10000+C"
    ),
    "V CMEGA        202506  202506200000000000000+P0000000000000+P 100100Y100100Y100100GSCIER",
    "X M31        0000000",
    "Y 31        31",
    "Z CBT31        I/C  202507         001B010S         FUT202507  0000NL 0000000+",
]


def refused(call, *arguments, **named):
    with pytest.raises(InputError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def test_the_shared_cases_of_records_and_prices_pass(shared):
    cases = [case for case in conformance.read_cases(shared / "cases" / "span.jsonl") if case.family in FAMILIES]
    assert len({case.family for case in cases}) == 15
    failures = [failure for case in cases for failure in conformance.check(case, FAMILIES[case.family])]
    assert not failures


def test_every_record_type_has_a_family_of_cases():
    assert set(FAMILIES) == {"span.settlement_price"} | {
        f"span.parse_record.{each.family}" for each in LAYOUTS.values()
    }


def test_a_case_of_another_record_is_refused():
    with pytest.raises(InputError, match="Give one of header"):
        FAMILIES["span.parse_record.header"]({"record": REAL[1]})


@pytest.mark.parametrize("line", REAL, ids=lambda line: line[:2])
def test_real_records_are_written_as_they_were_read(line):
    again = format_record(line[:2], parse_record(line))
    told_twice = line[:2] in {"0 ", "S "}  # names behind the codes of the header, a count of months without months
    assert again == line or told_twice
    assert parse_record(again) == parse_record(line)


def test_fields_of_real_records():
    adjustment = parse_record(REAL[-4])
    assert adjustment["product"] == "GA"
    assert adjustment["long_maintenance_rate"] == adjustment["reset_short_up"] == 1.0
    assert adjustment["product_class"] == "GSCIER"
    leg = parse_record(REAL[-1])
    assert (leg["leg"], leg["relation"], leg["ratio"], leg["leg_product"]) == (1, "B", 1.0, "S")
    assert parse_record(REAL[0])["origin"] == "C"
    assert parse_record(REAL[2]) == {"exchange": "CBT", "exchange_code": "01"}


def test_layouts_do_not_overlap_and_begin_after_the_code():
    for layout in LAYOUTS.values():
        fields = [*layout.fields, *(each for places in layout.occurrences.values() for at in places for each in at)]
        taken = [column for each in fields for column in {*range(each.first, each.last + 1), each.sign or each.first}]
        assert len(taken) == len(set(taken)), layout.code
        assert min(taken) == 3
        assert max(taken) == layout.width


@pytest.mark.parametrize(("code", "values"), RECORDS, ids=lambda value: value if isinstance(value, str) else "")
def test_records_of_the_sample_come_back(code, values):
    read = parse_record(format_record(code, values))
    for name, value in values.items():
        got = read[name]
        if isinstance(value, list) and value and isinstance(value[0], dict):
            assert len(got) == len(value)
            for mine, written in zip(got, value, strict=True):
                assert {key: mine[key] for key in written} == written
        elif isinstance(value, dict):
            assert {key: got[key] for key in value} == value
        else:
            assert got == value


# ---------------------------------------------------------------------------------------------------- refusal


def test_a_line_that_is_too_short_gives_blanks():
    assert parse_record("B") == parse_record("B ")
    assert set(parse_record("B").values()) == {None}
    assert parse_record("2 ")["risk_exponent"] == 0
    assert parse_record("P CBTC         FUT")["settlement_alignment"] == " "


def test_a_number_that_the_line_cuts_short_is_no_number():
    line = "T CLPCUSD$0000001063"
    assert parse_record(line)["rate"] == 0.001063
    assert parse_record(line[:-2])["rate"] is None
    assert parse_record("B CBTC         FUT202603            " + "0" * 84 + "0001234")["expiration_price_raw"] is None


def test_every_bad_field_is_told_with_line_type_name_and_columns():
    bad = REAL[5].replace("202507202507", "2O2507202507").replace("10001100", "1000110 ")
    told = refused(parse_record, bad, number=17)
    assert "line 17, record type '3 ', field 'tiers[0].start_month' (columns 13-18): '2O2507' is no number" in told
    assert "field 'ratio_speculator' (columns 77-80)" in told


@pytest.mark.parametrize("text", ["-0001", "1_000", "٠٠١", "0x123", "1e3", "12 45", "1234 "])
def test_what_python_would_take_for_a_number_is_none(text):
    line = "S 07    2002" + " " * 91 + text.ljust(7)[:7] + "0000000"
    assert "is no number" in refused(parse_record, line)


def test_blanks_before_digits_are_no_harm():
    assert parse_record("C 06    1001  " + "    100")["charge"] == 100


def test_an_unknown_type_an_endless_line_and_a_bad_sign_are_refused():
    assert "unknown record type 'QQ'" in refused(parse_record, "QQ rest", number=3)
    assert "unknown record type '  '" in refused(layout_of, "")
    assert "columns, the layout has" in refused(parse_record, "0 " + "x" * 5000)
    assert "'*' is no sign" in refused(parse_record, REAL[10].replace("00567-", "00567*"))
    assert "is neither C nor P" in refused(parse_record, REAL[11].replace("OOFC", "OOFX"))


def test_a_blank_in_an_array_is_refused():
    told = refused(parse_record, REAL[10].replace("00567-00567-", "00567-      "))
    assert "field 'values[3]' (columns 73-77): is blank or cut short" in told


@pytest.mark.parametrize("text", ["-02", " 02", "02 ", "02-", "+02"])
def test_exponents_take_their_sign_on_either_side(text):
    record = parse_record("B CBTC         FUT" + " " * 124 + text)
    assert record["contract_value_factor_exponent"] == (-2 if "-" in text else 2)


def test_exponents_that_are_none():
    for text in ("--1", "1 2", "-+ ", "abc"):
        assert "is no number" in refused(parse_record, "B CBTC         FUT" + " " * 124 + text)


def test_writing_refuses_what_does_not_fit():
    told = refused(format_record, "T ", {"rate": 1e9, "from_currency": "EURO", "colour": 1, "to_currency": "€"})
    for part in ("unknown field 'colour'", "'EURO' does not fit", "1000000000.0 does not fit", "'€' does not fit"):
        assert part in told
    assert "at most 8" in refused(format_record, "C ", {"legs": [{"leg": 1}] * 9})
    for value in (math.nan, math.inf, "7", True, -7):
        assert "does not fit" in refused(format_record, "C ", {"charge": value})
    assert "unknown record type" in refused(format_record, "QQ", {})


# ----------------------------------------------------------------------------------------------------- prices


@pytest.mark.parametrize(
    ("raw", "decimals", "alignment", "price"),
    [
        ("0122060", 3, "C", 122.1875),
        ("0122062", 3, "C", 122 + 6.25 / 32),
        ("0122317", 3, "C", 122 + 31.75 / 32),
        ("0012216", 2, "C", 122.5),
        ("0003757", 3, "0", 375.75),
        ("0003755", 3, "0", 375.5),
        ("0003750", 3, "0", 375.0),
        ("0000000", 0, " ", 0.0),
        ("0251100", 2, " ", 2511.0),
        (251100, 2, "", 2511.0),
    ],
)
def test_settlement_prices(raw, decimals, alignment, price):
    assert settlement_price(raw, decimals, alignment) == price
    assert settlement_price(raw, decimals, alignment, "-") == -price


@pytest.mark.parametrize(
    ("raw", "decimals", "alignment"),
    [
        ("0122064", 3, "C"),  # 4 and 9 are no eighths
        ("0003759", 3, "0"),
        ("0122320", 3, "C"),  # 32 of 32
        ("0122060", 4, "C"),
        ("0003757", 2, "0"),
        ("0122060", 3, "Q"),
    ],
)
def test_digits_that_mean_nothing(raw, decimals, alignment):
    assert "has no meaning" in refused(settlement_price, raw, decimals, alignment)
    assert math.isnan(prices([int(raw)], decimals, alignment)[0])


def test_arguments_that_mean_nothing_come_all_at_once():
    told = refused(settlement_price, "-12", 99, " ", "*")
    assert told.count("  - ") == 3
    assert "no row of digits" in refused(settlement_price, "1²", 0)
    assert "no number of decimals" in refused(settlement_price, "1", 1.5)
    assert "no row of digits" in refused(settlement_price, math.nan, 0)
