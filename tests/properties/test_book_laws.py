"""Laws of book files: what is written is read back, and nothing that is read raises anything but InputError."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import date
from pathlib import Path

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import Account, AccountClass, Customer, Firm
from crossmargin.errors import InputError
from crossmargin.io import book_fields
from crossmargin.io.book import load_book
from crossmargin.io.book_writer import write_book
from crossmargin.io.quantities import CONTRACTS
from crossmargin.portfolio import Portfolio, Position
from crossmargin.posted import MOST_QUANTITY
from crossmargin.products import (
    PRODUCT_KINDS,
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

HEAD = (Path(__file__).resolve().parents[2] / "examples" / "basis_trade" / "book.toml").read_text(encoding="utf-8")

days = st.dates(date(2027, 1, 1), date(2060, 12, 31))
rates = st.integers(0, 9_999).map(lambda points: points / 10_000 if points == 0 or points >= 10 else 0.01)
words = st.text(st.characters(exclude_categories=["Cs", "Z", "C"]), min_size=1, max_size=9)
ids = st.text(st.characters(exclude_categories=["Cs", "Zl", "Zp", "C"]), min_size=1, max_size=9)
ids = ids.map(str.strip).filter(bool)


def note(coupon: float, maturity: date, listed: bool) -> TreasuryNote:
    """One CUSIP for one security, as in life."""
    return TreasuryNote(coupon, maturity, cusip=f"{maturity:%y%m%d}{coupon * 1e4:04.0f}" if listed else "")


notes = st.builds(note, rates, days, st.booleans())
bonds = st.builds(TreasuryBond, rates, days, issue=st.one_of(st.none(), st.just(date(2020, 2, 29))))
futures = st.builds(
    TreasuryFuture,
    st.sampled_from(["ZT", "ZN", "UB"]),
    st.sampled_from([202609, 202703]),
    st.lists(st.one_of(notes, bonds), max_size=3),
)
terms = (date(2026, 7, 1), date(2026, 7, 31))
strikes = st.floats(0.01, 1e6)
anything = st.one_of(
    st.builds(TreasuryBill, days, cusip=st.sampled_from(["", "BILL"])),
    notes,
    bonds,
    st.builds(TreasuryFRN, st.integers(-99, 99).map(lambda points: points / 10_000), days),
    st.builds(TIPS, rates, days),
    st.builds(STRIPS, days),
    st.builds(Repo, st.one_of(notes, bonds), *map(st.just, terms), st.floats(-0.9, 0.9), st.floats(0.01, 9)),
    st.builds(ReverseRepo, bonds, *map(st.just, terms), st.floats(-0.9, 0.9)),
    futures,
    st.builds(ShortRateFuture, st.sampled_from(["ZQ", "SR1"]), st.sampled_from([202607, 202701])),
    st.builds(FutureOption, futures, st.sampled_from(["call", "put"]), strikes, days),
    st.builds(ListedOption, words, st.sampled_from(["call", "put"]), strikes, days),
)


@st.composite
def portfolios(draw):
    firm = Firm(draw(ids), {"BD"}, {"FICC"}, name=draw(ids))
    customer = Customer(draw(ids.filter(lambda id: id != firm.id)), name=draw(ids))
    account = Account(draw(ids), customer.id, firm.id, draw(st.sampled_from(AccountClass)), "cme_ficc")
    quantities = st.floats(-MOST_QUANTITY, MOST_QUANTITY)
    settles = st.one_of(st.none(), days)
    chosen = draw(st.lists(ids, unique=True, max_size=4))
    rows = [_whole(Position(id, account.id, draw(anything), draw(quantities), draw(settles))) for id in chosen]
    return Portfolio([firm], [customer], [account], rows)


def _whole(position: Position) -> Position:
    """A file may hold whole contracts only."""
    return evolve(position, quantity=float(int(position.quantity))) if position.product.kind in CONTRACTS else position


@given(portfolios())
def test_what_is_written_is_read_back(tmp_path_factory, portfolio):
    folder = tmp_path_factory.mktemp("book")
    book = write_book(portfolio, folder / "new")
    assert load_book(book).portfolio == portfolio


cells = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "nan", "1e400", "-5", "4.25", "2033-05-15", "0000-00-00", "91282CHC8", "none", "202609", "ZN"]
    ),
    st.sampled_from([*PRODUCT_KINDS, "MER-XM", "call", '"', ",", "\r\n", "\x00", "\ud800", "٣", "1,000"]),
)


@given(
    st.lists(st.sampled_from([*book_fields.POSITION_COLUMNS, "colour", ""]), max_size=9),
    st.lists(st.lists(cells, max_size=10), max_size=4),
)
def test_no_table_raises_anything_but_an_input_error(tmp_path_factory, header, rows):
    folder = tmp_path_factory.mktemp("fuzz")
    lines = [",".join(header or book_fields.POSITION_COLUMNS), *(",".join(row) for row in rows)]
    (folder / "positions.csv").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    (folder / "book.toml").write_text(HEAD, encoding="utf-8")
    with suppress(InputError):
        load_book(folder / "book.toml", check=lambda _: ())


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), cells.filter(lambda text: "\ud800" not in text)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(book_fields.POSITION_COLUMNS), inner)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(book_fields.SECTIONS),
        st.one_of(
            plain,
            st.lists(
                st.dictionaries(
                    st.sampled_from([*book_fields.POSITION_COLUMNS, "owner", "firm", "affiliates", "name"]), plain
                ),
                max_size=3,
            ),
        ),
    )
)
def test_no_document_raises_anything_but_an_input_error(tmp_path_factory, document):
    path = tmp_path_factory.mktemp("fuzz") / "book.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with suppress(InputError):
        load_book(path)
