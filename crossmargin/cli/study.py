"""The command study: a population of books under every regime through history."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossmargin.cli.inputs import Output, a_count, a_date, command, version
from crossmargin.errors import InputError, Problem, Problems

if TYPE_CHECKING:
    from crossmargin.analysis.study import Plan
    from crossmargin.market import Market
    from crossmargin.regimes import Regime


def add(commands: Any) -> None:
    """Add the command."""
    about = "margin a population of books under every regime through history and write a report"
    study = command(commands, "study", _study, about=about)
    study.add_argument("population", metavar="POPULATION", help="`archetypes`, or a folder of book files")
    study.add_argument("--out", required=True, metavar="DIR", help="folder of the report, its tables and its journal")
    about = "market files, read as of --until; the packaged Treasury history when left out"
    study.add_argument("--market", metavar="DIR", help=about)
    study.add_argument("--from", dest="first", type=a_date, default=date(2000, 1, 1), metavar="DATE", help="2000-01-01")
    study.add_argument("--until", type=a_date, metavar="DATE", help="the end of the packaged history when left out")
    study.add_argument("--every", default="year", metavar="STEP", help="month, quarter or year (%(default)s)")
    study.add_argument("--regimes", default="", help="in this order, the first is the base; all when left out")
    about = "day whose rules are used on every day; 2026-06-30 when left out"
    study.add_argument("--calibration", type=a_date, metavar="DATE", help=about)
    study.add_argument("--resamples", type=a_count, default=400, metavar="N", help="for standard errors (%(default)s)")
    about = "rows of the history between two back-tested days; 0 for no back-tests (%(default)s)"
    study.add_argument("--coverage-every", type=a_count, default=20, metavar="N", help=about)
    study.add_argument("--seed", type=a_count, default=0, metavar="N", help="of the resamples (%(default)s)")


def _study(chosen: Namespace) -> Output:
    from crossmargin.analysis.study import run
    from crossmargin.analysis.study_page import write

    done = run(_study_plan(chosen), chosen.out, _progress())
    page, *tables = write(done, chosen.out)
    gaps, figures = len(done.tables["gaps"]), len(done.tables["figures"])
    if chosen.json:
        counts = {name: len(records) for name, records in done.tables.items()}
        files = {"report": str(page), "tables": [str(path) for path in tables]}
        return Output(json.dumps({**files, "records": counts, "study": done.header}, indent=2))
    said = f"{figures} figures, {gaps} gaps. Proposals are not in force: each figure stands with its status."
    return Output(f"{page}\n{said}")


def _study_plan(chosen: Namespace) -> Plan:
    """Return what the arguments of `study` ask for; every problem of population, market and regimes at once."""
    from crossmargin.analysis.population import population
    from crossmargin.analysis.study import CALIBRATION, Plan, study_days
    from crossmargin.regimes import REGIMES, regime

    problems = Problems()
    books: tuple[Any, ...] = ()
    regimes: list[Regime] = []
    days: tuple[date, ...] = ()
    market = None
    with problems.collecting():
        books = population(chosen.population)
    for name in filter(None, chosen.regimes.split(",")):
        with problems.collecting():
            regimes.append(regime(name.strip()))
    with problems.collecting():
        market = _study_market(chosen)
        days = study_days(market.history, chosen.first, chosen.until or market.as_of, chosen.every)
    problems.raise_if_any()
    assert market is not None  # noqa: S101 - nothing was noted
    settings = {"resamples": chosen.resamples, "seed": chosen.seed, "coverage_every": chosen.coverage_every}
    settings["calibration"] = chosen.calibration or CALIBRATION
    name = Path(chosen.population).name
    return Plan(name, books, market, days, regimes=regimes or REGIMES, version=version(), **settings)


def _study_market(chosen: Namespace) -> Market:
    """Return the market whose history is studied: that of the files, or the Treasury history in the package."""
    from crossmargin.io.market_files import packaged_history, read_market_directory
    from crossmargin.market import Market

    if chosen.market and chosen.until:
        return read_market_directory(chosen.market, chosen.until)
    if chosen.market:
        raise InputError([Problem("no date is given.", "--until", "Say which is the last day: --until 2026-06-30.")])
    history = packaged_history()
    return Market.from_history(history, history.dates[-1])


def _progress() -> Callable[[int, int, str], None]:
    """Return what tells the error stream how far a study is: one line that changes on a terminal, else one a book."""
    shown = sys.stderr.isatty()
    last = ""

    def tell(done: int, of: int, name: str) -> None:
        nonlocal last
        book = name.split(",", maxsplit=1)[0]
        if shown:
            print(f"\r\033[K{done} of {of}: {name}", end="\n" if done == of else "", file=sys.stderr, flush=True)
        elif book != last:
            print(f"{done} of {of}: {book}", file=sys.stderr, flush=True)
        last = book

    return tell
