"""Which futures lots, trades and repos to direct into a two-pot cross-margin account so that all pots ask least.

Call `best_allocation(portfolio, market, account)`; its `moves` are what a clerk would carry out, its `certificate` says
what is proved. The search runs on arrays (`two_pot_search`); that these say what the rule-sets say is checked against
the spine before the search and for its answer. Nothing moves between owners or firms; collateral is not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.accounts import Account
from crossmargin.analysis.two_pot_book import IntArray, TwoPotBook
from crossmargin.analysis.two_pot_search import CENT, ENUMERATED, Found, box_size, improved, search
from crossmargin.analysis.unit_arrays import NoArrays, Unit, two_pot_book
from crossmargin.checking import check_arguments
from crossmargin.errors import InputError, NumericalError, Problem, Problems, counted, listed, suggestion
from crossmargin.margin import margin
from crossmargin.market import Market
from crossmargin.parameters import Rules
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products.futures import ShortRateFuture, TreasuryFuture
from crossmargin.records import as_tuple
from crossmargin.regimes import CROSS_MARGIN, Regime
from crossmargin.registry import rulebook

CAPS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_NEEDED = ("reduction_cap", "reduction_minimum", "scaled_components")
_SPINE_RUNS = 200  # whole margin runs spent on a unit that no arrays can stand for
_AGREES = 1e-9  # relative agreement of arrays and spine


@frozen
class Move:
    """A signed `quantity` of a position to transfer from one account to another."""

    position: str
    product: str
    quantity: float
    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.quantity:,.0f} {self.product} ({self.position}) from {self.source} to {self.target}"


@frozen
class CapPoint:
    """What the owner would owe under another cap, USD: as allocated, and by the best allocation found for that cap.

    `best` is None where only the spine could tell.
    """

    cap: float
    total: float
    best: float | None


@frozen
class Allocation:
    """The cheapest allocation found for one owner at one firm, clearing level, USD.

    Attributes
    ----------
    moves : tuple of Move
        From today's accounts; empty when today's allocation is as good.
    before, after : float
        Requirements less credits of all pots, today and once moved, as `margin` gives them.
    lower_bound : float
        No allocation asks less; 0 where nothing is proved.
    certificate : str
        What was proved, on what it rests and what it covers.
    sensitivity_to_cap : tuple of CapPoint
        By cap.
    portfolio : Portfolio
        The portfolio given, once moved.
    """

    TERSE: ClassVar[bool] = True
    account: str
    moves: tuple[Move, ...] = field(converter=as_tuple)
    before: float
    after: float
    lower_bound: float
    certificate: str
    sensitivity_to_cap: tuple[CapPoint, ...] = field(converter=as_tuple)
    portfolio: Portfolio = field(repr=False)

    @property
    def saving(self) -> float:
        """Before less after, never negative, USD."""
        return self.before - self.after

    @property
    def gap(self) -> float:
        """How much cheaper another allocation can be at most, USD."""
        return max(0.0, self.after - self.lower_bound)

    def __str__(self) -> str:
        moves = [f"  {move}" for move in self.moves] or ["  nothing to move"]
        totals = f"before {self.before:,.2f}, after {self.after:,.2f}, saves {self.saving:,.2f} USD"
        return "\n".join([f"{self.account}: {totals}", *moves, self.certificate])


@frozen(eq=False)
class _Option:
    """A position that may lie in the programme's account or outside: how many lots, how large, where it goes."""

    position: Position
    outside: str
    lots: int
    directed: int

    @property
    def unit(self) -> float:
        """Signed quantity of one lot."""
        return self.position.quantity / self.lots


def best_allocation(
    portfolio: Portfolio,
    market: Market,
    account: str,
    *,
    base: Iterable[str] | None = None,
    regime: Regime = CROSS_MARGIN,
    rules: Iterable[Rules] = (),
    caps: Iterable[float] = CAPS,
    nodes: int = 200,
) -> Allocation:
    """Return the allocation of an owner's positions to a two-pot account and its others that all pots ask least for.

    Futures move by the lot, all other trades whole. A position that the programme would refuse stays where it is.

    Parameters
    ----------
    portfolio, market
        As for `margin`.
    account : str
        The account of the programme, house or customer.
    base : iterable of str, optional
        The accounts to move from and to; all undirected ones of the same beneficial owner at the same firm unless
        given. What leaves the programme goes to the first in which a clearing house margins it.
    regime : Regime
        One whose arrangements hold the programme.
    rules : iterable of Rules, optional
        Rules with overlaid values.
    caps : iterable of float
        For `sensitivity_to_cap`.
    nodes : int
        Boxes that the proof may look into where allocations are too many to enumerate.

    Raises
    ------
    InputError
        An unknown account, one in no two-pot programme of the regime, base accounts of another owner or firm; nothing
        modelled of what they are asked for; all that `margin` raises.
    NumericalError
        The spine does not confirm the answer.

    References
    ----------
    CME, optimization for the CME Group and FICC cross-margin programme (futures are allocated, the rest of the book
    keeps its own offsets); the objective is inferred from it.

    Examples
    --------
    >>> import crossmargin as xm
    >>> portfolio, market = xm.samples.basis_trade()
    >>> found = best_allocation(portfolio, market, "NG-XM", caps=())
    >>> found.moves, found.saving
    ((), 0.0)
    """
    check_arguments(portfolio, market)
    book = rulebook(rules)
    inside, outside = _accounts(portfolio, account, base, regime=regime, book=book)
    unit = _Search(_unit_of(portfolio, inside), market, inside, tuple(outside), regime, book)
    options = _options(unit)
    found, proof, points = _solved(unit, options, tuple(caps), nodes)
    moves = _moves(options, found.directed, account)
    before, after = unit.total(unit.portfolio), unit.total(_moved(unit.portfolio, moves))
    if abs(after - found.total) > CENT / 2 + _AGREES * abs(after):
        raise NumericalError(f"The search says {found.total}, margin {after}: the models are not those of the rules.")
    texts = [*proof, f"Covers {account} and {listed(o.id for o in outside) or 'no other account'} at the clearing"]
    texts[-1] += f" level on {market.as_of}: futures by the lot, other trades whole, all else where it is."
    return Allocation(
        account, moves, before, after, found.lower_bound, " ".join(texts), points, _moved(portfolio, moves)
    )


# ----------------------------------------------------------------------------------------- what may be moved where


def _accounts(
    portfolio: Portfolio, account: str, base: Iterable[str] | None, *, regime: Regime, book: Mapping[str, Rules]
) -> tuple[Account, list[Account]]:
    """Return the programme's account and those outside, or raise all that is wrong with them."""
    known, problems = {each.id: each for each in portfolio.accounts}, Problems()
    if account not in known:
        raise InputError([Problem(f"unknown account {account!r}.", "account", suggestion(account, known))])
    inside = known[account]
    rule = book.get(inside.arrangement) if inside.arrangement in regime.arrangements else None
    if rule is None or rule.structure != "two_pot" or not set(_NEEDED) <= set(rule.parameters):
        what = f"{account!r} is directed to {inside.arrangement or 'no programme'!r}."
        problems.add(what, where="account", fix=f"Give an account of a two-pot programme of regime {regime.name}.")
    theirs = [each for each in portfolio.accounts if _same_unit(each, inside) and not each.arrangement and not each.net]
    wanted = [each.id for each in theirs] if base is None else list(dict.fromkeys(base))
    for name in wanted:
        if name not in known:
            problems.add(f"unknown account {name!r}.", where="base", fix=suggestion(name, known))
        elif known[name] not in theirs:
            fix = f"Give undirected accounts of {inside.beneficiary} at {inside.firm}, not margined net."
            problems.add(f"{name!r} cannot give to {account!r} or take from it.", where="base", fix=fix)
    problems.raise_if_any("Nothing can be allocated")
    return inside, [known[name] for name in wanted]


def _same_unit(one: Account, other: Account) -> bool:
    return (one.beneficiary, one.firm) == (other.beneficiary, other.firm)


def _unit_of(portfolio: Portfolio, inside: Account) -> Portfolio:
    """Return the portfolio without what other owners, or the owner elsewhere, hold: it changes nothing here."""
    accounts = tuple(each for each in portfolio.accounts if _same_unit(each, inside))
    ids = {each.id for each in accounts}
    return evolve(
        portfolio, accounts=accounts, positions=tuple(each for each in portfolio.positions if each.account in ids)
    )


@frozen(eq=False)
class _Search:
    """One owner's accounts at one firm, and how their margin is asked for."""

    portfolio: Portfolio
    market: Market
    inside: Account
    outside: tuple[Account, ...]
    regime: Regime
    book: Mapping[str, Rules]
    _known: dict[tuple[Position, ...], float] = field(factory=dict, init=False)

    def total(self, portfolio: Portfolio, **values: float) -> float:
        """Return what all pots ask, USD; `values` overlay the programme's parameters."""
        rules, programme = self.book, self.inside.arrangement
        if values:
            rules = {**rules, programme: rules[programme].with_values(**values, because="allocation")}
            return self._asked(portfolio, rules)
        if portfolio.positions not in self._known:
            self._known[portfolio.positions] = self._asked(portfolio, rules)
        return self._known[portfolio.positions]

    def _asked(self, portfolio: Portfolio, rules: Mapping[str, Rules]) -> float:
        amount = margin(portfolio, self.market, self.regime, rules=rules.values()).total()
        if amount is None:
            what = "nothing that its owner is asked for at the firm is modelled."
            fix = "Give the market what the report's not_modelled() names."
            raise InputError([Problem(what, f"account {self.inside.id!r}", fix)])
        return amount


def _options(unit: _Search) -> list[_Option]:
    """Return the positions that may lie on either side, in the order of the portfolio."""
    places = {each.id: each for each in (unit.inside, *unit.outside)}
    within = [position for position in unit.portfolio.positions if position.account in places and position.quantity]
    directed = evolve(unit.portfolio, positions=[evolve(position, account=unit.inside.id) for position in within])
    told = margin(directed, unit.market, unit.regime, rules=unit.book.values()).decisions
    admitted = {each.position for each in told if each.allowed and each.programme == unit.inside.arrangement}
    return [
        _Option(position, home, lots, lots if position.account == unit.inside.id else 0)
        for position in within
        if position.id in admitted and (home := _home(position, unit))
        for lots in [_lots(position)]
    ]


def _home(position: Position, unit: _Search) -> str:
    """Return the account outside that a position lies in or would go to, "" when none takes it."""
    accounts = [each for each in unit.outside if position.account in (unit.inside.id, each.id)]
    silos = [silo for silo in unit.regime.silos if silo.level == "clearing" and position.product.kind in silo.kinds]
    taking = (each.id for each in accounts if any(each.account_class in silo.account_classes for silo in silos))
    return next(taking, "")


def _lots(position: Position) -> int:
    whole = isinstance(position.product, TreasuryFuture | ShortRateFuture) and float(position.quantity).is_integer()
    return abs(int(position.quantity)) if whole else 1


def _moves(options: list[_Option], directed: IntArray, account: str) -> tuple[Move, ...]:
    found = []
    for option, lots in zip(options, directed.tolist(), strict=True):
        change = lots - option.directed
        if change:
            way = (option.outside, account) if change > 0 else (account, option.outside)
            quantity = option.unit * abs(change)
            found.append(Move(option.position.id, option.position.product.symbol, quantity, *way))
    return tuple(found)


def _moved(portfolio: Portfolio, moves: Iterable[Move]) -> Portfolio:
    """Return the portfolio after transfers; what is split gets an id of its own beside the old one."""
    by_position, ids = {move.position: move for move in moves}, {position.id for position in portfolio.positions}

    def after(position: Position) -> Iterator[Position]:
        move = by_position.get(position.id)
        rest = position.quantity - (move.quantity if move else 0.0)
        if move is None or rest:
            yield evolve(position, quantity=rest)
        if move is not None and not rest:
            yield evolve(position, account=move.target)
        elif move is not None:
            name = next(n for k in range(1, len(ids) + 2) if (n := f"{position.id}/{k}") not in ids)
            ids.add(name)
            yield evolve(position, id=name, account=move.target, quantity=move.quantity)

    return evolve(portfolio, positions=[part for position in portfolio.positions for part in after(position)])


# ---------------------------------------------------------------------------------------------------- the search


def _solved(
    unit: _Search, options: list[_Option], caps: tuple[float, ...], nodes: int
) -> tuple[Found, list[str], tuple[CapPoint, ...]]:
    """Return the answer with what is proved of it, by arrays where they say what the spine says, else by the spine."""
    today, most = np.array([option.directed for option in options]), np.array([option.lots for option in options])
    if not options:
        return _by_spine(unit, options, "Nothing may be moved.", caps)
    tried = {tuple(x.tolist()): unit.total(_at(unit, options, x)) for x in (today, 0 * most, most)}
    try:
        book, movable = _arrays(unit, options)
    except NoArrays as reason:
        return _by_spine(unit, options, f"No arrays stand for the rule-sets ({reason}).", caps)
    at = np.array(list(tried))
    arrays = book.totals(_widened(book, movable, at))
    asked = list(tried.values())
    rest = asked[0] - float(arrays[0])
    if np.abs(arrays + rest - asked).max() > _AGREES * max(1.0, *asked):
        return _by_spine(unit, options, "Arrays do not say what the rule-sets say.", caps)
    found = search(book, start=_widened(book, movable, today), nodes=nodes)
    points = tuple(_cap_point(evolve(book, cap=cap), found, rest, cap) for cap in caps)
    proof = _proof(
        book, found, f"Arrays and rule-sets agree at {counted(len(tried), 'allocation')} compared and at the answer."
    )
    return Found(found.directed[movable], found.total + rest, found.lower_bound + rest, found.nodes), proof, points


def _at(unit: _Search, options: list[_Option], directed: IntArray) -> Portfolio:
    return _moved(unit.portfolio, _moves(options, directed, unit.inside.id))


def _arrays(unit: _Search, options: list[_Option]) -> tuple[TwoPotBook, IntArray]:
    """Return the unit on arrays and which of its items the options are."""
    splits = {option.position.id: (option.outside, option.lots) for option in options}
    return two_pot_book(
        Unit(unit.portfolio, unit.market, unit.inside, unit.regime, unit.book, splits), [o.position.id for o in options]
    )


def _widened(book: TwoPotBook, movable: IntArray, directed: IntArray) -> IntArray:
    """Return directed lots of all items from those of the options."""
    wide = np.broadcast_to(book.least, (*directed.shape[:-1], book.n_items)).copy()
    wide[..., movable] = directed
    return wide


def _cap_point(book: TwoPotBook, found: Found, rest: float, cap: float) -> CapPoint:
    total = float(book.totals(found.directed))
    small = box_size(book.least, book.most) <= ENUMERATED
    best = search(book, start=found.directed).total if small else improved(book, found.directed)[1]
    return CapPoint(cap, total + rest, best + rest)


def _proof(book: TwoPotBook, found: Found, agreement: str) -> list[str]:
    size = box_size(book.least, book.most)
    rests = "planes under sub-additive models" if book.convex else "the worst and best of each scenario in a box"
    if not found.nodes:
        return [f"Exact: all {size:,} allocations were priced and none is cheaper by a cent.", agreement]
    if found.exact:
        return [f"Exact: branch and bound over {found.nodes:,} boxes; bounds rest on {rests}.", agreement]
    said = f"Not proved the best: at most {found.gap:,.2f} USD dearer than it, of {size:.3g} allocations;"
    return [f"{said} the bound rests on {rests}, over {found.nodes:,} boxes.", agreement]


def _by_spine(
    unit: _Search, options: list[_Option], why: str, caps: tuple[float, ...]
) -> tuple[Found, list[str], tuple[CapPoint, ...]]:
    """Return the best of all allocations when they are few, else the best that moves of one position lead to."""
    today, lots = np.array([o.directed for o in options], dtype=int), np.array([o.lots for o in options], dtype=int)
    size = math.prod((lots + 1).tolist())
    if size <= _SPINE_RUNS:
        tried = (np.array(index, dtype=int) for index in np.ndindex(*(lots + 1)))
        cost = {tuple(x.tolist()): unit.total(_at(unit, options, x)) for x in tried}
        bound, said = min(cost.values()), f"Exact: margin was run for all {size:,} allocations."
    else:
        cost = _descended(unit, options, today, lots)
        bound, said = 0.0, f"Not proved the best: margin was run for {len(cost):,} of {size:.3g} allocations."
    best = min(cost, key=lambda x: (round(cost[x], 2), np.abs(np.array(x, dtype=int) - today).sum()))
    at = _at(unit, options, np.array(best, dtype=int))
    points = tuple(CapPoint(cap, unit.total(at, reduction_cap=cap), None) for cap in caps)
    return Found(np.array(best, dtype=int), cost[best], min(bound, cost[best]), 0), [said, why], points


def _descended(unit: _Search, options: list[_Option], today: IntArray, lots: IntArray) -> dict[tuple[int, ...], float]:
    """Return what was tried: from today, moves of one position by steps that halve, as long as they help."""
    at, cost = tuple(today.tolist()), dict[tuple[int, ...], float]()
    cost[at] = unit.total(_at(unit, options, today))
    for power in range(int(lots.max()).bit_length()):
        for item in range(len(options)):
            for step in (int(lots[item]) >> power, -(int(lots[item]) >> power)):
                new = (*at[:item], min(max(at[item] + step, 0), int(lots[item])), *at[item + 1 :])
                if new not in cost and len(cost) < _SPINE_RUNS:
                    cost[new] = unit.total(_at(unit, options, np.array(new)))
                    at = min((at, new), key=cost.__getitem__)
    return cost
