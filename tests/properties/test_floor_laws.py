"""Laws of floors and add-ons: without them nothing asks for more, and a rule without any is itself."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.margin import compare, margin
from crossmargin.regimes import CROSS_MARGIN, PROPOSALS, SILOED, with_rulesets
from crossmargin.registry import rulebook
from crossmargin.samples import equity_options, swap_book
from tests.properties.strategies import AS_OF, book, holdings, market

BOOK = rulebook()
FLOORED = {id: rule for id, rule in BOOK.items() if rule.plain is not rule}
TODAY = [rule.plain for rule in FLOORED.values() if rule.kind == "ruleset"]
OTHERS = ("cme_span2_like", "eurex_prisma_like", "ice_irm2_like")
SLACK = 1 + 1e-9
few = settings(max_examples=5)
sizes = st.lists(st.integers(-4, 4).filter(bool), min_size=40, max_size=40)


def never_more(plain, whole) -> None:
    """Requirement by requirement, at every level."""
    for less, more in zip(plain.requirements, whole.requirements, strict=True):
        assert (less.pool, less.ruleset) == (more.pool, more.ruleset)
        assert less.line.value <= more.line.value * SLACK + 1e-6, more.ruleset


@few
@given(holdings(), st.sampled_from(OTHERS))
def test_rule_sets_of_rates_without_floors_and_add_ons_never_ask_for_more(held, other):
    for regime in (SILOED, with_rulesets(SILOED, {"cme_rates_futures": other})):
        never_more(*(margin(book(*held), market(), regime, rules=rules) for rules in (TODAY, ())))


@few
@given(sizes, st.sampled_from([equity_options, swap_book]))
def test_nor_do_those_of_options_shares_and_swaps(factors, sample):
    portfolio, on = sample()
    held = [evolve(each, quantity=each.quantity * by) for each, by in zip(portfolio.positions, factors, strict=False)]
    scaled = evolve(portfolio, positions=held, posted=())
    never_more(*(margin(scaled, on, SILOED, rules=rules) for rules in (TODAY, ())))


@few
@given(holdings())
def test_nor_does_a_programme_or_proposal_without_its_limits(held):
    off = [rule.plain for rule in FLOORED.values() if rule.kind in ("arrangement", "proposal")]
    regimes = (CROSS_MARGIN, *PROPOSALS)
    for plain, whole in zip(
        *(compare(book(*held), market(), regimes, rules=rules).reports for rules in (off, ())), strict=True
    ):
        assert (plain.total() or 0.0) <= (whole.total() or 0.0) * SLACK + 1e-6, whole.regime


@pytest.mark.parametrize("id", FLOORED)
def test_a_plain_rule_is_plain_whatever_is_overlaid_and_says_that_it_is(id):
    rule = FLOORED[id]
    named = {name: parameter.neutral for name, parameter in rule.parameters.items() if parameter.neutral is not None}
    p = rule.with_values(because="law", **{name: rule.at(AS_OF).optional(name) for name in named}).plain.at(AS_OF)
    assert {name: p.optional(name) for name in named} == named
    assert {read.because for read in p.taken()} == {"without floors and add-ons"}
    assert rule.plain.plain.overlays == rule.plain.overlays


def test_a_rule_without_floors_is_its_own_plain_self():
    assert all(rule.plain is rule for id, rule in BOOK.items() if id not in FLOORED)
    assert BOOK["cme_rates_futures"].plain is BOOK["cme_rates_futures"]
