"""What an asset is worth, and every bad entry in a list of deposits at once."""

from __future__ import annotations

from datetime import date

import pytest
from attrs import evolve

from crossmargin.collateral import Cash, OtherAsset, Place, balances, unit_values
from crossmargin.errors import InputError
from crossmargin.posted import problems_with
from crossmargin.products import TIPS, Stock, TreasuryBill, TreasuryFRN, TreasuryFuture
from tests.collateral.pots import (
    AS_OF,
    BILL,
    EUR,
    FIRM,
    FUTURES,
    GOLD,
    HOUSE,
    IBM,
    NOTE,
    PORTFOLIO,
    SPY,
    UNPRICED,
    USD,
    XM,
    A,
    B,
    box,
    market,
    posted,
)


def test_prices_are_observed_dirty_and_per_unit():
    values = unit_values([USD, EUR, GOLD, IBM, SPY, BILL, NOTE], market())
    # the note pays 1.875 on 15 May and 15 November: 46 of 184 days have run
    assert values[NOTE] == pytest.approx(1.0 + 0.01875 * 46 / 184, abs=1e-12)
    assert (values[USD], values[EUR], values[GOLD], values[IBM], values[SPY]) == (1.0, 1.1, 2000.0, 100.0, 500.0)
    assert values[BILL] == pytest.approx(0.99, abs=1e-12)


def test_treasuries_without_a_quote_are_priced_off_the_curve():
    plain = evolve(market(), prices={})
    frn = TreasuryFRN(0.0012, date(2028, 1, 31))
    values = unit_values([BILL, NOTE, frn], plain)
    assert all(0.7 < value < 1.2 for value in values.values())
    assert len(values) == 3


def test_what_has_no_price_is_left_out():
    tips = TIPS(0.0175, date(2034, 7, 15), index_ratio=1.2)
    assert unit_values([UNPRICED, Cash("XXX"), OtherAsset("gold", "none"), tips], market()) == {}
    quoted = evolve(market(), prices={tips.symbol: 98.0})
    assert unit_values([tips], quoted)[tips] == pytest.approx(1.2 * (0.98 + 0.00875 * 166 / 181))


@pytest.mark.parametrize(("price", "known"), [(0.0, True), (-5.0, False), (1e9, True)])
def test_a_price_below_zero_is_no_price(price, known):
    odd = evolve(market(), prices={"IBM": price, "GOLD": price})
    assert (IBM in unit_values([IBM, GOLD], odd)) is known
    assert (GOLD in unit_values([IBM, GOLD], odd)) is known


def test_a_place_tells_its_level():
    assert Place(A, FIRM, "carrying firm", FUTURES).level == "customer"
    assert Place(A, FIRM, "CME", FUTURES).level == "clearing"
    assert Place(FIRM, FIRM, "carrying firm", HOUSE).level == "clearing"
    assert posted("x", USD, 1, pot=FIRM, owner=A).place.pot == "carrying firm"


def test_every_problem_is_told_at_once():
    future = TreasuryFuture("ZN", 202609, (NOTE,))
    wrong = [
        box("twice", USD, 1.0),
        box("twice", USD, 1.0),
        box("negative", USD, -1.0),
        box("nan", USD, float("nan")),
        box("infinite", USD, float("inf")),
        box("flag", USD, True),
        box("future", future, 1.0),
        box("past", TreasuryBill(AS_OF), 1.0),
        box("small letters", Cash("usd"), 1.0),
        posted("nowhere", USD, 1.0, pot=""),
        box("who", USD, 1.0, owner="FUND", account_class=FUTURES),
    ]
    with pytest.raises(InputError) as caught:
        balances([], [], wrong, market(), portfolio=PORTFOLIO)
    text = str(caught.value)
    for said in (
        "stands 2 times",
        "-1.0",
        "nan",
        "inf",
        "True",
        "no asset that can be posted",
        "matured on",
        "Write 'USD'",
    ):
        assert said in text
    assert "field 'pot'" in text
    assert "Did you mean 'FUND" in text
    assert len(caught.value.problems) == 11 - 1


DEPOSIT = box("a", BILL, 100.0, owner=A)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([posted("b", BILL, 60.0, owner=A, passed_on="z")], "unknown 'z'"),
        ([posted("b", BILL, 60.0, owner=A, passed_on="b")], "unknown 'b'"),
        ([posted("b", BILL, 60.0, owner=B, passed_on="a")], "is not what it passes on"),
        ([posted("b", NOTE, 60.0, owner=A, passed_on="a")], "is not what it passes on"),
        ([posted("b", BILL, 60.0, owner=A, account_class=XM, passed_on="a")], "is not what it passes on"),
        ([box("b", BILL, 60.0, owner=A, passed_on="a")], "is not what it passes on"),
        (
            [posted(id, BILL, 60.0, pot, owner=A, passed_on="a") for id, pot in (("b", "CME"), ("c", "ICC"))],
            "120 is passed on, 100 was deposited",
        ),
    ],
)
def test_a_dollar_is_passed_on_once_and_by_its_owner(more, said):
    [problem] = problems_with([DEPOSIT, *more], AS_OF)
    assert said in str(problem)


def test_a_deposit_may_be_passed_on_in_parts():
    parts = [posted(id, BILL, 50.0, pot, owner=A, passed_on="a") for id, pot in (("b", "CME"), ("c", "ICC"))]
    assert problems_with([DEPOSIT, *parts], AS_OF) == []


def test_an_empty_list_has_no_problems():
    assert problems_with([], AS_OF) == []
    assert unit_values([], market()) == {}
    assert unit_values([Stock("IBM")], market()) == {IBM: 100.0}
