"""A small uncleared book that tests share: credit default swaps, return swaps and a forward in a flat market.

`market_with()` quotes all of `BOOK`; `pool_of` and `inputs_of` margin positions in it.
"""

from __future__ import annotations

import math
from datetime import date

from crossmargin.accounts import Account, AccountClass, Firm
from crossmargin.market import Market, ParCurve
from crossmargin.methodology import Inputs
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.products import TreasuryNote
from crossmargin.products.security_based import (
    BondTotalReturnSwap,
    CreditDefaultSwap,
    EquityForward,
    EquityTotalReturnSwap,
    ReferenceBond,
)
from crossmargin.underlyings import Underlying
from tests.properties.strategies import history

AS_OF = date(2026, 6, 30)
TENORS = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0]
JUNE_31, JUNE_28 = date(2031, 6, 20), date(2028, 6, 20)
ACME = CreditDefaultSwap("ACME", 0.01, JUNE_31)
ACME_SHORT = CreditDefaultSwap("ACME", 0.01, JUNE_28)
BRAVO = CreditDefaultSwap("BRAVO", 0.05, JUNE_31, recovery=0.25)
PAIR = CreditDefaultSwap("PAIR", 0.01, JUNE_31, names=2, members=("ACME", "BRAVO"))
IG = CreditDefaultSwap("IG46", 0.01, JUNE_31, names=125)
BOND = ReferenceBond("ACME", 0.055, date(2032, 3, 1))
NOTE = TreasuryNote(0.0425, date(2033, 8, 15))
IBM_SWAP = EquityTotalReturnSwap("IBM", date(2027, 6, 30), 240.0)
IBM_FORWARD = EquityForward("IBM", date(2027, 6, 30), 245.0)
BOND_SWAP = BondTotalReturnSwap(BOND, date(2027, 6, 30), 1.0)
NOTE_SWAP = BondTotalReturnSwap(NOTE, date(2027, 6, 30), 1.0)
CREDIT = (ACME, ACME_SHORT, BRAVO, PAIR, IG)
BOOK = (*CREDIT, IBM_SWAP, IBM_FORWARD, BOND_SWAP, NOTE_SWAP)
PRICES = {ACME: 99.5, ACME_SHORT: 100.4, BRAVO: 102.0, PAIR: 98.0, IG: 101.9, BOND: 103.0}


def market_with(*, without=(), rate=0.04) -> Market:
    """A market of one zero rate that quotes everything in `BOOK` except what is left out."""
    par = 2.0 * (math.exp(rate / 2.0) - 1.0)
    prices = {product.symbol: price for product, price in PRICES.items() if product not in without}
    known = {} if "IBM" in without else {"IBM": Underlying("IBM", spot=250.0)}
    return Market(AS_OF, ParCurve(AS_OF, TENORS, [par] * len(TENORS)), history(), prices=prices, underlyings=known)


def pool_of(*held, ruleset="schedule_im") -> Pool:
    """The pool of one owner with (product, quantity) pairs."""
    positions = [Position(f"p{n}", "a", product, quantity) for n, (product, quantity) in enumerate(held)]
    return Pool("firm", "firm", AccountClass.PROPRIETARY, "counterparty", ruleset, positions=positions)


def inputs_of(pool, market=None) -> Inputs:
    """What a rule-set is given for one pool."""
    account = Account("a", "firm", "firm", AccountClass.PROPRIETARY)
    portfolio = Portfolio([Firm("firm")], [], [account], pool.positions)
    return Inputs(portfolio, market_with() if market is None else market, {})
