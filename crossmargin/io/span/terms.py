"""What the records of a positional SPAN file say together: product families, combined commodities, spreads, rates.

Call `put_together`. Money comes out with the risk exponent of its commodity applied. What a record asks and the
calculation cannot do is a gap of its commodity or a note of the file, never dropped in silence. Arrays are elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.errors import InputError, Problem, counted
from crossmargin.io.span.layouts import LAYOUTS, Layout
from crossmargin.io.span.tables import Contracts, FloatArray, IntArray, ProductFamily
from crossmargin.span.portfolio import (
    CalendarSpread,
    CombinedCommodity,
    CreditMethod,
    InterSpread,
    Leg,
    MonthRange,
    PriceRiskMethod,
    ScanSpread,
    SpotMonth,
    Tier,
)

Record: TypeAlias = Mapping[str, Any]
Numbered: TypeAlias = tuple[int, Record]
Key: TypeAlias = tuple[str, str, str]
_Built = TypeVar("_Built")

ACCOUNT_TYPES = ("member", "hedger", "speculator")

_NO_CHARGE, _TABLE, _OVERALL, _TIERED, _SCANNING = "01", "10", ("01", "10"), "20", "04"
_PRICE_RISK: Mapping[int, PriceRiskMethod] = {1: "normal", 2: "scan_range_cap", 3: "scan_range"}
_CREDITS: Mapping[str | None, CreditMethod] = {None: "price_risk", "W": "price_risk", "F": "flat", "P": "per_month"}
_FLAT_DECIMALS, _RATE_DECIMALS = 2, 4  # a flat credit is an amount, and its digits count two decimals instead of four
_MAXIMUM = 1
# Methods of record S: by which its tiers are scanned, spread with other commodities, and given short option minimums.
_SCANNED_BY, _SPREAD_BY, _MINIMUM_BY = ("10", "21", "22"), ("20", "21", "23"), "30"
_SPREADS_ON = {"month": "E ", "tier": "C "}


@frozen(eq=False)
class Parameters:
    """Array parameters in columns: the family and month that each is for, and money of one contract."""

    families: tuple[Key, ...]
    family: IntArray
    month: IntArray
    price_scan_range: FloatArray
    delta_scaling: FloatArray
    value_factor: FloatArray


@frozen
class Terms:
    """What `put_together` found: families and their price records, combined commodities, spreads, rates, notes."""

    families: Mapping[Key, ProductFamily]
    quotes: Mapping[Key, Record]
    exponents: Mapping[str, int]
    commodities: Mapping[str, CombinedCommodity]
    inter_spreads: tuple[InterSpread, ...]
    scan_spreads: tuple[ScanSpread, ...]
    currency_rates: Mapping[tuple[str, str], float]
    notes: tuple[str, ...] = field(default=())

    def scale_of(self, family: ProductFamily) -> float:
        """Return what arrays of a family are multiplied by."""
        return 10.0 ** self.exponents.get(family.commodity, 0)

    def quotes_of(self, family: ProductFamily) -> Record | None:
        """Return how prices of a family are written, None when the file does not say."""
        found = self.quotes.get((family.exchange, family.product, family.product_type))
        needed = ("settlement_decimals", "strike_decimals")
        return None if found is None or any(found[name] is None for name in needed) else found

    def value_factor_of(self, family: ProductFamily) -> float:
        """Return the money for one point of the price of a family, NaN when the file does not say."""
        found = self.quotes.get((family.exchange, family.product, family.product_type))
        factor = None if found is None else found["contract_value_factor"]
        if found is None or factor is None:
            return np.nan
        return float(factor * 10.0 ** max(-15, min(15, found["contract_value_factor_exponent"] or 0)))


def put_together(singles: Mapping[str, list[Numbered]], rates: Parameters, organization: str) -> Terms:
    """Return what the records of a file say.

    Parameters
    ----------
    singles
        Records with their line numbers by family, as `records.parse_record` gives them.
    rates
        Array parameters; they give the scan ranges of futures months where a price-risk method asks for it.
    organization
        Clearing organisation: where option value may go that the file puts in no commodity group.
    """
    notes: list[str] = []
    first: dict[str, Record] = {}
    for _, record in singles.get("combined_commodity", []):
        first.setdefault(record["combined_commodity"], record)
    families = _families(singles)
    ranges = month_ranges([families.get(key) for key in rates.families], rates)
    groups = {
        code: record["group"]
        for _, record in reversed(singles.get("commodity_group", []))
        for code in record["combined_commodities"]
    }
    grouped = _by_commodity(singles, first, notes)
    commodities: dict[str, CombinedCommodity] = {}
    for code in filter(None, first):
        outside = (groups.get(code) or organization, ranges.get(code, ()))
        for made in built(partial(_commodity, first[code], grouped[code], outside), notes, f"commodity {code}"):
            commodities[code] = made
    tiered = {code: {tier.number for tier in made.inter_tiers} for code, made in commodities.items()}
    inter, scanning = _between(singles.get("inter_commodity_spread", []), tiered, notes)
    return Terms(
        families,
        {_key(record): record for _, record in singles.get("price_conversion", [])},
        {code: record["risk_exponent"] for code, record in first.items()},
        commodities,
        inter,
        scanning,
        _currency_rates(singles.get("currency_rate", [])),
        tuple(notes),
    )


def _key(record: Record) -> Key:
    return (record["exchange"] or "", record["product"] or "", record["product_type"] or "")


def _families(singles: Mapping[str, list[Numbered]]) -> dict[Key, ProductFamily]:
    """Return every product family with its combined commodity and what its price record says."""
    families: dict[Key, ProductFamily] = {}
    for _, record in singles.get("combined_commodity", []):
        premium = record["option_style"] != "F"
        for each in record["products"]:
            key = (record["exchange"] or "", each["product"] or "", each["product_type"] or "")
            family = ProductFamily(
                *key,
                record["combined_commodity"] or "",
                premium_style=premium,
                array_decimals=each["array_decimals"] or 0,
                combination_method=record["combination_method"] or "",
            )
            families.setdefault(key, family)
    for _, record in singles.get("price_conversion", []):
        key = _key(record)
        family = families.get(key, ProductFamily(*key))
        futures_style = (record["valuation_method"] or "").startswith("FUT") and family.is_option
        families[key] = evolve(
            family,
            name=record["long_name"] or record["short_name"] or "",
            currency=record["currency"] or "",
            premium_style=family.premium_style and not futures_style,
            price_decimals=record["settlement_decimals"],
            alignment=record["settlement_alignment"],
        )
    return families


def month_ranges(
    families: Sequence[ProductFamily | None], rows: Parameters | Contracts
) -> dict[str, tuple[MonthRange, ...]]:
    """Return the scan ranges of the futures months of each combined commodity; the first row of a month counts."""
    found: dict[str, dict[int, MonthRange]] = defaultdict(dict)
    owners = [each.commodity if each and each.product_type == "FUT" else None for each in families]
    future = np.array([owner is not None for owner in owners] or [False])[rows.family]
    stated = [(column > 0) & np.isfinite(column) for column in (rows.price_scan_range, rows.delta_scaling)]
    usable = np.flatnonzero(future & np.all(stated, axis=0) & (rows.month % 100 >= 1) & (rows.month % 100 <= 12))
    columns = (rows.family, rows.month, rows.price_scan_range, rows.delta_scaling)
    for family, month, *values in zip(*(column[usable].tolist() for column in columns), strict=True):
        if month not in (mine := found[owners[family] or ""]):
            mine[month] = MonthRange(month, *values)
    return {code: tuple(mine.values()) for code, mine in found.items()}


def _by_commodity(
    singles: Mapping[str, list[Numbered]], known: Iterable[str], notes: list[str]
) -> dict[str, dict[str, list[Numbered]]]:
    """Return the further records of each combined commodity, by code and family."""
    grouped: dict[str, dict[str, list[Numbered]]] = {code: defaultdict(list) for code in known}
    for family in ("tiers_and_ratios", "scan_tiers", "tier_spread", "series_spread", "spot_and_som"):
        lost = 0
        for number, record in singles.get(family, []):
            if record["combined_commodity"] in grouped:
                grouped[record["combined_commodity"]][family].append((number, record))
            else:
                lost += 1
        if lost:
            notes.append(
                f"{counted(lost, 'record')} of {family} on a combined commodity that the file does not define."
            )
    bare = [code for code, further in grouped.items() if code and not further.get("spot_and_som")]
    if bare:
        notes.append(f"No spot charge and no short option minimum is given for {', '.join(sorted(bare))}.")
    return grouped


def _commodity(
    record: Record, further: Mapping[str, list[Numbered]], outside: tuple[str, tuple[MonthRange, ...]]
) -> CombinedCommodity:
    """Return one combined commodity without holdings; what does not fit its record becomes a gap."""
    gaps: list[str] = []
    scale = 10.0 ** record["risk_exponent"]
    node, ranges = outside
    scan = _first(further["scan_tiers"])
    spot = _first(further["spot_and_som"])
    intra = _first(further["tiers_and_ratios"])
    method = _price_risk_method(scan.get("weighted_price_risk_method"), ranges, gaps)
    _methods((*(record for _, record in further["scan_tiers"]),), (spot, intra), gaps)
    charged = intra.get("intra_method") != _NO_CHARGE
    tiers = _tiers(further["tiers_and_ratios"], gaps)
    return CombinedCommodity(
        code=record["combined_commodity"],
        currency=record["currency"] or "USD",
        scan_tiers=_scan_tiers(further["scan_tiers"], scale, gaps),
        inter_tiers=_tiers(_of_method(further["scan_tiers"], _SPREAD_BY), gaps),
        tiers=tiers,
        series_spreads=_spreads(further["series_spread"], scale, "month", gaps) if charged else (),
        tier_spreads=_tier_spreads(further["tier_spread"], scale, tiers, gaps) if charged else (),
        spot_months=_spot_months(further["spot_and_som"], scale, gaps) if spot.get("spot_method") == _TABLE else (),
        short_option_rate=(spot.get("short_option_minimum_rate") or 0) * scale,
        short_option_method="max" if spot.get("short_option_minimum_method") == _MAXIMUM else "sum",
        price_risk_method=method,
        month_ranges=ranges,
        initial_ratios=_by_account_type(intra, "ratio"),
        adjustment_factors=_by_account_type(spot, "adjustment"),
        limit_option_value=record["limit_option_value"] == "Y",
        value_node=node,
        gaps=gaps,
    )


def _first(numbered: list[Numbered]) -> Record:
    return numbered[0][1] if numbered else {}


def _price_risk_method(code: int | None, ranges: Sequence[MonthRange], gaps: list[str]) -> PriceRiskMethod:
    method = _PRICE_RISK.get(1 if code is None else code)
    if method is None:
        gaps.append(f"weighted price risk method {code}")
    elif method != "normal" and not ranges:
        gaps.append(f"weighted price risk method {method}: the file has no scan range of a futures month")
    else:
        return method
    return "normal"


def _methods(scanned: Iterable[Record], further: tuple[Record, Record], gaps: list[str]) -> None:
    """Note methods of charging that the calculation does not have."""
    spot, intra = further
    known = {None, _NO_CHARGE, _TABLE}
    tiered = {*known, _SCANNING, *_SCANNED_BY, *_SPREAD_BY, _MINIMUM_BY}
    for code, what, fine in (
        (intra.get("intra_method"), "calendar spread method", known),
        (spot.get("spot_method"), "spot charge method", known),
        *((scan["inter_method"], "inter-commodity spread method", tiered) for scan in scanned),
    ):
        if code not in fine:
            gaps.append(f"{what} {code}")


def _by_account_type(record: Record, name: str) -> dict[str, float]:
    given = {each: record.get(f"{name}_{each}") for each in ACCOUNT_TYPES}
    return {each: float(ratio) for each, ratio in given.items() if ratio}


def built(make: Callable[[], _Built], told: list[str], where: str) -> tuple[_Built, ...]:
    """Return what `make` gives, or nothing and a text why the calculation cannot use it."""
    try:
        return (make(),)
    except (InputError, TypeError) as error:
        why = "; ".join(f"{each.where} {each.what}" for each in getattr(error, "problems", ())) or "a field is blank"
        told.append(f"{where}: {why}")
        return ()


def needed(value: _Built | None) -> _Built:
    """Return a value, or raise the `TypeError` that `built` reports when it is blank."""
    if value is None:
        raise TypeError
    return value


def _tiers(numbered: list[Numbered], gaps: list[str]) -> tuple[Tier, ...]:
    found: dict[int, Tier] = {}
    for number, record in numbered:
        for each in record["tiers"]:
            make = partial(Tier, each["tier"], each["start_month"], each["end_month"])
            for tier in built(make, gaps, f"tier of line {number}"):
                found.setdefault(tier.number, tier)
    return tuple(found.values())


def _of_method(numbered: list[Numbered], methods: Collection[str]) -> list[Numbered]:
    return [(number, record) for number, record in numbered if record["inter_method"] in methods]


def _scan_tiers(numbered: list[Numbered], scale: float, gaps: list[str]) -> tuple[Tier, ...]:
    """Return the tiers that are scanned, with the short option rates that are given for the same tiers."""
    tiers = _tiers(_of_method(numbered, _SCANNED_BY), gaps)
    rated = [(number, record) for number, record in numbered if any(record["short_option_minimum_rates"])]
    rates = [rate for _, record in rated for rate in record["short_option_minimum_rates"]]
    if not rates:
        return tiers
    if len(rates) == len(tiers) and _tiers(rated, []) != tiers:
        gaps.append("short option rates by tiers that are no scanning tiers")
        return tiers
    if len(rates) != len(tiers):
        gaps.append(f"{len(rates)} short option rates for {len(tiers)} scanning tiers")
        return tiers
    return tuple(evolve(tier, short_option_rate=rate * scale) for tier, rate in zip(tiers, rates, strict=True))


def _spreads(numbered: list[Numbered], scale: float, on: str, gaps: list[str]) -> tuple[CalendarSpread, ...]:
    found: list[CalendarSpread] = []
    for number, record in _joined(numbered, LAYOUTS[_SPREADS_ON[on]]):
        found += built(partial(_spread, record, scale, on), gaps, f"calendar spread of line {number}")
    return tuple(found)


def _joined(numbered: list[Numbered], layout: Layout) -> list[Numbered]:
    """Return spreads whole: one with more legs than a record holds goes on in the next one of the same priority.

    So the exchange's tables say of spreads between series; the other kinds are read alike.
    """
    most, full = len(layout.occurrences["legs"]), False
    found: list[Numbered] = []
    for number, record in numbered:
        if full and all(record.get(name) == found[-1][1].get(name) for name in ("group", "priority")):
            first, before = found.pop()
            found.append((first, {**before, "legs": [*before["legs"], *record["legs"]]}))
        else:
            found.append((number, record))
        full = len(record["legs"]) == most
    return found


def _spread(record: Record, scale: float, on: str) -> CalendarSpread:
    legs = [Leg(needed(each[on]), each["ratio"], each["side"]) for each in record["legs"]]
    return CalendarSpread(needed(record["priority"]), record["charge"] * scale, legs)


def _tier_spreads(
    numbered: list[Numbered], scale: float, tiers: tuple[Tier, ...], gaps: list[str]
) -> tuple[CalendarSpread, ...]:
    """Return the spreads between tiers that there are."""
    known = {tier.number for tier in tiers}
    spreads = _spreads(numbered, scale, "tier", gaps)
    lost = [spread for spread in spreads if not known >= {leg.on for leg in spread.legs}]
    gaps += [f"tier spread of priority {spread.priority} names a tier that the file does not define" for spread in lost]
    return tuple(spread for spread in spreads if spread not in lost)


def _spot_months(numbered: list[Numbered], scale: float, gaps: list[str]) -> tuple[SpotMonth, ...]:
    found: dict[int, SpotMonth] = {}
    for number, record in numbered:
        for each in record["months"]:
            made = built(partial(_spot_month, each, scale), gaps, f"spot month of line {number}")
            if any(found.setdefault(spot.month, spot) != spot for spot in made):
                gaps.append(f"spot month {each['month']} of line {number} is charged otherwise further up")
    return tuple(found.values())


def _spot_month(record: Record, scale: float) -> SpotMonth:
    charges = (record[f"charge_per_delta_{which}"] * scale for which in ("consumed", "remaining"))
    return SpotMonth(record["month"], *charges)


def _between(
    numbered: list[Numbered], tiered: Mapping[str, set[int]], notes: list[str]
) -> tuple[tuple[InterSpread, ...], tuple[ScanSpread, ...]]:
    """Return delta-based and scanning-based spreads between combined commodities."""
    inter: list[InterSpread] = []
    scanning: list[ScanSpread] = []
    for number, record in _joined([(number, _with_tiers(record)) for number, record in numbered], LAYOUTS["6 "]):
        where = f"inter-commodity spread of line {number}"
        if record["credit_type"] not in _CREDITS:
            notes.append(f"{where}: credit type {record['credit_type']}")
        elif record["method"] == _SCANNING:
            scanning += built(partial(_scan_spread, record), notes, where)
        elif record["method"] in {None, *_OVERALL, _TIERED}:
            inter += built(partial(_inter_spread, record, tiered), notes, where)
        else:
            notes.append(f"{where}: method {record['method']}")
    return tuple(inter), tuple(scanning)


def _with_tiers(record: Record) -> Record:
    """Return a spread whose legs hold the tiers that stand apart from them, where it is on tiers."""
    tiers = record["leg_tiers"].values() if record["method"] == _TIERED else [None] * len(record["legs"])
    return {**record, "legs": [{**leg, "tier": tier} for leg, tier in zip(record["legs"], tiers, strict=False)]}


def _legs(record: Record, tiered: Mapping[str, set[int]]) -> list[Leg]:
    """Return the legs of a spread; where a commodity has no tiers for spreads, a leg is on the whole of it."""
    return [
        Leg(
            needed(each["combined_commodity"]),
            each["ratio"],
            each["side"] or "A",
            tier=_leg_tier(each["combined_commodity"], each["tier"], tiered),
            required=each["required"] != "N",
        )
        for each in record["legs"]
    ]


def _leg_tier(code: str, tier: int | None, tiered: Mapping[str, set[int]]) -> int | None:
    if not tier or not tiered.get(code):
        return None
    if tier not in tiered[code]:
        raise InputError([Problem(f"names tier {tier}, which the file does not define.", f"leg on {code}")])
    return tier


def _inter_spread(record: Record, tiered: Mapping[str, set[int]]) -> InterSpread:
    method = _CREDITS[record["credit_type"]]
    scale = 1 if method == "price_risk" else 10 ** (_RATE_DECIMALS - _FLAT_DECIMALS)
    rate, legs = record["credit_rate_pct"] * scale, _legs(record, tiered)
    return InterSpread(needed(record["priority"]), rate, legs, method=method)


def _scan_spread(record: Record) -> ScanSpread:
    return ScanSpread(
        needed(record["priority"]),
        record["credit_rate_pct"],
        _legs(record, {}),
        record["target"]["combined_commodity"] or "target",
        target_ratio=1.0 if record["target"]["ratio"] is None else record["target"]["ratio"],
        minimum_legs=record["minimum_legs"] or 2,
    )


def _currency_rates(numbered: list[Numbered]) -> dict[tuple[str, str], float]:
    return {
        (record["from_currency"], record["to_currency"]): record["rate"]
        for _, record in numbered
        if record["rate"] and record["from_currency"] and record["to_currency"]
    }
