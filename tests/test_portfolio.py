"""A portfolio refuses every dangling reference at once."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import pytest
from attrs import evolve

from crossmargin.accounts import Account, AccountClass, Customer, Firm
from crossmargin.errors import InputError
from crossmargin.portfolio import Pool, Portfolio, Position, problems_on
from crossmargin.products import FutureOption, Repo, ShortRateFuture, TreasuryBill, TreasuryFuture, TreasuryNote
from tests.properties.strategies import AS_OF, NOTE_7, NOTE_8, ZN, book

FIRM = Firm("firm", affiliates=("affiliate",), name="The Firm")
CUSTOMER = Customer("customer", name="A Customer")
ACCOUNT = Account("account", "customer", "firm", AccountClass.SEC_NOTE_H)


def portfolio(**changes) -> Portfolio:
    whole = {
        "firms": [FIRM],
        "customers": [CUSTOMER],
        "accounts": [ACCOUNT],
        "positions": [Position("p", "account", NOTE_7, 1e6)],
    }
    return Portfolio(**{**whole, **changes})


WRONG = {
    "duplicate position": (
        {"positions": [Position("p", "account", NOTE_7, 1.0), Position("p", "account", NOTE_8, 2.0)]},
        "position 'p': id stands 2 times",
    ),
    "duplicate account": ({"accounts": [ACCOUNT, ACCOUNT, ACCOUNT]}, "account 'account': id stands 3 times"),
    "firm named as a customer": ({"customers": [CUSTOMER, Customer("firm")]}, "firm or customer 'firm'"),
    "no owner": ({"accounts": [evolve(ACCOUNT, owner="")]}, "field 'owner': is missing"),
    "unknown owner": ({"accounts": [evolve(ACCOUNT, owner="custmer")]}, "Did you mean 'customer'"),
    "unknown firm": ({"accounts": [evolve(ACCOUNT, firm="frim")]}, "Did you mean 'firm'"),
    "an affiliate carries nothing": ({"accounts": [evolve(ACCOUNT, firm="affiliate")]}, "unknown 'affiliate'"),
    "unknown account": ({"positions": [Position("p", "acount", NOTE_7, 1.0)]}, "Did you mean 'account'"),
    "NaN": ({"positions": [Position("p", "account", NOTE_7, math.nan)]}, "quantity is nan"),
    "infinite": ({"positions": [Position("p", "account", NOTE_7, -math.inf)]}, "quantity is -inf"),
    "too many": ({"positions": [Position("p", "account", NOTE_7, -1e308)]}, r"quantity is -1e\+308, beyond 9"),
    "text": ({"positions": [Position("p", "account", NOTE_7, "5")]}, "quantity is '5'"),
    "flag": ({"positions": [Position("p", "account", NOTE_7, True)]}, "quantity is True"),
    "time of day": (
        {"positions": [Position("p", "account", NOTE_7, 5.0, datetime(2026, 7, 1, 9, tzinfo=UTC))]},
        "field 'settles': datetime.datetime",
    ),
    "a number as id": ({"positions": [Position(7, "account", NOTE_7, 5.0)]}, "position 7: id is no text"),
    "no id": ({"positions": [Position("", "account", NOTE_7, 5.0)]}, "position '': id is missing"),
    "no position": ({"positions": [NOTE_7]}, "positions: a TreasuryNote stands among them. Give Position records"),
    "no product": ({"positions": [Position("p", "account", "UST", 5.0)]}, "'UST' is no product"),
    "no day": ({"positions": [Position("p", "account", NOTE_7, 5, "2026-07-01")]}, "'2026-07-01' is not a date"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(wrong):
    changes, message = wrong
    with pytest.raises(InputError, match=message.replace("(", r"\(")) as caught:
        portfolio(**changes)
    assert len(caught.value.problems) == 1


def test_everything_wrong_is_told_at_once():
    accounts = [evolve(ACCOUNT, owner="", firm="?"), ACCOUNT]
    positions = [Position("p", "?", NOTE_7, math.nan), Position("p", "account", NOTE_7, math.inf)]
    with pytest.raises(InputError) as caught:
        portfolio(accounts=accounts, positions=positions)
    assert len(caught.value.problems) == 7


def test_an_empty_portfolio_is_a_portfolio():
    assert Portfolio().products == ()
    assert problems_on(Portfolio(), AS_OF) == []


def test_an_affiliate_may_own():
    assert portfolio(accounts=[evolve(ACCOUNT, owner="affiliate")]).customer("affiliate") is None


def test_names():
    whole = portfolio()
    names = {"customer": "A Customer", "firm": "The Firm", "affiliate": "affiliate"}
    assert whole.names(["customer", "firm", "affiliate"]) == names
    assert whole.names(["customer"]) == {"customer": "A Customer"}
    assert whole.account_of(whole.positions[0]) == ACCOUNT
    assert whole.firm("firm") == FIRM
    assert whole.customer("customer") == CUSTOMER


def test_products_are_distinct_and_in_order():
    held = [Position(str(i), "account", product, 1.0) for i, product in enumerate((NOTE_8, NOTE_7, NOTE_8))]
    assert portfolio(positions=held).products == (NOTE_8, NOTE_7)


# ------------------------------------------------------------------------------------------ what depends on the date

ENDED = {
    "matured": TreasuryNote(0.04, date(2026, 6, 29)),
    "matures today": TreasuryBill(AS_OF),
    "repo over": Repo(NOTE_7, date(2026, 6, 1), AS_OF, 0.03),
    "option expired": FutureOption(ZN, "call", 110.0, AS_OF),
    "delivered": evolve(ZN, delivery_month=202603),
    "fixed": ShortRateFuture("ZQ", 202605),
}


@pytest.mark.parametrize("product", ENDED.values(), ids=ENDED)
def test_a_product_past_its_end_is_a_problem(product):
    (problem,) = problems_on(book(Position("p", "ALPHA-XM", product, 1.0)), AS_OF)
    assert "not after as_of 2026-06-30" in problem.what
    assert "'p'" in problem.where


@pytest.mark.parametrize(
    "product",
    [
        TreasuryBill(date(2026, 7, 1)),
        Repo(NOTE_7, date(2026, 6, 1), date(2026, 7, 1), 0.03),
        ShortRateFuture("ZQ", 202606 + 1),
        ZN,
    ],
    ids=lambda product: product.symbol,
)
def test_a_product_with_a_day_to_live_is_none(product):
    assert problems_on(book(Position("p", "ALPHA-XM", product, 1.0)), AS_OF) == []


def test_a_future_needs_a_basket_and_one_only():
    bare = TreasuryFuture("ZN", 202609)
    (problem,) = problems_on(book(Position("p", "ALPHA-XM", bare, 1.0)), AS_OF)
    assert "no deliverable basket" in problem.what
    narrower = evolve(ZN, basket=(NOTE_7,))
    held = [Position(str(i), "ALPHA-XM", product, 1.0) for i, product in enumerate((ZN, narrower, ZN))]
    (problem,) = problems_on(book(*held), AS_OF)
    assert "2 different baskets" in problem.what


# ------------------------------------------------------------------------------------------------------------- pools


def test_a_pool_names_its_parts():
    pool = Pool("ALPHA", "DUAL", AccountClass.SEC_NOTE_H, "FICC", "ficc_gsd", "", [Position("p", "a", NOTE_7, 5.0)])
    assert pool.id == "ALPHA / DUAL / SEC_NOTE_H / FICC"
    assert (pool.products, pool.quantities) == ((NOTE_7,), (5.0,))
    assert evolve(pool, programme="cme_ficc").id.endswith("FICC / cme_ficc")
