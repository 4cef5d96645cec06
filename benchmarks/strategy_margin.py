"""S1: the least strategy margin of books of 10, 100 and 1,000 options, against margin-estimator: seconds and USD.

The two do different things. This library searches for the pairing that costs least and proves how low it can be;
margin-estimator pairs each short option with the first long one that fits, in one pass. So there is no ratio to
promise: each record says what either took and what either asks. Books are made up: one underlying, one contract in each
series, all of them to expire within 90 days. Option prices are zero on both sides, since the two count premiums
differently. What is left is the requirement itself: largest losses of spreads and exposures of naked options.

Known of the peer, version 0.4.1: it multiplies a strangle by its contracts twice (hence single contracts here), and it
takes the largest loss of all its spreads together, as if a long option that has expired still covered a later short
one. It may therefore ask for less than any admissible pairing owes, and the record then says so.

The peer runs in the Python that BENCH_MARGIN_ESTIMATOR names, or in this one where it is installed.

S8: 2,000 accounts of one to six series each, against the same integer programme given to `scipy.optimize.milp`, one
account after another. Ours reads the series, writes the programme, proves the least and names the groups; the peer gets
its matrices ready made and only solves. The totals must agree, account by account.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import Record, compared, summary, timed
from benchmarks.treasuries import instruction_set
from crossmargin.pairing import Contracts, pair, programme
from crossmargin.pairing.book import OptionLeg, StrategyBook
from crossmargin.registry import rules
from crossmargin.rulesets.finra_strategy import StrategyMargin, strategy_margin

SIZES = {10: 5, 100: 5, 1_000: 1}  # options in a book -> how many times it is timed
AS_OF = date(2026, 6, 30)
SPOT = 100.0
DAYS = (7, 14, 21, 28, 49, 77)
PYTHON_OF = "BENCH_MARGIN_ESTIMATOR"
ACCOUNTS = 2_000
MOST_SERIES = 6
AGREEMENT = 1e-9
PROMISED = 3.0

# Runs in the peer's Python: arguments are a file of legs and runs. Its day is today: days to expiry count from there.
PEER_CODE = """
import json, sys, time
from datetime import date, timedelta
from decimal import Decimal
from importlib.metadata import version
from margin_estimator import Option, OptionType, Underlying, calculate_margin
given = json.load(open(sys.argv[1]))
underlying = Underlying(price=Decimal(str(given["spot"])))
legs = [
    Option(expiration=date.today() + timedelta(days=days), price=Decimal(0), quantity=quantity,
           strike=Decimal(str(strike)), type=OptionType(right[0].upper()))
    for quantity, right, strike, days in given["legs"]
]
seconds = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    found = calculate_margin(legs, underlying)
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": seconds, "asks": float(found.margin_requirement), "version": version("margin-estimator")}))
"""


def records() -> Iterator[Record]:
    """Yield one comparison for each size of book."""
    python = peer_python()
    if not python:
        how = f"pip install margin-estimator into an environment and name its Python in {PYTHON_OF}"
        print(f"S1 margin-estimator: not installed; {how}", file=sys.stderr)
        return
    for size, runs in SIZES.items():
        yield record(made_up_book(size), python, runs)


def peer_python() -> str:
    """Return the Python that has the peer, "" for none."""
    named = os.environ.get(PYTHON_OF, "")
    if Path(named).is_file():
        return named
    return sys.executable if find_spec("margin_estimator") else ""


def made_up_book(size: int) -> StrategyBook:
    """Return a book of so many series, long or short one contract each, strikes from 50 to 150 % of the spot."""
    rng = np.random.default_rng(size)
    strikes = SPOT * np.linspace(0.5, 1.5, 101)
    series = [(right, float(strike), days) for right in ("call", "put") for strike in strikes for days in DAYS]
    chosen = rng.choice(len(series), size, replace=False)
    sides = rng.choice([-1, 1], size)
    legs = [
        OptionLeg(int(side), right, round(strike, 2), 0.0, days)
        for side, (right, strike, days) in zip(sides, (series[place] for place in chosen), strict=True)
    ]
    return StrategyBook("equity", SPOT, legs)


def record(book: StrategyBook, python: str, runs: int) -> Record:
    """Return the seconds of both sides, and in words what either asks."""
    found: list[StrategyMargin] = []
    mine = [timed(lambda: found.append(ours(book)), 1) for _ in range(runs)]
    theirs = peer(book, python, runs)
    return Record(
        task=f"S1 strategy margin of {len(book.legs):,} options; {outcome(found[-1], theirs['asks'])}",
        peer="margin-estimator",
        peer_version=theirs["version"],
        runs=runs,
        at_least=0.0,
        instruction_set=instruction_set(),
        **summary(mine, "ours"),  # type: ignore[arg-type]
        **summary(theirs["seconds"], "peer"),  # type: ignore[arg-type]
    )


def ours(book: StrategyBook) -> StrategyMargin:
    """Return the least requirement, found within the time that the rule-set allows."""
    rule = rules("finra_strategy")
    return strategy_margin(book, rule, AS_OF, time_limit=rule.at(AS_OF).solver_seconds)


def peer(book: StrategyBook, python: str, runs: int) -> dict[str, Any]:
    """Return the peer's seconds, its requirement in USD and its version."""
    legs = [(leg.quantity, leg.right, leg.strike, leg.days_to_expiry) for leg in book.legs]
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "legs.json"
        given.write_text(json.dumps({"spot": book.price, "legs": legs}), encoding="utf-8")
        command = [python, "-c", PEER_CODE, str(given), str(runs)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def outcome(margin: StrategyMargin, peer_asks: float) -> str:
    """Return what either side asks and how sure ours is."""
    pairing = margin.initial_pairing
    if pairing is None:
        return ""
    proven = {"duality": "by duality", "search": "by branch and bound"}[pairing.proof]
    status = f"proven least {proven}" if pairing.optimal else f"cut short, {pairing.gap:,.2f} USD may be saved"
    below = ", less than any admissible pairing" if peer_asks < pairing.bound - 0.01 * len(pairing.groups) else ""
    return f"ours asks {pairing.value:,.2f} USD ({status}); peer asks {peer_asks:,.2f} USD{below}"


def many_records() -> Iterator[Record]:
    """Yield the comparison of many small accounts."""
    from scipy import __version__

    books = [small_book(seed) for seed in range(ACCOUNTS)]
    ready = [milp_arguments(book) for book in books]
    seconds = compared(lambda: totals(books), lambda: milp_totals(ready), runs=3, inner=1)
    one, other = totals(books), milp_totals(ready)
    yield Record(
        task=f"S8 least pairing of {ACCOUNTS:,} accounts of one to {MOST_SERIES} series",
        peer="scipy.optimize.milp",
        peer_version=__version__,
        agreement=float(np.max(np.abs(one - other) / np.maximum(1.0, np.abs(other)))),
        agreement_limit=AGREEMENT,
        at_least=PROMISED,
        instruction_set=instruction_set(),
        **seconds,  # type: ignore[arg-type]
    )


def small_book(seed: int) -> Contracts:
    """Return one account's series: strikes from 80 to 120 % of the spot, up to five contracts of each."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, MOST_SERIES + 1))
    series = [(call, strike, days) for call in (True, False) for strike in np.arange(80.0, 121.0, 5.0) for days in DAYS]
    calls, strikes, days = zip(*(series[row] for row in rng.choice(len(series), size, replace=False)), strict=True)
    counts = rng.choice([-5, -3, -2, -1, 1, 2, 3, 5], size)
    premium, exposure = rng.uniform(50, 900, size).round(), rng.uniform(500, 2_000, size).round()
    return Contracts(counts, calls, strikes, days, premium, exposure, multiplier=100.0)


def totals(books: list[Contracts]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the least total of each account, USD."""
    return np.array([pair(book).value for book in books])


def milp_arguments(book: Contracts) -> dict[str, Any]:
    """Return the programme of an account as SciPy takes it; empty where there is nothing to decide."""
    from scipy.optimize import Bounds, LinearConstraint

    made = programme._programme(book, programme._layout(book))  # noqa: SLF001 - the peer solves the very same
    if not len(made.cost):
        return {}
    upper, equal = made.matrices()
    rows = [LinearConstraint(upper, -np.inf, made.limits), LinearConstraint(equal, made.totals, made.totals)]
    return {"c": made.cost, "integrality": made.whole, "bounds": Bounds(0.0, made.bounds), "constraints": rows}


def milp_totals(ready: list[dict[str, Any]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the least total of each account by SciPy, USD: no account holds stock, a contract is 100 units."""
    return np.array([100.0 * _by_milp(each) if each else 0.0 for each in ready])


def _by_milp(given: dict[str, Any]) -> float:
    """Return the least of a programme; SciPy 1.17.1 calls one of these infeasible unless it leaves out its presolve."""
    from scipy.optimize import milp

    found = milp(**given)
    return float(found.fun if found.fun is not None else milp(**given, options={"presolve": False}).fun)
