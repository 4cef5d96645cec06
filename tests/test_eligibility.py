"""A decision names every condition that fails, and admits nothing on missing evidence."""

from __future__ import annotations

from datetime import date
from functools import partial

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.eligibility import Decision, Reason, case_of, decide, refusals
from crossmargin.errors import NotInForce
from crossmargin.parameters import Condition, DatedValue, Parameter, Rules, Source
from crossmargin.portfolio import Position
from tests.properties.strategies import ALPHA, AS_OF, DUAL, NOTE_7, SETTLES, book

SOURCE = Source("Rule book", "https://example.org")


def condition(name: str, **more) -> Condition:
    settings = {"start": date(2020, 1, 1), "locator": "4", **more}
    return Condition(name, f"about {name}", f"cure {name}", SOURCE, "rule", **settings)


def toy(*conditions: Condition, **parameters) -> Rules:
    return Rules("toy", title="Toy", sources={"s": SOURCE}, conditions=conditions, parameters=parameters)


def case(account: str = "ALPHA-XM", as_of: date = AS_OF, settles: date | None = SETTLES):
    position = Position("p", account, NOTE_7, 1e6, settles)
    return case_of(book(position), position, as_of)


def holds(*names: str):
    return {name: lambda _case, _p: True for name in names}


def fails(*names: str):
    return {name: lambda _case, _p: False for name in names}


def test_a_case_knows_account_firm_owner_and_origin():
    found = case()
    assert (found.firm, found.customer, found.origin) == (DUAL, ALPHA, "customer")
    house = case("DUAL-XM")
    assert (house.customer, house.origin) == (None, "house")


@pytest.mark.parametrize(
    ("settles", "settled"), [(None, False), (date(2026, 7, 1), False), (AS_OF, True), (date(2020, 1, 1), True)]
)
def test_a_trade_has_settled_on_its_day(settles, settled):
    assert case(settles=settles).settled is settled


def test_all_conditions_hold():
    decision = decide(case(), toy(condition("a"), condition("b")), holds("a", "b"))
    assert (decision.allowed, decision.because) == (True, ())
    assert (decision.programme, decision.position, decision.product) == ("toy", "p", NOTE_7.symbol)


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_a_decision_lists_exactly_the_failures_in_order(outcomes):
    names = [f"c{i}" for i in range(len(outcomes))]
    tests = {name: (lambda _case, _p, out=out: out) for name, out in zip(names, outcomes, strict=True)}
    decision = decide(case(), toy(*map(condition, names)), tests)
    assert [reason.condition for reason in decision.because] == [
        n for n, ok in zip(names, outcomes, strict=True) if not ok
    ]
    assert decision.allowed is all(outcomes)


def test_a_reason_carries_what_where_and_what_to_do():
    (reason,) = decide(case(), toy(condition("a")), fails("a")).because
    assert (reason.about, reason.cure, reason.grade) == ("about a", "cure a", "rule")
    assert reason.citation == "Rule book, 4, https://example.org"


def test_a_condition_of_the_other_origin_or_of_another_time_does_not_bind():
    conditions = (
        condition("a"),
        condition("house", origin=("house",)),
        condition("later", start=date(2027, 1, 1)),
        condition("over", end=AS_OF),
    )
    decision = decide(case(), toy(*conditions), holds("a") | fails("house", "later", "over"))
    assert decision.allowed


def test_no_binding_condition_admits_nothing():
    for rules in (toy(), toy(condition("a", start=date(2027, 1, 1))), toy(condition("a", origin=("house",)))):
        decision = decide(case(), rules, holds("a"))
        assert not decision.allowed
        assert [reason.condition for reason in decision.because] == ["in_force"]


def test_the_dated_reason_says_from_when():
    (reason,) = decide(case(), toy(condition("a", start=date(2027, 1, 1))), holds("a")).because
    assert "2027-01-01" in reason.cure


def test_a_parameter_not_in_force_fails_the_condition():
    values = (DatedValue(date(2030, 1, 1), 1, "s", "rule"),)
    rules = toy(condition("a"), later=Parameter("later", "1", "", values))
    decision = decide(case(), rules, {"a": lambda _case, p: p.later == 1})
    assert [reason.condition for reason in decision.because] == ["a"]


def test_any_other_error_of_a_test_is_not_swallowed():
    def broken(_case, _p):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        decide(case(), toy(condition("a")), {"a": broken})
    with pytest.raises(KeyError):
        decide(case(), toy(condition("a")), {})
    assert not issubclass(ZeroDivisionError, NotInForce)


# ------------------------------------------------------------------------------------------------- combined conditions


def combined(name: str, how: str, *parts: Condition, **more) -> Condition:
    return evolve(condition(name, **more), combines=how, parts=parts)


def told(rules: Rules, tests) -> list[str]:
    return [reason.condition for reason in decide(case(), rules, tests).because]


ALL, ANY, NOT = (partial(combined, "whole", how) for how in ("all", "any", "not"))
A, B = condition("a"), condition("b")


@pytest.mark.parametrize(
    ("whole", "holding", "expected"),
    [
        (ANY(A, B), "a", []),
        (ANY(A, B), "b", []),
        (ANY(A, B), "", ["whole", "a", "b"]),
        (ALL(A, B), "ab", []),
        (ALL(A, B), "b", ["whole", "a"]),
        (ALL(A, B), "", ["whole", "a", "b"]),
        (NOT(A), "", []),
        (NOT(A), "a", ["whole"]),
        (ALL(combined("either", "any", A, B), condition("c")), "c", ["whole", "either", "a", "b"]),
        (NOT(combined("either", "any", A, B)), "b", ["whole"]),
        (NOT(combined("either", "any", A, B)), "", []),
        (ANY(combined("neither", "not", A), B), "a", ["whole", "neither", "b"]),
    ],
)
def test_a_combination_reports_itself_and_its_parts_that_fail(whole, holding, expected):
    tests = {name: (lambda _case, _p, name=name: name in holding) for name in "abc"}
    assert told(toy(whole), tests) == expected


def test_any_says_each_way_out():
    (whole, *parts) = decide(case(), toy(ANY(A, B)), fails("a", "b")).because
    assert whole.cure == "cure whole One of: cure a / cure b"
    assert [part.cure for part in parts] == ["cure a", "cure b"]
    assert all(part.citation for part in parts)


LATER, HOUSE = condition("b", start=date(2027, 1, 1)), condition("b", origin=("house",))


@pytest.mark.parametrize("absent", [LATER, HOUSE])
def test_a_part_that_does_not_bind_is_left_out_and_nothing_at_all_admits_nobody(absent):
    assert told(toy(ALL(A, absent)), holds("a") | fails("b")) == []
    assert told(toy(ANY(A, absent)), fails("a") | holds("b")) == ["whole", "a"]
    for whole in (ALL(absent), ANY(absent), NOT(absent)):
        assert told(toy(whole), fails("b")) == ["whole"]


@pytest.mark.parametrize("whole", [ALL(A), ANY(A), NOT(A), NOT(ANY(A, B)), NOT(ALL(A, B)), NOT(NOT(A))])
def test_missing_evidence_never_earns_credit_not_even_by_its_opposite(whole):
    rules = toy(whole, later=Parameter("later", "1", "", (DatedValue(date(2030, 1, 1), 1, "s", "rule"),)))
    other = whole.parts[0].combines == "all"  # what leaves the answer to `a`
    tests = {"a": lambda _case, p: p.later == 1, "b": lambda _case, _p: other}
    assert not decide(case(), rules, tests).allowed


def test_one_way_of_any_is_enough_when_the_other_is_not_known():
    rules = toy(ANY(A, B), later=Parameter("later", "1", "", (DatedValue(date(2030, 1, 1), 1, "s", "rule"),)))
    assert decide(case(), rules, {"a": lambda _case, p: p.later == 1} | holds("b")).allowed


TREES = st.recursive(
    st.sampled_from("abcd").map(condition),
    lambda inner: st.one_of(
        st.builds(NOT, inner),
        st.builds(
            lambda how, parts: combined("w", how, *parts),
            st.sampled_from(["any", "all"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=8,
)


def truth(tree: Condition, holding: set[str]) -> bool:
    """The plain reading of a tree."""
    parts = [truth(part, holding) for part in tree.parts]
    readings = {"": tree.id in holding, "any": any(parts), "all": all(parts), "not": parts == [False]}
    return readings[tree.combines]


@given(TREES, st.sets(st.sampled_from("abcd")))
def test_a_tree_of_conditions_means_what_it_says(tree, holding):
    tests = {name: (lambda _case, _p, name=name: name in holding) for name in "abcd"}
    decision = decide(case(), toy(tree), tests)
    assert decision.allowed is truth(tree, holding)
    failed = [reason.condition for reason in decision.because]
    assert len(set(failed)) == len(failed)
    assert bool(failed) is not decision.allowed


# ------------------------------------------------------------------------------------------------ what is worth telling


def refusal(programme: str, *failed: str) -> Decision:
    because = tuple(Reason(name, "", "", "", "rule") for name in failed)
    return Decision(programme, "p", "product", not failed, because)


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ([refusal("x", "directed", "product_list"), refusal("y", "directed", "paper")], ["y"]),
        ([refusal("x", "directed", "product_list"), refusal("y", "directed", "product_list")], ["x"]),
        ([refusal("x", "directed"), refusal("y", "product_list")], ["y"]),
        ([refusal("x", "directed"), refusal("y")], []),
        ([refusal("x", "in_force"), refusal("y", "in_force")], ["x"]),
        ([refusal("x", "paper"), refusal("y", "paper")], ["x", "y"]),
        ([], []),
    ],
)
def test_a_refusal_is_told_by_the_programme_that_was_asked_or_else_by_the_first_that_lists_the_product(taken, expected):
    assert [decision.programme for decision in refusals(taken)] == expected
