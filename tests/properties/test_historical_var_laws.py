"""Laws of the historical value-at-risk family: twins, coherence, floors, filters, what a pool may do to a figure."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossmargin.accounts import AccountClass
from crossmargin.errors import InputError
from crossmargin.historical_var import COMBINERS, REDUCERS, Combiner, Leg, Reducer, reducer, requirement, scenarios
from crossmargin.margin import margin
from crossmargin.market import History, Market
from crossmargin.methodology import Inputs
from crossmargin.parameters import DatedValue, Parameter, Rules, Source
from crossmargin.pnl import PnL, revalue
from crossmargin.portfolio import Pool, Position
from crossmargin.products import is_business_day
from crossmargin.regimes import SILOED
from crossmargin.registry import rules
from crossmargin.results import Line, Report
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, scenario_set
from tests.properties.strategies import AS_OF, STRESS, ZN, ZQ, ZT, book, contracts, few, market
from tests.reference import historical_var_twin as twin

FAMILY = ("cme_irs_like", "cme_span2_like", "eurex_prisma_like", "ice_irm2_like", "lch_pairs_like")
SPEC = ScenarioSpec("historical", 1, 10)

amounts = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, allow_subnormal=False))  # the first make ties
samples = st.lists(amounts, min_size=1, max_size=40)
confidences = st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99, 0.997])
losses = st.floats(0, 1e8, allow_subnormal=False)
weights = st.floats(0, 1)
kinds = st.sampled_from(sorted(COMBINERS))


def reader(**parameters):
    """A reader of a rule that exists here alone."""
    start = date(2020, 1, 1)
    held = {
        name: Parameter(name, "1", "", (DatedValue(start, value, "here", "assumed"),))
        for name, value in parameters.items()
    }
    return Rules("toy", parameters=held, sources={"here": Source("these laws")}).at(AS_OF)


@st.composite
def chosen(draw, n):
    """Parameters of some reducer that fits n scenarios."""
    return {
        "reducer": draw(st.sampled_from(sorted(REDUCERS))),
        "confidence": draw(confidences),
        "quantile_type": draw(st.integers(1, 9)),
        "base_confidence": draw(st.sampled_from([0.6, 0.9, 0.95])),
        "degrees_of_freedom": draw(st.integers(2, 9)),
        "horizon_days": draw(st.integers(1, min(n, 7))),
        "worst_scenarios": draw(st.integers(1, n)),
    }


cases = samples.flatmap(lambda pnl: st.tuples(st.just(pnl), chosen(len(pnl))))


def near(value, pnl):
    return pytest.approx(value, rel=1e-9, abs=1e-9 * max(1.0, *(abs(each) for each in pnl)))


# ----------------------------------------------------------------------------------------------------------- reducers


@given(cases)
def test_a_reducer_is_its_twin(case):
    pnl, parameters = case
    name = parameters["reducer"]
    others = {key: value for key, value in parameters.items() if key != "reducer"}
    assert reducer(reader(**parameters)).of_pnl(pnl) == near(twin.reduced(pnl, name, **others), pnl)


# NumPy decides the jumps of types 1 to 3 in floating point, the library exactly: these confidences keep off the jumps.
@given(samples, st.sampled_from([0.513, 0.7531, 0.90007, 0.98765]), st.integers(1, 9))
def test_a_plain_quantile_is_that_of_numpy(pnl, confidence, quantile_type):
    p = reader(reducer="quantile", confidence=confidence, quantile_type=quantile_type)
    assert reducer(p).of_pnl(pnl) == near(twin.by_numpy(pnl, confidence, quantile_type), pnl)


@given(cases, st.sampled_from([0.5, 2.0, 1024.0]))
def test_a_reducer_is_homogeneous_and_never_negative(case, factor):
    pnl, parameters = case
    found = reducer(reader(**parameters))
    assert found.of_pnl(pnl) >= 0.0
    assert found.of_pnl([factor * each for each in pnl]) == factor * found.of_pnl(pnl)


@given(cases, st.integers(0, 39), losses)
def test_a_worse_scenario_is_never_a_smaller_loss(case, which, more):
    pnl, parameters = case
    worse = list(pnl)
    worse[which % len(pnl)] -= more
    found = reducer(reader(**parameters))
    assert found.of_pnl(worse) >= found.of_pnl(pnl) - 1e-9 * max(map(abs, [*worse, 1.0]))


@given(cases)
def test_rows_are_reduced_each_on_its_own(case):
    pnl, parameters = case
    found = reducer(reader(**parameters))
    rows = np.array([pnl, pnl[::-1], [-each for each in pnl]])
    assert found.of_pnl(rows).tolist() == [found.of_pnl(row) for row in rows]


ESTIMATORS = [TailMeasure("mean_of_k_worst", k=k) for k in (1, 3, 6)] + [
    TailMeasure("quantile", confidence=confidence, quantile_type=kind)
    for confidence in (0.75, 0.95, 0.99)
    for kind in (1, 2, 3, 5, 7)
]


@given(
    st.sampled_from(ESTIMATORS),
    st.integers(1, 12),
    st.tuples(st.integers(0, 6), st.integers(12, 260), st.integers(0, 99)),
    st.booleans(),
)
def test_a_tail_cut_out_first_is_the_tail_to_the_bit(measure, samples, shape, ties):
    """Also where results tie, a row never moves, or sub-samples are so many that the order of a mean matters."""
    rows, n, seed = shape
    samples = samples if n // samples >= 6 else 1
    gains = np.random.default_rng(seed).standard_t(3, (rows, n)) * 1e6
    gains = np.round(gains, -6) if ties else gains
    gains[1:2] = 0.0
    found = Reducer(measure, 1.7, samples)
    assert np.asarray(found.of_pnl(gains)).tolist() == [found.of_pnl(row) for row in gains]
    gains[-1:, n // 2] = np.nan
    if rows:
        with pytest.raises(InputError, match="NaN"):
            found.of_pnl(gains)


@given(cases)
def test_the_line_of_a_leg_says_what_its_reducer_says(case):
    pnl, parameters = case
    found = reducer(reader(**parameters))
    assert Leg("loss", SPEC, found).line(pnl).value == near(found.of_pnl(pnl), pnl)


@given(samples, confidences, confidences, st.integers(1, 9))
def test_more_confidence_is_never_less_loss(pnl, one, other, quantile_type):
    low, high = (
        Reducer(TailMeasure("quantile", confidence=each, quantile_type=quantile_type)).of_pnl(pnl)
        for each in sorted((one, other))
    )
    assert low <= high + 1e-9 * max(map(abs, [*pnl, 1.0]))


matrices = st.tuples(st.integers(1, 5), st.integers(1, 40)).flatmap(
    lambda shape: st.tuples(arrays(float, shape, elements=amounts), st.integers(1, shape[1]), st.integers(1, shape[1]))
)


@given(matrices)
def test_expected_shortfall_of_a_merged_pool_is_at_most_the_sum(drawn):
    """The mean of the k worst, of the whole sample or of sub-samples: coherent, floored at zero or not."""
    pnl, k, count = drawn
    for samples in {1, min(count, max(1, pnl.shape[1] // k))}:
        found = Reducer(TailMeasure("mean_of_k_worst", k=k), samples=samples)
        assert found.of_pnl(pnl.sum(axis=0)) <= found.of_pnl(pnl).sum() + 1e-9 * max(1.0, np.abs(pnl).sum())


def test_a_quantile_is_not_sub_additive():
    one, other = np.zeros(10), np.zeros(10)
    one[0] = other[1] = -100.0
    found = Reducer(TailMeasure("quantile", confidence=0.9, quantile_type=1))
    assert (found.of_pnl(one), found.of_pnl(other), found.of_pnl(one + other)) == (0.0, 0.0, 100.0)


# ---------------------------------------------------------------------------------------------------------- combiners


@given(kinds, losses, losses, weights)
def test_a_combiner_is_its_twin_and_its_floor_holds(kind, historical, second, weight):
    weight = 1.0 + weight if kind == "buffered" else weight if kind in {"larger", "weighted"} else 1.0
    line = Combiner(kind, weight).line("x", Line("historical", historical), Line("second", second))
    assert line.value == pytest.approx(twin.combined(kind, historical, second, weight))
    if kind != "weighted":
        assert line.value >= historical
    if kind in {"floored", "long_run"}:
        assert line.value >= second
    if kind == "larger":
        assert line.value >= weight * second
    assert min(historical, second) * (1 - 1e-12) <= line.value or kind == "historical"


@given(kinds, losses, losses, losses)
def test_a_larger_loss_is_never_a_smaller_charge(kind, historical, second, more):
    def charge(first, other):
        return Combiner(kind, 0.75).line("x", Line("a", first), Line("b", other)).value

    assert charge(historical + more, second) >= charge(historical, second) * (1 - 1e-12)
    assert charge(historical, second + more) >= charge(historical, second) * (1 - 1e-12)


# --------------------------------------------------------------------------------------------------- filtered history


@st.composite
def swings(draw):
    """A history whose every change is plus or minus one size for each tenor: volatility never changes."""
    sizes = np.array([draw(st.sampled_from([1e-4, 3e-4, 2.0**-12, 7e-4])) for _ in range(5)])
    signs = draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=12, max_size=60))
    days = [AS_OF - timedelta(days=back) for back in range(120)]
    days = sorted(day for day in days if is_business_day(day))[-len(signs) - 1 :]
    par = 0.05 + np.concatenate([np.zeros((1, 5)), np.cumsum(np.outer(signs, sizes), axis=0)])
    par = par - par.min(axis=0) + 0.02
    return History(days, [0.25, 2.0, 5.0, 10.0, 30.0], par, "swings of one size")


@given(swings(), st.sampled_from([0.9, 0.97, 0.99]), st.sampled_from(["full", "half"]))
def test_at_constant_volatility_the_filter_is_the_identity(past, decay, scaling):
    plain = scenario_set(SPEC, past, AS_OF)
    filtered = scenario_set(ScenarioSpec("filtered", 1, 10, decay=decay, scaling=scaling), past, AS_OF)
    assert filtered.shifts == pytest.approx(plain.shifts, rel=1e-9, abs=1e-15)


@few
@given(swings(), contracts, contracts)
def test_and_so_are_the_figures_of_the_engine(past, one, other):
    on, held = Market.from_history(past, AS_OF), pool((ZN, one), (ZT, other))
    common = {**PLAIN, "confidence": 0.9, "decay_factor": 0.97}
    found = [figure(held, on, reader(**common, scenarios=kind)) for kind in ("historical", "filtered")]
    assert found[0].value == pytest.approx(found[1].value, rel=1e-6, abs=1e-3)


@few
@given(swings(), contracts, contracts, st.sampled_from([0.9, 0.97]))
def test_scaling_correlations_that_never_change_leaves_the_figures_of_the_engine(past, one, other, decay):
    on, held = Market.from_history(past, AS_OF), pool((ZN, one), (ZT, other))
    common = {**PLAIN, "confidence": 0.9, "decay_factor": 0.97, "scenarios": "filtered"}
    scaling = {"decay": decay, "floor": 1e-4, "tickers": ("SPX",)}
    found = [figure(held, on, reader(**common, **more)) for more in ({}, {"correlation_scaling": scaling})]
    assert found[0].value == pytest.approx(found[1].value, rel=1e-6, abs=1e-3)
    assert [read.name for read in found[1].part("historical_var").reads if "correlation" in read.name]


# --------------------------------------------------------------------------------------------------------- pools

PLAIN = {
    "reducer": "quantile",
    "combiner": "historical",
    "quantile_type": 1,
    "horizon_days": 1,
    "lookback_years": 10,
}
DEPTH = ({"kinds": ("treasury_future", "short_rate_future"), "half_spread": 5.0, "daily_volume": 5_000},)
RISING = (
    {"from_pct": 0.0, "to_pct": 50.0, "factor_from": 0.0, "factor_to": 0.5},
    {"from_pct": 50.0, "to_pct": 1_000.0, "factor_from": 0.5, "factor_to": 30.0},
)
SIZED = {**PLAIN, "market_depth": DEPTH, "impact_factors": RISING, "concentration_factors": RISING}
PRODUCTS = (ZN, ZT, ZQ)


def pool(*lines) -> Pool:
    held = tuple(Position(f"p{i}", "ALPHA-FUT", *line) for i, line in enumerate(lines))
    return Pool("ALPHA", "DUAL", AccountClass.CFTC_4D_AB, "CME", "toy", "", held)


def figure(held: Pool, on: Market, p) -> Line:
    pnl = {spec: revalue(PRODUCTS, on, scenario_set(spec, on.history, on.as_of)) for spec in scenarios(p)}
    return requirement(held, Inputs(book(), on, pnl), p)


def written(gains: np.ndarray, p) -> Inputs:
    """P&L written down for each product, the same in every scenario set."""
    nothing = np.zeros(len(PRODUCTS))
    return Inputs(
        book(),
        market(),
        {
            spec: PnL(PRODUCTS, gains, nothing, nothing, ScenarioSet(spec, [5.0], np.zeros((1, gains.shape[1]))))
            for spec in scenarios(p)
        },
    )


matrix = st.integers(1, 25).flatmap(lambda n: arrays(float, (3, n), elements=st.floats(-5e3, 5e3)))
books = st.lists(st.tuples(st.sampled_from(PRODUCTS), contracts), min_size=1, max_size=5)
settings = st.sampled_from(
    [
        {**SIZED, "scenarios": "historical", "confidence": 0.95},
        {**SIZED, "scenarios": "historical", "confidence": 0.95, "alpha_floor": 0.1},
        {
            **SIZED,
            "scenarios": "historical",
            "confidence": 0.9,
            "combiner": "larger",
            "stress_weight": 0.7,
            "stress_period": STRESS,
        },
        {
            **PLAIN,
            "scenarios": "historical",
            "combiner": "floored",
            "confidence": 0.9,
            "floor_rates": ({"kinds": ("treasury_future", "short_rate_future"), "rate": 100.0},),
        },
    ]
)


@given(books, matrix, settings, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_splitting_changes_nothing(lines, gains, parameters, random):
    p = reader(**parameters)
    line = requirement(pool(*lines), written(gains, p), p)
    assert requirement(pool(*random.sample(lines, len(lines))), written(gains, p), p) == line
    halves = [(product, quantity / 2) for product, quantity in lines for _ in (0, 1)]
    assert requirement(pool(*halves), written(gains, p), p) == line


@given(books, matrix, settings)
def test_a_book_and_its_reverse_leave_nothing(lines, gains, parameters):
    p = reader(**parameters)
    reverse = [(product, -quantity) for product, quantity in lines]
    line = requirement(pool(*lines, *reverse), written(gains, p), p)
    assert (line.value, line.partial) == (0.0, False)


@given(books, matrix, settings)
def test_twice_the_book_is_twice_the_base_and_at_least_twice_the_charges_for_size(lines, gains, parameters):
    p = reader(**parameters)
    once = requirement(pool(*lines), written(gains, p), p)
    twice = requirement(pool(*((product, 2 * quantity) for product, quantity in lines)), written(gains, p), p)
    assert twice.part("base_charge").value == pytest.approx(2 * once.part("base_charge").value)
    names = {line.name for line in twice.walk()}
    for name in ("liquidity_charge", "concentration_charge"):
        if name in names and not twice.part(name).partial:
            assert twice.part(name).value >= 2 * once.part(name).value * (1 - 1e-9)
    assert once.value >= 0.0
    assert once.value >= once.part("base_charge").value


@given(books, matrix, settings)
def test_a_product_that_never_moves_adds_no_loss_of_its_own(lines, gains, parameters):
    p = reader(**parameters)
    still = gains.copy()
    still[PRODUCTS.index(ZQ)] = 0.0
    without = [line for line in lines if line[0] is not ZQ]
    line = requirement(pool(*lines), written(still, p), p)
    bare = requirement(pool(*without), written(still, p), p)
    assert line.part("historical_var") == bare.part("historical_var")
    assert line.value >= bare.value - 1e-9 * max(1.0, bare.value)


@few
@given(st.sampled_from(FAMILY), books)
def test_a_report_of_the_family_goes_to_json_and_back(id, lines):
    silos = tuple(evolve(silo, ruleset=id) if silo.pot == "CME" else silo for silo in SILOED.silos)
    held = book(*pool(*lines).positions)
    report = margin(held, market(), evolve(SILOED, name=id, title=id, silos=silos))
    assert Report.from_json(report.to_json()) == report
    line = report.requirements[0].line
    assert line.name == f"{id} requirement"
    assert line.value >= line.part("base_charge").value >= 0.0


@few
@given(st.sampled_from(FAMILY), books, st.sampled_from([0.5, 2.0]))
def test_the_scenario_part_of_a_shipped_calibration_is_homogeneous(id, lines, factor):
    p = rules(id).at(AS_OF)
    once = figure(pool(*lines), market(), p).part("base_charge").value
    more = figure(pool(*((product, factor * quantity) for product, quantity in lines)), market(), p)
    assert more.part("base_charge").value == pytest.approx(factor * once, rel=1e-9, abs=1e-6)
