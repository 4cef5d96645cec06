"""What margin on deposit takes off the customer reserve, by hand, and every condition of Note H."""

from __future__ import annotations

from datetime import date

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.collateral import OtherAsset, balances, note_h_decision, reserve_effect
from crossmargin.errors import InputError
from tests.collateral.pots import BILL, FIRM, FUTURES, HOUSE, IBM, NOTE_H, SECURITIES, USD, A, B, market, need, posted


def effect(asked, held, credits=10e6, debits=4e6, **more):
    report = balances(asked, [], held, market())
    return reserve_effect(report, held, firm=FIRM, credits=credits, debits=debits, **more)


OPTIONS = [need(2e6, "OCC", A, SECURITIES)]
TREASURIES = [need(3e6, "FICC", A, NOTE_H)]


def test_customer_option_margin_at_occ_is_a_debit():
    """Debits of 4 mm and 2 mm, less 3 %: the reserve falls from 6.12 mm to 4.18 mm."""
    line = effect(OPTIONS, [posted("c", USD, 2.5e6, "OCC", A, SECURITIES)])
    assert line.amount == pytest.approx(-0.97 * 2e6)
    assert line.part("reserve with these debits").amount == pytest.approx(10e6 - 0.97 * 6e6)
    assert line.part("reserve without them").amount == pytest.approx(10e6 - 0.97 * 4e6)
    assert line.part("Item 13: customer options at OCC").amount == 2e6


def test_a_firm_that_computes_daily_takes_less_off():
    held = [posted("c", USD, 2.5e6, "OCC", A, SECURITIES)]
    assert effect(OPTIONS, held, daily=True).amount == pytest.approx(-0.98 * 2e6)


def test_no_more_is_a_debit_than_is_on_deposit():
    """1 mm of bills at 0.99 less 1 %."""
    line = effect(OPTIONS, [posted("b", BILL, 1e6, "OCC", A, SECURITIES), posted("s", IBM, 1e5, "OCC", A, SECURITIES)])
    assert line.amount == pytest.approx(-0.97 * 980_100.0)  # shares are none of the assets that count


def test_treasury_margin_that_meets_note_h_is_a_debit():
    line = effect(TREASURIES, [posted("c", USD, 3.5e6, "FICC", A, NOTE_H)])
    assert line.amount == pytest.approx(-0.97 * 3e6)
    assert line.part("Item 15: customer Treasuries, Note H").amount == 3e6


def test_the_firms_own_money_is_no_note_h_debit():
    held = [posted("c", USD, 2e6, "FICC", A, NOTE_H), posted("f", USD, 2e6, "FICC", A, NOTE_H, provided_by=FIRM)]
    assert effect(TREASURIES, held).amount == pytest.approx(-0.97 * 2e6)


def test_the_reserve_never_falls_below_nothing():
    held = [posted("c", USD, 2.5e6, "OCC", A, SECURITIES)]
    assert effect(OPTIONS, held, credits=5e6, debits=4e6).amount == pytest.approx(-(5e6 - 0.97 * 4e6))
    assert effect(OPTIONS, held, credits=1e6, debits=4e6).amount == 0.0


def test_house_margin_futures_margin_and_other_firms_do_not_count():
    asked = [need(2e6, "OCC"), need(2e6, "CME", A, FUTURES)]
    held = [posted("h", USD, 2e6, "OCC"), posted("f", USD, 2e6, "CME", A, FUTURES)]
    assert effect(asked, held).amount == 0.0
    elsewhere = [evolve(each, firm="OTHER") for each in OPTIONS]
    assert effect(elsewhere, []).amount == 0.0
    assert effect([], []).amount == 0.0


@pytest.mark.parametrize(
    ("pot", "owner", "account_class", "held", "failed"),
    [
        ("FICC", A, NOTE_H, 1e6, set()),
        ("FICC", A, NOTE_H, 999_999.0, {"minimum"}),
        ("FICC", A, SECURITIES, 1e6, {"segregated"}),
        ("CME", A, NOTE_H, 1e6, {"treasury_clearing_agency"}),
        ("FICC", FIRM, HOUSE, 1e6, {"customer_position", "segregated"}),
        ("carrying firm", A, NOTE_H, 1e6, {"treasury_clearing_agency"}),
    ],
)
def test_each_condition_of_note_h(pot, owner, account_class, held, failed):
    [balance] = balances([], [], [posted("c", USD, held, pot, owner, account_class)], market()).balances
    decision = note_h_decision(balance, market().as_of)
    assert {why.condition for why in decision.because} == failed
    assert decision.allowed is not bool(failed)
    assert all(why.citation for why in decision.because)


def test_before_the_notice_there_is_no_note_h_debit():
    [balance] = balances([], [], [posted("c", USD, 2e6, "FICC", A, NOTE_H)], market()).balances
    assert note_h_decision(balance, date(2024, 11, 21)).allowed
    assert [why.condition for why in note_h_decision(balance, date(2024, 11, 20)).because] == [
        "treasury_clearing_agency"
    ]


def test_bad_credits_and_debits_are_told_together():
    with pytest.raises(InputError) as caught:
        effect([], [], credits=-1.0, debits=float("nan"))
    assert len(caught.value.problems) == 2


AMOUNTS = st.floats(0.0, 1e9, allow_subnormal=False)


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_the_effect_is_never_above_nothing_nor_beyond_the_margin(required, held, credits, debits):
    asked = [need(required, "OCC", A, SECURITIES), need(required, "FICC", B, NOTE_H)]
    deposits = [posted("o", USD, held, "OCC", A, SECURITIES), posted("f", USD, held, "FICC", B, NOTE_H)]
    amount = effect(asked, deposits, credits=credits, debits=debits).amount
    assert -2.0 * min(required, held) * (1 + 1e-9) - 1e-6 <= amount <= 1e-6


def test_the_effect_tells_its_sources():
    line = effect(
        OPTIONS,
        [posted("c", USD, 2e6, "OCC", A, SECURITIES), posted("o", OtherAsset("gold", "GOLD"), 1, "OCC", A, SECURITIES)],
    )
    assert {read.name for read in line.all_reads()} >= {"debit_reduction", "item_13_pots", "item_13_kinds"}
