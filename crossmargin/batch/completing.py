"""What formulas leave out of a batch, from the spine: accounts margined one by one over what is made once for all.

`Batch.completed()` calls `reported(plan, rows)`. Scenario sets, revalued products, prices, chains of options and
eligibility are those of the plan; an account adds its positions. Nothing here knows a rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from crossmargin.batch.engines import Engine, Progress, opened, run
from crossmargin.batch.formulas import Numbers, Scenarios
from crossmargin.batch.planning import Gap, Plan
from crossmargin.columns import FloatArray
from crossmargin.eligibility import Decision
from crossmargin.errors import CrossMarginError, InputError
from crossmargin.margin import decided, margin, prepare
from crossmargin.portfolio import Portfolio
from crossmargin.regimes import Regime
from crossmargin.registry import rulebook
from crossmargin.results import LEVELS, Line, Report, Requirement
from crossmargin.run import Run

SHARD = 250  # accounts: a second or so


@frozen(eq=False)
class Rows:
    """Net positions of accounts that want reports.

    Attributes
    ----------
    template : array of int [n_accounts]
    starts : array of int [n_accounts + 1]
        Where the positions of each begin.
    product : array of int [n_positions]
        By number, each once in an account.
    quantity : array [n_positions]
    wanted : array of bool [n_accounts, n_regimes, n_levels]
        Of which regimes and levels.
    """

    template: NDArray[np.int64]
    starts: NDArray[np.int64]
    product: NDArray[np.int32]
    quantity: FloatArray
    wanted: NDArray[np.bool_]

    def some(self, first: int, last: int) -> Rows:
        """Return the accounts from `first` to before `last`."""
        starts = self.starts[first : last + 1]
        held = slice(int(starts[0]), int(starts[-1]))
        mine = slice(first, last)
        return Rows(self.template[mine], starts - starts[0], self.product[held], self.quantity[held], self.wanted[mine])

    def held(self, account: int) -> list[tuple[int, float]]:
        """Return product and quantity of each position of an account."""
        mine = slice(int(self.starts[account]), int(self.starts[account + 1]))
        return list(zip(self.product[mine].tolist(), self.quantity[mine].tolist(), strict=True))


@frozen(eq=False)
class Reported:
    """What reports say of accounts.

    Attributes
    ----------
    amounts : array [n_accounts, n_regimes, n_levels, 2]
        Requirements before credit, then credits, never positive, USD; NaN where no report was wanted or made.
    gaps : tuple of (Gap, array of int)
        What reports leave out, or why there is none, and the places of the accounts.
    modelled : array of int [n_accounts, n_regimes]
        Net positions that a report has an amount for, and no formula.
    """

    amounts: FloatArray
    gaps: tuple[tuple[Gap, NDArray[np.int64]], ...]
    modelled: NDArray[np.int64]

    def spread(self, places: NDArray[np.int64], n_accounts: int) -> Reported:
        """Return the same among more accounts, where those here stand at `places`."""
        amounts = np.full((n_accounts, *self.amounts.shape[1:]), np.nan)
        modelled = np.zeros((n_accounts, self.modelled.shape[1]), dtype=np.int64)
        amounts[places], modelled[places] = self.amounts, self.modelled
        return Reported(amounts, tuple((gap, places[mine]) for gap, mine in self.gaps), modelled)


def reported(plan: Plan, rows: Rows, *, engine: Engine = None, progress: Progress | bool | None = None) -> Reported:
    """Return what reports say of accounts, the same to the last bit on any engine.

    An account that the spine refuses has no amounts, and a gap that says why.

    Raises
    ------
    InputError
        No such engine.
    CrossMarginError
        Accounts were lost again and again.
    """
    count = len(rows.template)
    bounds = list(pairwise([*range(0, count, SHARD), count]))
    names = [f"reports {first:,} to {last - 1:,}" for first, last in bounds]
    asked = tuple(regime for n, regime in enumerate(plan.regimes) if rows.wanted[:, n].any())
    tasks = [rows.some(*each) for each in bounds]
    with opened(engine) as ready:
        ground = _ground(plan, asked, np.unique(rows.product).tolist())
        found = run(_of_shard, ground, tasks, engine=ready, progress=progress, names=names)
    reasons: dict[Gap, list[NDArray[np.int64]]] = {}
    for (first, _), each in zip(bounds, found, strict=True):
        for gap, mine in each.gaps:
            reasons.setdefault(gap, []).append(mine + first)
    amounts, modelled = (np.concatenate([getattr(each, name) for each in found]) for name in ("amounts", "modelled"))
    return Reported(amounts, tuple((gap, np.concatenate(mine)) for gap, mine in reasons.items()), modelled)


# ------------------------------------------------------------------------------------------ what is made once for all


@frozen(eq=False)
class _Ground:
    """What accounts of a plan are margined from; without `run`, what each needs is made for it alone.

    `takes` are the products that formulas have an amount for, template by template and regime by regime.
    """

    plan: Plan
    takes: tuple[tuple[Numbers, ...], ...]
    run: Run | None
    _told: dict[tuple[int, str], tuple[set[str], dict[str, dict[str, Decision]]]] = field(factory=dict, init=False)

    def answers(self, kind: int, held: Iterable[tuple[int, float]], regimes: Iterable[Regime]) -> list[Report | str]:
        """Return the report of an account under each regime, or why there is none."""
        bare = self.plan.portfolio
        positions = [self.plan.position(str(n), n, quantity, kind=kind) for n, quantity in held]
        try:
            portfolio = evolve(bare, accounts=[bare.accounts[kind]], positions=positions)
        except CrossMarginError as error:
            return [_why(error) for _ in regimes]
        run = self._run(portfolio)
        return [self._answer(portfolio, run, kind, regime) for regime in regimes]

    def _answer(self, portfolio: Portfolio, run: Run | None, kind: int, regime: Regime) -> Report | str:
        try:
            if run is None:
                return margin(portfolio, self.plan.market, regime, rules=self.plan.rules)
            return evolve(run, decided=self._decided(run, kind, regime)).report(regime)
        except CrossMarginError as error:
            return _why(error)

    def _run(self, portfolio: Portfolio) -> Run | None:
        """Return what an account is margined from as a part of the plan; None where its tickers are other things there.

        Regimes share it: no rule-set is asked twice about the same positions.
        """
        if self.run is None:
            return None
        every = self.run.inputs
        mine = evolve(every, portfolio=portfolio, part_of=every)
        return Run(mine, self.run.book, {}) if mine.securities.items() <= every.securities.items() else None

    def _decided(self, run: Run, kind: int, regime: Regime) -> dict[str, tuple[Decision, ...]]:
        """Return who takes each position: template and product decide, so that each pair of them is asked once."""
        portfolio = run.inputs.portfolio
        asked, told = self._told.setdefault((kind, regime.name), (set(), {}))
        new = [each for each in portfolio.positions if each.id not in asked]
        if new or not told:
            found = decided(evolve(portfolio, positions=new), self.plan.market.as_of, (regime,), run.book)
            for id, taken in found.items():
                told.setdefault(id, {}).update({each.position: each for each in taken})
            asked.update(each.id for each in new)
        held = [each.id for each in portfolio.positions]
        return {id: tuple(taken[each] for each in held if each in taken) for id, taken in told.items()}


def _ground(plan: Plan, regimes: tuple[Regime, ...], held: Iterable[int]) -> _Ground:
    """Return what is made once for the products held, and of the plan what accounts need."""
    needed = evolve(plan, kinds=(), scenarios=Scenarios(plan.products, plan.market))
    every = evolve(plan.portfolio, positions=[plan.position(str(n), n, 1.0) for n in held])
    takes = tuple(tuple(kind.takes(each.name) for each in plan.regimes) for kind in plan.kinds)
    return _Ground(needed, takes, _prepared(every, plan, regimes))


def _prepared(every: Portfolio, plan: Plan, regimes: tuple[Regime, ...]) -> Run | None:
    """Return what the spine prepares for all that is held; None where it refuses, so that each account is told why."""
    try:
        run = prepare(every, plan.market, regimes, rulebook(plan.rules), waived=True)
        len(run.inputs.prices)  # made here, once for all workers
    except CrossMarginError:
        return None
    return evolve(run, decided={})


# ------------------------------------------------------------------------------------------------------- one by one


def _of_shard(ground: _Ground, rows: Rows) -> Reported:
    """Return what reports say of the accounts of a shard."""
    amounts = np.full((*rows.wanted.shape, 2), np.nan)
    modelled = np.zeros(rows.wanted.shape[:2], dtype=np.int64)
    reasons: dict[Gap, list[int]] = {}
    for account, kind in enumerate(rows.template.tolist()):
        wanted = rows.wanted[account]
        numbers = np.flatnonzero(wanted.any(axis=1)).tolist()
        answers = ground.answers(kind, rows.held(account), [ground.plan.regimes[n] for n in numbers])
        for n, answer in zip(numbers, answers, strict=True):
            levels = [level for level, asked in zip(LEVELS, wanted[n], strict=True) if asked]
            for gap in _gaps(answer, ground.plan.regimes[n].name, levels):
                reasons.setdefault(gap, []).append(account)
            if isinstance(answer, Report):
                made = [(answer.gross(level) or 0.0, answer.credit(level) or 0.0) for level in levels]
                amounts[account, n, wanted[n]] = made
                modelled[account, n] = len(_counted(answer) - ground.takes[kind][n])
    return Reported(amounts, tuple((gap, np.array(mine)) for gap, mine in reasons.items()), modelled)


def _gaps(answer: Report | str, regime: str, levels: Sequence[str]) -> dict[Gap, None]:
    """Return what an answer leaves out at some levels: charges by name, positions by reason, as formulas tell them."""
    if isinstance(answer, str):
        return dict.fromkeys(Gap(regime, level, "", answer, reported=False) for level in levels)
    return {
        Gap(regime, each.level, each.pot, line.note if _position(line, each) else line.name, reported=False): None
        for each in answer.requirements
        if each.level in levels
        for line in _missing(each)
    }


def _counted(report: Report) -> set[int]:
    """Return the products that a report has an amount for; what a pool leaves out, nobody passes on."""
    without: dict[str, set[str]] = {}
    for each in report.requirements:
        without.setdefault(each.pool, set()).update(_position(line, each) for line in _missing(each))
    known = (each for each in report.requirements if each.line.amount is not None)
    return {int(id) for each in known for id in each.positions if id not in without[each.pool]}


def _missing(asked: Requirement) -> Iterator[Line]:
    return (line for line in asked.line.walk() if line.how == "not_modelled")


def _position(line: Line, asked: Requirement) -> str:
    """Return the position that a line is about, or ""."""
    id = line.name.partition(":")[0]
    return id if id in asked.positions else ""


def _why(error: CrossMarginError) -> str:
    """Return why the spine refuses an account, without the places, which are the account's own."""
    said = " ".join(each.what for each in error.problems) if isinstance(error, InputError) else str(error)
    return f"no report: {said}"
