"""Laws of house terms: never below the rules, monotone, order-free, nobody pays for another."""

from __future__ import annotations

import math

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.registry import rules
from crossmargin.results import Line, Requirement
from crossmargin.rulesets.house_overlay import HouseTerms, on_top, overlay
from tests.properties.strategies import AS_OF

RULES = rules("house_overlay")
OWNERS = ("ALPHA", "BETA")

amounts = st.floats(0, 1e9)
owners = st.lists(st.sampled_from(OWNERS), unique=True, max_size=2)
rows = st.fixed_dictionaries(
    {},
    optional={
        "firm": st.sampled_from(["", "DUAL", "TWIN"]),
        "owners": owners,
        "account_classes": st.sampled_from([[], ["CFTC_4D_AB"], ["SEC_NOTE_H"]]),
        "multiplier": st.floats(1, 3),
        "speculators": st.booleans(),
        "hedgers": owners,
        "add_on": st.floats(0, 1e6),
        "minimum": st.floats(0, 1e6),
    },
)
requirements = st.builds(
    lambda owner, firm, account_class, amount, level: Requirement(
        "pool", owner, firm, level, "span", ("p",), Line("asked", amount), firm, account_class
    ),
    st.sampled_from(OWNERS),
    st.sampled_from(["DUAL", "TWIN"]),
    st.sampled_from(["CFTC_4D_AB", "SEC_NOTE_H"]),
    amounts,
    st.sampled_from(["customer", "clearing"]),
)
books = st.lists(requirements, max_size=6)
policies = st.lists(rows, max_size=3)


def more(asked, policy) -> dict[tuple[str, str, str], float]:
    p = RULES.with_values(because="law", terms=list(policy)).at(AS_OF)
    return {(each.firm, each.owner, each.account_class): each.line.value for each in on_top(asked, p)}


@given(books, policies)
def test_house_terms_never_lower_what_is_owed(asked, policy):
    assert all(extra >= 0 for extra in more(asked, policy).values())


@given(books)
def test_without_terms_nothing_changes(asked):
    assert more(asked, []) == {}
    assert more(asked, [{}]) == {}


@given(books, policies, rows)
def test_further_terms_never_ask_less(asked, policy, further):
    before, after = more(asked, policy), more(asked, [*policy, further])
    assert set(before) <= set(after)
    assert all(after[account] >= extra * (1 - 1e-12) - 1e-6 for account, extra in before.items())


@given(books, policies, st.sampled_from(["multiplier", "add_on", "minimum"]), st.floats(0, 5))
def test_stricter_terms_never_ask_less(asked, policy, name, by):
    usual = {"multiplier": 1.0, "add_on": 0.0, "minimum": 0.0}
    stricter = [{**row, name: row.get(name, usual[name]) + by} for row in policy]
    before, after = more(asked, policy), more(asked, stricter)
    assert all(after[account] >= extra * (1 - 1e-12) - 1e-6 for account, extra in before.items())


@given(books, policies, st.randoms())
def test_the_order_of_terms_and_requirements_does_not_matter(asked, policy, random):
    shuffled, terms = random.sample(asked, len(asked)), random.sample(policy, len(policy))
    assert more(shuffled, terms) == pytest.approx(more(asked, policy))


@given(requirements, st.floats(0, 1), policies)
def test_a_requirement_in_parts_owes_the_same(asked, share, policy):
    parts = [evolve(asked, line=Line("part", asked.line.value * part)) for part in (share, 1 - share)]
    assert more(parts, policy) == pytest.approx(more([asked], policy), rel=1e-9, abs=1e-6)


@given(books, policies)
def test_a_customer_never_pays_for_another(asked, policy):
    whole = more(asked, policy)
    for owner in OWNERS:
        alone = more([each for each in asked if each.owner == owner], policy)
        assert alone == {account: extra for account, extra in whole.items() if account[1] == owner}


@given(amounts, st.floats(1, 3), amounts, amounts)
def test_one_figure_by_hand(amount, multiplier, add_on, minimum):
    terms = [HouseTerms(multiplier=multiplier), HouseTerms(add_on=add_on), HouseTerms(minimum=minimum)]
    line = Line("asked", amount)
    found = overlay(line, terms)
    assert found.value == pytest.approx(max(minimum, multiplier * amount + add_on))
    assert found.value >= amount
    assert math.isfinite(found.value)
    assert overlay(line, []) is line
