"""A chain of option quotes, checked, and the forwards and discount factors that put-call parity implies.

Call `implied_forwards` with an `OptionQuotes`. One chain holds one kind of contract: options that settle at
the open and at the close of the same day have other forwards and other times, so split them by root first.

Not here: files (`io/`), implied volatilities (`implied.py`), surfaces (`volatility.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from crossmargin.columns import readonly
from crossmargin.errors import Problems, counted
from crossmargin.records import as_tuple

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

HUBER = 1.345  # deviations beyond which a residual counts linearly: 95 % efficient on normal errors (Huber 1981)
NORMAL_MAD = 1.4826  # standard deviation over median absolute deviation of a normal distribution
ROUNDS = 50  # of reweighting at most; parity lines settle in about ten
FEWEST_PAIRS = 3  # strikes with both rights for a line with a residual
MOST_ROWS = 10  # named in one problem; the rest is counted


def _truths(values: Any) -> Any:
    column = np.array(values, dtype=np.bool_)
    column.setflags(write=False)
    return column


@frozen(eq=False)
class OptionQuotes:
    """Quotes of European-style options on one underlying, as columns.

    Parameters
    ----------
    expiry : tuple of date [n_quotes]
    strike : array [n_quotes]
        Above zero.
    is_call : bool array [n_quotes]
    bid, ask : array [n_quotes]
        Zero or more, per unit of the underlying; a bid of zero means that there is none.

    Raises
    ------
    InputError
        Columns of unlike length; rows with NaN, a strike that is not positive, a negative price, a bid above
        the ask; the same option twice. Every rule that is broken is named with its rows.

    Examples
    --------
    >>> day = date(2026, 9, 18)
    >>> OptionQuotes([day, day], [90.0, 90.0], [True, False], bid=[4.0, 1.0], ask=[4.2, 1.1]).mid
    array([4.1 , 1.05])
    """

    expiry: tuple[date, ...] = field(converter=as_tuple)
    strike: FloatArray = field(converter=readonly)
    is_call: BoolArray = field(converter=_truths)
    bid: FloatArray = field(converter=readonly, kw_only=True)
    ask: FloatArray = field(converter=readonly, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        columns = {"strike": self.strike, "is_call": self.is_call, "bid": self.bid, "ask": self.ask}
        for name, column in columns.items():
            if column.shape != (len(self.expiry),):
                problems.add(f"shape {column.shape}, not [{len(self.expiry)}] as expiry has", where=name)
        problems.raise_if_any("cannot read the option quotes")
        _check_rows(problems, self)
        problems.raise_if_any("cannot use the option quotes")

    def __len__(self) -> int:
        return len(self.expiry)

    @property
    def mid(self) -> FloatArray:
        """Middle of bid and ask [n_quotes]."""
        middle: FloatArray = 0.5 * (self.bid + self.ask)
        return middle

    @property
    def two_sided(self) -> BoolArray:
        """Mask [n_quotes] of the quotes that have a bid."""
        return self.bid > 0.0

    @property
    def expiries(self) -> tuple[date, ...]:
        """The different expiries, in their order in time."""
        return tuple(sorted(set(self.expiry)))

    def select(self, rows: npt.ArrayLike) -> OptionQuotes:
        """Return the quotes in `rows`, a mask [n_quotes] or indices."""
        rows = np.asarray(rows)
        chosen = np.arange(len(self))[rows if rows.size else rows.astype(np.int64)]
        expiry = tuple(self.expiry[i] for i in chosen)
        bid, ask = self.bid[chosen], self.ask[chosen]
        return OptionQuotes(expiry, self.strike[chosen], self.is_call[chosen], bid=bid, ask=ask)

    def by_expiry(self) -> Iterator[tuple[date, OptionQuotes]]:
        """Yield each expiry with its quotes, in the order of time."""
        days = np.array([day.toordinal() for day in self.expiry], dtype=np.int64)
        for day in self.expiries:
            yield day, self.select(days == day.toordinal())


@frozen(eq=False)
class ImpliedForwards:
    """Forwards and discount factors behind a chain, with what the parity lines leave over.

    Parameters
    ----------
    expiries : tuple of date [n_expiries]
    forward, discount : array [n_expiries]
    deviation : array [n_expiries]
        Robust standard deviation of the residuals, in the money of the quotes.
    strikes, residuals : tuple of arrays
        Per expiry the strikes used and call - put - discount * (forward - strike) at them.
    notes : tuple of str
        Expiries left out, and why; lines that the quotes do not follow.
    """

    expiries: tuple[date, ...]
    forward: FloatArray
    discount: FloatArray
    deviation: FloatArray
    strikes: tuple[FloatArray, ...]
    residuals: tuple[FloatArray, ...]
    notes: tuple[str, ...] = ()


@frozen(eq=False)
class _Line:
    """The parity line of one expiry."""

    forward: float
    discount: float
    deviation: float
    strikes: FloatArray
    residuals: FloatArray
    note: str


def implied_forwards(
    quotes: OptionQuotes, *, band: float = 0.2, discounts: Mapping[date, float] | None = None
) -> ImpliedForwards:
    """Return the forward and discount factor of each expiry from put-call parity.

    Parameters
    ----------
    quotes : OptionQuotes
        European; only strikes where call and put both have a bid are used. For American options parity is an
        inequality: give `discounts` and a narrow band, 0.02, near the money.
    band : float
        Strikes are used when ln(strike / forward) is at most this in size, the forward being that of the strike where
        call and put cost nearly the same. Far strikes are quoted wide and add noise, not information.
    discounts : mapping of date to float, optional
        Discount factors known from elsewhere; at the expiries it names only the forward is fitted.

    Raises
    ------
    InputError
        No expiry has three usable strikes, or `band` is not positive.

    Notes
    -----
    The line C - P = D (F - K) is fitted by weighted least squares, weights 1 / (sum of the two spreads)^2, and
    reweighted by Huber's function so that a stale quote counts little. An expiry with fewer than three usable
    strikes, or whose line has no positive discount factor and forward, is left out with a note.

    References
    ----------
    Stoll (1969), "The relationship between put and call option prices", Journal of Finance 24: parity. Huber
    (1981), "Robust Statistics": the weights.

    Examples
    --------
    >>> day, strikes = date(2026, 9, 18), [90.0, 100.0, 110.0]
    >>> line = [0.98 * (103.0 - strike) for strike in strikes]
    >>> prices = [5.0 + max(y, 0.0) for y in line] + [5.0 + max(-y, 0.0) for y in line]
    >>> right = [True] * 3 + [False] * 3
    >>> found = implied_forwards(OptionQuotes([day] * 6, strikes * 2, right, bid=prices, ask=prices))
    >>> found.forward.round(9), found.discount.round(9)
    (array([103.]), array([0.98]))
    """
    if not band > 0.0:
        _refuse(f"{band:g} is not above zero", "band", "A log-moneyness, for example 0.2.")
    _check_discounts(discounts or {})
    found = {day: _parity_line(chain, band, (discounts or {}).get(day)) for day, chain in quotes.by_expiry()}
    lines = {day: line for day, line in found.items() if isinstance(line, _Line)}
    said = {day: line.note if isinstance(line, _Line) else line for day, line in found.items()}
    notes = tuple(f"{day.isoformat()}: {note}" for day, note in said.items() if note)
    if not lines:
        what = "no expiry has a parity line. " + " ".join(notes)
        _refuse(what.strip(), "quotes", "Give calls and puts with bids at three strikes or more.")
    each = tuple(lines.values())
    return ImpliedForwards(
        tuple(lines),
        forward=np.array([line.forward for line in each]),
        discount=np.array([line.discount for line in each]),
        deviation=np.array([line.deviation for line in each]),
        strikes=tuple(line.strikes for line in each),
        residuals=tuple(line.residuals for line in each),
        notes=notes,
    )


def _parity_line(chain: OptionQuotes, band: float, discount: float | None) -> _Line | str:
    """Return the parity line of one expiry, or why there is none; fit the discount factor unless it is known."""
    strike, gap, spread = _near_the_money(*_pairs(chain), band)
    if len(strike) < FEWEST_PAIRS:
        return f"{counted(len(strike), 'strike')} with a bid on both rights near the money, fewer than {FEWEST_PAIRS}."
    usual = float(np.median(spread))
    weight = 1.0 / np.maximum(spread, 0.1 * usual if usual > 0.0 else 1.0)  # without spreads all weigh alike
    centre = float(strike.mean())
    if discount is None:
        at_centre, slope = _huber(np.column_stack([np.ones(len(strike)), strike - centre]), gap, weight)
        discount = float(-slope)
    else:
        at_centre = _huber(np.ones((len(strike), 1)), gap + discount * (strike - centre), weight)[0]
    forward = centre + float(at_centre) / discount if discount > 0.0 else np.nan
    if not forward > 0.0:
        return "its parity line has no positive forward and discount factor."
    residual = gap - discount * (forward - strike)
    deviation = NORMAL_MAD * float(np.median(np.abs(residual)))
    rough = f"parity residuals deviate by {deviation:.3g}, more than the usual spread {usual:.3g}: take care."
    return _Line(forward, discount, deviation, strike, residual, rough if deviation > usual > 0.0 else "")


def _near_the_money(
    strike: FloatArray, gap: FloatArray, spread: FloatArray, band: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Keep the strikes within `band` of the forward that the strike with the smallest |call - put| suggests."""
    if not len(strike):
        return strike, gap, spread
    middle = int(np.argmin(np.abs(gap)))
    near = max(float(strike[middle] + gap[middle]), 1e-300)
    use = np.abs(np.log(strike / near)) <= band
    return strike[use], gap[use], spread[use]


def _pairs(chain: OptionQuotes) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return strikes with bids on both rights, call less put at them, and the sum of the two spreads."""
    calls = {float(chain.strike[i]): i for i in np.flatnonzero(chain.two_sided & chain.is_call)}
    puts = {float(chain.strike[i]): i for i in np.flatnonzero(chain.two_sided & ~chain.is_call)}
    strikes = sorted(calls.keys() & puts.keys())
    call, put = ([side[k] for k in strikes] for side in (calls, puts))
    spread = chain.ask - chain.bid
    return np.array(strikes), chain.mid[call] - chain.mid[put], spread[call] + spread[put]


def _huber(columns: FloatArray, y: FloatArray, weight: FloatArray) -> FloatArray:
    """Return robust coefficients [n_columns] of y on `columns` [n, n_columns], by reweighted least squares."""
    trust: FloatArray = np.ones(len(y))
    found: FloatArray = np.zeros(columns.shape[1])
    for _ in range(ROUNDS):
        factor = weight * np.sqrt(trust)
        before, found = found, np.asarray(np.linalg.lstsq(columns * factor[:, None], y * factor, rcond=None)[0])
        scaled = np.abs(y - columns @ found) * weight
        size = NORMAL_MAD * float(np.median(scaled))
        if np.allclose(before, found, rtol=1e-12, atol=0.0) or size == 0.0:
            break
        trust = np.minimum(1.0, HUBER * size / np.maximum(scaled, 1e-300))
    return found


def _check_rows(problems: Problems, quotes: OptionQuotes) -> None:
    numbers = np.stack([quotes.strike, quotes.bid, quotes.ask])
    finite = np.isfinite(numbers).all(axis=0)
    wrong = {
        "a strike, bid or ask is not a finite number": ~finite,
        "the strike is not above zero": finite & (quotes.strike <= 0.0),
        "a price is negative": finite & (np.minimum(quotes.bid, quotes.ask) < 0.0),
        "the bid is above the ask": finite & (quotes.bid > quotes.ask),
        "the same option as an earlier row": _repeated(
            zip(quotes.expiry, quotes.strike.tolist(), quotes.is_call.tolist(), strict=True)
        ),
    }
    for what, rows in wrong.items():
        if np.any(rows):
            problems.add(f"{what}.", where=name_rows(rows), fix="Mend or drop these quotes.")


def _check_discounts(discounts: Mapping[date, float]) -> None:
    problems = Problems()
    for day, factor in discounts.items():
        if not 0.0 < factor < np.inf:
            problems.add(f"discount factor {factor} is not above zero", where=f"discounts[{day.isoformat()}]")
    problems.raise_if_any()


def _repeated(keys: Iterable[Any]) -> BoolArray:
    seen: set[Any] = set()
    repeated = []
    for key in keys:
        repeated.append(key in seen)
        seen.add(key)
    return np.array(repeated, dtype=np.bool_)


def name_rows(wrong: npt.ArrayLike) -> str:
    """Return "rows 0, 4 and 12 more" for a mask [n_rows].

    Examples
    --------
    >>> name_rows([False, True, True])
    'rows 1, 2'
    """
    rows: Sequence[int] = np.flatnonzero(np.asarray(wrong)).tolist()
    more = f" and {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else ""
    return "rows " + ", ".join(str(row) for row in rows[:MOST_ROWS]) + more


def _refuse(what: str, where: str, fix: str) -> None:
    problems = Problems()
    problems.add(what, where=where, fix=fix)
    problems.raise_if_any()
