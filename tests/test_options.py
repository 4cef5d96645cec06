"""Options as data: terms, symbols of the exchanges, what exercise brings, and what is refused."""

from __future__ import annotations

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.products import FutureOption, ListedOption, ShortRateFuture, TreasuryFuture, TreasuryNote
from crossmargin.products.options import (
    EXERCISES,
    RIGHTS,
    SETTLEMENTS,
    SETTLES_AT,
    UNDERLYING_KINDS,
    delivered,
    option_from_osi,
    osi_symbol,
)

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
def test_underlying_must_be_an_interest_rate_future(underlying):
    assert _problems(lambda: FutureOption(underlying, "call", 110.0, EXPIRY)) == ["future_option underlying"]


@pytest.mark.parametrize("number", [5e-324, 1e300, 0.1, 1 / 3])
def test_strikes_read_exactly(number):
    text = ListedOption("X", "call", number, EXPIRY).symbol.split()[2]
    assert float(text) == number


# ------------------------------------------------------------------------------------------------------------ terms


def test_the_usual_option_is_that_on_a_share():
    plain = ListedOption("XYZ", "call", 90.0, EXPIRY)
    assert (plain.exercise, plain.settlement, plain.multiplier) == ("american", "physical", 100.0)
    assert (plain.underlying_kind, plain.settles_at, plain.units) == ("equity", "close", 100.0)


def test_every_wrong_term_of_a_listed_option_is_named_at_once():
    terms = ("exercise", "settlement", "settles_at", "underlying_kind", "multiplier")
    found = _problems(lambda: ListedOption("XYZ", "call", 90.0, EXPIRY, **dict.fromkeys(terms, "x")))
    assert found == [f"listed_option {term}" for term in terms]
    with pytest.raises(InputError, match="'european'"):
        ListedOption("XYZ", "call", 90.0, EXPIRY, exercise="europaen")


@pytest.mark.parametrize("multiplier", [0.0, -100.0, math.nan, math.inf, None, "100"])
def test_bad_multiplier(multiplier):
    assert _problems(lambda: ListedOption("XYZ", "call", 90.0, EXPIRY, multiplier=multiplier)) == [
        "listed_option multiplier"
    ]


def test_an_index_is_settled_in_cash():
    index = {"underlying_kind": "index"}
    assert _problems(lambda: ListedOption("SPX", "call", 9.0, EXPIRY, **index)) == ["listed_option settlement"]
    assert ListedOption("SPX", "call", 9.0, EXPIRY, settlement="cash", **index).symbol == "SPX call 9 2026-08-21 cash"


def test_terms_of_the_future_are_those_of_its_contract():
    on_note, on_rate = (FutureOption(each, "put", 96.25, EXPIRY) for each in (ZN, ShortRateFuture("SR3", 202612)))
    assert (on_note.units, on_rate.units) == (1000.0, 2500.0)
    assert {on_note.exercise, on_rate.exercise} == {"american"}
    assert on_rate.symbol == "SR3 2026-12 put 96.25 2026-08-21"


@pytest.mark.parametrize(
    ("option", "brings"),
    [
        (ListedOption("XYZ", "call", 90.0, EXPIRY), "100 shares of XYZ"),
        (ListedOption("TLT", "put", 90.0, EXPIRY, underlying_kind="etf", multiplier=10), "10 shares of TLT"),
        (ListedOption("SPX", "put", 9.0, EXPIRY, underlying_kind="index", settlement="cash"), "cash"),
        (ListedOption("XYZ", "put", 9.0, EXPIRY, settlement="cash"), "cash"),
        (FutureOption(ZN, "call", 110.0, EXPIRY), "one ZN 2026-09 future"),
        (FutureOption(ShortRateFuture("SR3", 202612), "call", 96.0, EXPIRY), "one SR3 2026-12 future"),
    ],
)
def test_what_exercise_brings(option, brings):
    assert delivered(option) == brings


# ---------------------------------------------------------------------------------------------------------- symbols

TERMS = st.fixed_dictionaries(
    {
        "exercise": st.sampled_from(EXERCISES),
        "settlement": st.just("cash"),
        "multiplier": st.sampled_from([1.0, 10.0, 100.0, 100.5]),
        "settles_at": st.sampled_from(SETTLES_AT),
        "underlying_kind": st.just("equity"),
    }
)
LISTED = st.builds(
    ListedOption,
    st.sampled_from(["A", "TLT", "BRK.B"]),
    st.sampled_from(RIGHTS),
    st.integers(1, 99_999_999).map(lambda thousandths: thousandths / 1000.0),
    st.dates(date(1990, 1, 1), date(2068, 12, 31)),
)


@given(st.tuples(TERMS, st.sampled_from(SETTLEMENTS)), st.tuples(TERMS, st.sampled_from(SETTLEMENTS)))
def test_options_of_other_terms_have_other_symbols(one, other):
    first, second = (
        ListedOption("XYZ", "call", 90.0, EXPIRY, **{**terms, "settlement": how}) for terms, how in (one, other)
    )
    assert (first == second) == (first.symbol == second.symbol)


def test_options_on_other_kinds_of_underlying_have_other_symbols():
    options = [
        ListedOption("XYZ", "put", 9.0, EXPIRY, settlement="cash", underlying_kind=kind) for kind in UNDERLYING_KINDS
    ]
    assert len({option.symbol for option in options}) == len(set(options))


@given(LISTED)
def test_an_osi_symbol_is_read_back(option):
    text = osi_symbol(option)
    assert len(text) == 21
    assert option_from_osi(text) == option


def test_osi_symbols_by_hand():
    assert osi_symbol(ListedOption("A", "call", 0.001, date(2026, 1, 2))) == "A     260102C00000001"
    assert osi_symbol(ListedOption("GOOGLX", "put", 99999.999, date(2068, 12, 31))) == "GOOGLX681231P99999999"
    index = {"exercise": "european", "settlement": "cash", "underlying_kind": "index", "settles_at": "open"}
    assert option_from_osi("SPX   231215C04500000", **index) == ListedOption(
        "SPX", "call", 4500.0, date(2023, 12, 15), **index
    )


@pytest.mark.parametrize(
    ("underlying", "strike"), [("TOOLONG", 90.0), ("XYZ", 1 / 3), ("XYZ", 100_000.0), ("XYZ", 1e300), ("XYZ", 5e-324)]
)
def test_what_does_not_fit_has_no_osi_symbol(underlying, strike):
    with pytest.raises(InputError, match="no OSI symbol"):
        osi_symbol(ListedOption(underlying, "put", strike, EXPIRY))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "TLT",
        "TLT   260918P0009250",
        "TLT   260918P000925000",
        "TLT   260230P00092500",
        "TLT   261318P00092500",
        "TLT   26 918P00092500",
        "TLT   260918X00092500",
        "TLT   260918p00092500",
        "TLT   260918P00000000",
        "TLT   260918P0009250x",
        "TLT1  260918P00092500",
        "      260918P00092500",
    ],
)
def test_what_is_no_osi_symbol(text):
    with pytest.raises(InputError):
        option_from_osi(text)


@pytest.mark.parametrize(
    "text",
    [
        "TLT   260918P+0092500",
        "TLT   260918P0009_500",
        "TLT   260918P 0092500",
        " TLT  260918P00092500",
        "T LT  260918P00092500",
        "TLT   260918P\u0660\u0660\u066092500",
    ],
)
def test_what_only_looks_like_an_osi_symbol(text):
    with pytest.raises(InputError):
        option_from_osi(text)


@pytest.mark.parametrize(
    ("root", "expiry"), [("XYZ", date(2069, 1, 4)), ("XYZ", date(2126, 8, 21)), ("XYZ1", EXPIRY), ("x y", EXPIRY)]
)
def test_what_would_not_be_read_back_has_no_osi_symbol(root, expiry):
    with pytest.raises(InputError):
        osi_symbol(ListedOption(root, "put", 90.0, expiry))
