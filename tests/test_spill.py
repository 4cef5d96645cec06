"""Files of figures: those of the batch however it is cut, made once, whole or not at all."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from attrs import evolve

from crossmargin.batch import Positions, spill
from crossmargin.batch.mapped import CorruptShard
from crossmargin.batch.spill import cut_positions, margin_to_files, read_shard
from crossmargin.errors import CrossMarginError, InputError
from tests.engine_doubles import Inline, damaged, planned, whole


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_files_hold_the_batch_however_it_is_cut(tmp_path, monkeypatch, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(spill, "_suffix", lambda: suffix)
    made, pnl, positions = planned()
    digests = set()
    for count, engine in ((1, None), (2, Inline()), (7, None)):
        found = margin_to_files(cut_positions(positions, count), pnl, made, tmp_path, engine=engine)
        assert len(found.files) == count
        digests.add(found.digest())
    assert len(digests) == 1
    assert found.column("account").tolist() == whole().accounts.tolist()
    for regime in ("siloed", "cross_margin", "harmonized"):
        assert found.column(f"{regime}.clearing.total").tobytes() == whole().total(regime).tobytes()
    with pytest.raises(InputError, match=r"Did you mean 'siloed\.clearing\.total'"):
        found.column("siloed.clearing.totals")
    columns = read_shard(found.files[0].path)
    assert all(len(column) == found.files[0].accounts for column in columns.values())
    assert len(columns) > len(made.figures)
    assert found.column("unmodelled").tolist() == whole().unmodelled.tolist()


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    made, pnl, positions = planned()
    sources = cut_positions(positions, 5)
    whole_run = margin_to_files(sources, pnl, made, tmp_path / "whole")
    some = dict(list(sources.items())[:2])
    margin_to_files(some, pnl, made, tmp_path / "parts")
    again = margin_to_files(sources, pnl, made, tmp_path / "parts")
    assert [each.reused for each in again.files] == [True, True, False, False, False]
    for one, other in zip(whole_run.files, again.files, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "remove"])
def test_a_damaged_file_is_made_again_the_same(tmp_path, harm):
    made, pnl, positions = planned()
    sources = cut_positions(positions, 2)
    first = margin_to_files(sources, pnl, made, tmp_path)
    path = first.files[1].path
    before = path.read_bytes()
    damaged(path, harm)
    with pytest.raises(CorruptShard, match="Run again"):
        first.column("account")
    again = margin_to_files(sources, pnl, made, tmp_path)
    assert [each.reused for each in again.files] == [True, False]
    assert path.read_bytes() == before


def test_files_of_other_positions_or_pnl_are_not_kept(tmp_path):
    made, pnl, positions = planned()
    margin_to_files({"one": positions}, pnl, made, tmp_path)
    (same,) = margin_to_files({"one": lambda: positions}, pnl, made, tmp_path).files
    moved = evolve(positions, quantity=positions.quantity * 2)
    (other,) = margin_to_files({"one": moved}, pnl, made, tmp_path).files
    (single,) = margin_to_files({"one": moved}, pnl, made, tmp_path, precision="single").files
    assert [each.reused for each in (same, other, single)] == [True, False, False]


def test_all_wrong_sources_are_named_and_the_others_done(tmp_path):
    made, pnl, positions = planned()
    bad = evolve(positions, quantity=positions.quantity * np.nan)
    sources = {"bad": bad, "good": positions, "odd": evolve(positions, product=positions.product + 999)}
    with pytest.raises(InputError) as wrong:
        margin_to_files(sources, pnl, made, tmp_path)
    assert sorted({problem.where.split(",")[0] for problem in wrong.value.problems}) == ["bad", "odd"]
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"good"}
    with pytest.raises(InputError, match="5 problems"):
        margin_to_files({"": positions, "../x": positions, 3: positions, "n": None}, made.stream(), made, tmp_path)
    with pytest.raises(InputError, match="gave int"):
        margin_to_files({"count": int}, pnl, made, tmp_path)
    dates = evolve(positions, account=np.zeros(len(positions.account), dtype="M8[D]"))
    with pytest.raises(InputError, match="text or whole numbers"):
        margin_to_files({"dates": dates}, pnl, made, tmp_path)


def test_a_full_disk_keeps_what_is_done(tmp_path, monkeypatch):
    made, pnl, positions = planned()
    sources = cut_positions(positions, 3)
    real, calls = spill._write_npz, []

    def full(path, *rest):
        calls.append(path)
        if len(calls) == 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, *rest)

    monkeypatch.setattr(spill, "_write_npz", full)
    monkeypatch.setattr(spill, "_suffix", lambda: ".npz")
    with pytest.raises(CrossMarginError, match=r"accounts-\d+.*No space left on device"):
        margin_to_files(sources, pnl, made, tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 1
    assert [each.reused for each in margin_to_files(sources, pnl, made, tmp_path).files] == [True, False, False]


def test_accounts_by_number_or_none(tmp_path):
    made, pnl, positions = planned()
    numbers = np.unique(positions.account, return_inverse=True)[1]
    for account in (numbers, numbers.astype(np.uint8)):
        found = margin_to_files({"one": evolve(positions, account=account)}, pnl, made, tmp_path)
        assert set(found.column("account").tolist()) == set(account.tolist())
    empty = Positions([], [], [])
    assert margin_to_files({}, pnl, made, tmp_path).column("account").size == 0
    assert margin_to_files({"none": empty}, pnl, made, tmp_path).files[0].accounts == 0
    assert cut_positions(empty, 3) == {}


def test_what_cannot_be_cut_is_refused():
    for bad in (
        Positions([0, 2], [0, 0], [1.0, 1.0], ["a", "b"]),
        Positions([0, -1], [0, 0], [1.0, 1.0], ["a", "b"]),
        Positions([0, 1], [0, 0], [1.0], ["a", "b"]),
        Positions([0, 1], [0, 0], [1.0, 1.0], ["a", "b"], [0]),
    ):
        with pytest.raises(InputError, match="cannot be cut"):
            cut_positions(bad, 2)
