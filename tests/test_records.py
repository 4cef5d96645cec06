"""Frozen records to plain data and back."""

from __future__ import annotations

import json
from datetime import date
from enum import StrEnum
from typing import Any, ClassVar

import pytest
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.records import as_frozenset, as_tuple, freeze, from_plain, to_plain


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@frozen
class Leaf:
    TERSE: ClassVar[bool] = True
    name: str
    amount: float | None = None
    when: date | None = None
    parts: tuple[Leaf, ...] = ()


@frozen
class Tree:
    colour: Colour
    leaves: tuple[Leaf, ...] = ()
    colours: frozenset[Colour] = frozenset()
    best: Leaf | None = None
    names: dict[str, str] = field(factory=dict)
    anything: Any = None


leaves = st.recursive(
    st.builds(
        Leaf, st.text(max_size=5), st.none() | st.floats(allow_nan=False, allow_infinity=False), st.none() | st.dates()
    ),
    lambda inner: st.builds(Leaf, st.text(max_size=5), parts=st.lists(inner, max_size=3).map(tuple)),
    max_leaves=6,
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda s: st.lists(s).map(tuple)
)
trees = st.builds(
    Tree,
    st.sampled_from(Colour),
    st.lists(leaves, max_size=3).map(tuple),
    st.frozensets(st.sampled_from(Colour)),
    st.none() | leaves,
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    anything,
)


@given(trees)
def test_to_json_and_back(tree):
    assert from_plain(Tree, json.loads(json.dumps(to_plain(tree)))) == tree


def test_terse_records_leave_out_what_stands_at_its_default():
    assert to_plain(Leaf("a")) == {"name": "a"}
    assert to_plain(Leaf("a", 0.0)) == {"name": "a", "amount": 0.0}
    assert to_plain(Tree(Colour.RED)).keys() == {"colour", "leaves", "colours", "best", "names", "anything"}


def test_plain_data_is_plain():
    tree = Tree(Colour.RED, (Leaf("a", 1.5, date(2024, 2, 29)),), frozenset(Colour), names={"b": "c"})
    assert to_plain(tree) == {
        "colour": "red",
        "leaves": [{"name": "a", "amount": 1.5, "when": "2024-02-29"}],
        "colours": ["blue", "red"],
        "best": None,
        "names": {"b": "c"},
        "anything": None,
    }


def test_freeze_makes_tuples_all_the_way_down():
    assert freeze([1, [2, {"a": [3]}]]) == (1, (2, {"a": (3,)}))
    assert freeze("text") == "text"
    assert freeze(None) is None


def test_converters():
    assert as_tuple(iter("ab")) == ("a", "b")
    assert as_frozenset(["a", "a"]) == {"a"}


@pytest.mark.parametrize("data", [{"colour": "green"}, {"color": "red"}, {}])
def test_wrong_data_is_not_read_as_something_else(data):
    with pytest.raises((ValueError, TypeError, KeyError)):
        from_plain(Tree, data)
