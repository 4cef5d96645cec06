"""What is posted, and where it lies: data only.

`Posted` is one asset in one `Place`; an asset is `Cash`, a Treasury security, a share or fund, or an `OtherAsset`.
Values are in `assets`, haircuts in `schedules`.
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar, TypeAlias

from attrs import field, frozen

from crossmargin.accounts import AccountClass
from crossmargin.portfolio import CARRYING_FIRM
from crossmargin.products.equities import ETF, Stock
from crossmargin.products.treasuries import TREASURY_SECURITIES, TreasurySecurity

HOME_CURRENCY = "USD"


@frozen
class Cash:
    """Money of one currency; quantity is units of it. All but USD take their rate from `market.prices[currency]`.

    Examples
    --------
    >>> Cash("EUR").symbol
    'EUR cash'
    """

    kind: ClassVar[str] = "cash"
    currency: str = HOME_CURRENCY

    @property
    def symbol(self) -> str:
        """Readable name."""
        return f"{self.currency} cash"


@frozen
class OtherAsset:
    """Anything else: `gold`, `supranational`, `agency`, ... A unit is worth `market.prices[name]` USD."""

    kind: str
    name: str
    maturity: date | None = None

    @property
    def symbol(self) -> str:
        """The name."""
        return self.name


Asset: TypeAlias = Cash | TreasurySecurity | Stock | ETF | OtherAsset
ASSETS = (Cash, *TREASURY_SECURITIES, Stock, ETF, OtherAsset)


@frozen
class Place:
    """Where collateral lies and whose obligations it covers there: owner, firm, pot and segregation class.

    What lies at the firm itself lies in the pot `carrying firm`.
    """

    owner: str
    firm: str
    pot: str
    account_class: AccountClass = field(converter=AccountClass)

    @property
    def at_firm(self) -> bool:
        """Whether it is the carrying firm, not a clearing house."""
        return self.pot in (CARRYING_FIRM, self.firm)

    @property
    def level(self) -> str:
        """`customer` for what a customer has at its firm, `clearing` for the rest."""
        return "customer" if self.at_firm and self.account_class.origin == "customer" else "clearing"

    def __str__(self) -> str:
        return f"{self.owner} / {self.firm} / {self.account_class.value} / {self.pot}"


@frozen
class Posted:
    """A `quantity` of one asset in one place: USD of face, shares, units of a currency; never negative.

    Parameters
    ----------
    owner
        Whose obligations it covers: a customer, the firm or its affiliate.
    firm
        The firm that carries the account.
    pot
        The clearing house that holds it; `carrying firm` or the firm's id for what lies at the firm.
    issuer
        Who issued the asset, where that is a party to the account; own paper is no collateral.
    index
        Index that a share belongs to, where a schedule's haircut depends on it.
    passed_on
        Id of the deposit at the firm that this deposit at a clearing house passes on: one dollar, shown at two levels.
    provided_by
        Whose money it is when not the owner's: a firm's own money in a customer pot (residual interest).
    """

    id: str
    owner: str
    firm: str
    pot: str
    account_class: AccountClass = field(converter=AccountClass)
    asset: Asset
    quantity: float
    issuer: str = field(default="", kw_only=True)
    index: str = field(default="", kw_only=True)
    passed_on: str = field(default="", kw_only=True)
    provided_by: str = field(default="", kw_only=True)

    @property
    def place(self) -> Place:
        """Where it lies."""
        pot = CARRYING_FIRM if self.pot == self.firm else self.pot
        return Place(self.owner, self.firm, pot, self.account_class)

    @property
    def level(self) -> str:
        """`customer` for what a customer has at its firm, `clearing` for the rest."""
        return self.place.level
