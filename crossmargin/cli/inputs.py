"""What the commands share: their output, their arguments, and what is read before anything is calculated.

Call `command` for a new command, `inputs` for what a run over one book needs.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from crossmargin.errors import InputError, Problem, Problems

if TYPE_CHECKING:
    from crossmargin.market import Market
    from crossmargin.portfolio import Portfolio
    from crossmargin.regimes import Regime

DONE, CASE_FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
PACKAGED = "Market: the one packaged with crossmargin, of {as_of}; your own comes with --market DIR --as-of DATE."
REGIMES = "siloed,cross_margin,harmonized"


@frozen
class Output:
    """What a command prints, and its exit code."""

    text: str
    code: int = DONE


def command(commands: Any, name: str, run: Callable[[Namespace], Output], *, about: str) -> ArgumentParser:
    """Add a command and return its parser; every command can print JSON."""
    parser: ArgumentParser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def add_market(command: ArgumentParser) -> None:
    """Let a command be told the market and its day."""
    command.add_argument("--market", metavar="DIR", help="market files; the packaged market when left out")
    command.add_argument("--as-of", type=a_date, metavar="DATE", help="YYYY-MM-DD; the packaged market's when left out")


def a_date(text: str) -> date:
    """Return the date that an argument names."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date: write 30 June 2026 as 2026-06-30") from None


def a_count(text: str) -> int:
    """Return the count that an argument names."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no count: write 0, 1, 2, ...")
    return int(text)


def version() -> str:
    """Return the version of the library."""
    from crossmargin import __version__

    return __version__


def inputs(
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


def market_note(chosen: Namespace, market: Market) -> str:
    """Return what says that the packaged market was used, if it was."""
    return "" if chosen.market else f"\n{PACKAGED.format(as_of=market.as_of)}"
