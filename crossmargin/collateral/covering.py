"""From requirements and deposits to balances: what counts against what, what is left over and what is locked.

Call `balances(requirements, credits, posted, market)`. A deposit counts at its value after the taker's haircut, up to
the taker's limits; what is not eligible counts nothing and is a decision, what has no price or no schedule counts
nothing and is a visible line. Customers never cover one another, and a dollar is never added across levels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from attrs import evolve, field, frozen

from crossmargin.accounts import AccountClass
from crossmargin.collateral.assets import unit_values
from crossmargin.collateral.balance import Balance, CollateralReport
from crossmargin.collateral.schedules import Limit, Schedules, Taker, collateral_rules
from crossmargin.collateral.walls import Walls
from crossmargin.eligibility import Decision
from crossmargin.errors import Problem, Problems, suggestion
from crossmargin.market import Market
from crossmargin.parameters import Read, Rules
from crossmargin.portfolio import Portfolio
from crossmargin.posted import CARRYING_FIRM, HOME_CURRENCY, Asset, Cash, Place, Posted, problems_with
from crossmargin.results import Credit, Line, Requirement, largest, not_modelled, scaled, smallest, total

NOTHING = Line("nothing", 0.0)
_COUNTS = "what has a value"


def balances(
    requirements: Iterable[Requirement],
    credits: Iterable[Credit],
    posted: Iterable[Posted],
    market: Market,
    *,
    portfolio: Portfolio | None = None,
    rules: Iterable[Rules] = (),
    instructed: Iterable[str] = (),
) -> CollateralReport:
    """Return required, posted, excess, deficit and locked for every pot, owner, firm and segregation class, USD.

    Parameters
    ----------
    requirements, credits
        Of a margin report. Credits lower the requirement of their pool.
    posted
        What has been delivered, and where it lies.
    market : Market
        Prices the assets; its date chooses the schedules.
    portfolio : Portfolio, optional
        Checks owners and firms, and tells a firm's affiliates, whose paper is no collateral.
    rules : iterable of Rules, optional
        Overlaid rules.
    instructed : iterable of str, optional
        Customers that let their own accounts help one another; it only changes what is locked.

    Returns
    -------
    CollateralReport
        Balances in order of first appearance, requirements before deposits.

    Raises
    ------
    InputError
        Everything wrong with deposits and requirements, in one error.
    NotInForce
        A schedule has no value on the date.

    References
    ----------
    The takers' schedules and `segregation_walls.toml` beside this module name their sources, value by value.

    Examples
    --------
    >>> from crossmargin.samples import basis_trade
    >>> need = Requirement("p", "FIRM", "CME", "clearing", "r", (), Line("r", 60.0), "FIRM", "PROPRIETARY")
    >>> euro = Posted("d", "FIRM", "FIRM", "CME", "PROPRIETARY", Cash("EUR"), 50.0)
    >>> market = evolve(basis_trade()[1], prices={"EUR": 1.10})
    >>> [balance] = balances([need], [], [euro], market).balances
    >>> round(balance.lendable.value, 2), round(balance.deficit.value, 2)
    (52.25, 7.75)
    """
    posted = tuple(posted)
    known = {} if portfolio is None else {"owners": portfolio.owners, "firms": portfolio.firm_ids}
    needs = required_lines(requirements, credits, problems_with(posted, market.as_of, **known))
    book = book_of(posted, market, portfolio=portfolio, rules=rules)
    held: dict[Place, list[Posted]] = {place: [] for place in needs}
    for each in posted:
        if each.place in needs or not _in_own_box(each.place):
            held.setdefault(each.place, []).append(each)
    found = [_balance(place, needs.get(place), mine, book) for place, mine in held.items()]
    walls = Walls(market.as_of, book.schedules.rules, instructed)
    lying = [each for mine in held.values() for each in mine]
    decisions = tuple(decision for each in lying if (decision := book.decide(each)) is not None)
    return CollateralReport(market.as_of, _walled(found, walls), decisions)


@frozen(eq=False)
class Book:
    """What every balance is made from: schedules, values of assets, and who is a party to each firm's accounts."""

    schedules: Schedules
    values: Mapping[Asset, float]
    affiliates: Mapping[str, frozenset[str]] = field(factory=dict)

    def parties(self, place: Place) -> frozenset[str]:
        """Return whose paper is no collateral in a place: the owner's, the firm's, its affiliates'."""
        return frozenset({place.owner, place.firm}) | self.affiliates.get(place.firm, frozenset())

    def decide(self, posted: Posted) -> Decision | None:
        """Return whether an asset is eligible where it lies; None where no schedule speaks of the pot."""
        taker = self.schedules.taker(posted.place)
        return None if taker is None else self.schedules.decide(posted, taker, self.parties(posted.place))

    def market_value(self, posted: Posted) -> Line:
        """Return the value of a deposit before any haircut, USD; not modelled without a price."""
        price = self.values.get(posted.asset)
        if price is None:
            return not_modelled(posted.id, f"the market has no price of {posted.asset.symbol}: it counts nothing")
        return scaled(posted.id, posted.quantity, Line(posted.asset.symbol, price, unit="USD per unit"))

    def lendable(self, posted: Posted, value: Line) -> Line:
        """Return the value of a deposit after the haircut, USD; 0 when it is not eligible."""
        taker = self.schedules.taker(posted.place)
        if taker is None:
            return not_modelled(posted.id, f"no schedule says what {posted.pot} takes: it counts nothing")
        if value.amount is None:
            return value
        term = self.schedules.term(taker, posted.asset, posted.index)
        own = posted.issuer and not self.schedules.decide(posted, taker, self.parties(posted.place)).allowed
        if term is None or own:
            return scaled(posted.id, 0.0, value, note="not eligible: see the decision")
        return scaled(posted.id, term.valuation_percentage, value, reads=term.reads)


def book_of(posted: Iterable[Posted], market: Market, *, portfolio: Portfolio | None, rules: Iterable[Rules]) -> Book:
    """Price the assets and read the schedules of the market's date."""
    firms = () if portfolio is None else portfolio.firms
    schedules = Schedules(market.as_of, collateral_rules(rules))
    values = unit_values([each.asset for each in posted], market)
    return Book(schedules, values, {firm.id: firm.affiliates for firm in firms})


def required_lines(
    requirements: Iterable[Requirement], credits: Iterable[Credit], problems: Iterable[Problem] = ()
) -> dict[Place, Line]:
    """Return what each place asks for after credit, USD, never below 0.

    Raises
    ------
    InputError
        The problems handed in, requirements without firm or account class, credits of pools that nobody margins.
    """
    found, entries = Problems(), defaultdict[Place, list[Line]](list)
    found.extend(problems)
    places: dict[tuple[str, str, str], Place] = {}
    for requirement in requirements:
        if (place := _place(requirement, found)) is not None:
            places[requirement.pool, requirement.pot, requirement.level] = place
            entries[place].append(requirement.line)
    for credit in credits:
        key = (credit.pool, credit.pot, credit.level)
        if key not in places:
            fix = suggestion(credit.pool, {pool for pool, *_ in places}) if places else ""
            found.add("credits a pool that has no requirement in this pot.", where=f"credit {credit.pool!r}", fix=fix)
        else:
            entries[places[key]].append(credit.line)
    found.raise_if_any()
    return {place: _required(lines) for place, lines in entries.items()}


def _place(requirement: Requirement, problems: Problems) -> Place | None:
    where = f"requirement {requirement.pool!r}"
    if not requirement.firm:
        problems.add("names no firm.", where=where)
    if requirement.account_class not in set(AccountClass):
        fix = suggestion(requirement.account_class, [each.value for each in AccountClass])
        problems.add(f"unknown account class {requirement.account_class!r}.", where=where, fix=fix)
        return None
    pot = CARRYING_FIRM if requirement.level == "customer" else requirement.pot
    return Place(requirement.owner, requirement.firm, pot, requirement.account_class)


def _required(lines: Sequence[Line]) -> Line:
    net = total("requirements less credits", lines)
    return net if net.value >= 0.0 else largest("required", (net, NOTHING))


def _counting(name: str, lines: Sequence[Line]) -> Line:
    """Return what deposits count for: 0, and partial, when none of them has a known value."""
    unknown = bool(lines) and all(line.amount is None for line in lines)
    return total(name, (*lines, Line(_COUNTS, 0.0)) if unknown else lines)


def _in_own_box(place: Place) -> bool:
    """Whether it is the firm's own account at itself: what lies there unasked for is nobody's collateral."""
    return place.at_firm and place.account_class.origin == "house"


def _balance(place: Place, need: Line | None, held: Sequence[Posted], book: Book) -> Balance:
    required = Line("required", 0.0, note="nothing is required here") if need is None else need
    values = [book.market_value(each) for each in held]
    worth = [book.lendable(each, value) for each, value in zip(held, values, strict=True)]
    taker = book.schedules.taker(place)
    lendable, unasked = total("value after haircuts", worth), required.amount is None
    counted = (
        _counting("value that counts", worth)
        if taker is None
        else _counted(held, worth, required, terms=_Limits(taker, book.schedules, place))
    )
    covered = smallest("covered", (required,) if unasked else (required, counted))
    used = scaled("less covered", -1.0, covered)
    made = Balance(
        level=place.level,
        owner=place.owner,
        firm=place.firm,
        pot=place.pot,
        account_class=place.account_class,
        required=required,
        market_value=total("market value", values),
        lendable=lendable,
        covered=covered,
        excess=total("excess", (lendable,) if lendable.amount is None else (lendable, used)),
        deficit=total("deficit", (required, used)),
        locked=NOTHING,
        schedules=() if taker is None else taker.schedules,
    )
    if made.excess.amount is None:
        return evolve(made, locked=total("locked", (made.excess,)))
    kept = _kept(made, taker, book.schedules)
    return evolve(made, locked=largest("locked", kept)) if kept else made


@frozen
class _Part:
    """Deposits that have been through the limits so far, and what they count for."""

    assets: tuple[Posted, ...]
    line: Line

    @property
    def home_cash(self) -> bool:
        asset = self.assets[0].asset
        return isinstance(asset, Cash) and asset.currency == HOME_CURRENCY

    def within(self, covers: Callable[[Asset], bool]) -> bool:
        return all(covers(each.asset) for each in self.assets)


@frozen
class _Limits:
    """The limits of a taker as they bind one place."""

    taker: Taker
    schedules: Schedules
    place: Place

    def all(self) -> tuple[Limit, ...]:
        return self.schedules.limits(self.taker)

    @property
    def cash_share(self) -> tuple[float, tuple[Read, ...]]:
        """The least share in home cash that binds this place, and what says so."""
        return cash_share_of(self.taker, self.schedules, self.place)


def cash_share_of(taker: Taker, schedules: Schedules, place: Place) -> tuple[float, tuple[Read, ...]]:
    """Return the least share of a requirement that must be met in USD cash in a place, and what says so."""
    share, reads = schedules.largest(taker, "cash_share")
    bound = {origin for id in taker.schedules for origin in schedules.reader(id).optional("cash_share_of") or ()}
    return (share, reads) if not bound or place.account_class.origin in bound else (0.0, ())


def _counted(held: Sequence[Posted], worth: Sequence[Line], required: Line, *, terms: _Limits) -> Line:
    """Return what deposits count for after the limits on issuers, classes and what is not cash, USD."""
    parts = [_Part((each,), line) for each, line in zip(held, worth, strict=True)]
    limits = terms.all()
    for limit in limits:
        parts = _limited(parts, limit, required)
    share, reads = terms.cash_share
    if share and parts:
        parts = _beside_cash(parts, scaled("share that need not be cash", 1.0 - share, required, reads=reads))
    counted = _counting("value that counts", [part.line for part in parts])
    return _with_target(counted, parts, required, terms=terms)


def _limited(parts: list[_Part], limit: Limit, required: Line) -> list[_Part]:
    """Put the parts that a limit speaks of together and let them count for no more than it, each issuer by itself."""
    inside = [part for part in parts if part.within(limit.covers)]
    if not inside:
        return parts
    groups: dict[str, list[_Part]] = {}
    for part in inside:
        groups.setdefault(issuer_of(part.assets[0]) if limit.per == "issuer" else limit.name, []).append(part)
    cap = limit_line(limit, required)
    return [
        *(part for part in parts if part not in inside),
        *(_capped(name, mine, cap) for name, mine in groups.items()),
    ]


def issuer_of(posted: Posted) -> str:
    """Return who issued a deposit, by its symbol where nobody says."""
    return posted.issuer or posted.asset.symbol


def limit_line(limit: Limit, required: Line) -> Line:
    """Return the most that a limit lets count, USD."""
    name = f"limit: {limit.name}"
    caps = [Line(name, limit.amount, reads=limit.reads)] if limit.amount is not None else []
    if limit.share is not None:
        caps.append(scaled(name, limit.share, required, reads=limit.reads))
    return caps[0] if len(caps) == 1 else smallest(name, caps)


def _capped(name: str, parts: Sequence[_Part], cap: Line) -> _Part:
    assets = tuple(each for part in parts for each in part.assets)
    return _Part(assets, smallest(name, (_counting(name, [part.line for part in parts]), cap)))


def _beside_cash(parts: list[_Part], cap: Line) -> list[_Part]:
    cash = [part for part in parts if part.home_cash]
    other = [part for part in parts if not part.home_cash]
    return [*cash, _capped("what is not USD cash", other, cap)] if other else cash


def _with_target(counted: Line, parts: Sequence[_Part], required: Line, *, terms: _Limits) -> Line:
    """Show beside what counts how much cash is short of the share below which the taker charges a fee."""
    target, reads = terms.schedules.largest(terms.taker, "cash_target")
    if not target:
        return counted
    cash = [part.line for part in parts if part.home_cash]
    if sum(line.value for line in cash) >= target * required.value:
        return counted
    aim = scaled("share wanted in USD cash", target, required, reads=reads)
    less = [scaled("less USD cash", -1.0, line) for line in cash]
    note = "a fee is charged on it, which is not modelled"
    return evolve(counted, memo=(total("USD cash below the target", (aim, *less), note=note),))


def _kept(balance: Balance, taker: Taker | None, schedules: Schedules) -> list[Line]:
    """Return the excess that may not leave whatever the walls: below a minimum, or where nobody knows what is owed."""
    reasons = []
    if balance.required.amount is None:
        reasons.append(scaled("requirement not known", 1.0, balance.excess))
    for row, reads in schedules.rows(taker, "minimum_deposit") if taker else ():
        if row["account_class"] == balance.account_class:
            minimum = Line("minimum deposit", float(row["amount"]), reads=reads)
            short = total("minimum less required", (minimum, scaled("less required", -1.0, balance.required)))
            above = largest("minimum beyond the requirement", (short, NOTHING))
            reasons.append(smallest("minimum deposit", (balance.excess, above)))
    return reasons


def _walled(found: Sequence[Balance], walls: Walls) -> tuple[Balance, ...]:
    """Lock the excess that could help nowhere else: its level has other balances, and walls stand before them all."""
    others = _Neighbours.of(found)
    return tuple(
        evolve(each, locked=largest("locked", (*each.locked.parts, _behind(each, names))))
        if each.excess.value > 0.0 and (names := others.walls_around(each, walls))
        else each
        for each in found
    )


def _behind(balance: Balance, walls: Iterable[str]) -> Line:
    return scaled("behind walls", 1.0, balance.excess, note=", ".join(sorted(walls)))


@frozen(eq=False)
class _Neighbours:
    """Places of one level, one for each kind that a wall can tell apart, so that thousands of customers stay quick."""

    own: Mapping[tuple[str, str, str], list[Place]]
    alike: Mapping[tuple[str, str, str, AccountClass], list[Place]]

    @classmethod
    def of(cls, found: Iterable[Balance]) -> _Neighbours:
        own: dict[tuple[str, str, str], list[Place]] = {}
        alike: dict[tuple[str, str, str, AccountClass], list[Place]] = {}
        for place in (each.place for each in found):
            own.setdefault((place.level, place.owner, place.firm), []).append(place)
            kept = alike.setdefault((place.level, place.firm, place.pot, place.account_class), [])
            if len(kept) < 2:  # another customer's is another customer's, whoever that is
                kept.append(place)
        return cls(own, alike)

    @cached_property
    def by_level(self) -> Mapping[str, list[Place]]:
        found: dict[str, list[Place]] = {}
        for (level, *_), places in self.alike.items():
            found.setdefault(level, []).extend(places)
        return found

    def walls_around(self, balance: Balance, walls: Walls) -> set[str]:
        """Return the walls that keep an excess from every other place; none where it may go somewhere, or is alone."""
        mine, level = balance.place, balance.level
        own = [other for other in self.own[level, mine.owner, mine.firm] if other != mine]
        others = [other for other in self.by_level[level] if other != mine]
        reasons = [walls.between(mine, other) for other in (*own, *others)]
        told = reasons[: len(own)] or reasons  # the owner's other accounts come to mind first
        return {reason.condition for why in told for reason in why} if all(reasons) else set()
