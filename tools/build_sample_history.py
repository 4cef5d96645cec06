"""Write the packaged Treasury history from the zipline-reloaded wheel: a table and its provenance.

Fetch the wheel (no need to install it), then run this from the top of the repository::

    pip download --no-deps --only-binary :all: zipline-reloaded==3.2.1
    python tools/build_sample_history.py zipline_reloaded-3.2.1-*.whl

The same wheel gives the same bytes. Every yield must be a whole number of basis points: anything else stops
the tool, so nothing is rounded.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "crossmargin" / "data"
STEM = "ust_par_yields_1990_2017"
MEMBER = "zipline/resources/market_data/treasury_curves.csv"
LICENCE_MEMBER = "dist-info/licenses/LICENSE"
COLUMNS = {
    "1month": "1M",
    "3month": "3M",
    "6month": "6M",
    "1year": "1Y",
    "2year": "2Y",
    "3year": "3Y",
    "5year": "5Y",
    "7year": "7Y",
    "10year": "10Y",
    "20year": "20Y",
    "30year": "30Y",
}
# Found by comparing with a later copy of the Treasury's archive; the figures here are as the wheel has them.
KNOWN_DIFFERENCES = (
    "14 of 74976 yields differ from a 2024 copy of the Treasury archive: 11 by 1 to 10 basis points, and "
    "three zeros (3M on 2008-12-10, 2008-12-18, 2008-12-24) that are blank there"
)


def percent(text: str) -> str:
    """Return a decimal yield as percent, blank for blank; refuse anything finer than a basis point.

    Examples
    --------
    >>> percent("0.0783"), percent("0.08"), percent("")
    ('7.83', '8', '')
    """
    if not text:
        return ""
    points = Decimal(text) * 10_000
    if points != points.to_integral_value():
        message = f"{text} is no whole number of basis points"
        raise ValueError(message)
    return f"{int(points) / 100:g}"


def table(text: str) -> list[list[str]]:
    """Return header and rows of the packaged table, oldest first, rows without any quote left out."""
    rows = list(csv.DictReader(io.StringIO(text)))
    body = [[row["Time Period"][:10], *(percent(row[name]) for name in COLUMNS)] for row in rows]
    quoted = sorted(row for row in body if any(row[1:]))
    for row in quoted:
        date.fromisoformat(row[0])
    return [["date", *COLUMNS.values()], *quoted]


def provenance(wheel: Path, source: bytes, plain: bytes, rows: list[list[str]]) -> str:
    """Return the .toml that stands beside the table."""
    version = wheel.name.split("-")[1]
    with zipfile.ZipFile(wheel) as archive:
        dated = date(*archive.getinfo(MEMBER).date_time[:3])
    return f"""# Written by tools/build_sample_history.py; do not edit.
id = "{STEM}"
title = "Daily Treasury par yield curve rates, {rows[1][0]} to {rows[-1][0]}"
unit = "percent, semiannual bond-equivalent par yield; blank = not quoted"
rows = {len(rows) - 1}
first = {rows[1][0]}
last = {rows[-1][0]}
columns = {rows[0][1:]}
known_gaps = ["1M before 2001-07-31", "20Y before 1993-10-01", "30Y from 2002-02-19 to 2006-02-08"]
known_differences = "{KNOWN_DIFFERENCES}"
how = "columns renamed, decimals turned into percent without rounding, dates without a quote left out, sorted"
sha256_of_table = "{hashlib.sha256(plain).hexdigest()}"  # of the uncompressed bytes

[source]
publisher = "US Department of the Treasury, Daily Treasury Par Yield Curve Rates"
url = "https://home.treasury.gov/resource-center/data-chart-center/interest-rates/TextView?type=daily_treasury_yield_curve"
rights = "work of the US government, public domain (17 USC 105)"
grade = "disclosure"

[obtained_from]
package = "zipline-reloaded"
version = "{version}"
wheel = "{wheel.name}"
url = "https://github.com/stefan-jansen/zipline-reloaded"
member = "{MEMBER}"
member_dated = {dated}
licence = "Apache-2.0"
sha256_of_member = "{hashlib.sha256(source).hexdigest()}"
""".replace("'", '"')


def main() -> None:
    """Read the wheel named on the command line and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--into", type=Path, default=DATA, help="directory to write to")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as archive:
        source = archive.read(MEMBER)
        licences = [name for name in archive.namelist() if name.endswith(LICENCE_MEMBER)]
        if not licences or b"Apache License" not in archive.read(licences[0]):
            parser.error("the wheel does not carry the Apache licence that the provenance names")
    rows = table(source.decode())
    plain = "".join(",".join(row) + "\n" for row in rows).encode()
    packed = arguments.into / f"{STEM}.csv.gz"
    packed.write_bytes(gzip.compress(plain, compresslevel=9, mtime=0))
    (arguments.into / f"{STEM}.toml").write_text(provenance(arguments.wheel, source, plain, rows), "utf-8")
    print(f"{packed.name}: {len(rows) - 1} rows, {rows[1][0]} to {rows[-1][0]}, {packed.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
