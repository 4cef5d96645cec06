"""Pictures of a study: well formed whatever they show, and they say in words what they draw."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.analysis.study_plots import Bar, Spot, bars, dollars, scatter, series, waterfall

AMOUNTS = st.floats(-1e12, 1e12) | st.sampled_from([0.0, -0.0, 1e-9])


@given(st.lists(st.tuples(st.text("a<&\"' é*", max_size=8), AMOUNTS), max_size=5))
@settings(max_examples=60, deadline=None)
def test_pictures_are_well_formed_whatever_they_show(rows):
    drawn = [
        bars("t<", [Bar(label, amount, amount - 1.0, amount + 1.0, amount > 0, "&") for label, amount in rows]),
        waterfall("t", rows, proposed=True),
        scatter("t", [Spot(amount, -amount, label, amount > 0, amount < 0) for label, amount in rows], ("<", "&")),
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


def test_points_at_one_place_keep_their_labels_apart():
    drawn = scatter("t", [Spot(1e6, 1e5, str(number), efficient=True) for number in range(1, 8)], ("x", "y"))
    places = [
        (float(each.get("x")), float(each.get("y")))
        for each in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314
        if each.text in list("1234567")
    ]
    assert len(places) == len(set(places)) == 7
    assert drawn.count("<circle") == 7


def test_what_is_not_in_force_is_a_diamond():
    drawn = scatter("t", [Spot(1.0, 2.0, "a"), Spot(2.0, 1.0, "b", proposed=True)], ("x", "y"))
    assert (drawn.count("<circle"), drawn.count("<polygon")) == (1, 1)


@pytest.mark.parametrize(
    ("amount", "said"),
    [(0.0, "0"), (-0.0, "0"), (999.4, "999"), (999.6, "1.00 k"), (12_345.0, "12.3 k"), (-999_960.0, "-1.00 m")],
)
def test_amounts_in_pictures(amount, said):
    assert dollars(amount) == said
