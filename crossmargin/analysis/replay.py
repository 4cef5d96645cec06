"""What books were asked for day by day, held: a `Replay`, which the time machine makes and back-tests read.

`Replay.requirement` gives any part of it, `series` and `coverage` what statistics take. Nothing here margins anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from math import nan
from typing import TypeAlias

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from crossmargin.analysis.backtest import Procyclicality, procyclicality
from crossmargin.analysis.coverage import Coverage, Observed, covered
from crossmargin.analysis.margin_series import Gap, MarginSeries
from crossmargin.columns import FloatArray, as_dates
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.results import LEVELS

Who: TypeAlias = tuple[str, str, str]  # regime, owner, firm


@frozen
class Unit:
    """Who is asked by whom: regime, `clearing` or `customer`, owner, firm, and the pot that the money lies in."""

    regime: str
    level: str
    owner: str
    firm: str
    pot: str

    def is_in(self, part: Mapping[str, str]) -> bool:
        """Whether this is of a part named by some of the fields."""
        return all(getattr(self, name) == value for name, value in part.items())


@frozen(eq=False)
class Replay:
    """The figures of one book, day by day.

    Attributes
    ----------
    book : str
    dates : tuple of date [n_days]
        The days margined, oldest first; `gaps` names those asked for that are missing.
    rows, horizon_days : array of int [n_days]
        Row of the history of each day, and over how many rows its profit and loss is taken.
    asked, credited : mapping of Unit to array [n_days]
        Requirements, >= 0, and credits of arrangements, <= 0, USD; 0 on days without, NaN where all is unknown.
    gained : mapping of (regime, owner, firm) to array [n_days]
        What came of the positions that clearing houses had asked for, USD, gain > 0; NaN where nobody knows.
    gaps : tuple of Gap
    notes : tuple of str
        What the figures rest on and leave out.
    """

    book: str
    dates: tuple[date, ...] = field(converter=as_dates)
    rows: NDArray[np.int64]
    horizon_days: NDArray[np.int64]
    asked: Mapping[Unit, FloatArray]
    credited: Mapping[Unit, FloatArray]
    gained: Mapping[Who, FloatArray]
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def regimes(self) -> tuple[str, ...]:
        """The regimes that asked for something, in the order of the call."""
        return tuple(dict.fromkeys(unit.regime for unit in self.asked))

    def requirement(self, regime: str, level: str = "clearing", **only: str) -> FloatArray:
        """Return what one level asked for, credits taken off, [n_days] USD; `owner`, `firm` or `pot` choose a part.

        NaN on days on which nothing of it is modelled; what a known figure leaves out stands in `notes`.

        Raises
        ------
        InputError
            A regime or level that is not there, or a part that never was asked for anything.
        """
        problems, wanted = Problems(), {"regime": regime, "level": level, **only}
        for name, value in wanted.items():
            known = LEVELS if name == "level" else dict.fromkeys(getattr(unit, name, "") for unit in self.asked)
            if value not in known:
                problems.add(f"no {name} {value!r}.", where=self.book, fix=suggestion(value, known))
        problems.raise_if_any()
        asked, credited = (
            np.array([amounts for unit, amounts in table.items() if unit.is_in(wanted)]).reshape(-1, len(self.dates))
            for table in (self.asked, self.credited)
        )
        total: FloatArray = np.where(np.isfinite(asked).any(axis=0), np.nansum(asked, axis=0), nan)
        total += np.nansum(credited, axis=0)
        return total

    def series(self, regime: str, owner: str, firm: str) -> MarginSeries:
        """Return what clearing houses asked of one owner at one firm, and what came of it: for `backtest`."""
        requirement = self.requirement(regime, owner=owner, firm=firm)
        horizon = int(self.horizon_days.max(initial=0))
        known = self.gained.get((regime, owner, firm), np.zeros(len(self.dates)))
        return MarginSeries(
            f"{self.book}, {owner} at {firm}",
            regime,
            horizon,
            confidence=None,
            dates=self.dates,
            requirement=requirement,
            pnl=known,
            gaps=self.gaps,
            notes=self.notes,
        )

    def procyclicality(self, regime: str, level: str = "clearing", *, horizon_days: int = 1) -> Procyclicality | None:
        """Return how far what is asked swings from day to day; None where it is 0 on some day or on too few days."""
        requirement = self.requirement(regime, level)
        if len(requirement) <= horizon_days or not (requirement > 0.0).all():
            return None
        return procyclicality(requirement, horizon_days)

    def coverage(self, confidence: float = 0.99) -> tuple[Coverage, ...]:
        """Return how each owner's requirement at each firm did: what `coverage` returns, from these figures.

        Raises
        ------
        InputError
            A confidence out of range.
        """
        if not 0.0 < confidence < 1.0:
            raise InputError([Problem(f"{confidence!r} is out of range.", "confidence", "Give a share such as 0.99.")])
        owed = {who: self.requirement(who[0], owner=who[1], firm=who[2]) for who in self.gained}
        days = [
            Observed(
                row,
                int(self.horizon_days[n]),
                asked={who: float(amounts[n]) for who, amounts in owed.items()},
                gained={who: float(amounts[n]) for who, amounts in self.gained.items()},
                left_out=frozenset(),
            )
            for n, row in enumerate(self.rows.tolist())
            if all(np.isfinite(amounts[n]) for amounts in self.gained.values())
        ]
        return covered(days, confidence, first=next(iter(self.regimes), ""))
