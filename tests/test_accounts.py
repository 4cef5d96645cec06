"""Who holds positions and under which law."""

from __future__ import annotations

import pytest
from attrs.exceptions import FrozenInstanceError

from crossmargin.accounts import (
    Account,
    AccountClass,
    Agreement,
    ClearingHouse,
    Customer,
    CustomerKind,
    Firm,
    InsolvencyRegime,
    Registration,
)

LAW = {
    "SEC_15C3_3": ("SIPA", "customer"),
    "SEC_NOTE_H": ("SIPA", "customer"),
    "CFTC_4D_AB": ("PART_190", "customer"),
    "CFTC_4D_F": ("PART_190", "customer"),
    "XM_FUTURES_4D_AB": ("PART_190", "customer"),
    "CFTC_30_7": ("PART_190", "customer"),
    "PROPRIETARY": ("GENERAL_ESTATE", "house"),
}


@pytest.mark.parametrize("account_class", AccountClass)
def test_every_account_class_has_its_law_and_origin(account_class):
    regime, origin = LAW[account_class.value]
    assert account_class.insolvency_regime is InsolvencyRegime[regime]
    assert account_class.origin == origin


def test_the_cross_margin_account_is_not_under_sipa():
    """The customer gives up the protection of a securities account: conditions 1 and 2 of the exemption."""
    assert AccountClass.XM_FUTURES_4D_AB.insolvency_regime is not AccountClass.SEC_NOTE_H.insolvency_regime


def test_names_as_files_write_them_are_taken():
    account = Account("a", "owner", "firm", "SEC_NOTE_H", agreements=["subordination"])
    assert account.account_class is AccountClass.SEC_NOTE_H
    assert Agreement.SUBORDINATION in account.agreements
    assert Customer("c", "qib").kind is CustomerKind.QIB
    firm = Firm("f", ["BD", "FCM"], ["FICC"])
    assert Registration.FCM in firm.registrations
    assert ClearingHouse.FICC in firm.memberships


@pytest.mark.parametrize(("kind", "name"), [(AccountClass, "SEC_15c3_3"), (CustomerKind, "Retail"), (CustomerKind, "")])
def test_unknown_names_are_refused(kind, name):
    with pytest.raises(ValueError, match="is not a valid"):
        kind(name)


def test_a_customer_is_institutional_unless_it_is_said_otherwise():
    assert Customer("c").kind is CustomerKind.ELIGIBLE_CONTRACT_PARTICIPANT


def test_records_cannot_change_and_hash():
    firm = Firm("f", [Registration.BD])
    with pytest.raises(FrozenInstanceError):
        firm.compliant = False
    assert len({firm, Firm("f", {Registration.BD}), Firm("g")}) == 2
