"""Initial margin on uncleared swaps by the regulatory table: a rate on notional, reduced by what replacement costs net.

Call `schedule_margin` with the trades of one netting agreement, `gross_margin` and `net_to_gross_ratio` for its halves,
`requirement` with a pool. Trades under different agreements never come together. Thresholds and transfer amounts are in
`uncleared_margin`, the model that most dealers use instead in `crossmargin.simm`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from attrs import evolve, frozen

from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.methodology import Inputs
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.results import Line, largest, product, reduction, scaled, total
from crossmargin.scenarios import ScenarioSpec
from crossmargin.uncleared import exposures

Side = Literal["collect", "post"]


@frozen
class ScheduleTrade:
    """One uncleared trade: class of the table, USD notional (its sign is not looked at), years to go, present value.

    `value` is what the trade is worth to the party that calculates, USD.
    """

    product_class: str
    notional: float
    years: float
    value: float = 0.0
    id: str = ""


def rate(product_class: str, years: float, p: Reader) -> float:
    """Return the share of notional that the table asks for a class of product and years to go.

    Examples
    --------
    >>> from datetime import date
    >>> from crossmargin.registry import rules
    >>> p = rules("schedule_im").at(date(2026, 6, 30))
    >>> rate("credit", 1.99, p), rate("credit", 2.0, p), rate("equity", 7.0, p)
    (0.02, 0.05, 0.15)
    """
    rows = [row for row in p.gross_rates if row["product_class"] == product_class]
    if not rows:
        fix = suggestion(product_class, {row["product_class"] for row in p.gross_rates})
        raise InputError([Problem(f"unknown class {product_class!r}.", "schedule", fix)])
    fitting: Sequence[Mapping[str, Any]] = [row for row in rows if row["from_years"] <= years]
    return float(max(fitting, key=lambda row: float(row["from_years"]))["rate"])


def gross_margin(trades: Iterable[ScheduleTrade], p: Reader) -> Line:
    """Return the table's rates on the notionals of all trades, USD: longs and shorts add up."""
    held = _checked(trades)
    lines = [
        scaled(_name(trade, number), rate(trade.product_class, trade.years, p), Line("notional", abs(trade.notional)))
        for number, trade in enumerate(held)
    ]
    return total("gross initial margin", lines, reads=p.taken())


def net_to_gross_ratio(trades: Iterable[ScheduleTrade], p: Reader, *, side: Side = "collect") -> Line:
    """Return net over gross replacement cost, in [0, 1], of unit 1.

    Parameters
    ----------
    side : {"collect", "post"}
        Whether replacement costs the party that calculates, or its counterparty.
    """
    if side not in ("collect", "post"):
        raise InputError([Problem(f"unknown side {side!r}.", "schedule", suggestion(side, ("collect", "post")))])
    sign = 1.0 if side == "collect" else -1.0
    values = [Line(_name(trade, number), sign * trade.value) for number, trade in enumerate(_checked(trades))]
    gross = total("gross replacement cost", [evolve(line, amount=max(0.0, line.value)) for line in values])
    net = largest("net replacement cost", [total("all values", values), Line("nothing", 0.0)])
    if not gross.value:
        return Line(
            "net-to-gross ratio", p.ratio_without_replacement_cost, unit="1", reads=p.taken(), memo=(net, gross)
        )
    netted = reduction("share that nets", net, gross)
    parts = [Line("whole", 1.0, unit="1"), scaled("less the share that nets", -1.0, netted, unit="1")]
    return total("net-to-gross ratio", parts, unit="1")


def schedule_margin(trades: Iterable[ScheduleTrade], p: Reader, *, side: Side = "collect") -> Line:
    """Return the initial margin of the trades under one netting agreement, USD.

    References
    ----------
    12 CFR Part 1221, Appendix A, the table and its note 1; 17 CFR 23.154(c) has the same.

    Examples
    --------
    Two interest-rate swaps of six years, 1 million each, worth +60,000 and -40,000:

    >>> from datetime import date
    >>> from crossmargin.registry import rules
    >>> trades = [ScheduleTrade("interest_rate", 1e6, 6, 6e4), ScheduleTrade("interest_rate", 1e6, 6, -4e4)]
    >>> line = schedule_margin(trades, rules("schedule_im").at(date(2026, 6, 30)))
    >>> round(line.part("net-to-gross ratio").value, 12), round(line.value, 6)
    (0.333333333333, 48000.0)
    """
    held = list(trades)
    gross, ratio = gross_margin(held, p), net_to_gross_ratio(held, p, side=side)
    whole = Line("share that never nets", p.gross_share, unit="1")
    netting = scaled("share that nets with the ratio", p.net_share, ratio, unit="1")
    factor = total("factor", [whole, netting], unit="1", reads=p.taken())
    return product(f"schedule initial margin to {side}", [gross, factor])


# ---------------------------------------------------------------------------------------------- as a pool's rule-set


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: the schedule is a table."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the initial margin that the owner of a pool posts, USD, all of it under one netting agreement.

    References
    ----------
    As in `schedule_margin`; which class a product is of is read from the rule's own words and is this library's.
    """
    found, gaps = exposures(pool.positions, inputs)
    classes = {row["kind"]: row["product_class"] for row in p.product_classes}
    trades = [
        ScheduleTrade(classes[each.kind], each.notional, each.years, each.value, each.position.id) for each in found
    ]
    asked = schedule_margin(trades, p, side="post")
    return total("schedule_im requirement", [*([asked] if trades else []), *gaps], reads=p.taken())


# ------------------------------------------------------------------------------------------------------------- pieces


def _name(trade: ScheduleTrade, number: int) -> str:
    return trade.id or f"trade {number + 1}"


def _checked(trades: Iterable[ScheduleTrade]) -> list[ScheduleTrade]:
    held, problems = list(trades), Problems()
    for number, trade in enumerate(held):
        where = _name(trade, number)
        for name in ("notional", "years", "value"):
            if not math.isfinite(getattr(trade, name)):
                problems.add(f"{name} is {getattr(trade, name)}.", where=where, fix="Give a finite number.")
        if trade.years < 0:
            problems.add(f"years are {trade.years}.", where=where, fix="Leave out what has ended.")
    problems.raise_if_any("The trades bear no initial margin as given")
    return held
