"""The page on crises quotes one file, whose figures follow from its counts; the tool counts what the series say."""

from __future__ import annotations

import importlib.util
import json
import re
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from crossmargin.analysis.backtest import kupiec
from crossmargin.analysis.margin_series import Gap, MarginSeries
from crossmargin.registry import rules

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "explanation"
PAGE = (FOLDER / "margin_through_crises.md").read_text(encoding="utf-8")
FOUND = json.loads((FOLDER / "margin_history.json").read_text(encoding="utf-8"))
spec = importlib.util.spec_from_file_location("margin_history", ROOT / "tools" / "margin_history.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

every_series = pytest.mark.parametrize("each", FOUND["series"], ids=lambda each: f"{each['book']} {each['ruleset']}")


# ------------------------------------------------------------------------------------------------ the page and its file


def test_the_tables_of_the_page_are_those_of_the_file():
    assert tool.with_tables(PAGE, FOUND) == PAGE


def test_the_sentences_of_the_page_quote_the_file():
    text = re.sub(r"\s+", " ", PAGE)
    assert [sentence for sentence in tool.sentences(FOUND) if sentence not in text] == []


def test_the_page_shows_every_picture_and_says_what_it_is():
    for name in tool.PICTURES.values():
        assert f"](images/{name})" in PAGE
        assert 10_000 < (FOLDER / "images" / name).stat().st_size < 400_000
    assert "hypothetical" in PAGE
    assert f"calibration of {FOUND['calibration']}" in PAGE


@every_series
def test_the_figures_follow_from_their_counts(each):
    assert each["gaps"] == 0
    assert each["days_with_pnl"] == each["days"] - each["horizon_days"]
    assert each["tested_days"] == -(-each["days_with_pnl"] // each["horizon_days"])
    assert each["tested_exceptions"] <= each["exceptions"]
    if each["confidence"] is None:
        assert each["kupiec_p"] is None
        return
    test = kupiec(each["tested_days"], each["tested_exceptions"], 1.0 - each["confidence"])
    assert each["kupiec_p"] == pytest.approx(test.p_value, abs=1e-6)


@every_series
def test_the_figures_are_of_models_as_they_are_calibrated_on_that_day(each):
    reader = rules(each["ruleset"]).at(date.fromisoformat(FOUND["calibration"]))
    assert each["horizon_days"] == reader.horizon_days
    if each["confidence"] is not None:
        assert each["confidence"] == reader.confidence


@every_series
def test_peaks_lie_in_their_windows(each):
    for name, window in each["windows"].items():
        first, last = FOUND["windows"][name]
        assert first <= window["peak_day"] <= last
        assert window["peak_usd"] >= window["start_usd"] > 0
        assert window["peak_to_trough"] >= max(1.0, window["largest_increase"])


def test_there_is_a_series_for_every_book_and_model():
    assert [(each["book"], each["ruleset"]) for each in FOUND["series"]] == [
        (book, id) for book in tool.BOOKS for id in tool.MODELS
    ]


# ------------------------------------------------------------------------------------------------------------ the tool


def made_up(book, id, confidence=0.99, horizon=2):
    days = [day for n in range(9700) if (day := date(2000, 1, 3) + timedelta(n)).weekday() < 5]
    rng = np.random.default_rng(len(book) + len(id))
    margin = 1000.0 + 500.0 * np.sin(np.arange(len(days)) / 90.0)
    pnl = rng.normal(0.0, 400.0, len(days))
    pnl[-horizon:] = np.nan
    notes = ("a note",)
    gaps = (Gap(days[0] - timedelta(2), "no row"),)
    return MarginSeries(book, id, horizon, confidence, dates=days, requirement=margin, pnl=pnl, gaps=gaps, notes=notes)


@pytest.fixture(scope="module")
def study():
    return {
        (book, id): made_up(book, id, None if id == "lch_pairs_like" else 0.99)
        for book in tool.BOOKS
        for id in tool.MODELS
    }


def test_counts_are_those_of_the_series(study):
    series = study["ZN", "ice_irm2_like"]
    found = next(each for each in tool.figures(study)["series"] if each["ruleset"] == "ice_irm2_like")
    beyond = [-gain > margin for gain, margin in zip(series.pnl, series.requirement, strict=True)]
    assert (found["days"], found["gaps"]) == (len(beyond), 1)
    assert found["exceptions"] == sum(beyond)
    assert found["tested_exceptions"] == sum(beyond[::2])
    window = found["windows"]["2020"]
    of = [row for row, day in enumerate(series.dates) if day.year == 2020 and day >= date(2020, 1, 2)]
    margins = series.requirement[of]
    assert window["peak_to_trough"] == round(margins.max() / margins.min(), 2)
    assert window["largest_increase"] == round((margins[20:] / margins[:-20]).max(), 2)


def test_a_model_without_a_claim_has_no_test(study):
    row = next(
        line for line in tool.coverage_table(tool.figures(study)).splitlines() if "ZN | `lch_pairs_like`" in line
    )
    assert "| none |" in row
    assert row.endswith("|  |  |  |")


def test_series_are_kept_and_read_back(study, tmp_path):
    tool.keep(study, tmp_path / "kept.json")
    again = tool.kept(tmp_path / "kept.json")
    assert tool.figures(again) == tool.figures(study)
    assert again["ES", "cme_irs_like"].gaps == study["ES", "cme_irs_like"].gaps


def test_years_are_joined(study):
    series = study["ZN", "cme_irs_like"]
    halves = [series.between(series.dates[0], date(2010, 1, 1)), series.between(date(2010, 1, 2), series.dates[-1])]
    assert tool.joined(halves).requirement.tolist() == series.requirement.tolist()
    assert tool.joined(halves).dates == series.dates


def test_pictures_are_drawn_the_same_every_time(study, tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        tool.draw(study, "ZN", tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "hypothetical" in (tmp_path / "a.svg").read_text(encoding="utf-8")
