"""Regulation T and FINRA Rule 4210: strategy-based margin of stock and listed options, at the least total.

Call `strategy_margin` with a `StrategyBook`; `order_effect` says what an order changes. Initial and maintenance
requirements are each minimised over every admissible pairing (see `crossmargin.pairing`), and each carries a bound
that no pairing can go below. Portfolio margin, minimum equity and calls are not here. A broker's stricter rates are
overlays: `rules("finra_strategy").with_values(option_rate=0.25, because="house rate")`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import date

from attrs import evolve, frozen

from crossmargin.errors import Problems
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.pairing import Contracts, Group, Hedge, Pairing, pair, strategy_name
from crossmargin.pairing.book import OptionLeg, StrategyBook
from crossmargin.parameters import Reader, Rules
from crossmargin.portfolio import Pool
from crossmargin.results import Line, largest, scaled, total
from crossmargin.scenarios import ScenarioSpec


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
        Seconds for each solver run; None for no limit. A search that was cut short says so and gives its gap.

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
    p = rules.at(as_of)
    if book.account_type == "cash":
        return _cash_account(book, p)
    initial = _initial(book, p, time_limit)
    # without stock both minimise the same costs
    maintenance = _maintenance(book, p, time_limit) if book.shares else initial
    return _with_premiums(book, p, initial, maintenance)


def order_effect(
    book: StrategyBook, order: Iterable[OptionLeg], cash_available: float, *, rules: Rules, as_of: date
) -> OrderEffect:
    """Return what an order changes and whether the cash available, USD, is enough for it.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> book = StrategyBook("equity", 45, [OptionLeg(-1, "call", 47, 2.1, 30)])
    >>> order = [OptionLeg(-1, "put", 43, 1.2, 30)]
    >>> effect = order_effect(book, order, 0.0, rules=rules("finra_strategy"), as_of=date(2026, 6, 30))
    >>> effect.before.initial.amount, effect.after.initial.amount, effect.cash_needed, effect.accepted
    (910.0, 1030.0, 0.0, True)
    """
    before = strategy_margin(book, rules, as_of)
    after = strategy_margin(book.with_order(order), rules, as_of)
    needed = after.net_deposit.value - before.net_deposit.value
    enough = cash_available >= needed or math.isclose(cash_available, needed, abs_tol=_CENT_LOST)
    return OrderEffect(before, after, needed, enough)


def scenarios(p: Reader) -> tuple[ScenarioSpec, ...]:  # noqa: ARG001  the rules look at no scenario
    """Return no scenario set: strategy rules are tables, not simulations."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:  # noqa: ARG001  one signature for all rule-sets
    """Return a line for each position of a pool, none of them modelled: strategy margin reads a `StrategyBook`."""
    why = "positions in stock are not modelled yet, so no pool can be paired; give strategy_margin a StrategyBook"
    return total("finra_strategy requirement", unmodelled(pool.positions, why))


_CENT_LOST = 1e-6  # literal: USD, the same cents added in another order


# ------------------------------------------------------------------------------------------- least total


@frozen
class _Least:
    """A requirement, what it cannot be lower than, and the groups behind it."""

    line: Line
    bound: float
    pairing: Pairing | None = None


def _initial(book: StrategyBook, p: Reader, time_limit: float | None) -> _Least:
    share = _initial_per_share(book, p)
    return _least(book, p, share=share, hedges=_initial_hedges(book, p), time_limit=time_limit)


def _maintenance(book: StrategyBook, p: Reader, time_limit: float | None) -> _Least:
    share = _maintenance_per_share(book, p)
    return _least(book, p, share=share, hedges=_maintenance_hedges(book, p), time_limit=time_limit)


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
        [book.multiplier * _exposure(book, leg, p).value for leg in legs],
        multiplier=book.multiplier,
        lots=book.lots,
        lot_cost=book.lot_shares * share,
        hedges=hedges,
    )


def _exposure(book: StrategyBook, leg: OptionLeg, p: Reader) -> Line:
    """Return what a short option costs beyond its value, USD per unit: the rate less out of the money, or the minimum.

    References
    ----------
    FINRA Rule 4210(f)(2); leverage multiplies both rates (Regulatory Notice 09-65).
    """
    rate = p.option_rate_broad if book.kind in p.broad_kinds else p.option_rate
    value = Line("value of the underlying", book.leverage * book.price)
    base = value if leg.right == "call" else Line("exercise price", book.leverage * leg.strike)
    out = Line("out of the money", -leg.out_of_the_money(book.price))
    regular = total("rate less out of the money", [scaled("rate", rate, value), out])
    return largest("exposure", [regular, scaled("minimum", p.option_minimum, base)])


# ------------------------------------------------------------------------------------------------- stock


def _initial_per_share(book: StrategyBook, p: Reader) -> float:
    return float(p.stock_initial_rate * book.share_price)


def _maintenance_per_share(book: StrategyBook, p: Reader) -> float:
    """Return the maintenance requirement of one share alone, long or short, USD.

    References
    ----------
    FINRA Rule 4210(c); leveraged funds: Regulatory Notice 09-53.
    """
    price = book.share_price
    if book.shares >= 0:
        return _long_rate(book, p) * price
    if price < p.low_price:
        return float(max(p.low_price_short_per_share, p.low_price_short_rate * price))
    return float(max(p.stock_short_per_share, min(1.0, p.stock_short_rate * book.leverage) * price))


def _long_rate(book: StrategyBook, p: Reader) -> float:
    return min(1.0, float(p.stock_long_rate * book.leverage))


def _initial_hedges(book: StrategyBook, p: Reader) -> Iterator[Hedge]:
    """Yield the covered options: half of the stock and what the option is in the money."""
    lot = book.lot_shares * _initial_per_share(book, p)
    for place, leg, name in _covered(book):
        yield Hedge((place,), lot + book.multiplier * leg.intrinsic(book.price), name)


def _maintenance_hedges(book: StrategyBook, p: Reader) -> Iterator[Hedge]:
    """Yield everything that one lot of stock may form with options."""
    lot = book.lot_shares * _maintenance_per_share(book, p)
    for place, leg, name in _covered(book):
        stock = lot
        if leg.right == "call" and p.covered_call_limits_value:
            stock = min(lot, _long_rate(book, p) * book.multiplier * leg.strike)
        yield Hedge((place,), stock + book.multiplier * leg.intrinsic(book.price), name)
    for place, leg, name in _protected(book):
        yield Hedge((place,), min(lot, book.multiplier * _protection(book, leg, p)), name)
        yield from _closed(book, leg, p, place=place)


def _closed(book: StrategyBook, long: OptionLeg, p: Reader, *, place: int) -> Iterator[Hedge]:
    """Yield collars and conversions with the long option at `place`: the short one expires with it."""
    for other, short, _ in _covered(book):
        if short.expiry_rank != long.expiry_rank:
            continue
        if short.strike == long.strike:
            name = "conversion" if book.shares > 0 else "reverse conversion"
            cost = p.hedge_rate * long.strike + short.intrinsic(book.price)
            yield Hedge((place, other), book.multiplier * cost, name)
        elif book.shares > 0 and long.strike < short.strike:
            cost = min(_protection(book, long, p), p.collar_rate * short.strike)
            yield Hedge((place, other), book.multiplier * cost, "collar")


def _protection(book: StrategyBook, leg: OptionLeg, p: Reader) -> float:
    """Return what stock costs beside the long option that protects it, USD per unit."""
    return float(p.hedge_rate * leg.strike + leg.out_of_the_money(book.price))


def _covered(book: StrategyBook) -> Iterator[tuple[int, OptionLeg, str]]:
    """Yield the short options that stock covers: calls by long, puts by short stock."""
    right = "call" if book.shares > 0 else "put"
    for place, leg in enumerate(book.netted):
        if book.lots and leg.quantity < 0 and leg.right == right:
            yield place, leg, f"covered {right}"


def _protected(book: StrategyBook) -> Iterator[tuple[int, OptionLeg, str]]:
    """Yield the long options that protect stock: puts long, calls short stock."""
    right = "put" if book.shares > 0 else "call"
    for place, leg in enumerate(book.netted):
        if book.lots and leg.quantity > 0 and leg.right == right:
            yield place, leg, f"protective {right}"


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
    """Return the requirement of naked options: their value and the greatest exposure among them."""
    count = shorts[0][1]
    values = [Line(f"value of the {leg.right}", leg.price) for leg, _ in shorts]
    exposures = [_exposure(book, leg, p) for leg, _ in shorts]
    unit = total("per unit", [*values, largest("greater exposure", exposures) if len(shorts) > 1 else exposures[0]])
    strikes = {leg.strike for leg, _ in shorts}
    together = "short straddle" if len(strikes) == 1 else "short strangle"
    name = together if len(shorts) > 1 else f"naked {shorts[0][0].right}"
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
