"""Laws of SPAN files: what is written comes back, both readers agree, and no bytes crash, hang or fill the memory."""

import gzip
import io
import math
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from crossmargin.errors import CrossMarginError, InputError
from crossmargin.io.span.columns import Findings, gather, read_columns
from crossmargin.io.span.files import read_span, write_span
from crossmargin.io.span.layouts import LAYOUTS, Field
from crossmargin.io.span.portfolio import span_portfolio
from crossmargin.io.span.records import format_record, parse_record, prices, settlement_price
from crossmargin.io.span.tables import ContractKey, find_contract, key_of
from crossmargin.span.requirement import span_requirement
from tests.io.span.sample import HEADER, MARCH, RECORDS, XML, commodity, contract, future, parameters, quotes

POSITIONAL = "\n".join(format_record(*each) for each in RECORDS).encode()
MOST_BYTES = 1 << 20

texts = st.text("ABCXYZ019-", min_size=1)
amounts = st.integers(-99_999, 99_999)


def value_of(each: Field):
    """Any value that a field can hold."""
    width = each.last - each.first + 1
    if each.kind == "right":
        return st.sampled_from(["call", "put"])
    if each.kind == "character":
        return st.sampled_from(" C0")
    if each.kind == "text":
        return st.text("ABCXYZ019-", min_size=1, max_size=width)
    if each.kind == "short_month":
        return st.integers(200_000, 209_999)
    if each.kind == "exponent":
        return st.integers(-99, 99)
    most = 10**width - 1
    whole = st.integers(-most if each.sign else 0, most)
    return whole.map(lambda digits: digits / 10**each.decimals) if each.kind == "decimal" else whole


@st.composite
def records(draw, codes=tuple(LAYOUTS)):
    """Any record: each field blank or filled, each repeat any number of times."""
    layout = LAYOUTS[draw(st.sampled_from(codes))]
    values = {each.name: draw(st.none() | value_of(each)) for each in layout.fields}
    for part in layout.parts:
        if isinstance(part, Field):
            continue
        one = st.fixed_dictionaries({each.name: value_of(each) for each in part.fields})
        if part.shape in {"plain", "filled"}:
            one = one.map(lambda item, name=part.fields[0].name: item[name])
        count = part.count if part.shape == "filled" else draw(st.integers(0, part.count))
        found = draw(st.lists(one, min_size=count, max_size=count))
        values[part.name] = draw(one) if part.shape == "group" else found
    return layout.code, values


@given(records())
def test_a_record_that_is_written_is_read_as_it_was(record):
    code, values = record
    read = parse_record(format_record(code, values))
    for name, value in values.items():
        blank = next(
            (" " if each.kind == "character" else each.default for each in LAYOUTS[code].fields if each.name == name),
            None,
        )
        assert read[name] == (blank if value is None else value), name


@given(records(), st.integers(0, 200))
def test_a_record_cut_anywhere_gives_true_values_or_none(record, length):
    line = format_record(*record)
    whole = parse_record(line)
    try:
        cut = parse_record(line[: max(2, length)])
    except InputError as error:
        assert "blank or cut short" in str(error)  # noqa: PT017  only arrays may not be blank
        return
    for each in LAYOUTS[line[:2].ljust(2)].fields:
        if each.kind in {"integer", "decimal", "short_month"}:
            assert cut[each.name] in {whole[each.name], each.default}


@given(st.text(max_size=300), st.sampled_from(list(LAYOUTS)))
def test_any_text_is_read_or_refused(text, code):
    for line in (text, code + text):
        try:
            read = parse_record(line, number=7)
        except InputError as error:
            assert "line 7" in str(error)  # noqa: PT017  where it stands is always told
        else:
            assert isinstance(read, dict)


lines_of_arrays = st.lists(
    records(("81", "82", "B ")).map(lambda record: format_record(*record))
    | st.tuples(st.sampled_from(["81", "82", "B "]), st.text("0123456789+- CPA", max_size=170)).map("".join),
    min_size=1,
    max_size=6,
)


@given(lines_of_arrays, st.integers(0, 170))
def test_many_lines_at_once_are_read_as_single_lines_are(lines, length):
    lines = [*lines, lines[0][: max(2, length)]]
    for line in lines:
        code = line[:2].ljust(2)
        data = np.frombuffer(line.encode() + b" " * LAYOUTS[code].width, dtype=np.uint8)
        findings = Findings()
        at = np.array([0])
        columns = read_columns(gather(code, data, at, lengths=np.array([len(line)]), numbers=np.array([7])), findings)
        try:
            record = parse_record(line, number=7)
        except InputError as error:
            odd_right = all("neither C nor P" in problem.what for problem in error.problems)
            assert odd_right or len(findings.problems)  # the letter of the right is checked with the file
            continue
        assert not findings.problems.found
        for name, column in columns.items():
            expected = record[name] if isinstance(record[name], list) else [record[name]]
            wanted = [math.nan if value is None else float(value) for value in expected]
            assert np.array_equal(np.ravel(column), wanted, equal_nan=True), name


identities = st.tuples(
    st.sampled_from(["ES", "21", "P1"]),
    st.sampled_from([202603, 202606, 202609]),
    st.sampled_from([None, "call", "put"]),
    st.integers(-20, 20),
)
arrays = st.lists(amounts, min_size=16, max_size=16)


@given(st.dictionaries(identities, st.tuples(arrays, st.integers(-10_000, 10_000), amounts), max_size=12))
def test_a_file_that_is_written_is_read_as_it_was(contracts):
    written = {}
    body = []
    for (product, month, right, strike), (values, delta, raw) in contracts.items():
        identity = future("CME", product, month)
        if right:
            terms = {"product_type": "OOF", "right": right, "option_month": month, "strike_raw": abs(strike)}
            identity |= terms
        key = ContractKey(
            "CME",
            product,
            "OOF" if right else "FUT",
            month,
            option_month=month if right else 0,
            right=right or "",
            strike=float(strike) if right else None,
        )
        if key in written:
            continue
        sign = "-" if right and strike < 0 else "+"
        written[key] = (values, delta / 10_000, raw / 100)
        body += contract(identity, values, delta=delta / 10_000, raw=raw, strike_sign=sign)
        body.append(parameters(identity, 100, 0.5, 10.0))
    head = [HEADER, commodity("CME", "ALL", *[(p, kind) for p in ("ES", "21", "P1") for kind in ("FUT", "OOF")])]
    head += [quotes("CME", product, kind) for product in ("ES", "21", "P1") for kind in ("FUT", "OOF")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "made-up.pa2.gz")
        write_span(path, head + body)
        file = read_span(path)
    assert {key_of(file, row) for row in range(len(file.contracts))} == set(written)
    for key, (values, delta, price) in written.items():
        row = find_contract(file, key)
        assert file.contracts.losses[row].tolist() == values
        assert file.contracts.composite_delta[row] == delta
        assert file.contracts.price[row] == price
        assert (file.contracts.delta_scaling[row], file.contracts.value_factor[row]) == (0.5, 10.0)


# ----------------------------------------------------------------------------------------------------- fuzzing


def survives(data):
    """A file, or `InputError`: nothing else comes out of a reader."""
    try:
        file = read_span(io.BytesIO(data), most_bytes=MOST_BYTES)
    except InputError:
        return
    assert len(file.contracts.losses) == len(file.contracts)
    for row in range(min(3, len(file.contracts))):
        with suppress(CrossMarginError):
            span_requirement(span_portfolio(file, [(key_of(file, row), 1)]))


@given(st.binary(max_size=400))
@example(b"\x1f\x8b")
@example(b"PK\x03\x04")
@example(b"<")
@example(b"\xff\xfe<\x00")
@example(b"0 \n81\n82\nB \n")
def test_any_bytes(data):
    survives(data)
    survives(b"<spanFile>" + data)
    survives(POSITIONAL + b"\n" + data)


edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=6)), min_size=1, max_size=4)


def edited(data, changes):
    """Bytes with some places cut out or written over."""
    for share, length, new in changes:
        place = int(share * len(data))
        data = data[:place] + new + data[place + length :]
    return data


@given(edits, st.sampled_from([POSITIONAL, XML.encode()]))
def test_a_file_with_any_places_changed(changes, whole):
    survives(edited(whole, changes))


@given(st.floats(0, 1), edits, st.sampled_from([POSITIONAL, XML.encode()]))
def test_a_packed_file_cut_or_changed_anywhere(share, changes, whole):
    packed = gzip.compress(whole)
    survives(packed[: int(share * len(packed))])
    survives(edited(packed, changes))


digits = st.integers(0, 10**8)


@given(digits, st.integers(0, 9), st.sampled_from([" ", "C", "0", "Q"]))
def test_prices_many_at_once_are_those_one_at_a_time(raw, decimals, alignment):
    many = float(prices([raw], decimals, alignment)[0])
    negative = float(prices([-raw], decimals, alignment)[0])
    try:
        one = settlement_price(raw, decimals, alignment)
    except InputError:
        assert math.isnan(many)
        assert math.isnan(negative)
        return
    assert one == many
    assert settlement_price(raw, decimals, alignment, "-") == negative


@given(st.integers(0, 999), st.integers(0, 31), st.sampled_from([0, 1, 2, 3, 5, 6, 7, 8]))
def test_thirty_seconds_rise_with_their_digits(whole, ticks, code):
    raw = whole * 1000 + ticks * 10 + code
    eighths = {5: 4, 6: 5, 7: 6, 8: 7}.get(code, code)
    assert settlement_price(raw, 3, "C") == whole + (ticks + eighths / 8) / 32


def test_the_sample_is_a_file_that_margins():
    file = read_span(io.BytesIO(POSITIONAL))
    held = [(ContractKey("CBT", "21", "FUT", MARCH), 1)]
    assert span_requirement(span_portfolio(file, held)).maintenance.value == 1200.0
