"""Losses beyond margin: worked by hand from the P&L, who bears them, and the laws of protection and of the frontier."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

import crossmargin.analysis
from crossmargin.analysis.default import POLICIES, default_rules, firm_default, pool_pnl
from crossmargin.analysis.protection import (
    DEFAULTS,
    MEASURES,
    SCENARIOS,
    THREE,
    Switch,
    frontier,
    protection,
)
from crossmargin.analysis.residual_losses import ALL, study_of, study_rules
from crossmargin.errors import InputError
from crossmargin.margin import margin
from crossmargin.portfolio import Portfolio, Position
from crossmargin.posted import CARRYING_FIRM, Cash, Posted
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED
from crossmargin.registry import rules as rule
from crossmargin.samples import equity_options, group
from tests.health import test_rules as health
from tests.properties.strategies import FRN, SETTLES, ZN, basis, book, holdings, market

BOOK = book(*basis("ALPHA"), *basis("BETA", start="b-"), *basis("DUAL", start="d-"))
rarely = settings(max_examples=5, deadline=None)


def cap(share):
    return rule("cme_ficc").with_values(reduction_cap=share, because="study")


@pytest.fixture(scope="module")
def found():
    return protection(BOOK, market())


def rows(found, regime="cross_margin", scenarios="historical", default="leg"):
    return {
        (row.owner, row.pot): row
        for row in found.rows
        if (row.regime, row.scenarios, row.default) == (regime, scenarios, default)
    }


# ----------------------------------------------------------------------------------------------- against the P&L


def beyond(report, pnl, *, keep):
    """Loss beyond margin net of credit of the pools that `keep` takes together, from the P&L of the positions."""
    mine = [each for each in report.entries if each.level == "clearing" and keep(each)]
    ids = {id for each in mine for id in getattr(each, "positions", ())}
    held = [each for each in BOOK.positions if each.id in ids]
    gained = sum(each.quantity * pnl.row(each.product) for each in held)
    return np.maximum(0.0, -(gained + sum(each.line.value for each in mine)))


@pytest.mark.parametrize("scenarios", SCENARIOS)
def test_a_leg_alone_is_worked_out_from_its_positions(found, scenarios):
    study = study_of(BOOK, market(), None, loss_share="none", receivers={}, rules=())
    report = margin(BOOK, market(), CROSS_MARGIN)
    wanted = beyond(report, study.pnl[scenarios], keep=lambda each: (each.owner, each.pot) == ("ALPHA", "CME"))
    row = rows(found, scenarios=scenarios)["ALPHA", "CME"]
    worst = np.sort(wanted)[::-1]
    k = wanted.size / 100  # the worst hundredth, the last in part
    tail = (worst[: int(k)].sum() + (k - int(k)) * worst[int(k)]) / k
    assert row.expected == pytest.approx(wanted.mean())
    assert row.tail == pytest.approx(tail)
    assert row.worst == pytest.approx(wanted.max())
    assert row.frequency == pytest.approx(np.count_nonzero(wanted) / wanted.size)
    assert row.borne_by == {"clearing house": row.expected}


def test_a_customer_s_firm_has_both_pots_of_the_class_to_take_from(found):
    study = study_of(BOOK, market(), None, loss_share="none", receivers={}, rules=())
    report = margin(BOOK, market(), CROSS_MARGIN)
    wanted = beyond(report, study.pnl["stress"], keep=lambda each: each.owner == "ALPHA")
    row = rows(found, scenarios="stress", default="customer")["ALPHA", CARRYING_FIRM]
    assert row.expected == pytest.approx(wanted.mean())
    assert row.borne_by == {"firm": row.expected}
    assert ("DUAL", CARRYING_FIRM) not in rows(found, default="customer")


def test_a_firm_s_default_is_that_of_firm_default(found):
    study = study_of(BOOK, market(), None, loss_share="none", receivers={}, rules=())
    report = margin(BOOK, market(), CROSS_MARGIN)
    vectors, _ = pool_pnl(report, BOOK, study.pnl["historical"])
    wanted = firm_default(report, BOOK, "DUAL", vectors)
    row = found.total("cross_margin", default="firm")
    assert row.expected == pytest.approx(wanted.beyond.mean())
    assert row.borne_by["clearing house"] == pytest.approx(wanted.expected("clearing_house"))


def test_who_bears_a_loss_adds_up_to_it(found):
    for row in found.rows:
        assert sum(row.borne_by.values()) == pytest.approx(row.expected)
        assert 0.0 <= row.expected <= row.worst + 1e-9
        assert row.expected <= row.tail * (1 + 1e-12) + 1e-9
        assert 0.0 <= row.frequency <= 1.0


def test_the_sum_of_all_adds_expectations_and_no_tails(found):
    for default in DEFAULTS:
        mine = rows(found, default=default)
        whole = mine.pop((ALL, ""))
        assert whole.expected == pytest.approx(sum(row.expected for row in mine.values()))
        assert whole.tail <= sum(row.tail for row in mine.values()) * (1 + 1e-9)
        assert whole == found.total("cross_margin", default=default)


def test_the_account_class_tells_the_law(found):
    row = rows(found)["ALPHA", "FICC"]
    assert row.insolvency_regime == "chapter 7 subchapter IV / CFTC Part 190"
    assert rows(found)[ALL, ""].insolvency_regime == ""


# --------------------------------------------------------------------------------------------------------------- laws


def test_the_less_margin_the_legs_have_the_more_is_lost_and_the_frontier_says_so():
    switches = [
        Switch("siloed", SILOED),
        *(Switch(f"{share}", CROSS_MARGIN, [cap(share)]) for share in (0.0, 0.4, 0.8)),
    ]
    drawn = frontier(BOOK, market(), switches, measure="expected")
    assert [point.residual for point in drawn.points] == sorted(point.residual for point in drawn.points)
    assert drawn.points[0].margin == pytest.approx(drawn.points[1].margin)
    assert drawn.points[0].saving == 0.0
    assert all(point.efficient for point in drawn.points[2:])
    assert "efficient" in str(drawn)
    assert [record["name"] for record in drawn.to_records()] == [switch.name for switch in switches]


@rarely
@given(holdings(most=4), st.sampled_from(MEASURES), st.sampled_from(DEFAULTS))
def test_along_the_frontier_residual_loss_never_falls(held, measure, default):
    held = [each for each in held if each.product is not FRN]
    switches = [Switch(each.name, each) for each in THREE] + [Switch("half", CROSS_MARGIN, [cap(0.5)])]
    drawn = frontier(book(*held), market(), switches, measure=measure, default=default)
    best = drawn.efficient
    known = [each for each in drawn.points if None not in (each.saving, each.residual)]
    assert bool(best) == bool(known), "what is not modelled neither beats nor is beaten"
    assert [each.residual for each in best] == sorted(each.residual for each in best)
    for point in known:
        beaten = any(each.saving >= point.saving and each.residual <= point.residual for each in best)
        assert beaten  # by itself, where nothing else does


def cash_everywhere(report, share):
    """Cash to a share of each clearing requirement, passed on from nowhere: the firm's customers' own."""
    return [
        Posted(f"p{number}", each.owner, each.firm, each.pot, each.account_class, Cash(), share * each.line.value)
        for number, each in enumerate(report.requirements)
        if each.level == "clearing"
    ]


def test_a_switch_that_overlays_is_a_study_and_nobody_proposes_it():
    tried = [Switch("as it is", CROSS_MARGIN), Switch("half", CROSS_MARGIN, [cap(0.5)]), Switch("new", HARMONIZED)]
    drawn = frontier(BOOK, market(), tried)
    assert [point.status for point in drawn.points] == ["in_force", "study", "proposed"]
    assert drawn.as_of == market().as_of
    assert {record["as_of"] for record in drawn.to_records()} == {market().as_of.isoformat()}
    assert str(drawn).startswith(f"{market().as_of}: ")


def test_a_saving_that_leaves_something_out_says_so():
    left_out = [Position("f", "ALPHA-GOV", FRN, 10e6, SETTLES)]
    points = [frontier(book(*held), market(), [Switch("s", SILOED)]).points[0] for held in (left_out, ())]
    assert [point.partial for point in points] == [True, False]


def test_losses_fall_as_margin_rises():
    report = margin(BOOK, market())
    held = [
        protection(BOOK, market(), [SILOED], posted=cash_everywhere(report, share)) for share in (0.0, 0.3, 0.9, 3.0)
    ]
    for scenarios in SCENARIOS:
        for default in ("firm", "leg"):
            totals = [each.total("siloed", scenarios, default).expected for each in held]
            assert totals == sorted(totals, reverse=True)
            assert totals[0] > totals[2]


def test_full_sharing_never_leaves_more_with_others_than_none():
    totals = [
        protection(BOOK, market(), [CROSS_MARGIN], loss_share=policy).total("cross_margin", default="firm")
        for policy in POLICIES
    ]
    none, guaranty, pro_rata = (each.expected for each in totals)
    assert guaranty <= none
    assert pro_rata <= none
    assert guaranty < 0.5 * none  # a basis trade: what one leg loses the other gains


def test_fellow_customers_bear_nothing_where_nothing_is_pooled(found):
    apart = default_rules().with_values(fellow_customer_risk=[], because="study")
    without = protection(BOOK, market(), [CROSS_MARGIN], rules=[apart])
    assert without.total("cross_margin", default="firm").borne_by["fellow customers"] == 0.0
    crossed = found.total("cross_margin", default="firm").expected
    assert without.total("cross_margin", default="firm").expected == pytest.approx(crossed)


def test_a_customer_that_ports_leaves_the_default():
    gone = protection(book(*basis("ALPHA")), market(), [CROSS_MARGIN], receivers={"ALPHA": "TWIN"})
    assert gone.total("cross_margin", default="firm").worst == 0.0
    assert gone.total("cross_margin", default="leg").worst > 0.0


def test_a_receiving_firm_may_fail_too():
    two = book(*basis("ALPHA"), *basis("ALPHA", start="t-", end="2"))
    found = protection(two, market(), [SILOED], receivers={"ALPHA": "TWIN"})
    assert {row.firm for row in found.rows if row.default == "firm" and row.owner != ALL} == {"TWIN"}


# ------------------------------------------------------------------------------------------------- inputs and outputs


def test_an_empty_book_loses_nothing():
    found = protection(Portfolio(), market())
    assert {row.owner for row in found.rows} == {ALL}
    assert all((row.held, row.expected, row.tail, row.worst, row.frequency) == (0.0,) * 5 for row in found.rows)


def test_a_proposal_says_so_and_assumptions_are_named(found):
    assert {row.status for row in found.rows if row.regime == "harmonized"} == {"proposed"}
    assert {"horizon_days", "fellow_customer_risk", "loss_share_none"} <= {read.name for read in found.assumptions()}
    assert "proposed" in str(found)
    records = found.to_records()
    assert len(records) == len(found.rows)
    assert {"borne_by_fellow_customers", "insolvency_regime", "status"} <= set(records[0])


def test_what_has_no_requirement_or_no_p_and_l_is_named_and_takes_no_part():
    found = protection(book(Position("f", "ALPHA-GOV", FRN, 10e6, SETTLES)), market(), [SILOED])
    row = rows(found, "siloed")["ALPHA", "FICC"]
    assert row.left_out == (FRN.symbol,)
    assert any("see `partial`" in note for note in found.notes)
    portfolio, sample = group()
    shares = rows(protection(portfolio, sample, [SILOED]), "siloed")["MERIDIAN", "OCC"]
    assert (shares.partial, shares.held, shares.worst, shares.borne_by) == (True, None, None, {}), "never a silent zero"


def test_a_book_of_which_nothing_is_modelled_has_no_losses_no_margin_and_no_place_on_the_frontier():
    portfolio, sample = equity_options()
    bare = evolve(sample, prices={}, underlyings={})
    found = protection(portfolio, bare, [SILOED])
    figures = ("held", *MEASURES, "frequency", "borne_by_firm", "borne_by_clearing_house")
    assert {record[name] for record in found.to_records() for name in figures} == {None}
    assert "0.00" not in str(found)
    assert "not modelled" in str(found)
    drawn = frontier(portfolio, bare, [Switch("s", SILOED), Switch("x", CROSS_MARGIN)])
    assert {(each.margin, each.saving, each.residual, each.efficient) for each in drawn.points} == {
        (None, None, None, False)
    }
    assert drawn.efficient == ()
    assert "0.00" not in str(drawn)
    pytest.importorskip("matplotlib")
    (said,) = [text.get_text() for text in drawn.plot().texts]
    assert "Not modelled: s, x." in said


def test_unknown_names_are_refused_whatever_is_held():
    nobody = {"receivers": {"ALFA": "DUALL"}}
    with pytest.raises(InputError) as caught:
        protection(book(), market(), [SILOED], **nobody)
    assert "Did you mean 'ALPHA'" in str(caught.value)
    assert "unknown firm 'DUALL'" in str(caught.value)
    stranger = Posted("p", "ALFA", "DUAL", CARRYING_FIRM, "CFTC_4D_AB", Cash(), 1.0)
    with pytest.raises(InputError, match="ALFA"):
        protection(book(), market(), [SILOED], posted=[stranger])
    with pytest.raises(InputError, match="Did you mean 'siloed'"):
        protection(book(), market(), [SILOED]).total("silo")


def test_what_is_posted_at_the_firm_is_what_it_can_take():
    portfolio, sample = group()
    found = protection(portfolio, sample, [SILOED], posted=portfolio.posted)
    swaps = [row for row in found.rows if row.account_class == "CFTC_4D_F" and row.default == "customer"]
    assert all(0.9 * 1.2e6 < row.held < 1.2e6 for row in swaps)


def test_a_study_s_parameters_can_be_overlaid(found):
    shorter = study_rules().with_values(horizon_days=1, because="study")
    one_day = protection(BOOK, market(), [CROSS_MARGIN], rules=[shorter])
    assert one_day.total("cross_margin").expected < found.total("cross_margin").expected


def test_a_stress_period_outside_the_history_is_said():
    never = study_rules().with_values(stress_period=[date(1950, 1, 1), date(1950, 6, 1)], because="study")
    found = protection(BOOK, market(), [SILOED], rules=[never])
    assert {row.scenarios for row in found.rows} == {"historical", "filtered"}
    assert any("scenarios left out" in note for note in found.notes)
    with pytest.raises(InputError, match="scenarios: no residual of 'stress'"):
        found.total("siloed", "stress")
    with pytest.raises(InputError, match="no stress scenarios"):
        frontier(BOOK, market(), [Switch("s", SILOED)], scenarios="stress", rules=[never])


def test_a_frontier_says_all_that_is_wrong():
    twice = [Switch("a", SILOED), Switch("a", HARMONIZED)]
    with pytest.raises(InputError) as caught:
        frontier(BOOK, market(), twice, scenarios="historic", default="legs", measure="mean")
    said = str(caught.value)
    assert "'a' stands 2 times" in said
    assert "Did you mean 'historical'?" in said
    assert "Did you mean 'leg'?" in said
    assert "unknown 'mean'" in said
    with pytest.raises(InputError, match="no switch to try"):
        frontier(BOOK, market(), [])


def test_a_huge_position_stays_finite():
    found = protection(book(Position("z", "ALPHA-FUT", ZN, -1e9)), market(), [SILOED])
    assert np.isfinite([row.worst for row in found.rows]).all()


FILE = Path(crossmargin.analysis.__file__).parent / "protection.toml"
LAWS = (
    health.test_the_head_is_complete,
    health.test_every_parameter_has_unit_meaning_and_dated_values,
    health.test_rule_and_disclosure_say_where_they_were_read,
    health.test_dates_are_half_open_without_gap_or_overlap,
    health.test_sources_exist_are_used_and_have_an_address,
    health.test_every_quarter_has_a_value,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("test_"))
def test_the_file_obeys_the_laws_of_rule_files(law, monkeypatch):
    monkeypatch.setitem(health.KINDS, "analysis", "study")
    law(FILE)
