"""Pictures say what the report says, in colours that anybody can tell apart; without matplotlib one line says so."""

from __future__ import annotations

import importlib.util
import re
import sys
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from attrs import evolve

from crossmargin import plots, samples
from crossmargin.accounts import InsolvencyRegime
from crossmargin.collateral import CollateralReport
from crossmargin.errors import InputError
from crossmargin.margin import collateral_report, margin
from crossmargin.regimes import CROSS_MARGIN

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explanation" / "where_does_my_dollar_sit.md"
PICTURE = PAGE.parent / "images" / "where_the_dollar_sits.svg"
OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
installed = importlib.util.find_spec("matplotlib") is not None
needs_matplotlib = pytest.mark.skipif(not installed, reason="matplotlib, the extra `plots`, is not installed")


@cache
def report() -> CollateralReport:
    portfolio, market = samples.group()
    return collateral_report(portfolio, market, margin(portfolio, market, CROSS_MARGIN))


def said(found: CollateralReport) -> tuple[set[str], set[str]]:
    """What a picture of a report must say: its places, and what stands behind their bars."""
    behind = set()
    for each in found.balances:
        unknown = each.required.value == 0.0 and each.required.partial
        star = "*" if each.partial else ""
        required = "?" if unknown else f"{each.required.value / 1e6:,.2f}{star}"
        behind.add(f"{each.lendable.value / 1e6:,.2f} for {required}")
    return {f"{each.owner} · {each.account_class.value} · {each.pot}" for each in found.balances}, behind


def texts(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


@needs_matplotlib
def test_every_place_has_its_bar_under_the_law_that_winds_it_up():
    figure = plots.pots(report())
    places, behind = said(report())
    assert {label.get_text() for axis in figure.axes for label in axis.get_yticklabels()} == places
    for axis, level in zip(figure.axes, report().levels, strict=True):
        laws = {each.insolvency_regime.value for each in report().balances if each.level == level}
        headings = [text for text in texts(axis) if text in set(InsolvencyRegime)]
        assert headings == [law.value for law in InsolvencyRegime if law.value in laws]
    assert behind <= {text for axis in figure.axes for text in texts(axis)}


@needs_matplotlib
def test_bars_are_as_long_as_the_amounts():
    figure = plots.pots(report())
    for axis, level in zip(figure.axes, report().levels, strict=True):
        drawn = sum(bar.get_width() for bar in axis.patches) * 1e6
        sums = report().totals(level)
        beyond = sum(max(0.0, each.market_value.value - max(each.lendable.value, 0.0)) for each in mine(level))
        assert drawn == pytest.approx(sums["covered"] + sums["deficit"] + sums["excess"] + beyond)
        marks = [line.get_xdata()[0] * 1e6 for line in axis.lines]
        assert sorted(marks) == pytest.approx(
            sorted(each.required.value for each in mine(level) if each.required.value)
        )


def mine(level):
    return [each for each in report().balances if each.level == level]


@needs_matplotlib
def test_colours_are_told_apart_and_what_they_mark_has_a_hatch():
    assert {plots.BLACK, plots.BLUE, plots.ORANGE, plots.GREEN, plots.VERMILION} <= OKABE_ITO
    figure = plots.pots(report())
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "required",
        "covered",
        "deficit",
        "excess, free",
        "excess, locked",
        "lost to haircuts",
    ]
    hatched = {patch.get_hatch() for patch in legend.get_patches()}
    assert len(hatched - {None}) == 2


@needs_matplotlib
def test_a_proposal_says_that_it_is_none():
    proposed = evolve(report(), regime="harmonized", status="proposed")
    assert "no such rule is in force" in plots.pots(proposed).get_suptitle()
    assert "in force" not in plots.pots(report()).get_suptitle()


@needs_matplotlib
@pytest.mark.parametrize(
    ("scale", "unit"), [(1e-9, "USD"), (1e-3, "USD thousand"), (1.0, "USD million"), (1e6, "USD billion")]
)
def test_the_unit_follows_the_longest_bar(scale, unit):
    portfolio, market = samples.group()
    posted = [evolve(each, quantity=each.quantity * scale) for each in portfolio.posted]
    found = collateral_report(
        evolve(portfolio, posted=posted), market, evolve(asked(market), requirements=(), credits=())
    )
    assert plots.pots(found).axes[-1].get_xlabel() == unit


def asked(market):
    return margin(evolve(samples.group()[0], positions=()), market, CROSS_MARGIN)


@needs_matplotlib
def test_an_empty_report_is_an_empty_picture():
    figure = plots.pots(CollateralReport(date(2026, 6, 30)))
    assert not [bar for axis in figure.axes for bar in axis.patches]


@needs_matplotlib
def test_two_firms_are_told_apart():
    first = report().balances[0]
    two = evolve(report(), balances=[first, evolve(first, firm="EASTWAY")])
    labels = [label.get_text() for label in plots.pots(two).axes[0].get_yticklabels()]
    assert labels == ["NORTHGATE · NORTHGATE · PROPRIETARY · FICC", "NORTHGATE · EASTWAY · PROPRIETARY · FICC"]


@needs_matplotlib
def test_drawing_leaves_the_reader_s_own_style_alone(tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.pots(report()).savefig(tmp_path / "pots.png")
    assert dict(mpl.rcParams) == before
    assert (tmp_path / "pots.png").stat().st_size > 10_000


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'crossmargin\[plots\]'") as caught:
        plots.pots(report())
    assert len(caught.value.problems) == 1


# ------------------------------------------------------------------------------------------------- the page's picture


def test_the_picture_of_the_page_shows_the_sample_as_it_is_today():
    """Written by `tools/collateral_picture.py`: its words and figures are those of the report."""
    words = re.findall(r"<text[^>]*>([^<]*)</text>", PICTURE.read_text(encoding="utf-8"))
    places, behind = said(report())
    assert {word for word in words if " · " in word} == places
    assert {word for word in words if " for " in word and word[0].isdigit()} == behind
    assert f"({PICTURE.parent.name}/{PICTURE.name})" in PAGE.read_text(encoding="utf-8")


@needs_matplotlib
def test_the_tool_draws_the_same_picture_twice(tmp_path):
    spec = importlib.util.spec_from_file_location("collateral_picture", ROOT / "tools" / "collateral_picture.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.PICTURE == PICTURE
    for name in ("one.svg", "two.svg"):
        tool.write(tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_what_the_page_says_in_words_is_so():
    by = {(each.pot, each.account_class.value): each for each in report().balances if each.owner == "MERIDIAN"}
    assert by["FICC", "XM_FUTURES_4D_AB"].excess.value > 0.0 < by["CME", "XM_FUTURES_4D_AB"].deficit.value
    assert "two_pot" in by["FICC", "XM_FUTURES_4D_AB"].locked.parts[0].note
    assert by["OCC", "SEC_15C3_3"].locked.value == by["OCC", "SEC_15C3_3"].lendable.value > 0.0
    portfolio, _ = samples.group()
    [added] = [each for each in portfolio.posted if each.provided_by]
    futures = by["CME", "CFTC_4D_AB"]
    assert futures.lendable.value - added.quantity < futures.required.value
    page = PAGE.read_text(encoding="utf-8")
    assert not re.search(r"\d{2},\d{3}", re.sub(r"```.*?```", "", page, flags=re.DOTALL)), "figures come from code"
