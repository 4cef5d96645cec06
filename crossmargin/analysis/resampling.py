"""A calculation repeated on scenarios drawn anew: every simulated loss in it, and all that follows from them.

`Draws` says which scenarios each resample takes, the same stretches of history in every scenario set; `redrawn` gives
one figure for each resample in place of the one that a line has. Only `evidence` calls it. Nothing is margined here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from math import ceil
from typing import TypeAlias

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from crossmargin.analysis.euler import Tail, Walk
from crossmargin.columns import FloatArray
from crossmargin.methodology import Inputs
from crossmargin.results import Line
from crossmargin.scenarios import ScenarioSpec

Drawn: TypeAlias = FloatArray | float
"""One figure for each resample, or the same for all."""
NET = "clearing requirement less credit"  # on which a customer's share is reckoned


@frozen(eq=False)
class Draws:
    """Which scenarios each of `resamples` takes: circular blocks of `block` neighbours, begun at the same places.

    A place is a share of a scenario set's length, so that sets of the same dates are drawn alike.
    """

    inputs: Inputs
    resamples: int
    block: int
    seed: int
    _places: FloatArray = field(init=False, repr=False)
    _taken: dict[ScenarioSpec, NDArray[np.intp]] = field(factory=dict, init=False, repr=False)
    _tails: dict[tuple[object, ...], FloatArray] = field(factory=dict, init=False, repr=False)

    @_places.default
    def _drawn_places(self) -> FloatArray:
        longest = max((pnl.values.shape[1] for pnl in self.inputs.pnl.values()), default=1)
        return np.random.default_rng(self.seed).random((self.resamples, ceil(longest / self.block)))

    def taken(self, spec: ScenarioSpec) -> NDArray[np.intp]:
        """Return the scenarios [resamples, n_scenarios] of each resample of a scenario set."""
        if spec not in self._taken:
            n = self.inputs.pnl[spec].values.shape[1]
            starts = np.floor(self._places[:, : ceil(n / self.block)] * n).astype(np.intp)
            rows = (starts[:, :, None] + np.arange(self.block)) % n
            self._taken[spec] = rows.reshape(self.resamples, -1)[:, :n]
        return self._taken[spec]

    def loss(self, tail: Tail) -> FloatArray:
        """Return the simulated loss [resamples], never negative, USD."""
        key = frozenset(position.id for position in tail.positions), tail.spec, tail.reducer
        if key not in self._tails:
            pooled = self.inputs.pooled(tail.positions, tail.spec)
            self._tails[key] = np.maximum(0.0, tail.reducer.of_pnl(pooled[self.taken(tail.spec)]))
        return self._tails[key]


def redrawn(
    walks: Iterable[tuple[str, Walk]], draws: Draws, below: Mapping[str, Drawn] | None = None
) -> dict[str, Drawn]:
    """Return, pool by pool, what is asked less credit in each resample, USD.

    Parameters
    ----------
    walks : iterable of (pool, Walk)
        Requirements and credits of one level.
    below : mapping, optional
        For the customer level: what is asked at the clearing level, of which customers owe a share.
    """
    found: dict[str, Drawn] = {}
    for pool, walk in walks:
        net = None if below is None else below.get(pool)
        found[pool] = found.get(pool, 0.0) + _of(walk.root, walk, draws, net)
    return found


def _of(line: Line, walk: Walk, draws: Draws, net: Drawn | None) -> Drawn:
    if line.name == NET and net is not None:
        return net
    tail = walk.tail(line)
    if tail is not None:
        return draws.loss(tail)
    parts = [_of(part, walk, draws, net) for part in line.parts if part.amount is not None]
    if not parts or all(isinstance(part, float) for part in parts):
        return line.value
    return _arithmetic(line, parts)


def _arithmetic(line: Line, parts: list[Drawn]) -> Drawn:
    """Return what follows from parts as `results.Line` has it, for all resamples at once."""
    if line.how == "sum":
        return reduce(np.add, parts)
    if line.how == "root_sum_square":
        return np.asarray(np.sqrt(reduce(np.add, [np.square(part) for part in parts])))
    if line.how in ("max", "minimum"):
        return reduce(np.maximum if line.how == "max" else np.minimum, parts)
    if line.how == "reduction":
        combined, standalone = np.broadcast_arrays(*parts)
        saved = 1.0 - np.divide(combined, standalone, out=np.ones(combined.shape), where=standalone != 0.0)
        return np.asarray(np.maximum(0.0, saved))
    return reduce(np.multiply, parts) * line.factor
