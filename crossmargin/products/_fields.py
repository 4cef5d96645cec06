"""Checks of the fields of a product, and the text of its numbers.

Each `is_...` notes what is wrong with one field in a `Problems` and returns whether the field is usable, so
that a product can go on and find everything else that is wrong. Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from crossmargin import errors
from crossmargin.errors import Problems, suggestion

_LARGEST_RATE = 1.0  # 100 %: anything above is a rate typed in per cent
_LARGEST_PRICE = 10.0  # per 1 USD of face: anything above is a price typed in points of 100
_FIRST_YEAR, _LAST_YEAR = 1900, 2200


def is_date(problems: Problems, value: Any, where: str) -> bool:
    """Note a value that is not a plain date."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return True
    problems.add(f"{value!r} is not a date.", where=where, fix="Give a datetime.date.")
    return False


def is_number(problems: Problems, value: Any, where: str) -> bool:
    """Note a value that is not a finite real number."""
    if not errors.is_number(value):
        problems.add(f"{value!r} is not a finite number.", where=where)
        return False
    return True


def is_rate(problems: Problems, value: Any, where: str, *, negative: bool) -> bool:
    """Note a rate that is not a decimal below 100 %, or below zero where it may not be."""
    if not is_number(problems, value, where):
        return False
    if value < 0 and not negative:
        problems.add(f"{value!r} is negative.", where=where)
        return False
    if abs(value) >= _LARGEST_RATE:
        problems.add(f"{value!r} is 100 % or more.", where=where, fix="Rates are decimals: write 4.25 % as 0.0425.")
        return False
    return True


def is_price(problems: Problems, value: Any, where: str) -> bool:
    """Note a price per 1 USD of face that is not positive, or is quoted in points."""
    if not is_positive(problems, value, where):
        return False
    if value > _LARGEST_PRICE:
        problems.add(f"{value!r} is no price per 1 USD of face.", where=where, fix="Write 99.5 points as 0.995.")
        return False
    return True


def is_positive(problems: Problems, value: Any, where: str) -> bool:
    """Note a value that is not a finite number above zero."""
    if not is_number(problems, value, where):
        return False
    if value <= 0:
        problems.add(f"{value!r} is not above zero.", where=where)
        return False
    return True


def is_text(problems: Problems, value: Any, where: str, *, empty: bool = False) -> bool:
    """Note a value that is not text, or is empty where it may not be."""
    if isinstance(value, str) and (empty or value.strip()):
        return True
    problems.add(f"{value!r} is not {'text' if empty else 'a name'}.", where=where)
    return False


def is_one_of(problems: Problems, value: Any, where: str, choices: Collection[str]) -> bool:
    """Note a value that is not among the names allowed, with a suggestion."""
    if isinstance(value, str) and value in choices:
        return True
    text = str(value)
    near = text.upper() if text.upper() in choices else text
    problems.add(f"{value!r} is unknown.", where=where, fix=suggestion(near, choices))
    return False


def is_month(problems: Problems, value: Any, where: str) -> bool:
    """Note a value that is not a month written CCYYMM."""
    if isinstance(value, int) and not isinstance(value, bool):
        year, month = divmod(value, 100)
        if _FIRST_YEAR <= year <= _LAST_YEAR and 1 <= month <= 12:
            return True
    problems.add(f"{value!r} is not a month CCYYMM.", where=where, fix="Write September 2026 as 202609.")
    return False


def plain(number: float) -> str:
    """Return a number as its shortest decimal form reads, without exponent or trailing zeros."""
    return _trimmed(Decimal(repr(float(number))))


def percent(rate: float) -> str:
    """Return a decimal rate in per cent, written as `plain` writes: 0.0425 is `4.25`."""
    return _trimmed(Decimal(repr(float(rate))).scaleb(2))


def basis_points(rate: float) -> str:
    """Return a decimal rate in basis points, written as `plain` writes: 0.0012 is `12`."""
    return _trimmed(Decimal(repr(float(rate))).scaleb(4))


def digest(value: Any) -> str:
    """Return eight characters that stand for a value too long for a name."""
    return blake2b(repr(value).encode(), digest_size=4).hexdigest()


def kind_at(kind: str, clearing: str, places: Collection[str]) -> str:
    """Return the kind of a product cleared at one of `places`: the plain one at the usual place, which comes first."""
    return kind if clearing == next(iter(places)) else f"{clearing.lower()}_{kind}"


def _trimmed(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
