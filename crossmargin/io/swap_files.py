"""What swaps need, from files: past fixings, quoted swap rates, credit spreads, a SIMM calibration.

`read_swap_files(folder, market)` adds those of a market directory, known by their names; each has a reader of its own.
Every problem of every file comes with file, row and field. Curves are built from the quotes by
`pricing.swap_curve.bootstrap`; prices of credit default swaps stand in `prices.csv` (`price_files`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve

from crossmargin.curves import zero_rates
from crossmargin.errors import InputError, NumericalError, Problem, Problems, counted, suggestion
from crossmargin.io import entries as read
from crossmargin.io.entries import Entry, Field, filled, read_fields
from crossmargin.io.paths import as_path
from crossmargin.io.tables import Source, read_table
from crossmargin.market import Market, raise_capped
from crossmargin.pricing.swap_curve import bootstrap, spot_swap
from crossmargin.pricing.swaps import Curve
from crossmargin.products.security_based import STANDARD_RECOVERY
from crossmargin.products.swaps import USUAL_INDEX, InterestRateSwap, Swap
from crossmargin.simm import load_calibration
from crossmargin.swap_market import CreditSpreads, ZeroCurve

FIXINGS, SWAP_RATES, CREDIT_SPREADS = "fixings.csv", "swap_rates.csv", "credit_spreads.csv"
SWAP_FILES = (FIXINGS, SWAP_RATES, CREDIT_SPREADS)
SIMM_CALIBRATION = "simm.json"

_MONTHS, _MONTHS_OR_YEARS = {"M": 1, "Y": 12}, re.compile(r"0*[1-9][0-9]{0,3}[MY]")
_HALF_YEAR, _YEAR = 6, 12  # months
_FAR = 20.0  # times: no swap rate was ever so far below the Treasury yield beside it, and a decimal is 100 times below
_LEAST_SPREAD = 0.1  # basis points: no protection is quoted at less, and a decimal stays below up to 1,000 of them


def _needed(name: str, how: read.Reader, into: str = "") -> Field:
    return Field(name, how, into, required=True)


def _tenor(entry: Entry, name: str) -> str | None:
    tenor = read.text(entry, name)
    if tenor is None or _MONTHS_OR_YEARS.fullmatch(tenor):
        return tenor
    entry.note(name, f"{tenor!r} is no tenor.", "Write months or years as 6M or 5Y.")
    return None


_RATE = _needed("rate_pct", read.percent, "rate")
_FIXING = (_needed("date", read.day), _needed("index", read.text), _RATE)
_SWAP_RATE = (_needed("index", read.text), _needed("tenor", _tenor), _RATE)
_SPREAD = (
    _needed("reference", read.text),
    _needed("tenor", _tenor),
    _needed("spread_bp", read.basis_points_from(_LEAST_SPREAD), "spread"),
    Field("recovery_pct", read.percent, "recovery"),
)


def read_swap_files(folder: str | PathLike[str], market: Market) -> Market:
    """Return a market with what `fixings.csv`, `swap_rates.csv`, `credit_spreads.csv` and `simm.json` of a folder hold.

    Fixings join those that the market has; where both have one, that of the file is taken. Files that are not there are
    left out; a table may be packed, its name ending in `.csv.gz`. The calibration is the user's own: see
    `crossmargin.simm.LICENCE`.

    Raises
    ------
    InputError
        Listing every problem of every file.
    """
    place = as_path(folder, "folder")
    paths = {name: path for name in SWAP_FILES if (path := _path(place, name))}
    problems, found = Problems(), dict[str, Any]()
    with problems.collecting():
        if FIXINGS in paths:
            found["fixings"] = _joined(market.fixings, read_fixings(paths[FIXINGS]))
    with problems.collecting():
        if SWAP_RATES in paths:
            found["projections"] = {**market.projections, **read_swap_rates(paths[SWAP_RATES], market)}
    with problems.collecting():
        if CREDIT_SPREADS in paths:
            found["credit"] = {**market.credit, **read_credit_spreads(paths[CREDIT_SPREADS])}
    with problems.collecting():
        if (calibration := place / SIMM_CALIBRATION).is_file():
            found["simm"] = load_calibration(calibration)
    raise_capped(problems.found, f"the swap files of {folder}")
    return evolve(market, **found) if found else market


def read_fixings(source: Source) -> dict[str, dict[date, float]]:
    r"""Return past rates from a table `date, index, rate_pct`: index -> day -> decimal.

    An overnight rate bears the day from which it accrues.

    Raises
    ------
    InputError
        Listing bad fields with row, and rates that stand twice.

    Examples
    --------
    >>> from io import StringIO
    >>> read_fixings(StringIO("date,index,rate_pct\n2026-06-29,SOFR,3.68\n"))
    {'SOFR': {datetime.date(2026, 6, 29): 0.0368}}
    """
    found: dict[str, dict[date, float]] = {}
    for row in _rows(source, _FIXING, ("index", "date")):
        found.setdefault(row["index"], {})[row["date"]] = row["rate"]
    return found


def read_swap_rates(source: Source, market: Market) -> dict[str, ZeroCurve]:
    r"""Return curves built from a table `index, tenor, rate_pct` of par swap rates of the market's date.

    Rates of SOFR are those of overnight swaps (`spot_swap`), which are discounted at SOFR; those of another index are
    of swaps of a half-yearly 30/360 rate against three months of it, discounted at SOFR or else on the par curve.

    Raises
    ------
    InputError
        Listing bad fields with row, rates that stand twice or are decimals and no percent, curves that cannot be built.

    Examples
    --------
    >>> from io import StringIO
    >>> from crossmargin.io.market_files import packaged_market
    >>> table = "index,tenor,rate_pct\nSOFR,1Y,3.70\nSOFR,2Y,3.55\n"
    >>> curve = read_swap_rates(StringIO(table), packaged_market())["SOFR"]
    >>> curve.knots.round(2).tolist(), curve.zeros.round(4).tolist()
    ([1.02, 2.02], [0.0368, 0.0353])
    """
    quotes: dict[str, dict[str, float]] = {}
    problems, built = Problems(), dict[str, ZeroCurve]()
    for row in _rows(source, _SWAP_RATE, ("index", "tenor")):
        quotes.setdefault(row["index"], {})[row["tenor"]] = row["rate"]
    discount: Curve = zero_rates(market.curve.tenors, market.curve.par[:, None])
    for index in sorted(quotes, key=lambda index: index != USUAL_INDEX):  # the curve that discounts comes first
        with problems.collecting():
            knots, zeros = _built(index, quotes[index], market, None if index == USUAL_INDEX else discount)
            built[index] = ZeroCurve(market.as_of, knots, zeros[:, 0], f"swap rates of {index}")
            discount = (knots, zeros) if index == USUAL_INDEX else discount
    problems.raise_if_any()
    return built


def read_credit_spreads(source: Source) -> dict[str, CreditSpreads]:
    r"""Return par spreads from a table `reference, tenor, spread_bp` with an optional column `recovery_pct`.

    Raises
    ------
    InputError
        Listing bad fields with row, decimals where basis points are asked, spreads that stand twice, two recoveries of
        one reference.

    Examples
    --------
    >>> from io import StringIO
    >>> read_credit_spreads(StringIO("reference,tenor,spread_bp\nACME,5Y,110\nACME,6M,40\n"))["ACME"].spreads
    {0.5: 0.004, 5.0: 0.011}
    """
    spreads: dict[str, dict[float, float]] = {}
    recoveries: dict[str, set[float]] = {}
    problems = Problems()
    for row in _rows(source, _SPREAD, ("reference", "tenor")):
        spreads.setdefault(row["reference"], {})[_months(row["tenor"]) / _YEAR] = row["spread"]
        if "recovery" in row:
            recoveries.setdefault(row["reference"], set()).add(row["recovery"])
    for reference, told in recoveries.items():
        if len(told) > 1:
            problems.add(f"is quoted with {len(told)} recoveries.", where=reference, fix="Give all rows one.")
    built = {}
    for reference, quoted in spreads.items():
        with problems.collecting():
            built[reference] = CreditSpreads(reference, quoted, min(recoveries.get(reference, {STANDARD_RECOVERY})))
    problems.raise_if_any()
    return built


# ------------------------------------------------------------------------------------------------------------- pieces


def _check_header(header: Sequence[str], fields: Sequence[Field], name: str) -> None:
    """Raise all that is wrong with the columns of a table."""
    problems, known = Problems(), [each.name for each in fields]
    absent = [column for column in known if column not in header]
    for column in dict.fromkeys(header):
        where = f"{name} header, column {column!r}"
        if column not in known:
            problems.add("is unknown.", where=where, fix=suggestion(column, absent or known))
        elif list(header).count(column) > 1:
            problems.add("stands twice.", where=where, fix="Keep one of the columns.")
    for each in fields:
        if each.required and each.name in absent:
            problems.add("the column is missing.", where=f"{name} header, column {each.name!r}")
    problems.raise_if_any()


def _rows(source: Source, fields: Sequence[Field], key: tuple[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, after raising all that is wrong with any; `key` names a row."""
    table, problems = read_table(source), Problems()
    _check_header(table.header, fields, table.name)
    rows: dict[tuple[Any, Any], dict[str, Any]] = {}
    for line, cells in table.rows:
        where = f"{table.name} row {line}"
        if len(cells) != len(table.header):
            fix = f"Give {len(table.header)}, as in the header."
            problems.add(f"{counted(len(cells), 'field')}.", where=where, fix=fix)
            continue
        row = read_fields(Entry(where, filled(dict(zip(table.header, cells, strict=True))), problems), fields)
        if row is None:
            continue
        named = row[key[0]], row[key[1]]
        if named in rows:
            problems.add(f"{named[0]} {named[1]} stands twice.", where=where, fix="Keep one of the rows.")
        rows.setdefault(named, row)
    raise_capped(problems.found, table.name)
    yield from rows.values()


def _months(tenor: str) -> int:
    return int(tenor[:-1]) * _MONTHS[tenor[-1]]


def _check_unit(index: str, rates: Mapping[str, float], market: Market) -> None:
    """Refuse rates all of which are far below the par yields of the day: they are decimals where percent is asked."""
    curve = market.curve
    years = [_months(tenor) / _YEAR for tenor in rates]
    yields = np.interp(years, curve.tenors, curve.par)
    if all(_FAR * abs(rate) < par for rate, par in zip(rates.values(), yields, strict=True)):
        what = f"every rate is less than a twentieth of the par yield beside it, {max(yields):.2%}."
        raise InputError([Problem(what, f"swap rates of {index}", "Write percent: 3.61, not 0.0361.")])


def _built(index: str, rates: Mapping[str, float], market: Market, discount: Curve | None) -> Curve:
    """Return the curve on which swaps of these rates are worth nothing."""
    problems, swaps = Problems(), list[Swap]()
    for tenor, rate in rates.items():
        with problems.collecting():
            swaps.append(_quoted(index, tenor, rate, market.as_of))
    problems.raise_if_any()
    _check_unit(index, rates, market)
    swaps.sort(key=lambda swap: swap.maturity)
    try:
        return bootstrap(swaps, market.as_of, discount=discount)
    except NumericalError as error:
        raise InputError([Problem(str(error), f"swap rates of {index}")]) from error


def _quoted(index: str, tenor: str, rate: float, as_of: date) -> Swap:
    spot = spot_swap(as_of, tenor, rate)
    if index == USUAL_INDEX:
        return spot
    if _months(tenor) % _HALF_YEAR:
        fix = "Give whole half-years: 6M, 1Y, 18M, 2Y."
        raise InputError([Problem(f"{tenor} is no whole number of half-years.", f"swap rates of {index}", fix)])
    return InterestRateSwap("receive", rate, spot.start, spot.maturity, index=index)


def _joined(known: Mapping[str, Mapping[date, float]], more: Mapping[str, Mapping[date, float]]) -> dict[str, Any]:
    return {index: {**known.get(index, {}), **more.get(index, {})} for index in (*known, *more)}


def _path(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
