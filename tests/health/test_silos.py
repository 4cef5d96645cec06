"""Laws of the silos: whatever can be held is margined somewhere today, and by a rule-set that exists."""

from __future__ import annotations

import pytest

from crossmargin.products import PRODUCT_KINDS
from crossmargin.products.security_based import CREDIT_KINDS
from crossmargin.products.swaps import CLEARING, kinds_at
from crossmargin.regimes import TODAY
from crossmargin.registry import module, rules

KINDS = {*PRODUCT_KINDS, *CREDIT_KINDS, *(kind for place in CLEARING for kind in kinds_at(place))}
LEVELS = ("customer", "clearing")
HELD_WITHOUT_A_SILO: dict[str, str] = {}  # kind -> why nobody margins it


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_product_has_a_silo(kind):
    assert any(kind in silo.kinds for silo in TODAY) != (kind in HELD_WITHOUT_A_SILO)


def test_silos_name_kinds_and_rule_sets_that_exist():
    for silo in TODAY:
        assert silo.kinds <= KINDS
        assert rules(silo.ruleset).kind == "ruleset"
        assert callable(module(silo.ruleset).requirement)


@pytest.mark.parametrize("kind", ["listed_option", "security_future"])
def test_what_occ_clears_owes_there_too_in_every_account_that_a_broker_margins(kind):
    mine = [silo for silo in TODAY if kind in silo.kinds]
    at = {level: {each for s in mine if s.level == level for each in s.account_classes} for level in LEVELS}
    assert at["customer"] <= at["clearing"]
