"""Security futures: a share of market value, less what the table of offsets forgives, at the customer level.

Long and short contracts of one month net. What is left is paired, in this order: contracts of different months on one
security; contracts and an opposite position in the security itself; a long contract and a long put, a short contract
and a long call. Stock and options are looked for in the same account and are margined on their own by their own
rule-set, so that a pair never owes less than the table says: here it owes all of what the table asks for both legs.
Pairs with short options, baskets and collars are not recognised, and neither is a hedge that another position in the
account leans on or that lies under portfolio margin.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from attrs import evolve, frozen

from crossmargin.accounts import Agreement
from crossmargin.errors import Problems, suggestion
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool, Position
from crossmargin.products import Product
from crossmargin.products.equities import ETF, SecurityFuture, Stock
from crossmargin.products.options import ListedOption
from crossmargin.results import Line, largest, scaled, smallest, total
from crossmargin.scenarios import ScenarioSpec
from crossmargin.underlyings import ticker_held

CALENDAR, SECURITY, LONG_OPTION = "calendar", "security", "long_option"
OFFSETS = (CALENDAR, SECURITY, LONG_OPTION)


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: the rule is a rate."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the margin of all contracts, USD: pairs by the table of offsets, what is left by the rate.

    Raises
    ------
    InputError
        `offsets` names a kind of pair that there is not.

    References
    ----------
    17 CFR 242.403(b) and 41.45(b); 85 FR 75112 (the rate); SEC Release 34-46555, OneChicago's table of offsets.
    """
    futures = [position for position in pool.positions if isinstance(position.product, SecurityFuture)]
    others = [position for position in pool.positions if not isinstance(position.product, SecurityFuture)]
    known, lines = _recognised(p), list[Line]()
    nets = _net(futures)
    for ticker in sorted({ticker_held(product) for product in nets}):
        mine = {product: net for product, net in nets.items() if ticker_held(product) == ticker}
        sides = _legs(mine, 1, inputs), _legs(mine, -1, inputs)
        lines += _of_security(sides, _hedges(ticker, pool, inputs), known, p)
    return total("security_futures requirement", [*lines, *unmodelled(others, "is no security future")])


@frozen
class _Leg:
    """A net position of one sign: units of the security that it stands for, > 0; price and strike, USD per unit."""

    name: str
    units: float
    price: float
    strike: float = 0.0

    def value(self, units: float, name: str = "current market value") -> Line:
        """Return the market value of some of its units, USD."""
        return Line(name, units * self.price)


@frozen
class _Hedges:
    """What is free to hedge contracts on one security: the security short and long, options bought."""

    short_security: list[_Leg]
    long_security: list[_Leg]
    puts: list[_Leg]
    calls: list[_Leg]


# ------------------------------------------------------------------------------------------------------------- pairs


def _of_security(
    sides: tuple[list[_Leg], list[_Leg]], hedges: _Hedges, known: Sequence[str], p: Reader
) -> Iterator[Line]:
    """Yield the lines of one security: each kind of pair in turn, then what is left on its own."""
    longs, shorts = sides
    for units, long, short in _matched(longs, shorts) if CALENDAR in known else ():
        greater = largest("greater market value", [long.value(units, "long"), short.value(units, "short")])
        yield scaled(_pair(long, short), p.calendar_rate, greater, reads=p.taken())
    for futures, shares in ((longs, hedges.short_security), (shorts, hedges.long_security)):
        for units, future, share in _matched(futures, shares) if SECURITY in known else ():
            hedged = scaled("with the security", p.security_rate, share.value(units))
            yield smallest(_pair(future, share), [hedged, _outright(future, units, p)], reads=p.taken())
    for futures, options, sign in ((longs, hedges.puts, 1.0), (shorts, hedges.calls, -1.0)):
        nearest = sorted(options, key=partial(_cost, futures, sign))
        for units, future, option in _matched(futures, nearest) if LONG_OPTION in known else ():
            yield _protected(units, future, option, sign, p=p)
    for leg in (*longs, *shorts):
        yield evolve(_outright(leg, leg.units, p), name=leg.name, reads=p.taken())


def _pair(future: _Leg, other: _Leg) -> str:
    return f"{future.name} against {other.name}"


def _outright(future: _Leg, units: float, p: Reader) -> Line:
    return scaled("outright", p.margin_rate, future.value(units))


def _cost(futures: Sequence[_Leg], sign: float, option: _Leg) -> tuple[float, float]:
    """Return what orders options bought by what a contract with them owes, the least first."""
    price = futures[0].price if futures else 0.0
    return max(0.0, sign * (price - option.strike)), option.strike


def _protected(units: float, future: _Leg, option: _Leg, sign: float, *, p: Reader) -> Line:
    """Return what a contract with an option bought owes: a share of the exercise price and how far that is away."""
    strike = scaled("share of the exercise price", p.exercise_price_rate, Line("exercise price", units * option.strike))
    away = Line("out-of-the-money amount", units * max(0.0, sign * (future.price - option.strike)))
    reached = total("to the exercise price", [strike, away])
    return smallest(_pair(future, option), [reached, _outright(future, units, p)], reads=p.taken())


def _matched(ours: list[_Leg], theirs: list[_Leg]) -> Iterator[tuple[float, _Leg, _Leg]]:
    """Yield pairs in the order of both lists, and leave in them what finds no partner."""
    while ours and theirs:
        mine, other = ours[0], theirs[0]
        units = min(mine.units, other.units)
        yield units, mine, other
        for legs, leg in ((ours, mine), (theirs, other)):
            legs[:1] = [evolve(leg, units=leg.units - units)] if leg.units > units else []


def _recognised(p: Reader) -> Sequence[str]:
    names: Sequence[str] = p.offsets
    p.taken()  # a pair shows what it rests on itself
    problems = Problems()
    for name in set(names) - set(OFFSETS):
        problems.add(f"unknown {name!r}.", where="security_futures, offsets", fix=suggestion(name, OFFSETS))
    problems.raise_if_any()
    return names


# -------------------------------------------------------------------------------------------------- what there is


def _hedges(ticker: str, pool: Pool, inputs: Inputs) -> _Hedges:
    """Return stock and options of the pool's accounts on one security, less what other positions there lean on."""
    nets = _net(position for position in _beside(pool, inputs) if ticker_held(position.product) == ticker)
    shares: dict[Product, float] = {each: net for each, net in nets.items() if isinstance(each, Stock | ETF)}
    options: dict[str, dict[Product, float]] = {"put": {}, "call": {}}
    for product, net in nets.items():
        if isinstance(product, ListedOption):
            options[product.right][product] = net
    long, short = _legs(shares, 1, inputs), _legs(shares, -1, inputs)
    puts, sold_puts = (_legs(options["put"], sign, inputs) for sign in (1, -1))
    calls, sold_calls = (_legs(options["call"], sign, inputs) for sign in (1, -1))
    return _Hedges(
        _less(short, sold_puts),
        _less(long, sold_calls),
        _less(puts, sold_puts, long),
        _less(calls, sold_calls, short),
    )


def _beside(pool: Pool, inputs: Inputs) -> Iterator[Position]:
    """Yield what else lies in the accounts of the pool, under strategy margin and with a price."""
    accounts = {position.account for position in pool.positions}
    for position in inputs.portfolio.positions:
        if position.account in accounts and not isinstance(position.product, SecurityFuture):
            agreements = inputs.portfolio.account_of(position).agreements
            if Agreement.PORTFOLIO_MARGIN not in agreements and not inputs.lacks(position):
                yield position


def _net(positions: Iterable[Position]) -> dict[Product, float]:
    held: dict[Product, list[float]] = {}
    for position in positions:
        held.setdefault(position.product, []).append(position.quantity)
    nets = {product: math.fsum(found) for product, found in held.items()}
    return {product: nets[product] for product in sorted(nets, key=lambda each: each.symbol) if nets[product]}


def _legs(nets: Mapping[Product, float], sign: int, inputs: Inputs) -> list[_Leg]:
    """Return the products held on one side."""
    held = ((product, abs(net)) for product, net in nets.items() if net * sign > 0)
    return [_leg(product, size, inputs) for product, size in held]


def _leg(product: Product, size: float, inputs: Inputs) -> _Leg:
    if isinstance(product, ListedOption):
        return _Leg(product.symbol, size * product.units, inputs.prices[product], product.strike)
    units = product.multiplier if isinstance(product, SecurityFuture) else 1.0
    return _Leg(product.symbol, size * units, inputs.prices[product])


def _less(legs: list[_Leg], *leaning: list[_Leg]) -> list[_Leg]:
    """Return what is left of the legs when as many units as others need are taken from the first."""
    left, needed = list(legs), [_Leg("needed", math.fsum(leg.units for held in leaning for leg in held), 0.0)]
    if needed[0].units:
        list(_matched(left, needed))
    return left
