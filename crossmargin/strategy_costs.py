"""What the groups of a book cost under strategy-based rules: short options, shares, and shares with options.

`exposure` is what a short option alone costs beyond its value, `initial_per_share` and `maintenance_per_share` what a
share alone costs, `initial_hedges` and `maintenance_hedges` the groups that a lot of stock may form. Rates are read
from the rule's own parameters; which groups are formed is the business of `crossmargin.pairing`.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossmargin.pairing import Hedge
from crossmargin.pairing.book import OptionLeg, StrategyBook
from crossmargin.parameters import Reader
from crossmargin.results import Line, largest, scaled, total


def exposure(book: StrategyBook, leg: OptionLeg, p: Reader) -> Line:
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


def initial_per_share(book: StrategyBook, p: Reader) -> float:
    """Return the initial requirement of one share alone, long or short, USD; a sale's proceeds come on top.

    References
    ----------
    12 CFR 220.12(a) and (c).
    """
    return float(p.stock_initial_rate * book.share_price)


def maintenance_per_share(book: StrategyBook, p: Reader) -> float:
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
    return float(max(p.stock_short_per_share, _leveraged(p.stock_short_rate, book, p) * price))


def _long_rate(book: StrategyBook, p: Reader) -> float:
    return _leveraged(p.stock_long_rate, book, p)


def _leveraged(plain: float, book: StrategyBook, p: Reader) -> float:
    """Return a maintenance rate for the leverage of a fund; the cap never cuts a house rate that is above it."""
    return min(max(plain, float(p.leveraged_rate_cap)), plain * book.leverage)


def initial_hedges(book: StrategyBook, p: Reader) -> Iterator[Hedge]:
    """Yield the covered options: half of the stock and what the option is in the money."""
    lot = book.lot_shares * initial_per_share(book, p)
    for place, leg, name in _covered(book):
        yield Hedge((place,), lot + book.multiplier * leg.intrinsic(book.price), name)


def maintenance_hedges(book: StrategyBook, p: Reader) -> Iterator[Hedge]:
    """Yield everything that one lot of stock may form with options."""
    lot = book.lot_shares * maintenance_per_share(book, p)
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
    """Yield the short options that stock covers: calls by long, puts by short stock.

    References
    ----------
    A fund in place of its index covers calls that settle at the close: C2 Regulatory Circular RG11-017.
    """
    right = "call" if book.shares > 0 else "put"
    for place, leg in enumerate(book.netted):
        if book.lots and leg.quantity < 0 and leg.right == right and (leg.settles == "close" or not _stands_in(book)):
            yield place, leg, f"covered {right}"


def _protected(book: StrategyBook) -> Iterator[tuple[int, OptionLeg, str]]:
    """Yield the long options that protect stock: puts long, calls short stock; nothing protects a fund's stand-in."""
    right = "put" if book.shares > 0 else "call"
    for place, leg in enumerate(book.netted):
        if book.lots and leg.quantity > 0 and leg.right == right and not _stands_in(book):
            yield place, leg, f"protective {right}"


def _stands_in(book: StrategyBook) -> bool:
    return book.stock is not None and book.stock.stands_in
