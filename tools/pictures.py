"""Draw the pictures of the explanation pages from the sample books.

Needs matplotlib::

    python -m pip install '.[plots]' && python tools/pictures.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import crossmargin as xm
from crossmargin import plots
from crossmargin.analysis.attribution import Attribution, attribute
from crossmargin.analysis.protection import Frontier, Switch, frontier

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "images"
CAPS = (0.2, 0.4, 0.6, 0.8)


def main() -> None:
    """Write every picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=IMAGES, help="folder to write to")
    into = parser.parse_args().into
    for name in PICTURES:
        write(name, into)
        print(f"{name}: {(into / name).stat().st_size:,} bytes")


def write(name: str, into: Path) -> None:
    """Draw one picture as SVG, alike in every run."""
    import matplotlib as mpl

    with mpl.rc_context(plots.STYLE):
        PICTURES[name]().savefig(into / name, format="svg", metadata={"Date": None})


@cache
def collateral() -> xm.CollateralReport:
    """Return where the sample group's collateral lies under today's programmes."""
    portfolio, market = xm.samples.group()
    return xm.collateral_report(portfolio, market, xm.margin(portfolio, market, xm.CROSS_MARGIN))


@cache
def compared() -> xm.Comparison:
    """Return the sample basis trade under every regime."""
    return xm.compare(*xm.samples.basis_trade())


@cache
def bridge() -> Attribution:
    """Return why silos and today's programmes differ on it."""
    return attribute(*xm.samples.basis_trade(), xm.SILOED, xm.CROSS_MARGIN)


@cache
def caps() -> Frontier:
    """Return what caps on the reduction save, against the loss of a leg that is closed out alone."""
    rules = xm.rules("cme_ficc")
    tried = [Switch("siloed", xm.SILOED)]
    for share in CAPS:
        capped = rules.with_values(reduction_cap=share, because="study")
        tried.append(Switch(f"cap {share:.0%}", xm.CROSS_MARGIN, [capped]))
    return frontier(*xm.samples.basis_trade(), tried, default="leg", measure="expected")


def _day() -> Any:
    return xm.samples.basis_trade()[1].as_of


PICTURES: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "where_the_dollar_sits.svg": lambda: plots.pots(collateral()),
        "what_regimes_ask_for.svg": lambda: plots.regimes(compared()),
        "from_silos_to_programmes.svg": lambda: plots.waterfall(bridge(), as_of=_day()),
        "savings_against_loss.svg": lambda: plots.frontier(caps(), as_of=_day()),
    }
)

if __name__ == "__main__":
    main()
