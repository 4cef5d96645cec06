"""Margin three small books on every day since 2000 and write what the page on crises shows: figures, tables, pictures.

Needs matplotlib and a folder with the tables named below, none of which belongs to the repository::

    python tools/margin_history.py --data ../shared/data

Every figure that is written is derived: requirements, counts and ratios, no yield and no price. `--series FILE` keeps
the daily series, so that tables and pictures can be made again in a moment.
"""

from __future__ import annotations

import argparse
import json
import sys
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from crossmargin.analysis.backtest import christoffersen, exceptions, kupiec, procyclicality
from crossmargin.analysis.margin_series import (
    Book,
    Gap,
    MarginSeries,
    MarketHistory,
    front_month,
    margin_series_of,
    notional_future,
)
from crossmargin.io.market_files import read_tidy_par_yields
from crossmargin.io.price_files import read_index_history
from crossmargin.market import History
from crossmargin.products.futures import IndexFuture
from crossmargin.registry import rules

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation"
YIELDS, INDICES = "market/ust_par_yields_daily.csv", "market/equity_indices_daily.csv"
CALIBRATION = date(2026, 6, 30)
HISTORY_FROM, FIRST, LAST = date(1990, 1, 2), date(2000, 1, 3), date(2026, 6, 30)
STAND_IN = (date(1998, 8, 17), date(1998, 10, 30))  # from the Russian default to the end of the LTCM autumn
OWN_FROM = date(2009, 6, 30)  # the stress period of two of the models has ended, of the third two months later
WINDOWS: Mapping[str, tuple[date, date]] = MappingProxyType(
    {
        "2008": (date(2008, 7, 1), date(2009, 6, 30)),
        "2020": (date(2020, 1, 2), date(2020, 12, 31)),
        "2022": (date(2022, 1, 3), date(2022, 12, 30)),
        "2023": (date(2023, 1, 3), date(2023, 12, 29)),
    }
)
INCREASE_DAYS = 20
MODELS = ("cme_span2_like", "ice_irm2_like", "eurex_prisma_like", "lch_pairs_like", "cme_irs_like")
BOOKS: Mapping[str, Book] = MappingProxyType(
    {
        "ZN": lambda market: [(notional_future("ZN", market, years=7), 1)],
        "ES": lambda market: [(IndexFuture("ES", front_month("ES", market.as_of)), 1)],
        "ZT/ZN": lambda market: [
            (notional_future("ZT", market, years=2), 2),
            (notional_future("ZN", market, years=7), -1),
        ],
    }
)
PICTURES = MappingProxyType({"ZN": "margin_zn.svg", "ES": "margin_es.svg", "ZT/ZN": "margin_zt_zn.svg"})
TITLES = MappingProxyType({"ZN": "Long 1 ZN", "ES": "Long 1 ES", "ZT/ZN": "Long 2 ZT, short 1 ZN"})
# Colours of Okabe and Ito, told apart with any colour vision; the dashes tell them apart without colour.
STYLES = MappingProxyType(
    {
        "cme_span2_like": ("#0072B2", "-"),
        "ice_irm2_like": ("#E69F00", "-"),
        "eurex_prisma_like": ("#009E73", (0, (5, 1.5))),
        "lch_pairs_like": ("#CC79A7", (0, (4, 1, 1, 1))),
        "cme_irs_like": ("#000000", (0, (1.2, 1.2))),
    }
)
Study = dict[tuple[str, str], MarginSeries]


def main() -> None:
    """Read the history, margin the books, write figures, tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds market/*.csv")
    parser.add_argument("--into", type=Path, default=PAGE, help="folder of the page")
    parser.add_argument("--series", type=Path, help="keep the daily series here, or read them if the file is there")
    options = parser.parse_args()
    study = kept(options.series) if options.series and options.series.is_file() else margined(read(options.data))
    if options.series and not options.series.is_file():
        keep(study, options.series)
    found = figures(study)
    (options.into / "margin_history.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page = options.into / "margin_through_crises.md"
    if page.is_file():
        page.write_text(with_tables(page.read_text(encoding="utf-8"), found), encoding="utf-8")
    for book, name in PICTURES.items():
        path = options.into / "images" / name
        path.parent.mkdir(exist_ok=True)
        draw(study, book, path)
        print(f"{path.name}: {path.stat().st_size:,} bytes")


# ------------------------------------------------------------------------------------------------------ the study


def read(data: Path) -> MarketHistory:
    """Return yields and closes of the S&P 500 from the day on which both begin."""
    yields = read_tidy_par_yields(data / YIELDS)
    first = bisect_left(yields.dates, HISTORY_FROM)
    yields = History(yields.dates[first:], yields.tenors, yields.par[first:], yields.source)
    return MarketHistory(yields, read_index_history(data / INDICES))


def margined(history: MarketHistory) -> Study:
    """Return the series of every book under every model, a year at a time so that one sees it move."""
    days = [day for day in history.yields.dates if FIRST <= day <= LAST]
    chosen = [rules(id) for id in MODELS]
    parts = []
    for year in range(FIRST.year, LAST.year + 1):
        of_year = [day for day in days if day.year == year]
        parts.append(
            margin_series_of(BOOKS, chosen, history, of_year, calibration=CALIBRATION, stress_periods=[STAND_IN])
        )
        print(f"{year}: {len(of_year)} days", file=sys.stderr, flush=True)
    return {key: joined([part[key] for part in parts]) for key in parts[0]}


def joined(parts: list[MarginSeries]) -> MarginSeries:
    """Return series of consecutive days as one."""
    last = parts[-1]
    return MarginSeries(
        last.book,
        last.ruleset,
        last.horizon_days,
        last.confidence,
        dates=[day for part in parts for day in part.dates],
        requirement=np.concatenate([part.requirement for part in parts]),
        pnl=np.concatenate([part.pnl for part in parts]),
        gaps=tuple(gap for part in parts for gap in part.gaps),
        notes=last.notes,
    )


def keep(study: Study, path: Path) -> None:
    """Write the series to a file."""
    plain = [
        {
            "book": each.book,
            "ruleset": each.ruleset,
            "horizon_days": each.horizon_days,
            "confidence": each.confidence,
            "dates": [str(day) for day in each.dates],
            "requirement": each.requirement.tolist(),
            "pnl": each.pnl.tolist(),
            "gaps": [[str(gap.day), gap.why] for gap in each.gaps],
            "notes": each.notes,
        }
        for each in study.values()
    ]
    path.write_text(json.dumps(plain), encoding="utf-8")


def kept(path: Path) -> Study:
    """Return the series that `keep` wrote."""
    study = {}
    for each in json.loads(path.read_text(encoding="utf-8")):
        each["dates"] = [date.fromisoformat(day) for day in each["dates"]]
        each["gaps"] = tuple(Gap(date.fromisoformat(day), why) for day, why in each["gaps"])
        each["notes"] = tuple(each["notes"])
        study[each["book"], each["ruleset"]] = MarginSeries(**each)
    return study


# ---------------------------------------------------------------------------------------------------- the figures


def figures(study: Study) -> dict[str, Any]:
    """Return every figure that the page quotes, as plain values."""
    first = next(iter(study.values()))
    return {
        "calibration": str(CALIBRATION),
        "stress_stand_in": [str(day) for day in STAND_IN],
        "first": str(first.dates[0]),
        "last": str(first.dates[-1]),
        "increase_days": INCREASE_DAYS,
        "windows": {name: [str(day) for day in days] for name, days in WINDOWS.items()},
        "series": [_of_series(study[key]) for key in product(BOOKS, MODELS)],
    }


def _of_series(series: MarginSeries) -> dict[str, Any]:
    return {
        "book": series.book,
        "ruleset": series.ruleset,
        "horizon_days": series.horizon_days,
        "confidence": series.confidence,
        "days": len(series.dates),
        "gaps": len(series.gaps),
        **_coverage(series),
        "windows": {name: _in_window(series.between(*days)) for name, days in WINDOWS.items()},
    }


def _coverage(series: MarginSeries) -> dict[str, Any]:
    """Return counts over all days, and tests on days so far apart that their changes do not overlap."""
    hits = exceptions(*series.tested())
    apart = exceptions(*series.tested(every=series.horizon_days))
    found: dict[str, Any] = {"days_with_pnl": len(hits), "exceptions": int(hits.sum())}
    found |= {"tested_days": len(apart), "tested_exceptions": int(apart.sum())}
    if series.confidence is None:
        return {**found, "kupiec_p": None, "independence_p": None}
    probability = 1.0 - series.confidence
    coverage = kupiec(len(apart), int(apart.sum()), probability)
    clusters = christoffersen(apart, probability).independence
    return {**found, "kupiec_p": round(coverage.p_value, 6), "independence_p": round(clusters.p_value, 6)}


def _in_window(series: MarginSeries) -> dict[str, Any]:
    swing = procyclicality(series.requirement, INCREASE_DAYS)
    peak = int(series.requirement.argmax())
    return {
        "start_usd": round(float(series.requirement[0])),
        "peak_usd": round(float(series.requirement[peak])),
        "peak_day": str(series.dates[peak]),
        "peak_to_trough": round(swing.peak_to_trough, 2),
        "largest_increase": round(swing.largest_increase_ratio, 2),
        "exceptions": int(exceptions(*series.tested()).sum()),
    }


# ---------------------------------------------------------------------------------------- the sentences and tables


def sentences(found: Mapping[str, Any]) -> list[str]:
    """Return what the text of the page says in figures."""
    by = {(each["book"], each["ruleset"]): each for each in found["series"]}
    days, gaps = {each["days"] for each in by.values()}, sum(each["gaps"] for each in by.values())
    one_day = [each for each in by.values() if each["horizon_days"] == 1]
    fewest, most = (pick(each["exceptions"] for each in one_day) for pick in (min, max))
    expected = one_day[0]["tested_days"] * (1.0 - one_day[0]["confidence"])
    swings = [by["ES", id]["windows"]["2020"]["peak_to_trough"] for id in ("ice_irm2_like", "cme_irs_like")]
    spread = by["ZT/ZN", "cme_span2_like"]["windows"]["2023"]
    span = f"from {found['first']} to {found['last']}: {max(days):,} days"
    return [
        f"{span} for each of {len(by)} series, {gaps or 'no'} gaps",
        f"The one-day models show {fewest} to {most} exceptions where {expected:.0f} would match their claim",
        f"{swings[0]:.2f} times its least under `ice_irm2_like`, {swings[1]:.2f} times under `cme_irs_like`",
        f"from ${spread['start_usd']:,} at the start of 2023 to ${spread['peak_usd']:,} on {spread['peak_day']}",
    ]


def with_tables(page: str, found: Mapping[str, Any]) -> str:
    """Return the page with its generated tables, each between two comments that name it."""
    for name, table in (("coverage", coverage_table), ("crises", crisis_table)):
        start, end = f"<!-- {name}:start -->\n", f"<!-- {name}:end -->"
        before, rest = page.split(start)
        page = f"{before}{start}\n{table(found)}\n\n{end}{rest.split(end)[1]}"
    return page


def coverage_table(found: Mapping[str, Any]) -> str:
    """Return a row for each book and model: what was claimed, what came, what the tests say."""
    heads = ("book", "model", "days", "claim", "exceptions", "days apart", "of these", "expected", "Kupiec", "clusters")
    return _table(heads, (_coverage_row(each) for each in found["series"]))


def _coverage_row(each: Mapping[str, Any]) -> Iterator[str]:
    claimed = each["confidence"]
    expected = None if claimed is None else each["tested_days"] * (1.0 - claimed)
    yield each["book"]
    yield f"`{each['ruleset']}`"
    yield f"{each['horizon_days']}"
    yield "none" if claimed is None else f"{100 * claimed:g} %"
    yield f"{each['exceptions']} of {each['days_with_pnl']:,}"
    yield f"{each['tested_days']:,}"
    yield f"{each['tested_exceptions']}"
    yield "" if expected is None else f"{expected:.0f}"
    yield _p_value(each["kupiec_p"])
    yield _p_value(each["independence_p"])


def _p_value(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def crisis_table(found: Mapping[str, Any]) -> str:
    """Return a row for each book and model: peak over trough, and the largest increase, in each window."""
    rows = (
        (each["book"], f"`{each['ruleset']}`", *(_swing(window) for window in each["windows"].values()))
        for each in found["series"]
    )
    return _table(("book", "model", *found["windows"]), rows)


def _swing(window: Mapping[str, Any]) -> str:
    return f"{window['peak_to_trough']:.2f} / {window['largest_increase']:.2f}"


def _table(heads: tuple[str, ...], rows: Any) -> str:
    texts = len([head for head in heads if head in {"book", "model"}])
    rule = ["---"] * texts + ["---:"] * (len(heads) - texts)
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, rule, *rows))


# --------------------------------------------------------------------------------------------------- the pictures


def draw(study: Study, book: str, path: Path) -> None:
    """Draw one book: all years on top, then the windows, with a mark for each day that the margin did not cover."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    plain = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True}
    plain |= {"grid.color": "#dddddd", "grid.linewidth": 0.6, "svg.hashsalt": "margin", "svg.fonttype": "none"}
    with mpl.rc_context(plain):
        picture = plt.figure(figsize=(9.5, 9.0), layout="constrained")
        axes = picture.subplot_mosaic([["all", "all"], ["2008", "2020"], ["2022", "2023"]])
        _panel(axes["all"], study, book, ("2000 to 2026, month by month (highest day)", FIRST, LAST))
        for name, days in WINDOWS.items():
            _panel(axes[name], study, book, (f"{days[0]:%B %Y} to {days[1]:%B %Y}", *days))
        handles, labels = axes["all"].get_legend_handles_labels()
        picture.suptitle(f"{TITLES[book]}: requirement, USD. Today's calibration, hypothetical on past days")
        picture.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        picture.savefig(path, metadata={"Date": None})
        plt.close(picture)


def _panel(axis: Any, study: Study, book: str, span: tuple[str, date, date]) -> None:
    title, first, last = span
    whole = first == FIRST
    for row, id in enumerate(MODELS):
        series, (colour, dashes) = study[book, id].between(first, last), STYLES[id]
        days, amounts = _monthly(series) if whole else (series.dates, series.requirement)
        label = f"{id} ({series.horizon_days} d)"
        axis.plot(days, amounts, color=colour, linestyle=dashes, linewidth=1.3, label=label)
        _marks(axis, series, row)
    axis.set_title(title, fontsize=9, loc="left")
    axis.set_xlim(first, last)
    axis.set_ylim(bottom=0.0)
    high = axis.get_ylim()[1]
    axis.set_yticks([tick for tick in axis.get_yticks() if tick <= high])
    axis.set_ylim(-0.16 * high, high)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if first < OWN_FROM < last:
        axis.axvline(OWN_FROM, color="#888888", linewidth=0.8)
    _dates(axis, whole=whole)


def _marks(axis: Any, series: MarginSeries, row: int) -> None:
    """Mark the days whose loss went beyond the margin, a line of marks for each model below the zero."""
    known = np.isfinite(series.pnl)
    beyond = np.flatnonzero(known & (-np.where(known, series.pnl, 0.0) > series.requirement))
    places = axis.get_xaxis_transform()
    height = 0.115 - 0.023 * row
    days = [series.dates[at] for at in beyond]
    axis.plot(
        days, [height] * len(days), "|", color=STYLES[series.ruleset][0], transform=places, markersize=4, zorder=3
    )


def _monthly(series: MarginSeries) -> tuple[list[date], list[float]]:
    """Return the highest requirement of each month."""
    highest: dict[date, float] = {}
    for day, amount in zip(series.dates, series.requirement.tolist(), strict=True):
        month = day.replace(day=15)
        highest[month] = max(amount, highest.get(month, 0.0))
    return list(highest), list(highest.values())


def _dates(axis: Any, *, whole: bool) -> None:
    from matplotlib import dates

    locator = dates.YearLocator(4) if whole else dates.MonthLocator(bymonth=(1, 4, 7, 10))
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(dates.DateFormatter("%Y" if whole else "%b %Y"))


if __name__ == "__main__":
    main()
