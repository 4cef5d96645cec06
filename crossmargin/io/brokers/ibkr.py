"""Interactive Brokers: Flex queries in XML.

Quirks: bare `&` and doubled attributes, several days, accounts and levels of detail in one file, dates as 20250115 or
2025-01-15, CUSIP and terms of a Treasury in different attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from html import unescape
from types import MappingProxyType

from attrs import frozen

from crossmargin.errors import InputError, Problem
from crossmargin.io.brokers.cells import day_of
from crossmargin.io.brokers.statement import Aside, Holding, Item, Money, Unread

NAME = "Interactive Brokers Flex query"
ROOT = "FlexQueryResponse"
_HINTS: Mapping[str, str] = MappingProxyType(
    {"STK": "", "OPT": "", "FUT": "", "FOP": "", "BOND": "treasury", "BILL": "treasury_bill"}
)
_STOCK_HINTS: Mapping[str, str] = MappingProxyType({"COMMON": "stock", "ETF": "etf"})
_COMMENT = re.compile(r"<!--.*?-->|<\?.*?\?>", re.DOTALL)
_TAG = re.compile(
    r"<(?P<close>/?)(?P<tag>[A-Za-z]\w*)(?P<rest>(?:\s+[\w:.-]+\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'))*)\s*(?P<leaf>/?)>"
)
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_TREASURY = re.compile(r"\bU\.?S\.? TREAS|\bUNITED STATES TREAS")
_CONTAINERS = frozenset({"FlexQueryResponse", "FlexStatements", "FlexStatement"})
_SUMMARY = "BASE_SUMMARY"


@frozen
class _Element:
    place: str
    tag: str
    values: Mapping[str, str]
    doubled: tuple[str, ...] = ()

    def get(self, name: str) -> str:
        return self.values.get(name, "")

    @property
    def text(self) -> str:
        return " ".join(
            [self.tag, *(self.get(name) for name in ("symbol", "description", "currency") if self.get(name))]
        )

    @property
    def contract(self) -> tuple[str, str]:
        return self.get("accountId"), self.get("conid") or self.get("symbol")

    @property
    def reported(self) -> date | None:
        return day_of(self.get("reportDate"))


def flex_items(text: str, name: str) -> tuple[date | None, list[Item]]:
    """Return the date of a Flex query and what each of its elements says.

    Raises
    ------
    InputError
        The text is cut off or is no such query; with the line.
    """
    elements = list(_elements(text, name))
    held = [each for each in elements if each.tag == "OpenPosition"]
    last = max((each.reported for each in held if each.reported), default=None)
    summed = {each.contract for each in held if each.get("levelOfDetail") == "SUMMARY"}
    ends = [day for each in elements if each.tag == "FlexStatement" and (day := day_of(each.get("toDate")))]
    rows = [each for each in elements if each.tag not in _CONTAINERS]
    issues = {each.get("conid"): day_of(each.get("issueDate")) for each in rows if each.tag == "SecurityInfo"}
    items = [_item(each, last=last, summed=summed, issue=issues.get(each.get("conid"))) for each in rows]
    return last or max(ends, default=None), items


def _item(element: _Element, *, last: date | None, summed: set[tuple[str, str]], issue: date | None) -> Item:
    if element.tag == "CashReportCurrency":
        return _cash(element)
    if element.tag != "OpenPosition":
        return Aside(element.place, element.text, f"A {element.tag}, not a position.")
    if element.doubled:
        names = ", ".join(element.doubled)
        return Unread(element.place, element.text, f"Gives {names} twice. Export the query again.")
    if element.reported and last and element.reported < last:
        return Aside(element.place, element.text, f"Of {element.reported}; the last day in the file is {last}.")
    if element.get("levelOfDetail") == "LOT" and element.contract in summed:
        return Aside(element.place, element.text, "A lot of a position that stands in the file as a sum.")
    return _position(element, issue)


def _cash(element: _Element) -> Item:
    currency = element.get("currency")
    if currency == _SUMMARY:
        return Aside(element.place, element.text, "The sum of the cash in all currencies.")
    return Money(
        element.place, element.text, element.get("endingCash"), currency=currency, account=element.get("accountId")
    )


def _position(element: _Element, issue: date | None) -> Item:
    category = element.get("assetCategory")
    names = f"{element.get('issuer')} {element.get('description')}".upper()
    if category not in _HINTS:
        return Unread(element.place, element.text, f"Positions of category {category!r} are not modelled.")
    if category in {"BOND", "BILL"} and not _TREASURY.search(names):
        return Unread(element.place, element.text, "A bond that is no Treasury; those are not modelled.")
    symbol, description = element.get("symbol"), element.get("description")
    if category in {"BOND", "BILL"}:
        description, symbol = f"{symbol} {description}", element.get("cusip") or symbol
    option = None
    if category == "FOP":
        option = _option(element)
        if option is None:
            return Unread(element.place, element.text, "An option on a future without right, strike or expiry.")
        symbol = element.get("underlyingSymbol")
    return Holding(
        element.place,
        " ".join(f"{name}={value}" for name, value in element.values.items() if value),
        symbol,
        element.get("position"),
        description=description,
        hint=_STOCK_HINTS.get(element.get("subCategory"), "") if category == "STK" else _HINTS[category],
        price=element.get("markPrice"),
        value=element.get("positionValue"),
        currency=element.get("currency"),
        account=element.get("accountId"),
        side=element.get("side"),
        multiplier="" if category in {"STK", "BOND", "BILL"} else element.get("multiplier"),
        issue=issue,
        option=option,
    )


def _option(element: _Element) -> tuple[str, float, date] | None:
    expiry, right = day_of(element.get("expiry")), element.get("putCall")
    try:
        strike = float(element.get("strike"))
    except ValueError:
        return None
    return (right, strike, expiry) if expiry and right in {"C", "P"} else None


def _elements(text: str, name: str) -> Iterator[_Element]:
    """Yield the start tags that carry attributes, in order; refuse what is no tag and what is not closed."""
    plain = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text)
    at, line, opened = 0, 1, list[str]()
    while (start := plain.find("<", at)) >= 0:
        line += plain.count("\n", at, start)
        match = _TAG.match(plain, start)
        if not match:
            what = "is no readable XML" if ">" in plain[start:] else "is cut off inside an element"
            raise InputError([Problem(f"{what}.", f"{name} line {line}", "Export the query again.")])
        if match["close"]:
            if not opened or opened.pop() != match["tag"]:
                fix = "Export the query again."
                raise InputError([Problem(f"closes {match['tag']}, which is not open.", f"{name} line {line}", fix)])
        else:
            if not match["leaf"]:
                opened.append(match["tag"])
            if match["rest"]:
                yield _element(f"{name} line {line}", match["tag"], _ATTRIBUTE.findall(match["rest"]))
        line += plain.count("\n", start, match.end())
        at = match.end()
    if opened:
        fix = "The file is cut off: export the query again."
        raise InputError([Problem(f"{opened[-1]} is not closed.", f"{name} line {line}", fix)])


def _element(place: str, tag: str, pairs: Sequence[tuple[str, str, str]]) -> _Element:
    values: dict[str, str] = {}
    doubled = []
    for name, double, single in pairs:
        value = unescape(double or single).strip()
        if values.setdefault(name, value) != value:
            doubled.append(name)
    return _Element(place, tag, MappingProxyType(values), tuple(doubled))
