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

from benchmarks.records import Record, summary, timed
from benchmarks.treasuries import instruction_set
from crossmargin.pairing.book import OptionLeg, StrategyBook
from crossmargin.registry import rules
from crossmargin.rulesets.finra_strategy import StrategyMargin, strategy_margin

SIZES = {10: 5, 100: 5, 1_000: 1}  # options in a book -> how many times it is timed
AS_OF = date(2026, 6, 30)
SPOT = 100.0
DAYS = (7, 14, 21, 28, 49, 77)
PYTHON_OF = "BENCH_MARGIN_ESTIMATOR"

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
