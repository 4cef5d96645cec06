"""Every rule is found by id, with the code beside it."""

from __future__ import annotations

import pytest

from crossmargin.errors import InputError
from crossmargin.parameters import STRUCTURES
from crossmargin.regimes import PROGRAMMES
from crossmargin.registry import FOLDERS, module, rulebook, rules

KIND = {"rulesets": "ruleset", "arrangements": "arrangement", "proposals": "proposal"}


def test_the_rulebook_holds_all_and_each_has_its_module():
    book = rulebook()
    assert {"ficc_gsd", "cme_rates_futures", "cme_ficc", "two_pot_spread_credit", "harmonized_rates"} <= set(book)
    for id, rule in book.items():
        if rule.kind == "collateral":  # schedules and walls: one room of code reads them all
            continue
        code = module(id)
        assert rule.id == id
        folder = code.__name__.split(".")[1]
        assert folder in FOLDERS
        assert rule.kind == KIND[folder]
        if rule.kind == "ruleset":
            assert callable(code.scenarios)
            assert callable(code.requirement)
        if rule.conditions:
            leaves = {each.id for whole in rule.conditions for each in whole.walk() if not each.combines}
            assert set(code.TESTS) == leaves


def test_an_unknown_rule_gets_a_suggestion():
    with pytest.raises(InputError, match="Did you mean 'cme_ficc'"):
        rules("cme-ficc")


def test_overlaid_rules_take_the_place_of_the_shipped_ones():
    study = rules("cme_ficc").with_values(reduction_cap=0.5, because="study")
    book = rulebook([study])
    assert book["cme_ficc"] is study
    assert book["ficc_gsd"] is rules("ficc_gsd")
    assert rulebook()["cme_ficc"] is rules("cme_ficc")


def test_a_file_is_read_once():
    assert rules("ficc_gsd") is rules("ficc_gsd")


def test_each_programme_that_can_be_joined_credits_as_its_structure_says():
    for id, rule in rulebook().items():
        if rule.kind != "arrangement":
            continue
        code = module(id)
        assert rule.structure in STRUCTURES
        if rule.structure == "two_pot" and rule.conditions:
            assert callable(code.credits), id
        if rule.structure == "one_pot" and rule.conditions:
            assert callable(code.requirement), id
            assert {"models", "pot"} <= set(rule.parameters), id
            models = {model for dated in rule.parameters["models"].values for model in dated.value}
            assert {rules(model).kind for model in models} == {"ruleset"}, id


def test_todays_programmes_are_in_force_and_can_be_joined():
    assert all(rules(id).status == "in_force" and rules(id).conditions for id in PROGRAMMES)


def test_programmes_name_alike_the_conditions_that_reports_look_for():
    for id in PROGRAMMES:
        assert {"directed", "product_list"} <= {condition.id for condition in rules(id).conditions}


def test_a_rule_is_overlaid_once_and_only_rules_are_taken():
    once = rules("ficc_gsd").with_values(confidence=0.995, because="a study")
    assert rulebook(once)["ficc_gsd"] == rulebook([once])["ficc_gsd"] == once
    with pytest.raises(InputError, match="ficc_gsd: is overlaid twice") as raised:
        rulebook([once, once, "ficc_gsd"])
    assert len(raised.value.problems) == 2
