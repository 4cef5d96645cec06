"""CRIF files: header aliases, delimiters, every row checked, add-ons, schedule rows, the way back."""

import gzip
import importlib.util
import zipfile
from io import BytesIO, StringIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.io import crif as reading
from crossmargin.io.crif import HEADER, crif_of, crif_text, read_crif, write_crif
from crossmargin.io.crif_arrow import arrow_table
from crossmargin.io.crif_columns import text_table
from crossmargin.simm import AddOns, Sensitivities, calibration_from, notional_add_ons, simm
from tests.simm import made_up

TITLES = "PortfolioID,ProductClass,RiskType,Qualifier,Bucket,Label1,Label2,Amount,AmountCurrency,AmountUSD,IMModel"
FX = "P,RatesFX,Risk_FX,EUR,,,,5,EUR,5.5,SIMM"


def crif(*rows, titles=TITLES, end="\n"):
    return read_crif(StringIO("\n".join([titles, *rows]) + end))


def problems_of(*rows, **more):
    with pytest.raises(InputError) as caught:
        crif(*rows, **more)
    return [(problem.where, problem.what) for problem in caught.value.problems]


def test_rows_become_sensitivities():
    found = crif(FX, "P,RatesFX,Risk_IRCurve,USD,1,5Y,OIS,-7,usd,,")
    risks = found.sensitivities()
    assert risks.amount_usd.tolist() == [5.5, -7.0]  # an amount in USD needs no second column
    assert risks.label1.texts() == ["", "5y"]
    assert risks.rows.tolist() == [2, 3]
    assert found.portfolios == ("P",)


@pytest.mark.parametrize("delimiter", ["\t", ",", ";"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n", "\n\n \n"])
def test_delimiters_and_ends(delimiter, end):
    text = f"{TITLES}\n{FX}\n{FX}".replace(",", delimiter).replace("\n", "\r\n" if "\r" in end else "\n") + end
    assert read_crif(StringIO(text)).sensitivities().amount_usd.tolist() == [5.5, 5.5]


def test_header_aliases_order_and_other_columns():
    found = crif("x,1,EUR,risk,Risk_FX,RatesFX", titles="#Desk,amount_usd, QUALIFIER ,Kind,risk_type,Product Class")
    assert found.sensitivities().qualifier.texts() == ["EUR"]
    assert found.ignored == ("Desk", "Kind")


def test_paths_bytes_and_a_byte_order_mark(tmp_path):
    text = f"\ufeff{TITLES}\n{FX}\n"
    file = tmp_path / "book.csv"
    file.write_text(text, encoding="utf-8")
    whole = read_crif(file)
    assert whole.name == "book.csv"
    assert whole == read_crif(str(file)) == read_crif(BytesIO(text.encode())) == read_crif(StringIO(text))


def test_quoted_fields():
    found = crif('P,RatesFX,Risk_FX,"EUR",,,,"5",USD,,', 'P,Equity,Risk_Equity,"A ""B"", C",1,,,1,USD,,')
    assert found.sensitivities().qualifier.texts() == ["EUR", 'A "B", C']


def test_an_empty_crif_and_one_without_rows():
    with pytest.raises(InputError, match="is empty"):
        read_crif(StringIO(" \n\n"))
    assert len(crif().sensitivities()) == 0
    assert crif().add_ons() == AddOns()
    assert crif() == read_crif(StringIO(crif_text(crif())))


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_crif(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="UTF-8"):
        read_crif(BytesIO("Währung".encode("latin-1")))


def zipped(**members):
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return packed.getvalue()


def test_packed_files(tmp_path):
    text = f"{TITLES}\r\n{FX}\r\n"
    whole = read_crif(StringIO(text))
    for name, data in (("a.csv.gz", gzip.compress(text.encode())), ("a.zip", zipped(book=text))):
        (tmp_path / name).write_bytes(data)
        assert read_crif(tmp_path / name) == read_crif(BytesIO(data)) == whole
    write_crif(whole, tmp_path / "b.gz")
    assert gzip.decompress((tmp_path / "b.gz").read_bytes()).decode() == crif_text(whole)
    assert read_crif(tmp_path / "b.gz") == whole


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (gzip.compress(FX.encode(), mtime=0)[:-9], "cannot be read"),
        (zipped(book=FX)[:-9], "cannot be read"),
        (zipped(), "0 files in the archive"),
        (zipped(a=FX, b=FX), "2 files in the archive.*'a', 'b'"),
        (gzip.compress(bytes(5000), mtime=0), "more than 4,000 bytes"),
        (zipped(book="x" * 5000), "more than 4,000 bytes"),
    ],
)
def test_packed_files_that_cannot_be_used(data, what):
    with pytest.raises(InputError, match=what):
        read_crif(BytesIO(data), most_bytes=4000)


def test_every_bad_field_is_listed():
    found = problems_of(
        FX,
        "P,RatesFX,Risk_Fx,EUR,,,,5,EUR,5.5,",
        "P,Rates,Risk_FX,EUR,,,,5,EUR,5.5,",
        "P,RatesFX,Risk_FX,EURO,,,,5,EUR,5.5,",
        "P,RatesFX,Risk_FX,EUR,,,,5,EUR,,",
        "P,RatesFX,Risk_FX,EUR,,,,5,EUR,1_0,",
        "P,RatesFX,Risk_FX,EUR,,,,5,EUR,inf,",
        "P,RatesFX,Risk_FX,EUR",
        "P,Equity,Risk_Equity,A,,,,5,EUR,1,",
        "P,RatesFX,Risk_FX,EUR,,,,ten,EUR,1,",
    )
    assert found == [
        ("CRIF row 9", "another number of fields."),
        ("CRIF row 11, field 'Amount'", "'ten' is no number."),
        ("CRIF row 7, field 'AmountUSD'", "'1_0' is no number."),
        ("CRIF row 8, field 'AmountUSD'", "'inf' is no number."),
        ("CRIF row 3, field 'RiskType'", "'Risk_Fx' is unknown."),
        ("CRIF row 4, field 'ProductClass'", "'Rates' is unknown."),
        ("CRIF row 5, field 'Qualifier'", "'EURO' does not fit Risk_FX."),
        ("CRIF row 10, field 'Bucket'", "is blank, which Risk_Equity does not allow."),
        ("CRIF row 6, field 'AmountUSD'", "is blank."),
    ]


def test_misspelt_models_and_sub_curves_are_told():
    curve = "P,RatesFX,Risk_IRCurve,USD,1,5y,{},5,USD,,{}"
    with pytest.raises(InputError) as caught:
        crif(curve.format("Libor4m", ""), curve.format("OIS", "SIM"), curve.format("ois", "shedule"), FX)
    assert [str(problem) for problem in caught.value.problems] == [
        "CRIF row 3, field 'IMModel': 'SIM' is no model. Did you mean 'SIMM'?",
        "CRIF row 4, field 'IMModel': 'shedule' is no model. Did you mean 'Schedule'?",
        "CRIF row 2, field 'Label2': 'Libor4m' is no sub-curve. Did you mean 'Libor6m'?",
        "CRIF row 4, field 'Label2': 'ois' is no sub-curve. Did you mean 'OIS'?",
    ]
    for model in ("SIMM", "simm-p", "SIMM_R", "schedule", ""):
        assert len(crif(curve.format("Libor3m", model))) == 1
    credit = "P,Credit,Risk_CreditNonQ,A,1,5y,CMBX,5,USD,,"
    assert len(crif(credit)) == 1, "labels of other risks are free"


def test_plain_and_irregular_files_find_the_same_problems():
    rows = ["P,RatesFX,Risk_FX,EURO,,,,5,EUR,5.5,", "P,RatesFX,Risk_Fx,EUR,,,,5,EUR,5.5,"]
    shifted = [(where.replace("row 4", "row 3"), what) for where, what in problems_of(rows[0], "", rows[1])]
    assert shifted == problems_of(*rows)


def test_a_header_that_lacks_columns():
    found = problems_of("1,2,3", titles="RiskType,risk type,Bucket")
    assert found == [
        ("CRIF header", "RiskType stands twice."),
        ("CRIF header", "no column ProductClass."),
        ("CRIF header", "no column Qualifier."),
        ("CRIF header", "no column AmountUSD."),
    ]


# ------------------------------------------------------------------------------- portfolios, add-ons, schedule


def test_portfolios_do_not_net():
    found = crif(FX, FX.replace("P,", "Q,", 1))
    assert len(found.sensitivities("Q")) == 1
    with pytest.raises(InputError, match="2 portfolios, which do not net"):
        found.sensitivities()
    with pytest.raises(InputError, match="no portfolio 'R'"):
        found.sensitivities("R")


ADD_ONS = (
    "P,,Param_ProductClassMultiplier,RatesFX,,,,1.5,,,",
    "P,,Param_AddOnFixedAmount,,,,,100,USD,100,",
    "P,,Param_AddOnNotionalFactor,Alpha,,,,5,,,",
    "P,,Notional,Alpha,,,,900,EUR,1000,",
    "P,,Param_AddOnNotionalFactor,Beta,,,,5,,,",
)


def test_add_ons():
    found = crif(FX, *ADD_ONS).add_ons()
    assert found.multipliers == {"RatesFX": 1.5}
    assert found.amount == 100 + 50  # Beta has no notional


def test_bad_add_ons_are_listed():
    found = problems_of(
        "P,,Param_ProductClassMultiplier,Rates,,,,1.5,,,",
        "P,,Param_ProductClassMultiplier,Credit,,,,0.5,,,",
        "P,,Param_ProductClassMultiplier,Equity,,,,1.5,,,",
        "P,,Param_ProductClassMultiplier,Equity,,,,1.5,,,",
        "P,,Param_AddOnNotionalFactor,Alpha,,,,,,,",
        "P,,Param_AddOnFixedAmount,,,,,-1,USD,,",
        "P,,Notional,Alpha,,,,1,EUR,,",
    )
    assert found == [
        ("CRIF row 8, field 'AmountUSD'", "is blank."),
        ("CRIF row 6, field 'Amount'", "is blank."),
        ("CRIF row 3, field 'Amount'", "is a multiplier below 1."),
        ("CRIF row 7, field 'Amount'", "is below 0."),
        ("CRIF row 2, field 'Qualifier'", "'Rates' is no product class."),
        ("CRIF rows 4, 5, field 'Qualifier'", "'Equity' has two multipliers."),
    ]


def test_schedule_rows_are_kept_and_not_used():
    found = crif(FX, "P,Rates,PV,t,,,,1,EUR,,Schedule", "P,Rates,Notional,t,,,,1,EUR,,schedule")
    assert found.schedule_rows() == 2
    assert len(found.sensitivities()) == 1
    assert found.add_ons() == AddOns()


# ------------------------------------------------------------------------------------------------- the way back


def test_round_trip(tmp_path):
    found = crif(FX, *ADD_ONS, "P,Rates,PV,t,,,,0.1,EUR,,Schedule")
    for delimiter in ("\t", ",", ";"):
        write_crif(found, tmp_path / "out", delimiter=delimiter)
        assert read_crif(tmp_path / "out") == found
    assert (tmp_path / "out").read_text().splitlines()[0].split(";") == list(HEADER.values())


def test_crifs_that_differ_are_not_equal():
    assert crif(FX) != crif(FX, FX)
    assert crif(FX) != crif(FX.replace("EUR", "GBP"))
    assert crif(FX) != crif(FX.replace("5.5", "5.6"))
    assert crif(FX) != FX


def test_a_crif_of_sensitivities_has_the_same_margin():
    calibration = calibration_from(made_up.calibration())
    risks = Sensitivities.from_records(made_up.book(300, 2))
    shares = notional_add_ons([("Alpha", 5.0), ("Alpha", 1.0)], [("Alpha", 70.0)])
    add_ons = AddOns({"Credit": 1.25}, (10.0,), shares)
    back = read_crif(StringIO(crif_text(crif_of(risks, portfolio="P", add_ons=add_ons))))
    expected = simm(risks, calibration, add_ons=add_ons)
    found = simm(back.sensitivities("P"), calibration, add_ons=back.add_ons())
    assert found.total == expected.total
    assert back.add_ons() == add_ons


# ------------------------------------------------------------------------------------- columns of plain texts


def by_numpy(data, width):
    return text_table(memoryview(data), "\t", width)


def by_arrow(data, width):
    return arrow_table(memoryview(data), "\t", width, texts=[0], numbers=[])


@pytest.fixture(params=["numpy", "arrow"])
def reader(request):
    if request.param == "arrow":
        pytest.importorskip("pyarrow")
    return by_numpy if request.param == "numpy" else by_arrow


def lines(*columns):
    return ("\n".join("\t".join(fields) for fields in zip(*columns, strict=True)) + "\n").encode()


def numbers_of(reader, texts):
    if reader is by_numpy:
        return by_numpy(lines(texts), 1).numbers(0)
    found = arrow_table(memoryview(lines(texts)), "\t", 1, texts=[], numbers=[0])
    return found and found.numbers(0)


def test_columns_of_a_plain_text(reader):
    texts = ["a", "", "eight888", "nine99999", "Zürich", "a", "nine99998", " a ", "b" * 64, "b" * 65]
    found = reader(lines(texts, texts[::-1]), 2)
    assert found.column(0).texts() == [text.strip() for text in texts]
    assert found.column(1).texts() == [text.strip() for text in texts[::-1]]
    assert found.column(0).values[:3] == ("a", "", "eight888")


def test_many_values_and_numbers(reader):
    rng = np.random.default_rng(1)
    names = [f"name {n}" for n in rng.integers(0, 1 << 40, 90_000)]
    numbers = rng.normal(size=90_000) * 10.0 ** rng.integers(-300, 300, 90_000)
    assert reader(lines(names), 1).column(0).texts() == names
    assert (numbers_of(reader, [repr(n) for n in numbers.tolist()]) == numbers).all()


@pytest.mark.parametrize("data", [b"", b"a\tb", b"a\tb\n\n", b"a\tb\nc\n", b"a\tb\tc\nd\n", b"a\nb\tc\td\n"])
def test_texts_that_are_not_plain(data, reader):
    if reader is by_arrow and data in (b"a\tb", b"a\tb\n\n"):  # what it reads of these the caller refuses
        pytest.skip("plain enough for pyarrow")
    assert reader(data, 2) is None


@pytest.mark.parametrize("text", ["x", "1_0", "nan", "inf", "1e999", " ", "9" * 400])
def test_what_is_no_number_is_left_to_the_careful_reader(text, reader):
    assert numbers_of(reader, ["1", text]) is None


def test_long_fields():
    name = "x" * 200
    assert crif(f"P,Equity,Risk_Equity,{name},1,,,1,USD,,").sensitivities().qualifier.texts() == [name]


def test_a_text_that_nobody_reads_is_split_when_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(reading, "_LARGE", 0)
    rows = ["A,RatesFX,Risk_FX,EUR,5,USD,2026-06-30", " B ,RatesFX,Risk_FX,EUR,,,"]
    found = crif(*rows[:1], rows[1].replace(",,,", ",7,usd,"), titles=f"TradeID,{SOME}")
    assert found.column("trade_id").texts() == ["A", "B"]
    assert found.column("trade_id") is found.column("trade_id")
    assert found.column("end_date").texts() == ["2026-06-30", ""]
    assert found.column("bucket").texts() == ["", ""]


SOME = "ProductClass,RiskType,Qualifier,Amount,AmountCurrency,EndDate"
fields = st.text(st.sampled_from('aZ9 .-+eE_ü"\t,;0'), max_size=9)
kinds = st.sampled_from(["Risk_FX", "Risk_FX", "Risk_Equity", "Notional", "Risk_Fx", ""])
amounts = st.one_of(st.floats(allow_nan=False).map(repr), st.integers().map(str), fields)
currencies, units = st.sampled_from(["EUR", "usd", " GBP "]), st.sampled_from(["USD", "usd", "EUR", ""])
row = st.tuples(fields, st.just("RatesFX"), kinds, currencies, amounts, units, fields)


@given(st.lists(row.map(",".join), max_size=6), st.sampled_from(["", "\n", "\n\n"]))
def test_all_readers_find_the_same(rows, end):
    """Rows or problems, whichever reader has them."""
    text = "\n".join([f"TradeID,{SOME}", *rows]) + end

    def outcome(**replaced):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in replaced.items():
                patch.setattr(reading, name, value)
            try:
                return read_crif(StringIO(text))
            except InputError as error:
                return error.problems

    nothing = {"arrow_table": lambda *_, **__: None}
    careful = outcome(**nothing, text_table=lambda *_: None)
    assert outcome(**nothing) == careful
    if importlib.util.find_spec("pyarrow"):
        assert outcome(_LARGE=0) == careful
