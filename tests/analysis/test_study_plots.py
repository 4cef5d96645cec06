"""Pictures of a study: well formed whatever they show, and they say in words what they draw."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.analysis.study_plots import Bar, bars, dollars, series, waterfall

AMOUNTS = st.floats(-1e12, 1e12) | st.sampled_from([0.0, -0.0, 1e-9])


@given(st.lists(st.tuples(st.text("a<&\"' é*", max_size=8), AMOUNTS), max_size=5))
@settings(max_examples=60, deadline=None)
def test_pictures_are_well_formed_whatever_they_show(rows):
    drawn = [
        bars("t<", [Bar(label, amount, amount - 1.0, amount + 1.0, amount > 0, "&") for label, amount in rows]),
        waterfall("t", rows, proposed=True),
        series("t", [date(2000, 1, 1), date(2001, 1, 1)], {label: ((amount, None), True) for label, amount in rows}),
    ]
    for text in drawn:
        assert ET.fromstring(text).get("role") == "img"  # noqa: S314 - its own text
        assert "nan" not in text
        assert "inf" not in text


def test_a_waterfall_runs_from_start_to_total():
    texts = waterfall("t", [("siloed total", 100.0), ("credit", -30.0), ("other total", 70.0)])
    for said in ("siloed total", "-30", ">70<"):
        assert said in texts


@pytest.mark.parametrize(
    ("amount", "said"),
    [(0.0, "0"), (-0.0, "0"), (999.4, "999"), (999.6, "1.00 k"), (12_345.0, "12.3 k"), (-999_960.0, "-1.00 m")],
)
def test_amounts_in_pictures(amount, said):
    assert dollars(amount) == said
