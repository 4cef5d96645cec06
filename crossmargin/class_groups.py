"""Class groups: all that hangs on one underlying, revalued together on a grid of its price.

Call `class_groups(positions, inputs, grid)`. An index, the funds that track it and all options on either are one class;
a leveraged fund moves by its multiple of the index's move. Options keep the volatility that their price implies today.

Not here: how far each kind of underlying moves (a rule's parameters, handed in), what the classes then ask
(`offset_groups`), and portfolios revalued under yields and volatility moves too (`pnl.revalue`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import TypeGuard

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.columns import FloatArray
from crossmargin.curves import discount_factors, year_fractions, zero_rates
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.methodology import Inputs, Table, unmodelled
from crossmargin.portfolio import Position
from crossmargin.pricing.implied import QuoteStatus
from crossmargin.pricing.portfolio_grid import (
    LEAST_VOLATILITY,
    REASONS,
    GridModel,
    OptionSeries,
    grid_moves,
    grid_values,
    select_series,
    solve_volatility,
)
from crossmargin.pricing.shares import spot_of
from crossmargin.products import Product
from crossmargin.products.equities import BREADTHS, ETF, Security, SecurityFuture, Stock
from crossmargin.products.options import ListedOption
from crossmargin.records import as_tuple
from crossmargin.results import Line
from crossmargin.underlyings import ticker_held

EQUITY = "equity"
KINDS = {"narrow": "narrow_index", "sector": "sector_index", "broad": "broad_index"}
KINDS |= {"broad_high_cap": "broad_index_high_cap"}
READINGS = ("each_side", "linear")
UNSOLVED = ("not_modelled", "least_volatility")

_Rows = dict[Product, FloatArray]  # product -> P&L [n_points]


@frozen(kw_only=True)
class Grid:
    """How far the underlyings of each kind move, at which points, and what becomes of prices that fit no volatility.

    Parameters
    ----------
    ranges : table
        Rows `kind, down, up`: the largest moves, positive shares of the price.
    points_each_side : int
    reading : {"each_side", "linear"}
        Equidistant points on each side of today's price, or twice as many over the whole range; none at no move.
    unsolved : {"not_modelled", "least_volatility"}
        Of an option priced below what the model gives without volatility: a visible gap, or the least volatility and
        only the change of its value.
    price_rounding : float
        USD by which such a price may fall short all the same, being rounded.
    own : mapping of class to (down, up)
        Ranges of single classes that go before those of their kind.

    Raises
    ------
    InputError
        Unknown words, or points that are no grid.
    """

    ranges: Table
    points_each_side: int
    reading: str = "each_side"
    unsolved: str = "not_modelled"
    price_rounding: float = 0.0
    own: Mapping[str, tuple[float, float]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for name, word, known in (("reading", self.reading, READINGS), ("unsolved", self.unsolved, UNSOLVED)):
            if word not in known:
                problems.add(f"unknown {word!r}.", where=name, fix=suggestion(str(word), known))
        problems.raise_if_any("The grid cannot be laid")

    def range_of(self, kind: str, name: str = "") -> tuple[float, float]:
        """Return the largest moves down and up of a class, positive.

        Raises
        ------
        InputError
            No row has this kind.
        """
        rows = {row["kind"]: row for row in self.ranges}
        if name not in self.own and kind not in rows:
            raise InputError([Problem(f"unknown kind {kind!r} of underlying.", "grid", suggestion(kind, rows))])
        down, up = self.own[name] if name in self.own else (rows[kind]["down"], rows[kind]["up"])
        return float(down), float(up)

    def moves(self, kind: str, name: str = "") -> FloatArray:
        """Return the moves [n_points] of a class, shares of its price, lowest first.

        Examples
        --------
        >>> rows = [{"kind": "equity", "down": 0.15, "up": 0.15}]
        >>> Grid(ranges=rows, points_each_side=1).moves("equity")
        array([-0.15,  0.15])
        >>> Grid(ranges=rows, points_each_side=2, reading="linear").moves("equity")
        array([-0.15, -0.05,  0.05,  0.15])
        """
        down, up = self.range_of(kind, name)
        each_side = grid_moves(down=down, up=up, points_each_side=self.points_each_side)
        return each_side if self.reading == "each_side" else np.linspace(-down, up, len(each_side))


@frozen
class ClassGroup:
    """Everything on one underlying, revalued on the grid.

    Parameters
    ----------
    name, kind : str
        The underlying, and which row of a grid's ranges it takes: `equity`, `broad_index` and so on.
    pnl : iterable of float [n_points]
        Gain > 0 at each point of the grid, lowest move first, USD.
    contract_units : float
        Option contracts, long and short alike counted as positive, times their multiplier.
    moves : iterable of float [n_points]
        Of the underlying, where known.
    long_market_value, short_market_value : float
        Of what is held, USD without sign; futures have none.
    parts : iterable of (symbol, P&L [n_points])
        What each product adds to `pnl`, where known.
    gaps : iterable of Line
        What could not be revalued, and why.
    """

    name: str
    kind: str
    pnl: tuple[float, ...] = field(converter=as_tuple)
    contract_units: float = 0.0
    moves: tuple[float, ...] = field(default=(), converter=as_tuple, kw_only=True)
    long_market_value: float = field(default=0.0, kw_only=True)
    short_market_value: float = field(default=0.0, kw_only=True)
    parts: tuple[tuple[str, tuple[float, ...]], ...] = field(default=(), converter=as_tuple, kw_only=True)
    gaps: tuple[Line, ...] = field(default=(), converter=as_tuple, kw_only=True)


# ------------------------------------------------------------------------------------------------- who is in a class


def kind_of(security: Security) -> str:
    """Return the kind of a security: `equity`, or that of its breadth.

    Examples
    --------
    >>> kind_of(Stock("IBM")), kind_of(ETF("SPY", "broad_high_cap"))
    ('equity', 'broad_index_high_cap')
    """
    return EQUITY if isinstance(security, Stock) else KINDS[security.breadth]


def class_of(ticker: str, securities: Mapping[str, Security]) -> tuple[str, float]:
    """Return the class of a ticker, and the multiple of the class's move by which it moves.

    Raises
    ------
    InputError
        Funds that track one another in a circle.

    Examples
    --------
    >>> class_of("SDS", {"SDS": ETF("SDS", "broad_high_cap", tracks="SPX", leverage=-2.0)})
    ('SPX', -2.0)
    """
    multiple, seen = 1.0, [ticker]
    while isinstance(fund := securities.get(seen[-1]), ETF):
        multiple *= fund.leverage
        if not fund.tracks:
            break
        if fund.tracks in seen:
            fix = "Let one of them track its index, or nothing."
            raise InputError([Problem("tracks itself, by way of other funds or at once.", fund.ticker, fix)])
        seen.append(fund.tracks)
    return seen[-1], multiple


def by_class(positions: Iterable[Position], inputs: Inputs) -> dict[str, tuple[Position, ...]]:
    """Return the positions of each class, classes in alphabetical order; what hangs on no ticker is left out."""
    known, found = _securities(inputs), dict[str, list[Position]]()
    for position in positions:
        if ticker := ticker_held(position.product):
            found.setdefault(class_of(ticker, known)[0], []).append(position)
    return {name: tuple(found[name]) for name in sorted(found)}


def class_groups(positions: Iterable[Position], inputs: Inputs, grid: Grid) -> tuple[ClassGroup, ...]:
    """Return every class of a pool, revalued on the grid, in alphabetical order.

    Long and short positions in one product net. Shares and security futures move with their ticker. Options keep the
    volatility implied by today's price (`inputs.prices`) at the zero rate of their expiry and the yield and cash
    dividends of their underlying; European ones by formula, American ones by the boundary solver. A price that implies
    no volatility, warrants and what has no price become gaps.

    Raises
    ------
    InputError
        A kind without a range; funds that track one another.
    """
    run = _Run(inputs, grid)
    return tuple(_class_group(name, held, run) for name, held in by_class(positions, inputs).items())


@frozen
class _Run:
    """What every class of one call is revalued with."""

    inputs: Inputs
    grid: Grid

    @cached_property
    def securities(self) -> Mapping[str, Security]:
        return _securities(self.inputs)

    @cached_property
    def curve(self) -> tuple[FloatArray, FloatArray]:
        """Knots and zero rates of today's curve."""
        curve = self.inputs.market.curve
        return zero_rates(curve.tenors, curve.par[:, None])

    def rate(self, years: float) -> float:
        """Return the continuous zero rate of an expiry."""
        if years <= 0.0:
            return 0.0
        return -math.log(float(discount_factors(*self.curve, np.array([years]))[0, 0])) / years


def _securities(inputs: Inputs) -> dict[str, Security]:
    market = inputs.market.underlyings
    told = {ticker: known.security for ticker, known in market.items() if known.security is not None}
    return {**told, **inputs.securities}


def _class_group(name: str, positions: Sequence[Position], run: _Run) -> ClassGroup:
    held = _net(positions)
    kind = _kind(name, held, run.securities)
    moves = run.grid.moves(kind, name)
    rows, gaps = _Rows(), dict[Product, str]()
    for ticker in sorted({ticker_held(product) for product in held}):
        mine = {product: units for product, units in held.items() if ticker_held(product) == ticker}
        ticker_rows, ticker_gaps = _ticker_pnl(ticker, mine, moves, run)
        rows |= ticker_rows
        gaps |= ticker_gaps
    values = [_market_value(product, units, run.inputs) for product, units in held.items()]
    return ClassGroup(
        name,
        kind,
        sum(rows.values(), np.zeros(len(moves))).tolist(),
        math.fsum(abs(units) for product, units in held.items() if isinstance(product, ListedOption)),
        moves=moves.tolist(),
        long_market_value=math.fsum(value for value in values if value > 0),
        short_market_value=math.fsum(-value for value in values if value < 0),
        parts=[(product.symbol, tuple(row.tolist())) for product, row in rows.items()],
        gaps=[line for each in positions if each.product in gaps for line in unmodelled([each], gaps[each.product])],
    )


def _net(positions: Iterable[Position]) -> dict[Product, float]:
    """Return the units of the underlying that each product stands for, long > 0, netted; nothing where they cancel."""
    lots: dict[Product, list[float]] = {}
    for position in positions:
        units = getattr(position.product, "multiplier", 1.0)
        lots.setdefault(position.product, []).append(position.quantity * units)
    net = {product: math.fsum(lots[product]) for product in sorted(lots, key=lambda product: product.symbol)}
    return {product: units for product, units in net.items() if units}


def _kind(name: str, held: Iterable[Product], securities: Mapping[str, Security]) -> str:
    """Return the kind of a class: of what it is named after, or else of the narrowest fund in it."""
    if name in securities:
        return kind_of(securities[name])
    funds = (securities.get(ticker_held(product)) for product in held)
    breadths = [fund.breadth for fund in funds if isinstance(fund, ETF)]
    return KINDS[min(breadths, key=BREADTHS.index)] if breadths else EQUITY


def _market_value(product: Product, units: float, inputs: Inputs) -> float:
    return 0.0 if isinstance(product, SecurityFuture) else units * inputs.prices.get(product, 0.0)


# -------------------------------------------------------------------------------------------------------- revaluing


def _ticker_pnl(
    ticker: str, held: Mapping[Product, float], moves: FloatArray, run: _Run
) -> tuple[_Rows, dict[Product, str]]:
    """Return the P&L [n_points] of each product that hangs on one ticker, and what is left out and why."""
    at = class_of(ticker, run.securities)[1] * moves
    if at.min() <= -1.0:
        return {}, dict.fromkeys(held, f"a move of {at.min():+.0%} leaves {ticker!r} no price")
    rows, gaps, options = _Rows(), dict[Product, str](), dict[ListedOption, float]()
    for product, units in held.items():
        price = run.inputs.prices.get(product)
        if price is None or not isinstance(product, Stock | ETF | SecurityFuture | ListedOption):
            gaps[product] = "no price of it is known" if product.kind != "warrant" else "no model for warrants"
        elif isinstance(product, ListedOption):
            options[product] = units
        else:
            rows[product] = units * price * at
    for chain in _chains(options):
        chain_rows, chain_gaps = _chain_pnl(chain, at, run)
        rows |= {option: options[option] * chain_rows[option] for option in chain if option in chain_rows}
        gaps |= chain_gaps
    return rows, gaps


def _chains(options: Iterable[ListedOption]) -> Iterable[list[ListedOption]]:
    """Return the options of one ticker by expiry and style of exercise, which one model prices."""
    chains: dict[tuple[date, str], list[ListedOption]] = {}
    for option in options:
        chains.setdefault((option.expiry, option.exercise), []).append(option)
    return chains.values()


def _chain_pnl(chain: Sequence[ListedOption], at: FloatArray, run: _Run) -> tuple[_Rows, dict[Product, str]]:
    """Return the P&L [n_points] of a unit of each option with one expiry on one ticker, and those left out and why.

    The whole chain that the portfolio holds is revalued at once, and once for every pool that asks for the same moves.
    """
    first, grid = chain[0], run.grid
    whole = tuple(_chains_held(run.inputs).get((first.underlying, first.expiry, first.exercise), ()))
    if not set(chain) <= set(whole):
        whole = tuple(chain)
    key = ("class group", whole, tuple(at.tolist()), grid.unsolved, grid.price_rounding)
    rows, gaps = run.inputs.once(key, lambda: _whole_chain_pnl(whole, at, run))
    mine = set(chain)
    return (
        {option: row for option, row in rows.items() if option in mine},
        {option: why for option, why in gaps.items() if option in mine},
    )


def _chains_held(inputs: Inputs) -> Mapping[tuple[str, date, str], Sequence[ListedOption]]:
    """Return the priced options of the portfolio by ticker, expiry and style of exercise."""

    def sorted_out() -> dict[tuple[str, date, str], list[ListedOption]]:
        found: dict[tuple[str, date, str], list[ListedOption]] = {}
        for option in sorted(filter(_is_option, inputs.prices), key=lambda option: option.symbol):
            found.setdefault((option.underlying, option.expiry, option.exercise), []).append(option)
        return found

    return inputs.once("chains held", sorted_out)


def _is_option(product: Product) -> TypeGuard[ListedOption]:
    return isinstance(product, ListedOption)


def _whole_chain_pnl(chain: Sequence[ListedOption], at: FloatArray, run: _Run) -> tuple[_Rows, dict[Product, str]]:
    """Return the P&L [n_points] of a unit of each option of a chain, and those left out and why."""
    spot = spot_of(chain[0].underlying, run.inputs.market)
    if spot is None:
        return {}, dict.fromkeys(chain, f"the market has no spot of {chain[0].underlying!r}")
    price = np.array([run.inputs.prices[option] for option in chain])
    model, years = _model(chain[0], run)
    if float(model.net(spot * (1.0 + at.min()))) <= 0.0:
        return {}, dict.fromkeys(chain, "its cash dividends leave no price at the lowest point")
    series = OptionSeries(
        is_call=[option.right == "call" for option in chain],
        strike=[option.strike for option in chain],
        expiry_time=np.full(len(chain), years),
        price=np.maximum(price, 0.0),
    )
    series, volatility, why = _solved(series, spot, model, run.grid)
    why |= {row: f"its price {price[row]:g} is negative" for row in np.flatnonzero(price < 0.0).tolist()}
    gaps: dict[Product, str] = {chain[row]: reason for row, reason in sorted(why.items())}
    good = [row for row in range(len(chain)) if row not in why]
    if not good:
        return {}, gaps
    kept = select_series(series, good)
    values = grid_values(kept, volatility[good], spot=spot * (1.0 + at), model=model)
    pnl = values - kept.price[:, None]
    return {chain[row]: each for row, each in zip(good, pnl, strict=True)}, gaps


def _model(option: ListedOption, run: _Run) -> tuple[GridModel, float]:
    """Return the model of all options with one expiry on one ticker, and the years to it."""
    market = run.inputs.market
    years = float(year_fractions(market.as_of, [option.expiry])[0])
    known, american = market.underlyings.get(option.underlying), option.exercise == "american"
    if known is None:
        return GridModel(rate=run.rate(years), american=american), years
    paid = [(day, amount) for day, amount in known.dividends if market.as_of < day <= option.expiry and amount]
    times = year_fractions(market.as_of, [day for day, _ in paid]).tolist()
    cash = [(time, amount) for time, (_, amount) in zip(times, paid, strict=True)]
    model = GridModel(rate=run.rate(years), dividend_yield=known.dividend_yield, american=american, dividends=cash)
    return model, years


def _solved(
    series: OptionSeries, spot: float, model: GridModel, grid: Grid
) -> tuple[OptionSeries, FloatArray, dict[int, str]]:
    """Return the series as they are priced, their volatilities, and by row why one has none."""
    found = solve_volatility(series, spot, model)
    odd = np.isin(found.status, list(REASONS))
    if not odd.any():
        return series, found.volatility, {}
    still = np.full(len(odd), LEAST_VOLATILITY)
    least = grid_values(series, still, spot=[spot], model=model)[:, 0]
    short = np.inf if grid.unsolved == "least_volatility" else grid.price_rounding
    mended = (found.status == QuoteStatus.BELOW_INTRINSIC) & (series.price >= least - short)
    why = {
        row: f"its price {series.price[row]:g} is {REASONS[QuoteStatus(int(found.status[row]))]}, {least[row]:g}"
        for row in np.flatnonzero(odd & ~mended).tolist()
    }
    priced = evolve(series, price=np.where(mended, least, series.price))
    return priced, np.where(mended, LEAST_VOLATILITY, found.volatility), why
