"""Draw the pictures of the documentation from the sample books, and photograph the page of `crossmargin report`.

Needs matplotlib, and for the photographs Chromium; without one they stay as they are::

    python -m pip install '.[plots]' && python tools/pictures.py
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import crossmargin as xm
from crossmargin import plots
from crossmargin.analysis.attribution import Attribution, attribute
from crossmargin.analysis.margin_series import MarginSeries, MarketHistory, margin_series_of, notional_future
from crossmargin.analysis.protection import Frontier, Switch, frontier
from crossmargin.cli import main as crossmargin
from crossmargin.key_rates import key_rates
from crossmargin.scenarios import grid_scenarios

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "images"
CAPS = (0.2, 0.4, 0.6, 0.8)
HEDGED = ("M1", "M3", "M4", "M5", "M6", "M7")
TENORS = (0.25, 1, 2, 3, 5, 7, 10, 20, 30)
SPOTS, VOLATILITIES = (-0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15), (-0.05, 0.0, 0.05)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DARK = ("--blink-settings=preferredColorScheme=0",)


def main() -> None:
    """Write every picture and photograph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=IMAGES, help="folder to write to")
    into = parser.parse_args().into
    for name in PICTURES:
        write(name, into)
        print(f"{name}: {(into / name).stat().st_size:,} bytes")
    photograph(into)


def write(name: str, into: Path) -> None:
    """Draw one picture as SVG, alike in every run."""
    import matplotlib as mpl

    with mpl.rc_context(plots.STYLE):
        PICTURES[name]().savefig(into / name, format="svg", metadata={"Date": None})


def photograph(into: Path) -> None:
    """Write how the page looks, light and dark, where there is a browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("no Chromium: the photographs of the page stay as they are")
        return
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        crossmargin(["report", "--html", str(page)])
        whole = page.read_text(encoding="utf-8")
        for name, (hidden, *flags) in PHOTOGRAPHS.items():
            page.write_text(whole.replace("</head>", f"<style>{hidden} {{ display: none }}</style></head>"), "utf-8")
            fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1100,860")
            shot = (f"--screenshot={into / name}", f"--user-data-dir={folder}/profile")
            command = [browser, *fixed, *flags, *shot, page.as_uri()]
            subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603 - its own page
            print(f"{name}: {(into / name).stat().st_size:,} bytes")


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


@cache
def hedged() -> tuple[list[xm.Position], xm.PnL]:
    """Return the notes and futures of one customer, and what each gains or loses over three days."""
    portfolio, market = xm.samples.basis_trade()
    held = [each for each in portfolio.positions if each.id in HEDGED]
    scenarios = xm.scenario_set(xm.ScenarioSpec("historical", 3, 10), market.history, market.as_of)
    return held, xm.revalue([each.product for each in held], market, scenarios)


@cache
def history() -> MarginSeries:
    """Return what one ten-year note future needed through the crisis of 2008, under today's rules."""
    par = xm.packaged_history()
    days = [day for day in par.dates if date(2008, 8, 1) <= day <= date(2009, 3, 31)]
    stood_in = [(date(1998, 9, 1), date(1998, 12, 31))]
    rules, as_of = xm.rules("cme_rates_futures"), xm.samples.basis_trade()[1].as_of

    def one_future(market: xm.Market) -> list[tuple[Any, float]]:
        return [(notional_future("ZN", market, years=7), 1.0)]

    books = {"one ten-year note future": one_future}
    found = margin_series_of(books, [rules], MarketHistory(par), days, calibration=as_of, stress_periods=stood_in)
    return found["one ten-year note future", rules.id]


def _distribution() -> Any:
    portfolio, market = xm.samples.basis_trade()
    pool = next(each for each in compared()["siloed"].requirements if (each.owner, each.pot) == ("MERIDIAN", "FICC"))
    held = [each for each in portfolio.positions if each.id in pool.positions]
    scenarios = xm.scenario_set(xm.ScenarioSpec("historical", 3, 10), market.history, market.as_of)
    products, quantities = [each.product for each in held], [each.quantity for each in held]
    gains = xm.revalue(products, market, scenarios).pooled(products, quantities)
    told = {"requirement": pool.line.amount, "status": "in_force", "as_of": market.as_of}
    return plots.pnl_distribution(gains, name="Meridian at FICC", **told)


def _exposure() -> Any:
    held, _ = hedged()
    futures = [each.product.kind == "treasury_future" for each in held]
    pots = {
        pot: [each.quantity if future is at else 0.0 for each, future in zip(held, futures, strict=True)]
        for pot, at in (("FICC", False), ("CME", True))
    }
    found = key_rates([each.product for each in held], xm.samples.basis_trade()[1], TENORS)
    return plots.key_rates(found, pots, name="Meridian's notes and futures")


def _options() -> Any:
    portfolio, market = xm.samples.equity_options()
    held = [each for each in portfolio.positions if each.account == "LUX-PM"]
    grid = grid_scenarios(market.underlyings, SPOTS, VOLATILITIES)
    return plots.heat_map(xm.revalue([each.product for each in held], market, grid), held, name="Lux")


def _day() -> Any:
    return xm.samples.basis_trade()[1].as_of


PICTURES: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "where_the_dollar_sits.svg": lambda: plots.pots(collateral()),
        "what_regimes_ask_for.svg": lambda: plots.regimes(compared()),
        "from_silos_to_programmes.svg": lambda: plots.waterfall(bridge(), as_of=_day()),
        "savings_against_loss.svg": lambda: plots.frontier(caps(), as_of=_day()),
        "what_lies_behind_a_figure.svg": _distribution,
        "worst_scenarios.svg": lambda: plots.heat_map(hedged()[1], hedged()[0], name="Meridian's notes and futures"),
        "spot_and_volatility.svg": _options,
        "exposure_by_key_rate.svg": _exposure,
        "requirement_through_a_crisis.svg": lambda: plots.margin_history(history()),
    }
)
PHOTOGRAPHS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"page_light.png": ("nav",), "page_dark.png": ("nav, section:has(#totals), section:has(#pots)", *DARK)}
)

if __name__ == "__main__":
    main()
