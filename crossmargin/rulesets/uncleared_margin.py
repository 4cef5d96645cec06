"""Which rule on uncleared swaps binds a pair of parties, and what its threshold and transfer amount leave of a figure.

`applicable(pair, rules)` decides for each regulator's rule, with every failed condition. `margin_of_categories` adds
broad categories without offset, `collectible` takes off the threshold, `transfer` keeps back small amounts. The margin
itself comes from `schedule_im`, `sbs_standardised`, `finra_4240` or a model. Cross-border rules, affiliates and the
choice to follow another regulator's rule are not here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import date

from attrs import evolve, frozen

from crossmargin.eligibility import Decision, Reason, failures
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Condition, Reader, Rules
from crossmargin.portfolio import Pool
from crossmargin.results import Line, largest, scaled, smallest, total
from crossmargin.scenarios import ScenarioSpec


@frozen
class Party:
    """One side of an uncleared trade: what it is registered as, who supervises it, how much its group trades.

    `financial` tells a financial from a commercial end user and does not matter for dealers; `intermediary` a
    financial market intermediary. `average_notional` is the group's average aggregate notional of uncleared swaps, USD.
    """

    id: str
    swap_dealer: bool = False
    security_based_dealer: bool = False
    broker_dealer: bool = False
    prudential: bool = False
    financial: bool = True
    intermediary: bool = False
    average_notional: float = 0.0

    @property
    def dealer(self) -> bool:
        """Whether it is registered as a dealer of either kind of swap."""
        return self.swap_dealer or self.security_based_dealer


@frozen
class Pair:
    """A trade between the party that would have to collect margin and its counterparty."""

    party: Party
    counterparty: Party
    as_of: date
    security_based: bool = False
    id: str = ""

    @property
    def product(self) -> str:
        """What is traded, in a decision's words."""
        return "security-based swap" if self.security_based else "swap"


PairTest = Callable[[Pair, Reader], bool]
PROGRAMMES: Mapping[str, str] = {
    "prudential": "12 CFR 1221 and its like: banks",
    "cftc": "17 CFR 23.152 to 23.154",
    "sec": "17 CFR 240.18a-3",
    "finra": "FINRA Rule 4240",
}


def applicable(pair: Pair, rules: Rules) -> tuple[Decision, ...]:
    """Return for each regulator whether its rule has the party collect initial margin on the trade.

    Every condition of a programme, named `programme_...` in the rule's file, must hold; the decision keeps all that
    fail. A programme without a condition in force on the date does not apply.

    Parameters
    ----------
    rules : Rules
        `crossmargin.rules("uncleared_margin")`, overlaid or as shipped.

    Raises
    ------
    InputError
        An average notional that is no amount.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> dealer, fund = Party("dealer", swap_dealer=True), Party("fund", average_notional=2e10)
    >>> found = applicable(Pair(dealer, fund, date(2026, 6, 30)), rules("uncleared_margin"))
    >>> [decision.programme for decision in found if decision.allowed]
    ['cftc']
    """
    problems = Problems()
    for side in (pair.party, pair.counterparty):
        if not (math.isfinite(side.average_notional) and side.average_notional >= 0):
            fix = "Give 0 or more USD."
            problems.add(f"average_notional is {side.average_notional}.", where=f"party {side.id!r}", fix=fix)
    problems.raise_if_any()
    return tuple(_decide(programme, pair, rules) for programme in PROGRAMMES)


def margin_of_categories(margins: Mapping[str, Line], p: Reader) -> Line:
    """Return the initial margin over broad categories of products, USD: their sum, nothing offsets across them.

    Parameters
    ----------
    margins : mapping of category to Line
        Each category's own margin, USD, 0 or more.

    Raises
    ------
    InputError
        Unknown categories, negative margins.

    References
    ----------
    17 CFR 23.154(b)(2)(v), from memory: offsets within a broad risk category only.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> p = rules("uncleared_margin").at(date(2026, 6, 30))
    >>> margin_of_categories({"credit": Line("a", 3.0), "equity": Line("b", 4.0)}, p).value
    7.0
    """
    problems, known = Problems(), tuple(p.broad_categories)
    for category, line in margins.items():
        if category not in known:
            problems.add(f"unknown category {category!r}.", where="categories", fix=suggestion(category, known))
        if line.value < 0:
            problems.add(f"margin is {line.value}.", where=category, fix="Give 0 or more: a credit offsets nothing.")
    problems.raise_if_any()
    lines = [evolve(margins[category], name=category) for category in known if category in margins]
    return total("initial margin of all categories", lines, reads=p.taken())


def collectible(margin: Line, p: Reader, *, used: float = 0.0) -> Line:
    """Return the initial margin that must change hands: what is above the group's threshold, never negative, USD.

    Parameters
    ----------
    used : float
        Part of the threshold that the groups already apply to other trades with one another, USD.

    References
    ----------
    17 CFR 23.154(a)(3) and (4): no part of the threshold is applied twice, the result is not less than zero.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> p = rules("uncleared_margin").at(date(2026, 6, 30))
    >>> collectible(Line("model", 8e7), p, used=1e7).value
    40000000.0
    """
    if not (math.isfinite(used) and used >= 0):
        raise InputError([Problem(f"used is {used}.", "threshold", "Give 0 or more USD.")])
    threshold = Line("threshold", p.initial_margin_threshold)
    taken = smallest("already applied", [Line("applied elsewhere", used), threshold])
    left = total("threshold left", [threshold, scaled("less what is applied", -1.0, taken)], reads=p.taken())
    above = total("above the threshold", [margin, scaled("less the threshold left", -1.0, left)])
    return largest("initial margin to collect", [above, Line("nothing", 0.0)])


def transfer(required: Line, held: float, p: Reader, *, separately_managed: bool = False) -> Line:
    """Return what moves today, USD: above zero to be collected, below to be returned, 0 within the transfer amount.

    Parameters
    ----------
    required : Line
        Initial and variation margin required together: the transfer amount is one for both.
    held : float
        What is held against it, USD.
    separately_managed : bool
        Whether the account is one of several that different managers run for one owner.

    References
    ----------
    CFTC, margin rule of 2016 and its amendment for separately managed accounts, FR Doc 2020-27508.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> p = rules("uncleared_margin").at(date(2026, 6, 30))
    >>> transfer(Line("required", 2.4e6), 2e6, p).value, transfer(Line("required", 2.6e6), 2e6, p).value
    (0.0, 600000.0)
    """
    if not math.isfinite(held):
        raise InputError([Problem(f"is {held}.", "held", "Give a finite number of USD.")])
    least = p.separate_account_transfer_amount if separately_managed else p.minimum_transfer_amount
    missing = total("missing", [required, Line("less what is held", -held)])
    moves = 1.0 if abs(missing.value) > least else 0.0
    return scaled("transfer", moves, missing, reads=p.taken())


# ---------------------------------------------------------------------------------------------- as a pool's rule-set


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: nothing is measured here."""
    return ()


def requirement(pool: Pool, _inputs: Inputs, _p: Reader) -> Line:
    """Return every position of a pool as not modelled: this frame says who collects, other rule-sets how much."""
    why = "this frame decides who collects margin; schedule_im, sbs_standardised or a model say how much"
    return total("uncleared_margin requirement", unmodelled(pool.positions, why))


# ---------------------------------------------------------------------------------------------------------- conditions


def _material(pair: Pair, p: Reader) -> bool:
    exposed: bool = pair.counterparty.average_notional > p.material_exposure
    return exposed


def _dealer_or_financial(pair: Pair, p: Reader) -> bool:
    other = pair.counterparty
    return other.dealer or (other.financial and _material(pair, p))


TESTS: Mapping[str, PairTest] = {
    "prudential_dealer": lambda pair, _: pair.party.dealer and pair.party.prudential,
    "prudential_counterparty": _dealer_or_financial,
    "cftc_dealer": lambda pair, _: pair.party.swap_dealer and not pair.party.prudential,
    "cftc_product": lambda pair, _: not pair.security_based,
    "cftc_counterparty": _dealer_or_financial,
    "sec_dealer": lambda pair, _: pair.party.security_based_dealer and not pair.party.prudential,
    "sec_product": lambda pair, _: pair.security_based,
    "sec_counterparty": lambda pair, _: pair.counterparty.dealer or pair.counterparty.financial,
    "sec_no_intermediary": lambda pair, _: not (pair.counterparty.dealer or pair.counterparty.intermediary),
    "finra_member": lambda pair, _: pair.party.broker_dealer and not pair.party.security_based_dealer,
    "finra_product": lambda pair, _: pair.security_based,
}


def _decide(programme: str, pair: Pair, rules: Rules) -> Decision:
    p = rules.at(pair.as_of)
    mine = [condition for condition in rules.conditions if condition.id.startswith(f"{programme}_")]
    binding = [condition for condition in mine if condition.applies(pair.as_of, condition.origin[0])]
    failed = failures(binding, TESTS, pair, p)
    name = pair.id or f"{pair.party.id} and {pair.counterparty.id}"
    allowed = bool(binding) and not failed
    return Decision(programme, name, pair.product, allowed, failed or (() if allowed else _not_yet(programme, mine)))


def _not_yet(programme: str, conditions: Iterable[Condition]) -> tuple[Reason, ...]:
    first = min(condition.start for condition in conditions)
    about, cure = f"{PROGRAMMES[programme]} is in force", f"Choose an as_of from {first} on."
    return (Reason("in_force", about, cure, PROGRAMMES[programme], "assumed"),)
