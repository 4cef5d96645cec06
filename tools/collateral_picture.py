"""Draw the picture of the page "Where does my dollar sit?" from the sample group.

Needs matplotlib::

    python -m pip install '.[plots]' && python tools/collateral_picture.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import crossmargin as xm
from crossmargin import plots

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "images" / "where_the_dollar_sits.svg"


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=PICTURE, help="file to write, SVG")
    into = parser.parse_args().into
    write(into)
    print(f"{into.name}: {into.stat().st_size:,} bytes")


def write(path: Path) -> None:
    """Draw the sample group under today's programmes, alike in every run."""
    import matplotlib as mpl

    portfolio, market = xm.samples.group()
    report = xm.collateral_report(portfolio, market, xm.margin(portfolio, market, xm.CROSS_MARGIN))
    with mpl.rc_context(plots.STYLE):
        plots.pots(report).savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
