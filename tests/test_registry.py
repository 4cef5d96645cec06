"""Every rule is found by id, with the code beside it."""

from __future__ import annotations

import pytest

from crossmargin.errors import InputError
from crossmargin.registry import FOLDERS, module, rulebook, rules

KIND = {"rulesets": "ruleset", "arrangements": "arrangement", "proposals": "proposal"}


def test_the_rulebook_holds_all_and_each_has_its_module():
    book = rulebook()
    assert {"ficc_gsd", "cme_rates_futures", "cme_ficc", "two_pot_spread_credit", "harmonized_rates"} <= set(book)
    for id, rule in book.items():
        code = module(id)
        assert rule.id == id
        folder = code.__name__.split(".")[1]
        assert folder in FOLDERS
        assert rule.kind == KIND[folder]
        if rule.kind == "ruleset":
            assert callable(code.scenarios)
            assert callable(code.requirement)
        if rule.conditions:
            assert set(code.TESTS) == {condition.id for condition in rule.conditions}


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
