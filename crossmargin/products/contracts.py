"""Terms of futures contracts: what a point is worth, when they trade, what may be delivered.

Call `contract_specs()`; the terms come from `data/futures_contracts.toml` with their sources. The products themselves
are in `futures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import Any

from attrs import frozen

_TERMS_FILE = "data/futures_contracts.toml"


@frozen
class Citation:
    """Where a group of contract terms comes from: `part` is `economics`, `dates` or `basket`."""

    part: str
    title: str
    url: str
    locator: str
    grade: str


@frozen
class DeliverableGrade:
    """What may be delivered into a Treasury future.

    Terms are whole months; remaining terms run from the first day of the contract month and both bounds are
    included, None where there is no bound. `security` is `note` or `bond`. `rounding_months` and
    `notional_coupon` (decimal) enter the conversion factor.
    """

    security: str
    min_remaining_months: int
    max_remaining_months: int | None
    max_original_months: int | None
    rounding_months: int
    notional_coupon: float


@frozen
class ContractSpec:
    """Terms of a futures contract.

    `face` is the USD face of one contract (0 for an index future), `point_value` the USD gained by one long contract
    when its price rises by 1.00, `tick` the smallest move in points, `months` the contract months that may be listed.
    `last_trading` and `last_delivery` count business days from the last business day of the contract month,
    or from the end of the reference quarter, or from the settlement day of an index future. `period` is
    `calendar_month` or `imm_quarter` for a short-rate future, `third_friday` or `thirty_days_before` (the third Friday
    of the month after) for an index future and empty otherwise, like `rate` and `averaging`. `index` is the ticker of
    what an index future settles on.
    """

    code: str
    name: str
    exchange: str
    asset: str
    face: float
    point_value: float
    tick: float
    months: tuple[int, ...]
    last_trading: int
    last_delivery: int | None
    grade: DeliverableGrade | None
    period: str
    rate: str
    averaging: str
    citations: tuple[Citation, ...]
    index: str = ""

    @property
    def basis_point_value(self) -> float:
        """USD per contract for a move of 0.01 points, one basis point of a short-rate future."""
        return self.point_value / 100


@frozen
class Reopening:
    """A later auction that added to an outstanding issue and so gave it a shorter original term."""

    cusip: str
    coupon: float
    maturity: date
    reopened: date


def contract_specs() -> Mapping[str, ContractSpec]:
    """Return the terms of every contract by its code. Read once, when first needed.

    Examples
    --------
    >>> spec = contract_specs()["ZN"]
    >>> spec.face, spec.point_value, spec.grade.min_remaining_months
    (100000.0, 1000.0, 78)
    """
    return _terms()[0]


def reopenings() -> tuple[Reopening, ...]:
    """Return the known reopenings that gave an issue a shorter original term than its first issue shows."""
    return _terms()[1]


@cache
def _terms() -> tuple[Mapping[str, ContractSpec], tuple[Reopening, ...]]:
    import tomllib
    from importlib.resources import files

    text = files("crossmargin").joinpath(_TERMS_FILE).read_text(encoding="utf-8")
    table = tomllib.loads(text)
    specs = {code: _spec(code, terms, table["sources"]) for code, terms in table["contracts"].items()}
    again = (Reopening(r["cusip"], r["coupon"], r["maturity"], r["reopened"]) for r in table["reopenings"])
    return MappingProxyType(specs), tuple(again)


def _spec(code: str, terms: dict[str, Any], sources: dict[str, Any]) -> ContractSpec:
    economics, dates = terms["economics"], terms["dates"]
    parts = [part for part in ("economics", "dates", "basket") if part in terms]
    return ContractSpec(
        code=code,
        name=terms["name"],
        exchange=terms["exchange"],
        asset=terms["asset"],
        face=float(economics.get("face", 0.0)),
        point_value=economics["point_value"],
        tick=economics["tick"],
        months=tuple(terms["months"]),
        last_trading=dates["last_trading"],
        last_delivery=dates.get("last_delivery"),
        grade=_grade(terms["basket"]) if "basket" in terms else None,
        period=dates.get("period", ""),
        rate=dates.get("rate", ""),
        averaging=dates.get("averaging", ""),
        citations=tuple(_citation(part, terms[part], sources) for part in parts),
        index=economics.get("index", ""),
    )


def _grade(basket: dict[str, Any]) -> DeliverableGrade:
    return DeliverableGrade(
        security=basket["security"],
        min_remaining_months=basket["min_remaining_months"],
        max_remaining_months=basket.get("max_remaining_months"),
        max_original_months=basket.get("max_original_months"),
        rounding_months=basket["rounding_months"],
        notional_coupon=basket["notional_coupon"],
    )


def _citation(part: str, group: dict[str, Any], sources: dict[str, Any]) -> Citation:
    source = sources[group["source"]]
    return Citation(part, source["title"], source["url"], group["locator"], group["grade"])
