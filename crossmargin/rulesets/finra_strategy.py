"""Regulation T and FINRA Rule 4210: strategy-based margin of stock and listed options, at the least total.

Call `strategy_margin` with a `StrategyBook`; `order_effect` says what an order changes. `requirement` cuts a pool into
such books (`crossmargin.pairing.pools`) and margins each. Initial and maintenance requirements are each minimised over
every admissible pairing (see `crossmargin.pairing`), and each carries a bound that no pairing can go below. Portfolio
margin, minimum equity and calls are not here. A broker's stricter rates are overlays:
`rules("finra_strategy").with_values(option_rate=0.25, because="house rate")`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date

from attrs import evolve, frozen

from crossmargin.errors import Problems
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.pairing import Contracts, Group, Hedge, Pairing, pair, strategy_name
from crossmargin.pairing.book import OptionLeg, StrategyBook
from crossmargin.pairing.pools import Cover, PooledBook, Quotes, books_of, covered
from crossmargin.parameters import Reader, Rules
from crossmargin.portfolio import Pool
from crossmargin.pricing.shares import spot_of
from crossmargin.products import ETF, ListedOption, Product, Stock
from crossmargin.results import Line, scaled, total
from crossmargin.scenarios import ScenarioSpec
from crossmargin.strategy_costs import (
    exposure,
    initial_hedges,
    initial_per_share,
    maintenance_hedges,
    maintenance_per_share,
)
from crossmargin.underlyings import ticker_held


@frozen
class StrategyMargin:
    """What an account must hold for one book under strategy-based rules, USD.

    Parameters
    ----------
    initial, maintenance
        Requirement on stock and short options, group by group. Each holds the market value of naked short options
        and neither the cost of long options nor the proceeds of a short sale.
    gross_requirement
        The initial requirement and what must be paid for long options.
    premium_credit
        Market value of the short options, counted as money received.
    net_deposit
        The gross requirement less the premium credit; negative when money is left over.
    initial_bound, maintenance_bound
        What no admissible pairing can go below; the requirements themselves where the search was finished.
    initial_pairing, maintenance_pairing
        Groups and proof behind the two; None in a cash account, where nothing is paired.
    """

    initial: Line
    maintenance: Line
    gross_requirement: Line
    premium_credit: Line
    net_deposit: Line
    initial_bound: float
    maintenance_bound: float
    initial_pairing: Pairing | None = None
    maintenance_pairing: Pairing | None = None


@frozen
class OrderEffect:
    """What an order changes: margin before and after, and the cash it needs (negative = cash freed), USD."""

    before: StrategyMargin
    after: StrategyMargin
    cash_needed: float
    accepted: bool


def strategy_margin(
    book: StrategyBook, rules: Rules, as_of: date, *, time_limit: float | None = None
) -> StrategyMargin:
    """Return the least initial and the least maintenance requirement of a book, with their groups and bounds.

    Parameters
    ----------
    book
        Stock and options on one underlying.
    rules
        `registry.rules("finra_strategy")`, with overlays for a broker's own rates.
    as_of
        The date whose rules apply.
    time_limit
        Seconds for each search, as in `pairing.pair`; None for no limit. One that was cut short says so and gives its
        gap.

    Raises
    ------
    InputError
        A cash account holds what it may not: short stock, or short calls without stock.
    NotInForce
        A rate has no value on the date.

    References
    ----------
    12 CFR 220.4(b)(4) and 220.12; FINRA Rule 4210(c) and (f)(2).

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> legs = [OptionLeg(-1, "put", 430, 7.8, 30), OptionLeg(1, "put", 425, 6.4, 30)]
    >>> margin = strategy_margin(StrategyBook("broad_index", 433.35, legs), rules("finra_strategy"), date(2026, 6, 30))
    >>> margin.initial.amount, margin.net_deposit.amount, margin.initial.parts[0].name
    (500.0, 360.0, 'bull put vertical')
    """
    return _margin(book, rules.at(as_of), time_limit)


def _margin(book: StrategyBook, p: Reader, time_limit: float | None) -> StrategyMargin:
    if book.account_type == "cash":
        return _cash_account(book, p)
    initial = _initial(book, p, time_limit)
    # without stock both minimise the same costs
    maintenance = _maintenance(book, p, time_limit) if book.shares else initial
    return _with_premiums(book, p, initial, maintenance)


def order_effect(
    book: StrategyBook,
    order: Iterable[OptionLeg],
    cash_available: float,
    *,
    rules: Rules,
    as_of: date,
    time_limit: float | None = None,
) -> OrderEffect:
    """Return what an order changes and whether the cash available, USD, is enough for it.

    `time_limit` is that of `strategy_margin`, for each search before and after the order.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> book = StrategyBook("equity", 45, [OptionLeg(-1, "call", 47, 2.1, 30)])
    >>> order = [OptionLeg(-1, "put", 43, 1.2, 30)]
    >>> effect = order_effect(book, order, 0.0, rules=rules("finra_strategy"), as_of=date(2026, 6, 30))
    >>> effect.before.initial.amount, effect.after.initial.amount, effect.cash_needed, effect.accepted
    (910.0, 1030.0, 0.0, True)
    """
    before = strategy_margin(book, rules, as_of, time_limit=time_limit)
    after = strategy_margin(book.with_order(order), rules, as_of, time_limit=time_limit)
    needed = after.net_deposit.value - before.net_deposit.value
    enough = cash_available >= needed or math.isclose(cash_available, needed, abs_tol=_CENT_LOST)
    return OrderEffect(before, after, needed, enough)


_WAYS = 8  # literal: divisions of shares between a fund and its index that are tried
_CENT_LOST = 1e-6  # literal: USD, the same cents added in another order


# ------------------------------------------------------------------------------------- as a pool's rule-set


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenario set: strategy rules are tables, not simulations."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the maintenance requirement of a pool: one line for each book that it is cut into, USD.

    What lies in a cash account is in books of its own: nothing there covers what is held on margin.

    Beside each line, and beside the sum, stand initial and gross requirement, premium credit, net deposit and what
    neither requirement can be lower than. Today's price stands in for that of the trade. A search ends after
    `solver_seconds`; what a longer one could still save is then said. Warrants are not modelled, nor are options
    whose underlying has no price.

    Raises
    ------
    InputError
        With every option that has no price, is held in parts of a contract or has expired.
    """
    spots = {ticker: spot for ticker in inputs.securities if (spot := spot_of(ticker, inputs.market)) is not None}
    quotes = Quotes(inputs.as_of, inputs.prices, spots, inputs.securities)
    lacking = {position.id: _lacks(position.product, quotes) for position in pool.positions}
    held = [position for position in pool.positions if not lacking[position.id]]
    on_margin = [position for position in held if not inputs.portfolio.account_of(position).cash]
    for_cash = [position for position in held if inputs.portfolio.account_of(position).cash]
    books = books_of(on_margin, quotes, funds_cover_calls=p.fund_covers_index_calls)
    reads = p.taken()
    paid = [_timed(_in_cash(each), p) for each in books_of(for_cash, quotes, funds_cover_calls=False)]
    lines = [_book_line(each) for each in (*_margined(books, p), *paid)]
    rest = [line for each in pool.positions if lacking[each.id] for line in unmodelled([each], lacking[each.id])]
    memo = [_flat(total(beside[0].name, beside)) for beside in zip(*(line.memo for line in lines), strict=True)]
    note = "maintenance, at today's prices"
    return total("finra_strategy requirement", [*lines, *rest], reads=reads, memo=memo, note=note)


def _in_cash(each: PooledBook) -> PooledBook:
    return evolve(each, name=f"{each.name}, cash account", book=evolve(each.book, account_type="cash"))


def _lacks(product: Product, quotes: Quotes) -> str:
    """Say why a product cannot be margined here, "" when it can."""
    if not isinstance(product, Stock | ETF | ListedOption):
        return "strategy margin takes stock, funds and listed options"
    ticker = ticker_held(product)
    return "" if ticker in quotes.spots else f"the market has no price of {ticker}"


@frozen
class _Margined:
    """A book of a pool, its margin and what else is to be said of it."""

    pooled: PooledBook
    margin: StrategyMargin
    said: str = ""


def _margined(books: Iterable[PooledBook], p: Reader) -> list[_Margined]:
    """Margin every book, those of an index and of the fund whose shares may cover its calls together."""
    by_name = {each.name: each for each in books}
    found: dict[str, _Margined] = {}
    for index in by_name.values():
        if index.cover is not None:
            both = _shared(by_name[index.cover.fund], index, index.cover, p)
            found |= {each.pooled.name: each for each in both}
    alone = (each for each in by_name.values() if each.name not in found)
    found |= {each.name: _timed(each, p) for each in alone}
    return [found[name] for name in by_name]


def _timed(each: PooledBook, p: Reader) -> _Margined:
    limit = p.solver_seconds
    clock = p.taken()  # has a say only where it ended a search
    margin = _margin(each.book, p, limit)
    searches = [found for found in (margin.initial_pairing, margin.maintenance_pairing) if found is not None]
    if any(not found.complete for found in searches):
        kept = margin.maintenance
        margin = evolve(margin, maintenance=evolve(kept, reads=(*kept.reads, *clock)))
    return _Margined(each, margin)


def _shared(fund: PooledBook, index: PooledBook, cover: Cover, p: Reader) -> tuple[_Margined, _Margined]:
    """Margin both books with the shares divided so that they cost least together, initial and maintenance on its own.

    Every number of lots is tried, or that many spread evenly. The bound of both then stands with the index.
    """
    span = cover.most - cover.free
    counts = sorted({cover.free + round(span * step / _WAYS) for step in range(_WAYS + 1)})
    ways = [[_timed(each, p) for each in covered(fund, index, count)] for count in counts]
    best = {name: min(ways, key=lambda way: _both(way, name)) for name in ("initial", "maintenance")}
    lows = {name: _both_bound(ways, name, missed=span > _WAYS, free_lots=span * cover.lot, p=p) for name in best}
    opened, kept = best["initial"], best["maintenance"]
    chosen = [_combined(one.margin, other.margin) for one, other in zip(opened, kept, strict=True)]
    last = evolve(
        chosen[1],
        initial_bound=lows["initial"] - chosen[0].initial_bound,
        maintenance_bound=lows["maintenance"] - chosen[0].maintenance_bound,
    )
    said = f"{fund.name} and {index.name} together cannot be lower than {lows['maintenance']:,.2f} USD"
    return _Margined(kept[0].pooled, chosen[0]), _Margined(kept[1].pooled, last, said)


def _both(way: Iterable[_Margined], name: str) -> float:
    return math.fsum(getattr(each.margin, name).value for each in way)


def _both_bound(ways: list[list[_Margined]], name: str, *, missed: bool, free_lots: float, p: Reader) -> float:
    """Return what no division of the shares goes below: the least bound tried or, where some were missed, a looser one.

    The looser one gives the shares in dispute to both books and takes off what they cost alone: a share that serves
    nobody can always be added at that price, so neither book can be cheaper by more.
    """
    bound = f"{name}_bound"
    if not missed:
        return min(math.fsum(getattr(each.margin, bound) for each in way) for way in ways)
    share = initial_per_share if name == "initial" else maintenance_per_share
    alone = free_lots * share(ways[0][0].pooled.book, p)
    p.taken()
    return float(getattr(ways[0][0].margin, bound) + getattr(ways[-1][1].margin, bound) - alone)


def _combined(opened: StrategyMargin, kept: StrategyMargin) -> StrategyMargin:
    """Return the one's initial and the other's maintenance figures."""
    return evolve(
        opened,
        maintenance=kept.maintenance,
        maintenance_bound=kept.maintenance_bound,
        maintenance_pairing=kept.maintenance_pairing,
    )


def _book_line(each: _Margined) -> Line:
    """Return the maintenance line of one book with the other figures beside it."""
    margin = each.margin
    memo = [
        margin.initial,
        evolve(_flat(margin.gross_requirement), reads=margin.gross_requirement.all_reads()),
        *(_flat(line) for line in (margin.premium_credit, margin.net_deposit)),
        Line("initial requirement, cannot be lower than", margin.initial_bound),
        Line("maintenance requirement, cannot be lower than", margin.maintenance_bound),
    ]
    note = "; ".join(filter(None, (*each.pooled.notes, each.said, margin.maintenance.note)))
    return evolve(margin.maintenance, name=each.pooled.name, memo=memo, note=note)


def _flat(line: Line) -> Line:
    """Return a figure that is explained elsewhere."""
    return Line(line.name, line.amount)


# ------------------------------------------------------------------------------------------- least total


@frozen
class _Least:
    """A requirement, what it cannot be lower than, and the groups behind it."""

    line: Line
    bound: float
    pairing: Pairing | None = None


def _initial(book: StrategyBook, p: Reader, time_limit: float | None) -> _Least:
    share = initial_per_share(book, p)
    return _least(book, p, share=share, hedges=initial_hedges(book, p), time_limit=time_limit)


def _maintenance(book: StrategyBook, p: Reader, time_limit: float | None) -> _Least:
    share = maintenance_per_share(book, p)
    return _least(book, p, share=share, hedges=maintenance_hedges(book, p), time_limit=time_limit)


def _least(book: StrategyBook, p: Reader, *, share: float, hedges: Iterable[Hedge], time_limit: float | None) -> _Least:
    """Return the cheapest pairing when a share alone costs `share` and stock may form `hedges`."""
    legs = book.netted
    contracts = _contracts(book, legs, p, share=share, hedges=hedges)
    cut = pair(contracts, time_limit=time_limit)
    parts = [_group_line(book, contracts, group, p) for group in cut.groups]
    alone = book.odd_shares * share
    if book.odd_shares:
        parts.append(Line("odd shares alone", alone, note=f"{book.odd_shares:g} shares, no round lot: cover nothing"))
    return _Least(total("", parts, reads=p.taken(), note=_proof(cut, alone)), cut.bound + alone, cut)


def _proof(cut: Pairing, alone: float) -> str:
    """Return what is proven of the total: `alone` is the part that no pairing can change."""
    how = {"duality": "by duality", "search": "by branch and bound"}[cut.proof]
    said = f"cannot be lower than {cut.bound + alone:,.2f} USD ({how})"
    return said if cut.optimal else f"{said}; the search was cut short, {cut.gap:,.2f} USD may be saved"


def _contracts(
    book: StrategyBook, legs: tuple[OptionLeg, ...], p: Reader, *, share: float, hedges: Iterable[Hedge]
) -> Contracts:
    return Contracts(
        [leg.quantity for leg in legs],
        [leg.right == "call" for leg in legs],
        [leg.strike for leg in legs],
        [leg.expiry_rank for leg in legs],
        [book.multiplier * leg.price for leg in legs],
        [book.multiplier * exposure(book, leg, p).value for leg in legs],
        multiplier=book.multiplier,
        lots=book.lots,
        lot_cost=book.lot_shares * share,
        hedges=hedges,
    )


# ------------------------------------------------------------------------------------------------- lines


def _group_line(book: StrategyBook, contracts: Contracts, group: Group, p: Reader) -> Line:
    """Return the requirement of one group, named as traders would."""
    legs = book.netted
    held = ", ".join(_said(legs[place], count) for place, count in group.legs)
    if group.kind == "spread":
        name = strategy_name(contracts, group.legs)
        where = f"largest loss, at an underlying price of {group.worst_price:,.10g}"
        return total(name, [Line(where if group.cost else "no loss at any price", group.cost)], note=held)
    if group.kind in ("naked", "straddle"):
        return _uncovered_line(book, [(legs[place], -count) for place, count in group.legs], held, p)
    if group.hedge is not None:
        name = contracts.hedges[group.hedge].name
        return Line(name, group.cost, note=f"lots of stock: {group.lots}, {held}")
    if group.kind == "stock":
        return Line("stock alone", group.cost, note=f"lots of stock: {group.lots}")
    return Line("long option alone", 0.0, note=held)


def _uncovered_line(book: StrategyBook, shorts: list[tuple[OptionLeg, int]], held: str, p: Reader) -> Line:
    """Return the requirement of naked options: the dearer one's, which comes first, and the value of the other."""
    (dearer, count), *_ = shorts
    values = [Line(f"value of the {leg.right}", leg.price) for leg, _ in shorts]
    unit = total("per unit", [values[0], exposure(book, dearer, p), *values[1:]])
    strikes = {leg.strike for leg, _ in shorts}
    together = "short straddle" if len(strikes) == 1 else "short strangle"
    name = together if len(shorts) > 1 else f"naked {dearer.right}"
    return scaled(name, count * book.multiplier, unit, note=held)


def _said(leg: OptionLeg, count: int) -> str:
    return f"{count:+d} {leg.right} {leg.strike:,.10g} {leg.days_to_expiry:g} d"


def _with_premiums(book: StrategyBook, p: Reader, initial: _Least, maintenance: _Least) -> StrategyMargin:
    """Return the result, premiums paid and received added."""
    legs = book.netted
    opening = evolve(initial.line, name="initial requirement")
    paid = total("long options", [_paid(book, leg, p) for leg in legs if leg.quantity > 0], reads=p.taken())
    received = [Line(_said(leg, round(leg.quantity)), _value(book, leg)) for leg in legs if leg.quantity < 0]
    credit = total("premium credit", received)
    gross = total("gross requirement", [opening, paid])
    return StrategyMargin(
        opening,
        evolve(maintenance.line, name="maintenance requirement"),
        gross,
        credit,
        total("net deposit", [gross, scaled("less premium", -1, credit)]),
        initial_bound=initial.bound,
        maintenance_bound=maintenance.bound,
        initial_pairing=initial.pairing,
        maintenance_pairing=maintenance.pairing,
    )


def _value(book: StrategyBook, leg: OptionLeg) -> float:
    return abs(leg.quantity) * book.multiplier * leg.price


def _paid(book: StrategyBook, leg: OptionLeg, p: Reader) -> Line:
    """Return what must be paid for a long option: less than all of it only when it is long-dated, on margin."""
    cash = book.account_type == "cash"
    long_dated = leg.days_to_expiry > p.long_dated_days and not cash
    rate = p.long_dated_rate if long_dated else p.long_option_rate
    return scaled(_said(leg, round(leg.quantity)), rate, Line("market value", _value(book, leg)))


# ------------------------------------------------------------------------------------------ cash account


def _cash_account(book: StrategyBook, p: Reader) -> StrategyMargin:
    """Return what a cash account deposits: stock in full, short puts at their exercise price, nothing on credit."""
    legs = book.netted
    _check_cash_account(book, legs)
    rate = p.cash_account_rate
    parts = [
        scaled(f"secured put: {_said(leg, round(leg.quantity))}", rate, Line("exercise price", _exercise(book, leg)))
        for leg in legs
        if leg.quantity < 0 and leg.right == "put"
    ]
    if book.shares:
        parts.append(scaled("stock in full", rate, Line("market value", book.shares * book.share_price)))
    line = total("", parts, reads=p.taken(), note="cash account: nothing is paired")
    held = _Least(line, line.value)
    return _with_premiums(book, p, held, held)


def _exercise(book: StrategyBook, leg: OptionLeg) -> float:
    return abs(leg.quantity) * book.multiplier * leg.strike


def _check_cash_account(book: StrategyBook, legs: tuple[OptionLeg, ...]) -> None:
    problems = Problems()
    calls = sum(-leg.quantity for leg in legs if leg.quantity < 0 and leg.right == "call")
    if book.shares < 0:
        problems.add(f"{book.shares:g} shares.", where="cash account, stock", fix="Short stock needs a margin account.")
    if calls > (book.lots if book.shares > 0 else 0):
        what = f"{calls:g} short calls, {book.lots} lots of stock."
        problems.add(what, where="cash account, options", fix="Cover every call with stock, or use a margin account.")
    problems.raise_if_any()
