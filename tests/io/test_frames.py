"""Frames: the same statement from pandas, polars, pyarrow and any Arrow stream; results into each of them."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import date, datetime

import pytest

from crossmargin.documents import RECORD
from crossmargin.errors import InputError
from crossmargin.io.frames import BACKENDS, csv_of, frame_of, positions_from_frame
from crossmargin.io.market_files import read_tidy_par_yields
from crossmargin.results import Comparison, Report, Requirement, not_modelled

COLUMNS = {
    "Symbol": ["IBM", "ZNU6", "SPY   260918P00570000", None],
    "Quantity": [500.0, -480.0, -10.0, float("nan")],
    "Price": [280.1, 112.5, None, None],
}
AS_OF = date(2026, 6, 30)


class Stream:
    """An Arrow stream and nothing else."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def framed(backend, columns=COLUMNS):
    pytest.importorskip("narwhals", reason="narwhals is not installed")
    if backend in {"pyarrow", "stream"}:
        table = pytest.importorskip("pyarrow").table(columns)
        return Stream(table) if backend == "stream" else table
    return pytest.importorskip(backend).DataFrame(columns)


@pytest.mark.parametrize("backend", [*BACKENDS, "stream"])
def test_every_frame_gives_the_same_positions(backend):
    statement = positions_from_frame(framed(backend), as_of=AS_OF, account="pat")
    assert [(p.account, p.product.symbol, p.quantity) for p in statement.positions] == [
        ("pat", "IBM", 500.0),
        ("pat", "ZN 2026-09", -480.0),
        ("pat", "SPY put 570 2026-09-18", -10.0),
    ]
    assert statement.prices == {"IBM": 280.1, "ZN 2026-09": 112.5}
    assert [row.reason for row in statement.not_understood] == ["The quantity is missing."]


@pytest.mark.parametrize("backend", [*BACKENDS, "stream"])
def test_an_empty_frame_has_no_positions(backend):
    columns = {"symbol": ["x"], "quantity": [1.0]}
    frame = framed(backend, columns)
    frame = Stream(frame.table.slice(0, 0)) if backend == "stream" else frame[:0]
    assert positions_from_frame(frame).rows == ()


def test_columns_may_be_called_otherwise():
    frame = framed("pyarrow", {"instrument_name": ["IBM"], "net": [5], "account_id": ["a"]})
    columns = {"symbol": "instrument_name", "quantity": "net"}
    assert positions_from_frame(frame, columns=columns).positions[0].account == "a"


def test_whole_and_awkward_numbers_keep_every_digit():
    numbers = [0.1 + 0.2, 1e-9, 1e15, -1e9]
    frame = framed("pyarrow", {"symbol": ["A", "B", "C", "D"], "quantity": numbers})
    assert [p.quantity for p in positions_from_frame(frame).positions] == numbers
    frame = framed("pyarrow", {"symbol": ["A"], "quantity": [2**53]})
    assert positions_from_frame(frame).positions[0].quantity == 2.0**53


@pytest.mark.parametrize(
    ("columns", "renamed", "what"),
    [
        ({"symbol": ["A"], "quantty": [1]}, {}, "Did you mean 'quantty'?"),
        ({"a": [1]}, {}, "no column is called symbol"),
        ({"symbol": ["A"], "quantity": [1]}, {"quantity": "net"}, "the frame has no column 'net'"),
        ({"symbol": ["A"], "quantity": [1]}, {"quantities": "quantity"}, "Did you mean 'quantity'?"),
        ({"symbol": ["A"], "Symbol": ["B"], "quantity": [1]}, {}, "are one column by name"),
    ],
)
def test_columns_that_are_wrong_are_named(columns, renamed, what):
    frame = framed("pyarrow", columns)
    with pytest.raises(InputError) as error:
        positions_from_frame(frame, columns=renamed)
    assert what in str(error.value)


@pytest.mark.parametrize("thing", [None, 1, [1, 2], {"symbol": ["A"]}, "IBM"])
def test_what_is_no_frame_is_said(thing):
    pytest.importorskip("narwhals", reason="narwhals is not installed")
    with pytest.raises(InputError, match="is no data frame"):
        positions_from_frame(thing)


@pytest.mark.parametrize("backend", BACKENDS)
def test_records_become_a_frame_and_come_back(backend):
    pytest.importorskip(backend)
    narwhals = pytest.importorskip("narwhals", reason="narwhals is not installed")
    frame = frame_of([{"a": 1, "b": "x", "c": True}, {"a": 2.5, "c": "no"}], backend=backend)
    found = narwhals.from_native(frame, eager_only=True)
    assert list(found.columns) == ["a", "b", "c"]
    assert found["a"].to_list() == [1.0, 2.5]
    assert found["c"].to_list() == ["True", "no"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_history_in_a_frame_goes_through_the_reader_of_files(backend):
    days = [datetime(2020, 3, 6), datetime(2020, 3, 9)]  # noqa: DTZ001 - as frames hold days
    columns = {"date": days, "3M": [0.45, 0.33], "10Y": [0.1 + 0.2, None]}
    history = read_tidy_par_yields(csv_of(framed(backend, columns)))
    assert [str(day) for day in history.dates] == ["2020-03-06", "2020-03-09"]
    assert history.par[0, 1] == pytest.approx((0.1 + 0.2) / 100, rel=1e-15)
    assert math.isnan(history.par[1, 1])


def test_no_records_are_an_empty_frame():
    pytest.importorskip("narwhals", reason="narwhals is not installed")
    pytest.importorskip("pyarrow")
    assert frame_of([], backend="pyarrow").num_rows == 0


def test_an_unknown_backend_is_refused():
    with pytest.raises(InputError, match="Did you mean 'polars'"):
        frame_of([], backend="polar")


def test_a_missing_library_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "narwhals", None)
    with pytest.raises(
        InputError, match=r"narwhals is not installed\. Install it: pip install 'crossmargin\[frames\]'"
    ):
        positions_from_frame({"symbol": ["A"]})


@pytest.mark.parametrize("empty", [False, True])
def test_a_report_is_an_arrow_stream_of_its_records(empty):
    pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    asked = Requirement("p", "A", "CME", "clearing", "toy", ("1",), not_modelled("gap", "not public"))
    report = Report("siloed", "Siloed", "in_force", AS_OF, () if empty else (asked,))
    for result in (report, Comparison((report,))):
        frame = polars.DataFrame(result)
        assert frame.to_dicts() == result.to_records()
        assert (frame.columns, frame["amount"].dtype) == (list(RECORD), polars.Float64)


def test_no_extra_is_loaded_until_it_is_used(root):
    extras = ["narwhals", "openpyxl", "pandas", "polars", "pyarrow"]
    modules = "recognise, statement_book, report_files, workbook, frames"
    code = f"import sys, crossmargin; from crossmargin.io import {modules}; print(*{{*sys.modules}} & {{*{extras}}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert not done.stdout.split()
