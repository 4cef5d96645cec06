"""The offset gate: which groups of products may offset one another, tested on history; closed unless proven open.

Call `offset_gate(market, pairs, history, tests, stress_period=...)` for the gate and `group_of` for a product's group.
A pair needs a declared conceptual basis (it stands in the table) and history that bears it out: correlation over the
look-back, in the weakest of its sub-windows, and in stress, all with the declared sign. Within a group nothing is
tested. Nothing here margins, and no threshold lives here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from attrs import field, frozen

from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, Problems, counted
from crossmargin.market import Market
from crossmargin.methodology import Table
from crossmargin.products import Product
from crossmargin.products.options import FutureOption
from crossmargin.products.treasuries import Repo, ReverseRepo, years_between
from crossmargin.records import as_tuple
from crossmargin.results import Line, not_modelled
from crossmargin.underlyings import ticker_held

_TESTS = (
    "horizon_days",
    "lookback_years",
    "windows",
    "observations",
    "level",
    "weakest_window",
    "stressed",
)
_GAP = 5  # calendar days that weekends and holidays may add to twice the horizon, as where scenarios are drawn
_DAYS_A_YEAR = 365.25


@frozen
class PairTest:
    """What history says of one pair: correlations of price changes times the declared sign, and why it is closed.

    A correlation is None where it cannot be found; `why` is empty for an open pair.
    """

    first: str
    second: str
    basis: str
    observations: int = 0
    level: float | None = None
    weakest: float | None = None
    stressed: float | None = None
    why: str = ""

    @property
    def open(self) -> bool:
        """Whether the two groups may offset one another."""
        return not self.why

    @property
    def line(self) -> Line:
        """The correlation over the look-back, with the verdict as its note; not modelled where it is unknown."""
        name = f"{self.first} with {self.second}"
        said = f"{'open' if self.open else f'closed: {self.why}'}; basis: {self.basis}"
        return not_modelled(name, said) if self.level is None else Line(name, self.level, unit="1", note=said)


@frozen
class Gate:
    """Every declared pair's test, and the blocks of groups that are margined together (those of two groups or more)."""

    pairs: tuple[PairTest, ...] = field(default=(), converter=as_tuple)
    blocks: tuple[tuple[str, ...], ...] = field(default=(), converter=as_tuple)

    def block(self, group: str) -> str:
        """Return the name of the block that a group is margined in; its own when it stands alone."""
        return next((" + ".join(block) for block in self.blocks if group in block), group)


def group_of(product: Product, groups: Table, as_of: date) -> str:
    """Return the group of a product: that of the first row that fits, else its ticker's own, else its kind's own.

    Parameters
    ----------
    groups : table
        Rows have `group` and `tickers`, or `kinds` with, where they narrow it, `contracts` or the remaining years above
        `from_years` up to `to_years`. An option on a future is of the group of its future, repo of its collateral's.
    as_of : date
        From which remaining years count.

    Examples
    --------
    >>> from crossmargin.products import ShortRateFuture, Stock
    >>> rows = [{"group": "money market", "kinds": ["short_rate_future"]}]
    >>> [group_of(each, rows, date(2026, 6, 30)) for each in (ShortRateFuture("SR3", 202609), Stock("XYZ"))]
    ['money market', 'XYZ']
    """
    held = product.underlying if isinstance(product, FutureOption) else product
    for row in groups:
        if _covers(row, held, as_of):
            return str(row["group"])
    return ticker_held(held) or held.kind


def _covers(row: Mapping[str, Any], product: Product, as_of: date) -> bool:
    if "tickers" in row:
        return ticker_held(product) in row["tickers"]
    if product.kind not in row["kinds"]:
        return False
    if "contracts" in row:
        return getattr(product, "contract", "") in row["contracts"]
    if "to_years" not in row:
        return True
    security = product.collateral if isinstance(product, Repo | ReverseRepo) else product
    maturity = getattr(security, "maturity", None)
    return maturity is not None and bool(row["from_years"] < years_between(as_of, maturity) <= row["to_years"])


def offset_gate(
    market: Market, pairs: Table, history: Table, tests: Mapping[str, Any], *, stress_period: Sequence[date]
) -> Gate:
    """Return which groups may offset one another on the market's date.

    Parameters
    ----------
    market : Market
        Yields and prices after its date are never read.
    pairs : table
        Rows `first, second, basis, sign`: +1 where prices rise together, -1 where one rises as the other falls. A pair
        that is not listed has no conceptual basis and is closed.
    history : table
        What stands for a group: rows `group` and `tenor_years` (the nearest quoted yield; its price change is the
        change of yield with the other sign) or `ticker` (logarithmic price change). A group without a row is closed.
    tests : table
        `horizon_days` of the overlapping changes, `lookback_years`, number of sub-`windows`, least `observations`, and
        the least signed correlation over the look-back (`level`), in the `weakest_window` and in the `stressed` period.
    stress_period : first and last day
        Both included.

    Raises
    ------
    InputError
        Tests that are missing or out of range, signs other than +1 and -1, pairs of one group with itself or listed
        twice: all at once.

    Notes
    -----
    Missing evidence closes a pair. Blocks: the open pairs are taken in the order of their table; a pair joins the
    blocks of its two groups when *every* pair of groups across them is open. So no closed pair ever shares a block,
    even where both offset a third group; and blocks depend on market and table, never on what is held.

    References
    ----------
    17 CFR 39.13(g)(4), recalled: price risks significantly and reliably correlated, on a conceptual basis.
    """
    _check(pairs, tests)
    series = {row["group"]: _changes(row, market, int(tests["horizon_days"])) for row in history}
    past = _Past(series, _ends(market, int(tests["horizon_days"])), tests, stress_period)
    tested = tuple(past.tested(row) for row in pairs)
    return Gate(tested, _blocks(tested))


@frozen(eq=False)
class _Past:
    """The price changes [n_ends] of each group, the days on which they end, and what is asked of them."""

    series: Mapping[str, FloatArray]
    days: FloatArray
    tests: Mapping[str, Any]
    stress_period: Sequence[date]

    def tested(self, row: Mapping[str, Any]) -> PairTest:
        """Return the test of one pair, on the changes that both groups have."""
        pair = PairTest(row["first"], row["second"], row["basis"], why="a group has no history of its own")
        if pair.first not in self.series or pair.second not in self.series or not self.days.size:
            return pair
        both = np.stack([self.series[pair.first], row["sign"] * self.series[pair.second]])
        known = np.isfinite(both).all(axis=0)
        recent = known & (self.days > self.days[-1] - _DAYS_A_YEAR * self.tests["lookback_years"])
        first, last = (day.toordinal() for day in self.stress_period)
        stress = known & (self.days >= first) & (self.days <= last)
        windows = np.array_split(both[:, recent], int(self.tests["windows"]), axis=1)
        weak = [_correlation(part) for part in windows]
        found = {
            "level": _correlation(both[:, recent]),
            "weakest": None if None in weak else min(each for each in weak if each is not None),
            "stressed": _correlation(both[:, stress]),
        }
        return _judged(pair, int(recent.sum()), found, self.tests)


def _judged(pair: PairTest, count: int, found: Mapping[str, float | None], tests: Mapping[str, Any]) -> PairTest:
    least = {"level": tests["level"], "weakest": tests["weakest_window"], "stressed": tests["stressed"]}
    said = [f"{counted(count, 'observation')} < {tests['observations']}"] if count < tests["observations"] else []
    for name, value in found.items():
        if value is None:
            said.append(f"{name} correlation is unknown")
        elif value < least[name]:
            said.append(f"{name} correlation {value:.2f} < {least[name]:g}")
    return PairTest(pair.first, pair.second, pair.basis, count, **found, why=", ".join(said))


def _correlation(both: FloatArray) -> float | None:
    """Return the correlation of two rows of changes, None where it has no meaning."""
    if both.shape[1] < 2 or not np.ptp(both, axis=1).all():
        return None
    found = float(np.asarray(np.corrcoef(both))[0, 1])
    return found if np.isfinite(found) else None


def _rows(market: Market) -> int:
    last = market.history.row_at(market.as_of)
    return 0 if last is None else last + 1


def _ends(market: Market, horizon: int) -> FloatArray:
    """Return the day on which each change ends, as an ordinal."""
    return np.array([day.toordinal() for day in market.history.dates[horizon : _rows(market)]], dtype=float)


def _changes(row: Mapping[str, Any], market: Market, horizon: int) -> FloatArray:
    """Return the price changes of what stands for a group, [n_ends]; NaN where not quoted or over a gap."""
    count, past = _rows(market), market.history
    dates = past.dates[:count]
    levels: FloatArray = np.full(count, np.nan)
    if "tenor_years" in row:
        levels = np.negative(past.par[:count, int(np.argmin(np.abs(past.tenors - row["tenor_years"])))])
    elif market.price_history is not None and row["ticker"] in market.price_history.prices:
        levels = np.log(market.price_history.read(market.price_history.prices[row["ticker"]], dates))
    days = np.array([day.toordinal() for day in dates], dtype=float)
    whole = days[horizon:] - days[: max(0, count - horizon)] <= 2 * horizon + _GAP
    return np.where(whole, levels[horizon:] - levels[: max(0, count - horizon)], np.nan)


def _blocks(tested: Iterable[PairTest]) -> tuple[tuple[str, ...], ...]:
    passed = [(pair.first, pair.second) for pair in tested if pair.open]
    may = {frozenset(pair) for pair in passed}
    block: dict[str, tuple[str, ...]] = {group: (group,) for pair in passed for group in pair}
    for first, second in passed:
        one, other = block[first], block[second]
        if one != other and all(frozenset((left, right)) in may for left in one for right in other):
            block |= dict.fromkeys((*one, *other), (*one, *other))
    return tuple(found for found in dict.fromkeys(block.values()) if len(found) > 1)


def _check(pairs: Table, tests: Mapping[str, Any]) -> None:
    problems, seen = Problems(), set[frozenset[str]]()
    for name in (name for name in _TESTS if name not in tests):
        problems.add(f"has no {name!r}.", where="gate_tests", fix=f"Give {', '.join(_TESTS)}.")
    problems.raise_if_any()
    for name in ("horizon_days", "lookback_years", "windows"):
        if not tests[name] >= 1:
            problems.add(f"{tests[name]!r} is below 1.", where=f"gate_tests, {name}")
    for name in ("level", "weakest_window", "stressed"):
        if not -1.0 <= tests[name] <= 1.0:
            problems.add(f"{tests[name]!r} is no correlation.", where=f"gate_tests, {name}", fix="Give -1 to 1.")
    for row in pairs:
        where, pair = f"pair {row['first']} with {row['second']}", frozenset((row["first"], row["second"]))
        if row["sign"] not in (1, -1):
            problems.add(f"sign is {row['sign']!r}.", where=where, fix="Give 1 or -1.")
        if len(pair) < 2 or pair in seen:
            problems.add("is one group with itself, or stands twice.", where=where, fix="List each pair once.")
        seen.add(pair)
    problems.raise_if_any("The offset gate cannot be used")


def unknown_groups(pairs: Table, groups: Table) -> None:
    """Raise every group of a pair that no row makes.

    Raises
    ------
    InputError
        A pair names a group that nothing belongs to.
    """
    known = {row["group"] for row in groups}
    named = {row[side] for row in pairs for side in ("first", "second")}
    if lost := sorted(named - known):
        raise InputError([Problem(f"no product is of group {name!r}.", "offset_pairs") for name in lost])
