"""Worked cases of equity margin, the intraday standard and capital haircuts, answered by the library's rules.

`FAMILIES` names the function for each family: from a case's `inputs` to the figures that it expects. The functions only
translate; the rules are `rulesets.reg_t`, `intraday_margin` and `sec_haircuts`, read on one date for every case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

from crossmargin.errors import InputError, Problem, suggestion
from crossmargin.parameters import Reader
from crossmargin.registry import rules
from crossmargin.rulesets import intraday_margin, reg_t, sec_haircuts

AS_OF = date(2026, 7, 1)  # the intraday standard is in force, and the other rules did not change since they begin
_SIGN = MappingProxyType({"long": 1.0, "short": -1.0})

Case = Mapping[str, Any]
Answer = dict[str, Any]


def _reader(id: str, **overlaid: float) -> Reader:
    rule = rules(id)
    return (rule.with_values(because="the case gives it", **overlaid) if overlaid else rule).at(AS_OF)


def _equity_position(inputs: Case) -> Answer:
    if inputs["side"] not in _SIGN:
        raise InputError([Problem(f"unknown side {inputs['side']!r}.", "side", suggestion(str(inputs["side"]), _SIGN))])
    quantity = _SIGN[inputs["side"]] * inputs["quantity"]
    held = reg_t.StockPosition(quantity, inputs["trade_price"], inputs["mark_price"], inputs["leverage"])
    p = _reader("reg_t")
    traded, marked = held.trade_price is not None, held.mark_price is not None
    return {
        "initial_gross": reg_t.initial_gross(held, p).value if traded else None,
        "short_sale_credit": reg_t.short_sale_credit(held).value if traded else None,
        "initial_deposit": reg_t.initial_deposit(held, p).value if traded else None,
        "maintenance": reg_t.maintenance(held, p).value if marked else None,
    }


def _equity_account(inputs: Case) -> Answer:
    p = _reader("reg_t", maintenance_long_rate=inputs["long_rate"], maintenance_short_rate=inputs["short_rate"])
    names = ("long_market_value", "short_market_value", "debit_balance", "credit_balance")
    state = reg_t.account(reg_t.AccountBalances(**{name: inputs[name] for name in names}), p)
    return {
        "equity": state.equity.value,
        "requirement": state.requirement.value,
        "call": state.call.value,
        "excess": state.excess.value,
    }


def _de_minimis(inputs: Case) -> Answer:
    p = _reader("intraday_margin")
    return {
        "threshold": intraday_margin.de_minimis_threshold(inputs["equity"], p).value,
        "de_minimis": intraday_margin.is_de_minimis(inputs["deficit"], inputs["equity"], p),
    }


def _intraday_deficit(inputs: Case) -> Answer:
    events = [
        intraday_margin.Event(each["kind"], each["amount"], each["maintenance_rate"]) for each in inputs["events"]
    ]
    day = intraday_margin.TradingDay(
        inputs["equity"], inputs["maintenance_requirement"], events, inputs["sequence_known"]
    )
    return {
        "iml_path": [level.value for level in intraday_margin.intraday_levels(day)],
        "deficit": intraday_margin.intraday_deficit(day).value,
    }


def _government(inputs: Case) -> Answer:
    held = [sec_haircuts.GovernmentPosition(**position) for position in inputs["positions"]]
    line = sec_haircuts.government_deduction(held, _reader("sec_haircuts"))
    return {"category_deductions": [category.value for category in line.parts], "deduction": line.value}


def _concentrated_position(inputs: Case) -> Answer:
    line = sec_haircuts.concentrated_position(
        inputs["position_market_value"],
        inputs["tentative_net_capital"],
        _reader("sec_haircuts"),
        rates=(inputs["base_rate"], inputs["concentration_rate"]),
    )
    parts = ("base deduction", "concentration threshold", "concentration excess", "concentration deduction")
    return {**{name.replace(" ", "_"): line.part(name).value for name in parts}, "total": line.value}


def _market_maker_account(inputs: Case) -> Answer:
    line = sec_haircuts.market_maker_account(
        inputs["long_market_value"], inputs["short_market_value"], inputs["account_equity"], _reader("sec_haircuts")
    )
    return {"required_equity": line.part("required equity").value, "deduction": line.value}


FAMILIES: Mapping[str, Callable[[Case], Answer]] = MappingProxyType(
    {
        "equity_margin.account": _equity_account,
        "equity_margin.position": _equity_position,
        "haircuts.concentrated_position": _concentrated_position,
        "haircuts.government": _government,
        "haircuts.market_maker_account": _market_maker_account,
        "intraday.de_minimis": _de_minimis,
        "intraday.deficit": _intraday_deficit,
    }
)
