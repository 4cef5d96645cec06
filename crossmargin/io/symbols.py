"""Symbols as brokers and vendors write them, to products: OSI options, futures codes, CUSIP, ISIN, Treasuries, tickers.

Call `resolve(symbol, as_of=..., known=directory(...))`. The answer says which convention was read and what had to be
guessed; a symbol that no convention reads is refused with the closest ones. No table of securities comes with the
package: a CUSIP says which security it is, never its terms, so pass what you know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen

from crossmargin.columns import as_date
from crossmargin.errors import InputError, Problem
from crossmargin.io.symbol_treasuries import (
    TREASURY_KINDS,
    reads_as_treasury,
    treasury_from_text,
    treasury_of_terms,
    with_fractions,
)
from crossmargin.io.symbol_words import (
    MONTH_NAMES,
    calendar_day,
    cusip_of_isin,
    is_cusip,
    looks_like_cusip,
    right_check_digit,
)
from crossmargin.products import (
    ETF,
    IndexFuture,
    ListedOption,
    Product,
    ShortRateFuture,
    Stock,
    TreasuryBond,
    TreasuryFuture,
    TreasuryNote,
    contract_specs,
    deliverable_basket,
)
from crossmargin.products.equities import ticker_of
from crossmargin.products.options import STANDARD_MULTIPLIER, option_from_osi

MONTH_CODES = "FGHJKMNQUVXZ"
_BLOOMBERG = "TU:ZT 3Y:Z3N FV:ZF TY:ZN UXY:TN US:ZB WN:UB FF:ZQ SER:SR1 SFR:SR3 ES:ES NQ:NQ RTY:RTY DM:YM UX:VX"
BLOOMBERG_ROOTS: Mapping[str, str] = MappingProxyType(dict(pair.split(":") for pair in _BLOOMBERG.split()))
_CASH: Mapping[str, Any] = MappingProxyType({"settlement": "cash", "underlying_kind": "index"})
_PM: Mapping[str, Any] = MappingProxyType({**_CASH, "exercise": "european"})
_AM: Mapping[str, Any] = MappingProxyType({**_PM, "settles_at": "open"})
_STYLES = (("SPX NDX RUT VIX VIXW", _AM), ("SPXW NDXP RUTW XSP XEO", _PM), ("OEX", _CASH))
_INDICES = {"SPXW": "SPX", "NDXP": "NDX", "RUTW": "RUT", "VIXW": "VIX"}
INDEX_ROOTS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(  # root of the symbol: index, terms
    {root: (_INDICES.get(root, root), terms) for roots, terms in _STYLES for root in roots.split()}
)

_ROOT = r"(?P<root>[A-Z]{1,6}(?:[./][A-Z])?\d?)"
_STRIKE = r"\$?(?P<strike>\d+(?:,\d{3})*(?:\.\d+)?)"
_YMD = r"(?P<y>\d{2})(?P<m>\d{2})(?P<d>\d{2})"
_MDY = r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4}|\d{2})"
_SPACED_DAY = r"(?P<m>[A-Z]{3}) (?P<d>\d{1,2}) (?P<y>\d{2})"
_OPTION_FORMS = tuple(
    (how, re.compile(pattern))
    for how, pattern in (
        ("OSI symbol", rf"{_ROOT} *{_YMD}(?P<right>[CP])(?P<thousandths>\d{{8}})"),
        ("short option symbol", rf"[.-]?{_ROOT}{_YMD}(?P<right>[CP]){_STRIKE}"),
        ("written option", rf"{_ROOT} {_MDY} {_STRIKE} (?P<right>[CP])"),
        ("written option", rf"{_ROOT} (?P<d>\d{{1,2}})(?P<m>[A-Z]{{3}})(?P<y>\d{{2}}) {_STRIKE} (?P<right>[CP])"),
        ("Bloomberg option", rf"{_ROOT}(?: US)? {_MDY} (?P<right>[CP]){_STRIKE}(?: EQUITY| INDEX)?"),
        (
            "described option",
            rf"(?P<right>CALL|PUT) \({_ROOT}\) .* {_SPACED_DAY} {_STRIKE}(?: \((?P<shares>\d+) SHS\))?",
        ),
    )
)
_CODE = re.compile(rf"/?(?P<root>[A-Z0-9]{{1,3}}?) ?(?P<m>[{MONTH_CODES}])(?P<y>\d{{4}}|\d{{1,2}})(?::X[A-Z]+)?")
_KEYED = re.compile(rf"(?P<root>[A-Z0-9]{{2,3}}) ?(?P<m>[{MONTH_CODES}])(?P<y>\d{{1,2}}) (?:COMDTY|INDEX)")
_SPELT = (
    re.compile(r"(?P<root>[A-Z0-9]{2,3}) (?P<y>\d{4})-?(?P<m>\d{2})"),
    re.compile(rf"(?P<root>[A-Z0-9]{{2,3}}) (?P<m>{'|'.join(MONTH_NAMES)}) ?'?(?P<y>\d{{4}}|\d{{2}})"),
)
_TICKER = re.compile(r"(?P<ticker>[A-Z]{1,5}(?:[./ ][A-Z]{1,2})?)(?: US)?(?: EQUITY)?")
_FUND_WORDS = re.compile(r"\bETF\b|\bEXCHANGE[ -]TRADED\b|\bISHARES\b|\bSPDR\b|\bINDEX FUND\b")
_LISTED_YEARS = 5  # Treasury and index futures are listed no further ahead; a longer reading of one digit is a mistake
_FUTURES: Mapping[str, Callable[[str, int], Product]] = MappingProxyType(
    {"treasury": TreasuryFuture, "short_rate": ShortRateFuture, "index": IndexFuture}
)


@frozen
class Resolved:
    """A product, the convention `how` its symbol was read, and what was `guessed`, one sentence each."""

    product: Product
    how: str
    guessed: tuple[str, ...] = ()


@frozen
class _Asked:
    symbol: str
    text: str
    description: str
    hint: str
    as_of: date | None
    known: Mapping[str, Product] = field(repr=False)

    def refused(self, what: str, fix: str) -> InputError:
        return InputError([Problem(what, f"symbol {self.symbol or self.description!r}", fix)])


def directory(products: Iterable[Product]) -> Mapping[str, Product]:
    """Return securities by the names a file may give them: CUSIP, ticker, readable symbol.

    Examples
    --------
    >>> sorted(directory([Stock("IBM"), ETF("SPY", "broad_high_cap")]))
    ['IBM', 'SPY']
    """
    found: dict[str, Product] = {}
    for product in products:
        names = (getattr(product, "cusip", ""), ticker_of(product) if isinstance(product, Stock | ETF) else "")
        found |= {name: product for name in (*names, product.symbol.upper()) if name}
    return MappingProxyType(found)


def resolve(
    symbol: str,
    *,
    as_of: date | None = None,
    known: Mapping[str, Product] | None = None,
    description: str = "",
    hint: str = "",
) -> Resolved:
    """Return the product that a symbol names.

    Parameters
    ----------
    symbol
        In any of the conventions; blank where the file only describes the security.
    as_of
        Decides the decade of a futures code with one digit of year.
    known
        Securities by name, from `directory`; they come before any guess, and fill the baskets of Treasury futures.
    description
        The text beside the symbol: the terms of a Treasury often stand nowhere else.
    hint
        Kind of product that the file says it is, such as `etf` or `treasury_bill`; "" when it does not.

    Raises
    ------
    InputError
        No convention reads the symbol, it names what is not modelled, or it does not say enough.

    References
    ----------
    OCC, Options Symbology Initiative; CME Group, month and product codes; ANSI X9.6 (CUSIP); ISO 6166 (ISIN).

    Examples
    --------
    >>> resolve("SPY190125P00265000").product.symbol
    'SPY put 265 2019-01-25'
    >>> answer = resolve("TYU6 Comdty", as_of=date(2026, 6, 30))
    >>> answer.product.symbol, answer.how, answer.guessed[0]
    ('ZN 2026-09', 'Bloomberg futures code', 'The year digit 6 is read as 2026.')
    """
    text = with_fractions(" ".join(symbol.upper().split()))
    day = as_of if as_of is None else as_date(as_of, "as_of")
    described = with_fractions(" ".join(description.upper().split()))
    asked = _Asked(symbol, text, described, hint, day, known or {})
    for read in _READERS:
        if found := read(asked):
            return found
    fix = (
        _closest(text, [*asked.known, *contract_specs()]) or "Give an OSI symbol, a futures code, a CUSIP or a ticker."
    )
    raise asked.refused("is read by no convention.", fix)


def _known(asked: _Asked) -> Resolved | None:
    """Read what the caller knows: by CUSIP, by the CUSIP inside an ISIN, by ticker."""
    cusip = cusip_of_isin(asked.text)
    for name, how in ((asked.text, "known security"), (cusip, "ISIN of a known security")):
        if name and name in asked.known:
            return Resolved(asked.known[name], how)
    return None


# ------------------------------------------------------------------------------------------------- options


def _option(asked: _Asked) -> Resolved | None:
    for how, form in _OPTION_FORMS:
        if match := form.fullmatch(asked.text or asked.description):
            return _option_of(asked, match, how)
    return None


def _option_of(asked: _Asked, match: re.Match[str], how: str) -> Resolved:
    parts = match.groupdict()
    if (root := parts["root"])[-1].isdigit():
        fix = "Hold the standard contract, or leave the position out and margin it apart."
        raise asked.refused("is an adjusted option: it delivers something else and is not modelled.", fix)
    expiry = calendar_day(parts["y"], parts["m"], parts["d"])
    if expiry is None:
        raise asked.refused("has an expiry that is not in the calendar.", "Give the day as the exchange writes it.")
    terms, guessed = _terms_of(root, asked)
    size = float(parts.get("shares") or STANDARD_MULTIPLIER)
    if parts.get("thousandths"):
        osi = f"{root.replace('/', '.'):<6}{expiry:%y%m%d}{parts['right']}{parts['thousandths']}"
        option = option_from_osi(osi, **terms)
    else:
        right, strike = parts["right"][0], float(parts["strike"].replace(",", ""))
        option = ListedOption(root.replace("/", "."), "call" if right == "C" else "put", strike, expiry, **terms)
    index = INDEX_ROOTS.get(root, (option.underlying, {}))[0]
    usual = index == option.underlying and size == option.multiplier
    return Resolved(option if usual else evolve(option, underlying=index, multiplier=size), how, guessed)


def _terms_of(root: str, asked: _Asked) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the terms that the symbol leaves out, and what of them is a guess."""
    if root in INDEX_ROOTS:
        index, terms = INDEX_ROOTS[root]
        style = f"{terms.get('exercise', 'american')}, cash-settled at the {terms.get('settles_at', 'close')}"
        return terms, (f"An option with root {root} is taken as one on the index {index}, {style}.",)
    if root in asked.known:
        return {"underlying_kind": "etf" if isinstance(asked.known[root], ETF) else "equity"}, ()
    if _FUND_WORDS.search(asked.description):
        return {"underlying_kind": "etf"}, (f"{root} is taken as a fund: an American option on it.",)
    return {}, (f"{root} is taken as a share: an American option on it.",)


# ------------------------------------------------------------------------------------------------- futures


def _future(asked: _Asked) -> Resolved | None:
    if match := _KEYED.fullmatch(asked.text):
        return _future_of(asked, match, BLOOMBERG_ROOTS, "Bloomberg futures code")
    own = {code: code for code in contract_specs()}
    if match := _CODE.fullmatch(asked.text):
        return _future_of(asked, match, own, "futures code")
    match = next((match for form in _SPELT if (match := form.fullmatch(asked.text))), None)
    return _future_of(asked, match, own, "contract and month") if match else None


def _future_of(asked: _Asked, match: re.Match[str], roots: Mapping[str, str], how: str) -> Resolved:
    root, letter, digits = match["root"], match["m"], match["y"]
    code, guessed = _contract_of(asked, root, roots)
    month = int(letter) if letter.isdigit() else (MONTH_NAMES if len(letter) > 1 else MONTH_CODES).index(letter) + 1
    if len(digits) == 1:
        year = _year_of(asked, int(digits), month, contract_specs()[code].asset)
        guessed += (f"The year digit {digits} is read as {year}.",)
    else:
        year = int(digits) if len(digits) == 4 else 2000 + int(digits)
    product, more = _with_basket(_FUTURES[contract_specs()[code].asset](code, year * 100 + month), asked.known)
    return Resolved(product, how, guessed + more)


def _contract_of(asked: _Asked, root: str, roots: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return the contract with a root; one that only Bloomberg uses is read as Bloomberg does, and that is told."""
    if root in roots:
        return roots[root], ()
    if root in BLOOMBERG_ROOTS:
        return BLOOMBERG_ROOTS[root], (f"{root} is read as Bloomberg's root of {BLOOMBERG_ROOTS[root]}.",)
    near = _closest(root, roots, cutoff=0.75)  # of two or three letters, fewer in common mean nothing
    raise asked.refused(f"{root} is no contract of the library.", near or f"Known: {', '.join(sorted(roots))}.")


def _year_of(asked: _Asked, digit: int, month: int, asset: str) -> int:
    """Return the first year with this last digit in which the contract month has not passed on `as_of`."""
    if asked.as_of is None:
        raise asked.refused("has one digit of year.", "Give as_of, or write two digits: ZNU26.")
    start = asked.as_of.year + (month < asked.as_of.month)
    year = start + (digit - start) % 10
    if asset != "short_rate" and year > asked.as_of.year + _LISTED_YEARS:
        what = f"is a contract of {year - 10} that had expired on {asked.as_of}, or one of {year} not listed yet."
        raise asked.refused(what, "Check the date of the file, or write two digits of year.")
    return year


def _with_basket(future: Product, known: Mapping[str, Product]) -> tuple[Product, tuple[str, ...]]:
    if not isinstance(future, TreasuryFuture):
        return future, ()
    listed = [each for each in dict.fromkeys(known.values()) if isinstance(each, TreasuryNote | TreasuryBond)]
    dated = [each for each in listed if each.issue is not None]
    basket = deliverable_basket(future.contract, future.delivery_month, dated) if dated else ()
    if basket:
        return evolve(future, basket=basket), ()
    return future, ("Its basket is empty: give the deliverable notes, with their issue dates, before it is valued.",)


# ---------------------------------------------------------------------------------------- Treasuries and shares


def _treasury(asked: _Asked) -> Resolved | None:
    if not reads_as_treasury(asked.text, asked.description, asked.hint):
        return None
    product, guessed = treasury_from_text(asked.text, asked.description, hint=asked.hint, as_of=asked.as_of)
    wrong = (_wrong_digit(product.cusip),) if product.cusip and not is_cusip(product.cusip) else ()
    same = treasury_of_terms(product, asked.known.values())
    if len(same) == 1:
        taken = f"It is taken as {same[0].symbol}, which is known and has this maturity and coupon."
        return Resolved(same[0], "known security with these terms", (taken, *wrong))
    if same:
        names = ", ".join(each.symbol for each in same)
        guessed += (f"Known with this maturity and coupon are {names}: none of them is taken. Write the CUSIP.",)
    return Resolved(product, "terms of a Treasury", guessed + wrong)


def _wrong_digit(cusip: str) -> str:
    return f"The CUSIP {cusip} is kept as written, but its check digit should be {right_check_digit(cusip)}."


def _identifier(asked: _Asked) -> Resolved | None:
    """Refuse a CUSIP or an ISIN that nothing gives terms to."""
    cusip = cusip_of_isin(asked.text) or (asked.text if looks_like_cusip(asked.text) else "")
    if cusip:
        near = _closest(cusip, asked.known)
        fix = near or "Pass the security in `known`: directory([TreasuryNote(..., cusip=...)])."
        raise asked.refused(f"the CUSIP {cusip} says which security it is, not its terms.", fix)
    if re.fullmatch(r"[A-Z]{2}[A-Z0-9]{9}\d", asked.text):
        raise asked.refused("is an ISIN with no CUSIP in it, or with a wrong check digit.", "Give a US security.")
    return None


def _ticker(asked: _Asked) -> Resolved | None:
    match = _TICKER.fullmatch(asked.text)
    if not match or asked.hint in TREASURY_KINDS:
        return None
    ticker = match["ticker"].removesuffix(" US").replace("/", ".").replace(" ", ".")
    if ticker in asked.known:
        return Resolved(asked.known[ticker], "known security")
    near = _closest(ticker, asked.known, cutoff=0.75)
    near = f" {near}" if near else ""
    if asked.hint == "etf" or (not asked.hint and _FUND_WORDS.search(asked.description)):
        return Resolved(
            ETF(ticker), "ticker", (f"{ticker} is taken as a fund that is narrow and follows no index.{near}",)
        )
    said = asked.hint == "stock" and not near
    return Resolved(Stock(ticker), "ticker", () if said else (f"{ticker} is taken as common stock.{near}",))


def _closest(name: str, choices: Iterable[str], *, cutoff: float = 0.5) -> str:
    close = get_close_matches(name, sorted(choices), n=1, cutoff=cutoff)
    return f"Did you mean {close[0]!r}?" if close and name else ""


_READERS = (_known, _option, _future, _treasury, _identifier, _ticker)
