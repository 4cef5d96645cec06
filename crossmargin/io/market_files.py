"""Market data from files: the Treasury's own CSV, FRED, the tidy table, and the history in the package.

`read_market_directory(directory, as_of)` recognises the files itself; `packaged_market()` needs none. Each
reader reports every bad field of a file at once, with row and column. Prices of shares and options are read in
`price_files`, what swaps need in `swap_files`. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from functools import cache, reduce
from importlib.resources import files
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, Problems, check_kinds, suggestion
from crossmargin.io.paths import as_path
from crossmargin.io.price_files import PRICE_FILES, PriceFiles, read_price_files
from crossmargin.io.swap_files import SWAP_FILES, read_swap_files
from crossmargin.io.tables import Row, Source, Table, dated_rows, header_of, numbers, read_table, table_of
from crossmargin.market import TENORS, History, Market, ParCurve, age_notes, raise_capped, tenor_name
from crossmargin.products.equities import ETF
from crossmargin.underlyings import Underlying

UNITS = ("percent", "decimal")
REAL_YIELDS = "real_yields.csv"

# Conventions of data quality, not regulation: yields in percent have been between 0 and 17 since 1962.
LARGEST_PERCENT = 25.0
SMALLEST_PERCENT = 0.2  # a file that never reaches it is probably in decimals
RATE_AGE_DAYS = 7  # an overnight rate older than a week says nothing about today

_HISTORY = "ust_par_yields_1990_2017"
_BASE_CURVE = "base_curve_2026-06-30"
_SOFR_BEGINS = date(2018, 4, 2)  # first value date of SOFR; what the tidy column holds before is GC repo

_TEXTUAL_TENOR = re.compile(r"(\d+(?:\.\d+)?)\s*(m|mo|month|y|yr|year)s?", re.IGNORECASE)
_FRED_TENOR = re.compile(r"DGS(\d+)(MO)?", re.IGNORECASE)
_RATES = {
    "SOFR_or_GC_repo": "SOFR",
    "SOFR": "SOFR",
    "DFF_eff_fed_funds": "EFFR",
    "DFF": "EFFR",
    "EFFR": "EFFR",
    "DFEDTARL": "FED_FUNDS_LOWER",
    "DFEDTARU": "FED_FUNDS_UPPER",
    "IORB": "IORB",
    "OBFR": "OBFR",
    "ONRRP_rate": "ONRRP",
    "RRPONTSYAWARD": "ONRRP",
}
_FIXED_TO = ("SOFR", "EFFR", "OBFR")  # the overnight rates that swaps are on


@frozen
class MoneyMarketRates:
    """Overnight rates on a date: name -> decimal rate, all up to then, and notes on those that were too old."""

    as_of: date
    rates: dict[str, float]
    notes: tuple[str, ...] = ()
    fixings: dict[str, dict[date, float]] = field(factory=dict)


def read_treasury_csv(source: Source, *, unit: str = "") -> History:
    r"""Return the history in the par-yield CSV that the Treasury publishes.

    Columns are `Date` (MM/DD/YYYY) and "1 Mo", "1.5 Month", ... "30 Yr" in percent; any order of rows, plain
    or gzip. A date without a quote is left out: it was no business day.

    Parameters
    ----------
    source
        Path or open file.
    unit
        `percent` or `decimal`. Empty means percent, checked: a yield above 25 or a file that never reaches
        0.2 is refused, as it is probably in another unit.

    Raises
    ------
    InputError
        Listing unknown columns, bad dates and numbers with row and column, and dates that stand twice.

    References
    ----------
    US Department of the Treasury, Daily Treasury Par Yield Curve Rates, home.treasury.gov.

    Examples
    --------
    >>> from io import StringIO
    >>> file = StringIO('Date,"3 Mo","10 Yr"\n03/30/2017,0.78,2.42\n03/29/2017,0.78,2.39')
    >>> history = read_treasury_csv(file)
    >>> history.dates[0], history.par[0].tolist()
    (datetime.date(2017, 3, 29), [0.0078, 0.0239])
    """
    return _par_history(read_table(source), _TREASURY, unit)


def read_fred_csv(source: Source, *, unit: str = "") -> History:
    r"""Return the history in a CSV of FRED's series DGS1MO to DGS30, one or several in a file.

    The date column is `observation_date` or `DATE` (YYYY-MM-DD); a dot or a blank is a missing value. Unit
    and errors are as in `read_treasury_csv`.

    References
    ----------
    Board of Governors of the Federal Reserve System, H.15, distributed by FRED, fred.stlouisfed.org.

    Examples
    --------
    >>> from io import StringIO
    >>> read_fred_csv(StringIO("observation_date,DGS2\n2023-03-10,4.60\n2023-03-13,4.03\n")).par.tolist()
    [[0.046], [0.0403]]
    """
    return _par_history(read_table(source), _FRED, unit)


def read_tidy_par_yields(source: Source, *, unit: str = "") -> History:
    r"""Return the history in a table `date, 1M, ... 30Y` with an optional column `source`.

    Dates are YYYY-MM-DD. Unit and errors are as in `read_treasury_csv`.

    Examples
    --------
    >>> from io import StringIO
    >>> read_tidy_par_yields(StringIO("date,3M,10Y\n2020-03-09,0.33,0.54\n")).par.tolist()
    [[0.0033, 0.0054]]
    """
    return _par_history(read_table(source), _TIDY, unit)


def read_real_par_yields(source: Source, *, unit: str = "") -> History:
    r"""Return the history of real par yields in a table `date, 5Y, 7Y, 10Y, 20Y, 30Y`; as `read_tidy_par_yields`.

    References
    ----------
    US Department of the Treasury, Daily Treasury Par Real Yield Curve Rates, home.treasury.gov.

    Examples
    --------
    >>> from io import StringIO
    >>> read_real_par_yields(StringIO("date,5Y,10Y\n2024-12-31,2.00,2.24\n")).par.tolist()
    [[0.02, 0.0224]]
    """
    return _par_history(read_table(source), _TIDY, unit)


def read_money_market(source: Source, as_of: date) -> MoneyMarketRates:
    r"""Return the overnight rates of a table in percent: each the last one up to a week before `as_of`.

    The date column is `date`, `observation_date` or `DATE`. Columns read: `SOFR_or_GC_repo` (named GC_REPO
    before SOFR began on 2018-04-02), `SOFR`, `DFF`, `EFFR`, `DFEDTARL`, `DFEDTARU`, `IORB`, `OBFR`,
    `ONRRP_rate`; others are left alone. Rates older than a week are left out and named in `notes`.

    Raises
    ------
    InputError
        Listing bad dates and numbers, or when no column holds a known rate.

    Examples
    --------
    >>> from io import StringIO
    >>> read_money_market(StringIO("date,SOFR\n2019-09-17,5.25\n"), date(2019, 9, 18)).rates
    {'SOFR': 0.0525}
    """
    return _money_market(read_table(source), as_of)


def read_market_directory(directory: str | PathLike[str], as_of: date) -> Market:
    """Return the market of `as_of` from the files of a directory.

    Some are known by their names: `underlyings.toml`, `prices.csv`, `price_history.csv`, `volatility_history.csv` (see
    `price_files`), `fixings.csv`, `swap_rates.csv`, `credit_spreads.csv` (see `swap_files`) and `real_yields.csv`. The
    others are recognised by their headers. Par-yield files (Treasury, FRED, tidy; a table must hold a tenor of six
    months or less, which tables of real yields and of swap rates do not) are joined into one history; money-market
    tables give the overnight rates of today, and those of the past to which swaps are fixed. Files of other kinds are
    left alone and named in the notes of the market.

    Raises
    ------
    InputError
        Listing every problem of every file; yields on which two files differ; no row dated `as_of`.
    """
    folder = as_path(directory, "directory")
    if not folder.is_dir():
        raise InputError([Problem("is no directory.", str(folder), "Give the directory of the market files.")])
    paths = sorted(path for path in folder.iterdir() if path.name.endswith((".csv", ".csv.gz", ".toml")))
    histories: list[History] = []
    rates: list[MoneyMarketRates] = []
    ignored: list[str] = []
    real: list[History] = []
    problems, prices = Problems(), PriceFiles()
    with problems.collecting():
        prices = read_price_files(folder)
    for path in paths:
        with problems.collecting():
            _take(path, as_of, (histories, rates, ignored, real))
    if not problems.found and not histories:
        problems.extend([_nothing_recognised(folder, [path for path in paths if path.suffix != ".toml"])])
    raise_capped(problems.found, f"the market files of {folder}")
    history = reduce(History.extended, histories)
    curve, unquoted = _real_curve(real, as_of)
    notes = [*(note for found in rates for note in found.notes), *unquoted]
    if ignored:
        notes.append(f"files not read: {', '.join(ignored)}")
    merged = {name: rate for found in rates for name, rate in found.rates.items()}
    market = Market.from_history(history, as_of, money_market=merged, prices=prices.prices, notes=notes)
    told: dict[Any, Any] = dict(prices.underlyings)
    fixed = {name: fixings for found in rates for name, fixings in found.fixings.items()}
    market = evolve(market, real_curve=curve, underlyings=told, price_history=prices.history, fixings=fixed)
    return read_swap_files(folder, market)


def _real_curve(found: Sequence[History], as_of: date) -> tuple[ParCurve | None, tuple[str, ...]]:
    """Return the real curve of the very date, or none and a note."""
    if not found:
        return None, ()
    history, row = found[0], found[0].row_at(as_of)
    if row is None or history.dates[row] != as_of:
        return None, (f"no real yields of {as_of}: TIPS have no price",)
    quoted = np.isfinite(history.par[row])
    return ParCurve(as_of, history.tenors[quoted], history.par[row, quoted], history.source, real=True), ()


@cache
def packaged_history() -> History:
    """Return the Treasury par yields 1990-01-02 to 2017-03-29 that come with the package.

    Extend them with the Treasury's own file: `packaged_history().extended(read_treasury_csv(path))`.
    Source, licence and known gaps stand in `data/ust_par_yields_1990_2017.toml`.

    Examples
    --------
    >>> history = packaged_history()
    >>> history.par.shape, history.dates[-1]
    ((6816, 11), datetime.date(2017, 3, 29))
    """
    data = files("crossmargin.data").joinpath(f"{_HISTORY}.csv.gz").read_bytes()
    table = table_of(data, f"{_HISTORY}.csv.gz")
    return _par_history(table, _TIDY, "percent", source="US Treasury par yields (packaged, 1990-2017)")


def packaged_base_curve() -> ParCurve:
    """Return the par curve of 2026-06-30 (3M, 2Y, 5Y, 10Y, 30Y) that the sample books use.

    Examples
    --------
    >>> packaged_base_curve().par.tolist()
    [0.0387, 0.0414, 0.0419, 0.0444, 0.0491]
    """
    data = _base_curve()
    tenors = [TENORS[label] for label in data["par_yields"]]
    par = [_hundredth(entry["value"]) for entry in data["par_yields"].values()]
    return ParCurve(data["as_of"], tenors, par, data["title"])


def packaged_market(history: History | None = None) -> Market:
    """Return the market of 2026-06-30: packaged base curve and SOFR, packaged history or your longer one.

    Spot, yield and volatility of TLT, on which the sample book holds options, are made up, and its notes say so.

    Examples
    --------
    >>> for note in packaged_market().notes:
    ...     print(note)
    history ends 2017-03-29, 9.3 years before as-of 2026-06-30; look-back anchored at its end
    TLT: spot, yield and volatility are made up, for the sample book
    """
    data = _base_curve()
    past = packaged_history() if history is None else history
    check_kinds(history=(past, History, "Give a History, such as read_treasury_csv returns."))
    curve = packaged_base_curve()
    rates = {name: _hundredth(entry["value"]) for name, entry in data["money_market"].items()}
    fund = Underlying("TLT", 0.135, 85.5, dividend_yield=0.045, security=ETF("TLT", "narrow"))
    notes = (*age_notes(past, curve.as_of), "TLT: spot, yield and volatility are made up, for the sample book")
    told: dict[Any, Any] = {fund.symbol: fund}
    return Market(curve.as_of, curve, past, money_market=rates, underlyings=told, notes=notes)


@frozen
class _Format:
    """How a kind of file names its columns."""

    name: str
    date_columns: tuple[str, ...]
    tenor: Callable[[str], float | None]
    examples: tuple[str, ...]
    other_columns: frozenset[str] = frozenset()


def _textual_tenor(text: str) -> float | None:
    """Return the years of "1 Mo", "1.5 Month", "10 Yr" or "10Y"; None when it is no tenor of the Treasury."""
    match = _TEXTUAL_TENOR.fullmatch(text)
    return TENORS.get(f"{float(match[1]):g}{match[2][0].upper()}") if match else None


def _fred_tenor(text: str) -> float | None:
    match = _FRED_TENOR.fullmatch(text)
    return TENORS.get(f"{int(match[1])}{'M' if match[2] else 'Y'}") if match else None


_TREASURY = _Format(
    "Treasury par-yield CSV",
    ("Date", "date"),
    _textual_tenor,
    tuple(f"{label[:-1]} {'Mo' if label.endswith('M') else 'Yr'}" for label in TENORS),
)
_FRED = _Format(
    "FRED CSV",
    ("observation_date", "DATE", "date"),
    _fred_tenor,
    tuple(f"DGS{label.removesuffix('Y').replace('M', 'MO')}" for label in TENORS if "." not in label),
)
_TIDY = _Format("table of par yields", ("date", "Date"), _textual_tenor, tuple(TENORS), frozenset({"source"}))
_DATE_COLUMNS = ("date", "Date", "observation_date", "DATE")


def _par_history(table: Table, shape: _Format, unit: str, *, source: str = "") -> History:
    """Return the history in a table; every problem of the table at once."""
    problems: list[Problem] = []
    if unit and unit not in UNITS:
        problems.append(Problem(f"unknown unit {unit!r}.", "unit", suggestion(unit, UNITS)))
    columns = _tenor_columns(table, shape, problems)
    dates, rows = dated_rows(table, shape.date_columns, problems)
    par = numbers(table, rows, list(columns), problems)
    if not unit:
        problems += [*_too_large(table, rows, list(columns), par), *_too_small(table, par)]
    quoted = np.asarray(np.isfinite(par).any(axis=1))
    if not problems and not quoted.any():
        problems.append(Problem("holds no quote.", table.name, "Give a file with at least one yield."))
    raise_capped(problems, table.name)
    order = np.array([row for row in sorted(range(len(dates)), key=dates.__getitem__) if quoted[row]])
    tenors = np.array(list(columns.values()))
    across = np.argsort(tenors)
    # Twelve decimals: 3.87 / 100 becomes the double nearest to 0.0387, whichever unit the file had.
    decimals = np.round(par[np.ix_(order, across)] / (1.0 if unit == "decimal" else 100.0), 12)
    return History([dates[row] for row in order], tenors[across], decimals, source or f"{shape.name} {table.name}")


def _tenor_columns(table: Table, shape: _Format, problems: list[Problem]) -> dict[int, float]:
    """Return column number -> tenor, and note the columns that are neither tenor nor date."""
    columns: dict[int, float] = {}
    for column, name in enumerate(table.header):
        tenor = shape.tenor(name)
        where = f"{table.name} header, column {name!r}"
        if tenor is not None and tenor in columns.values():
            problems.append(Problem(f"{tenor_name(tenor)} stands twice.", where, "Keep one of the columns."))
        elif tenor is not None:
            columns[column] = tenor
        elif name not in shape.date_columns and name not in shape.other_columns:
            what = f"no column of a {shape.name}."
            problems.append(Problem(what, where, suggestion(name, [*shape.examples, *shape.date_columns])))
    if not columns:
        what = f"no column with yields of a {shape.name}."
        problems.append(Problem(what, f"{table.name} header", f"Known: {', '.join(shape.examples)}."))
    return columns


def _too_large(table: Table, rows: Sequence[Row], columns: Sequence[int], percent: FloatArray) -> Iterable[Problem]:
    with np.errstate(invalid="ignore"):
        beyond = np.argwhere(np.abs(percent) > LARGEST_PERCENT)
    for row, position in beyond.tolist():
        where = f"{table.name} row {rows[row][0]}, field {table.header[columns[position]]!r}"
        what = f"{percent[row, position]:g} % is beyond any rate of the last sixty years."
        yield Problem(what, where, "Correct it; of a par yield say unit='percent' if it is right.")


def _too_small(table: Table, percent: FloatArray) -> Iterable[Problem]:
    quoted = percent[np.isfinite(percent)]
    if quoted.size and np.abs(quoted).max() < SMALLEST_PERCENT:
        fix = "Say unit='decimal' if the file holds decimals, unit='percent' if yields were this low."
        yield Problem(f"no yield reaches {SMALLEST_PERCENT:g}; are they percent?", table.name, fix)


def _money_market(table: Table, as_of: date) -> MoneyMarketRates:
    problems: list[Problem] = []
    columns = [column for column, name in enumerate(table.header) if name in _RATES]
    if not columns:
        fix = f"Known: {', '.join(_RATES)}."
        problems.append(Problem("no column holds a known rate.", f"{table.name} header", fix))
    dates, rows = dated_rows(table, _DATE_COLUMNS, problems)
    values = numbers(table, rows, columns, problems)
    problems += _too_large(table, rows, columns, values)
    raise_capped(problems, table.name)
    rates, old = {}, []
    fixings: dict[str, dict[date, float]] = {}
    for position, column in enumerate(columns):
        known = [(day, row) for row, day in enumerate(dates) if day <= as_of and isfinite(values[row, position])]
        if not known:
            continue
        day, row = max(known)
        name, is_repo = _RATES[table.header[column]], table.header[column] == "SOFR_or_GC_repo"
        begins = _SOFR_BEGINS if is_repo else date.min
        if name in _FIXED_TO:
            fixings[name] = {day: _hundredth(values[row, position]) for day, row in known if day >= begins}
        if is_repo and day < _SOFR_BEGINS:
            name = "GC_REPO"
        if as_of - day > timedelta(days=RATE_AGE_DAYS):
            old.append(f"{name} ({day})")
        else:
            rates[name] = _hundredth(values[row, position])
    notes = (f"last quoted too long before {as_of} and left out: {', '.join(old)}",) if old else ()
    return MoneyMarketRates(as_of, rates, notes, {name: fixed for name, fixed in fixings.items() if fixed})


def _hundredth(percent: float) -> float:
    return round(float(percent) / 100.0, 12)


def _take(
    path: Path, as_of: date, sinks: tuple[list[History], list[MoneyMarketRates], list[str], list[History]]
) -> None:
    """Read a file and put what it holds where it belongs: yields, rates, the list of other files, real yields."""
    histories, rates, ignored, real = sinks
    name = path.name.removesuffix(".gz")
    if name in (*PRICE_FILES, *SWAP_FILES):
        return
    if name == REAL_YIELDS:
        real.append(read_real_par_yields(path))
        return
    header = () if name.endswith(".toml") else header_of(path)
    shape = _recognised(header)
    if shape is not None:
        histories.append(_par_history(read_table(path), shape, ""))
    elif any(name in _RATES for name in header):
        rates.append(_money_market(read_table(path), as_of))
    else:
        ignored.append(path.name)


def _recognised(header: Sequence[str]) -> _Format | None:
    """Return the par-yield format of a header, None for a table of anything else."""
    if not any(name in _DATE_COLUMNS for name in header):
        return None
    if any(_fred_tenor(name) for name in header):
        return _FRED
    tenors = [tenor for name in header if (tenor := _textual_tenor(name)) is not None]
    if not tenors or min(tenors) > TENORS["6M"]:
        return None  # real yields begin at 5Y and swap rates at 1Y; nominal par yields have bills in front
    return _TIDY if "source" in header or "date" in header else _TREASURY


def _nothing_recognised(folder: Path, seen_files: Sequence[Path]) -> Problem:
    seen = f"{len(seen_files)} CSV files, none with par yields" if seen_files else "no CSV file"
    fix = "Add the Treasury's par-yield CSV, FRED series DGS1MO to DGS30, or a table date,1M,...,30Y."
    return Problem(f"{seen}.", str(folder), fix)


@cache
def _base_curve() -> dict[str, Any]:
    text = files("crossmargin.data").joinpath(f"{_BASE_CURVE}.toml").read_text("utf-8")
    return tomllib.loads(text)
