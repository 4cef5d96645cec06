"""Price files: what each of them reads as, every way of getting one wrong, and a whole market directory."""

from __future__ import annotations

import gzip
import re
from datetime import date, timedelta
from io import BytesIO, StringIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.cli import main
from crossmargin.errors import InputError
from crossmargin.io.book_writer import write_book
from crossmargin.io.market_files import read_market_directory, read_real_par_yields
from crossmargin.io.price_files import (
    PRICE_FILES,
    read_index_history,
    read_price_files,
    read_price_history,
    read_prices,
    read_underlyings,
)
from crossmargin.pnl import can_revalue, revalue
from crossmargin.products import ETF, TIPS, Index, ListedOption, Stock, is_business_day
from crossmargin.results import Comparison
from crossmargin.scenarios import grid_scenarios

UNDERLYINGS = """
[[underlyings]]
symbol = "SPX"
spot = 5500.25
volatility = 0.15
dividend_yield = 0.013
kind = "index"
breadth = "broad_high_cap"

[[underlyings]]
symbol = "SDS"
spot = 22
volatility = 0.31
kind = "etf"
breadth = "broad_high_cap"
tracks = "SPX"
leverage = -2

[[underlyings]]
symbol = "XYZ"
spot = 101.5
kind = "stock"
dividends = [{date = 2026-09-18, amount = 0.75}, {date = "2026-12-18", amount = "0.8"}]

[[underlyings]]
symbol = "ZN 2026-09"
volatility = 0.05
"""
CLOSES = "date,ticker,close\n2025-02-27,XYZ,100.5\n2025-02-28,XYZ,101\n2025-02-28,SPX,5900\n2025-02-26,XYZ,\n"
LEVELS = "date,ticker,volatility\n2025-02-28,SPX,16.4\n2025-02-27,SPX,15\n"
YIELDS = """date,3M,2Y,5Y,10Y,30Y
2025-02-27,4.33,4.07,4.09,4.29,4.59
2025-02-28,4.32,3.99,4.03,4.24,4.51
"""
REAL = "date,5Y,10Y,30Y\n2025-02-27,1.60,1.95,2.25\n2025-02-28,1.55,1.90,2.20\n"
DAY = date(2025, 2, 28)


def said(call) -> list[str]:
    with pytest.raises(InputError) as caught:
        call()
    return [str(problem) for problem in caught.value.problems]


def underlyings(text):
    return read_underlyings(StringIO(text))


def with_fields(*lines, symbol="XYZ"):
    return underlyings("\n".join(["[[underlyings]]", f'symbol = "{symbol}"', *lines]))


# -------------------------------------------------------------------------------------------------- underlyings


def test_underlyings_of_every_kind():
    found = underlyings(UNDERLYINGS)
    assert list(found) == ["SPX", "SDS", "XYZ", "ZN 2026-09"]
    assert found["SPX"].security == Index("SPX", "broad_high_cap")
    assert (found["SPX"].spot, found["SPX"].volatility, found["SPX"].dividend_yield) == (5500.25, 0.15, 0.013)
    assert found["SDS"].security == ETF("SDS", "broad_high_cap", tracks="SPX", leverage=-2.0)
    assert (found["XYZ"].security, found["XYZ"].volatility) == (Stock("XYZ"), None)
    assert found["XYZ"].dividends == ((date(2026, 9, 18), 0.75), (date(2026, 12, 18), 0.8))
    assert (found["ZN 2026-09"].security, found["ZN 2026-09"].spot) == (None, None)


def test_paths_and_bytes_read_alike(tmp_path):
    path = tmp_path / "underlyings.toml"
    path.write_text(UNDERLYINGS, encoding="utf-8-sig")
    for source in (path, str(path), BytesIO(UNDERLYINGS.encode())):
        assert list(read_underlyings(source)) == ["SPX", "SDS", "XYZ", "ZN 2026-09"]
    (absent,) = said(lambda: read_underlyings(tmp_path / "absent.toml"))
    assert "cannot be read" in absent


@pytest.mark.parametrize(
    ("line", "field", "says"),
    [
        ("spot = 0", "spot", "0 is not above 0"),
        ('spot = "12,5"', "spot", "no number"),
        ("spot = nan", "spot", "not finite"),
        ("volatility = 20", "volatility", "write 0.2 for 20 %"),
        ("volatility = -0.1", "volatility", "-0.1 is less than 0"),
        ("volatility = true", "volatility", "no number"),
        ("dividend_yield = 1.3", "dividend_yield", "write 0.013 for 1.3 %"),
        ('dividends = "soon"', "dividends", "no list of dividends"),
        ("dividends = [1]", "dividends", "no list of dividends"),
        ("dividends = [{date = 2026-09-18}]", "amount", "is missing"),
        ("dividends = [{date = 2026-09-18, amount = 1, cash = 2}]", "cash", "is unknown"),
        ("dividends = [{date = 2026-09-18, amount = -1}]", "amount", "-1 is less than 0"),
        ('kind = "fund"', "kind", "'fund' is unknown"),
        ('kind = "etf"', "breadth", "is missing for an etf"),
        ('kind = "index"', "breadth", "is missing for an index"),
        ('kind = "index"\nbreadth = "wide"', "breadth", "is unknown"),
        ('kind = "index"\nbreadth = "broad"\nleverage = 2', "leverage", "does not belong to an index"),
        ('kind = "stock"\nbreadth = "broad"', "breadth", "does not belong to a stock"),
        ('kind = "etf"\nbreadth = "broad"\nleverage = 0', "leverage", "is 0"),
        ('breadth = "broad"', "breadth", "stands without a kind"),
        ("spto = 5", "spto", "Did you mean 'spot'?"),
    ],
)
def test_one_bad_field_is_named(line, field, says):
    (problem,) = said(lambda: with_fields(line))
    assert problem.startswith("open file underlyings 1")
    assert f"field '{field}'" in problem
    assert says in problem


def test_every_bad_field_of_every_table_at_once():
    text = UNDERLYINGS.replace("0.15", "15").replace("5500.25", "-1").replace('"etf"', '"eft"')
    found = said(lambda: underlyings(f"{text}[[underlyings]]\nspot = 1\n[[other]]\na = 1\n"))
    assert [problem.split(":")[0] for problem in found] == [
        "open file",
        "open file underlyings 1, field 'spot'",
        "open file underlyings 1, field 'volatility'",
        "open file underlyings 2, field 'kind'",
        "open file underlyings 5, field 'symbol'",
    ]


def test_a_symbol_stands_once():
    (problem,) = said(lambda: underlyings(UNDERLYINGS + '[[underlyings]]\nsymbol = "SPX"\n'))
    assert "'SPX' stands twice" in problem


@pytest.mark.parametrize("text", ["", "underlyings = 5", "underlyings = [1]", "underlyings = []", "x = 1"])
def test_a_file_without_underlyings_is_refused(text):
    assert any("holds no list of underlyings" in problem for problem in said(lambda: underlyings(text)))


@pytest.mark.parametrize("data", [b"[[underlyings", b"\xff\xfe\x00", b"a = 1\na = 2"])
def test_what_is_no_toml_is_refused(data):
    (problem,) = said(lambda: read_underlyings(BytesIO(data)))
    assert "is no readable TOML" in problem


# ------------------------------------------------------------------------------------------------------- prices


def test_prices_by_symbol_in_any_order_of_columns():
    text = "price,symbol\n2.5,XYZ put 95 2026-09-18\n0,XYZ call 300 2026-09-18\n-1.5,ODD\n"
    assert read_prices(StringIO(text)) == {
        "XYZ put 95 2026-09-18": 2.5,
        "XYZ call 300 2026-09-18": 0.0,
        "ODD": -1.5,
    }


def test_every_problem_of_prices_at_once():
    text = "symbol,price\nA,1\nA,2\n,3\nB,\nC,many\nD\nE,inf\n"
    found = said(lambda: read_prices(StringIO(text)))
    assert [problem.split(":")[0] for problem in found] == [
        "open file row 7",
        "open file row 6, field 'price'",
        "open file row 8, field 'price'",
        "open file row 3, field 'symbol'",
        "open file row 4, field 'symbol'",
        "open file row 5, field 'price'",
    ]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("symbol,prize", "column 'price' stands 0 times"),
        ("symbol,price,price", "column 'price' stands 2 times"),
        ("symbol,price,note", "unknown column 'note'"),
        ("symbol;price", "column 'symbol' stands 0 times"),
    ],
)
def test_a_header_of_prices_is_exact(header, says):
    assert any(says in problem for problem in said(lambda: read_prices(StringIO(f"{header}\n"))))


# ---------------------------------------------------------------------------------------------------- histories


def test_rows_in_any_order_become_columns_on_every_day():
    history = read_price_history(StringIO(CLOSES), StringIO(LEVELS))
    assert history.dates == (date(2025, 2, 27), DAY)
    assert history.prices["XYZ"].tolist() == [100.5, 101.0]
    assert np.isnan(history.prices["SPX"][0])
    assert history.volatilities["SPX"].tolist() == [0.15, 0.164]
    assert history.source == "open file + open file"
    assert read_price_history(StringIO(CLOSES)).volatilities == {}


def test_every_problem_of_a_long_table_at_once():
    rows = ["2025-02-28,XYZ,1", "28 February,XYZ,1", "2025-02-28,XYZ,2", "2025-02-27,,1", "2025-02-27,XYZ,-1"]
    rows += ["2025-02-26,XYZ,0", "2025-02-25,XYZ,x", "2025-02-24,XYZ"]
    closes = "\n".join(["date,ticker,close", *rows])
    found = said(lambda: read_price_history(StringIO(closes), StringIO("date,ticker,volatility\n2025-02-28,SPX,y\n")))
    for row, what in (
        (9, "2 fields"),
        (5, "is missing"),
        (3, "no date"),
        (4, "stands in row 2 too"),
        (6, "-1 is not above 0"),
        (7, "0 is not above 0"),
        (8, "'x' is no number"),
        (2, "'y' is no number"),
    ):
        assert any(f"row {row}" in problem and what in problem for problem in found), (row, what)
    assert len(found) == 8


def test_volatilities_are_percent():
    decimals = "date,ticker,volatility\n2025-02-28,SPX,0.164\n"
    (problem,) = said(lambda: read_price_history(StringIO(CLOSES), StringIO(decimals)))
    assert "are they decimals?" in problem
    (problem,) = said(lambda: read_price_history(StringIO(CLOSES), StringIO(decimals.replace("0.164", "1640"))))
    assert "SPX on 2025-02-28: 1640 % is beyond any volatility" in problem


@pytest.mark.parametrize("text", ["date,ticker,close\n", "date,ticker,close\n2025-02-28,X,\n"])
def test_a_history_without_a_quote_is_refused(text):
    assert "holds no quote" in said(lambda: read_price_history(StringIO(text)))[0]
    assert read_price_history(StringIO(CLOSES), StringIO(text.replace("close", "volatility"))).dates


def test_a_table_with_a_column_for_each_index():
    closes = "date,SPX_open,SPX_close,RUT_close\n2020-03-13,1,2711.02,\n2020-03-16,1,2386.13,1000\n2020-03-17,1,,\n"
    levels = "date,VIX_close\n2020-03-16,82.69\n2020-03-18,76.45\n"
    columns = {"SPX": "SPX_close", "RUT": "RUT_close"}
    history = read_index_history(StringIO(closes), StringIO(levels), columns=columns)
    assert [str(day) for day in history.dates] == ["2020-03-13", "2020-03-16", "2020-03-18"]
    assert history.prices["RUT"][1] == 1000
    assert history.volatilities["SPX"][1] == 0.8269
    assert read_index_history(StringIO(closes)).prices.keys() == {"SPX"}


def test_every_problem_of_a_wide_table_once():
    closes = "date,SPX_close,RUT_close\nsoon,1,1\n2020-03-16,x,-2\n2020-03-16,1\n"
    found = said(
        lambda: read_index_history(
            StringIO(closes),
            StringIO("date,VXN\n2020-03-16,80\n"),
            columns={"SPX": "SPX_close", "RUT": "RUT_close", "DJI": "DIJ_close"},
        )
    )
    assert len(found) == len(set(found)) == 6
    assert any("no column 'DIJ_close'" in problem for problem in found)
    assert any("no column 'VIX_close'" in problem for problem in found)


rows = st.dictionaries(
    st.tuples(st.dates(date(2000, 1, 1), date(2030, 12, 31)), st.sampled_from("ABC")),
    st.floats(0.01, 1e6),
    min_size=1,
    max_size=30,
)


@given(rows, st.randoms(use_true_random=False))
def test_what_is_written_is_read_in_whatever_order(closes, order):
    lines = [f"{day},{ticker},{close!r}" for (day, ticker), close in closes.items()]
    order.shuffle(lines)
    history = read_price_history(StringIO("\n".join(["date,ticker,close", *lines])))
    assert history.dates == tuple(sorted({day for day, _ in closes}))
    place = {day: row for row, day in enumerate(history.dates)}
    assert all(history.prices[ticker][place[day]] == close for (day, ticker), close in closes.items())
    assert sum(np.isfinite(column).sum() for column in history.prices.values()) == len(closes)


# ------------------------------------------------------------------------------------------------ market directory


@pytest.fixture
def folder(tmp_path):
    contents = {
        "underlyings.toml": UNDERLYINGS,
        "prices.csv": "symbol,price\nXYZ put 95 2026-09-18,2.35\n",
        "price_history.csv": CLOSES,
        "volatility_history.csv": LEVELS,
        "real_yields.csv": REAL,
        "yields.csv": YIELDS,
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_market_directory_gives_a_whole_market(folder):
    market = read_market_directory(folder, DAY)
    assert market.notes == ()
    assert list(market.underlyings) == ["SPX", "SDS", "XYZ", "ZN 2026-09"]
    assert market.prices == {"XYZ put 95 2026-09-18": 2.35}
    assert market.price_history.volatilities["SPX"].tolist() == [0.15, 0.164]
    assert market.real_curve.par.tolist() == [0.0155, 0.019, 0.022]
    assert market.real_curve.real
    assert market.curve.par[0] == 0.0432
    assert can_revalue(Stock("XYZ"), market, grid_scenarios("XYZ", [0.1]))
    assert revalue([TIPS(0.0125, date(2034, 7, 15))], market, grid_scenarios("XYZ", [0.1])).base[0] > 0.5


def test_the_files_may_be_packed(folder):
    for name in ("price_history.csv", "prices.csv", "real_yields.csv"):
        path = folder / name
        (folder / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    market = read_market_directory(folder, DAY)
    assert market.prices
    assert market.real_curve is not None
    assert market.price_history.at("XYZ", DAY) == 101.0


def test_a_file_stands_once(folder):
    (folder / "prices.csv.gz").write_bytes(gzip.compress((folder / "prices.csv").read_bytes()))
    assert any("plain and packed" in problem for problem in said(lambda: read_price_files(folder)))


def test_each_file_may_be_absent(folder):
    for name in PRICE_FILES[::-1]:
        (folder / name).unlink()
        if name != "volatility_history.csv":
            assert (folder / "volatility_history.csv").exists() is False
        market = read_market_directory(folder, DAY)
    assert (market.underlyings, market.prices, market.price_history) == ({}, {}, None)
    assert market.real_curve is not None


def test_volatilities_alone_are_refused(folder):
    (folder / "price_history.csv").unlink()
    (problem,) = said(lambda: read_price_files(folder))
    assert problem == "volatility_history.csv: stands without prices. Give price_history.csv too, or remove it."


def test_every_problem_of_every_file_at_once(folder):
    (folder / "underlyings.toml").write_text("[[underlyings]]\nspot = 5\n")
    (folder / "prices.csv").write_text("symbol,price\nA,x\n")
    (folder / "price_history.csv").write_text("date,ticker,close\nsoon,X,1\n")
    (folder / "volatility_history.csv").write_text("date,ticker,volatility\n2025-02-28,X,z\n")
    (folder / "real_yields.csv").write_text("date,5Y\n2025-02-28,y\n")
    (folder / "yields.csv").write_text(YIELDS.replace("4.33", "4.3o"))
    found = said(lambda: read_market_directory(folder, DAY))
    names = [problem.split(" ")[0] for problem in found]
    assert names == [
        "underlyings.toml", "prices.csv", "price_history.csv", "volatility_history.csv", "real_yields.csv", "yields.csv"
    ]  # fmt: skip


def test_real_yields_of_another_day_are_not_taken(folder):
    (folder / "real_yields.csv").write_text(REAL.replace("2025-02-28", "2025-03-03"))
    market = read_market_directory(folder, DAY)
    assert market.real_curve is None
    assert market.notes == ("no real yields of 2025-02-28: TIPS have no price",)


def test_other_files_are_named(folder):
    (folder / "underlying.toml").write_text(UNDERLYINGS)
    (folder / "price.csv").write_text("symbol,price\nA,1\n")
    assert read_market_directory(folder, DAY).notes == ("files not read: price.csv, underlying.toml",)


def test_price_files_alone_make_no_market(folder):
    (folder / "yields.csv").unlink()
    (problem,) = said(lambda: read_market_directory(folder, DAY))
    assert "4 CSV files, none with par yields" in problem


def test_a_book_is_margined_from_files_alone(tmp_path, capsys):
    """The second sample book from its files, with half a year of history for the index and one share."""
    last = date(2026, 6, 30)
    days = [day for n in range(180, -1, -1) if is_business_day(day := last - timedelta(n))]
    draws = np.random.default_rng(5)
    level = 4.0 + draws.normal(0, 0.05, len(days)).cumsum()
    close = {name: draws.normal(0, 0.01, len(days)).cumsum() for name in ("SPX", "QUILL", "VIX")}
    rows = {
        "yields.csv": [
            "date,3M,2Y,5Y,10Y,30Y",
            *(f"{day},{','.join(5 * [f'{at:.4f}'])}" for day, at in zip(days, level, strict=True)),
        ],
        "price_history.csv": ["date,ticker,close"],
        "volatility_history.csv": ["date,ticker,volatility"],
        "underlyings.toml": [
            "[[underlyings]]",
            'symbol = "SPX"',
            'kind = "index"',
            'breadth = "broad_high_cap"',
            "spot = 6200",
            "volatility = 0.16",
        ],
        "prices.csv": ["symbol,price", "TARN,61", f"{ListedOption('TARN', 'call', 70.0, samples.EXPIRY).symbol},1.8"],
    }
    for name in ("SPX", "QUILL"):
        rows["price_history.csv"] += [
            f"{day},{name},{100 * np.exp(at):.6f}" for day, at in zip(days, close[name], strict=True)
        ]
    rows["volatility_history.csv"] += [
        f"{day},SPX,{16 * np.exp(at):.4f}" for day, at in zip(days, close["VIX"], strict=True)
    ]
    for fund, leverage, spot in (("SPY", 1, 619), ("SSO", 2, 96)):
        rows["underlyings.toml"] += [
            "[[underlyings]]",
            f'symbol = "{fund}"',
            'kind = "etf"',
            'breadth = "broad_high_cap"',
        ]
        rows["underlyings.toml"] += ['tracks = "SPX"', f"leverage = {leverage}", f"spot = {spot}", "volatility = 0.16"]
    rows["underlyings.toml"] += [
        "[[underlyings]]",
        'symbol = "QUILL"',
        'kind = "stock"',
        "spot = 148",
        "volatility = 0.3",
    ]
    for name, lines in rows.items():
        (tmp_path / name).write_text("\n".join([*lines, ""]), encoding="utf-8")
    book = write_book(samples.equity_options()[0], tmp_path / "book")
    arguments = ["compare", str(book), "--market", str(tmp_path), "--as-of", str(last), "--regimes", "siloed", "--json"]
    assert main(arguments) == 0
    report = Comparison.from_json(capsys.readouterr().out)["siloed"]
    assert {e.owner: e.line.value > 0 for e in report.requirements if e.pot == "OCC"} == {"ROBIN": True, "LUX": True}
    why = {line.name.split(":")[0]: line.note for _, line in report.not_modelled()}
    assert why["R3"].startswith("the market has no price of TARN put")
    assert why["volatility of QUILL"].startswith("no history of volatility")
    assert "SPY moves with SPX times 1" in " ".join(report.notes)


def test_the_underlyings_of_the_reference_page_read(root):
    page = (root / "docs" / "reference" / "market_files.md").read_text(encoding="utf-8")
    block = re.search(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert {each.security.kind for each in underlyings(block[1]).values()} == {"index", "etf", "stock"}
    assert all(f"`{name}`" in page for name in PRICE_FILES)


# ---------------------------------------------------------------------------------------------------- real data


def test_known_days_of_real_histories(shared):
    folder = shared / "data" / "market"
    if not folder.is_dir():
        pytest.skip("no ../shared/data/market")
    history = read_index_history(folder / "equity_indices_daily.csv", folder / "volatility_indices_daily.csv")
    spx = history.prices["SPX"]
    place = {day: row for row, day in enumerate(history.dates)}

    def move(day):
        row = place[day]
        return round(spx[row] / spx[row - 1] - 1, 4)

    assert move(date(2020, 3, 16)) == -0.1198
    assert move(date(2008, 10, 15)) == -0.0904
    assert move(date(2025, 4, 9)) == 0.0952
    assert history.volatilities["SPX"][place[date(2020, 3, 16)]] == 0.8269
    assert history.volatilities["SPX"][place[date(2025, 4, 8)]] == 0.5233
    several = read_index_history(
        folder / "equity_indices_daily.csv",
        folder / "volatility_indices_daily.csv",
        columns={"SPX": "SPX_close", "RUT": "RUT_close", "NDX": "NASDAQCOM_close"},
        volatility_columns={"SPX": "VIX_close", "NDX": "VXNCLS"},
    )
    assert several.prices.keys() == {"SPX", "RUT", "NDX"}
    assert several.at("RUT", date(1987, 9, 10)) == pytest.approx(168.97, abs=0.001)


def test_real_yields_as_the_treasury_publishes_them(shared):
    path = shared / "data" / "market" / "ust_real_par_yields_daily.csv"
    if not path.is_file():
        pytest.skip("no real yields in ../shared/data/market")
    history = read_real_par_yields(path)
    assert history.tenors.tolist() == [5, 7, 10, 20, 30]
    assert (history.dates[0], history.dates[-1]) == (date(2003, 1, 2), date(2024, 12, 31))
    assert history.par[0, 2] == 0.0243
