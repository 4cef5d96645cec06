"""What one trade changes, and the words in which what is asked of a live book is refused.

`WhatIf.delta` makes a `Delta`. Nothing here knows how a change is found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from numbers import Real
from typing import TypeAlias

from attrs import frozen

from crossmargin.batch.planning import Gap
from crossmargin.errors import InputError, Problem, Problems, kind_given, suggestion
from crossmargin.products import Product
from crossmargin.regimes import Regime
from crossmargin.results import LEVELS
from crossmargin.tables import Section, money, sections_text

Trade: TypeAlias = tuple[str, Product, float]
Total: TypeAlias = tuple[str, str]

_NO_FORMULA = "no formula here"


@frozen(repr=False)
class Delta:
    """What one trade changes.

    Attributes
    ----------
    trade : tuple
        Account, product, signed quantity.
    changes : mapping of (regime, level) to float
        Requirement less credit with the trade, minus the same without, USD; negative where the trade hedges. NaN where
        `whole` says no.
    gaps : tuple of Gap
        What has no amount here and is about the trade, or about what is margined with it: `reported` ones the report of
        the book has, the others nobody models.
    unmodelled : frozenset of (regime, level)
        The totals for which nobody models the trade.
    """

    trade: Trade
    changes: Mapping[Total, float]
    gaps: tuple[Gap, ...] = ()
    unmodelled: frozenset[Total] = frozenset()

    def change(self, regime: Regime | str, level: str = "clearing") -> float:
        """Return what the trade adds to what is owed at one level under one regime, USD; NaN where not `whole`.

        Raises
        ------
        InputError
            The book has no such regime, or nobody has such a level.
        """
        return self.changes[total_named(regime, level, self.changes)]

    def whole(self, regime: Regime | str, level: str = "clearing") -> bool:
        """Return whether the change is known: the trade is modelled, and nothing is left out that it could touch.

        Then it is that of the report. Charges that nobody models are in neither; `not_modelled` names them.
        """
        return not math.isnan(self.change(regime, level))

    def modelled(self, regime: Regime | str, level: str = "clearing") -> bool:
        """Return whether anybody has an amount for the trade: where nobody has, a report says so and does not count it.

        Where one level of a regime has an amount for it and nothing at the other is about it, the other asks for none
        and that is modelled too.
        """
        return total_named(regime, level, self.changes) not in self.unmodelled

    @property
    def not_modelled(self) -> tuple[str, ...]:
        """What has no amount here, in words: first what the report of the book has."""
        told = sorted(self.gaps, key=lambda gap: not gap.reported)
        return tuple(dict.fromkeys(f"{gap.regime}, {gap.level}, {gap.pot}: {gap.what}" for gap in told))

    def __repr__(self) -> str:
        """Return what changes at the clearing level, in one line; `print` shows the rest."""
        told = ", ".join(f"{each[0]} {self._said(each)}" for each in self.changes if each[1] == LEVELS[0])
        return f"<Delta: {self._trade}; USD clearing: {told}>"

    def __str__(self) -> str:
        """Return every change as an aligned table."""
        regimes = dict.fromkeys(regime for regime, _ in self.changes)
        rows = tuple((regime, *(self._said((regime, level)) for level in LEVELS)) for regime in regimes)
        return sections_text([Section(f"{self._trade}: change, USD", ("regime", *LEVELS), rows)])

    @property
    def _trade(self) -> str:
        account, product, quantity = self.trade
        return f"{quantity:+,.12g} {product.symbol} in {account}"

    def _said(self, total: Total) -> str:
        if total in self.unmodelled:
            return money(None)
        change = self.changes[total]
        return _NO_FORMULA if math.isnan(change) else money(change)


def total_named(regime: Regime | str, level: str, totals: Mapping[Total, float]) -> Total:
    """Return a total by its regime, or the name of it, and its level.

    Raises
    ------
    InputError
        There is no such regime or level.
    """
    name = regime.name if isinstance(regime, Regime) else regime
    with suppress(TypeError):  # not hashable
        if (name, level) in totals:
            return name, level
    problems = Problems()
    given: tuple[object, ...] = (name, level)
    for each, known, what in zip(given, zip(*totals, strict=True), ("regime", "level"), strict=True):
        if not isinstance(each, str):
            problems.add(f"{kind_given(each)} is no {what}.", where="what_if", fix=suggestion("", set(known)))
        elif each not in known:
            problems.add(f"no {what} {each!r}.", where="what_if", fix=suggestion(each, set(known)))
    raise InputError(problems.found)


def products_of(universe: Iterable[Product]) -> tuple[Product, ...]:
    """Return the products given; raise what is no list of any."""
    given: object = universe
    if isinstance(given, Iterable) and not isinstance(given, str):
        return tuple(universe)
    raise InputError([Problem(f"{kind_given(given)} was given.", "universe", "Give products in a list: [product].")])


def is_number(value: object) -> bool:
    """Whether something is a real number, not NaN."""
    return isinstance(value, Real) and not math.isnan(value)


def said(value: object) -> str:
    """Return a word or a number as it was given, of anything else what kind of thing it is."""
    return repr(value) if isinstance(value, str | Real) else kind_given(value)
