"""S3: reading a SPAN file as large as a full day of CME, beside a plain reader that goes line by line.

The file is made up on the layouts of the format: its size and mix of records are those of the exchange's, its figures
are nobody's. `records` also reports megabytes and lines a second and the most memory that a fresh process needs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.records import Record, compared
from crossmargin.io.span.files import read_span, write_lines
from crossmargin.io.span.records import format_record

PRODUCTS, MONTHS, STRIKES = 400, 12, 34
PROMISED = 1.5
RUNS = 3


def records() -> Iterator[Record]:
    """Yield the comparison on a file of some 86 MB and 690,000 lines."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made-up.pa2"
        write_lines(path, lines(PRODUCTS, MONTHS, STRIKES))
        peak = peak_megabytes(path)  # first: a process shows the peak of the one it was started from
        difference = largest_difference(path)
        timings = compared(lambda: read_span(path), lambda: by_line(path), runs=RUNS, inner=1)
        count = sum(1 for _ in path.open("rb"))
        size = path.stat().st_size
        seconds = timings["ours_s"]
        rates = f"{size / 1e6 / seconds:.0f} MB/s, {count / seconds:,.0f} lines/s"
        print(f"S3: {rates}, {peak:.0f} MB of memory at most", file=sys.stderr)
    yield Record(
        task=f"S3 SPAN file of {size / 1e6:.0f} MB, {count:,} lines",
        peer="plain Python, line by line, no tables",
        peer_version=python_version(),
        at_least=PROMISED,
        agreement=difference,
        agreement_limit=0.0,
        instruction_set="any",
        **timings,
    )


def peak_megabytes(path: Path) -> float:
    """Return the most memory that a fresh process held while it read a file, MB."""
    code = (
        "import sys, resource; from crossmargin.io.span.files import read_span; read_span(sys.argv[1]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return float(done.stdout) / 1000


def largest_difference(path: Path) -> float:
    """Return the largest difference of any array value, delta or price between both sides."""
    ours = read_span(path).contracts
    _, figures = by_line(path)
    mine = np.column_stack([ours.losses, ours.composite_delta, ours.price])
    return float(np.abs(mine - figures).max()) if mine.shape == figures.shape else np.inf


def by_line(path: Path) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Return what names each contract, and its array, delta and price [n_contracts, 18], read the obvious way."""
    keys, found, first = [], [], []
    with path.open(encoding="latin-1") as file:
        for line in file:
            code = line[:2]
            if code == "81":
                first = values_of(line, 9)
                spans = ((2, 5), (5, 15), (25, 28), (28, 29), (29, 35), (38, 44), (47, 54))
                keys.append(tuple(line[begin:end].strip() for begin, end in spans))
            elif code == "82":
                delta = int(line[96:101]) / (-10_000 if line[101] == "-" else 10_000)
                price = int(line[110:117]) / (-100 if line[117] == "-" else 100)
                found.append([*first, *values_of(line, 7), delta, price])
    return keys, np.array(found, dtype=float)


def values_of(line: str, count: int) -> list[int]:
    """Return the values of one array record."""
    return [
        -int(line[at : at + 5]) if line[at + 5] == "-" else int(line[at : at + 5])
        for at in range(54, 54 + 6 * count, 6)
    ]


def lines(products: int, months: int, strikes: int) -> Iterator[str]:
    """Yield the lines of a made-up file: for each product `months` futures, and a chain of options on each of them."""
    yield format_record("0 ", HEADER)
    yield format_record("1 ", {"exchange": "XXX", "exchange_code": "01"})
    codes = [f"P{number:03d}" for number in range(products)]
    calendar = [202600 + 100 * (month // 12) + month % 12 + 1 for month in range(months)]
    for code in codes:
        yield from terms(code)
        for month in calendar:
            for product_type, option_month in (("FUT", None), ("OOF", month)):
                identity = {"exchange": "XXX", "product": code, "product_type": product_type, "futures_month": month}
                yield format_record("B ", PARAMETERS | identity | {"option_month": option_month, "underlying": code})
    rng = np.random.default_rng(8)
    for code in codes:
        for month in calendar:
            yield from contracts(code, month, rng.integers(-99_999, 99_999, (2 * strikes + 1, 16)))


def terms(code: str) -> Iterator[str]:
    """Yield the records that define one combined commodity."""
    pair = [{"product": code, "product_type": kind, "array_decimals": 0} for kind in ("FUT", "OOF")]
    commodity = {"combined_commodity": code}
    defined = {"exchange": "XXX", "currency": "USD", "option_style": "P", "products": pair}
    yield format_record("2 ", commodity | defined)
    tier = {"tier": 1, "start_month": 202601, "end_month": 203012}
    yield format_record("S ", commodity | {"inter_method": "10", "tier_count": 1, "tiers": [tier]})
    ratios = {"ratio_member": 1.0, "ratio_hedger": 1.0, "ratio_speculator": 1.1}
    yield format_record("3 ", commodity | ratios | {"intra_method": "10", "tiers": [tier]})
    legs = [{"month": 202601, "ratio": 1.0, "side": "A"}, {"month": 202602, "ratio": 1.0, "side": "B"}]
    yield format_record("E ", commodity | {"priority": 1, "charge": 100, "legs": legs})
    yield format_record("4 ", commodity | {"spot_method": "01", "short_option_minimum_rate": 50})
    for kind in ("FUT", "OOF"):
        price = {"exchange": "XXX", "product": code, "product_type": kind, "settlement_decimals": 2}
        yield format_record("P ", price | {"strike_decimals": 0, "contract_value_factor": 50.0, "currency": "USD"})


def contracts(code: str, month: int, arrays: np.ndarray) -> Iterator[str]:
    """Yield the arrays of one future and of the calls and puts on it; the values are random."""
    strikes = np.repeat(np.arange(1, len(arrays) // 2 + 1), 2)
    named = [("FUT ", " " * 6, 0)] + [
        ("OOF" + right, str(month), 50 * strike) for strike, right in zip(strikes, "CP" * len(strikes), strict=False)
    ]
    for (kind, option_month, strike), array in zip(named, arrays, strict=True):
        identity = f"XXX{code:<10}{code:<10}{kind}{month}   {option_month}   {strike:07d}"
        values = [f"{abs(value):05d}{'-' if value < 0 else '+'}" for value in array.tolist()]
        yield f"81{identity}{''.join(values[:9])}00000000251100N"
        yield f"82{identity}{''.join(values[9:])}05000+002500000251100++05000+C"


HEADER = {
    "clearing_organization": "MADEUP",
    "business_date": "20260105",
    "settlement_or_intraday": "S",
    "file_format": "U2",
    "limit_option_value": "N",
}
PARAMETERS = {
    "base_volatility": 0.25,
    "volatility_scan_range": 35.0,
    "price_scan_range": 6000,
    "extreme_move_multiplier": 3.0,
    "extreme_move_cover_fraction": 0.33,
    "interest_rate": 0.0,
    "time_to_expiry_years": 0.5,
    "look_ahead_years": 0.004,
    "delta_scaling_factor": 1.0,
    "contract_value_factor": 50.0,
    "contract_value_factor_exponent": 0,
    "price_scan_range_exponent": 0,
    "discount_factor": 1.0,
}
