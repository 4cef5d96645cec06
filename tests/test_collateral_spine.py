"""Collateral in the spine: what is posted against what a margin report asks for, place by place."""

from __future__ import annotations

from datetime import date
from functools import cache
from math import fsum

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.collateral import CollateralReport, collateral_text
from crossmargin.collateral.balance import AMOUNTS
from crossmargin.errors import InputError
from crossmargin.margin import collateral_report, compare, margin
from crossmargin.portfolio import Portfolio
from crossmargin.posted import Cash, Place, Posted
from crossmargin.products import TreasuryBill
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED
from crossmargin.registry import rules

few = settings(max_examples=15, deadline=None)


@cache
def group():
    """The sample group with its margin under today's programmes."""
    portfolio, market = samples.group()
    return portfolio, market, margin(portfolio, market, CROSS_MARGIN)


def found(posted=None, **more) -> CollateralReport:
    portfolio, market, report = group()
    held = portfolio if posted is None else evolve(portfolio, posted=posted)
    return collateral_report(held, market, report, **more)


def amounts(report: CollateralReport) -> dict[Place, dict[str, float]]:
    return {each.place: {name: getattr(each, name).value for name in AMOUNTS} for each in report.balances}


def close(one, other) -> bool:
    return one.keys() == other.keys() and all(one[at] == pytest.approx(other[at], abs=1e-6) for at in one)


# --------------------------------------------------------------------------------------------- what the sample shows


def fund(pot: str, account_class: str):
    return found().at(Place("MERIDIAN", "NORTHGATE", pot, account_class))


def test_required_is_what_the_report_asks_for_at_each_level():
    _, _, report = group()
    for level in report.levels:
        assert found().totals(level)["required"] == pytest.approx(report.total(level), abs=1e-6)


def test_every_account_class_and_pot_has_its_law():
    said = {(each.account_class.value, each.insolvency_regime.name) for each in found().balances}
    assert said == {
        ("PROPRIETARY", "GENERAL_ESTATE"),
        ("SEC_15C3_3", "SIPA"),
        ("SEC_NOTE_H", "SIPA"),
        ("CFTC_4D_AB", "PART_190"),
        ("CFTC_4D_F", "PART_190"),
        ("XM_FUTURES_4D_AB", "PART_190"),
    }
    assert {each.pot for each in found().balances} == {"FICC", "CME", "OCC", "carrying firm"}


def test_in_two_pots_an_excess_at_one_does_not_pay_the_deficit_at_the_other():
    ficc, cme = fund("FICC", "XM_FUTURES_4D_AB"), fund("CME", "XM_FUTURES_4D_AB")
    assert ficc.excess.value > cme.deficit.value > 0.0
    assert ficc.locked.value == ficc.excess.value
    assert "two_pot" in ficc.locked.parts[0].note


def test_a_requirement_that_nobody_knows_locks_what_is_posted():
    occ = fund("OCC", "SEC_15C3_3")
    assert occ.partial
    assert occ.locked.value == occ.lendable.value == 250_000.0
    assert {part.name for part in occ.locked.parts} == {"requirement not known", "behind walls"}
    assert any(row.startswith("total") and "*" in row for row in str(found()).splitlines())
    assert any(row.startswith("OCC") and row.count("not modelled*") == 3 for row in str(found()).splitlines())


def test_the_firm_helps_its_customer_and_the_house_is_free():
    [residual] = [each for each in group()[0].posted if each.provided_by]
    balance = found().at(residual.place)
    assert balance.deficit.value == 0.0
    assert balance.lendable.value - residual.quantity < balance.required.value
    assert found().at(Place("NORTHGATE", "NORTHGATE", "CME", "PROPRIETARY")).locked.value == 0.0


def test_by_hand_the_bill_that_is_passed_on():
    """600,000 of a bill at the firm; 400,000 of them at CME less its haircut, with 60,000 of the firm's cash."""
    market = group()[1]
    at_firm, at_cme = (fund(pot, "CFTC_4D_AB") for pot in ("carrying firm", "CME"))
    price = at_firm.market_value.value / 600e3
    assert 0.98 < price < 1.0
    assert at_cme.market_value.value == pytest.approx(400e3 * price + 60e3)
    haircut = rules("cme_collateral").at(market.as_of).treasuries[0]["haircut"]
    assert at_cme.lendable.value == pytest.approx(400e3 * price * (1 - haircut) + 60e3)


def test_the_report_bears_regime_and_status_through_json_and_print():
    portfolio, market, _ = group()
    siloed, harmonized = compare(portfolio, market, (SILOED, HARMONIZED)).reports
    today, proposed = (collateral_report(portfolio, market, each) for each in (siloed, harmonized))
    assert (today.regime, today.status, proposed.status) == ("siloed", "in_force", "proposed")
    assert "no such rule is in force" in str(proposed)
    assert "no such rule is in force" not in str(today)
    assert CollateralReport.from_json(proposed.to_json()) == proposed
    assert {record["status"] for record in proposed.to_records()} == {"proposed"}
    assert today.totals()["required"] > found().totals()["required"]  # the credit of the programme is not there
    assert "common pool" in {each.pot for each in proposed.balances}


def test_nothing_posted_is_a_deficit_everywhere():
    report = found(())
    for level in report.levels:
        sums = report.totals(level)
        assert sums["deficit"] == pytest.approx(sums["required"])
        assert sums["lendable"] == sums["excess"] == sums["locked"] == 0.0


def test_nothing_held_and_nothing_posted_is_an_empty_report():
    _, market, _ = group()
    empty = Portfolio()
    report = collateral_report(empty, market, margin(empty, market))
    assert report.balances == ()
    assert collateral_text(report) == "\n"


def test_collateral_moves_no_requirement():
    portfolio, market, report = group()
    assert margin(evolve(portfolio, posted=()), market, CROSS_MARGIN) == report


# --------------------------------------------------------------------------------------------------- what is refused


def test_what_has_matured_is_told_with_everything_else_before_pricing():
    portfolio, market, _ = group()
    past = Posted("old", "MERIDIAN", "NORTHGATE", "CME", "CFTC_4D_AB", TreasuryBill(date(2026, 6, 1)), 1e6)
    positions = [evolve(each, product=TreasuryBill(date(2026, 1, 2))) for each in portfolio.positions[:1]]
    wrong = evolve(portfolio, positions=positions, posted=[past])
    with pytest.raises(InputError) as caught:
        margin(wrong, market)
    text = str(caught.value)
    assert "posted 'old': UST bill 2026-06-01 matured on 2026-06-01." in text
    assert "position 'N1'" in text


def test_a_report_of_another_date_is_refused():
    portfolio, market, report = group()
    with pytest.raises(InputError, match="the report is of 2026-06-29, the market of 2026-06-30"):
        collateral_report(portfolio, market, evolve(report, as_of=date(2026, 6, 29)))


@pytest.mark.parametrize("quantity", [-1.0, float("nan"), float("inf"), True])
def test_a_quantity_that_is_none_is_refused_where_it_is_posted(quantity):
    with pytest.raises(InputError, match="posted 'x', field 'quantity'"):
        evolve(group()[0], posted=[Posted("x", "MERIDIAN", "NORTHGATE", "CME", "CFTC_4D_AB", Cash(), quantity)])


def test_an_asset_without_a_price_counts_nothing_and_is_named():
    euro = Posted("euro", "NORTHGATE", "NORTHGATE", "CME", "PROPRIETARY", Cash("EUR"), 1e9)
    report = found((euro,))
    assert report.at(euro.place).lendable.value == 0.0
    assert any("no price of EUR cash" in line.note for _, line in report.not_modelled())


def test_overlaid_schedules_and_instructions_are_heard():
    row = {"kinds": ["cash"], "currencies": ["USD"], "haircut": 0.5}
    dearer = found(rules=[rules("cme_collateral").with_values(cash=[row], because="study")])
    house = Place("NORTHGATE", "NORTHGATE", "CME", "PROPRIETARY")
    assert dearer.at(house).lendable.value == pytest.approx(found().at(house).lendable.value / 2)
    opened = found(instructed=["MERIDIAN"])
    assert opened.totals("customer")["locked"] < found().totals("customer")["locked"]
    assert opened.totals("customer")["excess"] == found().totals("customer")["excess"]


# --------------------------------------------------------------------------------------------------------------- laws


def test_twice_is_once():
    assert found() == found()


@few
@given(st.permutations(range(18)))
def test_the_order_of_deposits_moves_no_cent(order):
    posted = group()[0].posted
    assert close(amounts(found([posted[n] for n in order])), amounts(found()))


@few
@given(st.data())
def test_the_names_of_deposits_move_nothing(data):
    posted = group()[0].posted
    names = data.draw(st.lists(st.text(min_size=1), min_size=len(posted), max_size=len(posted), unique=True))
    other = {each.id: name for each, name in zip(posted, names, strict=True)}
    renamed = [evolve(each, id=other[each.id], passed_on=other.get(each.passed_on, "")) for each in posted]
    assert amounts(found(renamed)) == amounts(found())


def test_the_names_of_owners_and_accounts_move_nothing():
    portfolio, market, _ = group()
    named = {"MERIDIAN": "A fund", "NORTHGATE": "Z", "NG-BANK": "the bank"}

    def renamed(each, *fields):
        return evolve(each, **{field: named.get(getattr(each, field), getattr(each, field)) for field in fields})

    firms = [renamed(each, "id") for each in portfolio.firms]
    firms = [evolve(each, affiliates=[named[name] for name in each.affiliates], guarantees=()) for each in firms]
    other = Portfolio(
        firms,
        [renamed(each, "id") for each in portfolio.customers],
        [renamed(each, "owner", "firm") for each in portfolio.accounts],
        portfolio.positions,
        [renamed(each, "owner", "firm", "provided_by") for each in portfolio.posted],
    )
    again = collateral_report(other, market, margin(other, market, CROSS_MARGIN))
    before = {renamed(place, "owner", "firm"): each for place, each in amounts(found()).items()}
    assert close(amounts(again), before)


@few
@given(st.integers(0, 17), st.floats(0.01, 0.99))
def test_a_deposit_in_two_parts_counts_as_one(which, share):
    posted = list(group()[0].posted)
    whole = posted[which]
    if any(each.passed_on == whole.id for each in posted):
        return  # what is passed on names one deposit
    part = whole.quantity * share
    parts = [evolve(whole, quantity=part), evolve(whole, id="rest", quantity=whole.quantity - part)]
    assert close(amounts(found([*posted[:which], *parts, *posted[which + 1 :]])), amounts(found()))


@few
@given(st.integers(0, 17), st.floats(0.0, 1e9))
def test_more_collateral_never_raises_a_deficit(which, more):
    posted = group()[0].posted
    extra = evolve(posted[which], id="more", quantity=more, passed_on="")
    after = amounts(found([*posted, extra]))
    for place, before in amounts(found()).items():
        assert after[place]["deficit"] <= before["deficit"] + 1e-6
        assert place == extra.place or after[place]["lendable"] == pytest.approx(before["lendable"])


@few
@given(st.lists(st.integers(0, 17), unique=True), st.floats(0.0, 3.0))
def test_every_balance_adds_up(kept, scale):
    posted = [each for n, each in enumerate(group()[0].posted) if n in kept and not each.passed_on]
    report = found([evolve(each, quantity=each.quantity * scale) for each in posted])
    for each in report.balances:
        assert each.required.value == pytest.approx(each.covered.value + each.deficit.value, abs=1e-6)
        assert each.lendable.value == pytest.approx(each.covered.value + each.excess.value, abs=1e-6)
        assert 0.0 <= each.locked.value <= each.excess.value + 1e-6
        assert all(getattr(each, name).value >= 0.0 for name in AMOUNTS)
    for level in report.levels:
        mine = [each.lendable.value for each in report.balances if each.level == level]
        assert report.totals(level)["lendable"] == pytest.approx(fsum(mine))
