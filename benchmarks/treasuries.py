"""T2: Treasuries and futures under many curves, on one core, against NumPy and against QuantLib from Python.

Every side starts from instruments and zero curves that are ready; each value is compared. The records:

- `prices`: every instrument on every curve. QuantLib: relink the curve, ask each bond for its NPV; its own C++ loop,
  without Python between bonds, is faster. NumPy: interpolation as a sparse product, `exp` on the grid of dates, a
  sparse product with the cash flows, `minimum.reduceat` over deliverables; its matrices are made beforehand. NumPy is
  timed whole and in blocks that stay in the cache, and the fastest is the peer: once with every coupon in the matrix,
  once with the library's own running sums, which leaves the machine code as the difference.
- `netted`: the value of the whole book of bonds, cash flows added up by date first, on both sides. The library then
  takes the flows of half a year by a short power series, and discount factors as a chain of another, while forward
  rates are below 12 per cent; NumPy takes `exp` on every date. A second record has NumPy do a series and one `exp` for
  each half-year.
- `whole revaluation`: `revalue`, which also builds the schedules and bootstraps the curves from par yields, against
  the same QuantLib loop, whose bonds and curves are ready all the same.

For the figures without AVX-512 set `NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx2,+fma`: the kernels then compile for
AVX2, while NumPy keeps what it has unless `NPY_DISABLE_CPU_FEATURES` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np

from benchmarks.records import Record, compared, timed
from crossmargin.curves import exponent_weights, interpolate, zero_rates
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import (
    CashFlowBook,
    NettedBook,
    PnL,
    cash_flow_book,
    netted_book,
    netted_values,
    present_values,
    revalue,
)
from crossmargin.products import TreasuryBond, TreasuryFuture, TreasuryNote
from crossmargin.products.calendars import add_months
from crossmargin.scenarios import ScenarioSet, ScenarioSpec

AS_OF = date(2026, 6, 30)
N_TREASURIES, N_CURVES = 300, 250
TENORS = np.array([0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0])
PAR = np.array([3.87, 3.95, 4.05, 4.14, 4.15, 4.19, 4.3, 4.44, 4.85, 4.91]) / 100
AGREEMENT = 1e-9
PROMISED = 300.0
N_BONDS, N_MANY = 400, 1_250
BLOCKS = (64, 128, 256, N_MANY)  # curves in a block of NumPy
# contract -> years to maturity of its deliverables, and how many there are
BASKETS = {"ZT": (1.8, 2.0, 8), "ZF": (4.2, 5.2, 12), "ZN": (6.6, 8.0, 16), "TN": (9.5, 10.0, 5)}
BASKETS |= {"ZB": (15.3, 24.8, 100), "UB": (25.2, 29.9, 108)}
RUNS = 60
# What holds with AVX2 too.
PROMISED_NUMPY, PROMISED_SUMS, PROMISED_NETTED, PROMISED_SERIES, PROMISED_MANY = 6.0, 4.5, 11.0, 6.0, 600.0


def records() -> Iterator[Record]:
    """Yield the comparisons of T2."""
    yield from numpy_records()
    import QuantLib as ql  # noqa: N813 - its users write ql

    treasuries, scenarios = book(), shocks()
    market = Market(AS_OF, ParCurve(AS_OF, TENORS, PAR), History([AS_OF], [1, 2], [[0.04, 0.04]]))
    knots, zeros = zero_curves(scenarios)
    peer = quantlib_loop(ql, treasuries, knots, zeros)

    arrays = cash_flow_book(treasuries, AS_OF)
    prices = partial(present_values, arrays, knots, zeros)
    yield record(ql, "T2 prices", (prices, peer), prices())

    # the whole path ends on half-year knots: the peer gets these curves through whole days around each
    whole = partial(revalue, treasuries, market, scenarios)
    halves = quantlib_loop(ql, treasuries, *whole_days(*half_year_curves(scenarios)))
    yield record(ql, "T2 whole revaluation from par yields", (whole, halves), scenario_values(whole()))

    bonds, (knots, zeros) = book(N_BONDS), zero_curves(shocks(N_MANY))
    many = partial(present_values, cash_flow_book(bonds, AS_OF), knots, zeros)
    yield record(
        ql, "T2 prices", (many, quantlib_loop(ql, bonds, knots, zeros)), many(), runs=3, promised=PROMISED_MANY
    )


def numpy_records() -> Iterator[Record]:
    """Yield the comparisons with NumPy: each instrument, and the book netted."""
    bonds, (knots, zeros) = book(N_BONDS), half_year_curves(shocks(N_MANY))
    instruments = (*bonds, *futures())
    arrays = cash_flow_book(instruments, AS_OF)
    n_legs = int(arrays.row_start[-1]) - N_BONDS
    task = f"T2 prices: {N_BONDS} Treasuries and {len(BASKETS)} futures on {n_legs} deliverables x {N_MANY} curves"
    ours = partial(present_values, arrays, knots, zeros)
    ways = ("every coupon in the matrix", False, PROMISED_NUMPY), ("running sums", True, PROMISED_SUMS)
    for how, lines, promised in ways:
        peer = partial(numpy_prices, arrays, knots, zeros, lines=lines)
        peers = {f"{how}, blocks of {width}": partial(peer, width=width) for width in BLOCKS}
        yield numpy_record(task, ours, made(peers), promised)

    quantities = np.random.default_rng(3).normal(0, 1e7, N_BONDS)
    netted = netted_book(bonds, quantities.tolist(), AS_OF, knots=knots)
    ours = partial(netted_values, netted, zeros)
    weights = sparse_weights(knots, netted.times)
    peers = {
        f"exp on every date, blocks of {width}": partial(numpy_netted, weights, netted.amounts, zeros, width=width)
        for width in BLOCKS
    }
    task = f"T2b netted: {N_BONDS} Treasuries on {len(netted.times)} dates x {N_MANY} curves"
    yield numpy_record(task, ours, made(peers), PROMISED_NETTED)
    peers = {
        f"the same series, blocks of {width}": partial(numpy_series, netted, zeros, width=width) for width in BLOCKS
    }
    yield numpy_record(task, ours, made(peers), PROMISED_SERIES)


def made(peers: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    """Return the functions that the makers make: matrices are made outside what is timed."""
    return {name: maker() for name, maker in peers.items()}


def numpy_record(task: str, ours: Any, peers: dict[str, Callable[[], Any]], promised: float) -> Record:
    """Return the comparison with the fastest of the peers, all of which must agree."""
    import scipy

    values = ours()
    scale = np.abs(values).max(axis=-1, keepdims=True)
    agreement = max(float(np.max(np.abs(peer() - values) / scale)) for peer in peers.values())
    fastest = min(peers, key=lambda name: min(timed(peers[name], 2) for _ in range(3)))
    return Record(
        task=task,
        peer=f"NumPy and scipy.sparse, {fastest}",
        peer_version=f"{np.__version__} and {scipy.__version__}",
        agreement=agreement,
        agreement_limit=AGREEMENT,
        at_least=promised,
        instruction_set=instruction_set(),
        **compared(ours, peers[fastest], runs=RUNS, inner=5),  # type: ignore[arg-type]
    )


def sparse_weights(knots: Any, times: Any) -> Any:
    """Return the matrix [n_dates, n_knots] that makes logarithms of discount factors out of zero rates."""
    nodes, weights = exponent_weights(knots, times)
    return sparse(nodes, -weights * knots[nodes], len(knots))


def sparse(nodes: Any, weights: Any, n_knots: int) -> Any:
    """Return two weights [2, n] on two knots as a sparse matrix [n, n_knots]."""
    from scipy.sparse import csr_array

    rows = np.tile(np.arange(nodes.shape[1]), 2)
    return csr_array((weights.ravel(), (rows, nodes.ravel())), shape=(nodes.shape[1], n_knots))


def numpy_prices(book: CashFlowBook, knots: Any, zeros: Any, *, lines: bool, width: int) -> Callable[[], Any]:
    """Return a function that values every instrument on every curve with NumPy."""
    from scipy.sparse import csr_array

    n_dates, n_sums = len(book.times), len(book.sum_before)
    weights, n_legs = sparse_weights(knots, book.times), len(book.leg_offset)
    flows = csr_array((book.flow_amount, book.flow_line, book.flow_start), shape=(n_legs, n_dates + n_sums))
    steps = list(zip(book.sum_before.tolist(), book.sum_date.tolist(), strict=True))
    if not lines:
        dated = np.eye(n_dates + n_sums, n_dates)
        for line, (before, day) in enumerate(steps, start=n_dates):
            dated[line] = dated[before] + dated[day]
        flows, steps = csr_array(flows @ csr_array(dated)), []
    bonds, blocks = N_BONDS, blocks_of(zeros, width)
    divisor, offset, starts = book.leg_divisor[bonds:], book.leg_offset[bonds:, None], book.row_start[bonds:-1] - bonds
    out = np.empty((len(book.row_start) - 1, zeros.shape[1]))

    def values() -> Any:
        for begin, end, block in blocks:
            factors = np.empty((n_dates + len(steps), end - begin))
            np.exp(weights @ block, out=factors[:n_dates])
            for line, (before, day) in enumerate(steps, start=n_dates):
                np.add(factors[before], factors[day], out=factors[line])
            legs = flows @ factors
            out[:bonds, begin:end] = legs[:bonds]
            forwards = legs[bonds:] / factors[divisor] + offset
            np.minimum.reduceat(forwards, starts, axis=0, out=out[bonds:, begin:end])
        return out

    return values


def numpy_netted(weights: Any, amounts: Any, zeros: Any, *, width: int) -> Callable[[], Any]:
    """Return a function that values netted cash flows on every curve, one `exp` for each date."""
    blocks, out = blocks_of(zeros, width), np.empty(zeros.shape[1])

    def values() -> Any:
        for begin, end, block in blocks:
            exponents = weights @ block
            np.exp(exponents, out=exponents)
            np.matmul(amounts, exponents, out=out[begin:end])
        return out

    return values


def numpy_series(netted: NettedBook, zeros: Any, *, width: int) -> Callable[[], Any]:
    """Return a function that takes the dates between two knots together, as the kernel does."""
    nodes, centres, slopes, series, *_ = netted.grid
    middle, slope = (sparse(nodes, weights, len(netted.knots)) for weights in (-centres, slopes))
    blocks, out = blocks_of(zeros, width), np.empty(zeros.shape[1])
    coefficients = series.T[:, :, None]

    def values() -> Any:
        for begin, end, block in blocks:
            x = slope @ block
            total = np.empty_like(x)
            total[:] = coefficients[-1]
            for coefficient in coefficients[-2::-1]:
                total *= x
                total += coefficient
            factors = middle @ block
            np.exp(factors, out=factors)
            np.einsum("ij,ij->j", factors, total, out=out[begin:end])
        return out

    return values


def blocks_of(zeros: Any, width: int) -> list[tuple[int, int, Any]]:
    """Return the curves in contiguous blocks: begin, end, rates."""
    ends = [min(begin + width, zeros.shape[1]) for begin in range(0, zeros.shape[1], width)]
    return [(begin, end, zeros[:, begin:end].copy()) for begin, end in zip([0, *ends], ends, strict=False)]


def futures() -> tuple[TreasuryFuture, ...]:
    """Return one future of each contract on made-up deliverables."""
    found = []
    for contract, (nearest, farthest, count) in BASKETS.items():
        years = np.linspace(nearest, farthest, count)
        months = [round(12 * length) for length in years]
        days = [add_months(date(2026, 9, 30), month, month_end=True) for month in months]
        kind = TreasuryBond if contract in {"ZB", "UB"} else TreasuryNote
        coupons = [(8 + (n * 7) % 33) / 800 for n in range(count)]
        basket = (
            kind(c, day if n % 2 else day.replace(day=15)) for n, (c, day) in enumerate(zip(coupons, days, strict=True))
        )
        found.append(TreasuryFuture(contract, 202609, tuple(dict.fromkeys(basket))))
    return tuple(found)


def book(count: int = N_TREASURIES) -> tuple[TreasuryNote | TreasuryBond, ...]:
    """Return made-up notes and bonds at mid-month and month end, one month to thirty years."""
    made = []
    for n in range(count):
        month_end = add_months(date(2026, 7, 31), (n * 358) // count, month_end=True)
        maturity = month_end if n % 2 else month_end.replace(day=15)
        coupon = (8 + (n * 7) % 33) / 800
        made.append((TreasuryBond if n % 3 == 0 else TreasuryNote)(coupon, maturity))
    return tuple(made)


def shocks(count: int = N_CURVES) -> ScenarioSet:
    """Return parallel moves with a slope and a little noise."""
    rng = np.random.default_rng(2)
    level, slope = rng.normal(0, [[15e-4], [8e-4]], (2, count))
    noise = rng.normal(0, 1e-4, (len(TENORS), count))
    shifts = level + slope * (TENORS[:, None] / 15 - 1) + noise
    return ScenarioSet(ScenarioSpec("historical", 1, 1), TENORS, shifts)


def half_year_curves(scenarios: ScenarioSet) -> tuple[Any, Any]:
    """Return the library's own zero curves of every scenario."""
    return zero_rates(TENORS, PAR[:, None] + scenarios.shifts)


def zero_curves(scenarios: ScenarioSet) -> tuple[Any, Any]:
    """Return smooth zero curves on knots of whole days, which both sides can hold as they are."""
    days = np.array([30, 91, 182, *(round(365 * half / 2) for half in range(2, 61))])
    return days / 365, interpolate(TENORS, PAR[:, None] + scenarios.shifts, days / 365)


def whole_days(knots: Any, zeros: Any) -> tuple[Any, Any]:
    """Return the same curves on the whole days around each knot; log discount factors are linear between."""
    days = np.unique([day for knot in knots for day in (np.floor(365 * knot), np.floor(365 * knot) + 1)])
    exponents = np.vstack([np.zeros(zeros.shape[1]), zeros * knots[:, None]])
    rebuilt = interpolate(np.concatenate([[0.0], knots]), exponents, days / 365)
    beyond = days / 365 > knots[-1]
    rebuilt[beyond] = (days[beyond] / 365)[:, None] * zeros[-1]
    return days / 365, rebuilt / (days / 365)[:, None]


def quantlib_loop(ql: Any, treasuries: tuple[Any, ...], knots: Any, zeros: Any) -> Callable[[], Any]:
    """Return a function that values every bond on every curve and returns [n_treasuries, n_curves]."""
    ql.Settings.instance().evaluationDate = ql_date(ql, AS_OF)
    handle = ql.RelinkableYieldTermStructureHandle()
    engine = ql.DiscountingBondEngine(handle)
    bonds = [ql_bond(ql, treasury, engine) for treasury in treasuries]
    nodes = [ql_date(ql, AS_OF + timedelta(days=round(365 * knot))) for knot in (0.0, *knots)]
    factors = np.exp(-np.vstack([np.zeros(zeros.shape[1]), zeros * knots[:, None]]))
    curves = [ql.DiscountCurve(nodes, column.tolist(), ql.Actual365Fixed()) for column in factors.T]

    def loop() -> Any:
        values = []
        for curve in curves:
            handle.linkTo(curve)
            values.append([bond.NPV() for bond in bonds])
        return np.array(values).T / 100

    return loop


def ql_bond(ql: Any, treasury: TreasuryNote | TreasuryBond, engine: Any) -> Any:
    """Return QuantLib's bond of 100 face with its own regular schedule."""
    maturity = ql_date(ql, treasury.maturity)
    month_end = ql.Date.isEndOfMonth(maturity)
    calendar, unadjusted = ql.NullCalendar(), ql.Unadjusted
    begun = ql_date(ql, add_months(treasury.maturity, -12 * 31, month_end=month_end))
    every = (ql.Period(ql.Semiannual), calendar, unadjusted, unadjusted, ql.DateGeneration.Backward, month_end)
    schedule = ql.Schedule(begun, maturity, *every)
    day_count = ql.ActualActual(ql.ActualActual.ISMA, schedule)
    bond = ql.FixedRateBond(0, 100.0, schedule, [treasury.coupon], day_count, unadjusted, 100.0)
    bond.setPricingEngine(engine)
    return bond


def ql_date(ql: Any, day: date) -> Any:
    """Return QuantLib's date."""
    return ql.Date(day.day, day.month, day.year)


def scenario_values(pnl: PnL) -> Any:
    """Return the values under each scenario [n_instruments, n_curves]."""
    return pnl.values + pnl.base[:, None]


def record(
    ql: Any, task: str, sides: tuple[Any, Any], ours: Any, *, runs: int = 7, promised: float | None = None
) -> Record:
    """Return the comparison of two sides, the second returning what `ours` must agree with."""
    theirs = sides[1]()
    return Record(
        task=f"{task}: {len(ours)} Treasuries x {ours.shape[1]} curves",
        peer="QuantLib from Python, curve relinked, NPV of each bond",
        peer_version=ql.__version__,
        agreement=float(np.max(np.abs(ours / theirs - 1))),
        agreement_limit=AGREEMENT,
        at_least=promised or (PROMISED if task == "T2 prices" else 1.0),
        instruction_set=instruction_set(),
        **compared(*sides, runs=runs, inner=20),  # type: ignore[arg-type]
    )


def instruction_set() -> str:
    """Return the widest vectors that the kernels are compiled for."""
    from numba.core.registry import cpu_target

    machine: Any = cpu_target.target_context.codegen().magic_tuple()
    for flag, name in (("+avx512f", "AVX-512"), ("+avx2", "AVX2"), ("+neon", "NEON")):
        if flag in machine[2]:
            return name
    return str(machine[1])
