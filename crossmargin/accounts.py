"""Who holds positions and under which law: firms, customers, accounts, segregation classes.

Data only. `Account.account_class` decides which law protects what lies in the account if the firm fails;
`Account.arrangement` names the cross-margin programme whose account it is. Who may join a programme is
decided in `arrangements/`, never here.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from crossmargin.errors import InputError, Problem, is_number
from crossmargin.records import as_frozenset, member, members


class Registration(StrEnum):
    """What a firm is registered as."""

    BD = "BD"  # broker-dealer, Securities Exchange Act 15(b)
    FCM = "FCM"  # futures commission merchant, Commodity Exchange Act 4f(a)(1)
    SD = "SD"  # swap dealer, Commodity Exchange Act 4s
    SBSD = "SBSD"  # security-based swap dealer, Securities Exchange Act 15F
    BANK = "BANK"  # bank, supervised by a prudential regulator


class ClearingHouse(StrEnum):
    """The clearing houses whose margin is modelled or named."""

    FICC = "FICC"
    CME = "CME"
    OCC = "OCC"
    ICC = "ICC"
    LCH = "LCH"


class InsolvencyRegime(StrEnum):
    """The law under which an account is wound up when the firm that carries it fails."""

    SIPA = "SIPA / chapter 7 subchapter III"
    PART_190 = "chapter 7 subchapter IV / CFTC Part 190"
    GENERAL_ESTATE = "general estate of the firm"


class AccountClass(StrEnum):
    """Legal segregation class of an account.

    References
    ----------
    17 CFR 240.15c3-3 and Note H of 15c3-3a; Commodity Exchange Act 4d(a), (b) and (f); 17 CFR Parts 22,
    30.7 and 190; 91 FR 4994 (3 February 2026), conditions 1 and 2, for the cross-margin futures account.
    """

    SEC_15C3_3 = "SEC_15C3_3"
    SEC_NOTE_H = "SEC_NOTE_H"
    CFTC_4D_AB = "CFTC_4D_AB"
    CFTC_4D_F = "CFTC_4D_F"
    XM_FUTURES_4D_AB = "XM_FUTURES_4D_AB"
    CFTC_30_7 = "CFTC_30_7"
    PROPRIETARY = "PROPRIETARY"

    @property
    def segregation_law(self) -> str:
        """The law that keeps what lies in the account apart from the firm's own, "" where none does."""
        return _SEGREGATION[self]

    @property
    def insolvency_regime(self) -> InsolvencyRegime:
        """The law that governs the account if the firm fails."""
        if self is AccountClass.PROPRIETARY:
            return InsolvencyRegime.GENERAL_ESTATE
        if self in (AccountClass.SEC_15C3_3, AccountClass.SEC_NOTE_H):
            return InsolvencyRegime.SIPA
        return InsolvencyRegime.PART_190

    @property
    def origin(self) -> str:
        """`house` for the firm's own positions, `customer` for everybody else's."""
        return "house" if self is AccountClass.PROPRIETARY else "customer"


_SEGREGATION = MappingProxyType(
    {
        AccountClass.SEC_15C3_3: "17 CFR 240.15c3-3",
        AccountClass.SEC_NOTE_H: "17 CFR 240.15c3-3a, Note H",
        AccountClass.CFTC_4D_AB: "Commodity Exchange Act 4d(a) and (b)",
        AccountClass.CFTC_4D_F: "Commodity Exchange Act 4d(f), 17 CFR Part 22",
        AccountClass.XM_FUTURES_4D_AB: "Commodity Exchange Act 4d(a)(2), by the orders of the cross-margin programme",
        AccountClass.CFTC_30_7: "17 CFR 30.7",
        AccountClass.PROPRIETARY: "",
    }
)


class IntradayMonitoring(StrEnum):
    """How closely a firm watches portfolio-margin accounts within the day."""

    FULL = "full"  # real time, and every trade in sight
    PARTIAL = "partial"
    NONE = "none"


class CustomerKind(StrEnum):
    """What a customer is, for the programmes that admit only some."""

    RETAIL = "retail"
    ELIGIBLE_CONTRACT_PARTICIPANT = "eligible_contract_participant"
    MARKET_PROFESSIONAL = "market_professional"
    QIB = "qib"


class Agreement(StrEnum):
    """Papers and elections that a programme may ask for before it admits an account."""

    PARTICIPANT_AGREEMENT = "participant_agreement"
    SUBORDINATION = "subordination"
    DISCLOSURE = "disclosure"
    CUSTOMER_OPT_IN = "customer_opt_in"
    FIRM_OPT_IN = "firm_opt_in"
    PORTFOLIO_MARGIN = "portfolio_margin"  # approval for, and consent to, risk-based margin of a securities account


def as_account_class(value: Any) -> AccountClass:
    """Return an account class by itself or by its name: a converter for record fields."""
    return member(AccountClass, value)


def _kind(value: Any) -> CustomerKind:
    return member(CustomerKind, value)


def _monitoring(value: Any) -> IntradayMonitoring:
    return member(IntradayMonitoring, value)


def _registrations(values: Any) -> frozenset[Registration]:
    return members(Registration, values)


def _memberships(values: Any) -> frozenset[ClearingHouse]:
    return members(ClearingHouse, values)


def _agreements(values: Any) -> frozenset[Agreement]:
    return members(Agreement, values)


@frozen
class Firm:
    """A firm that carries accounts.

    `affiliates` names non-customer affiliates whose proprietary positions the firm may carry, `guarantees` those of
    them whose obligations it guarantees; `compliant` is the firm's standing under risk, capital, liquidity and
    segregation rules; `monitoring` is how closely it watches portfolio-margin accounts within the day.
    """

    id: str
    registrations: frozenset[Registration] = field(default=frozenset(), converter=_registrations)
    memberships: frozenset[ClearingHouse] = field(default=frozenset(), converter=_memberships)
    affiliates: frozenset[str] = field(default=frozenset(), converter=as_frozenset)
    name: str = ""
    compliant: bool = True
    monitoring: IntradayMonitoring = field(default=IntradayMonitoring.NONE, converter=_monitoring)
    guarantees: frozenset[str] = field(default=frozenset(), converter=as_frozenset)


@frozen
class Customer:
    """A beneficial owner. Customers never net with one another."""

    id: str
    kind: CustomerKind = field(default=CustomerKind.ELIGIBLE_CONTRACT_PARTICIPANT, converter=_kind)
    name: str = ""


@frozen
class Account:
    """An account of one `owner` (a customer, the firm itself or its affiliate) carried by one `firm`.

    `arrangement` is empty, or the id of the cross-margin programme whose account this is: holding a position
    here *is* directing it into the programme. `equity` is what the account is worth, USD; None where nobody says.
    `cash` marks a cash account, where nothing is bought or sold short on credit. `beneficial_owner` is whose positions
    they are when not the owner's own, as in an omnibus account: one `Account` for each customer behind it. They are
    margined gross, customer by customer, unless the account is `net`; in a programme they always are.

    Raises
    ------
    InputError
        An unknown class or paper, an equity that is no finite number.
    """

    id: str
    owner: str
    firm: str
    account_class: AccountClass = field(converter=as_account_class)
    arrangement: str = ""
    agreements: frozenset[Agreement] = field(default=frozenset(), converter=_agreements)
    equity: float | None = None
    cash: bool = False
    beneficial_owner: str = ""
    net: bool = False

    def __attrs_post_init__(self) -> None:
        if self.equity is not None and not is_number(self.equity):
            where, fix = f"account {self.id!r}, field 'equity'", "Give USD, or leave it out where nobody says."
            raise InputError([Problem(f"{self.equity!r} is no finite number.", where, fix)])

    @property
    def beneficiary(self) -> str:
        """The beneficial owner, who is the owner unless somebody else is named."""
        return self.beneficial_owner or self.owner
