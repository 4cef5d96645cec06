"""The small words of symbols: days with short years and months by name, CUSIP and ISIN with their check digits.

Call `calendar_day`, `isin_of_cusip`, `cusip_of_isin`. Nothing here knows a product.
"""

from __future__ import annotations

import re
from datetime import date

MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_CUSIP = re.compile(r"[0-9A-Z]{2}\d[0-9A-Z]{5}\d")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}\d")
_OF_CUSIPS = ("US", "CA")  # countries whose ISIN holds a CUSIP
_FIRST_OF_LAST_CENTURY = 70  # two digits from here on mean 19xx: no position is that far ahead


def calendar_day(year: str, month: str, day: str) -> date | None:
    """Return a date from its written parts, None when there is no such day.

    Examples
    --------
    >>> calendar_day("19", "JAN", "25"), calendar_day("2019", "2", "30")
    (datetime.date(2019, 1, 25), None)
    """
    years = int(year) if len(year) == 4 else int(year) + (1900 if int(year) >= _FIRST_OF_LAST_CENTURY else 2000)
    if not month.isdigit() and month[:3] not in MONTH_NAMES:
        return None
    try:
        return date(years, int(month) if month.isdigit() else MONTH_NAMES.index(month[:3]) + 1, int(day))
    except ValueError:
        return None


def right_check_digit(cusip: str) -> str:
    """Return the ninth character that the first eight ask for.

    References
    ----------
    ANSI X9.6: every second value is doubled, the digits of all are added, and the tens complement is taken.

    Examples
    --------
    >>> right_check_digit("03783310")
    '0'
    """
    values = (_value(letter) * (1 + place % 2) for place, letter in enumerate(cusip[:8]))
    return str(-sum(value // 10 + value % 10 for value in values) % 10)


def looks_like_cusip(text: str) -> bool:
    """Whether a text has the form of a CUSIP, its check digit right or wrong."""
    return bool(_CUSIP.fullmatch(text))


def is_cusip(text: str) -> bool:
    """Whether a text is a CUSIP with the right check digit.

    Examples
    --------
    >>> is_cusip("037833100"), is_cusip("037833101")
    (True, False)
    """
    return looks_like_cusip(text) and text[8] == right_check_digit(text)


def isin_of_cusip(cusip: str, country: str = "US") -> str:
    """Return the ISIN of a CUSIP.

    References
    ----------
    ISO 6166: letters become two digits, and the Luhn formula gives the last one.

    Examples
    --------
    >>> isin_of_cusip("037833100")
    'US0378331005'
    """
    digits = "".join(str(_value(letter)) for letter in country + cusip)
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits)))
    return f"{country}{cusip}{-sum(value // 10 + value % 10 for value in doubled) % 10}"


def cusip_of_isin(isin: str) -> str:
    """Return the CUSIP inside an ISIN; "" for a text that is no sound ISIN, or one without a CUSIP.

    Examples
    --------
    >>> cusip_of_isin("US0378331005"), cusip_of_isin("CH0127181193")
    ('037833100', '')
    """
    cusip, country = isin[2:11], isin[:2]
    sound = _ISIN.fullmatch(isin) and country in _OF_CUSIPS and is_cusip(cusip)
    return cusip if sound and isin_of_cusip(cusip, country) == isin else ""


def _value(letter: str) -> int:
    return int(letter, 36)
