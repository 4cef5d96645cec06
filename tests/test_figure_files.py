"""Folders of figures, opened again: what was written, or why not; and accounts that stand in two of their sources."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.batch import Positions, margin_many
from crossmargin.batch.mapped import CorruptShard
from crossmargin.batch.spill import INDEX, cut_positions, margin_to_files, read_run
from crossmargin.errors import InputError
from tests.engine_doubles import Inline, damaged, planned, whole


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with a run of four sources, and the run."""
    made, pnl, positions = planned()
    folder = tmp_path_factory.mktemp("run")
    return folder, margin_to_files(cut_positions(positions, 4), pnl, made, folder)


@pytest.fixture
def folder(written, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(written[0], tmp_path / "figures")


def files_of(folder):
    return sorted(each for each in folder.iterdir() if each.suffix in {".parquet", ".npz"})


# ---------------------------------------------------------------------------------------------------------- opened


def test_a_run_is_read_as_it_was_written(written, folder):
    made, _, _ = planned()
    for path in (folder, str(folder)):
        found = read_run(path)
        assert found.finished
        assert found.digest() == written[1].digest()
        assert found.origin == written[1].origin
        assert (found.origin.plan, found.origin.as_of) == (made.digest(), str(made.market.as_of))
        assert [(each.name, each.accounts, each.digest) for each in found.files] == [
            (each.name, each.accounts, each.digest) for each in written[1].files
        ]
    assert read_run(folder, unfinished=True) == read_run(folder)


def test_totals_are_those_of_the_batch(folder):
    held = read_run(folder).totals()
    assert held["account"].tolist() == whole().accounts.tolist()
    assert len(held) == 1 + 2 * 3
    for regime in ("siloed", "cross_margin", "harmonized"):
        assert held[f"{regime}.clearing.total"].tobytes() == whole().total(regime).tobytes()
        assert held[f"{regime}.clearing.whole"].tolist() == whole().whole(regime).tolist()
    told = read_run(folder).not_whole()
    assert set(told) == {f"{each.name}.clearing" for each in planned()[0].regimes}
    for name, accounts in told.items():
        assert accounts.tolist() == whole().accounts[~whole().whole(name.split(".")[0])].tolist() != []


def test_a_run_of_nothing(tmp_path):
    made, pnl, _ = planned()
    margin_to_files({}, pnl, made, tmp_path)
    found = read_run(tmp_path)
    assert found.finished
    assert list(found.totals()) == ["account"]
    assert found.not_whole() == {}
    margin_to_files({"none": Positions([], [], [])}, pnl, made, tmp_path)
    assert read_run(tmp_path).totals()["siloed.clearing.total"].size == 0


# --------------------------------------------------------------------------------------------- stopped and damaged


def test_an_unfinished_run_is_read_where_that_is_asked(folder):
    (folder / INDEX).unlink()
    with pytest.raises(InputError, match=r"not finished: 4 files, no _run\.json.*unfinished=True"):
        read_run(folder)
    gone, *rest = files_of(folder)
    gone.unlink()
    damaged(rest[0], "flip")
    found = read_run(folder, unfinished=True)
    assert not found.finished
    assert found.left_out == (rest[0].name,)
    assert {each.path for each in found.files} == set(rest[1:])
    assert set(found.totals()["account"].tolist()) < set(whole().accounts.tolist())


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "remove"])
def test_every_damaged_file_is_named(folder, harm):
    bad = files_of(folder)[:2]
    for each in bad:
        damaged(each, harm)
    with pytest.raises(InputError, match="This run cannot be read") as wrong:
        read_run(folder)
    assert {problem.where for problem in wrong.value.problems} == {str(each) for each in bad}
    assert {problem.what for problem in wrong.value.problems} == {
        "is gone." if harm == "remove" else "is damaged: it is not what was written."
    }
    some = read_run(folder, unfinished=True)
    assert not some.finished
    assert len(some.files) == 2
    assert some.left_out == (() if harm == "remove" else tuple(each.name for each in bad))


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_changed_byte_of_a_run_is_noticed_or_changes_nothing(written, data):
    folder, run = written
    path = data.draw(st.sampled_from(sorted(each for each in folder.iterdir() if each.name[0] != ".")))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    try:
        path.write_bytes(before[:at] + bytes([before[at] ^ 1 << data.draw(st.integers(0, 7))]) + before[at + 1 :])
        assert read_run(folder).digest() == run.digest()
    except (InputError, CorruptShard):
        pass
    finally:
        path.write_bytes(before)


def test_files_of_other_runs_are_refused(folder, tmp_path):
    made, pnl, positions = planned()
    other = margin_to_files(cut_positions(positions, 4), pnl, made, tmp_path / "other", precision="single")
    mine = folder / other.files[1].path.name
    shutil.copy(other.files[1].path, mine)
    shutil.copy(f"{other.files[1].path}.json", f"{mine}.json")
    shutil.copy(mine, folder / f"more{mine.suffix}")
    with pytest.raises(InputError) as wrong:
        read_run(folder)
    told = str(wrong.value)
    assert "was written by another run since" in told
    assert f"none of its run: more{mine.suffix}" in told
    with pytest.raises(InputError, match="holds files of 2 runs"):
        read_run(folder, unfinished=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"files": []}',
        '{"as_of": 1, "version": "", "plan": "", "made_from": "", "files": []}',
        "\0",
    ],
    ids=range(7),
)
def test_what_is_no_index_is_refused(folder, text):
    (folder / INDEX).write_text(text)
    with pytest.raises(InputError, match=r"_run\.json.*damaged, or of something else"):
        read_run(folder)
    assert len(read_run(folder, unfinished=True).files) == 4


@pytest.mark.parametrize(
    "change",
    [{"file": "../run/x.npz"}, {"accounts": -1}, {"accounts": True}, {"name": None}, {"sha256": 3}],
    ids=["path", "few", "true", "name", "hash"],
)
def test_an_index_that_says_odd_things_is_refused(folder, change):
    told = json.loads((folder / INDEX).read_text())
    told["files"].append(told["files"][0] | change)
    (folder / INDEX).write_text(json.dumps(told))
    with pytest.raises(InputError, match="damaged, or of something else"):
        read_run(folder)
    told["files"][-1] = told["files"][0]
    (folder / INDEX).write_text(json.dumps(told))
    with pytest.raises(InputError, match="names a file twice"):
        read_run(folder)


def test_what_is_no_folder_of_a_run_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path, why in (
        (tmp_path / "none", "No such file"),
        (tmp_path / "file", "Not a directory"),
        (tmp_path, "has no run"),
        (3, "3 is no path"),
        (b"x", "is no path"),
        ("a\0b", "is no path"),
    ):
        with pytest.raises(InputError, match=why):
            read_run(path)
    with pytest.raises(InputError, match="no file of a run that is intact"):
        read_run(tmp_path, unfinished=True)


# --------------------------------------------------------------------------------------- accounts in two sources


def rows(*accounts):
    return Positions(list(accounts), [0] * len(accounts), [1e6] * len(accounts))


def test_accounts_that_stand_in_two_sources_are_told_before_anything(tmp_path):
    made, pnl, _ = planned()
    sources = {"one": rows("a", "b", "b"), "two": rows("c", "b", "a"), "three": rows("d", "c"), "no": lambda: 1}
    with pytest.raises(InputError) as wrong:
        margin_to_files(sources, pnl, made, tmp_path / "run", threads=0)
    assert [(each.where, each.what) for each in wrong.value.problems[:2]] == [
        ("sources 'one', 'two'", "have accounts in common: 'a', 'b'."),
        ("sources 'two', 'three'", "have accounts in common: 'c'."),
    ]
    assert len(wrong.value.problems) == 3
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("engine", [None, Inline()], ids=["here", "files"])
def test_accounts_that_stand_in_two_sources_that_are_loaded_are_told_at_the_end(tmp_path, engine):
    made, pnl, positions = planned()
    parts = cut_positions(positions, 3)
    doubled = {**parts, "again": next(iter(parts.values()))}
    loaded = {name: _Loads(each) for name, each in doubled.items()}
    for _ in range(2):  # made, then kept
        with pytest.raises(InputError, match=r"sources 'accounts-0', 'again': have accounts in common") as wrong:
            margin_to_files({**loaded, "bad": int}, pnl, made, tmp_path, engine=engine)
        assert len(wrong.value.problems) == 2
        assert "and" in wrong.value.problems[1].what, "many are told by the first of them"
        with pytest.raises(InputError, match="not finished"):
            read_run(tmp_path)
    for each in tmp_path.glob("again*"):
        each.unlink()
    assert all(each.reused for each in margin_to_files(parts, pnl, made, tmp_path).files)
    assert read_run(tmp_path).totals()["account"].tolist() == whole().accounts.tolist()


class _Loads:
    """A source that is loaded where it is measured."""

    def __init__(self, positions):
        self.positions = positions

    def __call__(self):
        return self.positions


def test_names_that_look_alike_are_no_two_of_one(tmp_path, monkeypatch):
    made, pnl, _ = planned()
    sources = {"text": rows("1", "a", "aa"), "number": rows(1, 2), "large": rows(2**63 + 1), "less": rows(1 - 2**63)}
    margin_to_files(sources, pnl, made, tmp_path)
    with pytest.raises(InputError, match=r"'x', 'y': have accounts in common: 200\."):
        margin_to_files({"x": rows(200), "y": evolve(rows(200), account=np.array([200], "u1"))}, pnl, made, tmp_path)
    with pytest.raises(InputError, match=r"'x', 'y': have accounts in common: 'ä'\."):
        margin_to_files({"x": rows("ä", "long name"), "y": rows("ä")}, pnl, made, tmp_path)
    monkeypatch.setattr("crossmargin.batch.spill._marks_of", lambda names: np.zeros(len(names), np.uint64))
    found = margin_to_files({"x": rows("a", "b"), "y": _Loads(rows("c"))}, pnl, made, tmp_path / "alike")
    assert found.column("account").tolist() == ["a", "b", "c"], "marks that are the same are no accounts that are"


@given(st.lists(st.lists(st.text("ab", max_size=3), max_size=6), max_size=4))
def test_standing_twice_is_what_names_say(groups):
    from crossmargin.batch.spill import _standing_twice_here

    sources = {str(n): rows(*names) for n, names in enumerate(groups)}
    told = {each.where for each in _standing_twice_here(sources)}
    places = {
        name: [repr(str(n)) for n, group in enumerate(groups) if name in group] for group in groups for name in group
    }
    assert told == {f"sources {', '.join(where)}" for where in places.values() if len(where) > 1}


def test_one_account_s_source_explains_it(folder):
    made, pnl, positions = planned()
    run = read_run(folder)
    total = run.totals()["siloed.clearing.total"][3]
    assert margin_many(positions, pnl, made).report_of(run.column("account")[3]).total() == pytest.approx(
        total, abs=0.01
    )
