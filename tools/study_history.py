"""Study the archetypes on real history since 2000 and write the tables that the page on them shows.

Needs a folder with the tables named below, none of which belongs to the repository::

    python tools/study_history.py --data ../shared/data --work DIR

`DIR` receives the market files, the journal and the report; a run that was stopped goes on where it was. Every figure
that is written into the page is derived: requirements and their errors, no yield and no price.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from crossmargin import __version__
from crossmargin.analysis.archetypes import ARCHETYPES
from crossmargin.analysis.study import Plan, Study, run, study_days
from crossmargin.analysis.study_html import Told, alike, usd
from crossmargin.analysis.study_page import write
from crossmargin.analysis.study_sections import LOST, lost, p_value
from crossmargin.io.journal import write_whole
from crossmargin.io.market_files import read_market_directory

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "archetypes_through_history.md"
YIELDS, INDICES = "ust_par_yields_daily.csv", "equity_indices_daily.csv"
SHARES, FUNDS, VOLATILITIES = "stocks_adjclose_daily.csv", "etf_adjclose_daily.csv", "volatility_indices_daily.csv"
HISTORY_FROM, FIRST, LAST = date(1990, 1, 2), date(2000, 1, 3), date(2026, 2, 20)  # last: all tables quote
SHOWN = ("siloed", "cross_margin", "harmonized", "full_harmonized")
LEVELS = ("clearing", "customer")
ALL = 0.995  # a smaller share of a total whose error is known is said


def main() -> None:
    """Lay out the market files, run the study, write the report and the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds market/*.csv")
    parser.add_argument("--work", type=Path, required=True, help="folder of the market files and of the report")
    parser.add_argument("--page", type=Path, default=PAGE, help="page whose tables are replaced")
    parser.add_argument("--every", default="year", help="month, quarter or year")
    parser.add_argument("--coverage-every", type=int, default=20, help="rows between two back-tested days")
    options = parser.parse_args()
    folder = lay_out(options.data / "market", options.work / "market")
    market = read_market_directory(folder, LAST)
    days = study_days(market.history, FIRST, LAST, options.every)
    plan = Plan("archetypes", ARCHETYPES, market, days, version=__version__, coverage_every=options.coverage_every)
    study = run(plan, options.work / "study", told())
    print(write(study, options.work / "study")[0])
    if options.page.is_file():
        write_whole(options.page, with_tables(options.page.read_text(encoding="utf-8"), study))


def told() -> Callable[[int, int, str], None]:
    """Return what says on the error stream how far the study is."""
    return lambda done, of, name: print(f"{done} of {of}: {name}", file=sys.stderr, flush=True)


def lay_out(data: Path, folder: Path) -> Path:
    """Write yields, closes and volatilities as market files into a folder, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / YIELDS).is_file():
        with (data / YIELDS).open(encoding="utf-8") as source, (folder / YIELDS).open("w", encoding="utf-8") as into:
            into.write(next(source))
            into.writelines(line for line in source if line[:10] >= HISTORY_FROM.isoformat())
    closes = [
        *_columns(data / INDICES, {"SPX_close": "SPX"}),
        *_columns(data / FUNDS, {"TLT": "TLT"}),
        *_columns(data / SHARES, {name: name for name in _names(data / SHARES)}),
    ]
    _write(folder / "price_history.csv", "close", closes)
    _write(folder / "volatility_history.csv", "volatility", _columns(data / VOLATILITIES, {"VIX_close": "SPX"}))
    return folder


def _names(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as source:
        header = next(csv.reader(source))
    return [name for name in header[1:] if not name.endswith("_to2022")]


def _columns(path: Path, names: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield (day, ticker, figure) of some columns of a table with a row a day."""
    with path.open(encoding="utf-8") as source:
        for row in csv.DictReader(source):
            if row["date"] >= HISTORY_FROM.isoformat():
                yield from ((row["date"], ticker, row[name]) for name, ticker in names.items() if row[name])


def _write(path: Path, column: str, rows: Iterable[tuple[str, str, str]]) -> None:
    if path.is_file():
        return
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as into:
        writer = csv.writer(into, lineterminator="\n")
        writer.writerow(["date", "ticker", column])
        writer.writerows(rows)
    shutil.move(part, path)


# ----------------------------------------------------------------------------------------------------- the tables


def with_tables(page: str, study: Study) -> str:
    """Return a page with what stands between its markers replaced by the tables of a study."""
    for name, table in TABLES.items():
        start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        before, _, rest = page.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"the page has no {start} ... {end}")
        page = f"{before}{start}\n\n{table(study)}\n\n{end}{after}"
    return page


def last_day(study: Study) -> str:
    """Return what each regime asks for on the last day, its standard error, and its distance from the first."""
    return _in_detail(study, "last")


def largest_day(study: Study) -> str:
    """Return the same of the day on which the first regime asked for most, where that is another."""
    return _in_detail(study, "largest")


def _in_detail(study: Study, step: str) -> str:
    header = ["book", "level", "regime", "status", "USD", "standard error", "less than siloed", "standard error", ""]
    rows = []
    days = {each["book"]: each["day"] for each in study.steps if each["step"] == step}
    for book in study.books:
        on = days.get(book.id)
        mine = [row for row in study.tables["evidence"] if (row["book"], row["day"]) == (book.id, on)]
        title = book.title if step == "last" else f"{book.title}, {on}"
        for level in dict.fromkeys(row["level"] for row in mine):
            found = {(row["kind"], row["regime"]): row for row in mine if row["level"] == level}
            for name in (name for name in SHOWN if ("total", name) in found):
                total, gap = found["total", name], found.get(("gap", name))
                rows.append([title, level, f"`{name}`", _status(total), *_sure(total, 1.0), *_distance(gap)])
    return _table(header, rows, figures=(4, 8))


def _distance(gap: Mapping[str, Any] | None) -> list[str]:
    """Return a distance with its error and what to beware of; nothing for what is the same in every resample."""
    if gap is None or not (gap["figure"] or gap["standard_error"]):
        return ["", "", "" if gap is None else "the same"]
    noise = ["inside the noise"] if gap["inside_noise"] else []
    known = [f"error known of {gap['simulated']:.0%}"] if 0.0 < gap["simulated"] < ALL else []
    return [*_sure(gap, -1.0), ", ".join(noise + known)]


def _sure(row: Mapping[str, Any], sign: float) -> list[str]:
    error = f"{round(row['standard_error']):,}" if row["simulated"] else "not known"
    return [f"{round(sign * row['figure']) + 0:,}", error]


def through_the_years(study: Study) -> str:
    """Return the lowest, the mean and the highest share of the first regime's total that each other asks for."""
    header = ["book", "level", "days", "regime", "status", "lowest", "mean", "highest"]
    rows = []
    for book in study.books:
        days = study.header["days"]
        mine = [row for row in study.tables["figures"] if row["book"] == book.id and row["day"] in days]
        for level in _levels(study, book.id):
            rows += [[book.title, level, *cells] for cells in _shares([row for row in mine if row["level"] == level])]
    return _table(header, rows, figures=(5, 8))


def _shares(rows: list[Mapping[str, Any]]) -> Iterator[list[str]]:
    base = {row["day"]: row["total"] for row in rows if row["regime"] == SHOWN[0] and row["total"]}
    for name in SHOWN[1:]:
        asked = [row for row in rows if row["regime"] == name and row["day"] in base and row["total"] is not None]
        shares = [row["total"] / base[row["day"]] for row in asked]
        if shares:
            spread = (min(shares), sum(shares) / len(shares), max(shares))
            cells = [f"{100 * share:.1f} %" for share in spread]
            yield [str(len(shares)), f"`{name}`", _status(asked[0]), *cells]


def back_tests(study: Study) -> str:
    """Return the exceptions of each regime, over the shortest and the longest horizon of the book."""
    header = ["book", "level", "regime", "status", "days ahead", "own", "days", "exceptions", "expected"]
    header += ["Kupiec", "clusters", "verdict"]
    return _table(header, _of_regimes(study, "coverage", _tested, _TESTS), figures=(4, 11))


_TESTS = ("horizon_days", "own_horizons", "observations", "exceptions", "verdict")


def _tested(row: Mapping[str, Any]) -> list[str]:
    said = [str(row["horizon_days"]), ", ".join(row["own_horizons"]), str(row["observations"])]
    if not row["observations"]:
        return [*said, "", "", "", "", row["verdict"]]
    p_values = (p_value(row["kupiec_p"]), p_value(row["independence_p"]))
    return [*said, str(row["exceptions"]), f"{row['expected']:.1f}", *p_values, row["verdict"]]


def swings(study: Study) -> str:
    """Return how far the requirement of each regime swung, and what the tools against it cost."""
    header = ["book", "level", "regime", "status", "mean, USD", "peak to trough", "increase", "peak to trough without"]
    header += ["increase without", "cost", "peak"]
    return _table(header, _of_regimes(study, "procyclicality", _swung, _SWINGS), figures=(4, 11))


_SWINGS = ("mean", "peak_to_trough", "largest_increase")


def _swung(row: Mapping[str, Any]) -> list[str]:
    names = ("peak_to_trough", "largest_increase", "unmitigated_peak_to_trough", "unmitigated_largest_increase", "cost")
    ratios = ["" if row[name] is None else f"{row[name]:.2f}" for name in names]
    return [f"{round(row['mean']):,}", *ratios, row["peak_day"]]


def _of_regimes(
    study: Study, table: str, told: Callable[[Mapping[str, Any]], list[str]], figures: Sequence[str]
) -> Iterator[list[str]]:
    """Yield the rows of a table by book and level; regimes of one status with the same figures share a row."""
    for book in study.books:
        for level in _levels(study, book.id):
            wanted = [
                {**row, "regime": f"`{row['regime']}`"}
                for row in study.tables[table]
                if (row["book"], row["level"]) == (book.id, level) and row["regime"] in SHOWN
            ]
            for names, row in alike(wanted, figures):
                yield [book.title, level, names, _status(row), *told(row)]


def losses(study: Study) -> str:
    """Return the mean stressed loss beyond margin on the last day, by what fails, and who bears it if a firm does."""
    header = ["book", "regime", "status", "held, USD", "customer fails", "firm fails", "one leg alone", "worst of legs"]
    header += ["borne by the firm", "fellow customers", "clearing house"]
    rows = []
    for number, book in enumerate(study.books):
        told = Told(study, book, number)
        found = [{**row, "regime": f"`{row['regime']}`"} for row in lost(told, told.last) if row["regime"] in SHOWN]
        rows += [
            [book.title, names, _status(row), *(usd(row[name]) for name in LOST)] for names, row in alike(found, LOST)
        ]
    return _table(header, rows, figures=(3, 11))


def _levels(study: Study, book: str) -> list[str]:
    shown = {row["level"] for row in study.tables["evidence"] if row["book"] == book}
    return [level for level in LEVELS if level in shown]


def _status(row: Mapping[str, Any]) -> str:
    return {"in_force": "in force", "proposed": "*proposed*"}.get(row["status"], row["status"])


def _table(header: list[str], rows: Iterable[list[str]], *, figures: tuple[int, int]) -> str:
    rule = ["---:" if figures[0] <= column < figures[1] else "---" for column in range(len(header))]
    cells = ((f" {cell} " if cell else " " for cell in row) for row in (header, rule, *rows))
    return "\n".join(f"|{'|'.join(row)}|" for row in cells)


TABLES: Mapping[str, Callable[[Study], str]] = MappingProxyType(
    {
        "last": last_day,
        "largest": largest_day,
        "years": through_the_years,
        "coverage": back_tests,
        "swings": swings,
        "losses": losses,
    }
)

if __name__ == "__main__":
    main()
