"""What conditions cost: waived alone, together, in combinations, and what that does to nobody else."""

from __future__ import annotations

from datetime import date

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.accounts import Agreement
from crossmargin.analysis.condition_costs import condition_costs, without
from crossmargin.errors import InputError
from crossmargin.margin import margin
from crossmargin.parameters import Condition, Rules, Source
from crossmargin.portfolio import Position
from crossmargin.regimes import CROSS_MARGIN, SILOED
from crossmargin.registry import rules
from tests.properties.strategies import ACCOUNTS, NOTE_7, PAPERS, SETTLES, SHORT_NOTE, ZN, basis, book, market

ONLY_FICC = evolve(CROSS_MARGIN, arrangements=("cme_ficc",))
few = settings(max_examples=max(1, settings().max_examples // 16), deadline=None)


def lacking(*papers: Agreement, owner: str = "ALPHA"):
    """All accounts, those of an owner without some papers."""
    signed = PAPERS - set(papers)
    return tuple(
        evolve(each, agreements=signed) if each.owner == owner and each.arrangement else each for each in ACCOUNTS
    )


def costs(portfolio, **more):
    return condition_costs(portfolio, market(), regime=ONLY_FICC, **more)


def total(portfolio) -> float:
    return margin(portfolio, market(), ONLY_FICC).total()


@few
@given(st.sampled_from(["subordination", "disclosure", "customer_opt_in", "firm_opt_in", "participant_agreement"]))
def test_a_missing_paper_costs_what_signing_it_saves(paper):
    """The other way round to the same figure: the paper signed, and the rules as they are."""
    short = book(*basis(), accounts=lacking(Agreement(paper)))
    (row,) = costs(short).rows
    assert (row.owner, row.conditions, set(row.freed)) == ("ALPHA", (paper,), {"ALPHA-cash", "ALPHA-future"})
    assert row.cost == pytest.approx(total(short) - total(book(*basis())))
    assert row.cost > 0.0


def test_of_two_missing_papers_neither_costs_anything_alone_and_both_do_together():
    short = book(*basis(), accounts=lacking(Agreement.SUBORDINATION, Agreement.DISCLOSURE))
    found = {row.conditions: row for row in costs(short).rows}
    assert found["subordination",].cost == found["disclosure",].cost == 0.0
    assert found["subordination",].freed == ()
    assert found["subordination", "disclosure"].cost == pytest.approx(total(short) - total(book(*basis())))


def test_each_owner_has_a_row_and_bears_no_other_owners_cost():
    accounts = lacking(Agreement.DISCLOSURE)
    mixed = book(*basis(), *basis("BETA"), Position("S", "BETA-XM", SHORT_NOTE, 5e6, SETTLES), accounts=accounts)
    table = costs(mixed)
    assert {(row.owner, row.conditions) for row in table.rows} == {
        ("ALPHA", ("disclosure",)),
        ("BETA", ("remaining_maturity",)),
    }
    assert costs(mixed, owner="BETA").rows == tuple(row for row in table.rows if row.owner == "BETA")
    text = str(table)
    assert "disclosure" in text
    assert text.splitlines()[0].startswith("programme")
    assert [record["cost"] for record in table.to_records()] == [row.cost for row in table.rows]


def test_directed_is_waived_by_directing_the_account():
    held = (Position("T", "DUAL-XM", NOTE_7, 10e6, SETTLES), Position("F", "DUAL-FUT", ZN, -90))
    found = {row.conditions: row for row in costs(book(*held)).rows}
    alone = found["directed",]
    assert alone.freed == ()
    assert alone.cost == 0.0
    both = found["directed", "participant_agreement"]
    inside = book(held[0], evolve(held[1], account="DUAL-XM"))
    assert both.freed == ("F",)
    assert both.cost == pytest.approx(total(book(*held)) - total(inside))


def test_nothing_refused_and_nothing_held_cost_nothing():
    assert costs(book(*basis())).rows == ()
    assert costs(book()).rows == ()
    assert condition_costs(book(*basis()), market(), regime=SILOED).rows == ()
    assert str(costs(book())).startswith("programme")


def test_an_owner_without_accounts_is_refused():
    with pytest.raises(InputError, match="Did you mean 'ALPHA'"):
        costs(book(*basis()), owner="ALPHAA")


def test_what_a_waiver_leaves_of_combined_conditions():
    def condition(id: str, combines: str = "", parts=()):
        return Condition(id, "", "", Source("s"), "rule", date(2020, 1, 1), combines=combines, parts=parts)

    a, b, c = (condition(id) for id in "abc")
    every, some, opposite = (
        condition("every", "all", (a, b)),
        condition("some", "any", (a, b)),
        condition("no", "not", (c,)),
    )
    rule = Rules("toy", conditions=(every, some, opposite))

    def left(*met: str) -> list[tuple[str, list[str]]]:
        return [(each.id, [part.id for part in each.parts]) for each in without(rule, met).conditions]

    assert left() == [("every", ["a", "b"]), ("some", ["a", "b"]), ("no", ["c"])]
    assert left("a") == [("every", ["b"]), ("no", ["c"])]
    assert left("a", "b") == [("no", ["c"])]
    assert left("every", "no") == [("some", ["a", "b"])]
    assert left("c") == left()  # what must not hold is no condition that anybody fails
    assert without(rules("cme_ficc"), []) == rules("cme_ficc")
