from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import tomllib
import zipfile
from datetime import date
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.io.market_files import (
    packaged_base_curve,
    packaged_history,
    packaged_market,
    read_fred_csv,
    read_market_directory,
    read_money_market,
    read_tidy_par_yields,
    read_treasury_csv,
)
from crossmargin.market import TENORS, History

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "crossmargin" / "data"
MARKET = ROOT / ".." / "shared" / "data" / "market"
needs_data = pytest.mark.skipif(not MARKET.is_dir(), reason="the real market data is not beside the repository")

TREASURY = """Date,1 Mo,"1.5 Month",2 Mo,3 Mo,4 Mo,6 Mo,1 Yr,2 Yr,3 Yr,5 Yr,7 Yr,10 Yr,20 Yr,30 Yr
02/28/2025,4.38,4.37,4.36,4.32,4.31,4.25,4.08,3.99,3.99,4.03,4.13,4.24,4.55,4.51
02/27/2025,4.38,,4.37,4.33,4.32,4.28,4.13,4.07,4.05,4.09,4.18,4.29,4.59,4.55
"""


def problems_of(call) -> list[str]:
    with pytest.raises(InputError) as caught:
        call()
    return [str(problem) for problem in caught.value.problems]


def tidy(text: str, **options) -> History:
    return read_tidy_par_yields(StringIO(text), **options)


# ------------------------------------------------------------------------------------------------- the formats


def test_the_treasurys_own_file() -> None:
    history = read_treasury_csv(StringIO(TREASURY))
    assert history.tenors.tolist() == list(TENORS.values())
    assert history.dates == (date(2025, 2, 27), date(2025, 2, 28))
    assert history.par[1, 11] == 0.0424
    assert np.isnan(history.par[0, 1])
    assert history.source == "Treasury par-yield CSV open file"


@pytest.mark.parametrize("packed", [False, True])
def test_paths_bytes_and_gzip_read_alike(tmp_path, packed) -> None:
    data = b"\xef\xbb\xbf" + TREASURY.replace("\n", "\r\n").encode()
    path = tmp_path / ("year.csv.gz" if packed else "year.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    expected = read_treasury_csv(StringIO(TREASURY)).par
    np.testing.assert_array_equal(read_treasury_csv(path).par, expected)
    np.testing.assert_array_equal(read_treasury_csv(str(path)).par, expected)
    with path.open("rb") as file:
        history = read_treasury_csv(file)
    np.testing.assert_array_equal(history.par, expected)
    assert history.source.endswith(path.name)


def test_fred_dots_and_blanks_are_missing_and_holidays_are_left_out() -> None:
    text = "DATE,DGS3MO,DGS10,DGS1\n2020-03-06,0.45,0.74,.\n2020-03-07,.,.,\n2020-03-09,0.33,0.54,0.31\n"
    history = read_fred_csv(StringIO(text))
    assert history.dates == (date(2020, 3, 6), date(2020, 3, 9))
    assert history.tenors.tolist() == [0.25, 1, 10]
    assert history.par[1].tolist() == [0.0033, 0.0031, 0.0054]
    assert np.isnan(history.par[0, 1])


def test_two_digit_years_of_the_archive() -> None:
    history = read_treasury_csv(StringIO("Date,3 Mo\n01/02/90,7.83\n01/03/69,6.00\n12/31/99,5.33\n"))
    assert history.dates == (date(1990, 1, 2), date(1999, 12, 31), date(2069, 1, 3))


@given(st.permutations(list(range(1, 15))))
def test_the_order_of_columns_and_rows_does_not_matter(order) -> None:
    rows = list(csv.reader(StringIO(TREASURY)))
    shuffled = "\n".join(",".join([row[0], *(row[column] for column in order)]) for row in [rows[0], *rows[:0:-1]])
    expected = read_treasury_csv(StringIO(TREASURY))
    history = read_treasury_csv(StringIO(shuffled))
    np.testing.assert_array_equal(history.par, expected.par)
    assert history.dates == expected.dates


@given(st.lists(st.integers(-20, 2000), min_size=1, max_size=30))
def test_every_published_yield_becomes_the_nearest_decimal(points) -> None:
    rows = "".join(f"{date.fromordinal(730000 + n)},{p / 100:.2f},5\n" for n, p in enumerate(points))
    assert tidy("date,3M,10Y\n" + rows).par[:, 0].tolist() == [p / 10_000 for p in points]


# ----------------------------------------------------------------------------------------------------- bad files


def test_every_problem_of_a_file_at_once() -> None:
    text = (
        "Date,3 Mo,10 Yrr,2 Yr,2 yr\n"
        "06/30/2026,3.87,4,4.14,\n"
        "06/31/2026,3.87,4,4.14,\n"
        "06/29/2026,abc,4,1_0,\n"
        "06/30/2026,3.87,4,4.14,\n"
        "06/26/2026,3.87\n"
        "06/25/2026,99,4,inf,\n"
    )
    found = problems_of(lambda: read_treasury_csv(StringIO(text)))
    expected = [
        ("header, column '10 Yrr'", "Did you mean '10 Yr'?"),
        ("header, column '2 yr'", "2Y stands twice"),
        ("row 3, field 'Date'", "'06/31/2026' is no date"),
        ("row 5", "2026-06-30 stands in row 2 too"),
        ("row 6", "2 fields"),
        ("row 4, field '3 Mo'", "'abc' is no number"),
        ("row 4, field '2 Yr'", "'1_0' is no number"),
        ("row 7, field '2 Yr'", "'inf' is no number"),
        ("row 7, field '3 Mo'", "99 % is beyond"),
    ]
    assert len(found) == len(expected)
    for (where, what), problem in zip(expected, found, strict=True):
        assert where in problem
        assert what in problem


def test_a_long_list_is_cut_and_counted() -> None:
    rows = "".join(f"{date.fromordinal(730000 + n)},x\n" for n in range(75))
    found = problems_of(lambda: tidy("date,10Y\n" + rows))
    assert len(found) == 51
    assert "25 further problems" in found[-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n,,\n", "is empty"),
        ("date,10Y\n", "holds no quote"),
        ("date,10Y\n2026-06-30,\n2026-06-29,N/A\n", "holds no quote"),
        ("10Y\n4.4\n", "no column of dates"),
        ("date\n2026-06-30\n", "no column with yields"),
        ("when,10Y\n2026-06-30,4.4\n", "no column of a table"),
        ("date,10Y\n30.06.2026,4.4\n", "is no date"),
        ("date,10Y\n31/12/2026,4.4\n", "is no date"),
        ("date,10Y\n2026-06-30,4,4\n", "3 fields"),
        ("date,10Y\n2026-06-30,4.4%\n", "is no number"),
        ("date,10Y\n2026-06-30,-30\n", "beyond any rate"),
        ("date,3M,10Y\n2026-06-30,0.0387,0.0444\n", "are they percent"),
        ("date;10Y\n2026-06-30;4.4\n", "no column of dates"),
        ('date,10Y\n2026-06-30,"4.4\n', "no readable CSV"),
    ],
)
def test_a_malformed_table_is_refused(text, message) -> None:
    with pytest.raises(InputError, match=message):
        tidy(text)


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfed\x00a\x00t\x00e\x00", gzip.compress(b"date,10Y\n", mtime=0)[:-6], b"\x1f\x8bnot gzip", b"\x1f\x8b"],
)
def test_bytes_that_are_no_csv_are_refused(data) -> None:
    with pytest.raises(InputError, match="no readable CSV"):
        read_tidy_par_yields(BytesIO(data))


def test_a_missing_path_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_fred_csv(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_fred_csv(tmp_path)


def test_units() -> None:
    text = "date,3M,10Y\n2026-06-30,0.0387,0.0444\n"
    assert tidy(text, unit="decimal").par.tolist() == [[0.0387, 0.0444]]
    assert tidy("date,3M\n2021-06-30,0.05\n", unit="percent").par.tolist() == [[0.0005]]
    assert tidy("date,3M\n2021-06-30,30\n", unit="percent").par.tolist() == [[0.3]]
    with pytest.raises(InputError, match="Did you mean 'percent'"):
        tidy(text, unit="percnt")
    with pytest.raises(InputError, match="no decimal yield"):
        tidy("date,3M\n2021-06-30,4.0\n", unit="decimal")


@given(st.text(max_size=200))
def test_any_text_gives_a_history_or_an_input_error(text) -> None:
    try:
        history = tidy("date,3M,10Y\n" + text)
    except InputError:
        return
    assert np.isfinite(history.par).any(axis=1).all()


# --------------------------------------------------------------------------------------------------- money market


def test_money_market_takes_the_last_rate_of_the_week() -> None:
    text = "date,SOFR,DFF,OBFR,note\n2024-01-02,5.40,5.33,5.32,x\n2024-01-09,5.31,5.33,,\n2024-01-10,9,,,\n"
    found = read_money_market(StringIO(text), date(2024, 1, 9))
    assert found.rates == {"SOFR": 0.0531, "EFFR": 0.0533, "OBFR": 0.0532}
    later = read_money_market(StringIO(text), date(2024, 1, 12))
    assert later.rates == {"SOFR": 0.09, "EFFR": 0.0533}
    assert "OBFR (2024-01-02)" in later.notes[0]
    assert read_money_market(StringIO(text), date(2023, 1, 1)).rates == {}


def test_repo_before_sofr_bears_its_own_name() -> None:
    text = "date,SOFR_or_GC_repo\n2008-09-18,0.25\n2019-09-17,5.25\n"
    assert read_money_market(StringIO(text), date(2008, 9, 18)).rates == {"GC_REPO": 0.0025}
    assert read_money_market(StringIO(text), date(2019, 9, 17)).rates == {"SOFR": 0.0525}


def test_bad_money_market_tables() -> None:
    found = problems_of(lambda: read_money_market(StringIO("day,x\n2024-01-02,5\n"), date(2024, 1, 2)))
    assert len(found) == 2
    found = problems_of(lambda: read_money_market(StringIO("date,SOFR\n2024-01-02,530\n"), date(2024, 1, 2)))
    assert "beyond" in found[0]


# ------------------------------------------------------------------------------------------------------- directory


def test_a_directory_of_mixed_files(tmp_path) -> None:
    (tmp_path / "a_treasury.csv").write_text(TREASURY)
    (tmp_path / "b_tidy.csv.gz").write_bytes(gzip.compress(b"date,3M,10Y,source\n2025-02-26,4.3,4.2,x\n"))
    (tmp_path / "c_fred.csv").write_text("observation_date,DGS10\n2025-02-25,4.30\n2025-02-26,4.20\n")
    (tmp_path / "d_sofr.csv").write_text("observation_date,SOFR\n2025-02-28,4.39\n")
    (tmp_path / "real.csv").write_text('Date,"5 YR","7 YR","10 YR"\n02/28/2025,1.7,1.8,1.9\n')
    (tmp_path / "swaps.csv").write_text("date,1Y,10Y\n2025-02-28,4,4\n")
    (tmp_path / "latin.csv").write_bytes(b"Gr\xfc\xdfe,x\n")
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "readme.txt").write_text("date,3M\n")
    market = read_market_directory(tmp_path, date(2025, 2, 28))
    assert len(market.history.dates) == 4
    assert market.curve.tenors.size == 14
    assert market.money_market == {"SOFR": 0.0439}
    assert market.notes == ("files not read: empty.csv, latin.csv, real.csv, swaps.csv",)
    assert "a_treasury.csv" in market.history.source
    with pytest.raises(InputError, match="older than as-of"):
        read_market_directory(tmp_path, date(2025, 3, 31))


def test_a_directory_of_one_file_needs_no_notes(tmp_path) -> None:
    (tmp_path / "year.csv").write_text(TREASURY)
    assert read_market_directory(tmp_path, date(2025, 2, 28)).notes == ()
    assert "1.5M" in read_market_directory(tmp_path, date(2025, 2, 27)).notes[0]


def test_every_problem_of_a_directory_at_once(tmp_path) -> None:
    (tmp_path / "a.csv").write_text(TREASURY.replace("4.38", "4.3x"))
    (tmp_path / "b.csv").write_text("observation_date,DGS10\nyesterday,4.30\n")
    (tmp_path / "c.csv.gz").write_bytes(b"\x1f\x8b broken")
    found = problems_of(lambda: read_market_directory(tmp_path, date(2025, 2, 28)))
    assert len(found) == 4
    assert [problem.split(" ")[0].rstrip(":") for problem in found] == ["a.csv", "a.csv", "b.csv", "c.csv.gz"]


def test_files_that_disagree_are_refused(tmp_path) -> None:
    (tmp_path / "a.csv").write_text(TREASURY)
    (tmp_path / "b.csv").write_text("observation_date,DGS10\n2025-02-28,4.30\n")
    found = problems_of(lambda: read_market_directory(tmp_path, date(2025, 2, 28)))
    assert "2025-02-28, tenor 10Y: quoted 4.24 % and 4.3 %" in found[0]


def test_a_directory_without_market_files_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no CSV file"):
        read_market_directory(tmp_path, date(2025, 2, 28))
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    (tmp_path / "y.csv").write_text("date,b\n1,2\n")
    with pytest.raises(InputError, match="2 CSV files, none with par yields"):
        read_market_directory(tmp_path, date(2025, 2, 28))
    with pytest.raises(InputError, match="is no directory"):
        read_market_directory(tmp_path / "absent", date(2025, 2, 28))


# -------------------------------------------------------------------------------------------------- packaged data


def test_the_packaged_history_agrees_with_its_provenance() -> None:
    provenance = tomllib.loads((DATA / "ust_par_yields_1990_2017.toml").read_text("utf-8"))
    packed = DATA / "ust_par_yields_1990_2017.csv.gz"
    assert hashlib.sha256(gzip.decompress(packed.read_bytes())).hexdigest() == provenance["sha256_of_table"]
    assert packed.stat().st_size < 250_000
    history = packaged_history()
    assert len(history.dates) == provenance["rows"]
    assert (history.dates[0], history.dates[-1]) == (provenance["first"], provenance["last"])
    assert [TENORS[label] for label in provenance["columns"]] == history.tenors.tolist()
    assert packaged_history() is history


def test_known_days_of_the_packaged_history() -> None:
    history = packaged_history()
    row = {day: dict(zip(history.tenors, history.par[n], strict=True)) for n, day in enumerate(history.dates)}
    assert row[date(1990, 1, 2)][10] == 0.0794
    assert row[date(2017, 3, 29)][2] == 0.0126
    assert not np.isnan(row[date(2001, 7, 31)][1 / 12])
    assert np.isnan(row[date(1993, 9, 30)][20])
    assert not np.isnan(row[date(1993, 10, 1)][20])
    assert not np.isnan(row[date(2002, 2, 15)][30])
    assert np.isnan(row[date(2002, 2, 19)][30])
    assert np.isnan(row[date(2006, 2, 8)][30])
    assert not np.isnan(row[date(2006, 2, 9)][30])


def test_the_packaged_history_is_extended_in_one_line() -> None:
    longer = packaged_history().extended(read_treasury_csv(StringIO(TREASURY)))
    assert len(longer.dates) == 6818
    assert packaged_market(longer).notes[0].startswith("history ends 2025-02-28")


def test_the_packaged_market() -> None:
    market = packaged_market()
    assert market.as_of == packaged_base_curve().as_of == date(2026, 6, 30)
    assert market.curve.tenors.tolist() == [0.25, 2, 5, 10, 30]
    assert market.money_market == {"SOFR": 0.0368}
    assert market.notes == (
        "history ends 2017-03-29, 9.3 years before as-of 2026-06-30; look-back anchored at its end",
        "TLT: spot, yield and volatility are made up, for the sample book",
    )
    assert list(market.underlyings) == ["TLT"]
    assert market.price_history is None
    data = tomllib.loads((DATA / "base_curve_2026-06-30.toml").read_text("utf-8"))
    for entry in [*data["par_yields"].values(), *data["money_market"].values()]:
        assert entry["source"] in data["sources"]
        assert entry["grade"] == "disclosure"


def the_tool():
    spec = importlib.util.spec_from_file_location("build_sample_history", ROOT / "tools" / "build_sample_history.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_wheel(folder: Path, *, licence: str = "Apache License, Version 2.0") -> Path:
    tool = the_tool()
    header = ",".join(["Time Period", *tool.COLUMNS])
    rows = ["1990-01-03 00:00:00+00:00,,0.0789" + "," * 9, "1990-01-02 00:00:00+00:00,,0.08" + "," * 9]
    blank = "1990-01-04 00:00:00+00:00" + "," * 11
    path = folder / "zipline_reloaded-9.9.9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(tool.MEMBER, "\n".join([header, *rows, blank, ""]))
        archive.writestr("zipline_reloaded-9.9.9.dist-info/licenses/LICENSE", licence)
    return path


def test_the_tool_writes_the_same_bytes_twice(tmp_path, monkeypatch, capsys) -> None:
    wheel = a_wheel(tmp_path)
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr("sys.argv", ["build", str(wheel), "--into", str(tmp_path / name)])
        the_tool().main()
        written.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
    assert written[0] == written[1]
    assert "2 rows, 1990-01-02 to 1990-01-03" in capsys.readouterr().out
    history = read_tidy_par_yields(tmp_path / "one" / "ust_par_yields_1990_2017.csv.gz")
    assert history.par[:, 1].tolist() == [0.08, 0.0789]
    provenance = tomllib.loads((tmp_path / "one" / "ust_par_yields_1990_2017.toml").read_text("utf-8"))
    assert provenance["obtained_from"]["version"] == "9.9.9"


def test_the_tool_refuses_another_licence_and_finer_yields(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["build", str(a_wheel(tmp_path, licence="GPL")), "--into", str(tmp_path)])
    with pytest.raises(SystemExit):
        the_tool().main()
    with pytest.raises(ValueError, match="whole number of basis points"):
        the_tool().percent("0.07831")


# ------------------------------------------------------------------------------------------------- real data beside


@needs_data
def test_known_values_of_the_real_history() -> None:
    history = read_tidy_par_yields(MARKET / "ust_par_yields_daily.csv")
    rows = {day: n for n, day in enumerate(history.dates)}
    tenors = {tenor: n for n, tenor in enumerate(history.tenors)}
    assert history.par[rows[date(2020, 3, 9)], tenors[10]] == 0.0054
    assert history.par[rows[date(2023, 3, 10)], tenors[2]] == 0.0460
    assert history.par[rows[date(2023, 3, 13)], tenors[2]] == 0.0403
    assert history.dates[rows[date(2023, 3, 13)] - 1] == date(2023, 3, 10)


@needs_data
def test_known_values_of_the_money_market() -> None:
    path = MARKET / "money_market_rates_daily.csv"
    assert read_money_market(path, date(2019, 9, 17)).rates["SOFR"] == 0.0525
    assert read_money_market(path, date(2008, 9, 18)).rates["GC_REPO"] == 0.0025
    assert read_money_market(path, date(2026, 6, 30)).rates["SOFR"] == packaged_market().money_market["SOFR"]


@needs_data
def test_the_packaged_history_agrees_with_the_archive() -> None:
    theirs = read_tidy_par_yields(MARKET / "ust_par_yields_daily.csv")
    ours = packaged_history()
    rows = {day: n for n, day in enumerate(theirs.dates)}
    columns = np.searchsorted(theirs.tenors, ours.tenors)
    other = theirs.par[np.ix_(np.array([rows[day] for day in ours.dates]), columns)]
    between = [day for day in theirs.dates if ours.dates[0] <= day <= ours.dates[-1]]
    assert tuple(between) == ours.dates
    differ = np.abs(ours.par - other) > 1e-9
    only_one = np.isfinite(ours.par) != np.isfinite(other)
    # The archive was corrected in a few places since; the provenance names the count.
    assert differ.sum() == 11
    assert np.abs(ours.par - other)[differ].max() < 0.00101
    assert only_one.sum() == 3
    assert (ours.par[only_one] == 0.0).all()
    longer = ours.extended(theirs, replace=True)
    assert longer.dates == theirs.dates


@needs_data
def test_the_base_curve_agrees_with_the_real_directory() -> None:
    market = read_market_directory(MARKET, date(2026, 6, 30))
    base = packaged_market()
    np.testing.assert_array_equal(market.curve.tenors, base.curve.tenors)
    np.testing.assert_array_equal(market.curve.par, base.curve.par)
    assert market.money_market == base.money_market
    ignored = next(note for note in market.notes if note.startswith("files not read"))
    assert "ust_real_par_yields_daily.csv" in ignored
    assert "usd_libor_swap_rates_h15_daily.csv" in ignored
