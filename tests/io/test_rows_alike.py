"""What rows say alike is worked out once, and no row is read otherwise for the rows beside it."""

from __future__ import annotations

import gc
import json
import sys
from contextlib import suppress
from io import StringIO
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.collector import collector_at_rest
from crossmargin.errors import InputError
from crossmargin.io import book_fields
from crossmargin.io.book import load_book
from crossmargin.io.brokers import read_statement, statement

HEADER = ("symbol", "quantity", "price", "value", "currency", "side", "multiplier", "kind", "description")
QUANTITIES = ("5", "-5", "(1,200)", "", "0", "12.5", "1.234,50", "nan", "9" * 400, "1e3")
CELLS = {
    "symbol": ("IBM", "SPY", "ZNU26", "GCG5", "SPY   260918P00400000", "912828YY0", "", "quantity"),
    "quantity": QUANTITIES,
    "price": ("", "--", "280", "112.5", "x"),
    "value": ("", "1400", "-540", "€5"),
    "currency": ("", "USD", "EUR"),
    "side": ("", "long", "SHORT"),
    "multiplier": ("", "", "100", "1000", "ten"),
    "kind": ("", "", "stock", "etf", "sotck"),
    "description": ("", "US TREASURY NOTE 4.125% 05/15/2030", "symbol"),
}
ROW = st.tuples(*(st.sampled_from(CELLS[name]) for name in HEADER))
ROW = ROW.filter(lambda row: not {"symbol", "quantity"} <= {*row})  # with both it is the header of another table
ROWS = st.lists(ROW, min_size=1, max_size=6)


def only(lines: list[str], place: int) -> str:
    """Return a text in which only the header and one line stand, each where it stood."""
    return "\n".join(line if number in (0, place) else "" for number, line in enumerate(lines)) + "\n"


@given(ROWS)
def test_a_row_of_a_statement_says_what_it_says_alone(rows):
    told = [",".join(("account", *HEADER)), *(f'A{n},"' + '","'.join(row) + '"' for n, row in enumerate(rows))]
    whole = read_statement(StringIO("\n".join(told) + "\n"))
    alone = [read_statement(StringIO(only(told, place))) for place in range(1, len(told))]
    for name in ("positions", "quotes", "guesses"):
        assert getattr(whole, name) == tuple(item for each in alone for item in getattr(each, name))
    assert whole.rows[1:] == tuple(row for each in alone for row in each.rows[1:])


BOOK = """positions = "positions.csv"
firms = [{id = "F"}]
accounts = [{id = "A", owner = "F", firm = "F", account_class = "PROPRIETARY"}]
securities = [{name = "N", product = "treasury_note", coupon_pct = 4.0, maturity = 2033-05-15, issue = 2023-05-15}]
"""
COLUMNS = ("account", "product", "quantity", "settles", "cusip", "ticker", "underlying", "right", "strike", "expiry")
COLUMNS += ("contract", "month", "basket")
SOUND = (
    ("A", "stock", "5", "", "", "IBM", "", "", "", "", "", "", ""),
    ("A", "listed_option", "5", "", "", "", "IBM", "call", "280", "2026-12-18", "", "", ""),
    ("A", "treasury_note", "100", "2026-07-01", "N", "", "", "", "", "", "", "", ""),
    ("A", "treasury_future", "-3", "", "", "", "", "", "", "", "ZN", "2026-12", "N"),
    ("A", "treasury_future", "-3", "", "", "", "", "", "", "", "ZN", "2026-12", ""),
)
TYPOS = ("", "B", "stokc", "1,5", "2026-02-30", "N9", "calls", "-1", "ES", "2026-13", "none", "2.5")


@st.composite
def positions(draw):
    row = list(draw(st.sampled_from(SOUND)))
    for place in draw(st.lists(st.integers(0, len(COLUMNS) - 1), max_size=2)):
        row[place] = draw(st.sampled_from(TYPOS))
    return row


def read_book(folder, text):
    (folder / "positions.csv").write_text(text, encoding="utf-8")
    (folder / "book.toml").write_text(BOOK, encoding="utf-8")
    try:
        return load_book(folder / "book.toml").portfolio.positions, ()
    except InputError as error:
        return (), error.problems


@given(st.lists(positions(), min_size=1, max_size=5))
def test_a_row_of_a_book_says_what_it_says_alone(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("alike")
    told = [",".join(("id", *COLUMNS)), *(f'p{n},"' + '","'.join(row) + '"' for n, row in enumerate(rows))]
    held, problems = read_book(folder, "\n".join(told))
    alone = [read_book(folder, only(told, place)) for place in range(1, len(told))]
    assert sorted(map(str, problems)) == sorted(str(each) for _, found in alone for each in found)
    assert held == (() if problems else tuple(each for found, _ in alone for each in found))


def test_rows_alike_hold_one_product(tmp_path):
    text = "id,account,product,quantity,ticker\np1,A,stock,5,IBM\np2,A,stock,-7,IBM\np3,A,stock,5,SPY\n"
    (first, second, third), _ = read_book(tmp_path, text)
    assert first.product is second.product
    assert third.product.ticker == "SPY"


def test_a_mistake_is_noted_in_every_row_that_makes_it(tmp_path):
    rows = "\n".join(f"p{n},B,stokc,5,IBM" for n in range(3))
    _, problems = read_book(tmp_path, f"id,account,product,quantity,ticker\n{rows}\n")
    assert [each.where.split(",")[0] for each in problems] == [
        f"positions.csv row {n + 2} (id 'p{n}')" for _ in ("product", "account") for n in range(3)
    ]
    assert {each.fix for each in problems} == {"Did you mean 'stock'?", "Known: A."}


def test_a_term_is_not_taken_for_one_of_another_type(tmp_path):
    """In JSON 1 and true are equal to Python, and only one of them is a coupon."""
    entry = {"account": "A", "product": "treasury_note", "quantity": 5, "maturity": "2033-05-15"}
    book = {
        "firms": [{"id": "A"}],
        "accounts": [{"id": "A", "owner": "A", "firm": "A", "account_class": "PROPRIETARY"}],
        "positions": [{"id": "p", "coupon_pct": 1, **entry}, {"id": "q", "coupon_pct": True, **entry}],
    }
    (tmp_path / "book.json").write_text(json.dumps(book), encoding="utf-8")
    with pytest.raises(InputError, match="True is no number"):
        load_book(tmp_path / "book.json")


def test_a_symbol_is_read_once_even_when_nothing_reads_it(monkeypatch):
    asked = []

    def resolve(symbol, **terms):
        asked.append(symbol)
        return known(symbol, **terms)

    known = statement.resolve
    monkeypatch.setattr(statement, "resolve", resolve)
    rows = "\n".join(f"A{n},{symbol},5" for n in range(5) for symbol in ("IBM", "GCG5"))
    found = read_statement(StringIO(f"account,symbol,quantity\n{rows}\n"))
    assert asked == ["IBM", "GCG5"]
    assert len(found.positions) == len(found.not_understood) == 5
    assert {row.reason for row in found.not_understood} == {found.not_understood[0].reason}


def test_the_fields_of_a_row_alone_are_no_terms():
    assert set(book_fields.POSITIONS.own) == {"id", "account", "quantity", "settles"}


@pytest.mark.parametrize("works", [True, False])
def test_the_collector_works_again_after_an_error(works):
    assert gc.isenabled()
    if not works:
        gc.disable()
    try:
        with suppress(InputError), collector_at_rest(), collector_at_rest():
            assert not gc.isenabled()
            raise InputError([])
        assert gc.isenabled() == works
    finally:
        gc.enable()


@pytest.mark.parametrize("works", [True, False])
def test_the_collector_rests_until_the_last_of_two_readers_is_done(works):
    begun, go_on, done = Event(), Event(), Event()

    def other():
        with collector_at_rest():
            begun.set()
            go_on.wait(120)
        done.set()

    reader = Thread(target=other)
    try:
        if not works:
            gc.disable()
        with collector_at_rest():
            reader.start()
            assert begun.wait(120)
        assert not gc.isenabled()  # the one who came first is done, the other still reads
        go_on.set()
        assert done.wait(120)
        assert gc.isenabled() == works
    finally:
        go_on.set()
        gc.enable()


def test_many_readers_leave_the_collector_as_it_was():
    seen, before = list[bool](), sys.getswitchinterval()

    def read():
        for _ in range(300):
            with collector_at_rest():
                seen.append(gc.isenabled())

    readers = [Thread(target=read) for _ in range(8)]
    sys.setswitchinterval(1e-6)
    try:
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(120)
    finally:
        sys.setswitchinterval(before)
    assert len(seen) == 2400
    assert not any(seen)
    assert gc.isenabled()
