"""Numbers and days as statements print them: `$1,234.50`, `(500)`, `--`, `01/02/2019`, `20190102`.

Call `amount` and `day_of`. Both refuse what could be read in two ways, and say so.
"""

from __future__ import annotations

import re
from datetime import date
from math import isfinite

from crossmargin.io.symbol_words import calendar_day

BLANKS = frozenset({"", "--", "-", "N/A", "NA", "NULL", "NONE"})
_ORDINARY = re.compile(r"-?\d+(?:\.\d+)?")
_PLAIN = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:E[-+]?\d+)?")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d*)?")
_FOREIGN = re.compile(r"[€£¥₹]|\b(?:EUR|GBP|CHF|JPY|CAD|AUD|INR|HKD)\b|[A-Z]\$")
_DAYS = (
    re.compile(r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})"),
    re.compile(r"(?P<y>\d{4})/(?P<m>\d{2})/(?P<d>\d{2})"),
    re.compile(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})"),
    re.compile(r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4}|\d{2})"),
    re.compile(r"(?P<d>\d{1,2})-(?P<m>[A-Z]{3})-(?P<y>\d{4}|\d{2})"),
)


def is_blank(text: str) -> bool:
    """Whether a cell says that there is nothing."""
    return text.strip().upper() in BLANKS


def amount(text: str) -> float:
    """Return the number in a cell, in US notation; brackets are a minus.

    Raises
    ------
    ValueError
        The cell holds no number, an infinite one, or one in another notation.

    Examples
    --------
    >>> amount("$1,234.50"), amount("(500)"), amount("-$0.06")
    (1234.5, -500.0, -0.06)
    >>> amount("1.234,50")
    Traceback (most recent call last):
        ...
    ValueError: '1.234,50' has its separators in another notation. Write 1234.50 or 1,234.50.
    """
    if _ORDINARY.fullmatch(text) and isfinite(ordinary := float(text)):
        return ordinary  # most cells by far
    bare = text.strip().upper().removeprefix("USD").strip()
    bracketed = bare.startswith("(") and bare.endswith(")")
    bare = bare[1:-1] if bracketed else bare
    sign = -1.0 if bracketed else 1.0
    while bare[:1] in {"-", "+", "$"} and bare:
        sign, bare = (-sign if bare[0] == "-" else sign), bare[1:].strip()
    if not (_PLAIN.fullmatch(bare) or _GROUPED.fullmatch(bare)):
        if re.fullmatch(r"[\d.,' ]+", bare) and re.search(r"\d", bare):
            raise ValueError(f"{text!r} has its separators in another notation. Write 1234.50 or 1,234.50.")
        if _FOREIGN.search(bare):
            raise ValueError(f"{text!r} is in another currency; positions are margined in USD.")
        raise ValueError(f"{text!r} is no number.")
    number = sign * float(bare.replace(",", ""))
    if not isfinite(number):
        raise ValueError(f"{text!r} is not finite.")
    return number


def day_of(text: str) -> date | None:
    """Return the date in a cell, None when there is none; days with slashes have the month first.

    Examples
    --------
    >>> day_of("02/05/2019").isoformat(), day_of("20190205;111213").isoformat(), day_of("28-Aug-25").isoformat()
    ('2019-02-05', '2019-02-05', '2025-08-28')
    """
    bare = text.strip().upper().split(";")[0]
    for form in _DAYS:
        if match := form.fullmatch(bare):
            return calendar_day(match["y"], match["m"], match["d"])
    return None
