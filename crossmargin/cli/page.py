"""The command report: everything about one book as one HTML page."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossmargin.cli.inputs import PACKAGED, REGIMES, Output, add_market, command, inputs, version
from crossmargin.errors import CrossMarginError, InputError, Problem

if TYPE_CHECKING:
    from crossmargin.analysis.attribution import Attribution
    from crossmargin.market import Market
    from crossmargin.portfolio import Portfolio
    from crossmargin.regimes import Regime
    from crossmargin.results import Comparison

SAMPLE = "the sample group"


def add(commands: Any) -> None:
    """Add the command."""
    about = "write one self-contained HTML page: totals, steps, collateral, decisions, every calculation, every source"
    report = command(commands, "report", _report, about=about)
    report.add_argument("book", nargs="?", metavar="BOOK", help="book file; the sample group when left out")
    report.add_argument("--html", required=True, metavar="FILE", help="the page to write, whole or not at all")
    add_market(report)
    report.add_argument("--regimes", default=REGIMES, help="in this order, the first is the base (%(default)s)")
    about = "steps between regimes in one order instead of their mean over all orders: much quicker on large books"
    report.add_argument("--plain-steps", action="store_true", help=about)


def _report(chosen: Namespace) -> Output:
    from crossmargin import samples
    from crossmargin.io.journal import write_whole
    from crossmargin.margin import collateral_report, compare
    from crossmargin.page import report_page

    portfolio, market, regimes = inputs(chosen, chosen.regimes.split(","), sample=samples.group)
    comparison = compare(portfolio, market, regimes)
    page = report_page(
        comparison,
        title=_title(chosen.book),
        collateral=[collateral_report(portfolio, market, report) for report in comparison.reports],
        attributions=() if chosen.plain_steps else _attributions(portfolio, market, regimes, comparison),
        posted=portfolio.posted,
        notes=_notes(chosen, market),
    )
    try:
        write_whole(chosen.html, page)
    except OSError as error:
        fix = "Name a file in a folder that is there and may be written to."
        raise InputError([Problem(f"cannot be written: {error.strerror}.", chosen.html, fix)]) from error
    if chosen.json:
        status = {report.regime: report.status for report in comparison.reports}
        return Output(json.dumps({"page": chosen.html, "totals": comparison.totals(), "status": status}, indent=2))
    return Output(f"{chosen.html}\nProposals are not in force: each of their figures says so.")


def _attributions(
    portfolio: Portfolio, market: Market, regimes: Iterable[Regime], comparison: Comparison
) -> Iterator[Attribution]:
    """Yield why each regime differs from the first; where nobody can tell, the page has the plain steps."""
    from crossmargin.analysis.attribution import DEFICIT, REQUIREMENT, attribute

    base, *others = regimes
    told = (REQUIREMENT, DEFICIT) if portfolio.posted else (REQUIREMENT,)
    for other, level, of in product(others, comparison.reports[0].levels, told):
        if sys.stderr.isatty():
            print(f"steps from {base.name} to {other.name}, {level} {of}", file=sys.stderr, flush=True)
        with suppress(CrossMarginError):
            yield attribute(portfolio, market, base, other, level=level, of=of)


def _notes(chosen: Namespace, market: Market) -> Iterator[str]:
    if not chosen.market:
        yield PACKAGED.format(as_of=market.as_of)
    yield from market.notes
    yield f"crossmargin {version()}"


def _title(book: str | None) -> str:
    """Return what a book is called: its file, or the folder of a file that is called `book`."""
    if not book:
        return SAMPLE
    file = Path(book)
    return file.resolve().parent.name if file.stem == "book" else file.stem
