"""Positions from Arrow: the same batch as from arrays, nothing copied that need not be, every bad row told."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.batch import Positions, margin_many, plan
from crossmargin.errors import InputError
from tests.engine_doubles import planned as one_template

pa = pytest.importorskip("pyarrow")


@cache
def made():
    portfolio, market = samples.basis_trade()
    planned = plan(portfolio.products, market, portfolio, settles=samples.SETTLES)
    return planned, planned.revalue()


def table(**columns):
    symbol = made()[0].products[0].symbol
    return pa.table({"account": ["A"], "product": [symbol], "quantity": [1e6], **columns})


def dictionary(codes, values):
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(values))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 20), st.integers(-9, 9)), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)
def test_a_table_is_what_its_arrays_are(rows):
    planned, pnl = made()
    account, product, size = (np.array(column) for column in zip(*rows, strict=True))
    names = [f"account {n}" for n in account]
    symbols = [planned.products[n].symbol for n in product]
    labels = np.unique(names)
    like = np.full(len(labels), 1)
    plain = Positions(np.searchsorted(labels, names), product, size * 1e6, labels, like)
    expected = margin_many(plain, pnl, planned)
    for column in (
        symbols,
        product,
        pa.array(symbols).dictionary_encode(),
        pa.chunked_array([symbols[:1], symbols[1:]]),
    ):
        held = pa.table({"account": names, "product": column, "quantity": size * 1e6, "template": [1] * len(names)})
        assert margin_many(Positions.from_arrow(held, planned), pnl, planned).digest() == expected.digest()


def test_dictionary_codes_and_numbers_are_not_copied():
    planned, _ = made()
    codes = np.array([0, 1, 0, 2], dtype=np.int32)
    sizes = np.array([1e6, 2e6, -1e6, 5e5])
    symbols = [product.symbol for product in planned.products]
    held = pa.table({
        "account": dictionary(codes, ["x", "y", "z"]),
        "product": dictionary(codes, symbols[:3]),
        "quantity": sizes,
    })  # fmt: skip
    found = Positions.from_arrow(held, planned)
    for name, column in (("account", "account"), ("product", "product")):
        indices = held[column].chunk(0).indices
        assert np.shares_memory(getattr(found, name), np.asarray(indices.to_numpy(zero_copy_only=True)))
    assert np.shares_memory(found.quantity, np.asarray(held["quantity"].chunk(0).to_numpy(zero_copy_only=True)))
    assert found.labels.tolist() == ["x", "y", "z"]


def test_labels_that_no_row_has_are_no_accounts():
    planned, _ = made()
    symbol = planned.products[0].symbol
    held = pa.table({"account": dictionary([2, 2], ["a", "b", "c"]), "product": [symbol] * 2, "quantity": [1.0, 2.0]})
    found = Positions.from_arrow(held, planned)
    assert (found.labels.tolist(), found.account.tolist()) == (["c"], [0, 0])


def test_templates_and_other_column_names():
    planned, pnl = made()
    note = planned.products[0]
    held = pa.table({
        "client": ["b", "a", "b"],
        "product": [note.cusip, note.symbol, "ZN 202609"],
        "net": pa.array([10, 20, -3], pa.int64()),
        "template": ["NG-XM", "MER-XM", "NG-XM"],
    })  # fmt: skip
    zn = next(product for product in planned.products if product.kind == "treasury_future" and product.contract == "ZN")
    held = held.set_column(1, "product", pa.array([note.cusip, note.symbol, zn.symbol]))
    found = Positions.from_arrow(held, planned, columns={"account": "client", "quantity": "net"})
    many = margin_many(found, pnl, planned)
    kinds = [planned.kinds[n].account.id for n in many.template]
    assert dict(zip(many.accounts.tolist(), kinds, strict=True)) == {"a": "MER-XM", "b": "NG-XM"}


def test_any_arrow_stream_will_do():
    polars = pytest.importorskip("polars")
    planned, _ = made()
    symbol = planned.products[0].symbol
    frame = polars.DataFrame({"account": ["a", "b"], "product": [symbol] * 2, "quantity": [1.0, 2.0]})
    found = Positions.from_arrow(frame, planned)
    assert found.labels[found.account].tolist() == ["a", "b"]
    assert found.quantity.tolist() == [1.0, 2.0]


def test_every_bad_row_is_told():
    planned, _ = made()
    symbol = planned.products[0].symbol
    held = pa.table({
        "account": ["a", None, "a", "b", "b", "b"],
        "product": [symbol, symbol, symbol[:-1] + "?", symbol[:-1] + "?", None, symbol],
        "quantity": [1.0, 2.0, np.nan, None, 5.0, np.inf],
        "template": ["NG-XM", "NG-XM", "NG-XN", "MER-XM", "MER-XM", "NG-XM"],
    })  # fmt: skip
    with pytest.raises(InputError) as wrong:
        Positions.from_arrow(held, planned)
    told = "\n".join(str(problem) for problem in wrong.value.problems)
    assert len(wrong.value.problems) == 5
    assert f"2 rows: {symbol[:-1] + '?'!r} is no product of the plan; the first: 2, 3" in told
    assert symbol in told
    assert "NG-XM" in told
    assert "3 rows: no finite number; the first: 2, 3, 5" in told


def test_many_unknown_names_are_counted():
    planned, _ = made()
    held = pa.table({"account": ["a"] * 40, "product": [f"X{n}" for n in range(40)], "quantity": [1.0] * 40})
    with pytest.raises(InputError, match="35 more names are unknown") as wrong:
        Positions.from_arrow(held, planned)
    assert len(wrong.value.problems) == 6


def test_an_account_of_two_templates_is_refused():
    planned, _ = made()
    symbol = planned.products[0].symbol
    held = pa.table(
        {"account": ["a"] * 2, "product": [symbol] * 2, "quantity": [1.0] * 2, "template": ["NG-XM", "MER-XM"]}
    )
    with pytest.raises(InputError, match="another template"):
        Positions.from_arrow(held, planned)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"quantity": ["many"]}, "is string"),
        ({"product": [7.5]}, "product: is double"),
        ({"account": [["a"]]}, "account: is list"),
        ({"account": [b"a"]}, "account: is binary"),
        ({"account": ["a\0"]}, "ends in a NUL"),
        ({"template": [{"of": 1}]}, "template: is struct"),
        ({"account": [None], "quantity": pa.nulls(1)}, "2 problems|account: 1 row: no account"),
    ],
    ids=["text for a number", "half a product", "a list", "bytes", "a text that would be cut", "a record", "nulls"],
)
def test_columns_of_a_wrong_type(bad, said):
    with pytest.raises(InputError, match=said):
        Positions.from_arrow(table(**bad), made()[0])


@given(st.permutations(range(12)), st.permutations(["b", "c", "a", "e", "d"]))
@settings(max_examples=10, deadline=None)
def test_neither_the_order_of_rows_nor_of_labels_changes_a_bit(order, labels):
    planned, pnl, _ = one_template()
    account = np.array(["b", "a", "c", "a", "b", "a", "c", "b", "a", "c", "c", "b"])
    rows = {"account": account, "product": np.arange(12) % 5, "quantity": np.arange(12) * 1e5 - 5e5}
    plain = margin_many(Positions(*rows.values()), pnl, planned)
    order = list(order)
    codes = np.array([list(labels).index(name) for name in account[order]])
    held = {
        "account": dictionary(codes, labels),
        "product": rows["product"][order],
        "quantity": rows["quantity"][order],
    }
    found = margin_many(Positions.from_arrow(pa.table(held), planned), pnl, planned)
    assert found.accounts.tolist() == ["a", "b", "c"]
    assert found.digest() == plain.digest()


def test_a_null_among_labels_is_no_account():
    planned, _ = made()
    symbol = planned.products[0].symbol
    polars = pytest.importorskip("polars")
    for account in (
        dictionary([0, 1, 0], ["a", None]),
        pa.DictionaryArray.from_arrays(pa.array([1, None, 1], pa.uint32()), pa.array(["b", "a"])),
        polars.Series(["a", None, "a"], dtype=polars.Categorical).to_arrow(),
    ):
        held = pa.table({"account": account, "product": [symbol] * 3, "quantity": [1.0] * 3})
        with pytest.raises(InputError, match="1 row: no account; the first: 1"):
            Positions.from_arrow(held, planned)


def test_accounts_of_large_numbers_keep_them():
    planned, _ = made()
    large = np.array([2**63 + 1, 5], dtype=np.uint64)
    symbol = planned.products[0].symbol
    held = pa.table({"account": large, "product": [symbol] * 2, "quantity": [1.0] * 2})
    assert Positions.from_arrow(held, planned).labels.tolist() == [5, 2**63 + 1]


def test_tables_that_are_none():
    planned, _ = made()
    twice = pa.table([["a"], ["b"], [1]], names=["account", "account", "quantity"])
    with pytest.raises(InputError, match="column 'account' stands 2 times") as wrong:
        Positions.from_arrow(twice, planned)
    assert len(wrong.value.problems) == 2
    pandas = pytest.importorskip("pandas")
    mixed = pandas.DataFrame({"account": [1, "a", None], "product": [0] * 3, "quantity": [1.0] * 3})
    with pytest.raises(InputError, match="makes no Arrow table"):
        Positions.from_arrow(mixed, planned)
    with pytest.raises(InputError, match="plan: None was given"):
        Positions.from_arrow(table(), None)
    with pytest.raises(InputError, match="columns: a list was given"):
        Positions.from_arrow(table(), planned, columns=["account"])
    with pytest.raises(InputError, match="no Arrow stream"):
        Positions.from_arrow([1, 2], planned)
    with pytest.raises(InputError, match="no column 'quantity'"):
        Positions.from_arrow(table().drop_columns(["quantity"]), planned)
    with pytest.raises(InputError, match="unknown column"):
        Positions.from_arrow(table(), planned, columns={"quantiti": "net"})


def test_no_rows():
    planned, pnl = made()
    found = Positions.from_arrow(table().slice(0, 0), planned)
    assert margin_many(found, pnl, planned).total("siloed").shape == (0,)
