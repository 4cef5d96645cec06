"""What a statement or a CRIF holds, as a portfolio: the firm, owners and accounts that no such file tells are made.

Call `portfolio_of(found)` with what `recognise.read_file` returned; what was assumed comes with it, a sentence each.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from crossmargin.accounts import Account, AccountClass, Customer, Firm
from crossmargin.errors import InputError, Problem, check_kinds, suggestion
from crossmargin.io.book import Book
from crossmargin.io.brokers import Statement
from crossmargin.io.crif import Crif
from crossmargin.io.recognise import FileRead
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import FutureOption, IndexFuture, SensitivityPortfolio, ShortRateFuture, TreasuryFuture

FIRM = "BROKER"
_FUTURES = (TreasuryFuture, ShortRateFuture, IndexFuture, FutureOption)


def portfolio_of(
    found: FileRead, *, firm: str = FIRM, owner: str = "", account_class: str = ""
) -> tuple[Portfolio, tuple[str, ...]]:
    """Return the positions of a file in accounts, and what was assumed of these.

    Parameters
    ----------
    found
        A statement, a frame, a CRIF or a book; the latter is returned as it is.
    firm
        Id of the firm that carries the accounts.
    owner
        Id of the customer who owns all of them, or of the firm. When left out, each account has an owner of its own, so
        that nothing nets across accounts; the firm owns those of a class for its own.
    account_class
        Class of all accounts. When left out, futures and options on them lie in `CFTC_4D_AB` and all else in
        `SEC_15C3_3`: an account that holds both becomes two.

    Raises
    ------
    InputError
        The file holds no positions, or the class is unknown.
    """
    check_kinds(found=(found, FileRead, "Give what read_file returned."))
    classes = [each.value for each in AccountClass]
    if account_class and account_class not in classes:
        raise InputError([Problem(f"unknown {account_class!r}.", "account_class", suggestion(account_class, classes))])
    if isinstance(found.content, Book):
        return found.content.portfolio, ()
    held, assumed = _held(found)
    if not held:
        raise InputError(
            [Problem(f"a {found.kind} without positions makes no book.", found.name, "Give another file.")]
        )
    placed = [_placed(position, account_class) for position in held]
    _refuse_mixed(placed, found.name)
    distinct = dict.fromkeys((each.account, name, chosen) for each, name, chosen in placed)
    accounts = {
        id: Account(id, owner or (firm if chosen.origin == "house" else name), firm, chosen)
        for id, name, chosen in distinct
    }
    customers = [Customer(id) for id in dict.fromkeys(each.owner for each in accounts.values()) if id != firm]
    assumed += (f"{firm} carries every account; it is registered as BD and FCM.",)
    assumed += tuple(
        f"Account {each.id!r} belongs to {each.owner!r} and lies in the class {each.account_class.value}."
        for each in accounts.values()
    )
    firms = (Firm(firm, registrations={"BD", "FCM"}),)
    return Portfolio(firms, customers, accounts.values(), [position for position, _, _ in placed]), assumed


def _placed(position: Position, account_class: str) -> tuple[Position, str, AccountClass]:
    """Return a position in the account of its class, the name of the account in the file, and the class."""
    name, futures = position.account, isinstance(position.product, _FUTURES)
    if account_class:
        return position, name, AccountClass(account_class)
    if futures:
        return evolve(position, account=f"{name} futures"), name, AccountClass.CFTC_4D_AB
    return position, name, AccountClass.SEC_15C3_3


def _refuse_mixed(placed: Iterable[tuple[Position, str, AccountClass]], name: str) -> None:
    """Raise when the account made for futures is one that the file has."""
    classes: dict[str, AccountClass] = {}
    for position, _, chosen in placed:
        if classes.setdefault(position.account, chosen) is not chosen:
            fix = "Say in which class all accounts lie: account_class."
            raise InputError([Problem(f"account {position.account!r} would lie in two classes.", name, fix)])


def _held(found: FileRead) -> tuple[tuple[Position, ...], tuple[str, ...]]:
    if isinstance(found.content, Statement):
        cash = (f"{each.amount:,.2f} {each.currency} in {each.account!r}" for each in found.content.cash if each.amount)
        left = ", ".join(cash)
        note = f"Cash is left out ({left}): list under collateral what is posted." if left else ""
        return found.content.positions, (note,) if note else ()
    if isinstance(found.content, Crif):
        return tuple(_portfolios(found.content, found.name)), ()
    return (), ()


def _portfolios(crif: Crif, name: str) -> Iterable[Position]:
    for each in crif.portfolios or ("",):
        called = each or name.partition(".")[0]
        sensitivities, rows = crif.sensitivities(each), crif.schedule_rows(each)
        product = SensitivityPortfolio(called, sensitivities, add_ons=crif.add_ons(each), schedule_rows=rows)
        yield Position(called, called, product, 1.0)
