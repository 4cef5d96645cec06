"""A decision names every condition that fails, and admits nothing on missing evidence."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.eligibility import case_of, decide
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
