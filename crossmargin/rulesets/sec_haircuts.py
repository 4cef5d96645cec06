"""SEC net capital deductions ("haircuts") on a dealer's own positions, 17 CFR 240.15c3-1 and 15c3-1a.

Call `requirement` with a pool of the firm's own positions, or one deduction alone: `government_deduction`,
`equity_deduction`, `concentrated_position`, `market_maker_account`, `grid_charge`. Each answers in lines that explain
themselves. These are deductions from the firm's capital, not margin: nobody receives them, they never add to a
requirement, and no regime of the library draws a pool for them. Corporate and municipal debt, hedged debt, repo
deficits, futures, aged fails and the reserve formula are not here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from attrs import evolve, frozen

from crossmargin.class_groups import ClassGroup, Grid, by_class, class_groups
from crossmargin.errors import InputError, Problem, Problems, counted, suggestion
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.offset_groups import class_charge, offset_charge
from crossmargin.parameters import Reader
from crossmargin.pnl import revalue
from crossmargin.portfolio import Pool, Position
from crossmargin.products import Product
from crossmargin.products.calendars import add_months
from crossmargin.products.equities import ETF, SecurityFuture, Stock, ticker_of
from crossmargin.products.lifetime import expiry_of
from crossmargin.products.options import ListedOption
from crossmargin.products.treasuries import TIPS, TREASURY_SECURITIES
from crossmargin.results import Line, largest, not_modelled, scaled, smallest, total
from crossmargin.scenarios import ScenarioSpec, grid_scenarios

Row = Mapping[str, Any]


@frozen
class GovernmentPosition:
    """Government securities of one maturity: months to go, and market values long and short, USD without sign."""

    maturity_months: float
    long_market_value: float = 0.0
    short_market_value: float = 0.0


# -------------------------------------------------------------------------------------------- government securities


def months_to_maturity(as_of: date, maturity: date) -> int:
    """Return the full months from a date to a maturity, which place a security in its bucket.

    Examples
    --------
    >>> (
    ...     months_to_maturity(date(2026, 6, 30), date(2027, 6, 29)),
    ...     months_to_maturity(date(2026, 6, 30), date(2027, 6, 30)),
    ... )
    (11, 12)
    """
    if maturity < as_of:
        raise InputError([Problem(f"{maturity} is before {as_of}.", "maturity", "Leave out what has matured.")])
    months = (maturity.year - as_of.year) * _MONTHS + maturity.month - as_of.month
    return months if add_months(as_of, months) <= maturity else months - 1


_MONTHS = 12  # literal: months in a year


def government_deduction(positions: Iterable[GovernmentPosition], p: Reader) -> Line:
    """Return the deduction on US government securities, USD: the sum over the maturity categories.

    Long and short of one bucket net first. In a category the deductions on net longs and on net shorts are set against
    each other, and a share of the lesser is added. Categories do not offset.

    References
    ----------
    17 CFR 240.15c3-1(c)(2)(vi)(A)(1) and (2).

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> p = rules("sec_haircuts").at(date(2026, 7, 1))
    >>> held = [GovernmentPosition(48, 1e6), GovernmentPosition(84, short_market_value=1e6)]
    >>> government_deduction(held, p).value
    25000.0
    """
    held = list(positions)
    _check_governments(held)
    table: Sequence[Row] = p.government_haircuts
    categories = dict.fromkeys(row["category"] for row in table)
    share, reads = p.lesser_share, p.taken()
    nets = _net_by_bucket(held, table)
    lines = [
        _category(category, [pair for pair in nets if pair[0]["category"] == category], share)
        for category in categories
    ]
    return total("deduction on government securities", lines, reads=reads)


# ------------------------------------------------------------------------------- equities and undue concentration


def equity_deduction(long_market_value: float, short_market_value: float, p: Reader) -> Line:
    """Return the deduction on a dealer's equities, USD.

    A share of the greater of longs and shorts, and of the lesser as far as it is above a part of the greater.

    References
    ----------
    17 CFR 240.15c3-1(c)(2)(vi)(J).

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> equity_deduction(1e6, 400000.0, rules("sec_haircuts").at(date(2026, 7, 1))).value
    172500.0
    """
    _check_amounts(long_market_value=long_market_value, short_market_value=short_market_value)
    sides = [Line("long market value", long_market_value), Line("short market value", short_market_value)]
    greater, lesser = largest("greater side", sides), smallest("lesser side", sides)
    free = scaled("free of deduction", p.equity_lesser_exclusion, greater)
    charged = total("charged", [greater, _excess("lesser side above the free part", lesser, free)])
    return scaled("deduction on equities", p.equity_haircut, charged, reads=p.taken())


def equity_rates(p: Reader) -> tuple[float, float]:
    """Return the deduction and the further deduction on the concentrated part of a position in equities, shares."""
    return p.equity_haircut, p.concentration_equity_rate


def other_rates(base_rate: float, p: Reader) -> tuple[float, float]:
    """Return the same for most other securities, whose own deduction is `base_rate`."""
    return base_rate, base_rate * p.concentration_rate_share


def concentrated_position(
    market_value: float, tentative_net_capital: float, p: Reader, *, rates: tuple[float, float]
) -> Line:
    """Return the deduction on the position in one issuer, with what its undue concentration adds, USD.

    Parameters
    ----------
    market_value : float
        Of the position, long or short, USD without sign.
    tentative_net_capital : float
        Net capital before deductions, USD. With none, the whole position is concentrated.
    rates : tuple of two floats
        Its own deduction and the further one, shares of market value: see `equity_rates` and `other_rates`.

    Notes
    -----
    Government securities and redeemable shares of funds bear no further deduction: do not ask for them here.

    References
    ----------
    17 CFR 240.15c3-1(c)(2)(vi)(M).

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> p = rules("sec_haircuts").at(date(2026, 7, 1))
    >>> concentrated_position(800000.0, 5e6, p, rates=equity_rates(p)).value
    165000.0
    """
    base_rate, further_rate = rates
    _check_amounts(market_value=market_value, base_rate=base_rate, concentration_rate=further_rate)
    _check_finite(tentative_net_capital=tentative_net_capital)
    value = Line("market value", market_value)
    capital = Line("tentative net capital", max(0.0, tentative_net_capital))
    threshold = scaled("concentration threshold", p.concentration_share, capital)
    excess = _excess("concentration excess", value, threshold)
    base = scaled("base deduction", base_rate, value)
    further = scaled("concentration deduction", further_rate, excess)
    return total("deduction on the position", [base, further], reads=p.taken())


def market_maker_account(long_market_value: float, short_market_value: float, account_equity: float, p: Reader) -> Line:
    """Return what a firm deducts for a market-maker account that it carries: the equity the account lacks, USD.

    References
    ----------
    17 CFR 240.15c3-1(c)(2)(x).

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> market_maker_account(4e7, 1e7, 1.1e7, rules("sec_haircuts").at(date(2026, 7, 1))).value
    2000000.0
    """
    _check_amounts(long_market_value=long_market_value, short_market_value=short_market_value)
    _check_finite(account_equity=account_equity)
    on_long = scaled("on longs", p.market_maker_long_rate, Line("long market value", long_market_value))
    on_short = scaled("on shorts", p.market_maker_short_rate, Line("short market value", short_market_value))
    required = total("required equity", [on_long, on_short], reads=p.taken())
    return _excess("deduction for the account", required, Line("account equity", account_equity))


# --------------------------------------------------------------------------------------------------- valuation grid


def grid_moves(kind: str, p: Reader) -> tuple[float, ...]:
    """Return the moves of the underlying at which options are revalued, shares of its price, lowest first.

    References
    ----------
    17 CFR 240.15c3-1a(b)(1); ranges recalled, see `sec_haircuts.toml`.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> moves = grid_moves("broad_index_high_cap", rules("sec_haircuts").at(date(2026, 7, 1)))
    >>> [round(move, 4) for move in moves]
    [-0.08, -0.064, -0.048, -0.032, -0.016, 0.012, 0.024, 0.036, 0.048, 0.06]
    """
    return tuple(_grid(p).moves(kind).tolist())


def grid_charge(groups: Sequence[ClassGroup], p: Reader) -> Line:
    """Return the deduction on options and what hedges them, for class groups of one kind, USD.

    The largest loss over the points, but not less than an amount for each option contract. Where the kind has an
    offset, that share of the gains of some groups offsets the losses of others at the same point; without one the
    groups add up.

    References
    ----------
    17 CFR 240.15c3-1a(b)(1); offsets and minimum recalled, see `sec_haircuts.toml`.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> p = rules("sec_haircuts").at(date(2026, 7, 1))
    >>> grid_charge([ClassGroup("XYZ", "equity", [-500.0, *[0.0] * 9], contract_units=200.0)], p).value
    500.0
    """
    if not groups:
        return Line("deduction on options", 0.0)
    _check_groups(groups, p)
    kind = groups[0].kind
    offset = _row_of_kind(kind, p.valuation_offsets)["offset"]
    charges = [class_charge(group, p.valuation_minimum) for group in groups]
    if offset:
        charges = [offset_charge(f"classes of kind {kind}", charges, offset)]
    return total("deduction on options", [charge.line for charge in charges], reads=p.taken())


def _grid(p: Reader) -> Grid:
    return Grid(ranges=p.valuation_ranges, points_each_side=p.valuation_points_each_side)


# ---------------------------------------------------------------------------------------------- as a pool's rule-set


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: the deductions are tables and a grid."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the deduction from the firm's net capital for a pool of its own positions, USD: no margin of anybody's.

    Governments at today's value by maturity; stock and funds of classes without options by the equity deduction, with
    what undue concentration adds; everything in a class with options or security futures by the valuation grid.

    References
    ----------
    17 CFR 240.15c3-1(c)(2)(vi)(A), (J) and (M); 240.15c3-1a.
    """
    name, note = "sec_haircuts deduction", "a deduction from the firm's net capital, not margin"
    if pool.account_class.origin != "house":
        return total(name, unmodelled(pool.positions, "a customer's position, not the firm's own"), note=note)
    governments = _governments(pool.positions, inputs)
    classes = by_class(pool.positions, inputs)
    hedged = {each: mine for each, mine in classes.items() if any(_derivative(held.product) for held in mine)}
    outright = [held for each, mine in classes.items() if each not in hedged for held in mine]
    options = [held for mine in hedged.values() for held in mine]
    done = {held.id for held in (*governments, *outright, *options)}
    others = [held for held in pool.positions if held.id not in done]
    lines = [
        government_deduction(governments.values(), p),
        *_equities(pool, outright, inputs, p),
        *_options(options, inputs, p),
        *unmodelled(others, "no deduction for this product here"),
    ]
    return total(name, lines, note=note)


def _derivative(product: Product) -> bool:
    return isinstance(product, ListedOption | SecurityFuture)


def _governments(positions: Iterable[Position], inputs: Inputs) -> dict[Position, GovernmentPosition]:
    """Return the Treasury securities that can be valued today, each at its market value."""
    held = [each for each in positions if _is_valued_government(each.product, inputs)]
    if not held:
        return {}
    today = revalue([each.product for each in held], inputs.market, grid_scenarios((), [0.0]))
    values = dict(zip(today.products, (today.base + today.basis).tolist(), strict=True))
    return {each: _government(each, values[each.product], inputs.as_of) for each in held}


def _is_valued_government(product: Product, inputs: Inputs) -> bool:
    real = inputs.market.real_curve is not None
    return isinstance(product, TREASURY_SECURITIES) and (real or not isinstance(product, TIPS))


def _government(held: Position, unit_value: float, as_of: date) -> GovernmentPosition:
    months = months_to_maturity(as_of, expiry_of(held.product))
    value = held.quantity * unit_value
    return GovernmentPosition(months, max(0.0, value), max(0.0, -value))


def _equities(pool: Pool, positions: Sequence[Position], inputs: Inputs, p: Reader) -> Iterable[Line]:
    """Yield the deduction on shares held without options, and what undue concentration adds to each issuer's."""
    shares = [held for held in positions if isinstance(held.product, Stock | ETF)]
    yield from unmodelled([held for held in positions if held not in shares], "no deduction for warrants here")
    if not shares:
        return
    values: dict[Stock | ETF, list[float]] = {}
    for held in shares:
        if isinstance(held.product, Stock | ETF):
            values.setdefault(held.product, []).append(held.quantity * inputs.prices[held.product])
    nets = {share: math.fsum(values[share]) for share in sorted(values, key=ticker_of)}
    longs = math.fsum(value for value in nets.values() if value > 0)
    yield equity_deduction(longs, math.fsum(-value for value in nets.values() if value < 0), p)
    stocks = {share.ticker: abs(value) for share, value in nets.items() if isinstance(share, Stock)}
    yield _concentration(stocks, pool.firm, p)


def _concentration(stocks: Mapping[str, float], firm: str, p: Reader) -> Line:
    """Return what undue concentration adds for single stocks, where the firm's tentative net capital is known."""
    name, capital = "undue concentration", {row["firm"]: row["usd"] for row in p.tentative_net_capital}
    if firm not in capital:
        why = f"the tentative net capital of {firm!r} is not known: overlay tentative_net_capital"
        return not_modelled(name, why, reads=p.taken())
    asked = {
        ticker: concentrated_position(value, capital[firm], p, rates=equity_rates(p))
        for ticker, value in stocks.items()
    }
    parts = [evolve(line.part("concentration deduction"), name=each, reads=line.reads) for each, line in asked.items()]
    return total(name, parts)


def _options(positions: Sequence[Position], inputs: Inputs, p: Reader) -> Iterable[Line]:
    """Yield the deduction on each kind of classes that hold options or security futures."""
    groups = class_groups(positions, inputs, _grid(p))
    for kind in dict.fromkeys(group.kind for group in groups):
        line = grid_charge([group for group in groups if group.kind == kind], p)
        yield evolve(line, name=f"{line.name} of kind {kind}")


# ------------------------------------------------------------------------------------------------------------ pieces


def _net_by_bucket(held: Iterable[GovernmentPosition], table: Sequence[Row]) -> list[tuple[Row, float]]:
    """Return each bucket's net market value, long > 0, shortest maturity first."""
    rows = sorted(table, key=lambda row: float(row["from_months"]))
    nets: list[list[float]] = [[] for _ in rows]
    for position in held:
        months = position.maturity_months
        at = sum(row["from_months"] <= months for row in rows) - 1
        if at < 0:
            raise InputError([Problem(f"no bucket holds {months} months.", "government_haircuts", "Begin it at 0.")])
        nets[at] += [position.long_market_value, -position.short_market_value]
    return [(row, math.fsum(values)) for row, values in zip(rows, nets, strict=True)]


def _category(category: int, nets: Sequence[tuple[Row, float]], share: float) -> Line:
    sides = [_side("long", +1.0, nets), _side("short", -1.0, nets)]
    lesser = smallest("lesser side", sides)
    net = total("net", [largest("greater side", sides), scaled("less the lesser", -1.0, lesser)])
    return total(f"category {category}", [net, scaled("share of the lesser", share, lesser)])


def _side(name: str, sign: float, nets: Sequence[tuple[Row, float]]) -> Line:
    found = [(row, sign * net) for row, net in nets if sign * net > 0]
    lines = [
        scaled(f"from {row['from_months']} months", row["rate"], Line("net market value", net)) for row, net in found
    ]
    return total(f"{name} deductions", lines)


def _row_of_kind(kind: str, table: Iterable[Row]) -> Row:
    rows = {row["kind"]: row for row in table}
    if kind not in rows:
        raise InputError([Problem(f"unknown kind {kind!r} of underlying.", "valuation grid", suggestion(kind, rows))])
    found: Row = rows[kind]
    return found


def _excess(name: str, over: Line, under: Line) -> Line:
    """Return what one line has over another, and 0 when it has less."""
    difference = total("difference", [over, scaled(f"less {under.name}", -1.0, under)])
    return largest(name, [difference, Line("nothing", 0.0)])


def _check_governments(held: Iterable[GovernmentPosition]) -> None:
    problems = Problems()
    for number, position in enumerate(held):
        for name in ("maturity_months", "long_market_value", "short_market_value"):
            amount = getattr(position, name)
            if not (math.isfinite(amount) and amount >= 0):
                problems.add(f"{name} is {amount}.", where=f"positions[{number}]", fix="Give 0 or more, without sign.")
    problems.raise_if_any("The government securities bear no deduction as given")


def _check_groups(groups: Sequence[ClassGroup], p: Reader) -> None:
    """Refuse groups that do not fit the grid, or not together."""
    moves = grid_moves(groups[0].kind, p)
    problems = Problems()
    for group in groups:
        if group.kind != groups[0].kind:
            fix = "Charge each kind on its own: kinds do not offset."
            problems.add(f"is of kind {group.kind!r}, others of {groups[0].kind!r}.", where=group.name, fix=fix)
        if len(group.pnl) != len(moves):
            problems.add(
                f"has {counted(len(group.pnl), 'result')}.", where=group.name, fix=f"Give one for each of {moves}."
            )
        if not all(math.isfinite(number) for number in (*group.pnl, group.contract_units)) or group.contract_units < 0:
            problems.add("holds no numbers to charge.", where=group.name, fix="Give finite results, contracts >= 0.")
    problems.raise_if_any("The class groups cannot be charged together")


def _check_amounts(**amounts: float) -> None:
    problems = Problems()
    for name, amount in amounts.items():
        if not (math.isfinite(amount) and amount >= 0):
            problems.add(f"{amount} is no amount.", where=name, fix="Give a finite number without a sign.")
    problems.raise_if_any()


def _check_finite(**amounts: float) -> None:
    problems = Problems()
    for name, amount in amounts.items():
        if not math.isfinite(amount):
            problems.add(f"{amount} is no amount.", where=name, fix="Give a finite number of USD.")
    problems.raise_if_any()
