"""A live book: what a trade would change in every requirement, under several regimes, in microseconds.

Call `what_if(portfolio, market, regimes=..., universe=...)` once; the `WhatIf` it returns answers `delta`, `marginal`,
`max_size` and `distance_to_cliff`. It is frozen and nothing of it is written to after it is made, so that any number of
threads may ask at once. Changes are those of `margin` on the book with the trade. Where the report has what has no
formula here, or nobody models the trade, a change is NaN, a size is refused, and `Delta.gaps` names what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date

import numpy as np
from attrs import field, frozen

from crossmargin.analysis.what_if.cliffs import Cliff, cliffs
from crossmargin.analysis.what_if.delta import Delta, Total, Trade, is_number, products_of, said, total_named
from crossmargin.analysis.what_if.drawing import Drawn, Place, drawn, place_of
from crossmargin.analysis.what_if.leaves import Holding, Losses
from crossmargin.analysis.what_if.nodes import Along, Measured, measured
from crossmargin.analysis.what_if.unanswered import Unanswered, unanswered
from crossmargin.batch.planning import Gap
from crossmargin.batch.terms import LEFT_OUT, NOT_MODELLED
from crossmargin.checking import check_arguments
from crossmargin.columns import FloatArray, as_date
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.margin import named, prepare
from crossmargin.market import Market
from crossmargin.parameters import Rules
from crossmargin.pnl import revalue
from crossmargin.portfolio import Portfolio
from crossmargin.posted import MOST_QUANTITY
from crossmargin.products import Product
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED, Regime
from crossmargin.registry import rulebook
from crossmargin.results import LEVELS, Comparison

_CLOSE = 2.0**-44  # a step of a size, relative to it, below which none is taken: 6e-14
_MOST_STEPS = 20_000
_GAPS = (LEFT_OUT, NOT_MODELLED)


@frozen(eq=False)
class _Asked:
    """What is answered for one place: its program, the nodes of every total, and what has no amount.

    `because` says of every total that is not known what is missing; `unmodelled` are those where nobody has it.
    """

    product: Product
    along: Along
    roots: tuple[tuple[Total, tuple[int, ...]], ...]
    gaps: tuple[Gap, ...]
    because: Mapping[Total, tuple[Gap, ...]]
    unmodelled: frozenset[Total]


@frozen(eq=False)
class WhatIf:
    """A book that is asked what trades would do to it.

    Attributes
    ----------
    portfolio, market : Portfolio, Market
        The book.
    regimes : tuple of Regime
    universe : tuple of Product
        What may be traded.
    settles : date, optional
        Day on which trades in Treasury securities settle.
    totals : mapping of (regime, level) to float
        Requirement less credit of the book as it is, USD: what its reports say; NaN where nothing of it is modelled.
    """

    portfolio: Portfolio = field(repr=False)
    market: Market = field(repr=False)
    regimes: tuple[Regime, ...] = field(repr=False)
    universe: tuple[Product, ...] = field(repr=False)
    settles: date | None
    totals: Mapping[Total, float]
    _drawn: Drawn = field(repr=False)
    _measured: Measured = field(repr=False)
    _asked: Mapping[tuple[str, Product], _Asked] = field(repr=False)
    _same: Mapping[tuple[str, int], _Asked] = field(init=False, repr=False)

    @_same.default
    def _by_identity(self) -> Mapping[tuple[str, int], _Asked]:
        """Return what is answered by the very products of the universe: hashing one takes longer than an answer."""
        return {(account, id(product)): each for (account, product), each in self._asked.items()}

    def delta(self, trade: Trade) -> Delta:
        """Return what a trade changes: account, product and signed quantity, long > 0.

        Raises
        ------
        InputError
            An account or a product that the book does not know, a quantity that is not finite.
        """
        asked, quantity = self._place(trade)
        base, changes = asked.along.base, dict.fromkeys(self.totals, 0.0)
        if quantity:
            amounts = asked.along.at(quantity)
            for total, roots in asked.roots:
                changes[total] = sum([amounts[n] - base[n] for n in roots])
        for total in asked.because:
            changes[total] = math.nan
        return Delta(trade, changes, asked.gaps, asked.unmodelled)

    def marginal(
        self, account: str, universe: Iterable[Product] | None = None, *, level: str = "clearing"
    ) -> FloatArray:
        """Return what one more unit of each product in an account adds to the total of each regime, USD.

        Parameters
        ----------
        account : str
        universe : iterable of Product, optional
            Of `self.universe`; all of it unless given. One unit is a contract, or a dollar of face.
        level : str

        Returns
        -------
        array [n_regimes, n_products]
            NaN where a change is not known; `delta` names what is missing.

        Raises
        ------
        InputError
            What `delta` refuses, a universe that is no list of products, a level that nobody has.
        """
        products = self.universe if universe is None else products_of(universe)
        totals = [total_named(regime, level, self.totals) for regime in self.regimes]
        found = np.empty((len(totals), len(products)))
        for column, product in enumerate(products):
            changes = self.delta((account, product, 1.0)).changes
            found[:, column] = [changes[total] for total in totals]
        return found

    def max_size(self, trade: Trade, limit: float, *, regime: Regime | str, level: str = "clearing") -> float:
        """Return the largest size of a trade up to which a total never exceeds `limit`, USD.

        Parameters
        ----------
        trade : tuple
            Account, product, and a quantity of which only the sign counts: buy or sell.
        limit : float
            On requirement less credit.
        regime, level : str
            Of the total.

        Returns
        -------
        float
            Units, not negative; 0 where the limit is exceeded already, even by a trade that lowers the total (`delta`
            says by how much), infinity where no size up to `MOST_QUANTITY` exceeds it.

        Raises
        ------
        InputError
            What `delta` refuses, a limit that is not a number, a trade whose change is not known, a total that runs
            along the limit.

        Notes
        -----
        The total is piecewise linear in the size, and rational where a credit is a share of it. Sizes are passed step
        by step, each as wide as it is certain that the total stays within the limit on all of it: its range follows
        from those of its parts. Steps narrow to 6e-14 of the size; what is returned is never beyond the first crossing.
        """
        asked, quantity = self._place(trade)
        total = total_named(regime, level, self.totals)
        if not is_number(limit) or not quantity:
            what = f"a limit of {said(limit)}." if quantity else "a quantity of 0."
            raise InputError([Problem(what, "max_size", "Give a number, and a quantity above or below 0.")])
        if total in asked.because:
            raise _refusal(trade, asked, total)
        roots = dict(asked.roots).get(total, ())
        owed = 0.0 if math.isnan(self.totals[total]) else self.totals[total]  # what is not modelled counts nothing
        room = limit - owed + sum(asked.along.base[n] for n in roots)
        if owed > limit:
            return 0.0
        if asked.along.moved.isdisjoint(roots):
            return math.inf
        return _largest(asked.along, roots, room, sign=math.copysign(1.0, quantity))

    def distance_to_cliff(
        self, account: str | None = None, universe: Iterable[Product] | None = None
    ) -> tuple[Cliff, ...]:
        """Return where a requirement begins to follow another line: caps, floors, minimums, thresholds, ends of time.

        Parameters
        ----------
        account : str, optional
            In which products are traded to find the sizes that cross; no sizes unless given.
        universe : iterable of Product, optional
            What is traded; all of `self.universe` unless given.

        Returns
        -------
        tuple of Cliff
            The nearest first. What has no formula here has no cliffs.

        Raises
        ------
        InputError
            An account or products that the book does not know.
        """
        products = () if account is None else self.universe if universe is None else products_of(universe)
        asked = {product: self._place((account or "", product, 1.0))[0].along for product in products}
        return cliffs(self._drawn, self._measured, asked)

    def _place(self, trade: Trade) -> tuple[_Asked, float]:
        try:
            account, product, quantity = trade
            asked = self._same.get((account, id(product)))
            if asked is None or asked.product is not product:
                asked = self._asked[account, product]
        except (KeyError, TypeError, ValueError):
            raise self._unknown(trade) from None
        try:
            if -MOST_QUANTITY <= quantity <= MOST_QUANTITY:
                return asked, float(quantity)
        except (TypeError, ValueError):
            pass
        fix = f"Give a finite signed number, up to {MOST_QUANTITY:g}."
        raise InputError([Problem(f"quantity is {said(quantity)}.", "trade", fix)])

    def _unknown(self, trade: object) -> InputError:
        """Return everything that is wrong with a trade."""
        problems = Problems()
        if not (isinstance(trade, tuple) and len(trade) == 3):
            what = f"a tuple of {len(trade)}" if isinstance(trade, tuple) else said(trade)
            problems.add(f"{what} is no trade.", where="trade", fix="Give account, product and quantity.")
            return InputError(problems.found)
        account, product, _ = trade
        accounts = [each.id for each in self.portfolio.accounts]
        if account not in accounts:
            fix = suggestion(account if isinstance(account, str) else "", accounts)
            problems.add(f"unknown account {said(account)}.", where="trade", fix=fix)
        if product not in self.universe:
            name = product.symbol if hasattr(product, "kind") else said(product)
            problems.add(f"{name} is not in the universe.", where="trade", fix="Name it when the book is made.")
        return InputError(problems.found)


def what_if(
    portfolio: Portfolio,
    market: Market,
    *,
    regimes: Regime | str | Iterable[Regime | str] = (SILOED, CROSS_MARGIN, HARMONIZED),
    universe: Iterable[Product] = (),
    settles: date | None = None,
    rules: Rules | Iterable[Rules] = (),
) -> WhatIf:
    """Return a book that can be asked.

    Parameters
    ----------
    portfolio : Portfolio
        The book: accounts of one owner or of many.
    market : Market
    regimes : iterable of Regime or str
    universe : iterable of Product
        What may be traded beside what is held.
    settles : date, optional
        Day on which trades in Treasury securities settle; without one they have not settled.
    rules : iterable of Rules
        Rules with overlaid values.

    Raises
    ------
    InputError
        Everything wrong with portfolio, market, regimes and universe.
    NotInForce
        A rule has no value on the date.

    Examples
    --------
    >>> from attrs import evolve
    >>> from crossmargin.samples import SETTLES, basis_trade
    >>> portfolio, market = basis_trade()
    >>> note, _, future, *_ = portfolio.products
    >>> mine = [each for each in portfolio.positions if each.account == "NG-XM"]
    >>> book = what_if(evolve(portfolio, positions=mine), market, regimes=["siloed", "cross_margin"], settles=SETTLES)
    >>> more = book.delta(("NG-XM", future, -50.0))
    >>> more.change("siloed") > 0.0 > more.change("cross_margin")
    True
    """
    check_arguments(portfolio, market)
    meant, book, universe = named(regimes), rulebook(rules), products_of(universe)
    settles = settles if settles is None else as_date(settles, "settles")
    if strange := [each for each in universe if not hasattr(each, "kind")]:
        fix = "Make products by crossmargin.products."
        raise InputError([Problem(f"{said(strange[0])} is no product.", "universe", fix)])
    products = tuple(dict.fromkeys([*portfolio.products, *universe]))
    run = prepare(portfolio, market, meant, book)
    found = drawn(portfolio, market, products, regimes=meant, settles=settles, book=book)
    state = measured((each.term for each in found.figures), _losses(found), _holding(portfolio, found))
    reports = [run.report(regime) for regime in meant]
    told = {level: Comparison(reports).totals(level) for level in LEVELS}
    totals = {
        (regime, level): math.nan if (amount := told[level][regime]) is None else amount
        for regime in told[LEVELS[0]]
        for level in LEVELS
    }
    roots, unknown = _roots(found, state), unanswered(found, portfolio.products)
    asked = {
        (account.id, product): _answers(state, roots, found.number[place_of(account.id, product, settles)], unknown)
        for account in portfolio.accounts
        for product in products
    }
    return WhatIf(portfolio, market, meant, products, settles, totals, found, state, asked)


def _holding(portfolio: Portfolio, found: Drawn) -> Holding:
    parts: dict[int, list[float]] = {}
    for each in portfolio.positions:
        parts.setdefault(found.number[Place(each.account, each.product, each.settles)], []).append(each.quantity)
    quantities = tuple(math.fsum(parts.get(n, ())) for n in range(len(found.places)))
    return Holding(tuple(at.product for at in found.places), quantities, frozenset(parts))


def _losses(found: Drawn) -> Losses:
    """Reprice every product once under every scenario set that a figure needs."""
    terms = [term for figure in found.figures for term in figure.term.walk()]
    needed = [each.spec for term in terms for each in (term.tail, term.unit) if each is not None]
    scenarios, pnl = found.scenarios, {}
    for spec in dict.fromkeys(needed):
        products = dict.fromkeys(found.places[n].product for n in sorted(scenarios.known(spec)))
        pnl[spec] = revalue(tuple(products), found.market, scenarios.sets[spec])
    return Losses(pnl)


@frozen(eq=False)
class _Root:
    """A figure as its place in a total: its node, if it has one, what it is about, and what it has an amount for.

    `gaps` are what has none, each with the places it is about.
    """

    total: Total
    node: int | None
    touched: frozenset[int]
    measured: frozenset[int]
    gaps: tuple[tuple[Gap, frozenset[int]], ...]


def _roots(found: Drawn, state: Measured) -> list[_Root]:
    roots = []
    for figure in found.figures:
        terms = list(figure.term.walk())
        gaps = [
            (Gap(figure.regime, figure.level, figure.pot, term.name, reported=term.how == LEFT_OUT), term.products)
            for term in terms
            if term.how in _GAPS
        ]
        touched = frozenset[int]().union(*(term.products for term in terms))
        amounts = (term.products for term in terms if term.how not in (*_GAPS, "held"))  # a flag is no amount
        node = state.graph.number.get(figure.term)
        total = figure.regime, figure.level
        roots.append(_Root(total, node, touched, frozenset[int]().union(*amounts), tuple(gaps)))
    return roots


def _answers(state: Measured, roots: list[_Root], place: int, unknown: Unanswered) -> _Asked:
    """Return what is answered for a place, made beforehand."""
    along, mine = state.along(place), [root for root in roots if place in root.touched]
    moved: dict[Total, list[int]] = {}
    held, gaps = state.holding.there | {place}, dict[Gap, None]()
    for root in mine:
        if root.node is not None and root.node in along.moved:
            moved.setdefault(root.total, []).append(root.node)
        gaps |= dict.fromkeys(gap for gap, products in root.gaps if not held.isdisjoint(products))
    unmodelled = _unmodelled(mine, place, unknown)
    because: dict[Total, tuple[Gap, ...]] = dict(unmodelled)
    gaps |= dict.fromkeys(gap for told in unmodelled.values() for gap in told)
    for gap in gaps:
        total = gap.regime, gap.level
        if gap.reported and total not in unmodelled:
            because[total] = (gap, *because.get(total, ()))
    return _Asked(
        state.holding.products[place],
        along,
        tuple((total, tuple(nodes)) for total, nodes in moved.items()),
        tuple(gaps),
        because,
        frozenset(unmodelled),
    )


def _unmodelled(roots: list[_Root], place: int, unknown: Unanswered) -> dict[Total, tuple[Gap, ...]]:
    """Return the totals for which nobody models what is traded at a place, with what says so.

    Where no level of a regime has an amount for it, none knows which of them would ask.
    """
    known, told = set[Total](), dict[Total, dict[Gap, None]]()
    for root in roots:
        about = [(gap, products) for gap, products in root.gaps if place in products]
        reported = any(gap.reported for gap, _ in about)
        said = unknown.get((root.total, place), ()) if reported else ()
        if place in root.measured or (reported and not said):
            known.add(root.total)
        own = [gap for gap, products in about if products.isdisjoint(root.measured)]  # not what touches others too
        told.setdefault(root.total, {}).update(dict.fromkeys(said or own or [gap for gap, _ in about]))
    regimes = {regime for regime, _ in known}
    lost = {total: tuple(gaps) for total, gaps in told.items() if gaps and total not in known}
    found: dict[Total, tuple[Gap, ...]] = {}
    for (regime, level), gaps in lost.items():
        for each in (level,) if regime in regimes else LEVELS:
            found.setdefault((regime, each), lost.get((regime, each), gaps))
    return found


def _refusal(trade: Trade, asked: _Asked, total: Total) -> InputError:
    """Return what a trade is refused for whose change of a total is not known."""
    where = f"{asked.product.symbol} in {trade[0]}"
    fix = "Margin the book with trades of several sizes."
    if total in asked.unmodelled:
        fix = "Nobody says what it costs: ask for an account or a regime in which it is margined."
    told = {gap: "left out here" if gap.reported else "not modelled" for gap in asked.because[total]}
    return InputError(
        Problem(f"{why} ({gap.regime}, {gap.level}, {gap.pot}): {gap.what}.", where, fix) for gap, why in told.items()
    )


def _largest(along: Along, roots: Iterable[int], room: float, *, sign: float) -> float:
    """Return the size up to which the sum of some nodes is certain to stay within a room."""
    size, step = 0.0, 1.0
    for _ in range(_MOST_STEPS):
        ranges = along.over(sign * size, sign * (size + step))
        if sum(ranges[n][1] for n in roots) <= room:
            size, step = size + step, 2.0 * step
            if size >= MOST_QUANTITY:
                return math.inf
        elif step > _CLOSE * max(size, 1.0):
            step /= 2.0
        else:
            return size
    what = f"the total runs along the limit from a size of {size:g} on."
    raise InputError([Problem(what, "max_size", "Give a limit a little higher or lower.")])
