"""Worked cases of strategy margin: a book as the case gives it, the figures as the case expects them.

`FAMILIES` has `strategy.legs`, `strategy.pairing` and `strategy.order_effect`. Cases carry no date: the rules are read
on the first day on which every one of their values is in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

from crossmargin.pairing.book import OptionLeg, StockHolding, StrategyBook
from crossmargin.parameters import Rules
from crossmargin.rulesets.finra_strategy import StrategyMargin, order_effect, strategy_margin


def _figures(inputs: Mapping[str, Any]) -> dict[str, Any]:
    rules = _rules(inputs)
    result = strategy_margin(_book(inputs), rules, _day(rules))
    return _amounts(result)


def _order_effect(inputs: Mapping[str, Any]) -> dict[str, Any]:
    rules = _rules(inputs)
    order = _legs(inputs["order_legs"])
    effect = order_effect(_book(inputs), order, inputs["cash_available"], rules=rules, as_of=_day(rules))
    return {
        "initial_before": effect.before.initial.amount,
        "initial_after": effect.after.initial.amount,
        "cash_needed": effect.cash_needed,
        "accepted": effect.accepted,
    }


def _amounts(result: StrategyMargin) -> dict[str, Any]:
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
