"""The customer reserve of a broker-dealer: what margin on deposit at clearing agencies takes off it.

Call `reserve_effect(report, posted, firm=..., credits=..., debits=...)`; `note_h_decision` says whether one balance
meets the conditions of Note H. Credits and all other debits of the formula come from outside: this is not the formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date

from attrs import frozen

from crossmargin.collateral.balance import Balance, CollateralReport
from crossmargin.collateral.schedules import RESERVE, collateral_rules
from crossmargin.eligibility import Decision, failures
from crossmargin.errors import Problems
from crossmargin.parameters import Reader, Rules
from crossmargin.posted import Posted
from crossmargin.results import Line, largest, scaled, smallest, total

TESTS: Mapping[str, Callable[[Balance, Reader], bool]] = {
    "customer_position": lambda balance, _: balance.account_class.origin == "customer",
    "treasury_clearing_agency": lambda balance, p: balance.level == "clearing" and balance.pot in p.note_h_pots,
    "segregated": lambda balance, p: balance.account_class.value in p.note_h_classes,
    "minimum": lambda balance, p: balance.lendable.value >= p.note_h_minimum,
}


@frozen
class _Debit:
    """An item of the formula: the balances that it counts, and which deposits in them."""

    name: str
    balances: tuple[Balance, ...]
    kinds: Collection[str]
    own_only: bool


def note_h_decision(balance: Balance, as_of: date, *, rules: Iterable[Rules] = ()) -> Decision:
    """Return whether a balance meets the conditions of Note H, with every failed one and its citation.

    References
    ----------
    17 CFR 240.15c3-3a, Note H.
    """
    rule = collateral_rules(rules)[RESERVE]
    binding = [each for each in rule.conditions if each.applies(as_of, balance.account_class.origin)]
    failed = failures(binding, TESTS, balance, rule.at(as_of))
    return Decision("note_h", str(balance.place), f"margin at {balance.pot}", not failed, failed)


def reserve_effect(
    report: CollateralReport,
    posted: Iterable[Posted],
    *,
    firm: str,
    credits: float,
    debits: float,
    daily: bool = False,
    rules: Iterable[Rules] = (),
) -> Line:
    """Return the change of the customer reserve requirement by margin on deposit, USD, never above 0.

    Parameters
    ----------
    report : CollateralReport
        Balances; those at clearing houses count.
    posted : iterable of Posted
        The deposits behind them: only some kinds of asset are a debit, and for Note H only the customer's own.
    firm : str
        The broker-dealer.
    credits, debits : float
        Total credits, customers' cash that was posted among them, and all debits but these two items, USD.
    daily : bool
        Whether the firm computes daily, and so takes less off its debits.
    rules : iterable of Rules, optional
        Overlaid rules.

    Returns
    -------
    Line
        The reserve with both items less the reserve without; a debit is no more than is required and on deposit.

    Raises
    ------
    InputError
        Credits or debits are negative or not finite.

    References
    ----------
    17 CFR 240.15c3-3a, Items 13 and 15, Notes F and H; Release 34-102022 (daily computation).
    """
    _check(credits=credits, debits=debits)
    posted, all_rules = tuple(posted), collateral_rules(rules)
    p = all_rules[RESERVE].at(report.as_of)
    items = total("debits of margin on deposit", [_debit(item, posted) for item in _items(report, firm, p, rules)])
    items_reads = p.taken()
    reduction = p.debit_reduction_daily if daily else p.debit_reduction
    owed, other = Line("credits", float(credits)), Line("other debits", float(debits))
    share = Line("share of debits that counts", 1.0 - reduction, unit="1", reads=p.taken())
    after = _reserve("reserve with these debits", owed, total("debits", (other, items)), share=share)
    before = _reserve("reserve without them", owed, other, share=share)
    change = (after, scaled("less reserve without them", -1.0, before))
    return total("effect on the customer reserve", change, reads=items_reads)


def _items(report: CollateralReport, firm: str, p: Reader, rules: Iterable[Rules]) -> tuple[_Debit, _Debit]:
    mine = [each for each in report.balances if each.firm == firm and each.level == "clearing"]
    options = [each for each in mine if each.pot in p.item_13_pots and each.account_class.value in p.item_13_classes]
    treasuries = [each for each in mine if note_h_decision(each, report.as_of, rules=rules).allowed]
    return (
        _Debit("Item 13: customer options at OCC", tuple(options), p.item_13_kinds, own_only=False),
        _Debit("Item 15: customer Treasuries, Note H", tuple(treasuries), p.note_h_kinds, own_only=True),
    )


def _debit(item: _Debit, posted: Sequence[Posted]) -> Line:
    by_id = {each.id: each for each in posted}
    lines = []
    for balance in item.balances:
        counted = [part for part in balance.lendable.parts if _counts(by_id.get(part.name), item)]
        deposit = total("on deposit", [part for part in counted if part.amount is not None])
        known = balance.required.amount is not None  # no more than is required: of what nobody knows, nothing is known
        lines.append(smallest(str(balance.place), (balance.required, deposit) if known else (balance.required,)))
    return total(item.name, lines)


def _counts(posted: Posted | None, item: _Debit) -> bool:
    return posted is not None and posted.asset.kind in item.kinds and not (item.own_only and posted.provided_by)


def _reserve(name: str, credits: Line, debits: Line, *, share: Line) -> Line:
    counted = scaled("debits that count", share.value, debits, reads=share.reads)
    beyond = total("credits less debits", (credits, scaled("less debits", -1.0, counted)))
    return largest(name, (beyond, Line("nothing", 0.0)))


def _check(**amounts: float) -> None:
    problems = Problems()
    for name, amount in amounts.items():
        if not math.isfinite(amount) or amount < 0.0:
            problems.add(f"is {amount}.", where=name, fix="Give USD, 0 or more.")
    problems.raise_if_any()
