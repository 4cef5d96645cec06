"""Problems are collected and told all at once, with what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import (
    MOST_LISTED,
    CrossMarginError,
    InputError,
    NotInForce,
    NumericalError,
    ParameterMissing,
    Problem,
    Problems,
    RuleError,
    check_kinds,
    counted,
    listed,
    suggestion,
)


def test_the_family_of_errors():
    assert issubclass(InputError, CrossMarginError)
    assert issubclass(NotInForce, RuleError)
    assert issubclass(ParameterMissing, RuleError)
    assert issubclass(RuleError, CrossMarginError)
    assert issubclass(NumericalError, CrossMarginError)
    assert not issubclass(RuleError, InputError)


def test_nothing_noted_raises_nothing():
    problems = Problems()
    problems.raise_if_any()
    assert len(problems) == 0


@pytest.mark.parametrize(("count", "title"), [(1, "1 problem in the input:"), (3, "3 problems in the input:")])
def test_every_problem_is_in_the_message(count, title):
    problems = Problems()
    for row in range(count):
        problems.add("is NaN.", where=f"row {row}", fix="Give a number.")
    with pytest.raises(InputError) as caught:
        problems.raise_if_any()
    message = str(caught.value)
    assert message.startswith(title)
    assert message.splitlines()[1:] == [f"  - row {r}: is NaN. Give a number." for r in range(count)]
    assert caught.value.problems == tuple(Problem("is NaN.", f"row {r}", "Give a number.") for r in range(count))


def test_a_title_of_ones_own():
    problems = Problems()
    problems.add("x", where="y")
    with pytest.raises(InputError, match=r"^the curve:\n  - y: x$"):
        problems.raise_if_any("the curve")


def test_collecting_goes_on_after_bad_input_and_stops_at_anything_else():
    problems = Problems()
    with problems.collecting():
        raise InputError([Problem("a", "here"), Problem("b", "there")])
    with problems.collecting():
        pass
    assert len(problems) == 2
    with pytest.raises(NumericalError), problems.collecting():
        raise NumericalError
    assert len(problems) == 2


def test_arguments_of_a_wrong_kind_are_told_together():
    check_kinds(one=(1, int, ""), other=(None, (str, type(None)), ""))
    with pytest.raises(InputError) as caught:
        check_kinds(one=("1", int, "Give 1."), other=(None, str, "Give a name."), fine=(1, int, ""))
    assert [str(each) for each in caught.value.problems] == [
        "one: a str was given. Give 1.",
        "other: None was given. Give a name.",
    ]


def test_problems_of_another_check_are_added():
    problems = Problems()
    problems.extend(Problem(str(n), "there") for n in range(3))
    assert len(problems) == 3


@pytest.mark.parametrize(
    ("name", "choices", "expected"),
    [
        ("tresury_note", ["treasury_note", "repo"], "Did you mean 'treasury_note'?"),
        ("FIC", ["FICC", "CME"], "Did you mean 'FICC'?"),
        ("TREASURY_NOTE", ["treasury_note"], "Did you mean 'treasury_note'?"),
        ("zzz", ["b", "a"], "Known: a, b."),
        ("", ["b", "a"], "Known: a, b."),
    ],
)
def test_suggestion(name, choices, expected):
    assert suggestion(name, choices) == expected


def test_of_many_names_the_likeliest_ten_are_listed():
    said = suggestion("f777", [f"F{n:05d} of a long row of funds" for n in range(80_000, 60_000, -1)])
    assert said.startswith("Known: F77")
    assert said.endswith(" and 19,990 more.")
    assert said.count(",") == MOST_LISTED
    assert suggestion("", "k") == "Known: k."
    assert suggestion("zzz", map(str, range(MOST_LISTED))) == f"Known: {', '.join(map(str, range(MOST_LISTED)))}."


@pytest.mark.parametrize(
    ("count", "said"), [(0, ""), (1, "0"), (2, "0, 1"), (3, "0, 1 and 1 more"), (2000, "0, 1 and 1,998 more")]
)
def test_a_list_in_a_message_has_an_end(count, said):
    assert listed(range(count), most=2) == said


def test_one_is_counted_as_one():
    assert [counted(each, "row") for each in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]


@given(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=10), max_size=5))
def test_a_suggestion_is_always_a_sentence_about_the_choices(name, choices):
    said = suggestion(name, choices)
    assert said.startswith(("Did you mean ", "Known: "))
    assert not choices or any(choice in said or repr(choice)[1:-1] in said for choice in choices)
