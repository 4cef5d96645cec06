"""A journal keeps every whole step, however it was cut, and files are written whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.io.journal import append, csv_text, open_journal, write_whole


@given(
    st.lists(st.dictionaries(st.text(max_size=4), st.floats(allow_nan=False, allow_infinity=False)), max_size=4),
    st.data(),
)
@settings(max_examples=30, deadline=None)
def test_a_journal_cut_anywhere_keeps_its_whole_steps(tmp_path_factory, steps, data):
    path = tmp_path_factory.mktemp("journal") / "steps.jsonl"
    journal = open_journal(path, {"of": "é"})
    kept = [append(journal, step) for step in steps]
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    found = open_journal(path, {"of": "é"}).done
    assert list(found) == kept[: len(found)]
    assert len(found) == max(0, whole[:cut].count(b"\n") - 1)


def test_a_journal_of_something_else_names_what_differs(tmp_path):
    open_journal(tmp_path / "j", {"of": 1, "seed": 2})
    with pytest.raises(InputError, match="another run: of, day differ"):
        open_journal(tmp_path / "j", {"of": 2, "seed": 2, "day": 3})


def test_what_is_no_number_is_not_written(tmp_path):
    journal = open_journal(tmp_path / "j", {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        append(journal, {"total": float("nan")})
    assert open_journal(tmp_path / "j", {}).done == ()


def test_a_file_is_replaced_whole(tmp_path):
    write_whole(tmp_path / "f", "old")
    write_whole(tmp_path / "f", "new\n")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"new\n")]


def test_what_cannot_be_written_is_named_by_its_own_name(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "none" / "f", tmp_path / "folder"):
        with pytest.raises(OSError, match=f"{path}'$"):
            write_whole(path, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_csv_fields():
    text = csv_text([{"a": True, "b": [1, "x"], "c": None}, {"a": 'say "no", twice'}], ["a", "b", "c"])
    assert text == 'a,b,c\nyes,1; x,\n"say ""no"", twice",,\n'
