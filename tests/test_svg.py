"""Charts as SVG: well formed, and drawn where the numbers say."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from scipy.special import ndtri

from singerid.metrics import det_points, eer
from singerid.report import svg
from singerid.report.svg import Curves


def parse(markup):
    return ET.fromstring(f"<div>{markup}</div>")


def points(path):
    return np.array([[float(x) for x in p.split()] for p in path[1:].split("L")])


def scores(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    targets = np.arange(n) < n // 4
    return rng.normal(targets * 2.0), targets


def test_a_thinned_curve_is_still_the_curve():
    rng = np.random.default_rng(0)
    targets = np.arange(300_000) % 10 == 0
    values = rng.normal(targets * 2.0)
    curve = Curves.of(values, targets)
    _, misses, false_alarms = det_points(values, targets)
    assert len(curve.misses) < 2500
    inside = (false_alarms > 1e-3) & (misses > 1e-3) & (misses < 0.99)
    drawn = np.interp(
        -ndtri(false_alarms[inside]), -ndtri(np.clip(curve.false_alarms, 1e-9, 1 - 1e-9)),
        ndtri(np.clip(curve.misses, 1e-9, 1 - 1e-9)),
    )  # fmt: skip
    assert np.abs(drawn - ndtri(misses[inside])).max() < 0.05  # 400 units are 5 deviates


def test_scores_that_say_nothing_are_a_straight_line_through_the_middle():
    curve = Curves.of(np.zeros(5), np.array([True, True, False, False, False]))
    assert curve.misses + curve.false_alarms == pytest.approx(1)
    inside = (curve.misses > 0.001) & (curve.misses < 0.999)
    assert np.abs(np.diff(ndtri(curve.misses[inside]))).max() < 0.11


def test_histograms_count_everything_once():
    values, targets = scores()
    curve = Curves.of(values, targets)
    assert curve.targets.sum() == pytest.approx(1)
    assert curve.nontargets.sum() == pytest.approx(1)
    assert curve.edges[0] == pytest.approx(values.min())
    same = Curves.of(np.full(4, 0.3), [True, False, True, False])
    assert same.targets.argmax() == same.nontargets.argmax() == svg.N_BINS // 2


def test_the_dot_of_the_eer_lies_on_the_curve_and_the_diagonal():
    values, targets = scores()
    rate, _ = eer(values, targets)
    tree = parse(svg.det_chart({"a<b": Curves.of(values, targets)}, {"a<b": rate}))
    dot = next(tree.iter("circle"))
    x, y = float(dot.get("cx")), float(dot.get("cy"))
    plane = svg._Plane((0, 1), (0, 1), 400, 400)
    diagonal_x = (x - plane.left) / (400 - plane.left - plane.right)
    diagonal_y = (400 - plane.bottom - y) / (400 - plane.bottom - plane.top)
    assert diagonal_x == pytest.approx(diagonal_y, abs=1e-3)
    curve = points(next(p.get("d") for p in tree.iter("path") if "curve" in p.get("class")))
    assert np.hypot(curve[:, 0] - x, curve[:, 1] - y).min() < 3
    assert "a<b: EER" in "".join(tree.itertext())


@pytest.mark.parametrize("kind", ["perfect", "tied", "wrong", "tiny"])
def test_extreme_scores_are_drawn_inside_the_picture(kind):
    targets = np.array([True, True, False, False, False])
    values = {
        "perfect": targets * 1.0, "tied": np.zeros(5), "wrong": 1.0 - targets,
        "tiny": np.array([1e-9, 0, 0, 0, 0]),
    }[kind]  # fmt: skip
    rate, threshold = eer(values, targets)
    curve = Curves.of(values, targets)
    charts = [
        svg.det_chart({"all": curve}, {"all": rate}),
        svg.histogram_chart(curve, threshold, "scores"),
    ]
    for chart in charts:
        tree = parse(chart)
        width, height = map(float, next(tree.iter("svg")).get("viewBox").split()[2:])
        for path in next(tree.iter("svg")).iter("path"):
            places = points(path.get("d"))
            assert np.isfinite(places).all()
            assert (places >= 0).all()
            assert (places <= [width, height]).all()


def test_histogram_marks_the_threshold_where_it_is():
    values, targets = scores()
    curve = Curves.of(values, targets)
    tree = parse(svg.histogram_chart(curve, 1.0, "scores"))
    (mark,) = [p for p in tree.iter("path") if p.get("class") == "mark"]
    share = (1.0 - curve.edges[0]) / (curve.edges[-1] - curve.edges[0])
    assert points(mark.get("d"))[0, 0] == pytest.approx(30 + share * (400 - 30 - 12), abs=0.02)


def test_levels_have_whiskers_a_reference_and_one_unit():
    chart = svg.level_chart(["1 s", "2 s"], [0.4, 0.2], [(0.3, 0.5), None], 0.1, 0.6, "label")
    tree = parse(chart)
    classes = [p.get("class") for p in tree.iter("path")]
    assert classes.count("whisker k0") == 1
    assert classes.count("mark") == 1
    texts = [t.text for t in tree.iter("text")]
    assert texts.count("s") == 1
    assert {"1", "2", "0", "20", "40", "60"} <= set(texts)
    high, low = [float(c.get("cy")) for c in tree.iter("circle")]
    assert high < low  # a higher rate is higher up
    mixed = parse(svg.level_chart(["300-3400 Hz", "4 kHz"], [0.1, 0.2], [None] * 2, None, 0.5, ""))
    assert {"300-3400 Hz", "4 kHz"} <= {t.text for t in mixed.iter("text")}


def test_reliability_lies_on_the_diagonal_when_stated_probabilities_come_true():
    tree = parse(
        svg.reliability_chart([{"predicted": p, "observed": p, "n": 5} for p in (0.2, 0.7)], "r")
    )
    left, right = [[float(c.get(k)) for k in ("cx", "cy")] for c in tree.iter("circle")]
    assert left[0] < right[0]
    assert left[1] > right[1]


def test_colors_are_the_pages_own_and_every_style_has_its_dashes():
    from importlib import resources

    page = resources.files("singerid.report").joinpath("page.html").read_text()
    dashes = re.findall(
        r"\.k(\d) \{ stroke: var\(--c\d\);(?: stroke-dasharray: ([\d ]+);)? \}", page
    )
    assert [int(style) for style, _ in dashes] == list(range(svg.N_STYLES))
    assert len({dash for _, dash in dashes}) == svg.N_STYLES


@pytest.mark.parametrize(
    ("low", "high", "want"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-0.31, 0.27, [-0.2, 0, 0.2]), (0.5, 0.53, None)],
)
def test_ticks_are_round(low, high, want):
    ticks = svg.nice_ticks(low, high)
    assert ticks == (want if want is not None else [0.5, 0.51, 0.52, 0.53])
