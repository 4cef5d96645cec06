"""Laws that every engine should keep, whatever its model; each raises `AssertionError` with the figures that break it.

An engine takes a portfolio and a market and returns what is asked for in all, USD, or None where it models nothing of
what is held. `LAWS` holds them by name. A law that a book cannot try (one owner only, say) passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from math import isclose, isfinite
from numbers import Real
from types import MappingProxyType
from typing import Any, TypeAlias

from attrs import evolve

from crossmargin.market import Market
from crossmargin.portfolio import Portfolio, Position
from crossmargin.results import known_sum

Engine: TypeAlias = Callable[[Portfolio, Market], float | None]
Law: TypeAlias = Callable[[Engine, Portfolio, Market], None]

_RELATIVE, _CENT = 1e-9, 0.01


def nothing_asks_nothing(engine: Engine, portfolio: Portfolio, market: Market) -> None:
    """Hold that nothing is asked for without positions."""
    _same(_asked(engine, _with(portfolio, ()), market), 0.0, "an empty book")


def never_negative(engine: Engine, portfolio: Portfolio, market: Market) -> None:
    """Hold that what is asked for is finite and not below zero."""
    asked = _asked(engine, portfolio, market)
    assert asked is None or isfinite(asked), f"the book asks for {asked}"
    assert asked is None or asked >= -_CENT, f"the book asks for {asked:,.2f}: a requirement is not negative"


def order_does_not_matter(engine: Engine, portfolio: Portfolio, market: Market) -> None:
    """Hold that positions in reverse ask for the same."""
    reverse = _with(portfolio, portfolio.positions[::-1])
    _same(_asked(engine, reverse, market), _asked(engine, portfolio, market), "reversed order")


def names_do_not_matter(engine: Engine, portfolio: Portfolio, market: Market) -> None:
    """Hold that other ids of positions ask for the same."""
    renamed = (evolve(each, id=f"{number}-renamed") for number, each in enumerate(portfolio.positions))
    _same(_asked(engine, _with(portfolio, renamed), market), _asked(engine, portfolio, market), "renamed positions")


def splitting_changes_nothing(engine: Engine, portfolio: Portfolio, market: Market) -> None:
    """Hold that positions of an even quantity, in two halves, ask for the same."""
    split = _with(portfolio, _halves(portfolio.positions))
    _same(_asked(engine, split, market), _asked(engine, portfolio, market), "split positions")


def owners_never_net(engine: Engine, portfolio: Portfolio, market: Market) -> None:
    """Hold that all owners are asked for what each is asked for alone."""
    owner_of = {account.id: account.owner for account in portfolio.accounts}
    owners = dict.fromkeys(owner_of[each.account] for each in portfolio.positions)
    alone = [
        _asked(
            engine, _with(portfolio, (each for each in portfolio.positions if owner_of[each.account] == owner)), market
        )
        for owner in owners
    ]
    _same(_asked(engine, portfolio, market), known_sum(alone), "all owners together, against each alone")


def asking_twice_gives_the_same(engine: Engine, portfolio: Portfolio, market: Market) -> None:
    """Hold that the same question has the same answer, to the last bit."""
    first, second = _asked(engine, portfolio, market), _asked(engine, portfolio, market)
    assert first == second, f"the same book asks for {first!r}, then for {second!r}"


LAWS: Mapping[str, Law] = MappingProxyType(
    {
        law.__name__: law
        for law in (
            nothing_asks_nothing,
            never_negative,
            order_does_not_matter,
            names_do_not_matter,
            splitting_changes_nothing,
            owners_never_net,
            asking_twice_gives_the_same,
        )
    }
)


def _asked(engine: Engine, portfolio: Portfolio, market: Market) -> float | None:
    asked: Any = engine(portfolio, market)
    fine = isinstance(asked, Real | Decimal) or (asked is None and bool(portfolio.positions))
    assert fine, f"the engine returns {type(asked).__name__}, not a number: of a report take its total()"
    answer: float | None = asked
    return answer


def _with(portfolio: Portfolio, positions: Iterable[Position]) -> Portfolio:
    return evolve(portfolio, positions=tuple(positions))


def _halves(positions: Iterable[Position]) -> Iterable[Position]:
    for each in positions:
        half = each.quantity / 2.0
        if half.is_integer():
            yield evolve(each, quantity=half)
            yield evolve(each, id=f"{each.id}-other-half", quantity=half)
        else:
            yield each


def _same(got: float | None, expected: float | None, what: str) -> None:
    if got is None or expected is None:
        assert got is expected, f"{what}: {_shown(got)}, and not {_shown(expected)}"
    else:
        fine = isclose(got, expected, rel_tol=_RELATIVE, abs_tol=_CENT)
        assert fine, f"{what}: {got:,.2f}, and not {expected:,.2f}"


def _shown(asked: float | None) -> str:
    return "not modelled" if asked is None else f"{asked:,.2f}"
