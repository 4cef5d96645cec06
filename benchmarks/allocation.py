"""S7: the allocation of 2,000 futures lots and a dozen trades to a two-pot account, with a proven bound.

Rows are profit and loss of rates positions moved by a level and a slope of the curve, with a basis of their own; both
models are quantiles, as at both clearing houses, so that nothing is convex. The peer is SciPy's differential evolution
over the same integers and the same totals, which proves nothing; `agreement` is how much dearer our answer is than its
best, nothing when ours is cheaper. The gap in the name of the task is what our bound leaves open.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.records import Record, compared
from crossmargin.analysis.two_pot_book import FUTURES, TREASURY, Model, Tail, TwoPotBook
from crossmargin.analysis.two_pot_search import Found, search
from crossmargin.risk import TailMeasure

LOTS = (700, 500, 400, 200, 120, 80)  # of each futures contract
N_TRADES, N_SCENARIOS, N_STRESSED = 12, 2_500, 250
CONFIDENCE, CAP, WEIGHT, FLOOR = 0.99, 0.8, 0.75, 1e-3
NODES, GENERATIONS, RUNS = 60, 40, 3
PROMISED = 0.5


def records() -> Iterator[Record]:
    """Yield S7."""
    import scipy

    book = made_up_book()
    ours, theirs = search(book, nodes=NODES), by_evolution(book)
    gap = f"{ours.gap / ours.total:.0%}"
    timings: dict[str, Any] = {**compared(partial(answer, book), partial(by_evolution, book), runs=RUNS, inner=1)}
    yield Record(
        task=f"S7 allocation of {sum(LOTS):,} lots and {N_TRADES} trades, at most {gap} from the best",
        peer="SciPy differential evolution, no bound",
        peer_version=scipy.__version__,
        at_least=PROMISED,
        agreement=max(0.0, ours.total / theirs - 1.0),
        agreement_limit=1e-3,
        instruction_set="any",
        **timings,
    )


def answer(book: TwoPotBook) -> Found:
    """Return our answer."""
    return search(book, nodes=NODES)


def made_up_book() -> TwoPotBook:
    """Return short futures that lie outside and trades of which half are directed; no figure is anybody's."""
    rng = np.random.default_rng(6)
    n = len(LOTS) + N_TRADES
    side = np.array([FUTURES] * len(LOTS) + [TREASURY] * N_TRADES)
    level = np.where(side == FUTURES, -rng.uniform(20, 180, n), rng.uniform(5e3, 28e3, n))
    loads = np.stack([level, 0.3 * level * rng.uniform(-1, 1, n)])
    common = rng.standard_t(4, (2, N_SCENARIOS)) * np.array([[5.0], [3.0]])
    one_day = loads.T @ common + 0.1 * np.abs(level)[:, None] * rng.standard_t(4, (n, N_SCENARIOS))
    three_days = np.sqrt(3.0) * one_day + 0.1 * np.abs(level)[:, None] * rng.standard_t(4, (n, N_SCENARIOS))
    stressed = 2.0 * one_day[:, rng.choice(N_SCENARIOS, N_STRESSED)]
    quantile = TailMeasure("quantile", confidence=CONFIDENCE, quantile_type=1)
    last = N_SCENARIOS + N_STRESSED
    tails = [Tail(WEIGHT, quantile, 0, N_SCENARIOS), Tail(1 - WEIGHT, quantile, N_SCENARIOS, last)]
    faces = np.where(side == TREASURY, level, 0.0)[:, None] * np.eye(n)
    models = (
        Model(three_days, [Tail(1.0, quantile, 0, N_SCENARIOS)], faces, np.full(n, FLOOR)),
        Model(np.hstack([one_day, stressed]), tails, np.zeros((n, 0)), []),
    )
    lots = np.array([*LOTS, *[1] * N_TRADES])
    return TwoPotBook(models, side, np.where(side == FUTURES, 1, 0), lots, 0 * lots, lots, cap=CAP)


def by_evolution(book: TwoPotBook) -> float:
    """Return the total of the best allocation that evolution over integers finds."""
    from scipy.optimize import differential_evolution

    limits = np.stack([book.least, book.most], axis=1)
    found = differential_evolution(
        lambda points: book.totals(np.rint(points).T),
        limits,
        integrality=np.ones(book.n_items, dtype=bool),
        vectorized=True,
        updating="deferred",
        maxiter=GENERATIONS,
        popsize=10,
        tol=0.0,
        polish=False,
        rng=7,
    )
    return float(found.fun)
