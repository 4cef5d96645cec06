"""Treasuries from the words of a statement, such as `T 4.5 11/15/33` and `U S T BILL DUE 02/05/19`.

Call `treasury_from_text`; `symbols.resolve` does. What kind of security it is comes from the CUSIP before the words,
since brokers call every Treasury a bond. `treasury_of_terms` finds it among known ones. No CUSIP is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import TypeAlias

from attrs import evolve

from crossmargin.errors import InputError, Problem
from crossmargin.io.symbol_words import calendar_day, looks_like_cusip
from crossmargin.products import STRIPS, TIPS, Product, TreasuryBill, TreasuryBond, TreasuryNote

Treasury: TypeAlias = TreasuryBill | TreasuryNote | TreasuryBond | TIPS | STRIPS

TREASURY_KINDS = ("treasury", "treasury_bill", "treasury_note", "treasury_bond", "treasury_frn", "tips", "strips")
_PREFIXES: Mapping[str, str] = MappingProxyType(  # of the CUSIP: the Treasury keeps a block for each kind
    {
        **dict.fromkeys(("912793", "912794", "912795", "912796", "912797"), "treasury_bill"),
        **dict.fromkeys(("912827", "912828", "91282"), "treasury_note"),  # TIPS and FRN stand among them
        "912810": "treasury_bond",
        **dict.fromkeys(("912833", "912834", "912803", "912820", "912821"), "strips"),
    }
)
_WORDS = (
    ("strips", re.compile(r"\bSTRIPS?\b|\bSTRIPPED\b")),
    ("tips", re.compile(r"\bTIPS\b|\bINFLATION\b|^TII ")),
    ("treasury_frn", re.compile(r"\bFRN\b|\bFLOATING\b|^TF ")),
    ("treasury_bill", re.compile(r"\bT?-?BILLS?(?:\d\d)?\b|^B \d")),
    ("treasury_note", re.compile(r"\bT?-?NOTES?\b")),
    ("treasury_bond", re.compile(r"\bT?-?BONDS?\b")),
)
_PART = r"\d{1,2}/(?:2|4|8|16|32)"
_RATE = rf"\d{{1,2}}(?:\.\d+)?(?:[ -]{_PART})?|{_PART}"
_SHORTHAND = re.compile(rf"(?:T|TII|TF|B)(?: (?:{_RATE}) ?%?)? \d{{1,2}}/\d{{1,2}}/\d{{2,4}}(?: GOVT)?")
_DESCRIBED = re.compile(r"^(?:UNITED STATES|U\.? ?S\.?) TREAS(?:URY|\b|\.)")
_FUND = re.compile(r"\bETF\b|\bFUND\b|\bINDEX\b|\bTRUST\b")
_DAY = r"(?:(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})|(?P<m2>\d{1,2})/(?P<d2>\d{1,2})/(?P<y2>\d{4}|\d{2}))(?!\d)"
_MATURITY = re.compile(rf"(?:\bDUE|\bMTD|\bMAT(?:URITY)?) {_DAY}")
_ANY_DAY = re.compile(rf"(?<!DTD )(?<![\d/]){_DAY}")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?%")
_COUPON = re.compile(rf"(?<![\d/.])(?P<rate>{_RATE}) ?%? (?:DUE )?{_DAY}")
_FRACTIONS = str.maketrans({sign: f" {place}/8" for place, sign in enumerate("⅛¼⅜½⅝¾⅞", start=1)})
_SAME_COUPON = 1e-9
_PAYING = (TreasuryNote, TreasuryBond)
_LIKE: Mapping[str, tuple[type[Treasury], ...]] = MappingProxyType(
    {**{each.kind: (each,) for each in (TreasuryBill, TIPS, STRIPS)}, **{each.kind: _PAYING for each in _PAYING}}
)
_LONGEST_NOTE_YEARS = 10  # a note is by definition issued with at most ten years to run
_DATED = re.compile(rf"\bDTD {_DAY}")


def reads_as_treasury(symbol: str, description: str, hint: str) -> bool:
    """Whether a symbol and its description, in capitals, are those of a Treasury and not of a fund or a company.

    Examples
    --------
    >>> reads_as_treasury("T 4.5 11/15/33", "", ""), reads_as_treasury("VGLT", "US TREASURY ETF", "")
    (True, False)
    """
    if hint in TREASURY_KINDS or _SHORTHAND.fullmatch(symbol):
        return True
    identifier = not symbol or looks_like_cusip(symbol)
    return (
        identifier
        and (bool(_of_cusip(symbol)) or bool(_DESCRIBED.search(description)))
        and (not _FUND.search(description))
    )


def with_fractions(text: str) -> str:
    """Return a text with signs such as ⅜ written out, as ` 3/8`.

    Examples
    --------
    >>> with_fractions("T 3⅜ 05/15/33")
    'T 3 3/8 05/15/33'
    """
    return " ".join(text.translate(_FRACTIONS).split()) if not text.isascii() else text


def treasury_of_terms(treasury: Treasury, known: Iterable[Product]) -> tuple[Treasury, ...]:
    """Return the known securities that a Treasury read from words may be: of its maturity and coupon, each once.

    A note and a bond are told apart only when both are there, since words seldom do. One with another CUSIP is none.

    Examples
    --------
    >>> issued = TreasuryNote(0.03375, date(2033, 5, 15), issue=date(2023, 5, 15))
    >>> treasury_of_terms(treasury_from_text("T 3 3/8 05/15/33")[0], [issued])[0].issue
    datetime.date(2023, 5, 15)
    """
    cusip, coupon = treasury.cusip, getattr(treasury, "coupon", 0.0)
    same = [
        evolve(each, cusip=each.cusip or cusip)
        for each in dict.fromkeys(known)
        if isinstance(each, _LIKE[treasury.kind])
        and each.maturity == treasury.maturity
        and abs(getattr(each, "coupon", 0.0) - coupon) < _SAME_COUPON
        and (not cusip or each.cusip in ("", cusip))
    ]
    return tuple(each for each in same if each.kind == treasury.kind) or tuple(same)


def treasury_from_text(
    symbol: str, description: str = "", *, hint: str = "", as_of: date | None = None
) -> tuple[Treasury, tuple[str, ...]]:
    """Return the Treasury that a symbol and its description, in capitals, tell of, and what was guessed.

    Raises
    ------
    InputError
        The maturity or the coupon is nowhere, or the kind needs terms that no statement gives.

    Examples
    --------
    >>> treasury_from_text("T 4 1/4 02/15/35 GOVT", "US TREASURY NOTE")[0].symbol
    'UST 4.25 2035-02-15'
    """
    text = f"{symbol} {description}".strip()
    maturity, where = _maturity(symbol) or _maturity(description), f"symbol {symbol or description!r}"
    if maturity is None:
        fix = "Pass the security in `known`, under its CUSIP."
        raise InputError([Problem("is a Treasury without a maturity that can be read.", where, fix)])
    kind, guessed = _kind(symbol, description, hint=hint, years=_years(maturity, as_of))
    cusip = symbol if looks_like_cusip(symbol) else ""
    dated = _DATED.search(text)
    if dated and (issued := _day(dated)) and issued >= maturity:
        guessed += (f"It is described as dated {issued}, not before its maturity {maturity}: the maturity is kept.",)
    if kind == "treasury_bill":
        return TreasuryBill(maturity, cusip=cusip), guessed
    if kind == "strips":
        return STRIPS(maturity, cusip=cusip), guessed
    return _with_coupon(kind, _coupon(symbol, description), maturity, cusip=cusip, where=where, guessed=guessed)


def _with_coupon(
    kind: str, coupon: float | None, maturity: date, *, cusip: str, where: str, guessed: tuple[str, ...]
) -> tuple[Treasury, tuple[str, ...]]:
    if kind == "treasury_frn" or coupon is None:
        lacks = "spread" if kind == "treasury_frn" else "coupon"
        fix = "Pass the security in `known`, under its CUSIP."
        raise InputError([Problem(f"is a {kind} without a {lacks} that can be read.", where, fix)])
    if kind == "tips":
        return TIPS(coupon, maturity, cusip=cusip), (*guessed, "The index ratio of the TIPS is taken as 1.")
    made = TreasuryBond if kind == "treasury_bond" else TreasuryNote
    return made(coupon, maturity, cusip=cusip), guessed


def _kind(symbol: str, description: str, *, hint: str, years: float) -> tuple[str, tuple[str, ...]]:
    by_cusip = _of_cusip(symbol)
    by_words = next((kind for kind, words in _WORDS if words.search(symbol) or words.search(description)), "")
    if hint and hint != "treasury":
        return hint, ()
    if by_words in {"tips", "treasury_frn"} and by_cusip in {"", "treasury_note", "treasury_bond"}:
        return by_words, ()
    if by_cusip:
        named = f"It is called a {by_words}; its CUSIP is one of a {by_cusip}, and that is taken."
        return by_cusip, (named,) if by_words not in {"", by_cusip} else ()
    if by_words:
        return by_words, ()
    kind = "treasury_bond" if years > _LONGEST_NOTE_YEARS else "treasury_note"
    return kind, (f"Nothing says whether it is a note or a bond: it is taken as a {kind}.",)


def _of_cusip(symbol: str) -> str:
    if not looks_like_cusip(symbol):
        return ""
    return _PREFIXES.get(symbol[:6]) or _PREFIXES.get(symbol[:5], "")


def _years(maturity: date, as_of: date | None) -> float:
    return (maturity - as_of).days / 365.25 if as_of else 0.0


def _maturity(text: str) -> date | None:
    match = _MATURITY.search(text) or _ANY_DAY.search(text)
    return _day(match) if match else None


def _day(match: re.Match[str]) -> date | None:
    if match["y"]:
        return calendar_day(match["y"], match["m"], match["d"])
    return calendar_day(match["y2"], match["m2"], match["d2"])


def _coupon(symbol: str, description: str) -> float | None:
    if match := _COUPON.search(symbol) or _COUPON.search(description):
        return sum(map(_number, re.split("[ -]", match["rate"]))) / 100
    match = _PERCENT.search(description)
    return float(match[1]) / 100 if match else None


def _number(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)
