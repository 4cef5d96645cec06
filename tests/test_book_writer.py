"""Portfolios written as book files: what is read back is what was written, or the writing is refused."""

from __future__ import annotations

from datetime import date

import pytest

from crossmargin import samples
from crossmargin.accounts import Account, Firm
from crossmargin.errors import InputError
from crossmargin.io.book import load_book
from crossmargin.io.book_writer import write_book
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import (
    TreasuryBill,
    TreasuryFuture,
    TreasuryNote,
)

NOTE_33 = TreasuryNote(0.03375, date(2033, 5, 15), cusip="NOTE33")


def test_two_securities_of_one_cusip_are_refused_in_writing(tmp_path):
    account = Account("A", "F", "F", "PROPRIETARY")
    future = TreasuryFuture("ZN", 202609, (NOTE_33,))
    held = [Position("1", "A", future, 1.0), Position("2", "A", TreasuryBill(date(2027, 1, 7), cusip="NOTE33"), 1.0)]
    with pytest.raises(InputError, match="other terms"):
        write_book(Portfolio([Firm("F")], [], [account], held), tmp_path)


def test_the_sample_book_is_written_and_read_back(tmp_path):
    portfolio, _ = samples.basis_trade()
    assert load_book(write_book(portfolio, tmp_path)).portfolio == portfolio


def test_an_id_that_a_table_cannot_hold_is_refused_in_writing(tmp_path):
    account = Account("A", "F", "F", "PROPRIETARY")
    position = Position(" edge ", "A", TreasuryBill(date(2027, 1, 7)), 1.0)
    with pytest.raises(InputError, match="do not give back the portfolio"):
        write_book(Portfolio([Firm("F")], [], [account], [position]), tmp_path)
