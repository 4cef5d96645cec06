"""What a pairing is made from and what it returns: records and the one payoff formula.

`Contracts` goes in, `Pairing` comes out; `largest_loss` is the price of a spread. Nothing here optimises.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from crossmargin.errors import Problems
from crossmargin.records import as_tuple

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
GroupKind: TypeAlias = Literal["long", "naked", "straddle", "spread", "stock", "hedge"]
Proof: TypeAlias = Literal["duality", "search"]


@frozen
class Hedge:
    """A group that one lot of stock may form with one contract of each named series, USD per lot."""

    legs: tuple[int, ...] = field(converter=as_tuple)
    cost: float
    name: str


def _floats(values: npt.ArrayLike) -> FloatArray:
    return np.array(values, dtype=np.float64, ndmin=1)


def _flags(values: npt.ArrayLike) -> BoolArray:
    return np.array(values, dtype=np.bool_, ndmin=1)


@frozen(eq=False)
class Contracts:
    """The book to cut up: one entry per series, all of one underlying, long and short of a series already netted.

    Parameters
    ----------
    quantity
        Contracts, long > 0, whole, not 0; shape (n_series,) like the other arrays.
    is_call
        True for calls, False for puts.
    strike
        USD per unit of the underlying.
    expiry
        Any numbers in the order of expiry. A long option may stand with a short one that expires no later.
    premium
        Market value of one contract, USD.
    exposure
        What one short contract alone costs beyond its premium, USD, at least 0. Not read for long contracts.
    multiplier
        Units of the underlying per contract.
    lots
        Round lots of stock, at least 0: their side is the caller's knowledge.
    lot_cost
        Requirement of one lot alone, USD.
    hedges
        The groups that a lot may form with options.

    Raises
    ------
    InputError
        With every field that is wrong.
    """

    quantity: FloatArray = field(converter=_floats)
    is_call: BoolArray = field(converter=_flags)
    strike: FloatArray = field(converter=_floats)
    expiry: FloatArray = field(converter=_floats)
    premium: FloatArray = field(converter=_floats)
    exposure: FloatArray = field(converter=_floats)
    multiplier: float = field(kw_only=True)
    lots: int = field(default=0, kw_only=True)
    lot_cost: float = field(default=0.0, kw_only=True)
    hedges: tuple[Hedge, ...] = field(default=(), kw_only=True, converter=as_tuple)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        shapes = {name: np.shape(getattr(self, name)) for name in _ARRAYS}
        if len(set(shapes.values())) > 1 or len(self.quantity.shape) != 1:
            problems.add(f"arrays of shapes {shapes}.", where="contracts", fix="Give one entry per series in each.")
        problems.raise_if_any()
        _check_arrays(self, problems)
        _check_stock(self, problems)
        problems.raise_if_any()

    def __len__(self) -> int:
        return len(self.quantity)


_ARRAYS = ("quantity", "is_call", "strike", "expiry", "premium", "exposure")


@frozen
class Group:
    """Contracts and lots margined together.

    `legs` are (series, contracts) with the sign of the position; the dearer side of a straddle comes first. `lots` are
    the lots of stock in the group, `cost` its requirement in USD. `hedge` is the place of the hedge in
    `Contracts.hedges`, None for other kinds. `worst_price` is the price of the underlying at which a spread loses most.
    """

    kind: GroupKind
    legs: tuple[tuple[int, int], ...]
    cost: float
    lots: int = 0
    hedge: int | None = None
    worst_price: float | None = None


@frozen
class Pairing:
    """The cheapest cut that was found and how low any cut can be.

    Parameters
    ----------
    groups
        Every contract and every lot in exactly one group.
    value
        Total requirement of the groups, USD.
    bound
        No admissible cut costs less than this, USD; never above `value`.
    proof
        What the bound rests on. `duality`: multipliers of a linear programme, from which the bound was recomputed
        here without trusting the solver. `search`: the solver's branch and bound.
    complete
        False when the time limit ended the search, and `gap` is then what could still be saved at most.
    """

    groups: tuple[Group, ...]
    value: float
    bound: float
    proof: Proof
    complete: bool

    @property
    def gap(self) -> float:
        """What a better cut could save at most, USD, at least 0."""
        return self.value - self.bound

    @property
    def optimal(self) -> bool:
        """Whether no admissible cut is cheaper, to a ten-millionth of the value or of a dollar."""
        return self.gap <= 1e-7 * max(1.0, abs(self.value))


def largest_loss(quantity: npt.ArrayLike, is_call: npt.ArrayLike, strike: npt.ArrayLike) -> tuple[float, float]:
    """Return the largest loss of intrinsic value over 0 and every strike (at least 0), and the price where it falls.

    USD per unit of the underlying when quantities are contracts. Expiries play no part: as if all expired together.

    Examples
    --------
    >>> largest_loss([1, -2, 1], [False, False, False], [540.0, 550.0, 555.0])
    (5.0, 0.0)
    """
    held, calls, strikes = _floats(quantity), _flags(is_call), _floats(strike)
    prices = np.unique(np.append(strikes, 0.0))
    values = payoffs(prices, calls, strikes) @ held
    worst = int(np.argmin(values))
    return max(0.0, -float(values[worst])), float(prices[worst])


def payoffs(prices: FloatArray, is_call: BoolArray, strike: FloatArray) -> FloatArray:
    """Return the intrinsic value of each series at each price, shape (n_prices, n_series)."""
    beyond = prices[:, None] - strike[None, :]
    return np.maximum(np.where(is_call[None, :], beyond, -beyond), 0.0)


def is_spread(quantity: FloatArray, is_call: BoolArray, expiry: FloatArray) -> bool:
    """Whether contracts may stand together as a spread: both sides, longs no fewer by right and no earlier to expire.

    References
    ----------
    FINRA Rule 4210(f)(2): a spread, however many legs it has.
    """
    long, short = quantity > 0, quantity < 0
    if not (long.any() and short.any()):
        return False
    covered = quantity[is_call].sum() >= 0 and quantity[~is_call].sum() >= 0
    return bool(covered and expiry[long].min() >= expiry[short].max())


def _check_arrays(book: Contracts, problems: Problems) -> None:
    whole = np.isfinite(book.quantity) & (book.quantity == np.round(book.quantity)) & (book.quantity != 0)
    short = book.quantity < 0
    checks = (
        ("quantity", whole, "Give whole contracts, not 0."),
        ("strike", np.isfinite(book.strike) & (book.strike >= 0), "Give a finite strike of at least 0."),
        ("expiry", np.isfinite(book.expiry), "Give a finite number."),
        ("premium", np.isfinite(book.premium) & (book.premium >= 0), "Give a finite value of at least 0."),
        ("exposure", ~short | (np.isfinite(book.exposure) & (book.exposure >= 0)), "Give a finite cost of at least 0."),
    )
    for name, good, fix in checks:
        for place in np.flatnonzero(~good):
            problems.add(f"{name} is {getattr(book, name)[place]}.", where=f"contracts, series {place}", fix=fix)


def _check_stock(book: Contracts, problems: Problems) -> None:
    if not (np.isfinite(book.multiplier) and book.multiplier > 0):
        problems.add(f"multiplier is {book.multiplier}.", where="contracts", fix="Give a number above 0.")
    if book.lots < 0 or not np.isfinite(book.lot_cost) or book.lot_cost < 0:
        problems.add(f"{book.lots} lots at {book.lot_cost}.", where="contracts", fix="Give numbers of at least 0.")
    for place, hedge in enumerate(book.hedges):
        known = hedge.legs and len(set(hedge.legs)) == len(hedge.legs) and set(hedge.legs) <= set(range(len(book)))
        if not known or not (np.isfinite(hedge.cost) and hedge.cost >= 0):
            what = f"{hedge.name}: series {hedge.legs} at {hedge.cost}."
            problems.add(what, where=f"contracts, hedge {place}", fix="Name different series, at a cost of at least 0.")
