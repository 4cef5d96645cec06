"""Where the requirements of a regime are met, and which deposits follow positions into the common pool of a proposal.

`homes(asked, ...)` says it for one regime; `Homes.met` then places what any pools ask, and the deposits, for
`collateral.covering.balances` to weigh one against the other. The switch is the parameter `collateral` of a proposal:
`follow` or `stay`. Regimes without a proposal meet everything where it is asked, with what lies there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import fsum
from typing import TypeAlias

from attrs import evolve, field, frozen

from crossmargin.collateral.covering import Book, book_of, required_lines
from crossmargin.eligibility import case_of
from crossmargin.errors import InputError, Problem, suggestion
from crossmargin.market import Market
from crossmargin.parameters import Read, Rules
from crossmargin.portfolio import Portfolio
from crossmargin.posted import CARRYING_FIRM, Place, Posted, problems_with
from crossmargin.regimes import TODAY, pools
from crossmargin.results import Credit, Line, Requirement, scaled

Asked: TypeAlias = tuple[Sequence[Requirement], Sequence[Credit]]
FOLLOW, STAY = "follow", "stay"


@frozen(eq=False)
class Homes:
    """Where a regime meets its requirements.

    Attributes
    ----------
    places : mapping
        Level and position -> the place whose collateral covers it.
    weights : mapping of Place to USD
        What the regime asks in a place: in these proportions a requirement of several places is divided.
    moves : mapping of Place to Place
        Pots that a common one takes the place of.
    switches : mapping
        Proposal -> its parameter `collateral`, for the lines of its pools.
    """

    places: Mapping[tuple[str, str], Place]
    weights: Mapping[Place, float]
    moves: Mapping[Place, Place] = field(factory=dict)
    switches: Mapping[str, Read] = field(factory=dict)

    def met(
        self, asked: Asked, portfolio: Portfolio, market: Market, rules: Iterable[Rules] = ()
    ) -> tuple[tuple[Requirement, ...], tuple[Credit, ...], tuple[Posted, ...]]:
        """Return what pools ask, put where it is met, and the deposits as they then lie.

        Raises
        ------
        InputError
            Everything wrong with the deposits.
        """
        placed, posted = self._placed(asked), portfolio.posted
        if not self.moves or not posted:
            return (*placed, posted)
        known = {"owners": portfolio.owners, "firms": portfolio.firm_ids}
        needs = required_lines(*placed, problems_with(posted, market.as_of, **known))
        book = book_of(posted, market, portfolio=portfolio, rules=rules)
        return (*placed, tuple(_following(posted, self.moves, needs, book)))

    def _placed(self, asked: Asked) -> tuple[tuple[Requirement, ...], tuple[Credit, ...]]:
        requirements, credits = [self._cited(each) for each in asked[0]], asked[1]
        shares = [self._shares(each) for each in requirements]
        of_pool = {_pool(each): found for each, found in zip(requirements, shares, strict=True) if found}
        placed = [part for each, found in zip(requirements, shares, strict=True) for part in _divided(each, found)]
        placed += [part for each in credits for part in _divided(each, of_pool.get(_pool(each), {}))]
        return tuple(placed), tuple(each for each in credits if _pool(each) not in of_pool)

    def _cited(self, asked: Requirement) -> Requirement:
        switch = self.switches.get(asked.ruleset)
        return asked if switch is None else evolve(asked, line=evolve(asked.line, reads=(*asked.line.reads, switch)))

    def _shares(self, asked: Requirement) -> dict[Place, float]:
        """Return the share of each place in a requirement; {} where it is met in its own place."""
        own = _place(asked)
        found = dict.fromkeys(self.places.get((asked.level, id), own) for id in asked.positions)
        if list(found) in ([], [own]):
            return {}
        weights = [max(0.0, self.weights.get(place, 0.0)) for place in found]
        whole = fsum(weights)
        return {
            place: weight / whole if whole else 1.0 / len(found) for place, weight in zip(found, weights, strict=True)
        }


def homes(
    asked: Asked, portfolio: Portfolio, market: Market, book: Mapping[str, Rules], *, siloed: Callable[[], Asked]
) -> Homes:
    """Return where a regime meets its requirements.

    Parameters
    ----------
    asked : requirements, credits
        Of the regime itself.
    book : mapping of id to Rules
        Every rule; the parameter `collateral` of a proposal is read.
    siloed : callable
        What the same book asks without any proposal; called where pots stay apart.

    Raises
    ------
    InputError
        The switch is neither `follow` nor `stay`.
    """
    found = {each.ruleset: _switch(book, each.ruleset, market) for each in asked[0]}
    switches = {id: read for id, read in found.items() if read is not None}
    if not switches:
        own_places = {(each.level, id): _place(each) for each in reversed(asked[0]) for id in each.positions}
        return Homes(own_places, asked_by_place(*asked))
    today = _today(portfolio, market)
    places: dict[tuple[str, str], Place] = {}
    moves: dict[Place, Place] = {}
    for each in asked[0]:
        switch, own = switches.get(each.ruleset), _place(each)
        for key in ((each.level, id) for id in each.positions):
            before = own if switch is None else today.get(key, own)
            places.setdefault(key, before if switch is not None and switch.value == STAY else own)
            if switch is not None and switch.value == FOLLOW and before != own:
                moves[before] = own
    apart = asked_by_place(*siloed()) if any(each.value == STAY for each in switches.values()) else {}
    return Homes(places, {**asked_by_place(*asked), **apart}, moves, switches)


def asked_by_place(requirements: Iterable[Requirement], credits: Iterable[Credit]) -> dict[Place, float]:
    """Return what requirements less credits come to in each place, USD."""
    found: dict[Place, list[float]] = {}
    entries: list[Requirement | Credit] = [*requirements, *credits]
    for each in entries:
        found.setdefault(_place(each), []).append(each.line.value)
    return {place: fsum(amounts) for place, amounts in found.items()}


def _switch(book: Mapping[str, Rules], ruleset: str, market: Market) -> Read | None:
    """Return the parameter `collateral` of a proposal, None of any other rule and where a proposal has none."""
    if ruleset not in book or book[ruleset].kind != "proposal":
        return None
    p = book[ruleset].at(market.as_of)
    if (switch := p.optional("collateral")) not in (None, FOLLOW, STAY):
        fix = suggestion(str(switch), (FOLLOW, STAY))
        raise InputError([Problem(f"unknown {switch!r}.", f"{ruleset}, collateral", fix)])
    return next(iter(p.taken()), None)


def _today(portfolio: Portfolio, market: Market) -> dict[tuple[str, str], Place]:
    """Return level and position -> the place of today's silo, at a clearing house and at the firm."""
    found: dict[tuple[str, str], Place] = {}
    cases = (case_of(portfolio, position, market.as_of) for position in portfolio.positions)
    for pool in pools(cases, TODAY, {}):
        at_firm = Place(pool.owner, pool.firm, CARRYING_FIRM, pool.account_class)
        for position in pool.positions:
            if at_firm.level == "customer":
                found["customer", position.id] = at_firm
            if pool.pot != CARRYING_FIRM:
                found["clearing", position.id] = evolve(at_firm, pot=pool.pot)
    return found


def _place(asked: Requirement | Credit) -> Place:
    pot = CARRYING_FIRM if asked.level == "customer" else asked.pot
    return Place(asked.owner, asked.firm, pot, asked.account_class)


def _pool(asked: Requirement | Credit) -> tuple[str, str, str]:
    return asked.pool, asked.pot, asked.level


def _divided(asked: Requirement | Credit, shares: Mapping[Place, float]) -> Iterable[Requirement]:
    """Yield a requirement, or what is credited against one, as it is met in several places."""
    if not shares and isinstance(asked, Requirement):
        yield asked
    for place, share in shares.items():
        line = asked.line if share == 1.0 else scaled(f"{asked.line.name}, share met here", share, asked.line)
        pool = f"{asked.pool}, met as {place}"
        where = {"firm": place.firm, "account_class": place.account_class.value}
        ruleset, ids = (asked.ruleset, asked.positions) if isinstance(asked, Requirement) else (asked.arrangement, ())
        yield Requirement(pool, place.owner, place.pot, asked.level, ruleset, ids, line, **where)


def _following(
    posted: Sequence[Posted], moves: Mapping[Place, Place], needs: Mapping[Place, Line], book: Book
) -> Iterator[Posted]:
    """Yield the deposits, those in pots that are replaced divided: as much of each stays as the old pot still asks."""
    held: dict[Place, list[Posted]] = {}
    for each in posted:
        held.setdefault(each.place, []).append(evolve(each, passed_on=""))
    ids = {each.id for each in posted}
    for place, mine in held.items():
        stays = _share_kept(mine, needs.get(place), book) if place in moves else 1.0
        for each in mine:
            if stays:
                yield evolve(each, quantity=stays * each.quantity)
            if stays < 1.0:
                to, id = moves[place], f"{each.id} (moved)"
                moved = evolve(each, owner=to.owner, pot=to.pot, account_class=to.account_class)
                yield evolve(moved, id=id if id not in ids else f"{id} to {to}", quantity=(1.0 - stays) * each.quantity)


def _share_kept(held: Iterable[Posted], need: Line | None, book: Book) -> float:
    """Return the share of its deposits that a pot needs for what it still asks."""
    worth = fsum(book.lendable(each, book.market_value(each)).value for each in held)
    asked = 0.0 if need is None else need.value
    return min(1.0, asked / worth) if worth > 0.0 else float(asked > 0.0)
