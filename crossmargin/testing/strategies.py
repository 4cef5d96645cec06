"""Hypothesis strategies: positions, portfolios, markets and books that are valid by construction.

`books()` draws what an engine takes. Draws shrink towards few positions of one unit in the first account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from crossmargin.accounts import Account
from crossmargin.market import Market
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import Product, Repo, ReverseRepo
from crossmargin.products.treasuries import TREASURY_SECURITIES
from crossmargin.testing.made_up import ACCOUNTS, MENU, SETTLES, book_of, made_up_market

_FACES = st.integers(-200, 200).filter(bool).map(lambda millions: millions * 1e6)
_LOTS = st.integers(-2000, 2000).filter(bool).map(float)


def quantities(product: Product) -> st.SearchStrategy[float]:
    """Draw USD of face value, or a number of contracts or shares: long or short, never nothing."""
    return _FACES if isinstance(product, (*TREASURY_SECURITIES, Repo, ReverseRepo)) else _LOTS


@st.composite
def positions(draw: Any, id: str = "p", accounts: Sequence[Account] = ACCOUNTS) -> Position:
    """Draw a position that its account may hold."""
    account = draw(st.sampled_from(accounts))
    product = draw(st.sampled_from(MENU[account.account_class]))
    settles = SETTLES if isinstance(product, TREASURY_SECURITIES) else None
    return Position(id, account.id, product, draw(quantities(product)), settles)


@st.composite
def portfolios(draw: Any, *, least: int = 0, most: int = 7, accounts: Sequence[Account] = ACCOUNTS) -> Portfolio:
    """Draw a portfolio of one firm, its house and three customers, with so many positions."""
    count = draw(st.integers(least, most))
    return book_of(draw(positions(f"p{number}", accounts)) for number in range(1, count + 1))


def markets(seeds: int = 4) -> st.SearchStrategy[Market]:
    """Draw one of so many made-up markets: few, for making one costs more than a margin run on it."""
    return st.integers(1, seeds).map(lambda seed: made_up_market(seed=seed))


def books(**more: Any) -> st.SearchStrategy[tuple[Portfolio, Market]]:
    """Draw a portfolio, as `portfolios` does, and a market in which all of it can be margined."""
    return st.tuples(portfolios(**more), markets())
