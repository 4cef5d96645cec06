"""The figures of many accounts: totals by regime and level, what they leave out, and the report of any account."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from crossmargin.batch.completing import Reported, Rows, reported
from crossmargin.batch.engines import Engine, Progress
from crossmargin.batch.planning import CREDIT, Gap, Plan
from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, counted, suggestion
from crossmargin.margin import margin
from crossmargin.portfolio import Portfolio
from crossmargin.pricing.many_pools import Holdings
from crossmargin.regimes import SILOED, Regime
from crossmargin.results import LEVELS, Report

_BITS = 64  # of a word


@frozen(eq=False, repr=False)
class Batch:
    """The figures of many accounts.

    Attributes
    ----------
    plan : Plan
        What was measured.
    accounts : array [n_accounts]
        What accounts are called.
    template : array of int [n_accounts]
        The template that each is like.
    values : array [n_accounts, n_figures]
        Amount of each of `plan.figures`, USD: a requirement is never negative, a credit never positive. Figures of
        another template are 0.
    tails : array [n_accounts, n_tails]
        The losses behind them, of the tails of each of `plan.kinds` in turn, USD, never negative.
    error_bound : array [n_accounts]
        How far a loss can be from that of exact arithmetic, USD; single precision only, 0 otherwise. Times the factor
        of the reducer, where it has one.
    reported : Reported or None
        What reports say where formulas leave something out, of a batch that is `completed`.
    """

    plan: Plan
    accounts: NDArray[Any]
    template: NDArray[np.int64]
    values: FloatArray
    tails: FloatArray
    error_bound: FloatArray
    held: Holdings
    places: NDArray[np.int64]
    reported: Reported | None = None

    def __repr__(self) -> str:
        """Return how much there is, in one line."""
        names = ", ".join(each.name for each in self.plan.regimes)
        return (
            f"<Batch: {counted(len(self.accounts), 'account')}, {counted(len(self.plan.products), 'product')}; {names}>"
        )

    def completed(self, *, engine: Engine = None, progress: Progress | bool | None = None) -> Batch:
        """Return the batch with reports where formulas leave something out: every total that of its report.

        Such accounts are margined one by one by the spine, some milliseconds each, over scenarios, revalued products
        and prices that are made once for all of them. Figures that are whole stay as they are, and so does a batch of
        which all are. An account that the spine refuses stays as it is too, and `gaps` say why.

        Parameters
        ----------
        engine : None, str, executor or client, optional
            Where accounts are margined, as in `margin_many`; the result is the same to the last bit.
        progress : callable or bool, optional
            Called with the shards done, those there are, and the name of the last; see `engines.run`.

        Raises
        ------
        InputError
            No such engine.
        """
        whole = np.array([[self.whole(regime, level) for level in LEVELS] for regime in self.plan.regimes])
        wanted = np.moveaxis(~whole, -1, 0)
        some = np.flatnonzero(wanted.any(axis=(1, 2)))
        if not some.size or self.reported is not None:
            return self
        found = reported(self.plan, self._rows(some, wanted[some]), engine=engine, progress=progress)
        return evolve(self, reported=found.spread(some, len(self.accounts)))

    def gross(self, regime: Regime | str, level: str = "clearing") -> FloatArray:
        """Return the requirements of one level before credit, [n_accounts], USD."""
        return self._sum(regime, level, credits=False)

    def credit(self, regime: Regime | str, level: str = "clearing") -> FloatArray:
        """Return the credits of one level, [n_accounts], USD, never positive."""
        return self._sum(regime, level, requirements=False)

    def total(self, regime: Regime | str, level: str = "clearing") -> FloatArray:
        """Return requirements less credits of one level, [n_accounts], USD: what `Report.total` says of each.

        Where `whole` says no, the report has more than this. An account of which nothing is modelled, whose report has
        no total, stands with 0: `gaps` and `unmodelled` tell.

        Raises
        ------
        InputError
            The batch has no such regime, or nobody has such a level.
        """
        return self._sum(regime, level)

    def whole(self, regime: Regime | str, level: str = "clearing") -> NDArray[np.bool_]:
        """Return whether the total of each account is that of its report, [n_accounts].

        Then the batch left nothing out; what reports leave out too is in `gaps` and `unmodelled`.
        """
        regime = self._known(regime, level)
        found = np.ones(len(self.accounts), dtype=bool)
        for gap, touched in self._gaps:
            if gap.reported and (gap.regime, gap.level) == (regime, level):
                found &= ~touched
        return found

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """What totals leave out, each with the number of accounts that it touches; those that touch none are dropped.

        What the report has and the batch leaves out comes first, then what nobody models.
        """
        counted: dict[Gap, int] = {}
        for gap, touched in self._gaps:
            counted[gap] = counted.get(gap, 0) + int(touched.sum())
        found = [evolve(gap, accounts=count) for gap, count in counted.items() if count]
        return tuple(sorted(found, key=lambda gap: not gap.reported))

    @property
    def not_modelled(self) -> tuple[str, ...]:
        """What totals leave out though reports have it, in words, with the accounts that it touches."""
        told = (gap for gap in self.gaps if gap.reported)
        return tuple(
            f"{gap.regime}, {gap.level}, {gap.pot}: {gap.what} ({counted(gap.accounts, 'account')})" for gap in told
        )

    def unmodelled(self, regime: Regime | str) -> NDArray[np.int64]:
        """Return how many net positions of each account have no amount under a regime, at whatever level: [n_accounts].

        Raises
        ------
        InputError
            The batch has no such regime.
        """
        name = self._known(regime, LEVELS[0])
        held, counts = self.held, np.diff(self.held.starts[:: self.held.n_silos])
        account = np.repeat(np.arange(len(counts)), counts)
        missing = np.zeros((len(self.plan.kinds), len(self.plan.products)), dtype=bool)
        for number, kind in enumerate(self.plan.kinds):
            missing[number, list(frozenset(range(len(self.plan.products))) - kind.takes(name))] = True
        template = np.empty(len(counts), dtype=np.int64)
        template[self.places] = self.template
        none = missing[template[account], held.row_ids[: len(held.quantities)]]
        found = np.bincount(account[none], minlength=len(counts))[self.places]
        number = [each.name for each in self.plan.regimes].index(name)
        return found if self.reported is None else found - self.reported.modelled[:, number]

    def digest(self) -> str:
        """Return a hash of plan, accounts, losses and figures: the same for any order of rows and number of threads.

        It covers `Plan.digest` (rules, market, scenarios), every loss found on the P&L that was given, and every figure
        that totals are made of.
        """
        found = hashlib.sha256(self.plan.digest().encode())
        for account in self.accounts.tolist():
            found.update(repr(account).encode() + b"\0")
        found.update(self.template.astype("<i8").tobytes())
        for amounts in (self.values, self.tails):
            found.update((amounts + 0.0).astype("<f8").tobytes())
        if self.reported is not None:
            found.update((self.reported.amounts + 0.0).astype("<f8").tobytes())
        return found.hexdigest()

    def place(self, account: object) -> int:
        """Return where an account stands in `accounts`.

        Raises
        ------
        InputError
            The batch has no such account.
        """
        where = np.flatnonzero(self.accounts == account)
        if not where.size:
            raise InputError([Problem(f"no account {account!r}.", "batch", "Take one of `accounts`.")])
        return int(where[0])

    def portfolio_of(self, account: object) -> Portfolio:
        """Return the portfolio of one account, positions netted by product.

        Raises
        ------
        InputError
            The batch has no such account.
        """
        place = self.place(account)
        first, last = (self.held.starts[(int(self.places[place]) + n) * self.held.n_silos] for n in (0, 1))
        rows = zip(self.held.row_ids[first:last].tolist(), self.held.quantities[first:last].tolist(), strict=True)
        kind = int(self.template[place])
        positions = [self.plan.position(f"{account}-{n}", *row, kind=kind) for n, row in enumerate(rows)]
        return evolve(self.plan.portfolio, accounts=[self.plan.kinds[kind].account], positions=positions)

    def report_of(self, account: object, regime: Regime | str = SILOED) -> Report:
        """Return the full report of one account by the spine: the same figures to the cent, with all behind them."""
        return margin(self.portfolio_of(account), self.plan.market, regime, rules=self.plan.rules)

    def _sum(self, regime: Regime | str, level: str, *, requirements: bool = True, credits: bool = True) -> FloatArray:
        regime = self._known(regime, level)
        mine = [
            n
            for n, figure in enumerate(self.plan.figures)
            if (figure.regime, figure.level) == (regime, level) and (credits if figure.kind == CREDIT else requirements)
        ]
        found = np.asarray(self.values[:, mine].sum(axis=1))
        if self.reported is None:
            return found
        told = self._told(regime, level)[:, [n for n, asked in enumerate((requirements, credits)) if asked]]
        return np.where(np.isnan(told[:, 0]), found, told.sum(axis=1))

    def _known(self, regime: Regime | str, level: str) -> str:
        """Return the name of a regime of the batch."""
        names, name = [each.name for each in self.plan.regimes], str(getattr(regime, "name", regime))
        if name not in names:
            raise InputError([Problem(f"no regime {name!r}.", "batch", suggestion(name, names))])
        if level not in LEVELS:
            raise InputError([Problem(f"unknown level {level!r}.", "level", suggestion(str(level), LEVELS))])
        return name

    @cached_property
    def _gaps(self) -> list[tuple[Gap, NDArray[np.bool_]]]:
        """What is left out, and the accounts [n_accounts] that hold something that it is about."""
        found = []
        for number, kind in enumerate(self.plan.kinds):
            touched = self._touched(number, {products for _, products in kind.gaps})
            found += [(gap, touched[products]) for gap, products in kind.gaps]
        if self.reported is None:
            return found
        left = [(gap, touched & np.isnan(self._told(gap.regime, gap.level)[:, 0])) for gap, touched in found]
        every = np.arange(len(self.accounts))
        return [*left, *((gap, np.isin(every, places)) for gap, places in self.reported.gaps)]

    def _told(self, regime: str, level: str) -> FloatArray:
        """Return what reports say, [n_accounts, 2]: gross and credit, NaN where formulas answer."""
        if self.reported is None:
            return np.full((len(self.accounts), 2), np.nan)
        names = [each.name for each in self.plan.regimes]
        return self.reported.amounts[:, names.index(regime), LEVELS.index(level)]

    def _rows(self, accounts: NDArray[np.int64], wanted: NDArray[np.bool_]) -> Rows:
        """Return what some accounts hold."""
        begins = self.held.starts[:: self.held.n_silos]
        places = self.places[accounts]
        counts = begins[places + 1] - begins[places]
        starts = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(begins[places] - starts[:-1], counts) + np.arange(starts[-1])
        return Rows(self.template[accounts], starts, self.held.row_ids[rows], self.held.quantities[rows], wanted)

    def _touched(self, kind: int, sets: Iterable[frozenset[int]]) -> dict[frozenset[int], NDArray[np.bool_]]:
        """Return which accounts of a template hold any product of each set: all sets of a word in one pass."""
        product, counts = (
            self.held.row_ids[: len(self.held.quantities)],
            np.diff(self.held.starts[:: self.held.n_silos]),
        )
        holding, mine = np.flatnonzero(counts), self.template == kind
        begins = self.held.starts[:: self.held.n_silos][holding]
        found = {}
        for some in _batched(sets, _BITS):
            bits = np.zeros(len(self.plan.products), dtype=np.uint64)
            for n, products in enumerate(some):
                bits[list(products)] |= np.uint64(1 << n)
            words = np.zeros(len(counts), dtype=np.uint64)
            if holding.size:
                words[holding] = np.bitwise_or.reduceat(bits[product], begins)
            words = words[self.places]
            for n, products in enumerate(some):
                found[products] = mine & ((words & np.uint64(1 << n)) != 0)
        return found


def _batched(sets: Iterable[frozenset[int]], size: int) -> Iterator[tuple[frozenset[int], ...]]:
    """Yield sets, so many at a time."""
    left = iter(sets)
    while some := tuple(islice(left, size)):
        yield some
