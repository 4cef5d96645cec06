"""The files of schedules, walls and reserve obey the laws of every rule file, and a few of their own."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

import crossmargin.collateral
from crossmargin.accounts import AccountClass, ClearingHouse
from crossmargin.collateral import Place, Schedules, collateral_rules, reserve, schedules, walls
from crossmargin.collateral.schedules import HAIRCUT_TABLES, RESERVE, WALLS
from crossmargin.errors import ParameterMissing
from crossmargin.products import STRIPS, TIPS, TreasuryBill, TreasuryBond, TreasuryNote
from tests.collateral.pots import AS_OF
from tests.health import test_rules as health

ROOM = Path(crossmargin.collateral.__file__).parent
FILES = sorted(ROOM.glob("*.toml"))
IDS = [path.stem for path in FILES if path.stem not in {WALLS, RESERVE}]
LAWS = [
    health.test_the_head_is_complete,
    health.test_a_proposal_never_looks_in_force,
    health.test_every_parameter_has_unit_meaning_and_dated_values,
    health.test_rule_and_disclosure_say_where_they_were_read,
    health.test_dates_are_half_open_without_gap_or_overlap,
    health.test_every_condition_is_complete,
    health.test_sources_exist_are_used_and_have_an_address,
    health.test_every_quarter_has_a_value,
    health.test_the_day_before_the_first_is_refused,
    health.test_a_change_takes_effect_on_its_day_and_not_before,
    health.test_an_unknown_parameter_is_refused,
]
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
every_schedule = pytest.mark.parametrize("id", IDS)


@every_file
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("test_"))
def test_the_file_obeys_the_laws_of_rule_files(path, law, monkeypatch):
    monkeypatch.setitem(health.KINDS, "collateral", "collateral")
    law(path)


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_no_regulatory_number_in_code(path):
    assert not health.literals(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("id", "tests"), [(WALLS, walls.TESTS), (RESERVE, reserve.TESTS)])
def test_every_condition_has_its_test(id, tests):
    assert {condition.id for condition in collateral_rules()[id].conditions} == set(tests)


@every_schedule
def test_every_schedule_has_the_same_conditions_and_call_terms(id):
    rule = collateral_rules()[id]
    assert {condition.id for condition in rule.conditions} == set(schedules.TESTS)
    assert {"threshold", "minimum_transfer", "call_rounding", "call_cycles", "cash"} <= set(rule.parameters)


@every_schedule
def test_every_haircut_of_every_date_is_one(id):
    rule = collateral_rules()[id]
    tables = [rule.parameters[name] for name in HAIRCUT_TABLES if name in rule.parameters]
    rows = [row for table in tables for value in table.values for row in value.value]
    assert rows
    assert all(0.0 <= row["haircut"] < 1.0 and row["kinds"] for row in rows)


def made(kind, maturity):
    return {
        "bill": TreasuryBill,
        "note": lambda day: TreasuryNote(0.04, day),
        "bond": lambda day: TreasuryBond(0.04, day),
        "tips": lambda day: TIPS(0.01, day),
        "strips": STRIPS,
    }[kind](maturity)


@every_schedule
@pytest.mark.parametrize(("kind", "years"), [("bill", 1), ("note", 10), ("bond", 30), ("tips", 30), ("strips", 30)])
def test_the_longer_a_treasury_runs_the_more_is_cut(id, kind, years):
    schedule = Schedules(AS_OF)
    days = [AS_OF + timedelta(days=n) for n in (1, *range(30, 365 * years, 61))]
    terms = [schedule._term_in(id, made(kind, day), "") for day in days]
    if kind == "strips" and terms[0] is None:  # ICC does not take them
        assert not any(terms)
        return
    cuts = [term.haircut for term in terms]
    assert all(shorter <= longer for shorter, longer in pairwise(cuts))


def test_takers_name_schedules_that_exist_and_every_place_has_one():
    found = Schedules(AS_OF)
    for row in found.reader(WALLS).takers:
        assert set(row["schedules"]) <= set(IDS)
    pots = {house.value for house in ClearingHouse} & {"FICC", "CME", "OCC", "ICC"} | {"common pool", "OCC and CME"}
    classes = list(AccountClass)
    assert all(found.taker(Place("X", "F", pot, each)) for pot in pots for each in classes)
    assert all(found.taker(Place("X", "F", "carrying firm", each)) for each in classes)
    assert found.taker(Place("X", "F", "nowhere", AccountClass.PROPRIETARY)) is None


def test_rows_of_pairs_name_classes_and_walls_that_exist():
    rule, classes = collateral_rules()[WALLS], {each.value for each in AccountClass}
    for row in rule.at(AS_OF).pairs:
        assert row["wall"] in walls.TESTS
        assert set(row["between"]) | set(row["and"]) <= classes


def test_every_two_customer_classes_are_spoken_of():
    """A new account class needs its rows: until then nothing may move into it or out of it."""
    customers = [each for each in AccountClass if each.origin == "customer"]
    for one in customers:
        for other in customers:
            if one is not other:
                move = walls._Move(Place("X", "F", "p", one), Place("X", "F", "q", other), instructed=False)
                assert move.row(collateral_rules()[WALLS].at(AS_OF)) is not None, (one, other)


def test_overlays_replace_the_shipped_and_rules_of_other_rooms_are_left_alone():
    study = collateral_rules()["cme_collateral"].with_values(cash_target=0.5, because="study")
    found = collateral_rules([study])
    assert found["cme_collateral"] is study
    assert collateral_rules()["cme_collateral"] is not study
    with pytest.raises(ParameterMissing):
        _ = found["ficc_collateral"].at(date(2026, 6, 30)).cash_target
