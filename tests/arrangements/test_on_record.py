"""Programmes on record only: listed with their status, and no regime may name them."""

from __future__ import annotations

import pytest
from attrs import evolve

from crossmargin.errors import InputError
from crossmargin.margin import margin
from crossmargin.regimes import CROSS_MARGIN, SILOED
from crossmargin.registry import rulebook, rules
from tests.properties.strategies import basis, book, market

STATUS = {
    "nypc_ficc": ("one_pot", "withdrawn"),
    "occ_ice_clear_us": ("one_pot", "withdrawn"),
    "lch_fmx": ("one_pot", "in_force"),
    "cme_lch_2000": ("two_pot", "withdrawn"),
    "gscc_nycc": ("two_pot", "withdrawn"),
    "gscc_brokertec": ("two_pot", "withdrawn"),
    "cme_ficc_offset_classes": ("two_pot", "withdrawn"),
    "two_pot_spread_credit": ("two_pot", "withdrawn"),
}


@pytest.mark.parametrize("id", STATUS)
def test_they_say_what_they_are_and_decide_nothing(id):
    written = rules(id)
    assert (written.structure, written.status) == STATUS[id]
    assert not written.parameters
    assert not written.conditions
    assert written.sources


def test_every_arrangement_decides_or_is_on_record():
    arrangements = {id for id, rule in rulebook().items() if rule.kind == "arrangement"}
    assert arrangements == set(STATUS) | set(CROSS_MARGIN.arrangements)


@pytest.mark.parametrize("id", STATUS)
def test_no_regime_may_name_them(id):
    regime = evolve(SILOED, name="wishful", arrangements=(id,))
    with pytest.raises(InputError, match=id):
        margin(book(*basis()), market(), regime)
