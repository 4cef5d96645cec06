"""Small pots and holdings that the tests of collateral share: one firm, its house, two customers, a flat market.

`need` is a requirement, `box` an asset at the firm, `posted` one at a clearing house.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from itertools import count

from attrs import evolve

from crossmargin.accounts import AccountClass, Customer, Firm
from crossmargin.collateral import Cash, OtherAsset, Place, Posted
from crossmargin.market import Market
from crossmargin.portfolio import Portfolio
from crossmargin.posted import CARRYING_FIRM
from crossmargin.products import ETF, Stock, TreasuryBill, TreasuryNote
from crossmargin.results import Credit, Line, Requirement
from tests.properties import strategies

AS_OF = strategies.AS_OF
FIRM, A, B = "FIRM", "FUND A", "FUND B"
USD, EUR, GOLD = Cash(), Cash("EUR"), OtherAsset("gold", "GOLD")
IBM, SPY, UNPRICED = Stock("IBM"), ETF("SPY", "broad_high_cap"), Stock("NOPRICE")
BILL = TreasuryBill(date(2026, 9, 24))
NOTE = TreasuryNote(0.0375, date(2033, 5, 15))
PRICES = {"IBM": 100.0, "SPY": 500.0, "EUR": 1.1, "GOLD": 2000.0, BILL.symbol: 99.0, NOTE.symbol: 100.0}
HOUSE, XM = AccountClass.PROPRIETARY, AccountClass.XM_FUTURES_4D_AB
FUTURES, SWAPS = AccountClass.CFTC_4D_AB, AccountClass.CFTC_4D_F
SECURITIES, NOTE_H = AccountClass.SEC_15C3_3, AccountClass.SEC_NOTE_H
PORTFOLIO = Portfolio(firms=[Firm(FIRM, affiliates=["AFFILIATE"])], customers=[Customer(A), Customer(B)])
_numbers = count(1)


@cache
def market() -> Market:
    """Return a market that quotes every asset but one."""
    return evolve(strategies.market(), prices=PRICES)


def need(amount, pot="CME", owner=FIRM, account_class=None, *, pool="", level="clearing", line=None) -> Requirement:
    """Return what one pool asks for."""
    account_class = account_class or (HOUSE if owner == FIRM else FUTURES)
    pool = pool or f"{owner} / {FIRM} / {account_class.value} / {pot} / {next(_numbers)}"
    line = Line("requirement", amount) if line is None else line
    return Requirement(
        pool=pool,
        owner=owner,
        pot=pot,
        level=level,
        ruleset="made_up",
        positions=(),
        line=line,
        firm=FIRM,
        account_class=account_class.value,
    )


def credit(requirement, amount) -> Credit:
    """Return what an arrangement takes off a requirement."""
    return Credit("made_up", requirement.pool, requirement.owner, requirement.pot, Line("credit", amount))


def posted(id, asset, quantity, pot="CME", owner=FIRM, account_class=None, **more) -> Posted:
    """Return a deposit at a clearing house."""
    account_class = account_class or (HOUSE if owner == FIRM else FUTURES)
    return Posted(id, owner, FIRM, pot, account_class, asset, quantity, **more)


def box(id, asset, quantity, owner=FIRM, account_class=None, **more) -> Posted:
    """Return an asset at the firm."""
    return posted(id, asset, quantity, CARRYING_FIRM, owner, account_class, **more)


def place(pot="CME", owner=FIRM, account_class=None, firm=FIRM) -> Place:
    """Return a place."""
    return Place(owner, firm, pot, account_class or (HOUSE if owner == FIRM else FUTURES))
