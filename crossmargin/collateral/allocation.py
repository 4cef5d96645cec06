"""The cheapest collateral for every requirement, within schedules, limits and walls, as movements a clerk can make.

Call `allocate(requirements, credits, holdings, market, costs=...)`. It decides for one level at a time: a dollar that a
firm passes on covers at both. What cannot be covered is a deficit in the report, never an error; the prices say what
the last dollar of each requirement, and each wall, costs. Columns are drawn in `placement`, solved in `linear`, carried
out in `movements`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from attrs import field, frozen

from crossmargin.collateral.balance import CollateralReport
from crossmargin.collateral.covering import balances, book_of
from crossmargin.collateral.linear import eased, solve
from crossmargin.collateral.movements import Movement, Use, carry_out, lot_sizes, uses
from crossmargin.collateral.placement import Source, draw, needs_of, sources_of, wall_prices
from crossmargin.collateral.walls import Walls
from crossmargin.errors import Problems, suggestion
from crossmargin.market import Market
from crossmargin.parameters import Rules
from crossmargin.portfolio import Portfolio
from crossmargin.posted import Place, Posted, problems_with
from crossmargin.records import as_tuple
from crossmargin.results import Credit, Requirement

BASIS_POINT = 1e-4  # literal: a unit
_LESS_THAN_A_CENT = 0.005  # literal: a unit
SHORTFALL_COST = 100.0  # literal: USD a year for 1 USD uncovered: far above what any asset costs
MOVE_COST = 0.001  # literal: basis points, so that of two equal covers the one that moves less is taken
_LEAST_COST = 1e-4  # literal: basis points that an asset of no cost is taken to cost, or it would be posted for nothing


@frozen
class WallPrice:
    """What the first dollar of covering value through a wall would save at most, USD a year for 1 USD, and where."""

    walls: tuple[str, ...]
    price: float
    id: str
    target: Place


@frozen
class Allocation:
    """The cheapest cover of one level.

    Attributes
    ----------
    movements : tuple of Movement
        What to do, in whole lots; what stays where it lies is not mentioned.
    placed : tuple of Posted
        What lies where afterwards.
    after : CollateralReport
        The balances then: what could not be covered stands there as a deficit.
    cost : float
        Of what covers, in whole lots, USD a year (USD tied up when that is minimised).
    objective, bound : float
        Of the programme, deficits and moves charged, before whole lots, and of its dual: equal at an optimum.
    pot_prices : mapping of Place to float
        What 1 USD more of requirement costs, USD a year. At `shortfall_cost`, it cannot be covered.
    wall_prices : tuple of WallPrice
        What each wall, or set of walls, costs at the margin; those that cost nothing are left out.
    """

    level: str
    movements: tuple[Movement, ...] = field(converter=as_tuple)
    placed: tuple[Posted, ...] = field(converter=as_tuple)
    after: CollateralReport
    cost: float
    objective: float
    bound: float
    shortfall_cost: float
    pot_prices: Mapping[Place, float]
    wall_prices: tuple[WallPrice, ...] = field(converter=as_tuple)

    @property
    def uncovered(self) -> dict[Place, float]:
        """The deficit of each place that could not be covered, USD; less than half a cent is none."""
        mine = (balance for balance in self.after.balances if balance.level == self.level)
        return {balance.place: balance.deficit.value for balance in mine if balance.deficit.value > _LESS_THAN_A_CENT}

    @property
    def gap(self) -> float:
        """The objective less the bound: 0 but for rounding, the certificate that nothing is cheaper."""
        return self.objective - self.bound


def allocate(
    requirements: Iterable[Requirement],
    credits: Iterable[Credit],
    holdings: Iterable[Posted],
    market: Market,
    *,
    costs: Mapping[str, float] = MappingProxyType({}),
    level: Literal["clearing", "customer"] = "clearing",
    objective: Literal["cost", "market_value"] = "cost",
    move_cost: float = MOVE_COST,
    shortfall_cost: float = SHORTFALL_COST,
    whole_lots: bool = True,
    portfolio: Portfolio | None = None,
    rules: Iterable[Rules] = (),
    instructed: Iterable[str] = (),
) -> Allocation:
    """Return which asset to post where, at the least opportunity cost, never across a wall.

    Parameters
    ----------
    requirements, credits
        Of a margin report.
    holdings
        Every asset that may be used, where it lies now: posted already, or at the firm.
    market : Market
        Prices the assets; its date chooses schedules and walls.
    costs : mapping of str to float
        Opportunity cost of a holding by id, basis points of market value a year; 0 where nothing is said.
    level : {"clearing", "customer"}
        Whose requirements are covered. A customer's deposit at the firm may be passed on to a clearing house.
    objective : {"cost", "market_value"}
        What is least: the opportunity cost, or the market value tied up.
    move_cost : float
        Basis points charged on what moves, and once more on the firm's own money in a customer pot: of equal covers
        the quieter one is taken. No part of `cost`.
    shortfall_cost : float
        Charge on what stays uncovered, USD a year for 1 USD.
    whole_lots : bool
        Round deliveries up to whole lots; False gives the fractions of the programme.
    portfolio, rules, instructed
        As in `balances`; an instruction also opens the walls between a customer's own accounts.

    Raises
    ------
    InputError
        Everything wrong with holdings, requirements and costs, in one error.

    Notes
    -----
    What may not leave stays: the minimum of a segregation class, and all that lies where the requirement is not known.
    An asset without a price is left where it is.

    References
    ----------
    Dantzig, Linear Programming and Extensions (1963): duality; a wall's price is the reduced cost of what it forbids.

    Examples
    --------
    >>> from crossmargin.posted import Cash
    >>> from crossmargin.results import Line
    >>> from crossmargin.samples import basis_trade
    >>> _, market = basis_trade()
    >>> need = Requirement("p", "FIRM", "CME", "clearing", "r", (), Line("r", 60.0), "FIRM", "PROPRIETARY")
    >>> cash = Posted("box", "FIRM", "FIRM", "carrying firm", "PROPRIETARY", Cash(), 100.0)
    >>> print(allocate([need], [], [cash], market).movements[0])
    deliver 60 USD cash (box) from FIRM / FIRM / PROPRIETARY / carrying firm to FIRM / FIRM / PROPRIETARY / CME
    """
    requirements, credits, holdings, rules = tuple(requirements), tuple(credits), tuple(holdings), tuple(rules)
    instructed = frozenset(instructed)
    _check(holdings, costs, market, charges={"move_cost": move_cost, "shortfall_cost": shortfall_cost})

    def report(held: tuple[Posted, ...]) -> CollateralReport:
        return balances(requirements, credits, held, market, portfolio=portfolio, rules=rules, instructed=instructed)

    before = report(holdings)
    book = book_of(holdings, market, portfolio=portfolio, rules=rules)
    sources, needs = sources_of(holdings, book, before, level=level), needs_of(before, level)
    columns = draw(sources, needs, book, Walls(market.as_of, book.schedules.rules, instructed))
    unit = {each.id: _unit_cost(each, costs, objective, _LEAST_COST) for each in holdings}
    move = move_cost * BASIS_POINT
    programme = columns.programme(unit, move=move, shortfall_cost=shortfall_cost)
    solution = solve(programme)
    used = uses(columns, solution.used, lot_sizes(book.schedules) if whole_lots else {})
    placed, movements = carry_out(sources, used, holdings)
    return Allocation(
        level=level,
        movements=movements,
        placed=placed,
        after=report(placed),
        cost=_cost(sources, used, {each.id: _unit_cost(each, costs, objective, 0.0) for each in holdings}),
        objective=solution.objective,
        bound=solution.bound,
        shortfall_cost=shortfall_cost,
        pot_prices={need.place: float(price) for need, price in zip(needs, solution.need_prices, strict=True)},
        wall_prices=[
            WallPrice(names, price, source.posted.id, need.place)
            for names, (price, source, need) in wall_prices(columns, solve(eased(programme)), unit, move).items()
        ],
    )


def _unit_cost(posted: Posted, costs: Mapping[str, float], objective: str, least: float) -> float:
    """Return what 1 USD of a holding costs, USD a year, or 1 where the market value tied up is to be least."""
    return 1.0 if objective == "market_value" else max(least, costs.get(posted.id, 0.0)) * BASIS_POINT


def _cost(sources: Sequence[Source], used: Sequence[Sequence[Use]], unit: Mapping[str, float]) -> float:
    """Return what is used, in whole lots, at its cost, USD a year."""
    return math.fsum(
        use.quantity * source.price * unit[source.posted.id]
        for source, mine in zip(sources, used, strict=True)
        for use in mine
    )


def _check(
    holdings: Sequence[Posted], costs: Mapping[str, float], market: Market, *, charges: Mapping[str, float]
) -> None:
    """Raise everything wrong with holdings, costs and charges at once."""
    problems, known = Problems(), {each.id for each in holdings}
    problems.extend(problems_with(holdings, market.as_of))
    for id, cost in costs.items():
        if id not in known:
            problems.add("no holding has this id.", where=f"costs[{id!r}]", fix=suggestion(id, known) if known else "")
        if not math.isfinite(cost) or cost < 0.0:
            problems.add(f"{cost} is no cost.", where=f"costs[{id!r}]", fix="Give basis points a year, 0 or more.")
    for name, charge in charges.items():
        if not math.isfinite(charge) or charge < 0.0:
            problems.add(f"is {charge}.", where=name, fix="Give a finite number, 0 or more.")
    dearest = max((cost for cost in costs.values() if math.isfinite(cost)), default=0.0) * BASIS_POINT
    if charges["shortfall_cost"] <= dearest:
        fix = "Charge far more, or nothing would be covered with it."
        problems.add("is not above the dearest asset.", where="shortfall_cost", fix=fix)
    problems.raise_if_any()
