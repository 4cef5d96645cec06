"""Files of figures: those of the batch however it is cut, made once, whole or not at all."""

from __future__ import annotations

import concurrent.futures as cf
import errno
import hashlib
import json

import numpy as np
import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from crossmargin.batch import Positions, figure_files, spill
from crossmargin.batch.mapped import CorruptShard
from crossmargin.batch.spill import INDEX, cut_positions, margin_to_files, read_shard
from crossmargin.errors import CrossMarginError, InputError
from tests.engine_doubles import Inline, damaged, planned, whole

NONE = Positions([], [], [])


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_files_hold_the_batch_however_it_is_cut(tmp_path, monkeypatch, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(spill, "suffix", lambda: suffix)
    made, pnl, positions = planned()
    digests = set()
    for count, engine in ((1, None), (2, Inline()), (7, None)):
        found = margin_to_files(cut_positions(positions, count), pnl, made, tmp_path / str(count), engine=engine)
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
    assert found.column("siloed.unmodelled").tolist() == whole().unmodelled("siloed").tolist()


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


def test_files_of_another_run_are_not_read(tmp_path):
    made, pnl, positions = planned()
    sources = cut_positions(positions, 2)
    first = margin_to_files(sources, pnl, made, tmp_path)
    before, column = first.digest(), first.column("siloed.clearing.total")
    single = margin_to_files(sources, pnl, made, tmp_path, precision="single")
    assert single.digest() != before
    for asked in (first.digest, lambda: first.column("account")):
        with pytest.raises(CorruptShard, match="another run wrote it"):
            asked()
    margin_to_files(sources, pnl, made, tmp_path)
    assert first.digest() == before, "the same run again"
    for each in first.files:
        assert hashlib.sha256(each.path.read_bytes()).hexdigest() == each.digest
        read_shard(each.path)
    (tmp_path / f"{first.files[0].path.name}.json").unlink()
    assert first.column("siloed.clearing.total").tobytes() == column.tobytes(), "the hash is known"
    with pytest.raises(CorruptShard):
        read_shard(first.files[0].path)


def test_a_folder_holds_one_run_and_says_when_it_is_all_there(tmp_path):
    made, pnl, positions = planned()
    four = margin_to_files(cut_positions(positions, 4), pnl, made, tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["plan"] == made.digest()
    assert [each["sha256"] for each in index["files"]] == [each.digest for each in four.files]
    assert {each["file"] for each in index["files"]} == {each.name for each in tmp_path.glob("*.[pn][aqr]*[tz]")}
    with pytest.raises(InputError, match=r"no source of this run makes: accounts-\d+") as wrong:
        margin_to_files(cut_positions(positions, 3), pnl, made, tmp_path)
    assert "folder of its own" in str(wrong.value)
    assert four.column("account").tolist() == whole().accounts.tolist()
    assert (tmp_path / INDEX).exists(), "nothing was touched"
    with pytest.raises(InputError, match="not margined"):
        margin_to_files({each.name: int for each in four.files}, pnl, made, tmp_path)
    assert not (tmp_path / INDEX).exists(), "a run that stopped has none"


def test_a_loader_that_fails_is_named_and_the_others_done(tmp_path):
    made, pnl, positions = planned()

    def gone():
        raise OSError(errno.EIO, "the share is gone")

    def corrupt():
        raise CorruptShard("a file of mine.")

    sources = {"gone": gone, "good": positions, "zero": lambda: 1 / 0, "corrupt": corrupt}
    with pytest.raises(InputError) as wrong:
        margin_to_files(sources, pnl, made, tmp_path, engine=cf.ThreadPoolExecutor(1))
    told = [str(each) for each in wrong.value.problems]
    assert [each.split(",")[0] for each in told] == ["gone", "zero", "corrupt"]
    assert "OSError: [Errno 5] the share is gone. Mend it and run again; what is done is kept." in told[0]
    mended = {name: evolve(positions, account=np.char.add(positions.account, name)) for name in sources}
    again = margin_to_files({**mended, "good": positions}, pnl, made, tmp_path)
    assert [each.reused for each in again.files] == [False, True, False, False]


def test_arguments_that_are_none_are_told_at_once_before_anything(tmp_path):
    made, pnl, positions = planned()
    called = []
    none = Positions([], [], [])
    sources = {"a": lambda: called.append(1), "n" * 300: positions, "a\0b": none, "\ud800": none}
    with pytest.raises(InputError) as wrong:
        margin_to_files(sources, pnl, made, tmp_path / "x", threads=0)
    told = str(wrong.value)
    assert not called
    assert not (tmp_path / "x").exists()
    assert len(wrong.value.problems) == 4
    assert "has 300 bytes, more than 242" in told
    assert "0 is no number of threads" in told
    longest = margin_to_files({"n" * 242: positions}, pnl, made, tmp_path / "n", threads=np.int64(2))
    assert longest.files[0].accounts == len(whole().accounts)
    with pytest.raises(InputError, match="sources: a list was given") as wrong:
        margin_to_files([positions], pnl, None, None)
    assert len(wrong.value.problems) == 3
    for name in (3, "siloed"):
        with pytest.raises(InputError, match="no column"):
            longest.column(name)


def test_a_folder_that_cannot_be_written_is_told_first(tmp_path, monkeypatch):
    made, pnl, positions = planned()
    file = tmp_path / "file"
    file.write_text("")
    for folder, why in ((file, "File exists"), (file / "in", "Not a directory")):
        with pytest.raises(InputError, match=rf"folder .*: cannot be written \({why}\)"):
            margin_to_files({"one": positions}, pnl, made, folder)

    def denied(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(spill, "TemporaryFile", denied)
    with pytest.raises(InputError, match="Permission denied"):
        margin_to_files({"one": positions}, pnl, made, tmp_path)


def test_all_wrong_sources_are_named_and_the_others_done(tmp_path):
    made, pnl, positions = planned()
    account = positions.account
    bad = evolve(positions, quantity=positions.quantity * np.nan, account=np.char.add(account, "bad"))
    odd = evolve(positions, product=positions.product + 999, account=np.char.add(account, "odd"))
    sources = {"bad": bad, "good": positions, "odd": odd}
    with pytest.raises(InputError) as wrong:
        margin_to_files(sources, pnl, made, tmp_path)
    assert sorted({problem.where.split(",")[0] for problem in wrong.value.problems}) == ["bad", "odd"]
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"good"}
    with pytest.raises(InputError, match="5 problems"):
        margin_to_files({"": int, "../x": positions, 3: int, "n": None}, made.stream(), made, tmp_path)
    with pytest.raises(InputError, match="gave int"):
        margin_to_files({"good": int}, pnl, made, tmp_path)
    dates = evolve(positions, account=np.zeros(len(positions.account), dtype="M8[D]"))
    with pytest.raises(InputError, match="text or whole numbers"):
        margin_to_files({"good": dates}, pnl, made, tmp_path)


def test_a_full_disk_keeps_what_is_done(tmp_path, monkeypatch):
    made, pnl, positions = planned()
    sources = cut_positions(positions, 3)
    real, calls = figure_files._write_npz, []

    def full(path, *rest):
        calls.append(path)
        if len(calls) == 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, *rest)

    monkeypatch.setattr(figure_files, "_write_npz", full)
    monkeypatch.setattr(spill, "suffix", lambda: ".npz")
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
    large = np.where(numbers == 3, 2**63 + 1, numbers.astype(np.uint64))
    small = evolve(positions, account=numbers + 100)
    two = margin_to_files({"large": evolve(positions, account=large), "small": small}, pnl, made, tmp_path / "two")
    held = two.column("account")
    assert held.dtype == np.uint64
    assert max(held.tolist()) == 2**63 + 1
    text = margin_to_files({"text": positions, "number": small}, pnl, made, tmp_path / "text")
    with pytest.raises(InputError, match="account: differs in kind"):
        text.column("account")
    with pytest.raises(InputError, match="are called by bytes"):
        margin_to_files({"one": evolve(positions, account=positions.account.astype("S"))}, pnl, made, tmp_path)
    empty = Positions([], [], [])
    assert margin_to_files({}, pnl, made, tmp_path / "none").column("account").size == 0
    assert margin_to_files({"one": empty}, pnl, made, tmp_path).files[0].accounts == 0
    assert cut_positions(empty, 3) == {}


def test_what_cannot_be_cut_is_refused():
    for bad in (
        Positions([0, 2], [0, 0], [1.0, 1.0], ["a", "b"]),
        Positions([0, -1], [0, 0], [1.0, 1.0], ["a", "b"]),
        Positions([0, 1], [0, 0], [1.0], ["a", "b"]),
        Positions([0, 1], [0, 0], [1.0, 1.0], ["a", "b"], [0]),
        Positions(["a", 1, None], [0, 0, 0], [1.0, 1.0, 1.0]),
        Positions([0.5, 1.5], [0, 0], [1.0, 1.0]),
    ):
        with pytest.raises(InputError, match="cannot be cut"):
            cut_positions(bad, 2)
    for count in (0, 1.5, None):
        with pytest.raises(InputError, match="no number of sources"):
            cut_positions(Positions(["a"], [0], [1.0]), count)
    with pytest.raises(InputError, match="positions: None was given"):
        cut_positions(None, 2)
    with pytest.raises(InputError, match=r"\[\[1\], \[1, 2\]\] is no column"):
        Positions([[1], [1, 2]], [0, 0], [1.0, 1.0])


@given(st.lists(st.tuples(st.integers(-3, 2**63 + 3), st.integers(0, 4), st.integers(-9, 9))), st.integers(1, 9))
def test_every_row_is_cut_into_one_source_and_every_account_stands_in_one(rows, count):
    assume(not rows or min(rows)[0] >= 0 or max(rows)[0] < 2**63)
    account = np.array([row[0] for row in rows], dtype=np.int64 if not rows or max(rows)[0] < 2**63 else np.uint64)
    parts = cut_positions(Positions(account, *zip(*(row[1:] for row in rows), strict=True)) if rows else NONE, count)
    assert len(parts) <= count
    named = [part.labels[part.account].tolist() for part in parts.values()]
    found = [row for names, part in zip(named, parts.values(), strict=True)
             for row in zip(names, part.product.tolist(), part.quantity.tolist(), strict=True)]  # fmt: skip
    assert sorted(found) == sorted(rows)
    assert sum(len(set(names)) for names in named) == len({row[0] for row in rows})


def test_positions_that_are_cut_have_the_templates_that_they_had():
    positions = Positions(["b", "a", "c"], [0, 1, 1], [1.0, 2.0, 3.0])
    assert all(part.template.size == 0 for part in cut_positions(positions, 2).values())
    like = Positions([1, 0, 2], [0, 1, 1], [1.0, 2.0, 3.0], ["a", "b", "c"], [5, 6, 7])
    assert [part.template.tolist() for part in cut_positions(like, np.int64(3)).values()] == [[5], [6], [7]]
