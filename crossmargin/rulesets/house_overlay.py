"""House terms: what a firm asks of customers beyond any rule, as multiplier, speculators' ratio, add-on and minimum.

`on_top(requirements, p)` says what every customer account owes more than its requirements under the rules, whichever
rule-sets these come from; `overlay(line, terms)` puts terms on one figure. Terms are the firm's policy, overlaid as
`terms`; they are for customers, never for the house, and never below what the rules ask. Rates inside a rule-set, such
as a broker's own strategy rates, are overlays of that rule-set; as the rule-set of a pool this one models nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, fields_dict, frozen

from crossmargin.accounts import AccountClass
from crossmargin.errors import Problems, is_number, suggestion
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool, Portfolio
from crossmargin.results import Line, Requirement, largest, not_modelled, scaled, total
from crossmargin.scenarios import ScenarioSpec


def _names(values: Any) -> Any:
    return (values,) if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)


@frozen(kw_only=True)
class HouseTerms:
    """What one firm asks of some customers; terms that meet on an account are combined (see `overlay`).

    Parameters
    ----------
    firm : str
        Carrying firm; "" for every firm.
    owners, account_classes : tuple of str
        Whose accounts, and of which segregation class; empty for all.
    multiplier : float
        Factor on what the rules ask, >= 1.
    speculators : bool
        Whether owners that are not among `hedgers` owe the speculators' ratio as well.
    hedgers : tuple of str
    add_on, minimum : float
        USD for each account, >= 0.
    because : str
        Why, for who reads the report.

    Raises
    ------
    InputError
        Every figure out of range (terms milder than the rules among them), an account class that is none.
    """

    firm: str = ""
    owners: tuple[str, ...] = field(default=(), converter=_names)
    account_classes: tuple[str, ...] = field(default=(), converter=_names)
    multiplier: float = 1.0
    speculators: bool = False
    hedgers: tuple[str, ...] = field(default=(), converter=_names)
    add_on: float = 0.0
    minimum: float = 0.0
    because: str = ""

    def __attrs_post_init__(self) -> None:
        problems, where = Problems(), f"house terms of {self.firm or 'every firm'}"
        for name, least in (("multiplier", 1), ("add_on", 0), ("minimum", 0)):
            value = getattr(self, name)
            if not is_number(value) or value < least:
                fix = f"House terms are never milder than the rules: give {least} or more."
                problems.add(f"{value!r} is no number, or too low.", where=f"{where}, {name}", fix=fix)
        classes = [each.value for each in AccountClass]
        for name in self.account_classes:
            if name not in classes:
                problems.add(f"unknown class {name!r}.", where=where, fix=suggestion(str(name), classes))
        ids: tuple[object, ...] = (*self.owners, *self.hedgers)
        for id in ids:
            if not isinstance(id, str):
                problems.add(f"{id!r} is no id.", where=f"{where}, owners, hedgers", fix="Give ids of customers.")
        if self.speculators not in (True, False):
            problems.add(f"{self.speculators!r} is no flag.", where=f"{where}, speculators", fix="Give true or false.")
        problems.raise_if_any()

    def binds(self, firm: str, owner: str, account_class: str) -> bool:
        """Whether the terms are for an account."""
        named = (
            (not self.owners or owner in self.owners),
            (not self.account_classes or account_class in self.account_classes),
        )
        return self.firm in ("", firm) and all(named)


def house_terms(rows: Iterable[Mapping[str, Any]]) -> tuple[HouseTerms, ...]:
    """Return terms from plain rows, as they are overlaid.

    Raises
    ------
    InputError
        Everything wrong with all of them: unknown fields too.

    Examples
    --------
    >>> house_terms([{"firm": "DUAL", "multiplier": 1.2}])[0].multiplier
    1.2
    """
    problems, known, found = Problems(), fields_dict(HouseTerms), []
    for number, row in enumerate(rows, start=1):
        unknown = sorted(set(row) - set(known))
        for name in unknown:
            problems.add(f"unknown field {name!r}.", where=f"house terms, row {number}", fix=suggestion(name, known))
        with problems.collecting():
            found.append(HouseTerms(**{name: value for name, value in row.items() if name not in unknown}))
    problems.raise_if_any()
    return tuple(found)


def overlay(line: Line, terms: Iterable[HouseTerms], *, owner: str = "", speculator_ratio: float = 1.0) -> Line:
    """Return what an account owes under house terms: the line itself where these ask no more.

    The largest multiplier counts, times the speculators' ratio where any terms ask that of the owner; add-ons are
    added, and the largest minimum is the floor: further terms never lower the figure.

    Parameters
    ----------
    line : Line
        What the rules ask of the account, USD.
    terms : iterable of HouseTerms
        Those that bind the account.
    owner : str
        Whose account it is.
    speculator_ratio : float
        Initial over maintenance requirement of who does not hedge, >= 1.

    Examples
    --------
    >>> terms = [HouseTerms(multiplier=1.25, add_on=500.0), HouseTerms(minimum=2_000.0)]
    >>> overlay(Line("requirement", 1_000.0), terms).amount, overlay(Line("requirement", 4_000.0), terms).amount
    (2000.0, 5500.0)
    """
    binding = tuple(terms)
    factor = max((each.multiplier for each in binding), default=1.0)
    factor *= speculator_ratio if any(_speculates(each, owner) for each in binding) else 1.0
    minimum = max((each.minimum for each in binding), default=0.0)
    add_on = math.fsum(each.add_on for each in binding)
    asked = line
    if factor > 1.0 and line.value >= 0:  # a multiple of less than nothing would ask less
        asked = scaled("at the house multiplier", factor, asked)
    if add_on:
        asked = total("with the house add-on", [asked, Line("house add-on", add_on)])
    return largest("house minimum or more", [asked, Line("house minimum", minimum)]) if minimum else asked


def on_top(
    requirements: Iterable[Requirement], p: Reader, *, portfolio: Portfolio | None = None
) -> tuple[Requirement, ...]:
    """Return what house terms add to what every customer account owes under the rules; nothing without terms.

    An account is all that one owner holds at one firm in one segregation class: multiplier, add-on and minimum meet its
    requirements of the customer level together, whatever pots and rule-sets they come from. Those stay as they are, and
    what is returned stands beside them.

    Parameters
    ----------
    requirements : iterable of Requirement
        Of any level; those of the clearing level, and the house's own, are passed over.
    p : Reader
        Of this rule-set.
    portfolio : Portfolio, optional
        Terms that name a firm, an owner or a hedger which is not in it are refused.

    Raises
    ------
    InputError
        Terms that are none.
    """
    terms, reads = house_terms(p.terms), p.taken()
    if portfolio is not None:
        _refuse_unknown(terms, portfolio)
    accounts: dict[tuple[str, str, str], list[Requirement]] = {}
    for each in requirements if terms else ():
        if each.level == "customer" and each.account_class != AccountClass.PROPRIETARY:
            accounts.setdefault((each.firm, each.owner, each.account_class), []).append(each)
    found = []
    for account, asked in accounts.items():
        binding = [each for each in terms if each.binds(*account)]
        ratio = p.speculator_ratio if any(_speculates(each, account[1]) for each in binding) else 1.0
        base = _under_the_rules(asked)
        line = overlay(base, binding, owner=account[1], speculator_ratio=ratio)
        if line is not base:
            found.append(_beside(asked, base, evolve(line, reads=(*reads, *p.taken()))))
    return tuple(found)


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: house terms look at requirements."""
    return ()


def requirement(pool: Pool, _inputs: Inputs, _p: Reader) -> Line:
    """Return the pool's positions, each as not modelled: house terms raise what another rule-set asks."""
    return total("house_overlay requirement", unmodelled(pool.positions, "house terms are no methodology of their own"))


def _refuse_unknown(terms: Iterable[HouseTerms], portfolio: Portfolio) -> None:
    """Raise every firm and owner that terms name and the portfolio does not know: such terms would bind nobody."""
    problems = Problems()
    for each in terms:
        where = f"house terms of {each.firm or 'every firm'}"
        if each.firm and each.firm not in portfolio.firm_ids:
            problems.add(f"unknown firm {each.firm!r}.", where=where, fix=suggestion(each.firm, portfolio.firm_ids))
        for id in dict.fromkeys((*each.owners, *each.hedgers)):
            if id not in portfolio.owners:
                problems.add(f"unknown owner {id!r}.", where=where, fix=suggestion(id, portfolio.owners))
    problems.raise_if_any()


def _speculates(terms: HouseTerms, owner: str) -> bool:
    return terms.speculators and owner not in terms.hedgers


def _under_the_rules(asked: Iterable[Requirement]) -> Line:
    """Return the requirements of one account as inputs: their own trees stand where they are reported."""
    known = [(f"{each.pot}: {each.ruleset}, as above", each.line.amount) for each in asked]
    lines = [Line(name, amount) for name, amount in known if amount is not None]
    gaps = [not_modelled("the rest", "a requirement leaves something out")] * any(each.line.partial for each in asked)
    return total("asked by the rules", [*lines, *gaps])


def _beside(asked: Sequence[Requirement], base: Line, line: Line) -> Requirement:
    """Return what house terms ask beyond the rules, as a requirement of its own: no figure where these have none."""
    first = asked[0]
    known = [] if base.amount is None else [Line("asked by the rules, as above", base.amount)]
    less = [scaled("less what the rules ask", -1.0, whole) for whole in known]
    positions = tuple(dict.fromkeys(id for each in asked for id in each.positions))
    return evolve(
        first,
        pool=f"{first.owner} / {first.firm} / {first.account_class} / house terms",
        pot=first.firm,
        ruleset="house_overlay",
        positions=positions,
        line=total("house terms", [line, *less]),
    )
