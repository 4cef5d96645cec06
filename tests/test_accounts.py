"""Who holds positions and under which law."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

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
from crossmargin.errors import InputError
from crossmargin.io.book import load_book
from crossmargin.io.book_writer import write_book
from crossmargin.portfolio import Portfolio

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


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Account("a", "o", "f", "PROPIETARY"),
            "AccountClass: 'PROPIETARY' is unknown. Did you mean 'PROPRIETARY'",
        ),
        (lambda: Account("a", "o", "f", None), "AccountClass: None is unknown"),
        (lambda: Customer("c", "QIB"), "CustomerKind: 'QIB' is unknown. Did you mean 'qib'"),
        (lambda: Firm("f", ["BD", "FCMM"]), "Registration: 'FCMM' is unknown. Did you mean 'FCM'"),
        (lambda: Firm("f", memberships="FIC"), "ClearingHouse: 'FIC' is unknown. Did you mean 'FICC'"),
        (lambda: Account("a", "o", "f", "SEC_NOTE_H", agreements=["subordinaton"]), "Did you mean 'subordination'"),
    ],
)
def test_a_record_refuses_names_that_are_none(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_a_bare_text_is_one_name():
    firm = Firm("f", "BD", "FICC", "sister")
    assert (firm.registrations, firm.memberships, firm.affiliates) == ({"BD"}, {"FICC"}, {"sister"})
    assert Account("a", "o", "f", "SEC_NOTE_H", agreements="disclosure").agreements == {Agreement.DISCLOSURE}


def test_a_customer_is_institutional_unless_it_is_said_otherwise():
    assert Customer("c").kind is CustomerKind.ELIGIBLE_CONTRACT_PARTICIPANT


def test_records_cannot_change_and_hash():
    firm = Firm("f", [Registration.BD])
    with pytest.raises(FrozenInstanceError):
        firm.compliant = False
    assert len({firm, Firm("f", {Registration.BD}), Firm("g")}) == 2


@pytest.mark.parametrize("account_class", AccountClass)
def test_every_customer_class_names_the_law_that_segregates_it(account_class):
    assert bool(account_class.segregation_law) is (account_class.origin == "customer")
    laws = [each.segregation_law for each in AccountClass]
    assert len(set(laws)) == len(laws)


def test_the_owner_is_the_beneficial_owner_unless_somebody_else_is_named():
    account = Account("a", "BROKER", "F", "CFTC_4D_AB")
    assert account.beneficiary == "BROKER"
    assert evolve(account, beneficial_owner="FUND").beneficiary == "FUND"


@pytest.mark.parametrize(
    ("firm", "account", "says"),
    [
        ({"guarantees": ["SISTER"]}, {}, "field 'guarantees': unknown 'SISTER'"),
        ({"guarantees": ["SISTRE"], "affiliates": ["SISTER"]}, {}, "Did you mean 'SISTER'"),
        ({}, {"beneficial_owner": "FUN"}, "field 'beneficial_owner': unknown 'FUN'. Did you mean 'FUND'"),
    ],
)
def test_who_is_guaranteed_is_an_affiliate_and_who_is_beneficial_owner_is_known(firm, account, says):
    with pytest.raises(InputError, match=says):
        Portfolio([Firm("F", **firm)], [Customer("FUND")], [Account("a", "F", "F", "CFTC_4D_AB", **account)])


@pytest.mark.parametrize("equity", ["5", float("nan"), float("inf"), True])
def test_an_equity_is_a_number_of_dollars_or_nobody_says(equity):
    with pytest.raises(InputError, match=r"account 'a', field 'equity': .* is no finite number"):
        Account("a", "F", "F", "SEC_15C3_3", equity=equity)
    assert Account("a", "F", "F", "SEC_15C3_3", equity=-1e9).equity == -1e9


@given(
    guarantees=st.sets(st.sampled_from(["A", "B", "C"])),
    registrations=st.sets(st.sampled_from(Registration)),
    memberships=st.sets(st.sampled_from(ClearingHouse)),
    beneficial=st.sampled_from(["", "C1", "F"]),
    net=st.booleans(),
    account_class=st.sampled_from(AccountClass),
    kind=st.sampled_from(CustomerKind),
    papers=st.sets(st.sampled_from(Agreement)),
)
def test_a_book_keeps_all_that_is_said_of_firms_customers_and_accounts(**said):
    firm = Firm("F", said["registrations"], said["memberships"], ["A", "B", "C"], guarantees=said["guarantees"])
    more = {"beneficial_owner": said["beneficial"], "net": said["net"], "agreements": said["papers"]}
    account = Account("a", "C1", "F", said["account_class"], "cme_ficc", **more)
    portfolio = Portfolio([firm], [Customer("C1", said["kind"], "One")], [account])
    with TemporaryDirectory() as folder:
        assert load_book(write_book(portfolio, folder)).portfolio == portfolio


def test_a_book_that_names_strangers_is_refused_with_place_and_way_out(tmp_path):
    portfolio = Portfolio(
        [Firm("F", affiliates=["A", "B"], guarantees=["A"])],
        [Customer("C1"), Customer("C2")],
        [Account("a", "F", "F", "CFTC_4D_AB", beneficial_owner="C2", net=True)],
    )
    path = write_book(portfolio, tmp_path)
    text = path.read_text(encoding="utf-8").replace('guarantees = ["A"]', 'guarantees = ["AA"]')
    text = text.replace('beneficial_owner = "C2"', 'beneficial_owner = "C3"').replace("net = true", 'net = "yes"')
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_book(path)
    said = [str(problem) for problem in caught.value.problems]
    for part in ("'guarantees': 'AA' is not among the affiliates. Did you mean 'A'", "'C3' is unknown", "'net'"):
        assert any(part in line for line in said), part
    assert len(said) == 3
