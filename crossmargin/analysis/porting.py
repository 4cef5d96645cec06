"""Which customers of a firm in default move to another firm with their positions and margin.

Call `ported(legs, portfolio, receivers, ...)`: a decision for each owner and class, and the legs with those that move
marked. The conditions and their sources are those of `default.toml`. Nothing is liquidated here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date
from types import MappingProxyType

from attrs import evolve, frozen

from crossmargin.accounts import AccountClass, ClearingHouse, Firm
from crossmargin.analysis.liquidation import Leg
from crossmargin.eligibility import Decision, failures
from crossmargin.parameters import Reader, Rules
from crossmargin.portfolio import Portfolio

_CENT = 0.01  # less than this is no deficit


@frozen
class _Port:
    """What the conditions of porting look at: one customer's legs in one class, and who would take them."""

    legs: tuple[Leg, ...]
    net: bool
    receiver: Firm | None

    @property
    def account_class(self) -> AccountClass:
        return self.legs[0].place.account_class

    @property
    def houses(self) -> frozenset[ClearingHouse]:
        return frozenset(house for leg in self.legs for house in ClearingHouse if house in leg.place.pot.split())

    def registrations(self, p: Reader) -> Collection[str] | None:
        """Return what the class asks a receiving firm to be registered as, None where it does not port."""
        rows = (row for row in p.portable_classes if row["account_class"] == self.account_class)
        return next((row["registrations"] for row in rows), None)


def _registered(port: _Port, p: Reader) -> bool:
    asked = port.registrations(p)
    return asked is not None and port.receiver is not None and port.receiver.registrations.issuperset(asked)


def _member(port: _Port, _: Reader) -> bool:
    receiver = port.receiver
    return receiver is not None and receiver.compliant and receiver.memberships >= port.houses


TESTS: Mapping[str, Callable[[_Port, Reader], bool]] = MappingProxyType(
    {
        "portable_class": lambda port, p: port.registrations(p) is not None,
        "gross_margin": lambda port, _: not port.net,
        "known_requirement": lambda port, _: not any(leg.unmargined or leg.unknown for leg in port.legs),
        "fully_margined": lambda port, _: all(leg.held >= leg.required - _CENT for leg in port.legs),
        "receiver_willing": lambda port, _: port.receiver is not None,
        "receiver_registered": _registered,
        "receiver_member": _member,
    }
)


def ported(
    legs: tuple[Leg, ...], portfolio: Portfolio, receivers: Mapping[str, str], *, firm: str, rule: Rules, as_of: date
) -> tuple[tuple[Decision, ...], tuple[Leg, ...]]:
    """Return a decision for each owner and class, and the legs with those that port marked."""
    units: dict[tuple[str, AccountClass], list[Leg]] = {}
    for leg in legs:
        units.setdefault((leg.place.owner, leg.place.account_class), []).append(leg)
    net = {(each.owner, each.account_class) for each in portfolio.accounts if each.firm == firm and each.net}
    found: dict[tuple[str, AccountClass], Decision] = {}
    for unit, mine in units.items():
        owner, account_class = unit
        receiver = portfolio.firm(receivers[owner]) if owner in receivers else None
        binding = [each for each in rule.conditions if each.applies(as_of, account_class.origin)]
        failed = failures(binding, TESTS, _Port(tuple(mine), unit in net, receiver), rule.at(as_of))
        found[unit] = Decision("porting", owner, account_class.value, not failed, failed)
    moved = (found[leg.place.owner, leg.place.account_class].allowed for leg in legs)
    pairs = zip(legs, moved, strict=True)
    marked = tuple(evolve(leg, ported_to=receivers[leg.place.owner]) if gone else leg for leg, gone in pairs)
    return tuple(found.values()), marked
