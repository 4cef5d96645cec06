"""A kit to test margin engines, this library's or another: made-up books and markets, laws, worked cases.

Draw with `books()`, hold an engine to `LAWS`, run worked cases with `run_cases`. An engine is any function that takes a
portfolio and a market and returns what is asked for in all, USD. The draws need the extra `testing` (Hypothesis); laws
and cases need nothing.

>>> import crossmargin as xm
>>> from crossmargin.testing import LAWS, sample_book
>>> engine = lambda portfolio, market: xm.margin(portfolio, market).total()
>>> for law in LAWS.values():
...     law(engine, *sample_book())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossmargin.conformance import Case, Outcome, Tolerance, read_cases
from crossmargin.conformance import run as run_cases
from crossmargin.errors import InputError, Problem
from crossmargin.testing.laws import LAWS, Engine
from crossmargin.testing.made_up import MENU, book_of, made_up_market, sample_book

if TYPE_CHECKING:
    from crossmargin.testing.strategies import books, markets, portfolios, positions

__all__ = [
    "LAWS",
    "MENU",
    "Case",
    "Engine",
    "Outcome",
    "Tolerance",
    "book_of",
    "books",
    "made_up_market",
    "markets",
    "portfolios",
    "positions",
    "read_cases",
    "run_cases",
    "sample_book",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from crossmargin.testing import strategies
    except ModuleNotFoundError as error:
        fix = "Install it with: pip install 'crossmargin[testing]'."
        raise InputError([Problem("Hypothesis is not installed.", f"testing.{name}", fix)]) from error
    return getattr(strategies, name)
