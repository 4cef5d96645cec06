"""S6: historical-simulation value at risk of overnight swaps, against the Open Source Risk Engine (ORE) from Python.

Up to 400 swaps of 1 to 30 years on one curve under up to 715 scenarios of a day. ORE runs its own analytic,
`OREApp` with `historicalSimulationVar`, one thread, no breakdown, from files: trades in XML, discount factors of every
day in CSV. That includes the market it builds, files read and reports written, so what counts is the marginal cost,
from which all that drops out: of one more swap, between 100 and 400 of them, and of one more scenario, between 358 and
715. Ours goes from trade objects to a value for each swap and scenario, their sum, and its quantile. Building cash
flows from dates and conventions is inside the clock on both sides, except on ours for one more scenario, where it drops
out and only its noise would stay. The whole profit and loss, scenario by scenario, and
the value at risk are compared, ORE's with six decimals as it writes them. Seconds are processor time on both sides: a
difference of two runs of half a minute would drown in what else the machine does.

ORE (package `open-source-risk-engine`) runs in the Python that BENCH_ORE names, or in this one where it is installed.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from attrs import frozen

from benchmarks.records import Record, summary
from benchmarks.treasuries import instruction_set
from crossmargin.curves import year_fractions
from crossmargin.pricing import pieces
from crossmargin.pricing.swaps import SwapBook, SwapCurves, swap_book, swap_values
from crossmargin.products.calendars import add_business_days, add_months, holidays
from crossmargin.products.schedules import schedule
from crossmargin.products.swaps import OvernightSwap
from crossmargin.risk import TailMeasure

AS_OF = date(2026, 6, 30)
N_SWAPS, N_SCENARIOS, FEW_SWAPS, FEW_SCENARIOS = 400, 715, 100, 358
RUNS, INNER = 3, 10
AGREEMENT, PROMISED, PROMISED_IN_ALL = 1e-9, 100.0, 60.0
MONTHS = (1, 3, 6, *(12 * years for years in (1, 2, 3, 5, 7, 10, 15, 20, 30, 40)))
CONFIDENCE = 0.99
PYTHON_OF = "BENCH_ORE"
PEER = "ORE from Python, OREApp historicalSimulationVar"
CALENDAR = "CUSTOM_US"  # ORE's name of our calendar: its weekends, our holidays

# Runs in ORE's Python; its argument is the folder of the inputs.
PEER_CODE = """
import json, sys, time
from importlib.metadata import version
import ORE
start = time.process_time()
parameters = ORE.Parameters()
parameters.fromFile(sys.argv[1] + "/ore.xml")
app = ORE.OREApp(parameters, False)
app.run()
seconds = time.process_time() - start
print(json.dumps({"seconds": seconds, "errors": list(app.getErrors()), "version": version("open-source-risk-engine")}))
"""


def records() -> Iterator[Record]:
    """Yield what one more swap, one more scenario and the whole book cost both sides; nothing without ORE."""
    python = peer_python()
    if not python:
        how = f"pip install open-source-risk-engine into an environment and name its Python in {PYTHON_OF}"
        print(f"S6 ORE: not installed; {how}", file=sys.stderr)
        return
    whole = Case(N_SWAPS, N_SCENARIOS)
    fewer, shorter = Case(FEW_SWAPS, N_SCENARIOS), Case(N_SWAPS, FEW_SCENARIOS)
    cases = (whole, fewer, shorter)
    with tempfile.TemporaryDirectory() as folder:
        turns = [{case: turn(case, python, Path(folder)) for case in cases} for _ in range(RUNS)]
    agreement, version = max(each["agreement"] for one in turns for each in one.values()), turns[0][whole]["version"]
    more = f"one more under {N_SCENARIOS} scenarios, of {FEW_SWAPS} to {N_SWAPS}"
    for task, less, count, part in (
        (f"S6 swaps: {more}", fewer, N_SWAPS - FEW_SWAPS, "ours"),
        (f"S6 swaps: one more scenario for {N_SWAPS}", shorter, N_SCENARIOS - FEW_SCENARIOS, "values"),
        (f"S6 swaps: {N_SWAPS} under {N_SCENARIOS} scenarios, all in all", None, 1, "ours"),
    ):
        mine, theirs = (
            [(one[whole][side] - (one[less][side] if less else 0.0)) / count for one in turns]
            for side in (part, "peer")
        )
        timings = {**summary(mine, "ours"), **summary(theirs, "peer")}
        promised = PROMISED if less else PROMISED_IN_ALL
        yield record(task, version, agreement=agreement, promised=promised, timings=timings)


def record(task: str, version: str, *, agreement: float, promised: float, timings: Mapping[str, float]) -> Record:
    """Return one comparison."""
    return Record(
        task=task,
        peer=PEER,
        peer_version=version,
        runs=RUNS,
        agreement=agreement,
        agreement_limit=AGREEMENT,
        at_least=promised,
        instruction_set=instruction_set(),
        **timings,  # type: ignore[arg-type]
    )


def peer_python() -> str:
    """Return the Python that has ORE, "" for none."""
    named = os.environ.get(PYTHON_OF, "")
    if Path(named).is_file():
        return named
    return sys.executable if find_spec("ORE") else ""


# ------------------------------------------------------------------------------------------------------- the task


@frozen
class Case:
    """A made-up book and history: the first so many swaps, the last so many scenarios."""

    n_swaps: int
    n_scenarios: int

    @cached_property
    def swaps(self) -> list[OvernightSwap]:
        """Swaps of 1 to 30 years that begin within half a year, some millions each."""
        rng, swaps = np.random.default_rng(1), []
        for _ in range(self.n_swaps):
            start = add_business_days(AS_OF, 2 + int(rng.integers(0, 120)))
            end = add_months(start, 12 * int(rng.integers(1, 31)))
            side, rate = ("pay", "receive")[rng.integers(2)], round(rng.uniform(0.03, 0.05), 4)
            swaps.append(OvernightSwap(side, rate, start, end, notional=1e6 * int(rng.integers(1, 50))))
        return swaps

    @cached_property
    def days(self) -> list[date]:
        """Week-days up to today, one more than there are scenarios."""
        back = (AS_OF - timedelta(days) for days in range(3 * self.n_scenarios))
        return [day for day in back if day.weekday() < 5][self.n_scenarios :: -1]

    @cached_property
    def history(self) -> Any:
        """Zero rates [n_days, n_knots] of those days, the last of today."""
        rng = np.random.default_rng(7)
        moves = 2e-4 * rng.standard_normal((N_SCENARIOS, 1)) + 6e-5 * rng.standard_normal((N_SCENARIOS, len(MONTHS)))
        back = np.vstack([np.zeros(len(MONTHS)), np.cumsum(moves, axis=0)])[: self.n_scenarios + 1]
        return (0.04 + 0.002 * np.sin(np.arange(len(MONTHS))) + back)[::-1]


def pillars() -> list[date]:
    """Dates of the curves' knots."""
    return [add_months(AS_OF, months) for months in MONTHS]


def turn(case: Case, python: str, folder: Path) -> dict[str, Any]:
    """Run both sides once; return seconds, agreement and ORE's version."""
    place = folder / f"{case.n_swaps} {case.n_scenarios}"
    if not place.exists():
        write_inputs(case, place)
    limits = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([python, "-c", PEER_CODE, str(place)], env=limits, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    if not (place / "out" / "var.csv").exists():
        raise RuntimeError(f"ORE has no value at risk; {said['errors']}, see {place / 'out' / 'log.txt'}")
    values, at_risk = ours(case)
    seconds = median(processor_time(lambda: ours(case)) for _ in range(INNER))
    book = swap_book(case.swaps, AS_OF)
    valuing = median(processor_time(lambda: revalued(book, case)) for _ in range(INNER))
    theirs, their_risk = results(place)
    apart = max(disagreement(values, theirs), abs(at_risk / their_risk - 1.0))
    return {"ours": seconds, "values": valuing, "peer": said["seconds"], "agreement": apart, "version": said["version"]}


def processor_time(work: Callable[[], object]) -> float:
    """Return the seconds of our side, with no schedule or piece of time kept from before."""
    for kept in (schedule, pieces._dated_pieces):  # noqa: SLF001 - a cache is what must not be timed
        kept.cache_clear()
    start = time.process_time()
    work()
    return time.process_time() - start


def ours(case: Case) -> tuple[Any, float]:
    """Return the profit and loss [n_scenarios] of the book, and its value at risk, USD."""
    return revalued(swap_book(case.swaps, AS_OF), case)


def revalued(book: SwapBook, case: Case) -> tuple[Any, float]:
    """Return the same of swaps whose cash flows are made."""
    knots, history = year_fractions(AS_OF, pillars()), case.history
    zeros = np.vstack([history[-1], history[-1] + np.diff(history, axis=0)]).T
    values = swap_values(book, SwapCurves(knots, zeros)).sum(axis=0)
    pnl = values[1:] - values[0]
    return pnl, float(TailMeasure("quantile", confidence=CONFIDENCE, quantile_type=1).of_pnl(pnl))


def results(place: Path) -> tuple[Any, float]:
    """Return ORE's profit and loss by scenario, and its value at risk."""
    with (place / "out" / "historical_PnL.csv").open(encoding="utf-8") as file:
        values = np.array([float(row["PLAmount"]) for row in csv.DictReader(file)])
    with (place / "out" / "var.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    return values, -float(row[f"Quantile_{1.0 - CONFIDENCE:.6f}"])


def disagreement(mine: Any, theirs: Any) -> float:
    """Return the largest difference beside the largest figure; infinite when there are not as many."""
    return float(np.abs(mine - theirs).max() / np.abs(theirs).max()) if len(mine) == len(theirs) else float("inf")


# ------------------------------------------------------------------------------------------------------ ORE's inputs


def write_inputs(case: Case, place: Path) -> None:
    """Write what ORE reads into a new folder."""
    (place / "out").mkdir(parents=True)
    knots = year_fractions(AS_OF, pillars())
    factors = np.exp(-case.history * knots)
    quotes = [f"DISCOUNT/RATE/USD/USDSOFR/{day}" for day in pillars()]
    today = zip(quotes, factors[-1].tolist(), strict=True)
    trades = "".join(trade(f"T{n}", swap) for n, swap in enumerate(case.swaps))
    free = "".join(f"<Date>{day}</Date>" for year in range(AS_OF.year - 3, 2075) for day in holidays(year))
    files = {
        "market.txt": "".join(f"{AS_OF:%Y%m%d} {quote} {value!r}\n" for quote, value in today),
        "scenarios.csv": scenario_file(case, factors),
        "portfolio.xml": f"<Portfolio>{trades}</Portfolio>",
        "curveconfig.xml": CURVE.replace("QUOTES", "".join(f"<Quote>{quote}</Quote>" for quote in quotes)),
        "calendars.xml": HOLIDAYS.replace("DATES", free),
        "simulation.xml": SIMULATION.replace("TENORS", ",".join(f"{months}M" for months in MONTHS)),
        "ore.xml": control(case, place),
        "fixings.txt": "",
        "conventions.xml": "<Conventions/>",
        **FIXED,
    }
    for name, text in files.items():
        (place / name).write_text(text, encoding="utf-8")


def scenario_file(case: Case, factors: Any) -> str:
    """Return discount factors of every day, once to discount and once to project."""
    keys = [f"{key}/{n}" for key in ("DiscountCurve/USD", "IndexCurve/USD-SOFR") for n in range(len(MONTHS))]
    rows = zip(case.days, factors.tolist(), strict=True)
    lines = (",".join([str(day), "1", "1", *map(repr, row), *map(repr, row)]) for day, row in rows)
    return "\n".join([",".join(["Date", "Scenario", "Numeraire", *keys]), *lines, ""])


def trade(name: str, swap: OvernightSwap) -> str:
    """Return a swap as ORE's XML."""
    fixed = f"<FixedLegData><Rates><Rate>{swap.rate!r}</Rate></Rates></FixedLegData>"
    payer = swap.side == "pay"
    both = leg("Fixed", swap, fixed, payer=payer) + leg("Floating", swap, FLOATING, payer=not payer)
    envelope = "<Envelope><CounterParty>C</CounterParty><NettingSetId>N</NettingSetId></Envelope>"
    return f'<Trade id="{name}"><TradeType>Swap</TradeType>{envelope}<SwapData>{both}</SwapData></Trade>'


def leg(kind: str, swap: OvernightSwap, data: str, *, payer: bool) -> str:
    """Return a leg: annual periods, paid two days late."""
    rules = {"StartDate": swap.start, "EndDate": swap.maturity, "Tenor": "1Y", "Calendar": CALENDAR}
    rules |= {"Convention": "MF", "TermConvention": "MF", "Rule": "Backward"}
    head = {"LegType": kind, "Payer": str(payer).lower(), "Currency": "USD", "DayCounter": "A360"}
    head |= {"PaymentConvention": "F", "PaymentLag": 2, "PaymentCalendar": CALENDAR}
    notional = f"<Notionals><Notional>{swap.notional!r}</Notional></Notionals>"
    return f"<LegData>{tags(head)}{notional}{data}<ScheduleData><Rules>{tags(rules)}</Rules></ScheduleData></LegData>"


def tags(values: Mapping[str, object]) -> str:
    """Return values as XML elements."""
    return "".join(f"<{name}>{value}</{name}>" for name, value in values.items())


def parameters(values: Mapping[str, object]) -> str:
    """Return values as ORE's parameters."""
    return "".join(f'<Parameter name="{name}">{value}</Parameter>' for name, value in values.items())


def control(case: Case, place: Path) -> str:
    """Return what ORE is told to do."""
    files = {"marketDataFile": "market.txt", "fixingDataFile": "fixings.txt", "portfolioFile": "portfolio.xml"}
    files |= {"curveConfigFile": "curveconfig.xml", "conventionsFile": "conventions.xml"}
    files |= {"marketConfigFile": "todaysmarket.xml", "pricingEnginesFile": "pricingengine.xml"}
    setup = {"asofDate": AS_OF, "inputPath": place, "outputPath": place / "out", "logFile": "log.txt", "logMask": 15}
    setup |= files | {"calendarAdjustment": "calendars.xml", "implyTodaysFixings": "Y", "observationModel": "None"}
    setup |= {"baseCurrency": "USD", "nThreads": 1}
    markets = dict.fromkeys(("pricing", "simulation", "sensitivity", "lgmcalibration", "fxcalibration"), "default")
    period = f"{case.days[1]},{case.days[-1]}"  # the days on which changes end
    analytic = {"active": "Y", "historicalScenarioFile": "scenarios.csv", "simulationConfigFile": "simulation.xml"}
    analytic |= {"historicalPeriod": period, "mporDays": 1, "mporCalendar": "WeekendsOnly"}
    analytic |= {"mporOverlappingPeriods": "true", "quantiles": f"{1.0 - CONFIDENCE:.2f}", "outputFile": "var.csv"}
    analytic |= dict.fromkeys(("breakdown", "tradePnl", "riskFactorBreakdown", "riskClassBreakdown"), "N")
    analytic |= {"includeExpectedShortfall": "N"}
    kind = f'<Analytic type="historicalSimulationVar">{parameters(analytic)}</Analytic>'
    sections = f"<Setup>{parameters(setup)}</Setup><Markets>{parameters(markets)}</Markets>"
    return f"<ORE>{sections}<Analytics>{kind}</Analytics></ORE>"


FLOATING = (
    "<FloatingLegData><Index>USD-SOFR</Index><Spreads><Spread>0</Spread></Spreads>"
    "<IsInArrears>true</IsInArrears><FixingDays>0</FixingDays></FloatingLegData>"
)
CURVE = (
    "<CurveConfiguration><YieldCurves><YieldCurve><CurveId>USDSOFR</CurveId><CurveDescription>SOFR</CurveDescription>"
    "<Currency>USD</Currency><DiscountCurve>USDSOFR</DiscountCurve><Segments><Direct><Type>Discount</Type>"
    "<Quotes>QUOTES</Quotes><Conventions/></Direct></Segments><InterpolationVariable>Discount</InterpolationVariable>"
    "<InterpolationMethod>LogLinear</InterpolationMethod><YieldCurveDayCounter>A365</YieldCurveDayCounter>"
    "</YieldCurve></YieldCurves></CurveConfiguration>"
)
HOLIDAYS = (
    f'<CalendarAdjustments><Calendar name="{CALENDAR}"><BaseCalendar>WeekendsOnly</BaseCalendar>'
    "<AdditionalHolidays>DATES</AdditionalHolidays></Calendar></CalendarAdjustments>"
)
SIMULATION = (
    "<Simulation><Market><BaseCurrency>USD</BaseCurrency><Currencies><Currency>USD</Currency></Currencies>"
    '<YieldCurves><Configuration curve=""><Tenors>TENORS</Tenors><Interpolation>LogLinear</Interpolation>'
    "<Extrapolation>FlatFwd</Extrapolation></Configuration></YieldCurves>"
    "<Indices><Index>USD-SOFR</Index></Indices></Market></Simulation>"
)
FIXED = {
    "todaysmarket.xml": (
        '<TodaysMarket><Configuration id="default"><DiscountingCurvesId>default</DiscountingCurvesId>'
        "<IndexForwardingCurvesId>default</IndexForwardingCurvesId></Configuration>"
        '<DiscountingCurves id="default"><DiscountingCurve currency="USD">Yield/USD/USDSOFR</DiscountingCurve>'
        '</DiscountingCurves><IndexForwardingCurves id="default"><Index name="USD-SOFR">Yield/USD/USDSOFR</Index>'
        "</IndexForwardingCurves></TodaysMarket>"
    ),
    "pricingengine.xml": (
        '<PricingEngines><Product type="Swap"><Model>DiscountedCashflows</Model><ModelParameters/>'
        "<Engine>DiscountingSwapEngine</Engine><EngineParameters/></Product></PricingEngines>"
    ),
}
