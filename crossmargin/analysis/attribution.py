"""Why two regimes ask for different margin: the difference shared among its causes, and among what is held.

Call `attribute(portfolio, market, base, other)`. The causes are steps from the one regime to the other; since what a
step does depends on which others were taken before, each has its mean effect over all orders (`shapley`), so that no
order is preferred and the steps add up. What is held is divided by position, and from there by account and asset class.

Which steps there are, and what each changes, is `between_regimes`; the division by position is `euler`. Collateral
changes no requirement: it is a step of what must be brought beyond what is posted, `attribute(..., of="deficit")`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from html import escape
from importlib import import_module
from itertools import combinations
from math import factorial, fsum, isclose, isfinite
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from crossmargin.analysis.between_regimes import (
    COLLATERAL,
    CREDIT,
    ELIGIBILITY,
    FLOORS,
    MODEL,
    POOLING,
    Between,
    between,
)
from crossmargin.analysis.euler import pool_name, position_shares
from crossmargin.errors import InputError, NumericalError, Problem, Problems, listed, several, suggestion
from crossmargin.margin import collateral_report
from crossmargin.market import Market
from crossmargin.parameters import Rules
from crossmargin.portfolio import Portfolio
from crossmargin.products.options import FUTURE_OPTION_KINDS
from crossmargin.products.security_based import CREDIT_KINDS
from crossmargin.products.swaps import CLEARING, kinds_at
from crossmargin.records import as_tuple
from crossmargin.regimes import CROSS_MARGIN, SILOED, Regime
from crossmargin.registry import rulebook
from crossmargin.results import LEVELS, Line, Report, bridged, known_sum, not_modelled, total_line
from crossmargin.tables import PROPOSED, money

MOST_STEPS = 12  # 4096 values: more is a mistake
REQUIREMENT, DEFICIT = "requirement", "deficit"
ABOUT: Mapping[str, str] = MappingProxyType(
    {
        POOLING: "which positions are margined together, each under the rule-sets it had",
        MODEL: "which rule-set margins a pool, and with it the horizon, without floors and add-ons",
        FLOORS: "floors, add-ons, caps and minima of rule-sets, programmes and proposals",
        CREDIT: "percentage credit between pots",
        ELIGIBILITY: "conditions that somebody could meet: papers, registrations, memberships, accounts",
        COLLATERAL: "where the requirement is met, which deposits count there and after which haircuts",
    }
)
_ASSET_CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Treasuries": (
            "treasury_bill",
            "treasury_note",
            "treasury_bond",
            "treasury_frn",
            "tips",
            "strips",
        ),
        "repo": ("repo", "reverse_repo"),
        "interest-rate futures": ("treasury_future", "short_rate_future", FUTURE_OPTION_KINDS[0]),
        "interest-rate swaps": tuple(kind for place in CLEARING for kind in kinds_at(place)),
        "credit": (*CREDIT_KINDS, "corporate_bond", "bond_total_return_swap"),
    }
)
_CLASS_OF = {kind: name for name, kinds in _ASSET_CLASSES.items() for kind in kinds}
_OTHER_CLASS = "equity"
_NOBODY = "not divided"
_NAMED = 2  # of what is left out


@frozen
class Share:
    """What one thing has of both totals, USD: a position, an account, an asset class or a pot; a hedge has < 0.

    None where nothing of it is modelled.
    """

    name: str
    base: float | None
    other: float | None

    @property
    def change(self) -> float | None:
        """What `other` asks for more than `base`, USD; None where one of the two is."""
        return None if self.base is None or self.other is None else self.other - self.base


@frozen
class Attribution:
    """The difference between two regimes' totals at one level, shared among steps and among what is held, USD.

    `line` is the total of `other` as the sum of the total of `base` and the steps; where nothing of one of the two is
    modelled, steps have no amount. `by_position`, `by_account`, `by_asset_class` and `by_pot` each add up to what is
    known of both totals; what no position can be said to cause stands as `not divided`, with its pool. `states` says
    what every set of steps asks for, None where nothing of that is modelled, `notes` what to beware of. Of a deficit
    (`of`) `by_pot` alone is told. `statuses` are those of the two regimes; `status` is `in_force` only where both are.
    """

    base: str
    other: str
    level: str
    status: str
    line: Line
    by_position: tuple[Share, ...] = field(default=(), converter=as_tuple)
    by_account: tuple[Share, ...] = field(default=(), converter=as_tuple)
    by_asset_class: tuple[Share, ...] = field(default=(), converter=as_tuple)
    by_pot: tuple[Share, ...] = field(default=(), converter=as_tuple)
    states: Mapping[frozenset[str], float | None] = field(factory=dict)
    notes: tuple[str, ...] = field(default=(), converter=as_tuple)
    as_of: date | None = field(default=None, kw_only=True)
    of: str = field(default=REQUIREMENT, kw_only=True)
    statuses: Mapping[str, str] = field(factory=dict, kw_only=True)

    @property
    def steps(self) -> tuple[Line, ...]:
        """The mean effect of each step, USD, < 0 where it lowers the requirement."""
        return self.line.parts[1:]

    def step(self, name: str) -> float | None:
        """Return the mean effect of one step, USD; None where nothing of a total or of a state is modelled.

        Raises
        ------
        InputError
            The two regimes do not differ in such a step.
        """
        known = {line.name: line.amount for line in self.steps}
        if name not in known:
            raise InputError([Problem(f"no step {name!r}.", "attribution", suggestion(name, known))])
        return known[name]

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record for the start, each step, the total and each share: what a waterfall is drawn from."""
        told = {"as_of": str(self.as_of or ""), "of": self.of, "base_status": self._status(self.base)}
        named = {"base": self.base, "other": self.other, "level": self.level, "status": self.status, **told}
        lines = [("start", self.line.parts[0]), *(("step", line) for line in self.steps), ("total", self.line)]
        found = [{**named, "kind": kind, "name": line.name, "amount": line.amount} for kind, line in lines]
        for kind in ("pot", "account", "asset_class", "position"):
            for share in getattr(self, f"by_{kind}"):
                both = {"amount": share.change, "base_amount": share.base, "other_amount": share.other}
                found.append({**named, "kind": kind, "name": share.name, **both})
        return found

    def plot(self) -> Any:
        """Return a picture of the steps (extra `plots`): `crossmargin.plots.waterfall`."""
        return import_module("crossmargin.plots").waterfall(self)  # a layer above, and an extra

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the records and the notes as JSON, with the statuses of both regimes."""
        statuses = {name: self._status(name) for name in (self.base, self.other)}
        plain = {"statuses": statuses, "notes": self.notes, "records": self.to_records()}
        return json.dumps(plain, indent=indent, allow_nan=False)

    def _status(self, regime: str) -> str:
        return self.statuses.get(regime, self.status)

    def __str__(self) -> str:
        """Return the steps and the larger shares as aligned text."""
        return "\n".join("  ".join(cells).rstrip() for cells in _aligned(self._rows())) + "\n"

    def _repr_html_(self) -> str:
        rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in self._rows())
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"

    def _rows(self) -> list[tuple[str, str, str, str]]:
        said = f" ({PROPOSED})" if self.status == "proposed" else ""
        what = "" if self.of == REQUIREMENT else f"{self.of}, "
        rows = [(f"{self.base} to {self.other}, {what}{self.level}, USD{said}", "", "", "")]
        rows += [(_labelled(line), "", "", money(line.amount)) for line in (*self.line.parts, self.line)]
        for title in ("pot", "account", "asset_class"):
            if not (shares := getattr(self, f"by_{title}")):
                continue
            rows.append((f"by {title.replace('_', ' ')}", self.base, self.other, "change"))
            rows += [(f"  {each.name}", money(each.base), money(each.other), money(each.change)) for each in shares]
        return rows + [(f"note: {note}", "", "", "") for note in self.notes]


def attribute(
    portfolio: Portfolio,
    market: Market,
    base: Regime | str = SILOED,
    other: Regime | str = CROSS_MARGIN,
    *,
    level: str = "clearing",
    of: str = REQUIREMENT,
    rules: Iterable[Rules] = (),
) -> Attribution:
    """Return why `other` asks for more or less than `base`.

    Parameters
    ----------
    portfolio, market
        As for `margin.compare`.
    base, other : Regime or str
        Where the bridge starts and ends.
    level : str
        `clearing` or `customer`: levels never add.
    of : str
        `requirement`, or `deficit`: what must be brought beyond the deposits that count, as `collateral_report` has it.
    rules : iterable of Rules
        Overlaid, as for `compare`.

    Returns
    -------
    Attribution
        Steps and shares, USD. A step < 0 lowers the requirement.

    Raises
    ------
    InputError
        An unknown level or `of`, and whatever `compare` and `collateral_report` refuse.
    NumericalError
        The steps do not lead from the one total to the other: a fault of this library.

    Notes
    -----
    ==========================  ======================================================================================
    step                        taken, a thing is as in `other`, and else as in `base`
    ==========================  ======================================================================================
    pooling                     which positions are margined together: in the pools of a proposal or a one-pot
                                programme, or in silos. Pooled under the rule-sets of silos, the positions of each
                                rule-set are margined together, whichever accounts they lie in; in silos under a
                                common model, each silo is margined by it alone.
    model and horizon           the rule-set of each pool, with its measure, horizon and look-back.
    floors and add-ons          what rules put on top: the parameters to which their `.toml` gives a `neutral` value
                                (floors, charges for concentration and liquidity, buffers, caps of programmes,
                                guardrails of proposals). They are neutral unless the regime whose floors are taken
                                margins one of the pool's positions by that rule.
    arrangement credit          percentage credit of two-pot programmes.
    eligibility                 conditions of programmes that only one of the two has; not taken, those are waived
                                that somebody could meet. Those that nothing cures (the product is not on the list)
                                always bind.
    collateral and segregation  of a deficit only: the pots in which requirements are met, the deposits that lie
                                there, and their haircuts. A pool of several such pots is divided as the regime
                                divides them.
    ==========================  ======================================================================================

    Only steps in which the two regimes differ stand there. All sets of steps are evaluated over one P&L matrix; what a
    requirement leaves out in some of them only is said in `notes`.

    References
    ----------
    Shapley (1953), A value for n-person games.

    Examples
    --------
    >>> from crossmargin.samples import basis_trade
    >>> bridge = attribute(*basis_trade())
    >>> bridge.step("eligibility") > 0 > bridge.step("arrangement credit")
    True
    """
    _refuse_unknown(level, LEVELS, "level")
    _refuse_unknown(of, (REQUIREMENT, DEFICIT), "of")
    overlaid = (rules,) if isinstance(rules, Rules) else several("rules", rules, Rules, "Give rules in a list.")
    ways = between(portfolio, market, (base, other), rulebook(overlaid))
    reports = (ways.run.report(ways.base), ways.run.report(ways.other))
    states: dict[frozenset[str], float | None] = {}

    def asked(taken: frozenset[str]) -> float:
        states[taken] = ways.total(taken, level) if of == REQUIREMENT else ways.deficit(taken, level)
        return states[taken] or 0.0  # where one state has no figure, no step has: see `_bridge`

    effects = shapley(asked, [step for step in ways.steps if of == DEFICIT or step != COLLATERAL])
    ends, shares = _told(reports, level, ways, overlaid=overlaid if of == DEFICIT else None)
    names, statuses = (ways.base.name, ways.other.name), [report.status for report in reports]
    return Attribution(
        *names,
        level,
        next((status for status in reversed(statuses) if status != "in_force"), "in_force"),
        line=_bridge(effects, states, ends),
        states=states,
        notes=_notes(ways, states, of),
        as_of=market.as_of,
        of=of,
        statuses=dict(zip(names, statuses, strict=True)),
        **shares,
    )


def shapley(value: Callable[[frozenset[str]], float], steps: Iterable[str]) -> dict[str, float]:
    """Return the mean effect of each step over all orders in which they can be taken.

    Parameters
    ----------
    value : callable
        Steps taken in, figure out (USD). Called once for each of the 2^n sets.
    steps : iterable of str
        At most `MOST_STEPS`, each once.

    Returns
    -------
    dict
        Step -> its effect: they add up to `value(all) - value(none)`, reckoned in fractions and rounded once each.

    Raises
    ------
    InputError
        Too many steps, or one twice.
    NumericalError
        A value that is not finite.

    References
    ----------
    Shapley (1953), A value for n-person games, Contributions to the Theory of Games 2, 307-317.

    Examples
    --------
    Two offsets, each of which is worth less after the other: 100 at first, 60 with a, 70 with b, 50 with both.

    >>> asked = {"": 100.0, "a": 60.0, "b": 70.0, "ab": 50.0}
    >>> shapley(lambda taken: asked["".join(sorted(taken))], ["a", "b"])
    {'a': -30.0, 'b': -20.0}
    """
    names = tuple(steps)
    _check(names)
    subsets = [frozenset(taken) for count in range(len(names) + 1) for taken in combinations(names, count)]
    values = {taken: _exact(value(taken), taken) for taken in subsets}
    orders = [factorial(count) * factorial(len(names) - count - 1) for count in range(len(names))]
    found = {}
    for name in names:
        without = (taken for taken in subsets if name not in taken)
        gains = (orders[len(taken)] * (values[taken | {name}] - values[taken]) for taken in without)
        found[name] = float(sum(gains, Fraction(0)) / factorial(len(names)))
    return found


def _check(names: tuple[str, ...]) -> None:
    problems = Problems()
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        problems.add("stands twice.", where=f"step {name!r}", fix="Name each step once.")
    if len(names) > MOST_STEPS:
        problems.add(f"{len(names)} steps.", where="steps", fix=f"Give at most {MOST_STEPS}: all sets are evaluated.")
    problems.raise_if_any()


def _exact(value: float, taken: frozenset[str]) -> Fraction:
    if not isfinite(value):
        raise NumericalError(f"The value of {sorted(taken)} is {value}.")
    return Fraction(value)


def _refuse_unknown(word: str, known: Iterable[str], where: str) -> None:
    given: object = word
    if not isinstance(given, str) or word not in known:
        raise InputError([Problem(f"unknown {word!r}.", where, suggestion(str(word), known))])


def _told(
    reports: tuple[Report, Report], level: str, ways: Between, *, overlaid: tuple[Rules, ...] | None
) -> tuple[list[Line], dict[str, Any]]:
    """Return both ends of the bridge as the library reports them, and what they are shared among; deficits if asked."""
    if overlaid is None:
        asked = [[each.line for each in report.entries if each.level == level] for report in reports]
        return _ends(reports, asked), _Shares(reports, level, ways).all()
    portfolio, market = ways.inputs.portfolio, ways.inputs.market
    brought = [collateral_report(portfolio, market, report, rules=overlaid) for report in reports]
    short = [[(each.pot, each.deficit) for each in one.balances if each.level == level] for one in brought]
    pots = _of_pots([(pot, line.amount) for pot, line in one] for one in short)
    return _ends(reports, [[line for _, line in one] for one in short]), {"by_pot": pots}


def _ends(reports: Iterable[Report], lines: Iterable[Iterable[Line]]) -> list[Line]:
    return [total_line(f"{report.regime} total", mine) for report, mine in zip(reports, lines, strict=True)]


def _bridge(effects: Mapping[str, float], states: Mapping[frozenset[str], float | None], ends: Sequence[Line]) -> Line:
    """Return the figure of the second regime as that of the first and the steps; the states must end at both."""
    for end, state in zip(ends, (states[frozenset()], states[frozenset(effects)]), strict=True):
        unlike = (end.amount is None) != (state is None)
        if unlike or not isclose(end.value, state or 0.0, rel_tol=1e-9, abs_tol=1e-6):
            raise NumericalError(f"The steps lead to {state}, the regime asks for {end.amount}.")
    steps = [Line(name, amount, note=ABOUT[name]) for name, amount in effects.items()]
    if None in states.values() and None not in (ends[0].amount, ends[1].amount):
        steps = [not_modelled(name, "nothing is modelled between the two, with some steps taken") for name in effects]
    return bridged(ends[0], steps, ends[1])


def _notes(ways: Between, states: Iterable[frozenset[str]], of: str) -> tuple[str, ...]:
    """Say which figures some states leave out and the two regimes do not: a step that leads there looks too cheap."""
    ends = ways.left_out(()) | ways.left_out(ways.steps)
    extra = sorted({name for taken in states for name in ways.left_out(taken) - ends})
    said = [f"not modelled in some states only: {listed(extra)}"] if extra else []
    if of == DEFICIT and not ways.inputs.portfolio.posted:
        said.append("nothing is posted: the whole requirement must be brought, and collateral is no cause")
    named = listed(sorted(ends), most=_NAMED)
    return (*said, *([f"0.00 may be what is not modelled: both totals leave out {named}"] if ends else []))


@frozen
class _Shares:
    """Both totals, divided."""

    reports: tuple[Report, ...]
    level: str
    ways: Between

    def all(self) -> dict[str, tuple[Share, ...]]:
        """Return the shares by position, account, asset class and pot, by the name of their field."""
        base, other = (self._of(report) for report in self.reports)
        positions = {position.id: position for position in self.ways.inputs.portfolio.positions}
        names = dict.fromkeys([*positions, *base, *other])
        each = [Share(name, base.get(name, 0.0), other.get(name, 0.0)) for name in names]
        accounts = {id: position.account for id, position in positions.items()}
        classes = {id: _asset_class(position.product.kind) for id, position in positions.items()}
        return {
            "by_position": tuple(each),
            "by_account": _grouped(each, self._gathered(accounts)),
            "by_asset_class": _grouped(each, self._gathered(classes)),
            "by_pot": self._by_pot(),
        }

    def _of(self, report: Report) -> dict[str, float | None]:
        """Return the share of each position, None where nobody models it, and what is not divided of each pool."""
        drawn = [each.positions for one in self.reports for each in one.requirements]
        by_pool = position_shares(report, self.level, self.ways.inputs, self.ways.run.book, drawn=drawn)
        parts: dict[str, list[float]] = {}
        for pool, shares in by_pool.items():
            for id, amount in shares.items():
                parts.setdefault(id or f"{_NOBODY}: {pool}", []).append(amount)
        asked = [each for each in report.requirements if each.level == self.level]
        unknown = (id for each in asked if each.line.amount is None for id in each.positions)
        known = {id for each in asked if each.line.amount is not None for id in each.positions}
        unmodelled = dict.fromkeys(id for id in unknown if id not in known)
        return {**unmodelled, **{id: fsum(amounts) for id, amounts in parts.items()}}

    def _gathered(self, groups: Mapping[str, str]) -> dict[str, str]:
        """Return the group of each position, and of each pool all of whose positions are of one group."""
        pools: dict[str, set[str]] = {}
        for report in self.reports:
            for each in report.requirements:
                name = f"{_NOBODY}: {pool_name(report, each)}"
                pools.setdefault(name, set()).update(groups[id] for id in each.positions)
        return {**groups, **{pool: found.pop() for pool, found in pools.items() if len(found) == 1}}

    def _by_pot(self) -> tuple[Share, ...]:
        told = ([entry for entry in report.entries if entry.level == self.level] for report in self.reports)
        return _of_pots([(entry.pot, entry.line.amount) for entry in entries] for entries in told)


def _of_pots(told: Iterable[Iterable[tuple[str, float | None]]]) -> tuple[Share, ...]:
    """Return the shares of pots from amounts of the one regime and of the other."""
    found: dict[str, tuple[list[float | None], list[float | None]]] = {}
    for side, amounts in enumerate(told):
        for pot, amount in amounts:
            found.setdefault(pot, ([], []))[side].append(amount)
    return tuple(Share(pot, known_sum(base), known_sum(other)) for pot, (base, other) in found.items())


def _grouped(shares: Iterable[Share], group: Mapping[str, str]) -> tuple[Share, ...]:
    """Return the shares of groups; what asks for nothing tells nothing of a group of which nothing else is known."""
    found: dict[str, tuple[list[float | None], list[float | None]]] = {}
    for share in shares:
        base, other = found.setdefault(group.get(share.name, _NOBODY), ([], []))
        base += [share.base] if share.base != 0.0 else []
        other += [share.other] if share.other != 0.0 else []
    return tuple(Share(name, known_sum(base), known_sum(other)) for name, (base, other) in found.items())


def _labelled(line: Line) -> str:
    return f"{line.name} (partial)" if line.partial and line.amount is not None else line.name


def _asset_class(kind: str) -> str:
    return _CLASS_OF.get(kind, _OTHER_CLASS)


def _aligned(rows: list[tuple[str, str, str, str]]) -> Iterable[tuple[str, ...]]:
    """Yield the rows with their columns aligned; a row of one cell is a heading and widens nothing."""
    cells = [row for row in rows if any(row[1:])]
    widths = [max((len(row[column]) for row in cells), default=0) for column in range(4)]
    for row in rows:
        numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield (row[0].ljust(widths[0]), *numbers)
