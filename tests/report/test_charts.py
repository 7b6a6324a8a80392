from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matgen.report.axes import HEIGHT, WIDTH, Scale, body_of, padded, tick_text, y_scale
from matgen.report.charts import histogram, scatter
from matgen.report.periodic import element_map


def table(energies, gaps, fronts, spread=0.5):
    names = [f"<{i}>" for i in range(len(energies))]
    columns = {"id": names, "formula": names, "e_above_hull": energies, "band_gap": gaps, "pareto_front": fronts}
    return pd.DataFrame({**columns, "band_gap_std": spread})


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.04, 0.11, [-0.025, 0, 0.025, 0.05, 0.075, 0.1]),
        (3, 97, [20, 40, 60, 80]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    found = Scale(low, high, 0, 100).ticks(5)
    assert found == pytest.approx(ticks)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.integers(3, 8))
def test_ticks_lie_inside_and_are_about_as_many_as_asked(low, width, about):
    ticks = Scale(low, low + width, 0, 1).ticks(about)
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) for t in ticks)
    assert about / 1.5 - 1 <= len(ticks) <= about * 1.5 + 1
    assert np.allclose(np.diff(ticks, n=2), 0, atol=1e-6 * width)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40))
def test_an_axis_has_a_width_and_the_middle_half_of_the_values(values):
    low, high = padded(*body_of(values))
    assert low < high
    first, third = np.quantile(values, (0.25, 0.75), method="nearest")
    assert low <= first <= third <= high


def test_far_values_do_not_stretch_an_axis():
    assert body_of([0.0, 0.01, 0.02, 0.03, -3.6]) == (0.0, 0.03)
    assert body_of([*[0.0] * 6, 0.1, 0.3], 0.2) == (0.0, 0.1)
    assert Scale(0, 1, 0, 100).clipped(-7) == 0
    assert tick_text(-0.25) == "−0.25"


def test_the_scatter_shows_every_candidate_with_its_error():
    svg = str(scatter(table([0.0, 0.05, 0.1], [1.0, 2.0, 3.0], [1, 2, 2]), "band_gap", {"<0>": "#candidate-1"}))
    assert svg.count("<circle") == 3
    assert svg.count('class="point front"') == 1
    assert '<a href="#candidate-1" class="point front">' in svg
    assert "&lt;0&gt;: E above hull 0.000 eV/atom; Band gap 1.00 ± 0.50 eV" in svg
    bars = re.findall(r'class="error".*?y1="([\d.]+)" y2="([\d.]+)"', svg)
    y = y_scale(*padded(0.5, 3.5))
    assert [float(a) - float(b) for a, b in bars] == pytest.approx([y(0) - y(1)] * 3, abs=0.2)


def test_points_beyond_the_axis_stay_in_the_picture():
    svg = str(scatter(table([0, 0.01, 0.02, 0.03, -3.6], [1.0] * 5, [1] * 5), "band_gap", {}))
    assert svg.count("front beyond") == 1
    xs, ys = zip(*re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg), strict=True)
    assert all(0 < float(x) < WIDTH for x in xs)
    assert all(0 < float(y) < HEIGHT for y in ys)


def test_too_little_to_plot():
    assert scatter(table([0.0], [1.0], [1]), "band_gap", {}) is None
    assert scatter(table([0.0, 0.1], [None, 1.0], [1, 1]), "band_gap", {}) is None
    assert histogram(pd.DataFrame({"id": ["a"]}), pd.DataFrame({"id": []}), 0.1) is None


def test_the_histogram_counts_every_structure():
    kept, rejected = table(np.linspace(0, 0.09, 10), 1.0, 1), table([0.05, 0.5, 99.0, None], 1.0, 1)
    svg = str(histogram(kept, rejected, 0.1))
    for kind, n in (("bar-kept", 10), ("bar-left", 3)):
        counts = re.findall(rf'class="{kind}".*?<title>(\d+) from', svg)
        assert sum(map(int, counts)) == n


def test_the_element_map_counts_candidates(ranked):
    textbook = ranked.structures
    svg = str(element_map(textbook))
    assert svg.count("<g class=") == 103
    assert "Oxygen: in 5 of 8 candidates" in svg
    assert "Sodium: in 1 of 8 candidates" in svg
    assert "Uranium: in 0 of 8 candidates" in svg
    assert svg.count("unused") == 103 - len({e for s in textbook for e in s.composition})
