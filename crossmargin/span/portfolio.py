"""What SPAN margins: contracts with their risk arrays, combined commodities, spreads, and the account that holds them.

Build a `SpanPortfolio`; every record refuses all that is wrong with it at once. Amounts are money of the commodity's
currency with the risk exponent already applied; months are CCYYMM; losses and charges are positive, a short quantity
is negative. Nothing here computes (`requirement.py` does) and nothing reads files.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from numbers import Real
from typing import Any, Literal, TypeAlias, get_args

from attrs import field, frozen

from crossmargin.errors import Problems, counted, suggestion
from crossmargin.records import as_tuple

Side: TypeAlias = Literal["A", "B"]
Right: TypeAlias = Literal["call", "put"]
AccountType: TypeAlias = Literal["member", "hedger", "speculator"]
PriceRiskMethod: TypeAlias = Literal["normal", "scan_range_cap", "scan_range"]
ShortOptionMethod: TypeAlias = Literal["sum", "max"]
ChargeMethod: TypeAlias = Literal["flat", "per_month", "price_risk"]
CreditMethod: TypeAlias = Literal["price_risk", "flat", "per_month"]


def _amounts(values: Any) -> tuple[float, ...]:
    return tuple(values.tolist() if hasattr(values, "tolist") else values)


def _named(values: Mapping[str, float]) -> Mapping[str, float]:
    return dict(values)


@frozen(cache_hash=True)
class Contract:
    """One contract as the exchange states it, or as an array of our own says.

    Parameters
    ----------
    code : str
        Unique in its combined commodity.
    month : int
        Contract month whose delta it enters (for an option that of its future, unless the exchange says otherwise).
    loss_array : sequence of float [n_scenarios]
        Loss of one long contract in each scenario, loss > 0; an even number of them, the last two the extreme moves.
    composite_delta : float
        Signed, of one long contract.
    delta_scaling_factor : float
        Contract deltas count in units of the combined commodity's standard contract.
    right : {"call", "put"}, optional
        None for what is no option.
    option_value : float, optional
        Money that one long contract is worth now; None for futures and for options margined like futures.

    Raises
    ------
    InputError
    """

    code: str
    month: int
    loss_array: tuple[float, ...] = field(converter=_amounts, repr=False)
    composite_delta: float
    delta_scaling_factor: float = field(default=1.0, kw_only=True)
    right: Right | None = field(default=None, kw_only=True)
    option_value: float | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"contract {self.code!r}"
        check_month(problems, self.month, f"{where}, month")
        count = len(self.loss_array)
        if count < 4 or count % 2:
            fix = "Give the scenarios in pairs of volatility, then the two extreme moves: 16 in SPAN."
            problems.add(f"{counted(count, 'scenario')}.", where=f"{where}, loss_array", fix=fix)
        for number, loss in enumerate(self.loss_array, start=1):
            check_number(problems, loss, f"{where}, scenario {number}")
        check_number(problems, self.composite_delta, f"{where}, composite_delta")
        check_number(problems, self.delta_scaling_factor, f"{where}, delta_scaling_factor", least=0.0)
        if self.option_value is not None:
            check_number(problems, self.option_value, f"{where}, option_value")
        if self.right is not None:
            check_name(problems, self.right, f"{where}, right", get_args(Right))
        problems.raise_if_any()

    @property
    def delta(self) -> float:
        """Scaled delta of one long contract."""
        return self.composite_delta * self.delta_scaling_factor


@frozen
class Holding:
    """A signed `quantity` of a contract, long > 0.

    Two holdings of one contract are netted, save in a gross account: there they stay a long and a short.
    """

    contract: Contract
    quantity: float

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        check_number(problems, self.quantity, f"quantity of {self.contract.code!r}")
        problems.raise_if_any()


@frozen
class MonthRange:
    """The price scan range of one futures month, money per contract, and the delta scaling factor of its contract."""

    month: int
    price_scan_range: float
    delta_scaling_factor: float = 1.0

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"scan range of month {self.month}"
        check_month(problems, self.month, where)
        check_number(problems, self.price_scan_range, f"{where}, price_scan_range", least=0.0)
        factor = self.delta_scaling_factor
        if check_number(problems, factor, f"{where}, delta_scaling_factor") and factor <= 0:
            problems.add("is not above zero.", where=f"{where}, delta_scaling_factor")
        problems.raise_if_any()


@frozen
class Tier:
    """A range of contract months, both ends included; tiers may overlap.

    `short_option_rate` is for scanning tiers whose short option minimum is charged tier by tier, money per contract.
    """

    number: int
    first_month: int
    last_month: int
    short_option_rate: float | None = None

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"tier {self.number}"
        whole = [check_month(problems, month, where) for month in (self.first_month, self.last_month)]
        if all(whole) and self.first_month > self.last_month:
            problems.add(f"{self.first_month} comes after {self.last_month}.", where=where, fix="First month first.")
        if self.short_option_rate is not None:
            check_number(problems, self.short_option_rate, f"{where}, short_option_rate", least=0.0)
        problems.raise_if_any()

    def contains(self, month: int) -> bool:
        """Whether a contract month lies in the tier."""
        return self.first_month <= month <= self.last_month


@frozen
class Leg:
    """One leg of a spread: `ratio` deltas a spread on side A or B of the market.

    `on` is a contract month (series spreads), a tier number (tier spreads) or the code of a combined commodity; `tier`
    narrows the last to one of its tiers for such spreads. `required` matters to scanning-based spreads only.
    """

    on: int | str
    ratio: float
    side: Side = "A"
    tier: int | None = field(default=None, kw_only=True)
    required: bool = field(default=True, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"spread leg {self.on!r}"
        if check_number(problems, self.ratio, f"{where}, ratio") and self.ratio <= 0:
            problems.add(f"{self.ratio!r} is not above zero.", where=f"{where}, ratio")
        check_name(problems, self.side, f"{where}, side", get_args(Side))
        problems.raise_if_any()


@frozen
class CalendarSpread:
    """A spread inside a combined commodity, lowest `priority` first.

    `charge` is money for each spread formed (flat), the same for each of the `months` that a spread counts (per_month:
    files do not say how many, None leaves a gap), or per cent of the price risk of each delta used (price_risk).
    """

    priority: int
    charge: float
    legs: tuple[Leg, ...] = field(converter=as_tuple)
    method: ChargeMethod = field(default="flat", kw_only=True)
    months: int | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"calendar spread of priority {self.priority}"
        check_number(problems, self.priority, f"{where}, priority")
        check_number(problems, self.charge, f"{where}, charge", least=0.0)
        check_name(problems, self.method, f"{where}, method", get_args(ChargeMethod))
        _check_months(problems, self.months, where)
        check_legs(problems, self.legs, where)
        problems.raise_if_any()


@frozen
class InterSpread:
    """A delta-based spread between combined commodities: `credit_rate_pct` per cent of each leg's price risk.

    Under the methods flat and per_month the rate is money for each spread formed, and for each of its `months`.
    """

    priority: int
    credit_rate_pct: float
    legs: tuple[Leg, ...] = field(converter=as_tuple)
    method: CreditMethod = field(default="price_risk", kw_only=True)
    months: int | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"inter-commodity spread of priority {self.priority}"
        check_number(problems, self.priority, f"{where}, priority")
        check_number(problems, self.credit_rate_pct, f"{where}, credit_rate_pct", least=0.0)
        check_name(problems, self.method, f"{where}, method", get_args(CreditMethod))
        _check_months(problems, self.months, where)
        check_legs(problems, self.legs, where)
        problems.raise_if_any()


@frozen
class ScanSpread:
    """A scanning-based spread (method 04): the legs' arrays, gains cut to a share, are scanned as one `target`.

    Parameters
    ----------
    priority : int
    credit_rate_pct : float
        Share of every gain that is recognised, per cent, 0 to 100.
    legs : tuple of Leg
        On codes of combined commodities; `ratio` and `target_ratio` turn a leg's deltas into the target's.
    target : str
        Name under which the merged commodity is shown.
    minimum_legs : int
        Held legs needed, besides every one that is `required`.
    """

    priority: int
    credit_rate_pct: float
    legs: tuple[Leg, ...] = field(converter=as_tuple)
    target: str
    target_ratio: float = field(default=1.0, kw_only=True)
    minimum_legs: int = field(default=2, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"scanning-based spread of priority {self.priority}"
        check_number(problems, self.priority, f"{where}, priority")
        check_share(problems, self.credit_rate_pct, f"{where}, credit_rate_pct")
        check_number(problems, self.target_ratio, f"{where}, target_ratio", least=0.0)
        check_count(problems, self.minimum_legs, f"{where}, minimum_legs", least=1)
        check_legs(problems, self.legs, where)
        if len({leg.on for leg in self.legs}) < len(self.legs):
            problems.add("a combined commodity stands twice.", where=where, fix="Give each leg once.")
        problems.raise_if_any()


@frozen
class SpotMonth:
    """Delivery charge of one contract month, money per delta that spreads consumed and per delta left over."""

    month: int
    charge_consumed: float
    charge_remaining: float

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"spot month {self.month}"
        check_month(problems, self.month, where)
        check_number(problems, self.charge_consumed, f"{where}, charge_consumed", least=0.0)
        check_number(problems, self.charge_remaining, f"{where}, charge_remaining", least=0.0)
        problems.raise_if_any()


@frozen(kw_only=True)
class CombinedCommodity:
    """Contracts margined together, normally on one physical underlying, and the rules of their margin.

    Parameters
    ----------
    code : str
    holdings : tuple of Holding
    currency : str
    scan_tiers : tuple of Tier
        Scan, time and volatility risk are sums over these; none: one tier of all months.
    inter_tiers : tuple of Tier
        What legs of spreads between commodities name; none: the scanning tiers. Where nothing is scanned in tiers, all
        have the price risk of the whole.
    series_spreads, tier_spreads : tuple of CalendarSpread
        Legs on contract months, and on the numbers of `tiers`.
    spot_months : tuple of SpotMonth
    short_option_rate : float
        Money per short option; `short_option_method` counts calls and puts together or the larger of the two.
    price_risk_method : {"normal", "scan_range_cap", "scan_range"}
        The latter two need `month_ranges`.
    month_ranges : tuple of MonthRange
        Of futures months; what counts is the nearest one, in a scanning tier the nearest of its own.
    initial_ratios, adjustment_factors : mapping
        By account type; empty where the exchange publishes none, which leaves the risk as it is.
    limit_option_value : bool
        Option value may not leave the commodity. Otherwise it pays for all commodities with the same `value_node`.
    away : bool
        Held at another exchange: it can be a leg of inter-exchange spreads, and is not margined here.
    gaps : tuple of str
        What the exchange asks and this library does not compute; each becomes a visible line.

    Raises
    ------
    InputError
    """

    code: str
    holdings: tuple[Holding, ...] = field(default=(), converter=as_tuple)
    currency: str = "USD"
    scan_tiers: tuple[Tier, ...] = field(default=(), converter=as_tuple)
    inter_tiers: tuple[Tier, ...] = field(default=(), converter=as_tuple)
    tiers: tuple[Tier, ...] = field(default=(), converter=as_tuple)
    series_spreads: tuple[CalendarSpread, ...] = field(default=(), converter=as_tuple)
    tier_spreads: tuple[CalendarSpread, ...] = field(default=(), converter=as_tuple)
    spot_months: tuple[SpotMonth, ...] = field(default=(), converter=as_tuple)
    short_option_rate: float = 0.0
    short_option_method: ShortOptionMethod = "sum"
    price_risk_method: PriceRiskMethod = "normal"
    month_ranges: tuple[MonthRange, ...] = field(default=(), converter=as_tuple, repr=False)
    initial_ratios: Mapping[str, float] = field(factory=dict, converter=_named)
    adjustment_factors: Mapping[str, float] = field(factory=dict, converter=_named)
    limit_option_value: bool = False
    value_node: str = ""
    away: bool = False
    gaps: tuple[str, ...] = field(default=(), converter=as_tuple)

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"combined commodity {self.code!r}"
        check_number(problems, self.short_option_rate, f"{where}, short_option_rate", least=0.0)
        check_name(problems, self.short_option_method, f"{where}, short_option_method", get_args(ShortOptionMethod))
        method = self.price_risk_method
        check_name(problems, method, f"{where}, price_risk_method", get_args(PriceRiskMethod))
        if method != "normal" and not self.month_ranges:
            fix = f"The method {method!r} needs one."
            problems.add("there is none.", where=f"{where}, month_ranges", fix=fix)
        for name in ("initial_ratios", "adjustment_factors"):
            for account_type, ratio in getattr(self, name).items():
                check_name(problems, account_type, f"{where}, {name}", get_args(AccountType))
                check_number(problems, ratio, f"{where}, {name}[{account_type!r}]", least=0.0)
        _check_arrays(problems, self.holdings, where)
        _check_calendar(problems, self, where)
        problems.raise_if_any()

    def nearest(self, tier: Tier | None = None) -> MonthRange | None:
        """Return the range of the nearest month, of a tier the nearest of its own if it has any."""
        mine = [each for each in self.month_ranges if tier is not None and tier.contains(each.month)]
        return min(mine or self.month_ranges, key=lambda each: each.month, default=None)


@frozen(kw_only=True)
class SpanPortfolio:
    """One account: what it holds by combined commodity, and the spreads between commodities.

    Parameters
    ----------
    commodities : tuple of CombinedCommodity
    inter_spreads, exchange_spreads : tuple of InterSpread
        Inside the complex, and with commodities that are `away`; the former come first.
    scan_spreads : tuple of ScanSpread
    account_type : {"member", "hedger", "speculator"}
        Chooses initial ratios and adjustment factors.
    gross : bool
        Omnibus account: longs and shorts are margined one by one, with no spread and no credit.
    currency : str
        Currency of the requirement; `exchange_rates` gives its units for one unit of each other currency.

    Raises
    ------
    InputError
    """

    commodities: tuple[CombinedCommodity, ...] = field(converter=as_tuple)
    inter_spreads: tuple[InterSpread, ...] = field(default=(), converter=as_tuple)
    exchange_spreads: tuple[InterSpread, ...] = field(default=(), converter=as_tuple)
    scan_spreads: tuple[ScanSpread, ...] = field(default=(), converter=as_tuple)
    account_type: AccountType = "member"
    gross: bool = False
    currency: str = "USD"
    exchange_rates: Mapping[str, float] = field(factory=dict, converter=_named)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        check_name(problems, self.account_type, "account_type", get_args(AccountType))
        _check_unique(problems, [commodity.code for commodity in self.commodities], "combined commodity")
        for commodity in self.commodities:
            _check_account_type(problems, commodity, self.account_type)
            rate = 1.0 if commodity.currency == self.currency else self.exchange_rates.get(commodity.currency)
            where = f"exchange_rates[{commodity.currency!r}]"
            if rate is None:
                problems.add("is missing.", where=where, fix=f"Give {self.currency} for one {commodity.currency}.")
            else:
                check_number(problems, rate, where, least=0.0)
        problems.raise_if_any()


def check_number(problems: Problems, value: Any, where: str, *, least: float = -math.inf) -> bool:
    """Note a value that is no finite number of at least `least`."""
    plain = type(value) is float or type(value) is int  # by far the most, and much faster to ask than `Real`
    real = plain or (isinstance(value, Real) and not isinstance(value, bool))
    if not real or not math.isfinite(value):
        problems.add(f"{value!r} is not a finite number.", where=where)
    elif value < least:
        problems.add(f"{value!r} is below {least:g}.", where=where)
    else:
        return True
    return False


def check_count(problems: Problems, value: Any, where: str, *, least: int) -> None:
    """Note a value that is no whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        problems.add(f"{value!r} is no whole number of at least {least}.", where=where)


def check_share(problems: Problems, value: Any, where: str) -> bool:
    """Note a percentage that is none of 0 to 100."""
    if check_number(problems, value, where, least=0.0) and value > 100:
        problems.add(f"{value!r} is above 100 per cent.", where=where)
        return False
    return True


def check_name(problems: Problems, value: Any, where: str, choices: Collection[str]) -> None:
    """Note a value that is not among the names allowed."""
    if value not in choices:
        problems.add(f"unknown {value!r}.", where=where, fix=suggestion(str(value), choices))


def check_month(problems: Problems, value: Any, where: str) -> bool:
    """Note a value that is not a month CCYYMM."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0 and 1 <= value % 100 <= 12:
        return True
    problems.add(f"{value!r} is not a month CCYYMM.", where=where, fix="Write September 2026 as 202609.")
    return False


def check_legs(problems: Problems, legs: tuple[Leg, ...], where: str) -> None:
    """Note a spread with fewer than two legs."""
    if len(legs) < 2:
        problems.add(f"{counted(len(legs), 'leg')}.", where=where, fix="A spread has two legs at least.")


def _check_months(problems: Problems, months: int | None, where: str) -> None:
    if months is not None:
        check_count(problems, months, f"{where}, months", least=1)


def _check_unique(problems: Problems, codes: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for code in codes:
        if code in seen:
            problems.add("stands twice.", where=f"{what} {code!r}", fix="Give each its own code, or merge them.")
        seen.add(code)


def _check_arrays(problems: Problems, holdings: tuple[Holding, ...], where: str) -> None:
    contracts = dict.fromkeys(holding.contract for holding in holdings)
    _check_unique(problems, [contract.code for contract in contracts], f"{where}, contract")
    lengths = {len(contract.loss_array) for contract in contracts}
    if len(lengths) > 1:
        problems.add(f"arrays of unlike length: {sorted(lengths)}.", where=where)


def _check_calendar(problems: Problems, commodity: CombinedCommodity, where: str) -> None:
    known = {tier.number for tier in commodity.tiers}
    if len(known) < len(commodity.tiers):
        problems.add("a tier stands twice.", where=where, fix="Give each tier its own number.")
    for spread in commodity.series_spreads:
        for leg in spread.legs:
            check_month(problems, leg.on, f"{where}, spread {spread.priority}")
    for spread in commodity.tier_spreads:
        for leg in spread.legs:
            if leg.on not in known:
                fix = f"Known: {sorted(known)}."
                problems.add(f"unknown tier {leg.on!r}.", where=f"{where}, spread {spread.priority}", fix=fix)


def _check_account_type(problems: Problems, commodity: CombinedCommodity, account_type: str) -> None:
    for name in ("initial_ratios", "adjustment_factors"):
        given = getattr(commodity, name)
        if given and account_type not in given:
            where = f"combined commodity {commodity.code!r}, {name}"
            problems.add(f"nothing for {account_type!r}.", where=where, fix=f"Given: {', '.join(sorted(given))}.")
