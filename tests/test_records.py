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

from crossmargin.errors import InputError
from crossmargin.records import Tables, as_frozenset, as_tuple, freeze, from_plain, to_plain


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


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({"colour": "green"}, "colour: 'green' is unknown."),
        ({"color": "red"}, "color: is unknown. Did you mean 'colour'?\n  - colour: is missing."),
        ({}, "colour: is missing."),
        ([], "document: [] is no object."),
        ({"colour": ["red"]}, "colour: ['red'] is unknown."),
        ({"colour": "red", "leaves": "abc"}, "leaves: 'abc' is no list."),
        ({"colour": "red", "leaves": [{"name": "a"}, {"name": 7}]}, "leaves[1].name: 7 is no text."),
        ({"colour": "red", "best": {"name": "a", "amount": True}}, "best.amount: True is no finite number."),
        ({"colour": "red", "best": {"name": "a", "amount": float("nan")}}, "best.amount: nan is no finite number."),
        ({"colour": "red", "best": {"name": "a", "amount": 10**400}}, "is no finite number."),
        ({"colour": "red", "best": {"name": "a", "when": "2024-02-30"}}, "best.when: '2024-02-30' is no date"),
        ({"colour": "red", "names": {"b": None}}, "names.b: None is no text."),
    ],
)
def test_wrong_data_is_named_with_its_place(data, what):
    with pytest.raises(InputError) as error:
        from_plain(Tree, data)
    assert what in str(error.value)


def test_every_wrong_value_is_told_at_once():
    with pytest.raises(InputError) as error:
        from_plain(Tree, {"colour": "red", "leaves": [{"name": 1}, {"amount": "x"}], "names": []})
    assert len(error.value.problems) == 4


@given(trees)
def test_tables_hold_each_record_once(tree):
    tables = Tables({Leaf: "leaves"})
    plain = json.loads(json.dumps(to_plain(tree, tables)))
    rows: list[Leaf] = []
    for row in tables.rows.get("leaves", []):
        rows.append(from_plain(Leaf, {**row, "parts": []}))
        rows[-1] = Leaf(rows[-1].name, rows[-1].amount, rows[-1].when, tuple(rows[at] for at in row.get("parts", ())))
    assert from_plain(Tree, plain, {Leaf: tuple(rows)}) == tree
    assert len(tables.rows.get("leaves", [])) == len({json.dumps(row) for row in tables.rows.get("leaves", [])})


@pytest.mark.parametrize("place", [-1, 1, True, "0", 0.0])
def test_a_place_that_is_in_no_table_is_refused(place):
    with pytest.raises(InputError, match="no place in a table of 1 row"):
        from_plain(Tree, {"colour": "red", "best": place}, {Leaf: (Leaf("a"),)})
