"""Laws of cross-margin programmes in the spine: what enrolment may change, and what it never may.

Two programmes stand for their kinds: `cme_ficc` (two pots) and `cme_swaps_futures` (one pot, here with futures alone).
"""

from __future__ import annotations

import math
from itertools import count

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.accounts import Account, AccountClass, ClearingHouse, Registration
from crossmargin.margin import compare, margin
from crossmargin.parameters import Rules
from crossmargin.portfolio import Portfolio, Position
from crossmargin.regimes import CROSS_MARGIN, SILOED, Regime, Silo, with_rulesets
from crossmargin.registry import rules
from crossmargin.results import Comparison, Report
from tests.properties.strategies import (
    ACCOUNTS,
    ALPHA,
    BETA,
    DUAL,
    ELIGIBLE_FUTURES,
    PAPERS,
    RETAIL,
    TWIN,
    as_much,
    basis,
    book,
    holdings,
    lines,
    market,
    units,
)

fewer = settings(max_examples=max(1, settings().max_examples // 16))  # every law reprices whole books, twice at least
LEVELS = ("clearing", "customer")
SWAPS = (AccountClass.CFTC_4D_F, "cme_swaps_futures")
MOVED = tuple(Account(f"{owner}-4DF", owner, "DUAL", *SWAPS) for owner in ("ALPHA", "BETA"))


@st.composite
def moved(draw, owner="ALPHA") -> tuple[Position, ...]:
    """Rate futures in the swaps account of an owner."""
    drawn = draw(st.lists(lines([f"{owner}-4DF"], ELIGIBLE_FUTURES), min_size=1, max_size=4))
    ids = count(1)
    return tuple(Position(f"{owner}-moved-{next(ids)}", *line) for line in drawn)


def portfolio(*held: Position, **more) -> Portfolio:
    return book(*held, **{"accounts": (*ACCOUNTS, *MOVED), **more})


def run(*held: Position, overlaid: tuple[Rules, ...] = (), **more) -> Comparison:
    return compare(portfolio(*held, **more), market(), (SILOED, CROSS_MARGIN), rules=overlaid)


def totals(comparison: Comparison) -> list[float | None]:
    return [report.total(level) for report in comparison.reports for level in LEVELS]


def asked(report: Report, ruleset: str) -> list[float]:
    return [r.line.value for r in report.requirements if r.ruleset == ruleset and r.level == "clearing"]


# ------------------------------------------------------------------------------------------------------- one pot


@fewer
@given(moved())
def test_one_pot_asks_what_its_model_asks_for_the_union(held):
    """The other way round to the same figure: the model as the silo of all that is held, and no programme."""
    plain = [evolve(account, arrangement="") for account in MOVED]
    model = with_rulesets(SILOED, {"cme_rates_futures": "cme_irs_like"})
    alone = margin(portfolio(*held, accounts=(*ACCOUNTS, *plain)), market(), model)
    assert asked(run(*held)["cross_margin"], "cme_swaps_futures") == pytest.approx(asked(alone, "cme_irs_like"))


@fewer
@given(moved(), holdings(("BETA",)))
def test_enrolled_positions_leave_their_silos_and_nobody_elses_do(held, others):
    siloed, crossed = run(*held, *others).reports
    joint = [entry for entry in crossed.requirements if entry.ruleset == "cme_swaps_futures"]
    inside = {position.id for position in held}
    assert {entry.level for entry in joint} == {"clearing", "customer"}
    assert all(set(entry.positions) == inside and entry.pot in ("CME", "DUAL") for entry in joint)
    assert {(entry.firm, entry.account_class) for entry in joint} == {("DUAL", "CFTC_4D_F")}
    rest = [entry for entry in siloed.requirements if inside.isdisjoint(entry.positions)]
    kept = [entry for entry in crossed.requirements if entry not in joint]
    assert [each for each in kept if each.level == "clearing"] == [each for each in rest if each.level == "clearing"]


@fewer
@given(moved())
def test_the_customer_owes_the_share_of_the_pot_that_the_programme_states(held):
    study = rules("cme_swaps_futures").with_values(customer_share=1.5, because="law")
    for report in run(*held, overlaid=(study,)).reports:
        assert (report.total("customer") or 0.0) == pytest.approx(1.5 * (report.total() or 0.0), rel=1e-12)


@fewer
@given(moved())
def test_of_several_models_the_highest_counts(held):
    figures = {}
    for models in (["cme_irs_like"], ["cme_rates_futures"], ["cme_irs_like", "cme_rates_futures"]):
        study = rules("cme_swaps_futures").with_values(models=models, because="law")
        (figures[len(models), models[0]],) = asked(run(*held, overlaid=(study,))["cross_margin"], "cme_swaps_futures")
    alone = figures[1, "cme_irs_like"], figures[1, "cme_rates_futures"]
    assert figures[2, "cme_irs_like"] == max(alone)


# -------------------------------------------------------------------------------- one link less, and back to silos

LINKS = {
    "registration": {"firms": (evolve(DUAL, registrations=[Registration.BD]), TWIN)},
    "membership": {"firms": (evolve(DUAL, memberships=[ClearingHouse.FICC]), TWIN)},
    "owner": {"accounts": (*ACCOUNTS, *(evolve(each, beneficial_owner="RETAIL") for each in MOVED))},
}


@pytest.mark.parametrize("link", LINKS)
@fewer
@given(held=moved())
def test_a_missing_link_leaves_everything_in_its_silo(link, held):
    siloed, crossed = run(*held, **LINKS[link]).reports
    assert crossed.requirements == siloed.requirements
    assert crossed.credits == ()
    assert all(reason.citation and reason.cure for told in crossed.refused() for reason in told.because)


def barred(id: str) -> Rules:
    """The programme with one condition more, which nobody meets."""
    rule = rules(id)
    directed = next(each for each in rule.conditions if each.id == "directed")
    return evolve(rule, conditions=(*rule.conditions, evolve(directed, id="x", combines="not", parts=(directed,))))


@fewer
@given(units(), holdings(("ALPHA", "BETA")))
def test_a_stricter_two_pot_programme_never_lowers_a_total(held, others):
    """For whole units with nothing beside them in their class of account, where the positions that leave would join it.

    A condition on products splits a unit, and so may lower a total: two silos of one owner become one.
    """
    others = [evolve(each, id=f"o-{each.id}") for each in others if not each.account.endswith("XM")]
    loose, strict = run(*held, *others), run(*held, *others, overlaid=(barred("cme_ficc"),))
    for report, other in zip(loose.reports, strict.reports, strict=True):
        for level in LEVELS:
            assert (other.total(level) or 0.0) >= (report.total(level) or 0.0) - 1e-6
    assert as_much(strict["cross_margin"].total(), strict["siloed"].total(), rel_tol=1e-12)


MEAN_OF_WORST = "lch_pairs_like"
HALVES = (
    Silo("ONE", MEAN_OF_WORST, kinds=["treasury_future"], account_classes=[AccountClass.CFTC_4D_F]),
    Silo("OTHER", MEAN_OF_WORST, kinds=["short_rate_future"], account_classes=[AccountClass.CFTC_4D_F]),
)


@fewer
@given(moved())
def test_a_stricter_one_pot_programme_never_lowers_a_total_under_one_sub_additive_model(held):
    """Only there: a mean of worst losses, and the same model in every silo as in the pot. No other is bound to it."""
    regime = Regime("halves", "Two silos of one model", HALVES, ("cme_swaps_futures",))
    same = {"models": [MEAN_OF_WORST], "because": "law"}
    pots = (each.with_values(**same) for each in (rules("cme_swaps_futures"), barred("cme_swaps_futures")))
    loose, strict = (margin(portfolio(*held), market(), regime, rules=[pot]) for pot in pots)
    assert {entry.pot for entry in strict.requirements if entry.level == "clearing"} <= {"ONE", "OTHER"}
    assert {entry.pot for entry in loose.requirements if entry.level == "clearing"} == {"CME"}
    assert (strict.total() or 0.0) >= (loose.total() or 0.0) * (1 - 1e-12) - 1e-9


# ----------------------------------------------------------------------------------------- who never nets with whom


@fewer
@given(moved("ALPHA"), moved("BETA"))
def test_customers_never_net_in_one_pot(first, second):
    together = totals(run(*first, *second))
    apart = zip(totals(run(*first)), totals(run(*second)), strict=True)
    added = [(one or 0.0) + (other or 0.0) for one, other in apart]
    assert [each or 0.0 for each in together] == pytest.approx(added, rel=1e-12, abs=1e-6)


def omnibus(*, net: bool, account_class=AccountClass.CFTC_4D_AB, arrangement="") -> tuple[Account, ...]:
    """An account of the firm at TWIN, one entry for each of the two customers behind it."""
    ends = {"net": net, "agreements": PAPERS, "arrangement": arrangement}
    return tuple(
        Account(f"{owner}-OMNI", "DUAL", "TWIN", account_class, beneficial_owner=owner, **ends)
        for owner in ("ALPHA", "BETA")
    )


@fewer
@given(lines(["ALPHA-OMNI"], ELIGIBLE_FUTURES), lines(["BETA-OMNI"], ELIGIBLE_FUTURES))
def test_behind_an_omnibus_account_customers_are_margined_gross_unless_it_is_net(one, other):
    held = (Position("one", *one), Position("other", *other))
    gross = margin(portfolio(*held, accounts=omnibus(net=False)), market())
    parts = [margin(portfolio(each, accounts=omnibus(net=False)), market()).total() for each in held]
    assert gross.total() == pytest.approx(math.fsum(parts), rel=1e-12)
    assert {entry.owner for entry in gross.requirements} == {"ALPHA", "BETA"}
    net = margin(portfolio(*held, accounts=omnibus(net=True)), market())
    one_account = [evolve(each, account="ALPHA-OMNI") for each in held]
    joined = margin(portfolio(*one_account, accounts=omnibus(net=False)), market())
    assert net.total() == joined.total()
    assert {entry.owner for entry in net.requirements} == {"DUAL"}


@fewer
@given(units("ALPHA"), units("BETA"), st.booleans())
def test_in_a_programme_even_a_net_omnibus_account_is_gross(first, second, net):
    accounts = omnibus(net=net, account_class=AccountClass.XM_FUTURES_4D_AB, arrangement="cme_ficc")
    held = [evolve(each, account=each.account.replace("XM", "OMNI")) for each in (*first, *second)]
    report = run(*held, accounts=accounts)["cross_margin"]
    assert {credit.owner for credit in report.credits} == {"ALPHA", "BETA"}
    for owner, own in (("ALPHA", first), ("BETA", second)):
        alone = run(*own)["cross_margin"].credit()
        mine = math.fsum(credit.line.value for credit in report.credits if credit.owner == owner)
        assert mine == pytest.approx(alone, rel=1e-12)


# --------------------------------------------------------------------------------------- order and names mean nothing


@fewer
@given(moved(), holdings(), st.randoms(use_true_random=False))
def test_neither_order_nor_names_change_a_total(held, others, random):
    positions = [*held, *others]
    expected = totals(run(*positions))
    random.shuffle(positions)
    renamed = [evolve(each, id=f"z{each.id}", account=f"z{each.account}") for each in positions]
    owners = {each.id: f"z{each.id}" for each in (ALPHA, BETA, RETAIL)}
    accounts = [evolve(a, id=f"z{a.id}", owner=owners.get(a.owner, a.owner)) for a in (*ACCOUNTS, *MOVED)]
    customers = [evolve(each, id=owners[each.id]) for each in (ALPHA, BETA, RETAIL)]
    found = totals(run(*renamed, accounts=accounts, customers=customers))
    assert all(as_much(*each, rel_tol=1e-12) for each in zip(found, expected, strict=True))


# ------------------------------------------------------------------------------------------------ two pots, bounded


@fewer
@given(units(), st.floats(0.0, 1.0))
def test_two_pots_stay_between_what_the_cap_leaves_and_their_stand_alone_sum(held, cap):
    study = rules("cme_ficc").with_values(reduction_cap=cap, because="law")
    siloed, crossed = run(*held, overlaid=(study,)).reports
    alone = siloed.total() or 0.0
    assert (1 - cap) * alone - 1e-6 <= (crossed.total() or 0.0) <= alone + 1e-6
    assert as_much(crossed.gross(), siloed.total(), rel_tol=1e-12)


def test_an_account_directs_into_one_programme_alone():
    """Two accounts of an owner at a firm, one for each programme: neither programme sees the other's positions."""
    held = (*basis(), Position("moved", "ALPHA-4DF", ELIGIBLE_FUTURES[1], -50.0))
    crossed = run(*held)["cross_margin"]
    by_rule = {entry.ruleset: entry.positions for entry in crossed.requirements if entry.level == "clearing"}
    assert by_rule["cme_swaps_futures"] == ("moved",)
    assert crossed.credits == run(*held[:2])["cross_margin"].credits
