"""S5: SIMM of a CRIF, on one core, against the Open Source Risk Engine (ORE) from Python.

Two tasks at two sizes. `sensitivities`: the rows are in memory, checked; both engines give the margin of collecting
and of posting. ORE nets while it loads, which is not timed here; the library nets anew each time. `CRIF text`: from the
text of the file in memory, every row checked, by pyarrow where it is installed and by NumPy alone. Every measure of
every risk class is compared, collecting and posting. ORE gets the bucket of each name beforehand. Seconds are processor
time on both sides, in one thread: ORE takes half a minute, in which a machine seldom has nothing else to do.

Needs the package `open-source-risk-engine`, and calibrations of SIMM, which are not in the library: the folder that
`SIMM_CALIBRATIONS` names, or `../shared/data/simm` beside the repository.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from io import BytesIO, StringIO
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

from benchmarks.records import Record, summary
from crossmargin.io import crif
from crossmargin.simm import Calibration, Sensitivities, find_calibration, net, simm
from crossmargin.simm.risk_types import MEASURES, PRODUCT_CLASSES, RISK_CLASSES

VERSION = "2.8+2506"
FOLDER = Path(os.environ.get("SIMM_CALIBRATIONS", Path(__file__).parents[2] / "shared" / "data" / "simm"))
SIZES = ((27_000, 5), (1_000_000, 1))  # rows, runs
N_NAMES = 400  # in each risk class; ORE's time grows with the square of the names in a bucket
AGREEMENT, PROMISED, PROMISED_TEXT = 1e-9, 50.0, {"pyarrow": 20.0, "NumPy": 5.0}
CURRENCIES = ("USD", "EUR", "GBP", "JPY", "AUD", "CAD", "CHF", "SEK", "NOK", "NZD", "BRL", "CNY", "INR", "KRW", "MXN")
TITLES = ("TradeID", "PortfolioID", "ProductClass", "RiskType", "Qualifier", "Bucket", "Label1", "Label2")
TITLES += ("AmountCurrency", "Amount", "AmountUSD")
RATES = (
    "Risk_IRCurve",
    "Risk_IRCurve",
    "Risk_IRCurve",
    "Risk_IRVol",
    "Risk_Inflation",
    "Risk_InflationVol",
    "Risk_XCcyBasis",
)
# risk type, product class and risk class of the names
NAMED = (
    ("Risk_CreditQ", "Credit", "credit_qualifying"),
    ("Risk_CreditVol", "Credit", "credit_qualifying"),
    ("Risk_CreditNonQ", "Credit", "credit_non_qualifying"),
    ("Risk_CreditVolNonQ", "Credit", "credit_non_qualifying"),
    ("Risk_Equity", "Equity", "equity"),
    ("Risk_EquityVol", "Equity", "equity"),
    ("Risk_Commodity", "Commodity", "commodity"),
    ("Risk_CommodityVol", "Commodity", "commodity"),
)
DELTA_TYPE = {
    "Risk_CreditVol": "Risk_CreditQ",
    "Risk_CreditVolNonQ": "Risk_CreditNonQ",
    "Risk_EquityVol": "Risk_Equity",
    "Risk_CommodityVol": "Risk_Commodity",
}
Row = tuple[str, str, str, str, str, str]  # product class, risk type, qualifier, bucket, label1, label2
Amounts = dict[tuple[str, str, str, str], float]  # side, product class, risk class, measure


def records() -> Iterator[Record]:
    """Yield the comparisons of S5; nothing, saying why, without ORE or without calibrations."""
    try:
        import ORE
    except ImportError:
        print("S5 left out: no open-source-risk-engine.", file=sys.stderr)
        return
    if not FOLDER.is_dir():
        print(f"S5 left out: no calibrations in {FOLDER}; name their folder in SIMM_CALIBRATIONS.", file=sys.stderr)
        return
    calibration = find_calibration(VERSION, FOLDER)
    for count, runs in SIZES:
        rows = book(calibration, count)
        text = crif_text(rows)
        peer = Peer(ORE, rows)
        loaded, ours = peer.load(text), partial(both_sides, crif.read_crif(StringIO(text)).sensitivities(), calibration)
        agreed = peer.amounts(peer.margin(loaded))
        inside = (ours, partial(peer.margin, loaded))
        task = f"S5 SIMM: {count} sensitivities"
        yield record(ORE, task, inside, difference(ours(), agreed), runs=runs, promised=PROMISED)
        whole = partial(lambda peer, text: peer.margin(peer.load(text)), peer, text)
        for reader, promised in PROMISED_TEXT.items():
            if reader == "NumPy" or find_spec("pyarrow"):
                mine = partial(from_text, text.encode(), calibration, reader)
                task = f"S5 CRIF text to SIMM: {count} rows, by {reader}"
                yield record(ORE, task, (mine, whole), difference(mine(), agreed), runs=runs, promised=promised)


def both_sides(sensitivities: Sensitivities, calibration: Calibration) -> Amounts:
    """Return every measure of both sides, and the totals."""
    amounts, sensitivities = {}, net(sensitivities)
    for side in ("collect", "post"):
        found = simm(sensitivities, calibration, side=side)
        amounts[side, "", "", "total"] = found.total
        for each in found.risk_classes:
            for name in each.measures:
                amounts[side, each.product_class, each.risk_class, name] = each.measure(name)
    return amounts


def from_text(text: bytes, calibration: Calibration, reader: str) -> Amounts:
    """Return the same from the text of a CRIF, read by pyarrow or by NumPy."""
    without = {"arrow_table": lambda *_, **__: None} if reader == "NumPy" else {}
    with patch.multiple(crif, **without) if without else nullcontext():
        return both_sides(crif.read_crif(BytesIO(text)).sensitivities(), calibration)


def difference(ours: Amounts, theirs: Amounts) -> float:
    """Return the largest relative difference of any amount."""
    if not {key for key, amount in ours.items() if amount} <= set(theirs):
        return float("inf")
    return max(abs(ours.get(key, 0.0) - amount) / max(abs(amount), 1.0) for key, amount in theirs.items())


class Peer:
    """ORE's calculator with the buckets of the names."""

    def __init__(self, ore: Any, rows: list[tuple[Row, float]]) -> None:
        self.ore = ore
        mapper = ore.SimmBucketMapperBase()
        for kind, name, bucket in sorted({(row[1], row[2], row[3]) for row, _ in rows if row[3]}):
            for each in {kind, DELTA_TYPE.get(kind, kind)}:
                mapper.addMapping(getattr(ore.CrifRecord, f"RiskType_{each.removeprefix('Risk_')}"), name, bucket)
        self.configuration = ore.SimmConfiguration_ISDA_V2_8_2506(mapper, 10)

    def load(self, text: str) -> Any:
        """Return ORE's CRIF."""
        loaded = self.ore.Crif()
        loaded.setCsvLoaderConfig(self.configuration)
        loaded.fromCSVString(text)
        return loaded

    def margin(self, loaded: Any) -> Any:
        """Return ORE's results of both sides."""
        return self.ore.SimmCalculator(loaded, self.configuration)

    def amounts(self, results: Any) -> Amounts:
        """Return ORE's results by the library's names."""
        simm_of, crif_of = self.ore.SimmConfiguration, self.ore.CrifRecord
        measures = dict(zip(MEASURES, ("Delta", "Vega", "Curvature", "BaseCorr"), strict=True))
        found: Amounts = {}
        for side, name in (("collect", "Call"), ("post", "Post")):
            pair = results.finalSimmResults(getattr(simm_of, f"SimmSide_{name}"), self.ore.NettingSetDetails("P"))
            everything = (crif_of.ProductClass_All, simm_of.RiskClass_All, simm_of.MarginType_All, "All")
            found[side, "", "", "total"] = pair.second.get(*everything)
            for product in PRODUCT_CLASSES:
                for risk in RISK_CLASSES:
                    title = "FX" if risk == "fx" else "".join(word.capitalize() for word in risk.split("_"))
                    where = (getattr(crif_of, f"ProductClass_{product}"), getattr(simm_of, f"RiskClass_{title}"))
                    for measure, margin_type in measures.items():
                        key = (*where, getattr(simm_of, f"MarginType_{margin_type}"), "All")
                        if pair.second.has(*key):
                            found[side, product, risk, measure] = pair.second.get(*key)
        return found


def book(calibration: Calibration, count: int) -> list[tuple[Row, float]]:
    """Return made-up rows of every risk type, amounts of some hundred thousand."""
    rng, rows = random.Random(5), kinds_of_rows(calibration)  # noqa: S311 - a made-up book
    return [(rng.choice(rows[rng.randrange(len(rows))])(rng), round(rng.gauss(0.0, 1e5), 2)) for _ in range(count)]


def kinds_of_rows(calibration: Calibration) -> list[list[Callable[[random.Random], Row]]]:
    """Return makers of rows: rates, foreign exchange, base correlations, names."""
    parameters = calibration.at(10)
    tenors = parameters.rates.tenors

    def rate(kind: str, rng: random.Random) -> Row:
        curve = kind == "Risk_IRCurve"
        tenor = rng.choice(tenors) if curve or kind.endswith("Vol") else ""
        label = rng.choice(("OIS", "Libor3m", "Libor6m")) if curve else ""
        return "RatesFX", kind, rng.choice(CURRENCIES), "", tenor, label

    def pair(rng: random.Random) -> Row:
        return "RatesFX", "Risk_FXVol", "".join(rng.sample(CURRENCIES, 2)), "", rng.choice(tenors), ""

    def named(kind: str, product: str, risk: str, rng: random.Random) -> Row:
        p, number = parameters.bucketed[risk], rng.randrange(N_NAMES)
        credit = risk.startswith("credit")
        tenor = rng.choice(p.tenors or tenors) if credit or kind.endswith("Vol") else ""
        label = ("CMBX", "ABX", "HEQ")[number % 3] if risk == "credit_non_qualifying" else "USD" if credit else ""
        return product, kind, f"ISIN:{risk[:3]}{number:08d}", p.buckets[number % len(p.buckets)], tenor, label

    families = ("CDX IG", "CDX HY", "iTraxx Main")
    return [
        [partial(rate, kind) for kind in RATES],
        [lambda rng: ("RatesFX", "Risk_FX", rng.choice(CURRENCIES), "", "", ""), pair],
        [lambda rng: ("Credit", "Risk_BaseCorr", rng.choice(families), "", "", "")],
        *([partial(named, *each)] for each in NAMED),
    ]


def crif_text(rows: list[tuple[Row, float]]) -> str:
    """Return the rows as the text of a file."""
    lines = (
        f"T{n}\tP\t" + "\t".join(row) + f"\tUSD\t{amount:.2f}\t{amount:.2f}" for n, (row, amount) in enumerate(rows)
    )
    return "\n".join(["\t".join(TITLES), *lines, ""])


def record(ore: Any, task: str, sides: tuple[Any, Any], agreement: float, *, runs: int, promised: float) -> Record:
    """Return the comparison of two sides that were found to agree that well."""
    return Record(
        task=task,
        peer="ORE from Python, SimmCalculator",
        peer_version=str(getattr(ore, "__version__", "")),
        agreement=agreement,
        agreement_limit=AGREEMENT,
        at_least=promised,
        instruction_set="NumPy",
        **in_turns(*sides, runs=runs),  # type: ignore[arg-type]
    )


def in_turns(ours: Callable[[], object], peer: Callable[[], object], *, runs: int) -> dict[str, float]:
    """Return medians, smallest and largest processor times of both sides, seconds; ours is the mean of three calls."""
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(runs):
        times["peer"].append(processor_time(peer))
        times["ours"].append(fmean(processor_time(ours) for _ in range(3)))
    return {**summary(times["ours"], "ours"), **summary(times["peer"], "peer"), "runs": runs}


def processor_time(work: Callable[[], object]) -> float:
    """Return the processor time that a call takes, seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start
