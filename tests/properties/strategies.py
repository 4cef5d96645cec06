"""Small books and a small market that tests share: one firm, its house, two customers and a retail account.

`market()` has the yields of the testing kit's made-up market. `book(*positions)` completes positions with firms,
customers and accounts. `papers` and `holdings` draw books.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date
from functools import cache
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st

from crossmargin.accounts import (
    Account,
    AccountClass,
    Agreement,
    ClearingHouse,
    Customer,
    CustomerKind,
    Firm,
    Registration,
)
from crossmargin.market import History, Market
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import (
    STRIPS,
    TIPS,
    FutureOption,
    ListedOption,
    Repo,
    ReverseRepo,
    ShortRateFuture,
    TreasuryBill,
    TreasuryBond,
    TreasuryFRN,
    TreasuryFuture,
    TreasuryNote,
)
from crossmargin.testing.made_up import AS_OF, SETTLES, STRESS, made_up_market

__all__ = ["AS_OF", "SETTLES", "STRESS"]

NOTE_2 = TreasuryNote(0.04, date(2028, 6, 30))
NOTE_7 = TreasuryNote(0.0375, date(2033, 5, 15))
NOTE_8 = TreasuryNote(0.04, date(2034, 2, 15))
BOND = TreasuryBond(0.045, date(2053, 11, 15))
SHORT_NOTE = TreasuryNote(0.0425, date(2027, 6, 30))  # exactly one year to run: not strictly more
BILL = TreasuryBill(date(2026, 9, 24))
LONG_BILL = TreasuryBill(date(2027, 3, 18))
TIPS_8 = TIPS(0.0175, date(2034, 7, 15))
FRN = TreasuryFRN(0.0012, date(2028, 1, 31))
STRIP = STRIPS(date(2045, 2, 15))
ZT = TreasuryFuture("ZT", 202609, (NOTE_2,))
ZN = TreasuryFuture("ZN", 202609, (NOTE_7, NOTE_8))
UB = TreasuryFuture("UB", 202609, (BOND,))
ZQ = ShortRateFuture("ZQ", 202609)
SR3 = ShortRateFuture("SR3", 202609)
REPO = Repo(NOTE_7, SETTLES, date(2026, 7, 31), 0.037)
REVERSE = ReverseRepo(NOTE_8, date(2026, 6, 29), date(2026, 7, 13), 0.037)  # the start leg has settled
OPTION = FutureOption(ZN, "call", 112.0, date(2026, 8, 21))
ETF_OPTION = ListedOption("TLT", "put", 85.0, date(2026, 9, 18))

ELIGIBLE_CASH = (NOTE_2, NOTE_7, NOTE_8, BOND, REPO, REVERSE)
ELIGIBLE_FUTURES = (ZT, ZN, UB, ZQ, SR3)
INELIGIBLE = (
    BILL,
    LONG_BILL,
    SHORT_NOTE,
    TIPS_8,
    FRN,
    STRIP,
    OPTION,
    ETF_OPTION,
    Repo(BILL, SETTLES, date(2026, 7, 31), 0.037),
    ReverseRepo(TIPS_8, SETTLES, date(2026, 7, 31), 0.037),
    Repo(SHORT_NOTE, SETTLES, date(2026, 7, 31), 0.037),
)

DUAL = Firm(
    "DUAL",
    (Registration.BD, Registration.FCM),
    (ClearingHouse.FICC, ClearingHouse.CME),
    affiliates=("AFFILIATE",),
    name="Dual LLC",
)
TWIN = Firm("TWIN", DUAL.registrations, DUAL.memberships, name="Twin LLC")  # just as qualified as DUAL
ALPHA = Customer("ALPHA", CustomerKind.ELIGIBLE_CONTRACT_PARTICIPANT, name="Alpha Fund")
BETA = Customer("BETA", CustomerKind.QIB, name="Beta Trust")
RETAIL = Customer("RETAIL", CustomerKind.RETAIL, name="Pat Doe")
PAPERS = frozenset(Agreement)
OWNERS = ("ALPHA", "BETA", "DUAL")


def accounts_of(owner: str, firm: str = "DUAL", papers: Iterable[Agreement] = PAPERS) -> tuple[Account, ...]:
    """The accounts of a customer at a firm: cross-margin, futures, Treasuries; at TWIN their names end in 2."""
    end = "" if firm == "DUAL" else "2"
    return (
        Account(f"{owner}-XM{end}", owner, firm, AccountClass.XM_FUTURES_4D_AB, "cme_ficc", papers),
        Account(f"{owner}-FUT{end}", owner, firm, AccountClass.CFTC_4D_AB),
        Account(f"{owner}-GOV{end}", owner, firm, AccountClass.SEC_NOTE_H),
    )


HOUSE_ACCOUNTS = (
    Account(
        "DUAL-XM",
        "DUAL",
        "DUAL",
        AccountClass.PROPRIETARY,
        "cme_ficc",
        (Agreement.PARTICIPANT_AGREEMENT,),
    ),
    Account("DUAL-FUT", "DUAL", "DUAL", AccountClass.PROPRIETARY),
    Account("DUAL-GOV", "DUAL", "DUAL", AccountClass.PROPRIETARY),
)
ACCOUNTS = (
    *HOUSE_ACCOUNTS,
    *(account for owner in ("ALPHA", "BETA", "RETAIL") for account in accounts_of(owner)),
    *accounts_of("ALPHA", "TWIN"),
    Account("RETAIL-SEC", "RETAIL", "DUAL", AccountClass.SEC_15C3_3),
)


def book(*positions: Position, firms=(DUAL, TWIN), customers=(ALPHA, BETA, RETAIL), accounts=ACCOUNTS) -> Portfolio:
    """A portfolio of these positions in the shared accounts."""
    return Portfolio(firms=firms, customers=customers, accounts=accounts, positions=positions)


def basis(owner: str = "ALPHA", *, start: str = "", end: str = "") -> tuple[Position, ...]:
    """A long note against short futures in the cross-margin account of an owner."""
    account = f"{owner}-XM{end}"
    return (
        Position(f"{start}{owner}-cash", account, NOTE_7, 100e6, SETTLES),
        Position(f"{start}{owner}-future", account, ZN, -900),
    )


def history() -> History:
    """Par yields at 3M, 2Y, 5Y, 10Y and 30Y: a made-up walk over the stressed period and the year to AS_OF."""
    return made_up_market().history


@cache
def market() -> Market:
    """The market of AS_OF on the made-up history, yields alone."""
    return Market.from_history(history(), AS_OF)


few = settings(max_examples=max(1, settings().max_examples // 6))  # a law that reprices whole books

faces = st.integers(-200, 200).filter(bool).map(lambda millions: millions * 1e6)
contracts = st.integers(-2000, 2000).filter(bool).map(float)


def as_much(one: float | None, other: float | None, *, rel_tol: float = 1e-9) -> bool:
    """Return whether two totals are the same; one of which nothing is modelled is None."""
    return one is other if one is None or other is None else math.isclose(one, other, rel_tol=rel_tol, abs_tol=1e-6)


def alike(left: dict, right: dict, *, rel_tol: float = 1e-9) -> bool:
    """Return whether both have the same totals under the same keys."""
    return left.keys() == right.keys() and all(as_much(left[key], right[key], rel_tol=rel_tol) for key in left)


def quantity_of(product) -> st.SearchStrategy[float]:
    """USD face or a number of contracts, long or short."""
    return faces if hasattr(product, "maturity") or hasattr(product, "collateral") else contracts


@st.composite
def lines(draw, accounts, products) -> tuple[str, object, float]:
    """An (account, product, quantity)."""
    product = draw(st.sampled_from(products))
    return draw(st.sampled_from(accounts)), product, draw(quantity_of(product))


@st.composite
def holdings(draw, owners=OWNERS, *, least=1, most=7) -> tuple[Position, ...]:
    """Positions of some owners in all their accounts, eligible and ineligible, each where it can be margined."""
    homes = {"XM": (*ELIGIBLE_CASH, *ELIGIBLE_FUTURES, *INELIGIBLE[:7]), "FUT": ELIGIBLE_FUTURES}
    homes["GOV"] = (*ELIGIBLE_CASH, *INELIGIBLE[:6])
    choices = [lines([f"{owner}-{end}"], products) for owner in owners for end, products in homes.items()]
    drawn = draw(st.lists(st.one_of(choices), min_size=least, max_size=most))
    ids = count(1)
    return tuple(Position(f"p{next(ids)}", *line) for line in drawn)


@st.composite
def units(draw, owner="ALPHA") -> tuple[Position, ...]:
    """Eligible positions of both legs in the cross-margin account of one owner."""
    account = [f"{owner}-XM"]
    cash = draw(st.lists(lines(account, ELIGIBLE_CASH), min_size=1, max_size=3))
    futures = draw(st.lists(lines(account, ELIGIBLE_FUTURES), min_size=1, max_size=3))
    ids = count(1)
    return tuple(Position(f"{owner}-{next(ids)}", *line) for line in (*cash, *futures))
