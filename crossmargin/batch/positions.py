"""Rows of positions as columns: what a batch is given.

`Positions` holds arrays; `from_arrow` makes them from tables of other libraries, `from_portfolio` from a portfolio.
Nothing here margins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from reprlib import repr as shortened
from typing import Any

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.batch.arrow import columns_from_arrow
from crossmargin.batch.planning import Plan
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.portfolio import Portfolio
from crossmargin.products.treasuries import TREASURY_SECURITIES


def _column(value: ArrayLike) -> NDArray[Any]:
    try:
        return np.ascontiguousarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        what, fix = f"{shortened(value)} is no column.", "Give a flat one, of numbers or of text."
        raise InputError([Problem(what, "positions", fix)]) from error


def _nothing() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


@frozen(eq=False)
class Positions:
    """Rows of positions, in any order: account, product and signed quantity (long > 0) of each.

    Parameters
    ----------
    account : array of int or text [n_positions]
        Numbers into `labels`, or, where that is empty, what accounts are called.
    product : array of int [n_positions]
        Numbers into the plan's products.
    quantity : array [n_positions]
        USD of face, or contracts.
    labels : array [n_accounts]
        What accounts are called; numbering them beforehand saves the sorting.
    template : array of int [n_accounts]
        Number of the template that each account is like, in the order of `labels`; empty where the plan has only one.

    Raises
    ------
    InputError
        A column that is none, such as of lists.
    """

    account: NDArray[Any] = field(converter=_column)
    product: NDArray[Any] = field(converter=_column)
    quantity: NDArray[Any] = field(converter=_column)
    labels: NDArray[Any] = field(factory=_nothing, converter=_column)
    template: NDArray[Any] = field(factory=_nothing, converter=_column)

    def numbered(self) -> Positions:
        """Return the same with accounts as numbers, each with its template."""
        labels, account = self.labels, self.account
        if not labels.size:
            labels, account = np.unique(self.account, return_inverse=True)
        template = self.template if self.template.size else np.zeros(len(labels), dtype=np.int64)
        return evolve(self, account=account, labels=labels, template=template)

    @classmethod
    def from_arrow(cls, table: Any, plan: Plan, *, columns: Mapping[str, str] | None = None) -> Positions:
        """Return the rows of a table: one of pyarrow, or of any library that hands over an Arrow stream.

        Parameters
        ----------
        table
            With columns `account`, `product` (symbol, CUSIP or number in the plan), `quantity` and, where the plan has
            several templates, `template`. Dictionary-encoded columns are used as they are, accounts if their labels
            are sorted.
        plan : Plan
            Whose products and templates they are.
        columns : mapping, optional
            What columns are called, where otherwise: `{"quantity": "net_contracts"}`.

        Raises
        ------
        InputError
            Missing columns; every row that is not understood, with counts and first examples; no pyarrow.
        """
        return cls(**columns_from_arrow(table, plan, columns or {}))

    @classmethod
    def from_portfolio(cls, portfolio: Portfolio, plan: Plan) -> Positions:
        """Return the positions of a portfolio, account by account.

        An account is like the template of its name, or like the plan's only one.

        Raises
        ------
        InputError
            Products that the plan does not know, accounts without a template, trades that settle on another day than
            the plan's: all at once.
        """
        labels = sorted({position.account for position in portfolio.positions})
        names = [kind.account.id for kind in plan.kinds]
        number = {product: n for n, product in enumerate(plan.products)}
        _refuse_unfit(portfolio, plan, labels if len(names) > 1 else ())
        account = {label: n for n, label in enumerate(labels)}
        return cls(
            [account[each.account] for each in portfolio.positions],
            [number[each.product] for each in portfolio.positions],
            [float(each.quantity) for each in portfolio.positions],
            np.array(labels, dtype=str),
            [names.index(label) if label in names else 0 for label in labels],
        )


def _refuse_unfit(portfolio: Portfolio, plan: Plan, labels: Iterable[str]) -> None:
    problems, names = Problems(), [kind.account.id for kind in plan.kinds]
    known, symbols = frozenset(plan.products), [product.symbol for product in plan.products]
    for label in labels:
        if label not in names:
            problems.add("is like no template.", where=f"account {label!r}", fix=suggestion(label, names))
    for each in portfolio.positions:
        if each.product not in known:
            fix = suggestion(each.product.symbol, symbols)
            problems.add(f"the plan has no {each.product.symbol}.", where=f"position {each.id!r}", fix=fix)
        elif isinstance(each.product, TREASURY_SECURITIES) and each.settles != plan.settles:
            what = f"settles on {each.settles}, the plan's trades on {plan.settles}."
            problems.add(what, where=f"position {each.id!r}", fix="Make a plan for each day of settlement.")
    problems.raise_if_any("This portfolio does not fit the plan")
