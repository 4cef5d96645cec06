"""What the definitions of an XML SPAN file say: combined commodities, spreads, currency rates, rates of account types.

`read_definition` takes an element that has ended; `Definitions` gives what they say together. Rates on the price risk
are per cent; a file all of whose rates are at most one is read as fractions, and says so in a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TypeAlias
from xml.etree.ElementTree import Element

import numpy as np
from attrs import define, evolve, field

from crossmargin.io.span.tables import Contracts, ProductFamily
from crossmargin.io.span.terms import built, month_ranges, needed
from crossmargin.span.portfolio import (
    CalendarSpread,
    ChargeMethod,
    CombinedCommodity,
    CreditMethod,
    InterSpread,
    Leg,
    MonthRange,
    PriceRiskMethod,
    ScanSpread,
    Side,
    SpotMonth,
    Tier,
)

Key: TypeAlias = tuple[str, str, str]

_PRICE_RISK: Mapping[str, PriceRiskMethod] = {
    "": "normal",
    "NORMAL": "normal",
    "SCANRANGE_CAP": "scan_range_cap",
    "SCANRANGE": "scan_range",
}
_CHARGES: Mapping[str, ChargeMethod] = {"": "flat", "F": "flat", "P": "per_month", "W": "price_risk"}
_CREDITS: Mapping[str, CreditMethod] = {"": "price_risk", "F": "flat", "P": "per_month", "W": "price_risk"}
_ACCOUNT_TYPES = {"M": "member", "H": "hedger", "S": "speculator"}
_TRUE = frozenset({"1", "true", "True"})
_PER_CENT = 100.0


@define
class Definitions:
    """Definitions read so far; `rate_id` names the rates and arrays that are read, of a maintenance level if any."""

    rate_id: str = ""
    rate_is_maintenance: bool = False
    rates: dict[str, tuple[str, bool]] = field(factory=dict)  # account type and maintenance, by rate
    family_ids: dict[tuple[str, str], Key] = field(factory=dict)
    links: dict[Key, tuple[str, float]] = field(factory=dict)  # commodity and scaling, by family
    exponents: dict[str, float] = field(factory=dict)
    elements: dict[str, Element] = field(factory=dict)
    spreads: list[Element] = field(factory=list)
    per_cent: float = 1.0  # what rates on the price risk are multiplied by
    currency_rates: dict[tuple[str, str], float] = field(factory=dict)

    def commodity_of(self, key: Key) -> str:
        """Return the code of a family's combined commodity, empty for none."""
        return self.links[key][0] if key in self.links else ""

    def scaling_of(self, key: Key) -> float:
        """Return the delta scaling factor that the commodity gives a family, NaN for none."""
        return self.links[key][1] if key in self.links else np.nan

    def scale_of(self, commodity: str) -> float:
        """Return what arrays and money of a commodity are multiplied by."""
        return float(10.0 ** self.exponents.get(commodity, 0.0))

    def commodities(
        self, families: tuple[ProductFamily, ...], contracts: Contracts, node: str
    ) -> tuple[dict[str, CombinedCommodity], list[str]]:
        """Return the combined commodities, and what kept any from being one."""
        told: list[str] = []
        self.per_cent = _PER_CENT if 0 < max(_price_risk_rates(self), default=0.0) <= 1 else 1.0
        ranges = month_ranges(families, contracts)
        found: dict[str, CombinedCommodity] = {}
        for code, element in self.elements.items():
            make = partial(_commodity, self, element, (node, ranges.get(code, ())))
            for made in built(make, told, f"combined commodity {code}"):
                found[code] = made
        return found, told

    def between(self) -> tuple[tuple[InterSpread, ...], tuple[ScanSpread, ...], list[str]]:
        """Return the spreads between commodities, delta-based and scanning-based, and notes on them."""
        told: list[str] = []
        inter: list[InterSpread] = []
        scanning: list[ScanSpread] = []
        for element in self.spreads:
            where = f"inter-commodity spread {text_of(element, 'spread')}"
            if element.tag == "sSpread":
                scanning += built(partial(_scan_spread, self, element), told, where)
            else:
                inter += built(partial(_inter_spread, self, element), told, where)
        if self.per_cent != 1:
            told.append("rates of spreads are at most one and read as fractions.")
        return tuple(inter), tuple(scanning), told


def text_of(element: Element, name: str) -> str:
    """Return the text of a child without blanks around it, empty when there is none."""
    return (element.findtext(name) or "").strip()


def number_of(text: str) -> float | None:
    """Return the finite number that a text is, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value - value == 0 and "_" not in text else None  # infinities and NaN less themselves are NaN


def read_definition(known: Definitions, element: Element, parent: str) -> bool:
    """Take one definition; False when it is none of those that are read."""
    if element.tag == "ccDef" and parent == "clearingOrg":
        _read_commodity(known, element)
    elif element.tag in {"dSpread", "sSpread"} and parent in {"interSpreads", "superSpreads"}:
        known.spreads.append(element)
    elif element.tag == "curConv":
        factor = number_of(text_of(element, "factor"))
        if factor:
            known.currency_rates[text_of(element, "fromCur"), text_of(element, "toCur")] = factor
    elif element.tag == "pbRateDef":
        maintenance = text_of(element, "isM") in _TRUE
        known.rates[text_of(element, "r")] = (text_of(element, "acctType"), maintenance)
        if not known.rate_id or (maintenance and not known.rate_is_maintenance):
            known.rate_id, known.rate_is_maintenance = text_of(element, "r"), maintenance
    else:
        return False
    return True


def _read_commodity(known: Definitions, element: Element) -> None:
    code = text_of(element, "cc")
    exponent = number_of(text_of(element, "riskExponent") or "0")
    known.elements.setdefault(code, element)
    known.exponents.setdefault(code, exponent if exponent is not None and abs(exponent) <= 15 else 0.0)
    for link in element.findall("pfLink"):
        exchange = text_of(link, "exch")
        key = (exchange, text_of(link, "pfCode"), text_of(link, "pfType"))
        scaling = number_of(text_of(link, "sc"))
        key = known.family_ids.get((exchange, text_of(link, "pfId")), key)
        known.links.setdefault(key, (code, np.nan if scaling is None else scaling))


def _commodity(known: Definitions, element: Element, outside: tuple[str, tuple[MonthRange, ...]]) -> CombinedCommodity:
    gaps: list[str] = []
    code = text_of(element, "cc")
    scale = known.scale_of(code)
    node, ranges = outside
    method = _PRICE_RISK.get(text_of(element, "wfprMeth").upper())
    if method is None or (method != "normal" and not ranges):
        gaps.append(f"weighted price risk method {text_of(element, 'wfprMeth')}")
        method = "normal"
    tiers = _tiers(element, "intraTiers", gaps)
    scan_tiers, rate = _short_option_rates(known, element, (_tiers(element, "scanTiers", gaps), scale), gaps)
    series, tiered = _calendar_spreads(known, element, (tiers, scale), gaps)
    adjustments, initial = _adjustments(known, element, gaps)
    return CombinedCommodity(
        code=code,
        currency=text_of(element, "currency") or "USD",
        scan_tiers=scan_tiers,
        inter_tiers=_tiers(element, "interTiers", gaps),
        tiers=tiers,
        series_spreads=series,
        tier_spreads=tiered,
        spot_months=_spot_months(known, element, scale, gaps),
        short_option_rate=rate,
        short_option_method="max" if text_of(element, "somMeth").upper() == "MAX" else "sum",
        price_risk_method=method,
        month_ranges=ranges,
        initial_ratios=initial,
        adjustment_factors=adjustments,
        limit_option_value=text_of(element, "capAnov") in _TRUE,
        value_node=node,
        gaps=gaps,
    )


def _month(text: str) -> int | None:
    return int(text[:6]) if text[:6].isascii() and text[:6].isdigit() and len(text) >= 6 else None


def _tiers(element: Element, name: str, gaps: list[str]) -> tuple[Tier, ...]:
    found: dict[int, Tier] = {}
    for each in element.findall(f"{name}/tier"):
        months = _month(text_of(each, "sPe")), _month(text_of(each, "ePe"))
        if None in months:
            continue  # one tier of all months, which is what having none means
        make = partial(Tier, int(number_of(text_of(each, "tn")) or 0), needed(months[0]), needed(months[1]))
        found |= {tier.number: tier for tier in built(make, gaps, f"tier of {name}")}
    return tuple(found.values())


def _rate(known: Definitions, element: Element) -> float | None:
    """Return the rate of an element that is read, else its first."""
    rates = element.findall("rate")
    chosen = next((each for each in rates if text_of(each, "r") == known.rate_id), rates[0] if rates else None)
    return None if chosen is None else number_of(text_of(chosen, "val"))


def _short_option_rates(
    known: Definitions, element: Element, scanned: tuple[tuple[Tier, ...], float], gaps: list[str]
) -> tuple[tuple[Tier, ...], float]:
    """Return scanning tiers with the short option rates of their numbers, or one rate for all."""
    tiers, scale = scanned
    rates = {text_of(each, "tn"): _rate(known, each) or 0.0 for each in element.findall("somTiers/tier")}
    if len(rates) == 1 or len(set(rates.values())) == 1:
        return tiers, next(iter(rates.values())) * scale
    if set(rates) == {str(tier.number) for tier in tiers}:
        return tuple(evolve(tier, short_option_rate=rates[str(tier.number)] * scale) for tier in tiers), 0.0
    if rates:
        gaps.append("short option rates by tiers that are no scanning tiers")
    return tiers, 0.0


def _calendar_spreads(
    known: Definitions, element: Element, tiered: tuple[tuple[Tier, ...], float], gaps: list[str]
) -> tuple[list[CalendarSpread], list[CalendarSpread]]:
    """Return spreads between series, and between tiers."""
    tiers, scale = tiered
    numbers = {tier.number for tier in tiers}
    found: dict[str, list[CalendarSpread]] = {"pLeg": [], "tLeg": []}
    for each in element.findall("dSpread"):
        where = f"calendar spread {text_of(each, 'spread')}"
        kinds = {leg.tag for leg in each if leg.tag.endswith("Leg")}
        if len(kinds) != 1 or not kinds <= set(found) or each.find("volRate") is not None:
            gaps.append(f"{where}: legs or offsets of a kind that is not modelled")
            continue
        kind = kinds.pop()
        for spread in built(partial(_calendar_spread, known, each, (kind, scale)), gaps, where):
            if kind == "tLeg" and not numbers >= {leg.on for leg in spread.legs}:
                gaps.append(f"{where} names a tier that the file does not define")
            else:
                found[kind].append(spread)
    return found["pLeg"], found["tLeg"]


def _calendar_spread(known: Definitions, element: Element, kind: tuple[str, float]) -> CalendarSpread:
    tag, scale = kind
    legs = [
        Leg(
            needed(_month(text_of(leg, "pe")) if tag == "pLeg" else _whole(text_of(leg, "tn"))),
            needed(number_of(text_of(leg, "i"))),
            _side(leg),
        )
        for leg in element.findall(tag)
    ]
    method: ChargeMethod = needed(_CHARGES.get(text_of(element, "chargeMeth")))
    charge = needed(_rate(known, element)) * (known.per_cent if method == "price_risk" else scale)
    return CalendarSpread(needed(_whole(text_of(element, "spread"))), charge, legs, method=method)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _side(leg: Element) -> Side:
    return "B" if text_of(leg, "rs") == "B" else "A"


def _spot_months(known: Definitions, element: Element, scale: float, gaps: list[str]) -> list[SpotMonth]:
    found: dict[int, SpotMonth] = {}
    for each in element.findall("spotRate"):
        if known.rate_id and text_of(each, "r") not in {known.rate_id, ""}:
            continue

        charges = [number_of(text_of(each, name)) for name in ("sprd", "outr")]
        make = partial(_spot_month, _month(text_of(each, "pe")), charges, scale)
        found |= {made.month: made for made in built(make, gaps, "spot month")}
    return list(found.values())


def _spot_month(month: int | None, charges: list[float | None], scale: float) -> SpotMonth:
    consumed, remaining = (needed(charge) * scale for charge in charges)
    return SpotMonth(needed(month), consumed, remaining)


def _adjustments(known: Definitions, element: Element, gaps: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Return adjustment factors and initial ratios by account type."""
    found: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for each in element.findall("adjRate"):
        kind, maintenance = known.rates.get(text_of(each, "r"), ("", True))
        value = number_of(text_of(each, "val"))
        account_type = _ACCOUNT_TYPES.get(kind[:1].upper())
        if account_type and value:
            found[0 if maintenance else 1].setdefault(account_type, value)
        elif value != 1:
            gaps.append(f"adjustment {text_of(each, 'val')} of rate {text_of(each, 'r')}")
    for factors in filter(None, found):
        factors.update({each: factors.get(each, 1.0) for each in _ACCOUNT_TYPES.values()})  # what none adjusts stays
    return found


def _legs(element: Element, tag: str, known: Definitions | None = None) -> list[Leg]:
    return [
        Leg(
            needed(text_of(leg, "cc") or None),
            number_of(text_of(leg, "i")) or 1.0,
            _side(leg),
            tier=None if known is None else _leg_tier(known, leg),
            required=text_of(leg, "isRequired") not in {"0", "false"},
        )
        for leg in element.findall(tag)
        if text_of(leg, "isTarget") not in _TRUE
    ]


def _leg_tier(known: Definitions, leg: Element) -> int | None:
    """Return the tier that a leg names, where its commodity has several."""
    commodity = known.elements.get(text_of(leg, "cc"))
    tiered = commodity is not None and _tiers(commodity, "interTiers", [])
    return _whole(text_of(leg, "tn")) if tiered else None


def _credit_rate(known: Definitions, element: Element) -> float | None:
    """Return the rate of a spread, else that of its first leg."""
    first, rate = element.find("tLeg"), _rate(known, element)
    return _rate(known, first) if rate is None and first is not None else rate


def _price_risk_rates(known: Definitions) -> list[float]:
    """Return the rates on the price risk of every spread that is read, inside commodities and between them."""
    between = ((each, _CREDITS) for each in known.spreads if each.tag == "dSpread")
    inside = ((each, _CHARGES) for commodity in known.elements.values() for each in commodity.findall("dSpread"))
    rates = (
        _credit_rate(known, each)
        for each, methods in (*between, *inside)
        if methods.get(text_of(each, "chargeMeth")) == "price_risk"
    )
    return [rate for rate in rates if rate is not None]


def _inter_spread(known: Definitions, element: Element) -> InterSpread:
    legs = [*_legs(element, "tLeg", known), *_legs(element, "pLeg")]
    rate = _credit_rate(known, element)
    method: CreditMethod = needed(_CREDITS.get(text_of(element, "chargeMeth")))
    amount = needed(rate) * (known.per_cent if method == "price_risk" else 1.0)
    return InterSpread(needed(_whole(text_of(element, "spread"))), amount, legs, method=method)


def _scan_spread(known: Definitions, element: Element) -> ScanSpread:
    target = next((leg for leg in element.findall("sLeg") if text_of(leg, "isTarget") in _TRUE), None)
    ratio = number_of(text_of(target, "i")) if target is not None else None
    rate = needed(_rate(known, element))
    return ScanSpread(
        needed(_whole(text_of(element, "spread"))),
        rate * _PER_CENT if rate <= 1 else rate,
        _legs(element, "sLeg"),
        (text_of(target, "cc") if target is not None else "") or "target",
        target_ratio=1.0 if ratio is None else ratio,
        minimum_legs=_whole(text_of(element, "numLegsReq")) or 2,
    )
