"""Tables of one's own, badly kept: a cell that stands under no one column is not read, and says so."""

from __future__ import annotations

from io import StringIO

import pytest

from crossmargin.io.brokers import read_statement


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("symbol,quantity,price\nIBM,1,500,250\n", "4 fields under 3 columns. Is there a comma in a number"),
        ("symbol,quantity,Quantity\nIBM,500,400\n", "Columns called 'quantity' say '500', '400'. Keep one"),
        ("symbol,symbol,quantity\nIBM,,400\n", "Columns called 'symbol' say 'IBM', ''"),
    ],
)
def test_a_cell_that_stands_under_no_one_column_is_not_read(table, says):
    found = read_statement(StringIO(table))
    assert not found.positions
    (row,) = found.not_understood
    assert (row.place, says in row.reason) == ("open file row 2", True), row.reason


@pytest.mark.parametrize(
    "table",
    [
        "symbol,quantity,price,,\nIBM,500,250,,\n",
        "symbol,quantity\nIBM,500,,,\n",
        "symbol,quantity,quantity\nIBM,500,500\n",
        "note,note,symbol,quantity\na,b,IBM,500\n",  # doubled, but not a column that is read
        "symbol,quantity\nIBM,500\nTotal,500\nGrand Total:,500\n",
    ],
)
def test_blank_ends_columns_alike_and_totals_change_nothing(table):
    found = read_statement(StringIO(table))
    assert [(each.product.symbol, each.quantity) for each in found.positions] == [("IBM", 500.0)]
    assert not found.not_understood
