"""T1: 5,000 European options under 2,500 scenarios of spot and volatility, expected shortfall of the book, one core.

Every side starts from the same arrays (forwards, discount factors, times, volatilities) and ends at the 99 per cent
expected shortfall of one book. The peers, each at its best:

- NumPy with `scipy.special.ndtr`: the whole book in one broadcast, and the book in blocks that stay in the cache,
  several sizes, rows shared by a slice not repeated, temporaries reused. All are timed; the fastest is the peer.
- QuantLib from Python, one object per option, its quotes set and `NPV()` asked for each price; QuantLib's own C++
  without Python between prices is faster. A part of the book, extrapolated price by price.
- fast-vollib and py_vollib_vectorized, which clash with the library's own requirements: each runs in a Python of its
  own, named by the environment variables below, on a part of the book. An absent one is reported as not installed.

The book is made of listed chains, a call and a put at each strike. Each peer has three records, and each says which it
is: option by option; netted by parity first (`net_by_parity`); interpolated in the factors of the scenarios, the tail
repriced option by option (`pooled_pnl`). The last two are better algorithms, not a faster machine, and NumPy could use
them too. For the figures without AVX-512 set `NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx2,+fma`: the kernels then
compile for AVX2.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.records import Record, compared, summary, timed
from benchmarks.treasuries import instruction_set
from crossmargin.pricing.european import EuropeanBook, forwards, net_by_parity
from crossmargin.pricing.pooled import pooled_pnl
from crossmargin.risk import expected_shortfall

N_OPTIONS, N_SCENARIOS, N_UNDERLYINGS = 5_000, 2_500, 10
YEARS = np.array([3, 10, 45, 180, 500]) / 365
RATE = 0.04
BLOCKS = (4, 8, 16, 32, 64)  # options in a NumPy block
AGREEMENT = 1e-10  # largest difference of the book's profit and loss beside its largest
RUNS = 5

# What holds with AVX2 on the weakest processor measured; AVX-512 of full width gives more.
PROMISED = MappingProxyType(
    {
        "numpy": (5.5, 9.0, 20.0),
        "quantlib": (1000.0, 1500.0, 3000.0),
        "fast-vollib": (15.0, 25.0, 45.0),
        "py_vollib_vectorized": (90.0, 150.0, 250.0),
    }
)
VOLLIB = MappingProxyType(
    {
        "fast-vollib": "fast_vollib.fast_black_scholes_merton",
        "py_vollib_vectorized": "py_vollib_vectorized.vectorized_black_scholes_merton",
    }
)
PYTHON_OF = MappingProxyType({"fast-vollib": "BENCH_FAST_VOLLIB", "py_vollib_vectorized": "BENCH_PY_VOLLIB_VECTORIZED"})
NEEDS = MappingProxyType(
    {
        "fast-vollib": "fast-vollib",
        "py_vollib_vectorized": "py_vollib_vectorized py_vollib==1.0.1 py_lets_be_rational==1.0.1 numba==0.58.1"
        " numpy==1.26.4 setuptools",
    }
)

# Runs in the peer's Python: arguments are the function, a file of inputs, a file for the values, runs.
VOLLIB_CODE = """
import importlib, json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
name, inputs, results, runs = sys.argv[1:]
module, function = name.split(".")
module = importlib.import_module(module)
price = getattr(module, function)
given = np.load(inputs)
arguments = [given[key] for key in ("flag", "spot", "strike", "time", "rate", "volatility", "dividend_yield")]
seconds = []
for _ in range(int(runs) + 1):
    start = time.perf_counter()
    value = price(*arguments, return_as="numpy")
    seconds.append(time.perf_counter() - start)
np.save(results, np.asarray(value, dtype=float).ravel())
from importlib.metadata import version
print(json.dumps({"seconds": seconds[1:], "version": version(module.__name__)}))
"""


def records() -> Iterator[Record]:
    """Yield the comparisons of T1."""
    book, quantity, market = made_up_book()
    yield from numpy_records(book, quantity)
    yield from quantlib_records(book, quantity, market)
    for peer in VOLLIB:
        python = os.environ.get(PYTHON_OF[peer], "")
        if Path(python).is_file():
            yield from vollib_records(peer, python, (book, quantity, market))
        else:
            how = f"make an environment with `pip install {NEEDS[peer]}` and name its Python in {PYTHON_OF[peer]}"
            print(f"T1 {peer}: not installed; {how}", file=sys.stderr)


def made_up_book() -> tuple[EuropeanBook, Any, Mapping[str, Any]]:
    """Return options on ten shares and five expiries, how many of each, and the market in the peers' terms."""
    rng = np.random.default_rng(1)
    common, volatility_move = rng.standard_t(4, (2, 1, N_SCENARIOS)) * 0.01
    moves = common + rng.normal(0, 0.01, (N_UNDERLYINGS, N_SCENARIOS))
    spot = (np.linspace(40, 400, N_UNDERLYINGS)[:, None] * np.exp(moves)).repeat(len(YEARS), axis=0)
    time = np.tile(YEARS, N_UNDERLYINGS)[:, None]
    dividend_yield = np.linspace(0, 0.03, N_UNDERLYINGS).repeat(len(YEARS))[:, None]
    forward, discount = forwards(spot, time, rate=RATE, dividend_yield=dividend_yield)
    scale = np.exp(-3 * moves + volatility_move).repeat(len(YEARS), axis=0)
    row, strike, volatility = chains(spot[:, 0], time[:, 0])
    book = EuropeanBook(
        forward=forward,
        discount=discount[:, :1],
        time=time,
        scale=scale,
        shift=np.zeros_like(scale),
        slice_row=row,
        volatility_row=row,
        strike=strike,
        is_call=np.arange(N_OPTIONS) % 2 == 0,
        volatility=volatility,
    )
    market = {"spot": spot, "time": time[:, 0], "dividend_yield": dividend_yield[:, 0]}
    return book, rng.integers(-50, 51, N_OPTIONS) * 100.0, market


def chains(spot: Any, time: Any) -> tuple[Any, Any, Any]:
    """Return row, strike and volatility of listed chains: a call and a put at each strike, a smile per expiry."""
    row = np.sort(np.arange(N_OPTIONS) // 2 % len(spot), kind="stable")
    distance = np.linspace(-2.5, 2.5, N_OPTIONS)[(np.arange(N_OPTIONS) // 2 * 2 * 37) % N_OPTIONS]
    distance = distance[np.lexsort((distance, row))]  # in units of 30 per cent volatility
    strike = spot[row] * np.exp(0.3 * np.sqrt(time[row]) * distance)
    return row, strike, 0.22 + 0.002 * row - 0.02 * distance + 0.01 * distance**2


# ---------------------------------------------------------------------------------------------------------- ours


def ours(book: EuropeanBook, quantity: Any) -> Any:
    """Return the book's profit and loss in every scenario, option by option; the first scenario is today."""
    return pooled(book, np.array([0, book.n_options]), np.arange(book.n_options), quantity)


def ours_netted(book: EuropeanBook, quantity: Any) -> Any:
    """Return the same after the puts of each strike became calls and forwards, the netting included."""
    holdings = {"pool_start": np.array([0, book.n_options]), "pool_option": np.arange(book.n_options)}
    net = net_by_parity(book, **holdings, quantity=quantity)
    options = pooled(net.calls, net.pool_start, net.pool_option, net.pool_quantity)
    return options + net.linear_pnl(book.forward[:, 0], book.discount[:, 0])[0]


def ours_interpolated(book: EuropeanBook, quantity: Any) -> Any:
    """Return the same, interpolated where that pays; the scenarios of the tail are priced option by option."""
    holdings = {"pool_start": [0, book.n_options], "pool_option": np.arange(book.n_options), "quantity": quantity}
    worst = -(-book.n_scenarios // 100)
    return pooled_pnl(book, today_values(book.kernel_arguments()), **holdings, worst=worst).values[0]


OURS = (
    ("", ours),
    (", ours netted by put-call parity", ours_netted),
    (", ours interpolated in the scenario factors, the tail repriced", ours_interpolated),
)


def pooled(book: EuropeanBook, pool_start: Any, pool_option: Any, quantity: Any) -> Any:
    """Return profit and loss of the one pool there is."""
    from crossmargin.kernels.black import black_pooled

    arguments, out = book.kernel_arguments(), np.zeros((1, book.n_scenarios))
    base = today_values(arguments)
    black_pooled(*arguments, base, pool_start, pool_option, quantity, out, 0, book.n_scenarios)
    return out[0]


def today_values(arguments: tuple[Any, ...]) -> Any:
    """Return the value of each option in the first scenario."""
    from crossmargin.kernels.black import black_rows

    today, base = [np.ascontiguousarray(rows[:, :1]) for rows in arguments[:6]], np.empty((len(arguments[6]), 1))
    black_rows(*today, *arguments[6:], base, 0, 1)
    return base[:, 0].copy()


def shortfall(pnl: Callable[[], Any]) -> Any:
    """Return the 99 per cent expected shortfall of what `pnl` returns."""
    return expected_shortfall(pnl(), 0.99)


# --------------------------------------------------------------------------------------------------------- NumPy


def numpy_records(book: EuropeanBook, quantity: Any) -> Iterator[Record]:
    """Time every way of doing it in NumPy once, then the fastest in turns with each of ours."""
    import scipy

    ways = {"whole book in one broadcast": partial(numpy_whole, book, quantity)}
    ways |= {f"blocks of {size} options": partial(numpy_blocks, book, quantity, size) for size in BLOCKS}
    fastest = min(ways, key=lambda way: timed(ways[way], 1))
    theirs = partial(shortfall, ways[fastest])
    for (how, mine), promised in zip(OURS, PROMISED["numpy"], strict=True):
        yield record(
            f"NumPy and scipy.special.ndtr, {fastest}{how}",
            f"{np.__version__}, {scipy.__version__}",
            promised=promised,
            agreement=disagreement(mine(book, quantity), ways[fastest]()),
            timings=compared(partial(shortfall, partial(mine, book, quantity)), theirs, runs=RUNS, inner=3),
        )


def numpy_whole(book: EuropeanBook, quantity: Any) -> Any:
    """Return the book's profit and loss by the formula as one writes it, on arrays of options by scenarios."""
    from scipy.special import ndtr

    row, w, k = book.slice_row, np.where(book.is_call, 1.0, -1.0)[:, None], book.strike[:, None]
    f, df = book.forward[row], book.discount[row]
    deviation = book.volatility[:, None] * book.scale[book.volatility_row] * np.sqrt(book.time[row])
    d1 = np.log(book.forward)[row] - np.log(k)
    d1 = d1 / deviation + deviation / 2
    value = w * df * (f * ndtr(w * d1) - k * ndtr(w * (d1 - deviation)))
    return quantity @ (value - value[:, :1])


def numpy_blocks(book: EuropeanBook, quantity: Any, size: int) -> Any:
    """Return the same from blocks of options of one slice, which share its rows; temporaries are reused."""
    from scipy.special import ndtr

    log_forward, sqrt_time = np.log(book.forward), np.sqrt(book.time)
    starts = np.flatnonzero(np.diff(book.slice_row, prepend=-1, append=-1))
    total = np.zeros(book.n_scenarios)
    for first, end in pairwise(starts):
        row = book.slice_row[first]
        unit_deviation = book.scale[book.volatility_row[first]] * sqrt_time[row]
        for begin in range(first, end, size):
            of = slice(begin, min(begin + size, end))
            w, k = np.where(book.is_call[of], 1.0, -1.0)[:, None], book.strike[of, None]
            deviation = book.volatility[of, None] * unit_deviation
            d1 = log_forward[row] - np.log(k)
            d1 /= deviation
            d1 += 0.5 * deviation
            d2 = np.subtract(d1, deviation, out=deviation)
            d1 *= w
            d2 *= w
            ndtr(d1, out=d1)
            ndtr(d2, out=d2)
            d1 *= book.forward[row]
            d2 *= k
            d1 -= d2
            weight = quantity[of] * w[:, 0] * book.discount[row]
            total += weight @ d1 - weight @ d1[:, 0]
    return total


# ------------------------------------------------------------------------------------------------------ QuantLib


def quantlib_records(book: EuropeanBook, quantity: Any, market: Mapping[str, Any]) -> Iterator[Record]:
    """Time one option in 500 under one scenario in ten, and count up to the whole."""
    import QuantLib as ql  # noqa: N813 - its users write ql

    chosen, scenarios = slice(7, None, 500), slice(0, None, 10)
    small, n = book.select(chosen), N_SCENARIOS // 10
    loop = quantlib_loop(ql, small, market, scenarios)
    mine = quantity[chosen] @ ours_values(small)[:, scenarios]
    share = small.n_options * n / (N_OPTIONS * N_SCENARIOS)
    agreement = disagreement(mine, quantity[chosen] @ loop())
    for (how, whole), promised in zip(OURS, PROMISED["quantlib"], strict=True):
        timings = compared(partial(shortfall, partial(whole, book, quantity)), loop, runs=RUNS, inner=1)
        yield record(
            f"QuantLib from Python, an object per option, extrapolated from {small.n_options * n:,} prices{how}",
            ql.__version__,
            promised=promised,
            agreement=max(agreement, disagreement(whole(book, quantity), ours(book, quantity))),
            timings=scaled(timings, share),
        )


def ours_values(book: EuropeanBook) -> Any:
    """Return the value of each option in each scenario."""
    from crossmargin.kernels.black import black_rows

    out = np.empty((book.n_options, book.n_scenarios))
    black_rows(*book.kernel_arguments(), out, 0, book.n_scenarios)
    return out


def quantlib_loop(ql: Any, book: EuropeanBook, market: Mapping[str, Any], scenarios: slice) -> Callable[[], Any]:
    """Return a function that sets spot and volatility and asks each option for its value, all objects ready."""
    today = ql.Date(30, 6, 2026)
    ql.Settings.instance().evaluationDate = today
    days = ql.Actual365Fixed()
    made = []
    for i, row in enumerate(book.slice_row):
        spot, volatility = ql.SimpleQuote(100.0), ql.SimpleQuote(0.2)
        flat = [
            ql.YieldTermStructureHandle(ql.FlatForward(today, r, days)) for r in (market["dividend_yield"][row], RATE)
        ]
        surface = ql.BlackConstantVol(today, ql.NullCalendar(), ql.QuoteHandle(volatility), days)
        process = ql.BlackScholesMertonProcess(ql.QuoteHandle(spot), *flat, ql.BlackVolTermStructureHandle(surface))
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if book.is_call[i] else ql.Option.Put, book.strike[i])
        option = ql.VanillaOption(payoff, ql.EuropeanExercise(today + round(365 * market["time"][row])))
        option.setPricingEngine(ql.AnalyticEuropeanEngine(process))
        spots = market["spot"][row, scenarios].tolist()
        volatilities = (book.volatility[i] * book.scale[book.volatility_row[i], scenarios]).tolist()
        made.append((option, spot, volatility, list(zip(spots, volatilities, strict=True))))

    def loop() -> Any:
        values = []
        for option, spot, volatility, moves in made:
            for s, v in moves:
                spot.setValue(s)
                volatility.setValue(v)
                values.append(option.NPV())
        return np.reshape(values, (len(made), -1))

    return loop


# -------------------------------------------------------------------------------------------------------- vollib


def vollib_records(peer: str, python: str, made: tuple[EuropeanBook, Any, Mapping[str, Any]]) -> Iterator[Record]:
    """Time one option in twenty under every scenario in the peer's own Python, and count up to the whole book."""
    book, quantity, market = made
    chosen = slice(7, None, 20)
    small = book.select(chosen)
    values, seconds, version = vollib_run(peer, python, vollib_inputs(small, market))
    share = small.n_options / N_OPTIONS
    theirs = quantity[chosen] @ values.reshape(small.n_options, -1)
    agreement = disagreement(quantity[chosen] @ ours_values(small), theirs)
    for (how, whole), promised in zip(OURS, PROMISED[peer], strict=True):
        timed(partial(shortfall, partial(whole, book, quantity)), 1)  # what compiles or loads does it here
        mine = [timed(partial(shortfall, partial(whole, book, quantity)), 3) for _ in range(RUNS)]
        yield record(
            f"{peer}, extrapolated from {values.size:,} prices{how}",
            version,
            promised=promised,
            agreement=max(agreement, disagreement(whole(book, quantity), ours(book, quantity))),
            timings=scaled(summary(mine, "ours") | summary(seconds, "peer") | {"runs": RUNS}, share),
        )


def vollib_inputs(book: EuropeanBook, market: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat arrays, one number per option and scenario, as both libraries want them."""
    row, shape = book.slice_row, (book.n_options, book.n_scenarios)
    tables = {
        "flag": np.where(book.is_call, "c", "p")[:, None],
        "spot": market["spot"][row],
        "strike": book.strike[:, None],
        "time": market["time"][row][:, None],
        "rate": np.array([[RATE]]),
        "volatility": book.volatility[:, None] * book.scale[book.volatility_row],
        "dividend_yield": market["dividend_yield"][row][:, None],
    }
    return {name: np.broadcast_to(table, shape).ravel() for name, table in tables.items()}


def vollib_run(peer: str, python: str, inputs: dict[str, Any]) -> tuple[Any, list[float], str]:
    """Return the peer's values, the seconds of each run and its version; its first run, which compiles, is left out."""
    with tempfile.TemporaryDirectory() as folder:
        given, results = Path(folder) / "given.npz", Path(folder) / "values.npy"
        np.savez(given, **inputs)
        command = [python, "-c", VOLLIB_CODE, VOLLIB[peer], str(given), str(results), str(RUNS)]
        limits = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        done = subprocess.run(command, env=limits, capture_output=True, text=True, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        return np.load(results), told["seconds"], told["version"]


# ------------------------------------------------------------------------------------------------------- records


def scaled(timings: dict[str, float], share: float) -> dict[str, float]:
    """Return timings with the peer's, which are of a share of the book, counted up to the whole."""
    return {name: value / share if name.startswith("peer") else value for name, value in timings.items()}


def disagreement(mine: Any, theirs: Any) -> float:
    """Return the largest difference beside the largest number."""
    return float(np.max(np.abs(mine - theirs)) / np.max(np.abs(theirs)))


def record(peer: str, version: str, *, promised: float, agreement: float, timings: dict[str, float]) -> Record:
    """Return one comparison of T1."""
    return Record(
        task=f"T1 European: {N_OPTIONS:,} options x {N_SCENARIOS:,} scenarios, expected shortfall",
        peer=peer,
        peer_version=version,
        agreement=agreement,
        agreement_limit=AGREEMENT,
        at_least=promised,
        instruction_set=instruction_set(),
        **timings,  # type: ignore[arg-type]
    )
