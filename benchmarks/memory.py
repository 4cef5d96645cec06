"""How much memory a batch takes: `python -m benchmarks.memory [--one]`, each run in a process of its own.

100,000 accounts of 20 positions over 50,000 notes and 1,250 scenarios in single precision, one regime: made-up P&L,
laid out as `stored` does. The budget is 1.2 times the P&L and 200 MB, beside what Python, numba and the library take
before there is anything to margin (shared libraries for a good half); plan and rows of positions count.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from datetime import date, timedelta
from typing import Any

import numpy as np

N_ACCOUNTS, PER_ACCOUNT, N_PRODUCTS, N_SCENARIOS = 100_000, 20, 50_000, 1_250
PER_COUPON, FIRST = 400, date(2028, 1, 1)
SHARE, BESIDE_MB = 1.2, 200.0
_MB = 2**20


def main() -> int:
    """Print one run in this process with `--one`, else a run in one of its own; 1 when over the budget."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--one", action="store_true", help="run here and print megabytes as JSON")
    if parser.parse_args().one:
        print(json.dumps(stages()))
        return 0
    command = [sys.executable, "-m", "benchmarks.memory", "--one"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    budget = SHARE * found["P&L"] + BESIDE_MB
    for name, megabytes in found.items():
        print(f"{name:42} {megabytes:8,.0f} MB")
    taken = found["peak"] - found["Python, numba, library"]
    print(f"{'taken beside Python, numba, library':42} {taken:8,.0f} MB, budget 1.2 x P&L + 200 MB = {budget:,.0f} MB")
    return int(taken > budget)


def stages() -> dict[str, float]:
    """Return what the process holds at its most after each step, MB; made once, in a fresh process."""
    from crossmargin.kernels import accounts, holdings
    from crossmargin.pricing.many_pools import Store

    del accounts, holdings
    found = {"Python, numba, library": peak()}
    planned = made_up_plan()
    found["with the plan"] = peak()
    store = Store(made_up_pnl(), (N_SCENARIOS,) * len(planned.specs), N_PRODUCTS, np.full(N_PRODUCTS, 1.0))
    found["with P&L"] = peak()
    rows = made_up_rows()
    found["with rows of positions"] = peak()
    from crossmargin.batch import margin_many

    asked = margin_many(rows, store, planned, threads=2).total(planned.regimes[0].name)
    if not np.isfinite(asked).all():
        raise ValueError("A batch gave figures that are not finite.")
    return {**found, "peak": peak(), "P&L": store.values.nbytes / _MB}


def peak() -> float:
    """Return the most that this process has held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def made_up_plan() -> Any:
    """Return a plan of one template and one regime over made-up notes."""
    from attrs import evolve

    from crossmargin import samples
    from crossmargin.batch import plan
    from crossmargin.products import TreasuryNote
    from crossmargin.regimes import SILOED

    portfolio, market = samples.basis_trade()
    alike = [each for each in portfolio.accounts if each.id == "MER-GOV"]
    notes = [
        TreasuryNote(0.01 + 1e-4 * (n % PER_COUPON), FIRST + timedelta(days=15 * (n // PER_COUPON)))
        for n in range(N_PRODUCTS)
    ]
    bare = evolve(portfolio, accounts=alike, positions=[])
    return plan(notes, market, bare, regimes=[SILOED], settles=samples.SETTLES)


def made_up_pnl() -> Any:
    """Return blocks of 64 scenarios in single precision, a few rows at a time."""
    rng = np.random.default_rng(5)
    values = np.empty((-(-N_SCENARIOS // 64) * N_PRODUCTS, 64), dtype=np.float32)
    for rows in np.array_split(values, 100):
        rng.standard_normal(out=rows, dtype=np.float32)
    return values


def made_up_rows() -> Any:
    """Return positions of every account, in no order."""
    from crossmargin.batch import Positions

    rng, count = np.random.default_rng(6), N_ACCOUNTS * PER_ACCOUNT
    account = np.repeat(np.arange(N_ACCOUNTS, dtype=np.int32), PER_ACCOUNT)
    rng.shuffle(account)
    product = rng.integers(0, N_PRODUCTS, count, dtype=np.int32)
    return Positions(account, product, rng.normal(0.0, 1e6, count), np.arange(N_ACCOUNTS, dtype=np.int32))


if __name__ == "__main__":
    sys.exit(main())
