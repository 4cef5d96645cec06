"""Layouts of the records in an expanded, unpacked SPAN risk-parameter file (format `U2`), as data.

`LAYOUTS[code]` is the layout of one record type. Columns are counted from 1 and ends are included, as in the exchange's
own tables. `records` reads and writes single lines by them, `columns` many at once; nothing is read here.

References
----------
CME Group, public SPAN documentation, "Risk Parameter File Layouts for the Positional Formats" (page 457083445), checked
column by column with records of CME files of 2019-01-02 and 2025-06-20.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from attrs import evolve, field, frozen

Kind: TypeAlias = Literal["text", "character", "integer", "decimal", "exponent", "right", "short_month"]

RIGHTS: Mapping[str, str] = MappingProxyType({"C": "call", "P": "put"})


@frozen
class Field:
    """One field: its columns and how they are read.

    `text` without blanks at its end · `character` as it stands · `integer` · `decimal` an integer over 10 to the power
    of `decimals` · `exponent` an integer with its sign before or after · `right` C or P · `short_month` YYMM.
    A blank field is None, or `default`. `sign` is the column of the sign of a number, 0 for a number without one.
    """

    name: str
    first: int
    last: int
    kind: Kind = "text"
    decimals: int = 0
    sign: int = 0
    default: int | None = None

    @property
    def end(self) -> int:
        """The last column that belongs to the field, its sign included."""
        return max(self.last, self.sign)


@frozen
class Repeat:
    """Fields that stand `count` times, `step` columns apart; `fields` give the columns of the first time.

    `named` gives a list of mappings, `plain` a list of values; both leave out what is blank. `filled` is a list of
    values that may not be blank, and `group` one mapping for fields that stand once.
    """

    name: str
    count: int
    step: int
    fields: tuple[Field, ...]
    shape: Literal["named", "plain", "filled", "group"] = "named"

    def at(self, place: int) -> tuple[Field, ...]:
        """Return the fields of one occurrence, counted from 0, in its own columns."""
        shift = place * self.step
        return tuple(
            evolve(each, first=each.first + shift, last=each.last + shift, sign=each.sign and each.sign + shift)
            for each in self.fields
        )


@frozen
class Layout:
    """A record type: the two characters it begins with, what it is called, its parts in column order."""

    code: str
    family: str
    parts: tuple[Field | Repeat, ...]
    occurrences: Mapping[str, tuple[tuple[Field, ...], ...]] = field(init=False, repr=False, eq=False)

    @occurrences.default
    def _occurrences(self) -> Mapping[str, tuple[tuple[Field, ...], ...]]:
        repeats = (part for part in self.parts if isinstance(part, Repeat))
        return MappingProxyType({each.name: tuple(each.at(place) for place in range(each.count)) for each in repeats})

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields that stand once."""
        return tuple(part for part in self.parts if isinstance(part, Field))

    @property
    def width(self) -> int:
        """The last column of the last field."""
        repeated = (each.end for places in self.occurrences.values() for fields in places for each in fields)
        return max(*(each.end for each in self.fields), *repeated, 0)


def _text(name: str, first: int, last: int = 0) -> Field:
    return Field(name, first, last or first)


def _integer(name: str, first: int, last: int = 0, *, sign: int = 0, default: int | None = None) -> Field:
    return Field(name, first, last or first, "integer", sign=sign, default=default)


def _decimal(name: str, first: int, last: int, decimals: int, *, sign: int = 0) -> Field:
    return Field(name, first, last, "decimal", decimals, sign)


def _exponent(name: str, first: int, last: int) -> Field:
    return Field(name, first, last, "exponent")


def _tiers(first: int, count: int) -> Repeat:
    number = _integer("tier", first, first + 1)
    months = _integer("start_month", first + 2, first + 7), _integer("end_month", first + 8, first + 13)
    return Repeat("tiers", count, 14, (number, *months))


def _array(code: str, family: str, count: int, *rest: Field) -> Layout:
    identity = (
        _text("exchange", 3, 5),
        _text("product", 6, 15),
        _text("underlying", 16, 25),
        _text("product_type", 26, 28),
        Field("right", 29, 29, "right"),
        _integer("futures_month", 30, 35),
        _text("futures_day", 36, 37),
        _integer("option_month", 39, 44),
        _text("option_day", 45, 46),
        _integer("strike_raw", 48, 54),
    )
    values = Repeat("values", count, 6, (_integer("value", 55, 59, sign=60),), "filled")
    return Layout(code, family, (*identity, values, *rest))


_ALL = (
    Layout(
        "0 ",
        "header",
        (
            _text("clearing_organization", 3, 8),
            _text("business_date", 9, 16),
            _text("settlement_or_intraday", 17),
            _text("file_identifier", 18, 19),
            _text("business_time", 20, 23),
            _text("creation_date", 24, 31),
            _text("creation_time", 32, 35),
            _text("file_format", 36, 37),
            _text("limit_option_value", 38),
            _text("gross_or_net", 39),
            _text("clearing_code", 40, 42),
            _text("origin", 51),
            _text("account_type", 59),
            _text("account_class", 67),
            _text("requirement_level", 75),
        ),
    ),
    Layout("1 ", "exchange", (_text("exchange", 3, 5), _text("exchange_code", 8, 9))),
    Layout(
        "T ",
        "currency_rate",
        (
            _text("from_currency", 3, 5),
            _text("from_code", 6),
            _text("to_currency", 7, 9),
            _text("to_code", 10),
            _decimal("rate", 11, 20, 6),
        ),
    ),
    Layout(
        "2 ",
        "combined_commodity",
        (
            _text("exchange", 3, 5),
            _text("combined_commodity", 7, 12),
            _integer("risk_exponent", 13, default=0),
            _text("currency", 14, 16),
            _text("currency_code", 17),
            _text("option_style", 18),
            _text("limit_option_value", 19),
            _text("combination_method", 20),
            Repeat(
                "products",
                6,
                16,
                (_text("product", 23, 32), _text("product_type", 33, 35), _integer("array_decimals", 36)),
            ),
        ),
    ),
    Layout(
        "S ",
        "scan_tiers",
        (
            _text("combined_commodity", 3, 8),
            _text("inter_method", 9, 10),
            _integer("tier_count", 11, 12),
            _tiers(13, 5),
            _integer("weighted_price_risk_method", 83),
            Repeat("short_option_minimum_rates", 5, 7, (_integer("rate", 104, 110),), "plain"),
        ),
    ),
    Layout(
        "3 ",
        "tiers_and_ratios",
        (
            _text("combined_commodity", 3, 8),
            _text("intra_method", 9, 10),
            _tiers(11, 4),
            _decimal("ratio_member", 69, 72, 3),
            _decimal("ratio_hedger", 73, 76, 3),
            _decimal("ratio_speculator", 77, 80, 3),
        ),
    ),
    Layout(
        "C ",
        "tier_spread",
        (
            _text("combined_commodity", 3, 8),
            _text("intra_method", 9, 10),
            _integer("priority", 11, 12),
            _integer("leg_count", 13, 14),
            _integer("charge", 15, 21),
            Repeat(
                "legs",
                8,
                7,
                (_integer("leg", 22, 23), _integer("tier", 24, 25), _integer("ratio", 26, 27), _text("side", 28)),
            ),
        ),
    ),
    Layout(
        "E ",
        "series_spread",
        (
            _text("combined_commodity", 3, 8),
            _integer("priority", 9, 13),
            _integer("charge", 14, 20),
            Repeat(
                "legs",
                4,
                14,
                (
                    Field("month", 21, 24, "short_month"),
                    _text("remainder", 25, 27),
                    _decimal("ratio", 28, 33, 4),
                    _text("side", 34),
                ),
            ),
        ),
    ),
    Layout(
        "4 ",
        "spot_and_som",
        (
            _text("combined_commodity", 3, 8),
            _text("spot_method", 9, 10),
            _integer("month_count", 11, 12),
            Repeat(
                "months",
                2,
                22,
                (
                    _integer("number", 13, 14),
                    _integer("month", 15, 20),
                    _integer("charge_per_delta_consumed", 21, 27),
                    _integer("charge_per_delta_remaining", 28, 34),
                ),
            ),
            _integer("short_option_minimum_rate", 63, 69),
            _decimal("adjustment_member", 70, 72, 2),
            _decimal("adjustment_hedger", 73, 75, 2),
            _decimal("adjustment_speculator", 76, 78, 2),
            _integer("short_option_minimum_method", 79),
            _text("risk_aggregation", 80),
        ),
    ),
    Layout(
        "B ",
        "array_parameters",
        (
            _text("exchange", 3, 5),
            _text("product", 6, 15),
            _text("product_type", 16, 18),
            _integer("futures_month", 19, 24),
            _text("futures_day", 25, 26),
            _integer("option_month", 28, 33),
            _text("option_day", 34, 35),
            _decimal("base_volatility", 37, 44, 6),
            _decimal("volatility_scan_range", 45, 52, 6),
            _integer("price_scan_range", 53, 57),
            _decimal("extreme_move_multiplier", 58, 62, 3),
            _decimal("extreme_move_cover_fraction", 63, 67, 4),
            _decimal("interest_rate", 68, 72, 4),
            _decimal("time_to_expiry_years", 73, 79, 6),
            _decimal("look_ahead_years", 80, 85, 6),
            _decimal("delta_scaling_factor", 86, 91, 4),
            _text("expiration_date", 92, 99),
            _text("underlying", 100, 109),
            _text("pricing_model", 110, 111),
            _text("coupon_raw", 112, 119),
            _text("expiration_price_flag", 120),
            _integer("expiration_price_raw", 121, 127, sign=128),
            _decimal("contract_value_factor", 129, 142, 7),
            _exponent("contract_value_factor_exponent", 143, 145),
            _exponent("base_volatility_exponent", 146, 148),
            _exponent("volatility_scan_range_exponent", 149, 151),
            _decimal("discount_factor", 152, 163, 10),
            _text("volatility_scan_quotation", 164),
            _text("price_scan_quotation", 165),
            _exponent("price_scan_range_exponent", 166, 168),
        ),
    ),
    Layout(
        "P ",
        "price_conversion",
        (
            _text("exchange", 3, 5),
            _text("product", 6, 15),
            _text("product_type", 16, 18),
            _text("short_name", 19, 33),
            _integer("settlement_decimals", 34, 36),
            _integer("strike_decimals", 37, 39),
            Field("settlement_alignment", 40, 40, "character"),
            Field("strike_alignment", 41, 41, "character"),
            _decimal("contract_value_factor", 42, 55, 7),
            _text("cabinet_value_raw", 56, 63),
            _text("contracts_per_option", 64, 65),
            _text("currency", 66, 68),
            _text("currency_code", 69),
            _text("price_quotation", 70, 72),
            _exponent("contract_value_factor_exponent", 73, 75),
            _text("exercise_style", 76, 79),
            _text("long_name", 80, 114),
            _text("positionable", 115),
            _text("value_quotation", 116),
            _text("valuation_method", 117, 121),
            _text("settlement_method", 122, 126),
        ),
    ),
    Layout(
        "5 ",
        "commodity_group",
        (_text("group", 3, 5), Repeat("combined_commodities", 10, 6, (_text("combined_commodity", 13, 18),), "plain")),
    ),
    Layout(
        "6 ",
        "inter_commodity_spread",
        (
            _text("group", 3, 5),
            _integer("priority", 6, 9),
            _decimal("credit_rate_pct", 10, 16, 4),
            Repeat(
                "legs",
                4,
                18,
                (
                    _text("exchange", 17, 19),
                    _text("required", 20),
                    _text("combined_commodity", 21, 26),
                    _decimal("ratio", 27, 33, 4),
                    _text("side", 34),
                ),
            ),
            _text("method", 89, 90),
            Repeat(
                "target",
                1,
                0,
                (
                    _text("exchange", 91, 93),
                    _text("required", 94),
                    _text("combined_commodity", 95, 100),
                    _decimal("ratio", 111, 117, 4),
                ),
                "group",
            ),
            _text("credit_type", 101),
            Repeat(
                "leg_tiers",
                1,
                0,
                tuple(_integer(f"leg_{place + 1}", 102 + 2 * place, 103 + 2 * place) for place in range(4)),
                "group",
            ),
            _text("spread_group", 110),
            _integer("minimum_legs", 118, 121),
        ),
    ),
    _array(
        "81",
        "risk_array_first",
        9,
        _integer("high_precision_settlement_raw", 109, 122),
        _text("settlement_flag", 123),
    ),
    _array(
        "82",
        "risk_array_second",
        7,
        _decimal("composite_delta", 97, 101, 4, sign=102),
        _decimal("implied_volatility", 103, 110, 6),
        _integer("settlement_raw", 111, 117, sign=118),
        _text("strike_sign", 119),
        _decimal("current_delta", 120, 124, 4, sign=125),
        _text("delta_flag", 126),
    ),
    Layout(
        "V ",
        "daily_adjustment",
        (
            _text("exchange", 3, 5),
            _text("product", 6, 15),
            _integer("month", 16, 21),
            _text("day", 22, 23),
            _text("date", 24, 31),
            _integer("long_rate_raw", 32, 44, sign=45),
            _text("long_discount_or_premium", 46),
            _integer("short_rate_raw", 47, 59, sign=60),
            _text("short_discount_or_premium", 61),
            _text("rate_flag", 62),
            _decimal("long_maintenance_rate", 63, 65, 2),
            _decimal("short_maintenance_rate", 66, 68, 2),
            _text("reset_long", 69),
            _decimal("reset_long_down", 70, 72, 2),
            _decimal("reset_long_up", 73, 75, 2),
            _text("reset_short", 76),
            _decimal("reset_short_down", 77, 79, 2),
            _decimal("reset_short_up", 80, 82, 2),
            _text("product_class", 83, 88),
        ),
    ),
    Layout(
        "X ",
        "combination_method",
        (_text("combination_method", 3), _text("product", 4, 13), _integer("price_offset_raw", 14, 20)),
    ),
    Layout("Y ", "combination_family", (_text("product", 3, 12), _text("option", 13, 22))),
    Layout(
        "Z ",
        "combination_leg",
        (
            _text("exchange", 3, 5),
            _text("product", 6, 15),
            _text("combination_type", 16, 20),
            _integer("month", 21, 26),
            _text("day", 27, 28),
            _integer("leg", 36, 38),
            _text("relation", 39),
            _decimal("ratio", 40, 42, 1),
            _text("leg_product", 43, 52),
            _text("leg_product_type", 53, 55),
            _integer("leg_month", 56, 61),
            _text("leg_day", 62, 63),
            _integer("ratio_further_digits", 64, 67),
            _text("leg_price_available", 68),
            _text("leg_price_usage", 69, 70),
            _integer("leg_price_raw", 71, 77, sign=78),
        ),
    ),
)

LAYOUTS: Mapping[str, Layout] = MappingProxyType({each.code: each for each in _ALL})
