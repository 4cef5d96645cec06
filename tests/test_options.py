"""Options: data that a programme can refuse."""

from __future__ import annotations

import math
from datetime import date

import pytest

from crossmargin.errors import InputError
from crossmargin.products import FutureOption, ListedOption, TreasuryFuture, TreasuryNote

ZN = TreasuryFuture("ZN", 202609)
EXPIRY = date(2026, 8, 21)


def _problems(make) -> list[str]:
    with pytest.raises(InputError) as caught:
        make()
    return [problem.where for problem in caught.value.problems]


def test_symbols_and_kinds():
    on_future = FutureOption(ZN, "put", 110.25, EXPIRY)
    assert (on_future.symbol, on_future.kind) == ("ZN 2026-09 put 110.25 2026-08-21", "future_option")
    listed = ListedOption("TLT", "call", 90, date(2026, 9, 18))
    assert (listed.symbol, listed.kind) == ("TLT call 90 2026-09-18", "listed_option")
    assert len({on_future, listed, FutureOption(ZN, "put", 110.25, EXPIRY)}) == 2


def test_every_wrong_field_of_an_option_on_a_future_is_named_at_once():
    found = _problems(lambda: FutureOption("ZN", "cal", math.nan, "soon"))
    assert found == [f"future_option {field}" for field in ("underlying", "right", "strike", "expiry")]


def test_every_wrong_field_of_a_listed_option_is_named_at_once():
    found = _problems(lambda: ListedOption(" ", None, 0.0, None))
    assert found == [f"listed_option {field}" for field in ("underlying", "right", "strike", "expiry")]


@pytest.mark.parametrize("strike", [0, -1.0, math.inf, math.nan, None, "90", True])
def test_bad_strike(strike):
    assert _problems(lambda: ListedOption("TLT", "put", strike, EXPIRY)) == ["listed_option strike"]


@pytest.mark.parametrize("right", ["Call", "C", "", 1])
def test_bad_right(right):
    assert _problems(lambda: ListedOption("TLT", right, 90.0, EXPIRY)) == ["listed_option right"]


def test_typo_gets_a_suggestion():
    with pytest.raises(InputError, match="'call'"):
        ListedOption("TLT", "cal", 90.0, EXPIRY)


@pytest.mark.parametrize("underlying", [None, "ZN 2026-09", TreasuryNote(0.04, date(2035, 2, 15))])
def test_underlying_must_be_a_treasury_future(underlying):
    assert _problems(lambda: FutureOption(underlying, "call", 110.0, EXPIRY)) == ["future_option underlying"]


@pytest.mark.parametrize("number", [5e-324, 1e300, 0.1, 1 / 3])
def test_strikes_read_exactly(number):
    text = ListedOption("X", "call", number, EXPIRY).symbol.split()[2]
    assert float(text) == number
