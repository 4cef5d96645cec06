"""Worked cases of strategy margin: a book as the case gives it, the figures as the case expects them.

`FAMILIES` has `strategy.legs`, `strategy.pairing` and `strategy.order_effect`. Cases carry no date: the rules are read
on the first day on which every one of their values is in force. A case is answered exactly or, when its least pairing
is not found within `SECONDS`, by an error that gives the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

from crossmargin.errors import NumericalError
from crossmargin.pairing.book import OptionLeg, StockHolding, StrategyBook
from crossmargin.parameters import Rules
from crossmargin.rulesets.finra_strategy import StrategyMargin, order_effect, strategy_margin

SECONDS = 300.0  # for each search of a case: books of thirty series take a second or two


def _figures(inputs: Mapping[str, Any]) -> dict[str, Any]:
    rules = _rules(inputs)
    return _amounts(strategy_margin(_book(inputs), rules, _day(rules), time_limit=SECONDS))


def _order_effect(inputs: Mapping[str, Any]) -> dict[str, Any]:
    rules = _rules(inputs)
    order = _legs(inputs["order_legs"])
    effect = order_effect(
        _book(inputs), order, inputs["cash_available"], rules=rules, as_of=_day(rules), time_limit=SECONDS
    )
    return {
        "initial_before": _amounts(effect.before)["initial"],
        "initial_after": _amounts(effect.after)["initial"],
        "cash_needed": effect.cash_needed,
        "accepted": effect.accepted,
    }


def _amounts(result: StrategyMargin) -> dict[str, Any]:
    """Return the figures of a book whose pairings are proven to be the least."""
    for line, bound, pairing in (
        (result.initial, result.initial_bound, result.initial_pairing),
        (result.maintenance, result.maintenance_bound, result.maintenance_pairing),
    ):
        if pairing is not None and not pairing.optimal:
            between = f"between {bound:,.2f} and {line.value:,.2f} USD"
            raise NumericalError(f"The least pairing was not found in {SECONDS:g} seconds: {line.name} {between}.")
    return {
        "initial": result.initial.amount,
        "maintenance": result.maintenance.amount,
        "gross_requirement": result.gross_requirement.amount,
        "premium_credit": result.premium_credit.amount,
        "net_deposit": result.net_deposit.amount,
    }


def _rules(inputs: Mapping[str, Any]) -> Rules:
    """Return the rule-set with the house's rates in place of its own."""
    from crossmargin.registry import rules

    base, minimum = inputs["house"]["base_rate"], inputs["house"]["minimum_rate"]
    values = {} if base is None else {"option_rate": base, "option_rate_broad": base}
    values |= {} if minimum is None else {"option_minimum": minimum}
    return rules("finra_strategy").with_values(because="house rate of the case", **values)


def _day(rules: Rules) -> date:
    return rules.first_date or date.max


def _book(inputs: Mapping[str, Any]) -> StrategyBook:
    underlying, stock = inputs["underlying"], inputs["stock"]
    holding = StockHolding(stock["quantity"], stock["price"], stock["units_per_share"]) if stock["quantity"] else None
    return StrategyBook(
        underlying["kind"],
        underlying["price"],
        _legs(inputs["legs"]),
        stock=holding,
        leverage=underlying["leverage"],
        multiplier=inputs["multiplier"],
        account_type=inputs["account_type"],
    )


def _legs(legs: Iterable[Mapping[str, Any]]) -> tuple[OptionLeg, ...]:
    return tuple(OptionLeg(**leg) for leg in legs)


FAMILIES: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = MappingProxyType(
    {
        "strategy.legs": _figures,
        "strategy.order_effect": _order_effect,
        "strategy.pairing": _figures,
    }
)
