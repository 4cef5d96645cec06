"""What is liquidated when a firm defaults: one leg per owner, pot and class, and who pays what it is short of.

Call `liquidated(legs, ties, policy, p)`: it returns the legs with the flows of money in every scenario. The rules are
those of `default.toml`, read through `p`; who ports is decided before, in `porting`. No asset is valued here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.accounts import AccountClass
from crossmargin.columns import FloatArray, readonly
from crossmargin.parameters import Reader
from crossmargin.posted import Place
from crossmargin.records import as_tuple

FLOWS = ("other_pot", "firm", "house", "fellows", "clearing_house")


@frozen(eq=False)
class Leg:
    """What one owner has in one pot and class when its firm defaults, and what happens to it in each scenario.

    Attributes
    ----------
    required, held, firm_money : float
        Requirement net of credit; the owner's own margin; the firm's money beside it. USD.
    deposits : tuple of str
        Ids of the owner's deposits there: what goes along when the leg ports.
    ported_to : str
        The receiving firm, "" for a leg that is liquidated.
    pnl : array [n_scenarios]
        Over the liquidation horizon, gain > 0, USD.
    flows : mapping of str to array [n_scenarios]
        Money that comes in (> 0) or goes out (< 0), USD, by `FLOWS`: the owner's other pot, the firm's money in the
        class, the house's surplus, others of the class, the clearing house. Empty when ported.
    left_out : tuple of str
        Products whose P&L is not known.
    unmargined : tuple of str
        Positions whose requirement is not modelled.
    partial, unknown : bool
        Whether the requirement leaves something out, a charge or a position; whether nothing of it is known.
    takes_part : bool
        Whether there is margin to set losses against: a requirement of which something is known, or deposits given.
    """

    place: Place
    required: float
    held: float
    firm_money: float
    pnl: FloatArray = field(converter=readonly)
    deposits: tuple[str, ...] = field(default=(), converter=as_tuple)
    left_out: tuple[str, ...] = field(default=(), converter=as_tuple)
    unmargined: tuple[str, ...] = field(default=(), converter=as_tuple)
    partial: bool = False
    unknown: bool = False
    takes_part: bool = True
    ported_to: str = ""
    flows: Mapping[str, FloatArray] = field(factory=dict)

    @property
    def returned(self) -> FloatArray:
        """What goes back to the owner [n_scenarios], margin and gains, never negative but for rounding, USD."""
        return np.asarray(self.held + self.pnl + sum(self.flows.values()))

    @property
    def beyond(self) -> FloatArray:
        """What others than the owner pay [n_scenarios], USD: the loss beyond its margin and its other pot."""
        zero = np.zeros(self.pnl.size)
        return np.asarray(sum((np.maximum(0.0, self.flows[name]) for name in FLOWS[1:] if self.flows), zero))


@frozen
class Tie:
    """Two pots of one owner under one programme: what is enrolled there, requirement and P&L."""

    required: Mapping[Place, float]
    pnl: Mapping[Place, FloatArray]


@frozen(eq=False)
class _Estates:
    """What each leg has left [n_legs, n_scenarios], USD, below 0 what it is short of; money moves step by step."""

    places: tuple[Place, ...]
    balance: FloatArray
    flows: Mapping[str, FloatArray]

    def rows(self, wanted: Callable[[Place], bool]) -> list[int]:
        return [row for row, place in enumerate(self.places) if wanted(place)]

    def move(self, flow: str, rows: list[int], amounts: FloatArray) -> None:
        """Let money come in (> 0) or go out, [n_rows, n_scenarios]."""
        self.balance[rows] += amounts
        self.flows[flow][rows] += amounts

    def pay(self, flow: str, payers: list[int], takers: list[int]) -> None:
        """Let what payers have left pay what takers are short of, both in proportion."""
        surplus, short = np.maximum(0.0, self.balance[payers]), np.maximum(0.0, -self.balance[takers])
        paid = np.minimum(surplus.sum(axis=0), short.sum(axis=0))
        self.move(flow, payers, -_divided(paid, surplus))
        self.move(flow, takers, _divided(paid, short))

    def give(self, flow: str, amount: float, takers: list[int]) -> None:
        """Let up to an amount from outside pay what takers are short of, in proportion."""
        short = np.maximum(0.0, -self.balance[takers])
        self.move(flow, takers, _divided(np.minimum(amount, short.sum(axis=0)), short))


def _divided(amount: FloatArray, by: FloatArray) -> FloatArray:
    """Return an amount [n_scenarios] in proportion to rows of weights [n_rows, n_scenarios]; 0 where none weighs."""
    whole = by.sum(axis=0)
    return np.asarray(by * np.divide(amount, whole, out=np.zeros_like(whole), where=whole > 0.0))


def liquidated(legs: tuple[Leg, ...], ties: Iterable[Tie], policy: str, p: Reader) -> tuple[Leg, ...]:
    """Return the legs with the flows of those that do not port."""
    left = [leg for leg in legs if not leg.ported_to]
    if not left:
        return legs
    balance = np.stack([leg.held + leg.pnl for leg in left])
    estates = _Estates(tuple(leg.place for leg in left), balance, {name: np.zeros_like(balance) for name in FLOWS})
    for tie in ties:
        _share(estates, tie, policy)
    for pot in dict.fromkeys(leg.place.pot for leg in left):
        _waterfall(estates, pot, _firm_money(legs, pot), p)
    estates.give("clearing_house", math.inf, list(range(len(left))))
    rows = enumerate(estates.places)
    paid = {place: {name: flow[row] for name, flow in estates.flows.items()} for row, place in rows}
    return tuple(leg if leg.ported_to else evolve(leg, flows=paid[leg.place]) for leg in legs)


def _firm_money(legs: Iterable[Leg], pot: str) -> dict[AccountClass, float]:
    """Return the firm's money in each class of a pot, USD: it stays when a customer ports."""
    found: dict[AccountClass, float] = {}
    for leg in (leg for leg in legs if leg.place.pot == pot):
        found[leg.place.account_class] = found.get(leg.place.account_class, 0.0) + leg.firm_money
    return found


def _share(estates: _Estates, tie: Tie, policy: str) -> None:
    """Let the pots of one programme help one another, as the policy says."""
    rows = estates.rows(lambda place: place in tie.required)
    if policy == "cross_guaranty":
        estates.pay("other_pot", rows, rows)
    if policy == "pro_rata" and rows:
        places = [estates.places[row] for row in rows]
        result = np.stack([tie.pnl[place] for place in places])
        asked = np.array([tie.required[place] for place in places])
        weights = asked / asked.sum() if asked.any() else np.full(asked.size, 1.0 / asked.size)
        estates.move("other_pot", rows, np.outer(weights, result.sum(axis=0)) - result)


def _waterfall(estates: _Estates, pot: str, money_of: Mapping[AccountClass, float], p: Reader) -> None:
    """Pay what is short in one pot: the firm's money, the house's surplus, others of a pooled class."""
    pays = p.house_pays_customers
    pooled = set(p.fellow_customer_risk) - set(p.individual_by_rule)

    def of(account_class: AccountClass) -> list[int]:
        return estates.rows(lambda place: place.pot == pot and place.account_class is account_class)

    if AccountClass.PROPRIETARY in pooled:
        affiliates = of(AccountClass.PROPRIETARY)
        estates.pay("fellows", affiliates, affiliates)
    customers = [each for each in money_of if each is not AccountClass.PROPRIETARY]
    for each in customers:
        estates.give("firm", money_of[each], of(each))
    if pays:
        own = estates.rows(lambda place: place.pot == pot and place.owner == place.firm)
        estates.pay("house", own, [row for each in customers for row in of(each)])
    for each in customers:
        if each in pooled:
            estates.pay("fellows", of(each), of(each))
