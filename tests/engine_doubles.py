"""What the tests of engines and of files of figures share: a small book, a plan, engines that break to order."""

from __future__ import annotations

import concurrent.futures as cf
import pickle
from functools import cache

import numpy as np
from attrs import evolve

from crossmargin import samples
from crossmargin.batch import Positions, margin_many, plan
from crossmargin.pricing.many_pools import Tails, pool_tails, sorted_positions, store_of

N_ACCOUNTS, N_SILOS, N_INSTRUMENTS, N_SCENARIOS = 40, 3, 200, 300
TAILS = Tails(((0,), (1, 2), (0, 1, 2)), (0, 0, 0), (np.vstack([np.full(5, 0.2), np.eye(5)[4]]),))


@cache
def book(n_accounts=N_ACCOUNTS, n_rows=400, seed=1):
    """A store and holdings, some accounts empty, one of them with a great part of all rows."""
    rng = np.random.default_rng(seed)
    store = store_of([rng.standard_t(4, (N_INSTRUMENTS, N_SCENARIOS))], single=True)
    instruments = rng.integers(0, N_INSTRUMENTS, n_rows).astype(np.int32)
    accounts = rng.integers(0, max(n_accounts - 3, 1), n_rows) * (rng.random(n_rows) > 0.3)
    cells = (accounts * N_SILOS + instruments % N_SILOS).astype(np.int32)
    held = sorted_positions(cells, instruments, rng.normal(0, 100, n_rows), shape=(n_accounts, N_SILOS, N_INSTRUMENTS))
    return store, held


def fresh():
    """A store of its own, and holdings."""
    return book.__wrapped__()


@cache
def expected():
    return pool_tails(*book(), TAILS)


@cache
def planned():
    """A plan for accounts like one of the sample's, its P&L and some positions."""
    portfolio, market = samples.basis_trade()
    alike = evolve(portfolio, accounts=[each for each in portfolio.accounts if each.id == "NG-XM"], positions=[])
    made = plan(portfolio.products, market, alike, settles=samples.SETTLES)
    rng = np.random.default_rng(3)
    names = np.array([f"a{n:02d}" for n in range(30)])
    account, product = rng.integers(0, 30, 150), rng.integers(0, len(made.products), 150)
    return made, made.revalue(), Positions(names[account], product, rng.integers(-60, 61, 150) * 1e3)


@cache
def whole():
    made, pnl, positions = planned()
    return margin_many(positions, pnl, made)


class Inline:
    """An executor that works at once, on what comes out of a pickle; `breaks` is told the number of each task."""

    def __init__(self, breaks=lambda *_: None):
        self.submitted, self.breaks = 0, breaks

    def submit(self, work, *arguments):
        future, number = cf.Future(), self.submitted
        self.submitted += 1
        work, arguments = pickle.loads(pickle.dumps((work, arguments)))  # noqa: S301
        try:
            self.breaks(number, *arguments)
            future.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        return future


class Mapping:
    """An engine with no more than a `map`, such as `multiprocessing.Pool`."""

    def map(self, work, tasks):
        return [pickle.loads(pickle.dumps(work))(task) for task in tasks]  # noqa: S301


def double(shared, task):
    return shared * task


def damaged(path, harm):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flip": data, "cut": data[: len(data) // 3], "empty": b"", "remove": b""}[harm])
    if harm == "remove":
        path.unlink()
