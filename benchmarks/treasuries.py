"""T2: 300 Treasuries under 250 curves, against QuantLib from Python, both on one core.

`prices` times what the two have in common: instruments and curves are ready, every instrument is valued on
every curve (QuantLib: relink the curve, ask each bond for its NPV). `whole_revaluation` times `revalue`, which
also builds the schedules and bootstraps the curves from par yields, against the same QuantLib loop, whose
bonds and curves are ready all the same. QuantLib's own C++ loop, without Python between bonds, is faster than
either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np

from benchmarks.records import Record, compared
from crossmargin.curves import interpolate, zero_rates
from crossmargin.market import History, Market, ParCurve
from crossmargin.pnl import PnL, cash_flow_book, present_values, revalue
from crossmargin.products import TreasuryBond, TreasuryNote
from crossmargin.products.calendars import add_months
from crossmargin.scenarios import ScenarioSet, ScenarioSpec

AS_OF = date(2026, 6, 30)
N_TREASURIES, N_CURVES = 300, 250
TENORS = np.array([0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0])
PAR = np.array([3.87, 3.95, 4.05, 4.14, 4.15, 4.19, 4.3, 4.44, 4.85, 4.91]) / 100
AGREEMENT = 1e-9
PROMISED = 300.0


def records() -> Iterator[Record]:
    """Yield the two comparisons of T2."""
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


def book() -> tuple[TreasuryNote | TreasuryBond, ...]:
    """Return made-up notes and bonds at mid-month and month end, one month to thirty years."""
    made = []
    for n in range(N_TREASURIES):
        month_end = add_months(date(2026, 7, 31), (n * 358) // N_TREASURIES, month_end=True)
        maturity = month_end if n % 2 else month_end.replace(day=15)
        coupon = (8 + (n * 7) % 33) / 800
        made.append((TreasuryBond if n % 3 == 0 else TreasuryNote)(coupon, maturity))
    return tuple(made)


def shocks() -> ScenarioSet:
    """Return parallel moves with a slope and a little noise."""
    rng = np.random.default_rng(2)
    level, slope = rng.normal(0, [[15e-4], [8e-4]], (2, N_CURVES))
    noise = rng.normal(0, 1e-4, (len(TENORS), N_CURVES))
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


def record(ql: Any, task: str, sides: tuple[Any, Any], ours: Any) -> Record:
    """Return the comparison of two sides, the second returning what `ours` must agree with."""
    theirs = sides[1]()
    return Record(
        task=f"{task}: {N_TREASURIES} Treasuries x {N_CURVES} curves",
        peer="QuantLib from Python, curve relinked, NPV of each bond",
        peer_version=ql.__version__,
        agreement=float(np.max(np.abs(ours / theirs - 1))),
        agreement_limit=AGREEMENT,
        at_least=PROMISED if task == "T2 prices" else 1.0,
        instruction_set=instruction_set(),
        **compared(*sides, runs=7, inner=20),  # type: ignore[arg-type]
    )


def instruction_set() -> str:
    """Return the widest vectors that the kernels are compiled for."""
    from numba.core.registry import cpu_target

    machine: Any = cpu_target.target_context.codegen().magic_tuple()
    for flag, name in (("+avx512f", "AVX-512"), ("+avx2", "AVX2"), ("+neon", "NEON")):
        if flag in machine[2]:
            return name
    return str(machine[1])
