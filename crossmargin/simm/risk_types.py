"""The vocabulary of SIMM as data: product classes, risk classes, and what the fields of each CRIF risk type mean.

`RISK_TYPES` names for each type of sensitivity the risk class and the measure it belongs to, and the fields that tell
its risk factors apart. No weight, correlation or threshold stands here: those come from a calibration file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import frozen

PRODUCT_CLASSES = ("RatesFX", "Credit", "Equity", "Commodity")
RISK_CLASSES = ("interest_rate", "credit_qualifying", "credit_non_qualifying", "equity", "commodity", "fx")
MEASURES = ("delta", "vega", "curvature", "base_correlation")
KEYS = ("product_class", "risk_type", "qualifier", "bucket", "label1", "label2")
RESIDUAL = "Residual"

_TENOR = re.compile(r"(\d+)([dwmy])")
# Calendar days of a tenor's unit; a month is a twelfth of a year of 365 days.
_UNIT_DAYS: Mapping[str, float] = MappingProxyType({"d": 1.0, "w": 7.0, "m": 365 / 12, "y": 365.0})


@frozen
class RiskType:
    """What a CRIF risk type is.

    `keys` are the fields, beside product class and risk type, whose values tell risk factors apart: rows equal in them
    net, other fields are ignored. `qualifier` says whether that field is a currency, a currency pair or a name.
    """

    name: str
    risk_class: str
    measure: str
    keys: tuple[str, ...]
    qualifier: str = "name"


_NAME, _BUCKETED, _BY_TENOR = ("qualifier",), ("qualifier", "bucket"), ("qualifier", "label1")
_BUCKET_TENOR, _CREDIT = (*_BUCKETED, "label1"), (*_BUCKETED, "label1", "label2")

RISK_TYPES: Mapping[str, RiskType] = MappingProxyType(
    {
        each.name: each
        for each in (
            RiskType("Risk_IRCurve", "interest_rate", "delta", (*_BY_TENOR, "label2"), "currency"),
            RiskType("Risk_Inflation", "interest_rate", "delta", _NAME, "currency"),
            RiskType("Risk_XCcyBasis", "interest_rate", "delta", _NAME, "currency"),
            RiskType("Risk_IRVol", "interest_rate", "vega", _BY_TENOR, "currency"),
            RiskType("Risk_InflationVol", "interest_rate", "vega", _BY_TENOR, "currency"),
            RiskType("Risk_CreditQ", "credit_qualifying", "delta", _CREDIT),
            RiskType("Risk_CreditVol", "credit_qualifying", "vega", _CREDIT),
            RiskType("Risk_BaseCorr", "credit_qualifying", "base_correlation", _NAME),
            RiskType("Risk_CreditNonQ", "credit_non_qualifying", "delta", _CREDIT),
            RiskType("Risk_CreditVolNonQ", "credit_non_qualifying", "vega", _CREDIT),
            RiskType("Risk_Equity", "equity", "delta", _BUCKETED),
            RiskType("Risk_EquityVol", "equity", "vega", _BUCKET_TENOR),
            RiskType("Risk_Commodity", "commodity", "delta", _BUCKETED),
            RiskType("Risk_CommodityVol", "commodity", "vega", _BUCKET_TENOR),
            RiskType("Risk_FX", "fx", "delta", _NAME, "currency"),
            RiskType("Risk_FXVol", "fx", "vega", _BY_TENOR, "pair"),
        )
    }
)
TYPE_NAMES = tuple(RISK_TYPES)
INSIDE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: tuple(each.name for each in RISK_TYPES.values() if each.risk_class == name) for name in RISK_CLASSES}
)


def calendar_days(tenor: str) -> float:
    """Return the calendar days of a tenor such as 2w, 3m or 10y; a month is 365/12 days.

    Examples
    --------
    >>> calendar_days("2w"), calendar_days("1y"), round(calendar_days("1m"), 4)
    (14.0, 365.0, 30.4167)
    """
    match = _TENOR.fullmatch(tenor)
    if not match:
        raise ValueError(f"{tenor!r} is no tenor")
    return int(match[1]) * _UNIT_DAYS[match[2]]


# ---------------------------------------------------------------------------------------- one field of a row
# Each function returns the value as the calculation compares it, or None when it is wrong.


def tenor(text: str) -> str | None:
    """Return a tenor in small letters."""
    text = text.lower()
    match = _TENOR.fullmatch(text)
    return text if match and int(match[1]) > 0 else None


def currency(text: str) -> str | None:
    """Return a currency code in capitals."""
    return text.upper() if len(text) == 3 and text.isascii() and text.isalpha() else None


def pair(text: str) -> str | None:
    """Return two currencies in alphabetical order: a pair has no direction."""
    first, second = currency(text[:3]), currency(text[3:])
    return "".join(sorted((first, second))) if first and second and first != second else None


def bucket(text: str) -> str | None:
    """Return a bucket; the residual one may be written in any case."""
    return RESIDUAL if text.lower() == RESIDUAL.lower() else text or None


def name(text: str) -> str | None:
    """Return a name that is not blank."""
    return text or None


def label(text: str) -> str | None:
    """Return any text, also none."""
    return text


Rule = tuple[Callable[[str], str | None], str]  # how a value is read, what to give instead of a wrong one
_QUALIFIERS: Mapping[str, Rule] = MappingProxyType(
    {
        "currency": (currency, "Give three letters, as USD."),
        "pair": (pair, "Give two different currencies, as EURUSD."),
        "name": (name, "Give the name that the sensitivity is to."),
    }
)
_FIELDS: Mapping[str, Rule] = MappingProxyType(
    {
        "bucket": (bucket, "Give the bucket, or Residual."),
        "label1": (tenor, "Give a tenor, as 2w, 3m or 10y."),
        "label2": (label, ""),
    }
)


def rule_of(risk_type: RiskType, field: str) -> Rule:
    """Return how a field that tells the factors of a risk type apart is read."""
    return _QUALIFIERS[risk_type.qualifier] if field == "qualifier" else _FIELDS[field]
