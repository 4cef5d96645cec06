"""S2: the SPAN scan of 10,000 accounts. S4: requirements of the historical value-at-risk family on a large book.

`S2` adds sixteen losses of 20 positions in each account and takes the worst of each combined commodity. Peers: the
fastest of a sparse matrix product by SciPy and two ways of adding rows by NumPy, each from the same arrays and with the
sorting or building that it needs inside the clock; and accounts scanned one by one in plain Python, a part of them.

`S4` margins one book of 5,000 Treasuries under 2,500 scenarios by a rule with a liquidity charge, once for each
reducer: the loss of the pool, the loss of each position on its own, and the charge that grows with its size. The peer
is the same arithmetic on whole arrays, tails by `numpy.partition` and `numpy.quantile`; it returns two numbers. Ours
returns a tree of some 25,000 lines, each of which checks its own arithmetic, and adds positions in an order that no
permutation changes; of each position it looks at the worst results only. The ratio says what the explanation costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from functools import partial
from platform import python_version
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.records import Record, compared, timed
from crossmargin import historical_var
from crossmargin.accounts import Account, AccountClass, Firm
from crossmargin.market import History, Market
from crossmargin.methodology import Inputs
from crossmargin.parameters import DatedValue, Parameter, Rules, Source
from crossmargin.pnl import PnL
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.products.treasuries import TreasuryNote
from crossmargin.records import freeze
from crossmargin.scenarios import ScenarioSet
from crossmargin.span.arrays import futures_array, scenario_grid
from crossmargin.span.scanning import scan_risks
from tests.reference import span_twin

N_ACCOUNTS, PER_ACCOUNT, N_CONTRACTS, N_COMMODITIES = 10_000, 20, 2_000, 100
TWIN_ACCOUNTS = 100
N_INSTRUMENTS, N_SCENARIOS, HORIZON = 5_000, 2_500, 5
CONFIDENCE, BASE, DEGREES, WORST = 0.99, 0.95, 4, 6
AS_OF = date(2026, 6, 30)
HALF_SPREAD, VOLUME = 0.0001, 1e9
IMPACT = (
    {"from_pct": 0.0, "to_pct": 10.0, "factor_from": 0.0, "factor_to": 0.1},
    {"from_pct": 10.0, "to_pct": 100.0, "factor_from": 0.1, "factor_to": 1.0},
)
AGREEMENT = 1e-12
RUNS = 5
PROMISED = MappingProxyType({"arrays": 0.8, "one by one": 15.0, "requirement": 0.5})


def span_records() -> Iterator[Record]:
    """Yield S2: against the fastest way on arrays, then against accounts one by one."""
    import scipy

    book = made_up_accounts()
    ours = partial(scan_risks, **book)
    ways = {
        "SciPy, one sparse product": partial(by_sparse_product, **book),
        "NumPy, rows added by reduceat": partial(by_reduceat, **book),
        "NumPy, rows added by bincount": partial(by_bincount, **book),
    }
    fastest = min(ways, key=lambda way: timed(ways[way], 1))
    task = f"S2 SPAN scan, {N_ACCOUNTS:,} accounts of {PER_ACCOUNT} positions"
    versions = f"{np.__version__}, {scipy.__version__}"
    apart = max(disagreement(ours(), way()) for way in ways.values())
    timings = compared(ours, ways[fastest], runs=RUNS, inner=3)
    yield record(task, (fastest, versions), promised=PROMISED["arrays"], agreement=apart, timings=timings)
    some = part_of(book, TWIN_ACCOUNTS)
    twin = partial(one_by_one, some)
    timings = compared(ours, twin, runs=RUNS, inner=1)
    for name in ("peer_s", "peer_min_s", "peer_max_s"):
        timings[name] *= N_ACCOUNTS / TWIN_ACCOUNTS
    peer = (f"plain Python, account by account, counted up from {TWIN_ACCOUNTS}", python_version())
    apart = disagreement(ours()[:TWIN_ACCOUNTS], twin())
    yield record(task, peer, promised=PROMISED["one by one"], agreement=apart, timings=timings)


def var_records() -> Iterator[Record]:
    """Yield S4 for each reducer."""
    book = made_up_book()
    for reducer in historical_var.REDUCERS:
        rule = made_up_rule(reducer)
        inputs, pool = made_up_inputs(rule, book)
        ours = partial(requirement, rule, inputs, pool)
        peer = partial(by_numpy, reducer, book["values"], book["quantity"])
        yield record(
            f"S4 requirement of {N_INSTRUMENTS:,} positions under {N_SCENARIOS:,} scenarios, {reducer}",
            ("NumPy on whole arrays, no lines", np.__version__),
            promised=PROMISED["requirement"],
            agreement=disagreement(np.array(ours()), np.array(peer())),
            timings=compared(ours, peer, runs=RUNS, inner=1),
        )


def record(
    task: str, peer: tuple[str, str], *, promised: float, agreement: float, timings: Mapping[str, Any]
) -> Record:
    """Return a comparison; both sides run what NumPy was compiled for, no kernel of ours."""
    return Record(
        task=task,
        peer=peer[0],
        peer_version=peer[1],
        at_least=promised,
        agreement=agreement,
        agreement_limit=AGREEMENT,
        instruction_set="any",
        **timings,
    )


def disagreement(ours: Any, theirs: Any) -> float:
    """Return the largest difference beside the largest figure."""
    return float(np.abs(np.asarray(ours) - np.asarray(theirs)).max() / np.abs(theirs).max())


# ---------------------------------------------------------------------------------------------------------- SPAN


def made_up_accounts() -> dict[str, Any]:
    """Return loss arrays of futures and the holdings of accounts, as `scan_risks` takes them."""
    rng = np.random.default_rng(4)
    arrays = futures_array(rng.uniform(200, 8000, N_CONTRACTS), scenario_grid(3, 3.0, 0.33), rounding_increment=1.0)
    skewed = np.round(arrays * rng.uniform(0.5, 1.5, arrays.shape))  # options: no two scenarios mirror one another
    return {
        "loss_arrays": skewed,
        "account_start": np.arange(0, N_ACCOUNTS * PER_ACCOUNT + 1, PER_ACCOUNT),
        "contract": rng.integers(0, N_CONTRACTS, N_ACCOUNTS * PER_ACCOUNT),
        "quantity": rng.integers(-50, 51, N_ACCOUNTS * PER_ACCOUNT).astype(float),
        "commodity": rng.integers(0, N_COMMODITIES, N_CONTRACTS),
    }


def part_of(book: Mapping[str, Any], accounts: int) -> dict[str, Any]:
    """Return the first accounts of a book."""
    held = accounts * PER_ACCOUNT
    cut = {"account_start": accounts + 1, "contract": held, "quantity": held}
    return {name: table[: cut[name]] if name in cut else table for name, table in book.items()}


def cells(account_start: Any, contract: Any, commodity: Any) -> tuple[Any, int]:
    """Return the number of each holding's account and commodity, and how many numbers there are."""
    account = np.repeat(np.arange(len(account_start) - 1), np.diff(account_start))
    return account * N_COMMODITIES + commodity[contract], (len(account_start) - 1) * N_COMMODITIES


def worst_by_account(pooled: Any) -> Any:
    """Return the scan risk of accounts from the pooled losses [n_accounts x n_commodities, n_scenarios]."""
    return np.maximum(pooled.max(axis=1), 0.0).reshape(-1, N_COMMODITIES).sum(axis=1)


def by_sparse_product(loss_arrays: Any, *, account_start: Any, contract: Any, quantity: Any, commodity: Any) -> Any:
    """Return the scan risks by one product of holdings and losses; only what is held takes a row."""
    from scipy.sparse import csr_matrix

    cell, count = cells(account_start, contract, commodity)
    seen, row = np.unique(cell, return_inverse=True)
    held = csr_matrix((quantity, (row, contract)), shape=(len(seen), len(loss_arrays)))
    worst = np.maximum((held @ loss_arrays).max(axis=1), 0.0)
    return np.bincount(seen // N_COMMODITIES, worst, count // N_COMMODITIES)


def by_reduceat(loss_arrays: Any, *, account_start: Any, contract: Any, quantity: Any, commodity: Any) -> Any:
    """Return the scan risks from holdings sorted by account and commodity, added where they meet."""
    cell, count = cells(account_start, contract, commodity)
    order = np.argsort(cell, kind="stable")
    ordered = cell[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    losses = loss_arrays[contract[order]] * quantity[order, None]
    worst = np.maximum(np.add.reduceat(losses, first).max(axis=1), 0.0)
    return np.bincount(ordered[first] // N_COMMODITIES, worst, count // N_COMMODITIES)


def by_bincount(loss_arrays: Any, *, account_start: Any, contract: Any, quantity: Any, commodity: Any) -> Any:
    """Return the scan risks scenario by scenario, with a place for every account and commodity."""
    cell, count = cells(account_start, contract, commodity)
    columns = (np.bincount(cell, losses[contract] * quantity, count) for losses in loss_arrays.T)
    return worst_by_account(np.stack(list(columns), axis=1))


def one_by_one(book: Mapping[str, Any]) -> list[float]:
    """Return the scan risks by the slow twin of the tests."""
    plain = {name: table.tolist() for name, table in book.items()}
    held = (plain["loss_arrays"], plain["account_start"], plain["contract"], plain["quantity"])
    return span_twin.scan_risks(*held, commodity=plain["commodity"])


# ----------------------------------------------------------------------------------- historical value at risk


def made_up_book() -> dict[str, Any]:
    """Return notes, how much of each is held, and their profit and loss: one common factor, fat tails."""
    rng = np.random.default_rng(5)
    common, own = rng.standard_t(4, N_SCENARIOS), rng.standard_t(4, (N_INSTRUMENTS, N_SCENARIOS))
    notes = [TreasuryNote((n % 40 + 1) / 800, AS_OF + timedelta(400 + 25 * (n // 40))) for n in range(N_INSTRUMENTS)]
    return {
        "notes": notes,
        "quantity": rng.integers(-200, 401, N_INSTRUMENTS) * 1e6 + 5e5,
        "values": 0.004 * common + 0.003 * own,
    }


def made_up_rule(reducer: str) -> Rules:
    """Return a rule of the family that reduces by one reducer and charges for size; no figure of it is anybody's."""
    table = [{"kinds": ["treasury_note"], "half_spread": HALF_SPREAD, "daily_volume": VOLUME}]
    values = {
        "scenarios": "historical",
        "reducer": reducer,
        "combiner": "historical",
        "confidence": CONFIDENCE,
        "base_confidence": BASE,
        "degrees_of_freedom": DEGREES,
        "quantile_type": 1,
        "worst_scenarios": WORST,
        "horizon_days": HORIZON,
        "lookback_years": 10,
        "market_depth": table,
        "impact_factors": IMPACT,
    }
    parameters = {
        name: Parameter(name, "1", "", (DatedValue(date(2000, 1, 1), freeze(value), "x", "assumed"),))
        for name, value in values.items()
    }
    return Rules("made_up", parameters=parameters, sources={"x": Source("made up")})


def made_up_inputs(rule: Rules, book: Mapping[str, Any]) -> tuple[Inputs, Pool]:
    """Return the book as a rule-set is given it, its profit and loss already known."""
    history = History([AS_OF], [0.25, 2, 5, 10, 30], [[0.04] * 5])
    market = Market.from_history(history, AS_OF)
    account = Account("A", "F", "F", AccountClass.PROPRIETARY)
    pairs = zip(book["notes"], book["quantity"].tolist(), strict=True)
    held = [Position(f"p{n}", "A", note, quantity) for n, (note, quantity) in enumerate(pairs)]
    (spec,) = historical_var.scenarios(rule.at(AS_OF))
    drawn = ScenarioSet(spec, [1.0], np.zeros((1, N_SCENARIOS)))
    nothing = np.zeros(N_INSTRUMENTS)
    pnl = PnL(book["notes"], book["values"], nothing, nothing, drawn)
    inputs = Inputs(Portfolio([Firm("F")], [], [account], held), market, {spec: pnl})
    return inputs, Pool("F", "F", AccountClass.PROPRIETARY, "CCP", rule.id, positions=held)


def requirement(rule: Rules, inputs: Inputs, pool: Pool) -> tuple[float, float]:
    """Return the base charge and the liquidity charge that our tree of lines arrives at."""
    line = historical_var.requirement(pool, inputs, rule.at(AS_OF))
    return line.part("base_charge").value, line.part("liquidity_charge").value


def by_numpy(reducer: str, values: Any, quantity: Any) -> tuple[float, float]:
    """Return both charges from whole arrays."""
    tail = REDUCED[reducer]
    pooled, own = tail((quantity @ values)[None])[0], np.abs(quantity) * 0.0
    long = quantity > 0
    own[long] = quantity[long] * tail(values[long])
    own[~long] = -quantity[~long] * tail(-values[~long])
    size = 100.0 * np.abs(quantity) / VOLUME
    edges = [row["from_pct"] for row in IMPACT] + [IMPACT[-1]["to_pct"]]
    factors = [row["factor_from"] for row in IMPACT] + [IMPACT[-1]["factor_to"]]
    return pooled, float((HALF_SPREAD * np.abs(quantity) + np.interp(size, edges, factors) * own).sum())


def tail_quantile(pnl: Any, confidence: float) -> Any:
    """Return the loss at a confidence, never negative, [n_rows]: the order statistic that is never interpolated."""
    return np.maximum(np.quantile(-pnl, confidence, axis=1, method="inverted_cdf"), 0.0)


def tail_mean(pnl: Any) -> Any:
    """Return the mean of the worst losses, never negative, [n_rows]."""
    return np.maximum(-np.partition(pnl, WORST, axis=1)[:, :WORST].mean(axis=1), 0.0)


def robust_factor() -> float:
    """Return the ratio of the quantiles of Student's t."""
    from scipy.stats import t

    return float(t.ppf(CONFIDENCE, DEGREES) / t.ppf(BASE, DEGREES))


def over_phases(tail: Callable[[Any], Any], pnl: Any) -> Any:
    """Return the mean over the sub-samples of changes that do not overlap."""
    return np.mean([tail(pnl[:, phase::HORIZON]) for phase in range(HORIZON)], axis=0)


def _robust(pnl: Any) -> Any:
    return robust_factor() * tail_quantile(pnl, BASE)


_plain = partial(tail_quantile, confidence=CONFIDENCE)
REDUCED: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "quantile": _plain,
        "sub_sample_mean": partial(over_phases, _plain),
        "robust_quantile": _robust,
        "robust_sub_sample_mean": partial(over_phases, _robust),
        "mean_of_k_worst": tail_mean,
    }
)
