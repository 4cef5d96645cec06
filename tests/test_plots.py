"""Pictures say what the report says, in colours that anybody can tell apart; without matplotlib one line says so."""

from __future__ import annotations

import importlib.util
import re
import sys
from datetime import date
from functools import cache
from html import unescape
from itertools import combinations
from math import isclose, nan
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin import plots, samples
from crossmargin.accounts import InsolvencyRegime
from crossmargin.analysis.attribution import Attribution
from crossmargin.analysis.protection import Frontier, Point
from crossmargin.collateral import CollateralReport
from crossmargin.errors import InputError
from crossmargin.margin import collateral_report, margin
from crossmargin.regimes import CROSS_MARGIN
from crossmargin.results import Comparison, Credit, Line, Report, Requirement, not_modelled, total

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "explanation"
PAGE = PAGES / "where_does_my_dollar_sit.md"
PICTURE = PAGES / "images" / "where_the_dollar_sits.svg"
SHOWN = {
    PICTURE.name: PAGE.name,
    "what_regimes_ask_for.svg": "why_figures_differ.md",
    "from_silos_to_programmes.svg": "why_figures_differ.md",
    "savings_against_loss.svg": "who_is_protected.md",
    **dict.fromkeys(
        [
            "what_lies_behind_a_figure.svg",
            "worst_scenarios.svg",
            "spot_and_volatility.svg",
            "exposure_by_key_rate.svg",
            "requirement_through_a_crisis.svg",
        ],
        "../how-to/draw_and_share.md",
    ),
}
OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
installed = importlib.util.find_spec("matplotlib") is not None
needs_matplotlib = pytest.mark.skipif(not installed, reason="matplotlib, the extra `plots`, is not installed")


def report() -> CollateralReport:
    return tool().collateral()


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


# ------------------------------------------------------------------------------------------------------- the regimes


def asks(name: str, amounts: dict[str, float | None], status: str = "in_force", level: str = "clearing") -> Report:
    lines = {
        pot: not_modelled(pot, "not looked at") if amount is None else Line(pot, amount)
        for pot, amount in amounts.items()
    }
    requirements = [Requirement("pool", "A", pot, level, "rule", (), line) for pot, line in lines.items()]
    return Report(name, name, status, date(2026, 6, 30), requirements=tuple(requirements))


def rows_of(axis) -> list[str]:
    return [label.get_text() for label in axis.get_yticklabels()]


def keys(figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@needs_matplotlib
def test_no_regime_is_an_empty_picture():
    figure = plots.regimes(Comparison(()))
    assert figure.get_suptitle() == "No regime was compared."
    assert not [bar for axis in figure.axes for bar in axis.patches]


@needs_matplotlib
def test_one_regime_is_one_bar_made_of_its_pots():
    [axis] = plots.regimes(Comparison((asks("siloed", {"FICC": 2e6, "CME": 1e6}),))).axes
    assert [bar.get_width() for bar in axis.patches] == [2.0, 1.0]
    assert (rows_of(axis), texts(axis), axis.get_xlabel()) == (["siloed"], ["3.00"], "USD million")


@needs_matplotlib
def test_pots_lie_in_one_order_and_credit_comes_off():
    credit = Credit("both", "pool", "A", "CME", Line("credit", -4e5))
    first, second = asks("siloed", {"FICC": 2e6, "CME": 1e6}), asks("today", {"CME": 1e6, "FICC": 2e6})
    figure = plots.regimes(Comparison((first, evolve(second, credits=(credit,)))))
    assert [bar.get_width() for bar in figure.axes[0].patches] == pytest.approx([2.0, 1.0, 2.0, 0.6])
    assert texts(figure.axes[0]) == ["3.00", "2.60"]
    assert keys(figure) == ["FICC", "CME"]


@needs_matplotlib
def test_a_proposed_regime_says_so_beside_its_bar_and_in_the_title():
    siloed, proposed = asks("siloed", {"FICC": 2.0}), asks("harmonized", {"common pool": 1.0}, "proposed")
    figure = plots.regimes(Comparison((siloed, proposed)))
    assert rows_of(figure.axes[0]) == ["siloed", "harmonized (proposed)"]
    assert "2026-06-30 (in force unless marked proposed: no such rule is in force)" in figure.get_suptitle()
    assert "2026-06-30 (in force)" in plots.regimes(Comparison((siloed,))).get_suptitle()
    assert "2026-06-30 (proposed: no such rule is in force)" in plots.regimes(Comparison((proposed,))).get_suptitle()


@needs_matplotlib
def test_what_is_not_modelled_is_never_a_silent_zero():
    some, none = asks("siloed", {"FICC": 5.0, "OCC": None}), asks("today", {"OCC": None})
    figure = plots.regimes(Comparison((some, none)))
    assert texts(figure.axes[0]) == ["5.00*", "?"]
    assert keys(figure) == ["FICC", "OCC: not modelled"]


@needs_matplotlib
def test_a_pot_below_zero_lies_to_the_left():
    [axis] = plots.regimes(Comparison((asks("siloed", {"FICC": 3.0, "CME": -1.0}),))).axes
    assert [sorted((bar.get_x(), bar.get_x() + bar.get_width())) for bar in axis.patches] == [[0.0, 3.0], [-1.0, 0.0]]
    assert texts(axis) == ["2.00"]
    assert axis.get_xlim()[0] < -1.0


@needs_matplotlib
def test_every_level_has_its_panel_and_many_pots_have_looks_of_their_own():
    many = {f"pot {number}": 1.0 for number in range(30)}
    both = asks("siloed", many)
    customer = asks("siloed", {"NORTHGATE": 1.0}, level="customer").requirements
    figure = plots.regimes(Comparison((evolve(both, requirements=both.requirements + customer),)))
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "Owed to clearing houses",
        "Owed to the carrying firm by its customers",
    ]
    looks = {(patch.get_facecolor(), patch.get_hatch()) for patch in figure.legends[0].get_patches()}
    assert len(looks) == 31


@needs_matplotlib
@pytest.mark.parametrize(("above", "below"), [(1.0, 90.0), (90.0, 1.0), (-5.0, 90.0), (90.0, -5.0), (None, 90.0)])
def test_no_bar_of_any_panel_is_cut_off(above, below):
    both = asks("siloed", {"FICC": above})
    customer = asks("siloed", {"NORTHGATE": below}, level="customer").requirements
    figure = plots.regimes(Comparison((evolve(both, requirements=both.requirements + customer),)))
    bars = [bar for axis in figure.axes for bar in axis.patches]
    for axis in figure.axes:
        left, right = axis.get_xlim()
        assert left <= min(bar.get_x() + min(bar.get_width(), 0.0) for bar in bars)
        assert right > max(bar.get_x() + max(bar.get_width(), 0.0) for bar in bars)


# ----------------------------------------------------------------------------------------------------- the waterfall


def steps(start: float, *effects: float, status: str = "in_force", notes: tuple[str, ...] = ()) -> Attribution:
    parts = [Line("siloed total", start), *(Line(f"step {number}", each) for number, each in enumerate(effects))]
    line = total("other total", parts)
    return Attribution("siloed", "other", "clearing", status, line, (), (), (), (), notes=notes)


@needs_matplotlib
@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9).map(lambda each: round(each, 2)), min_size=1, max_size=5))
def test_every_step_starts_where_the_last_one_ended_and_all_lead_to_the_total(amounts):
    found = steps(*amounts)
    [axis] = plots.waterfall(found).axes
    scale = {"USD billion": 1e9, "USD million": 1e6, "USD thousand": 1e3, "USD": 1.0}[axis.get_xlabel()]
    level = 0.0
    bars = {round(bar.get_y() + bar.get_height() / 2): bar for bar in axis.patches}
    for place, part in enumerate(found.line.parts):
        if place in bars:
            assert bars[place].get_x() * scale == pytest.approx(level, abs=1e-3)
            assert bars[place].get_width() * scale == pytest.approx(part.value, abs=1e-3)
        level += part.value
    assert level == pytest.approx(found.line.value, abs=1e-3)
    assert [float(text.replace(",", "")) for text in texts(axis)] == pytest.approx(
        [*amounts, found.line.value], abs=0.01
    )


@needs_matplotlib
def test_steps_down_and_up_are_told_apart_without_colour():
    figure = plots.waterfall(steps(100.0, -130.0, 20.0, 0.0))
    [axis] = figure.axes
    assert texts(axis) == ["100.00", "-130.00", "+20.00", "0.00", "-10.00"]
    drawn = [bar.get_hatch() for bar in axis.patches]
    assert drawn == [None, None, "////", None], "a total starts at 0 and only what raises is hatched"
    assert axis.get_xlim()[0] < -30.0
    assert keys(figure) == ["asked for", "asks for less", "asks for more"]


@needs_matplotlib
def test_a_waterfall_says_its_day_its_status_and_what_to_beware_of():
    figure = plots.waterfall(steps(1.0, -1.0, status="proposed", notes=("look out",)), as_of=date(2026, 6, 30))
    assert "2026-06-30 (proposed: no such rule is in force)" in figure.get_suptitle()
    assert figure.axes[0].get_xlabel() == "USD\nlook out"
    assert "(in force)" in plots.waterfall(steps(1.0)).get_suptitle()


# ------------------------------------------------------------------------------------------------------ the frontier


def points(*places: tuple[float, float], efficient: bool = True, status: str = "in_force") -> list[Point]:
    named = enumerate(places)
    return [Point(f"switch {number}", "r", status, 0.0, *place, efficient) for number, place in named]


def names_on(figure) -> list:
    return [text for text in figure.axes[0].texts if text.get_text()]


@needs_matplotlib
def test_a_frontier_of_one_point_and_of_none():
    figure = plots.frontier(Frontier("stress", "leg", "worst", points((0.0, 5.0))), as_of=date(2026, 6, 30))
    assert [text.get_text() for text in names_on(figure)] == ["switch 0"]
    assert "2026-06-30: leg default, stress scenarios\nRegimes in force;" in figure.get_suptitle()
    assert names_on(plots.frontier(Frontier("stress", "leg", "worst", ()))) == []


@needs_matplotlib
def test_only_points_that_no_other_beats_are_joined():
    best, beaten = points((2e3, 4e3), (0.0, 1e3)), evolve(points((1e3, 5e3), efficient=False)[0], name="beaten")
    figure = plots.frontier(Frontier("stress", "leg", "worst", [*best, beaten]))
    joined, *marks = figure.axes[0].lines
    assert list(zip(*joined.get_data(), strict=True)) == [(0.0, 1.0), (2.0, 4.0)]
    assert [mark.get_markerfacecolor() for mark in marks] == [plots.BLUE, plots.BLUE, "white"]
    assert keys(figure) == ["no other saves as much and leaves less uncovered", "another does"]


@needs_matplotlib
def test_a_proposed_switch_says_so_and_has_a_shape_of_its_own():
    proposed = evolve(points((1.0, 1.0), status="proposed")[0], name="harmonized")
    figure = plots.frontier(Frontier("stress", "leg", "worst", [*points((0.0, 0.0)), proposed]))
    assert [text.get_text() for text in names_on(figure)] == ["switch 0", "harmonized (proposed)"]
    assert [mark.get_marker() for mark in figure.axes[0].lines[1:]] == ["o", "D"]
    assert "in force unless marked proposed: no such rule is in force" in figure.get_suptitle()


@needs_matplotlib
def test_a_dollar_in_a_name_is_a_dollar(tmp_path):
    [point] = points((0.0, 0.0))
    named = evolve(point, name=r"cap $\unknown$")
    plots.frontier(Frontier("stress", "leg", "worst", [named])).savefig(tmp_path / "frontier.svg")
    plots.regimes(Comparison((asks("$x$", {r"$\frac$": 1.0}),))).savefig(tmp_path / "regimes.png")


@needs_matplotlib
def test_points_in_one_place_share_one_label():
    figure = plots.frontier(Frontier("stress", "leg", "worst", points((1.0, 1.0), (1.0, 1.0), (2.0, 3.0))))
    assert [text.get_text() for text in names_on(figure)] == ["switch 0, switch 1", "switch 2"]


@needs_matplotlib
@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0.0, 1e6)), min_size=2, max_size=12, unique=True))
def test_labels_never_overlap(places):
    figure = plots.frontier(Frontier("stress", "leg", "worst", points(*places, efficient=False)))
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in names_on(figure)]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


@needs_matplotlib
def test_a_point_that_is_not_finite_is_refused_with_all_others():
    with pytest.raises(InputError, match="not finite") as caught:
        plots.frontier(Frontier("stress", "leg", "worst", points((nan, 1.0), (1.0, float("inf")))))
    assert len(caught.value.problems) == 2


# ------------------------------------------------------------------------------------------------- the pages' pictures


def test_the_picture_of_the_page_shows_the_sample_as_it_is_today():
    """Written by `tools/pictures.py`: its words and figures are those of the report."""
    drawn = words(PICTURE.name)
    places, behind = said(report())
    assert {word for word in drawn if " · " in word} == places
    assert {word for word in drawn if " for " in word and word[0].isdigit()} == behind


@cache
def tool():
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "tools" / "pictures.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def words(name: str) -> list[str]:
    """Return what a committed picture says."""
    said = (PICTURE.parent / name).read_text(encoding="utf-8")
    return [unescape(word) for word in re.findall(r"<text[^>]*>([^<]*)</text>", said)]


def test_the_picture_of_regimes_shows_the_sample_as_it_is_today():
    compared, said = tool().compared(), words("what_regimes_ask_for.svg")
    for level in ("clearing", "customer"):
        assert {f"{each / 1e6:,.2f}*" for each in compared.totals(level).values()} <= set(said)
    named = [each.regime + (" (proposed)" if each.status == "proposed" else "") for each in compared.reports]
    assert [word for word in said if word in named] == named * 2
    pots = {entry.pot for each in compared.reports for entry in each.requirements if entry.line.value}
    assert pots | {"OCC: not modelled"} <= set(said)
    assert any(str(compared.reports[0].as_of) in word and "no such rule is in force" in word for word in said)


def test_the_waterfall_of_the_page_shows_the_steps_as_they_are_today():
    bridge, said = tool().bridge(), words("from_silos_to_programmes.svg")
    lines = [*bridge.line.parts, bridge.line]
    assert [word for word in said if word in {line.name for line in lines}] == [line.name for line in lines]
    printed = [float(word.replace(",", "").rstrip("*")) for word in said if re.fullmatch(r"[+-]?[\d,]+\.\d\d\*?", word)]
    assert printed == [round(line.value, 2) for line in lines]
    assert isclose(sum(printed[:-1]), printed[-1], abs_tol=0.03)
    assert all(note in " ".join(said) for note in bridge.notes)
    assert any("2026-06-30 (in force)" in word for word in said)


def test_the_frontier_of_the_page_shows_the_points_as_they_are_today():
    found, said = tool().caps(), words("savings_against_loss.svg")
    names = [each.name + (f" ({each.status})" if each.status != "in_force" else "") for each in found.points]
    assert [word for word in said if word in names] == names
    marks = marks_of(PICTURE.parent / "savings_against_loss.svg")
    assert len(marks) == len(found.points) == len(found.efficient)
    for drawn, asked in zip(zip(*marks, strict=True), ("saving", "residual"), strict=True):
        amounts = [getattr(each, asked) for each in found.points]
        assert shares(drawn) == pytest.approx(shares(amounts), abs=1e-4)
    assert any("2026-06-30: leg default, historical scenarios" in word for word in said)


def marks_of(path: Path) -> list[tuple[float, float]]:
    """Return where the joined line of a frontier has its corners, right and up."""
    line = re.search(r'<path d="([^"]*)"[^>]*stroke: #0072b2; stroke-width: 1.2', path.read_text(encoding="utf-8"))
    corners = re.findall(r"[ML] ([\d.]+) ([\d.]+)", line.group(1))
    return [(float(x), -float(y)) for x, y in corners]


def shares(amounts) -> list[float]:
    """Return how far each amount lies from the first to the last."""
    first, *_, last = amounts
    return [(each - first) / (last - first) for each in amounts]


@pytest.mark.parametrize("name", SHOWN)
def test_every_picture_stands_on_its_page_with_words_for_those_who_cannot_see_it(name):
    [said] = re.findall(
        rf"!\[([^\]]*)\]\([./a-z]*images/{re.escape(name)}\)", (PAGES / SHOWN[name]).read_text(encoding="utf-8")
    )
    assert len(said.split()) > 8
    assert set(tool().PICTURES) == set(SHOWN)


def test_photographs_of_the_page_stand_beside_the_pictures():
    page = (PAGES.parent / "how-to" / "draw_and_share.md").read_text(encoding="utf-8")
    for name in tool().PHOTOGRAPHS:
        assert (PICTURE.parent / name).read_bytes().startswith(b"\x89PNG")
        assert f"images/{name})" in page


@needs_matplotlib
@pytest.mark.parametrize("name", SHOWN)
def test_the_tool_draws_the_same_picture_twice(name, tmp_path):
    assert PICTURE.parent == tool().IMAGES
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        tool().write(name, folder)
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


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
