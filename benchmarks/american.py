"""T3: American options against QuantLib from Python, one object per option, both on one core.

`T3` reprices a book of puts over scenarios of spot and volatility from a premium table, against QuantLib's
fast engine solving every option anew: the same role, another algorithm; the table is built outside the clock
and `T3 with tables built` has it inside. `T3b` solves every option from scratch on both sides. `T3c` is the
lattice with 100 steps. QuantLib is timed on part of the options; its own C++ loop without Python is faster.

Agreement is the largest difference over spot. For T3 and T3b it is measured against QuantLib's high-precision
engine, not against the fast one, whose own error is as large. QuantLib's lattice sets its probabilities to
first order in the time step, ours exactly; hence the wider limit of T3c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.records import Record, compared
from benchmarks.treasuries import instruction_set
from crossmargin.pricing.american import american_price, american_values, lattice_price, premium_table

SPOT, DAYS, RATE, YIELD = 100.0, 182, 0.04, 0.015
N_OPTIONS, N_SCENARIOS, N_FRESH = 200, 2_500, 2_000
PEER_FRESH, PEER_SCENARIOS, CHECKED = 200, 300, 40
TABLE_LIMIT, FRESH_LIMIT, LATTICE_LIMIT = 2e-6, 1e-6, 5e-3
RUNS, INNER = 7, 3
PUTS = np.array(False)  # noqa: FBT003


def records() -> Iterator[Record]:
    """Yield the comparisons of T3, T3b and T3c."""
    import QuantLib as ql  # noqa: N813 - its users write ql

    yield from scenario_records(ql)
    yield fresh_record(ql)
    yield lattice_record(ql)


def scenario_records(ql: Any) -> Iterator[Record]:
    """Yield T3, and T3 with the building of the table timed too."""
    rng = np.random.default_rng(3)
    strikes, vols = np.linspace(70, 130, N_OPTIONS), rng.uniform(0.15, 0.4, N_OPTIONS)
    spots, scale = SPOT * np.exp(rng.normal(0, 0.03, N_SCENARIOS)), np.exp(rng.normal(0, 0.15, N_SCENARIOS))
    numbers = {"spot": spots, "rate": RATE, "dividend_yield": YIELD, "volatility_scale": scale}
    ours = partial(american_values, PUTS, strikes, DAYS / 365, vols, **numbers)
    picked = rng.integers(0, (N_OPTIONS, N_SCENARIOS), (PEER_SCENARIOS, 2))
    rows = [(spots[s], strikes[o], RATE, YIELD, vols[o] * scale[s], DAYS) for o, s in picked]
    values = ours()[picked[:, 0], picked[:, 1]]
    fast, exact = (Peer(ql, scheme) for scheme in ("fastScheme", "highPrecisionScheme"))
    agreement = np.abs(values[:CHECKED] - exact.loop(rows[:CHECKED])()).max() / SPOT

    def anew() -> Any:
        premium_table.cache_clear()
        return ours()

    share = N_OPTIONS * N_SCENARIOS / PEER_SCENARIOS
    tasks = (("T3 American over scenarios, by table", ours, 2000), ("T3 with tables built", anew, 1400))
    for task, run, least in tasks:
        yield record(ql, task, (run, fast.loop(rows)), agreement, limit=TABLE_LIMIT, at_least=least, share=share)


def fresh_record(ql: Any) -> Record:
    """Return T3b: every option has rates, volatility and expiry of its own."""
    rows = random_rows(N_FRESH)
    spot, strike, rate, paid, vol, days = np.array(rows).T
    ours = partial(american_price, PUTS, strike, days / 365, vol, spot=spot, rate=rate, dividend_yield=paid)
    exact, fast = Peer(ql, "highPrecisionScheme"), Peer(ql, "fastScheme")
    agreement = np.abs(ours()[:CHECKED] - exact.loop(rows[:CHECKED])()).max() / SPOT
    sides = ours, fast.loop(rows[:PEER_FRESH])
    share = N_FRESH / PEER_FRESH
    return record(ql, "T3b American from scratch", sides, agreement, limit=FRESH_LIMIT, at_least=3, share=share)


def lattice_record(ql: Any) -> Record:
    """Return T3c."""
    rows = random_rows(N_FRESH, least_vol=0.15)
    spot, strike, rate, paid, vol, days = np.array(rows).T
    numbers = {"spot": spot, "rate": rate, "dividend_yield": paid, "steps": 100}
    ours = partial(lattice_price, PUTS, strike, days / 365, vol, **numbers)
    peer = Peer(ql, 100).loop(rows[:PEER_FRESH])
    agreement = np.abs(ours()[:PEER_FRESH] - peer()).max() / SPOT
    share = N_FRESH / PEER_FRESH
    return record(ql, "T3c lattice, 100 steps", (ours, peer), agreement, limit=LATTICE_LIMIT, at_least=60, share=share)


def random_rows(count: int, least_vol: float = 0.08) -> list[tuple[float, ...]]:
    """Return (spot, strike, rate, yield, volatility, days) of made-up puts."""
    rng = np.random.default_rng(31)
    rate, paid = rng.uniform(0.005, 0.08, (2, count))
    days = np.round(rng.uniform(10, 730, count))
    columns = rng.uniform(70, 130, count), np.full(count, SPOT), rate, paid, rng.uniform(least_vol, 0.6, count), days
    return [tuple(float(value) for value in row) for row in zip(*columns, strict=True)]


class Peer:
    """QuantLib puts under quotes that are set one by one; `scheme` names a QdFp scheme or counts lattice steps."""

    def __init__(self, ql: Any, scheme: str | int) -> None:
        self.ql, self.today, count = ql, ql.Date(15, 1, 2024), ql.Actual365Fixed()
        ql.Settings.instance().evaluationDate = self.today
        self.quotes = [ql.SimpleQuote(SPOT) for _ in range(4)]
        spot, rate, paid, vol = (ql.QuoteHandle(quote) for quote in self.quotes)
        curves = [ql.YieldTermStructureHandle(ql.FlatForward(self.today, quote, count)) for quote in (paid, rate)]
        surface = ql.BlackConstantVol(self.today, ql.NullCalendar(), vol, count)
        process = ql.BlackScholesMertonProcess(spot, *curves, ql.BlackVolTermStructureHandle(surface))
        if isinstance(scheme, int):
            self.engine = ql.BinomialCRRVanillaEngine(process, scheme)
        else:
            self.engine = ql.QdFpAmericanEngine(process, getattr(ql.QdFpAmericanEngine, scheme)())

    def option(self, strike: float, days: float) -> Any:
        """Return one put."""
        exercise = self.ql.AmericanExercise(self.today, self.today + int(days))
        option = self.ql.VanillaOption(self.ql.PlainVanillaPayoff(self.ql.Option.Put, strike), exercise)
        option.setPricingEngine(self.engine)
        return option

    def loop(self, rows: list[tuple[float, ...]]) -> Callable[[], Any]:
        """Return a function that sets the quotes of each row and asks its put, made beforehand, for the value."""
        puts = [(self.option(strike, days), (spot, rate, paid, vol)) for spot, strike, rate, paid, vol, days in rows]

        def values() -> Any:
            out = []
            for option, numbers in puts:
                for quote, value in zip(self.quotes, numbers, strict=True):
                    quote.setValue(value)
                out.append(option.NPV())
            return np.array(out)

        return values


def record(
    ql: Any, task: str, sides: tuple[Callable[[], Any], Callable[[], Any]], agreement: float, **numbers: float
) -> Record:
    """Time both sides; the peer's time is scaled by `share`, since it does only part of the work."""
    times = compared(*sides, runs=RUNS, inner=INNER)
    for name in ("peer_s", "peer_min_s", "peer_max_s"):
        times[name] *= numbers["share"]
    return Record(
        task=task,
        peer="QuantLib from Python, object per option",
        peer_version=ql.__version__,
        agreement=float(agreement),
        agreement_limit=numbers["limit"],
        at_least=numbers["at_least"],
        instruction_set=instruction_set(),
        **times,
    )
