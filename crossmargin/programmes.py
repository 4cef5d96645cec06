"""What cross-margin programmes share: the one-pot requirement, and the tests that their conditions name.

A one-pot arrangement is its `TESTS` and a `requirement(pool, models, p)` that calls `one_pot`. Whatever one programme
alone asks for stands beside that programme. No number of a programme lives here, and nothing decides who is enrolled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from crossmargin.accounts import AccountClass, Agreement, CustomerKind, Registration
from crossmargin.eligibility import Case, Test
from crossmargin.errors import InputError, Problem
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.results import Line, largest, total

Models: TypeAlias = Callable[[str, Pool], Line]  # any rule-set's answer for any pool


def one_pot(name: str, pool: Pool, models: Models, p: Reader) -> Line:
    """Return what one pot asks for a pool: its model's requirement, or the largest when `models` names several, USD.

    Parameters
    ----------
    name : str
        Of the line.
    pool : Pool
        The enrolled positions of one owner at one firm in one class of account.
    models : callable
        The id of a rule-set and a pool in, its requirement line out, USD.
    p : Reader
        Parameters of the arrangement; `models` is read: the ids of the rule-sets that margin its pot.

    Raises
    ------
    InputError
        `models` names none.
    """
    answers = [models(ruleset, pool) for ruleset in p.models]
    if not answers:
        fix = "Name the rule-set that margins the pot."
        raise InputError([Problem("models is empty.", name, fix)])
    combined = total if len(answers) == 1 else largest
    return combined(name, answers, reads=p.taken())


# --------------------------------------------------------------------------------------------------- the account


def directed_to(programme: str) -> Test:
    """Return the test that the position lies in an account of the programme: holding it there directs it there."""
    return lambda case, _: case.account.arrangement == programme


def agreed(agreement: Agreement) -> Test:
    """Return the test that a paper is signed for the account."""
    return lambda case, _: agreement in case.account.agreements


def in_class(*classes: AccountClass) -> Test:
    """Return the test that the account is of one of these segregation classes."""
    return lambda case, _: case.account.account_class in classes


def same_owner(case: Case, _: Reader) -> bool:
    """Whether the holder of the account is the beneficial owner of what lies in it."""
    return case.account.beneficiary == case.account.owner


def house_owner(case: Case, _: Reader) -> bool:
    """Whether the firm itself or one of its affiliates owns the account."""
    return case.account.owner == case.firm.id or case.account.owner in case.firm.affiliates


# ------------------------------------------------------------------------------------------- the firm, the customer


def registered(*registrations: Registration) -> Test:
    """Return the test that the firm bears all of these registrations."""
    return lambda case, _: case.firm.registrations.issuperset(registrations)


dual_registration = registered(Registration.BD, Registration.FCM)


def common_member(case: Case, p: Reader) -> bool:
    """Whether the firm itself is a member of all the parameter's `clearing_houses`."""
    return case.firm.memberships.issuperset(p.clearing_houses)


def affiliated_member(case: Case, p: Reader) -> bool:
    """Whether the firm and the affiliates whose obligations it guarantees are members of all `clearing_houses`."""
    joint = case.firm.memberships.union(*(firm.memberships for firm in case.guaranteed))
    return joint.issuperset(p.clearing_houses)


def firm_standing(case: Case, _: Reader) -> bool:
    """Whether the firm stands well under risk, capital, liquidity and segregation rules."""
    return case.firm.compliant


def customer_kind(*kinds: CustomerKind) -> Test:
    """Return the test that the position is a customer's of one of these kinds."""
    return lambda case, _: case.customer is not None and case.customer.kind in kinds


institutional = customer_kind(*(kind for kind in CustomerKind if kind is not CustomerKind.RETAIL))
market_professional = customer_kind(CustomerKind.MARKET_PROFESSIONAL)


# ------------------------------------------------------------------------------------------------- the position


def programme_open(case: Case, p: Reader) -> bool:
    """Whether the programme admits positions of this origin, by its parameter `open_to`."""
    return case.origin in p.open_to


def product_list(case: Case, p: Reader) -> bool:
    """Whether the kind of product is among the parameter's `products`."""
    return case.position.product.kind in p.products


def unsettled(case: Case, _: Reader) -> bool:
    """Whether the position has not settled, and so still lies with a clearing house."""
    return not case.settled
