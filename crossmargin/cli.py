"""The command `crossmargin`: demo, compare, explain, where, study, rules, conformance, warmup.

Call `main(arguments)`; it returns the exit code. A command computes its whole output before any of it is printed,
so that nothing partial is ever shown as if it were whole. Nothing is calculated here.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from crossmargin.errors import CrossMarginError, InputError, Problem, Problems

if TYPE_CHECKING:
    from crossmargin.analysis.study import Plan
    from crossmargin.market import Market
    from crossmargin.parameters import Condition, Rules
    from crossmargin.portfolio import Portfolio
    from crossmargin.regimes import Regime

DONE, CASE_FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130

CLOSING = """\
Real Treasury history, fictional firms and customers. Not advice. Proposals are not in force. Clearing houses keep some
parameters confidential: figures that rest on assumed values are marked."""
PACKAGED = "Market: the one packaged with crossmargin, of {as_of}; your own comes with --market DIR --as-of DATE."
_REGIMES = "siloed,cross_margin,harmonized"


@frozen
class Output:
    """What a command prints, and its exit code."""

    text: str
    code: int = DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    arguments
        As on the command line, without the name of the program; those of the process when None.

    Returns
    -------
    int
        0 when done, 1 when a worked case failed, 2 when the input is wrong: then every problem stands on the
        error stream and nothing on the output.

    Examples
    --------
    >>> main(["rules", "two_pot_spread_credit", "--json"]) == 0
    {...
    True
    """
    chosen = _parser().parse_args(arguments)
    try:
        output: Output = chosen.run(chosen)
    except (CrossMarginError, OSError) as error:
        print(f"crossmargin: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return _printed(output)


def _printed(output: Output) -> int:
    try:
        print(output.text.rstrip("\n"), flush=True)
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return output.code


# ------------------------------------------------------------------------------------------------- arguments


def _parser() -> ArgumentParser:
    parser = ArgumentParser("crossmargin", description="Margin of one book under three regimes, every figure sourced.")
    parser.add_argument("--version", action="version", version=f"crossmargin {_version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    about = "print the sample book under the three regimes"
    demo = commands.add_parser("demo", help=about, description=about)
    demo.set_defaults(run=_demo)
    about = "print your book under several regimes, side by side"
    compare = commands.add_parser("compare", help=about, description=about)
    compare.add_argument("book", metavar="BOOK", help="book file, .toml or .json")
    _add_market(compare)
    compare.add_argument("--regimes", default=_REGIMES, help="in this order, the first is the base (%(default)s)")
    compare.set_defaults(run=_compare)
    explain = _add_explain(commands)
    where, study = _add_where(commands), _add_study(commands)
    about = "list every rule-set, arrangement and proposal, or show one with all its values"
    rules = commands.add_parser("rules", help=about, description=about)
    rules.add_argument("id", nargs="?", metavar="ID", help="the rule to show")
    rules.set_defaults(run=_rules)
    about = "run worked cases against the library"
    conformance = commands.add_parser("conformance", help=about, description=about)
    conformance.add_argument("files", nargs="+", metavar="FILE", help="worked cases, one JSON object a line")
    about = "SIMM calibrations, not part of the package (../data/simm beside each case file); "
    about += "commercial use of SIMM needs a licence from ISDA"
    conformance.add_argument("--calibrations", metavar="DIR", help=about)
    conformance.set_defaults(run=_conformance)
    about = "compile or load every numerical kernel, before the first request of a service"
    warmup = commands.add_parser("warmup", help=about, description=about)
    warmup.set_defaults(run=_warmup)
    for command in (demo, compare, explain, where, study, rules, conformance, warmup):
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_explain(commands: Any) -> ArgumentParser:
    about = "print the calculation behind a total as an indented tree"
    explain: ArgumentParser = commands.add_parser("explain", help=about, description=about)
    explain.add_argument("book", nargs="?", metavar="BOOK", help="book file; the sample book when left out")
    _add_market(explain)
    explain.add_argument("--regime", default="cross_margin", help="(%(default)s)")
    explain.add_argument("--depth", type=_depth, default=4, metavar="N", help="levels of the tree (%(default)s)")
    explain.add_argument("--level", choices=("clearing", "customer"), default="clearing", help="(%(default)s)")
    explain.set_defaults(run=_explain)
    return explain


def _add_where(commands: Any) -> ArgumentParser:
    about = "print where collateral lies: required, posted, excess, deficit, locked, and whose law protects it"
    where: ArgumentParser = commands.add_parser("where", help=about, description=about)
    where.add_argument("book", nargs="?", metavar="BOOK", help="book file; the sample group when left out")
    _add_market(where)
    where.add_argument("--regime", default="cross_margin", help="(%(default)s)")
    where.set_defaults(run=_where)
    return where


def _add_study(commands: Any) -> ArgumentParser:
    about = "margin a population of books under every regime through history and write a report"
    study: ArgumentParser = commands.add_parser("study", help=about, description=about)
    study.add_argument("population", metavar="POPULATION", help="`archetypes`, or a folder of book files")
    study.add_argument("--out", required=True, metavar="DIR", help="folder of the report, its tables and its journal")
    about = "market files, read as of --until; the packaged Treasury history when left out"
    study.add_argument("--market", metavar="DIR", help=about)
    study.add_argument("--from", dest="first", type=_date, default=date(2000, 1, 1), metavar="DATE", help="2000-01-01")
    study.add_argument("--until", type=_date, metavar="DATE", help="the end of the packaged history when left out")
    study.add_argument("--every", default="year", metavar="STEP", help="month, quarter or year (%(default)s)")
    study.add_argument("--regimes", default="", help="in this order, the first is the base; all when left out")
    about = "day whose rules are used on every day; 2026-06-30 when left out"
    study.add_argument("--calibration", type=_date, metavar="DATE", help=about)
    study.add_argument("--resamples", type=_count, default=400, metavar="N", help="for standard errors (%(default)s)")
    study.add_argument("--seed", type=_count, default=0, metavar="N", help="of the resamples (%(default)s)")
    study.set_defaults(run=_study)
    return study


def _add_market(command: ArgumentParser) -> None:
    command.add_argument("--market", metavar="DIR", help="market files; the packaged market when left out")
    command.add_argument("--as-of", type=_date, metavar="DATE", help="YYYY-MM-DD; the packaged market's when left out")


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date: write 30 June 2026 as 2026-06-30") from None


def _depth(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no number of levels: write 0, 1, 2, ...")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no count: write 0, 1, 2, ...")
    return int(text)


def _version() -> str:
    from crossmargin import __version__

    return __version__


# -------------------------------------------------------------------------------------------------- commands


def _demo(chosen: Namespace) -> Output:
    from crossmargin import samples
    from crossmargin.margin import compare

    comparison = compare(*samples.basis_trade())
    return Output(comparison.to_json(indent=2) if chosen.json else f"{comparison}\n{CLOSING}")


def _compare(chosen: Namespace) -> Output:
    from crossmargin.margin import compare

    portfolio, market, regimes = _inputs(chosen, chosen.regimes.split(","))
    comparison = compare(portfolio, market, regimes)
    return Output(comparison.to_json(indent=2) if chosen.json else f"{comparison}{_market_note(chosen, market)}")


def _explain(chosen: Namespace) -> Output:
    from crossmargin.margin import margin
    from crossmargin.records import to_plain

    portfolio, market, (regime,) = _inputs(chosen, [chosen.regime])
    report = margin(portfolio, market, regime)
    if chosen.json:
        return Output(json.dumps(to_plain(report.line(chosen.level)), indent=2, allow_nan=False))
    heading = f"{report.title}, as of {report.as_of}, USD"
    return Output(f"{heading}\n\n{report.explain(chosen.depth, level=chosen.level)}\n{_market_note(chosen, market)}")


def _where(chosen: Namespace) -> Output:
    from crossmargin import samples
    from crossmargin.analysis.transfers import transfers, transfers_text
    from crossmargin.collateral.text import collateral_text
    from crossmargin.margin import collateral_report, margin

    portfolio, market, (regime,) = _inputs(chosen, [chosen.regime], sample=samples.group)
    found = collateral_report(portfolio, market, margin(portfolio, market, regime))
    if chosen.json:
        return Output(found.to_json(indent=2))
    could_move = transfers_text(transfers(portfolio, market.as_of))
    parts = (collateral_text(found, portfolio.posted), could_move, _market_note(chosen, market).lstrip())
    return Output("\n".join(part for part in parts if part))


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
    settings = {"resamples": chosen.resamples, "seed": chosen.seed, "calibration": chosen.calibration or CALIBRATION}
    name = Path(chosen.population).name
    return Plan(name, books, market, days, regimes=regimes or REGIMES, version=_version(), **settings)


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


def _rules(chosen: Namespace) -> Output:
    from crossmargin.registry import rulebook, rules

    if chosen.id:
        rule = rules(chosen.id)
        return Output(json.dumps(_rule_in_full(rule), indent=2) if chosen.json else _rule_text(rule))
    listed = [_rule_summary(rule) for rule in rulebook().values()]
    return Output(json.dumps(listed, indent=2) if chosen.json else _rules_text(listed))


def _conformance(chosen: Namespace) -> Output:
    from crossmargin.conformance import run

    outcome = run(chosen.files, calibrations=chosen.calibrations)
    text = json.dumps(outcome.to_json_dict(), indent=2) if chosen.json else outcome.text()
    return Output(text, DONE if outcome.ok else CASE_FAILED)


def _warmup(chosen: Namespace) -> Output:
    from crossmargin.records import to_plain
    from crossmargin.warmup import warmup

    done = warmup()
    return Output(json.dumps(to_plain(done), indent=2) if chosen.json else str(done))


# ---------------------------------------------------------------------------------------------------- inputs


def _inputs(
    chosen: Namespace, names: Iterable[str], *, sample: Callable[[], tuple[Portfolio, Market]] | None = None
) -> tuple[Portfolio, Market, list[Regime]]:
    """Return what a run needs; every problem of regimes, book and market, and of the one with the other, at once.

    Without a book it is the sample, with its own market unless market files are named.
    """
    from crossmargin import samples
    from crossmargin.io.book import load_book
    from crossmargin.regimes import regime

    problems, of_market = Problems(), Problems()
    regimes: list[Regime] = []
    for name in names:
        with problems.collecting():
            regimes.append(regime(name.strip()))
    sampled = None if chosen.book else (sample or samples.basis_trade)()
    market = None
    with of_market.collecting():
        market = _market(chosen, sampled[1] if sampled else None)
    portfolio = None
    with problems.collecting():
        check = partial(_problems_together, market=market, as_of=chosen.as_of)
        portfolio = sampled[0] if sampled else load_book(chosen.book, check=check).portfolio
    with problems.collecting():
        of_market.raise_if_any()
    problems.raise_if_any()
    assert portfolio is not None  # noqa: S101 - both are there when nothing was noted
    assert market is not None  # noqa: S101
    return portfolio, market, regimes


def _market(chosen: Namespace, sampled: Market | None) -> Market:
    from crossmargin.io.market_files import packaged_market, read_market_directory

    if chosen.market and chosen.as_of:
        return read_market_directory(chosen.market, chosen.as_of)
    if chosen.market:
        fix = "Say which day of the market files is meant: --as-of 2026-06-30."
        raise InputError([Problem("no date is given.", "--as-of", fix)])
    market = sampled or packaged_market()
    market.check_as_of(chosen.as_of or market.as_of)
    return market


def _problems_together(portfolio: Portfolio, *, market: Market | None, as_of: date | None) -> Iterable[Problem]:
    """Return what is wrong with the positions on the date and with this market, as far as there is one."""
    from crossmargin.checking import check
    from crossmargin.portfolio import problems_on

    if market is None:
        return problems_on(portfolio, as_of) if as_of else ()
    problems = Problems()
    with problems.collecting():
        check(portfolio, market)
    return problems.found


def _market_note(chosen: Namespace, market: Market) -> str:
    return "" if chosen.market else f"\n{PACKAGED.format(as_of=market.as_of)}"


# ----------------------------------------------------------------------------------------------------- rules


def _rule_summary(rule: Rules) -> dict[str, Any]:
    from crossmargin.records import to_plain

    ends = [each.values[-1].end for each in rule.parameters.values()]
    last = min((end for end in ends if end is not None), default=None)
    return {
        "id": rule.id,
        "kind": rule.kind,
        "structure": rule.structure,
        "status": rule.status,
        "title": rule.title,
        "authority": rule.authority,
        "level": rule.level,
        "dates": to_plain({"first": rule.first_date, "last": last}),
        "sources": [{"title": each.title, "url": each.url} for each in rule.sources.values()],
        "parameters": len(rule.parameters),
        "assumed_share": rule.assumed_share,
    }


def _rule_in_full(rule: Rules) -> dict[str, Any]:
    from crossmargin.records import to_plain

    full = to_plain(rule)
    details = {name: full[name] for name in ("scope", "sources", "parameters", "conditions")}
    return {**_rule_summary(rule), **details}


def _rules_text(rules: list[dict[str, Any]]) -> str:
    header = ("rule", "kind", "status", "first date", "last date", "parameters", "assumed", "title")
    rows = [
        (
            each["id"],
            f"{each['kind']} {each['structure']}".rstrip(),
            each["status"],
            each["dates"]["first"] or "-",
            each["dates"]["last"] or "open",
            str(each["parameters"]),
            f"{each['assumed_share']:.0%}",
            each["title"],
        )
        for each in rules
    ]
    sources = [
        f"{each['id']}: {source['title']} {source['url']}".rstrip() for each in rules for source in each["sources"]
    ]
    closing = "`assumed` is the share of parameters graded so. `crossmargin rules ID` shows one rule."
    return "\n".join([*_aligned([header, *rows]), "", "Sources", *sources, "", closing])


def _rule_text(rule: Rules) -> str:
    kind = f"{rule.kind} {rule.structure}".rstrip()
    parts = [f"{rule.id}: {rule.title}", f"{kind}, {rule.status}, {rule.authority}, level {rule.level}"]
    parts += [rule.scope.strip(), ""]
    for parameter in rule.parameters.values():
        parts.append(f"{parameter.name} [{parameter.unit}]: {parameter.about}")
        for dated in parameter.values:
            until = f" until {dated.end}" if dated.end else ""
            parts.append(f"  from {dated.start}{until}: {_value_text(dated.value)}")
            parts.append(f"    {dated.grade}: {rule.sources[dated.source].title}, {dated.locator}".rstrip(", "))
    for each in rule.conditions:
        parts += _condition_lines(each)
    sources = [f"  {source.title} {source.url}".rstrip() for source in rule.sources.values()]
    return "\n".join([*parts, "", "Sources", *sources])


def _condition_lines(condition: Condition, depth: int = 0) -> Iterable[str]:
    """Yield a condition and, further in, those that it combines."""
    indent, combines = "  " * depth, f" ({condition.combines} of)" if condition.combines else ""
    when = f"{' and '.join(condition.origin)} from {condition.start}"
    yield f"{indent}condition {condition.id}{combines}, {when}: {condition.about}"
    yield f"{indent}    {condition.grade}: {condition.source.title}, {condition.locator}".rstrip(", ")
    for part in condition.parts:
        yield from _condition_lines(part, depth + 1)


def _value_text(value: Any) -> str:
    from crossmargin.records import to_plain

    return value if isinstance(value, str) else json.dumps(to_plain(value))


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
