"""Listed options: on shares, funds and indices, and on futures. Data only.

`ListedOption` and `FutureOption` say what is held, `osi_symbol` and `option_from_osi` translate the symbol that
exchanges and brokers write, `delivered` says what exercise brings. Nothing here values them.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeAlias

from attrs import field, frozen

from crossmargin.errors import InputError, Problem, Problems
from crossmargin.products import _fields as fields
from crossmargin.products.futures import IndexFuture, ShortRateFuture, TreasuryFuture, contract_spec

Right: TypeAlias = Literal["call", "put"]
RIGHTS = ("call", "put")
EXERCISES = ("american", "european")
SETTLEMENTS = ("physical", "cash")
SETTLES_AT = ("close", "open")
UNDERLYING_KINDS = ("equity", "etf", "index")
FUTURE_OPTION_KINDS = ("future_option", "index_future_option")
STANDARD_MULTIPLIER = 100.0

_OSI_STRIKE = 1000.0
_OSI = re.compile(r"(?=.{21}$)([A-Z][A-Z.]*) *([0-9]{6})([CP])([0-9]{8})")
_OSI_YEARS = range(1969, 2069)  # what two digits tell, as strptime reads them


@frozen(cache_hash=True)
class FutureOption:
    """An American option on one futures contract; quantity is contracts, long > 0.

    Parameters
    ----------
    underlying : TreasuryFuture, ShortRateFuture or IndexFuture
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

    exercise: ClassVar[str] = "american"
    underlying: TreasuryFuture | ShortRateFuture | IndexFuture
    right: Right
    strike: float
    expiry: date

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        underlying: object = self.underlying
        if not isinstance(underlying, TreasuryFuture | ShortRateFuture | IndexFuture):
            fix = "Give a TreasuryFuture, a ShortRateFuture or an IndexFuture."
            problems.add(f"{underlying!r} is no future.", where=f"{self.kind} underlying", fix=fix)
        _check_terms(problems, self)
        problems.raise_if_any()

    @property
    def kind(self) -> str:
        """`future_option` on an interest-rate future, `index_future_option` on an index future."""
        return FUTURE_OPTION_KINDS[isinstance(self.underlying, IndexFuture)]

    @property
    def symbol(self) -> str:
        """Readable name: contract, right, strike, expiry."""
        return f"{self.underlying.symbol} {_terms(self)}"

    @property
    def units(self) -> float:
        """USD that one contract stands for when its price moves by one point."""
        return contract_spec(self.underlying).point_value


@frozen(cache_hash=True)
class ListedOption:
    """An exchange-listed option on a share, fund or index; quantity is contracts, long > 0.

    Parameters
    ----------
    underlying : str
        Ticker, for example `TLT`. Contracts adjusted for a corporate action are not modelled.
    right : {"call", "put"}
    strike : float
        USD per unit of the underlying.
    expiry : date
    exercise : {"american", "european"}
    settlement : {"physical", "cash"}
    multiplier : float
        Units of the underlying in one contract.
    underlying_kind : {"equity", "etf", "index"}
    settles_at : {"close", "open"}
        Which prices of `expiry` it settles on (PM, AM).

    Raises
    ------
    InputError
        With every field that is wrong.

    Examples
    --------
    >>> ListedOption("TLT", "put", 90.0, date(2026, 9, 18), underlying_kind="etf").symbol
    'TLT put 90 2026-09-18'
    >>> terms = {"exercise": "european", "settlement": "cash", "underlying_kind": "index", "settles_at": "open"}
    >>> ListedOption("SPX", "call", 4500.0, date(2023, 12, 15), **terms).symbol
    'SPX call 4500 2023-12-15 european cash AM'
    """

    kind: ClassVar[str] = "listed_option"
    underlying: str
    right: Right
    strike: float
    expiry: date
    exercise: str = field(default="american", kw_only=True)
    settlement: str = field(default="physical", kw_only=True)
    multiplier: float = field(default=STANDARD_MULTIPLIER, kw_only=True)
    underlying_kind: str = field(default="equity", kw_only=True, eq=False)  # says how, not what
    settles_at: str = field(default="close", kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        fields.is_text(problems, self.underlying, f"{self.kind} underlying")
        _check_terms(problems, self)
        fields.is_one_of(problems, self.exercise, f"{self.kind} exercise", EXERCISES)
        fields.is_one_of(problems, self.settlement, f"{self.kind} settlement", SETTLEMENTS)
        fields.is_one_of(problems, self.settles_at, f"{self.kind} settles_at", SETTLES_AT)
        fields.is_one_of(problems, self.underlying_kind, f"{self.kind} underlying_kind", UNDERLYING_KINDS)
        fields.is_positive(problems, self.multiplier, f"{self.kind} multiplier")
        if self.underlying_kind == "index" and self.settlement == "physical":
            problems.add("an index cannot be delivered.", where=f"{self.kind} settlement", fix="Give 'cash'.")
        problems.raise_if_any()

    @property
    def symbol(self) -> str:
        """Readable name: ticker, right, strike, expiry, and every term that is not the usual one of a share."""
        special = [term for term in (self.exercise, self.settlement) if term not in {"american", "physical"}]
        special += ["AM"] if self.settles_at == "open" else []
        special += [f"x{fields.plain(self.multiplier)}"] if self.multiplier != STANDARD_MULTIPLIER else []
        return " ".join([self.underlying, _terms(self), *special])

    @property
    def units(self) -> float:
        """Units of the underlying that one contract stands for."""
        return self.multiplier


def delivered(option: FutureOption | ListedOption) -> str:
    """Return what the exercise of one contract brings, in words.

    Examples
    --------
    >>> delivered(ListedOption("TLT", "put", 90.0, date(2026, 9, 18), underlying_kind="etf"))
    '100 shares of TLT'
    >>> delivered(FutureOption(TreasuryFuture("ZN", 202609), "call", 112.5, date(2026, 8, 21)))
    'one ZN 2026-09 future'
    """
    if isinstance(option, FutureOption):
        return f"one {option.underlying.symbol} future"
    return "cash" if option.settlement == "cash" else f"{fields.plain(option.multiplier)} shares of {option.underlying}"


def osi_symbol(option: ListedOption) -> str:
    """Return the 21-character symbol of the Options Symbology Initiative.

    Raises
    ------
    InputError
        The ticker or the strike does not fit into the symbol.

    References
    ----------
    OCC, Options Symbology Initiative: root (6), expiry yymmdd, C or P, strike in thousandths (8).

    Examples
    --------
    >>> osi_symbol(ListedOption("TLT", "put", 92.5, date(2026, 9, 18)))
    'TLT   260918P00092500'
    """
    thousandths = round(option.strike * _OSI_STRIKE)
    text = f"{option.underlying:<6}{option.expiry:%y%m%d}{option.right[0].upper()}{thousandths:08d}"
    exact = thousandths / _OSI_STRIKE == option.strike and option.expiry.year in _OSI_YEARS
    if not exact or not _OSI.fullmatch(text):
        fix = "Six capital letters or points at most, eight digits of thousandths, a year from 1969 to 2068."
        raise InputError([Problem("has no OSI symbol.", option.symbol, fix)])
    return text


def option_from_osi(symbol: str, **terms: Any) -> ListedOption:
    """Return the option that an OSI symbol names; `terms` are what the symbol does not say (exercise, settlement ...).

    Raises
    ------
    InputError
        The text is no OSI symbol, or names an adjusted contract, whose deliverable it does not tell.

    Examples
    --------
    >>> option_from_osi("TLT   260918P00092500").symbol
    'TLT put 92.5 2026-09-18'
    """
    fix = "Write root (6), yymmdd, C or P, strike in thousandths (8): 'TLT   260918P00092500'."
    if not (match := _OSI.fullmatch(symbol)):
        if symbol[:6].rstrip()[-1:].isdigit():
            fix = "Adjusted contracts (a root ending in a digit) deliver something else and are not modelled."
        raise InputError([Problem(f"{symbol!r} is no OSI symbol of a standard contract.", "option symbol", fix)])
    root, day, letter, thousandths = match.groups()
    right, strike = {"C": "call", "P": "put"}[letter], int(thousandths) / _OSI_STRIKE
    try:
        expiry = _day(day)
    except ValueError as error:
        raise InputError([Problem(f"{symbol!r} has no day of the calendar.", "option symbol", fix)]) from error
    return ListedOption(root, right, strike, expiry, **terms)  # type: ignore[arg-type] # one of RIGHTS by the mapping


@lru_cache(maxsize=1024)  # a chain has few
def _day(text: str) -> date:
    return datetime.strptime(text, "%y%m%d").date()  # noqa: DTZ007 - a day, not a moment


def _terms(option: FutureOption | ListedOption) -> str:
    return f"{option.right} {fields.plain(option.strike)} {option.expiry.isoformat()}"


def _check_terms(problems: Problems, option: FutureOption | ListedOption) -> None:
    fields.is_one_of(problems, option.right, f"{option.kind} right", RIGHTS)
    fields.is_positive(problems, option.strike, f"{option.kind} strike")
    fields.is_date(problems, option.expiry, f"{option.kind} expiry")
