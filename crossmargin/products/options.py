"""Options on Treasury futures and on funds and shares: data only.

They exist so that a book may hold them and a programme may refuse them with its reason. Nothing here values
them.
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal, TypeAlias

from attrs import frozen

from crossmargin.errors import Problems
from crossmargin.products import _fields as fields
from crossmargin.products.futures import TreasuryFuture

Right: TypeAlias = Literal["call", "put"]
RIGHTS = ("call", "put")


@frozen(cache_hash=True)
class FutureOption:
    """An option on one Treasury futures contract; quantity is contracts, long > 0.

    Parameters
    ----------
    underlying : TreasuryFuture
    right : {"call", "put"}
    strike : float
        In points of the future.
    expiry : date

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> FutureOption(TreasuryFuture("ZN", 202609), "call", 112.5, date(2026, 8, 21)).symbol
    'ZN 2026-09 call 112.5 2026-08-21'
    """

    kind: ClassVar[str] = "future_option"
    underlying: TreasuryFuture
    right: Right
    strike: float
    expiry: date

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        underlying: object = self.underlying
        if not isinstance(underlying, TreasuryFuture):
            what = f"{underlying!r} is not a Treasury future."
            problems.add(what, where=f"{self.kind} underlying", fix="Give a TreasuryFuture.")
        _check_terms(problems, self)

    @property
    def symbol(self) -> str:
        """Readable name: contract, right, strike, expiry."""
        return f"{self.underlying.symbol} {_terms(self)}"


@frozen
class ListedOption:
    """An exchange-listed option on a fund, share or index; quantity is contracts, long > 0.

    Parameters
    ----------
    underlying : str
        Ticker, for example `TLT`.
    right : {"call", "put"}
    strike : float
        USD per unit of the underlying.
    expiry : date

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> ListedOption("TLT", "put", 90.0, date(2026, 9, 18)).symbol
    'TLT put 90 2026-09-18'
    """

    kind: ClassVar[str] = "listed_option"
    underlying: str
    right: Right
    strike: float
    expiry: date

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        fields.is_text(problems, self.underlying, f"{self.kind} underlying")
        _check_terms(problems, self)

    @property
    def symbol(self) -> str:
        """Readable name: ticker, right, strike, expiry."""
        return f"{self.underlying} {_terms(self)}"


def _terms(option: FutureOption | ListedOption) -> str:
    return f"{option.right} {fields.plain(option.strike)} {option.expiry.isoformat()}"


def _check_terms(problems: Problems, option: FutureOption | ListedOption) -> None:
    fields.is_one_of(problems, option.right, f"{option.kind} right", RIGHTS)
    fields.is_positive(problems, option.strike, f"{option.kind} strike")
    fields.is_date(problems, option.expiry, f"{option.kind} expiry")
    problems.raise_if_any()
