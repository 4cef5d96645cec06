"""Whole SPAN files, positional for the most part: what is read, how it is packed, what is refused or passed over."""

import gzip
import io
import zipfile
from datetime import date

import numpy as np
import pytest

from benchmarks import span_files as benchmark
from crossmargin.errors import InputError
from crossmargin.io.span import files, positional
from crossmargin.io.span.files import read_span, write_lines, write_span
from crossmargin.io.span.portfolio import span_portfolio
from crossmargin.io.span.records import format_record, parse_record
from crossmargin.io.span.tables import ContractKey, find_contract, key_of, product_code
from crossmargin.span.portfolio import CalendarSpread, InterSpread, Leg, MonthRange, SpotMonth, Tier
from tests.io.span.sample import CALL, CALL_LOSSES, ES, JUNE, MARCH, RECORDS, XML, ZN, contract, futures_array
from tests.reference import span_file_twin

CALL_KEY = ContractKey("CME", "ES", "OOF", MARCH, option_month=202602, right="call", strike=6000.0)


def lines_of(records):
    return [format_record(code, values) for code, values in records]


def read(records_or_lines):
    lines = [each if isinstance(each, str) else format_record(*each) for each in records_or_lines]
    return read_span(io.BytesIO("".join(f"{line}\n" for line in lines).encode("latin-1")))


def changed(code, place=0, **more):
    """The sample with one record changed: the one at `place` among those of its type."""
    places = [index for index, (each, _) in enumerate(RECORDS) if each == code]
    records = list(RECORDS)
    records[places[place]] = (code, records[places[place]][1] | more)
    return records


def refused(data, **named):
    with pytest.raises(InputError) as caught:
        read_span(io.BytesIO(data), **named)
    return str(caught.value)


@pytest.fixture(scope="module")
def sample():
    return read(RECORDS)


@pytest.fixture(scope="module")
def xml():
    return read_span(io.BytesIO(XML.encode()))


# ------------------------------------------------------------------------------------------------- positional


def test_the_file_says_what_it_is(sample):
    assert sample.file_format == "U2"
    assert sample.clearing_organization == "CME"
    assert sample.business_date == date(2026, 1, 5)
    assert sample.settlement
    assert sample.counts["81"] == sample.counts["82"] == len(sample.contracts) == 7
    assert not sample.skipped
    assert not sample.notes
    assert sample.currency_rates == {("EUR", "USD"): 1.08}


def test_contracts_come_in_columns(sample):
    held = sample.contracts
    row = find_contract(sample, CALL_KEY)
    assert held.losses[row].tolist() == CALL_LOSSES
    assert held.composite_delta[row] == 0.45
    assert held.price[row] == 40.0
    assert held.strike[row] == 6000.0
    assert held.delta_scaling[row] == 0.2
    assert held.value_factor[row] == 50.0
    assert held.volatility[row] == 0.2
    assert held.price_scan_range[row] == 6000.0
    assert (held.month[row], held.option_month[row], held.right[row]) == (MARCH, 202602, b"C")
    ten_year = find_contract(sample, ContractKey("CBT", "21", "FUT", MARCH))
    assert held.price[ten_year] == 112.5
    assert np.isnan(held.strike[ten_year])
    with pytest.raises(ValueError, match="read-only"):
        held.losses[0, 0] = 1.0


def test_every_row_has_a_name_that_finds_it(sample, xml):
    for file in (sample, xml):
        assert [find_contract(file, key_of(file, row)) for row in range(len(file.contracts))] == list(
            range(len(file.contracts))
        )
    assert str(CALL_KEY) == "CME ES OOF 202603 202602 call 6000"


def test_combined_commodities_have_their_rates_and_spreads(sample):
    index, ten = sample.commodities["SP"], sample.commodities["21"]
    assert list(sample.commodities) == ["SP", "21", "26"]
    assert index.series_spreads == (CalendarSpread(1, 150.0, (Leg(MARCH, 1.0, "A"), Leg(JUNE, 1.0, "B"))),)
    assert (index.short_option_rate, index.short_option_method) == (50.0, "max")
    assert index.initial_ratios == {"member": 1.0, "hedger": 1.0, "speculator": 1.1}
    assert index.scan_tiers == (Tier(1, 202601, 202812),)
    assert index.value_node == "CME"
    assert ten.value_node == "CBT"
    assert ten.tiers == (Tier(1, MARCH, MARCH), Tier(2, JUNE, JUNE))
    assert ten.tier_spreads == (CalendarSpread(2, 140.0, (Leg(1, 1, "A"), Leg(2, 1, "B"))),)
    assert sample.commodities["26"].spot_months == (SpotMonth(MARCH, 20.0, 30.0),)
    assert not any(each.gaps for each in sample.commodities.values())


def test_spreads_between_commodities(sample):
    assert sample.inter_spreads == (InterSpread(1, 60.0, (Leg("21", 1.0, "A"), Leg("26", 2.0, "B"))),)
    (scanning,) = sample.scan_spreads
    assert (scanning.target, scanning.credit_rate_pct, scanning.minimum_legs) == ("TG", 98.0, 2)


def test_records_that_are_not_used_are_kept(sample):
    assert sample.records["daily_adjustment"][0]["product"] == "GA"
    assert sample.records["combination_leg"][0]["leg_product"] == "S"
    assert {name for name, found in sample.records.items() if found} == set(sample.records)


def test_risk_exponents_apply_to_all_money():
    plain, scaled = read(RECORDS), read(changed("2 ", risk_exponent=2))
    row = find_contract(plain, CALL_KEY)
    assert (scaled.contracts.losses[row] == 100 * plain.contracts.losses[row]).all()
    assert scaled.commodities["SP"].series_spreads[0].charge == 15_000.0
    assert scaled.commodities["SP"].short_option_rate == 5_000.0
    other = find_contract(plain, ContractKey("CBT", "21", "FUT", MARCH))
    assert (scaled.contracts.losses[other] == plain.contracts.losses[other]).all()


def test_exponents_of_array_parameters():
    file = read(changed("B ", price_scan_range_exponent=2, contract_value_factor_exponent=-1))
    row = find_contract(file, ContractKey("CME", "ES", "FUT", MARCH))
    assert file.contracts.price_scan_range[row] == 600_000.0
    assert file.contracts.value_factor[row] == 5.0


def test_price_risk_methods_take_the_scan_range_of_the_nearest_month():
    file = read(changed("S ", weighted_price_risk_method=2))
    commodity = file.commodities["SP"]
    assert commodity.price_risk_method == "scan_range_cap"
    assert commodity.nearest() == MonthRange(202603, 6000.0, 0.2)
    without = [each for each in changed("S ", weighted_price_risk_method=3) if each[0] != "B "]
    file = read(without)
    assert file.commodities["SP"].price_risk_method == "normal"
    assert "no scan range" in file.commodities["SP"].gaps[0]
    assert any("7 contracts without a delta scaling factor" in note for note in file.notes)


def test_short_option_rates_by_tier():
    file = read(changed("S ", short_option_minimum_rates=[70]))
    assert file.commodities["SP"].scan_tiers[0].short_option_rate == 70.0
    file = read(changed("S ", short_option_minimum_rates=[70, 80]))
    assert "2 short option rates for 1 scanning tiers" in file.commodities["SP"].gaps


def test_negative_strikes_and_prices():
    more = changed("82", 2, strike_sign="-", settlement_raw=-150)
    lines = lines_of(more) + lines_of(contract(CALL, futures_array(900), delta=0.5, raw=100))
    file = read(lines)
    negative = find_contract(
        file, ContractKey("CME", "ES", "OOF", MARCH, option_month=202602, right="call", strike=-6000)
    )
    positive = find_contract(file, CALL_KEY)
    assert file.contracts.price[negative] == -1.5
    assert file.contracts.losses[negative].tolist() == CALL_LOSSES
    assert file.contracts.losses[positive].tolist() == futures_array(900)


def test_a_price_of_more_than_seven_digits_is_the_precise_one():
    records = list(changed("81", high_precision_settlement_raw=10_512_345))
    file = read(records)
    assert file.contracts.price[find_contract(file, ContractKey("CME", "ES", "FUT", MARCH))] == 105_123.45


def test_arrays_need_not_stand_in_pairs():
    others = [each for each in RECORDS if each[0] not in {"81", "82"}]
    firsts = [each for each in RECORDS if each[0] == "81"]
    seconds = [each for each in RECORDS if each[0] == "82"]
    file = read(others + firsts + seconds[::-1])
    assert file.contracts.losses[find_contract(file, CALL_KEY)].tolist() == CALL_LOSSES


def test_options_margined_like_futures():
    file = read(changed("2 ", option_style="F"))
    assert not next(each for each in file.families if each.product_type == "OOF").premium_style
    file = read(changed("P ", 1, valuation_method="FUTOP"))
    assert not next(each for each in file.families if each.product_type == "OOF").premium_style


def test_flat_and_tiered_credits():
    flat = read(changed("6 ", credit_type="F", credit_rate_pct=1.5)).inter_spreads[0]
    assert (flat.method, flat.credit_rate_pct) == ("flat", 150.0)
    monthly = read(changed("6 ", credit_type="P", credit_rate_pct=1.5)).inter_spreads[0]
    assert (monthly.method, monthly.credit_rate_pct) == ("per_month", 150.0)
    odd = read(changed("6 ", credit_type="Q"))
    assert not odd.inter_spreads
    assert any("credit type Q" in note for note in odd.notes)


def test_what_cannot_be_computed_is_a_gap_or_a_note():
    file = read(changed("4 ", spot_method="11"))
    assert file.commodities["SP"].gaps == ("spot charge method 11",)
    file = read(changed("3 ", intra_method="01"))
    assert not file.commodities["SP"].series_spreads
    file = read(changed("6 ", method="07"))
    assert any("method 07" in note for note in file.notes)
    odd = [{"month": 202613, "ratio": 1.0, "side": "A"}, {"month": JUNE, "ratio": 0.0, "side": "C"}]
    assert "calendar spread of line" in read(changed("E ", legs=odd)).commodities["SP"].gaps[0]
    assert "a field is blank" in read(changed("E ", priority=None)).commodities["SP"].gaps[0]
    assert "names a tier" in read(changed("3 ", 1, tiers=[])).commodities["21"].gaps[0]
    assert any("does not define" in note for note in read(changed("E ", combined_commodity="??")).notes)
    assert "weighted price risk method 9" in read(changed("S ", weighted_price_risk_method=9)).commodities["SP"].gaps


def test_spot_months_given_twice_count_once_and_none_at_all_is_told(sample):
    (spot,) = [each for each in RECORDS if each[0] == "4 " and each[1]["combined_commodity"] == "26"]
    twice = read([*RECORDS, spot])
    assert twice.commodities == sample.commodities
    month = spot[1]["months"][0] | {"charge_per_delta_remaining": 999}
    odd = read([*RECORDS, ("4 ", spot[1] | {"months": [month]})])
    assert "is charged otherwise further up" in odd.commodities["26"].gaps[0]
    bare = read([each for each in RECORDS if each != spot])
    assert any(note.startswith("No spot charge and no short option minimum") and "26" in note for note in bare.notes)


def test_arrays_in_the_other_records_are_counted_and_told():
    """Records 83 and 84 have no public layout: what stands in them alone is not there, what stands here too shows."""
    fine = [{"product": each, "product_type": "FUT", "array_decimals": 2} for each in ("ES", "NQ")]
    file = read([*changed("2 ", products=fine), "83CMENQ", "84CMENQ"])
    assert file.skipped == {"83": 1, "84": 1}
    assert any(note.startswith("2 records of arrays with decimals") for note in file.notes)
    with pytest.raises(InputError, match="records 83 and 84, whose layout is not public"):
        find_contract(file, ContractKey("CME", "NQ", "FUT", MARCH))
    (held,) = span_portfolio(file, [(ContractKey("CME", "ES", "FUT", MARCH), 1)]).commodities
    assert any("records 83 and 84" in gap for gap in held.gaps)
    assert not file.commodities["SP"].gaps  # what is not held needs none


def test_prices_written_in_an_unknown_way_are_none_and_noted():
    file = read(changed("P ", settlement_alignment="Q"))
    assert np.isnan(file.contracts.price[find_contract(file, ContractKey("CME", "ES", "FUT", MARCH))])
    assert any("2 contracts without a price" in note for note in file.notes)
    file = read(changed("P ", settlement_decimals=400))
    assert np.isnan(file.contracts.price[find_contract(file, ContractKey("CME", "ES", "FUT", MARCH))])
    assert any("without a price" in note for note in read([each for each in RECORDS if each[0] != "P "]).notes)


def test_unknown_records_and_blank_lines_are_passed_over():
    lines = lines_of(RECORDS)
    file = read(["", *lines[:4], "83CMEES", "9X?", "9", "   ", *lines[4:], "66something", "66", "\x1a"])
    assert file.skipped == {"83": 1, "9X": 1, "9": 1, "66": 2}
    assert len(file.contracts) == 7


def test_line_ends_of_other_systems_and_missing_ones():
    text = "\r\n".join(lines_of(RECORDS))
    file = read_span(io.BytesIO(b"\xef\xbb\xbf" + text.encode()))
    assert len(file.contracts) == 7
    assert file.contracts.losses[find_contract(file, CALL_KEY)].tolist() == CALL_LOSSES


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_blocks_of_any_size_read_the_same(size, monkeypatch, sample):
    monkeypatch.setattr(files, "BLOCK", size)
    file = read(RECORDS)
    assert (file.contracts.losses == sample.contracts.losses).all()
    assert file.contracts.line.tolist() == sample.contracts.line.tolist()
    assert file.commodities == sample.commodities
    assert len(read_span(io.BytesIO(XML.encode())).contracts) == 4


def test_a_header_alone_is_a_file_without_contracts():
    file = read(RECORDS[:1])
    assert len(file.contracts) == 0
    assert file.contracts.losses.shape == (0, 16)
    with pytest.raises(InputError, match="no contract of this product"):
        find_contract(file, CALL_KEY)


# -------------------------------------------------------------------------------------------------- malformed


def test_every_malformed_line_is_told_with_number_type_and_field():
    lines = lines_of(RECORDS)
    number = next(place for place, line in enumerate(lines) if line.startswith("82"))
    lines[number] = lines[number][:60] + "x" + lines[number][61:]
    tiers = next(place for place, line in enumerate(lines) if line.startswith("3 21"))
    lines[tiers] = lines[tiers].replace("202603", "2026O3")
    told = refused("\n".join(lines).encode())
    assert f"line {number + 1}, record type '82', field 'values[1]' (columns 61-66): 'x6000-' is no number" in told
    assert f"line {tiers + 1}, record type '3 ', field 'tiers[0].start_month'" in told


def test_an_array_cut_short_is_told():
    lines = lines_of(RECORDS)
    place = next(place for place, line in enumerate(lines) if line.startswith("81"))
    told = refused("\n".join([*lines[:place], lines[place][:100]]).encode())
    assert f"line {place + 1}, record type '81', field 'values[7]' (columns 97-102)" in told
    assert "is blank or cut short" in told
    told = refused("\n".join(lines[: place + 1]).encode())
    assert "has no record '82'" in told
    told = refused("\n".join([*lines[:place], *lines[place + 1 :]]).encode())
    assert "record type '82': CME" in told
    assert "has no record '81'" in told


def test_numbers_cut_by_the_end_of_their_line_are_counted():
    lines = lines_of(RECORDS)
    place = next(place for place, line in enumerate(lines) if line.startswith("82"))
    lines[place] = lines[place][:106]
    file = read(lines)
    assert "1 line cut inside field '82 implied_volatility'." in file.notes
    assert np.isnan(file.contracts.volatility[0])
    assert file.contracts.price[0] == 6000.0, "from the other record"


def test_a_bad_right_a_bad_sign_and_a_bad_exponent():
    lines = lines_of(RECORDS)
    calls = [place for place, line in enumerate(lines) if line.startswith(("81", "82")) and "OOFC" in line]
    swapped = [line.replace("OOFC", "OOFQ") if place in calls else line for place, line in enumerate(lines)]
    assert "'Q' is neither C nor P" in refused("\n".join(swapped).encode())
    signs = [line.replace("+", "*") if place in calls else line for place, line in enumerate(lines)]
    assert "does not end in a sign" in refused("\n".join(signs).encode())
    wide = [line[:142] + "99 " if line.startswith("B ") else line for line in lines]
    assert "is out of any range" in refused("\n".join(wide).encode())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"file_format": "P2"}, "format 'P2' is not read"),
        ({"file_format": None}, "format None is not read"),
        ({"business_date": "20260231"}, "'20260231' is no date"),
        ({"business_date": None}, "None is no date"),
    ],
)
def test_headers_that_are_refused(more, told):
    assert told in refused("\n".join(lines_of(changed("0 ", **more))).encode())


def test_files_that_are_none():
    for data in (b"", b"\n\n", b"hello world\n", b"\x00" * 1000, b"\xff\xfe", "é".encode(), b"0"):
        assert refused(data)
    assert "has no header record" in refused(b"")
    two = lines_of(RECORDS) + lines_of(changed("0 ", business_date="20260106")[:1])
    assert "headers of several files" in refused("\n".join(two).encode())
    with pytest.raises(InputError, match="cannot be read"):
        read_span("no such file.pa2")
    with pytest.raises(InputError, match="is open as text"):
        read_span(io.StringIO("0 CME"))


def test_a_line_without_an_end_and_too_many_records_are_refused(monkeypatch):
    assert "a line of more than 4096 characters" in refused(b"0 " + b"x" * 10_000)
    monkeypatch.setattr(positional, "MOST_RECORDS", 10)
    assert "more than 10 records besides arrays" in refused("\n".join(lines_of(RECORDS)).encode())


def test_problems_are_capped():
    lines = lines_of(RECORDS)[:1] + ["C SP    10xx"] * 5000
    told = refused("\n".join(lines).encode())
    assert told.count("\n") < 60


# ---------------------------------------------------------------------------------------------------- packing


@pytest.mark.parametrize("name", ["a.pa2", "a.pa2.gz", "a.pa2.zip"])
def test_packed_files_read_the_same(tmp_path, name, sample):
    path = tmp_path / name
    write_span(path, RECORDS)
    file = read_span(path)
    assert file.name == name
    assert (file.contracts.losses == sample.contracts.losses).all()
    with path.open("rb") as still_open:
        assert len(read_span(still_open).contracts) == 7
        assert not still_open.closed


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.pa2"
    with pytest.raises(InputError) as caught:
        write_span(path, [*RECORDS, ("T ", {"rate": -1.0}), ("QQ", {})])
    assert f"line {len(RECORDS) + 1}, record type 'T ', field 'rate'" in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("packing", ["gz", "zip"])
@pytest.mark.parametrize("text", ["positional", "xml"])
def test_packed_files_cut_short_are_refused(tmp_path, packing, text):
    path = tmp_path / f"a.{packing}"
    write_lines(path, lines_of(RECORDS) if text == "positional" else [XML])
    whole = path.read_bytes()
    for length in range(4, len(whole) - 1, 41):
        assert refused(whole[:length])


def test_bombs_are_refused():
    bomb = gzip.compress(b"0 " + b"\n" * 5_000_000)
    assert "more than 1,000,000 bytes when unpacked" in refused(bomb, most_bytes=1_000_000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.pa2", b"\n" * 5_000_000)
    assert "more than 1,000,000 bytes when unpacked" in refused(packed.getvalue(), most_bytes=1_000_000)


def archive_of(names, method=zipfile.ZIP_DEFLATED):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name in names:
            archive.writestr(name, "\n".join(lines_of(RECORDS)))
    return packed.getvalue()


def test_archives_of_one_file_only():
    assert len(read_span(io.BytesIO(archive_of(["folder/", "folder/a.pa2"]))).contracts) == 7
    assert "2 files in the archive" in refused(archive_of(["a.pa2", "b.pa2"]))
    assert "It holds none" in refused(archive_of(["folder/"]))
    assert "unusual method" in refused(archive_of(["a.pa2"], zipfile.ZIP_LZMA))
    locked = bytearray(archive_of(["a.pa2"]))
    locked[6] |= 1
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1
    assert "under a password" in refused(bytes(locked))


# --------------------------------------------------------------------------------------------------- contracts


def test_a_contract_that_is_not_there_is_told_what_is(sample):
    for key, told in (
        (ContractKey("CME", "ESX", "FUT", MARCH), "Did you mean 'CME ES FUT'?"),
        (ContractKey("CME", "ES", "FUT", 202609), "no such contract by its month. There are '202603', '202606'"),
        (ContractKey("CME", "ES", "FUT", MARCH, day="07"), "by its day"),
        (ContractKey("CME", "ES", "FUT", MARCH, day="€"), "by its day"),
        (ContractKey("CME", "ES", "FUT", MARCH, right="call"), "by its right"),
        (ContractKey("CME", "ES", "OOF", MARCH, option_month=202602, right="call", strike=1), "There are '6000'"),
    ):
        with pytest.raises(InputError) as caught:
            find_contract(sample, key)
        assert told in str(caught.value)


def test_a_contract_that_stands_twice_must_be_the_same():
    again = lines_of(RECORDS) + lines_of(contract(ES, futures_array(6000), delta=1.0, raw=600_000))
    key = ContractKey("CME", "ES", "FUT", MARCH)
    assert find_contract(read(again), key) == 0
    other = lines_of(RECORDS) + lines_of(contract(ES, futures_array(7000), delta=1.0, raw=600_000))
    with pytest.raises(InputError, match="stands more than once"):
        find_contract(read(other), key)


def test_codes_of_products():
    assert [product_code(each) for each in ("ZT", "ZF", "ZN", "ZB", "ES", "6J")] == ["26", "25", "21", "17", "ES", "J1"]
    with pytest.raises(InputError, match="give the file's own code"):
        product_code("TN")


# --------------------------------------------------------------------------------------------------- the twin


def test_columns_agree_with_a_reader_of_single_lines(tmp_path):
    path = tmp_path / "a.pa2"
    write_lines(path, benchmark.lines(products=3, months=4, strikes=5))
    file, twin = read_span(path), span_file_twin.read(path)
    assert len(file.contracts) == len(twin) == 3 * 4 * 11
    for row, (named, losses, delta) in enumerate(twin):
        key = key_of(file, row)
        months = (key.month or None, key.option_month or None)
        mine = (key.exchange, key.product, key.product_type, key.right or None, *months, int(key.strike or 0))
        assert mine == named
        assert (file.contracts.losses[row] == losses).all()
        assert file.contracts.composite_delta[row] == delta
    assert benchmark.largest_difference(path) == 0.0


def test_sample_lines_parse_alone():
    assert parse_record(format_record("81", ZN | {"values": [0] * 9}))["product"] == "21"
