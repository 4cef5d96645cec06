"""From the fractions of the cheapest cover to movements in whole lots, and to what lies where afterwards.

`uses` rounds, `carry_out(sources, uses, holdings)` moves. What is not needed at a clearing house goes back to the firm;
what lies at the firm and is not needed stays. No prices and no walls here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, frozen

from crossmargin.collateral.placement import Columns, Source
from crossmargin.collateral.schedules import WALLS, Schedules
from crossmargin.columns import FloatArray
from crossmargin.posted import CARRYING_FIRM, Asset, Place, Posted

_WHOLE = 1e-9  # literal: a quantity within this share of a whole lot is that lot


@frozen
class Movement:
    """One delivery, or one withdrawal to the firm: so much of one deposit from here to there.

    `market_value` is before and `lendable_value` after the haircut of the place it goes to (0 for a withdrawal), USD.
    """

    id: str
    asset: Asset
    source: Place
    target: Place
    quantity: float
    market_value: float
    lendable_value: float = 0.0

    def __str__(self) -> str:
        verb = "deliver" if self.lendable_value else "withdraw"
        return f"{verb} {self.quantity:,.10g} {self.asset.symbol} ({self.id}) from {self.source} to {self.target}"


@frozen
class Use:
    """How much of a source covers one place, in units of the asset, and what 1 USD of it covers there."""

    target: Place
    quantity: float
    value: float


def lot_sizes(schedules: Schedules) -> dict[str, float]:
    """Return the smallest amount of each kind of asset that changes hands."""
    return {kind: float(row["lot"]) for row in schedules.reader(WALLS).lots for kind in row["kinds"]}


def uses(columns: Columns, used: FloatArray, lots: Mapping[str, float]) -> list[list[Use]]:
    """Return what each source covers, rounded up to whole lots as far as it reaches."""
    found: list[list[Use]] = [[] for _ in columns.sources]
    left = [source.quantity for source in columns.sources]
    for column in sorted(range(used.size), key=lambda each: -used[each]):
        number, source = int(columns.source[column]), columns.sources[int(columns.source[column])]
        wanted = _in_lots(used[column] / source.price, lots.get(source.posted.asset.kind, 0.0))
        quantity = left[number] if wanted >= left[number] * (1.0 - _WHOLE) else wanted
        if quantity > 0.0:
            left[number] -= quantity
            found[number].append(Use(columns.needs[columns.need[column]].place, quantity, columns.value[column]))
    return found


def carry_out(
    sources: Sequence[Source], found: Sequence[Sequence[Use]], holdings: Iterable[Posted]
) -> tuple[tuple[Posted, ...], tuple[Movement, ...]]:
    """Return what lies where once every source covers what it should, and the movements that bring it there."""
    after = {each.id: each for each in holdings}
    movements: list[Movement] = []
    for source, mine in zip(sources, found, strict=True):
        posted, at_home = source.posted, 0.0
        for use in mine:
            if use.target == posted.place:
                at_home += use.quantity
            else:
                movements.append(_delivery(source, use))
                _deliver(after, source, use)
        spare = source.quantity - math.fsum(use.quantity for use in mine)
        if spare > _WHOLE * source.quantity and not posted.place.at_firm and not source.pinned:
            movements.append(_withdrawal(source, spare))
            _withdraw(after, source, spare)
    return tuple(each for each in after.values() if each.quantity > 0.0), tuple(movements)


def _in_lots(quantity: float, lot: float) -> float:
    return math.ceil(quantity / lot * (1.0 - _WHOLE)) * lot if lot else quantity


def _delivery(source: Source, use: Use) -> Movement:
    worth = use.quantity * source.price
    posted = source.posted
    return Movement(posted.id, posted.asset, posted.place, use.target, use.quantity, worth, worth * use.value)


def _withdrawal(source: Source, quantity: float) -> Movement:
    posted = source.posted
    return Movement(posted.id, posted.asset, posted.place, _home(posted), quantity, quantity * source.price)


def _home(posted: Posted) -> Place:
    """Return where an asset goes when it is not needed: its provider's account at the firm."""
    if posted.provided_by:
        return Place(posted.provided_by, posted.firm, CARRYING_FIRM, "PROPRIETARY")
    return evolve(posted.place, pot=CARRYING_FIRM)


def _deliver(after: dict[str, Posted], source: Source, use: Use) -> None:
    """Enter a delivery; a customer's deposit at the firm that is passed on stays where it is as well."""
    posted, target = source.posted, use.target
    same_customer = (target.owner, target.account_class) == (posted.owner, posted.account_class)
    onward = posted.passed_on or (posted.id if posted.level == "customer" and target.level == "clearing" else "")
    passed_on = onward if same_customer and target.level == "clearing" else ""
    if posted.passed_on or not passed_on:
        _take(after, posted.id, use.quantity)
    if posted.passed_on and not passed_on:
        _take(after, posted.passed_on, use.quantity)
    customer = target.account_class.origin == "customer"
    lender = posted.provided_by or (posted.owner if posted.account_class.origin == "house" else "")
    placed = evolve(
        posted,
        id=_fresh(after, f"{posted.id} > {target}"),
        owner=target.owner,
        pot=target.pot,
        account_class=target.account_class,
        quantity=use.quantity,
        passed_on=passed_on,
        provided_by=lender if customer and lender != target.owner else "",
    )
    after[placed.id] = placed


def _withdraw(after: dict[str, Posted], source: Source, quantity: float) -> None:
    """Enter a withdrawal; the deposit at the firm that was passed on is there already."""
    posted, home = source.posted, _home(source.posted)
    _take(after, posted.id, quantity)
    if not posted.passed_on:
        id = _fresh(after, f"{posted.id} > {home}")
        owner, account_class = home.owner, home.account_class
        after[id] = evolve(
            posted,
            id=id,
            owner=owner,
            pot=home.pot,
            account_class=account_class,
            quantity=quantity,
            provided_by="",
        )


def _take(after: dict[str, Posted], id: str, quantity: float) -> None:
    left = after[id].quantity - quantity
    after[id] = evolve(after[id], quantity=left if left > _WHOLE * quantity else 0.0)


def _fresh(after: Mapping[str, Posted], id: str) -> str:
    """Return an id that nothing bears yet."""
    return id if id not in after else _fresh(after, f"{id} again")
