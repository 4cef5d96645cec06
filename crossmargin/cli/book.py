"""Commands over one book: demo, compare, explain, where."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError, Namespace
from typing import Any

from crossmargin.cli.inputs import REGIMES, Output, add_market, command, inputs, market_note

CLOSING = """\
Real Treasury history, fictional firms and customers. Not advice. Proposals are not in force. Clearing houses keep some
parameters confidential: figures that rest on assumed values are marked."""


def add(commands: Any) -> None:
    """Add the commands."""
    command(commands, "demo", _demo, about="print the sample book under the three regimes")
    compare = command(commands, "compare", _compare, about="print your book under several regimes, side by side")
    compare.add_argument("book", metavar="BOOK", help="book file, .toml or .json")
    add_market(compare)
    compare.add_argument("--regimes", default=REGIMES, help="in this order, the first is the base (%(default)s)")
    compare.add_argument("--out", metavar="FILE", help="write it too, as the ending says: .json .csv .parquet .xlsx")
    _add_explain(commands)
    _add_where(commands)


def _add_explain(commands: Any) -> None:
    about = "print the calculation behind a total as an indented tree"
    explain = command(commands, "explain", _explain, about=about)
    explain.add_argument("book", nargs="?", metavar="BOOK", help="book file; the sample book when left out")
    add_market(explain)
    explain.add_argument("--regime", default="cross_margin", help="(%(default)s)")
    explain.add_argument("--depth", type=_depth, default=4, metavar="N", help="levels of the tree (%(default)s)")
    explain.add_argument("--level", choices=("clearing", "customer"), default="clearing", help="(%(default)s)")


def _add_where(commands: Any) -> None:
    about = "print where collateral lies: required, posted, excess, deficit, locked, and whose law protects it"
    where = command(commands, "where", _where, about=about)
    where.add_argument("book", nargs="?", metavar="BOOK", help="book file; the sample group when left out")
    add_market(where)
    where.add_argument("--regime", default="cross_margin", help="(%(default)s)")


def _depth(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no number of levels: write 0, 1, 2, ...")
    return int(text)


def _demo(chosen: Namespace) -> Output:
    from crossmargin import samples
    from crossmargin.margin import compare

    comparison = compare(*samples.basis_trade())
    return Output(comparison.to_json(indent=2) if chosen.json else f"{comparison}\n{CLOSING}")


def _compare(chosen: Namespace) -> Output:
    from crossmargin.io.report_files import ending_of, write_report
    from crossmargin.margin import compare

    if chosen.out:
        ending_of(chosen.out)  # refused before anything is calculated
    portfolio, market, regimes = inputs(chosen, chosen.regimes.split(","))
    comparison = compare(portfolio, market, regimes)
    if chosen.out:
        write_report(comparison, chosen.out)
    return Output(comparison.to_json(indent=2) if chosen.json else f"{comparison}{market_note(chosen, market)}")


def _explain(chosen: Namespace) -> Output:
    from crossmargin.margin import margin
    from crossmargin.records import to_plain

    portfolio, market, (regime,) = inputs(chosen, [chosen.regime])
    report = margin(portfolio, market, regime)
    if chosen.json:
        return Output(json.dumps(to_plain(report.line(chosen.level)), indent=2, allow_nan=False))
    heading = f"{report.title}, as of {report.as_of}, USD"
    return Output(f"{heading}\n\n{report.explain(chosen.depth, level=chosen.level)}\n{market_note(chosen, market)}")


def _where(chosen: Namespace) -> Output:
    from crossmargin import samples
    from crossmargin.analysis.transfers import transfers, transfers_text
    from crossmargin.collateral.text import collateral_text
    from crossmargin.margin import collateral_report, margin

    portfolio, market, (regime,) = inputs(chosen, [chosen.regime], sample=samples.group)
    found = collateral_report(portfolio, market, margin(portfolio, market, regime))
    if chosen.json:
        return Output(found.to_json(indent=2))
    could_move = transfers_text(transfers(portfolio, market.as_of))
    parts = (collateral_text(found, portfolio.posted), could_move, market_note(chosen, market).lstrip())
    return Output("\n".join(part for part in parts if part))
